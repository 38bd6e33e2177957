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
/// Least MTU of a link (RFC 8200, section 5).
pub const MTU_MIN: usize = 1_280;

/// Bytes of a fragment header.
pub const FRAGMENT_HEADER_LEN: usize = 8;
/// Offset of the next header in a fragment header: that of what is fragmented.
pub const FRAGMENT_NEXT_HEADER: usize = 0;
/// Offset of offset and flags in a fragment header.
pub const FRAGMENT_OFFSET_FLAGS: usize = 2;
/// Offset of the identification in a fragment header, 32 bits.
pub const FRAGMENT_IDENTIFICATION: usize = 4;
/// The offset of a fragment in offset and flags: in bytes, a multiple of eight.
pub const FRAGMENT_OFFSET_MASK: u16 = 0xfff8;
/// More fragments, in offset and flags.
pub const FRAGMENT_MORE: u16 = 1;
/// Bytes of a payload at most.
pub const PAYLOAD_LEN_MAX: usize = 65_535;
