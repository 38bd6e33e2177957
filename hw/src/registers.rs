//! The card's registers: an AXI4-Lite slave, decoded from the map in [`maglane_spec::register`].
//!
//! A write takes effect in the clock in which address and data are both here and the response has room, one a clock. A
//! read goes to the core's port or is answered from here; answers keep the order of the addresses. No access goes
//! unanswered: a register that is not there reads as zero, and what was wrong is kept in the error register. All
//! responses are OKAY.
//!
//! # Source
//! Arm IHI 0022E, AMBA AXI and ACE protocol specification, section B1 (AXI4-Lite).

use maglane_spec::register::{self, BLOCKS, Content, Register, Size};
use maglane_spec::{Geometry, window};
use rust_hdl::prelude::*;

use crate::fifo::Fifo;

/// Receiving side of AXI4-Lite: 32 bits of data, 16 bits of address.
#[derive(LogicInterface, Default)]
#[join = "AxilM"]
pub struct AxilS {
    /// Address that is written.
    pub awaddr: Signal<In, Bits<16>>,
    /// There is one.
    pub awvalid: Signal<In, Bit>,
    /// It is taken.
    pub awready: Signal<Out, Bit>,
    /// What is written.
    pub wdata: Signal<In, Bits<32>>,
    /// Which bytes of it.
    pub wstrb: Signal<In, Bits<4>>,
    /// There is such a word.
    pub wvalid: Signal<In, Bit>,
    /// It is taken.
    pub wready: Signal<Out, Bit>,
    /// 0: OKAY.
    pub bresp: Signal<Out, Bits<2>>,
    /// A write is done.
    pub bvalid: Signal<Out, Bit>,
    /// That is taken note of.
    pub bready: Signal<In, Bit>,
    /// Address that is read.
    pub araddr: Signal<In, Bits<16>>,
    /// There is one.
    pub arvalid: Signal<In, Bit>,
    /// It is taken.
    pub arready: Signal<Out, Bit>,
    /// The word there.
    pub rdata: Signal<Out, Bits<32>>,
    /// 0: OKAY.
    pub rresp: Signal<Out, Bits<2>>,
    /// There is an answer.
    pub rvalid: Signal<Out, Bit>,
    /// It is taken.
    pub rready: Signal<In, Bit>,
}

/// Sending side of AXI4-Lite; see [`AxilS`].
#[derive(LogicInterface, Default)]
#[join = "AxilS"]
pub struct AxilM {
    /// Address that is written.
    pub awaddr: Signal<Out, Bits<16>>,
    /// There is one.
    pub awvalid: Signal<Out, Bit>,
    /// It is taken.
    pub awready: Signal<In, Bit>,
    /// What is written.
    pub wdata: Signal<Out, Bits<32>>,
    /// Which bytes of it.
    pub wstrb: Signal<Out, Bits<4>>,
    /// There is such a word.
    pub wvalid: Signal<Out, Bit>,
    /// It is taken.
    pub wready: Signal<In, Bit>,
    /// 0: OKAY.
    pub bresp: Signal<In, Bits<2>>,
    /// A write is done.
    pub bvalid: Signal<In, Bit>,
    /// That is taken note of.
    pub bready: Signal<Out, Bit>,
    /// Address that is read.
    pub araddr: Signal<Out, Bits<16>>,
    /// There is one.
    pub arvalid: Signal<Out, Bit>,
    /// It is taken.
    pub arready: Signal<In, Bit>,
    /// The word there.
    pub rdata: Signal<In, Bits<32>>,
    /// 0: OKAY.
    pub rresp: Signal<In, Bits<2>>,
    /// There is an answer.
    pub rvalid: Signal<In, Bit>,
    /// It is taken.
    pub rready: Signal<Out, Bit>,
}

