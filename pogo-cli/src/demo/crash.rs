//! A crash, for a member that shares its process with the others.
//!
//! It stands in the one seam through which a member touches its cluster. Once cut off, nothing of
//! the member gets out or in, as after a `kill -9`; its session is dropped, which is a crash to the
//! others and no leave; and its supervisor, which knows nothing of it, can then be stopped without
//! anybody hearing of that.

use std::{
    future::{Future, pending},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use pogo::{
    BootId, MemberId,
    membership::{
        Capabilities, ClaimOutcome, Claims, Event, Join, MemberStatus, Membership, MembershipError,
        OwnedUpdate, Presence, Put, PutOutcome, Session, SharedRecords,
    },
    record::{Key, Record},
    time::Timestamp,
};
use tokio::sync::watch;

/// One member's way to its backend, which can be cut.
#[derive(Debug)]
pub(crate) struct Crashable {
    backend: Arc<dyn Membership>,
    line: Arc<Line>,
}

/// Cuts a member off.
#[derive(Debug)]
pub(crate) struct Crash {
    line: Arc<Line>,
}

#[derive(Debug)]
struct Line {
    state: watch::Sender<State>,
    held: Mutex<Option<Held>>,
}

/// The parts of the session that answer; dropping them and the feed ends it.
#[derive(Debug, Clone)]
struct Held {
    presence: Arc<dyn Presence>,
    records: Arc<dyn SharedRecords>,
    claims: Option<Arc<dyn Claims>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Whole,
    /// Nothing gets through, and the others do not know it yet.
    Frozen,
    /// The session is gone.
    Gone,
}

impl Crashable {
    /// Puts a cut-off switch before `backend`.
    pub(crate) fn new(backend: Arc<dyn Membership>) -> (Self, Crash) {
        let state = watch::Sender::new(State::Whole);
        let line = Arc::new(Line { state, held: Mutex::default() });
        (Self { backend, line: Arc::clone(&line) }, Crash { line })
    }
}

impl Crash {
    /// From here on nothing gets out or in.
    pub(crate) fn freeze(&self) {
        self.line.state.send_replace(State::Frozen);
    }

    /// Drops the session: the others see the member crash.
    pub(crate) fn drop_session(&self) {
        self.line.state.send_replace(State::Gone);
        drop(self.line.held.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Line {
    /// Waits until the session is gone, if it ever is.
    async fn gone(&self) {
        let mut state = self.state.subscribe();
        // The sender lives as long as the line does, so there is nothing to go wrong.
        drop(state.wait_for(|state| *state == State::Gone).await);
    }

    /// Asks the session, unless the member is cut off; a member that is frozen waits in vain.
    async fn ask<T, F>(&self, ask: impl FnOnce(Held) -> F + Send) -> Result<T, MembershipError>
    where
        F: Future<Output = Result<T, MembershipError>> + Send,
    {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_whole = *self.state.borrow() == State::Whole;
        let answer = async {
            match held.filter(|_| is_whole) {
                Some(held) => ask(held).await,
                None => pending().await,
            }
        };
        tokio::select! {
            answer = answer => answer,
            () = self.gone() => Err(MembershipError::SessionEnded),
        }
    }
}

#[async_trait]
impl Membership for Crashable {
    fn name(&self) -> &'static str {
        self.backend.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.backend.capabilities()
    }

    async fn join(&self, join: Join) -> Result<Session, MembershipError> {
        if *self.line.state.borrow() != State::Whole {
            self.line.gone().await;
            return Err(MembershipError::SessionEnded);
        }
        let Session { me, presence, records, claims, events } = self.backend.join(join).await?;
        let has_claims = claims.is_some();
        let held = Held { presence, records, claims };
        *self.line.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
        let line = &self.line;
        Ok(Session {
            me,
            presence: Arc::<Line>::clone(line),
            records: Arc::<Line>::clone(line),
            claims: has_claims.then(|| Arc::<Line>::clone(line) as Arc<dyn Claims>),
            events: feed(events, line),
        })
    }
}

type Feed = std::pin::Pin<Box<dyn stream::Stream<Item = Event> + Send>>;

/// `events` until the member is cut off, and silence from then on.
fn feed(events: Feed, line: &Line) -> Feed {
    let state = line.state.subscribe();
    Box::pin(stream::unfold((events, state), |(mut events, mut state)| async move {
        let event = tokio::select! {
            biased;
            _ = state.wait_for(|state| *state != State::Whole) => None,
            event = events.next() => event,
        };
        match event {
            Some(event) => Some((event, (events, state))),
            None if *state.borrow() == State::Whole => None,
            None => {
                drop(state.wait_for(|state| *state == State::Gone).await);
                // Told that it is out of the cluster, the supervisor ends without delay.
                Some((Event::Evicted, (Box::pin(stream::pending()) as Feed, state)))
            }
        }
    }))
}

#[async_trait]
impl Presence for Line {
    async fn set_status(&self, status: MemberStatus) -> Result<(), MembershipError> {
        self.ask(|held| async move { held.presence.set_status(status).await }).await
    }

    async fn publish(&self, batch: Vec<OwnedUpdate>) -> Result<(), MembershipError> {
        self.ask(|held| async move { held.presence.publish(batch).await }).await
    }

    async fn owned(
        &self,
        member: &MemberId,
        keys: &[Key],
    ) -> Result<Vec<Option<Bytes>>, MembershipError> {
        self.ask(|held| async move { held.presence.owned(member, keys).await }).await
    }

    fn lease_deadline(&self) -> Option<Timestamp> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().and_then(|held| held.presence.lease_deadline())
    }

    fn contacts(&self) -> Vec<(BootId, Timestamp)> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().map(|held| held.presence.contacts()).unwrap_or_default()
    }

    fn probe_all(&self, on: bool) {
        if let Some(held) = &*self.held.lock().unwrap_or_else(PoisonError::into_inner) {
            held.presence.probe_all(on);
        }
    }

    async fn leave(&self) -> Result<(), MembershipError> {
        match self.ask(|held| async move { held.presence.leave().await }).await {
            // Nobody is told, and the supervisor has what it needs to end.
            Err(MembershipError::SessionEnded) => Ok(()),
            answer => answer,
        }
    }
}

#[async_trait]
impl SharedRecords for Line {
    async fn put(&self, batch: Vec<Put>) -> Result<Vec<PutOutcome>, MembershipError> {
        self.ask(|held| async move { held.records.put(batch).await }).await
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, MembershipError> {
        self.ask(|held| async move { held.records.get(keys).await }).await
    }
}

#[async_trait]
impl Claims for Line {
    async fn acquire(&self, keys: &[Key]) -> Result<Vec<ClaimOutcome>, MembershipError> {
        self.ask(|held| async move { claims(held)?.acquire(keys).await }).await
    }

    async fn release(&self, keys: &[Key]) -> Result<(), MembershipError> {
        self.ask(|held| async move { claims(held)?.release(keys).await }).await
    }
}

fn claims(held: Held) -> Result<Arc<dyn Claims>, MembershipError> {
    held.claims.ok_or(MembershipError::SessionEnded)
}
