//! The flow table that workers share: the same entries and the same rules as in [`crate::flow_table`], in memory that any
//! number of threads read and write without a lock.
//!
//! An entry is one atomic word. It is written only when it changes, and only if it still is what the writer had read, so
//! that two workers never undo each other's work. An expired entry stays until the sweep comes by or another flow takes its
//! place; to everyone it is an empty one. Its unit of work is an entry.

use std::sync::atomic::{AtomicU64, Ordering};

use maglane_spec::flow::{
    BACKEND_SHIFT, EPOCH_SHIFT, STATE_CLOSING, STATE_EMPTY, STATE_NEW, TAG_SHIFT, TICK_STEP_MAX, TICKS, WAYS,
};
use maglane_spec::limit::TIMEOUT_TICKS_MAX;

use crate::flow_table::Candidate;
use crate::io::pages::{Line, Lines};
use crate::simd::prefetch;

/// Bits of a tick modulo [`TICKS`].
const TICK_MASK: u8 = TICKS - 1;

/// Sets of entries, a line of the cache each.
#[derive(Debug)]
pub(crate) struct SharedFlowTable {
    sets: Lines,
}

/// What ages are counted by: the tick, and the timeouts since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ages {
    /// Modulo [`TICKS`].
    pub(crate) tick: u8,
    /// By state; an empty entry has none that it could be within.
    timeouts: [i8; 4],
}

/// A set as a worker reads it.
type Set = [AtomicU64; WAYS];

impl Ages {
    /// The tick, and timeouts of new, established and closing flows, in ticks.
    pub(crate) fn new(tick: u8, timeouts: [u8; 3]) -> Self {
        let [new, established, closing] = timeouts.map(|timeout| timeout.min(TIMEOUT_TICKS_MAX).cast_signed());
        Self { tick, timeouts: [-1, new, established, closing] }
    }

    /// As one word, for a place that threads share.
    pub(crate) fn word(self) -> u64 {
        let [_, new, established, closing] = self.timeouts.map(i8::cast_unsigned);
        u64::from_le_bytes([self.tick, new, established, closing, 0, 0, 0, 0])
    }

    pub(crate) fn from_word(word: u64) -> Self {
        let [tick, new, established, closing, ..] = word.to_le_bytes();
        Self::new(tick, [new, established, closing])
    }

    /// Whether an entry is there: not empty, and not expired.
    pub(crate) fn live(self, entry: u64) -> bool {
        self.age(entry).cast_signed() <= self.timeouts[usize::from(state(entry))]
    }

    /// Ticks since the flow was last seen.
    fn age(self, entry: u64) -> u8 {
        self.tick.wrapping_sub((entry >> EPOCH_SHIFT & 0xff) as u8) & TICK_MASK
    }
}

impl SharedFlowTable {
    /// An empty table.
    ///
    /// # Shape
    /// `sets` is a power of two.
    ///
    /// # Errors
    /// When the system has not that much memory.
    pub(crate) fn new(sets: usize) -> std::io::Result<Self> {
        Ok(Self { sets: Lines::new(sets)? })
    }

    pub(crate) fn sets(&self) -> usize {
        self.sets.len()
    }

    /// Whether the table lies in huge pages.
    pub(crate) fn huge(&self) -> bool {
        self.sets.huge()
    }

    /// The sets. Who looks at many asks once: of what is behind two pointers the compiler does not know that it stays.
    #[inline(always)]
    pub(crate) fn lines(&self) -> &[Line] {
        &self.sets
    }

    /// The set of the flow with hash `h`.
    pub(crate) fn set(&self, h: u64) -> &Set {
        set(&self.sets, h)
    }

    /// All entries, way by way and set by set; those that are not live are zero.
    pub(crate) fn entries(&self, ages: Ages) -> impl Iterator<Item = u64> {
        self.sets.iter().flat_map(|line| &line.0).map(move |entry| {
            let entry = entry.load(Ordering::Relaxed);
            if ages.live(entry) { entry } else { 0 }
        })
    }

