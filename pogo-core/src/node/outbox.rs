//! Requests to the session: batching, bookkeeping of open ones, and repeating what failed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Event, Node, Output,
    input::Answer,
    output::MembershipRequest,
    timers::Timer,
    wire::{OwnedKey, claim_key},
};
use crate::{
    id::{ChildId, RequestId},
    membership::{Backoff, ClaimOutcome, MemberStatus, MembershipError, Put, PutOutcome},
    mutant::planted,
    record::{Key, Record, Stamp},
};

/// The most records in one request.
const BATCH: usize = 1_000;

/// What a put is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A user's request; its place among the request's children.
    Op { child: ChildId, request: RequestId, slot: usize },
    /// The one start of a temporary child is taken (R5).
    Spent(ChildId),
    /// A completion (R4).
    Done(ChildId),
    /// State handed over (R7).
    Export(ChildId),
    /// Deaths while it started (R11).
    Strikes(ChildId),
    /// A user's request about a member.
    Member(RequestId),
    /// Nobody waits for it, but it must be written.
    Fact,
}

impl Purpose {
    /// The user's request that waits for it.
    const fn request(&self) -> Option<RequestId> {
        match self {
            Self::Op { request, .. } | Self::Member(request) => Some(*request),
            Self::Spent(_) | Self::Done(_) | Self::Export(_) | Self::Strikes(_) | Self::Fact => {
                None
            }
        }
    }
}

/// What a get is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lookup {
    /// A user's request that needs a fresh read.
    Op { child: ChildId, request: RequestId, slot: usize },
    /// The state of a child that is about to start.
    State(ChildId),
}

impl Lookup {
    /// The user's request that waits for it.
    const fn request(&self) -> Option<RequestId> {
        match self {
            Self::Op { request, .. } => Some(*request),
            Self::State(_) => None,
        }
    }
}

/// A request without its answer yet.
#[derive(Debug, Clone)]
pub(super) enum Open {
    Status(MemberStatus),
    Publish(Vec<OwnedKey>),
    Put(Vec<(Put, Purpose)>),
    Get(Vec<(Key, Lookup)>),
    Acquire(Vec<ChildId>),
    Release(Vec<ChildId>),
    Leave,
}

/// What is to be asked of the session, and what has been.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    ready: Batch,
    failed: Batch,
    open: BTreeMap<RequestId, Open>,
    last: RequestId,
    backoff: Backoff,
}

#[derive(Debug, Clone, Default)]
struct Batch {
    puts: Vec<(Put, Purpose)>,
    gets: Vec<(Key, Lookup)>,
    acquires: BTreeSet<ChildId>,
    releases: BTreeSet<ChildId>,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            ready: Batch::default(),
            failed: Batch::default(),
            open: BTreeMap::new(),
            last: RequestId::default(),
            backoff: Backoff::new(Duration::from_millis(50), Duration::from_secs(2)),
        }
    }
}

impl Outbox {
    pub(super) fn put(&mut self, put: Put, purpose: Purpose) {
        self.ready.puts.push((put, purpose));
    }

    pub(super) fn get(&mut self, key: Key, lookup: Lookup) {
        self.ready.gets.push((key, lookup));
    }

    pub(super) fn acquire(&mut self, id: ChildId) {
        self.ready.acquires.insert(id);
    }

    /// What was to be asked about the claim before is void: it would take back what is given.
    pub(super) fn release(&mut self, id: ChildId) {
        self.ready.acquires.remove(&id);
        self.failed.acquires.remove(&id);
        self.ready.releases.insert(id);
    }

    /// The claims that may be given back now. One that is being asked for waits for the answer:
    /// requests may overtake each other, and so may their answers.
    fn take_releases(&mut self) -> Vec<ChildId> {
        let releases = std::mem::take(&mut self.ready.releases);
        if releases.is_empty() {
            return Vec::new();
        }
        let asked_for: BTreeSet<&ChildId> = self
            .open
            .values()
            .filter_map(|open| if let Open::Acquire(ids) = open { Some(ids) } else { None })
            .flatten()
            .collect();
        let (waiting, free): (BTreeSet<_>, BTreeSet<_>) =
            releases.into_iter().partition(|id| asked_for.contains(id));
        self.ready.releases = waiting;
        free.into_iter().collect()
    }

    /// Takes up again what failed.
    pub(super) fn retry(&mut self) {
        let failed = std::mem::take(&mut self.failed);
        self.ready.puts.extend(failed.puts);
        self.ready.gets.extend(failed.gets);
        self.ready.acquires.extend(failed.acquires);
        self.ready.releases.extend(failed.releases);
    }

    /// A session is live: what failed under the last one does not wait for its back-off.
    pub(super) fn resume(&mut self) {
        self.backoff.reset();
        self.retry();
    }

    /// What a former session was told in order is told anew; late answers to it are void.
    pub(super) fn begin_session(&mut self) {
        self.open.retain(|_, open| !matches!(open, Open::Publish(_) | Open::Status(_)));
    }

