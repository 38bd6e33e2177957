//! Goal: the pipeline agrees with other people's code (`etherparse`), and no bytes whatever make it panic.
//!
//! Method: *Forwarded frames*: random valid packets of both families go to a service; what leaves is sliced by
//! `etherparse` (Ethernet, 802.1Q, IPv4, its checksum, IPv6), GRE is read by hand, and the rest must be the packet
//! that came in. *Parse*: for random, mutated and truncated frames `expected` says what parse should return. There,
//! `etherparse` reads every header and field and decides what is truncated or malformed; only the order of the checks
//! and the policy (what passes, what drops) are ours. All of the verdict and of [`Parsed`] is compared, with one
//! exception: where an IHL reaches beyond the frame, `etherparse` says no more than that, and either of the two
//! verdicts for it will do. The UDP length field and transport checksums are not compared, because the pipeline does
//! not look at them.

// Helpers of tests panic as tests do.
#![allow(clippy::unwrap_used)]

use etherparse::checksum::Sum16BitWords;
use etherparse::err::{ipv4, ipv6, tcp};
use etherparse::{
    EtherType, Ethernet2HeaderSlice, Icmpv4Slice, Icmpv6Slice, IpNumber, Ipv4HeaderSlice, Ipv6HeaderSlice,
    LinkExtSlice, NetSlice, PacketBuilder, SingleVlanHeaderSlice, SlicedPacket, TcpHeaderSlice, UdpHeaderSlice, VlanId,
};
use maglane_spec::{Geometry, Verdict};
use maglane_sw::Pipeline;
use maglane_sw::engine::Engine;
use maglane_sw::stage::parse::{Parsed, TcpFlags, Tuple, parse};
use proptest::prelude::*;
use proptest::sample::Index;

#[allow(dead_code)]
#[path = "../src/fixture.rs"]
mod fixture;

use fixture::{
    CLIENT_MAC, OWN_MAC, TUNNEL_SOURCE_V6, VIP, VIP_ALL_TCP, VIP_ALL_UDP, VIP_V6, datapath, icmp_error, image, reply,
    tcp, tcp_v6, udp, udp_v6,
};

/// Where a packet goes, and so its family.
#[derive(Clone, Copy, Debug)]
enum Destination {
    V4([u8; 4]),
    V6([u8; 16]),
}

/// A packet to a service, before anything is done to it.
#[derive(Clone, Debug)]
struct Packet {
    /// IPv4 takes the first four bytes.
    source: [u8; 16],
    destination: Destination,
    ports: [u16; 2],
    is_tcp: bool,
    tag: Option<u16>,
    dscp_ecn: u8,
    ttl: u8,
    payload: Vec<u8>,
    padding_len: usize,
}

impl Packet {
    fn frame(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        let vlan = self.tag.map(|tag| VlanId::try_new(tag & 0xfff).unwrap());
        let ip = match self.destination {
            Destination::V4(destination) => {
                let source = *self.source.first_chunk().unwrap();
                let mut ip = etherparse::Ipv4Header::new(0, self.ttl, IpNumber::UDP, source, destination).unwrap();
                ip.dscp = (self.dscp_ecn >> 2).try_into().unwrap();
                ip.ecn = (self.dscp_ecn & 3).try_into().unwrap();
                etherparse::IpHeaders::Ipv4(ip, etherparse::Ipv4Extensions::default())
            }
            Destination::V6(destination) => {
                let ip = etherparse::Ipv6Header {
                    traffic_class: self.dscp_ecn,
                    flow_label: 0xf_1234.try_into().unwrap(),
                    hop_limit: self.ttl,
                    source: self.source,
                    destination,
                    ..etherparse::Ipv6Header::default()
                };
                etherparse::IpHeaders::Ipv6(ip, etherparse::Ipv6Extensions::default())
            }
        };
        let ethernet = PacketBuilder::ethernet2(CLIENT_MAC, OWN_MAC);
        let builder = match vlan {
            Some(vlan) => ethernet.single_vlan(vlan).ip(ip),
            None => ethernet.ip(ip),
        };
        let [source_port, destination_port] = self.ports;
        if self.is_tcp {
            builder.tcp(source_port, destination_port, 1, 2).write(&mut frame, &self.payload).unwrap();
        } else {
            builder.udp(source_port, destination_port).write(&mut frame, &self.payload).unwrap();
        }
        if let Some(tag) = self.tag {
            // The builder makes no priority or drop bits.
            frame[14..16].copy_from_slice(&tag.to_be_bytes());
        }
        frame.resize(frame.len() + self.padding_len, 0xee);
        frame
    }
}

