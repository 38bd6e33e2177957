//! The datapath with one worker as an engine of the cross-check.

use std::sync::Arc;

use maglane_spec::verdict::Egress;
use maglane_spec::{Geometry, TableImage};

use super::datapath::{Datapath, NAME};
use super::packet::{HEADROOM, LOOK, Packet};
use super::{BURST, Worker};
use crate::engine::{Counters, Engine, EngineError, FlowState, Frame, Outcome};
use crate::pipeline::Trace;
use crate::simd::Level;

/// `software-fast`.
#[derive(Debug)]
pub struct FastEngine {
    worker: Worker,
    /// Frames of a burst at most.
    burst: usize,
    buffers: Vec<Vec<u8>>,
}

impl FastEngine {
    /// One without tables, at the best level that the processor has.
    ///
    /// # Errors
    /// When the system has no memory for the flow table.
    pub fn new(geometry: Geometry) -> Result<Self, EngineError> {
        Self::at_level(geometry, Level::best(), BURST)
    }

    /// One that uses no other instructions than a level's, and bursts of so many frames, up to [`BURST`].
    ///
    /// # Errors
    /// When the system has no memory for the flow table.
    pub fn at_level(geometry: Geometry, level: Level, burst: usize) -> Result<Self, EngineError> {
        let worker = Worker::at_level(Arc::new(Datapath::new(geometry)?), level);
        Ok(Self { worker, burst: burst.clamp(1, BURST), buffers: vec![Vec::new(); BURST] })
    }

    /// One that does one thing wrong on purpose, in the stage named, so that tests see a cross-check catch it.
    ///
    /// # Errors
    /// When the system has no memory for the flow table.
    #[cfg(feature = "fault")]
    pub fn with_fault(geometry: Geometry, stage: maglane_spec::Stage) -> Result<Self, EngineError> {
        let mut engine = Self::new(geometry)?;
        engine.worker.fault = Some(stage);
        Ok(engine)
    }

    /// Processes frames of one tick, no more than a burst.
    fn burst(&mut self, frames: &[Frame<'_>], outcomes: &mut Vec<Outcome>) {
        for (buffer, frame) in self.buffers.iter_mut().zip(frames) {
            buffer.clear();
            buffer.resize(HEADROOM, 0);
            buffer.extend_from_slice(frame.bytes);
            buffer.resize(HEADROOM + frame.bytes.len() + LOOK, 0);
        }
        let mut packets: Vec<Packet<'_>> = self
            .buffers
            .iter_mut()
            .zip(frames)
            .filter_map(|(buffer, frame)| Packet::new(buffer, HEADROOM, frame.bytes.len()))
            .collect();
        let time_ns = frames.iter().map(|frame| frame.time_ns).max().unwrap_or(0);
        self.worker.process(time_ns, &mut packets);
        for (at, (frame, packet)) in frames.iter().zip(&packets).enumerate() {
            let Trace { verdict, service, hash, flow, backend } = self.worker.trace(at);
            let output = match verdict.egress() {
                Egress::Wire => packet.bytes().to_vec(),
                Egress::Host => frame.bytes.to_vec(),
                Egress::Nowhere => Vec::new(),
            };
            outcomes.push(Outcome { verdict, service, hash, flow, backend, output });
        }
    }
}

impl Engine for FastEngine {
    fn name(&self) -> &str {
        NAME
    }

    fn load(&mut self, image: &TableImage) -> Result<(), EngineError> {
        self.worker.datapath.load(Arc::new(image.clone()))
    }

    fn update(&mut self, image: &TableImage) -> Result<(), EngineError> {
        self.worker.datapath.update(Arc::new(image.clone()))
    }

    fn process(&mut self, frames: &[Frame<'_>]) -> Result<Vec<Outcome>, EngineError> {
        let mut outcomes = Vec::with_capacity(frames.len());
        let mut rest = frames;
        while !rest.is_empty() {
            // A burst has one time: that of the tick before which its frames came in.
            let ends_ns = self.worker.datapath.tick_ends_ns();
            let within = rest.iter().take(self.burst).take_while(|frame| frame.time_ns < ends_ns).count();
            let (burst, after) = rest.split_at(within.max(1));
            self.burst(burst, &mut outcomes);
            rest = after;
        }
        Ok(outcomes)
    }

    fn counters(&mut self) -> Result<Counters, EngineError> {
        Ok(self.worker.datapath.counters())
    }

    fn flow_state(&mut self) -> Result<FlowState, EngineError> {
        Ok(self.worker.datapath.flow_state())
    }

    fn resume(&mut self, state: &FlowState, time_ns: u64) -> Result<(), EngineError> {
        self.worker.datapath.resume(state, time_ns)
    }

    fn live_flows(&mut self) -> Result<Vec<u32>, EngineError> {
        Ok(self.worker.datapath.live_flows())
    }
}
