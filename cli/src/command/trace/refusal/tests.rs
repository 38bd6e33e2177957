//! Goal: each verdict of parse has its reason, with the check's number and the value that it failed on.
//!
//! Method: good frames with one thing wrong, of which parse itself must say the verdict.

use etherparse::PacketBuilder;
use etherparse::checksum::Sum16BitWords;
use maglane_sw::stage::parse::parse;

use super::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const OTHER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
const VIP: [u8; 4] = [192, 0, 2, 10];
const CLIENT: [u8; 4] = [198, 51, 100, 7];
const VIP_6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
const CLIENT_6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];

fn datapath() -> DatapathRow {
    DatapathRow { mac: MAC, flags: DatapathRow::FLAG_CHECK_MAC, ..DatapathRow::default() }
}

fn tcp() -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2(OTHER_MAC, MAC).ipv4(CLIENT, VIP, 60);
    builder.tcp(40_000, 80, 1, 512).write(&mut frame, &[0xa5; 10]).unwrap();
    frame
}

fn udp_6() -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2(OTHER_MAC, MAC).ipv6(CLIENT_6, VIP_6, 60);
    builder.udp(40_000, 53).write(&mut frame, &[0xa5; 10]).unwrap();
    frame
}

/// An ICMP error that quotes 28 bytes of a packet from the VIP.
fn error() -> Vec<u8> {
    let mut quoted = Vec::new();
    PacketBuilder::ipv4(VIP, CLIENT, 60).udp(53, 40_000).write(&mut quoted, &[]).unwrap();
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2(OTHER_MAC, MAC).ipv4([203, 0, 113, 9], VIP, 60);
    builder.icmpv4_raw(3, 4, [0; 4]).write(&mut frame, &quoted).unwrap();
    frame
}

fn error_6() -> Vec<u8> {
    let mut quoted = Vec::new();
    PacketBuilder::ipv6(VIP_6, CLIENT_6, 60).udp(53, 40_000).write(&mut quoted, &[]).unwrap();
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2(OTHER_MAC, MAC).ipv6(CLIENT_6, VIP_6, 60);
    builder.icmpv6_raw(2, 0, [0; 4]).write(&mut frame, &quoted).unwrap();
    frame
}

fn tagged(frame: &[u8]) -> Vec<u8> {
    [&frame[..12], &[0x81, 0, 0, 5], &frame[12..]].concat()
}

fn with(frame: &[u8], offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[offset..offset + bytes.len()].copy_from_slice(bytes);
    frame
}

/// The same in the IPv4 header of an untagged frame, whose checksum stays right.
fn with_ip(frame: &[u8], offset: usize, bytes: &[u8]) -> Vec<u8> {
    let frame = with(&with(frame, 14 + offset, bytes), 24, &[0, 0]);
    let sum = Sum16BitWords::new().add_slice(&frame[14..34]).ones_complement();
    with(&frame, 24, &sum.to_ne_bytes())
}

/// What is said of a frame that parse ends with a verdict, at a check.
#[track_caller]
fn says(frame: &[u8], verdict: Verdict, check: u8, sentence: &str) {
    assert_eq!(parse(Some(&datapath()), frame).err(), Some(verdict), "{sentence}");
    let refusal = Refusal::new(verdict, Some(&datapath()), frame);
    let said = format!("{} {} {}", refusal.field, refusal.value, refusal.rule);
    assert_eq!((said.as_str(), refusal.check), (sentence, check));
    assert_eq!(refusal.source.is_some(), check >= 8, "{sentence}");
}

#[test]
fn frames_that_are_too_long_or_short_or_not_ours() {
    says(&vec![0; 9_601], Verdict::DropTooLong, 1, "length 9,601 bytes is more than 9,600");
    let bypass = Refusal::new(Verdict::PassBypass, None, &tcp());
    assert_eq!((bypass.check, bypass.value.as_str()), (2, "none"));
    says(&tcp()[..13], Verdict::PassNotIp, 3, "length 13 bytes is less than the 14 of an Ethernet header");
    let short = tagged(&tcp())[..17].to_vec();
    says(&short, Verdict::PassNotIp, 3, "length 17 bytes is less than the 18 of an Ethernet header with a tag");
    says(&[], Verdict::PassNotIp, 3, "length 0 bytes is less than the 14 of an Ethernet header");
    for (mac, shown) in [
        ([0xff; 6], "ff:ff:ff:ff:ff:ff (broadcast)"),
        ([0x33, 0x33, 0, 0, 0, 0x16], "33:33:00:00:00:16 (a group)"),
        (OTHER_MAC, "02:00:00:00:00:09"),
    ] {
        let sentence = format!("destination MAC {shown} is not ours, 02:00:00:00:00:01, and check_mac is on");
        says(&with(&tcp(), 0, &mac), Verdict::PassOtherMac, 4, &sentence);
    }
}

