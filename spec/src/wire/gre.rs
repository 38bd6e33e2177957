//! Generic routing encapsulation.
//!
//! # Source
//! RFC 2784, section 2; RFC 2890, section 2 (key).

/// Bytes of a header without optional fields.
pub const HEADER_LEN: usize = 4;
/// Bytes of the key.
pub const KEY_LEN: usize = 4;
/// Flags and version of a header with a key; without one they are zero.
pub const FLAG_KEY: u16 = 0x2000;
