//! The mutants: what each breaks, and over which plans it must be found.

use std::fmt;

use pogo_core::spec::Exclusivity;
use pogo_sim::{
    plan::{BackendKind, Plan},
    scenario::cluster::Shape,
};

/// A planted fault.
#[derive(Debug)]
pub(super) struct Mutant {
    /// As it is planted.
    pub(super) name: &'static str,
    /// What is wrong with it.
    pub(super) breaks: &'static str,
    /// The plans.
    pub(super) over: Over,
    /// It must be found in so many seeds.
    pub(super) within: u64,
}

/// Where plans come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Over {
    Scenario(&'static str, BackendKind),
    Cluster(Shape),
    Plan(fn(u64) -> Plan),
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scenario(name, backend) => write!(f, "{name}, {backend}"),
            Self::Cluster(shape) => write!(f, "cluster, {}, {}", shape.mode, shape.backend),
            Self::Plan(_) => f.write_str("a plan of its own"),
        }
    }
}

const fn hub(name: &'static str) -> Over {
    Over::Scenario(name, BackendKind::Hub)
}

const fn gossip(name: &'static str) -> Over {
    Over::Scenario(name, BackendKind::Gossip)
}

const fn store(name: &'static str) -> Over {
    Over::Scenario(name, BackendKind::Store)
}

const fn cluster(mode: Exclusivity, backend: BackendKind) -> Over {
    Over::Cluster(Shape { nodes: 5, children: 20, mode, backend, seconds: 60 })
}

const STRICT: Over = cluster(Exclusivity::Strict, BackendKind::Store);
const QUORUM: Over = cluster(
    Exclusivity::Quorum { size: std::num::NonZeroU32::MIN.saturating_add(2) },
    BackendKind::Store,
);

const GOSSIP_QUORUM: Over = cluster(
    Exclusivity::Quorum { size: std::num::NonZeroU32::MIN.saturating_add(2) },
    BackendKind::Gossip,
);

/// A mutant.
const fn of(name: &'static str, breaks: &'static str, over: Over, within: u64) -> Mutant {
    Mutant { name, breaks, over, within }
}

pub(super) const MUTANTS: &[Mutant] = &[
    of(
        "start without waiting for the holder",
        "the owner starts what another still holds (R7)",
        hub("join"),
        5,
    ),
    of(
        "report retracted before the stop ended",
        "others see an orphan while it still stops (F, W)",
        hub("swarm"),
        20,
    ),
    of("survivor by one's own view", "each side names its own survivor (R8)", gossip("swarm"), 200),
    of(
        "gives way to what only starts",
        "a running instance stops for one that may fail (R8)",
        hub("swarm"),
        200,
    ),
    of("fence margin zero", "a lease is used up to its very end (R16)", STRICT, 100),
    of("no time to stop in", "stopping begins at the deadline (R16)", STRICT, 100),
    of("start bears no token", "the resource is told no token (R18)", STRICT, 5),
    of("claim is kept", "a claim without an instance is not given back (R25)", STRICT, 20),
    of("quorum of one less", "half of the members are enough (R17)", GOSSIP_QUORUM, 200),
    of(
        "lost members are not waited for",
        "those who were lost may still run it (R17)",
        QUORUM,
        100,
    ),
    of(
        "additions settle at once",
        "a newcomer starts what it has not read (R6)",
        hub("swarm"),
        100,
    ),
    of(
        "start before its report is told",
        "a child kills its member unseen (R11)",
        hub("poison"),
        20,
    ),
    of("death strikes nobody", "deaths of members are not counted (R11)", hub("poison"), 5),
    of(
        "temporary start is not marked first",
        "the one start is not recorded before it (R5)",
        Over::Plan(super::temporary_crash),
        5,
    ),
    of("completed child starts again", "a normal end is a failure (R4)", hub("completed"), 5),
    of("termination stops nothing", "a terminated child runs on (R3)", hub("terminated"), 5),
    of(
        "later stage is not taken",
        "spent and done are no news where the write is known (R4, R5)",
        hub("completed"),
        10,
    ),
    of("clock does not learn", "a stamp may lie below what was seen (R2)", hub("swarm"), 50),
    of(
        "lost record is not restored",
        "a wipe of the store loses what members hold (R15)",
        store("store-faults"),
        50,
    ),
    of("handed-over state is not read", "a successor begins with nothing (R9)", hub("join"), 5),
    of("used state is kept", "state is offered after the first ready (R9)", hub("swarm"), 50),
    of("back-off starts over", "restarts come without growing delays (R11)", hub("swarm"), 50),
    of("nothing is quarantined", "a failing child restarts for ever (R11)", hub("swarm"), 50),
    of(
        "hanging start is left alone",
        "a start that hangs is never given up (R10)",
        hub("swarm"),
        50,
    ),
    of("leaver takes children", "a member that leaves starts children (R23)", hub("swarm"), 100),
    of("leaves before its children", "a drain ends before the children do (R23)", hub("leave"), 20),
    of(
        "drain hides what moved",
        "the result of a drain does not name them (R23)",
        hub("leave"),
        20,
    ),
    of("want is never taken back", "a want outlives its move (R7)", hub("join"), 20),
    of("observers miss an end", "no event tells that a child is gone (R27)", hub("terminated"), 5),
    of("observers miss a departure", "no event tells that a member is gone (R27)", hub("leave"), 5),
    of("answers twice", "a request has two answers (L6)", hub("join"), 1),
    of(
        "overdue request is forgotten",
        "an unavailable backend leaves clients waiting (L6)",
        store("store-faults"),
        50,
    ),
    of(
        "retries at once",
        "what fails is tried again without a pause (S17)",
        store("store-faults"),
        50,
    ),
    of("looks again and again", "the slow pass is not slow (S10)", hub("join"), 5),
    of(
        "write accepted in one's own hands",
        "an accepted change dies with its member (R3)",
        gossip("swarm"),
        50,
    ),
    of(
        "tombstone dropped at GC",
        "a member that was away brings a child back (R19)",
        Over::Plan(super::long_away),
        3,
    ),
    of("nobody contradicts", "a suspect does not refute its death (gossip)", gossip("swarm"), 20),
    of("suspicion is death", "one lost probe is a death (gossip)", gossip("swarm"), 50),
    of(
        "comparison finds all equal",
        "lost records are never found (gossip)",
        gossip("terminated"),
        20,
    ),
];
