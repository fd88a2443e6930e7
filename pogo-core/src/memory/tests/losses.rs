use super::*;
use crate::{membership::Health, memory::Crash};

fn health(events: &[Event]) -> Vec<bool> {
    let tell = |event: &Event| {
        let Event::Health(health) = event else { return None };
        Some(*health == Health::Healthy)
    };
    events.iter().filter_map(tell).collect()
}

fn is_unavailable(answer: &Answer) -> bool {
    matches!(answer, Answer::Failed(MembershipError::Unavailable { .. }))
}

#[test]
fn wipe_empties_the_store_and_who_knew_the_records_is_told_to_put_them_back() {
    let mut bench = Bench::new();
    let (a, b) = (bench.enter("a", 1), bench.enter("b", 2));
    bench.put(a, "spec/x", record(1, 1, Some("x")));
    bench.hub.wipe(bench.now);
    assert_eq!(bench.events(a), [Event::Evicted]);
    assert_eq!(bench.events(b), [Event::Evicted]);
    let first = |bench: &mut Bench, text, number| {
        let session = bench.join(text, number);
        let events = bench.events(session);
        assert_eq!(shared(&events), []);
        (session, events.into_iter().next().unwrap())
    };
    let (a, reset) = first(&mut bench, "a", 1);
    assert_eq!(reset, Event::Reset { rolled_back: true });
    let (_, reset) = first(&mut bench, "c", 3);
    assert_eq!(reset, Event::Reset { rolled_back: false }, "a new process knew nothing");
    bench.hub.evict(bench.now, &name("a"));
    bench.events(a);
    let (_, reset) = first(&mut bench, "a", 1);
    assert_eq!(reset, Event::Reset { rolled_back: false }, "it was told once");
}

#[test]
fn roll_back_brings_an_older_snapshot_and_ends_no_session() {
    let mut bench = Bench::new();
    let (a, b) = (bench.enter("a", 1), bench.enter("b", 2));
    bench.put(a, "spec/x", record(1, 1, Some("x")));
    let backup = bench.hub.backup();
    bench.put(a, "spec/y", record(2, 1, Some("y")));
    bench.events(a);
    bench.hub.roll_back(bench.now, &backup);
    for session in [a, b] {
        let events = bench.events(session);
        assert_eq!(events.first(), Some(&Event::Reset { rolled_back: true }));
        assert_eq!(shared(&events), [(key("spec/x"), record(1, 1, Some("x")))]);
        assert_eq!(comings(&events), ["+a", "+b"]);
        assert_eq!(events.last(), Some(&Event::Synced));
    }
    assert_eq!(bench.read(a, "spec/y"), None);
}

#[test]
fn member_evicted_before_it_heard_of_a_roll_back_hears_of_it_at_its_rejoin() {
    let mut bench = Bench::new();
    let a = bench.enter("a", 1);
    let backup = bench.hub.backup();
    bench.hub.roll_back(bench.now, &backup);
    bench.hub.evict(bench.now, &name("a"));
    assert_eq!(bench.events(a), [Event::Evicted]);
    let a = bench.join("a", 1);
    assert_eq!(bench.events(a).first(), Some(&Event::Reset { rolled_back: true }));
}

#[test]
fn lost_events_become_a_snapshot_without_false_leaves() {
    let mut bench = Bench::with_delay(4, 50);
    let (a, b, c) = (bench.join("a", 1), bench.join("b", 2), bench.join("c", 3));
    bench.settle();
    let mut replay = Replay::default();
    replay.read(&mut bench, b);
    bench.put(a, "spec/x", record(1, 1, Some("x")));
    bench.publish(a, vec![set("x", "running")]);
    bench.ask(c, &MembershipRequest::Leave);
    bench.hub.lose_events(bench.now, &name("b"));
    bench.settle();
    replay.read(&mut bench, b);
    let Picture { members, shared, owned, .. } = &replay.picture;
    let names: Vec<_> = members.keys().map(|id| id.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!((shared.len(), owned.len()), (1, 1));
}

#[test]
fn write_made_while_a_snapshot_is_on_its_way_is_not_lost_to_its_writer() {
    let mut bench = Bench::with_delay(4, 50);
    let a = bench.join("a", 1);
    bench.settle();
    let mut replay = Replay::default();
    replay.read(&mut bench, a);
    bench.hub.lose_events(bench.now, &name("a"));
    bench.put(a, "spec/x", record(1, 1, Some("x")));
    replay.wrote(&key("spec/x"), &record(1, 1, Some("x")));
    bench.settle();
    replay.read(&mut bench, a);
    assert_eq!(replay.picture.shared.len(), 1);
}

#[test]
fn freed_claim_is_told_again_where_the_news_was_lost() {
    let mut bench = Bench::new();
    let (a, b) = (bench.enter("a", 1), bench.enter("b", 2));
    for session in [a, b] {
        bench.ask(session, &MembershipRequest::Acquire(vec![key("c")]));
    }
    bench.ask(a, &MembershipRequest::Release(vec![key("c")]));
    bench.hub.lose_events(bench.now, &name("b"));
    assert_eq!(bench.events(b).last(), Some(&Event::ClaimFree(vec![key("c")])));
}

#[test]
fn outage_holds_everything_back_and_kills_nobody() {
    let mut bench = Bench::new();
    let (a, b) = (bench.enter("a", 1), bench.enter("b", 2));
    bench.events(a);
    bench.publish(a, vec![set("x", "1")]);
    bench.hub.set_outage(bench.now, true);
    assert!(is_unavailable(&bench.ask(a, &MembershipRequest::Get(vec![]))));
    let refused = bench.try_join(&NameChoice::Exactly(name("a")), 9);
    assert!(matches!(refused, Err(MembershipError::Unavailable { .. })), "{refused:?}");
    let events = bench.events(b);
    assert_eq!((events.len(), health(&events)), (1, vec![false]));
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.events(b), []);
    assert_eq!(bench.events(a).len(), 1);
    assert_eq!(bench.hub.poll_timeout(), None);
    bench.hub.set_outage(bench.now, false);
    let events = bench.events(b);
    assert_eq!(health(&events), [true]);
    assert_eq!(batches(&events).len(), 1);
    bench.pass(Duration::from_secs(60));
    assert_eq!(comings(&bench.events(b)), [""; 0]);
}

