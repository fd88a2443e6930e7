//! What a store keeps: keys, their values, and the log of their changes.

use bytes::Bytes;
use pogo_core::{
    id::{FencingToken, Incarnation, MemberId, MemberName},
    membership::{DownReason, MemberInfo},
    record::{Key, Record},
    time::Timestamp,
};

use super::SessionId;

/// Where a value stands. The order is that of a snapshot: members come before their records.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Path {
    /// The count of the store's lives (R18).
    Epoch,
    /// There for one TTL after the epoch rose: no claim is granted meanwhile.
    Settling,
    /// The last incarnation under a name (R13).
    Seen(MemberName),
    /// A member's presence.
    Member(MemberName),
    /// A shared record.
    Shared(Key),
    /// A member's own record.
    Owned(MemberName, Key),
    /// A claim.
    Claim(Key),
}

/// What stands at a path, each kind under its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// With the server's life in which it began: in another one, data was lost since.
    Epoch(u64, u64),
    Settling,
    Seen(Incarnation),
    Member(MemberInfo),
    Shared(Record),
    Owned(Bytes),
    Claim(MemberId, FencingToken),
}

/// A value, and the session whose end takes it along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) lease: Option<SessionId>,
}

/// One path that changed; what stood there before is kept for watchers, and to undo it.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) path: Path,
    pub(super) before: Option<Entry>,
    pub(super) after: Option<Entry>,
}

impl Commit {
    /// The epoch that it begins, if it does.
    pub(super) fn epoch(&self) -> Option<u64> {
        let values = self.changes.iter().filter_map(|change| change.after.as_ref());
        values
            .filter_map(|entry| match entry.value {
                Value::Epoch(epoch, _) => Some(epoch),
                _ => None,
            })
            .max()
    }
}

/// Changes that happened at once.
#[derive(Debug, Clone)]
pub(super) struct Commit {
    pub(super) at: Timestamp,
    /// Whose batch of owned records it is, where it is one.
    pub(super) author: Option<MemberId>,
    /// Why the members that it takes away are gone.
    pub(super) why: DownReason,
    pub(super) changes: Vec<Change>,
}
