//! Counters in memory: 64 bits each, an event a clock, none lost.

use rust_hdl::prelude::*;

use crate::ram::Ram;

/// Half of 2^A counters: 32 bits each, with the carry handed on. Two in a row make counters of 64 bits.
///
/// An event reads its word, adds and writes back in the next clock; what the event before it has just written is
/// forwarded. After reset all words are cleared, one a clock; `ready` tells when that is done.
#[derive(LogicBlock, Default)]
pub struct CounterHalf<const A: usize> {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Synchronous reset, active high: clears all words.
    pub reset: Signal<In, Bit>,
    /// An event.
    pub add: Signal<In, Bit>,
    /// Which counter it concerns.
    pub index: Signal<In, Bits<A>>,
    /// What it adds.
    pub amount: Signal<In, Bits<16>>,
    /// The event for the upper half: the same counter, a clock later.
    pub carry_add: Signal<Out, Bit>,
    /// Which counter it concerns.
    pub carry_index: Signal<Out, Bits<A>>,
    /// What it adds: the carry.
    pub carry_amount: Signal<Out, Bits<16>>,
    /// Word to read; its content follows a clock later, provided that there is no event in this clock.
    pub read_index: Signal<In, Bits<A>>,
    /// The word.
    pub read_data: Signal<Out, Bits<32>>,
    /// All words have been cleared.
    pub ready: Signal<Out, Bit>,
    ram: Ram<Bits<32>, A>,
    add_reg: DFF<Bit>,
    index_reg: DFF<Bits<A>>,
    amount_reg: DFF<Bits<16>>,
    sum_reg: DFF<Bits<32>>,
    sum_index_reg: DFF<Bits<A>>,
    sum_add_reg: DFF<Bit>,
    carry_reg: DFF<Bit>,
    carry_index_reg: DFF<Bits<A>>,
    word: Signal<Local, Bits<32>>,
    low: Signal<Local, Bits<17>>,
    high: Signal<Local, Bits<17>>,
    sum: Signal<Local, Bits<32>>,
    clear_reg: DFF<Bits<A>>,
    cleared_reg: DFF<Bit>,
    clear_next: Signal<Local, Bits<A>>,
}

impl<const A: usize> CounterHalf<A> {
    fn backdoor(&mut self, index: usize, half: u64) {
        self.ram.backdoor(index, (half & 0xffff_ffff).into());
    }
}

impl<const A: usize> Logic for CounterHalf<A> {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
            add_reg,
            index_reg,
            amount_reg,
            sum_reg,
            sum_index_reg,
            sum_add_reg,
            carry_reg,
            carry_index_reg,
            clear_reg,
            cleared_reg
        );
        clock!(self, clock, ram);
        // First clock: read.
        self.add_reg.d.next = self.add.val();
        self.index_reg.d.next = self.index.val();
        self.amount_reg.d.next = self.amount.val();
        self.ram.raddr.next = self.read_index.val();
        if self.add.val() {
            self.ram.raddr.next = self.index.val();
        }
        // Second clock: add and write. The memory yields old content of a word that was written in the first clock.
        self.word.next = self.ram.rdata.val();
        if self.sum_add_reg.q.val() & (self.sum_index_reg.q.val() == self.index_reg.q.val()) {
            self.word.next = self.sum_reg.q.val();
        }
        self.low.next =
            bit_cast::<17, 16>(self.word.val().get_bits::<16>(0)) + bit_cast::<17, 16>(self.amount_reg.q.val());
        self.high.next = bit_cast::<17, 16>(self.word.val().get_bits::<16>(16))
            + bit_cast::<17, 1>(self.low.val().get_bits::<1>(16));
        self.sum.next = bit_cast::<32, 16>(self.low.val().get_bits::<16>(0))
            | (bit_cast::<32, 16>(self.high.val().get_bits::<16>(0)) << 16);
        self.sum_reg.d.next = self.sum.val();
        self.sum_index_reg.d.next = self.index_reg.q.val();
        self.sum_add_reg.d.next = self.add_reg.q.val();
        self.carry_reg.d.next = self.add_reg.q.val() & self.high.val().get_bit(16);
        self.carry_index_reg.d.next = self.index_reg.q.val();
        self.carry_add.next = self.carry_reg.q.val();
        self.carry_index.next = self.carry_index_reg.q.val();
        self.carry_amount.next = 1.into();
        self.read_data.next = self.ram.rdata.val();
        self.ram.waddr.next = self.index_reg.q.val();
        self.ram.wdata.next = self.sum.val();
        self.ram.we.next = self.add_reg.q.val();
        // Clearing.
        self.clear_next.next = self.clear_reg.q.val() + 1;
        self.ready.next = self.cleared_reg.q.val();
        if !self.cleared_reg.q.val() {
            self.ram.waddr.next = self.clear_reg.q.val();
            self.ram.wdata.next = 0.into();
            self.ram.we.next = true;
            self.clear_reg.d.next = self.clear_next.val();
            if self.clear_next.val() == 0 {
                self.cleared_reg.d.next = true;
            }
        }
        if self.reset.val() {
            self.add_reg.d.next = false;
            self.sum_add_reg.d.next = false;
            self.carry_reg.d.next = false;
            self.clear_reg.d.next = 0.into();
            self.cleared_reg.d.next = false;
        }
    }
}

