//! The flow table: which backend each flow has been given, and since when nothing of it was seen.
//!
//! It knows tags, ages and the order of eviction, and nothing of frames, services or backends: what is a hit and what
//! is written says [`crate::stage::select`]. The layout of an entry is documented on [`maglane_spec::flow`]. Its unit
//! of work is an entry.

use maglane_spec::flow::{
    BACKEND_SHIFT, EPOCH_SHIFT, STATE_CLOSING, STATE_EMPTY, STATE_ESTABLISHED, STATE_NEW, TAG_SHIFT, TICK_STEP_MAX,
    TICKS, WAYS,
};
use maglane_spec::limit::TIMEOUT_TICKS_MAX;

/// Bits of a tick modulo [`TICKS`].
const TICK_MASK: u64 = TICKS as u64 - 1;

/// Sets of entries, and the tick that their ages are counted from.
///
/// An entry here is live or zero, at any time: it is cleared in the moment it expires, when the tick moves. So no
/// search has to look at ages to tell whether an entry is still there.
#[derive(Clone, Debug)]
pub struct FlowTable {
    sets: Vec<Set>,
    /// Modulo [`TICKS`].
    tick: u8,
}

/// A set is a line of the cache, so that a frame waits for memory once.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Set([u64; WAYS]);

/// The one entry that a flow may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its place in the set.
    pub way: usize,
    /// The backend that the flow was given.
    pub backend: u16,
    /// New, established or closing.
    pub state: u8,
}

/// A live entry, as someone who watches reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The high bits of the flow's hash, as a number.
    pub tag: u64,
    /// The backend that the flow was given.
    pub backend: u16,
    /// New, established or closing.
    pub state: u8,
    /// Ticks since the flow was last seen.
    pub age: u8,
}

impl FlowTable {
    /// An empty table at tick 0.
    ///
    /// # Shape
    /// `sets` is a power of two.
    #[must_use]
    pub fn new(sets: usize) -> Self {
        Self { sets: vec![Set::default(); sets], tick: 0 }
    }

    /// The entry of the flow with hash `h`: in the lowest way whose tag is equal.
    #[inline]
    #[must_use]
    pub fn candidate(&self, h: u64) -> Option<Candidate> {
        let set = &self.sets[self.set_index(h)].0;
        let way = set.iter().position(|&entry| entry >> TAG_SHIFT == h >> TAG_SHIFT && state(entry) != STATE_EMPTY)?;
        Some(Candidate { way, backend: (set[way] >> BACKEND_SHIFT & 0xffff) as u16, state: state(set[way]) })
    }

    /// The way that a flow without a candidate may take: an empty one, or one whose flow may be evicted for it.
    ///
    /// Established flows never make room, nor do closing ones that were seen in this tick or the one before: a
    /// forged FIN must not be enough to break a flow that sends once a tick.
    pub(crate) fn room(&self, h: u64) -> Option<usize> {
        let set = &self.sets[self.set_index(h)].0;
        let empty = set.iter().position(|&entry| state(entry) == STATE_EMPTY);
        empty.or_else(|| self.oldest(set, STATE_CLOSING, 2)).or_else(|| self.oldest(set, STATE_NEW, 0))
    }

    /// Writes an entry for the flow with hash `h`, as seen in this tick.
    pub(crate) fn write(&mut self, h: u64, way: usize, backend: u16, state: u8) {
        let index = self.set_index(h);
        self.sets[index].0[way] = h >> TAG_SHIFT << TAG_SHIFT
            | u64::from(backend) << BACKEND_SHIFT
            | u64::from(self.tick) << EPOCH_SHIFT
            | u64::from(state);
    }

    /// Moves the tick forward; 0 ticks change nothing, whatever the timeouts. What expires on the way has expired,
    /// so [`TICK_STEP_MAX`] ticks empty the table.
    ///
    /// `timeouts` are those of new, established and closing flows, in ticks.
    pub fn step(&mut self, ticks: u64, timeouts: [u8; 3]) {
        if ticks == 0 {
            return;
        }
        // Longer steps leave nothing either.
        self.sweep(ticks.min(u64::from(TICK_STEP_MAX)), timeouts);
        // 2^64 is a multiple of 64, so the sum may wrap.
        self.tick = (ticks.wrapping_add(u64::from(self.tick)) & TICK_MASK) as u8;
    }

    /// Takes over the entries of another table of this size at its tick; what is not live by these timeouts is gone.
    pub(crate) fn resume(&mut self, entries: &[u64], tick: u8, timeouts: [u8; 3]) {
        let (sets, _) = entries.as_chunks::<WAYS>();
        for (own, set) in self.sets.iter_mut().zip(sets) {
            own.0 = set.map(|entry| if state(entry) == STATE_EMPTY { 0 } else { entry });
        }
        self.tick = tick;
        self.sweep(0, timeouts);
    }

