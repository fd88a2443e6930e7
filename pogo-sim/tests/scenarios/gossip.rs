//! The scenarios over the real state machine of the gossip backend: one engine in each process.

use pogo_sim::{plan::BackendKind, runner::run_seed, scenario};

use super::holds_on;

fn holds_under(name: &str, seeds: u64) {
    holds_on(BackendKind::Gossip, name, 0..seeds);
}

#[test]
fn hordes_netsplit_heals_200_times_over_the_real_gossip_state_machine() {
    holds_under("netsplit", 200);
}

#[test]
fn chaos_over_gossip_ends_with_75_children_exactly() {
    holds_under("chaos", 40);
}

#[test]
fn join_over_gossip_moves_children_only_to_the_joiner() {
    holds_under("join", 100);
}

#[test]
fn leave_over_gossip_moves_children_only_from_the_leaver() {
    holds_under("leave", 100);
}

#[test]
fn crash_of_each_member_over_gossip_loses_no_child() {
    holds_under("crash-each", 40);
}

#[test]
fn members_that_form_over_gossip_end_with_each_child_once() {
    holds_under("forming", 40);
}

#[test]
fn terminated_child_stays_gone_over_gossip() {
    holds_under("terminated", 100);
}

#[test]
fn completed_child_never_comes_back_over_gossip() {
    holds_under("completed", 40);
}

#[test]
fn poison_child_over_gossip_takes_no_more_members_down() {
    holds_under("poison", 40);
}

#[test]
fn calm_cluster_over_gossip_moves_and_starts_nothing_for_an_hour() {
    holds_under("calm", 1);
}

#[test]
fn gossip_runs_the_same_under_the_same_seed() {
    let scenario = scenario::find("netsplit").unwrap();
    let hash = |seed| run_seed(scenario, BackendKind::Gossip, seed).trace_hash;
    assert_eq!(hash(7), hash(7));
    assert_ne!(hash(7), hash(8));
}
