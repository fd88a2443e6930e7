//! The driver's part: inputs to nodes, their outputs carried out in order, and the way to the
//! backend and back.

use std::time::Duration;

use pogo_core::{
    id::{MemberName, RequestId},
    membership::{Event, MembershipError},
    node::{self, Answer, Input, MembershipRequest, Node, Output},
};

use super::{
    World,
    agenda::{Happening, Process},
    backend::{Joiner, News, Session, Tidings},
    boot_id,
    host::Up,
    node_config,
    stalls::Stall,
};
use crate::{coverage::Watch, fact::Fact, invariant::Observer, plan::BackendKind};

/// Pause before a join that was refused is tried again.
pub(super) const JOIN_PAUSE: Duration = Duration::from_millis(250);
/// Mean time of a request from a supervisor to the engine or adapter in its own process.
const HOP: Duration = Duration::from_micros(20);
/// So often at most may a node ask for its contacts in answer to having been told them.
const LOOKS: u32 = 16;
/// One in so many inputs is followed by the node's check of itself; in one as many as there are
/// children, where they are more, for it looks at each of them.
const CHECK_EVERY: u64 = 128;

impl World {
    /// Starts the process of a host.
    pub(super) fn boot(&mut self, name: &MemberName) {
        let metadata = self.metadata();
        let Some(host) = self.hosts.get_mut(name).filter(|host| host.up.is_none()) else { return };
        host.starts += 1;
        let start = host.starts;
        let clock = host.clock.starting(self.now);
        let boot = boot_id(self.draws, name, start);
        let seed = self.draws.bits("node", name.as_str(), start);
        let config = node_config(&self.options, metadata);
        let node = Node::new(config, boot, seed, clock.read(self.now));
        let real = self.workshop.as_mut().map(|workshop| (workshop.make)(name));
        host.up = Some(Up {
            node,
            boot,
            clock,
            session: None,
            joins: 0,
            wakes_at: None,
            delivers_at: None,
            view: None,
            runs: std::collections::BTreeMap::new(),
            stall: Stall::default(),
            is_fenced: false,
            real,
            observer: Observer::default(),
        });
        let process = host.process(name);
        self.backend.boot(self.now, &process, clock);
        self.see(Fact::Booted { host: name.clone(), boot });
        self.join_soon(name);
    }

    fn join_soon(&mut self, name: &MemberName) {
        let Some((process, up)) = self.process(name) else { return };
        let mean = self.options.latency;
        let counter = process.start << 32 | up.joins;
        let after = self.draws.exponential("join", name.as_str(), counter, mean);
        self.agenda.add(self.now + after, Happening::Join(process));
    }

    pub(super) fn join(&mut self, process: &Process) {
        self.sessions += 1;
        let session = Session(self.sessions);
        let Some(up) = self.current(process) else { return };
        up.joins += 1;
        let name = process.host.clone();
        let joiner = Joiner { process: process.clone(), name, session, boot: up.boot };
        let mut clock = self.clock(&process.host);
        clock.mono = self.now;
        let metadata = self.metadata();
        self.backend.join(clock, joiner, metadata);
        self.take_news();
    }

    /// Passes on what the backend has for processes that still run.
    pub(super) fn take_news(&mut self) {
        while let Some(News { process, what }) = self.backend.poll_news() {
            if !self.tell_twin(&process, &what) {
                self.give(Happening::News(process, what));
            }
        }
    }

    pub(super) fn tell(&mut self, process: &Process, what: Tidings) {
        let host = &process.host;
        match what {
            Tidings::Joined(session, me, capabilities) => {
                if let Some(up) = self.current(process) {
                    up.session = Some(session);
                    up.delivers_at = None;
                }
                self.see(Fact::Joined { host: host.clone() });
                self.handle(host, "joined", Input::Joined { me, capabilities });
            }
            Tidings::Refused(error) => {
                let (host, why) = (host.clone(), error.to_string());
                self.see(Fact::Refused { host, why });
                self.agenda.add(self.now + JOIN_PAUSE, Happening::Join(process.clone()));
            }
            Tidings::Answer(id, answer) => self.answer(process, id, answer),
            Tidings::Event(session, event) => {
                if self.current(process).is_some_and(|up| up.session == Some(session)) {
                    self.take_event(host, event);
                }
            }
            Tidings::Bug(what) => self.see(Fact::BackendBroke { host: host.clone(), what }),
        }
    }

