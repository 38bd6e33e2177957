//! Address map of the table write port and the counter read port.
//!
//! # Shape
//! An address is 32 bits: the region in bits 31..28, the index of a 32-bit little-endian word in bits 27..0. Words
//! hold the memories' bytes in order, so that a [`crate::TableImage`] is written word by word as it is.

/// Bit position of the region in an address.
pub const REGION_SHIFT: u32 = 28;

/// Control word, region 0, word 0. Bit 0 set: the pipeline serves. Clear, as after reset: bypass.
pub const CONTROL: u32 = 0;
/// [`crate::row::DatapathRow`].
pub const DATAPATH: u32 = 1;
/// Service memory: sub-table 0, then sub-table 1.
pub const SERVICE: u32 = 2;
/// Lookup memory: two entries a word, the even one low.
pub const LOOKUP: u32 = 3;
/// Backend memory.
pub const BACKEND: u32 = 4;

/// Control bit 0: serve.
pub const CONTROL_SERVE: u32 = 1;

/// Counters per verdict code (read port).
pub const COUNTER_VERDICT: u32 = 0;
/// Entries of [`COUNTER_VERDICT`].
pub const COUNTER_VERDICT_ENTRIES: u32 = 32;
/// Counters per service id (read port).
pub const COUNTER_SERVICE: u32 = 1;
/// Counters per backend id (read port).
pub const COUNTER_BACKEND: u32 = 2;
/// Word 0: frames lost by the full host queue (read port).
pub const COUNTER_OVERRUN_HOST: u32 = 3;

/// Words of an entry of a counter set: packets low, packets high, bytes low, bytes high.
pub const COUNTER_WORDS: u32 = 4;

const _: () = assert!(COUNTER_VERDICT_ENTRIES as usize == crate::Verdict::CODES);
