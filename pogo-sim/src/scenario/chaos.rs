//! Pogo's chaos test: 10 members and 60 children, 5 members go, 45 children are terminated, 60
//! more started, 10 members join, 30 are terminated, 30 started. 75 children on 15 members remain.

use super::{
    Scenario,
    script::{Script, children, members, runs_exactly},
};
use crate::{
    plan::{ChildPlan, Plan},
    world::Outcome,
};

pub(super) const CHAOS: Scenario = Scenario { name: "chaos", plan, check: Some(check) };

fn plan(seed: u64) -> Plan {
    let mut script = Script::new(seed);
    let mut hosts = members(0, 10);
    script.boot(&hosts, 1_000);
    let mut alive = children(0, 60);
    script.start(&hosts, &alive, ChildPlan::default());
    script.wait(2_500, 5_000);
    let lost = script.take(&mut hosts, 5);
    for member in lost {
        script.lose(member);
        script.wait(0, 300);
    }
    let ended = script.take(&mut alive, 45);
    script.terminate(&hosts, &ended);
    script.wait(0, 1_000);
    let more = children(60, 60);
    script.start(&hosts, &more, ChildPlan::default());
    alive.extend(more);
    let joiners = members(10, 10);
    for joiner in &joiners {
        script.op(crate::plan::Op::Boot(joiner.clone()));
        script.wait(0, 200);
    }
    script.wait(2_500, 5_000);
    hosts.extend(joiners);
    let ended = script.take(&mut alive, 30);
    script.terminate(&hosts, &ended);
    script.wait(0, 1_000);
    script.start(&hosts, &children(120, 30), ChildPlan::default());
    script.end()
}

fn check(plan: &Plan, outcome: &Outcome) -> Result<(), String> {
    runs_exactly(plan, outcome, 75)
}
