//! The flags of `pogo bench`.

use std::{fmt, time::Duration};

use clap::{Args, ValueEnum, value_parser};

/// Measures a cluster of agents, real processes on this machine.
///
/// Each trial starts its own agents, and children of the kind `idle` in one request. When a child ran
/// is read from what the agents write as its runs begin and end, on the machine's monotonic clock; a
/// run that is killed ends with the signal to its process. So gaps and overlaps do not depend on how often
/// anybody looks. What is visible is asked of each agent once all children run.
///
/// start: all running, all visible on every agent, the time to list all.
/// failover: one agent is killed with -9; detected is the first restart, all running the last. Over a
///   store nobody is held to be dead before its lease has run out; restarting is the time after that.
/// join: one agent more; the children that moved, beside the fewest that placement allows.
/// idle: processor, memory and bytes of a calm cluster. Over gossip the agents count bytes. Over etcd
///   the servers do, for all who use them: let nobody else.
/// acknowledged: the agent that took the starts is killed with -9 as soon as it has answered.
/// heal is not there yet: it needs faults of the network.
///
/// Over a store each trial has a cluster of its own: the name in the URL, and a number. What it wrote
/// stays there: use a store that can be thrown away.
///
/// The exit code is 1 where a child was lost or ran twice, 2 where the command itself is at fault.
#[derive(Debug, Clone, Args)]
#[command(verbatim_doc_comment)]
pub struct BenchArgs {
    /// What the members share; ports and seeds are filled in, and after a cluster's name a number
    #[arg(long, value_name = "URL", default_value = "gossip://127.0.0.1:0")]
    pub backend: String,
    /// What is measured
    #[arg(long, value_enum)]
    pub scenario: Scenario,
    /// Agents, the one that joins included
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u16).range(1..=100))]
    pub nodes: u16,
    /// Children; `idle` can do without
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = value_parser!(u32).range(0..=1_000_000))]
    pub children: u32,
    /// How often it is measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = value_parser!(u32).range(1..))]
    pub trials: u32,
    /// How long `idle` looks, 1s at least
    #[arg(long = "for", value_name = "D", default_value = "20s", value_parser = humantime::parse_duration)]
    pub looks: Duration,
    /// Print one JSON object a trial
    #[arg(long)]
    pub json: bool,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// All children are asked for at once
    Start,
    /// An agent is killed
    Failover,
    /// An agent joins
    Join,
    /// Nothing happens
    Idle,
    /// The agent that has just accepted all children is killed
    Acknowledged,
    /// A division ends
    Heal,
}

impl Scenario {
    /// The fewest agents that it makes sense with.
    pub(super) const fn least_nodes(self) -> u16 {
        match self {
            Self::Start | Self::Idle => 1,
            Self::Failover | Self::Join | Self::Acknowledged | Self::Heal => 2,
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Failover => "failover",
            Self::Join => "join",
            Self::Idle => "idle",
            Self::Acknowledged => "acknowledged",
            Self::Heal => "heal",
        })
    }
}
