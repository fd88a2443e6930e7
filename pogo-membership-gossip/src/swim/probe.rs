//! Probes: ours, and those that others asked us to make.

use std::{collections::BTreeMap, time::Duration};

use pogo_core::{random::Rng, time::Timestamp};

use super::{Body, Evidence, Swim, peers::is_living, spread::Receiver};
use crate::{
    peer::{Life, PeerId, Update},
    timing::Timing,
};

/// Every so many probes of the successor there is one of another peer in turn.
const TURN_EVERY: u64 = 4;

/// How many probes for others are open at most; more are not answered.
const RELAYS: usize = 1024;

/// One probe of ours.
#[derive(Debug)]
struct Probe {
    target: PeerId,
    /// The target's counter when it began.
    refutation: u64,
    /// Its next step: to ask others, then to fail.
    due: Timestamp,
    /// How long it goes on after asking others; `None` once they are asked.
    then: Option<Duration>,
    asked: usize,
    witnesses: usize,
}

/// One probe that another peer asked for.
#[derive(Debug)]
struct Relay {
    target: PeerId,
    asker: Receiver,
    /// Its number at the asker.
    number: u64,
    /// Its next step: to say that nothing was heard, then to be forgotten.
    due: Timestamp,
    nacked: bool,
}

/// All open probes, by number.
#[derive(Debug)]
pub(super) struct Probes {
    open: BTreeMap<u64, Probe>,
    relays: BTreeMap<u64, Relay>,
    /// When the next one of ours begins.
    next: Timestamp,
    begun: u64,
    /// The number of the next one. It begins at random, so that an old answer fits nothing.
    number: u64,
}

impl Probes {
    pub(super) fn new(timing: &Timing, now: Timestamp, rng: &mut Rng) -> Self {
        let share = timing.probe_interval / 64;
        let next = now + share * u32::try_from(rng.below(64)).unwrap_or(0);
        let number = rng.next_u64() >> 32;
        Self { open: BTreeMap::new(), relays: BTreeMap::new(), next, begun: 0, number }
    }

    /// When something is to be done next.
    pub(super) fn due(&self) -> Timestamp {
        let open = self.open.values().map(|probe| probe.due);
        let relays = self.relays.values().map(|relay| relay.due);
        open.chain(relays).fold(self.next, Timestamp::min)
    }

    pub(super) fn is_open(&self, target: PeerId) -> bool {
        self.open.values().any(|probe| probe.target == target)
    }

    /// The target is gone, and with it what was to be found out.
    pub(super) fn close(&mut self, target: PeerId) {
        self.open.retain(|_, probe| probe.target != target);
    }

    pub(super) fn clear(&mut self) {
        self.open.clear();
        self.relays.clear();
    }

    /// Everything later by that much.
    pub(super) fn postpone(&mut self, by: Duration) {
        self.next = self.next + by;
        for probe in self.open.values_mut() {
            probe.due = probe.due + by;
        }
        for relay in self.relays.values_mut() {
            relay.due = relay.due + by;
        }
    }

    const fn take_number(&mut self) -> u64 {
        self.number = self.number.wrapping_add(1);
        self.number
    }
}

impl Swim {
    /// Begins a probe where one is due.
    pub(super) fn probe_next(&mut self, now: Timestamp) {
        if now < self.probes.next {
            return;
        }
        self.probes.next = now + self.awareness.stretch(self.timing.probe_interval);
        self.probes.begun += 1;
        let successor = self.peers.successor(self.me.peer);
        if let Some(peer) = successor {
            self.probe(now, peer);
        }
        if successor.is_none() || self.probes.begun.is_multiple_of(TURN_EVERY) {
            let other = self.peers.next_in_turn(&mut self.rng);
            if let Some(peer) = other.filter(|peer| !self.probes.is_open(peer.peer)) {
                self.probe(now, peer);
            }
        }
    }

    /// Begins a probe of this peer.
    pub(super) fn probe(&mut self, now: Timestamp, target: Update) {
        let number = self.probes.take_number();
        let whole = self.awareness.stretch(self.timing.probe_interval);
        let direct = self.awareness.stretch(self.timing.probe_timeout);
        let probe = Probe {
            target: target.peer,
            refutation: target.refutation,
            due: now + direct,
            then: Some(whole.saturating_sub(direct)),
            asked: 0,
            witnesses: 0,
        };
        self.probes.open.insert(number, probe);
        let body = Body::Ping { to: target.peer, probe: number };
        self.send(Receiver::datagram(&target), body, false);
    }

    /// Takes each open probe whose time has come one step on.
    pub(super) fn run_probes(&mut self, now: Timestamp) {
        let due: Vec<u64> = self
            .probes
            .open
            .iter()
            .filter(|(_, probe)| probe.due <= now)
            .map(|(number, _)| *number)
            .collect();
        for number in due {
            let Some(probe) = self.probes.open.get_mut(&number) else { continue };
            if let Some(then) = probe.then.take() {
                probe.due = probe.due.max(now) + then;
                let target = probe.target;
                self.ask_others(now, number, target);
            } else if let Some(probe) = self.probes.open.remove(&number) {
                self.probe_failed(now, &probe);
            }
        }
    }

