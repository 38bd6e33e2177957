//! Parse: reads the headers of a frame and decides what is not for the balancer.
//!
//! Latency from the window's last beat: nine clocks. One frame a clock.

use maglane_spec::Verdict;
use maglane_spec::limit::FRAME_LEN_MAX;
use maglane_spec::wire::{ethernet, ipv4, transport};
use rust_hdl::prelude::*;

use crate::control::Settings;
use crate::frame::Parsed;
use crate::verdict;

/// Bytes of a frame that parse looks at: Ethernet 14, tag 4, IPv4 20, TCP 20 make 58.
pub const WINDOW_BYTES: usize = 64;

// The slices of the window follow these offsets; a change there must stop the build here.
const _: () = {
    assert!(ethernet::HEADER_LEN == 14 && ethernet::TAG_LEN == 4 && ethernet::ETHERTYPE == 12 && ethernet::TCI == 14);
    assert!(ipv4::HEADER_LEN == 20 && ipv4::DSCP_ECN == 1 && ipv4::TOTAL_LENGTH == 2 && ipv4::FRAGMENT == 6);
    assert!(ipv4::PROTOCOL == 9 && ipv4::SOURCE == 12 && ipv4::DESTINATION == 16);
    assert!(transport::SOURCE_PORT == 0 && transport::DESTINATION_PORT == 2 && transport::TCP_DATA_OFFSET == 12);
    assert!(transport::TCP_FLAGS == 13 && transport::TCP_FLAG_FIN == 1 << 0);
    assert!(transport::TCP_FLAG_SYN == 1 << 1 && transport::TCP_FLAG_RST == 1 << 2);
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
    left: Bits<16>,
    ihl: Bits<4>,
    data_offset: Bits<4>,
    is_tcp: Bit,
    is_udp: Bit,
    l4_length: Bits<16>,
}

/// The header window with everything that its beats came with.
#[derive(LogicStruct, Copy, Clone, PartialEq, Default, Debug)]
pub struct Side {
    length: Bits<16>,
    step: Bits<7>,
    left: Bits<16>,
    ethertype: Bits<16>,
    tci: Bits<16>,
    tagged: Bit,
    mac_equal: Bit,
    serve: Bit,
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

    window_reg: DFF<Bits<512>>,
    window_length_reg: DFF<Bits<16>>,
    window_step_reg: DFF<Bits<7>>,
    beat_reg: DFF<Bits<2>>,
    final_beat: Constant<Bits<2>>,

    side: Signal<Local, Side>,
    side_reg: DFF<Side>,
    packet: Signal<Local, Bits<272>>,
    packet_reg: DFF<Bits<272>>,
    has_tag: Signal<Local, Bit>,
    is_tcp: Signal<Local, Bit>,
    wide: Signal<Local, Bits<16>>,

    word: [Signal<Local, Bits<16>>; 10],
    checks_reg: [DFF<Checks>; 6],
    fields_reg: [DFF<Fields>; 2],
    parsed_reg: [DFF<Parsed>; 7],
    sums_reg: [DFF<Sums>; 5],
    valid_reg: DFF<Bits<9>>,
    window_done: Signal<Local, Bit>,
    header_bytes: Signal<Local, Bits<16>>,
    offset_bytes: Signal<Local, Bits<16>>,
    verdict: Signal<Local, Bits<5>>,
    sum: Signal<Local, Bits<20>>,

