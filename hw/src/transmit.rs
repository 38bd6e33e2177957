//! Transmit: sends the frame at the head of the queue, encapsulated or as it came, or discards it.
//!
//! A beat a clock, without a pause between frames. Forwarded bytes move by 24 to 48 lanes to the end, behind the
//! prefix; so a beat is made of the head of the queue and of what the previous one left over. Where they move by more
//! lanes than the bus has, the first beat is all prefix and takes nothing from the queue.

use maglane_spec::Verdict;
use maglane_spec::wire::{ethernet, gre, ipv4, ipv6};
use rust_hdl::prelude::*;

use crate::axis::{AxisM, Skid};
use crate::fifo::Fifo;
use crate::stage::rewrite::Egress;

/// The transmit block, for a bus of D bits in K bytes.
#[derive(LogicBlock)]
pub struct Transmit<const D: usize, const K: usize> {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Synchronous reset, active high.
    pub reset: Signal<In, Bit>,
    /// A frame's egress arrives; its sender holds a credit.
    pub s_valid: Signal<In, Bit>,
    /// The egress.
    pub s_egress: Signal<In, Egress>,
    /// Head of the frame queue.
    pub beat_data: Signal<In, Bits<D>>,
    /// The head is its frame's last beat.
    pub beat_last: Signal<In, Bit>,
    /// There is a head.
    pub beat_valid: Signal<In, Bit>,
    /// Take the head.
    pub beat_pop: Signal<Out, Bit>,
    /// Forwarded frames; the sideband is their length.
    pub m_axis_wire: AxisM<D, K, 16>,
    /// Passed frames; the sideband is their length and, from bit 16, the verdict.
    pub m_axis_host: AxisM<D, K, 24>,
    /// A frame is done.
    pub done: Signal<Out, Bit>,
    /// What became of it.
    pub done_egress: Signal<Out, Egress>,
    queue: Fifo<Egress, 7>,
    head: Signal<Local, Egress>,
    started_reg: DFF<Bit>,
    input_done_reg: DFF<Bit>,
    left_reg: DFF<Bits<16>>,
    beat_reg: DFF<Bits<2>>,
    hold_reg: DFF<Bits<D>>,
    hold: Signal<Local, Bits<D>>,
    delayed: Signal<Local, Bit>,
    prefix_only: Signal<Local, Bit>,
    first_input: Signal<Local, Bit>,
    input_done: Signal<Local, Bit>,
    left: Signal<Local, Bits<16>>,
    left_next: Signal<Local, Bits<16>>,
    out_pending: Signal<Local, Bit>,
    last_out: Signal<Local, Bit>,
    forward: Signal<Local, Bit>,
    ready: Signal<Local, Bit>,
    data_ok: Signal<Local, Bit>,
    go: Signal<Local, Bit>,
    step: Signal<Local, Bit>,
    input_finished: Signal<Local, Bit>,
    output_finished: Signal<Local, Bit>,
    finish: Signal<Local, Bit>,
    data: Signal<Local, Bits<D>>,
    shifted: Signal<Local, Bits<D>>,
    prefix: Signal<Local, Bits<528>>,
    prefix_now: Signal<Local, Bits<D>>,
    out: Signal<Local, Bits<D>>,
    keep: Signal<Local, Bits<K>>,
    gap: Signal<Local, Bits<16>>,
    bus_bytes: Constant<Bits<16>>,
    narrow: Constant<Bit>,
    body_mask: Constant<Bits<D>>,
    body_mask_tagged: Constant<Bits<D>>,
    // By what the outer headers add: 24, 28, 44, 48 bytes.
    left_shift: [Constant<Bits<16>>; 4],
    right_shift: [Constant<Bits<16>>; 4],
    keep_ones: Constant<Bits<K>>,
    drop_bit: Constant<Bits<5>>,
    wire_skid: Skid<D, K, 16>,
}

