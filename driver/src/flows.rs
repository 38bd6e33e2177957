//! The flow table out of a card and into one, with the tick and the turns that belong to it: how a switch between card and
//! software, or between cards, moves no flow to another backend.
//!
//! Entries are moved as they are. What an entry means is known here only as far as its age goes: ages are counted modulo
//! 64, so one that expires while it is on the way must not come to life again. Its unit of work is the table.

use maglane_spec::flow::{EPOCH_SHIFT, TICKS, WAYS};
use maglane_spec::{Geometry, register, window};

use crate::bar::BarIo;
use crate::card::{Card, CardError, Mode, Status};
use crate::place::{Place, addresses};

/// Entries that are read within one tick.
const CHUNK_ENTRIES: usize = 1 << 11;
/// Reads of such a piece before it is given up that a tick passes during each.
const TRIES_MAX: u32 = 16;
/// Words that are written or read in one call to the BAR.
const CHUNK_WORDS: usize = register::WINDOW_WORDS as usize;
/// Looks at the status before a TICK that shows no effect is written again: while frames are inside it may be lost.
const TICK_LOOKS: u32 = 256;

/// What an engine remembers from frame to frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowTableState {
    /// Sizes of the engine; those of another one must be equal, the bus aside.
    pub geometry: Geometry,
    /// The tick, modulo [`TICKS`].
    pub tick: u8,
    /// Entries ([`maglane_spec::flow`]), set by set and in a set way by way.
    pub entries: Vec<u64>,
    /// Next turn of each service with selection by sequence, by service id.
    pub sequence: Vec<u16>,
}

/// Why a flow table could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum FlowsError {
    /// The card did not do it.
    #[error(transparent)]
    Card(#[from] CardError),
    /// The table comes from an engine of other sizes.
    #[error("the flow table is of geometry = {state}, but the card has {card}; both must be built for one geometry")]
    Geometry {
        /// Sizes of the table.
        state: Box<Geometry>,
        /// Sizes of the card.
        card: Box<Geometry>,
    },
    /// The parts of the table contradict its sizes.
    #[error(
        "a flow table with tick {tick}, {entries} entries and {turns} turns is none of geometry = {geometry}; export it \
         again"
    )]
    Shape {
        /// The tick.
        tick: u8,
        /// Number of entries.
        entries: usize,
        /// Number of turns.
        turns: usize,
        /// Sizes that it claims.
        geometry: Box<Geometry>,
    },
    /// The card serves.
    #[error("the card serves, and its flow table is its own; switch to bypass first")]
    Serves,
    /// The card counts ticks.
    #[error("the card counts ticks by {clocks} clocks a millisecond; set CLOCKS_PER_MS to 0 first")]
    Counts {
        /// The register.
        clocks: u32,
    },
    /// Ticks pass faster than entries can be read.
    #[error(
        "a tick passed during each of {tries} reads of {place} and what follows: the tick is too short for this bus"
    )]
    TickTooShort {
        /// First word of the piece.
        place: Place,
        /// Reads of it.
        tries: u32,
    },
    /// A word does not read back as it was written.
    #[error("{place}: wrote {expected:#010x}, reads {found:#010x}; keep the card in bypass and import again")]
    Verify {
        /// The word.
        place: Place,
        /// What should be there.
        expected: u32,
        /// What is there.
        found: u32,
    },
}

impl FlowTableState {
    /// Reads the flow table, the tick and the turns, while the card serves or in bypass. Entries that change meanwhile are
    /// each of one moment; the table is not.
    ///
    /// # Errors
    /// [`FlowsError::TickTooShort`] when ticks pass faster than entries can be read; when the card cannot be reached.
    pub fn export<B: BarIo>(card: &mut Card<B>) -> Result<Self, FlowsError> {
        let geometry = *card.geometry();
        let mut entries = Vec::with_capacity(geometry.flow_sets as usize * WAYS);
        let mut read_at = Vec::new();
        // Ticks that have passed since the first piece was read, and the tick that this was last seen by.
        let (mut passed, mut tick) = (0, card.status()?.tick);
        let all: Vec<_> = addresses(window::FLOW_TABLE, &geometry).collect();
        for piece in all.chunks(2 * CHUNK_ENTRIES) {
            let words = read_within_tick(card, piece, &mut passed, &mut tick)?;
            entries.extend(words.as_chunks().0.iter().map(|&[low, high]| u64::from(high) << 32 | u64::from(low)));
            read_at.resize(entries.len(), (tick, passed));
        }
        let mut turns = Vec::new();
        card.read_words(&addresses(window::SEQUENCE, &geometry).collect::<Vec<_>>(), &mut turns)?;
        pass(&mut passed, &mut tick, card.status()?);
        for (entry, (read_tick, read_passed)) in entries.iter_mut().zip(read_at) {
            if has_aged_out(*entry, read_tick, passed - read_passed) {
                *entry = 0;
            }
        }
        let sequence = turns.into_iter().map(|turn| halves(turn)[0]).collect();
        Ok(Self { geometry, tick, entries, sequence })
    }

