use super::*;
use crate::{id::FencingToken, membership::ClaimOutcome, memory::Crash};

fn acquire(bench: &mut Bench, session: SessionId) -> ClaimOutcome {
    let answer = bench.ask(session, &MembershipRequest::Acquire(vec![key("c")]));
    let Answer::Acquired(outcomes) = answer else { panic!("{answer:?}") };
    outcomes.into_iter().next().unwrap()
}

fn token(bench: &mut Bench, session: SessionId) -> FencingToken {
    match acquire(bench, session) {
        ClaimOutcome::Held { token } => token,
        other @ ClaimOutcome::HeldBy { .. } => panic!("{other:?}"),
    }
}

fn release(bench: &mut Bench, session: SessionId) {
    bench.ask(session, &MembershipRequest::Release(vec![key("c")]));
}

fn is_held(bench: &mut Bench, session: SessionId) -> bool {
    matches!(acquire(bench, session), ClaimOutcome::HeldBy { .. })
}

fn free() -> Vec<Event> {
    vec![Event::ClaimFree(vec![key("c")])]
}

/// `a` holds the claim and `b` waits for it; their feeds are read.
fn held() -> (Bench, SessionId, SessionId, FencingToken) {
    let mut bench = Bench::new();
    let (a, b) = (bench.enter("a", 1), bench.enter("b", 2));
    let first = token(&mut bench, a);
    assert!(is_held(&mut bench, b));
    bench.events(a);
    (bench, a, b, first)
}

#[test]
fn claim_has_one_holder_who_keeps_its_token() {
    let (mut bench, a, b, first) = held();
    assert_eq!(token(&mut bench, a), first);
    let ClaimOutcome::HeldBy { owner, token } = acquire(&mut bench, b) else { panic!() };
    assert_eq!((owner.name, token), (name("a"), first));
}

#[test]
fn only_who_was_refused_hears_of_a_freed_claim() {
    let (mut bench, a, b, first) = held();
    let c = bench.enter("c", 3);
    bench.events(b);
    release(&mut bench, b);
    assert!(is_held(&mut bench, b), "only the holder can release");
    release(&mut bench, a);
    assert_eq!(bench.events(b), free());
    assert_eq!(bench.events(c), []);
    assert!(token(&mut bench, b) > first);
    release(&mut bench, b);
    assert_eq!(bench.events(b), []);
}

#[test]
fn leave_and_noticed_crash_free_claims_at_once() {
    let (mut bench, a, b, _) = held();
    bench.ask(a, &MembershipRequest::Leave);
    let second = token(&mut bench, b);
    let c = bench.join("c", 3);
    assert!(is_held(&mut bench, c));
    bench.hub.crash(bench.now, b, Crash::Noticed);
    assert!(token(&mut bench, c) > second);
}

#[test]
fn claim_of_a_silent_holder_is_free_when_its_lease_has_run_out() {
    for fault in [
        |bench: &mut Bench, a| bench.hub.crash(bench.now, a, Crash::Silent),
        |bench: &mut Bench, _| bench.hub.evict(bench.now, &name("a")),
        |bench: &mut Bench, _| bench.hub.set_member_outage(bench.now, &name("a"), true),
    ] {
        let (mut bench, a, b, first) = held();
        fault(&mut bench, a);
        bench.pass_millis(9_999);
        bench.events(b);
        assert!(is_held(&mut bench, b));
        bench.pass_millis(1);
        assert_eq!(bench.events(b), free());
        assert!(token(&mut bench, b) > first);
    }
}

#[test]
fn lease_deadline_stops_when_contact_ends_and_the_claim_outlives_it() {
    let (mut bench, a, b, _) = held();
    let ttl = Duration::from_secs(10);
    bench.pass_millis(500);
    assert_eq!(bench.hub.lease_deadline(bench.now.mono, a), Some(bench.now.mono + ttl));
    bench.hub.set_member_outage(bench.now, &name("a"), true);
    let deadline = bench.now.mono + ttl;
    bench.pass_millis(9_999);
    assert_eq!(bench.hub.lease_deadline(bench.now.mono, a), Some(deadline));
    assert!(is_held(&mut bench, b));
    bench.pass_millis(10_000);
    assert_eq!(bench.hub.lease_deadline(bench.now.mono, a), Some(deadline));
}

#[test]
fn claims_stay_with_the_largest_island() {
    let (mut bench, a, b, first) = held();
    let c = bench.enter("c", 3);
    bench.events(b);
    bench.hub.partition(bench.now, &[names(&["a"]), names(&["b", "c"])]);
    let refused = bench.ask(a, &MembershipRequest::Acquire(vec![key("c")]));
    let Answer::Failed(error) = refused else { panic!("{refused:?}") };
    assert!(matches!(error, MembershipError::Unavailable { .. }), "{error}");
    assert!(is_held(&mut bench, c));
    bench.pass(Duration::from_secs(10));
    assert!(token(&mut bench, c) > first);
    bench.hub.heal(bench.now);
    assert!(is_held(&mut bench, a));
}

#[test]
fn of_two_equal_islands_the_lowest_name_has_the_claims() {
    let (mut bench, a, b, first) = held();
    bench.hub.partition(bench.now, &[names(&["b"]), names(&["a"])]);
    bench.pass(Duration::from_secs(20));
    assert_eq!(token(&mut bench, a), first);
    release(&mut bench, a);
    assert_eq!(comings(&bench.events(b)), ["-a Failed"]);
    bench.hub.heal(bench.now);
    let events = bench.events(b);
    assert!(events.contains(&Event::ClaimFree(vec![key("c")])), "{events:?}");
}

#[test]
fn tokens_grow_over_a_wipe_and_a_roll_back() {
    let (mut bench, a, _, first) = held();
    let backup = bench.hub.backup();
    release(&mut bench, a);
    let second = token(&mut bench, a);
    assert!(second > first);
    bench.hub.roll_back(bench.now, &backup);
    release(&mut bench, a);
    let third = token(&mut bench, a);
    assert!(third > second);
    bench.hub.wipe(bench.now);
    let again = bench.join("a", 1);
    bench.pass(Duration::from_secs(10));
    assert!(token(&mut bench, again) > third);
    assert_eq!(third.get() >> 48, 2);
}

#[test]
fn hub_without_claims_says_so() {
    let mut bench = Bench::with(HubConfig { claims: false, ..HubConfig::default() });
    let a = bench.enter("a", 1);
    let answer = bench.ask(a, &MembershipRequest::Acquire(vec![key("c")]));
    let Answer::Failed(error) = answer else { panic!("{answer:?}") };
    assert!(matches!(error, MembershipError::Unsupported { .. }), "{error}");
    assert_eq!(bench.hub.lease_deadline(bench.now.mono, a), None);
}
