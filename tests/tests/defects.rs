//! What running Pogo 0.3.1 showed to be broken there, and must not be here: D1 to D8.

#![expect(clippy::cognitive_complexity, reason = "a scenario reads best from top to bottom")]

use std::time::{Duration, Instant};

use pogo::{
    ChildContext, ChildId, ChildInfo, ChildSpec, DrainOutcome, Event, EventItem, ExitReason,
    Restart, StartChildError, Started, Status, Supervisor, Terminated,
};
use tokio::time::timeout;

use crate::cluster::{
    Cluster, On, Order, WITHIN, accepted, all_meet, eventually, holder, listen, members_of, next,
    of_kind, on_every_backend, owned_by, owner_among, running, seen, started, steadies, steady,
    steady_with,
};

on_every_backend! {
    d1_terminate_then_start_of_one_id_ends_running,
    d2_same_id_with_other_args_is_a_conflict_and_never_runs_with_them,
    d3_normal_end_of_a_transient_child_is_final,
    d4_temporary_child_that_ended_starts_nowhere_else_when_its_member_goes,
    d5_child_that_crashes_in_a_loop_harms_no_sibling,
    d6_failing_start_backs_off_and_ends_in_quarantine_that_every_member_shows,
    d7_planned_moves_never_overlap,
    d8_drain_hands_every_child_over_and_loses_none,
    d8_children_of_a_member_that_shuts_down_run_elsewhere_at_once,
    d8_joins_in_quick_succession_leave_no_child_waiting,
}

async fn d1_terminate_then_start_of_one_id_ends_running(on: On) {
    let cluster = Cluster::on(on, "d1");
    let members = cluster.members(["a", "b"]).await;
    let spec = steady("gateway");
    accepted(&members[0], [spec.clone()]).await;
    running(&members[0], &spec.id).await;
    for round in 0..20 {
        let member = &members[round % 2];
        // Neither waits for the other: they take effect in the order in which they were asked for.
        let (ended, begun) =
            tokio::join!(member.terminate_child(&spec.id), member.start_child(spec.clone()));
        assert_eq!(ended.expect("taken"), Terminated::Accepted, "round {round}");
        assert_eq!(begun.expect("taken"), Started::Accepted, "round {round}");
    }
    let [a, b] = &members;
    cluster.settled(&[a, b], std::slice::from_ref(&spec.id)).await;
    cluster.ledger.assert_no_overlap();
}

async fn d2_same_id_with_other_args_is_a_conflict_and_never_runs_with_them(on: On) {
    let cluster = Cluster::on(on, "d2");
    let names = ["a", "b", "c"];
    let mut members = Vec::from(cluster.mortals(names).await);
    let spec = steady_with("x", 1);
    accepted(&members[0], [spec.clone()]).await;
    for member in &members {
        running(member, &spec.id).await;
    }
    for member in &members {
        let before = seen(member, &spec.id).await;
        let refused = member.start_child(steady_with("x", 2)).await;
        let Err(StartChildError::Conflict { id, present }) = refused else {
            panic!("not a conflict: {refused:?}");
        };
        assert_eq!((id, Some(*present)), (spec.id.clone(), before.clone()));
        assert_eq!(seen(member, &spec.id).await, before, "nothing was changed");
    }
    // Whoever takes over starts what was accepted.
    while members.len() > 1 {
        let at = holder(&members[0], &spec.id).await;
        let mut owner = None;
        for (n, member) in members.iter().enumerate() {
            if members_of(member).await.iter().any(|it| it.is_me && it.id.name == at) {
                owner = Some(n);
            }
        }
        members.remove(owner.expect("the holder lives")).kill().await;
        let survivors: Vec<&Supervisor> = members.iter().map(|member| &**member).collect();
        cluster.settled(&survivors, std::slice::from_ref(&spec.id)).await;
    }
    let args: Vec<_> = cluster.ledger.of(&spec.id).iter().map(|run| run.args).collect();
    assert_eq!(args, [1, 1, 1]);
}

