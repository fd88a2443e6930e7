//! More peers than have links to each other.

use std::time::Duration;

use pogo_core::{
    membership::{Event, MembershipError},
    time::Timestamp,
};

use super::net::{Net, publish, put, record};
use crate::swim::FULL_MESH;

const MANY: usize = FULL_MESH + 20;

fn heard(net: &Net, host: usize, key: &str) -> bool {
    net.told(host, Timestamp::ZERO).into_iter().any(|(_, event)| {
        if let Event::Owned(_, updates) = event {
            updates.iter().any(|it| it.key.as_str() == key)
        } else if let Event::Shared(records) = event {
            records.iter().any(|(it, _)| it.as_str() == key)
        } else {
            false
        }
    })
}

#[test]
fn news_reaches_everybody_over_few_links() {
    let mut net = Net::formed(MANY);
    net.run(Duration::from_secs(3));
    let last = MANY - 1;
    // The first has one from each, as their seed.
    assert!(net.links(last) < FULL_MESH, "{}", net.links(last));
    net.ask(last, publish("report/a", Some("v")));
    net.ask(last, put("spec/a", record(1, "v")));
    net.run(Duration::from_millis(100));
    for host in 0..last {
        assert!(heard(&net, host, "report/a"), "host {host}");
        assert!(heard(&net, host, "spec/a"), "host {host}");
    }
}

#[test]
fn those_who_are_left_all_have_links_when_there_are_few_again() {
    let mut net = Net::formed(MANY);
    for host in 10..MANY {
        net.kill(host);
    }
    net.run(Duration::from_secs(20));
    for host in 0..10 {
        assert_eq!(net.sees(host).len(), 10, "host {host}");
        assert!(net.links(host) >= 9, "host {host}: {}", net.links(host));
    }
}

#[test]
fn name_of_a_live_member_without_a_link_is_taken() {
    let mut net = Net::formed(MANY);
    for number in 1..9 {
        net.hosts.push(Net::new(2).hosts.pop().unwrap());
        let host = net.hosts.len() - 1;
        let session = net.join(host, &format!("m{}", 7 * number));
        net.run(Duration::from_secs(5));
        let failed = net.hosts[host].failed.get(&session);
        assert!(matches!(failed, Some(MembershipError::NameTaken { .. })), "{number}");
    }
}
