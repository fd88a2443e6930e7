//! What a world asks of the backend that its members share, whichever of the three it is.
//!
//! A backend is told what members ask and what goes wrong. What it has for them comes back as
//! [`News`], and in the hub's case in feeds that members read when they are due.

mod hub;
mod store;

use std::{collections::BTreeSet, time::Duration};

use pogo_core::{
    id::{BootId, ChildId, MemberId, MemberName, RequestId},
    membership::{Capabilities, Event, MemberMetadata, MembershipError},
    node::{Answer, Contact, MembershipRequest},
    record::Stamp,
    time::{Now, Timestamp},
};
use pogo_membership_gossip::engine::Engine;

pub(super) use self::{hub::HubBackend, store::StoreBackend};
use super::{agenda::Process, gossip::Net, host::HostClock};
use crate::{
    coverage,
    plan::{BackendKind, Plan},
    store::StoreModel,
};

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
#[derive(Debug, Clone)]
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
    /// A server and the adapter of each session.
    Store(Box<StoreBackend>),
}

/// A process that joins.
#[derive(Debug, Clone)]
pub(super) struct Joiner {
    pub(super) process: Process,
    pub(super) name: MemberName,
    pub(super) session: Session,
    pub(super) boot: BootId,
}

/// From whom and to whom.
pub(super) type Links<'a> = (&'a BTreeSet<MemberName>, &'a BTreeSet<MemberName>);

impl Backend {
    pub(super) fn new(plan: &Plan) -> Self {
        match plan.options.backend {
            BackendKind::Hub => Self::Hub(Box::new(HubBackend::new(plan))),
            BackendKind::Gossip => Self::Gossip(Box::new(Net::new(plan))),
            BackendKind::Store => Self::Store(Box::new(StoreBackend::new(plan))),
        }
    }

    /// A process starts; it has not joined yet.
    pub(super) fn boot(&mut self, now: Timestamp, process: &Process, clock: HostClock) {
        if let Self::Gossip(net) = self {
            net.boot(now, process, clock);
        }
    }

    /// A process wants a session; the answer comes as news.
    pub(super) fn join(&mut self, now: Now, joiner: Joiner, metadata: MemberMetadata) {
        match self {
            Self::Hub(hub) => hub.join(now, joiner, metadata),
            Self::Gossip(net) => net.join(now.mono, joiner, metadata),
            Self::Store(store) => store.join(now, joiner, metadata),
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
            Self::Store(store) => {
                store.request(now.mono, session, (id, request));
                None
            }
        }
    }

    /// The lease and the contacts of a session, by the clock of its own process.
    pub(super) fn contact(&self, now: Timestamp, session: Session, clock: HostClock) -> Contact {
        match self {
            Self::Hub(hub) => {
                let lease = hub.lease(now, session).map(|lease| clock.local_time(lease));
                Contact { lease, answered: Vec::new() }
            }
            Self::Gossip(net) => Contact { lease: None, answered: net.contacts(session) },
            Self::Store(store) => {
                Contact { lease: store.lease(now, session, clock), answered: Vec::new() }
            }
        }
    }

    /// A session needs round trips to all others, or does not any more.
    pub(super) fn probe_all(
        &mut self,
        now: Timestamp,
        process: &Process,
        session: Session,
        on: bool,
    ) {
        if let Self::Gossip(net) = self {
            net.probe_all(now, process, session, on);
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
            Self::Hub(hub) => {
                hub.hold(now, &process.host, false);
                hub.crash(now, session, silent);
            }
            Self::Gossip(net) => net.crash(now.mono, process, silent),
            // A store hears of neither.
            Self::Store(store) => store.crash(process),
        }
    }

    /// A process ends by itself; what is left of its session goes with it.
    pub(super) fn stop(&mut self, now: Now, process: &Process, session: Option<Session>) {
        match self {
            Self::Hub(hub) => hub.crash(now, session, false),
            Self::Gossip(net) => net.stop(now.mono, process, session),
            Self::Store(store) => store.crash(process),
        }
    }

    /// Ends a member's session against its will, where anybody can do that.
    pub(super) fn evict(&mut self, now: Now, member: &MemberName) {
        match self {
            Self::Hub(hub) => hub.evict(now, member),
            Self::Gossip(_) => {}
            Self::Store(store) => store.model.evict(now.mono, member),
        }
    }

    /// Divides the members into those named together, and the rest.
    pub(super) fn cut(&mut self, now: Now, groups: &[BTreeSet<MemberName>]) {
        match self {
            Self::Hub(hub) => hub.cut(now, groups),
            Self::Gossip(net) => net.cut(now.mono, groups),
            Self::Store(store) => store.model.divide(now.mono, groups),
        }
    }

    /// The weather on the network becomes fair.
    pub(super) const fn calm(&mut self) {
        if let Self::Gossip(net) = self {
            net.calm();
        }
    }

