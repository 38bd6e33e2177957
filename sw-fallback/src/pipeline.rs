//! The pipeline: the five stages one after the other, what is remembered from frame to frame, and the counters.
//!
//! This is the scalar reference, not the fastest that plain Rust can do. Its unit of work is one frame; it neither
//! receives nor transmits. Per frame it does not allocate, lock, log or panic.

use std::sync::Arc;

use maglane_spec::counter::PacketsBytes;
use maglane_spec::limit::{NO_BACKEND, NO_SERVICE};
use maglane_spec::verdict::Egress;
use maglane_spec::{FlowOutcome, Geometry, TableImage, Verdict};

use crate::engine::{Counters, Engine, EngineError, FlowState, Frame, Outcome};
#[cfg(feature = "fault")]
use crate::fault::Fault;
use crate::flow_table::FlowTable;
use crate::stage::classify::classify;
use crate::stage::flow_hash::flow_hash;
use crate::stage::parse::parse;
use crate::stage::rewrite::rewrite;
use crate::stage::select::{select, steer};
use crate::tick::TickClock;

/// The name of this engine on the command line.
const NAME: &str = "software";

/// The software pipeline: the tables of a generation, and what it remembers and counted since the first were loaded.
#[derive(Clone, Debug)]
pub struct Pipeline {
    geometry: Geometry,
    /// None is bypass.
    image: Option<Arc<TableImage>>,
    clock: TickClock,
    flows: FlowTable,
    /// Next turns of the services with selection by sequence, by service id.
    turns: Vec<u16>,
    counters: Counters,
    #[cfg(feature = "fault")]
    fault: Fault,
}

/// An [`Outcome`] without the output, which is in the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
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
}

impl Trace {
    /// That of a frame on which no stage has had a say: it leaves forwarded unless one of them ends its way.
    pub const BEFORE_PARSE: Self = Self {
        verdict: Verdict::Forward,
        service: NO_SERVICE,
        hash: 0,
        flow: FlowOutcome::NotReached,
        backend: NO_BACKEND,
    };
}

impl Pipeline {
    /// A pipeline without tables: it passes every frame to the host until an image is loaded.
    #[must_use]
    pub fn new(geometry: Geometry) -> Self {
        Self {
            geometry,
            image: None,
            clock: TickClock::new(0),
            flows: FlowTable::new(geometry.flow_sets as usize),
            turns: vec![0; geometry.services as usize],
            counters: zero_counters(&geometry),
            #[cfg(feature = "fault")]
            fault: Fault::NONE,
        }
    }

    /// A pipeline that does one thing wrong on purpose, in the stage named, so that tests see a cross-check catch it.
    #[cfg(feature = "fault")]
    #[must_use]
    pub fn with_fault(geometry: Geometry, stage: maglane_spec::Stage) -> Self {
        Self { fault: Fault::in_stage(stage), ..Self::new(geometry) }
    }

    /// Loads tables that several pipelines share, empties the flow table and sets the counters to zero.
    ///
    /// # Errors
    /// When the image was built for other sizes, `bus_bytes` aside: software has no bus. The pipeline is unchanged.
    pub fn load_shared(&mut self, image: Arc<TableImage>) -> Result<(), EngineError> {
        check_geometry(NAME, self.geometry, &image)?;
        self.clock = TickClock::new(image.datapath.tick_ms.value());
        self.flows.clear();
        self.turns.fill(0);
        self.counters = zero_counters(&self.geometry);
        self.image = Some(image);
        Ok(())
    }

    /// Replaces the tables by ones that several pipelines share; flow table, turns, tick and counters stay. New timeouts
    /// hold from the next tick on. A pipeline without tables starts to serve.
    ///
    /// # Errors
    /// As for [`Self::load_shared`]; also when the tick has another length than before, because ages are counted in it.
    pub fn update_shared(&mut self, image: Arc<TableImage>) -> Result<(), EngineError> {
        check_geometry(NAME, self.geometry, &image)?;
        let tick_ms = image.datapath.tick_ms.value();
        match self.image.as_ref().map(|own| own.datapath.tick_ms.value()) {
            Some(own) if own != tick_ms => {
                return Err(EngineError::TickLength { engine: NAME.to_owned(), image: tick_ms, own });
            }
            Some(_) => {}
            None => self.clock = TickClock::new(tick_ms),
        }
        self.image = Some(image);
        Ok(())
    }

