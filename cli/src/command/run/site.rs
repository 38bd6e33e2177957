//! The configuration that serves, and the one that comes after it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use maglane_spec::{Geometry, TableImage};
use maglane_sw::fast::Datapath;
use maglane_sw::io::interface::Interface;
use maglane_sw::slow::limit::PLACE_NS;
use maglane_table::config::{Service, State};
use maglane_table::ids::Gone;
use maglane_table::{Config, ConfigError, Ids, Mac};

use super::machine::{self, Trouble, mac_text};
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
        let ids = match before {
            None => Ids::fresh(&config),
            Some((site, datapath)) => site.next_ids(&config, datapath)?,
        };
        let silent = neighbours.find(&without_next_hop(&config, &ids))?;
        let image = config.image_as(&ids, |address| Some(neighbours.of(address)))?;
        let addresses = addresses(&config);
        // Of one that is served already it is only told: a backend has to be drained on a machine that has changed, too.
        let is_served = |address: &&IpAddr| before.is_some_and(|(site, _)| site.addresses.contains(address));
        let new = addresses.iter().filter(|address| !is_served(address));
        let troubles: Vec<_> = new.filter_map(|&address| machine::of_address(address, interface, mode)).collect();
        ensure!(troubles.is_empty(), "{}: {}", path.display(), in_lines(&troubles));
        let since = |id| before.and_then(|(site, _)| site.gone.get(&id).copied());
        let lost: Vec<&Gone> = ids.gone().filter(|&(id, _)| since(id).is_none()).map(|(_, gone)| gone).collect();
        // Later, who looks at the machine tells that.
        let mac = machine::of_mac(config.datapath().mac, interface).filter(|_| before.is_none());
        let notes = mac.map(|trouble| trouble.to_string()).into_iter();
        let notes = notes.chain(note_on_geometry(&config)).chain(notes_on_services(&config));
        let notes = notes.chain(silent).chain(notes_on_gone(&config, &ids, &lost)).collect();
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
        let (changed, failed) = self.neighbours.refresh(&without_next_hop(&self.config, &self.ids));
        if !changed.is_empty() {
            let image = self.config.image_as(&self.ids, |address| Some(self.neighbours.of(address)))?;
            datapath.update(Arc::new(image))?;
        }
        for (address, mac) in changed {
            output::note(&format!("the next hop of {address} is {} now", mac_text(mac)));
        }
        Ok(failed.map_or(Ok(()), Err)?)
    }

    /// Our MAC address in frames.
    pub(super) fn mac(&self) -> Mac {
        self.config.datapath().mac
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

/// Backends whose next hop is a neighbour's, those that are gone too.
fn without_next_hop(config: &Config, ids: &Ids) -> BTreeSet<IpAddr> {
    let gone = ids.gone().map(|(_, gone)| &gone.backend);
    let gone = gone.filter(|backend| config.next_hop(backend).is_none()).map(|backend| backend.address);
    config.without_next_hop().chain(gone).collect()
}

/// Backends and services that have gone with the last file.
fn notes_on_gone(config: &Config, ids: &Ids, gone: &[&Gone]) -> Vec<String> {
    let services: BTreeSet<u16> = (0..config.services().len()).map(|index| ids.service(index)).collect();
    let (of_those, of_none): (Vec<&Gone>, Vec<&Gone>) =
        gone.iter().partition(|gone| services.contains(&gone.service()));
    let backends = of_those.into_iter().filter(|gone| gone.backend.state != State::Down).map(|gone| {
        let (backend, service) = (&gone.backend.identity, gone.service_name());
        format!("{backend} of {service} is no longer there: it takes no new flows, and keeps those that it has")
    });
    let services: BTreeMap<u16, &str> = of_none.iter().map(|gone| (gone.service(), gone.service_name())).collect();
    let services = services.into_values().map(|service| {
        format!("{service} is no longer there: no frames to it are forwarded, those of flows that it has included")
    });
    [output::first_of(backends, "other backend"), output::first_of(services, "other service")].concat()
}

fn addresses(config: &Config) -> BTreeSet<IpAddr> {
    config.services().iter().map(|service| service.address).collect()
}

/// Services whose new flows go nowhere, which is not said of any single frame.
fn notes_on_services(config: &Config) -> Vec<String> {
    let takes_none = |service: &&Service| service.backends.iter().all(|backend| backend.fill_weight() == 0);
    let services = config.services().iter().filter(|service| service.enabled).filter(takes_none);
    let note = |service: &Service| {
        format!(
            "{} has no backend that is up and has a weight: frames of new flows to it are dropped (drop_no_backend)",
            service.name
        )
    };
    output::first_of(services.map(note), "other service")
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
fn in_lines(troubles: &[Trouble]) -> String {
    match troubles {
        [one] => one.to_string(),
        all => format!(
            "{} of its addresses cannot be served here:{}",
            thousands(all.len()),
            all.iter().map(|one| format!("\n  {one}")).collect::<String>()
        ),
    }
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
