//! The scenarios over the model of a store such as etcd or Redis.

use pogo_sim::{plan::BackendKind, runner::run_seed, scenario};

use super::holds_on;

fn holds_under(name: &str, seeds: u64) {
    holds_on(BackendKind::Store, name, 0..seeds);
}

#[test]
fn larger_side_of_a_netsplit_runs_all_children_over_a_store() {
    holds_under("netsplit", 100);
}

#[test]
fn chaos_over_a_store_ends_with_75_children_exactly() {
    holds_under("chaos", 20);
}

#[test]
fn join_over_a_store_moves_children_only_to_the_joiner() {
    holds_under("join", 50);
}

#[test]
fn leave_over_a_store_moves_children_only_from_the_leaver() {
    holds_under("leave", 50);
}

#[test]
fn crash_of_each_member_over_a_store_loses_no_child() {
    holds_under("crash-each", 40);
}

#[test]
fn members_that_form_over_a_store_end_with_each_child_once() {
    holds_under("forming", 20);
}

#[test]
fn terminated_child_stays_gone_over_a_store() {
    holds_under("terminated", 50);
}

#[test]
fn completed_child_never_comes_back_over_a_store() {
    holds_under("completed", 40);
}

#[test]
fn poison_child_over_a_store_takes_no_more_members_down() {
    holds_under("poison", 40);
}

#[test]
fn calm_cluster_over_a_store_moves_and_starts_nothing_for_an_hour() {
    holds_under("calm", 10);
}

#[test]
fn anything_at_any_time_keeps_the_laws_over_a_store() {
    holds_on(BackendKind::Store, "swarm", 0..100);
}

#[test]
fn whatever_goes_wrong_with_a_store_keeps_the_laws() {
    holds_under("store-faults", 200);
}

#[test]
fn store_runs_the_same_under_the_same_seed() {
    let scenario = scenario::find("swarm").unwrap();
    let hash = |seed| run_seed(scenario, BackendKind::Store, seed).trace_hash;
    assert_eq!(hash(7), hash(7));
    assert_ne!(hash(7), hash(8));
}
