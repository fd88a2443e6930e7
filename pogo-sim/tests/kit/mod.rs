//! Users' own children in a simulated cluster.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use pogo_core::{
    runtime::{Child, ChildContext, ChildKinds, Exit},
    spec::{ChildSpec, Shutdown},
};
use pogo_sim::{
    kit::{KitError, SimCluster},
    plan::BackendKind,
};

/// Counts the ticks of its own clock, through every move.
struct Counter {
    lowest: Arc<AtomicU64>,
}

impl Child for Counter {
    const KIND: &'static str = "counter";
    type Args = u32;
    type State = u64;

    async fn run(&self, _: u32, cx: ChildContext<u64>) -> Exit {
        let mut count = cx.inherited()?.unwrap_or(0);
        cx.ready();
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        ticks.tick().await;
        loop {
            tokio::select! {
                biased;
                _ = cx.stopping() => break,
                _ = ticks.tick() => count += 1,
            }
        }
        self.lowest.store(count, Ordering::Relaxed);
        Ok(cx.hand_over(&count)?)
    }
}

fn counters(backend: BackendKind, seed: u64) -> (SimCluster, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    let lowest = Arc::clone(&count);
    let kinds = move || ChildKinds::default().kind(Counter { lowest: Arc::clone(&lowest) });
    let mut cluster = SimCluster::over(backend, 3, seed, kinds).unwrap();
    for n in 0..6 {
        cluster.start_child(ChildSpec::new::<Counter>(n, &n).unwrap()).unwrap();
    }
    cluster.settle().unwrap();
    (cluster, count)
}

#[test]
fn children_run_once_each_through_a_split_and_a_crash() {
    for backend in [BackendKind::Hub, BackendKind::Gossip] {
        let (mut cluster, _) = counters(backend, 7);
        cluster.cut(&[&["m0"], &["m1", "m2"]]).unwrap();
        cluster.run_for(Duration::from_secs(10)).unwrap();
        assert!((0..6).any(|n| cluster.holders(&format!("counter/{n}")).unwrap().len() == 2));
        cluster.heal();
        cluster.crash("m1").unwrap();
        cluster.settle().unwrap();
        for n in 0..6 {
            assert_eq!(cluster.holders(&format!("counter/{n}")).unwrap().len(), 1, "{backend}");
        }
        cluster.boot("m1").unwrap();
        cluster.settle().unwrap();
    }
}

#[test]
fn state_is_handed_over_when_a_member_drains() {
    let (mut cluster, count) = counters(BackendKind::Hub, 3);
    cluster.run_for(Duration::from_secs(60)).unwrap();
    for member in ["m0", "m1"] {
        cluster.drain(member, Duration::from_secs(10)).unwrap();
        cluster.settle().unwrap();
    }
    cluster.terminate_child("counter/0").unwrap();
    cluster.settle().unwrap();
    assert_eq!(cluster.holders("counter/0").unwrap(), []);
    let count = count.load(Ordering::Relaxed);
    assert!((600..=700).contains(&count), "it counts on where it moves: {count}");
}

#[test]
fn same_seed_gives_the_same_run() {
    let run = |seed| {
        let (mut cluster, _) = counters(BackendKind::Gossip, seed);
        cluster.crash("m2").unwrap();
        cluster.settle().unwrap();
        cluster.trace().to_vec()
    };
    let first = run(5);
    assert_eq!(first, run(5));
    assert_ne!(first, run(6));
}

#[test]
fn child_that_does_not_stop_is_aborted_when_its_grace_is_over() {
    let kinds = || {
        ChildKinds::default().kind_fn("deaf", async |(): (), _cx: ChildContext| {
            std::future::pending::<()>().await;
            Ok(())
        })
    };
    let mut cluster = SimCluster::new(2, 1, kinds).unwrap();
    let deaf = ChildSpec::of_kind(
        "deaf/1".parse().unwrap(),
        "deaf".parse().unwrap(),
        pogo_core::spec::Args::new(&()).unwrap(),
    );
    cluster.start_child(deaf.shutdown(Shutdown::Grace(Duration::from_secs(2)))).unwrap();
    cluster.settle().unwrap();
    cluster.terminate_child("deaf/1").unwrap();
    cluster.run_for(Duration::from_millis(1_900)).unwrap();
    assert_eq!(cluster.holders("deaf/1").unwrap().len(), 1);
    cluster.run_for(Duration::from_millis(200)).unwrap();
    assert_eq!(cluster.holders("deaf/1").unwrap(), []);
}

#[test]
fn child_that_always_fails_ends_the_test_by_its_name() {
    let kinds = || {
        ChildKinds::default()
            .kind_fn("bad", async |(): (), _cx: ChildContext| -> Exit { Err("no".into()) })
    };
    let mut cluster = SimCluster::new(2, 1, kinds).unwrap();
    let bad = ChildSpec::of_kind(
        "bad/1".parse().unwrap(),
        "bad".parse().unwrap(),
        pogo_core::spec::Args::new(&()).unwrap(),
    );
    cluster.start_child(bad).unwrap();
    let error = cluster.settle().unwrap_err();
    assert!(matches!(&error, KitError::NotRunning(id) if id.as_str() == "bad/1"), "{error}");
}
