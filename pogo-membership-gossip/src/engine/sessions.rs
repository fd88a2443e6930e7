//! Sessions: supervisors of this process that have joined or are about to.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use pogo_core::{
    id::{BootId, MemberId, MemberName, Scope},
    membership::{
        Event, MemberInfo, MemberMetadata, MemberStatus, MembershipError, NameChoice, OwnedUpdate,
    },
    node::{Answer, MembershipRequest},
    record::{Key, Record},
};

use super::{
    CallId, Engine, Output, SessionId, agenda::Timer, naming::Attempt, shown::Stay, writes::Waiter,
};
use crate::{
    owned::OwnedKey,
    shared::{KEY_MAX, VALUE_MAX},
};

/// The backend's name.
pub(super) const NAME: &str = "gossip";
/// So many records come in one event of a snapshot.
const CHUNK: usize = 512;

/// One supervisor's stay.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) scope: Scope,
    pub(super) boot: BootId,
    pub(super) metadata: Arc<MemberMetadata>,
    pub(super) state: State,
}

/// How far a stay is.
#[derive(Debug)]
pub(super) enum State {
    /// It waits for the cluster, then for its name.
    Joining(Attempt),
    /// It takes part.
    Live(MemberInfo),
    /// It has left or was evicted; only its drop is to come.
    Ended,
}

/// All sessions of this peer.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    all: BTreeMap<SessionId, Session>,
}

impl Sessions {
    pub(super) fn open(
        &mut self,
        id: SessionId,
        scope: Scope,
        name: NameChoice,
        boot: BootId,
        metadata: MemberMetadata,
    ) {
        let state = State::Joining(Attempt::new(name));
        let metadata = Arc::new(metadata);
        self.all.insert(id, Session { scope, boot, metadata, state });
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.all.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.all.get_mut(&id)
    }

    pub(super) fn remove(&mut self, id: SessionId) -> Option<Session> {
        self.all.remove(&id)
    }

    /// Those that have not joined yet.
    pub(super) fn joining(&self) -> Vec<SessionId> {
        let joining = |it: &&SessionId| {
            self.all.get(it).is_some_and(|it| matches!(it.state, State::Joining(_)))
        };
        self.all.keys().filter(joining).copied().collect()
    }

    /// The session of a member of this peer.
    pub(super) fn of(&self, scope: &Scope, boot: BootId) -> Option<SessionId> {
        let of = self.all.iter().filter(|(_, it)| !matches!(it.state, State::Ended));
        of.filter(|(_, it)| it.scope == *scope && it.boot == boot).map(|(id, _)| *id).next_back()
    }

    /// Live sessions of this start, but for one.
    fn former(&self, id: SessionId, scope: &Scope, boot: BootId) -> Vec<SessionId> {
        let live = self.all.iter().filter(|(_, it)| matches!(it.state, State::Live(_)));
        let same =
            live.filter(|(other, it)| **other != id && it.scope == *scope && it.boot == boot);
        same.map(|(other, _)| *other).collect()
    }

    fn live_in(&self, scope: &Scope) -> Vec<(SessionId, BootId)> {
        let live = self.all.iter().filter(|(_, it)| matches!(it.state, State::Live(_)));
        live.filter(|(_, it)| it.scope == *scope).map(|(id, it)| (*id, it.boot)).collect()
    }
}

impl Engine {
    /// Tells all sessions of a scope, but not `author`'s.
    pub(super) fn tell(&mut self, scope: &Scope, author: Option<BootId>, event: &Event) {
        for (session, boot) in self.sessions.live_in(scope) {
            if author != Some(boot) {
                self.emit(Output::Event { session, event: event.clone() });
            }
        }
    }

    /// Gives a session that has just joined everything that there is.
    pub(super) fn send_snapshot(&mut self, session: SessionId) {
        let Some(Session { scope, boot, .. }) = self.sessions.get(session) else { return };
        let (scope, boot) = (scope.clone(), *boot);
        let mut events = vec![Event::Reset { rolled_back: false }];
        let members: Vec<_> = self.shown.members(&scope).cloned().collect();
        events.extend(members.iter().map(|it| Event::MemberUp(it.info.clone())));
        let records: Vec<(Key, Record)> =
            self.shared.in_scope(&scope).map(|(k, r)| (k.clone(), r.clone())).collect();
        events.extend(records.chunks(CHUNK).map(|part| Event::Shared(part.to_vec())));
        for member in members.iter().filter(|it| it.info.id.boot != boot) {
            let of_member = |key: &OwnedKey| key.scope == scope && key.boot == member.info.id.boot;
            let updates = self.owned.state(member.peer).filter(|(key, _)| of_member(key));
            let updates: Vec<OwnedUpdate> = updates
                .filter_map(|(key, value)| {
                    Some(OwnedUpdate { key: key.key.clone()?, value: Some(value.clone()) })
                })
                .collect();
            if !updates.is_empty() {
                events.push(Event::Owned(member.info.id.clone(), updates));
            }
        }
        events.push(Event::Synced);
        for event in events {
            self.emit(Output::Event { session, event });
        }
    }

