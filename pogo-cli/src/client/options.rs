//! The flags of the commands that ask an agent.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use pogo::Restart;

use crate::agent::label;

/// Commands that ask an agent.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Lists the members of the cluster
    Members {
        /// Whom to ask
        #[command(flatten)]
        target: Target,
    },
    /// Lists the children
    Children {
        /// Only those that the agent itself runs
        #[arg(long)]
        local: bool,
        /// Whom to ask
        #[command(flatten)]
        target: Target,
    },
    /// Starts children; each runs on one member of the cluster
    Start {
        /// What to start
        #[command(flatten)]
        start: Box<StartArgs>,
        /// Whom to ask
        #[command(flatten)]
        target: Target,
    },
    /// Replaces the spec of a child that is present
    Replace {
        /// The child
        id: String,
        /// The code that runs it
        #[arg(long, value_name = "K")]
        kind: String,
        /// The rest of its spec
        #[command(flatten)]
        spec: Box<SpecArgs>,
        /// Whom to ask
        #[command(flatten)]
        target: Target,
    },
    /// Stops a child for good, wherever it runs
    Stop {
        /// The child
        id: String,
        /// Wait this long until it is gone
        #[arg(long, value_name = "D", value_parser = humantime::parse_duration)]
        wait: Option<Duration>,
        /// Whom to ask
        #[command(flatten)]
        target: Target,
    },
    /// Stops and starts a child where it is, and ends its back-off or quarantine
    Restart {
        /// The child
        id: String,
        /// Whom to ask
        #[command(flatten)]
        target: Target,
    },
    /// Shows one child
    Lookup {
        /// The child
        id: String,
        /// Whom to ask
        #[command(flatten)]
        target: Target,
    },
    /// Says why a child is where it is
    Explain {
        /// The child
        id: String,
        /// Whom to ask
        #[command(flatten)]
        target: Target,
    },
    /// Lets a member take no more children; those that it has stay
    Cordon {
        /// The member
        member: String,
        /// Whom to ask
        #[command(flatten)]
        target: Target,
    },
    /// Undoes a cordon
    Uncordon {
        /// The member
        member: String,
        /// Whom to ask
        #[command(flatten)]
        target: Target,
    },
    /// Moves a member's children away and lets it leave
    ///
    /// The agent that is asked tells the outcome where it is the member itself; the exit code is 3
    /// where children were left behind. Another member is only told to; --wait waits until it is gone.
    Drain {
        /// The member
        member: String,
        /// How long its children may take to move [default: as the agent was started]
        #[arg(long, value_name = "D", value_parser = humantime::parse_duration)]
        within: Option<Duration>,
        /// Wait this long until another member is gone
        #[arg(long, value_name = "D", value_parser = humantime::parse_duration)]
        wait: Option<Duration>,
        /// Whom to ask
        #[command(flatten)]
        target: Target,
    },
    /// Says what the departure of a member would do
    Plan {
        /// The member
        member: String,
        /// Whom to ask
        #[command(flatten)]
        target: Target,
    },
    /// Shows what happens, until Ctrl-C
    Events {
        /// Whom to ask
        #[command(flatten)]
        target: Target,
    },
}

/// Which agent is asked, and how it is shown.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// The agent's HTTP interface; a token is taken from `POGO_HTTP_TOKEN`
    #[arg(long, env = "POGO_HTTP", value_name = "ADDR", default_value = crate::http::DEFAULT_ADDRESS)]
    pub http: String,
    /// File with the token of the agent
    #[arg(long, value_name = "FILE")]
    pub http_token_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What to start.
#[derive(Debug, Clone, Args)]
pub struct StartArgs {
    /// The child, by a name that is unique in the cluster
    #[arg(required_unless_present = "file")]
    pub id: Option<String>,
    /// The code that runs it, as in `service_monitor`, `idle` or `command`
    #[arg(long, value_name = "K", required_unless_present = "file")]
    pub kind: Option<String>,
    /// The rest of its spec
    #[command(flatten)]
    pub spec: SpecArgs,
    /// JSON file with an array of specs, - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["id", "kind"])]
    pub file: Option<PathBuf>,
    /// With a file: start all of them or none
    #[arg(long, requires = "file")]
    pub all_or_nothing: bool,
    /// Wait this long until all of them run
    #[arg(long, value_name = "D", value_parser = humantime::parse_duration)]
    pub wait: Option<Duration>,
}

/// The spec of one child but for its id and kind.
#[derive(Debug, Clone, Args)]
pub struct SpecArgs {
    /// What that code is given
    #[arg(long, value_name = "JSON", default_value = "null")]
    pub args: String,
    /// When it is started again after its end
    #[arg(long, value_enum, default_value_t = When::Permanent)]
    pub restart: When,
    /// How long it may take to stop [default: 5s]
    #[arg(long, value_name = "D", value_parser = humantime::parse_duration)]
    pub grace: Option<Duration>,
    /// A label for people and filters; may be repeated
    #[arg(long = "label", value_name = "K=V", value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// A label that its member must have; may be repeated
    #[arg(long, value_name = "K=V", value_parser = label)]
    pub require: Vec<(String, String)>,
}

/// When a child is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// Always
    Permanent,
    /// After a failure only
    Transient,
    /// Never
    Temporary,
}

impl From<When> for Restart {
    fn from(when: When) -> Self {
        match when {
            When::Permanent => Self::Permanent,
            When::Transient => Self::Transient,
            When::Temporary => Self::Temporary,
        }
    }
}
