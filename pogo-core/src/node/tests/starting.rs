//! When a member starts what nobody runs (R5, R6, R11, R12).

use super::*;
use crate::{
    id::FencingToken,
    record::Stage,
    spec::{Exclusivity, Restart},
};

#[test]
fn nobody_acts_before_the_first_snapshot() {
    let mut solo = Solo::joining(&Config::default());
    solo.event(membership::Event::Reset { rolled_back: false });
    let mut donor = Solo::new();
    donor.start(spec("x")).unwrap();
    let records = donor.store.into_iter().collect();
    solo.event(membership::Event::Shared(records));
    assert!(solo.started.is_empty());
    solo.event(membership::Event::Synced);
    assert_eq!(solo.started.len(), 1);
}

#[test]
fn lone_member_starts_at_once() {
    let mut solo = Solo::new();
    assert!(matches!(solo.start(spec("x")), Ok(Started::Accepted)));
    assert_eq!(solo.started.len(), 1);
    solo.ready("x");
    assert_eq!(solo.status("x"), Some(Status::Running));
}

#[test]
fn start_waits_until_views_agree_after_a_join() {
    let mut solo = Solo::new();
    let child = Solo::child_of("a");
    solo.event(membership::Event::MemberUp(info("b", MemberStatus::Active)));
    solo.start(spec(&child)).unwrap();
    assert!(solo.started.is_empty());
    let why = PendingReason::ViewSettling;
    assert_eq!(solo.status(&child), Some(Status::Pending { why }));
    solo.agree("b");
    assert_eq!(solo.started.len(), 1);
}

/// Another member that reads only now of the cordon takes itself for the owner meanwhile (random
/// clusters on a store, seed 1045; R6).
#[test]
fn view_from_before_a_cordon_that_was_taken_back_is_no_agreement() {
    let mut solo = Solo::new();
    let child = Solo::child_of("a");
    solo.join("b");
    let me = MemberName::new("a").unwrap();
    solo.request(Request::Cordon(me.clone()));
    solo.request(Request::Uncordon(me));
    solo.start(spec(&child)).unwrap();
    assert!(solo.started.is_empty());
    solo.agree("b");
    assert_eq!(solo.started.len(), 1);
}

#[test]
fn start_goes_ahead_when_the_settling_time_is_over() {
    let mut solo = Solo::new();
    let child = Solo::child_of("a");
    solo.event(membership::Event::MemberUp(info("b", MemberStatus::Active)));
    solo.start(spec(&child)).unwrap();
    solo.advance(Duration::from_millis(49));
    assert!(solo.started.is_empty());
    solo.advance(Duration::from_millis(1));
    assert_eq!(solo.started.len(), 1);
}

#[test]
fn run_begins_only_after_its_report_is_with_the_backend() {
    let mut solo = Solo::new();
    solo.answers_publish = false;
    solo.start(spec("x")).unwrap();
    assert_eq!(solo.published("x"), Some(ReportPhase::Starting));
    assert!(solo.started.is_empty());
    let told = solo.unanswered.take().unwrap();
    solo.input(Input::Answer(told, Answer::Done));
    assert_eq!(solo.started.len(), 1);
}

#[test]
fn children_wait_for_the_least_number_of_members_once() {
    let min_members = std::num::NonZeroU32::new(2).unwrap();
    let mut solo = Solo::with(&Config { min_members, ..Config::default() });
    let child = Solo::child_of("a");
    solo.start(spec(&child)).unwrap();
    let why = PendingReason::WaitingForMembers { have: 1, want: 2 };
    assert_eq!(solo.status(&child), Some(Status::Pending { why }));
    solo.join("b");
    assert_eq!(solo.started.len(), 1);
    solo.down("b", DownReason::Failed);
    solo.start(spec("other")).unwrap();
    assert_eq!(solo.started.len(), 2, "the number is latched");
}

#[test]
fn temporary_child_is_marked_spent_before_it_starts_and_done_after() {
    let mut solo = Solo::new();
    solo.start(spec("x").restart(Restart::Temporary)).unwrap();
    assert_eq!(solo.started.len(), 1);
    let stages: Vec<_> = solo.puts.iter().map(|put| put.record.stamp.stage).collect();
    assert_eq!(stages, [Stage::Live, Stage::Spent(boot("a"))]);
    solo.ready("x");
    solo.exit("x", ExitReason::Failed("gone".into()));
    assert_eq!(solo.puts.last().unwrap().record.stamp.stage, Stage::Done);
    assert_eq!(solo.status("x"), None);
    solo.advance(Duration::from_secs(120));
    assert_eq!(solo.started.len(), 1);
}

#[test]
fn temporary_child_spent_elsewhere_is_not_started_here() {
    let mut solo = Solo::new();
    solo.join("b");
    let child = Solo::child_of("b");
    solo.start(spec(&child).restart(Restart::Temporary)).unwrap();
    let (key, mut record) = solo.store.clone().into_iter().next().unwrap();
    record.stamp.stage = Stage::Spent(boot("b"));
    solo.event(membership::Event::Shared(vec![(key, record)]));
    solo.down("b", DownReason::Failed);
    solo.advance(Duration::from_secs(20));
    assert!(solo.started.is_empty());
    assert_eq!(solo.status(&child), None, "its one run is over");
}