prop_compose! {
    fn packets()(
        source: [u8; 16], source_port: u16, destination in 0..6, other_port: u16, tag: Option<u16>, dscp_ecn: u8,
        ttl: u8, payload in proptest::collection::vec(any::<u8>(), 0..1_380), padding_len in 0_usize..50,
    ) -> Packet {
        let (destination, port, is_tcp) = [
            (Destination::V4(VIP), 80, true),
            (Destination::V4(VIP), 53, false),
            (Destination::V4(VIP_ALL_TCP), other_port, true),
            (Destination::V4(VIP_ALL_UDP), other_port, false),
            (Destination::V6(VIP_V6), 8091, true),
            (Destination::V6(VIP_V6), 8092, false),
        ][usize::try_from(destination).unwrap()];
        Packet { source, destination, ports: [source_port, port], is_tcp, tag, dscp_ecn, ttl, payload, padding_len }
    }
}

fn loaded() -> Pipeline {
    let mut pipeline = Pipeline::new(Geometry::LAB);
    pipeline.load(&image()).unwrap();
    pipeline
}

/// The verdicts that parse may give, or what it reads.
fn expected(frame: &[u8]) -> Result<Parsed, Vec<Verdict>> {
    let one = |verdict| Err(vec![verdict]);
    if frame.len() > 9_600 {
        return one(Verdict::DropTooLong);
    }
    let Ok(ethernet) = Ethernet2HeaderSlice::from_slice(frame) else { return one(Verdict::PassNotIp) };
    let (mut ether_type, mut ip_offset, mut tag) = (ethernet.ether_type(), 14, None);
    if ether_type == EtherType::VLAN_TAGGED_FRAME {
        let Ok(vlan) = SingleVlanHeaderSlice::from_slice(&frame[14..]) else { return one(Verdict::PassNotIp) };
        let [high, low, ..] = vlan.to_header().to_bytes();
        (ether_type, ip_offset, tag) = (vlan.ether_type(), 18, Some([0x81, 0x00, high, low]));
    }
    if ethernet.destination() != OWN_MAC {
        return one(Verdict::PassOtherMac);
    }
    let packet = &frame[ip_offset..];
    let ip = match ether_type {
        EtherType::IPV4 => expected_ipv4(packet)?,
        EtherType::IPV6 => expected_ipv6(packet)?,
        _ => return one(Verdict::PassNotIp),
    };
    let Ip { ipv6, total_length, dscp_ecn, source, destination, protocol, payload } = ip;
    let (source_port, destination_port, flags) = match protocol {
        IpNumber::TCP => match TcpHeaderSlice::from_slice(payload) {
            Ok(tcp) => {
                let flags = TcpFlags { syn: tcp.syn(), fin: tcp.fin(), rst: tcp.rst() };
                (tcp.source_port(), tcp.destination_port(), flags)
            }
            Err(tcp::HeaderSliceError::Len(error)) if error.required_len == 20 => {
                return one(Verdict::DropL4Truncated);
            }
            Err(_) => return one(Verdict::DropTcpOffset),
        },
        IpNumber::UDP => match UdpHeaderSlice::from_slice(payload) {
            Ok(udp) => (udp.source_port(), udp.destination_port(), TcpFlags::default()),
            Err(_) => return one(Verdict::DropL4Truncated),
        },
        _ => {
            let Some(tuple) = expected_quote(&ip) else { return one(Verdict::PassIcmp) };
            let flags = TcpFlags::default();
            return Ok(Parsed { tag, ip_offset, ipv6, total_length, dscp_ecn, tuple, flags, steered: true });
        }
    };
    let tuple = Tuple { source, destination, source_port, destination_port, protocol: protocol.0 };
    Ok(Parsed { tag, ip_offset, ipv6, total_length, dscp_ecn, tuple, flags, steered: false })
}

