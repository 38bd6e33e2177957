//! A card: its registers by name, and the words of its memories through the paged window.
//!
//! Every wait has a deadline, and no answer of all ones is believed before the card has said its name. What a load, a
//! counter or a flow means is not known here. Its unit of work is the register.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use maglane_spec::{Geometry, register, window};

use crate::bar::{BarError, BarIo};
use crate::identity::{Identity, expect_alive};

mod error;
mod status;
#[cfg(test)]
mod tests;

pub use error::CardError;
pub use status::{AccessErrors, Mode, Status};

/// How long a wait lasts unless told otherwise. A commit waits for frames that are inside: microseconds, but for a wire
/// that takes nothing.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// Looks at a register before a wait begins to sleep between them: a card is done by then, if frames flow.
const POLLS_AWAKE: u32 = 64;
/// Sleep between two looks.
const POLL_SLEEP: Duration = Duration::from_micros(200);

/// Cards opened by this process, so that none is taken for another.
static OPENED: AtomicU64 = AtomicU64::new(0);

/// A card behind a BAR.
#[derive(Debug)]
pub struct Card<B> {
    bar: B,
    identity: Identity,
    deadline: Duration,
    /// The page that the window shows; none when that is not known.
    page: Option<u32>,
    journal: Journal,
    offsets: Vec<u32>,
    writes: Vec<(u32, u32)>,
}

/// Which card, and how often something has been written to its memories: what a shadow of them is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Journal {
    card: u64,
    writes: u64,
}

impl<B: BarIo> Card<B> {
    /// Opens the card behind a BAR: it must be one that this program knows, and the bus must carry words unchanged.
    ///
    /// # Errors
    /// As [`Identity::read`].
    pub fn open(mut bar: B) -> Result<Self, CardError> {
        let identity = Identity::read(&mut bar)?;
        let journal = Journal { card: OPENED.fetch_add(1, Ordering::Relaxed), writes: 0 };
        let (offsets, writes) = (Vec::new(), Vec::new());
        Ok(Self { bar, identity, deadline: DEADLINE, page: None, journal, offsets, writes })
    }

    /// What the card says of itself.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Sizes of its tables.
    #[must_use]
    pub const fn geometry(&self) -> &Geometry {
        &self.identity.geometry
    }

    /// How long a wait lasts: [`DEADLINE`] at first.
    #[must_use]
    pub const fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Changes how long a wait lasts, for cards that are simulated.
    pub const fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    /// The BAR. Nothing is taken for granted afterwards: not the page, and no loader's shadow.
    pub const fn bar(&mut self) -> &mut B {
        self.page = None;
        self.journal.writes += 1;
        &mut self.bar
    }

    /// The mode in force.
    ///
    /// # Errors
    /// When the card cannot be reached.
    pub fn mode(&mut self) -> Result<Mode, CardError> {
        let serves = self.read_register(register::CONTROL_MODE)? & window::CONTROL_SERVE != 0;
        Ok(if serves { Mode::Serve } else { Mode::Bypass })
    }

    /// Changes the mode, and waits until it is in force.
    ///
    /// # Errors
    /// [`CardError::Deadline`] when frames stay inside, [`CardError::Lost`] when the card took no notice; when the card
    /// cannot be reached.
    pub fn set_mode(&mut self, mode: Mode) -> Result<(), CardError> {
        let wrote = match mode {
            Mode::Bypass => 0,
            Mode::Serve => window::CONTROL_SERVE,
        };
        self.wait_until_free()?;
        self.write_register(register::CONTROL_MODE, wrote)?;
        self.wait_until_free()?;
        let found = self.read_register(register::CONTROL_MODE)?;
        if found == wrote { Ok(()) } else { Err(CardError::Lost { name: "MODE", wrote, found }) }
    }

    /// The status word.
    ///
    /// # Errors
    /// When the card cannot be reached.
    pub fn status(&mut self) -> Result<Status, CardError> {
        Ok(Status::of(self.read_register(register::CONTROL_STATUS)?))
    }

