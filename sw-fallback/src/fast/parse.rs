//! Parse, for the packets that nearly all traffic consists of: TCP and UDP without IP options that are not fragments, eight
//! at a time, a packet a lane.
//!
//! What is not plain here, for whatever reason, goes through the scalar [`crate::stage::parse`], whose checks and order
//! of checks decide. So this file only ever says yes, and must say it of nothing that the scalar parse refuses.

use maglane_spec::limit::FRAME_LEN_MAX;
use maglane_spec::wire::{ethernet, ipv4, ipv6, transport};

use super::low_16;
use super::packet::{IP_IN_BLOCK, Packet};
use super::tables::{TAGGED, UNTAGGED};
use crate::simd::{LANES, Vectors};
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

/// Words of a frame's first block that a [`Pattern`] covers.
const PATTERN: usize = 4;

/// What the first bytes of a frame with a plain packet are, as far as they are the same for all: destination MAC, tag,
/// EtherType, version; for IPv4 also the header's length, and that it is no fragment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pattern {
    bytes: [u64; PATTERN],
    /// Bits that count.
    mask: [u64; PATTERN],
}

/// The patterns of both families, of frames whose packets start at one offset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patterns {
    pub(super) v4: Pattern,
    pub(super) v6: Pattern,
}

impl Patterns {
    /// Those of frames to a MAC, or to any, whose packet starts at an offset.
    pub(super) fn new(mac: Option<[u8; 6]>, ip_offset: usize) -> Self {
        let not_a_fragment = ipv4::FRAGMENT_MORE_OR_OFFSET.to_be_bytes();
        let [of_v4, of_v6] = [ethernet::ETHERTYPE_IPV4, ethernet::ETHERTYPE_IPV6].map(u16::to_be_bytes);
        let v4: &[(usize, &[u8], &[u8])] = &[
            (ethernet::HEADER_LEN - 2, &of_v4, &[0xff; 2]),
            (ethernet::HEADER_LEN + ipv4::VERSION_IHL, &[ipv4::VERSION_IHL_PLAIN], &[0xff]),
            (ethernet::HEADER_LEN + ipv4::FRAGMENT, &[0; 2], &not_a_fragment),
        ];
        let v6: &[(usize, &[u8], &[u8])] = &[
            (ethernet::HEADER_LEN - 2, &of_v6, &[0xff; 2]),
            (ethernet::HEADER_LEN + ipv6::VERSION_CLASS_LABEL, &[ipv6::VERSION << 4], &[0xf0]),
        ];
        Self { v4: Pattern::new(mac, ip_offset, v4), v6: Pattern::new(mac, ip_offset, v6) }
    }
}

impl Pattern {
    /// Beside MAC and tag: values and the bits of them that count, by where they are in an untagged frame.
    fn new(mac: Option<[u8; 6]>, ip_offset: usize, rest: &[(usize, &[u8], &[u8])]) -> Self {
        let (mut bytes, mut mask) = ([0; 8 * PATTERN], [0; 8 * PATTERN]);
        let mut must = |at: usize, value: &[u8], bits: &[u8]| {
            bytes[at..at + value.len()].copy_from_slice(value);
            mask[at..at + bits.len()].copy_from_slice(bits);
        };
        let frame = IP_IN_BLOCK - ip_offset;
        if let Some(mac) = mac {
            must(frame + ethernet::DESTINATION, &mac, &[0xff; 6]);
        }
        if ip_offset != UNTAGGED {
            must(frame + ethernet::ETHERTYPE, &ethernet::TPID.to_be_bytes(), &[0xff; 2]);
        }
        for &(at, value, bits) in rest {
            must(IP_IN_BLOCK - ethernet::HEADER_LEN + at, value, bits);
        }
        let words =
            |bytes: [u8; 8 * PATTERN]| bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let words = |bytes| -> [u64; PATTERN] {
            let words: Vec<u64> = words(bytes);
            std::array::from_fn(|word| words[word])
        };
        Self { bytes: words(bytes), mask: words(mask) }
    }

