//! Members come and go one at a time.

use std::collections::BTreeSet;

use pogo_core::id::{ChildId, MemberName};

use super::{
    Scenario,
    script::{Script, children, members, picture_at, picture_before, runs_exactly},
};
use crate::{
    fact::{Fact, Started},
    picture::Instance,
    plan::{ChildPlan, Op, Plan},
    world::Outcome,
};

/// A join moves children only to the newcomer, and never runs two at once (S7).
pub(super) const JOIN: Scenario =
    Scenario { name: "join", plan: join, check: Some(only_to_joiner) };

/// A leave moves children only from the leaver.
pub(super) const LEAVE: Scenario =
    Scenario { name: "leave", plan: leave, check: Some(only_from_leaver) };

/// Each member in turn crashes and comes back; every child runs again within the time of failover.
pub(super) const CRASH_EACH: Scenario =
    Scenario { name: "crash-each", plan: crash_each, check: Some(all_run_in_time) };

const CHILDREN: usize = 40;

fn begin(script: &mut Script, count: usize) -> Vec<MemberName> {
    let hosts = members(0, count);
    script.boot(&hosts, 500);
    script.start(&hosts, &children(0, CHILDREN), ChildPlan::default());
    script.wait(3_000, 5_000);
    hosts
}

fn join(seed: u64) -> Plan {
    let mut script = Script::new(seed);
    let count = 1 + usize::try_from(script.below(6)).unwrap_or(0);
    begin(&mut script, count);
    for joiner in members(count, 1) {
        script.op(Op::Boot(joiner));
    }
    script.wait(5_000, 6_000);
    script.end()
}

fn only_to_joiner(plan: &Plan, outcome: &Outcome) -> Result<(), String> {
    let joiner = plan.ops.iter().rev().find_map(|(_, op)| match op {
        Op::Boot(member) => Some(member.clone()),
        _ => None,
    });
    let stray = starts_after(outcome, |fact| match fact {
        Fact::Booted { host, .. } => Some(host) == joiner.as_ref(),
        _ => false,
    });
    let stray: Vec<_> = stray.iter().filter(|start| Some(&start.host) != joiner.as_ref()).collect();
    if stray.is_empty() && outcome.stats.moves <= CHILDREN as u64 {
        runs_exactly(plan, outcome, CHILDREN)
    } else {
        Err(format!("started elsewhere than on the newcomer: {stray:?}"))
    }
}

fn leave(seed: u64) -> Plan {
    let mut script = Script::new(seed);
    let count = 2 + usize::try_from(script.below(6)).unwrap_or(0);
    let mut hosts = begin(&mut script, count);
    for leaver in script.take(&mut hosts, 1) {
        script.lose(leaver);
    }
    let failover = script.failover();
    script.wait(failover, failover + 1_000);
    script.end()
}

fn only_from_leaver(plan: &Plan, outcome: &Outcome) -> Result<(), String> {
    let goes = |fact: &Fact| matches!(fact, Fact::Crashed { .. } | Fact::Leaving { .. });
    let leaver = outcome.trace.iter().find_map(|(_, fact)| match fact {
        Fact::Crashed { host, .. } | Fact::Leaving { host, .. } => Some(host.clone()),
        _ => None,
    });
    let before = picture_before(outcome, goes);
    let was_on_leaver = |child: &ChildId| {
        before.of(child).iter().any(|instance| Some(&instance.host) == leaver.as_ref())
    };
    let starts = starts_after(outcome, goes);
    match starts.iter().find(|start| !was_on_leaver(&start.child)) {
        Some(stray) => Err(format!("{} moved to {} for no reason", stray.child, stray.host)),
        None => runs_exactly(plan, outcome, CHILDREN),
    }
}

/// The starts of the plan's children after a fact.
fn starts_after(outcome: &Outcome, is_it: impl Fn(&Fact) -> bool) -> Vec<Started> {
    let known: BTreeSet<ChildId> = children(0, CHILDREN).into_iter().collect();
    let after = outcome.trace.iter().skip_while(|(_, fact)| !is_it(fact));
    after
        .filter_map(|(_, fact)| match fact {
            Fact::Started(start) if known.contains(&start.child) => Some(start.clone()),
            _ => None,
        })
        .collect()
}

fn crash_each(seed: u64) -> Plan {
    let mut script = Script::new(seed);
    let hosts = begin(&mut script, 4);
    for member in hosts {
        let silent = script.chance(500);
        script.op(Op::Crash { member: member.clone(), silent });
        let failover = script.failover();
        script.wait(failover + 500, failover + 2_000);
        script.op(Op::Boot(member));
        script.wait(3_000, 4_000);
    }
    script.end()
}

fn all_run_in_time(plan: &Plan, outcome: &Outcome) -> Result<(), String> {
    let options = &plan.options;
    let slack = options.latency * 20 + options.delay * 8;
    let within = options.detection + slack + std::time::Duration::from_secs(1);
    for (at, fact) in &outcome.trace {
        let Fact::Crashed { host, .. } = fact else { continue };
        let picture = picture_at(outcome, *at + within);
        for child in children(0, CHILDREN) {
            if !picture.of(&child).iter().any(Instance::is_running) {
                return Err(format!("{child} did not run {within:?} after the crash of {host}"));
            }
        }
    }
    runs_exactly(plan, outcome, CHILDREN)
}
