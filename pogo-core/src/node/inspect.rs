//! What a node shows: the values that users, observers and laws read.

use std::{collections::BTreeSet, fmt, num::NonZeroU32};

use serde::{Deserialize, Serialize};

use crate::{
    id::{BootId, ChildId, FencingToken, Generation, Kind, MemberId, MemberName},
    membership::MemberStatus,
    spec::Labels,
};

/// A child as a member sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChildInfo {
    /// Its id.
    pub id: ChildId,
    /// The code that runs it.
    pub kind: Kind,
    /// The member that reports it.
    pub member: Option<MemberName>,
    /// Where it can be reached, as it says itself.
    pub endpoint: Option<String>,
    /// What it does.
    pub status: Status,
    /// Its fencing token, where it is strict.
    pub token: Option<FencingToken>,
    /// Restarts of this spec after failures.
    pub restarts: u32,
    /// Counts the changes of its spec, for people.
    pub generation: Generation,
    /// For people and filters.
    pub labels: Labels,
}

/// What a child does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Status {
    /// Nobody runs it yet.
    Pending {
        /// What it waits for.
        why: PendingReason,
    },
    /// A member is starting it.
    Starting,
    /// It is ready.
    Running,
    /// It was told to stop.
    Stopping,
    /// It stops here to start elsewhere.
    Moving {
        /// The member that takes it.
        to: MemberName,
    },
    /// It failed and waits for its restart.
    Backoff {
        /// How it ended last.
        last: String,
    },
    /// It failed too often; it is tried slowly, or at once by `restart_child`.
    Quarantined {
        /// How it ended last.
        last: String,
    },
    /// It was aborted and does not end: it blocks a thread.
    Stuck,
}

/// What a pending child waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PendingReason {
    /// This member has not read its first snapshot.
    Joining,
    /// Too few members were ever seen at once (R12).
    WaitingForMembers {
        /// Members seen now.
        have: u32,
        /// Members wanted.
        want: u32,
    },
    /// No live member offers its kind.
    NoMemberOffersKind {
        /// The kind.
        kind: Kind,
    },
    /// No live member has a label that it requires.
    NoMemberHasLabel {
        /// The label.
        label: String,
        /// The value required.
        value: String,
    },
    /// Members could run it, but each is cordoned, draining, joining, or an observer.
    NoMemberAvailable,
    /// Views settle after an addition (R6).
    ViewSettling,
    /// Over half of the members went after a degraded spell; they may come back (R22).
    MassLoss,
    /// Its owner has not reported it yet.
    OwnerStarting {
        /// The owner.
        owner: MemberName,
    },
    /// Its claim is held elsewhere.
    ClaimHeld {
        /// The member that holds it.
        by: MemberName,
    },
    /// Its member crashed and is waited for (R14).
    FailoverDelay,
    /// This member's lease is over, or too close to its end to start anything (R16).
    LeaseLapsed,
    /// Too few members answer this one (R17).
    NoQuorum {
        /// How many are needed, this one among them.
        size: NonZeroU32,
    },
    /// There are more members than the quorum is a majority of: no side of a division would be
    /// the only one (R17).
    QuorumTooSmall {
        /// How many members there are, lost ones that have not left among them.
        members: u32,
        /// The quorum that is asked for.
        size: NonZeroU32,
    },
    /// Members that were lost may still run it; they have to have stopped it soon (R17).
    HolderStops,
    /// A member that may still run it was lost, and too few others have noticed (R17).
    HolderMayRun {
        /// That member.
        member: MemberName,
    },
}

impl fmt::Display for PendingReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joining => f.write_str("this member has not read its first snapshot"),
            Self::WaitingForMembers { have, want } => {
                write!(f, "waiting for members {have}/{want}")
            }
            Self::NoMemberOffersKind { kind } => {
                write!(f, "no live member offers kind {kind:?}")
            }
            Self::NoMemberHasLabel { label, value } => {
                write!(f, "no live member has {label}={value}")
            }
            Self::NoMemberAvailable => f.write_str(
                "every member that could run it is cordoned, draining, joining, or an observer",
            ),
            Self::ViewSettling => f.write_str("views settle after a member was added"),
            Self::MassLoss => {
                f.write_str("over half of the members went at once; waiting for them")
            }
            Self::OwnerStarting { owner } => write!(f, "{owner} has not reported it yet"),
            Self::ClaimHeld { by } => write!(f, "its claim is held by {by}"),
            Self::FailoverDelay => f.write_str("its member crashed and is waited for"),
            Self::LeaseLapsed => f.write_str("the backend does not renew this member's lease"),
            Self::NoQuorum { size } => write!(f, "fewer than {size} members see each other"),
            Self::QuorumTooSmall { members, size } => write!(
                f,
                "a quorum of {size} is no majority of {members} members: raise it, or let lost members leave"
            ),
            Self::HolderStops => {
                f.write_str("members that were lost may still run it; they stop it soon")
            }
            Self::HolderMayRun { member } => {
                write!(f, "{member} may still run it: others have not noticed its loss")
            }
        }
    }
}

/// A member as another sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MemberView {
    /// Who.
    pub id: MemberId,
    /// How far it is in its stay.
    pub status: MemberStatus,
    /// Whether it refuses new children.
    pub cordoned: bool,
    /// Its share of children relative to others; 0 is an observer.
    pub weight: u16,
    /// For `require`.
    pub labels: Labels,
    /// The kinds that it can run.
    pub kinds: BTreeSet<Kind>,
    /// The application's version.
    pub version: String,
    /// Whether it is the member that answers.
    pub is_me: bool,
}

/// Which children to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Listing {
    /// Those that this member runs.
    Local,
    /// Those of the whole cluster.
    Global,
}

/// Why a child is where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The child as this member sees it.
    pub child: ChildInfo,
    /// The member that placement names; `None` where nobody is eligible.
    pub owner: Option<MemberName>,
    /// Eligible members in placement order, the owner first.
    pub order: Vec<MemberName>,
    /// Members that are not eligible, and why.
    pub excluded: Vec<(MemberName, Exclusion)>,
    /// Every live member that reports the child, and the phase it reports.
    pub reports: Vec<(MemberName, String)>,
    /// The last transitions of the child on this member, oldest first.
    pub history: Vec<String>,
}

/// Why a member may not own a child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "exclusion", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Exclusion {
    /// Still reading its first snapshot.
    Joining,
    /// Leaving.
    Draining,
    /// Refuses new children.
    Cordoned,
    /// Of weight 0.
    Observer,
    /// Does not offer the kind.
    KindNotOffered,
    /// Lacks a required label.
    LabelMissing {
        /// The label.
        label: String,
        /// The value required.
        value: String,
    },
}

/// What a member's departure would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LeavePlan {
    /// The member.
    pub member: MemberName,
    /// Where each of its children would go.
    pub moves: Vec<(ChildId, MemberName)>,
    /// Its children that nobody else may run.
    pub unplaceable: Vec<ChildId>,
}

/// A digest of a member's view: the members that may own children, and what placement needs of them (R6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The members, in order.
    pub members: Vec<BootId>,
    /// XXH3 over everything about them that placement reads.
    pub digest: u64,
}
