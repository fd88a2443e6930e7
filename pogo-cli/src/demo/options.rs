//! The flags of `pogo demo`.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::{Args, value_parser};

/// Supervises monitors of real services on several members, and kills members to show what happens.
///
/// Each member is an agent, a process of its own on this machine; with --backend memory:// all are in
/// this process.
///
/// Without --services it opens a few services on loopback: some that are well, a slow one and one
/// that fails now and then. Every now and then one member is killed with -9: the table shows
/// its monitors start on the others, and how long that took; then the member is started again.
/// Ctrl-C ends the demo with a summary. The exit code is 1 where a child was lost or ran twice.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Members of the cluster
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u16).range(1..=100))]
    pub nodes: u16,
    /// What the members share; ports and seeds are filled in
    #[arg(long, value_name = "URL", default_value = "gossip://127.0.0.1:0")]
    pub backend: String,
    /// TOML file of services to watch: a `[[service]]` for each, with `name`, and `tcp` or `http`
    #[arg(long, value_name = "FILE")]
    pub services: Option<PathBuf>,
    /// Monitors, spread over the services [default: one for each service]
    #[arg(long, value_name = "N")]
    pub children: Option<NonZeroUsize>,
    /// Time from one kill to the next, as in 4s or 2m, 2s at least; 0 never kills
    #[arg(long, value_name = "D", default_value = "10s", value_parser = humantime::parse_duration)]
    pub kill_every: Duration,
    /// How long the demo lasts, counted from when every child runs [default: until Ctrl-C]
    #[arg(long = "for", value_name = "D", value_parser = humantime::parse_duration)]
    pub lasts: Option<Duration>,
    /// Print one JSON object a line: ready, killed, failover, summary
    #[arg(long)]
    pub json: bool,
}
