//! What follows the end of a run, and terminations (R4, R10, R11).

use super::*;
use crate::{record::Stage, spec::Restart};

#[test]
fn failed_child_restarts_in_place_after_a_delay() {
    let mut solo = Solo::new();
    solo.running("x");
    solo.exit("x", ExitReason::Panicked("boom".into()));
    assert_eq!(solo.status("x"), Some(Status::Backoff { last: "panicked: boom".into() }));
    solo.advance(Duration::from_millis(100));
    assert_eq!(solo.started.len(), 2);
    assert_eq!(solo.started[1].attempt, 2);
}

#[test]
fn child_that_keeps_failing_is_quarantined_with_its_last_error() {
    let mut solo = Solo::new();
    solo.start(spec("x")).unwrap();
    for _ in 0..6 {
        solo.exit("x", ExitReason::Failed("no".into()));
        solo.advance(Duration::from_secs(5));
    }
    assert_eq!(solo.status("x"), Some(Status::Quarantined { last: "failed: no".into() }));
    assert_eq!(solo.started.len(), 6);
    solo.request(Request::Restart(id("x")));
    assert_eq!(solo.started.len(), 7, "a restart asked for ends the quarantine");
}

#[test]
fn quarantined_child_is_retried_slowly() {
    let mut solo = Solo::new();
    solo.start(spec("x")).unwrap();
    for _ in 0..6 {
        solo.exit("x", ExitReason::Failed("no".into()));
        solo.advance(Duration::from_secs(5));
    }
    solo.advance(Duration::from_secs(100));
    assert_eq!(solo.started.len(), 6);
    solo.advance(Duration::from_secs(60));
    assert_eq!(solo.started.len(), 7);
}

#[test]
fn minute_of_health_clears_failures() {
    let mut solo = Solo::new();
    solo.start(spec("x")).unwrap();
    for _ in 0..10 {
        solo.ready("x");
        solo.advance(Duration::from_secs(61));
        solo.exit("x", ExitReason::Failed("now and then".into()));
        solo.advance(Duration::from_millis(100));
    }
    assert_eq!(solo.started.len(), 11);
}

#[test]
fn transient_child_that_ends_normally_is_done_for_the_whole_cluster() {
    let mut solo = Solo::new();
    solo.start(spec("x").restart(Restart::Transient)).unwrap();
    solo.ready("x");
    solo.exit("x", ExitReason::Normal);
    assert_eq!(solo.puts.last().unwrap().record.stamp.stage, Stage::Done);
    assert_eq!(solo.published("x"), Some(ReportPhase::Done));
    solo.advance(Duration::from_secs(61));
    assert_eq!(solo.published("x"), None);
    assert_eq!(solo.started.len(), 1);
    assert!(matches!(solo.start(spec("x").restart(Restart::Transient)), Ok(Started::Accepted)));
    assert_eq!(solo.started.len(), 2, "a new start is a new life");
}

#[test]
fn completion_never_beats_a_newer_spec() {
    let mut solo = Solo::new();
    solo.start(spec("x").restart(Restart::Transient)).unwrap();
    solo.ready("x");
    let changed = spec("x").restart(Restart::Transient).label("v", "2");
    let mode = StartMode::StartOrReplace;
    solo.request(Request::Start { specs: vec![changed], mode, all_or_nothing: false });
    assert_eq!(solo.stopped.last().unwrap().2, StopReason::Replaced);
    solo.exit("x", ExitReason::Normal);
    assert_eq!(solo.started.len(), 2, "the end of a run that was told to stop completes nothing");
}

#[test]
fn child_that_is_not_ready_in_time_failed_to_start() {
    let mut solo = Solo::new();
    solo.start(spec("x")).unwrap();
    solo.advance(Duration::from_secs(30));
    assert_eq!(solo.stopped.len(), 1);
    solo.exit("x", ExitReason::Aborted);
    assert_eq!(solo.status("x"), Some(Status::Backoff { last: "not ready in time".into() }));
}

