//! The clock of the flow table: how many ticks pass before a frame, by its time stamp.
//!
//! It counts ticks and knows no flows. Its unit of work is a time stamp.

/// Nanoseconds of a millisecond.
const MS_NS: u64 = 1_000_000;

/// The greatest tick so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TickClock {
    /// Length of a tick; 0 when the tick stays.
    tick_ns: u64,
    /// Absolute. It starts at 0, not at the first frame's: the table is empty until then, so the first step, however
    /// long, expires nothing.
    tick: u64,
    /// First time stamp that is in a later tick; it saves most frames the division.
    next_ns: u64,
}

impl TickClock {
    /// A clock at tick 0.
    pub(crate) const fn new(tick_ms: u32) -> Self {
        // The length of the longest tick is 2^32 * 10^6 < 2^52. `u64::from` is not const.
        let tick_ns = tick_ms as u64 * MS_NS;
        Self { tick_ns, tick: 0, next_ns: tick_ns }
    }

    /// A clock whose greatest tick so far is that of a time stamp.
    pub(crate) fn at(tick_ms: u32, time_ns: u64) -> Self {
        let mut clock = Self::new(tick_ms);
        clock.advance(time_ns);
        clock
    }

    /// The first time stamp that is in a later tick; the last one of all when there is none.
    pub(crate) const fn next_ns(&self) -> u64 {
        if self.tick_ns == 0 { u64::MAX } else { self.next_ns }
    }

    /// Length of a tick; 0 when the tick stays.
    pub(crate) const fn tick_ns(&self) -> u64 {
        self.tick_ns
    }

    /// Ticks from the greatest so far to that of a time stamp; 0 when the time stamp is in an earlier one.
    pub(crate) fn advance(&mut self, time_ns: u64) -> u64 {
        if time_ns < self.next_ns {
            return 0;
        }
        let Some(tick) = time_ns.checked_div(self.tick_ns) else { return 0 };
        let ticks = tick - self.tick;
        self.tick = tick;
        // In the last tick there is no later time stamp, and `time_ns` may be the saturated one again: a step of 0.
        self.next_ns = (tick + 1).saturating_mul(self.tick_ns);
        ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_the_difference_of_the_floors() {
        let mut clock = TickClock::new(15);
        let ms = [14, 15, 29, 30, 59, 60, 75 + 15 * 62, 75 + 15 * 162];
        let ticks: Vec<u64> = ms.map(|ms| clock.advance(ms * MS_NS)).to_vec();
        assert_eq!(ticks, [0, 1, 0, 1, 1, 1, 63, 100]);
        // To the nanosecond.
        let mut clock = TickClock::new(1);
        assert_eq!([999_999, 1_000_000, 1_999_999, 2_000_000].map(|time_ns| clock.advance(time_ns)), [0, 1, 0, 1]);
    }

    #[test]
    fn time_stamps_that_go_back_count_as_the_greatest_so_far() {
        let mut clock = TickClock::new(1);
        let ms = [7, 3, 6, 7, 0, 8, 7, 9];
        assert_eq!(ms.map(|ms| clock.advance(ms * MS_NS)), [7, 0, 0, 0, 0, 1, 0, 1]);
    }

    #[test]
    fn tick_of_no_length_stays() {
        let mut clock = TickClock::new(0);
        assert_eq!([0, 1, u64::MAX, 5, u64::MAX].map(|time_ns| clock.advance(time_ns)), [0; 5]);
    }

    #[test]
    fn ticks_at_the_end_of_time_do_not_overflow() {
        for tick_ms in [1, 2, 15_000, u32::MAX] {
            let mut clock = TickClock::new(tick_ms);
            let last = u64::MAX / (u64::from(tick_ms) * MS_NS);
            let times = [u64::MAX, u64::MAX, u64::MAX - 1, 0, u64::MAX];
            assert_eq!(times.map(|time_ns| clock.advance(time_ns)), [last, 0, 0, 0, 0], "{tick_ms}");
        }
    }
}
