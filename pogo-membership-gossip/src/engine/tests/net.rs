//! A small network for engines in virtual time: everything takes 0.2 ms, nothing is lost but
//! across a cut, where datagrams vanish and links hold back what they carry.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use bytes::Bytes;
use pogo_core::{
    id::{BootId, MemberId, MemberName, Scope},
    membership::{
        Event, Expect, MemberMetadata, MemberStatus, MembershipError, NameChoice, OwnedUpdate, Put,
    },
    node::{Answer, MembershipRequest},
    record::{Key, Record, Stage, Stamp, Version},
    time::{Now, Timestamp, WallTime},
};

use super::super::{
    CallId, Config, DialError, Engine, Form, Input, LinkId, Output, SessionId, Target,
};
use crate::{message::Message, peer::PeerId, shared::SyncMessage, swim::FULL_MESH, timing::Timing};

const LATENCY: Duration = Duration::from_micros(200);
/// What a link carried into a cut comes out this long after the end of it.
const RETRANSMISSION: Duration = Duration::from_secs(2);
const DIAL_TIMEOUT: Duration = Duration::from_secs(1);

/// One process.
pub(super) struct Host {
    pub(super) engine: Option<Engine>,
    pub(super) seeds: Vec<usize>,
    pub(super) form: Form,
    /// How far its wall clock is ahead.
    pub(super) ahead: Duration,
    pub(super) paused: bool,
    /// Whether its members never say that they are active.
    pub(super) stays_joining: bool,
    starts: u64,
    pub(super) joined: BTreeMap<SessionId, MemberId>,
    pub(super) failed: BTreeMap<SessionId, MembershipError>,
    pub(super) events: Vec<(Timestamp, SessionId, Event)>,
    pub(super) answers: BTreeMap<CallId, (Timestamp, Answer)>,
    /// When members were asked that answered, in the order of answers.
    pub(super) contacts: Vec<(BootId, Timestamp)>,
    held: VecDeque<Input>,
}

enum Happening {
    To(usize, u64, Input),
    Dial(usize, u64, Target),
}

/// All of it.
pub(super) struct Net {
    pub(super) now: Timestamp,
    pub(super) hosts: Vec<Host>,
    queue: BTreeMap<(Timestamp, u64), Happening>,
    /// Each end of a link: whose it is, and the other end.
    ends: BTreeMap<LinkId, (usize, LinkId)>,
    cuts: BTreeSet<(usize, usize)>,
    held: Vec<(usize, usize, LinkId, Input)>,
    /// How many pages of a copy were asked for.
    pub(super) pulls: usize,
    last: u64,
}

pub(super) fn addr(host: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(host).unwrap()], 7946))
}

pub(super) fn scope() -> Scope {
    Scope::new("s").unwrap()
}

pub(super) fn boot(number: u128) -> BootId {
    BootId::from_random(number)
}

pub(super) fn record(hlc: u64, text: &str) -> Record {
    let value = Bytes::copy_from_slice(text.as_bytes());
    let version = Version::of(hlc, boot(1), Some(&value));
    Record { stamp: Stamp { version, stage: Stage::Live }, value: Some(value) }
}

pub(super) fn put(key: &str, record: Record) -> MembershipRequest {
    MembershipRequest::Put(vec![Put { key: Key::new(key), record, expect: Expect::Newer }])
}

pub(super) fn publish(key: &str, text: Option<&str>) -> MembershipRequest {
    let value = text.map(|text| Bytes::copy_from_slice(text.as_bytes()));
    MembershipRequest::Publish(vec![OwnedUpdate { key: Key::new(key), value }])
}

