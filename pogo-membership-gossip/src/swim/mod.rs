//! The failure detector: SWIM (Das, Gupta, Motivala 2002) with Lifeguard (Dadgar, Phillips,
//! Currey 2018), sans-IO.
//!
//! A peer probes its successor in the ring of ids in each interval, and from time to time another
//! in turn. So a silent peer is noticed within one interval, not only on average. Whom a probe does
//! not reach is asked over the link and through helpers; who stays silent is suspected, and dead
//! when the suspicion has lasted. A suspect that hears of it raises its refutation counter above the
//! suspicion and is alive. Only a peer itself raises its counter, so of two updates the later one
//! is known (`supersedes`).
//!
//! The caller feeds what it has received before it calls [`Swim::timeout`], drains
//! [`Swim::poll_output`] after each call, and calls `timeout` when [`Swim::poll_timeout`] says. Early
//! and late calls are legal; a call that is much too late is taken as a sign that this process
//! stood still, and nobody is judged by the time that passed meanwhile.

mod awareness;
mod packet;
mod peers;
mod probe;
mod rumours;
mod spread;
mod suspicion;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use pogo_core::{random::Rng, time::Timestamp};

pub use self::packet::{Body, Packet};
use self::{
    awareness::Awareness,
    peers::{Peers, is_living, supersedes},
    probe::Probes,
    rumours::Rumours,
    spread::{Receiver, Round},
    suspicion::{Evidence, Suspicion},
};
use crate::{
    peer::{Life, PeerId, Update},
    timing::Timing,
};

/// Up to so many peers, oneself included, each pair has a link and news goes to all at once.
pub const FULL_MESH: usize = 50;

/// How a packet came, and so how it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// As a datagram from this address.
    Datagram(SocketAddr),
    /// Over a link with its sender.
    Link,
}

/// One effect of the failure detector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwimOutput {
    /// Send a datagram; it may be lost.
    Datagram {
        /// Where.
        to: SocketAddr,
        /// What.
        packet: Packet,
    },
    /// Send over the link with a peer; dropped where there is none.
    Link {
        /// To whom.
        to: PeerId,
        /// What.
        packet: Packet,
    },
    /// What is held of another peer changed: its life, its counter or its address.
    Changed {
        /// What is held now.
        update: Update,
        /// What was held of its life, `None` where it was not known.
        before: Option<Life>,
    },
}

/// The failure detector of one peer.
#[derive(Debug)]
pub struct Swim {
    timing: Timing,
    me: Update,
    rng: Rng,
    peers: Peers,
    awareness: Awareness,
    probes: Probes,
    suspicions: BTreeMap<PeerId, Suspicion>,
    rumours: Rumours,
    /// When anything came from anybody, at last.
    heard: Timestamp,
    /// News of this input that goes to all linked peers at its end.
    urgent: Vec<Update>,
    round: Round,
    /// When `timeout` wants to be called.
    awaited: Option<Timestamp>,
    outputs: VecDeque<SwimOutput>,
}

impl Swim {
    /// A peer that knows nobody yet.
    pub fn new(timing: Timing, me: PeerId, addr: SocketAddr, seed: u64, now: Timestamp) -> Self {
        let mut rng = Rng::new(seed);
        let probes = Probes::new(&timing, now, &mut rng);
        Self {
            timing,
            me: Update { peer: me, addr, refutation: 0, owned: 0, life: Life::Alive },
            rng,
            peers: Peers::default(),
            awareness: Awareness::default(),
            probes,
            suspicions: BTreeMap::new(),
            rumours: Rumours::default(),
            heard: now,
            urgent: Vec::new(),
            round: Round::new(now),
            awaited: None,
            outputs: VecDeque::new(),
        }
    }

    /// Sets the number of the last change to the own records: see [`Update::owned`]. It goes out
    /// with the next refutation and in every hello.
    pub const fn set_owned(&mut self, number: u64) {
        self.me.owned = number;
    }

