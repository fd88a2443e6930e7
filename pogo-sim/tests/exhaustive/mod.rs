//! Every order in which a handover can happen: two members, one child, and at most one crash or one
//! termination, at any step.
//!
//! A search over real nodes and the real hub. What is on its way between them (requests, answers,
//! events, what a run does next) arrives in every order that keeps each way's own; time passes only
//! where nothing else can happen. A state that was seen before is not looked at again.

mod model;

use std::collections::BTreeSet;

use pogo_core::spec::Exclusivity;

use self::model::{Fault, Model};

/// More states than any of these searches has.
const MOST: usize = 2_000_000;

/// Goes through all states; returns how many there are.
fn search(exclusivity: Exclusivity, faults: &[Fault]) -> usize {
    let first = Model::handing_over(exclusivity, faults);
    let mut seen = BTreeSet::from([first.fingerprint()]);
    let mut open = vec![(first, Vec::new())];
    let mut rests = 0_usize;
    while let Some((model, path)) = open.pop() {
        let steps = model.steps();
        if steps.is_empty() {
            let rest = model.clone().rest();
            assert!(rest.is_ok(), "{}\nafter {path:#?}", rest.unwrap_err());
            rests += 1;
            continue;
        }
        for step in steps {
            let mut next = model.clone();
            let mut way = path.clone();
            way.push(step);
            let taken = next.take(step);
            assert!(taken.is_ok(), "{}\nafter {way:#?}", taken.unwrap_err());
            if seen.insert(next.fingerprint()) {
                assert!(seen.len() < MOST, "the search does not end");
                open.push((next, way));
            }
        }
    }
    assert!(rests > 0, "no search came to rest");
    seen.len()
}

#[test]
fn strict_handover_never_doubles_nor_loses_the_child_whoever_crashes_when() {
    let states = search(Exclusivity::Strict, &[Fault::Crash(0), Fault::Crash(1)]);
    println!("{states} states");
    assert!(states > 1_000, "{states} states");
}

#[test]
fn available_handover_never_doubles_nor_loses_the_child_whoever_crashes_when() {
    let states = search(Exclusivity::Available, &[Fault::Crash(0), Fault::Crash(1)]);
    println!("{states} states");
    assert!(states > 1_000, "{states} states");
}

#[test]
fn child_that_is_terminated_during_its_handover_ends_everywhere() {
    let states = search(Exclusivity::Strict, &[Fault::Terminate(0)]);
    println!("{states} states");
    assert!(states > 1_000, "{states} states");
}
