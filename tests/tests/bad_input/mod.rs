//! Bad input: each is refused with the error that says what is wrong with it, and nothing changes.

mod starting;

use std::{fmt::Debug, time::Duration};

use futures_util::FutureExt;
use pogo::{
    Args, Batch, ChildContext, ChildId, ChildInfo, ChildSpec, ClusterName, Event, EventItem,
    Events, Exclusivity, Handover, IdError, Kind, Listing, MemberName, MemberView, PendingReason,
    RequestError, Scope, Shutdown, SpecError, StartChildError, Started, Status, Supervisor,
    Terminated,
};

use crate::cluster::{
    Cluster, WITHIN, accepted, eventually, listen, members_of, next, of_kind, running, started,
    steady, steady_with,
};

/// Two members with one running child, and all that an observer of either could notice.
struct Calm {
    members: [Supervisor; 2],
    events: [Events; 2],
    before: Picture,
    fences: u32,
}

#[derive(Debug, Clone, PartialEq)]
struct Picture {
    members: Vec<MemberView>,
    children: Vec<ChildInfo>,
}

async fn picture(member: &Supervisor) -> Picture {
    let mut members = members_of(member).await;
    for view in &mut members {
        view.is_me = false;
    }
    Picture { members, children: member.which_children(Listing::Global).await.expect("a listing") }
}

impl Calm {
    async fn new(test: &str) -> Self {
        let cluster = Cluster::new(test);
        let members = cluster.members(["a", "b"]).await;
        let present = steady("present");
        accepted(&members[0], [present.clone()]).await;
        cluster.settled(&[&members[0], &members[1]], &[present.id]).await;
        let before = picture(&members[0]).await;
        let events = [listen(&members[0]).await, listen(&members[1]).await];
        Self { members, events, before, fences: 0 }
    }

    fn member(&self) -> &Supervisor {
        &self.members[0]
    }

    /// Checks that no member shows any trace of what was asked for since the last check. A child
    /// that is then started is the fence: whatever came before it has been told before it.
    async fn unchanged(&mut self) {
        let fence = steady(&format!("fence{}", self.fences));
        self.fences += 1;
        accepted(&self.members[0], [fence.clone()]).await;
        for (member, events) in self.members.iter().zip(&mut self.events) {
            next(events, |event| match event {
                Event::Child(child) if child.id == fence.id => {
                    (child.status == Status::Running).then_some(())
                }
                Event::RunStarted { id, .. } if id == fence.id => None,
                other => panic!("something was changed: {other:?}"),
            })
            .await;
            running(member, &fence.id).await;
        }
        self.members[0].terminate_child(&fence.id).await.expect("taken");
        for (member, events) in self.members.iter().zip(&mut self.events) {
            next(events, |event| matches!(event, Event::ChildGone { .. }).then_some(())).await;
            eventually("it is as it was before", async || {
                let now = picture(member).await;
                if now == self.before { Ok(()) } else { Err(now) }
            })
            .await;
        }
        for events in &mut self.events {
            while let Some(item) = events.next().now_or_never() {
                assert!(is_of(item.as_ref(), &fence.id), "something was changed: {item:?}");
            }
        }
    }

    /// Asks each member, as they may know different things, and expects the same refusal.
    async fn refuses<R: Debug>(
        &mut self,
        spec: &ChildSpec,
        refusal: impl Fn(StartChildError) -> Result<R, StartChildError>,
    ) {
        for member in &self.members {
            for outcome in [
                member.start_child(spec.clone()).await,
                member.start_or_replace(spec.clone()).await,
                member.replace_child(spec.clone()).await,
                member.start_children([spec.clone()], Batch::EachAlone).await.remove(0),
            ] {
                refusal(outcome.expect_err("a refusal")).expect("the right refusal");
            }
        }
        self.unchanged().await;
    }
}

fn is_of(item: Option<&EventItem>, fence: &ChildId) -> bool {
    match item {
        Some(EventItem::Event(
            Event::Child(ChildInfo { id, .. })
            | Event::ChildGone { id }
            | Event::RunStopping { id, .. }
            | Event::RunExited { id, .. },
        )) => id == fence,
        _ => false,
    }
}

fn spec_error(refusal: StartChildError) -> Result<SpecError, StartChildError> {
    match refusal {
        StartChildError::Spec(error) => Ok(error),
        other => Err(other),
    }
}

/// What every text id refuses.
fn texts_are_checked<T: Debug + PartialEq>(
    what: &'static str,
    max: usize,
    new: impl Fn(String) -> Result<T, IdError>,
) {
    assert_eq!(new(String::new()), Err(IdError::Empty { what }));
    let len = max + 1;
    assert_eq!(new("x".repeat(len)), Err(IdError::TooLong { what, len, max }));
    // Bytes count, not characters.
    assert_eq!(new("ü".repeat(max)), Err(IdError::TooLong { what, len: 2 * max, max }));
    assert_eq!(new("a\u{7}b".to_owned()), Err(IdError::ControlCharacter { what, at: 1 }));
    assert_eq!(new("a\nb".to_owned()), Err(IdError::ControlCharacter { what, at: 1 }));
    new("x".repeat(max)).expect("the longest that is allowed");
}

