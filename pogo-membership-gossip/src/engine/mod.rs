//! The engine: the state machine of one peer.
//!
//! `handle` takes one thing that happened, `poll_output` gives the effects, `poll_timeout` the one
//! deadline; the contract is that of `pogo_core::node`. The parts: links to other peers, who is
//! shown to the sessions, the sessions themselves, their joins, and what waits for others' answers.

mod agenda;
mod contacts;
mod forming;
mod io;
mod links;
mod naming;
mod questions;
mod records;
mod sessions;
mod shown;
mod skew;
mod writes;

use std::collections::{BTreeMap, VecDeque};

use pogo_core::{
    membership::MembershipError,
    random::Rng,
    record::Record,
    time::{Now, Timestamp},
};

pub use io::{CallId, Config, DialError, Form, Input, LinkId, Output, SessionId, Target};

use self::{
    agenda::{Agenda, Timer},
    contacts::Contacts,
    forming::Forming,
    links::Links,
    questions::Questions,
    sessions::Sessions,
    shown::Shown,
    skew::Skew,
    writes::Writes,
};
use crate::{
    message::Message,
    owned::OwnedStore,
    peer::{Life, PeerId, Update},
    shared::{ScopedKey, SharedStore},
    swim::{FULL_MESH, Swim, SwimOutput, Via},
};

/// The state machine of one peer.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    now: Now,
    rng: Rng,
    agenda: Agenda,
    swim: Swim,
    owned: OwnedStore,
    shared: SharedStore,
    links: Links,
    forming: Forming,
    shown: Shown,
    sessions: Sessions,
    writes: Writes,
    questions: Questions,
    contacts: Contacts,
    skew: Skew,
    /// With each counter of a peer that was alive, the least number of owned records with which
    /// it is shown.
    required: BTreeMap<PeerId, (u64, u64)>,
    outputs: VecDeque<Output>,
}

impl Engine {
    /// An engine that has joined nothing yet. `seed` spreads its probes and delays.
    pub fn new(config: Config, seed: u64, now: Now) -> Self {
        let (me, addr) = (config.me, config.addr);
        let mut agenda = Agenda::default();
        agenda.arm(Timer::Compare, now.mono + config.timing.compare_interval);
        agenda.arm(Timer::Collect, now.mono + records::COLLECT_INTERVAL);
        Self {
            swim: Swim::new(config.timing.clone(), me, addr, seed, now.mono),
            owned: OwnedStore::new(me),
            shared: SharedStore::default(),
            links: Links::default(),
            forming: Forming::default(),
            shown: Shown::new(me),
            sessions: Sessions::default(),
            writes: Writes::default(),
            questions: Questions::default(),
            contacts: Contacts::default(),
            skew: Skew::new(now),
            required: BTreeMap::new(),
            outputs: VecDeque::new(),
            rng: Rng::new(seed),
            config,
            now,
            agenda,
        }
    }

