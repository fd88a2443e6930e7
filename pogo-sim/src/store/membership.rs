//! The seam over a [`StoreModel`], for supervisors and for the suite that every backend passes.
//!
//! All time is the tokio clock of the thread that asks, so a paused clock pauses the store too. No
//! task drives the model: whoever waits for something lets happen what has fallen due for all.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use pogo_core::{
    id::{ClusterName, MemberId, RequestId, Scope},
    membership::{
        Capabilities, ClaimOutcome, Claims, Event, Join, MemberStatus, Membership, MembershipError,
        OwnedUpdate, Presence, Put, PutOutcome, Session, SharedRecords,
    },
    node::{Answer, MembershipRequest},
    record::{Key, Record},
    time::{Clock, Now, Timestamp},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use super::{NAME, SessionId, StoreConfig, StoreModel, Told};

/// The store model as a backend: supervisors that share one form a cluster for each name and scope.
#[derive(Debug, Clone)]
pub struct StoreMembership {
    places: Arc<Mutex<Places>>,
    config: StoreConfig,
}

type Places = BTreeMap<(ClusterName, Scope), Arc<Place>>;

/// One store, and who waits for it.
#[derive(Debug)]
struct Place {
    shared: Mutex<Shared>,
    changed: Notify,
    start: Instant,
}

#[derive(Debug)]
struct Shared {
    model: StoreModel,
    inboxes: BTreeMap<SessionId, Inbox>,
    sessions: u64,
    requests: u64,
}

/// What a session was told and has not read.
#[derive(Debug, Default)]
struct Inbox {
    joined: Option<Result<MemberId, MembershipError>>,
    answers: BTreeMap<RequestId, Answer>,
    events: VecDeque<Event>,
}

impl StoreMembership {
    /// A store of its own, shared by its clones only.
    pub fn new(config: StoreConfig) -> Self {
        Self { places: Arc::default(), config }
    }

    /// Does something to the store of a cluster and scope, such as to switch a fault on; with the
    /// time in the store.
    pub fn act<T>(
        &self,
        cluster: &ClusterName,
        scope: &Scope,
        act: impl FnOnce(&mut StoreModel, Timestamp) -> T,
    ) -> T {
        self.place(cluster, scope).with(|shared, now| act(&mut shared.model, now))
    }

    fn place(&self, cluster: &ClusterName, scope: &Scope) -> Arc<Place> {
        let mut places = lock(&self.places);
        let place = places.entry((cluster.clone(), scope.clone())).or_insert_with(|| {
            let shared = Shared {
                model: StoreModel::new(self.config.clone()),
                inboxes: BTreeMap::new(),
                sessions: 0,
                requests: 0,
            };
            let (shared, changed) = (Mutex::new(shared), Notify::new());
            Arc::new(Place { shared, changed, start: Instant::now() })
        });
        Arc::clone(place)
    }
}

impl Shared {
    /// Lets happen what has fallen due; answers whether anything has.
    fn advance(&mut self, now: Timestamp) -> bool {
        let mut happened = false;
        while self.model.next_step_at().is_some_and(|at| at <= now) {
            self.model.step();
            happened = true;
        }
        while let Some((session, told)) = self.model.poll_told() {
            happened = true;
            let Some(inbox) = self.inboxes.get_mut(&session) else { continue };
            match told {
                Told::Joined(me) => inbox.joined = Some(Ok(me)),
                Told::Refused(error) => inbox.joined = Some(Err(error)),
                Told::Answer(id, answer) => drop(inbox.answers.insert(id, answer)),
                Told::Event(event) => inbox.events.push_back(event),
            }
        }
        happened
    }
}

impl Place {
    fn now(&self) -> Timestamp {
        Timestamp::from_start(self.start.elapsed())
    }

    /// Does something to the store and wakes whoever may see a change.
    fn with<T>(&self, act: impl FnOnce(&mut Shared, Timestamp) -> T) -> T {
        let now = self.now();
        let done = {
            let mut shared = lock(&self.shared);
            shared.advance(now);
            let done = act(&mut shared, now);
            shared.advance(now);
            done
        };
        self.changed.notify_waiters();
        done
    }

    /// Waits until there is what `look` looks for.
    async fn wait<T>(&self, mut look: impl FnMut(&mut Shared) -> Option<T>) -> T {
        loop {
            // Registered before the look, so that no change in between is missed.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let (found, happened, wait) = {
                let mut shared = lock(&self.shared);
                let now = self.now();
                let happened = shared.advance(now);
                let due = shared.model.next_step_at();
                (look(&mut shared), happened, due.map(|at| at.since(now)))
            };
            if happened {
                self.changed.notify_waiters();
            }
            if let Some(found) = found {
                return found;
            }
            match wait {
                Some(wait) => tokio::select! {
                    () = changed => {}
                    () = sleep(wait) => {}
                },
                None => changed.await,
            }
        }
    }
}

