//! The store model as a world's backend.

use std::{collections::BTreeMap, time::Duration};

use pogo_core::{
    id::{ChildId, RequestId},
    membership::{MemberMetadata, NameChoice},
    node::MembershipRequest,
    record::{Key, Stamp},
    time::{Now, Timestamp},
};

use super::{HostClock, Joiner, News, Session, Tidings};
use crate::{
    plan::Plan,
    store::{SessionId, StoreConfig, StoreModel, Told},
    world::agenda::Process,
};

#[derive(Debug)]
pub(in crate::world) struct StoreBackend {
    pub(in crate::world) model: StoreModel,
    /// Whose sessions they are.
    processes: BTreeMap<SessionId, Process>,
    lease_ttl: Duration,
}

/// Where the spec record of a child stands.
pub(super) fn spec_key(child: &ChildId) -> Key {
    Key::new(format!("spec/{child}"))
}

impl StoreBackend {
    pub(super) fn new(plan: &Plan) -> Self {
        let options = &plan.options;
        let config = StoreConfig {
            strength: options.strength,
            lease_ttl: options.lease_ttl,
            view_settle: options.view_settle,
            latency: options.latency,
            delay: options.delay,
            lost_replies: options.lost_replies,
            seed: plan.seed,
            ..StoreConfig::default()
        };
        Self {
            model: StoreModel::new(config),
            processes: BTreeMap::new(),
            lease_ttl: options.lease_ttl,
        }
    }

    pub(super) fn join(&mut self, now: Now, joiner: Joiner, metadata: MemberMetadata) {
        let Joiner { process, name, session, boot } = joiner;
        let (session, name) = (SessionId(session.0), NameChoice::Exactly(name));
        self.processes.insert(session, process);
        self.model.join(now, session, name, boot, metadata);
    }

    pub(super) fn request(
        &mut self,
        now: Timestamp,
        session: Session,
        (id, request): (RequestId, &MembershipRequest),
    ) {
        self.model.request(now, SessionId(session.0), id, request.clone());
    }

    /// Until when others must hold the member to be alive. It counts the time of its lease by its
    /// own clock, from when it sent the renewal.
    pub(super) fn lease(
        &self,
        now: Timestamp,
        session: Session,
        clock: HostClock,
    ) -> Option<Timestamp> {
        let sent = self.model.renewed(now, SessionId(session.0))?;
        Some(clock.local_time(sent) + self.lease_ttl)
    }

    /// A process stands still, or goes on.
    pub(super) fn pause(&mut self, now: Timestamp, process: &Process, paused: bool) {
        // Those that it is not told of yet, too.
        let mine = self.processes.iter().filter(|(_, owner)| *owner == process);
        for session in mine.map(|(session, _)| *session) {
            self.model.set_paused(now, session, paused);
        }
    }

    pub(super) fn keeps(&self, child: &ChildId, stamp: Stamp) -> bool {
        let record = self.model.record(&spec_key(child));
        record.is_some_and(|record| record.stamp.version >= stamp.version)
    }

    pub(super) fn crash(&mut self, process: &Process) {
        let mine = self.processes.iter().filter(|(_, owner)| *owner == process);
        for session in mine.map(|(session, _)| *session).collect::<Vec<_>>() {
            self.processes.remove(&session);
            self.model.crash(session);
        }
    }

    pub(super) fn poll_news(&mut self) -> Option<News> {
        loop {
            let (session, told) = self.model.poll_told()?;
            let Some(process) = self.processes.get(&session).cloned() else { continue };
            let of_world = Session(session.0);
            let what = match told {
                Told::Joined(me) => Tidings::Joined(of_world, me, self.model.capabilities()),
                Told::Refused(error) => {
                    self.processes.remove(&session);
                    Tidings::Refused(error)
                }
                Told::Answer(id, answer) => Tidings::Answer(id, answer),
                Told::Event(event) => Tidings::Event(of_world, event),
            };
            return Some(News { process, what });
        }
    }
}
