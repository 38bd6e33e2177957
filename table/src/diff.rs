//! What changes from one image to another: what `maglane table diff` prints.
//!
//! Services and backends are matched by name, not by id: what counts is whose flows move.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::file::{ServiceNames, TableFile};

/// What changes from one image to another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableDiff {
    /// The sizes of the tables differ: the images are not for the same build.
    pub geometry_changed: bool,
    /// The datapath row differs.
    pub datapath_changed: bool,
    /// Service rows that differ, in memory.
    pub service_rows_changed: usize,
    /// Backend rows that differ, in memory.
    pub backend_rows_changed: usize,
    /// Lookup entries that differ, in memory.
    pub lookup_entries_changed: usize,
    /// Names of services that only the new image has.
    pub services_added: Vec<String>,
    /// Names of services that only the old image has.
    pub services_removed: Vec<String>,
    /// Services that both have, in the order of the new image.
    pub services: Vec<ServiceDiff>,
}

/// What changes in one service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceDiff {
    /// Its name.
    pub name: String,
    /// Slots in the old image.
    pub table_size_before: u16,
    /// Slots in the new image.
    pub table_size: u16,
    /// Slots of the new image whose new flows meet another backend than before. Those of round robin are not reached by
    /// hash, so that they tell how much of the sequence changes, not which flows do.
    pub slots_moved: u32,
    /// These as a fraction of all.
    pub share_moved: f64,
    /// From whom to whom, the most first.
    pub moves: Vec<Move>,
}

/// Slots that move from one backend to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Move {
    /// Whose they were; none when nobody's.
    pub from: Option<String>,
    /// Whose they are; none when nobody's.
    pub to: Option<String>,
    /// How many.
    pub slots: u32,
}

/// Compares an old image with a new one.
///
/// Where the number of slots differs, each slot of the new slice is compared with the old slot that the same hash
/// reached.
#[must_use]
pub fn diff(old: &TableFile, new: &TableFile) -> TableDiff {
    let before: HashMap<&str, _> = old.services().map(|(row, names)| (names.name.as_str(), (row, names))).collect();
    let mut services_added = Vec::new();
    let mut services = Vec::new();
    for (row, names) in new.services() {
        match before.get(names.name.as_str()) {
            None => services_added.push(names.name.clone()),
            Some(&(old_row, old_names)) => {
                let old_slice = identities(old, old_names, old.slice(old_row));
                services.push(service_diff(names, &old_slice, &identities(new, names, new.slice(row))));
            }
        }
    }
    let is_gone = |name: &&str| !new.names.services.iter().any(|service| service.name == **name);
    let gone = old.services().map(|(_, names)| names.name.as_str()).filter(is_gone);
    TableDiff {
        geometry_changed: old.image.geometry != new.image.geometry,
        datapath_changed: old.image.datapath != new.image.datapath,
        service_rows_changed: changed(&old.image.services, &new.image.services),
        backend_rows_changed: changed(&old.image.backends, &new.image.backends),
        lookup_entries_changed: changed(&old.image.lookup, &new.image.lookup),
        services_added,
        services_removed: gone.map(str::to_owned).collect(),
        services,
    }
}

/// Rows that differ; those that only one side has count.
fn changed<T: PartialEq>(old: &[T], new: &[T]) -> usize {
    old.iter().zip(new).filter(|(old, new)| old != new).count() + old.len().abs_diff(new.len())
}

/// A slice as identities.
fn identities<'a>(file: &TableFile, names: &'a ServiceNames, slice: impl Iterator<Item = u16>) -> Vec<Option<&'a str>> {
    let mut by_id = vec![None; file.image.backends.len()];
    for backend in &names.backends {
        if let Some(name) = by_id.get_mut(usize::from(backend.id)) {
            *name = Some(backend.name.as_str());
        }
    }
    slice.map(|id| by_id.get(usize::from(id)).copied().flatten()).collect()
}

