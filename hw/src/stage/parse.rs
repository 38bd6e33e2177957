//! Parse: reads the headers of a frame and decides what is not for the balancer.
//!
//! Latency from the window's last beat: nine clocks. One frame a clock.

use maglane_spec::Verdict;
use maglane_spec::limit::FRAME_LEN_MAX;
use maglane_spec::wire::{ethernet, icmp, ipv4, ipv6, transport};
use rust_hdl::prelude::*;

use crate::control::Settings;
use crate::frame::{Parsed, Tuple};
use crate::verdict;

/// Bytes of a frame that parse looks at: Ethernet 14, tag 4, IPv6 40, ICMPv6 8, quoted IPv6 40, quoted ports 4 make
/// 110; in words of four, from byte 0.
pub const WINDOW_BYTES: usize = 112;

/// Words of the window.
const WORDS: usize = WINDOW_BYTES / 4;

// The words and bits of the packet below follow these offsets; a change there must stop the build here.
const _: () = {
    assert!(ethernet::HEADER_LEN == 14 && ethernet::TAG_LEN == 4 && ethernet::ETHERTYPE == 12 && ethernet::TCI == 14);
    assert!(ipv4::HEADER_LEN == 20 && ipv4::DSCP_ECN == 1 && ipv4::TOTAL_LENGTH == 2 && ipv4::FRAGMENT == 6);
    assert!(ipv4::PROTOCOL == 9 && ipv4::SOURCE == 12 && ipv4::DESTINATION == 16);
    assert!(ipv6::HEADER_LEN == 40 && ipv6::PAYLOAD_LENGTH == 4 && ipv6::NEXT_HEADER == 6 && ipv6::CLASS_SHIFT == 20);
    assert!(ipv6::SOURCE == 8 && ipv6::DESTINATION == 24 && ipv6::VERSION == 6);
    assert!(transport::SOURCE_PORT == 0 && transport::DESTINATION_PORT == 2 && transport::TCP_DATA_OFFSET == 12);
    assert!(transport::TCP_FLAGS == 13 && transport::TCP_FLAG_FIN == 1 << 0);
    assert!(transport::TCP_FLAG_SYN == 1 << 1 && transport::TCP_FLAG_RST == 1 << 2);
    assert!(icmp::TYPE == 0 && icmp::HEADER_LEN == 8 && icmp::QUOTED_TRANSPORT_LEN == 4);
};

/// What each of the checks found, before their order decides.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Checks {
    too_long: Bit,
    bypass: Bit,
    short: Bit,
    other_mac: Bit,
    not_ip: Bit,
    truncated: Bit,
    version: Bit,
    header_length: Bit,
    length: Bit,
    options: Bit,
    checksum: Bit,
    protocol: Bit,
    fragment: Bit,
    icmp: Bit,
    l4_truncated: Bit,
    tcp_offset: Bit,
}

/// Fields on the way to the comparisons.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Fields {
    ipv4: Bit,
    /// Bytes behind Ethernet; for IPv6 without the IP header.
    left: Bits<16>,
    /// The IP header's length field, as a number.
    body: Bits<16>,
    ihl: Bits<4>,
    data_offset: Bits<4>,
    is_tcp: Bit,
    is_udp: Bit,
    is_icmp: Bit,
    l4_length: Bits<16>,
}

/// The header window with everything that its beats came with.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Side {
    length: Bits<16>,
    step: Bits<7>,
    ipv4: Bit,
    ipv6: Bit,
    tci: Bits<16>,
    tagged: Bit,
    mac_equal: Bit,
    serve: Bit,
}

/// What an ICMP error says about the packet that it quotes.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Quote {
    /// The error's type is one of those that are steered, and the quoted header is one that has ports behind it.
    fits: Bit,
    /// TCP or UDP.
    has_ports: Bit,
    /// Words of the quoted source that are those of the error's destination.
    same: Bits<4>,
    /// All of the quote that is needed lies inside the IP length.
    whole: Bit,
    tuple: Tuple,
}

/// Partial sums of the header checksum.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Sums {
    a: Bits<20>,
    b: Bits<20>,
    c: Bits<20>,
    d: Bits<20>,
    e: Bits<20>,
}

/// The parse stage.
#[derive(LogicBlock)]
pub struct Parse<const D: usize> {
    /// Clock, rising edge.
    pub clock: Signal<In, Clock>,
    /// Synchronous reset, active high.
    pub reset: Signal<In, Bit>,
    /// Settings of the datapath.
    pub settings: Signal<In, Settings>,
    /// A beat is taken in this clock.
    pub fire: Signal<In, Bit>,
    /// Its data.
    pub data: Signal<In, Bits<D>>,
    /// It is the frame's last.
    pub last: Signal<In, Bit>,
    /// Length of its frame in bytes.
    pub length: Signal<In, Bits<16>>,
    /// Ticks that have passed before its frame.
    pub step: Signal<In, Bits<7>>,
    /// A frame leaves the stage.
    pub valid: Signal<Out, Bit>,
    /// The frame that leaves.
    pub parsed: Signal<Out, Parsed>,
    /// Its tuple.
    pub tuple: Signal<Out, Tuple>,

