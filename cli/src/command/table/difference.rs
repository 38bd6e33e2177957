//! What `maglane table diff` tells a person.

use maglane_table::diff::{Change, ServiceDiff, TableDiff};

use crate::output::{Columns, counted, thousands};

/// Most moves of a service that a person is shown.
const MOVES_SHOWN_MAX: usize = 12;

/// The whole text: fields that differ, then slots that move, then memories.
pub(super) fn text(diff: &TableDiff) -> String {
    let mut text = fields(diff);
    if diff.geometry_changed {
        text += "the sizes of the tables differ: the two are not for the same build\n";
    }
    if diff.datapath.iter().any(|change| change.field == "hash_key") {
        text += "the key of the flow hash differs: every flow meets another slot, moved or not\n";
    }
    for (verb, names) in [("added", &diff.services_added), ("removed", &diff.services_removed)] {
        if !names.is_empty() {
            text += &format!("services {verb}: {}\n", names.join(", "));
        }
    }
    for service in &diff.services {
        for (verb, names) in [("added", &service.backends_added), ("removed", &service.backends_removed)] {
            if !names.is_empty() {
                text += &format!("{}: backends {verb}: {}\n", service.name, names.join(", "));
            }
        }
    }
    let still = |service: &&ServiceDiff| service.slots_moved == 0 && service.table_size_before == service.table_size;
    for service in diff.services.iter().filter(|service| !still(service)) {
        text += &moves(service);
    }
    let unmoved: Vec<&str> = diff.services.iter().filter(still).map(|service| service.name.as_str()).collect();
    if !unmoved.is_empty() {
        text += &format!("no slot moves: {}\n", unmoved.join(", "));
    }
    text += &format!(
        "in memory: {}, {} and {} change, the datapath row {}\n",
        counted(diff.service_rows_changed, "service row"),
        counted(diff.backend_rows_changed, "backend row"),
        entries(diff.lookup_entries_changed),
        if diff.datapath_changed { "too" } else { "does not" },
    );
    text
}

/// Every field that differs, whose it is, and both its values.
fn fields(diff: &TableDiff) -> String {
    let mut columns = Columns::new([false, false, false, false]);
    columns.row(["of", "field", "old", "new"].map(str::to_owned));
    let mut add = |of: &str, changes: &[Change]| {
        for Change { field, old, new } in changes {
            columns.row([of.to_owned(), (*field).to_owned(), old.to_string(), new.to_string()]);
        }
        changes.len()
    };
    let mut count = add("geometry", &diff.geometry) + add("datapath", &diff.datapath);
    for service in &diff.services {
        count += add(&format!("service {}", service.name), &service.fields);
        for backend in &service.backends {
            count += add(&format!("backend {} of {}", backend.name, service.name), &backend.fields);
        }
    }
    if count == 0 { String::new() } else { columns.text() }
}

fn entries(number: usize) -> String {
    format!("{} lookup {}", thousands(number), if number == 1 { "entry" } else { "entries" })
}

fn moves(service: &ServiceDiff) -> String {
    let resized = if service.table_size_before == service.table_size {
        String::new()
    } else {
        format!(", M was {}", thousands(service.table_size_before))
    };
    let mut columns = Columns::new([false, false, true]);
    columns.row(["from", "to", "slots"].map(str::to_owned));
    let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "(nobody)".to_owned());
    for one in service.moves.iter().take(MOVES_SHOWN_MAX) {
        columns.row([name(&one.from), name(&one.to), thousands(one.slots)]);
    }
    let hidden = service.moves.iter().skip(MOVES_SHOWN_MAX);
    let (count, slots) = hidden.fold((0_usize, 0), |(count, slots), one| (count + 1, slots + one.slots));
    if count > 0 {
        columns.row([format!("({count} more)"), String::new(), thousands(slots)]);
    }
    let table = if service.moves.is_empty() { String::new() } else { columns.text() };
    format!(
        "{}: {} of {} move, {:.2} %{resized}\n{table}",
        service.name,
        thousands(service.slots_moved),
        counted(service.table_size, "slot"),
        100.0 * service.share_moved,
    )
}
