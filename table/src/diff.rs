//! What changes from one image to another: what `maglane table diff` prints.
//!
//! Services and backends are matched by name, not by id: what counts is whose flows move, and who is treated otherwise.

mod field;

use std::collections::{BTreeMap, HashMap};

use maglane_spec::row::{BackendRow, ServiceRow};
use serde::Serialize;

use crate::file::{BackendName, ServiceNames};
use crate::tables::Tables;

pub use field::{Change, Value};

/// What changes from one image to another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableDiff {
    /// The sizes of the tables differ: the images are not for the same build.
    pub geometry_changed: bool,
    /// Which sizes.
    pub geometry: Vec<Change>,
    /// The datapath row differs.
    pub datapath_changed: bool,
    /// In which fields. The key of the flow hash is named, but not shown.
    pub datapath: Vec<Change>,
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
    /// Fields of the service that differ, its scheduler among them where both are known.
    pub fields: Vec<Change>,
    /// Names of backends that only the new image has.
    pub backends_added: Vec<String>,
    /// Names of backends that only the old image has.
    pub backends_removed: Vec<String>,
    /// Backends that both have and whose fields differ, in the order of the new image.
    pub backends: Vec<BackendDiff>,
}

/// What changes in one backend of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackendDiff {
    /// Its name.
    pub name: String,
    /// Its fields that differ, its configured weight among them where both are known.
    pub fields: Vec<Change>,
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

/// Compares old tables with new ones.
///
/// Where the number of slots differs, each slot of the new slice is compared with the old slot that the same hash
/// reached.
#[must_use]
pub fn diff(old: &Tables, new: &Tables) -> TableDiff {
    let (old_file, new_file) = (old.file(), new.file());
    let before: HashMap<&str, Part<'_>> = parts(old).map(|part| (part.names.name.as_str(), part)).collect();
    let mut services_added = Vec::new();
    let mut services = Vec::new();
    for part in parts(new) {
        match before.get(part.names.name.as_str()) {
            None => services_added.push(part.names.name.clone()),
            Some(old) => services.push(service_diff(old, &part)),
        }
    }
    let is_gone = |name: &&str| !new_file.names.services.iter().any(|service| service.name == **name);
    let gone = old_file.services().map(|(_, names)| names.name.as_str()).filter(is_gone);
    let (old_image, new_image) = (&old_file.image, &new_file.image);
    let (old_geometry, new_geometry) = (&old_image.geometry, &new_image.geometry);
    TableDiff {
        geometry_changed: old_geometry != new_geometry,
        geometry: field::changes(field::of_geometry(old_geometry), field::of_geometry(new_geometry)),
        datapath_changed: old_image.datapath != new_image.datapath,
        datapath: field::changes(field::of_datapath(&old_image.datapath), field::of_datapath(&new_image.datapath)),
        service_rows_changed: changed(&old_image.services, &new_image.services),
        backend_rows_changed: changed(&old_image.backends, &new_image.backends),
        lookup_entries_changed: changed(&old_image.lookup, &new_image.lookup),
        services_added,
        services_removed: gone.map(str::to_owned).collect(),
        services,
    }
}

/// A service's part of the tables.
struct Part<'a> {
    tables: &'a Tables,
    row: &'a ServiceRow,
    names: &'a ServiceNames,
}

fn parts(tables: &Tables) -> impl Iterator<Item = Part<'_>> {
    tables.file().services().map(move |(row, names)| Part { tables, row, names })
}

impl<'a> Part<'a> {
    /// The slice as identities.
    fn slots(&self) -> Vec<Option<&'a str>> {
        let file = self.tables.file();
        let mut by_id = vec![None; file.image.backends.len()];
        for backend in &self.names.backends {
            if let Some(name) = by_id.get_mut(usize::from(backend.id)) {
                *name = Some(backend.name.as_str());
            }
        }
        file.slice(self.row).map(|id| by_id.get(usize::from(id)).copied().flatten()).collect()
    }

    fn by_name(&self) -> HashMap<&'a str, &'a BackendName> {
        self.names.backends.iter().map(|backend| (backend.name.as_str(), backend)).collect()
    }

    fn row_of(&self, backend: &BackendName) -> BackendRow {
        self.tables.file().image.backends.get(usize::from(backend.id)).copied().unwrap_or_default()
    }
}

/// Rows that differ; those that only one side has count.
fn changed<T: PartialEq>(old: &[T], new: &[T]) -> usize {
    old.iter().zip(new).filter(|(old, new)| old != new).count() + old.len().abs_diff(new.len())
}

fn service_diff(old: &Part<'_>, new: &Part<'_>) -> ServiceDiff {
    let moves = moves(&old.slots(), &new.slots());
    let slots_moved = moves.iter().map(|one| one.slots).sum();
    let (table_size_before, table_size) = (old.row.table_size.value(), new.row.table_size.value());

    let mut fields = Vec::new();
    if let (Some(old), Some(new)) = (old.tables.scheduler(old.names.id), new.tables.scheduler(new.names.id)) {
        let scheduler = |word: &str| [("scheduler", Value::Text(word.to_owned()))];
        fields.extend(field::changes(scheduler(old), scheduler(new)));
    }
    fields.extend(field::changes(field::of_service(old.row), field::of_service(new.row)));

    let (had, has) = (old.by_name(), new.by_name());
    let missing = |names: &ServiceNames, others: &HashMap<&str, &BackendName>| -> Vec<String> {
        let names = names.backends.iter().map(|backend| backend.name.clone());
        names.filter(|name| !others.contains_key(name.as_str())).collect()
    };
    let backends = new.names.backends.iter().filter_map(|backend| {
        let fields = backend_fields((old, had.get(backend.name.as_str())?), (new, backend));
        (!fields.is_empty()).then(|| BackendDiff { name: backend.name.clone(), fields })
    });
    ServiceDiff {
        name: new.names.name.clone(),
        table_size_before,
        table_size,
        slots_moved,
        share_moved: f64::from(slots_moved) / f64::from(table_size.max(1)),
        moves,
        fields,
        backends_added: missing(new.names, &had),
        backends_removed: missing(old.names, &has),
        backends: backends.collect(),
    }
}

/// The fields of a backend that differ.
fn backend_fields((old, before): (&Part<'_>, &BackendName), (new, after): (&Part<'_>, &BackendName)) -> Vec<Change> {
    let mut fields = Vec::new();
    if let (Some(old), Some(new)) = (old.tables.weight(before), new.tables.weight(after)) {
        let weight = |weight: u16| [("weight", Value::Number(weight.into()))];
        fields.extend(field::changes(weight(old), weight(new)));
    }
    let rows = (old.row_of(before), new.row_of(after));
    fields.extend(field::changes(field::of_backend(before.id, &rows.0), field::of_backend(after.id, &rows.1)));
    fields
}

/// Slots whose backend differs, by whose they were and are, the most first.
fn moves(old: &[Option<&str>], new: &[Option<&str>]) -> Vec<Move> {
    let mut moves: BTreeMap<(Option<&str>, Option<&str>), u32> = BTreeMap::new();
    for (slot, &to) in new.iter().enumerate() {
        let from = old.get(slot * old.len() / new.len()).copied().flatten();
        if from != to {
            *moves.entry((from, to)).or_default() += 1;
        }
    }
    let own = |name: Option<&str>| name.map(str::to_owned);
    let mut moves: Vec<Move> =
        moves.into_iter().map(|((from, to), slots)| Move { from: own(from), to: own(to), slots }).collect();
    moves.sort_by_key(|entry| std::cmp::Reverse(entry.slots));
    moves
}

#[cfg(test)]
mod tests;
