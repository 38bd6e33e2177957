//! Select: chooses the backend.
//!
//! In this version by the lookup table alone. Latency: nine clocks. One frame a clock.

use maglane_spec::limit::{NO_BACKEND, NO_SERVICE};
use maglane_spec::row::ServiceRow;
use maglane_spec::{Verdict, window};
use rust_hdl::prelude::*;

use crate::frame::{Classified, Parsed, Selected};
use crate::ram::{Ram, Row, RowRam};
use crate::verdict;

/// The select stage, with 2^L words of two lookup entries and 2^B backend rows.
#[derive(LogicBlock)]
pub struct Select<const L: usize, const B: usize> {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Synchronous reset, active high.
    pub reset: Signal<In, Bit>,
    /// Address on the table port; see [`window`].
    pub write_address: Signal<In, Bits<32>>,
    /// Word on the table port.
    pub write_data: Signal<In, Bits<32>>,
    /// Write enable of the table port.
    pub write_enable: Signal<In, Bit>,
    /// A frame enters the stage.
    pub s_valid: Signal<In, Bit>,
    /// The frame that enters.
    pub s_frame: Signal<In, Classified>,
    /// h, low half.
    pub hash_low: Signal<In, Bits<32>>,
    /// h, high half.
    pub hash_high: Signal<In, Bits<32>>,
    /// g, high half.
    pub choice: Signal<In, Bits<32>>,
    /// A frame leaves the stage.
    pub m_valid: Signal<Out, Bit>,
    /// The frame that leaves.
    pub m_frame: Signal<Out, Selected>,
    /// The row of its backend.
    pub m_row: Signal<Out, Row>,
    /// Lookup memory, two entries a word.
    pub lookup: Ram<Bits<32>, L>,
    /// Backend memory.
    pub backend: RowRam<B>,
    write_region: Signal<Local, Bits<4>>,
    parsed: Signal<Local, Parsed>,
    unsupported: Signal<Local, Bit>,
    frame_reg: [DFF<Selected>; 9],
    valid_reg: DFF<Bits<9>>,
    base_reg: [DFF<Bits<24>>; 3],
    product_high_reg: [DFF<Bits<32>>; 2],
    product_low_reg: [DFF<Bits<32>>; 2],
    sum: Signal<Local, Bits<32>>,
    index_reg: DFF<Bits<16>>,
    address_reg: DFF<Bits<24>>,
    odd_reg: [DFF<Bit>; 2],
    word_reg: DFF<Bits<32>>,
    entry_reg: DFF<Bits<16>>,
    row_reg: DFF<Row>,
    region_lookup: Constant<Bits<4>>,
    region_backend: Constant<Bits<4>>,
    nobody: Constant<Bits<16>>,
    no_service: Constant<Bits<16>>,
    by_hash: Constant<Bits<8>>,
    affinity_max: Constant<Bits<2>>,
    pass_unsupported: Constant<Bits<5>>,
    drop_no_backend: Constant<Bits<5>>,
}

impl<const L: usize, const B: usize> Default for Select<L, B> {
    fn default() -> Self {
        Self {
            clock: Default::default(),
            reset: Default::default(),
            write_address: Default::default(),
            write_data: Default::default(),
            write_enable: Default::default(),
            s_valid: Default::default(),
            s_frame: Default::default(),
            hash_low: Default::default(),
            hash_high: Default::default(),
            choice: Default::default(),
            m_valid: Default::default(),
            m_frame: Default::default(),
            m_row: Default::default(),
            lookup: Default::default(),
            backend: Default::default(),
            write_region: Default::default(),
            parsed: Default::default(),
            unsupported: Default::default(),
            frame_reg: std::array::from_fn(|_| Default::default()),
            valid_reg: Default::default(),
            base_reg: std::array::from_fn(|_| Default::default()),
            product_high_reg: std::array::from_fn(|_| Default::default()),
            product_low_reg: std::array::from_fn(|_| Default::default()),
            sum: Default::default(),
            index_reg: Default::default(),
            address_reg: Default::default(),
            odd_reg: std::array::from_fn(|_| Default::default()),
            word_reg: Default::default(),
            entry_reg: Default::default(),
            row_reg: Default::default(),
            region_lookup: Constant::new(u64::from(window::LOOKUP).into()),
            region_backend: Constant::new(u64::from(window::BACKEND).into()),
            nobody: Constant::new(u64::from(NO_BACKEND).into()),
            no_service: Constant::new(u64::from(NO_SERVICE).into()),
            by_hash: Constant::new(u64::from(ServiceRow::SELECTION_HASH).into()),
            affinity_max: Constant::new(u64::from(ServiceRow::AFFINITY_CLIENT).into()),
            pass_unsupported: verdict::code(Verdict::PassUnsupported),
            drop_no_backend: verdict::code(Verdict::DropNoBackend),
        }
    }
}

impl<const L: usize, const B: usize> Select<L, B> {
    /// Plants a fault of [`maglane_spec::Stage::Select`]: another entry than all ones means nobody.
    pub fn plant_fault(&mut self) {
        self.nobody = Constant::new(0_u64.into());
    }
}

