//! What follows the end of a run (R4, R9, R11).

use super::{
    Event, ExitReason, Node, RunEnd,
    local::{AfterExport, Phase, StopCause},
    outbox::Purpose,
    runs::completes,
    wire::spec_key,
};
use crate::{
    id::{ChildId, RunId},
    membership::{Expect, Put},
    mutant::planted,
    record::Stage,
    spec::Handover,
};

/// How long a completion is reported after its mark is acknowledged, so that nobody sees an
/// orphan in between (R4).
const DONE_TOLD: std::time::Duration = std::time::Duration::from_secs(60);

impl Node {
    pub(super) fn on_exited(&mut self, id: &ChildId, run: RunId, end: RunEnd) {
        let Some(local) = self.children.edit(id).and_then(|child| child.local.as_mut()) else {
            return;
        };
        if local.run != Some(run) {
            return;
        }
        local.run = None;
        let restart = local.spec.restart;
        let spec = std::sync::Arc::clone(&local.spec);
        let asked = match &local.phase {
            Phase::Stopping { cause } => Some(cause.clone()),
            Phase::Stuck { cause } => cause.clone(),
            Phase::Preparing(_)
            | Phase::Starting { .. }
            | Phase::Running { .. }
            | Phase::Exporting { .. }
            | Phase::Unclaiming { .. }
            | Phase::Backoff { .. }
            | Phase::Quarantined { .. }
            | Phase::Released { .. }
            | Phase::Done { .. } => None,
        };
        self.leave_tenure(&spec);
        let normal = end.reason == ExitReason::Normal;
        let completed = match &asked {
            Some(_) => end.finished,
            None => completes(restart, normal, end.finished),
        };
        let reason = end.reason.clone();
        self.tell(Event::RunExited { id: id.clone(), run, reason, completed });
        match asked {
            _ if completed => self.complete(id),
            Some(cause) => self.after_stop(id, &cause, end),
            None => self.after_failure(id, end.reason.to_string()),
        }
        self.rejoin_when_clear();
    }

    /// The child is complete: marks exactly the version that ran, so that a newer spec stands.
    pub(super) fn complete(&mut self, id: &ChildId) {
        let Some(child) = self.children.get(id) else { return };
        let desired = child.desired.as_ref().map(|it| it.stamp.version);
        let ran = child.local.as_ref().map(|it| it.version).or(desired);
        if ran != desired {
            return self.drop_local(id, "completed, but another spec version is desired");
        }
        let Some(record) = self.staged_record(id, Stage::Done) else {
            return self.drop_local(id, "completed, its record being gone");
        };
        let key = spec_key(id);
        self.merge_shared(&key, record.clone());
        self.outbox.put(Put { key, record, expect: Expect::Newer }, Purpose::Done(id.clone()));
        self.set_phase(id, Phase::Done { until: None }, "completed");
    }

    pub(super) fn on_done_told(&mut self, id: &ChildId) {
        let until = Some(self.now.mono + DONE_TOLD);
        if let Some(local) = self.children.edit(id).and_then(|child| child.local.as_mut())
            && let Phase::Done { until: told @ None } = &mut local.phase
        {
            *told = until;
        }
    }

    /// A failure: another attempt after a while, or quarantine (R11).
    fn after_failure(&mut self, id: &ChildId, last: String) {
        let now = self.now.mono;
        let policy = self.config.restart;
        let Some(local) = self.children.edit(id).and_then(|child| child.local.as_mut()) else {
            return;
        };
        if planted("back-off starts over") {
            local.failures.backoff.reset();
        }
        local.endpoint = None;
        local.failures.restarts = local.failures.restarts.saturating_add(1);
        if local.failures.record(&policy, now, last) {
            let until = self.quarantine_until();
            self.set_phase(id, Phase::Quarantined { until }, "quarantined");
        } else {
            let until = self.retry_at(id);
            self.set_phase(id, Phase::Backoff { until }, "failed");
        }
    }

    /// What a stop was for decides what becomes of the child and its state.
    fn after_stop(&mut self, id: &ChildId, cause: &StopCause, end: RunEnd) {
        let Some(child) = self.children.get(id) else { return };
        let Some(local) = &child.local else { return };
        let owner = child.owner;
        let start_first = local.spec.handover == Handover::StartFirst;
        let same_kind = child.wanted().is_some_and(|(spec, _)| spec.kind == local.spec.kind);
        self.tell_lost_state(id, cause, &end);
        match *cause {
            StopCause::Terminated => self.drop_local(id, "stopped"),
            StopCause::OwnershipLost => {
                self.drop_local(id, "stopped");
                // It may have passed on meanwhile: the next attempt asks for it anew.
                self.apply_claim(id);
            }
            StopCause::NobodyEligible => {
                self.departure.note_stopped(id);
                self.export(id, end.state, AfterExport::Drop);
            }
            StopCause::StartTimeout => {
                self.after_failure(id, ExitReason::StartTimeout.to_string());
            }
            StopCause::RestartAsked => self.export(id, end.state, AfterExport::Restart),
            StopCause::Replaced if !same_kind => self.drop_local(id, "replaced"),
            StopCause::Replaced | StopCause::SupervisorStopped => match owner {
                Some(owner) if owner != self.boot => {
                    self.export(id, end.state, AfterExport::Release { to: owner });
                }
                _ => self.export(id, end.state, AfterExport::Drop),
            },
            StopCause::Moving { to } if start_first => {
                self.export(id, end.state, AfterExport::Absorb { by: to });
            }
            StopCause::Moving { to } => {
                self.export(id, end.state, AfterExport::Release { to });
            }
            StopCause::Superseded { by } => {
                self.export(id, end.state, AfterExport::Absorb { by });
            }
        }
    }

    /// A child that failed while it was to hand over its state has lost it (R9).
    fn tell_lost_state(&mut self, id: &ChildId, cause: &StopCause, end: &RunEnd) {
        let hands_over = matches!(
            cause,
            StopCause::Replaced
                | StopCause::RestartAsked
                | StopCause::Moving { .. }
                | StopCause::NobodyEligible
                | StopCause::Superseded { .. }
                | StopCause::SupervisorStopped
        );
        let broke = matches!(end.reason, ExitReason::Failed(_) | ExitReason::Panicked(_));
        if hands_over && broke && end.state.is_none() {
            let reason = end.reason.to_string();
            self.tell(Event::HandoverLost { id: id.clone(), reason });
        }
    }
}