impl Net {
    /// `count` hosts; all but the first have the first as their seed.
    pub(super) fn new(count: usize) -> Self {
        let host = |number| Host {
            engine: None,
            seeds: if number == 0 { vec![] } else { vec![0] },
            form: Form::Alone,
            ahead: Duration::ZERO,
            paused: false,
            stays_joining: false,
            starts: 0,
            joined: BTreeMap::new(),
            failed: BTreeMap::new(),
            events: Vec::new(),
            answers: BTreeMap::new(),
            contacts: Vec::new(),
            held: VecDeque::new(),
        };
        Self {
            now: Timestamp::ZERO,
            hosts: (0..count).map(host).collect(),
            queue: BTreeMap::new(),
            ends: BTreeMap::new(),
            cuts: BTreeSet::new(),
            held: Vec::new(),
            pulls: 0,
            last: 0,
        }
    }

    /// A cluster of `count` members m0, m1..., each seen by all.
    pub(super) fn formed(count: usize) -> Self {
        let mut net = Self::new(count);
        for host in 0..count {
            net.join(host, &format!("m{host}"));
            net.run(Duration::from_millis(300));
        }
        if count > FULL_MESH {
            // News of the last goes on over many links.
            net.run(Duration::from_secs(3));
        }
        for host in 0..count {
            assert_eq!(net.sees(host).len(), count, "host {host}: {:?}", net.sees(host));
        }
        net
    }

    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn clock(&self, host: usize) -> Now {
        let wall = self.now + self.hosts[host].ahead;
        let wall = WallTime::from_millis(1_700_000_000_000 + wall.as_nanos() / 1_000_000);
        Now { mono: self.now, wall }
    }

    /// Starts the process of a host.
    pub(super) fn start(&mut self, host: usize) {
        let now = self.clock(host);
        let it = &mut self.hosts[host];
        it.starts += 1;
        let number = (host as u64 + 1) * 1_000 + it.starts;
        let config = Config {
            me: PeerId::from_random(u128::from(number)),
            addr: addr(host),
            seeds: it.seeds.len(),
            form: it.form,
            timing: Timing::LOCAL,
        };
        it.engine = Some(Engine::new(config, number, now));
    }

    /// Starts the process if need be, and joins.
    pub(super) fn join(&mut self, host: usize, name: &str) -> SessionId {
        let name = NameChoice::Exactly(MemberName::new(name).unwrap());
        self.join_as(host, name)
    }

    pub(super) fn join_as(&mut self, host: usize, name: NameChoice) -> SessionId {
        if self.hosts[host].engine.is_none() {
            self.start(host);
        }
        let session = SessionId(self.number());
        let input = Input::Join {
            session,
            scope: scope(),
            name,
            boot: boot(u128::from(session.0)),
            metadata: MemberMetadata::default(),
            within: Duration::from_secs(15),
        };
        self.handle(host, input);
        session
    }

    /// The last session of a host that joined.
    pub(super) fn session(&self, host: usize) -> SessionId {
        *self.hosts[host].joined.keys().next_back().expect("a session")
    }

    pub(super) fn request(&mut self, host: usize, request: MembershipRequest) -> CallId {
        let (session, call) = (self.session(host), CallId(self.number()));
        self.handle(host, Input::Request { session, call, request });
        call
    }

    /// Asks and waits for the answer; how long that took.
    pub(super) fn ask(&mut self, host: usize, request: MembershipRequest) -> (Duration, Answer) {
        let began = self.now;
        let call = self.request(host, request);
        for _ in 0..100_000 {
            if let Some((at, answer)) = self.hosts[host].answers.get(&call) {
                return (at.since(began), answer.clone());
            }
            self.step(began + Duration::from_secs(60));
        }
        panic!("no answer");
    }

    /// The process is killed: its links close, and nobody listens.
    pub(super) fn kill(&mut self, host: usize) {
        self.hosts[host].engine = None;
        let ends: Vec<_> = self.ends.iter().filter(|(_, (it, _))| *it == host).collect();
        let others: Vec<LinkId> = ends.into_iter().map(|(_, (_, other))| *other).collect();
        for other in others {
            self.close(other);
        }
    }

    /// Tells the owner of an end that its link is closed.
    fn close(&mut self, end: LinkId) {
        let Some((owner, other)) = self.ends.remove(&end) else { return };
        let Some((closer, _)) = self.ends.remove(&other) else { return };
        let input = Input::LinkDown(end);
        if self.cuts.contains(&(closer, owner)) {
            self.held.push((closer, owner, end, input));
        } else {
            self.later(LATENCY, owner, input);
        }
    }

