//! What a session's client does: leases, feeds, requests.

use pogo_core::membership::{DownReason, Health, MemberStatus};

use super::*;

#[test]
fn renewals_keep_a_lease_and_its_deadline_goes_on() {
    let mut bed = Bed::new();
    let a = bed.join("a", 1);
    let b = bed.join("b", 2);
    bed.events(b);
    bed.run(60_000);
    assert!(bed.events(b).is_empty(), "nobody is reported as failed");
    let renewed = bed.store.renewed(bed.now, a).unwrap();
    assert!(bed.now.since(renewed) <= TTL / 4);
}

#[test]
fn idle_cluster_costs_a_step_for_each_renewal_and_no_more() {
    let mut bed = Bed::new();
    bed.join("a", 1);
    bed.join("b", 2);
    bed.run(1_000);
    let mut steps = 0;
    let until = bed.now + TTL * 100;
    while bed.store.next_step_at().is_some_and(|at| at <= until) {
        bed.store.step();
        steps += 1;
    }
    // Four renewals of each for a lease, and a look for expired leases while the oldest lasts.
    assert!(steps <= 800 + 140, "{steps} steps");
}

#[test]
fn crashed_member_fails_within_its_lease_and_a_second() {
    let mut bed = Bed::new();
    let a = bed.join("a", 1);
    let b = bed.join("b", 2);
    bed.run(5_300);
    let gone = bed.joined(a).unwrap();
    bed.store.crash(a);
    bed.events(b);
    bed.run(u64::try_from(TTL.as_millis()).unwrap() * 3 / 4 - 10);
    assert!(bed.events(b).is_empty(), "its lease is still there");
    bed.run(2_010);
    assert_eq!(bed.events(b), [Event::MemberDown(gone, DownReason::Failed)]);
}

#[test]
fn leave_is_told_at_once_and_takes_all_that_is_owned_along() {
    let mut bed = Bed::new();
    let a = bed.join("a", 1);
    let b = bed.join("b", 2);
    let me = bed.joined(a).unwrap();
    bed.ask(a, owned("k", "1"));
    bed.token(a, "c");
    bed.events(b);
    assert!(matches!(bed.ask(a, MembershipRequest::Leave), Answer::Done));
    bed.run(0);
    assert_eq!(bed.events(b), [Event::MemberDown(me, DownReason::Left)]);
    assert!(bed.store.claims().is_empty());
    assert!(!bed.store.is_open(a));
    let events = bed.events(a);
    assert!(!events.contains(&Event::Evicted), "who left is not evicted: {events:?}");
}

#[test]
fn feed_begins_with_a_snapshot_and_goes_on_with_every_change_in_order() {
    let mut bed = Bed::new();
    let a = bed.join("a", 1);
    bed.ask(a, owned("k", "1"));
    bed.put(a, "s", 1, Expect::Absent);
    let b = bed.join("b", 2);
    let events = bed.events(b);
    assert_eq!(events.first(), Some(&Event::Reset { rolled_back: false }));
    assert_eq!(events.last(), Some(&Event::Synced));
    assert!(events.contains(&Event::Shared(vec![(Key::new("s"), record(1))])));
    assert!(
        events.iter().any(|event| matches!(event, Event::Owned(by, _) if by.name == name("a")))
    );
    for value in ["2", "3", "4"] {
        bed.ask(a, owned("k", value));
    }
    bed.ask(a, MembershipRequest::SetStatus(MemberStatus::Active));
    let told: Vec<String> = bed.events(b).iter().map(|event| format!("{event:?}")).collect();
    assert_eq!(told.len(), 4);
    assert!(told[0].contains("b\"2\"") && told[2].contains("b\"4\""), "{told:?}");
    assert!(told[3].contains("Active"));
}

#[test]
fn compare_and_set_has_one_winner_and_repeating_it_is_safe() {
    let mut bed = Bed::new();
    let (a, b) = (bed.join("a", 1), bed.join("b", 2));
    assert_eq!(bed.put(a, "s", 2, Expect::Absent), PutOutcome::Applied);
    assert_eq!(bed.put(b, "s", 3, Expect::Absent), PutOutcome::Stale { current: Some(record(2)) });
    assert_eq!(bed.put(a, "s", 2, Expect::Absent), PutOutcome::Applied);
    let exactly = Expect::Exactly(record(2).stamp);
    assert_eq!(bed.put(b, "s", 3, exactly), PutOutcome::Applied);
    assert_eq!(bed.put(a, "s", 4, exactly), PutOutcome::Stale { current: Some(record(3)) });
    assert_eq!(bed.put(a, "s", 2, Expect::Newer), PutOutcome::Stale { current: Some(record(3)) });
}

