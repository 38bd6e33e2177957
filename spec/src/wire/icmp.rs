//! ICMP and ICMPv6, as far as they are read and answered here.
//!
//! # Source
//! RFC 792 (ICMP); RFC 1191, section 4 (next-hop MTU); RFC 4443, sections 2.1 (header), 3 (errors) and 4 (echo) of ICMPv6.

/// Offset of the type, in both protocols.
pub const TYPE: usize = 0;
/// Offset of the code, in both protocols.
pub const CODE: usize = 1;
/// Offset of the checksum, in both protocols.
pub const CHECKSUM: usize = 2;
/// Offset of the next-hop MTU of "fragmentation needed", 16 bits; the two bytes before it are zero.
pub const NEXT_HOP_MTU: usize = 6;
/// Offset of the MTU of ICMPv6 "packet too big", 32 bits.
pub const V6_MTU: usize = 4;
/// Bytes in front of the packet that an error quotes, in both protocols.
pub const HEADER_LEN: usize = 8;
/// Bytes of the transport header that must be quoted: the ports.
pub const QUOTED_TRANSPORT_LEN: usize = 4;
/// Types of ICMP errors that are steered: destination unreachable, time exceeded, parameter problem.
pub const ERROR_TYPES: [u8; 3] = [3, 11, 12];
/// Least and greatest type of ICMPv6 errors that are steered: destination unreachable, packet too big, time exceeded,
/// parameter problem.
pub const V6_ERROR_TYPES: [u8; 2] = [1, 4];

/// Type of "destination unreachable".
pub const UNREACHABLE: u8 = 3;
/// Code of [`UNREACHABLE`]: fragmentation needed and DF set.
pub const FRAGMENTATION_NEEDED: u8 = 4;
/// Type of an echo request, code 0.
pub const ECHO_REQUEST: u8 = 8;
/// Type of an echo reply, code 0.
pub const ECHO_REPLY: u8 = 0;
/// ICMPv6 type of "packet too big", code 0.
pub const V6_PACKET_TOO_BIG: u8 = 2;
/// ICMPv6 type of an echo request, code 0.
pub const V6_ECHO_REQUEST: u8 = 128;
/// ICMPv6 type of an echo reply, code 0.
pub const V6_ECHO_REPLY: u8 = 129;
/// Longest IPv4 packet with an ICMP error (RFC 1812, section 4.3.2.3).
pub const ERROR_LEN_MAX: usize = 576;
/// Longest IPv6 packet with an ICMPv6 error: the least MTU of IPv6 (RFC 4443, section 2.4 (c)).
pub const V6_ERROR_LEN_MAX: usize = super::ipv6::MTU_MIN;
/// Type of service of ICMP errors: precedence 6, internetwork control (RFC 1812, section 4.3.2.5).
pub const ERROR_TYPE_OF_SERVICE: u8 = 0xc0;
