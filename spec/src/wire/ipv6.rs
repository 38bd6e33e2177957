//! The IPv6 header.
//!
//! # Source
//! RFC 8200, section 3 (header) and 4.5 (fragments); RFC 6437 and RFC 6438 (flow label of tunnels).

/// Bytes of a header.
pub const HEADER_LEN: usize = 40;
/// Offset of version, traffic class and flow label.
pub const VERSION_CLASS_LABEL: usize = 0;
/// Offset of the payload length.
pub const PAYLOAD_LENGTH: usize = 4;
/// Offset of the next header.
pub const NEXT_HEADER: usize = 6;
/// Offset of the hop limit.
pub const HOP_LIMIT: usize = 7;
/// Offset of the source address.
pub const SOURCE: usize = 8;
/// Offset of the destination address.
pub const DESTINATION: usize = 24;
/// The version, in the four highest bits of the first word.
pub const VERSION: u8 = 6;
/// Position of the traffic class in the first word.
pub const CLASS_SHIFT: u32 = 20;
/// Bits of the flow label, the low ones of the first word.
pub const LABEL_MASK: u32 = 0xf_ffff;
/// Next header of a fragment.
pub const NEXT_HEADER_FRAGMENT: u8 = 44;
/// Next header of ICMPv6.
pub const NEXT_HEADER_ICMPV6: u8 = 58;
