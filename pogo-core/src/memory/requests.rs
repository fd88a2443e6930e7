//! What members ask of the hub; each request is applied whole and at once.

use bytes::Bytes;

use super::{
    NAME,
    feed::Channel,
    hub::{Hub, ToAuthor},
    joining::unavailable,
    session::{Session, SessionId},
};
use crate::{
    id::MemberId,
    membership::{
        ClaimOutcome, DownReason, Event, MemberStatus, MembershipError, OwnedUpdate, Put,
    },
    node::{Answer, MembershipRequest},
    record::{Key, Record},
    time::{Now, Timestamp},
};

impl Hub {
    /// Does what a session asks; the way there and back is the caller's to model.
    pub fn request(&mut self, now: Now, session: SessionId, request: &MembershipRequest) -> Answer {
        self.advance(now.mono);
        let at = now.mono;
        let answer = self.check_open(session).and_then(|()| match request {
            MembershipRequest::SetStatus(status) => self.set_status(at, session, *status),
            MembershipRequest::Publish(batch) => self.publish(at, session, batch),
            MembershipRequest::Put(puts) => self.put(at, session, puts),
            MembershipRequest::Get(keys) => self.read(session, keys),
            MembershipRequest::Acquire(keys) => self.acquire(session, keys),
            MembershipRequest::Release(keys) => self.release(at, session, keys),
            MembershipRequest::Leave => self.leave(at, session),
        });
        answer.unwrap_or_else(Answer::Failed)
    }

    /// Reads owned records of a live member, as its readers will see them.
    ///
    /// # Errors
    /// `Unavailable` where the store or the member cannot be asked, `SessionEnded` where the
    /// session has; nothing was changed.
    pub fn owned(
        &mut self,
        now: Timestamp,
        session: SessionId,
        member: &MemberId,
        keys: &[Key],
    ) -> Result<Vec<Option<Bytes>>, MembershipError> {
        self.advance(now);
        self.check_open(session)?;
        let reader = self.open_session(session)?;
        let owner = self.names.get(&member.name).and_then(|owner| self.sessions.get(owner));
        let owner = owner.filter(|owner| owner.id == *member);
        if owner.is_some_and(|owner| owner.island != reader.island) {
            return Err(unavailable("the member cannot be reached"));
        }
        let value = |key| owner.and_then(|owner| owner.owned.get(key).cloned());
        Ok(keys.iter().map(value).collect())
    }

    fn check_open(&self, session: SessionId) -> Result<(), MembershipError> {
        let open = self.sessions.get(&session).filter(|stay| !stay.dead);
        let ended = self.ended.get(&session);
        let name = open.map(|stay| &stay.id.name).or_else(|| ended.map(|stay| &stay.id.name));
        match name {
            // A member that reaches nobody cannot know either that its session has ended.
            Some(name) if self.is_held_off(name) => Err(unavailable("the store does not answer")),
            Some(_) if open.is_some() => Ok(()),
            Some(_) | None => Err(MembershipError::SessionEnded),
        }
    }

    fn open_session(&self, session: SessionId) -> Result<&Session, MembershipError> {
        self.sessions.get(&session).ok_or(MembershipError::SessionEnded)
    }

    fn check_size(&self, value: Option<&Bytes>) -> Result<(), MembershipError> {
        let (len, max) = (value.map_or(0, Bytes::len), self.config.max_value_bytes);
        if len > max { Err(MembershipError::TooLarge { len, max }) } else { Ok(()) }
    }

    fn set_status(
        &mut self,
        at: Timestamp,
        session: SessionId,
        status: MemberStatus,
    ) -> Result<Answer, MembershipError> {
        let stay = self.sessions.get_mut(&session).ok_or(MembershipError::SessionEnded)?;
        if stay.status != status {
            stay.status = status;
            let (id, up) = (stay.id.clone(), Event::MemberUp(stay.info()));
            self.announce(at, (session, &id), &up, ToAuthor::Yes);
        }
        Ok(Answer::Done)
    }

