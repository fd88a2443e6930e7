//! Plans by name: each makes, from a seed, a plan of one kind, and says what must have come out
//! beside the laws.

mod calm;
mod chaos;
mod children;
pub mod cluster;
mod forming;
mod gossip;
mod members;
mod netsplit;
mod rolling;
mod script;
mod store;
mod stores;
mod strict;
mod swarm;

use crate::{
    plan::{BackendKind, Plan},
    world::Outcome,
};

/// A kind of plan.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// Makes the plan of a seed.
    pub plan: fn(u64) -> Plan,
    /// What must have come out of a run that kept every law, where that is more.
    pub check: Option<Check>,
}

impl Scenario {
    /// The plan of a seed for a cluster that shares this backend.
    pub fn plan_on(&self, backend: BackendKind, seed: u64) -> Plan {
        let plan = (self.plan)(seed);
        match backend {
            BackendKind::Hub => plan,
            BackendKind::Gossip => gossip::over_gossip(plan),
            BackendKind::Store => store::over_store(plan),
        }
    }
}

/// Judges the outcome of a plan.
pub type Check = fn(&Plan, &Outcome) -> Result<(), String>;

/// Every scenario.
pub const ALL: &[Scenario] = &[
    chaos::CHAOS,
    netsplit::NETSPLIT,
    members::JOIN,
    members::LEAVE,
    members::CRASH_EACH,
    children::POISON,
    children::TERMINATED_STAYS_GONE,
    children::COMPLETED_STAYS_DONE,
    forming::FORMING,
    calm::CALM,
    rolling::ROLLING,
    rolling::DRAIN_TWO,
    rolling::CRASH_MANY,
    strict::DEAF_DRAIN,
    strict::LONG_PAUSE,
    strict::CUT_OFF,
    swarm::SWARM,
    stores::STORE_FAULTS,
];

/// The scenario of this name.
pub fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}
