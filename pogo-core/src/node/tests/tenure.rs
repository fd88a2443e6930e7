//! Strict and quorum runs in time (R16, R17): the test plays the lease and the contacts.

use std::num::NonZeroU32;

use super::*;
use crate::{id::FencingToken, spec::Exclusivity};

const TTL: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_millis(500);

/// A node whose backend has leases, or tells contacts.
fn solo(leases: bool) -> Solo {
    let mut solo = Solo::joining(&Config::default());
    let mut told = capabilities();
    told.lease_ttl = leases.then_some(TTL);
    told.contacts = !leases;
    solo.input(Input::Joined { me: member_id("a"), capabilities: told });
    solo.claims = Some(ClaimOutcome::Held { token: FencingToken::new(7) });
    solo.event(membership::Event::Reset { rolled_back: false });
    solo.event(membership::Event::MemberUp(info("a", MemberStatus::Joining)));
    solo.event(membership::Event::Synced);
    solo
}

fn strict(child: &str) -> ChildSpec {
    spec(child).exclusivity(Exclusivity::Strict).shutdown(Shutdown::Grace(GRACE))
}

fn quorum(child: &str, size: u32) -> ChildSpec {
    let size = NonZeroU32::new(size).unwrap();
    spec(child).exclusivity(Exclusivity::Quorum { size }).shutdown(Shutdown::Grace(GRACE))
}

impl Solo {
    /// The last renewal that was acknowledged was sent now.
    fn renew(&mut self) {
        self.contact.lease = Some(self.now.mono + TTL);
    }

    /// These have answered a probe that was sent now.
    fn hear(&mut self, names: &[&str]) {
        let now = self.now.mono;
        for name in names {
            self.contact.answered.retain(|(by, _)| *by != boot(name));
            self.contact.answered.push((boot(name), now));
        }
    }

    /// As time goes by, these answer.
    fn hear_for(&mut self, time: Duration, names: &[&str]) {
        for _ in 0..(time.as_millis() / 100) {
            self.hear(names);
            self.advance(Duration::from_millis(100));
        }
    }

    /// Names the members that `name` sees.
    fn sees(&mut self, name: &str, seen: &[&str]) {
        let mut members: Vec<_> = seen.iter().map(|name| boot(name)).collect();
        members.sort_unstable();
        let record = ViewRecord { members, digest: 0, cordons: 0, inactive: Vec::new() };
        self.owned(name, &OwnedKey::View, Some(to_packed(&record).unwrap()));
    }

    fn pending(&self, child: &str) -> Option<PendingReason> {
        match self.status(child) {
            Some(Status::Pending { why }) => Some(why),
            _ => None,
        }
    }

    /// A quorum of three of five, all of which see each other; a child that belongs to `e`.
    fn five(child: &str) -> Self {
        let mut solo = solo(false);
        for name in ["b", "c", "d", "e"] {
            solo.event(membership::Event::MemberUp(info(name, MemberStatus::Active)));
        }
        for name in ["b", "c", "d", "e"] {
            solo.agree(name);
        }
        solo.hear(&["a", "b", "c", "d", "e"]);
        solo.advance(Duration::from_millis(100));
        solo.start(quorum(child, 3)).unwrap();
        solo
    }

    /// The first `c<n>` that placement gives to `first`, and to `a` when that one is gone.
    fn child_of_then_a(first: &str) -> String {
        use crate::placement::{Candidate, ChildKey, owner};
        let owner_of = |id: &str, names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| MemberName::new(*name).unwrap()).collect();
            let candidates: Vec<_> = names.iter().map(|name| Candidate::new(name, 1)).collect();
            owner(ChildKey::new(id), &candidates).unwrap().name().as_str().to_owned()
        };
        (0..10_000)
            .map(|n| format!("c{n}"))
            .find(|id| {
                owner_of(id, &["a", "b", "c", "d", "e"]) == first
                    && owner_of(id, &["a", "b", "c", "d"]) == "a"
            })
            .unwrap()
    }
}

#[test]
fn strict_run_stops_before_its_lease_ends_and_not_while_it_is_renewed() {
    let mut solo = solo(true);
    solo.renew();
    solo.start(strict("x")).unwrap();
    solo.advance(Duration::ZERO);
    let run = solo.started[0].run;
    solo.ready("x");
    for _ in 0..10 {
        solo.advance(TTL / 4);
        solo.renew();
    }
    assert!(solo.stopped.is_empty());
    // The margin is 1 s, the time to stop in 600 ms.
    solo.advance(Duration::from_millis(8_399));
    assert!(solo.stopped.is_empty());
    solo.advance(Duration::from_millis(1));
    assert_eq!(solo.stopped, [(id("x"), run, StopReason::OwnershipLost)]);
}

