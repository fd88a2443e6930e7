//! What clients were promised: each change as (asked, answered, how), and what must hold at the end.
//!
//! A change without an answer may or may not have happened. Changes that overlap in time, or that
//! two sides of a division were asked for, may end in either order (laws S4, S5).

use std::{collections::BTreeMap, time::Duration};

use pogo_core::{
    id::{BootId, ChildId},
    record::Stamp,
    time::Timestamp,
};

use crate::plan::ChildPlan;

/// All changes that clients asked for.
#[derive(Debug, Clone, Default)]
pub struct Oracle {
    changes: BTreeMap<ChildId, Vec<Change>>,
    divisions: Vec<(Timestamp, Timestamp)>,
    losses: Vec<Timestamp>,
    spread: Duration,
    lag: Duration,
    horizon: Duration,
}

/// One change of one child that a client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The process that was asked.
    pub boot: BootId,
    /// The child as wanted; `None` terminates it.
    pub wanted: Option<ChildPlan>,
    /// When it was asked for.
    pub asked: Timestamp,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// No answer yet, or one that leaves it open.
    Unknown,
    /// It was refused and nothing was changed.
    Refused,
    /// It was accepted.
    Accepted {
        /// When.
        at: Timestamp,
        /// The child's record at the answering member.
        stamp: Option<Stamp>,
    },
}

/// What must hold of a child once the cluster is at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It is present with this spec.
    Present(ChildPlan),
    /// It is not present.
    Absent,
    /// Either may hold.
    Open,
}

/// Where a change stands in the oracle.
pub type ChangeIndex = usize;

impl Oracle {
    /// An oracle of a cluster in which members that reach each other know of an accepted change
    /// after `spread`, and in which an unanswered change takes effect within `horizon` or never.
    pub fn new(spread: Duration, horizon: Duration) -> Self {
        Self { spread, horizon, ..Self::default() }
    }

    /// The same where the next member asked may not know of an accepted change for so long, and
    /// then gives its own one a place before that (R2, R3).
    #[must_use]
    pub fn lagging(self, lag: Duration) -> Self {
        Self { lag, ..self }
    }

    /// Notes that a client asks for a change.
    pub fn asked(
        &mut self,
        now: Timestamp,
        child: &ChildId,
        boot: BootId,
        wanted: Option<ChildPlan>,
    ) -> ChangeIndex {
        let changes = self.changes.entry(child.clone()).or_default();
        changes.push(Change { boot, wanted, asked: now, outcome: Outcome::Unknown });
        changes.len() - 1
    }

    /// Notes the answer to a change.
    pub fn answered(&mut self, child: &ChildId, index: ChangeIndex, outcome: Outcome) {
        if let Some(change) = self.changes.get_mut(child).and_then(|all| all.get_mut(index)) {
            change.outcome = outcome;
        }
    }

    /// Notes that the cluster is divided from now on. A division into other sides goes on where
    /// members had no time in between to tell each other what they knew.
    pub fn cut(&mut self, now: Timestamp) {
        match self.divisions.last_mut() {
            Some((_, end)) if *end == Timestamp::MAX || *end + self.spread >= now => {
                *end = Timestamp::MAX;
            }
            _ => self.divisions.push((now, Timestamp::MAX)),
        }
    }

    /// Notes that the division, if there is one, has ended.
    pub fn healed(&mut self, now: Timestamp) {
        if let Some((_, end)) = self.divisions.last_mut() {
            *end = (*end).min(now);
        }
    }

    /// Notes that the backend has lost data. What a member puts back of it (R15) and what was written
    /// meanwhile without knowing of it are ordered as any two records (R2).
    pub fn lost_data(&mut self, now: Timestamp) {
        self.losses.push(now);
    }

    /// Whether there is a division that has not ended.
    pub fn is_divided(&self) -> bool {
        self.divisions.last().is_some_and(|(_, end)| *end == Timestamp::MAX)
    }

    /// The spec that a restart of the child would write anew, as far as clients know: the last one
    /// that was asked for and not refused.
    pub fn restarted(&self, child: &ChildId) -> Option<ChildPlan> {
        let changes = self.changes(child).iter().rev();
        changes.filter(|change| change.outcome != Outcome::Refused).find_map(|change| change.wanted)
    }

    /// Notes what an accepted restart has written: the spec that its member knew, which may be
    /// another than the last one that clients asked for.
    pub fn rewrote(&mut self, child: &ChildId, index: ChangeIndex, plan: ChildPlan) {
        if let Some(change) = self.changes.get_mut(child).and_then(|all| all.get_mut(index)) {
            change.wanted = Some(plan);
        }
    }

    /// The children that were ever asked for.
    pub fn children(&self) -> impl Iterator<Item = &ChildId> {
        self.changes.keys()
    }

