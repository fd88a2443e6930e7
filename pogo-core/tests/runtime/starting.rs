//! What is refused is refused before anything changes.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::FutureExt;
use pogo_core::{
    membership::{Capabilities, Guarantee, Join, Membership, MembershipError, Session},
    node::{Listing, StartChildError, Started, Terminated},
    runtime::{Batch, ChildContext, StartError},
    spec::{ChildSpec, Exclusivity},
};

use crate::cluster::{Builder, Cluster, Count, Supervisor, WITHIN, alone, child, id, ready};

/// A member with one kind, whose children are numbers.
fn counting(builder: Builder, runs: &Count) -> Builder {
    let runs = runs.clone();
    builder.kind_fn("k", move |_: u32, cx: ChildContext| {
        runs.add();
        async move {
            cx.stopping().await;
            Ok(())
        }
    })
}

fn too_many_labels(mut spec: ChildSpec) -> ChildSpec {
    for n in 0..17 {
        spec = spec.label(format!("l{n}"), "v");
    }
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn unacceptable_specs_change_nothing() {
    let supervisor = ready(counting(alone(), &Count::default())).await;
    let foreign = supervisor.start_child(child("k", "c", &"text")).await;
    assert!(matches!(foreign, Err(StartChildError::Args { .. })), "{foreign:?}");
    let labels = supervisor.start_or_replace(too_many_labels(child("k", "c", &1))).await;
    assert!(matches!(labels, Err(StartChildError::Spec(_))), "{labels:?}");
    let absent = supervisor.replace_child(child("k", "c", &1)).await;
    assert!(matches!(absent, Err(StartChildError::NotFound { .. })), "{absent:?}");
    assert_eq!(supervisor.count_children().await, Ok(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn start_and_terminate_say_what_they_found() {
    let supervisor = ready(counting(alone(), &Count::default())).await;
    let c = id("c");
    assert_eq!(supervisor.start_child(child("k", "c", &1)).await.unwrap(), Started::Accepted);
    let again = supervisor.start_child(child("k", "c", &1)).await.unwrap();
    assert!(matches!(again, Started::AlreadyPresent(_)), "{again:?}");
    let other = supervisor.start_child(child("k", "c", &2)).await;
    assert!(matches!(other, Err(StartChildError::Conflict { .. })), "{other:?}");
    supervisor.replace_child(child("k", "c", &2)).await.unwrap();
    assert_eq!(supervisor.terminate_child(&c).await.unwrap(), Terminated::Accepted);
    supervisor.wait_gone(&c, WITHIN).await.unwrap();
    assert_eq!(supervisor.terminate_child(&c).await.unwrap(), Terminated::NotFound);
    assert!(!supervisor.restart_child(&c).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_stands_or_falls_as_it_was_asked_to() {
    let supervisor = ready(counting(alone(), &Count::default())).await;
    let specs = || [child("k", "good", &1), child("k", "bad", &"text"), child("k", "good", &1)];
    let results = supervisor.start_children(specs(), Batch::AllOrNothing).await;
    assert!(
        matches!(
            results.as_slice(),
            [
                Err(StartChildError::RefusedTogether { .. }),
                Err(StartChildError::Args { .. }),
                Err(StartChildError::Duplicate { .. })
            ]
        ),
        "{results:?}"
    );
    assert_eq!(supervisor.count_children().await, Ok(0));
    let results = supervisor.start_children(specs(), Batch::EachAlone).await;
    assert!(
        matches!(
            results.as_slice(),
            [
                Ok(Started::Accepted),
                Err(StartChildError::Args { .. }),
                Err(StartChildError::Duplicate { .. })
            ]
        ),
        "{results:?}"
    );
    assert_eq!(supervisor.count_children().await, Ok(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn initial_children_start_once_and_a_terminated_one_stays_so() {
    let cluster = Cluster::new();
    let runs = Count::default();
    let initial = || [child("k", "kept", &1), child("k", "dropped", &2)];
    let a = ready(counting(cluster.member("a"), &runs).children(initial())).await;
    for name in ["kept", "dropped"] {
        a.wait_running(&id(name), WITHIN).await.unwrap();
    }
    a.terminate_child(&id("dropped")).await.unwrap();
    a.wait_gone(&id("dropped"), WITHIN).await.unwrap();
    let b = ready(counting(cluster.member("b"), &runs).children(initial())).await;
    // Accepted in order: once this one runs, the initial ones of `b` were decided on.
    b.start_child(child("k", "last", &3)).await.unwrap();
    b.wait_running(&id("last"), WITHIN).await.unwrap();
    let listed = b.which_children(Listing::Global).await.unwrap();
    let names: Vec<_> = listed.iter().map(|child| child.id.as_str()).collect();
    assert_eq!(names, ["kept", "last"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_make_no_sense_are_refused_at_start() {
    let refused = |builder: Builder| async { builder.start().await.expect_err("it started") };
    let kind = |builder: Builder| counting(builder, &Count::default());

    let error = refused(Supervisor::builder("s")).await;
    assert!(matches!(error, StartError::NoBackend), "{error:?}");
    let error = refused(Supervisor::builder("s").backend("nonsense://x")).await;
    assert!(matches!(error, StartError::Backend(_)), "{error:?}");
    let error = refused(alone().name("")).await;
    assert!(matches!(error, StartError::Id(_)), "{error:?}");
    let error = refused(kind(kind(alone()))).await;
    assert!(matches!(error, StartError::DuplicateKind { .. }), "{error:?}");
    let error = refused(alone().start_timeout(Duration::ZERO)).await;
    assert!(matches!(error, StartError::Setting { setting: "start_timeout", .. }), "{error:?}");
    let error = refused(alone().min_members(0)).await;
    assert!(matches!(error, StartError::Setting { setting: "min_members", .. }), "{error:?}");
    let error = refused(kind(alone()).children([child("k", "c", &"text")])).await;
    assert!(matches!(error, StartError::Child { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn name_of_a_live_member_is_refused_and_free_once_it_has_left() {
    let cluster = Cluster::new();
    let first = ready(cluster.member("a")).await;
    let error = cluster.member("a").start().await.expect_err("the name is taken");
    assert!(
        matches!(&error, StartError::Join { source: MembershipError::NameTaken { .. }, .. }),
        "{error:?}"
    );
    first.shutdown().await;
    ready(cluster.member("a")).await;
}

/// A backend with claims of some strength that cannot be reached.
#[derive(Debug)]
struct Unreachable(Guarantee);

#[async_trait]
impl Membership for Unreachable {
    fn name(&self) -> &'static str {
        "unreachable"
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::least(Duration::from_secs(1), Duration::ZERO);
        capabilities.claims = self.0;
        capabilities
    }

    async fn join(&self, _join: Join) -> Result<Session, MembershipError> {
        Err(MembershipError::Denied { backend: "unreachable", reason: "by design".to_owned() })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_is_refused_where_claims_are_too_weak_and_both_are_named() {
    let on = |claims| Supervisor::builder("s").name("a").membership(Arc::new(Unreachable(claims)));
    let strict = Exclusivity::Strict;
    let weak = [
        on(Guarantee::None).exclusivity(strict),
        on(Guarantee::None).exclusivity(strict).accept_best_effort_claims(),
        on(Guarantee::BestEffort).exclusivity(strict),
        on(Guarantee::None).children([child("k", "c", &()).exclusivity(strict)]),
    ];
    for builder in weak {
        let error = builder.start().await.expect_err("it started");
        let text = error.to_string();
        assert!(matches!(error, StartError::ClaimsTooWeak { .. }), "{text}");
        assert!(text.contains("strict") && text.contains("unreachable"), "{text}");
    }
    let strong = [
        on(Guarantee::Linearizable).exclusivity(strict),
        on(Guarantee::BestEffort).exclusivity(strict).accept_best_effort_claims(),
        on(Guarantee::None),
    ];
    for builder in strong {
        let error = builder.start().await.expect_err("it cannot be reached");
        assert!(matches!(error, StartError::Join { .. }), "{error:?}");
    }
}

#[test]
fn start_outside_a_runtime_is_refused() {
    let Some(Err(StartError::NoRuntime)) = alone().start().now_or_never() else {
        panic!("not refused")
    };
}
