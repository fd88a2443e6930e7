//! A member's place in the simulated world: its clock, and the process that runs there, if any.

use std::collections::BTreeMap;

use pogo_core::{
    id::{BootId, ChildId, Kind, MemberName, RunId},
    membership::MemberMetadata,
    node::Node,
    spec::Labels,
    time::{Now, Timestamp, WallTime},
};

use super::{agenda::Process, backend::Session};
use crate::plan::{ChildPlan, KIND};

/// The true wall time at the start of a run; any moment would do.
const EPOCH_MILLIS: i64 = 1_700_000_000_000;

/// A place where a member's process runs or may run.
#[derive(Debug)]
pub(super) struct Host {
    /// How far its wall clock is ahead of the true time.
    pub(super) skew_millis: i64,
    /// How often its process was started.
    pub(super) starts: u64,
    /// The process that runs.
    pub(super) up: Option<Up>,
}

/// A process.
#[derive(Debug)]
pub(super) struct Up {
    pub(super) node: Node,
    pub(super) boot: BootId,
    pub(super) started: Timestamp,
    pub(super) session: Option<Session>,
    pub(super) joins: u64,
    pub(super) wakes_at: Option<Timestamp>,
    pub(super) delivers_at: Option<Timestamp>,
    pub(super) view: Option<u64>,
    pub(super) runs: BTreeMap<(ChildId, RunId), Run>,
}

/// An execution of a child.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) plan: ChildPlan,
    /// What it hands over: how many runs its state has come through.
    pub(super) count: u64,
    pub(super) stopping: bool,
}

/// Both clocks of a process.
#[derive(Debug, Clone, Copy)]
pub(super) struct HostClock {
    /// How far the wall clock is ahead of the true time.
    pub(super) skew_millis: i64,
    /// When the process was started.
    pub(super) started: Timestamp,
}

impl HostClock {
    pub(super) fn read(self, now: Timestamp) -> Now {
        let elapsed = i64::try_from(now.as_nanos() / 1_000_000).unwrap_or(i64::MAX);
        let wall = EPOCH_MILLIS.saturating_add(elapsed).saturating_add(self.skew_millis);
        Now {
            mono: Timestamp::from_start(now.since(self.started)),
            wall: WallTime::from_millis(wall.unsigned_abs()),
        }
    }

    /// A time by the process' own clock in the simulation's time, no earlier than now.
    pub(super) fn world_time(self, local: Timestamp, now: Timestamp) -> Timestamp {
        (self.started + local.since(Timestamp::ZERO)).max(now)
    }
}

impl Host {
    /// The name of its current process start.
    pub(super) fn process(&self, name: &MemberName) -> Process {
        Process { host: name.clone(), start: self.starts }
    }
}

impl Up {
    /// When the node's deadline comes in the simulation's time.
    pub(super) fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let local = self.node.poll_timeout()?;
        let clock = HostClock { skew_millis: 0, started: self.started };
        (local != Timestamp::MAX).then(|| clock.world_time(local, now))
    }
}

/// What every simulated member brings.
pub(super) fn metadata() -> MemberMetadata {
    let kinds = Kind::new(KIND).into_iter().collect();
    MemberMetadata { weight: 1, labels: Labels::new(), kinds, version: String::new() }
}
