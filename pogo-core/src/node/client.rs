//! Users' requests: accepted changes, in order for each child, each answered exactly once (R3, L6).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use super::{
    Event, Node, Output, Reply, Request,
    child::{Child, Desired},
    outbox::{Lookup, Purpose},
    replies::{Form, Open},
    request::{RequestError, StartChildError, StartMode, Started, Terminated},
    tenure::is_long_enough_a_lease,
    wire::{SpecRecord, spec_key, to_json},
};
use crate::{
    id::{ChildId, RequestId},
    membership::{Durability, Expect, Guarantee, MembershipError, Put},
    record::Stamp,
    spec::{ChildSpec, Exclusivity, SpecError},
};

/// Requests under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Clients {
    pub(super) requests: BTreeMap<RequestId, Open>,
    /// Changes of each child, in the order in which they were asked for.
    pub(super) queues: BTreeMap<ChildId, VecDeque<Op>>,
    /// Numbers requests that nobody waits for, from the top down.
    pub(super) undone: u64,
    pub(super) members: BTreeMap<RequestId, super::leaving::MemberChange>,
}

/// The result of one change.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    Started(Result<Started, StartChildError>),
    Terminated(Result<Terminated, RequestError>),
    Restarted(Result<bool, RequestError>),
}

/// One change of one child.
#[derive(Debug, Clone)]
pub(super) struct Op {
    pub(super) request: RequestId,
    pub(super) slot: usize,
    pub(super) change: Wish,
    /// It waits for the backend.
    pub(super) in_flight: bool,
    /// What the backend had when it was read for this change, once it was.
    found: Option<Found>,
    /// Some member could not be asked, so what is not known here may be there all the same (R3).
    is_unsure: bool,
}

/// What a read found: a record of this place in the order, or none.
#[derive(Debug, Clone, Copy)]
struct Found(Option<Stamp>);

/// What a user wishes of one child.
#[derive(Debug, Clone)]
pub(super) enum Wish {
    Start { spec: Arc<ChildSpec>, mode: StartMode },
    Terminate,
    Restart,
}

/// What an op does next.
enum Move {
    Read,
    Write { spec: Option<Arc<ChildSpec>>, restart: bool },
    Finish(Outcome),
}

impl Node {
    pub(super) fn on_client(&mut self, request: RequestId, asked: Request) {
        if self.is_leaving() {
            return self.refuse(request, asked);
        }
        match asked {
            Request::Start { specs, mode, all_or_nothing } => {
                self.on_start(request, specs, mode, all_or_nothing);
            }
            Request::Terminate(id) => self.open_one(request, &id, Wish::Terminate),
            Request::Restart(id) => self.open_one(request, &id, Wish::Restart),
            Request::Cordon(name) => self.on_cordon(request, name, true),
            Request::Uncordon(name) => self.on_cordon(request, name, false),
            Request::Drain { member, deadline } => self.on_drain(request, member, deadline),
        }
    }

    fn refuse(&mut self, request: RequestId, asked: Request) {
        let stopping = || RequestError::Stopping;
        let reply = match asked {
            Request::Start { specs, .. } => {
                Reply::Started(specs.iter().map(|_| Err(stopping().into())).collect())
            }
            Request::Terminate(_) => Reply::Terminated(Err(stopping())),
            Request::Restart(_) => Reply::Restarted(Err(stopping())),
            Request::Drain { member, .. } if self.is_me(&member) => {
                return self.departure.also_tell(request);
            }
            Request::Cordon(_) | Request::Uncordon(_) | Request::Drain { .. } => {
                Reply::Member(Err(stopping()))
            }
        };
        self.emit(Output::Reply(request, reply));
    }

