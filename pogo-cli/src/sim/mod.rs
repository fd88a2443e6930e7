//! `pogo sim`: whole clusters in virtual time, judged by laws.

mod batch;
mod failing;
mod options;
mod single;
mod tell;

use std::{
    io,
    num::{NonZeroU64, NonZeroUsize},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::available_parallelism,
    time::Instant,
};

use pogo_sim::{
    plan::{BackendKind, PlanError},
    runner::{self, Cases, Source},
    scenario,
};

pub use self::options::{Mode, SimArgs, Span, SpanError};
use self::{batch::Batch, failing::Failing, tell::Teller};
use crate::{interrupts::Interrupts, verdict::Verdict};

/// Sizes of clusters where nobody says otherwise.
const NODES: Span = Span { first: 2, last: 7 };
const CHILDREN: Span = Span { first: 5, last: 40 };
const SECONDS: u64 = 60;
/// Seeds where nobody says otherwise.
const SEEDS: Span = Span { first: 0, last: 999 };
/// What one cluster can have.
const MOST_NODES: u64 = 200;
const MOST_CHILDREN: u64 = 100_000;

/// Why nothing was simulated to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// There is no such scenario.
    #[error("no scenario {name:?}; there are {}", names.join(", "))]
    Scenario {
        /// What was asked for.
        name: String,
        /// What there is.
        names: Vec<&'static str>,
    },
    /// No backend that was asked for offers the mode.
    #[error("no {mode} children on {backend}: it has no claims")]
    Mode {
        /// The mode.
        mode: runner::Mode,
        /// The backend.
        backend: BackendKind,
    },
    /// A cluster cannot be so small or so large.
    #[error("--{flag} must be within {least} and {most}")]
    Size {
        /// Which flag.
        flag: &'static str,
        /// The fewest.
        least: u64,
        /// The most.
        most: u64,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds no plan.
    #[error("{} is no plan", path.display())]
    Plan {
        /// Which.
        path: PathBuf,
        /// Why.
        source: PlanError,
    },
    /// The system refused something.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl SimError {
    /// Whether the command itself is at fault, and nothing was run.
    pub const fn is_usage(&self) -> bool {
        !matches!(self, Self::System(_))
    }
}

/// Which Pogo this is.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    /// Its version.
    pub version: &'static str,
    /// Its commit, where whoever built it said so.
    pub commit: Option<&'static str>,
}

/// Does what the flags say and prints what comes out.
///
/// # Errors
/// [`SimError`].
pub async fn run(args: SimArgs, build: Build) -> Result<Verdict, SimError> {
    let failing =
        Failing { folder: args.save.clone(), shrinks: !args.no_shrink, sizes: sizes(&args), build };
    if let Some(path) = &args.plan {
        return single::run(path, &args, &failing);
    }
    let cases = cases(&args)?;
    let seeds = args.seeds.unwrap_or(match args.minutes {
        Some(_) => Span { first: 0, last: u64::MAX - 1 },
        None => SEEDS,
    });
    if args.print {
        single::print(&cases.case(seeds.first).plan)?;
        return Ok(Verdict::Kept);
    }
    let mut interrupts = Interrupts::listen()?;
    let ends = Arc::new(AtomicBool::new(false));
    let batch = Batch {
        cases,
        seeds: seeds.first..seeds.last.saturating_add(1),
        jobs: args.jobs.unwrap_or_else(|| available_parallelism().unwrap_or(NonZeroUsize::MIN)),
        repeat_every: if args.check_determinism { NonZeroU64::MIN } else { runner::REPEAT_EVERY },
        until: args.minutes.map(|minutes| Instant::now() + minutes),
        ends: Arc::clone(&ends),
        coverage: args.coverage,
        failing,
        teller: Teller::new(args.json),
    };
    // Nothing in it waits for anything but itself.
    let mut batch = tokio::task::spawn_blocking(|| batch.run());
    let done = loop {
        tokio::select! {
            done = &mut batch => break done,
            () = interrupts.next() => ends.store(true, Ordering::Relaxed),
        }
    };
    done.map_err(|error| SimError::System(io::Error::other(error)))?
}

/// The flags from which a seed of a random cluster draws its sizes.
fn sizes(args: &SimArgs) -> String {
    if args.scenario.is_some() {
        return String::new();
    }
    let flag = |name, span: Option<Span>| span.map(|span| format!(" --{name} {span}"));
    let flags = [flag("nodes", args.nodes), flag("children", args.children)];
    let seconds = (args.seconds != SECONDS).then(|| format!(" --seconds {}", args.seconds));
    flags.into_iter().flatten().chain(seconds).collect()
}

fn cases(args: &SimArgs) -> Result<Cases, SimError> {
    let source = match &args.scenario {
        None => Source::Cluster,
        Some(name) => Source::Scenario(scenario::find(name).ok_or_else(|| SimError::Scenario {
            name: name.clone(),
            names: scenario::ALL.iter().map(|scenario| scenario.name).collect(),
        })?),
    };
    // A scenario says itself what its children promise.
    let mode = args.scenario.as_ref().map(|_| runner::Mode::Available);
    let mode = args.mode.map(runner::Mode::from).or(mode);
    let kinds = Cases::kinds(mode, args.backend);
    if let (true, Some(mode), Some(backend)) = (kinds.is_empty(), mode, args.backend) {
        return Err(SimError::Mode { mode, backend });
    }
    let size = |flag, span: Option<Span>, default: Span, least, most| {
        let span = span.unwrap_or(default);
        let fits = least <= span.first && span.last <= most;
        if fits { Ok(span.range()) } else { Err(SimError::Size { flag, least, most }) }
    };
    Ok(Cases {
        source,
        kinds,
        nodes: size("nodes", args.nodes, NODES, 2, MOST_NODES)?,
        children: size("children", args.children, CHILDREN, 1, MOST_CHILDREN)?,
        seconds: args.seconds,
    })
}