    /// Empties the table and goes back to tick 0.
    pub(crate) fn clear(&mut self) {
        self.sets.fill(Set::default());
        self.tick = 0;
    }

    /// The tick, modulo [`TICKS`].
    #[must_use]
    pub const fn tick(&self) -> u8 {
        self.tick
    }

    /// The entries of the set of the flow with hash `h`, by way; `None` where a way is empty.
    #[inline]
    #[must_use]
    pub fn set(&self, h: u64) -> [Option<Entry>; WAYS] {
        self.sets[self.set_index(h)].0.map(|entry| {
            (state(entry) != STATE_EMPTY).then(|| Entry {
                tag: entry >> TAG_SHIFT,
                backend: (entry >> BACKEND_SHIFT & 0xffff) as u16,
                state: state(entry),
                age: age(entry, self.tick),
            })
        })
    }

    /// That set alone, at the same tick: to any stage that is given the same `h` it is what the whole table is.
    #[inline]
    #[must_use]
    pub fn excerpt(&self, h: u64) -> Self {
        Self { sets: vec![self.sets[self.set_index(h)]], tick: self.tick }
    }

    /// A table of one set, as an excerpt is, with entries that are live at a tick, or zero.
    pub(crate) fn of_set(entries: [u64; WAYS], tick: u8) -> Self {
        Self { sets: vec![Set(entries)], tick }
    }

    /// All entries, way by way and set by set.
    pub fn entries(&self) -> impl Iterator<Item = u64> {
        self.sets.iter().flat_map(|set| set.0)
    }

    /// Live entries by backend id.
    ///
    /// # Shape
    /// `backends` is a power of two; ids wrap there.
    #[must_use]
    pub fn live_by_backend(&self, backends: usize) -> Vec<u32> {
        let mut live = vec![0; backends];
        for entry in self.entries().filter(|&entry| state(entry) != STATE_EMPTY) {
            live[(entry >> BACKEND_SHIFT & 0xffff) as usize & (backends - 1)] += 1;
        }
        live
    }

    /// Clears what is older than its timeout, once `ticks` more have passed.
    fn sweep(&mut self, ticks: u64, timeouts: [u8; 3]) {
        let [new, established, closing] = timeouts.map(|timeout| u64::from(timeout.min(TIMEOUT_TICKS_MAX)));
        let tick = self.tick;
        for entry in self.sets.iter_mut().flat_map(|set| &mut set.0) {
            let timeout = match state(*entry) {
                STATE_NEW => new,
                STATE_ESTABLISHED => established,
                STATE_CLOSING => closing,
                _ => continue,
            };
            if u64::from(age(*entry, tick)) + ticks > timeout {
                *entry = 0;
            }
        }
    }

    /// The entry of the greatest age in a state, if that is at least so much; of several the one in the lowest way.
    fn oldest(&self, set: &[u64; WAYS], wanted: u8, age_min: u8) -> Option<usize> {
        let age = |way: usize| age(set[way], self.tick);
        let ways = (0..WAYS).filter(|&way| state(set[way]) == wanted && age(way) >= age_min);
        // Of equals `max_by_key` takes the last.
        ways.rev().max_by_key(|&way| age(way))
    }

    /// The set of the flow with hash `h`: `h` modulo the number of sets.
    #[inline]
    #[must_use]
    pub fn set_index(&self, h: u64) -> usize {
        (h & 0xffff_ffff) as u32 as usize & (self.sets.len() - 1)
    }
}

fn state(entry: u64) -> u8 {
    (entry & 3) as u8
}