#[test]
fn batch_sees_what_it_wrote_itself() {
    let mut bed = Bed::new();
    let a = bed.join("a", 1);
    let batch = vec![put("s", 2, Expect::Absent), put("s", 1, Expect::Newer)];
    let Answer::Put(outcomes) = bed.ask(a, MembershipRequest::Put(batch)) else { panic!() };
    assert_eq!(outcomes[1], PutOutcome::Stale { current: Some(record(2)) });
}

#[test]
fn lost_reply_leaves_it_open_and_the_repetition_tells() {
    let mut bed = Bed::with(StoreConfig { lost_replies: 0, ..StoreConfig::default() });
    let a = bed.join("a", 1);
    bed.store.config.lost_replies = 1_000;
    let lost = bed.ask(a, MembershipRequest::Acquire(vec![Key::new("c")]));
    assert!(matches!(lost, Answer::Failed(MembershipError::Ambiguous { .. })), "{lost:?}");
    assert_eq!(bed.store.claims().len(), 1, "it was applied");
    bed.store.config.lost_replies = 0;
    let token = bed.token(a, "c");
    assert_eq!(bed.token(a, "c"), token, "holding it gives the same token");
}

#[test]
fn claim_that_is_free_again_is_told_to_those_who_wait() {
    let mut bed = Bed::new();
    let (a, b, c) = (bed.join("a", 1), bed.join("b", 2), bed.join("c", 3));
    bed.token(a, "c");
    assert!(matches!(bed.acquire(b, "c"), Ok(ClaimOutcome::HeldBy { .. })));
    bed.events(b);
    bed.events(c);
    bed.ask(a, MembershipRequest::Release(vec![Key::new("c")]));
    assert_eq!(bed.events(b), [Event::ClaimFree(vec![Key::new("c")])]);
    assert!(bed.events(c).is_empty());
}

#[test]
fn outage_fails_requests_kills_nobody_and_ends_by_itself() {
    let mut bed = Bed::new();
    let (a, b) = (bed.join("a", 1), bed.join("b", 2));
    bed.run(3_000);
    bed.events(a);
    bed.store.set_outage(bed.now, true);
    bed.run(60_000);
    let events = bed.events(a);
    assert!(matches!(events[..], [Event::Health(Health::Degraded { .. })]), "{events:?}");
    let refused = bed.ask(a, MembershipRequest::Get(Vec::new()));
    assert!(matches!(refused, Answer::Failed(MembershipError::Unavailable { .. })));
    let before = bed.store.renewed(bed.now, a);
    assert!(bed.now.since(before.unwrap()) > TTL, "the deadline stands still");
    bed.store.set_outage(bed.now, false);
    bed.run(10_000);
    assert_eq!(bed.events(a), [Event::Health(Health::Healthy)]);
    assert!(bed.store.is_open(b));
    assert!(bed.store.renewed(bed.now, a) > before);
}

#[test]
fn request_under_way_at_a_break_may_have_run() {
    let mut bed =
        Bed::with(StoreConfig { latency: Duration::from_millis(10), ..StoreConfig::default() });
    let a = bed.ask_to_join(NameChoice::Exactly(name("a")), 1);
    bed.run(500);
    let id = bed.send(a, MembershipRequest::Put(vec![put("s", 1, Expect::Absent)]));
    bed.store.set_outage(bed.now, true);
    bed.run(0);
    let answer = bed.answer(a, id);
    assert!(matches!(answer, Some(Answer::Failed(MembershipError::Ambiguous { .. }))));
    bed.store.set_outage(bed.now, false);
    bed.run(5_000);
    assert_eq!(bed.store.record(&Key::new("s")), None, "nothing of a broken connection runs later");
}

#[test]
fn member_that_is_cut_off_is_evicted_when_it_is_back_too_late() {
    let mut bed = Bed::new();
    let (a, b) = (bed.join("a", 1), bed.join("b", 2));
    bed.run(1_000);
    bed.events(a);
    bed.store.set_cut_off(bed.now, &name("a"), true);
    bed.run(1_000);
    bed.store.set_cut_off(bed.now, &name("a"), false);
    bed.run(2_000);
    bed.events(a);
    assert!(bed.store.is_open(a), "a second is nothing");
    bed.store.set_cut_off(bed.now, &name("a"), true);
    bed.events(b);
    bed.run(6_000);
    assert!(matches!(bed.events(b)[..], [Event::MemberDown(..)]));
    bed.store.set_cut_off(bed.now, &name("a"), false);
    bed.run(1_000);
    assert_eq!(bed.events(a).last(), Some(&Event::Evicted));
    bed.join("a", 1);
}

