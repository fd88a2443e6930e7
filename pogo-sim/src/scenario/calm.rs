//! A calm cluster for an hour: nothing moves and nothing is started.

use std::time::Duration;

use super::{
    Scenario,
    script::{Script, children, members, runs_exactly},
};
use crate::{
    plan::{ChildPlan, Plan},
    world::Outcome,
};

pub(super) const CALM: Scenario = Scenario { name: "calm", plan, check: Some(check) };

const CHILDREN: usize = 50;

fn plan(seed: u64) -> Plan {
    let mut script = Script::new(seed);
    script.plan.options.quiet = Duration::from_secs(3_600);
    let hosts = members(0, 5);
    script.boot(&hosts, 500);
    script.start(&hosts, &children(0, CHILDREN), ChildPlan::default());
    script.end()
}

/// Members see each other before they are asked, so each child starts once and stays.
fn check(plan: &Plan, outcome: &Outcome) -> Result<(), String> {
    let served = 5;
    if outcome.stats.moves > 0 || outcome.stats.starts != CHILDREN as u64 + served {
        return Err(format!("{} starts, {} moves", outcome.stats.starts, outcome.stats.moves));
    }
    runs_exactly(plan, outcome, CHILDREN)
}
