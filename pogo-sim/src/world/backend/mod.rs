//! What a world asks of the backend that its members share, whichever of the two it is.
//!
//! A backend is told what members ask and what goes wrong. What it has for them comes back as
//! [`News`], and in the hub's case in feeds that members read when they are due.

mod hub;

use std::{collections::BTreeSet, time::Duration};

use pogo_core::{
    id::{BootId, MemberId, MemberName, RequestId},
    membership::{Capabilities, Event, MembershipError},
    node::{Answer, MembershipRequest},
    time::{Now, Timestamp},
};
use pogo_membership_gossip::engine::Engine;

pub(super) use self::hub::HubBackend;
use super::{
    agenda::Process,
    gossip::Net,
    host::{HostClock, metadata},
};
use crate::plan::{BackendKind, Plan};

/// One session of a process; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Session(pub(super) u64);

/// What a backend has for a process.
#[derive(Debug)]
pub(super) struct News {
    pub(super) process: Process,
    pub(super) what: Tidings,
}

/// What a piece of news is.
#[derive(Debug)]
pub(super) enum Tidings {
    /// A session began.
    Joined(Session, MemberId, Capabilities),
    /// A session did not come to be.
    Refused(MembershipError),
    /// The answer to a request.
    Answer(RequestId, Answer),
    /// Something for a session.
    Event(Session, Event),
    /// What the backend did is against its own contract.
    Bug(String),
}

/// The backend of a world.
#[derive(Debug)]
pub(super) enum Backend {
    /// The model of a store, in one piece.
    Hub(Box<HubBackend>),
    /// Real engines of the gossip backend and the network between them.
    Gossip(Box<Net<Engine>>),
}

/// A process that joins.
#[derive(Debug, Clone)]
pub(super) struct Joiner {
    pub(super) process: Process,
    pub(super) session: Session,
    pub(super) boot: BootId,
}

impl Backend {
    pub(super) fn new(plan: &Plan) -> Self {
        match plan.options.backend {
            BackendKind::Hub => Self::Hub(Box::new(HubBackend::new(plan))),
            BackendKind::Gossip => Self::Gossip(Box::new(Net::new(plan))),
        }
    }

    /// A process starts; it has not joined yet.
    pub(super) fn boot(&mut self, now: Timestamp, process: &Process, clock: HostClock) {
        if let Self::Gossip(net) = self {
            net.boot(now, process, clock);
        }
    }

    /// A process wants a session; the answer comes as news.
    pub(super) fn join(&mut self, now: Now, joiner: Joiner) {
        match self {
            Self::Hub(hub) => hub.join(now, joiner, metadata()),
            Self::Gossip(net) => net.join(now.mono, joiner, metadata()),
        }
    }

    /// A session's request; without an answer now, it comes as news.
    pub(super) fn request(
        &mut self,
        now: Now,
        process: &Process,
        session: Session,
        (id, request): (RequestId, &MembershipRequest),
    ) -> Option<Answer> {
        match self {
            Self::Hub(hub) => Some(hub.request(now, session, request)),
            Self::Gossip(net) => {
                net.request(now.mono, process, session, (id, request));
                None
            }
        }
    }

    /// A process ends without a word; in silence, its machine goes with it.
    pub(super) fn crash(
        &mut self,
        now: Now,
        process: &Process,
        session: Option<Session>,
        silent: bool,
    ) {
        match self {
            Self::Hub(hub) => hub.crash(now, session, silent),
            Self::Gossip(net) => net.crash(now.mono, process, silent),
        }
    }

    /// A process ends by itself; what is left of its session goes with it.
    pub(super) fn stop(&mut self, now: Now, process: &Process, session: Option<Session>) {
        match self {
            Self::Hub(hub) => hub.crash(now, session, false),
            Self::Gossip(net) => net.stop(now.mono, process, session),
        }
    }

    /// Ends a member's session against its will, where anybody can do that.
    pub(super) fn evict(&mut self, now: Now, member: &MemberName) {
        if let Self::Hub(hub) = self {
            hub.evict(now, member);
        }
    }

    /// Divides the members into those named together, and the rest.
    pub(super) fn cut(&mut self, now: Now, groups: &[BTreeSet<MemberName>]) {
        match self {
            Self::Hub(hub) => hub.cut(now, groups),
            Self::Gossip(net) => net.cut(now.mono, groups),
        }
    }

    pub(super) fn heal(&mut self, now: Now) {
        self.cut(now, &[]);
    }

    /// What members tell each other takes up to twice as long from now on.
    pub(super) fn delay(&mut self, delay: Duration) {
        match self {
            Self::Hub(hub) => hub.delay(delay),
            Self::Gossip(net) => net.delay(delay),
        }
    }

    /// When something happens in it that no member asks for.
    pub(super) fn next_step_at(&self) -> Option<Timestamp> {
        match self {
            // A hub does what is due when one of its feeds is read; the agenda holds when that is.
            Self::Hub(_) => None,
            Self::Gossip(net) => net.next_step_at(),
        }
    }

    /// Lets the first of what is due by now happen.
    pub(super) fn step(&mut self, now: Timestamp) {
        if let Self::Gossip(net) = self {
            net.step(now);
        }
    }

    pub(super) fn poll_news(&mut self) -> Option<News> {
        match self {
            Self::Hub(hub) => hub.poll_news(),
            Self::Gossip(net) => net.poll_news(),
        }
    }
}
