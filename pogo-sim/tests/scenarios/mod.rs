//! The named scenarios, each under many seeds; every law holds in each, and what the scenario says.

use std::{num::NonZeroUsize, ops::Range, thread};

use pogo_sim::{
    plan::BackendKind,
    runner::{run_seed, run_seeds},
    scenario,
};

mod gossip;
mod store;

fn holds_under(name: &str, seeds: u64) {
    holds_on(BackendKind::Hub, name, 0..seeds);
}

fn holds_on(backend: BackendKind, name: &str, seeds: Range<u64>) {
    let scenario = scenario::find(name).unwrap();
    let jobs = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let batch = run_seeds(scenario, backend, seeds.clone(), jobs);
    if let Some(failure) = batch.failures.first() {
        panic!("{failure}");
    }
    assert_eq!(batch.seeds, seeds.end - seeds.start);
    println!(
        "{name}: {} cluster-seconds, {} starts, {} inputs",
        batch.virtual_time.as_secs(),
        batch.starts,
        batch.inputs
    );
}

#[test]
fn chaos_ends_with_75_children_exactly_under_1000_seeds() {
    holds_under("chaos", 1_000);
}

#[test]
fn netsplit_heals_to_one_survivor_everywhere_under_1000_seeds() {
    holds_under("netsplit", 1_000);
}

#[test]
fn join_moves_children_only_to_the_joiner() {
    holds_under("join", 200);
}

#[test]
fn leave_moves_children_only_from_the_leaver() {
    holds_under("leave", 200);
}

#[test]
fn crash_of_each_member_in_turn_loses_no_child() {
    holds_under("crash-each", 100);
}

#[test]
fn poison_child_takes_three_members_down_and_no_more() {
    holds_under("poison", 100);
}

#[test]
fn terminated_child_stays_gone_through_cut_and_crash() {
    holds_under("terminated", 200);
}

#[test]
fn completed_child_never_comes_back_while_every_member_is_replaced() {
    holds_under("completed", 100);
}

#[test]
fn members_that_form_and_ask_for_the_same_children_end_with_each_once() {
    holds_under("forming", 100);
}

#[test]
fn calm_cluster_moves_and_starts_nothing_for_an_hour() {
    holds_under("calm", 10);
}

#[test]
fn rolling_update_moves_each_child_twice_at_most() {
    holds_under("rolling", 40);
    holds_on(BackendKind::Store, "rolling", 0..20);
}

#[test]
fn rolling_updates_over_gossip_make_no_second_cluster() {
    holds_on(BackendKind::Gossip, "rolling", 0..100);
}

#[test]
fn two_members_that_drain_at_once_leave_nothing_behind() {
    holds_under("drain-two", 40);
    holds_on(BackendKind::Gossip, "drain-two", 0..20);
}

#[test]
fn crash_of_all_but_one_loses_no_child() {
    holds_under("crash-many", 40);
    holds_on(BackendKind::Gossip, "crash-many", 0..20);
}

#[test]
fn strict_children_that_do_not_stop_are_not_started_beside_themselves() {
    holds_under("deaf-drain", 20);
    holds_on(BackendKind::Store, "deaf-drain", 0..20);
}

#[test]
fn member_that_cannot_renew_stops_before_its_claims_are_free() {
    holds_under("cut-off", 20);
    holds_on(BackendKind::Store, "cut-off", 0..20);
}

#[test]
fn member_that_slept_through_its_lease_takes_its_children_back_with_new_claims() {
    holds_under("long-pause", 100);
    holds_on(BackendKind::Store, "long-pause", 0..100);
}

#[test]
fn anything_at_any_time_keeps_the_laws() {
    holds_under("swarm", 400);
}

#[test]
fn plan_that_went_through_its_text_runs_the_same() {
    let scenario = scenario::find("swarm").unwrap();
    let plan = (scenario.plan)(3);
    let again = plan.to_string().parse().unwrap();
    assert_eq!(plan, again);
    let outcome = run_seed(scenario, BackendKind::Hub, 3);
    assert_eq!(outcome.trace_hash, pogo_sim::world::run_plan(&again).trace_hash);
}