#[test]
fn strict_child_starts_with_the_token_of_its_claim() {
    let mut solo = Solo::new();
    solo.claims = Some(ClaimOutcome::Held { token: FencingToken::new(7) });
    solo.start(spec("x").exclusivity(Exclusivity::Strict)).unwrap();
    assert_eq!(solo.started[0].token, Some(FencingToken::new(7)));
}

#[test]
fn strict_child_waits_while_its_claim_is_held_elsewhere() {
    let mut solo = Solo::new();
    let token = FencingToken::new(7);
    solo.claims = Some(ClaimOutcome::HeldBy { owner: member_id("z"), token });
    solo.start(spec("x").exclusivity(Exclusivity::Strict)).unwrap();
    assert!(solo.started.is_empty());
    let why = PendingReason::ClaimHeld { by: MemberName::new("z").unwrap() };
    assert_eq!(solo.status("x"), Some(Status::Pending { why }));
    solo.claims = Some(ClaimOutcome::Held { token: FencingToken::new(8) });
    solo.event(membership::Event::ClaimFree(vec![wire::claim_key(&id("x"))]));
    assert_eq!(solo.started[0].token, Some(FencingToken::new(8)));
}

#[test]
fn kind_that_nobody_offers_is_accepted_and_pending() {
    let mut solo = Solo::new();
    let other = ChildSpec { kind: Kind::new("other").unwrap(), ..spec("x") };
    assert!(matches!(solo.start(other), Ok(Started::Accepted)));
    let why = PendingReason::NoMemberOffersKind { kind: Kind::new("other").unwrap() };
    assert_eq!(solo.status("x"), Some(Status::Pending { why }));
}

#[test]
fn child_whose_start_killed_three_members_is_quarantined() {
    let mut solo = Solo::new();
    for name in ["m1", "m2", "m3"] {
        solo.event(membership::Event::MemberUp(info(name, MemberStatus::Active)));
    }
    let child = (0..1_000)
        .map(|n| format!("p{n}"))
        .find(|child| {
            solo.start(spec(child)).unwrap();
            solo.node.inspect().owner(&id(child)).unwrap().name.as_str() != "a"
        })
        .unwrap();
    for name in ["m1", "m2", "m3"] {
        solo.report(name, &child, ReportPhase::Starting);
        solo.down(name, DownReason::Failed);
        solo.advance(Duration::from_millis(1));
    }
    solo.advance(Duration::from_secs(1));
    assert!(
        matches!(solo.status(&child), Some(Status::Quarantined { .. })),
        "{:?}",
        solo.status(&child)
    );
    assert!(!solo.started.iter().any(|start| start.child == id(&child)));
}

#[test]
fn newcomer_starts_nothing_while_another_is_still_joining() {
    let mut solo = Solo::joining(&Config::default());
    solo.event(membership::Event::Reset { rolled_back: false });
    solo.event(membership::Event::MemberUp(info("a", MemberStatus::Joining)));
    solo.event(membership::Event::MemberUp(info("b", MemberStatus::Joining)));
    solo.event(membership::Event::Synced);
    let child = Solo::child_of("a");
    solo.start(spec(&child)).unwrap();
    assert!(solo.started.is_empty(), "it may have started there by now");
    solo.event(membership::Event::MemberUp(info("b", MemberStatus::Active)));
    assert!(solo.started.is_empty());
    solo.agree("b");
    assert_eq!(solo.started.len(), 1);
}

/// Its next process may be the next to start the child, and no other has to be (simulation, random
/// clusters, seeds 1388 and 1553).
#[test]
fn death_of_a_member_is_recorded_at_once_whoever_starts_its_child_next() {
    for failover_delay in [Duration::ZERO, Duration::from_secs(3)] {
        let mut solo = Solo::with(&Config { failover_delay, ..Config::default() });
        solo.join("b");
        let child = Solo::child_of("b");
        solo.start(spec(&child)).unwrap();
        solo.report("b", &child, ReportPhase::Starting);
        solo.answers_publish = false;
        solo.puts.clear();
        solo.down("b", DownReason::Failed);
        assert!(solo.started.is_empty(), "nothing starts before it is told");
        assert_eq!(solo.puts[0].key, wire::strikes_key(&id(&child)));
    }
}

#[test]
fn two_starts_of_one_name_have_the_same_first_whichever_comes_last() {
    // Each input is followed by the node's check of itself: an owner is first in its order.
    for (old, new) in [("x", "y"), ("y", "x")] {
        let mut solo = Solo::new();
        solo.start(spec(&Solo::child_of("b"))).unwrap();
        for (start, incarnation) in [(old, 1), (new, 2)] {
            let mut info = info("b", MemberStatus::Active);
            info.id.boot = boot(start);
            info.id.incarnation = Incarnation::new(incarnation);
            solo.event(membership::Event::MemberUp(info));
        }
    }
}
