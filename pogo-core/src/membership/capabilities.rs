//! What a backend can promise; the supervisor refuses to start on less than was asked for.

use std::{fmt, time::Duration};

/// The strength of a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Guarantee {
    /// Not offered.
    None,
    /// Holds unless the store itself loses acknowledged writes.
    BestEffort,
    /// Holds always.
    Linearizable,
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::BestEffort => "best-effort",
            Self::Linearizable => "linearizable",
        })
    }
}

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// As long as one member that acknowledged it lives.
    Members,
    /// The death of every member, not of the process or server that keeps it.
    Server,
    /// A restart of everything.
    Disk,
}

/// A backend's promises and limits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// What acknowledged writes survive.
    pub durability: Durability,
    /// Strength of `Expect::Absent` and `Expect::Exactly`.
    pub compare_and_set: Guarantee,
    /// Strength of claims.
    pub claims: Guarantee,
    /// The largest value of a record, in bytes.
    pub max_value_bytes: usize,
    /// The longest time from a member's death to `MemberDown` at the others.
    pub detection: Duration,
    /// How long an addition to the view settles at most (R6).
    pub view_settle: Duration,
    /// How long a member's lease lasts from its last renewal (R16); `None` without leases.
    pub lease_ttl: Option<Duration>,
    /// Whether round trips to other members are told, which quorum children rest on where there
    /// are no leases (R17).
    pub contacts: bool,
}

impl Capabilities {
    /// A backend that offers nothing but membership and last-writer-wins records.
    pub const fn least(detection: Duration, view_settle: Duration) -> Self {
        Self {
            durability: Durability::Members,
            compare_and_set: Guarantee::None,
            claims: Guarantee::None,
            max_value_bytes: 1024 * 1024 + 64 * 1024,
            detection,
            view_settle,
            lease_ttl: None,
            contacts: false,
        }
    }
}
