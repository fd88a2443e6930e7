//! Tests of your own children in a simulated cluster: real [`Child`](pogo_core::runtime::Child)
//! types, real nodes, virtual time, and every law of the simulator.
//!
//! ```
//! use pogo_core::{runtime::{Child, ChildContext, ChildKinds, Exit}, spec::ChildSpec};
//! use pogo_sim::kit::SimCluster;
//!
//! struct Poller;
//! impl Child for Poller {
//!     const KIND: &'static str = "poller";
//!     type Args = u32;
//!     type State = u64;
//!     async fn run(&self, _tenant: u32, cx: ChildContext<u64>) -> Exit {
//!         let polls = cx.inherited()?.unwrap_or(0);
//!         cx.ready();
//!         cx.stopping().await;
//!         Ok(cx.hand_over(&(polls + 1))?)
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut cluster = SimCluster::new(3, 42, || ChildKinds::default().kind(Poller))?;
//! for tenant in 0..10 {
//!     cluster.start_child(ChildSpec::new::<Poller>(tenant, &tenant)?)?;
//! }
//! cluster.cut(&[&["m0"], &["m1", "m2"]])?;
//! cluster.run_for(std::time::Duration::from_secs(5))?;
//! cluster.heal();
//! cluster.crash("m1")?;
//! cluster.settle()?; // all run once, on the right members, and everybody lists them so
//! assert_eq!(cluster.holders("poller/3")?.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! Children run on tokio with its clock paused: `tokio::time` in them is virtual, and an hour
//! takes milliseconds. What they do outside of it (sockets, files, threads, `std::time`) is real
//! and not under the seed; give them such things as fakes, through the value that offers their kind.
//! A `tokio::select!` that is not `biased` draws from tokio's own randomness.

mod error;