impl<const L: usize, const B: usize> Logic for Select<L, B> {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, valid_reg, index_reg, address_reg, word_reg, entry_reg, row_reg);
        clock!(self, clock, lookup, backend);
        for i in 0..9 {
            self.frame_reg[i].clock.next = self.clock.val();
        }
        for i in 0..3 {
            self.base_reg[i].clock.next = self.clock.val();
        }
        for i in 0..2 {
            self.product_high_reg[i].clock.next = self.clock.val();
            self.product_low_reg[i].clock.next = self.clock.val();
            self.odd_reg[i].clock.next = self.clock.val();
        }

        // Table port.
        self.write_region.next = self.write_address.val().get_bits::<4>(28);
        self.lookup.waddr.next = self.write_address.val().get_bits::<L>(0);
        self.lookup.wdata.next = self.write_data.val();
        self.lookup.we.next = self.write_enable.val() & (self.write_region.val() == self.region_lookup.val());
        self.backend.waddr.next = self.write_address.val().get_bits::<B>(3);
        self.backend.wword.next = self.write_address.val().get_bits::<3>(0);
        self.backend.wdata.next = self.write_data.val();
        self.backend.we.next = self.write_enable.val() & (self.write_region.val() == self.region_backend.val());

        // What the row asks for, and the products of the range reduction: index = (g[63:32] * M) >> 32.
        self.parsed.next = self.s_frame.val().parsed;
        self.unsupported.next = (self.s_frame.val().selection != self.by_hash.val())
            | (self.s_frame.val().affinity > self.affinity_max.val());
        for i in 1..9 {
            self.frame_reg[i].d.next = self.frame_reg[i - 1].q.val();
        }
        self.frame_reg[0].d.next.verdict = self.s_frame.val().verdict;
        if (self.s_frame.val().verdict == 0) & self.unsupported.val() {
            self.frame_reg[0].d.next.verdict = self.pass_unsupported.val();
        }
        self.frame_reg[0].d.next.length = self.parsed.val().length;
        self.frame_reg[0].d.next.tagged = self.parsed.val().tagged;
        self.frame_reg[0].d.next.tci = self.parsed.val().tci;
        self.frame_reg[0].d.next.dscp_ecn = self.parsed.val().dscp_ecn;
        self.frame_reg[0].d.next.total_length = self.parsed.val().total_length;
        self.frame_reg[0].d.next.service = self.no_service.val();
        if self.s_frame.val().matched {
            self.frame_reg[0].d.next.service = self.s_frame.val().service;
        }
        self.frame_reg[0].d.next.gre_keyed = self.s_frame.val().gre_keyed;
        self.frame_reg[0].d.next.gre_key = self.s_frame.val().gre_key;
        self.frame_reg[0].d.next.hash_low = self.hash_low.val();
        self.frame_reg[0].d.next.hash_high = self.hash_high.val();
        self.frame_reg[0].d.next.backend = self.no_service.val();
        self.product_high_reg[0].d.next = self.choice.val().get_bits::<16>(16) * self.s_frame.val().table_size;
        self.product_low_reg[0].d.next = self.choice.val().get_bits::<16>(0) * self.s_frame.val().table_size;
        self.product_high_reg[1].d.next = self.product_high_reg[0].q.val();
        self.product_low_reg[1].d.next = self.product_low_reg[0].q.val();
        self.base_reg[0].d.next = self.s_frame.val().lookup_base;
        self.base_reg[1].d.next = self.base_reg[0].q.val();
        self.base_reg[2].d.next = self.base_reg[1].q.val();
        self.sum.next = self.product_high_reg[1].q.val() + (self.product_low_reg[1].q.val() >> 16);
        self.index_reg.d.next = self.sum.val().get_bits::<16>(16);
        self.address_reg.d.next = self.base_reg[2].q.val() + bit_cast::<24, 16>(self.index_reg.q.val());

        // Lookup entry: a word holds two, the even one low.
        self.lookup.raddr.next = self.address_reg.q.val().get_bits::<L>(1);
        self.odd_reg[0].d.next = self.address_reg.q.val().get_bit(0);
        self.odd_reg[1].d.next = self.odd_reg[0].q.val();
        self.word_reg.d.next = self.lookup.rdata.val();
        self.entry_reg.d.next = self.word_reg.q.val().get_bits::<16>(0);
        if self.odd_reg[1].q.val() {
            self.entry_reg.d.next = self.word_reg.q.val().get_bits::<16>(16);
        }

        // Backend row.
        self.backend.raddr.next = self.entry_reg.q.val().get_bits::<B>(0);
        if self.frame_reg[6].q.val().verdict == 0 {
            if self.entry_reg.q.val() == self.nobody.val() {
                self.frame_reg[7].d.next.verdict = self.drop_no_backend.val();
            } else {
                self.frame_reg[7].d.next.backend = bit_cast::<16, B>(self.entry_reg.q.val().get_bits::<B>(0));
            }
        }
        self.row_reg.d.next = self.backend.rdata.val();
        self.m_frame.next = self.frame_reg[8].q.val();
        self.m_row.next = self.row_reg.q.val();
        self.valid_reg.d.next = (self.valid_reg.q.val() << 1) | bit_cast::<9, 1>(self.s_valid.val().into());
        self.m_valid.next = self.valid_reg.q.val().get_bit(8);
        if self.reset.val() {
            self.valid_reg.d.next = 0.into();
        }
    }
}