    fn publish(
        &mut self,
        at: Timestamp,
        session: SessionId,
        batch: &[OwnedUpdate],
    ) -> Result<Answer, MembershipError> {
        batch.iter().try_for_each(|update| self.check_size(update.value.as_ref()))?;
        let stay = self.sessions.get_mut(&session).ok_or(MembershipError::SessionEnded)?;
        for OwnedUpdate { key, value } in batch {
            match value {
                Some(value) => drop(stay.owned.insert(key.clone(), value.clone())),
                None => drop(stay.owned.remove(key)),
            }
        }
        let id = stay.id.clone();
        if !batch.is_empty() {
            let event = Event::Owned(id.clone(), batch.to_vec());
            self.announce(at, (session, &id), &event, ToAuthor::No);
        }
        Ok(Answer::Done)
    }

    fn put(
        &mut self,
        at: Timestamp,
        session: SessionId,
        puts: &[Put],
    ) -> Result<Answer, MembershipError> {
        puts.iter().try_for_each(|put| self.check_size(put.record.value.as_ref()))?;
        let writer = self.open_session(session)?;
        let (island, name) = (writer.island, writer.id.name.clone());
        let cas = self.config.compare_and_set;
        let table = self.islands.table(island);
        let mut outcomes = Vec::with_capacity(puts.len());
        let mut written: Vec<(Key, Record)> = Vec::new();
        for put in puts {
            let (outcome, changed) = table.put(at, put, cas);
            outcomes.push(outcome);
            if changed {
                written.push((put.key.clone(), put.record.clone()));
            }
        }
        if !written.is_empty() {
            self.alarms.extend(self.islands.next_collection());
            let network = self.network;
            for (id, reader) in &mut self.sessions {
                // A snapshot on its way does not name the write, which would then seem gone.
                let is_told = *id != session || reader.is_reading;
                if is_told && reader.island == island && !reader.dead {
                    let event = Event::Shared(written.clone());
                    reader.feed.push(at, &network, Channel::Shared(name.clone()), event);
                }
            }
        }
        Ok(Answer::Put(outcomes))
    }

    fn read(&mut self, session: SessionId, keys: &[Key]) -> Result<Answer, MembershipError> {
        let island = self.open_session(session)?.island;
        let table = self.islands.table(island);
        Ok(Answer::Got(keys.iter().map(|key| table.get(key).cloned()).collect()))
    }

    fn acquire(&mut self, session: SessionId, keys: &[Key]) -> Result<Answer, MembershipError> {
        self.check_claims(session)?;
        let stay = self.sessions.get_mut(&session).ok_or(MembershipError::SessionEnded)?;
        let mut outcomes = Vec::with_capacity(keys.len());
        for key in keys {
            let outcome = self.claims.acquire(session, &stay.id, key);
            if matches!(outcome, ClaimOutcome::HeldBy { .. }) {
                stay.waiting.insert(key.clone());
            } else {
                stay.waiting.remove(key);
            }
            outcomes.push(outcome);
        }
        Ok(Answer::Acquired(outcomes))
    }

    fn release(
        &mut self,
        at: Timestamp,
        session: SessionId,
        keys: &[Key],
    ) -> Result<Answer, MembershipError> {
        self.check_claims(session)?;
        let freed = self.claims.release(session, keys);
        self.tell_all_free(at, &freed);
        Ok(Answer::Done)
    }

    fn check_claims(&self, session: SessionId) -> Result<(), MembershipError> {
        if !self.config.claims {
            return Err(MembershipError::Unsupported { backend: NAME, what: "claims" });
        }
        if self.open_session(session)?.island != self.islands.authority {
            return Err(unavailable("the claims are on the other side of a division"));
        }
        Ok(())
    }

    fn leave(&mut self, at: Timestamp, session: SessionId) -> Result<Answer, MembershipError> {
        let stay = self.open_session(session)?;
        let (boot, has_contact) = (stay.id.boot, stay.island == self.islands.authority);
        self.boots.remove(&boot);
        self.end_session(at, session, DownReason::Left);
        self.ended.remove(&session);
        if has_contact {
            self.free_claims(at, session);
        }
        Ok(Answer::Done)
    }
}
