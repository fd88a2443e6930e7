//! A fleet: agents of this program as real processes on this machine, for the demo and for
//! measuring.
//!
//! It fills in names, ports and seeds, waits until all see each other, kills with -9 and starts
//! again at the same address. What the agents' children do it reads from the files that the agents
//! write, into a [`Ledger`]. No agent outlives the fleet: dropping it kills them, and should this
//! program itself be killed, their standard input ends, and so do they.

mod address;
mod client;
mod process;
mod spans;
mod usage;

use std::{
    collections::BTreeMap,
    env, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::{join_all, try_join_all};
use pogo::MemberStatus;
use tempfile::TempDir;
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep},
};

use self::{
    address::Place,
    process::{Launch, Process},
    spans::SpanReader,
};
pub use self::{
    address::{Template, TemplateError},
    client::{Client, Count},
    process::Killed,
    spans::SpansError,
    usage::Usage,
};
use crate::{client::ClientError, ledger::Ledger};

/// Why a fleet does not do what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FleetError {
    /// An agent's process cannot be started.
    #[error("cannot start an agent: {program}")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// An agent does not do what it should.
    #[error("agent {name} {what}; its log ends:\n{log}")]
    Agent {
        /// The agent.
        name: String,
        /// What it does, or does not.
        what: &'static str,
        /// The last lines of its log.
        log: String,
    },
    /// An agent does not answer as it should.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The spans cannot be read.
    #[error(transparent)]
    Spans(#[from] SpansError),
    /// The system refused something.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Agents on this machine.
#[derive(Debug)]
pub struct Fleet {
    program: PathBuf,
    template: Template,
    ledger: Ledger,
    reader: Arc<Mutex<SpanReader>>,
    watch: JoinHandle<()>,
    processes: BTreeMap<String, (u64, Process)>,
    places: BTreeMap<String, Place>,
    next_process: u64,
    // Last, so that it is removed after nobody writes there any more.
    dir: TempDir,
}

/// An agent of a fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Its HTTP interface.
    pub client: Client,
}

/// How often the agents' spans are read. The times in them do not depend on it.
const PASS_EVERY: Duration = Duration::from_millis(2);
const LOOK_EVERY: Duration = Duration::from_millis(5);
const TOGETHER_WITHIN: Duration = Duration::from_secs(30);

impl Fleet {
    /// A fleet without agents. Runs of its children are written into `ledger`.
    ///
    /// # Errors
    /// [`FleetError::System`].
    pub fn new(template: Template, ledger: Ledger) -> Result<Self, FleetError> {
        Self::of(env::current_exe()?, template, ledger)
    }

    /// A fleet of agents that are run by `program`.
    ///
    /// # Errors
    /// [`FleetError::System`].
    pub fn of(program: PathBuf, template: Template, ledger: Ledger) -> Result<Self, FleetError> {
        let reader = Arc::new(Mutex::new(SpanReader::new(ledger.clone())));
        let watch = tokio::spawn(read_spans(Arc::clone(&reader)));
        Ok(Self {
            program,
            template,
            ledger,
            reader,
            watch,
            processes: BTreeMap::new(),
            places: BTreeMap::new(),
            next_process: 1,
            dir: tempfile::Builder::new().prefix("pogo-").tempdir()?,
        })
    }

    /// Starts several agents, the first before the others, and waits until all see each other.
    ///
    /// # Errors
    /// [`FleetError`]; agents that have started go on until the fleet is dropped.
    pub async fn start_all(&mut self, names: &[String]) -> Result<(), FleetError> {
        let (first, others) = names.split_at(names.len().min(1));
        for batch in [first, others] {
            self.start_batch(batch).await?;
        }
        self.together().await
    }

