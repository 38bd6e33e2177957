//! Census: how many live flows each backend has, counted by the sweeper as it goes round.
//!
//! There are two banks. A round counts in one; the other holds what the round before has counted, and can be read at any
//! time. When a round ends the banks change places, and the next round waits until the older numbers are cleared.

use rust_hdl::prelude::*;

use crate::ram::Ram;

/// What the sweeper has found in a set.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Visit {
    /// The ways whose entries are live, when a set has been visited, else none.
    pub live: Bits<8>,
    /// Backend in way 0.
    pub backend0: Bits<16>,
    /// Backend in way 1.
    pub backend1: Bits<16>,
    /// Backend in way 2.
    pub backend2: Bits<16>,
    /// Backend in way 3.
    pub backend3: Bits<16>,
    /// Backend in way 4.
    pub backend4: Bits<16>,
    /// Backend in way 5.
    pub backend5: Bits<16>,
    /// Backend in way 6.
    pub backend6: Bits<16>,
    /// Backend in way 7.
    pub backend7: Bits<16>,
}

/// The numbers of one way, for 2^B backends: a way has at most 2^20 sets.
#[derive(LogicBlock, Default)]
pub struct Tally<const B: usize> {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Bank that counts: the second one. It changes only while nothing is counted.
    pub second: Signal<In, Bit>,
    /// A flow is counted.
    pub count: Signal<In, Bit>,
    /// Its backend.
    pub backend: Signal<In, Bits<B>>,
    /// A number of the bank that counts becomes 0.
    pub clear: Signal<In, Bit>,
    /// Whose.
    pub clear_backend: Signal<In, Bits<B>>,
    /// Backend to read.
    pub read_backend: Signal<In, Bits<B>>,
    /// Its number in the other bank, a clock later.
    pub read_data: Signal<Out, Bits<24>>,
    first: Ram<Bits<24>, B>,
    other: Ram<Bits<24>, B>,
    count_reg: DFF<Bit>,
    backend_reg: DFF<Bits<B>>,
    same_reg: DFF<Bit>,
    sum_reg: DFF<Bits<24>>,
    word: Signal<Local, Bits<24>>,
    sum: Signal<Local, Bits<24>>,
    write: Signal<Local, Bit>,
    waddr: Signal<Local, Bits<B>>,
    wdata: Signal<Local, Bits<24>>,
}

impl<const B: usize> Logic for Tally<B> {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, count_reg, backend_reg, same_reg, sum_reg);
        clock!(self, clock, first, other);
        // First clock: read. The memory yields old content of a word that is being written, so that is remembered.
        self.count_reg.d.next = self.count.val();
        self.backend_reg.d.next = self.backend.val();
        self.same_reg.d.next = self.count_reg.q.val() & (self.backend_reg.q.val() == self.backend.val());
        self.first.raddr.next = self.backend.val();
        self.other.raddr.next = self.read_backend.val();
        // Second clock: add and write.
        self.word.next = self.first.rdata.val();
        self.read_data.next = self.other.rdata.val();
        if self.second.val() {
            self.first.raddr.next = self.read_backend.val();
            self.other.raddr.next = self.backend.val();
            self.word.next = self.other.rdata.val();
            self.read_data.next = self.first.rdata.val();
        }
        if self.same_reg.q.val() {
            self.word.next = self.sum_reg.q.val();
        }
        self.sum.next = self.word.val() + 1;
        self.sum_reg.d.next = self.sum.val();
        self.write.next = self.count_reg.q.val() | self.clear.val();
        self.waddr.next = self.backend_reg.q.val();
        self.wdata.next = self.sum.val();
        if self.clear.val() {
            self.waddr.next = self.clear_backend.val();
            self.wdata.next = 0.into();
        }
        self.first.waddr.next = self.waddr.val();
        self.first.wdata.next = self.wdata.val();
        self.first.we.next = self.write.val() & !self.second.val();
        self.other.waddr.next = self.waddr.val();
        self.other.wdata.next = self.wdata.val();
        self.other.we.next = self.write.val() & self.second.val();
    }
}

