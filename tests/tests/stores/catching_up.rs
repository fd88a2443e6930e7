//! What members are told that lag behind, or that wait for what they wrote themselves.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, future::join_all};
use pogo_core::{
    membership::{ClaimOutcome, Event, Expect, Membership, PutOutcome},
    record::Key,
};
use pogo_membership_etcd::EtcdMembership;
use tokio::time::timeout;

use crate::{
    etcd::EtcdServer,
    members::{Member, WITHIN, config, joining, process},
    wait::eventually,
};

/// More than etcd sends at a time to a watcher that catches up: 1,000 revisions.
const RECORDS: usize = 3_500;
const BYTES: usize = 1_000;
/// One such response and a part of the next.
const ONE_AND_A_HALF: u64 = 1_500_000;
/// Longer than a member is away.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn member_that_is_cut_off_again_while_it_catches_up_misses_nothing() {
    let server = EtcdServer::start().await;
    let one = Member::join(&process(&[server.endpoint()]), "behind", "one").await;
    let route = server.route().await;
    let store = config(&route.endpoints()).ttl(LONG).expect("a lease time");
    let away = Member::join(&Arc::new(EtcdMembership::new(store)), "behind", "away").await;

    route.cut_off();
    route.break_connections();
    let value = "v".repeat(BYTES);
    let mut puts = (0..RECORDS).map(|at| {
        let mut put = one.record(&format!("spec/{at}"), &value);
        put.expect = Expect::Absent;
        vec![put]
    });
    loop {
        // Each is a transaction of its own.
        let written = join_all(puts.by_ref().take(50).map(|put| one.records.put(put))).await;
        if written.is_empty() {
            break;
        }
        for outcomes in written {
            assert_eq!(outcomes.expect("it is written"), [PutOutcome::Applied]);
        }
    }
    route.break_after(ONE_AND_A_HALF);
    route.reconnect();
    away.sees("that it was cut off twice", |told| told.reasons.len() > 1 && told.is_healthy())
        .await;
    eventually("it is told all that was written", WITHIN, || async {
        let told = away.told().shared.len();
        if told == RECORDS { Ok(()) } else { Err(told) }
    })
    .await;
    assert_eq!(away.told().resets, [false], "one snapshot, at the join");
}

#[tokio::test]
async fn snapshot_ends_after_a_claim_that_was_refused_and_a_write_of_another_application() {
    let server = EtcdServer::start().await;
    let holder = Member::join(&process(&[server.endpoint()]), "synced", "holder").await;
    let key = [Key::new("claim")];
    let claims = holder.claims.as_ref().expect("etcd has claims");
    let held = claims.acquire(&key).await.expect("an answer");
    assert!(matches!(held.as_slice(), [ClaimOutcome::Held { .. }]), "{held:?}");

    let store = process(&[server.endpoint()]);
    let mut session = store.join(joining("synced", "other")).await.expect("it joins");
    server.put("/another/application", "writes").await;
    let claims = session.claims.as_ref().expect("etcd has claims");
    let refused = claims.acquire(&key).await.expect("an answer");
    assert!(matches!(refused.as_slice(), [ClaimOutcome::HeldBy { .. }]), "{refused:?}");
    claims.release(&key).await.expect("an answer");

    let synced = async {
        while let Some(event) = session.events.next().await {
            if matches!(event, Event::Synced) {
                return;
            }
        }
        panic!("the session has ended");
    };
    timeout(WITHIN / 3, synced).await.expect("the snapshot ends");
}
