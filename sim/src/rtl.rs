//! The rust-hdl simulation as an engine.
//!
//! Clocked by a direct loop: rust-hdl's own threaded simulation is many times slower.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use maglane_hw::core::Core;
use maglane_hw::emit;
use maglane_hw::profile::{AlveoCore, Ecp5Core, Lab64Core, LabCore, Profile, SumeCore};
use maglane_spec::counter::PacketsBytes;
use maglane_spec::{Geometry, Stage, TableImage, Verdict, flow, window};
use maglane_sw::engine::{Counters, Engine, EngineError, FlowState, Frame, Outcome};
use rust_hdl::core::vcd_probe::{VCDProbe, write_vcd_change, write_vcd_dump, write_vcd_header};
use rust_hdl::prelude::*;

use crate::assemble::{Batch, Left, Record};
use crate::module::{Memories, Recording};
use crate::stimulus::{self, BEATS_INSIDE_MAX, Random, Stimulus};
use crate::tables::{self, Tables};
use crate::ticks::Passed;

/// The engine's name on the command line.
const NAME: &str = "rtl";

/// Half a clock of 200 MHz, in picoseconds, in waveforms.
const HALF_CLOCK_PS: u64 = 2_500;

/// Rounds of evaluation after which a clock counts as not settling: a combinational loop.
const ROUNDS_MAX: usize = 200;

/// The core's outputs that count only while another is set.
const VALID: &[(&str, &str)] = &[
    ("m_axis_wire_", "m_axis_wire_tvalid"),
    ("m_axis_host_", "m_axis_host_tvalid"),
    ("trace_", "trace_valid"),
    ("read_data", "read_valid"),
];

/// Creates the engine `rtl` for a build of the gateware.
#[must_use]
pub fn engine(profile: Profile, stimulus: Stimulus, fault: Option<Stage>) -> Box<dyn Engine> {
    match profile {
        Profile::Lab => Box::new(Rtl::new(LabCore::boxed(), profile, stimulus, fault)),
        Profile::Lab64 => Box::new(Rtl::new(Lab64Core::boxed(), profile, stimulus, fault)),
        Profile::Sume => Box::new(Rtl::new(SumeCore::boxed(), profile, stimulus, fault)),
        Profile::Alveo => Box::new(Rtl::new(AlveoCore::boxed(), profile, stimulus, fault)),
        Profile::Ecp5 => Box::new(Rtl::new(Ecp5Core::boxed(), profile, stimulus, fault)),
    }
}

/// A core under simulation.
pub struct Rtl<const D: usize, const K: usize, const S: usize, const L: usize, const B: usize, const F: usize> {
    core: Box<Core<D, K, S, L, B, F>>,
    tables: Tables,
    stimulus: Stimulus,
    random: Random,
    clocks: u64,
    run_clocks: u64,
    waveform: Option<VCDProbe<BufWriter<File>>>,
    recording: Option<Recording>,
}

