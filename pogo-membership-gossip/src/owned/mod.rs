//! Owned records: the state of each peer, written by that peer alone and passed on as deltas.
//!
//! A peer numbers its changes. A replica of its records is at one number, and a delta leads from
//! one number to a later one, whole or not at all. So a replica always is a state in which its
//! peer was, and who sees a report sees everything that its writer published before (R6).

mod parts;
mod replica;
mod store;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use pogo_core::{
    id::{BootId, Scope},
    record::Key,
};
use serde::{Deserialize, Serialize};

pub use store::{Applied, OwnedStore};

use crate::peer::PeerId;

/// The key of an owned record within its peer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OwnedKey {
    /// The namespace of the member that it belongs to.
    pub scope: Scope,
    /// That member.
    pub boot: BootId,
    /// Its key there; `None` is the member itself.
    pub key: Option<Key>,
}

/// How far a replica of one peer's records is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Whose records.
    pub owner: PeerId,
    /// The number of the last change in it; 0 is nothing.
    pub at: u64,
}

/// Leads replicas of one peer's records to a later change; perhaps in parts, the last with
/// `more == false`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// Whose records.
    pub owner: PeerId,
    /// A replica at this number or later can be led; 0 replaces whatever there is.
    pub from: u64,
    /// Where it is afterwards.
    pub to: u64,
    /// Which part of the delta this is, from 0.
    pub part: u32,
    /// Another part of the same delta follows over this link.
    pub more: bool,
    /// What changed, by member.
    pub members: Vec<MemberChanges>,
}

/// Changes to the records of one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberChanges {
    /// Its namespace.
    pub scope: Scope,
    /// Who it is.
    pub boot: BootId,
    /// The records that changed.
    pub changes: Vec<Change>,
}

/// The last change to one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which record of its member; `None` is the member itself.
    pub key: Option<Key>,
    /// The number of the change: replicas keep it, to lead others.
    pub number: u64,
    /// The record now, or that it was removed.
    pub value: Option<Bytes>,
}