    word_reg: [DFF<Bits<32>>; WORDS],
    window_length_reg: DFF<Bits<16>>,
    window_step_reg: DFF<Bits<7>>,
    beat_reg: DFF<Bits<3>>,
    narrow: Constant<Bit>,
    final_beat: Constant<Bits<3>>,
    beat_of: [Constant<Bits<3>>; WORDS],
    wide: Signal<Local, Bits<512>>,
    lane: [Signal<Local, Bits<32>>; 16],
    word: [Signal<Local, Bits<32>>; WORDS],

    side: Signal<Local, Side>,
    side_reg: DFF<Side>,
    packet_reg: [DFF<Bits<32>>; 24],
    aligned: [Signal<Local, Bits<32>>; 24],
    packet: [Signal<Local, Bits<32>>; 23],
    has_tag: Signal<Local, Bit>,
    offset: Signal<Local, Bits<16>>,
    header_end: Signal<Local, Bits<16>>,
    ethertype_plain: Signal<Local, Bits<16>>,
    ethertype_tagged: Signal<Local, Bits<16>>,

    low: [Signal<Local, Bits<16>>; 5],
    high: [Signal<Local, Bits<16>>; 5],
    length_lanes: Signal<Local, Bits<16>>,
    offset_byte: Signal<Local, Bits<8>>,
    flags_byte: Signal<Local, Bits<8>>,
    kind: Signal<Local, Bits<8>>,
    protocol: Signal<Local, Bits<8>>,
    traffic_class: Signal<Local, Bits<8>>,
    is_tcp: Signal<Local, Bit>,
    tuple_now: Signal<Local, Tuple>,
    quoted: Signal<Local, Tuple>,
    quoted_now: Signal<Local, Tuple>,
    turned: Signal<Local, Tuple>,
    about: Signal<Local, Bits<32>>,
    quote_kind: Signal<Local, Bit>,
    quote_plain: Signal<Local, Bit>,
    checks_reg: [DFF<Checks>; 6],
    fields_reg: [DFF<Fields>; 2],
    parsed_reg: [DFF<Parsed>; 7],
    tuple_reg: [DFF<Tuple>; 7],
    quote_reg: [DFF<Quote>; 3],
    sums_reg: [DFF<Sums>; 5],
    valid_reg: DFF<Bits<9>>,
    window_done: Signal<Local, Bit>,
    header_bytes: Signal<Local, Bits<16>>,
    offset_bytes: Signal<Local, Bits<16>>,
    same: [Signal<Local, Bits<4>>; 4],
    steered: Signal<Local, Bit>,
    verdict: Signal<Local, Bits<5>>,
    sum: Signal<Local, Bits<20>>,

    frame_len_max: Constant<Bits<16>>,
    tpid: Constant<Bits<16>>,
    ethertype_ipv4: Constant<Bits<16>>,
    ethertype_ipv6: Constant<Bits<16>>,
    fragment_mask: Constant<Bits<16>>,
    offset_mask: Constant<Bits<16>>,
    version_ihl: Constant<Bits<8>>,
    protocol_icmp: Constant<Bits<8>>,
    protocol_icmpv6: Constant<Bits<8>>,
    protocol_fragment: Constant<Bits<8>>,
    protocol_tcp: Constant<Bits<8>>,
    protocol_udp: Constant<Bits<8>>,
    error_type: [Constant<Bits<8>>; 3],
    error_type_v6: [Constant<Bits<8>>; 2],
    pass_bypass: Constant<Bits<5>>,
    pass_not_ip: Constant<Bits<5>>,
    pass_other_mac: Constant<Bits<5>>,
    pass_ipv4_options: Constant<Bits<5>>,
    pass_protocol: Constant<Bits<5>>,
    pass_fragment: Constant<Bits<5>>,
    pass_icmp: Constant<Bits<5>>,
    drop_too_long: Constant<Bits<5>>,
    drop_ip_truncated: Constant<Bits<5>>,
    drop_ip_version: Constant<Bits<5>>,
    drop_ip_header_length: Constant<Bits<5>>,
    drop_ip_length: Constant<Bits<5>>,
    drop_ipv4_checksum: Constant<Bits<5>>,
    drop_l4_truncated: Constant<Bits<5>>,
    drop_tcp_offset: Constant<Bits<5>>,
}

