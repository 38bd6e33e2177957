//! What `maglane run` does about frames that the pipeline passes: fragments, packets that are too big, pings.

use std::net::UdpSocket;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use serde_json::{Value, json};

use super::frames::{CLIENT, VIP, VIP_6, VIP_GAME, datagram, pieces, pieces_6, ping, ping_6, segment, segment_6};
use super::network::{Machine, Wire, ip, is_inside};
use super::site;

/// Where the packet of a frame starts.
fn ip_offset(frame: &[u8]) -> usize {
    if frame[12..14] == [0x81, 0] { 18 } else { 14 }
}

/// The outer destination and the inner packet of a frame in a tunnel.
pub(super) fn tunnelled(frame: &[u8]) -> Option<(&[u8], &[u8])> {
    let ip = &frame[ip_offset(frame)..];
    let (protocol, destination, gre) =
        if ip[0] >> 4 == 6 { (ip[6], &ip[24..40], &ip[40..]) } else { (ip[9], &ip[16..20], &ip[20..]) };
    let inner = if gre[0] & 0x20 != 0 { &gre[8..] } else { &gre[4..] };
    (protocol == 47).then_some((destination, inner))
}

/// Whether a frame is in a tunnel.
pub(super) fn is_tunnelled(frame: &[u8]) -> bool {
    [[8, 0], [0x86, 0xdd], [0x81, 0]].iter().any(|kind| frame[12..14] == *kind) && tunnelled(frame).is_some()
}

/// Whether a frame that came back is one that the pipeline did not send.
pub(super) fn is_of_host(frame: &[u8]) -> bool {
    match tunnelled(frame) {
        Some((_, inner)) if inner[0] >> 4 == 6 => inner[6] == 44,
        Some((_, inner)) => u16::from_be_bytes([inner[6], inner[7]]) & 0x3fff != 0,
        None => true,
    }
}

/// What the host must have made of the traffic that has everything.
pub(super) fn check_traffic(host: &Value, verdicts: &Value, frames: &[Vec<u8>]) {
    let packets = |verdict: &str| verdicts[verdict]["packets"].as_u64().unwrap();
    let fate = |name: &str| host["fates"][name].as_u64().unwrap_or(0);
    let tunnelled = frames.iter().filter(|frame| tunnelled(frame).is_some()).count() as u64;
    assert_eq!([fate("fragment_forwarded"), tunnelled], [packets("pass_fragment"); 2], "{host}");
    assert_eq!(fate("too_big_answered") + fate("too_big_limited"), packets("pass_too_big"), "{host}");
    assert_eq!(fate("echo_answered") + fate("echo_limited"), packets("pass_icmp"), "{host}");
    assert!(fate("too_big_answered") >= 100 && fate("echo_answered") > 50, "{host}");
    assert_eq!(tunnelled + fate("too_big_answered") + fate("echo_answered"), frames.len() as u64, "{host}");
    assert_eq!((host["sent"].as_u64(), host["waiting"].as_u64()), (Some(frames.len() as u64), Some(0)));
    assert!(host["held"].as_u64() > Some(50), "{host}");
}

/// What came back to the router that is ICMP.
fn said(frame: &[u8]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    assert_eq!(frame[..6], [2, 0, 0, 0, 0, 2]);
    said_to(frame)
}

