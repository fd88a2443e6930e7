//! Placement: which member owns which child.
//!
//! Rendezvous hashing. Every member computes the same owner from the same inputs with no message: each member gets
//! a score for each child, and the members stand in the order of their scores. A member that leaves
//! changes only its own children's owner, and one that joins only takes; that is why failover needs no agreement
//! on removals (R6), and why two reports alone say which of two instances is the survivor (R8).
//!
//! This is "placement v1": other versions of this program read the same store, so no input may ever give another
//! order than it does today. All of it is integer arithmetic. Who is eligible at all (kind, labels, draining) is
//! decided before, by what the caller passes in.
//!
//! ```
//! use pogo_core::{id::MemberName, placement::{Candidate, ChildKey, owner}};
//!
//! let (a, b) = (MemberName::new("node-a")?, MemberName::new("node-b")?);
//! let candidates = [Candidate::new(&a, 1), Candidate::new(&b, 1)];
//! let owner = owner(ChildKey::new("worker:0"), &candidates);
//! assert_eq!(owner.map(|it| it.name()), Some(&a));
//! # Ok::<(), pogo_core::id::IdError>(())
//! ```

mod score;
mod weight;

use std::cmp::Ordering;

use crate::id::MemberName;

pub use self::{
    score::{ChildKey, MemberKey, score},
    weight::cost,
};

/// A member that may own children: what placement needs of it.
///
/// Candidates that are compared have different names. One of weight 0 stands behind all others and is never chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    name: &'a MemberName,
    key: MemberKey,
    weight: u16,
}

impl<'a> Candidate<'a> {
    /// Hashes the name: make it once for many children.
    pub fn new(name: &'a MemberName, weight: u16) -> Self {
        Self { name, key: MemberKey::new(name.as_str()), weight }
    }

    /// With the hash of its name, where that is kept.
    pub(crate) const fn with_key(name: &'a MemberName, key: MemberKey, weight: u16) -> Self {
        Self { name, key, weight }
    }

    /// The member's name.
    pub const fn name(&self) -> &'a MemberName {
        self.name
    }

    /// The hash of its name.
    pub const fn key(&self) -> MemberKey {
        self.key
    }
}

/// Whether `a` comes before `b` in the order for this child. A member that joins takes exactly the children for
/// which it precedes their owner.
pub fn precedes(child: ChildKey, a: &Candidate<'_>, b: &Candidate<'_>) -> bool {
    Standing::new(child, a).order(&Standing::new(child, b)).is_lt()
}

/// The first in the order for this child; `None` where no candidate has a weight.
pub fn owner<'c, 'a: 'c>(
    child: ChildKey,
    candidates: impl IntoIterator<Item = &'c Candidate<'a>>,
) -> Option<&'c Candidate<'a>> {
    standings(child, candidates).min_by(Standing::order).map(|standing| standing.candidate)
}

/// The whole order for this child, the owner first, without candidates of weight 0.
pub fn ranked<'c, 'a: 'c>(
    child: ChildKey,
    candidates: impl IntoIterator<Item = &'c Candidate<'a>>,
) -> Vec<&'c Candidate<'a>> {
    let mut standings: Vec<_> = standings(child, candidates).collect();
    standings.sort_unstable_by(Standing::order);
    standings.into_iter().map(|standing| standing.candidate).collect()
}

fn standings<'c, 'a: 'c>(
    child: ChildKey,
    candidates: impl IntoIterator<Item = &'c Candidate<'a>>,
) -> impl Iterator<Item = Standing<'c, 'a>> {
    let eligible = candidates.into_iter().filter(|candidate| candidate.weight > 0);
    eligible.map(move |candidate| Standing::new(child, candidate))
}

/// A candidate with its score for one child.
struct Standing<'c, 'a> {
    score: u32,
    candidate: &'c Candidate<'a>,
}

impl<'c, 'a> Standing<'c, 'a> {
    fn new(child: ChildKey, candidate: &'c Candidate<'a>) -> Self {
        Self { score: score(child, candidate.key), candidate }
    }

    /// `Less` where `self` comes first.
    fn order(&self, other: &Self) -> Ordering {
        let (mine, others) = (self.candidate.weight, other.candidate.weight);
        let by_score = if mine == others {
            // The same as by cost, which strictly falls as the score rises, without its logarithm.
            other.score.cmp(&self.score)
        } else if mine == 0 || others == 0 {
            others.cmp(&mine)
        } else {
            // Cost / weight on both sides, multiplied out: a division would round.
            let my_cost = u128::from(cost(self.score)) * u128::from(others);
            my_cost.cmp(&(u128::from(cost(other.score)) * u128::from(mine)))
        };
        by_score.then_with(|| self.candidate.name.cmp(other.candidate.name))
    }
}

#[cfg(test)]
mod tests;
