//! What the lookup table answers on a miss, with the numbers of the sum.

use maglane_spec::row::ServiceRow;
use maglane_sw::stage::select::{entry, indices, turn_index};
use serde::Serialize;

use super::{Named, Sight};
use crate::command::trace::page::Page;
use crate::output::thousands;

/// The slots that were read, and which was taken.
#[derive(Debug, Serialize)]
pub(super) struct Lookup {
    /// hash, two-choice, sequence
    selection: &'static str,
    /// M: slots of the service.
    table_size: u16,
    /// The first of them in the lookup memory.
    base: u32,
    turn: Option<Turn>,
    slots: Vec<Slot>,
    /// Index of the slot that was taken; none when all are empty.
    taken: Option<usize>,
}

/// The counter of a service whose slots take turns.
#[derive(Debug, Serialize)]
struct Turn {
    before: u16,
    after: u16,
}

/// A slot that was read.
#[derive(Debug, Serialize)]
struct Slot {
    index: u32,
    /// The bits of g that the index is scaled from.
    bits: Option<u32>,
    /// None when the slot is empty.
    backend: Option<Named>,
    load: Option<u8>,
}

impl Lookup {
    /// Tells what a miss read.
    pub(super) fn new(sight: &Sight<'_>) -> Self {
        let Sight { names, image, service, turns_before, turns_after, .. } = *sight;
        let (first, second) = indices(turns_before, service, sight.hash.g);
        let in_turn = service.selection == ServiceRow::SELECTION_SEQUENCE;
        let [g3, g2, g1, g0, l3, l2, l1, l0] = sight.hash.g.to_be_bytes();
        let (high, low) = (u32::from_be_bytes([g3, g2, g1, g0]), u32::from_be_bytes([l3, l2, l1, l0]));
        let slot = |index: u32, bits: u32| {
            let found = entry(image, service, index);
            Slot {
                index,
                bits: (!in_turn).then_some(bits),
                backend: found.map(|backend| names.backend(backend.id)),
                load: found.map(|backend| backend.row.load),
            }
        };
        let mut slots = vec![slot(first, high)];
        slots.extend(second.map(|second| slot(second, low)));
        // Where both are the same backend, the first is taken.
        let chosen = sight.selection.backend.ok().map(|backend| backend.id);
        let taken =
            slots.iter().position(|slot| chosen.is_some() && slot.backend.as_ref().map(|named| named.id) == chosen);
        let at = turn_index(turns_before, service);
        Self {
            selection: match service.selection {
                ServiceRow::SELECTION_HASH => "hash",
                ServiceRow::SELECTION_TWO_CHOICE => "two-choice",
                _ => "sequence",
            },
            table_size: service.table_size.value(),
            base: service.lookup_base_value(),
            turn: in_turn.then(|| Turn { before: turns_before[at], after: turns_after[at] }),
            slots,
            taken,
        }
    }

    /// Writes its lines.
    pub(super) fn tell(&self, page: &mut Page) {
        let (m, base) = (thousands(self.table_size), thousands(self.base));
        page.line("lookup", format!("{}, M = {m}, from entry {base} of the memory on", self.selection));
        if let Some(Turn { before, after }) = self.turn {
            let wrapped = if before < self.table_size { "" } else { ", not below M, so 0" };
            let next = if before == after { "stays".to_owned() } else { format!("then {after}") };
            page.line("turn", format!("{before}{wrapped}; {next}"));
        }
        for (number, slot) in self.slots.iter().enumerate() {
            let label = match (self.slots.len(), number) {
                (1, _) => "slot",
                (_, 0) => "first slot",
                _ => "second slot",
            };
            let sum = slot.bits.map_or_else(String::new, |bits| {
                let half = if number == 0 { "g[63:32]" } else { "g[31:0]" };
                format!(" = ({half} 0x{bits:08x} * {m}) >> 32")
            });
            let holds = match (&slot.backend, slot.load) {
                (Some(backend), Some(load)) if self.slots.len() > 1 => format!("{backend}, load {load}"),
                (Some(backend), _) => backend.to_string(),
                (None, _) => "empty".to_owned(),
            };
            page.line(label, format!("{}{sum}: {holds}", thousands(slot.index)));
        }
        if let [first, second] = &self.slots[..] {
            let why = match (first.load, second.load) {
                (Some(first), Some(second)) if second < first => format!("the second: load {second} < {first}"),
                (Some(first), Some(second)) if second == first => format!("the first: both have load {first}"),
                (Some(first), Some(second)) => format!("the first: load {first} < {second}"),
                (Some(_), None) => "the first: the second is empty".to_owned(),
                (None, Some(_)) => "the second: the first is empty".to_owned(),
                (None, None) => "none: both are empty".to_owned(),
            };
            page.line("taken", why);
        }
    }
}
