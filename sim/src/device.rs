//! A simulated card as a device: its registers behind a [`BarIo`], frames in and out.
//!
//! It is the emitted Verilog under Verilator, in a process of its own; time passes for it only while it is accessed or
//! has frames. Unlike the engine `verilog` it loads nothing by itself: that is the driver's work. Its unit of work is the
//! register access.

use maglane_driver::bar::{self, BarError, BarIo};
use maglane_hw::profile::Profile;
use maglane_spec::register;
use maglane_sw::engine::{Engine, EngineError, Frame, Outcome};

use crate::Stimulus;
use crate::bus::Access;
use crate::model::ModelError;
use crate::pci::Device;
use crate::verilog::Verilog;

/// What carries the accesses, in messages.
const TRANSPORT: &str = "the simulated card";

/// A card under simulation, reset and without tables.
pub struct SimulatedCard {
    model: Verilog,
    profile: Profile,
}

impl SimulatedCard {
    /// Starts a card of a build; its model is built if it is not in the cache yet, which takes a minute.
    ///
    /// # Errors
    /// When Verilator is missing or fails, or the model does not answer.
    pub fn start(profile: Profile, stimulus: Stimulus) -> Result<Self, DeviceError> {
        let mut model = Verilog::start(profile, stimulus, None, false)?;
        model.reset()?;
        Ok(Self { model, profile })
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
