//! Users' requests (R3, R20, R26, L6).

use super::*;
use crate::{
    membership::MembershipError,
    spec::{Exclusivity, SpecError},
};

#[test]
fn same_spec_again_writes_nothing() {
    let mut solo = Solo::new();
    solo.running("x");
    let puts = solo.puts.len();
    assert!(matches!(solo.start(spec("x")), Ok(Started::AlreadyPresent(_))));
    assert_eq!(solo.puts.len(), puts);
}

#[test]
fn another_spec_is_a_conflict_unless_it_is_to_replace() {
    let mut solo = Solo::new();
    solo.running("x");
    let other = spec("x").label("v", "2");
    assert!(matches!(solo.start(other.clone()), Err(StartChildError::Conflict { .. })));
    let mode = StartMode::Replace;
    solo.request(Request::Start { specs: vec![other], mode, all_or_nothing: false });
    assert_eq!(solo.stopped.last().unwrap().2, StopReason::Replaced);
    solo.exit("x", ExitReason::Normal);
    assert_eq!(solo.started.len(), 2);
}

#[test]
fn replacing_what_is_absent_is_not_found() {
    let mut solo = Solo::new();
    let mode = StartMode::Replace;
    solo.request(Request::Start { specs: vec![spec("x")], mode, all_or_nothing: false });
    let Some((_, Reply::Started(results))) = solo.replies.last() else { panic!() };
    assert!(matches!(results[0], Err(StartChildError::NotFound { .. })));
    assert!(solo.puts.is_empty());
}

#[test]
fn terminate_then_start_of_one_id_ends_running() {
    let mut solo = Solo::new();
    solo.running("x");
    assert_eq!(solo.terminate("x"), Terminated::Accepted);
    assert!(matches!(solo.start(spec("x")), Ok(Started::Accepted)));
    solo.exit("x", ExitReason::Normal);
    solo.ready("x");
    assert_eq!(solo.status("x"), Some(Status::Running));
}

#[test]
fn initial_child_does_not_override_a_tombstone() {
    let mut solo = Solo::new();
    solo.running("x");
    solo.terminate("x");
    solo.exit("x", ExitReason::Normal);
    let mode = StartMode::Initial;
    solo.request(Request::Start { specs: vec![spec("x")], mode, all_or_nothing: false });
    let Some((_, Reply::Started(results))) = solo.replies.last() else { panic!() };
    assert!(matches!(results[0], Ok(Started::NotWanted)));
    assert_eq!(solo.started.len(), 1);
}

#[test]
fn initial_child_leaves_what_is_present_and_says_where_that_differs() {
    let mut solo = Solo::new();
    solo.running("x");
    let puts = solo.puts.len();
    for (initial, told) in [(spec("x"), 0), (spec("x").label("v", "2"), 1)] {
        let mode = StartMode::Initial;
        solo.request(Request::Start { specs: vec![initial], mode, all_or_nothing: false });
        let Some((_, Reply::Started(results))) = solo.replies.last() else { panic!() };
        assert!(matches!(results[0], Ok(Started::AlreadyPresent(_))));
        let differs = Event::InitialDiffers { id: id("x") };
        assert_eq!(solo.events.iter().filter(|event| **event == differs).count(), told);
    }
    assert_eq!(solo.puts.len(), puts);
}

#[test]
fn id_twice_in_one_request_is_one_start_and_one_error() {
    let mut solo = Solo::new();
    let specs = vec![spec("x"), spec("x")];
    solo.request(Request::Start { specs, mode: StartMode::Start, all_or_nothing: false });
    let Some((_, Reply::Started(results))) = solo.replies.last() else { panic!() };
    assert!(matches!(results[0], Ok(Started::Accepted)));
    assert!(matches!(results[1], Err(StartChildError::Duplicate { .. })));
}