    /// Processes a frame that came in at a time, in nanoseconds since any epoch. `out` is emptied first and holds the
    /// frame that leaves, if one does; give the same buffer again and again, so that nothing is allocated.
    ///
    /// A frame whose time is before that of an earlier one is taken to be of the same tick as that.
    pub fn process_frame(&mut self, time_ns: u64, frame: &[u8], out: &mut Vec<u8>) -> Trace {
        out.clear();
        self.advance(time_ns);
        let mut trace = Trace::BEFORE_PARSE;
        if let Err(verdict) = self.run(frame, out, &mut trace) {
            trace.verdict = verdict;
        }
        if trace.verdict.egress() == Egress::Host {
            out.extend_from_slice(frame);
        }
        self.count(&trace, frame.len());
        trace
    }

    /// Moves the tick to that of a time, and clears what expires on the way, as a frame that came in then would; yields
    /// by how many ticks. Such a frame then finds the tick where it is: who watches it sees the flow table as it will.
    #[inline]
    pub fn advance(&mut self, time_ns: u64) -> u64 {
        let Some(image) = &self.image else { return 0 };
        let ticks = self.clock.advance(time_ns);
        if ticks > 0 {
            self.flows.step(ticks, image.datapath.timeout_ticks);
        }
        ticks
    }

    /// The tables; none is bypass.
    #[must_use]
    pub fn image(&self) -> Option<&Arc<TableImage>> {
        self.image.as_ref()
    }

    /// The flow table as it is now.
    #[must_use]
    pub fn flow_table(&self) -> &FlowTable {
        &self.flows
    }

    /// The next turns of the services with selection by sequence, by service id.
    #[must_use]
    pub fn turns(&self) -> &[u16] {
        &self.turns
    }

    /// All counters since the tables were loaded, without a copy.
    #[must_use]
    pub fn totals(&self) -> &Counters {
        &self.counters
    }

    /// The five stages. What they find out on the way is noted in `trace`, and stays there when a later one ends the
    /// frame's way.
    fn run(&mut self, frame: &[u8], out: &mut Vec<u8>, trace: &mut Trace) -> Result<(), Verdict> {
        let image = self.image.as_deref();
        let parsed = parse(image.map(|image| &image.datapath), frame);
        #[cfg(feature = "fault")]
        let parsed = self.fault.after_parse(parsed, image.map(|image| &image.datapath), frame);
        let parsed = parsed?;
        let image = image.ok_or(Verdict::PassBypass)?;

        let service = classify(image, &parsed);
        #[cfg(feature = "fault")]
        let service = self.fault.after_classify(service);
        let service = service.map_err(|refused| {
            trace.service = refused.service;
            refused.verdict
        })?;
        trace.service = service.id.value();

        let hash = flow_hash(&image.datapath, service, &parsed);
        #[cfg(feature = "fault")]
        let hash = self.fault.after_flow_hash(hash, &image.datapath, service, &parsed);
        trace.hash = hash.h;

        let selection = if parsed.steered {
            steer(image, &self.flows, &self.turns, service, hash)
        } else {
            select(image, &mut self.flows, &mut self.turns, service, parsed.flags, hash)
        };
        #[cfg(feature = "fault")]
        let selection = self.fault.after_select(selection);
        trace.flow = selection.flow;
        let backend = selection.backend?;
        trace.backend = backend.id;

        rewrite(&image.datapath, service, backend.row, &parsed, hash.h, frame, out)?;
        #[cfg(feature = "fault")]
        self.fault.after_rewrite(parsed.ip_offset, out);
        Ok(())
    }

    fn count(&mut self, trace: &Trace, frame_len: usize) {
        // Lossless on every target that Rust has.
        let bytes = frame_len as u64;
        add(&mut self.counters.verdicts, usize::from(trace.verdict.code()), bytes);
        add(&mut self.counters.flows, usize::from(trace.flow.code()), bytes);
        if trace.verdict == Verdict::Forward {
            let services = self.counters.services.len();
            add(&mut self.counters.services, usize::from(trace.service) & (services - 1), bytes);
            add(&mut self.counters.backends, usize::from(trace.backend), bytes);
        }
    }
}