    /// Gives a node an event of its feed.
    pub(super) fn take_event(&mut self, host: &MemberName, event: Event) {
        self.see_event(host, &event);
        self.handle(host, event_name(&event), Input::Membership(event));
    }

    pub(super) fn wake(&mut self, process: &Process) {
        let now = self.now;
        let Some(up) = self.current(process).filter(|up| up.wakes_at == Some(now)) else { return };
        up.wakes_at = None;
        self.handle(&process.host, "timeout", Input::Timeout);
    }

    fn see_event(&mut self, host: &MemberName, event: &Event) {
        let host = host.clone();
        match event {
            Event::Reset { .. } => self.see(Fact::SnapshotBegan { host }),
            Event::Synced => self.see(Fact::Synced { host }),
            Event::MemberUp(member) => {
                let (boot, incarnation) = (member.id.boot, member.id.incarnation);
                let status = Some(member.status);
                self.see(Fact::Sees { host, boot, incarnation, status });
            }
            Event::MemberDown(member, _) => {
                let (boot, incarnation) = (member.boot, member.incarnation);
                self.see(Fact::Sees { host, boot, incarnation, status: None });
            }
            Event::Evicted => self.see(Fact::Evicted { host }),
            _ => {}
        }
    }

    /// Gives a node an input and carries out what it asks for.
    pub(super) fn handle(&mut self, name: &MemberName, label: &'static str, input: Input) {
        if self.violation.is_some() {
            return;
        }
        let clock = self.clock(name);
        let now = self.now;
        if Watch::heeds(&input)
            && let Some(up) = self.hosts.get(name).and_then(|host| host.up.as_ref())
        {
            self.watch.take(name, &input, up.node.inspect(), &self.picture);
        }
        let Some((process, up)) = self.process_mut(name) else { return };
        up.node.handle(clock, input);
        let outputs: Vec<Output> = std::iter::from_fn(|| up.node.poll_output()).collect();
        let next = up.deadline(now);
        let wakes = next.filter(|_| next != up.wakes_at);
        up.wakes_at = next;
        if let Some(at) = wakes {
            self.agenda.add(at, Happening::Wake(process));
        }
        self.stats.inputs += 1;
        let (host, count) = (name.clone(), outputs.len());
        self.see(Fact::Handled { host, input: label, outputs: count, next });
        if may_change_view(label) {
            self.see_view(name);
        }
        let reads = |output: &Output| matches!(output, Output::ReadContact);
        let (reading, others): (Vec<_>, Vec<_>) = outputs.into_iter().partition(reads);
        for output in others {
            self.carry_out(name, output);
        }
        // Last, since what follows from it comes after all this.
        if !reading.is_empty() {
            self.tell_contact(name);
        }
        if self.stats.inputs.is_multiple_of(CHECK_EVERY.max(self.oracle.size())) {
            self.check_node(name);
        }
    }

    pub(super) fn process_mut(&mut self, name: &MemberName) -> Option<(Process, &mut Up)> {
        let host = self.hosts.get_mut(name)?;
        let process = host.process(name);
        Some((process, host.up.as_mut()?))
    }

    pub(super) fn see_view(&mut self, name: &MemberName) {
        let Some(up) = self.up(name) else { return };
        let view = up.node.inspect().view();
        if up.view != Some(view.digest) {
            up.view = Some(view.digest);
            self.see(Fact::Views { host: name.clone(), members: view.members });
        }
    }

    pub(super) fn check_node(&mut self, name: &MemberName) {
        let checked = self.process(name).map(|(_, up)| up.node.check_invariants());
        if let Some(Err(violation)) = checked {
            self.see(Fact::NodeBroke { host: name.clone(), what: violation.what });
        }
    }

