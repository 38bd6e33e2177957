//! Select, in memory that other workers use at the same time.
//!
//! # Source
//! As [`crate::stage::select`].

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use maglane_spec::flow::{BACKEND_SHIFT, STATE_CLOSING, STATE_ESTABLISHED, STATE_NEW, TAG_SHIFT, WAYS};
use maglane_spec::limit::NO_BACKEND;
use maglane_spec::row::ServiceRow;
use maglane_spec::wire::transport::{TCP_FLAG_FIN, TCP_FLAG_RST, TCP_FLAG_SYN};
use maglane_spec::{FlowOutcome, Verdict};

use super::flow_hash::Key;
use super::flow_table::{Ages, SharedFlowTable, candidate, entry, replace, room, snapshot};
use super::low_16;
use super::parse::{Packed, STEERED};
use super::tables::{BackendPlan, Tables};
use crate::simd::{Portable, Vectors};
use crate::stage::select::entry as lookup_entry;

/// How often an entry is tried to be written to which other workers write.
const TRIES: usize = 8;

/// What select reads and writes.
#[derive(Clone, Copy)]
pub(super) struct Memory<'a> {
    pub(super) tables: &'a Tables,
    pub(super) flows: &'a SharedFlowTable,
    /// Next turns of the services with selection by sequence, by service id.
    pub(super) turns: &'a [AtomicU16],
    /// The tick when the burst began.
    pub(super) tick: u8,
    /// Tick and timeouts now, as [`Ages::word`] has them.
    pub(super) clock: &'a AtomicU64,
    pub(super) key: Key,
}

/// What select found for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Selected {
    /// What the frame met in the flow table.
    pub(super) flow: FlowOutcome,
    /// [`Verdict::Forward`] unless the frame's way ends here.
    pub(super) verdict: Verdict,
    /// Id of the backend, [`NO_BACKEND`] when there is none.
    pub(super) backend: u16,
}

impl Selected {
    const UNSUPPORTED: Self =
        Self { flow: FlowOutcome::NotReached, verdict: Verdict::PassUnsupported, backend: NO_BACKEND };

    const fn found(flow: FlowOutcome, backend: u16) -> Self {
        Self { flow, verdict: Verdict::Forward, backend }
    }
}

