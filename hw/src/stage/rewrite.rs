//! Rewrite: builds the outer headers, and decides what transmit does with the frame.
//!
//! Latency: six clocks. One frame a clock.

use maglane_spec::Verdict;
use maglane_spec::row::BackendRow;
use maglane_spec::wire::{ethernet, gre, ipv4, ipv6};
use rust_hdl::prelude::*;

use crate::control::Settings;
use crate::frame::Selected;
use crate::ram::Row;
use crate::verdict;

/// Most bits in front of the inner packet: Ethernet 14, tag 4, IPv6 40, GRE with key 8 bytes.
pub const PREFIX_BITS: usize = 528;

/// What transmit does with a frame.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Egress {
    /// Verdict code.
    pub verdict: Bits<5>,
    /// Length of the frame in bytes, as it came in.
    pub length: Bits<16>,
    /// Length of the frame in bytes as it leaves; 0 when it does not.
    pub out_length: Bits<16>,
    /// Service id, all ones when none matched.
    pub service: Bits<16>,
    /// Backend id, all ones when there is none.
    pub backend: Bits<16>,
    /// What the frame met in the flow table.
    pub flow: Bits<3>,
    /// Low half of the flow hash.
    pub hash_low: Bits<32>,
    /// High half of the flow hash.
    pub hash_high: Bits<32>,
    /// The frame carries an 802.1Q tag.
    pub tagged: Bit,
    /// GRE carries a key.
    pub keyed: Bit,
    /// The outer header is IPv6.
    pub outer_v6: Bit,
    /// Everything in front of the inner packet, zeros behind it.
    pub prefix: Bits<528>,
}

/// An address in four words; IPv4 is in the first.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Address {
    w0: Bits<32>,
    w1: Bits<32>,
    w2: Bits<32>,
    w3: Bits<32>,
}

/// Ethernet header without a tag.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Plain {
    destination_low: Bits<32>,
    destination_high: Bits<16>,
    source_low: Bits<32>,
    source_high: Bits<16>,
    ethertype: Bits<16>,
}

/// Ethernet header with a tag.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Tagged {
    destination_low: Bits<32>,
    destination_high: Bits<16>,
    source_low: Bits<32>,
    source_high: Bits<16>,
    tpid: Bits<16>,
    tci: Bits<16>,
    ethertype: Bits<16>,
}

/// Outer IPv4 header.
///
/// # Source
/// RFC 791, section 3.1.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct OuterV4 {
    version_ihl: Bits<8>,
    dscp_ecn: Bits<8>,
    total_length: Bits<16>,
    identification: Bits<16>,
    fragment: Bits<16>,
    ttl: Bits<8>,
    protocol: Bits<8>,
    checksum: Bits<16>,
    source: Bits<32>,
    destination: Bits<32>,
}

/// Outer IPv6 header.
///
/// # Source
/// RFC 8200, section 3.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct OuterV6 {
    version_class: Bits<8>,
    class_label: Bits<8>,
    label: Bits<16>,
    payload_length: Bits<16>,
    next_header: Bits<8>,
    hop_limit: Bits<8>,
    source: Address,
    destination: Address,
}

/// GRE header.
///
/// # Source
/// RFC 2784, section 2; RFC 2890, section 2.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Gre {
    flags: Bits<16>,
    protocol: Bits<16>,
    key: Bits<32>,
}

/// Prefix of an untagged frame over IPv4.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct PlainV4 {
    ethernet: Plain,
    outer: OuterV4,
    gre: Gre,
    padding: Bits<192>,
}

/// Prefix of a tagged frame over IPv4.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct TaggedV4 {
    ethernet: Tagged,
    outer: OuterV4,
    gre: Gre,
    padding: Bits<160>,
}

/// Prefix of an untagged frame over IPv6.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct PlainV6 {
    ethernet: Plain,
    outer: OuterV6,
    gre: Gre,
    padding: Bits<32>,
}

/// Prefix of a tagged frame over IPv6.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct TaggedV6 {
    ethernet: Tagged,
    outer: OuterV6,
    gre: Gre,
}