    /// Takes a packet.
    pub fn packet(&mut self, now: Timestamp, from: Via, packet: Packet) {
        self.catch_up(now);
        if packet.from == self.me.peer {
            return;
        }
        self.heard = self.heard.max(now);
        let sender = Receiver { peer: packet.from, via: from };
        let trusted = self.is_alive(sender.peer);
        let of_us = |update: &Update| update.peer == sender.peer || update.peer == self.me.peer;
        let knows_of_us = packet.updates.iter().any(of_us);
        let mut wrong_of_me = false;
        for update in packet.updates {
            if update.peer == self.me.peer {
                wrong_of_me |= self.contradict(update);
            } else {
                self.hear(now, if trusted { update } else { self.doubt(update) });
            }
        }
        let answered = self.answer(now, sender, packet.body, wrong_of_me);
        if !answered && (wrong_of_me || self.is_to_be_warned(sender, packet.body, knows_of_us)) {
            self.send(sender, Body::Gossip, wrong_of_me || self.me.life == Life::Left);
        }
        self.finish(now);
    }

    /// Takes what another peer knows, itself first, from a hello, and spreads what is new of it. A peer
    /// that is dead there and alive here is suspected: the two may just have been apart.
    pub fn learn(&mut self, now: Timestamp, updates: &[Update]) {
        self.catch_up(now);
        self.heard = self.heard.max(now);
        let mut wrong_of_me = false;
        for update in updates {
            let update = self.doubt(*update);
            if update.peer == self.me.peer {
                wrong_of_me |= self.contradict(update);
            } else if self.hear(now, update) {
                self.urgent.push(update);
            }
        }
        // Where the two hold each other to be dead, other news does not go between them; and its hello
        // may have crossed mine.
        let teller = updates.first().filter(|teller| wrong_of_me && teller.peer != self.me.peer);
        if let Some(teller) = teller {
            self.send(Receiver::link(teller.peer), Body::Gossip, true);
        }
        self.finish(now);
    }

    /// A peer's process is gone for certain: it is dead at once.
    pub fn proof_of_death(&mut self, now: Timestamp, peer: PeerId) {
        self.catch_up(now);
        self.declare(now, peer);
        self.finish(now);
    }

    /// Leaves: the last word of this peer. It probes and judges nobody any more.
    pub fn leave(&mut self, now: Timestamp) {
        self.catch_up(now);
        if self.me.life != Life::Left {
            self.me.life = Life::Left;
            self.probes.clear();
            self.suspicions.clear();
            self.say_goodbye();
        }
        self.finish(now);
    }

    /// Drops what is held of a peer that is dead or has left; a living one is kept.
    pub fn forget(&mut self, peer: PeerId) {
        if self.peers.forget(peer) {
            self.rumours.remove(peer);
        }
    }

    /// The time that `poll_timeout` named has come.
    pub fn timeout(&mut self, now: Timestamp) {
        self.catch_up(now);
        if self.me.life != Life::Left {
            self.run_relays(now);
            self.run_probes(now);
            self.run_suspicions(now);
            self.probe_next(now);
        }
        self.gossip(now);
        self.finish(now);
    }

    /// The next effect.
    pub fn poll_output(&mut self) -> Option<SwimOutput> {
        self.outputs.pop_front()
    }

    /// When `timeout` wants to be called; `None` where this peer is alone.
    pub const fn poll_timeout(&self) -> Option<Timestamp> {
        self.awaited
    }

    /// What this peer says of itself.
    pub const fn me(&self) -> Update {
        self.me
    }

    /// What is held of another peer.
    pub fn peer(&self, peer: PeerId) -> Option<&Update> {
        self.peers.get(peer)
    }

    /// What is held of the others, by id.
    pub fn peers(&self) -> impl Iterator<Item = &Update> {
        self.peers.iter()
    }

