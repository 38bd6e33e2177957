//! A limit on how often something is done: so many times a second, and some more after silence.

/// Nanoseconds of a second.
const SECOND_NS: u64 = 1_000_000_000;

/// A token bucket that counts in time: a token is the time in which it comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    token_ns: u64,
    full_ns: u64,
    credit_ns: u64,
    /// When it was looked last.
    seen_ns: u64,
}

impl Bucket {
    /// A full one.
    pub(super) const fn new(per_second: u64, at_once: u64) -> Self {
        let token_ns = SECOND_NS / per_second;
        Self { token_ns, full_ns: token_ns * at_once, credit_ns: token_ns * at_once, seen_ns: 0 }
    }

    /// Takes a token, if there is one at a time that does not go back.
    pub(super) fn take(&mut self, now_ns: u64) -> bool {
        let passed = now_ns.saturating_sub(self.seen_ns);
        self.seen_ns = now_ns;
        self.credit_ns = self.credit_ns.saturating_add(passed).min(self.full_ns);
        let left = self.credit_ns.checked_sub(self.token_ns);
        self.credit_ns = left.unwrap_or(self.credit_ns);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_gives_what_it_holds_at_once_then_its_rate_and_never_more_than_full() {
        let mut bucket = Bucket::new(1_000, 100);
        let mut taken = |now_ns| (0..1_000).filter(|_| bucket.take(now_ns)).count();
        assert_eq!(taken(5), 100);
        assert_eq!(taken(1_000_004), 0);
        assert_eq!(taken(1_000_005), 1);
        assert_eq!(taken(11_500_005), 10);
        // Half a token was left.
        assert_eq!(taken(12_000_005), 1);
        assert_eq!(taken(u64::MAX), 100);
        assert_eq!(taken(u64::MAX), 0);
    }
}
