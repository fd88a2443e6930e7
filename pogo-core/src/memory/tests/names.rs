use super::*;
use crate::{id::Incarnation, membership::MemberStatus, memory::Crash};

fn exactly(text: &str) -> NameChoice {
    NameChoice::Exactly(name(text))
}

#[test]
fn newcomer_reads_a_snapshot_that_names_itself() {
    let mut bench = Bench::new();
    let a = bench.enter("a", 1);
    bench.put(a, "spec/x", record(1, 1, Some("x")));
    bench.publish(a, vec![set("x", "running")]);
    let b = bench.join("b", 2);
    let events = bench.events(b);
    assert_eq!(events.first(), Some(&Event::Reset { rolled_back: false }));
    assert_eq!(events.last(), Some(&Event::Synced));
    assert_eq!(comings(&events), ["+a", "+b"]);
    assert_eq!(shared(&events), [(key("spec/x"), record(1, 1, Some("x")))]);
    assert_eq!(batches(&events), [("a".to_owned(), vec![set("x", "running")])]);
    assert_eq!(comings(&bench.events(a)), ["+b"]);
}

#[test]
fn statuses_arrive_in_order_at_everybody() {
    let mut bench = Bench::with_delay(3, 50);
    let (a, b) = (bench.join("a", 1), bench.join("b", 2));
    bench.settle();
    bench.events(b);
    bench.events(a);
    for status in [MemberStatus::Active, MemberStatus::Draining] {
        bench.ask(a, &MembershipRequest::SetStatus(status));
    }
    bench.settle();
    for reader in [a, b] {
        let statuses: Vec<_> = bench
            .events(reader)
            .into_iter()
            .filter_map(|e| if let Event::MemberUp(info) = e { Some(info.status) } else { None })
            .collect();
        assert_eq!(statuses, [MemberStatus::Active, MemberStatus::Draining]);
    }
}

#[test]
fn leaver_is_gone_once_and_its_name_is_free() {
    let mut bench = Bench::new();
    let (a, b) = (bench.enter("a", 1), bench.enter("b", 2));
    bench.events(a);
    assert!(matches!(bench.ask(b, &MembershipRequest::Leave), Answer::Done));
    assert!(!bench.hub.is_open(b));
    bench.pass(Duration::from_secs(60));
    assert_eq!(comings(&bench.events(a)), ["-b Left"]);
    bench.enter("b", 3);
    assert_eq!(comings(&bench.events(a)), ["+b"]);
}

#[test]
fn name_of_a_live_member_is_taken_or_suffixed() {
    let mut bench = Bench::new();
    bench.enter("a", 1);
    let refused = bench.try_join(&exactly("a"), 2);
    assert!(matches!(refused, Err(MembershipError::NameTaken { .. })), "{refused:?}");
    let choice = NameChoice::Suffixed(name("a"));
    let mut taken = |number| bench.try_join(&choice, number).unwrap();
    assert_eq!(taken(2).1.name, name("a-2"));
    let (third, id) = taken(3);
    assert_eq!(id.name, name("a-3"));
    bench.hub.crash(bench.now, third, Crash::Noticed);
    assert_eq!(bench.try_join(&choice, 4).unwrap().1.name, name("a-3"));
}

#[test]
fn suffix_that_makes_a_name_too_long_is_refused() {
    let mut bench = Bench::new();
    let long = "a".repeat(MemberName::MAX_BYTES);
    bench.enter(&long, 1);
    let refused = bench.try_join(&NameChoice::Suffixed(name(&long)), 2);
    assert!(matches!(refused, Err(MembershipError::Name(_))), "{refused:?}");
}

#[test]
fn noticed_crash_is_known_at_once() {
    let mut bench = Bench::new();
    let (a, b) = (bench.enter("a", 1), bench.enter("b", 2));
    bench.events(a);
    bench.hub.crash(bench.now, b, Crash::Noticed);
    assert_eq!(comings(&bench.events(a)), ["-b Failed"]);
    assert!(!bench.hub.is_open(b));
}

#[test]
fn silent_crash_is_known_after_the_detection_window_at_the_latest() {
    let mut bench = Bench::with_delay(7, 100);
    let (a, b) = (bench.join("a", 1), bench.join("b", 2));
    bench.settle();
    bench.events(a);
    bench.hub.crash(bench.now, b, Crash::Silent);
    bench.pass_millis(899);
    assert_eq!(comings(&bench.events(a)), [""; 0]);
    bench.pass_millis(101);
    assert_eq!(comings(&bench.events(a)), ["-b Failed"]);
}

#[test]
fn dead_member_is_still_up_for_who_joins_before_its_detection() {
    let mut bench = Bench::new();
    let b = bench.enter("b", 2);
    bench.hub.crash(bench.now, b, Crash::Silent);
    let a = bench.join("a", 1);
    assert_eq!(comings(&bench.events(a)), ["+b", "+a"]);
    bench.pass_millis(1_000);
    assert_eq!(comings(&bench.events(a)), ["-b Failed"]);
}

#[test]
fn restart_before_detection_replaces_the_old_start() {
    let mut bench = Bench::new();
    let (a, old) = (bench.enter("a", 1), bench.enter("b", 2));
    bench.publish(old, vec![set("x", "running")]);
    bench.hub.crash(bench.now, old, Crash::Silent);
    bench.join("b", 3);
    let events = bench.events(a);
    assert_eq!(comings(&events), ["+b", "-b Replaced", "+b"]);
    bench.pass(Duration::from_secs(60));
    assert_eq!(comings(&bench.events(a)), [""; 0], "nobody is declared dead a second time");
}

#[test]
fn each_stay_under_a_name_has_a_higher_incarnation_even_when_the_wall_clock_steps_back() {
    let mut bench = Bench::new();
    let (b, first) = bench.try_join(&exactly("b"), 2).unwrap();
    assert_eq!(first.incarnation, Incarnation::new(1_000_000));
    bench.hub.evict(bench.now, &name("b"));
    assert_eq!(bench.events(b), [Event::Evicted]);
    bench.now.wall = WallTime::from_millis(5);
    let (_, again) = bench.try_join(&exactly("b"), 2).unwrap();
    assert_eq!(again.boot, first.boot);
    assert!(again.incarnation > first.incarnation);
}

#[test]
fn same_process_takes_over_its_own_stay() {
    let mut bench = Bench::new();
    let (a, b) = (bench.enter("a", 1), bench.enter("b", 2));
    bench.events(a);
    let again = bench.join("b", 2);
    assert_eq!(comings(&bench.events(a)), ["-b Replaced", "+b"]);
    assert_eq!(bench.events(b), [Event::Evicted]);
    assert_eq!(comings(&bench.events(again)), ["+a", "+b"]);
}

#[test]
fn evicted_member_hears_it_last_and_its_requests_end() {
    let mut bench = Bench::new();
    let (a, b) = (bench.enter("a", 1), bench.enter("b", 2));
    bench.events(a);
    bench.put(a, "spec/x", record(1, 1, Some("x")));
    bench.hub.evict(bench.now, &name("b"));
    let answer = bench.ask(b, &MembershipRequest::Get(vec![]));
    assert!(matches!(answer, Answer::Failed(MembershipError::SessionEnded)), "{answer:?}");
    bench.put(a, "spec/y", record(2, 1, Some("y")));
    assert_eq!(bench.events(b), [Event::Evicted]);
    assert_eq!(comings(&bench.events(a)), ["-b Failed"]);
    assert!(!bench.hub.is_open(b));
}
