//! How peers find each other.

use pogo_membership_gossip::timing::Timing;

use super::{Network, large, secs};

fn join_all(count: usize, seed: u64, seed_dies: bool) {
    let mut network = Network::new(Timing::LAN, seed);
    for process in 0..count {
        network.start();
        if process > 0 {
            network.dial(process, 0);
        }
    }
    if seed_dies {
        network.run(secs(1));
        network.kill(0);
    }
    let took = network.run_until(secs(15), Network::is_whole);
    println!("{count} peers join at once, seed dies: {seed_dies}: full views after {took:?}");
    let false_deaths =
        network.deaths().filter(|death| death.update.peer != network.processes[0].id);
    assert_eq!(false_deaths.count(), 0);
}

#[test]
fn all_find_each_other_through_one_seed() {
    for count in [3, 50, large()] {
        join_all(count, 1, false);
    }
}

#[test]
fn all_find_each_other_though_the_only_seed_dies() {
    for count in [3, 50, large()] {
        join_all(count, 2, true);
    }
}

#[test]
fn two_clusters_become_one_through_one_link() {
    let mut network = Network::new(Timing::LAN, 5);
    for process in 0..20 {
        network.start();
        network.dial(process, if process < 10 { 0 } else { 10 });
    }
    network.run(secs(5));
    network.dial(4, 15);
    let took = network.run_until(secs(2), Network::is_whole);
    println!("10 and 10 peers are one cluster after {took:?}");
}
