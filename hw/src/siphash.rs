//! Half a SipRound, pipelined: two 64-bit additions, two rotations, two exclusive ors.
//!
//! A 64-bit addition takes two clocks: the first adds 16-bit lanes, once with and once without a carry coming in
//! (carry select), the second picks the right sums. So no carry runs over more than 16 bits.
//!
//! # Source
//! Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012, section 2.

use rust_hdl::prelude::*;

/// The state of SipHash: four words of 64 bits, each as four lanes of 16 bits, lane a the lowest.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct SipState {
    /// Word 0.
    pub v0a: Bits<16>,
    /// Word 0.
    pub v0b: Bits<16>,
    /// Word 0.
    pub v0c: Bits<16>,
    /// Word 0.
    pub v0d: Bits<16>,
    /// Word 1.
    pub v1a: Bits<16>,
    /// Word 1.
    pub v1b: Bits<16>,
    /// Word 1.
    pub v1c: Bits<16>,
    /// Word 1.
    pub v1d: Bits<16>,
    /// Word 2.
    pub v2a: Bits<16>,
    /// Word 2.
    pub v2b: Bits<16>,
    /// Word 2.
    pub v2c: Bits<16>,
    /// Word 2.
    pub v2d: Bits<16>,
    /// Word 3.
    pub v3a: Bits<16>,
    /// Word 3.
    pub v3b: Bits<16>,
    /// Word 3.
    pub v3c: Bits<16>,
    /// Word 3.
    pub v3d: Bits<16>,
}

/// Between two blocks of a message: the one whose round is done goes into word 0, the next one into word 3.
#[derive(LogicBlock, Default)]
pub struct Absorb {
    /// State after a round.
    pub s_state: Signal<In, SipState>,
    /// The block whose round it was, low half.
    pub done_low: Signal<In, Bits<32>>,
    /// High half.
    pub done_high: Signal<In, Bits<32>>,
    /// The block that comes, low half.
    pub next_low: Signal<In, Bits<32>>,
    /// High half.
    pub next_high: Signal<In, Bits<32>>,
    /// State before the next round, in the same clock.
    pub m_state: Signal<Out, SipState>,
    state: Signal<Local, SipState>,
}

impl Logic for Absorb {
    #[hdl_gen]
    fn update(&mut self) {
        self.state.next = self.s_state.val();
        self.state.next.v0a = self.s_state.val().v0a ^ self.done_low.val().get_bits::<16>(0);
        self.state.next.v0b = self.s_state.val().v0b ^ self.done_low.val().get_bits::<16>(16);
        self.state.next.v0c = self.s_state.val().v0c ^ self.done_high.val().get_bits::<16>(0);
        self.state.next.v0d = self.s_state.val().v0d ^ self.done_high.val().get_bits::<16>(16);
        self.state.next.v3a = self.s_state.val().v3a ^ self.next_low.val().get_bits::<16>(0);
        self.state.next.v3b = self.s_state.val().v3b ^ self.next_low.val().get_bits::<16>(16);
        self.state.next.v3c = self.s_state.val().v3c ^ self.next_high.val().get_bits::<16>(0);
        self.state.next.v3d = self.s_state.val().v3d ^ self.next_high.val().get_bits::<16>(16);
        self.m_state.next = self.state.val();
    }
}

/// Lane sums of two additions: x plus y, and z plus w; those with a carry coming in end in `1`.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct LaneSums {
    xa: Bits<17>,
    xb: Bits<17>,
    xc: Bits<17>,
    xd: Bits<17>,
    xb1: Bits<17>,
    xc1: Bits<17>,
    xd1: Bits<17>,
    za: Bits<17>,
    zb: Bits<17>,
    zc: Bits<17>,
    zd: Bits<17>,
    zb1: Bits<17>,
    zc1: Bits<17>,
    zd1: Bits<17>,
}

