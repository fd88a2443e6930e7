//! The async seam before a [`Hub`], for supervisors of one process.
//!
//! All time is the tokio clock of the thread that asks, so a paused clock pauses the backend too.
//! A session lives as long as one of its parts: when the last is dropped, the others see a crash.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use super::{Crash, Faults, Hub, HubConfig, NAME, SessionId};
use crate::{
    id::{ClusterName, MemberId, Scope},
    membership::{
        Capabilities, ClaimOutcome, Claims, Event, Join, MemberStatus, Membership, MembershipError,
        OwnedUpdate, Presence, Put, PutOutcome, Session, SharedRecords,
    },
    node::{Answer, MembershipRequest},
    record::{Key, Record},
    time::{Clock, Now, Timestamp, WallTime},
};

/// The in-process backend: supervisors that share one form a cluster for each name and scope.
#[derive(Debug, Clone)]
pub struct MemoryBackend {
    places: Arc<Mutex<Places>>,
    config: HubConfig,
}

type Places = BTreeMap<(ClusterName, Scope), Arc<Place>>;

/// One hub, and who waits for it.
#[derive(Debug)]
pub(super) struct Place {
    hub: Mutex<Hub>,
    changed: Notify,
    start: Instant,
}

impl MemoryBackend {
    /// The backend that all users of this function in the process share.
    pub fn shared() -> Self {
        static SHARED: OnceLock<MemoryBackend> = OnceLock::new();
        SHARED.get_or_init(Self::isolated).clone()
    }

    /// A backend of one's own, shared by its clones only.
    pub fn isolated() -> Self {
        Self::with_config(HubConfig::default())
    }

    /// As [`MemoryBackend::isolated`], with other promises or another pace.
    pub fn with_config(config: HubConfig) -> Self {
        Self { places: Arc::default(), config }
    }

    /// Faults to switch on in one cluster and scope.
    pub fn faults(&self, cluster: &ClusterName, scope: &Scope) -> Faults {
        Faults::new(self.place(cluster, scope))
    }

    fn place(&self, cluster: &ClusterName, scope: &Scope) -> Arc<Place> {
        let mut places = lock(&self.places);
        let place = places.entry((cluster.clone(), scope.clone())).or_insert_with(|| {
            Arc::new(Place {
                hub: Mutex::new(Hub::new(self.config.clone())),
                changed: Notify::new(),
                start: Instant::now(),
            })
        });
        Arc::clone(place)
    }
}

impl Place {
    /// Does something to the hub and wakes whoever may see a change.
    pub(super) fn with<T>(&self, wall: WallTime, act: impl FnOnce(&mut Hub, Now) -> T) -> T {
        let done = {
            let mut hub = lock(&self.hub);
            act(&mut hub, Now { mono: self.now(), wall })
        };
        self.changed.notify_waiters();
        done
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_start(self.start.elapsed())
    }

    /// The next event of a session; `None` when it has ended.
    async fn next_event(&self, session: SessionId) -> Option<Event> {
        loop {
            // Registered before the look, so that no change in between is missed.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let wait = {
                let mut hub = lock(&self.hub);
                let now = self.now();
                if let Some(event) = hub.poll_event(now, session) {
                    return Some(event);
                }
                if !hub.is_open(session) {
                    return None;
                }
                // Not other sessions' events: one that nobody reads would keep all awake.
                let due = hub.next_event_at(session).into_iter().chain(hub.next_deadline()).min();
                due.map(|at| at.since(now))
            };
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
impl Membership for MemoryBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        self.config.capabilities()
    }

    async fn join(&self, join: Join) -> Result<Session, MembershipError> {
        let place = self.place(&join.cluster, &join.scope);
        let (session, me) = place.with(join.clock.now().wall, |hub, now| {
            hub.join(now, &join.name, join.boot, join.metadata)
        })?;
        let alive = Arc::new(Alive { place, session });
        let parts = Arc::new(Parts { alive: Arc::clone(&alive), clock: join.clock });
        let claims = self.config.claims.then(|| Arc::clone(&parts) as Arc<dyn Claims>);
        let events = stream::unfold(alive, |alive| async move {
            let event = alive.place.next_event(alive.session).await?;
            Some((event, alive))
        });
        let presence: Arc<dyn Presence> = Arc::clone(&parts) as Arc<dyn Presence>;
        Ok(Session { me, presence, records: parts, claims, events: events.boxed() })
    }
}

