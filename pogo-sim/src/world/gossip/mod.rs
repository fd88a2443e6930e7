//! The gossip backend of a world: one real engine in each process, and a network between them.
//!
//! Engines decide everything; here messages take their time, get lost, come twice, wait behind a
//! cut, or find nobody (S19: all of it by keyed draws). Each member has a machine of its own, whose
//! address outlives its processes.

mod faults;
mod lines;
mod links;
mod machine;
mod ways;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Debug,
    time::Duration,
};

use pogo_core::{
    id::{BootId, MemberName, RequestId},
    membership::{Capabilities, MemberMetadata, NameChoice},
    node::MembershipRequest,
    record::{Key, Version},
    time::Timestamp,
};
use pogo_membership_gossip::{
    engine::{CallId, Config, DialError, Engine, Form, Input, LinkId, Output, SessionId, Target},
    message::Message,
    peer::{Life, PeerId, Update},
    shared::ScopedKey,
    swim::Packet,
    timing::Timing,
};

pub(super) use self::machine::Endpoint;
use self::{
    lines::Lines,
    links::{Dial, End},
    machine::{Lag, Machine, Running},
    ways::Ways,
};
use super::{
    agenda::Process,
    backend::{Joiner, News, Session, Tidings},
    host::HostClock,
};
use crate::plan::{Op, Plan};

/// The scope of every session.
const SCOPE: &str = "sim";

/// A machine by its place in the order of names.
type Place = usize;

/// Something that will happen in the network.
#[derive(Debug)]
enum Step {
    /// An engine's deadline.
    Timeout(Place, u64),
    /// What a slow process has got round to.
    Late(Place, u64, Box<Input>),
    /// A datagram arrives.
    Datagram { from: Place, to: Place, packet: Packet },
    /// A dial reaches the machine that it is for, or is sent again.
    Knock { link: LinkId, tries: u32 },
    /// Nobody listened.
    Refused(LinkId),
    /// A dial has taken too long.
    GiveUp(LinkId),
    /// Something of a stream arrives at this end.
    Arrive(LinkId),
    /// What waits for this end is sent again.
    Resend(LinkId),
    /// Whoever sent what waits for this end, since the wait of this number, gives the stream up.
    Break(LinkId, u64),
    /// This end is told that there is no stream any more.
    Reset(LinkId),
}

/// The engines of a world and the network between them.
#[derive(Debug)]
pub(super) struct Net<E> {
    ways: Ways,
    lines: Lines,
    timing: Timing,
    seeds: usize,
    join_within: Duration,
    is_encoded: bool,
    now: Timestamp,
    steps: BTreeMap<(Timestamp, u64), Step>,
    decided: u64,
    machines: Vec<Machine<E>>,
    /// Both ends of each stream; the other end of one is found by its number.
    ends: BTreeMap<LinkId, End>,
    dials: BTreeMap<LinkId, Dial>,
    dialled: u64,
    news: VecDeque<News>,
    /// When each member was last asked that answered, by the session that asked and its own clock.
    contacts: BTreeMap<Session, BTreeMap<BootId, Timestamp>>,
}

impl Net<Engine> {
    /// Whether a living member was suspected and has said that it lives.
    pub(super) fn has_refuted(&self) -> bool {
        let mut running = self.machines.iter().filter_map(|machine| machine.running.as_ref());
        let is_refuted = |peer: &Update| peer.life == Life::Alive && peer.refutation > 0;
        running.any(|running| running.engine.peers().any(is_refuted))
    }

    /// The version of a shared record that a member's process has.
    pub(super) fn version(&self, host: &MemberName, key: &Key) -> Option<Version> {
        let running = self.machines.get(self.place(host)?)?.running.as_ref()?;
        let key = ScopedKey { scope: SCOPE.parse().ok()?, key: key.clone() };
        running.engine.record(&key).map(|record| record.stamp.version)
    }
}