    fn carry_out(&mut self, name: &MemberName, output: Output) {
        self.watch.give(name, &output);
        match output {
            Output::Membership(id, request) => self.send(name, id, request),
            Output::ProbeAll(on) => {
                let Some((process, up)) = self.process(name) else { return };
                let Some(session) = up.session else { return };
                self.backend.probe_all(self.now, &process, session, on);
            }
            Output::Rejoin => {
                if let Some(up) = self.up(name) {
                    up.session = None;
                }
                self.join_soon(name);
            }
            Output::StartChild(start) => self.start_child(name, &start),
            Output::StopChild { child, run, reason, shutdown } => {
                self.stop_child(name, child, run, &reason, shutdown);
            }
            Output::Absorb { run, state, .. } => self.absorb(name, run, state),
            Output::Reply(id, reply) => self.replied(name, id, &reply),
            Output::Event(event) => self.told(name, event),
            Output::Stopped => self.stopped(name),
            _ => {}
        }
    }

    /// Reads a member's lease and contacts, in its own clock.
    fn tell_contact(&mut self, name: &MemberName) {
        let now = self.now;
        let Some((_, up)) = self.process(name) else { return };
        let (Some(session), clock) = (up.session, up.clock) else { return };
        let contact = self.backend.contact(now, session, clock);
        self.looks += 1;
        if self.looks > LOOKS {
            let what = format!("{name} reads its contacts again and again");
            self.break_law("S17 time advances", what);
        }
        self.handle(name, "contact", Input::Contact(contact));
        self.looks -= 1;
    }

    /// A node tells its observers of something.
    fn told(&mut self, name: &MemberName, event: node::Event) {
        let host = name.clone();
        match &event {
            node::Event::Bug { what } => {
                return self.see(Fact::NodeBroke { host, what: what.clone() });
            }
            node::Event::HandoverLost { id, .. } => {
                self.see(Fact::HandoverLost { host, child: id.clone() });
            }
            _ => {}
        }
        if let Some(up) = self.up(name) {
            up.observer.take(event);
        }
    }

    fn send(&mut self, name: &MemberName, id: RequestId, request: MembershipRequest) {
        let Some((process, up)) = self.process(name) else { return };
        let Some(session) = up.session else {
            let answer = Answer::Failed(MembershipError::SessionEnded);
            let way = self.way(&process, id, "way back");
            self.agenda.add(self.now + way, Happening::Answer(process, id, answer));
            return;
        };
        let way = self.way(&process, id, "way there");
        self.agenda.add(self.now + way, Happening::Apply(process, session, id, request));
    }

    /// A request reaches the backend, whether or not its sender still runs.
    pub(super) fn apply(
        &mut self,
        process: Process,
        session: Session,
        id: RequestId,
        request: &MembershipRequest,
    ) {
        let now = self.true_clock();
        let Some(mut answer) = self.backend.request(now, &process, session, (id, request)) else {
            return;
        };
        let counter = process.start << 32 | id.get();
        let lost = self.options.lost_replies;
        if self.draws.chance("lost reply", process.host.as_str(), counter, lost) {
            let reason = "the reply was lost".to_owned();
            answer = Answer::Failed(MembershipError::Ambiguous { backend: "sim", reason });
        }
        let way = self.way(&process, id, "way back");
        self.agenda.add(self.now + way, Happening::Answer(process, id, answer));
    }

    pub(super) fn answer(&mut self, process: &Process, id: RequestId, answer: Answer) {
        if self.current(process).is_some() {
            self.handle(&process.host, "answer", Input::Answer(id, answer));
        }
    }

    fn way(&self, process: &Process, id: RequestId, purpose: &str) -> Duration {
        let counter = process.start << 32 | id.get();
        let mean = match self.options.backend {
            BackendKind::Hub => self.options.latency / 2,
            // From one thread to another.
            BackendKind::Gossip | BackendKind::Store => HOP,
        };
        self.draws.exponential(purpose, process.host.as_str(), counter, mean)
    }
}

/// A view follows from what the feed tells of members. What their own records tell of cordons is looked
/// at with the next such event, and before the cluster rests.
fn may_change_view(input: &str) -> bool {
    matches!(input, "synced" | "member up" | "member down" | "shared")
}

const fn event_name(event: &Event) -> &'static str {
    match event {
        Event::Reset { .. } => "reset",
        Event::Synced => "synced",
        Event::MemberUp(_) => "member up",
        Event::MemberDown(..) => "member down",
        Event::Shared(_) => "shared",
        Event::Owned(..) => "owned",
        Event::ClaimFree(_) => "claim free",
        Event::Evicted => "evicted",
        Event::Health(_) => "health",
        _ => "other",
    }
}
