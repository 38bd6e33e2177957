//! Why parse ended a frame's way: the check, the value that it failed on, and the rule.
//!
//! Parse says the verdict only. What is here derives the reason from the verdict and the bytes; it never decides one.

use std::net::IpAddr;

use maglane_spec::limit::FRAME_LEN_MAX;
use maglane_spec::row::DatapathRow;
use maglane_spec::wire::{ethernet, icmp, ipv4, ipv6, transport};
use maglane_spec::{Egress, Verdict};
use maglane_sw::stage::ones_complement_sum;
use serde::Serialize;

use super::page::{Page, Tone};
use super::parse::addresses;
use crate::output::thousands;

/// Why a frame went no further than parse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Refusal {
    /// Row of the table in docs/wire-contract.md.
    check: u8,
    field: &'static str,
    value: String,
    rule: String,
    /// Addresses of the packet, if the frame was taken for one.
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    /// To the host.
    #[serde(skip)]
    passed: bool,
}

/// A check, the field, its value, and what is wrong with it: together a sentence.
type Reason = (u8, &'static str, String, String);

impl Refusal {
    /// The reason for a verdict of parse on a frame. Without a datapath row no tables are loaded.
    pub(super) fn new(verdict: Verdict, datapath: Option<&DatapathRow>, frame: &[u8]) -> Self {
        let packet = Packet::new(frame);
        let (check, field, value, rule) = match verdict {
            Verdict::DropTooLong => {
                (1, "length", bytes(frame.len()), format!("is more than {}", thousands(FRAME_LEN_MAX)))
            }
            Verdict::PassBypass => {
                (2, "tables", "none".to_owned(), "is loaded: the pipeline does not serve".to_owned())
            }
            Verdict::PassNotIp => packet.not_ip(frame),
            Verdict::PassOtherMac => other_mac(datapath, frame),
            Verdict::DropIpTruncated => truncated(6, "length behind Ethernet", packet.bytes.len(), packet.header_len()),
            Verdict::DropIpVersion => packet.version(),
            Verdict::DropIpHeaderLength => packet.header_length(),
            Verdict::DropIpLength => packet.length(),
            Verdict::PassIpv4Options => {
                let options = packet.ihl_len().saturating_sub(ipv4::HEADER_LEN);
                let rule = format!("says that {} of options follow", bytes(options));
                (10, "IHL", packet.ihl().to_string(), rule)
            }
            Verdict::DropIpv4Checksum => packet.checksum(),
            Verdict::PassProtocol => packet.protocol(),
            Verdict::PassFragment => packet.fragment(),
            Verdict::PassIcmp => packet.icmp(),
            Verdict::DropL4Truncated => packet.l4_truncated(),
            Verdict::DropTcpOffset => packet.tcp_offset(),
            // Not parse's; nobody asks.
            _ => (0, "verdict", verdict.name().to_owned(), "is not one of parse".to_owned()),
        };
        // From here on the fixed header is there and of its version.
        let addresses = if check >= 8 { addresses(packet.bytes, packet.ipv6) } else { None };
        let (source, destination) = addresses.unzip();
        Self { check, field, value, rule, source, destination, passed: verdict.egress() == Egress::Host }
    }

    /// Row of the table in docs/wire-contract.md.
    pub(super) fn check(&self) -> u8 {
        self.check
    }

    /// Writes the stage's lines.
    pub(super) fn tell(&self, page: &mut Page) {
        if let (Some(source), Some(destination)) = (self.source, self.destination) {
            page.line("packet", format!("{source} to {destination}"));
        }
        // What the host gets has not ended, and may well be served there.
        let (tone, label) = if self.passed { (Tone::Notice, "passed on") } else { (Tone::Bad, "ends here") };
        page.toned(tone, label, format!("{} {} {}", self.field, self.value, self.rule));
    }
}

/// A frame as far as its EtherType says where a packet is, each field 0 where the frame has ended.
struct Packet<'a> {
    tagged: bool,
    ethertype: u16,
    ipv6: bool,
    bytes: &'a [u8],
}

