//! A child that misbehaves harms no sibling, and what it did can be seen.

use std::{
    future::pending,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use pogo_core::{
    node::{Event, ExitReason, Status},
    runtime::{Child, ChildContext, EventItem, Exit},
    spec::{Restart, Shutdown},
};

use crate::cluster::{Builder, Count, Supervisor, WITHIN, alone, child, eventually, id, ready};

/// A well-behaved kind that counts its runs.
fn with_sibling(builder: Builder, runs: &Count) -> Builder {
    let runs = runs.clone();
    builder.kind_fn("sibling", move |(): (), cx: ChildContext| {
        runs.add();
        async move {
            cx.stopping().await;
            Ok(())
        }
    })
}

async fn start(supervisor: &Supervisor, kind: &str, name: &str) {
    supervisor.start_child(child(kind, name, &())).await.unwrap();
}

async fn sibling_is_unharmed(supervisor: &Supervisor, runs: &Count) {
    let sibling = supervisor.lookup(&id("sibling")).await.unwrap().expect("it is gone");
    assert_eq!((sibling.status, sibling.restarts, runs.now()), (Status::Running, 0, 1));
}

/// Starts the sibling, then one child of the kind under test.
async fn start_both(supervisor: &Supervisor, kind: &str) {
    start(supervisor, "sibling", "sibling").await;
    supervisor.wait_running(&id("sibling"), WITHIN).await.unwrap();
    start(supervisor, kind, "bad").await;
}

async fn shows(supervisor: &Supervisor, what: &str, expected: impl Fn(&Status) -> bool) {
    eventually(what, || async {
        let seen = supervisor.lookup(&id("bad")).await.unwrap().map(|child| child.status);
        if seen.as_ref().is_some_and(&expected) { Ok(()) } else { Err(seen) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn panicking_child_is_restarted_and_its_sibling_runs_on() {
    let runs = Count::default();
    let builder =
        with_sibling(alone(), &runs).kind_fn("bad", |(): (), cx: ChildContext| async move {
            assert!(cx.attempt() > 1, "first attempt");
            cx.stopping().await;
            Ok(())
        });
    let supervisor = ready(builder).await;
    let mut events = supervisor.events();
    assert!(matches!(events.next().await, Some(EventItem::Snapshot(_))));
    start_both(&supervisor, "bad").await;
    let running = supervisor.wait_running(&id("bad"), WITHIN).await.unwrap();
    assert_eq!(running.restarts, 1);
    sibling_is_unharmed(&supervisor, &runs).await;
    let reason = loop {
        if let Some(EventItem::Event(Event::RunExited { reason, .. })) = events.next().await {
            break reason;
        }
    };
    assert_eq!(reason, ExitReason::Panicked("first attempt".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn child_that_keeps_failing_is_quarantined_until_it_is_restarted() {
    let runs = Count::default();
    let repaired = Count::default();
    let state = repaired.clone();
    let builder = with_sibling(alone(), &runs)
        .restart_intensity(2, Duration::from_secs(60))
        .kind_fn("bad", move |(): (), cx: ChildContext| {
            let broken = state.now() == 0;
            async move {
                if broken {
                    return Err("no route".into());
                }
                cx.stopping().await;
                Ok(())
            }
        });
    let supervisor = ready(builder).await;
    start_both(&supervisor, "bad").await;
    let last = "failed: no route".to_owned();
    let quarantined = Status::Quarantined { last };
    shows(&supervisor, "quarantined", |status| *status == quarantined).await;
    sibling_is_unharmed(&supervisor, &runs).await;
    repaired.add();
    assert!(supervisor.restart_child(&id("bad")).await.unwrap());
    supervisor.wait_running(&id("bad"), WITHIN).await.unwrap();
}

/// Never says that it is ready.
struct Hanging(Count);

impl Child for Hanging {
    const KIND: &'static str = "bad";
    type Args = ();
    type State = ();

    async fn run(&self, (): (), _cx: ChildContext) -> Exit {
        let _dropped = self.0.on_drop();
        pending().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn child_that_hangs_at_its_start_is_a_failed_start() {
    let (runs, dropped) = (Count::default(), Count::default());
    let builder = with_sibling(alone(), &runs)
        .start_timeout(Duration::from_millis(100))
        .kind(Hanging(dropped.clone()));
    let supervisor = ready(builder).await;
    start(&supervisor, "sibling", "sibling").await;
    let hanging = child("bad", "bad", &()).shutdown(Shutdown::Immediate);
    supervisor.start_child(hanging).await.unwrap();
    let last = "not ready in time".to_owned();
    let failed = Status::Backoff { last };
    shows(&supervisor, "in back-off", |status| *status == failed).await;
    assert!(dropped.now() >= 1);
    sibling_is_unharmed(&supervisor, &runs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn child_that_ignores_its_stop_is_gone_after_its_grace() {
    let (runs, dropped) = (Count::default(), Count::default());
    let drops = dropped.clone();
    let builder = with_sibling(alone(), &runs).kind_fn("bad", move |(): (), _cx: ChildContext| {
        let dropped = drops.on_drop();
        async move {
            let _dropped = dropped;
            pending().await
        }
    });
    let supervisor = ready(builder).await;
    start(&supervisor, "sibling", "sibling").await;
    let grace = Shutdown::Grace(Duration::from_millis(100));
    supervisor.start_child(child("bad", "bad", &()).shutdown(grace)).await.unwrap();
    supervisor.wait_running(&id("bad"), WITHIN).await.unwrap();
    supervisor.terminate_child(&id("bad")).await.unwrap();
    supervisor.wait_gone(&id("bad"), WITHIN).await.unwrap();
    dropped.reaches(1).await;
    sibling_is_unharmed(&supervisor, &runs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn child_that_blocks_its_thread_is_reported_stuck_and_harms_no_sibling() {
    let runs = Count::default();
    let (let_go, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let builder = with_sibling(alone(), &runs).kind_fn("bad", move |(): (), cx: ChildContext| {
        let held = Arc::clone(&held);
        async move {
            cx.stopping().await;
            held.lock().unwrap().recv()?;
            Ok(())
        }
    });
    let supervisor = ready(builder).await;
    start(&supervisor, "sibling", "sibling").await;
    supervisor
        .start_child(child("bad", "bad", &()).shutdown(Shutdown::Grace(Duration::from_millis(50))))
        .await
        .unwrap();
    supervisor.wait_running(&id("bad"), WITHIN).await.unwrap();
    assert!(supervisor.restart_child(&id("bad")).await.unwrap());
    shows(&supervisor, "stuck", |status| *status == Status::Stuck).await;
    sibling_is_unharmed(&supervisor, &runs).await;
    let_go.send(()).unwrap();
    drop(let_go);
    supervisor.wait_running(&id("bad"), WITHIN).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn completed_child_is_listed_no_more_and_can_be_started_anew() {
    let runs = Count::default();
    let starts = runs.clone();
    let builder = alone().kind_fn("once", move |(): (), _cx: ChildContext| {
        starts.add();
        async { Ok(()) }
    });
    let supervisor = ready(builder).await;
    for run in 1..=2 {
        let once = child("once", "once", &()).restart(Restart::Transient);
        supervisor.start_child(once).await.unwrap();
        runs.reaches(run).await;
        supervisor.wait_gone(&id("once"), WITHIN).await.unwrap();
    }
    assert_eq!(runs.now(), 2);
}
