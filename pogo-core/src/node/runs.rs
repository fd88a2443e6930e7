//! From the decision to start a child to its readiness.
//!
//! A start may need several things first: its `Starting` report with the backend (R11), its one
//! start marked as taken (R5), its claim (R18), its state (R9). They are asked for side by side.

use std::{sync::Arc, time::Duration};

use super::{
    Event, Node, Output, StartChild,
    local::{Local, Needs, Phase},
    outbox::{Lookup, Purpose},
    wire::{OwnedKey, ReportPhase, StateRecord, from_packed, spec_key, state_key},
};
use crate::{
    id::{BootId, ChildId, FencingToken, Lineage, MemberId, RunId},
    membership::{Expect, Health, Put},
    mutant::planted,
    record::{Record, Stage},
    spec::{Restart, limits::ENDPOINT_BYTES},
};

/// Members that may die while a child starts before it is quarantined (R11).
const STRIKES: usize = 3;

impl Node {
    /// Begins an instance: asks for everything that its run needs.
    pub(super) fn prepare(&mut self, id: &ChildId) {
        let former = self.children.get_mut(id).and_then(|child| child.former.take());
        let Some(child) = self.children.get(id) else { return };
        let Some((spec, version)) = child.wanted() else { return };
        let released = released_to(child, self.boot).filter(|report| report.version == version);
        let mut local = Local::new(version, Arc::clone(spec), &self.config.restart);
        local.returns = self.tenure.returns();
        let mut waits = former.and_then(|former| former.bear_on(&mut local, self.now.mono));
        let mut excessive = false;
        if let Some(report) = released {
            local.failures.inherit(report, self.now.mono);
            excessive = local.failures.is_excessive(&self.config.restart);
            waits = None;
        }
        let lineage = handed_over(child);
        let needs = Needs {
            report: !planted("start before its report is told"),
            spent: child.is_temporary() && !planted("temporary start is not marked first"),
            claim: self.is_strict(spec) && child.claim.is_none(),
            state: lineage.is_some() && !planted("handed-over state is not read"),
            strikes: child.strikes.against(version) > 0 && !child.strikes.is_recorded(),
        };
        let struck_out = child.strikes.against(version) >= STRIKES;
        if struck_out {
            local.failures.last = format!("{STRIKES} members died while it started");
        }
        if struck_out || excessive {
            let until = self.now.mono + self.config.restart.quarantine_retry;
            waits = Some(Phase::Quarantined { until });
        }
        let begins = waits.is_none();
        local.phase = waits.unwrap_or(Phase::Preparing(needs));
        let wall = self.now.wall;
        if let Some(child) = self.children.edit(id) {
            child.note(wall, if begins { "preparing" } else { "held back: it failed before" });
            child.not_before = None;
            child.claim_held_by = None;
            child.local = Some(local);
        }
        self.children.index_local(id);
        self.publisher.report_changed(id);
        if needs.strikes {
            self.put_strikes(id);
        }
        if begins {
            self.ask_for_needs(id, needs);
        }
    }

    /// Begins the instance of a newer version where the older one ran, cordoned or not.
    pub(super) fn restart_here(&mut self, id: &ChildId) {
        let wanted = self.children.get(id).is_some_and(|child| child.wanted().is_some());
        if wanted {
            self.prepare(id);
        } else {
            self.drop_local(id, "stopped");
        }
    }

    /// Begins another attempt of a child that is held here.
    pub(super) fn prepare_again(&mut self, id: &ChildId) {
        let Some(child) = self.children.get(id) else { return };
        let Some(local) = &child.local else { return };
        // One that was handed over since the last attempt is newer than what that was given.
        let has = local.inherited.as_ref().map(|(lineage, _)| *lineage);
        let lineage = handed_over(child).filter(|newest| !local.was_ready && Some(*newest) > has);
        let needs = Needs {
            spent: false,
            // An attempt may kill its member too. During an outage nobody can be told, and the
            // child is not to wait for that.
            report: self.session.is_live() && self.session.health == Health::Healthy,
            claim: self.is_strict(&local.spec) && child.claim.is_none(),
            state: lineage.is_some(),
            strikes: false,
        };
        self.set_phase(id, Phase::Preparing(needs), "another attempt");
        self.ask_for_needs(id, needs);
    }

    fn ask_for_needs(&mut self, id: &ChildId, needs: Needs) {
        if needs.state {
            self.outbox.get(state_key(id), Lookup::State(id.clone()));
        }
        if needs.claim && self.children.get(id).is_some_and(|child| !child.claim_releasing) {
            self.outbox.acquire(id.clone());
        }
        if needs.spent {
            self.take_the_one_start(id);
        }
    }

    /// Marks the one start of a temporary child as taken (R5).
    fn take_the_one_start(&mut self, id: &ChildId) {
        let Some(record) = self.staged_record(id, Stage::Spent(self.boot)) else { return };
        let expect = if self.session.has_compare_and_set() {
            let version = record.stamp.version;
            Expect::Exactly(crate::record::Stamp { version, stage: Stage::Live })
        } else {
            Expect::Newer
        };
        let put = Put { key: spec_key(id), record, expect };
        self.outbox.put(put, Purpose::Spent(id.clone()));
    }

