//! Made frames: one for each way that a trace has words for.

use etherparse::checksum::Sum16BitWords;
use etherparse::{PacketBuilder, PacketBuilderStep, TcpHeader};

use crate::frame::{padded, with};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const ROUTER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const CLIENT: [u8; 4] = [198, 51, 100, 7];
const VIP: [u8; 4] = [192, 0, 2, 10];
const VIP_GAME: [u8; 4] = [192, 0, 2, 20];
const CLIENT_6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
const VIP_6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
const SECOND: u64 = 1_000_000_000;
/// 2026-01-01, a time of the day that tests every field.
const START: u64 = 1_767_225_600 * SECOND + 12_345 * SECOND + 678_901_234;

type Step = PacketBuilderStep<TcpHeader>;

/// A TCP segment from a port of the client to one of the VIP.
fn tcp(source_port: u16, port: u16, flags: fn(Step) -> Step) -> Vec<u8> {
    let step = PacketBuilder::ethernet2(ROUTER_MAC, MAC).ipv4(CLIENT, VIP, 60).tcp(source_port, port, 1, 512);
    written(flags(step), &[])
}

fn written(step: Step, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    step.write(&mut frame, payload).unwrap();
    frame
}

fn udp(destination: [u8; 4], port: u16, payload_len: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    let step = PacketBuilder::ethernet2(ROUTER_MAC, MAC).ipv4(CLIENT, destination, 60).udp(40_000, port);
    step.write(&mut frame, &vec![0x5a; payload_len]).unwrap();
    frame
}

fn tcp_6(port: u16) -> Vec<u8> {
    written(PacketBuilder::ethernet2(ROUTER_MAC, MAC).ipv6(CLIENT_6, VIP_6, 60).tcp(50_000, port, 1, 512), &[1; 100])
}

fn tagged(frame: &[u8], tci: u16) -> Vec<u8> {
    let [high, low] = tci.to_be_bytes();
    [&frame[..12], &[0x81, 0x00, high, low], &frame[12..]].concat()
}

/// "Fragmentation needed" about what the service sent on a flow.
fn too_big(source_port: u16, port: u16) -> Vec<u8> {
    let (mut quoted, mut frame) = (Vec::new(), Vec::new());
    PacketBuilder::ipv4(VIP, CLIENT, 60).tcp(port, source_port, 1, 512).write(&mut quoted, &[]).unwrap();
    let step = PacketBuilder::ethernet2(ROUTER_MAC, MAC).ipv4([203, 0, 113, 99], VIP, 60);
    step.icmpv4_raw(3, 4, [0, 0, 5, 0xdc]).write(&mut frame, &quoted[..28]).unwrap();
    frame
}

/// The same in the IPv4 header of an untagged frame, whose checksum stays right.
fn with_ip(frame: &[u8], offset: usize, bytes: &[u8]) -> Vec<u8> {
    let frame = with(&with(frame, 14 + offset, bytes), 24, &[0, 0]);
    let sum = Sum16BitWords::new().add_slice(&frame[14..34]).ones_complement();
    with(&frame, 24, &sum.to_ne_bytes())
}

/// Frames that come past parse, and when: what each is for stands beside it.
pub(super) fn ways() -> Vec<(u64, Vec<u8>)> {
    let plain = |step| step;
    let syn = |step: Step| step.syn();
    let fin = |step: Step| step.fin().ack(2);
    let frames = [
        // An entry is inserted, then hit.
        (0, padded(tcp(40_000, 80, syn))),
        (1_500_000, padded(tcp(40_000, 80, plain))),
        // IPv6 in IPv6, with GRE key and tag, and DSCP 46.
        (2_000_000, with(&tagged(&tcp_6(443), 0x7064), 18, &[0x6b, 0x80])),
        // A steered error about the flow of frame 1.
        (3_000_000, too_big(40_000, 80)),
        // Two flows in turn.
        (4_000_000, tcp(40_001, 8_000, syn)),
        (4_000_001, tcp(40_002, 8_000, syn)),
        // Two candidates: different loads, then the same one twice.
        (5_000_000, tcp(40_000, 9_200, syn)),
        (5_000_001, tcp(40_003, 9_200, syn)),
        // FIN of a flow that is not known, and RST.
        (6_000_000, tcp(40_004, 80, fin)),
        (6_000_001, tcp(40_004, 80, |step| step.rst())),
        // All ports; then too big.
        (7_000_000, udp(VIP_GAME, 7_777, 30)),
        (8_000_000, udp(VIP_GAME, 7_778, 600)),
        // Nobody, disabled, no service.
        (9_000_000, tcp(40_000, 8_081, syn)),
        (10_000_000, tcp(40_000, 8_082, syn)),
        (11_000_000, tcp(40_000, 81, syn)),
        // The flow of frame 1 ends, a tick later a new one comes from its port.
        (12_000_000, tcp(40_000, 80, fin)),
        (SECOND + 12_000_000, tcp(40_000, 80, syn)),
        // Its entry has expired.
        (6 * SECOND, tcp(40_000, 80, plain)),
        // Time goes back.
        (5 * SECOND, tcp(40_000, 80, plain)),
        // Steered errors about a flow that is not known, and to a service that has nobody for it.
        (6 * SECOND, too_big(40_005, 80)),
        (6 * SECOND + 1, too_big(40_005, 8_081)),
    ];
    frames.into_iter().map(|(after, frame)| (START + after, frame)).collect()
}

/// Frames that parse ends, one for each verdict that a capture can meet.
pub(super) fn refused() -> Vec<(u64, Vec<u8>)> {
    let tcp = tcp(40_000, 80, |step| step);
    let mut ping = Vec::new();
    let step = PacketBuilder::ethernet2(ROUTER_MAC, MAC).ipv4(CLIENT, VIP, 60);
    step.icmpv4_echo_request(1, 2).write(&mut ping, &[0; 8]).unwrap();
    let frames = [
        vec![0; 9_601],
        tcp[..13].to_vec(),
        with(&tcp, 0, &[0xff; 6]),
        with(&tcp, 12, &[0x08, 0x06]),
        tcp[..33].to_vec(),
        with(&tcp, 14, &[0x65]),
        with(&tcp, 14, &[0x44]),
        with(&tcp, 17, &[41]),
        with(&tcp, 14, &[0x46]),
        with(&tcp, 24, &[0x12, 0x34]),
        with_ip(&tcp, 9, &[47]),
        with_ip(&tcp, 6, &[0x20, 0]),
        ping,
        with_ip(&tcp, 3, &[39]),
        with(&tcp, 46, &[0x40]),
    ];
    frames.into_iter().map(|frame| (START, frame)).collect()
}
