//! What is seen of a run: the facts that laws judge, the trace prints, and the trace hash covers.

use std::{collections::BTreeSet, time::Duration};

use pogo_core::{
    id::{BootId, ChildId, FencingToken, Incarnation, MemberName, RequestId, RunId},
    membership::MemberStatus,
    record::Stamp,
    spec::Exclusivity,
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
        /// How long its drain may take; one that stops at once has none.
        deadline: Option<Duration>,
    },
    /// A member said how its drain ended.
    Drained {
        /// The member.
        host: MemberName,
        /// Children that another one took up, as it says.
        moved: Vec<ChildId>,
        /// Children that nobody else may run, as it says.
        stopped: Vec<ChildId>,
        /// Children that nobody took up in time, as it says.
        left_behind: Vec<ChildId>,
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
    /// Nothing reaches any of `to` from any of `from` from now on.
    Unlinked {
        /// From whom.
        from: BTreeSet<MemberName>,
        /// To whom.
        to: BTreeSet<MemberName>,
    },
    /// That ended for these.
    Linked {
        /// From whom.
        from: BTreeSet<MemberName>,
        /// To whom.
        to: BTreeSet<MemberName>,
    },
    /// Everything takes so much longer from any of `from` to any of `to` from now on.
    Clogged {
        /// From whom.
        from: BTreeSet<MemberName>,
        /// To whom.
        to: BTreeSet<MemberName>,
        /// How much longer; nothing is the end of it.
        by: Duration,
    },
    /// A process stands still from now on.
    Paused {
        /// The member.
        host: MemberName,
    },
    /// A process goes on, what has fallen due meanwhile first.
    Resumed {
        /// The member.
        host: MemberName,
    },
    /// A process handles everything so much later from now on.
    Slowed {
        /// The member.
        host: MemberName,
        /// How much later; nothing is the end of it.
        by: Duration,
    },
    /// A member's monotonic clock jumped forward.
    Jumped {
        /// The member.
        host: MemberName,
        /// How far.
        by: Duration,
    },
    /// A member's wall clock was set.
    Stepped {
        /// The member.
        host: MemberName,
        /// How much later it shows, in milliseconds.
        millis: i64,
    },
    /// A second process was started under a name that may live.
    Twin {
        /// Its machine; not a member.
        host: MemberName,
        /// The name.
        name: MemberName,
    },
    /// A member is not healed: nobody expects anything of it any more, and nothing more is seen of
    /// it.
    Abandoned {
        /// The member.
        host: MemberName,
        /// How it is left.
        how: &'static str,
    },
    /// Events of the feed take so long at most from now on.
    Delayed(Duration),
    /// The backend lost data.
    DataLost {
        /// The records of children that live processes hold.
        held: Vec<(ChildId, BootId, Stamp)>,
    },
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
        /// Order among the starts under that member's name.
        incarnation: Incarnation,
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
    /// An instance was aborted and does not end.
    Stuck {
        /// Where.
        host: MemberName,
        /// Of which child.
        child: ChildId,
        /// Which run.
        run: RunId,
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
        /// The number of the state that it handed over, if any.
        exported: Option<u64>,
    },
    /// A member said that state to be handed over is lost.
    HandoverLost {
        /// Who.
        host: MemberName,
        /// Whose state.
        child: ChildId,
    },
    /// A strict instance sends a write to what it guards, with its token.
    Writes {
        /// Where.
        host: MemberName,
        /// Of which child.
        child: ChildId,
        /// Which run.
        run: RunId,
    },
    /// A write with this token arrived, whether or not its sender still runs.
    Wrote {
        /// Of which child.
        child: ChildId,
        /// Its token.
        token: FencingToken,
    },
    /// A client asked something of a member.
    Asked {
        /// Whom.
        host: MemberName,
        /// Its number.
        request: RequestId,
        /// What.
        what: String,
        /// The children that it changes, as wanted; `None` terminates.
        changes: Vec<(ChildId, Option<ChildPlan>)>,
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
    /// A node found one of its own laws broken.
    NodeBroke {
        /// Whose.
        host: MemberName,
        /// What.
        what: String,
    },
    /// The backend did to a member what is against its own contract.
    BackendBroke {
        /// To whom.
        host: MemberName,
        /// What.
        what: String,
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
    /// How many instances there may be, its own word or its scope's.
    pub exclusivity: Exclusivity,
    /// Whether the spec is to the letter what that behaviour was asked for with.
    pub exact: bool,
    /// The number of the state that it was given, if any.
    pub inherited: Option<u64>,
    /// Its fencing token, where it has one (R18).
    pub token: Option<FencingToken>,
    /// The child's record at that member, and whether it is a live, uncompleted spec.
    pub record: Option<(Stamp, bool)>,
    /// Whether that member is the owner by its own view.
    pub owned: bool,
}

impl Fact {
    /// The member that it is about, if it is about one.
    pub const fn host(&self) -> Option<&MemberName> {
        match self {
            Self::Started(Started { host, .. })
            | Self::Booted { host, .. }
            | Self::Joined { host }
            | Self::Refused { host, .. }
            | Self::Crashed { host, .. }
            | Self::Stopped { host }
            | Self::Leaving { host, .. }
            | Self::Evicted { host }
            | Self::Paused { host }
            | Self::Resumed { host }
            | Self::Slowed { host, .. }
            | Self::Jumped { host, .. }
            | Self::Stepped { host, .. }
            | Self::Twin { host, .. }
            | Self::Abandoned { host, .. }
            | Self::SnapshotBegan { host }
            | Self::Synced { host }
            | Self::Sees { host, .. }
            | Self::Views { host, .. }
            | Self::Ready { host, .. }
            | Self::StopAsked { host, .. }
            | Self::Stuck { host, .. }
            | Self::Exited { host, .. }
            | Self::Asked { host, .. }
            | Self::Replied { host, .. }
            | Self::Drained { host, .. }
            | Self::HandoverLost { host, .. }
            | Self::Writes { host, .. }
            | Self::NodeBroke { host, .. }
            | Self::BackendBroke { host, .. }
            | Self::Handled { host, .. } => Some(host),
            Self::Phase(_)
            | Self::Wrote { .. }
            | Self::DataLost { .. }
            | Self::Cut(_)
            | Self::Healed
            | Self::Unlinked { .. }
            | Self::Linked { .. }
            | Self::Clogged { .. }
            | Self::Delayed(_)
            | Self::Disturbed(_)
            | Self::Cordon(_) => None,
        }
    }

    /// The child that it is about, if it is about one.
    pub const fn child(&self) -> Option<&ChildId> {
        match self {
            Self::Started(started) => Some(&started.child),
            Self::Ready { child, .. }
            | Self::StopAsked { child, .. }
            | Self::Stuck { child, .. }
            | Self::Exited { child, .. }
            | Self::Writes { child, .. }
            | Self::Wrote { child, .. }
            | Self::HandoverLost { child, .. } => Some(child),
            _ => None,
        }
    }

    /// Whether members begin or end being apart.
    pub const fn is_about_links(&self) -> bool {
        matches!(
            self,
            Self::Cut(_)
                | Self::Healed
                | Self::Unlinked { .. }
                | Self::Linked { .. }
                | Self::Clogged { .. }
                | Self::Evicted { .. }
        )
    }

    /// Whether something goes wrong with it, or ends going wrong.
    pub const fn is_trouble(&self) -> bool {
        matches!(
            self,
            Self::Crashed { .. }
                | Self::Stopped { .. }
                | Self::Evicted { .. }
                | Self::Cut(_)
                | Self::Healed
                | Self::Delayed(_)
                | Self::DataLost { .. }
                | Self::Unlinked { .. }
                | Self::Linked { .. }
                | Self::Clogged { .. }
                | Self::Paused { .. }
                | Self::Resumed { .. }
                | Self::Slowed { .. }
                | Self::Jumped { .. }
                | Self::Stepped { .. }
                | Self::Twin { .. }
                | Self::Abandoned { .. }
                | Self::Disturbed(_)
        )
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
                | Self::Unlinked { .. }
                | Self::Linked { .. }
                | Self::Clogged { .. }
                | Self::Paused { .. }
                | Self::Resumed { .. }
                | Self::Slowed { .. }
                | Self::Jumped { .. }
                | Self::Stepped { .. }
                | Self::Twin { .. }
                | Self::Abandoned { .. }
                | Self::Views { .. }
        )
    }
}
