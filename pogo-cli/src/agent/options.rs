//! The flags of `pogo agent`.

use std::{path::PathBuf, time::Duration};

use clap::Args;

/// Runs one member of a cluster, with the built-in kinds of children and an HTTP interface.
///
/// The built-in kinds are `service_monitor`, `idle`, and, where the settings file allows programs,
/// `command`. SIGTERM or Ctrl-C moves the children to other members and leaves the cluster; a second
/// one ends at once. The exit code is 0, 3 where children were left behind, 2 where the command
/// itself is at fault, else 1.
///
/// The settings file is TOML: `backend` in `[membership]`; `name`, `http`, `labels` and `weight` in
/// `[agent]`; `allow`, a list of absolute paths of programs, in `[command]`. Flags beat the
/// environment, and that beats the file. The HTTP interface wants a token wherever it is not on
/// loopback, in `POGO_HTTP_TOKEN` or a file. `POGO_LOG` sets what is logged to standard error (warn).
#[derive(Debug, Clone, Args)]
pub struct AgentArgs {
    /// The member's name, the same at each start [default: as the backend's URL says, else the host's]
    #[arg(long, env = "POGO_NAME", value_name = "NAME")]
    pub name: Option<String>,
    /// What the members share [default: `gossip://127.0.0.1:7946`]
    #[arg(long, env = "POGO_BACKEND", hide_env_values = true, value_name = "URL")]
    pub backend: Option<String>,
    /// Where the HTTP interface listens; port 0 takes any [default: 127.0.0.1:7900]
    #[arg(long, env = "POGO_HTTP", value_name = "ADDR")]
    pub http: Option<String>,
    /// File with the token that HTTP requests must carry
    #[arg(long, value_name = "FILE")]
    pub http_token_file: Option<PathBuf>,
    /// A label of this member, for children that require it; may be repeated
    #[arg(long = "label", value_name = "K=V", value_parser = crate::agent::label)]
    pub labels: Vec<(String, String)>,
    /// This member's share of children relative to others; 0 runs none [default: 1]
    #[arg(long, value_name = "N")]
    pub weight: Option<u16>,
    /// The namespace of children; several in one cluster are independent
    #[arg(long, value_name = "SCOPE", default_value = "pogo")]
    pub scope: String,
    /// Settings file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How long children may take to move away at the end
    #[arg(long, value_name = "D", default_value = "10s", value_parser = humantime::parse_duration)]
    pub drain: Duration,
    /// Print one JSON object when the member takes part
    #[arg(long)]
    pub json: bool,
    /// End as at SIGTERM when standard input closes, as it does with whoever started this
    #[arg(long, hide = true)]
    pub until_stdin_closes: bool,
    /// Append the begin and end of each run to this file
    #[arg(long, value_name = "FILE", hide = true)]
    pub spans: Option<PathBuf>,
}
