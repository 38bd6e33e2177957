//! A simulated card as a device: its registers behind a [`BarIo`], frames in and out.
//!
//! It is the emitted Verilog under Verilator, in a process of its own; time passes for it only while it is accessed or
//! has frames. Unlike the engine `verilog` it loads nothing by itself: that is the driver's work. Its unit of work is the
//! register access.

use maglane_driver::bar::{self, BarError, BarIo};
use maglane_hw::profile::Profile;
use maglane_spec::row::DatapathRow;
use maglane_spec::{register, window};
use maglane_sw::engine::{Engine, EngineError, Frame, Outcome};

use crate::Stimulus;
use crate::bus::Access;
use crate::model::ModelError;
use crate::pci::Device;
use crate::verilog::Verilog;

/// What carries the accesses, in messages.
const TRANSPORT: &str = "the simulated card";

/// Which word of the settings is the length of a tick.
const TICK_MS_WORD: usize = DatapathRow::TICK_MS_OFFSET / size_of::<u32>();

/// A card under simulation, reset and without tables.
pub struct SimulatedCard {
    model: Verilog,
    profile: Profile,
    /// Generation and clocks per millisecond when the length of a tick was last looked up, and that length.
    timed: ([u32; 2], u32),
}

impl SimulatedCard {
    /// Starts a card of a build; its model is built if it is not in the cache yet, which takes a minute.
    ///
    /// # Errors
    /// When Verilator is missing or fails, or the model does not answer.
    pub fn start(profile: Profile, stimulus: Stimulus) -> Result<Self, DeviceError> {
        let mut model = Verilog::start(profile, stimulus, None, false)?;
        model.reset()?;
        // Until the driver lets it count time there is none to begin with at the first frame.
        model.follow_time(0, 0);
        Ok(Self { model, profile, timed: ([0; 2], 0) })
    }

    /// The build.
    #[must_use]
    pub const fn profile(&self) -> Profile {
        self.profile
    }

    /// Gives the card frames, and yields what becomes of them; the outcomes' output is what leaves.
    ///
    /// # Errors
    /// When the model stops.
    pub fn frames(&mut self, frames: &[Frame<'_>]) -> Result<Vec<Outcome>, EngineError> {
        self.model.process(frames)
    }

    /// Lets the flow table's time pass with the frames' time stamps while the driver lets the card count time, and stand
    /// still while it does not. To be called now and then: what the driver has changed is found here, and holds from this
    /// time on.
    ///
    /// The card's own prescaler counts clocks, and between frames that come when they come there are hardly any.
    ///
    /// # Errors
    /// When the model stops.
    pub fn follow_time(&mut self, now_ns: u64) -> Result<(), BarError> {
        let state = [self.read(register::CONTROL_GENERATION)?, self.read(register::CONTROL_CLOCKS_PER_MS)?];
        let (seen, length_ms) = self.timed;
        if state == seen {
            return Ok(());
        }
        let tick_ms = if state[1] == 0 { 0 } else { self.tick_ms()? };
        if tick_ms != length_ms {
            self.model.follow_time(tick_ms, now_ns);
        }
        self.timed = (state, tick_ms);
        Ok(())
    }

    /// Does accesses to registers while the next frames run; see [`Verilog::post_accesses`].
    ///
    /// # Errors
    /// When the model stops.
    pub fn post(&mut self, accesses: &[Access]) -> Result<(), EngineError> {
        self.model.post_accesses(accesses)
    }
}

/// Why there is no simulated card.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// There is no model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The model stopped.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl BarIo for SimulatedCard {
    fn bytes(&self) -> u32 {
        register::BYTES
    }

    fn read(&mut self, offset: u32) -> Result<u32, BarError> {
        let mut words = Vec::with_capacity(1);
        self.read_all(&[offset], &mut words)?;
        words.pop().ok_or_else(|| broken(offset, "it answered nothing".into()))
    }

    fn write(&mut self, offset: u32, word: u32) -> Result<(), BarError> {
        self.write_all(&[(offset, word)])
    }

    fn write_all(&mut self, writes: &[(u32, u32)]) -> Result<(), BarError> {
        let accesses = writes.iter().map(|&(offset, word)| (offset, Some(word)));
        self.access(accesses).map(drop)
    }

    fn read_all(&mut self, offsets: &[u32], out: &mut Vec<u32>) -> Result<(), BarError> {
        out.extend(self.access(offsets.iter().map(|&offset| (offset, None)))?);
        Ok(())
    }
}

impl Device for SimulatedCard {
    fn reset(&mut self) -> Result<(), BarError> {
        self.model.reset().map_err(|error| broken(0, error.into()))
    }
}

impl SimulatedCard {
    /// The length of a tick, in milliseconds.
    fn tick_ms(&mut self) -> Result<u32, BarError> {
        // The page is the driver's, who believes that it is as it was left.
        let page = self.read(register::TABLE_PAGE)?;
        let words = self.model.read_words(window::DATAPATH, window::DATAPATH_WORDS);
        self.write(register::TABLE_PAGE, page)?;
        let words = words.map_err(|error| broken(register::WINDOW, error.into()))?;
        words.get(TICK_MS_WORD).copied().ok_or_else(|| broken(register::WINDOW, "it answered nothing".into()))
    }

    fn access(&mut self, accesses: impl Iterator<Item = (u32, Option<u32>)>) -> Result<Vec<u32>, BarError> {
        let mut checked = Vec::new();
        for (offset, word) in accesses {
            bar::check(offset, register::BYTES)?;
            checked.push(Access { after: 0, offset, word });
        }
        let first = checked.first().map_or(0, |access| access.offset);
        self.model.access(&checked).map_err(|error| broken(first, error.into()))
    }
}

fn broken(offset: u32, source: Box<dyn std::error::Error + Send + Sync>) -> BarError {
    BarError::Transport { transport: TRANSPORT, offset, source }
}
