//! Answers of the host in a service's name: "too big", and echo replies.
//!
//! They come from the address that was asked, because it is the only one of ours that the client knows, and because the path
//! that "too big" is about is the one to that address. They go to where the frame came from, under its tag.
//!
//! # Source
//! RFC 792 and RFC 1191, section 4; RFC 1812, section 4.3.2; RFC 4443, sections 2.3, 3.2 and 4.2; RFC 6864, section 4.1.

use maglane_spec::wire::{ethernet, icmp, ipv4, ipv6};

use super::packet::{IpPacket, put, set_v4};
use crate::stage::ones_complement_sum;
use crate::stage::parse::Address;

/// Hops that an answer may take (RFC 1122, section 3.2.1.7: the recommended value, now 64).
const TTL: u8 = 64;
/// Bytes of an IPv4 address.
const V4_LEN: usize = 4;

/// The frame that tells a packet's source that packets up to an MTU would fit.
pub(super) fn too_big(mac: [u8; 6], packet: &IpPacket<'_>, mtu: u16, out: &mut Vec<u8>) {
    let mut header = [0; icmp::HEADER_LEN];
    let (quote_max, class) = if packet.ipv6 {
        put(&mut header, icmp::TYPE, [icmp::V6_PACKET_TOO_BIG]);
        put(&mut header, icmp::V6_MTU, u32::from(mtu).to_be_bytes());
        (icmp::V6_ERROR_LEN_MAX - ipv6::HEADER_LEN - icmp::HEADER_LEN, 0)
    } else {
        put(&mut header, icmp::TYPE, [icmp::UNREACHABLE, icmp::FRAGMENTATION_NEEDED]);
        put(&mut header, icmp::NEXT_HOP_MTU, mtu.to_be_bytes());
        (icmp::ERROR_LEN_MAX - ipv4::HEADER_LEN - icmp::HEADER_LEN, icmp::ERROR_TYPE_OF_SERVICE)
    };
    let quote = packet.bytes();
    let quote = quote.get(..quote_max).unwrap_or(quote);
    // Never cut itself, so it needs no identification.
    let ip = IpFields { class, identification: 0, fragment: ipv4::FRAGMENT_DF };
    write(mac, packet, ip, &header, quote, out);
}

/// Whether a packet is an echo request, whole and right.
pub(super) fn is_echo_request(packet: &IpPacket<'_>) -> bool {
    let (protocol, request) = if packet.ipv6 {
        (ipv6::NEXT_HEADER_ICMPV6, icmp::V6_ECHO_REQUEST)
    } else {
        (ipv4::PROTOCOL_ICMP, icmp::ECHO_REQUEST)
    };
    packet.protocol == protocol
        && !packet.is_fragment
        && packet.payload.len() >= icmp::HEADER_LEN
        && packet.payload.first_chunk() == Some(&[request, 0])
        && sum(packet.ipv6, &packet.source, &packet.destination, packet.payload) == 0xffff
}

/// The answer to an echo request.
pub(super) fn echo_reply(mac: [u8; 6], packet: &IpPacket<'_>, out: &mut Vec<u8>) {
    let reply = if packet.ipv6 { icmp::V6_ECHO_REPLY } else { icmp::ECHO_REPLY };
    let Some((request, data)) = packet.payload.split_first_chunk::<{ icmp::HEADER_LEN }>() else { return };
    let mut header = *request;
    put(&mut header, icmp::TYPE, [reply]);
    // It is as long as the request and comes back the same way, so it may be cut where that might: its identification is
    // as good between us two.
    let fragment = if packet.dont_fragment { ipv4::FRAGMENT_DF } else { 0 };
    let [.., high, low] = packet.identification.to_be_bytes();
    let identification = u16::from_be_bytes([high, low]);
    // Class and ECN field of the request (RFC 1812, section 4.3.2.5), but no mark of congestion, which was another way's.
    let ip = IpFields { class: packet.dscp_ecn & !ECN, identification, fragment };
    write(mac, packet, ip, &header, data, out);
}

/// The bits of ECN beside DSCP (RFC 3168, section 5).
const ECN: u8 = 3;

