//! What every engine of the cross-check can do: load tables, process frames, tell its counters.
//!
//! The software pipeline implements it here; the gateware's simulators implement it in `maglane-sim`. Its unit of
//! work is a batch of frames.

use std::path::Path;

use maglane_spec::counter::PacketsBytes;
use maglane_spec::limit::{NO_BACKEND, NO_SERVICE};
use maglane_spec::{FlowOutcome, Geometry, TableImage, Verdict, flow};

/// A frame as it came in, from destination MAC to the end of payload, without FCS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Arrival, in nanoseconds since the epoch of the capture's clock.
    pub time_ns: u64,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// What became of a frame, with the inputs of the decision as far as they were reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// Id of the matching service, [`NO_SERVICE`] when classify found none or was not reached.
    pub service: u16,
    /// The flow hash h, 0 when flow_hash was not reached.
    pub hash: u64,
    /// What the frame met in the flow table.
    pub flow: FlowOutcome,
    /// The backend that select chose, [`NO_BACKEND`] when there was none or select was not reached.
    pub backend: u16,
    /// The frame that left, to wire or host; empty when the verdict is a drop.
    pub output: Vec<u8>,
}

impl Outcome {
    /// The outcome of a frame whose verdict was found before any table was read, without output.
    #[must_use]
    pub const fn early(verdict: Verdict) -> Self {
        Self {
            verdict,
            service: NO_SERVICE,
            hash: 0,
            flow: FlowOutcome::NotReached,
            backend: NO_BACKEND,
            output: Vec::new(),
        }
    }
}

/// All counters of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// By verdict code; [`Verdict::CODES`] entries.
    pub verdicts: Vec<PacketsBytes>,
    /// By code of [`FlowOutcome`]; [`FlowOutcome::CODES`] entries.
    pub flows: Vec<PacketsBytes>,
    /// Forwarded frames by service id; as many as the geometry has services.
    pub services: Vec<PacketsBytes>,
    /// Forwarded frames by backend id; as many as the geometry has backends.
    pub backends: Vec<PacketsBytes>,
}

/// What an engine remembers from frame to frame, counters aside, in a form that can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowState {
    /// The tick, modulo [`maglane_spec::flow::TICKS`].
    pub tick: u8,
    /// Entries of the flow table, way by way and set by set; those that are not live are zero.
    pub entries: Vec<u64>,
    /// The next turn of each service with selection by sequence, by service id.
    pub sequence: Vec<u16>,
}

/// Why an engine could not go on. Frames never cause it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The image was built for other sizes than the engine has.
    #[error(
        "the tables are built for geometry = {image}, and engine `{engine}` has {own}: build them for that, or start it \
         again"
    )]
    Geometry {
        /// The engine.
        engine: String,
        /// Sizes of the image.
        image: Box<maglane_spec::Geometry>,
        /// Sizes of the engine.
        own: Box<maglane_spec::Geometry>,
    },
    /// New tables have another tick length than the flow table's epochs were counted in.
    #[error("engine `{engine}` keeps flows that are counted in ticks of {own} ms; the new tables say {image} ms")]
    TickLength {
        /// The engine.
        engine: String,
        /// The new tables' tick, in milliseconds.
        image: u32,
        /// The tick in use, in milliseconds.
        own: u32,
    },
    /// A flow table that is to be taken over is not one of this engine's.
    #[error("engine `{engine}` cannot take over the flow table: {message}")]
    FlowState {
        /// The engine.
        engine: String,
        /// What is wrong with it.
        message: String,
    },
    /// A simulated engine stopped: its message says why.
    #[error("engine `{engine}`: {message}")]
    Stopped {
        /// The engine.
        engine: String,
        /// What happened, and what to do.
        message: String,
    },
}

impl FlowState {
    /// That an engine of these sizes can take this over.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, geometry: &Geometry) -> Result<(), String> {
        let sizes = [
            ("entries", self.entries.len(), geometry.flow_sets as usize * flow::WAYS),
            ("turns", self.sequence.len(), geometry.services as usize),
        ];
        for (what, has, needs) in sizes {
            if has != needs {
                return Err(format!("it has {has} {what}, and the engine {needs}"));
            }
        }
        if self.tick >= flow::TICKS {
            return Err(format!("its tick is {}, and ticks are counted modulo {}", self.tick, flow::TICKS));
        }
        let stray = self.entries.iter().position(|entry| {
            entry & 3 != u64::from(flow::STATE_EMPTY)
                && (entry >> flow::BACKEND_SHIFT & 0xffff) >= u64::from(geometry.backends)
        });
        stray.map_or(Ok(()), |at| {
            let (set, way) = (at / flow::WAYS, at % flow::WAYS);
            Err(format!("set {set}, way {way}: its backend is none of the {} that the engine has", geometry.backends))
        })
    }
}

/// An engine of the cross-check.
pub trait Engine {
    /// The engine's name on the command line: `software`, `rtl`, `verilog`.
    fn name(&self) -> &str;

    /// Loads the tables of a generation and starts to serve, with an empty flow table and counters at zero.
    ///
    /// # Errors
    /// When the image does not fit the engine, or a simulator stopped.
    fn load(&mut self, image: &TableImage) -> Result<(), EngineError>;

    /// Replaces the tables between two frames; flow table, turns, tick and counters stay.
    ///
    /// # Errors
    /// When the image does not fit the engine or has another tick length, or a simulator stopped. After the former two
    /// the engine is unchanged.
    fn update(&mut self, image: &TableImage) -> Result<(), EngineError>;

    /// Processes a batch in order; one outcome a frame.
    ///
    /// # Errors
    /// When a simulator stopped. Frames of any content make verdicts, not errors.
    fn process(&mut self, frames: &[Frame<'_>]) -> Result<Vec<Outcome>, EngineError>;

    /// All counters since the tables were loaded.
    ///
    /// # Errors
    /// When a simulator stopped.
    fn counters(&mut self) -> Result<Counters, EngineError>;

    /// The flow table and what else is remembered from frame to frame.
    ///
    /// # Errors
    /// When a simulator stopped.
    fn flow_state(&mut self) -> Result<FlowState, EngineError>;

    /// Takes over from another engine of the same sizes: its flow table, its tick, its turns. What is not live by the
    /// timeouts of this engine's tables is gone. `time_ns` is that of the last frame of the other engine, so that the next
    /// one's says how many ticks have passed.
    ///
    /// # Errors
    /// When the state is not of this engine's sizes or points at what is not there: the engine is unchanged. When a
    /// simulator stopped.
    fn resume(&mut self, state: &FlowState, time_ns: u64) -> Result<(), EngineError>;

    /// Live flows by backend id, of all backends that the geometry has room for: a card counts them as its sweeper goes
    /// round, and is made to go round once more.
    ///
    /// # Errors
    /// When a simulator stopped.
    fn live_flows(&mut self) -> Result<Vec<u32>, EngineError>;

    /// Clocks that a simulated card has spent on frames since the tables were loaded.
    fn clocks(&self) -> Option<u64> {
        None
    }

    /// Starts to record a waveform (value change dump) of a simulated card; `false` when the engine has none.
    ///
    /// # Errors
    /// When the file cannot be written, or a simulator stopped.
    fn record_waveform(&mut self, _path: &Path) -> Result<bool, EngineError> {
        Ok(false)
    }
}
