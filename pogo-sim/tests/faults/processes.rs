//! Processes that stand still, are slow, or have a double; clocks that jump.

use pogo_sim::fact::Fact;

use super::*;

#[test]
fn paused_member_handles_nothing_and_then_everything_late() {
    for backend in ["hub", "gossip", "store"] {
        let plan = three(backend, "set lease-ttl=20000ms\n");
        let outcome =
            run(&format!("{plan}2000 pause m1 300ms\n2100 start m1 c0,c1,c2\n4000 heal\n"));
        let is_m1 = |host: &MemberName| *host == name("m1");
        let during = outcome.trace.iter().filter(|(at_, fact)| {
            (at(2_000)..at(2_300)).contains(at_)
                && fact.host().is_some_and(is_m1)
                && !matches!(fact, Fact::Paused { .. } | Fact::Resumed { .. })
        });
        assert_eq!(during.count(), 0, "{backend}");
        assert!(losses(&outcome, "m0").iter().all(|it| *it < at(2_000)), "{backend}: too short");
        assert_eq!(times(&outcome, |fact| matches!(fact, Fact::Resumed { .. })), [at(2_300)]);
        assert_eq!(starts(&outcome).iter().filter(|(it, _)| *it < at(4_000)).count(), 3);
    }
}

#[test]
fn long_pause_looks_like_death_and_ends_in_one_instance() {
    for backend in ["hub", "gossip", "store"] {
        let plan = three(backend, "set lease-ttl=2000ms\nset detection=3000ms\n");
        let outcome = run(&format!("{plan}2000 pause m1 30000ms\n40000 heal\n"));
        let gone = losses(&outcome, "m0");
        assert!(gone.iter().any(|it| *it > at(2_000) && *it < at(32_000)), "{backend}: {gone:?}");
    }
}

#[test]
fn paused_process_answers_no_probe_though_its_streams_stay_open() {
    let plan = three("gossip", "");
    let short = run(&format!("{plan}2000 pause m1 100ms\n6000 heal\n"));
    assert_eq!(losses(&short, "m0"), [], "nobody gives a member up so soon");
    let long = run(&format!("{plan}2000 pause m1 20000ms\n30000 heal\n"));
    assert!(!losses(&long, "m0").is_empty());
}

#[test]
fn crash_of_a_paused_process_is_a_crash() {
    for backend in ["hub", "gossip", "store"] {
        let plan = three(backend, "set lease-ttl=2000ms\n");
        let outcome = run(&format!(
            "{plan}2000 pause m1 9000ms\n2500 crash m1 noticed\n2600 boot m1\n9000 heal\n"
        ));
        assert!(times(&outcome, |fact| matches!(fact, Fact::Resumed { .. })).is_empty());
        assert!(
            outcome.trace.iter().any(|(it, fact)| {
                *it < at(9_000)
                    && *it > at(2_600)
                    && matches!(fact, Fact::Synced { host } if *host == name("m1"))
            }),
            "{backend}: it is not held up by the pause of the one before"
        );
    }
}

#[test]
fn slow_member_does_the_same_later() {
    for backend in ["hub", "store"] {
        let took = |by: u64| {
            let plan = three(backend, "set latency=0ms\n");
            let outcome = run(&format!(
                "{plan}2000 slow m0 {by}ms\n3000 start m0 c0\n9000 slow m0 0ms\n9000 heal\n"
            ));
            let replied = times(&outcome, |fact| matches!(fact, Fact::Replied { .. }));
            replied.first().unwrap().since(at(3_000))
        };
        let late = Duration::from_millis(200);
        assert!(took(0) < late / 4, "{backend}");
        // It handles the request and then the answer of its backend.
        assert!(took(200) >= late * 2, "{backend}: {:?}", took(200));
    }
}

#[test]
fn slow_member_gets_round_to_things_in_their_order() {
    let plan = three("gossip", "");
    run(&format!(
        "{plan}2000 slow m0 500ms\n2000 slow m1 150ms\n3000 start m0 c0,c1,c2\n3100 slow m0 0ms\n3200 terminate m0 c1\n9000 heal\n"
    ));
}

#[test]
fn second_process_of_a_living_name_is_refused_until_the_name_is_free() {
    for backend in ["hub", "gossip", "store"] {
        let plan = three(backend, "set lease-ttl=2000ms\nset detection=3000ms\n");
        let refused =
            |fact: &Fact| matches!(fact, Fact::Refused { host, .. } if *host == name("twin0"));
        let ended = |fact: &Fact| matches!(fact, Fact::Disturbed(what) if what.contains("second"));
        let outcome =
            run(&format!("{plan}2000 twin twin0 m1\n4000 crash twin0 noticed\n9000 heal\n"));
        assert!(!times(&outcome, refused).is_empty(), "{backend}");
        assert_eq!(times(&outcome, ended), [at(4_000)], "{backend}");
        let outcome = run(&format!("{plan}2000 twin twin0 m1\n3000 crash m1 silent\n15000 heal\n"));
        let ends = times(&outcome, ended);
        assert!(
            ends.first().is_some_and(|it| *it >= at(3_000) && *it < at(13_000)),
            "{backend}: {ends:?}"
        );
    }
}

#[test]
fn jump_and_drift_move_deadlines_of_one_member() {
    // A child that never gets ready is given up after the time to start in, by that member's clock.
    let given_up = |jump: &str, settings: &str| {
        let settings = format!("set start-timeout=10000ms\n{settings}");
        let plan = members(&["m0"], "hub", &settings);
        let plan = format!("{plan}1000 start m0 c0 start=hang\n{jump}13000 heal\n");
        let outcome = run(&plan);
        let stops = times(&outcome, |fact| matches!(fact, Fact::StopAsked { .. }));
        stops.first().unwrap().since(at(1_000))
    };
    let usual = given_up("", "");
    assert!(usual >= Duration::from_secs(10), "{usual:?}");
    let jumped = given_up("2000 jump m0 9500ms\n", "");
    assert!(jumped < Duration::from_secs(2), "{jumped:?}");
    let drifted = given_up("", "set drift=1000\n");
    assert_ne!(drifted, usual);
    assert!(drifted.abs_diff(usual) <= Duration::from_millis(11), "{drifted:?}");
}

#[test]
fn step_of_a_wall_clock_moves_no_deadline() {
    for step in ["+3000ms", "-3000ms"] {
        let plan = three("hub", "");
        let outcome = run(&format!(
            "{plan}2000 start m0 c0,c1,c2\n3000 step m0 {step}\n3500 replace m0 c0 value=1\n9000 heal\n"
        ));
        assert_eq!(losses(&outcome, "m1"), []);
    }
}

#[test]
fn strict_run_is_dropped_when_its_lease_ends_before_its_process_looks() {
    // The node itself would stop it in time, were it not slow.
    let settings = "set lease-ttl=4000ms\nset detection=5000ms\nset mode=strict\n";
    let plan = three("hub", settings);
    let outcome = run(&format!(
        "{plan}2000 start m0 c0,c1,c2,c3,c4,c5 stop=ignore grace=60000ms\n4000 pause m1 3950ms\n12000 heal\n"
    ));
    let aborted = times(
        &outcome,
        |fact| matches!(fact, Fact::Exited { host, how, .. } if *host == name("m1") && how == "aborted"),
    );
    assert!(!aborted.is_empty() && aborted.iter().all(|it| *it == at(7_950)), "{aborted:?}");
}
