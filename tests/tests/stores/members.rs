//! Members of a cluster, directly over the seam, and what each of them was told.

use std::{
    collections::BTreeMap,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use futures_util::StreamExt;
use pogo_core::{
    id::{BootId, ClusterName, MemberId, MemberName, Scope},
    membership::{
        Claims, DownReason, Event, Expect, Health, Join, MemberMetadata, MemberStatus, Membership,
        MembershipError, NameChoice, OwnedUpdate, Presence, Put, PutOutcome, Session,
        SharedRecords, ViewDiff,
    },
    record::{Key, Record, Stage, Stamp, Version},
    time::{Clock, Now, Timestamp, WallTime},
};
use pogo_membership_etcd::{EtcdConfig, EtcdMembership};
use tokio::{task::AbortHandle, time::timeout};

use crate::{
    proxy::Route,
    wait::{eventually, throughout},
};

/// The shortest lease that holds on a machine that is busy with other tests.
pub(crate) const TTL: Duration = Duration::from_secs(3);
/// Nothing that works takes this long.
pub(crate) const WITHIN: Duration = Duration::from_secs(15);

/// A store behind these addresses, as every test uses it.
pub(crate) fn config(endpoints: &[String]) -> EtcdConfig {
    let config = EtcdConfig::new(endpoints).expect("endpoints");
    config.ttl(TTL).expect("a lease time").new_store()
}

/// A process over a store behind these addresses.
pub(crate) fn process(endpoints: &[String]) -> Arc<EtcdMembership> {
    Arc::new(EtcdMembership::new(config(endpoints)))
}

/// One stay in the cluster; dropping it is a crash.
pub(crate) struct Member {
    pub(crate) me: MemberId,
    pub(crate) presence: Arc<dyn Presence>,
    pub(crate) records: Arc<dyn SharedRecords>,
    pub(crate) claims: Option<Arc<dyn Claims>>,
    told: Arc<Mutex<Told>>,
    reading: AbortHandle,
    /// Its way to the store, where that is its own.
    pub(crate) route: Option<Route>,
    store: Arc<EtcdMembership>,
    joining: Join,
}

/// What a member was told.
#[derive(Debug, Default, Clone)]
pub(crate) struct Told {
    pub(crate) up: BTreeMap<MemberName, BootId>,
    pub(crate) down: Vec<(MemberName, DownReason)>,
    /// Members that a snapshot no longer named.
    pub(crate) vanished: Vec<BootId>,
    pub(crate) shared: BTreeMap<Key, Record>,
    pub(crate) health: Option<Health>,
    /// Every time that it was degraded, why.
    pub(crate) reasons: Vec<String>,
    /// For each `Reset`, whether the store was rolled back.
    pub(crate) resets: Vec<bool>,
    pub(crate) synced: usize,
    pub(crate) evicted: bool,
    pub(crate) ended: bool,
}

impl Told {
    pub(crate) fn is_healthy(&self) -> bool {
        self.health == Some(Health::Healthy)
    }

    pub(crate) fn is_degraded(&self) -> bool {
        matches!(self.health, Some(Health::Degraded { .. }))
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.synced == self.resets.len() && !self.evicted && !self.ended
    }

    /// Nobody was ever lost.
    pub(crate) fn lost(&self) -> Option<String> {
        let lost = !self.down.is_empty() || !self.vanished.is_empty() || self.evicted || self.ended;
        lost.then(|| {
            format!(
                "down {:?}, vanished {:?}, evicted {}, ended {}",
                self.down, self.vanished, self.evicted, self.ended
            )
        })
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::Reset { rolled_back } => self.resets.push(rolled_back),
            Event::Synced => self.synced += 1,
            Event::MemberUp(member) => {
                self.up.insert(member.id.name.clone(), member.id.boot);
            }
            Event::MemberDown(member, reason) => {
                self.up.retain(|_, boot| *boot != member.boot);
                self.down.push((member.name, reason));
            }
            Event::Shared(records) => self.shared.extend(records),
            Event::Evicted => self.evicted = true,
            Event::Health(health) => {
                if let Health::Degraded { reason } = &health {
                    self.reasons.push(reason.clone());
                }
                self.health = Some(health);
            }
            _ => {}
        }
    }

    fn sweep(&mut self, names: impl Fn(BootId) -> bool) {
        let vanished: Vec<_> = self.up.values().copied().filter(|boot| !names(*boot)).collect();
        self.up.retain(|_, boot| !vanished.contains(boot));
        self.vanished.extend(vanished);
    }
}

