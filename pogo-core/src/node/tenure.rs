//! How long a run may go on where wanting it is not enough: a strict one while its member's lease
//! lasts (R16), a quorum one while enough members answer (R17).
//!
//! Lease and contacts are read when a run would have to stop by what is known of them, and while
//! one waits for them: a renewal wakes nobody.

use std::{cmp::Reverse, collections::BTreeMap, num::NonZeroU32, time::Duration};

use super::{
    Contact, Node, Output, child::Child, inspect::PendingReason, local::Phase, members::Members,
    timers::Timer,
};
use crate::{
    id::{BootId, ChildId},
    membership::Capabilities,
    mutant::planted,
    spec::{ChildSpec, Exclusivity, Shutdown},
    time::Timestamp,
};

/// How long after its grace a run may take to be gone.
const KILL: Duration = Duration::from_millis(100);
/// The least distance of a deadline from the end of the lease.
const LEAST_MARGIN: Duration = Duration::from_millis(250);

/// What bounds a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bond {
    /// The lease, less what it takes to stop.
    Lease {
        /// The time to stop in.
        budget: Duration,
    },
    /// Members that answer, this one among them.
    Quorum {
        /// How many.
        size: NonZeroU32,
    },
}

/// The lease and the contacts of this member, and the runs that rest on them.
#[derive(Debug, Clone, Default)]
pub(super) struct Tenure {
    lease: Option<Timestamp>,
    /// When probes were sent that were answered, the latest first.
    answered: Vec<(Timestamp, BootId)>,
    read_at: Option<Timestamp>,
    ttl: Option<Duration>,
    /// The window within which a contact counts: that of detection.
    window: Duration,
    runs: BTreeMap<Bond, usize>,
    /// The sizes of quorum that children ask for, and whether this member is in each.
    quorums: BTreeMap<NonZeroU32, bool>,
    /// How often this member has come into a quorum: what was held before may run elsewhere.
    returns: u64,
    /// When it last came into one.
    returned: Timestamp,
    /// Whether something waits for a lease or a quorum.
    is_awaited: bool,
}

/// Whether a lease of this length leaves a strict child time to stop in, and room for two lost
/// renewals (R16).
pub fn is_long_enough_a_lease(ttl: Duration) -> bool {
    ttl / 5 + KILL + lease_margin(ttl) + ttl / 2 < ttl
}

impl Tenure {
    /// Whether some child asks for a quorum.
    pub(super) fn is_about_quorum(&self) -> bool {
        !self.quorums.is_empty()
    }

    /// How often this member has come into a quorum.
    pub(super) const fn returns(&self) -> u64 {
        self.returns
    }

    /// When this member last came into a quorum.
    pub(super) const fn returned(&self) -> Timestamp {
        self.returned
    }

    /// The window of R17.
    pub(super) const fn window(&self) -> Duration {
        self.window
    }

    /// Until when a run with this bond may go on.
    pub(super) fn until(&self, bond: Bond, members: &Members) -> Timestamp {
        match bond {
            Bond::Lease { budget } => match (self.ttl, self.lease) {
                (None, _) => Timestamp::MAX,
                (Some(_), None) => Timestamp::ZERO,
                (Some(ttl), Some(lease)) if planted("no time to stop in") => {
                    lease.earlier_by(lease_margin(ttl))
                }
                (Some(ttl), Some(lease)) => lease.earlier_by(lease_margin(ttl) + budget),
            },
            Bond::Quorum { size } => self.quorum_until(size.get() as usize, members),
        }
    }

    fn quorum_until(&self, size: usize, members: &Members) -> Timestamp {
        if let Some(ttl) = self.ttl {
            let renewed = self.lease.filter(|_| members.len() >= size).map(|it| it.earlier_by(ttl));
            return renewed.map_or(Timestamp::ZERO, |renewed| renewed + self.window);
        }
        let size = if planted("quorum of one less") { size - 1 } else { size };
        let Some(others) = size.checked_sub(2) else { return Timestamp::MAX };
        let mut counted = self.answered.iter().filter(|(_, boot)| members.is_live(*boot));
        counted.nth(others).map_or(Timestamp::ZERO, |(sent, _)| *sent + self.window)
    }

    /// What keeps a run with this bond from beginning, if anything.
    pub(super) fn gate(
        &self,
        bond: Bond,
        now: Timestamp,
        members: &Members,
    ) -> Option<PendingReason> {
        let reason = match bond {
            Bond::Lease { .. } => PendingReason::LeaseLapsed,
            Bond::Quorum { size } => PendingReason::NoQuorum { size },
        };
        (self.until(bond, members) <= now).then_some(reason)
    }

    /// Whether a run with this bond has to end: it was over when lease and contacts were last read.
    /// What was read before that says nothing of the renewals since.
    pub(super) fn is_over(&self, bond: Bond, now: Timestamp, members: &Members) -> bool {
        self.until(bond, members) <= self.read_at.unwrap_or(now)
    }
}

