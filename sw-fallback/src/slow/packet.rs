//! A frame that the pipeline has passed up, read once more: with what it needs not know.

use maglane_spec::wire::{ethernet, ipv4, ipv6};

use crate::stage::ones_complement_sum;
use crate::stage::parse::{Address, Parsed, TcpFlags, Tuple};

/// A packet in its frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct IpPacket<'a> {
    pub(super) frame: &'a [u8],
    /// The 802.1Q tag, TPID and TCI.
    pub(super) tag: Option<[u8; ethernet::TAG_LEN]>,
    pub(super) ip_offset: usize,
    pub(super) ipv6: bool,
    /// Bytes of the packet with its header.
    pub(super) total_length: u16,
    pub(super) dscp_ecn: u8,
    pub(super) source: Address,
    pub(super) destination: Address,
    /// Of what is in the packet, or in the datagram that it is a piece of.
    pub(super) protocol: u8,
    /// No router may cut it: DF, and all of IPv6.
    pub(super) dont_fragment: bool,
    /// It is one piece, or has the header of one.
    pub(super) is_fragment: bool,
    pub(super) identification: u32,
    /// Where the piece starts in the datagram, in bytes.
    pub(super) offset: usize,
    /// It is not the last piece.
    pub(super) more: bool,
    /// Behind the header, and behind that of the fragment.
    pub(super) payload: &'a [u8],
}

impl<'a> IpPacket<'a> {
    /// Reads a frame; none when it is cut off anywhere before the payload, or is none that the pipeline would read.
    pub(super) fn read(frame: &'a [u8]) -> Option<Self> {
        let untagged = u16::from_be_bytes(bytes_at(frame, ethernet::ETHERTYPE)?);
        let is_tagged = untagged == ethernet::TPID;
        let tag = if is_tagged { Some(bytes_at(frame, ethernet::ETHERTYPE)?) } else { None };
        let ip_offset = ethernet::HEADER_LEN + if is_tagged { ethernet::TAG_LEN } else { 0 };
        let ethertype = u16::from_be_bytes(bytes_at(frame, ip_offset - 2)?);
        let ip = frame.get(ip_offset..)?;
        let ipv6 = match ethertype {
            ethernet::ETHERTYPE_IPV4 if *ip.first()? == ipv4::VERSION_IHL_PLAIN => false,
            ethernet::ETHERTYPE_IPV6 if *ip.first()? >> 4 == ipv6::VERSION => true,
            _ => return None,
        };
        let link = Link { frame, tag, ip_offset };
        if ipv6 { Self::read_v6(link, ip) } else { Self::read_v4(link, ip) }
    }

    fn read_v4(Link { frame, tag, ip_offset }: Link<'a>, ip: &'a [u8]) -> Option<Self> {
        let total_length = u16::from_be_bytes(bytes_at(ip, ipv4::TOTAL_LENGTH)?);
        let field = u16::from_be_bytes(bytes_at(ip, ipv4::FRAGMENT)?);
        Some(Self {
            frame,
            tag,
            ip_offset,
            ipv6: false,
            total_length,
            dscp_ecn: *ip.get(ipv4::DSCP_ECN)?,
            source: v4_at(ip, ipv4::SOURCE)?,
            destination: v4_at(ip, ipv4::DESTINATION)?,
            protocol: *ip.get(ipv4::PROTOCOL)?,
            dont_fragment: field & ipv4::FRAGMENT_DF != 0,
            is_fragment: field & ipv4::FRAGMENT_MORE_OR_OFFSET != 0,
            identification: u16::from_be_bytes(bytes_at(ip, ipv4::IDENTIFICATION)?).into(),
            offset: usize::from(field & ipv4::FRAGMENT_OFFSET) * ipv4::FRAGMENT_UNIT,
            more: field & ipv4::FRAGMENT_MORE != 0,
            payload: ip.get(ipv4::HEADER_LEN..usize::from(total_length))?,
        })
    }

    fn read_v6(Link { frame, tag, ip_offset }: Link<'a>, ip: &'a [u8]) -> Option<Self> {
        let payload_len = u16::from_be_bytes(bytes_at(ip, ipv6::PAYLOAD_LENGTH)?);
        let length = ipv6::HEADER_LEN + usize::from(payload_len);
        let [class, ..] = (u32::from_be_bytes(bytes_at(ip, ipv6::VERSION_CLASS_LABEL)?) << 4).to_be_bytes();
        let whole = Self {
            frame,
            tag,
            ip_offset,
            ipv6: true,
            total_length: u16::try_from(length).ok()?,
            dscp_ecn: class,
            source: bytes_at(ip, ipv6::SOURCE)?,
            destination: bytes_at(ip, ipv6::DESTINATION)?,
            protocol: *ip.get(ipv6::NEXT_HEADER)?,
            dont_fragment: true,
            is_fragment: false,
            identification: 0,
            offset: 0,
            more: false,
            payload: ip.get(ipv6::HEADER_LEN..length)?,
        };
        if whole.protocol != ipv6::NEXT_HEADER_FRAGMENT {
            return Some(whole);
        }
        let (header, payload) = whole.payload.split_at_checked(ipv6::FRAGMENT_HEADER_LEN)?;
        let field = u16::from_be_bytes(bytes_at(header, ipv6::FRAGMENT_OFFSET_FLAGS)?);
        Some(Self {
            protocol: *header.get(ipv6::FRAGMENT_NEXT_HEADER)?,
            is_fragment: true,
            identification: u32::from_be_bytes(bytes_at(header, ipv6::FRAGMENT_IDENTIFICATION)?),
            offset: usize::from(field & ipv6::FRAGMENT_OFFSET_MASK),
            more: field & ipv6::FRAGMENT_MORE != 0,
            payload,
            ..whole
        })
    }