/// The first half of a SipRound: v0 += v1, v2 += v3, rotations by 13 and 16, v0 by 32.
#[derive(LogicBlock, Default)]
pub struct FirstHalf {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// State that enters.
    pub s_state: Signal<In, SipState>,
    /// State that left two clocks later.
    pub m_state: Signal<Out, SipState>,
    state_reg: DFF<SipState>,
    sums_reg: DFF<LaneSums>,
    result_reg: DFF<SipState>,
    x: [Signal<Local, Bits<17>>; 4],
    y: [Signal<Local, Bits<17>>; 4],
    z: [Signal<Local, Bits<17>>; 4],
    w: [Signal<Local, Bits<17>>; 4],
    sum_x: [Signal<Local, Bits<17>>; 4],
    sum_z: [Signal<Local, Bits<17>>; 4],
    carry_x: [Signal<Local, Bit>; 4],
    carry_z: [Signal<Local, Bit>; 4],
    turned_y: [Signal<Local, Bits<16>>; 4],
    turned_w: [Signal<Local, Bits<16>>; 4],
    lane_x: [Signal<Local, Bits<16>>; 4],
    lane_z: [Signal<Local, Bits<16>>; 4],
}

impl Logic for FirstHalf {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, state_reg, sums_reg, result_reg);
        // First clock: add the lanes.
        self.state_reg.d.next = self.s_state.val();
        self.x[0].next = bit_cast::<17, 16>(self.s_state.val().v0a);
        self.x[1].next = bit_cast::<17, 16>(self.s_state.val().v0b);
        self.x[2].next = bit_cast::<17, 16>(self.s_state.val().v0c);
        self.x[3].next = bit_cast::<17, 16>(self.s_state.val().v0d);
        self.y[0].next = bit_cast::<17, 16>(self.s_state.val().v1a);
        self.y[1].next = bit_cast::<17, 16>(self.s_state.val().v1b);
        self.y[2].next = bit_cast::<17, 16>(self.s_state.val().v1c);
        self.y[3].next = bit_cast::<17, 16>(self.s_state.val().v1d);
        self.z[0].next = bit_cast::<17, 16>(self.s_state.val().v2a);
        self.z[1].next = bit_cast::<17, 16>(self.s_state.val().v2b);
        self.z[2].next = bit_cast::<17, 16>(self.s_state.val().v2c);
        self.z[3].next = bit_cast::<17, 16>(self.s_state.val().v2d);
        self.w[0].next = bit_cast::<17, 16>(self.s_state.val().v3a);
        self.w[1].next = bit_cast::<17, 16>(self.s_state.val().v3b);
        self.w[2].next = bit_cast::<17, 16>(self.s_state.val().v3c);
        self.w[3].next = bit_cast::<17, 16>(self.s_state.val().v3d);
        self.sums_reg.d.next.xa = self.x[0].val() + self.y[0].val();
        self.sums_reg.d.next.xb = self.x[1].val() + self.y[1].val();
        self.sums_reg.d.next.xc = self.x[2].val() + self.y[2].val();
        self.sums_reg.d.next.xd = self.x[3].val() + self.y[3].val();
        self.sums_reg.d.next.xb1 = self.x[1].val() + self.y[1].val() + 1;
        self.sums_reg.d.next.xc1 = self.x[2].val() + self.y[2].val() + 1;
        self.sums_reg.d.next.xd1 = self.x[3].val() + self.y[3].val() + 1;
        self.sums_reg.d.next.za = self.z[0].val() + self.w[0].val();
        self.sums_reg.d.next.zb = self.z[1].val() + self.w[1].val();
        self.sums_reg.d.next.zc = self.z[2].val() + self.w[2].val();
        self.sums_reg.d.next.zd = self.z[3].val() + self.w[3].val();
        self.sums_reg.d.next.zb1 = self.z[1].val() + self.w[1].val() + 1;
        self.sums_reg.d.next.zc1 = self.z[2].val() + self.w[2].val() + 1;
        self.sums_reg.d.next.zd1 = self.z[3].val() + self.w[3].val() + 1;

        // Second clock: pick the sums whose carry came true, then rotate and combine.
        self.sum_x[0].next = self.sums_reg.q.val().xa;
        self.carry_x[0].next = self.sum_x[0].val().get_bit(16);
        self.sum_x[1].next = self.sums_reg.q.val().xb;
        if self.carry_x[0].val() {
            self.sum_x[1].next = self.sums_reg.q.val().xb1;
        }
        self.carry_x[1].next = self.sum_x[1].val().get_bit(16);
        self.sum_x[2].next = self.sums_reg.q.val().xc;
        if self.carry_x[1].val() {
            self.sum_x[2].next = self.sums_reg.q.val().xc1;
        }
        self.carry_x[2].next = self.sum_x[2].val().get_bit(16);
        self.sum_x[3].next = self.sums_reg.q.val().xd;
        if self.carry_x[2].val() {
            self.sum_x[3].next = self.sums_reg.q.val().xd1;
        }
        self.carry_x[3].next = self.sum_x[3].val().get_bit(16);
        self.sum_z[0].next = self.sums_reg.q.val().za;
        self.carry_z[0].next = self.sum_z[0].val().get_bit(16);
        self.sum_z[1].next = self.sums_reg.q.val().zb;
        if self.carry_z[0].val() {
            self.sum_z[1].next = self.sums_reg.q.val().zb1;
        }
        self.carry_z[1].next = self.sum_z[1].val().get_bit(16);
        self.sum_z[2].next = self.sums_reg.q.val().zc;
        if self.carry_z[1].val() {
            self.sum_z[2].next = self.sums_reg.q.val().zc1;
        }
        self.carry_z[2].next = self.sum_z[2].val().get_bit(16);
        self.sum_z[3].next = self.sums_reg.q.val().zd;
        if self.carry_z[2].val() {
            self.sum_z[3].next = self.sums_reg.q.val().zd1;
        }
        self.carry_z[3].next = self.sum_z[3].val().get_bit(16);
        for i in 0..4 {
            self.lane_x[i].next = self.sum_x[i].val().get_bits::<16>(0);
            self.lane_z[i].next = self.sum_z[i].val().get_bits::<16>(0);
        }
        self.turned_y[0].next = (self.state_reg.q.val().v1a << 13) | (self.state_reg.q.val().v1d >> 3);
        self.turned_y[1].next = (self.state_reg.q.val().v1b << 13) | (self.state_reg.q.val().v1a >> 3);
        self.turned_y[2].next = (self.state_reg.q.val().v1c << 13) | (self.state_reg.q.val().v1b >> 3);
        self.turned_y[3].next = (self.state_reg.q.val().v1d << 13) | (self.state_reg.q.val().v1c >> 3);
        self.turned_w[0].next = self.state_reg.q.val().v3d;
        self.turned_w[1].next = self.state_reg.q.val().v3a;
        self.turned_w[2].next = self.state_reg.q.val().v3b;
        self.turned_w[3].next = self.state_reg.q.val().v3c;
        self.result_reg.d.next.v0a = self.lane_x[2].val();
        self.result_reg.d.next.v0b = self.lane_x[3].val();
        self.result_reg.d.next.v0c = self.lane_x[0].val();
        self.result_reg.d.next.v0d = self.lane_x[1].val();
        self.result_reg.d.next.v1a = self.turned_y[0].val() ^ self.lane_x[0].val();
        self.result_reg.d.next.v1b = self.turned_y[1].val() ^ self.lane_x[1].val();
        self.result_reg.d.next.v1c = self.turned_y[2].val() ^ self.lane_x[2].val();
        self.result_reg.d.next.v1d = self.turned_y[3].val() ^ self.lane_x[3].val();
        self.result_reg.d.next.v2a = self.lane_z[0].val();
        self.result_reg.d.next.v2b = self.lane_z[1].val();
        self.result_reg.d.next.v2c = self.lane_z[2].val();
        self.result_reg.d.next.v2d = self.lane_z[3].val();
        self.result_reg.d.next.v3a = self.turned_w[0].val() ^ self.lane_z[0].val();
        self.result_reg.d.next.v3b = self.turned_w[1].val() ^ self.lane_z[1].val();
        self.result_reg.d.next.v3c = self.turned_w[2].val() ^ self.lane_z[2].val();
        self.result_reg.d.next.v3d = self.turned_w[3].val() ^ self.lane_z[3].val();
        self.m_state.next = self.result_reg.q.val();
    }
}

