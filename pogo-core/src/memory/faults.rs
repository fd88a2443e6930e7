//! Faults that a test switches on: divisions, evictions, losses, outages.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    time::Duration,
};

use super::{
    feed::Channel,
    hub::Hub,
    island::{Table, shared_events},
    session::{Cut, SessionId},
};
use crate::{
    id::MemberName,
    membership::{DownReason, Event, Health},
    record::Key,
    time::{Now, Timestamp},
};

/// The shared records of one moment.
#[derive(Debug, Clone)]
pub struct Backup(Table);

impl Hub {
    /// Divides the cluster: members of different groups hear nothing of each other, and after the
    /// detection window hold each other to be dead. Names in no group share one more island. The
    /// claims stay with the island of most members; of two, with that of the lowest name.
    pub fn partition(&mut self, now: Now, groups: &[BTreeSet<MemberName>]) {
        self.advance(now.mono);
        self.regroup(now.mono, groups.to_vec());
    }

    /// Ends a division: records merge by R2's order, and members hear what they missed of each
    /// other.
    pub fn heal(&mut self, now: Now) {
        self.partition(now, &[]);
    }

    /// Whether a division is in force.
    pub const fn is_divided(&self) -> bool {
        self.islands.is_divided()
    }

    /// Ends a live member's session against its will.
    pub fn evict(&mut self, now: Now, member: &MemberName) {
        self.advance(now.mono);
        if let Some(session) = self.names.get(member).copied() {
            self.end_session(now.mono, session, DownReason::Failed);
        }
    }

