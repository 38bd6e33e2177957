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
use crate::counter::{Counted, CounterSet};
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
    /// Address that is written; see [`maglane_spec::window`].
    pub write_address: Signal<In, Bits<32>>,
    /// Its word.
    pub write_data: Signal<In, Bits<32>>,
    /// Write enable. A word can be written in every clock.
    pub write_enable: Signal<In, Bit>,
    /// Address that is read; see [`maglane_spec::window`].
    pub read_address: Signal<In, Bits<32>>,
    /// It is asked for, until `read_ready`.
    pub read_enable: Signal<In, Bit>,
    /// The address is taken.
    pub read_ready: Signal<Out, Bit>,
    /// A word that was asked for; in order.
    pub read_data: Signal<Out, Bits<32>>,
    /// `read_data` holds one.
    pub read_valid: Signal<Out, Bit>,
    /// In this clock a word for a table, or a commit, is lost, because one waits.
    pub lost_held: Signal<Out, Bit>,
    /// In this clock a word for the flow table or the turns is lost, because the card serves or sweeps.
    pub lost_busy: Signal<Out, Bit>,
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
    read_enable_reg: DFF<Bit>,
    port_address: Signal<Local, Bits<32>>,
    read_region: Signal<Local, Bits<4>>,
    write_region: Signal<Local, Bits<4>>,
    of_counters: Signal<Local, Bit>,
    is_first: Signal<Local, Bit>,
    read_busy: Signal<Local, Bit>,
    read_fire: Signal<Local, Bit>,
    read_wait_reg: DFF<Bits<6>>,
    read_valid_reg: DFF<Bits<5>>,
    read_region_reg: [DFF<Bits<4>>; 4],
    read_word_reg: [DFF<Bits<2>>; 4],
    counted: Signal<Local, Counted>,
    counted_reg: DFF<Counted>,
    entry_low_reg: DFF<Bits<32>>,
    entry_high_reg: DFF<Bits<32>>,
    entry_tag: Signal<Local, Bits<40>>,
    word_reg: DFF<Bits<32>>,
    word: Signal<Local, Bits<32>>,
    read_data_reg: DFF<Bits<32>>,
    quiet: Signal<Local, Bit>,
    status: Signal<Local, Bits<32>>,
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
    region_control: Constant<Bits<4>>,
    region_datapath: Constant<Bits<4>>,
    region_service: Constant<Bits<4>>,
    region_lookup: Constant<Bits<4>>,
    region_backend: Constant<Bits<4>>,
    region_flow_table: Constant<Bits<4>>,
    region_sequence: Constant<Bits<4>>,
    region_status: Constant<Bits<4>>,
    region_live: Constant<Bits<4>>,
    region_generation: Constant<Bits<4>>,
    region_verdict_counters: Constant<Bits<4>>,
    region_service_counters: Constant<Bits<4>>,
    region_backend_counters: Constant<Bits<4>>,
    region_flow_counters: Constant<Bits<4>>,
    region_overrun: Constant<Bits<4>>,
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
            read_enable: Default::default(),
            read_ready: Default::default(),
            read_data: Default::default(),
            read_valid: Default::default(),
            lost_held: Default::default(),
            lost_busy: Default::default(),
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
            read_enable_reg: Default::default(),
            port_address: Default::default(),
            read_region: Default::default(),
            write_region: Default::default(),
            of_counters: Default::default(),
            is_first: Default::default(),
            read_busy: Default::default(),
            read_fire: Default::default(),
            read_wait_reg: Default::default(),
            read_valid_reg: Default::default(),
            read_region_reg: std::array::from_fn(|_| Default::default()),
            read_word_reg: std::array::from_fn(|_| Default::default()),
            counted: Default::default(),
            counted_reg: Default::default(),
            entry_low_reg: Default::default(),
            entry_high_reg: Default::default(),
            entry_tag: Default::default(),
            word_reg: Default::default(),
            word: Default::default(),
            read_data_reg: Default::default(),
            quiet: Default::default(),
            status: Default::default(),
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
            region_control: region(window::CONTROL),
            region_datapath: region(window::DATAPATH),
            region_service: region(window::SERVICE),
            region_lookup: region(window::LOOKUP),
            region_backend: region(window::BACKEND),
            region_flow_table: region(window::FLOW_TABLE),
            region_sequence: region(window::SEQUENCE),
            region_status: region(window::STATUS),
            region_live: region(window::LIVE_FLOWS),
            region_generation: region(window::GENERATION),
            region_verdict_counters: region(window::COUNTER_VERDICT),
            region_service_counters: region(window::COUNTER_SERVICE),
            region_backend_counters: region(window::COUNTER_BACKEND),
            region_flow_counters: region(window::COUNTER_FLOW),
            region_overrun: region(window::COUNTER_OVERRUN_HOST),
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
        built_aside(Box::default)
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

fn region(number: u32) -> Constant<Bits<4>> {
    Constant::new(u64::from(number).into())
}

