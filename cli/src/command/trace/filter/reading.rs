//! A frame as far as it can be read, whatever parse would say of it: who explains refusals must find the frames.

use std::net::IpAddr;

use maglane_spec::wire::{ethernet, icmp, ipv4, ipv6, transport};

use crate::command::trace::parse::addresses;

/// What a packet's headers say of its tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// None when headers before it are cut off or not known.
    pub(super) protocol: Option<u8>,
    /// Source and destination, of TCP and UDP; none when they are in another piece of the datagram, or cut off.
    pub(super) ports: Option<[u16; 2]>,
    /// Where what is behind the IP headers starts, if it does in this packet.
    payload: Option<usize>,
}

/// Tags that are looked behind: parse does so for one, but what has two is to be found too.
const TAGS_MAX: usize = 4;
/// EtherType of the tag of a provider's network, 802.1ad.
const PROVIDER_TAG: u16 = 0x88a8;
/// IPv6 headers between the first one and the transport's that are looked behind.
const EXTENSIONS_MAX: usize = 8;
/// Options for each hop, routing, and options for the destination (RFC 8200, section 4).
const EXTENSIONS: [u8; 3] = [0, 43, 60];

impl Reading {
    /// Reads a frame; none when its addresses are not to be read.
    pub(super) fn of_frame(frame: &[u8]) -> Option<Self> {
        let mut at = ethernet::ETHERTYPE;
        let mut kind = u16_at(frame, at)?;
        for _ in 0..TAGS_MAX {
            if !matches!(kind, ethernet::TPID | PROVIDER_TAG) {
                break;
            }
            at += ethernet::TAG_LEN;
            kind = u16_at(frame, at)?;
        }
        match kind {
            ethernet::ETHERTYPE_IPV4 => Self::of_packet(frame, at + 2, false),
            ethernet::ETHERTYPE_IPV6 => Self::of_packet(frame, at + 2, true),
            _ => None,
        }
    }

    /// The flow that an ICMP error is about, as its client's packets have it: the quoted one is the service's.
    pub(super) fn about(&self, frame: &[u8]) -> Option<Self> {
        let (protocol, payload) = (self.protocol?, self.payload?);
        let kind = *frame.get(payload + icmp::TYPE)?;
        let [first, last] = icmp::V6_ERROR_TYPES;
        let ipv6 = match protocol {
            ipv4::PROTOCOL_ICMP if icmp::ERROR_TYPES.contains(&kind) => false,
            ipv6::NEXT_HEADER_ICMPV6 if (first..=last).contains(&kind) => true,
            _ => return None,
        };
        let quoted = Self::of_packet(frame, payload + icmp::HEADER_LEN, ipv6)?;
        Some(Self {
            source: quoted.destination,
            destination: quoted.source,
            ports: quoted.ports.map(|[source, destination]| [destination, source]),
            ..quoted
        })
    }

    /// Whether ports are there, or could be in what is not to be read.
    pub(super) fn may_have_ports(&self) -> bool {
        self.protocol.is_none_or(has_ports)
    }

    /// Reads the packet at an offset, whatever version it says that it has.
    fn of_packet(frame: &[u8], offset: usize, ipv6: bool) -> Option<Self> {
        let packet = frame.get(offset..)?;
        let (source, destination) = addresses(packet, ipv6)?;
        let (protocol, payload) = if ipv6 { behind_v6(packet) } else { behind_v4(packet) };
        let payload = payload.map(|payload| offset + payload);
        let ports = payload.filter(|_| protocol.is_some_and(has_ports)).and_then(|payload| {
            Some([
                u16_at(frame, payload + transport::SOURCE_PORT)?,
                u16_at(frame, payload + transport::DESTINATION_PORT)?,
            ])
        });
        Some(Self { source, destination, protocol, ports, payload })
    }
}

/// The protocol of an IPv4 packet, and where it starts.
fn behind_v4(packet: &[u8]) -> (Option<u8>, Option<usize>) {
    let header_len = packet.first().map_or(0, |&byte| usize::from(byte & 0xf) * 4);
    let later_piece = u16_at(packet, ipv4::FRAGMENT).is_none_or(|field| field & ipv4::FRAGMENT_OFFSET != 0);
    let there = header_len >= ipv4::HEADER_LEN && !later_piece;
    (packet.get(ipv4::PROTOCOL).copied(), there.then_some(header_len))
}

/// The same of an IPv6 packet, behind the headers that a router looks behind too.
fn behind_v6(packet: &[u8]) -> (Option<u8>, Option<usize>) {
    let (Some(&next), mut at) = (packet.get(ipv6::NEXT_HEADER), ipv6::HEADER_LEN) else { return (None, None) };
    let (mut next, mut later_piece) = (next, false);
    for _ in 0..EXTENSIONS_MAX {
        let len = match next {
            ipv6::NEXT_HEADER_FRAGMENT => {
                let Some(field) = u16_at(packet, at + ipv6::FRAGMENT_OFFSET_FLAGS) else { return (None, None) };
                later_piece |= field & ipv6::FRAGMENT_OFFSET_MASK != 0;
                ipv6::FRAGMENT_HEADER_LEN
            }
            next if EXTENSIONS.contains(&next) && !later_piece => {
                let Some(&units) = packet.get(at + 1) else { return (None, None) };
                (usize::from(units) + 1) * 8
            }
            next => return (Some(next), (!later_piece).then_some(at)),
        };
        let Some(&behind) = packet.get(at) else { return (None, None) };
        (next, at) = (behind, at + len);
    }
    (None, None)
}

fn has_ports(protocol: u8) -> bool {
    matches!(protocol, ipv4::PROTOCOL_TCP | ipv4::PROTOCOL_UDP)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