    /// Cuts members off for good: from the store, or from everybody else where there is none.
    pub(super) fn cut_off(&mut self, now: Now, members: &BTreeSet<MemberName>) {
        match self {
            Self::Hub(hub) => members.iter().for_each(|member| hub.hold(now, member, true)),
            Self::Gossip(net) => net.cut(now.mono, std::slice::from_ref(members)),
            Self::Store(store) => {
                for member in members {
                    store.model.set_cut_off(now.mono, member, true);
                }
            }
        }
    }

    /// Ends every division, and whatever is wrong with the way from one member to another.
    pub(super) fn heal(&mut self, now: Now) {
        self.cut(now, &[]);
        if let Self::Gossip(net) = self {
            net.heal_links(now.mono);
        }
    }

    /// Whether members talk to each other, so that there is something between them.
    pub(super) const fn has_links(&self) -> bool {
        matches!(self, Self::Gossip(_))
    }

    /// Nothing goes from some members to others, or it does again.
    pub(super) fn set_cut(&mut self, now: Timestamp, (from, to): Links<'_>, cut: bool) {
        if let Self::Gossip(net) = self {
            net.set_cut(now, from, to, cut);
        }
    }

    /// Everything takes so much longer from some members to others.
    pub(super) fn clog(&mut self, (from, to): Links<'_>, by: Duration) {
        if let Self::Gossip(net) = self {
            net.clog(from, to, by);
        }
    }

    /// A process stands still, and its part of the backend with it.
    pub(super) fn pause(&mut self, now: Now, process: &Process) {
        match self {
            Self::Hub(hub) => hub.hold(now, &process.host, true),
            Self::Gossip(net) => net.pause(now.mono, process),
            Self::Store(store) => store.pause(now.mono, process, true),
        }
    }

    /// A process goes on.
    pub(super) fn resume(&mut self, now: Now, process: &Process) {
        match self {
            Self::Hub(hub) => hub.hold(now, &process.host, false),
            Self::Gossip(net) => net.resume(now.mono, process),
            Self::Store(store) => store.pause(now.mono, process, false),
        }
    }

    /// A process handles everything so much later.
    pub(super) fn slow(&mut self, process: &Process, by: Duration) {
        if let Self::Gossip(net) = self {
            net.slow(process, by);
        }
    }

    /// The clocks of a process have changed.
    pub(super) fn set_clock(&mut self, now: Timestamp, process: &Process, clock: HostClock) {
        if let Self::Gossip(net) = self {
            net.set_clock(now, process, clock);
        }
    }

    /// What members tell each other takes up to twice as long from now on.
    pub(super) fn delay(&mut self, now: Timestamp, delay: Duration) {
        match self {
            Self::Hub(hub) => hub.delay(delay),
            Self::Gossip(net) => net.delay(delay),
            Self::Store(store) => store.model.set_delay(now, delay),
        }
    }

    /// When something happens in it that no member asks for.
    pub(super) fn next_step_at(&self) -> Option<Timestamp> {
        match self {
            // A hub does what is due when one of its feeds is read; the agenda holds when that is.
            Self::Hub(_) => None,
            Self::Gossip(net) => net.next_step_at(),
            Self::Store(store) => store.model.next_step_at(),
        }
    }

    /// Lets the first of what is due by now happen.
    pub(super) fn step(&mut self, now: Timestamp) {
        match self {
            Self::Hub(_) => {}
            Self::Gossip(net) => net.step(now),
            Self::Store(store) => store.model.step(),
        }
    }

    /// The store, where the members share one.
    pub(super) fn store(&mut self) -> Option<&mut StoreModel> {
        match self {
            Self::Store(store) => Some(&mut store.model),
            Self::Hub(_) | Self::Gossip(_) => None,
        }
    }

    /// Whether the backend itself keeps this change of a child, or a later one.
    pub(super) fn keeps(&self, child: &ChildId, stamp: Stamp) -> bool {
        match self {
            Self::Hub(_) => true,
            Self::Gossip(_) => false,
            Self::Store(store) => store.keeps(child, stamp),
        }
    }

    /// Whether a member's own process keeps this change of a child, or a later one, of which its node
    /// need not know yet: a change of its own that is not acknowledged stands there.
    pub(super) fn keeps_at(&self, host: &MemberName, child: &ChildId, stamp: Stamp) -> bool {
        match self {
            Self::Gossip(net) => {
                net.version(host, &store::spec_key(child)).is_some_and(|it| it >= stamp.version)
            }
            Self::Hub(_) | Self::Store(_) => false,
        }
    }

    /// A state of the coverage list that this backend alone can tell of, where it was reached.
    pub(super) fn reached(&self) -> Option<&'static str> {
        match self {
            Self::Gossip(net) => net.has_refuted().then_some(coverage::REFUTED),
            Self::Store(store) => store.model.has_renewed_late().then_some(coverage::RENEWED_LATE),
            Self::Hub(_) => None,
        }
    }

    pub(super) fn poll_news(&mut self) -> Option<News> {
        match self {
            Self::Hub(hub) => hub.poll_news(),
            Self::Gossip(net) => net.poll_news(),
            Self::Store(store) => store.poll_news(),
        }
    }
}
