//! Prescaler: clocks to milliseconds to ticks, on a card that counts time itself.

use rust_hdl::prelude::*;

/// Says when a tick is due.
#[derive(LogicBlock, Default)]
pub struct Prescaler {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Synchronous reset, active high.
    pub reset: Signal<In, Bit>,
    /// Clocks per millisecond, at least 4; 0 stops the count.
    pub clocks_per_ms: Signal<In, Bits<20>>,
    /// Milliseconds per tick; 0 stops the count.
    pub tick_ms: Signal<In, Bits<32>>,
    /// A tick is due, for one clock.
    pub due: Signal<Out, Bit>,
    runs_reg: DFF<Bit>,
    clocks_reg: DFF<Bits<20>>,
    end_reg: DFF<Bit>,
    // Milliseconds in two halves, the upper one a clock behind: 32 bits are too long a carry.
    low_reg: DFF<Bits<16>>,
    high_reg: DFF<Bits<16>>,
    carry_reg: DFF<Bit>,
    reached_reg: DFF<Bit>,
    reload: Signal<Local, Bits<20>>,
    reached: Signal<Local, Bit>,
}

impl Logic for Prescaler {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, runs_reg, clocks_reg, end_reg, low_reg, high_reg, carry_reg, reached_reg);
        self.runs_reg.d.next = (self.clocks_per_ms.val() != 0) & (self.tick_ms.val() != 0);
        self.reload.next = self.clocks_per_ms.val() - 1;
        self.clocks_reg.d.next = self.clocks_reg.q.val() - 1;
        self.end_reg.d.next = self.clocks_reg.q.val() == 1;
        self.carry_reg.d.next = false;
        if self.end_reg.q.val() {
            self.clocks_reg.d.next = self.reload.val();
            self.low_reg.d.next = self.low_reg.q.val() + 1;
            self.carry_reg.d.next = self.low_reg.q.val() == 0xFFFF;
        }
        if self.carry_reg.q.val() {
            self.high_reg.d.next = self.high_reg.q.val() + 1;
        }
        self.reached.next = (self.low_reg.q.val() == self.tick_ms.val().get_bits::<16>(0))
            & (self.high_reg.q.val() == self.tick_ms.val().get_bits::<16>(16));
        self.reached_reg.d.next = self.reached.val() & !self.reached_reg.q.val();
        self.due.next = self.reached_reg.q.val();
        if (self.reset.val() | self.reached_reg.q.val()) | !self.runs_reg.q.val() {
            self.low_reg.d.next = 0.into();
            self.high_reg.d.next = 0.into();
            self.carry_reg.d.next = false;
        }
        if self.reset.val() | !self.runs_reg.q.val() {
            self.clocks_reg.d.next = self.reload.val();
            self.end_reg.d.next = false;
            self.reached_reg.d.next = false;
        }
    }
}
