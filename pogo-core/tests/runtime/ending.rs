//! A supervisor that ends takes its children with it, and nothing is left.

use std::{future::pending, time::Duration};

use pogo_core::{node::StopReason, runtime::ChildContext, spec::Shutdown};
use tokio::time::timeout;

use crate::cluster::{Builder, Cluster, Count, WITHIN, alone, child, eventually, id, ready};

/// A kind that takes a while to stop, and counts its ends.
fn slow(builder: Builder, ended: &Count) -> Builder {
    let ended = ended.clone();
    builder.kind_fn("slow", move |(): (), cx: ChildContext| {
        let ended = ended.clone();
        async move {
            assert_eq!(cx.stopping().await, StopReason::SupervisorStopped);
            let takes_a_while = timeout(Duration::from_millis(200), pending::<()>()).await;
            assert!(takes_a_while.is_err());
            ended.add();
            Ok(())
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_waits_until_every_child_has_stopped() {
    let ended = Count::default();
    let supervisor = ready(slow(alone(), &ended)).await;
    for name in ["a", "b", "c"] {
        supervisor.start_child(child("slow", name, &())).await.unwrap();
        supervisor.wait_running(&id(name), WITHIN).await.unwrap();
    }
    supervisor.shutdown().await;
    assert_eq!(ended.now(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn last_handle_dropped_stops_the_children_and_leaves() {
    let cluster = Cluster::new();
    let observer = ready(cluster.member("observer").weight(0)).await;
    let ended = Count::default();
    let supervisor = ready(slow(cluster.member("a"), &ended)).await;
    supervisor.start_child(child("slow", "c", &())).await.unwrap();
    supervisor.wait_running(&id("c"), WITHIN).await.unwrap();
    let events = supervisor.events();
    let watch = supervisor.watch(&id("c")).await.unwrap();
    let second = supervisor.clone();
    drop(supervisor);
    assert!(second.lookup(&id("c")).await.unwrap().is_some());
    drop(second);
    ended.reaches(1).await;
    eventually("gone", || async {
        let members = observer.members().await.unwrap();
        if members.len() == 1 { Ok(()) } else { Err(members) }
    })
    .await;
    drop((events, watch));
}

#[tokio::test(flavor = "multi_thread")]
async fn start_that_is_given_up_leaves_nothing_behind() {
    let cluster = Cluster::new();
    let observer = ready(cluster.member("observer").weight(0)).await;
    let given_up = timeout(Duration::ZERO, cluster.member("a").start()).await;
    drop(given_up);
    // Where the join was under way the member comes, and leaves again.
    let again = eventually("free", || cluster.member("a").start()).await;
    again.shutdown().await;
    eventually("alone", || async {
        let members = observer.members().await.unwrap();
        if members.len() == 1 { Ok(()) } else { Err(members) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn child_that_does_not_stop_delays_shutdown_by_its_grace_only() {
    let dropped = Count::default();
    let drops = dropped.clone();
    let builder = alone().kind_fn("deaf", move |(): (), _cx: ChildContext| {
        let dropped = drops.on_drop();
        async move {
            let _dropped = dropped;
            pending().await
        }
    });
    let supervisor = ready(builder).await;
    let deaf = child("deaf", "c", &()).shutdown(Shutdown::Grace(Duration::from_millis(100)));
    supervisor.start_child(deaf).await.unwrap();
    supervisor.wait_running(&id("c"), WITHIN).await.unwrap();
    timeout(WITHIN, supervisor.shutdown()).await.expect("it hangs");
    assert_eq!(dropped.now(), 1);
}