    /// Clears, in a range of sets, what is not live by `ages`, or will not be once `ticks` more have passed.
    pub(crate) fn sweep(&self, sets: std::ops::Range<usize>, ages: Ages, ticks: u64) {
        let ticks = u8::try_from(ticks).unwrap_or(TICK_STEP_MAX).min(TICK_STEP_MAX);
        for entry in self.sets[sets].iter().flat_map(|line| &line.0) {
            let word = entry.load(Ordering::Relaxed);
            if word == 0 {
                continue;
            }
            let timeout = ages.timeouts[usize::from(state(word))];
            if (ages.age(word) + ticks).cast_signed() > timeout {
                // A worker that has just refreshed it wins.
                let _ = entry.compare_exchange(word, 0, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
    }

    /// Takes over entries, way by way and set by set.
    pub(crate) fn fill(&self, entries: &[u64]) {
        for (own, &entry) in self.sets.iter().flat_map(|line| &line.0).zip(entries) {
            own.store(if state(entry) == STATE_EMPTY { 0 } else { entry }, Ordering::Relaxed);
        }
    }

    /// Empties the table.
    pub(crate) fn clear(&self) {
        self.sets.iter().flat_map(|line| &line.0).for_each(|entry| entry.store(0, Ordering::Relaxed));
    }
}

/// The set of the flow with hash `h` among all.
#[inline(always)]
pub(crate) fn set(sets: &[Line], h: u64) -> &Set {
    &sets[(h & 0xffff_ffff) as usize & (sets.len() - 1)].0
}

/// Asks for that set.
#[inline(always)]
pub(crate) fn prefetch_set(sets: &[Line], h: u64) {
    prefetch(sets, (h & 0xffff_ffff) as usize & sets.len().wrapping_sub(1));
}

/// The entries of a set, each as it was at some moment. Who reads the clock afterwards reads no earlier tick than that of
/// any of them.
pub(crate) fn snapshot(set: &Set) -> [u64; WAYS] {
    let mut words = [0; WAYS];
    for (word, entry) in words.iter_mut().zip(set) {
        *word = entry.load(Ordering::Acquire);
    }
    words
}

/// The entry of the flow with hash `h`, and how it reads: in the lowest live way whose tag is equal.
pub(crate) fn candidate(words: &[u64; WAYS], ages: Ages, h: u64) -> Option<(u64, Candidate)> {
    words.iter().enumerate().find_map(|(way, &word)| {
        let backend = (word >> BACKEND_SHIFT & 0xffff) as u16;
        let is_flow = (word ^ h) >> TAG_SHIFT == 0 && ages.live(word);
        is_flow.then_some((word, Candidate { way, backend, state: state(word) }))
    })
}

/// The way that a flow without a candidate may take, and what is there: see [`crate::flow_table`].
pub(crate) fn room(words: &[u64; WAYS], ages: Ages) -> Option<(usize, u64)> {
    // What goes first: any empty entry, then closing ones by age, then new ones by age; 0 stays. Of equals the lowest way.
    let (mut place, mut urgency) = (None, 0);
    for (way, &word) in words.iter().enumerate() {
        let age = u16::from(ages.age(word));
        let of_way = match state(word) {
            _ if !ages.live(word) => 0x300,
            STATE_CLOSING if age >= 2 => 0x200 | age,
            STATE_NEW => 0x100 | age,
            _ => 0,
        };
        if of_way > urgency {
            (place, urgency) = (Some((way, word)), of_way);
        }
    }
    place
}

/// An entry of the flow with hash `h`, seen in a tick.
pub(crate) fn entry(h: u64, backend: u16, tick: u8, state: u8) -> u64 {
    h >> TAG_SHIFT << TAG_SHIFT
        | u64::from(backend) << BACKEND_SHIFT
        | u64::from(tick) << EPOCH_SHIFT
        | u64::from(state)
}

/// Makes `new` of what was `old`; `false` when it is something else by now.
pub(crate) fn replace(place: &AtomicU64, old: u64, new: u64) -> bool {
    // Mostly nothing changes, and then the line stays with every worker that has it. What is written has an epoch, and who
    // reads that must not read an earlier tick afterwards.
    old == new || place.compare_exchange(old, new, Ordering::Release, Ordering::Relaxed).is_ok()
}

fn state(entry: u64) -> u8 {
    (entry & 3) as u8
}
