#![doc = include_str!("../../README.md")]

mod backends;

/// What a backend is written against.
pub use pogo_core::{id, membership, record, time};
pub use pogo_core::{
    id::{ChildId, ClusterName, FencingToken, IdError, Kind, MemberId, MemberName, Scope},
    membership::{Health, Membership, MembershipError},
    node::{
        ChildInfo, Drained, Event, ExitReason, Explanation, LeavePlan, Listing, MemberView,
        PendingReason, RequestError, StartChildError, Started, Status, StopReason, Terminated,
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
