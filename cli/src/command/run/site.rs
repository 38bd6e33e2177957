//! What a server must be so that frames leave it as the tables say, and only so.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use maglane_spec::{Geometry, TableImage};
use maglane_sw::fast::Datapath;
use maglane_sw::io::interface::{Destination, Interface};
use maglane_sw::slow::limit::PLACE_NS;
use maglane_table::config::State;
use maglane_table::ids::Gone;
use maglane_table::{Config, ConfigError, Ids, Mac};

use super::next_hops::Neighbours;
use crate::args::Mode;
use crate::command::trace::Names;
use crate::input;
use crate::output::{self, counted, thousands};

/// The configuration that serves.
pub(super) struct Site {
    path: PathBuf,
    mode: Mode,
    config: Config,
    /// The virtual addresses.
    pub(super) addresses: BTreeSet<IpAddr>,
    neighbours: Neighbours,
    ids: Ids,
    /// Since when backends are gone, by id.
    gone: BTreeMap<u16, Instant>,
    /// What services and backends are called.
    pub(super) names: Names,
    /// What is not wrong, but may not be meant.
    pub(super) notes: Vec<String>,
}

/// How long an id is kept at least after its backend has gone: longer than a datagram in pieces has its backend, and than a
/// worker has tables of before.
const REST: Duration = Duration::from_nanos(2 * PLACE_NS);
/// Backends that are named as gone, at once.
const GONE_NAMED: usize = 8;

impl Site {
    /// Reads a configuration, with its tables, and refuses one that this server cannot serve.
    pub(super) fn read(path: &Path, interface: &Interface, mode: Mode) -> Result<(Self, TableImage)> {
        Self::read_after(None, path, interface, mode)
    }

    /// The same, where another serves until then.
    fn read_after(
        before: Option<(&Self, &Datapath)>,
        path: &Path,
        interface: &Interface,
        mode: Mode,
    ) -> Result<(Self, TableImage)> {
        let config = input::config(path)?;
        let known = before.map(|(site, _)| site.neighbours.known().clone()).unwrap_or_default();
        let mut neighbours = Neighbours::new(interface, known)?;
        let silent = neighbours.find(&config.without_next_hop().collect())?;
        let ids = match before {
            None => Ids::fresh(&config),
            Some((site, datapath)) => site.next_ids(&config, datapath)?,
        };
        let image = config.image_as(&ids, |address| Some(neighbours.of(address)))?;
        let addresses = addresses(&config);
        let refusals: Vec<_> = addresses.iter().filter_map(|&address| check(address, interface, mode).err()).collect();
        ensure!(refusals.is_empty(), "{}: {}", path.display(), in_lines(&refusals));
        let since = |id| before.and_then(|(site, _)| site.gone.get(&id).copied());
        let lost = ids.gone().filter(|&(id, _)| since(id).is_none()).map(|(_, gone)| gone);
        let notes = note_on_mac(&config, interface).into_iter().chain(note_on_geometry(&config));
        let notes = notes.chain(silent).chain(notes_on_gone(lost)).collect();
        let gone = ids.gone().map(|(id, _)| (id, since(id).unwrap_or_else(Instant::now))).collect();
        let names = Names::of(&ids);
        Ok((Self { path: path.to_owned(), mode, config, addresses, neighbours, ids, gone, names, notes }, image))
    }

    /// Reads the configuration again, and has its tables serve.
    pub(super) fn reload(&mut self, datapath: &Datapath, interface: &Interface) -> Result<()> {
        let (new, image) = Self::read_after(Some((self, datapath)), &self.path, interface, self.mode)?;
        datapath.update(Arc::new(image))?;
        new.notes.iter().for_each(|text| output::note(text));
        *self = new;
        Ok(())
    }

    /// Has frames go where the next hops are now; what has changed is said.
    pub(super) fn follow(&mut self, datapath: &Datapath) -> Result<()> {
        let gone = self.ids.gone().map(|(_, gone)| &gone.backend);
        let gone = gone.filter(|backend| self.config.next_hop(backend).is_none()).map(|backend| backend.address);
        let changed = self.neighbours.refresh(&self.config.without_next_hop().chain(gone).collect())?;
        if changed.is_empty() {
            return Ok(());
        }
        let image = self.config.image_as(&self.ids, |address| Some(self.neighbours.of(address)))?;
        datapath.update(Arc::new(image))?;
        for (address, mac) in changed {
            output::note(&format!("the next hop of {address} is {} now", mac_text(mac)));
        }
        Ok(())
    }

