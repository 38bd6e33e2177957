//! Lookup table: what a service answers for a flow that has no backend yet.
//!
//! By hash, by the less loaded of two candidates, or in turn. Every frame has two clocks, so both candidates share one
//! multiplier pair and one memory. Latency: fourteen clocks.

use maglane_spec::limit::NO_BACKEND;
use maglane_spec::window;
use rust_hdl::prelude::*;

use crate::flow_table::Pick;
use crate::flow_table::way::Attributes;
use crate::ram::{Ram, SidedRam};

// The slices of backend words follow the row's layout; a change there must stop the build here.
const _: () = {
    use maglane_spec::row::BackendRow;
    assert!(BackendRow::SERVICE_OFFSET == 24 && BackendRow::STATE_OFFSET == 27 && BackendRow::LOAD_OFFSET == 28);
    assert!(BackendRow::STATE_DRAINING == 1 && BackendRow::STATE_UP == 2);
};

/// A question to the lookup table.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Question {
    /// High half of g.
    pub high: Bits<32>,
    /// Low half of g.
    pub low: Bits<32>,
    /// First entry of the slice.
    pub base: Bits<24>,
    /// Entries of the slice.
    pub size: Bits<16>,
    /// Two candidates.
    pub two_choice: Bit,
    /// In turn.
    pub sequence: Bit,
}

/// One of the candidates.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Candidate {
    nobody: Bit,
    backend: Bits<16>,
    service: Bits<16>,
    takes: Bit,
    load: Bits<8>,
}

/// The lookup table, for 2^S services, with 2^L words of two entries a side, and 2^B backends.
#[derive(LogicBlock)]
pub struct Lookup<const S: usize, const L: usize, const B: usize> {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Address on the port; see [`window`].
    pub port_address: Signal<In, Bits<32>>,
    /// Word on the port.
    pub write_data: Signal<In, Bits<32>>,
    /// Write enable of the port.
    pub write_enable: Signal<In, Bit>,
    /// Side of the tables that serves.
    pub side: Signal<In, Bit>,
    /// A question, clock 0; not in two clocks in a row, and none in turn before the turn of the one ahead has moved.
    pub s_valid: Signal<In, Bit>,
    /// The question.
    pub s_question: Signal<In, Question>,
    /// Its service, modulo the services.
    pub s_service: Signal<In, Bits<S>>,
    /// The answer, clock 14.
    pub pick: Signal<Out, Pick>,
    /// The last question in turn was answered for a flow that had no backend: its turn moves.
    pub advance: Signal<In, Bit>,
    /// The service whose turn moves or is cleared.
    pub turn_service: Signal<In, Bits<S>>,
    /// Clears the turn.
    pub turn_clear: Signal<In, Bit>,
    /// Writes the turn.
    pub turn_load: Signal<In, Bit>,
    /// Service whose turn is read, in a clock without a question.
    pub read_service: Signal<In, Bits<S>>,
    /// Its turn, a clock later.
    pub read_turn: Signal<Out, Bits<16>>,
    /// Two staged entries at the address on the port, a clock later.
    pub staged_entries: Signal<Out, Bits<32>>,
    /// Staged attributes of the backend there, a clock later.
    pub staged_attributes: Signal<Out, Attributes>,
    /// Its staged load, a clock later.
    pub staged_load: Signal<Out, Bits<8>>,
    /// Attributes of a backend that are being written, for their copies elsewhere.
    pub attributes_wdata: Signal<Out, Attributes>,
    /// The backend.
    pub attributes_waddr: Signal<Out, Bits<B>>,
    /// Write enable.
    pub attributes_we: Signal<Out, Bit>,
    /// Lookup memory, two entries a word.
    pub entries: SidedRam<Bits<32>, L>,
    /// Attributes of the backends.
    pub attributes: SidedRam<Attributes, B>,
    /// Loads of the backends.
    pub loads: SidedRam<Bits<8>, B>,
    turns: Ram<Bits<16>, S>,
    write_region: Signal<Local, Bits<4>>,
    write_word: Signal<Local, Bits<3>>,
    to_backend: Signal<Local, Bit>,
    written: Signal<Local, Attributes>,
    state: Signal<Local, Bits<8>>,
    asking: Signal<Local, Question>,
    operand_reg: DFF<Bits<32>>,
    size_reg: DFF<Bits<16>>,
    second_reg: DFF<Bits<32>>,
    product_high_reg: [DFF<Bits<32>>; 2],
    product_low_reg: [DFF<Bits<32>>; 2],
    low_sum: Signal<Local, Bits<17>>,
    carry_reg: DFF<Bit>,
    upper_reg: DFF<Bits<16>>,
    scaled: Signal<Local, Bits<16>>,
    sequence_reg: DFF<Bits<6>>,
    turn: Signal<Local, Bits<16>>,
    turn_reg: DFF<Bits<16>>,
    turn_next_reg: DFF<Bits<16>>,
    index_reg: [DFF<Bits<16>>; 2],
    base_reg: [DFF<Bits<24>>; 6],
    address_low: Signal<Local, Bits<13>>,
    address_low_reg: DFF<Bits<13>>,
    address_high: Signal<Local, Bits<12>>,
    address_reg: DFF<Bits<24>>,
    odd_reg: [DFF<Bit>; 2],
    word_reg: DFF<Bits<32>>,
    entry_reg: [DFF<Bits<16>>; 2],
    candidate_reg: [DFF<Candidate>; 2],
    two_choice_reg: DFF<Bits<13>>,
    second_better: Signal<Local, Bit>,
    candidate: Signal<Local, Candidate>,
    candidate_now: Signal<Local, Candidate>,
    found: Signal<Local, Attributes>,
    pick_reg: DFF<Pick>,
    region_lookup: Constant<Bits<4>>,
    region_backend: Constant<Bits<4>>,
    nobody: Constant<Bits<16>>,
}

