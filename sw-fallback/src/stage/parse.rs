//! Parse: reads the headers and decides what is not for the balancer.
//!
//! The checks run in the order written, so that a frame with two faults gets the same verdict everywhere.

use maglane_spec::Verdict;
use maglane_spec::limit::FRAME_LEN_MAX;
use maglane_spec::row::DatapathRow;
use maglane_spec::wire::{ethernet, icmp, ipv4, ipv6, transport};

use super::ones_complement_sum;

/// An address of either family: IPv4 in the first four bytes, the rest zero.
pub type Address = [u8; 16];

/// What the headers of a packet say, as far as the later stages read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The 802.1Q tag, TPID and TCI, when there is one.
    pub tag: Option<[u8; ethernet::TAG_LEN]>,
    /// Where the IP header starts in the frame, in bytes.
    pub ip_offset: usize,
    /// The packet is IPv6.
    pub ipv6: bool,
    /// Length of the IP packet with its header, in bytes; what follows it is Ethernet padding.
    pub total_length: u16,
    /// DSCP and ECN.
    pub dscp_ecn: u8,
    /// The flow that the packet is of, or about: of the packet's own family.
    pub tuple: Tuple,
    /// TCP flags; UDP has none, nor has an error.
    pub flags: TcpFlags,
    /// The packet is an ICMP error about the flow, to be steered to the flow's backend.
    pub steered: bool,
}

/// A 5-tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Protocol number: TCP or UDP.
    pub protocol: u8,
}

/// The TCP flags that open and close a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFlags {
    /// The segment opens a connection, whatever other flags it has.
    pub syn: bool,
    /// The sender has no more data.
    pub fin: bool,
    /// The connection is reset, if the receiver believes it.
    pub rst: bool,
}

/// A checked IP header, and what lies behind it.
struct Ip<'a> {
    ipv6: bool,
    total_length: u16,
    dscp_ecn: u8,
    source: Address,
    destination: Address,
    protocol: u8,
    /// From the header's end to where the IP length says that the packet ends.
    payload: &'a [u8],
}

/// Parses a frame. Without a datapath row no tables are loaded: bypass.
///
/// # Errors
/// The verdict on a frame that goes no further.
///
/// # Source
/// IEEE 802.3-2022, clause 3; IEEE 802.1Q-2022, clause 9.6; RFC 791, section 3.1; RFC 8200, section 3; RFC 9293, section
/// 3.1; RFC 768; RFC 792; RFC 4443, section 3.
pub fn parse(datapath: Option<&DatapathRow>, frame: &[u8]) -> Result<Parsed, Verdict> {
    if frame.len() > FRAME_LEN_MAX {
        return Err(Verdict::DropTooLong);
    }
    let datapath = datapath.ok_or(Verdict::PassBypass)?;
    let (tag, ethertype, ip_offset) = parse_ethernet(datapath, frame)?;
    let ip = match ethertype {
        ethernet::ETHERTYPE_IPV4 => parse_ipv4(&frame[ip_offset..])?,
        ethernet::ETHERTYPE_IPV6 => parse_ipv6(&frame[ip_offset..])?,
        _ => return Err(Verdict::PassNotIp),
    };
    let steered = !matches!(ip.protocol, ipv4::PROTOCOL_TCP | ipv4::PROTOCOL_UDP);
    let (tuple, flags) = if steered {
        (quoted_tuple(&ip).ok_or(Verdict::PassIcmp)?, TcpFlags::default())
    } else {
        parse_transport(&ip)?
    };
    let Ip { ipv6, total_length, dscp_ecn, .. } = ip;
    Ok(Parsed { tag, ip_offset, ipv6, total_length, dscp_ecn, tuple, flags, steered })
}

/// The tag, the EtherType behind it, and where the packet starts.
type Ethernet = (Option<[u8; ethernet::TAG_LEN]>, u16, usize);

