//! What is seen of a run: the facts that laws judge, the trace prints, and the trace hash covers.

use std::{collections::BTreeSet, time::Duration};

use pogo_core::{
    id::{BootId, ChildId, MemberName, RequestId, RunId},
    membership::MemberStatus,
    record::Stamp,
    time::Timestamp,
};

use crate::plan::ChildPlan;

/// One thing seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fact {
    /// The harness begins a phase of the run.
    Phase(&'static str),
    /// A process started.
    Booted {
        /// The member.
        host: MemberName,
        /// Its process start.
        boot: BootId,
    },
    /// A session began.
    Joined {
        /// The member.
        host: MemberName,
    },
    /// The backend refused a session.
    Refused {
        /// The member.
        host: MemberName,
        /// Why.
        why: String,
    },
    /// A process ended without leaving.
    Crashed {
        /// The member.
        host: MemberName,
        /// Whether the others have to find out.
        silent: bool,
    },
    /// A process ended after it had left.
    Stopped {
        /// The member.
        host: MemberName,
    },
    /// A member was asked to drain or to stop, and knows it.
    Leaving {
        /// The member.
        host: MemberName,
    },
    /// The backend ended a member's session.
    Evicted {
        /// The member.
        host: MemberName,
    },
    /// The cluster was divided.
    Cut(Vec<BTreeSet<MemberName>>),
    /// The division ended.
    Healed,
    /// Events of the feed take so long at most from now on.
    Delayed(Duration),
    /// Something else began or ended going wrong.
    Disturbed(&'static str),
    /// A member's cordon was asked for or taken back, or is in force or gone by now.
    Cordon(MemberName),
    /// A member's feed began a snapshot.
    SnapshotBegan {
        /// The reader.
        host: MemberName,
    },
    /// A member's feed ended a snapshot.
    Synced {
        /// The reader.
        host: MemberName,
    },
    /// A member's feed told of a member; without a status it is gone.
    Sees {
        /// The reader.
        host: MemberName,
        /// Who it was told of.
        boot: BootId,
        /// What it was told.
        status: Option<MemberStatus>,
    },
    /// A member's view changed: the members that may own children (R6).
    Views {
        /// Whose view.
        host: MemberName,
        /// The members.
        members: Vec<BootId>,
    },
    /// An instance began.
    Started(Started),
    /// An instance called `ready`.
    Ready {
        /// Where.
        host: MemberName,
        /// Of which child.
        child: ChildId,
        /// Which run.
        run: RunId,
    },
    /// An instance was told to stop.
    StopAsked {
        /// Where.
        host: MemberName,
        /// Of which child.
        child: ChildId,
        /// Which run.
        run: RunId,
        /// Why.
        reason: &'static str,
    },
    /// An instance ended.
    Exited {
        /// Where.
        host: MemberName,
        /// Of which child.
        child: ChildId,
        /// Which run.
        run: RunId,
        /// How.
        how: String,
    },
    /// A client asked something of a member.
    Asked {
        /// Whom.
        host: MemberName,
        /// Its number.
        request: RequestId,
        /// What.
        what: String,
    },
    /// A member answered a client.
    Replied {
        /// Who.
        host: MemberName,
        /// To which.
        request: RequestId,
        /// What.
        what: String,
    },
    /// A node took an input.
    Handled {
        /// Whose.
        host: MemberName,
        /// Which kind.
        input: &'static str,
        /// Effects that it had.
        outputs: usize,
        /// Its deadline afterwards, in the simulation's time.
        next: Option<Timestamp>,
    },
}

/// An instance that began.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Started {
    /// Where.
    pub host: MemberName,
    /// That member's process start.
    pub boot: BootId,
    /// Which child.
    pub child: ChildId,
    /// Which run.
    pub run: RunId,
    /// How it behaves.
    pub plan: ChildPlan,
    /// The child's record at that member, and whether it is a live, uncompleted spec.
    pub record: Option<(Stamp, bool)>,
    /// Whether that member is the owner by its own view.
    pub owned: bool,
}

impl Fact {
    /// The child that it is about, if it is about one.
    pub const fn child(&self) -> Option<&ChildId> {
        match self {
            Self::Started(started) => Some(&started.child),
            Self::Ready { child, .. }
            | Self::StopAsked { child, .. }
            | Self::Exited { child, .. } => Some(child),
            _ => None,
        }
    }

    /// Whether it is a change of the cluster that tells in every child's history.
    pub const fn is_about_members(&self) -> bool {
        matches!(
            self,
            Self::Phase(_)
                | Self::Booted { .. }
                | Self::Joined { .. }
                | Self::Refused { .. }
                | Self::Crashed { .. }
                | Self::Stopped { .. }
                | Self::Leaving { .. }
                | Self::Evicted { .. }
                | Self::Cut(_)
                | Self::Healed
                | Self::Views { .. }
        )
    }
}