#[test]
fn strict_run_that_is_stopped_late_has_only_what_is_left_until_its_deadline() {
    for (paused, left) in [(8_400, 500), (8_700, 200), (9_500, 0)] {
        let mut solo = solo(true);
        solo.renew();
        solo.start(strict("x")).unwrap();
        solo.advance(Duration::ZERO);
        solo.ready("x");
        solo.now.mono = Timestamp::ZERO + Duration::from_millis(paused);
        solo.input(Input::Timeout);
        assert_eq!(solo.shutdown, Some(Shutdown::Grace(Duration::from_millis(left))));
    }
}

#[test]
fn strict_child_waits_for_a_lease_and_then_starts_with_a_claim_asked_for_anew() {
    let mut solo = solo(true);
    solo.renew();
    solo.start(strict("x")).unwrap();
    solo.advance(Duration::ZERO);
    solo.ready("x");
    solo.advance(TTL);
    solo.exit("x", ExitReason::Normal);
    solo.advance(TTL);
    assert_eq!(solo.started.len(), 1);
    assert_eq!(solo.pending("x"), Some(PendingReason::LeaseLapsed));
    solo.claims = Some(ClaimOutcome::Held { token: FencingToken::new(8) });
    solo.renew();
    solo.advance(WINDOW);
    assert_eq!(solo.started[1].token, Some(FencingToken::new(8)));
}

#[test]
fn renewals_wake_nobody() {
    let mut solo = solo(true);
    solo.renew();
    solo.start(strict("x")).unwrap();
    solo.advance(Duration::ZERO);
    solo.ready("x");
    let looks = solo.looks;
    for _ in 0..40 {
        solo.advance(TTL / 4);
        solo.renew();
    }
    assert!(solo.looks - looks <= 20, "{} looks", solo.looks - looks);
}

#[test]
fn quorum_run_stops_when_too_few_have_answered_within_the_window() {
    let child = Solo::child_of_then_a("a");
    let mut solo = Solo::five(&child);
    solo.hear_for(WINDOW * 3, &["b", "c"]);
    assert_eq!(solo.started.len(), 1);
    solo.hear_for(WINDOW, &["b"]);
    assert_eq!(solo.stopped.len(), 1, "c has not answered for the window");
    assert_eq!(solo.stopped[0].2, StopReason::OwnershipLost);
    solo.exit(&child, ExitReason::Normal);
    let why = PendingReason::NoQuorum { size: NonZeroU32::new(3).unwrap() };
    assert_eq!(solo.pending(&child), Some(why));
}

/// It went on until the next look at the lease (simulation, 23 members, seed 27).
#[test]
fn quorum_run_stops_when_the_store_names_too_few() {
    let child = Solo::child_of("a");
    let mut solo = solo(true);
    solo.renew();
    solo.join("b");
    solo.agree("b");
    solo.start(quorum(&child, 2)).unwrap();
    for _ in 0..30 {
        solo.renew();
        solo.advance(WINDOW / 8);
    }
    assert_eq!(solo.started.len(), 1);
    assert!(solo.stopped.is_empty());
    solo.down("b", DownReason::Failed);
    assert_eq!(solo.stopped.len(), 1);
    assert_eq!(solo.stopped[0].2, StopReason::OwnershipLost);
}

#[test]
fn child_of_a_lost_member_waits_until_that_one_must_have_stopped_it() {
    let child = Solo::child_of_then_a("e");
    let mut solo = Solo::five(&child);
    solo.report("e", &child, ReportPhase::Running);
    let left = ["a", "b", "c", "d"];
    solo.down("e", DownReason::Failed);
    solo.hear_for(WINDOW * 5, &left);
    assert!(solo.started.is_empty(), "the others still see it");
    assert!(matches!(solo.pending(&child), Some(PendingReason::HolderMayRun { .. })));
    solo.sees("b", &left);
    solo.sees("c", &left);
    // From now on: the window, the grace, and one percent.
    solo.hear_for(Duration::from_millis(1_500), &left);
    assert!(solo.started.is_empty());
    assert_eq!(solo.pending(&child), Some(PendingReason::HolderStops));
    solo.hear_for(Duration::from_millis(100), &left);
    assert_eq!(solo.started.len(), 1);
}

#[test]
fn wait_begins_anew_where_a_member_sees_the_lost_one_again() {
    let child = Solo::child_of_then_a("e");
    let mut solo = Solo::five(&child);
    let left = ["a", "b", "c", "d"];
    solo.down("e", DownReason::Failed);
    solo.sees("b", &left);
    solo.sees("c", &left);
    solo.hear_for(WINDOW, &left);
    solo.sees("c", &["a", "b", "c", "d", "e"]);
    solo.hear_for(WINDOW * 3, &left);
    assert!(solo.started.is_empty());
    solo.sees("c", &left);
    solo.hear_for(WINDOW, &left);
    assert!(solo.started.is_empty());
    solo.hear_for(WINDOW, &left);
    assert_eq!(solo.started.len(), 1);
}