/// Partial sums of the outer header's checksum.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct HeaderSums {
    a: Bits<20>,
    b: Bits<20>,
    c: Bits<20>,
    d: Bits<20>,
}

/// The rewrite stage.
#[derive(LogicBlock)]
pub struct Rewrite {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Synchronous reset, active high.
    pub reset: Signal<In, Bit>,
    /// Settings of the datapath.
    pub settings: Signal<In, Settings>,
    /// A frame enters the stage.
    pub s_valid: Signal<In, Bit>,
    /// The frame that enters.
    pub s_frame: Signal<In, Selected>,
    /// The row of its backend.
    pub s_row: Signal<In, Row>,
    /// A frame leaves the stage.
    pub m_valid: Signal<Out, Bit>,
    /// What transmit does with the frame.
    pub m_egress: Signal<Out, Egress>,
    word: [Signal<Local, Bits<32>>; 4],
    frame_reg: [DFF<Selected>; 6],
    valid_reg: DFF<Bits<6>>,
    next_hop_low_reg: [DFF<Bits<32>>; 6],
    next_hop_high_reg: [DFF<Bits<16>>; 6],
    destination_reg: [DFF<Address>; 6],
    outer_v6_reg: DFF<Bits<6>>,
    to_v6: Signal<Local, Bit>,
    source_reg: [DFF<Bits<32>>; 6],
    total_reg: [DFF<Bits<16>>; 5],
    mtu_reg: DFF<Bits<16>>,
    added: Signal<Local, Bits<16>>,
    added_v6: Signal<Local, Bits<16>>,
    total_v4_reg: DFF<Bits<16>>,
    total_v6_reg: DFF<Bits<16>>,
    total: Signal<Local, Bits<16>>,
    hash_part: Signal<Local, Bits<16>>,
    source_part: Signal<Local, Bits<16>>,
    source_number: Signal<Local, Bits<16>>,
    source_lanes: Signal<Local, Bits<16>>,
    keep_mask: Signal<Local, Bits<16>>,
    total_lanes: Signal<Local, Bits<16>>,
    source_word: Signal<Local, Bits<32>>,
    destination_word: Signal<Local, Bits<32>>,
    first_word: Signal<Local, Bits<16>>,
    ttl_word: Signal<Local, Bits<16>>,
    sums_reg: [DFF<HeaderSums>; 3],
    sum: Signal<Local, Bits<20>>,
    fold_reg: DFF<Bits<20>>,
    fold: Signal<Local, Bits<20>>,
    folded: Signal<Local, Bits<16>>,
    checksum_reg: DFF<Bits<16>>,
    frame: Signal<Local, Selected>,
    payload_reg: DFF<Bits<16>>,
    over_v6: Signal<Local, Bit>,
    outer_ethertype: Signal<Local, Bits<16>>,
    ethernet_plain: Signal<Local, Plain>,
    ethernet_tagged: Signal<Local, Tagged>,
    outer_v4: Signal<Local, OuterV4>,
    outer_v6: Signal<Local, OuterV6>,
    gre: Signal<Local, Gre>,
    label: Signal<Local, Bits<32>>,
    label_lanes: Signal<Local, Bits<16>>,
    traffic_class: Signal<Local, Bits<8>>,
    source_v6: Signal<Local, Address>,
    destination: Signal<Local, Address>,
    plain_v4: Signal<Local, PlainV4>,
    tagged_v4: Signal<Local, TaggedV4>,
    plain_v6: Signal<Local, PlainV6>,
    tagged_v6: Signal<Local, TaggedV6>,
    egress: Signal<Local, Egress>,
    total_out_lanes: Signal<Local, Bits<16>>,
    prefix_length: Signal<Local, Bits<16>>,
    added_plain: Constant<Bits<16>>,
    added_keyed: Constant<Bits<16>>,
    added_plain_v6: Constant<Bits<16>>,
    added_keyed_v6: Constant<Bits<16>>,
    ethernet_length: Constant<Bits<16>>,
    ethernet_tagged_length: Constant<Bits<16>>,
    encapsulation_gre_ipv4: Constant<Bits<8>>,
    encapsulation_gre_ipv6: Constant<Bits<8>>,
    version_v6: Constant<Bits<8>>,
    version_ihl: Constant<Bits<8>>,
    dont_fragment: Constant<Bits<16>>,
    protocol_gre: Constant<Bits<8>>,
    ethertype_ipv4: Constant<Bits<16>>,
    ethertype_ipv6: Constant<Bits<16>>,
    tpid: Constant<Bits<16>>,
    gre_flag_key: Constant<Bits<16>>,
    pass_unsupported: Constant<Bits<5>>,
    pass_too_big: Constant<Bits<5>>,
    drop_bit: Constant<Bits<5>>,
}

