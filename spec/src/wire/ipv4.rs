//! The IPv4 header.
//!
//! # Source
//! RFC 791, section 3.1; RFC 1071 (checksum); RFC 6040 (ECN of tunnels); RFC 6864 (id of atomic datagrams).

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;
/// Offset of version and IHL.
pub const VERSION_IHL: usize = 0;
/// Offset of DSCP and ECN.
pub const DSCP_ECN: usize = 1;
/// Offset of the total length.
pub const TOTAL_LENGTH: usize = 2;
/// Offset of the identification.
pub const IDENTIFICATION: usize = 4;
/// Offset of flags and fragment offset.
pub const FRAGMENT: usize = 6;
/// Offset of the time to live.
pub const TTL: usize = 8;
/// Offset of the protocol.
pub const PROTOCOL: usize = 9;
/// Offset of the header checksum.
pub const CHECKSUM: usize = 10;
/// Offset of the source address.
pub const SOURCE: usize = 12;
/// Offset of the destination address.
pub const DESTINATION: usize = 16;
/// Version in the high nibble, IHL of five words in the low one.
pub const VERSION_IHL_PLAIN: u8 = 0x45;
/// Don't fragment.
pub const FRAGMENT_DF: u16 = 0x4000;
/// More fragments.
pub const FRAGMENT_MORE: u16 = 0x2000;
/// More fragments, and the fragment offset: a whole datagram has none of these bits.
pub const FRAGMENT_MORE_OR_OFFSET: u16 = 0x3fff;
/// Fragment offset: zero in a whole datagram and in its first fragment.
pub const FRAGMENT_OFFSET: u16 = 0x1fff;
/// Bytes of a unit of the fragment offset: all fragments but the last have a multiple of it.
pub const FRAGMENT_UNIT: usize = 8;
/// Bytes of a packet at most.
pub const PACKET_LEN_MAX: usize = 65_535;
/// Protocol number of ICMP.
pub const PROTOCOL_ICMP: u8 = 1;
/// Protocol number of TCP.
pub const PROTOCOL_TCP: u8 = 6;
/// Protocol number of UDP.
pub const PROTOCOL_UDP: u8 = 17;
/// Protocol number of GRE.
pub const PROTOCOL_GRE: u8 = 47;