impl<const D: usize, const K: usize, const S: usize, const L: usize, const B: usize, const F: usize>
    Rtl<D, K, S, L, B, F>
{
    /// Connects a core and resets it.
    #[must_use]
    pub fn new(
        mut core: Box<Core<D, K, S, L, B, F>>,
        profile: Profile,
        stimulus: Stimulus,
        fault: Option<Stage>,
    ) -> Self {
        if let Some(stage) = fault {
            core.plant_fault(stage);
        }
        Self::start(core, profile.geometry(), stimulus, None)
    }

    /// Connects a core of these sizes, which are those of the type, and resets it; records from then on what the core
    /// is given and does, for [`Self::into_recording`]. Tables go through the table port: the Verilog has no back door.
    #[must_use]
    pub fn recorded(geometry: Geometry, stimulus: Stimulus) -> Self {
        let verilog = emit::verilog(Core::<D, K, S, L, B, F>::boxed(), emit::CORE);
        let recording = Recording::new(emit::CORE, verilog).with_memories(Memories::Unknown).with_valid(VALID);
        Self::start(Core::boxed(), geometry, stimulus, Some(recording))
    }

    /// What was recorded, when it was.
    #[must_use]
    pub fn into_recording(self) -> Option<Recording> {
        self.recording
    }

    fn start(
        mut core: Box<Core<D, K, S, L, B, F>>,
        geometry: Geometry,
        stimulus: Stimulus,
        recording: Option<Recording>,
    ) -> Self {
        core.connect_all();
        let random = Random::new(stimulus.seed);
        let mut rtl = Self {
            core,
            tables: Tables::new(geometry),
            stimulus,
            random,
            clocks: 0,
            run_clocks: 0,
            waveform: None,
            recording,
        };
        rtl.reset();
        rtl
    }

    fn reset(&mut self) {
        self.core.reset.next = true;
        self.core.s_axis.tvalid.next = false;
        self.core.m_axis_wire.tready.next = false;
        self.core.m_axis_host.tready.next = false;
        self.core.write_enable.next = false;
        self.core.read_enable.next = false;
        for _ in 0..4 {
            self.tick();
        }
        self.core.reset.next = false;
        self.tick();
        self.clocks = 0;
        self.random = Random::new(self.stimulus.seed);
    }

    fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            self.core.update_all();
            if !self.core.has_changed() {
                return;
            }
        }
        panic!("the design does not settle: a combinational loop");
    }

    fn tick(&mut self) {
        for (half, clk) in (0..).zip([false, true]) {
            self.core.clock.next = Clock { clk };
            self.settle();
            if let Some(recording) = self.recording.as_mut().filter(|_| !clk) {
                recording.add(self.core.as_ref());
            }
            if let Some(mut probe) = self.waveform.take() {
                // A waveform that cannot be written any more is a loss of comfort, not of the comparison.
                if probe.timestamp((2 * self.clocks + half) * HALF_CLOCK_PS).is_ok() {
                    self.waveform = Some(write_vcd_change(probe, self.core.as_ref()));
                }
            }
        }
        self.clocks += 1;
    }

    /// Writes a word; the write stays enabled.
    fn post(&mut self, address: u32, data: u32) {
        self.core.write_address.next = u64::from(address).into();
        self.core.write_data.next = u64::from(data).into();
        self.core.write_enable.next = true;
        self.tick();
    }

    fn write(&mut self, address: u32, data: u32) {
        self.post(address, data);
        self.core.write_enable.next = false;
        self.tick();
    }

    /// The first words of a region of the core's port.
    pub fn read_words(&mut self, region: u32, count: u32) -> Vec<u32> {
        let mut words = Vec::with_capacity(count as usize);
        let mut asked = 0;
        while words.len() < count as usize {
            self.core.read_enable.next = asked < count;
            self.core.read_address.next = u64::from(region << window::REGION_SHIFT | asked).into();
            asked += u32::from(asked < count && self.core.read_ready.val());
            if self.core.read_valid.val() {
                words.push(self.core.read_data.val().to_u32());
            }
            self.tick();
        }
        words
    }

    fn write_words(&mut self, words: &[(u32, u32)]) {
        for &(address, word) in words {
            if self.recording.is_some() || !self.core.backdoor(address, word) {
                self.post(address, word);
            }
        }
        self.core.write_enable.next = false;
        self.tick();
    }

    fn status(&mut self) -> u32 {
        self.read_words(window::STATUS, 1)[0]
    }

    fn wait_swept(&mut self) -> Result<(), EngineError> {
        let patience = stimulus::stuck_clocks(&self.tables.geometry);
        let end = self.clocks + patience;
        while self.clocks < end {
            if self.status() & window::STATUS_SWEPT != 0 {
                return Ok(());
            }
        }
        Err(self.stuck(format!("the sweeper has not gone round in {patience} clocks")))
    }

    /// Serves what is staged.
    fn commit(&mut self) -> Result<(), EngineError> {
        self.write(window::CONTROL << window::REGION_SHIFT | window::CONTROL_COMMIT, 1);
        if self.status() & window::STATUS_HOLDING == 0 {
            return Ok(());
        }
        Err(self.stuck("a commit waits for frames, and there are none".to_owned()))
    }

    fn stuck(&self, message: String) -> EngineError {
        EngineError::Stopped { engine: self.name().to_owned(), message }
    }

    fn run(&mut self, frames: &[Frame<'_>], steps: &[u8]) -> Result<Batch, EngineError> {
        let patience = stimulus::stuck_clocks(&self.tables.geometry);
        let mut batch = Batch::default();
        let (mut number, mut offset, mut offered, mut inside) = (0, 0, false, 0);
        let mut wire = Vec::new();
        let mut wire_user = 0;
        let mut host = Vec::new();
        let mut host_user = 0;
        let mut progress = self.clocks;
        let start = self.clocks;
        // Beats of frames whose record has not come are charged; a record of a frame that leaves waits for its end.
        let beats = |length: usize| length.div_ceil(K);
        let (mut wire_beats, mut host_beats) = (std::collections::VecDeque::new(), std::collections::VecDeque::new());
        let (mut wire_done, mut host_done) = (0_usize, 0_usize);
        while number < frames.len()
            || batch.records.len() < frames.len()
            || !wire_beats.is_empty()
            || !host_beats.is_empty()
        {
            let clocked = self.random.clocked(&self.stimulus);
            if number < frames.len() && !offered {
                let fits = inside == 0 || inside + beats(frames[number].bytes.len()) <= BEATS_INSIDE_MAX;
                offered = !clocked.gap && (offset > 0 || fits);
                if offered {
                    self.offer(frames[number].bytes, steps[number], offset, clocked.garbage);
                    if offset == 0 {
                        inside += beats(frames[number].bytes.len());
                    }
                }
            }
            self.core.s_axis.tvalid.next = offered;
            self.core.m_axis_wire.tready.next = !clocked.stall_wire;
            self.core.m_axis_host.tready.next = !clocked.stall_host;
            let taken = offered && self.core.s_axis.tready.val();
            let mut moved = taken;
            if self.core.trace_valid.val() {
                let record = self.record();
                match Verdict::from_code(record.verdict).map(Verdict::egress) {
                    Some(maglane_spec::verdict::Egress::Wire) => wire_beats.push_back(usize::from(record.length)),
                    Some(maglane_spec::verdict::Egress::Host) => host_beats.push_back(usize::from(record.length)),
                    _ => inside -= beats(usize::from(record.length)),
                }
                batch.records.push(record);
                moved = true;
            }
            if self.core.m_axis_wire.tvalid.val() && !clocked.stall_wire {
                let user = self.core.m_axis_wire.tuser.val().to_u32();
                let keep = self.core.m_axis_wire.tkeep.val();
                let last = self.core.m_axis_wire.tlast.val();
                if wire.is_empty() {
                    wire_user = user;
                }
                if wire_user != user {
                    return Err(self.stuck("wire stream: tuser changes within a frame".to_owned()));
                }
                take_beat::<D, K>(&mut wire, self.core.m_axis_wire.tdata.val(), keep, last)
                    .map_err(|message| self.stuck(format!("wire stream: {message}")))?;
                if last {
                    batch.wire.push_back(Left { user, bytes: std::mem::take(&mut wire) });
                    wire_done += 1;
                }
                moved = true;
            }
            if self.core.m_axis_host.tvalid.val() && !clocked.stall_host {
                let user = self.core.m_axis_host.tuser.val().to_u32();
                let keep = self.core.m_axis_host.tkeep.val();
                let last = self.core.m_axis_host.tlast.val();
                if host.is_empty() {
                    host_user = user;
                }
                if host_user != user {
                    return Err(self.stuck("host stream: tuser changes within a frame".to_owned()));
                }
                take_beat::<D, K>(&mut host, self.core.m_axis_host.tdata.val(), keep, last)
                    .map_err(|message| self.stuck(format!("host stream: {message}")))?;
                if last {
                    batch.host.push_back(Left { user, bytes: std::mem::take(&mut host) });
                    host_done += 1;
                }
                moved = true;
            }
            while wire_done > 0 && !wire_beats.is_empty() {
                inside -= wire_beats.pop_front().map_or(0, beats);
                wire_done -= 1;
            }
            while host_done > 0 && !host_beats.is_empty() {
                inside -= host_beats.pop_front().map_or(0, beats);
                host_done -= 1;
            }
            self.tick();
            if taken {
                offered = false;
                offset += K;
                if offset >= frames[number].bytes.len() {
                    offset = 0;
                    number += 1;
                }
            }
            if moved {
                progress = self.clocks;
            } else if self.clocks - progress > patience {
                return Err(self.stuck(format!("nothing moved for {patience} clocks, {number} frames in")));
            }
        }
        self.run_clocks += self.clocks - start;
        Ok(batch)
    }

    fn offer(&mut self, frame: &[u8], step: u8, offset: usize, garbage: u8) {
        let end = frame.len().min(offset + K);
        let mut beat = [garbage; K];
        beat[..end - offset].copy_from_slice(&frame[offset..end]);
        self.core.s_axis.tdata.next = bits_of::<D>(&beat);
        self.core.s_axis.tkeep.next = ones::<K>(end - offset);
        self.core.s_axis.tlast.next = end == frame.len();
        self.core.s_axis.tuser.next = (frame.len() as u64 | u64::from(step) << window::TUSER_TICK_STEP_SHIFT).into();
    }

    fn record(&self) -> Record {
        let half = |word: Bits<32>| u64::from(word.to_u32());
        Record {
            verdict: self.core.trace_verdict.val().to_u8(),
            flow: self.core.trace_flow.val().to_u8(),
            length: self.core.trace_length.val().to_u16(),
            service: self.core.trace_service.val().to_u16(),
            backend: self.core.trace_backend.val().to_u16(),
            hash: half(self.core.trace_hash_low.val()) | half(self.core.trace_hash_high.val()) << 32,
        }
    }
}