    pub(super) fn on_request(&mut self, id: SessionId, call: CallId, request: MembershipRequest) {
        let live = self.sessions.get(id).and_then(|session| match &session.state {
            State::Live(info) => Some((session.scope.clone(), info.clone())),
            State::Joining(_) | State::Ended => None,
        });
        let Some((scope, info)) = live else {
            return self.refuse(call, MembershipError::SessionEnded);
        };
        let boot = info.id.boot;
        let waiter = Waiter::Call(call);
        match request {
            MembershipRequest::SetStatus(status) => self.set_status(id, info, status, call),
            MembershipRequest::Publish(batch) => {
                match too_large(batch.iter().map(|it| (&it.key, &it.value))) {
                    Some(error) => self.refuse(call, error),
                    None => self.publish(owned_updates(&scope, boot, batch), waiter),
                }
            }
            MembershipRequest::Put(puts) => self.on_put(&scope, boot, puts, call),
            MembershipRequest::Get(keys) => self.ask(&scope, keys, call),
            MembershipRequest::Leave => self.on_leave(id, call),
            MembershipRequest::Acquire(_) | MembershipRequest::Release(_) => {
                self.refuse(call, MembershipError::Unsupported { backend: NAME, what: "claims" });
            }
            _ => {
                let what = "this request";
                self.refuse(call, MembershipError::Unsupported { backend: NAME, what });
            }
        }
    }

    pub(super) fn leave(&mut self, id: SessionId, call: CallId) {
        match self.sessions.get(id) {
            Some(Session { scope, boot, state: State::Live(_), .. }) => {
                let (scope, boot) = (scope.clone(), *boot);
                self.end(id);
                self.publish_gone(&scope, boot, None, Waiter::Call(call));
            }
            _ => self.refuse(call, MembershipError::SessionEnded),
        }
    }