#[test]
fn other_ethertypes_have_their_names() {
    let is_neither = "is neither 0x0800 (IPv4) nor 0x86dd (IPv6)";
    let arp = with(&tcp(), 12, &[8, 6]);
    says(&arp, Verdict::PassNotIp, 5, &format!("EtherType 0x0806 (ARP) {is_neither}"));
    says(&tagged(&arp), Verdict::PassNotIp, 5, &format!("EtherType 0x0806 (ARP) behind the tag {is_neither}"));
    let twice = format!("EtherType 0x8100 (a second 802.1Q tag) behind the tag {is_neither}");
    says(&tagged(&tagged(&tcp())), Verdict::PassNotIp, 5, &twice);
    let length = format!("EtherType 0x0100 (a length: no EtherType) {is_neither}");
    says(&with(&tcp(), 12, &[1, 0]), Verdict::PassNotIp, 5, &length);
}

#[test]
fn ip_headers_that_contradict_themselves() {
    let short = "length behind Ethernet 19 bytes is less than the 20 of a header";
    says(&tcp()[..33], Verdict::DropIpTruncated, 6, short);
    let short = "length behind Ethernet 39 bytes is less than the 40 of a header";
    says(&tagged(&udp_6())[..57], Verdict::DropIpTruncated, 6, short);
    says(&with(&tcp(), 14, &[0x65]), Verdict::DropIpVersion, 7, "version 6 contradicts EtherType 0x0800");
    says(&with(&udp_6(), 14, &[0x40]), Verdict::DropIpVersion, 7, "version 4 contradicts EtherType 0x86dd");
    says(&with(&tcp(), 14, &[0x44]), Verdict::DropIpHeaderLength, 8, "IHL 4 is less than 5");
    let longer = "IHL 15 makes a header of 60 bytes, more than the total length of 50";
    says(&with(&tcp(), 14, &[0x4f]), Verdict::DropIpHeaderLength, 8, longer);
    let longer = "total length 51 bytes is more than the 50 that are left in the frame";
    says(&with(&tcp(), 17, &[51]), Verdict::DropIpLength, 9, longer);
    let longer = "payload length 19 bytes makes a packet of 59, but 58 are left in the frame";
    says(&with(&udp_6(), 19, &[19]), Verdict::DropIpLength, 9, longer);
    let options = "IHL 7 says that 8 bytes of options follow";
    says(&with(&tcp(), 14, &[0x47]), Verdict::PassIpv4Options, 10, options);
    // The right one is told as RFC 1071 has it: found by a library that is not ours.
    let right = u16::from_be_bytes([tcp()[24], tcp()[25]]);
    let wrong = with(&tcp(), 24, &[0x12, 0x34]);
    let refusal = Refusal::new(Verdict::DropIpv4Checksum, Some(&datapath()), &wrong);
    let sum = refusal.rule.split(" to ").nth(1).unwrap().split(',').next().unwrap();
    let folded = u32::from(!right) + 0x1234;
    assert_eq!(sum, format!("{:#06x}", (folded & 0xffff) + (folded >> 16)));
    let sentence =
        format!("header checksum 0x1234 is wrong: the header sums to {sum}, not 0xffff; {right:#06x} would be right");
    says(&wrong, Verdict::DropIpv4Checksum, 11, &sentence);
}

#[test]
fn protocols_and_fragments() {
    let none = "protocol 47 (GRE) is none of 1 (ICMP), 6 (TCP), 17 (UDP)";
    says(&with_ip(&tcp(), 9, &[47]), Verdict::PassProtocol, 12, none);
    let none = "next header 0 (hop-by-hop options) is none of 6 (TCP), 17 (UDP), 58 (ICMPv6); extension headers are not \
                walked";
    says(&with(&udp_6(), 20, &[0]), Verdict::PassProtocol, 12, none);
    says(&with(&udp_6(), 20, &[44]), Verdict::PassFragment, 13, "next header 44 says that this is a fragment");
    for (field, sentence) in [
        ([0x20, 0], "0 (0 bytes) with more fragments to come says that this is the first"),
        ([0x20, 185], "185 (1,480 bytes) with more fragments to come says that this is a middle one"),
        ([0x1f, 0xff], "8191 (65,528 bytes) with no more to come says that this is the last fragment"),
    ] {
        let sentence = format!("fragment offset {sentence}");
        says(&with_ip(&tcp(), 6, &field), Verdict::PassFragment, 13, &sentence);
    }
}

