//! Classify: finds the service that a frame is addressed to.
//!
//! Four probes at once, each in a copy of a sub-table of its own: exact port and all ports, in both sub-tables.
//! Latency: ten clocks. One frame a clock.

use maglane_spec::row::ServiceRow;
use maglane_spec::{Verdict, window};
use rust_hdl::prelude::*;

use crate::control::Settings;
use crate::frame::{Classified, Parsed, Tuple};
use crate::ram::{Row, RowRam};
use crate::verdict;

// The slices of a row follow its layout; a change there must stop the build here.
const _: () = {
    assert!(ServiceRow::ADDRESS_OFFSET == 0 && ServiceRow::PORT_OFFSET == 16);
    assert!(ServiceRow::PROTOCOL_OFFSET == 18 && ServiceRow::FLAGS_OFFSET == 19);
    assert!(ServiceRow::LOOKUP_BASE_OFFSET == 20 && ServiceRow::SELECTION_OFFSET == 23);
    assert!(ServiceRow::GRE_KEY_OFFSET == 24 && ServiceRow::TABLE_SIZE_OFFSET == 28 && ServiceRow::ID_OFFSET == 30);
    assert!(ServiceRow::FLAG_ENABLED == 2 && ServiceRow::FLAG_GRE_KEY == 16 && ServiceRow::AFFINITY_SHIFT == 5);
    assert!(ServiceRow::KEY_WORD_PORT == 8 && ServiceRow::KEY_WORD_PROTOCOL == 9 && ServiceRow::KEY_IPV6 == 256);
};

/// Sums of the service hash of one sub-table on their way.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Sums {
    address0: Bits<32>,
    address1: Bits<32>,
    address2: Bits<32>,
    address3: Bits<32>,
    /// What makes the sum that of all ports.
    protocol: Bits<32>,
    /// What makes it that of the exact port.
    transport: Bits<32>,
}

/// Which probe found its key.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Hits {
    exact0: Bit,
    exact1: Bit,
    all0: Bit,
    all1: Bit,
}

/// The classify stage, with two sub-tables of 2^A rows.
#[derive(LogicBlock)]
pub struct Classify<const A: usize> {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Synchronous reset, active high.
    pub reset: Signal<In, Bit>,
    /// Settings of the datapath.
    pub settings: Signal<In, Settings>,
    /// Address on the port; see [`window`].
    pub port_address: Signal<In, Bits<32>>,
    /// Word on the port.
    pub write_data: Signal<In, Bits<32>>,
    /// Write enable of the port.
    pub write_enable: Signal<In, Bit>,
    /// Staged word at the address on the port, three clocks later.
    pub staged: Signal<Out, Bits<32>>,
    /// Side of the tables that serves.
    pub side: Signal<In, Bit>,
    /// A frame enters the stage.
    pub s_valid: Signal<In, Bit>,
    /// The frame that enters.
    pub s_frame: Signal<In, Parsed>,
    /// Its tuple.
    pub s_tuple: Signal<In, Tuple>,
    /// A frame leaves the stage.
    pub m_valid: Signal<Out, Bit>,
    /// The frame that leaves.
    pub m_frame: Signal<Out, Classified>,
    /// Its tuple.
    pub m_tuple: Signal<Out, Tuple>,

