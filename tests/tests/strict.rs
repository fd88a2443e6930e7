//! Strict on `memory://`: at most one instance, by a claim whose token grows with every holder.

use std::time::{Duration, Instant};

use pogo::{
    Builder, ChildId, ChildSpec, Event, Exclusivity, FencingToken, Listing, StopReason, Supervisor,
};
use pogo_core::memory::HubConfig;

use crate::cluster::{
    Cluster, Order, accepted, all_meet, eventually, listen, members_of, next, owned_by, running,
    started, steadies,
};

fn strict(cluster: &Cluster, name: &str) -> Builder {
    cluster.builder(name).exclusivity(Exclusivity::Strict)
}

/// No two holders at once, and whoever comes later has the higher token: what a guarded resource
/// needs to tell them apart.
fn assert_fenced(cluster: &Cluster) {
    cluster.ledger.assert_no_overlap();
    for (id, runs) in cluster.ledger.by_child() {
        for run in &runs {
            assert!(run.token.is_some(), "a start of {id} without a token: {run:?}");
        }
        for pair in runs.windows(2) {
            let fits = if pair[0].member == pair[1].member {
                pair[0].token <= pair[1].token
            } else {
                pair[0].token < pair[1].token
            };
            assert!(fits, "tokens of {id} do not grow: {pair:#?}");
        }
    }
}

async fn assert_listed_with_its_token(member: &Supervisor, cluster: &Cluster, ids: &[ChildId]) {
    for id in ids {
        let run = cluster.ledger.only(id).expect("one run");
        assert_eq!(running(member, id).await.token, run.token);
    }
}

fn tokens(cluster: &Cluster, ids: &[ChildId]) -> Vec<FencingToken> {
    ids.iter().map(|id| cluster.ledger.only(id).expect("one run").token.expect("a token")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_start_carries_a_token_and_every_new_holder_a_higher_one() {
    let cluster = Cluster::new("strict");
    let a = cluster.mortal_of(strict(&cluster, "a")).await;
    let (specs, ids) = steadies("c", 30);
    accepted(&a, specs).await;
    cluster.settled(&[&a], &ids).await;
    assert_listed_with_its_token(&a, &cluster, &ids).await;

    // Restarts in place, after a failure and on request.
    for (n, id) in ids.iter().enumerate() {
        if n % 2 == 0 {
            cluster.ledger.order(id, Order::Fail);
        } else {
            assert!(a.restart_child(id).await.expect("taken"));
        }
        eventually("its second run", async || {
            let runs = cluster.ledger.of(id);
            if runs.len() == 2 { Ok(()) } else { Err(runs) }
        })
        .await;
    }
    cluster.settled(&[&a], &ids).await;

    // Moves to those who join.
    let b = cluster.mortal_of(strict(&cluster, "b")).await;
    let c = cluster.mortal_of(strict(&cluster, "c")).await;
    all_meet(&[Supervisor::clone(&a), Supervisor::clone(&b), Supervisor::clone(&c)]).await;
    eventually("everybody has a share", async || {
        let live = cluster.ledger.live();
        let share = |name| live.iter().filter(|(_, at)| at.as_str() == name).count();
        let shares = ["a", "b", "c"].map(share);
        if shares.iter().all(|share| *share > 0) { Ok(()) } else { Err(shares) }
    })
    .await;
    cluster.settled(&[&a, &b, &c], &ids).await;
    assert_listed_with_its_token(&c, &cluster, &ids).await;

    // A crash, a shutdown, and the last one again under the name of the first.
    b.kill().await;
    cluster.settled(&[&a, &c], &ids).await;
    a.shutdown().await;
    cluster.settled(&[&c], &ids).await;
    let before = tokens(&cluster, &ids);
    c.kill().await;
    let again = cluster.mortal_of(strict(&cluster, "c")).await;
    cluster.settled(&[&again], &ids).await;
    let after = tokens(&cluster, &ids);
    assert!(before.iter().zip(&after).all(|(before, after)| before < after), "a new start is new");
    assert_fenced(&cluster);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_children_of_an_evicted_member_stop_before_it_joins_again() {
    // What was claimed stays claimed until the lease is over.
    let config = HubConfig { lease_ttl: Duration::from_secs(2), ..HubConfig::default() };
    let cluster = Cluster::with_config("evicted", config);
    let names = ["a", "b"];
    let strict_ones = owned_by("a", &names, 10);
    let ids: Vec<_> = strict_ones.iter().map(|spec| spec.id.clone()).collect();
    let available = owned_by("a", &names, 11).remove(10).exclusivity(Exclusivity::Available);
    let a = started(cluster.directly(strict(&cluster, "a"))).await;
    let b = started(cluster.directly(strict(&cluster, "b"))).await;
    all_meet(&[a.clone(), b.clone()]).await;
    let all: Vec<ChildSpec> = strict_ones.iter().chain([&available]).cloned().collect();
    let all_ids: Vec<_> = all.iter().map(|spec| spec.id.clone()).collect();
    accepted(&b, all).await;
    cluster.settled(&[&a, &b], &all_ids).await;

    let before = members_of(&a).await.into_iter().find(|it| it.is_me).expect("itself").id;
    let mut events = listen(&b).await;
    cluster.evict("a");
    let back = next(&mut events, |event| match event {
        Event::Member(member) if member.id.name == before.name => {
            (member.id > before).then(|| (member.id, Instant::now()))
        }
        _ => None,
    })
    .await;
    assert_eq!(back.0.boot, before.boot, "the same process");
    for id in &ids {
        let first = cluster.ledger.of(id).remove(0);
        assert_eq!(first.told, Some(StopReason::OwnershipLost), "{id}");
        assert!(first.ended.is_some_and(|ended| ended <= back.1), "it ended before: {first:?}");
    }
    cluster.settled(&[&a, &b], &all_ids).await;
    // What is not strict ran on all the while, and survives whatever was started beside it.
    let run = cluster.ledger.of(&available.id).remove(0);
    assert_eq!((run.ended, run.told), (None, None));
    cluster.ledger.assert_no_overlap_where(|id| ids.contains(id));
    for id in &ids {
        let tokens: Vec<_> = cluster.ledger.of(id).iter().map(|run| run.token).collect();
        assert!(tokens.iter().all(Option::is_some), "{id}: {tokens:?}");
        assert!(tokens.windows(2).all(|pair| pair[0] < pair[1]), "{id}: {tokens:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_strict_child_of_an_available_scope_is_claimed_alone() {
    let cluster = Cluster::new("one-strict");
    let [a, b] = cluster.members(["a", "b"]).await;
    let (mut specs, ids) = steadies("c", 2);
    let strict_one = specs.remove(0).exclusivity(Exclusivity::Strict);
    accepted(&a, [strict_one.clone(), specs.remove(0)]).await;
    cluster.settled(&[&a, &b], &ids).await;
    for member in [&a, &b] {
        let children = member.which_children(Listing::Global).await.expect("a listing");
        for child in children {
            assert_eq!(child.token.is_some(), child.id == strict_one.id, "{child:?}");
        }
    }
    assert_eq!(cluster.ledger.only(&ids[1]).expect("one run").token, None);
}
