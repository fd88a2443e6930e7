//! Round trips, and who answers.

use std::{collections::BTreeSet, time::Duration};

use pogo_core::{id::BootId, time::Timestamp};

use super::{super::Input, net::Net};

/// Those who answered a host what it asked since then.
fn answered(net: &Net, host: usize, since: Timestamp) -> BTreeSet<BootId> {
    let all = net.hosts[host].contacts.iter();
    all.filter(|(_, asked)| *asked >= since).map(|(member, _)| *member).collect()
}

fn probing(count: usize, host: usize) -> Net {
    let mut net = Net::formed(count);
    let session = net.session(host);
    net.handle(host, Input::ProbeAll { session, on: true });
    net
}

#[test]
fn every_member_answers_in_each_quarter_of_the_window() {
    let mut net = probing(4, 0);
    for _ in 0..8 {
        let at = net.now;
        net.run(Duration::from_millis(252));
        assert_eq!(answered(&net, 0, at).len(), 3);
    }
    assert!(net.hosts[1].contacts.is_empty(), "it did not ask");
    let session = net.session(0);
    net.handle(0, Input::ProbeAll { session, on: false });
    net.run(Duration::from_secs(1));
    let at = net.now;
    net.run(Duration::from_secs(1));
    assert!(answered(&net, 0, at).is_empty());
}

#[test]
fn member_that_is_held_to_be_gone_is_answered_only_when_it_is_seen_again() {
    let mut net = probing(3, 2);
    net.run(Duration::from_millis(100));
    let cut = net.now;
    net.cut(&[2], &[0, 1]);
    net.run(Duration::from_millis(1_500));
    assert_eq!(net.sees(0).len(), 2);
    assert!(answered(&net, 2, cut).is_empty());
    net.heal();
    while net.sees(0).len() < 3 && net.sees(1).len() < 3 {
        let at = net.now;
        assert!(answered(&net, 2, cut).is_empty(), "nobody sees it");
        net.run(Duration::from_millis(1));
        assert!(net.now.since(cut) < Duration::from_secs(20), "since {at:?}");
    }
    net.run(Duration::from_secs(1));
    assert_eq!(answered(&net, 2, cut).len(), 2);
}
