//! Claims in etcd and the instances that rest on them (R25): what operators delete, and children whose
//! exclusivity changes while they run.

use std::num::NonZeroU32;

use pogo::{ChildId, Event, Exclusivity, FencingToken, Status, StopReason, Supervisor};

use crate::{
    etcd::EtcdServer,
    members::WITHIN,
    society::{Ledger, SCOPE, all_meet, listen, member, next, owned_by, shows, spec, started},
    wait::eventually,
};

const NAMES: [&str; 3] = ["ash", "birch", "cedar"];

fn claims(cluster: &str) -> String {
    format!("/pogo/{cluster}/v1/{SCOPE}/c/")
}

/// Waits until the claims in the store are those of these children.
async fn claimed(server: &EtcdServer, cluster: &str, children: &[&ChildId]) {
    let prefix = claims(cluster);
    let mut expected: Vec<_> = children.iter().map(|id| format!("{prefix}{id}")).collect();
    expected.sort();
    eventually("the claims are those of strict children", WITHIN, || async {
        let keys = server.keys(&prefix).await;
        if keys == expected { Ok(()) } else { Err(keys) }
    })
    .await;
}

/// Waits until the child runs with a token above `above`; every member shows the same one.
async fn runs_above(
    members: &[&Supervisor],
    id: &ChildId,
    above: Option<FencingToken>,
) -> Option<FencingToken> {
    let mut token = None;
    for member in members {
        let is_newer = |status: &Status, token: Option<FencingToken>| {
            *status == Status::Running && token > above
        };
        let shown =
            shows(member, id, "it runs with a higher token", |it| is_newer(&it.status, it.token));
        token = shown.await.token;
    }
    token
}

/// Waits until the child runs without a token wherever one looks.
async fn runs_unclaimed(members: &[&Supervisor], id: &ChildId) {
    for member in members {
        let is_so = |status: &Status, token: Option<FencingToken>| {
            *status == Status::Running && token.is_none()
        };
        shows(member, id, "it runs without a token", |it| is_so(&it.status, it.token)).await;
    }
}

