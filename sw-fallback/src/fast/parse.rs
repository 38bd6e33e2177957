//! Parse, for the packets that nearly all traffic consists of: TCP and UDP without IP options that are not fragments.
//!
//! What is not plain here, for whatever reason, goes through the scalar [`crate::stage::parse`], whose checks and order
//! of checks decide. So this file only ever says yes, and must say it of nothing that the scalar parse refuses.

use maglane_spec::limit::FRAME_LEN_MAX;
use maglane_spec::wire::{ethernet, ipv4, ipv6, transport};

use super::low_16;
use super::packet::{LOOK, Packet};
use super::tables::Tables;
use crate::stage::parse::{Parsed, TcpFlags};

/// The tuple as the flow hash reads it: two words for IPv4, five for IPv6.
///
/// # Shape
/// Little-endian words of the message of the flow hash. The last one holds, from the lowest byte: source port, destination
/// port, protocol, zeros, the message's length.
pub(super) type Message<const N: usize> = [u64; N];

/// What else the later stages need of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    /// Bytes of the IP packet.
    pub(super) total_length: u16,
    /// Where the IP header starts in the frame.
    pub(super) ip_offset: u8,
    pub(super) dscp_ecn: u8,
    /// FIN, SYN and RST as in a TCP header, and [`STEERED`]. Most packets have none.
    pub(super) flags: u8,
}

/// Beside the TCP flags: the packet is an ICMP error about a flow.
pub(super) const STEERED: u8 = 0x80;

/// The message of a packet of either family.
#[derive(Clone, Copy, Debug)]
pub(super) enum Packed {
    V4(Message<2>),
    V6(Message<5>),
}

/// TCP flags that matter.
const FLAGS: u8 = transport::TCP_FLAG_FIN | transport::TCP_FLAG_SYN | transport::TCP_FLAG_RST;

/// Bytes from the IP header on that are looked at.
const IP_LOOK: usize = LOOK - ethernet::HEADER_LEN - ethernet::TAG_LEN;

/// Bytes of [`Pattern`].
const PATTERN: usize = 32;

/// What the first bytes of a frame with a plain IPv4 packet are, as far as they are the same for all: destination MAC,
/// tag, EtherType, version and header length, no fragment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pattern {
    bytes: [u64; PATTERN / 8],
    /// Bits that count.
    mask: [u64; PATTERN / 8],
}

impl Pattern {
    /// That of frames to a MAC, or to any, whose packet starts at an offset.
    pub(super) fn new(mac: Option<[u8; 6]>, ip_offset: usize) -> Self {
        let (mut bytes, mut mask) = ([0; PATTERN], [0; PATTERN]);
        let mut must = |at: usize, value: &[u8], bits: &[u8]| {
            bytes[at..at + value.len()].copy_from_slice(value);
            mask[at..at + bits.len()].copy_from_slice(bits);
        };
        if let Some(mac) = mac {
            must(ethernet::DESTINATION, &mac, &[0xff; 6]);
        }
        if ip_offset != ethernet::HEADER_LEN {
            must(ethernet::ETHERTYPE, &ethernet::TPID.to_be_bytes(), &[0xff; 2]);
        }
        must(ip_offset - 2, &ethernet::ETHERTYPE_IPV4.to_be_bytes(), &[0xff; 2]);
        must(ip_offset + ipv4::VERSION_IHL, &[ipv4::VERSION_IHL_PLAIN], &[0xff]);
        must(ip_offset + ipv4::FRAGMENT, &[0; 2], &ipv4::FRAGMENT_MORE_OR_OFFSET.to_be_bytes());
        let words = |bytes: [u8; PATTERN]| std::array::from_fn(|word| u64_at(&bytes, 8 * word));
        Self { bytes: words(bytes), mask: words(mask) }
    }

    #[inline(always)]
    fn matches(&self, look: &[u8; LOOK]) -> bool {
        let differs = |word: usize| (u64_at(look, 8 * word) ^ self.bytes[word]) & self.mask[word];
        differs(0) | differs(1) | differs(2) | differs(3) == 0
    }
}