    /// What differs from the pattern: zero where nothing does.
    #[inline(always)]
    fn differing<V: Vectors>(&self, columns: &[V::Words; LANES]) -> V::Words {
        let of_word =
            |word: usize| V::and(V::xor(columns[word], V::splat(self.bytes[word])), V::splat(self.mask[word]));
        V::or(V::or(of_word(0), of_word(1)), V::or(of_word(2), of_word(3)))
    }
}

/// What eight packets are, lane by lane, as far as they are plain.
pub(super) struct Plain<V: Vectors, const N: usize> {
    /// Bit by lane: the packet is plain if the frame is long enough, see [`fit`]. All else means nothing of others.
    pub(super) lanes: u8,
    pub(super) message: [V::Words; N],
    /// Bytes of the IP packet.
    pub(super) total_length: V::Words,
    pub(super) dscp_ecn: V::Words,
    /// As [`Fields::flags`].
    pub(super) flags: V::Words,
}

/// Reads eight packets as plain IPv4.
#[inline(always)]
pub(super) fn plain_v4<V: Vectors>(pattern: &Pattern, first: &[V::Words; LANES]) -> Plain<V, 2> {
    // By words of the block; the IP header starts in the middle of word 2.
    let [_, _, start, middle, addresses, ports, tcp, _] = *first;
    let total_length = swapped_16::<V>(V::shift_right::<48>(start));
    let protocol = byte::<V, 40>(middle);
    let Transport { fits, flags } = transport::<V>(protocol, V::sub(total_length, splat::<V>(ipv4::HEADER_LEN)), tcp);
    let bad = V::or(pattern.differing::<V>(first), not_ones::<V>(V::shift_right::<32>(start), middle, addresses));
    Plain {
        lanes: V::zeros(bad) & fits,
        // 4 + 4 bytes of addresses; then 2 + 2 of ports, the protocol: 13 bytes.
        message: [addresses, last::<V>(ports, protocol, 13)],
        total_length,
        dscp_ecn: byte::<V, 40>(start),
        flags,
    }
}

/// The same for IPv6.
#[inline(always)]
pub(super) fn plain_v6<V: Vectors>(
    pattern: &Pattern,
    first: &[V::Words; LANES],
    second: &[V::Words; LANES],
) -> Plain<V, 5> {
    let [_, _, start, middle, ..] = *first;
    let [source_high, source_low, destination_high, destination_low, ports, tcp, ..] = *second;
    let l4_len = swapped_16::<V>(V::and(middle, V::splat(0xffff)));
    let protocol = byte::<V, 16>(middle);
    let Transport { fits, flags } = transport::<V>(protocol, l4_len, tcp);
    // The class is the low half of the header's first byte and the high half of its second.
    let class_high = V::and(V::shift_right::<28>(start), V::splat(0xf0));
    let class_low = V::and(V::shift_right::<44>(start), V::splat(0x0f));
    Plain {
        lanes: V::zeros(pattern.differing::<V>(first)) & fits,
        message: [source_high, source_low, destination_high, destination_low, last::<V>(ports, protocol, 37)],
        total_length: V::add(l4_len, splat::<V>(ipv6::HEADER_LEN)),
        dscp_ecn: V::or(class_high, class_low),
        flags,
    }
}

/// Whether any of eight packets might be plain IPv6.
#[inline(always)]
pub(super) fn any_v6<V: Vectors>(pattern: &Pattern, first: &[V::Words; LANES]) -> bool {
    V::zeros(pattern.differing::<V>(first)) != 0
}

/// Which of eight packets that start at an offset are within their frames, which are not too long: bit by lane.
#[inline(always)]
pub(super) fn fit<V: Vectors>(total_length: V::Words, ip_offset: usize, frame_len: V::Words) -> u8 {
    let too_long = V::sub(splat::<V>(FRAME_LEN_MAX), frame_len);
    let beyond = V::sub(V::sub(frame_len, total_length), splat::<V>(ip_offset));
    V::zeros(negative::<V>(V::or(too_long, beyond)))
}

/// Where the packet of a frame starts if there is IP in it.
#[inline(always)]
pub(super) fn ip_offset(packet: &Packet<'_>) -> usize {
    let ethertype = packet.start() + ethernet::ETHERTYPE;
    let ethertype = packet.buffer.get(ethertype..).and_then(|rest| rest.first_chunk());
    if ethertype == Some(&ethernet::TPID.to_be_bytes()) { TAGGED } else { UNTAGGED }
}