    /// Writes the flow table, the tick and the turns into a card in bypass that does not count ticks, and reads them back.
    /// The timeouts that are served hold from then on: commit the tables first.
    ///
    /// # Errors
    /// [`FlowsError::Geometry`], [`FlowsError::Shape`], [`FlowsError::Serves`] and [`FlowsError::Counts`] before anything is
    /// written. After any other error the card's flow table is void, and it must not serve before another import.
    pub fn import<B: BarIo>(&self, card: &mut Card<B>) -> Result<(), FlowsError> {
        self.refuse(card)?;
        let ready = "the sweeper does not come to rest: see that no tick comes with the frames, or reset the card";
        card.wait_until_free()?;
        card.wait("waiting for the sweeper", ready, |status| status.ready && status.swept)?;
        card.clear_errors()?;
        self.set_tick(card)?;

        let words = self.entries.iter().flat_map(|&entry| words_of(entry));
        let turns = self.sequence.iter().map(|&turn| u32::from(turn));
        let writes: Vec<_> = addresses(window::FLOW_TABLE, card.geometry())
            .zip(words)
            .chain(addresses(window::SEQUENCE, card.geometry()).zip(turns))
            .collect();
        for chunk in writes.chunks(CHUNK_WORDS) {
            card.write_words(chunk)?;
        }
        let mut found = Vec::new();
        for chunk in writes.chunks(CHUNK_WORDS) {
            let addresses: Vec<_> = chunk.iter().map(|&(address, _)| address).collect();
            found.clear();
            card.read_words(&addresses, &mut found)?;
            for (&(address, expected), &found) in chunk.iter().zip(&found) {
                if expected != found {
                    // The card says why, if it knows.
                    card.expect_no_errors("importing flows")?;
                    return Err(FlowsError::Verify { place: Place::of(address), expected, found });
                }
            }
        }
        Ok(card.expect_no_errors("importing flows")?)
    }

    fn refuse<B: BarIo>(&self, card: &mut Card<B>) -> Result<(), FlowsError> {
        let own = *card.geometry();
        if (Geometry { bus_bytes: own.bus_bytes, ..self.geometry }) != own {
            return Err(FlowsError::Geometry { state: Box::new(self.geometry), card: Box::new(own) });
        }
        let (entries, turns) = (self.entries.len(), self.sequence.len());
        if entries != own.flow_sets as usize * WAYS || turns != own.services as usize || self.tick >= TICKS {
            return Err(FlowsError::Shape { tick: self.tick, entries, turns, geometry: Box::new(self.geometry) });
        }
        if card.mode()? == Mode::Serve {
            return Err(FlowsError::Serves);
        }
        match card.clocks_per_ms()? {
            0 => Ok(()),
            clocks => Err(FlowsError::Counts { clocks }),
        }
    }

    /// Sets the tick and lets the sweeper go round once by the timeouts that are served.
    fn set_tick<B: BarIo>(&self, card: &mut Card<B>) -> Result<(), FlowsError> {
        let word = u32::from(self.tick) | window::CONTROL_TICK_TIMEOUTS;
        let remedy = "the tick is not taken: see that no frames are inside, then import again";
        let before = card.status()?.rounds;
        let deadline = card.deadline();
        let begin = std::time::Instant::now();
        loop {
            card.write_register(register::CONTROL_TICK, word)?;
            let (mut looks, mut last) = (0, false);
            let status = card.wait("setting the tick", remedy, |status| {
                looks += 1;
                last = status.swept && status.rounds == before && looks > TICK_LOOKS;
                last || (status.swept && status.rounds != before && status.tick == self.tick)
            })?;
            if !last {
                return Ok(());
            }
            if begin.elapsed() > deadline {
                let waited = begin.elapsed();
                return Err(CardError::Deadline { what: "setting the tick", status, waited, remedy }.into());
            }
        }
    }
}

