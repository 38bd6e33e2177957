//! The queue to the host: takes whole frames as long as they fit, and counts those that do not.
//!
//! It never holds up its sender, so that a host that does not drain cannot stop the wire.

use rust_hdl::prelude::*;

use crate::axis::{AxisM, AxisS, Skid};
use crate::fifo::Fifo;

/// What goes with a beat.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct HostSide {
    last: Bit,
    /// Bytes in the beat, modulo the bus width: 0 means all.
    residue: Bits<7>,
    user: Bits<24>,
}

/// A queue of 2^A beats of D bits in K bytes.
#[derive(LogicBlock)]
pub struct HostQueue<const D: usize, const K: usize, const A: usize> {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Synchronous reset, active high.
    pub reset: Signal<In, Bit>,
    /// Passed frames; the sideband is their length and, from bit 16, the verdict. Always ready.
    pub s_axis: AxisS<D, K, 24>,
    /// The frames that found room.
    pub m_axis: AxisM<D, K, 24>,
    /// Frames that found none, since reset.
    pub overrun: Signal<Out, Bits<32>>,
    data: Fifo<Bits<D>, A>,
    side: Fifo<HostSide, A>,
    side_in: Signal<Local, HostSide>,
    side_out: Signal<Local, HostSide>,
    free_reg: DFF<Bits<16>>,
    free: Signal<Local, Bits<16>>,
    inside_reg: DFF<Bit>,
    admitted_reg: DFF<Bit>,
    admitted: Signal<Local, Bit>,
    length: Signal<Local, Bits<16>>,
    user: Signal<Local, Bits<24>>,
    needed: Signal<Local, Bits<16>>,
    push: Signal<Local, Bit>,
    pop: Signal<Local, Bit>,
    keep_bytes: Signal<Local, Bits<16>>,
    gap: Signal<Local, Bits<16>>,
    overrun_reg: DFF<Bits<32>>,
    skid: Skid<D, K, 24>,
    bus_bytes: Constant<Bits<16>>,
    round_up: Constant<Bits<16>>,
    byte_shift: Constant<Bits<16>>,
    residue_mask: Constant<Bits<16>>,
    capacity: Constant<Bits<16>>,
    keep_ones: Constant<Bits<K>>,
}

impl<const D: usize, const K: usize, const A: usize> Default for HostQueue<D, K, A> {
    fn default() -> Self {
        Self {
            clock: Default::default(),
            reset: Default::default(),
            s_axis: Default::default(),
            m_axis: Default::default(),
            overrun: Default::default(),
            data: Default::default(),
            side: Default::default(),
            side_in: Default::default(),
            side_out: Default::default(),
            free_reg: Default::default(),
            free: Default::default(),
            inside_reg: Default::default(),
            admitted_reg: Default::default(),
            admitted: Default::default(),
            length: Default::default(),
            user: Default::default(),
            needed: Default::default(),
            push: Default::default(),
            pop: Default::default(),
            keep_bytes: Default::default(),
            gap: Default::default(),
            overrun_reg: Default::default(),
            skid: Default::default(),
            bus_bytes: Constant::new((K as u64).into()),
            round_up: Constant::new((K as u64 - 1).into()),
            byte_shift: Constant::new(u64::from(K.trailing_zeros()).into()),
            residue_mask: Constant::new((K as u64 - 1).into()),
            capacity: Constant::new(((1_u64 << A) - 1).into()),
            keep_ones: Constant::new(Bits::<K>::mask()),
        }
    }
}

// A frame that no queue could ever take would always be lost: parse drops it before.
const _: () = assert!(maglane_spec::limit::FRAME_LEN_MAX.div_ceil(32) < 1 << HOST_QUEUE_BITS);

/// Address bits of the host queue: 512 beats, more than the 300 beats of 32 bytes of the longest frame.
pub const HOST_QUEUE_BITS: usize = 9;

impl<const D: usize, const K: usize, const A: usize> Logic for HostQueue<D, K, A> {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, free_reg, inside_reg, admitted_reg, overrun_reg);
        clock!(self, clock, data, side, skid);
        self.data.reset.next = self.reset.val();
        self.side.reset.next = self.reset.val();
        self.skid.reset.next = self.reset.val();
        AxisM::<D, K, 24>::link(&mut self.m_axis, &mut self.skid.m_axis);
        self.s_axis.tready.next = true;

        // Admission, on the first beat: the whole frame fits or none of it enters.
        self.user.next = self.s_axis.tuser.val();
        self.length.next = self.user.val().get_bits::<16>(0);
        self.needed.next = self.length.val() + self.round_up.val();
        self.admitted.next = (self.needed.val() >> self.byte_shift.val()) <= self.free_reg.q.val();
        if self.inside_reg.q.val() {
            self.admitted.next = self.admitted_reg.q.val();
        }
        self.push.next = self.s_axis.tvalid.val() & self.admitted.val();
        if self.s_axis.tvalid.val() {
            self.inside_reg.d.next = !self.s_axis.tlast.val();
            self.admitted_reg.d.next = self.admitted.val();
            if !self.inside_reg.q.val() & !self.admitted.val() {
                self.overrun_reg.d.next = self.overrun_reg.q.val() + 1;
            }
        }

        self.side_in.next.last = self.s_axis.tlast.val();
        self.side_in.next.residue = bit_cast::<7, 16>(self.length.val() & self.residue_mask.val());
        self.side_in.next.user = self.user.val();
        self.data.din.next = self.s_axis.tdata.val();
        self.data.push.next = self.push.val();
        self.side.din.next = self.side_in.val();
        self.side.push.next = self.push.val();

        // Output.
        self.side_out.next = self.side.dout.val();
        self.pop.next = self.data.valid.val() & self.skid.s_axis.tready.val();
        self.data.pop.next = self.pop.val();
        self.side.pop.next = self.pop.val();
        self.keep_bytes.next = bit_cast::<16, 7>(self.side_out.val().residue);
        self.gap.next = self.bus_bytes.val() - self.keep_bytes.val();
        self.skid.s_axis.tvalid.next = self.data.valid.val();
        self.skid.s_axis.tdata.next = self.data.dout.val();
        self.skid.s_axis.tlast.next = self.side_out.val().last;
        self.skid.s_axis.tuser.next = self.side_out.val().user;
        self.skid.s_axis.tkeep.next = self.keep_ones.val();
        if self.side_out.val().last & (self.side_out.val().residue != 0) {
            self.skid.s_axis.tkeep.next = self.keep_ones.val() >> self.gap.val();
        }

        // Free room.
        self.free.next = self.free_reg.q.val();
        if self.push.val() & !self.pop.val() {
            self.free.next = self.free_reg.q.val() - 1;
        }
        if self.pop.val() & !self.push.val() {
            self.free.next = self.free_reg.q.val() + 1;
        }
        self.free_reg.d.next = self.free.val();
        self.overrun.next = self.overrun_reg.q.val();
        if self.reset.val() {
            self.free_reg.d.next = self.capacity.val();
            self.inside_reg.d.next = false;
            self.overrun_reg.d.next = 0.into();
        }
    }
}