    /// Flows know their backend by its id, which must not become another's while they live.
    fn next_ids(&self, config: &Config, datapath: &Datapath) -> Result<Ids, ConfigError> {
        let live = datapath.live_flows();
        self.ids.next(config, |id| {
            let flows = live.get(usize::from(id)).copied().unwrap_or(0);
            may_have_flows(self.gone.get(&id).map(Instant::elapsed), flows)
        })
    }
}

/// Whether flows may have an id of a backend that has been gone for a time, if it has, and of which so many are known.
fn may_have_flows(gone: Option<Duration>, flows: u32) -> bool {
    // One that is there takes new flows in this moment.
    gone.is_none_or(|gone| gone < REST) || flows > 0
}

/// Backends that have gone with the last file.
fn notes_on_gone<'a>(gone: impl Iterator<Item = &'a Gone>) -> Vec<String> {
    let mut gone = gone.filter(|gone| gone.backend.state != State::Down);
    let note = |gone: &Gone| {
        let (backend, service) = (&gone.backend.identity, gone.service_name());
        format!("{backend} of {service} is no longer there: it takes no new flows, and keeps those that it has")
    };
    let mut notes: Vec<String> = gone.by_ref().take(GONE_NAMED).map(note).collect();
    match gone.count() {
        0 => {}
        more => notes.push(format!("the same holds for {}", counted(more, "other backend"))),
    }
    notes
}

fn addresses(config: &Config) -> BTreeSet<IpAddr> {
    config.services().iter().map(|service| service.address).collect()
}

/// With packet sockets the kernel sees every frame as well: it must neither answer nor send on what is forwarded here. With
/// AF_XDP it sees what is passed only: it may answer that, and must not send it on, for it would come in again.
fn check(address: IpAddr, interface: &Interface, mode: Mode) -> Result<()> {
    let (flag, bits) = if address.is_ipv4() { ("-4", 32) } else { ("-6", 128) };
    let name = interface.name();
    match Destination::of(address) {
        Destination::Own if mode == Mode::AfXdp => Ok(()),
        Destination::Own => bail!(
            "{address} is an address of this machine, whose kernel would answer what is forwarded to backends; take it \
             away (`ip addr` shows where it is: ip addr del {address}/{bits} dev DEVICE) and route it here instead"
        ),
        Destination::Elsewhere | Destination::Unreachable if interface.is_router_for(address) => bail!(
            "this machine routes what comes in at {name}, so what is forwarded to backends would leave a second time; \
             have the kernel drop it: ip {flag} route add blackhole {address}/{bits}"
        ),
        Destination::Unreachable if mode == Mode::AfPacket && address.is_ipv6() => bail!(
            "this machine has no route to {address}, so its kernel would tell clients that what is forwarded to backends \
             is unreachable; have it drop that: ip {flag} route add blackhole {address}/{bits}"
        ),
        Destination::Elsewhere | Destination::Unreachable | Destination::Dropped => Ok(()),
    }
}

/// Frames to another MAC address than the interface's do not come in by themselves.
fn note_on_mac(config: &Config, interface: &Interface) -> Option<String> {
    let ours = config.datapath().mac;
    (ours != interface.mac()).then(|| {
        format!(
            "the configuration's mac is {}, that of {} is {}: what comes to the latter is passed as pass_other_mac; \
             set mac = \"{}\" in [datapath], or have the interface take frames to the former (ip link set {} promisc on)",
            mac_text(ours),
            interface.name(),
            mac_text(interface.mac()),
            mac_text(interface.mac()),
            interface.name()
        )
    })
}

/// Who has not chosen may have more flows than the tables of a laboratory.
fn note_on_geometry(config: &Config) -> Option<String> {
    (!config.names_geometry()).then(|| {
        format!(
            "the configuration names no geometry, so the flow table has room for {}; geometry = \"alveo\" in [datapath] has \
             it for {}",
            counted(config.geometry().flows(), "flow"),
            thousands(Geometry::ALVEO.flows())
        )
    })
}

/// One as it is, several each on a line.
fn in_lines(refusals: &[anyhow::Error]) -> String {
    match refusals {
        [one] => one.to_string(),
        all => format!(
            "{} of its addresses cannot be served here:{}",
            thousands(all.len()),
            all.iter().map(|one| format!("\n  {one}")).collect::<String>()
        ),
    }
}

fn mac_text(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_of_a_backend_that_is_gone_is_free_when_it_has_rested_and_has_no_flows() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (gone, flows, expected) in [
            (None, 0, true),
            (seconds(0), 0, true),
            (seconds(6), 0, true),
            (seconds(60), 1, true),
            (seconds(60), 0, false),
        ] {
            assert_eq!(may_have_flows(gone, flows), expected, "{gone:?}, {flows} flows");
        }
    }
}
