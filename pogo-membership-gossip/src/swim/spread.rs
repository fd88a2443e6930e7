//! How news leaves: at once over links while each pair has one, and in rounds to a few peers.

use std::time::Duration;

use pogo_core::time::Timestamp;

use super::{Body, FULL_MESH, Packet, Swim, SwimOutput, Via, rumours::retransmits};
use crate::peer::{Life, PeerId, Update};

/// When the next round of gossip is due.
#[derive(Debug)]
pub(super) struct Round {
    /// No round before this.
    earliest: Timestamp,
    due: Option<Timestamp>,
}

impl Round {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self { earliest: now, due: None }
    }

    pub(super) const fn due(&self) -> Option<Timestamp> {
        self.due
    }
}

/// To whom a packet goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Receiver {
    pub(super) peer: PeerId,
    pub(super) via: Via,
}

impl Receiver {
    /// By datagram, to where it listens.
    pub(super) const fn datagram(update: &Update) -> Self {
        Self { peer: update.peer, via: Via::Datagram(update.addr) }
    }

    pub(super) const fn link(peer: PeerId) -> Self {
        Self { peer, via: Via::Link }
    }
}

impl Swim {
    /// Sends a packet with as much news as fits. A peer that is not held to be alive is told so
    /// first, so that it can contradict.
    pub(super) fn send(&mut self, to: Receiver, body: Body, tell_mine: bool) {
        let held = self.peers.get(to.peer).filter(|held| held.life != Life::Alive);
        let mut updates: Vec<Update> = held.into_iter().copied().collect();
        if tell_mine {
            updates.push(self.me);
        }
        self.rumours.fill(&mut updates, retransmits(self.peers.living()));
        self.emit(to, body, updates);
    }

    fn emit(&mut self, to: Receiver, body: Body, updates: Vec<Update>) {
        let packet = Packet { from: self.me.peer, body, updates };
        self.outputs.push_back(match to.via {
            Via::Datagram(addr) => SwimOutput::Datagram { to: addr, packet },
            Via::Link => SwimOutput::Link { to: to.peer, packet },
        });
    }

    /// A round of gossip, where one is due.
    pub(super) fn gossip(&mut self, now: Timestamp) {
        if self.round.due.is_none_or(|due| now < due) {
            return;
        }
        self.round.due = None;
        self.round.earliest = now + self.timing.gossip_interval;
        for peer in self.peers.sample(self.timing.gossip_fanout, None, &mut self.rng) {
            if self.rumours.is_empty() {
                break;
            }
            self.send(Receiver::datagram(&peer), Body::Gossip, false);
        }
    }

    /// The end of an input: sends what is urgent, and sees to it that other news has a round.
    pub(super) fn finish(&mut self, now: Timestamp) {
        let urgent = std::mem::take(&mut self.urgent);
        let meshed = self.peers.living() < FULL_MESH;
        if !urgent.is_empty() && meshed {
            self.push(&urgent);
        }
        if self.rumours.is_empty() {
            self.round.due = None;
        } else if self.round.due.is_none() {
            // With links to all, a round only fills gaps. Without, it goes at once where none just went.
            let wait = if meshed { self.timing.gossip_interval } else { Duration::ZERO };
            self.round.due = Some(self.round.earliest.max(now + wait));
        }
        self.awaited = self.next_deadline(now);
    }

    /// Tells everybody over links, and a few by datagram, since the process may be gone soon.
    pub(super) fn say_goodbye(&mut self) {
        self.rumours.add(self.me);
        self.urgent.push(self.me);
        for peer in self.peers.sample(FULL_MESH, None, &mut self.rng) {
            self.emit(Receiver::datagram(&peer), Body::Gossip, vec![self.me]);
        }
    }

    fn push(&mut self, urgent: &[Update]) {
        let receivers = self.peers.sample(FULL_MESH, None, &mut self.rng);
        for peer in receivers {
            self.emit(Receiver::link(peer.peer), Body::Gossip, urgent.to_vec());
        }
    }
}
