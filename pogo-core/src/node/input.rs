//! What the driver tells the node.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::request::Request;
use crate::{
    id::{BootId, ChildId, MemberId, RequestId, RunId},
    membership::{Capabilities, ClaimOutcome, Event, MembershipError, PutOutcome},
    record::Record,
    time::Timestamp,
};

/// Everything that can happen to a node. Any input is legal in any state.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Input {
    /// The time that `poll_timeout` named has come.
    Timeout,
    /// A session began: the first one, or the next after [`super::Output::Rejoin`].
    Joined {
        /// Who this member is now.
        me: MemberId,
        /// What the backend promises.
        capabilities: Capabilities,
    },
    /// The session's feed.
    Membership(Event),
    /// The answer to a membership request; each request gets one.
    Answer(RequestId, Answer),
    /// A user's request; each gets one reply.
    Client(RequestId, Request),
    /// A run called `ready`.
    ChildReady {
        /// Whose run.
        child: ChildId,
        /// Which run.
        run: RunId,
        /// Where it can be reached, as it says itself.
        endpoint: Option<String>,
    },
    /// A run has ended and nothing of it is left; the last input about it.
    ChildExited {
        /// Whose run.
        child: ChildId,
        /// Which run.
        run: RunId,
        /// How it ended.
        end: RunEnd,
    },
    /// A run was aborted and does not end: it blocks its thread.
    ChildStuck {
        /// Whose run.
        child: ChildId,
        /// Which run.
        run: RunId,
    },
    /// What [`super::Output::ReadContact`] asked for.
    Contact(Contact),
    /// Stop every child, leave, and end.
    Shutdown,
}

/// How this member stands with its backend: what strict and quorum children rest on (R16, R17).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contact {
    /// [`crate::membership::Presence::lease_deadline`].
    pub lease: Option<Timestamp>,
    /// [`crate::membership::Presence::contacts`].
    pub answered: Vec<(BootId, Timestamp)>,
}

/// The answer to a membership request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Answer {
    /// To a status, a batch of owned records, a release or a leave.
    Done,
    /// To a put: one outcome per record, in order.
    Put(Vec<PutOutcome>),
    /// To a get: one record per key, in order.
    Got(Vec<Option<Record>>),
    /// To a request for claims: one outcome per key, in order.
    Acquired(Vec<ClaimOutcome>),
    /// To any of them.
    Failed(MembershipError),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEnd {
    /// Its result.
    pub reason: ExitReason,
    /// Whether it called `finished`: its end is final whatever its restart setting (R4).
    pub finished: bool,
    /// What it handed over, if anything (R7).
    pub state: Option<Bytes>,
}

/// The result of a run; data, never an error of the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ExitReason {
    /// It returned `Ok`.
    Normal,
    /// It returned an error.
    Failed(String),
    /// It panicked.
    Panicked(String),
    /// It did not become ready in time (R10).
    StartTimeout,
    /// It was aborted: told to, or its grace period ran out.
    Aborted,
    /// Its kind is not offered here or does not accept its arguments.
    Unstartable(String),
}

impl std::fmt::Display for ExitReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Normal => f.write_str("ended normally"),
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
            Self::StartTimeout => f.write_str("not ready in time"),
            Self::Aborted => f.write_str("aborted"),
            Self::Unstartable(why) => write!(f, "cannot be started: {why}"),
        }
    }
}