    /// Commits since reset.
    ///
    /// # Errors
    /// When the card cannot be reached.
    pub fn generation(&mut self) -> Result<u32, CardError> {
        self.read_register(register::CONTROL_GENERATION)
    }

    /// Clocks per millisecond, by which the card counts ticks; 0 when it does not.
    ///
    /// # Errors
    /// When the card cannot be reached.
    pub fn clocks_per_ms(&mut self) -> Result<u32, CardError> {
        self.read_register(register::CONTROL_CLOCKS_PER_MS)
    }

    /// Lets the card count ticks by so many clocks per millisecond ([`Identity::clock_khz`]), or, with 0, not at all.
    ///
    /// # Errors
    /// [`CardError::Lost`] when the card took another number; when it cannot be reached.
    pub fn set_clocks_per_ms(&mut self, clocks: u32) -> Result<(), CardError> {
        self.write_register(register::CONTROL_CLOCKS_PER_MS, clocks)?;
        let found = self.clocks_per_ms()?;
        if found == clocks { Ok(()) } else { Err(CardError::Lost { name: "CLOCKS_PER_MS", wrote: clocks, found }) }
    }

    /// What was wrong with accesses since this was last cleared.
    ///
    /// # Errors
    /// When the card cannot be reached.
    pub fn errors(&mut self) -> Result<AccessErrors, CardError> {
        Ok(AccessErrors(self.read_register(register::IDENTITY_ERROR)?))
    }

    /// Clears [`Self::errors`] and returns what it was.
    ///
    /// # Errors
    /// [`CardError::Lost`] when a bit stays; when the card cannot be reached.
    pub fn clear_errors(&mut self) -> Result<AccessErrors, CardError> {
        let errors = self.errors()?;
        if errors.0 != 0 {
            self.write_register(register::IDENTITY_ERROR, errors.0)?;
            let found = self.errors()?.0;
            if found != 0 {
                return Err(CardError::Lost { name: "ERROR", wrote: errors.0, found });
            }
        }
        Ok(errors)
    }

    /// Reads words of the memories ([`window`]) in order, and appends them to `out`.
    ///
    /// # Errors
    /// When the card cannot be reached. What was appended before is not to be used.
    pub fn read_words(&mut self, addresses: &[u32], out: &mut Vec<u32>) -> Result<(), CardError> {
        for run in addresses.chunk_by(|&one, &next| page_of(one) == page_of(next)) {
            self.turn_to(page_of(run[0]))?;
            let begin = out.len();
            self.offsets.clear();
            self.offsets.extend(run.iter().map(|&address| offset_of(address)));
            let read = self.bar.read_all(&self.offsets, out);
            self.or_forget_page(read)?;
            if out.get(begin..).is_some_and(|words| words.contains(&u32::MAX)) {
                self.expect_alive(register::WINDOW)?;
            }
        }
        Ok(())
    }

    /// A word of the memories.
    ///
    /// # Errors
    /// When the card cannot be reached.
    pub fn read_word(&mut self, address: u32) -> Result<u32, CardError> {
        self.turn_to(page_of(address))?;
        self.read_register(offset_of(address))
    }

    /// Writes words of the memories, (address, word), in order. Whether they arrived only reading them shows. A shadow that
    /// a loader keeps of them is forgotten.
    ///
    /// # Errors
    /// When the card cannot be reached, or does not turn to the page.
    pub fn write_words(&mut self, words: &[(u32, u32)]) -> Result<(), CardError> {
        self.journal.writes += 1;
        for run in words.chunk_by(|one, next| page_of(one.0) == page_of(next.0)) {
            self.turn_to(page_of(run[0].0))?;
            self.writes.clear();
            self.writes.extend(run.iter().map(|&(address, word)| (offset_of(address), word)));
            let written = self.bar.write_all(&self.writes);
            self.or_forget_page(written)?;
        }
        Ok(())
    }

