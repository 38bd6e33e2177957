//! From the shape of the file to the checked model: services and backends.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::ops::Range;

use maglane_spec::Geometry;
use maglane_spec::limit::{TABLE_SIZE_MAX, WEIGHT_MAX};
use toml::Spanned;

use super::check::Check;
use super::error::Problem;
use super::raw::{self, Maybe};
use super::value;
use super::{Affinity, Backend, Datapath, Protocol, Scheduler, Service, State, TABLE_SIZE_DEFAULT};
use crate::{fill, prime};

/// Stands in for an address that was refused, until the file as a whole is.
const NO_ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

/// Stands in for a table size that was refused: the least there is, so that what follows from it is not held against
/// other services.
const TABLE_SIZE_UNKNOWN: u16 = 1;

/// Checks all services. `mtu` is the backends' default, `datapath_place` the table of what is missing there.
pub(super) fn services(
    check: &mut Check,
    raw: Vec<Spanned<raw::Service>>,
    datapath: &Datapath,
    mtu: u16,
    datapath_place: &Range<usize>,
) -> Vec<Service> {
    let raw = bounded(check, raw, Geometry::BOUNDS[0]);
    let mut names: HashMap<String, Range<usize>> = HashMap::new();
    let mut keys: HashMap<(IpAddr, Protocol, Option<NonZeroU16>), Range<usize>> = HashMap::new();
    let mut services = Vec::with_capacity(raw.len());
    for item in raw {
        let place = item.span();
        let raw = item.into_inner();
        let name_place = raw.name.as_ref().map_or(place.clone(), Spanned::span);
        let key_place = raw.address.as_ref().map_or(place.clone(), Spanned::span);
        let before = check.found();
        let service = service(check, raw, place, mtu);
        let key_is_sound = service.address != NO_ADDRESS && check.found() == before;
        if !service.name.is_empty() {
            if let Some(first) = names.get(&service.name) {
                check.push(
                    Problem::at(name_place, format!("the service name {:?} is there twice", service.name))
                        .label("again here")
                        .also(first.clone(), "first here")
                        .help("give each service a name of its own"),
                );
            } else {
                names.insert(service.name.clone(), name_place);
            }
        }
        if key_is_sound {
            let key = (service.address, service.protocol, service.port);
            if let Some(first) = keys.get(&key) {
                let port = service.port.map_or("all ports".to_owned(), |port| format!("port {port}"));
                let what = format!("{} {} {port}", service.address, service.protocol.word());
                check.push(
                    Problem::at(key_place, format!("two services take {what}"))
                        .label("again here")
                        .also(first.clone(), "first here")
                        .help("merge the two services, or change the address, the port or the protocol of one"),
                );
            } else {
                keys.insert(key, key_place);
            }
        }
        services.push(service);
    }
    tunnel_sources(check, &services, datapath, datapath_place);
    services
}

/// A list, or none of it when not even the largest geometry has room: millions of entries are not looked at one by one.
fn bounded<T>(check: &mut Check, raw: Vec<Spanned<T>>, (what, _, most): (&str, u32, u32)) -> Vec<Spanned<T>> {
    let Some(first) = raw.get(most as usize) else { return raw };
    check.push(
        Problem::at(first.span(), format!("{} {what} do not fit: the largest geometry has room for {most}", raw.len()))
            .label("the first that does not fit")
            .help(format!("remove {what}")),
    );
    Vec::new()
}

fn service(check: &mut Check, raw: raw::Service, place: Range<usize>, mtu: u16) -> Service {
    let table = ("the service", &place);
    let name = check.required(table, "name", "web", raw.name.as_ref(), value::name).unwrap_or_default();
    let address = check.required(table, "address", "192.0.2.10", raw.address.as_ref(), value::ip).unwrap_or(NO_ADDRESS);
    let protocol = check
        .required(table, "protocol", "tcp", raw.protocol.as_ref(), |text| {
            value::word("protocol", text, Protocol::WORDS)
        })
        .unwrap_or(Protocol::Tcp);
    let port = port(check, raw.port);
    let scheduler_place = raw.scheduler.as_ref().map(Spanned::span);
    let scheduler = check.text(raw.scheduler.as_ref(), |text| value::word("scheduler", text, Scheduler::WORDS));
    let scheduler_is_sound = scheduler.is_some() || scheduler_place.is_none();
    let scheduler = scheduler.unwrap_or(Scheduler::Maglev);
    let affinity_place = raw.affinity.as_ref().map(Spanned::span);
    let affinity = check.text(raw.affinity.as_ref(), |text| value::word("affinity", text, Affinity::WORDS));
    let affinity = match (scheduler, affinity) {
        (Scheduler::SourceHash, None | Some(Affinity::Client)) => Affinity::Client,
        (Scheduler::SourceHash, Some(other)) => {
            let problem = Problem::at(
                affinity_place.unwrap_or(place.clone()),
                format!("source-hash has affinity client, not {}", other.word()),
            )
            .help("remove the affinity, or use scheduler = \"maglev\" with it");
            check.push(match scheduler_place {
                Some(scheduler) => problem.also(scheduler, "because of this scheduler"),
                None => problem,
            });
            Affinity::Client
        }
        (_, affinity) => affinity.unwrap_or(Affinity::FiveTuple),
    };
    let before = check.found();
    let backends = backends(check, raw.backend, mtu);
    let table_size = if scheduler == Scheduler::RoundRobin {
        // Weights that were refused say nothing about the length, and more backends than slots fit nowhere anyway.
        let len = fill::round_robin_len(backends.iter().map(Backend::fill_weight));
        len.filter(|_| check.found() == before).unwrap_or(TABLE_SIZE_UNKNOWN)
    } else {
        table_size(check, raw.table_size, scheduler_is_sound && scheduler != Scheduler::Ring)
    };
    Service {
        name,
        address,
        port,
        protocol,
        scheduler,
        affinity,
        table_size,
        gre_key: raw.gre_key.map(|key| check.number("gre_key", Some(key), 0..=i64::from(u32::MAX), 0)),
        enabled: raw.enabled.is_none_or(Spanned::into_inner),
        backends,
        place,
    }
}

