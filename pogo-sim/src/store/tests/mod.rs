//! A cluster of clients in virtual time, driven by hand.

mod clients;
mod laws;
mod losses;
mod membership;
mod names;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use pogo_core::{
    id::{BootId, FencingToken, MemberId, MemberName, RequestId},
    membership::{
        ClaimOutcome, Event, Expect, MemberMetadata, MembershipError, NameChoice, OwnedUpdate, Put,
        PutOutcome,
    },
    node::{Answer, MembershipRequest},
    record::{Key, Record, Stage, Stamp, Version},
    time::{Now, Timestamp, WallTime},
};

use super::*;

const TTL: Duration = Duration::from_secs(4);

/// The store, what it told each session, and the time.
struct Bed {
    store: StoreModel,
    now: Timestamp,
    sessions: u64,
    asked: u64,
    told: BTreeMap<SessionId, Vec<Told>>,
}

impl Bed {
    fn new() -> Self {
        Self::with(StoreConfig { lease_ttl: TTL, ..StoreConfig::default() })
    }

    fn best_effort() -> Self {
        let strength = Strength::BestEffort;
        Self::with(StoreConfig { lease_ttl: TTL, strength, ..StoreConfig::default() })
    }

    fn with(config: StoreConfig) -> Self {
        let store = StoreModel::new(config);
        Self { store, now: Timestamp::ZERO, sessions: 0, asked: 0, told: BTreeMap::new() }
    }

    /// Lets time pass.
    fn run(&mut self, millis: u64) {
        let until = self.now + Duration::from_millis(millis);
        while let Some(at) = self.store.next_step_at().filter(|at| *at <= until) {
            self.now = at;
            self.store.step();
            self.collect();
        }
        self.now = until;
        self.collect();
    }

    fn collect(&mut self) {
        while let Some((session, told)) = self.store.poll_told() {
            self.told.entry(session).or_default().push(told);
        }
    }

    fn ask_to_join(&mut self, choice: NameChoice, boot: u128) -> SessionId {
        self.sessions += 1;
        let session = SessionId(self.sessions);
        let millis = 1_000_000 + self.now.as_nanos() / 1_000_000;
        let now = Now { mono: self.now, wall: WallTime::from_millis(millis) };
        let boot = BootId::from_random(boot << 64);
        self.store.join(now, session, choice, boot, MemberMetadata::default());
        session
    }

    fn join(&mut self, member: &str, boot: u128) -> SessionId {
        let session = self.ask_to_join(NameChoice::Exactly(name(member)), boot);
        self.run(0);
        assert!(self.joined(session).is_some(), "{:?}", self.told.get(&session));
        session
    }

    fn joined(&self, session: SessionId) -> Option<MemberId> {
        self.told.get(&session)?.iter().find_map(|told| match told {
            Told::Joined(me) => Some(me.clone()),
            _ => None,
        })
    }

    fn refused(&self, session: SessionId) -> Option<&MembershipError> {
        self.told.get(&session)?.iter().find_map(|told| match told {
            Told::Refused(error) => Some(error),
            _ => None,
        })
    }

    /// The session's events since this was asked last.
    fn events(&mut self, session: SessionId) -> Vec<Event> {
        let told = self.told.remove(&session).unwrap_or_default();
        told.into_iter()
            .filter_map(|told| match told {
                Told::Event(event) => Some(event),
                _ => None,
            })
            .collect()
    }

    fn send(&mut self, session: SessionId, request: MembershipRequest) -> RequestId {
        self.asked += 1;
        let id = RequestId::new(self.asked);
        self.store.request(self.now, session, id, request);
        id
    }

    fn answer(&self, session: SessionId, id: RequestId) -> Option<&Answer> {
        self.told.get(&session)?.iter().find_map(|told| match told {
            Told::Answer(of, answer) if *of == id => Some(answer),
            _ => None,
        })
    }

    fn ask(&mut self, session: SessionId, request: MembershipRequest) -> Answer {
        let id = self.send(session, request);
        self.run(0);
        self.answer(session, id).cloned().expect("an answer")
    }

    fn put(&mut self, session: SessionId, key: &str, hlc: u64, expect: Expect) -> PutOutcome {
        match self.ask(session, MembershipRequest::Put(vec![put(key, hlc, expect)])) {
            Answer::Put(mut outcomes) => outcomes.remove(0),
            other => panic!("{other:?}"),
        }
    }

    fn acquire(&mut self, session: SessionId, key: &str) -> Result<ClaimOutcome, MembershipError> {
        match self.ask(session, MembershipRequest::Acquire(vec![Key::new(key)])) {
            Answer::Acquired(mut outcomes) => Ok(outcomes.remove(0)),
            Answer::Failed(error) => Err(error),
            other => panic!("{other:?}"),
        }
    }

    fn token(&mut self, session: SessionId, key: &str) -> FencingToken {
        match self.acquire(session, key) {
            Ok(ClaimOutcome::Held { token }) => token,
            other => panic!("{other:?}"),
        }
    }
}

fn name(text: &str) -> MemberName {
    MemberName::new(text).unwrap()
}

fn record(hlc: u64) -> Record {
    let value = Bytes::from(hlc.to_string());
    let version = Version::of(hlc, BootId::from_random(1), Some(&value));
    Record { stamp: Stamp { version, stage: Stage::Live }, value: Some(value) }
}

fn put(key: &str, hlc: u64, expect: Expect) -> Put {
    Put { key: Key::new(key), record: record(hlc), expect }
}

fn owned(key: &str, value: &'static str) -> MembershipRequest {
    let value = Some(Bytes::from_static(value.as_bytes()));
    MembershipRequest::Publish(vec![OwnedUpdate { key: Key::new(key), value }])
}
