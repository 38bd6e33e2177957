//! What a study measures: the command line, checked.

use anyhow::{Result, bail};
use maglane_spec::Geometry;
use maglane_spec::limit::TABLE_SIZE_MAX;
use maglane_table::prime;
use maglane_table::study::Outage;

use super::segment::FLOWS_MAX;
use super::site::GEOMETRY;
use crate::args::StudyArgs;
use crate::output::thousands;

/// How many backends fail, when the command line does not say: those that leave a backend.
const FAILURES: [u16; 7] = [0, 1, 2, 5, 10, 20, 50];

/// Most outages of each size.
const TRIALS_MAX: u32 = 10_000;

/// What a study measures.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) backends: u16,
    /// Ascending, each below `backends`.
    pub(super) failures: Vec<u16>,
    /// Ascending primes, one at least.
    pub(super) sizes: Vec<u16>,
    pub(super) flows: u32,
    pub(super) trials: u32,
    pub(super) seed: u64,
}

impl Plan {
    /// Checks a command line.
    pub(super) fn new(args: &StudyArgs) -> Result<Self> {
        let &StudyArgs { backends, flows, trials, seed, .. } = args;
        let backends = match u16::try_from(backends) {
            Ok(backends) if backends >= 2 && u32::from(backends) <= GEOMETRY.backends => backends,
            _ => bail!("--backends {backends}: a study takes 2 to {} backends", thousands(GEOMETRY.backends)),
        };
        if !(1..=FLOWS_MAX).contains(&flows) {
            bail!("--flows {flows}: a study takes 1 to {} connections", thousands(FLOWS_MAX));
        }
        if !(1..=TRIALS_MAX).contains(&trials) {
            bail!("--trials {trials}: a study takes 1 to {} trials", thousands(TRIALS_MAX));
        }
        let mut failures = if args.failures.is_empty() {
            FAILURES.into_iter().filter(|&failures| failures < backends).collect()
        } else {
            args.failures.iter().map(|&failures| checked_failures(failures, backends)).collect::<Result<Vec<_>>>()?
        };
        let mut sizes = args.sizes.iter().map(|&size| checked_size(size)).collect::<Result<Vec<_>>>()?;
        for list in [&mut failures, &mut sizes] {
            list.sort_unstable();
            list.dedup();
        }
        Ok(Self { backends, failures, sizes, flows, trials, seed })
    }

    /// Who fails in a trial.
    pub(super) fn outage(&self, failures: u16, trial: u32) -> Outage {
        Outage::draw(self.backends, failures, self.seed, u64::from(trial))
    }

    /// The largest table size: connections go through its tables.
    pub(super) fn size_max(&self) -> u16 {
        self.sizes.last().copied().unwrap_or(1)
    }

    /// The smallest table size, if there are two: connections go through its tables for comparison.
    pub(super) fn size_smaller(&self) -> Option<u16> {
        self.sizes.first().copied().filter(|&size| size < self.size_max())
    }
}

fn checked_failures(failures: u32, backends: u16) -> Result<u16> {
    match u16::try_from(failures) {
        Ok(failures) if failures < backends => Ok(failures),
        _ => bail!("--failures {failures}: of {} backends one at least has to be left", thousands(backends)),
    }
}

fn checked_size(size: u32) -> Result<u16> {
    match u16::try_from(size) {
        Ok(slots) if prime::is_prime(size) && size <= TABLE_SIZE_MAX => Ok(slots),
        _ => {
            let (below, above) = prime::neighbours(size);
            let near: Vec<String> = below.into_iter().chain(above).map(|prime| prime.to_string()).collect();
            bail!("--sizes {size}: a table size is a prime up to {TABLE_SIZE_MAX}; the nearest: {}", near.join(", "))
        }
    }
}

// Ids of backends and indices of slots are 16 bits wide.
const _: () = assert!(GEOMETRY.backends <= Geometry::BOUNDS[1].2 && TABLE_SIZE_MAX <= u16::MAX as u32);
