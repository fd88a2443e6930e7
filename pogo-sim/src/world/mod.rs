//! The simulated world: real nodes over the in-process backend, in virtual time, on one thread.
//!
//! The world plays the driver's part for every node: it carries out outputs in their order, models
//! the way to the backend and back, and runs the children. What it does is decided by the plan and
//! by keyed draws alone (S19). Everything that it sees becomes a [`Fact`], which the laws judge.

mod agenda;
mod backend;
mod children;
mod clients;
mod driver;
mod durability;
mod feeds;
mod gossip;
mod healing;
mod host;
mod operate;
mod phases;
mod real;
mod resting;
mod stalls;
mod store;
mod twins;
mod writes;

use std::{collections::BTreeMap, time::Duration};

use pogo_core::{
    id::{BootId, ChildId, MemberName},
    membership::MemberMetadata,
    node::{self, Input},
    record::Stamp,
    time::{Now, Timestamp},
};

use self::{
    agenda::{Agenda, Happening, Process},
    backend::Backend,
    clients::Clients,
    host::{Host, Up},
    resting::Missing,
    twins::Twin,
};
pub(crate) use self::{
    clients::Want,
    real::{Executor, Workshop},
};
use crate::{
    coverage::{Coverage, Watch},
    draw::Draws,
    fact::Fact,
    invariant::{Laws, TraceHash, Violation},
    oracle::Oracle,
    picture::Picture,
    plan::{ChildPlan, Options, Plan},
    store::Strength,
};

/// More than this at one moment, over all members, and time does not advance (S17).
const AT_ONCE: u32 = 100_000;

/// After so many facts, and at least four for each child, the laws look at everything again, whatever
/// they remember (S1..).
const FULL_EVERY: u64 = 512;

/// What a run was like, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// How long it took in virtual time.
    pub virtual_time: Duration,
    /// Inputs that nodes took.
    pub inputs: u64,
    /// Instances that began.
    pub starts: u64,
    /// Instances that began on another live member than the last one of their child.
    pub moves: u64,
}

/// What came out of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Covers every fact of the run; equal for runs of the same plan (S19).
    pub trace_hash: u64,
    /// The run in numbers.
    pub stats: Stats,
    /// The law that was broken and when, if one was.
    pub violation: Option<(Timestamp, Violation)>,
    /// What was seen, without the inputs of nodes.
    pub trace: Vec<(Timestamp, Fact)>,
    /// Where each child ran when the cluster had come to rest.
    pub running: BTreeMap<ChildId, MemberName>,
    /// What clients were promised.
    pub oracle: Oracle,
    /// The states that it reached.
    pub coverage: Coverage,
}

/// Runs a plan to its end, or to the first broken law.
pub fn run_plan(plan: &Plan) -> Outcome {
    let mut world = World::new(plan);
    world.run(plan);
    world.into_outcome()
}

/// The simulated world.
#[derive(Debug)]
pub(crate) struct World {
    draws: Draws,
    options: Options,
    delay: Duration,
    now: Timestamp,
    /// What has happened at this moment.
    happened: u32,
    agenda: Agenda,
    backend: Backend,
    sessions: u64,
    hosts: BTreeMap<MemberName, Host>,
    twins: BTreeMap<MemberName, Twin>,
    twins_started: u64,
    clients: Clients,
    picture: Picture,
    oracle: Oracle,
    laws: Laws,
    watch: Watch,
    trace: Vec<(Timestamp, Fact)>,
    trace_hash: TraceHash,
    stats: Stats,
    violation: Option<(Timestamp, Violation)>,
    running: BTreeMap<ChildId, MemberName>,
    /// States that children handed over so far; each has its number.
    exported: u64,
    /// Facts seen so far.
    facts: u64,
    /// When a process last ended.
    last_end: Timestamp,
    /// Whether the store has lost data.
    has_lost_data: bool,
    /// How many members have to run for every child to be allowed to.
    needed: usize,
    /// Reads of contacts that one has led to another.
    looks: u32,
    /// Until when what looks like rest is none.
    rests_from: Timestamp,
    /// What was missing when it was last looked.
    missing: Option<Missing>,
    /// Whether the harness has begun to heal.
    is_healing: bool,
    /// Where real children are made, if they are not modelled.
    workshop: Option<Workshop>,
}

