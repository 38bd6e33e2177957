//! Frames for the cross-check: mostly valid packets of both families to the services of `tests/corpus/families.toml`, ICMP
//! errors about such packets, and one to three faults in a third of them. Seeded; the unit of work is a frame.

use maglane_spec::TableImage;

use crate::bench::{self, Random, set_checksum};

/// Ports of each client, so that flows come again.
const CLIENT_PORTS: u64 = 6;
/// Clients.
const CLIENTS: u64 = 40;

/// Where packets go.
#[derive(Clone, Copy)]
struct Target {
    /// Of a family's length.
    address: &'static [u8],
    protocol: u8,
    port: u16,
}

const fn target(address: &'static [u8], protocol: u8, port: u16) -> Target {
    Target { address, protocol, port }
}

const fn vip(last: u8) -> [u8; 16] {
    [0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, last]
}

/// The services, and strangers: another port, protocol, address.
const TARGETS: [Target; 20] = [
    target(&[192, 0, 2, 10], 6, 80),
    target(&vip(0x10), 6, 80),
    target(&[192, 0, 2, 10], 6, 443),
    target(&vip(0x10), 6, 443),
    target(&[192, 0, 2, 53], 17, 53),
    target(&vip(0x53), 17, 53),
    target(&[192, 0, 2, 20], 17, 4_000),
    target(&vip(0x20), 17, 4_000),
    target(&vip(0x20), 17, 0),
    target(&vip(0x30), 6, 8_080),
    target(&[192, 0, 2, 10], 6, 8_081),
    target(&vip(0x10), 6, 8_082),
    target(&vip(0x10), 6, 8_083),
    target(&[192, 0, 2, 10], 6, 81),
    target(&vip(0x10), 17, 80),
    target(&vip(0x20), 6, 4_000),
    target(&vip(0x11), 6, 80),
    target(&[192, 0, 2, 11], 6, 80),
    // The bytes of a service of the other family.
    target(&[0x20, 1, 0xd, 0xb8], 6, 80),
    target(&[192, 0, 2, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 6, 80),
];

/// Tables of the services.
pub(crate) fn image() -> TableImage {
    bench::tables(&config())
}

/// Their configuration.
pub(crate) fn config() -> String {
    std::fs::read_to_string(bench::root().join("tests/corpus/families.toml")).unwrap()
}

/// The next frame.
pub(crate) fn frame(random: &mut Random) -> Vec<u8> {
    let targets = if random.one_in(8) { 20 } else { 13 };
    let target = TARGETS[random.below(targets)];
    let mut packet = if random.one_in(5) { error(random, target) } else { segment(random, target, false) };
    let ipv6 = target.address.len() == 16;
    // Faults in the header before its checksum is made, so that they are found by the check that is meant for them.
    if random.one_in(4) {
        let at = if ipv6 { [0, 4, 5, 6][random.below(4)] } else { [0, 2, 3, 6, 7, 9][random.below(6)] };
        packet[at] ^= 1 << random.below(8);
    }
    if !ipv6 {
        set_checksum(&mut packet);
    }
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    if random.one_in(3) {
        frame.extend([0x81, 0x00, random.next().to_le_bytes()[0], 100]);
    }
    frame.extend(if ipv6 { [0x86, 0xdd] } else { [8, 0] });
    frame.extend(packet);
    // Not IP; not for us.
    if random.one_in(30) {
        let start = if frame[12..14] == [0x81, 0] { 18 } else { 14 };
        frame[start - 2..start].copy_from_slice(&[8, 6]);
    }
    if random.one_in(30) {
        let at = random.below(6);
        frame[at] ^= 1 << random.below(8);
    }
    // Faults anywhere among the headers; truncation; padding.
    if random.one_in(5) {
        let at = random.below(frame.len().min(112) as u64);
        frame[at] ^= 1 << random.below(8);
    }
    if random.one_in(5) {
        frame.truncate(1 + random.below(frame.len().min(130) as u64));
    } else if random.one_in(4) {
        frame.resize(frame.len() + random.below(90), 0xaa);
    }
    if random.one_in(600) {
        frame.resize(9_590 + random.below(20), 0x55);
    }
    if random.one_in(3_000) {
        frame.resize(1 + random.below(65_535), 0x55);
    }
    frame
}

/// The shortest TCP segment to the service "web" or "web-6", padded to what Ethernet asks for.
pub(crate) fn shortest(ipv6: bool) -> Vec<u8> {
    let mut frame = valid(ipv6, false, false, false);
    frame.resize(frame.len().max(60), 0);
    frame
}

/// A TCP segment without payload to "web" or "keyed" of either family, or an error that quotes as little of an answer as is
/// enough; which backend it meets, and so the outer family, follows from its ports.
pub(crate) fn valid(ipv6: bool, keyed: bool, tagged: bool, error: bool) -> Vec<u8> {
    let target = TARGETS[usize::from(ipv6) + 2 * usize::from(keyed)];
    let mut ports = [40_000 + u16::from(tagged), target.port];
    if error {
        ports.reverse();
    }
    let mut body: Vec<u8> = ports.into_iter().flat_map(u16::to_be_bytes).collect();
    let client = client(target, 7);
    let random = &mut Random(1);
    let mut packet = if error {
        let quote = ip(random, target.address, &client, 6, &body);
        body = vec![if ipv6 { 2 } else { 3 }, 4, 0, 0, 0, 0, 5, 0];
        body.extend(quote);
        ip(random, &client, target.address, if ipv6 { 58 } else { 1 }, &body)
    } else {
        body.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
        ip(random, &client, target.address, 6, &body)
    };
    if !ipv6 {
        set_checksum(&mut packet);
    }
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    if tagged {
        frame.extend([0x81, 0x00, 0, 5]);
    }
    frame.extend(if ipv6 { [0x86, 0xdd] } else { [8, 0] });
    frame.extend(packet);
    frame
}

/// A TCP segment or UDP datagram to a target, or the answer to one.
fn segment(random: &mut Random, target: Target, answer: bool) -> Vec<u8> {
    let mut protocol = target.protocol;
    if random.one_in(20) {
        protocol = [0, 1, 2, 6, 17, 43, 44, 47, 58, 60][random.below(10)];
    }
    let payload_len = match random.below(10) {
        0 => 0,
        1..6 => random.below(120),
        6..9 => random.below(1_500),
        _ => random.below(9_700),
    };
    let client_number = random.below(CLIENTS).to_le_bytes()[0];
    let port = 40_000 + u16::try_from(random.below(CLIENT_PORTS)).unwrap();
    let ports = if answer { [target.port, port] } else { [port, target.port] };
    let mut body: Vec<u8> = ports.into_iter().flat_map(u16::to_be_bytes).collect();
    if protocol == 6 {
        let flags = if random.one_in(4) { random.next().to_le_bytes()[0] } else { [0x10, 0x18, 0x02][random.below(3)] };
        body.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    } else {
        body.extend([0, 8, 0, 0]);
    }
    body.extend((0..payload_len).map(|_| random.next().to_le_bytes()[0]));
    // A packet that says itself how short it is: the checks of TCP and UDP at their boundaries.
    if random.one_in(20) {
        let len = [random.below(24), 7, 8, 19, 20][random.below(5)];
        body.truncate(len);
    }
    let client = client(target, client_number);
    let (source, destination) =
        if answer { (target.address, client.as_slice()) } else { (client.as_slice(), target.address) };
    ip(random, source, destination, protocol, &body)
}

/// An ICMP or ICMPv6 error about an answer of a target, or something near to one.
fn error(random: &mut Random, target: Target) -> Vec<u8> {
    let ipv6 = target.address.len() == 16;
    let mut quote = segment(random, target, true);
    if random.one_in(5) {
        // Not always that long: the body may have been cut above.
        let at = random.below(if ipv6 { 44 } else { 24 }).min(quote.len() - 1);
        quote[at] ^= 1 << random.below(8);
    }
    quote.truncate(if random.one_in(3) { random.below(60) } else { 24 + random.below(600) });
    let kind = match (random.one_in(6), ipv6) {
        (true, _) => random.next().to_le_bytes()[0] % 16,
        (false, true) => 1 + random.next().to_le_bytes()[0] % 4,
        (false, false) => [3, 11, 12][random.below(3)],
    };
    let mut body = vec![kind, random.next().to_le_bytes()[0] % 6, 0, 0, 0, 0, 5, 0xdc];
    body.extend(quote);
    let router = client(target, 250);
    let elsewhere = client(target, 1);
    let destination = if random.one_in(12) { &elsewhere } else { target.address };
    ip(random, &router, destination, if ipv6 { 58 } else { 1 }, &body)
}

fn client(target: Target, number: u8) -> Vec<u8> {
    match target.address.len() {
        4 => vec![203, 0, 113, number],
        _ => vec![0x20, 1, 0xd, 0xb8, 0xff, number, 3, 4, 5, 6, 7, 8, 9, 10, 11, number],
    }
}

/// A packet of the addresses' family; the IPv4 checksum is still to be made.
fn ip(random: &mut Random, source: &[u8], destination: &[u8], protocol: u8, body: &[u8]) -> Vec<u8> {
    let class = random.next().to_le_bytes()[0];
    let mut packet = if source.len() == 16 {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        vec![0x60 | class >> 4, class << 4 | 9, 0x87, 0x65, length[0], length[1], protocol, 64]
    } else {
        let length = u16::try_from(20 + body.len()).unwrap().to_be_bytes();
        vec![0x45, class, length[0], length[1], 1, 2, 0x40, 0, 64, protocol, 0, 0]
    };
    packet.extend_from_slice(source);
    packet.extend_from_slice(destination);
    packet.extend_from_slice(body);
    packet
}