#[test]
fn child_of_a_member_that_left_is_started_at_once() {
    let child = Solo::child_of_then_a("e");
    let mut solo = Solo::five(&child);
    solo.down("e", DownReason::Left);
    for name in ["b", "c", "d"] {
        solo.agree(name);
    }
    // One that left is no member: four are, and there may be a stranger.
    solo.hear_for(WINDOW * 2, &["b", "c", "d"]);
    assert_eq!(solo.started.len(), 1);
}

#[test]
fn no_quorum_child_starts_among_more_members_than_its_quorum_is_a_majority_of() {
    let mut solo = solo(false);
    for name in ["b", "c", "d"] {
        solo.event(membership::Event::MemberUp(info(name, MemberStatus::Active)));
        solo.agree(name);
    }
    let size = NonZeroU32::new(2).unwrap();
    for n in 0..20 {
        solo.start(quorum(&format!("c{n}"), 2)).unwrap();
    }
    solo.hear_for(WINDOW * 5, &["b", "c", "d"]);
    assert!(solo.started.is_empty());
    let too_small = PendingReason::QuorumTooSmall { members: 4, size };
    assert!((0..20).any(|n| solo.pending(&format!("c{n}")) == Some(too_small.clone())));
    solo.down("d", DownReason::Failed);
    solo.hear_for(WINDOW * 5, &["b", "c"]);
    assert!(solo.started.is_empty(), "a lost member may come back");
}

#[test]
fn newcomer_waits_for_those_whom_it_cannot_see() {
    let mut solo = solo(false);
    for name in ["b", "c", "d"] {
        solo.event(membership::Event::MemberUp(info(name, MemberStatus::Active)));
    }
    for name in ["b", "c", "d"] {
        solo.agree(name);
    }
    for n in 0..20 {
        solo.start(quorum(&format!("c{n}"), 3)).unwrap();
    }
    solo.hear_for(Duration::from_millis(1_400), &["b", "c", "d"]);
    assert!(solo.started.is_empty(), "a fifth may be there");
    solo.hear_for(WINDOW, &["b", "c", "d"]);
    assert!(!solo.started.is_empty());
}

#[test]
fn session_that_ends_lets_a_quorum_run_go_on_for_the_window_only() {
    let child = Solo::child_of_then_a("a");
    let mut solo = Solo::five(&child);
    solo.hear_for(WINDOW, &["b", "c", "d", "e"]);
    solo.event(membership::Event::Evicted);
    assert!(solo.stopped.is_empty());
    solo.advance(WINDOW);
    assert_eq!(solo.stopped.len(), 1);
}

#[test]
fn unbounded_shutdown_and_a_backend_that_cannot_tell_are_refused() {
    let mut solo = solo(false);
    let endless = quorum("x", 2).shutdown(Shutdown::Unbounded);
    assert!(matches!(solo.start(endless), Err(StartChildError::Spec(_))));
    let mut blind = Solo::new();
    assert!(matches!(blind.start(quorum("x", 2)), Err(StartChildError::Unsupported { .. })));
}

#[test]
fn claim_is_asked_for_again_where_the_lease_may_have_been_over() {
    let mut solo = solo(true);
    solo.renew();
    solo.start(strict("x")).unwrap();
    solo.advance(Duration::ZERO);
    solo.ready("x");
    solo.exit("x", ExitReason::Failed("no".to_owned()));
    // In back-off nobody looks at the lease; it is over, and renewed since.
    solo.now.mono = solo.now.mono + TTL * 2;
    solo.renew();
    let owner = member_id("b");
    solo.claims = Some(ClaimOutcome::HeldBy { owner, token: FencingToken::new(9) });
    solo.advance(WINDOW);
    assert_eq!(solo.started.len(), 1, "another has the claim");
}

#[test]
fn member_that_is_seen_again_may_still_run_what_it_ran_until_it_says_what_it_runs() {
    let child = Solo::child_of_then_a("e");
    let mut solo = Solo::five(&child);
    solo.hear_for(WINDOW, &["b", "c", "d", "e"]);
    solo.down("e", DownReason::Failed);
    for name in ["b", "c", "d"] {
        solo.sees(name, &["a", "b", "c", "d"]);
    }
    solo.event(membership::Event::MemberUp(info("e", MemberStatus::Joining)));
    solo.hear_for(Duration::from_millis(300), &["b", "c", "d", "e"]);
    assert!(solo.started.is_empty());
    solo.event(membership::Event::MemberUp(info("e", MemberStatus::Active)));
    solo.report("e", &child, ReportPhase::Running);
    solo.sees("e", &["a", "b", "c", "d", "e"]);
    solo.hear_for(WINDOW * 5, &["b", "c", "d", "e"]);
    assert!(solo.started.is_empty());
}

