//! What must not be taken for a death: loss, pauses, packets that are late.

use pogo_core::time::Timestamp;
use pogo_membership_gossip::{peer::Life, timing::Timing};

use super::{Network, large, millis, secs};

/// Ten minutes of loss; how many suspicions there were.
fn ten_minutes_of_loss(count: usize, loss: usize, links: bool) {
    let mut network = Network::cluster(Timing::LAN, count, 11);
    network.links = links;
    network.loss = loss;
    network.run(secs(600));
    let suspicions = network.noticed.iter().filter(|noticed| noticed.update.life == Life::Suspect);
    println!(
        "{count} peers, {loss} of 1,000 datagrams lost, links: {links}: {} suspicions noticed",
        suspicions.count()
    );
    assert_eq!(network.deaths().count(), 0);
    network.loss = 0;
    network.run_until(secs(5), Network::is_whole);
}

#[test]
fn loss_kills_nobody() {
    ten_minutes_of_loss(3, 50, true);
    ten_minutes_of_loss(20, 10, true);
    ten_minutes_of_loss(20, 50, false);
}

#[test]
fn loss_kills_nobody_in_a_large_cluster() {
    ten_minutes_of_loss(large(), 50, false);
}

#[test]
fn links_carry_probes_where_datagrams_are_blocked() {
    let mut network = Network::cluster(Timing::LOCAL, 5, 3);
    network.loss = 1000;
    network.run(secs(60));
    assert_eq!(network.noticed.len(), 0);
    network.kill(2);
    network.time_of_death(2, secs(1));
}

#[test]
fn refuted_suspicion_is_never_a_death() {
    let mut network = Network::cluster(Timing::LAN, 10, 2);
    let victim = network.processes[4].id;
    network.links = false;
    let all = network.running();
    network.split(&[4], &all, true);
    network
        .run_until(secs(2), |network| network.swim(0).peer(victim).unwrap().life == Life::Suspect);
    network.split(&[4], &all, false);
    network.run(secs(30));
    assert_eq!(network.deaths().count(), 0);
    assert!(network.is_whole());
    assert_eq!(network.swim(4).me().refutation, network.swim(0).peer(victim).unwrap().refutation);
    assert!(network.swim(4).me().refutation > 0);
}

#[test]
fn pause_of_2s_is_no_death() {
    for seed in 0..10 {
        let mut network = Network::cluster(Timing::LAN, 10, seed);
        network.pause(3, secs(2));
        network.run(secs(20));
        assert_eq!(network.deaths().count(), 0, "seed {seed}");
        assert!(network.is_whole(), "seed {seed}");
    }
}

#[test]
fn paused_peer_declares_nobody_dead() {
    for timing in [Timing::LOCAL, Timing::LAN, Timing::WAN] {
        for seed in 0..10 {
            let mut network = Network::cluster(timing.clone(), 5, seed);
            network.run(millis(37 * seed));
            network.pause(3, secs(2));
            network.run(secs(30));
            let judged = network.noticed.iter().filter(|noticed| {
                noticed.by == 3 && matches!(noticed.update.life, Life::Suspect | Life::Dead)
            });
            assert_eq!(judged.count(), 0, "seed {seed}");
            assert!(network.is_whole(), "seed {seed}");
        }
    }
}

#[test]
fn cluster_that_stands_still_as_a_whole_loses_nobody() {
    let mut network = Network::cluster(Timing::LOCAL, 5, 1);
    network.loss = 1000;
    network.links = false;
    network.run(millis(400));
    network.loss = 0;
    for process in 0..5 {
        network.pause(process, secs(60));
    }
    network.run(secs(90));
    assert_eq!(network.deaths().count(), 0);
    assert!(network.is_whole());
}

#[test]
fn pause_of_30s_is_one_death_and_one_return() {
    let mut network = Network::cluster(Timing::LAN, 10, 4);
    let id = network.processes[3].id;
    network.pause(3, secs(30));
    network.run(secs(60));
    assert!(network.is_whole());
    for other in network.running() {
        let of = |life: Life, before: Option<Life>| {
            let seen = network.noticed.iter().filter(move |noticed| {
                (noticed.by, noticed.update.life, noticed.before) == (other, life, before)
            });
            seen.map(|noticed| noticed.update.peer).collect::<Vec<_>>()
        };
        let returns = of(Life::Alive, Some(Life::Dead));
        let deaths: Vec<_> = network.deaths().filter(|death| death.by == other).collect();
        if other == 3 {
            assert!(deaths.is_empty(), "the paused peer declared {deaths:?}");
        } else {
            assert_eq!(returns, [id]);
            assert_eq!(deaths.len(), 1);
        }
    }
}

#[test]
fn peers_with_late_packets_kill_no_healthy_one() {
    for seed in 0..3 {
        let mut network = Network::cluster(Timing::LAN, large(), seed);
        let slow: Vec<usize> = (0..large() / 50).map(|number| number * 50 + 13).collect();
        network.late.extend(&slow);
        network.run(secs(180));
        let healthy: Vec<(Timestamp, usize, usize)> = network
            .deaths()
            .map(|death| (death.at, death.by, network.index(death.update.peer)))
            .filter(|(_, _, victim)| !slow.contains(victim))
            .collect();
        let suspicions = network.noticed.iter().filter(|noticed| {
            noticed.update.life == Life::Suspect
                && !slow.contains(&network.index(noticed.update.peer))
        });
        println!(
            "{} of {} late: {} suspicions of healthy peers",
            slow.len(),
            large(),
            suspicions.count()
        );
        assert!(healthy.is_empty(), "seed {seed}: {} such, first {:?}", healthy.len(), &healthy[0]);
    }
}
