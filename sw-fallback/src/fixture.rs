//! Tables and frames for tests and benchmarks: rows placed by hand, frames built by `etherparse`.
//!
//! The seeds are chosen so that a row's place can be told without a hash function: in sub-table 0 it is the port
//! modulo 64 (so 0 for all ports), in sub-table 1 the protocol.

use etherparse::PacketBuilder;
use etherparse::checksum::Sum16BitWords;
use maglane_spec::endian::{U16Be, U16Le, U32Be, U32Le};
use maglane_spec::row::{BackendRow, DatapathRow, ServiceRow};
use maglane_spec::{Geometry, TableImage};

pub(crate) const OWN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x99];
pub(crate) const CLIENT: [u8; 4] = [198, 51, 100, 7];
pub(crate) const CLIENT_PORT: u16 = 40_000;
pub(crate) const VIP: [u8; 4] = [192, 0, 2, 10];
/// Service 3, TCP on all ports, in sub-table 0.
pub(crate) const VIP_ALL_TCP: [u8; 4] = [192, 0, 2, 20];
/// Service 4, UDP on all ports, in sub-table 1.
pub(crate) const VIP_ALL_UDP: [u8; 4] = [192, 0, 2, 30];
/// Backends of a service, all up and with this MTU: service i has ids 4 * (i - 1) and on, so service 1 has 0 to 3.
pub(crate) const BACKENDS: u16 = 4;
pub(crate) const MTU: u16 = 1500;
/// A backend without encapsulation, which cannot be reached, and one behind GRE over IPv6: the first ones of services 10
/// and 11. So are the second ones of services 14 and 15.
pub(crate) const BACKEND_BARE: u16 = 36;
pub(crate) const BACKEND_IPV6: u16 = 40;
pub(crate) const TUNNEL_SOURCE_V6: [u8; 16] = [0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
/// Length of a tick, and how many a new, an established and a closing flow lives.
pub(crate) const TICK_MS: u32 = 1_000;
pub(crate) const TIMEOUTS: [u8; 3] = [4, 60, 8];
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// Services 14 and 15.
pub(crate) const VIP_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x10];
pub(crate) const CLIENT_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];