impl<const D: usize> Default for Parse<D> {
    fn default() -> Self {
        Self {
            clock: Default::default(),
            reset: Default::default(),
            settings: Default::default(),
            fire: Default::default(),
            data: Default::default(),
            last: Default::default(),
            length: Default::default(),
            step: Default::default(),
            valid: Default::default(),
            parsed: Default::default(),
            tuple: Default::default(),
            word_reg: std::array::from_fn(|_| Default::default()),
            window_length_reg: Default::default(),
            window_step_reg: Default::default(),
            beat_reg: Default::default(),
            narrow: Constant::new(D == 256),
            final_beat: Constant::new(((WINDOW_BYTES * 8 / D) as u64).into()),
            beat_of: std::array::from_fn(|word| Constant::new(((word * 32 / D) as u64).into())),
            wide: Default::default(),
            lane: std::array::from_fn(|_| Default::default()),
            word: std::array::from_fn(|_| Default::default()),
            side: Default::default(),
            side_reg: Default::default(),
            packet_reg: std::array::from_fn(|_| Default::default()),
            aligned: std::array::from_fn(|_| Default::default()),
            packet: std::array::from_fn(|_| Default::default()),
            has_tag: Default::default(),
            offset: Default::default(),
            header_end: Default::default(),
            ethertype_plain: Default::default(),
            ethertype_tagged: Default::default(),
            low: std::array::from_fn(|_| Default::default()),
            high: std::array::from_fn(|_| Default::default()),
            length_lanes: Default::default(),
            offset_byte: Default::default(),
            flags_byte: Default::default(),
            kind: Default::default(),
            protocol: Default::default(),
            traffic_class: Default::default(),
            is_tcp: Default::default(),
            tuple_now: Default::default(),
            quoted: Default::default(),
            quoted_now: Default::default(),
            turned: Default::default(),
            about: Default::default(),
            quote_kind: Default::default(),
            quote_plain: Default::default(),
            checks_reg: std::array::from_fn(|_| Default::default()),
            fields_reg: std::array::from_fn(|_| Default::default()),
            parsed_reg: std::array::from_fn(|_| Default::default()),
            tuple_reg: std::array::from_fn(|_| Default::default()),
            quote_reg: std::array::from_fn(|_| Default::default()),
            sums_reg: std::array::from_fn(|_| Default::default()),
            valid_reg: Default::default(),
            window_done: Default::default(),
            header_bytes: Default::default(),
            offset_bytes: Default::default(),
            same: std::array::from_fn(|_| Default::default()),
            steered: Default::default(),
            verdict: Default::default(),
            sum: Default::default(),
            frame_len_max: Constant::new((FRAME_LEN_MAX as u64).into()),
            // Code points in lane order: the byte that comes first is the low one.
            tpid: Constant::new(u64::from(ethernet::TPID.swap_bytes()).into()),
            ethertype_ipv4: Constant::new(u64::from(ethernet::ETHERTYPE_IPV4.swap_bytes()).into()),
            ethertype_ipv6: Constant::new(u64::from(ethernet::ETHERTYPE_IPV6.swap_bytes()).into()),
            fragment_mask: Constant::new(u64::from(ipv4::FRAGMENT_MORE_OR_OFFSET.swap_bytes()).into()),
            offset_mask: Constant::new(u64::from(ipv4::FRAGMENT_OFFSET.swap_bytes()).into()),
            version_ihl: Constant::new(u64::from(ipv4::VERSION_IHL_PLAIN).into()),
            protocol_icmp: Constant::new(u64::from(ipv4::PROTOCOL_ICMP).into()),
            protocol_icmpv6: Constant::new(u64::from(ipv6::NEXT_HEADER_ICMPV6).into()),
            protocol_fragment: Constant::new(u64::from(ipv6::NEXT_HEADER_FRAGMENT).into()),
            protocol_tcp: Constant::new(u64::from(ipv4::PROTOCOL_TCP).into()),
            protocol_udp: Constant::new(u64::from(ipv4::PROTOCOL_UDP).into()),
            error_type: std::array::from_fn(|i| Constant::new(u64::from(icmp::ERROR_TYPES[i]).into())),
            error_type_v6: std::array::from_fn(|i| Constant::new(u64::from(icmp::V6_ERROR_TYPES[i]).into())),
            pass_bypass: verdict::code(Verdict::PassBypass),
            pass_not_ip: verdict::code(Verdict::PassNotIp),
            pass_other_mac: verdict::code(Verdict::PassOtherMac),
            pass_ipv4_options: verdict::code(Verdict::PassIpv4Options),
            pass_protocol: verdict::code(Verdict::PassProtocol),
            pass_fragment: verdict::code(Verdict::PassFragment),
            pass_icmp: verdict::code(Verdict::PassIcmp),
            drop_too_long: verdict::code(Verdict::DropTooLong),
            drop_ip_truncated: verdict::code(Verdict::DropIpTruncated),
            drop_ip_version: verdict::code(Verdict::DropIpVersion),
            drop_ip_header_length: verdict::code(Verdict::DropIpHeaderLength),
            drop_ip_length: verdict::code(Verdict::DropIpLength),
            drop_ipv4_checksum: verdict::code(Verdict::DropIpv4Checksum),
            drop_l4_truncated: verdict::code(Verdict::DropL4Truncated),
            drop_tcp_offset: verdict::code(Verdict::DropTcpOffset),
        }
    }
}

