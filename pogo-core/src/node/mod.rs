//! The sans-IO node: who runs what, and when (R1-R27).
//!
//! Four kinds of method, as in quinn-proto: [`Node::handle`] takes inputs, [`Node::poll_output`]
//! is drained fully after each of them, [`Node::poll_timeout`] names the one deadline, and
//! [`Node::inspect`] reads. Time and randomness are arguments.

pub mod config;
pub mod event;
pub mod input;
pub mod inspect;
pub mod output;
pub mod request;

use std::collections::VecDeque;

pub use self::{
    config::{Config, RestartPolicy},
    event::Event,
    input::{Answer, ExitReason, Input, RunEnd},
    inspect::{
        ChildInfo, Exclusion, Explanation, LeavePlan, Listing, MemberView, PendingReason, Status,
        View,
    },
    output::{MembershipRequest, Output, StartChild, StopReason},
    request::{
        Drained, Reply, Request, RequestError, StartChildError, StartMode, Started, Terminated,
    },
};
use crate::{
    id::{BootId, ChildId, MemberId, MemberName},
    membership::Health,
    record::Stamp,
    time::{Now, Timestamp},
};

/// A member's state machine.
#[derive(Debug, Clone)]
pub struct Node {
    outputs: VecDeque<Output>,
}

/// A law that a node found broken in itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{law}: {what}")]
pub struct Violation {
    /// The law's id.
    pub law: &'static str,
    /// What was found.
    pub what: String,
}

/// A read-only look at a node.
#[derive(Debug, Clone, Copy)]
pub struct Inspect<'a>(&'a Node);

impl Node {
    /// A node that has not joined.
    pub fn new(_config: Config, _boot: BootId, _seed: u64, _now: Now) -> Self {
        Self { outputs: VecDeque::new() }
    }

    /// Takes an input. Total: any input in any state, never panics, never blocks.
    pub fn handle(&mut self, _now: Now, _input: Input) {}

    /// The next effect; to be drained fully after each `handle`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The earliest deadline; firing early or late is legal.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        None
    }

    /// A read-only look.
    pub fn inspect(&self) -> Inspect<'_> {
        Inspect(self)
    }

    /// Checks the node's own laws (S12).
    ///
    /// # Errors
    /// The first that is broken.
    pub fn check_invariants(&self) -> Result<(), Violation> {
        Ok(())
    }
}

impl Inspect<'_> {
    /// Who this member is, once joined.
    pub fn me(&self) -> Option<&MemberId> {
        None
    }
    /// Whether the first snapshot was read, enough members were seen, and views have settled once.
    pub fn is_ready(&self) -> bool {
        false
    }
    /// The backend's health.
    pub fn health(&self) -> &Health {
        &Health::Healthy
    }
    /// The members, by name.
    pub fn members(&self) -> Vec<MemberView> {
        Vec::new()
    }
    /// The children, by id.
    pub fn children(&self, _listing: Listing) -> Vec<ChildInfo> {
        Vec::new()
    }
    /// One child; `None` where it is not listed.
    pub fn child(&self, _id: &ChildId) -> Option<ChildInfo> {
        None
    }
    /// The number of listed children.
    pub fn count(&self) -> usize {
        0
    }
    /// Why a child is where it is.
    pub fn explain(&self, _id: &ChildId) -> Option<Explanation> {
        None
    }
    /// What a member's departure would do.
    pub fn plan_leave(&self, _member: &MemberName) -> Option<LeavePlan> {
        None
    }
    /// The member that placement names for a child.
    pub fn owner(&self, _id: &ChildId) -> Option<&MemberId> {
        None
    }
    /// The place of a child's spec record in R2's order, and whether it is a live, uncompleted spec.
    pub fn record(&self, _id: &ChildId) -> Option<(Stamp, bool)> {
        None
    }
    /// This member's view (R6).
    pub fn view(&self) -> Option<&View> {
        None
    }
    /// A digest over all spec records, equal on members that agree (L3).
    pub fn specs_digest(&self) -> u64 {
        0
    }
}
