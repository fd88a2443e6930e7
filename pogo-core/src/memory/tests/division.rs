use super::*;
use crate::{membership::MemberStatus, memory::Crash};

fn divided() -> (Bench, SessionId, SessionId) {
    let mut bench = Bench::new();
    let (a, b) = (bench.enter("a", 1), bench.enter("b", 2));
    bench.publish(a, vec![set("x", "before")]);
    bench.events(a);
    bench.events(b);
    bench.hub.partition(bench.now, &[names(&["a"]), names(&["b"])]);
    (bench, a, b)
}

#[test]
fn nothing_crosses_a_division_and_each_side_gives_up_the_other() {
    let (mut bench, a, b) = divided();
    assert!(bench.hub.is_divided());
    bench.put(a, "spec/x", record(1, 1, Some("a")));
    bench.publish(a, vec![set("x", "during")]);
    bench.ask(a, &MembershipRequest::SetStatus(MemberStatus::Active));
    assert_eq!(bench.read(b, "spec/x"), None);
    bench.pass_millis(999);
    assert_eq!(bench.events(b), []);
    bench.pass_millis(1);
    assert_eq!(comings(&bench.events(b)), ["-a Failed"]);
    assert_eq!(comings(&bench.events(a)), ["+a", "-b Failed"]);
}

#[test]
fn both_islands_merge_by_the_order_of_records() {
    let (mut bench, a, b) = divided();
    bench.put(a, "older", record(1, 1, Some("a")));
    bench.put(b, "older", record(2, 2, Some("b")));
    bench.put(a, "only-a", record(1, 1, Some("a")));
    bench.hub.heal(bench.now);
    let newer = record(2, 2, Some("b"));
    assert_eq!(shared(&bench.events(a)), [(key("older"), newer.clone())]);
    let news = shared(&bench.events(b));
    assert_eq!(news, [(key("only-a"), record(1, 1, Some("a")))], "b's own write stays silent");
    assert_eq!(bench.read(a, "older"), Some(newer));
    assert!(!bench.hub.is_divided());
}

#[test]
fn tombstone_survives_the_heal() {
    let mut bench = Bench::new();
    let (a, b) = (bench.enter("a", 1), bench.enter("b", 2));
    bench.put(a, "spec/x", record(1, 1, Some("x")));
    bench.hub.partition(bench.now, &[names(&["a"])]);
    bench.events(b);
    bench.put(a, "spec/x", record(2, 1, None));
    bench.hub.heal(bench.now);
    assert_eq!(shared(&bench.events(b)), [(key("spec/x"), record(2, 1, None))]);
    let again = bench.put(b, "spec/x", record(1, 1, Some("x")));
    assert_eq!(again, PutOutcome::Stale { current: Some(record(2, 1, None)) });
}

#[test]
fn short_division_kills_nobody_and_delivers_what_was_missed() {
    let (mut bench, a, b) = divided();
    bench.pass_millis(900);
    bench.publish(a, vec![set("x", "1")]);
    bench.publish(a, vec![set("x", "2")]);
    bench.hub.heal(bench.now);
    bench.pass(Duration::from_secs(60));
    let events = bench.events(b);
    assert_eq!(comings(&events), [""; 0]);
    let sent = |value| ("a".to_owned(), vec![set("x", value)]);
    assert_eq!(batches(&events), [sent("1"), sent("2")]);
}

#[test]
fn member_given_up_comes_back_with_all_that_it_owns() {
    let (mut bench, a, b) = divided();
    bench.pass_millis(1_000);
    bench.publish(a, vec![set("y", "during")]);
    bench.events(b);
    bench.hub.heal(bench.now);
    let events = bench.events(b);
    assert_eq!(comings(&events), ["+a"]);
    let all = vec![set("x", "before"), set("y", "during")];
    assert_eq!(batches(&events), [("a".to_owned(), all)]);
}

#[test]
fn leave_on_the_other_side_is_known_after_the_heal() {
    let (mut bench, a, b) = divided();
    bench.ask(a, &MembershipRequest::Leave);
    assert_eq!(bench.events(b), []);
    bench.hub.heal(bench.now);
    assert_eq!(comings(&bench.events(b)), ["-a Left"]);
}

#[test]
fn leave_on_the_other_side_is_a_failure_where_the_heal_comes_late() {
    let (mut bench, a, b) = divided();
    bench.ask(a, &MembershipRequest::Leave);
    bench.pass_millis(1_000);
    assert_eq!(comings(&bench.events(b)), ["-a Failed"]);
    bench.hub.heal(bench.now);
    assert_eq!(comings(&bench.events(b)), [""; 0]);
}

#[test]
fn restart_on_the_other_side_is_seen_whole_after_the_heal() {
    let (mut bench, a, b) = divided();
    bench.hub.crash(bench.now, a, Crash::Silent);
    bench.join("a", 3);
    bench.hub.heal(bench.now);
    assert_eq!(comings(&bench.events(b)), ["-a Replaced", "+a"]);
}

#[test]
fn newcomer_sees_only_its_own_island_until_the_heal() {
    let (mut bench, a, _) = divided();
    bench.put(a, "spec/x", record(1, 1, Some("x")));
    let c = bench.join("c", 3);
    let events = bench.events(c);
    assert_eq!(comings(&events), ["+c"]);
    assert_eq!(shared(&events), []);
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.events(c), []);
    bench.hub.heal(bench.now);
    let events = bench.events(c);
    assert_eq!(comings(&events), ["+a", "+b"]);
    assert_eq!(shared(&events).len(), 1);
}

#[test]
fn another_division_joins_and_parts_in_one_step() {
    let mut bench = Bench::new();
    let sessions = ["a", "b", "c"].map(|text| bench.enter(text, text.len() as u128));
    let [a, b, c] = sessions;
    bench.hub.partition(bench.now, &[names(&["a", "b"]), names(&["c"])]);
    bench.put(a, "x", record(1, 1, Some("ab")));
    bench.put(c, "y", record(1, 2, Some("c")));
    bench.pass_millis(1_000);
    for session in sessions {
        bench.events(session);
    }
    bench.hub.partition(bench.now, &[names(&["a"]), names(&["b", "c"])]);
    assert_eq!(comings(&bench.events(b)), ["+c"]);
    assert!(bench.read(b, "x").is_some() && bench.read(b, "y").is_some());
    assert_eq!(bench.read(a, "y"), None);
    bench.pass_millis(1_000);
    assert_eq!(comings(&bench.events(a)), ["-b Failed"]);
    assert_eq!(comings(&bench.events(c)), ["+b"]);
}
