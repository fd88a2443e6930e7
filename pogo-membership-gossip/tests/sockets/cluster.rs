//! What the seam promises, over sockets.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use pogo_core::{
    membership::{DownReason, Event, Membership, MembershipError, OwnedUpdate},
    record::Key as RecordKey,
};
use pogo_membership_gossip::{GossipConfig, GossipMembership, timing::Timing};
use tokio::{net::TcpListener, time::timeout};

use super::{Member, WITHIN, assert_works, eventually, joining, keyed, loopback, pair, seeded};

fn owned(key: &str, value: &'static [u8]) -> OwnedUpdate {
    OwnedUpdate { key: RecordKey::new(key), value: Some(Bytes::from_static(value)) }
}

#[tokio::test]
async fn three_members_share_records_and_see_what_each_publishes() {
    let (mut one, mut two) = pair(keyed()).await;
    let mut three = Member::join(seeded(keyed(), two.addr()), "member-three").await;
    one.sees_up(&three).await;
    three.sees_up(&one).await;
    two.sees_up(&three).await;

    assert_works(&one, &two).await;
    assert_works(&two, &three).await;

    let update = owned("r/a", b"running");
    three.session.presence.publish(vec![update.clone()]).await.unwrap();
    for member in [&mut one, &mut two] {
        let event = Event::Owned(three.session.me.clone(), vec![update.clone()]);
        member.hears("owned record", |it| *it == event).await;
        let (id, keys) = (three.session.me.clone(), [update.key.clone()]);
        let read = member.session.presence.owned(&id, &keys).await.unwrap();
        assert_eq!(read, std::slice::from_ref(&update.value));
    }
    assert_eq!(one.session.presence.lease_deadline(), None);
}

#[tokio::test]
async fn round_trips_to_all_others_are_told_while_they_are_asked_for() {
    let (one, two) = pair(keyed()).await;
    let presence = &one.session.presence;
    assert_eq!(presence.contacts(), []);
    presence.probe_all(true);
    let other = two.session.me.boot;
    let asked = || presence.contacts().iter().find(|(boot, _)| *boot == other).map(|it| it.1);
    eventually("a round trip", || asked().is_some()).await;
    let first = asked();
    eventually("another one", || asked() > first).await;
    drop(two);
    eventually("that it is gone", || asked().is_none()).await;
}

#[tokio::test]
async fn leaving_is_seen_as_leaving_and_dropping_as_a_crash() {
    let (mut one, two) = pair(keyed()).await;
    two.session.presence.leave().await.unwrap();
    one.sees_down(&two.session, DownReason::Left).await;
    drop(two);

    let three = Member::join(seeded(keyed(), one.addr()), "member-three").await;
    one.sees_up(&three).await;
    let Member { session, .. } = three;
    let me = session.me.clone();
    drop(session);
    let down = Event::MemberDown(me, DownReason::Failed);
    one.hears("a crash", |event| *event == down).await;
}

#[tokio::test]
async fn one_backend_gives_all_its_sessions_one_endpoint() {
    let backend = GossipMembership::isolated(keyed()).unwrap();
    let mut one = Member::join_by(backend.clone(), "one").await.unwrap();
    let two = Member::join_by(backend.clone(), "member-two").await.unwrap();
    assert_eq!(backend.endpoints().len(), 1);
    one.sees_up(&two).await;
    assert_works(&one, &two).await;

    // A part of a session keeps it alive, and the last of all parts closes the sockets.
    let addr = one.addr();
    let records = Arc::clone(&two.session.records);
    drop((one, two));
    assert_eq!(backend.endpoints().len(), 1);
    assert!(TcpListener::bind(addr).await.is_err(), "it listens no more");
    drop(records);
    assert_eq!(backend.endpoints(), []);
    // The same address at once: a transport that begins waits for the one that ends.
    let again = GossipMembership::isolated(GossipConfig::new(addr)).unwrap();
    timeout(WITHIN, async {
        while let Err(error) = Member::join_by(again.clone(), "again").await {
            assert!(matches!(error, MembershipError::Misconfigured { .. }), "{error}");
        }
    })
    .await
    .expect("the port is free again");
}

