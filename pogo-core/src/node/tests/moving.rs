//! Moves, survivors and drains (R7, R8, R23).

use super::*;
use crate::{
    id::Lineage,
    node::wire::{StateRecord, state_key},
    record::Version,
    spec::{Handover, Restart},
};

#[test]
fn holder_releases_only_to_the_owner_that_wants_the_child() {
    let mut solo = Solo::new();
    let child = Solo::child_of("b");
    solo.running(&child);
    solo.join("b");
    assert!(solo.stopped.is_empty(), "nobody asked for it yet");
    solo.want("b", &child);
    let to = MemberName::new("b").unwrap();
    assert_eq!(solo.stopped.last().unwrap().2, StopReason::Moving { to: to.clone() });
    assert_eq!(solo.status(&child), Some(Status::Moving { to }));
    solo.exit(&child, ExitReason::Normal);
    let released = ReportPhase::Released { to: boot("b"), lineage: None };
    assert_eq!(solo.published(&child), Some(released));
    solo.report("b", &child, ReportPhase::Starting);
    assert_eq!(solo.published(&child), None, "taken up");
}

/// It was cordoned meanwhile, and began the child beside its owner (random clusters on a store, seed 396).
#[test]
fn release_stands_for_a_newer_version_while_its_taker_lives() {
    let mut solo = Solo::new();
    let child = Solo::child_of("b");
    solo.running(&child);
    solo.join("b");
    solo.want("b", &child);
    solo.exit(&child, ExitReason::Normal);
    let view = solo.node.members.view(1);
    solo.owned("b", &OwnedKey::View, Some(to_packed(&view).unwrap()));
    assert_eq!(solo.node.inspect().owner(&id(&child)).unwrap().name.as_str(), "a");
    solo.request(Request::Restart(id(&child)));
    assert_eq!(solo.started.len(), 1);
    solo.report("b", &child, ReportPhase::Starting);
    solo.advance(Duration::from_secs(20));
    assert_eq!((solo.published(&child), solo.started.len()), (None, 1), "taken up");
}

#[test]
fn want_for_a_child_that_is_not_the_others_is_ignored() {
    let mut solo = Solo::new();
    let child = Solo::child_of("a");
    solo.running(&child);
    solo.join("b");
    solo.want("b", &child);
    assert!(solo.stopped.is_empty());
}

#[test]
fn state_is_written_before_the_child_is_released() {
    let mut solo = Solo::new();
    let child = Solo::child_of("b");
    solo.running(&child);
    solo.join("b");
    solo.want("b", &child);
    let run = solo.run_of(&child);
    let state = Some(bytes::Bytes::from_static(b"41"));
    let end = RunEnd { reason: ExitReason::Normal, finished: false, state };
    solo.input(Input::ChildExited { child: id(&child), run, end });
    let lineage = Some(Lineage::new(1));
    assert_eq!(solo.published(&child), Some(ReportPhase::Released { to: boot("b"), lineage }));
    let record = solo.store.get(&state_key(&id(&child))).unwrap();
    let state: StateRecord = wire::from_packed(record.value.as_ref().unwrap()).unwrap();
    assert_eq!(&state.state[..], b"41");
}

