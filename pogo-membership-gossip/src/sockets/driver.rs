//! The thread of a transport: it feeds the engine, carries out what it says, and waits.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use pogo_core::{
    id::{BootId, ClusterName, MemberId, Scope},
    membership::{Event, MemberMetadata, MembershipError, NameChoice},
    node::{Answer, MembershipRequest},
    record::Key,
    runtime::SystemClock,
    time::{Clock, Timestamp},
};
use tokio::{
    runtime,
    sync::{mpsc, oneshot, watch},
    task::yield_now,
    time::sleep,
};

use super::{
    accept::random,
    bind::{self, misconfigured},
    contacts::ContactBoard,
    network::{Network, Patience},
    traffic::{Counters, Traffic},
};
use crate::{
    config::GossipConfig,
    engine::{CallId, Config, Engine, Input, Output, SessionId},
    peer::PeerId,
    timing::Timing,
    wire::Realm,
};

/// How many inputs are taken in before what they led to gets its turn.
const INPUTS_IN_A_ROW: usize = 256;

/// How long the last words of a transport may take to get out.
const FAREWELL: Duration = Duration::from_millis(300);

/// What makes two transports the same one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) config: GossipConfig,
    pub(crate) cluster: ClusterName,
}

/// A running transport. It ends when the last of these is dropped.
#[derive(Debug)]
pub(crate) struct Transport {
    commands: mpsc::UnboundedSender<Command>,
    addr: SocketAddr,
    counters: Arc<Counters>,
    sessions: AtomicU64,
}

/// What sessions ask of the thread.
#[derive(Debug)]
pub(crate) enum Command {
    /// Join, and hear of it and of all that follows.
    Join {
        join: Box<Joining>,
        events: mpsc::UnboundedSender<Event>,
        contacts: Arc<ContactBoard>,
        reply: JoinReply,
    },
    /// A request, and who waits for its answer.
    Ask { session: SessionId, request: MembershipRequest, reply: oneshot::Sender<Answer> },
    /// Ask all others for round trips, or no more.
    ProbeAll { session: SessionId, on: bool },
    /// Read owned records.
    Owned { session: SessionId, member: MemberId, keys: Vec<Key>, reply: OwnedReply },
    /// Nobody is interested in the session any more.
    Drop(SessionId),
}

/// What a session brings.
#[derive(Debug)]
pub(crate) struct Joining {
    pub(crate) session: SessionId,
    pub(crate) scope: Scope,
    pub(crate) name: NameChoice,
    pub(crate) boot: BootId,
    pub(crate) metadata: MemberMetadata,
    pub(crate) within: Duration,
}

pub(crate) type JoinReply = oneshot::Sender<Result<MemberId, MembershipError>>;
pub(crate) type OwnedReply = oneshot::Sender<Result<Vec<Option<Bytes>>, MembershipError>>;

impl Transport {
    /// Hands something to the thread.
    ///
    /// # Errors
    /// [`MembershipError::SessionEnded`] where the thread has ended.
    pub(crate) fn tell(&self, command: Command) -> Result<(), MembershipError> {
        self.commands.send(command).map_err(|_command| MembershipError::SessionEnded)
    }

    /// Names a new session.
    pub(crate) fn new_session(&self) -> SessionId {
        SessionId(self.sessions.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether the thread runs.
    pub(crate) fn is_running(&self) -> bool {
        !self.commands.is_closed()
    }

    /// Where the others reach it.
    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn traffic(&self) -> Traffic {
        self.counters.read()
    }
}

/// Starts a transport. `ended` tells when its sockets are closed: all of its senders are gone then.
///
/// # Errors
/// [`MembershipError`]; nothing is left open.
///
/// # Cancel safety
/// Dropping the future ends the transport.
pub(crate) async fn start(
    settings: Settings,
    ended: watch::Sender<()>,
) -> Result<Transport, MembershipError> {
    let (report, started) = oneshot::channel();
    thread::Builder::new()
        .name("pogo-gossip".to_owned())
        .spawn(move || run(settings, report, ended))
        .map_err(|error| no_resources("a thread", &error))?;
    started.await.unwrap_or_else(|_gone| {
        Err(no_resources("a thread", &io::Error::other("it panicked as it began")))
    })
}

type Report = oneshot::Sender<Result<Transport, MembershipError>>;

fn run(settings: Settings, report: Report, ended: watch::Sender<()>) {
    match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            runtime.block_on(serve(settings, report));
            // A name that is being looked up is not waited for.
            runtime.shutdown_background();
        }
        Err(error) => drop(report.send(Err(no_resources("a runtime", &error)))),
    }
    drop(ended);
}

