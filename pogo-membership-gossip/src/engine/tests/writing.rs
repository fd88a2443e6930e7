//! Accepted writes, and reading through (R3).

use std::time::Duration;

use pogo_core::{
    membership::{MembershipError, PutOutcome},
    node::{Answer, MembershipRequest},
    record::Key,
};

use super::{
    net::{Net, publish, put, record},
    records,
};

fn is_applied(answer: &Answer) -> bool {
    matches!(answer, Answer::Put(outcomes) if outcomes[..] == [PutOutcome::Applied])
}

#[test]
fn write_is_accepted_when_every_live_peer_has_it() {
    let mut net = Net::formed(3);
    let (took, answer) = net.ask(0, put("spec/a", record(1, "v")));
    assert!(is_applied(&answer), "{answer:?}");
    assert!(took > Duration::ZERO && took < Duration::from_millis(2), "{took:?}");
    for host in 1..3 {
        assert_eq!(records(&net, host), ["spec/a"], "told before the writer had its answer");
    }
    assert!(records(&net, 0).is_empty(), "the writer needs no telling");
}

#[test]
fn write_is_accepted_at_once_where_there_is_nobody_else() {
    let mut net = Net::formed(1);
    let (took, answer) = net.ask(0, put("spec/a", record(1, "v")));
    assert!(is_applied(&answer));
    assert_eq!(took, Duration::ZERO);
}

#[test]
fn one_silent_peer_of_several_holds_a_write_up_for_a_tenth_of_a_second() {
    let mut net = Net::formed(3);
    net.cut(&[2], &[0, 1]);
    let (took, answer) = net.ask(0, put("spec/a", record(1, "v")));
    assert!(is_applied(&answer));
    assert_eq!(took, Duration::from_millis(100));
    let (took, answer) = net.ask(0, publish("report/a", Some("v")));
    assert!(matches!(answer, Answer::Done));
    assert_eq!(took, Duration::from_millis(100));
}

/// Nothing goes out for it, so nobody acknowledges it; it waited for that until it had to be
/// called ambiguous (simulation, crash-each, seed 2).
#[test]
fn report_that_changes_nothing_is_answered_at_once() {
    let mut net = Net::formed(3);
    let (took, _) = net.ask(0, publish("report/a", Some("v")));
    assert!(took > Duration::ZERO);
    let (took, answer) = net.ask(0, publish("report/a", Some("v")));
    assert!(matches!(answer, Answer::Done), "{answer:?}");
    assert_eq!(took, Duration::ZERO);
}

#[test]
fn write_that_the_only_other_peer_does_not_answer_waits_until_that_is_dead() {
    let mut net = Net::formed(2);
    net.cut(&[0], &[1]);
    let (took, answer) = net.ask(0, put("spec/a", record(1, "v")));
    assert!(is_applied(&answer));
    assert!(took > Duration::from_millis(100) && took <= Duration::from_secs(1), "{took:?}");
}

#[test]
fn accepted_write_survives_the_death_of_its_writer() {
    let mut net = Net::formed(3);
    let (_, answer) = net.ask(0, put("spec/a", record(1, "v")));
    assert!(is_applied(&answer));
    net.kill(0);
    net.run(Duration::from_millis(500));
    let (_, found) = net.ask(1, MembershipRequest::Get(vec![Key::new("spec/a")]));
    assert!(matches!(&found, Answer::Got(records) if records[0].is_some()), "{found:?}");
}

#[test]
fn acknowledgement_of_a_peer_that_has_died_since_counts_no_more() {
    let mut net = Net::formed(3);
    net.cut(&[2], &[0, 1]);
    let call = net.request(0, put("spec/a", record(1, "v")));
    net.run(Duration::from_millis(50));
    assert_eq!(records(&net, 1), ["spec/a"]);
    net.kill(1);
    net.run(Duration::from_millis(150));
    assert!(!net.hosts[0].answers.contains_key(&call), "the writer alone has it");
    net.run(Duration::from_secs(3));
    assert!(is_applied(&net.hosts[0].answers[&call].1), "and then there is nobody else");
}

/// A second process whose name was taken acknowledged a write and ended with it (simulation,
/// random clusters, seed 917).
#[test]
fn acknowledgement_of_a_peer_without_a_member_is_not_enough() {
    let mut net = Net::formed(2);
    net.hosts.push(Net::new(2).hosts.remove(1));
    net.start(2);
    let refused = net.join(2, "m0");
    net.run(Duration::from_secs(1));
    assert!(net.hosts[2].failed.contains_key(&refused), "the name is taken");
    net.cut(&[1], &[0, 2]);
    let call = net.request(0, put("spec/a", record(1, "v")));
    net.run(Duration::from_millis(150));
    assert!(!net.hosts[0].answers.contains_key(&call), "no other member has it");
    net.run(Duration::from_secs(3));
    assert!(is_applied(&net.hosts[0].answers[&call].1), "and then there is no other member");
}