impl<E: Endpoint> Net<E> {
    pub(super) fn new(plan: &Plan) -> Self {
        let options = &plan.options;
        // Nobody knows of machines on which somebody else's name is used by mistake.
        let booted = plan.ops.iter().filter_map(|(_, op)| match op {
            Op::Boot(name) => Some((name, true)),
            Op::Twin { host, .. } => Some((host, false)),
            _ => None,
        });
        let mut names: BTreeMap<&MemberName, bool> = BTreeMap::new();
        for (name, is_seed) in booted {
            *names.entry(name).or_default() |= is_seed;
        }
        let machines = names.into_iter().enumerate();
        let machines: Vec<_> =
            machines.map(|(at, (name, is_seed))| Machine::new(name, at, is_seed)).collect();
        Self {
            ways: Ways::new(plan.seed, options),
            lines: Lines::new(options),
            timing: options.timing(),
            seeds: usize::try_from(options.seeds).unwrap_or(0),
            join_within: options.join_within,
            is_encoded: options.encoded,
            now: Timestamp::ZERO,
            steps: BTreeMap::new(),
            decided: 0,
            machines,
            ends: BTreeMap::new(),
            dials: BTreeMap::new(),
            dialled: 0,
            news: VecDeque::new(),
            contacts: BTreeMap::new(),
        }
    }

    pub(super) fn boot(&mut self, now: Timestamp, process: &Process, clock: HostClock) {
        self.now = now;
        let Some(place) = self.place(&process.host) else { return };
        let seeds = self.seeds_of(place);
        let (id, seed) = self.ways.identity(process);
        let Some(machine) = self.machines.get_mut(place) else { return };
        let config = Config {
            me: PeerId::from_random(id),
            addr: machine.addr,
            seeds: seeds.len(),
            form: Form::Alone,
            timing: self.timing.clone(),
        };
        let engine = E::new(config, seed, clock.read(now));
        machine.is_gone = false;
        machine.running = Some(Running {
            start: process.start,
            engine,
            clock,
            seeds,
            wakes_at: None,
            lag: Lag::default(),
        });
        self.resend_all();
        self.handle(place, Input::Timeout);
    }

    /// The first so many machines, itself perhaps among them; or all others.
    fn seeds_of(&self, place: Place) -> Vec<Place> {
        let all = self.machines.iter().enumerate().filter(|(_, it)| it.is_seed).map(|(at, _)| at);
        if self.seeds == 0 {
            all.filter(|other| *other != place).collect()
        } else {
            all.take(self.seeds).collect()
        }
    }

    pub(super) fn join(&mut self, now: Timestamp, joiner: Joiner, metadata: MemberMetadata) {
        self.now = now;
        let Joiner { process, name, session, boot } = joiner;
        let Some(place) = self.place(&process.host) else { return };
        let Ok(scope) = SCOPE.parse() else { return };
        let name = NameChoice::Exactly(name);
        let (session, within) = (SessionId(session.0), self.join_within);
        self.handle(place, Input::Join { session, scope, name, boot, metadata, within });
    }

    pub(super) fn probe_all(
        &mut self,
        now: Timestamp,
        process: &Process,
        session: Session,
        on: bool,
    ) {
        self.now = now;
        if let Some(place) = self.running_at(process) {
            self.handle(place, Input::ProbeAll { session: SessionId(session.0), on });
        }
    }

    /// The last round trips of a session, by its own clock.
    pub(super) fn contacts(&self, session: Session) -> Vec<(BootId, Timestamp)> {
        let all = self.contacts.get(&session).into_iter().flatten();
        all.map(|(member, asked)| (*member, *asked)).collect()
    }

    pub(super) fn request(
        &mut self,
        now: Timestamp,
        process: &Process,
        session: Session,
        (id, request): (RequestId, &MembershipRequest),
    ) {
        self.now = now;
        let Some(place) = self.running_at(process) else { return };
        let (session, call) = (SessionId(session.0), CallId(id.get()));
        self.handle(place, Input::Request { session, call, request: request.clone() });
    }

    /// A process ends without a word; in silence, its machine goes with it.
    pub(super) fn crash(&mut self, now: Timestamp, process: &Process, silent: bool) {
        self.now = now;
        let Some(place) = self.running_at(process) else { return };
        let Some(machine) = self.machines.get_mut(place) else { return };
        machine.running = None;
        if silent {
            machine.is_gone = true;
            machine.kernel += 1;
        }
        self.close_all(place, if silent { links::Ending::Silent } else { links::Ending::Killed });
    }

