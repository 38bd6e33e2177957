//! The row of which there is only one: what all frames share.

use core::mem::{offset_of, size_of};

use bytemuck::{Pod, Zeroable};

use super::ServiceRow;
use crate::endian::{U16Le, U32Le};

/// Settings that hold for all frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct DatapathRow {
    /// SipHash key of the flow hash: k0, then k1, each little endian.
    pub hash_key: [u8; 16],
    /// Our MAC: source of outer frames, and what `check_mac` compares with.
    pub mac: [u8; 6],
    /// TTL or hop limit of the outer header.
    pub ttl: u8,
    /// `FLAG_` bits.
    pub flags: u8,
    /// Source of the outer IPv4 header, network order.
    pub tunnel_source_v4: [u8; 4],
    /// Low bits of the outer IPv4 source that hash bits replace: 0 to 16.
    pub source_entropy_bits: u8,
    /// Zero.
    pub reserved: [u8; 3],
    /// Source of the outer IPv6 header, network order.
    pub tunnel_source_v6: [u8; 16],
    /// Multipliers of the service hash, a set for each sub-table.
    pub service_seed: [[U16Le; ServiceRow::KEY_WORDS]; 2],
    /// Length of a tick of the flow table, in milliseconds.
    pub tick_ms: U32Le,
    /// Timeouts of the flow-table states new, established, closing, in ticks.
    pub timeout_ticks: [u8; 3],
    /// Zero.
    pub reserved2: u8,
}

impl DatapathRow {
    /// Frames for another MAC are passed to the host.
    pub const FLAG_CHECK_MAC: u8 = 1;

    /// Bytes of the row.
    pub const BYTES: usize = size_of::<Self>();

    /// Byte offsets of the fields, for the gateware's slices.
    pub const HASH_KEY_OFFSET: usize = offset_of!(Self, hash_key);
    /// See [`Self::HASH_KEY_OFFSET`].
    pub const MAC_OFFSET: usize = offset_of!(Self, mac);
    /// See [`Self::HASH_KEY_OFFSET`].
    pub const TTL_OFFSET: usize = offset_of!(Self, ttl);
    /// See [`Self::HASH_KEY_OFFSET`].
    pub const FLAGS_OFFSET: usize = offset_of!(Self, flags);
    /// See [`Self::HASH_KEY_OFFSET`].
    pub const TUNNEL_SOURCE_V4_OFFSET: usize = offset_of!(Self, tunnel_source_v4);
    /// See [`Self::HASH_KEY_OFFSET`].
    pub const SOURCE_ENTROPY_BITS_OFFSET: usize = offset_of!(Self, source_entropy_bits);
    /// See [`Self::HASH_KEY_OFFSET`].
    pub const TUNNEL_SOURCE_V6_OFFSET: usize = offset_of!(Self, tunnel_source_v6);
    /// See [`Self::HASH_KEY_OFFSET`].
    pub const SERVICE_SEED_OFFSET: usize = offset_of!(Self, service_seed);
    /// See [`Self::HASH_KEY_OFFSET`].
    pub const TICK_MS_OFFSET: usize = offset_of!(Self, tick_ms);
    /// See [`Self::HASH_KEY_OFFSET`].
    pub const TIMEOUT_TICKS_OFFSET: usize = offset_of!(Self, timeout_ticks);
}

const _: () = {
    assert!(size_of::<DatapathRow>() == 96 && align_of::<DatapathRow>() == 1);
    assert!(DatapathRow::HASH_KEY_OFFSET == 0);
    assert!(DatapathRow::MAC_OFFSET == 16);
    assert!(DatapathRow::TTL_OFFSET == 22);
    assert!(DatapathRow::FLAGS_OFFSET == 23);
    assert!(DatapathRow::TUNNEL_SOURCE_V4_OFFSET == 24);
    assert!(DatapathRow::SOURCE_ENTROPY_BITS_OFFSET == 28);
    assert!(DatapathRow::TUNNEL_SOURCE_V6_OFFSET == 32);
    assert!(DatapathRow::SERVICE_SEED_OFFSET == 48);
    assert!(DatapathRow::TICK_MS_OFFSET == 88);
    assert!(DatapathRow::TIMEOUT_TICKS_OFFSET == 92);
};