impl Engine for Pipeline {
    fn name(&self) -> &str {
        NAME
    }

    fn load(&mut self, image: &TableImage) -> Result<(), EngineError> {
        self.load_shared(Arc::new(image.clone()))
    }

    fn update(&mut self, image: &TableImage) -> Result<(), EngineError> {
        self.update_shared(Arc::new(image.clone()))
    }

    fn process(&mut self, frames: &[Frame<'_>]) -> Result<Vec<Outcome>, EngineError> {
        Ok(frames
            .iter()
            .map(|frame| {
                let mut output = Vec::new();
                let Trace { verdict, service, hash, flow, backend } =
                    self.process_frame(frame.time_ns, frame.bytes, &mut output);
                Outcome { verdict, service, hash, flow, backend, output }
            })
            .collect())
    }

    fn counters(&mut self) -> Result<Counters, EngineError> {
        Ok(self.counters.clone())
    }

    fn flow_state(&mut self) -> Result<FlowState, EngineError> {
        Ok(FlowState { tick: self.flows.tick(), entries: self.flows.entries().collect(), sequence: self.turns.clone() })
    }

    fn resume(&mut self, state: &FlowState, time_ns: u64) -> Result<(), EngineError> {
        let refused = |message| EngineError::FlowState { engine: NAME.to_owned(), message };
        state.check(&self.geometry).map_err(refused)?;
        let Some(image) = &self.image else { return Err(refused("it has no tables yet".to_owned())) };
        self.flows.resume(&state.entries, state.tick, image.datapath.timeout_ticks);
        self.turns.clone_from(&state.sequence);
        self.clock = TickClock::at(image.datapath.tick_ms.value(), time_ns);
        Ok(())
    }

    fn live_flows(&mut self) -> Result<Vec<u32>, EngineError> {
        Ok(self.flows.live_by_backend(self.geometry.backends as usize))
    }
}

/// That an image has an engine's sizes, `bus_bytes` aside.
pub(crate) fn check_geometry(engine: &str, own: Geometry, image: &TableImage) -> Result<(), EngineError> {
    if (Geometry { bus_bytes: own.bus_bytes, ..image.geometry }) != own {
        return Err(EngineError::Geometry {
            engine: engine.to_owned(),
            image: Box::new(image.geometry),
            own: Box::new(own),
        });
    }
    check_sizes(image).map_err(|message| EngineError::Stopped { engine: engine.to_owned(), message })
}

/// That every table has as many rows as the geometry says, and that a mask may stand for a modulo: what the stages
/// rely on to index without a panic.
fn check_sizes(image: &TableImage) -> Result<(), String> {
    let geometry = &image.geometry;
    // An image has one side of the lookup memory, and no flow table; the pipeline's has as many sets as the geometry says.
    let rows = [image.services.len() / 2, image.backends.len(), 2 * image.lookup.len(), geometry.flow_sets as usize];
    let sizes = [geometry.services, geometry.backends, geometry.lookup_entries, geometry.flow_sets];
    for ((name, _, size_max), (rows, size)) in Geometry::BOUNDS.into_iter().zip(rows.into_iter().zip(sizes)) {
        if !size.is_power_of_two() || size > size_max || rows != size as usize {
            return Err(format!(
                "the tables have {rows} {name} where their geometry says {size}, a power of two up to {size_max}"
            ));
        }
    }
    Ok(())
}

/// Counters of an engine's sizes.
pub(crate) fn zero_counters(geometry: &Geometry) -> Counters {
    Counters {
        verdicts: vec![PacketsBytes::default(); Verdict::CODES],
        flows: vec![PacketsBytes::default(); FlowOutcome::CODES],
        services: vec![PacketsBytes::default(); geometry.services as usize],
        backends: vec![PacketsBytes::default(); geometry.backends as usize],
    }
}

fn add(counters: &mut [PacketsBytes], index: usize, bytes: u64) {
    let counter = &mut counters[index];
    counter.packets = counter.packets.wrapping_add(1);
    counter.bytes = counter.bytes.wrapping_add(bytes);
}

#[cfg(test)]
mod tests;
