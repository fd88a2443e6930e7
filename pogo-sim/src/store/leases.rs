//! Leases: renewals, what happens where they fail, and connections that break and come back.

use std::time::Duration;

use pogo_core::{
    id::MemberName,
    membership::{DownReason, Event, Health},
    time::Timestamp,
};

use super::{SessionId, Step, StoreModel, ambiguous, client::Client};

/// Clients that lost their connection try again within this.
const RECONNECT: Duration = Duration::from_millis(500);

impl StoreModel {
    /// Begins a new chain of renewals, the first of them sent at `sent`.
    pub(super) fn begin_renewals(&mut self, now: Timestamp, session: SessionId, sent: Timestamp) {
        let pace = self.pace;
        let Some(client) = self.clients.get_mut(&session) else { return };
        client.chain += 1;
        let arrival = (sent + client.line.way(&pace)).max(now);
        let chain = client.chain;
        self.add(arrival, Step::Renew(session, chain, sent));
    }

    /// Every client that is connected sends a renewal now.
    pub(super) fn renew_all(&mut self, now: Timestamp) {
        let sends = |client: &Client| client.is_up && !client.is_paused && !client.has_left;
        let clients = self.clients.iter().filter(|(_, client)| sends(client));
        for session in clients.map(|(session, _)| *session).collect::<Vec<_>>() {
            self.begin_renewals(now, session, now);
        }
    }

    /// A renewal reaches the server, or nobody.
    pub(super) fn renew(&mut self, at: Timestamp, session: SessionId, chain: u64, sent: Timestamp) {
        let (pace, patience, every) = (self.pace, self.patience(), self.config.lease_ttl / 4);
        let Some(client) = self.clients.get_mut(&session) else { return };
        // One that pauses sends nothing; resuming begins a new chain.
        if client.chain != chain || client.has_left || client.is_paused {
            return;
        }
        let name = &client.id.name;
        if !self.faults.is_reachable(name) || self.faults.is_denied(name) {
            self.add((sent + patience).max(at), Step::Notice(session));
            return;
        }
        let back = at + client.line.way(&pace);
        if client.life != self.server.life {
            let link = client.link;
            self.add(back, Step::Reconnect(session, link));
            return;
        }
        if !self.server.renew(at, &client.id, session) {
            self.add(back, Step::LeaseGone(session));
            return;
        }
        client.await_ack(at, back, sent);
        let next = sent + every;
        let arrival = (next + client.line.way(&pace)).max(at);
        self.add(arrival, Step::Renew(session, chain, next));
        self.refuse_heirs(session);
    }

    /// A client has waited for something in vain.
    pub(super) fn notice(&mut self, session: SessionId) {
        let Some(client) = self.clients.get(&session) else { return };
        if self.faults.is_denied(&client.id.name) {
            self.break_link(session, "access is denied");
        } else if !self.faults.is_reachable(&client.id.name) {
            self.break_link(session, "the store does not answer");
        }
    }

    /// A client knows that its connection is broken.
    pub(super) fn break_link(&mut self, session: SessionId, reason: &str) {
        let Some(client) = self.clients.get_mut(&session).filter(|client| client.is_up) else {
            return;
        };
        client.is_up = false;
        client.link += 1;
        client.chain += 1;
        self.degrade(session, reason);
    }

    /// A client's connection is reset: what was under way on it may have run.
    pub(super) fn reset_link(&mut self, session: SessionId) {
        self.break_link(session, "the store does not answer");
        let Some(client) = self.clients.get_mut(&session) else { return };
        client.link += 1;
        for id in std::mem::take(&mut client.open).into_keys() {
            self.answer(session, id, ambiguous("the connection was reset"));
        }
    }

    fn degrade(&mut self, session: SessionId, reason: &str) {
        let Some(client) = self.clients.get(&session) else { return };
        let memory = self.memories.entry(client.id.boot).or_default();
        if !std::mem::replace(&mut memory.is_degraded, true) {
            let health = Health::Degraded { reason: reason.to_owned() };
            self.tell_event(session, Event::Health(health));
        }
    }

