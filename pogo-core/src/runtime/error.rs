//! Why a supervisor does not start, and why waiting for something ended without it.

use std::{io, time::Duration};

use super::backend::BackendError;
use crate::{
    id::{ChildId, IdError, Kind},
    membership::{Guarantee, MembershipError},
    node::{ChildInfo, StartChildError},
    spec::SpecError,
};

/// Why a supervisor did not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A name, scope, cluster or kind is not acceptable.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The member's labels break a limit.
    #[error(transparent)]
    Labels(SpecError),
    /// A setting makes no sense.
    #[error("{setting} {reason}")]
    Setting {
        /// The builder's method.
        setting: &'static str,
        /// What is wrong with its value.
        reason: &'static str,
    },
    /// Two pieces of code were given for one kind.
    #[error("kind {kind:?} was given twice")]
    DuplicateKind {
        /// The kind.
        kind: Kind,
    },
    /// An initial child is not acceptable.
    #[error("initial child {id:?}: {source}")]
    Child {
        /// The child.
        id: ChildId,
        /// What is wrong with it.
        source: StartChildError,
    },
    /// Neither `backend` nor `membership` was called.
    #[error("no backend: set one with `backend` or `membership`")]
    NoBackend,
    /// The backend's URL is not acceptable.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Strict exclusivity needs more than the backend promises.
    #[error("strict exclusivity needs linearizable claims, but those of {backend} are {claims}")]
    ClaimsTooWeak {
        /// The backend's name.
        backend: &'static str,
        /// The strength of its claims.
        claims: Guarantee,
    },
    /// Leases so short leave a strict child no time to stop in (R16).
    #[error(
        "leases of {ttl:?} are too short for strict children: give {backend} a ttl of 2 s or more"
    )]
    LeaseTooShort {
        /// The backend's name.
        backend: &'static str,
        /// How long its leases last.
        ttl: Duration,
    },
    /// A quorum needs leases or round trips, which the backend does not tell of (R17).
    #[error("{backend} tells neither of leases nor of round trips, which a quorum rests on")]
    QuorumNotOffered {
        /// The backend's name.
        backend: &'static str,
    },
    /// `start` was called outside a tokio runtime, on which the children are to run.
    #[error("there is no tokio runtime here to run children on")]
    NoRuntime,
    /// The operating system gave no thread, clock or randomness.
    #[error("the operating system refused {what}")]
    System {
        /// What was asked of it.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// The backend refused the join.
    #[error("{backend} refused the join")]
    Join {
        /// The backend's name.
        backend: &'static str,
        /// What it said.
        source: MembershipError,
    },
    /// The join did not succeed within `join_timeout`.
    #[error("could not join by {backend} within {waited:?}{}", last_text(last.as_ref()))]
    JoinTimeout {
        /// The backend's name.
        backend: &'static str,
        /// How long it was tried.
        waited: Duration,
        /// What the last try met, if it ended.
        last: Option<MembershipError>,
    },
}

fn last_text(last: Option<&MembershipError>) -> String {
    last.map_or_else(String::new, |error| format!(": {error}"))
}

impl StartError {
    /// Whether the same settings may start later.
    pub const fn is_retryable(&self) -> bool {
        // A retryable refusal of the join was retried until the time was over.
        matches!(self, Self::JoinTimeout { .. } | Self::System { .. })
    }
}

/// The supervisor has stopped. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the supervisor has stopped")]
pub struct Stopped;

/// Why a wait ended before what it waited for. Nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The time is over.
    #[error("{id:?} is {} after {within:?}", seen_text(last.as_deref()))]
    Timeout {
        /// The child.
        id: ChildId,
        /// How long it was waited for.
        within: Duration,
        /// The child as it is; `None` where it is not listed.
        last: Option<Box<ChildInfo>>,
    },
    /// The supervisor has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl WaitError {
    /// Whether waiting again may help.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }
}

fn seen_text(last: Option<&ChildInfo>) -> String {
    last.map_or_else(|| "not present".to_owned(), |child| format!("{:?}", child.status))
}
