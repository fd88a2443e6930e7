//! What Pogo 0.3.1 promises by its own tests, held here by name: T1 to T11.
//!
//! The simulator runs T8 under many seeds; here each runs once on real threads and a real clock.

#![expect(clippy::cognitive_complexity, reason = "a scenario reads best from top to bottom")]

mod chaos;

use std::collections::BTreeSet;

use futures_util::future::join_all;
use pogo::{
    ChildContext, ChildId, ChildInfo, ChildSpec, Listing, Restart, Started, Status, Supervisor,
    Terminated,
};
use serde_json::json;

use self::chaos::t08_chaos_ends_with_every_wanted_child_running_once_and_nothing_left_over;
use crate::cluster::{
    Cluster, On, Order, WITHIN, accepted, all_meet, eventually, holder, members_of, of_kind,
    on_every_backend, owned_by, running, seen, started, steadies, steady,
};

on_every_backend! {
    t01_same_spec_asked_on_two_members_runs_once_at_the_same_place,
    t02_either_member_terminates_a_child_of_the_other_and_the_rest_stay,
    t03_killed_child_restarts_where_it_was_and_every_member_lists_the_new_instance,
    t04_joiner_takes_one_of_two_children_and_its_shutdown_gives_it_back,
    t05_child_of_a_member_that_stops_or_dies_runs_on_exactly_one_survivor,
    t06_initial_children_listed_by_three_members_each_run_once_and_spread,
    t07_supervisor_killed_and_started_again_has_its_initial_children_back,
    t08_chaos_ends_with_every_wanted_child_running_once_and_nothing_left_over,
    t09_local_listing_shows_exactly_the_members_own_children,
    t10_global_listing_is_equal_on_both_members_and_each_child_answers_with_its_own_id,
    t11_child_whose_start_always_fails_stops_neither_later_children_nor_its_supervisor,
}

async fn listing(member: &Supervisor, listing: Listing) -> Vec<ChildInfo> {
    member.which_children(listing).await.expect("a listing")
}

fn ids_of(children: &[ChildInfo]) -> BTreeSet<ChildId> {
    children.iter().map(|child| child.id.clone()).collect()
}

async fn t01_same_spec_asked_on_two_members_runs_once_at_the_same_place(on: On) {
    let mut places = BTreeSet::new();
    for _ in 0..5 {
        let cluster = Cluster::on(on, "t01");
        let [a, b] = cluster.members(["a", "b"]).await;
        let spec = steady("gateway");
        let (asked_a, asked_b) =
            tokio::join!(a.start_child(spec.clone()), b.start_child(spec.clone()));
        for asked in [asked_a, asked_b] {
            let asked = asked.expect("both are told that it is there");
            assert!(matches!(asked, Started::Accepted | Started::AlreadyPresent(_)), "{asked:?}");
        }
        cluster.settled(&[&a, &b], std::slice::from_ref(&spec.id)).await;
        assert_eq!(cluster.ledger.all().len(), 1, "no second run, not even for a moment");
        places.insert(holder(&a, &spec.id).await);
    }
    assert_eq!(places.len(), 1, "one place in every run: {places:?}");
}

async fn t02_either_member_terminates_a_child_of_the_other_and_the_rest_stay(on: On) {
    let cluster = Cluster::on(on, "t02");
    let [a, b] = cluster.members(["a", "b"]).await;
    let asked_on_a = owned_by("a", &["a", "b"], 1).remove(0);
    let mut of_b = owned_by("b", &["a", "b"], 2);
    let (runs_on_b, stays) = (of_b.remove(0), of_b.remove(0));
    accepted(&a, [asked_on_a.clone()]).await;
    accepted(&b, [runs_on_b.clone(), stays.clone()]).await;
    let all = [asked_on_a.id.clone(), runs_on_b.id.clone(), stays.id.clone()];
    cluster.settled(&[&a, &b], &all).await;
    assert_eq!(holder(&a, &runs_on_b.id).await.as_str(), "b");
    let stayed = cluster.ledger.only(&stays.id).expect("one run");

    assert_eq!(a.terminate_child(&runs_on_b.id).await.expect("taken"), Terminated::Accepted);
    assert_eq!(b.terminate_child(&asked_on_a.id).await.expect("taken"), Terminated::Accepted);
    for member in [&a, &b] {
        member.wait_gone(&runs_on_b.id, WITHIN).await.expect("gone");
        member.wait_gone(&asked_on_a.id, WITHIN).await.expect("gone");
    }
    cluster.settled(&[&a, &b], std::slice::from_ref(&stays.id)).await;
    let still = cluster.ledger.only(&stays.id).expect("one run");
    assert_eq!(still.began, stayed.began, "the third was not touched");
}

