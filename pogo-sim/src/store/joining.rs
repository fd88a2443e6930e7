//! Joining: names (R13), the epoch (R18), and the first snapshot.

use std::{collections::BTreeSet, sync::Arc};

use pogo_core::{
    id::{BootId, Incarnation, MemberId, MemberName},
    membership::{
        DownReason, Event, MemberInfo, MemberMetadata, MemberStatus, MembershipError, NameChoice,
    },
    time::{Now, Timestamp, WallTime},
};

use super::{
    SessionId, Step, StoreModel, Told, ambiguous,
    client::{Client, Line},
    denied,
    feed::snapshot,
    keys::{Entry, Path, Value},
    unavailable,
};

/// Leases of nobody's are numbered from the top.
const SETTLING: u64 = u64::MAX;

/// A process on its way into the cluster.
#[derive(Debug, Clone)]
pub(super) struct Joiner {
    line: Line,
    choice: NameChoice,
    metadata: MemberMetadata,
    wall: WallTime,
    sent: Timestamp,
    /// The lease that its name is held under, and how often that was renewed when it looked first.
    watched: Option<(SessionId, u64)>,
    /// Whether it waits for that lease to expire.
    is_heir: bool,
    /// Its process does not run for a while: nobody renews the lease that it is given.
    is_paused: bool,
}

impl StoreModel {
    /// A process asks for a session; the answer comes in time.
    pub fn join(
        &mut self,
        now: Now,
        session: SessionId,
        choice: NameChoice,
        boot: BootId,
        metadata: MemberMetadata,
    ) {
        let pace = self.pace;
        let (NameChoice::Exactly(name) | NameChoice::Suffixed(name)) = &choice;
        let memory = self.memories.entry(boot).or_default();
        memory.joins += 1;
        let mut line = Line::new(name.clone(), boot, memory.joins);
        let there = line.way(&pace);
        let (wall, sent) = (now.wall, now.mono);
        let (watched, is_heir, is_paused) = (None, false, false);
        let joiner = Joiner { line, choice, metadata, wall, sent, watched, is_heir, is_paused };
        self.joiners.insert(session, joiner);
        self.add(sent + there, Step::Join(session));
    }

    pub(super) fn pause_joiner(&mut self, session: SessionId, paused: bool) {
        if let Some(joiner) = self.joiners.get_mut(&session) {
            joiner.is_paused = paused;
        }
    }

    /// A join reaches the server.
    pub(super) fn join_arrives(&mut self, at: Timestamp, session: SessionId) {
        let Some(joiner) = self.joiners.get(&session) else { return };
        let boot = joiner.line.boot;
        let name = match self.choose_name(&joiner.choice, boot) {
            Ok(name) => name,
            Err(error) => return self.refuse_later(at, session, error),
        };
        if !self.check_access(at, session, &name) {
            return;
        }
        match self.server.member(&name) {
            Some((info, Some(lease))) if info.id.boot != boot => {
                let renewals = self.server.lease(lease).map_or(0, |lease| lease.renewals);
                if let Some(joiner) = self.joiners.get_mut(&session) {
                    joiner.watched = Some((lease, renewals));
                }
                let interval = self.config.lease_ttl / 4;
                self.add(at + interval * 3 / 2, Step::LookAgain(session));
            }
            _ => self.grant(at, session, name),
        }
    }

    /// The lease of the name was watched for long enough to see it renewed, if anybody does.
    pub(super) fn look_again(&mut self, at: Timestamp, session: SessionId) {
        let Some(joiner) = self.joiners.get_mut(&session) else { return };
        let (NameChoice::Exactly(name) | NameChoice::Suffixed(name)) = &joiner.choice;
        let (name, boot) = (name.clone(), joiner.line.boot);
        let Some((lease, renewals)) = joiner.watched else { return };
        let held = self.server.member(&name).filter(|(info, _)| info.id.boot != boot);
        let holder = held.and_then(|(_, lease)| lease);
        if !self.check_access(at, session, &name) {
            return;
        }
        match holder {
            None => self.grant(at, session, name),
            Some(holder) => {
                let now = self.server.lease(holder).map_or(0, |lease| lease.renewals);
                if holder != lease || now != renewals {
                    self.refuse_later(at, session, MembershipError::NameTaken { name });
                } else if let Some(joiner) = self.joiners.get_mut(&session) {
                    joiner.is_heir = true;
                }
            }
        }
    }

