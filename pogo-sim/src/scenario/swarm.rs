//! Anything at any time: which faults and which work there are, and how much of each, is drawn from
//! the seed, since all of them at once would hide what only some of them show.

use std::{collections::BTreeSet, time::Duration};

use pogo_core::{
    id::{ChildId, MemberName},
    spec::Restart,
};

use super::{
    Scenario,
    script::{Script, children, members},
};
use crate::plan::{ChildPlan, Op, Plan, Start, Stop, Then};

pub(super) const SWARM: Scenario = Scenario { name: "swarm", plan, check: None };

/// Operations of a plan.
const OPS: u64 = 60;
/// How long a plan runs.
const MILLIS: u64 = 40_000;

/// What may happen.
#[derive(Debug, Clone, Copy)]
enum Family {
    Crash,
    Leave,
    Cut,
    Delay,
    Evict,
    Cordon,
    Fail,
    Start,
    Replace,
    Terminate,
    Restart,
}

const FAULTS: &[Family] = &[
    Family::Crash,
    Family::Leave,
    Family::Cut,
    Family::Delay,
    Family::Evict,
    Family::Cordon,
    Family::Fail,
];
const WORK: &[Family] = &[Family::Start, Family::Replace, Family::Terminate, Family::Restart];

fn plan(seed: u64) -> Plan {
    let mut script = Script::new(seed);
    let hosts = members(0, 2 + usize::try_from(script.below(5)).unwrap_or(0));
    let ids = children(0, 5 + usize::try_from(script.below(20)).unwrap_or(0));
    script.boot(&hosts, 2_000);
    script.start(&hosts, &ids, ChildPlan::default());
    let mut families = Vec::new();
    for family in FAULTS.iter().chain(WORK) {
        if script.chance(500) {
            let weight = usize::try_from(1 + script.below(4)).unwrap_or(1);
            families.extend(std::iter::repeat_n(*family, weight));
        }
    }
    let from = script.now;
    let mut times: Vec<u64> = (0..OPS).map(|_| from + script.below(MILLIS)).collect();
    times.sort_unstable();
    for at in times {
        script.now = at;
        if let Some(family) = script.pick(&families) {
            happen(&mut script, family, &hosts, &ids);
        }
    }
    script.end()
}

fn happen(script: &mut Script, family: Family, hosts: &[MemberName], ids: &[ChildId]) {
    let (Some(via), Some(member), Some(child)) =
        (script.pick(hosts), script.pick(hosts), script.pick(ids))
    else {
        return;
    };
    let op = match family {
        Family::Crash | Family::Leave => return lose_for_a_while(script, family, member),
        Family::Cut => return cut_for_a_while(script, hosts),
        Family::Delay => Op::Delay(Duration::from_millis(script.below(300))),
        Family::Evict => Op::Evict(member),
        Family::Cordon if script.chance(500) => Op::Cordon { via, member },
        Family::Cordon => Op::Uncordon { via, member },
        Family::Fail => Op::Fail(child),
        Family::Start => Op::Start { via, children: vec![child], plan: child_plan(script) },
        Family::Replace => Op::Replace { via, child, plan: child_plan(script) },
        Family::Terminate => Op::Terminate { via, child },
        Family::Restart => Op::Restart { via, child },
    };
    script.op(op);
}

/// A member goes and comes back: at once, before anybody noticed, or later.
fn lose_for_a_while(script: &mut Script, family: Family, member: MemberName) {
    let silent = script.chance(500);
    script.op(match family {
        Family::Crash => Op::Crash { member: member.clone(), silent },
        _ if silent => Op::Shutdown(member.clone()),
        _ => Op::Drain { member: member.clone(), deadline: Duration::from_secs(5) },
    });
    script.wait(0, 8_000);
    script.op(Op::Boot(member));
}

fn cut_for_a_while(script: &mut Script, hosts: &[MemberName]) {
    let mut near = hosts.to_vec();
    let far = usize::try_from(1 + script.below(hosts.len() as u64)).unwrap_or(1);
    let far: BTreeSet<MemberName> = script.take(&mut near, far).into_iter().collect();
    script.op(Op::Cut(vec![far]));
    script.wait(0, 12_000);
    script.op(Op::Heal);
}

fn child_plan(script: &mut Script) -> ChildPlan {
    let mut plan = ChildPlan::default();
    let some = Duration::from_millis(1 + script.below(500));
    match script.below(12) {
        0 => plan.start = Start::Fails(some),
        1 => plan.start = Start::Hangs,
        2 => plan.then = Then::Fails(some),
        3 => (plan.then, plan.restart) = (Then::Ends(some), Restart::Transient),
        4 => (plan.then, plan.restart) = (Then::Ends(some), Restart::Temporary),
        5 => plan.stop = Stop::Ignored,
        6 => plan.start = Start::Ready(some),
        7 => plan.stop = Stop::After(some),
        _ => plan.value = u32::try_from(script.below(3)).unwrap_or(0),
    }
    plan
}
