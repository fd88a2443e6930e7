//! The seam over the model.

use std::sync::Arc;

use futures_util::StreamExt;
use pogo_core::{
    id::{ClusterName, Scope},
    membership::{DownReason, Join, Membership, Session},
    time::Clock,
};
use tokio::time::{Instant, advance};

use super::*;

#[derive(Debug)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Now {
        Now { mono: Timestamp::from_start(self.0.elapsed()), wall: WallTime::from_millis(1_000) }
    }
}

fn place() -> (ClusterName, Scope) {
    ("c".parse().unwrap(), "s".parse().unwrap())
}

async fn join(store: &StoreMembership, member: &str, boot: u128) -> Session {
    let (cluster, scope) = place();
    let join = Join {
        cluster,
        scope,
        name: NameChoice::Exactly(name(member)),
        boot: BootId::from_random(boot),
        metadata: MemberMetadata::default(),
        within: TTL,
        clock: Arc::new(TokioClock(Instant::now())),
    };
    store.join(join).await.unwrap()
}

fn store() -> StoreMembership {
    let latency = Duration::from_millis(2);
    StoreMembership::new(StoreConfig { lease_ttl: TTL, latency, ..StoreConfig::default() })
}

#[tokio::test(start_paused = true)]
async fn sessions_see_each_other_and_a_dropped_one_is_a_crash() {
    let store = store();
    let mut a = join(&store, "a", 1).await;
    let b = join(&store, "b", 2).await;
    let gone = b.me.clone();
    b.records.put(vec![put("s", 1, Expect::Absent)]).await.unwrap();
    assert_eq!(a.records.get(&[Key::new("s")]).await.unwrap(), [Some(record(1))]);
    drop(b);
    let since = Instant::now();
    let down = Event::MemberDown(gone, DownReason::Failed);
    while a.events.next().await.unwrap() != down {}
    assert!(since.elapsed() <= store.capabilities().detection);
}

#[tokio::test(start_paused = true)]
async fn lease_is_renewed_though_nobody_reads_the_feed_and_ends_when_cut_off() {
    let store = store();
    let (cluster, scope) = place();
    let mut a = join(&store, "a", 1).await;
    let start = Instant::now();
    advance(TTL * 10).await;
    let deadline = a.presence.lease_deadline().unwrap();
    assert!(deadline > Timestamp::from_start(start.elapsed() + TTL / 2));
    store.act(&cluster, &scope, |model, now| model.set_cut_off(now, &name("a"), true));
    advance(TTL * 2).await;
    assert_eq!(a.presence.lease_deadline(), Some(deadline));
    store.act(&cluster, &scope, |model, now| model.set_cut_off(now, &name("a"), false));
    let mut last = None;
    while let Some(event) = a.events.next().await {
        last = Some(event);
    }
    assert_eq!(last, Some(Event::Evicted), "and the feed ends with that");
}

#[tokio::test(start_paused = true)]
async fn claims_pass_from_one_session_to_the_next() {
    let store = store();
    let (a, b) = (join(&store, "a", 1).await, join(&store, "b", 2).await);
    let (first, second) = (a.claims.unwrap(), b.claims.unwrap());
    let key = [Key::new("c")];
    assert!(matches!(first.acquire(&key).await.unwrap()[..], [ClaimOutcome::Held { .. }]));
    assert!(matches!(second.acquire(&key).await.unwrap()[..], [ClaimOutcome::HeldBy { .. }]));
    a.presence.leave().await.unwrap();
    assert!(matches!(second.acquire(&key).await.unwrap()[..], [ClaimOutcome::Held { .. }]));
}