    /// All that a hello tells: this peer first, then the others.
    pub fn all(&self) -> Vec<Update> {
        std::iter::once(self.me).chain(self.peers.iter().copied()).collect()
    }

    /// Takes the time. Where the deadline passed unnoticed this process stood still, so its view of
    /// the others is as old: every patience is longer by that, and by the time for an answer that is
    /// on its way.
    fn catch_up(&mut self, now: Timestamp) {
        let lag = self.awaited.map_or(Duration::ZERO, |due| now.since(due));
        if lag <= self.timing.probe_timeout / 2 {
            return;
        }
        let grace = lag + self.timing.probe_timeout;
        self.probes.postpone(grace);
        for suspicion in self.suspicions.values_mut() {
            suspicion.since = suspicion.since + grace;
        }
        self.heard = self.heard + lag;
        self.awareness.worsen(1);
        // Once for each time that it stood still.
        self.awaited = None;
    }

    /// Whom all this waits for. Not before `now`, also where a patience just became shorter: that is
    /// no sign of a late call.
    fn next_deadline(&self, now: Timestamp) -> Option<Timestamp> {
        if self.peers.living() == 0 {
            return None;
        }
        let gossip = self.round.due();
        let suspicion = self.suspicions.values().map(|held| self.next_step(held)).min();
        let probes = (self.me.life != Life::Left).then(|| self.probes.due());
        let due = [gossip, suspicion, self.cut_off(), probes].into_iter().flatten().min();
        due.map(|due| due.max(now))
    }

    /// Somebody holds this of me. Says whether that is wrong and the sender should be told.
    fn contradict(&mut self, told: Update) -> bool {
        if self.me.life == Life::Left {
            return told.life != Life::Left;
        }
        if told.refutation == u64::MAX {
            // Nobody counts that far: not to be contradicted, and not worth an answer.
            return false;
        }
        if told.refutation < self.me.refutation {
            return true;
        }
        match told.life {
            Life::Alive => self.me.refutation = told.refutation,
            Life::Suspect | Life::Dead if pogo_core::mutant::planted("nobody contradicts") => {}
            Life::Suspect | Life::Dead => {
                self.me.refutation = told.refutation.saturating_add(1);
                self.awareness.worsen(1);
                self.urgent.push(self.me);
                self.rumours.add(self.me);
                return true;
            }
            // Nobody but me says that, and I did not: another peer's fault, which is not spread.
            Life::Left => {}
        }
        false
    }

    /// Whether the sender may not know what is held of it, or that I leave. Where it just spoke of
    /// one of us both it does, and to tell it again could go on for ever.
    fn is_to_be_warned(&self, sender: Receiver, body: Body, knows_of_us: bool) -> bool {
        let held = self.peers.get(sender.peer).map(|held| held.life);
        match body {
            Body::Ping { .. } if self.me.life == Life::Left => true,
            Body::Ping { .. } | Body::PingReq { .. } | Body::Gossip => {
                !knows_of_us && matches!(held, Some(Life::Suspect | Life::Dead))
            }
            Body::Ack { .. } | Body::Nack { .. } => false,
        }
    }

    fn is_alive(&self, peer: PeerId) -> bool {
        self.peers.get(peer).is_some_and(|held| held.life == Life::Alive)
    }

    /// What to make of an update from a peer that was away: while it was, all others looked dead to
    /// it. So a death that it tells is a suspicion, which a living peer refutes.
    fn doubt(&self, update: Update) -> Update {
        let living = self.peers.get(update.peer).is_some_and(|held| is_living(held.life));
        let life = if living && update.life == Life::Dead { Life::Suspect } else { update.life };
        Update { life, ..update }
    }

