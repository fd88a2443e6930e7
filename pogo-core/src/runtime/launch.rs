//! The driver's thread: joins, hands out the handle, and runs until the member has left (R24).

use std::{io, sync::Arc, sync::Once, thread, time::Duration};

use tokio::{
    runtime::{self, Handle},
    sync::{mpsc, oneshot, watch},
    time::sleep,
};

use super::{
    clock::SystemClock,
    driver::{Command, Driver, Inbox},
    error::StartError,
    events::Observers,
    kind::Kinds,
    runs::Runs,
    session::{Joining, Line},
    supervisor::Inner,
};
use crate::{
    membership::{Backoff, Session},
    node::{Config, Node, Reply, Request, StartChildError, StartMode},
    spec::ChildSpec,
    time::Clock,
};

/// Checked settings.
pub(super) struct Plan {
    pub(super) joining: Joining,
    pub(super) config: Config,
    pub(super) kinds: Kinds,
    pub(super) children: Vec<ChildSpec>,
    pub(super) clock: Arc<SystemClock>,
    /// Where the children run.
    pub(super) runtime: Handle,
    pub(super) abort_past_deadline: bool,
}

/// Whoever waits for the start.
type Report = oneshot::Sender<Result<Inner, StartError>>;

/// Starts the thread and waits for the join.
pub(super) async fn launch(plan: Plan) -> Result<Inner, StartError> {
    warn_where_panics_abort();
    let (report, started) = oneshot::channel();
    thread::Builder::new()
        .name("pogo-driver".to_owned())
        .spawn(move || drive(plan, report))
        .map_err(|source| StartError::System { what: "a thread", source })?;
    started.await.unwrap_or_else(|_| {
        let source = io::Error::other("it panicked during the join");
        Err(StartError::System { what: "the driver's thread", source })
    })
}

fn drive(plan: Plan, report: Report) {
    match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let ended = runtime.block_on(serve(plan, report));
            drop(runtime);
            // Last of all: this is what `shutdown` waits for.
            drop(ended);
        }
        Err(source) => {
            drop(report.send(Err(StartError::System { what: "a runtime", source })));
        }
    }
}

async fn serve(plan: Plan, mut report: Report) -> Option<watch::Sender<bool>> {
    let joined = tokio::select! {
        joined = plan.joining.first() => joined,
        () = report.closed() => return None,
    };
    let (driver, inner) = match joined {
        Ok(session) => assemble(plan, session),
        Err(error) => {
            drop(report.send(Err(error)));
            return None;
        }
    };
    // Where the starter has gone, so has the only handle, and the driver leaves at once.
    drop(report.send(Ok(inner)));
    Some(driver.run().await)
}

fn assemble(plan: Plan, session: Session) -> (Driver, Inner) {
    let me = session.me.clone();
    let (boot, seed) = (plan.joining.join.boot, plan.joining.seed);
    let (command_sender, commands) = mpsc::unbounded_channel();
    let (notice_sender, notices) = mpsc::unbounded_channel();
    let (ready_sender, ready) = watch::channel(false);
    if !plan.children.is_empty() {
        let commands = command_sender.downgrade();
        tokio::spawn(put_initial(commands, plan.children, seed));
    }
    let driver = Driver {
        node: Node::new(plan.config, boot, seed, plan.clock.now()),
        clock: plan.clock,
        capabilities: plan.joining.membership.capabilities(),
        me,
        line: Line::new(plan.joining, session),
        runs: Runs::new(plan.kinds.clone(), plan.runtime, notice_sender)
            .abort_past_deadline(plan.abort_past_deadline),
        notices,
        inbox: Inbox::new(commands),
        observers: Observers::new(),
        ready: ready_sender,
    };
    (driver, Inner { commands: command_sender, ready, kinds: plan.kinds })
}

/// Puts the initial children (R20), trying again for those that the backend did not take.
async fn put_initial(
    commands: mpsc::WeakUnboundedSender<Command>,
    mut specs: Vec<ChildSpec>,
    seed: u64,
) {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    loop {
        let request = Request::Start {
            specs: specs.clone(),
            mode: StartMode::Initial,
            all_or_nothing: false,
        };
        let (reply, answer) = oneshot::channel();
        let sent = commands.upgrade().map(|sender| sender.send(Command::Client(request, reply)));
        let (Some(Ok(())), Ok(Reply::Started(results))) = (sent, answer.await) else { return };
        let outcomes = specs.into_iter().zip(results);
        specs =
            outcomes.filter_map(|(spec, result)| try_again(spec, result.as_ref().err()?)).collect();
        if specs.is_empty() {
            return;
        }
        sleep(backoff.next_delay(seed)).await;
    }
}

fn try_again(spec: ChildSpec, error: &StartChildError) -> Option<ChildSpec> {
    tracing::warn!(child = %spec.id, %error, "initial child was not accepted");
    matches!(error, StartChildError::Request(request) if request.is_retryable()).then_some(spec)
}

/// Catching a child's panic is void where panics abort the process.
fn warn_where_panics_abort() {
    static WARNED: Once = Once::new();
    if cfg!(panic = "abort") {
        WARNED.call_once(|| {
            tracing::warn!("built with panic = \"abort\": a child's panic ends the process");
        });
    }
}