fn service_diff(names: &ServiceNames, old: &[Option<&str>], new: &[Option<&str>]) -> ServiceDiff {
    let mut moves: BTreeMap<(Option<&str>, Option<&str>), u32> = BTreeMap::new();
    for (slot, &to) in new.iter().enumerate() {
        let from = old.get(slot * old.len() / new.len()).copied().flatten();
        if from != to {
            *moves.entry((from, to)).or_default() += 1;
        }
    }
    let slots_moved = moves.values().sum();
    let own = |name: Option<&str>| name.map(str::to_owned);
    let mut moves: Vec<Move> =
        moves.into_iter().map(|((from, to), slots)| Move { from: own(from), to: own(to), slots }).collect();
    moves.sort_by_key(|entry| std::cmp::Reverse(entry.slots));
    let size = |slice: &[Option<&str>]| u16::try_from(slice.len()).unwrap_or(u16::MAX);
    ServiceDiff {
        name: names.name.clone(),
        table_size_before: size(old),
        table_size: size(new),
        slots_moved,
        share_moved: f64::from(slots_moved) / f64::from(size(new).max(1)),
        moves,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    const WEB: &str = include_str!("../../examples/web.toml");

    fn file(text: &str) -> TableFile {
        Config::parse("web.toml", text).unwrap_or_else(|error| panic!("{error}")).table_file().unwrap()
    }

    #[test]
    fn nothing_changes_between_equal_files() {
        let diff = diff(&file(WEB), &file(WEB));
        assert!(!diff.geometry_changed && !diff.datapath_changed);
        assert_eq!((diff.service_rows_changed, diff.backend_rows_changed, diff.lookup_entries_changed), (0, 0, 0));
        assert!(diff.services_added.is_empty() && diff.services_removed.is_empty());
        assert!(diff.services.iter().all(|service| service.slots_moved == 0 && service.moves.is_empty()));
    }

    #[test]
    fn going_down_moves_slots_away_from_that_backend() {
        let new = WEB.replacen("name = \"web-3\"\n", "name = \"web-3\"\nstate = \"down\"\n", 1);
        let (old, new) = (file(WEB), file(&new));
        let diff = diff(&old, &new);
        assert_eq!((diff.service_rows_changed, diff.backend_rows_changed), (0, 1));
        let web = &diff.services[0];
        let away: u32 = web.moves.iter().filter(|one| one.from.as_deref() == Some("web-3")).map(|one| one.slots).sum();
        let had = old.balance()[0].backends[2].slots;
        assert_eq!(away, had);
        assert!(web.slots_moved >= had && web.slots_moved < had + 4_093 / 50, "{web:?}");
        assert_eq!(diff.lookup_entries_changed, web.slots_moved as usize);
        assert!(web.moves.is_sorted_by_key(|one| std::cmp::Reverse(one.slots)));
        assert!(diff.services[1..].iter().all(|service| service.slots_moved == 0));
    }

    #[test]
    fn renamed_services_come_and_go() {
        let diff = diff(&file(WEB), &file(&WEB.replace("name = \"game\"", "name = \"play\"")));
        assert_eq!((diff.services_added, diff.services_removed), (vec!["play".to_owned()], vec!["game".to_owned()]));
        assert_eq!(diff.services.len(), 5);
    }

    #[test]
    fn everybody_down_moves_all_to_nobody() {
        let new = file(&WEB.replace("name = \"staging-1\"\n", "name = \"staging-1\"\nweight = 0\n"));
        let diff = diff(&file(WEB), &new);
        let moves = [Move { from: Some("staging-1".to_owned()), to: None, slots: 127 }];
        assert_eq!((&diff.services[5].moves[..], diff.services[5].share_moved), (&moves[..], 1.0));
    }

    #[test]
    fn another_table_size_compares_by_hash() {
        let diff = diff(&file(WEB), &file(&WEB.replace("table_size = 127", "table_size = 509")));
        let staging = &diff.services[5];
        assert_eq!((staging.table_size_before, staging.table_size, staging.slots_moved), (127, 509, 0));
    }
}