/// Reads destination MAC, tag and EtherType. A second tag is an EtherType like any other that is not IP.
fn parse_ethernet(datapath: &DatapathRow, frame: &[u8]) -> Result<Ethernet, Verdict> {
    if frame.len() < ethernet::HEADER_LEN {
        return Err(Verdict::PassNotIp);
    }
    let tagged = u16_at(frame, ethernet::ETHERTYPE) == ethernet::TPID;
    let tag_len = if tagged { ethernet::TAG_LEN } else { 0 };
    if frame.len() < ethernet::HEADER_LEN + tag_len {
        return Err(Verdict::PassNotIp);
    }
    let check_mac = datapath.flags & DatapathRow::FLAG_CHECK_MAC != 0;
    if check_mac && bytes_at::<6>(frame, ethernet::DESTINATION) != datapath.mac {
        return Err(Verdict::PassOtherMac);
    }
    let tag = tagged.then(|| bytes_at(frame, ethernet::ETHERTYPE));
    Ok((tag, u16_at(frame, ethernet::ETHERTYPE + tag_len), ethernet::HEADER_LEN + tag_len))
}

fn parse_ipv4(packet: &[u8]) -> Result<Ip<'_>, Verdict> {
    if packet.len() < ipv4::HEADER_LEN {
        return Err(Verdict::DropIpTruncated);
    }
    let header = &packet[..ipv4::HEADER_LEN];
    let [version, ihl] = nibbles(header[ipv4::VERSION_IHL]);
    let [version_plain, ihl_plain] = nibbles(ipv4::VERSION_IHL_PLAIN);
    if version != version_plain {
        return Err(Verdict::DropIpVersion);
    }
    let total_length = u16_at(header, ipv4::TOTAL_LENGTH);
    if ihl < ihl_plain || words_len(ihl) > usize::from(total_length) {
        return Err(Verdict::DropIpHeaderLength);
    }
    if usize::from(total_length) > packet.len() {
        return Err(Verdict::DropIpLength);
    }
    if ihl > ihl_plain {
        return Err(Verdict::PassIpv4Options);
    }
    if ones_complement_sum(header) != 0xffff {
        return Err(Verdict::DropIpv4Checksum);
    }
    let protocol = header[ipv4::PROTOCOL];
    if !matches!(protocol, ipv4::PROTOCOL_ICMP | ipv4::PROTOCOL_TCP | ipv4::PROTOCOL_UDP) {
        return Err(Verdict::PassProtocol);
    }
    if u16_at(header, ipv4::FRAGMENT) & ipv4::FRAGMENT_MORE_OR_OFFSET != 0 {
        return Err(Verdict::PassFragment);
    }
    Ok(Ip {
        ipv6: false,
        total_length,
        dscp_ecn: header[ipv4::DSCP_ECN],
        source: ipv4_at(header, ipv4::SOURCE),
        destination: ipv4_at(header, ipv4::DESTINATION),
        protocol,
        payload: &packet[ipv4::HEADER_LEN..usize::from(total_length)],
    })
}

/// Extension headers are not walked.
fn parse_ipv6(packet: &[u8]) -> Result<Ip<'_>, Verdict> {
    if packet.len() < ipv6::HEADER_LEN {
        return Err(Verdict::DropIpTruncated);
    }
    let header = &packet[..ipv6::HEADER_LEN];
    let [version, _] = nibbles(header[ipv6::VERSION_CLASS_LABEL]);
    if version != ipv6::VERSION {
        return Err(Verdict::DropIpVersion);
    }
    let length = ipv6::HEADER_LEN + usize::from(u16_at(header, ipv6::PAYLOAD_LENGTH));
    // Of a frame that is not too long, so it fits.
    let (Some(payload), Ok(total_length)) = (packet.get(ipv6::HEADER_LEN..length), u16::try_from(length)) else {
        return Err(Verdict::DropIpLength);
    };
    let protocol = header[ipv6::NEXT_HEADER];
    match protocol {
        ipv6::NEXT_HEADER_FRAGMENT => return Err(Verdict::PassFragment),
        ipv6::NEXT_HEADER_ICMPV6 | ipv4::PROTOCOL_TCP | ipv4::PROTOCOL_UDP => {}
        _ => return Err(Verdict::PassProtocol),
    }
    let [class, ..] = (u32::from_be_bytes(bytes_at(header, ipv6::VERSION_CLASS_LABEL)) << 4).to_be_bytes();
    Ok(Ip {
        ipv6: true,
        total_length,
        dscp_ecn: class,
        source: bytes_at(header, ipv6::SOURCE),
        destination: bytes_at(header, ipv6::DESTINATION),
        protocol,
        payload,
    })
}

