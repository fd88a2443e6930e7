//! Finding the cluster, or forming one alone (R12).
//!
//! The first peer that answers gives a copy of the shared records. A join goes on once that is
//! whole, every peer that is known to be alive is shown and has been compared with: so nobody
//! starts a child that another reports, or puts a record that another has. Whoever stays silent is
//! waited for no longer than it takes to find it dead.

use std::time::Duration;

use pogo_core::{membership::MembershipError, time::Timestamp};

use super::{DialError, Engine, Form, LinkId, Target, agenda::Timer, sessions::NAME};
use crate::{message::Message, shared::SyncMessage};

/// A seed that rejects this peer is given this long to think better of it.
const REJECTED: Duration = Duration::from_secs(2);

/// How far this peer is on its way into a cluster.
#[derive(Debug, Default)]
pub(super) enum Forming {
    /// Nobody has joined yet.
    #[default]
    Idle,
    /// It looks for others.
    Looking { since: Timestamp, until: Timestamp },
    /// It copies the shared records over a link.
    Reading { link: LinkId, since: Timestamp, until: Timestamp },
    /// It takes part; until the time given it waits to see all others.
    Done { gathering_until: Timestamp },
}

impl Forming {
    pub(super) const fn is_done(&self) -> bool {
        matches!(self, Self::Done { .. })
    }
}

impl Engine {
    /// A session wants to join: the first one makes this peer look for the others.
    pub(super) fn begin_forming(&mut self, within: Duration) {
        if !matches!(self.forming, Forming::Idle) {
            return;
        }
        let since = self.now.mono;
        self.forming = Forming::Looking { since, until: since + within };
        self.agenda.arm(Timer::Forming, since + within);
        for seed in 0..self.config.seeds {
            self.dial(Target::Seed(seed));
        }
        let known: Vec<_> = self.alive().collect();
        for peer in known {
            self.link_to(peer);
        }
    }

    pub(super) fn advance_forming(&mut self) {
        let Forming::Looking { since, until } = self.forming else { return };
        if let Err(error) = self.skew.check(self.now) {
            return self.fail_joins(&error);
        }
        let link = self.links.in_step().next();
        if let Some(link) = link {
            self.forming = Forming::Reading { link, since, until };
            return self.send(link, Message::Sync(SyncMessage::Pull(None)));
        }
        if let Some(rejection) = self.rejection(since) {
            return self.fail_joins(&rejection);
        }
        let has_others = (0..self.config.seeds).any(|seed| !self.links.has_seen(seed))
            || self.alive().next().is_some();
        let may_be_alone = self.config.form == Form::Alone;
        if may_be_alone && (!has_others || self.now.mono >= until) {
            if has_others {
                tracing::warn!(seeds = self.config.seeds, "no seed answers: a cluster of one");
            }
            self.done();
        }
    }

    /// Every seed has answered that it does not want this peer.
    fn rejection(&self, since: Timestamp) -> Option<MembershipError> {
        if self.now.mono.since(since) < REJECTED || self.alive().next().is_some() {
            return None;
        }
        let unseen = (0..self.config.seeds).filter(|seed| !self.links.has_seen(*seed));
        let mut reasons = unseen.map(|seed| match self.links.seed_errors().get(&seed) {
            Some(DialError::Rejected(reason)) => Some(reason),
            Some(DialError::Refused | DialError::Unreachable(_)) | None => None,
        });
        let first = reasons.next()??;
        reasons
            .all(|reason| reason.is_some())
            .then(|| MembershipError::Denied { backend: NAME, reason: first.clone() })
    }

    fn fail_joins(&mut self, error: &MembershipError) {
        self.forming = Forming::Idle;
        self.agenda.disarm(Timer::Forming);
        for session in self.sessions.joining() {
            self.fail_join(session, error.clone());
        }
        self.close_all();
    }

    /// The last page of a copy has been merged.
    pub(super) fn on_copied(&mut self, link: LinkId) {
        if matches!(self.forming, Forming::Reading { link: reading, .. } if reading == link) {
            self.links.mark_copied(link);
            self.done();
        }
    }

    /// The link that the copy came over is gone: another gives it.
    pub(super) fn forming_lost(&mut self, link: LinkId) {
        if let Forming::Reading { link: reading, since, until } = self.forming
            && reading == link
        {
            self.forming = Forming::Looking { since, until };
        }
    }

    fn done(&mut self) {
        let gathering_until = self.detected_by(self.now.mono);
        self.forming = Forming::Done { gathering_until };
        self.agenda.arm(Timer::Forming, gathering_until);
        // Whoever gave the copy may be as new, or was told of a record as its page had gone out.
        let others: Vec<LinkId> = self.links.in_step().collect();
        for link in others {
            let root = self.shared.compare();
            self.send(link, Message::Sync(root));
        }
    }

    /// Whether every peer that is known to be alive is shown, and every seed was tried.
    pub(super) fn has_gathered(&self) -> bool {
        let Forming::Done { gathering_until } = self.forming else { return false };
        let all_tried = (0..self.config.seeds).all(|seed| self.links.has_tried(seed));
        let is_mesh = self.is_mesh();
        let is_read = |peer| self.links.is_in_step_with(peer) && self.links.has_copied(peer);
        let all_shown =
            || self.alive().all(|peer| self.shown.has_peer(peer) && (!is_mesh || is_read(peer)));
        self.now.mono >= gathering_until || (all_tried && all_shown())
    }
}