#[test]
fn what_was_read_before_the_lease_seemed_over_stops_nothing() {
    let mut solo = solo(true);
    solo.renew();
    solo.start(strict("x")).unwrap();
    solo.advance(Duration::ZERO);
    solo.ready("x");
    solo.now.mono = solo.now.mono + TTL / 2;
    solo.renew();
    // Late, and something else comes first.
    solo.now.mono = solo.now.mono + TTL / 2;
    solo.join("b");
    assert!(solo.stopped.is_empty());
}

#[test]
fn claim_that_is_being_given_back_is_asked_for_only_after_that() {
    let mut solo = solo(true);
    solo.renew();
    solo.start(strict("x")).unwrap();
    solo.advance(Duration::ZERO);
    solo.ready("x");
    solo.answers_claims = false;
    // The member wakes after its lease, doubts its claims, and stops what rests on it.
    solo.now.mono = solo.now.mono + TTL * 2;
    solo.input(Input::Timeout);
    assert_eq!(solo.stopped.len(), 1);
    solo.exit("x", ExitReason::Normal);
    let released = solo.unanswered.take().unwrap();
    solo.claims = Some(ClaimOutcome::Held { token: FencingToken::new(8) });
    solo.answers_claims = true;
    solo.renew();
    solo.advance(WINDOW * 4);
    assert_eq!(solo.started.len(), 1, "what is released after the start would be its claim");
    solo.input(Input::Answer(released, Answer::Done));
    solo.advance(WINDOW);
    assert_eq!(solo.started[1].token, Some(FencingToken::new(8)));
}

#[test]
fn run_that_ends_long_after_its_lease_leaves_no_token_to_the_next_one() {
    let mut solo = solo(true);
    solo.renew();
    solo.start(strict("x")).unwrap();
    solo.advance(Duration::ZERO);
    let run = solo.started[0].run;
    solo.ready("x");
    solo.advance(TTL);
    assert_eq!(solo.stopped.len(), 1);
    solo.input(Input::ChildStuck { child: id("x"), run });
    // Meanwhile another had the claim, and gave it back.
    solo.claims = Some(ClaimOutcome::Held { token: FencingToken::new(9) });
    solo.renew();
    solo.advance(WINDOW);
    solo.exit("x", ExitReason::Aborted);
    solo.advance(WINDOW);
    assert_eq!(solo.started[1].token, Some(FencingToken::new(9)));
}

#[test]
fn failing_child_stays_in_quarantine_when_its_member_comes_back_into_its_quorum() {
    let child = Solo::child_of_then_a("a");
    let mut solo = Solo::five(&child);
    let others = ["b", "c", "d", "e"];
    for attempt in 1..=6 {
        solo.hear_for(WINDOW * 2, &others);
        assert_eq!(solo.started.len(), attempt);
        solo.exit(&child, ExitReason::Failed("no".to_owned()));
    }
    assert!(matches!(solo.status(&child), Some(Status::Quarantined { .. })));
    let restarts = |solo: &Solo| {
        solo.node.children.get(&id(&child)).unwrap().local.as_ref().map(|it| it.failures.restarts)
    };
    assert_eq!(restarts(&solo), Some(6));
    // Out of the quorum and in again: others may have taken it meanwhile.
    solo.now.mono = solo.now.mono + WINDOW * 2;
    solo.hear_for(WINDOW * 10, &others);
    assert_eq!(solo.started.len(), 6);
    assert!(matches!(solo.status(&child), Some(Status::Quarantined { .. })));
    assert_eq!(restarts(&solo), Some(6));
}

/// The larger side had taken the child for lost meanwhile, and ran it (random clusters, seed 3197).
#[test]
fn what_was_released_to_a_member_that_lost_its_quorum_since_is_waited_for_like_an_orphan() {
    let child = Solo::child_of_then_a("e");
    let mut solo = Solo::five(&child);
    solo.report("b", &child, ReportPhase::Running);
    for name in ["c", "d", "e"] {
        solo.down(name, DownReason::Failed);
    }
    solo.hear_for(WINDOW * 2, &["b"]);
    solo.report("b", &child, ReportPhase::Released { to: boot("a"), lineage: None });
    solo.hear_for(WINDOW * 2, &["b"]);
    for name in ["c", "d"] {
        solo.event(membership::Event::MemberUp(info(name, MemberStatus::Active)));
    }
    for name in ["b", "c", "d"] {
        solo.agree(name);
    }
    solo.hear_for(Duration::from_millis(1_400), &["b", "c", "d"]);
    assert!(solo.started.is_empty(), "who is lost may run it");
    solo.hear_for(WINDOW, &["b", "c", "d"]);
    assert_eq!(solo.started.len(), 1);
}
