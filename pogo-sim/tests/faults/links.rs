//! Ways between members that are cut, clogged, or slow at times.

use super::*;

#[test]
fn ways_are_cut_in_one_direction_and_healed_one_by_one() {
    let plan = three("gossip", "");
    // One that hears nothing holds the others to be dead, or is held to be so.
    let outcome =
        run(&format!("{plan}2000 cut-link m0,m1>m2\n20000 heal-link m0,m1>m2\n30000 heal\n"));
    let gone = losses(&outcome, "m2").into_iter().chain(losses(&outcome, "m0"));
    assert!(gone.filter(|it| *it > at(2_000) && *it < at(20_000)).count() > 0);
    let both = "2000 cut-link m0>m1\n2000 cut-link m1>m0\n";
    let outcome = run(&format!("{plan}{both}20000 heal\n"));
    assert_eq!(losses(&outcome, "m0"), [], "m2 reaches both and can ask for them");
}

#[test]
fn clogged_way_delivers_late_and_in_order() {
    let plan = three("gossip", "");
    let outcome = run(&format!(
        "{plan}2000 clog m0>m1,m2 400ms\n3000 start m0 c0,c1,c2,c3,c4,c5\n8000 clog m0>m1,m2 0ms\n12000 heal\n"
    ));
    let elsewhere = starts(&outcome).into_iter().filter(|(_, host)| host != "m0");
    let elsewhere: Vec<_> = elsewhere.collect();
    assert!(
        !elsewhere.is_empty() && elsewhere.iter().all(|(it, _)| *it >= at(3_400)),
        "{elsewhere:?}"
    );
}

#[test]
fn links_mean_nothing_where_members_do_not_talk_to_each_other() {
    for backend in ["hub", "store"] {
        let plan = three(backend, "");
        let calm = run(&format!("{plan}2000 start m0 c0\n9000 heal\n"));
        let ops = "2000 cut-link m0>m1\n2000 clog m1>m2 900ms\n3000 heal-link m0>m1\n";
        let cut = run(&format!("{plan}{ops}2000 start m0 c0\n9000 heal\n"));
        assert_eq!(calm.trace_hash, cut.trace_hash, "{backend}");
    }
}

#[test]
fn few_messages_take_much_longer_where_the_options_say_so() {
    let settled = |settings: &str| {
        let plan = three("gossip", settings);
        run(&format!("{plan}2000 start m0 c0,c1,c2\n20000 heal\n")).trace_hash
    };
    assert_ne!(settled(""), settled("set tail=100\n"));
}

#[test]
fn core_is_healed_alone() {
    for backend in ["hub", "gossip", "store"] {
        for seed in 0..6 {
            let plan = three(backend, "set core=m0,m2\nset lease-ttl=2000ms\n");
            let plan = plan.replace("seed 5", &format!("seed {seed}"));
            let outcome = run(&format!("{plan}2000 start m0 c0,c1,c2,c3,c4,c5\n5000 heal\n"));
            assert!(outcome.running.values().all(|host| *host != name("m1")), "{backend}");
            assert_eq!(outcome.running.len(), 6, "{backend}");
        }
    }
}