impl World {
    pub(crate) fn new(plan: &Plan) -> Self {
        let options = plan.options.clone();
        let spread = options.spread();
        let horizon = options.request_timeout + Duration::from_secs(1) + spread;
        Self {
            draws: Draws::new(plan.seed),
            delay: options.delay,
            now: Timestamp::ZERO,
            happened: 0,
            agenda: Agenda::default(),
            backend: Backend::new(plan),
            sessions: 0,
            hosts: BTreeMap::new(),
            twins: BTreeMap::new(),
            twins_started: 0,
            clients: Clients::default(),
            picture: Picture {
                delay: options.feed_delay(options.delay),
                strike_within: options.detection + Duration::from_secs(1),
                ..Picture::default()
            },
            oracle: Oracle::new(spread, horizon).lagging(options.lag()),
            laws: Laws::new(&options),
            watch: Watch::new(),
            trace: Vec::new(),
            trace_hash: TraceHash::default(),
            stats: Stats::default(),
            violation: None,
            running: BTreeMap::new(),
            exported: 0,
            facts: 0,
            last_end: Timestamp::ZERO,
            has_lost_data: false,
            needed: healing::needed(plan),
            looks: 0,
            rests_from: Timestamp::ZERO,
            missing: None,
            is_healing: false,
            workshop: None,
            options,
        }
    }

    fn into_outcome(mut self) -> Outcome {
        if let Some(state) = self.backend.reached() {
            self.watch.reach(state);
        }
        let virtual_time = self.now.since(Timestamp::ZERO);
        Outcome {
            trace_hash: self.trace_hash.value(),
            stats: Stats { virtual_time, ..self.stats },
            violation: self.violation,
            trace: self.trace,
            running: self.running,
            oracle: self.oracle,
            coverage: self.watch.into_coverage(),
        }
    }

    /// Lets happen what is due by `until`, then goes there.
    pub(crate) fn run_until(&mut self, until: Timestamp) {
        while self.violation.is_none() {
            let steps_at = self.backend.next_step_at();
            let next = self.agenda.next_at().into_iter().chain(steps_at).min();
            let Some(at) = next.filter(|at| *at <= until) else { break };
            self.happened = if at == self.now { self.happened + 1 } else { 0 };
            self.now = at;
            if self.happened > AT_ONCE {
                self.break_law("S17 time advances", format!("no end of what happens at {at:?}"));
            }
            if steps_at == Some(at) {
                self.backend.step(at);
                self.see_division();
            } else if let Some(happening) = self.agenda.take_next() {
                self.give(happening);
            }
            self.take_news();
            self.watch_feeds();
        }
        if self.violation.is_none() {
            self.now = self.now.max(until);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Op(op) => self.operate(op),
            Happening::Join(process) => self.join(&process),
            Happening::TwinJoins(process) => self.twin_joins(&process),
            Happening::Wake(process) => self.wake(&process),
            Happening::Deliver(process) => self.deliver(&process),
            Happening::HubTimeout => self.hub_timeout(),
            Happening::Apply(process, session, id, request) => {
                self.apply(process, session, id, &request);
            }
            Happening::Answer(process, id, answer) => self.answer(&process, id, answer),
            Happening::Child(process, child, run, step) => {
                self.child_step(&process, &child, run, step);
            }
            Happening::Write(child, token) => self.see(Fact::Wrote { child, token }),
            Happening::Ask(via, ask) => self.ask_again(via, ask),
            Happening::Request(process, id, request) => {
                self.handle(&process.host, "client", Input::Client(id, request));
            }
            Happening::Leave(process, drain) => self.leave(&process, drain),
            Happening::News(process, what) => self.tell(&process, what),
            Happening::Resume(process) => self.resume(&process),
            Happening::Fence(process) => self.fence(&process),
            Happening::Late(process, happening) => self.late(&process, *happening),
        }
    }

