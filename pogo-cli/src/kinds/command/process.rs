//! A process and what it starts: one group, which ends as a whole.

use std::{ffi::OsString, io, process::Stdio};

use pogo::Exit;
use tokio::process::Child;

use super::Settings;

/// A process under way; what is left of its group is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    group: Group,
}

impl Process {
    /// Starts it; that the program cannot be run shows only as its exit.
    pub(super) fn start(settings: &Settings) -> io::Result<Self> {
        let child = command(settings)?.spawn()?;
        let group = Group::of(&child);
        Ok(Self { child, group })
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) {
        self.group.terminate();
    }

    /// Waits for its end.
    pub(super) async fn exit(&mut self) -> Exit {
        let status = self.child.wait().await?;
        // It says "exit status: 3" or "signal: 9 (SIGKILL)".
        if status.success() { Ok(()) } else { Err(status.to_string().into()) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.group.kill();
    }
}

#[cfg(unix)]
fn command(settings: &Settings) -> io::Result<tokio::process::Command> {
    use std::os::fd::AsFd as _;

    // The agent's standard output is for those who started it.
    let output = io::stderr().as_fd().try_clone_to_owned()?;
    // This very program, also where its file was replaced meanwhile.
    let own =
        if cfg!(target_os = "linux") { "/proc/self/exe".into() } else { std::env::current_exe()? };
    let mut command = tokio::process::Command::new(own);
    command
        .arg(super::guard::COMMAND)
        .arg(std::process::id().to_string())
        .arg(&settings.program)
        .arg("--")
        .args(&settings.args)
        .stdin(Stdio::null())
        .stdout(output)
        .process_group(0)
        .kill_on_drop(true);
    set_environment(&mut command, settings);
    Ok(command)
}

#[cfg(not(unix))]
fn command(settings: &Settings) -> io::Result<tokio::process::Command> {
    let mut command = tokio::process::Command::new(&settings.program);
    command.args(&settings.args).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    set_environment(&mut command, settings);
    Ok(command)
}

/// The agent's own environment without its settings, among them the token; then the child's.
fn set_environment(command: &mut tokio::process::Command, settings: &Settings) {
    let is_ours = |name: &OsString| name.to_string_lossy().starts_with("POGO_");
    command
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| !is_ours(name)))
        .envs(&settings.env);
}

/// A process group by the id of its first process.
#[cfg(unix)]
#[derive(Debug)]
struct Group(Option<rustix::process::Pid>);

#[cfg(unix)]
impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(rustix::process::Pid::from_raw))
    }

    fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    fn kill(&self) {
        self.signal(rustix::process::Signal::KILL);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        if let Some(group) = self.0 {
            // Where nothing of it is left there is nobody to tell.
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }
}

/// Where there are no groups the process itself is killed as its handle is dropped.
#[cfg(not(unix))]
#[derive(Debug)]
struct Group;

#[cfg(not(unix))]
impl Group {
    fn of(_: &Child) -> Self {
        Self
    }

    fn terminate(&self) {}

    fn kill(&self) {}
}
