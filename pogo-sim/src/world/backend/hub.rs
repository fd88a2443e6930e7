//! The hub of `memory://` as a world's backend.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use pogo_core::{
    id::MemberName,
    membership::{Event, MemberMetadata, MembershipError, NameChoice},
    memory::{self, Crash, Hub, HubConfig},
    node::{Answer, MembershipRequest},
    time::{Now, Timestamp},
};

use super::{Joiner, News, Session, Tidings};
use crate::plan::Plan;

#[derive(Debug)]
pub(in crate::world) struct HubBackend {
    hub: Hub,
    sessions: BTreeMap<Session, memory::SessionId>,
    news: VecDeque<News>,
    /// When the agenda wakes it next.
    due: Option<Timestamp>,
    changed: bool,
}

impl HubBackend {
    pub(super) fn new(plan: &Plan) -> Self {
        let options = &plan.options;
        let config = HubConfig {
            detection: options.detection,
            view_settle: options.view_settle,
            lease_ttl: options.lease_ttl,
            delay: Duration::ZERO..=options.delay * 2,
            seed: plan.seed,
            ..HubConfig::default()
        };
        Self {
            hub: Hub::new(config),
            sessions: BTreeMap::new(),
            news: VecDeque::new(),
            due: None,
            changed: false,
        }
    }

    pub(super) fn join(&mut self, now: Now, joiner: Joiner, metadata: MemberMetadata) {
        self.changed = true;
        let Joiner { process, name, session, boot } = joiner;
        let name = NameChoice::Exactly(name);
        let what = match self.hub.join(now, &name, boot, metadata) {
            Ok((id, me)) => {
                self.sessions.insert(session, id);
                Tidings::Joined(session, me, self.hub.capabilities())
            }
            Err(error) => Tidings::Refused(error),
        };
        self.news.push_back(News { process, what });
    }

    pub(super) fn request(
        &mut self,
        now: Now,
        session: Session,
        request: &MembershipRequest,
    ) -> Answer {
        self.changed = true;
        match self.sessions.get(&session) {
            Some(session) => self.hub.request(now, *session, request),
            None => Answer::Failed(MembershipError::SessionEnded),
        }
    }

    pub(super) fn crash(&mut self, now: Now, session: Option<Session>, silent: bool) {
        let Some(session) = session.and_then(|session| self.sessions.get(&session)) else { return };
        let how = if silent { Crash::Silent } else { Crash::Noticed };
        self.changed = true;
        self.hub.crash(now, *session, how);
    }

    pub(super) fn evict(&mut self, now: Now, member: &MemberName) {
        self.changed = true;
        self.hub.evict(now, member);
    }

    /// Nothing goes between a member and the hub for now, or it does again.
    pub(super) fn hold(&mut self, now: Now, member: &MemberName, held: bool) {
        self.changed = true;
        self.hub.set_member_outage(now, member, held);
    }

    pub(super) fn cut(&mut self, now: Now, groups: &[BTreeSet<MemberName>]) {
        self.changed = true;
        self.hub.partition(now, groups);
    }

    pub(super) fn delay(&mut self, delay: Duration) {
        self.changed = true;
        self.hub.set_delay(&(Duration::ZERO..=delay * 2));
    }

    /// Until when a session's lease holds at least.
    pub(super) fn lease(&self, now: Timestamp, session: Session) -> Option<Timestamp> {
        self.hub.lease_deadline(now, *self.sessions.get(&session)?)
    }

    pub(super) fn poll_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// The next event of a session that is due. Whatever else has fallen due happens with that.
    pub(in crate::world) fn poll_event(
        &mut self,
        now: Timestamp,
        session: Session,
    ) -> Option<Event> {
        let deadline = self.hub.next_deadline();
        let event = self.hub.poll_event(now, *self.sessions.get(&session)?);
        self.changed |= deadline != self.hub.next_deadline();
        event
    }

    /// When a session's next event is due.
    pub(in crate::world) fn next_event_at(&self, session: Session) -> Option<Timestamp> {
        self.hub.next_event_at(*self.sessions.get(&session)?)
    }

    /// Whether something has happened to it since it was asked last.
    pub(in crate::world) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Its own deadline, where that is earlier than any that the agenda was given.
    pub(in crate::world) fn new_deadline(&mut self, now: Timestamp) -> Option<Timestamp> {
        let due = self.hub.next_deadline()?.max(now);
        let is_new = self.due.is_none_or(|at| due < at);
        if is_new {
            self.due = Some(due);
        }
        is_new.then_some(due)
    }

    /// Its deadline has come: feeds are looked at anew.
    pub(in crate::world) fn woke(&mut self) {
        self.due = None;
        self.changed = true;
    }
}