async fn t03_killed_child_restarts_where_it_was_and_every_member_lists_the_new_instance(on: On) {
    let cluster = Cluster::on(on, "t03");
    let [a, b] = cluster.members(["a", "b"]).await;
    let spec = steady("gateway");
    accepted(&a, [spec.clone()]).await;
    for order in [Order::Panic, Order::Fail, Order::Finish] {
        let before = running(&b, &spec.id).await;
        cluster.ledger.order(&spec.id, order);
        for member in [&a, &b] {
            let after = eventually("a new instance is listed", async || {
                let child = running(member, &spec.id).await;
                if child.endpoint == before.endpoint { Err(child) } else { Ok(child) }
            })
            .await;
            assert_eq!(after.member, before.member, "it restarts in place");
            assert_eq!(after.restarts, before.restarts + 1);
            let address = after.endpoint.expect("an address");
            assert_eq!(cluster.ledger.call(&address).expect("it answers").id, spec.id);
        }
    }
    cluster.settled(&[&a, &b], std::slice::from_ref(&spec.id)).await;
    cluster.ledger.assert_no_overlap();
}

async fn t04_joiner_takes_one_of_two_children_and_its_shutdown_gives_it_back(on: On) {
    let cluster = Cluster::on(on, "t04");
    let a = cluster.member("a").await;
    let stays = owned_by("a", &["a", "b"], 1).remove(0);
    let moves = owned_by("b", &["a", "b"], 1).remove(0);
    let ids = [stays.id.clone(), moves.id.clone()];
    accepted(&a, [stays.clone(), moves.clone()]).await;
    cluster.settled(&[&a], &ids).await;

    let b = cluster.member("b").await;
    all_meet(&[a.clone(), b.clone()]).await;
    eventually("one moves", async || {
        let at = holder(&a, &moves.id).await;
        if at.as_str() == "b" { Ok(()) } else { Err(at) }
    })
    .await;
    cluster.settled(&[&a, &b], &ids).await;
    assert_eq!(holder(&b, &stays.id).await.as_str(), "a");

    b.shutdown().await;
    cluster.settled(&[&a], &ids).await;
    for id in &ids {
        assert_eq!(holder(&a, id).await.as_str(), "a");
    }
    let places = |id| -> Vec<_> {
        cluster.ledger.of(id).iter().map(|run| run.member.as_str().to_owned()).collect()
    };
    assert_eq!(places(&stays.id), ["a"], "the one that stays was never touched");
    assert_eq!(places(&moves.id), ["a", "b", "a"]);
    cluster.ledger.assert_no_overlap();
}

async fn t05_child_of_a_member_that_stops_or_dies_runs_on_exactly_one_survivor(on: On) {
    for dies in [false, true] {
        let cluster = Cluster::on(on, "t05");
        let names = ["a", "b", "c"];
        let mut members = Vec::from(cluster.mortals(names).await);
        let spec = steady("gateway");
        accepted(&members[0], [spec.clone()]).await;
        let at = holder(&members[0], &spec.id).await;
        let owner = names.iter().position(|name| *name == at.as_str()).expect("a member");
        let owner = members.remove(owner);
        owner.goes(dies).await;
        let survivors: Vec<&Supervisor> = members.iter().map(|member| &**member).collect();
        cluster.settled(&survivors, std::slice::from_ref(&spec.id)).await;
        assert_ne!(holder(survivors[0], &spec.id).await, at);
        assert_eq!(cluster.ledger.of(&spec.id).len(), 2, "one run there, one run here");
        cluster.ledger.assert_no_overlap();
    }
}

