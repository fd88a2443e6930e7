//! Why a child is where it is, and what a departure would do.

use super::{Explanation, LeavePlan, Node, listing::Inspect, wire::ReportPhase};
use crate::{
    id::{ChildId, MemberName},
    placement::{owner, ranked},
};

impl Inspect<'_> {
    /// Why a child is where it is.
    pub fn explain(&self, id: &ChildId) -> Option<Explanation> {
        self.node().explain(id)
    }

    /// What a member's departure would do; `None` where no live member has the name.
    pub fn plan_leave(&self, member: &MemberName) -> Option<LeavePlan> {
        self.node().plan_leave(member)
    }
}

impl Node {
    fn explain(&self, id: &ChildId) -> Option<Explanation> {
        let child = self.children.get(id)?;
        let info = self.child_info(id)?;
        let spec = child.wanted().map(|(spec, _)| spec);
        let candidates: Vec<_> = child
            .pool
            .into_iter()
            .flat_map(|pool| self.children.pools.candidates(pool))
            .map(|(_, candidate)| candidate)
            .collect();
        let order = ranked(child.key, &candidates);
        let excluded = self.members.iter().filter_map(|member| {
            let exclusion = member.exclusion(spec?)?;
            Some((member.info.id.name.clone(), exclusion))
        });
        let mut reports: Vec<_> = child
            .reports
            .iter()
            .filter_map(|seen| {
                Some((self.members.name(seen.by)?.clone(), phase_name(&seen.report.phase)))
            })
            .collect();
        if let (Some(me), Some(local)) = (&self.session.me, &child.local) {
            let phase = local.to_report(child.claim, None).phase;
            reports.push((me.name.clone(), phase_name(&phase)));
        }
        Some(Explanation {
            child: info,
            owner: child.owner.and_then(|owner| self.members.name(owner)).cloned(),
            order: order.into_iter().map(|candidate| candidate.name().clone()).collect(),
            excluded: excluded.collect(),
            reports,
            history: child
                .history
                .iter()
                .map(|(wall, what)| format!("{} ms: {what}", wall.as_millis()))
                .collect(),
        })
    }

    fn plan_leave(&self, name: &MemberName) -> Option<LeavePlan> {
        let boot = self.members.by_name(name)?.info.id.boot;
        let mut plan =
            LeavePlan { member: name.clone(), moves: Vec::new(), unplaceable: Vec::new() };
        for id in self.children.owned_by(boot) {
            let Some(child) = self.children.get(id) else { continue };
            let others: Vec<_> = child
                .pool
                .into_iter()
                .flat_map(|pool| self.children.pools.candidates(pool))
                .filter(|(other, _)| *other != boot)
                .map(|(_, candidate)| candidate)
                .collect();
            match owner(child.key, &others) {
                Some(next) => plan.moves.push((id.clone(), next.name().clone())),
                None => plan.unplaceable.push(id.clone()),
            }
        }
        Some(plan)
    }
}

fn phase_name(phase: &ReportPhase) -> String {
    match phase {
        ReportPhase::Starting => "starting".to_owned(),
        ReportPhase::Running => "running".to_owned(),
        ReportPhase::Stopping => "stopping".to_owned(),
        ReportPhase::Moving { to } => format!("moving to {to}"),
        ReportPhase::Backoff { .. } => "backoff".to_owned(),
        ReportPhase::Quarantined { .. } => "quarantined".to_owned(),
        ReportPhase::Stuck => "stuck".to_owned(),
        ReportPhase::Released { .. } => "released".to_owned(),
        ReportPhase::Done => "done".to_owned(),
    }
}
