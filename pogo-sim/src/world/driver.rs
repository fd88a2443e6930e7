//! The driver's part: inputs to nodes, their outputs carried out in order, and the way to the
//! backend and back.

use std::time::Duration;

use pogo_core::{
    id::{MemberName, RequestId},
    membership::{Event, MembershipError, NameChoice},
    memory::SessionId,
    node::{self, Answer, Input, MembershipRequest, Node, Output},
};

use super::{
    World,
    agenda::{Happening, Process},
    host::Up,
    metadata, node_config,
};
use crate::fact::Fact;

/// Pause before a join that was refused is tried again.
const JOIN_PAUSE: Duration = Duration::from_millis(250);
/// One in so many inputs is followed by the node's check of itself.
const CHECK_EVERY: u64 = 128;

impl World {
    /// Starts the process of a host.
    pub(super) fn boot(&mut self, name: &MemberName) {
        let Some(host) = self.hosts.get_mut(name) else { return };
        if host.up.is_some() {
            return;
        }
        host.starts += 1;
        let start = host.starts;
        let clock = host.clock(self.now, self.now);
        let boot = self.boot_id(name, start);
        let seed = self.draws.bits("node", name.as_str(), start);
        let up = Up {
            node: Node::new(node_config(&self.options), boot, seed, clock),
            boot,
            started: self.now,
            session: None,
            joins: 0,
            wakes_at: None,
            delivers_at: None,
            view: None,
            runs: std::collections::BTreeMap::new(),
        };
        if let Some(host) = self.hosts.get_mut(name) {
            host.up = Some(up);
        }
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
        let Some(up) = self.current(process) else { return };
        up.joins += 1;
        let boot = up.boot;
        let name = NameChoice::Exactly(process.host.clone());
        let mut clock = self.clock(&process.host);
        clock.mono = self.now;
        self.hub_changed = true;
        match self.hub.join(clock, &name, boot, metadata()) {
            Ok((session, me)) => {
                let capabilities = self.hub.capabilities();
                if let Some(up) = self.current(process) {
                    up.session = Some(session);
                    up.delivers_at = None;
                }
                self.see(Fact::Joined { host: process.host.clone() });
                self.handle(&process.host, "joined", Input::Joined { me, capabilities });
            }
            Err(error) => {
                let (host, why) = (process.host.clone(), error.to_string());
                self.see(Fact::Refused { host, why });
                self.agenda.add(self.now + JOIN_PAUSE, Happening::Join(process.clone()));
            }
        }
    }

    pub(super) fn wake(&mut self, process: &Process) {
        let now = self.now;
        let Some(up) = self.current(process).filter(|up| up.wakes_at == Some(now)) else { return };
        up.wakes_at = None;
        self.handle(&process.host, "timeout", Input::Timeout);
    }

    /// Gives a node its events that are due. Whatever else has fallen due in the backend happens
    /// with that.
    pub(super) fn deliver(&mut self, process: &Process) {
        let now = self.now;
        let deadline = self.hub.next_deadline();
        if let Some(up) = self.current(process) {
            up.delivers_at = None;
        }
        while let Some(session) = self.current(process).and_then(|up| up.session) {
            let Some(event) = self.hub.poll_event(now, session) else { break };
            self.see_event(&process.host, &event);
            self.handle(&process.host, event_name(&event), Input::Membership(event));
        }
        self.hub_changed |= deadline != self.hub.next_deadline();
        self.watch_feed(&process.host);
    }

    fn see_event(&mut self, host: &MemberName, event: &Event) {
        let host = host.clone();
        match event {
            Event::Reset { .. } => self.see(Fact::SnapshotBegan { host }),
            Event::Synced => self.see(Fact::Synced { host }),
            Event::MemberUp(member) => {
                self.see(Fact::Sees { host, boot: member.id.boot, status: Some(member.status) });
            }
            Event::MemberDown(member, _) => {
                self.see(Fact::Sees { host, boot: member.boot, status: None });
            }
            Event::Evicted => self.see(Fact::Evicted { host }),
            _ => {}
        }
    }

    /// Schedules the delivery of what the backend has for each member, and its own deadline, where
    /// something has happened to it.
    ///
    /// Nobody in the cluster means nobody to tell: the deadline waits until somebody joins.
    pub(super) fn watch_hub(&mut self) {
        if !std::mem::take(&mut self.hub_changed) {
            return;
        }
        let names: Vec<MemberName> = self.hosts.keys().cloned().collect();
        let mut has_reader = false;
        for name in &names {
            has_reader |= self.watch_feed(name);
        }
        if has_reader
            && let Some(due) = self.hub.next_deadline().map(|due| due.max(self.now))
            && self.hub_due.is_none_or(|at| due < at)
        {
            self.hub_due = Some(due);
            self.agenda.add(due, Happening::HubTimeout);
        }
    }

    /// Schedules the delivery of what the backend has for a member; answers whether it reads.
    fn watch_feed(&mut self, name: &MemberName) -> bool {
        let Some(host) = self.hosts.get_mut(name) else { return false };
        let start = host.starts;
        let Some(up) = &mut host.up else { return false };
        let Some(session) = up.session else { return false };
        let due = self.hub.next_event_at(session).map(|due| due.max(self.now));
        if let Some(due) = due.filter(|due| up.delivers_at.is_none_or(|at| *due < at)) {
            up.delivers_at = Some(due);
            let process = Process { host: name.clone(), start };
            self.agenda.add(due, Happening::Deliver(process));
        }
        true
    }

    /// The backend does what has fallen due whenever a member reads its feed.
    pub(super) fn hub_timeout(&mut self) {
        self.hub_due = None;
        self.hub_changed = true;
        let mut readers = self.hosts.iter();
        let reader =
            readers.find(|(_, host)| host.up.as_ref().is_some_and(|up| up.session.is_some()));
        if let Some(process) = reader.map(|(name, host)| host.process(name)) {
            self.deliver(&process);
        }
    }

    /// Gives a node an input and carries out what it asks for.
    pub(super) fn handle(&mut self, name: &MemberName, label: &'static str, input: Input) {
        if self.violation.is_some() {
            return;
        }
        let clock = self.clock(name);
        let now = self.now;
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
        for output in outputs {
            self.carry_out(name, output);
        }
        if self.stats.inputs.is_multiple_of(CHECK_EVERY) {
            self.check_node(name);
        }
    }

    pub(super) fn process_mut(&mut self, name: &MemberName) -> Option<(Process, &mut Up)> {
        let host = self.hosts.get_mut(name)?;
        let process = host.process(name);
        Some((process, host.up.as_mut()?))
    }

    fn see_view(&mut self, name: &MemberName) {
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
            self.break_law(violation.law, format!("{name}: {}", violation.what));
        }
    }

    fn carry_out(&mut self, name: &MemberName, output: Output) {
        match output {
            Output::Membership(id, request) => self.send(name, id, request),
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
            Output::Reply(id, reply) => self.replied(name, id, &reply),
            Output::Event(node::Event::Bug { what }) => {
                self.break_law("S12 local consistency", format!("{name}: {what}"));
            }
            Output::Stopped => self.stopped(name),
            _ => {}
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
        session: SessionId,
        id: RequestId,
        request: &MembershipRequest,
    ) {
        self.hub_changed = true;
        let mut answer = self.hub.request(self.true_clock(), session, request);
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
        self.draws.exponential(purpose, process.host.as_str(), counter, self.options.latency / 2)
    }
}

/// A view follows from what the feed tells of members and of cordons, which are shared records.
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
