//! Goal: a filter takes the frames of its tuple and those that could be of it, no others, and no text or frame makes it
//! panic.

use etherparse::{IpNumber, Ipv6FragmentHeader, PacketBuilder};
use proptest::prelude::*;

use super::*;

const CLIENT: [u8; 4] = [198, 51, 100, 7];
const VIP: [u8; 4] = [192, 0, 2, 10];

fn filter(text: &str) -> Filter {
    text.parse().unwrap()
}

/// A segment from port 40000 to port 80.
fn segment() -> Vec<u8> {
    let mut frame = Vec::new();
    let step = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(CLIENT, VIP, 60).tcp(40_000, 80, 1, 512);
    step.write(&mut frame, b"x").unwrap();
    frame
}

/// "Fragmentation needed" about what the service sent to that port.
fn error(quoted_len: usize) -> Vec<u8> {
    let (mut quoted, mut frame) = (Vec::new(), Vec::new());
    PacketBuilder::ipv4(VIP, CLIENT, 60).tcp(80, 40_000, 1, 512).write(&mut quoted, &[]).unwrap();
    let step = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([203, 0, 113, 99], VIP, 60);
    step.icmpv4_raw(3, 4, [0, 0, 5, 0xdc]).write(&mut frame, &quoted[..quoted_len]).unwrap();
    frame
}

#[test]
fn frame_matches_when_all_that_is_given_does() {
    let frame = segment();
    let all = "src=198.51.100.7,dst=192.0.2.10,sport=40000,dport=80,proto=tcp";
    assert!(filter(all).matches(&frame) && Filter::ALL.matches(&frame) && Filter::ALL.matches(&[]));
    assert_eq!(filter(all).to_string(), all);
    for part in all.split(',') {
        assert!(filter(part).matches(&frame), "{part}");
    }
    for other in ["src=198.51.100.8", "dst=192.0.2.11", "sport=40001", "dport=81", "proto=udp", "proto=icmp"] {
        let key = other.split('=').next().unwrap();
        let others: Vec<&str> =
            all.split(',').map(|part| if part.starts_with(&format!("{key}=")) { other } else { part }).collect();
        assert!(!filter(other).matches(&frame), "{other}");
        // With proto=icmp there are no ports.
        if other != "proto=icmp" {
            assert!(!filter(&others.join(",")).matches(&frame), "{others:?}");
        }
    }
    assert!(!filter("dst=2001:db8::1").matches(&frame));
}

#[test]
fn frame_that_is_refused_matches_by_what_can_be_read() {
    let (ours, others) = (filter("src=198.51.100.7,dport=80"), filter("src=198.51.100.8,dport=80"));
    let with = |at: usize, byte: u8| {
        let mut frame = segment();
        frame[at] = byte;
        frame
    };
    // A wrong version, a wrong checksum, a header of no length, a later piece, one that is cut off before the ports.
    let cut = segment()[..34].to_vec();
    for frame in [with(14, 0x55), with(24, 1), with(14, 0x40), with(21, 7), cut] {
        assert!(ours.matches(&frame) && !others.matches(&frame), "{frame:02x?}");
        assert!(
            filter("sport=7,src=198.51.100.7").matches(&frame)
                == (frame.len() < 54 || frame[14] == 0x40 || frame[21] == 7)
        );
    }
    // Without the addresses there is nothing to tell it by; nor is another protocol's frame of any tuple.
    assert!(!ours.matches(&segment()[..33]) && !ours.matches(&[]) && !ours.matches(&with(13, 6)));
    // What has no ports is not of a port.
    assert!(!filter("dport=80").matches(&with(23, 47)) && filter("dst=192.0.2.10").matches(&with(23, 47)));
    // Tags, one more than parse looks behind.
    let tag = [0x81, 0, 0, 7];
    let tagged = [&segment()[..12], &tag, &tag, &segment()[12..]].concat();
    assert!(ours.matches(&tagged) && !others.matches(&tagged));
}

#[test]
fn piece_of_ipv6_matches_by_its_addresses_and_the_first_by_its_ports_too() {
    let (client, vip) = ([0x20; 16], [0x21; 16]);
    let mut whole = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6]).ipv6(client, vip, 60).udp(5, 53).write(&mut whole, &[1; 32]).unwrap();
    let piece = |offset: u16| {
        let mut frame = whole[..54].to_vec();
        frame[20] = IpNumber::IPV6_FRAGMENTATION_HEADER.0;
        let header = Ipv6FragmentHeader::new(IpNumber::UDP, offset.try_into().unwrap(), true, 1);
        header.write(&mut frame).unwrap();
        frame.extend_from_slice(&whole[54..]);
        frame
    };
    let dst = "dst=2121:2121:2121:2121:2121:2121:2121:2121";
    for (text, whole_and_first, later) in [
        (format!("{dst},dport=53,proto=udp"), true, true),
        (format!("{dst},dport=54"), false, true),
        (format!("{dst},proto=tcp"), false, false),
        ("dst=2121::".to_owned(), false, false),
    ] {
        let filter = filter(&text);
        assert_eq!([&whole, &piece(0)].map(|frame| filter.matches(frame)), [whole_and_first; 2], "{text}");
        assert_eq!(filter.matches(&piece(3)), later, "{text}");
    }
}