    fn on_start(
        &mut self,
        request: RequestId,
        specs: Vec<ChildSpec>,
        mode: StartMode,
        all_or_nothing: bool,
    ) {
        let ids: Vec<_> = specs.iter().map(|spec| spec.id.clone()).collect();
        let mut seen = BTreeSet::new();
        let checked: Vec<_> = specs
            .into_iter()
            .map(|spec| {
                let first = seen.insert(spec.id.clone());
                self.check_spec(spec, first)
            })
            .collect();
        self.open_request(request, ids, Form::Start { all_or_nothing });
        if all_or_nothing && let Some(refusal) = checked.iter().find_map(|it| it.as_ref().err()) {
            let reason = refusal.to_string();
            for (slot, spec) in checked.into_iter().enumerate() {
                let refusal = spec
                    .err()
                    .unwrap_or_else(|| StartChildError::RefusedTogether { reason: reason.clone() });
                self.finish(request, slot, Outcome::Started(Err(refusal)));
            }
            return;
        }
        if checked.is_empty() {
            self.reply_when_done(request);
        }
        for (slot, spec) in checked.into_iter().enumerate() {
            match spec {
                Err(refusal) => self.finish(request, slot, Outcome::Started(Err(refusal))),
                Ok(spec) => {
                    let id = spec.id.clone();
                    let change = Wish::Start { spec: Arc::new(spec), mode };
                    self.enqueue(&id, request, slot, change);
                }
            }
        }
    }

    fn check_spec(&self, spec: ChildSpec, first: bool) -> Result<ChildSpec, StartChildError> {
        spec.validate()?;
        if !first {
            return Err(StartChildError::Duplicate { id: spec.id });
        }
        let exclusivity = self.exclusivity_of(&spec);
        spec.fits(exclusivity)?;
        let (wanted, lack) = match exclusivity {
            Exclusivity::Available => return Ok(spec),
            Exclusivity::Quorum { .. } => ("a quorum", self.quorum_lack()),
            Exclusivity::Strict => ("strict exclusivity", self.strict_lack()),
        };
        match lack {
            Some(backend) => Err(StartChildError::Unsupported { id: spec.id, wanted, backend }),
            None => Ok(spec),
        }
    }

    /// What the backend lacks for a quorum child, if so.
    fn quorum_lack(&self) -> Option<String> {
        let told = self.session.capabilities.as_ref()?;
        let lacks = told.lease_ttl.is_none() && !told.contacts;
        lacks.then(|| "the backend, with neither leases nor round trips, cannot give".to_owned())
    }

    /// What the backend lacks for a strict child, if so.
    fn strict_lack(&self) -> Option<String> {
        let claims =
            self.session.capabilities.as_ref().map_or(Guarantee::Linearizable, |it| it.claims);
        let least = if self.config.accept_best_effort_claims {
            Guarantee::BestEffort
        } else {
            Guarantee::Linearizable
        };
        if claims < least {
            return Some(format!("the backend's claims ({claims}) cannot give"));
        }
        let ttl = self.session.capabilities.as_ref()?.lease_ttl?;
        let short = !is_long_enough_a_lease(ttl);
        short.then(|| format!("the backend's leases of {ttl:?} are too short for"))
    }

    fn open_one(&mut self, request: RequestId, id: &ChildId, change: Wish) {
        self.open_request(request, vec![id.clone()], Form::One);
        self.enqueue(id, request, 0, change);
    }

    pub(super) fn enqueue(&mut self, id: &ChildId, request: RequestId, slot: usize, change: Wish) {
        let op = Op { request, slot, change, in_flight: false, found: None, is_unsure: false };
        self.clients.queues.entry(id.clone()).or_default().push_back(op);
        self.advance(id);
    }

    /// A session is live again: what waited goes on.
    pub(super) fn clients_resume(&mut self) {
        let ids: Vec<_> = self.clients.queues.keys().cloned().collect();
        for id in ids {
            self.advance(&id);
        }
    }

    /// Does as much for the first change of a child as can be done now.
    pub(super) fn advance(&mut self, id: &ChildId) {
        while self.session.is_live() {
            let Some(op) = self.clients.queues.get(id).and_then(VecDeque::front) else { return };
            if op.in_flight {
                return;
            }
            let (request, slot) = (op.request, op.slot);
            match self.next_move(id, op) {
                Move::Finish(outcome) => {
                    self.tell_initial_differs(id);
                    self.pop_op(id);
                    self.finish(request, slot, outcome);
                }
                Move::Read => {
                    let lookup = Lookup::Op { child: id.clone(), request, slot };
                    self.outbox.get(spec_key(id), lookup);
                    self.set_in_flight(id);
                }
                Move::Write { spec, restart } => {
                    if let Some(refused) = self.write_spec(id, request, slot, spec, restart) {
                        self.pop_op(id);
                        self.finish(request, slot, refused);
                    } else {
                        self.set_in_flight(id);
                    }
                }
            }
        }
    }