/// Ends the one run of a child and checks that no member ever starts it again, the holder's death
/// included.
async fn end_is_final(on: On, test: &str, restart: Restart, order: Order, dies: bool) {
    let cluster = Cluster::on(on, test);
    let names = ["a", "b"];
    // Full passes come often, as every tick was what started it again.
    let builder = |name| cluster.builder(name).sync_interval(Duration::from_millis(50));
    let a = cluster.mortal_of(builder("a")).await;
    let b = cluster.mortal_of(builder("b")).await;
    all_meet(&[Supervisor::clone(&a), Supervisor::clone(&b)]).await;
    let own = owned_by("a", &names, 2);
    let (ends, sibling) = (own[0].clone().restart(restart), own[1].clone());
    accepted(&b, [ends.clone(), sibling.clone()]).await;
    cluster.settled(&[&a, &b], &[ends.id.clone(), sibling.id.clone()]).await;
    let mut events = listen(&a).await;
    cluster.ledger.order(&ends.id, order);

    let completed = next(&mut events, |event| match event {
        Event::RunExited { id, completed, .. } if id == ends.id => Some(completed),
        _ => None,
    })
    .await;
    assert!(completed, "told as an end for good");
    for member in [&a, &b] {
        member.wait_gone(&ends.id, WITHIN).await.expect("listed no more");
    }
    a.goes(dies).await;
    stays_ended(&cluster, &b, ends, &sibling.id).await;
}

async fn stays_ended(
    cluster: &Cluster,
    survivor: &Supervisor,
    ended: ChildSpec,
    sibling: &ChildId,
) {
    // The sibling shows that the survivor has taken over what there was to take over.
    let all = std::slice::from_ref(sibling);
    cluster.settled(&[survivor], all).await;
    cluster.member("c").await.shutdown().await;
    cluster.settled(&[survivor], all).await;
    assert_eq!(cluster.ledger.of(&ended.id).len(), 1, "one run, for ever");
    assert_eq!(seen(survivor, &ended.id).await, None);

    // Final is not forbidden: asking anew starts it anew.
    accepted(survivor, [ended.clone()]).await;
    running(survivor, &ended.id).await;
    assert_eq!(cluster.ledger.of(&ended.id).len(), 2);
}

async fn d3_normal_end_of_a_transient_child_is_final(on: On) {
    end_is_final(on, "d3-shutdown", Restart::Transient, Order::Finish, false).await;
    end_is_final(on, "d3-crash", Restart::Transient, Order::Finish, true).await;
}

async fn d4_temporary_child_that_ended_starts_nowhere_else_when_its_member_goes(on: On) {
    end_is_final(on, "d4-shutdown", Restart::Temporary, Order::Finish, false).await;
    end_is_final(on, "d4-crash", Restart::Temporary, Order::Finish, true).await;
    end_is_final(on, "d4-panic", Restart::Temporary, Order::Panic, true).await;
}

async fn d5_child_that_crashes_in_a_loop_harms_no_sibling(on: On) {
    let cluster = Cluster::on(on, "d5");
    let builder = cluster
        .builder("a")
        .kind_fn("crasher", |(): (), _cx: ChildContext| async move { panic!("again") });
    let a = started(builder).await;
    let me = members_of(&a).await.remove(0).id;
    let (specs, ids) = steadies("c", 10);
    accepted(&a, specs).await;
    cluster.settled(&[&a], &ids).await;

    // More crashes within seconds than ended the whole supervisor there, by several at once.
    let crashers: Vec<_> = (0..3).map(|n| of_kind("crasher", &format!("crasher/{n}"))).collect();
    accepted(&a, crashers.clone()).await;
    for crasher in &crashers {
        eventually("it has crashed five times", async || {
            let child = seen(&a, &crasher.id).await;
            if child.as_ref().is_some_and(|it| it.restarts >= 5) { Ok(()) } else { Err(child) }
        })
        .await;
    }
    for id in &ids {
        let child = running(&a, id).await;
        assert_eq!(child.restarts, 0);
        assert_eq!(cluster.ledger.of(id).len(), 1, "never touched");
    }
    assert_eq!(members_of(&a).await.remove(0).id, me, "the same supervisor");
    let another = steady("another");
    accepted(&a, [another.clone()]).await;
    running(&a, &another.id).await;
}

