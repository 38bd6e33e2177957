//! What a server must be so that frames leave it as the tables say, and only so.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use maglane_spec::{Geometry, TableImage};
use maglane_sw::fast::Datapath;
use maglane_sw::io::interface::{Destination, Interface};
use maglane_table::{Config, Mac};

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
    /// Service and backend by the number that flows of the flow table have of a backend.
    backends: Vec<(String, String)>,
    /// What services and backends are called.
    pub(super) names: Names,
    /// What is not wrong, but may not be meant.
    pub(super) notes: Vec<String>,
}

impl Site {
    /// Reads a configuration, with its tables, and refuses one that this server cannot serve.
    pub(super) fn read(path: &Path, interface: &Interface, mode: Mode) -> Result<(Self, TableImage)> {
        Self::read_knowing(path, interface, mode, BTreeMap::new())
    }

    /// The same, where some next hops are known already.
    fn read_knowing(
        path: &Path,
        interface: &Interface,
        mode: Mode,
        next_hops: BTreeMap<IpAddr, Mac>,
    ) -> Result<(Self, TableImage)> {
        let config = input::config(path)?;
        let mut neighbours = Neighbours::new(interface, next_hops)?;
        let silent = neighbours.find(&config)?;
        let image = config.image_by(|address| Some(neighbours.of(address)))?;
        let addresses = addresses(&config);
        let refusals: Vec<_> = addresses.iter().filter_map(|&address| check(address, interface, mode).err()).collect();
        ensure!(refusals.is_empty(), "{}: {}", path.display(), in_lines(&refusals));
        let backends = config
            .services()
            .iter()
            .flat_map(|service| service.backends.iter().map(|backend| (service.name.clone(), backend.identity.clone())))
            .collect();
        let notes =
            note_on_mac(&config, interface).into_iter().chain(note_on_geometry(&config)).chain(silent).collect();
        let names = Names::of(&config);
        Ok((Self { path: path.to_owned(), mode, config, addresses, neighbours, backends, names, notes }, image))
    }

    /// Reads the configuration again, and has its tables serve.
    pub(super) fn reload(&mut self, datapath: &Datapath, interface: &Interface) -> Result<()> {
        let known = self.neighbours.known().clone();
        let (new, image) = Self::read_knowing(&self.path, interface, self.mode, known)?;
        self.check_numbers(&new)?;
        new.notes.iter().for_each(|text| output::note(text));
        datapath.update(Arc::new(image))?;
        // A number that has gone from the file stays taken: flows may still have it.
        let kept = self.backends.split_off(new.backends.len().min(self.backends.len()));
        *self = new;
        self.backends.extend(kept);
        Ok(())
    }

    /// Has frames go where the next hops are now; what has changed is said.
    pub(super) fn follow(&mut self, datapath: &Datapath) -> Result<()> {
        let changed = self.neighbours.refresh(&self.config)?;
        if changed.is_empty() {
            return Ok(());
        }
        datapath.update(Arc::new(self.config.image_by(|address| Some(self.neighbours.of(address)))?))?;
        for (address, mac) in changed {
            output::note(&format!("the next hop of {address} is {} now", mac_text(mac)));
        }
        Ok(())
    }

    /// Flows know their backend by its number in the file, so none may become another's.
    fn check_numbers(&self, new: &Self) -> Result<()> {
        let moved = self.backends.iter().zip(&new.backends).find(|(old, new)| old != new);
        let Some(((service, backend), (by_service, by_backend))) = moved else { return Ok(()) };
        bail!(
            "{}: {by_backend} of {by_service} has come to where {backend} of {service} was, whose flows it would take; \
             leave that in the file with state = \"draining\" or \"down\", and append new services, and backends of the \
             last one, at its end; or start again",
            self.path.display()
        );
    }
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