    /// Sub-table 0 for exact ports.
    pub exact0: RowRam<A>,
    /// Sub-table 1 for exact ports.
    pub exact1: RowRam<A>,
    /// Sub-table 0 for all ports.
    pub all0: RowRam<A>,
    /// Sub-table 1 for all ports.
    pub all1: RowRam<A>,
    write_hit: Signal<Local, Bit>,
    write_table: Signal<Local, Bit>,
    copy_reg: DFF<Bit>,
    table_reg: DFF<Bit>,
    staged_reg: [DFF<Bits<32>>; 2],
    table_bit: Constant<Bits<5>>,
    half: [Signal<Local, Bits<32>>; 5],
    seeds: [Signal<Local, Bits<32>>; 10],
    total: [Signal<Local, Bits<32>>; 4],
    address: [Signal<Local, Bits<16>>; 4],
    rows: [Signal<Local, Row>; 4],
    same: [Signal<Local, Bit>; 4],
    frame_reg: [DFF<Parsed>; 10],
    tuple_reg: [DFF<Tuple>; 10],
    tuple: Signal<Local, Tuple>,
    valid_reg: DFF<Bits<10>>,
    word: [Signal<Local, Bits<16>>; 10],
    swapped: [Signal<Local, Bits<16>>; 10],
    product0_reg: [DFF<Bits<32>>; 10],
    product1_reg: [DFF<Bits<32>>; 10],
    product0_late_reg: [DFF<Bits<32>>; 10],
    product1_late_reg: [DFF<Bits<32>>; 10],
    sums0_reg: [DFF<Sums>; 4],
    sums1_reg: [DFF<Sums>; 4],
    shift: Constant<Bits<5>>,
    row_exact0_reg: [DFF<Row>; 2],
    row_exact1_reg: [DFF<Row>; 2],
    row_all0_reg: [DFF<Row>; 2],
    row_all1_reg: [DFF<Row>; 2],
    key_exact: Signal<Local, Bits<32>>,
    key_all: Signal<Local, Bits<32>>,
    hits_reg: DFF<Hits>,
    row: Signal<Local, Row>,
    row_reg: DFF<Row>,
    found: Signal<Local, Bit>,
    found_reg: DFF<Bit>,
    frame: Signal<Local, Classified>,
    flags: Signal<Local, Bits<8>>,
    key_ports: Signal<Local, Bits<32>>,
    row_word4: Signal<Local, Bits<32>>,
    row_word5: Signal<Local, Bits<32>>,
    row_word7: Signal<Local, Bits<32>>,
    verdict: Signal<Local, Bits<5>>,
    family_flag: Signal<Local, Bits<8>>,
    flag_ipv6: Constant<Bits<8>>,
    key_mask: Constant<Bits<32>>,
    flags_exact: Constant<Bits<8>>,
    flags_all: Constant<Bits<8>>,
    region: Constant<Bits<4>>,
    pass_no_service: Constant<Bits<5>>,
    drop_service_disabled: Constant<Bits<5>>,
}

impl<const A: usize> Default for Classify<A> {
    fn default() -> Self {
        // Word 4 of a row: port, protocol, flags; the flags count as far as they belong to the key.
        let key_mask = 0x00ff_ffff | (u64::from(ServiceRow::KEY_FLAGS) << 24);
        Self {
            clock: Default::default(),
            reset: Default::default(),
            settings: Default::default(),
            port_address: Default::default(),
            write_data: Default::default(),
            write_enable: Default::default(),
            staged: Default::default(),
            side: Default::default(),
            s_valid: Default::default(),
            s_frame: Default::default(),
            s_tuple: Default::default(),
            m_valid: Default::default(),
            m_frame: Default::default(),
            m_tuple: Default::default(),
            exact0: Default::default(),
            exact1: Default::default(),
            all0: Default::default(),
            all1: Default::default(),
            write_hit: Default::default(),
            write_table: Default::default(),
            copy_reg: Default::default(),
            table_reg: Default::default(),
            staged_reg: std::array::from_fn(|_| Default::default()),
            table_bit: Constant::new(((A + 3) as u64).into()),
            half: std::array::from_fn(|_| Default::default()),
            seeds: std::array::from_fn(|_| Default::default()),
            total: std::array::from_fn(|_| Default::default()),
            address: std::array::from_fn(|_| Default::default()),
            rows: std::array::from_fn(|_| Default::default()),
            same: std::array::from_fn(|_| Default::default()),
            frame_reg: std::array::from_fn(|_| Default::default()),
            tuple_reg: std::array::from_fn(|_| Default::default()),
            tuple: Default::default(),
            valid_reg: Default::default(),
            word: std::array::from_fn(|_| Default::default()),
            swapped: std::array::from_fn(|_| Default::default()),
            product0_reg: std::array::from_fn(|_| Default::default()),
            product1_reg: std::array::from_fn(|_| Default::default()),
            product0_late_reg: std::array::from_fn(|_| Default::default()),
            product1_late_reg: std::array::from_fn(|_| Default::default()),
            sums0_reg: std::array::from_fn(|_| Default::default()),
            sums1_reg: std::array::from_fn(|_| Default::default()),
            shift: Constant::new(((16 - A) as u64).into()),
            row_exact0_reg: std::array::from_fn(|_| Default::default()),
            row_exact1_reg: std::array::from_fn(|_| Default::default()),
            row_all0_reg: std::array::from_fn(|_| Default::default()),
            row_all1_reg: std::array::from_fn(|_| Default::default()),
            key_exact: Default::default(),
            key_all: Default::default(),
            hits_reg: Default::default(),
            row: Default::default(),
            row_reg: Default::default(),
            found: Default::default(),
            found_reg: Default::default(),
            frame: Default::default(),
            flags: Default::default(),
            key_ports: Default::default(),
            row_word4: Default::default(),
            row_word5: Default::default(),
            row_word7: Default::default(),
            verdict: Default::default(),
            family_flag: Default::default(),
            flag_ipv6: Constant::new(u64::from(ServiceRow::FLAG_IPV6).into()),
            key_mask: Constant::new(key_mask.into()),
            flags_exact: Constant::new(u64::from(ServiceRow::FLAG_VALID).into()),
            flags_all: Constant::new(u64::from(ServiceRow::FLAG_VALID | ServiceRow::FLAG_ALL_PORTS).into()),
            region: Constant::new(u64::from(window::SERVICE).into()),
            pass_no_service: verdict::code(Verdict::PassNoService),
            drop_service_disabled: verdict::code(Verdict::DropServiceDisabled),
        }
    }
}