async fn d6_failing_start_backs_off_and_ends_in_quarantine_that_every_member_shows(on: On) {
    let cluster = Cluster::on(on, "d6");
    let builder = |name| {
        let ledger = cluster.ledger.clone();
        let kind = move |(): (), cx: ChildContext| {
            let span = ledger.open(&cx, 0);
            async move {
                drop(span);
                Err("no route to host".into())
            }
        };
        cluster.builder(name).kind_fn("broken", kind).restart_intensity(3, Duration::from_secs(60))
    };
    let (a, b) = tokio::join!(started(builder("a")), started(builder("b")));
    all_meet(&[a.clone(), b.clone()]).await;
    let mut events = [listen(&a).await, listen(&b).await];
    let broken = of_kind("broken", "broken");
    accepted(&a, [broken.clone()]).await;

    let why = "failed: no route to host";
    for events in &mut events {
        let mut backoffs = 0;
        let last = next(events, |event| match event {
            Event::Child(ChildInfo { id, status, .. }) if id == broken.id => match status {
                Status::Backoff { last } => {
                    assert_eq!(last, why);
                    backoffs += 1;
                    None
                }
                Status::Quarantined { last } => Some(last),
                _ => None,
            },
            _ => None,
        })
        .await;
        assert_eq!(last, why);
        assert!(backoffs > 0, "its delays were to be seen");
    }
    let runs = cluster.ledger.of(&broken.id);
    assert_eq!(runs.len(), 4, "the first start and three restarts: {runs:#?}");
    let delays: Vec<_> = runs.windows(2).map(|it| it[1].began - it[0].began).collect();
    for (delay, least) in delays.iter().zip([50, 100, 200]) {
        assert!(*delay >= Duration::from_millis(least), "delays that double: {delays:?}");
    }
    for member in [&a, &b] {
        let child = seen(member, &broken.id).await.expect("it is listed");
        assert_eq!(child.status, Status::Quarantined { last: why.to_owned() });
        let explained = member.explain(&broken.id).await.expect("an answer").expect("listed");
        assert_eq!(explained.child, child);
    }

    // An operator ends the quarantine; nothing but the operator does within this test.
    assert!(b.restart_child(&broken.id).await.expect("taken"));
    eventually("it is tried at once", async || {
        let runs = cluster.ledger.of(&broken.id);
        if runs.len() > 4 { Ok(()) } else { Err(runs) }
    })
    .await;
}

async fn d7_planned_moves_never_overlap(on: On) {
    let cluster = Cluster::on(on, "d7");
    let [a, b] = cluster.members(["a", "b"]).await;
    let (specs, ids) = steadies("c", 96);
    accepted(&a, specs).await;
    cluster.settled(&[&a, &b], &ids).await;
    assert_eq!(cluster.ledger.all().len(), 96);

    let c = cluster.member("c").await;
    all_meet(&[a.clone(), b.clone(), c.clone()]).await;
    let share = share(&ids, "c", &["a", "b", "c"]);
    eventually("the joiner has its share", async || {
        let live = cluster.ledger.live();
        let there = live.iter().filter(|(_, at)| at.as_str() == "c").count();
        if there == share { Ok(()) } else { Err((there, share)) }
    })
    .await;
    cluster.settled(&[&a, &b, &c], &ids).await;
    let moved = cluster.ledger.all().len() - 96;
    assert_eq!(moved, share, "a join moves to the joiner and nowhere else");

    a.shutdown().await;
    cluster.settled(&[&b, &c], &ids).await;
    cluster.ledger.assert_no_overlap();
}

/// How many of these children `member` owns.
fn share(ids: &[ChildId], member: &str, members: &[&str]) -> usize {
    ids.iter().filter(|id| owner_among(id, members) == member).count()
}