    /// How many children that is.
    pub fn size(&self) -> u64 {
        u64::try_from(self.changes.len()).unwrap_or(u64::MAX)
    }

    /// The changes of a child in the order in which they were asked for.
    pub fn changes(&self, child: &ChildId) -> &[Change] {
        self.changes.get(child).map_or(&[], Vec::as_slice)
    }

    /// Whether a terminate may truly have found nothing, though the child was started before: that
    /// start may have come through only later, or the child may have completed.
    pub fn is_overtaken(&self, child: &ChildId, index: ChangeIndex) -> bool {
        let changes = self.changes(child);
        let Some(change) = changes.get(index) else { return false };
        let before = changes.iter().take(index).filter(|before| before.wanted.is_some());
        before.into_iter().any(|before| match before.outcome {
            Outcome::Unknown => true,
            Outcome::Accepted { at, .. } => {
                at >= change.asked || before.wanted.is_some_and(|plan| plan.may_complete())
            }
            Outcome::Refused => false,
        })
    }

    /// What must hold of a child once the cluster is at rest.
    pub fn expected(&self, child: &ChildId) -> Expected {
        let changes = self.changes(child);
        let is_last = |(at, change): &(usize, &Change)| {
            change.outcome != Outcome::Refused && !self.is_followed(changes, *at, change)
        };
        let last: Vec<&Change> =
            changes.iter().enumerate().filter(is_last).map(|(_, change)| change).collect();
        let Some(wanted) = last.first().map(|change| change.wanted) else {
            return Expected::Absent;
        };
        let accepted = last.iter().any(|c| matches!(c.outcome, Outcome::Accepted { .. }));
        if last.iter().any(|other| other.wanted != wanted) {
            return Expected::Open;
        }
        match wanted {
            Some(plan) if accepted && !plan.may_complete() => Expected::Present(plan),
            None if accepted || changes.iter().all(|c| c.wanted.is_none()) => Expected::Absent,
            _ => Expected::Open,
        }
    }

    /// Whether an accepted change certainly comes after this one, which stands at `at`.
    fn is_followed(&self, changes: &[Change], at: usize, change: &Change) -> bool {
        let later = changes
            .iter()
            .enumerate()
            .filter(|(_, later)| matches!(later.outcome, Outcome::Accepted { .. }));
        let mut later = later.map(|(place, later)| (place > at, later));
        later.any(
            |(asked_after, later)| {
                if later.boot == change.boot { asked_after } else { self.follows(later, change) }
            },
        )
    }

    /// Whether `later`, asked of another member, knew of `change`.
    fn follows(&self, later: &Change, change: &Change) -> bool {
        let at = match change.outcome {
            Outcome::Accepted { at, .. } => at,
            Outcome::Refused => change.asked,
            Outcome::Unknown => change.asked + self.horizon,
        };
        let hidden = self
            .divisions
            .iter()
            .any(|(cut, heal)| *cut <= at + self.spread && *heal + self.spread > later.asked);
        at + self.lag < later.asked && !hidden && !self.was_lost_to(later, change)
    }