    pub(super) fn recover(&mut self, session: SessionId) {
        let Some(client) = self.clients.get(&session) else { return };
        let memory = self.memories.entry(client.id.boot).or_default();
        if std::mem::take(&mut memory.is_degraded) {
            self.tell_event(session, Event::Health(Health::Healthy));
        }
    }

    /// Clients try to connect again, each in its own time.
    pub(super) fn reconnect_soon(&mut self, now: Timestamp, who: impl Fn(&MemberName) -> bool) {
        let pace = self.pace;
        let mut steps = Vec::new();
        for (session, client) in &mut self.clients {
            if who(&client.id.name) && !client.has_left {
                let wait = client.line.below("store reconnect", &pace, RECONNECT);
                let after = wait + client.line.way(&pace);
                steps.push((now + after, Step::Reconnect(*session, client.link)));
            }
        }
        for (at, step) in steps {
            self.add(at, step);
        }
    }

    /// A client is connected again: its lease comes first, then its feed goes on where it was.
    pub(super) fn reconnect(&mut self, at: Timestamp, session: SessionId, link: u64) {
        let pace = self.pace;
        let Some(client) = self.clients.get_mut(&session) else { return };
        let name = &client.id.name;
        let is_due = client.link == link && !client.has_left && !client.is_paused;
        if !is_due || !self.faults.is_reachable(name) || self.faults.is_denied(name) {
            return;
        }
        if client.life != self.server.life {
            // Others may be lost with the same blow: who is gone is not known yet (R22).
            self.degrade(session, "the store has lost data");
            self.end(session);
            return;
        }
        let (there, back) = (client.line.way(&pace), client.line.way(&pace));
        if !self.server.renew(at, &client.id, session) {
            self.add(at + back, Step::LeaseGone(session));
            return;
        }
        client.is_up = true;
        let sent = at.earlier_by(there);
        client.await_ack(at, at + back, sent);
        self.begin_renewals(at, session, sent + self.config.lease_ttl / 4);
        self.recover(session);
        self.refuse_heirs(session);
        self.resume_feed(at, session);
    }

    /// The session has ended, and its member is told so.
    pub(super) fn end(&mut self, session: SessionId) {
        let Some(client) = self.clients.remove(&session) else { return };
        for id in client.open.into_keys() {
            self.answer(session, id, ambiguous("the session has ended"));
        }
        if !client.has_left {
            self.tell_event(session, Event::Evicted);
        }
    }

    /// A process stops running for a while, or goes on.
    pub fn set_paused(&mut self, now: Timestamp, session: SessionId, paused: bool) {
        self.pause_joiner(session, paused);
        let Some(client) = self.clients.get_mut(&session) else { return };
        if client.is_paused == paused {
            return;
        }
        client.is_paused = paused;
        client.chain += 1;
        if !paused {
            let link = client.link;
            self.add(now, Step::Reconnect(session, link));
        }
    }

    /// The server looks for expired leases.
    pub(super) fn sweep(&mut self, at: Timestamp) {
        self.sweeps_at = None;
        if self.faults.is_down() {
            return;
        }
        let heirs = self.heirs();
        let why = |name: &MemberName| {
            if heirs.contains(name) { DownReason::Replaced } else { DownReason::Failed }
        };
        self.server.sweep(at, why);
        self.wake_feeds(at);
        self.arm_sweep();
        self.let_heirs_in(at);
    }

    pub(super) fn arm_sweep(&mut self) {
        let next = self.server.next_sweep();
        if let Some(at) = next.filter(|at| self.sweeps_at.is_none_or(|armed| *at < armed)) {
            self.sweeps_at = Some(at);
            self.add(at, Step::Sweep);
        }
    }
}