    /// An initial child gives way to what is present, and says so where that is not the same (R20).
    fn tell_initial_differs(&mut self, id: &ChildId) {
        let Some(op) = self.clients.queues.get(id).and_then(VecDeque::front) else { return };
        let Wish::Start { spec, mode: StartMode::Initial } = &op.change else { return };
        let present = self.children.get(id).and_then(|child| self.present(child));
        if present.is_some_and(|present| present != spec) {
            self.tell(Event::InitialDiffers { id: id.clone() });
        }
    }

    fn next_move(&self, id: &ChildId, op: &Op) -> Move {
        let child = self.children.get(id);
        let must_read = self.session.has_compare_and_set() && op.found.is_none();
        let present = child.and_then(|child| self.present(child));
        match (&op.change, present) {
            (Wish::Start { spec, mode }, present) => {
                let known = child.and_then(|child| child.desired.as_ref()).map(|it| it.stamp);
                // What a store has lost is a memory, and others may remember better (R3, R15).
                let is_lost = op.found.is_some_and(|Found(found)| found < known);
                self.next_of_start(spec, *mode, known.is_some(), present, must_read, is_lost)
            }
            (Wish::Terminate, Some(_)) => Move::Write { spec: None, restart: false },
            (Wish::Terminate, None) if op.is_unsure => Move::Write { spec: None, restart: false },
            // Not known here is not yet unknown: ask before saying so.
            (Wish::Terminate | Wish::Restart, None) if op.found.is_none() => Move::Read,
            (Wish::Terminate, None) => Move::Finish(Outcome::Terminated(Ok(Terminated::NotFound))),
            (Wish::Restart, Some(spec)) => {
                Move::Write { spec: Some(Arc::clone(spec)), restart: true }
            }
            (Wish::Restart, None) => Move::Finish(Outcome::Restarted(Ok(false))),
        }
    }

    fn next_of_start(
        &self,
        spec: &Arc<ChildSpec>,
        mode: StartMode,
        known: bool,
        present: Option<&Arc<ChildSpec>>,
        must_read: bool,
        is_lost: bool,
    ) -> Move {
        let finish = |result| Move::Finish(Outcome::Started(result));
        let write = || Move::Write { spec: Some(Arc::clone(spec)), restart: false };
        let same = present.is_some_and(|present| present == spec);
        let info = || self.child_info(&spec.id);
        match mode {
            StartMode::Initial if known => match info() {
                Some(info) => finish(Ok(Started::AlreadyPresent(info))),
                None => finish(Ok(Started::NotWanted)),
            },
            // What is known may be out of date where the store is the judge.
            _ if known && must_read && (same || mode == StartMode::Start) => Move::Read,
            _ if same && is_lost => write(),
            _ if same => match info() {
                Some(info) => finish(Ok(Started::AlreadyPresent(info))),
                None => write(),
            },
            StartMode::Start => match present.and_then(|_| info()) {
                Some(info) => finish(Err(StartChildError::Conflict {
                    id: spec.id.clone(),
                    present: Box::new(info),
                })),
                None => write(),
            },
            StartMode::Replace if present.is_none() && must_read => Move::Read,
            StartMode::Replace if present.is_none() => {
                finish(Err(StartChildError::NotFound { id: spec.id.clone() }))
            }
            StartMode::Replace | StartMode::StartOrReplace | StartMode::Initial => write(),
        }
    }

