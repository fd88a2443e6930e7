//! The owned records of every peer, as far as they are known here.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    Delta, OwnedKey, Progress,
    parts::{self, Joined, Parts},
    replica::Replica,
};
use crate::{
    engine::LinkId,
    peer::PeerId,
    shared::{KEY_MAX, VALUE_MAX},
};

/// What became of a delta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The replica is at its end now; this is what is different, perhaps nothing.
    Changes {
        /// Records set, or removed where `None`.
        updates: Vec<(OwnedKey, Option<Bytes>)>,
    },
    /// Other parts are still to come.
    Part,
    /// The replica is there already, or further; or the delta makes no sense and is ignored.
    Known,
    /// It leads from further on than the replica is: tell the sender where it is.
    Gap {
        /// The number that the replica is at.
        at: u64,
    },
    /// It is about the own records, which nobody else writes; ignored.
    Mine,
}

/// The owned records of all peers.
#[derive(Debug)]
pub struct OwnedStore {
    me: PeerId,
    mine: Replica,
    others: BTreeMap<PeerId, Replica>,
    parts: Parts,
}

impl OwnedStore {
    /// A store that knows nothing yet.
    pub fn new(me: PeerId) -> Self {
        let (mine, others, parts) = (Replica::default(), BTreeMap::new(), Parts::default());
        Self { me, mine, others, parts }
    }

    /// Changes my own records, all at once; answers the number that they are at. What is the same
    /// already is no change.
    pub fn publish(&mut self, updates: Vec<(OwnedKey, Option<Bytes>)>) -> u64 {
        self.mine.publish(updates)
    }

    /// The number that the replica of `owner` is at, mine too; 0 is nothing.
    pub fn at(&self, owner: PeerId) -> u64 {
        self.replica(owner).map_or(0, Replica::at)
    }

    /// How far all replicas are, mine too, in the order of owners.
    pub fn progress(&self) -> Vec<Progress> {
        let mut all: Vec<Progress> =
            self.replicas().map(|(owner, it)| Progress { owner, at: it.at() }).collect();
        all.sort_unstable_by_key(|it| it.owner);
        all
    }

    /// What leads a peer that is at `theirs` to where this one is; owners not named are at 0.
    pub fn deltas(&self, theirs: &[Progress]) -> Vec<Delta> {
        let theirs: BTreeMap<PeerId, u64> = theirs.iter().map(|it| (it.owner, it.at)).collect();
        let at = |owner| theirs.get(&owner).copied().unwrap_or_default();
        self.replicas().flat_map(|(owner, it)| delta(owner, it, at(owner))).collect()
    }

    /// What leads a replica of `owner` from `from` to where this one is.
    pub fn delta_since(&self, owner: PeerId, from: u64) -> Vec<Delta> {
        self.replica(owner).map(|it| delta(owner, it, from)).unwrap_or_default()
    }

    /// Takes a delta, or one part of it, that came over `link`.
    pub fn apply(&mut self, link: LinkId, delta: Delta) -> Applied {
        if delta.owner == self.me {
            return Applied::Mine;
        }
        let at = self.at(delta.owner);
        if delta.to <= at {
            self.parts.drop_delta(link, delta.owner);
            return Applied::Known;
        }
        if !is_legal(&delta) {
            tracing::debug!(?link, owner = ?delta.owner, "ignored a delta that makes no sense");
            self.parts.drop_delta(link, delta.owner);
            return Applied::Known;
        }
        match self.parts.join(link, delta) {
            Joined::Waiting => Applied::Part,
            Joined::Lost => Applied::Gap { at },
            Joined::Whole(delta) if delta.from > at => Applied::Gap { at },
            Joined::Whole(delta) => {
                let Delta { owner, from, to, members, .. } = delta;
                let replica = self.others.entry(owner).or_default();
                let updates = replica.lead(from, to, parts::slots(members).collect());
                Applied::Changes { updates }
            }
        }
    }

    /// Forgets the parts that came over a link that is closed.
    pub fn drop_link(&mut self, link: LinkId) {
        self.parts.drop_link(link);
    }

    /// The records of `owner`, in the order of their keys.
    pub fn state(&self, owner: PeerId) -> impl Iterator<Item = (&OwnedKey, &Bytes)> {
        self.replica(owner).into_iter().flat_map(Replica::records)
    }

    /// One record of `owner`.
    pub fn get(&self, owner: PeerId, key: &OwnedKey) -> Option<&Bytes> {
        self.replica(owner)?.get(key)
    }

    /// Forgets the records of another peer.
    pub fn drop_owner(&mut self, owner: PeerId) {
        self.others.remove(&owner);
        self.parts.drop_owner(owner);
    }

    fn replica(&self, owner: PeerId) -> Option<&Replica> {
        if owner == self.me { Some(&self.mine) } else { self.others.get(&owner) }
    }

    fn replicas(&self) -> impl Iterator<Item = (PeerId, &Replica)> {
        let others = self.others.iter().map(|(owner, it)| (*owner, it));
        std::iter::once((self.me, &self.mine)).chain(others)
    }
}

fn delta(owner: PeerId, replica: &Replica, theirs: u64) -> Vec<Delta> {
    if theirs >= replica.at() {
        return Vec::new();
    }
    let from = replica.lead_from(theirs);
    parts::cut(owner, from, replica.at(), &replica.since(from))
}

/// Whether an owner could have written it.
fn is_legal(delta: &Delta) -> bool {
    let mut changes = delta.members.iter().flat_map(|it| &it.changes);
    delta.from < delta.to
        && changes.all(|change| {
            delta.from < change.number
                && change.number <= delta.to
                && (delta.from > 0 || change.value.is_some())
                && change.key.as_ref().is_none_or(|it| it.as_str().len() <= KEY_MAX)
                && change.value.as_ref().is_none_or(|it| it.len() <= VALUE_MAX)
        })
}