#[async_trait]
impl Membership for StoreMembership {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        self.config.capabilities()
    }

    async fn join(&self, join: Join) -> Result<Session, MembershipError> {
        let place = self.place(&join.cluster, &join.scope);
        let wall = join.clock.now().wall;
        let session = place.with(|shared, mono| {
            shared.sessions += 1;
            let session = SessionId(shared.sessions);
            shared.inboxes.insert(session, Inbox::default());
            shared.model.join(Now { mono, wall }, session, join.name, join.boot, join.metadata);
            session
        });
        let alive = Arc::new(Alive { place, session });
        let joined =
            |shared: &mut Shared| shared.inboxes.get_mut(&session).and_then(|it| it.joined.take());
        let me = alive.place.wait(joined).await?;
        let ttl = self.config.lease_ttl;
        let parts = Arc::new(Parts { alive: Arc::clone(&alive), clock: join.clock, ttl });
        let events = stream::unfold(alive, |alive| async move {
            let event = alive.next_event().await?;
            Some((event, alive))
        });
        let presence: Arc<dyn Presence> = Arc::clone(&parts) as Arc<dyn Presence>;
        let claims: Arc<dyn Claims> = Arc::clone(&parts) as Arc<dyn Claims>;
        Ok(Session { me, presence, records: parts, claims: Some(claims), events: events.boxed() })
    }
}

/// A session, or the attempt to begin one; its end without a leave is a crash.
#[derive(Debug)]
struct Alive {
    place: Arc<Place>,
    session: SessionId,
}

impl Alive {
    /// The next event; `None` when the session has ended.
    async fn next_event(&self) -> Option<Event> {
        let session = self.session;
        let look = |shared: &mut Shared| {
            let event = shared.inboxes.get_mut(&session).and_then(|it| it.events.pop_front());
            match event {
                Some(event) => Some(Some(event)),
                None => (!shared.model.is_open(session)).then_some(None),
            }
        };
        self.place.wait(look).await
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.place.with(|shared, _| {
            shared.inboxes.remove(&self.session);
            shared.model.crash(self.session);
        });
    }
}

/// The parts of a session that answer requests.
#[derive(Debug)]
struct Parts {
    alive: Arc<Alive>,
    clock: Arc<dyn Clock>,
    ttl: Duration,
}

impl Parts {
    async fn ask(&self, request: MembershipRequest) -> Result<Answer, MembershipError> {
        let Alive { place, session } = &*self.alive;
        let id = place.with(|shared, now| {
            shared.requests += 1;
            let id = RequestId::new(shared.requests);
            shared.model.request(now, *session, id, request);
            id
        });
        let look = |shared: &mut Shared| {
            shared.inboxes.get_mut(session).and_then(|inbox| inbox.answers.remove(&id))
        };
        match place.wait(look).await {
            Answer::Failed(error) => Err(error),
            answer => Ok(answer),
        }
    }
}

/// The model answers each request in its own form.
const fn other_form() -> MembershipError {
    MembershipError::Unsupported { backend: NAME, what: "this request" }
}

#[async_trait]
impl Presence for Parts {
    async fn set_status(&self, status: MemberStatus) -> Result<(), MembershipError> {
        self.ask(MembershipRequest::SetStatus(status)).await.map(drop)
    }

    async fn publish(&self, batch: Vec<OwnedUpdate>) -> Result<(), MembershipError> {
        self.ask(MembershipRequest::Publish(batch)).await.map(drop)
    }

    async fn owned(
        &self,
        member: &MemberId,
        keys: &[Key],
    ) -> Result<Vec<Option<Bytes>>, MembershipError> {
        let Alive { place, session } = &*self.alive;
        place.with(|shared, _| shared.model.owned(*session, member, keys))
    }

    fn lease_deadline(&self) -> Option<Timestamp> {
        let Alive { place, session } = &*self.alive;
        let own = self.clock.now().mono;
        // The store counts from its own start, the supervisor from its.
        place.with(|shared, now| {
            let age = now.since(shared.model.renewed(now, *session)?);
            Some(own.earlier_by(age) + self.ttl)
        })
    }

    async fn leave(&self) -> Result<(), MembershipError> {
        self.ask(MembershipRequest::Leave).await.map(drop)
    }
}

#[async_trait]
impl SharedRecords for Parts {
    async fn put(&self, batch: Vec<Put>) -> Result<Vec<PutOutcome>, MembershipError> {
        match self.ask(MembershipRequest::Put(batch)).await? {
            Answer::Put(outcomes) => Ok(outcomes),
            _ => Err(other_form()),
        }
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, MembershipError> {
        match self.ask(MembershipRequest::Get(keys.to_vec())).await? {
            Answer::Got(records) => Ok(records),
            _ => Err(other_form()),
        }
    }
}

#[async_trait]
impl Claims for Parts {
    async fn acquire(&self, keys: &[Key]) -> Result<Vec<ClaimOutcome>, MembershipError> {
        match self.ask(MembershipRequest::Acquire(keys.to_vec())).await? {
            Answer::Acquired(outcomes) => Ok(outcomes),
            _ => Err(other_form()),
        }
    }

    async fn release(&self, keys: &[Key]) -> Result<(), MembershipError> {
        self.ask(MembershipRequest::Release(keys.to_vec())).await.map(drop)
    }
}

/// What a panic left behind is still whole: the model changes by steps that do not panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
