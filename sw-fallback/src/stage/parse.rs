//! Parse: reads the headers and decides what is not for the balancer.
//!
//! The checks run in the order written, so that a frame with two faults gets the same verdict everywhere.

use maglane_spec::Verdict;
use maglane_spec::limit::FRAME_LEN_MAX;
use maglane_spec::row::DatapathRow;
use maglane_spec::wire::{ethernet, ipv4, transport};

use super::ones_complement_sum;

/// What the headers of a TCP or UDP packet say, as far as the later stages read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The 802.1Q tag, TPID and TCI, when there is one.
    pub tag: Option<[u8; ethernet::TAG_LEN]>,
    /// Where the IP header starts in the frame, in bytes.
    pub ip_offset: usize,
    /// Total length of the IP packet, in bytes; what follows it is Ethernet padding.
    pub total_length: u16,
    /// DSCP and ECN.
    pub dscp_ecn: u8,
    /// Source address.
    pub source: [u8; 4],
    /// Destination address.
    pub destination: [u8; 4],
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Protocol number: TCP or UDP.
    pub protocol: u8,
    /// TCP flags; UDP has none.
    pub flags: TcpFlags,
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

/// Parses a frame. Without a datapath row no tables are loaded: bypass.
///
/// # Errors
/// The verdict on a frame that goes no further.
///
/// # Source
/// IEEE 802.3-2022, clause 3; IEEE 802.1Q-2022, clause 9.6; RFC 791, section 3.1; RFC 9293, section 3.1; RFC 768.
pub fn parse(datapath: Option<&DatapathRow>, frame: &[u8]) -> Result<Parsed, Verdict> {
    if frame.len() > FRAME_LEN_MAX {
        return Err(Verdict::DropTooLong);
    }
    let datapath = datapath.ok_or(Verdict::PassBypass)?;
    let (tag, ip_offset) = parse_ethernet(datapath, frame)?;
    let (header, l4) = parse_ipv4(&frame[ip_offset..])?;
    let protocol = header[ipv4::PROTOCOL];
    let flags = parse_transport(protocol, l4)?;
    Ok(Parsed {
        tag,
        ip_offset,
        total_length: u16_at(header, ipv4::TOTAL_LENGTH),
        dscp_ecn: header[ipv4::DSCP_ECN],
        source: bytes_at(header, ipv4::SOURCE),
        destination: bytes_at(header, ipv4::DESTINATION),
        source_port: u16_at(l4, transport::SOURCE_PORT),
        destination_port: u16_at(l4, transport::DESTINATION_PORT),
        protocol,
        flags,
    })
}

/// The tag, and where the IP header starts.
type Ethernet = (Option<[u8; ethernet::TAG_LEN]>, usize);

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
    if u16_at(frame, ethernet::ETHERTYPE + tag_len) != ethernet::ETHERTYPE_IPV4 {
        return Err(Verdict::PassNotIp);
    }
    Ok((tagged.then(|| bytes_at(frame, ethernet::ETHERTYPE)), ethernet::HEADER_LEN + tag_len))
}

/// Checks an IPv4 header and splits the packet into header and what the IP length says belongs to layer 4.
fn parse_ipv4(packet: &[u8]) -> Result<(&[u8], &[u8]), Verdict> {
    if packet.len() < ipv4::HEADER_LEN {
        return Err(Verdict::DropIpTruncated);
    }
    let header = &packet[..ipv4::HEADER_LEN];
    let [version, ihl] = nibbles(header[ipv4::VERSION_IHL]);
    let [version_plain, ihl_plain] = nibbles(ipv4::VERSION_IHL_PLAIN);
    if version != version_plain {
        return Err(Verdict::DropIpVersion);
    }
    let total_length = usize::from(u16_at(header, ipv4::TOTAL_LENGTH));
    if ihl < ihl_plain || words_len(ihl) > total_length {
        return Err(Verdict::DropIpHeaderLength);
    }
    if total_length > packet.len() {
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
    if protocol == ipv4::PROTOCOL_ICMP {
        return Err(Verdict::PassIcmp);
    }
    Ok((header, &packet[ipv4::HEADER_LEN..total_length]))
}

/// Checks that the TCP or UDP header lies inside the IP length, and reads its flags. UDP's own length is not looked at.
fn parse_transport(protocol: u8, l4: &[u8]) -> Result<TcpFlags, Verdict> {
    let is_tcp = protocol == ipv4::PROTOCOL_TCP;
    if l4.len() < if is_tcp { transport::TCP_HEADER_LEN } else { transport::UDP_HEADER_LEN } {
        return Err(Verdict::DropL4Truncated);
    }
    if !is_tcp {
        return Ok(TcpFlags::default());
    }
    let [data_offset, _] = nibbles(l4[transport::TCP_DATA_OFFSET]);
    if words_len(data_offset) < transport::TCP_HEADER_LEN || words_len(data_offset) > l4.len() {
        return Err(Verdict::DropTcpOffset);
    }
    let flags = l4[transport::TCP_FLAGS];
    Ok(TcpFlags {
        syn: flags & transport::TCP_FLAG_SYN != 0,
        fin: flags & transport::TCP_FLAG_FIN != 0,
        rst: flags & transport::TCP_FLAG_RST != 0,
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

/// A 16-bit field in network order, at an offset that the caller has checked.
fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_be_bytes(bytes_at(bytes, offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{CLIENT, CLIENT_PORT, OWN_MAC, VIP, datapath, tagged, tcp, udp, with_ipv4};

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
            total_length: 45,
            dscp_ecn: 0xb9,
            source: CLIENT,
            destination: VIP,
            source_port: CLIENT_PORT,
            destination_port: 80,
            protocol: 6,
            flags: TcpFlags::default(),
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
        // ARP, IPv6, a service tag, MPLS; behind a tag: a second tag.
        for ethertype in [[0x08, 0x06], [0x86, 0xdd], [0x88, 0xa8], [0x88, 0x47]] {
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
}
