//! Backends that fail at once, and what that moves.

use std::ops::AddAssign;

use serde::Serialize;

use super::Method;
use crate::fill::{Share, siphash24};

/// Which backends have failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// By backend index.
    failed: Vec<bool>,
}

impl Outage {
    /// Lets so many of the backends fail, drawn at random by seed and trial. Within a trial backends fail in one order:
    /// those of a smaller outage are among those of a larger one.
    #[must_use]
    pub fn draw(backends: u16, failures: u16, seed: u64, trial: u64) -> Self {
        let mut order: Vec<u16> = (0..backends).collect();
        // Sorting by a keyed hash is a shuffle.
        order.sort_by_cached_key(|index| (siphash24([seed, trial], &index.to_le_bytes()), *index));
        let mut failed = vec![false; usize::from(backends)];
        for &index in order.iter().take(usize::from(failures)) {
            failed[usize::from(index)] = true;
        }
        Self { failed }
    }

    /// Whether a backend has failed.
    #[must_use]
    pub fn has_failed(&self, backend: u16) -> bool {
        self.failed.get(usize::from(backend)).copied().unwrap_or(false)
    }

    /// Indices of the backends that are left, ascending.
    #[must_use]
    pub fn survivors(&self) -> Vec<u16> {
        (0..).zip(&self.failed).filter(|&(_, &failed)| !failed).map(|(index, _)| index).collect()
    }

    /// The table of those who are left, as [`Method::fill`] makes it.
    ///
    /// # Panics
    /// As [`Method::fill`] does.
    #[must_use]
    pub fn fill(&self, method: Method, identities: &[String], m: u16) -> Vec<u16> {
        let weight = |index| u16::from(!self.has_failed(index));
        let shares = (0..).zip(identities).map(|(index, identity)| Share { identity, weight: weight(index) });
        method.fill_shares(&shares.collect::<Vec<_>>(), m)
    }

    /// Compares who had what, slots or connections, with who has it after the outage.
    #[must_use]
    pub fn moved(&self, before: &[u16], after: &[u16]) -> Moved {
        let mut moved = Moved::default();
        for (&before, &after) in before.iter().zip(after) {
            if self.has_failed(before) {
                moved.lost += 1;
            } else if before == after {
                moved.kept += 1;
            } else {
                moved.disrupted += 1;
            }
        }
        moved
    }
}

/// What became of slots or connections in an outage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Those whose backend has failed: they move, whatever the method.
    pub lost: u64,
    /// Those whose backend has not failed, but that another one has now.
    pub disrupted: u64,
    /// Those that stay.
    pub kept: u64,
}

impl Moved {
    /// The disrupted as a fraction of those whose backend has not failed.
    #[must_use]
    pub fn share_disrupted(&self) -> f64 {
        ratio(self.disrupted, self.disrupted + self.kept)
    }

    /// All that do not stay as a fraction of all.
    #[must_use]
    pub fn share_changed(&self) -> f64 {
        ratio(self.lost + self.disrupted, self.lost + self.disrupted + self.kept)
    }
}

impl AddAssign for Moved {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.disrupted += other.disrupted;
        self.kept += other.kept;
    }
}