fn no_resources(what: &str, error: &io::Error) -> MembershipError {
    misconfigured(format!("the system gives it no {what}: {error}"))
}

async fn serve(settings: Settings, mut report: Report) {
    let opened = tokio::select! {
        opened = Driver::open(settings) => opened,
        () = report.closed() => return,
    };
    match opened {
        Ok((driver, transport)) => {
            // Where the starter has gone, so has the only sender of commands.
            drop(report.send(Ok(transport)));
            driver.run().await;
        }
        Err(error) => drop(report.send(Err(error))),
    }
}

/// What the thread owns.
struct Driver {
    engine: Engine,
    network: Network,
    clock: SystemClock,
    commands: mpsc::UnboundedReceiver<Command>,
    sessions: BTreeMap<SessionId, Port>,
    calls: BTreeMap<CallId, oneshot::Sender<Answer>>,
    next_call: u64,
}

/// Where a session listens.
struct Port {
    events: mpsc::UnboundedSender<Event>,
    contacts: Arc<ContactBoard>,
    joining: Option<JoinReply>,
}

impl Driver {
    async fn open(settings: Settings) -> Result<(Self, Transport), MembershipError> {
        let Settings { config, cluster } = settings;
        let bound = bind::bind(config.bind).await?;
        let addr = bind::advertised(bound.addr, config.advertise.as_ref(), &config.seeds).await?;
        let clock = SystemClock::start_now();
        let randomness = |error| no_resources("randomness", &error);
        let me = PeerId::from_random(u128::from_le_bytes(random().map_err(randomness)?));
        let seed = u64::from_le_bytes(random().map_err(randomness)?);
        tracing::info!(%cluster, listens = %bound.addr, %addr, ?me, "gossip begins");

        let patience = patience(&config.timing);
        let engine = Config {
            me,
            addr,
            seeds: config.seeds.len(),
            form: config.form,
            timing: config.timing,
        };
        let counters = Arc::new(Counters::default());
        let realm = Realm::new(&cluster, config.key.as_ref());
        let network = Network::open(bound, realm, config.seeds, patience, Arc::clone(&counters));
        let (sender, commands) = mpsc::unbounded_channel();
        let driver = Self {
            engine: Engine::new(engine, seed, clock.now()),
            network,
            clock,
            commands,
            sessions: BTreeMap::new(),
            calls: BTreeMap::new(),
            next_call: 0,
        };
        let sessions = AtomicU64::new(0);
        Ok((driver, Transport { commands: sender, addr, counters, sessions }))
    }

