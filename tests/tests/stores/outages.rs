//! What members are told when the servers of etcd fail under them.

use std::{net::TcpListener, sync::Arc};

use futures_util::future::join_all;
use pogo::{Batch, ChildId, Health, Supervisor};
use pogo_core::{membership::ClaimOutcome, record::Key};

use crate::{
    etcd::{EtcdCluster, EtcdServer},
    members::{
        Member, TTL, WITHIN, all_are_degraded, all_recover, all_work, nobody_is_lost, process,
    },
    society::{Ledger, all_meet, health, member, owned_by, spec, started},
    wait::{eventually, throughout},
};

/// Three members, each with a way of its own to all servers.
async fn three_members(cluster: &EtcdCluster, name: &str) -> [Member; 3] {
    let routes = [cluster.route().await, cluster.route().await, cluster.route().await];
    Member::several(name, routes).await
}

/// Three members over one server.
async fn three_over(server: &EtcdServer, name: &str) -> [Member; 3] {
    let routes = [server.route().await, server.route().await, server.route().await];
    Member::several(name, routes).await
}

/// A claim of its own for each, asked for until it is held.
async fn claims(members: &[Member]) -> Vec<ClaimOutcome> {
    let mut held = Vec::new();
    for member in members {
        let claims = member.claims.as_ref().expect("etcd has claims");
        let key = Key::new(format!("claim/{}", member.me.name));
        let outcome = eventually("a claim is held", WITHIN, || async {
            match claims.acquire(std::slice::from_ref(&key)).await {
                Ok(outcomes) => match outcomes.first() {
                    Some(held @ ClaimOutcome::Held { .. }) => Ok(held.clone()),
                    other => Err(format!("{other:?}")),
                },
                Err(error) => Err(error.to_string()),
            }
        });
        held.push(outcome.await);
    }
    held
}

#[tokio::test]
async fn leader_that_is_killed_takes_no_member_and_no_claim_with_it() {
    let cluster = EtcdCluster::start().await;
    let members = three_members(&cluster, "leader").await;
    let held = claims(&members).await;
    let leader = cluster.leader().await;
    leader.kill().await;
    nobody_is_lost(&members, TTL).await;
    all_recover(&members).await;
    assert_eq!(claims(&members).await, held, "the same tokens");
    leader.start_again().await;
    all_recover(&members).await;
}

/// Longer than any lease: etcd ends them all when it wakes up, and then every member has to join again.
async fn frozen_for_long(servers: &[Arc<EtcdServer>], members: Vec<Member>) {
    for server in servers {
        server.pause().await;
    }
    all_are_degraded(&members).await;
    nobody_is_lost(&members, TTL * 3).await;
    for server in servers {
        server.unpause().await;
    }
    let members = join_all(members.into_iter().map(Member::back)).await;
    for member in &members {
        let count = members.len();
        member.sees("all members again", |told| told.up.len() == count).await;
    }
    all_work(&members).await;
}

#[tokio::test]
async fn long_pause_of_all_servers_degrades_all_members_and_all_come_back() {
    let cluster = EtcdCluster::start().await;
    let members = three_members(&cluster, "pause").await;
    frozen_for_long(cluster.servers(), members.into()).await;
}

#[tokio::test]
async fn long_pause_of_the_only_server_degrades_all_members_and_all_come_back() {
    let server = EtcdServer::start().await;
    let members = three_over(&server, "pause").await;
    frozen_for_long(&[server], members.into()).await;
}

/// Their leases have all run out when the server wakes. Who is back first sees nobody, and waits (R22).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_do_not_move_in_a_mass_after_a_pause_that_ended_all_leases() {
    let server = EtcdServer::start().await;
    let (endpoints, ledger) = ([server.endpoint()], Ledger::default());
    let names = ["ash", "birch", "cedar", "elm", "fir"];
    let members = names.map(|name| started(member(&endpoints, "mass", name, &ledger)));
    let members = join_all(members).await;
    let members: Vec<&Supervisor> = members.iter().collect();
    all_meet(&members).await;
    let ids: [ChildId; 30] = owned_by("any", &["any"]);
    for result in members[0].start_children(ids.iter().map(spec), Batch::EachAlone).await {
        result.expect("it is accepted");
    }
    let settled = || async { ledger.runs_each_once(&ids) };
    eventually("each child runs once", WITHIN, settled).await;
    all_are_healthy(&members).await;
    let before = ledger.runs().len();

    server.pause().await;
    throughout("who cannot reach the store starts nothing", TTL * 2, || {
        let now = ledger.runs();
        if now.len() == before { Ok(()) } else { Err(now) }
    })
    .await;
    server.unpause().await;
    throughout("each child runs on", TTL * 2, || {
        let runs = ledger.runs();
        let runs_on = |id: &ChildId| runs.iter().any(|run| run.id == *id && run.ended.is_none());
        if ids.iter().all(runs_on) { Ok(()) } else { Err(runs) }
    })
    .await;
    all_meet(&members).await;
    all_are_healthy(&members).await;
    eventually("each child runs once again", WITHIN, settled).await;
    let moved = ledger.runs().len() - before;
    println!("{moved} of {} children were started anew", ids.len());
    assert!(moved * 2 < ids.len(), "{moved} were started anew: {:#?}", ledger.runs());
}