#[tokio::test]
async fn backend_that_joins_again_gets_its_port_again_at_once() {
    let (one, _two) = pair(keyed()).await;
    let addr = one.addr();
    drop(one);
    let fixed = GossipMembership::isolated(GossipConfig::new(addr).key(super::key(7))).unwrap();
    timeout(WITHIN, async { while Member::join_by(fixed.clone(), "one").await.is_err() {} })
        .await
        .expect("the port is free");
    for _ in 0..5 {
        let member = Member::join_by(fixed.clone(), "one").await.unwrap();
        assert_eq!(member.addr(), addr);
    }
}

#[tokio::test]
async fn one_address_serves_one_cluster_with_one_set_of_settings() {
    let one = Member::join(keyed(), "one").await;
    let fixed = GossipConfig::new(one.addr()).key(super::key(7));
    drop(one);
    let shared = |config: &GossipConfig| GossipMembership::new(config.clone()).unwrap();
    let held = timeout(WITHIN, async {
        loop {
            if let Ok(session) = shared(&fixed).join(joining("pogo", "one")).await {
                return session;
            }
        }
    })
    .await
    .expect("the port is free");

    let other_timing = fixed.clone().timing(Timing::WAN);
    let error = shared(&other_timing).join(joining("pogo", "two")).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("already with other settings") && text.contains("the same URL"),
        "{text}"
    );

    let error = shared(&fixed).join(joining("other", "two")).await.unwrap_err();
    assert!(error.to_string().contains("give cluster \"other\" another port"), "{error}");

    // Another value with the same settings shares the endpoint, and the name is taken there.
    let error = shared(&fixed).join(joining("pogo", "one")).await.unwrap_err();
    assert!(matches!(error, MembershipError::NameTaken { .. }), "{error}");
    assert!(pogo_membership_gossip::endpoints().iter().any(|it| it.traffic.links == 0));
    drop(held);
}

#[tokio::test]
async fn join_that_is_given_up_leaves_nothing_behind() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = seeded(loopback(), silent.local_addr().unwrap());
    let backend = GossipMembership::isolated(config).unwrap();
    assert!(backend.waits_for_others());
    let join = backend.join(joining("pogo", "one"));
    assert!(timeout(Duration::from_millis(300), join).await.is_err(), "it joined nobody");
    eventually("the endpoint ends", || backend.endpoints().is_empty()).await;
}

#[tokio::test]
async fn peer_whose_seeds_do_not_answer_forms_a_cluster_alone_when_its_time_is_over() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = loopback().seeds([silent.local_addr().unwrap().to_string()]).unwrap();
    let backend = GossipMembership::isolated(config).unwrap();
    assert!(!backend.waits_for_others());
    let mut join = joining("pogo", "one");
    join.within = Duration::from_millis(500);
    let session = timeout(WITHIN, backend.join(join)).await.expect("in time").unwrap();
    assert_eq!(session.me.name.as_str(), "one");
}

/// The endpoint leaves with its last session: who joins meanwhile is not to end up on it, alone.
#[tokio::test]
async fn join_as_the_last_session_ends_is_seen_by_the_others() {
    let mut one = Member::join(loopback(), "one").await;
    let backend = GossipMembership::isolated(seeded(loopback(), one.addr())).unwrap();
    for round in 0..20 {
        let two = Member::join_by(backend.clone(), &format!("two-{round}")).await.unwrap();
        two.session.presence.leave().await.unwrap();
        let gone = std::thread::spawn(move || drop(two));
        let three = Member::join_by(backend.clone(), &format!("three-{round}")).await.unwrap();
        gone.join().unwrap();
        one.sees_up(&three).await;
        three.session.presence.leave().await.unwrap();
    }
}