    /// The record is not what the start was to be taken of: what is there now decides.
    pub(super) fn drop_unspent(&mut self, id: &ChildId) {
        let local = self.children.get(id).and_then(|child| child.local.as_ref());
        if local.is_some_and(|it| matches!(it.phase, Phase::Preparing(needs) if needs.spent)) {
            self.drop_local(id, "its one start could not be taken");
        }
        self.children.revisit(id);
    }

    pub(super) fn on_spent(&mut self, id: &ChildId, record: &Record) {
        let version = record.stamp.version;
        self.meet(id, |local, needs| {
            if local == version {
                needs.spent = false;
            }
        });
    }

    pub(super) fn on_strikes_told(&mut self, id: &ChildId) {
        self.meet(id, |_, needs| needs.strikes = false);
    }

    pub(super) fn on_state_read(&mut self, id: &ChildId, record: Option<Record>) {
        let Some(child) = self.children.get(id) else { return };
        let expected = handed_over(child);
        let value = record.and_then(|record| record.value);
        let found = value.and_then(|bytes| from_packed::<StateRecord>(&bytes).ok());
        let kind = child.local.as_ref().map(|local| &local.spec.kind);
        let found = found.filter(|it| Some(&it.kind) == kind);
        let state = found.filter(|it| it.absorb_by.is_none() && Some(it.lineage) >= expected);
        if state.is_none() && expected.is_some() {
            let reason = "the backend does not have it".to_owned();
            self.tell(Event::HandoverLost { id: id.clone(), reason });
        }
        if let Some(local) = self.children.edit(id).and_then(|child| child.local.as_mut())
            && let Phase::Preparing(needs) = &mut local.phase
        {
            needs.state = false;
            local.inherited = state.map(|it| (it.lineage, it.state));
        }
    }

    pub(super) fn on_claim_held(&mut self, id: &ChildId, token: FencingToken) {
        let Some(child) = self.children.edit(id) else { return };
        let former = child.claim.replace(token);
        if former.is_some_and(|former| former != token) {
            // It was lost and granted anew: the run still holds the former token.
            self.lose_ownership(id);
            if let Some(child) = self.children.edit(id) {
                child.claim = Some(token);
            }
            return;
        }
        self.meet(id, |_, needs| needs.claim = false);
        self.publisher.report_changed(id);
    }

    pub(super) fn on_claim_denied(&mut self, id: &ChildId, holder: &MemberId) {
        let Some(child) = self.children.edit(id) else { return };
        child.claim_held_by = Some(holder.name.clone());
        let had_it = child.claim.is_some();
        let prepares =
            child.local.as_ref().is_some_and(|it| matches!(it.phase, Phase::Preparing(_)));
        if had_it {
            self.lose_ownership(id);
        } else if prepares {
            self.drop_local(id, "its claim is held elsewhere");
        }
        // `ClaimFree` tells sooner; this is for a feed that missed it.
        let at = self.now.mono + self.config.sync_interval;
        self.wait_until(id, Some(at));
    }

    /// Claims were given back.
    pub(super) fn on_released(&mut self, ids: &[ChildId]) {
        for id in ids {
            let Some(child) = self.children.edit(id) else { continue };
            child.claim = None;
            child.claim_releasing = false;
            let Some(local) = &child.local else { continue };
            match &local.phase {
                Phase::Unclaiming { to, lineage } => {
                    let (to, lineage) = (*to, *lineage);
                    self.release(id, to, lineage);
                }
                Phase::Preparing(needs) if needs.claim => self.outbox.acquire(id.clone()),
                Phase::Preparing(_)
                | Phase::Starting { .. }
                | Phase::Running { .. }
                | Phase::Stopping { .. }
                | Phase::Exporting { .. }
                | Phase::Backoff { .. }
                | Phase::Quarantined { .. }
                | Phase::Released { .. }
                | Phase::Done { .. }
                | Phase::Stuck { .. } => {}
            }
        }
    }

    /// Takes note that a preparing instance has one need less.
    fn meet(&mut self, id: &ChildId, met: impl FnOnce(crate::record::Version, &mut Needs)) {
        let Some(child) = self.children.edit(id) else { return };
        let Some(local) = &mut child.local else { return };
        if let Phase::Preparing(needs) = &mut local.phase {
            met(local.version, needs);
        }
    }

    /// Begins the run.
    pub(super) fn launch(&mut self, id: &ChildId) {
        self.last_run = self.last_run.next();
        let run = self.last_run;
        let since = self.now.mono;
        let wall = self.now.wall;
        let is_strict = self.children.get(id).is_some_and(|child| self.rests_on_its_claim(child));
        let Some(child) = self.children.edit(id) else { return };
        child.note(wall, "started");
        // A claim that came late, when the child was not strict any more, is on its way back.
        let token = child.claim.filter(|_| is_strict && !planted("start bears no token"));
        let Some(local) = &mut child.local else { return };
        local.run = Some(run);
        local.attempt = local.attempt.saturating_add(1);
        local.endpoint = None;
        local.phase = Phase::Starting { since };
        let attempt = local.attempt;
        let start = StartChild {
            child: id.clone(),
            run,
            spec: Arc::clone(&local.spec),
            attempt,
            inherited: local.inherited.as_ref().map(|(_, state)| state.clone()),
            token,
        };
        let spec = Arc::clone(&start.spec);
        self.enter_tenure(&spec);
        self.emit(Output::StartChild(start));
        self.tell(Event::RunStarted { id: id.clone(), run, attempt });
    }