impl Member {
    /// Joins over a store, and takes part.
    pub(crate) async fn join(store: &Arc<EtcdMembership>, cluster: &str, name: &str) -> Self {
        Self::join_with(store, joining(cluster, name)).await
    }

    async fn join_with(store: &Arc<EtcdMembership>, joining: Join) -> Self {
        let session = eventually("it joins", WITHIN, || store.join(joining.clone()));
        let member = Self::of(session.await, Arc::clone(store), joining);
        member.sees("the first snapshot", |told| told.synced > 0).await;
        let status = || member.presence.set_status(MemberStatus::Active);
        eventually("it takes part", WITHIN, status).await;
        member
    }

    /// Several over a way of its own each; all see each other.
    pub(crate) async fn several<const N: usize>(cluster: &str, routes: [Route; N]) -> [Self; N] {
        let mut members = Vec::new();
        for (at, route) in routes.into_iter().enumerate() {
            let store = process(&route.endpoints());
            let mut member = Self::join(&store, cluster, &format!("member-{at}")).await;
            member.route = Some(route);
            members.push(member);
        }
        for member in &members {
            member.sees("all members", |told| told.up.len() == N).await;
        }
        members.try_into().unwrap_or_else(|_| panic!("the test has lost count"))
    }

    /// The same process in the cluster again, if its stay has ended.
    pub(crate) async fn back(mut self) -> Self {
        self.sees("that the store is back", |told| told.evicted || told.is_healthy()).await;
        // A lease that has run out ends a moment after the store is back.
        let evicted = self.sees("its end", |told| told.evicted);
        if timeout(TTL, evicted).await.is_err() {
            return self;
        }
        let mut member = Self::join_with(&self.store, self.joining.clone()).await;
        member.route = self.route.take();
        member
    }

    fn of(session: Session, store: Arc<EtcdMembership>, joining: Join) -> Self {
        let Session { me, presence, records, claims, mut events } = session;
        let told = Arc::<Mutex<Told>>::default();
        let noted = Arc::clone(&told);
        let reading = tokio::spawn(async move {
            let mut diff = ViewDiff::default();
            while let Some(event) = events.next().await {
                let gone = diff.observe(&event);
                let mut told = noted.lock().expect("no panic under this lock");
                told.note(event);
                if let Some(gone) = gone {
                    told.sweep(|boot| !gone.member(boot));
                }
            }
            noted.lock().expect("no panic under this lock").ended = true;
        });
        let reading = reading.abort_handle();
        Self { me, presence, records, claims, told, reading, route: None, store, joining }
    }

    pub(crate) fn told(&self) -> Told {
        self.told.lock().expect("no panic under this lock").clone()
    }

    /// Waits until it was told so.
    pub(crate) async fn sees(&self, what: &str, is_so: impl Fn(&Told) -> bool) {
        self.sees_within(WITHIN, what, is_so).await;
    }

    pub(crate) async fn sees_within(
        &self,
        within: Duration,
        what: &str,
        is_so: impl Fn(&Told) -> bool,
    ) {
        let what = format!("{} sees {what}", self.me.name);
        eventually(&what, within, || async {
            let told = self.told();
            if is_so(&told) { Ok(()) } else { Err(told) }
        })
        .await;
    }