    /// A user has been told that the request failed: what was not sent never will be.
    pub(super) fn forget_request(&mut self, request: RequestId) {
        for batch in [&mut self.ready, &mut self.failed] {
            batch.puts.retain(|(_, purpose)| purpose.request() != Some(request));
            batch.gets.retain(|(_, lookup)| lookup.request() != Some(request));
        }
    }

    /// The records that are to be written though nobody waits for them, and are not known to be.
    pub(super) fn facts(&self) -> BTreeSet<Key> {
        let open = self.open.values();
        let open = open.filter_map(|it| if let Open::Put(puts) = it { Some(puts) } else { None });
        let all = open.chain([&self.ready.puts, &self.failed.puts]).flatten();
        let facts = all.filter(|(_, purpose)| *purpose == Purpose::Fact);
        facts.map(|(put, _)| put.key.clone()).collect()
    }

    /// Whether a record is still to be written.
    pub(super) fn has_puts(&self) -> bool {
        !self.ready.puts.is_empty()
            || !self.failed.puts.is_empty()
            || self.open.values().any(|open| matches!(open, Open::Put(_)))
    }
}

fn take_batch<T>(items: &mut Vec<T>) -> Vec<T> {
    let rest = items.split_off(items.len().min(BATCH));
    std::mem::replace(items, rest)
}

impl Node {
    pub(super) fn ask(&mut self, open: Open, request: MembershipRequest) {
        self.outbox.last = self.outbox.last.next();
        let id = self.outbox.last;
        self.outbox.open.insert(id, open);
        self.emit(Output::Membership(id, request));
    }

    /// Sends what has gathered while an input was handled.
    pub(super) fn flush(&mut self) {
        if !self.session.is_live() {
            return;
        }
        while !self.outbox.ready.puts.is_empty() {
            let batch = take_batch(&mut self.outbox.ready.puts);
            let puts = batch.iter().map(|(put, _)| put.clone()).collect();
            self.ask(Open::Put(batch), MembershipRequest::Put(puts));
        }
        while !self.outbox.ready.gets.is_empty() {
            let batch = take_batch(&mut self.outbox.ready.gets);
            let keys = batch.iter().map(|(key, _)| key.clone()).collect();
            self.ask(Open::Get(batch), MembershipRequest::Get(keys));
        }
        let releases = self.outbox.take_releases();
        if !releases.is_empty() {
            let keys = releases.iter().map(claim_key).collect();
            self.ask(Open::Release(releases), MembershipRequest::Release(keys));
        }
        let acquires: Vec<_> =
            std::mem::take(&mut self.outbox.ready.acquires).into_iter().collect();
        if !acquires.is_empty() {
            let keys = acquires.iter().map(claim_key).collect();
            self.ask(Open::Acquire(acquires), MembershipRequest::Acquire(keys));
        }
        self.publish();
    }

    pub(super) fn on_answer(&mut self, request: RequestId, answer: Answer) {
        // A late answer of a former session, or a driver's mistake: either way nobody waits.
        let Some(open) = self.outbox.open.remove(&request) else { return };
        match (open, answer) {
            (open, Answer::Failed(error)) => self.on_request_failed(open, &error),
            (Open::Status(_), Answer::Done) => self.on_status_told(),
            (Open::Publish(keys), Answer::Done) => self.on_published(keys),
            (Open::Release(ids), Answer::Done) => self.on_released(&ids),
            (Open::Leave, _) => self.on_left(),
            (Open::Put(batch), Answer::Put(outcomes)) => {
                self.outbox.backoff.reset();
                for ((put, purpose), outcome) in batch.into_iter().zip(outcomes) {
                    self.on_put_outcome(put, purpose, outcome);
                }
            }
            (Open::Get(batch), Answer::Got(records)) => {
                for ((key, lookup), record) in batch.into_iter().zip(records) {
                    self.on_found(&key, lookup, record);
                }
            }
            (Open::Acquire(ids), Answer::Acquired(outcomes)) => {
                for (id, outcome) in ids.into_iter().zip(outcomes) {
                    self.on_claim_outcome(&id, outcome);
                }
            }
            (
                Open::Status(_)
                | Open::Publish(_)
                | Open::Release(_)
                | Open::Put(_)
                | Open::Get(_)
                | Open::Acquire(_),
                _,
            ) => self.bug("an answer of another form than its request"),
        }
    }

    fn on_put_outcome(&mut self, put: Put, purpose: Purpose, outcome: PutOutcome) {
        match outcome {
            PutOutcome::Ambiguous if !self.is_awaited(purpose.request()) => {}
            PutOutcome::Ambiguous => {
                self.note_op_failure(&purpose, None);
                self.outbox.failed.puts.push((put, purpose));
                self.retry_later();
            }
            PutOutcome::Applied => {
                let Put { key, record, .. } = put;
                self.merge_shared(&key, record.clone());
                self.on_written(purpose, &record);
            }
            PutOutcome::Stale { current } => {
                let found = current.as_ref().map(|current| current.stamp);
                if let Some(current) = current {
                    self.merge_shared(&put.key, current);
                }
                self.on_stale(purpose, put, found);
            }
        }
    }

