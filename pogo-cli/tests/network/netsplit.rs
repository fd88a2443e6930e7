//! Divisions of a cluster of real processes: Horde's netsplit, again and again, and links that fail in part.

use std::{thread, time::Duration};

use crate::{cluster::Cluster, lan::Lan, spans::now, wait::throughout};

/// `preset=local`.
const DETECTION: Duration = Duration::from_secs(1);
/// R8: what a superseded instance may last after a division, beyond detection; its own shutdown takes no time.
const SETTLING: Duration = Duration::from_secs(1);

/// Divides the cluster `rounds` times; another part of it is cut off each time.
fn divide_and_heal(members: usize, cut_off: usize, rounds: usize) {
    let mut cluster = Cluster::new(members, 30);
    let all = cluster.all();
    let mut splits = Vec::new();
    let mut heals = Vec::new();
    for round in 0..rounds {
        let before = cluster.settled();
        let mut turned = all.clone();
        turned.rotate_left(round % members);
        let (minority, majority) = turned.split_at(cut_off);

        let cut = now();
        cluster.lan.divide(&[majority, minority]);
        for side in [majority, minority] {
            cluster.runs_all_on(side);
        }
        splits.push(cluster.spans.last_change().saturating_sub(cut));
        let healed = now();
        for side in [majority, minority] {
            let doubled = cluster.spans.doubled(side, cut, healed);
            assert!(doubled.is_empty(), "round {round}: twice on {side:?}: {doubled:?}");
        }

        cluster.lan.heal();
        let after = cluster.settled();
        let took = cluster.spans.last_change().saturating_sub(healed);
        heals.push(took);
        assert!(
            took < DETECTION + SETTLING,
            "round {round}: healed after {took:?}: {:#?}",
            cluster.spans.since(healed)
        );
        assert_eq!(after, before, "round {round}: by placement the first instances survive");
        let lost = cluster.spans.lost(cut);
        assert!(lost.is_empty(), "round {round}: away for a time: {lost:?}");
        cluster.all_meet();
    }
    println!("{members} members, {cut_off} cut off, {rounds} times");
    println!("  both sides ran all children after {}", spread(splits));
    println!("  one instance of each was left after {}", spread(heals));
}

/// The figures of a distribution.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_millis();
    format!("min {} median {} p90 {} max {} ms", at(0), at(50), at(90), at(100))
}

#[test]
fn one_of_three_is_cut_off_20_times_and_each_time_the_same_instances_survive() {
    // A member that hears nobody is slow to call the others dead, so clusters share the time.
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| divide_and_heal(3, 1, 5));
        }
    });
}

#[test]
fn two_of_five_are_cut_off_20_times_and_each_time_the_same_instances_survive() {
    divide_and_heal(5, 2, 20);
}

#[test]
fn cut_of_any_length_around_detection_loses_nothing() {
    let mut cluster = Cluster::new(3, 30);
    for cut_for in [0, 100, 300, 600, 800, 900, 1000, 1100, 1200, 1500] {
        let before = cluster.settled();
        let cut = now();
        cluster.lan.divide(&[&[0, 1], &[2]]);
        throughout("nothing is lost", Duration::from_millis(cut_for), || {
            cluster.spans.read();
            let lost = cluster.spans.lost(cut);
            if lost.is_empty() { Ok(()) } else { Err(format!("{lost:?}")) }
        });
        let healed = now();
        cluster.lan.heal();
        let after = cluster.settled();
        cluster.all_meet();
        assert_eq!(after, before, "a cut of {cut_for} ms: the first instances survive");
        let lost = cluster.spans.lost(cut);
        assert!(lost.is_empty(), "a cut of {cut_for} ms: {lost:?}");
        let changed = cluster.spans.last_change();
        if cut_for <= 300 {
            assert!(changed < cut, "a cut of {cut_for} ms is nothing");
        }
        assert!(changed < healed + DETECTION + SETTLING, "a cut of {cut_for} ms: twice for long");
    }
}

/// That for 10 s every member sees every other and no child is touched, though each of `machines` loses what the other
/// sends to it.
fn nobody_is_missed(machines: &[(usize, usize)], protocol: Option<&str>) {
    let mut cluster = Cluster::new(3, 30);
    let (all, before) = (cluster.all(), cluster.settled());
    let lose = |(to, from): &(usize, usize)| {
        cluster.lan.machine(*to).lose_from(Lan::address(*from), protocol)
    };
    let lossy: Vec<_> = machines.iter().map(lose).collect();
    throughout("nobody is held to be dead", Duration::from_secs(10), || cluster.each_sees(&all));
    assert_eq!(cluster.settled(), before);
    drop(lossy);
}

#[test]
fn member_that_hears_another_only_through_a_third_does_not_declare_it_dead() {
    nobody_is_missed(&[(0, 1)], None);
}

#[test]
fn members_on_a_network_that_carries_no_datagrams_see_each_other_over_streams() {
    nobody_is_missed(&[(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)], Some("udp"));
}