/// What `etherparse` reads of a packet, as far as it is well.
struct Ip<'a> {
    ipv6: bool,
    total_length: u16,
    dscp_ecn: u8,
    source: [u8; 16],
    destination: [u8; 16],
    protocol: IpNumber,
    payload: &'a [u8],
}

fn expected_ipv4(packet: &[u8]) -> Result<Ip<'_>, Vec<Verdict>> {
    let one = |verdict| Err(vec![verdict]);
    let ip = match Ipv4HeaderSlice::from_slice(packet) {
        Ok(ip) => ip,
        Err(ipv4::HeaderSliceError::Len(error)) if error.required_len == 20 => return one(Verdict::DropIpTruncated),
        Err(ipv4::HeaderSliceError::Len(_)) => return Err(vec![Verdict::DropIpHeaderLength, Verdict::DropIpLength]),
        Err(ipv4::HeaderSliceError::Content(ipv4::HeaderError::UnexpectedVersion { .. })) => {
            return one(Verdict::DropIpVersion);
        }
        Err(ipv4::HeaderSliceError::Content(_)) => return one(Verdict::DropIpHeaderLength),
    };
    if ip.payload_len().is_err() {
        return one(Verdict::DropIpHeaderLength);
    }
    let Some(payload) = packet.get(ip.slice().len()..usize::from(ip.total_len())) else {
        return one(Verdict::DropIpLength);
    };
    if !ip.options().is_empty() {
        return one(Verdict::PassIpv4Options);
    }
    // Over the bytes: `calc_header_checksum` forgets the reserved bit of the flags.
    let [before, after] = [&ip.slice()[..10], &ip.slice()[12..]];
    let checksum = Sum16BitWords::new().add_slice(before).add_slice(after).ones_complement();
    let checksum = u16::from_be_bytes(checksum.to_ne_bytes());
    // In one's complement 0xFFFF is zero too.
    if ip.header_checksum() != checksum && (ip.header_checksum(), checksum) != (0xffff, 0) {
        return one(Verdict::DropIpv4Checksum);
    }
    if ![IpNumber::ICMP, IpNumber::TCP, IpNumber::UDP].contains(&ip.protocol()) {
        return one(Verdict::PassProtocol);
    }
    if ip.is_fragmenting_payload() {
        return one(Verdict::PassFragment);
    }
    Ok(Ip {
        ipv6: false,
        total_length: ip.total_len(),
        dscp_ecn: ip.dcp().value() << 2 | ip.ecn().value(),
        source: fixture::ipv4_in_16(ip.source()),
        destination: fixture::ipv4_in_16(ip.destination()),
        protocol: ip.protocol(),
        payload,
    })
}

fn expected_ipv6(packet: &[u8]) -> Result<Ip<'_>, Vec<Verdict>> {
    let one = |verdict| Err(vec![verdict]);
    let ip = match Ipv6HeaderSlice::from_slice(packet) {
        Ok(ip) => ip,
        Err(ipv6::HeaderSliceError::Len(_)) => return one(Verdict::DropIpTruncated),
        Err(ipv6::HeaderSliceError::Content(_)) => return one(Verdict::DropIpVersion),
    };
    let Some(payload) = packet.get(40..40 + usize::from(ip.payload_length())) else {
        return one(Verdict::DropIpLength);
    };
    match ip.next_header() {
        IpNumber::IPV6_FRAGMENTATION_HEADER => return one(Verdict::PassFragment),
        IpNumber::TCP | IpNumber::UDP | IpNumber::IPV6_ICMP => {}
        _ => return one(Verdict::PassProtocol),
    }
    Ok(Ip {
        ipv6: true,
        total_length: 40 + ip.payload_length(),
        dscp_ecn: ip.traffic_class(),
        source: ip.source(),
        destination: ip.destination(),
        protocol: ip.next_header(),
        payload,
    })
}

