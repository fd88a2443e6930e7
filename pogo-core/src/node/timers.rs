//! One table of absolute deadlines, so that the driver needs one timer and none is ever stale.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    id::{ChildId, RequestId},
    time::Timestamp,
};

/// What a deadline is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The next slice of the slow full pass.
    Sync,
    /// An addition to the view has settled (R6).
    Settle,
    /// A hold after a mass loss is over (R22).
    MassLoss,
    /// Repeat what the backend did not take.
    Retry,
    /// Something about a child is due; reconcile finds out what.
    Child(ChildId),
    /// A user's request has waited long enough.
    Request(RequestId),
    /// A run would have to stop, or something waits to begin: lease and contacts are to be read (R16,
    /// R17).
    Tenure,
    /// The drain's deadline, or the end of waiting for a last export.
    Leaving,
}

/// Deadlines by subject.
#[derive(Debug, Clone, Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(Timestamp, Timer)>,
    /// Of all but children, which remember their own.
    by_subject: BTreeMap<Timer, Timestamp>,
}

impl Timers {
    /// Sets the deadline of `timer`, replacing the one that it had.
    pub(super) fn arm(&mut self, timer: Timer, at: Timestamp) {
        if let Some(old) = self.by_subject.insert(timer.clone(), at) {
            if old == at {
                return;
            }
            self.by_time.remove(&(old, timer.clone()));
        }
        self.by_time.insert((at, timer));
    }

    /// Sets the deadline of `timer` unless it has an earlier one.
    pub(super) fn arm_by(&mut self, timer: Timer, at: Timestamp) {
        if self.by_subject.get(&timer).is_none_or(|armed| *armed > at) {
            self.arm(timer, at);
        }
    }

    /// Moves a deadline whose subject remembers it; nothing else may arm it.
    pub(super) fn shift(&mut self, timer: Timer, from: Option<Timestamp>, to: Option<Timestamp>) {
        if from == to {
            return;
        }
        let mut entry = (from.unwrap_or_default(), timer);
        if from.is_some() {
            self.by_time.remove(&entry);
        }
        if let Some(to) = to {
            entry.0 = to;
            self.by_time.insert(entry);
        }
    }

    pub(super) fn disarm(&mut self, timer: &Timer) {
        if let Some(at) = self.by_subject.remove(timer) {
            self.by_time.remove(&(at, timer.clone()));
        }
    }

    /// Takes the earliest deadline that has come.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<Timer> {
        let (at, _) = self.by_time.first()?;
        if *at > now {
            return None;
        }
        let (_, timer) = self.by_time.pop_first()?;
        self.by_subject.remove(&timer);
        Some(timer)
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Whether this deadline of a child is in the table.
    pub(super) fn has(&self, timer: &Timer, at: Timestamp) -> bool {
        self.by_time.contains(&(at, timer.clone()))
    }

    /// How many of the deadlines are children's.
    pub(super) fn of_children(&self) -> usize {
        self.by_time.iter().filter(|(_, timer)| matches!(timer, Timer::Child(_))).count()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_time.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rearming_replaces_the_deadline() {
        let mut timers = Timers::default();
        timers.arm(Timer::Sync, Timestamp::from_nanos(5));
        timers.arm(Timer::Sync, Timestamp::from_nanos(9));
        timers.arm_by(Timer::Sync, Timestamp::from_nanos(12));
        assert_eq!((timers.next(), timers.len()), (Some(Timestamp::from_nanos(9)), 1));
        assert_eq!(timers.pop_due(Timestamp::from_nanos(8)), None);
        assert_eq!(timers.pop_due(Timestamp::from_nanos(9)), Some(Timer::Sync));
        assert_eq!(timers.next(), None);
    }
}