/// Reads an IPv4 packet at an offset, if the frame is like a pattern and the packet is plain.
#[inline(always)]
pub(super) fn plain_v4<const OFFSET: usize>(pattern: &Pattern, packet: &Packet<'_>) -> Option<(Fields, Message<2>)> {
    let look = packet.look()?;
    let ip: &[u8; IP_LOOK] = look[OFFSET..].first_chunk()?;
    // What the buffer has behind a shorter frame is looked at, too: the lengths say what of it counts.
    let total = usize::from(u16_at(ip, ipv4::TOTAL_LENGTH));
    let protocol = ip[ipv4::PROTOCOL];
    let (first, addresses) = (u64_at(ip, 0), u64_at(ip, ipv4::SOURCE));
    let is_plain = pattern.matches(look)
        & sums_to_ones(first, addresses, u32_at(ip, 8))
        & (packet.len <= FRAME_LEN_MAX)
        & (total + OFFSET <= packet.len)
        & (total >= ipv4::HEADER_LEN);
    if !is_plain {
        return None;
    }
    let flags = transport(ip, ipv4::HEADER_LEN, protocol, total - ipv4::HEADER_LEN)?;
    // 4 + 4 bytes of addresses; then 2 + 2 of ports, the protocol: 13 bytes.
    let last = u64::from(u32_at(ip, ipv4::HEADER_LEN)) | u64::from(protocol) << 32 | 13 << 56;
    let dscp_ecn = ip[ipv4::DSCP_ECN];
    Some((fields(total, OFFSET, dscp_ecn, flags), [addresses, last]))
}

/// The same for IPv6.
#[inline(never)]
pub(super) fn plain_v6(tables: &Tables, packet: &Packet<'_>) -> Option<(Fields, Message<5>)> {
    let look = packet.look()?;
    let (offset, ethertype) = link(tables, look, packet.len)?;
    if ethertype != ethernet::ETHERTYPE_IPV6 {
        return None;
    }
    let ip: &[u8; IP_LOOK] = look[offset..].first_chunk()?;
    let available = packet.len.wrapping_sub(offset);
    let l4_len = usize::from(u16_at(ip, ipv6::PAYLOAD_LENGTH));
    let total = ipv6::HEADER_LEN + l4_len;
    let first = u32_at(ip, ipv6::VERSION_CLASS_LABEL).swap_bytes();
    let protocol = ip[ipv6::NEXT_HEADER];
    let flags = transport(ip, ipv6::HEADER_LEN, protocol, l4_len)?;
    let is_plain = (first >> 28 == u32::from(ipv6::VERSION)) & (packet.len >= offset) & (total <= available);
    let word = |offset| u64_at(ip, ipv6::SOURCE + offset);
    let last = u64::from(u32_at(ip, ipv6::HEADER_LEN)) | u64::from(protocol) << 32 | 37 << 56;
    let dscp_ecn = (first >> 20 & 0xff) as u8;
    is_plain.then(|| (fields(total, offset, dscp_ecn, flags), [word(0), word(8), word(16), word(24), last]))
}

/// Where the packet starts, and the EtherType before it, of a frame for us that is not too long.
#[inline(always)]
fn link(tables: &Tables, look: &[u8; LOOK], frame_len: usize) -> Option<(usize, u16)> {
    let mac_differs = (u64_at(look, ethernet::DESTINATION) ^ tables.mac) & tables.mac_mask != 0;
    if mac_differs || frame_len > FRAME_LEN_MAX {
        return None;
    }
    let ethertype = u16_at(look, ethernet::ETHERTYPE);
    if ethertype != ethernet::TPID {
        return Some((ethernet::HEADER_LEN, ethertype));
    }
    Some((ethernet::HEADER_LEN + ethernet::TAG_LEN, u16_at(look, ethernet::ETHERTYPE + ethernet::TAG_LEN)))
}

