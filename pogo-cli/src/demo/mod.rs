//! `pogo demo`: what Pogo does, in one command.
//!
//! A director runs the script and tells events; the stage here shows them, draws the table, and
//! listens for Ctrl-C.

mod cast;
mod cluster;
mod crash;
mod director;
mod event;
mod line;
mod options;
mod picture;
mod processes;
mod screen;
mod service_report;

use std::{io, time::Duration};

use pogo::{
    AllBackends, Backend, BackendError, Backends, SpecError, StartChildError, StartError, Stopped,
};
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};

pub use self::options::DemoArgs;
use self::{
    cast::Cast,
    cluster::Cluster,
    director::{Director, Script, Told},
    event::Event,
    picture::{Frame, Picture},
    screen::Screen,
    service_report::ServiceReport,
};
use crate::{
    client::ClientError,
    fleet::{Fleet, FleetError, Template, TemplateError},
    interrupts::Interrupts,
    kinds::service_monitor::{Board, Service, ServiceMonitor},
    ledger::Ledger,
    services::{self, LocalServices, ServicesError},
    verdict::Verdict,
};

/// Why a demo did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The services file cannot be used. Nothing was started.
    #[error(transparent)]
    Services(#[from] ServicesError),
    /// The backend's URL is not acceptable. Nothing was started.
    #[error("--backend")]
    Backend(#[from] BackendError),
    /// The backend's URL leaves nothing to fill in. Nothing was started.
    #[error("--backend")]
    Template(#[from] TemplateError),
    /// The flags contradict each other. Nothing was started.
    #[error("{0}")]
    Flags(&'static str),
    /// A member did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A member stopped by itself.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// A child's spec is not acceptable.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The children were not accepted.
    #[error(transparent)]
    Child(#[from] StartChildError),
    /// An agent does not do what it should.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// An agent does not answer as it should.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Not every child came to run.
    #[error("only {running} of {children} children run after 30 s")]
    NotRunning {
        /// Children that run.
        running: usize,
        /// Children that were asked for.
        children: usize,
    },
    /// No member lives.
    #[error("no member lives")]
    NoMember,
    /// Interrupted again while it was ending.
    #[error("interrupted before the end")]
    Interrupted,
    /// The system refused something.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl DemoError {
    /// Whether the command itself is at fault, and nothing was started.
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Services(_) | Self::Backend(_) | Self::Template(_) | Self::Flags(_))
    }
}

/// A member that dies within a second after a child's start is a strike against the child (R11);
/// twice that keeps a demo of crashes from looking like a demo of poison.
const LEAST_PAUSE: Duration = Duration::from_secs(2);

const FRAME: Duration = Duration::from_millis(200);

/// Runs a demo to its end and tells on standard output how it goes.
///
/// # Errors
/// [`DemoError`]; nothing is left running.
pub async fn run(args: DemoArgs) -> Result<Verdict, DemoError> {
    let kill_every = Some(args.kill_every).filter(|every| !every.is_zero());
    check_kills(args.nodes, kill_every)?;
    let place = Place::of(&args.backend)?;
    let (services, local) = open_services(&args).await?;
    let script = Script {
        backend: args.backend,
        members: (1..=args.nodes).map(|number| format!("pogo-{number}")).collect(),
        children: args.children.map_or(services.len(), usize::from),
        services,
        kill_every,
        lasts: args.lasts,
    };
    let verdict = match place {
        Place::Here(backend) => {
            let monitor = ServiceMonitor::default();
            let (ledger, board) = (monitor.ledger.clone(), Some(monitor.board.clone()));
            play(script, Cluster::new(backend, monitor), ledger, board, args.json).await
        }
        Place::Processes(template) => {
            let ledger = Ledger::default();
            let fleet = Fleet::new(template, ledger.clone())?;
            play(script, fleet, ledger, None, args.json).await
        }
    };
    drop(local);
    verdict
}

/// Where the members are.
enum Place {
    Here(Backend),
    Processes(Template),
}

impl Place {
    fn of(url: &str) -> Result<Self, DemoError> {
        let backend = AllBackends::open(url)?;
        if url.starts_with("memory://") {
            Ok(Self::Here(backend))
        } else {
            Ok(Self::Processes(Template::new(url)?))
        }
    }
}

async fn play(
    script: Script,
    cast: impl Cast,
    ledger: Ledger,
    board: Option<Board>,
    json: bool,
) -> Result<Verdict, DemoError> {
    let stage = Stage::new(&script, &ledger, board.as_ref(), json)?;
    let (tell, told) = mpsc::unbounded_channel();
    stage.show(Director::new(script, cast, ledger, board, tell), told).await
}

fn check_kills(nodes: u16, kill_every: Option<Duration>) -> Result<(), DemoError> {
    match kill_every {
        Some(_) if nodes == 1 => Err(DemoError::Flags(
            "a single member has nobody to take over: use --kill-every 0, or --nodes 2 or more",
        )),
        Some(every) if every < LEAST_PAUSE => Err(DemoError::Flags(
            "--kill-every must be 0, or 2s at least: a child that is seen starting each time a member dies is taken for the cause and quarantined",
        )),
        _ => Ok(()),
    }
}

/// The services of the file, or local ones, which end when the second value is dropped.
async fn open_services(
    args: &DemoArgs,
) -> Result<(Vec<Service>, Option<LocalServices>), DemoError> {
    let monitors = args.children.map_or(usize::MAX, usize::from);
    if let Some(path) = &args.services {
        let mut services = services::read(path)?;
        services.truncate(monitors);
        return Ok((services, None));
    }
    let local = LocalServices::open(gentle_interval(args.children.map_or(0, usize::from))).await?;
    let services = local.services().iter().take(monitors).cloned().collect();
    Ok((services, Some(local)))
}

/// Once a second, and more seldom where that were more than 500 probes a second in all.
fn gentle_interval(monitors: usize) -> Duration {
    Duration::from_millis(2)
        .saturating_mul(u32::try_from(monitors).unwrap_or(u32::MAX))
        .max(Duration::from_secs(1))
}

/// What the demo looks like.
#[derive(Debug)]
struct Stage {
    screen: Screen,
    picture: Picture,
    ledger: Ledger,
    board: Option<Board>,
    services: Vec<Service>,
    children: usize,
    verdict: Verdict,
}

impl Stage {
    fn new(
        script: &Script,
        ledger: &Ledger,
        board: Option<&Board>,
        json: bool,
    ) -> Result<Self, DemoError> {
        let title = format!(
            "{} members, {} children, {}",
            script.members.len(),
            script.children,
            script.backend
        );
        Ok(Self {
            screen: Screen::open(json)?,
            picture: Picture::new(title, script.members.clone()),
            ledger: ledger.clone(),
            board: board.cloned(),
            services: script.services.clone(),
            children: script.children,
            verdict: Verdict::Broken,
        })
    }

    async fn show(
        mut self,
        director: Director<impl Cast>,
        mut told: mpsc::UnboundedReceiver<Told>,
    ) -> Result<Verdict, DemoError> {
        let stop = watch::Sender::new(false);
        let mut script = std::pin::pin!(director.run(stop.subscribe()));
        let mut interrupts = Interrupts::listen()?;
        let mut frames = interval(FRAME);
        frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let outcome = loop {
            tokio::select! {
                outcome = &mut script => break outcome,
                Some((at, event)) = told.recv() => self.tell(at, &event)?,
                _ = frames.tick() => self.draw()?,
                () = interrupts.next() => {
                    if stop.send_replace(true) {
                        return Err(DemoError::Interrupted);
                    }
                }
            }
        };
        self.screen = self.screen.close();
        while let Ok((at, event)) = told.try_recv() {
            self.tell(at, &event)?;
        }
        outcome.map(|()| self.verdict)
    }

    fn tell(&mut self, at: Duration, event: &Event) -> io::Result<()> {
        if let Event::Summary(summary) = event
            && summary.is_clean()
        {
            self.verdict = Verdict::Kept;
        }
        self.picture.observe(at, event);
        self.screen.tell(at, event)
    }

    fn draw(&self) -> io::Result<()> {
        self.screen.draw(&self.picture, || Frame {
            at: self.ledger.now(),
            children: self.children,
            by_member: self.ledger.by_member(),
            duplicates: self.ledger.overlaps(),
            services: self.board.as_ref().map(|board| ServiceReport::all(&self.services, board)),
        })
    }
}
