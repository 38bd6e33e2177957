//! ICMP and ICMPv6, as far as the pipeline reads them.
//!
//! # Source
//! RFC 792 (ICMP); RFC 4443, section 3 (errors of ICMPv6).

/// Offset of the type, in both protocols.
pub const TYPE: usize = 0;
/// Bytes in front of the packet that an error quotes, in both protocols.
pub const HEADER_LEN: usize = 8;
/// Bytes of the transport header that must be quoted: the ports.
pub const QUOTED_TRANSPORT_LEN: usize = 4;
/// Types of ICMP errors that are steered: destination unreachable, time exceeded, parameter problem.
pub const ERROR_TYPES: [u8; 3] = [3, 11, 12];
/// Least and greatest type of ICMPv6 errors that are steered: destination unreachable, packet too big, time exceeded,
/// parameter problem.
pub const V6_ERROR_TYPES: [u8; 2] = [1, 4];
