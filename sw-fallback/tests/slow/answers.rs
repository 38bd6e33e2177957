//! What the host answers in a service's name, and what it does not.

use etherparse::{
    Icmpv4Slice, Icmpv4Type, Icmpv6Slice, Icmpv6Type, Ipv4Header, Ipv6Header, NetSlice, PacketBuilder, SlicedPacket,
    TransportSlice, icmpv4::DestUnreachableHeader,
};
use maglane_spec::endian::U16Le;
use maglane_spec::row::ServiceRow;
use maglane_spec::{TableImage, Verdict};
use maglane_sw::slow::Fate::*;
use maglane_sw::slow::limit::{ANSWERS_AT_ONCE, ANSWERS_PER_SECOND};

use crate::fixture::{
    CLIENT, CLIENT_MAC, CLIENT_V6, OWN_MAC, VIP, VIP_V6, icmp_error, image, reply, tagged, tcp, tcp_v6, udp, udp_v6,
    with_ipv4,
};
use crate::host::{Host, reassembled, tunnelled};

/// Nanoseconds between two answers.
const EVERY_NS: u64 = 1_000_000_000 / ANSWERS_PER_SECOND;

/// An echo request of a client.
pub(crate) fn echo() -> Vec<u8> {
    let mut frame = Vec::new();
    let step = PacketBuilder::ethernet2(CLIENT_MAC, OWN_MAC).ipv4(CLIENT, VIP, 60).icmpv4_echo_request(0x1234, 7);
    step.write(&mut frame, b"anybody there?!").unwrap();
    with_ipv4(&with_ipv4(&frame, 1, &[0xb9]), 4, &[0xab, 0xcd, 0, 0])
}

/// The same, IPv6.
pub(crate) fn echo_v6() -> Vec<u8> {
    let mut frame = Vec::new();
    let step = PacketBuilder::ethernet2(CLIENT_MAC, OWN_MAC).ipv6(CLIENT_V6, VIP_V6, 60);
    step.icmpv6_echo_request(0x1234, 7).write(&mut frame, b"anybody there?!").unwrap();
    frame
}

/// What a frame from a service's address to the client says, with everything right that does not depend on what it is.
enum Said<'a> {
    V4(Ipv4Header, Icmpv4Slice<'a>),
    V6(Ipv6Header, Icmpv6Slice<'a>),
}

fn said<'a>(frame: &'a [u8], about: &[u8]) -> Said<'a> {
    assert_eq!((&frame[..6], &frame[6..12]), (&CLIENT_MAC[..], &OWN_MAC[..]));
    let at = crate::host::ip_offset(about);
    assert_eq!(frame[12..at], about[12..at], "tag and EtherType stay");
    let sliced = SlicedPacket::from_ethernet(frame).unwrap();
    match (sliced.net.unwrap(), sliced.transport.unwrap()) {
        (NetSlice::Ipv4(ip), TransportSlice::Icmpv4(icmp)) => {
            let header = ip.header().to_header();
            assert_eq!((header.source, header.destination, header.time_to_live), (VIP, CLIENT, 64));
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            assert_eq!(usize::from(header.total_len), frame.len() - at);
            let right = icmp.icmp_type().calc_checksum(icmp.payload());
            assert_eq!(icmp.checksum(), right);
            Said::V4(header, icmp)
        }
        (NetSlice::Ipv6(ip), TransportSlice::Icmpv6(icmp)) => {
            let header = ip.header().to_header();
            assert_eq!((header.source, header.destination, header.hop_limit), (VIP_V6, CLIENT_V6, 64));
            assert_eq!(usize::from(header.payload_length), frame.len() - at - 40);
            assert!(icmp.is_checksum_valid(header.source, header.destination));
            Said::V6(header, icmp)
        }
        other => panic!("{other:?}"),
    }
}

fn without_df(frame: &[u8]) -> Vec<u8> {
    with_ipv4(frame, 6, &[0, 0])
}

fn with_mtu(mtu: u16) -> TableImage {
    let mut tables = image();
    for backend in &mut tables.backends {
        backend.mtu = U16Le::new(mtu);
    }
    tables
}

