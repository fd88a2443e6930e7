//! Names and incarnations (R13).

use pogo_core::membership::DownReason;

use super::*;

#[test]
fn name_of_a_live_member_is_taken() {
    let mut bed = Bed::new();
    bed.join("a", 1);
    let twin = bed.ask_to_join(NameChoice::Exactly(name("a")), 2);
    bed.run(1_400);
    assert!(bed.refused(twin).is_none(), "it watches the old lease for 1.5 renewals");
    bed.run(200);
    assert!(matches!(bed.refused(twin), Some(MembershipError::NameTaken { .. })));
    assert_eq!(bed.store.members().len(), 1);
}

#[test]
fn restart_waits_for_the_old_lease_and_replaces_it() {
    let mut bed = Bed::new();
    let (a, b) = (bed.join("a", 1), bed.join("b", 9));
    let old = bed.joined(a).unwrap();
    bed.store.crash(a);
    bed.events(b);
    let again = bed.ask_to_join(NameChoice::Exactly(name("a")), 2);
    bed.run(3_900);
    assert!(bed.joined(again).is_none());
    bed.run(700);
    let new = bed.joined(again).unwrap();
    assert!(new.incarnation > old.incarnation);
    let events = bed.events(b);
    assert_eq!(events[0], Event::MemberDown(old, DownReason::Replaced));
    assert!(matches!(&events[1], Event::MemberUp(info) if info.id == new));
}

#[test]
fn heir_of_a_member_that_was_only_cut_off_is_refused() {
    let mut bed = Bed::new();
    bed.join("a", 1);
    bed.run(100);
    bed.store.set_paused(bed.now, SessionId(1), true);
    let heir = bed.ask_to_join(NameChoice::Exactly(name("a")), 2);
    bed.run(3_000);
    bed.store.set_paused(bed.now, SessionId(1), false);
    bed.run(100);
    assert!(matches!(bed.refused(heir), Some(MembershipError::NameTaken { .. })));
}

#[test]
fn rejoin_of_one_process_takes_its_former_stay_over_at_once() {
    let mut bed = Bed::new();
    let (a, b) = (bed.join("a", 1), bed.join("b", 9));
    let old = bed.joined(a).unwrap();
    bed.token(a, "c");
    bed.events(b);
    bed.store.evict(bed.now, &name("a"));
    bed.run(0);
    assert_eq!(bed.events(a).last(), Some(&Event::Evicted));
    assert_eq!(bed.store.claims().len(), 1, "a claim outlives the eviction until its lease ends");
    let again = bed.join("a", 1);
    assert!(bed.joined(again).unwrap().incarnation > old.incarnation);
    assert!(bed.store.claims().is_empty());
    let events = bed.events(b);
    assert_eq!(events[0], Event::MemberDown(old, DownReason::Failed));
    assert_eq!(bed.store.members().len(), 2);
}

#[test]
fn name_of_a_member_that_left_is_free_at_once_and_its_incarnation_grows() {
    let mut bed = Bed::new();
    let a = bed.join("a", 1);
    let old = bed.joined(a).unwrap();
    bed.ask(a, MembershipRequest::Leave);
    let again = bed.join("a", 2);
    assert!(bed.joined(again).unwrap().incarnation > old.incarnation);
}

#[test]
fn suffixed_name_takes_the_lowest_that_is_free() {
    let mut bed = Bed::new();
    bed.join("a", 1);
    for (boot, expected) in [(2, "a-2"), (3, "a-3")] {
        let session = bed.ask_to_join(NameChoice::Suffixed(name("a")), boot);
        bed.run(0);
        assert_eq!(bed.joined(session).unwrap().name, name(expected));
    }
}

#[test]
fn join_during_an_outage_is_refused_in_time() {
    let mut bed = Bed::new();
    bed.store.set_outage(bed.now, true);
    let a = bed.ask_to_join(NameChoice::Exactly(name("a")), 1);
    bed.run(2_000);
    assert!(matches!(bed.refused(a), Some(MembershipError::Unavailable { .. })));
    assert!(!bed.store.is_open(a));
}
