//! Cordon, drain and shutdown (R23), and requests about other members.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Drained, Node, Output, Reply,
    child::Child,
    local::Phase,
    outbox::{Open, Purpose},
    output::MembershipRequest,
    plan::Leaving,
    request::RequestError,
    timers::Timer,
    wire::{DrainOrder, MemberRecord, member_key, to_json},
};
use crate::{
    id::{ChildId, MemberName, RequestId},
    membership::{Expect, MemberStatus, MembershipError, Put},
    mutant::planted,
    time::Timestamp,
};

/// How long a leave is waited for; without an answer the member ends as a crashed one.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How far this member is in leaving.
#[derive(Debug, Clone, Default)]
pub(super) struct Departure {
    stage: Stage,
    /// Who waits for the drain's end.
    waiting: Vec<RequestId>,
    moved: BTreeSet<ChildId>,
    stopped: BTreeSet<ChildId>,
    left_behind: BTreeSet<ChildId>,
    /// The first child that still ran when looked last. Nothing begins any more, so what is before it
    /// needs no second look, however many end one by one.
    first_running: Option<ChildId>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Staying,
    /// Children move away, until then.
    Draining {
        until: Timestamp,
    },
    /// Children stop; with none running, their last writes are waited for until then.
    Stopping {
        give_up: Option<Timestamp>,
    },
    /// The session was told.
    Leaving,
    Left,
}

/// A change of a member's record, until it stands.
#[derive(Debug, Clone)]
pub(super) struct MemberChange {
    name: MemberName,
    cordoned: Option<bool>,
    drain: Option<DrainOrder>,
    since: Timestamp,
}

impl Departure {
    pub(super) const fn leaving(&self) -> Leaving {
        match self.stage {
            Stage::Staying => Leaving::No,
            Stage::Draining { .. } => Leaving::Drain,
            Stage::Stopping { .. } | Stage::Leaving | Stage::Left => Leaving::Now,
        }
    }

    pub(super) fn also_tell(&mut self, request: RequestId) {
        self.waiting.push(request);
    }

    pub(super) fn note_moved(&mut self, id: &ChildId) {
        if planted("drain hides what moved") {
            return;
        }
        if matches!(self.stage, Stage::Draining { .. }) {
            self.moved.insert(id.clone());
        }
    }

    /// It was released, and nobody took it up (R23).
    pub(super) fn note_left_behind(&mut self, id: &ChildId) {
        if matches!(self.stage, Stage::Draining { .. }) {
            self.left_behind.insert(id.clone());
        }
    }

    pub(super) fn note_stopped(&mut self, id: &ChildId) {
        if matches!(self.stage, Stage::Draining { .. }) {
            self.stopped.insert(id.clone());
        }
    }
}

impl Node {
    pub(super) fn is_me(&self, name: &MemberName) -> bool {
        self.session.me.as_ref().is_some_and(|me| me.name == *name)
    }

    pub(super) fn on_cordon(&mut self, request: RequestId, name: MemberName, cordoned: bool) {
        self.change_member(request, name, Some(cordoned), None);
    }

    pub(super) fn on_drain(&mut self, request: RequestId, name: MemberName, deadline: Duration) {
        if self.is_me(&name) {
            return self.begin_drain(Some(request), deadline);
        }
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        let order = self
            .members
            .by_name(&name)
            .map(|member| DrainOrder { boot: member.info.id.boot, deadline_ms });
        self.change_member(request, name, None, order);
    }

    fn change_member(
        &mut self,
        request: RequestId,
        name: MemberName,
        cordoned: Option<bool>,
        drain: Option<DrainOrder>,
    ) {
        if self.members.by_name(&name).is_none() {
            let refused = Reply::Member(Err(RequestError::UnknownMember { name }));
            return self.emit(Output::Reply(request, refused));
        }
        let since = self.now.mono;
        let change = MemberChange { name, cordoned, drain, since };
        self.clients.members.insert(request, change);
        let until = since + self.config.request_timeout;
        self.timers.arm(Timer::Request(request), until);
        self.member_again(request);
    }

    /// Writes a member's record above the one that is known.
    pub(super) fn member_again(&mut self, request: RequestId) {
        let Some(change) = self.clients.members.get(&request).cloned() else { return };
        let known = self.session.member_records.get(&change.name);
        let mut value: MemberRecord = known.map(|(_, value)| value.clone()).unwrap_or_default();
        value.cordoned = change.cordoned.unwrap_or(value.cordoned);
        value.drain = change.drain.or(value.drain);
        let Ok(bytes) = to_json(&value) else {
            return self.bug("a member's record has no JSON form");
        };
        let record = self.new_record(Some(bytes));
        let put = Put { key: member_key(&change.name), record, expect: Expect::Newer };
        self.outbox.put(put, Purpose::Member(request));
    }

    pub(super) fn on_member_written(&mut self, request: RequestId) {
        self.reply_about_member(request, Ok(()));
    }

    pub(super) fn on_member_refused(&mut self, request: RequestId, error: &MembershipError) {
        self.reply_about_member(request, Err(RequestError::Refused(error.clone())));
    }

    pub(super) fn on_member_overdue(&mut self, request: RequestId) {
        let Some(change) = self.clients.members.get(&request) else { return };
        let waited = self.now.mono.since(change.since);
        self.outbox.forget_request(request);
        let reason = "none came".to_owned();
        let source = MembershipError::Ambiguous { backend: "the backend", reason };
        self.reply_about_member(request, Err(RequestError::Unknown { waited, source }));
    }

    fn reply_about_member(&mut self, request: RequestId, result: Result<(), RequestError>) {
        if self.clients.members.remove(&request).is_some() {
            self.timers.disarm(&Timer::Request(request));
            self.emit(Output::Reply(request, Reply::Member(result)));
        }
    }