/// What came back that is ICMP: addresses, both with all their bytes, and the message.
fn said_to(frame: &[u8]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let sliced = SlicedPacket::from_ethernet(frame).unwrap();
    assert_eq!(frame[6..12], [2, 0, 0, 0, 0, 1]);
    match (sliced.net.unwrap(), sliced.transport.unwrap()) {
        (NetSlice::Ipv4(ip), TransportSlice::Icmpv4(icmp)) => {
            assert_eq!(icmp.checksum(), icmp.icmp_type().calc_checksum(icmp.payload()));
            (ip.header().source().to_vec(), ip.header().destination().to_vec(), icmp.slice().to_vec())
        }
        (NetSlice::Ipv6(ip), TransportSlice::Icmpv6(icmp)) => {
            let header = ip.header();
            assert!(icmp.is_checksum_valid(header.source(), header.destination()));
            (header.source().to_vec(), header.destination().to_vec(), icmp.slice().to_vec())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn live_pieces_in_any_order_reach_the_backend_of_their_flow() {
    if !is_inside("run::host::live_pieces_in_any_order_reach_the_backend_of_their_flow") {
        return;
    }
    let folder = site();
    let machine = Machine::running(&folder, 1, "--workers 3");
    let wire = &mut Wire::new();
    // What a whole packet of each flow meets says where its pieces must go.
    let ports = 10_000..10_040;
    let whole = |port: u16, len: usize| {
        if port.is_multiple_of(2) {
            datagram(VIP_GAME, port, &vec![7; len])
        } else {
            segment_6(VIP_6, port, &vec![7; len])
        }
    };
    let shorts: Vec<Vec<u8>> = ports.clone().map(|port| whole(port, 4)).collect();
    let before = wire.exchange(&shorts, shorts.len());
    assert_eq!(before.len(), shorts.len());
    let of_port = |inner: &[u8]| {
        let at = if inner[0] >> 4 == 6 { 40 } else { 20 };
        u16::from_be_bytes([inner[at], inner[at + 1]])
    };
    let backend = |port: u16| {
        let tunnels = before.iter().map(|frame| tunnelled(frame).unwrap());
        tunnels.filter(|(_, inner)| of_port(inner) == port).map(|(backend, _)| backend).next().unwrap()
    };
    // All flows' pieces, shuffled by a stride without a common divisor; identifications are the ports.
    let in_order: Vec<Vec<u8>> = ports
        .clone()
        .flat_map(|port| {
            let whole = whole(port, 3_900);
            if port.is_multiple_of(2) { pieces(&whole, port, 800) } else { pieces_6(&whole, port.into(), 800) }
        })
        .collect();
    assert_eq!(in_order.len(), 40 * 5);
    let shuffled: Vec<Vec<u8>> = (0..200).map(|at| in_order[at * 77 % 200].clone()).collect();
    let back = wire.exchange(&shuffled, shuffled.len());
    assert_eq!(back.len(), shuffled.len());
    let mut sent: Vec<&[u8]> = shuffled.iter().map(|frame| &frame[14..]).collect();
    for frame in &back {
        let (to, inner) = tunnelled(frame).unwrap();
        let port = if inner[0] >> 4 == 6 { [inner[46], inner[47]] } else { [inner[4], inner[5]] };
        assert_eq!(to, backend(u16::from_be_bytes(port)), "{inner:02x?}");
        // Each leaves once, as it came.
        let at = sent.iter().position(|sent| *sent == inner).expect("it was sent, and has not left");
        sent.swap_remove(at);
    }
    machine.signal("-TERM");
    let ran = machine.ended().ended(0);
    let total: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(total["host"]["fates"], json!({"fragment_forwarded": 200}));
    assert_eq!((&total["host"]["sent"], &total["forwarded"]), (&json!(200), &json!(40)));
    assert_eq!((&total["verdicts"]["pass_fragment"]["packets"], &total["live_flows"]), (&json!(200), &json!(40)));
}

#[test]
fn live_packets_that_are_too_big_are_cut_or_answered_and_pings_are_answered() {
    if !is_inside("run::host::live_packets_that_are_too_big_are_cut_or_answered_and_pings_are_answered") {
        return;
    }
    let folder = site();
    let mut machine = Machine::new(&folder, "exec \"$0\" run --config site.toml --interface near");
    assert!(machine.line().contains("site.toml serves"));
    let wire = &mut Wire::new();
    let big = segment(VIP, 40_000, &[7; 1_400], |step| step.ack(1));
    // The links of the backends take 1,400: 20 and 4 of them are the tunnel's, with IPv6 and a key 40 and 8 or less.
    let answer = said(&wire.exchange(std::slice::from_ref(&big), 1)[0]);
    let expected = [&[3, 4][..], &answer.2[2..4], &[0, 0, 5, 0x60], &big[14..14 + 548]].concat();
    assert_eq!(answer, (VIP.to_vec(), CLIENT.to_vec(), expected));
    let big_6 = segment_6(VIP_6, 40_000, &[7; 1_330]);
    let (source, _, message) = said(&wire.exchange(std::slice::from_ref(&big_6), 1)[0]);
    let mtu = u32::from_be_bytes(message[4..8].try_into().unwrap());
    assert!(source == VIP_6 && message[..2] == [2, 0] && [1_352, 1_372].contains(&mtu), "{message:02x?}");
    assert_eq!(message[8..], big_6[14..14 + 1_232]);
    // Without DF.
    let cut = wire.exchange(&pieces(&big, 7, 2_000), 2);
    let inner: Vec<&[u8]> = cut.iter().map(|frame| tunnelled(frame).unwrap().1).collect();
    assert_eq!([&inner[0][20..], &inner[1][20..]].concat(), big[34..]);
    for (request, reply) in [(ping(), 0), (ping_6(), 129)] {
        let (_, _, message) = said(&wire.exchange(std::slice::from_ref(&request), 1)[0]);
        assert!(message[0] == reply && message.ends_with(b"\0\x01anybody there?"), "{message:02x?}");
    }
    machine.signal("-TERM");
    let ran = machine.ended().ended(0);
    let counts = "
  host                frames
  echo_answered            2
  too_big_answered         2
  too_big_fragmented       1
near: 6 sent, 2 flows
";
    assert!(ran.stdout.contains("near: 5 frames in ") && ran.stdout.ends_with(counts), "{}", ran.stdout);
}

#[test]
fn live_client_that_is_told_the_size_sends_pieces_which_arrive() {
    if !is_inside("run::host::live_client_that_is_told_the_size_sends_pieces_which_arrive") {
        return;
    }
    let folder = site();
    let machine = Machine::running(&folder, 1, "");
    let wire = &mut Wire::new();
    // The client is this kernel: what it is told it believes or not.
    ip("addr add 198.51.100.7/24 dev far");
    ip("route add 192.0.2.20 dev far");
    ip("neigh add 192.0.2.20 lladdr 02:00:00:00:00:01 dev far");
    let socket = UdpSocket::bind("198.51.100.7:40000").unwrap();
    let datagram: Vec<u8> = (0..1_450_u16).map(|number| number.to_le_bytes()[0]).collect();
    // Linux has routers not cut its datagrams, and cuts them itself to the size that it has been told.
    socket.send_to(&datagram, "192.0.2.20:7777").unwrap();
    let (_, _, message) = said_to(&wire.exchange(&[], 1)[0]);
    let mtu = u16::from_be_bytes([message[6], message[7]]);
    assert!(message[..2] == [3, 4] && [1_356, 1_376].contains(&mtu), "{message:02x?}");
    socket.send_to(&datagram, "192.0.2.20:7777").unwrap();
    let back = wire.exchange(&[], 2);
    let inner: Vec<&[u8]> = back.iter().map(|frame| tunnelled(frame).unwrap().1).collect();
    assert_eq!([&inner[0][28..], &inner[1][20..]].concat(), datagram);
    machine.signal("-TERM");
    let ran = machine.ended().ended(0);
    let total: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(total["host"]["fates"], json!({"fragment_forwarded": 2, "too_big_answered": 1}));
}