/// What answers differ in, of the IP header.
struct IpFields {
    /// DSCP and ECN.
    class: u8,
    /// Of IPv4.
    identification: u16,
    /// Flags and offset of IPv4.
    fragment: u16,
}

/// Writes the frame with an ICMP message to a packet's source, whose checksum is filled in.
fn write(
    mac: [u8; 6],
    packet: &IpPacket<'_>,
    ip: IpFields,
    header: &[u8; icmp::HEADER_LEN],
    data: &[u8],
    out: &mut Vec<u8>,
) {
    let to = packet.frame.get(ethernet::SOURCE..ethernet::ETHERTYPE).unwrap_or_default();
    out.extend_from_slice(to);
    out.extend_from_slice(&mac);
    // Tag and EtherType.
    out.extend_from_slice(packet.frame.get(ethernet::ETHERTYPE..packet.ip_offset).unwrap_or_default());
    let len = icmp::HEADER_LEN.saturating_add(data.len());
    if packet.ipv6 {
        out.extend_from_slice(&header_v6(packet, ip.class, len));
    } else {
        out.extend_from_slice(&header_v4(packet, &ip, len));
    }
    let start = out.len();
    out.extend_from_slice(header);
    out.extend_from_slice(data);
    if let Some(message) = out.get_mut(start..) {
        put(message, icmp::CHECKSUM, [0; 2]);
        let checksum = !sum(packet.ipv6, &packet.destination, &packet.source, message);
        put(message, icmp::CHECKSUM, checksum.to_be_bytes());
    }
}

fn header_v4(packet: &IpPacket<'_>, ip: &IpFields, payload_len: usize) -> [u8; ipv4::HEADER_LEN] {
    let mut header = [0; ipv4::HEADER_LEN];
    put(&mut header, ipv4::VERSION_IHL, [ipv4::VERSION_IHL_PLAIN, ip.class]);
    put(&mut header, ipv4::IDENTIFICATION, ip.identification.to_be_bytes());
    put(&mut header, ipv4::TTL, [TTL, ipv4::PROTOCOL_ICMP]);
    let v4 = |address: &Address| address.first_chunk::<V4_LEN>().copied().unwrap_or_default();
    put(&mut header, ipv4::SOURCE, v4(&packet.destination));
    put(&mut header, ipv4::DESTINATION, v4(&packet.source));
    // No longer than the packet that it answers, or than an error may be.
    let total_length = u16::try_from(ipv4::HEADER_LEN.saturating_add(payload_len)).unwrap_or(u16::MAX);
    set_v4(&mut header, total_length, ip.fragment);
    header
}

fn header_v6(packet: &IpPacket<'_>, class: u8, payload_len: usize) -> [u8; ipv6::HEADER_LEN] {
    let mut header = [0; ipv6::HEADER_LEN];
    let first = u32::from(ipv6::VERSION) << 28 | u32::from(class) << ipv6::CLASS_SHIFT;
    put(&mut header, ipv6::VERSION_CLASS_LABEL, first.to_be_bytes());
    let [.., high, low] = payload_len.to_be_bytes();
    put(&mut header, ipv6::PAYLOAD_LENGTH, [high, low]);
    put(&mut header, ipv6::NEXT_HEADER, [ipv6::NEXT_HEADER_ICMPV6, TTL]);
    put(&mut header, ipv6::SOURCE, packet.destination);
    put(&mut header, ipv6::DESTINATION, packet.source);
    header
}

/// The sum that the checksum of a message makes all ones: with IPv6, of addresses, length and protocol, too (RFC 8200,
/// section 8.1).
fn sum(ipv6: bool, source: &Address, destination: &Address, message: &[u8]) -> u16 {
    let of_message = ones_complement_sum(message);
    if !ipv6 {
        return of_message;
    }
    let [.., high, low] = message.len().to_be_bytes();
    let rest = [high, low, 0, ipv6::NEXT_HEADER_ICMPV6];
    let parts = [source, destination].map(|address| ones_complement_sum(address));
    let words = [of_message, parts[0], parts[1], ones_complement_sum(&rest)].map(u16::to_be_bytes);
    ones_complement_sum(words.as_flattened())
}