/// The bond of a child of this exclusivity, if it has one.
pub(super) fn bond(
    exclusivity: Exclusivity,
    shutdown: Shutdown,
    ttl: Option<Duration>,
) -> Option<Bond> {
    match exclusivity {
        Exclusivity::Available => None,
        Exclusivity::Quorum { size } => Some(Bond::Quorum { size }),
        Exclusivity::Strict => {
            let ttl = ttl?;
            Some(Bond::Lease { budget: grace(shutdown).min(ttl / 5) + KILL })
        }
    }
}

/// How long a child may take to stop.
pub(super) const fn grace(shutdown: Shutdown) -> Duration {
    match shutdown {
        Shutdown::Grace(grace) => grace,
        Shutdown::Immediate => Duration::ZERO,
        Shutdown::Unbounded => Duration::MAX,
    }
}

/// How long before the lease's end a strict run is gone.
pub fn lease_margin(ttl: Duration) -> Duration {
    if planted("fence margin zero") { Duration::ZERO } else { (ttl / 10).max(LEAST_MARGIN) }
}

impl Node {
    pub(super) fn exclusivity_of(&self, spec: &ChildSpec) -> Exclusivity {
        spec.exclusivity.unwrap_or(self.config.exclusivity)
    }

    fn bond_of(&self, spec: &ChildSpec) -> Option<Bond> {
        bond(self.exclusivity_of(spec), spec.shutdown, self.tenure.ttl)
    }

    /// How long a run that has lost its tenure may take to stop. Where that was found out late, as
    /// after a pause, there is less time until the lease's deadline, or none (R16).
    pub(super) fn last_grace(&self, spec: &ChildSpec) -> Shutdown {
        match (self.bond_of(spec), spec.shutdown) {
            (_, Shutdown::Immediate) | (None, _) => spec.shutdown,
            (Some(bond @ Bond::Lease { budget }), _) => {
                let now = self.now.mono;
                let is_over = self.tenure.is_over(bond, now, &self.members);
                let until = self.tenure.until(bond, &self.members);
                let late = if is_over { now.since(until) } else { Duration::ZERO };
                Shutdown::Grace(budget.saturating_sub(KILL + late))
            }
            (Some(Bond::Quorum { .. }), shutdown) => shutdown,
        }
    }

    /// A session begins: what was known of the former one's lease does not bear on it.
    pub(super) fn begin_tenure(&mut self, capabilities: &Capabilities) {
        self.tenure.ttl = capabilities.lease_ttl;
        self.tenure.window = capabilities.detection;
        self.tenure.read_at = None;
        if self.tenure.is_about_quorum() {
            self.emit(Output::ProbeAll(true));
            self.await_tenure();
        }
    }

    /// A child that asks for a quorum makes the session probe all members.
    pub(super) fn note_quorum(&mut self, spec: &ChildSpec) {
        let Exclusivity::Quorum { size } = self.exclusivity_of(spec) else { return };
        if self.tenure.quorums.contains_key(&size) {
            return;
        }
        if self.tenure.quorums.is_empty() {
            self.emit(Output::ProbeAll(true));
            // From now on views name all that are seen.
            self.publisher.view_changed();
        }
        self.tenure.quorums.insert(size, false);
        self.recount_losses();
        self.await_tenure();
    }

    /// A run begins.
    pub(super) fn enter_tenure(&mut self, spec: &ChildSpec) {
        let Some(bond) = self.bond_of(spec) else { return };
        *self.tenure.runs.entry(bond).or_default() += 1;
        let until = self.tenure.until(bond, &self.members);
        if until != Timestamp::MAX {
            self.timers.arm_by(Timer::Tenure, until);
        }
    }

    /// A run has ended.
    pub(super) fn leave_tenure(&mut self, spec: &ChildSpec) {
        let Some(bond) = self.bond_of(spec) else { return };
        if let Some(count) = self.tenure.runs.get_mut(&bond) {
            *count -= 1;
            if *count == 0 {
                self.tenure.runs.remove(&bond);
            }
        }
    }

    /// A child waits for a lease or a quorum: looks again soon, at once where nobody looked lately.
    pub(super) fn await_tenure(&mut self) {
        self.tenure.is_awaited = true;
        let now = self.now.mono;
        let pause = self.tenure.window / 8;
        let at = self.tenure.read_at.map_or(now, |read| (read + pause).max(now));
        self.timers.arm_by(Timer::Tenure, at);
    }

    pub(super) fn on_tenure_due(&mut self) {
        if self.session.is_open() {
            self.emit(Output::ReadContact);
        } else {
            // There is nothing to be read: what is known is all there is.
            self.tenure.read_at = Some(self.now.mono);
            self.judge_tenure();
        }
    }

