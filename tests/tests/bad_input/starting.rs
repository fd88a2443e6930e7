//! Settings with which a supervisor does not start, and leaves no trace of having tried.

use std::time::Duration;

use futures_util::FutureExt;
use pogo::{
    BackendError, Builder, ChildContext, Event, Exclusivity, IdError, MemberName, MemberView,
    MembershipError, StartChildError, StartError, Supervisor,
};
use pogo_core::{membership::Guarantee, memory::HubConfig};
use tokio::time::timeout;

use super::picture;
use crate::cluster::{
    Cluster, WITHIN, accepted, eventually, listen, members_of, next, started, steady,
};

/// A start that is refused, with what the error says.
async fn not_started(builder: Builder) -> (StartError, String) {
    let started = timeout(WITHIN, builder.start()).await.expect("an answer in time");
    let error = started.expect_err("a refusal");
    assert!(!error.is_retryable(), "the same settings never start: {error:?}");
    let text = error.to_string();
    (error, text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn urls_that_name_no_backend_are_refused_with_what_is_known() {
    let builder = |url: &str| Supervisor::builder("tests").name("a").backend(url);
    let (error, text) = not_started(builder("carrier-pigeon://loft")).await;
    let StartError::Backend(BackendError::UnknownScheme { scheme, known }) = error else {
        panic!("{error:?}");
    };
    assert_eq!(scheme, "carrier-pigeon");
    assert!(known.contains("memory") && text.contains(&known), "{text}");

    let (error, text) = not_started(builder("memory://urls?nmae=a")).await;
    let StartError::Backend(BackendError::UnknownParameter { scheme, parameter, known }) = error
    else {
        panic!("{error:?}");
    };
    assert_eq!((scheme.as_str(), parameter.as_str()), ("memory", "nmae"));
    assert!(known.contains("name") && text.contains(&known), "{text}");

    for url in ["", "memory", "memory:/x", "Memory://x", "memory://x?name", "memory://x?name=%zz"] {
        let (error, _) = not_started(builder(url)).await;
        let malformed = matches!(error, StartError::Backend(BackendError::Malformed { .. }));
        assert!(malformed, "{url}: {error:?}");
    }
    for url in [format!("memory://{}", "x".repeat(65)), "memory://a%0Ab".to_owned()] {
        let (error, _) = not_started(builder(&url)).await;
        let of_name = matches!(error, StartError::Backend(BackendError::Id(_)) | StartError::Id(_));
        assert!(of_name || url.contains('%'), "{url}: {error:?}");
    }
    let (error, _) = not_started(Supervisor::builder("tests").name("a")).await;
    assert!(matches!(error, StartError::NoBackend), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_make_no_sense_are_refused_and_nobody_joins() {
    let cluster = Cluster::new("settings");
    let a = cluster.member("a").await;
    let (before, mut events) = (picture(&a).await, listen(&a).await);
    refuses_texts(&cluster).await;
    refuses_values(&cluster).await;

    // None of them was ever a member, and no child of theirs was put.
    let b = cluster.member("b").await;
    let joined = next(&mut events, |event| match event {
        Event::Member(member) => Some(member.id.name),
        other => panic!("something was changed: {other:?}"),
    })
    .await;
    assert_eq!(joined.as_str(), "b");
    b.shutdown().await;
    eventually("it is as it was before", async || {
        let now = picture(&a).await;
        if now == before { Ok(()) } else { Err(now) }
    })
    .await;
}

async fn refuses_texts(cluster: &Cluster) {
    let what_of = |error: StartError| match error {
        StartError::Id(
            IdError::Empty { what }
            | IdError::TooLong { what, .. }
            | IdError::ControlCharacter { what, .. },
        ) => what,
        other => panic!("{other:?}"),
    };
    let good = || cluster.builder("b");
    let long = "x".repeat(129);
    for (builder, what) in [
        (good().cluster(""), "cluster name"),
        (good().cluster("a\nb"), "cluster name"),
        (good().name(""), "member name"),
        (good().name(&long), "member name"),
        (good().version(&long), "version"),
        (Supervisor::builder("").backend(cluster.url()), "scope"),
        (Supervisor::builder(&long).backend(cluster.url()), "scope"),
        (good().kind_fn("", |(): (), _: ChildContext| async { Ok(()) }), "kind"),
        (good().kind_fn(&long, |(): (), _: ChildContext| async { Ok(()) }), "kind"),
    ] {
        assert_eq!(what_of(not_started(builder).await.0), what);
    }
    let many = (0..17).fold(good(), |builder, n| builder.label(format!("l{n}"), ""));
    for builder in [many, good().label(&long, ""), good().label("k", &long), good().label("", "")] {
        let (error, _) = not_started(builder).await;
        assert!(matches!(error, StartError::Labels(_)), "{error:?}");
    }
}

async fn refuses_values(cluster: &Cluster) {
    let good = || cluster.builder("b");
    let second = good().kind_fn("steady", |(): (), _: ChildContext| async { Ok(()) });
    let (error, _) = not_started(second).await;
    assert!(matches!(error, StartError::DuplicateKind { kind } if kind.as_str() == "steady"));
    for (builder, name) in [
        (good().min_members(0), "min_members"),
        (good().max_moves(0), "max_moves"),
        (good().start_timeout(Duration::ZERO), "start_timeout"),
        (good().sync_interval(Duration::ZERO), "sync_interval"),
    ] {
        let (error, _) = not_started(builder).await;
        assert!(
            matches!(error, StartError::Setting { setting, .. } if setting == name),
            "{error:?}"
        );
    }
    let bad_child = steady("bad").label("", "");
    let (error, _) = not_started(good().children([steady("fine"), bad_child.clone()])).await;
    let StartError::Child { id, source: StartChildError::Spec(_) } = error else {
        panic!("{error:?}");
    };
    assert_eq!(id, bad_child.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn name_of_a_live_member_is_refused_and_free_again_once_it_left() {
    let cluster = Cluster::new("name");
    let a = cluster.mortal("a").await;
    let (before, name) = (picture(&a).await, "a".parse::<MemberName>().expect("a name"));
    let (error, text) = not_started(cluster.directly(cluster.builder("a"))).await;
    let StartError::Join { backend: "memory", source: MembershipError::NameTaken { name: taken } } =
        error
    else {
        panic!("{error:?}");
    };
    assert_eq!(taken, name);
    assert!(text.contains("memory"), "{text}");
    assert_eq!(picture(&a).await, before);
    // By URL members of one process need no names of their own: the second gets a suffix.
    let second = cluster.member("a").await;
    let name_of = |members: Vec<MemberView>| {
        members.into_iter().find(|member| member.is_me).expect("itself").id.name
    };
    assert_eq!(name_of(members_of(&second).await).as_str(), "a-2");
    a.shutdown().await;
    let again = cluster.mortal("a").await;
    assert_eq!(name_of(members_of(&again).await), name);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strict_is_refused_where_the_backend_has_no_claims() {
    let config = HubConfig { claims: false, ..HubConfig::default() };
    let cluster = Cluster::with_config("claims", config);
    let without = || cluster.directly(cluster.builder("a"));
    let (error, text) = not_started(without().exclusivity(Exclusivity::Strict)).await;
    let too_weak = |error: &StartError| {
        matches!(error, StartError::ClaimsTooWeak { backend: "memory", claims: Guarantee::None })
    };
    assert!(too_weak(&error), "{error:?}");
    assert!(text.contains("memory") && text.contains("none"), "it names both: {text}");
    let strict = steady("strict").exclusivity(Exclusivity::Strict);
    let (error, _) = not_started(without().children([steady("fine"), strict.clone()])).await;
    assert!(too_weak(&error), "{error:?}");
    let willing = without().accept_best_effort_claims().exclusivity(Exclusivity::Strict);
    let (error, _) = not_started(willing).await;
    assert!(too_weak(&error), "{error:?}");

    // And for a single child of a scope that is otherwise Available.
    let a = started(without()).await;
    let before = picture(&a).await;
    let mut events = listen(&a).await;
    for outcome in [
        a.start_child(strict.clone()).await,
        a.start_or_replace(strict.clone()).await,
        a.replace_child(strict.clone()).await,
    ] {
        let Err(StartChildError::Unsupported { id, wanted, backend }) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!((id, wanted), (strict.id.clone(), "strict exclusivity"));
        assert!(backend.contains("none"), "it says what there is: {backend}");
    }
    assert_eq!(picture(&a).await, before);
    let fence = steady("fence");
    accepted(&a, [fence.clone()]).await;
    next(&mut events, |event| match event {
        Event::Child(child) if child.id == fence.id => Some(()),
        other => panic!("something was changed: {other:?}"),
    })
    .await;
}

#[test]
fn start_outside_a_runtime_is_refused() {
    let builder = Supervisor::builder("tests").name("a").backend("memory://no-runtime");
    let outcome = builder.start().now_or_never();
    assert!(matches!(outcome, Some(Err(StartError::NoRuntime))), "{outcome:?}");
}
