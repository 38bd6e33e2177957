//! Flow hash: SipHash-1-3 over the 5-tuple, with a secret key because clients choose the tuples.
//!
//! # Source
//! Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012, section 2.

use maglane_spec::row::{DatapathRow, ServiceRow};
use maglane_spec::siphash::{FINAL, FLOW_C_ROUNDS, FLOW_D_ROUNDS, INIT, ROTATE};

use super::parse::{Parsed, Tuple};

/// Bytes of the hashed tuple: source, destination, source port, destination port, protocol.
const TUPLE_LEN_V4: usize = 4 + 4 + 2 + 2 + 1;
/// The same for IPv6.
const TUPLE_LEN_V6: usize = 16 + 16 + 2 + 2 + 1;

/// The two hashes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowHash {
    /// Over the whole tuple: names the flow.
    pub h: u64,
    /// Over the fields inside the service's affinity: picks from the lookup table.
    pub g: u64,
}

/// Hashes the 5-tuple under the service's affinity. An affinity code that is not in use hashes as five-tuple; select
/// refuses it.
#[must_use]
pub fn flow_hash(datapath: &DatapathRow, service: &ServiceRow, parsed: &Parsed) -> FlowHash {
    hash_with(datapath, service, parsed, FINAL)
}

/// The two affinity bits of a service's flags.
#[must_use]
pub fn affinity(service: &ServiceRow) -> u8 {
    (service.flags >> ServiceRow::AFFINITY_SHIFT) & 3
}

/// [`flow_hash`] with the finalisation constant left open, so that a wrong one can be planted.
pub(crate) fn hash_with(datapath: &DatapathRow, service: &ServiceRow, parsed: &Parsed, finalisation: u64) -> FlowHash {
    let hash = |tuple: &Tuple| {
        if parsed.ipv6 {
            siphash(&datapath.hash_key, &message::<16, TUPLE_LEN_V6>(tuple), finalisation)
        } else {
            siphash(&datapath.hash_key, &message::<4, TUPLE_LEN_V4>(tuple), finalisation)
        }
    };
    let tuple = parsed.tuple;
    let h = hash(&tuple);
    let g = match affinity(service) {
        ServiceRow::AFFINITY_CLIENT_PROTOCOL => hash(&Tuple { source_port: 0, destination_port: 0, ..tuple }),
        ServiceRow::AFFINITY_CLIENT => {
            hash(&Tuple { destination: [0; 16], source_port: 0, destination_port: 0, protocol: 0, ..tuple })
        }
        _ => h,
    };
    FlowHash { h, g }
}

/// The tuple with addresses of `A` bytes, in network order.
fn message<const A: usize, const LEN: usize>(tuple: &Tuple) -> [u8; LEN] {
    let mut message = [0; LEN];
    message[..A].copy_from_slice(&tuple.source[..A]);
    message[A..2 * A].copy_from_slice(&tuple.destination[..A]);
    message[2 * A..2 * A + 2].copy_from_slice(&tuple.source_port.to_be_bytes());
    message[2 * A + 2..2 * A + 4].copy_from_slice(&tuple.destination_port.to_be_bytes());
    message[2 * A + 4] = tuple.protocol;
    message
}

