//! Divisions, and how they heal.

use std::time::Duration;

use pogo_membership_gossip::{
    peer::{Life, PeerId},
    swim::Swim,
    timing::Timing,
};

use super::{Network, large, secs};

/// A division into halves for a minute; the most counters that one peer went through.
fn halves(timing: Timing, count: usize, seed: u64) {
    let mut network = Network::cluster(timing, count, seed);
    let (left, right): (Vec<usize>, Vec<usize>) = (0..count).partition(|process| process % 2 == 0);
    network.split(&left, &right, true);
    network.run(secs(60));
    let apart = network.deaths().count();
    network.split(&left, &right, false);
    let took = network.run_until(secs(30), Network::is_whole);
    let most = network.running().iter().map(|&each| network.swim(each).me().refutation).max();
    println!("{count} peers in halves for 60 s: whole {took:?} later, refutations <= {most:?}");
    assert!(most.unwrap() <= 20);
    assert_eq!(network.deaths().count(), apart, "the return of one half killed somebody");
}

#[test]
fn halves_become_whole() {
    for count in [2, 3, 10, 50] {
        halves(Timing::LOCAL, count, 1);
    }
    halves(Timing::LAN, 50, 2);
}

#[test]
fn halves_of_a_large_cluster_become_whole() {
    halves(Timing::LAN, large(), 3);
}

#[test]
fn halves_know_of_each_other_soon() {
    for (count, within) in [(2, secs(1)), (4, secs(2)), (10, secs(2)), (50, secs(4))] {
        for seed in 0..3 {
            let mut network = Network::cluster(Timing::LOCAL, count, seed);
            let (left, right): (Vec<usize>, Vec<usize>) =
                (0..count).partition(|each| each % 2 == 0);
            network.split(&left, &right, true);
            let one = time_to_notice(&mut network, &left, &right, within);
            let took = one + time_to_notice(&mut network, &right, &left, within);
            println!("{count} peers: each half holds the other to be dead after {took:?}");
        }
    }
}

/// How long until each of these holds all of those to be dead.
fn time_to_notice(
    network: &mut Network,
    watchers: &[usize],
    gone: &[usize],
    within: Duration,
) -> Duration {
    let ids: Vec<PeerId> = gone.iter().map(|each| network.processes[*each].id).collect();
    network.run_until(within, |network| {
        let is_dead = |swim: &Swim, id: &PeerId| swim.peer(*id).unwrap().life == Life::Dead;
        watchers.iter().all(|each| ids.iter().all(|id| is_dead(network.swim(*each), id)))
    })
}

fn cut_one_off(timing: Timing, count: usize, seed: u64) {
    let window = timing.detection;
    let mut network = Network::cluster(timing, count, seed);
    let others: Vec<usize> = (1..count).collect();
    network.split(&[0], &others, true);
    let by_others = time_to_notice(&mut network, &others, &[0], window);
    let by_itself = by_others + time_to_notice(&mut network, &[0], &others, window * 5 / 2);
    network.cut.clear();
    let apart = network.deaths().count();
    network.run_until(secs(10), Network::is_whole);
    assert_eq!(network.deaths().count(), apart, "the return of one killed somebody");
    println!(
        "one of {count} is cut off: noticed after {by_others:?}, notices it itself after {by_itself:?}"
    );
}

#[test]
fn lone_peer_is_noticed_in_time_and_harms_nobody_when_it_returns() {
    for (count, seed) in [(3, 1), (3, 2), (10, 1), (50, 1)] {
        cut_one_off(Timing::LOCAL, count, seed);
    }
    cut_one_off(Timing::LAN, large(), 1);
}

#[test]
fn one_way_cut_between_two_peers_harms_nobody() {
    let mut network = Network::cluster(Timing::LAN, 10, 6);
    network.cut.insert((2, 5));
    network.run(secs(120));
    assert_eq!(network.deaths().count(), 0);
    network.cut.clear();
    network.run_until(secs(10), Network::is_whole);
}

#[test]
fn deaf_peer_is_dead_and_returns() {
    let mut network = Network::cluster(Timing::LAN, 10, 6);
    let others: Vec<usize> = (0..10).filter(|each| *each != 4).collect();
    network.cut.extend(others.iter().map(|other| (*other, 4)));
    network.time_of_death(4, secs(6));
    network.run(secs(60));
    assert!(
        network
            .deaths()
            .filter(|death| death.by != 4)
            .all(|death| network.index(death.update.peer) == 4)
    );
    network.cut.clear();
    network.run_until(secs(30), Network::is_whole);
}

#[test]
fn flapping_cut_heals() {
    let mut network = Network::cluster(Timing::LAN, 10, 9);
    let (left, right) = ([0, 1, 2, 3, 4], [5, 6, 7, 8, 9]);
    for flap in 0..20 {
        network.split(&left, &right, flap % 2 == 0);
        network.run(secs(3));
    }
    network.split(&left, &right, false);
    let took = network.run_until(secs(30), Network::is_whole);
    let side = |each: usize| left.contains(&each);
    let wrong =
        network.deaths().filter(|death| side(death.by) == side(network.index(death.update.peer)));
    println!(
        "a cut that came and went for 60 s: whole after {took:?}, {} deaths, {} of them on the own side",
        network.deaths().count(),
        wrong.count()
    );
}
