//! Who is gone, who finds out when, and what that frees.

use std::collections::BTreeSet;

use super::{
    feed::{Channel, Feed},
    hub::{Hub, ToAuthor},
    session::{Crash, Ended, SessionId},
};
use crate::{
    membership::{DownReason, Event},
    record::Key,
    time::{Now, Timestamp},
};

impl Hub {
    /// Ends a member's process without a farewell. A crash of which no word can get out is silent
    /// whatever `how` says.
    pub fn crash(&mut self, now: Now, session: SessionId, how: Crash) {
        let at = now.mono;
        self.advance(at);
        if let Some(ended) = self.ended.remove(&session) {
            self.boots.remove(&ended.id.boot);
            return;
        }
        let give_up_at = self.give_up_at(at);
        let Some(stay) = self.sessions.get_mut(&session).filter(|stay| !stay.dead) else { return };
        self.boots.remove(&stay.id.boot);
        stay.dead = true;
        stay.feed = Feed::new(&self.network, &stay.id.name);
        let held_off = self.outage || self.cut_off.contains(&stay.id.name);
        if how == Crash::Silent || held_off {
            let deadline = *stay.given_up_at.get_or_insert(give_up_at);
            self.alarms.insert(deadline);
            self.refresh_leases(at);
            return;
        }
        let has_contact = stay.island == self.islands.authority;
        self.end_session(at, session, DownReason::Failed);
        if has_contact {
            self.free_claims(at, session);
        }
    }

    /// Looks up every deadline that may have passed at `at`.
    pub(super) fn sweep(&mut self, at: Timestamp) {
        if self.outage {
            return;
        }
        let overdue = |deadline: Option<Timestamp>| deadline.is_some_and(|d| d <= at);
        let silent = self.sessions.iter().filter(|(_, stay)| overdue(stay.given_up_at));
        for session in silent.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.end_session(at, session, DownReason::Failed);
        }
        let network = self.network;
        for reader in self.sessions.values_mut().filter(|reader| !reader.dead) {
            let cut = reader.cuts.iter().filter(|(_, cut)| overdue(cut.given_up_at));
            for author in cut.map(|(id, _)| *id).collect::<Vec<_>>() {
                reader.give_up(at, &network, author);
            }
        }
        let expired = self.leases.iter().filter(|(_, until)| **until <= at);
        for session in expired.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.free_claims(at, session);
        }
        let (sessions, ended) = (&self.sessions, &self.ended);
        self.leases.retain(|session, until| {
            *until > at || sessions.contains_key(session) || ended.contains_key(session)
        });
        self.collect(at);
    }

    /// Closes a session. A process that lives on finds out by `Evicted`; its claims stay until
    /// its lease has run out.
    pub(super) fn end_session(&mut self, at: Timestamp, session: SessionId, reason: DownReason) {
        let Some(stay) = self.sessions.remove(&session) else { return };
        self.names.remove(&stay.id.name);
        let down = Event::MemberDown(stay.id.clone(), reason);
        self.announce(at, (session, &stay.id), &down, ToAuthor::No);
        let until = at + self.config.lease_ttl;
        let until = *self.leases.entry(session).or_insert(until);
        self.alarms.insert(until.max(at));
        if !stay.dead {
            let mut feed = stay.feed;
            feed.lose_pending();
            feed.push(at, &self.network, Channel::Store, Event::Evicted);
            self.ended.insert(session, Ended { id: stay.id, feed });
        }
    }

    /// Starts the lease's end for those without contact to the claims, and stops it for the
    /// others.
    pub(super) fn refresh_leases(&mut self, at: Timestamp) {
        for (session, stay) in &self.sessions {
            let reachable = !self.outage && !self.cut_off.contains(&stay.id.name);
            if reachable && !stay.dead && stay.island == self.islands.authority {
                self.leases.remove(session);
            } else if !self.leases.contains_key(session) {
                let until = at + self.config.lease_ttl;
                self.leases.insert(*session, until);
                self.alarms.insert(until);
            }
        }
    }

    /// Frees all claims of a session whose right to them has ended.
    pub(super) fn free_claims(&mut self, at: Timestamp, session: SessionId) {
        let freed = self.claims.release_all(session);
        self.tell_all_free(at, &freed);
    }

    pub(super) fn tell_all_free(&mut self, at: Timestamp, freed: &BTreeSet<Key>) {
        if freed.is_empty() {
            return;
        }
        let authority = self.islands.authority;
        let near = self.sessions.iter().filter(|(_, s)| s.island == authority);
        for session in near.map(|(id, _)| *id).collect::<Vec<_>>() {
            let mine = self.sessions.get(&session).map(|stay| freed & &stay.waiting);
            self.tell_free(at, session, mine.into_iter().flatten().collect());
        }
    }

    pub(super) fn tell_free(&mut self, at: Timestamp, session: SessionId, keys: Vec<Key>) {
        let Some(stay) = self.sessions.get_mut(&session).filter(|s| !s.dead) else { return };
        if !keys.is_empty() {
            for key in &keys {
                stay.waiting.remove(key);
            }
            stay.feed.push(at, &self.network, Channel::Store, Event::ClaimFree(keys));
        }
    }

    /// Drops old tombstones and completions once every member that could bring the old record
    /// back has seen them (R19).
    fn collect(&mut self, at: Timestamp) {
        let anyone_away = self.islands.is_divided()
            || !self.cut_off.is_empty()
            || self.sessions.values().any(|stay| stay.given_up_at.is_some());
        if anyone_away {
            return;
        }
        let gone = self.islands.table(self.islands.authority).collect(at);
        if !gone.is_empty() {
            let network = self.network;
            for reader in self.sessions.values_mut() {
                reader.feed.push_fence(at, &network, [Event::SharedGone(gone.clone())]);
            }
        }
        self.alarms.extend(self.islands.next_collection());
    }
}
