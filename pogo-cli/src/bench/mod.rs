//! `pogo bench`: how fast a cluster of real processes is, and whether it keeps its promises.

mod options;
mod report;
mod traffic;
mod trial;

use std::{
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use pogo::{AllBackends, BackendError, Backends, IdError, SpecError};

pub use self::options::{BenchArgs, Scenario};
use self::{
    report::{Printer, Row},
    traffic::Meter,
    trial::Plan,
};
use crate::{
    client::ClientError,
    fleet::{FleetError, Template, TemplateError},
    interrupts::Interrupts,
    verdict::Verdict,
};

/// Why a bench did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The backend's URL is not acceptable. Nothing was started.
    #[error("--backend")]
    Backend(#[from] BackendError),
    /// The backend's URL leaves nothing to fill in. Nothing was started.
    #[error("--backend")]
    Template(#[from] TemplateError),
    /// The scenario is not there.
    #[error(
        "--scenario heal is not there yet, for it needs faults of the network; the simulator heals divisions in virtual time"
    )]
    Heal,
    /// Too few agents for the scenario.
    #[error("--scenario {scenario} needs --nodes {least} at least")]
    Nodes {
        /// The scenario.
        scenario: Scenario,
        /// The fewest agents.
        least: u16,
    },
    /// There is nothing to measure.
    #[error("--scenario {scenario} needs --children 1 at least")]
    Children {
        /// The scenario.
        scenario: Scenario,
    },
    /// Too short to say anything.
    #[error("--for must be 1s at least")]
    Looks,
    /// An agent does not do what it should.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// An agent does not answer as it should.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A child's spec is not acceptable.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A name is not acceptable.
    #[error(transparent)]
    Id(#[from] IdError),
    /// Not every child came to run.
    #[error("only {running} of {children} children run after 60 s")]
    NotRunning {
        /// Children that run.
        running: usize,
        /// Children that were asked for.
        children: usize,
    },
    /// An agent does not see what there is.
    #[error("{name} lists only {running} children as running after 60 s")]
    NotVisible {
        /// The agent.
        name: String,
        /// How many it lists.
        running: usize,
    },
    /// No agent lives.
    #[error("no agent lives")]
    NoMember,
    /// Nobody counts what goes over the backend.
    #[error(
        "--scenario idle needs somebody who counts bytes, and over {scheme}:// nobody does who can be read: measure over gossip:// or etcd://"
    )]
    NoMeter {
        /// The backend's scheme.
        scheme: String,
    },
    /// Whoever should count bytes does not.
    #[error("there is no {counter} among the metrics")]
    NoCounter {
        /// What is missing.
        counter: &'static str,
    },
    /// Somebody wanted it to end.
    #[error("interrupted before the end")]
    Interrupted,
    /// The system refused something.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl BenchError {
    /// Whether the command itself is at fault, and nothing was started.
    pub const fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Backend(_)
                | Self::Template(_)
                | Self::Heal
                | Self::Nodes { .. }
                | Self::Children { .. }
                | Self::Looks
                | Self::NoMeter { .. }
        )
    }
}

/// Runs all trials and prints each on standard output as it ends.
///
/// # Errors
/// [`BenchError`]; nothing is left running.
pub async fn run(args: BenchArgs) -> Result<Verdict, BenchError> {
    let plan = plan(&args)?;
    let mut interrupts = Interrupts::listen()?;
    let mut printer = Printer::new(args.json);
    let mut verdict = Verdict::Kept;
    for number in 1..=args.trials {
        let figures = tokio::select! {
            figures = plan.run(number) => figures?,
            () = interrupts.next() => return Err(BenchError::Interrupted),
        };
        if !figures.is_clean() {
            verdict = Verdict::Broken;
        }
        printer.add(Row {
            scenario: args.scenario.to_string(),
            backend: plan.template.scheme().to_owned(),
            nodes: args.nodes,
            children: args.children,
            trial: number,
            figures,
        })?;
    }
    printer.close()?;
    Ok(verdict)
}

fn plan(args: &BenchArgs) -> Result<Plan, BenchError> {
    let scenario = args.scenario;
    if scenario == Scenario::Heal {
        return Err(BenchError::Heal);
    }
    let least = scenario.least_nodes();
    if args.nodes < least {
        return Err(BenchError::Nodes { scenario, least });
    }
    if args.children == 0 && scenario != Scenario::Idle {
        return Err(BenchError::Children { scenario });
    }
    if args.looks < Duration::from_secs(1) {
        return Err(BenchError::Looks);
    }
    let template = Template::new(&args.backend)?;
    AllBackends::open(&args.backend)?;
    let meter = Meter::of(&args.backend)?;
    if scenario == Scenario::Idle && meter.is_none() {
        return Err(BenchError::NoMeter { scheme: template.scheme().to_owned() });
    }
    let mark = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let (nodes, children, looks) = (args.nodes, args.children, args.looks);
    Ok(Plan { scenario, template, nodes, children, looks, meter, mark })
}
