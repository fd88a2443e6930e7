//! Horde's netsplit: 3 members and 10 children are divided; each side runs all of them. After the
//! division exactly one of each remains, the same one in everybody's eyes (L1, L2).

use std::collections::BTreeSet;

use pogo_core::id::MemberName;

use super::{
    Scenario,
    script::{Script, children, members, picture_before, runs_exactly},
};
use crate::{
    fact::Fact,
    plan::{BackendKind, ChildPlan, Op, Plan},
    world::Outcome,
};

pub(super) const NETSPLIT: Scenario = Scenario { name: "netsplit", plan, check: Some(check) };

fn plan(seed: u64) -> Plan {
    let mut script = Script::new(seed);
    let mut hosts = members(0, 3);
    script.boot(&hosts, 1_000);
    script.start(&hosts, &children(0, 10), ChildPlan::default());
    script.wait(2_500, 4_000);
    let alone: BTreeSet<MemberName> = script.take(&mut hosts, 1).into_iter().collect();
    script.op(Op::Cut(vec![alone, hosts.into_iter().collect()]));
    script.now += script.failover();
    script.wait(500, 10_000);
    script.end()
}

fn check(plan: &Plan, outcome: &Outcome) -> Result<(), String> {
    let divided = picture_before(outcome, |fact| *fact == Fact::Healed);
    let groups = plan.ops.iter().find_map(|(_, op)| match op {
        Op::Cut(groups) => Some(groups),
        _ => None,
    });
    // Only the larger side has a store: the other keeps what it has, and starts nothing.
    let keeps_only = |group: &BTreeSet<MemberName>| {
        plan.options.backend == BackendKind::Store && group.len() == 1
    };
    for child in children(0, 10) {
        for group in groups.into_iter().flatten() {
            let instances = divided.of(&child);
            let here = instances.iter().filter(|one| group.contains(&one.host)).count();
            if here != 1 && !(keeps_only(group) && here == 0) {
                return Err(format!("{child} had {here} instances among {group:?}"));
            }
        }
    }
    runs_exactly(plan, outcome, 10)
}
