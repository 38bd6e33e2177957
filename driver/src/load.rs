//! Tables into a card: stage, verify, commit.
//!
//! What is written goes to the side that is not served, so whatever happens on the way, the old tables go on serving. The
//! loader keeps a shadow of both sides and writes only the words that differ from it. What was written is read back
//! before it is committed: [`Loader::commit`] takes nothing but what [`Loader::verify`] hands out. The shadow of a side is
//! forgotten before its first word is written and known again only when all has been read back, so an error at any point,
//! or a reader of these lines who returns early, leads to one that is written in full the next time. It knows nothing of
//! what rows mean, but for the length of a tick. Its unit of work is the image.

use std::time::{Duration, Instant};

use maglane_spec::row::DatapathRow;
use maglane_spec::{Geometry, TableImage, window};

use crate::bar::BarIo;
use crate::card::{Card, CardError, Journal};
use crate::place::{Place, address, word_and_shift};

mod check;
#[cfg(test)]
mod tests;

pub(crate) use check::Check;

/// Words between two calls of the progress callback, and in one call to the BAR: a page.
const CHUNK_WORDS: usize = maglane_spec::register::WINDOW_WORDS as usize;
/// Word of the datapath row that is the length of a tick.
const TICK_WORD: u32 = word_and_shift(DatapathRow::TICK_MS_OFFSET).0;

/// Loads images into one card.
#[derive(Debug, Default)]
pub struct Loader {
    /// Service, lookup and backend words by side, if they are known.
    sides: [Option<Vec<u32>>; 2],
    /// Staged words of the datapath row, which a commit copies instead of changing their side.
    datapath: Option<Vec<u32>>,
    /// Length of a tick in what is served, if this loader has committed it.
    tick_ms: Option<u32>,
    /// The card and the state of its memories that all this is about.
    seen: Option<(Journal, u32)>,
}

/// What has been written to the staged side and not been read back.
#[derive(Debug)]
#[must_use = "what is staged is to be verified and committed"]
pub struct Staged {
    generation: u32,
    words: Vec<u32>,
    writes: Vec<(u32, u32)>,
}

/// What has been staged and read back.
#[derive(Debug)]
#[must_use = "what is verified is to be committed"]
pub struct Verified {
    generation: u32,
    tick_ms: u32,
    journal: Journal,
    words_read: u64,
}

/// What a load is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Writes the words that differ.
    Stage,
    /// Reads them back.
    Verify,
    /// Writes the same image to the side that has become free.
    StageOther,
    /// Reads that back.
    VerifyOther,
}

/// How far a step has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The step.
    pub step: Step,
    /// Words done.
    pub done: usize,
    /// Words of the step.
    pub total: usize,
}

/// What a load has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadReport {
    /// The generation that is served now.
    pub generation: u32,
    /// Words written to tables, on both sides.
    pub words_written: u64,
    /// Words read back.
    pub words_read: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// Why tables could not be loaded. The tables that were served before still are, but for [`LoadError::Commit`], which leaves
/// that open, and [`LoadError::Other`].
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The card did not do it.
    #[error(transparent)]
    Card(#[from] CardError),
    /// The image was built for other sizes than the card has.
    #[error("the tables were built for geometry = {image}, but the card has {card}: set that in the configuration")]
    Geometry {
        /// Sizes of the image.
        image: Box<Geometry>,
        /// Sizes of the card.
        card: Box<Geometry>,
    },
    /// New tables have another tick length while the card counts ticks.
    #[error(
        "the card counts ticks of {card} ms and the new tables say {image} ms; switch to bypass and set \
        CLOCKS_PER_MS to 0 first"
    )]
    TickLength {
        /// The new tables' tick, in milliseconds.
        image: u32,
        /// The tick in use, in milliseconds.
        card: u32,
    },
    /// A word does not read back as it was written.
    #[error(
        "{place}: wrote {expected:#010x}, reads {found:#010x}; nothing was committed; load again, and if this stays, \
        run the self test"
    )]
    Verify {
        /// The word.
        place: Place,
        /// What should be there.
        expected: u32,
        /// What is there.
        found: u32,
    },
    /// What was staged is not what the card holds any more.
    #[error(
        "the card's tables were written, committed or reset since these were staged; nothing was committed; load again"
    )]
    Stale,
    /// The commit came to no good end. It may have happened, or happen when the frames inside have left.
    #[error(
        "committing the tables: {source}; GENERATION says whether it happened, and the next load finds out by itself"
    )]
    Commit {
        /// What happened.
        source: CardError,
    },
    /// All is served, but the side that has become free could not be prepared.
    #[error("the new tables are served as generation {generation}, but the other side could not be written: {source}")]
    Other {
        /// The generation.
        generation: u32,
        /// What happened.
        source: Box<LoadError>,
    },
}

