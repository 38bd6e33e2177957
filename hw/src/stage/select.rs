//! Select: chooses the backend, by the flow table, or else by the lookup table.
//!
//! Latency from taking a frame: seventeen clocks. A frame that reaches the flow table takes two clocks, others one. A
//! frame waits before the stage for the tick to move, and one with selection by sequence for the turn of the one
//! ahead: sixteen clocks.

use maglane_spec::limit::NO_SERVICE;
use maglane_spec::row::{BackendRow, ServiceRow};
use maglane_spec::{FlowOutcome, Verdict, flow, window};
use rust_hdl::prelude::*;

use crate::census::Visit;
use crate::flow_table::sweeper::Timeouts;
use crate::flow_table::way::Attributes;
use crate::flow_table::{Decision, FlowTable, Operation};
use crate::frame::{Classified, Parsed, Selected};
use crate::lookup::{Lookup, Question};
use crate::ram::{Row, RowRam};
use crate::stage::flow_hash::Hashes;
use crate::verdict;

// The tag below is put together from these positions.
const _: () = assert!(flow::TAG_SHIFT == 24 && flow::TAG_BITS == 40);
// A code up to the highest is known.
const _: () = assert!(ServiceRow::SELECTION_HASH == 0 && ServiceRow::SELECTION_TWO_CHOICE == 1);
const _: () = assert!(ServiceRow::SELECTION_SEQUENCE == 2);

