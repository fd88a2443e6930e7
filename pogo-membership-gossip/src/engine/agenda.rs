//! One table of absolute deadlines: the engine waits for the first.

use std::collections::{BTreeMap, BTreeSet};

use pogo_core::time::Timestamp;

use super::{SessionId, Target};
use crate::peer::PeerId;

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Dial.
    Dial(Target),
    /// Compare records with some other peer.
    Compare,
    /// Ask everybody whether this peer counts there.
    Contacts,
    /// Collect old tombstones.
    Collect,
    /// Look at the forming of the cluster again.
    Forming,
    /// Look at a joining session again.
    Naming(SessionId),
    /// A write has waited for all, or for anybody, long enough.
    Write(u64),
    /// Who is to leave has waited long enough for others to know what it wrote.
    Leave,
    /// A question has waited long enough.
    Question(u64),
    /// The records of a dead peer are dropped.
    Bury(PeerId),
}

/// Deadlines by subject.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    by_time: BTreeSet<(Timestamp, Timer)>,
    by_timer: BTreeMap<Timer, Timestamp>,
}

impl Agenda {
    /// Sets the deadline of `timer`, replacing the one that it had.
    pub(super) fn arm(&mut self, timer: Timer, at: Timestamp) {
        if let Some(old) = self.by_timer.insert(timer, at) {
            self.by_time.remove(&(old, timer));
        }
        self.by_time.insert((at, timer));
    }

    pub(super) fn disarm(&mut self, timer: Timer) {
        if let Some(at) = self.by_timer.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    pub(super) fn is_armed(&self, timer: Timer) -> bool {
        self.by_timer.contains_key(&timer)
    }

    /// The next deadline that has come, disarmed.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<Timer> {
        let &(at, timer) = self.by_time.first()?;
        if at > now {
            return None;
        }
        self.disarm(timer);
        Some(timer)
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }
}
