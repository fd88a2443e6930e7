//! States that nothing led out of, and work that outlived whoever asked for it.

use super::*;
use crate::{
    id::FencingToken,
    membership::MembershipError,
    record::{Stage, Stamp, Version},
    spec::{Exclusivity, Handover, Restart},
};

fn drain_me(solo: &mut Solo) {
    let member = MemberName::new("a").unwrap();
    solo.request(Request::Drain { member, deadline: Duration::from_secs(60) });
}

fn drained(solo: &Solo) -> Option<&Drained> {
    solo.replies.iter().find_map(|(_, reply)| {
        let Reply::Drained(drained) = reply else { return None };
        Some(drained)
    })
}

#[test]
fn start_first_child_of_a_draining_member_is_taken_over_while_it_runs_there() {
    let mut solo = Solo::new();
    solo.join("b");
    let child = Solo::child_of("b");
    solo.start(spec(&child).handover(Handover::StartFirst)).unwrap();
    solo.report("b", &child, ReportPhase::Running);
    solo.event(membership::Event::MemberUp(info("b", MemberStatus::Draining)));
    assert_eq!(solo.started.len(), 1);
    solo.ready(&child);
    assert_eq!(solo.published(&child), Some(ReportPhase::Running));
    assert!(solo.stopped.is_empty(), "{:?}", solo.stopped);
}

#[test]
fn draining_member_gives_a_start_first_child_up_once_its_successor_runs() {
    let mut solo = Solo::new();
    solo.join("b");
    let child = Solo::child_of("a");
    solo.start(spec(&child).handover(Handover::StartFirst)).unwrap();
    solo.ready(&child);
    drain_me(&mut solo);
    solo.report("b", &child, ReportPhase::Starting);
    assert!(solo.stopped.is_empty());
    solo.report("b", &child, ReportPhase::Running);
    assert_eq!(solo.stopped.len(), 1);
    solo.exit(&child, ExitReason::Normal);
    assert_eq!(drained(&solo).unwrap().moved, [id(&child)]);
}

#[test]
fn completion_that_a_terminate_overtook_does_not_hold_up_a_drain() {
    let mut solo = Solo::new();
    solo.start(spec("x").restart(Restart::Transient)).unwrap();
    solo.ready("x");
    let version = Version::of(u64::MAX / 2, boot("b"), None);
    let stamp = Stamp { version, stage: Stage::Live };
    solo.overtaken = Some(Record { stamp, value: None });
    solo.exit("x", ExitReason::Normal);
    drain_me(&mut solo);
    assert_eq!(solo.stops, 1);
}

#[test]
fn state_of_a_child_that_nobody_may_run_is_kept_for_its_next_start() {
    let mut solo = Solo::new();
    solo.running("x");
    drain_me(&mut solo);
    let (run, state) = (solo.run_of("x"), Some(bytes::Bytes::from_static(b"7")));
    let end = RunEnd { reason: ExitReason::Normal, finished: false, state };
    solo.input(Input::ChildExited { child: id("x"), run, end });
    assert!(solo.store.contains_key(&Key::new("state/x")));
    assert_eq!(drained(&solo).unwrap().stopped, [id("x")]);
}

#[test]
fn claim_that_was_denied_before_the_child_went_elsewhere_is_asked_for_again() {
    let mut solo = Solo::new();
    let child = Solo::child_of("b");
    let token = FencingToken::new(1);
    solo.claims = Some(ClaimOutcome::HeldBy { owner: member_id("z"), token });
    solo.start(spec(&child).exclusivity(Exclusivity::Strict)).unwrap();
    solo.join("b");
    solo.down("b", DownReason::Left);
    solo.claims = Some(ClaimOutcome::Held { token });
    solo.advance(Duration::from_secs(30));
    assert_eq!(solo.started.len(), 1);
}

#[test]
fn change_that_its_user_was_told_had_failed_is_not_made_later() {
    let mut solo = Solo::new();
    solo.answers_put = false;
    let (specs, mode) = (vec![spec("x")], StartMode::Start);
    solo.request(Request::Start { specs, mode, all_or_nothing: false });
    solo.advance(Duration::from_secs(6));
    assert_eq!(solo.replies.len(), 1);
    solo.answers_put = true;
    let error = MembershipError::Unavailable { backend: "test", reason: "outage".to_owned() };
    let request = solo.unanswered.take().unwrap();
    solo.input(Input::Answer(request, Answer::Failed(error)));
    solo.advance(Duration::from_secs(30));
    assert!(solo.store.is_empty() && solo.started.is_empty());
}

#[test]
fn overlong_address_stays_out_of_the_report() {
    let mut solo = Solo::new();
    solo.start(spec("x")).unwrap();
    let (run, endpoint) = (solo.run_of("x"), Some("u".repeat(4 * 1024)));
    solo.input(Input::ChildReady { child: id("x"), run, endpoint });
    let info = solo.node.inspect().child(&id("x")).unwrap();
    assert_eq!((info.status, info.endpoint), (Status::Running, None));
    assert!(solo.events.iter().any(|event| matches!(event, Event::GarbageDropped { .. })));
}
