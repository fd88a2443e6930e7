use std::collections::BTreeSet;

use super::*;
use crate::{plan::Plan, world::run_plan};

fn batch(runs: u64) -> Coverage {
    let mut coverage = Coverage::default();
    coverage.runs.insert((Mode::Available, "hub".to_owned()), runs);
    coverage
}

#[test]
fn state_that_is_never_reached_fails_a_large_batch_and_is_named() {
    assert_eq!(batch(ENOUGH - 1).missing(), [""; 0]);
    let mut coverage = batch(ENOUGH);
    let missing = coverage.missing();
    assert!(missing.contains(&"two owners at once"), "{missing:?}");
    coverage.reach("two owners at once");
    assert!(!coverage.missing().contains(&"two owners at once"));
}

#[test]
fn state_of_one_backend_or_mode_counts_where_that_one_ran() {
    let mut coverage = batch(ENOUGH);
    assert!(!coverage.missing().contains(&REFUTED));
    assert!(!coverage.missing().contains(&"release lost"));
    coverage.count_run(Mode::Available, BackendKind::Gossip);
    coverage.count_run(Mode::Strict, BackendKind::Hub);
    assert!(coverage.missing().contains(&REFUTED));
    assert!(coverage.missing().contains(&"release lost"));
}

#[test]
fn state_that_waits_is_never_missing_and_says_what_for() {
    let coverage = batch(ENOUGH);
    let waiting: Vec<_> = coverage.states().filter(|(_, runs)| runs.is_err()).collect();
    assert!(!waiting.is_empty());
    let missing = coverage.missing();
    for (name, what) in waiting {
        assert!(!missing.contains(&name));
        assert!(
            coverage.to_string().contains(&format!("{name} (waits for {})", what.unwrap_err()))
        );
    }
}

#[test]
fn names_of_states_are_unique() {
    let names: BTreeSet<&str> = STATES.iter().map(|state| state.name).collect();
    assert_eq!(names.len(), STATES.len());
}

fn coverage_of(text: &str) -> Coverage {
    let plan: Plan = text.parse().unwrap();
    let outcome = run_plan(&plan);
    assert_eq!(outcome.violation, None);
    outcome.coverage
}

fn has(coverage: &Coverage, name: &str) -> bool {
    assert!(STATES.iter().any(|state| state.name == name), "{name}");
    coverage.reached.contains_key(name)
}

const THREE: &str =
    "seed 1\n0 boot m0\n0 boot m1\n0 boot m2\n3000 start m0 c0,c1,c2,c3,c4,c5,c6,c7";

#[test]
fn calm_plan_reaches_a_planned_join_and_nothing_that_goes_wrong() {
    let coverage = coverage_of(&format!("{THREE}\n20000 boot m3\n"));
    assert!(has(&coverage, "planned join in a calm cluster"));
    for name in ["two owners at once", "same name twice", "drain in a division"] {
        assert!(!has(&coverage, name), "{name}");
    }
    assert!(coverage.cells[&("absent", "start")] >= 8, "{coverage}");
    assert!(coverage.cells[&("starting", "ready")] >= 8, "{coverage}");
}

#[test]
fn division_gives_a_child_two_owners_on_both_sides() {
    let asked = "40000 start m0 d0\n40000 start m1 d0";
    let coverage =
        coverage_of(&format!("{THREE}\n15000 evict m2\n20000 cut m0|m1,m2\n{asked}\n50000 heal\n"));
    for name in [
        "two owners at once",
        "both sides of a division start the same child",
        "instance superseded",
        "resync of a returning member",
    ] {
        assert!(has(&coverage, name), "{name}: {coverage}");
    }
}

#[test]
fn crash_of_a_member_that_drains_is_seen_as_such() {
    let slow = "start=20ms stop=900ms";
    let text =
        format!("{THREE} {slow}\n20000 drain m1 9000ms\n20100 crash m1 noticed\n20200 boot m1\n");
    let coverage = coverage_of(&text);
    assert!(has(&coverage, "drain interrupted by a crash"));
    assert!(
        has(&coverage, "stop overtaken by a new start") || has(&coverage, "handover completed")
    );
}

#[test]
fn loss_of_a_store_and_late_renewals_are_seen() {
    let store = "set backend=store\nset lease-ttl=3000ms";
    let text = THREE.replacen("seed 1", &format!("seed 1\n{store}"), 1);
    let lossy = coverage_of(&format!("{text}\n20000 store wipe\n"));
    assert!(has(&lossy, "backend lost data"), "{lossy}");
    let calm = coverage_of(&format!("{text}\n20000 boot m3\n"));
    for name in ["backend lost data", RENEWED_LATE] {
        assert!(!has(&calm, name), "{name}");
    }
    // It renews each 750 ms from when it goes on, and stands still 500 ms after such a renewal.
    let late = coverage_of(&format!("{text}\n20000 pause m1 2300ms\n30300 pause m1 2300ms\n"));
    assert!(has(&late, RENEWED_LATE), "{late}");
}

#[test]
fn moves_above_their_bound_are_seen_to_wait() {
    let narrow = THREE.replacen("seed 1", "seed 1\nset max-moves=1", 1);
    let name = "moves held back";
    assert!(has(&coverage_of(&format!("{narrow},c8,c9,c10,c11\n20000 boot m3\n")), name));
    assert!(!has(&coverage_of(&format!("{THREE},c8,c9,c10,c11\n20000 boot m3\n")), name));
}
