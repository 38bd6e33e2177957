//! Flow hash of [`LANES`](crate::simd::LANES) packets at a time: SipHash-1-3 in vectors, one packet a lane.
//!
//! # Source
//! Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012, section 2.

use maglane_spec::row::ServiceRow;
use maglane_spec::siphash::{FLOW_C_ROUNDS, FLOW_D_ROUNDS, INIT, ROTATE};

use super::parse::Packed;
use crate::simd::{Arithmetic, Single};

/// Key and constants, as the hash starts and ends with them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    start: [u64; 4],
    finalisation: u64,
}

impl Key {
    /// Key k0 and k1, each little endian; the finalisation constant is open so that a wrong one can be planted.
    pub(super) fn new(key: &[u8; 16], finalisation: u64) -> Self {
        let ([k0, k1], _) = key.as_chunks::<8>() else { unreachable!("16 bytes are two chunks of 8") };
        let (k0, k1) = (u64::from_le_bytes(*k0), u64::from_le_bytes(*k1));
        Self { start: [INIT[0] ^ k0, INIT[1] ^ k1, INIT[2] ^ k0, INIT[3] ^ k1], finalisation }
    }

    /// Hashes of messages of `N` words, the last of which ends in the message's length.
    #[inline(always)]
    pub(super) fn hash<A: Arithmetic, const N: usize>(&self, message: &[A::Words; N]) -> A::Words {
        let mut v = self.start.map(A::splat);
        for &words in message {
            v[3] = A::xor(v[3], words);
            for _ in 0..FLOW_C_ROUNDS {
                v = round::<A>(v);
            }
            v[0] = A::xor(v[0], words);
        }
        v[2] = A::xor(v[2], A::splat(self.finalisation));
        for _ in 0..FLOW_D_ROUNDS {
            v = round::<A>(v);
        }
        A::xor(A::xor(v[0], v[1]), A::xor(v[2], v[3]))
    }

    /// The hash of one message: of one that is rare.
    pub(super) fn hash_one(&self, message: Packed) -> u64 {
        match message {
            Packed::V4(message) => self.hash::<Single, 2>(&message),
            Packed::V6(message) => self.hash::<Single, 5>(&message),
        }
    }
}

/// Length and protocol in the last word of a message, without ports.
const PORTLESS: u64 = !0xffff_ffff;
/// The length alone.
const LENGTH: u64 = 0xff << 56;

impl Packed {
    /// The message under another affinity than five-tuple: what does not count is zero.
    pub(super) fn under(self, affinity: u8) -> Self {
        match (self, affinity) {
            (Self::V4([addresses, last]), ServiceRow::AFFINITY_CLIENT_PROTOCOL) => {
                Self::V4([addresses, last & PORTLESS])
            }
            // The source is the first half of the first word.
            (Self::V4([addresses, last]), ServiceRow::AFFINITY_CLIENT) => {
                Self::V4([addresses & 0xffff_ffff, last & LENGTH])
            }
            (Self::V6([a, b, c, d, last]), ServiceRow::AFFINITY_CLIENT_PROTOCOL) => {
                Self::V6([a, b, c, d, last & PORTLESS])
            }
            (Self::V6([a, b, .., last]), ServiceRow::AFFINITY_CLIENT) => Self::V6([a, b, 0, 0, last & LENGTH]),
            (message, _) => message,
        }
    }
}

/// The paper's figure 2.1.
#[inline(always)]
fn round<A: Arithmetic>([v0, v1, v2, v3]: [A::Words; 4]) -> [A::Words; 4] {
    const R: [i32; 4] =
        [ROTATE[0].cast_signed(), ROTATE[1].cast_signed(), ROTATE[2].cast_signed(), ROTATE[3].cast_signed()];
    let (v0, v2) = (A::add(v0, v1), A::add(v2, v3));
    let v1 = A::xor(A::rotate::<{ R[0] }, { 64 - R[0] }>(v1), v0);
    let v3 = A::xor(A::rotate::<{ R[1] }, { 64 - R[1] }>(v3), v2);
    let v0 = A::rotate::<32, 32>(v0);
    let (v2, v0) = (A::add(v2, v1), A::add(v0, v3));
    let v1 = A::xor(A::rotate::<{ R[2] }, { 64 - R[2] }>(v1), v2);
    let v3 = A::xor(A::rotate::<{ R[3] }, { 64 - R[3] }>(v3), v0);
    [v0, v1, A::rotate::<32, 32>(v2), v3]
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher;

    use maglane_spec::siphash::FINAL;
    use proptest::prelude::*;
    use siphasher::sip::SipHasher13;

    use super::*;
    use crate::simd::{Kernel, LANES, Level, Vectors, run};

    struct Hash<'a, const N: usize> {
        key: Key,
        message: [&'a [u64; LANES]; N],
        hashes: &'a mut [u64; LANES],
    }

    impl<const N: usize> Kernel for Hash<'_, N> {
        #[inline(always)]
        fn run<V: Vectors>(self) {
            *self.hashes = V::store(self.key.hash::<V, N>(&self.message.map(V::load)));
        }
    }

    /// That `N` words are what the siphasher crate makes of `len` bytes, in every lane and at every level.
    fn agrees<const N: usize>(key: [u8; 16], len: usize, mut message: [[u64; LANES]; N]) {
        for word in &mut message[N - 1] {
            *word = *word & u64::MAX >> (64 - 8 * (len % 8)) | (len as u64) << 56;
        }
        for level in Level::available() {
            let mut hashes = [0; LANES];
            run(level, Hash { key: Key::new(&key, FINAL), message: message.each_ref(), hashes: &mut hashes });
            for (lane, hash) in hashes.into_iter().enumerate() {
                let bytes: Vec<u8> = message.iter().flat_map(|words| words[lane].to_le_bytes()).take(len).collect();
                let mut oracle = SipHasher13::new_with_key(&key);
                oracle.write(&bytes);
                assert_eq!(hash, oracle.finish(), "{level:?} lane {lane}");
                let alone = Key::new(&key, FINAL).hash::<Single, N>(&message.map(|words| words[lane]));
                assert_eq!(alone, hash);
            }
        }
    }

    proptest! {
        #[test]
        fn hashes_of_ipv4_tuples_are_those_of_the_siphasher_crate(key: [u8; 16], message: [[u64; LANES]; 2]) {
            agrees(key, 13, message);
        }

        #[test]
        fn hashes_of_ipv6_tuples_are_those_of_the_siphasher_crate(key: [u8; 16], message: [[u64; LANES]; 5]) {
            agrees(key, 37, message);
        }
    }
}