/// What the card's wrapper says about itself: constants that are tied to the ports when it is synthesized.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Straps {
    /// Code of the wrapper; [`register::WRAPPERS`].
    pub wrapper: Bits<32>,
    /// The core's clock in kHz.
    pub clock_khz: Bits<32>,
    /// When the bitstream was built, in seconds since 1970.
    pub build_time: Bits<32>,
    /// Commit it was built from, bytes 0 to 3.
    pub git_hash_0: Bits<32>,
    /// Bytes 4 to 7.
    pub git_hash_1: Bits<32>,
    /// Bytes 8 to 11.
    pub git_hash_2: Bits<32>,
    /// Bytes 12 to 15.
    pub git_hash_3: Bits<32>,
    /// Bytes 16 to 19.
    pub git_hash_4: Bits<32>,
}

const fn is_fixed(content: Content) -> bool {
    matches!(content, Content::Fixed(_) | Content::Geometry(_))
}

const fn is_port(content: Content) -> bool {
    matches!(content, Content::Port(..))
}

const fn is_wrapper(content: Content) -> bool {
    matches!(content, Content::Wrapper)
}

/// Registers of a fixed value.
const FIXED: usize = 16;
/// Registers that are words of the core's port.
const PORTS: usize = 6;
/// Registers that the wrapper says.
const STRAPS: usize = 8;

// The loops below have these bounds as numbers, and the registers held here are decoded one by one.
const _: () = {
    let (mut fixed, mut ports, mut straps, mut held) = (0, 0, 0, 0);
    let mut block = 0;
    while block < BLOCKS.len() {
        let mut index = 0;
        while index < BLOCKS[block].registers.len() {
            let content = BLOCKS[block].registers[index].content;
            fixed += is_fixed(content) as usize;
            ports += is_port(content) as usize;
            straps += is_wrapper(content) as usize;
            held += matches!(content, Content::Held(_)) as usize;
            index += 1;
        }
        block += 1;
    }
    assert!(fixed == FIXED && ports == PORTS && straps == STRAPS && held == 4);
    assert!(register::PAGE_SHIFT == 13 && register::WINDOW == 1 << 15);
    assert!(window::REGION_SHIFT == 28 && window::COPY_SHIFT == 24 && window::SEQUENCE == 6);
    assert!(register::ERROR_ADDRESS == 1 && register::ERROR_READ_ONLY == 2 && register::ERROR_PARTIAL == 4);
    assert!(register::ERROR_HELD == 8 && register::ERROR_BUSY == 16);
};

fn offset(bytes: u32) -> Constant<Bits<16>> {
    Constant::new(u64::from(bytes).into())
}

fn those(is: fn(Content) -> bool) -> impl Iterator<Item = &'static Register> {
    BLOCKS.iter().flat_map(|block| block.registers).filter(move |register| is(register.content))
}

fn array<T, const N: usize>(items: impl Iterator<Item = T>) -> [T; N] {
    let items: Vec<T> = items.collect();
    items.try_into().map_err(|items: Vec<T>| items.len()).expect("the registers have been counted above")
}

/// The registers.
#[derive(LogicBlock)]
pub struct Registers {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Synchronous reset, active high.
    pub reset: Signal<In, Bit>,
    /// The host.
    pub s_axil: AxilS,
    /// What the wrapper says.
    pub straps: Signal<In, Straps>,
    /// Address that is written on the core's port.
    pub write_address: Signal<Out, Bits<32>>,
    /// Its word.
    pub write_data: Signal<Out, Bits<32>>,
    /// Write enable.
    pub write_enable: Signal<Out, Bit>,
    /// Address that is read on the core's port.
    pub read_address: Signal<Out, Bits<32>>,
    /// It is asked for, until `read_ready`.
    pub read_enable: Signal<Out, Bit>,
    /// The address is taken.
    pub read_ready: Signal<In, Bit>,
    /// A word that was asked for.
    pub read_data: Signal<In, Bits<32>>,
    /// `read_data` holds one.
    pub read_valid: Signal<In, Bit>,
    /// A write was lost because a commit waits.
    pub lost_held: Signal<In, Bit>,
    /// A write was lost because the card serves or sweeps.
    pub lost_busy: Signal<In, Bit>,
    scratch_reg: DFF<Bits<32>>,
    page_reg: DFF<Bits<19>>,
    error_reg: DFF<Bits<5>>,
    page: Signal<Local, Bits<32>>,
    // Region of the page: how many words and copies it has.
    region: Signal<Local, Bits<4>>,
    copy: Signal<Local, Bits<4>>,
    limit: Signal<Local, Bits<25>>,
    copies: Signal<Local, Bits<5>>,
    copy_there: Signal<Local, Bit>,

