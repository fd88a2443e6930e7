//! Events, watches and lists agree with each other and end with the supervisor.

use std::{collections::BTreeMap, time::Duration};

use pogo_core::{
    id::{ChildId, Kind},
    node::{ChildInfo, Event, Listing, PendingReason, Status},
    runtime::{Batch, ChildContext, EventItem, Events, Stopped, WaitError},
    spec::{Exclusivity, Labels},
};

use crate::cluster::{Builder, Supervisor, WITHIN, alone, child, eventually, id, ready};

fn idle(builder: Builder) -> Builder {
    builder.kind_fn("idle", |(): (), cx: ChildContext| async move {
        cx.stopping().await;
        Ok(())
    })
}

async fn next(events: &mut Events) -> EventItem {
    tokio::time::timeout(WITHIN, events.next()).await.expect("no event").expect("ended")
}

/// What a reader of the stream believes.
#[derive(Default)]
struct Fold(BTreeMap<ChildId, ChildInfo>);

impl Fold {
    fn take(&mut self, item: EventItem) {
        if let EventItem::Snapshot(snapshot) = item {
            let children = snapshot.children.into_iter();
            self.0 = children.map(|child| (child.id.clone(), child)).collect();
        } else if let EventItem::Event(Event::Child(child)) = item {
            self.0.insert(child.id.clone(), child);
        } else if let EventItem::Event(Event::ChildGone { id }) = item {
            self.0.remove(&id);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn folding_the_stream_over_its_snapshot_gives_the_list() {
    let supervisor = ready(idle(alone())).await;
    supervisor.start_child(child("idle", "early", &())).await.unwrap();
    let mut events = supervisor.events();
    let mut fold = Fold::default();
    let first = next(&mut events).await;
    assert!(matches!(first, EventItem::Snapshot(_)), "{first:?}");
    fold.take(first);
    for name in ["a", "b", "c"] {
        supervisor.start_child(child("idle", name, &())).await.unwrap();
        supervisor.wait_running(&id(name), WITHIN).await.unwrap();
    }
    supervisor.terminate_child(&id("b")).await.unwrap();
    supervisor.wait_gone(&id("b"), WITHIN).await.unwrap();
    supervisor.wait_running(&id("early"), WITHIN).await.unwrap();
    let listed = supervisor.which_children(Listing::Global).await.unwrap();
    assert_eq!(listed.len(), 3);
    while fold.0.values().ne(&listed) {
        fold.take(next(&mut events).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lagging_reader_is_told_and_gets_a_new_snapshot() {
    let supervisor = ready(idle(alone())).await;
    let mut events = supervisor.events();
    assert!(matches!(next(&mut events).await, EventItem::Snapshot(_)));
    let specs = (0..4_000).map(|n| child("idle", &format!("c{n}"), &()));
    let results = supervisor.start_children(specs, Batch::EachAlone).await;
    assert!(results.iter().all(Result::is_ok));
    all_running(&supervisor, 4_000).await;
    let lagged = next(&mut events).await;
    assert!(matches!(lagged, EventItem::Lagged { missed } if missed > 0), "{lagged:?}");
    let EventItem::Snapshot(snapshot) = next(&mut events).await else { panic!("no snapshot") };
    assert_eq!(snapshot.children.len(), 4_000);
    assert!(snapshot.children.iter().all(|child| child.status == Status::Running));
}

async fn all_running(supervisor: &Supervisor, expected: usize) {
    eventually("all running", || async {
        let children = supervisor.which_children(Listing::Global).await.unwrap();
        let running = children.iter().filter(|child| child.status == Status::Running).count();
        if running == expected { Ok(()) } else { Err(running) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_gives_the_current_value_first_and_ends_at_shutdown() {
    let supervisor = ready(idle(alone())).await;
    let mut watch = supervisor.watch(&id("a")).await.unwrap();
    assert!(watch.changed().await);
    assert_eq!(watch.latest(), None);
    supervisor.start_child(child("idle", "a", &())).await.unwrap();
    while watch.latest().is_none_or(|child| child.status != Status::Running) {
        assert!(watch.changed().await);
    }
    let mut second = supervisor.watch(&id("a")).await.unwrap();
    assert!(second.changed().await);
    assert_eq!(second.latest(), watch.latest());
    let mut events = supervisor.events();
    supervisor.shutdown().await;
    while watch.changed().await {}
    assert!(events.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_in_vain_tells_what_was_seen_last() {
    let supervisor = ready(idle(alone())).await;
    supervisor.start_child(child("foreign", "a", &())).await.unwrap();
    let short = Duration::from_millis(50);
    let error = supervisor.wait_running(&id("a"), short).await.expect_err("nobody offers it");
    let WaitError::Timeout { last: Some(last), .. } = &error else { panic!("{error:?}") };
    let why = PendingReason::NoMemberOffersKind { kind: Kind::new("foreign").unwrap() };
    assert_eq!(last.status, Status::Pending { why });
    assert!(error.is_retryable());
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_by_kind_and_labels() {
    let supervisor = ready(idle(alone())).await;
    supervisor.start_child(child("idle", "a", &()).label("team", "net")).await.unwrap();
    supervisor.start_child(child("idle", "b", &()).label("team", "db")).await.unwrap();
    supervisor.start_child(child("foreign", "c", &()).label("team", "net")).await.unwrap();
    let net = Labels::from([("team".to_owned(), "net".to_owned())]);
    let idle = Kind::new("idle").unwrap();
    let names = |children: Vec<ChildInfo>| -> Vec<String> {
        children.into_iter().map(|child| child.id.to_string()).collect()
    };
    let both = supervisor.children_where(Some(&idle), &net).await.unwrap();
    assert_eq!(names(both), ["a"]);
    let labelled = supervisor.children_where(None, &net).await.unwrap();
    assert_eq!(names(labelled), ["a", "c"]);
    let of_kind = supervisor.children_where(Some(&idle), &Labels::new()).await.unwrap();
    assert_eq!(names(of_kind), ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn closure_child_may_tell_its_address_once_it_runs() {
    let builder = alone().kind_fn("server", |(): (), cx: ChildContext| async move {
        tokio::task::yield_now().await;
        cx.ready_at("http://here");
        cx.stopping().await;
        Ok(())
    });
    let supervisor = ready(builder).await;
    supervisor.start_child(child("server", "a", &())).await.unwrap();
    let mut watch = supervisor.watch(&id("a")).await.unwrap();
    let told = async {
        while watch.latest().and_then(|child| child.endpoint).as_deref() != Some("http://here") {
            assert!(watch.changed().await);
        }
    };
    tokio::time::timeout(WITHIN, told).await.expect("no address");
}

#[tokio::test(flavor = "multi_thread")]
async fn token_in_the_hand_of_a_strict_child_is_the_one_that_is_listed() {
    let builder = alone().exclusivity(Exclusivity::Strict).kind_fn(
        "strict",
        |(): (), cx: ChildContext| async move {
            cx.ready_at(cx.token().ok_or("no token")?.to_string());
            cx.stopping().await;
            Ok(())
        },
    );
    let supervisor = ready(builder).await;
    supervisor.start_child(child("strict", "a", &())).await.unwrap();
    let listed = supervisor.wait_running(&id("a"), WITHIN).await.unwrap();
    assert!(listed.token.is_some(), "{listed:?}");
    assert_eq!(listed.endpoint, listed.token.map(|token| token.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_and_requests_end_with_the_supervisor() {
    let supervisor = ready(idle(alone())).await;
    supervisor.shutdown().await;
    supervisor.shutdown().await;
    assert_eq!(supervisor.ready().await, Err(Stopped));
    assert_eq!(supervisor.count_children().await, Err(Stopped));
    assert_eq!(supervisor.lookup(&id("a")).await, Err(Stopped));
    assert!(supervisor.watch(&id("a")).await.is_err());
    assert!(supervisor.start_child(child("idle", "a", &())).await.is_err());
    assert!(supervisor.events().next().await.is_none());
}
