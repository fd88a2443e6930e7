//! What will happen, ordered by time and then by when it was decided.

use std::collections::BTreeMap;

use pogo_core::{
    id::{ChildId, MemberName, RequestId, RunId},
    node::{Answer, MembershipRequest},
    time::Timestamp,
};

use super::{backend::Session, clients::Ask};
use crate::plan::Op;

/// One process start of a host; what was decided for a former one is dropped when it comes due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) host: MemberName,
    pub(super) start: u64,
}

/// Something that will happen.
#[derive(Debug, Clone)]
pub(super) enum Happening {
    /// The plan's next operation.
    Op(Op),
    /// A process tries to join, for the first time or again.
    Join(Process),
    /// A node's deadline.
    Wake(Process),
    /// The hub has events for a member.
    Deliver(Process),
    /// The hub's own deadline.
    HubTimeout,
    /// A membership request reaches the backend.
    Apply(Process, Session, RequestId, MembershipRequest),
    /// The backend's answer reaches the member.
    Answer(Process, RequestId, Answer),
    /// A run goes on.
    Child(Process, ChildId, RunId, ChildStep),
    /// A client asks, or asks again.
    Ask(MemberName, Ask),
}

/// What a run does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChildStep {
    /// It becomes ready.
    Ready,
    /// It ends normally by itself.
    Ends,
    /// It fails.
    Fails,
    /// It takes its process down.
    Kills,
    /// It ends as it was told to.
    Obeys,
    /// It is aborted.
    Aborted,
}

/// All that will happen.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    entries: BTreeMap<(Timestamp, u64), Happening>,
    decided: u64,
}

impl Agenda {
    pub(super) fn add(&mut self, at: Timestamp, happening: Happening) {
        self.entries.insert((at, self.decided), happening);
        self.decided += 1;
    }

    /// When the first comes due.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.entries.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the first out.
    pub(super) fn take_next(&mut self) -> Option<Happening> {
        self.entries.pop_first().map(|(_, happening)| happening)
    }
}
