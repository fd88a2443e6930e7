//! The whole cluster's store and network as plain data.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    claims::Claims,
    config::HubConfig,
    feed::Network,
    island::Islands,
    session::{Ended, Session, SessionId},
};
use crate::{
    id::{BootId, Incarnation, MemberId, MemberName},
    membership::{Capabilities, Event},
    time::Timestamp,
};

/// One (cluster, scope): its members, records and claims, and the network between them.
///
/// Every method that takes the time first does what has fallen due by then. Nothing fires by
/// itself: call [`Hub::advance`] and [`Hub::poll_event`] when [`Hub::poll_timeout`] has come.
#[derive(Debug, Clone)]
pub struct Hub {
    pub(super) config: HubConfig,
    pub(super) network: Network,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    pub(super) names: BTreeMap<MemberName, SessionId>,
    pub(super) ended: BTreeMap<SessionId, Ended>,
    pub(super) next_session: u64,
    pub(super) incarnations: BTreeMap<MemberName, Incarnation>,
    pub(super) islands: Islands,
    pub(super) claims: Claims,
    /// Until when sessions without contact keep their claims.
    pub(super) leases: BTreeMap<SessionId, Timestamp>,
    /// How many losses of data each process was told of, by its boot id.
    pub(super) boots: BTreeMap<BootId, u64>,
    pub(super) losses: u64,
    pub(super) outage: bool,
    pub(super) cut_off: BTreeSet<MemberName>,
    /// When a deadline may have passed; each is then looked up where it is kept.
    pub(super) alarms: BTreeSet<Timestamp>,
}

impl Hub {
    /// An empty hub.
    pub fn new(config: HubConfig) -> Self {
        let (shortest, longest) = (*config.delay.start(), *config.delay.end());
        Self {
            network: Network { seed: config.seed, shortest, longest },
            config,
            sessions: BTreeMap::new(),
            names: BTreeMap::new(),
            ended: BTreeMap::new(),
            next_session: 0,
            incarnations: BTreeMap::new(),
            islands: Islands::default(),
            claims: Claims::default(),
            leases: BTreeMap::new(),
            boots: BTreeMap::new(),
            losses: 0,
            outage: false,
            cut_off: BTreeSet::new(),
            alarms: BTreeSet::new(),
        }
    }

    /// What it promises.
    pub const fn capabilities(&self) -> Capabilities {
        self.config.capabilities()
    }

    /// The next event of a session that is due.
    pub fn poll_event(&mut self, now: Timestamp, session: SessionId) -> Option<Event> {
        self.advance(now);
        if let Some(open) = self.sessions.get_mut(&session) {
            let held = self.outage || self.cut_off.contains(&open.id.name);
            let event = open.feed.pop(now, held);
            if event == Some(Event::Synced) {
                open.is_reading = false;
                self.boots.insert(open.id.boot, open.losses);
            }
            return event;
        }
        let ended = self.ended.get_mut(&session)?;
        let held = self.outage || self.cut_off.contains(&ended.id.name);
        let event = ended.feed.pop(now, held);
        if event == Some(Event::Evicted) {
            self.ended.remove(&session);
        }
        event
    }

    /// The earliest time at which a session has an event due or a deadline of the hub passes.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let sessions = self.sessions.keys().chain(self.ended.keys());
        sessions.filter_map(|id| self.next_event_at(*id)).chain(self.next_deadline()).min()
    }

    /// The earliest time at which a deadline of the hub passes.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.alarms.first().copied().filter(|_| !self.outage)
    }

    /// When a session's next event is due.
    pub fn next_event_at(&self, session: SessionId) -> Option<Timestamp> {
        let (feed, id) = match self.sessions.get(&session) {
            Some(open) => (&open.feed, &open.id),
            None => self.ended.get(&session).map(|ended| (&ended.feed, &ended.id))?,
        };
        feed.next_at(self.is_held_off(&id.name))
    }

    /// Whether the session may have more events.
    pub fn is_open(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session) || self.ended.contains_key(&session)
    }

    /// Until when the session's claims are its own whatever happens; `None` without claims.
    pub fn lease_deadline(&self, now: Timestamp, session: SessionId) -> Option<Timestamp> {
        let known = self.config.claims && self.is_open(session);
        let without_contact = self.leases.get(&session).copied();
        known.then(|| without_contact.unwrap_or_else(|| now + self.config.lease_ttl))
    }

    /// Whether the store does not answer members of this name.
    pub(super) fn is_held_off(&self, name: &MemberName) -> bool {
        self.outage || self.cut_off.contains(name)
    }

    /// Does what has fallen due; during an outage nothing does, the store being frozen (R22).
    pub fn advance(&mut self, now: Timestamp) {
        while !self.outage && self.alarms.first().is_some_and(|alarm| *alarm <= now) {
            if let Some(alarm) = self.alarms.pop_first() {
                self.sweep(alarm);
            }
        }
    }

    /// When to hold a member dead that fell silent at `at`: the news still has to travel.
    pub(super) fn give_up_at(&self, at: Timestamp) -> Timestamp {
        at + self.config.detection.saturating_sub(self.network.longest)
    }

    /// Sends `event` about `author` to every other member, or to the author as well.
    pub(super) fn announce(
        &mut self,
        at: Timestamp,
        author: (SessionId, &MemberId),
        event: &Event,
        to_author: ToAuthor,
    ) {
        let network = self.network;
        for (id, reader) in &mut self.sessions {
            if !reader.dead && (*id != author.0 || to_author == ToAuthor::Yes) {
                reader.hear(at, &network, author, event);
            }
        }
    }
}

/// Whether the one an event is about hears of it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ToAuthor {
    Yes,
    No,
}
