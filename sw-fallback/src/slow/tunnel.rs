//! The way to a backend: the outer headers are the pipeline's own, and a packet that does not fit is cut or not.
//!
//! # Source
//! RFC 791, section 3.2 (fragmentation); RFC 2473, section 7 (tunnelled packets that are too big); RFC 4459, section 3.2.

use maglane_spec::row::{BackendRow, DatapathRow, ServiceRow};
use maglane_spec::wire::{gre, ipv4, ipv6};

use super::frames::Frames;
use super::packet::{IpPacket, set_v4};
use crate::pipeline::Trace;
use crate::stage::parse::Parsed;
use crate::stage::rewrite::rewrite;

/// What select said of a packet: ids of service and backend, and the flow hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) service: u16,
    pub(super) backend: u16,
    pub(super) hash: u64,
}

/// A place with its rows in the tables that serve.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tunnel<'a> {
    pub(super) datapath: &'a DatapathRow,
    pub(super) service: &'a ServiceRow,
    pub(super) backend: &'a BackendRow,
    pub(super) hash: u64,
}

/// How a packet goes through a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// As it is.
    Whole,
    /// In pieces of so many bytes of payload, a multiple of eight; the last may be shorter.
    Cut(usize),
    /// Not; packets up to so many bytes would.
    Answer(u16),
    /// Not, and there is no size to ask for.
    Never,
}

impl Place {
    pub(super) const fn of(trace: &Trace) -> Self {
        Self { service: trace.service, backend: trace.backend, hash: trace.hash }
    }
}

impl Tunnel<'_> {
    /// How a packet goes through.
    pub(super) fn fit(&self, packet: &IpPacket<'_>) -> Fit {
        let Some(room) = self.room() else { return Fit::Never };
        let len = usize::from(packet.total_length);
        if len <= room {
            return Fit::Whole;
        }
        let mtu = |room| u16::try_from(room).map_or(Fit::Never, Fit::Answer);
        if packet.ipv6 {
            // Sources need not send less than the least MTU (RFC 8200, section 5), and are never asked to (RFC 2473, section
            // 7.1): what is not longer does not get through a tunnel that is narrower than IPv6 allows.
            return if len > ipv6::MTU_MIN { mtu(room.max(ipv6::MTU_MIN)) } else { Fit::Never };
        }
        let unit = room.saturating_sub(ipv4::HEADER_LEN) / ipv4::FRAGMENT_UNIT * ipv4::FRAGMENT_UNIT;
        // Less than every IPv4 module forwards uncut is no size (RFC 791, section 3.2).
        match room {
            ..PIECE_LEN_MIN => Fit::Never,
            _ if packet.dont_fragment => mtu(room),
            _ => Fit::Cut(unit),
        }
    }

    /// The frame of a packet that fits.
    pub(super) fn wrap(&self, packet: &IpPacket<'_>, frames: &mut Frames) {
        self.write(&packet.parsed(), packet.frame, frames);
    }

    /// The frames of an IPv4 packet in pieces.
    pub(super) fn cut(&self, packet: &IpPacket<'_>, unit: usize, frames: &mut Frames) {
        let headers_len = packet.ip_offset.saturating_add(ipv4::HEADER_LEN);
        let Some(headers) = packet.frame.get(..headers_len) else { return };
        let mut piece = Vec::with_capacity(headers_len.saturating_add(unit));
        let mut rest = packet.payload;
        let mut offset = packet.offset;
        while !rest.is_empty() {
            let (payload, after) = rest.split_at(unit.clamp(ipv4::FRAGMENT_UNIT, usize::MAX).min(rest.len()));
            let is_last = after.is_empty() && !packet.more;
            piece.clear();
            piece.extend_from_slice(headers);
            piece.extend_from_slice(payload);
            // Both fit: they are less than those of the packet.
            let total_length = u16::try_from(ipv4::HEADER_LEN.saturating_add(payload.len())).unwrap_or(u16::MAX);
            let units = u16::try_from(offset / ipv4::FRAGMENT_UNIT).unwrap_or(u16::MAX) & ipv4::FRAGMENT_OFFSET;
            if let Some(header) = piece.get_mut(packet.ip_offset..) {
                set_v4(header, total_length, units | if is_last { 0 } else { ipv4::FRAGMENT_MORE });
            }
            self.write(&Parsed { total_length, ..packet.parsed() }, &piece, frames);
            offset = offset.saturating_add(payload.len());
            rest = after;
        }
    }

    /// Bytes of inner packet that get through; none when the encapsulation is not known.
    fn room(&self) -> Option<usize> {
        let outer = match self.backend.encapsulation {
            BackendRow::ENCAPSULATION_GRE_IPV4 => ipv4::HEADER_LEN,
            BackendRow::ENCAPSULATION_GRE_IPV6 => ipv6::HEADER_LEN,
            _ => return None,
        };
        let keyed = self.service.flags & ServiceRow::FLAG_GRE_KEY != 0;
        let headers = outer + gre::HEADER_LEN + if keyed { gre::KEY_LEN } else { 0 };
        Some(usize::from(self.backend.mtu.value()).saturating_sub(headers))
    }

    fn write(&self, parsed: &Parsed, frame: &[u8], frames: &mut Frames) {
        frames.add(|out| {
            // It fits, and nothing else can be wrong with it.
            let written = rewrite(self.datapath, self.service, self.backend, parsed, self.hash, frame, out);
            debug_assert_eq!(written, Ok(()));
        });
    }
}

/// What every IPv4 module forwards without cutting it, in bytes (RFC 791, section 3.2).
const PIECE_LEN_MIN: usize = 68;