    /// How many links a host has.
    pub(super) fn links(&self, host: usize) -> usize {
        self.ends.values().filter(|(it, _)| *it == host).count()
    }

    /// The oldest link of a host breaks, and with it goes what it carries.
    pub(super) fn lose_link(&mut self, host: usize) {
        let end = self.ends.iter().find(|(_, (it, _))| *it == host).map(|(end, _)| *end);
        let end = end.expect("a link");
        let (_, other) = self.ends[&end];
        let lost = |it: &Happening| {
            matches!(it, Happening::To(_, _, Input::Received { link, .. })
                if *link == end || *link == other)
        };
        self.queue.retain(|_, it| !lost(it));
        self.close(end);
        self.later(LATENCY, host, Input::LinkDown(end));
        let (owner, _) = (1 - host, other);
        self.later(LATENCY, owner, Input::LinkDown(other));
    }

    /// Cuts every way between the two groups.
    pub(super) fn cut(&mut self, one: &[usize], other: &[usize]) {
        for (a, b) in one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b))) {
            self.cuts.extend([(a, b), (b, a)]);
        }
    }

    pub(super) fn heal(&mut self) {
        self.cuts.clear();
        for (_, to, _, input) in std::mem::take(&mut self.held) {
            self.later(RETRANSMISSION, to, input);
        }
    }

    fn later(&mut self, after: Duration, host: usize, input: Input) {
        let (at, start) = (self.now + after, self.hosts[host].starts);
        let number = self.number();
        self.queue.insert((at, number), Happening::To(host, start, input));
    }

    /// Pauses a process; what comes for it waits.
    pub(super) fn pause(&mut self, host: usize, paused: bool) {
        self.hosts[host].paused = paused;
        if !paused {
            while let Some(input) = self.hosts[host].held.pop_front() {
                self.handle(host, input);
            }
            self.handle(host, Input::Timeout);
        }
    }

    pub(super) fn handle(&mut self, host: usize, input: Input) {
        if self.hosts[host].paused {
            return self.hosts[host].held.push_back(input);
        }
        let now = self.clock(host);
        let Some(engine) = &mut self.hosts[host].engine else { return };
        engine.handle(now, input);
        let outputs: Vec<Output> = std::iter::from_fn(|| engine.poll_output()).collect();
        for output in outputs {
            self.carry_out(host, output);
        }
    }

    fn carry_out(&mut self, host: usize, output: Output) {
        match output {
            Output::Datagram { to, packet } => {
                let target = (0..self.hosts.len()).find(|it| addr(*it) == to);
                if let Some(target) = target.filter(|it| !self.cuts.contains(&(host, *it))) {
                    self.later(LATENCY, target, Input::Datagram { from: addr(host), packet });
                }
            }
            Output::Dial(target) => {
                let (number, start) = (self.number(), self.hosts[host].starts);
                let at = self.now + LATENCY;
                self.queue.insert((at, number), Happening::Dial(host, start, target));
            }
            Output::Send { link, message } => {
                self.pulls += usize::from(matches!(message, Message::Sync(SyncMessage::Pull(_))));
                let Some((_, other)) = self.ends.get(&link).copied() else { return };
                let Some((to, _)) = self.ends.get(&other).copied() else { return };
                let input = Input::Received { link: other, message };
                if self.cuts.contains(&(host, to)) {
                    self.held.push((host, to, other, input));
                } else {
                    self.later(LATENCY, to, input);
                }
            }
            Output::Close(link) => {
                if let Some((_, other)) = self.ends.get(&link).copied() {
                    self.close(other);
                }
            }
            Output::Contact { member, asked, .. } => {
                self.hosts[host].contacts.push((member, asked));
            }
            Output::Joined { session, me } => {
                self.hosts[host].joined.insert(session, me);
                if !self.hosts[host].stays_joining {
                    let call = CallId(self.number());
                    let request = MembershipRequest::SetStatus(MemberStatus::Active);
                    let input = Input::Request { session, call, request };
                    self.later(Duration::ZERO, host, input);
                }
            }
            Output::JoinFailed { session, error } => {
                self.hosts[host].failed.insert(session, error);
            }
            Output::Event { session, event } => {
                self.hosts[host].events.push((self.now, session, event));
            }
            Output::Answer { call, answer } => {
                self.hosts[host].answers.insert(call, (self.now, answer));
            }
        }
    }

    fn dial(&mut self, host: usize, target: Target) {
        let to = match target {
            Target::Seed(seed) => self.hosts[host].seeds[seed],
            Target::Peer(to) => {
                (0..self.hosts.len()).find(|it| addr(*it) == to).expect("an address")
            }
        };
        if self.cuts.contains(&(host, to)) {
            let error = DialError::Unreachable("no answer".to_owned());
            return self.later(DIAL_TIMEOUT, host, Input::DialFailed { target, error });
        }
        if self.hosts[to].engine.is_none() {
            let error = DialError::Refused;
            return self.later(LATENCY, host, Input::DialFailed { target, error });
        }
        let (mine, theirs) = (LinkId(self.number()), LinkId(self.number()));
        self.ends.insert(mine, (host, theirs));
        self.ends.insert(theirs, (to, mine));
        self.later(LATENCY, to, Input::LinkUp { link: theirs, dialled: None });
        self.later(LATENCY, host, Input::LinkUp { link: mine, dialled: Some(target) });
    }

    /// Lets the next thing happen, if it is due by `until`; answers whether there was one.
    pub(super) fn step(&mut self, until: Timestamp) -> bool {
        let next = self.queue.first_key_value().map(|((at, _), _)| *at);
        let running = self.hosts.iter().enumerate().filter(|(_, it)| !it.paused);
        let due = running.filter_map(|(number, it)| {
            Some((it.engine.as_ref()?.poll_timeout()?.max(self.now), number))
        });
        let due = due.min();
        match (next, due) {
            (Some(at), due) if at <= until && due.is_none_or(|(due, _)| at <= due) => {
                self.now = at;
                match self.queue.pop_first() {
                    Some((_, Happening::To(host, start, input)))
                        if self.hosts[host].starts == start =>
                    {
                        self.handle(host, input);
                    }
                    Some((_, Happening::Dial(host, start, target)))
                        if self.hosts[host].starts == start =>
                    {
                        self.dial(host, target);
                    }
                    // For a process that is no more.
                    Some(_) | None => {}
                }
                true
            }
            (_, Some((at, host))) if at <= until => {
                self.now = at;
                self.handle(host, Input::Timeout);
                true
            }
            _ => false,
        }
    }

    pub(super) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        let mut steps = 0;
        while self.step(until) {
            steps += 1;
            assert!(steps < 1_000_000, "time does not advance beyond {:?}", self.now);
        }
        self.now = until;
    }

    /// The names that a host's last session sees, itself included.
    pub(super) fn sees(&self, host: usize) -> BTreeSet<String> {
        let Some(session) = self.hosts[host].joined.keys().next_back() else {
            return BTreeSet::new();
        };
        let mut seen = BTreeMap::new();
        for (_, _, event) in self.hosts[host].events.iter().filter(|(_, it, _)| it == session) {
            if let Event::MemberUp(info) = event {
                seen.insert(info.id.boot, info.id.name.to_string());
            } else if let Event::MemberDown(id, _) = event {
                seen.remove(&id.boot);
            }
        }
        seen.into_values().collect()
    }

    /// What a host's last session was told since a moment.
    pub(super) fn told(&self, host: usize, since: Timestamp) -> Vec<(Timestamp, &Event)> {
        let session = self.session(host);
        let events = self.hosts[host].events.iter();
        let events = events.filter(|(at, it, _)| *at >= since && *it == session);
        events.map(|(at, _, event)| (*at, event)).collect()
    }
}
