//! Settings of a random cluster.

use std::{num::NonZeroU32, time::Duration};

use pogo_core::spec::Exclusivity;
use pogo_membership_gossip::timing::Timing;

use super::Shape;
use crate::{
    draw::Draws,
    plan::{BackendKind, Options},
    store::Strength,
};

/// Draws every setting from what is legal.
pub(super) fn draw(draws: Draws, shape: Shape) -> Options {
    let pick = |what: &str, choices: &[u64]| {
        let at = draws.below("cluster option", what, 0, choices.len() as u64);
        choices.get(usize::try_from(at).unwrap_or(0)).copied().unwrap_or(0)
    };
    let millis = |what: &str, choices: &[u64]| Duration::from_millis(pick(what, choices));
    let small = |what: &str, choices: &[u64]| u32::try_from(pick(what, choices)).unwrap_or(0);
    let nodes = shape.nodes.max(2) as u64;
    let mut options = Options {
        backend: shape.backend,
        mode: shape.mode,
        clock_skew: millis("skew", &[0, 500, 20_000]),
        drift: small("drift", &[0, 0, 100, 1_000]),
        min_members: count(pick("members", &[1, 1, nodes / 2 + 1])),
        start_timeout: millis("start", &[1_000, 5_000, 30_000]),
        handover_timeout: millis("handover", &[500, 10_000, 30_000]),
        request_timeout: millis("request", &[1_000, 5_000, 20_000]),
        sync_interval: millis("sync", &[500, 5_000, 30_000]),
        max_moves: count(pick("moves", &[1, 4, 256])),
        failover_delay: millis("failover", &[0, 0, 0, 3_000]),
        ..Options::default()
    };
    if shape.backend == BackendKind::Gossip {
        let timing = [Timing::LOCAL, Timing::LAN, Timing::LAN, Timing::WAN];
        let at = usize::try_from(pick("timing", &[0, 1, 2, 3])).unwrap_or(0);
        let timing = timing.get(at).unwrap_or(&Timing::LAN);
        options.detection = timing.detection;
        options.view_settle = timing.view_settle;
        // A quarter of the time that a probe may take, there and back.
        options.latency = millis("latency", &[0, 2, 10, 40]).min(whole(timing.probe_timeout / 10));
        options.delay = millis("delay", &[0, 1, 5, 20]).min(whole(timing.probe_timeout / 20));
        options.loss = small("loss", &[0, 0, 10, 50]);
        options.copies = small("copies", &[0, 0, 10, 50]);
        options.tail = small("tail", &[0, 0, 0, 10]);
        options.in_flight = small("in flight", &[0, 0, 3, 20]);
        options.encoded = draws.chance("cluster option", "encoded", 0, 50);
        options.join_within = millis("join", &[500, 2_000, 5_000]);
        if options.mode == Exclusivity::Strict {
            options.mode = Exclusivity::Quorum { size: majority(shape) };
        }
    } else {
        options.lease_ttl = millis("lease", &[2_000, 3_000, 5_000, 10_000, 30_000]);
        options.detection = millis("detection", &[1_000, 2_000, 5_000, 15_000]);
        options.view_settle = millis("settle", &[0, 100, 500, 2_000]);
        options.latency = millis("latency", &[0, 2, 10, 40, 100]);
        options.delay = millis("delay", &[0, 1, 5, 20, 100]);
        options.lost_replies = small("lost replies", &[0, 0, 20, 100]);
        if shape.backend == BackendKind::Store {
            options.detection = options.lease_ttl + Duration::from_secs(1);
            if draws.chance("cluster option", "best effort", 0, 250) {
                options.strength = Strength::BestEffort;
            }
        }
    }
    options.settle = settle(&options);
    options
}

/// Several rounds of whatever takes longest.
fn settle(options: &Options) -> Duration {
    let round = options.sync_interval
        + options.detection
        + options.lease_ttl
        + options.start_timeout
        + options.handover_timeout
        + options.failover_delay;
    Duration::from_secs(60) + 4 * round
}

/// More than half of the members.
pub(super) fn majority(shape: Shape) -> NonZeroU32 {
    count(shape.nodes.max(2) as u64 / 2 + 1)
}

/// Options have whole milliseconds.
fn whole(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(0))
}

fn count(count: u64) -> NonZeroU32 {
    u32::try_from(count).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
}