    write_at_reg: DFF<Bits<16>>,
    write_at_full_reg: DFF<Bit>,
    write_word_reg: DFF<Bits<32>>,
    write_lanes_reg: DFF<Bits<4>>,
    write_word_full_reg: DFF<Bit>,
    written_reg: DFF<Bit>,
    write_fire: Signal<Local, Bit>,
    write_at: Signal<Local, Bits<16>>,
    write_window: Signal<Local, Bits<32>>,
    write_in_window: Signal<Local, Bit>,
    write_known: Signal<Local, Bit>,
    write_allowed: Signal<Local, Bit>,
    write_effect: Signal<Local, Bit>,
    write_port: Signal<Local, Bit>,
    write_port_address: Signal<Local, Bits<32>>,
    write_enable_reg: DFF<Bit>,
    write_address_reg: DFF<Bits<32>>,
    write_data_reg: DFF<Bits<32>>,

    read_at_reg: DFF<Bits<16>>,
    read_at_full_reg: DFF<Bit>,
    read_fire: Signal<Local, Bit>,
    read_at: Signal<Local, Bits<16>>,
    read_window: Signal<Local, Bits<32>>,
    read_in_window: Signal<Local, Bit>,
    read_known: Signal<Local, Bit>,
    read_port: Signal<Local, Bit>,
    read_port_address: Signal<Local, Bits<32>>,
    read_here: Signal<Local, Bits<32>>,
    asked_reg: DFF<Bit>,
    asked_port_reg: DFF<Bit>,
    asked_address_reg: DFF<Bits<32>>,
    asked_here_reg: DFF<Bits<32>>,
    asked_goes: Signal<Local, Bit>,
    answers_here: Signal<Local, Bit>,
    // Answers that are due from the core's port, and all that are not taken yet.
    due_reg: DFF<Bits<4>>,
    open_reg: DFF<Bits<4>>,
    due: Signal<Local, Bits<4>>,
    open: Signal<Local, Bits<4>>,
    taken: Signal<Local, Bit>,
    answers: Fifo<Bits<32>, 4>,

    errors: Signal<Local, Bits<5>>,
    cleared: Signal<Local, Bits<5>>,
    error: [Constant<Bits<5>>; 5],
    strap: [Signal<Local, Bits<32>>; STRAPS],
    limits: [Constant<Bits<25>>; 16],
    copies_of: [Constant<Bits<5>>; 16],
    fixed_offset: [Constant<Bits<16>>; FIXED],
    fixed_value: [Constant<Bits<32>>; FIXED],
    strap_offset: [Constant<Bits<16>>; STRAPS],
    port_offset: [Constant<Bits<16>>; PORTS],
    port_address: [Constant<Bits<32>>; PORTS],
    port_reads: [Constant<Bit>; PORTS],
    port_writes: [Constant<Bit>; PORTS],
    scratch_offset: Constant<Bits<16>>,
    flip_offset: Constant<Bits<16>>,
    error_offset: Constant<Bits<16>>,
    page_offset: Constant<Bits<16>>,
    region_written: Constant<Bits<4>>,
    open_max: Constant<Bits<4>>,
}