    /// Writes a shared record, however often it has to ask.
    pub(crate) async fn writes(&self, key: &str, value: &str) {
        let put = self.record(key, value);
        let what = format!("{} writes {key}", self.me.name);
        eventually(&what, WITHIN, || async {
            match self.records.put(vec![put.clone()]).await {
                Ok(outcomes) if outcomes == [PutOutcome::Applied] => Ok(()),
                other => Err(other),
            }
        })
        .await;
    }

    pub(crate) fn record(&self, key: &str, value: &str) -> Put {
        let wall = TestClock::wall();
        let version = Version::of(wall.as_millis(), self.me.boot, Some(value.as_bytes()));
        let record = Record {
            stamp: Stamp { version, stage: Stage::Live },
            value: Some(value.to_owned().into()),
        };
        Put { key: Key::new(key), record, expect: Expect::Newer }
    }

    /// Publishes an owned record, however often it has to ask.
    pub(crate) async fn publishes(&self, key: &str, value: &[u8]) {
        let update = OwnedUpdate { key: Key::new(key), value: Some(value.to_vec().into()) };
        let publish = || self.presence.publish(vec![update.clone()]);
        eventually(&format!("{} publishes {key}", self.me.name), WITHIN, publish).await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("me", &self.me)
            .field("told", &self.told())
            .finish_non_exhaustive()
    }
}

/// All of them are told that the store is away, and each time why.
pub(crate) async fn all_are_degraded(members: &[Member]) {
    for member in members {
        member.sees("that the store is away", Told::is_degraded).await;
        let reasons = member.told().reasons;
        assert!(reasons.iter().all(|reason| !reason.is_empty()), "{reasons:?}");
    }
}

/// All of them work again, and for a lease time and more nobody is lost.
pub(crate) async fn all_recover(members: &[Member]) {
    for member in members {
        member.sees("that the store is back", |told| !told.is_degraded() && told.is_whole()).await;
    }
    all_work(members).await;
    nobody_is_lost(members, TTL + TTL / 2).await;
}

/// What one writes the others read.
pub(crate) async fn all_work(members: &[Member]) {
    let keys: Vec<_> = members.iter().map(|member| format!("after/{}", member.me.name)).collect();
    for (member, key) in members.iter().zip(&keys) {
        member.writes(key, "it works").await;
    }
    for member in members {
        let knows =
            |told: &Told| keys.iter().all(|key| told.shared.contains_key(&Key::new(key.as_str())));
        member.sees("what the others wrote", knows).await;
    }
}

/// For as long as this, nobody is told that anybody is down.
pub(crate) async fn nobody_is_lost(members: &[Member], lasts: Duration) {
    throughout("nobody is lost", lasts, || {
        for member in members {
            if let Some(lost) = member.told().lost() {
                return Err(format!("{}: {lost}", member.me.name));
            }
        }
        Ok(())
    })
    .await;
}

/// Asks once to join, and returns why that did not work.
pub(crate) async fn refusal(backend: &dyn Membership) -> MembershipError {
    let joined = timeout(WITHIN, backend.join(joining("refused", "intruder"))).await;
    match joined.expect("an answer in time") {
        Err(error) => error,
        Ok(session) => panic!("{session:?} has joined"),
    }
}

pub(crate) fn joining(cluster: &str, name: &str) -> Join {
    Join {
        cluster: ClusterName::new(cluster).expect("a name"),
        scope: Scope::new("test").expect("a name"),
        name: NameChoice::Exactly(MemberName::new(name).expect("a name")),
        // The standard library's hashers are the randomness at hand.
        boot: BootId::from_random(u128::from(RandomState::new().hash_one(name))),
        metadata: MemberMetadata::default(),
        within: WITHIN / 2,
        clock: Arc::new(TestClock(Instant::now())),
    }
}

#[derive(Debug)]
struct TestClock(Instant);

impl TestClock {
    fn wall() -> WallTime {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        WallTime::from_millis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Now {
        Now { mono: Timestamp::from_start(self.0.elapsed()), wall: Self::wall() }
    }
}
