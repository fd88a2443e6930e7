//! A member's place in the simulated world: its clock, and the process that runs there, if any.

use std::{collections::BTreeMap, time::Duration};

use pogo_core::{
    id::{BootId, ChildId, FencingToken, Kind, MemberName, RunId},
    membership::MemberMetadata,
    node::Node,
    spec::Labels,
    time::{Now, Timestamp, WallTime},
};

use super::{agenda::Process, backend::Session, real::Executor, stalls::Stall};
use crate::{
    invariant::Observer,
    plan::{ChildPlan, KIND},
};

/// The true wall time at the start of a run; any moment would do.
const EPOCH_MILLIS: i64 = 1_700_000_000_000;

const MILLION: u128 = 1_000_000;

/// A place where a member's process runs or may run.
#[derive(Debug)]
pub(super) struct Host {
    /// How its clocks deviate; the same for each of its processes.
    pub(super) clock: HostClock,
    /// How often its process was started.
    pub(super) starts: u64,
    /// Whether it is not healed, and nothing more is seen of it.
    pub(super) is_abandoned: bool,
    /// The process that runs.
    pub(super) up: Option<Up>,
}

/// A process.
#[derive(Debug)]
pub(super) struct Up {
    pub(super) node: Node,
    pub(super) boot: BootId,
    pub(super) clock: HostClock,
    pub(super) session: Option<Session>,
    pub(super) joins: u64,
    pub(super) wakes_at: Option<Timestamp>,
    pub(super) delivers_at: Option<Timestamp>,
    pub(super) view: Option<u64>,
    pub(super) runs: BTreeMap<(ChildId, RunId), Run>,
    /// What keeps it from handling things at once.
    pub(super) stall: Stall,
    /// Whether its strict runs are watched (R16).
    pub(super) is_fenced: bool,
    /// Who runs its children, where they are real.
    pub(super) real: Option<Box<dyn Executor>>,
    pub(super) observer: Observer,
}

/// An execution of a child.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) plan: ChildPlan,
    pub(super) strict: bool,
    pub(super) token: Option<FencingToken>,
    /// What it has written so far.
    pub(super) writes: u64,
    pub(super) stopping: bool,
}

/// Both clocks of a process: the one place where the simulation's time becomes a member's own, and
/// back.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HostClock {
    /// How far the wall clock is ahead of the true time.
    pub(super) skew_millis: i64,
    /// By how many parts per million the monotonic clock is fast.
    pub(super) drift: i32,
    /// How far the monotonic clock has jumped forward.
    pub(super) jumped: Duration,
    /// The last of these jumps, and how far it had jumped before.
    pub(super) jump: (Timestamp, Duration),
    /// When the process was started.
    pub(super) started: Timestamp,
}

impl HostClock {
    /// What both clocks show.
    pub(super) fn read(self, now: Timestamp) -> Now {
        let elapsed = i64::try_from(now.as_nanos() / 1_000_000).unwrap_or(i64::MAX);
        let wall = EPOCH_MILLIS.saturating_add(elapsed).saturating_add(self.skew_millis);
        Now { mono: self.local_time(now), wall: WallTime::from_millis(wall.unsigned_abs()) }
    }

    /// The clock of a process that starts now.
    pub(super) fn starting(self, now: Timestamp) -> Self {
        let (skew_millis, drift) = (self.skew_millis, self.drift);
        Self { skew_millis, drift, started: now, ..Self::default() }
    }

    /// A clock that jumps forward now.
    pub(super) fn jumping(self, now: Timestamp, by: Duration) -> Self {
        Self { jumped: self.jumped + by, jump: (now, self.jumped), ..self }
    }

    /// What the monotonic clock shows at a moment of the simulation's time, or showed then: of
    /// jumps it remembers the last.
    pub(super) fn local_time(self, at: Timestamp) -> Timestamp {
        let (jumped_at, before) = self.jump;
        let jumped = if at < jumped_at { before } else { self.jumped };
        let nanos = at.since(self.started).as_nanos() * self.rate() / MILLION;
        Timestamp::ZERO + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)) + jumped
    }

    /// The first moment of the simulation's time at which the monotonic clock shows that, or has
    /// shown it; no earlier than now.
    pub(super) fn world_time(self, local: Timestamp, now: Timestamp) -> Timestamp {
        let since = local.since(Timestamp::ZERO + self.jumped).as_nanos();
        let nanos = (since * MILLION).div_ceil(self.rate());
        let since = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        (self.started + since).max(now)
    }

    fn rate(self) -> u128 {
        MILLION.saturating_add_signed(i128::from(self.drift)).max(1)
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
        (local != Timestamp::MAX).then(|| self.clock.world_time(local, now))
    }
}

/// What every simulated member brings.
pub(super) fn metadata() -> MemberMetadata {
    let kinds = Kind::new(KIND).into_iter().collect();
    MemberMetadata { weight: 1, labels: Labels::new(), kinds, version: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    #[test]
    fn clock_shows_a_deadline_as_soon_as_it_is_due_and_no_sooner() {
        for drift in [-1_000, -1, 0, 1, 999] {
            for jumped in [Duration::ZERO, Duration::from_secs(3)] {
                let clock = HostClock { drift, jumped, started: at(77), ..HostClock::default() };
                for local in
                    [3_000_000_000, 3_000_000_001, 9_999_999_999, u64::from(u32::MAX) << 16]
                {
                    let due = clock.world_time(at(local), Timestamp::ZERO);
                    assert!(clock.local_time(due) >= at(local), "{clock:?}");
                    let before = at(due.as_nanos() - 1);
                    assert!(clock.local_time(before) < at(local) || before < clock.started);
                }
            }
        }
    }

    #[test]
    fn drift_and_jumps_move_the_monotonic_clock_and_nothing_else() {
        let clock = HostClock { started: at(0), ..HostClock::default() };
        let second = at(1_000_000_000);
        assert_eq!(clock.read(second).mono, second);
        let fast = HostClock { drift: 1_000, ..clock };
        let fast = fast.jumping(at(900_000_000), Duration::from_secs(2));
        assert_eq!(fast.local_time(at(800_000_000)), at(800_800_000), "that was before it");
        assert_eq!(fast.read(second).mono, at(3_001_000_000));
        assert_eq!(fast.read(second).wall, clock.read(second).wall);
        assert_eq!(fast.world_time(at(5), second), second, "that is over");
    }
}