#[test]
fn terminated_child_stops_and_is_listed_until_it_has() {
    let mut solo = Solo::new();
    solo.running("x");
    assert_eq!(solo.terminate("x"), Terminated::Accepted);
    assert_eq!(solo.stopped.last().unwrap().2, StopReason::Terminated);
    assert_eq!(solo.status("x"), Some(Status::Stopping));
    solo.exit("x", ExitReason::Normal);
    assert_eq!(solo.status("x"), None);
    assert_eq!(solo.terminate("x"), Terminated::NotFound);
}

#[test]
fn stuck_child_is_reported_and_ends_when_it_does() {
    let mut solo = Solo::new();
    solo.running("x");
    solo.terminate("x");
    let run = solo.run_of("x");
    solo.input(Input::ChildStuck { child: id("x"), run });
    assert_eq!(solo.status("x"), Some(Status::Stuck));
    solo.exit("x", ExitReason::Aborted);
    assert_eq!(solo.status("x"), None);
}

#[test]
fn child_that_ended_while_something_of_it_blocks_is_stuck_and_then_restarts() {
    let mut solo = Solo::new();
    solo.running("x");
    let run = solo.run_of("x");
    solo.input(Input::ChildStuck { child: id("x"), run });
    assert_eq!(solo.status("x"), Some(Status::Stuck));
    solo.exit("x", ExitReason::Failed("e".into()));
    assert_eq!(solo.status("x"), Some(Status::Backoff { last: "failed: e".into() }));
}

#[test]
fn late_words_of_a_former_run_change_nothing() {
    let mut solo = Solo::new();
    solo.running("x");
    let former = solo.run_of("x");
    solo.exit("x", ExitReason::Failed("e".into()));
    solo.advance(Duration::from_millis(100));
    let end = RunEnd { reason: ExitReason::Normal, finished: true, state: None };
    solo.input(Input::ChildExited { child: id("x"), run: former, end });
    solo.input(Input::ChildReady { child: id("x"), run: former, endpoint: None });
    assert_eq!(solo.status("x"), Some(Status::Starting));
}

#[test]
fn shutdown_stops_every_child_and_leaves() {
    let mut solo = Solo::new();
    solo.running("x");
    solo.input(Input::Shutdown);
    assert_eq!(solo.stopped.last().unwrap().2, StopReason::SupervisorStopped);
    assert_eq!(solo.stops, 0);
    solo.exit("x", ExitReason::Normal);
    assert_eq!(solo.stops, 1);
    assert_eq!(solo.leaves, 1);
}

/// It left, and the next owner started a second instance beside the one that still ran (simulation,
/// random clusters, seed 1138).
#[test]
fn member_with_a_stuck_child_ends_without_leaving() {
    let mut solo = Solo::new();
    solo.running("x");
    solo.input(Input::Shutdown);
    let run = solo.run_of("x");
    solo.input(Input::ChildStuck { child: id("x"), run });
    assert_eq!(solo.stops, 1);
    assert_eq!(solo.leaves, 0, "its report stands until the session ends");
}

/// Its report was taken back, and the next owner saw that before the state (simulation, random
/// clusters over gossip, seed 106).
#[test]
fn who_takes_over_from_a_shutdown_is_told_what_to_read() {
    let mut solo = Solo::new();
    solo.running("x");
    solo.input(Input::Shutdown);
    let run = solo.run_of("x");
    let state = Some(bytes::Bytes::from_static(b"41"));
    let end = RunEnd { reason: ExitReason::Normal, finished: false, state };
    solo.answers_put = false;
    solo.input(Input::ChildExited { child: id("x"), run, end });
    let export = solo.unanswered.take().unwrap();
    solo.join("b");
    solo.input(Input::Answer(export, Answer::Put(vec![PutOutcome::Applied])));
    let lineage = Some(crate::id::Lineage::new(1));
    assert_eq!(solo.published("x"), Some(ReportPhase::Released { to: boot("b"), lineage }));
    assert_eq!(solo.leaves, 1, "it waits for nobody");
}
