//! Traffic that has everything: both families, tags, fragments, errors about flows, strangers, and frames that are wrong.

use etherparse::{PacketBuilder, PacketBuilderStep, TcpHeader};

use crate::frame::{padded, with};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const ROUTER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const CLIENT: [u8; 4] = [198, 51, 100, 7];
pub(super) const VIP: [u8; 4] = [192, 0, 2, 10];
const VIP_GAME: [u8; 4] = [192, 0, 2, 20];
const STRANGER: [u8; 4] = [192, 0, 2, 99];
pub(super) const CLIENT_6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
pub(super) const VIP_6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
const STRANGER_6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x99];
/// Kinds of frames.
const KINDS: usize = 16;

/// So many frames, of all kinds in turn, of a few hundred flows each of which has many frames.
pub(super) fn traffic(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(frame).collect()
}

/// Whether the frame of a number is to a virtual address in a way that the pipeline knows: an IP packet, with one tag of
/// 802.1Q at most. All others are no traffic of a virtual address.
pub(super) fn is_to_vip(number: usize) -> bool {
    match number % KINDS {
        9 | 10 | 11 | 13 => false,
        15 => number / KINDS % 251 % 4 != 3,
        _ => true,
    }
}

fn frame(number: usize) -> Vec<u8> {
    let flow = number / KINDS % 251;
    let port = 40_000 + u16::try_from(flow).unwrap();
    // Short, long, and too long for the backends' links with the outer headers around it.
    let payload = vec![0x5a; number * 7 % 1_440];
    match number % KINDS {
        0 => segment(VIP, port, &[], |step| step.syn()),
        1 => segment(VIP, port, &payload, |step| step.ack(1)),
        2 => tagged(&segment(VIP, port, &[], |step| step.ack(1)), [0x81, 0x00], 0x7064),
        3 => tagged(&segment_6(VIP_6, port, &payload), [0x81, 0x00], 5),
        4 => segment_6(VIP_6, port, &[]),
        5 => segment_6(VIP_6, port, &payload),
        6 => datagram(VIP_GAME, port, &payload),
        7 => tagged(&datagram(VIP_GAME, port, &[1]), [0x81, 0x00], 4_095),
        8 => tagged(&segment(VIP, port, &payload, |step| step.ack(1)), [0x81, 0x00], 0),
        // Another protocol's tag is no tag for the pipeline.
        9 => tagged(&segment(VIP, port, &[], |step| step.ack(1)), [0x88, 0xa8], 7),
        10 => segment(STRANGER, port, &payload, |step| step.ack(1)),
        11 => segment_6(STRANGER_6, port, &payload),
        12 => fragment(&datagram(VIP_GAME, port, &payload)),
        13 => arp(),
        14 => too_big(port),
        _ => match flow % 4 {
            0 => segment(VIP, port, &[], |step| step.fin().ack(1)),
            // A checksum that is wrong, another machine's address, and two tags.
            1 => with(&segment(VIP, port, &[], |step| step.ack(1)), 24, &[0x12, 0x34]),
            2 => with(&segment(VIP, port, &[], |step| step.ack(1)), 0, &[2, 0, 0, 0, 0, 9]),
            _ => tagged(&tagged(&segment(VIP, port, &[], |step| step.ack(1)), [0x81, 0x00], 8), [0x81, 0x00], 9),
        },
    }
}

type Step = PacketBuilderStep<TcpHeader>;

/// A segment from a port of the client to the web service.
pub(super) fn segment(to: [u8; 4], port: u16, payload: &[u8], flags: fn(Step) -> Step) -> Vec<u8> {
    let mut frame = Vec::new();
    let step = PacketBuilder::ethernet2(ROUTER_MAC, MAC).ipv4(CLIENT, to, 60).tcp(port, 80, 1, 512);
    flags(step).write(&mut frame, payload).unwrap();
    padded(frame)
}

fn segment_6(to: [u8; 16], port: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let step = PacketBuilder::ethernet2(ROUTER_MAC, MAC).ipv6(CLIENT_6, to, 60).tcp(port, 80, 1, 512).ack(1);
    step.write(&mut frame, payload).unwrap();
    frame
}

fn datagram(to: [u8; 4], port: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let step = PacketBuilder::ethernet2(ROUTER_MAC, MAC).ipv4(CLIENT, to, 60).udp(port, 7_777);
    step.write(&mut frame, payload).unwrap();
    padded(frame)
}

/// The first fragment of a packet, by the flag that more follow, with the checksum that belongs to it.
fn fragment(frame: &[u8]) -> Vec<u8> {
    let frame = with(&with(frame, 20, &[0x20, 0]), 24, &[0, 0]);
    let sum = etherparse::checksum::Sum16BitWords::new().add_slice(&frame[14..34]).ones_complement();
    with(&frame, 24, &sum.to_ne_bytes())
}

/// "Fragmentation needed" about what the web service sent on a flow.
fn too_big(port: u16) -> Vec<u8> {
    let (mut quoted, mut frame) = (Vec::new(), Vec::new());
    PacketBuilder::ipv4(VIP, CLIENT, 60).tcp(80, port, 1, 512).write(&mut quoted, &[]).unwrap();
    let step = PacketBuilder::ethernet2(ROUTER_MAC, MAC).ipv4([203, 0, 113, 99], VIP, 60);
    step.icmpv4_raw(3, 4, [0, 0, 5, 0xdc]).write(&mut frame, &quoted[..28]).unwrap();
    frame
}

/// Who has the web service's address? To all.
fn arp() -> Vec<u8> {
    let question = [&[0, 1, 8, 0, 6, 4, 0, 1][..], &ROUTER_MAC, &CLIENT, &[0; 6], &VIP].concat();
    padded([&[0xff; 6][..], &ROUTER_MAC, &[8, 6], &question].concat())
}

fn tagged(frame: &[u8], protocol: [u8; 2], tci: u16) -> Vec<u8> {
    [&frame[..12], &protocol, &tci.to_be_bytes(), &frame[12..]].concat()
}