    /// The spec of a child that is wanted; a temporary one that has ended is not (R5).
    fn present<'a>(&self, child: &'a Child) -> Option<&'a Arc<ChildSpec>> {
        let desired = child.desired.as_ref()?;
        let spec = desired.spec()?;
        if self.has_ended(child) {
            return None;
        }
        Some(spec)
    }

    /// Whether a temporary child's one run is over (R5).
    pub(super) fn has_ended(&self, child: &Child) -> bool {
        let spent_by = child.desired.as_ref().and_then(Desired::spent_by);
        spent_by.is_some_and(|boot| {
            let instances = child.local.is_some() || !child.reports.is_empty();
            !instances && !self.members.is_live(boot)
        })
    }

    /// Hands the write to the outbox; answers with a refusal where it has no form.
    fn write_spec(
        &mut self,
        id: &ChildId,
        request: RequestId,
        slot: usize,
        spec: Option<Arc<ChildSpec>>,
        restart: bool,
    ) -> Option<Outcome> {
        let desired = self.children.get(id).and_then(|child| child.desired.as_ref());
        let known = desired.map(|it| it.stamp);
        let head = desired.and_then(|it| it.value.as_ref()).map(|(_, head)| *head);
        let value = spec.map(|spec| SpecRecord {
            generation: head.map(|it| it.generation).unwrap_or_default().next(),
            restarts_asked: head.map_or(0, |it| it.restarts_asked) + u64::from(restart),
            over: known.map(|it| it.version),
            spec: ChildSpec::clone(&spec),
        });
        let bytes = match value.as_ref().map(to_json).transpose() {
            Ok(bytes) => bytes,
            Err(garbage) => {
                let reason = garbage.to_string();
                let refusal = SpecError::ArgsNotJson { reason };
                return Some(Outcome::Started(Err(refusal.into())));
            }
        };
        let record = self.new_record(bytes);
        let op = self.clients.queues.get(id).and_then(VecDeque::front);
        let stands = op.and_then(|op| op.found).map_or(known, |Found(found)| found);
        let expect = match stands {
            _ if !self.session.has_compare_and_set() => Expect::Newer,
            Some(stamp) => Expect::Exactly(stamp),
            None => Expect::Absent,
        };
        let purpose = Purpose::Op { child: id.clone(), request, slot };
        self.outbox.put(Put { key: spec_key(id), record, expect }, purpose);
        None
    }

    fn set_in_flight(&mut self, id: &ChildId) {
        if let Some(op) = self.clients.queues.get_mut(id).and_then(VecDeque::front_mut) {
            op.in_flight = true;
        }
    }

    fn pop_op(&mut self, id: &ChildId) {
        if let Some(queue) = self.clients.queues.get_mut(id) {
            queue.pop_front();
            if queue.is_empty() {
                self.clients.queues.remove(id);
            }
        }
    }

    /// The first change of a child, if it is this one.
    fn current_op(&mut self, id: &ChildId, request: RequestId, slot: usize) -> Option<&mut Op> {
        let op = self.clients.queues.get_mut(id)?.front_mut()?;
        (op.request == request && op.slot == slot).then_some(op)
    }

    pub(super) fn on_op_written(&mut self, id: &ChildId, request: RequestId, slot: usize) {
        let Some(op) = self.current_op(id, request, slot) else { return };
        let outcome = match &op.change {
            Wish::Start { .. } => Outcome::Started(Ok(Started::Accepted)),
            Wish::Terminate => Outcome::Terminated(Ok(Terminated::Accepted)),
            Wish::Restart => Outcome::Restarted(Ok(true)),
        };
        self.pop_op(id);
        self.finish(request, slot, outcome);
        self.advance(id);
    }

    /// What the backend has is known, and has been merged: judging anew is all.
    pub(super) fn on_op_read(
        &mut self,
        id: &ChildId,
        request: RequestId,
        slot: usize,
        found: Option<Stamp>,
    ) {
        if let Some(op) = self.current_op(id, request, slot) {
            op.in_flight = false;
            op.found = Some(Found(found));
            self.advance(id);
        }
    }

    /// Not every member could be asked. A termination then writes a tombstone above all that was
    /// seen, which ends the child wherever it is (R3); answers whether it does.
    pub(super) fn on_op_unreadable(
        &mut self,
        id: &ChildId,
        request: RequestId,
        slot: usize,
    ) -> bool {
        let is_kept_by_members = self
            .session
            .capabilities
            .as_ref()
            .is_some_and(|it| it.durability == Durability::Members);
        let op = self.current_op(id, request, slot).filter(|_| is_kept_by_members);
        let Some(op) = op.filter(|op| matches!(op.change, Wish::Terminate)) else { return false };
        op.is_unsure = true;
        self.on_op_read(id, request, slot, None);
        true
    }

    pub(super) fn on_op_refused(
        &mut self,
        id: &ChildId,
        request: RequestId,
        slot: usize,
        error: &MembershipError,
    ) {
        let Some(op) = self.current_op(id, request, slot) else { return };
        let outcome = failed(&op.change, RequestError::Refused(error.clone()));
        self.pop_op(id);
        self.finish(request, slot, outcome);
        self.advance(id);
    }
}

/// A change that failed as a request.
pub(super) fn failed(change: &Wish, error: RequestError) -> Outcome {
    match change {
        Wish::Start { .. } => Outcome::Started(Err(error.into())),
        Wish::Terminate => Outcome::Terminated(Err(error)),
        Wish::Restart => Outcome::Restarted(Err(error)),
    }
}
