//! Everything that may go wrong with a store and the ways to it, while children are asked for and
//! members come and go: nothing that was accepted is lost, and no strict child runs twice.

use std::time::Duration;

use pogo_core::{
    id::{ChildId, MemberName},
    spec::Exclusivity,
};

use super::{
    Scenario,
    script::{Script, children, members},
};
use crate::plan::{ChildPlan, Op, Plan, StoreOp};

pub(super) const STORE_FAULTS: Scenario = Scenario { name: "store-faults", plan, check: None };

/// Operations of a plan, beside those that end them.
const OPS: u64 = 25;
/// How long a plan runs.
const MILLIS: u64 = 60_000;

/// What may happen.
#[derive(Debug, Clone, Copy)]
enum Family {
    Outage,
    Slow,
    CutOff,
    Deny,
    Gap,
    Compact,
    Stale,
    Failover,
    Wipe,
    Restore,
    Evict,
    Expire,
    Crash,
    Start,
    Terminate,
}

const FAULTS: &[Family] = &[
    Family::Outage,
    Family::Slow,
    Family::CutOff,
    Family::Deny,
    Family::Gap,
    Family::Compact,
    Family::Stale,
    Family::Failover,
    Family::Wipe,
    Family::Restore,
    Family::Evict,
    Family::Expire,
    Family::Crash,
];

fn plan(seed: u64) -> Plan {
    let mut script = Script::new(seed);
    let hosts = members(0, 3 + usize::try_from(script.below(4)).unwrap_or(0));
    let ids = children(0, 5 + usize::try_from(script.below(20)).unwrap_or(0));
    let strict = script.chance(500);
    let exclusivity = if strict { Exclusivity::Strict } else { Exclusivity::Available };
    let child = ChildPlan { exclusivity: Some(exclusivity), ..ChildPlan::default() };
    script.boot(&hosts, 2_000);
    script.start(&hosts, &ids, child);
    let mut families = vec![Family::Start, Family::Terminate];
    for family in FAULTS {
        // A lease that ends before its time leaves a strict child to its token.
        let fits = !strict || !matches!(family, Family::Expire);
        if fits && script.chance(400) {
            families.push(*family);
        }
    }
    let from = script.now;
    let mut times: Vec<u64> = (0..OPS).map(|_| from + script.below(MILLIS)).collect();
    times.sort_unstable();
    for at in times {
        script.now = at;
        if let Some(family) = script.pick(&families) {
            happen(&mut script, family, (&hosts, &ids), child);
        }
    }
    script.end()
}

fn happen(
    script: &mut Script,
    family: Family,
    (hosts, ids): (&[MemberName], &[ChildId]),
    plan: ChildPlan,
) {
    let (Some(via), Some(member), Some(child)) =
        (script.pick(hosts), script.pick(hosts), script.pick(ids))
    else {
        return;
    };
    let (begin, end) = match family {
        Family::Outage => (StoreOp::Outage(true), Some(StoreOp::Outage(false))),
        Family::Slow => {
            let factor = u32::try_from(2 + script.below(50)).unwrap_or(2);
            (StoreOp::Slow(factor), Some(StoreOp::Slow(1)))
        }
        Family::CutOff => {
            (StoreOp::CutOff(member.clone(), true), Some(StoreOp::CutOff(member, false)))
        }
        Family::Deny => {
            (StoreOp::Denied(member.clone(), true), Some(StoreOp::Denied(member, false)))
        }
        Family::Stale => {
            let by = Duration::from_millis(1 + script.below(3_000));
            (StoreOp::Stale(member.clone(), by), Some(StoreOp::Stale(member, Duration::ZERO)))
        }
        Family::Gap => (StoreOp::Gap(member), None),
        Family::Compact => (StoreOp::Compact, None),
        Family::Failover => (StoreOp::Failover(script.below(20)), None),
        Family::Wipe => (StoreOp::Wipe, None),
        Family::Restore => (StoreOp::BackUp, Some(StoreOp::Restore)),
        Family::Expire => (StoreOp::Expire(member), None),
        Family::Evict => return script.op(Op::Evict(member)),
        Family::Crash => {
            script.op(Op::Crash { member: member.clone(), silent: true });
            script.wait(0, 8_000);
            return script.op(Op::Boot(member));
        }
        Family::Start => return script.op(Op::Start { via, children: vec![child], plan }),
        Family::Terminate => return script.op(Op::Terminate { via, child }),
    };
    script.op(Op::Store(begin));
    if let Some(end) = end {
        script.wait(100, 15_000);
        script.op(Op::Store(end));
    }
}