    frame_len_max: Constant<Bits<16>>,
    tpid: Constant<Bits<16>>,
    ethertype_ipv4: Constant<Bits<16>>,
    fragment_mask: Constant<Bits<16>>,
    protocol_icmp: Constant<Bits<8>>,
    protocol_tcp: Constant<Bits<8>>,
    protocol_udp: Constant<Bits<8>>,
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
            window_reg: Default::default(),
            window_length_reg: Default::default(),
            window_step_reg: Default::default(),
            is_tcp: Default::default(),
            beat_reg: Default::default(),
            final_beat: Constant::new(((WINDOW_BYTES * 8 / D - 1) as u64).into()),
            side: Default::default(),
            side_reg: Default::default(),
            packet: Default::default(),
            packet_reg: Default::default(),
            has_tag: Default::default(),
            wide: Default::default(),
            word: std::array::from_fn(|_| Default::default()),
            checks_reg: std::array::from_fn(|_| Default::default()),
            fields_reg: std::array::from_fn(|_| Default::default()),
            parsed_reg: std::array::from_fn(|_| Default::default()),
            sums_reg: std::array::from_fn(|_| Default::default()),
            valid_reg: Default::default(),
            window_done: Default::default(),
            header_bytes: Default::default(),
            offset_bytes: Default::default(),
            verdict: Default::default(),
            sum: Default::default(),
            frame_len_max: Constant::new((FRAME_LEN_MAX as u64).into()),
            // Code points in lane order: the byte that comes first is the low one.
            tpid: Constant::new(u64::from(ethernet::TPID.swap_bytes()).into()),
            ethertype_ipv4: Constant::new(u64::from(ethernet::ETHERTYPE_IPV4.swap_bytes()).into()),
            fragment_mask: Constant::new(u64::from(ipv4::FRAGMENT_MORE_OR_OFFSET.swap_bytes()).into()),
            protocol_icmp: Constant::new(u64::from(ipv4::PROTOCOL_ICMP).into()),
            protocol_tcp: Constant::new(u64::from(ipv4::PROTOCOL_TCP).into()),
            protocol_udp: Constant::new(u64::from(ipv4::PROTOCOL_UDP).into()),
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
        dff_setup!(
            self,
            clock,
            window_reg,
            window_length_reg,
            window_step_reg,
            beat_reg,
            side_reg,
            packet_reg,
            valid_reg
        );
        for i in 0..6 {
            self.checks_reg[i].clock.next = self.clock.val();
        }
        for i in 0..2 {
            self.fields_reg[i].clock.next = self.clock.val();
        }
        for i in 0..7 {
            self.parsed_reg[i].clock.next = self.clock.val();
        }
        for i in 0..5 {
            self.sums_reg[i].clock.next = self.clock.val();
        }

        // Window: the first 64 bytes of the frame, in one or two beats.
        self.window_done.next = false;
        if self.fire.val() {
            if self.beat_reg.q.val() == 0 {
                self.window_reg.d.next = bit_cast::<512, D>(self.data.val());
                self.window_length_reg.d.next = self.length.val();
                self.window_step_reg.d.next = self.step.val();
                self.window_done.next = self.last.val() | (self.final_beat.val() == 0);
            }
            if self.beat_reg.q.val() == 1 {
                self.window_reg.d.next = self.window_reg.q.val() | (bit_cast::<512, D>(self.data.val()) << 256);
                self.window_done.next = self.final_beat.val() == 1;
            }
            if self.beat_reg.q.val() != 2 {
                self.beat_reg.d.next = self.beat_reg.q.val() + 1;
            }
            if self.last.val() {
                self.beat_reg.d.next = 0.into();
            }
        }

        // Tag: align the packet behind an optional 802.1Q tag.
        self.has_tag.next = self.window_reg.q.val().get_bits::<16>(96) == self.tpid.val();
        self.side.next.length = self.window_length_reg.q.val();
        self.side.next.step = self.window_step_reg.q.val();
        self.side.next.tagged = self.has_tag.val();
        self.side.next.tci = self.window_reg.q.val().get_bits::<16>(112);
        self.side.next.serve = self.settings.val().serve;
        self.side.next.mac_equal = (self.window_reg.q.val().get_bits::<32>(0) == self.settings.val().mac_low)
            & (self.window_reg.q.val().get_bits::<16>(32) == self.settings.val().mac_high);
        if self.has_tag.val() {
            self.packet.next = self.window_reg.q.val().get_bits::<272>(144);
            self.side.next.ethertype = self.window_reg.q.val().get_bits::<16>(128);
            self.side.next.left = self.window_length_reg.q.val() - 18;
        } else {
            self.packet.next = self.window_reg.q.val().get_bits::<272>(112);
            self.side.next.ethertype = self.window_reg.q.val().get_bits::<16>(96);
            self.side.next.left = self.window_length_reg.q.val() - 14;
        }
        self.side_reg.d.next = self.side.val();
        self.packet_reg.d.next = self.packet.val();