impl<const A: usize> Classify<A> {
    /// Plants a fault of [`maglane_spec::Stage::Classify`]: services that take all ports are never found.
    pub fn plant_fault(&mut self) {
        self.flags_all = Constant::new(u64::from(ServiceRow::FLAG_ALL_PORTS).into());
    }

    /// Writes a word of the service memory without the table port.
    pub fn backdoor(&mut self, row: usize, word: usize, value: u32) {
        let index = row & ((1 << A) - 1);
        if row >> A == 0 {
            self.exact0.backdoor(index, word, value);
            self.all0.backdoor(index, word, value);
        } else {
            self.exact1.backdoor(index, word, value);
            self.all1.backdoor(index, word, value);
        }
    }
}

impl<const A: usize> Logic for Classify<A> {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, valid_reg, hits_reg, row_reg, found_reg, copy_reg, table_reg);
        clock!(self, clock, exact0, exact1, all0, all1);
        for i in 0..10 {
            self.frame_reg[i].clock.next = self.clock.val();
            self.tuple_reg[i].clock.next = self.clock.val();
            self.product0_reg[i].clock.next = self.clock.val();
            self.product1_reg[i].clock.next = self.clock.val();
            self.product0_late_reg[i].clock.next = self.clock.val();
            self.product1_late_reg[i].clock.next = self.clock.val();
        }
        for i in 0..2 {
            self.staged_reg[i].clock.next = self.clock.val();
            self.row_exact0_reg[i].clock.next = self.clock.val();
            self.row_exact1_reg[i].clock.next = self.clock.val();
            self.row_all0_reg[i].clock.next = self.clock.val();
            self.row_all1_reg[i].clock.next = self.clock.val();
        }
        for i in 0..4 {
            self.sums0_reg[i].clock.next = self.clock.val();
            self.sums1_reg[i].clock.next = self.clock.val();
        }

        self.exact0.side.next = self.side.val();
        self.exact1.side.next = self.side.val();
        self.all0.side.next = self.side.val();
        self.all1.side.next = self.side.val();

        // Table port: word 8 r + w of the region is word w of row r; sub-table 1 follows sub-table 0.
        self.write_hit.next =
            self.write_enable.val() & (self.port_address.val().get_bits::<4>(28) == self.region.val());
        self.exact0.wword.next = self.port_address.val().get_bits::<3>(0);
        self.exact1.wword.next = self.port_address.val().get_bits::<3>(0);
        self.all0.wword.next = self.port_address.val().get_bits::<3>(0);
        self.all1.wword.next = self.port_address.val().get_bits::<3>(0);
        self.exact0.waddr.next = self.port_address.val().get_bits::<A>(3);
        self.exact1.waddr.next = self.port_address.val().get_bits::<A>(3);
        self.all0.waddr.next = self.port_address.val().get_bits::<A>(3);
        self.all1.waddr.next = self.port_address.val().get_bits::<A>(3);
        self.exact0.wdata.next = self.write_data.val();
        self.exact1.wdata.next = self.write_data.val();
        self.all0.wdata.next = self.write_data.val();
        self.all1.wdata.next = self.write_data.val();
        self.write_table.next = self.port_address.val().get_bit(self.table_bit.val().index());
        self.exact0.we.next = self.write_hit.val() & !self.write_table.val();
        self.all0.we.next = self.write_hit.val() & !self.write_table.val();
        self.exact1.we.next = self.write_hit.val() & self.write_table.val();
        self.all1.we.next = self.write_hit.val() & self.write_table.val();

        self.copy_reg.d.next = self.port_address.val().get_bit(24);
        self.table_reg.d.next = self.write_table.val();
        self.staged_reg[0].d.next = self.exact0.staged.val();
        if self.copy_reg.q.val() & self.table_reg.q.val() {
            self.staged_reg[0].d.next = self.all1.staged.val();
        } else if self.copy_reg.q.val() {
            self.staged_reg[0].d.next = self.all0.staged.val();
        } else if self.table_reg.q.val() {
            self.staged_reg[0].d.next = self.exact1.staged.val();
        }
        self.staged_reg[1].d.next = self.staged_reg[0].q.val();
        self.staged.next = self.staged_reg[1].q.val();

        // Products of the key words; numbers, so lanes are swapped. The destination port is the upper half of its word.
        self.half[0].next = self.s_tuple.val().destination0;
        self.half[1].next = self.s_tuple.val().destination1;
        self.half[2].next = self.s_tuple.val().destination2;
        self.half[3].next = self.s_tuple.val().destination3;
        self.half[4].next = self.s_tuple.val().ports;
        self.word[0].next = self.half[0].val().get_bits::<16>(0);
        self.word[1].next = self.half[0].val().get_bits::<16>(16);
        self.word[2].next = self.half[1].val().get_bits::<16>(0);
        self.word[3].next = self.half[1].val().get_bits::<16>(16);
        self.word[4].next = self.half[2].val().get_bits::<16>(0);
        self.word[5].next = self.half[2].val().get_bits::<16>(16);
        self.word[6].next = self.half[3].val().get_bits::<16>(0);
        self.word[7].next = self.half[3].val().get_bits::<16>(16);
        self.word[8].next = self.half[4].val().get_bits::<16>(16);
        self.word[9].next = 0.into();
        for i in 0..10 {
            self.swapped[i].next = (self.word[i].val() << 8) | (self.word[i].val() >> 8);
        }
        self.swapped[9].next = bit_cast::<16, 8>(self.s_tuple.val().protocol);
        if self.s_frame.val().ipv6 {
            self.swapped[9].next = bit_cast::<16, 8>(self.s_tuple.val().protocol) | 256;
        }
        self.seeds[0].next = self.settings.val().seed0_address0;
        self.seeds[1].next = self.settings.val().seed0_address1;
        self.seeds[2].next = self.settings.val().seed0_address2;
        self.seeds[3].next = self.settings.val().seed0_address3;
        self.seeds[4].next = self.settings.val().seed0_transport;
        self.seeds[5].next = self.settings.val().seed1_address0;
        self.seeds[6].next = self.settings.val().seed1_address1;
        self.seeds[7].next = self.settings.val().seed1_address2;
        self.seeds[8].next = self.settings.val().seed1_address3;
        self.seeds[9].next = self.settings.val().seed1_transport;
        self.product0_reg[0].d.next = self.swapped[0].val() * self.seeds[0].val().get_bits::<16>(0);
        self.product0_reg[1].d.next = self.swapped[1].val() * self.seeds[0].val().get_bits::<16>(16);
        self.product0_reg[2].d.next = self.swapped[2].val() * self.seeds[1].val().get_bits::<16>(0);
        self.product0_reg[3].d.next = self.swapped[3].val() * self.seeds[1].val().get_bits::<16>(16);
        self.product0_reg[4].d.next = self.swapped[4].val() * self.seeds[2].val().get_bits::<16>(0);
        self.product0_reg[5].d.next = self.swapped[5].val() * self.seeds[2].val().get_bits::<16>(16);
        self.product0_reg[6].d.next = self.swapped[6].val() * self.seeds[3].val().get_bits::<16>(0);
        self.product0_reg[7].d.next = self.swapped[7].val() * self.seeds[3].val().get_bits::<16>(16);
        self.product0_reg[8].d.next = self.swapped[8].val() * self.seeds[4].val().get_bits::<16>(0);
        self.product0_reg[9].d.next = self.swapped[9].val() * self.seeds[4].val().get_bits::<16>(16);
        self.product1_reg[0].d.next = self.swapped[0].val() * self.seeds[5].val().get_bits::<16>(0);
        self.product1_reg[1].d.next = self.swapped[1].val() * self.seeds[5].val().get_bits::<16>(16);
        self.product1_reg[2].d.next = self.swapped[2].val() * self.seeds[6].val().get_bits::<16>(0);
        self.product1_reg[3].d.next = self.swapped[3].val() * self.seeds[6].val().get_bits::<16>(16);
        self.product1_reg[4].d.next = self.swapped[4].val() * self.seeds[7].val().get_bits::<16>(0);
        self.product1_reg[5].d.next = self.swapped[5].val() * self.seeds[7].val().get_bits::<16>(16);
        self.product1_reg[6].d.next = self.swapped[6].val() * self.seeds[8].val().get_bits::<16>(0);
        self.product1_reg[7].d.next = self.swapped[7].val() * self.seeds[8].val().get_bits::<16>(16);
        self.product1_reg[8].d.next = self.swapped[8].val() * self.seeds[9].val().get_bits::<16>(0);
        self.product1_reg[9].d.next = self.swapped[9].val() * self.seeds[9].val().get_bits::<16>(16);
        for i in 0..10 {
            self.product0_late_reg[i].d.next = self.product0_reg[i].q.val();
            self.product1_late_reg[i].d.next = self.product1_reg[i].q.val();
        }

        // Sums modulo 2^32, one addition a clock.
        for i in 1..4 {
            self.sums0_reg[i].d.next = self.sums0_reg[i - 1].q.val();
            self.sums1_reg[i].d.next = self.sums1_reg[i - 1].q.val();
        }
        self.sums0_reg[0].d.next.address0 = self.product0_late_reg[0].q.val() + self.product0_late_reg[1].q.val();
        self.sums0_reg[0].d.next.address1 = self.product0_late_reg[2].q.val() + self.product0_late_reg[3].q.val();
        self.sums0_reg[0].d.next.address2 = self.product0_late_reg[4].q.val() + self.product0_late_reg[5].q.val();
        self.sums0_reg[0].d.next.address3 = self.product0_late_reg[6].q.val() + self.product0_late_reg[7].q.val();
        self.sums0_reg[0].d.next.protocol = self.product0_late_reg[9].q.val();
        self.sums0_reg[0].d.next.transport = self.product0_late_reg[8].q.val() + self.product0_late_reg[9].q.val();
        self.sums0_reg[1].d.next.address0 = self.sums0_reg[0].q.val().address0 + self.sums0_reg[0].q.val().address1;
        self.sums0_reg[1].d.next.address2 = self.sums0_reg[0].q.val().address2 + self.sums0_reg[0].q.val().address3;
        self.sums0_reg[2].d.next.address0 = self.sums0_reg[1].q.val().address0 + self.sums0_reg[1].q.val().address2;
        self.sums0_reg[3].d.next.protocol = self.sums0_reg[2].q.val().address0 + self.sums0_reg[2].q.val().protocol;
        self.sums0_reg[3].d.next.transport = self.sums0_reg[2].q.val().address0 + self.sums0_reg[2].q.val().transport;
        self.sums1_reg[0].d.next.address0 = self.product1_late_reg[0].q.val() + self.product1_late_reg[1].q.val();
        self.sums1_reg[0].d.next.address1 = self.product1_late_reg[2].q.val() + self.product1_late_reg[3].q.val();
        self.sums1_reg[0].d.next.address2 = self.product1_late_reg[4].q.val() + self.product1_late_reg[5].q.val();
        self.sums1_reg[0].d.next.address3 = self.product1_late_reg[6].q.val() + self.product1_late_reg[7].q.val();
        self.sums1_reg[0].d.next.protocol = self.product1_late_reg[9].q.val();
        self.sums1_reg[0].d.next.transport = self.product1_late_reg[8].q.val() + self.product1_late_reg[9].q.val();
        self.sums1_reg[1].d.next.address0 = self.sums1_reg[0].q.val().address0 + self.sums1_reg[0].q.val().address1;
        self.sums1_reg[1].d.next.address2 = self.sums1_reg[0].q.val().address2 + self.sums1_reg[0].q.val().address3;
        self.sums1_reg[2].d.next.address0 = self.sums1_reg[1].q.val().address0 + self.sums1_reg[1].q.val().address2;
        self.sums1_reg[3].d.next.protocol = self.sums1_reg[2].q.val().address0 + self.sums1_reg[2].q.val().protocol;
        self.sums1_reg[3].d.next.transport = self.sums1_reg[2].q.val().address0 + self.sums1_reg[2].q.val().transport;

        // Probes: the sum folded into 16 bits, of which the high ones are the row.
        self.total[0].next = self.sums0_reg[3].q.val().transport;
        self.total[1].next = self.sums1_reg[3].q.val().transport;
        self.total[2].next = self.sums0_reg[3].q.val().protocol;
        self.total[3].next = self.sums1_reg[3].q.val().protocol;
        for i in 0..4 {
            self.address[i].next = self.total[i].val().get_bits::<16>(0) ^ self.total[i].val().get_bits::<16>(16);
        }
        self.exact0.raddr.next = self.address[0].val().get_bits::<A>(self.shift.val().index());
        self.exact1.raddr.next = self.address[1].val().get_bits::<A>(self.shift.val().index());
        self.all0.raddr.next = self.address[2].val().get_bits::<A>(self.shift.val().index());
        self.all1.raddr.next = self.address[3].val().get_bits::<A>(self.shift.val().index());
        self.row_exact0_reg[0].d.next = self.exact0.rdata.val();
        self.row_exact1_reg[0].d.next = self.exact1.rdata.val();
        self.row_all0_reg[0].d.next = self.all0.rdata.val();
        self.row_all1_reg[0].d.next = self.all1.rdata.val();
        self.row_exact0_reg[1].d.next = self.row_exact0_reg[0].q.val();
        self.row_exact1_reg[1].d.next = self.row_exact1_reg[0].q.val();
        self.row_all0_reg[1].d.next = self.row_all0_reg[0].q.val();
        self.row_all1_reg[1].d.next = self.row_all1_reg[0].q.val();

        // Keys: the whole address, port, protocol, and the flags that belong to the key.
        self.rows[0].next = self.row_exact0_reg[0].q.val();
        self.rows[1].next = self.row_exact1_reg[0].q.val();
        self.rows[2].next = self.row_all0_reg[0].q.val();
        self.rows[3].next = self.row_all1_reg[0].q.val();
        self.tuple.next = self.tuple_reg[7].q.val();
        self.key_ports.next = self.tuple_reg[7].q.val().ports;
        self.family_flag.next = 0.into();
        if self.frame_reg[7].q.val().ipv6 {
            self.family_flag.next = self.flag_ipv6.val();
        }
        self.key_exact.next = bit_cast::<32, 16>(self.key_ports.val().get_bits::<16>(16))
            | (bit_cast::<32, 8>(self.tuple.val().protocol) << 16)
            | (bit_cast::<32, 8>(self.flags_exact.val()) << 24)
            | (bit_cast::<32, 8>(self.family_flag.val()) << 24);
        self.key_all.next = (bit_cast::<32, 8>(self.tuple.val().protocol) << 16)
            | (bit_cast::<32, 8>(self.flags_all.val()) << 24)
            | (bit_cast::<32, 8>(self.family_flag.val()) << 24);
        self.same[0].next = ((self.rows[0].val().w0 == self.tuple.val().destination0)
            & (self.rows[0].val().w1 == self.tuple.val().destination1))
            & ((self.rows[0].val().w2 == self.tuple.val().destination2)
                & (self.rows[0].val().w3 == self.tuple.val().destination3));
        self.same[1].next = ((self.rows[1].val().w0 == self.tuple.val().destination0)
            & (self.rows[1].val().w1 == self.tuple.val().destination1))
            & ((self.rows[1].val().w2 == self.tuple.val().destination2)
                & (self.rows[1].val().w3 == self.tuple.val().destination3));
        self.same[2].next = ((self.rows[2].val().w0 == self.tuple.val().destination0)
            & (self.rows[2].val().w1 == self.tuple.val().destination1))
            & ((self.rows[2].val().w2 == self.tuple.val().destination2)
                & (self.rows[2].val().w3 == self.tuple.val().destination3));
        self.same[3].next = ((self.rows[3].val().w0 == self.tuple.val().destination0)
            & (self.rows[3].val().w1 == self.tuple.val().destination1))
            & ((self.rows[3].val().w2 == self.tuple.val().destination2)
                & (self.rows[3].val().w3 == self.tuple.val().destination3));
        self.hits_reg.d.next.exact0 =
            self.same[0].val() & ((self.rows[0].val().w4 & self.key_mask.val()) == self.key_exact.val());
        self.hits_reg.d.next.exact1 =
            self.same[1].val() & ((self.rows[1].val().w4 & self.key_mask.val()) == self.key_exact.val());
        self.hits_reg.d.next.all0 =
            self.same[2].val() & ((self.rows[2].val().w4 & self.key_mask.val()) == self.key_all.val());
        self.hits_reg.d.next.all1 =
            self.same[3].val() & ((self.rows[3].val().w4 & self.key_mask.val()) == self.key_all.val());

        // The first hit decides.
        self.found.next = true;
        self.row.next = self.row_all1_reg[1].q.val();
        if self.hits_reg.q.val().exact0 {
            self.row.next = self.row_exact0_reg[1].q.val();
        } else if self.hits_reg.q.val().exact1 {
            self.row.next = self.row_exact1_reg[1].q.val();
        } else if self.hits_reg.q.val().all0 {
            self.row.next = self.row_all0_reg[1].q.val();
        } else if !self.hits_reg.q.val().all1 {
            self.found.next = false;
        }
        self.row_reg.d.next = self.row.val();
        self.found_reg.d.next = self.found.val();

        for i in 1..10 {
            self.frame_reg[i].d.next = self.frame_reg[i - 1].q.val();
            self.tuple_reg[i].d.next = self.tuple_reg[i - 1].q.val();
        }
        self.frame_reg[0].d.next = self.s_frame.val();
        self.tuple_reg[0].d.next = self.s_tuple.val();
        self.row_word4.next = self.row_reg.q.val().w4;
        self.row_word5.next = self.row_reg.q.val().w5;
        self.row_word7.next = self.row_reg.q.val().w7;
        self.flags.next = self.row_word4.val().get_bits::<8>(24);
        self.verdict.next = self.frame_reg[9].q.val().verdict;
        self.frame.next.matched = false;
        if self.frame_reg[9].q.val().verdict == 0 {
            self.frame.next.matched = self.found_reg.q.val();
            if !self.found_reg.q.val() {
                self.verdict.next = self.pass_no_service.val();
            } else if !self.flags.val().get_bit(1) {
                self.verdict.next = self.drop_service_disabled.val();
            }
        }
        self.frame.next.parsed = self.frame_reg[9].q.val();
        self.frame.next.verdict = self.verdict.val();
        self.frame.next.gre_keyed = self.flags.val().get_bit(4);
        self.frame.next.affinity = self.flags.val().get_bits::<2>(5);
        self.frame.next.lookup_base = self.row_word5.val().get_bits::<24>(0);
        self.frame.next.selection = self.row_word5.val().get_bits::<8>(24);
        self.frame.next.gre_key = self.row_reg.q.val().w6;
        self.frame.next.table_size = self.row_word7.val().get_bits::<16>(0);
        self.frame.next.service = self.row_word7.val().get_bits::<16>(16);
        self.m_frame.next = self.frame.val();
        self.m_tuple.next = self.tuple_reg[9].q.val();
        self.valid_reg.d.next = (self.valid_reg.q.val() << 1) | bit_cast::<10, 1>(self.s_valid.val().into());
        self.m_valid.next = self.valid_reg.q.val().get_bit(9);
        if self.reset.val() {
            self.valid_reg.d.next = 0.into();
        }
    }
}
