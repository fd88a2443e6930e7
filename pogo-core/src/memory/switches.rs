//! Faults of a running [`super::MemoryBackend`], for tests.

use std::{collections::BTreeSet, ops::RangeInclusive, sync::Arc, time::Duration};

use super::{Backup, Hub, backend::Place};
use crate::{
    id::MemberName,
    time::{Now, WallTime},
};

/// Switches faults of one cluster and scope on and off; each takes effect at once.
#[derive(Debug, Clone)]
pub struct Faults(Arc<Place>);

impl Faults {
    pub(super) const fn new(place: Arc<Place>) -> Self {
        Self(place)
    }

    /// As [`Hub::partition`].
    pub fn partition(&self, groups: &[BTreeSet<MemberName>]) {
        self.with(|hub, now| hub.partition(now, groups));
    }

    /// As [`Hub::heal`].
    pub fn heal(&self) {
        self.with(Hub::heal);
    }

    /// As [`Hub::evict`].
    pub fn evict(&self, member: &MemberName) {
        self.with(|hub, now| hub.evict(now, member));
    }

    /// As [`Hub::wipe`].
    pub fn wipe(&self) {
        self.with(Hub::wipe);
    }

    /// As [`Hub::backup`].
    pub fn backup(&self) -> Backup {
        self.with(|hub, _| hub.backup())
    }

    /// As [`Hub::roll_back`].
    pub fn roll_back(&self, backup: &Backup) {
        self.with(|hub, now| hub.roll_back(now, backup));
    }

    /// As [`Hub::lose_events`].
    pub fn lose_events(&self, member: &MemberName) {
        self.with(|hub, now| hub.lose_events(now, member));
    }

    /// As [`Hub::set_delay`].
    pub fn set_delay(&self, delay: &RangeInclusive<Duration>) {
        self.with(|hub, _| hub.set_delay(delay));
    }

    /// As [`Hub::set_outage`].
    pub fn set_outage(&self, outage: bool) {
        self.with(|hub, now| hub.set_outage(now, outage));
    }

    /// As [`Hub::set_member_outage`].
    pub fn set_member_outage(&self, member: &MemberName, outage: bool) {
        self.with(|hub, now| hub.set_member_outage(now, member, outage));
    }

    fn with<T>(&self, act: impl FnOnce(&mut Hub, Now) -> T) -> T {
        self.0.with(WallTime::default(), act)
    }
}