impl<const D: usize> Parse<D> {
    /// Plants a fault of [`maglane_spec::Stage::Parse`]: the fragment offset is not looked at, only the flag.
    pub fn plant_fault(&mut self) {
        let more_fragments = (ipv4::FRAGMENT_MORE_OR_OFFSET + 1) >> 1;
        self.fragment_mask = Constant::new(u64::from(more_fragments.swap_bytes()).into());
    }
}

impl<const D: usize> Logic for Parse<D> {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, window_length_reg, window_step_reg, beat_reg, side_reg, valid_reg);
        for i in 0..28 {
            self.word_reg[i].clock.next = self.clock.val();
        }
        for i in 0..24 {
            self.packet_reg[i].clock.next = self.clock.val();
        }
        for i in 0..6 {
            self.checks_reg[i].clock.next = self.clock.val();
        }
        for i in 0..2 {
            self.fields_reg[i].clock.next = self.clock.val();
        }
        for i in 0..3 {
            self.quote_reg[i].clock.next = self.clock.val();
        }
        for i in 0..7 {
            self.parsed_reg[i].clock.next = self.clock.val();
            self.tuple_reg[i].clock.next = self.clock.val();
        }
        for i in 0..5 {
            self.sums_reg[i].clock.next = self.clock.val();
        }

        // Window: the first 112 bytes of the frame, in two or four beats. What a short frame does not write is left
        // from another one; no verdict looks there.
        self.wide.next = bit_cast::<512, D>(self.data.val());
        if self.narrow.val() {
            self.wide.next = bit_cast::<512, D>(self.data.val()) | (bit_cast::<512, D>(self.data.val()) << 256);
        }
        for i in 0..16 {
            self.lane[i].next = self.wide.val().get_bits::<32>(32 * i);
        }
        for i in 0..28 {
            self.word_reg[i].d.next = self.word_reg[i].q.val();
        }
        self.window_done.next = false;
        if self.fire.val() {
            for i in 0..16 {
                if self.beat_reg.q.val() == self.beat_of[i].val() {
                    self.word_reg[i].d.next = self.lane[i].val();
                }
            }
            for i in 0..12 {
                if self.beat_reg.q.val() == self.beat_of[i + 16].val() {
                    self.word_reg[i + 16].d.next = self.lane[i].val();
                }
            }
            if self.beat_reg.q.val() == 0 {
                self.window_length_reg.d.next = self.length.val();
                self.window_step_reg.d.next = self.step.val();
            }
            self.window_done.next = (self.beat_reg.q.val() == self.final_beat.val())
                | (self.last.val() & (self.beat_reg.q.val() < self.final_beat.val()));
            if self.beat_reg.q.val() <= self.final_beat.val() {
                self.beat_reg.d.next = self.beat_reg.q.val() + 1;
            }
            if self.last.val() {
                self.beat_reg.d.next = 0.into();
            }
        }

        // Tag: align the packet behind an optional 802.1Q tag. It starts in the middle of a word either way.
        for i in 0..28 {
            self.word[i].next = self.word_reg[i].q.val();
        }
        self.ethertype_plain.next = self.word[3].val().get_bits::<16>(0);
        self.ethertype_tagged.next = self.word[4].val().get_bits::<16>(0);
        self.has_tag.next = self.ethertype_plain.val() == self.tpid.val();
        self.side.next.length = self.window_length_reg.q.val();
        self.side.next.step = self.window_step_reg.q.val();
        self.side.next.tagged = self.has_tag.val();
        self.side.next.tci = self.word[3].val().get_bits::<16>(16);
        self.side.next.serve = self.settings.val().serve;
        self.side.next.mac_equal = (self.word[0].val() == self.settings.val().mac_low)
            & (self.word[1].val().get_bits::<16>(0) == self.settings.val().mac_high);
        if self.has_tag.val() {
            for i in 0..24 {
                self.packet_reg[i].d.next = self.word[i + 4].val();
            }
            self.side.next.ipv4 = self.ethertype_tagged.val() == self.ethertype_ipv4.val();
            self.side.next.ipv6 = self.ethertype_tagged.val() == self.ethertype_ipv6.val();
        } else {
            for i in 0..24 {
                self.packet_reg[i].d.next = self.word[i + 3].val();
            }
            self.side.next.ipv4 = self.ethertype_plain.val() == self.ethertype_ipv4.val();
            self.side.next.ipv6 = self.ethertype_plain.val() == self.ethertype_ipv6.val();
        }
        self.side_reg.d.next = self.side.val();

        // Fields, by family: word i of the packet has its bytes 4 i to 4 i + 3.
        for i in 0..24 {
            self.aligned[i].next = self.packet_reg[i].q.val();
        }
        for i in 0..23 {
            self.packet[i].next = (self.aligned[i].val() >> 16) | (self.aligned[i + 1].val() << 16);
        }
        for i in 0..5 {
            self.low[i].next = self.packet[i].val().get_bits::<16>(0);
            self.high[i].next = self.packet[i].val().get_bits::<16>(16);
        }
        self.tuple_now.next.source1 = 0.into();
        self.tuple_now.next.source2 = 0.into();
        self.tuple_now.next.source3 = 0.into();
        self.tuple_now.next.destination1 = 0.into();
        self.tuple_now.next.destination2 = 0.into();
        self.tuple_now.next.destination3 = 0.into();
        self.quoted_now.next.source1 = 0.into();
        self.quoted_now.next.source2 = 0.into();
        self.quoted_now.next.source3 = 0.into();
        self.quoted_now.next.destination1 = 0.into();
        self.quoted_now.next.destination2 = 0.into();
        self.quoted_now.next.destination3 = 0.into();
        if self.side_reg.q.val().ipv6 {
            self.traffic_class.next =
                (self.packet[0].val().get_bits::<8>(0) << 4) | bit_cast::<8, 4>(self.packet[0].val().get_bits::<4>(12));
            self.length_lanes.next = self.low[1].val();
            self.protocol.next = self.packet[1].val().get_bits::<8>(16);
            self.tuple_now.next.source0 = self.packet[2].val();
            self.tuple_now.next.source1 = self.packet[3].val();
            self.tuple_now.next.source2 = self.packet[4].val();
            self.tuple_now.next.source3 = self.packet[5].val();
            self.tuple_now.next.destination0 = self.packet[6].val();
            self.tuple_now.next.destination1 = self.packet[7].val();
            self.tuple_now.next.destination2 = self.packet[8].val();
            self.tuple_now.next.destination3 = self.packet[9].val();
            self.tuple_now.next.ports = self.packet[10].val();
            self.kind.next = self.packet[10].val().get_bits::<8>(0);
            self.offset_byte.next = self.packet[13].val().get_bits::<8>(0);
            self.flags_byte.next = self.packet[13].val().get_bits::<8>(8);
            self.quote_kind.next =
                !((self.kind.val() < self.error_type_v6[0].val()) | (self.kind.val() > self.error_type_v6[1].val()));
            self.quote_plain.next = self.packet[12].val().get_bits::<4>(4) == 6;
            self.quoted_now.next.protocol = self.packet[13].val().get_bits::<8>(16);
            self.quoted_now.next.source0 = self.packet[14].val();
            self.quoted_now.next.source1 = self.packet[15].val();
            self.quoted_now.next.source2 = self.packet[16].val();
            self.quoted_now.next.source3 = self.packet[17].val();
            self.quoted_now.next.destination0 = self.packet[18].val();
            self.quoted_now.next.destination1 = self.packet[19].val();
            self.quoted_now.next.destination2 = self.packet[20].val();
            self.quoted_now.next.destination3 = self.packet[21].val();
            self.quoted_now.next.ports = self.packet[22].val();
        } else {
            self.traffic_class.next = self.packet[0].val().get_bits::<8>(8);
            self.length_lanes.next = self.high[0].val();
            self.protocol.next = self.packet[2].val().get_bits::<8>(8);
            self.tuple_now.next.source0 = self.packet[3].val();
            self.tuple_now.next.destination0 = self.packet[4].val();
            self.tuple_now.next.ports = self.packet[5].val();
            self.kind.next = self.packet[5].val().get_bits::<8>(0);
            self.offset_byte.next = self.packet[8].val().get_bits::<8>(0);
            self.flags_byte.next = self.packet[8].val().get_bits::<8>(8);
            self.quote_kind.next = (self.kind.val() == self.error_type[0].val())
                | ((self.kind.val() == self.error_type[1].val()) | (self.kind.val() == self.error_type[2].val()));
            self.quote_plain.next = (self.packet[7].val().get_bits::<8>(0) == self.version_ihl.val())
                & ((self.packet[8].val().get_bits::<16>(16) & self.offset_mask.val()) == 0);
            self.quoted_now.next.protocol = self.packet[9].val().get_bits::<8>(8);
            self.quoted_now.next.source0 = self.packet[10].val();
            self.quoted_now.next.destination0 = self.packet[11].val();
            self.quoted_now.next.ports = self.packet[12].val();
        }
        self.tuple_now.next.protocol = self.protocol.val();
        self.tuple_reg[0].d.next = self.tuple_now.val();
        self.quote_reg[0].d.next.fits = self.quote_kind.val() & self.quote_plain.val();
        self.quote_reg[0].d.next.has_ports = false;
        self.quote_reg[0].d.next.same = 0.into();
        self.quote_reg[0].d.next.whole = false;
        self.quote_reg[0].d.next.tuple = self.quoted_now.val();
        self.is_tcp.next = self.protocol.val() == self.protocol_tcp.val();
        self.parsed_reg[0].d.next.verdict = 0.into();
        self.parsed_reg[0].d.next.length = self.side_reg.q.val().length;
        self.parsed_reg[0].d.next.tagged = self.side_reg.q.val().tagged;
        self.parsed_reg[0].d.next.tci = self.side_reg.q.val().tci;
        self.parsed_reg[0].d.next.ipv6 = self.side_reg.q.val().ipv6;
        self.parsed_reg[0].d.next.steered = false;
        self.parsed_reg[0].d.next.dscp_ecn = self.traffic_class.val();
        self.parsed_reg[0].d.next.total_length = 0.into();
        self.parsed_reg[0].d.next.fin = self.is_tcp.val() & self.flags_byte.val().get_bit(0);
        self.parsed_reg[0].d.next.syn = self.is_tcp.val() & self.flags_byte.val().get_bit(1);
        self.parsed_reg[0].d.next.rst = self.is_tcp.val() & self.flags_byte.val().get_bit(2);
        self.parsed_reg[0].d.next.step = self.side_reg.q.val().step;
        self.fields_reg[0].d.next.ipv4 = !self.side_reg.q.val().ipv6;
        self.fields_reg[0].d.next.body = (self.length_lanes.val() << 8) | (self.length_lanes.val() >> 8);
        self.fields_reg[0].d.next.ihl = self.packet[0].val().get_bits::<4>(0);
        self.fields_reg[0].d.next.data_offset = self.offset_byte.val().get_bits::<4>(4);
        self.fields_reg[0].d.next.is_tcp = self.is_tcp.val();
        self.fields_reg[0].d.next.is_udp = self.protocol.val() == self.protocol_udp.val();
        self.fields_reg[0].d.next.l4_length = 0.into();
        self.checks_reg[0].d.next.too_long = self.side_reg.q.val().length > self.frame_len_max.val();
        self.checks_reg[0].d.next.bypass = !self.side_reg.q.val().serve;
        self.checks_reg[0].d.next.short =
            (self.side_reg.q.val().length < 14) | (self.side_reg.q.val().tagged & (self.side_reg.q.val().length < 18));
        self.checks_reg[0].d.next.other_mac = self.settings.val().check_mac & !self.side_reg.q.val().mac_equal;
        self.checks_reg[0].d.next.not_ip = !(self.side_reg.q.val().ipv4 | self.side_reg.q.val().ipv6);
        // Where the packet starts, for IPv6 its payload; and where the fixed IP header ends.
        self.offset.next = 14.into();
        self.header_end.next = 34.into();
        if self.side_reg.q.val().ipv6 & self.side_reg.q.val().tagged {
            self.offset.next = 58.into();
            self.header_end.next = 58.into();
        } else if self.side_reg.q.val().ipv6 {
            self.offset.next = 54.into();
            self.header_end.next = 54.into();
        } else if self.side_reg.q.val().tagged {
            self.offset.next = 18.into();
            self.header_end.next = 38.into();
        }
        self.fields_reg[0].d.next.left = self.side_reg.q.val().length - self.offset.val();
        self.checks_reg[0].d.next.truncated = self.side_reg.q.val().length < self.header_end.val();
        if self.side_reg.q.val().ipv6 {
            self.fields_reg[0].d.next.is_icmp = self.protocol.val() == self.protocol_icmpv6.val();
            self.checks_reg[0].d.next.version = self.packet[0].val().get_bits::<4>(4) != 6;
            self.checks_reg[0].d.next.options = false;
            self.checks_reg[0].d.next.fragment = self.protocol.val() == self.protocol_fragment.val();
        } else {
            self.fields_reg[0].d.next.is_icmp = self.protocol.val() == self.protocol_icmp.val();
            self.checks_reg[0].d.next.version = self.packet[0].val().get_bits::<4>(4) != 4;
            self.checks_reg[0].d.next.options = self.packet[0].val().get_bits::<4>(0) != 5;
            self.checks_reg[0].d.next.fragment = (self.high[1].val() & self.fragment_mask.val()) != 0;
        }
        self.checks_reg[0].d.next.header_length = false;
        self.checks_reg[0].d.next.length = false;
        self.checks_reg[0].d.next.icmp = false;
        self.checks_reg[0].d.next.checksum = false;
        self.checks_reg[0].d.next.protocol = false;
        self.checks_reg[0].d.next.l4_truncated = false;
        self.checks_reg[0].d.next.tcp_offset = false;
        // One's complement sums do not mind the byte order (RFC 1071, section 2, B): lanes are added as they come.
        self.sums_reg[0].d.next.a = bit_cast::<20, 16>(self.low[0].val()) + bit_cast::<20, 16>(self.high[0].val());
        self.sums_reg[0].d.next.b = bit_cast::<20, 16>(self.low[1].val()) + bit_cast::<20, 16>(self.high[1].val());
        self.sums_reg[0].d.next.c = bit_cast::<20, 16>(self.low[2].val()) + bit_cast::<20, 16>(self.high[2].val());
        self.sums_reg[0].d.next.d = bit_cast::<20, 16>(self.low[3].val()) + bit_cast::<20, 16>(self.high[3].val());
        self.sums_reg[0].d.next.e = bit_cast::<20, 16>(self.low[4].val()) + bit_cast::<20, 16>(self.high[4].val());

        // Lengths; what the quote has in common with the packet around it.
        for i in 1..7 {
            self.parsed_reg[i].d.next = self.parsed_reg[i - 1].q.val();
            self.tuple_reg[i].d.next = self.tuple_reg[i - 1].q.val();
        }
        for i in 1..6 {
            self.checks_reg[i].d.next = self.checks_reg[i - 1].q.val();
        }
        for i in 1..5 {
            self.sums_reg[i].d.next = self.sums_reg[i - 1].q.val();
        }
        for i in 1..3 {
            self.quote_reg[i].d.next = self.quote_reg[i - 1].q.val();
        }
        self.fields_reg[1].d.next = self.fields_reg[0].q.val();
        self.header_bytes.next = bit_cast::<16, 4>(self.fields_reg[0].q.val().ihl) << 2;
        self.checks_reg[1].d.next.header_length = self.fields_reg[0].q.val().ipv4
            & ((self.fields_reg[0].q.val().ihl < 5) | (self.header_bytes.val() > self.fields_reg[0].q.val().body));
        self.checks_reg[1].d.next.length = self.fields_reg[0].q.val().body > self.fields_reg[0].q.val().left;
        self.checks_reg[1].d.next.protocol = !((self.fields_reg[0].q.val().is_tcp | self.fields_reg[0].q.val().is_udp)
            | self.fields_reg[0].q.val().is_icmp);
        if !self.fields_reg[0].q.val().ipv4 & self.checks_reg[0].q.val().fragment {
            self.checks_reg[1].d.next.protocol = false;
        }
        if self.fields_reg[0].q.val().ipv4 {
            self.fields_reg[1].d.next.l4_length = self.fields_reg[0].q.val().body - 20;
            self.parsed_reg[1].d.next.total_length = self.fields_reg[0].q.val().body;
        } else {
            self.fields_reg[1].d.next.l4_length = self.fields_reg[0].q.val().body;
            self.parsed_reg[1].d.next.total_length = self.fields_reg[0].q.val().body + 40;
        }
        self.quoted.next = self.quote_reg[0].q.val().tuple;
        for i in 0..4 {
            self.same[i].next = 0.into();
        }
        if self.quoted.val().source0 == self.tuple_reg[0].q.val().destination0 {
            self.same[0].next = 1.into();
        }
        if self.quoted.val().source1 == self.tuple_reg[0].q.val().destination1 {
            self.same[1].next = 2.into();
        }
        if self.quoted.val().source2 == self.tuple_reg[0].q.val().destination2 {
            self.same[2].next = 4.into();
        }
        if self.quoted.val().source3 == self.tuple_reg[0].q.val().destination3 {
            self.same[3].next = 8.into();
        }
        self.quote_reg[1].d.next.same =
            (self.same[0].val() | self.same[1].val()) | (self.same[2].val() | self.same[3].val());
        self.quote_reg[1].d.next.has_ports = (self.quoted.val().protocol == self.protocol_tcp.val())
            | (self.quoted.val().protocol == self.protocol_udp.val());
        self.sums_reg[1].d.next.a = self.sums_reg[0].q.val().a + self.sums_reg[0].q.val().b;
        self.sums_reg[1].d.next.c = self.sums_reg[0].q.val().c + self.sums_reg[0].q.val().d;

        // Transport. An error has 8 bytes, the quoted header, and 4 bytes of ports.
        self.offset_bytes.next = bit_cast::<16, 4>(self.fields_reg[1].q.val().data_offset) << 2;
        self.checks_reg[2].d.next.l4_truncated = (self.fields_reg[1].q.val().is_tcp
            & (self.fields_reg[1].q.val().l4_length < 20))
            | (self.fields_reg[1].q.val().is_udp & (self.fields_reg[1].q.val().l4_length < 8));
        self.checks_reg[2].d.next.tcp_offset = self.fields_reg[1].q.val().is_tcp
            & ((self.fields_reg[1].q.val().data_offset < 5)
                | (self.offset_bytes.val() > self.fields_reg[1].q.val().l4_length));
        self.steered.next = self.fields_reg[1].q.val().is_icmp
            & ((self.quote_reg[1].q.val().fits & self.quote_reg[1].q.val().has_ports)
                & (self.quote_reg[1].q.val().same == 15));
        if self.fields_reg[1].q.val().ipv4 {
            self.quote_reg[2].d.next.whole = self.steered.val() & (self.fields_reg[1].q.val().l4_length > 31);
        } else {
            self.quote_reg[2].d.next.whole = self.steered.val() & (self.fields_reg[1].q.val().l4_length > 51);
        }
        self.checks_reg[2].d.next.icmp = self.fields_reg[1].q.val().is_icmp;

        // A steered error takes the quoted tuple, turned round.
        self.turned.next = self.quote_reg[2].q.val().tuple;
        self.about.next = self.turned.val().ports;
        if self.quote_reg[2].q.val().whole {
            self.parsed_reg[3].d.next.steered = true;
            self.checks_reg[3].d.next.icmp = false;
            self.tuple_reg[3].d.next.source0 = self.turned.val().destination0;
            self.tuple_reg[3].d.next.source1 = self.turned.val().destination1;
            self.tuple_reg[3].d.next.source2 = self.turned.val().destination2;
            self.tuple_reg[3].d.next.source3 = self.turned.val().destination3;
            self.tuple_reg[3].d.next.destination0 = self.turned.val().source0;
            self.tuple_reg[3].d.next.destination1 = self.turned.val().source1;
            self.tuple_reg[3].d.next.destination2 = self.turned.val().source2;
            self.tuple_reg[3].d.next.destination3 = self.turned.val().source3;
            self.tuple_reg[3].d.next.ports = (self.about.val() << 16) | (self.about.val() >> 16);
            self.tuple_reg[3].d.next.protocol = self.turned.val().protocol;
        }
        self.sums_reg[2].d.next.a = self.sums_reg[1].q.val().a + self.sums_reg[1].q.val().c;
        self.sums_reg[3].d.next.a = self.sums_reg[2].q.val().a + self.sums_reg[2].q.val().e;
        self.sum.next = self.sums_reg[3].q.val().a;
        // Ten words sum to less than 2^20: one fold leaves at most 0x10008, and a second fold of what has carried is
        // far from 0xFFFF. So the sum is right when the first fold says 0xFFFF.
        self.sums_reg[4].d.next.a = (self.sum.val() & 0xFFFF) + bit_cast::<20, 4>(self.sum.val().get_bits::<4>(16));
        self.checks_reg[5].d.next.checksum = !self.parsed_reg[4].q.val().ipv6 & (self.sums_reg[4].q.val().a != 0xFFFF);

        // Verdict, in the order of the contract.
        self.verdict.next = 0.into();
        if self.checks_reg[5].q.val().too_long {
            self.verdict.next = self.drop_too_long.val();
        } else if self.checks_reg[5].q.val().bypass {
            self.verdict.next = self.pass_bypass.val();
        } else if self.checks_reg[5].q.val().short {
            self.verdict.next = self.pass_not_ip.val();
        } else if self.checks_reg[5].q.val().other_mac {
            self.verdict.next = self.pass_other_mac.val();
        } else if self.checks_reg[5].q.val().not_ip {
            self.verdict.next = self.pass_not_ip.val();
        } else if self.checks_reg[5].q.val().truncated {
            self.verdict.next = self.drop_ip_truncated.val();
        } else if self.checks_reg[5].q.val().version {
            self.verdict.next = self.drop_ip_version.val();
        } else if self.checks_reg[5].q.val().header_length {
            self.verdict.next = self.drop_ip_header_length.val();
        } else if self.checks_reg[5].q.val().length {
            self.verdict.next = self.drop_ip_length.val();
        } else if self.checks_reg[5].q.val().options {
            self.verdict.next = self.pass_ipv4_options.val();
        } else if self.checks_reg[5].q.val().checksum {
            self.verdict.next = self.drop_ipv4_checksum.val();
        } else if self.checks_reg[5].q.val().protocol {
            self.verdict.next = self.pass_protocol.val();
        } else if self.checks_reg[5].q.val().fragment {
            self.verdict.next = self.pass_fragment.val();
        } else if self.checks_reg[5].q.val().icmp {
            self.verdict.next = self.pass_icmp.val();
        } else if self.checks_reg[5].q.val().l4_truncated {
            self.verdict.next = self.drop_l4_truncated.val();
        } else if self.checks_reg[5].q.val().tcp_offset {
            self.verdict.next = self.drop_tcp_offset.val();
        }
        self.parsed_reg[6].d.next.verdict = self.verdict.val();
        self.parsed.next = self.parsed_reg[6].q.val();
        self.tuple.next = self.tuple_reg[6].q.val();

        self.valid_reg.d.next = (self.valid_reg.q.val() << 1) | bit_cast::<9, 1>(self.window_done.val().into());
        self.valid.next = self.valid_reg.q.val().get_bit(8);
        if self.reset.val() {
            self.beat_reg.d.next = 0.into();
            self.valid_reg.d.next = 0.into();
        }
    }
}
