//! The feed of a session.

use std::{collections::BTreeSet, fmt, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    id::{Kind, MemberId},
    record::{Key, Record},
    spec::Labels,
};

/// What happens in the cluster, in an order in which each member's own reports and views keep
/// theirs (R6).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A full snapshot follows up to `Synced`; what it does not name is gone.
    Reset {
        /// The store came back empty or older: what it does not name is put back, not dropped
        /// (R15).
        rolled_back: bool,
    },
    /// The snapshot is complete.
    Synced,
    /// A member is there, or its status or metadata changed. A rejoin under the same boot id has
    /// a higher incarnation.
    MemberUp(MemberInfo),
    /// A member is gone, and its owned records with it.
    MemberDown(MemberId, DownReason),
    /// Shared records were written.
    Shared(Vec<(Key, Record)>),
    /// Shared records were collected for good (R19).
    SharedGone(Vec<Key>),
    /// A member, oneself never, published owned records.
    Owned(MemberId, Vec<OwnedUpdate>),
    /// Claims were freed.
    ClaimFree(Vec<Key>),
    /// The session has ended: the others hold this member to be gone. Nothing follows.
    Evicted,
    /// The backend's health as this member sees it.
    Health(Health),
}

/// One owned record set or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedUpdate {
    /// Which.
    pub key: Key,
    /// Its value; `None` removes it.
    pub value: Option<Bytes>,
}

/// A member as the others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberInfo {
    /// Who.
    pub id: MemberId,
    /// How far it is in its stay.
    pub status: MemberStatus,
    /// What placement needs of it.
    pub metadata: Arc<MemberMetadata>,
}

/// What a member brings for placement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberMetadata {
    /// Its share of children relative to others; 0 is an observer.
    pub weight: u16,
    /// For `require`.
    pub labels: Labels,
    /// The kinds that it can run.
    pub kinds: BTreeSet<Kind>,
    /// The application's version, for people and `prefer`.
    pub version: String,
}

impl Default for MemberMetadata {
    fn default() -> Self {
        Self { weight: 1, labels: Labels::new(), kinds: BTreeSet::new(), version: String::new() }
    }
}

/// How far a member is in its stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MemberStatus {
    /// Joined, its first snapshot not yet read; owns nothing.
    Joining,
    /// Takes part.
    Active,
    /// Is leaving; owns nothing, its children move away (R23).
    Draining,
}

impl fmt::Display for MemberStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Joining => "joining",
            Self::Active => "active",
            Self::Draining => "draining",
        })
    }
}

/// Why a member is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DownReason {
    /// It said so.
    Left,
    /// It is held to be dead or unreachable.
    Failed,
    /// A newer start under its name took its place.
    Replaced,
}

/// A backend's health as one member sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Health {
    /// Reads and writes work.
    Healthy,
    /// Unreachable or refusing; retried all the while (R22).
    Degraded {
        /// What was seen, for people.
        reason: String,
    },
}
