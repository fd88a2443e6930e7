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
mod host;
mod operate;
mod phases;

use std::{collections::BTreeMap, time::Duration};

use pogo_core::{
    id::{BootId, ChildId, MemberName},
    node,
    record::Stamp,
    time::{Now, Timestamp},
};

use self::{
    agenda::{Agenda, Happening, Process},
    backend::Backend,
    clients::Clients,
    host::{Host, HostClock, Up},
};
use crate::{
    draw::Draws,
    fact::Fact,
    invariant::{Laws, TraceHash, Violation},
    oracle::Oracle,
    picture::Picture,
    plan::{Options, Plan},
};

/// More than this at one moment, over all members, and time does not advance (S17).
const AT_ONCE: u32 = 100_000;

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
}

/// Runs a plan to its end, or to the first broken law.
pub fn run_plan(plan: &Plan) -> Outcome {
    let mut world = World::new(plan);
    world.run(plan);
    world.into_outcome()
}

/// The simulated world.
#[derive(Debug)]
struct World {
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
    clients: Clients,
    picture: Picture,
    oracle: Oracle,
    laws: Laws,
    trace: Vec<(Timestamp, Fact)>,
    trace_hash: TraceHash,
    stats: Stats,
    violation: Option<(Timestamp, Violation)>,
    running: BTreeMap<ChildId, MemberName>,
    /// When a process last ended.
    last_end: Timestamp,
}

impl World {
    fn new(plan: &Plan) -> Self {
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
            clients: Clients::default(),
            picture: Picture {
                delay: options.feed_delay(options.delay),
                strike_within: options.detection + Duration::from_secs(1),
                ..Picture::default()
            },
            oracle: Oracle::new(spread, horizon).lagging(options.lag()),
            laws: Laws::new(&options),
            trace: Vec::new(),
            trace_hash: TraceHash::default(),
            stats: Stats::default(),
            violation: None,
            running: BTreeMap::new(),
            last_end: Timestamp::ZERO,
            options,
        }
    }

    fn into_outcome(self) -> Outcome {
        let virtual_time = self.now.since(Timestamp::ZERO);
        Outcome {
            trace_hash: self.trace_hash.value(),
            stats: Stats { virtual_time, ..self.stats },
            violation: self.violation,
            trace: self.trace,
            running: self.running,
            oracle: self.oracle,
        }
    }

    /// Lets happen what is due by `until`, then goes there.
    fn run_until(&mut self, until: Timestamp) {
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
            } else if let Some(happening) = self.agenda.take_next() {
                self.happen(happening);
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
            Happening::Ask(via, ask) => self.ask_again(via, ask),
        }
    }

    /// Takes note of a fact: the laws judge it, then it is part of the picture and the trace.
    fn see(&mut self, fact: Fact) {
        if self.violation.is_some() {
            return;
        }
        self.trace_hash.add(self.now, &fact);
        let judged = self.laws.on_fact(self.now, &fact, &self.picture);
        self.count_move(&fact);
        self.picture.apply(self.now, &fact);
        let whole = match fact {
            Fact::Healed | Fact::Phase(_) => self.laws.on_picture(self.now, &self.picture),
            _ => Ok(()),
        };
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
            self.picture.hosts.get(*name).is_some_and(|host| host.joined && !host.leaving)
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
            let started = host.up.as_ref().map_or(self.now, |up| up.started);
            HostClock { skew_millis: host.skew_millis, started }.read(self.now)
        })
    }

    /// The true time, as the backend has it.
    fn true_clock(&self) -> Now {
        Now { mono: self.now, ..Now::default() }
    }

    fn record_at(&self, host: &MemberName, child: &ChildId) -> Option<(Stamp, bool)> {
        let (_, up) = self.process(host)?;
        up.node.inspect().record(child)
    }
}

fn boot_id(draws: Draws, host: &MemberName, start: u64) -> BootId {
    let high = u128::from(draws.bits("boot", host.as_str(), start));
    let low = u128::from(draws.bits("boot, low half", host.as_str(), start));
    BootId::from_random(high << 64 | low)
}

fn node_config(options: &Options) -> node::Config {
    let mut config = node::Config::default();
    config.metadata = host::metadata();
    config.min_members = options.min_members;
    config.start_timeout = options.start_timeout;
    config.handover_timeout = options.handover_timeout;
    config.request_timeout = options.request_timeout;
    config.sync_interval = options.sync_interval;
    config.max_moves = options.max_moves;
    config
}