#[test]
fn icmp_that_is_not_steered_says_why() {
    assert!(parse(Some(&datapath()), &error()).unwrap().steered && parse(Some(&datapath()), &error_6()).is_ok());
    let (unreachable, big) =
        ("ICMP type 3, code 4 (destination unreachable)", "ICMPv6 type 2, code 0 (packet too big)");
    let not = |frame: &[u8], sentence: &str| says(frame, Verdict::PassIcmp, 14, sentence);
    not(&with(&error(), 34, &[8]), "ICMP type 8, code 4 (echo request) is no error to be steered: those are 3, 11, 12");
    not(
        &with(&error_6(), 54, &[135]),
        "ICMPv6 type 135, code 0 (neighbour solicitation) is no error to be steered: those are 1 to 4",
    );
    let short = format!("{unreachable} is an error of 31 bytes, too short: it takes 32 to quote a flow");
    not(&with_ip(&error(), 2, &[0, 51]), &short);
    let short = format!("{big} is an error of 51 bytes, too short: it takes 52 to quote a flow");
    not(&with(&error_6(), 18, &[0, 51]), &short);
    not(&with(&error(), 42, &[0x65]), &format!("{unreachable} is an error that quotes a packet of version 6"));
    not(&with(&error_6(), 62, &[0x45]), &format!("{big} is an error that quotes a packet of version 4"));
    not(&with(&error(), 42, &[0x46]), &format!("{unreachable} is an error that quotes a packet with IHL 6"));
    let later = format!("{unreachable} is an error that quotes a fragment, of offset 7: it has no ports");
    not(&with(&error(), 48, &[0x20, 7]), &later);
    not(&with(&error(), 51, &[1]), &format!("{unreachable} is an error that quotes protocol 1 (ICMP)"));
    not(&with(&error_6(), 68, &[44]), &format!("{big} is an error that quotes protocol 44 (fragment)"));
    let other = format!("{unreachable} is an error that came to 192.0.2.10, but quotes a packet from 192.0.2.11");
    not(&with(&error(), 57, &[11]), &other);
    let other = format!("{big} is an error that came to 2001:db8::10, but quotes a packet from 2001:db8::11");
    not(&with(&error_6(), 85, &[0x11]), &other);
    not(&with_ip(&error(), 2, &[0, 20]), "ICMP type none is no error to be steered: those are 3, 11, 12");
}

#[test]
fn transport_headers_that_are_cut_or_contradict() {
    let short = "length of TCP 19 bytes is less than the 20 of a header";
    says(&with_ip(&tcp(), 2, &[0, 39]), Verdict::DropL4Truncated, 15, short);
    let short = "length of UDP 7 bytes is less than the 8 of a header";
    says(&with(&udp_6(), 18, &[0, 7]), Verdict::DropL4Truncated, 15, short);
    says(&with(&tcp(), 46, &[0x40]), Verdict::DropTcpOffset, 16, "TCP data offset 4 is less than 5");
    let longer = "TCP data offset 8 makes a header of 32 bytes, more than the 30 of the segment";
    says(&with(&tcp(), 46, &[0x80]), Verdict::DropTcpOffset, 16, longer);
}

#[test]
fn every_verdict_has_a_reason_for_any_bytes() {
    // Whether the two fit or not: nothing panics, and of parse's verdicts each has its check.
    let frames = [tcp(), udp_6(), error(), error_6(), tagged(&tcp()), tagged(&error_6())];
    for &verdict in Verdict::ALL {
        let of_parse = verdict.stage() == maglane_spec::Stage::Parse;
        for frame in frames.iter().flat_map(|frame| (0..=frame.len()).map(move |len| &frame[..len])) {
            for datapath in [None, Some(&datapath())] {
                assert_eq!(Refusal::new(verdict, datapath, frame).check > 0, of_parse, "{verdict:?}");
            }
        }
    }
}