        // Fields: slices, equality checks, first level of the checksum.
        for i in 0..10 {
            self.word[i].next = self.packet_reg.q.val().get_bits::<16>(16 * i);
        }
        self.parsed_reg[0].d.next.verdict = 0.into();
        self.parsed_reg[0].d.next.length = self.side_reg.q.val().length;
        self.parsed_reg[0].d.next.tagged = self.side_reg.q.val().tagged;
        self.parsed_reg[0].d.next.tci = self.side_reg.q.val().tci;
        self.parsed_reg[0].d.next.dscp_ecn = self.packet_reg.q.val().get_bits::<8>(8);
        self.wide.next = (self.word[1].val() << 8) | (self.word[1].val() >> 8);
        self.parsed_reg[0].d.next.total_length = self.wide.val();
        self.parsed_reg[0].d.next.source = self.packet_reg.q.val().get_bits::<32>(96);
        self.parsed_reg[0].d.next.destination = self.packet_reg.q.val().get_bits::<32>(128);
        self.parsed_reg[0].d.next.ports = self.packet_reg.q.val().get_bits::<32>(160);
        self.parsed_reg[0].d.next.protocol = self.packet_reg.q.val().get_bits::<8>(72);
        self.is_tcp.next = self.packet_reg.q.val().get_bits::<8>(72) == self.protocol_tcp.val();
        self.parsed_reg[0].d.next.fin = self.is_tcp.val() & self.packet_reg.q.val().get_bit(264);
        self.parsed_reg[0].d.next.syn = self.is_tcp.val() & self.packet_reg.q.val().get_bit(265);
        self.parsed_reg[0].d.next.rst = self.is_tcp.val() & self.packet_reg.q.val().get_bit(266);
        self.parsed_reg[0].d.next.step = self.side_reg.q.val().step;
        self.fields_reg[0].d.next.left = self.side_reg.q.val().left;
        self.fields_reg[0].d.next.ihl = self.packet_reg.q.val().get_bits::<4>(0);
        self.fields_reg[0].d.next.data_offset = self.packet_reg.q.val().get_bits::<4>(260);
        self.fields_reg[0].d.next.is_tcp = self.is_tcp.val();
        self.fields_reg[0].d.next.is_udp = self.packet_reg.q.val().get_bits::<8>(72) == self.protocol_udp.val();
        self.fields_reg[0].d.next.l4_length = 0.into();
        self.checks_reg[0].d.next.too_long = self.side_reg.q.val().length > self.frame_len_max.val();
        self.checks_reg[0].d.next.bypass = !self.side_reg.q.val().serve;
        self.checks_reg[0].d.next.short =
            (self.side_reg.q.val().length < 14) | (self.side_reg.q.val().tagged & (self.side_reg.q.val().length < 18));
        self.checks_reg[0].d.next.other_mac = self.settings.val().check_mac & !self.side_reg.q.val().mac_equal;
        self.checks_reg[0].d.next.not_ip = self.side_reg.q.val().ethertype != self.ethertype_ipv4.val();
        self.checks_reg[0].d.next.truncated = self.side_reg.q.val().left < 20;
        self.checks_reg[0].d.next.version = self.packet_reg.q.val().get_bits::<4>(4) != 4;
        self.checks_reg[0].d.next.header_length = false;
        self.checks_reg[0].d.next.length = false;
        self.checks_reg[0].d.next.options = self.packet_reg.q.val().get_bits::<4>(0) != 5;
        self.checks_reg[0].d.next.fragment = (self.word[3].val() & self.fragment_mask.val()) != 0;
        self.checks_reg[0].d.next.icmp = self.packet_reg.q.val().get_bits::<8>(72) == self.protocol_icmp.val();
        self.checks_reg[0].d.next.checksum = false;
        self.checks_reg[0].d.next.protocol = false;
        self.checks_reg[0].d.next.l4_truncated = false;
        self.checks_reg[0].d.next.tcp_offset = false;
        // One's complement sums do not mind the byte order (RFC 1071, section 2, B): lanes are added as they come.
        self.sums_reg[0].d.next.a = bit_cast::<20, 16>(self.word[0].val()) + bit_cast::<20, 16>(self.word[1].val());
        self.sums_reg[0].d.next.b = bit_cast::<20, 16>(self.word[2].val()) + bit_cast::<20, 16>(self.word[3].val());
        self.sums_reg[0].d.next.c = bit_cast::<20, 16>(self.word[4].val()) + bit_cast::<20, 16>(self.word[5].val());
        self.sums_reg[0].d.next.d = bit_cast::<20, 16>(self.word[6].val()) + bit_cast::<20, 16>(self.word[7].val());
        self.sums_reg[0].d.next.e = bit_cast::<20, 16>(self.word[8].val()) + bit_cast::<20, 16>(self.word[9].val());

