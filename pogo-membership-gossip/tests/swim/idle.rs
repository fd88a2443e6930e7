//! What a cluster at rest costs, and that a seed says all.

use pogo_membership_gossip::timing::Timing;

use super::{Network, large, secs};

/// Bytes that one peer sends in a second, on average, sealed.
fn idle_bytes(timing: Timing, count: usize) -> u64 {
    let mut network = Network::cluster(timing, count, 1);
    let sum = |network: &Network| network.processes.iter().map(|each| each.sent.1).sum::<u64>();
    let before = sum(&network);
    network.run(secs(60));
    assert_eq!(network.noticed.len(), 0);
    let bytes = (sum(&network) - before) / 60 / count as u64;
    println!("{count} peers: each sends {bytes} B/s, largest datagram {} B", network.largest());
    bytes
}

#[test]
fn idle_peer_sends_little_at_any_size() {
    for count in [2, 3, 50, large()] {
        assert!(idle_bytes(Timing::LOCAL, count) <= 1_000);
        assert!(idle_bytes(Timing::LAN, count) <= 500);
        assert!(idle_bytes(Timing::WAN, count) <= 200);
    }
}

#[test]
fn same_seed_gives_the_same_trace() {
    let trace = |seed| {
        let mut network = Network::cluster(Timing::LOCAL, 20, seed);
        network.loss = 100;
        network.run(secs(20));
        network.kill(3);
        network.pause(4, secs(2));
        network.run(secs(20));
        network.trace
    };
    assert_eq!(trace(5), trace(5));
    assert_ne!(trace(5), trace(6));
}
