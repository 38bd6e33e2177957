//! The schedulers as table fills: identities and weights in, one slice of the lookup table out.
//!
//! A fill depends only on identities, weights and the slice's length, never on the order of the configuration, so
//! that every instance builds the same table. It knows nothing of services, rows or files.
//!
//! | scheduler | fill | how the pipeline reads the slice |
//! |---|---|---|
//! | `maglev`, `source-hash`, `least-connections` | [`maglev()`] | one slot by hash |
//! | `two-choice` | [`maglev()`] | two slots by hash, the less loaded backend is taken |
//! | `ring` | [`ring()`] | one slot by hash |
//! | `round-robin` | [`round_robin()`] | the slots in turn |

mod maglev;
mod ring;
mod round_robin;

use std::hash::Hasher;

use maglane_spec::limit::NO_BACKEND;
use siphasher::sip::SipHasher24;

pub use maglev::maglev;
pub use ring::ring;
pub use round_robin::{round_robin, round_robin_len};

/// One who may get slots of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share<'a> {
    /// Who it is: its UTF-8 bytes are hashed and order the visits.
    pub identity: &'a str,
    /// How much it gets; 0 is nothing.
    pub weight: u16,
}

/// The `index`-th hash of an identity: SipHash-2-4 with k0 = index and k1 = 0.
#[must_use]
pub fn identity_hash(index: u64, identity: &str) -> u64 {
    siphash24([index, 0], identity.as_bytes())
}

/// Indices of those who take part, in ascending order of identity bytes.
///
/// # Panics
/// When an index could be taken for [`NO_BACKEND`].
fn visits(shares: &[Share<'_>]) -> Vec<usize> {
    assert!(shares.len() < usize::from(NO_BACKEND), "an index must fit an entry");
    let mut visits: Vec<usize> = (0..shares.len()).filter(|&index| shares[index].weight > 0).collect();
    visits.sort_by_key(|&index| shares[index].identity.as_bytes());
    visits
}

/// SipHash-2-4 of a message under the key (k0, k1).
pub(crate) fn siphash24(key: [u64; 2], message: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(key[0], key[1]);
    hasher.write(message);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key 00 01 .. 0f, message 00 01 .. of each length; hashes as the reference prints them.
    ///
    /// # Source
    /// veorq/SipHash, `vectors.h` at f26d35e9 (the reference authors').
    #[test]
    fn siphash24_agrees_with_the_reference() {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        for (len, expected) in [
            (0, "310e0edd47db6f72"),
            (1, "fd67dc93c539f874"),
            (7, "37d1018bf50002ab"),
            (8, "6224939a79f5f593"),
            (15, "e545be4961ca29a1"),
            (16, "db9bc2577fcc2a3f"),
            (32, "ce7cf2722f512771"),
            (63, "724506eb4c328a95"),
        ] {
            let message: Vec<u8> = (0..len).collect();
            let hash: String =
                siphash24(key, &message).to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hash, expected, "{len} bytes");
        }
    }

    #[test]
    fn identity_hash_has_the_index_in_the_first_key_word() {
        assert_eq!(identity_hash(1, "web"), siphash24([1, 0], b"web"));
        assert_ne!(identity_hash(0, "web"), identity_hash(1, "web"));
    }

    #[test]
    fn as_many_shares_as_entries_can_name_are_visited() {
        let shares = vec![Share { identity: "web", weight: 1 }; 65_534];
        assert_eq!(visits(&shares).len(), 65_534);
    }

    #[test]
    #[should_panic(expected = "an index must fit an entry")]
    fn more_shares_are_refused_even_without_a_weight() {
        let _ = visits(&[Share { identity: "web", weight: 0 }; 65_535]);
    }
}
