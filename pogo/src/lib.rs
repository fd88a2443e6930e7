#![doc = include_str!("../../README.md")]

mod backends;

/// Which member owns which child, for those who want to know beforehand.
pub use pogo_core::placement;
/// What a backend is written against.
pub use pogo_core::{id, membership, record, time};
pub use pogo_core::{
    id::{
        BootId, ChildId, ClusterName, FencingToken, Generation, IdError, Incarnation, Kind,
        MemberId, MemberName, RunId, Scope,
    },
    membership::{DownReason, Health, MemberStatus, Membership, MembershipError},
    node::{
        ChildInfo, Drained, Event, Exclusion, ExitReason, Explanation, LeavePlan, Listing,
        MemberView, PendingReason, RequestError, StartChildError, Started, Status, StopReason,
        Terminated,
    },
    runtime::{
        Backend, BackendError, Backends, Batch, Child, ChildContext, ChildError, ChildWatch,
        DrainOutcome, EventItem, Events, Exit, HandOverError, Snapshot, StartError, StateError,
        Stopped, WaitError,
    },
    spec::{
        Args, ChildSpec, Exclusivity, Handover, Labels, PlacementRules, Restart, Shutdown,
        SpecError,
    },
};

pub use self::backends::AllBackends;

/// etcd: its settings for code, and the epoch of its tokens.
#[cfg(feature = "etcd")]
pub use pogo_membership_etcd as etcd;
/// Native gossip: its settings for code, its keys, what goes over its sockets.
#[cfg(feature = "gossip")]
pub use pogo_membership_gossip as gossip;

/// A member of a cluster that keeps children running; its backend is named by URL.
pub type Supervisor = pogo_core::runtime::Supervisor<AllBackends>;

/// The settings of a [`Supervisor`].
pub type Builder = pogo_core::runtime::Builder<AllBackends>;

/// What nearly every program needs.
pub mod prelude {
    pub use crate::{
        Child, ChildContext, ChildId, ChildSpec, Exit, Listing, Restart, Shutdown, StopReason,
        Supervisor,
    };
}