/// Services on [`VIP`], TCP unless told otherwise: 1 port 80; 2 UDP port 53, GRE key 7; 5 port 443, disabled;
/// 6 port 8080, in sub-table 1; 7 port 8081, without backends; 8 port 8082, two-choice; 9 port 8083, affinity code 3;
/// 10 port 8084, [`BACKEND_BARE`]; 11 port 8085, [`BACKEND_IPV6`]; 12 port 8086, sequence; 13 port 8087, selection
/// code 3. On [`VIP_V6`]: 14 port 8091; 15 UDP port 8092, GRE key 7.
pub(crate) fn image() -> TableImage {
    let mut image = TableImage::empty(Geometry::LAB);
    image.datapath = datapath();
    let enabled = ServiceRow::FLAG_ENABLED;
    let all_ports = ServiceRow::FLAG_ENABLED | ServiceRow::FLAG_ALL_PORTS;
    let v6 = ServiceRow::FLAG_ENABLED | ServiceRow::FLAG_IPV6;
    // (row, id, address, port, protocol, flags, lookup base, table size)
    let rows = [
        (16, 1, ipv4_in_16(VIP), 80, TCP, enabled, 0, 7),
        (53, 2, ipv4_in_16(VIP), 53, UDP, enabled | ServiceRow::FLAG_GRE_KEY, 100, 13),
        (0, 3, ipv4_in_16(VIP_ALL_TCP), 0, TCP, all_ports, 200, 251),
        (64 + 17, 4, ipv4_in_16(VIP_ALL_UDP), 0, UDP, all_ports, 500, 251),
        (59, 5, ipv4_in_16(VIP), 443, TCP, 0, 0, 7),
        (64 + 6, 6, ipv4_in_16(VIP), 8080, TCP, enabled, 800, 7),
        (17, 7, ipv4_in_16(VIP), 8081, TCP, enabled, 1_000, 5),
        (18, 8, ipv4_in_16(VIP), 8082, TCP, enabled, 900, 7),
        (19, 9, ipv4_in_16(VIP), 8083, TCP, enabled | 3 << ServiceRow::AFFINITY_SHIFT, 0, 7),
        (20, 10, ipv4_in_16(VIP), 8084, TCP, enabled, 2_000, 1),
        (21, 11, ipv4_in_16(VIP), 8085, TCP, enabled, 2_001, 1),
        (22, 12, ipv4_in_16(VIP), 8086, TCP, enabled, 2_010, 4),
        (23, 13, ipv4_in_16(VIP), 8087, TCP, enabled, 0, 7),
        (27, 14, VIP_V6, 8091, TCP, v6, 2_100, 7),
        (28, 15, VIP_V6, 8092, UDP, v6 | ServiceRow::FLAG_GRE_KEY, 2_200, 7),
    ];
    for (row, id, address, port, protocol, flags, base, size) in rows {
        image.services[row] = ServiceRow {
            address,
            port: U16Be::new(port),
            protocol,
            flags: flags | ServiceRow::FLAG_VALID,
            lookup_base: ServiceRow::lookup_base_bytes(base),
            selection: match id {
                8 => ServiceRow::SELECTION_TWO_CHOICE,
                12 => ServiceRow::SELECTION_SEQUENCE,
                13 => 3,
                _ => ServiceRow::SELECTION_HASH,
            },
            gre_key: U32Be::new(7),
            table_size: U16Le::new(size),
            id: U16Le::new(id),
        };
        let ids = first_backend(id)..first_backend(id) + BACKENDS;
        for id_of_backend in ids.clone() {
            image.backends[usize::from(id_of_backend)] = backend(id_of_backend, id);
        }
        // Services 5, 9 and 13 never come to look into their slices, and 7 has nobody in its own.
        if ![5, 7, 9, 13].contains(&id) {
            for (entry, id) in image.lookup[base as usize..][..usize::from(size)].iter_mut().zip(ids.cycle()) {
                *entry = U16Le::new(id);
            }
        }
    }
    image
}

/// Id of the first backend of a service.
pub(crate) const fn first_backend(service: u16) -> u16 {
    BACKENDS * (service - 1)
}

fn backend(id: u16, service: u16) -> BackendRow {
    let low = id.to_le_bytes()[0];
    let over_ipv6 = id == BACKEND_IPV6 || (service >= 14 && id == first_backend(service) + 1);
    let address_v6 = [0xfd, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, low + 1];
    BackendRow {
        address: if over_ipv6 { address_v6 } else { ipv4_in_16([10, 1, 0, low + 1]) },
        next_hop_mac: [2, 0, 0, 0, 1, low],
        mtu: U16Le::new(MTU),
        service: U16Le::new(service),
        encapsulation: match id {
            BACKEND_BARE => BackendRow::ENCAPSULATION_NONE,
            _ if over_ipv6 => BackendRow::ENCAPSULATION_GRE_IPV6,
            _ => BackendRow::ENCAPSULATION_GRE_IPV4,
        },
        state: BackendRow::STATE_UP,
        ..BackendRow::default()
    }
}

pub(crate) fn datapath() -> DatapathRow {
    let mut datapath = DatapathRow {
        hash_key: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        mac: OWN_MAC,
        ttl: 64,
        flags: DatapathRow::FLAG_CHECK_MAC,
        tunnel_source_v4: [10, 0, 0, 1],
        tunnel_source_v6: TUNNEL_SOURCE_V6,
        tick_ms: U32Le::new(TICK_MS),
        timeout_ticks: TIMEOUTS,
        ..DatapathRow::default()
    };
    // 64 services: the six high bits of the hash are the row, so a word times 2^10 is the word modulo 64.
    datapath.service_seed[0][ServiceRow::KEY_WORD_PORT] = U16Le::new(1 << 10);
    datapath.service_seed[1][ServiceRow::KEY_WORD_PROTOCOL] = U16Le::new(1 << 10);
    datapath
}

