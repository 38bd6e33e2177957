//! What parse read in a frame.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use maglane_spec::Verdict;
use maglane_spec::row::DatapathRow;
use maglane_spec::wire::{icmp, ipv4, ipv6};
use maglane_sw::stage::parse::{Address, Parsed, Tuple};
use serde::Serialize;

use super::page::{Page, Tone};
use super::refusal::Refusal;
use crate::output::{counted, thousands};

/// What parse read, or why it read no further.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Parse {
    Read(Headers),
    Refused(Refusal),
}

/// What the headers say.
#[derive(Debug, Serialize)]
pub(super) struct Headers {
    tag: Option<Tag>,
    /// ipv4, ipv6
    family: &'static str,
    dscp: u8,
    ecn: u8,
    /// The IP packet's length.
    packet_bytes: u16,
    /// Ethernet padding behind it.
    padding_bytes: usize,
    /// The flow that the packet is of, or about.
    flow: Flow,
    /// syn, fin, rst: those that are set.
    flags: Vec<&'static str>,
    /// The packet is an error about a flow, and goes where the flow goes.
    steered: Option<Steered>,
}

/// An 802.1Q tag.
#[derive(Debug, Serialize)]
struct Tag {
    vlan: u16,
    priority: u16,
    drop_eligible: bool,
}

/// A 5-tuple.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Flow {
    pub(super) protocol: &'static str,
    pub(super) source: IpAddr,
    source_port: u16,
    pub(super) destination: IpAddr,
    destination_port: u16,
}

/// An ICMP error about a flow.
#[derive(Debug, Serialize)]
struct Steered {
    icmp_type: u8,
    icmp_code: u8,
    meaning: &'static str,
    /// Who sends it.
    source: IpAddr,
    /// The flow as the quoted packet has it, from the service to the client; `flow` is this turned round.
    quoted: Flow,
}

impl Parse {
    /// Tells what parse made of a frame.
    pub(super) fn new(datapath: &DatapathRow, frame: &[u8], parsed: Result<Parsed, Verdict>) -> Self {
        match parsed {
            Ok(parsed) => Self::Read(Headers::new(frame, &parsed)),
            Err(verdict) => Self::Refused(Refusal::new(verdict, Some(datapath), frame)),
        }
    }

    /// The check that refused the frame.
    pub(super) fn check(&self) -> Option<u8> {
        match self {
            Self::Read(_) => None,
            Self::Refused(refusal) => Some(refusal.check()),
        }
    }

    /// Writes the stage's lines.
    pub(super) fn tell(&self, page: &mut Page) {
        match self {
            Self::Read(headers) => headers.tell(page),
            Self::Refused(refusal) => refusal.tell(page),
        }
    }
}

impl Headers {
    fn new(frame: &[u8], parsed: &Parsed) -> Self {
        let packet = frame.get(parsed.ip_offset..).unwrap_or_default();
        let flags = [("syn", parsed.flags.syn), ("fin", parsed.flags.fin), ("rst", parsed.flags.rst)];
        Self {
            tag: parsed.tag.map(|[_, _, high, low]| Tag::new(u16::from_be_bytes([high, low]))),
            family: family(parsed.ipv6),
            dscp: parsed.dscp_ecn >> 2,
            ecn: parsed.dscp_ecn & 3,
            packet_bytes: parsed.total_length,
            padding_bytes: packet.len().saturating_sub(usize::from(parsed.total_length)),
            flow: Flow::new(&parsed.tuple, parsed.ipv6),
            flags: flags.into_iter().filter(|(_, set)| *set).map(|(name, _)| name).collect(),
            steered: parsed.steered.then(|| Steered::new(packet, parsed)),
        }
    }

