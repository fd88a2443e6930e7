//! The sans-IO node: who runs what, and when (R1-R27).
//!
//! ```text
//!            Input                                   Output
//!  session, runs, users, time  ──►  handle  ──►  requests to the session, starts and stops,
//!                                                replies, events
//! ```
//!
//! Four kinds of method: [`Node::handle`] takes inputs, [`Node::poll_output`] is drained fully
//! after each of them, [`Node::poll_timeout`] names the one deadline, and [`Node::inspect`] reads.
//! Time and randomness are arguments.
//!
//! Inputs change the picture (members, desired specs, reports, local instances) and mark the
//! children that they bear on; `plan` then compares desired with actual for those alone. The
//! slow sweep is the safety net, never the mechanism.

pub mod config;
pub mod event;
pub mod input;
pub mod inspect;
pub mod output;
pub mod request;

mod child;
mod children;
mod client;
mod exits;
mod explain;
mod feed;
mod gates;
mod invariants;
mod leaving;
mod listing;
mod local;
mod losses;
mod members;
mod outbox;
mod owned;
mod plan;
mod pools;
mod publish;
mod release;
mod replies;
mod runs;
mod shared;
mod steps;
mod strikes;
mod survivor;
mod tenure;
mod timers;
mod wire;

use std::collections::VecDeque;

use self::{
    children::Children,
    client::Clients,
    feed::Session,
    gates::Gates,
    leaving::Departure,
    losses::Losses,
    members::Members,
    outbox::Outbox,
    publish::Publisher,
    steps::Moves,
    tenure::Tenure,
    timers::{Timer, Timers},
};
pub use self::{
    config::{Config, RestartPolicy},
    event::Event,
    input::{Answer, Contact, ExitReason, Input, RunEnd},
    inspect::{
        ChildInfo, Exclusion, Explanation, LeavePlan, Listing, MemberView, PendingReason, Status,
        View,
    },
    listing::Inspect,
    output::{MembershipRequest, Output, StartChild, StopReason},
    request::{
        Drained, Reply, Request, RequestError, StartChildError, StartMode, Started, Terminated,
    },
    tenure::{is_long_enough_a_lease, lease_margin},
};
use crate::{
    id::{BootId, RunId},
    random::Rng,
    record::Hlc,
    time::{Now, Timestamp},
};

/// A member's state machine.
#[derive(Debug, Clone)]
pub struct Node {
    config: Config,
    boot: BootId,
    rng: Rng,
    now: Now,
    hlc: Hlc,
    session: Session,
    members: Members,
    children: Children,
    moves: Moves,
    publisher: Publisher,
    outbox: Outbox,
    clients: Clients,
    departure: Departure,
    timers: Timers,
    tenure: Tenure,
    losses: Losses,
    last_run: RunId,
    /// The gates that observers know of.
    told_gates: Gates,
    outputs: VecDeque<Output>,
}

/// A law that a node found broken in itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{law}: {what}")]
pub struct Violation {
    /// The law's id.
    pub law: &'static str,
    /// What was found.
    pub what: String,
}

impl Node {
    /// A node that has not joined; `seed` spreads its delays.
    pub fn new(config: Config, boot: BootId, seed: u64, now: Now) -> Self {
        let mut timers = Timers::default();
        timers.arm(Timer::Sync, now.mono + config.sync_interval);
        Self {
            config,
            boot,
            rng: Rng::new(seed),
            now,
            hlc: Hlc::default(),
            session: Session::default(),
            members: Members::new(boot),
            children: Children::default(),
            moves: Moves::default(),
            publisher: Publisher::default(),
            outbox: Outbox::default(),
            clients: Clients::default(),
            departure: Departure::default(),
            timers,
            tenure: Tenure::default(),
            losses: Losses::default(),
            last_run: RunId::default(),
            told_gates: Gates::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes an input. Total: any input in any state, never panics, never blocks.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.now = Now { mono: self.now.mono.max(now.mono), wall: now.wall };
        self.fire_timers();
        match input {
            Input::Timeout => {}
            Input::Joined { me, capabilities } => self.on_joined(me, capabilities),
            Input::Membership(event) => self.on_membership(event),
            Input::Answer(request, answer) => self.on_answer(request, answer),
            Input::Client(request, asked) => self.on_client(request, asked),
            Input::ChildReady { child, run, endpoint } => self.on_ready(&child, run, endpoint),
            Input::ChildExited { child, run, end } => self.on_exited(&child, run, end),
            Input::ChildStuck { child, run } => self.on_stuck(&child, run),
            Input::Contact(contact) => self.on_contact(contact),
            Input::Shutdown => self.on_shutdown(),
        }
        self.reconcile();
        self.continue_departure();
        self.flush();
        self.tell_observers();
    }

    /// The next effect; to be drained fully after each `handle`, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The earliest deadline; firing early or late is legal.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// A read-only look.
    pub const fn inspect(&self) -> Inspect<'_> {
        Inspect::new(self)
    }

    fn emit(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    fn tell(&mut self, event: Event) {
        self.emit(Output::Event(event));
    }

    /// Something that cannot be: told, and the safe choice taken by the caller.
    fn bug(&mut self, what: &str) {
        debug_assert!(false, "{what}");
        self.tell(Event::Bug { what: what.to_owned() });
    }

    fn fire_timers(&mut self) {
        while let Some(timer) = self.timers.pop_due(self.now.mono) {
            match timer {
                Timer::Sync => self.on_sync(),
                Timer::Settle => self.try_settle(),
                Timer::MassLoss => self.end_mass_loss(),
                Timer::Retry => {
                    self.outbox.retry();
                    self.publisher.resume();
                }
                Timer::Child(id) => self.on_child_due(&id),
                Timer::Request(request) => self.on_request_overdue(request),
                Timer::Tenure => self.on_tenure_due(),
                Timer::Leaving => self.on_departure_due(),
            }
        }
    }

    fn on_sync(&mut self) {
        let each = if crate::mutant::planted("looks again and again") { 500 } else { 1 };
        self.timers.arm(Timer::Sync, self.now.mono + self.config.sync_interval / each);
        self.sweep();
        self.children.unblock();
    }
}

#[cfg(test)]
mod tests;
