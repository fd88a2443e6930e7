//! How fast a silent peer is dead at all others.

use std::time::Duration;

use pogo_membership_gossip::{peer::Life, timing::Timing};

use super::{Network, large, millis, secs};

/// The longest of several deaths, each at another moment of the probes.
fn slowest_death(timing: &Timing, count: usize, seeds: u64) -> Duration {
    let mut slowest = Duration::ZERO;
    for seed in 0..seeds {
        let mut network = Network::cluster(timing.clone(), count, seed);
        let phase = network.rng.below(1000);
        network.run(timing.probe_interval / 1000 * u32::try_from(phase).unwrap());
        let victim = network.rng.below(count);
        network.kill(victim);
        let took = network.time_of_death(victim, timing.detection);
        let id = network.processes[victim].id;
        assert!(network.deaths().all(|death| death.update.peer == id), "seed {seed}");
        slowest = slowest.max(took);
    }
    println!(
        "{count} peers, promised {:?}: slowest of {seeds} deaths {slowest:?}",
        timing.detection
    );
    slowest
}

#[test]
fn silent_peer_is_dead_everywhere_within_the_window() {
    for timing in [Timing::LOCAL, Timing::LAN, Timing::WAN] {
        for (count, seeds) in [(2, 40), (3, 40), (10, 20), (50, 4)] {
            slowest_death(&timing, count, seeds);
        }
    }
}

#[test]
fn death_in_a_large_cluster_is_known_within_6s() {
    let took = slowest_death(&Timing::LAN, large(), 3);
    assert!(took <= secs(6));
}

#[test]
fn tenth_of_a_large_cluster_is_known_to_be_dead_within_10s() {
    let mut network = Network::cluster(Timing::LAN, large(), 7);
    for victim in 0..large() / 10 {
        network.kill(victim * 10);
    }
    let took = network.run_until(secs(10), Network::is_whole);
    println!("{} of {} dead at once: known everywhere after {took:?}", large() / 10, large());
}

#[test]
fn half_of_a_small_cluster_is_known_to_be_dead_soon() {
    let mut network = Network::cluster(Timing::LOCAL, 6, 3);
    for victim in [0, 2, 4] {
        network.kill(victim);
    }
    let took = network.run_until(secs(4), Network::is_whole);
    println!("3 of 6 dead at once: known everywhere after {took:?}");
}

#[test]
fn proven_death_is_known_everywhere_at_once() {
    let mut network = Network::cluster(Timing::LAN, 50, 1);
    network.kill(7);
    let id = network.processes[7].id;
    network.input(3, |swim, now| swim.proof_of_death(now, id));
    assert_eq!(network.swim(3).peer(id).unwrap().life, Life::Dead);
    network.time_of_death(7, millis(10));
}

#[test]
fn proven_death_without_links_is_known_within_1s() {
    let mut network = Network::cluster(Timing::LAN, large(), 1);
    network.kill(7);
    let id = network.processes[7].id;
    network.input(3, |swim, now| swim.proof_of_death(now, id));
    let took = network.time_of_death(7, secs(2));
    println!("{} peers: a proven death is known everywhere after {took:?}", large());
}