fn port(check: &mut Check, value: Maybe<i64>) -> Option<NonZeroU16> {
    let value = value?;
    let port = u16::try_from(*value.get_ref()).ok().and_then(NonZeroU16::new);
    if port.is_none() {
        check.push(
            Problem::at(value.span(), format!("port is {}", value.get_ref()))
                .help("give a number from 1 to 65535; remove the key to take all ports"),
        );
    }
    port
}

/// Entries of a slice that is read by hash. Fills other than Maglev's take any number.
fn table_size(check: &mut Check, value: Maybe<i64>, is_maglev: bool) -> u16 {
    let Some(value) = value else { return TABLE_SIZE_DEFAULT };
    let size = *value.get_ref();
    let m = u16::try_from(size).unwrap_or(0);
    if m == 0 || u32::from(m) > TABLE_SIZE_MAX {
        let help = if is_maglev {
            format!("give a prime from 2 to {TABLE_SIZE_MAX}")
        } else {
            format!("give a number from 1 to {TABLE_SIZE_MAX}")
        };
        check.push(Problem::at(value.span(), format!("table_size is {size}")).help(help));
        return TABLE_SIZE_UNKNOWN;
    }
    if is_maglev && !prime::is_prime(u32::from(m)) {
        let help = match prime::neighbours(u32::from(m)) {
            (Some(below), Some(above)) => format!("the nearest primes are {below} and {above}"),
            (Some(prime), None) | (None, Some(prime)) => format!("the nearest prime is {prime}"),
            (None, None) => String::new(),
        };
        let message = format!("table_size is {m}, which is not prime, as a Maglev fill needs it");
        check.push(Problem::at(value.span(), message).help(help));
        return TABLE_SIZE_UNKNOWN;
    }
    m
}

fn backends(check: &mut Check, raw: Vec<Spanned<raw::Backend>>, mtu: u16) -> Vec<Backend> {
    let raw = bounded(check, raw, Geometry::BOUNDS[1]);
    let mut identities: HashMap<String, Range<usize>> = HashMap::new();
    let mut backends = Vec::with_capacity(raw.len());
    for item in raw {
        let place = item.span();
        let raw = item.into_inner();
        let named = raw.name.is_some();
        let identity_place = raw.name.as_ref().or(raw.address.as_ref()).map_or(place.clone(), Spanned::span);
        let address = check.required(("the backend", &place), "address", "10.1.0.1", raw.address.as_ref(), value::ip);
        let name = check.text(raw.name.as_ref(), value::name);
        let identity = match name {
            Some(name) => Some(name),
            None if named => None,
            None => address.map(|address| address.to_string()),
        };
        if let Some(identity) = &identity {
            if let Some(first) = identities.get(identity) {
                check.push(
                    Problem::at(identity_place, format!("the backend {identity:?} is there twice in one service"))
                        .label("again here")
                        .also(first.clone(), "first here")
                        .help("remove one of the two, or give them different names"),
                );
            } else {
                identities.insert(identity.clone(), identity_place);
            }
        }
        backends.push(Backend {
            identity: identity.unwrap_or_default(),
            address: address.unwrap_or(NO_ADDRESS),
            weight: check.number("weight", raw.weight, 0..=i64::from(WEIGHT_MAX), 100),
            state: check.text(raw.state.as_ref(), |text| value::word("state", text, State::WORDS)).unwrap_or(State::Up),
            load: check.number("load", raw.load, 0..=255, 0),
            mtu: check.mtu(raw.mtu, mtu),
            next_hop_mac: check.text(raw.next_hop_mac.as_ref(), value::mac),
            place,
        });
    }
    backends
}

/// A backend's family needs a source address for its outer headers.
fn tunnel_sources(check: &mut Check, services: &[Service], datapath: &Datapath, datapath_place: &Range<usize>) {
    let first = |wanted: fn(&IpAddr) -> bool| {
        let mut backends = services.iter().flat_map(|service| &service.backends);
        backends.find(|backend| backend.address != NO_ADDRESS && wanted(&backend.address))
    };
    for (key, family, example, backend, missing) in [
        ("tunnel_source_v4", "IPv4", "10.0.0.1", first(IpAddr::is_ipv4), datapath.tunnel_source_v4.is_none()),
        ("tunnel_source_v6", "IPv6", "fd00::1", first(IpAddr::is_ipv6), datapath.tunnel_source_v6.is_none()),
    ] {
        if let (Some(backend), true) = (backend, missing) {
            check.push(
                Problem::at(datapath_place.clone(), format!("[datapath] has no {key}, and a backend is {family}"))
                    .label("missing here")
                    .also(backend.place.clone(), format!("this backend is {family}"))
                    .help(format!("add the key, for instance {key} = {example:?}")),
            );
        }
    }
}
