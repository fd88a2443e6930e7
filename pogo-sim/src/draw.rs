//! Keyed randomness: a draw depends on the seed and on what it is for, never on what was drawn
//! before.
//!
//! Removing one operation from a plan therefore changes no other draw, which keeps a failing plan
//! failing while it is made smaller, and makes a run repeatable (law S19).

use std::{cell::RefCell, time::Duration};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The draws of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draws {
    seed: u64,
}

impl Draws {
    /// The draws that belong to `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// 64 random bits for the `counter`-th use of `purpose` by `entity`.
    pub fn bits(&self, purpose: &str, entity: &str, counter: u64) -> u64 {
        let mut key = Vec::with_capacity(purpose.len() + entity.len() + 10);
        key.extend_from_slice(purpose.as_bytes());
        key.push(0);
        key.extend_from_slice(entity.as_bytes());
        key.push(0);
        key.extend_from_slice(&counter.to_le_bytes());
        let bits = xxh3_64_with_seed(&key, self.seed);
        LOG.with_borrow_mut(|log| {
            if let Some(log) = log {
                log.take(bits, || format!("{purpose} of {entity:?}, number {counter}"));
            }
        });
        bits
    }

    /// A number below `bound`; 0 where the bound is 0.
    pub fn below(&self, purpose: &str, entity: &str, counter: u64, bound: u64) -> u64 {
        let wide = u128::from(self.bits(purpose, entity, counter)) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// True in `per_mille` of 1,000 cases.
    pub fn chance(&self, purpose: &str, entity: &str, counter: u64, per_mille: u32) -> bool {
        self.below(purpose, entity, counter, 1000) < u64::from(per_mille)
    }

    /// An exponentially distributed time, at most ten times its mean.
    pub fn exponential(
        &self,
        purpose: &str,
        entity: &str,
        counter: u64,
        mean: Duration,
    ) -> Duration {
        let nanos = u64::try_from(mean.as_nanos()).unwrap_or(u64::MAX);
        let drawn = u128::from(nanos) * u128::from(minus_ln(self.bits(purpose, entity, counter)));
        let most = u128::from(nanos) * 10;
        Duration::from_nanos(u64::try_from((drawn >> 16).min(most)).unwrap_or(u64::MAX))
    }
}

thread_local! {
    /// The draws of this thread, while two runs are compared.
    ///
    /// Not an argument like the seed: it decides nothing, and every function that draws would have
    /// to pass it on.
    static LOG: RefCell<Option<Log>> = const { RefCell::new(None) };
}

/// The draws of one run, and the first draw of another that differs.
#[derive(Debug, Default)]
struct Log {
    drawn: Vec<u64>,
    /// Where in `drawn` the other run is, once it runs.
    at: Option<usize>,
    differs: Option<String>,
}

impl Log {
    fn take(&mut self, bits: u64, name: impl Fn() -> String) {
        let Some(at) = &mut self.at else {
            self.drawn.push(bits);
            return;
        };
        if self.differs.is_none() && self.drawn.get(*at) != Some(&bits) {
            self.differs = Some(format!("draw {at}: {}", name()));
        }
        *at += 1;
    }
}

/// Lets `run` run twice on this thread, and names the first draw that it makes the second time and
/// not the first time.
pub fn first_difference(mut run: impl FnMut()) -> Option<String> {
    LOG.set(Some(Log::default()));
    run();
    LOG.with_borrow_mut(|log| log.as_mut().map(|log| log.at = Some(0)));
    run();
    LOG.take().and_then(|log| log.differs)
}

/// `-ln(bits / 2^64)` in 1/65536, by integers only so that every machine draws the same.
///
/// Between powers of two it is interpolated in a straight line, which is near enough for delays.
fn minus_ln(bits: u64) -> u64 {
    let zeros = bits.leading_zeros();
    let mantissa = bits.checked_shl(zeros).unwrap_or(1 << 63) << 1;
    let fraction = 65_536 - (mantissa >> 48);
    let log2 = (u64::from(zeros) << 16) + fraction;
    (log2 * 45_426) >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_their_key_alone() {
        let draws = Draws::new(7);
        assert_eq!(draws.bits("delay", "a", 1), Draws::new(7).bits("delay", "a", 1));
        assert_ne!(draws.bits("delay", "a", 1), draws.bits("delay", "a", 2));
        assert_ne!(draws.bits("delay", "a", 1), draws.bits("delay", "b", 1));
        assert_ne!(draws.bits("delay", "a", 1), Draws::new(8).bits("delay", "a", 1));
        assert_ne!(draws.bits("ab", "c", 1), draws.bits("a", "bc", 1));
    }

    #[test]
    fn first_draw_that_differs_between_two_runs_is_named() {
        let draws = Draws::new(1);
        let mut runs = 0;
        let differs = first_difference(|| {
            runs += 1;
            draws.bits("delay", "a", 1);
            draws.bits("delay", if runs == 2 { "b" } else { "a" }, 2);
            draws.bits("delay", "a", 3);
        });
        assert_eq!(differs.as_deref(), Some("draw 1: delay of \"b\", number 2"));
        assert_eq!(first_difference(|| assert_ne!(draws.bits("delay", "a", 1), 0)), None);
    }

    #[test]
    fn exponential_has_its_mean_and_its_bound() {
        let draws = Draws::new(3);
        let mean = Duration::from_millis(10);
        let all: Vec<_> = (0..10_000).map(|n| draws.exponential("d", "e", n, mean)).collect();
        let average = all.iter().sum::<Duration>() / 10_000;
        assert!((9_000..11_500).contains(&average.as_micros()), "{average:?}");
        assert!(all.iter().all(|drawn| *drawn <= mean * 10));
        assert_eq!(draws.below("d", "e", 0, 0), 0);
    }
}