/// The select stage, for 2^S services, with 2^L words of two lookup entries a side, 2^B backend rows and 2^F sets.
#[derive(LogicBlock)]
pub struct Select<const S: usize, const L: usize, const B: usize, const F: usize> {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Synchronous reset, active high.
    pub reset: Signal<In, Bit>,
    /// Address on the port; see [`window`].
    pub port_address: Signal<In, Bits<32>>,
    /// Word on the port.
    pub write_data: Signal<In, Bits<32>>,
    /// Write enable of the port.
    pub write_enable: Signal<In, Bit>,
    /// The card is in bypass, and a word at the port may go into the flow table or the turns: no frame and no sweep of
    /// before is left.
    pub quiet: Signal<In, Bit>,
    /// Side of the tables that serves.
    pub side: Signal<In, Bit>,
    /// Timeouts of the flow table, as the next step of the tick takes them over.
    pub timeouts: Signal<In, Timeouts>,
    /// Sets the tick.
    pub set_tick: Signal<In, Bit>,
    /// To this value.
    pub set_tick_value: Signal<In, Bits<6>>,
    /// And the timeouts hold from then on.
    pub set_timeouts: Signal<In, Bit>,
    /// The card's own time says that the tick is due.
    pub tick_due: Signal<In, Bit>,
    /// A frame is there.
    pub s_valid: Signal<In, Bit>,
    /// It is taken.
    pub s_ready: Signal<Out, Bit>,
    /// The frame.
    pub s_frame: Signal<In, Classified>,
    /// Its hashes.
    pub s_hashes: Signal<In, Hashes>,
    /// A frame leaves the stage.
    pub m_valid: Signal<Out, Bit>,
    /// The frame that leaves.
    pub m_frame: Signal<Out, Selected>,
    /// The row of its backend.
    pub m_row: Signal<Out, Row>,
    /// The flow table has been cleared after reset.
    pub ready: Signal<Out, Bit>,
    /// An entry of the flow table is read in this clock, if it is not `flow_busy`.
    pub read_flow: Signal<In, Bit>,
    /// A frame uses the flow table in this clock.
    pub flow_busy: Signal<Out, Bit>,
    /// A frame uses the turns in this clock.
    pub turn_busy: Signal<Out, Bit>,
    /// Tag of the entry at the address on the port, three clocks later.
    pub read_tag: Signal<Out, Bits<40>>,
    /// The rest of it.
    pub read_rest: Signal<Out, Bits<24>>,
    /// Turn of the service there, three clocks later.
    pub read_turn: Signal<Out, Bits<32>>,
    /// Staged word there of lookup and backend memory, three clocks later.
    pub staged: Signal<Out, Bits<32>>,
    /// A round of the sweeper may begin.
    pub may_start: Signal<In, Bit>,
    /// What the sweeper finds.
    pub visit: Signal<Out, Visit>,
    /// It has gone round in this tick.
    pub rests: Signal<Out, Bit>,
    /// The status word, without the number of rounds.
    pub status: Signal<Out, Bits<32>>,
    /// Lookup table.
    pub lookup: Lookup<S, L, B>,
    /// Flow table.
    pub flow_table: FlowTable<F, 40, B>,
    /// Backend memory.
    pub backend: RowRam<B>,
    settled: Signal<Local, Bit>,
    write_region: Signal<Local, Bits<4>>,
    parsed: Signal<Local, Parsed>,
    head: Signal<Local, Classified>,
    hashes: Signal<Local, Hashes>,
    undecided: Signal<Local, Bit>,
    supported: Signal<Local, Bit>,
    in_turn: Signal<Local, Bit>,
    reaches: Signal<Local, Bit>,
    wants_step: Signal<Local, Bit>,
    stepping: Signal<Local, Bit>,
    take: Signal<Local, Bit>,
    gap_reg: DFF<Bit>,
    request_reg: DFF<Bits<7>>,
    from_due_reg: DFF<Bit>,
    due_reg: DFF<Bit>,
    stepped_reg: DFF<Bit>,
    valid_reg: DFF<Bits<17>>,
    reach_reg: DFF<Bits<15>>,
    sequence_reg: DFF<Bits<15>>,
    peek_reg: DFF<Bits<15>>,
    peeks: Signal<Local, Bit>,
    frame_reg: [DFF<Selected>; 17],
    operation_reg: [DFF<Operation>; 8],
    operation: Signal<Local, Operation>,
    question: Signal<Local, Question>,
    looked_up: Signal<Local, Selected>,
    decided: Signal<Local, Selected>,
    decision: Signal<Local, Decision>,
    backend_id: Signal<Local, Bits<16>>,
    row_reg: DFF<Row>,
    service: Signal<Local, Bits<16>>,
    decided_service: Signal<Local, Bits<16>>,
    h_low: Signal<Local, Bits<32>>,
    h_high: Signal<Local, Bits<32>>,
    swept: Signal<Local, Bit>,
    copy: Signal<Local, Bits<4>>,
    copy_way: Signal<Local, Bits<4>>,
    to_flow: Signal<Local, Bit>,
    to_turn: Signal<Local, Bit>,
    way_reg: DFF<Bits<3>>,
    low_reg: DFF<Bits<32>>,
    load_tag: Signal<Local, Bits<40>>,
    read_tag_reg: DFF<Bits<40>>,
    read_rest_reg: DFF<Bits<24>>,
    read_turn_reg: [DFF<Bits<16>>; 2],
    copy_reg: [DFF<Bits<4>>; 2],
    word_reg: [DFF<Bits<3>>; 2],
    is_lookup_reg: DFF<Bit>,
    of_way: Signal<Local, Bit>,
    attributes: Signal<Local, Attributes>,
    way_attributes: Signal<Local, Attributes>,
    first_copy: Signal<Local, Bits<32>>,
    way_copy: Signal<Local, Bits<32>>,
    staged_reg: [DFF<Bits<32>>; 2],
    region_backend: Constant<Bits<4>>,
    region_lookup: Constant<Bits<4>>,
    region_flow_table: Constant<Bits<4>>,
    region_sequence: Constant<Bits<4>>,
    no_service: Constant<Bits<16>>,
    two_choice: Constant<Bits<8>>,
    by_turn: Constant<Bits<8>>,
    affinity_max: Constant<Bits<2>>,
    outcome_nobody: Constant<Bits<3>>,
    outcome_hit: Constant<Bits<3>>,
    pass_unsupported: Constant<Bits<5>>,
    drop_no_backend: Constant<Bits<5>>,
}

