//! What will happen, ordered by time and then by when it was decided.

use std::{collections::BTreeMap, time::Duration};

use pogo_core::{
    id::{ChildId, FencingToken, MemberName, RequestId, RunId},
    node::{Answer, MembershipRequest, Request},
    time::Timestamp,
};

use super::{
    backend::{Session, Tidings},
    clients::Ask,
};
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
    /// A second process under a name tries to join.
    TwinJoins(Process),
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
    /// A write arrives, with its token.
    Write(ChildId, FencingToken),
    /// A client asks, or asks again.
    Ask(MemberName, Ask),
    /// A client's request reaches a member.
    Request(Process, RequestId, Request),
    /// A member is told to drain within this time, or to stop.
    Leave(Process, Option<Duration>),
    /// The backend has something for a member.
    News(Process, Tidings),
    /// A process that stood still goes on.
    Resume(Process),
    /// The strict runs of a process may have to go (R16).
    Fence(Process),
    /// What a slow process has got round to.
    Late(Process, Box<Self>),
}

impl Happening {
    /// The process that has to do something for it to happen.
    pub(super) const fn process(&self) -> Option<&Process> {
        match self {
            Self::Join(process)
            | Self::Wake(process)
            | Self::Deliver(process)
            | Self::Answer(process, ..)
            | Self::Child(process, ..)
            | Self::Request(process, ..)
            | Self::Leave(process, _)
            | Self::News(process, _)
            | Self::Fence(process)
            | Self::Late(process, _) => Some(process),
            Self::Op(_)
            | Self::HubTimeout
            | Self::Write(..)
            | Self::Apply(..)
            | Self::Ask(..)
            | Self::TwinJoins(_)
            | Self::Resume(_) => None,
        }
    }
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
    /// It panics.
    Panics,
    /// It takes its process down.
    Kills,
    /// It ends as it was told to.
    Obeys,
    /// It is aborted.
    Aborted,
    /// It writes to what it guards.
    Writes,
    /// It was aborted and has not ended.
    Stuck,
}

/// All that will happen. Entries are large and the tree moves them about, so it has them by pointer.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    entries: BTreeMap<(Timestamp, u64), Box<Happening>>,
    decided: u64,
}

impl Agenda {
    pub(super) fn add(&mut self, at: Timestamp, happening: Happening) {
        self.entries.insert((at, self.decided), Box::new(happening));
        self.decided += 1;
    }

    /// When the first comes due.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.entries.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the first out.
    pub(super) fn take_next(&mut self) -> Option<Happening> {
        self.entries.pop_first().map(|(_, happening)| *happening)
    }
}
