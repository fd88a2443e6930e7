//! What an agent is told: flags, the environment, and the settings file, in this order.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;

use super::{AgentError, options::AgentArgs};
use crate::{kinds::command::AllowedPrograms, services::position};

/// What an agent runs by.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) name: Option<String>,
    pub(super) backend: String,
    pub(super) http: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) weight: u16,
    pub(super) programs: AllowedPrograms,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    membership: MembershipTable,
    agent: AgentTable,
    command: CommandTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MembershipTable {
    backend: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AgentTable {
    name: Option<String>,
    http: Option<String>,
    labels: BTreeMap<String, String>,
    weight: Option<u16>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CommandTable {
    allow: AllowedPrograms,
}

impl Settings {
    /// Puts flags above the file; the environment has become flags already.
    pub(super) fn of(args: &AgentArgs) -> Result<Self, AgentError> {
        let file = args.config.as_deref().map(read).transpose()?.unwrap_or_default();
        let mut labels = file.agent.labels;
        labels.extend(args.labels.iter().cloned());
        let or = |flag: &Option<String>, setting: Option<String>, usual: &str| {
            flag.clone().or(setting).unwrap_or_else(|| usual.to_owned())
        };
        Ok(Self {
            name: args.name.clone().or(file.agent.name),
            backend: or(&args.backend, file.membership.backend, "gossip://127.0.0.1:7946"),
            http: or(&args.http, file.agent.http, crate::http::DEFAULT_ADDRESS),
            labels,
            weight: args.weight.or(file.agent.weight).unwrap_or(1),
            programs: file.command.allow,
        })
    }
}

fn read(path: &Path) -> Result<File, AgentError> {
    let refuse = |reason: String| AgentError::Settings { path: path.to_owned(), reason };
    let text = fs::read_to_string(path).map_err(|error| refuse(format!(": {error}")))?;
    toml::from_str(&text).map_err(|error| {
        let (line, column) = position(&text, error.span().map_or(0, |span| span.start));
        refuse(format!(":{line}:{column}: {}", error.message().replace('\n', ", ")))
    })
}