impl<const S: usize, const L: usize, const B: usize, const F: usize> Default for Select<S, L, B, F> {
    fn default() -> Self {
        Self {
            clock: Default::default(),
            reset: Default::default(),
            port_address: Default::default(),
            write_data: Default::default(),
            write_enable: Default::default(),
            quiet: Default::default(),
            side: Default::default(),
            timeouts: Default::default(),
            set_tick: Default::default(),
            set_tick_value: Default::default(),
            set_timeouts: Default::default(),
            tick_due: Default::default(),
            s_valid: Default::default(),
            s_ready: Default::default(),
            s_frame: Default::default(),
            s_hashes: Default::default(),
            m_valid: Default::default(),
            m_frame: Default::default(),
            m_row: Default::default(),
            ready: Default::default(),
            read_flow: Default::default(),
            flow_busy: Default::default(),
            turn_busy: Default::default(),
            read_tag: Default::default(),
            read_rest: Default::default(),
            read_turn: Default::default(),
            staged: Default::default(),
            may_start: Default::default(),
            visit: Default::default(),
            rests: Default::default(),
            status: Default::default(),
            lookup: Default::default(),
            flow_table: Default::default(),
            backend: Default::default(),
            settled: Default::default(),
            write_region: Default::default(),
            parsed: Default::default(),
            head: Default::default(),
            hashes: Default::default(),
            undecided: Default::default(),
            supported: Default::default(),
            in_turn: Default::default(),
            reaches: Default::default(),
            wants_step: Default::default(),
            stepping: Default::default(),
            take: Default::default(),
            gap_reg: Default::default(),
            request_reg: Default::default(),
            from_due_reg: Default::default(),
            due_reg: Default::default(),
            stepped_reg: Default::default(),
            valid_reg: Default::default(),
            reach_reg: Default::default(),
            sequence_reg: Default::default(),
            peek_reg: Default::default(),
            peeks: Default::default(),
            frame_reg: std::array::from_fn(|_| Default::default()),
            operation_reg: std::array::from_fn(|_| Default::default()),
            operation: Default::default(),
            question: Default::default(),
            looked_up: Default::default(),
            decided: Default::default(),
            decision: Default::default(),
            backend_id: Default::default(),
            row_reg: Default::default(),
            service: Default::default(),
            decided_service: Default::default(),
            h_low: Default::default(),
            h_high: Default::default(),
            swept: Default::default(),
            copy: Default::default(),
            copy_way: Default::default(),
            to_flow: Default::default(),
            to_turn: Default::default(),
            way_reg: Default::default(),
            low_reg: Default::default(),
            load_tag: Default::default(),
            read_tag_reg: Default::default(),
            read_rest_reg: Default::default(),
            read_turn_reg: std::array::from_fn(|_| Default::default()),
            copy_reg: std::array::from_fn(|_| Default::default()),
            word_reg: std::array::from_fn(|_| Default::default()),
            is_lookup_reg: Default::default(),
            of_way: Default::default(),
            attributes: Default::default(),
            way_attributes: Default::default(),
            first_copy: Default::default(),
            way_copy: Default::default(),
            staged_reg: std::array::from_fn(|_| Default::default()),
            region_backend: Constant::new(u64::from(window::BACKEND).into()),
            region_lookup: Constant::new(u64::from(window::LOOKUP).into()),
            region_flow_table: Constant::new(u64::from(window::FLOW_TABLE).into()),
            region_sequence: Constant::new(u64::from(window::SEQUENCE).into()),
            no_service: Constant::new(u64::from(NO_SERVICE).into()),
            two_choice: Constant::new(u64::from(ServiceRow::SELECTION_TWO_CHOICE).into()),
            by_turn: Constant::new(u64::from(ServiceRow::SELECTION_SEQUENCE).into()),
            affinity_max: Constant::new(u64::from(ServiceRow::AFFINITY_CLIENT).into()),
            outcome_nobody: Constant::new(u64::from(FlowOutcome::NoBackend.code()).into()),
            outcome_hit: Constant::new(u64::from(FlowOutcome::Hit.code()).into()),
            pass_unsupported: verdict::code(Verdict::PassUnsupported),
            drop_no_backend: verdict::code(Verdict::DropNoBackend),
        }
    }
}

impl<const S: usize, const L: usize, const B: usize, const F: usize> Select<S, L, B, F> {
    /// Plants a fault of [`maglane_spec::Stage::Select`]; see [`Lookup::plant_fault`].
    pub fn plant_fault(&mut self) {
        self.lookup.plant_fault();
    }