#[test]
fn texts_of_every_id_are_checked_where_they_enter() {
    texts_are_checked("child id", 256, ChildId::new);
    texts_are_checked("kind", 64, Kind::new);
    texts_are_checked("member name", 128, MemberName::new);
    texts_are_checked("cluster name", 64, ClusterName::new);
    texts_are_checked("scope", 64, Scope::new);
    let json = |id: &str| serde_json::json!({ "id": id, "kind": "steady", "args": 0 });
    serde_json::from_value::<ChildSpec>(json("fine")).expect("a spec");
    for id in ["", "a\nb", &"x".repeat(257)] {
        serde_json::from_value::<ChildSpec>(json(id)).expect_err("plain data is checked too");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oversized_args_and_labels_are_refused_and_change_nothing() {
    let mut calm = Calm::new("oversized").await;
    let id: ChildId = "big".parse().expect("an id");
    // Two quotes belong to the text.
    let text = |bytes: usize| Args::new(&"x".repeat(bytes - 2)).expect("args");
    let big =
        |bytes| ChildSpec::of_kind(id.clone(), "nobody".parse().expect("a kind"), text(bytes));
    let (len, max) = (64 * 1024 + 1, 64 * 1024);
    calm.refuses(&big(len), |refusal| {
        let error = spec_error(refusal)?;
        assert_eq!(error, SpecError::ArgsTooLong { len, max });
        Ok(())
    })
    .await;

    let what = "labels";
    let many = (0..17).fold(steady("many"), |spec, n| spec.label(format!("l{n}"), ""));
    calm.refuses(&many, |refusal| {
        let error = spec_error(refusal)?;
        assert_eq!(error, SpecError::TooManyLabels { what, count: 17, max: 16 });
        Ok(())
    })
    .await;
    let many = (0..17).fold(steady("many"), |spec, n| spec.require(format!("l{n}"), ""));
    calm.refuses(&many, |refusal| {
        let error = spec_error(refusal)?;
        assert!(matches!(error, SpecError::TooManyLabels { count: 17, max: 16, .. }), "{error:?}");
        Ok(())
    })
    .await;
    let long = "x".repeat(129);
    for spec in [steady("long").label(&long, "v"), steady("long").label("k", &long)] {
        calm.refuses(&spec, |refusal| {
            let error = spec_error(refusal)?;
            let too_long =
                matches!(error, SpecError::Id(IdError::TooLong { len: 129, max: 128, .. }));
            assert!(too_long, "{error:?}");
            Ok(())
        })
        .await;
    }
    for spec in [steady("control").label("k\n", "v"), steady("control").label("", "v")] {
        calm.refuses(&spec, |refusal| match spec_error(refusal)? {
            SpecError::Id(IdError::ControlCharacter { .. } | IdError::Empty { .. }) => Ok(()),
            other => Err(other.into()),
        })
        .await;
    }

    // The largest that is allowed is no bad input.
    let largest =
        (0..16).fold(big(max), |spec, n| spec.label(format!("{n:0>128}"), "x".repeat(128)));
    accepted(calm.member(), [largest.clone()]).await;
    let listed = calm.members[0].lookup(&largest.id).await.expect("an answer").expect("listed");
    assert_eq!(listed.labels, largest.labels);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contradictory_specs_are_refused_and_change_nothing() {
    let mut calm = Calm::new("contradictory").await;
    let zero = steady("zero").shutdown(Shutdown::Grace(Duration::ZERO));
    calm.refuses(&zero, |refusal| {
        assert_eq!(spec_error(refusal)?, SpecError::ZeroGrace);
        Ok(())
    })
    .await;
    let exclusivity = Exclusivity::Strict;
    let both = steady("both").handover(Handover::StartFirst).exclusivity(exclusivity);
    calm.refuses(&both, |refusal| {
        assert_eq!(spec_error(refusal)?, SpecError::StartFirstNotAllowed { exclusivity });
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn args_that_do_not_decode_for_a_known_kind_are_refused_and_change_nothing() {
    let mut calm = Calm::new("args").await;
    for args in [serde_json::json!("text"), serde_json::json!(-1), serde_json::json!({"n": 1})] {
        let spec = ChildSpec::of_kind(
            "odd".parse().expect("an id"),
            "steady".parse().expect("a kind"),
            Args::from_value(&args),
        );
        calm.refuses(&spec, |refusal| match refusal {
            StartChildError::Args { kind, reason } => {
                assert_eq!(kind.as_str(), "steady");
                assert!(reason.contains("u32"), "it says what was expected: {reason}");
                Ok(())
            }
            other => Err(other),
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batch_refuses_what_is_wrong_in_it_alone_or_all_together() {
    let mut calm = Calm::new("batch").await;
    let bad = steady("bad").label("", "");
    let twice = [steady("x"), steady("x"), bad.clone()];
    let outcomes = calm.member().start_children(twice.clone(), Batch::AllOrNothing).await;
    let [first, second, third] = outcomes.try_into().expect("one for each");
    assert!(matches!(first, Err(StartChildError::RefusedTogether { .. })), "{first:?}");
    let is_twice = |it: &StartChildError| matches!(it, StartChildError::Duplicate { id } if *id == twice[0].id);
    assert!(second.as_ref().is_err_and(is_twice), "{second:?}");
    assert!(matches!(third, Err(StartChildError::Spec(SpecError::Id(_)))), "{third:?}");
    calm.unchanged().await;

    // One that only the cluster can refuse takes the others with it as well.
    let outcomes =
        calm.member().start_children([steady("x"), steady_with("present", 9)], Batch::AllOrNothing);
    let [first, second] = outcomes.await.try_into().expect("one for each");
    assert!(matches!(first, Err(StartChildError::RefusedTogether { .. })), "{first:?}");
    assert!(matches!(second, Err(StartChildError::Conflict { .. })), "{second:?}");
    eventually("it is as it was before", async || {
        let now = picture(calm.member()).await;
        if now == calm.before { Ok(()) } else { Err(now) }
    })
    .await;

    let outcomes = calm.member().start_children(twice, Batch::EachAlone).await;
    let [first, second, third] = outcomes.try_into().expect("one for each");
    assert_eq!(first.expect("it is fine by itself"), Started::Accepted);
    assert!(matches!(second, Err(StartChildError::Duplicate { .. })), "{second:?}");
    assert!(matches!(third, Err(StartChildError::Spec(_))), "{third:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_about_what_is_not_there_say_so_and_change_nothing() {
    let mut calm = Calm::new("absent").await;
    let absent = steady("absent");
    for member in &calm.members {
        let refused = member.replace_child(absent.clone()).await;
        let is_absent = |it: &StartChildError| matches!(it, StartChildError::NotFound { id } if *id == absent.id);
        assert!(refused.as_ref().is_err_and(is_absent), "{refused:?}");
        let ended = member.terminate_child(&absent.id).await.expect("an answer");
        assert_eq!(ended, Terminated::NotFound);
        assert!(!member.restart_child(&absent.id).await.expect("an answer"));
        assert_eq!(member.lookup(&absent.id).await.expect("an answer"), None);
        assert_eq!(member.explain(&absent.id).await.expect("an answer"), None);
        let nobody: MemberName = "nobody".parse().expect("a name");
        assert_eq!(member.plan_leave(&nobody).await.expect("an answer"), None);
        for outcome in [
            member.cordon(&nobody).await,
            member.uncordon(&nobody).await,
            member.drain(&nobody, WITHIN).await.map(drop),
        ] {
            let is_unknown = |it: &RequestError| matches!(it, RequestError::UnknownMember { name } if *name == nobody);
            assert!(outcome.as_ref().is_err_and(is_unknown), "{outcome:?}");
        }
    }
    calm.unchanged().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kind_that_nobody_offers_waits_and_runs_once_a_member_offers_it() {
    let cluster = Cluster::new("kind");
    let [a, b] = cluster.members(["a", "b"]).await;
    let spec = of_kind("rare", "rare");
    accepted(&a, [spec.clone()]).await;
    for member in [&a, &b] {
        eventually("it waits for the kind, and says so", async || {
            let child = member.lookup(&spec.id).await.expect("an answer");
            match child.as_ref().map(|child| &child.status) {
                Some(Status::Pending { why: PendingReason::NoMemberOffersKind { kind } }) => {
                    assert_eq!(*kind, spec.kind);
                    Ok(())
                }
                _ => Err(child),
            }
        })
        .await;
    }
    let rare = |(): (), cx: ChildContext| async move {
        cx.stopping().await;
        Ok(())
    };
    let c = started(cluster.builder("c").kind_fn("rare", rare)).await;
    for member in [&a, &b, &c] {
        assert_eq!(running(member, &spec.id).await.member, Some("c".parse().expect("a name")));
    }
    c.shutdown().await;
    eventually("it waits again", async || {
        let child = a.lookup(&spec.id).await.expect("an answer");
        match child.as_ref().map(|child| &child.status) {
            Some(Status::Pending { why: PendingReason::NoMemberOffersKind { .. } }) => Ok(()),
            _ => Err(child),
        }
    })
    .await;
}
