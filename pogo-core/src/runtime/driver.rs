//! The loop around the node: it turns what happens into inputs and executes every output (R24).
//!
//! It runs on a thread of its own. All sources are asked in random order, a bounded number of inputs
//! at a time, and timers are looked at between any two, so ten thousand starting children starve
//! neither the feed nor a deadline.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::sleep,
};

use super::{
    clock::SystemClock,
    events::{Observers, Subscription},
    fence::Fence,
    run::Notice,
    runs::Runs,
    session::{FromSession, Line},
};
use crate::{
    id::{ChildId, MemberId, RequestId},
    membership::{Capabilities, Event},
    node::{ChildInfo, Input, Inspect, Node, Output, Reply, Request, StartChild},
    time::{Clock, Now, Timestamp},
};

/// The most notices of runs that are taken before the session and the handles have their turn.
const NOTICES: usize = 256;

/// What a supervisor's handles ask of its driver.
pub(super) enum Command {
    /// A request to the node.
    Client(Request, oneshot::Sender<Reply>),
    /// A look at the node.
    Read(Box<dyn FnOnce(Inspect<'_>) + Send>),
    /// A snapshot and the events after it.
    Subscribe(oneshot::Sender<Subscription>),
    /// The latest value of a child.
    Watch(ChildId, oneshot::Sender<watch::Receiver<Option<ChildInfo>>>),
    /// Stop everything.
    Shutdown,
}

/// The driver of one supervisor.
pub(super) struct Driver {
    pub(super) node: Node,
    pub(super) clock: Arc<SystemClock>,
    pub(super) capabilities: Capabilities,
    pub(super) me: MemberId,
    pub(super) line: Line,
    pub(super) runs: Runs,
    pub(super) notices: mpsc::UnboundedReceiver<Notice>,
    pub(super) inbox: Inbox,
    pub(super) observers: Observers,
    pub(super) ready: watch::Sender<bool>,
}

/// Commands, and whom to answer.
pub(super) struct Inbox {
    commands: mpsc::UnboundedReceiver<Command>,
    /// Whether a handle is left that may send more.
    open: bool,
    replies: BTreeMap<RequestId, oneshot::Sender<Reply>>,
    last: RequestId,
}

impl Inbox {
    pub(super) const fn new(commands: mpsc::UnboundedReceiver<Command>) -> Self {
        Self { commands, open: true, replies: BTreeMap::new(), last: RequestId::new(0) }
    }
}

enum Wake {
    Session(FromSession),
    Notice(Notice),
    Command(Command),
    /// The last handle was dropped.
    Abandoned,
    Timer,
}

impl Driver {
    /// Runs until the member has left; returns what tells the handles so when it is dropped.
    pub(super) async fn run(mut self) -> watch::Sender<bool> {
        let mut stopped = self.joined();
        while !stopped {
            stopped = self.ring()
                || match self.wait().await {
                    Wake::Session(came) => self.on_session(came),
                    Wake::Notice(notice) => self.on_notices(notice),
                    Wake::Command(command) => self.on_command(command),
                    Wake::Abandoned => self.handle(Input::Shutdown),
                    Wake::Timer => false,
                };
        }
        self.ready.send_replace(false);
        self.ready
    }

    async fn wait(&mut self) -> Wake {
        let now = self.clock.now().mono;
        let due = self.node.poll_timeout().into_iter().chain(self.runs.next_alarm()).min();
        let timer = async {
            match due {
                Some(at) => sleep(at.since(now)).await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            came = self.line.next() => Wake::Session(came),
            Some(notice) = self.notices.recv() => Wake::Notice(notice),
            command = self.inbox.commands.recv(), if self.inbox.open => {
                self.inbox.open = command.is_some();
                command.map_or(Wake::Abandoned, Wake::Command)
            }
            () = timer => Wake::Timer,
        }
    }

    /// Acts on deadlines that have come. Looked at between any two inputs, because a timer made
    /// anew for each wait would never come first in a busy time.
    fn ring(&mut self) -> bool {
        let now = self.clock.now().mono;
        let mut stopped = false;
        for input in self.runs.ring(now) {
            stopped |= self.handle(input);
        }
        if self.node.poll_timeout().is_some_and(|at: Timestamp| at <= now) {
            stopped |= self.handle(Input::Timeout);
        }
        stopped
    }

    fn on_session(&mut self, came: FromSession) -> bool {
        match came {
            FromSession::Joined(me) => {
                self.me = me;
                self.joined()
            }
            FromSession::Event(event) => self.handle(Input::Membership(event)),
            FromSession::Ended => self.handle(Input::Membership(Event::Evicted)),
            FromSession::Answer(request, answer) => self.handle(Input::Answer(request, answer)),
        }
    }

    fn joined(&mut self) -> bool {
        let capabilities = self.capabilities.clone();
        self.handle(Input::Joined { me: self.me.clone(), capabilities })
    }

    /// Takes a notice and those that wait behind it, so that what they change is published
    /// together: one by one, each would wake every member.
    fn on_notices(&mut self, first: Notice) -> bool {
        let mut stopped = self.on_notice(first);
        let mut taken = 1;
        while taken < NOTICES
            && !stopped
            && let Ok(notice) = self.notices.try_recv()
        {
            stopped = self.ring() || self.on_notice(notice);
            taken += 1;
        }
        stopped
    }

    fn on_notice(&mut self, notice: Notice) -> bool {
        let now = self.clock.now().mono;
        self.runs.notice(now, notice).is_some_and(|input| self.handle(input))
    }

    fn on_command(&mut self, command: Command) -> bool {
        match command {
            Command::Client(request, reply) => {
                self.inbox.last = self.inbox.last.next();
                self.inbox.replies.insert(self.inbox.last, reply);
                return self.handle(Input::Client(self.inbox.last, request));
            }
            Command::Shutdown => return self.handle(Input::Shutdown),
            Command::Read(look) => look(self.node.inspect()),
            // Where the asker has gone there is nobody to tell.
            Command::Subscribe(reply) => {
                drop(reply.send(self.observers.subscribe(self.node.inspect())));
            }
            Command::Watch(id, reply) => {
                drop(reply.send(self.observers.watch(id, self.node.inspect())));
            }
        }
        false
    }

    /// Starts a run; a strict one ends with the lease of the session that holds its claim.
    fn start_child(&mut self, start: StartChild) {
        let ttl = self.capabilities.lease_ttl.filter(|_| start.token.is_some());
        let clock = || Arc::<SystemClock>::clone(&self.clock);
        let fence = ttl.map(|ttl| Fence::new(self.line.presence(), clock(), ttl));
        self.runs.start(self.me.name.clone(), start, fence);
    }

    /// Gives the node an input and executes what follows; true once the member has left.
    fn handle(&mut self, input: Input) -> bool {
        let now = self.clock.now();
        self.node.handle(now, input);
        let mut stopped = false;
        while let Some(output) = self.node.poll_output() {
            stopped |= self.execute(now, output);
        }
        let ready = self.node.inspect().is_ready();
        self.ready.send_if_modified(|known| std::mem::replace(known, ready) != ready);
        stopped
    }

    fn execute(&mut self, now: Now, output: Output) -> bool {
        match output {
            Output::Membership(id, request) => self.line.request(id, request),
            Output::ReadContact => {
                let contact = self.line.contact();
                return contact.is_some_and(|contact| self.handle(Input::Contact(contact)));
            }
            Output::ProbeAll(on) => self.line.probe_all(on),
            Output::Rejoin => self.line.rejoin(),
            Output::StartChild(start) => self.start_child(start),
            Output::StopChild { run, reason, shutdown, .. } => {
                self.runs.stop(now.mono, run, reason, shutdown);
            }
            Output::Absorb { run, state, .. } => self.runs.absorb(run, state),
            Output::Reply(id, reply) => {
                if let Some(asker) = self.inbox.replies.remove(&id) {
                    drop(asker.send(reply));
                }
            }
            Output::Event(event) => self.observers.publish(event),
            Output::Stopped => return true,
        }
        false
    }
}
