//! Who has which id: the services and backends of a configuration, and backends that are gone while flows may have theirs.
//!
//! An entry of the flow table is an id, so a flow goes where its backend's id leads. When a configuration takes another's
//! place, each backend that is in both keeps its id, whatever stands where in the file; one that has gone keeps it too, with
//! its destination, until no flow can have it. A backend is the same when its service (address, protocol, port), its
//! identity and its address are: only then may it have flows of before. Which ids flows have is not known here; whoever
//! runs the tables says. The unit of work is one configuration.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use maglane_spec::Geometry;

use crate::config::{Backend, Config, ConfigError, Problem, State};
use crate::place::Key;

/// The ids of one generation of tables.
#[derive(Clone, Debug)]
pub struct Ids {
    geometry: Geometry,
    /// In file order.
    services: Vec<Service>,
    gone: BTreeMap<u16, Gone>,
}

/// A backend that the configuration does not have, and flows may have.
#[derive(Clone, Debug)]
pub struct Gone {
    /// As it was, but that it takes no new flows.
    pub backend: Backend,
    owner: Owner,
}

/// A service with its id.
#[derive(Clone, Debug)]
struct Owner {
    id: u16,
    key: Key,
    name: String,
}

#[derive(Clone, Debug)]
struct Service {
    owner: Owner,
    /// In file order.
    backends: Vec<(u16, Backend)>,
}

/// What makes a backend the same.
type Who<'a> = (Key, &'a str, IpAddr);

impl Ids {
    /// Those of a configuration before which there was none: from 0 in file order, those of backends run on over all
    /// services.
    #[must_use]
    pub fn fresh(config: &Config) -> Self {
        let none = Self { geometry: config.geometry(), services: Vec::new(), gone: BTreeMap::new() };
        none.assign(config, |_| false).unwrap_or_else(|_| unreachable!("a configuration fits its geometry"))
    }

    /// Those of the configuration that comes next: what stays keeps its id, what is new gets the lowest that is free, and
    /// an id that is no longer used stays its backend's as long as flows may have it. A service's id is not free as long as
    /// that of one of its backends is not.
    ///
    /// With other sizes they are fresh, because then no flow is taken along.
    ///
    /// # Errors
    /// When too many ids are kept for flows.
    pub fn next(&self, config: &Config, may_have_flows: impl Fn(u16) -> bool) -> Result<Self, ConfigError> {
        let sizes = |geometry: Geometry| (geometry.services, geometry.backends);
        if sizes(config.geometry()) != sizes(self.geometry) {
            return Ok(Self::fresh(config));
        }
        self.assign(config, may_have_flows)
    }