    /// Loses all data: every session ends, and whoever knew the records is told to put them back
    /// when it joins again (R15). Tokens go on above all that were granted (R18).
    pub fn wipe(&mut self, now: Now) {
        self.advance(now.mono);
        self.lose_data(&Table::default());
        for session in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.end_session(now.mono, session, DownReason::Failed);
        }
    }

    /// A copy of the shared records for [`Hub::roll_back`].
    pub fn backup(&mut self) -> Backup {
        Backup(self.islands.table(self.islands.authority).clone())
    }

    /// Puts an older copy in the place of the shared records. Sessions live on.
    pub fn roll_back(&mut self, now: Now, backup: &Backup) {
        self.advance(now.mono);
        self.lose_data(&backup.0);
        for session in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.resync(now.mono, session, true);
        }
        self.alarms.extend(self.islands.next_collection());
    }

    /// Loses what is on its way to a member: a snapshot follows instead.
    pub fn lose_events(&mut self, now: Now, member: &MemberName) {
        self.advance(now.mono);
        if let Some(session) = self.names.get(member).copied() {
            self.resync(now.mono, session, false);
        }
    }

    /// Changes how long events travel from now on.
    pub const fn set_delay(&mut self, delay: &RangeInclusive<Duration>) {
        (self.network.shortest, self.network.longest) = (*delay.start(), *delay.end());
    }

    /// Begins or ends an outage of the whole store: nothing is read or written, nobody is
    /// declared dead, and afterwards everybody has the full time again to show a sign of life
    /// (R22).
    pub fn set_outage(&mut self, now: Now, outage: bool) {
        self.advance(now.mono);
        if self.outage != outage {
            self.outage = outage;
            self.refresh_leases(now.mono);
            self.tell_health(now.mono, |name, cut_off| !cut_off.contains(name), outage);
            if !outage {
                self.rearm(now.mono);
            }
        }
    }

    /// Cuts a member off from the store, or lets it back. After the detection window its session
    /// ends; it learns of that when it is back.
    pub fn set_member_outage(&mut self, now: Now, member: &MemberName, outage: bool) {
        let at = now.mono;
        self.advance(at);
        let changed =
            if outage { self.cut_off.insert(member.clone()) } else { self.cut_off.remove(member) };
        let give_up_at = self.give_up_at(at);
        let session = self.names.get(member).and_then(|session| self.sessions.get_mut(session));
        if let Some(stay) = session.filter(|stay| changed && !stay.dead) {
            stay.given_up_at = outage.then_some(give_up_at);
            self.alarms.extend(stay.given_up_at);
        }
        if changed {
            self.refresh_leases(at);
            if !self.outage {
                self.tell_health(at, |name, _| name == member, outage);
            }
            self.sweep(at);
        }
    }

    fn lose_data(&mut self, left: &Table) {
        self.islands.replace_all(left);
        self.claims.begin_epoch();
        self.losses += 1;
    }

    fn tell_health(
        &mut self,
        at: Timestamp,
        concerns: impl Fn(&MemberName, &BTreeSet<MemberName>) -> bool,
        outage: bool,
    ) {
        let health = if outage {
            Health::Degraded { reason: "the store does not answer".to_owned() }
        } else {
            Health::Healthy
        };
        for stay in self.sessions.values_mut().filter(|stay| !stay.dead) {
            if concerns(&stay.id.name, &self.cut_off) {
                stay.feed.push_health(at, health.clone());
            }
        }
    }

    /// Gives everybody the full time again, as the store could hear nobody.
    fn rearm(&mut self, at: Timestamp) {
        let give_up_at = self.give_up_at(at);
        let lease_until = at + self.config.lease_ttl;
        self.alarms = BTreeSet::from([at, give_up_at, lease_until]);
        for stay in self.sessions.values_mut() {
            let cuts = stay.cuts.values_mut().map(|cut| &mut cut.given_up_at);
            for deadline in cuts.chain([&mut stay.given_up_at]).filter_map(Option::as_mut) {
                *deadline = give_up_at;
            }
        }
        self.leases.values_mut().for_each(|until| *until = lease_until);
    }

    fn regroup(&mut self, at: Timestamp, groups: Vec<BTreeSet<MemberName>>) {
        let live = self.sessions.values().filter(|stay| !stay.dead);
        let live: Vec<MemberName> = live.map(|stay| stay.id.name.clone()).collect();
        let news = self.islands.regroup(at, groups, &live);
        let network = self.network;
        for stay in self.sessions.values_mut() {
            let old = stay.island;
            stay.island = self.islands.of(&stay.id.name);
            let unseen = news.get(&(old, stay.island)).filter(|_| !stay.dead);
            for event in unseen.into_iter().flat_map(|records| shared_events(records)) {
                stay.feed.push(at, &network, Channel::Store, event);
            }
        }
        for reader in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.reconnect(at, reader);
            self.disconnect(at, reader);
        }
        self.refresh_leases(at);
        for session in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.tell_missed_claims(at, session);
        }
        self.alarms.insert(at);
    }

    /// Lets a reader hear again those who are now on its island.
    fn reconnect(&mut self, at: Timestamp, reader: SessionId) {
        let Some(stay) = self.sessions.get_mut(&reader) else { return };
        let (near, away): (BTreeMap<SessionId, Cut>, _) = std::mem::take(&mut stay.cuts)
            .into_iter()
            .partition(|(_, cut)| self.islands.of(&cut.author.name) == stay.island);
        stay.cuts = away;
        let network = self.network;
        for (author, cut) in near {
            let events = match self.sessions.get(&author) {
                Some(author) if cut.given_up_at.is_none() => {
                    let updates = author.owned_updates();
                    let owned =
                        (!updates.is_empty()).then(|| Event::Owned(author.id.clone(), updates));
                    [Event::MemberUp(author.info())].into_iter().chain(owned).collect()
                }
                _ => cut.missed,
            };
            if let Some(stay) = self.sessions.get_mut(&reader).filter(|stay| !stay.dead) {
                for event in &events {
                    stay.hear(at, &network, (author, &cut.author), event);
                }
            }
        }
    }

    /// Cuts a reader off from those who are now on other islands.
    fn disconnect(&mut self, at: Timestamp, reader: SessionId) {
        let given_up_at = self.give_up_at(at);
        let Some(island) = self.sessions.get(&reader).map(|stay| stay.island) else { return };
        let away = self.sessions.iter().filter(|(_, other)| other.island != island);
        let away: Vec<_> = away.map(|(session, other)| (*session, other.id.clone())).collect();
        let Some(stay) = self.sessions.get_mut(&reader) else { return };
        for (session, author) in away {
            stay.cuts.entry(session).or_insert_with(|| {
                self.alarms.insert(given_up_at);
                Cut { author, given_up_at: Some(given_up_at), missed: Vec::new() }
            });
        }
    }

    /// Claims may have been freed while the one who waits for them was out of reach.
    fn tell_missed_claims(&mut self, at: Timestamp, session: SessionId) {
        let authority = self.islands.authority;
        let Some(stay) = self.sessions.get(&session).filter(|s| s.island == authority) else {
            return;
        };
        let freed = stay.waiting.iter().filter(|key| self.claims.is_free(key));
        let freed: Vec<Key> = freed.cloned().collect();
        self.tell_free(at, session, freed);
    }
}