    fn set_status(
        &mut self,
        id: SessionId,
        mut info: MemberInfo,
        status: MemberStatus,
        call: CallId,
    ) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        info.status = status;
        session.state = State::Live(info.clone());
        let scope = session.scope.clone();
        self.publish_member(&scope, info, Waiter::Call(call));
    }

    /// Publishes what a member of this peer is.
    pub(super) fn publish_member(&mut self, scope: &Scope, info: MemberInfo, waiter: Waiter) {
        self.publish_stay(scope, info, Vec::new(), waiter);
    }

    /// Publishes a member that has just joined. A start that joins again takes the place of its
    /// former stay, and what that has published ends with it.
    pub(super) fn publish_joined(
        &mut self,
        id: SessionId,
        scope: &Scope,
        info: MemberInfo,
        waiter: Waiter,
    ) {
        let boot = info.id.boot;
        for former in self.sessions.former(id, scope, boot) {
            self.end(former);
            self.emit(Output::Event { session: former, event: Event::Evicted });
        }
        let own = self.owned.state(self.config.me).map(|(key, _)| key);
        let own = own.filter(|it| it.scope == *scope && it.boot == boot && it.key.is_some());
        let ended = own.map(|key| (key.clone(), None)).collect();
        self.publish_stay(scope, info, ended, waiter);
    }

    fn publish_stay(
        &mut self,
        scope: &Scope,
        info: MemberInfo,
        mut updates: Vec<(OwnedKey, Option<Bytes>)>,
        waiter: Waiter,
    ) {
        let key = OwnedKey { scope: scope.clone(), boot: info.id.boot, key: None };
        match postcard::to_allocvec(&Stay::Here(info)) {
            Ok(value) => {
                updates.push((key, Some(Bytes::from(value))));
                self.publish(updates, waiter);
            }
            Err(error) => tracing::error!(%error, "a member's record cannot be written"),
        }
    }

    /// Takes back all that a member of this peer has published.
    pub(super) fn publish_gone(
        &mut self,
        scope: &Scope,
        boot: BootId,
        stay: Option<&Stay>,
        waiter: Waiter,
    ) {
        let me = self.config.me;
        let own = self.owned.state(me).map(|(key, _)| key.clone());
        let own = own.filter(|key| key.scope == *scope && key.boot == boot);
        let mut updates: Vec<_> = own.map(|key| (key, None)).collect();
        if let (Some((_, value)), Some(stay)) = (updates.first_mut(), stay) {
            *value = postcard::to_allocvec(stay).ok().map(Bytes::from);
        }
        self.publish(updates, waiter);
    }

    pub(super) fn refuse(&mut self, call: CallId, error: MembershipError) {
        self.emit(Output::Answer { call, answer: Answer::Failed(error) });
    }

    /// The session takes part no longer.
    fn end(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.state = State::Ended;
        }
        self.agenda.disarm(Timer::Naming(id));
    }

    /// A later start has the name: the session ends, and may join again under another.
    pub(super) fn lose_name(&mut self, scope: &Scope, boot: BootId) {
        let Some(id) = self.sessions.of(scope, boot) else { return };
        let Some(session) = self.sessions.get_mut(id) else { return };
        match &mut session.state {
            State::Joining(attempt) => attempt.lose(),
            State::Live(_) => {
                tracing::warn!(session = ?id, "a later start has this member's name");
                self.end(id);
                self.emit(Output::Event { session: id, event: Event::Evicted });
                self.publish_gone(scope, boot, None, Waiter::Nobody);
            }
            State::Ended => {}
        }
    }

    /// A session was dropped: without a leave its member is a crashed one.
    pub(super) fn on_drop(&mut self, id: SessionId) {
        self.agenda.disarm(Timer::Naming(id));
        self.no_contacts_for(id);
        if let Some(Session { scope, boot, state, .. }) = self.sessions.remove(id) {
            match state {
                State::Live(_) => {
                    let failed = Some(&Stay::Failed);
                    return self.publish_gone(&scope, boot, failed, Waiter::Nobody);
                }
                State::Joining(_) if self.sessions.of(&scope, boot).is_none() => {
                    self.publish_gone(&scope, boot, None, Waiter::Nobody);
                }
                State::Joining(_) | State::Ended => {}
            }
        }
        // Who never joined leaves as well: the others need not look for it.
        if self.sessions.all.is_empty() && !self.has_left() {
            self.swim.leave(self.now.mono);
            self.settle();
            self.close_all();
        }
    }

    /// Owned records of a member, as this peer has them; `None` for what it does not have.
    ///
    /// # Errors
    /// `SessionEnded` where the session has, `Unavailable` where the member is not seen. Nothing
    /// was changed.
    pub fn owned(
        &self,
        session: SessionId,
        member: &MemberId,
        keys: &[Key],
    ) -> Result<Vec<Option<Bytes>>, MembershipError> {
        let asker = self.sessions.get(session).filter(|it| matches!(it.state, State::Live(_)));
        let scope = &asker.ok_or(MembershipError::SessionEnded)?.scope;
        let seen = self.shown.member(scope, member.boot).filter(|it| it.info.id == *member);
        let peer = seen.map(|it| it.peer).ok_or_else(|| MembershipError::Unavailable {
            backend: NAME,
            reason: format!("{member} is not seen"),
        })?;
        let key = |key: &Key| OwnedKey {
            scope: scope.clone(),
            boot: member.boot,
            key: Some(key.clone()),
        };
        Ok(keys.iter().map(|it| self.owned.get(peer, &key(it)).cloned()).collect())
    }

    /// The answer that a write of a session was waiting for.
    pub(super) fn answer(&mut self, waiter: Waiter, answer: Answer) {
        match waiter {
            Waiter::Call(call) => self.emit(Output::Answer { call, answer }),
            Waiter::Name(session, suffix) => self.name_is_known(session, suffix),
            Waiter::Nobody => {}
        }
    }
}

fn owned_updates(
    scope: &Scope,
    boot: BootId,
    batch: Vec<OwnedUpdate>,
) -> Vec<(OwnedKey, Option<Bytes>)> {
    let key = |key: Key| OwnedKey { scope: scope.clone(), boot, key: Some(key) };
    batch.into_iter().map(|it| (key(it.key), it.value)).collect()
}

/// Refuses what is beyond the limits, which others would not take.
pub(super) fn too_large<'a>(
    mut records: impl Iterator<Item = (&'a Key, &'a Option<Bytes>)>,
) -> Option<MembershipError> {
    records.find_map(|(key, value)| {
        let (key, value) = (key.as_str().len(), value.as_ref().map_or(0, Bytes::len));
        let (len, max) = if key > KEY_MAX { (key, KEY_MAX) } else { (value, VALUE_MAX) };
        (len > max).then_some(MembershipError::TooLarge { len, max })
    })
}

/// The name that a choice begins with.
pub(super) const fn wished(choice: &NameChoice) -> &MemberName {
    match choice {
        NameChoice::Exactly(name) | NameChoice::Suffixed(name) => name,
    }
}
