//! Joining: names, incarnations (R13), and the first snapshot.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    NAME,
    feed::Feed,
    hub::Hub,
    island::{CHUNK, shared_events},
    session::{Cut, Session, SessionId},
};
use crate::{
    id::{BootId, Incarnation, MemberId, MemberName},
    membership::{DownReason, Event, MemberMetadata, MemberStatus, MembershipError, NameChoice},
    record::Key,
    time::{Now, Timestamp},
};

impl Hub {
    /// Begins a stay. Its feed starts with a snapshot of this moment.
    ///
    /// The same boot id under the same name takes over its own former stay.
    ///
    /// # Errors
    /// `NameTaken` where a live member has the name, `Unavailable` during an outage, `Name` where
    /// the suffix makes it too long. Nothing was changed.
    pub fn join(
        &mut self,
        now: Now,
        name: &NameChoice,
        boot: BootId,
        metadata: MemberMetadata,
    ) -> Result<(SessionId, MemberId), MembershipError> {
        self.advance(now.mono);
        let chosen = self.choose_name(name, boot);
        if chosen.as_ref().map_or(self.outage, |name| self.is_held_off(name)) {
            return Err(unavailable("the store does not answer"));
        }
        let name = chosen?;
        if let Some(former) = self.names.get(&name).copied() {
            self.end_session(now.mono, former, DownReason::Replaced);
        }
        let seen = self.incarnations.get(&name).copied().unwrap_or_default().next();
        let incarnation = Incarnation::new(now.wall.as_millis()).max(seen);
        self.incarnations.insert(name.clone(), incarnation);
        let id = MemberId { name: name.clone(), incarnation, boot };

        let session = SessionId(self.next_session);
        self.next_session += 1;
        self.names.insert(name, session);
        self.open(now.mono, session, &id, metadata);
        // A process that knew the records before a loss is to put them back, a new one is not.
        let knows = *self.boots.entry(boot).or_insert(self.losses);
        self.send_snapshot(now.mono, session, knows < self.losses);
        Ok((session, id))
    }

    fn open(&mut self, at: Timestamp, session: SessionId, id: &MemberId, metadata: MemberMetadata) {
        let mut stay = Session {
            id: id.clone(),
            island: self.islands.of(&id.name),
            status: MemberStatus::Joining,
            metadata: Arc::new(metadata),
            owned: BTreeMap::new(),
            feed: Feed::new(&self.network, &id.name),
            dead: false,
            given_up_at: None,
            cuts: BTreeMap::new(),
            is_reading: true,
            losses: self.losses,
            waiting: BTreeSet::new(),
        };
        let up = Event::MemberUp(stay.info());
        let unknown = |id: &MemberId| Cut { author: id.clone(), given_up_at: None, missed: vec![] };
        for (other_session, other) in &mut self.sessions {
            if other.island == stay.island {
                if !other.dead {
                    other.hear(at, &self.network, (session, id), &up);
                }
            } else {
                other.cuts.insert(session, unknown(id));
                stay.cuts.insert(*other_session, unknown(&other.id));
            }
        }
        self.sessions.insert(session, stay);
        self.refresh_leases(at);
    }

    fn choose_name(
        &self,
        choice: &NameChoice,
        boot: BootId,
    ) -> Result<MemberName, MembershipError> {
        match choice {
            NameChoice::Exactly(name) if self.is_taken(name, boot) => {
                Err(MembershipError::NameTaken { name: name.clone() })
            }
            NameChoice::Suffixed(name) if self.is_taken(name, boot) => {
                let mut suffix = 2_u64;
                loop {
                    let name = MemberName::new(format!("{name}-{suffix}"))?;
                    if !self.is_taken(&name, boot) {
                        return Ok(name);
                    }
                    suffix += 1;
                }
            }
            NameChoice::Exactly(name) | NameChoice::Suffixed(name) => Ok(name.clone()),
        }
    }

    fn is_taken(&self, name: &MemberName, boot: BootId) -> bool {
        let holder = self.names.get(name).and_then(|session| self.sessions.get(session));
        holder.is_some_and(|holder| !holder.dead && holder.id.boot != boot)
    }

    /// Sends all that there is behind what was sent before, and ahead of all that follows.
    pub(super) fn send_snapshot(&mut self, at: Timestamp, session: SessionId, rolled_back: bool) {
        let Some(reader) = self.sessions.get(&session) else { return };
        let near = || self.sessions.iter().filter(|(_, other)| other.island == reader.island);
        let mut events = vec![Event::Reset { rolled_back }];
        events.extend(near().map(|(_, member)| Event::MemberUp(member.info())));
        events.extend(shared_events(&self.islands.snapshot(reader.island)));
        for (_, member) in near().filter(|(id, _)| **id != session) {
            let updates = member.owned_updates();
            let chunk = |part: &[_]| Event::Owned(member.id.clone(), part.to_vec());
            events.extend(updates.chunks(CHUNK).map(chunk));
        }
        events.push(Event::Synced);
        let network = self.network;
        if let Some(reader) = self.sessions.get_mut(&session) {
            reader.is_reading = true;
            reader.losses = self.losses;
            reader.feed.push_fence(at, &network, events);
        }
    }

    /// Loses what is on its way to a session and sends a snapshot in its place.
    pub(super) fn resync(&mut self, at: Timestamp, session: SessionId, rolled_back: bool) {
        let Some(reader) = self.sessions.get_mut(&session).filter(|reader| !reader.dead) else {
            return;
        };
        let untold: Vec<Key> = reader.feed.lose_pending().into_iter().collect();
        // What the snapshot does not name is gone for the reader: it needs no telling.
        for cut in reader.cuts.values_mut() {
            cut.given_up_at = None;
            cut.missed.clear();
        }
        self.send_snapshot(at, session, rolled_back);
        self.tell_free(at, session, untold);
    }
}

/// The request did not run.
pub(super) fn unavailable(reason: &str) -> MembershipError {
    MembershipError::Unavailable { backend: NAME, reason: reason.to_owned() }
}
