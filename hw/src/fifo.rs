//! A queue of 2^A words whose head is visible before it is taken (first word fall-through).

use rust_hdl::prelude::*;

use crate::ram::Ram;

/// First-in first-out queue in a [`Ram`]. A word is visible two clocks after it was pushed. Pushing into a full queue
/// loses the word: whoever pushes looks at `full` or holds a credit.
#[derive(LogicBlock, Default)]
pub struct Fifo<T: Synth, const A: usize> {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Synchronous reset, active high.
    pub reset: Signal<In, Bit>,
    /// What is pushed.
    pub din: Signal<In, T>,
    /// Push.
    pub push: Signal<In, Bit>,
    /// No room.
    pub full: Signal<Out, Bit>,
    /// The head, when `valid`.
    pub dout: Signal<Out, T>,
    /// There is a head.
    pub valid: Signal<Out, Bit>,
    /// Take the head; ignored when there is none.
    pub pop: Signal<In, Bit>,
    write_reg: DFF<Bits<A>>,
    read_reg: DFF<Bits<A>>,
    valid_reg: DFF<Bit>,
    full_reg: DFF<Bit>,
    // Pointers are counted ahead, so that no addition stands before a comparison.
    write_ahead_reg: [DFF<Bits<A>>; 2],
    read_ahead_reg: DFF<Bits<A>>,
    write_after: Signal<Local, Bits<A>>,
    read_next: Signal<Local, Bits<A>>,
    pushed: Signal<Local, Bit>,
    ram: Ram<T, A>,
}

impl<T: Synth, const A: usize> Logic for Fifo<T, A> {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, write_reg, read_reg, read_ahead_reg, valid_reg, full_reg);
        clock!(self, clock, ram);
        for i in 0..2 {
            self.write_ahead_reg[i].clock.next = self.clock.val();
            self.write_ahead_reg[i].d.next = self.write_ahead_reg[i].q.val();
        }
        self.read_next.next = self.read_reg.q.val();
        if self.pop.val() & self.valid_reg.q.val() {
            self.read_next.next = self.read_ahead_reg.q.val();
            self.read_ahead_reg.d.next = self.read_ahead_reg.q.val() + 1;
        }
        self.read_reg.d.next = self.read_next.val();
        self.write_after.next = self.write_ahead_reg[0].q.val();
        self.pushed.next = self.push.val() & !self.full_reg.q.val();
        if self.pushed.val() {
            self.write_after.next = self.write_ahead_reg[1].q.val();
            self.write_reg.d.next = self.write_ahead_reg[0].q.val();
            self.write_ahead_reg[0].d.next = self.write_ahead_reg[1].q.val();
            self.write_ahead_reg[1].d.next = self.write_ahead_reg[1].q.val() + 1;
        }
        // Against the pointer before this clock's push: the memory yields old content while it is written.
        self.valid_reg.d.next = self.write_reg.q.val() != self.read_next.val();
        // One location stays free, so that equal pointers mean empty.
        self.full_reg.d.next = self.write_after.val() == self.read_next.val();
        self.ram.raddr.next = self.read_next.val();
        self.ram.waddr.next = self.write_reg.q.val();
        self.ram.wdata.next = self.din.val();
        self.ram.we.next = self.pushed.val();
        self.dout.next = self.ram.rdata.val();
        self.valid.next = self.valid_reg.q.val();
        self.full.next = self.full_reg.q.val();
        if self.reset.val() {
            self.write_reg.d.next = 0.into();
            self.read_reg.d.next = 0.into();
            self.write_ahead_reg[0].d.next = 1.into();
            self.write_ahead_reg[1].d.next = 2.into();
            self.read_ahead_reg.d.next = 1.into();
            self.valid_reg.d.next = false;
            self.full_reg.d.next = false;
        }
    }
}
