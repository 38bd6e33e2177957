//! Constants of SipHash.
//!
//! # Source
//! Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012, section 2. The flow hash is SipHash-1-3, the
//! table fills use SipHash-2-4.

/// Initial state words, XORed with k0, k1, k0, k1 ("somepseudorandomlygeneratedbytes").
pub const INIT: [u64; 4] = [0x736f_6d65_7073_6575, 0x646f_7261_6e64_6f6d, 0x6c79_6765_6e65_7261, 0x7465_6462_7974_6573];

/// XORed into v2 before finalisation.
pub const FINAL: u64 = 0xff;

/// Rotations of a SipRound, in the order they occur: v1, v3 after the first additions, v1, v3 after the second.
/// The two rotations of v0 and v2 are by 32.
pub const ROTATE: [u32; 4] = [13, 16, 17, 21];

/// Compression rounds a block of the flow hash.
pub const FLOW_C_ROUNDS: usize = 1;

/// Finalisation rounds of the flow hash.
pub const FLOW_D_ROUNDS: usize = 3;