    fn tell(&self, page: &mut Page) {
        match &self.tag {
            None => page.line("tag", "none"),
            Some(Tag { vlan, priority, drop_eligible }) => {
                let eligible = if *drop_eligible { ", drop eligible" } else { "" };
                page.line("tag", format!("802.1Q, VLAN {vlan}, priority {priority}{eligible}"));
            }
        }
        let padding = match self.padding_bytes {
            0 => String::new(),
            bytes => format!(", then {} of padding", counted(bytes, "byte")),
        };
        let Self { family, dscp, ecn, .. } = self;
        let length = thousands(self.packet_bytes);
        page.line("packet", format!("{family}, {length} bytes{padding}, DSCP {dscp}, ECN {ecn}"));
        if let Some(Steered { icmp_type, icmp_code, meaning, source, quoted }) = &self.steered {
            let what = format!("type {icmp_type}, code {icmp_code}: {meaning}, from {source}");
            page.toned(Tone::Notice, "ICMP error", what);
            page.line("quoted", format!("{quoted}"));
            page.line("flow", format!("{} (the quoted one turned round)", self.flow));
            return;
        }
        page.line("flow", self.flow.to_string());
        match &self.flags[..] {
            // UDP has none.
            [] if self.flow.protocol == "udp" => {}
            [] => page.line("flags", "none of SYN, FIN, RST"),
            flags => page.line("flags", flags.join(", ").to_uppercase()),
        }
    }
}

impl Tag {
    fn new(tci: u16) -> Self {
        Self { vlan: tci & 0xfff, priority: tci >> 13, drop_eligible: tci & 0x1000 != 0 }
    }
}

impl Flow {
    /// A tuple of a family.
    pub(super) fn new(tuple: &Tuple, ipv6: bool) -> Self {
        Self {
            protocol: protocol(tuple.protocol),
            source: address(&tuple.source, ipv6),
            source_port: tuple.source_port,
            destination: address(&tuple.destination, ipv6),
            destination_port: tuple.destination_port,
        }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = SocketAddr::new(self.source, self.source_port);
        let destination = SocketAddr::new(self.destination, self.destination_port);
        write!(f, "{} {source} to {destination}", self.protocol)
    }
}

impl Steered {
    fn new(packet: &[u8], parsed: &Parsed) -> Self {
        let header_len = if parsed.ipv6 { ipv6::HEADER_LEN } else { ipv4::HEADER_LEN };
        let byte = |offset: usize| packet.get(header_len + icmp::TYPE + offset).copied().unwrap_or_default();
        let Tuple { source, destination, source_port, destination_port, protocol } = parsed.tuple;
        let quoted = Tuple {
            source: destination,
            destination: source,
            source_port: destination_port,
            destination_port: source_port,
            protocol,
        };
        Self {
            icmp_type: byte(0),
            icmp_code: byte(1),
            meaning: icmp_error(parsed.ipv6, byte(0)),
            source: addresses(packet, parsed.ipv6).map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |(source, _)| source),
            quoted: Flow::new(&quoted, parsed.ipv6),
        }
    }
}

/// A family's name.
pub(super) fn family(ipv6: bool) -> &'static str {
    if ipv6 { "ipv6" } else { "ipv4" }
}

/// An address of a family.
pub(super) fn address(bytes: &Address, ipv6: bool) -> IpAddr {
    if ipv6 {
        return Ipv6Addr::from(*bytes).into();
    }
    let [a, b, c, d, ..] = *bytes;
    Ipv4Addr::new(a, b, c, d).into()
}

/// Source and destination of a packet, if they are there.
pub(super) fn addresses(packet: &[u8], ipv6: bool) -> Option<(IpAddr, IpAddr)> {
    let at = |offset: usize, len: usize| {
        let mut bytes = [0; 16];
        bytes[..len].copy_from_slice(packet.get(offset..offset + len)?);
        Some(address(&bytes, ipv6))
    };
    if ipv6 {
        return Some((at(ipv6::SOURCE, 16)?, at(ipv6::DESTINATION, 16)?));
    }
    Some((at(ipv4::SOURCE, 4)?, at(ipv4::DESTINATION, 4)?))
}

/// The name of a protocol that services have.
pub(super) fn protocol(number: u8) -> &'static str {
    if number == ipv4::PROTOCOL_TCP { "tcp" } else { "udp" }
}

/// What an error that is steered says.
///
/// # Source
/// RFC 792; RFC 4443, section 3.
fn icmp_error(ipv6: bool, kind: u8) -> &'static str {
    match (ipv6, kind) {
        (false, 3) | (true, 1) => "destination unreachable",
        (true, 2) => "packet too big",
        (false, 11) | (true, 3) => "time exceeded",
        _ => "parameter problem",
    }
}
