//! Whether tables that come from outside are ones that this crate could have built.
//!
//! The pipeline takes any tables and does something defined with them, but with wrong ones it sends a service's frames
//! to another service's backends, or to nobody. So whoever reads tables from a file checks them first.

use std::collections::HashSet;
use std::net::IpAddr;

use maglane_spec::TableImage;
use maglane_spec::endian::U16Le;
use maglane_spec::limit::{MTU_MAX, MTU_MIN, NO_BACKEND, SOURCE_ENTROPY_BITS_MAX, TABLE_SIZE_MAX, TIMEOUT_TICKS_MAX};
use maglane_spec::row::{BackendRow, DatapathRow, ROW_BYTES, ServiceRow};

use crate::config;
use crate::file::Names;
use crate::place;

/// What is wrong, and at which byte of the memories in a row: datapath, services, lookup, backends.
pub(crate) struct Flaw {
    pub(crate) offset: usize,
    pub(crate) what: String,
}

/// Checks all rows, then what points at them.
pub(crate) fn image(image: &TableImage) -> Result<(), Flaw> {
    let services_at = DatapathRow::BYTES;
    let lookup_at = services_at + image.services.len() * ROW_BYTES;
    let backends_at = lookup_at + image.lookup.len() * size_of::<U16Le>();
    let service_flaw =
        |row, what| Flaw { offset: services_at + row * ROW_BYTES, what: format!("service row {row}: {what}") };

    datapath(&image.datapath).map_err(|what| Flaw { offset: 0, what: format!("the datapath row: {what}") })?;
    let (mut ids, mut keys) = (HashSet::new(), HashSet::new());
    for (row, service) in image.services.iter().enumerate() {
        self::service(image, row, service, &mut ids, &mut keys).map_err(|what| service_flaw(row, what))?;
    }
    for (id, backend) in image.backends.iter().enumerate() {
        self::backend(image, &ids, backend)
            .map_err(|what| Flaw { offset: backends_at + id * ROW_BYTES, what: format!("backend row {id}: {what}") })?;
    }
    slices(image).map_err(|(row, what)| service_flaw(row, what))?;
    lookup(image).map_err(|(index, what)| Flaw {
        offset: lookup_at + index * size_of::<U16Le>(),
        what: format!("lookup entry {index} points at {what}"),
    })
}

/// Checks that names belong to ids that exist, each once, and can be printed.
pub(crate) fn names(names: &Names, image: &TableImage) -> Result<(), String> {
    let used: HashSet<u16> = valid_services(image).map(|service| service.id.value()).collect();
    let chosen: HashSet<u16> =
        valid_services(image).flat_map(|service| slice_of(image, service)).map(|(_, id)| id).collect();
    let (mut services, mut service_names, mut backends) = (HashSet::new(), HashSet::new(), HashSet::new());
    for service in &names.services {
        if !config::is_name(&service.name) || !service_names.insert(&service.name) {
            return Err(format!("the service name {:?} is there twice or cannot be printed", service.name));
        }
        if !used.contains(&service.id) || !services.insert(service.id) {
            return Err(format!("{:?} names service {}, which does not exist or has a name", service.name, service.id));
        }
        let mut backend_names = HashSet::new();
        for backend in &service.backends {
            if !config::is_name(&backend.name) || !backend_names.insert(&backend.name) {
                return Err(format!("the backend name {:?} is there twice or cannot be printed", backend.name));
            }
            let row = image.backends.get(usize::from(backend.id)).filter(|row| is_used(row));
            let row = row.filter(|row| row.service.value() == service.id && backends.insert(backend.id));
            let Some(row) = row else {
                return Err(format!(
                    "{:?} names backend {}, which service {} does not have or which has a name",
                    backend.name, backend.id, service.id
                ));
            };
            if backend.weight > 0 && row.state != BackendRow::STATE_UP {
                return Err(format!("{:?} has a weight, but backend {} is not up", backend.name, backend.id));
            }
            if backend.weight == 0 && chosen.contains(&backend.id) {
                return Err(format!("{:?} has slots, but no weight", backend.name));
            }
        }
    }
    if let Some(id) = used.difference(&services).min() {
        return Err(format!("service {id} has no name"));
    }
    let mut ids = (0..).zip(&image.backends).filter(|(_, row)| is_used(row)).map(|(id, _)| id);
    match ids.find(|id| !backends.contains(id)) {
        Some(id) => Err(format!("backend {id} has no name")),
        None => Ok(()),
    }
}

