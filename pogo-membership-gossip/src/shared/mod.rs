//! Shared records: a replica of all of them, and how replicas find what they lack.

use pogo_core::{
    id::Scope,
    record::{Key, Record, Stamp},
};
use serde::{Deserialize, Serialize};

/// The key of a shared record in the whole cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ScopedKey {
    /// Its namespace.
    pub scope: Scope,
    /// Its key there.
    pub key: Key,
}

/// What two replicas say to get into step. Each message carries all that its answer needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncMessage {
    /// The hash of all that the sender has; answered by `Same` or by `Children` of the root.
    Root(u64),
    /// The replicas were equal when the receiver sent its `Root`.
    Same,
    /// Hashes of the parts below nodes of the tree that differed.
    Children {
        /// Their distance from the root.
        depth: u8,
        /// Each node, with the hashes of the 16 below it.
        nodes: Vec<(u16, [u64; 16])>,
    },
    /// What the sender has in leaves that differ; answered by records and `Want`.
    Leaves(Vec<(u16, Vec<(ScopedKey, Stamp)>)>),
    /// Send me these.
    Want(Vec<ScopedKey>),
    /// Records that the receiver lacks.
    Records(Vec<(ScopedKey, Record)>),
    /// Send me all records in the order of keys, from after this one.
    Pull(Option<ScopedKey>),
    /// An answer to `Pull`.
    Page {
        /// Records in the order of keys.
        records: Vec<(ScopedKey, Record)>,
        /// There are more after the last of them.
        more: bool,
    },
}
