//! The public stream of events (R27).
//!
//! [`Event::Child`], [`Event::ChildGone`], [`Event::Member`] and [`Event::MemberGone`] carry whole
//! values, so folding the stream over its first snapshot gives what `inspect` shows (law L8). The others tell of
//! moments.

use serde::Serialize;

use super::{
    input::ExitReason,
    inspect::{ChildInfo, MemberView},
    output::StopReason,
};
use crate::{
    id::{ChildId, MemberId, MemberName, RunId},
    membership::{DownReason, Health},
};

/// Something that observers may want to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// A child as it is now.
    Child(ChildInfo),
    /// A child is no longer listed.
    ChildGone {
        /// Which.
        id: ChildId,
    },
    /// A member as it is now.
    Member(MemberView),
    /// A member is gone.
    MemberGone {
        /// Who.
        member: MemberId,
        /// Why.
        reason: DownReason,
    },
    /// This member started a run.
    RunStarted {
        /// Whose.
        id: ChildId,
        /// Which.
        run: RunId,
        /// 1 for the first start of this spec on this member, then counting up.
        attempt: u32,
    },
    /// This member told a run to stop.
    RunStopping {
        /// Whose.
        id: ChildId,
        /// Which.
        run: RunId,
        /// Why.
        reason: StopReason,
    },
    /// A run on this member ended.
    RunExited {
        /// Whose.
        id: ChildId,
        /// Which.
        run: RunId,
        /// How.
        reason: ExitReason,
        /// Whether the child is complete for the whole cluster (R4).
        completed: bool,
    },
    /// This member's instance gives way to another's (R8).
    Superseded {
        /// Whose.
        id: ChildId,
        /// The member whose instance survives.
        by: MemberName,
    },
    /// A change accepted here lost to a concurrent one (R3).
    Overwritten {
        /// Whose.
        id: ChildId,
        /// The boot id whose write won, as text.
        by: String,
    },
    /// State that was to be handed over is lost (R9).
    HandoverLost {
        /// Whose.
        id: ChildId,
        /// Why.
        reason: String,
    },
    /// An initial child differs from the present spec, which stays (R20).
    InitialDiffers {
        /// Whose.
        id: ChildId,
    },
    /// A record that cannot be read was dropped.
    GarbageDropped {
        /// Its key.
        key: String,
        /// What the decoder said.
        reason: String,
    },
    /// The backend's health changed.
    Health {
        /// As it is now.
        health: Health,
    },
    /// An impossible state was met and the safe choice taken; please report it.
    Bug {
        /// What was seen.
        what: String,
    },
}