#[test]
fn all_or_nothing_leaves_nothing_running_where_one_is_refused() {
    let mut solo = Solo::new();
    solo.running("taken");
    let specs = vec![spec("new"), spec("taken").label("v", "2")];
    solo.request(Request::Start { specs, mode: StartMode::Start, all_or_nothing: true });
    let Some((_, Reply::Started(results))) = solo.replies.last() else { panic!() };
    assert!(results.iter().all(Result::is_err));
    let runs = solo.started.iter().filter(|start| start.child == id("new")).count();
    let stops = solo.stopped.iter().filter(|(child, ..)| *child == id("new")).count();
    assert_eq!(runs, stops, "what was started of it was stopped again");
    assert_eq!(solo.status("taken"), Some(Status::Running));
}

#[test]
fn bad_spec_is_refused_and_nothing_changes() {
    let mut solo = Solo::new();
    let bad = spec("x").label("", "v");
    assert!(matches!(solo.start(bad), Err(StartChildError::Spec(SpecError::Id(_)))));
    assert!(solo.puts.is_empty() && solo.status("x").is_none());
}

#[test]
fn strict_child_without_claims_is_refused() {
    let mut solo = Solo::joining(&Config::default());
    let capabilities = Capabilities::least(Duration::from_secs(1), Duration::from_millis(50));
    solo.input(Input::Joined { me: member_id("a"), capabilities });
    solo.event(membership::Event::Reset { rolled_back: false });
    solo.event(membership::Event::Synced);
    let refused = solo.start(spec("x").exclusivity(Exclusivity::Strict));
    assert!(matches!(refused, Err(StartChildError::Unsupported { .. })), "{refused:?}");
    assert!(solo.puts.is_empty());
}

#[test]
fn request_without_an_answer_is_unknown_after_its_time() {
    let mut solo = Solo::joining(&Config::default());
    let specs = vec![spec("x")];
    solo.request(Request::Start { specs, mode: StartMode::Start, all_or_nothing: false });
    assert!(solo.replies.is_empty());
    solo.advance(Duration::from_secs(5));
    let Some((_, Reply::Started(results))) = solo.replies.last() else { panic!() };
    let Err(StartChildError::Request(RequestError::Unavailable { source, .. })) = &results[0]
    else {
        panic!("{results:?}")
    };
    assert!(matches!(source, MembershipError::Unavailable { .. }));
}

#[test]
fn requests_are_refused_while_the_member_leaves() {
    let mut solo = Solo::new();
    solo.running("x");
    solo.input(Input::Shutdown);
    let refused = solo.start(spec("y"));
    assert!(matches!(refused, Err(StartChildError::Request(RequestError::Stopping))));
}

#[test]
fn garbage_in_records_is_dropped_and_told() {
    let mut solo = Solo::new();
    solo.join("b");
    solo.owned("b", &OwnedKey::Report(id("x")), Some(bytes::Bytes::from_static(&[1, 2, 3])));
    let mut record = solo.node.new_record(Some(bytes::Bytes::from_static(b"{not json")));
    record.stamp.version.hlc += 1;
    solo.event(membership::Event::Shared(vec![(Key::new("spec/x"), record)]));
    let dropped =
        solo.events.iter().filter(|event| matches!(event, Event::GarbageDropped { .. })).count();
    assert_eq!(dropped, 2);
    assert_eq!(solo.status("x"), None);
}

#[test]
fn termination_of_an_unknown_id_writes_a_tombstone_where_a_member_cannot_be_asked() {
    let mut solo = Solo::new();
    let reason = "a member does not answer".to_owned();
    solo.get_error = Some(MembershipError::Unavailable { backend: "test", reason });
    solo.request(Request::Terminate(id("x")));
    let Some((_, Reply::Terminated(outcome))) = solo.replies.last() else { panic!("no reply") };
    assert!(matches!(outcome, Ok(Terminated::Accepted)), "{outcome:?}");
    let put = solo.puts.last().expect("a write");
    assert_eq!((put.key.as_str(), &put.record.value), ("spec/x", &None));
    assert!(put.record.stamp.version.hlc >= solo.now.wall.as_millis());
}

#[test]
fn cordon_is_put_back_where_the_store_lost_it() {
    let mut solo = Solo::new();
    solo.join("b");
    solo.request(Request::Cordon(MemberName::new("b").unwrap()));
    let cordon = solo.puts.pop().unwrap();
    solo.store.clear();
    solo.event(membership::Event::Reset { rolled_back: true });
    solo.event(membership::Event::MemberUp(info("a", MemberStatus::Joining)));
    solo.event(membership::Event::Synced);
    assert_eq!(solo.store.get(&cordon.key), Some(&cordon.record));
}

