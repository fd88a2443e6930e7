//! What becomes of accepted changes where nobody but the members keeps them (R3).
//!
//! A change is accepted once somebody else has it, unless there is nobody else. It lives as long as
//! one of those who have it: where the last one ends, nobody can be held to the change any more.

use std::time::Duration;

use pogo_core::{
    id::{ChildId, MemberName},
    record::Stamp,
};

use super::World;
use crate::{fact::Fact, oracle::Outcome, plan::BackendKind};

/// Whoever acknowledged a change may have ended this long before its author says so.
const JUST_ENDED: Duration = Duration::from_secs(2);

impl World {
    /// Holds a member to what it says: a change of its own that it calls accepted is in other
    /// hands.
    pub(super) fn judge_acceptance(&mut self, host: &MemberName, child: &ChildId, stamp: Stamp) {
        if self.options.backend != BackendKind::Gossip || self.is_held_elsewhere(host, child, stamp)
        {
            return;
        }
        let Some(seen) = self.picture.hosts.get(host) else { return };
        let is_own = stamp.version.author == seen.boot;
        let is_alone = seen.sees.keys().all(|boot| *boot == seen.boot);
        // One that has not read a snapshot, or reads no more, may have it without showing that.
        // So may one that is late with everything.
        let all_show = self.picture.hosts.values().all(|other| {
            other.synced && !other.leaving && other.paused.is_none() && other.slow.is_zero()
        });
        // What a slow process has not got round to does not show either.
        let all_show = all_show && !self.is_anybody_late();
        let nobody_ended = self.now > self.last_end + JUST_ENDED;
        if is_own && !is_alone && all_show && nobody_ended {
            let what = format!("accepts a change of {child} that no other member has");
            self.see(Fact::BackendBroke { host: host.clone(), what });
        }
    }

    /// Whether a member may truly say that there is no such child though there is one: over gossip,
    /// one that started while cut off from all others has heard of none.
    pub(super) fn may_not_know(&self) -> bool {
        self.options.backend == BackendKind::Gossip && self.picture.divided
    }

    /// Whether a member may truly have read that there is no such child though there is one: the
    /// store has lost data, and another member puts it back, or just has (R15).
    pub(super) fn is_to_be_restored(&self, child: &ChildId) -> bool {
        let has_it = |host| self.record_at(host, child).is_some_and(|(_, live)| live);
        self.has_lost_data && self.hosts.keys().any(has_it)
    }

    /// Whether a member has ended the child itself, though it says that there is none: a store may
    /// lose the tombstone before it was acknowledged, and who has seen it puts it back (R15).
    pub(super) fn has_terminated(&self, host: &MemberName, child: &ChildId) -> bool {
        let boot = self.picture.hosts.get(host).map(|seen| seen.boot);
        let is_own = |stamp: Stamp| Some(stamp.version.author) == boot;
        self.has_lost_data
            && self.record_at(host, child).is_some_and(|(stamp, live)| !live && is_own(stamp))
    }

    /// Whether what a member has read may be older than what another one is about to put back: a
    /// store that has lost data shows what was put back first (R15).
    pub(super) fn is_to_be_replaced(&self, host: &MemberName, child: &ChildId) -> bool {
        let here = self.record_at(host, child).map(|(stamp, _)| stamp);
        let is_newer = |there| self.record_at(there, child).map(|(stamp, _)| stamp) > here;
        self.has_lost_data && self.hosts.keys().any(is_newer)
    }

    /// A process has ended, or the backend has lost data: what they alone had may be lost.
    pub(super) fn lose_changes(&mut self) {
        if self.options.backend == BackendKind::Hub {
            return;
        }
        // States that were handed over are gone with them.
        let nobody_is_left = !self.picture.hosts.values().any(|host| host.joined);
        if self.options.backend == BackendKind::Gossip && nobody_is_left {
            self.see(Fact::Disturbed("the last member has ended"));
        }
        let mut lost = Vec::new();
        for child in self.oracle.children() {
            for (index, change) in self.oracle.changes(child).iter().enumerate() {
                if let Outcome::Accepted { stamp: Some(stamp), .. } = change.outcome
                    && !self.backend.keeps(child, stamp)
                    && !self.expected_hosts().any(|host| self.has(host, child, stamp))
                {
                    lost.push((child.clone(), index));
                }
            }
        }
        for (child, index) in lost {
            self.oracle.answered(&child, index, Outcome::Unknown);
        }
    }

    fn is_held_elsewhere(&self, host: &MemberName, child: &ChildId, stamp: Stamp) -> bool {
        self.expected_hosts().any(|other| other != host && self.has(other, child, stamp))
    }

    fn has(&self, host: &MemberName, child: &ChildId, stamp: Stamp) -> bool {
        self.record_at(host, child).is_some_and(|(there, _)| there.version >= stamp.version)
            || self.backend.keeps_at(host, child, stamp)
    }
}
