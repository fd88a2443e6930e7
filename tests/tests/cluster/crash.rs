//! A crash, for a member that shares its process with the others.
//!
//! The line stands in the one seam between a member and its cluster. Once it is cut nothing of the
//! member gets out; what was its session is dropped, which the others see as a crash and not as a
//! leave; and its supervisor, which cannot come back, is then free to end.

use std::{
    future::{Future, pending},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use pogo::{MemberId, Membership, MembershipError};
use pogo_core::{
    id::BootId,
    membership::{
        Capabilities, ClaimOutcome, Claims, Event, Join, MemberStatus, OwnedUpdate, Presence, Put,
        PutOutcome, Session, SharedRecords,
    },
    record::{Key, Record},
    time::Timestamp,
};
use tokio::sync::watch;

/// A member's way to its backend.
#[derive(Debug)]
pub(crate) struct Line {
    backend: Arc<dyn Membership>,
    held: Mutex<Option<Held>>,
    is_cut: watch::Sender<bool>,
}

/// What Pogo is given for a backend.
#[derive(Debug, Clone)]
pub(crate) struct Through(pub(crate) Arc<Line>);

/// The parts of a session that answer.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    presence: Arc<dyn Presence>,
    records: Arc<dyn SharedRecords>,
    claims: Option<Arc<dyn Claims>>,
}

impl Line {
    pub(crate) fn new(backend: Arc<dyn Membership>) -> Arc<Self> {
        Arc::new(Self { backend, held: Mutex::default(), is_cut: watch::Sender::new(false) })
    }

    /// From here on nothing gets out; dropping what is returned, after the member's children are
    /// gone, and cutting the line is what the others see as its crash.
    pub(crate) fn freeze(&self) -> Option<Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    fn held(&self) -> Result<Held, MembershipError> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        held.ok_or(MembershipError::SessionEnded)
    }

    fn claims(&self) -> Result<Arc<dyn Claims>, MembershipError> {
        self.held()?.claims.ok_or(MembershipError::SessionEnded)
    }

    fn until_cut(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut is_cut = self.is_cut.subscribe();
        async move {
            if is_cut.wait_for(|is_cut| *is_cut).await.is_err() {
                pending::<()>().await;
            }
        }
    }
}

#[async_trait]
impl Membership for Through {
    fn name(&self) -> &'static str {
        self.0.backend.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.backend.capabilities()
    }

    async fn join(&self, join: Join) -> Result<Session, MembershipError> {
        if *self.0.is_cut.borrow() {
            return pending().await;
        }
        let Session { me, presence, records, claims, events } = self.0.backend.join(join).await?;
        let has_claims = claims.is_some();
        *self.0.held.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Held { presence, records, claims });
        let line = Arc::clone(&self.0);
        Ok(Session {
            me,
            presence: Arc::<Line>::clone(&line),
            records: Arc::<Line>::clone(&line),
            claims: has_claims.then(|| Arc::<Line>::clone(&line) as Arc<dyn Claims>),
            events: feed(events, &line),
        })
    }
}

type Feed = Pin<Box<dyn Stream<Item = Event> + Send>>;

/// The events until the line is cut; then the backend's own feed is dropped with the rest.
fn feed(events: Feed, line: &Line) -> Feed {
    Box::pin(stream::unfold((events, Box::pin(line.until_cut())), |(mut events, mut cut)| async {
        tokio::select! {
            biased;
            () = &mut cut => None,
            event = events.next() => event.map(|event| (event, (events, cut))),
        }
    }))
}

#[async_trait]
impl Presence for Line {
    async fn set_status(&self, status: MemberStatus) -> Result<(), MembershipError> {
        self.held()?.presence.set_status(status).await
    }

    async fn publish(&self, batch: Vec<OwnedUpdate>) -> Result<(), MembershipError> {
        self.held()?.presence.publish(batch).await
    }

    async fn owned(
        &self,
        member: &MemberId,
        keys: &[Key],
    ) -> Result<Vec<Option<Bytes>>, MembershipError> {
        self.held()?.presence.owned(member, keys).await
    }

    fn lease_deadline(&self) -> Option<Timestamp> {
        self.held().ok().and_then(|held| held.presence.lease_deadline())
    }

    fn contacts(&self) -> Vec<(BootId, Timestamp)> {
        self.held().map(|held| held.presence.contacts()).unwrap_or_default()
    }

    fn probe_all(&self, on: bool) {
        if let Ok(held) = self.held() {
            held.presence.probe_all(on);
        }
    }

    async fn leave(&self) -> Result<(), MembershipError> {
        self.held()?.presence.leave().await
    }
}

#[async_trait]
impl SharedRecords for Line {
    async fn put(&self, batch: Vec<Put>) -> Result<Vec<PutOutcome>, MembershipError> {
        self.held()?.records.put(batch).await
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, MembershipError> {
        self.held()?.records.get(keys).await
    }
}

#[async_trait]
impl Claims for Line {
    async fn acquire(&self, keys: &[Key]) -> Result<Vec<ClaimOutcome>, MembershipError> {
        self.claims()?.acquire(keys).await
    }

    async fn release(&self, keys: &[Key]) -> Result<(), MembershipError> {
        self.claims()?.release(keys).await
    }
}