/// It was told that it was refused, and there it was (simulation, strict on the store, seed 1340).
#[test]
fn write_that_may_have_run_is_not_told_to_be_refused() {
    let mut solo = Solo::new();
    solo.answers_put = false;
    let mode = StartMode::Start;
    solo.request(Request::Start { specs: vec![spec("x")], mode, all_or_nothing: false });
    let asked = solo.unanswered.take().unwrap();
    let lost = MembershipError::Ambiguous { backend: "test", reason: "cut".to_owned() };
    solo.input(Input::Answer(asked, Answer::Failed(lost)));
    solo.advance(Duration::from_secs(2));
    let again = solo.unanswered.take().unwrap();
    let denied = MembershipError::Denied { backend: "test", reason: "no access".to_owned() };
    solo.input(Input::Answer(again, Answer::Failed(denied)));
    assert!(solo.replies.is_empty());
    solo.advance(Config::default().request_timeout);
    let Some((_, Reply::Started(results))) = solo.replies.last() else { panic!() };
    let Err(StartChildError::Request(error)) = &results[0] else { panic!("{results:?}") };
    assert!(matches!(error, RequestError::Unknown { .. }), "{error:?}");
}

/// The session in which a store was found to have lost it ended before it was put back (random clusters
/// on a store, seed 1587; R15).
#[test]
fn child_that_is_still_to_be_put_back_is_not_taken_for_terminated() {
    let mut solo = Solo::new();
    solo.running("x");
    solo.answers_put = false;
    for rolled_back in [true, false] {
        solo.event(membership::Event::Evicted);
        solo.input(Input::Joined { me: member_id("a"), capabilities: capabilities() });
        solo.event(membership::Event::Reset { rolled_back });
        solo.event(membership::Event::Synced);
        assert_eq!(solo.status("x"), Some(Status::Running));
    }
    assert!(solo.stopped.is_empty());
}

/// It waited for the back-off of an outage that was over (a start waited for its strike's record, and
/// began beside one that others had begun meanwhile; `failed-write-meets-a-new-session.plan`).
#[test]
fn write_that_failed_is_repeated_as_soon_as_a_session_is_live_again() {
    let mut solo = Solo::new();
    solo.answers_put = false;
    let (specs, mode) = (vec![spec("x")], StartMode::Start);
    solo.request(Request::Start { specs, mode, all_or_nothing: false });
    let reason = "no answer".to_owned();
    let failed = MembershipError::Unavailable { backend: "solo", reason };
    solo.answers_put = true;
    solo.input(Input::Answer(solo.unanswered.unwrap(), Answer::Failed(failed)));
    assert!(solo.puts.is_empty(), "it waits for its back-off");
    solo.event(membership::Event::Evicted);
    solo.input(Input::Joined { me: member_id("a"), capabilities: capabilities() });
    solo.event(membership::Event::Reset { rolled_back: false });
    solo.event(membership::Event::Synced);
    assert_eq!(solo.puts.len(), 1);
}

/// What stood there is a memory of this member; another one may remember that it was ended (R3, R15).
#[test]
fn start_of_a_child_that_the_store_has_lost_is_written_anew() {
    let mut solo = Solo::new();
    solo.running("x");
    solo.store.clear();
    let puts = solo.puts.len();
    assert!(matches!(solo.start(spec("x")), Ok(Started::Accepted)));
    assert_eq!(solo.puts.len(), puts + 1);
    assert_eq!(solo.puts.last().unwrap().expect, membership::Expect::Absent);
}

/// It was asked again and again for what nobody would bring back (R3, R15).
#[test]
fn termination_of_a_child_that_the_store_has_lost_is_written_where_nothing_stands() {
    let mut solo = Solo::new();
    solo.running("x");
    solo.store.clear();
    solo.judges = true;
    assert_eq!(solo.terminate("x"), Terminated::Accepted);
    assert_eq!(solo.puts.last().unwrap().expect, membership::Expect::Absent);
}
