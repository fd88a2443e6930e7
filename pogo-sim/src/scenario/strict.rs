//! Strict children: what must not go wrong when their member does.

use std::time::Duration;

use pogo_core::spec::Exclusivity;

use super::{
    Scenario,
    script::{Script, children, members, runs_exactly},
};
use crate::{
    plan::{ChildPlan, Op, Plan, Stop},
    world::Outcome,
};

/// A member drains whose strict children do not hear that they are to stop: the next instance
/// begins only when the old one has ended (S1), with a higher token (S2).
pub(super) const DEAF_DRAIN: Scenario =
    Scenario { name: "deaf-drain", plan: deaf_drain, check: Some(all_run) };

/// A member stands still for three times its lease: others take over, and what it writes when it
/// wakes is refused (S2); before anything else its runs are dropped (S3).
pub(super) const LONG_PAUSE: Scenario =
    Scenario { name: "long-pause", plan: long_pause, check: Some(all_run) };

/// A member cannot renew its lease: it stops before its claims are free (S3).
pub(super) const CUT_OFF: Scenario =
    Scenario { name: "cut-off", plan: cut_off, check: Some(all_run) };

const CHILDREN: usize = 20;

fn begin(seed: u64, stop: Stop, grace: Duration) -> Script {
    let mut script = Script::new(seed);
    let hosts = members(0, 3);
    script.boot(&hosts, 500);
    let exclusivity = Some(Exclusivity::Strict);
    let plan = ChildPlan { stop, grace, exclusivity, ..ChildPlan::default() };
    script.start(&hosts, &children(0, CHILDREN), plan);
    script.wait(3_000, 5_000);
    script
}

fn deaf_drain(seed: u64) -> Plan {
    let mut script = begin(seed, Stop::Ignored, Duration::from_secs(60));
    for member in members(0, 1) {
        script.op(Op::Drain { member, deadline: Duration::from_secs(30) });
    }
    script.wait(100_000, 101_000);
    script.end()
}

fn long_pause(seed: u64) -> Plan {
    let mut script = begin(seed, Stop::After(Duration::from_millis(5)), Duration::from_secs(1));
    for member in members(0, 2) {
        let ttl = script.plan.options.lease_ttl;
        script.op(Op::Pause { member, lasts: ttl * 3 });
        let pause = u64::try_from(ttl.as_millis()).unwrap_or(0) * 3;
        script.wait(pause + 5_000, pause + 8_000);
    }
    script.end()
}

fn cut_off(seed: u64) -> Plan {
    let mut script = begin(seed, Stop::After(Duration::from_millis(5)), Duration::from_secs(1));
    let ttl = u64::try_from(script.plan.options.lease_ttl.as_millis()).unwrap_or(0);
    for member in members(0, 2) {
        script.op(Op::Cut(vec![[member].into()]));
        script.wait(ttl * 2, ttl * 3);
        script.op(Op::Heal);
        script.wait(5_000, 6_000);
    }
    script.end()
}

fn all_run(plan: &Plan, outcome: &Outcome) -> Result<(), String> {
    runs_exactly(plan, outcome, CHILDREN)
}
