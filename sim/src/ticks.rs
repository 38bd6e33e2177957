//! The time of a replay, as a simulated card is told it: how many ticks have passed before each frame.

use maglane_spec::flow::TICKS;

/// Time stamps to steps of the tick.
#[derive(Clone, Debug)]
pub(crate) struct Ticks {
    /// Nanoseconds of a tick; 0 when the tick stays.
    length_ns: u128,
    now: Option<u128>,
}

/// What a frame's time stamp means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// It is the first frame: the tick starts here, modulo [`TICKS`].
    Start(u8),
    /// So many ticks have passed, as the sideband says it: from 64 on, 64 + ticks modulo 64.
    Step(u8),
}

impl Ticks {
    pub(crate) fn new(tick_ms: u32) -> Self {
        Self { length_ns: u128::from(tick_ms) * 1_000_000, now: None }
    }

    /// Goes on from the tick of a time stamp.
    pub(crate) fn resume(&mut self, time_ns: u64) {
        self.now = Some(self.tick(time_ns));
    }

    fn tick(&self, time_ns: u64) -> u128 {
        u128::from(time_ns).checked_div(self.length_ns).unwrap_or(0)
    }

    pub(crate) fn at(&mut self, time_ns: u64) -> Passed {
        let tick = self.tick(time_ns);
        let before = self.now.replace(self.now.map_or(tick, |now| now.max(tick)));
        match before {
            None => Passed::Start(u8::try_from(tick % u128::from(TICKS)).unwrap_or(0)),
            Some(before) => {
                let ticks = tick.saturating_sub(before);
                let long = if ticks < u128::from(TICKS) { 0 } else { TICKS };
                Passed::Step(long | u8::try_from(ticks % u128::from(TICKS)).unwrap_or(0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_the_greatest_tick_so_far() {
        let mut ticks = Ticks::new(2);
        assert_eq!(ticks.at(130_999_999), Passed::Start(1));
        let steps: Vec<Passed> = [0, 131_999_999, 132_000_000, 1, 137_999_999, 1_000_000_000, u64::MAX, u64::MAX]
            .map(|time| ticks.at(time))
            .to_vec();
        // 1,000 ms is tick 500, 432 after 68 and 6 * 64 + 48; the last tick is 9,223,372,036,854.
        let last = 64 + ((u64::MAX / 2_000_000 - 500) % 64) as u8;
        assert_eq!(steps, [0, 0, 1, 0, 2, 64 + 48, last, 0].map(Passed::Step));
        let mut still = Ticks::new(0);
        assert_eq!([still.at(5), still.at(u64::MAX)], [Passed::Start(0), Passed::Step(0)]);
    }
}
