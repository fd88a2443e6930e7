//! Whole backends over loopback sockets: several members in one process, an endpoint each.

mod bad_input;
mod cluster;
mod conformance;
mod proxy;
mod relay;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, StreamExt};
use pogo_core::{
    id::{BootId, ClusterName, MemberName, Scope},
    membership::{
        DownReason, Event, Expect, Join, MemberMetadata, MemberStatus, Membership, MembershipError,
        NameChoice, Put, PutOutcome, Session,
    },
    record::{Key as RecordKey, Record, Stage, Stamp, Version},
    runtime::SystemClock,
    time::Clock,
};
use pogo_membership_gossip::{GossipConfig, GossipMembership, Traffic, engine::Form, key::Key};
use tokio::time::{Instant, timeout};

/// No condition here takes that long unless something is broken.
const WITHIN: Duration = Duration::from_secs(20);

/// A member with an endpoint of its own.
struct Member {
    backend: GossipMembership,
    session: Session,
    seen: Vec<Event>,
}

fn loopback() -> GossipConfig {
    GossipConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)))
}

fn key(byte: u8) -> Key {
    Key::from_text(&format!("{byte:02x}").repeat(Key::BYTES)).unwrap()
}

fn keyed() -> GossipConfig {
    loopback().key(key(7))
}

/// Settings with this seed, which do not form a cluster alone.
fn seeded(config: GossipConfig, seed: SocketAddr) -> GossipConfig {
    config.seeds([seed.to_string()]).unwrap().form(Form::Never)
}

/// Process starts so far.
static BOOTS: AtomicU64 = AtomicU64::new(1);

/// Records written so far.
static WRITES: AtomicU64 = AtomicU64::new(1);

fn joining(cluster: &str, name: &str) -> Join {
    Join {
        cluster: ClusterName::new(cluster).unwrap(),
        scope: Scope::new("tests").unwrap(),
        name: NameChoice::Exactly(MemberName::new(name).unwrap()),
        boot: BootId::from_random(u128::from(BOOTS.fetch_add(1, Ordering::Relaxed)) << 96),
        metadata: MemberMetadata::default(),
        within: WITHIN,
        clock: Arc::new(SystemClock::start_now()),
    }
}

impl Member {
    async fn try_join(config: GossipConfig, name: &str) -> Result<Self, MembershipError> {
        let backend = GossipMembership::isolated(config).unwrap();
        Self::join_by(backend, name).await
    }

    async fn join_by(backend: GossipMembership, name: &str) -> Result<Self, MembershipError> {
        let join = timeout(WITHIN, backend.join(joining("pogo", name))).await;
        let session = join.expect("an answer in time")?;
        session.presence.set_status(MemberStatus::Active).await?;
        Ok(Self { backend, session, seen: Vec::new() })
    }

    async fn join(config: GossipConfig, name: &str) -> Self {
        Self::try_join(config, name).await.unwrap()
    }

    fn addr(&self) -> SocketAddr {
        self.backend.endpoints()[0].addr
    }

    fn traffic(&self) -> Traffic {
        self.backend.endpoints()[0].traffic.clone()
    }

    /// Waits for an event, past ones included.
    async fn hears(&mut self, what: &str, wanted: impl Fn(&Event) -> bool) {
        let began = Instant::now();
        while !self.seen.iter().any(&wanted) {
            let left = WITHIN.saturating_sub(began.elapsed());
            match timeout(left, self.session.events.next()).await {
                Ok(Some(event)) => self.seen.push(event),
                Ok(None) => panic!("the feed ended before {what}: {:?}", self.seen),
                Err(late) => panic!("no {what} in {:?}: {late}", self.seen),
            }
        }
    }

    /// Hears what there is.
    fn catches_up(&mut self) {
        while let Some(Some(event)) = self.session.events.next().now_or_never() {
            self.seen.push(event);
        }
    }

    /// Forgets what it has heard so far.
    fn forgets(&mut self) {
        self.catches_up();
        self.seen.clear();
    }

    async fn sees_up(&mut self, other: &Self) {
        let id = other.session.me.clone();
        let is_up = |event: &Event| matches!(event, Event::MemberUp(info) if info.id == id);
        self.hears("member up", is_up).await;
    }

    async fn sees_down(&mut self, other: &Session, reason: DownReason) {
        let id = other.me.clone();
        let down = Event::MemberDown(id, reason);
        self.hears("member down", |event| *event == down).await;
    }

    async fn puts(&self, key: &str, value: &[u8]) {
        let put = Put { key: RecordKey::new(key), record: record(value), expect: Expect::Newer };
        let outcomes = timeout(WITHIN, self.session.records.put(vec![put])).await;
        assert_eq!(outcomes.expect("an answer in time").unwrap(), [PutOutcome::Applied]);
    }

    async fn reads(&self, key: &str) -> Option<Vec<u8>> {
        let keys = [RecordKey::new(key)];
        let got = timeout(WITHIN, self.session.records.get(&keys)).await;
        let got = got.expect("an answer in time").unwrap().pop().unwrap();
        Some(got?.value?.to_vec())
    }
}

/// A record that is newer than all before.
fn record(value: &[u8]) -> Record {
    let version = Version::of(
        wall() + WRITES.fetch_add(1, Ordering::Relaxed),
        BootId::from_random(1),
        Some(value),
    );
    Record { stamp: Stamp { version, stage: Stage::Live }, value: Some(value.to_vec().into()) }
}

fn wall() -> u64 {
    SystemClock::start_now().now().wall.as_millis()
}

/// What is put at either is read at the other.
async fn assert_works(one: &Member, other: &Member) {
    for (number, (from, to)) in [(one, other), (other, one)].into_iter().enumerate() {
        let value = format!("{number} from {:?}", from.session.me.name);
        let key = format!("spec/{number}");
        from.puts(&key, value.as_bytes()).await;
        assert_eq!(to.reads(&key).await.as_deref(), Some(value.as_bytes()));
    }
}

/// Two members that see each other.
async fn pair(config: GossipConfig) -> (Member, Member) {
    let mut one = Member::join(config.clone(), "one").await;
    let mut two = Member::join(seeded(config, one.addr()), "member-two").await;
    one.sees_up(&two).await;
    two.sees_up(&one).await;
    (one, two)
}

/// Waits until something holds.
async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < WITHIN, "never: {what}");
        tokio::task::yield_now().await;
    }
}
