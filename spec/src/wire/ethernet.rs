//! Ethernet II and the 802.1Q tag.
//!
//! # Source
//! IEEE 802.3-2022, clause 3; IEEE 802.1Q-2022, clause 9.6.

/// Bytes of an untagged header: destination MAC, source MAC, EtherType.
pub const HEADER_LEN: usize = 14;
/// Bytes of a tag: TPID and TCI.
pub const TAG_LEN: usize = 4;
/// Offset of the destination MAC.
pub const DESTINATION: usize = 0;
/// Offset of the source MAC.
pub const SOURCE: usize = 6;
/// Offset of the EtherType, or of the TPID of a tagged frame.
pub const ETHERTYPE: usize = 12;
/// Offset of the TCI of a tagged frame.
pub const TCI: usize = 14;
/// EtherType of IPv4; also GRE's protocol type for it.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of IPv6; also GRE's protocol type for it.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// TPID of an 802.1Q tag.
pub const TPID: u16 = 0x8100;
