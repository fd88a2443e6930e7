//! Owned records of other members: reports, wants and views.

use super::{
    Node,
    child::Seen,
    local::Phase,
    wire::{Garbage, OwnedKey, Report, ReportPhase, ViewRecord, from_packed},
};
use crate::{
    id::{BootId, ChildId, MemberId},
    membership::{DownReason, Gone, OwnedUpdate},
    mutant::planted,
};

/// A member that dies this soon after a child was ready counts as dead of its start (R11).
const JUST_STARTED: std::time::Duration = std::time::Duration::from_secs(1);

impl Node {
    /// Takes a batch whole before anything is decided: what it says together is true together.
    pub(super) fn on_owned(&mut self, member: &MemberId, updates: Vec<OwnedUpdate>) {
        if member.boot == self.boot || !self.members.is_live(member.boot) {
            return;
        }
        for update in updates {
            if let Err(garbage) = self.on_owned_update(member.boot, &update) {
                self.drop_garbage(&update.key, &garbage);
            }
        }
    }

    fn on_owned_update(&mut self, by: BootId, update: &OwnedUpdate) -> Result<(), Garbage> {
        match OwnedKey::parse(&update.key)? {
            OwnedKey::Report(id) => {
                let report: Option<Report> =
                    update.value.as_ref().map(|bytes| from_packed(bytes)).transpose()?;
                self.on_report(&id, by, report);
            }
            OwnedKey::Want(id) => {
                if let Some(member) = self.members.get_mut(by) {
                    if update.value.is_some() {
                        member.wants.insert(id.clone());
                    } else {
                        member.wants.remove(&id);
                    }
                }
                self.children.revisit(&id);
            }
            OwnedKey::View => {
                let view: Option<ViewRecord> =
                    update.value.as_ref().map(|bytes| from_packed(bytes)).transpose()?;
                self.on_member_view(by, view);
            }
        }
        Ok(())
    }

    fn on_report(&mut self, id: &ChildId, by: BootId, report: Option<Report>) {
        let Some(member) = self.members.get_mut(by) else { return };
        let known = self.children.get(id).is_some_and(|child| child.report_by(by).is_some());
        if report.is_none() {
            member.reports.remove(id);
        } else if !known {
            member.reports.insert(id.clone());
        }
        self.children.set_report(id, by, report, self.now.mono);
    }

    /// The member that reported `id` is gone.
    pub(super) fn on_reporter_down(&mut self, id: &ChildId, member: &MemberId, reason: DownReason) {
        let boot = member.boot;
        let now = self.now.mono;
        let mut struck = false;
        let crashed = reason != DownReason::Left;
        let delay = self.config.failover_delay;
        if let Some(child) = self.children.edit(id) {
            let report = child.report_by(boot).cloned();
            match report {
                Some(Seen { report, since, saw_ready, .. }) if crashed => {
                    let fresh = saw_ready && now.since(since) <= JUST_STARTED;
                    let starting = report.phase == ReportPhase::Starting
                        || (fresh && report.phase == ReportPhase::Running);
                    if starting && !planted("death strikes nobody") {
                        child.strikes.add(report.version, boot);
                        struck = true;
                    }
                }
                _ => {}
            }
            if let Some(ReportPhase::Released { lineage: Some(lineage), .. }) =
                child.report_by(boot).map(|seen| seen.report.phase.clone())
            {
                // Its state is in the records, whether or not their feed has come as far.
                child.state = child.state.max(Some(lineage));
            }
            if crashed && !delay.is_zero() {
                child.not_before = Some(now + delay);
            }
        }
        self.children.set_report(id, boot, None, now);
        // Its next start may be by that member's next process, which knows nothing of this one, and of
        // which nobody can know when it comes.
        let is_first = self.members.active().next().is_some_and(|it| it.info.id.boot == self.boot);
        if struck && is_first {
            self.put_strikes(id);
        }
    }

    /// A member that was held to be dead is there: it died of nothing (R11).
    pub(super) fn absolve(&mut self, boot: BootId) {
        let accused: Vec<_> = self
            .children
            .iter()
            .filter(|(_, child)| child.strikes.names(boot))
            .map(|(id, _)| id.clone())
            .collect();
        let now = self.now.mono;
        for id in accused {
            let Some(child) = self.children.edit(&id) else { continue };
            let was_recorded = child.strikes.absolve(boot);
            if let Some(local) = &mut child.local
                && let Phase::Quarantined { until } = &mut local.phase
                && !local.failures.is_excessive(&self.config.restart)
            {
                *until = now;
            }
            if was_recorded && child.owner == Some(self.boot) {
                self.put_strikes(&id);
            }
        }
    }

    /// Drops what a snapshot no longer names of a live member.
    pub(super) fn sweep_owned(&mut self, boot: BootId, gone: &Gone) {
        let Some(member) = self.members.get(boot) else { return };
        let reports: Vec<_> = member.reports.iter().cloned().collect();
        let wants: Vec<_> = member.wants.iter().cloned().collect();
        let has_view = member.view.is_some();
        for id in reports {
            if gone.owned(boot, &OwnedKey::Report(id.clone()).to_key()) {
                self.on_report(&id, boot, None);
            }
        }
        for id in wants {
            if gone.owned(boot, &OwnedKey::Want(id.clone()).to_key()) {
                if let Some(member) = self.members.get_mut(boot) {
                    member.wants.remove(&id);
                }
                self.children.revisit(&id);
            }
        }
        if has_view && gone.owned(boot, &OwnedKey::View.to_key()) {
            self.on_member_view(boot, None);
        }
    }
}