/// What is too large for the stack of a thread by default, built on a larger one.
pub(crate) fn built_aside<T: Send + 'static>(build: fn() -> Box<T>) -> Box<T> {
    let building = thread::Builder::new().stack_size(BUILD_STACK_BYTES).spawn(build);
    building.expect("a thread can be started").join().expect("a core is built without a panic")
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
            read_enable_reg,
            read_wait_reg,
            read_valid_reg,
            counted_reg,
            entry_low_reg,
            entry_high_reg,
            word_reg,
            read_data_reg,
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
        for i in 0..4 {
            self.read_region_reg[i].clock.next = self.clock.val();
            self.read_word_reg[i].clock.next = self.clock.val();
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

        // The port: a write goes before a read.
        self.write_address_reg.d.next = self.write_address.val();
        self.write_data_reg.d.next = self.write_data.val();
        self.write_enable_reg.d.next = self.write_enable.val();
        self.port_address.next = self.read_address_reg.q.val();
        if self.write_enable_reg.q.val() {
            self.port_address.next = self.write_address_reg.q.val();
        }
        self.control.address.next = self.port_address.val();
        self.control.data.next = self.write_data_reg.q.val();
        self.control.enable.next = self.write_enable_reg.q.val();
        self.classify.port_address.next = self.port_address.val();
        self.classify.write_data.next = self.write_data_reg.q.val();
        self.table_enable.next = self.write_enable_reg.q.val() & !self.control.hold.val();
        self.classify.write_enable.next = self.table_enable.val();
        self.select.port_address.next = self.port_address.val();
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
        self.select.set_timeouts.next = self.control.set_timeouts.val();
        self.prescaler.clocks_per_ms.next = self.control.clocks_per_ms.val();
        self.prescaler.tick_ms.next = self.control.tick_ms.val();
        self.select.tick_due.next = self.prescaler.due.val();

        self.status.next = (self.select.status.val() | (bit_cast::<32, 1>(self.control.hold.val().into()) << 2))
            | (bit_cast::<32, 16>(self.census.rounds.val()) << 16);
        self.quiet.next =
            (!self.control.settings.val().serve & !self.control.hold.val()) & self.select.status.val().get_bit(1);
        self.select.quiet.next = self.quiet.val();
        self.write_region.next = self.write_address_reg.q.val().get_bits::<4>(28);
        self.lost_held.next = self.control.lost.val();
        self.lost_busy.next = (self.write_enable_reg.q.val() & !self.quiet.val())
            & ((self.write_region.val() == self.region_sequence.val())
                | ((self.write_region.val() == self.region_flow_table.val())
                    & self.write_address_reg.q.val().get_bit(0)));

        // Receive: a frame starts while credits last, nothing waits for an empty pipeline and no read for a clock in which
        // nothing is counted, and then runs on.
        AxisS::<D, K, 24>::link(&mut self.s_axis, &mut self.skid.s_axis);
        self.cleared.next = (self.verdict_counters.ready.val() & self.service_counters.ready.val())
            & (self.backend_counters.ready.val() & self.select.ready.val());
        self.may_start.next = (self.cleared.val() & !self.read_wait_reg.q.val().get_bit(5))
            & (!self.control.hold.val() & (self.credit_reg.q.val() != 0));
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

        // Reads, clock 0: an address is taken. Clock 1: it is at the memories, as soon as nobody else uses those it needs.
        self.read_region.next = self.read_address_reg.q.val().get_bits::<4>(28);
        self.of_counters.next = ((self.read_region.val() == self.region_verdict_counters.val())
            | (self.read_region.val() == self.region_flow_counters.val()))
            | ((self.read_region.val() == self.region_service_counters.val())
                | (self.read_region.val() == self.region_backend_counters.val()));
        self.is_first.next = self.read_address_reg.q.val().get_bits::<2>(0) == 0;
        self.select.read_flow.next = self.read_enable_reg.q.val()
            & ((self.read_region.val() == self.region_flow_table.val()) & !self.read_address_reg.q.val().get_bit(0));
        self.read_busy.next = (self.write_enable_reg.q.val()
            | ((self.of_counters.val() & self.is_first.val()) & self.done_reg.q.val()))
            | ((self.select.read_flow.val() & self.select.flow_busy.val())
                | ((self.read_region.val() == self.region_sequence.val()) & self.select.turn_busy.val()));
        self.read_fire.next = self.read_enable_reg.q.val() & !self.read_busy.val();
        self.read_ready.next = !self.read_enable_reg.q.val() | self.read_fire.val();
        if self.read_ready.val() {
            self.read_address_reg.d.next = self.read_address.val();
            self.read_enable_reg.d.next = self.read_enable.val();
        }
        self.read_wait_reg.d.next = 0.into();
        if self.read_enable_reg.q.val() & self.read_busy.val() {
            self.read_wait_reg.d.next = self.read_wait_reg.q.val();
            if !self.read_wait_reg.q.val().get_bit(5) {
                self.read_wait_reg.d.next = self.read_wait_reg.q.val() + 1;
            }
        }
        self.verdict_counters.read_index.next = self.port_address.val().get_bits::<5>(2);
        self.service_counters.read_index.next = self.port_address.val().get_bits::<S>(2);
        self.backend_counters.read_index.next = self.port_address.val().get_bits::<B>(2);
        self.flow_counters.read_index.next = self.port_address.val().get_bits::<3>(2);
        self.census.read_backend.next = self.port_address.val().get_bits::<B>(0);
        self.read_valid_reg.d.next = (self.read_valid_reg.q.val() << 1) | bit_cast::<5, 1>(self.read_fire.val().into());
        self.read_region_reg[0].d.next = self.read_region.val();
        self.read_word_reg[0].d.next = self.read_address_reg.q.val().get_bits::<2>(0);
        for i in 1..4 {
            self.read_region_reg[i].d.next = self.read_region_reg[i - 1].q.val();
            self.read_word_reg[i].d.next = self.read_word_reg[i - 1].q.val();
        }

        // Clock 4: what was read is there. Counters and entries are kept whole, for the words that follow.
        self.counted.next = self.verdict_counters.counted.val();
        if self.read_region_reg[2].q.val() == self.region_service_counters.val() {
            self.counted.next = self.service_counters.counted.val();
        } else if self.read_region_reg[2].q.val() == self.region_backend_counters.val() {
            self.counted.next = self.backend_counters.counted.val();
        } else if self.read_region_reg[2].q.val() == self.region_flow_counters.val() {
            self.counted.next = self.flow_counters.counted.val();
        }
        if self.read_valid_reg.q.val().get_bit(2) & (self.read_word_reg[2].q.val() == 0) {
            self.counted_reg.d.next = self.counted.val();
        }
        self.entry_tag.next = self.select.read_tag.val();
        if self.read_valid_reg.q.val().get_bit(2) & !self.read_word_reg[2].q.val().get_bit(0) {
            self.entry_low_reg.d.next = bit_cast::<32, 24>(self.select.read_rest.val())
                | (bit_cast::<32, 8>(self.entry_tag.val().get_bits::<8>(0)) << 24);
            self.entry_high_reg.d.next = self.entry_tag.val().get_bits::<32>(8);
        }
        self.word_reg.d.next = 0.into();
        if (self.read_region_reg[2].q.val() == self.region_control.val())
            | (self.read_region_reg[2].q.val() == self.region_datapath.val())
        {
            self.word_reg.d.next = self.control.read_data.val();
        } else if self.read_region_reg[2].q.val() == self.region_service.val() {
            self.word_reg.d.next = self.classify.staged.val();
        } else if (self.read_region_reg[2].q.val() == self.region_lookup.val())
            | (self.read_region_reg[2].q.val() == self.region_backend.val())
        {
            self.word_reg.d.next = self.select.staged.val();
        } else if self.read_region_reg[2].q.val() == self.region_sequence.val() {
            self.word_reg.d.next = self.select.read_turn.val();
        } else if self.read_region_reg[2].q.val() == self.region_status.val() {
            self.word_reg.d.next = self.status.val();
        } else if self.read_region_reg[2].q.val() == self.region_live.val() {
            self.word_reg.d.next = self.census.read_data.val();
        } else if self.read_region_reg[2].q.val() == self.region_generation.val() {
            self.word_reg.d.next = self.control.generation.val();
        } else if self.read_region_reg[2].q.val() == self.region_overrun.val() {
            self.word_reg.d.next = self.host_queue.overrun.val();
        }

        // Clock 5: the word. Clock 6: it leaves.
        self.word.next = self.word_reg.q.val();
        if self.read_region_reg[3].q.val() == self.region_flow_table.val() {
            self.word.next = self.entry_low_reg.q.val();
            if self.read_word_reg[3].q.val().get_bit(0) {
                self.word.next = self.entry_high_reg.q.val();
            }
        } else if self.read_region_reg[3].q.val() >= self.region_verdict_counters.val() {
            if self.read_word_reg[3].q.val() == 0 {
                self.word.next = self.counted_reg.q.val().packets_low;
            } else if self.read_word_reg[3].q.val() == 1 {
                self.word.next = self.counted_reg.q.val().packets_high;
            } else if self.read_word_reg[3].q.val() == 2 {
                self.word.next = self.counted_reg.q.val().bytes_low;
            } else {
                self.word.next = self.counted_reg.q.val().bytes_high;
            }
        }
        if self.read_region_reg[3].q.val() == self.region_overrun.val() {
            self.word.next = self.word_reg.q.val();
        }
        self.read_data_reg.d.next = self.word.val();
        self.read_data.next = self.read_data_reg.q.val();
        self.read_valid.next = self.read_valid_reg.q.val().get_bit(4);
        if self.reset.val() {
            self.read_enable_reg.d.next = false;
            self.read_valid_reg.d.next = 0.into();
            self.inside_reg.d.next = false;
            self.credit_reg.d.next = self.credits.val();
            self.done_reg.d.next = false;
        }
    }
}
