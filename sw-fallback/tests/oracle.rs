//! Goal: the pipeline agrees with other people's code (`etherparse`), and no bytes whatever make it panic.
//!
//! Method: *Forwarded frames*: random valid packets go to a service; what leaves is sliced by `etherparse` (Ethernet,
//! 802.1Q, IPv4, its checksum), GRE is read by hand, and the rest must be the packet that came in. *Parse*: for random,
//! mutated and truncated frames `expected` says what parse should return. There, `etherparse` reads every header and
//! field and decides what is truncated or malformed; only the order of the checks and the policy (what passes, what
//! drops) are ours. All of the verdict and of [`Parsed`] is compared, with one exception: where an IHL reaches
//! beyond the frame, `etherparse` says no more than that, and either of the two verdicts for it will do. The UDP
//! length field and transport checksums are not compared, because the pipeline does not look at them.

// Helpers of tests panic as tests do.
#![allow(clippy::unwrap_used)]

use etherparse::checksum::Sum16BitWords;
use etherparse::err::{ipv4, tcp};
use etherparse::{
    EtherType, Ethernet2HeaderSlice, IpNumber, Ipv4HeaderSlice, LinkExtSlice, NetSlice, PacketBuilder,
    SingleVlanHeaderSlice, SlicedPacket, TcpHeaderSlice, UdpHeaderSlice, VlanId,
};
use maglane_spec::{Geometry, Verdict};
use maglane_sw::Pipeline;
use maglane_sw::engine::Engine;
use maglane_sw::stage::parse::{Parsed, TcpFlags, parse};
use proptest::prelude::*;
use proptest::sample::Index;

#[allow(dead_code)]
#[path = "../src/fixture.rs"]
mod fixture;

use fixture::{CLIENT_MAC, OWN_MAC, VIP, VIP_ALL_TCP, VIP_ALL_UDP, datapath, image, tcp, udp};

/// A packet to a service, before anything is done to it.
#[derive(Clone, Debug)]
struct Packet {
    source: [u8; 4],
    destination: [u8; 4],
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
        let mut ip = etherparse::Ipv4Header::new(0, self.ttl, IpNumber::UDP, self.source, self.destination).unwrap();
        ip.dscp = (self.dscp_ecn >> 2).try_into().unwrap();
        ip.ecn = (self.dscp_ecn & 3).try_into().unwrap();
        let ip = etherparse::IpHeaders::Ipv4(ip, etherparse::Ipv4Extensions::default());
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
        source: [u8; 4], source_port: u16, destination in 0..4, other_port: u16, tag: Option<u16>, dscp_ecn: u8,
        ttl: u8, payload in proptest::collection::vec(any::<u8>(), 0..1_400), padding_len in 0_usize..50,
    ) -> Packet {
        let (destination, port, is_tcp) = [
            (VIP, 80, true), (VIP, 53, false), (VIP_ALL_TCP, other_port, true), (VIP_ALL_UDP, other_port, false),
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
    if ether_type != EtherType::IPV4 {
        return one(Verdict::PassNotIp);
    }
    let packet = &frame[ip_offset..];
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
    let (source_port, destination_port, flags) = match ip.protocol() {
        IpNumber::ICMP => return one(Verdict::PassIcmp),
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
        _ => match UdpHeaderSlice::from_slice(payload) {
            Ok(udp) => (udp.source_port(), udp.destination_port(), TcpFlags::default()),
            Err(_) => return one(Verdict::DropL4Truncated),
        },
    };
    Ok(Parsed {
        tag,
        ip_offset,
        total_length: ip.total_len(),
        dscp_ecn: ip.dcp().value() << 2 | ip.ecn().value(),
        source: ip.source(),
        destination: ip.destination(),
        source_port,
        destination_port,
        protocol: ip.protocol().0,
        flags,
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
        let Some(NetSlice::Ipv4(ip)) = &sliced.net else { panic!("not IPv4") };
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

        // Service 2 alone has a GRE key.
        let gre: &[u8] = if trace.service == 2 { &[0x20, 0, 8, 0, 0, 0, 0, 7] } else { &[0, 0, 8, 0] };
        let ip_offset = if packet.tag.is_some() { 18 } else { 14 };
        let inner = &frame[ip_offset..frame.len() - packet.padding_len];
        prop_assert_eq!(ip.payload().payload, [gre, inner].concat());
        prop_assert_eq!(out.len(), ip_offset + usize::from(header.total_len()));
    }

    #[test]
    fn parse_of_valid_frames_is_etherparses(packet in packets()) {
        let frame = packet.frame();
        prop_assert!(parse(Some(&datapath()), &frame).is_ok());
        check_parse(&frame);
    }

    #[test]
    fn parse_of_mutated_frames_is_etherparses(
        packet in packets(), flips in proptest::collection::vec((0_usize..74, 0_u8..8), 0..4),
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
    for frame in [tcp(VIP, 80, 30), udp(VIP, 53, 30), fixture::tagged(&tcp(VIP, 80, 30), 9)] {
        for len in 0..=frame.len() {
            check_parse(&frame[..len]);
            check_process(&mut pipeline, &frame[..len]);
        }
    }
}

#[test]
fn every_bit_flip_in_the_headers_is_etherparses() {
    let mut pipeline = loaded();
    for (frame, ip) in [(tcp(VIP, 80, 30), 14), (udp(VIP, 53, 30), 14), (fixture::tagged(&udp(VIP, 53, 30), 9), 18)] {
        for bit in 0..60 * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            check_parse(&flipped);
            check_process(&mut pipeline, &flipped);
            set_checksum(&mut flipped, ip);
            check_parse(&flipped);
            check_process(&mut pipeline, &flipped);
        }
    }
}
