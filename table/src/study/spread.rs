//! How even a table is.

use serde::Serialize;

/// The backends with the most and the fewest slots.
///
/// # Units
/// Slots. The mean is slots by backends, those without a slot included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The most that a backend has.
    pub slots_max: u32,
    /// The fewest that a backend has.
    pub slots_min: u32,
    /// What each would have in a table that were perfectly even.
    pub slots_mean: f64,
}

impl Spread {
    /// The spread of a table of backend indices. Entries that are nobody's lower the mean.
    #[must_use]
    pub fn of(table: &[u16], backends: u16) -> Self {
        let mut slots = vec![0_u32; usize::from(backends)];
        for &owner in table {
            if let Some(slots) = slots.get_mut(usize::from(owner)) {
                *slots += 1;
            }
        }
        let owned: u32 = slots.iter().sum();
        Self {
            slots_max: slots.iter().copied().max().unwrap_or(0),
            slots_min: slots.iter().copied().min().unwrap_or(0),
            slots_mean: f64::from(owned) / f64::from(backends.max(1)),
        }
    }

    /// The most, as a multiple of the mean: by so much every backend has to be larger than an even table would need.
    #[must_use]
    pub fn max_ratio(&self) -> f64 {
        f64::from(self.slots_max) / self.slots_mean
    }

    /// The fewest, as a multiple of the mean.
    #[must_use]
    pub fn min_ratio(&self) -> f64 {
        f64::from(self.slots_min) / self.slots_mean
    }
}

#[cfg(test)]
mod tests {
    use maglane_spec::limit::NO_BACKEND;

    use super::*;
    use crate::study::Method;

    #[test]
    fn spread_by_hand() {
        // Slots: 0 has one, 1 has four, 2 has none, 3 has three; two for four backends each on average.
        let spread = Spread::of(&[1, 1, 3, 0, 3, 1, 1, 3], 4);
        assert_eq!(spread, Spread { slots_max: 4, slots_min: 0, slots_mean: 2.0 });
        assert_eq!((spread.max_ratio(), spread.min_ratio()), (2.0, 0.0));
        let spread = Spread::of(&[1, NO_BACKEND, 0, 1], 2);
        assert_eq!(spread, Spread { slots_max: 2, slots_min: 1, slots_mean: 1.5 });
    }

    /// Backends of equal weight take slots in turn: floor(M / N) or ceil(M / N) each.
    #[test]
    fn maglev_spreads_by_one_slot_at_most() {
        for (backends, m) in [(3, 7), (10, 251), (1_000, 2_039), (1_000, 65_521), (13, 13)] {
            let identities: Vec<String> = (0..backends).map(|index| format!("web-{index}")).collect();
            let spread = Spread::of(&Method::Maglev.fill(&identities, m), backends);
            assert_eq!(spread.slots_min, u32::from(m / backends));
            assert_eq!(spread.slots_max, u32::from(m.div_ceil(backends)));
        }
    }
}