    pub(super) fn on_contact(&mut self, contact: Contact) {
        let now = self.now.mono;
        for size in self.tenure.quorums.keys().copied().collect::<Vec<_>>() {
            if self.tenure.until(Bond::Quorum { size }, &self.members) <= now {
                // Read late: whether it went on meanwhile nobody knows.
                self.tenure.quorums.insert(size, false);
            }
        }
        let known = std::mem::replace(&mut self.tenure.lease, contact.lease);
        if known.is_some_and(|until| until <= self.now.mono) {
            // Nobody looked while it may have been over, and claims free.
            self.doubt_claims();
        }
        self.tenure.read_at = Some(self.now.mono);
        let mut answered: Vec<_> =
            contact.answered.into_iter().map(|(boot, sent)| (sent, boot)).collect();
        answered.sort_unstable_by_key(|(sent, boot)| (Reverse(*sent), *boot));
        self.tenure.answered = answered;
        self.judge_tenure();
    }

    /// Claims that may have passed on are asked for again; nothing begins before they are granted.
    pub(super) fn doubt_claims(&mut self) {
        let held = |child: &Child| child.claim.is_some() && !child.claim_releasing;
        let ids: Vec<ChildId> =
            self.children.local().filter(|it| held(it.1)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            let Some(child) = self.children.edit(&id) else { continue };
            let Some(local) = &mut child.local else { continue };
            match &mut local.phase {
                Phase::Preparing(needs) => {
                    child.claim = None;
                    needs.claim = true;
                    self.outbox.acquire(id);
                }
                // One that stops may be followed by the next attempt, here. Whatever the answer, a claim
                // that is held stays known: it has to be given back.
                Phase::Backoff { .. }
                | Phase::Quarantined { .. }
                | Phase::Starting { .. }
                | Phase::Running { .. }
                | Phase::Stopping { .. }
                | Phase::Exporting { .. }
                | Phase::Stuck { .. } => self.outbox.acquire(id),
                Phase::Unclaiming { .. } | Phase::Released { .. } | Phase::Done { .. } => {}
            }
        }
    }

    /// Stops what has lost its ground, lets begin what has gained it, and sets the next look.
    fn judge_tenure(&mut self) {
        let now = self.now.mono;
        self.timers.disarm(&Timer::Tenure);
        self.judge_quorums();
        let until: Vec<_> = self
            .tenure
            .runs
            .keys()
            .map(|bond| (*bond, self.tenure.until(*bond, &self.members)))
            .collect();
        let bounded = |until: &Timestamp| *until > now && *until != Timestamp::MAX;
        let sizes = self.tenure.quorums.iter().filter(|(_, is_in)| **is_in);
        // Looked at before it would be over, so that it is known whether it went on.
        let early = self.tenure.window / 8;
        let quorums: Vec<_> = sizes
            .map(|(size, _)| self.tenure.until(Bond::Quorum { size: *size }, &self.members))
            .map(|until| if until == Timestamp::MAX { until } else { until.earlier_by(early) })
            .map(|look| look.max(now + early / 8))
            .collect();
        let all = until.iter().map(|(_, until)| *until).chain(quorums);
        if let Some(next) = all.filter(bounded).min() {
            self.timers.arm_by(Timer::Tenure, next);
        }
        let over: Vec<Bond> =
            until.iter().filter(|(_, until)| *until <= now).map(|(bond, _)| *bond).collect();
        if !over.is_empty() {
            self.revisit_bound(&over);
        }
        if std::mem::take(&mut self.tenure.is_awaited) {
            self.children.unblock();
        }
    }

    /// A member is gone: what rested on its being there stops now, not at the next look (R17).
    pub(super) fn judge_lost_quorums(&mut self) {
        if self.tenure.is_about_quorum() {
            self.judge_tenure();
        }
    }

    fn revisit_bound(&mut self, over: &[Bond]) {
        let is_over = |spec: &ChildSpec| self.bond_of(spec).is_some_and(|it| over.contains(&it));
        let runs: Vec<ChildId> = self
            .children
            .local()
            .filter(|(_, child)| {
                child.local.as_ref().is_some_and(|it| {
                    matches!(it.phase, Phase::Starting { .. } | Phase::Running { .. })
                        && is_over(&it.spec)
                })
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in runs {
            self.children.revisit(&id);
        }
    }

    /// A member that comes into a quorum does not know what those do whom it has not met since.
    fn judge_quorums(&mut self) {
        let now = self.now.mono;
        let sizes: Vec<_> = self.tenure.quorums.iter().map(|(size, was)| (*size, *was)).collect();
        for (size, was) in sizes {
            let is = self.tenure.until(Bond::Quorum { size }, &self.members) > now;
            if is != was {
                self.tenure.quorums.insert(size, is);
                if is {
                    self.tenure.returns += 1;
                    self.tenure.returned = now;
                    self.losses.meet_strangers();
                    self.recount_losses();
                }
            }
        }
    }
}
