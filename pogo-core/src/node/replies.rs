//! Requests under way: each is answered exactly once, whatever the backend does (L6).

use std::collections::VecDeque;

use super::{
    Node, Output, Reply,
    client::{Op, Outcome, Wish, failed},
    outbox::Purpose,
    request::{RequestError, StartChildError, Started},
    timers::Timer,
};
use crate::{
    id::{ChildId, RequestId},
    membership::MembershipError,
    mutant::planted,
    time::Timestamp,
};

/// A request with its results so far.
#[derive(Debug, Clone)]
pub(super) struct Open {
    results: Vec<Option<Outcome>>,
    missing: usize,
    children: Vec<ChildId>,
    form: Form,
    since: Timestamp,
    failure: Option<Failure>,
}

/// Why a request has no answer yet.
#[derive(Debug, Clone)]
struct Failure {
    source: MembershipError,
    /// Whether something may have been done all the same.
    ambiguous: bool,
}

/// How the reply is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// Of many results; with one refusal all are undone, where it was all or nothing.
    Start { all_or_nothing: bool },
    /// Of one result.
    One,
    /// Nobody waits for it.
    Silent,
}

impl Node {
    pub(super) fn open_request(&mut self, request: RequestId, children: Vec<ChildId>, form: Form) {
        let missing = children.len();
        let results = vec![None; missing];
        let since = self.now.mono;
        let open = Open { results, missing, children, form, since, failure: None };
        self.clients.requests.insert(request, open);
        let until = since + self.config.request_timeout;
        self.timers.arm(Timer::Request(request), until);
    }

    /// Whether what is done for `request` is to be tried again: a user who was told that it failed
    /// must not see it done much later.
    pub(super) fn is_awaited(&self, request: Option<RequestId>) -> bool {
        request.is_none_or(|request| {
            self.clients.requests.contains_key(&request)
                || self.clients.members.contains_key(&request)
        })
    }

    /// Remembers why a write has no answer yet.
    pub(super) fn note_op_failure(&mut self, purpose: &Purpose, error: Option<&MembershipError>) {
        let Purpose::Op { request, .. } = purpose else { return };
        let ambiguous = !matches!(error, Some(MembershipError::Unavailable { .. }));
        let source = error.cloned().unwrap_or_else(|| no_answer("it may have taken the record"));
        self.note_failure(*request, Failure { source, ambiguous });
    }

    /// Whether an earlier attempt of a user's change may have been carried out.
    pub(super) fn may_have_run(&self, purpose: &Purpose) -> bool {
        let Purpose::Op { request, .. } = purpose else { return false };
        let failure = self.clients.requests.get(request).and_then(|open| open.failure.as_ref());
        failure.is_some_and(|failure| failure.ambiguous)
    }

    /// Remembers why a read has no answer yet.
    pub(super) fn note_lookup_failure(&mut self, request: RequestId, error: &MembershipError) {
        self.note_failure(request, Failure { source: error.clone(), ambiguous: false });
    }

    fn note_failure(&mut self, request: RequestId, mut failure: Failure) {
        if let Some(open) = self.clients.requests.get_mut(&request) {
            failure.ambiguous |= open.failure.as_ref().is_some_and(|before| before.ambiguous);
            open.failure = Some(failure);
        }
    }

    /// What is not decided by now never will be for its user.
    pub(super) fn on_request_overdue(&mut self, request: RequestId) {
        if self.clients.members.contains_key(&request) {
            return self.on_member_overdue(request);
        }
        if planted("overdue request is forgotten") {
            return;
        }
        let Some(open) = self.clients.requests.get(&request) else { return };
        let waited = self.now.mono.since(open.since);
        let failure = open.failure.clone();
        self.outbox.forget_request(request);
        let ids = open.children.clone();
        for id in ids {
            let Some(queue) = self.clients.queues.get_mut(&id) else { continue };
            let (overdue, rest): (VecDeque<Op>, _) =
                queue.drain(..).partition(|op| op.request == request);
            *queue = rest;
            if queue.is_empty() {
                self.clients.queues.remove(&id);
            }
            for op in overdue {
                let error = overdue_error(op.in_flight, failure.clone(), waited);
                self.finish(request, op.slot, failed(&op.change, error));
            }
            self.advance(&id);
        }
    }

