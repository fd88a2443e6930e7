//! What users ask of a node, and what it answers.

use std::time::Duration;

use super::inspect::ChildInfo;
use crate::{
    id::{ChildId, MemberName},
    membership::MembershipError,
    spec::{ChildSpec, SpecError},
};

/// A user's request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Request {
    /// Start or replace children; answered by [`Reply::Started`].
    Start {
        /// The children, each id once.
        specs: Vec<ChildSpec>,
        /// What to do where one is present.
        mode: StartMode,
        /// Whether one refusal refuses all; on a store that fails midway, what was written is
        /// terminated again.
        all_or_nothing: bool,
    },
    /// Terminate a child; answered by [`Reply::Terminated`].
    Terminate(ChildId),
    /// Stop and start a child where it is, and end its quarantine; answered by [`Reply::Restarted`].
    Restart(ChildId),
    /// Refuse new children on a member; answered by [`Reply::Member`].
    Cordon(MemberName),
    /// Undo a cordon; answered by [`Reply::Member`].
    Uncordon(MemberName),
    /// Move a member's children away and let it leave; oneself: answered by [`Reply::Drained`] at its end,
    /// another: by [`Reply::Member`] once asked.
    Drain {
        /// Who.
        member: MemberName,
        /// How long it may take.
        deadline: Duration,
    },
}

/// What `Start` does where the child is present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartMode {
    /// The same spec is `AlreadyPresent`, another a `Conflict`; a tombstone is overridden.
    Start,
    /// Another spec replaces it.
    StartOrReplace,
    /// Another spec replaces it; an absent child is `NotFound`.
    Replace,
    /// Any record, a tombstone too, counts as present (R20).
    Initial,
}

/// The answer to a request; each gets exactly one (L6).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Reply {
    /// One result per spec, in order.
    Started(Vec<Result<Started, StartChildError>>),
    /// To `Terminate`.
    Terminated(Result<Terminated, RequestError>),
    /// To `Restart`: whether the child is present.
    Restarted(Result<bool, RequestError>),
    /// To requests about another member.
    Member(Result<(), RequestError>),
    /// To `Drain` of oneself.
    Drained(Drained),
}

/// An accepted start.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Started {
    /// The cluster has the spec (R3).
    Accepted,
    /// The child is present with the same spec; nothing was written.
    AlreadyPresent(ChildInfo),
    /// An initial child that was terminated or has completed; nothing was written (R20).
    NotWanted,
}

/// An accepted terminate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Terminated {
    /// The cluster has the tombstone (R3).
    Accepted,
    /// There is no such child; nothing was written.
    NotFound,
}

/// What a drain did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drained {
    /// Children that another member took up.
    pub moved: Vec<ChildId>,
    /// Children that were stopped because nobody else may run them.
    pub stopped: Vec<ChildId>,
    /// Children that nobody had taken up by the deadline; they were stopped.
    pub left_behind: Vec<ChildId>,
}

/// Why a start was refused.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StartChildError {
    /// The spec breaks a limit. Nothing was changed.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The arguments do not fit the kind, which this member knows. Nothing was changed.
    #[error("args do not fit kind {kind:?}: {reason}")]
    Args {
        /// The kind.
        kind: crate::id::Kind,
        /// What its decoder said.
        reason: String,
    },
    /// The id stands twice in one request. Nothing was changed.
    #[error("{id:?} stands twice in one request")]
    Duplicate {
        /// The id.
        id: ChildId,
    },
    /// The child is present with another spec. Nothing was changed; `start_or_replace` replaces.
    #[error("{id:?} is present with another spec: use start_or_replace to replace it")]
    Conflict {
        /// The id.
        id: ChildId,
        /// The child as it is.
        present: Box<ChildInfo>,
    },
    /// `replace_child` found no such child. Nothing was changed.
    #[error("{id:?} is not present")]
    NotFound {
        /// The id.
        id: ChildId,
    },
    /// The child asks for what the backend cannot give. Nothing was changed.
    #[error("{id:?} asks for {wanted}, which {backend}")]
    Unsupported {
        /// The id.
        id: ChildId,
        /// What the spec asks for.
        wanted: &'static str,
        /// What the backend lacks.
        backend: String,
    },
    /// Another spec of the same request was refused and it was all or nothing. Nothing was
    /// changed, or what had been changed was undone.
    #[error("refused with the others of its request: {reason}")]
    RefusedTogether {
        /// The first refusal.
        reason: String,
    },
    /// The request itself failed; see there for what was changed.
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// Why a request failed as a request.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The backend did not take it in time; nothing is known to have changed. Retry.
    #[error("not accepted within {waited:?}: {source}")]
    Unavailable {
        /// How long it was tried.
        waited: Duration,
        /// The last failure.
        source: MembershipError,
    },
    /// The backend gave no answer in time; it may or may not have been done. Retrying is safe.
    #[error("no answer within {waited:?}: {source}")]
    Unknown {
        /// How long it was tried.
        waited: Duration,
        /// The last failure.
        source: MembershipError,
    },
    /// The backend refuses it for good. Nothing was changed.
    #[error(transparent)]
    Refused(MembershipError),
    /// No live member has this name. Nothing was changed.
    #[error("no live member is called {name:?}")]
    UnknownMember {
        /// The name.
        name: MemberName,
    },
    /// The supervisor stops or has stopped. Nothing was changed.
    #[error("the supervisor is stopping")]
    Stopping,
}

impl RequestError {
    /// Whether the same request may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Unknown { .. })
    }
}