#[test]
fn error_about_a_flow_matches_by_itself_and_by_the_flow() {
    let frame = error(28);
    for text in
        ["src=198.51.100.7,dst=192.0.2.10,sport=40000,dport=80,proto=tcp", "src=203.0.113.99,proto=icmp", "sport=40000"]
    {
        assert!(filter(text).matches(&frame), "{text}");
    }
    for text in ["sport=80", "src=198.51.100.7,proto=icmp", "src=203.0.113.99,dport=80", "dst=198.51.100.7"] {
        assert!(!filter(text).matches(&frame), "{text}");
    }
    // One whose quote ends before the ports, which parse passes up, could be of any.
    assert!(filter("src=198.51.100.7,sport=7").matches(&error(20)));
    assert!(!filter("src=198.51.100.8,sport=7").matches(&error(20)));
}

#[test]
fn wrong_filter_is_told_by_its_key() {
    for (text, says) in [
        ("", "`` is not KEY=VALUE"),
        ("src", "`src` is not KEY=VALUE"),
        ("src=1.2.3", "`src` is an address, not `1.2.3`"),
        ("dst=web", "`dst` is an address"),
        ("sport=65536", "`sport` is a port, 0 to 65535, not `65536`"),
        ("dport=-1", "`dport` is a port"),
        ("proto=6", "`proto` is tcp, udp or icmp, not `6`"),
        ("port=80", "there is no key `port`; the keys are src, dst, sport, dport and proto"),
        ("src=1.2.3.4,", "`` is not KEY=VALUE"),
        ("src=1.2.3.4,src=1.2.3.4", "`src` is there twice"),
        ("src=1.2.3.4,dst=::1", "of two families"),
        ("sport=1,proto=icmp", "`sport` does not go with proto=icmp"),
        ("dport=1,proto=icmp", "`dport` does not go with proto=icmp"),
        ("a\u{1b}[2J=1", r"there is no key `a\u{1b}[2J`"),
    ] {
        let error = text.parse::<Filter>().unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*|((src|dst|sport|dport|proto)=[0-9a-f:.tcpudi]{0,9},?){1,6}") {
        match text.parse::<Filter>() {
            Ok(filter) => prop_assert_eq!(filter.to_string().parse(), Ok(filter)),
            Err(error) => prop_assert!(error.to_string().chars().count() < 200),
        }
    }

    #[test]
    fn no_frame_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..4_usize, ipv6: bool) {
        let mut frame = bytes;
        // Most frames should be taken for packets, and many for errors or such with more headers.
        let kinds: [&[u8]; 4] = [&[], &[1], &[58], &[0]];
        let ethertype: [u8; 2] = if ipv6 { [0x86, 0xdd] } else { [8, 0] };
        for (at, bytes) in [(12, &ethertype[..]), (if ipv6 { 20 } else { 23 }, kinds[kind])] {
            if let Some(place) = frame.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        }
        for text in ["src=1.2.3.4", "dport=80", "proto=icmp", "dst=::1"] {
            let _either = filter(text).matches(&frame);
        }
    }

    #[test]
    fn frame_of_a_tuple_matches_that_tuple(
        (source, destination) in (any::<[u8; 4]>(), any::<[u8; 4]>()),
        (source_port, destination_port, udp) in (any::<u16>(), any::<u16>(), any::<bool>()),
    ) {
        let mut frame = Vec::new();
        let step = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(source, destination, 60);
        if udp {
            step.udp(source_port, destination_port).write(&mut frame, &[]).unwrap();
        } else {
            step.tcp(source_port, destination_port, 1, 2).write(&mut frame, &[]).unwrap();
        }
        let own = Filter {
            source: Some(source.into()),
            destination: Some(destination.into()),
            source_port: Some(source_port),
            destination_port: Some(destination_port),
            protocol: Some(if udp { Protocol::Udp } else { Protocol::Tcp }),
        };
        prop_assert!(own.matches(&frame));
        let others = [
            Filter { source_port: Some(source_port ^ 1), ..own },
            Filter { destination_port: Some(destination_port ^ 1), ..own },
        ];
        prop_assert!(others.iter().all(|other| !other.matches(&frame)));
    }
}
