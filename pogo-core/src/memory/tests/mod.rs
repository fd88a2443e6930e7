//! The hub and its async side, held to what the node relies on.

mod claims;
mod division;
mod laws;
mod losses;
mod names;
mod records;
#[cfg(feature = "runtime")]
mod sessions;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;

use super::{Hub, HubConfig, SessionId};
use crate::{
    id::{BootId, MemberId, MemberName},
    membership::{
        Event, Expect, MemberInfo, MemberMetadata, MembershipError, NameChoice, OwnedUpdate, Put,
        PutOutcome, ViewDiff,
    },
    node::{Answer, MembershipRequest},
    record::{Key, Record, Stage, Stamp, Version},
    time::{Now, Timestamp, WallTime},
};

pub(super) fn name(text: &str) -> MemberName {
    MemberName::new(text).unwrap()
}

pub(super) fn names(texts: &[&str]) -> BTreeSet<MemberName> {
    texts.iter().map(|text| name(text)).collect()
}

pub(super) fn key(text: &str) -> Key {
    Key::new(text)
}

pub(super) fn boot(number: u128) -> BootId {
    BootId::from_random(number)
}

pub(super) fn record(hlc: u64, author: u128, value: Option<&str>) -> Record {
    let value = value.map(|text| Bytes::copy_from_slice(text.as_bytes()));
    let version = Version::of(hlc, boot(author), value.as_deref());
    Record { stamp: Stamp { version, stage: Stage::Live }, value }
}

pub(super) fn set(at: &str, value: &str) -> OwnedUpdate {
    OwnedUpdate { key: key(at), value: Some(Bytes::copy_from_slice(value.as_bytes())) }
}

/// A hub and the time, so that a test reads as what happens.
pub(super) struct Bench {
    pub(super) hub: Hub,
    pub(super) now: Now,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(HubConfig::default())
    }

    /// Delays up to `millis`.
    pub(super) fn with_delay(seed: u64, millis: u64) -> Self {
        let delay = Duration::ZERO..=Duration::from_millis(millis);
        Self::with(HubConfig { delay, seed, ..HubConfig::default() })
    }

    pub(super) fn with(config: HubConfig) -> Self {
        let now = Now { mono: Timestamp::ZERO, wall: WallTime::from_millis(1_000_000) };
        Self { hub: Hub::new(config), now }
    }

    pub(super) fn pass(&mut self, duration: Duration) {
        self.now.mono = self.now.mono + duration;
        self.hub.advance(self.now.mono);
    }

    pub(super) fn pass_millis(&mut self, millis: u64) {
        self.pass(Duration::from_millis(millis));
    }

    pub(super) fn try_join(
        &mut self,
        choice: &NameChoice,
        number: u128,
    ) -> Result<(SessionId, MemberId), MembershipError> {
        self.hub.join(self.now, choice, boot(number), MemberMetadata::default())
    }

    pub(super) fn join(&mut self, text: &str, number: u128) -> SessionId {
        self.try_join(&NameChoice::Exactly(name(text)), number).unwrap().0
    }

    /// Joins and reads the snapshot.
    pub(super) fn enter(&mut self, text: &str, number: u128) -> SessionId {
        let session = self.join(text, number);
        self.events(session);
        session
    }

    pub(super) fn ask(&mut self, session: SessionId, request: &MembershipRequest) -> Answer {
        self.hub.request(self.now, session, request)
    }

    pub(super) fn put(&mut self, session: SessionId, at: &str, record: Record) -> PutOutcome {
        self.put_if(session, at, record, Expect::Newer)
    }

    pub(super) fn put_if(
        &mut self,
        session: SessionId,
        at: &str,
        record: Record,
        expect: Expect,
    ) -> PutOutcome {
        let puts = vec![Put { key: key(at), record, expect }];
        let answer = self.ask(session, &MembershipRequest::Put(puts));
        let Answer::Put(outcomes) = answer else { panic!("{answer:?}") };
        outcomes.into_iter().next().unwrap()
    }

    pub(super) fn read(&mut self, session: SessionId, at: &str) -> Option<Record> {
        let answer = self.ask(session, &MembershipRequest::Get(vec![key(at)]));
        let Answer::Got(records) = answer else { panic!("{answer:?}") };
        records.into_iter().next().unwrap()
    }

    pub(super) fn publish(&mut self, session: SessionId, batch: Vec<OwnedUpdate>) {
        let answer = self.ask(session, &MembershipRequest::Publish(batch));
        assert!(matches!(answer, Answer::Done), "{answer:?}");
    }

    /// All events of a session that are due.
    pub(super) fn events(&mut self, session: SessionId) -> Vec<Event> {
        std::iter::from_fn(|| self.hub.poll_event(self.now.mono, session)).collect()
    }

    /// Lets all that is on its way arrive.
    pub(super) fn settle(&mut self) {
        self.pass_millis(500);
    }
}

