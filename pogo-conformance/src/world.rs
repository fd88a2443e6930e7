//! One case's cluster, and how long things may take in it.

use std::{
    collections::{BTreeSet, hash_map::RandomState},
    fmt,
    hash::{BuildHasher, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use pogo_core::{
    id::{BootId, ClusterName, MemberName, Scope},
    membership::{
        Capabilities, Join, MemberMetadata, MemberStatus, MembershipError, NameChoice, Session,
    },
    record::{Record, Stage, Stamp, Version},
    time::{Clock, Now, Timestamp, WallTime},
};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    failure::{Failure, Outcome, ensure},
    harness::{Cluster, Harness, Means, Process},
    member::Member,
    truth::{Fate, Truth},
};

/// The cluster of a case.
pub(crate) struct World {
    pub(crate) cluster: Box<dyn Cluster>,
    pub(crate) name: ClusterName,
    pub(crate) scope: Scope,
    pub(crate) promises: Capabilities,
    pub(crate) means: BTreeSet<Means>,
    pub(crate) truth: Arc<Truth>,
    /// By how much a busy machine may overstep a promise.
    pub(crate) slack: Duration,
    pub(crate) crowd: usize,
    /// Waiting costs nothing.
    pub(crate) is_paused: bool,
    clock: Arc<TestClock>,
    last_hlc: AtomicU64,
}

impl World {
    pub(crate) async fn new(harness: &dyn Harness, is_paused: bool) -> Outcome<Self> {
        let name = ClusterName::new(format!("conformance-{:016x}", random()))?;
        let scope = Scope::new("conformance")?;
        let cluster = harness.cluster(&name, &scope).await?;
        Ok(Self {
            promises: cluster.promises(),
            cluster,
            name,
            scope,
            means: harness.means(),
            truth: Arc::default(),
            slack: harness.slack(),
            crowd: harness.crowd(),
            is_paused,
            clock: Arc::new(TestClock::start_now()),
            last_hlc: AtomicU64::new(0),
        })
    }

    /// A world like this one over another cluster.
    pub(crate) fn with_cluster(&self, cluster: Box<dyn Cluster>) -> Self {
        Self {
            cluster,
            name: self.name.clone(),
            scope: self.scope.clone(),
            promises: self.promises.clone(),
            means: self.means.clone(),
            truth: Arc::clone(&self.truth),
            slack: self.slack,
            crowd: self.crowd,
            is_paused: self.is_paused,
            clock: Arc::clone(&self.clock),
            last_hlc: AtomicU64::new(0),
        }
    }

    /// How long the backend may take to notice a death.
    pub(crate) const fn detection(&self) -> Duration {
        self.promises.detection
    }

    /// The time from a member's last contact to when its claims are free.
    pub(crate) fn lease(&self) -> Duration {
        self.promises.lease_ttl.unwrap_or_default()
    }

    /// Nothing takes this long unless something is broken.
    pub(crate) fn patience(&self) -> Duration {
        let promised = self.promises.detection.max(self.lease()) + self.promises.view_settle;
        promised * 4 + self.slack * 10 + Duration::from_secs(10)
    }

    /// The clock in which all members give their deadlines.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now().mono
    }

    pub(crate) fn joining(&self, name: &str, boot: BootId) -> Outcome<Join> {
        Ok(Join {
            cluster: self.name.clone(),
            scope: self.scope.clone(),
            name: NameChoice::Exactly(member_name(name)?),
            boot,
            metadata: MemberMetadata::default(),
            within: self.patience() / 2,
            clock: Arc::<TestClock>::clone(&self.clock),
        })
    }

    /// Joins under a new boot id, is told the first snapshot, and takes part.
    pub(crate) async fn join(&self, name: &str) -> Outcome<Member> {
        self.join_with(self.joining(name, new_boot())?).await
    }

    pub(crate) async fn join_with(&self, join: Join) -> Outcome<Member> {
        let member = self.enter(join).await?;
        member.set_status(MemberStatus::Active).await?;
        Ok(member)
    }

    /// Joins, also where the backend has to be asked again, and is told the first snapshot.
    pub(crate) async fn enter(&self, join: Join) -> Outcome<Member> {
        let session = self
            .eventually("a join that is not refused for good", async || {
                match self.session(join.clone()).await? {
                    Err(error) if error.is_retryable() => Ok(None),
                    joined => Ok(Some(joined?)),
                }
            })
            .await?;
        let member = Member::new(self, session);
        member.sees("its first snapshot", |model| model.snapshots > 0).await?;
        Ok(member)
    }

    /// Joins, and leaves the feed unread. The inner error is the backend's refusal.
    pub(crate) async fn session(&self, join: Join) -> Outcome<Result<Session, MembershipError>> {
        let (NameChoice::Exactly(name) | NameChoice::Suffixed(name)) = &join.name;
        let name = name.clone();
        let process =
            Process { cluster: join.cluster.clone(), member: name.clone(), boot: join.boot };
        let backend = self.cluster.backend(&process).await?;
        let promises = backend.capabilities();
        ensure!(promises == self.promises, "{name} is promised {promises:?}, {:?}", self.promises);
        let asked = join.clone();
        let joined = timeout(self.patience(), backend.join(join)).await;
        let joined = joined.map_err(|_late| Failure::new(format!("{name} never joined")))?;
        if let Ok(session) = &joined {
            let me = &session.me;
            ensure!(me.boot == asked.boot, "{me:?} joined with {:?}", asked.boot);
            let claims = promises.claims > pogo_core::membership::Guarantee::None;
            ensure!(
                session.claims.is_some() == claims,
                "claims are promised ({}) and the session has them ({}): that must agree",
                promises.claims,
                session.claims.is_some()
            );
            let deadline = session.presence.lease_deadline();
            ensure!(
                deadline.is_some() == promises.lease_ttl.is_some(),
                "a lease is promised ({:?}) and the session has {deadline:?}: that must agree",
                promises.lease_ttl
            );
        }
        Ok(joined)
    }

    /// Members that see each other.
    pub(crate) async fn members<const N: usize>(&self, names: [&str; N]) -> Outcome<[Member; N]> {
        let mut members = Vec::new();
        for name in names {
            members.push(self.join(name).await?);
        }
        for one in &members {
            for other in &members {
                one.sees_up(other).await?;
            }
        }
        members.try_into().map_err(|_members| Failure::new("the suite lost count of its members"))
    }

    /// Cuts a member off for so long that others may hold it to be dead.
    pub(crate) async fn cut_off(&self, member: &Member) -> Outcome {
        self.truth.set_fate(&member.me, Fate::Harmed);
        Ok(self.cluster.cut_off(&member.me.name).await?)
    }

    pub(crate) async fn reconnect(&self, member: &Member) -> Outcome {
        Ok(self.cluster.reconnect(&member.me.name).await?)
    }

    /// A record that is newer than all that this world made before.
    pub(crate) fn record(&self, author: &Member, value: &[u8]) -> Record {
        record_at(self.next_hlc(), author.me.boot, Some(value))
    }

    pub(crate) fn tombstone(&self, author: &Member) -> Record {
        record_at(self.next_hlc(), author.me.boot, None)
    }

    pub(crate) fn next_hlc(&self) -> u64 {
        let wall = self.clock.now().wall.as_millis();
        let next = |last: u64| Some(wall.max(last + 1));
        let last = self.last_hlc.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        wall.max(last.unwrap_or_default() + 1)
    }

    /// Lets time pass in which `holds` must stay true.
    pub(crate) async fn all_the_while(
        &self,
        window: Duration,
        what: &str,
        mut holds: impl FnMut() -> bool,
    ) -> Outcome {
        let began = Instant::now();
        loop {
            ensure!(holds(), "after {:?} no longer: {what}", began.elapsed());
            if began.elapsed() >= window {
                return self.no_breach();
            }
            sleep(window / 50).await;
        }
    }

    /// Asks again and again until the answer is there.
    pub(crate) async fn eventually<T>(
        &self,
        what: &str,
        mut ask: impl AsyncFnMut() -> Outcome<Option<T>>,
    ) -> Outcome<T> {
        let began = Instant::now();
        loop {
            if let Some(found) = ask().await? {
                return Ok(found);
            }
            ensure!(began.elapsed() < self.patience(), "never: {what}");
            sleep(self.detection() / 50).await;
        }
    }

    /// Whether all feeds kept the laws so far.
    pub(crate) fn no_breach(&self) -> Outcome {
        self.truth.first_breach().map_or(Ok(()), |breach| Err(Failure::new(breach)))
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The tokio clock, so that time which is paused is paused for deadlines too.
#[derive(Debug)]
struct TestClock {
    start: Instant,
    wall: u64,
}

impl TestClock {
    fn start_now() -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), wall: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX) }
    }
}

impl Clock for TestClock {
    fn now(&self) -> Now {
        let passed = self.start.elapsed();
        let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        Now {
            mono: Timestamp::from_start(passed),
            wall: WallTime::from_millis(self.wall.saturating_add(millis)),
        }
    }
}

/// A record of this place in the order.
pub(crate) fn record_at(hlc: u64, author: BootId, value: Option<&[u8]>) -> Record {
    let version = Version::of(hlc, author, value);
    let value = value.map(|value| value.to_vec().into());
    Record { stamp: Stamp { version, stage: Stage::Live }, value }
}

pub(crate) fn member_name(name: &str) -> Outcome<MemberName> {
    Ok(MemberName::new(name)?)
}

/// A process start.
pub(crate) fn new_boot() -> BootId {
    BootId::from_random(u128::from(random()) << 64 | u128::from(random()))
}

/// The standard library's hashers are the randomness at hand.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