impl<const D: usize, const K: usize, const S: usize, const L: usize, const B: usize, const F: usize> Engine
    for Rtl<D, K, S, L, B, F>
{
    fn name(&self) -> &str {
        NAME
    }

    fn load(&mut self, image: &TableImage) -> Result<(), EngineError> {
        let words = self.tables.load(NAME, image)?;
        self.reset();
        self.run_clocks = 0;
        self.write_words(&words);
        self.commit()?;
        self.write(tables::MODE, window::CONTROL_SERVE);
        // No frame enters before the counters have cleared themselves, which takes as many clocks as they have entries.
        for _ in 0..self.tables.geometry.backends.max(self.tables.geometry.services) {
            self.tick();
        }
        if let Some(recording) = &mut self.recording {
            // The flow table is still being cleared, but the read port is not there.
            recording.defined_from_here();
        }
        self.wait_swept()
    }

    fn update(&mut self, image: &TableImage) -> Result<(), EngineError> {
        let words = self.tables.update(NAME, image)?;
        self.write_words(&words);
        self.commit()
    }

    fn process(&mut self, frames: &[Frame<'_>]) -> Result<Vec<Outcome>, EngineError> {
        let mut steps = Vec::with_capacity(frames.len());
        for frame in frames {
            steps.push(match self.tables.ticks.at(frame.time_ns) {
                Passed::Step(step) => step,
                Passed::Start(tick) => {
                    self.write(tables::TICK, tick.into());
                    0
                }
            });
        }
        let lengths: Vec<usize> = frames.iter().map(|frame| frame.bytes.len()).collect();
        self.run(frames, &steps)?.outcomes(&lengths).map_err(|message| self.stuck(message))
    }

    fn flow_state(&mut self) -> Result<FlowState, EngineError> {
        self.wait_swept()?;
        let tick = tables::tick(self.status());
        // By the back door: the read port is what the Verilog is read through.
        let select = &self.core.select;
        let entry = |set: usize, way: usize| {
            let (tag, rest) = select.flow_table.way[way].entry(set);
            tag.to_u64() << flow::TAG_SHIFT | u64::from(rest.to_u32())
        };
        let sets = 0..self.tables.geometry.flow_sets as usize;
        let entries = sets.flat_map(|set| (0..flow::WAYS).map(move |way| (set, way)));
        let entries = entries.map(|(set, way)| entry(set, way)).collect();
        let services = 0..self.tables.geometry.services as usize;
        Ok(FlowState { tick, entries, sequence: services.map(|service| select.lookup.turn(service)).collect() })
    }

    fn counters(&mut self) -> Result<Counters, EngineError> {
        let geometry = self.tables.geometry;
        let mut set = |region: u32, entries: u32| -> Vec<PacketsBytes> {
            tables::packets_bytes(&self.read_words(region, entries * window::COUNTER_WORDS))
        };
        Ok(Counters {
            verdicts: set(window::COUNTER_VERDICT, window::COUNTER_VERDICT_ENTRIES),
            flows: set(window::COUNTER_FLOW, window::COUNTER_FLOW_ENTRIES),
            services: set(window::COUNTER_SERVICE, geometry.services),
            backends: set(window::COUNTER_BACKEND, geometry.backends),
        })
    }

    fn resume(&mut self, state: &FlowState, time_ns: u64) -> Result<(), EngineError> {
        state
            .check(&self.tables.geometry)
            .map_err(|message| EngineError::FlowState { engine: NAME.to_owned(), message })?;
        self.write(tables::MODE, 0);
        self.wait_swept()?;
        self.write(tables::TICK, u32::from(state.tick) | window::CONTROL_TICK_TIMEOUTS);
        self.wait_swept()?;
        for (address, word) in tables::flow_words(state) {
            self.post(address, word);
        }
        self.core.write_enable.next = false;
        self.write(tables::TICK, state.tick.into());
        self.wait_swept()?;
        self.write(tables::MODE, window::CONTROL_SERVE);
        self.tables.ticks.resume(time_ns);
        Ok(())
    }

    fn live_flows(&mut self) -> Result<Vec<u32>, EngineError> {
        self.wait_swept()?;
        let tick = tables::tick(self.status());
        self.write(tables::TICK, tick.into());
        self.wait_swept()?;
        Ok(self.read_words(window::LIVE_FLOWS, self.tables.geometry.backends))
    }

    fn clocks(&self) -> Option<u64> {
        Some(self.run_clocks)
    }

    fn record_waveform(&mut self, path: &Path) -> Result<bool, EngineError> {
        let file =
            File::create(path).map_err(|error| self.stuck(format!("cannot write {}: {error}", path.display())))?;
        let probe = write_vcd_header(BufWriter::new(file), self.core.as_ref());
        self.waveform = Some(write_vcd_dump(probe, self.core.as_ref()));
        Ok(true)
    }
}

/// Appends the bytes of a beat; null lanes may stand only at the end of a frame.
fn take_beat<const D: usize, const K: usize>(
    frame: &mut Vec<u8>,
    data: Bits<D>,
    keep: Bits<K>,
    last: bool,
) -> Result<(), String> {
    let count = (0..K).take_while(|&lane| keep.get_bit(lane)).count();
    if keep != ones::<K>(count) || count == 0 || (!last && count < K) {
        return Err(format!("tkeep is {keep:x} on a beat with tlast {last}"));
    }
    frame.extend_from_slice(&bytes_of::<D>(data)[..count]);
    Ok(())
}

fn bits_of<const D: usize>(bytes: &[u8]) -> Bits<D> {
    num_bigint::BigUint::from_bytes_le(bytes).into()
}

/// Bit by bit: the conversion to a big integer costs a hundred times as much.
fn bytes_of<const D: usize>(bits: Bits<D>) -> Vec<u8> {
    let byte = |lane: usize| (0..8).fold(0, |byte, bit| byte | u8::from(bits.get_bit(8 * lane + bit)) << bit);
    (0..D / 8).map(byte).collect()
}

fn ones<const K: usize>(count: usize) -> Bits<K> {
    if count == 0 { Bits::<K>::default() } else { Bits::<K>::mask() >> (K - count) as u64 }
}