    /// Takes one thing that happened.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.now = now;
        match input {
            Input::Timeout => self.on_timeout(),
            Input::Datagram { from, packet } => {
                self.swim.packet(now.mono, Via::Datagram(from), packet);
            }
            Input::LinkUp { link, dialled } => self.on_link_up(link, dialled),
            Input::Received { link, message } => self.on_message(link, message),
            Input::LinkDown(link) => self.on_link_down(link),
            Input::DialFailed { target, error } => self.on_dial_failed(target, &error),
            Input::Join { session, .. } if self.has_left() => {
                let error = MembershipError::SessionEnded;
                self.emit(Output::JoinFailed { session, error });
            }
            Input::Join { session, scope, name, boot, metadata, within } => {
                self.sessions.open(session, scope, name, boot, metadata);
                self.begin_forming(within);
            }
            Input::Request { session, call, request } => self.on_request(session, call, request),
            Input::ProbeAll { session, on } => self.on_probe_all(session, on),
            Input::Drop(session) => self.on_drop(session),
        }
        self.settle();
    }

    /// The next effect; all are to be taken after each input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back with [`Input::Timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.agenda.next().into_iter().chain(self.swim.poll_timeout()).min()
    }

    /// Whether it has left, which it does with its last session: it takes no other.
    pub fn has_left(&self) -> bool {
        self.swim.me().life == Life::Left
    }

    /// The other peers as this one holds them, the dead ones too.
    pub fn peers(&self) -> impl Iterator<Item = &Update> {
        self.swim.peers()
    }

    /// The shared record that this peer has, whether its sessions know of it yet or not.
    pub fn record(&self, key: &ScopedKey) -> Option<&Record> {
        self.shared.get(key)
    }

    fn on_timeout(&mut self) {
        self.swim.timeout(self.now.mono);
        while let Some(timer) = self.agenda.pop_due(self.now.mono) {
            self.on_timer(timer);
        }
    }

    fn on_timer(&mut self, timer: Timer) {
        match timer {
            Timer::Dial(target) => self.dial(target),
            Timer::Compare => self.compare(),
            Timer::Contacts => self.ask_all(),
            Timer::Collect => self.collect(),
            // What waits for these is looked at after every input.
            Timer::Forming | Timer::Naming(_) => {}
            Timer::Write(write) => self.check_write(write),
            Timer::Leave => self.leave_at_last(),
            Timer::Question(question) => self.give_up_question(question),
            Timer::Bury(peer) => self.on_long_gone(peer),
        }
    }

    /// Follows up what an input changed, until nothing more follows.
    fn settle(&mut self) {
        loop {
            while let Some(output) = self.swim.poll_output() {
                self.on_swim(output);
            }
            self.advance_forming();
            if !self.advance_joins() {
                return;
            }
        }
    }

    fn on_swim(&mut self, output: SwimOutput) {
        match output {
            SwimOutput::Datagram { to, packet } => self.emit(Output::Datagram { to, packet }),
            SwimOutput::Link { to, packet } => {
                if let Some(link) = self.links.to(to) {
                    self.send(link, Message::Swim(packet));
                }
            }
            SwimOutput::Changed { update, before } => self.on_life(update, before),
        }
    }

    /// What is held of a peer has changed.
    fn on_life(&mut self, update: Update, before: Option<Life>) {
        let peer = update.peer;
        tracing::debug!(?peer, addr = %update.addr, life = ?update.life, ?before, "peer");
        match update.life {
            Life::Alive | Life::Suspect if update.addr == self.config.addr => {
                // This peer holds the address, so whoever had it before is dead.
                self.require(update);
                self.swim.proof_of_death(self.now.mono, peer);
            }
            Life::Alive | Life::Suspect => {
                self.agenda.disarm(Timer::Bury(peer));
                self.require(update);
                self.show_if_known(peer);
                if before.is_none_or(|life| life >= Life::Dead) {
                    self.meet(peer);
                }
            }
            Life::Dead => {
                self.hide(peer);
                self.no_answer_from(peer);
                self.agenda.arm(Timer::Bury(peer), self.now.mono + shown::GRACE);
                self.look_for(peer);
                self.look_for_seeds_of(peer);
            }
            Life::Left => {
                self.hide(peer);
                self.no_answer_from(peer);
                self.part_from(peer);
                self.look_for_seeds_of(peer);
                self.agenda.arm(Timer::Bury(peer), self.now.mono + shown::GRACE);
            }
        }
    }

    /// Writes and questions wait for this peer no longer.
    fn no_answer_from(&mut self, peer: PeerId) {
        self.forget_writes_of(peer);
        self.forget_questions_to(peer);
    }

    fn is_alive(&self, peer: PeerId) -> bool {
        self.swim.peer(peer).is_some_and(|it| it.life < Life::Dead)
    }

    fn alive(&self) -> impl Iterator<Item = PeerId> {
        self.swim.peers().filter(|it| it.life < Life::Dead).map(|it| it.peer)
    }

    /// Whether everybody has a link to everybody.
    fn is_mesh(&self) -> bool {
        self.alive().count() < FULL_MESH
    }

    fn emit(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    fn send(&mut self, link: LinkId, message: Message) {
        self.emit(Output::Send { link, message });
    }
}

#[cfg(test)]
mod tests;
