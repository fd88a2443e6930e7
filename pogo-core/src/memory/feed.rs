//! A reader's feed: what was sent to it, and when it is due.
//!
//! Events about one member arrive in the order of sending (R6); those of different members
//! interleave as the seed says. A snapshot is a fence: nothing sent later overtakes it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{
    id::MemberName,
    membership::{Event, Health},
    record::Key,
    time::Timestamp,
};

/// Events within a channel keep their order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Channel {
    /// A member's coming, status, owned records, and going.
    Member(MemberName),
    /// A member's writes to shared records.
    Shared(MemberName),
    /// What the store itself says.
    Store,
}

impl Channel {
    fn key(&self, seed: u64) -> u64 {
        let (kind, name) = match self {
            Self::Member(name) => (1, name.as_str()),
            Self::Shared(name) => (2, name.as_str()),
            Self::Store => (3, ""),
        };
        xxh3_64_with_seed(name.as_bytes(), seed ^ kind)
    }
}

/// How long events travel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Network {
    pub(super) seed: u64,
    pub(super) shortest: Duration,
    pub(super) longest: Duration,
}

impl Network {
    /// Each draw depends on its key and number only, so that an operation taken out of a test's
    /// plan leaves the others' draws as they were.
    fn delay(&self, key: u64, nth: u64) -> Duration {
        let span = self.longest.saturating_sub(self.shortest);
        let span = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        if span == 0 {
            return self.shortest;
        }
        let draw = xxh3_64_with_seed(&nth.to_le_bytes(), key);
        self.shortest + Duration::from_nanos(draw % span.saturating_add(1))
    }
}

#[derive(Debug, Clone)]
struct Pace {
    key: u64,
    sent: u64,
    last: Timestamp,
}

/// Events on their way to one session.
#[derive(Debug, Clone)]
pub(super) struct Feed {
    seed: u64,
    pending: BTreeMap<(Timestamp, u64), Event>,
    pushed: u64,
    paces: BTreeMap<Channel, Pace>,
    floor: Timestamp,
    health: VecDeque<(Timestamp, Event)>,
}

impl Feed {
    pub(super) fn new(network: &Network, reader: &MemberName) -> Self {
        Self {
            seed: xxh3_64_with_seed(reader.as_str().as_bytes(), network.seed),
            pending: BTreeMap::new(),
            pushed: 0,
            paces: BTreeMap::new(),
            floor: Timestamp::ZERO,
            health: VecDeque::new(),
        }
    }

    /// Sends `event`; it overtakes nothing on its channel and no fence.
    pub(super) fn push(
        &mut self,
        at: Timestamp,
        network: &Network,
        channel: Channel,
        event: Event,
    ) {
        let due = self.due(at, network, channel);
        self.insert(due, event);
    }

    /// Sends `events` behind all that was sent before and ahead of all that follows.
    pub(super) fn push_fence(
        &mut self,
        at: Timestamp,
        network: &Network,
        events: impl IntoIterator<Item = Event>,
    ) {
        let last = self.pending.last_key_value().map_or(Timestamp::ZERO, |((due, _), _)| *due);
        self.floor = self.due(at, network, Channel::Store).max(last);
        for event in events {
            self.insert(self.floor, event);
        }
    }

    /// Says how the store's health is, which needs no store.
    pub(super) fn push_health(&mut self, at: Timestamp, health: Health) {
        self.health.push_back((at, Event::Health(health)));
    }

    /// Loses what is on its way; returns the claims of which it would have told.
    pub(super) fn lose_pending(&mut self) -> BTreeSet<Key> {
        let mut freed = BTreeSet::new();
        for event in std::mem::take(&mut self.pending).into_values() {
            if let Event::ClaimFree(keys) = event {
                freed.extend(keys);
            }
        }
        freed
    }

    /// The next event that is due; only of health while the session is held off.
    pub(super) fn pop(&mut self, now: Timestamp, held: bool) -> Option<Event> {
        if self.health.front().is_some_and(|(at, _)| *at <= now) {
            return self.health.pop_front().map(|(_, event)| event);
        }
        let first = self.pending.first_entry().filter(|e| !held && e.key().0 <= now)?;
        Some(first.remove())
    }

    /// When the next event is due.
    pub(super) fn next_at(&self, held: bool) -> Option<Timestamp> {
        let health = self.health.front().map(|(at, _)| *at);
        let pending = self.pending.first_key_value().map(|((due, _), _)| *due);
        health.into_iter().chain(pending.filter(|_| !held)).min()
    }

    fn due(&mut self, at: Timestamp, network: &Network, channel: Channel) -> Timestamp {
        let key = channel.key(self.seed);
        let pace =
            self.paces.entry(channel).or_insert(Pace { key, sent: 0, last: Timestamp::ZERO });
        let due = (at + network.delay(pace.key, pace.sent)).max(pace.last).max(self.floor);
        pace.sent += 1;
        pace.last = due;
        due
    }

    fn insert(&mut self, due: Timestamp, event: Event) {
        self.pending.insert((due, self.pushed), event);
        self.pushed += 1;
    }
}
