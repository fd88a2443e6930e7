//! The same plans over a store.

use std::time::Duration;

use pogo_core::spec::Exclusivity;

use crate::{
    draw::Draws,
    plan::{BackendKind, Op, Plan, Start, StoreOp},
    store::Strength,
};

/// The plan for a cluster that shares a store.
///
/// How long its leases last is drawn anew. What needs the others to have noticed that a member is
/// gone comes so much later.
pub(super) fn over_store(mut plan: Plan) -> Plan {
    let draws = Draws::new(plan.seed);
    let pick = |what: &str, choices: [u64; 4]| {
        let at = usize::try_from(draws.below("store option", what, 0, 4)).unwrap_or(0);
        choices.get(at).copied().unwrap_or(0)
    };
    let options = &mut plan.options;
    options.backend = BackendKind::Store;
    options.lease_ttl = Duration::from_secs(pick("lease ttl", [2, 4, 4, 10]));
    if pick("strength", [0, 0, 0, 1]) == 1 {
        options.strength = Strength::BestEffort;
    }
    let detection = options.lease_ttl + Duration::from_secs(1);
    let is_weak = options.strength == Strength::BestEffort;
    let more = detection.saturating_sub(options.detection);
    options.detection = detection;
    options.view_settle = Duration::from_secs(1);
    // A best-effort store grants a claim a second time where it has lost the first.
    let fails_over = |(_, op): &(Duration, Op)| matches!(op, Op::Store(StoreOp::Failover(_)));
    let forgets_claims = is_weak && plan.ops.iter().any(fails_over);
    let mut later = Duration::ZERO;
    for (at, op) in &mut plan.ops {
        *at += later;
        match op {
            Op::Crash { .. } | Op::Cut(_) => later += more,
            // It kills three members, each of which a store notices by its lease only.
            Op::Start { plan, .. } if matches!(plan.start, Start::Kills(_)) => {
                later += 3 * detection;
            }
            Op::Start { plan, .. } if forgets_claims => {
                plan.exclusivity = Some(Exclusivity::Available);
            }
            _ => {}
        }
    }
    plan
}