impl Default for Rewrite {
    fn default() -> Self {
        Self {
            clock: Default::default(),
            reset: Default::default(),
            settings: Default::default(),
            s_valid: Default::default(),
            s_frame: Default::default(),
            s_row: Default::default(),
            m_valid: Default::default(),
            m_egress: Default::default(),
            word: std::array::from_fn(|_| Default::default()),
            frame_reg: std::array::from_fn(|_| Default::default()),
            valid_reg: Default::default(),
            next_hop_low_reg: std::array::from_fn(|_| Default::default()),
            next_hop_high_reg: std::array::from_fn(|_| Default::default()),
            destination_reg: std::array::from_fn(|_| Default::default()),
            outer_v6_reg: Default::default(),
            to_v6: Default::default(),
            source_reg: std::array::from_fn(|_| Default::default()),
            total_reg: std::array::from_fn(|_| Default::default()),
            mtu_reg: Default::default(),
            added: Default::default(),
            added_v6: Default::default(),
            total_v4_reg: Default::default(),
            total_v6_reg: Default::default(),
            total: Default::default(),
            hash_part: Default::default(),
            source_part: Default::default(),
            source_number: Default::default(),
            source_lanes: Default::default(),
            keep_mask: Default::default(),
            total_lanes: Default::default(),
            source_word: Default::default(),
            destination_word: Default::default(),
            first_word: Default::default(),
            ttl_word: Default::default(),
            sums_reg: std::array::from_fn(|_| Default::default()),
            sum: Default::default(),
            fold_reg: Default::default(),
            fold: Default::default(),
            folded: Default::default(),
            checksum_reg: Default::default(),
            frame: Default::default(),
            payload_reg: Default::default(),
            over_v6: Default::default(),
            outer_ethertype: Default::default(),
            ethernet_plain: Default::default(),
            ethernet_tagged: Default::default(),
            outer_v4: Default::default(),
            outer_v6: Default::default(),
            gre: Default::default(),
            label: Default::default(),
            label_lanes: Default::default(),
            traffic_class: Default::default(),
            source_v6: Default::default(),
            destination: Default::default(),
            plain_v4: Default::default(),
            tagged_v4: Default::default(),
            plain_v6: Default::default(),
            tagged_v6: Default::default(),
            egress: Default::default(),
            total_out_lanes: Default::default(),
            prefix_length: Default::default(),
            added_plain: Constant::new((ADDED_PLAIN as u64).into()),
            added_keyed: Constant::new(((ADDED_PLAIN + gre::KEY_LEN) as u64).into()),
            added_plain_v6: Constant::new((ADDED_PLAIN_V6 as u64).into()),
            added_keyed_v6: Constant::new(((ADDED_PLAIN_V6 + gre::KEY_LEN) as u64).into()),
            ethernet_length: Constant::new((ethernet::HEADER_LEN as u64).into()),
            ethernet_tagged_length: Constant::new(((ethernet::HEADER_LEN + ethernet::TAG_LEN) as u64).into()),
            encapsulation_gre_ipv4: Constant::new(u64::from(BackendRow::ENCAPSULATION_GRE_IPV4).into()),
            encapsulation_gre_ipv6: Constant::new(u64::from(BackendRow::ENCAPSULATION_GRE_IPV6).into()),
            version_v6: Constant::new(u64::from(ipv6::VERSION << 4).into()),
            version_ihl: Constant::new(u64::from(ipv4::VERSION_IHL_PLAIN).into()),
            dont_fragment: Constant::new(u64::from(ipv4::FRAGMENT_DF.swap_bytes()).into()),
            protocol_gre: Constant::new(u64::from(ipv4::PROTOCOL_GRE).into()),
            ethertype_ipv4: Constant::new(u64::from(ethernet::ETHERTYPE_IPV4.swap_bytes()).into()),
            ethertype_ipv6: Constant::new(u64::from(ethernet::ETHERTYPE_IPV6.swap_bytes()).into()),
            tpid: Constant::new(u64::from(ethernet::TPID.swap_bytes()).into()),
            gre_flag_key: Constant::new(u64::from(gre::FLAG_KEY.swap_bytes()).into()),
            pass_unsupported: verdict::code(Verdict::PassUnsupported),
            pass_too_big: verdict::code(Verdict::PassTooBig),
            drop_bit: Constant::new(u64::from(Verdict::DROP_BIT).into()),
        }
    }
}

