//! The core: five stages between one stream in and two streams out.
//!
//! A frame's beats wait in a queue while what parse read of them runs down the stages; transmit puts both together
//! again. The stages never wait, so a frame enters only while credits last: there is room for every frame inside
//! in each of the queues on the way.

use std::thread;

use maglane_spec::{Geometry, Stage, window};
use rust_hdl::prelude::*;

use crate::axis::{AxisM, AxisS, Skid};
use crate::census::Census;
use crate::control::Control;
use crate::counter::CounterSet;
use crate::fifo::Fifo;
use crate::host_queue::{HOST_QUEUE_BITS, HostQueue};
use crate::prescaler::Prescaler;
use crate::stage::classify::Classify;
use crate::stage::flow_hash::FlowHash;
use crate::stage::parse::Parse;
use crate::stage::rewrite::{Egress, Rewrite};
use crate::stage::select::Select;
use crate::transmit::Transmit;

/// What became of a frame.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Record {
    verdict: Bits<5>,
    flow: Bits<3>,
    length: Bits<16>,
    service: Bits<16>,
    backend: Bits<16>,
    hash_low: Bits<32>,
    hash_high: Bits<32>,
}

/// The core, for a bus of D bits in K bytes, 2^S services, 2^L words of two lookup entries a
/// side, 2^B backends and 2^F sets of the flow table.
#[derive(LogicBlock)]
pub struct Core<const D: usize, const K: usize, const S: usize, const L: usize, const B: usize, const F: usize> {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Synchronous reset, active high, at least one clock.
    pub reset: Signal<In, Bit>,
    /// Frames that come in; the sideband is their length in bytes, 1 to 65,535, and from bit 16 how
    /// many ticks have passed before them, on every beat.
    pub s_axis: AxisS<D, K, 24>,
    /// Forwarded frames; the sideband is their length.
    pub m_axis_wire: AxisM<D, K, 16>,
    /// Passed frames; the sideband is their length and, from bit 16, the verdict.
    pub m_axis_host: AxisM<D, K, 24>,
    /// Address on the table port; see [`maglane_spec::window`].
    pub write_address: Signal<In, Bits<32>>,
    /// Word on the table port.
    pub write_data: Signal<In, Bits<32>>,
    /// Write enable of the table port.
    pub write_enable: Signal<In, Bit>,
    /// Address on the counter port; see [`maglane_spec::window`].
    pub read_address: Signal<In, Bits<32>>,
    /// Word of the counter port, [`window::READ_CLOCKS`] later, while no frame is inside.
    pub read_data: Signal<Out, Bits<32>>,
    /// A frame is done; the fields below describe it. One record a frame, in order.
    pub trace_valid: Signal<Out, Bit>,
    /// Verdict code.
    pub trace_verdict: Signal<Out, Bits<5>>,
    /// What the frame met in the flow table.
    pub trace_flow: Signal<Out, Bits<3>>,
    /// Length of the frame in bytes, as it came in.
    pub trace_length: Signal<Out, Bits<16>>,
    /// Service id, all ones when none matched.
    pub trace_service: Signal<Out, Bits<16>>,
    /// Backend id, all ones when there is none.
    pub trace_backend: Signal<Out, Bits<16>>,
    /// Flow hash, low half.
    pub trace_hash_low: Signal<Out, Bits<32>>,
    /// Flow hash, high half.
    pub trace_hash_high: Signal<Out, Bits<32>>,
    /// Registers.
    pub control: Control,
    /// Stage 1.
    pub parse: Parse<D>,
    /// Stage 2.
    pub classify: Classify<S>,
    /// Stage 3.
    pub flow_hash: FlowHash,
    /// Stage 4.
    pub select: Select<S, L, B, F>,
    /// Stage 5.
    pub rewrite: Rewrite,
    transmit: Transmit<D, K>,
    host_queue: HostQueue<D, K, HOST_QUEUE_BITS>,
    prescaler: Prescaler,
    skid: Skid<D, K, 24>,
    sideband: Signal<Local, Bits<24>>,
    frame_data: Fifo<Bits<D>, 8>,
    frame_last: Fifo<Bit, 8>,
    verdict_counters: CounterSet<5>,
    flow_counters: CounterSet<3>,
    service_counters: CounterSet<S>,
    backend_counters: CounterSet<B>,
    census: Census<B>,
    write_address_reg: DFF<Bits<32>>,
    write_data_reg: DFF<Bits<32>>,
    write_enable_reg: DFF<Bit>,
    read_address_reg: DFF<Bits<32>>,
    read_region_reg: [DFF<Bits<4>>; 3],
    counter_word_reg: DFF<Bits<32>>,
    read_data_reg: DFF<Bits<32>>,
    inside_reg: DFF<Bit>,
    credit_reg: DFF<Bits<8>>,
    credit: Signal<Local, Bits<8>>,
    may_start: Signal<Local, Bit>,
    table_enable: Signal<Local, Bit>,
    accept: Signal<Local, Bit>,
    fire: Signal<Local, Bit>,
    begins: Signal<Local, Bit>,
    cleared: Signal<Local, Bit>,
    done_reg: DFF<Bit>,
    record_reg: DFF<Record>,
    egress: Signal<Local, Egress>,
    region_service: Constant<Bits<4>>,
    region_backend: Constant<Bits<4>>,
    region_overrun: Constant<Bits<4>>,
    region_flow: Constant<Bits<4>>,
    region_flow_table: Constant<Bits<4>>,
    region_sequence: Constant<Bits<4>>,
    region_status: Constant<Bits<4>>,
    region_live: Constant<Bits<4>>,
    region_generation: Constant<Bits<4>>,
    credits: Constant<Bits<8>>,
}