    /// The names whose heirs wait for a lease to expire.
    pub(super) fn heirs(&self) -> BTreeSet<MemberName> {
        let heirs = self.joiners.values().filter(|joiner| joiner.is_heir);
        heirs.map(|joiner| joiner.line.name.clone()).collect()
    }

    /// Whoever holds the name lives after all.
    pub(super) fn refuse_heirs(&mut self, holder: SessionId) {
        let watches = |joiner: &Joiner| {
            joiner.is_heir && joiner.watched.is_some_and(|(lease, _)| lease == holder)
        };
        let heirs = self.joiners.iter().filter(|(_, joiner)| watches(joiner));
        for (session, name) in
            heirs.map(|(id, joiner)| (*id, joiner.line.name.clone())).collect::<Vec<_>>()
        {
            self.refuse(session, MembershipError::NameTaken { name });
        }
    }

    /// Heirs whose name has become free join.
    pub(super) fn let_heirs_in(&mut self, at: Timestamp) {
        let is_free = |joiner: &Joiner| self.server.member(&joiner.line.name).is_none();
        let heirs = self.joiners.iter().filter(|(_, joiner)| joiner.is_heir && is_free(joiner));
        for session in heirs.map(|(session, _)| *session).collect::<Vec<_>>() {
            self.join_arrives(at, session);
        }
    }

    fn check_access(&mut self, at: Timestamp, session: SessionId, name: &MemberName) -> bool {
        let error = if !self.faults.is_reachable(name) {
            unavailable("the store does not answer")
        } else if self.faults.is_denied(name) {
            denied()
        } else {
            return true;
        };
        self.refuse_later(at, session, error);
        false
    }

    fn refuse_later(&mut self, at: Timestamp, session: SessionId, error: MembershipError) {
        let (pace, patience) = (self.pace, self.patience());
        let Some(joiner) = self.joiners.get_mut(&session) else { return };
        let wait = match error {
            MembershipError::Unavailable { .. } => patience,
            _ => joiner.line.way(&pace),
        };
        self.add(at + wait, Step::JoinLost(session, error));
    }

    pub(super) fn refuse(&mut self, session: SessionId, error: MembershipError) {
        if self.joiners.remove(&session).is_some() {
            self.tell(session, Told::Refused(error));
        }
    }

    fn choose_name(
        &self,
        choice: &NameChoice,
        boot: BootId,
    ) -> Result<MemberName, MembershipError> {
        let is_taken = |name: &MemberName| {
            self.server.member(name).is_some_and(|(info, _)| info.id.boot != boot)
        };
        let NameChoice::Suffixed(name) = choice else {
            let (NameChoice::Exactly(name) | NameChoice::Suffixed(name)) = choice;
            return Ok(name.clone());
        };
        let mut chosen = name.clone();
        let mut suffix = 2_u64;
        while is_taken(&chosen) {
            chosen = MemberName::new(format!("{name}-{suffix}"))?;
            suffix += 1;
        }
        Ok(chosen)
    }

    /// The server gives a lease, takes the member in, and reads the snapshot.
    fn grant(&mut self, at: Timestamp, session: SessionId, name: MemberName) {
        let pace = self.pace;
        let Some(joiner) = self.joiners.get_mut(&session) else { return };
        let (boot, sent) = (joiner.line.boot, joiner.sent);
        joiner.is_heir = false;
        let back = joiner.line.way(&pace);
        let is_lost = joiner.line.chance("store reply", &pace, self.config.lost_replies);
        // Renewals of an heir count from when the lease was granted, not from its first try.
        let sent = if joiner.watched.is_some() { at } else { sent };
        let (line, wall, metadata) = (joiner.line.clone(), joiner.wall, joiner.metadata.clone());

        self.raise_epoch(at, boot);
        if let Some((_, Some(former))) = self.server.member(&name) {
            self.server.revoke(at, former, DownReason::Replaced);
        }
        let memory = self.memories.entry(boot).or_default();
        if let Some(former) = memory.lease.replace(session) {
            self.server.revoke(at, former, DownReason::Replaced);
        }
        let seen = match self.server.get(&Path::Seen(name.clone())).map(|entry| &entry.value) {
            Some(Value::Seen(incarnation)) => *incarnation,
            _ => Incarnation::default(),
        };
        let incarnation =
            Incarnation::new(wall.as_millis()).max(seen.next()).max(memory.incarnation.next());
        memory.incarnation = incarnation;
        let present = self.server.life;
        let rolled_back = memory.life.is_some_and(|synced| synced != present);
        memory.epoch = memory.epoch.max(self.server.epoch());

        let id = MemberId { name: name.clone(), incarnation, boot };
        let info = MemberInfo {
            id: id.clone(),
            status: MemberStatus::Joining,
            metadata: Arc::new(metadata),
        };
        self.server.grant(at, session);
        let presence = Entry { value: Value::Member(info), lease: Some(session) };
        let seen = Entry { value: Value::Seen(incarnation), lease: None };
        let writes =
            vec![(Path::Seen(name.clone()), Some(seen)), (Path::Member(name), Some(presence))];
        self.server.commit(at, None, DownReason::Failed, writes);
        self.wake_feeds(at);
        self.arm_sweep();

        let mut client = Client::new(session, id, line, sent);
        client.life = present;
        client.known = self.server.revision;
        client.next = self.server.revision + 1;
        client.syncs_at = Some(self.server.revision);
        let events = snapshot(&self.server, &client.id, rolled_back);
        if is_lost {
            self.add(at + back, Step::JoinLost(session, ambiguous("the reply was lost")));
        } else {
            self.add(at + back, Step::Joined(Box::new(client), events));
        }
    }