    pub(super) fn finish(&mut self, request: RequestId, slot: usize, outcome: Outcome) {
        let Some(open) = self.clients.requests.get_mut(&request) else { return };
        if let Some(result @ None) = open.results.get_mut(slot) {
            *result = Some(outcome);
            open.missing -= 1;
        }
        self.reply_when_done(request);
    }

    pub(super) fn reply_when_done(&mut self, request: RequestId) {
        if self.clients.requests.get(&request).is_none_or(|open| open.missing > 0) {
            return;
        }
        let Some(open) = self.clients.requests.remove(&request) else { return };
        self.timers.disarm(&Timer::Request(request));
        let results: Vec<_> = open.results.into_iter().flatten().collect();
        let reply = match open.form {
            Form::Silent => return,
            Form::Start { all_or_nothing } => {
                let results = results.into_iter().filter_map(started).collect();
                Reply::Started(if all_or_nothing {
                    self.undo_where_refused(&open.children, results)
                } else {
                    results
                })
            }
            Form::One => match results.into_iter().next() {
                Some(Outcome::Terminated(result)) => Reply::Terminated(result),
                Some(Outcome::Restarted(result)) => Reply::Restarted(result),
                Some(Outcome::Started(result)) => Reply::Started(vec![result]),
                None => return self.bug("a request without a result"),
            },
        };
        if planted("answers twice") {
            self.emit(Output::Reply(request, Reply::Started(Vec::new())));
        }
        self.emit(Output::Reply(request, reply));
    }

    /// Terminates what was accepted of an all-or-nothing request that was refused in part. Later
    /// requests on these children come after, as their order is kept.
    fn undo_where_refused(
        &mut self,
        ids: &[ChildId],
        results: Vec<Result<Started, StartChildError>>,
    ) -> Vec<Result<Started, StartChildError>> {
        let refusal = results.iter().find_map(|it| it.as_ref().err()).map(ToString::to_string);
        let Some(reason) = refusal else { return results };
        let mut undone = Vec::with_capacity(results.len());
        for (id, result) in ids.iter().zip(results) {
            if matches!(result, Ok(Started::Accepted)) {
                self.clients.undone += 1;
                let request = RequestId::new(u64::MAX - self.clients.undone);
                self.open_request(request, vec![id.clone()], Form::Silent);
                self.enqueue(id, request, 0, Wish::Terminate);
            }
            let refused = StartChildError::RefusedTogether { reason: reason.clone() };
            undone.push(result.and(Err(refused)));
        }
        undone
    }

    /// The member is gone: nobody else will answer.
    pub(super) fn refuse_open_requests(&mut self) {
        let ids: Vec<_> = std::mem::take(&mut self.clients.queues).into_values().collect();
        for op in ids.into_iter().flatten() {
            let outcome = failed(&op.change, RequestError::Stopping);
            self.finish(op.request, op.slot, outcome);
        }
    }
}

fn started(outcome: Outcome) -> Option<Result<Started, StartChildError>> {
    match outcome {
        Outcome::Started(result) => Some(result),
        Outcome::Terminated(_) | Outcome::Restarted(_) => None,
    }
}

fn no_answer(reason: &str) -> MembershipError {
    MembershipError::Ambiguous { backend: "the backend", reason: reason.to_owned() }
}

fn overdue_error(
    in_flight: bool,
    failure: Option<Failure>,
    waited: std::time::Duration,
) -> RequestError {
    match failure {
        Some(Failure { source, ambiguous: true }) => RequestError::Unknown { waited, source },
        Some(Failure { source, ambiguous: false }) => RequestError::Unavailable { waited, source },
        None if in_flight => RequestError::Unknown { waited, source: no_answer("none came") },
        None => {
            let reason =
                "there is no live session, or an earlier change of the child waits".to_owned();
            let source = MembershipError::Unavailable { backend: "the backend", reason };
            RequestError::Unavailable { waited, source }
        }
    }
}