/// Reads words between two looks at one tick; again, when one passes.
fn read_within_tick<B: BarIo>(
    card: &mut Card<B>,
    addresses: &[u32],
    passed: &mut u32,
    tick: &mut u8,
) -> Result<Vec<u32>, FlowsError> {
    let mut words = Vec::new();
    for _ in 0..TRIES_MAX {
        words.clear();
        card.read_words(addresses, &mut words)?;
        let before = *tick;
        pass(passed, tick, card.status()?);
        if *tick == before {
            return Ok(words);
        }
    }
    let place = Place::of(addresses.first().copied().unwrap_or_default());
    Err(FlowsError::TickTooShort { place, tries: TRIES_MAX })
}

/// Adds the ticks since the last look.
const fn pass(passed: &mut u32, tick: &mut u8, status: Status) {
    *passed += (status.tick.wrapping_sub(*tick) % TICKS) as u32;
    *tick = status.tick;
}

/// An entry that was read at a tick is older than any timeout, so many ticks later: its age would begin anew.
const fn has_aged_out(entry: u64, tick: u8, passed: u32) -> bool {
    age(entry, tick) as u32 + passed >= TICKS as u32
}

/// The two words of an entry, the low one first.
const fn words_of(entry: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = entry.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

/// The halves of a word, the low one first.
const fn halves(word: u32) -> [u16; 2] {
    let [a, b, c, d] = word.to_le_bytes();
    [u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])]
}

/// Ticks since an entry's last frame.
const fn age(entry: u64, tick: u8) -> u8 {
    tick.wrapping_sub((entry >> EPOCH_SHIFT).to_le_bytes()[0]) % TICKS
}