#[test]
fn owner_asks_the_holder_and_starts_with_its_state() {
    let mut solo = Solo::new();
    solo.join("b");
    let child = Solo::child_of("a");
    solo.event(membership::Event::MemberUp(info("c", MemberStatus::Joining)));
    solo.event(membership::Event::MemberDown(member_id("c"), DownReason::Left));
    // It runs on `b` before this member has it.
    let donor = {
        let mut donor = Solo::new();
        donor.running(&child);
        donor
    };
    let record = donor.store.into_iter().next().unwrap();
    let version = record.1.stamp.version;
    let running = |phase| {
        to_packed(&Report { version, phase, restarts: 0, failures: 0, token: None, endpoint: None })
            .unwrap()
    };
    let key = OwnedKey::Report(id(&child));
    solo.owned("b", &key, Some(running(ReportPhase::Running)));
    solo.event(membership::Event::Shared(vec![record]));
    assert!(solo.wants(&child));
    assert!(solo.started.is_empty());
    let state = StateRecord {
        kind: Kind::new("k").unwrap(),
        lineage: Lineage::new(4),
        absorb_by: None,
        state: bytes::Bytes::from_static(b"7"),
    };
    let bytes = Some(to_packed(&state).unwrap());
    let stamp = crate::record::Stamp {
        version: Version::of(99, boot("b"), bytes.as_deref()),
        stage: crate::record::Stage::Live,
    };
    solo.store.insert(state_key(&id(&child)), Record { stamp, value: bytes });
    let lineage = Some(Lineage::new(4));
    solo.owned("b", &key, Some(running(ReportPhase::Released { to: boot("a"), lineage })));
    assert_eq!(solo.started[0].inherited.as_deref(), Some(&b"7"[..]));
    assert!(!solo.wants(&child), "it has been taken up");
    solo.ready(&child);
    assert_eq!(solo.store.get(&state_key(&id(&child))).unwrap().value, None, "used up");
}

#[test]
fn running_best_never_stops_and_the_other_does() {
    let mut solo = Solo::new();
    let mine = Solo::child_of("a");
    let theirs = Solo::child_of("b");
    solo.running(&mine);
    solo.running(&theirs);
    solo.join("b");
    solo.report("b", &mine, ReportPhase::Running);
    assert!(solo.stopped.is_empty());
    solo.report("b", &theirs, ReportPhase::Starting);
    assert!(solo.stopped.is_empty(), "the better one does not run yet");
    solo.report("b", &theirs, ReportPhase::Running);
    let (child, _, reason) = solo.stopped.last().unwrap();
    assert_eq!((child.as_str(), reason), (theirs.as_str(), &StopReason::Superseded));
}

#[test]
fn start_first_move_stops_the_old_one_when_the_new_one_runs() {
    let mut solo = Solo::new();
    let child = Solo::child_of("b");
    solo.start(spec(&child).handover(Handover::StartFirst)).unwrap();
    solo.ready(&child);
    solo.join("b");
    solo.report("b", &child, ReportPhase::Starting);
    assert!(solo.stopped.is_empty());
    solo.report("b", &child, ReportPhase::Running);
    let to = MemberName::new("b").unwrap();
    assert_eq!(solo.stopped.last().unwrap().2, StopReason::Moving { to });
}

#[test]
fn crash_of_the_holder_is_taken_over_without_waiting() {
    let mut solo = Solo::new();
    solo.join("b");
    let child = Solo::child_of("b");
    solo.start(spec(&child)).unwrap();
    solo.report("b", &child, ReportPhase::Running);
    solo.advance(Duration::from_secs(10));
    solo.down("b", DownReason::Failed);
    assert_eq!(solo.started.len(), 1);
}

