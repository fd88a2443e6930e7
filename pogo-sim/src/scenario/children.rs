//! Children that harm their member, and children that have ended for good.

use std::{collections::BTreeSet, time::Duration};

use pogo_core::{
    id::{ChildId, MemberName},
    spec::Restart,
};

use super::{
    Scenario,
    script::{Script, children, members, runs_exactly},
};
use crate::{
    fact::Fact,
    plan::{ChildPlan, Op, Plan, Start, Then},
    world::Outcome,
};

/// A child that takes its member down while it starts does so three times, no more (R11).
pub(super) const POISON: Scenario =
    Scenario { name: "poison", plan: poison, check: Some(three_crashes) };

/// A child terminated while a member is cut off or down stays gone when that member is back (S5).
pub(super) const TERMINATED_STAYS_GONE: Scenario =
    Scenario { name: "terminated", plan: terminated, check: Some(six_are_gone) };

/// A child that has completed never runs again, though every member is replaced (R4, R5).
pub(super) const COMPLETED_STAYS_DONE: Scenario =
    Scenario { name: "completed", plan: completed, check: Some(none_runs_again) };

fn poison(seed: u64) -> Plan {
    let mut script = Script::new(seed);
    let hosts = members(0, 5);
    script.boot(&hosts, 500);
    script.start(&hosts, &children(0, 20), ChildPlan::default());
    script.wait(3_000, 5_000);
    let start = Start::Kills(Duration::from_millis(50));
    script.start(&hosts, &children(20, 1), ChildPlan { start, ..ChildPlan::default() });
    script.wait(5_000, 10_000);
    script.end()
}

/// Over gossip a start counts as announced once one other member has heard of it, after a tenth of
/// a second (R3). Where a lost packet came later than that, one member may not know of a death yet.
fn three_crashes(plan: &Plan, outcome: &Outcome) -> Result<(), String> {
    let most = if plan.options.loss == 0 { 3 } else { 4 };
    let crashes =
        outcome.trace.iter().filter(|(_, fact)| matches!(fact, Fact::Crashed { .. })).count();
    if (3..=most).contains(&crashes) {
        Ok(())
    } else {
        Err(format!("{crashes} members crashed, not 3"))
    }
}

fn terminated(seed: u64) -> Plan {
    let mut script = Script::new(seed);
    let hosts = members(0, 4);
    script.boot(&hosts, 500);
    let all = children(0, 12);
    script.start(&hosts, &all, ChildPlan::default());
    script.wait(3_000, 4_000);
    let mut others = hosts.clone();
    let away: BTreeSet<MemberName> = script.take(&mut others, 1).into_iter().collect();
    let crashes = script.chance(500);
    if crashes {
        for member in away.iter().cloned() {
            script.op(Op::Crash { member, silent: true });
        }
    } else {
        script.op(Op::Cut(vec![away.clone(), others.iter().cloned().collect()]));
    }
    script.wait(0, 8_000);
    let mut ended = all.clone();
    ended.truncate(6);
    script.terminate(&others, &ended);
    script.wait(0, 8_000);
    for member in away.into_iter().filter(|_| crashes) {
        script.op(Op::Boot(member));
    }
    script.end()
}

fn six_are_gone(plan: &Plan, outcome: &Outcome) -> Result<(), String> {
    runs_exactly(plan, outcome, 6)
}

fn completed(seed: u64) -> Plan {
    let mut script = Script::new(seed);
    let mut hosts = members(0, 3);
    script.boot(&hosts, 500);
    script.start(&hosts, &children(0, 6), ChildPlan::default());
    let then = Then::Ends(Duration::from_secs(1));
    for (first, restart) in [(6, Restart::Transient), (9, Restart::Temporary)] {
        let plan = ChildPlan { then, restart, ..ChildPlan::default() };
        script.start(&hosts, &children(first, 3), plan);
    }
    script.wait(11_000, 15_000);
    for newcomer in members(3, 3) {
        script.op(Op::Boot(newcomer.clone()));
        script.wait(1_000, 2_000);
        for old in script.take(&mut hosts, 1) {
            script.lose(old);
        }
        let failover = script.failover();
        script.wait(failover, failover + 2_000);
        hosts.push(newcomer);
        hosts.rotate_right(1);
    }
    script.end()
}

fn none_runs_again(_plan: &Plan, outcome: &Outcome) -> Result<(), String> {
    let ending: BTreeSet<ChildId> = children(6, 6).into_iter().collect();
    let mut done = BTreeSet::new();
    for (_, fact) in &outcome.trace {
        match fact {
            Fact::Exited { child, .. } if ending.contains(child) => drop(done.insert(child)),
            Fact::Started(start) if done.contains(&start.child) => {
                return Err(format!("{} ended and was started again", start.child));
            }
            _ => {}
        }
    }
    if done.len() == ending.len() {
        Ok(())
    } else {
        Err(format!("{} of {} children ended", done.len(), ending.len()))
    }
}