async fn all_are_healthy(members: &[&Supervisor]) {
    for member in members {
        eventually("the store serves it", WITHIN, || async {
            let health = health(member).await;
            if health == Health::Healthy { Ok(()) } else { Err(health) }
        })
        .await;
    }
}

#[tokio::test]
async fn pause_that_is_shorter_than_a_lease_takes_nobody() {
    let server = EtcdServer::start().await;
    let members = three_over(&server, "pause").await;
    server.pause().await;
    nobody_is_lost(&members, TTL / 3).await;
    server.unpause().await;
    all_recover(&members).await;
}

#[tokio::test]
async fn loss_of_the_majority_degrades_all_members_and_its_return_heals_them() {
    let cluster = EtcdCluster::start().await;
    let members = three_members(&cluster, "majority").await;
    let [one, two, ..] = cluster.servers() else { panic!("three servers") };
    one.kill().await;
    two.kill().await;
    all_are_degraded(&members).await;
    nobody_is_lost(&members, TTL * 2).await;
    tokio::join!(one.start_again(), two.start_again());
    all_recover(&members).await;
}

#[tokio::test]
async fn restart_of_the_only_server_takes_no_member() {
    let server = EtcdServer::start().await;
    let members = three_over(&server, "restart").await;
    server.kill().await;
    all_are_degraded(&members).await;
    server.start_again().await;
    all_recover(&members).await;
}

#[tokio::test]
async fn dead_endpoint_in_the_list_is_passed_over() {
    let server = EtcdServer::start().await;
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let route = server.route().await;
    let endpoints = [vec![nobody.to_string()], route.endpoints()].concat();
    let store = process(&endpoints);
    let members = [Member::join(&store, "dead", "one").await];
    route.break_connections();
    all_recover(&members).await;
}

#[tokio::test]
async fn silent_endpoint_in_the_list_is_passed_over() {
    let cluster = EtcdCluster::start().await;
    let members = three_members(&cluster, "silent").await;
    // Takes connections, and says nothing.
    let [first, ..] = cluster.servers() else { panic!("three servers") };
    first.pause().await;
    nobody_is_lost(&members, TTL).await;
    all_recover(&members).await;
    let newcomer = process(&cluster.endpoints());
    let newcomer = Member::join(&newcomer, "silent", "newcomer").await;
    members[0].sees("the newcomer", |told| told.up.contains_key(&newcomer.me.name)).await;
}

#[tokio::test]
async fn way_that_falls_silent_is_left_for_the_next_in_the_list_wherever_it_stands() {
    let server = EtcdServer::start().await;
    let route = server.routes(3).await;
    let member = Member::join(&process(&route.endpoints()), "silent", "one").await;
    let members = [member];
    // In this order it is on each of them when that falls silent, or was before, wherever it began.
    for at in [2, 0, 1] {
        route.set_held(at, true);
        nobody_is_lost(&members, TTL * 2).await;
        all_work(&members).await;
        route.set_held(at, false);
    }
}

#[tokio::test]
async fn compaction_under_live_feeds_is_not_noticed() {
    let server = EtcdServer::start().await;
    let members = three_over(&server, "compaction").await;
    for round in 0..10 {
        for member in &members {
            member.writes(&format!("round/{}", member.me.name), &round.to_string()).await;
            member.publishes("round", round.to_string().as_bytes()).await;
        }
        server.compact().await;
    }
    all_recover(&members).await;
    for member in &members {
        assert_eq!(member.told().resets, [false], "one snapshot, at the join: {member:?}");
    }
}

#[tokio::test]
async fn compaction_while_a_member_is_away_gives_it_a_new_snapshot() {
    let server = EtcdServer::start().await;
    let members = three_over(&server, "away").await;
    let [one, _, away] = &members;
    let route = away.route.as_ref().expect("it has one");
    route.cut_off();
    for round in 0..5 {
        one.writes("spec/a", &round.to_string()).await;
    }
    server.compact().await;
    route.break_connections();
    route.reconnect();
    away.sees("a new snapshot", |told| told.resets == [false, false] && told.is_whole()).await;
    let newest = one.record("spec/a", "4").record.value;
    away.sees("the newest record", |told| {
        told.shared.get(&Key::new("spec/a")).is_some_and(|record| record.value == newest)
    })
    .await;
    all_recover(&members).await;
}