/// The tuple that a steered error quotes, turned round. The kind of error is what `etherparse` makes of its type.
fn expected_quote(ip: &Ip<'_>) -> Option<Tuple> {
    let (quote, source, destination, protocol, ports) = if ip.ipv6 {
        let message = Icmpv6Slice::from_slice(ip.payload).ok()?;
        if !(1..=4).contains(&message.type_u8()) {
            return None;
        }
        let quote = message.payload();
        let inner = Ipv6HeaderSlice::from_slice(quote).ok()?;
        (quote, inner.source(), inner.destination(), inner.next_header(), quote.get(40..44))
    } else {
        let message = Icmpv4Slice::from_slice(ip.payload).ok()?;
        if ![3, 11, 12].contains(&message.type_u8()) {
            return None;
        }
        let quote = message.payload();
        let inner = Ipv4HeaderSlice::from_slice(quote).ok()?;
        if !inner.options().is_empty() || inner.fragments_offset().value() != 0 {
            return None;
        }
        let (source, destination) = (fixture::ipv4_in_16(inner.source()), fixture::ipv4_in_16(inner.destination()));
        (quote, source, destination, inner.protocol(), quote.get(20..24))
    };
    let ports: [u8; 4] = ports?.try_into().unwrap();
    let known = protocol == IpNumber::TCP || protocol == IpNumber::UDP;
    (known && source == ip.destination && !quote.is_empty()).then(|| Tuple {
        source: destination,
        destination: source,
        source_port: u16::from_be_bytes([ports[2], ports[3]]),
        destination_port: u16::from_be_bytes([ports[0], ports[1]]),
        protocol: protocol.0,
    })
}

fn check_parse(frame: &[u8]) {
    match (parse(Some(&datapath()), frame), expected(frame)) {
        (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs),
        (Err(ours), Err(theirs)) => assert!(theirs.contains(&ours), "{ours:?}, not {theirs:?}: {frame:02x?}"),
        (ours, theirs) => panic!("{ours:?}, not {theirs:?}: {frame:02x?}"),
    }
}

/// Processes a frame and checks what must hold for every frame.
fn check_process(pipeline: &mut Pipeline, frame: &[u8]) {
    let mut out = vec![0xcc; 3];
    let trace = pipeline.process_frame(0, frame, &mut out);
    match trace.verdict.egress() {
        maglane_spec::verdict::Egress::Wire => assert!(out.len() > frame.len().min(38)),
        maglane_spec::verdict::Egress::Host => assert_eq!(out, frame),
        maglane_spec::verdict::Egress::Nowhere => assert_eq!(out, []),
    }
    let counter = pipeline.totals().verdicts[usize::from(trace.verdict.code())];
    assert!(counter.packets > 0 && counter.bytes >= frame.len() as u64);
}

/// Makes the IPv4 header checksum right, so that a mutation is seen by the checks behind it.
fn set_checksum(frame: &mut [u8], ip_offset: usize) {
    if let Some(header) = frame.get_mut(ip_offset..ip_offset + 20) {
        header[10..12].fill(0);
        let checksum = Sum16BitWords::new().add_slice(header).ones_complement();
        header[10..12].copy_from_slice(&checksum.to_ne_bytes());
    }
}