/// Checks that the TCP or UDP header lies inside the IP length, and reads it. UDP's own length is not looked at.
fn parse_transport(ip: &Ip<'_>) -> Result<(Tuple, TcpFlags), Verdict> {
    let (l4, is_tcp) = (ip.payload, ip.protocol == ipv4::PROTOCOL_TCP);
    if l4.len() < if is_tcp { transport::TCP_HEADER_LEN } else { transport::UDP_HEADER_LEN } {
        return Err(Verdict::DropL4Truncated);
    }
    let mut flags = TcpFlags::default();
    if is_tcp {
        let [data_offset, _] = nibbles(l4[transport::TCP_DATA_OFFSET]);
        if words_len(data_offset) < transport::TCP_HEADER_LEN || words_len(data_offset) > l4.len() {
            return Err(Verdict::DropTcpOffset);
        }
        let bits = l4[transport::TCP_FLAGS];
        flags.syn = bits & transport::TCP_FLAG_SYN != 0;
        flags.fin = bits & transport::TCP_FLAG_FIN != 0;
        flags.rst = bits & transport::TCP_FLAG_RST != 0;
    }
    let tuple = Tuple {
        source: ip.source,
        destination: ip.destination,
        source_port: u16_at(l4, transport::SOURCE_PORT),
        destination_port: u16_at(l4, transport::DESTINATION_PORT),
        protocol: ip.protocol,
    };
    Ok((tuple, flags))
}

/// The flow of which an ICMP error quotes a packet, as the client's packets name it: the quoted packet came from the
/// service, so the quoted tuple is turned round. `None` when the error is not to be steered.
///
/// Checksums and lengths in there are not looked at: routers quote as much as they like.
fn quoted_tuple(ip: &Ip<'_>) -> Option<Tuple> {
    let (message, quote) = ip.payload.split_at_checked(icmp::HEADER_LEN)?;
    let kind = message[icmp::TYPE];
    let (source, destination, protocol, ports) = if ip.ipv6 {
        let [least, greatest] = icmp::V6_ERROR_TYPES;
        let (header, l4) = quote.split_at_checked(ipv6::HEADER_LEN)?;
        let [version, _] = nibbles(header[ipv6::VERSION_CLASS_LABEL]);
        if !(least..=greatest).contains(&kind) || version != ipv6::VERSION {
            return None;
        }
        let addresses = (bytes_at(header, ipv6::SOURCE), bytes_at(header, ipv6::DESTINATION));
        (addresses.0, addresses.1, header[ipv6::NEXT_HEADER], l4)
    } else {
        let (header, l4) = quote.split_at_checked(ipv4::HEADER_LEN)?;
        let later_fragment = u16_at(header, ipv4::FRAGMENT) & ipv4::FRAGMENT_OFFSET != 0;
        if !icmp::ERROR_TYPES.contains(&kind) || header[ipv4::VERSION_IHL] != ipv4::VERSION_IHL_PLAIN || later_fragment
        {
            return None;
        }
        let addresses = (ipv4_at(header, ipv4::SOURCE), ipv4_at(header, ipv4::DESTINATION));
        (addresses.0, addresses.1, header[ipv4::PROTOCOL], l4)
    };
    let known = matches!(protocol, ipv4::PROTOCOL_TCP | ipv4::PROTOCOL_UDP);
    (known && source == ip.destination && ports.len() >= icmp::QUOTED_TRANSPORT_LEN).then(|| Tuple {
        source: destination,
        destination: source,
        source_port: u16_at(ports, transport::DESTINATION_PORT),
        destination_port: u16_at(ports, transport::SOURCE_PORT),
        protocol,
    })
}