const _: () = assert!(u8::MAX as u32 % TICKS as u32 == TICKS as u32 - 1 && window::FLOW_SET_WORDS as usize == 2 * WAYS);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bar::fault::{Fault, FaultyBar};
    use crate::fixture::{Model, Stuck, TINY};

    fn entry(index: usize, epoch: u8) -> u64 {
        (index as u64) << 24 | 5 << 8 | u64::from(epoch) << EPOCH_SHIFT | 2
    }

    fn state(tick: u8) -> FlowTableState {
        let entries = (0..128).map(|index| entry(index, tick)).collect();
        FlowTableState { geometry: TINY, tick, entries, sequence: vec![1, 0, 65_535, 9] }
    }

    fn open() -> Card<FaultyBar<Model>> {
        let mut card = Card::open(FaultyBar::new(Model::new(TINY))).unwrap();
        card.set_deadline(Duration::from_millis(20));
        card
    }

    #[test]
    fn table_comes_out_as_it_went_in_and_the_served_timeouts_hold() {
        let mut card = open();
        let state = state(42);
        state.import(&mut card).unwrap();
        assert_eq!(card.bar_unnoticed().inner().timeouts_taken, 1);
        assert_eq!(card.bar_unnoticed().inner().flow[9], entry(9, 42));
        assert_eq!(FlowTableState::export(&mut card).unwrap(), state);
        card.set_mode(Mode::Serve).unwrap();
        assert_eq!(FlowTableState::export(&mut card).unwrap(), state, "a card that serves can be read too");
    }

    #[test]
    fn import_is_refused_by_name_where_the_card_would_lose_it() {
        let mut card = open();
        card.set_mode(Mode::Serve).unwrap();
        assert!(matches!(state(0).import(&mut card), Err(FlowsError::Serves)));
        card.set_mode(Mode::Bypass).unwrap();
        card.set_clocks_per_ms(200_000).unwrap();
        assert!(matches!(state(0).import(&mut card), Err(FlowsError::Counts { clocks: 200_000 })));
        card.set_clocks_per_ms(0).unwrap();
        let other = FlowTableState { geometry: Geometry { flow_sets: 32, ..TINY }, ..state(0) };
        assert!(matches!(other.import(&mut card), Err(FlowsError::Geometry { .. })));
        for wrong in [
            FlowTableState { tick: 64, ..state(0) },
            FlowTableState { entries: vec![0; 127], ..state(0) },
            FlowTableState { sequence: vec![0; 5], ..state(0) },
        ] {
            assert!(matches!(wrong.import(&mut card), Err(FlowsError::Shape { .. })));
        }
        assert_eq!(card.bar_unnoticed().inner().table_writes, 0);
        FlowTableState { geometry: Geometry { bus_bytes: 64, ..TINY }, ..state(0) }.import(&mut card).unwrap();
    }

    #[test]
    fn tick_that_is_lost_is_set_again_and_at_last_given_up() {
        let mut card = open();
        card.bar_unnoticed().inner().loses_ticks = 1;
        card.set_deadline(Duration::from_secs(5));
        state(7).import(&mut card).unwrap();
        assert_eq!(card.bar_unnoticed().inner().tick, 7);
        card.set_deadline(Duration::from_millis(20));
        card.bar_unnoticed().inner().loses_ticks = u32::MAX;
        let refused = state(8).import(&mut card).unwrap_err();
        assert!(matches!(refused, FlowsError::Card(CardError::Deadline { .. })), "{refused}");
    }

    #[test]
    fn write_that_is_lost_at_any_point_is_found() {
        let mut card = open();
        card.bar_unnoticed().plant(Fault::None);
        state(42).import(&mut card).unwrap();
        let writes = card.bar_unnoticed().writes();
        for after in 0..writes {
            let mut card = open();
            card.set_deadline(Duration::ZERO);
            card.bar_unnoticed().plant(Fault::DropWrites { after, count: 1 });
            match state(42).import(&mut card) {
                // A word that was zero already.
                Ok(()) => assert_eq!(FlowTableState::export(&mut card).unwrap(), state(42), "after {after}"),
                Err(error) => assert!(matches!(error, FlowsError::Verify { .. } | FlowsError::Card(_)), "{error}"),
            }
        }
        let mut card = open();
        let stuck = Stuck { region: window::FLOW_TABLE, copy: 0, index: 2 * 77 + 1, bit: 30, value: true };
        card.bar_unnoticed().inner().stuck = vec![stuck];
        let refused = state(42).import(&mut card).unwrap_err();
        assert!(refused.to_string().starts_with("FLOW_TABLE set 9 way 5 word 1:"), "{refused}");
    }

    #[test]
    fn writes_while_the_sweeper_works_are_named_as_such() {
        let mut card = open();
        card.bar_unnoticed().inner().error = register::ERROR_BUSY;
        state(1).import(&mut card).unwrap();
        assert_eq!(card.errors().unwrap().0, 0, "an old error is none of the import's");
    }

    /// A card with several pieces, so that ticks pass between them.
    fn wide() -> Card<Model> {
        let geometry = Geometry { flow_sets: 1 << 10, ..TINY };
        Card::open(Model::new(geometry)).unwrap()
    }

    #[test]
    fn entry_that_expires_on_the_way_does_not_come_to_life_again() {
        let mut card = wide();
        let model = card.bar();
        for (index, flow) in model.flow.iter_mut().enumerate() {
            // Ages 62, 63 and 0 at tick 0.
            *flow = entry(index, [2, 1, 0][index % 3]);
        }
        model.tick_every = 5_000;
        let before = model.flow.clone();
        let state = FlowTableState::export(&mut card).unwrap();
        assert!((2..32).contains(&state.tick), "several ticks have passed: {}", state.tick);
        // Those of the first piece, which was read at tick 0; the model has no sweeper for the others.
        for (index, (&found, &before)) in state.entries.iter().zip(&before).take(CHUNK_ENTRIES).enumerate() {
            assert_eq!(found, if index % 3 == 2 { before } else { 0 }, "entry {index}");
        }
    }

    #[test]
    fn entry_has_aged_out_when_no_timeout_is_as_long() {
        for (age, passed, expected) in
            [(0, 63, false), (0, 64, true), (62, 1, false), (62, 2, true), (63, 1, true), (63, 0, false)]
        {
            for tick in [0, 5, 63] {
                let entry = entry(7, (tick + TICKS - age) % TICKS);
                assert_eq!(has_aged_out(entry, tick, passed), expected, "age {age} at tick {tick}, {passed} passed");
            }
        }
    }

    #[test]
    fn card_that_is_not_ready_is_waited_for() {
        let mut card = open();
        card.bar_unnoticed().inner().ready = false;
        let refused = state(1).import(&mut card).unwrap_err();
        assert!(matches!(refused, FlowsError::Card(CardError::Deadline { .. })), "{refused}");
        assert_eq!(card.bar_unnoticed().inner().table_writes, 0);
    }

    #[test]
    fn ticks_that_never_leave_time_to_read_are_an_error() {
        let mut card = wide();
        card.bar().tick_every = 100;
        let refused = FlowTableState::export(&mut card).unwrap_err();
        assert!(matches!(refused, FlowsError::TickTooShort { .. }), "{refused}");
    }
}