/// SipHash-c-d with the flow hash's rounds, over a message of any length.
#[expect(
    clippy::inline_always,
    reason = "a known length keeps the message in registers: 12 ns of 27, 24 of a frame's 140"
)]
#[inline(always)]
fn siphash(key: &[u8; 16], message: &[u8], finalisation: u64) -> u64 {
    let ([k0, k1], _) = key.as_chunks::<8>() else { unreachable!("16 bytes are two chunks of 8") };
    let (k0, k1) = (u64::from_le_bytes(*k0), u64::from_le_bytes(*k1));
    let mut v = [INIT[0] ^ k0, INIT[1] ^ k1, INIT[2] ^ k0, INIT[3] ^ k1];

    let (blocks, rest) = message.as_chunks::<8>();
    for &block in blocks {
        compress(&mut v, u64::from_le_bytes(block));
    }
    // The last block ends in the message's length modulo 256.
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    last[7] = message.len().to_le_bytes()[0];
    compress(&mut v, u64::from_le_bytes(last));

    v[2] ^= finalisation;
    for _ in 0..FLOW_D_ROUNDS {
        sip_round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

fn compress(v: &mut [u64; 4], block: u64) {
    v[3] ^= block;
    for _ in 0..FLOW_C_ROUNDS {
        sip_round(v);
    }
    v[0] ^= block;
}

/// The paper's figure 2.1.
fn sip_round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[2] = v[2].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(ROTATE[0]) ^ v[0];
    v[3] = v[3].rotate_left(ROTATE[1]) ^ v[2];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[1]);
    v[0] = v[0].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(ROTATE[2]) ^ v[2];
    v[3] = v[3].rotate_left(ROTATE[3]) ^ v[0];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher;

    use proptest::prelude::*;
    use siphasher::sip::SipHasher13;

    use super::*;
    use crate::fixture::datapath;
    use crate::stage::parse::TcpFlags;

    /// A packet of IPv4 or IPv6, as long as the addresses are.
    fn parsed<const A: usize>(source: [u8; A], destination: [u8; A], ports: [u16; 2], protocol: u8) -> Parsed {
        let address = |bytes: [u8; A]| std::array::from_fn(|at| bytes.get(at).copied().unwrap_or(0));
        Parsed {
            tag: None,
            ip_offset: 14,
            ipv6: A == 16,
            total_length: 40,
            dscp_ecn: 0,
            tuple: Tuple {
                source: address(source),
                destination: address(destination),
                source_port: ports[0],
                destination_port: ports[1],
                protocol,
            },
            flags: TcpFlags::default(),
            steered: false,
        }
    }

    fn service(affinity: u8) -> ServiceRow {
        ServiceRow { flags: affinity << ServiceRow::AFFINITY_SHIFT, ..ServiceRow::default() }
    }

    fn oracle(key: &[u8; 16], message: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_key(key);
        hasher.write(message);
        hasher.finish()
    }

    #[test]
    fn siphash_1_3_gives_the_published_vectors() {
        // rust-lang/rust, library/coretests/tests/hash/sip.rs, `test_siphash_1_3`: key 00 01 .. 0f, message of vector
        // i the bytes 0 .. i-1, hash in little-endian bytes.
        let vectors: [(u8, [u8; 8]); 7] = [
            (0, [0xdc, 0xc4, 0x0f, 0x05, 0x58, 0x01, 0xac, 0xab]),
            (1, [0x93, 0xca, 0x57, 0x7d, 0xf3, 0x9b, 0xf4, 0xc9]),
            (7, [0x40, 0x11, 0xb1, 0x9b, 0x98, 0x7d, 0x92, 0xd3]),
            (8, [0x8e, 0x9a, 0x29, 0x8d, 0x11, 0x95, 0x90, 0x36]),
            (13, [0xa7, 0xff, 0x29, 0x12, 0x0c, 0x76, 0x6f, 0x30]),
            (15, [0x56, 0x99, 0x51, 0x2a, 0x6d, 0xd8, 0x20, 0xd3]),
            (63, [0xa8, 0xb3, 0xbb, 0xb7, 0x62, 0x90, 0x19, 0x9d]),
        ];
        for (len, expected) in vectors {
            let message: Vec<u8> = (0..len).collect();
            assert_eq!(siphash(&datapath().hash_key, &message, FINAL).to_le_bytes(), expected, "{len}");
        }
    }

    #[test]
    fn tuple_of_bytes_0_to_12_is_vector_13() {
        // Source 0.1.2.3, destination 4.5.6.7, ports 0x0809 and 0x0A0B, protocol 12: vector 13 above.
        let parsed = parsed([0, 1, 2, 3], [4, 5, 6, 7], [0x0809, 0x0a0b], 12);
        let hash = flow_hash(&datapath(), &service(ServiceRow::AFFINITY_FIVE_TUPLE), &parsed);
        assert_eq!(hash.h.to_le_bytes(), [0xa7, 0xff, 0x29, 0x12, 0x0c, 0x76, 0x6f, 0x30]);
        assert_eq!(hash.g, hash.h);
    }

    #[test]
    fn ipv6_tuple_has_all_of_its_addresses() {
        // 37 bytes, in network order: the siphasher crate over them is the oracle.
        let source = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        let destination = source.map(|byte: u8| byte + 16);
        let message: Vec<u8> = (0..37).collect();
        let hash = flow_hash(&datapath(), &service(0), &parsed(source, destination, [0x2021, 0x2223], 36));
        assert_eq!(hash.h, oracle(&datapath().hash_key, &message));
    }

    #[test]
    fn client_affinity_ignores_all_but_the_source() {
        let service = service(ServiceRow::AFFINITY_CLIENT);
        let one = flow_hash(&datapath(), &service, &parsed([1, 2, 3, 4], [5, 6, 7, 8], [9, 10], 6));
        let other = flow_hash(&datapath(), &service, &parsed([1, 2, 3, 4], [8, 7, 6, 5], [11, 12], 17));
        assert_eq!(one.g, other.g);
        assert_ne!(one.h, other.h);
        let another_client = flow_hash(&datapath(), &service, &parsed([1, 2, 3, 5], [5, 6, 7, 8], [9, 10], 6));
        assert_ne!(one.g, another_client.g);
    }

    #[test]
    fn client_protocol_affinity_ignores_the_ports_only() {
        let service = service(ServiceRow::AFFINITY_CLIENT_PROTOCOL);
        let g = |destination, ports, protocol| {
            flow_hash(&datapath(), &service, &parsed([1, 2, 3, 4], destination, ports, protocol)).g
        };
        assert_eq!(g([5, 6, 7, 8], [9, 10], 6), g([5, 6, 7, 8], [11, 12], 6));
        assert_ne!(g([5, 6, 7, 8], [9, 10], 6), g([5, 6, 7, 8], [9, 10], 17));
        assert_ne!(g([5, 6, 7, 8], [9, 10], 6), g([5, 6, 7, 9], [9, 10], 6));
    }

    proptest! {
        #[test]
        fn hashes_are_those_of_the_siphasher_crate(
            key: [u8; 16], source: [u8; 16], destination: [u8; 16], ipv6: bool, ports: [u16; 2], protocol: u8,
            affinity in 0_u8..4,
        ) {
            let datapath = DatapathRow { hash_key: key, ..datapath() };
            let len = if ipv6 { 16 } else { 4 };
            let (from, to) = (&source[..len], &destination[..len]);
            let parsed = if ipv6 {
                parsed(source, destination, ports, protocol)
            } else {
                parsed(*from.first_chunk::<4>().unwrap(), *to.first_chunk::<4>().unwrap(), ports, protocol)
            };
            let hash = flow_hash(&datapath, &service(affinity), &parsed);
            let port_bytes = ports.map(u16::to_be_bytes).concat();
            let message = |parts: [&[u8]; 4]| oracle(&key, &parts.concat());
            let h = message([from, to, &port_bytes, &[protocol]]);
            let g = match affinity {
                1 => message([from, to, &[0; 4], &[protocol]]),
                2 => message([from, &[0; 16][..len], &[0; 4], &[0]]),
                _ => h,
            };
            prop_assert_eq!(hash, FlowHash { h, g });
        }

        #[test]
        fn siphash_of_any_length_is_that_of_the_siphasher_crate(
            key: [u8; 16], message in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            prop_assert_eq!(siphash(&key, &message, FINAL), oracle(&key, &message));
        }
    }
}