#[test]
fn death_before_or_in_an_outage_is_found_a_full_window_after_it() {
    let mut bench = Bench::new();
    let (a, b, c) = (bench.enter("a", 1), bench.enter("b", 2), bench.enter("c", 3));
    for session in [a, b] {
        bench.ask(session, &MembershipRequest::Acquire(vec![key("c")]));
    }
    bench.events(b);
    bench.hub.crash(bench.now, a, Crash::Silent);
    bench.pass_millis(900);
    bench.hub.set_outage(bench.now, true);
    bench.pass(Duration::from_secs(60));
    bench.hub.crash(bench.now, c, Crash::Noticed);
    bench.hub.set_outage(bench.now, false);
    bench.pass_millis(999);
    assert_eq!(comings(&bench.events(b)), [""; 0]);
    bench.pass_millis(1);
    let mut gone = comings(&bench.events(b));
    gone.sort();
    assert_eq!(gone, ["-a Failed", "-c Failed"]);
    bench.pass_millis(8_999);
    assert_eq!(bench.events(b), [], "leases have the full time again");
    bench.pass_millis(1);
    assert_eq!(bench.events(b), [Event::ClaimFree(vec![key("c")])]);
}

#[test]
fn member_cut_off_for_a_moment_misses_nothing() {
    let mut bench = Bench::new();
    let (a, b) = (bench.enter("a", 1), bench.enter("b", 2));
    bench.events(a);
    bench.hub.set_member_outage(bench.now, &name("b"), true);
    bench.put(a, "spec/x", record(1, 1, Some("x")));
    assert!(is_unavailable(&bench.ask(b, &MembershipRequest::Get(vec![]))));
    assert_eq!(health(&bench.events(b)), [false]);
    bench.pass_millis(999);
    bench.hub.set_member_outage(bench.now, &name("b"), false);
    let events = bench.events(b);
    assert_eq!((health(&events), shared(&events).len()), (vec![true], 1));
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.events(a), []);
}

#[test]
fn member_cut_off_for_long_learns_of_its_eviction_when_it_is_back() {
    let mut bench = Bench::new();
    let (a, b) = (bench.enter("a", 1), bench.enter("b", 2));
    bench.events(a);
    bench.hub.set_member_outage(bench.now, &name("b"), true);
    bench.pass_millis(1_000);
    assert_eq!(comings(&bench.events(a)), ["-b Failed"]);
    assert_eq!(health(&bench.events(b)), [false]);
    assert!(is_unavailable(&bench.ask(b, &MembershipRequest::Get(vec![]))));
    let refused = bench.try_join(&NameChoice::Exactly(name("b")), 2);
    assert!(matches!(refused, Err(MembershipError::Unavailable { .. })), "{refused:?}");
    bench.hub.set_member_outage(bench.now, &name("b"), false);
    assert_eq!(bench.events(b), [Event::Evicted]);
    bench.join("b", 2);
    assert_eq!(comings(&bench.events(a)), ["+b"]);
}

#[test]
fn old_tombstones_are_collected_only_when_everybody_is_there() {
    let day = Duration::from_secs(24 * 60 * 60);
    let mut bench = Bench::new();
    let (a, b) = (bench.enter("a", 1), bench.enter("b", 2));
    bench.put(a, "spec/x", record(1, 1, None));
    let mut done = record(1, 1, Some("y"));
    done.stamp.stage = Stage::Done;
    bench.put(a, "spec/y", done);
    bench.put(a, "spec/live", record(1, 1, None));
    bench.put(a, "spec/live", record(2, 1, Some("again")));
    bench.pass(day / 2);
    bench.put(a, "spec/late", record(1, 1, None));
    bench.hub.partition(bench.now, &[names(&["a"])]);
    bench.pass(day / 2);
    assert!(bench.read(b, "spec/x").is_some());
    bench.events(a);
    bench.hub.heal(bench.now);
    let events = bench.events(a);
    let gone = Event::SharedGone(vec![key("spec/x"), key("spec/y")]);
    assert!(events.contains(&gone), "{events:?}");
    assert_eq!(bench.read(b, "spec/x"), None);
    bench.pass(day);
    let late = Event::SharedGone(vec![key("spec/late")]);
    assert!(bench.events(b).contains(&late));
    assert!(bench.read(b, "spec/live").is_some());
    bench.events(a);
    assert_eq!(bench.hub.poll_timeout().filter(|at| *at <= bench.now.mono), None);
}
