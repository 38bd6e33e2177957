//! Goal: the program sends what goes to a virtual address to a socket, leaves everything else to the kernel, and changes
//! nothing.
//!
//! Method: the kernel runs it on frames of etherparse's making, with a socket at queue 0, which is the one they come in at.

use std::os::fd::AsRawFd;

use etherparse::{IpHeaders, PacketBuilder, PacketBuilderStep};

use super::super::bpf::{Map, Program};
use super::super::socket::Socket;
use super::*;

const VIP: [u8; 4] = [192, 0, 2, 10];
const VIP_6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
const CLIENT: [u8; 4] = [198, 51, 100, 7];
const CLIENT_6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
const PASS: u32 = 2;
const REDIRECT: u32 = 4;
/// The kernel runs programs on nothing shorter.
const FRAME_LEN_MIN: usize = 14;

/// The program with two virtual addresses, and its maps.
struct Steering {
    program: Program,
    addresses: Map,
    sockets: Map,
    _socket: Socket,
}

impl Steering {
    /// None where the kernel lets this process load none.
    fn new() -> Option<Self> {
        let addresses = match Map::hash(KEY_LEN, 4, 8) {
            Ok(map) => map,
            Err(error) => {
                let what = format!("the steering program: {error}");
                assert!(std::env::var_os("MAGLANE_NO_SKIP").is_none(), "nothing may be skipped here: {what}");
                println!("skipped: {what}");
                return None;
            }
        };
        let (sockets, socket) = (Map::sockets(1).unwrap(), Socket::new().unwrap());
        let program = Program::load(&steer(addresses.as_raw_fd(), sockets.as_raw_fd())).unwrap();
        for address in [IpAddr::from(VIP), IpAddr::from(VIP_6)] {
            addresses.insert(&key(address), &[0; 4]).unwrap();
        }
        sockets.insert(&[0; 4], &socket.as_raw_fd().to_ne_bytes()).unwrap();
        Some(Self { program, addresses, sockets, _socket: socket })
    }

    /// What becomes of a frame, which is the same afterwards.
    #[track_caller]
    fn decides(&self, frame: &[u8], expected: u32) {
        let (action, after) = self.program.run(frame).unwrap();
        assert_eq!(action, expected, "{} bytes: {frame:02x?}", frame.len());
        assert_eq!(after, frame);
    }
}

/// A frame with a short datagram in it.
fn frame(step: PacketBuilderStep<IpHeaders>) -> Vec<u8> {
    let mut frame = Vec::new();
    step.udp(4_000, 53).write(&mut frame, b"what a packet has").unwrap();
    frame
}

fn packet(from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
    frame(PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from, to, 60))
}

fn packet_6(from: [u8; 16], to: [u8; 16]) -> Vec<u8> {
    frame(PacketBuilder::ethernet2([2; 6], [4; 6]).ipv6(from, to, 60))
}

fn tagged(frame: &[u8], protocol: [u8; 2]) -> Vec<u8> {
    [&frame[..12], &protocol, &[0xa1, 0x23], &frame[12..]].concat()
}

/// A frame as it is, and with a tag.
fn both(frame: &[u8]) -> [Vec<u8>; 2] {
    [frame.to_vec(), tagged(frame, [0x81, 0])]
}

/// Frames to the virtual addresses, and where the fixed part of the IP header is in each.
fn to_vips() -> [(Vec<u8>, std::ops::Range<usize>); 4] {
    let [four, four_tagged] = both(&packet(CLIENT, VIP));
    let [six, six_tagged] = both(&packet_6(CLIENT_6, VIP_6));
    [(four, 14..34), (four_tagged, 18..38), (six, 14..54), (six_tagged, 18..58)]
}

#[test]
fn frames_to_virtual_addresses_go_to_the_socket_whatever_is_around_the_address() {
    let Some(steering) = Steering::new() else { return };
    for (frame, header) in to_vips() {
        steering.decides(&frame, REDIRECT);
        let address_len = if header.len() == 20 { 4 } else { 16 };
        // Any byte of any value: protocol, version, checksum, source, fragment, MAC addresses, tag. Only the ethertypes and
        // the destination matter.
        for at in (0..12).chain(header.start..header.end - address_len).chain(header.end..frame.len()) {
            for value in [0, 1, 0x45, 0xff, !frame[at]] {
                let mut other = frame.clone();
                other[at] = value;
                steering.decides(&other, REDIRECT);
            }
        }
    }
}

#[test]
fn frame_is_the_kernels_when_one_bit_of_its_destination_differs() {
    let Some(steering) = Steering::new() else { return };
    for (frame, header) in to_vips() {
        let address_len = if header.len() == 20 { 4 } else { 16 };
        for bit in 0..address_len * 8 {
            let mut other = frame.clone();
            other[header.end - address_len + bit / 8] ^= 1 << (bit % 8);
            steering.decides(&other, PASS);
        }
    }
}

#[test]
fn frame_that_is_cut_goes_to_the_socket_only_with_a_whole_ip_header() {
    let Some(steering) = Steering::new() else { return };
    for (frame, header) in to_vips() {
        for len in FRAME_LEN_MIN..frame.len() {
            steering.decides(&frame[..len], if len < header.end { PASS } else { REDIRECT });
        }
    }
}

#[test]
fn address_of_one_family_is_none_of_the_other() {
    let Some(steering) = Steering::new() else { return };
    let mapped = *[&[0; 10][..], &[0xff; 2], &VIP].concat().first_chunk().unwrap();
    let filled = *[&VIP[..], &[0; 12]].concat().first_chunk().unwrap();
    for to in [mapped, filled] {
        steering.decides(&packet_6(CLIENT_6, to), PASS);
    }
    // The first bytes of the IPv6 address.
    steering.decides(&packet(CLIENT, [0x20, 1, 0xd, 0xb8]), PASS);
    steering.decides(&packet(VIP, CLIENT), PASS);
    steering.decides(&packet_6(VIP_6, CLIENT_6), PASS);
}

#[test]
fn what_is_no_ip_packet_with_one_tag_at_most_is_the_kernels() {
    let Some(steering) = Steering::new() else { return };
    for (frame, _) in to_vips() {
        // A service tag, two tags, and every ethertype that differs in one bit, among them that of ARP (08 06).
        steering.decides(&tagged(&frame, [0x88, 0xa8]), PASS);
        steering.decides(&tagged(&tagged(&frame, [0x81, 0]), [0x81, 0]), PASS);
        let at = if frame[12] == 0x81 { 16 } else { 12 };
        for bit in 0..16 {
            let mut other = frame.clone();
            other[at + bit / 8] ^= 1 << (bit % 8);
            steering.decides(&other, PASS);
        }
    }
}

#[test]
fn frame_is_the_kernels_without_its_address_and_without_a_socket() {
    let Some(steering) = Steering::new() else { return };
    let frames = || to_vips().into_iter().map(|(frame, _)| frame);
    steering.addresses.remove(&key(VIP.into())).unwrap();
    for (frame, expected) in frames().zip([PASS, PASS, REDIRECT, REDIRECT]) {
        steering.decides(&frame, expected);
    }
    steering.addresses.insert(&key(VIP.into()), &[0; 4]).unwrap();
    frames().for_each(|frame| steering.decides(&frame, REDIRECT));
    steering.sockets.remove(&[0; 4]).unwrap();
    frames().for_each(|frame| steering.decides(&frame, PASS));
}
