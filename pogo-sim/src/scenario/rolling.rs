//! All members are replaced, one after the other, as in a deploy.

use std::{collections::BTreeMap, time::Duration};

use pogo_core::id::ChildId;

use super::{
    Scenario,
    script::{Script, children, members, runs_exactly},
};
use crate::{
    fact::Fact,
    plan::{ChildPlan, Op, Plan},
    world::Outcome,
};

/// Each member drains and is started again: no child moves more often than twice on average, none
/// is left behind, and none runs twice (S7).
pub(super) const ROLLING: Scenario =
    Scenario { name: "rolling", plan: rolling, check: Some(moves_little) };

/// Two members drain at the same time, the others being cordoned one after the other.
pub(super) const DRAIN_TWO: Scenario =
    Scenario { name: "drain-two", plan: drain_two, check: Some(all_taken_up) };

/// Two members crash at the same time, then all but one: whoever is left runs everything.
pub(super) const CRASH_MANY: Scenario =
    Scenario { name: "crash-many", plan: crash_many, check: Some(all_run) };

const CHILDREN: usize = 60;
const MEMBERS: usize = 5;
/// On average each child moves that often at most: away from its member, and back.
const MOVES_PER_CHILD: f64 = 2.05;

fn begin(seed: u64) -> Script {
    let mut script = Script::new(seed);
    let hosts = members(0, MEMBERS);
    script.boot(&hosts, 500);
    script.start(&hosts, &children(0, CHILDREN), ChildPlan::default());
    script.wait(3_000, 5_000);
    script
}

fn rolling(seed: u64) -> Plan {
    let mut script = begin(seed);
    for member in members(0, MEMBERS) {
        script.op(Op::Drain { member: member.clone(), deadline: Duration::from_secs(20) });
        script.wait(6_000, 8_000);
        script.op(Op::Boot(member));
        script.wait(5_000, 7_000);
    }
    script.end()
}

fn moves_little(plan: &Plan, outcome: &Outcome) -> Result<(), String> {
    let mut starts: BTreeMap<&ChildId, u32> = BTreeMap::new();
    for (_, fact) in &outcome.trace {
        if let Fact::Started(started) = fact {
            *starts.entry(&started.child).or_default() += 1;
        }
    }
    let wanted = children(0, CHILDREN);
    let moved: u32 = wanted.iter().filter_map(|id| starts.get(id)).map(|count| count - 1).sum();
    let each = f64::from(moved) / 60.0;
    if each > MOVES_PER_CHILD {
        return Err(format!("each child moved {each:.2} times"));
    }
    runs_exactly(plan, outcome, CHILDREN)
}

fn drain_two(seed: u64) -> Plan {
    let mut script = begin(seed);
    let hosts = members(0, MEMBERS);
    let [first, second, third, ..] = hosts.as_slice() else { return script.end() };
    let deadline = Duration::from_secs(30);
    script.op(Op::Cordon { via: third.clone(), member: third.clone() });
    script.wait(500, 1_000);
    for member in [first, second] {
        script.op(Op::Drain { member: member.clone(), deadline });
        script.wait(0, 300);
    }
    script.wait(10_000, 12_000);
    script.op(Op::Uncordon { via: third.clone(), member: third.clone() });
    script.wait(1_000, 2_000);
    script.end()
}

/// No start lands on a member that leaves (S13), and nobody leaves with a child on it (S14); that
/// all run elsewhere is what is left to be seen.
fn all_taken_up(plan: &Plan, outcome: &Outcome) -> Result<(), String> {
    let left = ["m0", "m1"];
    match outcome.running.iter().find(|(_, host)| left.contains(&host.as_str())) {
        Some((child, host)) => Err(format!("{child} runs on {host}, which has left")),
        None => runs_exactly(plan, outcome, CHILDREN),
    }
}

fn crash_many(seed: u64) -> Plan {
    let mut script = begin(seed);
    let hosts = members(0, MEMBERS);
    for (from, to) in [(0, 2), (2, 4)] {
        for member in hosts.iter().take(to).skip(from) {
            let silent = script.chance(500);
            script.op(Op::Crash { member: member.clone(), silent });
        }
        let failover = script.failover();
        script.wait(failover + 500, failover + 2_000);
    }
    script.end()
}

fn all_run(plan: &Plan, outcome: &Outcome) -> Result<(), String> {
    match outcome.running.iter().find(|(_, host)| host.as_str() != "m4") {
        Some((child, host)) => Err(format!("{child} runs on {host}, which is dead")),
        None => runs_exactly(plan, outcome, CHILDREN),
    }
}
