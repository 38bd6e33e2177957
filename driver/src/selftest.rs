//! Are the bus and the memories of a card sound? Faults by place, with what was written and what was read.
//!
//! The bus is tested by words that walk, the memories by marches: March C- (Marinescu, 1982; van de Goor, "Testing
//! Semiconductor Memories", 1991, section 4.4) finds stuck bits, wrong addresses, and words that change when others are
//! written. Its words are not all zeros and all ones but a number for every address and its complement, so that two
//! addresses of one place do not look alike. Only the side that is not served is written to, and the flow table on request
//! and in bypass: a card can be tested while it serves. Its unit of work is the memory.

use std::time::{Duration, Instant};

use maglane_spec::{TableImage, window};

use crate::bar::BarIo;
use crate::card::{Card, CardError, Mode};
use crate::place::{Place, addresses, region_name};

mod bus;
mod memory;
#[cfg(test)]
mod tests;

use memory::Memory;

/// Faults that are told one by one.
pub const FAULTS_MAX: usize = 64;

/// How much is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// March C- besides: every word alone, five times up and down, ten accesses each. Without it every memory is written
    /// and read as a whole, twice.
    pub march: bool,
    /// Flow table and turns too, in bypass and with `CLOCKS_PER_MS` 0; they are empty afterwards.
    pub flow_table: bool,
}

/// A word that is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Region, copy, row and word.
    pub place: Place,
    /// What should be there, as far as this copy shows it.
    pub expected: u32,
    /// What is there.
    pub found: u32,
}

/// What a self test has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "the staged side is void now: load tables before the next commit"]
pub struct SelfTestReport {
    /// Names of the memories, and how many words of them were tested, their copies included.
    pub tested: Vec<(&'static str, u64)>,
    /// Names of the memories that were left out.
    pub skipped: Vec<&'static str>,
    /// The first [`FAULTS_MAX`] faults.
    pub faults: Vec<Fault>,
    /// How many there are; a word is counted each time it is read wrong.
    pub faults_total: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// Why a self test came to no end.
#[derive(Debug, thiserror::Error)]
pub enum SelfTestError {
    /// The card did not do it.
    #[error(transparent)]
    Card(#[from] CardError),
    /// A register does not hold what it was given, or changes with another one.
    #[error(
        "register {name} should read {expected:#010x} and reads {found:#010x}, {when}; reseat the card or flash it again"
    )]
    Register {
        /// The register, with its block.
        name: String,
        /// What it should read as.
        expected: u32,
        /// What it reads as.
        found: u32,
        /// What had been done.
        when: &'static str,
    },
    /// The flow table is in use.
    #[error(
        "the card serves or counts ticks, and its flow table is its own: switch to bypass and set CLOCKS_PER_MS to 0, or \
        leave the flow table out"
    )]
    FlowTableInUse,
    /// A commit happened during the test.
    #[error("tables were committed during the self test; see that nobody else uses the card, and load again at once")]
    Committed,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { place, expected, found } = self;
        write!(formatter, "{place}: expected {expected:#010x}, found {found:#010x}")
    }
}

impl SelfTestReport {
    /// Nothing is wrong.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.faults_total == 0
    }

    /// Tests the bus and the memories of a card.
    ///
    /// **The staged side is void afterwards**, but for its datapath row, which is put back: a loader's shadow of this card
    /// is forgotten, and whoever has staged tables elsewhere has to stage them again.
    ///
    /// # Errors
    /// [`SelfTestError::Register`] when registers are wrong: then no memory was touched. [`SelfTestError::FlowTableInUse`]
    /// before anything is touched; when the card cannot be reached, or refused accesses. Faults of memories are no error.
    pub fn run<B: BarIo>(
        card: &mut Card<B>,
        extent: Extent,
        progress: &mut dyn FnMut(&'static str),
    ) -> Result<Self, SelfTestError> {
        let begin = Instant::now();
        if extent.flow_table && (card.mode()? == Mode::Serve || card.clocks_per_ms()? != 0) {
            return Err(SelfTestError::FlowTableInUse);
        }
        progress("registers");
        bus::test(card)?;
        let remedy = "the memories are not cleared, or the sweeper does not rest: reset the card";
        card.wait_until_free()?;
        card.wait("waiting for the card", remedy, |status| status.ready && (status.swept || !extent.flow_table))?;
        card.clear_errors()?;
        let generation = card.generation()?;
        // The length of a tick in it is what a loader compares with while the card counts.
        let datapath_addresses: Vec<_> = addresses(window::DATAPATH, card.geometry()).collect();
        let mut datapath = Vec::new();
        card.read_words(&datapath_addresses, &mut datapath)?;

        let mut report = Self::default();
        for memory in Memory::all(card.geometry()) {
            let name = region_name(memory.region);
            if memory.is_flow_table() && !extent.flow_table {
                report.skipped.push(name);
                continue;
            }
            progress(name);
            memory.test_whole(card, &mut report)?;
            if extent.march {
                memory.march(card, &mut report)?;
            }
            report.tested.push((name, memory.words_seen()));
        }
        let void = TableImage::empty(*card.geometry());
        let tables = void.words().skip(datapath.len());
        let mut words: Vec<_> = datapath_addresses.into_iter().zip(datapath).chain(tables).collect();
        if extent.flow_table {
            for region in [window::FLOW_TABLE, window::SEQUENCE] {
                words.extend(addresses(region, card.geometry()).map(|address| (address, 0)));
            }
        }
        card.write_words(&words)?;
        card.expect_no_errors("testing memories")?;
        if card.generation()? != generation {
            return Err(SelfTestError::Committed);
        }
        report.elapsed = begin.elapsed();
        Ok(report)
    }

    fn fault(&mut self, address: u32, expected: u32, found: u32) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault { place: Place::of(address), expected, found });
        }
        self.faults_total += 1;
    }
}