/// Bytes that the outer headers add without a key.
const ADDED_PLAIN: usize = ipv4::HEADER_LEN + gre::HEADER_LEN;
/// The same with IPv6 outside.
const ADDED_PLAIN_V6: usize = ipv6::HEADER_LEN + gre::HEADER_LEN;

// The slices of a row follow its layout; a change there must stop the build here.
const _: () = {
    assert!(BackendRow::ADDRESS_OFFSET == 0 && BackendRow::NEXT_HOP_MAC_OFFSET == 16);
    assert!(ipv6::HEADER_LEN == 40 && ipv6::CLASS_SHIFT == 20 && ipv6::LABEL_MASK == 0xf_ffff);
    assert!(BackendRow::MTU_OFFSET == 22 && BackendRow::ENCAPSULATION_OFFSET == 26);
    assert!(PREFIX_BITS == 8 * (ethernet::HEADER_LEN + ethernet::TAG_LEN + ADDED_PLAIN_V6 + gre::KEY_LEN));
};

impl Rewrite {
    /// Plants a fault of [`maglane_spec::Stage::Rewrite`]: the outer packet may be fragmented on its way.
    pub fn plant_fault(&mut self) {
        self.dont_fragment = Constant::new(0_u64.into());
    }
}

impl Logic for Rewrite {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(
            self,
            clock,
            valid_reg,
            mtu_reg,
            fold_reg,
            checksum_reg,
            outer_v6_reg,
            payload_reg,
            total_v4_reg,
            total_v6_reg
        );
        for i in 0..6 {
            self.frame_reg[i].clock.next = self.clock.val();
            self.next_hop_low_reg[i].clock.next = self.clock.val();
            self.next_hop_high_reg[i].clock.next = self.clock.val();
            self.destination_reg[i].clock.next = self.clock.val();
            self.source_reg[i].clock.next = self.clock.val();
        }
        for i in 0..5 {
            self.total_reg[i].clock.next = self.clock.val();
        }
        for i in 1..5 {
            self.total_reg[i].d.next = self.total_reg[i - 1].q.val();
        }
        for i in 0..3 {
            self.sums_reg[i].clock.next = self.clock.val();
        }
        for i in 1..6 {
            self.frame_reg[i].d.next = self.frame_reg[i - 1].q.val();
            self.next_hop_low_reg[i].d.next = self.next_hop_low_reg[i - 1].q.val();
            self.next_hop_high_reg[i].d.next = self.next_hop_high_reg[i - 1].q.val();
            self.destination_reg[i].d.next = self.destination_reg[i - 1].q.val();
            self.source_reg[i].d.next = self.source_reg[i - 1].q.val();
        }