/// Ticks since the flow was last seen.
fn age(entry: u64, tick: u8) -> u8 {
    let epoch = (entry >> EPOCH_SHIFT & TICK_MASK) as u8;
    tick.wrapping_sub(epoch) % TICKS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No timeout can be longer.
    const LONG: [u8; 3] = [62; 3];

    /// One set, its ways in states and at ages as given, each with its own tag.
    fn table(entries: [(u8, u8); WAYS]) -> FlowTable {
        let mut table = FlowTable::new(1);
        // The oldest first; at last the tick is 62.
        for ticks in (0..=62).rev() {
            for (way, (state, age)) in entries.into_iter().enumerate() {
                if age == ticks && state != STATE_EMPTY {
                    table.write(tag(way), way, 7, state);
                }
            }
            table.step(u64::from(ticks > 0), LONG);
        }
        table
    }

    fn tag(way: usize) -> u64 {
        (way as u64 + 1) << 40
    }

    fn lives(table: &FlowTable, way: usize) -> bool {
        table.candidate(tag(way)).is_some()
    }

    const E: (u8, u8) = (STATE_EMPTY, 0);
    const NEW: u8 = STATE_NEW;
    const EST: u8 = STATE_ESTABLISHED;
    const CLO: u8 = STATE_CLOSING;

    #[test]
    fn every_bit_of_the_tag_and_of_the_set_tells_flows_apart_and_no_other() {
        let h = 0x5555_5555_5500_000a;
        let mut table = FlowTable::new(16);
        table.write(h, 3, 0xfedc, EST);
        assert_eq!(table.candidate(h), Some(Candidate { way: 3, backend: 0xfedc, state: EST }));
        for bit in 0..64 {
            // 16 sets are four bits; between them and the tag nothing is looked at.
            assert_eq!(table.candidate(h ^ 1 << bit).is_some(), (4..24).contains(&bit), "{bit}");
        }
        assert_eq!(table.entries().position(|entry| entry != 0), Some(10 * WAYS + 3), "way by way and set by set");
    }

    #[test]
    fn set_tells_every_field_and_the_excerpt_is_the_same_set() {
        let mut table = FlowTable::new(16);
        table.step(62, LONG);
        table.write(0xfedc_ba98_7600_0003, 5, 0xabcd, CLO);
        table.write(0x0123_4567_8900_0013, 0, 7, NEW);
        table.write(0x0123_4567_8900_0004, 0, 8, NEW);
        table.step(4, LONG);
        table.write(0xfedc_ba98_7600_0003, 6, 1, EST);
        let entry = |tag, backend, state, age| Some(Entry { tag, backend, state, age });
        let mut expected = [None; WAYS];
        expected[0] = entry(0x01_2345_6789, 7, NEW, 4);
        expected[5] = entry(0xfe_dcba_9876, 0xabcd, CLO, 4);
        expected[6] = entry(0xfe_dcba_9876, 1, EST, 0);
        let h = 0xfedc_ba98_7600_0003;
        assert_eq!(table.set(h), expected);
        assert_eq!(table.set_index(0xff13), 3);
        let mut excerpt = table.excerpt(h);
        assert_eq!((excerpt.set(h), excerpt.tick(), excerpt.entries().count()), (expected, 2, WAYS));
        assert_eq!((excerpt.candidate(h), excerpt.room(h)), (table.candidate(h), table.room(h)));
        excerpt.write(h, 1, 9, NEW);
        table.write(h, 1, 9, NEW);
        assert_eq!(excerpt.set(h), table.set(h));
    }

    #[test]
    fn live_flows_are_counted_by_backend_until_they_expire() {
        let mut table = FlowTable::new(16);
        for (way, (backend, state)) in
            [(3, NEW), (3, EST), (0, CLO), (15, EST), (16, EST), (0xfff3, NEW)].into_iter().enumerate()
        {
            table.write(0x0a, way, backend, state);
            table.write(0x05, 7 - way, backend, state);
        }
        let live = |table: &FlowTable| {
            table.live_by_backend(16).into_iter().enumerate().filter(|&(_, live)| live > 0).collect::<Vec<_>>()
        };
        assert_eq!(live(&table), [(0, 4), (3, 6), (15, 2)], "ids wrap");
        table.step(3, [2, 62, 3]);
        assert_eq!(live(&table), [(0, 4), (3, 2), (15, 2)], "what is new has expired");
        assert_eq!(table.live_by_backend(16).len(), 16);
    }

    #[test]
    fn tag_zero_is_not_that_of_an_empty_entry() {
        let mut table = FlowTable::new(1);
        assert_eq!(table.candidate(0), None);
        table.write(0, 4, 0, NEW);
        assert_eq!(table.candidate(0).unwrap().way, 4);
    }

    #[test]
    fn room_is_the_lowest_empty_way_before_any_eviction() {
        let old = (CLO, 60);
        assert_eq!(table([E; WAYS]).room(0), Some(0));
        assert_eq!(table([old, old, (NEW, 60), E, old, E, old, old]).room(0), Some(3));
        assert_eq!(table([old, old, old, old, old, old, old, E]).room(0), Some(7));
    }

    #[test]
    fn room_is_then_the_oldest_closing_entry_of_an_age_of_at_least_2() {
        let new = (NEW, 62);
        assert_eq!(table([new, (CLO, 2), new, (CLO, 4), new, (CLO, 3), new, new]).room(0), Some(3));
        assert_eq!(table([new, new, new, new, new, new, new, (CLO, 2)]).room(0), Some(7));
        assert_eq!(table([new, new, new, new, new, new, new, (CLO, 1)]).room(0), Some(0));
        assert_eq!(table([(EST, 9), (CLO, 2), (CLO, 5), (CLO, 5), (CLO, 4), (CLO, 5), new, new]).room(0), Some(2));
    }

    #[test]
    fn room_is_then_the_oldest_new_entry_of_any_age() {
        let fresh = (CLO, 0);
        assert_eq!(table([fresh, (NEW, 0), (NEW, 4), fresh, (NEW, 4), (EST, 62), (NEW, 3), fresh]).room(0), Some(2));
        assert_eq!(table([fresh, fresh, (NEW, 0), (NEW, 0), fresh, fresh, fresh, (EST, 62)]).room(0), Some(2));
    }

    #[test]
    fn room_is_never_an_established_entry_nor_a_closing_one_of_age_0_or_1() {
        assert_eq!(table([(EST, 62); WAYS]).room(0), None);
        assert_eq!(table([(CLO, 0); WAYS]).room(0), None);
        assert_eq!(table([(CLO, 1); WAYS]).room(0), None);
        assert_eq!(
            table([(EST, 1), (CLO, 0), (EST, 62), (EST, 2), (CLO, 0), (EST, 0), (CLO, 0), (EST, 30)]).room(0),
            None
        );
    }

    #[test]
    fn ages_count_across_the_wrap_of_the_tick() {
        let mut table = table([(EST, 0), (EST, 0), (CLO, 0), (EST, 0), (CLO, 0), (EST, 0), (EST, 0), (EST, 0)]);
        // From 62 to 66: ways 2 and 4 were last seen at 62 and 64, and 62 is the older one, though 64 is 0.
        table.step(2, LONG);
        table.write(tag(4), 4, 7, CLO);
        table.step(2, LONG);
        assert_eq!(table.tick(), 2);
        assert_eq!(table.room(0), Some(2));
        table.write(tag(2), 2, 7, CLO);
        assert_eq!(table.room(0), Some(4));
    }

    #[test]
    fn entry_lives_for_its_states_timeout_and_not_a_tick_longer() {
        for timeouts in [[1, 2, 3], [3, 0, 2], [62, 61, 60], [0; 3], [255, 63, 62]] {
            for (state, timeout) in (NEW..=CLO).zip(timeouts.map(|timeout| u64::from(timeout.min(62)))) {
                // In one step, and tick by tick.
                for (steps, ticks) in [(1, timeout), (timeout, 1)] {
                    let mut entry = FlowTable::new(1);
                    entry.step(50, LONG);
                    entry.write(tag(0), 0, 7, state);
                    (0..steps).for_each(|_| entry.step(ticks, timeouts));
                    assert!(lives(&entry, 0), "{timeouts:?} {state} {ticks}");
                    entry.step(1, timeouts);
                    assert!(!lives(&entry, 0), "{timeouts:?} {state} {ticks}");
                    assert_eq!((entry.entries().sum::<u64>(), entry.room(0)), (0, Some(0)), "expired is empty");
                }
            }
        }
    }

    #[test]
    fn step_counts_from_the_age_that_an_entry_has() {
        for step in 1..=66 {
            let mut table = table([(EST, 0), (EST, 1), (EST, 30), (EST, 59), (EST, 60), (EST, 61), (EST, 62), E]);
            table.step(step, LONG);
            let ages = [0, 1, 30, 59, 60, 61, 62];
            let expected = ages.map(|age| age + step <= 62);
            assert_eq!([0, 1, 2, 3, 4, 5, 6].map(|way| lives(&table, way)), expected, "{step}");
            assert_eq!(u64::from(table.tick()), (62 + step) % 64);
        }
    }

    #[test]
    fn step_of_64_or_any_more_empties_the_table() {
        // 64 and its multiples bring the tick back to where it was: the ages look like before.
        for step in [63, 64, 65, 127, 128, 256, 1 << 8 | 1, 1 << 16, 1 << 32, 1 << 63, u64::MAX] {
            let mut table = table([(EST, 0); WAYS]);
            table.step(step, LONG);
            assert_eq!(table.entries().sum::<u64>(), 0, "{step}");
            assert_eq!(u64::from(table.tick()), (62 + step % 64) % 64);
        }
    }

    #[test]
    fn step_of_0_and_the_same_timeouts_change_nothing() {
        let mut table = table([(EST, 62), (NEW, 5), (CLO, 9), E, E, (NEW, 0), (CLO, 0), (EST, 0)]);
        let before: Vec<u64> = table.entries().collect();
        table.step(0, LONG);
        assert!(table.entries().eq(before));
    }
}