    /// Waits until a status, with [`Self::deadline`].
    ///
    /// # Errors
    /// [`CardError::Deadline`] with these words; when the card cannot be reached.
    pub fn wait(
        &mut self,
        what: &'static str,
        remedy: &'static str,
        mut is_done: impl FnMut(Status) -> bool,
    ) -> Result<Status, CardError> {
        let begin = Instant::now();
        for poll in 0_u32.. {
            // The clock before the look: a process that was asleep in between has still looked once after it.
            let waited = begin.elapsed();
            let status = self.status()?;
            if is_done(status) {
                return Ok(status);
            }
            if waited > self.deadline {
                return Err(CardError::Deadline { what, status, waited, remedy });
            }
            if poll >= POLLS_AWAKE {
                thread::sleep(POLL_SLEEP);
            }
        }
        unreachable!("a wait ends at its deadline")
    }

    /// Waits until no commit and no other mode is waiting.
    pub(crate) fn wait_until_free(&mut self) -> Result<Status, CardError> {
        let remedy = "frames stay inside: see that the wire and the host take what leaves the card, then load again";
        self.wait("waiting for the frames inside", remedy, |status| !status.holding)
    }

    /// Serves what is staged from the next frame on; the new generation.
    pub(crate) fn commit(&mut self) -> Result<u32, CardError> {
        let before = self.generation()?;
        self.journal.writes += 1;
        self.write_register(register::CONTROL_COMMIT, 1)?;
        self.wait_until_free()?;
        let after = self.generation()?;
        if after == before.wrapping_add(1) { Ok(after) } else { Err(CardError::Commit { before, after }) }
    }

    /// An error when the card says that an access was wrong.
    pub(crate) fn expect_no_errors(&mut self, doing: &'static str) -> Result<(), CardError> {
        match self.errors()? {
            AccessErrors(0) => Ok(()),
            errors => Err(CardError::Refused { doing, errors }),
        }
    }

    /// What has been written to the memories so far.
    pub(crate) const fn journal(&self) -> Journal {
        self.journal
    }

    /// A register, after which the card is known to be there.
    pub(crate) fn read_register(&mut self, offset: u32) -> Result<u32, CardError> {
        let read = self.bar.read(offset);
        let word = self.or_forget_page(read)?;
        if word == u32::MAX {
            self.expect_alive(offset)?;
        }
        Ok(word)
    }

    pub(crate) fn write_register(&mut self, offset: u32, word: u32) -> Result<(), CardError> {
        if offset == register::TABLE_PAGE {
            self.page = None;
        }
        let written = self.bar.write(offset, word);
        self.or_forget_page(written)
    }

    /// The BAR without consequences, so that tests can change a fault in the midst of things.
    #[cfg(test)]
    pub(crate) const fn bar_unnoticed(&mut self) -> &mut B {
        &mut self.bar
    }

    fn expect_alive(&mut self, at: u32) -> Result<(), CardError> {
        let alive = expect_alive(&mut self.bar, at);
        if alive.is_err() {
            self.page = None;
        }
        alive
    }

    /// Shows a page. It is read back though it be known: after a reset the card shows page 0, where words are commands.
    fn turn_to(&mut self, page: u32) -> Result<(), CardError> {
        if self.page.take() == Some(page) && self.read_register(register::TABLE_PAGE)? == page {
            self.page = Some(page);
            return Ok(());
        }
        self.write_register(register::TABLE_PAGE, page)?;
        let found = self.read_register(register::TABLE_PAGE)?;
        if found != page {
            return Err(CardError::Page { wrote: page, found });
        }
        self.page = Some(page);
        Ok(())
    }

    fn or_forget_page<T>(&mut self, result: Result<T, BarError>) -> Result<T, CardError> {
        if result.is_err() {
            self.page = None;
        }
        Ok(result?)
    }
}

const fn page_of(address: u32) -> u32 {
    address >> register::PAGE_SHIFT
}

/// Offset of a word in the window, once that shows its page.
const fn offset_of(address: u32) -> u32 {
    register::WINDOW + 4 * (address & (register::WINDOW_WORDS - 1))
}