        // Row: address, next hop, MTU, encapsulation.
        self.word[0].next = self.s_row.val().w4;
        self.word[1].next = self.s_row.val().w5;
        self.word[2].next = self.s_row.val().w6;
        self.word[3].next = self.s_frame.val().hash_low;
        self.frame_reg[0].d.next = self.s_frame.val();
        self.to_v6.next = self.word[2].val().get_bits::<8>(16) == self.encapsulation_gre_ipv6.val();
        self.outer_v6_reg.d.next = (self.outer_v6_reg.q.val() << 1) | bit_cast::<6, 1>(self.to_v6.val().into());
        if (self.s_frame.val().verdict == 0)
            & (!self.to_v6.val() & (self.word[2].val().get_bits::<8>(16) != self.encapsulation_gre_ipv4.val()))
        {
            self.frame_reg[0].d.next.verdict = self.pass_unsupported.val();
        }
        self.next_hop_low_reg[0].d.next = self.word[0].val();
        self.next_hop_high_reg[0].d.next = self.word[1].val().get_bits::<16>(0);
        self.mtu_reg.d.next = self.word[1].val().get_bits::<16>(16);
        self.destination_reg[0].d.next.w0 = self.s_row.val().w0;
        self.destination_reg[0].d.next.w1 = self.s_row.val().w1;
        self.destination_reg[0].d.next.w2 = self.s_row.val().w2;
        self.destination_reg[0].d.next.w3 = self.s_row.val().w3;
        // Both sums; a clock later the one of the outer family.
        self.added.next = self.added_plain.val();
        self.added_v6.next = self.added_plain_v6.val();
        if self.s_frame.val().gre_keyed {
            self.added.next = self.added_keyed.val();
            self.added_v6.next = self.added_keyed_v6.val();
        }
        self.total_v4_reg.d.next = self.s_frame.val().total_length + self.added.val();
        self.total_v6_reg.d.next = self.s_frame.val().total_length + self.added_v6.val();
        self.total.next = self.total_v4_reg.q.val();
        if self.outer_v6_reg.q.val().get_bit(0) {
            self.total.next = self.total_v6_reg.q.val();
        }
        self.total_reg[0].d.next = self.total.val();
        // Source: hash bits replace the low bits of the address as a number, which are its last lanes.
        self.source_word.next = self.settings.val().tunnel_source;
        self.source_part.next = self.source_word.val().get_bits::<16>(16);
        self.source_number.next = (self.source_part.val() << 8) | (self.source_part.val() >> 8);
        self.keep_mask.next = !self.settings.val().entropy_mask;
        self.hash_part.next = (self.source_number.val() & self.keep_mask.val())
            | (self.word[3].val().get_bits::<16>(0) & self.settings.val().entropy_mask);
        self.source_lanes.next = (self.hash_part.val() << 8) | (self.hash_part.val() >> 8);
        self.source_reg[0].d.next = bit_cast::<32, 16>(self.source_word.val().get_bits::<16>(0))
            | (bit_cast::<32, 16>(self.source_lanes.val()) << 16);

        // MTU, and the sums of the header in lane order (RFC 1071, section 2, B).
        if (self.frame_reg[0].q.val().verdict == 0) & (self.total.val() > self.mtu_reg.q.val()) {
            self.frame_reg[1].d.next.verdict = self.pass_too_big.val();
        }
        self.total_lanes.next = (self.total_v4_reg.q.val() << 8) | (self.total_v4_reg.q.val() >> 8);
        self.first_word.next =
            bit_cast::<16, 8>(self.version_ihl.val()) | (bit_cast::<16, 8>(self.frame_reg[0].q.val().dscp_ecn) << 8);
        self.ttl_word.next =
            bit_cast::<16, 8>(self.settings.val().ttl) | (bit_cast::<16, 8>(self.protocol_gre.val()) << 8);
        self.sums_reg[0].d.next.a =
            bit_cast::<20, 16>(self.first_word.val()) + bit_cast::<20, 16>(self.total_lanes.val());
        self.sums_reg[0].d.next.b =
            bit_cast::<20, 16>(self.ttl_word.val()) + bit_cast::<20, 16>(self.dont_fragment.val());
        self.sums_reg[0].d.next.c = bit_cast::<20, 16>(self.source_reg[0].q.val().get_bits::<16>(0))
            + bit_cast::<20, 16>(self.source_reg[0].q.val().get_bits::<16>(16));
        self.destination_word.next = self.destination_reg[0].q.val().w0;
        self.sums_reg[0].d.next.d = bit_cast::<20, 16>(self.destination_word.val().get_bits::<16>(0))
            + bit_cast::<20, 16>(self.destination_word.val().get_bits::<16>(16));
        self.sums_reg[1].d.next = self.sums_reg[0].q.val();
        self.sums_reg[1].d.next.a = self.sums_reg[0].q.val().a + self.sums_reg[0].q.val().b;
        self.sums_reg[1].d.next.c = self.sums_reg[0].q.val().c + self.sums_reg[0].q.val().d;
        self.sums_reg[2].d.next = self.sums_reg[1].q.val();
        self.sums_reg[2].d.next.a = self.sums_reg[1].q.val().a + self.sums_reg[1].q.val().c;
        self.sum.next = self.sums_reg[2].q.val().a;
        self.fold_reg.d.next = (self.sum.val() & 0xFFFF) + bit_cast::<20, 4>(self.sum.val().get_bits::<4>(16));
        self.fold.next = (self.fold_reg.q.val() & 0xFFFF) + bit_cast::<20, 4>(self.fold_reg.q.val().get_bits::<4>(16));
        self.folded.next = self.fold.val().get_bits::<16>(0);
        self.checksum_reg.d.next = !self.folded.val();

