//! How evenly a service's slots are shared out: what `maglane table show` prints.

use std::net::IpAddr;

use maglane_spec::limit::NO_BACKEND;
use maglane_spec::row::{BackendRow, ServiceRow};
use serde::Serialize;

use crate::audit::{address, valid_services};
use crate::config::State;
use crate::file::{ServiceNames, TableFile};

/// A service's slots.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceBalance {
    /// Service id.
    pub id: u16,
    /// Its name.
    pub name: String,
    /// VIP.
    pub address: IpAddr,
    /// Destination port; none for all.
    pub port: Option<u16>,
    /// IP protocol number.
    pub protocol: u8,
    /// Whether it takes frames.
    pub enabled: bool,
    /// How the slots were filled, in the configuration's word; none where only the tables are at hand.
    pub scheduler: Option<&'static str>,
    /// How the pipeline reads the slots: `hash`, `two-choice` or `sequence`.
    pub selection: &'static str,
    /// Slots.
    pub table_size: u16,
    /// Slots of nobody.
    pub slots_empty: u32,
    /// Greatest distance of a share from the one due, as a fraction of the one due.
    pub deviation_max: f64,
    /// Its backends.
    pub backends: Vec<BackendBalance>,
}

/// A backend's slots.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BackendBalance {
    /// Backend id.
    pub id: u16,
    /// Its identity.
    pub name: String,
    /// `up`, `draining` or `down`.
    pub state: &'static str,
    /// Weight that the configuration gives it; none where only the tables are at hand and it is not up.
    pub weight_configured: Option<u16>,
    /// Weight with which it takes new flows: 0 when it is not up.
    pub weight: u16,
    /// Slots that it has.
    pub slots: u32,
    /// These as a fraction of all.
    pub share: f64,
    /// Its weight as a fraction of all weights.
    pub share_due: f64,
    /// Distance of the share from the one due, as a fraction of the one due; 0 where none is due.
    pub deviation: f64,
}

impl TableFile {
    /// The balance of every service, by ascending id.
    #[must_use]
    pub fn balance(&self) -> Vec<ServiceBalance> {
        self.services().map(|(row, names)| self.service_balance(row, names)).collect()
    }

    /// The rows in use with their names, by ascending id.
    pub(crate) fn services(&self) -> impl Iterator<Item = (&ServiceRow, &ServiceNames)> {
        let mut rows: Vec<&ServiceRow> = valid_services(&self.image).collect();
        rows.sort_by_key(|row| row.id.value());
        rows.into_iter().filter_map(|row| {
            let names = self.names.services.iter().find(|names| names.id == row.id.value())?;
            Some((row, names))
        })
    }

    /// Backend ids of a service's slice.
    pub(crate) fn slice(&self, row: &ServiceRow) -> impl Iterator<Item = u16> {
        let start = row.lookup_base_value() as usize;
        let entries = self.image.lookup.iter().skip(start).take(usize::from(row.table_size.value()));
        entries.map(|entry| entry.value())
    }

