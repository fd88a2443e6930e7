//! Claims, and the instances that rest on them (R18, R25).

use super::*;
use crate::{id::FencingToken, spec::Exclusivity};

fn held(token: u64) -> ClaimOutcome {
    ClaimOutcome::Held { token: FencingToken::new(token) }
}

fn claim(child: &str) -> Key {
    wire::claim_key(&id(child))
}

impl Solo {
    /// The child is to run as one of this exclusivity from now on, whatever it was.
    fn replace(&mut self, child: &str, exclusivity: Exclusivity) {
        let specs = vec![spec(child).exclusivity(exclusivity)];
        let mode = StartMode::StartOrReplace;
        self.request(Request::Start { specs, mode, all_or_nothing: false });
        let Some((_, Reply::Started(results))) = self.replies.pop() else { panic!("no answer") };
        assert!(matches!(results.as_slice(), [Ok(Started::Accepted)]), "{results:?}");
    }

    fn tokens(&self) -> Vec<Option<FencingToken>> {
        self.started.iter().map(|start| start.token).collect()
    }

    fn reasons(&self) -> Vec<StopReason> {
        self.stopped.iter().map(|(_, _, reason)| reason.clone()).collect()
    }
}

/// It went on with the token of its claim, and the claim was never given back.
#[test]
fn child_that_is_strict_no_more_starts_without_a_token_and_its_claim_is_given_back() {
    let mut solo = Solo::new();
    solo.claims = Some(held(7));
    solo.start(spec("x").exclusivity(Exclusivity::Strict)).unwrap();
    solo.ready("x");
    solo.replace("x", Exclusivity::Available);
    assert_eq!(solo.reasons(), [StopReason::Replaced]);
    assert_eq!(solo.started.len(), 1, "the former run is still there");
    solo.exit("x", ExitReason::Normal);
    assert_eq!(solo.tokens(), [Some(FencingToken::new(7)), None]);
    assert_eq!(solo.released, [claim("x")]);
    assert_eq!(solo.node.inspect().child(&id("x")).unwrap().token, None);
}

#[test]
fn child_that_becomes_strict_stops_and_then_starts_with_a_token() {
    let mut solo = Solo::new();
    solo.claims = Some(held(7));
    solo.running("x");
    solo.replace("x", Exclusivity::Strict);
    assert_eq!(solo.reasons(), [StopReason::Replaced]);
    assert_eq!(solo.started.len(), 1, "the former run is still there");
    solo.exit("x", ExitReason::Normal);
    assert_eq!(solo.tokens(), [None, Some(FencingToken::new(7))]);
    assert!(solo.released.is_empty());
}

#[test]
fn child_that_is_strict_again_before_its_claim_was_given_back_asks_for_another() {
    let mut solo = Solo::new();
    solo.claims = Some(held(7));
    solo.start(spec("x").exclusivity(Exclusivity::Strict)).unwrap();
    solo.ready("x");
    solo.replace("x", Exclusivity::Available);
    solo.answers_claims = false;
    solo.exit("x", ExitReason::Normal);
    let release = solo.unanswered.take().unwrap();
    solo.replace("x", Exclusivity::Strict);
    solo.exit("x", ExitReason::Normal);
    assert_eq!(solo.started.len(), 2, "what it holds is on its way back");
    solo.answers_claims = true;
    solo.claims = Some(held(8));
    solo.input(Input::Answer(release, Answer::Done));
    assert_eq!(solo.tokens().last(), Some(&Some(FencingToken::new(8))));
}

#[test]
fn claim_that_was_granted_anew_stops_the_instance_that_holds_the_former_token() {
    let mut solo = Solo::new();
    solo.claims = Some(held(7));
    solo.start(spec("x").exclusivity(Exclusivity::Strict)).unwrap();
    solo.ready("x");
    solo.claims = Some(held(9));
    solo.event(membership::Event::ClaimFree(vec![claim("x")]));
    assert_eq!(solo.reasons(), [StopReason::OwnershipLost]);
    solo.exit("x", ExitReason::Normal);
    assert_eq!(solo.tokens(), [7, 9].map(|token| Some(FencingToken::new(token))));
}

/// It was forgotten, and nobody else was granted it while this member lived.
#[test]
fn claim_of_a_child_that_waits_for_its_next_attempt_is_given_back_also_after_a_gap() {
    let mut solo = Solo::new();
    solo.claims = Some(held(7));
    solo.start(spec("x").exclusivity(Exclusivity::Strict)).unwrap();
    solo.ready("x");
    solo.exit("x", ExitReason::Failed("as planned".to_owned()));
    assert!(matches!(solo.status("x"), Some(Status::Backoff { .. })), "{:?}", solo.status("x"));
    solo.event(membership::Event::Reset { rolled_back: false });
    solo.event(membership::Event::MemberUp(info("a", MemberStatus::Active)));
    let records: Vec<_> = solo.store.clone().into_iter().collect();
    solo.event(membership::Event::Shared(records));
    solo.event(membership::Event::Synced);
    solo.terminate("x");
    assert_eq!(solo.released, [claim("x")]);
}

/// A claim is in no snapshot, and that it was deleted is lost with the rest of the gap.
#[test]
fn claim_is_asked_for_again_after_a_gap_in_the_feed() {
    let mut solo = Solo::new();
    solo.claims = Some(held(7));
    solo.start(spec("x").exclusivity(Exclusivity::Strict)).unwrap();
    solo.ready("x");
    solo.claims = Some(held(9));
    solo.event(membership::Event::Reset { rolled_back: false });
    solo.event(membership::Event::MemberUp(info("a", MemberStatus::Active)));
    let records: Vec<_> = solo.store.clone().into_iter().collect();
    solo.event(membership::Event::Shared(records));
    solo.event(membership::Event::Synced);
    assert_eq!(solo.reasons(), [StopReason::OwnershipLost]);
    solo.exit("x", ExitReason::Normal);
    assert_eq!(solo.tokens(), [7, 9].map(|token| Some(FencingToken::new(token))));
}
