//! The async side: waking, ending, sharing.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use tokio::time::{Instant, timeout};

use crate::{
    id::{BootId, ClusterName, MemberName, Scope},
    membership::{
        DownReason, Event, Expect, Join, MemberMetadata, Membership, MembershipError, NameChoice,
        Put, PutOutcome, Session,
    },
    memory::MemoryBackend,
    record::{Key, Record, Stage, Stamp, Version},
    time::{Clock, Now, Timestamp, WallTime},
};

#[derive(Debug)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Now {
        let mono = Timestamp::from_start(self.0.elapsed());
        Now { mono, wall: WallTime::from_millis(1_000) }
    }
}

fn cluster() -> ClusterName {
    ClusterName::new("c").unwrap()
}

fn scope() -> Scope {
    Scope::new("s").unwrap()
}

async fn join(backend: &MemoryBackend, name: &str, boot: u128) -> Result<Session, MembershipError> {
    let name = NameChoice::Exactly(MemberName::new(name).unwrap());
    let clock = Arc::new(TokioClock(Instant::now()));
    let (cluster, scope, boot) = (cluster(), scope(), BootId::from_random(boot));
    let metadata = MemberMetadata::default();
    let within = Duration::from_secs(15);
    backend.join(Join { cluster, scope, name, boot, metadata, within, clock }).await
}

/// The next event that `pick` takes, within a second of the paused clock.
async fn event<T>(session: &mut Session, pick: impl Fn(&Event) -> Option<T>) -> T {
    let found = async {
        loop {
            let event = session.events.next().await.expect("the feed goes on");
            if let Some(found) = pick(&event) {
                return found;
            }
        }
    };
    timeout(Duration::from_secs(60), found).await.expect("the event comes")
}

async fn synced(session: &mut Session) {
    event(session, |event| (*event == Event::Synced).then_some(())).await;
}

fn record(value: &'static str) -> Record {
    let value = bytes::Bytes::from_static(value.as_bytes());
    let version = Version::of(1, BootId::from_random(1), Some(&value));
    Record { stamp: Stamp { version, stage: Stage::Live }, value: Some(value) }
}

#[tokio::test(start_paused = true)]
async fn write_wakes_the_other_members_feed() {
    let backend = MemoryBackend::isolated();
    let a = join(&backend, "a", 1).await.unwrap();
    let mut b = join(&backend, "b", 2).await.unwrap();
    synced(&mut b).await;
    let reader = tokio::spawn(async move {
        event(&mut b, |event| {
            let Event::Shared(records) = event else { return None };
            Some(records.clone())
        })
        .await
    });
    let key = Key::new("spec/x");
    let put = Put { key: key.clone(), record: record("v"), expect: Expect::Newer };
    assert_eq!(a.records.put(vec![put]).await.unwrap(), [PutOutcome::Applied]);
    assert_eq!(reader.await.unwrap(), [(key, record("v"))]);
}

#[tokio::test(start_paused = true)]
async fn dropping_every_part_of_a_session_is_a_crash() {
    let backend = MemoryBackend::isolated();
    let mut a = join(&backend, "a", 1).await.unwrap();
    let b = join(&backend, "b", 2).await.unwrap();
    synced(&mut a).await;
    let (me, presence) = (b.me.clone(), Arc::clone(&b.presence));
    drop(b);
    presence.publish(Vec::new()).await.unwrap();
    drop(presence);
    let down = event(&mut a, |event| {
        let Event::MemberDown(member, reason) = event else { return None };
        Some((member.clone(), *reason))
    });
    assert_eq!(down.await, (me, DownReason::Failed));
}

#[tokio::test(start_paused = true)]
async fn leave_is_told_as_one_and_ends_the_feed() {
    let backend = MemoryBackend::isolated();
    let mut a = join(&backend, "a", 1).await.unwrap();
    let mut b = join(&backend, "b", 2).await.unwrap();
    synced(&mut b).await;
    b.presence.leave().await.unwrap();
    assert_eq!(b.events.next().await, None);
    let reason = event(&mut a, |event| {
        let Event::MemberDown(_, reason) = event else { return None };
        Some(*reason)
    });
    assert_eq!(reason.await, DownReason::Left);
    assert!(join(&backend, "b", 3).await.is_ok(), "the name is free at once");
}

#[tokio::test(start_paused = true)]
async fn silent_cut_is_detected_when_the_clock_comes_to_it() {
    let backend = MemoryBackend::isolated();
    let mut a = join(&backend, "a", 1).await.unwrap();
    let _b = join(&backend, "b", 2).await.unwrap();
    synced(&mut a).await;
    let before = Instant::now();
    let group = [MemberName::new("b").unwrap()].into();
    backend.faults(&cluster(), &scope()).partition(&[group]);
    event(&mut a, |event| matches!(event, Event::MemberDown(..)).then_some(())).await;
    assert!(before.elapsed() >= Duration::from_millis(900));
    backend.faults(&cluster(), &scope()).heal();
    event(&mut a, |event| matches!(event, Event::MemberUp(_)).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn lease_deadline_is_in_the_clock_of_the_join_and_stands_still_without_contact() {
    let backend = MemoryBackend::isolated();
    let _first = join(&backend, "a", 1).await.unwrap();
    tokio::time::advance(Duration::from_secs(5)).await;
    let b = join(&backend, "b", 2).await.unwrap();
    let deadline = Timestamp::from_start(Duration::from_secs(10));
    assert_eq!(b.presence.lease_deadline(), Some(deadline));
    backend.faults(&cluster(), &scope()).set_outage(true);
    for _ in 0..3 {
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(b.presence.lease_deadline(), Some(deadline));
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_keeps_nobody_waiting_and_loses_nothing() {
    let backend = MemoryBackend::isolated();
    let mut slow = join(&backend, "slow", 1).await.unwrap();
    let writer = join(&backend, "writer", 2).await.unwrap();
    let mut quick = join(&backend, "quick", 3).await.unwrap();
    let before = Instant::now();
    for n in 0..1_000 {
        let put = Put { key: Key::new(n.to_string()), record: record("v"), expect: Expect::Newer };
        writer.records.put(vec![put]).await.unwrap();
    }
    let last = |event: &Event| {
        let Event::Shared(records) = event else { return None };
        records.iter().any(|(key, _)| key.as_str() == "999").then_some(())
    };
    event(&mut quick, last).await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    event(&mut slow, last).await;
}

#[tokio::test(start_paused = true)]
async fn evicted_session_says_so_last_and_refuses_requests() {
    let backend = MemoryBackend::isolated();
    let mut a = join(&backend, "a", 1).await.unwrap();
    synced(&mut a).await;
    backend.faults(&cluster(), &scope()).evict(&MemberName::new("a").unwrap());
    event(&mut a, |event| (*event == Event::Evicted).then_some(())).await;
    assert_eq!(a.events.next().await, None);
    let refused = a.presence.publish(Vec::new()).await;
    assert!(matches!(refused, Err(MembershipError::SessionEnded)));
}

#[tokio::test(start_paused = true)]
async fn live_name_is_taken_and_isolated_backends_stay_apart() {
    let backend = MemoryBackend::isolated();
    let _a = join(&backend, "a", 1).await.unwrap();
    let taken = join(&backend, "a", 2).await;
    assert!(matches!(taken, Err(MembershipError::NameTaken { .. })));
    assert!(join(&MemoryBackend::isolated(), "a", 3).await.is_ok());
}
