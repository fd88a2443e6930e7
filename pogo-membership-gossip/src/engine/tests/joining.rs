//! Joins: finding others, names, clocks.

use std::time::Duration;

use pogo_core::{
    id::MemberName,
    membership::{Event, MembershipError, NameChoice},
    node::MembershipRequest,
};

use super::{
    super::{Form, Input},
    net::{Net, addr, publish, put, record},
    records,
};
use crate::peer::Life;

#[test]
fn newcomer_sees_all_members_and_records_before_it_is_synced() {
    let mut net = Net::formed(3);
    net.ask(0, put("spec/a", record(1, "v")));
    net.ask(1, publish("report/a", Some("running")));
    net.hosts.push(Net::new(2).hosts.pop().unwrap());
    net.join(3, "m3");
    net.run(Duration::from_millis(100));
    let told = net.told(3, pogo_core::time::Timestamp::ZERO);
    let kinds: Vec<_> = told.iter().map(|(_, event)| event).collect();
    let synced = kinds.iter().position(|it| matches!(it, Event::Synced)).expect("synced");
    let before = &kinds[..synced];
    assert!(matches!(before[0], Event::Reset { rolled_back: false }));
    assert_eq!(before.iter().filter(|it| matches!(it, Event::MemberUp(_))).count(), 4);
    assert!(before.iter().any(|it| matches!(it, Event::Shared(_))));
    assert!(before.iter().any(|it| matches!(it, Event::Owned(id, _) if id.name.as_str() == "m1")));
}

#[test]
fn newcomer_asks_for_each_page_of_its_copy_once() {
    let mut net = Net::formed(1);
    let value = "v".repeat(50_000);
    for n in 0..60 {
        net.ask(0, put(&format!("spec/{n:02}"), record(1, &value)));
    }
    net.hosts.push(Net::new(2).hosts.pop().unwrap());
    net.join(1, "m1");
    net.run(Duration::from_millis(100));
    assert_eq!(records(&net, 1).len(), 60);
    assert_eq!(net.pulls, 12, "pages of 5 records");
}

#[test]
fn members_that_start_at_once_with_each_other_as_seeds_form_one_cluster() {
    let mut net = Net::new(5);
    for host in 0..5 {
        net.hosts[host].seeds = (0..5).collect();
        net.start(host);
    }
    for host in 0..5 {
        net.join(host, &format!("m{host}"));
    }
    net.run(Duration::from_secs(3));
    for host in 0..5 {
        assert_eq!(net.sees(host).len(), 5, "host {host} sees {:?}", net.sees(host));
    }
}

#[test]
fn first_member_without_seeds_is_joined_at_once() {
    let mut net = Net::new(1);
    let session = net.join(0, "m0");
    assert!(net.hosts[0].joined.contains_key(&session));
}

#[test]
fn silent_seeds_are_waited_for_and_then_found_later() {
    let mut net = Net::new(2);
    net.join(1, "m1");
    net.run(Duration::from_secs(14));
    assert!(net.hosts[1].joined.is_empty(), "the seed may still come");
    net.run(Duration::from_secs(2));
    assert_eq!(net.sees(1).len(), 1, "alone after 15 s");
    net.ask(1, put("spec/b", record(2, "of m1")));
    net.join(0, "m0");
    net.run(Duration::from_millis(10));
    net.ask(0, put("spec/a", record(1, "of m0")));
    net.run(Duration::from_secs(13));
    assert_eq!((net.sees(0).len(), net.sees(1).len()), (2, 2), "the islands have merged");
    assert_eq!(records(&net, 0), ["spec/b"]);
    assert_eq!(records(&net, 1), ["spec/a"]);
}

#[test]
fn member_that_must_not_form_alone_waits_for_its_seed() {
    let mut net = Net::new(2);
    net.hosts[1].form = Form::Never;
    net.join(1, "m1");
    net.run(Duration::from_secs(60));
    assert!(net.hosts[1].joined.is_empty());
    net.join(0, "m0");
    net.run(Duration::from_secs(12));
    assert_eq!(net.sees(1).len(), 2);
}

