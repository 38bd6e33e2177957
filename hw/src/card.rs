//! The card, as far as it is the same on every board: the core and its registers.
//!
//! A wrapper brings frames, the AXI4-Lite side of a PCIe bridge, and what it says of itself.

use maglane_spec::Stage;
use rust_hdl::prelude::*;

use crate::axis::{AxisM, AxisS};
use crate::core::{self, Core};
use crate::registers::{AxilS, Registers, Straps};

/// The card; its parameters are those of [`Core`].
#[derive(LogicBlock)]
pub struct Card<const D: usize, const K: usize, const S: usize, const L: usize, const B: usize, const F: usize> {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Synchronous reset, active high, at least one clock.
    pub reset: Signal<In, Bit>,
    /// Frames that come in; see [`Core::s_axis`].
    pub s_axis: AxisS<D, K, 24>,
    /// Forwarded frames; see [`Core::m_axis_wire`].
    pub m_axis_wire: AxisM<D, K, 16>,
    /// Passed frames; see [`Core::m_axis_host`].
    pub m_axis_host: AxisM<D, K, 24>,
    /// Registers; see [`maglane_spec::register`].
    pub s_axil: AxilS,
    /// Code of the wrapper; [`maglane_spec::register::WRAPPERS`]. Constant, as all up to the git hash.
    pub wrapper: Signal<In, Bits<32>>,
    /// The core's clock in kHz.
    pub clock_khz: Signal<In, Bits<32>>,
    /// When the bitstream was built, in seconds since 1970; 0 when unknown.
    pub build_time: Signal<In, Bits<32>>,
    /// Commit it was built from, byte 0 lowest; 0 when unknown.
    pub git_hash: Signal<In, Bits<160>>,
    /// A frame is done; the fields below describe it. One record a frame, in order. For simulation and probes.
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
    core: Core<D, K, S, L, B, F>,
    registers: Registers,
    straps: Signal<Local, Straps>,
}

impl<const D: usize, const K: usize, const S: usize, const L: usize, const B: usize, const F: usize> Default
    for Card<D, K, S, L, B, F>
{
    fn default() -> Self {
        Self {
            clock: Default::default(),
            reset: Default::default(),
            s_axis: Default::default(),
            m_axis_wire: Default::default(),
            m_axis_host: Default::default(),
            s_axil: Default::default(),
            wrapper: Default::default(),
            clock_khz: Default::default(),
            build_time: Default::default(),
            git_hash: Default::default(),
            trace_valid: Default::default(),
            trace_verdict: Default::default(),
            trace_flow: Default::default(),
            trace_length: Default::default(),
            trace_service: Default::default(),
            trace_backend: Default::default(),
            trace_hash_low: Default::default(),
            trace_hash_high: Default::default(),
            core: Default::default(),
            registers: Registers::new(&Core::<D, K, S, L, B, F>::GEOMETRY),
            straps: Default::default(),
        }
    }
}

impl<const D: usize, const K: usize, const S: usize, const L: usize, const B: usize, const F: usize>
    Card<D, K, S, L, B, F>
{
    /// A card on the heap; see [`Core::boxed`].
    ///
    /// # Panics
    /// When no thread can be started.
    #[must_use]
    pub fn boxed() -> Box<Self> {
        core::built_aside(Box::default)
    }

    /// Plants a fault in one stage; see [`Core::plant_fault`].
    pub fn plant_fault(&mut self, stage: Stage) {
        self.core.plant_fault(stage);
    }
}

impl<const D: usize, const K: usize, const S: usize, const L: usize, const B: usize, const F: usize> Logic
    for Card<D, K, S, L, B, F>
{
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, core, registers);
        self.core.reset.next = self.reset.val();
        self.registers.reset.next = self.reset.val();
        AxisS::<D, K, 24>::link(&mut self.s_axis, &mut self.core.s_axis);
        AxisM::<D, K, 16>::link(&mut self.m_axis_wire, &mut self.core.m_axis_wire);
        AxisM::<D, K, 24>::link(&mut self.m_axis_host, &mut self.core.m_axis_host);
        AxilS::link(&mut self.s_axil, &mut self.registers.s_axil);
        self.straps.next.wrapper = self.wrapper.val();
        self.straps.next.clock_khz = self.clock_khz.val();
        self.straps.next.build_time = self.build_time.val();
        self.straps.next.git_hash_0 = self.git_hash.val().get_bits::<32>(0);
        self.straps.next.git_hash_1 = self.git_hash.val().get_bits::<32>(32);
        self.straps.next.git_hash_2 = self.git_hash.val().get_bits::<32>(64);
        self.straps.next.git_hash_3 = self.git_hash.val().get_bits::<32>(96);
        self.straps.next.git_hash_4 = self.git_hash.val().get_bits::<32>(128);
        self.registers.straps.next = self.straps.val();
        self.core.write_address.next = self.registers.write_address.val();
        self.core.write_data.next = self.registers.write_data.val();
        self.core.write_enable.next = self.registers.write_enable.val();
        self.core.read_address.next = self.registers.read_address.val();
        self.core.read_enable.next = self.registers.read_enable.val();
        self.registers.read_ready.next = self.core.read_ready.val();
        self.registers.read_data.next = self.core.read_data.val();
        self.registers.read_valid.next = self.core.read_valid.val();
        self.registers.lost_held.next = self.core.lost_held.val();
        self.registers.lost_busy.next = self.core.lost_busy.val();
        self.trace_valid.next = self.core.trace_valid.val();
        self.trace_verdict.next = self.core.trace_verdict.val();
        self.trace_flow.next = self.core.trace_flow.val();
        self.trace_length.next = self.core.trace_length.val();
        self.trace_service.next = self.core.trace_service.val();
        self.trace_backend.next = self.core.trace_backend.val();
        self.trace_hash_low.next = self.core.trace_hash_low.val();
        self.trace_hash_high.next = self.core.trace_hash_high.val();
    }
}
