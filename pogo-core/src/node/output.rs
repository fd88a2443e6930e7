//! What the node asks of the driver.
//!
//! The order of outputs is the order of execution; the driver may overlap only effects on
//! different children and requests to the backend.

use std::sync::Arc;

use bytes::Bytes;

use super::{event::Event, request::Reply};
use crate::{
    id::{ChildId, FencingToken, MemberName, RequestId, RunId},
    membership::{MemberStatus, OwnedUpdate, Put},
    record::Key,
    spec::{ChildSpec, Shutdown},
};
use serde::{Deserialize, Serialize};

/// One effect.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Output {
    /// Ask the session; answer with [`super::Input::Answer`].
    Membership(RequestId, MembershipRequest),
    /// Read the session's lease and contacts, and answer with [`super::Input::Contact`] before
    /// anything else; without a session there is no answer.
    ReadContact,
    /// Tell the session whether to probe every member (R17).
    ProbeAll(bool),
    /// The session has ended: join again under the same boot id, then [`super::Input::Joined`].
    Rejoin,
    /// Run a child; exactly one `ChildExited` follows for this run.
    StartChild(StartChild),
    /// Stop a run that was started and has not exited.
    StopChild {
        /// Whose run.
        child: ChildId,
        /// Which run.
        run: RunId,
        /// Why; the child sees it.
        reason: StopReason,
        /// How long it may take.
        shutdown: Shutdown,
    },
    /// Give a running child the state of an instance that it outlived (R7, R8).
    Absorb {
        /// Whose run.
        child: ChildId,
        /// Which run.
        run: RunId,
        /// The other instance's state.
        state: Bytes,
    },
    /// Answer a user's request.
    Reply(RequestId, Reply),
    /// Something that observers may want to know (R27).
    Event(Event),
    /// The member has left; nothing follows.
    Stopped,
}

/// A run to begin.
#[derive(Debug, Clone)]
pub struct StartChild {
    /// Which child.
    pub child: ChildId,
    /// The new run.
    pub run: RunId,
    /// What to run.
    pub spec: Arc<ChildSpec>,
    /// 1 for the first start of this spec on this member, then counting up.
    pub attempt: u32,
    /// State handed over by a former instance (R9).
    pub inherited: Option<Bytes>,
    /// The fencing token, where the child is strict.
    pub token: Option<FencingToken>,
}

/// What the node asks of its session.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum MembershipRequest {
    /// `Presence::set_status`.
    SetStatus(MemberStatus),
    /// `Presence::publish`; never more than one is open.
    Publish(Vec<OwnedUpdate>),
    /// `SharedRecords::put`.
    Put(Vec<Put>),
    /// `SharedRecords::get`.
    Get(Vec<Key>),
    /// `Claims::acquire`.
    Acquire(Vec<Key>),
    /// `Claims::release`.
    Release(Vec<Key>),
    /// `Presence::leave`.
    Leave,
}

/// Why a child is told to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StopReason {
    /// It was terminated.
    Terminated,
    /// A newer spec takes its place.
    Replaced,
    /// It moves to another member.
    Moving {
        /// The member that takes it.
        to: MemberName,
    },
    /// Its member drains and nobody can take it.
    Draining,
    /// Its claim, lease or quorum is gone.
    OwnershipLost,
    /// Another instance of it survives (R8).
    Superseded,
    /// A restart was asked for, or it was not ready in time.
    Restarted,
    /// Its supervisor stops.
    SupervisorStopped,
}
