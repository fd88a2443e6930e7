//! `command`: an OS process, of a program that the member's own settings allow.
//!
//! What a child may run is the member's to say, never the spec's: whoever can reach the cluster can
//! write specs. A member that allows no program does not offer the kind.

mod guard;
mod process;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use pogo::{Child, ChildContext, Exit};
use serde::{Deserialize, Serialize};

pub use self::guard::{GuardArgs, become_program};
use self::process::Process;

/// The kind, with the programs that it may run here.
#[derive(Debug, Clone)]
pub struct Command {
    allowed: AllowedPrograms,
}

/// Programs that a member may run, by absolute path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct AllowedPrograms(BTreeSet<String>);

/// What one child runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Settings", into = "Settings")]
pub struct Program(Settings);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    program: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    args: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    env: BTreeMap<String, String>,
}

/// Settings that no process can be started from; the text says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The path is relative.
    #[error("{0:?} is no absolute path of a program: write it as in \"/usr/bin/env\"")]
    Relative(String),
    /// A text has a NUL, which no process can be given.
    #[error("{0:?} has a NUL character")]
    Nul(String),
    /// The name of a variable is not one, or steers the loader of programs.
    #[error("{0:?} cannot be set for a program: leave it out of `env`")]
    Variable(String),
    /// This member does not allow the program.
    #[error("this member does not allow {0:?}: add it to `allow` in [command] of its settings")]
    NotAllowed(String),
}

impl Command {
    /// The kind where it may run something.
    pub fn new(allowed: AllowedPrograms) -> Option<Self> {
        (!allowed.0.is_empty()).then_some(Self { allowed })
    }
}

impl Child for Command {
    const KIND: &'static str = "command";
    type Args = Program;
    type State = ();

    #[expect(clippy::renamed_function_params, reason = "says what it is")]
    async fn run(&self, program: Program, cx: ChildContext) -> Exit {
        let Program(settings) = program;
        if !self.allowed.0.contains(&settings.program) {
            return Err(CommandError::NotAllowed(settings.program).into());
        }
        let mut process = Process::start(&settings)?;
        cx.ready();
        tokio::select! {
            exit = process.exit() => exit,
            _ = cx.stopping() => {
                process.terminate();
                // However it ends: that is what it was told to do. Where the grace period ends first,
                // this is dropped and the process killed.
                drop(process.exit().await);
                Ok(())
            }
        }
    }
}

impl TryFrom<Settings> for Program {
    type Error = CommandError;

    fn try_from(settings: Settings) -> Result<Self, CommandError> {
        check_program(&settings.program)?;
        let values = settings.args.iter().chain(settings.env.values());
        if let Some(text) = values.into_iter().find(|text| text.contains('\0')) {
            return Err(CommandError::Nul(text.clone()));
        }
        // What the loader reads can make another program of the one that is allowed.
        let steers = |name: &str| name.starts_with("LD_") || name.starts_with("DYLD_");
        let is_bad = |name: &&String| name.is_empty() || name.contains(['=', '\0']) || steers(name);
        match settings.env.keys().find(is_bad) {
            Some(name) => Err(CommandError::Variable(name.clone())),
            None => Ok(Self(settings)),
        }
    }
}

impl From<Program> for Settings {
    fn from(Program(settings): Program) -> Self {
        settings
    }
}

impl TryFrom<Vec<String>> for AllowedPrograms {
    type Error = CommandError;

    fn try_from(programs: Vec<String>) -> Result<Self, CommandError> {
        programs.iter().try_for_each(|program| check_program(program))?;
        Ok(Self(programs.into_iter().collect()))
    }
}

fn check_program(program: &str) -> Result<(), CommandError> {
    if program.contains('\0') {
        return Err(CommandError::Nul(program.to_owned()));
    }
    if Path::new(program).is_absolute() {
        Ok(())
    } else {
        Err(CommandError::Relative(program.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refusal(args: Value) -> String {
        serde_json::from_value::<Program>(args).unwrap_err().to_string()
    }

    #[test]
    fn args_are_read_as_they_are_written() {
        let args = json!({"program": "/bin/x", "args": ["-a", ""], "env": {"LANG": "C"}});
        let program: Program = serde_json::from_value(args.clone()).unwrap();
        assert_eq!(serde_json::to_value(program).unwrap(), args);
        let least = json!({"program": "/bin/x"});
        let program: Program = serde_json::from_value(least.clone()).unwrap();
        assert_eq!(serde_json::to_value(program).unwrap(), least);
    }

    #[test]
    fn args_that_no_process_can_be_started_from_are_refused() {
        assert!(refusal(json!({"program": "env"})).contains("no absolute path"));
        assert!(refusal(json!({"args": []})).contains("program"));
        assert!(refusal(json!({"program": "/b", "cwd": "/"})).contains("unknown field `cwd`"));
        assert!(refusal(json!({"program": "/b", "args": ["a\0"]})).contains("NUL"));
        for name in ["LD_PRELOAD", "DYLD_INSERT_LIBRARIES", "", "A=B"] {
            let text = refusal(json!({"program": "/b", "env": {name: "x"}}));
            assert!(text.contains("cannot be set"), "{text}");
        }
    }

    #[test]
    fn kind_is_offered_only_where_a_program_is_allowed() {
        assert!(Command::new(AllowedPrograms::default()).is_none());
        let allowed = AllowedPrograms::try_from(vec!["/bin/true".to_owned()]).unwrap();
        assert!(Command::new(allowed).is_some());
        assert!(AllowedPrograms::try_from(vec!["true".to_owned()]).is_err());
    }
}
