//! The same plans over the gossip backend.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    draw::Draws,
    plan::{BackendKind, Op, Plan},
};

/// Members that boot later than this cannot be everybody's seeds.
const EARLY: Duration = Duration::from_secs(2);

/// A member that is cut off from all others takes so many times longer than they do to hold them to
/// be dead: when all its helpers are silent, too, it distrusts itself first (Lifeguard).
const LONELY: u32 = 2;

/// The plan for a cluster that shares nothing but a network.
///
/// That network is as good as the preset asks for; what it loses and repeats is drawn anew. There
/// are no claims, so nothing is strict.
pub(super) fn over_gossip(mut plan: Plan) -> Plan {
    let draws = Draws::new(plan.seed);
    let pick = |what: &str, choices: [u32; 4]| {
        let at = usize::try_from(draws.below("gossip option", what, 0, 4)).unwrap_or(0);
        choices.get(at).copied().unwrap_or(0)
    };
    let few_seeds = boots_early(&plan) && pick("seeds", [0, 1, 1, 1]) == 1;
    let options = &mut plan.options;
    let timing = options.timing();
    options.backend = BackendKind::Gossip;
    options.detection = timing.detection;
    options.view_settle = timing.view_settle;
    // A quarter of the time that a probe may take, there and back.
    options.latency = options.latency.min(timing.probe_timeout / 10);
    options.delay = options.delay.min(timing.probe_timeout / 20);
    options.lost_replies = 0;
    options.loss = pick("loss", [0, 0, 10, 50]);
    options.copies = pick("copies", [0, 0, 10, 50]);
    options.encoded = draws.chance("gossip option", "encoded", 0, 10);
    options.seeds = if few_seeds { 3 } else { 0 };
    let lonely = options.detection * LONELY;
    let mut later = Duration::ZERO;
    for (at, op) in &mut plan.ops {
        *at += later;
        if matches!(op, Op::Cut(_)) {
            later += lonely;
        }
        if let Op::Start { plan, .. } | Op::Replace { plan, .. } = op {
            plan.exclusivity = None;
        }
    }
    plan
}

/// Whether all members are there from the beginning, so that some of them can be the seeds.
fn boots_early(plan: &Plan) -> bool {
    let mut booted = BTreeSet::new();
    plan.ops.iter().all(|(at, op)| match op {
        Op::Boot(member) => !booted.insert(member) || *at <= EARLY,
        _ => true,
    })
}
