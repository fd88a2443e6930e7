//! What goes wrong with a store in a random cluster.

use std::time::Duration;

use pogo_core::spec::Exclusivity;

use super::{Cluster, faults::Family};
use crate::{
    plan::{BackendKind, Op, Plan, StoreOp},
    store::Strength,
};

const fn on_a_store(events: fn(&mut Cluster)) -> Family {
    Family { fits: |backend| matches!(backend, BackendKind::Store), events }
}

/// The families of faults of a store.
pub(super) const FAMILIES: &[Family] = &[
    on_a_store(outage),
    on_a_store(slow),
    on_a_store(cut_off),
    on_a_store(deny),
    on_a_store(gap),
    on_a_store(compact),
    on_a_store(stale),
    on_a_store(fail_over),
    on_a_store(wipe),
    on_a_store(restore),
    on_a_store(expire),
];

impl Cluster {
    fn store(&mut self, op: StoreOp) {
        self.script.op(Op::Store(op));
    }

    fn store_for(&mut self, most: u64, begin: StoreOp, end: StoreOp) {
        self.store(begin);
        self.script.wait(50, most);
        self.store(end);
    }
}

/// Takes out what gives a claim to a second holder where some child rests on its claim: a lease that
/// ends before its time, and a best-effort store that has lost the first grant. Against those there
/// is the token only.
pub(super) fn spare_claims(plan: &mut Plan) {
    let is_weak = plan.options.strength == Strength::BestEffort;
    let rests_on_claims = plan.options.mode == Exclusivity::Strict
        || plan.ops.iter().any(|(_, op)| match op {
            Op::Start { plan, .. } | Op::Replace { plan, .. } => {
                plan.exclusivity == Some(Exclusivity::Strict)
            }
            _ => false,
        });
    plan.ops.retain(|(_, op)| match op {
        Op::Store(StoreOp::Expire(_)) => !rests_on_claims,
        Op::Store(StoreOp::Failover(_)) => !(rests_on_claims && is_weak),
        _ => true,
    });
}

fn outage(cluster: &mut Cluster) {
    cluster.store_for(40_000, StoreOp::Outage(true), StoreOp::Outage(false));
}

fn slow(cluster: &mut Cluster) {
    let factor = u32::try_from(2 + cluster.script.below(50)).unwrap_or(2);
    cluster.store_for(15_000, StoreOp::Slow(factor), StoreOp::Slow(1));
}

fn cut_off(cluster: &mut Cluster) {
    let Some(member) = cluster.any_member() else { return };
    let end = StoreOp::CutOff(member.clone(), false);
    cluster.store_for(30_000, StoreOp::CutOff(member, true), end);
}

fn deny(cluster: &mut Cluster) {
    let Some(member) = cluster.any_member() else { return };
    let end = StoreOp::Denied(member.clone(), false);
    cluster.store_for(30_000, StoreOp::Denied(member, true), end);
}

fn gap(cluster: &mut Cluster) {
    if let Some(member) = cluster.any_member() {
        cluster.store(StoreOp::Gap(member));
    }
}

fn compact(cluster: &mut Cluster) {
    cluster.store(StoreOp::Compact);
}

fn stale(cluster: &mut Cluster) {
    let Some(member) = cluster.any_member() else { return };
    let by = cluster.script.duration(1, 5_000);
    let end = StoreOp::Stale(member.clone(), Duration::ZERO);
    cluster.store_for(20_000, StoreOp::Stale(member, by), end);
}

fn fail_over(cluster: &mut Cluster) {
    let lost = cluster.script.below(20);
    cluster.store(StoreOp::Failover(lost));
}

fn wipe(cluster: &mut Cluster) {
    cluster.store(StoreOp::Wipe);
}

fn restore(cluster: &mut Cluster) {
    cluster.store_for(30_000, StoreOp::BackUp, StoreOp::Restore);
}

fn expire(cluster: &mut Cluster) {
    if let Some(member) = cluster.any_member() {
        cluster.store(StoreOp::Expire(member));
    }
}