        // Headers.
        self.frame.next = self.frame_reg[5].q.val();
        self.total_out_lanes.next = (self.total_reg[4].q.val() << 8) | (self.total_reg[4].q.val() >> 8);
        self.over_v6.next = self.outer_v6_reg.q.val().get_bit(5);
        self.destination.next = self.destination_reg[5].q.val();
        self.outer_v4.next.version_ihl = self.version_ihl.val();
        self.outer_v4.next.dscp_ecn = self.frame.val().dscp_ecn;
        self.outer_v4.next.total_length = self.total_out_lanes.val();
        self.outer_v4.next.identification = 0.into();
        self.outer_v4.next.fragment = self.dont_fragment.val();
        self.outer_v4.next.ttl = self.settings.val().ttl;
        self.outer_v4.next.protocol = self.protocol_gre.val();
        self.outer_v4.next.checksum = self.checksum_reg.q.val();
        self.outer_v4.next.source = self.source_reg[5].q.val();
        self.outer_v4.next.destination = self.destination.val().w0;
        self.payload_reg.d.next = self.total_reg[3].q.val() - 40;
        self.traffic_class.next = self.frame.val().dscp_ecn;
        self.label.next = self.frame.val().hash_low;
        self.label_lanes.next = self.label.val().get_bits::<16>(0);
        self.outer_v6.next.version_class = self.version_v6.val() | (self.traffic_class.val() >> 4);
        self.outer_v6.next.class_label =
            (self.traffic_class.val() << 4) | bit_cast::<8, 4>(self.label.val().get_bits::<4>(16));
        self.outer_v6.next.label = (self.label_lanes.val() << 8) | (self.label_lanes.val() >> 8);
        self.outer_v6.next.payload_length = (self.payload_reg.q.val() << 8) | (self.payload_reg.q.val() >> 8);
        self.outer_v6.next.next_header = self.protocol_gre.val();
        self.outer_v6.next.hop_limit = self.settings.val().ttl;
        self.source_v6.next.w0 = self.settings.val().tunnel_v6_0;
        self.source_v6.next.w1 = self.settings.val().tunnel_v6_1;
        self.source_v6.next.w2 = self.settings.val().tunnel_v6_2;
        self.source_v6.next.w3 = self.settings.val().tunnel_v6_3;
        self.outer_v6.next.source = self.source_v6.val();
        self.outer_v6.next.destination = self.destination.val();
        self.gre.next.flags = 0.into();
        self.gre.next.protocol = self.ethertype_ipv4.val();
        self.gre.next.key = 0.into();
        if self.frame.val().gre_keyed {
            self.gre.next.flags = self.gre_flag_key.val();
            self.gre.next.key = self.frame.val().gre_key;
        }
        if self.frame.val().ipv6 {
            self.gre.next.protocol = self.ethertype_ipv6.val();
        }
        self.outer_ethertype.next = self.ethertype_ipv4.val();
        if self.over_v6.val() {
            self.outer_ethertype.next = self.ethertype_ipv6.val();
        }
        self.ethernet_plain.next.destination_low = self.next_hop_low_reg[5].q.val();
        self.ethernet_plain.next.destination_high = self.next_hop_high_reg[5].q.val();
        self.ethernet_plain.next.source_low = self.settings.val().mac_low;
        self.ethernet_plain.next.source_high = self.settings.val().mac_high;
        self.ethernet_plain.next.ethertype = self.outer_ethertype.val();
        self.ethernet_tagged.next.destination_low = self.next_hop_low_reg[5].q.val();
        self.ethernet_tagged.next.destination_high = self.next_hop_high_reg[5].q.val();
        self.ethernet_tagged.next.source_low = self.settings.val().mac_low;
        self.ethernet_tagged.next.source_high = self.settings.val().mac_high;
        self.ethernet_tagged.next.tpid = self.tpid.val();
        self.ethernet_tagged.next.tci = self.frame.val().tci;
        self.ethernet_tagged.next.ethertype = self.outer_ethertype.val();
        self.plain_v4.next.ethernet = self.ethernet_plain.val();
        self.plain_v4.next.outer = self.outer_v4.val();
        self.plain_v4.next.gre = self.gre.val();
        self.plain_v4.next.padding = 0.into();
        self.tagged_v4.next.ethernet = self.ethernet_tagged.val();
        self.tagged_v4.next.outer = self.outer_v4.val();
        self.tagged_v4.next.gre = self.gre.val();
        self.tagged_v4.next.padding = 0.into();
        self.plain_v6.next.ethernet = self.ethernet_plain.val();
        self.plain_v6.next.outer = self.outer_v6.val();
        self.plain_v6.next.gre = self.gre.val();
        self.plain_v6.next.padding = 0.into();
        self.tagged_v6.next.ethernet = self.ethernet_tagged.val();
        self.tagged_v6.next.outer = self.outer_v6.val();
        self.tagged_v6.next.gre = self.gre.val();
        self.prefix_length.next = self.ethernet_length.val();
        if self.frame.val().tagged {
            self.prefix_length.next = self.ethernet_tagged_length.val();
        }
        if self.frame.val().tagged & self.over_v6.val() {
            self.egress.next.prefix = self.tagged_v6.val().into();
        } else if self.frame.val().tagged {
            self.egress.next.prefix = self.tagged_v4.val().into();
        } else if self.over_v6.val() {
            self.egress.next.prefix = self.plain_v6.val().into();
        } else {
            self.egress.next.prefix = self.plain_v4.val().into();
        }

