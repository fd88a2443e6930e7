//! What clients ask of a random cluster.

use pogo_core::{
    id::ChildId,
    spec::{Exclusivity, Restart},
};

use super::{Cluster, options::majority};
use crate::{
    draw::Draws,
    plan::{BackendKind, ChildPlan, Op, Start, Stop, Then},
    scenario::script::Script,
};

/// The families of work.
pub(super) const FAMILIES: &[fn(&mut Cluster)] =
    &[start, replace, terminate, restart, contend, repeat, call_and_crash, call_in_minority];

fn start(cluster: &mut Cluster) {
    let (Some(via), Some(child)) = (cluster.any_member(), cluster.any_child()) else { return };
    let plan = cluster.child_plan(&child);
    cluster.script.op(Op::Start { via, children: vec![child], plan });
}

fn replace(cluster: &mut Cluster) {
    let (Some(via), Some(child)) = (cluster.any_member(), cluster.any_child()) else { return };
    let plan = cluster.child_plan(&child);
    cluster.script.op(Op::Replace { via, child, plan });
}

fn terminate(cluster: &mut Cluster) {
    let (Some(via), Some(child)) = (cluster.any_member(), cluster.any_child()) else { return };
    cluster.script.op(Op::Terminate { via, child });
}

fn restart(cluster: &mut Cluster) {
    let (Some(via), Some(child)) = (cluster.any_member(), cluster.any_child()) else { return };
    cluster.script.op(Op::Restart { via, child });
}

/// Several members are asked to start, terminate and replace one child, almost at once.
fn contend(cluster: &mut Cluster) {
    let Some(child) = cluster.any_child() else { return };
    for _ in 0..2 + cluster.script.below(3) {
        let Some(via) = cluster.any_member() else { return };
        let plan = cluster.child_plan(&child);
        let op = match cluster.script.below(3) {
            0 => Op::Terminate { via, child: child.clone() },
            1 => Op::Start { via, children: vec![child.clone()], plan },
            _ => Op::Replace { via, child: child.clone(), plan },
        };
        cluster.script.op(op);
        cluster.script.wait(0, 30);
    }
}

/// The same request comes twice.
fn repeat(cluster: &mut Cluster) {
    let Some(child) = cluster.any_child() else { return };
    let plan = cluster.child_plan(&child);
    let terminates = cluster.script.chance(300);
    for _ in 0..2 {
        let Some(via) = cluster.any_member() else { return };
        let children = vec![child.clone()];
        cluster.script.op(if terminates {
            Op::Terminate { via, child: child.clone() }
        } else {
            Op::Start { via, children, plan }
        });
        cluster.script.wait(0, 200);
    }
}

/// A member is asked and dies before or after it has answered.
fn call_and_crash(cluster: &mut Cluster) {
    let (Some(via), Some(child)) = (cluster.any_member(), cluster.any_child()) else { return };
    let plan = cluster.child_plan(&child);
    cluster.script.op(Op::Replace { via: via.clone(), child, plan });
    cluster.script.wait(0, 300);
    let silent = cluster.script.chance(500);
    cluster.script.op(Op::Crash { member: via.clone(), silent });
    cluster.script.wait(0, 10_000);
    cluster.script.op(Op::Boot(via));
}

/// A member is asked while it is with the few.
fn call_in_minority(cluster: &mut Cluster) {
    let Some(child) = cluster.any_child() else { return };
    let mut all = cluster.hosts.clone();
    let most = (all.len().saturating_sub(1) / 2).max(1);
    let few = cluster.script.take(&mut all, most);
    let Some(via) = cluster.script.pick(&few) else { return };
    cluster.script.op(Op::Cut(vec![few.into_iter().collect()]));
    cluster.script.wait(0, 3_000);
    let plan = cluster.child_plan(&child);
    let terminates = cluster.script.chance(500);
    cluster.script.op(if terminates {
        Op::Terminate { via, child }
    } else {
        Op::Replace { via, child, plan }
    });
    cluster.script.wait(0, 8_000);
    cluster.script.op(Op::Heal);
}

impl Cluster {
    /// How a child behaves, its own mode included. That is the same in all its specs: nothing is
    /// promised of two specs of different modes at once.
    pub(super) fn child_plan(&mut self, child: &ChildId) -> ChildPlan {
        let quorum = Exclusivity::Quorum { size: majority(self.shape) };
        let draws = Draws::new(self.script.plan.seed);
        let exclusivity = match draws.below("child's mode", child.as_str(), 0, 30) {
            0 => Some(Exclusivity::Available),
            1 => Some(quorum),
            2 if self.shape.backend == BackendKind::Gossip => Some(quorum),
            2 => Some(Exclusivity::Strict),
            _ => None,
        };
        ChildPlan { exclusivity, ..child_plan(&mut self.script) }
    }
}

/// How a child behaves: well, or in one way badly.
fn child_plan(script: &mut Script) -> ChildPlan {
    let mut plan =
        ChildPlan { value: u32::try_from(script.below(3)).unwrap_or(0), ..ChildPlan::default() };
    if script.chance(500) {
        return plan;
    }
    let some = script.duration(1, 2_000);
    let long = script.duration(1, 30_000);
    match script.below(16) {
        0 => plan.start = Start::Fails(some),
        1 => plan.start = Start::Hangs,
        2 => plan.start = Start::Panics(some),
        3 => plan.start = Start::Ready(long),
        4 => plan.then = Then::Fails(some),
        5 => plan.then = Then::Panics(some),
        6 => (plan.then, plan.restart) = (Then::Ends(some), Restart::Transient),
        7 => (plan.then, plan.restart) = (Then::Ends(some), Restart::Temporary),
        8 => plan.stop = Stop::Ignored,
        9 => plan.stop = Stop::After(some),
        10 => plan.stop = Stop::Fails(some),
        11 => plan.stop = Stop::Blocks(Some(some * 2)),
        12 => plan.stop = Stop::Blocks(None),
        13 => plan.huge = true,
        14 => plan.grace = script.duration(1, 5_000),
        _ if script.chance(200) => plan.start = Start::Kills(some),
        _ => plan.restart = Restart::Temporary,
    }
    plan
}