/// What a member knows that replays its feed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) members: BTreeMap<MemberId, MemberInfo>,
    pub(super) shared: BTreeMap<Key, Record>,
    pub(super) owned: BTreeMap<(MemberId, Key), Bytes>,
    pub(super) evicted: bool,
}

/// Keeps a [`Picture`] up to date.
#[derive(Debug, Default)]
pub(super) struct Replay {
    pub(super) picture: Picture,
    diff: ViewDiff,
}

impl Replay {
    pub(super) fn read(&mut self, bench: &mut Bench, session: SessionId) {
        for event in bench.events(session) {
            self.apply(event);
        }
    }

    /// A write of one's own, which the feed does not bring back.
    pub(super) fn wrote(&mut self, at: &Key, record: &Record) {
        let mine = self.picture.shared.get(at);
        if mine.is_none_or(|mine| record.supersedes(mine)) {
            self.picture.shared.insert(at.clone(), record.clone());
        }
    }

    fn apply(&mut self, event: Event) {
        let gone = self.diff.observe(&event);
        let Picture { members, shared, owned, evicted } = &mut self.picture;
        assert!(!*evicted, "{event:?} after the end");
        if let Some(gone) = gone {
            members.retain(|id, _| !gone.member(id.boot));
            shared.retain(|key, _| !gone.shared(key));
            owned.retain(|(id, key), _| !gone.owned(id.boot, key));
        }
        match event {
            Event::MemberUp(info) => drop(members.insert(info.id.clone(), info)),
            Event::MemberDown(id, _) => {
                assert!(members.remove(&id).is_some(), "{id:?} was not up");
                owned.retain(|(owner, _), _| *owner != id);
            }
            Event::Shared(records) => {
                for (key, record) in records {
                    if shared.get(&key).is_none_or(|mine| record.supersedes(mine)) {
                        shared.insert(key, record);
                    }
                }
            }
            Event::SharedGone(keys) => shared.retain(|key, _| !keys.contains(key)),
            Event::Owned(id, updates) => {
                assert!(members.contains_key(&id), "{id:?} reports and is not up");
                for OwnedUpdate { key, value } in updates {
                    match value {
                        Some(value) => drop(owned.insert((id.clone(), key), value)),
                        None => drop(owned.remove(&(id.clone(), key))),
                    }
                }
            }
            Event::Evicted => *evicted = true,
            Event::Reset { .. } | Event::Synced | Event::ClaimFree(_) | Event::Health(_) => {}
        }
    }
}

/// Names of members that came up or went down, as `+a` and `-a Failed`.
pub(super) fn comings(events: &[Event]) -> Vec<String> {
    let tell = |event: &Event| {
        if let Event::MemberUp(info) = event {
            return Some(format!("+{}", info.id.name));
        }
        let Event::MemberDown(id, reason) = event else { return None };
        Some(format!("-{} {reason:?}", id.name))
    };
    events.iter().filter_map(tell).collect()
}

/// The shared records that events bring, in order.
pub(super) fn shared(events: &[Event]) -> Vec<(Key, Record)> {
    events
        .iter()
        .filter_map(|event| if let Event::Shared(records) = event { Some(records) } else { None })
        .flatten()
        .cloned()
        .collect()
}

/// The owned batches that events bring, in order.
pub(super) fn batches(events: &[Event]) -> Vec<(String, Vec<OwnedUpdate>)> {
    let batch = |event: &Event| {
        let Event::Owned(id, batch) = event else { return None };
        Some((id.name.to_string(), batch.clone()))
    };
    events.iter().filter_map(batch).collect()
}
