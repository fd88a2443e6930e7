//! The driver's side of a session: the feed, the node's requests, and joining again (R15).
//!
//! What presence is told goes out one at a time in the node's order, so that a later batch never
//! overtakes an earlier one and leaving comes last; other requests run side by side. Each request
//! gets exactly one answer, also when its session ends first.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt,
    future::{self, BoxFuture},
    stream::FuturesUnordered,
};
use tokio::time::{sleep, timeout};

use super::error::StartError;
use crate::{
    id::{MemberId, RequestId},
    membership::{Backoff, Event, Join, Membership, MembershipError, Presence, Session},
    node::{Answer, Contact, MembershipRequest},
};

/// How long a join may take beyond [`Join::within`].
const MARGIN: Duration = Duration::from_secs(1);

/// How the driver joins, the first time and again.
#[derive(Debug, Clone)]
pub(super) struct Joining {
    pub(super) membership: Arc<dyn Membership>,
    pub(super) join: Join,
    pub(super) seed: u64,
}

impl Joining {
    /// Joins, trying again until the time is over where that may help.
    pub(super) async fn first(&self) -> Result<Session, StartError> {
        let mut last = None;
        let tries = async {
            let mut backoff = Self::backoff();
            loop {
                match self.membership.join(self.join.clone()).await {
                    Err(error) if error.is_retryable() => last = Some(error),
                    outcome => return outcome,
                }
                sleep(backoff.next_delay(self.seed)).await;
            }
        };
        let joined = self.patiently(tries).await;
        let backend = self.membership.name();
        match joined {
            Some(outcome) => outcome.map_err(|source| StartError::Join { backend, source }),
            None => Err(StartError::JoinTimeout { backend, waited: self.join.within, last }),
        }
    }

    /// Waits as long as a join may take, and a little longer: at the end of its time a backend may
    /// form a cluster alone.
    async fn patiently<T>(&self, join: impl Future<Output = T>) -> Option<T> {
        if self.membership.waits_for_others() {
            return Some(join.await);
        }
        timeout(self.join.within + MARGIN, join).await.ok()
    }

    /// Joins however long it takes: the children that run here wait for it.
    async fn again(self) -> Session {
        let mut backoff = Self::backoff();
        loop {
            let why = match self.patiently(self.membership.join(self.join.clone())).await {
                Some(Ok(session)) => return session,
                Some(Err(error)) => error.to_string(),
                None => format!("no answer within {:?}", self.join.within),
            };
            tracing::warn!(backend = self.membership.name(), %why, "cannot join again yet");
            sleep(backoff.next_delay(self.seed)).await;
        }
    }

    const fn backoff() -> Backoff {
        Backoff::new(Duration::from_millis(100), Duration::from_secs(5))
    }
}

/// What comes from the session.
#[derive(Debug)]
pub(super) enum FromSession {
    /// A new session began.
    Joined(MemberId),
    /// The feed said something.
    Event(Event),
    /// A request has its answer.
    Answer(RequestId, Answer),
    /// The feed ended without a word.
    Ended,
}

/// The session, or the way to the next one.
pub(super) struct Line {
    joining: Joining,
    state: State,
    running: FuturesUnordered<BoxFuture<'static, (RequestId, Answer)>>,
    open: BTreeSet<RequestId>,
    /// Requests to presence that wait for the one before them.
    waiting: VecDeque<(RequestId, MembershipRequest)>,
    /// The request to presence that runs.
    ordered: Option<RequestId>,
    failed: VecDeque<RequestId>,
}

enum State {
    Joined(Session),
    Joining(BoxFuture<'static, Session>),
    /// The feed ended and the node has not said what now.
    Ended,
}

impl Line {
    pub(super) fn new(joining: Joining, session: Session) -> Self {
        Self {
            joining,
            state: State::Joined(session),
            running: FuturesUnordered::new(),
            open: BTreeSet::new(),
            waiting: VecDeque::new(),
            ordered: None,
            failed: VecDeque::new(),
        }
    }

    /// What comes next.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> FromSession {
        if let Some(request) = self.failed.pop_front() {
            return FromSession::Answer(request, Answer::Failed(MembershipError::SessionEnded));
        }
        let came = tokio::select! {
            Some((request, answer)) = self.running.next() => FromSession::Answer(request, answer),
            came = self.state.next() => came,
        };
        match came {
            FromSession::Answer(request, _) => self.answered(request),
            FromSession::Ended => self.end(),
            FromSession::Joined(_) | FromSession::Event(_) => {}
        }
        came
    }

