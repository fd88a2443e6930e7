//! S19: the same seed gives the same run.
//!
//! Judged over two runs, not within one: the runner repeats some seeds and compares. The first
//! fact that differs says where something other than the seed decided.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use pogo_core::time::Timestamp;
use xxhash_rust::xxh3::Xxh3;

use super::Violation;
use crate::fact::Fact;

/// Its id and name.
pub const PURITY: &str = "S19 purity";

/// The hash over a trace.
#[derive(Clone, Default)]
pub struct TraceHash(Xxh3);

impl TraceHash {
    /// Takes the next fact in.
    pub fn add(&mut self, now: Timestamp, fact: &Fact) {
        now.hash(&mut self.0);
        fact.hash(&mut self.0);
    }

    /// The hash over all facts so far.
    pub fn value(&self) -> u64 {
        self.0.finish()
    }
}

impl fmt::Debug for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.value())
    }
}

/// Compares the traces and trace hashes of two runs of one plan.
///
/// # Errors
/// The first fact that differs.
pub fn same_run(
    one: (u64, &[(Timestamp, Fact)]),
    two: (u64, &[(Timestamp, Fact)]),
) -> Result<(), Violation> {
    if one.0 == two.0 {
        return Ok(());
    }
    let at = one.1.iter().zip(two.1).take_while(|(one, two)| one == two).count();
    let what = format!(
        "fact {at} of the repeated run differs: {:?}, then {:?}",
        one.1.get(at),
        two.1.get(at)
    );
    Err(Violation { law: PURITY, child: None, what })
}

#[cfg(test)]
mod tests {
    use super::{super::handmade::*, *};

    fn hash(facts: &[(Timestamp, Fact)]) -> u64 {
        let mut hash = TraceHash::default();
        for (now, fact) in facts {
            hash.add(*now, fact);
        }
        hash.value()
    }

    fn run(host: &str) -> (u64, Vec<(Timestamp, Fact)>) {
        let facts = vec![
            (Timestamp::ZERO, Fact::Healed),
            (Timestamp::ZERO, Fact::Joined { host: name(host) }),
        ];
        (hash(&facts), facts)
    }

    #[test]
    fn run_that_differs_breaks_it_and_the_first_difference_is_named() {
        let (a, b) = (run("a"), run("b"));
        same_run((a.0, &a.1), (a.0, &a.1)).unwrap();
        let broken = same_run((a.0, &a.1), (b.0, &b.1)).unwrap_err();
        assert!(broken.what.starts_with("fact 1 of"), "{broken}");
    }

    #[test]
    fn time_is_part_of_the_trace() {
        let early = hash(&[(Timestamp::ZERO, Fact::Healed)]);
        assert_ne!(early, hash(&[(Timestamp::from_nanos(1), Fact::Healed)]));
    }
}