#[test]
fn name_of_a_live_member_is_taken() {
    let mut net = Net::formed(2);
    net.hosts.push(Net::new(2).hosts.pop().unwrap());
    let session = net.join(2, "m0");
    net.run(Duration::from_secs(3));
    let error = net.hosts[2].failed.get(&session).expect("refused");
    assert!(matches!(error, MembershipError::NameTaken { name } if name.as_str() == "m0"));
    assert_eq!(net.sees(0).len(), 2);
}

#[test]
fn members_that_take_any_suffix_get_different_names_even_at_once() {
    let mut net = Net::new(4);
    let name = NameChoice::Suffixed(MemberName::new("host").unwrap());
    for host in 0..4 {
        net.hosts[host].seeds = (0..4).collect();
        net.start(host);
    }
    for host in 0..4 {
        net.join_as(host, name.clone());
    }
    net.run(Duration::from_secs(5));
    let all = net.sees(0);
    assert_eq!(all.len(), 4, "{all:?}");
    assert!(all.contains("host") && all.contains("host-2"), "{all:?}");
    for host in 1..4 {
        assert_eq!(net.sees(host), all);
    }
}

#[test]
fn restart_at_the_same_address_takes_the_place_of_the_old_start() {
    let mut net = Net::formed(3);
    net.ask(2, publish("report/old", Some("running")));
    net.kill(2);
    net.join(2, "m2");
    net.run(Duration::from_millis(100));
    for host in 0..3 {
        assert_eq!(net.sees(host).len(), 3, "host {host}");
        assert!(!net.hosts[2].events.iter().any(|(_, _, event)| {
            matches!(event, Event::Owned(_, updates) if updates.iter().any(|it| it.key.as_str() == "report/old"))
        }), "old reports are gone");
    }
}

#[test]
fn name_of_a_member_that_has_fallen_silent_is_free_after_the_detection_window() {
    let mut net = Net::formed(3);
    net.cut(&[2], &[0, 1]);
    net.hosts.push(Net::new(2).hosts.pop().unwrap());
    net.cut(&[2], &[3]);
    let session = net.join(3, "m2");
    net.run(Duration::from_secs(3));
    assert!(net.hosts[3].joined.contains_key(&session), "{:?}", net.hosts[3].failed);
    net.heal();
    net.run(Duration::from_secs(5));
    let evicted = net.told(2, pogo_core::time::Timestamp::ZERO);
    assert!(evicted.iter().any(|(_, it)| matches!(it, Event::Evicted)), "the older start ends");
    for host in [0, 1, 3] {
        assert_eq!(net.sees(host).len(), 3, "host {host}");
    }
}

#[test]
fn clock_far_ahead_is_refused_at_the_join_and_one_behind_is_not() {
    for (ahead, refused) in [(3_600, true), (61, true), (59, false)] {
        let mut net = Net::new(2);
        net.join(0, "m0");
        net.hosts[1].ahead = Duration::from_secs(ahead);
        let session = net.join(1, "m1");
        net.run(Duration::from_secs(1));
        let error = net.hosts[1].failed.get(&session);
        let is_refused = matches!(error, Some(MembershipError::ClockAhead { .. }));
        assert_eq!(is_refused, refused, "{ahead} s ahead: {error:?}");
    }
    let mut net = Net::new(2);
    net.hosts[0].ahead = Duration::from_secs(3_600);
    net.join(0, "m0");
    net.join(1, "m1");
    net.run(Duration::from_secs(1));
    assert_eq!(net.sees(1).len(), 2, "an hour behind");
}

#[test]
fn clock_that_jumps_ahead_later_stamps_no_more_records() {
    let mut net = Net::formed(2);
    net.hosts[1].ahead = Duration::from_secs(7_200);
    let (_, answer) = net.ask(1, put("spec/a", record(1, "v")));
    let pogo_core::node::Answer::Failed(error) = answer else { panic!("{answer:?}") };
    assert!(matches!(error, MembershipError::ClockAhead { .. }), "{error}");
    net.run(Duration::from_millis(50));
    assert!(records(&net, 0).is_empty());
}