impl<const D: usize, const K: usize, const S: usize, const L: usize, const B: usize, const F: usize> Default
    for Core<D, K, S, L, B, F>
{
    fn default() -> Self {
        Self {
            clock: Default::default(),
            reset: Default::default(),
            s_axis: Default::default(),
            m_axis_wire: Default::default(),
            m_axis_host: Default::default(),
            write_address: Default::default(),
            write_data: Default::default(),
            write_enable: Default::default(),
            read_address: Default::default(),
            read_data: Default::default(),
            trace_valid: Default::default(),
            trace_verdict: Default::default(),
            trace_flow: Default::default(),
            trace_length: Default::default(),
            trace_service: Default::default(),
            trace_backend: Default::default(),
            trace_hash_low: Default::default(),
            trace_hash_high: Default::default(),
            control: Default::default(),
            parse: Default::default(),
            classify: Default::default(),
            flow_hash: Default::default(),
            select: Default::default(),
            rewrite: Default::default(),
            transmit: Default::default(),
            host_queue: Default::default(),
            prescaler: Default::default(),
            skid: Default::default(),
            sideband: Default::default(),
            frame_data: Default::default(),
            frame_last: Default::default(),
            verdict_counters: Default::default(),
            flow_counters: Default::default(),
            service_counters: Default::default(),
            backend_counters: Default::default(),
            census: Default::default(),
            write_address_reg: Default::default(),
            write_data_reg: Default::default(),
            write_enable_reg: Default::default(),
            read_address_reg: Default::default(),
            read_region_reg: std::array::from_fn(|_| Default::default()),
            counter_word_reg: Default::default(),
            read_data_reg: Default::default(),
            inside_reg: Default::default(),
            credit_reg: Default::default(),
            credit: Default::default(),
            may_start: Default::default(),
            table_enable: Default::default(),
            accept: Default::default(),
            fire: Default::default(),
            begins: Default::default(),
            cleared: Default::default(),
            done_reg: Default::default(),
            record_reg: Default::default(),
            egress: Default::default(),
            region_service: Constant::new(u64::from(window::COUNTER_SERVICE).into()),
            region_backend: Constant::new(u64::from(window::COUNTER_BACKEND).into()),
            region_overrun: Constant::new(u64::from(window::COUNTER_OVERRUN_HOST).into()),
            region_flow: Constant::new(u64::from(window::COUNTER_FLOW).into()),
            region_flow_table: Constant::new(u64::from(window::FLOW_TABLE).into()),
            region_sequence: Constant::new(u64::from(window::SEQUENCE).into()),
            region_status: Constant::new(u64::from(window::STATUS).into()),
            region_live: Constant::new(u64::from(window::LIVE_FLOWS).into()),
            region_generation: Constant::new(u64::from(window::GENERATION).into()),
            credits: Constant::new(CREDITS.into()),
        }
    }
}