/// A part of a whole; none of nothing is 0.
// Counts below 2^53 are exact.
#[allow(clippy::cast_precision_loss)]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use maglane_spec::limit::NO_BACKEND;

    use super::*;

    fn identities(count: u16) -> Vec<String> {
        (0..count).map(|index| format!("web-{index}")).collect()
    }

    #[test]
    fn moved_by_hand() {
        let outage = Outage { failed: vec![false, true, false] };
        // Lost, lost; kept, kept, kept; disrupted: moved to 2, moved to nobody.
        let (before, after) = ([1, 1, 0, 2, 2, 0, 0], [0, 2, 0, 2, 2, 2, NO_BACKEND]);
        let mut moved = outage.moved(&before, &after);
        assert_eq!(moved, Moved { lost: 2, disrupted: 2, kept: 3 });
        assert_eq!((moved.share_disrupted(), moved.share_changed()), (2.0 / 5.0, 4.0 / 7.0));
        moved += Moved { lost: 1, disrupted: 0, kept: 5 };
        assert_eq!(moved, Moved { lost: 3, disrupted: 2, kept: 8 });
        assert_eq!(Moved::default().share_changed(), 0.0);
        assert_eq!(outage.survivors(), [0, 2]);
    }

    #[test]
    fn outages_have_the_size_asked_for_and_grow() {
        let draw = |failures, seed, trial| Outage::draw(40, failures, seed, trial);
        for failures in 0..40 {
            let (outage, larger) = (draw(failures, 5, 6), draw(failures + 1, 5, 6));
            assert_eq!(outage.survivors().len(), usize::from(40 - failures));
            assert!(larger.survivors().iter().all(|&index| !outage.has_failed(index)));
        }
        assert_eq!(draw(20, 5, 6), draw(20, 5, 6));
        assert_ne!(draw(20, 5, 6), draw(20, 5, 7));
        assert_ne!(draw(20, 5, 6), draw(20, 6, 6));
    }

    /// In 4,000 draws of 3 out of 12 each fails 1,000 times, give or take: the deviation is sqrt(4,000 * 3/16) = 27.
    #[test]
    fn every_backend_fails_as_often() {
        let mut failed = [0_u32; 12];
        for trial in 0..4_000 {
            let outage = Outage::draw(12, 3, 1, trial);
            (0_u16..).zip(&mut failed).for_each(|(index, failed)| *failed += u32::from(outage.has_failed(index)));
        }
        assert!(failed.iter().all(|failed| (880..1_120).contains(failed)), "{failed:?}");
    }

    #[test]
    fn ring_and_rendezvous_disrupt_nobody() {
        let identities = identities(50);
        for method in [Method::Ring, Method::Rendezvous] {
            let before = method.fill(&identities, 4_093);
            for failures in [1, 10, 49] {
                let outage = Outage::draw(50, failures, 1, 2);
                let moved = outage.moved(&before, &outage.fill(method, &identities, 4_093));
                assert_eq!(moved.disrupted, 0);
                assert!(moved.lost > 0 && moved.kept > 0);
            }
        }
    }

    /// Seven slots. web-0 wants them in the order 1 4 0 3 6 2 5, web-1 in 2 5 1 4 0 3 6, web-2 in 0 5 3 1 6 4 2, so that
    /// they take 1, 2, 0; 4, 5, 3; 6. Without web-1: 1, 0; 4, 5; 3, 6; 2.
    #[test]
    fn maglev_outage_by_hand() {
        let identities = identities(3);
        let hashes = |index: u64| identities.iter().map(move |identity| crate::fill::identity_hash(index, identity));
        assert_eq!(hashes(0).map(|hash| hash % 7).collect::<Vec<_>>(), [1, 2, 0], "offsets");
        assert_eq!(hashes(1).map(|hash| hash % 6 + 1).collect::<Vec<_>>(), [3, 3, 5], "skips");
        let before = Method::Maglev.fill(&identities, 7);
        assert_eq!(before, [2, 0, 1, 2, 0, 1, 0]);
        let outage = Outage { failed: vec![false, true, false] };
        let after = outage.fill(Method::Maglev, &identities, 7);
        assert_eq!(after, [2, 0, 0, 0, 0, 2, 2]);
        assert_eq!(outage.moved(&before, &after), Moved { lost: 2, disrupted: 2, kept: 3 });
    }

    #[test]
    fn maglev_disrupts_more_the_more_backends_fail_and_the_smaller_the_table() {
        let identities = identities(100);
        let disrupted = |m, failures| {
            let before = Method::Maglev.fill(&identities, m);
            let mut moved = Moved::default();
            for trial in 0..8 {
                let outage = Outage::draw(100, failures, 3, trial);
                moved += outage.moved(&before, &outage.fill(Method::Maglev, &identities, m));
            }
            moved.share_disrupted()
        };
        assert_eq!(disrupted(65_521, 0), 0.0);
        assert!(disrupted(65_521, 1) > 0.002);
        assert!(disrupted(65_521, 10) > 1.5 * disrupted(65_521, 1));
        assert!(disrupted(2_039, 1) > 1.5 * disrupted(65_521, 1));
    }
}
