//! Deaths, divisions and returns.

use std::time::Duration;

use pogo_core::{
    membership::{DownReason, Event},
    node::MembershipRequest,
    time::Timestamp,
};

use super::{
    net::{Net, publish, put, record},
    records, went,
};

#[test]
fn killed_process_is_gone_at_once_for_everybody() {
    let mut net = Net::formed(5);
    let at = net.now;
    net.kill(3);
    net.run(Duration::from_millis(5));
    for host in [0, 1, 2, 4] {
        let went = went(&net, host, at);
        assert_eq!(went.len(), 1, "host {host}: {went:?}");
        assert_eq!((went[0].1.as_str(), went[0].2), ("m3", DownReason::Failed));
        assert!(went[0].0 < Duration::from_millis(2), "{:?}", went[0].0);
    }
}

#[test]
fn silent_peer_is_gone_within_the_detection_window() {
    let mut net = Net::formed(4);
    let at = net.now;
    net.cut(&[3], &[0, 1, 2]);
    net.run(Duration::from_secs(2));
    for host in 0..3 {
        let went = went(&net, host, at);
        assert_eq!(went.len(), 1, "host {host}: {went:?}");
        assert!(went[0].0 <= Duration::from_secs(1), "{:?}", went[0].0);
    }
    // Who hears nobody doubts itself first (Lifeguard), and takes longer.
    net.run(Duration::from_secs(3));
    assert_eq!(net.sees(3).len(), 1);
}

#[test]
fn paused_process_that_comes_back_soon_was_never_gone() {
    let mut net = Net::formed(3);
    let at = net.now;
    net.pause(2, true);
    net.run(Duration::from_millis(250));
    net.pause(2, false);
    net.run(Duration::from_secs(5));
    for host in 0..3 {
        assert!(went(&net, host, at).is_empty(), "host {host}");
    }
}

#[test]
fn member_that_leaves_has_left_for_everybody_once() {
    let mut net = Net::formed(3);
    let at = net.now;
    let session = net.session(1);
    let (took, _) = net.ask(1, MembershipRequest::Leave);
    assert!(took < Duration::from_millis(5), "{took:?}");
    net.handle(1, super::super::Input::Drop(session));
    net.kill(1);
    net.run(Duration::from_secs(3));
    for host in [0, 2] {
        let went = went(&net, host, at);
        assert_eq!(went.len(), 1, "{went:?}");
        assert_eq!(went[0].2, DownReason::Left);
    }
}

/// Both hellos of a link are under way at once, each with the other's death in it (simulation,
/// netsplit, seed 1032).
#[test]
fn two_that_hold_each_other_to_be_dead_are_alive_once_they_have_met() {
    let mut net = Net::formed(2);
    net.cut(&[0], &[1]);
    net.run(Duration::from_secs(5));
    assert_eq!((net.sees(0).len(), net.sees(1).len()), (1, 1));
    net.heal();
    net.run(Duration::from_millis(1_200));
    assert_eq!((net.sees(0).len(), net.sees(1).len()), (2, 2));
}

#[test]
fn division_that_ends_brings_back_members_with_what_they_are_now() {
    let mut net = Net::formed(4);
    net.ask(0, publish("report/x", Some("before")));
    net.ask(2, publish("report/z", Some("before")));
    net.cut(&[0, 1], &[2, 3]);
    net.run(Duration::from_secs(3));
    assert_eq!((net.sees(0).len(), net.sees(2).len()), (2, 2));
    net.ask(0, publish("report/x", Some("during")));
    net.ask(0, put("spec/a", record(1, "v")));
    net.ask(2, publish("report/z", None));
    net.ask(3, put("spec/b", record(2, "v")));
    let at = net.now;
    net.heal();
    // The dials that ran into the cut end first; old links would take 2 s.
    net.run(Duration::from_millis(1_200));
    for host in 0..4 {
        assert_eq!(net.sees(host).len(), 4, "host {host}");
    }
    net.run(Duration::from_secs(3));
    // The first that the other side hears of reports is their present state.
    let heard = |host: usize, of: &str| -> Vec<String> {
        let told = net.told(host, at).into_iter();
        let owned = told.filter_map(|(_, event)| {
            let Event::Owned(id, updates) = event else { return None };
            (id.name.as_str() == of).then(|| updates.clone())
        });
        let values = owned.flatten().map(|it| {
            format!("{}={:?}", it.key, it.value.map(|it| String::from_utf8(it.to_vec()).unwrap()))
        });
        values.collect()
    };
    assert_eq!(heard(2, "m0"), ["report/x=Some(\"during\")"]);
    assert!(heard(0, "m2").is_empty(), "{:?}", heard(0, "m2"));
    assert!(records(&net, 0).contains(&"spec/b".to_owned()));
    assert!(records(&net, 2).contains(&"spec/a".to_owned()));
}

#[test]
fn long_pause_is_one_death_and_one_return() {
    let mut net = Net::formed(3);
    let at = net.now;
    net.pause(2, true);
    net.run(Duration::from_secs(30));
    net.pause(2, false);
    net.run(Duration::from_secs(5));
    for host in 0..2 {
        assert_eq!(went(&net, host, at).len(), 1, "{:?}", went(&net, host, at));
        assert_eq!(net.sees(host).len(), 3);
        let ups = net.told(host, at).into_iter();
        let ups = ups
            .filter(|(_, it)| matches!(it, Event::MemberUp(info) if info.id.name.as_str() == "m2"));
        assert_eq!(ups.count(), 1);
    }
    assert_eq!(net.sees(2).len(), 3);
}

#[test]
fn lost_links_are_made_again_and_lose_no_record() {
    let mut net = Net::formed(3);
    for round in 0..20_u64 {
        net.ask(0, put(&format!("spec/{round}"), record(round + 1, "v")));
        net.ask(1, publish("report/x", Some(&round.to_string())));
        net.run(Duration::from_millis(round * 7 % 50));
    }
    net.run(Duration::from_secs(3));
    for host in 1..3 {
        assert_eq!(records(&net, host).len(), 20, "host {host}");
    }
    assert!(went(&net, 0, Timestamp::ZERO).is_empty());
}
