//! Tick and sweeper: moves the tick, and clears what is not live, a set in every clock that no frame needs.
//!
//! Ages are counted modulo 64 and timeouts are at most 62, so an entry must be cleared in the one tick in which its age
//! has passed its timeout and not yet wrapped. So the tick moves only after the sweeper has gone round. A step of
//! several ticks at once, with a replay, is a round under limits that are lower by as many, without any frame
//! in the flow table; after reset a step of 64 clears the memory.
//!
//! New timeouts hold from the next step of the tick on, or from a tick that is set with them: in mid-round, longer ones
//! would revive what is yet to be cleared.

use rust_hdl::prelude::*;

/// Greatest ages at which entries are live, by state.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Limits {
    /// Of new entries.
    pub fresh: Bits<6>,
    /// No new entry is live.
    pub no_fresh: Bit,
    /// Of established entries.
    pub established: Bits<6>,
    /// No established entry is live.
    pub no_established: Bit,
    /// Of closing entries.
    pub closing: Bits<6>,
    /// No closing entry is live.
    pub no_closing: Bit,
}

/// Timeouts by state, in ticks, at most 62.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Timeouts {
    /// Of new entries.
    pub fresh: Bits<6>,
    /// Of established entries.
    pub established: Bits<6>,
    /// Of closing entries.
    pub closing: Bits<6>,
}

/// The tick and the sweeper of 2^F sets.
#[derive(LogicBlock, Default)]
pub struct Sweeper<const F: usize> {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Synchronous reset, active high: the tick becomes 0, and all sets are cleared.
    pub reset: Signal<In, Bit>,
    /// Timeouts, as the next step takes them over.
    pub timeouts: Signal<In, Timeouts>,
    /// Sets the tick, and starts a round.
    pub set: Signal<In, Bit>,
    /// The tick that is set.
    pub set_tick: Signal<In, Bits<6>>,
    /// The round that it starts takes the timeouts over, as a step does.
    pub set_timeouts: Signal<In, Bit>,
    /// Ticks to step by, or 0; from 64 on, 64 + ticks modulo 64. To be held until `stepped`.
    pub step: Signal<In, Bits<7>>,
    /// A round may begin: what the last one has counted is put away. While it may not, `set` is lost.
    pub may_start: Signal<In, Bit>,
    /// No frame is in the flow table, and none enters before `stepped`.
    pub idle: Signal<In, Bit>,
    /// The step is done, and frames may enter.
    pub stepped: Signal<Out, Bit>,
    /// A frame or the read port uses this clock.
    pub busy: Signal<In, Bit>,
    /// This clock sweeps a set.
    pub sweep: Signal<Out, Bit>,
    /// The set.
    pub sweep_set: Signal<Out, Bits<F>>,
    /// The tick.
    pub tick: Signal<Out, Bits<6>>,
    /// Greatest ages of live entries.
    pub limits: Signal<Out, Limits>,
    /// The sweeper has gone round in this tick.
    pub rests: Signal<Out, Bit>,
    /// The memory has been cleared after reset.
    pub ready: Signal<Out, Bit>,
    tick_reg: DFF<Bits<6>>,
    // Ticks that the round under way steps by: 0 is a round after a step by one.
    stride_reg: DFF<Bits<7>>,
    timeouts_reg: DFF<Timeouts>,
    limits_reg: DFF<Limits>,
    rests_reg: DFF<Bit>,
    ready_reg: DFF<Bit>,
    stepped_reg: DFF<Bit>,
    issuing_reg: DFF<Bit>,
    set_reg: DFF<Bits<F>>,
    set_next: Signal<Local, Bits<F>>,
    wait_reg: DFF<Bits<4>>,
    fresh: Signal<Local, Bits<7>>,
    established: Signal<Local, Bits<7>>,
    closing: Signal<Local, Bits<7>>,
    fresh_left: Signal<Local, Bits<7>>,
    established_left: Signal<Local, Bits<7>>,
    closing_left: Signal<Local, Bits<7>>,
    start: Signal<Local, Bit>,
}