    /// Id of the service at an index.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn service(&self, index: usize) -> u16 {
        self.services[index].owner.id
    }

    /// Id of the backend at an index of the service at an index.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn backend(&self, service: usize, index: usize) -> u16 {
        self.services[service].backends[index].0
    }

    /// Backends that are gone, by ascending id.
    pub fn gone(&self) -> impl Iterator<Item = (u16, &Gone)> {
        self.gone.iter().map(|(&id, gone)| (id, gone))
    }

    /// Names of all services with an id, those of backends that are gone too.
    pub fn service_names(&self) -> impl Iterator<Item = (u16, &str)> {
        self.owners().map(|owner| (owner.id, owner.name.as_str()))
    }

    /// Identities of all backends with an id.
    pub fn backend_names(&self) -> impl Iterator<Item = (u16, &str)> {
        self.holders().map(|(id, _, backend)| (id, backend.identity.as_str()))
    }

    fn owners(&self) -> impl Iterator<Item = &Owner> {
        // One that has come back has another name, perhaps, than when some of its backends went.
        self.gone.values().map(|gone| &gone.owner).chain(self.services.iter().map(|service| &service.owner))
    }

    fn holders(&self) -> impl Iterator<Item = (u16, &Owner, &Backend)> {
        let there = self
            .services
            .iter()
            .flat_map(|Service { owner, backends }| backends.iter().map(move |(id, backend)| (*id, owner, backend)));
        there.chain(self.gone().map(|(id, gone)| (id, &gone.owner, &gone.backend)))
    }

    fn assign(&self, config: &Config, may_have_flows: impl Fn(u16) -> bool) -> Result<Self, ConfigError> {
        let Geometry { services: services_max, backends: backends_max, .. } = config.geometry();
        let services: Vec<_> = config.services().iter().map(|service| (Key::of(service), service)).collect();
        let wanted: HashSet<Who<'_>> = services
            .iter()
            .flat_map(|(key, service)| service.backends.iter().map(|backend| who(*key, backend)))
            .collect();
        let (mut known, mut gone) = (HashMap::new(), BTreeMap::new());
        for (id, owner, backend) in self.holders() {
            let who = who(owner.key, backend);
            if wanted.contains(&who) {
                known.insert(who, id);
            } else if may_have_flows(id) {
                let backend = Backend { state: state_without_new_flows(config, backend), ..backend.clone() };
                gone.insert(id, Gone { backend, owner: owner.clone() });
            }
        }
        let keys: HashSet<Key> = services.iter().map(|(key, _)| *key).collect();
        let stays = self.owners().filter(|owner| keys.contains(&owner.key));
        let owners: HashMap<Key, u16> =
            stays.chain(gone.values().map(|gone| &gone.owner)).map(|owner| (owner.key, owner.id)).collect();
        let mut free_services = free(services_max, owners.values().copied().collect());
        let mut free_backends = free(backends_max, known.values().chain(gone.keys()).copied().collect());
        let mut assigned = Vec::with_capacity(services.len());
        for (key, service) in services {
            let id = owners.get(&key).copied().or_else(|| free_services.next());
            let id = id.ok_or_else(|| {
                let message = format!("no id is left for the service {:?}", service.name);
                config.error(used_up(Problem::at(service.place.clone(), message), gone.len()).into())
            })?;
            let mut backends = Vec::with_capacity(service.backends.len());
            for backend in &service.backends {
                let id = known.get(&who(key, backend)).copied().or_else(|| free_backends.next());
                let id = id.ok_or_else(|| {
                    let message = format!("no id is left for the backend {:?}", backend.identity);
                    config.error(used_up(Problem::at(backend.place.clone(), message), gone.len()).into())
                })?;
                backends.push((id, backend.clone()));
            }
            assigned.push(Service { owner: Owner { id, key, name: service.name.clone() }, backends });
        }
        Ok(Self { geometry: config.geometry(), services: assigned, gone })
    }
}

impl Gone {
    /// Id of its service.
    #[must_use]
    pub fn service(&self) -> u16 {
        self.owner.id
    }

    /// Name of its service, as it was then.
    #[must_use]
    pub fn service_name(&self) -> &str {
        &self.owner.name
    }
}

fn who(key: Key, backend: &Backend) -> Who<'_> {
    (key, &backend.identity, backend.address)
}

/// The state of a backend that is gone. Without a source for its tunnel it could not be sent anything.
fn state_without_new_flows(config: &Config, backend: &Backend) -> State {
    let datapath = config.datapath();
    let has_source = match backend.address {
        IpAddr::V4(_) => datapath.tunnel_source_v4.is_some(),
        IpAddr::V6(_) => datapath.tunnel_source_v6.is_some(),
    };
    if has_source && backend.state != State::Down { State::Draining } else { State::Down }
}

/// Ids that are not taken, from the lowest.
fn free(room: u32, taken: BTreeSet<u16>) -> impl Iterator<Item = u16> {
    (0..=u16::MAX).take(room as usize).filter(move |id| !taken.contains(id))
}

/// What there is to do when `kept` backends that are gone have the ids that are missing.
fn used_up(problem: Problem, kept: usize) -> Problem {
    problem.label("the first without one").help(format!(
        "{kept} of the ids are kept for flows of backends that are gone: read the file again when those have ended; or \
         choose a geometry with more room, which takes a new start"
    ))
}

#[cfg(test)]
mod tests;