async fn stopped_as(events: &mut pogo::Events, child: &ChildId) -> StopReason {
    next(events, "it is told to stop", |event| match event {
        Event::RunStopping { id, reason, .. } if id == child => Some(reason.clone()),
        _ => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_whose_claim_is_deleted_loses_its_ownership_and_runs_again_with_a_higher_token() {
    let server = EtcdServer::start().await;
    let (cluster, ledger) = ("deleted", Ledger::default());
    let [ash, birch] = ["ash", "birch"].map(|name| {
        let builder = member(&[server.endpoint()], cluster, name, &ledger);
        started(builder.exclusivity(Exclusivity::Strict))
    });
    let (ash, birch) = tokio::join!(ash, birch);
    all_meet(&[&ash, &birch]).await;
    let [child] = owned_by("ash", &["ash", "birch"]);
    birch.start_child(spec(&child)).await.expect("it is accepted");
    let mut token = runs_above(&[&ash, &birch], &child, None).await;
    let mut events = listen(&ash).await;
    for _ in 0..3 {
        server.delete(&format!("{}{child}", claims(cluster))).await;
        assert_eq!(stopped_as(&mut events, &child).await, StopReason::OwnershipLost);
        token = runs_above(&[&ash, &birch], &child, token).await;
    }
    ledger.assert_one_after_the_other(&child);
    let runs = ledger.of(&child);
    assert!(runs.windows(2).all(|pair| pair[0].token < pair[1].token), "{runs:#?}");
    let told: Vec<_> = runs.iter().filter_map(|run| run.told.clone()).collect();
    assert!(told.iter().all(|reason| *reason == StopReason::OwnershipLost), "{runs:#?}");
    claimed(&server, cluster, &[&child]).await;
}

/// That it was deleted was compacted away before its holder could hear of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claim_that_is_deleted_while_its_holder_is_away_stops_the_child_when_it_is_back() {
    let server = EtcdServer::start().await;
    let (cluster, ledger) = ("away", Ledger::default());
    let route = server.route().await;
    let builder = member(&route.endpoints(), cluster, "ash", &ledger);
    let ash = started(builder.exclusivity(Exclusivity::Strict)).await;
    let [child] = owned_by("ash", &["ash"]);
    ash.start_child(spec(&child)).await.expect("it is accepted");
    let token = runs_above(&[&ash], &child, None).await;
    let mut events = listen(&ash).await;
    route.cut_off();
    server.delete(&format!("{}{child}", claims(cluster))).await;
    server.compact().await;
    route.break_connections();
    route.reconnect();
    assert_eq!(stopped_as(&mut events, &child).await, StopReason::OwnershipLost);
    let token = runs_above(&[&ash], &child, token).await;
    assert_eq!(ledger.of(&child).last().expect("a run").token, token);
    claimed(&server, cluster, &[&child]).await;
}

/// A cluster in available mode, where each child says for itself how exclusive it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_strict_children_are_claimed_and_a_change_of_mode_stops_before_it_starts() {
    let server = EtcdServer::start().await;
    let (cluster, ledger) = ("modes", Ledger::default());
    let endpoints = [server.endpoint()];
    let [ash, birch, cedar] = NAMES.map(|name| started(member(&endpoints, cluster, name, &ledger)));
    let (ash, birch, cedar) = tokio::join!(ash, birch, cedar);
    let all = [&ash, &birch, &cedar];
    all_meet(&all).await;
    let [strict, changing] = owned_by("ash", &NAMES);
    let [quorum] = owned_by("birch", &NAMES);
    let [available] = owned_by("cedar", &NAMES);
    let size = NonZeroU32::new(2).expect("two");
    for (id, exclusivity) in [
        (&strict, Some(Exclusivity::Strict)),
        (&quorum, Some(Exclusivity::Quorum { size })),
        (&available, None),
        (&changing, None),
    ] {
        let spec = spec(id);
        let spec = exclusivity.into_iter().fold(spec, pogo::ChildSpec::exclusivity);
        birch.start_child(spec).await.expect("it is accepted");
    }
    runs_above(&all, &strict, None).await;
    for unclaimed in [&quorum, &available, &changing] {
        runs_unclaimed(&all, unclaimed).await;
    }
    claimed(&server, cluster, &[&strict]).await;

    // There and back, twice: each token is above the last.
    let mut token = None;
    for _ in 0..2 {
        let spec = || spec(&changing);
        let changed = cedar.replace_child(spec().exclusivity(Exclusivity::Strict)).await;
        changed.expect("it is accepted");
        token = runs_above(&all, &changing, token).await;
        claimed(&server, cluster, &[&strict, &changing]).await;
        cedar.replace_child(spec()).await.expect("it is accepted");
        runs_unclaimed(&all, &changing).await;
        claimed(&server, cluster, &[&strict]).await;
    }
    ledger.assert_one_after_the_other(&changing);
    let runs = ledger.of(&changing);
    let claimed_runs: Vec<_> = runs.iter().map(|run| run.token.is_some()).collect();
    assert_eq!(claimed_runs, [false, true, false, true, false], "{runs:#?}");
    let ends: Vec<_> = runs.iter().filter_map(|run| run.told.clone()).collect();
    assert_eq!(ends, [(); 4].map(|()| StopReason::Replaced));
    for other in [&strict, &quorum, &available] {
        assert_eq!(ledger.of(other).len(), 1, "nothing happened to it");
    }

    // No claim outlives its child.
    ash.terminate_child(&strict).await.expect("an answer");
    claimed(&server, cluster, &[]).await;
}

/// It moves between members and modes at once: whoever held its claim gives it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claim_of_a_child_that_changes_its_mode_while_its_member_leaves_is_given_back() {
    let server = EtcdServer::start().await;
    let (cluster, ledger) = ("leaving", Ledger::default());
    let endpoints = [server.endpoint()];
    let [ash, birch] =
        ["ash", "birch"].map(|name| started(member(&endpoints, cluster, name, &ledger)));
    let (ash, birch) = tokio::join!(ash, birch);
    let all = [&ash, &birch];
    all_meet(&all).await;
    let [child] = owned_by("ash", &["ash", "birch"]);
    let strict = || spec(&child).exclusivity(Exclusivity::Strict);
    birch.start_child(strict()).await.expect("it is accepted");
    runs_above(&all, &child, None).await;
    let (changed, ()) = tokio::join!(birch.replace_child(spec(&child)), ash.shutdown());
    changed.expect("it is accepted");
    runs_unclaimed(&[&birch], &child).await;
    claimed(&server, cluster, &[]).await;
    ledger.assert_one_after_the_other(&child);
}