proptest! {
    #[test]
    fn forwarded_frame_is_the_packet_in_gre_for_etherparse(packet in packets(), entropy_bits in 0_u8..=16) {
        let mut image = image();
        image.datapath.source_entropy_bits = entropy_bits;
        let mut pipeline = Pipeline::new(Geometry::LAB);
        pipeline.load(&image).unwrap();
        let (frame, mut out) = (packet.frame(), Vec::new());
        let trace = pipeline.process_frame(0, &frame, &mut out);
        prop_assert_eq!(trace.verdict, Verdict::Forward);
        let backend = &image.backends[usize::from(trace.backend)];

        let sliced = SlicedPacket::from_ethernet(&out).unwrap();
        let ethernet = Ethernet2HeaderSlice::from_slice(&out).unwrap();
        prop_assert_eq!((ethernet.destination(), ethernet.source()), (backend.next_hop_mac, OWN_MAC));
        let tag = match sliced.link_exts.first() {
            Some(LinkExtSlice::Vlan(vlan)) => Some(u16::from_be_bytes([vlan.slice()[0], vlan.slice()[1]])),
            _ => None,
        };
        prop_assert_eq!((tag, sliced.link_exts.len()), (packet.tag, usize::from(packet.tag.is_some())));
        let ip_offset = if packet.tag.is_some() { 18 } else { 14 };
        let outer_payload = match &sliced.net {
            Some(NetSlice::Ipv4(ip)) => {
                let header = ip.header();
                prop_assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
                prop_assert_eq!((header.protocol(), header.ttl(), header.identification()), (IpNumber::GRE, 64, 0));
                prop_assert!(header.dont_fragment() && !header.is_fragmenting_payload() && header.options().is_empty());
                prop_assert_eq!(header.dcp().value() << 2 | header.ecn().value(), packet.dscp_ecn);
                prop_assert_eq!(&header.destination()[..], &backend.address[..4]);
                let spread = 2_u64.pow(u32::from(entropy_bits));
                let tunnel_source = u64::from(u32::from_be_bytes([10, 0, 0, 1]));
                let source = tunnel_source / spread * spread + trace.hash % spread;
                prop_assert_eq!(u64::from(u32::from(header.source_addr())), source);
                prop_assert_eq!(out.len(), ip_offset + usize::from(header.total_len()));
                ip.payload().payload
            }
            Some(NetSlice::Ipv6(ip)) => {
                let header = ip.header();
                prop_assert_eq!((header.next_header(), header.hop_limit()), (IpNumber::GRE, 64));
                prop_assert_eq!(header.traffic_class(), packet.dscp_ecn);
                prop_assert_eq!(u64::from(header.flow_label().value()), trace.hash % 0x10_0000);
                prop_assert_eq!((header.source(), header.destination()), (TUNNEL_SOURCE_V6, backend.address));
                prop_assert_eq!(out.len(), ip_offset + 40 + usize::from(header.payload_length()));
                ip.payload().payload
            }
            net => panic!("{net:?}"),
        };

        // Services 2 and 15 have a GRE key.
        let [p0, p1] = if matches!(packet.destination, Destination::V4(_)) { [8, 0] } else { [0x86, 0xdd] };
        let keyed = [2, 15].contains(&trace.service);
        let gre: &[u8] = if keyed { &[0x20, 0, p0, p1, 0, 0, 0, 7] } else { &[0, 0, p0, p1] };
        let inner = &frame[ip_offset..frame.len() - packet.padding_len];
        prop_assert_eq!(outer_payload, [gre, inner].concat());
    }

    #[test]
    fn parse_of_valid_frames_is_etherparses(packet in packets()) {
        let frame = packet.frame();
        prop_assert!(parse(Some(&datapath()), &frame).is_ok());
        check_parse(&frame);
    }

    #[test]
    fn parse_of_mutated_frames_is_etherparses(
        packet in packets(), flips in proptest::collection::vec((0_usize..94, 0_u8..8), 0..4),
        right_checksum: bool, cut in proptest::option::of(any::<Index>()),
    ) {
        let mut frame = packet.frame();
        for (byte, bit) in flips {
            if let Some(byte) = frame.get_mut(byte) {
                *byte ^= 1 << bit;
            }
        }
        if right_checksum {
            set_checksum(&mut frame, if packet.tag.is_some() { 18 } else { 14 });
        }
        if let Some(cut) = cut {
            frame.truncate(cut.index(frame.len() + 1));
        }
        check_parse(&frame);
        check_process(&mut loaded(), &frame);
    }

    /// Fields that a single bit flip seldom takes past their limits.
    #[test]
    fn parse_of_frames_with_forged_fields_is_etherparses(
        packet in packets(), version_ihl in prop_oneof![4 => Just(0x45_u8), 1 => any::<u8>()],
        total_length in prop_oneof![3 => Just(None), 1 => (0_u16..100).prop_map(Some), 1 => any::<Option<u16>>()],
        fragment in prop_oneof![3 => Just(0x4000_u16), 1 => any::<u16>()],
        protocol in prop_oneof![1 => Just(1_u8), 4 => Just(6), 4 => Just(17), 1 => any::<u8>()],
        data_offset in prop_oneof![Just(0x50_u8), any::<u8>()], flags: u8,
    ) {
        let mut frame = packet.frame();
        let ip = if packet.tag.is_some() { 18 } else { 14 };
        prop_assume!(frame[ip] == 0x45);
        frame[ip] = version_ihl;
        if let Some(total_length) = total_length {
            frame[ip + 2..ip + 4].copy_from_slice(&total_length.to_be_bytes());
        }
        frame[ip + 6..ip + 8].copy_from_slice(&fragment.to_be_bytes());
        frame[ip + 9] = protocol;
        if let Some(byte) = frame.get_mut(ip + 32) {
            *byte = data_offset;
        }
        if let Some(byte) = frame.get_mut(ip + 33) {
            *byte = flags;
        }
        set_checksum(&mut frame, ip);
        check_parse(&frame);
        check_process(&mut loaded(), &frame);
    }

    #[test]
    fn parse_of_forged_errors_is_etherparses(
        packet in packets(), kind in prop_oneof![4 => 1_u8..13, 1 => any::<u8>()], code: u8, quoted_len in 0_usize..70,
        flips in proptest::collection::vec((0_usize..120, 0_u8..8), 0..3), padding_len in 0_usize..9, tag: Option<u16>,
        length in proptest::option::weighted(0.3, 0_u8..100),
    ) {
        let mut frame = Packet { tag: None, ..packet }.frame();
        frame.resize(200, 0);
        let mut error = icmp_error(kind, code, &reply(&frame), quoted_len);
        let ipv6 = error[14] >> 4 == 6;
        if let Some(length) = length {
            error[if ipv6 { 19 } else { 17 }] = length;
        }
        for (byte, bit) in flips {
            if let Some(byte) = error.get_mut(byte) {
                *byte ^= 1 << bit;
            }
        }
        if !ipv6 {
            set_checksum(&mut error, 14);
        }
        if let Some(tag) = tag {
            error = fixture::tagged(&error, tag);
        }
        error.resize(error.len() + padding_len, 0xee);
        check_parse(&error);
        check_process(&mut loaded(), &error);
    }

    #[test]
    fn no_bytes_panic(
        bytes in prop_oneof![
            6 => proptest::collection::vec(any::<u8>(), 0..200),
            1 => proptest::collection::vec(any::<u8>(), 9_590..9_610),
            1 => proptest::collection::vec(any::<u8>(), 0..=65_535),
        ],
        head in 0_usize..=20,
    ) {
        // Behind the first bytes of a frame for us, random bytes get further.
        let mut frame = bytes;
        let known = &udp(VIP, 53, 0)[..head];
        for (byte, known) in frame.iter_mut().zip(known) {
            *byte = *known;
        }
        check_parse(&frame);
        check_process(&mut loaded(), &frame);
        check_process(&mut Pipeline::new(Geometry::LAB), &frame);
    }
}