    /// Writes a word of a backend's row and of all its copies; see [`crate::ram::Ram::backdoor`].
    pub fn backdoor(&mut self, row: usize, word: usize, data: u32) {
        self.backend.backdoor(row, word, data);
        if word == BackendRow::LOAD_OFFSET / 4 {
            self.lookup.loads.backdoor(row, u64::from(data & 0xff).into());
        }
        if word == BackendRow::STATE_OFFSET / 4 {
            let takes = matches!((data >> 24) as u8, BackendRow::STATE_UP | BackendRow::STATE_DRAINING);
            let attributes = Attributes { service: u64::from(data & 0xffff).into(), takes };
            self.lookup.attributes.backdoor(row, attributes);
            for way in &mut self.flow_table.way {
                way.attributes.backdoor(row, attributes);
            }
        }
    }
}

impl<const S: usize, const L: usize, const B: usize, const F: usize> Logic for Select<S, L, B, F> {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
            gap_reg,
            request_reg,
            from_due_reg,
            due_reg,
            stepped_reg,
            valid_reg,
            reach_reg,
            sequence_reg,
            peek_reg,
            row_reg,
            way_reg,
            low_reg,
            read_tag_reg,
            read_rest_reg,
            is_lookup_reg
        );
        clock!(self, clock, lookup, flow_table, backend);
        for i in 0..17 {
            self.frame_reg[i].clock.next = self.clock.val();
        }
        for i in 0..8 {
            self.operation_reg[i].clock.next = self.clock.val();
        }
        for i in 0..2 {
            self.read_turn_reg[i].clock.next = self.clock.val();
            self.copy_reg[i].clock.next = self.clock.val();
            self.word_reg[i].clock.next = self.clock.val();
            self.staged_reg[i].clock.next = self.clock.val();
        }
        self.flow_table.reset.next = self.reset.val();

        self.backend.side.next = self.side.val();
        self.lookup.side.next = self.side.val();
        self.flow_table.side.next = self.side.val();

        // Table port.
        self.write_region.next = self.port_address.val().get_bits::<4>(28);
        self.backend.waddr.next = self.port_address.val().get_bits::<B>(3);
        self.backend.wword.next = self.port_address.val().get_bits::<3>(0);
        self.backend.wdata.next = self.write_data.val();
        self.backend.we.next = self.write_enable.val() & (self.write_region.val() == self.region_backend.val());
        self.lookup.port_address.next = self.port_address.val();
        self.lookup.write_data.next = self.write_data.val();
        self.lookup.write_enable.next = self.write_enable.val();
        self.flow_table.attributes_waddr.next = self.lookup.attributes_waddr.val();
        self.flow_table.attributes_wdata.next = self.lookup.attributes_wdata.val();
        self.flow_table.attributes_we.next = self.lookup.attributes_we.val();

        // An entry of the flow table is written with its high word.
        self.to_flow.next = self.write_enable.val() & (self.write_region.val() == self.region_flow_table.val());
        self.to_turn.next =
            (self.write_enable.val() & self.quiet.val()) & (self.write_region.val() == self.region_sequence.val());
        if self.to_flow.val() & !self.port_address.val().get_bit(0) {
            self.low_reg.d.next = self.write_data.val();
        }
        self.load_tag.next = bit_cast::<40, 8>(self.low_reg.q.val().get_bits::<8>(24))
            | (bit_cast::<40, 32>(self.write_data.val()) << 8);
        self.flow_table.load_valid.next = (self.to_flow.val() & self.quiet.val()) & self.port_address.val().get_bit(0);
        self.flow_table.load_set.next = self.port_address.val().get_bits::<F>(4);
        self.flow_table.load_way.next = self.port_address.val().get_bits::<3>(1);
        self.flow_table.load_tag.next = self.load_tag.val();
        self.flow_table.load_rest.next = self.low_reg.q.val().get_bits::<24>(0);

        // Whether the frame at the head may enter.
        self.head.next = self.s_frame.val();
        self.parsed.next = self.head.val().parsed;
        self.hashes.next = self.s_hashes.val();
        self.undecided.next = self.head.val().verdict == 0;
        self.supported.next =
            (self.head.val().selection <= self.by_turn.val()) & (self.head.val().affinity <= self.affinity_max.val());
        self.in_turn.next = self.undecided.val() & (self.head.val().selection == self.by_turn.val());
        self.wants_step.next = self.s_valid.val() & ((self.parsed.val().step != 0) & !self.stepped_reg.q.val());
        // A tick of the card's own waits for the sweeper and the census, not the frames for it.
        self.settled.next = self.flow_table.rests.val() & self.may_start.val();
        self.stepping.next = (self.request_reg.q.val() != 0) & (self.settled.val() | !self.from_due_reg.q.val());
        self.take.next = self.s_valid.val()
            & (!(self.gap_reg.q.val() | self.wants_step.val())
                & !(self.stepping.val() | (self.in_turn.val() & (self.sequence_reg.q.val() != 0))));
        self.s_ready.next = self.take.val();
        self.gap_reg.d.next = self.take.val() & self.undecided.val();
        self.reaches.next = self.take.val() & (self.undecided.val() & self.supported.val());

        // The tick moves while no frame is between here and the flow table's end.
        self.flow_table.timeouts.next = self.timeouts.val();
        self.flow_table.set_tick.next = self.set_tick.val();
        self.flow_table.set_tick_value.next = self.set_tick_value.val();
        self.flow_table.set_timeouts.next = self.set_timeouts.val();
        self.flow_table.step.next = self.request_reg.q.val();
        self.flow_table.idle.next = self.stepping.val() & (self.reach_reg.q.val() == 0);
        if self.take.val() {
            self.stepped_reg.d.next = false;
        }
        if self.tick_due.val() {
            self.due_reg.d.next = true;
        }
        if self.request_reg.q.val() == 0 {
            if self.wants_step.val() {
                self.request_reg.d.next = self.parsed.val().step;
                self.from_due_reg.d.next = false;
            } else if self.due_reg.q.val() {
                self.request_reg.d.next = 1.into();
                self.from_due_reg.d.next = true;
                self.due_reg.d.next = self.tick_due.val();
            }
        } else if self.flow_table.stepped.val() {
            self.request_reg.d.next = 0.into();
            self.stepped_reg.d.next = !self.from_due_reg.q.val();
        }

        // Clock 0: what the stage keeps of the frame, and the question to the lookup table.
        for i in 1..17 {
            self.frame_reg[i].d.next = self.frame_reg[i - 1].q.val();
        }
        self.frame_reg[0].d.next.verdict = self.head.val().verdict;
        if self.undecided.val() & !self.supported.val() {
            self.frame_reg[0].d.next.verdict = self.pass_unsupported.val();
        }
        self.frame_reg[0].d.next.length = self.parsed.val().length;
        self.frame_reg[0].d.next.tagged = self.parsed.val().tagged;
        self.frame_reg[0].d.next.tci = self.parsed.val().tci;
        self.frame_reg[0].d.next.ipv6 = self.parsed.val().ipv6;
        self.frame_reg[0].d.next.dscp_ecn = self.parsed.val().dscp_ecn;
        self.frame_reg[0].d.next.total_length = self.parsed.val().total_length;
        self.frame_reg[0].d.next.service = self.no_service.val();
        if self.head.val().matched {
            self.frame_reg[0].d.next.service = self.head.val().service;
        }
        self.frame_reg[0].d.next.gre_keyed = self.head.val().gre_keyed;
        self.frame_reg[0].d.next.gre_key = self.head.val().gre_key;
        self.frame_reg[0].d.next.hash_low = self.hashes.val().h_low;
        self.frame_reg[0].d.next.hash_high = self.hashes.val().h_high;
        self.frame_reg[0].d.next.backend = self.no_service.val();
        self.frame_reg[0].d.next.flow = 0.into();
        self.valid_reg.d.next = (self.valid_reg.q.val() << 1) | bit_cast::<17, 1>(self.take.val().into());
        self.reach_reg.d.next = (self.reach_reg.q.val() << 1) | bit_cast::<15, 1>(self.reaches.val().into());
        self.sequence_reg.d.next =
            (self.sequence_reg.q.val() << 1) | bit_cast::<15, 1>((self.reaches.val() & self.in_turn.val()).into());
        self.peek_reg.d.next = (self.peek_reg.q.val() << 1) | bit_cast::<15, 1>(self.parsed.val().steered.into());
        self.operation.next.service = self.head.val().service;
        self.operation.next.syn = self.parsed.val().syn;
        self.operation.next.fin = self.parsed.val().fin;
        self.operation.next.rst = self.parsed.val().rst;
        self.operation.next.peek = self.parsed.val().steered;
        self.operation_reg[0].d.next = self.operation.val();
        for i in 1..8 {
            self.operation_reg[i].d.next = self.operation_reg[i - 1].q.val();
        }
        self.question.next.high = self.hashes.val().g_high;
        self.question.next.low = self.hashes.val().g_low;
        self.question.next.base = self.head.val().lookup_base;
        self.question.next.size = self.head.val().table_size;
        self.question.next.two_choice = self.head.val().selection == self.two_choice.val();
        self.question.next.sequence = self.head.val().selection == self.by_turn.val();
        self.lookup.s_valid.next = self.reaches.val();
        self.lookup.s_question.next = self.question.val();
        self.service.next = self.head.val().service;
        self.lookup.s_service.next = self.service.val().get_bits::<S>(0);

        // Clock 8: the flow table, so that it decides in clock 14, when the lookup table has answered.
        self.looked_up.next = self.frame_reg[7].q.val();
        self.h_low.next = self.looked_up.val().hash_low;
        self.h_high.next = self.looked_up.val().hash_high;
        self.flow_table.s_set.next = self.h_low.val().get_bits::<F>(0);
        self.flow_table.s_tag.next =
            bit_cast::<40, 8>(self.h_low.val().get_bits::<8>(24)) | (bit_cast::<40, 32>(self.h_high.val()) << 8);
        self.flow_table.s_valid.next = self.reach_reg.q.val().get_bit(7);
        self.flow_table.s_operation.next = self.operation_reg[7].q.val();
        self.flow_table.pick.next = self.lookup.pick.val();

        // Clock 15: the decision; the turn moves on a miss. An error has only looked.
        self.decision.next = self.flow_table.m_decision.val();
        self.decided.next = self.frame_reg[14].q.val();
        self.backend_id.next = self.decision.val().backend;
        self.peeks.next = self.peek_reg.q.val().get_bit(14);
        if self.reach_reg.q.val().get_bit(14) {
            if !self.peeks.val() {
                self.frame_reg[15].d.next.flow = self.decision.val().outcome;
            }
            if self.decision.val().outcome == self.outcome_nobody.val() {
                self.frame_reg[15].d.next.verdict = self.drop_no_backend.val();
            } else {
                self.frame_reg[15].d.next.backend = bit_cast::<16, B>(self.backend_id.val().get_bits::<B>(0));
            }
        }
        self.lookup.advance.next = (self.sequence_reg.q.val().get_bit(14) & !self.peeks.val())
            & (self.decision.val().outcome != self.outcome_hit.val());
        self.decided_service.next = self.decided.val().service;
        self.lookup.turn_service.next = self.decided_service.val().get_bits::<S>(0);
        // The round that clears the flow table after reset visits every set, so its low bits visit every service.
        self.lookup.turn_clear.next = !self.flow_table.ready.val();
        if !self.flow_table.ready.val() {
            self.lookup.turn_service.next = self.flow_table.sweep_set.val().get_bits::<S>(0);
        }
        self.lookup.turn_load.next = self.to_turn.val();
        if self.to_turn.val() {
            self.lookup.turn_service.next = self.port_address.val().get_bits::<S>(0);
        }

        // Clocks 15 to 17: the backend's row.
        self.backend.raddr.next = self.backend_id.val().get_bits::<B>(0);
        self.row_reg.d.next = self.backend.rdata.val();
        self.m_frame.next = self.frame_reg[16].q.val();
        self.m_row.next = self.row_reg.q.val();
        self.m_valid.next = self.valid_reg.q.val().get_bit(16);
        self.ready.next = self.flow_table.ready.val();

        // Reads: word of the entry in bit 0, way in bits 3..1, set above.
        self.flow_table.read_valid.next = self.read_flow.val();
        self.flow_table.read_set.next = self.port_address.val().get_bits::<F>(4);
        self.copy.next = self.port_address.val().get_bits::<4>(24);
        self.copy_way.next = self.copy.val() - 2;
        self.way_reg.d.next = self.port_address.val().get_bits::<3>(1);
        if self.write_region.val() == self.region_backend.val() {
            self.way_reg.d.next = self.copy_way.val().get_bits::<3>(0);
        }
        self.flow_table.read_way.next = self.way_reg.q.val();
        self.flow_busy.next = self.reach_reg.q.val().get_bit(7);
        self.read_tag_reg.d.next = self.flow_table.read_tag.val();
        self.read_rest_reg.d.next = self.flow_table.read_rest.val();
        self.read_tag.next = self.read_tag_reg.q.val();
        self.read_rest.next = self.read_rest_reg.q.val();
        self.turn_busy.next = self.reaches.val();
        self.lookup.read_service.next = self.port_address.val().get_bits::<S>(0);
        self.read_turn_reg[0].d.next = self.lookup.read_turn.val();
        self.read_turn_reg[1].d.next = self.read_turn_reg[0].q.val();
        self.read_turn.next = bit_cast::<32, 16>(self.read_turn_reg[1].q.val());

        // Staged words: what the lookup table has of a backend is copy 1, what the flow table's ways have the others.
        self.copy_reg[0].d.next = self.copy.val();
        self.copy_reg[1].d.next = self.copy_reg[0].q.val();
        self.word_reg[0].d.next = self.port_address.val().get_bits::<3>(0);
        self.word_reg[1].d.next = self.word_reg[0].q.val();
        self.is_lookup_reg.d.next = self.write_region.val() == self.region_lookup.val();
        self.attributes.next = self.lookup.staged_attributes.val();
        self.first_copy.next = 0.into();
        if self.word_reg[0].q.val() == 6 {
            self.first_copy.next = bit_cast::<32, 16>(self.attributes.val().service)
                | (bit_cast::<32, 1>(self.attributes.val().takes.into()) << 16);
        } else if self.word_reg[0].q.val() == 7 {
            self.first_copy.next = bit_cast::<32, 8>(self.lookup.staged_load.val());
        }
        self.staged_reg[0].d.next = self.backend.staged.val();
        self.of_way.next = self.copy_reg[1].q.val() > 1;
        if self.is_lookup_reg.q.val() {
            self.staged_reg[0].d.next = self.lookup.staged_entries.val();
        } else if self.copy_reg[0].q.val() == 1 {
            self.staged_reg[0].d.next = self.first_copy.val();
        }
        self.way_attributes.next = self.flow_table.staged_attributes.val();
        self.way_copy.next = 0.into();
        if self.word_reg[1].q.val() == 6 {
            self.way_copy.next = bit_cast::<32, 16>(self.way_attributes.val().service)
                | (bit_cast::<32, 1>(self.way_attributes.val().takes.into()) << 16);
        }
        self.staged_reg[1].d.next = self.staged_reg[0].q.val();
        if self.of_way.val() {
            self.staged_reg[1].d.next = self.way_copy.val();
        }
        self.staged.next = self.staged_reg[1].q.val();
        self.flow_table.may_start.next = self.may_start.val();
        self.visit.next = self.flow_table.visit.val();
        self.rests.next = self.flow_table.rests.val();
        self.swept.next = self.settled.val() & ((self.request_reg.q.val() == 0) & !self.due_reg.q.val());
        self.status.next = (bit_cast::<32, 1>(self.flow_table.ready.val().into())
            | (bit_cast::<32, 1>(self.swept.val().into()) << 1))
            | (bit_cast::<32, 6>(self.flow_table.tick.val()) << 8);
        if self.reset.val() {
            self.gap_reg.d.next = false;
            self.request_reg.d.next = 0.into();
            self.from_due_reg.d.next = false;
            self.due_reg.d.next = false;
            self.stepped_reg.d.next = false;
            self.valid_reg.d.next = 0.into();
            self.reach_reg.d.next = 0.into();
            self.sequence_reg.d.next = 0.into();
        }
    }
}