    pub(super) fn on_ready(&mut self, id: &ChildId, run: RunId, endpoint: Option<String>) {
        let since = self.now.mono;
        let endpoint = self.short_enough(id, endpoint);
        let Some(child) = self.children.edit(id) else { return };
        let Some(local) = &mut child.local else { return };
        if local.run != Some(run) {
            return;
        }
        if matches!(local.phase, Phase::Running { .. }) && endpoint.is_some() {
            // A running child tells a new address: one that was ready at its first poll its first.
            local.endpoint = endpoint;
            self.publisher.report_changed(id);
            return;
        }
        if !matches!(local.phase, Phase::Starting { .. }) {
            return;
        }
        local.endpoint = endpoint;
        local.inherited = None;
        local.was_ready = true;
        let used = if planted("used state is kept") { None } else { child.state.take() };
        self.set_phase(id, Phase::Running { since }, "ready");
        if used.is_some() {
            // From its first `ready` on the state is the child's own (R9).
            self.put_fact(state_key(id), None);
        }
    }

    /// An address that no backend takes would hold up every report of this member.
    fn short_enough(&mut self, id: &ChildId, endpoint: Option<String>) -> Option<String> {
        let len = endpoint.as_ref().map_or(0, String::len);
        if len <= ENDPOINT_BYTES {
            return endpoint;
        }
        let key = OwnedKey::Report(id.clone()).to_key().as_str().to_owned();
        let reason = format!("its address has {len} bytes, at most {ENDPOINT_BYTES} are told");
        self.tell(Event::GarbageDropped { key, reason });
        None
    }

    pub(super) fn on_stuck(&mut self, id: &ChildId, run: RunId) {
        let Some(local) = self.children.get(id).and_then(|child| child.local.as_ref()) else {
            return;
        };
        if local.run != Some(run) {
            return;
        }
        let cause = match &local.phase {
            Phase::Stopping { cause } => Some(cause.clone()),
            Phase::Starting { .. } | Phase::Running { .. } => None,
            Phase::Preparing(_)
            | Phase::Exporting { .. }
            | Phase::Unclaiming { .. }
            | Phase::Backoff { .. }
            | Phase::Quarantined { .. }
            | Phase::Released { .. }
            | Phase::Done { .. }
            | Phase::Stuck { .. } => return,
        };
        self.set_phase(id, Phase::Stuck { cause }, "stuck: it blocks its thread");
        self.rejoin_when_clear();
    }

    /// The delay before the next attempt of a failing child.
    pub(super) fn retry_at(&mut self, id: &ChildId) -> crate::time::Timestamp {
        let random = self.rng.next_u64();
        let now = self.now.mono;
        self.children
            .get_mut(id)
            .and_then(|child| child.local.as_mut())
            .map_or(now, |local| now + local.failures.backoff.next_delay(random))
    }

    /// Quarantined children are tried again after this time, spread so that they do not all come
    /// at once.
    pub(super) fn quarantine_until(&mut self) -> crate::time::Timestamp {
        let full = self.config.restart.quarantine_retry;
        let spread = u64::try_from((full / 4).as_nanos()).unwrap_or(u64::MAX).saturating_add(1);
        self.now.mono + full + Duration::from_nanos(self.rng.next_u64() % spread)
    }
}

/// The report that gives the child to `me`, if one does.
fn released_to(child: &super::child::Child, me: BootId) -> Option<&super::wire::Report> {
    child
        .reports
        .iter()
        .map(|seen| &seen.report)
        .filter(|report| report.released_to() == Some(me))
        .max_by_key(|report| lineage_of(report))
}

/// The newest state that waits for an instance. A release names it whomever it is to: that member
/// may be gone, and reports come ahead of the records.
fn handed_over(child: &super::child::Child) -> Option<Lineage> {
    child.reports.iter().filter_map(|seen| lineage_of(&seen.report)).max().max(child.state)
}

const fn lineage_of(report: &super::wire::Report) -> Option<Lineage> {
    match &report.phase {
        ReportPhase::Released { lineage, .. } => *lineage,
        ReportPhase::Starting
        | ReportPhase::Running
        | ReportPhase::Stopping
        | ReportPhase::Moving { .. }
        | ReportPhase::Backoff { .. }
        | ReportPhase::Quarantined { .. }
        | ReportPhase::Stuck
        | ReportPhase::Done => None,
    }
}

/// Whether the end of a run completes the child (R4).
pub(super) fn completes(restart: Restart, normal: bool, finished: bool) -> bool {
    finished
        || match restart {
            Restart::Permanent => false,
            Restart::Transient => normal && !planted("completed child starts again"),
            Restart::Temporary => true,
        }
}