    /// Executes a request of the node.
    pub(super) fn request(&mut self, id: RequestId, request: MembershipRequest) {
        let State::Joined(session) = &self.state else {
            self.failed.push_back(id);
            return;
        };
        self.open.insert(id);
        if !is_ordered(&request) {
            self.running.push(execute(session, id, request));
        } else if self.ordered.is_some() {
            self.waiting.push_back((id, request));
        } else {
            self.ordered = Some(id);
            self.running.push(execute(session, id, request));
        }
    }

    /// How the session stands with its backend, while there is one.
    pub(super) fn contact(&self) -> Option<Contact> {
        let State::Joined(session) = &self.state else { return None };
        let (lease, answered) = (session.presence.lease_deadline(), session.presence.contacts());
        Some(Contact { lease, answered })
    }

    /// The session's presence, while there is one.
    pub(super) fn presence(&self) -> Option<Arc<dyn Presence>> {
        let State::Joined(session) = &self.state else { return None };
        Some(Arc::clone(&session.presence))
    }

    /// Has the session probe every member, or no more than it needs itself (R17).
    pub(super) fn probe_all(&self, on: bool) {
        if let State::Joined(session) = &self.state {
            session.presence.probe_all(on);
        }
    }

    /// Gives up the session, if there is one, and joins again.
    pub(super) fn rejoin(&mut self) {
        self.end();
        self.state = State::Joining(self.joining.clone().again().boxed());
    }

    fn answered(&mut self, request: RequestId) {
        self.open.remove(&request);
        if self.ordered != Some(request) {
            return;
        }
        self.ordered = None;
        if let (State::Joined(session), Some((id, next))) = (&self.state, self.waiting.pop_front())
        {
            self.ordered = Some(id);
            self.running.push(execute(session, id, next));
        }
    }

    fn end(&mut self) {
        self.state = State::Ended;
        self.running.clear();
        self.waiting.clear();
        self.ordered = None;
        self.failed.extend(std::mem::take(&mut self.open));
    }
}

impl State {
    async fn next(&mut self) -> FromSession {
        let joined = match self {
            Self::Joined(session) => {
                return session.events.next().await.map_or(FromSession::Ended, FromSession::Event);
            }
            Self::Joining(join) => join.await,
            Self::Ended => future::pending().await,
        };
        let me = joined.me.clone();
        *self = Self::Joined(joined);
        FromSession::Joined(me)
    }
}

/// Whether a request must keep its place among those to presence.
const fn is_ordered(request: &MembershipRequest) -> bool {
    match request {
        MembershipRequest::SetStatus(_)
        | MembershipRequest::Publish(_)
        | MembershipRequest::Leave => true,
        MembershipRequest::Put(_)
        | MembershipRequest::Get(_)
        | MembershipRequest::Acquire(_)
        | MembershipRequest::Release(_) => false,
    }
}

fn execute(
    session: &Session,
    id: RequestId,
    request: MembershipRequest,
) -> BoxFuture<'static, (RequestId, Answer)> {
    let presence = Arc::clone(&session.presence);
    let records = Arc::clone(&session.records);
    let claims = session.claims.clone();
    let answer = async move {
        let no_claims = MembershipError::Unsupported { backend: "this backend", what: "claims" };
        match (request, claims) {
            (MembershipRequest::SetStatus(status), _) => {
                presence.set_status(status).await.map(|()| Answer::Done)
            }
            (MembershipRequest::Publish(batch), _) => {
                presence.publish(batch).await.map(|()| Answer::Done)
            }
            (MembershipRequest::Leave, _) => presence.leave().await.map(|()| Answer::Done),
            (MembershipRequest::Put(batch), _) => records.put(batch).await.map(Answer::Put),
            (MembershipRequest::Get(keys), _) => records.get(&keys).await.map(Answer::Got),
            (MembershipRequest::Acquire(keys), Some(claims)) => {
                claims.acquire(&keys).await.map(Answer::Acquired)
            }
            (MembershipRequest::Release(keys), Some(claims)) => {
                claims.release(&keys).await.map(|()| Answer::Done)
            }
            (MembershipRequest::Acquire(_) | MembershipRequest::Release(_), None) => Err(no_claims),
        }
    };
    answer.map(move |answer| (id, answer.unwrap_or_else(Answer::Failed))).boxed()
}
