//! Which engines take part in a cross-check, and how they are started.

use std::fmt;
use std::str::FromStr;

use maglane_hw::profile::Profile;
use maglane_spec::{Geometry, Stage};
use maglane_sw::engine::{Engine, EngineError};
use maglane_sw::fast::FastEngine;
use maglane_sw::pipeline::Pipeline;

use crate::Stimulus;
use crate::model::{self, ModelError};
use crate::rtl;
use crate::verilog::Verilog;

/// An engine of the cross-check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The scalar software pipeline.
    Software,
    /// The software pipeline in bursts.
    SoftwareFast,
    /// The rust-hdl simulation.
    Rtl,
    /// The emitted Verilog in Verilator.
    Verilog,
}

impl Kind {
    /// All engines; the first is the reference.
    pub const ALL: [Self; 4] = [Self::Software, Self::SoftwareFast, Self::Rtl, Self::Verilog];

    /// The engine's name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Software => "software",
            Self::SoftwareFast => "software-fast",
            Self::Rtl => "rtl",
            Self::Verilog => "verilog",
        }
    }

    /// The engine has no card, and takes tables of any sizes and frames of no bytes.
    #[must_use]
    pub const fn is_software(self) -> bool {
        matches!(self, Self::Software | Self::SoftwareFast)
    }

    /// Why this machine cannot run the engine, if it cannot.
    #[must_use]
    pub fn missing(self) -> Option<ModelError> {
        match self {
            Self::Software | Self::SoftwareFast | Self::Rtl => None,
            Self::Verilog => model::verilator_version().err(),
        }
    }

    /// Starts the engine for a geometry; with a fault in a stage when one is asked for.
    ///
    /// # Errors
    /// When the gateware is not built for the geometry, or its model cannot be built.
    pub fn start(self, setting: &Setting) -> Result<Box<dyn Engine>, StartError> {
        let profile = || Profile::from_geometry(&setting.geometry).ok_or(StartError::NoSuchBuild(setting.geometry));
        Ok(match self {
            Self::Software => match setting.fault {
                Some(stage) => Box::new(Pipeline::with_fault(setting.geometry, stage)),
                None => Box::new(Pipeline::new(setting.geometry)),
            },
            Self::SoftwareFast => Box::new(match setting.fault {
                Some(stage) => FastEngine::with_fault(setting.geometry, stage)?,
                None => FastEngine::new(setting.geometry)?,
            }),
            Self::Rtl => rtl::engine(profile()?, setting.stimulus, setting.fault),
            Self::Verilog => Box::new(Verilog::start(profile()?, setting.stimulus, setting.fault, setting.traced)?),
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let kind = Self::ALL.into_iter().find(|kind| kind.name() == name);
        kind.ok_or_else(|| format!("no engine is called `{name}`; there are {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// What an engine is started with.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Sizes, and the bus width of simulated gateware.
    pub geometry: Geometry,
    /// Pauses and stalls of simulated gateware.
    pub stimulus: Stimulus,
    /// A fault on purpose.
    pub fault: Option<Stage>,
    /// The engine can write a waveform.
    pub traced: bool,
}

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no gateware of these sizes.
    #[error(
        "no gateware is built for geometry = {0}; the builds are {list} (the engines in software take any)",
        list = Profile::ALL.map(Profile::name).join(", ")
    )]
    NoSuchBuild(Geometry),
    /// An engine has no memory.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The Verilator model is missing.
    #[error(transparent)]
    Model(#[from] ModelError),
}