async fn d8_drain_hands_every_child_over_and_loses_none(on: On) {
    let cluster = Cluster::on(on, "d8");
    let [a, b, c] = cluster.members(["a", "b", "c"]).await;
    let (specs, ids) = steadies("c", 96);
    accepted(&a, specs).await;
    cluster.settled(&[&a, &b, &c], &ids).await;
    let live = cluster.ledger.live();
    let mut of_b: Vec<_> =
        live.into_iter().filter(|(_, at)| at.as_str() == "b").map(|(id, _)| id).collect();
    of_b.sort();

    let begun = Instant::now();
    let outcome = b.drain(&"b".parse().expect("a name"), WITHIN).await.expect("a drain");
    let took = begun.elapsed();
    let DrainOutcome::Drained(drained) = outcome else { panic!("not its own drain: {outcome:?}") };
    let moved = of_b.len();
    assert_eq!((drained.moved, drained.stopped, drained.left_behind), (of_b, vec![], vec![]));
    // The drain ended only once all of them ran elsewhere.
    let there = cluster.ledger.live();
    assert!(there.iter().all(|(_, at)| at.as_str() != "b"), "none is left behind: {there:?}");
    cluster.settled(&[&a, &c], &ids).await;
    cluster.ledger.assert_no_overlap();
    let gap = cluster.ledger.longest_gap(begun);
    println!("drain of {moved} children: {took:?}, longest gap {gap:?}");
    assert!(gap < Duration::from_secs(1), "without a tick there is no such gap: {gap:?}");
    assert_eq!(cluster.ledger.all().len() - ids.len(), moved, "each moved once, no other did");
}

async fn d8_children_of_a_member_that_shuts_down_run_elsewhere_at_once(on: On) {
    let cluster = Cluster::on(on, "d8-shutdown");
    let [a, b] = cluster.members(["a", "b"]).await;
    let (specs, ids) = steadies("c", 96);
    accepted(&b, specs).await;
    cluster.settled(&[&a, &b], &ids).await;
    let mut told = listen(&b).await;
    let begun = Instant::now();
    b.shutdown().await;
    cluster.settled(&[&a], &ids).await;
    let gap = cluster.ledger.longest_gap(begun);
    println!("shutdown of a member with a half of 96 children: longest gap {gap:?}");
    assert!(gap < Duration::from_secs(1), "without a tick there is no such gap: {gap:?}");
    cluster.ledger.assert_no_overlap();
    // And each was told to stop rather than torn down.
    let mut exits = 0;
    while let Ok(Some(item)) = timeout(WITHIN, told.next()).await {
        if let EventItem::Event(Event::RunExited { reason, .. }) = item {
            assert_eq!(reason, ExitReason::Normal);
            exits += 1;
        }
    }
    assert_eq!(exits, share(&ids, "b", &["a", "b"]));
}

async fn d8_joins_in_quick_succession_leave_no_child_waiting(on: On) {
    // A child is given to the first joiner while the second, which owns it by then, comes in.
    for _ in 0..5 {
        let cluster = Cluster::on(on, "d8-joins");
        let a = cluster.member("a").await;
        let (specs, ids) = steadies("c", 96);
        accepted(&a, specs).await;
        cluster.settled(&[&a], &ids).await;
        let begun = Instant::now();
        let b = cluster.member("b").await;
        let c = cluster.member("c").await;
        let d = cluster.member("d").await;
        all_meet(&[a.clone(), b.clone(), c.clone(), d.clone()]).await;
        for name in ["b", "c", "d"] {
            let due = share(&ids, name, &["a", "b", "c", "d"]);
            eventually("each joiner has its share", async || {
                let live = cluster.ledger.live();
                let there = live.iter().filter(|(_, at)| at.as_str() == name).count();
                if there == due { Ok(()) } else { Err((there, due)) }
            })
            .await;
        }
        cluster.settled(&[&a, &b, &c, &d], &ids).await;
        cluster.ledger.assert_no_overlap();
        let gap = cluster.ledger.longest_gap(begun);
        assert!(gap < Duration::from_secs(1), "{gap:?}");
    }
}