/// Live flows of 2^B backends.
#[derive(LogicBlock, Default)]
pub struct Census<const B: usize> {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Synchronous reset, active high.
    pub reset: Signal<In, Bit>,
    /// What the sweeper finds.
    pub visit: Signal<In, Visit>,
    /// No round is under way.
    pub rests: Signal<In, Bit>,
    /// A round may begin.
    pub ready: Signal<Out, Bit>,
    /// Rounds that have been counted, modulo 2^16. A clock late: on the read port it is sampled a clock after the banks'
    /// words, and whoever reads it before and after those must not miss that they changed places between.
    pub rounds: Signal<Out, Bits<16>>,
    /// Backend to read.
    pub read_backend: Signal<In, Bits<B>>,
    /// Its live flows in the last complete round, three clocks later.
    pub read_data: Signal<Out, Bits<32>>,
    tally: [Tally<B>; 8],
    live: Signal<Local, Bits<8>>,
    second_reg: DFF<Bit>,
    counting_reg: DFF<Bit>,
    clear_reg: DFF<Bits<B>>,
    clear_next: Signal<Local, Bits<B>>,
    cleared_reg: DFF<Bit>,
    rounds_reg: DFF<Bits<16>>,
    rounds_late_reg: DFF<Bits<16>>,
    half_reg: [DFF<Bits<24>>; 4],
    sum_reg: DFF<Bits<24>>,
}

impl<const B: usize> Logic for Census<B> {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, second_reg, counting_reg, clear_reg, cleared_reg, rounds_reg, rounds_late_reg, sum_reg);
        for i in 0..8 {
            self.tally[i].clock.next = self.clock.val();
        }
        for i in 0..4 {
            self.half_reg[i].clock.next = self.clock.val();
        }
        self.live.next = self.visit.val().live;
        self.tally[0].backend.next = bit_cast::<B, 16>(self.visit.val().backend0);
        self.tally[1].backend.next = bit_cast::<B, 16>(self.visit.val().backend1);
        self.tally[2].backend.next = bit_cast::<B, 16>(self.visit.val().backend2);
        self.tally[3].backend.next = bit_cast::<B, 16>(self.visit.val().backend3);
        self.tally[4].backend.next = bit_cast::<B, 16>(self.visit.val().backend4);
        self.tally[5].backend.next = bit_cast::<B, 16>(self.visit.val().backend5);
        self.tally[6].backend.next = bit_cast::<B, 16>(self.visit.val().backend6);
        self.tally[7].backend.next = bit_cast::<B, 16>(self.visit.val().backend7);
        for i in 0..8 {
            self.tally[i].second.next = self.second_reg.q.val();
            self.tally[i].count.next = self.live.val().get_bit(i);
            self.tally[i].clear.next = !self.cleared_reg.q.val();
            self.tally[i].clear_backend.next = self.clear_reg.q.val();
            self.tally[i].read_backend.next = self.read_backend.val();
        }

        // A round has ended; the bank that it leaves behind must have been cleared before it began.
        self.clear_next.next = self.clear_reg.q.val() + 1;
        if !self.cleared_reg.q.val() {
            self.clear_reg.d.next = self.clear_next.val();
            self.cleared_reg.d.next = self.clear_next.val() == 0;
        }
        if !self.rests.val() {
            self.counting_reg.d.next = true;
        } else if self.counting_reg.q.val() & self.cleared_reg.q.val() {
            self.counting_reg.d.next = false;
            self.cleared_reg.d.next = false;
            self.second_reg.d.next = !self.second_reg.q.val();
            self.rounds_reg.d.next = self.rounds_reg.q.val() + 1;
        }
        self.ready.next = self.cleared_reg.q.val() & !self.counting_reg.q.val();
        self.rounds_late_reg.d.next = self.rounds_reg.q.val();
        self.rounds.next = self.rounds_late_reg.q.val();

        // Read: the sum over the ways.
        self.half_reg[0].d.next = self.tally[0].read_data.val() + self.tally[1].read_data.val();
        self.half_reg[1].d.next = self.tally[2].read_data.val() + self.tally[3].read_data.val();
        self.half_reg[2].d.next = self.tally[4].read_data.val() + self.tally[5].read_data.val();
        self.half_reg[3].d.next = self.tally[6].read_data.val() + self.tally[7].read_data.val();
        self.sum_reg.d.next = (self.half_reg[0].q.val() + self.half_reg[1].q.val())
            + (self.half_reg[2].q.val() + self.half_reg[3].q.val());
        self.read_data.next = bit_cast::<32, 24>(self.sum_reg.q.val());
        if self.reset.val() {
            self.counting_reg.d.next = false;
            self.clear_reg.d.next = 0.into();
            self.cleared_reg.d.next = false;
            self.second_reg.d.next = false;
            self.rounds_reg.d.next = 0.into();
        }
    }
}
