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
    /// Bytes of the packet in the frame: below 2^16.
    pub(super) total_length: u64,
    /// Below 2^8.
    pub(super) dscp_ecn: u64,
}

impl Wrapping<'_> {
    /// Makes the frame for the backend of an untagged frame; or leaves it as it was, and [`Self::refusal`] says why.
    #[inline(always)]
    pub(super) fn untagged(self, packet: &mut Packet<'_>) -> bool {
        match (self.backend.encapsulation, self.service.keyed) {
            (BackendRow::ENCAPSULATION_GRE_IPV4, false) => self.over_v4::<38>(packet),
            (BackendRow::ENCAPSULATION_GRE_IPV4, true) => self.over_v4::<42>(packet),
            (BackendRow::ENCAPSULATION_GRE_IPV6, false) => self.over_v6::<58>(packet),
            (BackendRow::ENCAPSULATION_GRE_IPV6, true) => self.over_v6::<62>(packet),
            _ => false,
        }
    }

    /// The verdict of a frame to a backend that could not be made.
    pub(super) const fn refusal(backend: &BackendPlan) -> Verdict {
        match backend.encapsulation {
            BackendRow::ENCAPSULATION_GRE_IPV4 | BackendRow::ENCAPSULATION_GRE_IPV6 => Verdict::PassTooBig,
            _ => Verdict::PassUnsupported,
        }
    }

    /// Over IPv4, with an outer header of so many bytes, that of Ethernet included.
    #[inline(always)]
    fn over_v4<const LEN: usize>(self, packet: &mut Packet<'_>) -> bool {
        let (service, backend) = (self.service, self.backend);
        let total = LEN - ethernet::HEADER_LEN + (self.total_length & 0xffff) as usize;
        if total > usize::from(backend.mtu) {
            return false;
        }
        let Some(room) = packet.grow::<LEN>(ethernet::HEADER_LEN, ethernet::HEADER_LEN + total) else {
            return false;
        };
        let low = (self.h & 0xffff) as u16 & self.entropy_mask;
        let total = low_16(total);
        let sum = u32::from(backend.sum) + (self.dscp_ecn & 0xff) as u32 + u32::from(total) + u32::from(low);
        // At most 3 * 2^16: the first fold leaves one carry at most, the second none.
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        let checksum = (!sum & 0xffff) as u16;
        // In words, the first byte lowest: what differs by frame is zero in the backend's header.
        const FIRST: usize = ethernet::HEADER_LEN;
        const SECOND: usize = FIRST + ipv4::TTL;
        const THIRD: usize = SECOND + 8;
        let header: &[u8; OUTER_LEN_V4] = backend.header.first_chunk().unwrap_or(&[0; OUTER_LEN_V4]);
        let differing =
            self.dscp_ecn << (8 * ipv4::DSCP_ECN) | u64::from(total.swap_bytes()) << (8 * ipv4::TOTAL_LENGTH);
        put(room, 0, *chunk::<16>(header, 0));
        put(room, FIRST, (u64::from_le_bytes(*chunk(header, FIRST)) | differing).to_le_bytes());
        let differing = u64::from(checksum.swap_bytes()) << (8 * (ipv4::CHECKSUM - ipv4::TTL))
            | u64::from(low.swap_bytes()) << (8 * (ipv4::SOURCE + 2 - ipv4::TTL));
        put(room, SECOND, (u64::from_le_bytes(*chunk(header, SECOND)) | differing).to_le_bytes());
        put(room, THIRD, *chunk::<4>(header, THIRD));
        room[OUTER_LEN_V4..].copy_from_slice(&service.gre[..LEN - OUTER_LEN_V4]);
        true
    }

    /// The same over IPv6.
    #[inline(always)]
    fn over_v6<const LEN: usize>(self, packet: &mut Packet<'_>) -> bool {
        let total = LEN - ethernet::HEADER_LEN + (self.total_length & 0xffff) as usize;
        if total > usize::from(self.backend.mtu) {
            return false;
        }
        let Some(room) = packet.grow::<LEN>(ethernet::HEADER_LEN, ethernet::HEADER_LEN + total) else {
            return false;
        };
        room[..OUTER_LEN_MAX].copy_from_slice(&self.backend.header);
        room[OUTER_LEN_MAX..].copy_from_slice(&self.service.gre[..LEN - OUTER_LEN_MAX]);
        let label = (self.h & 0xffff_ffff) as u32 & ipv6::LABEL_MASK;
        let first = u32::from(ipv6::VERSION) << 28 | ((self.dscp_ecn & 0xff) as u32) << ipv6::CLASS_SHIFT | label;
        let at = ethernet::HEADER_LEN;
        put(room, at + ipv6::VERSION_CLASS_LABEL, first.to_be_bytes());
        put(room, at + ipv6::PAYLOAD_LENGTH, low_16(total - ipv6::HEADER_LEN).to_be_bytes());
        true
    }

    /// The same of a tagged one: as the others, and then the tag goes between MACs and EtherType, which make room for it.
    pub(super) fn tagged(self, packet: &mut Packet<'_>) -> bool {
        const TAG: i32 = 4;
        const { assert!(ethernet::TAG_LEN == 4) };
        let at = packet.start() + ethernet::ETHERTYPE;
        let tag = packet.buffer.get(at..).and_then(|rest| rest.first_chunk::<{ ethernet::TAG_LEN }>());
        let Some(&tag) = tag else { return false };
        // Without its tag the frame begins four bytes later.
        packet.shift(TAG);
        let is_made = self.untagged(packet);
        packet.shift(-TAG);
        if is_made {
            let start = packet.start();
            let from = start + ethernet::TAG_LEN;
            packet.buffer.copy_within(from..from + ethernet::ETHERTYPE, start);
            put(packet.buffer, start + ethernet::ETHERTYPE, tag);
        }
        is_made
    }
}

/// Bytes of a header from an offset on, which are there.
#[inline(always)]
fn chunk<const N: usize>(header: &[u8; OUTER_LEN_V4], offset: usize) -> &[u8; N] {
    header[offset..].first_chunk().unwrap_or(&[0; N])
}

#[inline(always)]
fn put<const N: usize>(bytes: &mut [u8], offset: usize, field: [u8; N]) {
    bytes[offset..offset + N].copy_from_slice(&field);
}
