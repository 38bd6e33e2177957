//! Traffic that has everything: both families, tags, fragments, errors about flows, pings, strangers, and frames that are
//! wrong.

use etherparse::{IpNumber, Ipv4Header, Ipv6FragmentHeader, Ipv6Header, PacketBuilder, PacketBuilderStep, TcpHeader};

use crate::frame::{padded, with};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const ROUTER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub(super) const CLIENT: [u8; 4] = [198, 51, 100, 7];
pub(super) const VIP: [u8; 4] = [192, 0, 2, 10];
pub(super) const VIP_GAME: [u8; 4] = [192, 0, 2, 20];
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
        15 => number / KINDS % 251 % 8 != 5,
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
        12 => piece(number / KINDS),
        13 => arp(),
        14 => too_big(port),
        _ => match flow % 8 {
            0 => segment(VIP, port, &[], |step| step.fin().ack(1)),
            // A checksum that is wrong, another machine's address, and two tags.
            1 => with(&segment(VIP, port, &[], |step| step.ack(1)), 24, &[0x12, 0x34]),
            2 => with(&segment(VIP, port, &[], |step| step.ack(1)), 0, &[2, 0, 0, 0, 0, 9]),
            3 => ping(),
            4 => tagged(&ping_6(), [0x81, 0x00], 6),
            // Ports that no service has.
            6 => with(&segment(VIP, port, &[], |step| step.syn()), 36, &[0, 9]),
            7 => tagged(&with(&segment_6(VIP_6, port, &payload), 56, &[0, 9]), [0x81, 0x00], 11),
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

pub(super) fn segment_6(to: [u8; 16], port: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let step = PacketBuilder::ethernet2(ROUTER_MAC, MAC).ipv6(CLIENT_6, to, 60).tcp(port, 80, 1, 512).ack(1);
    step.write(&mut frame, payload).unwrap();
    frame
}

pub(super) fn datagram(to: [u8; 4], port: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let step = PacketBuilder::ethernet2(ROUTER_MAC, MAC).ipv4(CLIENT, to, 60).udp(port, 7_777);
    step.write(&mut frame, payload).unwrap();
    padded(frame)
}

/// One of two pieces of a datagram each, every other time the later one first, of flows that no other frame is of.
fn piece(number: usize) -> Vec<u8> {
    let whole = number / 2;
    let port = 50_000 + u16::try_from(whole % 1_000).unwrap();
    let later = number % 2 != whole % 2;
    pieces(&datagram(VIP_GAME, port, &[0x5a; 900]), u16::try_from(whole % 60_000).unwrap(), 400)
        .swap_remove(usize::from(later))
}

/// An IPv4 frame in pieces of so many bytes of payload, a multiple of eight.
pub(super) fn pieces(frame: &[u8], identification: u16, len: usize) -> Vec<Vec<u8>> {
    let (link, ip) = frame.split_at(14);
    let (header, payload) = Ipv4Header::from_slice(ip).unwrap();
    let pieces = payload.chunks(len).enumerate().map(|(at, piece)| {
        let mut header = header.clone();
        header.identification = identification;
        header.dont_fragment = false;
        header.more_fragments = (at + 1) * len < payload.len();
        header.fragment_offset = u16::try_from(at * len / 8).unwrap().try_into().unwrap();
        header.total_len = u16::try_from(20 + piece.len()).unwrap();
        header.header_checksum = header.calc_header_checksum();
        let mut frame = link.to_vec();
        header.write(&mut frame).unwrap();
        padded([frame, piece.to_vec()].concat())
    });
    pieces.collect()
}

/// The same, IPv6.
pub(super) fn pieces_6(frame: &[u8], identification: u32, len: usize) -> Vec<Vec<u8>> {
    let (link, ip) = frame.split_at(14);
    let (header, payload) = Ipv6Header::from_slice(ip).unwrap();
    let pieces = payload.chunks(len).enumerate().map(|(at, piece)| {
        let offset = u16::try_from(at * len / 8).unwrap().try_into().unwrap();
        let more = (at + 1) * len < payload.len();
        let mut own = header.clone();
        own.next_header = IpNumber::IPV6_FRAGMENTATION_HEADER;
        own.payload_length = u16::try_from(8 + piece.len()).unwrap();
        let mut frame = link.to_vec();
        own.write(&mut frame).unwrap();
        Ipv6FragmentHeader::new(header.next_header, offset, more, identification).write(&mut frame).unwrap();
        [frame, piece.to_vec()].concat()
    });
    pieces.collect()
}

/// Is the web service's address there?
pub(super) fn ping() -> Vec<u8> {
    let mut frame = Vec::new();
    let step = PacketBuilder::ethernet2(ROUTER_MAC, MAC).ipv4(CLIENT, VIP, 60).icmpv4_echo_request(7, 1);
    step.write(&mut frame, b"anybody there?").unwrap();
    padded(frame)
}

/// The same, IPv6.
pub(super) fn ping_6() -> Vec<u8> {
    let mut frame = Vec::new();
    let step = PacketBuilder::ethernet2(ROUTER_MAC, MAC).ipv6(CLIENT_6, VIP_6, 60).icmpv6_echo_request(7, 1);
    step.write(&mut frame, b"anybody there?").unwrap();
    frame
}

/// "Fragmentation needed" about what the web service sent on a flow.
pub(super) fn too_big(port: u16) -> Vec<u8> {
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
