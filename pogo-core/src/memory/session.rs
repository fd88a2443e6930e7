//! One member's stay as the hub sees it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;

use super::feed::{Channel, Feed, Network};
use crate::{
    id::MemberId,
    membership::{DownReason, Event, MemberInfo, MemberMetadata, MemberStatus, OwnedUpdate},
    record::Key,
    time::Timestamp,
};

/// Names a stay in a hub; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(super) u64);

/// How the others learn of a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// At once, as by a closed connection.
    Noticed,
    /// By its silence, after the detection window.
    Silent,
}

/// An open stay. One that crashed in silence is open until the others hold it to be dead.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) id: MemberId,
    pub(super) island: usize,
    pub(super) status: MemberStatus,
    pub(super) metadata: Arc<MemberMetadata>,
    pub(super) owned: BTreeMap<Key, Bytes>,
    pub(super) feed: Feed,
    /// Its process is gone.
    pub(super) dead: bool,
    /// When the others hold it to be dead, where the hub hears nothing of it.
    pub(super) given_up_at: Option<Timestamp>,
    /// The members that it hears nothing of.
    pub(super) cuts: BTreeMap<SessionId, Cut>,
    /// A snapshot is on its way to it.
    pub(super) is_reading: bool,
    /// How many losses of data its snapshot tells of.
    pub(super) losses: u64,
    /// Claims that it was told others hold.
    pub(super) waiting: BTreeSet<Key>,
}

/// A member on another island, as its reader sees it.
#[derive(Debug, Clone)]
pub(super) struct Cut {
    pub(super) author: MemberId,
    /// When the reader holds it to be dead; `None` once it does.
    pub(super) given_up_at: Option<Timestamp>,
    /// What the reader would have been told before that.
    pub(super) missed: Vec<Event>,
}

/// A stay that the hub has ended and whose member does not know it yet.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) id: MemberId,
    pub(super) feed: Feed,
}

impl Session {
    pub(super) fn info(&self) -> MemberInfo {
        MemberInfo {
            id: self.id.clone(),
            status: self.status,
            metadata: Arc::clone(&self.metadata),
        }
    }

    /// All its owned records as updates.
    pub(super) fn owned_updates(&self) -> Vec<OwnedUpdate> {
        let value = |(key, value): (&Key, &Bytes)| OwnedUpdate {
            key: key.clone(),
            value: Some(value.clone()),
        };
        self.owned.iter().map(value).collect()
    }

    /// Tells it something about `author`, now or, while they are cut off, when they meet again.
    pub(super) fn hear(
        &mut self,
        at: Timestamp,
        network: &Network,
        author: (SessionId, &MemberId),
        event: &Event,
    ) {
        let (session, id) = author;
        match self.cuts.get_mut(&session) {
            None => {
                self.feed.push(at, network, Channel::Member(id.name.clone()), event.clone());
            }
            Some(cut) if cut.given_up_at.is_some() => cut.missed.push(event.clone()),
            Some(_) => {}
        }
    }

    /// Holds a member on another island to be dead.
    pub(super) fn give_up(&mut self, at: Timestamp, network: &Network, author: SessionId) {
        let Some(cut) = self.cuts.get_mut(&author) else { return };
        cut.given_up_at = None;
        cut.missed.clear();
        let down = Event::MemberDown(cut.author.clone(), DownReason::Failed);
        self.feed.push(at, network, Channel::Member(cut.author.name.clone()), down);
    }
}
