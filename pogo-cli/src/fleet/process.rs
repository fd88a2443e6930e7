//! One agent as a process: started, waited for, killed, reaped.

use std::{
    env,
    fs::{self, File},
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;
use tokio::{sync::oneshot, task::spawn_blocking, time::timeout};

use super::FleetError;
use crate::clock::monotonic;

/// What an agent is started with.
#[derive(Debug)]
pub(super) struct Launch<'a> {
    pub(super) program: &'a Path,
    pub(super) name: &'a str,
    pub(super) url: &'a str,
    pub(super) spans: PathBuf,
    pub(super) log: PathBuf,
}

/// An agent that runs. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) name: String,
    pub(super) http: SocketAddr,
    pub(super) spans: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

/// The end of a process, on the machine's monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Killed {
    /// Right before the signal.
    pub at: Duration,
    /// Right after the signal: from then on none of its threads runs code of its own. Its sockets
    /// close later, and it is reaped later still, when others may have taken over already.
    pub over_at: Duration,
}

#[derive(Deserialize)]
struct Ready {
    event: String,
    http: SocketAddr,
}

const READY_WITHIN: Duration = Duration::from_secs(30);
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// Lines of an agent's log that an error shows.
const TAIL: usize = 20;

impl Process {
    /// Starts an agent and waits until it serves.
    pub(super) async fn start(launch: Launch<'_>) -> Result<Self, FleetError> {
        let mut child = spawn(&launch)
            .map_err(|source| FleetError::Spawn { program: launch.program.to_owned(), source })?;
        let stdout = child.stdout.take();
        let placeholder = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut process = Self {
            name: launch.name.to_owned(),
            http: placeholder,
            spans: launch.spans,
            log: launch.log,
            child: Some(child),
        };
        let ready = stdout.map(listen);
        let heard = async {
            match ready {
                Some(ready) => ready.await.ok(),
                None => None,
            }
        };
        match timeout(READY_WITHIN, heard).await {
            Ok(Some(http)) => {
                process.http = http;
                Ok(process)
            }
            Ok(None) => Err(process.failure("ended before it was ready")),
            Err(_) => Err(process.failure("was not ready within 30 s")),
        }
    }

    /// The process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Kills the process as `kill -9` does, and reaps it.
    pub(super) async fn kill(mut self) -> io::Result<Killed> {
        let child = self.child.take();
        // A thread of its own waits, so that the times are right whatever else there is to do.
        let reaped = spawn_blocking(move || {
            let at = monotonic();
            let Some(mut child) = child else { return Ok(Killed { at, over_at: at }) };
            child.kill()?;
            let over_at = monotonic();
            child.wait()?;
            Ok(Killed { at, over_at })
        });
        reaped.await.map_err(io::Error::other)?
    }

    /// Asks the process to end, and kills it where it does not.
    pub(super) async fn stop(mut self) {
        let child = self.child.take();
        let stopped = spawn_blocking(move || child.map(end));
        // Where it cannot be waited for, this program is ending.
        drop(stopped.await);
    }

    /// What went wrong, with the end of the log.
    pub(super) fn failure(&self, what: &'static str) -> FleetError {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines.iter().skip(lines.len().saturating_sub(TAIL)).copied();
        FleetError::Agent {
            name: self.name.clone(),
            what,
            log: tail.collect::<Vec<_>>().join("\n"),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // One that is gone already needs neither.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn spawn(launch: &Launch<'_>) -> io::Result<Child> {
    let log = File::create(&launch.log)?;
    File::create(&launch.spans)?;
    let mut command = Command::new(launch.program);
    command
        .args(["agent", "--json", "--until-stdin-closes", "--http", "127.0.0.1:0"])
        .args(["--name", launch.name, "--backend", launch.url])
        .arg("--spans")
        .arg(&launch.spans)
        // It closes with this program, however that ends.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log);
    // What is set for an agent of this machine is not meant for these.
    for (variable, _) in env::vars_os() {
        let is_setting = variable.to_str().is_some_and(|name| name.starts_with("POGO_"));
        if is_setting && variable != "POGO_LOG" {
            command.env_remove(variable);
        }
    }
    // Ctrl-C at the terminal is for this program alone.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn()
}

/// Where the agent serves, once it says so; what it says after that is read and dropped.
fn listen(stdout: ChildStdout) -> oneshot::Receiver<SocketAddr> {
    let (tell, told) = oneshot::channel();
    thread::spawn(move || {
        let mut tell = Some(tell);
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let ready = serde_json::from_str(&line).ok().filter(|it: &Ready| it.event == "ready");
            if let Some((ready, tell)) = ready.and_then(|ready| Some((ready, tell.take()?))) {
                // Whoever waited may have given up.
                let _ = tell.send(ready.http);
            }
        }
    });
    told
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    let deadline = Instant::now() + STOP_WITHIN;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(None) => thread::sleep(Duration::from_millis(5)),
            Ok(Some(_)) => return,
            Err(_) => break,
        }
    }
    drop(child.kill());
    drop(child.wait());
}