    /// The packet, from its IP header to where its length says that it ends.
    pub(super) fn bytes(&self) -> &'a [u8] {
        let end = self.ip_offset.saturating_add(usize::from(self.total_length));
        self.frame.get(self.ip_offset..end).unwrap_or_default()
    }

    /// Whether a piece can be one of a datagram: it has something in it, is a multiple of eight bytes long or the last, and
    /// ends before the longest packet does (RFC 791, section 3.2; RFC 8200, section 4.5).
    pub(super) fn is_sound(&self) -> bool {
        let len = self.payload.len();
        let longest =
            if self.ipv6 { ipv6::PAYLOAD_LEN_MAX } else { ipv4::PACKET_LEN_MAX.saturating_sub(ipv4::HEADER_LEN) };
        let is_whole_units = len.is_multiple_of(ipv4::FRAGMENT_UNIT);
        len > 0 && (is_whole_units || !self.more) && self.offset.saturating_add(len) <= longest
    }

    /// Whether whoever sent it may be answered: one host, by one frame (RFC 1122, section 3.2.2; RFC 4443, section 2.4 (e)).
    pub(super) fn is_answerable(&self) -> bool {
        let is_group = |offset| self.frame.get(offset).is_none_or(|byte| byte & 1 != 0);
        !is_group(ethernet::DESTINATION)
            && !is_group(ethernet::SOURCE)
            && self.source != self.destination
            && is_one_host(self.ipv6, &self.source)
            && is_one_host(self.ipv6, &self.destination)
    }

    /// Writes the frame of the packet that the piece would be if it were all of it.
    pub(super) fn write_whole(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(self.frame.get(..self.ip_offset).unwrap_or_default());
        let header_len = if self.ipv6 { ipv6::HEADER_LEN } else { ipv4::HEADER_LEN };
        out.extend_from_slice(self.bytes().get(..header_len).unwrap_or_default());
        out.extend_from_slice(self.payload);
        let Some(header) = out.get_mut(self.ip_offset..) else { return };
        if self.ipv6 {
            let [.., high, low] = self.payload.len().to_be_bytes();
            put(header, ipv6::PAYLOAD_LENGTH, [high, low]);
            put(header, ipv6::NEXT_HEADER, [self.protocol]);
        } else {
            let flags = if self.dont_fragment { ipv4::FRAGMENT_DF } else { 0 };
            set_v4(header, self.total_length, flags);
        }
    }

    /// What the scalar rewrite reads of it; it does not read the tuple.
    pub(super) fn parsed(&self) -> Parsed {
        let tuple = Tuple {
            source: self.source,
            destination: self.destination,
            source_port: 0,
            destination_port: 0,
            protocol: self.protocol,
        };
        Parsed {
            tag: self.tag,
            ip_offset: self.ip_offset,
            ipv6: self.ipv6,
            total_length: self.total_length,
            dscp_ecn: self.dscp_ecn,
            tuple,
            flags: TcpFlags::default(),
            steered: false,
        }
    }
}

/// What precedes a packet.
#[derive(Clone, Copy)]
struct Link<'a> {
    frame: &'a [u8],
    tag: Option<[u8; ethernet::TAG_LEN]>,
    ip_offset: usize,
}

/// Gives an IPv4 packet another length and another field of flags and offset, and the checksum that belongs to them.
pub(super) fn set_v4(packet: &mut [u8], total_length: u16, fragment: u16) {
    put(packet, ipv4::TOTAL_LENGTH, total_length.to_be_bytes());
    put(packet, ipv4::FRAGMENT, fragment.to_be_bytes());
    put(packet, ipv4::CHECKSUM, [0; 2]);
    let checksum = !ones_complement_sum(packet.get(..ipv4::HEADER_LEN).unwrap_or_default());
    put(packet, ipv4::CHECKSUM, checksum.to_be_bytes());
}

/// Overwrites bytes that are there.
pub(super) fn put<const N: usize>(bytes: &mut [u8], offset: usize, field: [u8; N]) {
    if let Some(place) = bytes.get_mut(offset..).and_then(|rest| rest.first_chunk_mut()) {
        *place = field;
    }
}

/// Whether an address is one host's: not unspecified, of a group, broadcast, or loopback (RFC 1122, section 3.2.1.3; RFC
/// 4291, section 2.4).
fn is_one_host(ipv6: bool, address: &Address) -> bool {
    if ipv6 {
        let address = std::net::Ipv6Addr::from(*address);
        !(address.is_unspecified() || address.is_loopback() || address.is_multicast())
    } else {
        // 0/8 is this network, 224/4 are groups, 240/4 is reserved and ends in the broadcast address.
        let [first, ..] = *address;
        !(matches!(first, 0 | 127) || first >= 224)
    }
}

/// `N` bytes from an offset, if they are there.
fn bytes_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

/// An IPv4 address in the first four bytes.
fn v4_at(bytes: &[u8], offset: usize) -> Option<Address> {
    let mut address = [0; 16];
    put(&mut address, 0, bytes_at::<4>(bytes, offset)?);
    Some(address)
}