/// Rows that are in use.
pub(crate) fn valid_services(image: &TableImage) -> impl Iterator<Item = &ServiceRow> {
    image.services.iter().filter(|service| service.flags & ServiceRow::FLAG_VALID != 0)
}

/// Whether a backend row is in use.
fn is_used(row: &BackendRow) -> bool {
    *row != BackendRow::default()
}

/// The slices: none takes in an entry of another.
fn slices(image: &TableImage) -> Result<(), (usize, String)> {
    let rows = image.services.iter().enumerate();
    let mut slices: Vec<(u32, u32, usize)> = rows
        .filter(|(_, row)| row.flags & ServiceRow::FLAG_VALID != 0)
        .map(|(index, row)| (row.lookup_base_value(), config::slice_entries(row.table_size.value()), index))
        .collect();
    slices.sort_unstable();
    let mut end = 0;
    for (base, entries, row) in slices {
        if base < end {
            return Err((row, "its lookup slice begins within that of another service".to_owned()));
        }
        end = base + entries;
    }
    Ok(())
}

/// Every entry points at a backend that exists; those of a slice at one of the service that takes new flows.
fn lookup(image: &TableImage) -> Result<(), (usize, String)> {
    let row = |id: u16| image.backends.get(usize::from(id)).filter(|row| is_used(row));
    for (index, entry) in image.lookup.iter().enumerate() {
        let id = entry.value();
        if id != NO_BACKEND && row(id).is_none() {
            return Err((index, format!("backend {id}, which does not exist")));
        }
    }
    for service in valid_services(image) {
        for (index, id) in slice_of(image, service) {
            let Some(backend) = row(id) else { continue };
            if backend.service != service.id {
                let (own, other) = (service.id.value(), backend.service.value());
                return Err((index, format!("backend {id} of service {other}, but is in the slice of service {own}")));
            }
            if backend.state != BackendRow::STATE_UP {
                return Err((index, format!("backend {id}, which does not take new flows")));
            }
        }
    }
    Ok(())
}

/// Indices and ids of a service's slice, which lies inside the memory.
fn slice_of<'a>(image: &'a TableImage, service: &ServiceRow) -> impl Iterator<Item = (usize, u16)> + use<'a> {
    let (base, len) = (service.lookup_base_value() as usize, usize::from(service.table_size.value()));
    image.lookup.iter().map(|entry| entry.value()).enumerate().skip(base).take(len)
}

fn datapath(row: &DatapathRow) -> Result<(), String> {
    let timeouts_are_sound = row.timeout_ticks.iter().all(|ticks| (1..=TIMEOUT_TICKS_MAX).contains(ticks));
    for (sound, what) in [
        (config::is_station(row.mac), "the MAC address is not that of one station"),
        (row.ttl > 0, "ttl is 0"),
        (row.flags & !DatapathRow::FLAG_CHECK_MAC == 0, "unknown flags"),
        (is_host_or_none(row.tunnel_source_v4.into()), "the IPv4 tunnel source is not the address of a host"),
        (is_host_or_none(row.tunnel_source_v6.into()), "the IPv6 tunnel source is not the address of a host"),
        (row.source_entropy_bits <= SOURCE_ENTROPY_BITS_MAX, "too many source entropy bits"),
        (row.tick_ms.value() > 0, "a tick of no length"),
        (timeouts_are_sound, "a timeout outside its range"),
        (row.reserved == [0; 3] && row.reserved2 == 0, "reserved bytes are not zero"),
    ] {
        if !sound {
            return Err(what.to_owned());
        }
    }
    Ok(())
}

