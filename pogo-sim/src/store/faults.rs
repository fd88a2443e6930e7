//! What goes wrong with a store, or with a member's way to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use pogo_core::{id::MemberName, time::Timestamp};

use super::{SessionId, Step, StoreModel, server::Backup};

/// How long a store is without a leader at least; at most it is twice that.
const ELECTION: Duration = Duration::from_secs(2);

/// The faults that are in force.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    is_out: bool,
    /// The election that is under way.
    election: Option<u64>,
    elections: u64,
    cut_off: BTreeSet<MemberName>,
    denied: BTreeSet<MemberName>,
    stale: BTreeMap<MemberName, Duration>,
    /// Names in none of the groups share one more; and which of them all has the store.
    groups: Vec<BTreeSet<MemberName>>,
    authority: usize,
    backup: Option<Backup>,
}

impl Faults {
    /// Whether the server answers nobody.
    pub(super) const fn is_down(&self) -> bool {
        self.is_out || self.election.is_some()
    }

    /// Whether a member of this name reaches the server, and the server answers.
    pub(super) fn is_reachable(&self, name: &MemberName) -> bool {
        !self.is_down() && !self.cut_off.contains(name) && self.is_near(name)
    }

    fn is_near(&self, name: &MemberName) -> bool {
        self.groups.is_empty() || group_of(&self.groups, name) == self.authority
    }

    pub(super) fn is_denied(&self, name: &MemberName) -> bool {
        self.denied.contains(name)
    }

    pub(super) fn stale(&self, name: &MemberName) -> Duration {
        self.stale.get(name).copied().unwrap_or_default()
    }
}

impl StoreModel {
    /// A process ends without a word. What it sent may still arrive; its lease runs out.
    pub fn crash(&mut self, session: SessionId) {
        self.joiners.remove(&session);
        self.clients.remove(&session);
    }

    /// Begins or ends an outage of the whole store. Afterwards every lease has its full time again
    /// (R22).
    pub fn set_outage(&mut self, now: Timestamp, outage: bool) {
        let was_down = self.faults.is_down();
        self.faults.is_out = outage;
        self.after_down(now, was_down);
    }

    /// The leader goes: nothing is answered for 2 to 4 s. A best-effort store also loses its last
    /// `lost` writes, or cannot say that it lost none.
    pub fn fail_over(&mut self, now: Timestamp, lost: u64) {
        let was_down = self.faults.is_down();
        self.faults.elections += 1;
        let election = self.faults.elections;
        self.faults.election = Some(election);
        if self.server.strength == super::Strength::BestEffort {
            self.server.lose(now, lost);
        }
        let nanos = u64::try_from(ELECTION.as_nanos()).unwrap_or(u64::MAX);
        let more = self.pace.draws.below("store election", "", election, nanos);
        self.add(now + ELECTION + Duration::from_nanos(more), Step::Elected(election));
        self.after_down(now, was_down);
    }

    pub(super) fn elected(&mut self, at: Timestamp, election: u64) {
        if self.faults.election == Some(election) {
            self.faults.election = None;
            self.after_down(at, true);
        }
    }

    /// Everything that the store does takes so many times longer from now on. What is under way in
    /// feeds comes at the new pace, too, and a renewal under way at a slower one is not waited for.
    pub fn set_slow(&mut self, now: Timestamp, factor: u32) {
        let former = std::mem::replace(&mut self.pace.slow, factor.max(1));
        self.let_feeds_go(now, |_| true);
        if self.pace.slow < former {
            self.renew_all(now);
        }
    }

    /// Changes how long events take, those under way too.
    pub fn set_delay(&mut self, now: Timestamp, delay: Duration) {
        self.pace.delay = delay;
        self.let_feeds_go(now, |_| true);
    }

    /// Cuts a member off from the store, or lets it back.
    pub fn set_cut_off(&mut self, now: Timestamp, member: &MemberName, cut_off: bool) {
        if cut_off {
            self.faults.cut_off.insert(member.clone());
        } else if self.faults.cut_off.remove(member) {
            self.reconnect_soon(now, |name| name == member);
        }
    }

    /// Refuses a member's credentials, or accepts them again.
    pub fn set_denied(&mut self, now: Timestamp, member: &MemberName, denied: bool) {
        if denied {
            self.faults.denied.insert(member.clone());
        } else if self.faults.denied.remove(member) {
            self.reconnect_soon(now, |name| name == member);
        }
    }

    /// Holds a member's feed back by so much from now on. What is held back comes at once when that
    /// ends.
    pub fn set_stale(&mut self, now: Timestamp, member: &MemberName, by: Duration) {
        if !by.is_zero() {
            self.faults.stale.insert(member.clone(), by);
        } else if self.faults.stale.remove(member).is_some() {
            self.let_feeds_go(now, |name| name == member);
        }
    }

    /// Draws anew when the next commit comes.
    fn let_feeds_go(&mut self, now: Timestamp, whose: impl Fn(&MemberName) -> bool) {
        let held = self.clients.iter_mut().filter(|(_, client)| whose(&client.id.name));
        let mut sessions = Vec::new();
        for (session, client) in held {
            (client.due, client.last_due) = (None, now);
            sessions.push(*session);
        }
        for session in sessions {
            self.wake_feed(now, session);
        }
    }

    /// By how much everything that the store does takes longer.
    pub const fn slow(&self) -> u32 {
        self.pace.slow
    }

    /// Whether anything is wrong that lasts until it is ended.
    pub fn is_faulty(&self) -> bool {
        let faults = &self.faults;
        self.pace.slow != 1 || !faults.stale.is_empty() || self.is_divided()
    }