async fn t06_initial_children_listed_by_three_members_each_run_once_and_spread(on: On) {
    let cluster = Cluster::on(on, "t06");
    let names = ["a", "b", "c"];
    // As plain data and as a typed child: both forms of a spec.
    let specs: Vec<ChildSpec> = names
        .iter()
        .enumerate()
        .map(|(n, owner)| {
            let typed = owned_by(owner, &names, 1).remove(0);
            let plain = json!({ "id": typed.id, "kind": "steady", "args": 0 });
            if n == 0 { serde_json::from_value(plain).expect("a spec") } else { typed }
        })
        .collect();
    let ids: Vec<_> = specs.iter().map(|spec| spec.id.clone()).collect();
    let members = join_all(
        names.map(|name| started(cluster.builder(name).min_members(3).children(specs.clone()))),
    )
    .await;
    let members: Vec<&Supervisor> = members.iter().collect();
    cluster.settled(&members, &ids).await;
    let runs = cluster.ledger.all();
    assert_eq!(runs.len(), 3, "each started once: {runs:#?}");
    let places: BTreeSet<_> = runs.iter().map(|run| run.member.as_str()).collect();
    assert_eq!(places, BTreeSet::from(names));
}

async fn t07_supervisor_killed_and_started_again_has_its_initial_children_back(on: On) {
    let cluster = Cluster::on(on, "t07");
    let (specs, ids) = steadies("c", 3);
    for round in 1..=3 {
        let builder = cluster.builder("a").children(specs.clone());
        let a = cluster.mortal_of(builder).await;
        cluster.settled(&[&a], &ids).await;
        for id in &ids {
            assert_eq!(cluster.ledger.of(id).len(), round);
        }
        a.kill().await;
        assert_eq!(cluster.ledger.live(), [], "its children died with it");
    }
}

async fn t09_local_listing_shows_exactly_the_members_own_children(on: On) {
    let cluster = Cluster::on(on, "t09");
    let [a, b] = cluster.members(["a", "b"]).await;
    let (specs, ids) = steadies("c", 20);
    accepted(&a, specs).await;
    cluster.settled(&[&a, &b], &ids).await;
    let live = cluster.ledger.live();
    for (name, member) in [("a", &a), ("b", &b)] {
        let own = listing(member, Listing::Local).await;
        let truth = live.iter().filter(|(_, at)| at.as_str() == name).map(|(id, _)| id.clone());
        assert_eq!(ids_of(&own), truth.collect(), "what {name} runs");
        assert!(own.iter().all(|child| child.member.as_ref().is_some_and(|m| m.as_str() == name)));
        assert!(!own.is_empty(), "{name} has a share");
    }
}

async fn t10_global_listing_is_equal_on_both_members_and_each_child_answers_with_its_own_id(
    on: On,
) {
    let cluster = Cluster::on(on, "t10");
    let [a, b] = cluster.members(["a", "b"]).await;
    let (specs, ids) = steadies("c", 20);
    accepted(&b, specs).await;
    cluster.settled(&[&a, &b], &ids).await;
    let seen = listing(&a, Listing::Global).await;
    assert_eq!(seen, listing(&b, Listing::Global).await);
    assert_eq!(seen.len(), 20);
    assert_eq!(a.count_children().await.expect("a count"), 20);
    for child in seen {
        let address = child.endpoint.expect("an address");
        let run = cluster.ledger.call(&address).expect("it answers");
        assert_eq!((run.id, Some(run.member)), (child.id, child.member));
    }
}

async fn t11_child_whose_start_always_fails_stops_neither_later_children_nor_its_supervisor(
    on: On,
) {
    let cluster = Cluster::on(on, "t11");
    let broken = |(): (), _: ChildContext| async { Err("no start".into()) };
    let builder = cluster.builder("a").kind_fn("broken", broken);
    let a = started(builder).await;
    let me = members_of(&a).await.remove(0).id;

    let temporary = of_kind("broken", "temporary").restart(Restart::Temporary);
    let permanent = of_kind("broken", "permanent");
    accepted(&a, [temporary.clone(), permanent.clone()]).await;
    a.wait_gone(&temporary.id, WITHIN).await.expect("its one start is over");
    eventually("the permanent one shows that it fails", async || {
        let child = seen(&a, &permanent.id).await;
        match child.as_ref().map(|child| &child.status) {
            Some(Status::Backoff { last }) if last == "failed: no start" => Ok(()),
            _ => Err(child),
        }
    })
    .await;

    let healthy = steady("healthy");
    accepted(&a, [healthy.clone()]).await;
    assert_eq!(running(&a, &healthy.id).await.restarts, 0);
    assert_eq!(members_of(&a).await.remove(0).id, me, "the same supervisor");
}