impl<const D: usize, const K: usize> Default for Transmit<D, K> {
    fn default() -> Self {
        Self {
            clock: Default::default(),
            reset: Default::default(),
            s_valid: Default::default(),
            s_egress: Default::default(),
            beat_data: Default::default(),
            beat_last: Default::default(),
            beat_valid: Default::default(),
            beat_pop: Default::default(),
            m_axis_wire: Default::default(),
            m_axis_host: Default::default(),
            done: Default::default(),
            done_egress: Default::default(),
            queue: Default::default(),
            head: Default::default(),
            started_reg: Default::default(),
            input_done_reg: Default::default(),
            left_reg: Default::default(),
            beat_reg: Default::default(),
            hold_reg: Default::default(),
            hold: Default::default(),
            delayed: Default::default(),
            prefix_only: Default::default(),
            first_input: Default::default(),
            input_done: Default::default(),
            left: Default::default(),
            left_next: Default::default(),
            out_pending: Default::default(),
            last_out: Default::default(),
            forward: Default::default(),
            ready: Default::default(),
            data_ok: Default::default(),
            go: Default::default(),
            step: Default::default(),
            input_finished: Default::default(),
            output_finished: Default::default(),
            finish: Default::default(),
            data: Default::default(),
            shifted: Default::default(),
            prefix: Default::default(),
            prefix_now: Default::default(),
            out: Default::default(),
            keep: Default::default(),
            gap: Default::default(),
            bus_bytes: Constant::new((K as u64).into()),
            narrow: Constant::new(D == 256),
            body_mask: Constant::new(ones_from::<D>(8 * ethernet::HEADER_LEN)),
            body_mask_tagged: Constant::new(ones_from::<D>(8 * (ethernet::HEADER_LEN + ethernet::TAG_LEN))),
            left_shift: std::array::from_fn(|i| Constant::new(((8 * ADDED[i] % D) as u64).into())),
            right_shift: std::array::from_fn(|i| Constant::new(((D - 8 * ADDED[i] % D) as u64).into())),
            keep_ones: Constant::new(ones_from::<K>(0)),
            drop_bit: Constant::new(u64::from(Verdict::DROP_BIT).into()),
            wire_skid: Default::default(),
        }
    }
}

/// Bytes that the outer headers add: IPv4 and GRE, with a key; IPv6 and GRE, with a key.
const ADDED: [usize; 4] = [
    ipv4::HEADER_LEN + gre::HEADER_LEN,
    ipv4::HEADER_LEN + gre::HEADER_LEN + gre::KEY_LEN,
    ipv6::HEADER_LEN + gre::HEADER_LEN,
    ipv6::HEADER_LEN + gre::HEADER_LEN + gre::KEY_LEN,
];

// A prefix of up to 66 bytes has no more beats than the code below lays down, and none of them before 32 bytes.
const _: () = assert!(ADDED[1] < 32 && ADDED[2] > 32 && ADDED[3] < 64);

/// All ones from a bit position upwards.
fn ones_from<const N: usize>(position: usize) -> Bits<N> {
    let all: Bits<N> = Bits::<N>::mask();
    let shift: Bits<16> = (position as u64).into();
    all << shift
}