#[test]
fn packet_with_df_that_is_too_big_is_answered_with_the_size_that_fits() {
    // GRE, GRE with a key, GRE over IPv6.
    for (port, room) in [(80, 1_476), (53, 1_472), (8085, 1_456)] {
        let whole = |len: usize| if port == 53 { udp(VIP, port, len - 28) } else { tcp(VIP, port, len - 40) };
        for whole in [whole(room + 1), tagged(&whole(room + 1), 0x2064), [whole(room + 1), vec![0xee; 9]].concat()] {
            let mut host = Host::new(image());
            let sent = host.sends(0, &whole);
            let Said::V4(ip, icmp) = said(&sent[0], &whole) else { panic!("IPv6") };
            let mtu = u16::try_from(room).unwrap();
            let kind =
                Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: mtu });
            assert_eq!(icmp.icmp_type(), kind);
            let at = crate::host::ip_offset(&whole);
            assert_eq!((icmp.payload(), ip.total_len), (&whole[at..at + 548], 576));
            assert_eq!((ip.dscp.value(), ip.ecn.value(), ip.identification), (48, 0, 0));
            assert!(ip.dont_fragment && !ip.more_fragments);
            assert_eq!((sent.len(), host.fates()), (1, [(TooBigAnswered, 1)].into()));
            assert_eq!(host.verdict(Verdict::PassTooBig), 1);
        }
        // What the answer says is true: that much gets through.
        assert_eq!(Host::new(image()).take(0, &whole(room)).0, maglane_spec::Egress::Wire);
    }
    // A quote of all there is, when that is less: as MTU 576 has it.
    let mut host = Host::new(with_mtu(576));
    let whole = tcp(VIP, 8085, 493);
    let sent = host.sends(0, &[&whole[..], &[0xee; 9]].concat());
    let Said::V4(ip, icmp) = said(&sent[0], &whole) else { panic!("IPv6") };
    assert_eq!((icmp.payload(), ip.total_len), (&whole[14..], 561));
}

#[test]
fn ipv6_packet_that_is_too_big_is_answered_with_the_size_that_fits_but_1280_at_least() {
    // Backends over IPv4 and IPv6 take turns by hash; the key is 4 bytes more.
    let mut rooms = Vec::new();
    for client in 0..16 {
        let mut whole = tcp_v6(VIP_V6, 8091, 1_417);
        whole[55] = client;
        let whole = if client % 2 == 0 { whole } else { tagged(&whole, 7) };
        let mut host = Host::new(image());
        let sent = host.sends(0, &whole);
        let Said::V6(ip, icmp) = said(&sent[0], &whole) else { panic!("IPv4") };
        let Icmpv6Type::PacketTooBig { mtu } = icmp.icmp_type() else { panic!("{:?}", icmp.icmp_type()) };
        let at = crate::host::ip_offset(&whole);
        assert_eq!((icmp.payload(), ip.payload_length), (&whole[at..at + 1_232], 1_240));
        assert_eq!((sent.len(), host.fates()), (1, [(TooBigAnswered, 1)].into()));
        rooms.push(mtu);
    }
    rooms.sort_unstable();
    rooms.dedup();
    assert_eq!(rooms, [1_456, 1_476]);

    let answered = |mtu: u16, payload: usize| {
        let whole = udp_v6(VIP_V6, 8092, payload);
        let sent = Host::new(with_mtu(mtu)).sends(0, &whole);
        sent.first().map(|frame| match said(frame, &whole) {
            Said::V6(_, icmp) => (icmp.icmp_type(), icmp.payload().len()),
            Said::V4(..) => panic!("IPv4"),
        })
    };
    // 48 bytes of headers; a tunnel that leaves 1,281 less up to 24 of outer ones.
    assert_eq!(answered(1_281, 1_233), Some((Icmpv6Type::PacketTooBig { mtu: 1_280 }, 1_232)));
    assert_eq!(answered(1_281, 1_232), None);
    assert_eq!(answered(576, 1_233), Some((Icmpv6Type::PacketTooBig { mtu: 1_280 }, 1_232)));
    let mut host = Host::new(with_mtu(576));
    assert!(host.sends(0, &udp_v6(VIP_V6, 8092, 1_232)).is_empty());
    assert_eq!(host.fates(), [(TooBigLost, 1)].into());
}

