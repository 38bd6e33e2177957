//! A service's row, and how it is found.

use core::mem::{offset_of, size_of};

use bytemuck::{Pod, Zeroable};

use super::ROW_BYTES;
use crate::endian::{U16Be, U16Le, U32Be, U32Le};

/// The key and the properties of a service.
///
/// # Shape
/// Services are found by cuckoo hashing. The key is ten 16-bit words in native order: the eight words of the
/// address (IPv4 in the first two, then zeros), the port (0 for all ports), and `protocol | 0x100` for IPv6. Its row
/// in sub-table t = 0, 1 is `fold >> (16 - log2(services))`, where `sum` is the sum of `seed[t][i] * word[i]` modulo
/// 2^32 over i = 0..9, and `fold` its upper half XORed with its lower half: multiply-shift hashing, folded because
/// words whose low bits are all zero would leave the lower half empty, and small words the upper. The probes are exact
/// port in sub-table 0, exact in 1, all ports in 0, all ports in 1; the first row whose key fields and key flags are
/// equal is the match.
///
/// # Source
/// Pagh and Rodler, "Cuckoo hashing", 2004; Dietzfelbinger et al., "A reliable randomized algorithm for the
/// closest-pair problem", 1997, section 2.2 (multiply-shift).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ServiceRow {
    /// VIP, network order; IPv4 in the first four bytes, the rest zero.
    pub address: [u8; 16],
    /// Destination port, network order; zero when the service takes all ports.
    pub port: U16Be,
    /// IP protocol number: 6 or 17.
    pub protocol: u8,
    /// `FLAG_` bits and the affinity.
    pub flags: u8,
    /// First entry of the lookup slice; only the low 24 bits are used.
    pub lookup_base: [u8; 3],
    /// One of the `SELECTION_` codes.
    pub selection: u8,
    /// GRE key, network order, when [`Self::FLAG_GRE_KEY`] is set.
    pub gre_key: U32Be,
    /// Entries of the lookup slice (M).
    pub table_size: U16Le,
    /// Id of the service, for counters and for the backends that belong to it.
    pub id: U16Le,
}

impl ServiceRow {
    /// The row is in use.
    pub const FLAG_VALID: u8 = 1;
    /// The service takes frames.
    pub const FLAG_ENABLED: u8 = 2;
    /// The address is IPv6.
    pub const FLAG_IPV6: u8 = 4;
    /// The service takes all ports.
    pub const FLAG_ALL_PORTS: u8 = 8;
    /// GRE carries a key.
    pub const FLAG_GRE_KEY: u8 = 16;
    /// Flags that are part of the key.
    pub const KEY_FLAGS: u8 = Self::FLAG_VALID | Self::FLAG_IPV6 | Self::FLAG_ALL_PORTS;

    /// Bit position of the two affinity bits in `flags`.
    pub const AFFINITY_SHIFT: u8 = 5;
    /// Backend chosen by the whole 5-tuple.
    pub const AFFINITY_FIVE_TUPLE: u8 = 0;
    /// Backend chosen by source address, destination address and protocol.
    pub const AFFINITY_CLIENT_PROTOCOL: u8 = 1;
    /// Backend chosen by source address alone.
    pub const AFFINITY_CLIENT: u8 = 2;

    /// One candidate, by hash.
    pub const SELECTION_HASH: u8 = 0;
    /// Two candidates by hash, the less loaded one is taken.
    pub const SELECTION_TWO_CHOICE: u8 = 1;
    /// The slice's entries in turn.
    pub const SELECTION_SEQUENCE: u8 = 2;

    /// 16-bit words of a key.
    pub const KEY_WORDS: usize = 10;
    /// Index of the port in the words of a key.
    pub const KEY_WORD_PORT: usize = 8;
    /// Index of protocol and family in the words of a key.
    pub const KEY_WORD_PROTOCOL: usize = 9;
    /// Added to the protocol word of an IPv6 key.
    pub const KEY_IPV6: u16 = 0x100;

    /// Byte offsets of the fields, for the gateware's slices.
    pub const ADDRESS_OFFSET: usize = offset_of!(Self, address);
    /// See [`Self::ADDRESS_OFFSET`].
    pub const PORT_OFFSET: usize = offset_of!(Self, port);
    /// See [`Self::ADDRESS_OFFSET`].
    pub const PROTOCOL_OFFSET: usize = offset_of!(Self, protocol);
    /// See [`Self::ADDRESS_OFFSET`].
    pub const FLAGS_OFFSET: usize = offset_of!(Self, flags);
    /// See [`Self::ADDRESS_OFFSET`].
    pub const LOOKUP_BASE_OFFSET: usize = offset_of!(Self, lookup_base);
    /// See [`Self::ADDRESS_OFFSET`].
    pub const SELECTION_OFFSET: usize = offset_of!(Self, selection);
    /// See [`Self::ADDRESS_OFFSET`].
    pub const GRE_KEY_OFFSET: usize = offset_of!(Self, gre_key);
    /// See [`Self::ADDRESS_OFFSET`].
    pub const TABLE_SIZE_OFFSET: usize = offset_of!(Self, table_size);
    /// See [`Self::ADDRESS_OFFSET`].
    pub const ID_OFFSET: usize = offset_of!(Self, id);

    /// Packs a lookup base into its three bytes; the high byte is dropped.
    #[must_use]
    pub const fn lookup_base_bytes(base: u32) -> [u8; 3] {
        let bytes = U32Le::new(base).0;
        [bytes[0], bytes[1], bytes[2]]
    }

    /// The lookup base as a number.
    #[must_use]
    pub const fn lookup_base_value(&self) -> u32 {
        let [a, b, c] = self.lookup_base;
        U32Le([a, b, c, 0]).value()
    }
}

const _: () = {
    assert!(size_of::<ServiceRow>() == ROW_BYTES && align_of::<ServiceRow>() == 1);
    assert!(ServiceRow::ADDRESS_OFFSET == 0);
    assert!(ServiceRow::PORT_OFFSET == 16);
    assert!(ServiceRow::PROTOCOL_OFFSET == 18);
    assert!(ServiceRow::FLAGS_OFFSET == 19);
    assert!(ServiceRow::LOOKUP_BASE_OFFSET == 20);
    assert!(ServiceRow::SELECTION_OFFSET == 23);
    assert!(ServiceRow::GRE_KEY_OFFSET == 24);
    assert!(ServiceRow::TABLE_SIZE_OFFSET == 28);
    assert!(ServiceRow::ID_OFFSET == 30);
};