    /// Moves this member's children away, then leaves.
    pub(super) fn begin_drain(&mut self, request: Option<RequestId>, deadline: Duration) {
        self.departure.waiting.extend(request);
        if self.departure.stage != Stage::Staying {
            return;
        }
        let until = self.now.mono + deadline;
        self.departure.stage = Stage::Draining { until };
        self.timers.arm(Timer::Leaving, until);
        self.begin_leaving();
    }

    /// Stops every child, then leaves.
    pub(super) fn on_shutdown(&mut self) {
        if matches!(self.departure.leaving(), Leaving::No | Leaving::Drain) {
            self.stop_all();
        }
    }

    fn stop_all(&mut self) {
        self.timers.disarm(&Timer::Leaving);
        self.departure.stage = Stage::Stopping { give_up: None };
        self.begin_leaving();
    }

    fn begin_leaving(&mut self) {
        self.set_my_status(MemberStatus::Draining);
        for id in self.children.local_ids() {
            self.children.revisit(&id);
        }
    }

    pub(super) fn on_departure_due(&mut self) {
        match self.departure.stage {
            Stage::Draining { .. } => {
                let rest: Vec<_> = self
                    .children
                    .local()
                    .filter(|(_, child)| {
                        child
                            .local
                            .as_ref()
                            .is_some_and(|it| !matches!(it.phase, Phase::Done { .. }))
                    })
                    .map(|(id, _)| id.clone())
                    .collect();
                self.departure.left_behind.extend(rest);
                self.stop_all();
            }
            Stage::Stopping { .. } => self.leave(),
            Stage::Leaving => self.on_left(),
            Stage::Staying | Stage::Left => {}
        }
    }

    /// Goes on with leaving as far as the children allow.
    pub(super) fn continue_departure(&mut self) {
        match self.departure.stage {
            Stage::Staying | Stage::Leaving | Stage::Left => {}
            Stage::Draining { .. } => {
                let clear = self.children.local().all(|(_, child)| {
                    child
                        .local
                        .as_ref()
                        .is_none_or(|it| matches!(it.phase, Phase::Done { until: Some(_) }))
                });
                let clear = clear || planted("leaves before its children");
                if clear && self.is_all_told() {
                    self.leave();
                }
            }
            Stage::Stopping { give_up } => self.continue_stopping(give_up),
        }
    }

    fn continue_stopping(&mut self, give_up: Option<Timestamp>) {
        let from = self.departure.first_running.clone();
        let runs = |(_, child): &(&ChildId, &Child)| rest_of(child) == Rest::Run;
        let first_running = self.children.local_from(from).find(runs).map(|(id, _)| id.clone());
        if first_running.is_some() {
            self.departure.first_running = first_running;
            return;
        }
        let writes = self.children.local().any(|(_, child)| rest_of(child) != Rest::Nothing);
        if !writes && self.is_all_told() {
            return self.leave();
        }
        if give_up.is_none() {
            let until = self.now.mono + self.config.handover_timeout;
            self.departure.stage = Stage::Stopping { give_up: Some(until) };
            self.timers.arm(Timer::Leaving, until);
        }
    }

    fn is_all_told(&self) -> bool {
        !self.session.is_live() || (self.publisher.is_idle() && !self.outbox.has_puts())
    }

    /// Who leaves says that nothing runs here any more. A stuck instance still does, until this
    /// process ends: its member ends as a crashed one, and the others find that out then (R7).
    fn leave(&mut self) {
        let is_stuck = |child: &Child| {
            child.local.as_ref().is_some_and(|it| matches!(it.phase, Phase::Stuck { .. }))
        };
        if !self.session.is_open() || self.children.local().any(|(_, child)| is_stuck(child)) {
            return self.on_left();
        }
        self.departure.stage = Stage::Leaving;
        self.timers.arm(Timer::Leaving, self.now.mono + LEAVE_TIMEOUT);
        self.ask(Open::Leave, MembershipRequest::Leave);
    }

    pub(super) fn on_left(&mut self) {
        if self.departure.stage == Stage::Left {
            return;
        }
        self.departure.stage = Stage::Left;
        self.timers.disarm(&Timer::Leaving);
        self.refuse_open_requests();
        let members: Vec<_> = self.clients.members.keys().copied().collect();
        for request in members {
            self.reply_about_member(request, Err(RequestError::Stopping));
        }
        let left_behind: Vec<_> = self.departure.left_behind.iter().cloned().collect();
        let moved = self.departure.moved.iter();
        let drained = Drained {
            moved: moved.filter(|id| !self.departure.left_behind.contains(*id)).cloned().collect(),
            stopped: self.departure.stopped.iter().cloned().collect(),
            left_behind,
        };
        for request in std::mem::take(&mut self.departure.waiting) {
            self.emit(Output::Reply(request, Reply::Drained(drained.clone())));
        }
        self.emit(Output::Stopped);
    }
}

/// What the end of a supervisor waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Nothing,
    Write,
    Run,
}

fn rest_of(child: &Child) -> Rest {
    let Some(local) = &child.local else { return Rest::Nothing };
    match &local.phase {
        Phase::Exporting { .. } | Phase::Unclaiming { .. } | Phase::Done { until: None } => {
            Rest::Write
        }
        Phase::Preparing(_)
        | Phase::Starting { .. }
        | Phase::Running { .. }
        | Phase::Stopping { .. }
        | Phase::Backoff { .. }
        | Phase::Quarantined { .. } => Rest::Run,
        // Nothing here can end a stuck one; the end of the process can.
        Phase::Stuck { .. } | Phase::Released { .. } | Phase::Done { until: Some(_) } => {
            Rest::Nothing
        }
    }
}