    /// Takes news of another peer; says whether it was. One that leaves takes none.
    fn hear(&mut self, now: Timestamp, update: Update) -> bool {
        let known = self.peers.get(update.peer).is_some_and(|held| !supersedes(&update, held));
        if known || self.me.life == Life::Left {
            return false;
        }
        self.hold(now, update, Evidence::Hearsay);
        let watched = update.life == Life::Suspect
            && self.peers.is_watcher(self.me.peer, update.peer)
            && !self.probes.is_open(update.peer);
        if watched {
            self.probe(now, update);
        }
        true
    }

    /// Holds this of a peer from now on, and spreads it.
    fn hold(&mut self, now: Timestamp, update: Update, evidence: Evidence) {
        let before = self.peers.get(update.peer).map(|held| held.life);
        self.peers.hold(update, &mut self.rng);
        self.suspicions.remove(&update.peer);
        if update.life == Life::Suspect {
            let suspicion = Suspicion::new(now, update.refutation, evidence);
            self.suspicions.insert(update.peer, suspicion);
        }
        if !is_living(update.life) {
            self.probes.close(update.peer);
        }
        if self.peers.living() == 0 {
            // By the time that somebody can be told it is not news any more.
            self.rumours = Rumours::default();
            self.urgent.clear();
        } else if before.is_some() || is_living(update.life) {
            // (Who did not know a peer need not know of its death.)
            self.rumours.add(update);
        }
        self.outputs.push_back(SwimOutput::Changed { update, before });
    }

    /// A probe failed: suspects its target, or adds to the suspicion.
    fn suspect(&mut self, now: Timestamp, peer: PeerId, evidence: Evidence) {
        let Some(held) = self.peers.get(peer).copied() else { return };
        if held.life == Life::Alive {
            let update = Update { life: Life::Suspect, ..held };
            self.hold(now, update, evidence);
            self.urgent.push(update);
            // Tells it, and asks other helpers.
            self.probe(now, update);
        }
        if let Some(suspicion) = self.suspicions.get_mut(&peer) {
            suspicion.evidence = suspicion.evidence.or(evidence);
            suspicion.checked = true;
        }
    }

    /// When a suspicion goes one step on, as things stand: to a check where there was none, then to a
    /// death.
    fn next_step(&self, suspicion: &Suspicion) -> Timestamp {
        suspicion.since + self.awareness.stretch(suspicion.patience(&self.timing))
    }

    /// When this peer is cut off from all: it suspects and has heard nothing from anybody since, for
    /// twice the window. A slow peer would have heard something by then.
    fn cut_off(&self) -> Option<Timestamp> {
        let in_vain = self.suspicions.values().any(|suspicion| self.heard <= suspicion.since);
        let probe = self.awareness.stretch(self.timing.probe_interval);
        in_vain.then(|| self.heard + probe.max(self.timing.detection * 2))
    }

    fn run_suspicions(&mut self, now: Timestamp) {
        if self.cut_off().is_some_and(|due| due <= now) {
            let living: Vec<PeerId> = self.peers.living_ids().to_vec();
            for peer in living {
                self.declare(now, peer);
            }
        }
        let due: Vec<PeerId> = self
            .suspicions
            .iter()
            .filter(|(_, suspicion)| self.next_step(suspicion) <= now)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in due {
            let Some(suspicion) = self.suspicions.get_mut(&peer) else { continue };
            let held = self.peers.get(peer).filter(|held| held.refutation == suspicion.refutation);
            let Some(held) = held.copied() else {
                self.suspicions.remove(&peer);
                continue;
            };
            if suspicion.checked {
                self.declare(now, peer);
            } else {
                suspicion.checked = true;
                self.probe(now, held);
            }
        }
    }

    /// A living peer is dead from now on.
    fn declare(&mut self, now: Timestamp, peer: PeerId) {
        let Some(held) = self.peers.get(peer).filter(|held| is_living(held.life)) else { return };
        let update = Update { life: Life::Dead, ..*held };
        self.hold(now, update, Evidence::Hearsay);
        self.urgent.push(update);
    }
}
