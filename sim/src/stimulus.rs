//! What a bench decides in every clock: whether to pause the input, and whether to hold up an output.
//!
//! The same few lines exist in `harness.cpp`, so that the rust-hdl simulation and the Verilated model see the same
//! stimulus in every clock.

use maglane_spec::Geometry;

/// How often input pauses and outputs stall, as parts of 256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stimulus {
    /// Seed of the pseudo-random decisions.
    pub seed: u64,
    /// Chance that a beat is not offered yet.
    pub gap: u8,
    /// Chance that the wire output is not ready.
    pub stall_wire: u8,
    /// Chance that the host output is not ready.
    pub stall_host: u8,
}

impl Stimulus {
    /// Everything as fast as it goes.
    pub const SMOOTH: Self = Self { seed: 1, gap: 0, stall_wire: 0, stall_host: 0 };

    /// Pauses and stalls that depend on a seed: each from one clock in eight to five in eight.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let word = random.next();
        let rate = |shift: u32| u8::try_from(32 + ((word >> shift) & 0x7f)).unwrap_or(u8::MAX);
        Self { seed, gap: rate(0), stall_wire: rate(8), stall_host: rate(16) }
    }
}

/// Beats that may be inside at a time: what the host queue holds, so that it never overruns in a comparison.
pub const BEATS_INSIDE_MAX: usize = 511;

/// Clocks without any progress after which a simulation counts as stuck: a frame may have to wait until the sweeper has
/// gone round, and then for a step of several ticks.
#[must_use]
pub const fn stuck_clocks(geometry: &Geometry) -> u64 {
    20_000 + 4 * geometry.flow_sets as u64
}

/// The decisions of one clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocked {
    pub(crate) gap: bool,
    pub(crate) stall_wire: bool,
    pub(crate) stall_host: bool,
    /// What null lanes of the input carry.
    pub(crate) garbage: u8,
}

/// Marsaglia's xorshift64 with the multiplication of Vigna's xorshift64*.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        // Neighbouring seeds must not give like streams: splitmix64's finaliser. Zero is the one state that the
        // generator cannot leave.
        let mut state = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((state ^ (state >> 31)).max(1))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    }

    pub(crate) fn clocked(&mut self, stimulus: &Stimulus) -> Clocked {
        let [gap, wire, host, garbage, ..] = self.next().to_le_bytes();
        Clocked {
            gap: gap < stimulus.gap,
            stall_wire: wire < stimulus.stall_wire,
            stall_host: host < stimulus.stall_host,
            garbage,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ_and_all_hold_up_every_stream() {
        let stimuli: Vec<Stimulus> = (0..64).map(Stimulus::from_seed).collect();
        for (index, stimulus) in stimuli.iter().enumerate() {
            assert!(stimulus.gap >= 32 && stimulus.stall_wire >= 32 && stimulus.stall_host >= 32);
            let mut own = Random::new(stimulus.seed);
            let streams = stimuli[..index].iter().filter(|other| Random::new(other.seed).next() == own.clone().next());
            assert_eq!(streams.count(), 0, "seed {index}");
            own.next();
        }
    }
}
