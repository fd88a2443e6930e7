//! Shared records: a replica of all of them, and how replicas find what they lack.
//!
//! Merging takes the higher stamp and nothing else (R2), so replicas agree in whatever order
//! records reach them. What was never pushed, or pushed to nobody, is found by comparing hash
//! trees (`sync`); what was deleted long ago leaves without coming back (`collect`, R19).

mod collect;
mod limits;
mod store;
mod sync;
mod tree;

#[cfg(test)]
mod tests;

use pogo_core::{
    id::Scope,
    record::{Key, Record, Stamp},
};
use serde::{Deserialize, Serialize};

pub use limits::{KEY_MAX, VALUE_MAX};
pub(crate) use limits::{is_legal, record_bytes};
pub use store::{Merged, SharedStore};
pub use sync::Step;
pub use tree::Hashes;

/// The key of a shared record in the whole cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ScopedKey {
    /// Its namespace.
    pub scope: Scope,
    /// Its key there.
    pub key: Key,
}

/// What two replicas say to get into step. Each message carries all that its answer needs.
///
/// A round of comparison: `Root`, then `Children` at depths 0 to 3 in turn, then `Leaves` to the
/// peer that began, which answers with `Records` and `Want`, and that with `Records`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncMessage {
    /// Opens a round; answered by `Same` or by `Children` of the root.
    Root {
        /// The hash of all that the sender has.
        hash: u64,
        /// The sender's last arrival number (R19).
        at: u64,
    },
    /// The replicas were equal.
    Same {
        /// `at` of the `Root` that this answers.
        yours: u64,
        /// The sender's last arrival number when it answered.
        mine: u64,
    },
    /// Hashes of the parts below nodes of the tree that differ.
    Children {
        /// Their distance from the root.
        depth: u8,
        /// Each node, ascending, with the hashes of the 16 below it.
        nodes: Vec<(u16, Hashes)>,
    },
    /// What the sender has in leaves that differ; answered by `Records` and `Want`.
    Leaves {
        /// The receiver's arrival number up to which the sender once had all of its records: what
        /// is absent here and arrived there no later was deleted here (R19).
        seen: u64,
        /// Each leaf, ascending, with its records in the order of their keys.
        leaves: Vec<(u16, Vec<(ScopedKey, Stamp)>)>,
        /// More leaves differ; they are for a later round.
        more: bool,
    },
    /// Send me these.
    Want {
        /// As in `Leaves`.
        seen: u64,
        /// Which, with what the sender has of them.
        keys: Vec<(ScopedKey, Option<Stamp>)>,
        /// More is missing; it is for a later round.
        more: bool,
    },
    /// Records that the receiver lacks.
    Records {
        /// The records.
        records: Vec<(ScopedKey, Record)>,
        /// With these the receiver, who began the round, has all that the round was for.
        last: bool,
    },
    /// Send me all records in the order of keys, from after this one; for a replica that is new.
    Pull(Option<ScopedKey>),
    /// An answer to `Pull`.
    Page {
        /// Records in the order of keys.
        records: Vec<(ScopedKey, Record)>,
        /// There are more after the last of them.
        more: bool,
    },
}