impl Registers {
    /// The registers of a card of these sizes.
    #[must_use]
    pub fn new(geometry: &Geometry) -> Self {
        let size = |size| match size {
            Size::BusBytes => geometry.bus_bytes,
            Size::Services => geometry.services,
            Size::Backends => geometry.backends,
            Size::LookupEntries => geometry.lookup_entries,
            Size::FlowSets => geometry.flow_sets,
        };
        let value = |register: &Register| match register.content {
            Content::Fixed(value) => value,
            Content::Geometry(number) => size(number),
            Content::Wrapper | Content::Held(_) | Content::Port(..) => 0,
        };
        let address = |register: &Register| match register.content {
            Content::Port(address, _) => address,
            _ => 0,
        };
        let regions = || 0_u32..16;
        Self {
            clock: Default::default(),
            reset: Default::default(),
            s_axil: Default::default(),
            straps: Default::default(),
            write_address: Default::default(),
            write_data: Default::default(),
            write_enable: Default::default(),
            read_address: Default::default(),
            read_enable: Default::default(),
            read_ready: Default::default(),
            read_data: Default::default(),
            read_valid: Default::default(),
            lost_held: Default::default(),
            lost_busy: Default::default(),
            scratch_reg: Default::default(),
            page_reg: Default::default(),
            error_reg: Default::default(),
            page: Default::default(),
            region: Default::default(),
            copy: Default::default(),
            limit: Default::default(),
            copies: Default::default(),
            copy_there: Default::default(),
            write_at_reg: Default::default(),
            write_at_full_reg: Default::default(),
            write_word_reg: Default::default(),
            write_lanes_reg: Default::default(),
            write_word_full_reg: Default::default(),
            written_reg: Default::default(),
            write_fire: Default::default(),
            write_at: Default::default(),
            write_window: Default::default(),
            write_in_window: Default::default(),
            write_known: Default::default(),
            write_allowed: Default::default(),
            write_effect: Default::default(),
            write_port: Default::default(),
            write_port_address: Default::default(),
            write_enable_reg: Default::default(),
            write_address_reg: Default::default(),
            write_data_reg: Default::default(),
            read_at_reg: Default::default(),
            read_at_full_reg: Default::default(),
            read_fire: Default::default(),
            read_at: Default::default(),
            read_window: Default::default(),
            read_in_window: Default::default(),
            read_known: Default::default(),
            read_port: Default::default(),
            read_port_address: Default::default(),
            read_here: Default::default(),
            asked_reg: Default::default(),
            asked_port_reg: Default::default(),
            asked_address_reg: Default::default(),
            asked_here_reg: Default::default(),
            asked_goes: Default::default(),
            answers_here: Default::default(),
            due_reg: Default::default(),
            open_reg: Default::default(),
            due: Default::default(),
            open: Default::default(),
            taken: Default::default(),
            answers: Default::default(),
            errors: Default::default(),
            cleared: Default::default(),
            error: std::array::from_fn(|bit| Constant::new((1_u64 << bit).into())),
            strap: std::array::from_fn(|_| Default::default()),
            limits: array(regions().map(|region| Constant::new(u64::from(window::words(region, geometry)).into()))),
            copies_of: array(regions().map(|region| Constant::new(u64::from(window::copies(region)).into()))),
            fixed_offset: array(those(is_fixed).map(|register| offset(register.offset))),
            fixed_value: array(those(is_fixed).map(|register| Constant::new(u64::from(value(register)).into()))),
            strap_offset: array(those(is_wrapper).map(|register| offset(register.offset))),
            port_offset: array(those(is_port).map(|register| offset(register.offset))),
            port_address: array(those(is_port).map(|register| Constant::new(u64::from(address(register)).into()))),
            port_reads: array(those(is_port).map(|register| Constant::new(register.access.reads()))),
            port_writes: array(those(is_port).map(|register| Constant::new(register.access.writes()))),
            scratch_offset: offset(register::IDENTITY_SCRATCH),
            flip_offset: offset(register::IDENTITY_FLIP),
            error_offset: offset(register::IDENTITY_ERROR),
            page_offset: offset(register::TABLE_PAGE),
            region_written: Constant::new(u64::from(window::SEQUENCE).into()),
            open_max: Constant::new(OPEN_MAX.into()),
        }
    }
}

/// Reads that may be on their way: below what the queue of answers holds.
const OPEN_MAX: u64 = 12;