#[test]
fn member_without_access_is_denied_and_told_why() {
    let mut bed = Bed::new();
    let a = bed.join("a", 1);
    bed.store.set_denied(bed.now, &name("a"), true);
    bed.events(a);
    for _ in 0..2 {
        let answer = bed.ask(a, MembershipRequest::Get(Vec::new()));
        assert!(matches!(answer, Answer::Failed(MembershipError::Denied { .. })), "{answer:?}");
    }
    assert!(matches!(bed.events(a)[..], [Event::Health(Health::Degraded { .. })]));
    bed.store.set_denied(bed.now, &name("a"), false);
    bed.run(1_000);
    assert!(matches!(bed.ask(a, MembershipRequest::Get(Vec::new())), Answer::Got(_)));
}

#[test]
fn request_that_is_overtaken_by_the_loss_of_access_is_answered_all_the_same() {
    let mut bed =
        Bed::with(StoreConfig { latency: Duration::from_millis(40), ..StoreConfig::default() });
    let a = bed.ask_to_join(NameChoice::Exactly(name("a")), 1);
    bed.run(1_000);
    bed.store.set_denied(bed.now, &name("a"), true);
    let mut asked = Vec::new();
    for _ in 0..200 {
        asked.push(bed.send(a, MembershipRequest::Get(Vec::new())));
        bed.run(1);
    }
    bed.run(5_000);
    assert!(asked.iter().all(|id| bed.answer(a, *id).is_some()));
}

#[test]
fn watcher_behind_a_compaction_reads_a_snapshot_without_false_leaves() {
    let mut bed = Bed::new();
    let (a, b) = (bed.join("a", 1), bed.join("b", 2));
    bed.run(100);
    bed.store.set_stale(bed.now, &name("b"), Duration::from_secs(1));
    bed.put(a, "s", 1, Expect::Absent);
    bed.put(a, "t", 1, Expect::Absent);
    bed.store.compact();
    bed.events(b);
    bed.run(3_000);
    let events = bed.events(b);
    assert_eq!(events.first(), Some(&Event::Reset { rolled_back: false }));
    assert_eq!(events.last(), Some(&Event::Synced));
    assert!(!events.iter().any(|event| matches!(event, Event::MemberDown(..))));
}

#[test]
fn feed_that_was_held_back_comes_at_once_when_that_ends() {
    let mut bed = Bed::new();
    let (a, b) = (bed.join("a", 1), bed.join("b", 2));
    bed.store.set_stale(bed.now, &name("b"), Duration::from_secs(9));
    bed.put(a, "s", 1, Expect::Absent);
    bed.put(a, "t", 1, Expect::Absent);
    bed.events(b);
    bed.run(1_000);
    assert!(bed.events(b).is_empty());
    bed.store.set_stale(bed.now, &name("b"), Duration::ZERO);
    bed.run(0);
    assert_eq!(bed.events(b).len(), 2);
}

/// One event was still on its way for long after the store had its speed again (random clusters, seed
/// 2964).
#[test]
fn event_that_a_slow_store_sent_comes_at_the_pace_that_the_store_has_now() {
    let config = StoreConfig { delay: Duration::from_millis(1), ..StoreConfig::default() };
    let mut bed = Bed::with(config);
    let (a, b) = (bed.join("a", 1), bed.join("b", 2));
    bed.run(100);
    bed.store.set_slow(bed.now, 100_000);
    bed.put(a, "s", 1, Expect::Absent);
    bed.events(b);
    bed.run(100);
    assert!(bed.events(b).is_empty());
    bed.store.set_slow(bed.now, 1);
    bed.run(10);
    assert_eq!(bed.events(b).len(), 1);
}

/// A quorum ended although the store was well again (random clusters, seed 676).
#[test]
fn renewal_that_a_slow_store_holds_up_is_followed_by_one_at_the_pace_that_it_has_now() {
    let mut bed = Bed::new();
    let a = bed.join("a", 1);
    bed.store.pace.latency = Duration::from_millis(2);
    bed.store.set_slow(bed.now, 100_000);
    bed.run(u64::try_from(TTL.as_millis()).unwrap() / 2);
    assert!(bed.now.since(bed.store.renewed(bed.now, a).unwrap()) > TTL / 4, "it is held up");
    bed.store.set_slow(bed.now, 1);
    let then = bed.now;
    bed.run(200);
    assert!(bed.store.renewed(bed.now, a).unwrap() >= then);
}

