//! Replicas in pairs, with messages between them that a test may lose, repeat or hold back.

mod copying;
mod cuts;
mod deletion;
mod garbage;
mod merging;
mod walk;

use std::collections::VecDeque;

use bytes::Bytes;
use pogo_core::{
    id::{BootId, Scope},
    record::{Key, Record, Stage, Stamp, Version},
};

use super::{Merged, ScopedKey, SharedStore, Step, SyncMessage};
use crate::peer::PeerId;

fn key(text: impl Into<String>) -> ScopedKey {
    ScopedKey { scope: Scope::new("default").unwrap(), key: Key::new(text.into()) }
}

/// The record that `author` writes at `hlc`; without a value it is a tombstone.
fn record(hlc: u64, author: u128, value: Option<&str>) -> Record {
    let value = value.map(|it| Bytes::copy_from_slice(it.as_bytes()));
    let author = BootId::from_random(u128::MAX / 3 + author);
    let version = Version::of(hlc, author, value.as_deref());
    Record { stamp: Stamp { version, stage: Stage::Live }, value }
}

/// A store with the records `spec/0` to `spec/<count - 1>`, all of 100 bytes.
fn filled(count: usize) -> SharedStore {
    let mut store = SharedStore::default();
    let value = "x".repeat(100);
    for n in 0..count {
        store.merge(key(format!("spec/{n}")), record(1000, 1, Some(&value)));
    }
    store
}

/// Two replicas and what is on the way between them.
#[derive(Default)]
struct Pair {
    stores: [SharedStore; 2],
    /// To whom, what.
    way: VecDeque<(usize, SyncMessage)>,
    messages: usize,
    /// Bytes of hashes and listings, and of records.
    walked: usize,
    moved: usize,
    finished: [bool; 2],
    gone: [Vec<ScopedKey>; 2],
}

impl Pair {
    fn of(a: SharedStore, b: SharedStore) -> Self {
        Self { stores: [a, b], ..Self::default() }
    }

    fn peer(side: usize) -> PeerId {
        PeerId::from_random(side as u128 + 1)
    }

    fn begin(&mut self, side: usize) {
        self.finished = [false; 2];
        let root = self.stores[side].compare();
        self.send(1 - side, &root);
    }

    fn send(&mut self, to: usize, message: &SyncMessage) {
        let bytes = postcard::to_allocvec(message).unwrap();
        let moves = matches!(message, SyncMessage::Records { .. } | SyncMessage::Page { .. });
        *(if moves { &mut self.moved } else { &mut self.walked }) += bytes.len();
        self.messages += 1;
        self.way.push_back((to, postcard::from_bytes(&bytes).unwrap()));
    }

    fn deliver(&mut self, to: usize, message: SyncMessage) {
        let Step { replies, applied, gone, finished } =
            self.stores[to].sync(Self::peer(1 - to), message);
        for (key, record) in applied {
            assert!(self.stores[to].get(&key).is_some_and(|it| it.stamp >= record.stamp));
        }
        self.gone[to].extend(gone);
        self.finished[to] |= finished;
        for reply in replies {
            self.send(1 - to, &reply);
        }
    }

    fn step(&mut self) -> bool {
        let Some((to, message)) = self.way.pop_front() else { return false };
        self.deliver(to, message);
        true
    }

    /// Lets side 0 compare once, to its end.
    fn round(&mut self) {
        self.begin(0);
        while self.step() {}
    }

    fn is_equal(&self) -> bool {
        let [a, b] = &self.stores;
        check(a);
        check(b);
        assert_eq!(a.root() == b.root(), contents(a) == contents(b), "roots tell of contents");
        a.root() == b.root()
    }

    /// Compares until the replicas are equal, at most `rounds` times.
    fn settle(&mut self, rounds: usize) {
        if (0..rounds).any(|_| {
            self.round();
            self.is_equal()
        }) {
            return;
        }
        panic!("still different after {rounds} rounds");
    }
}

fn contents(store: &SharedStore) -> Vec<(ScopedKey, Record)> {
    store.after(None).map(|(key, record)| (key, record.clone())).collect()
}

/// What the store keeps beside its records fits them.
fn check(store: &SharedStore) {
    let mut again = SharedStore::default();
    for (key, record) in contents(store) {
        assert_eq!(again.merge(key, record), Merged::Applied);
    }
    assert_eq!((store.root(), store.len()), (again.root(), again.len()));
    assert_eq!(store.tombstones, again.tombstones);
    assert_eq!(store.leaves, again.leaves);
}