impl Memory<'_> {
    /// What any frame meets in the flow table, and its backend or the verdict that ends its way.
    #[inline(never)]
    pub(super) fn select(&self, row: usize, flags: u8, h: u64, message: Packed) -> Selected {
        let service = &self.tables.plans[row];
        if !service.supported {
            return Selected::UNSUPPORTED;
        }
        let set = self.flows.set(h);
        if flags == 0
            && let Some(id) = self.refresh(set, service.owner, h)
        {
            return Selected::found(FlowOutcome::Hit, id);
        }
        // The lookup table's answer, asked for once, whatever other workers do.
        let mut looked_up = None;
        // Each failure is another worker's success, and there are not many workers: nobody waits.
        for _ in 0..TRIES {
            let words = snapshot(set);
            // Not those of the burst: an entry may be of a tick that began since, and would look very old.
            let ages = Ages::from_word(self.clock.load(Ordering::Acquire));
            let found = candidate(&words, ages, h);
            if let Some((word, of)) = found
                && let id = of.backend & self.backend_mask()
                && self.tables.backends[usize::from(id)].owner == service.owner
                && !(of.state == STATE_CLOSING && flags & TCP_FLAG_SYN != 0)
            {
                if flags & STEERED != 0 {
                    return Selected::found(FlowOutcome::NotReached, id);
                }
                let new = entry(h, id, ages.tick, state_after(of.state, flags));
                if replace(&set[of.way], word, new) {
                    return Selected::found(FlowOutcome::Hit, id);
                }
                continue;
            }
            let answer = *looked_up.get_or_insert_with(|| self.answer(row, flags, h, message));
            let Selected { flow: FlowOutcome::Inserted, backend, .. } = answer else { return answer };
            let place = found.map(|(word, of)| (of.way, word)).or_else(|| room(&words, ages));
            let Some((way, word)) = place else { return Selected::found(FlowOutcome::TableFull, backend) };
            if replace(&set[way], word, entry(h, backend, ages.tick, STATE_NEW)) {
                return answer;
            }
        }
        // Others have written to this set all the time; the frame goes where it would have gone, and leaves no trace.
        let words = snapshot(set);
        let ages = Ages::from_word(self.clock.load(Ordering::Acquire));
        match candidate(&words, ages, h) {
            Some((_, of)) if self.backend(of.backend).owner == service.owner => {
                Selected::found(FlowOutcome::Hit, of.backend & self.backend_mask())
            }
            _ => match *looked_up.get_or_insert_with(|| self.answer(row, flags, h, message)) {
                Selected { flow: FlowOutcome::Inserted, backend, .. } => {
                    Selected::found(FlowOutcome::TableFull, backend)
                }
                answer => answer,
            },
        }
    }

    /// The backend of a frame without flags whose flow is there, which then has been seen in this tick and is established
    /// if it was new. None says nothing about others: an entry that looks like the flow's may have expired.
    #[inline(always)]
    fn refresh(&self, set: &[AtomicU64; WAYS], owner: u32, h: u64) -> Option<u16> {
        let mask = Portable::equal_tags::<{ TAG_SHIFT.cast_signed() }>(set, h);
        let place = set.get(mask.trailing_zeros() as usize)?;
        let word = place.load(Ordering::Acquire);
        let ages = Ages::from_word(self.clock.load(Ordering::Acquire));
        let id = (word >> BACKEND_SHIFT & 0xffff) as u16 & self.backend_mask();
        let is_hit = (word ^ h) >> TAG_SHIFT == 0 && ages.live(word) && self.backend(id).owner == owner;
        let state = state_after((word & 3) as u8, 0);
        (is_hit && replace(place, word, entry(h, id, ages.tick, state))).then_some(id)
    }

    /// What becomes of a frame without a hit: as inserted, when it is to leave an entry.
    fn answer(&self, row: usize, flags: u8, h: u64, message: Packed) -> Selected {
        let affinity = self.tables.plans[row].affinity;
        let g =
            if affinity == ServiceRow::AFFINITY_FIVE_TUPLE { h } else { self.key.hash_one(message.under(affinity)) };
        let steered = flags & STEERED != 0;
        match self.look_up(row, steered, g) {
            None => {
                let flow = if steered { FlowOutcome::NotReached } else { FlowOutcome::NoBackend };
                Selected { flow, verdict: Verdict::DropNoBackend, backend: NO_BACKEND }
            }
            Some(id) if steered => Selected::found(FlowOutcome::NotReached, id),
            Some(id) if flags & (TCP_FLAG_FIN | TCP_FLAG_RST) != 0 => Selected::found(FlowOutcome::Stateless, id),
            Some(id) => Selected::found(FlowOutcome::Inserted, id),
        }
    }

    fn backend(&self, id: u16) -> &BackendPlan {
        &self.tables.backends[usize::from(id & self.backend_mask())]
    }

    /// What the lookup table says, by the service's selection.
    fn look_up(&self, row: usize, read_only: bool, g: u64) -> Option<u16> {
        let image = &*self.tables.image;
        let service = &image.services[row];
        let size = service.table_size.value();
        let entry = |index| lookup_entry(image, service, index);
        let scale = |hash: u64| ((hash * u64::from(size)) >> 32) as u32;
        let selected = match service.selection {
            ServiceRow::SELECTION_HASH => entry(scale(g >> 32)),
            ServiceRow::SELECTION_TWO_CHOICE => match (entry(scale(g >> 32)), entry(scale(g & 0xffff_ffff))) {
                (Some(first), Some(second)) if second.row.load < first.row.load => Some(second),
                (first, second) => first.or(second),
            },
            _ => entry(u32::from(self.turn(service, read_only))),
        };
        selected.map(|selected| selected.id)
    }

    /// The index whose turn it is; unless it is only read, the next one's comes.
    fn turn(&self, service: &ServiceRow, read_only: bool) -> u16 {
        let turn = &self.turns[usize::from(service.id.value()) & (self.turns.len() - 1)];
        let index = |turn: u16| if turn < service.table_size.value() { turn } else { 0 };
        if read_only {
            return index(turn.load(Ordering::Relaxed));
        }
        let taken = turn.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |turn| Some(index(turn) + 1));
        index(taken.unwrap_or_else(|turn| turn))
    }

    #[inline(always)]
    fn backend_mask(&self) -> u16 {
        // A power of two up to 2^15.
        low_16(self.tables.backends.len() - 1)
    }
}

/// The state of a flow after a frame of it.
fn state_after(state: u8, flags: u8) -> u8 {
    match state {
        _ if flags & TCP_FLAG_RST != 0 => state,
        _ if flags & TCP_FLAG_FIN != 0 => STATE_CLOSING,
        STATE_NEW if flags & TCP_FLAG_SYN == 0 => STATE_ESTABLISHED,
        _ => state,
    }
}