    /// A process ends by itself; what is left of its session goes with it.
    pub(super) fn stop(&mut self, now: Timestamp, process: &Process, session: Option<Session>) {
        self.now = now;
        let Some(place) = self.running_at(process) else { return };
        if let Some(Session(session)) = session {
            self.handle(place, Input::Drop(SessionId(session)));
        }
        if let Some(machine) = self.machines.get_mut(place) {
            machine.running = None;
        }
        self.close_all(place, links::Ending::Orderly);
    }

    pub(super) fn cut(&mut self, now: Timestamp, groups: &[BTreeSet<MemberName>]) {
        self.now = now;
        for machine in &mut self.machines {
            machine.island = groups.iter().position(|group| group.contains(&machine.name));
        }
        self.resend_all();
    }

    pub(super) const fn delay(&mut self, delay: Duration) {
        self.ways.delay = delay;
    }

    pub(super) fn next_step_at(&self) -> Option<Timestamp> {
        self.steps.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn poll_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// Lets the next thing happen, at its time.
    pub(super) fn step(&mut self, now: Timestamp) {
        self.now = now;
        let Some((_, step)) = self.steps.pop_first() else { return };
        match step {
            Step::Timeout(place, start) => self.timeout(place, start),
            Step::Late(place, start, input) => self.late(place, start, *input),
            Step::Datagram { from, to, packet } => self.datagram(from, to, packet),
            Step::Knock { link, tries } => self.knock(link, tries),
            Step::Refused(link) => self.end_dial(link, DialError::Refused),
            Step::GiveUp(link) => {
                self.end_dial(link, DialError::Unreachable("no answer".to_owned()));
            }
            Step::Arrive(link) => self.arrive(link),
            Step::Resend(link) => self.resend(link),
            Step::Break(link, wait) => self.break_off(link, wait),
            Step::Reset(link) => self.reset(link),
        }
    }

    fn add(&mut self, after: Duration, step: Step) {
        self.add_at(self.now + after, step);
    }

    fn add_at(&mut self, at: Timestamp, step: Step) {
        self.steps.insert((at, self.decided), step);
        self.decided += 1;
    }

    fn place(&self, name: &MemberName) -> Option<Place> {
        self.machines.binary_search_by(|machine| machine.name.cmp(name)).ok()
    }

    fn running_at(&self, process: &Process) -> Option<Place> {
        let place = self.place(&process.host)?;
        let running = self.machines.get(place)?.running.as_ref()?;
        (running.start == process.start).then_some(place)
    }

    /// Whether what is sent from one machine now arrives at the other.
    fn reaches(&self, from: Place, to: Place) -> bool {
        match (self.machines.get(from), self.machines.get(to)) {
            (Some(sender), Some(reader)) => {
                sender.island == reader.island && !reader.is_gone && !self.lines.is_cut(from, to)
            }
            _ => false,
        }
    }

    fn timeout(&mut self, place: Place, start: u64) {
        let now = self.now;
        let running = self.machines.get_mut(place).and_then(|machine| machine.running.as_mut());
        let due = running.filter(|it| it.start == start && it.wakes_at == Some(now));
        if let Some(running) = due {
            running.wakes_at = None;
            self.handle(place, Input::Timeout);
        }
    }

    fn datagram(&mut self, from: Place, to: Place, packet: Packet) {
        self.lines.arrive(from, to);
        if let Some(addr) =
            self.machines.get(from).map(|it| it.addr).filter(|_| self.reaches(from, to))
        {
            self.handle(to, Input::Datagram { from: addr, packet });
        }
    }

    /// Gives an engine an input, at once or as soon as its process gets round to it.
    fn handle(&mut self, place: Place, input: Input) {
        let now = self.now;
        let Some(running) = self.machines.get_mut(place).and_then(|it| it.running.as_mut()) else {
            return;
        };
        let start = running.start;
        let Some((due, input)) = running.lag.admit(now, input) else { return };
        if due > now {
            self.add_at(due, Step::Late(place, start, Box::new(input)));
        } else {
            self.step_engine(place, input);
        }
    }

    fn late(&mut self, place: Place, start: u64, input: Input) {
        let running = self.machines.get_mut(place).and_then(|it| it.running.as_mut());
        let Some(running) = running.filter(|it| it.start == start) else { return };
        if let Some(input) = running.lag.get_round_to(input) {
            self.step_engine(place, input);
        }
    }

    fn running_mut(&mut self, process: &Process) -> Option<&mut Running<E>> {
        let place = self.running_at(process)?;
        self.machines.get_mut(place)?.running.as_mut()
    }

    /// Gives an engine an input and carries out what it asks for.
    fn step_engine(&mut self, place: Place, input: Input) {
        let now = self.now;
        let Some(machine) = self.machines.get_mut(place) else { return };
        let Some(running) = &mut machine.running else { return };
        running.engine.handle(running.clock.read(now), input);
        let outputs: Vec<Output> = std::iter::from_fn(|| running.engine.poll_output()).collect();
        let next = running.deadline(now);
        let process = Process { host: machine.name.clone(), start: running.start };
        if next != running.wakes_at {
            running.wakes_at = next;
            if let Some(at) = next {
                self.add_at(at, Step::Timeout(place, process.start));
            }
        }
        for output in outputs {
            self.carry_out(place, &process, output);
        }
    }

    fn carry_out(&mut self, place: Place, process: &Process, output: Output) {
        let what = match output {
            Output::Datagram { to, packet } => return self.send_datagram(place, to, packet),
            Output::Dial(target) => return self.dial(place, process.start, target),
            Output::Send { link, message } => return self.send(link, message),
            Output::Close(link) => return self.close(link),
            Output::Joined { session, me } => {
                let Timing { detection, view_settle, .. } = self.timing;
                let mut capabilities = Capabilities::least(detection, view_settle);
                capabilities.contacts = true;
                Tidings::Joined(Session(session.0), me, capabilities)
            }
            Output::Contact { session, member, asked } => {
                self.contacts.entry(Session(session.0)).or_default().insert(member, asked);
                return;
            }
            Output::JoinFailed { error, .. } => Tidings::Refused(error),
            Output::Event { session, event } => Tidings::Event(Session(session.0), event),
            Output::Answer { call, answer } => Tidings::Answer(RequestId::new(call.0), answer),
        };
        self.news.push_back(News { process: process.clone(), what });
    }

    fn send_datagram(&mut self, from: Place, addr: std::net::SocketAddr, packet: Packet) {
        let Some(to) = self.machines.iter().position(|machine| machine.addr == addr) else {
            return;
        };
        let packet = if self.is_encoded { self.through_codec(from, packet) } else { packet };
        for _ in 0..self.ways.arrivals(from) {
            let way = self.ways.one_way(from) + self.lines.delay(from, to);
            if self.lines.depart(from, to) {
                self.add(way, Step::Datagram { from, to, packet: packet.clone() });
            }
        }
    }

    /// What comes out at the other end of the binary form.
    fn through_codec<T>(&mut self, from: Place, sent: T) -> T
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug,
    {
        let read = postcard::to_allocvec(&sent).and_then(|bytes| postcard::from_bytes(&bytes));
        if read.as_ref() != Ok(&sent)
            && let Some(machine) = self.machines.get(from)
            && let Some(running) = &machine.running
        {
            let process = Process { host: machine.name.clone(), start: running.start };
            let what = Tidings::Bug(format!("{sent:?} comes out of its binary form as {read:?}"));
            self.news.push_back(News { process, what });
        }
        read.unwrap_or(sent)
    }

    fn message(&mut self, from: Place, message: Message) -> Message {
        if self.is_encoded { self.through_codec(from, message) } else { message }
    }

    fn target(&self, place: Place, target: Target) -> Option<Place> {
        match target {
            Target::Seed(at) => self.machines.get(place)?.running.as_ref()?.seeds.get(at).copied(),
            Target::Peer(addr) => self.machines.iter().position(|machine| machine.addr == addr),
        }
    }
}
