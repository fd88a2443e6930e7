//! Children that panic, block, fail to hand over, or hand over too much.

use super::*;

/// One member, its child, and what is then asked of it; how the runs of the child ended.
fn ends(child: &str, then: &str) -> Vec<(Timestamp, String)> {
    let plan = members(&["m0"], "hub", "");
    let outcome = run(&format!("{plan}1000 start m0 c0 {child}\n{then}"));
    let ended = outcome.trace.iter().filter_map(|(at, fact)| match fact {
        _ if fact.child().is_none_or(|child| child.as_str() != "c0") => None,
        Fact::Exited { how, .. } => Some((*at, how.clone())),
        Fact::Stuck { .. } => Some((*at, "stuck".to_owned())),
        _ => None,
    });
    ended.collect()
}

fn hows(child: &str, then: &str) -> Vec<String> {
    ends(child, then).into_iter().map(|(_, how)| how).collect()
}

#[test]
fn panic_is_a_failure_that_is_tried_again() {
    let ended = hows("then=panic:100ms", "3000 heal\n");
    assert!(ended.len() > 2 && ended.iter().all(|how| how == "panicked: as planned"), "{ended:?}");
    let ended = hows("start=panic:100ms", "3000 heal\n");
    assert!(ended.iter().all(|how| how == "panicked: as planned"), "{ended:?}");
}

#[test]
fn child_that_blocks_is_aborted_then_stuck_and_ends_in_the_end() {
    let child = "stop=block:4000ms grace=500ms";
    let ended = ends(child, "3000 replace m0 c0 value=1\n30000 heal\n");
    let hows: Vec<&str> = ended.iter().map(|(_, how)| how.as_str()).collect();
    assert_eq!(hows, ["stuck", "aborted"]);
    assert!((at(4_500)..at(4_510)).contains(&ended[0].0), "{ended:?}");
}

#[test]
fn child_that_blocks_for_ever_does_so_until_all_is_healed() {
    let ended = ends("stop=block grace=500ms", "3000 replace m0 c0 value=1\n30000 heal\n");
    let hows: Vec<&str> = ended.iter().map(|(_, how)| how.as_str()).collect();
    assert_eq!(hows, ["stuck", "aborted"]);
    assert!(ended[1].0 >= at(30_000), "{ended:?}");
}

#[test]
fn failed_export_loses_the_state_and_no_child() {
    assert_eq!(
        hows("stop=fail:10ms", "3000 replace m0 c0 value=1\n5000 heal\n"),
        ["failed: as planned"]
    );
}

#[test]
fn state_that_is_too_large_is_not_handed_over() {
    let plan = three("hub", "");
    let outcome = run(&format!(
        "{plan}2000 start m0 c0,c1,c2,c3,c4,c5 state=huge\n4000 drain m1 9000ms\n12000 heal\n"
    ));
    assert_eq!(outcome.running.len(), 6);
}

#[test]
fn mode_of_the_scope_holds_for_those_that_do_not_say_themselves() {
    use pogo_core::spec::Exclusivity;
    let plan = three("hub", "set mode=strict\n");
    let outcome = run(&format!(
        "{plan}2000 start m0 c0\n2000 start m0 c1 exclusivity=available\n2000 start m0 c2 exclusivity=quorum:2\n5000 heal\n"
    ));
    let modes = outcome.trace.iter().filter_map(|(it, fact)| match fact {
        Fact::Started(started) if *it < at(5_000) => {
            Some((started.child.to_string(), started.exclusivity, started.token.is_some()))
        }
        _ => None,
    });
    let mut modes: Vec<_> = modes.collect();
    modes.sort_by(|one, other| one.0.cmp(&other.0));
    let two = "2".parse().unwrap();
    assert_eq!(
        modes,
        [
            ("c0".to_owned(), Exclusivity::Strict, true),
            ("c1".to_owned(), Exclusivity::Available, false),
            ("c2".to_owned(), Exclusivity::Quorum { size: two }, false),
        ]
    );
}