    fn on_written(&mut self, purpose: Purpose, record: &Record) {
        match purpose {
            Purpose::Op { child, request, slot } => self.on_op_written(&child, request, slot),
            Purpose::Spent(id) => self.on_spent(&id, record),
            Purpose::Done(id) => self.on_done_told(&id),
            Purpose::Export(id) => self.on_exported(&id),
            Purpose::Strikes(id) => self.on_strikes_told(&id),
            Purpose::Member(request) => self.on_member_written(request),
            Purpose::Fact => {}
        }
    }

    /// Something else stands there: it has been merged, and decides.
    fn on_stale(&mut self, purpose: Purpose, put: Put, found: Option<Stamp>) {
        match purpose {
            Purpose::Op { child, request, slot } => self.on_op_read(&child, request, slot, found),
            // The record that was to be marked is gone or newer: there is nothing left to mark.
            Purpose::Done(id) => self.on_done_told(&id),
            Purpose::Spent(id) => self.drop_unspent(&id),
            Purpose::Export(id) => self.export_again(&id, put),
            Purpose::Strikes(id) => self.put_strikes(&id),
            Purpose::Member(request) => self.member_again(request),
            Purpose::Fact => {}
        }
    }

    fn on_request_failed(&mut self, open: Open, error: &MembershipError) {
        let retryable = error.is_retryable();
        match open {
            Open::Publish(keys) => self.on_publish_failed(keys, None),
            Open::Status(status) => self.on_publish_failed(Vec::new(), Some(status)),
            Open::Put(batch) => {
                for (put, purpose) in batch {
                    if !self.is_awaited(purpose.request()) {
                        continue;
                    }
                    let is_mark = matches!(
                        purpose,
                        Purpose::Spent(_) | Purpose::Done(_) | Purpose::Strikes(_) | Purpose::Fact
                    );
                    // A mark must be written some day: whatever refuses it may be put right.
                    // Of a user's change that may have run nobody can say that it was refused.
                    let must_go_on = is_mark || self.may_have_run(&purpose);
                    let too_large = matches!(error, MembershipError::TooLarge { .. });
                    if retryable || (must_go_on && !too_large) {
                        self.note_op_failure(&purpose, Some(error));
                        self.outbox.failed.puts.push((put, purpose));
                    } else {
                        self.on_put_refused(purpose, error);
                    }
                }
            }
            Open::Get(mut batch) => {
                batch.retain(|(_, lookup)| self.is_awaited(lookup.request()));
                batch.retain(|(_, lookup)| match lookup {
                    Lookup::Op { child, request, slot } => {
                        !self.on_op_unreadable(child, *request, *slot)
                    }
                    Lookup::State(_) => true,
                });
                for request in batch.iter().filter_map(|(_, lookup)| lookup.request()) {
                    self.note_lookup_failure(request, error);
                }
                self.outbox.failed.gets.extend(batch);
            }
            Open::Acquire(mut ids) => {
                ids.retain(|id| !self.is_claim_releasing(id));
                self.outbox.failed.acquires.extend(ids);
            }
            Open::Release(ids) => self.outbox.failed.releases.extend(ids),
            Open::Leave => return self.on_left(),
        }
        self.retry_later();
    }

    /// The backend will never take it.
    fn on_put_refused(&mut self, purpose: Purpose, error: &MembershipError) {
        match purpose {
            Purpose::Op { child, request, slot } => {
                self.on_op_refused(&child, request, slot, error);
            }
            Purpose::Export(id) => self.on_export_lost(&id, &error.to_string()),
            Purpose::Member(request) => self.on_member_refused(request, error),
            Purpose::Spent(_) | Purpose::Done(_) | Purpose::Strikes(_) | Purpose::Fact => {
                self.tell(Event::Bug { what: format!("a mark was refused: {error}") });
            }
        }
    }

    fn retry_later(&mut self) {
        let mut delay = self.outbox.backoff.next_delay(self.rng.next_u64());
        if planted("retries at once") {
            delay = Duration::ZERO;
        }
        self.timers.arm_by(Timer::Retry, self.now.mono + delay);
    }

    fn on_found(&mut self, key: &Key, lookup: Lookup, record: Option<Record>) {
        if let Some(record) = record.clone() {
            self.merge_shared(key, record);
        }
        match lookup {
            Lookup::Op { child, request, slot } => {
                let found = record.map(|record| record.stamp);
                self.on_op_read(&child, request, slot, found);
            }
            Lookup::State(id) => self.on_state_read(&id, record),
        }
    }

    fn is_claim_releasing(&self, id: &ChildId) -> bool {
        self.children.get(id).is_some_and(|child| child.claim_releasing)
    }

    fn on_claim_outcome(&mut self, id: &ChildId, outcome: ClaimOutcome) {
        if self.is_claim_releasing(id) {
            // It is given back right after, and asked for anew then where it is needed.
            return;
        }
        match outcome {
            ClaimOutcome::Held { token } => self.on_claim_held(id, token),
            ClaimOutcome::HeldBy { owner, .. } => self.on_claim_denied(id, &owner),
        }
    }
}