impl<const D: usize, const K: usize, const S: usize, const L: usize, const B: usize, const F: usize>
    Core<D, K, S, L, B, F>
{
    /// The sizes that the parameters stand for.
    pub const GEOMETRY: Geometry = {
        assert!(D == 8 * K && K.is_power_of_two());
        Geometry {
            bus_bytes: 1 << K.trailing_zeros(),
            services: 1 << S,
            backends: 1 << B,
            lookup_entries: 4 << L,
            flow_sets: 1 << F,
        }
    };

    /// A core on the heap. It is built on a stack, where that takes more than the two megabytes a thread has by default:
    /// hence in a thread of its own.
    ///
    /// # Panics
    /// When no thread can be started.
    #[must_use]
    pub fn boxed() -> Box<Self> {
        let building = thread::Builder::new().stack_size(BUILD_STACK_BYTES).spawn(Box::default);
        building.expect("a thread can be started").join().expect("a core is built without a panic")
    }

    /// Plants a fault in one stage, so that tests see it found.
    pub fn plant_fault(&mut self, stage: Stage) {
        match stage {
            Stage::Parse => self.parse.plant_fault(),
            Stage::Classify => self.classify.plant_fault(),
            Stage::FlowHash => self.flow_hash.plant_fault(),
            Stage::Select => self.select.plant_fault(),
            Stage::Rewrite => self.rewrite.plant_fault(),
        }
    }

    /// Writes a word of the staged side of a memory without the table port, for simulations in which the load is not
    /// under test. Registers have no back door: their writes are refused with `false`.
    pub fn backdoor(&mut self, address: u32, data: u32) -> bool {
        let word = (address & ((1 << window::REGION_SHIFT) - 1)) as usize;
        match address >> window::REGION_SHIFT {
            window::SERVICE => self.classify.backdoor(word / 8, word % 8, data),
            window::LOOKUP => self.select.lookup.entries.backdoor(word, u64::from(data).into()),
            window::BACKEND => self.select.backdoor(word / 8, word % 8, data),
            _ => return false,
        }
        true
    }
}

/// Stack on which a core is built.
const BUILD_STACK_BYTES: usize = 16 << 20;

/// Frames that may be inside: what the smallest queue on the way holds (128, of which one stays free).
const CREDITS: u64 = 120;