/// It had published itself under a name and lost that afterwards (simulation, random clusters over
/// gossip, seed 322).
#[test]
fn acknowledgement_of_a_member_that_still_joins_is_not_enough() {
    let mut net = Net::formed(2);
    net.hosts.push(Net::new(2).hosts.remove(1));
    net.hosts[2].stays_joining = true;
    net.join(2, "m2");
    net.run(Duration::from_secs(1));
    assert_eq!(net.sees(0).len(), 3);
    net.cut(&[1], &[0, 2]);
    let call = net.request(0, put("spec/a", record(1, "v")));
    net.run(Duration::from_millis(150));
    assert!(!net.hosts[0].answers.contains_key(&call), "its name may be another's yet");
    net.run(Duration::from_secs(3));
    assert!(is_applied(&net.hosts[0].answers[&call].1), "and then all have it");
}

/// Its user had been told by then that nothing is known of it, so it was not tried again: all but
/// the writer had the record (simulation, random clusters over gossip, seed 541).
#[test]
fn writer_is_told_of_a_write_that_may_or_may_not_stand() {
    let mut net = Net::formed(2);
    net.hosts.push(Net::new(2).hosts.remove(1));
    net.hosts[2].stays_joining = true;
    net.join(2, "m2");
    net.run(Duration::from_secs(1));
    net.cut(&[1], &[0]);
    let (_, answer) = net.ask(0, put("spec/a", record(1, "v")));
    let is_open = matches!(answer, Answer::Failed(MembershipError::Ambiguous { .. }));
    assert!(is_open, "it lives, and only one that still joins has it: {answer:?}");
    assert_eq!(records(&net, 0), ["spec/a"]);
}

#[test]
fn older_write_is_stale_and_names_what_is_there() {
    let mut net = Net::formed(2);
    net.ask(0, put("spec/a", record(5, "new")));
    let (_, answer) = net.ask(1, put("spec/a", record(4, "old")));
    let Answer::Put(outcomes) = answer else { panic!("{answer:?}") };
    let PutOutcome::Stale { current: Some(current) } = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!(*current, record(5, "new"));
}

#[test]
fn reading_asks_every_live_peer_and_says_where_one_does_not_answer() {
    let mut net = Net::formed(3);
    let keys = || MembershipRequest::Get(vec![Key::new("spec/none")]);
    let (took, answer) = net.ask(0, keys());
    assert!(matches!(&answer, Answer::Got(records) if records[..] == [None]), "{answer:?}");
    assert!(took > Duration::ZERO && took < Duration::from_millis(2));
    net.pause(2, true);
    let (took, answer) = net.ask(0, keys());
    assert!(took <= Duration::from_secs(1), "{took:?}");
    // Either it was found dead in time, or the question went unanswered.
    let found_dead = matches!(answer, Answer::Got(_)) && net.sees(0).len() == 2;
    let refused = matches!(answer, Answer::Failed(MembershipError::Unavailable { .. }));
    assert!(found_dead || refused, "{answer:?}");
}

/// It had the report all along, so it got no delta to acknowledge when it returned.
#[test]
fn report_that_changes_nothing_is_answered_at_once_after_a_return() {
    let mut net = Net::formed(3);
    net.ask(0, publish("report/a", Some("v")));
    net.cut(&[2], &[0, 1]);
    net.run(Duration::from_secs(5));
    net.heal();
    net.run(Duration::from_secs(5));
    assert_eq!(net.sees(0).len(), 3);
    let (took, answer) = net.ask(0, publish("report/a", Some("v")));
    assert!(matches!(answer, Answer::Done), "{answer:?}");
    assert_eq!(took, Duration::ZERO);
}

/// Of two links the one that carried the write broke; the peer lives and never heard of it.
#[test]
fn write_on_a_link_that_breaks_goes_over_the_other() {
    let mut net = Net::new(2);
    for host in 0..2 {
        net.hosts[host].seeds = vec![0, 1];
        net.start(host);
    }
    for host in 0..2 {
        net.join(host, &format!("m{host}"));
    }
    net.run(Duration::from_secs(1));
    assert_eq!(net.links(0), 2, "they dialled each other at once");
    let put = net.request(0, put("spec/a", record(1, "v")));
    let publish = net.request(0, publish("report/a", Some("v")));
    net.lose_link(0);
    net.run(Duration::from_millis(50));
    for call in [put, publish] {
        let (_, answer) = net.hosts[0].answers.get(&call).expect("an answer");
        assert!(is_applied(answer) || matches!(answer, Answer::Done), "{answer:?}");
    }
    assert_eq!(records(&net, 1), ["spec/a"]);
}