        // What leaves: an encapsulated frame, the frame as it came, or nothing.
        self.egress.next.verdict = self.frame.val().verdict;
        self.egress.next.length = self.frame.val().length;
        self.egress.next.service = self.frame.val().service;
        self.egress.next.backend = self.frame.val().backend;
        self.egress.next.flow = self.frame.val().flow;
        self.egress.next.hash_low = self.frame.val().hash_low;
        self.egress.next.hash_high = self.frame.val().hash_high;
        self.egress.next.tagged = self.frame.val().tagged;
        self.egress.next.keyed = self.frame.val().gre_keyed;
        self.egress.next.outer_v6 = self.over_v6.val();
        self.egress.next.out_length = self.frame.val().length;
        if self.frame.val().verdict == 0 {
            self.egress.next.out_length = self.prefix_length.val() + self.total_reg[4].q.val();
        } else if (self.frame.val().verdict & self.drop_bit.val()) != 0 {
            self.egress.next.out_length = 0.into();
        }
        self.m_egress.next = self.egress.val();
        self.valid_reg.d.next = (self.valid_reg.q.val() << 1) | bit_cast::<6, 1>(self.s_valid.val().into());
        self.m_valid.next = self.valid_reg.q.val().get_bit(5);
        if self.reset.val() {
            self.valid_reg.d.next = 0.into();
        }
    }
}