/// Whether IPv4 headers sum to all ones: zero where they do. The first of the three words has four bytes.
///
/// # Source
/// RFC 1071, section 2: the sum of longer words folds to that of their halves, and in either byte order it is all ones or
/// not.
#[inline(always)]
fn not_ones<V: Vectors>(start: V::Words, middle: V::Words, addresses: V::Words) -> V::Words {
    let low = |words| V::and(words, V::splat(0xffff_ffff));
    let halves = |words| V::add(low(words), V::shift_right::<32>(words));
    // Five numbers of 32 bits, then three of 16, then two of which one is 2 at most.
    let sum = V::add(start, V::add(halves(middle), halves(addresses)));
    let low = |words| V::and(words, V::splat(0xffff));
    let sum = V::add(low(sum), V::add(low(V::shift_right::<16>(sum)), V::shift_right::<32>(sum)));
    let sum = V::add(low(sum), V::shift_right::<16>(sum));
    V::xor(sum, V::splat(0xffff))
}

/// What the transport headers of eight packets are.
struct Transport<V: Vectors> {
    /// Bit by lane: it is TCP or UDP, and fits.
    fits: u8,
    flags: V::Words,
}

/// Reads transport headers that have so many bytes from their start to the packet's end. In the word are bytes 8 to 15 of
/// them, which only TCP has.
#[inline(always)]
fn transport<V: Vectors>(protocol: V::Words, len: V::Words, tcp: V::Words) -> Transport<V> {
    // Bits of the word: those of bytes 12 and 13.
    const DATA_OFFSET: u32 = 32;
    const FLAGS_AT: u32 = 40;
    const { assert!(8 * (transport::TCP_DATA_OFFSET - 8) == 32 && 8 * (transport::TCP_FLAGS - 8) == 40) };
    let other = |of: u8| V::xor(protocol, V::splat(u64::from(of)));
    let udp_short = negative::<V>(V::sub(len, splat::<V>(transport::UDP_HEADER_LEN)));
    // In units of four bytes, in the high half of its byte.
    let header_len = V::and(V::shift_right::<{ DATA_OFFSET + 2 }>(tcp), V::splat(0x3c));
    let header_short = negative::<V>(V::sub(header_len, splat::<V>(transport::TCP_HEADER_LEN)));
    let tcp_short = V::or(header_short, negative::<V>(V::sub(len, header_len)));
    let is_udp = V::zeros(V::or(other(ipv4::PROTOCOL_UDP), udp_short));
    let is_tcp = V::zeros(V::or(other(ipv4::PROTOCOL_TCP), tcp_short));
    let flags = V::and(V::shift_right::<FLAGS_AT>(tcp), V::splat(u64::from(FLAGS)));
    let flags = V::where_equal(protocol, V::splat(u64::from(ipv4::PROTOCOL_TCP)), flags);
    Transport { fits: is_udp | is_tcp, flags }
}

/// The last word of messages of so many bytes; of the ports' words the low half counts.
#[inline(always)]
fn last<V: Vectors>(ports: V::Words, protocol: V::Words, len: u64) -> V::Words {
    let ports = V::and(ports, V::splat(0xffff_ffff));
    V::or(V::or(ports, V::shift_left::<32>(protocol)), V::splat(len << 56))
}

/// A byte of each word, by its lowest bit.
#[inline(always)]
fn byte<V: Vectors, const BIT: u32>(words: V::Words) -> V::Words {
    V::and(V::shift_right::<BIT>(words), V::splat(0xff))
}

/// Words of 16 bits with their bytes swapped.
#[inline(always)]
fn swapped_16<V: Vectors>(words: V::Words) -> V::Words {
    V::or(V::shift_right::<8>(words), V::shift_left::<8>(V::and(words, V::splat(0xff))))
}

/// The highest bit of differences of lengths: those are short, so that it is set where they are negative.
#[inline(always)]
fn negative<V: Vectors>(differences: V::Words) -> V::Words {
    V::and(differences, V::splat(1 << 63))
}

#[inline(always)]
fn splat<V: Vectors>(number: usize) -> V::Words {
    V::splat(number as u64)
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
