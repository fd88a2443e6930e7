//! Five members boot within ten seconds in random order, and each asks for the same 100 children:
//! 100 are there in the end, and strict ones never twice (S1).

use pogo_core::spec::Exclusivity;

use super::{
    Scenario,
    script::{Script, children, members, runs_exactly},
};
use crate::{
    plan::{ChildPlan, Op, Plan},
    world::Outcome,
};

pub(super) const FORMING: Scenario = Scenario { name: "forming", plan, check: Some(check) };

fn plan(seed: u64) -> Plan {
    let mut script = Script::new(seed);
    let strict = script.chance(500);
    let exclusivity = strict.then_some(Exclusivity::Strict);
    let plan = ChildPlan { exclusivity, ..ChildPlan::default() };
    for member in members(0, 5) {
        script.now = script.below(10_000);
        script.op(Op::Boot(member.clone()));
        script.wait(300, 600);
        script.op(Op::Start { via: member, children: children(0, 100), plan });
    }
    script.now = 11_000;
    script.end()
}

fn check(plan: &Plan, outcome: &Outcome) -> Result<(), String> {
    runs_exactly(plan, outcome, 100)
}