pub(crate) fn ipv4_in_16([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// A TCP segment to an address and port, with so many bytes of payload.
pub(crate) fn tcp(destination: [u8; 4], port: u16, payload_len: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2(CLIENT_MAC, OWN_MAC).ipv4(CLIENT, destination, 60);
    let payload = vec![0xa5; payload_len];
    builder.tcp(CLIENT_PORT, port, 1_000, 512).write(&mut frame, &payload).expect("a vector takes all");
    frame
}

/// A UDP datagram to an address and port, with so many bytes of payload.
pub(crate) fn udp(destination: [u8; 4], port: u16, payload_len: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2(CLIENT_MAC, OWN_MAC).ipv4(CLIENT, destination, 60);
    builder.udp(CLIENT_PORT, port).write(&mut frame, &vec![0x5a; payload_len]).expect("a vector takes all");
    frame
}

/// A TCP segment over IPv6 to an address and port, with so many bytes of payload.
pub(crate) fn tcp_v6(destination: [u8; 16], port: u16, payload_len: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2(CLIENT_MAC, OWN_MAC).ipv6(CLIENT_V6, destination, 60);
    let payload = vec![0xa5; payload_len];
    builder.tcp(CLIENT_PORT, port, 1_000, 512).write(&mut frame, &payload).expect("a vector takes all");
    frame
}

/// A UDP datagram over IPv6 to an address and port, with so many bytes of payload.
pub(crate) fn udp_v6(destination: [u8; 16], port: u16, payload_len: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2(CLIENT_MAC, OWN_MAC).ipv6(CLIENT_V6, destination, 60);
    builder.udp(CLIENT_PORT, port).write(&mut frame, &vec![0x5a; payload_len]).expect("a vector takes all");
    frame
}

/// The ICMP or ICMPv6 error of a type and code that a router sends to the source of a frame's packet, quoting so many
/// bytes of it.
pub(crate) fn icmp_error(kind: u8, code: u8, of: &[u8], quoted_len: usize) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(CLIENT_MAC, OWN_MAC);
    let (mut frame, quote) = (Vec::new(), &of[14..14 + quoted_len]);
    let header = [1, 0x23, 5, 0xdc];
    if of[14] >> 4 == 6 {
        let mut to = [0; 16];
        to.copy_from_slice(&of[22..38]);
        let router = [0x20, 1, 0xd, 0xb8, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9];
        ethernet.ipv6(router, to, 60).icmpv6_raw(kind, code, header).write(&mut frame, quote)
    } else {
        let to = [of[26], of[27], of[28], of[29]];
        ethernet.ipv4([203, 0, 113, 99], to, 60).icmpv4_raw(kind, code, header).write(&mut frame, quote)
    }
    .expect("a vector takes all");
    frame
}

/// What a service on this VIP sends back to the client of a frame, as far as its headers tell: addresses and ports
/// turned round.
pub(crate) fn reply(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let (source, len) = if frame[14] >> 4 == 6 { (22, 16) } else { (26, 4) };
    for at in 0..len {
        frame.swap(source + at, source + len + at);
    }
    let ports = source + 2 * len;
    frame.swap(ports, ports + 2);
    frame.swap(ports + 1, ports + 3);
    frame
}

/// The frame with an 802.1Q tag.
pub(crate) fn tagged(frame: &[u8], tci: u16) -> Vec<u8> {
    let [high, low] = tci.to_be_bytes();
    [&frame[..12], &[0x81, 0x00, high, low], &frame[12..]].concat()
}

/// The untagged frame with bytes of its IPv4 header replaced, and the header checksum right again.
pub(crate) fn with_ipv4(frame: &[u8], offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[14 + offset..14 + offset + bytes.len()].copy_from_slice(bytes);
    frame[24..26].fill(0);
    let checksum = Sum16BitWords::new().add_slice(&frame[14..34]).ones_complement();
    // The checksum of `etherparse` is in the memory order of the words it added.
    frame[24..26].copy_from_slice(&checksum.to_ne_bytes());
    frame
}