/// A session; its end without a leave is a crash that the others notice at once.
#[derive(Debug)]
struct Alive {
    place: Arc<Place>,
    session: SessionId,
}

impl Drop for Alive {
    fn drop(&mut self) {
        // A crash needs no wall time. After a leave or an eviction there is nothing left to end.
        let wall = WallTime::default();
        self.place.with(wall, |hub, now| hub.crash(now, self.session, Crash::Noticed));
    }
}

/// The parts of a session that answer requests.
#[derive(Debug)]
struct Parts {
    alive: Arc<Alive>,
    clock: Arc<dyn Clock>,
}

impl Parts {
    fn ask(&self, request: &MembershipRequest) -> Result<Answer, MembershipError> {
        let Alive { place, session } = &*self.alive;
        let wall = self.clock.now().wall;
        match place.with(wall, |hub, now| hub.request(now, *session, request)) {
            Answer::Failed(error) => Err(error),
            answer @ (Answer::Done | Answer::Put(_) | Answer::Got(_) | Answer::Acquired(_)) => {
                Ok(answer)
            }
        }
    }
}

/// The hub answers each request in its own form.
const fn other_form() -> MembershipError {
    MembershipError::Unsupported { backend: NAME, what: "this request" }
}

#[async_trait]
impl Presence for Parts {
    async fn set_status(&self, status: MemberStatus) -> Result<(), MembershipError> {
        self.ask(&MembershipRequest::SetStatus(status)).map(drop)
    }

    async fn publish(&self, batch: Vec<OwnedUpdate>) -> Result<(), MembershipError> {
        self.ask(&MembershipRequest::Publish(batch)).map(drop)
    }

    async fn owned(
        &self,
        member: &MemberId,
        keys: &[Key],
    ) -> Result<Vec<Option<Bytes>>, MembershipError> {
        let Alive { place, session } = &*self.alive;
        let wall = self.clock.now().wall;
        place.with(wall, |hub, now| hub.owned(now.mono, *session, member, keys))
    }

    fn lease_deadline(&self) -> Option<Timestamp> {
        let Alive { place, session } = &*self.alive;
        let now = self.clock.now();
        // The hub counts from its own start, the supervisor from its.
        place.with(now.wall, |hub, hub_now| {
            let deadline = hub.lease_deadline(hub_now.mono, *session)?;
            let over = hub_now.mono.since(deadline).as_nanos();
            let passed =
                now.mono.as_nanos().saturating_sub(u64::try_from(over).unwrap_or(u64::MAX));
            Some(Timestamp::from_nanos(passed) + deadline.since(hub_now.mono))
        })
    }

    async fn leave(&self) -> Result<(), MembershipError> {
        self.ask(&MembershipRequest::Leave).map(drop)
    }
}

#[async_trait]
impl SharedRecords for Parts {
    async fn put(&self, batch: Vec<Put>) -> Result<Vec<PutOutcome>, MembershipError> {
        match self.ask(&MembershipRequest::Put(batch))? {
            Answer::Put(outcomes) => Ok(outcomes),
            Answer::Done | Answer::Got(_) | Answer::Acquired(_) | Answer::Failed(_) => {
                Err(other_form())
            }
        }
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, MembershipError> {
        match self.ask(&MembershipRequest::Get(keys.to_vec()))? {
            Answer::Got(records) => Ok(records),
            Answer::Done | Answer::Put(_) | Answer::Acquired(_) | Answer::Failed(_) => {
                Err(other_form())
            }
        }
    }
}

#[async_trait]
impl Claims for Parts {
    async fn acquire(&self, keys: &[Key]) -> Result<Vec<ClaimOutcome>, MembershipError> {
        match self.ask(&MembershipRequest::Acquire(keys.to_vec()))? {
            Answer::Acquired(outcomes) => Ok(outcomes),
            Answer::Done | Answer::Put(_) | Answer::Got(_) | Answer::Failed(_) => Err(other_form()),
        }
    }

    async fn release(&self, keys: &[Key]) -> Result<(), MembershipError> {
        self.ask(&MembershipRequest::Release(keys.to_vec())).map(drop)
    }
}

/// What a panic left behind is still whole: the hub changes by steps that do not panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