    /// Takes note of a fact: the laws judge it, then it is part of the picture and the trace.
    fn see(&mut self, fact: Fact) {
        let is_abandoned =
            |host: &MemberName| self.hosts.get(host).is_some_and(|it| it.is_abandoned);
        if self.violation.is_some() || fact.host().is_some_and(is_abandoned) {
            return;
        }
        self.trace_hash.add(self.now, &fact);
        let judged = self.laws.on_fact(self.now, &fact, &self.picture);
        self.count_move(&fact);
        self.watch.see(self.now, &fact, &self.picture);
        self.picture.apply(self.now, &fact);
        self.facts += 1;
        let every = FULL_EVERY.max(4 * self.oracle.size());
        let in_full =
            matches!(fact, Fact::Healed | Fact::Phase(_)) || self.facts.is_multiple_of(every);
        let whole = if in_full { self.laws.on_picture(self.now, &self.picture) } else { Ok(()) };
        if !matches!(fact, Fact::Handled { .. }) {
            self.trace.push((self.now, fact));
        }
        if let Err(violation) = judged.and(whole) {
            self.violation = Some((self.now, violation));
        }
    }

    fn count_move(&mut self, fact: &Fact) {
        let Fact::Started(started) = fact else { return };
        let Some(last) = self.picture.last.get(&started.child) else { return };
        let holder = self.picture.hosts.get(&last.host);
        if last.host != started.host && holder.is_some_and(|host| host.boot == last.boot) {
            self.stats.moves += 1;
        }
    }

    fn break_law(&mut self, law: &'static str, what: String) {
        let violation = Violation { law, child: None, what };
        self.violation.get_or_insert((self.now, violation));
    }

    /// The first member at or after `via` that takes part, by name and round again.
    fn live_from(&self, via: &MemberName) -> Option<MemberName> {
        let takes_part = |name: &&MemberName| {
            let host = self.picture.hosts.get(*name);
            host.is_some_and(|host| host.joined && !host.leaving && host.paused.is_none())
        };
        let names = self.hosts.keys();
        names.clone().filter(|name| *name >= via).chain(names).find(takes_part).cloned()
    }

    fn up(&mut self, host: &MemberName) -> Option<&mut Up> {
        self.hosts.get_mut(host)?.up.as_mut()
    }

    /// The process, if it still runs.
    fn current(&mut self, process: &Process) -> Option<&mut Up> {
        let host = self.hosts.get_mut(&process.host)?;
        if host.starts == process.start { host.up.as_mut() } else { None }
    }

    fn process(&self, name: &MemberName) -> Option<(Process, &Up)> {
        let host = self.hosts.get(name)?;
        Some((host.process(name), host.up.as_ref()?))
    }

    fn clock(&self, name: &MemberName) -> Now {
        self.hosts.get(name).map_or_else(Now::default, |host| {
            let started = host.clock.starting(self.now);
            host.up.as_ref().map_or(started, |up| up.clock).read(self.now)
        })
    }

    /// What every member brings.
    fn metadata(&self) -> MemberMetadata {
        let real = self.workshop.as_ref().map(|it| it.metadata.clone());
        real.unwrap_or_else(host::metadata)
    }

    /// The true time, as the backend has it.
    fn true_clock(&self) -> Now {
        Now { mono: self.now, ..Now::default() }
    }

    fn record_at(&self, host: &MemberName, child: &ChildId) -> Option<(Stamp, bool)> {
        let (_, up) = self.process(host)?;
        up.node.inspect().record(child)
    }

    /// The child as a member knows it.
    fn plan_at(&self, host: &MemberName, child: &ChildId) -> Option<ChildPlan> {
        let (_, up) = self.process(host)?;
        up.node.inspect().spec(child).map(ChildPlan::of_spec)
    }
}

fn boot_id(draws: Draws, host: &MemberName, start: u64) -> BootId {
    let high = u128::from(draws.bits("boot", host.as_str(), start));
    let low = u128::from(draws.bits("boot, low half", host.as_str(), start));
    BootId::from_random(high << 64 | low)
}

fn node_config(options: &Options, metadata: MemberMetadata) -> node::Config {
    let mut config = node::Config::default();
    config.metadata = metadata;
    config.min_members = options.min_members;
    config.start_timeout = options.start_timeout;
    config.handover_timeout = options.handover_timeout;
    config.request_timeout = options.request_timeout;
    config.sync_interval = options.sync_interval;
    config.max_moves = options.max_moves;
    config.exclusivity = options.mode;
    config.failover_delay = options.failover_delay;
    config.accept_best_effort_claims = options.strength == Strength::BestEffort;
    config
}