use std::{
    collections::BTreeSet,
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use pogo_core::{
    id::{ChildId, IdError, MemberName, RunId},
    membership::MemberMetadata,
    node::{Input, StartChild, StartMode, StopReason},
    runtime::{ChildKinds, ChildRunner},
    spec::{ChildSpec, Restart, Shutdown},
    time::Timestamp,
};
use tokio::{
    runtime::{self, Handle, Runtime},
    time::Instant,
};

pub use self::error::KitError;
use crate::{
    fact::Fact,
    picture::Instance,
    plan::{BackendKind, Op, Options, Plan},
    world::{Executor, Want, Workshop, World},
};

/// How often a cluster is looked at while it comes to rest.
const LOOK: Duration = Duration::from_millis(250);
/// How long a request may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A simulated cluster whose members `m0`, `m1`, ... run your own children.
///
/// Every method that lets time pass judges all laws on the way; the first that is broken ends the
/// test as [`KitError::Broken`].
#[derive(Debug)]
pub struct SimCluster {
    world: World,
    // After the world: its runs end on it.
    runtime: Runtime,
    began: Instant,
    /// Permanent children that were started and not terminated.
    wanted: BTreeSet<ChildId>,
}

impl SimCluster {
    /// So many members over the in-process backend, all of which offer these kinds. All that the
    /// simulation draws depends on the seed.
    ///
    /// # Errors
    /// [`KitError`]; nothing is left running.
    pub fn new(
        members: usize,
        seed: u64,
        kinds: impl Fn() -> Result<ChildKinds, IdError> + 'static,
    ) -> Result<Self, KitError> {
        Self::over(BackendKind::Hub, members, seed, kinds)
    }

    /// The same over another backend, `BackendKind::Gossip` for example.
    ///
    /// # Errors
    /// [`KitError`]; nothing is left running.
    pub fn over(
        backend: BackendKind,
        members: usize,
        seed: u64,
        kinds: impl Fn() -> Result<ChildKinds, IdError> + 'static,
    ) -> Result<Self, KitError> {
        let mut plan = Plan::new(seed, Options { backend, ..Options::default() });
        for member in 0..members {
            plan.at(0, Op::Boot(MemberName::new(format!("m{member}"))?));
        }
        let runtime = runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .map_err(KitError::Runtime)?;
        let offered: BTreeSet<_> = kinds()?.names().cloned().collect();
        let handle = runtime.handle().clone();
        let metadata = MemberMetadata { kinds: offered, ..MemberMetadata::default() };
        let make = Box::new(move |_: &MemberName| {
            // They were made once without a fault.
            let kinds = kinds().unwrap_or_default();
            Box::new(Real::new(kinds, handle.clone())) as Box<dyn Executor>
        });
        let mut world = World::new(&plan);
        world.employ(Workshop { metadata, make });
        world.begin(&plan);
        let began = runtime.block_on(async { Instant::now() });
        let mut cluster = Self { world, runtime, began, wanted: BTreeSet::new() };
        cluster.settle()?;
        Ok(cluster)
    }

    /// How long the cluster has run, in virtual time.
    pub fn now(&self) -> Duration {
        self.world.time().since(Timestamp::ZERO)
    }

    /// Lets so much time pass.
    ///
    /// # Errors
    /// [`KitError::Broken`] with the first law that is.
    pub fn run_for(&mut self, time: Duration) -> Result<(), KitError> {
        let until = self.world.time() + time;
        let (world, began) = (&mut self.world, self.began);
        self.runtime.block_on(run(world, began, until));
        self.judge()
    }

    /// Lets time pass until everything is where it belongs: each child that is wanted runs once, is
    /// ready, on the member that placement names, and all members list it so.
    ///
    /// # Errors
    /// [`KitError::Broken`] where a law is, or that never comes about; [`KitError::NotRunning`] where
    /// a permanent child does not get to run, because it fails for example.
    pub fn settle(&mut self) -> Result<(), KitError> {
        let deadline = self.world.time() + self.world.patience();
        loop {
            self.run_for(LOOK)?;
            let at = self.world.time();
            let judged = self.world.judge_rest().map_err(|broken| KitError::broken(at, broken));
            match judged.and_then(|()| self.all_run()) {
                Err(_) if at < deadline => {}
                judged => return judged,
            }
        }
    }

    fn all_run(&self) -> Result<(), KitError> {
        let picture = self.world.picture();
        let runs = |id: &&ChildId| picture.of(id).iter().any(Instance::is_running);
        match self.wanted.iter().find(|id| !runs(id)) {
            Some(id) => Err(KitError::NotRunning(id.clone())),
            None => Ok(()),
        }
    }

    /// Starts a child, or replaces it, through any live member; returns once that is accepted.
    ///
    /// # Errors
    /// [`KitError::Refused`] where it is; else as [`run_for`](Self::run_for).
    pub fn start_child(&mut self, spec: ChildSpec) -> Result<(), KitError> {
        spec.validate()?;
        let (id, restart) = (spec.id.clone(), spec.restart);
        self.ask(Want::Spec(Box::new(spec), StartMode::StartOrReplace))?;
        self.wanted.remove(&id);
        if restart == Restart::Permanent {
            self.wanted.insert(id);
        }
        Ok(())
    }

    /// Terminates a child through any live member; returns once that is accepted.
    ///
    /// # Errors
    /// As [`run_for`](Self::run_for).
    pub fn terminate_child(&mut self, id: &str) -> Result<(), KitError> {
        let id = ChildId::new(id)?;
        self.ask(Want::Terminate(id.clone()))?;
        self.wanted.remove(&id);
        Ok(())
    }

    /// Ends a member's process at once, as `kill -9` does.
    ///
    /// # Errors
    /// [`KitError::Name`] where no member can have this name.
    pub fn crash(&mut self, member: &str) -> Result<(), KitError> {
        self.happen(Op::Crash { member: MemberName::new(member)?, silent: false })
    }

    /// Starts the process of a member that is down.
    ///
    /// # Errors
    /// [`KitError::Name`] where no member can have this name.
    pub fn boot(&mut self, member: &str) -> Result<(), KitError> {
        self.happen(Op::Boot(MemberName::new(member)?))
    }

    /// Has a member hand its children to the others and leave.
    ///
    /// # Errors
    /// [`KitError::Name`] where no member can have this name.
    pub fn drain(&mut self, member: &str, deadline: Duration) -> Result<(), KitError> {
        self.happen(Op::Drain { member: MemberName::new(member)?, deadline })
    }

    /// Cuts the members into groups that do not reach each other.
    ///
    /// # Errors
    /// [`KitError::Name`] where no member can have such a name.
    pub fn cut(&mut self, groups: &[&[&str]]) -> Result<(), KitError> {
        let group = |names: &&[&str]| names.iter().map(|name| MemberName::new(*name)).collect();
        let groups: Result<Vec<BTreeSet<MemberName>>, IdError> = groups.iter().map(group).collect();
        self.happen(Op::Cut(groups?))
    }

    /// Ends the division.
    pub fn heal(&mut self) {
        self.world.operate(Op::Heal);
    }

    /// Lets anything happen that a plan can say.
    ///
    /// # Errors
    /// [`KitError::Broken`] where that breaks a law.
    pub fn happen(&mut self, op: Op) -> Result<(), KitError> {
        self.world.operate(op);
        self.judge()
    }

    /// The members that run a child now.
    ///
    /// # Errors
    /// [`KitError::Name`] where no child can have this id.
    pub fn holders(&self, id: &str) -> Result<Vec<MemberName>, KitError> {
        let id = ChildId::new(id)?;
        Ok(self.world.picture().of(&id).iter().map(|one| one.host.clone()).collect())
    }

    /// All that was seen so far, with the time of each.
    pub fn trace(&self) -> &[(Timestamp, Fact)] {
        self.world.trace()
    }

    fn ask(&mut self, want: Want) -> Result<(), KitError> {
        let via = MemberName::new("m0")?;
        self.world.want(via, want);
        let deadline = self.world.time() + ANSWER_WITHIN;
        while self.world.has_open_requests() {
            self.run_for(Duration::from_millis(1))?;
            if self.world.time() >= deadline {
                return Err(KitError::NoAnswer(ANSWER_WITHIN));
            }
        }
        match self.world.take_refusal() {
            Some(why) => Err(KitError::Refused(why)),
            None => Ok(()),
        }
    }

    fn judge(&self) -> Result<(), KitError> {
        match self.world.broken() {
            Some((at, violation)) => Err(KitError::broken(at, violation.clone())),
            None => Ok(()),
        }
    }
}

/// Lets the world and its children run, each by the same virtual time.
async fn run(world: &mut World, began: Instant, until: Timestamp) {
    loop {
        let now = Timestamp::from_start(Instant::now() - began);
        world.run_until(now.min(until));
        world.take_real();
        if now >= until || world.broken().is_some() {
            return;
        }
        let next = world.next_at().map_or(until, |at| at.min(until));
        let mut wait = pin!(tokio::time::sleep_until(began + next.since(Timestamp::ZERO)));
        poll_fn(|context| match world.poll_real(context) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => wait.as_mut().poll(context),
        })
        .await;
    }
}

/// The real runs of one process.
#[derive(Debug)]
struct Real(ChildRunner);

impl Real {
    fn new(kinds: ChildKinds, runtime: Handle) -> Self {
        Self(ChildRunner::new(kinds, runtime))
    }
}

impl Executor for Real {
    fn start(&mut self, member: &MemberName, start: StartChild) {
        self.0.start(member.clone(), start);
    }
    fn stop(&mut self, now: Timestamp, run: RunId, reason: StopReason, shutdown: Shutdown) {
        self.0.stop(now, run, reason, shutdown);
    }
    fn absorb(&mut self, run: RunId, state: Bytes) {
        self.0.absorb(run, state);
    }
    fn next_alarm(&self) -> Option<Timestamp> {
        self.0.next_alarm()
    }
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.0.poll(context)
    }
    fn take_inputs(&mut self, now: Timestamp) -> Vec<Input> {
        self.0.take_inputs(now)
    }
}
