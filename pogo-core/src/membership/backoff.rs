//! Exponential back-off with jitter, the same for every retry in the project.

use std::time::Duration;

/// Doubling delays between two bounds; the caller gives the randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    tries: u32,
}

impl Backoff {
    /// Delays from `first` to `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, tries: 0 }
    }

    /// The next delay, spread over its upper half by `random` so that members do not retry in
    /// step; without the spread, delays never shrink from one try to the next.
    pub fn next_delay(&mut self, random: u64) -> Duration {
        let full = self.first.saturating_mul(1 << self.tries.min(20)).min(self.longest);
        self.tries = self.tries.saturating_add(1);
        let half = full / 2;
        let span = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).saturating_add(1);
        half.saturating_add(Duration::from_nanos(random % span))
    }

    /// Starts over after a success.
    pub const fn reset(&mut self) {
        self.tries = 0;
    }

    /// How many delays were given since the last success.
    pub const fn tries(&self) -> u32 {
        self.tries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let delays: Vec<_> = (0..5).map(|_| backoff.next_delay(u64::MAX - 1).as_millis()).collect();
        assert!(delays.windows(2).all(|w| w[1] + 1 >= w[0]), "{delays:?}");
        assert!(delays.iter().all(|d| *d <= 1000));
        backoff.reset();
        assert!(backoff.next_delay(0) <= Duration::from_millis(100));
    }
}
