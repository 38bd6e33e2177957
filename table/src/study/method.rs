//! How a table of the study is filled.
//!
//! # Source
//! Rendezvous: Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", IEEE/ACM ToN 6(1), 1998. Its
//! mixing: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014, as in SplitMix64.

use serde::Serialize;

use crate::fill::{Share, identity_hash, maglev, ring};

/// A way to fill a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// The Maglev fill.
    Maglev,
    /// The ring of virtual nodes.
    Ring,
    /// Every slot goes to the backend with the greatest score for it. No scheduler of this project; the paper has it.
    Rendezvous,
}

impl Method {
    /// All methods, in the order in which a study shows them.
    pub const ALL: [Self; 3] = [Self::Maglev, Self::Ring, Self::Rendezvous];

    /// The method's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Maglev => "maglev",
            Self::Ring => "ring",
            Self::Rendezvous => "rendezvous",
        }
    }

    /// Fills a table for backends of equal weight.
    ///
    /// # Shape
    /// `m` entries, each an index into `identities`.
    ///
    /// # Panics
    /// Unless `m` is a prime up to [`maglane_spec::limit::TABLE_SIZE_MAX`], and there are fewer identities than
    /// [`maglane_spec::limit::NO_BACKEND`].
    #[must_use]
    pub fn fill(self, identities: &[String], m: u16) -> Vec<u16> {
        let shares: Vec<Share<'_>> = identities.iter().map(|identity| Share { identity, weight: 1 }).collect();
        self.fill_shares(&shares, m)
    }

    /// Fills a table for those who have a weight above 0, which is the same for all.
    pub(super) fn fill_shares(self, shares: &[Share<'_>], m: u16) -> Vec<u16> {
        match self {
            Self::Maglev => maglev(shares, m),
            Self::Ring => ring(shares, m),
            Self::Rendezvous => rendezvous(shares, m),
        }
    }
}

/// Index of the identity hash that rendezvous starts from: none that a fill has.
const HASH_RENDEZVOUS: u64 = u64::MAX;

/// Each slot's backend of the greatest score. Of equal scores the lowest identity would win; in 64 bits there are none.
fn rendezvous(shares: &[Share<'_>], m: u16) -> Vec<u16> {
    assert!(shares.len() < usize::from(maglane_spec::limit::NO_BACKEND), "an index must fit an entry");
    let candidates: Vec<(u64, u16)> = (0..)
        .zip(shares)
        .filter(|(_, share)| share.weight > 0)
        .map(|(index, share)| (identity_hash(HASH_RENDEZVOUS, share.identity), index))
        .collect();
    let owner = |slot: u16| {
        let slot_hash = mix(u64::from(slot).wrapping_add(1).wrapping_mul(GAMMA));
        let best = candidates.iter().max_by_key(|&&(hash, _)| mix(hash ^ slot_hash));
        best.map_or(maglane_spec::limit::NO_BACKEND, |&(_, index)| index)
    };
    (0..m).map(owner).collect()
}

/// SplitMix64's step: 2^64 divided by the golden ratio, odd.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's finaliser.
fn mix(mut value: u64) -> u64 {
    value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Spread;

    fn identities(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("web-{index}")).collect()
    }

    /// # Source
    /// Rosetta Code, "Pseudo-random numbers/Splitmix64": the first outputs for seed 1234567.
    #[test]
    fn mix_is_that_of_splitmix64() {
        let outputs = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        let mut state: u64 = 1_234_567;
        for output in outputs {
            state = state.wrapping_add(GAMMA);
            assert_eq!(mix(state), output);
        }
    }

    #[test]
    fn methods_are_the_fills_of_their_names() {
        let identities = identities(5);
        let shares: Vec<Share<'_>> = identities.iter().map(|identity| Share { identity, weight: 7 }).collect();
        assert_eq!(Method::Maglev.fill(&identities, 251), maglev(&shares, 251));
        assert_eq!(Method::Ring.fill(&identities, 251), ring(&shares, 251));
        assert_eq!(Method::ALL.map(Method::name), ["maglev", "ring", "rendezvous"]);
        assert_eq!(serde_json::to_string(&Method::ALL).unwrap(), r#"["maglev","ring","rendezvous"]"#);
    }

    #[test]
    fn rendezvous_moves_the_slots_of_who_leaves_only() {
        let identities = identities(20);
        let mut shares: Vec<Share<'_>> = identities.iter().map(|identity| Share { identity, weight: 1 }).collect();
        let before = rendezvous(&shares, 2_039);
        shares[7].weight = 0;
        let after = rendezvous(&shares, 2_039);
        for (before, after) in before.into_iter().zip(after) {
            assert!(if before == 7 { after != 7 } else { after == before });
        }
    }

    /// Every slot falls to any backend alike, so shares stray as those of balls thrown into bins: the deviation of n
    /// slots is sqrt(n), and among 100 the largest is some 2.5 of these away.
    #[test]
    fn rendezvous_strays_as_chance_does() {
        let spread = Spread::of(
            &rendezvous(
                &identities(100).iter().map(|identity| Share { identity, weight: 1 }).collect::<Vec<_>>(),
                65_521,
            ),
            100,
        );
        assert!((1.06..1.16).contains(&spread.max_ratio()), "{spread:?}");
        assert!((0.84..0.94).contains(&spread.min_ratio()), "{spread:?}");
    }
}