#[test]
fn packet_without_df_that_is_too_big_leaves_in_pieces_that_fit() {
    // The most that fits, in whole units.
    for (port, len, unit) in [(80, 1_477, 1_456), (80, 4_000, 1_456), (8085, 9_560, 1_432), (53, 1_473, 1_448)] {
        for tag in [None, Some(0x2064)] {
            let whole = without_df(&if port == 53 { udp(VIP, port, len - 28) } else { tcp(VIP, port, len - 40) });
            let whole = with_ipv4(&with_ipv4(&whole, 4, &[0xab, 0xcd]), 1, &[0x2e]);
            let payload = whole[34..].to_vec();
            let whole = tag.map_or(whole.clone(), |tci| tagged(&whole, tci));
            let mut host = Host::new(image());
            let sent = host.sends(0, &whole);
            assert_eq!(sent.len(), (len - 20).div_ceil(unit));
            assert_eq!(reassembled(&sent), payload);
            for frame in &sent {
                let out = tunnelled(frame);
                assert!(out.outer_len <= 1_500);
                assert_eq!(out.outer, tunnelled(&sent[0]).outer);
                // Class, identification, TTL, protocol and addresses stay; no DF.
                let at = 14;
                assert_eq!(out.inner[at + 1], 0x2e);
                assert_eq!(out.inner[at + 4..at + 6], [0xab, 0xcd]);
                assert_eq!(out.inner[at + 6] & 0xc0, 0);
                assert_eq!(out.inner[at + 8..at + 10], [60, if port == 53 { 17 } else { 6 }]);
            }
            // No piece is smaller than it has to be.
            let outer = sent.iter().map(|frame| tunnelled(frame).outer_len);
            assert!(outer.take(sent.len() - 1).all(|len| len > 1_492));
            assert_eq!(host.fates(), [(TooBigFragmented, 1)].into());
            assert_eq!(host.counters().sent, sent.len() as u64);
        }
    }
    // Narrower than any link: tables that no configuration makes.
    for mtu in [0, 24, 91] {
        let mut host = Host::new(with_mtu(mtu));
        assert!(host.sends(0, &without_df(&tcp(VIP, 80, 1_000))).is_empty());
        assert!(host.sends(0, &tcp(VIP, 80, 1_000)).is_empty());
        assert_eq!(host.fates(), [(TooBigLost, 2)].into());
    }
    let sent = Host::new(with_mtu(92)).sends(0, &without_df(&tcp(VIP, 80, 1_000)));
    assert_eq!(sent.len(), 22);
}

#[test]
fn nobody_is_answered_who_must_not_be() {
    let (big, big_v6) = (tcp(VIP, 80, 1_500), tcp_v6(VIP_V6, 8091, 1_500));
    let with = |frame: &[u8], at: usize, bytes: &[u8]| {
        let mut frame = frame.to_vec();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        frame
    };
    let mut silent = vec![
        // An error about a flow.
        icmp_error(3, 4, &reply(&big), 1_480),
        icmp_error(2, 0, &reply(&big_v6), 1_480),
        // From a group's MAC, and to one.
        with(&big, 6, &[1]),
        with(&big, 0, &[1]),
        with(&big, 0, &[0xff; 6]),
    ];
    // From no one, anyone, oneself.
    for source in
        [[0, 0, 0, 0], [0, 1, 2, 3], [127, 0, 0, 1], [224, 0, 0, 1], [239, 1, 2, 3], [255; 4], [240, 0, 0, 1], VIP]
    {
        silent.push(with_ipv4(&big, 12, &source));
    }
    let loopback = 1_u128.to_be_bytes();
    for source in [[0; 16], loopback, [&[0xff, 2][..], &[1; 14]].concat().try_into().unwrap(), VIP_V6] {
        silent.push(with(&big_v6, 22, &source));
    }
    let mut tables = image();
    tables.datapath.flags = 0;
    for frame in &silent {
        let mut host = Host::new(tables.clone());
        assert!(host.sends(0, frame).is_empty(), "{:02x?}", &frame[..54]);
        assert_eq!(host.fates(), [(TooBigLost, 1)].into());
    }
    // An error may be cut, as anything without DF.
    let cut = Host::new(image()).sends(0, &without_df(&silent[0]));
    assert_eq!(reassembled(&cut), silent[0][34..]);
    // Pings of such are the kernel's.
    for (at, bytes) in [(6, &[1][..]), (0, &[1]), (26, &[224, 0, 0, 1]), (26, &VIP)] {
        let ping = with(&echo(), at, bytes);
        let ping = if at == 26 { with_ipv4(&ping, 12, bytes) } else { ping };
        Host::new(tables.clone()).passes(0, &ping);
    }
}

#[test]
fn answers_are_limited_each_kind_by_itself() {
    let mut host = Host::new(image());
    let big = [tcp(VIP, 80, 1_500), tcp_v6(VIP_V6, 8091, 1_500)];
    let pings = [echo(), echo_v6()];
    for _ in 0..300 {
        for frame in big.iter().chain(&pings) {
            assert!(host.sends(5, frame).len() <= 1);
        }
    }
    let left = 600 - ANSWERS_AT_ONCE;
    let expected = [
        (TooBigAnswered, ANSWERS_AT_ONCE),
        (TooBigLimited, left),
        (EchoAnswered, ANSWERS_AT_ONCE),
        (EchoLimited, left),
    ];
    assert_eq!(host.fates(), expected.into());
    for (at, frame) in [(0, &big[0]), (0, &pings[0])] {
        assert_eq!(host.sends(5 + EVERY_NS + at, frame).len(), 1);
        assert_eq!(host.sends(5 + EVERY_NS + at, frame).len(), 0);
    }
    // A second is worth no more than what may be at once, and a clock that goes back and forth nothing.
    let times = [10_000_000_000, 9_000_000_000].into_iter().cycle();
    let sent: usize = times.take(300).map(|time_ns| host.sends(time_ns, &big[0]).len()).sum();
    assert_eq!(sent as u64, ANSWERS_AT_ONCE);
}

