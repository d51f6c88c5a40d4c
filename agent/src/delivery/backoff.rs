//! How long to wait before the next try: full jitter, so that many agents do not come back at once.

use std::time::Duration;

const FIRST_MAX: Duration = Duration::from_secs(1);
/// Shorter pauses would be no pauses.
const MIN: Duration = Duration::from_millis(50);
/// Doubled so often, the first second is longer than any bound.
const DOUBLINGS_MAX: u32 = 20;

/// Counts the tries that failed one after the other.
pub(super) struct Backoff {
    failures: u32,
    random: u64,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            failures: 0,
            random: seed | 1,
        }
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Anything from next to nothing to a bound that begins at a second, doubles at each failure and ends at `max`.
    pub(super) fn next(&mut self, max: Duration) -> Duration {
        let bound = FIRST_MAX * (1 << self.failures.min(DOUBLINGS_MAX));
        self.failures = self.failures.saturating_add(1);
        // xorshift64, Marsaglia 2003.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let part = (self.random >> 11) as f64 / (1_u64 << 53) as f64;
        bound.min(max).mul_f64(part).max(MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_begin_anew_after_a_success() {
        let max = Duration::from_secs(300);
        let mut backoff = Backoff::new(42);
        let mut longest = Duration::ZERO;
        for failure in 0..1000 {
            let pause = backoff.next(max);
            let bound = Duration::from_secs(1 << failure.min(9)).min(max);
            assert!((MIN..=bound).contains(&pause), "{failure}: {pause:?}");
            longest = longest.max(pause);
        }
        assert!(longest > max / 2, "{longest:?}");
        backoff.reset();
        assert!(backoff.next(max) <= FIRST_MAX);
    }

    #[test]
    fn two_agents_do_not_wait_alike() {
        let pauses = |seed| {
            let mut backoff = Backoff::new(seed);
            [(); 8].map(|()| backoff.next(Duration::from_secs(300)))
        };
        assert_ne!(pauses(1), pauses(3));
    }
}
