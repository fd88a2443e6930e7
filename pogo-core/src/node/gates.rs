//! What keeps a member from starting children (R6, R12, R22), and the opening of those gates.

use std::time::Duration;

use super::{
    Node,
    inspect::PendingReason,
    plan::{Leaving, Scene},
    timers::Timer,
};
use crate::membership::{Health, MemberStatus};

/// What keeps this member from taking children over and from starting those that nobody reports,
/// and how often its members have changed.
pub(super) type Gates = (Option<PendingReason>, Option<PendingReason>, u64);

impl Node {
    /// What a plan looks at.
    pub(super) fn scene(&self) -> Scene<'_> {
        let takeover_gate = self.takeover_gate();
        Scene {
            me: self.boot,
            now: self.now.mono,
            config: &self.config,
            members: &self.members,
            orphan_gate: takeover_gate.clone().or_else(|| self.orphan_gate()),
            takeover_gate,
            tenure: &self.tenure,
            losses: &self.losses,
            view_settle: self.view_settle().unwrap_or_default(),
            ttl: self.session.capabilities.as_ref().and_then(|it| it.lease_ttl),
            leaving: self.departure.leaving(),
            cordoned: self.session.is_cordoned(),
        }
    }

    fn takeover_gate(&self) -> Option<PendingReason> {
        if !self.session.is_live() {
            return Some(PendingReason::Joining);
        }
        let want = self.config.min_members.get();
        if self.members.most_seen() < want as usize {
            let have = u32::try_from(self.members.active().count()).unwrap_or(u32::MAX);
            return Some(PendingReason::WaitingForMembers { have, want });
        }
        None
    }

    fn orphan_gate(&self) -> Option<PendingReason> {
        if self.session.mass_loss {
            Some(PendingReason::MassLoss)
        } else if self.members.is_settling() {
            Some(PendingReason::ViewSettling)
        } else {
            None
        }
    }

    /// How long news takes to be everywhere; unknown before the first session.
    fn view_settle(&self) -> Option<Duration> {
        let from_backend = self.session.capabilities.as_ref().map(|it| it.view_settle);
        self.config.view_settle.or(from_backend)
    }

    /// Starts of unreported children wait from now on (R6).
    pub(super) fn begin_settling(&mut self) {
        let Some(settle) = self.view_settle() else { return };
        let until = self.members.begin_settling(self.now.mono, settle);
        self.timers.arm(Timer::Settle, until);
    }

    pub(super) fn try_settle(&mut self) {
        if self.session.is_live() && self.members.try_settle(self.now.mono) {
            self.timers.disarm(&Timer::Settle);
            self.session.settled_once = true;
            self.children.unblock();
        } else if self.members.is_settling() && !self.session.is_live() {
            // The session's end interrupted it; the next one begins anew.
            self.timers.disarm(&Timer::Settle);
        }
    }

    /// Holds reassignment where over half of the members went at once after a degraded spell (R22).
    pub(super) fn note_loss(&mut self) {
        let Some(window) = self.session.capabilities.as_ref().map(|it| it.detection) else {
            return;
        };
        if self.is_degraded_lately() && self.members.len() * 2 < self.session.members_when_degraded
        {
            self.session.mass_loss = true;
            self.timers.arm(Timer::MassLoss, self.now.mono + window);
        }
    }

    /// Whether the backend does not serve this member, or did not within the last window.
    fn is_degraded_lately(&self) -> bool {
        let window = self.session.capabilities.as_ref().map(|it| it.detection);
        let ended = self.session.degraded_at.zip(window);
        matches!(self.session.health, Health::Degraded { .. })
            || ended.is_some_and(|(at, window)| self.now.mono.since(at) <= window)
    }

    /// The backend does not serve this member from now on: whom it knows counts until that ends, and
    /// one window longer. Spells that follow each other that closely are one.
    fn begin_degraded_spell(&mut self) {
        let before = self.is_degraded_lately().then_some(self.session.members_when_degraded);
        self.session.members_when_degraded = self.members.len().max(before.unwrap_or(0));
    }

    /// A store has ended this member's stay. It may have done so to all, and who is back first sees
    /// nobody: the spell lasts until the next session has begun (R22).
    pub(super) fn begin_eviction(&mut self) {
        let has_lease = self.session.capabilities.as_ref().is_some_and(|it| it.lease_ttl.is_some());
        if has_lease && self.session.health == Health::Healthy {
            self.begin_degraded_spell();
        }
        self.session.is_evicted_by_store = has_lease;
    }

    /// A session has begun, and so the backend serves this member: a former session may have ended
    /// before it could say so.
    pub(super) fn end_eviction(&mut self) {
        if std::mem::take(&mut self.session.is_evicted_by_store) {
            self.session.degraded_at = Some(self.now.mono);
        }
        self.on_health(Health::Healthy);
    }

    pub(super) fn end_mass_loss(&mut self) {
        self.session.mass_loss = false;
        self.children.unblock();
    }

    pub(super) fn on_health(&mut self, health: Health) {
        if self.session.health == health {
            return;
        }
        let was_healthy = self.session.health == Health::Healthy;
        if was_healthy {
            self.begin_degraded_spell();
        } else {
            self.session.degraded_at = Some(self.now.mono);
        }
        self.session.health = health.clone();
        self.tell(super::Event::Health { health });
    }

    /// What children wait for as a whole; where it has changed, so has what is said of them.
    pub(super) fn gates(&self) -> Gates {
        (self.takeover_gate(), self.orphan_gate(), self.members.changes())
    }

    /// Takes a change of this member's own status, first for itself, then for the others.
    pub(super) fn set_my_status(&mut self, status: MemberStatus) {
        let Some(me) = self.session.me.clone() else { return };
        let info = crate::membership::MemberInfo {
            id: me,
            status,
            metadata: std::sync::Arc::new(self.config.metadata.clone()),
        };
        self.publisher.set_status(status);
        self.on_member_info(info);
    }

    /// Takes a cordon of this member.
    pub(super) fn set_cordoned(&mut self, cordoned: bool) {
        if self.session.is_cordoned() == cordoned {
            return;
        }
        self.session.cordons = self.session.cordons.wrapping_add(1);
        let view = self.members.view(self.session.cordons);
        self.on_member_view(self.boot, Some(view));
        self.publisher.view_changed();
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.departure.leaving() != Leaving::No
    }
}
