//! Rewrite, in place: the outer headers go into the room before the packet, which stays where it is.
//!
//! # Source
//! As [`crate::stage::rewrite`].

use maglane_spec::Verdict;
use maglane_spec::row::BackendRow;
use maglane_spec::wire::{ethernet, ipv4, ipv6};

use super::low_16;
use super::packet::Packet;
use super::tables::{BackendPlan, OUTER_LEN_MAX, OUTER_LEN_V4, ServicePlan};

/// What a frame is wrapped in.
#[derive(Clone, Copy)]
pub(super) struct Wrapping<'a> {
    /// Bits of the outer IPv4 source that the flow hash gives.
    pub(super) entropy_mask: u16,
    pub(super) service: &'a ServicePlan,
    pub(super) backend: &'a BackendPlan,
    pub(super) h: u64,
    /// Bytes of the packet in the frame.
    pub(super) total_length: usize,
    pub(super) dscp_ecn: u8,
}

impl Wrapping<'_> {
    /// Makes the frame for the backend of an untagged frame; any verdict but [`Verdict::Forward`] leaves it as it was.
    #[inline(always)]
    pub(super) fn untagged(self, packet: &mut Packet<'_>) -> Verdict {
        match (self.backend.encapsulation, self.service.keyed) {
            (BackendRow::ENCAPSULATION_GRE_IPV4, false) => self.over_v4::<38>(packet),
            (BackendRow::ENCAPSULATION_GRE_IPV4, true) => self.over_v4::<42>(packet),
            (BackendRow::ENCAPSULATION_GRE_IPV6, false) => self.over_v6::<58>(packet),
            (BackendRow::ENCAPSULATION_GRE_IPV6, true) => self.over_v6::<62>(packet),
            _ => Verdict::PassUnsupported,
        }
    }

    /// Over IPv4, with an outer header of so many bytes, that of Ethernet included.
    #[inline(always)]
    fn over_v4<const LEN: usize>(self, packet: &mut Packet<'_>) -> Verdict {
        let (service, backend) = (self.service, self.backend);
        let total = LEN - ethernet::HEADER_LEN + self.total_length;
        let header: &[u8; OUTER_LEN_V4] = backend.header.first_chunk().unwrap_or(&[0; OUTER_LEN_V4]);
        let Some(room) = room::<LEN>(backend, packet, total) else { return Verdict::PassTooBig };
        // What differs by frame is written over what does not: a processor waits for small writes when it is to read them
        // back as a whole.
        room[..OUTER_LEN_V4].copy_from_slice(header);
        room[OUTER_LEN_V4..].copy_from_slice(&service.gre[..LEN - OUTER_LEN_V4]);
        let low = (self.h & 0xffff) as u16 & self.entropy_mask;
        let total = low_16(total);
        let sum = u32::from(backend.sum) + u32::from(self.dscp_ecn) + u32::from(total) + u32::from(low);
        // At most 3 * 2^16: the first fold leaves one carry at most, the second none.
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        let at = ethernet::HEADER_LEN;
        let source_low = u16::from_be_bytes([header[at + ipv4::SOURCE + 2], header[at + ipv4::SOURCE + 3]]);
        room[at + ipv4::DSCP_ECN] = self.dscp_ecn;
        put(room, at + ipv4::TOTAL_LENGTH, total.to_be_bytes());
        put(room, at + ipv4::CHECKSUM, ((!sum & 0xffff) as u16).to_be_bytes());
        put(room, at + ipv4::SOURCE + 2, (source_low | low).to_be_bytes());
        Verdict::Forward
    }

    /// The same over IPv6.
    #[inline(always)]
    fn over_v6<const LEN: usize>(self, packet: &mut Packet<'_>) -> Verdict {
        let total = LEN - ethernet::HEADER_LEN + self.total_length;
        let Some(room) = room::<LEN>(self.backend, packet, total) else { return Verdict::PassTooBig };
        room[..OUTER_LEN_MAX].copy_from_slice(&self.backend.header);
        room[OUTER_LEN_MAX..].copy_from_slice(&self.service.gre[..LEN - OUTER_LEN_MAX]);
        let label = (self.h & 0xffff_ffff) as u32 & ipv6::LABEL_MASK;
        let first = u32::from(ipv6::VERSION) << 28 | u32::from(self.dscp_ecn) << ipv6::CLASS_SHIFT | label;
        let at = ethernet::HEADER_LEN;
        put(room, at + ipv6::VERSION_CLASS_LABEL, first.to_be_bytes());
        put(room, at + ipv6::PAYLOAD_LENGTH, low_16(total - ipv6::HEADER_LEN).to_be_bytes());
        Verdict::Forward
    }

    /// The same of a tagged one: as the others, and then the tag goes between MACs and EtherType, which make room for it.
    pub(super) fn tagged(self, packet: &mut Packet<'_>) -> Verdict {
        let at = packet.start + ethernet::ETHERTYPE;
        let tag = packet.buffer.get(at..).and_then(|rest| rest.first_chunk::<{ ethernet::TAG_LEN }>());
        let Some(&tag) = tag else { return Verdict::PassNotIp };
        // Without its tag the frame begins four bytes later.
        packet.start += ethernet::TAG_LEN;
        packet.len -= ethernet::TAG_LEN;
        let verdict = self.untagged(packet);
        packet.start -= ethernet::TAG_LEN;
        packet.len += ethernet::TAG_LEN;
        if verdict == Verdict::Forward {
            let (from, start) = (packet.start + ethernet::TAG_LEN, packet.start);
            packet.buffer.copy_within(from..from + ethernet::ETHERTYPE, start);
            put(packet.buffer, start + ethernet::ETHERTYPE, tag);
        }
        verdict
    }
}

/// Makes the frame the outer one: so many bytes up to the untagged packet are its headers, and it ends with the packet.
#[inline(always)]
fn room<'p, const LEN: usize>(
    backend: &BackendPlan,
    packet: &'p mut Packet<'_>,
    total: usize,
) -> Option<&'p mut [u8; LEN]> {
    // A packet has that much room, unless it has been through here before.
    let start = packet.start.checked_sub(LEN - ethernet::HEADER_LEN)?;
    if total > usize::from(backend.mtu) {
        return None;
    }
    packet.start = start;
    packet.len = ethernet::HEADER_LEN + total;
    packet.buffer.get_mut(start..)?.first_chunk_mut()
}

#[inline(always)]
fn put<const N: usize>(bytes: &mut [u8], offset: usize, field: [u8; N]) {
    bytes[offset..offset + N].copy_from_slice(&field);
}
