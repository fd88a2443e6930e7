//! Replicas of owned records against the history of their owners.

mod deltas;
mod garbage;
mod model;

use bytes::Bytes;
use pogo_core::{
    id::{BootId, Scope},
    record::Key,
};

use super::{Applied, Delta, OwnedKey, OwnedStore, Progress};
use crate::{engine::LinkId, peer::PeerId};

fn peer(n: usize) -> PeerId {
    PeerId::from_random(n as u128 + 1)
}

fn key(n: usize) -> OwnedKey {
    let key = (n > 0).then(|| Key::new(format!("r/{n}")));
    OwnedKey { scope: Scope::new("default").unwrap(), boot: BootId::from_random(7), key }
}

fn store(n: usize) -> OwnedStore {
    OwnedStore::new(peer(n))
}
