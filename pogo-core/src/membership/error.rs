//! Errors of a backend.

use crate::id::{IdError, MemberName};

/// Why a backend did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum MembershipError {
    /// It cannot be reached; the request did not run. Retry later.
    #[error("{backend} is unavailable: {reason}")]
    Unavailable {
        /// The backend's name.
        backend: &'static str,
        /// What was seen.
        reason: String,
    },
    /// No answer came; the request may have run. Every request is safe to repeat.
    #[error("{backend} gave no answer: {reason}")]
    Ambiguous {
        /// The backend's name.
        backend: &'static str,
        /// What was seen.
        reason: String,
    },
    /// The credentials are not accepted or do not suffice. Nothing was changed.
    #[error("{backend} denied access: {reason}")]
    Denied {
        /// The backend's name.
        backend: &'static str,
        /// What was seen, without secrets.
        reason: String,
    },
    /// It cannot work as it is set up. Nothing was changed; never retried.
    #[error("{backend} cannot work like this: {reason}")]
    Misconfigured {
        /// The backend's name.
        backend: &'static str,
        /// What is in the way, and what to do.
        reason: String,
    },
    /// A record is above the backend's limit. Nothing was changed; never retried.
    #[error("record of {len} bytes is above the limit of {max} bytes")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A live member has the name. Nothing was changed.
    #[error("a live member is called {name:?}: set another `name` for this one")]
    NameTaken {
        /// The name.
        name: MemberName,
    },
    /// This member's wall clock is too far ahead of the cluster's (R2). Nothing was changed.
    #[error("wall clock is {ahead_ms} ms ahead of the cluster's: set it right and start again")]
    ClockAhead {
        /// How far, in milliseconds.
        ahead_ms: u64,
    },
    /// The session has ended; join again.
    #[error("the session has ended")]
    SessionEnded,
    /// The backend does not offer this.
    #[error("{backend} does not offer {what}")]
    Unsupported {
        /// The backend's name.
        backend: &'static str,
        /// What was asked for.
        what: &'static str,
    },
    /// A name derived for the join is not acceptable. Nothing was changed.
    #[error(transparent)]
    Name(#[from] IdError),
}

impl MembershipError {
    /// Whether the same request may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Ambiguous { .. } | Self::SessionEnded)
    }
}