impl<const D: usize, const K: usize> Logic for Transmit<D, K> {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, started_reg, input_done_reg, left_reg, beat_reg, hold_reg);
        clock!(self, clock, queue, wire_skid);
        self.queue.reset.next = self.reset.val();
        self.wire_skid.reset.next = self.reset.val();
        AxisM::<D, K, 16>::link(&mut self.m_axis_wire, &mut self.wire_skid.m_axis);
        self.queue.din.next = self.s_egress.val();
        self.queue.push.next = self.s_valid.val();
        self.head.next = self.queue.dout.val();

        // Where in the frame we are.
        self.input_done.next = self.started_reg.q.val() & self.input_done_reg.q.val();
        self.left.next = self.head.val().out_length;
        if self.started_reg.q.val() {
            self.left.next = self.left_reg.q.val();
        }
        self.out_pending.next = self.left.val() != 0;
        self.last_out.next = self.left.val() <= self.bus_bytes.val();
        self.forward.next = self.head.val().verdict == 0;
        self.ready.next = self.m_axis_host.tready.val();
        if self.forward.val() {
            self.ready.next = self.wire_skid.s_axis.tready.val();
        }
        self.delayed.next = self.narrow.val() & (self.forward.val() & self.head.val().outer_v6);
        self.prefix_only.next = self.delayed.val() & (self.beat_reg.q.val() == 0);
        self.data_ok.next = self.beat_valid.val() | (self.input_done.val() | self.prefix_only.val());
        self.go.next = self.queue.valid.val() & self.data_ok.val();
        self.step.next = self.go.val() & (self.ready.val() | !self.out_pending.val());

        // The next input beat, if the frame has one, without its Ethernet header; and what the previous one left over.
        self.first_input.next = self.beat_reg.q.val() == bit_cast::<2, 1>(self.delayed.val().into());
        self.data.next = self.beat_data.val();
        if self.input_done.val() | self.prefix_only.val() {
            self.data.next = 0.into();
        } else if self.forward.val() & self.first_input.val() {
            if self.head.val().tagged {
                self.data.next = self.beat_data.val() & self.body_mask_tagged.val();
            } else {
                self.data.next = self.beat_data.val() & self.body_mask.val();
            }
        }
        self.hold.next = self.hold_reg.q.val();
        if self.beat_reg.q.val() == 0 {
            self.hold.next = 0.into();
        }
        self.shifted.next = self.data.val();
        if self.forward.val() {
            if self.head.val().outer_v6 & self.head.val().keyed {
                self.shifted.next =
                    (self.data.val() << self.left_shift[3].val()) | (self.hold.val() >> self.right_shift[3].val());
            } else if self.head.val().outer_v6 {
                self.shifted.next =
                    (self.data.val() << self.left_shift[2].val()) | (self.hold.val() >> self.right_shift[2].val());
            } else if self.head.val().keyed {
                self.shifted.next =
                    (self.data.val() << self.left_shift[1].val()) | (self.hold.val() >> self.right_shift[1].val());
            } else {
                self.shifted.next =
                    (self.data.val() << self.left_shift[0].val()) | (self.hold.val() >> self.right_shift[0].val());
            }
        }

        // The prefix lies over the first beats, where the input has been cleared.
        self.prefix.next = self.head.val().prefix;
        self.prefix_now.next = 0.into();
        if self.forward.val() {
            if self.beat_reg.q.val() == 0 {
                self.prefix_now.next = bit_cast::<D, 528>(self.prefix.val());
            } else if (self.beat_reg.q.val() == 1) & self.narrow.val() {
                self.prefix_now.next = bit_cast::<D, 256>(self.prefix.val().get_bits::<256>(256));
            } else if (self.beat_reg.q.val() == 1) | ((self.beat_reg.q.val() == 2) & self.narrow.val()) {
                self.prefix_now.next = bit_cast::<D, 16>(self.prefix.val().get_bits::<16>(512));
            }
        }
        self.out.next = self.shifted.val() | self.prefix_now.val();
        self.gap.next = self.bus_bytes.val() - self.left.val();
        self.keep.next = self.keep_ones.val();
        if self.last_out.val() & self.out_pending.val() {
            self.keep.next = self.keep_ones.val() >> self.gap.val();
        }

        // Output.
        self.wire_skid.s_axis.tvalid.next = (self.go.val() & self.out_pending.val()) & self.forward.val();
        self.wire_skid.s_axis.tdata.next = self.out.val();
        self.wire_skid.s_axis.tkeep.next = self.keep.val();
        self.wire_skid.s_axis.tlast.next = self.last_out.val();
        self.wire_skid.s_axis.tuser.next = self.head.val().out_length;
        self.m_axis_host.tvalid.next = (self.go.val() & self.out_pending.val()) & !self.forward.val();
        self.m_axis_host.tdata.next = self.out.val();
        self.m_axis_host.tkeep.next = self.keep.val();
        self.m_axis_host.tlast.next = self.last_out.val();
        self.m_axis_host.tuser.next =
            bit_cast::<24, 16>(self.head.val().out_length) | (bit_cast::<24, 5>(self.head.val().verdict) << 16);

        // Step on.
        self.beat_pop.next = self.step.val() & !(self.input_done.val() | self.prefix_only.val());
        self.left_next.next = 0.into();
        if self.out_pending.val() & !self.last_out.val() {
            self.left_next.next = self.left.val() - self.bus_bytes.val();
        }
        self.output_finished.next = self.left_next.val() == 0;
        self.input_finished.next = self.input_done.val() | (self.beat_last.val() & !self.prefix_only.val());
        self.finish.next = (self.step.val() & self.output_finished.val()) & self.input_finished.val();
        if self.step.val() {
            self.started_reg.d.next = true;
            self.left_reg.d.next = self.left_next.val();
            self.input_done_reg.d.next = self.input_finished.val();
            self.hold_reg.d.next = self.data.val();
            if self.beat_reg.q.val() != 3 {
                self.beat_reg.d.next = self.beat_reg.q.val() + 1;
            }
        }
        if self.finish.val() {
            self.started_reg.d.next = false;
            self.beat_reg.d.next = 0.into();
        }
        self.queue.pop.next = self.finish.val();
        self.done.next = self.finish.val();
        self.done_egress.next = self.head.val();
        if self.reset.val() {
            self.started_reg.d.next = false;
            self.beat_reg.d.next = 0.into();
        }
    }
}
