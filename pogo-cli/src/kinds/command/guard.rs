//! Ends a program with the agent that runs it, also where that is killed with -9.
//!
//! The system can do that only for a process that asks for it itself. So the agent starts its own
//! program anew, which asks and then becomes the program.

use std::{ffi::OsString, io};

use clap::Args;

/// The name of the hidden command.
pub(super) const COMMAND: &str = "become-program";

/// What the hidden command is told.
#[derive(Debug, Clone, Args)]
pub struct GuardArgs {
    /// The agent's process id
    pub parent: u32,
    /// The program
    pub program: OsString,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<OsString>,
}

/// Becomes the program; returns only where that fails, with the reason.
#[cfg(unix)]
pub fn become_program(guard: &GuardArgs) -> io::Error {
    use std::os::unix::process::{CommandExt as _, parent_id};

    #[cfg(target_os = "linux")]
    if let Err(error) =
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
    {
        return error.into();
    }
    // The agent may have gone before the wish was heard.
    if parent_id() != guard.parent {
        return io::Error::other("the agent has ended");
    }
    std::process::Command::new(&guard.program).args(&guard.args).exec()
}

/// Becomes the program; returns only where that fails, with the reason.
#[cfg(not(unix))]
pub fn become_program(_: &GuardArgs) -> io::Error {
    io::ErrorKind::Unsupported.into()
}