impl Logic for Registers {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
            scratch_reg,
            page_reg,
            error_reg,
            write_at_reg,
            write_at_full_reg,
            write_word_reg,
            write_lanes_reg,
            write_word_full_reg,
            written_reg,
            write_enable_reg,
            write_address_reg,
            write_data_reg,
            read_at_reg,
            read_at_full_reg,
            asked_reg,
            asked_port_reg,
            asked_address_reg,
            asked_here_reg,
            due_reg,
            open_reg
        );
        clock!(self, clock, answers);
        self.answers.reset.next = self.reset.val();

        // The page.
        self.page.next = bit_cast::<32, 19>(self.page_reg.q.val()) << 13;
        self.region.next = self.page.val().get_bits::<4>(28);
        self.copy.next = self.page.val().get_bits::<4>(24);
        self.limit.next = 0.into();
        self.copies.next = 0.into();
        for i in 0_usize..16_usize {
            if self.region.val() == i.to_bits() {
                self.limit.next = self.limits[i].val();
                self.copies.next = self.copies_of[i].val();
            }
        }
        self.copy_there.next = bit_cast::<5, 4>(self.copy.val()) < self.copies.val();

        // A write: address and data come as they like.
        self.write_fire.next = (self.write_at_full_reg.q.val() & self.write_word_full_reg.q.val())
            & (!self.written_reg.q.val() | self.s_axil.bready.val());
        self.s_axil.awready.next = !self.write_at_full_reg.q.val() | self.write_fire.val();
        self.s_axil.wready.next = !self.write_word_full_reg.q.val() | self.write_fire.val();
        if !self.write_at_full_reg.q.val() | self.write_fire.val() {
            self.write_at_reg.d.next = self.s_axil.awaddr.val();
            self.write_at_full_reg.d.next = self.s_axil.awvalid.val();
        }
        if !self.write_word_full_reg.q.val() | self.write_fire.val() {
            self.write_word_reg.d.next = self.s_axil.wdata.val();
            self.write_lanes_reg.d.next = self.s_axil.wstrb.val();
            self.write_word_full_reg.d.next = self.s_axil.wvalid.val();
        }
        if self.written_reg.q.val() & self.s_axil.bready.val() {
            self.written_reg.d.next = false;
        }
        if self.write_fire.val() {
            self.written_reg.d.next = true;
        }
        self.s_axil.bvalid.next = self.written_reg.q.val();
        self.s_axil.bresp.next = 0.into();
        self.write_at.next = self.write_at_reg.q.val();
        self.write_window.next = bit_cast::<32, 13>(self.write_at.val().get_bits::<13>(2)) | self.page.val();
        self.write_in_window.next = self.write_at.val().get_bit(15)
            & (self.copy_there.val()
                & (bit_cast::<25, 24>(self.write_window.val().get_bits::<24>(0)) < self.limit.val()));
        self.write_known.next = self.write_in_window.val();
        self.write_allowed.next =
            self.write_in_window.val() & ((self.region.val() <= self.region_written.val()) & (self.copy.val() == 0));
        self.write_port.next = self.write_in_window.val();
        self.write_port_address.next = self.write_window.val();
        for i in 0..6 {
            if self.write_at.val() == self.port_offset[i].val() {
                self.write_known.next = true;
                self.write_allowed.next = self.port_writes[i].val();
                self.write_port.next = true;
                self.write_port_address.next = self.port_address[i].val();
            }
        }
        for i in 0..16 {
            if self.write_at.val() == self.fixed_offset[i].val() {
                self.write_known.next = true;
            }
        }
        for i in 0..8 {
            if self.write_at.val() == self.strap_offset[i].val() {
                self.write_known.next = true;
            }
        }
        if self.write_at.val() == self.flip_offset.val() {
            self.write_known.next = true;
        }
        if (self.write_at.val() == self.scratch_offset.val())
            | ((self.write_at.val() == self.error_offset.val()) | (self.write_at.val() == self.page_offset.val()))
        {
            self.write_known.next = true;
            self.write_allowed.next = true;
        }
        // The two lowest address bits are zero in what is known here; in the window they must be.
        if self.write_at.val().get_bits::<2>(0) != 0 {
            self.write_known.next = false;
        }
        self.write_effect.next = self.write_fire.val()
            & ((self.write_known.val() & self.write_allowed.val()) & (self.write_lanes_reg.q.val() == 15));
        self.write_enable_reg.d.next = self.write_effect.val() & self.write_port.val();
        self.write_address_reg.d.next = self.write_port_address.val();
        self.write_data_reg.d.next = self.write_word_reg.q.val();
        self.write_enable.next = self.write_enable_reg.q.val();
        self.write_address.next = self.write_address_reg.q.val();
        self.write_data.next = self.write_data_reg.q.val();
        self.cleared.next = 0.into();
        if self.write_effect.val() {
            if self.write_at.val() == self.scratch_offset.val() {
                self.scratch_reg.d.next = self.write_word_reg.q.val();
            }
            if self.write_at.val() == self.page_offset.val() {
                self.page_reg.d.next = self.write_word_reg.q.val().get_bits::<19>(0);
            }
            if self.write_at.val() == self.error_offset.val() {
                self.cleared.next = self.write_word_reg.q.val().get_bits::<5>(0);
            }
        }

        // An answer from here waits until none is due from the core's port, so that answers keep their order.
        self.answers_here.next = self.asked_reg.q.val()
            & (!self.asked_port_reg.q.val()
                & ((self.due_reg.q.val() == 0) & (self.open_reg.q.val() < self.open_max.val())));
        self.read_enable.next =
            self.asked_reg.q.val() & (self.asked_port_reg.q.val() & (self.open_reg.q.val() < self.open_max.val()));
        self.read_address.next = self.asked_address_reg.q.val();
        self.asked_goes.next = self.answers_here.val() | (self.read_enable.val() & self.read_ready.val());

        // A read: what it leads to is made out, then asked for.
        self.read_fire.next = self.read_at_full_reg.q.val() & (!self.asked_reg.q.val() | self.asked_goes.val());
        self.s_axil.arready.next = !self.read_at_full_reg.q.val() | self.read_fire.val();
        if !self.read_at_full_reg.q.val() | self.read_fire.val() {
            self.read_at_reg.d.next = self.s_axil.araddr.val();
            self.read_at_full_reg.d.next = self.s_axil.arvalid.val();
        }
        self.read_at.next = self.read_at_reg.q.val();
        self.read_window.next = bit_cast::<32, 13>(self.read_at.val().get_bits::<13>(2)) | self.page.val();
        self.read_in_window.next = self.read_at.val().get_bit(15)
            & (self.copy_there.val()
                & (bit_cast::<25, 24>(self.read_window.val().get_bits::<24>(0)) < self.limit.val()));
        self.read_known.next = self.read_in_window.val();
        self.read_port.next = self.read_in_window.val();
        self.read_port_address.next = self.read_window.val();
        self.read_here.next = 0.into();
        for i in 0..6 {
            if self.read_at.val() == self.port_offset[i].val() {
                self.read_known.next = true;
                self.read_port.next = self.port_reads[i].val();
                self.read_port_address.next = self.port_address[i].val();
            }
        }
        for i in 0..16 {
            if self.read_at.val() == self.fixed_offset[i].val() {
                self.read_known.next = true;
                self.read_here.next = self.fixed_value[i].val();
            }
        }
        self.strap[0].next = self.straps.val().wrapper;
        self.strap[1].next = self.straps.val().clock_khz;
        self.strap[2].next = self.straps.val().build_time;
        self.strap[3].next = self.straps.val().git_hash_0;
        self.strap[4].next = self.straps.val().git_hash_1;
        self.strap[5].next = self.straps.val().git_hash_2;
        self.strap[6].next = self.straps.val().git_hash_3;
        self.strap[7].next = self.straps.val().git_hash_4;
        for i in 0..8 {
            if self.read_at.val() == self.strap_offset[i].val() {
                self.read_known.next = true;
                self.read_here.next = self.strap[i].val();
            }
        }
        if self.read_at.val() == self.scratch_offset.val() {
            self.read_known.next = true;
            self.read_here.next = self.scratch_reg.q.val();
        }
        if self.read_at.val() == self.flip_offset.val() {
            self.read_known.next = true;
            self.read_here.next = !self.scratch_reg.q.val();
        }
        if self.read_at.val() == self.error_offset.val() {
            self.read_known.next = true;
            self.read_here.next = bit_cast::<32, 5>(self.error_reg.q.val());
        }
        if self.read_at.val() == self.page_offset.val() {
            self.read_known.next = true;
            self.read_here.next = bit_cast::<32, 19>(self.page_reg.q.val());
        }
        if self.read_at.val().get_bits::<2>(0) != 0 {
            self.read_known.next = false;
            self.read_port.next = false;
        }
        if self.asked_goes.val() {
            self.asked_reg.d.next = false;
        }
        if self.read_fire.val() {
            self.asked_reg.d.next = true;
            self.asked_port_reg.d.next = self.read_port.val();
            self.asked_address_reg.d.next = self.read_port_address.val();
            self.asked_here_reg.d.next = self.read_here.val();
        }

        // Answers that are due, and those that are open.
        self.due.next = self.due_reg.q.val();
        if (self.read_enable.val() & self.read_ready.val()) & !self.read_valid.val() {
            self.due.next = self.due_reg.q.val() + 1;
        }
        if self.read_valid.val() & !(self.read_enable.val() & self.read_ready.val()) {
            self.due.next = self.due_reg.q.val() - 1;
        }
        self.due_reg.d.next = self.due.val();
        self.taken.next = self.answers.valid.val() & self.s_axil.rready.val();
        self.open.next = self.open_reg.q.val();
        if self.asked_goes.val() & !self.taken.val() {
            self.open.next = self.open_reg.q.val() + 1;
        }
        if self.taken.val() & !self.asked_goes.val() {
            self.open.next = self.open_reg.q.val() - 1;
        }
        self.open_reg.d.next = self.open.val();
        self.answers.din.next = self.read_data.val();
        if self.answers_here.val() {
            self.answers.din.next = self.asked_here_reg.q.val();
        }
        self.answers.push.next = self.answers_here.val() | self.read_valid.val();
        self.answers.pop.next = self.taken.val();
        self.s_axil.rdata.next = self.answers.dout.val();
        self.s_axil.rvalid.next = self.answers.valid.val();
        self.s_axil.rresp.next = 0.into();

        // What was wrong.
        self.errors.next = self.error_reg.q.val() & !self.cleared.val();
        if (self.write_fire.val() & !self.write_known.val()) | (self.read_fire.val() & !self.read_known.val()) {
            self.errors.next = self.errors.val() | self.error[0].val();
        }
        if self.write_fire.val() & (self.write_known.val() & !self.write_allowed.val()) {
            self.errors.next = self.errors.val() | self.error[1].val();
        }
        if self.write_fire.val() & (self.write_lanes_reg.q.val() != 15) {
            self.errors.next = self.errors.val() | self.error[2].val();
        }
        if self.lost_held.val() {
            self.errors.next = self.errors.val() | self.error[3].val();
        }
        if self.lost_busy.val() {
            self.errors.next = self.errors.val() | self.error[4].val();
        }
        self.error_reg.d.next = self.errors.val();
        if self.reset.val() {
            self.scratch_reg.d.next = 0.into();
            self.page_reg.d.next = 0.into();
            self.error_reg.d.next = 0.into();
            self.write_at_full_reg.d.next = false;
            self.write_word_full_reg.d.next = false;
            self.written_reg.d.next = false;
            self.write_enable_reg.d.next = false;
            self.read_at_full_reg.d.next = false;
            self.asked_reg.d.next = false;
            self.due_reg.d.next = 0.into();
            self.open_reg.d.next = 0.into();
        }
    }
}
