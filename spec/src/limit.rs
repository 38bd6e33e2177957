//! Limits, each checked where its value enters.

/// Longest frame that is looked at, in bytes without FCS. Longer ones are `drop_too_long`.
pub const FRAME_LEN_MAX: usize = 9_600;

/// Longest frame that a simulated gateware is offered, in bytes: what its 16-bit length sideband can say.
pub const FRAME_LEN_SIDEBAND_MAX: usize = 65_535;

/// Smallest and largest MTU of a backend, in bytes of outer IP packet.
pub const MTU_MIN: u16 = 576;
/// See [`MTU_MIN`].
pub const MTU_MAX: u16 = 9_216;

/// Largest lookup slice: an index is 16 bits, and 65,521 is the largest prime below 2^16.
pub const TABLE_SIZE_MAX: u32 = 65_521;

/// Most low bits of the tunnel source that may be replaced by hash bits.
pub const SOURCE_ENTROPY_BITS_MAX: u8 = 16;

/// Longest timeout of a flow-table state, in ticks: ages are counted modulo 64.
pub const TIMEOUT_TICKS_MAX: u8 = 62;

/// Largest weight of a backend.
pub const WEIGHT_MAX: u16 = 65_535;

/// A lookup entry that points at nobody.
pub const NO_BACKEND: u16 = 0xffff;

/// The service of a frame that matched none, in trace records.
pub const NO_SERVICE: u16 = 0xffff;

/// Largest configuration file, in bytes.
pub const CONFIG_LEN_MAX: usize = 16 << 20;
