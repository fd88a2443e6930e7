//! What each operation of a plan does, on plans written by hand; every law holds in all of them.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks for the facts that it names")]

mod children;
mod links;
mod processes;

use std::time::Duration;

use pogo_core::{id::MemberName, time::Timestamp};
use pogo_sim::{
    fact::Fact,
    plan::Plan,
    world::{Outcome, run_plan},
};

/// Runs a plan, which keeps every law.
fn run(text: &str) -> Outcome {
    let plan: Plan = text.parse().unwrap();
    let outcome = run_plan(&plan);
    assert_eq!(outcome.violation, None, "{text}");
    outcome
}

fn name(text: &str) -> MemberName {
    MemberName::new(text).unwrap()
}

fn at(millis: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_millis(millis)
}

/// When facts of a kind were seen.
fn times(outcome: &Outcome, is_it: impl Fn(&Fact) -> bool) -> Vec<Timestamp> {
    outcome.trace.iter().filter(|(_, fact)| is_it(fact)).map(|(at, _)| *at).collect()
}

/// When `reader` was told that some member is gone.
fn losses(outcome: &Outcome, reader: &str) -> Vec<Timestamp> {
    let reader = name(reader);
    times(outcome, |fact| matches!(fact, Fact::Sees { host, status: None, .. } if *host == reader))
}

/// Where and when children were started.
fn starts(outcome: &Outcome) -> Vec<(Timestamp, String)> {
    let started = outcome.trace.iter().filter_map(|(at, fact)| match fact {
        Fact::Started(started) => Some((*at, started.host.to_string())),
        _ => None,
    });
    started.collect()
}

/// The start of a plan: members, and some time for them to meet.
fn members(names: &[&str], backend: &str, settings: &str) -> String {
    let boots = names.join("\n0 boot ");
    let fixed = "set detection=1000ms\nset clock-skew=0ms\n";
    format!("seed 5\nset backend={backend}\n{fixed}{settings}0 boot {boots}\n")
}

fn three(backend: &str, settings: &str) -> String {
    members(&["m0", "m1", "m2"], backend, settings)
}