/// High and low nibble.
fn nibbles(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 0xf]
}

/// Bytes of a length in 32-bit words.
fn words_len(words: u8) -> usize {
    usize::from(words) * 4
}

/// `N` bytes from an offset that the caller has checked.
fn bytes_at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[offset..offset + N]);
    out
}

/// An IPv4 address at an offset that the caller has checked.
fn ipv4_at(bytes: &[u8], offset: usize) -> Address {
    let mut address = [0; 16];
    address[..4].copy_from_slice(&bytes[offset..offset + 4]);
    address
}

/// A 16-bit field in network order, at an offset that the caller has checked.
fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_be_bytes(bytes_at(bytes, offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{
        CLIENT, CLIENT_PORT, CLIENT_V6, OWN_MAC, VIP, VIP_V6, datapath, icmp_error, ipv4_in_16, reply, tagged, tcp,
        tcp_v6, udp, udp_v6, with_ipv4,
    };

    fn verdict(frame: &[u8]) -> Verdict {
        parse(Some(&datapath()), frame).expect_err("the frame ends in parse")
    }

    fn with(frame: &[u8], offset: usize, bytes: &[u8]) -> Vec<u8> {
        let mut frame = frame.to_vec();
        frame[offset..offset + bytes.len()].copy_from_slice(bytes);
        frame
    }

    #[test]
    fn parse_tcp_reads_all_fields() {
        let frame = with_ipv4(&tcp(VIP, 80, 5), ipv4::DSCP_ECN, &[0xb9]);
        let expected = Parsed {
            tag: None,
            ip_offset: 14,
            ipv6: false,
            total_length: 45,
            dscp_ecn: 0xb9,
            tuple: Tuple {
                source: ipv4_in_16(CLIENT),
                destination: ipv4_in_16(VIP),
                source_port: CLIENT_PORT,
                destination_port: 80,
                protocol: 6,
            },
            flags: TcpFlags::default(),
            steered: false,
        };
        assert_eq!(parse(Some(&datapath()), &frame), Ok(expected));
        let tagged = parse(Some(&datapath()), &tagged(&frame, 0xe123));
        assert_eq!(tagged, Ok(Parsed { tag: Some([0x81, 0x00, 0xe1, 0x23]), ip_offset: 18, ..expected }));
    }

    #[test]
    fn frame_of_9600_bytes_passes_one_more_is_too_long() {
        let mut frame = tcp(VIP, 80, 9_600 - 54);
        assert!(parse(Some(&datapath()), &frame).is_ok());
        frame.push(0);
        assert_eq!(verdict(&frame), Verdict::DropTooLong);
        assert_eq!(parse(None, &frame), Err(Verdict::DropTooLong), "too long comes before bypass");
    }

    #[test]
    fn bypass_comes_before_every_look_at_the_bytes() {
        assert_eq!(parse(None, &[]), Err(Verdict::PassBypass));
        assert_eq!(parse(None, &tcp(VIP, 80, 0)), Err(Verdict::PassBypass));
    }

    #[test]
    fn frame_shorter_than_ethernet_is_not_ip() {
        let frame = udp(VIP, 53, 0);
        for len in 0..14 {
            assert_eq!(verdict(&frame[..len]), Verdict::PassNotIp, "{len}");
        }
        // Not ours either, but too short comes first.
        assert_eq!(verdict(&[0xff; 13]), Verdict::PassNotIp);
        let mut tagged = tagged(&frame, 5);
        tagged[0] = 0xff;
        for len in 14..18 {
            assert_eq!(verdict(&tagged[..len]), Verdict::PassNotIp, "{len}");
        }
        assert_eq!(verdict(&tagged[..18]), Verdict::PassOtherMac);
    }

    #[test]
    fn other_mac_passes_before_the_ethertype_is_looked_at() {
        let arp = with(&with(&udp(VIP, 53, 0), 0, &[0xff; 6]), 12, &[0x08, 0x06]);
        assert_eq!(verdict(&arp), Verdict::PassOtherMac);
        let unchecked = DatapathRow { flags: 0, ..datapath() };
        assert_eq!(parse(Some(&unchecked), &arp), Err(Verdict::PassNotIp));
        // One bit of the last byte is enough to differ.
        let mut mac = OWN_MAC;
        mac[5] ^= 1;
        let other = with(&udp(VIP, 53, 0), 0, &mac);
        assert_eq!(verdict(&other), Verdict::PassOtherMac);
        assert!(parse(Some(&unchecked), &other).is_ok());
    }

    #[test]
    fn other_ethertypes_are_not_ip() {
        // ARP, a service tag, MPLS; behind a tag: a second tag.
        for ethertype in [[0x08, 0x06], [0x88, 0xa8], [0x88, 0x47]] {
            assert_eq!(verdict(&with(&udp(VIP, 53, 0), 12, &ethertype)), Verdict::PassNotIp);
        }
        assert_eq!(verdict(&tagged(&tagged(&udp(VIP, 53, 0), 1), 2)), Verdict::PassNotIp);
        // Too short for IPv4, but not IPv4 in the first place.
        assert_eq!(verdict(&with(&udp(VIP, 53, 0)[..14], 12, &[0x08, 0x06])), Verdict::PassNotIp);
    }

    #[test]
    fn ip_truncated_comes_before_version() {
        let frame = with(&udp(VIP, 53, 0), 14, &[0x60]);
        for len in 14..34 {
            assert_eq!(verdict(&frame[..len]), Verdict::DropIpTruncated, "{len}");
        }
        assert_eq!(verdict(&frame[..34]), Verdict::DropIpVersion);
        assert_eq!(verdict(&tagged(&frame, 0)[..37]), Verdict::DropIpTruncated);
    }

    #[test]
    fn version_comes_before_header_length() {
        assert_eq!(verdict(&with(&udp(VIP, 53, 0), 14, &[0x54])), Verdict::DropIpVersion);
    }

    #[test]
    fn header_length_comes_before_length() {
        let frame = udp(VIP, 53, 0);
        // IHL 4 and a total length beyond the frame.
        assert_eq!(verdict(&with(&frame, 14, &[0x44, 0, 0xff, 0xff])), Verdict::DropIpHeaderLength);
        // IHL 5 but total length 19; IHL 15 but total length 59.
        assert_eq!(verdict(&with(&frame, 14, &[0x45, 0, 0, 19])), Verdict::DropIpHeaderLength);
        assert_eq!(verdict(&with(&frame, 14, &[0x4f, 0, 0, 59])), Verdict::DropIpHeaderLength);
        assert_eq!(verdict(&with(&frame, 14, &[0x4f, 0, 0, 60])), Verdict::DropIpLength);
    }

    #[test]
    fn length_comes_before_options_and_options_before_checksum() {
        let frame = udp(VIP, 53, 12);
        assert_eq!(frame.len(), 14 + 40);
        assert_eq!(verdict(&with(&frame, 14, &[0x46, 0, 0, 41])), Verdict::DropIpLength);
        assert_eq!(verdict(&with(&frame, 14, &[0x46, 0, 0, 40])), Verdict::PassIpv4Options);
        assert_eq!(verdict(&with(&frame, 14, &[0x45, 0, 0, 39])), Verdict::DropIpv4Checksum);
    }

    #[test]
    fn checksum_comes_before_protocol() {
        let gre = with_ipv4(&udp(VIP, 53, 0), ipv4::PROTOCOL, &[47]);
        assert_eq!(verdict(&gre), Verdict::PassProtocol);
        assert_eq!(verdict(&with(&gre, 24, &[0, 0])), Verdict::DropIpv4Checksum);
    }

    #[test]
    fn checksum_of_either_zero_is_right() {
        // RFC 1624, section 3: 0x0000 and 0xFFFF are the same number in one's complement. Where the right checksum is
        // one of them, the sum with the other is 0xFFFF too. The identification makes up the difference.
        let frame = with_ipv4(&udp(VIP, 53, 0), ipv4::IDENTIFICATION, &[0, 0]);
        let [high, low] = [frame[24], frame[25]];
        let zero = with_ipv4(&frame, ipv4::IDENTIFICATION, &[high, low]);
        assert_eq!(zero[24..26], [0, 0]);
        assert!(parse(Some(&datapath()), &zero).is_ok());
        assert!(parse(Some(&datapath()), &with(&zero, 24, &[0xff, 0xff])).is_ok());
    }

    #[test]
    fn protocol_comes_before_fragment_and_fragment_before_icmp() {
        let frame = udp(VIP, 53, 0);
        let fragment = with_ipv4(&frame, ipv4::FRAGMENT, &[0x20, 0]);
        assert_eq!(verdict(&with_ipv4(&fragment, ipv4::PROTOCOL, &[2])), Verdict::PassProtocol);
        assert_eq!(verdict(&with_ipv4(&fragment, ipv4::PROTOCOL, &[1])), Verdict::PassFragment);
        assert_eq!(verdict(&with_ipv4(&frame, ipv4::PROTOCOL, &[1])), Verdict::PassIcmp);
    }

    #[test]
    fn fragments_pass_first_middle_and_last() {
        for flags in [[0x20, 0], [0x20, 1], [0, 1], [0x1f, 0xff], [0x10, 0]] {
            assert_eq!(verdict(&with_ipv4(&udp(VIP, 53, 0), ipv4::FRAGMENT, &flags)), Verdict::PassFragment);
        }
        // DF and the reserved bit make no fragment.
        for flags in [[0x40, 0], [0x80, 0], [0xc0, 0]] {
            assert!(parse(Some(&datapath()), &with_ipv4(&udp(VIP, 53, 0), ipv4::FRAGMENT, &flags)).is_ok());
        }
    }

    #[test]
    fn fragment_comes_before_truncated_transport() {
        let frame = with_ipv4(&with_ipv4(&udp(VIP, 53, 0), 2, &[0, 20]), ipv4::FRAGMENT, &[0, 1]);
        assert_eq!(verdict(&frame), Verdict::PassFragment);
    }

    #[test]
    fn transport_is_bounded_by_the_ip_length_not_by_the_frame() {
        // The bytes are there, but as Ethernet padding.
        assert_eq!(verdict(&with_ipv4(&udp(VIP, 53, 9), 2, &[0, 27])), Verdict::DropL4Truncated);
        assert!(parse(Some(&datapath()), &with_ipv4(&udp(VIP, 53, 9), 2, &[0, 28])).is_ok());
        assert_eq!(verdict(&with_ipv4(&tcp(VIP, 80, 9), 2, &[0, 39])), Verdict::DropL4Truncated);
        assert!(parse(Some(&datapath()), &with_ipv4(&tcp(VIP, 80, 9), 2, &[0, 40])).is_ok());
        assert_eq!(verdict(&with_ipv4(&tcp(VIP, 80, 9), 2, &[0, 20])), Verdict::DropL4Truncated);
    }

    #[test]
    fn tcp_offset_must_lie_between_five_words_and_the_ip_length() {
        let frame = tcp(VIP, 80, 4);
        let offset = 34 + transport::TCP_DATA_OFFSET;
        for words in [0_u8, 4, 7, 15] {
            assert_eq!(verdict(&with(&frame, offset, &[words << 4])), Verdict::DropTcpOffset, "{words}");
        }
        for words in [5_u8, 6] {
            assert!(parse(Some(&datapath()), &with(&frame, offset, &[words << 4])).is_ok(), "{words}");
        }
        // Truncated and a bad offset: truncated comes first.
        let short = with(&with_ipv4(&frame, 2, &[0, 39]), offset, &[0]);
        assert_eq!(verdict(&short), Verdict::DropL4Truncated);
    }

    #[test]
    fn tcp_flags_are_read_bit_by_bit_and_udp_has_none() {
        let flags_of = |byte: u8| parse(Some(&datapath()), &with(&tcp(VIP, 80, 0), 34 + 13, &[byte])).unwrap().flags;
        for byte in 0..=255 {
            let expected = TcpFlags { syn: byte & 2 != 0, fin: byte & 1 != 0, rst: byte & 4 != 0 };
            assert_eq!(flags_of(byte), expected, "{byte:#x}");
        }
        // The byte is payload here.
        let udp = with(&udp(VIP, 53, 20), 34 + 13, &[0xff]);
        assert_eq!(parse(Some(&datapath()), &udp).unwrap().flags, TcpFlags::default());
    }

    #[test]
    fn udp_length_field_and_transport_checksums_are_not_looked_at() {
        let frame = with(&udp(VIP, 53, 0), 38, &[0xff, 0xff, 0xde, 0xad]);
        assert!(parse(Some(&datapath()), &frame).is_ok());
    }

    #[test]
    fn parse_ipv6_reads_all_fields() {
        let frame = with(&udp_v6(VIP_V6, 8092, 5), 14, &[0x6b, 0x9f, 0xff, 0xff]);
        let expected = Parsed {
            tag: None,
            ip_offset: 14,
            ipv6: true,
            total_length: 53,
            dscp_ecn: 0xb9,
            tuple: Tuple {
                source: CLIENT_V6,
                destination: VIP_V6,
                source_port: CLIENT_PORT,
                destination_port: 8092,
                protocol: 17,
            },
            flags: TcpFlags::default(),
            steered: false,
        };
        assert_eq!(parse(Some(&datapath()), &frame), Ok(expected));
        let tagged = parse(Some(&datapath()), &tagged(&frame, 0xe123));
        assert_eq!(tagged, Ok(Parsed { tag: Some([0x81, 0x00, 0xe1, 0x23]), ip_offset: 18, ..expected }));
        let syn_ack = with(&tcp_v6(VIP_V6, 80, 0), 54 + transport::TCP_FLAGS, &[0x12]);
        assert_eq!(parse(Some(&datapath()), &syn_ack).unwrap().flags, TcpFlags { syn: true, fin: false, rst: false });
    }

    #[test]
    fn ipv6_checks_run_in_order() {
        let frame = tcp_v6(VIP_V6, 80, 4);
        for len in 14..54 {
            assert_eq!(verdict(&with(&frame, 14, &[0x40])[..len]), Verdict::DropIpTruncated, "{len}");
        }
        assert_eq!(verdict(&with(&frame, 14, &[0x40])[..54]), Verdict::DropIpVersion, "40 bytes are enough");
        // Version before length, length before next header.
        assert_eq!(verdict(&with(&frame, 14, &[0x50, 0, 0, 0, 0xff, 0xff])), Verdict::DropIpVersion);
        for length in [25_u16, 0xffd7, 0xffd8, 0xffff] {
            assert_eq!(
                verdict(&with(&frame, 18, &[length.to_be_bytes()[0], length.to_be_bytes()[1], 44])),
                Verdict::DropIpLength
            );
        }
        assert_eq!(verdict(&with(&frame, 20, &[44])), Verdict::PassFragment);
        for next_header in (0..=255).filter(|header| ![6, 17, 44, 58].contains(header)) {
            assert_eq!(verdict(&with(&frame, 20, &[next_header])), Verdict::PassProtocol, "{next_header}");
        }
        // The IP length, not the frame's, bounds TCP and UDP.
        for (length, result) in [(0, false), (19, false), (20, true), (24, true)] {
            let parsed = parse(Some(&datapath()), &with(&frame, 18, &[0, length]));
            assert_eq!(parsed.is_ok(), result, "{length}");
            assert!(result || parsed == Err(Verdict::DropL4Truncated));
        }
        assert_eq!(verdict(&with(&udp_v6(VIP_V6, 53, 9), 18, &[0, 7])), Verdict::DropL4Truncated);
        assert_eq!(verdict(&with(&frame, 54 + transport::TCP_DATA_OFFSET, &[0x70])), Verdict::DropTcpOffset);
    }

    #[test]
    fn errors_take_the_quoted_tuple_turned_round() {
        for (frame, kinds, quoted_len) in
            [(udp(VIP, 53, 60), [3_u8, 11, 12].as_slice(), 24), (tcp_v6(VIP_V6, 80, 60), &[1, 2, 3, 4], 44)]
        {
            let about = parse(Some(&datapath()), &frame).unwrap();
            for kind in 0..=255 {
                let error = icmp_error(kind, 7, &reply(&frame), quoted_len);
                let parsed = parse(Some(&datapath()), &error);
                if kinds.contains(&kind) {
                    let parsed = parsed.unwrap();
                    assert_eq!((parsed.tuple, parsed.steered, parsed.ipv6), (about.tuple, true, about.ipv6));
                    assert_eq!(
                        (parsed.flags, usize::from(parsed.total_length)),
                        (TcpFlags::default(), error.len() - 14)
                    );
                } else {
                    assert_eq!(parsed, Err(Verdict::PassIcmp), "{kind}");
                }
            }
            // Cut in the quoted ports; cut by the IP length while the bytes are there as padding.
            for len in 0..quoted_len {
                assert_eq!(verdict(&icmp_error(kinds[0], 0, &reply(&frame), len)), Verdict::PassIcmp, "{len}");
            }
            assert!(parse(Some(&datapath()), &tagged(&icmp_error(kinds[0], 0, &reply(&frame), quoted_len), 3)).is_ok());
        }
        let short = with_ipv4(&icmp_error(3, 4, &reply(&udp(VIP, 53, 60)), 40), 2, &[0, 51]);
        assert_eq!(verdict(&short), Verdict::PassIcmp);
        let enough = with_ipv4(&icmp_error(3, 4, &reply(&udp(VIP, 53, 60)), 40), 2, &[0, 52]);
        assert!(parse(Some(&datapath()), &enough).is_ok());
        let v6 = icmp_error(2, 0, &reply(&tcp_v6(VIP_V6, 80, 60)), 60);
        assert_eq!(verdict(&with(&v6, 18, &[0, 51])), Verdict::PassIcmp);
        assert!(parse(Some(&datapath()), &with(&v6, 18, &[0, 52])).is_ok());
    }

    #[test]
    fn quotes_that_are_not_the_start_of_a_tcp_or_udp_packet_pass() {
        let error = icmp_error(3, 4, &reply(&udp(VIP, 53, 60)), 40);
        let quote = 14 + 20 + 8;
        for (offset, bytes, steered) in [
            (0, &[0x46_u8][..], false),
            (0, &[0x44], false),
            (0, &[0x65], false),
            (6, &[0x1f, 0xff], false),
            (6, &[0, 1], false),
            (6, &[0x10, 0], false),
            (6, &[0xe0, 0], true),
            (9, &[6], true),
            (9, &[1], false),
            (9, &[58], false),
            (2, &[0xff, 0xff], true),
            (10, &[0xff, 0xff], true),
            (15, &[0xff], false),
        ] {
            let parsed = parse(Some(&datapath()), &with(&error, quote + offset, bytes));
            assert_eq!(parsed.is_ok(), steered, "{offset} {bytes:x?}");
        }
        let error = icmp_error(3, 4, &reply(&tcp_v6(VIP_V6, 80, 60)), 60);
        let quote = 14 + 40 + 8;
        for (offset, bytes, steered) in [
            (0, &[0x40_u8][..], false),
            (0, &[0x6f, 0xff], true),
            (6, &[17], true),
            (6, &[44], false),
            (6, &[58], false),
            (4, &[0xff, 0xff], true),
            (8, &[0x21], false),
            (23, &[0xff], false),
        ] {
            let parsed = parse(Some(&datapath()), &with(&error, quote + offset, bytes));
            assert_eq!(parsed.is_ok(), steered, "{offset} {bytes:x?}");
        }
        // ICMP of the other family is a protocol like any other.
        assert_eq!(verdict(&with_ipv4(&udp(VIP, 53, 0), ipv4::PROTOCOL, &[58])), Verdict::PassProtocol);
        assert_eq!(verdict(&with(&udp_v6(VIP_V6, 53, 0), 20, &[1])), Verdict::PassProtocol);
    }
}