    /// Starts one agent, at its former address where it had one, and waits until all see it;
    /// returns how long that took.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn start(&mut self, name: &str) -> Result<Duration, FleetError> {
        let begun = Instant::now();
        self.start_batch(&[name.to_owned()]).await?;
        self.together().await?;
        Ok(begun.elapsed())
    }

    async fn start_batch(&mut self, names: &[String]) -> Result<(), FleetError> {
        let live = |name: &String| self.places.get(name).and_then(|place| place.address);
        let seeds: Vec<_> = self.processes.keys().filter_map(live).collect();
        let mut started = Vec::new();
        for name in names {
            if !self.places.contains_key(name) {
                self.places.insert(name.clone(), self.template.reserve()?);
            }
            let Some(place) = self.places.get_mut(name) else { continue };
            place.release();
            let url = self.template.url(place, &seeds);
            let number = self.next_process;
            self.next_process += 1;
            let file = |what: &str| self.dir.path().join(format!("{number}.{what}"));
            let (spans, log) = (file("spans"), file("log"));
            let program = self.program.as_path();
            started.push(async move {
                Process::start(Launch { program, name, url: &url, spans, log })
                    .await
                    .map(|process| (number, process))
            });
        }
        for (number, process) in try_join_all(started).await? {
            self.reader().add(number, &process.name, &process.spans)?;
            self.processes.insert(process.name.clone(), (number, process));
        }
        Ok(())
    }

    /// Waits until every agent sees every other one take part, and nobody else.
    async fn together(&self) -> Result<(), FleetError> {
        let deadline = Instant::now() + TOGETHER_WITHIN;
        for (_, process) in self.processes.values() {
            while !self.is_seen_whole_by(process).await? {
                if Instant::now() > deadline {
                    return Err(process.failure("does not see all others within 30 s"));
                }
                sleep(LOOK_EVERY).await;
            }
        }
        Ok(())
    }

    async fn is_seen_whole_by(&self, process: &Process) -> Result<bool, FleetError> {
        let seen = Client::new(process.http).members().await?;
        let takes_part = |name: &str| {
            seen.iter().any(|it| it.id.name.as_str() == name && it.status == MemberStatus::Active)
        };
        Ok(seen.len() == self.processes.len() && self.processes.keys().all(|it| takes_part(it)))
    }

    /// Kills an agent as `kill -9` does and returns when it is reaped; `None` where there is none
    /// of that name.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn kill(&mut self, name: &str) -> Result<Option<Killed>, FleetError> {
        let Some((number, process)) = self.processes.remove(name) else { return Ok(None) };
        let spans = process.spans.clone();
        self.reader().expect_death();
        let killed = process.kill().await?;
        self.reader().end_process(number, killed.over_at)?;
        // A demo may run for days.
        remove(&spans);
        Ok(Some(killed))
    }

    /// Kills every agent.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn kill_all(&mut self) -> Result<(), FleetError> {
        let processes = std::mem::take(&mut self.processes).into_values();
        for killed in join_all(processes.map(|(_, process)| process.kill())).await {
            killed?;
        }
        Ok(())
    }

    /// Asks every agent to end, and kills those that do not.
    pub async fn stop(&mut self) {
        let processes = std::mem::take(&mut self.processes).into_values();
        join_all(processes.map(|(_, process)| process.stop())).await;
    }

    /// The agents that run, by name.
    pub fn members(&self) -> Vec<Member> {
        let member = |(_, process): &(u64, Process)| Member {
            name: process.name.clone(),
            pid: process.pid(),
            client: Client::new(process.http),
        };
        self.processes.values().map(member).collect()
    }

    /// An agent that runs.
    pub fn member(&self, name: &str) -> Option<Member> {
        self.members().into_iter().find(|member| member.name == name)
    }

    /// Where the runs of the children are written.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Reads all spans that are written up to now.
    ///
    /// # Errors
    /// [`FleetError::Spans`], also of what was read in the background.
    pub fn read_spans(&self) -> Result<(), FleetError> {
        Ok(self.reader().pass()?)
    }

    fn reader(&self) -> MutexGuard<'_, SpanReader> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// Reads spans as they are written.
async fn read_spans(reader: Arc<Mutex<SpanReader>>) {
    let mut passes = interval(PASS_EVERY);
    passes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        passes.tick().await;
        // What cannot be read stays so, and the next who asks is told.
        if reader.lock().unwrap_or_else(PoisonError::into_inner).pass().is_err() {
            return;
        }
    }
}

fn remove(path: &Path) {
    // It goes with its folder at the latest.
    drop(std::fs::remove_file(path));
}