impl<'a> Packet<'a> {
    fn new(frame: &'a [u8]) -> Self {
        let tagged = u16_at(frame, ethernet::ETHERTYPE) == ethernet::TPID;
        let tag_len = if tagged { ethernet::TAG_LEN } else { 0 };
        let ethertype = u16_at(frame, ethernet::ETHERTYPE + tag_len);
        let bytes = frame.get(ethernet::HEADER_LEN + tag_len..).unwrap_or_default();
        Self { tagged, ethertype, ipv6: ethertype == ethernet::ETHERTYPE_IPV6, bytes }
    }

    fn not_ip(&self, frame: &[u8]) -> Reason {
        let (header_len, tag) = if self.tagged {
            (ethernet::HEADER_LEN + ethernet::TAG_LEN, " with a tag")
        } else {
            (ethernet::HEADER_LEN, "")
        };
        if frame.len() < header_len {
            let rule = format!("is less than the {header_len} of an Ethernet header{tag}");
            return (3, "length", bytes(frame.len()), rule);
        }
        let name = match self.ethertype {
            0x0806 => " (ARP)",
            0x8035 => " (RARP)",
            0x8100 => " (a second 802.1Q tag)",
            0x8847 | 0x8848 => " (MPLS)",
            0x8863 | 0x8864 => " (PPPoE)",
            0x88a8 => " (802.1ad tag)",
            0x88cc => " (LLDP)",
            0..=0x05ff => " (a length: no EtherType)",
            _ => "",
        };
        let behind = if self.tagged { "behind the tag " } else { "" };
        let rule = format!("{behind}is neither 0x0800 (IPv4) nor 0x86dd (IPv6)");
        (5, "EtherType", format!("{:#06x}{name}", self.ethertype), rule)
    }

    /// Bytes of the fixed header.
    fn header_len(&self) -> usize {
        if self.ipv6 { ipv6::HEADER_LEN } else { ipv4::HEADER_LEN }
    }

    fn ihl(&self) -> u8 {
        u8_at(self.bytes, ipv4::VERSION_IHL) & 0xf
    }

    /// Bytes that IHL stands for.
    fn ihl_len(&self) -> usize {
        usize::from(self.ihl()) * 4
    }

    /// The IP length: with its header, whatever the family.
    fn total_length(&self) -> usize {
        if self.ipv6 {
            ipv6::HEADER_LEN + usize::from(u16_at(self.bytes, ipv6::PAYLOAD_LENGTH))
        } else {
            usize::from(u16_at(self.bytes, ipv4::TOTAL_LENGTH))
        }
    }

    fn transport_protocol(&self) -> u8 {
        u8_at(self.bytes, if self.ipv6 { ipv6::NEXT_HEADER } else { ipv4::PROTOCOL })
    }