fn service(
    image: &TableImage,
    index: usize,
    row: &ServiceRow,
    ids: &mut HashSet<u16>,
    keys: &mut HashSet<place::Key>,
) -> Result<(), String> {
    if row.flags & ServiceRow::FLAG_VALID == 0 {
        return if *row == ServiceRow::default() { Ok(()) } else { Err("not in use, but not zero".to_owned()) };
    }
    let services = image.geometry.services;
    let key = place::Key {
        address: row.address,
        port: row.port.value(),
        protocol: row.protocol,
        flags: row.flags & ServiceRow::KEY_FLAGS,
    };
    let seeds = image.datapath.service_seed.map(|seeds| seeds.map(|seed| seed.value()));
    let table = index / services as usize;
    let all_ports = row.flags & ServiceRow::FLAG_ALL_PORTS != 0;
    let is_ipv6 = row.flags & ServiceRow::FLAG_IPV6 != 0;
    let has_gre_key = row.flags & ServiceRow::FLAG_GRE_KEY != 0;
    let size = u32::from(row.table_size.value());
    for (sound, what) in [
        (matches!(row.protocol, 6 | 17), "neither TCP nor UDP"),
        (all_ports == (row.port.value() == 0), "port 0 and the flag for all ports disagree"),
        (is_ipv6 || row.address[4..] == [0; 12], "bytes after an IPv4 address are not zero"),
        (config::is_host(address(row.address, is_ipv6)), "the address is not that of a host"),
        (has_gre_key || row.gre_key.value() == 0, "a GRE key that no flag announces"),
        (row.flags >> ServiceRow::AFFINITY_SHIFT <= ServiceRow::AFFINITY_CLIENT, "an unknown affinity"),
        (row.selection <= ServiceRow::SELECTION_SEQUENCE, "an unknown selection"),
        ((1..=TABLE_SIZE_MAX).contains(&size), "a table size outside its range"),
        (row.lookup_base_value() + size <= image.geometry.lookup_side_entries(), "a lookup slice past the memory"),
        (row.lookup_base_value().is_multiple_of(2), "a lookup slice that starts within a word"),
        (u32::from(row.id.value()) < services, "an id beyond the geometry"),
        (ids.insert(row.id.value()), "an id that another row has"),
        (
            index % services as usize == place::row(&key.words(), &seeds, table, services),
            "not where its hash leads: no frame would find it",
        ),
        (keys.insert(key), "the address, protocol and port of another row: no frame would find one of the two"),
    ] {
        if !sound {
            return Err(what.to_owned());
        }
    }
    Ok(())
}

fn backend(image: &TableImage, services: &HashSet<u16>, row: &BackendRow) -> Result<(), String> {
    if !is_used(row) {
        return Ok(());
    }
    let is_ipv4 = row.encapsulation == BackendRow::ENCAPSULATION_GRE_IPV4;
    let is_ipv6 = row.encapsulation == BackendRow::ENCAPSULATION_GRE_IPV6;
    let datapath = &image.datapath;
    for (sound, what) in [
        (is_ipv4 || is_ipv6, "an unknown encapsulation"),
        (!is_ipv4 || row.address[4..] == [0; 12], "bytes after an IPv4 address are not zero"),
        (config::is_host(address(row.address, is_ipv6)), "the address is not that of a host"),
        (!is_ipv4 || datapath.tunnel_source_v4 != [0; 4], "IPv4, but there is no IPv4 tunnel source"),
        (!is_ipv6 || datapath.tunnel_source_v6 != [0; 16], "IPv6, but there is no IPv6 tunnel source"),
        (config::is_station(row.next_hop_mac), "the next hop is not the MAC address of one station"),
        (row.state <= BackendRow::STATE_UP, "an unknown state"),
        ((MTU_MIN..=MTU_MAX).contains(&row.mtu.value()), "an MTU outside its range"),
        (services.contains(&row.service.value()), "of a service that does not exist"),
        (row.reserved == [0; 3], "reserved bytes are not zero"),
    ] {
        if !sound {
            return Err(what.to_owned());
        }
    }
    Ok(())
}

/// An address as a row holds it.
pub(crate) fn address(bytes: [u8; 16], is_ipv6: bool) -> IpAddr {
    if is_ipv6 {
        return IpAddr::from(bytes);
    }
    let [a, b, c, d, ..] = bytes;
    IpAddr::from([a, b, c, d])
}

fn is_host_or_none(address: IpAddr) -> bool {
    address.is_unspecified() || config::is_host(address)
}

#[cfg(test)]
mod tests;
