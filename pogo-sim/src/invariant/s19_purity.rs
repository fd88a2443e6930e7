//! S19: the same seed gives the same run.
//!
//! Judged over two runs, not within one: the runner repeats some seeds and compares. The first
//! fact that differs says where something other than the seed decided.

use std::hash::{Hash, Hasher};

use pogo_core::time::Timestamp;
use xxhash_rust::xxh3::Xxh3;

use super::Violation;
use crate::fact::Fact;

/// Folds a fact into the hash of a trace.
pub fn trace_hash(hash: u64, now: Timestamp, fact: &Fact) -> u64 {
    let mut hasher = Xxh3::with_seed(hash);
    now.hash(&mut hasher);
    fact.hash(&mut hasher);
    hasher.finish()
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
    Err(Violation { law: "S19 purity", child: None, what })
}

#[cfg(test)]
mod tests {
    use super::{super::handmade::*, *};

    fn run(host: &str) -> (u64, Vec<(Timestamp, Fact)>) {
        let facts = vec![
            (Timestamp::ZERO, Fact::Healed),
            (Timestamp::ZERO, Fact::Joined { host: name(host) }),
        ];
        let hash = facts.iter().fold(0, |hash, (now, fact)| trace_hash(hash, *now, fact));
        (hash, facts)
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
        let late = Timestamp::from_nanos(1);
        assert_ne!(
            trace_hash(0, Timestamp::ZERO, &Fact::Healed),
            trace_hash(0, late, &Fact::Healed)
        );
    }
}