impl<const S: usize, const L: usize, const B: usize> Default for Lookup<S, L, B> {
    fn default() -> Self {
        Self {
            clock: Default::default(),
            port_address: Default::default(),
            write_data: Default::default(),
            write_enable: Default::default(),
            side: Default::default(),
            s_valid: Default::default(),
            s_question: Default::default(),
            s_service: Default::default(),
            pick: Default::default(),
            advance: Default::default(),
            turn_service: Default::default(),
            turn_clear: Default::default(),
            turn_load: Default::default(),
            read_service: Default::default(),
            read_turn: Default::default(),
            staged_entries: Default::default(),
            staged_attributes: Default::default(),
            staged_load: Default::default(),
            attributes_wdata: Default::default(),
            attributes_waddr: Default::default(),
            attributes_we: Default::default(),
            entries: Default::default(),
            attributes: Default::default(),
            loads: Default::default(),
            turns: Default::default(),
            write_region: Default::default(),
            write_word: Default::default(),
            to_backend: Default::default(),
            written: Default::default(),
            state: Default::default(),
            asking: Default::default(),
            operand_reg: Default::default(),
            size_reg: Default::default(),
            second_reg: Default::default(),
            product_high_reg: std::array::from_fn(|_| Default::default()),
            product_low_reg: std::array::from_fn(|_| Default::default()),
            low_sum: Default::default(),
            carry_reg: Default::default(),
            upper_reg: Default::default(),
            scaled: Default::default(),
            sequence_reg: Default::default(),
            turn: Default::default(),
            turn_reg: Default::default(),
            turn_next_reg: Default::default(),
            index_reg: std::array::from_fn(|_| Default::default()),
            base_reg: std::array::from_fn(|_| Default::default()),
            address_low: Default::default(),
            address_low_reg: Default::default(),
            address_high: Default::default(),
            address_reg: Default::default(),
            odd_reg: std::array::from_fn(|_| Default::default()),
            word_reg: Default::default(),
            entry_reg: std::array::from_fn(|_| Default::default()),
            candidate_reg: std::array::from_fn(|_| Default::default()),
            two_choice_reg: Default::default(),
            second_better: Default::default(),
            candidate: Default::default(),
            candidate_now: Default::default(),
            found: Default::default(),
            pick_reg: Default::default(),
            region_lookup: Constant::new(u64::from(window::LOOKUP).into()),
            region_backend: Constant::new(u64::from(window::BACKEND).into()),
            nobody: Constant::new(u64::from(NO_BACKEND).into()),
        }
    }
}

impl<const S: usize, const L: usize, const B: usize> Lookup<S, L, B> {
    /// Plants a fault of [`maglane_spec::Stage::Select`]: another entry than all ones means nobody.
    pub fn plant_fault(&mut self) {
        self.nobody = Constant::new(0_u64.into());
    }

    /// The turn of a service, for simulations in which the read port is not under test.
    #[must_use]
    pub fn turn(&self, service: usize) -> u16 {
        self.turns.word(service).to_u16()
    }
}