    /// Whether some members, or all of them, do not reach the store or have no access to it: they
    /// hear nothing of the others.
    pub fn is_divided(&self) -> bool {
        let Faults { cut_off, denied, groups, .. } = &self.faults;
        let is_cut = !cut_off.is_empty() || !denied.is_empty() || !groups.is_empty();
        is_cut || self.faults.is_down() || self.is_too_slow()
    }

    /// Whether the store is so slow that a member may not hear in time that its lease was renewed:
    /// of renewals every quarter of it, R16 leaves a little more than a third to an answer. That is
    /// the same for a member as being cut off.
    fn is_too_slow(&self) -> bool {
        // A draw of a way is at most ten times its mean, which is half of the latency.
        let longest = self.pace.latency * 10 * self.pace.slow;
        self.pace.slow > 1 && longest > self.config.lease_ttl / 3
    }

    /// The most that any member's feed is held back.
    pub fn most_stale(&self) -> Duration {
        self.faults.stale.values().max().copied().unwrap_or_default()
    }

    /// Divides the members: the group of most of them keeps the store; of two, that of the lowest
    /// name. Names in no group share one more. No groups end the division.
    pub fn divide(&mut self, now: Timestamp, groups: &[BTreeSet<MemberName>]) {
        let was_near: BTreeSet<MemberName> =
            self.names().filter(|n| self.faults.is_near(n)).collect();
        let live: BTreeSet<MemberName> = self.names().collect();
        self.faults.authority = largest(groups, &live);
        self.faults.groups = groups.to_vec();
        let back: BTreeSet<MemberName> =
            live.into_iter().filter(|n| self.faults.is_near(n) && !was_near.contains(n)).collect();
        self.reconnect_soon(now, |name| back.contains(name));
    }

    /// Loses what is on its way to a member: its feed begins anew with a snapshot.
    pub fn lose_events(&mut self, now: Timestamp, member: &MemberName) {
        let sessions = self.clients.iter().filter(|(_, client)| client.id.name == *member);
        for session in sessions.map(|(session, _)| *session).collect::<Vec<_>>() {
            self.begin_snapshot(now, session);
        }
    }

    /// Forgets the log: whoever is behind finds nothing to go on from.
    pub fn compact(&mut self) {
        self.server.compact();
    }

    /// Ends a member's stay against its will; its claims stay until its lease has run out.
    pub fn evict(&mut self, now: Timestamp, member: &MemberName) {
        self.server.evict(now, member);
        self.wake_feeds(now);
    }

    /// Ends a member's lease before its time, its claims with it: a fault of the store that only
    /// fencing tokens withstand.
    pub fn expire(&mut self, now: Timestamp, member: &MemberName) {
        if let Some((_, Some(session))) = self.server.member(member) {
            self.server.revoke(now, session, pogo_core::membership::DownReason::Failed);
            self.wake_feeds(now);
        }
    }

    /// The server comes back empty.
    pub fn wipe(&mut self, now: Timestamp) {
        self.server.wipe(now);
        self.restart(now);
    }

    /// Keeps a copy of all data.
    pub fn back_up(&mut self) {
        self.faults.backup = Some(self.server.backup());
    }

    /// The server comes back with the last copy; nothing happens where there is none. Answers
    /// whether there was one.
    pub fn restore(&mut self, now: Timestamp) -> bool {
        let Some(backup) = self.faults.backup.clone() else { return false };
        self.server.restore(now, &backup);
        self.restart(now);
        true
    }

    /// Ends all faults that last.
    pub fn heal(&mut self, now: Timestamp) {
        let was_down = self.faults.is_down();
        let backup = self.faults.backup.take();
        let elections = self.faults.elections;
        self.faults = Faults { elections, backup, ..Faults::default() };
        self.set_slow(now, 1);
        if was_down {
            self.after_down(now, true);
        } else {
            self.reconnect_soon(now, |_| true);
        }
    }

    fn names(&self) -> impl Iterator<Item = MemberName> {
        self.clients.values().map(|client| client.id.name.clone())
    }

    /// Connections break where the server has gone, and are made anew where it is back.
    fn after_down(&mut self, now: Timestamp, was_down: bool) {
        match (was_down, self.faults.is_down()) {
            (false, true) => self.reset_links(),
            (true, false) => {
                self.server.rearm(now);
                self.arm_sweep();
                self.reconnect_soon(now, |_| true);
            }
            _ => {}
        }
    }

    /// The server was away for a moment.
    fn restart(&mut self, now: Timestamp) {
        self.reset_links();
        self.arm_sweep();
        self.reconnect_soon(now, |_| true);
    }

    /// Those who reach the server's machine see at once that it answers no more.
    fn reset_links(&mut self) {
        let faults = &self.faults;
        let near = self.clients.iter().filter(|(_, client)| {
            let name = &client.id.name;
            !faults.cut_off.contains(name) && faults.is_near(name)
        });
        for session in near.map(|(session, _)| *session).collect::<Vec<_>>() {
            self.reset_link(session);
        }
    }
}

fn group_of(groups: &[BTreeSet<MemberName>], name: &MemberName) -> usize {
    groups.iter().position(|group| group.contains(name)).unwrap_or(groups.len())
}

/// The group of most members; of two, that of the lowest name.
fn largest(groups: &[BTreeSet<MemberName>], live: &BTreeSet<MemberName>) -> usize {
    let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
    for name in live {
        *sizes.entry(group_of(groups, name)).or_default() += 1;
    }
    let most = sizes.values().max().copied().unwrap_or_default();
    let is_largest = |group: &usize| sizes.get(group) == Some(&most);
    live.iter().map(|name| group_of(groups, name)).find(is_largest).unwrap_or_default()
}
