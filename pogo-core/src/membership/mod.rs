//! The seam between the supervisor and what its members know of each other.
//!
//! A backend implements [`Membership`]; joining gives a [`Session`]: presence, shared records,
//! perhaps claims, and one feed of [`Event`]s. There are no member-to-member messages (R1):
//! everything that members tell each other travels as records through this seam.

mod backoff;
mod capabilities;
mod error;
mod event;
mod view_diff;

use std::{fmt::Debug, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;

pub use self::{
    backoff::Backoff,
    capabilities::{Capabilities, Durability, Guarantee},
    error::MembershipError,
    event::{DownReason, Event, Health, MemberInfo, MemberMetadata, MemberStatus, OwnedUpdate},
    view_diff::{Gone, ViewDiff},
};
use crate::{
    id::{BootId, ClusterName, FencingToken, MemberId, MemberName, Scope},
    record::{Key, Record, Stamp},
    time::{Clock, Timestamp},
};

/// A backend: made from configuration, joined once per supervisor and again after an eviction.
#[async_trait]
pub trait Membership: Debug + Send + Sync + 'static {
    /// Its name for people, as in the URL's scheme.
    fn name(&self) -> &'static str;

    /// What it can promise.
    fn capabilities(&self) -> Capabilities;

    /// Whether `join` waits for others without end, because its configuration says so (R12); else
    /// a join that has not returned soon after [`Join::within`] is given up.
    fn waits_for_others(&self) -> bool {
        false
    }

    /// Joins the cluster; returns after a first snapshot was read.
    ///
    /// # Errors
    /// [`MembershipError`]; nothing of the attempt stays behind.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the attempt; what it left behind ends as a crashed member's.
    async fn join(&self, join: Join) -> Result<Session, MembershipError>;
}

/// What a member brings to a join.
#[derive(Debug, Clone)]
pub struct Join {
    /// All that share the backend.
    pub cluster: ClusterName,
    /// The namespace within it.
    pub scope: Scope,
    /// The stable name wished for, and what to do when a live member has it.
    pub name: NameChoice,
    /// This process start; the same at a rejoin.
    pub boot: BootId,
    /// What the others need to place children.
    pub metadata: MemberMetadata,
    /// How long to look for the cluster; a backend that can form one alone does so then (R12).
    pub within: Duration,
    /// The clock in which deadlines are given.
    pub clock: Arc<dyn Clock>,
}

/// The member name that a join asks for (R13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameChoice {
    /// This name, or [`MembershipError::NameTaken`].
    Exactly(MemberName),
    /// This name, with the lowest free suffix `-2`, `-3`... where a live member has it.
    Suffixed(MemberName),
}

/// One stay in the cluster. Dropping every part of it is a crash, not a leave.
pub struct Session {
    /// Who this member is.
    pub me: MemberId,
    /// Its own presence and owned records.
    pub presence: Arc<dyn Presence>,
    /// Records shared by all.
    pub records: Arc<dyn SharedRecords>,
    /// Claims, where the backend has them.
    pub claims: Option<Arc<dyn Claims>>,
    /// What happens in the cluster, from `Reset` on.
    pub events: Pin<Box<dyn Stream<Item = Event> + Send>>,
}

impl Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("me", &self.me).finish_non_exhaustive()
    }
}

/// A member's own presence.
#[async_trait]
pub trait Presence: Debug + Send + Sync + 'static {
    /// Tells the others this member's status.
    ///
    /// # Errors
    /// [`MembershipError`]; the status may be repeated safely.
    async fn set_status(&self, status: MemberStatus) -> Result<(), MembershipError>;

    /// Publishes a batch of owned records, in the order of calls and whole.
    ///
    /// # Errors
    /// [`MembershipError`]; the batch may be repeated safely.
    async fn publish(&self, batch: Vec<OwnedUpdate>) -> Result<(), MembershipError>;

    /// Reads owned records of a live member; `None` for what it does not have.
    ///
    /// # Errors
    /// [`MembershipError`]; nothing was changed.
    async fn owned(
        &self,
        member: &MemberId,
        keys: &[Key],
    ) -> Result<Vec<Option<Bytes>>, MembershipError>;

    /// Until when others must hold this member to be alive, in the join's clock: the time at which
    /// the last acknowledged renewal was sent, and [`Capabilities::lease_ttl`] (R16). It never goes
    /// back. `None` without leases.
    fn lease_deadline(&self) -> Option<Timestamp>;

    /// The last round trip to each other member, as the time at which the probe was sent that it
    /// answered, in the join's clock (R17). A member that holds this one to be down has not
    /// answered. Empty on backends with leases, and while nobody asked to
    /// [`probe_all`](Self::probe_all).
    fn contacts(&self) -> Vec<(BootId, Timestamp)> {
        Vec::new()
    }

    /// Whether every other member is to be probed each quarter of the detection window, because
    /// there are children that need a quorum (R17). Nothing to do on backends with leases.
    fn probe_all(&self, _on: bool) {}

    /// Leaves: the others see [`DownReason::Left`], once.
    ///
    /// # Errors
    /// [`MembershipError`]; the member then ends as a crashed one.
    async fn leave(&self) -> Result<(), MembershipError>;
}

/// Records that outlive their writer.
#[async_trait]
pub trait SharedRecords: Debug + Send + Sync + 'static {
    /// Writes each record where its expectation holds; one outcome per record, in order.
    ///
    /// # Errors
    /// [`MembershipError`] where the batch as a whole had no answer.
    async fn put(&self, batch: Vec<Put>) -> Result<Vec<PutOutcome>, MembershipError>;

    /// Reads records from the backend itself; `None` for what was never written or was collected.
    ///
    /// # Errors
    /// [`MembershipError`]; nothing was changed.
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, MembershipError>;
}

/// Exclusive rights that live as long as the session.
#[async_trait]
pub trait Claims: Debug + Send + Sync + 'static {
    /// Asks for claims; one outcome per key, in order. Holding one already gives the same token.
    ///
    /// # Errors
    /// [`MembershipError`]; with `Ambiguous` some may be held now.
    async fn acquire(&self, keys: &[Key]) -> Result<Vec<ClaimOutcome>, MembershipError>;

    /// Gives claims back; those not held are passed over.
    ///
    /// # Errors
    /// [`MembershipError`]; may be repeated safely.
    async fn release(&self, keys: &[Key]) -> Result<(), MembershipError>;
}

/// One record to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// Where.
    pub key: Key,
    /// What.
    pub record: Record,
    /// When.
    pub expect: Expect,
}

/// The condition of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expect {
    /// The record there is older in R2's order, or there is none.
    Newer,
    /// There is none.
    Absent,
    /// The record there is exactly this one.
    Exactly(Stamp),
}

/// What became of one write.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PutOutcome {
    /// It stands (also where exactly this record stood already).
    Applied,
    /// The expectation did not hold; this is there now.
    Stale {
        /// The record that is there, if any.
        current: Option<Record>,
    },
    /// It may or may not stand; repeating it is safe.
    Ambiguous,
}

/// What became of one claim asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimOutcome {
    /// It is held, with this token.
    Held {
        /// Higher than every token granted before for this claim.
        token: FencingToken,
    },
    /// Another session holds it.
    HeldBy {
        /// The holder.
        owner: MemberId,
        /// Its token.
        token: FencingToken,
    },
}