    /// The datagram brought no answer: tries the link, and helpers.
    fn ask_others(&mut self, now: Timestamp, number: u64, target: PeerId) {
        let ping = Body::Ping { to: target, probe: number };
        self.send(Receiver::link(target), ping, false);
        let mut helpers = self.peers.sample(usize::MAX, Some(target), &mut self.rng);
        helpers.retain(|helper| helper.life == Life::Alive);
        helpers.truncate(self.timing.indirect_probes);
        if let Some(probe) = self.probes.open.get_mut(&number) {
            probe.asked = helpers.len();
        }
        for helper in helpers {
            let body = Body::PingReq { target, probe: number };
            self.send(Receiver::datagram(&helper), body, false);
        }
        // Where several are silent at once they need not wait for each other.
        if self.awareness.is_best() {
            let next = self.peers.successor(target);
            if let Some(next) = next.filter(|next| !self.probes.is_open(next.peer)) {
                self.probe(now, next);
            }
        }
    }

    fn probe_failed(&mut self, now: Timestamp, probe: &Probe) {
        // Helpers that are all silent say more about me than about the target.
        if probe.witnesses == 0 {
            self.awareness.worsen(probe.asked);
        }
        let held = self.peers.get(probe.target);
        if held.is_some_and(|held| held.refutation == probe.refutation && is_living(held.life)) {
            let (asked, witnesses) = (probe.asked, probe.witnesses);
            self.suspect(now, probe.target, Evidence::Probe { asked, witnesses });
        }
    }

    /// Answers a packet whose news is taken; says whether there was an answer. `correct`: the sender
    /// is to know what I am.
    pub(super) fn answer(
        &mut self,
        now: Timestamp,
        sender: Receiver,
        body: Body,
        correct: bool,
    ) -> bool {
        let staying = self.me.life != Life::Left;
        match body {
            Body::Ping { to, probe } if to == self.me.peer && staying => {
                if self.peers.get(sender.peer).is_none() {
                    self.send(sender, Body::Nack { probe }, false);
                }
                self.send(sender, Body::Ack { of: to, probe }, correct);
                return true;
            }
            Body::PingReq { target, probe } if target == self.me.peer && staying => {
                self.send(sender, Body::Ack { of: target, probe }, correct);
                return true;
            }
            Body::PingReq { target, probe } if staying => self.relay(now, sender, target, probe),
            Body::Ack { of, probe } => self.acknowledged(of, probe),
            Body::Nack { probe } => self.nacked(sender, probe),
            Body::Ping { .. } | Body::PingReq { .. } | Body::Gossip => {}
        }
        false
    }

    /// Probes a peer for another.
    fn relay(&mut self, now: Timestamp, asker: Receiver, target: PeerId, number: u64) {
        let Some(target) = self.peers.get(target).copied() else {
            self.send(asker, Body::Nack { probe: number }, false);
            return;
        };
        let relays = &self.probes.relays;
        let known = |relay: &Relay| (relay.asker.peer, relay.number) == (asker.peer, number);
        if relays.len() >= RELAYS || relays.values().any(known) {
            return;
        }
        let due = now + self.timing.probe_timeout * 4 / 5;
        let relay = Relay { target: target.peer, asker, number, due, nacked: false };
        let probe = self.probes.take_number();
        self.probes.relays.insert(probe, relay);
        let ping = Body::Ping { to: target.peer, probe };
        self.send(Receiver::datagram(&target), ping, false);
    }

    /// Says of each relay whose time has come that nothing was heard, then forgets it.
    pub(super) fn run_relays(&mut self, now: Timestamp) {
        let due: Vec<u64> = self
            .probes
            .relays
            .iter()
            .filter(|(_, relay)| relay.due <= now)
            .map(|(number, _)| *number)
            .collect();
        for number in due {
            let Some(relay) = self.probes.relays.get_mut(&number) else { continue };
            if relay.nacked {
                self.probes.relays.remove(&number);
                continue;
            }
            relay.nacked = true;
            relay.due = now + self.timing.probe_interval;
            let (asker, probe) = (relay.asker, relay.number);
            self.send(asker, Body::Nack { probe }, false);
        }
    }

    /// A peer answered a probe, of ours or through us.
    fn acknowledged(&mut self, of: PeerId, number: u64) {
        if self.probes.open.get(&number).is_some_and(|probe| probe.target == of) {
            self.probes.open.remove(&number);
            self.awareness.improve();
        }
        if self.probes.relays.get(&number).is_some_and(|relay| relay.target == of)
            && let Some(relay) = self.probes.relays.remove(&number)
        {
            self.send(relay.asker, Body::Ack { of, probe: relay.number }, false);
        }
    }

    /// A helper heard nothing from the target either; or the target itself does not know me.
    fn nacked(&mut self, sender: Receiver, number: u64) {
        let Some(probe) = self.probes.open.get_mut(&number) else { return };
        if probe.target == sender.peer {
            self.send(sender, Body::Gossip, true);
        } else {
            probe.witnesses = (probe.witnesses + 1).min(probe.asked);
        }
    }
}