/// Whether the one's complement sum of the 16-bit words of an IPv4 header is all ones.
///
/// The sum of longer words folds to that of their halves, and in either byte order it is all ones or not.
///
/// # Source
/// RFC 1071, section 2.
#[inline(always)]
fn sums_to_ones(first: u64, addresses: u64, middle: u32) -> bool {
    let (sum, carry) = first.overflowing_add(addresses);
    // With the carry the sum cannot be 2^64 - 1, so that one more word is at most one carry.
    let (sum, more) = sum.overflowing_add(u64::from(middle) + u64::from(carry));
    let sum = sum + u64::from(more);
    // The high half of a sum with itself turned round is the sum of the halves, its carry included.
    let sum = (sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32;
    sum.wrapping_add(sum.rotate_left(16)) >> 16 == 0xffff
}

/// The flags of a TCP or UDP header that has so many bytes from its start to the packet's end, if it fits.
#[inline(always)]
fn transport(ip: &[u8; IP_LOOK], at: usize, protocol: u8, len: usize) -> Option<u8> {
    if protocol == ipv4::PROTOCOL_UDP {
        return (len >= transport::UDP_HEADER_LEN).then_some(0);
    }
    let data_offset = usize::from(ip[at + transport::TCP_DATA_OFFSET] >> 4) * 4;
    let fits = (protocol == ipv4::PROTOCOL_TCP) & (data_offset >= transport::TCP_HEADER_LEN) & (data_offset <= len);
    fits.then_some(ip[at + transport::TCP_FLAGS] & FLAGS)
}

/// The fields of a packet, of lengths that fit.
#[inline(always)]
fn fields(total_length: usize, ip_offset: usize, dscp_ecn: u8, flags: u8) -> Fields {
    let [ip_offset, ..] = ip_offset.to_le_bytes();
    Fields { total_length: low_16(total_length), ip_offset, dscp_ecn, flags }
}

/// The same of a packet that the scalar parse has let through.
pub(super) fn packed_of(parsed: &Parsed) -> (Fields, Packed) {
    let tuple = &parsed.tuple;
    let TcpFlags { syn, fin, rst } = parsed.flags;
    let bit = |set: bool, bit| if set { bit } else { 0 };
    let flags = bit(syn, transport::TCP_FLAG_SYN)
        | bit(fin, transport::TCP_FLAG_FIN)
        | bit(rst, transport::TCP_FLAG_RST)
        | bit(parsed.steered, STEERED);
    let fields = fields(usize::from(parsed.total_length), parsed.ip_offset, parsed.dscp_ecn, flags);
    let ports = u64::from(tuple.source_port.swap_bytes()) | u64::from(tuple.destination_port.swap_bytes()) << 16;
    let last = ports | u64::from(tuple.protocol) << 32;
    let (source, destination) = (&tuple.source, &tuple.destination);
    if parsed.ipv6 {
        let [a, b] = [u64_at(source, 0), u64_at(source, 8)];
        (fields, Packed::V6([a, b, u64_at(destination, 0), u64_at(destination, 8), last | 37 << 56]))
    } else {
        let addresses = u64::from(u32_at(source, 0)) | u64::from(u32_at(destination, 0)) << 32;
        (fields, Packed::V4([addresses, last | 13 << 56]))
    }
}

/// Two bytes in network order.
#[inline(always)]
fn u16_at<const N: usize>(bytes: &[u8; N], offset: usize) -> u16 {
    u16::from_be_bytes([bytes[offset], bytes[offset + 1]])
}

/// Four bytes, the first one lowest.
#[inline(always)]
fn u32_at<const N: usize>(bytes: &[u8; N], offset: usize) -> u32 {
    bytes[offset..].first_chunk().map_or(0, |word| u32::from_le_bytes(*word))
}

/// Eight bytes, the first one lowest.
#[inline(always)]
fn u64_at<const N: usize>(bytes: &[u8; N], offset: usize) -> u64 {
    bytes[offset..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}
