//! Round trips to all other peers, while a session rests on a quorum (R17).
//!
//! Everybody is asked over its link each quarter of the detection window. Who does not show the
//! asker to its own sessions does not answer, so an answer means: you count here.

use std::collections::{BTreeMap, BTreeSet};

use pogo_core::{
    id::{BootId, Scope},
    time::Timestamp,
};

use super::{Engine, LinkId, Output, SessionId, agenda::Timer};
use crate::{message::Message, peer::PeerId};

/// Who needs round trips, and when the last rounds were sent.
#[derive(Debug, Default)]
pub(super) struct Contacts {
    wanted_by: BTreeSet<SessionId>,
    rounds: BTreeMap<u64, Timestamp>,
    last: u64,
}

impl Contacts {
    /// When the next round begins, one after the other.
    fn begin(&mut self, now: Timestamp, keep: Timestamp) -> u64 {
        self.last += 1;
        self.rounds.retain(|_, asked| *asked >= keep);
        self.rounds.insert(self.last, now);
        self.last
    }
}

impl Engine {
    pub(super) fn on_probe_all(&mut self, session: SessionId, on: bool) {
        if !on {
            self.contacts.wanted_by.remove(&session);
        } else if self.contacts.wanted_by.insert(session) {
            self.ask_all();
        }
    }

    pub(super) fn no_contacts_for(&mut self, session: SessionId) {
        self.contacts.wanted_by.remove(&session);
    }

    /// Asks every peer, and comes back for the next round.
    pub(super) fn ask_all(&mut self) {
        if self.contacts.wanted_by.is_empty() {
            return;
        }
        let (now, window) = (self.now.mono, self.config.timing.detection);
        let round = self.contacts.begin(now, now.earlier_by(window));
        let links: Vec<LinkId> = self.alive().filter_map(|peer| self.links.to(peer)).collect();
        for link in links {
            self.send(link, Message::Ask(round));
        }
        self.note_contact(self.config.me, now);
        self.agenda.arm(Timer::Contacts, now + window / 4);
    }

    /// Somebody asks whether it counts here.
    pub(super) fn on_ask(&mut self, peer: PeerId, link: LinkId, round: u64) {
        if self.shown.has_peer(peer) {
            self.send(link, Message::Counted(round));
        }
    }

    /// This peer counts there.
    pub(super) fn on_counted(&mut self, peer: PeerId, round: u64) {
        if let Some(asked) = self.contacts.rounds.get(&round) {
            self.note_contact(peer, *asked);
        }
    }

    fn note_contact(&mut self, peer: PeerId, asked: Timestamp) {
        let sessions: Vec<(SessionId, Scope, BootId)> = self
            .contacts
            .wanted_by
            .iter()
            .filter_map(|id| {
                let session = self.sessions.get(*id)?;
                Some((*id, session.scope.clone(), session.boot))
            })
            .collect();
        for (session, scope, me) in sessions {
            let there = self.shown.members(&scope).filter(|it| it.peer == peer);
            let boots: Vec<BootId> =
                there.map(|it| it.info.id.boot).filter(|boot| *boot != me).collect();
            for member in boots {
                self.emit(Output::Contact { session, member, asked });
            }
        }
    }
}
