//! The outer headers, read from the bytes that rewrite makes.

use std::net::IpAddr;

use maglane_spec::limit::SOURCE_ENTROPY_BITS_MAX;
use maglane_spec::row::{BackendRow, DatapathRow, ServiceRow};
use maglane_spec::wire::{ethernet, gre, ipv4, ipv6};
use maglane_sw::stage::parse::Parsed;
use maglane_sw::stage::rewrite::rewrite;
use maglane_table::NO_NEXT_HOP;
use serde::Serialize;

use super::page::{Page, Tone};
use super::parse::addresses;
use super::refusal::mac;
use crate::output::thousands;

/// What leaves, or would if it were not too long.
#[derive(Debug, Serialize)]
pub(super) struct Rewrite {
    /// `gre_ipv4`, `gre_ipv6`, or none when the row's code is not known.
    encapsulation: Option<&'static str>,
    encapsulation_code: u8,
    outer: Option<Outer>,
    /// Length of the outer packet, its header included.
    outer_bytes: Option<usize>,
    mtu: u16,
    fits: Option<bool>,
    /// None when it is left to a machine's neighbour table, and none is at hand.
    next_hop_mac: Option<String>,
    source_mac: String,
}

/// The outer headers.
#[derive(Debug, Serialize)]
struct Outer {
    source: IpAddr,
    /// Low bits of the source that are those of h; IPv4 only.
    source_entropy_bits: Option<u8>,
    destination: IpAddr,
    /// IPv6 only: the low bits of h.
    flow_label: Option<u32>,
    /// Or hop limit.
    ttl: u8,
    dscp: u8,
    ecn: u8,
    gre_protocol: u16,
    gre_key: Option<u32>,
}

impl Rewrite {
    /// Tells a frame's outer headers.
    pub(super) fn new(
        datapath: &DatapathRow,
        service: &ServiceRow,
        backend: &BackendRow,
        parsed: &Parsed,
        h: u64,
        frame: &[u8],
    ) -> Self {
        // With an MTU that nothing exceeds there is always a frame to read, also where the real one is too small.
        let (roomy, mut out) = (BackendRow { mtu: u16::MAX.into(), ..*backend }, Vec::new());
        let made = rewrite(datapath, service, &roomy, parsed, h, frame, &mut out).is_ok();
        // The outer Ethernet header is as long as the inner one: it has the same tag.
        let packet = out.get(parsed.ip_offset..).filter(|_| made);
        let outer = packet.and_then(|packet| Outer::new(datapath, packet));
        let mtu = backend.mtu.value();
        Self {
            encapsulation: match backend.encapsulation {
                BackendRow::ENCAPSULATION_GRE_IPV4 => Some("gre_ipv4"),
                BackendRow::ENCAPSULATION_GRE_IPV6 => Some("gre_ipv6"),
                _ => None,
            },
            encapsulation_code: backend.encapsulation,
            outer,
            outer_bytes: packet.map(<[u8]>::len),
            mtu,
            fits: packet.map(|packet| packet.len() <= usize::from(mtu)),
            next_hop_mac: (backend.next_hop_mac != NO_NEXT_HOP).then(|| mac(&backend.next_hop_mac)),
            source_mac: mac(&datapath.mac),
        }
    }

    /// Writes the stage's lines.
    pub(super) fn tell(&self, page: &mut Page) {
        let (Some(outer), Some(len), Some(fits)) = (&self.outer, self.outer_bytes, self.fits) else {
            let code = self.encapsulation_code;
            page.toned(Tone::Notice, "backend", format!("its encapsulation code {code} is not known to this pipeline"));
            return;
        };
        outer.tell(page);
        let (len, mtu) = (thousands(len), thousands(self.mtu));
        if fits {
            page.line("length", format!("{len} bytes with outer header, MTU {mtu}"));
        } else {
            page.toned(Tone::Notice, "length", format!("{len} bytes with outer header are too big for MTU {mtu}"));
        }
        let next_hop = self.next_hop_mac.as_deref().unwrap_or("as the neighbour table says where this runs");
        page.line("next hop", format!("{next_hop}, from {}", self.source_mac));
    }
}

impl Outer {
    /// Reads an outer packet.
    fn new(datapath: &DatapathRow, packet: &[u8]) -> Option<Self> {
        let ipv6 = *packet.first()? >> 4 == ipv6::VERSION;
        let (source, destination) = addresses(packet, ipv6)?;
        let word = u32::from_be_bytes(*packet.first_chunk()?);
        let (header_len, ttl, class) = if ipv6 {
            let [class, ..] = (word << 4).to_be_bytes();
            (ipv6::HEADER_LEN, ipv6::HOP_LIMIT, class)
        } else {
            (ipv4::HEADER_LEN, ipv4::TTL, *packet.get(ipv4::DSCP_ECN)?)
        };
        let [flags_high, flags_low, protocol_high, protocol_low] = *packet.get(header_len..)?.first_chunk()?;
        let keyed = u16::from_be_bytes([flags_high, flags_low]) & gre::FLAG_KEY != 0;
        let key = packet.get(header_len + gre::HEADER_LEN..)?.first_chunk().copied().map(u32::from_be_bytes);
        Some(Self {
            source,
            source_entropy_bits: (!ipv6).then(|| datapath.source_entropy_bits.min(SOURCE_ENTROPY_BITS_MAX)),
            destination,
            flow_label: ipv6.then_some(word & ipv6::LABEL_MASK),
            ttl: *packet.get(ttl)?,
            dscp: class >> 2,
            ecn: class & 3,
            gre_protocol: u16::from_be_bytes([protocol_high, protocol_low]),
            gre_key: key.filter(|_| keyed),
        })
    }

    fn tell(&self, page: &mut Page) {
        let Self { source, destination, ttl, dscp, ecn, .. } = self;
        page.line("outer", format!("{source} to {destination}, TTL {ttl}, DSCP {dscp}, ECN {ecn}"));
        match (self.source_entropy_bits, self.flow_label) {
            (Some(0), _) => page.line("source", "as configured: no bits of h in it"),
            (Some(bits), _) => page.line("source", format!("its low {bits} bits are those of h")),
            (None, Some(label)) => page.line("flow label", format!("0x{label:05x}, the low 20 bits of h")),
            (None, None) => {}
        }
        let inner = if self.gre_protocol == ethernet::ETHERTYPE_IPV6 { "ipv6" } else { "ipv4" };
        let key = self.gre_key.map_or_else(|| "no key".to_owned(), |key| format!("key {key} (0x{key:08x})"));
        page.line("GRE", format!("protocol {:#06x} ({inner}), {key}", self.gre_protocol));
    }
}