    /// What is behind the fixed header, inside the IP length.
    fn payload(&self) -> &'a [u8] {
        let end = self.total_length().min(self.bytes.len());
        self.bytes.get(self.header_len()..end).unwrap_or_default()
    }

    fn version(&self) -> Reason {
        let version = u8_at(self.bytes, 0) >> 4;
        (7, "version", version.to_string(), format!("contradicts EtherType {:#06x}", self.ethertype))
    }

    fn header_length(&self) -> Reason {
        let least = ipv4::VERSION_IHL_PLAIN & 0xf;
        let rule = if self.ihl() < least {
            format!("is less than {least}")
        } else {
            let lengths = [self.ihl_len(), self.total_length()].map(thousands);
            format!("makes a header of {} bytes, more than the total length of {}", lengths[0], lengths[1])
        };
        (8, "IHL", self.ihl().to_string(), rule)
    }

    fn length(&self) -> Reason {
        let left = thousands(self.bytes.len());
        if self.ipv6 {
            let payload = usize::from(u16_at(self.bytes, ipv6::PAYLOAD_LENGTH));
            let total = thousands(self.total_length());
            let rule = format!("makes a packet of {total}, but {left} are left in the frame");
            return (9, "payload length", bytes(payload), rule);
        }
        (9, "total length", bytes(self.total_length()), format!("is more than the {left} that are left in the frame"))
    }

    fn checksum(&self) -> Reason {
        let mut header = [0; ipv4::HEADER_LEN];
        let len = self.bytes.len().min(header.len());
        header[..len].copy_from_slice(&self.bytes[..len]);
        let sum = ones_complement_sum(&header);
        let found = u16_at(&header, ipv4::CHECKSUM);
        header[ipv4::CHECKSUM..ipv4::CHECKSUM + 2].fill(0);
        let right = !ones_complement_sum(&header);
        let rule = format!("is wrong: the header sums to {sum:#06x}, not 0xffff; {right:#06x} would be right");
        (11, "header checksum", format!("{found:#06x}"), rule)
    }

    fn protocol(&self) -> Reason {
        let number = self.transport_protocol();
        let value = format!("{number}{}", protocol_name(number));
        if self.ipv6 {
            let rule = "is none of 6 (TCP), 17 (UDP), 58 (ICMPv6); extension headers are not walked";
            return (12, "next header", value, rule.to_owned());
        }
        (12, "protocol", value, "is none of 1 (ICMP), 6 (TCP), 17 (UDP)".to_owned())
    }

    fn fragment(&self) -> Reason {
        if self.ipv6 {
            return (13, "next header", "44".to_owned(), "says that this is a fragment".to_owned());
        }
        let field = u16_at(self.bytes, ipv4::FRAGMENT);
        let offset = field & ipv4::FRAGMENT_OFFSET;
        // Besides the offset only the flag for more fragments is in this mask.
        let more = field & ipv4::FRAGMENT_MORE_OR_OFFSET & !ipv4::FRAGMENT_OFFSET != 0;
        let rule = match (offset, more) {
            (0, _) => "with more fragments to come says that this is the first",
            (_, true) => "with more fragments to come says that this is a middle one",
            (_, false) => "with no more to come says that this is the last fragment",
        };
        (13, "fragment offset", format!("{offset} ({})", bytes(usize::from(offset) * 8)), rule.to_owned())
    }

    fn icmp(&self) -> Reason {
        let message = self.payload();
        let (kind, code) = (u8_at(message, icmp::TYPE), u8_at(message, icmp::TYPE + 1));
        let name = if self.ipv6 { "ICMPv6 type" } else { "ICMP type" };
        let value = format!("{kind}, code {code}{}", icmp_name(self.ipv6, kind));
        let rule = self.not_steered(message, kind);
        if message.is_empty() {
            return (14, name, "none".to_owned(), rule);
        }
        (14, name, value, rule)
    }

    /// Why an ICMP message is not a steered error, in the order of the contract's page.
    fn not_steered(&self, message: &[u8], kind: u8) -> String {
        let [least, greatest] = icmp::V6_ERROR_TYPES;
        if self.ipv6 && !(least..=greatest).contains(&kind) {
            return format!("is no error to be steered: those are {least} to {greatest}");
        }
        if !self.ipv6 && !icmp::ERROR_TYPES.contains(&kind) {
            return "is no error to be steered: those are 3, 11, 12".to_owned();
        }
        let (len, wanted) = (message.len(), icmp::HEADER_LEN + self.header_len() + icmp::QUOTED_TRANSPORT_LEN);
        if len < wanted {
            return format!("is an error of {}, too short: it takes {wanted} to quote a flow", bytes(len));
        }
        let quote = &message[icmp::HEADER_LEN..];
        let first = u8_at(quote, 0);
        if first >> 4 != if self.ipv6 { ipv6::VERSION } else { ipv4::VERSION_IHL_PLAIN >> 4 } {
            return format!("is an error that quotes a packet of version {}", first >> 4);
        }
        if !self.ipv6 && first != ipv4::VERSION_IHL_PLAIN {
            return format!("is an error that quotes a packet with IHL {}", first & 0xf);
        }
        let offset = u16_at(quote, ipv4::FRAGMENT) & ipv4::FRAGMENT_OFFSET;
        if !self.ipv6 && offset != 0 {
            return format!("is an error that quotes a fragment, of offset {offset}: it has no ports");
        }
        let protocol = u8_at(quote, if self.ipv6 { ipv6::NEXT_HEADER } else { ipv4::PROTOCOL });
        if !matches!(protocol, ipv4::PROTOCOL_TCP | ipv4::PROTOCOL_UDP) {
            return format!("is an error that quotes protocol {protocol}{}", protocol_name(protocol));
        }
        match (addresses(quote, self.ipv6), addresses(self.bytes, self.ipv6)) {
            (Some((source, _)), Some((_, destination))) => {
                format!("is an error that came to {destination}, but quotes a packet from {source}")
            }
            _ => "is an error whose addresses are cut off".to_owned(),
        }
    }

    fn l4_truncated(&self) -> Reason {
        let is_tcp = self.transport_protocol() == ipv4::PROTOCOL_TCP;
        let wanted = if is_tcp { transport::TCP_HEADER_LEN } else { transport::UDP_HEADER_LEN };
        let field = if is_tcp { "length of TCP" } else { "length of UDP" };
        truncated(15, field, self.payload().len(), wanted)
    }

    fn tcp_offset(&self) -> Reason {
        let segment = self.payload();
        let offset = u8_at(segment, transport::TCP_DATA_OFFSET) >> 4;
        let (header_len, least) = (usize::from(offset) * 4, transport::TCP_HEADER_LEN / 4);
        let rule = if usize::from(offset) < least {
            format!("is less than {least}")
        } else {
            format!("makes a header of {header_len} bytes, more than the {} of the segment", thousands(segment.len()))
        };
        (16, "TCP data offset", offset.to_string(), rule)
    }
}