#[test]
fn truncation_at_every_length_is_etherparses() {
    let mut pipeline = loaded();
    let errors =
        [icmp_error(3, 4, &reply(&udp(VIP, 53, 30)), 30), icmp_error(2, 0, &reply(&tcp_v6(VIP_V6, 8091, 30)), 60)];
    let frames = [tcp(VIP, 80, 30), udp(VIP, 53, 30), fixture::tagged(&tcp(VIP, 80, 30), 9), udp_v6(VIP_V6, 8092, 9)];
    for frame in frames.into_iter().chain(errors) {
        for len in 0..=frame.len() {
            check_parse(&frame[..len]);
            check_process(&mut pipeline, &frame[..len]);
        }
    }
}

#[test]
fn every_bit_flip_in_the_headers_is_etherparses() {
    let mut pipeline = loaded();
    for (frame, ip) in [
        (tcp(VIP, 80, 30), 14),
        (udp(VIP, 53, 30), 14),
        (fixture::tagged(&udp(VIP, 53, 30), 9), 18),
        (icmp_error(3, 4, &reply(&udp(VIP, 53, 30)), 30), 14),
        (tcp_v6(VIP_V6, 8091, 30), 14),
        (icmp_error(2, 0, &reply(&tcp_v6(VIP_V6, 8091, 30)), 60), 14),
    ] {
        for bit in 0..frame.len().min(14 + 92) * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            check_parse(&flipped);
            check_process(&mut pipeline, &flipped);
            if frame[ip] == 0x45 {
                set_checksum(&mut flipped, ip);
                check_parse(&flipped);
                check_process(&mut pipeline, &flipped);
            }
        }
    }
}