impl<const D: usize, const K: usize, const S: usize, const L: usize, const B: usize, const F: usize> Logic
    for Core<D, K, S, L, B, F>
{
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
            write_address_reg,
            write_data_reg,
            write_enable_reg,
            read_address_reg,
            read_data_reg,
            counter_word_reg,
            inside_reg,
            credit_reg,
            done_reg,
            record_reg
        );
        clock!(
            self,
            clock,
            control,
            parse,
            classify,
            flow_hash,
            select,
            rewrite,
            transmit,
            host_queue,
            prescaler,
            skid,
            frame_data,
            frame_last,
            verdict_counters,
            flow_counters,
            service_counters,
            backend_counters,
            census
        );
        for i in 0..3 {
            self.read_region_reg[i].clock.next = self.clock.val();
        }
        self.control.reset.next = self.reset.val();
        self.parse.reset.next = self.reset.val();
        self.classify.reset.next = self.reset.val();
        self.flow_hash.reset.next = self.reset.val();
        self.select.reset.next = self.reset.val();
        self.rewrite.reset.next = self.reset.val();
        self.transmit.reset.next = self.reset.val();
        self.host_queue.reset.next = self.reset.val();
        self.skid.reset.next = self.reset.val();
        self.frame_data.reset.next = self.reset.val();
        self.frame_last.reset.next = self.reset.val();
        self.prescaler.reset.next = self.reset.val();
        self.verdict_counters.reset.next = self.reset.val();
        self.flow_counters.reset.next = self.reset.val();
        self.service_counters.reset.next = self.reset.val();
        self.backend_counters.reset.next = self.reset.val();
        self.census.reset.next = self.reset.val();

        // Table port.
        self.write_address_reg.d.next = self.write_address.val();
        self.write_data_reg.d.next = self.write_data.val();
        self.write_enable_reg.d.next = self.write_enable.val();
        self.control.address.next = self.write_address_reg.q.val();
        self.control.data.next = self.write_data_reg.q.val();
        self.control.enable.next = self.write_enable_reg.q.val();
        self.classify.write_address.next = self.write_address_reg.q.val();
        self.classify.write_data.next = self.write_data_reg.q.val();
        self.table_enable.next = self.write_enable_reg.q.val() & !self.control.hold.val();
        self.classify.write_enable.next = self.table_enable.val();
        self.select.write_address.next = self.write_address_reg.q.val();
        self.select.write_data.next = self.write_data_reg.q.val();
        self.select.write_enable.next = self.table_enable.val();
        self.classify.side.next = self.control.side.val();
        self.select.side.next = self.control.side.val();
        self.control.drained.next = (self.credit_reg.q.val() == self.credits.val()) & !self.inside_reg.q.val();
        self.parse.settings.next = self.control.settings.val();
        self.classify.settings.next = self.control.settings.val();
        self.flow_hash.settings.next = self.control.settings.val();
        self.rewrite.settings.next = self.control.settings.val();
        self.select.timeouts.next = self.control.timeouts.val();
        self.select.set_tick.next = self.control.set_tick.val();
        self.select.set_tick_value.next = self.control.set_tick_value.val();
        self.prescaler.clocks_per_ms.next = self.control.clocks_per_ms.val();
        self.prescaler.tick_ms.next = self.control.tick_ms.val();
        self.select.tick_due.next = self.prescaler.due.val();

        // Receive: a frame starts while credits last and no commit waits, and then runs on.
        AxisS::<D, K, 24>::link(&mut self.s_axis, &mut self.skid.s_axis);
        self.cleared.next = (self.verdict_counters.ready.val() & self.service_counters.ready.val())
            & (self.backend_counters.ready.val() & self.select.ready.val());
        self.may_start.next = self.cleared.val() & (!self.control.hold.val() & (self.credit_reg.q.val() != 0));
        self.accept.next = !self.frame_data.full.val() & (self.inside_reg.q.val() | self.may_start.val());
        self.fire.next = self.skid.m_axis.tvalid.val() & self.accept.val();
        self.begins.next = self.fire.val() & !self.inside_reg.q.val();
        self.skid.m_axis.tready.next = self.accept.val();
        if self.fire.val() {
            self.inside_reg.d.next = !self.skid.m_axis.tlast.val();
        }
        self.credit.next = self.credit_reg.q.val();
        if self.begins.val() & !self.transmit.done.val() {
            self.credit.next = self.credit_reg.q.val() - 1;
        }
        if self.transmit.done.val() & !self.begins.val() {
            self.credit.next = self.credit_reg.q.val() + 1;
        }
        self.credit_reg.d.next = self.credit.val();
        self.frame_data.din.next = self.skid.m_axis.tdata.val();
        self.frame_data.push.next = self.fire.val();
        self.frame_last.din.next = self.skid.m_axis.tlast.val();
        self.frame_last.push.next = self.fire.val();
        self.parse.fire.next = self.fire.val();
        self.parse.data.next = self.skid.m_axis.tdata.val();
        self.parse.last.next = self.skid.m_axis.tlast.val();
        self.sideband.next = self.skid.m_axis.tuser.val();
        self.parse.length.next = self.sideband.val().get_bits::<16>(0);
        self.parse.step.next = self.sideband.val().get_bits::<7>(16);

        // Stages.
        self.classify.s_valid.next = self.parse.valid.val();
        self.classify.s_frame.next = self.parse.parsed.val();
        self.classify.s_tuple.next = self.parse.tuple.val();
        self.flow_hash.s_valid.next = self.classify.m_valid.val();
        self.flow_hash.s_frame.next = self.classify.m_frame.val();
        self.flow_hash.s_tuple.next = self.classify.m_tuple.val();
        self.select.s_valid.next = self.flow_hash.m_valid.val();
        self.select.s_frame.next = self.flow_hash.m_frame.val();
        self.select.s_hashes.next = self.flow_hash.m_hashes.val();
        self.flow_hash.m_ready.next = self.select.s_ready.val();
        self.rewrite.s_valid.next = self.select.m_valid.val();
        self.rewrite.s_frame.next = self.select.m_frame.val();
        self.rewrite.s_row.next = self.select.m_row.val();

        // Transmit.
        self.transmit.s_valid.next = self.rewrite.m_valid.val();
        self.transmit.s_egress.next = self.rewrite.m_egress.val();
        self.transmit.beat_data.next = self.frame_data.dout.val();
        self.transmit.beat_last.next = self.frame_last.dout.val();
        self.transmit.beat_valid.next = self.frame_data.valid.val();
        self.frame_data.pop.next = self.transmit.beat_pop.val();
        self.frame_last.pop.next = self.transmit.beat_pop.val();
        AxisM::<D, K, 16>::link(&mut self.m_axis_wire, &mut self.transmit.m_axis_wire);
        AxisM::<D, K, 24>::join(&mut self.transmit.m_axis_host, &mut self.host_queue.s_axis);
        AxisM::<D, K, 24>::link(&mut self.m_axis_host, &mut self.host_queue.m_axis);

        // Record and counters.
        self.egress.next = self.transmit.done_egress.val();
        self.done_reg.d.next = self.transmit.done.val();
        self.record_reg.d.next.verdict = self.egress.val().verdict;
        self.record_reg.d.next.flow = self.egress.val().flow;
        self.record_reg.d.next.length = self.egress.val().length;
        self.record_reg.d.next.service = self.egress.val().service;
        self.record_reg.d.next.backend = self.egress.val().backend;
        self.record_reg.d.next.hash_low = self.egress.val().hash_low;
        self.record_reg.d.next.hash_high = self.egress.val().hash_high;
        self.trace_valid.next = self.done_reg.q.val();
        self.trace_verdict.next = self.record_reg.q.val().verdict;
        self.trace_flow.next = self.record_reg.q.val().flow;
        self.trace_length.next = self.record_reg.q.val().length;
        self.trace_service.next = self.record_reg.q.val().service;
        self.trace_backend.next = self.record_reg.q.val().backend;
        self.trace_hash_low.next = self.record_reg.q.val().hash_low;
        self.trace_hash_high.next = self.record_reg.q.val().hash_high;
        self.verdict_counters.add.next = self.done_reg.q.val();
        self.verdict_counters.index.next = self.record_reg.q.val().verdict;
        self.verdict_counters.length.next = self.record_reg.q.val().length;
        self.flow_counters.add.next = self.done_reg.q.val();
        self.flow_counters.index.next = self.record_reg.q.val().flow;
        self.flow_counters.length.next = self.record_reg.q.val().length;
        self.service_counters.add.next = self.done_reg.q.val() & (self.record_reg.q.val().verdict == 0);
        self.service_counters.index.next = bit_cast::<S, 16>(self.record_reg.q.val().service);
        self.service_counters.length.next = self.record_reg.q.val().length;
        self.backend_counters.add.next = self.done_reg.q.val() & (self.record_reg.q.val().verdict == 0);
        self.backend_counters.index.next = bit_cast::<B, 16>(self.record_reg.q.val().backend);
        self.backend_counters.length.next = self.record_reg.q.val().length;

        self.census.visit.next = self.select.visit.val();
        self.census.rests.next = self.select.rests.val();
        self.select.may_start.next = self.census.ready.val();

        // Counter port: words of an entry in bits 1..0, the entry above.
        self.read_address_reg.d.next = self.read_address.val();
        self.verdict_counters.read_word.next = self.read_address_reg.q.val().get_bits::<2>(0);
        self.verdict_counters.read_index.next = self.read_address_reg.q.val().get_bits::<5>(2);
        self.service_counters.read_word.next = self.read_address_reg.q.val().get_bits::<2>(0);
        self.service_counters.read_index.next = self.read_address_reg.q.val().get_bits::<S>(2);
        self.backend_counters.read_word.next = self.read_address_reg.q.val().get_bits::<2>(0);
        self.backend_counters.read_index.next = self.read_address_reg.q.val().get_bits::<B>(2);
        self.flow_counters.read_word.next = self.read_address_reg.q.val().get_bits::<2>(0);
        self.flow_counters.read_index.next = self.read_address_reg.q.val().get_bits::<3>(2);
        self.select.read_address.next = self.read_address_reg.q.val();
        self.census.read_backend.next = self.read_address_reg.q.val().get_bits::<B>(0);
        self.read_region_reg[0].d.next = self.read_address_reg.q.val().get_bits::<4>(28);
        for i in 1..3 {
            self.read_region_reg[i].d.next = self.read_region_reg[i - 1].q.val();
        }
        self.counter_word_reg.d.next = self.verdict_counters.read_data.val();
        if self.read_region_reg[1].q.val() == self.region_service.val() {
            self.counter_word_reg.d.next = self.service_counters.read_data.val();
        } else if self.read_region_reg[1].q.val() == self.region_backend.val() {
            self.counter_word_reg.d.next = self.backend_counters.read_data.val();
        } else if self.read_region_reg[1].q.val() == self.region_overrun.val() {
            self.counter_word_reg.d.next = self.host_queue.overrun.val();
        } else if self.read_region_reg[1].q.val() == self.region_flow.val() {
            self.counter_word_reg.d.next = self.flow_counters.read_data.val();
        } else if self.read_region_reg[1].q.val() == self.region_status.val() {
            self.counter_word_reg.d.next = (self.select.status.val()
                | (bit_cast::<32, 1>(self.control.hold.val().into()) << 2))
                | (bit_cast::<32, 16>(self.census.rounds.val()) << 16);
        } else if self.read_region_reg[1].q.val() == self.region_generation.val() {
            self.counter_word_reg.d.next = self.control.generation.val();
        }
        self.read_data_reg.d.next = self.counter_word_reg.q.val();
        if self.read_region_reg[2].q.val() == self.region_flow_table.val() {
            self.read_data_reg.d.next = self.select.read_flow.val();
        } else if self.read_region_reg[2].q.val() == self.region_sequence.val() {
            self.read_data_reg.d.next = self.select.read_turn.val();
        } else if self.read_region_reg[2].q.val() == self.region_live.val() {
            self.read_data_reg.d.next = self.census.read_data.val();
        }
        self.read_data.next = self.read_data_reg.q.val();
        if self.reset.val() {
            self.inside_reg.d.next = false;
            self.credit_reg.d.next = self.credits.val();
            self.done_reg.d.next = false;
        }
    }
}