        // Lengths.
        for i in 1..7 {
            self.parsed_reg[i].d.next = self.parsed_reg[i - 1].q.val();
        }
        for i in 1..6 {
            self.checks_reg[i].d.next = self.checks_reg[i - 1].q.val();
        }
        for i in 1..5 {
            self.sums_reg[i].d.next = self.sums_reg[i - 1].q.val();
        }
        self.fields_reg[1].d.next = self.fields_reg[0].q.val();
        self.header_bytes.next = bit_cast::<16, 4>(self.fields_reg[0].q.val().ihl) << 2;
        self.checks_reg[1].d.next.header_length =
            (self.fields_reg[0].q.val().ihl < 5) | (self.header_bytes.val() > self.parsed_reg[0].q.val().total_length);
        self.checks_reg[1].d.next.length = self.parsed_reg[0].q.val().total_length > self.fields_reg[0].q.val().left;
        self.checks_reg[1].d.next.protocol =
            !(self.fields_reg[0].q.val().is_tcp | self.fields_reg[0].q.val().is_udp | self.checks_reg[0].q.val().icmp);
        self.fields_reg[1].d.next.l4_length = self.parsed_reg[0].q.val().total_length - 20;
        self.sums_reg[1].d.next.a = self.sums_reg[0].q.val().a + self.sums_reg[0].q.val().b;
        self.sums_reg[1].d.next.c = self.sums_reg[0].q.val().c + self.sums_reg[0].q.val().d;

        // Transport.
        self.offset_bytes.next = bit_cast::<16, 4>(self.fields_reg[1].q.val().data_offset) << 2;
        self.checks_reg[2].d.next.l4_truncated = (self.fields_reg[1].q.val().is_tcp
            & (self.fields_reg[1].q.val().l4_length < 20))
            | (self.fields_reg[1].q.val().is_udp & (self.fields_reg[1].q.val().l4_length < 8));
        self.checks_reg[2].d.next.tcp_offset = self.fields_reg[1].q.val().is_tcp
            & ((self.fields_reg[1].q.val().data_offset < 5)
                | (self.offset_bytes.val() > self.fields_reg[1].q.val().l4_length));
        self.sums_reg[2].d.next.a = self.sums_reg[1].q.val().a + self.sums_reg[1].q.val().c;
        self.sums_reg[3].d.next.a = self.sums_reg[2].q.val().a + self.sums_reg[2].q.val().e;
        self.sum.next = self.sums_reg[3].q.val().a;
        // Ten words sum to less than 2^20: one fold leaves at most 0x10008, and a second fold of what has carried is
        // far from 0xFFFF. So the sum is right when the first fold says 0xFFFF.
        self.sums_reg[4].d.next.a = (self.sum.val() & 0xFFFF) + bit_cast::<20, 4>(self.sum.val().get_bits::<4>(16));
        self.checks_reg[5].d.next.checksum = self.sums_reg[4].q.val().a != 0xFFFF;

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

        self.valid_reg.d.next = (self.valid_reg.q.val() << 1) | bit_cast::<9, 1>(self.window_done.val().into());
        self.valid.next = self.valid_reg.q.val().get_bit(8);
        if self.reset.val() {
            self.beat_reg.d.next = 0.into();
            self.valid_reg.d.next = 0.into();
        }
    }
}
