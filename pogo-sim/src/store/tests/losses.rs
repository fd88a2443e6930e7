//! Losses of data: wipes, old backups, failovers; and tokens, which grow across all of them (R18).

use pogo_core::membership::Health;

use super::*;

/// After a loss, every member finds out and joins again.
fn rejoin(bed: &mut Bed, session: SessionId, member: &str, boot: u128) -> SessionId {
    bed.run(1_000);
    let events = bed.events(session);
    assert_eq!(events.last(), Some(&Event::Evicted), "{events:?}");
    bed.join(member, boot)
}

#[test]
fn wipe_evicts_and_tells_those_who_knew_to_put_records_back() {
    let mut bed = Bed::new();
    let (a, b) = (bed.join("a", 1), bed.join("b", 2));
    bed.put(a, "s", 1, Expect::Absent);
    bed.events(b);
    bed.store.wipe(bed.now);
    bed.run(1_000);
    let events = bed.events(b);
    assert!(matches!(events[..], [Event::Health(Health::Degraded { .. }), Event::Evicted]));
    let again = rejoin(&mut bed, a, "a", 1);
    let told = bed.events(again);
    assert_eq!(told.first(), Some(&Event::Reset { rolled_back: true }));
    assert_eq!(told.last(), Some(&Event::Health(Health::Healthy)));
    let newcomer = bed.join("c", 3);
    assert_eq!(bed.events(newcomer).first(), Some(&Event::Reset { rolled_back: false }));
}

#[test]
fn first_to_rejoin_raises_the_epoch_and_claims_wait_one_lease() {
    let mut bed = Bed::new();
    let a = bed.join("a", 1);
    let before = bed.token(a, "c");
    bed.store.wipe(bed.now);
    let a = rejoin(&mut bed, a, "a", 1);
    assert!(matches!(bed.acquire(a, "c"), Err(MembershipError::Unavailable { .. })));
    bed.run(3_000);
    assert!(matches!(bed.acquire(a, "c"), Err(MembershipError::Unavailable { .. })));
    bed.run(2_000);
    let after = bed.token(a, "c");
    assert!(after > before, "{after} after {before}");
    assert_eq!(after.get() >> 48, 2);
}

#[test]
fn wiped_store_of_which_nobody_knows_an_epoch_grants_no_claim_until_an_operator_says_so() {
    let mut bed = Bed::new();
    let a = bed.join("a", 1);
    let before = bed.token(a, "c");
    bed.store.crash(a);
    bed.store.wipe(bed.now);
    let b = bed.join("b", 2);
    assert!(matches!(bed.acquire(b, "c"), Err(MembershipError::Unavailable { .. })));
    bed.store.bump_epoch(bed.now);
    let waits = bed.acquire(b, "c");
    assert!(matches!(waits, Err(MembershipError::Unavailable { .. })), "others may hold it yet");
    bed.run(5_000);
    assert!(bed.token(b, "c") > before);
}

#[test]
fn newcomer_to_an_old_backup_is_granted_no_claim_before_somebody_knows_the_epoch() {
    let mut bed = Bed::new();
    let a = bed.join("a", 1);
    bed.store.back_up();
    let before = bed.token(a, "c");
    assert!(bed.store.restore(bed.now));
    let b = bed.join("b", 2);
    bed.run(6_000);
    assert!(matches!(bed.acquire(b, "c"), Err(MembershipError::Unavailable { .. })));
    rejoin(&mut bed, a, "a", 1);
    bed.run(6_000);
    assert!(bed.token(b, "c") > before);
}

#[test]
fn old_backup_ends_every_stay_and_leaves_nothing_of_former_ones() {
    let mut bed = Bed::new();
    let (a, b) = (bed.join("a", 1), bed.join("b", 2));
    bed.put(a, "s", 1, Expect::Absent);
    bed.ask(b, owned("k", "old"));
    bed.store.back_up();
    bed.put(a, "s", 2, Expect::Newer);
    let before = bed.token(a, "c");
    assert!(bed.store.restore(bed.now));
    assert_eq!(bed.store.record(&Key::new("s")), Some(&record(1)));
    let a = rejoin(&mut bed, a, "a", 1);
    let events = bed.events(a);
    assert_eq!(events.first(), Some(&Event::Reset { rolled_back: true }));
    assert!(!events.iter().any(|event| matches!(event, Event::Owned(..))), "{events:?}");
    rejoin(&mut bed, b, "b", 2);
    bed.run(5_000);
    assert!(bed.token(a, "c") > before);
}

#[test]
fn failover_of_a_linearizable_store_loses_nothing() {
    let mut bed = Bed::new();
    let a = bed.join("a", 1);
    let before = bed.token(a, "c");
    bed.put(a, "s", 1, Expect::Absent);
    bed.events(a);
    bed.store.fail_over(bed.now, 5);
    bed.run(1_900);
    let refused = bed.ask(a, MembershipRequest::Get(Vec::new()));
    assert!(matches!(refused, Answer::Failed(MembershipError::Unavailable { .. })));
    bed.run(3_000);
    assert_eq!(bed.store.record(&Key::new("s")), Some(&record(1)));
    assert_eq!(bed.token(a, "c"), before);
    assert!(!bed.events(a).contains(&Event::Evicted));
}

#[test]
fn failover_of_a_best_effort_store_loses_its_last_writes_and_tokens_grow() {
    let mut bed = Bed::best_effort();
    let a = bed.join("a", 1);
    bed.put(a, "s", 1, Expect::Absent);
    bed.put(a, "s", 2, Expect::Newer);
    let before = bed.token(a, "c");
    bed.store.fail_over(bed.now, 2);
    assert_eq!(bed.store.record(&Key::new("s")), Some(&record(1)));
    assert!(bed.store.claims().is_empty());
    bed.run(4_000);
    let a = rejoin(&mut bed, a, "a", 1);
    bed.run(5_000);
    assert!(bed.token(a, "c") > before);
}

#[test]
fn lease_that_ends_before_its_time_frees_claims_and_evicts() {
    let mut bed = Bed::new();
    let (a, b) = (bed.join("a", 1), bed.join("b", 2));
    let before = bed.token(a, "c");
    bed.events(a);
    bed.store.expire(bed.now, &name("a"));
    bed.run(0);
    assert_eq!(bed.events(a), [Event::Evicted]);
    assert!(bed.token(b, "c") > before);
}