/// The second half of a SipRound: v2 += v1, v0 += v3, rotations by 17 and 21, v2 by 32.
#[derive(LogicBlock, Default)]
pub struct SecondHalf {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// State that enters.
    pub s_state: Signal<In, SipState>,
    /// State that left two clocks later.
    pub m_state: Signal<Out, SipState>,
    state_reg: DFF<SipState>,
    sums_reg: DFF<LaneSums>,
    result_reg: DFF<SipState>,
    x: [Signal<Local, Bits<17>>; 4],
    y: [Signal<Local, Bits<17>>; 4],
    z: [Signal<Local, Bits<17>>; 4],
    w: [Signal<Local, Bits<17>>; 4],
    sum_x: [Signal<Local, Bits<17>>; 4],
    sum_z: [Signal<Local, Bits<17>>; 4],
    carry_x: [Signal<Local, Bit>; 4],
    carry_z: [Signal<Local, Bit>; 4],
    turned_y: [Signal<Local, Bits<16>>; 4],
    turned_w: [Signal<Local, Bits<16>>; 4],
    lane_x: [Signal<Local, Bits<16>>; 4],
    lane_z: [Signal<Local, Bits<16>>; 4],
}

impl Logic for SecondHalf {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, state_reg, sums_reg, result_reg);
        // First clock: add the lanes.
        self.state_reg.d.next = self.s_state.val();
        self.x[0].next = bit_cast::<17, 16>(self.s_state.val().v2a);
        self.x[1].next = bit_cast::<17, 16>(self.s_state.val().v2b);
        self.x[2].next = bit_cast::<17, 16>(self.s_state.val().v2c);
        self.x[3].next = bit_cast::<17, 16>(self.s_state.val().v2d);
        self.y[0].next = bit_cast::<17, 16>(self.s_state.val().v1a);
        self.y[1].next = bit_cast::<17, 16>(self.s_state.val().v1b);
        self.y[2].next = bit_cast::<17, 16>(self.s_state.val().v1c);
        self.y[3].next = bit_cast::<17, 16>(self.s_state.val().v1d);
        self.z[0].next = bit_cast::<17, 16>(self.s_state.val().v0a);
        self.z[1].next = bit_cast::<17, 16>(self.s_state.val().v0b);
        self.z[2].next = bit_cast::<17, 16>(self.s_state.val().v0c);
        self.z[3].next = bit_cast::<17, 16>(self.s_state.val().v0d);
        self.w[0].next = bit_cast::<17, 16>(self.s_state.val().v3a);
        self.w[1].next = bit_cast::<17, 16>(self.s_state.val().v3b);
        self.w[2].next = bit_cast::<17, 16>(self.s_state.val().v3c);
        self.w[3].next = bit_cast::<17, 16>(self.s_state.val().v3d);
        self.sums_reg.d.next.xa = self.x[0].val() + self.y[0].val();
        self.sums_reg.d.next.xb = self.x[1].val() + self.y[1].val();
        self.sums_reg.d.next.xc = self.x[2].val() + self.y[2].val();
        self.sums_reg.d.next.xd = self.x[3].val() + self.y[3].val();
        self.sums_reg.d.next.xb1 = self.x[1].val() + self.y[1].val() + 1;
        self.sums_reg.d.next.xc1 = self.x[2].val() + self.y[2].val() + 1;
        self.sums_reg.d.next.xd1 = self.x[3].val() + self.y[3].val() + 1;
        self.sums_reg.d.next.za = self.z[0].val() + self.w[0].val();
        self.sums_reg.d.next.zb = self.z[1].val() + self.w[1].val();
        self.sums_reg.d.next.zc = self.z[2].val() + self.w[2].val();
        self.sums_reg.d.next.zd = self.z[3].val() + self.w[3].val();
        self.sums_reg.d.next.zb1 = self.z[1].val() + self.w[1].val() + 1;
        self.sums_reg.d.next.zc1 = self.z[2].val() + self.w[2].val() + 1;
        self.sums_reg.d.next.zd1 = self.z[3].val() + self.w[3].val() + 1;

        // Second clock: pick the sums whose carry came true, then rotate and combine.
        self.sum_x[0].next = self.sums_reg.q.val().xa;
        self.carry_x[0].next = self.sum_x[0].val().get_bit(16);
        self.sum_x[1].next = self.sums_reg.q.val().xb;
        if self.carry_x[0].val() {
            self.sum_x[1].next = self.sums_reg.q.val().xb1;
        }
        self.carry_x[1].next = self.sum_x[1].val().get_bit(16);
        self.sum_x[2].next = self.sums_reg.q.val().xc;
        if self.carry_x[1].val() {
            self.sum_x[2].next = self.sums_reg.q.val().xc1;
        }
        self.carry_x[2].next = self.sum_x[2].val().get_bit(16);
        self.sum_x[3].next = self.sums_reg.q.val().xd;
        if self.carry_x[2].val() {
            self.sum_x[3].next = self.sums_reg.q.val().xd1;
        }
        self.carry_x[3].next = self.sum_x[3].val().get_bit(16);
        self.sum_z[0].next = self.sums_reg.q.val().za;
        self.carry_z[0].next = self.sum_z[0].val().get_bit(16);
        self.sum_z[1].next = self.sums_reg.q.val().zb;
        if self.carry_z[0].val() {
            self.sum_z[1].next = self.sums_reg.q.val().zb1;
        }
        self.carry_z[1].next = self.sum_z[1].val().get_bit(16);
        self.sum_z[2].next = self.sums_reg.q.val().zc;
        if self.carry_z[1].val() {
            self.sum_z[2].next = self.sums_reg.q.val().zc1;
        }
        self.carry_z[2].next = self.sum_z[2].val().get_bit(16);
        self.sum_z[3].next = self.sums_reg.q.val().zd;
        if self.carry_z[2].val() {
            self.sum_z[3].next = self.sums_reg.q.val().zd1;
        }
        self.carry_z[3].next = self.sum_z[3].val().get_bit(16);
        for i in 0..4 {
            self.lane_x[i].next = self.sum_x[i].val().get_bits::<16>(0);
            self.lane_z[i].next = self.sum_z[i].val().get_bits::<16>(0);
        }
        self.turned_y[0].next = (self.state_reg.q.val().v1d << 1) | (self.state_reg.q.val().v1c >> 15);
        self.turned_y[1].next = (self.state_reg.q.val().v1a << 1) | (self.state_reg.q.val().v1d >> 15);
        self.turned_y[2].next = (self.state_reg.q.val().v1b << 1) | (self.state_reg.q.val().v1a >> 15);
        self.turned_y[3].next = (self.state_reg.q.val().v1c << 1) | (self.state_reg.q.val().v1b >> 15);
        self.turned_w[0].next = (self.state_reg.q.val().v3d << 5) | (self.state_reg.q.val().v3c >> 11);
        self.turned_w[1].next = (self.state_reg.q.val().v3a << 5) | (self.state_reg.q.val().v3d >> 11);
        self.turned_w[2].next = (self.state_reg.q.val().v3b << 5) | (self.state_reg.q.val().v3a >> 11);
        self.turned_w[3].next = (self.state_reg.q.val().v3c << 5) | (self.state_reg.q.val().v3b >> 11);
        self.result_reg.d.next.v2a = self.lane_x[2].val();
        self.result_reg.d.next.v2b = self.lane_x[3].val();
        self.result_reg.d.next.v2c = self.lane_x[0].val();
        self.result_reg.d.next.v2d = self.lane_x[1].val();
        self.result_reg.d.next.v1a = self.turned_y[0].val() ^ self.lane_x[0].val();
        self.result_reg.d.next.v1b = self.turned_y[1].val() ^ self.lane_x[1].val();
        self.result_reg.d.next.v1c = self.turned_y[2].val() ^ self.lane_x[2].val();
        self.result_reg.d.next.v1d = self.turned_y[3].val() ^ self.lane_x[3].val();
        self.result_reg.d.next.v0a = self.lane_z[0].val();
        self.result_reg.d.next.v0b = self.lane_z[1].val();
        self.result_reg.d.next.v0c = self.lane_z[2].val();
        self.result_reg.d.next.v0d = self.lane_z[3].val();
        self.result_reg.d.next.v3a = self.turned_w[0].val() ^ self.lane_z[0].val();
        self.result_reg.d.next.v3b = self.turned_w[1].val() ^ self.lane_z[1].val();
        self.result_reg.d.next.v3c = self.turned_w[2].val() ^ self.lane_z[2].val();
        self.result_reg.d.next.v3d = self.turned_w[3].val() ^ self.lane_z[3].val();
        self.m_state.next = self.result_reg.q.val();
    }
}

// The rotations are written out above; a change of the contract must stop the build here.
const _: () = {
    let [a, b, c, d] = maglane_spec::siphash::ROTATE;
    assert!(a == 13 && b == 16 && c == 17 && d == 21);
};