    /// Runs until nobody can ask anything any more.
    async fn run(mut self) {
        // Time is up only once all that had come by then is taken in: a loop that lags must not
        // hold for late what waits before its own door.
        let mut looked = false;
        loop {
            if self.take_in() {
                // Readers and writers get their turn.
                yield_now().await;
                continue;
            }
            let wait = self.engine.poll_timeout().map(|at| at.since(self.now()));
            match wait {
                Some(Duration::ZERO) if looked => {
                    looked = false;
                    self.feed(Input::Timeout);
                }
                Some(Duration::ZERO) => {
                    looked = true;
                    yield_now().await;
                }
                Some(_) | None => {
                    looked = false;
                    if !self.wait(wait).await {
                        return self.network.shut_down(FAREWELL).await;
                    }
                }
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now().mono
    }

    /// Takes in what is there; whether there was anything.
    fn take_in(&mut self) -> bool {
        for taken in 0..INPUTS_IN_A_ROW {
            if let Some(input) = self.network.poll() {
                self.feed(input);
            } else if let Ok(command) = self.commands.try_recv() {
                self.obey(command);
            } else {
                return taken > 0;
            }
        }
        true
    }

    /// Waits until there is something to do; `false` when nobody is left.
    async fn wait(&mut self, wait: Option<Duration>) -> bool {
        let time_is_up = async {
            match wait {
                Some(wait) => sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            command = self.commands.recv() => match command {
                Some(command) => self.obey(command),
                None => return false,
            },
            () = self.network.ready() => {}
            () = time_is_up => {}
        }
        true
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Join { join, events, contacts, reply } => {
                let Joining { session, scope, name, boot, metadata, within } = *join;
                self.sessions.insert(session, Port { events, contacts, joining: Some(reply) });
                self.feed(Input::Join { session, scope, name, boot, metadata, within });
            }
            Command::Ask { session, request, reply } => {
                let call = CallId(self.next_call);
                self.next_call += 1;
                self.calls.insert(call, reply);
                self.feed(Input::Request { session, call, request });
            }
            Command::ProbeAll { session, on } => self.feed(Input::ProbeAll { session, on }),
            Command::Owned { session, member, keys, reply } => {
                // Who asked may have gone.
                drop(reply.send(self.engine.owned(session, &member, &keys)));
            }
            Command::Drop(session) => {
                self.sessions.remove(&session);
                self.feed(Input::Drop(session));
                if self.engine.has_left() {
                    // Whoever joins now needs another transport, and is told so.
                    self.commands.close();
                }
            }
        }
    }

    /// Hands an input to the engine and carries out what follows.
    fn feed(&mut self, input: Input) {
        self.engine.handle(self.clock.now(), input);
        while let Some(output) = self.engine.poll_output() {
            self.carry_out(output);
        }
    }

    /// Whoever waits for an answer or an event may have gone: then nobody is told.
    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Datagram { to, packet } => self.network.send_datagram(to, &packet),
            Output::Dial(target) => self.network.dial(target),
            Output::Send { link, message } => self.network.send(link, &message),
            Output::Close(link) => self.network.close(link),
            Output::Joined { session, me } => {
                let port = self.sessions.get_mut(&session);
                if let Some(reply) = port.and_then(|port| port.joining.take()) {
                    drop(reply.send(Ok(me)));
                }
            }
            Output::JoinFailed { session, error } => {
                let port = self.sessions.remove(&session);
                if let Some(reply) = port.and_then(|port| port.joining) {
                    drop(reply.send(Err(error)));
                }
            }
            Output::Contact { session, member, asked } => {
                if let Some(port) = self.sessions.get(&session) {
                    port.contacts.note(member, self.clock.now().mono.since(asked));
                }
            }
            Output::Event { session, event } => {
                let is_last = event == Event::Evicted;
                if let Some(port) = self.sessions.get(&session) {
                    if let Event::MemberDown(member, _) = &event {
                        port.contacts.forget(member.boot);
                    }
                    drop(port.events.send(event));
                }
                if is_last {
                    self.sessions.remove(&session);
                }
            }
            Output::Answer { call, answer } => {
                if let Some(reply) = self.calls.remove(&call) {
                    drop(reply.send(answer));
                }
            }
        }
    }
}

/// 250 ms, 1 s and 3 s with the three presets: who is cut off is dialled again soon after.
fn patience(timing: &Timing) -> Patience {
    let connect = (timing.detection / 5).max(Duration::from_millis(250));
    Patience { connect, handshake: Duration::from_secs(2) }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("network", &self.network).finish_non_exhaustive()
    }
}