impl<const F: usize> Logic for Sweeper<F> {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
            tick_reg,
            stride_reg,
            timeouts_reg,
            limits_reg,
            rests_reg,
            ready_reg,
            stepped_reg,
            issuing_reg,
            set_reg,
            wait_reg
        );
        // Limits: timeout less stride. A difference below zero has its highest bit set, when the stride is below 64; a
        // longer one leaves nothing.
        self.fresh.next = bit_cast::<7, 6>(self.timeouts_reg.q.val().fresh);
        self.established.next = bit_cast::<7, 6>(self.timeouts_reg.q.val().established);
        self.closing.next = bit_cast::<7, 6>(self.timeouts_reg.q.val().closing);
        self.fresh_left.next = self.fresh.val() - self.stride_reg.q.val();
        self.established_left.next = self.established.val() - self.stride_reg.q.val();
        self.closing_left.next = self.closing.val() - self.stride_reg.q.val();
        self.limits_reg.d.next.fresh = self.fresh_left.val().get_bits::<6>(0);
        self.limits_reg.d.next.no_fresh = self.fresh_left.val().get_bit(6) | self.stride_reg.q.val().get_bit(6);
        self.limits_reg.d.next.established = self.established_left.val().get_bits::<6>(0);
        self.limits_reg.d.next.no_established =
            self.established_left.val().get_bit(6) | self.stride_reg.q.val().get_bit(6);
        self.limits_reg.d.next.closing = self.closing_left.val().get_bits::<6>(0);
        self.limits_reg.d.next.no_closing = self.closing_left.val().get_bit(6) | self.stride_reg.q.val().get_bit(6);
        self.limits.next = self.limits_reg.q.val();

        // A round: a pause in which the limits settle, all sets, a pause in which the last one is written.
        self.start.next = false;
        self.stepped_reg.d.next = false;
        self.set_next.next = self.set_reg.q.val() + 1;
        self.sweep.next = false;
        if self.issuing_reg.q.val() {
            if self.wait_reg.q.val() != 0 {
                self.wait_reg.d.next = self.wait_reg.q.val() - 1;
            } else if !self.busy.val() {
                self.sweep.next = true;
                self.set_reg.d.next = self.set_next.val();
                if self.set_next.val() == 0 {
                    self.issuing_reg.d.next = false;
                    self.wait_reg.d.next = 12.into();
                }
            }
        } else if !self.rests_reg.q.val() {
            self.wait_reg.d.next = self.wait_reg.q.val() - 1;
            if self.wait_reg.q.val() == 0 {
                self.wait_reg.d.next = 0.into();
                self.rests_reg.d.next = true;
                self.ready_reg.d.next = true;
                self.stride_reg.d.next = 0.into();
                if self.stride_reg.q.val() != 0 {
                    self.tick_reg.d.next = self.tick_reg.q.val() + self.stride_reg.q.val().get_bits::<6>(0);
                    self.stepped_reg.d.next = self.ready_reg.q.val();
                }
            }
        } else if self.set.val() & self.may_start.val() {
            self.tick_reg.d.next = self.set_tick.val();
            if self.set_timeouts.val() {
                self.timeouts_reg.d.next = self.timeouts.val();
            }
            self.start.next = true;
        } else if ((self.step.val() != 0) & self.idle.val()) & (self.may_start.val() & !self.stepped_reg.q.val()) {
            self.start.next = true;
            self.timeouts_reg.d.next = self.timeouts.val();
            if self.step.val() == 1 {
                self.tick_reg.d.next = self.tick_reg.q.val() + 1;
                self.stepped_reg.d.next = true;
            } else {
                self.stride_reg.d.next = self.step.val();
            }
        }
        if self.start.val() {
            self.rests_reg.d.next = false;
            self.issuing_reg.d.next = true;
            self.wait_reg.d.next = 2.into();
            self.set_reg.d.next = 0.into();
        }
        self.sweep_set.next = self.set_reg.q.val();
        self.tick.next = self.tick_reg.q.val();
        self.stepped.next = self.stepped_reg.q.val();
        self.rests.next = self.rests_reg.q.val();
        self.ready.next = self.ready_reg.q.val();
        if self.reset.val() {
            self.tick_reg.d.next = 0.into();
            self.stride_reg.d.next = 64.into();
            self.timeouts_reg.d.next.fresh = 0.into();
            self.timeouts_reg.d.next.established = 0.into();
            self.timeouts_reg.d.next.closing = 0.into();
            self.rests_reg.d.next = false;
            self.ready_reg.d.next = false;
            self.stepped_reg.d.next = false;
            self.issuing_reg.d.next = true;
            self.wait_reg.d.next = 2.into();
            self.set_reg.d.next = 0.into();
        }
    }
}