fn other_mac(datapath: Option<&DatapathRow>, frame: &[u8]) -> Reason {
    let found = frame.get(ethernet::DESTINATION..ethernet::SOURCE).unwrap_or_default();
    let own = datapath.map_or_else(String::new, |datapath| format!(", {}", mac(&datapath.mac)));
    let kind = match found {
        [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] => " (broadcast)",
        [first, ..] if first & 1 != 0 => " (a group)",
        _ => "",
    };
    (4, "destination MAC", format!("{}{kind}", mac(found)), format!("is not ours{own}, and check_mac is on"))
}

fn truncated(check: u8, field: &'static str, len: usize, wanted: usize) -> Reason {
    (check, field, bytes(len), format!("is less than the {wanted} of a header"))
}

/// A MAC address as configurations write it.
pub(super) fn mac(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn bytes(count: usize) -> String {
    crate::output::counted(count, "byte")
}

/// The name of a protocol that is often met, in parentheses.
fn protocol_name(number: u8) -> &'static str {
    match number {
        0 => " (hop-by-hop options)",
        1 => " (ICMP)",
        2 => " (IGMP)",
        4 => " (IPv4)",
        6 => " (TCP)",
        17 => " (UDP)",
        41 => " (IPv6)",
        43 => " (routing header)",
        44 => " (fragment)",
        47 => " (GRE)",
        50 => " (ESP)",
        51 => " (AH)",
        58 => " (ICMPv6)",
        59 => " (nothing follows)",
        60 => " (destination options)",
        89 => " (OSPF)",
        112 => " (VRRP)",
        132 => " (SCTP)",
        _ => "",
    }
}

/// The name of a message that is often met, in parentheses.
fn icmp_name(ipv6: bool, kind: u8) -> &'static str {
    match (ipv6, kind) {
        (false, 0) | (true, 129) => " (echo reply)",
        (false, 8) | (true, 128) => " (echo request)",
        (false, 3) | (true, 1) => " (destination unreachable)",
        (false, 5) | (true, 137) => " (redirect)",
        (false, 11) | (true, 3) => " (time exceeded)",
        (false, 12) | (true, 4) => " (parameter problem)",
        (true, 2) => " (packet too big)",
        (true, 133) => " (router solicitation)",
        (true, 134) => " (router advertisement)",
        (true, 135) => " (neighbour solicitation)",
        (true, 136) => " (neighbour advertisement)",
        (true, 143) => " (multicast listener report)",
        _ => "",
    }
}

/// A byte, 0 where there is none.
fn u8_at(bytes: &[u8], offset: usize) -> u8 {
    bytes.get(offset).copied().unwrap_or_default()
}

/// A 16-bit field in network order, 0 where it is not whole.
fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    bytes.get(offset..).and_then(|bytes| bytes.first_chunk()).copied().map_or(0, u16::from_be_bytes)
}

#[cfg(test)]
mod tests;
