//! Owned records: the state of each peer, written by that peer alone and passed on as deltas.
//!
//! A peer numbers its changes. A replica of its records is at one number, and a delta leads from
//! one number to a later one, whole or not at all. So a replica always is a state in which its
//! peer was, and who sees a report sees everything that its writer published before (R6).

use bytes::Bytes;
use pogo_core::{
    id::{BootId, Scope},
    record::Key,
};
use serde::{Deserialize, Serialize};

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
    /// Records set, or removed where `None`.
    pub entries: Vec<(OwnedKey, Option<Bytes>)>,
    /// Another part of the same delta follows over this link.
    pub more: bool,
}