#[test]
fn gap_is_followed_by_a_snapshot_and_claims_that_became_free() {
    let mut bed = Bed::new();
    let (a, b) = (bed.join("a", 1), bed.join("b", 2));
    bed.token(a, "c");
    assert!(matches!(bed.acquire(b, "c"), Ok(ClaimOutcome::HeldBy { .. })));
    bed.store.set_stale(bed.now, &name("b"), Duration::from_secs(9));
    bed.ask(a, MembershipRequest::Release(vec![Key::new("c")]));
    bed.events(b);
    bed.store.lose_events(bed.now, &name("b"));
    bed.run(0);
    let events = bed.events(b);
    assert_eq!(events.first(), Some(&Event::Reset { rolled_back: false }));
    assert!(events.contains(&Event::ClaimFree(vec![Key::new("c")])));
    assert_eq!(events.last(), Some(&Event::Synced));
}

#[test]
fn snapshot_ends_only_when_the_feed_has_told_own_writes() {
    let mut bed = Bed::with(StoreConfig {
        latency: Duration::from_millis(20),
        delay: Duration::from_millis(40),
        ..StoreConfig::default()
    });
    let a = bed.ask_to_join(NameChoice::Exactly(name("a")), 1);
    bed.run(1_000);
    for n in 1..200 {
        bed.events(a);
        bed.store.lose_events(bed.now, &name("a"));
        let key = format!("s{n}");
        let id = bed.send(a, MembershipRequest::Put(vec![put(&key, n, Expect::Absent)]));
        let mut known = false;
        for _ in 0..500 {
            bed.run(1);
            let told = bed.told.get(&a).cloned().unwrap_or_default();
            let position = |wanted: &dyn Fn(&Told) -> bool| told.iter().position(wanted);
            let synced = position(&|it| matches!(it, Told::Event(Event::Synced)));
            let applied = position(&|it| matches!(it, Told::Answer(of, _) if *of == id));
            let heard = position(
                &|it| matches!(it, Told::Event(Event::Shared(all)) if all.iter().any(|(k, _)| k.as_str() == key)),
            );
            if let (Some(synced), Some(applied)) = (synced, applied) {
                known = applied > synced || heard.is_some_and(|heard| heard < synced);
                break;
            }
        }
        assert!(known, "write {n} was acknowledged and is not in the snapshot");
        bed.run(500);
    }
}

#[test]
fn value_above_the_limit_is_refused_and_changes_nothing() {
    let mut bed = Bed::with(StoreConfig { max_value_bytes: 1, ..StoreConfig::default() });
    let a = bed.join("a", 1);
    let answer = bed.ask(a, MembershipRequest::Put(vec![put("s", 10, Expect::Newer)]));
    assert!(matches!(answer, Answer::Failed(MembershipError::TooLarge { len: 2, max: 1 })));
    assert_eq!(bed.store.record(&Key::new("s")), None);
}

#[test]
fn process_that_pauses_past_its_lease_finds_out_when_it_goes_on() {
    let mut bed = Bed::new();
    let (a, b) = (bed.join("a", 1), bed.join("b", 2));
    bed.run(500);
    bed.store.set_paused(bed.now, a, true);
    bed.events(b);
    bed.run(6_000);
    assert!(matches!(bed.events(b)[..], [Event::MemberDown(..)]));
    bed.events(a);
    bed.store.set_paused(bed.now, a, false);
    bed.run(0);
    assert_eq!(bed.events(a), [Event::Evicted]);
}

#[test]
fn lease_that_a_paused_process_is_given_ends_and_is_renewed_once_it_goes_on() {
    for millis in [6_000, 500] {
        let mut bed = Bed::new();
        let b = bed.join("b", 2);
        bed.run(500);
        let a = bed.ask_to_join(NameChoice::Exactly(name("a")), 1);
        bed.store.set_paused(bed.now, a, true);
        bed.run(millis);
        let is_gone = millis > 1_000;
        let events = bed.events(b);
        assert!(
            events
                .iter()
                .any(|event| matches!(event, Event::MemberUp(info) if info.id.name == name("a")))
        );
        assert_eq!(matches!(events.last(), Some(Event::MemberDown(..))), is_gone);
        bed.store.set_paused(bed.now, a, false);
        bed.run(6_000);
        assert_eq!(bed.events(a).last() == Some(&Event::Evicted), is_gone);
    }
}