    /// Begins a new epoch where the store is new, or has lost data since this process last saw it:
    /// tokens grow for ever, and whoever held a claim has the time to find out (R18).
    fn raise_epoch(&mut self, at: Timestamp, boot: BootId) {
        let memory = self.memories.get(&boot);
        let known = memory.and_then(|memory| memory.epoch);
        let synced = memory.and_then(|memory| memory.life);
        let has_lost = synced.is_some_and(|life| life != self.server.life);
        let is_sure = self.server.is_epoch_sure();
        let next = match (self.server.epoch(), known) {
            (None, None) if self.server.life == 0 => 1,
            (None, Some(known)) => known + 1,
            (Some(there), Some(known)) if known > there || (known == there && has_lost) => {
                known + 1
            }
            (Some(there), _) if has_lost && !is_sure => there + 1,
            _ => {
                if has_lost {
                    self.server.revoke_former(at);
                }
                return;
            }
        };
        // On a store that is new nobody holds anything.
        self.begin_epoch(at, next, known.is_some() || has_lost);
    }

    /// Writes a new epoch. Where one was lost, claims wait for one TTL: whoever holds one from
    /// before has that time to find out.
    fn begin_epoch(&mut self, at: Timestamp, epoch: u64, settles: bool) {
        self.last_epoch = self.last_epoch.max(epoch);
        let entry = Entry { value: Value::Epoch(epoch, self.server.life), lease: None };
        let mut writes = vec![(Path::Epoch, Some(entry))];
        if settles {
            self.server.revoke_former(at);
            let lease = SessionId(SETTLING - epoch);
            self.server.grant(at, lease);
            let entry = Entry { value: Value::Settling, lease: Some(lease) };
            writes.push((Path::Settling, Some(entry)));
        }
        self.server.commit(at, None, DownReason::Failed, writes);
        self.wake_feeds(at);
        self.arm_sweep();
    }

    /// The operator ends that nobody knows the store's epoch, as whoever knew it is gone (R18).
    pub fn bump_epoch(&mut self, now: Timestamp) {
        if !self.server.is_epoch_sure() && self.server.life > 0 {
            self.begin_epoch(now, self.last_epoch + 1, true);
        }
    }

    /// The server's answer to a join reaches the client.
    pub(super) fn joined(&mut self, at: Timestamp, mut client: Client, events: Vec<Event>) {
        let session = client.session;
        let Some(joiner) = self.joiners.get(&session) else { return };
        client.is_paused = joiner.is_paused;
        if !self.faults.is_reachable(&client.id.name) || client.life != self.server.life {
            self.refuse_later(at, session, ambiguous("no answer came in time"));
            return;
        }
        self.joiners.remove(&session);
        let sent = client.renewed(at) + self.config.lease_ttl / 4;
        self.tell(session, Told::Joined(client.id.clone()));
        self.clients.insert(session, client);
        for event in events {
            self.tell_event(session, event);
        }
        self.sync(session);
        self.begin_renewals(at, session, sent.max(at));
        self.wake_feed(at, session);
    }
}