    /// Whether the backend had lost `change` when `later` was written below it: clocks that differ
    /// then order the two.
    fn was_lost_to(&self, later: &Change, change: &Change) -> bool {
        let (
            Outcome::Accepted { stamp: Some(above), .. },
            Outcome::Accepted { at, stamp: Some(below) },
        ) = (change.outcome, later.outcome)
        else {
            return false;
        };
        below < above && self.losses.iter().any(|loss| change.asked <= *loss && *loss <= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: BootId = BootId::from_random(1);
    const B: BootId = BootId::from_random(2);

    fn at(second: u64) -> Timestamp {
        Timestamp::from_nanos(second * 1_000_000_000)
    }

    fn child() -> ChildId {
        ChildId::new("c").unwrap()
    }

    fn change(oracle: &mut Oracle, boot: BootId, wanted: Option<ChildPlan>, from: u64, to: u64) {
        let index = oracle.asked(at(from), &child(), boot, wanted);
        let accepted = Outcome::Accepted { at: at(to), stamp: None };
        oracle.answered(&child(), index, accepted);
    }

    #[test]
    fn last_accepted_change_counts() {
        let mut oracle = Oracle::default();
        assert_eq!(oracle.expected(&child()), Expected::Absent);
        change(&mut oracle, A, Some(ChildPlan::default()), 1, 2);
        assert_eq!(oracle.expected(&child()), Expected::Present(ChildPlan::default()));
        change(&mut oracle, B, None, 3, 4);
        assert_eq!(oracle.expected(&child()), Expected::Absent);
    }

    #[test]
    fn changes_through_one_member_are_in_order_even_when_they_overlap() {
        let mut oracle = Oracle::default();
        change(&mut oracle, A, None, 1, 4);
        change(&mut oracle, A, Some(ChildPlan::default()), 2, 3);
        assert_eq!(oracle.expected(&child()), Expected::Present(ChildPlan::default()));
    }

    #[test]
    fn changes_at_once_and_unanswered_ones_leave_it_open() {
        let mut oracle = Oracle::new(Duration::ZERO, Duration::from_secs(9));
        change(&mut oracle, A, Some(ChildPlan::default()), 1, 4);
        change(&mut oracle, B, None, 2, 3);
        assert_eq!(oracle.expected(&child()), Expected::Open);
        change(&mut oracle, B, None, 5, 6);
        assert_eq!(oracle.expected(&child()), Expected::Absent);
        oracle.asked(at(7), &child(), A, Some(ChildPlan::default()));
        assert_eq!(oracle.expected(&child()), Expected::Open);
        change(&mut oracle, B, None, 17, 18);
        assert_eq!(oracle.expected(&child()), Expected::Absent);
    }

    #[test]
    fn changes_through_two_members_are_in_order_once_both_know() {
        let lag = Duration::from_secs(2);
        let mut oracle = Oracle::new(Duration::ZERO, Duration::ZERO).lagging(lag);
        change(&mut oracle, A, Some(ChildPlan::default()), 1, 2);
        change(&mut oracle, B, None, 3, 4);
        assert_eq!(oracle.expected(&child()), Expected::Open);
        change(&mut oracle, A, None, 7, 8);
        assert_eq!(oracle.expected(&child()), Expected::Absent);
    }

    #[test]
    fn sides_that_change_without_a_whole_moment_are_in_no_order() {
        let mut oracle = Oracle::new(Duration::from_secs(1), Duration::ZERO);
        oracle.cut(at(1));
        change(&mut oracle, A, Some(ChildPlan::default()), 2, 3);
        oracle.cut(at(4));
        oracle.healed(at(5));
        oracle.cut(at(6));
        change(&mut oracle, B, None, 8, 9);
        assert_eq!(oracle.expected(&child()), Expected::Open);
        oracle.healed(at(10));
        oracle.cut(at(12));
        change(&mut oracle, A, None, 13, 14);
        assert_eq!(oracle.expected(&child()), Expected::Absent);
    }

    #[test]
    fn restart_counts_as_what_it_wrote() {
        let mut oracle = Oracle::default();
        let once =
            ChildPlan { restart: pogo_core::spec::Restart::Temporary, ..ChildPlan::default() };
        change(&mut oracle, A, Some(once), 1, 2);
        let refused = oracle.asked(at(3), &child(), A, Some(ChildPlan::default()));
        oracle.answered(&child(), refused, Outcome::Refused);
        assert_eq!(oracle.restarted(&child()), Some(once));
        change(&mut oracle, A, Some(ChildPlan::default()), 4, 5);
        assert_eq!(oracle.expected(&child()), Expected::Present(ChildPlan::default()));
        oracle.rewrote(&child(), 2, once);
        assert_eq!(oracle.expected(&child()), Expected::Open);
    }

    fn stamp(hlc: u64) -> Stamp {
        let version = pogo_core::record::Version::of(hlc, A, None);
        Stamp { version, stage: pogo_core::record::Stage::Live }
    }

    #[test]
    fn change_that_was_lost_and_comes_back_above_a_later_one_leaves_it_open() {
        let mut oracle = Oracle::default();
        let ended = oracle.asked(at(1), &child(), A, None);
        let answer = |at, stamp| Outcome::Accepted { at, stamp: Some(stamp) };
        oracle.answered(&child(), ended, answer(at(2), stamp(15)));
        let start = oracle.asked(at(5), &child(), B, Some(ChildPlan::default()));
        oracle.answered(&child(), start, answer(at(6), stamp(5)));
        let present = Expected::Present(ChildPlan::default());
        assert_eq!(oracle.expected(&child()), present, "nothing was lost");
        oracle.lost_data(at(4));
        assert_eq!(oracle.expected(&child()), Expected::Open);
        oracle.answered(&child(), start, answer(at(6), stamp(16)));
        assert_eq!(oracle.expected(&child()), present, "it was written above");
    }

    #[test]
    fn sides_of_a_division_are_in_no_order() {
        let mut oracle = Oracle::default();
        change(&mut oracle, A, Some(ChildPlan::default()), 1, 2);
        oracle.cut(at(3));
        change(&mut oracle, A, None, 4, 5);
        change(&mut oracle, B, Some(ChildPlan::default()), 6, 7);
        assert_eq!(oracle.expected(&child()), Expected::Open);
        oracle.healed(at(8));
        change(&mut oracle, A, None, 9, 10);
        assert_eq!(oracle.expected(&child()), Expected::Absent);
    }
}