/// A child of `b` on a member that sees it released to `c`, and will own it once `b` is gone.
fn released_past_the_heir() -> (Solo, String) {
    use crate::placement::{Candidate, ChildKey, owner};
    let names = ["a", "b", "c"].map(|name| MemberName::new(name).unwrap());
    let [a, b, c] = [0, 1, 2].map(|at: usize| Candidate::new(&names[at], 1));
    let owner_of =
        |id: &str, of: &[Candidate<'_>]| owner(ChildKey::new(id), of).unwrap().name().clone();
    let child = (0..1_000)
        .map(|n| format!("c{n}"))
        .find(|id| owner_of(id, &[a, b]) == names[1] && owner_of(id, &[a, c]) == names[0]);
    let child = child.unwrap();
    let mut solo = Solo::new();
    solo.join("b");
    solo.start(spec(&child)).unwrap();
    solo.report("b", &child, ReportPhase::Running);
    solo.join("c");
    solo.report("b", &child, ReportPhase::Released { to: boot("c"), lineage: None });
    (solo, child)
}

/// Two started it: the taker, and who saw that its releaser had left (swarm on the hub, seed 442).
#[test]
fn child_whose_release_is_gone_was_taken_up_as_far_as_anybody_knows() {
    let (mut solo, child) = released_past_the_heir();
    solo.down("b", DownReason::Left);
    assert!(solo.started.is_empty(), "its report may be on the way");
    solo.report("c", &child, ReportPhase::Starting);
    solo.advance(Duration::from_secs(20));
    assert!(solo.started.is_empty(), "it runs there");

    let (mut solo, _child) = released_past_the_heir();
    solo.down("b", DownReason::Left);
    solo.advance(Duration::from_secs(1));
    assert_eq!(solo.started.len(), 1, "nobody took it up");

    let (mut solo, _child) = released_past_the_heir();
    solo.down("c", DownReason::Failed);
    solo.down("b", DownReason::Left);
    assert_eq!(solo.started.len(), 1, "nobody else could");
}

#[test]
fn child_released_to_another_is_not_an_orphan_while_that_lives() {
    let mut solo = Solo::new();
    solo.join("b");
    let child = Solo::child_of("a");
    solo.start(spec(&child)).unwrap();
    solo.ready(&child);
    solo.event(membership::Event::MemberUp(info("c", MemberStatus::Active)));
    let end = RunEnd { reason: ExitReason::Normal, finished: false, state: None };
    let run = solo.run_of(&child);
    solo.terminate(&child);
    solo.input(Input::ChildExited { child: id(&child), run, end });
    solo.start(spec(&child)).unwrap();
    assert_eq!(solo.started.len(), 1, "views settle");
    solo.report("b", &child, ReportPhase::Released { to: boot("c"), lineage: None });
    solo.advance(Duration::from_secs(9));
    assert_eq!(solo.started.len(), 1);
    solo.advance(Duration::from_secs(2));
    let owner = solo.node.inspect().owner(&id(&child)).unwrap().name.clone();
    let expected = if owner.as_str() == "a" { 2 } else { 1 };
    assert_eq!(solo.started.len(), expected);
}

#[test]
fn drain_ends_when_every_child_was_taken_up() {
    let mut solo = Solo::new();
    solo.running("x");
    solo.join("b");
    let member = MemberName::new("a").unwrap();
    let deadline = Duration::from_secs(30);
    solo.request(Request::Drain { member, deadline });
    solo.agree("b");
    solo.want("b", "x");
    solo.exit("x", ExitReason::Normal);
    assert_eq!(solo.stops, 0);
    solo.report("b", "x", ReportPhase::Starting);
    assert_eq!(solo.stops, 1);
    let Some((_, Reply::Drained(drained))) = solo.replies.last() else { panic!() };
    assert_eq!((drained.moved.len(), drained.left_behind.len()), (1, 0));
}

#[test]
fn drain_stops_at_once_what_nobody_else_may_run_and_reports_it() {
    let mut solo = Solo::new();
    solo.running("x");
    let member = MemberName::new("a").unwrap();
    solo.request(Request::Drain { member, deadline: Duration::from_secs(30) });
    assert_eq!(solo.stopped.last().unwrap().2, StopReason::Draining);
    solo.exit("x", ExitReason::Normal);
    let Some((_, Reply::Drained(drained))) = solo.replies.last() else { panic!() };
    assert_eq!(drained.stopped, [id("x")]);
}

#[test]
fn drain_names_what_was_left_behind_at_its_deadline() {
    let mut solo = Solo::new();
    solo.running("x");
    solo.join("b");
    let member = MemberName::new("a").unwrap();
    solo.request(Request::Drain { member, deadline: Duration::from_secs(3) });
    solo.advance(Duration::from_secs(3));
    assert_eq!(solo.stopped.last().unwrap().2, StopReason::SupervisorStopped);
    solo.exit("x", ExitReason::Normal);
    assert_eq!(solo.stops, 1);
    let Some((_, Reply::Drained(drained))) = solo.replies.last() else { panic!() };
    assert_eq!(drained.left_behind, [id("x")]);
}

#[test]
fn restart_asked_for_stays_on_a_cordoned_member() {
    let mut solo = Solo::new();
    solo.running("x");
    solo.join("b");
    let member = MemberName::new("a").unwrap();
    solo.request(Request::Cordon(member));
    solo.request(Request::Restart(id("x")));
    assert_eq!(solo.stopped.last().unwrap().2, StopReason::Restarted);
    solo.exit("x", ExitReason::Normal);
    assert_eq!(solo.started.len(), 2);
}

#[test]
fn member_that_is_back_died_of_no_child() {
    use crate::node::wire::{StrikesRecord, strikes_key, to_json};
    let mut solo = Solo::new();
    let child = Solo::child_of("a");
    solo.running(&child);
    solo.join("b");
    let version = solo.node.inspect().record(&id(&child)).unwrap().0.version;
    let boots = [boot("b"), boot("c"), boot("d")].into();
    let bytes = to_json(&StrikesRecord { version, boots }).unwrap();
    let mut record = solo.node.new_record(Some(bytes));
    record.stamp.version.hlc += 10;
    solo.event(membership::Event::Shared(vec![(strikes_key(&id(&child)), record)]));
    let written = solo.store.get(&strikes_key(&id(&child))).unwrap().value.clone().unwrap();
    let written: StrikesRecord = wire::from_json(&written).unwrap();
    assert_eq!(written.boots, [boot("c"), boot("d")].into());
}

#[test]
fn state_ends_with_its_child() {
    let mut solo = Solo::new();
    solo.running("x");
    solo.input(Input::Client(RequestId::new(77), Request::Restart(id("x"))));
    let run = solo.run_of("x");
    let state = Some(bytes::Bytes::from_static(b"41"));
    let end = RunEnd { reason: ExitReason::Normal, finished: false, state };
    solo.input(Input::ChildExited { child: id("x"), run, end });
    assert_eq!(solo.started.last().unwrap().inherited.as_deref(), Some(&b"41"[..]));
    solo.terminate("x");
    solo.exit("x", ExitReason::Aborted);
    solo.start(spec("x")).unwrap();
    assert_eq!(solo.started.len(), 3);
    assert_eq!(solo.started.last().unwrap().inherited, None, "a new life");
}

/// The state `text` of this lineage, as it was handed over.
fn state_of(lineage: u64, text: &'static str) -> Record {
    use crate::record::{Stage, Stamp};
    let value = StateRecord {
        kind: Kind::new("k").unwrap(),
        lineage: Lineage::new(lineage),
        absorb_by: None,
        state: bytes::Bytes::from_static(text.as_bytes()),
    };
    let bytes = Some(to_packed(&value).unwrap());
    let version = Version::of(2_000_000 + lineage, boot("b"), bytes.as_deref());
    Record { stamp: Stamp { version, stage: Stage::Live }, value: bytes }
}

#[test]
fn later_attempt_is_given_what_was_handed_over_since() {
    let mut solo = Solo::new();
    let key = state_key(&id("x"));
    for (lineage, text) in [(1, "old"), (2, "new")] {
        solo.store.insert(key.clone(), state_of(lineage, text));
        solo.event(membership::Event::Shared(vec![(key.clone(), state_of(lineage, text))]));
        if lineage == 1 {
            solo.start(spec("x")).unwrap();
        } else {
            solo.exit("x", ExitReason::Failed("e".into()));
            solo.advance(Duration::from_secs(1));
        }
        assert_eq!(solo.started.last().unwrap().inherited.as_deref(), Some(text.as_bytes()));
    }
    assert_eq!(solo.started.len(), 2);
}

#[test]
fn used_state_that_an_older_copy_of_the_store_shows_is_removed_again() {
    let mut solo = Solo::new();
    let key = state_key(&id("x"));
    solo.store.insert(key.clone(), state_of(1, "old"));
    solo.event(membership::Event::Shared(vec![(key.clone(), state_of(1, "old"))]));
    solo.start(spec("x")).unwrap();
    solo.ready("x");
    let used = solo.store.get(&key).cloned().unwrap();
    assert_eq!(used.value, None);
    solo.event(membership::Event::Shared(vec![(key.clone(), used.clone())]));
    solo.store.insert(key.clone(), state_of(1, "old"));
    solo.event(membership::Event::Shared(vec![(key.clone(), state_of(1, "old"))]));
    assert_eq!(solo.store.get(&key), Some(&used));
}

#[test]
fn start_that_is_decided_waits_for_what_ends_elsewhere_and_not_beside_what_does_not() {
    for phase in [ReportPhase::Stopping, ReportPhase::Stuck] {
        let mut solo = Solo::new();
        let child = Solo::child_of("a");
        solo.join("b");
        solo.answers_publish = false;
        solo.start(spec(&child)).unwrap();
        let told = solo.unanswered.take().unwrap();
        solo.answers_publish = true;
        solo.report("b", &child, phase);
        solo.input(Input::Answer(told, Answer::Done));
        assert!(solo.started.is_empty());
        solo.owned("b", &OwnedKey::Report(id(&child)), None);
        assert_eq!(solo.started.len(), 1);
    }
}

/// What `name` says of an instance of this version.
fn tells(solo: &mut Solo, name: &str, child: &str, version: Version, phase: ReportPhase) {
    let report = Report { version, phase, restarts: 0, failures: 0, token: None, endpoint: None };
    let value = to_packed(&report).unwrap();
    solo.owned(name, &OwnedKey::Report(id(child)), Some(value));
}

#[test]
fn nothing_begins_beside_a_stuck_instance_of_an_older_version() {
    let old = Version::of(1, boot("b"), Some(b"old"));
    for restart in [Restart::Permanent, Restart::Temporary] {
        let mut solo = Solo::new();
        let child = Solo::child_of("a");
        solo.join("b");
        solo.answers_publish = false;
        solo.start(spec(&child).restart(restart)).unwrap();
        let told = solo.unanswered.take().unwrap();
        solo.answers_publish = true;
        tells(&mut solo, "b", &child, old, ReportPhase::Stopping);
        solo.input(Input::Answer(told, Answer::Done));
        tells(&mut solo, "b", &child, old, ReportPhase::Stuck);
        assert!(solo.started.is_empty());
        solo.owned("b", &OwnedKey::Report(id(&child)), None);
        assert_eq!(solo.started.len(), 1, "{restart:?}");
    }
}

#[test]
fn stuck_instance_beside_a_running_one_keeps_a_start_first_move_back() {
    let mut donor = Solo::new();
    for n in 0..10 {
        donor.start(spec(&format!("c{n}")).handover(Handover::StartFirst)).unwrap();
    }
    let mut solo = Solo::new();
    solo.join("b");
    solo.join("c");
    let records: Vec<_> = donor.store.into_iter().collect();
    for n in 0..10 {
        let child = format!("c{n}");
        let version = donor.node.inspect().record(&id(&child)).unwrap().0.version;
        tells(&mut solo, "b", &child, version, ReportPhase::Running);
        tells(&mut solo, "c", &child, version, ReportPhase::Stuck);
    }
    solo.event(membership::Event::Shared(records));
    let owner_of = |n| solo.node.inspect().owner(&id(&format!("c{n}"))).unwrap().name.clone();
    assert!((0..10).any(|n| owner_of(n).as_str() == "a"));
    assert!(solo.started.is_empty());
}