impl Loader {
    /// A loader that knows nothing of any card yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stages, verifies and commits an image. If nothing was known of the other side, the image goes there too, once it is
    /// served: the next load then writes only what differs.
    ///
    /// # Errors
    /// As [`Self::stage`], [`Self::verify`] and [`Self::commit`]; [`LoadError::Other`] when the image is served, and
    /// preparing the other side failed.
    pub fn load<B: BarIo>(
        &mut self,
        card: &mut Card<B>,
        image: &TableImage,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<LoadReport, LoadError> {
        let begin = Instant::now();
        let staged = self.stage_as(card, image, Step::Stage, progress)?;
        let mut words_written = staged.writes.len() as u64;
        let verified = self.verify_as(card, staged, Step::Verify, progress)?;
        let mut words_read = verified.words_read;
        let generation = self.commit(card, verified)?;
        if self.sides[staged_side(generation)].is_none() {
            let other = |source| LoadError::Other { generation, source: Box::new(source) };
            let staged = self.stage_as(card, image, Step::StageOther, progress).map_err(other)?;
            words_written += staged.writes.len() as u64;
            words_read += self.verify_as(card, staged, Step::VerifyOther, progress).map_err(other)?.words_read;
        }
        Ok(LoadReport { generation, words_written, words_read, elapsed: begin.elapsed() })
    }

    /// Writes to the staged side what differs from its shadow.
    ///
    /// # Errors
    /// [`LoadError::Geometry`] and [`LoadError::TickLength`] before anything is written; otherwise when the card cannot be
    /// reached, or holds frames for longer than its deadline.
    pub fn stage<B: BarIo>(
        &mut self,
        card: &mut Card<B>,
        image: &TableImage,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Staged, LoadError> {
        self.stage_as(card, image, Step::Stage, progress)
    }

    /// Reads back what was staged, in all its copies.
    ///
    /// # Errors
    /// [`LoadError::Verify`] with the first word that differs, [`CardError::Refused`] when the card lost writes; when it
    /// cannot be reached.
    pub fn verify<B: BarIo>(
        &mut self,
        card: &mut Card<B>,
        staged: Staged,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Verified, LoadError> {
        self.verify_as(card, staged, Step::Verify, progress)
    }

    /// Serves what was staged, from the next frame on; the new generation.
    ///
    /// # Errors
    /// [`LoadError::Stale`] when something was written, committed or reset since; [`LoadError::Commit`] with
    /// [`CardError::Deadline`] when frames stay inside: then the commit still happens when they leave; with
    /// [`CardError::Commit`] when it was lost; or when the card cannot be reached.
    pub fn commit<B: BarIo>(&mut self, card: &mut Card<B>, verified: Verified) -> Result<u32, LoadError> {
        if card.journal() != verified.journal || card.generation()? != verified.generation {
            self.forget();
            return Err(LoadError::Stale);
        }
        // Until the card has said which side is active, nothing is known of either.
        let (sides, datapath) = (std::mem::take(&mut self.sides), self.datapath.take());
        self.forget();
        let committed = card.commit().and_then(|generation| {
            card.expect_no_errors("committing tables")?;
            Ok(generation)
        });
        let generation = committed.map_err(|source| LoadError::Commit { source })?;
        *self = Self { sides, datapath, tick_ms: Some(verified.tick_ms), seen: Some((card.journal(), generation)) };
        Ok(generation)
    }

    /// Forgets all that is known of a card, so that the next load writes every word. This happens by itself when the card
    /// is another one or was reset, or when something else in this process has written to its memories.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    fn stage_as<B: BarIo>(
        &mut self,
        card: &mut Card<B>,
        image: &TableImage,
        step: Step,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Staged, LoadError> {
        let own = *card.geometry();
        if (Geometry { bus_bytes: own.bus_bytes, ..image.geometry }) != own {
            return Err(LoadError::Geometry { image: Box::new(image.geometry), card: Box::new(own) });
        }
        let remedy = "the memories are not cleared: reset the card";
        card.wait("waiting for the card after its reset", remedy, |status| status.ready)?;
        card.wait_until_free()?;
        let generation = card.generation()?;
        if self.seen != Some((card.journal(), generation)) {
            self.forget();
        }
        self.refuse_tick(card, generation, image.datapath.tick_ms.value())?;
        card.clear_errors()?;

        let (addresses, words): (Vec<u32>, Vec<u32>) = image.words().unzip();
        let mut known: Vec<Option<u32>> = Vec::with_capacity(words.len());
        let datapath = self.datapath.take();
        let side = self.sides[staged_side(generation)].take();
        let datapath_words = window::DATAPATH_WORDS as usize;
        for (shadow, len) in [(datapath, datapath_words), (side, words.len() - datapath_words)] {
            match shadow {
                Some(shadow) => known.extend(shadow.into_iter().map(Some)),
                None => known.resize(known.len() + len, None),
            }
        }
        let writes = addresses.into_iter().zip(words.iter().copied());
        let writes: Vec<_> =
            writes.zip(known).filter(|&((_, word), known)| known != Some(word)).map(|(write, _)| write).collect();
        let mut done = 0;
        progress(Progress { step, done, total: writes.len() });
        for chunk in writes.chunks(CHUNK_WORDS) {
            let written = card.write_words(chunk);
            self.seen = Some((card.journal(), generation));
            written?;
            done += chunk.len();
            progress(Progress { step, done, total: writes.len() });
        }
        Ok(Staged { generation, words, writes })
    }

    fn verify_as<B: BarIo>(
        &mut self,
        card: &mut Card<B>,
        staged: Staged,
        step: Step,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Verified, LoadError> {
        let Staged { generation, mut words, writes } = staged;
        if self.seen != Some((card.journal(), generation)) {
            return Err(LoadError::Stale);
        }
        let mut checks: Vec<Check> =
            writes.iter().flat_map(|&(address, word)| Check::of_write(address, word)).collect();
        // By address, so that the page is turned as seldom as can be.
        checks.sort_by_key(|check| check.address);
        let (mut done, mut found) = (0, Vec::new());
        for chunk in checks.chunks(CHUNK_WORDS) {
            let addresses: Vec<_> = chunk.iter().map(|check| check.address).collect();
            found.clear();
            card.read_words(&addresses, &mut found)?;
            for (check, &found) in chunk.iter().zip(&found) {
                check.compare(found)?;
            }
            done += chunk.len();
            progress(Progress { step, done, total: checks.len() });
        }
        card.expect_no_errors("staging tables")?;
        if card.generation()? != generation {
            return Err(LoadError::Stale);
        }
        let tick_ms = words[TICK_WORD as usize];
        let side = words.split_off(window::DATAPATH_WORDS as usize);
        self.datapath = Some(words);
        self.sides[staged_side(generation)] = Some(side);
        Ok(Verified { generation, tick_ms, journal: card.journal(), words_read: checks.len() as u64 })
    }

    /// While the card counts, the length of a tick stays. A loader that has committed nothing itself takes what is staged
    /// for what is served: they differ only if somebody died between the two while the card did not count.
    fn refuse_tick<B: BarIo>(&self, card: &mut Card<B>, generation: u32, image: u32) -> Result<(), LoadError> {
        if generation == 0 || card.clocks_per_ms()? == 0 {
            return Ok(());
        }
        let tick_address = address(window::DATAPATH, 0, TICK_WORD);
        let tick_ms = self.tick_ms.map_or_else(|| card.read_word(tick_address), Ok)?;
        if tick_ms == image { Ok(()) } else { Err(LoadError::TickLength { image, card: tick_ms }) }
    }
}

/// The side that is written in a generation.
const fn staged_side(generation: u32) -> usize {
    !generation as usize & 1
}

const _: () = assert!(DatapathRow::TICK_MS_OFFSET.is_multiple_of(4));