/// Its new process knows nobody, and those who stayed took it for gone for good (simulation, swarm
/// over gossip, seed 376).
#[test]
fn seed_that_left_and_is_back_is_found_by_those_who_stayed() {
    let mut net = Net::formed(3);
    net.ask(0, MembershipRequest::Leave);
    let session = net.session(0);
    net.handle(0, Input::Drop(session));
    net.run(Duration::from_secs(5));
    net.kill(0);
    net.run(Duration::from_secs(5));
    assert_eq!(net.sees(1).len(), 2);
    net.join(0, "m0");
    net.run(Duration::from_secs(2));
    for host in 0..3 {
        assert_eq!(net.sees(host).len(), 3, "host {host}");
    }
}

/// The first link of each is with the other newcomer, who has nothing yet.
#[test]
fn newcomers_that_start_at_once_have_the_records_of_the_old_before_they_are_synced() {
    let mut net = Net::formed(3);
    net.ask(0, put("spec/a", record(1, "v")));
    for (host, other) in [(1, 2), (2, 1)] {
        net.kill(host);
        net.run(Duration::from_secs(1));
        net.hosts[host].seeds = vec![other, 0];
        net.hosts[host].events.clear();
    }
    for host in 1..3 {
        net.start(host);
    }
    for host in 1..3 {
        net.join(host, &format!("m{host}"));
    }
    net.run(Duration::from_millis(100));
    for host in 1..3 {
        let told = net.told(host, pogo_core::time::Timestamp::ZERO);
        let synced = told.iter().position(|(_, it)| matches!(it, Event::Synced));
        let before = &told[..synced.expect("synced")];
        assert!(before.iter().any(|(_, it)| matches!(it, Event::Shared(_))), "host {host}");
        let ups = before.iter().filter(|(_, it)| matches!(it, Event::MemberUp(_)));
        assert!(ups.count() >= 2, "host {host}");
    }
}

#[test]
fn member_whose_clock_is_right_may_write_beside_one_that_is_behind() {
    let mut net = Net::new(2);
    net.hosts[0].ahead = Duration::from_secs(3_600);
    net.join(0, "m0");
    net.join(1, "m1");
    net.run(Duration::from_secs(1));
    let (_, answer) = net.ask(0, put("spec/a", record(1, "v")));
    assert!(matches!(answer, pogo_core::node::Answer::Put(_)), "{answer:?}");
}

/// Each of them would be looked for at its address for minutes.
#[test]
fn process_whose_join_fails_has_left() {
    let mut net = Net::formed(2);
    net.hosts.push(Net::new(2).hosts.pop().unwrap());
    let session = net.join(2, "m0");
    net.run(Duration::from_secs(1));
    assert!(net.hosts[2].failed.contains_key(&session));
    net.handle(2, Input::Drop(session));
    net.run(Duration::from_millis(10));
    let lives = |host: usize| -> Vec<Life> {
        let engine = net.hosts[host].engine.as_ref().unwrap();
        engine.peers().filter(|it| it.addr == addr(2)).map(|it| it.life).collect()
    };
    assert_eq!((lives(0), lives(1)), (vec![Life::Left], vec![Life::Left]));
}

/// The others hold it to have left for good: it could only be alone.
#[test]
fn process_that_has_left_takes_no_other_session() {
    let mut net = Net::formed(2);
    let left = net.session(1);
    net.ask(1, MembershipRequest::Leave);
    net.handle(1, Input::Drop(left));
    let again = net.join(1, "m1");
    assert!(matches!(net.hosts[1].failed.get(&again), Some(MembershipError::SessionEnded)));
}

/// Newcomers hear of the dead from those who still remember them; told on and on, nobody would
/// ever be forgotten.
#[test]
fn dead_peer_is_forgotten_though_newcomers_hear_of_it() {
    let mut net = Net::formed(2);
    net.handle(1, Input::Drop(net.session(1)));
    net.kill(1);
    net.hosts[1].seeds = vec![1];
    for number in 0..8_usize {
        let mut host = Net::new(2).hosts.pop().unwrap();
        host.seeds = vec![0, number + 1];
        net.hosts.push(host);
        net.join(number + 2, &format!("n{number}"));
        net.run(Duration::from_secs(300));
    }
    for (number, host) in net.hosts.iter().enumerate() {
        let Some(engine) = &host.engine else { continue };
        assert!(engine.peers().all(|it| it.addr != addr(1)), "host {number}");
    }
}