/// A pair of counters.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Counted {
    /// Packets, low half.
    pub packets_low: Bits<32>,
    /// Packets, high half.
    pub packets_high: Bits<32>,
    /// Bytes, low half.
    pub bytes_low: Bits<32>,
    /// Bytes, high half.
    pub bytes_high: Bits<32>,
}

/// 2^A pairs of counters: packets and bytes, 64 bits each.
#[derive(LogicBlock, Default)]
pub struct CounterSet<const A: usize> {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Synchronous reset, active high: clears all counters.
    pub reset: Signal<In, Bit>,
    /// A frame is counted.
    pub add: Signal<In, Bit>,
    /// Where.
    pub index: Signal<In, Bits<A>>,
    /// Its bytes.
    pub length: Signal<In, Bits<16>>,
    /// Pair to read, in a clock in which nothing is counted.
    pub read_index: Signal<In, Bits<A>>,
    /// Its packets and bytes of that moment, three clocks later.
    pub counted: Signal<Out, Counted>,
    /// All counters have been cleared.
    pub ready: Signal<Out, Bit>,
    packets_low: CounterHalf<A>,
    packets_high: CounterHalf<A>,
    bytes_low: CounterHalf<A>,
    bytes_high: CounterHalf<A>,
    read_index_reg: [DFF<Bits<A>>; 2],
    packets_low_reg: [DFF<Bits<32>>; 2],
    bytes_low_reg: [DFF<Bits<32>>; 2],
}

impl<const A: usize> CounterSet<A> {
    /// Sets packets and bytes of a pair, for simulations that do not count up to where they begin.
    pub fn backdoor(&mut self, index: usize, [packets, bytes]: [u64; 2]) {
        self.packets_low.backdoor(index, packets);
        self.packets_high.backdoor(index, packets >> 32);
        self.bytes_low.backdoor(index, bytes);
        self.bytes_high.backdoor(index, bytes >> 32);
    }
}

impl<const A: usize> Logic for CounterSet<A> {
    #[hdl_gen]
    fn update(&mut self) {
        clock!(self, clock, packets_low, packets_high, bytes_low, bytes_high);
        for i in 0..2 {
            self.read_index_reg[i].clock.next = self.clock.val();
            self.packets_low_reg[i].clock.next = self.clock.val();
            self.bytes_low_reg[i].clock.next = self.clock.val();
        }
        self.packets_low.reset.next = self.reset.val();
        self.packets_high.reset.next = self.reset.val();
        self.bytes_low.reset.next = self.reset.val();
        self.bytes_high.reset.next = self.reset.val();
        self.packets_low.add.next = self.add.val();
        self.packets_low.index.next = self.index.val();
        self.packets_low.amount.next = 1.into();
        self.packets_high.add.next = self.packets_low.carry_add.val();
        self.packets_high.index.next = self.packets_low.carry_index.val();
        self.packets_high.amount.next = self.packets_low.carry_amount.val();
        self.bytes_low.add.next = self.add.val();
        self.bytes_low.index.next = self.index.val();
        self.bytes_low.amount.next = self.length.val();
        self.bytes_high.add.next = self.bytes_low.carry_add.val();
        self.bytes_high.index.next = self.bytes_low.carry_index.val();
        self.bytes_high.amount.next = self.bytes_low.carry_amount.val();
        self.packets_low.read_index.next = self.read_index.val();
        self.bytes_low.read_index.next = self.read_index.val();
        // A carry is counted two clocks after its event, so two clocks later the high halves are of the same moment. Nothing
        // was counted then, so no carry is in the way.
        self.read_index_reg[0].d.next = self.read_index.val();
        self.read_index_reg[1].d.next = self.read_index_reg[0].q.val();
        self.packets_high.read_index.next = self.read_index_reg[1].q.val();
        self.bytes_high.read_index.next = self.read_index_reg[1].q.val();
        self.packets_low_reg[0].d.next = self.packets_low.read_data.val();
        self.packets_low_reg[1].d.next = self.packets_low_reg[0].q.val();
        self.bytes_low_reg[0].d.next = self.bytes_low.read_data.val();
        self.bytes_low_reg[1].d.next = self.bytes_low_reg[0].q.val();
        self.counted.next.packets_low = self.packets_low_reg[1].q.val();
        self.counted.next.packets_high = self.packets_high.read_data.val();
        self.counted.next.bytes_low = self.bytes_low_reg[1].q.val();
        self.counted.next.bytes_high = self.bytes_high.read_data.val();
        self.ready.next = self.packets_low.ready.val() & self.bytes_low.ready.val();
    }
}