    fn service_balance(&self, row: &ServiceRow, names: &ServiceNames) -> ServiceBalance {
        let mut slots = vec![0u32; self.image.backends.len()];
        let mut slots_empty = 0;
        for id in self.slice(row) {
            match slots.get_mut(usize::from(id)) {
                Some(slots) if id != NO_BACKEND => *slots += 1,
                _ => slots_empty += 1,
            }
        }
        let weights: u64 = names.backends.iter().map(|backend| u64::from(backend.weight)).sum();
        let table_size = row.table_size.value();
        let backends: Vec<BackendBalance> = names
            .backends
            .iter()
            .map(|backend| {
                let slots = slots.get(usize::from(backend.id)).copied().unwrap_or(0);
                let share = f64::from(slots) / f64::from(table_size);
                let (share_due, deviation) = if backend.weight == 0 {
                    (0.0, 0.0)
                } else {
                    // At most 2^15 weights of 16 bits: exact as a float.
                    #[allow(clippy::cast_precision_loss)]
                    let due = f64::from(backend.weight) / weights as f64;
                    (due, share / due - 1.0)
                };
                BackendBalance {
                    id: backend.id,
                    name: backend.name.clone(),
                    state: self.image.backends.get(usize::from(backend.id)).map_or("down", state),
                    weight_configured: self.weight(backend),
                    weight: backend.weight,
                    slots,
                    share,
                    share_due,
                    deviation,
                }
            })
            .collect();
        ServiceBalance {
            id: names.id,
            name: names.name.clone(),
            address: address(row.address, row.flags & ServiceRow::FLAG_IPV6 != 0),
            port: (row.flags & ServiceRow::FLAG_ALL_PORTS == 0).then(|| row.port.value()),
            protocol: row.protocol,
            enabled: row.flags & ServiceRow::FLAG_ENABLED != 0,
            scheduler: None,
            selection: selection(row),
            table_size,
            slots_empty,
            deviation_max: backends.iter().map(|backend| backend.deviation.abs()).fold(0.0, f64::max),
            backends,
        }
    }
}

/// The word for how the pipeline reads a service's slots.
pub(crate) fn selection(row: &ServiceRow) -> &'static str {
    match row.selection {
        ServiceRow::SELECTION_TWO_CHOICE => "two-choice",
        ServiceRow::SELECTION_SEQUENCE => "sequence",
        _ => "hash",
    }
}

/// The configuration's word for the state of a backend's row.
pub(crate) fn state(row: &BackendRow) -> &'static str {
    let word = State::WORDS.iter().find(|(_, state)| state.code() == row.state);
    // Any other code counts as down.
    word.map_or(State::Down.word(), |(word, _)| *word)
}

#[cfg(test)]
mod tests {
    use crate::Config;

    #[test]
    fn balance_counts_every_slot() {
        let text = include_str!("../../examples/web.toml");
        let balance = Config::parse("web.toml", text).unwrap().table_file().unwrap().balance();
        assert_eq!(balance.len(), 6);
        for service in &balance {
            let slots: u32 = service.backends.iter().map(|backend| backend.slots).sum();
            assert_eq!(slots + service.slots_empty, u32::from(service.table_size), "{}", service.name);
            assert!(service.deviation_max < 0.03, "{service:?}");
        }
        let web = &balance[0];
        assert_eq!((web.name.as_str(), web.port, web.protocol, web.enabled), ("web", Some(80), 6, true));
        assert_eq!(web.address.to_string(), "192.0.2.10");
        let [first, _, half, draining] = &web.backends[..] else { panic!("{web:?}") };
        assert!((first.share_due - 0.4).abs() < 1e-12 && (half.share_due - 0.2).abs() < 1e-12);
        assert_eq!((draining.weight, draining.slots, draining.deviation), (0, 0, 0.0));
        assert_eq!((balance[4].port, balance[5].enabled), (None, false));
        assert!(serde_json::to_string(&balance).unwrap().contains("\"address\":\"192.0.2.10\""));
    }

    #[test]
    fn balance_is_that_of_the_scheduler() {
        let text = include_str!("../../examples/schedulers.toml");
        let balance = Config::parse("schedulers.toml", text).unwrap().table_file().unwrap().balance();
        for service in &balance {
            let (selection, deviation) = match service.name.as_str() {
                "batch" => ("sequence", 1e-9),
                "search" => ("two-choice", 0.01),
                "cache" => ("hash", 0.25),
                _ => ("hash", 0.01),
            };
            assert_eq!(service.selection, selection, "{}", service.name);
            assert!(service.deviation_max < deviation && service.slots_empty == 0, "{service:?}");
        }
    }

    #[test]
    fn slots_of_nobody_are_counted() {
        let text = include_str!("../../examples/web.toml").replace("name = \"staging-1\"", "state = \"down\"");
        let balance = Config::parse("web.toml", &text).unwrap().table_file().unwrap().balance();
        assert_eq!((balance[5].slots_empty, balance[5].deviation_max), (127, 0.0));
    }
}