impl<const S: usize, const L: usize, const B: usize> Logic for Lookup<S, L, B> {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
            operand_reg,
            size_reg,
            second_reg,
            carry_reg,
            upper_reg,
            sequence_reg,
            turn_reg,
            turn_next_reg,
            address_low_reg,
            address_reg,
            word_reg,
            two_choice_reg,
            pick_reg
        );
        clock!(self, clock, entries, attributes, loads, turns);
        for i in 0..2 {
            self.product_high_reg[i].clock.next = self.clock.val();
            self.product_low_reg[i].clock.next = self.clock.val();
            self.index_reg[i].clock.next = self.clock.val();
            self.odd_reg[i].clock.next = self.clock.val();
            self.entry_reg[i].clock.next = self.clock.val();
            self.candidate_reg[i].clock.next = self.clock.val();
        }
        for i in 0..6 {
            self.base_reg[i].clock.next = self.clock.val();
        }

        self.entries.side.next = self.side.val();
        self.attributes.side.next = self.side.val();
        self.loads.side.next = self.side.val();

        // Table port.
        self.write_region.next = self.port_address.val().get_bits::<4>(28);
        self.write_word.next = self.port_address.val().get_bits::<3>(0);
        self.entries.waddr.next = self.port_address.val().get_bits::<L>(0);
        self.entries.wdata.next = self.write_data.val();
        self.entries.we.next = self.write_enable.val() & (self.write_region.val() == self.region_lookup.val());
        self.to_backend.next = self.write_enable.val() & (self.write_region.val() == self.region_backend.val());
        self.state.next = self.write_data.val().get_bits::<8>(24);
        self.written.next.service = self.write_data.val().get_bits::<16>(0);
        self.written.next.takes = (self.state.val() == 1) | (self.state.val() == 2);
        self.attributes.waddr.next = self.port_address.val().get_bits::<B>(3);
        self.attributes.wdata.next = self.written.val();
        self.attributes.we.next = self.to_backend.val() & (self.write_word.val() == 6);
        self.attributes_waddr.next = self.port_address.val().get_bits::<B>(3);
        self.attributes_wdata.next = self.written.val();
        self.attributes_we.next = self.to_backend.val() & (self.write_word.val() == 6);
        self.loads.waddr.next = self.port_address.val().get_bits::<B>(3);
        self.loads.wdata.next = self.write_data.val().get_bits::<8>(0);
        self.loads.we.next = self.to_backend.val() & (self.write_word.val() == 7);

        self.staged_entries.next = self.entries.staged.val();
        self.staged_attributes.next = self.attributes.staged.val();
        self.staged_load.next = self.loads.staged.val();

        // Clock 0: operands; the second candidate's follow a clock later. The turn is read.
        self.asking.next = self.s_question.val();
        self.operand_reg.d.next = self.second_reg.q.val();
        if self.s_valid.val() {
            self.operand_reg.d.next = self.asking.val().high;
            self.second_reg.d.next = self.asking.val().low;
            self.size_reg.d.next = self.asking.val().size;
        }
        self.sequence_reg.d.next = (self.sequence_reg.q.val() << 1)
            | bit_cast::<6, 1>((self.s_valid.val() & self.asking.val().sequence).into());
        self.two_choice_reg.d.next = (self.two_choice_reg.q.val() << 1)
            | bit_cast::<13, 1>((self.s_valid.val() & self.asking.val().two_choice).into());
        self.turns.raddr.next = self.read_service.val();
        if self.s_valid.val() {
            self.turns.raddr.next = self.s_service.val();
        }
        self.base_reg[0].d.next = self.base_reg[0].q.val();
        if self.s_valid.val() {
            self.base_reg[0].d.next = self.asking.val().base;
        }
        for i in 1..6 {
            self.base_reg[i].d.next = self.base_reg[i - 1].q.val();
        }

        // Clocks 1 to 4: index = (operand * size) >> 32; or the turn, from the start where it is past the end.
        self.product_high_reg[0].d.next = self.operand_reg.q.val().get_bits::<16>(16) * self.size_reg.q.val();
        self.product_low_reg[0].d.next = self.operand_reg.q.val().get_bits::<16>(0) * self.size_reg.q.val();
        self.product_high_reg[1].d.next = self.product_high_reg[0].q.val();
        self.product_low_reg[1].d.next = self.product_low_reg[0].q.val();
        self.low_sum.next = bit_cast::<17, 16>(self.product_high_reg[1].q.val().get_bits::<16>(0))
            + bit_cast::<17, 16>(self.product_low_reg[1].q.val().get_bits::<16>(16));
        self.carry_reg.d.next = self.low_sum.val().get_bit(16);
        self.upper_reg.d.next = self.product_high_reg[1].q.val().get_bits::<16>(16);
        self.scaled.next = self.upper_reg.q.val() + bit_cast::<16, 1>(self.carry_reg.q.val().into());
        self.read_turn.next = self.turns.rdata.val();
        self.turn.next = self.turns.rdata.val();
        if self.turn.val() >= self.size_reg.q.val() {
            self.turn.next = 0.into();
        }
        if self.sequence_reg.q.val().get_bit(0) {
            self.turn_reg.d.next = self.turn.val();
        }
        self.turn_next_reg.d.next = self.turn_reg.q.val() + 1;
        self.index_reg[0].d.next = self.scaled.val();
        if self.sequence_reg.q.val().get_bit(3) {
            self.index_reg[0].d.next = self.turn_reg.q.val();
        }

        // Clocks 5 and 6: address = base + index, in two halves.
        self.index_reg[1].d.next = self.index_reg[0].q.val();
        self.address_low.next = bit_cast::<13, 12>(self.base_reg[4].q.val().get_bits::<12>(0))
            + bit_cast::<13, 12>(self.index_reg[0].q.val().get_bits::<12>(0));
        self.address_low_reg.d.next = self.address_low.val();
        self.address_high.next = (self.base_reg[5].q.val().get_bits::<12>(12)
            + bit_cast::<12, 4>(self.index_reg[1].q.val().get_bits::<4>(12)))
            + bit_cast::<12, 1>(self.address_low_reg.q.val().get_bits::<1>(12));
        self.address_reg.d.next = bit_cast::<24, 12>(self.address_low_reg.q.val().get_bits::<12>(0))
            | (bit_cast::<24, 12>(self.address_high.val()) << 12);

        // Clocks 7 to 9: the entry. A word holds two, the even one low.
        self.entries.raddr.next = self.address_reg.q.val().get_bits::<L>(1);
        self.odd_reg[0].d.next = self.address_reg.q.val().get_bit(0);
        self.odd_reg[1].d.next = self.odd_reg[0].q.val();
        self.word_reg.d.next = self.entries.rdata.val();
        self.entry_reg[0].d.next = self.word_reg.q.val().get_bits::<16>(0);
        if self.odd_reg[1].q.val() {
            self.entry_reg[0].d.next = self.word_reg.q.val().get_bits::<16>(16);
        }

        // Clocks 10 to 12: what is known of its backend.
        self.attributes.raddr.next = self.entry_reg[0].q.val().get_bits::<B>(0);
        self.loads.raddr.next = self.entry_reg[0].q.val().get_bits::<B>(0);
        self.entry_reg[1].d.next = self.entry_reg[0].q.val();
        self.found.next = self.attributes.rdata.val();
        self.candidate.next.nobody = self.entry_reg[1].q.val() == self.nobody.val();
        self.candidate.next.backend = bit_cast::<16, B>(self.entry_reg[1].q.val().get_bits::<B>(0));
        self.candidate.next.service = self.found.val().service;
        self.candidate.next.takes = self.found.val().takes;
        self.candidate.next.load = self.loads.rdata.val();
        self.candidate_reg[0].d.next = self.candidate.val();
        self.candidate_reg[1].d.next = self.candidate_reg[0].q.val();

        // Clock 13: the first candidate is in the second register now, and the second one in the first.
        self.second_better.next = !self.candidate_reg[0].q.val().nobody
            & (self.candidate_reg[1].q.val().nobody
                | (self.candidate_reg[0].q.val().load < self.candidate_reg[1].q.val().load));
        self.candidate_now.next = self.candidate_reg[1].q.val();
        if self.two_choice_reg.q.val().get_bit(12) & self.second_better.val() {
            self.candidate_now.next = self.candidate_reg[0].q.val();
        }
        self.pick_reg.d.next.nobody = self.candidate_now.val().nobody;
        self.pick_reg.d.next.backend = self.candidate_now.val().backend;
        self.pick_reg.d.next.service = self.candidate_now.val().service;
        self.pick_reg.d.next.takes = self.candidate_now.val().takes;
        self.pick.next = self.pick_reg.q.val();

        // The turn moves.
        self.turns.waddr.next = self.turn_service.val();
        self.turns.wdata.next = self.turn_next_reg.q.val();
        self.turns.we.next = (self.advance.val() | self.turn_clear.val()) | self.turn_load.val();
        if self.turn_load.val() {
            self.turns.wdata.next = self.write_data.val().get_bits::<16>(0);
        }
        if self.turn_clear.val() {
            self.turns.wdata.next = 0.into();
        }
    }
}