#[test]
fn echo_request_to_a_services_address_is_answered_with_what_it_brought() {
    for (request, tag) in [(echo(), None), (echo_v6(), None), (echo(), Some(0x7064)), (echo_v6(), Some(5))] {
        let request = tag.map_or(request.clone(), |tci| tagged(&request, tci));
        // Ethernet's padding is no part of it.
        let request = [request, vec![0xee; 11]].concat();
        let mut host = Host::new(image());
        let sent = host.sends(0, &request);
        match said(&sent[0], &request) {
            Said::V4(ip, icmp) => {
                let Icmpv4Type::EchoReply(header) = icmp.icmp_type() else { panic!("{:?}", icmp.icmp_type()) };
                assert_eq!((header.id, header.seq, icmp.payload()), (0x1234, 7, &b"anybody there?!"[..]));
                // As the request: class, identification, no DF.
                assert_eq!((ip.dscp.value(), ip.ecn.value(), ip.identification), (0xb9 >> 2, 0, 0xabcd));
                assert!(!ip.dont_fragment);
            }
            Said::V6(_, icmp) => {
                let Icmpv6Type::EchoReply(header) = icmp.icmp_type() else { panic!("{:?}", icmp.icmp_type()) };
                assert_eq!((header.id, header.seq, icmp.payload()), (0x1234, 7, &b"anybody there?!"[..]));
            }
        }
        assert_eq!((sent.len(), host.fates()), (1, [(EchoAnswered, 1)].into()));
        assert_eq!(host.verdict(Verdict::PassIcmp), 1);
    }
    let mut with_df = echo();
    with_df = with_ipv4(&with_df, 6, &[0x40, 0]);
    let sent = Host::new(image()).sends(0, &with_df);
    assert_eq!(sent[0][20..22], [0x40, 0]);
    // Sums that come out as all ones and as zeros, whatever the checksum is: every low word of data.
    let mut host = Host::new(image());
    for number in 0..=u16::MAX {
        let mut frame = Vec::new();
        let step = PacketBuilder::ethernet2(CLIENT_MAC, OWN_MAC).ipv6(CLIENT_V6, VIP_V6, 60);
        step.icmpv6_echo_request(1, 1).write(&mut frame, &number.to_be_bytes()).unwrap();
        let sent = host.sends(u64::from(number) * EVERY_NS, &frame);
        let Said::V6(_, icmp) = said(&sent[0], &frame) else { panic!("IPv4") };
        assert_eq!(icmp.payload(), number.to_be_bytes());
    }
}

#[test]
fn other_icmp_stays_the_kernels() {
    let change = |frame: Vec<u8>, at: usize, bits: u8| {
        let mut frame = frame;
        frame[at] ^= bits;
        frame
    };
    let neighbour = {
        let mut frame = Vec::new();
        let step = PacketBuilder::ethernet2(CLIENT_MAC, OWN_MAC).ipv6(CLIENT_V6, VIP_V6, 255);
        step.icmpv6_raw(135, 0, [0; 4]).write(&mut frame, &VIP_V6).unwrap();
        frame
    };
    let mut raw = Vec::new();
    let step = PacketBuilder::ethernet2(CLIENT_MAC, OWN_MAC).ipv4(CLIENT, VIP, 60);
    step.icmpv4_raw(8, 1, [1; 4]).write(&mut raw, &[7]).unwrap();
    let mut short = Vec::new();
    let step = PacketBuilder::ethernet2(CLIENT_MAC, OWN_MAC).ipv4(CLIENT, VIP, 60);
    step.icmpv4_raw(8, 0, [0; 4]).write(&mut short, &[]).unwrap();
    let cut = with_ipv4(&short[..38], 2, &[0, 24]);
    let frames = [
        neighbour,
        // A code, a reply, a wrong checksum, to a stranger, cut short.
        raw,
        change(change(echo(), 34, 8), 36, 8),
        change(echo(), 36, 1),
        change(echo(), 44, 1),
        change(echo_v6(), 56, 1),
        change(echo_v6(), 37, 1),
        with_ipv4(&echo(), 16, &[192, 0, 2, 99]),
        cut,
    ];
    let mut host = Host::new(image());
    for frame in &frames {
        host.passes(0, frame);
    }
    assert_eq!(host.fates(), [(Passed, frames.len() as u64)].into());
    // The address of a service that takes nothing is none; a piece of a request is a fragment.
    let mut tables = image();
    for service in &mut tables.services {
        service.flags &= !ServiceRow::FLAG_ENABLED;
    }
    Host::new(tables).passes(0, &echo());
    Host::new(image()).passes(0, &with_ipv4(&echo(), 6, &[0x20, 0]));
}
