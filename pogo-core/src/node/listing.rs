//! Reading a node: children and members as users see them.

use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::{
    ChildInfo, Event, Listing, MemberView, Node, PendingReason, Status, View,
    child::Child,
    local::Local,
    wire::{Report, ReportPhase},
};
use crate::{
    id::{ChildId, MemberId, MemberName},
    membership::Health,
    mutant::planted,
    record::Stamp,
    spec::ChildSpec,
};

/// A read-only look at a node.
#[derive(Debug, Clone, Copy)]
pub struct Inspect<'a>(&'a Node);

impl<'a> Inspect<'a> {
    pub(super) const fn new(node: &'a Node) -> Self {
        Self(node)
    }

    pub(super) const fn node(self) -> &'a Node {
        self.0
    }

    /// Who this member is, once joined.
    pub fn me(&self) -> Option<&'a MemberId> {
        self.0.session.me.as_ref()
    }

    /// Whether the first snapshot was read, enough members were seen, and views have settled once.
    pub fn is_ready(&self) -> bool {
        self.0.session.settled_once && self.0.scene().takeover_gate.is_none()
    }

    /// The backend's health.
    pub const fn health(&self) -> &'a Health {
        &self.0.session.health
    }

    /// The members, by name.
    pub fn members(&self) -> Vec<MemberView> {
        let mut members: Vec<_> =
            self.0.members.iter().map(|member| member.to_view(self.0.boot)).collect();
        members.sort_by(|a, b| a.id.cmp(&b.id));
        members
    }

    /// The children, by id.
    pub fn children(&self, listing: Listing) -> Vec<ChildInfo> {
        match listing {
            Listing::Global => {
                self.0.children.iter().filter_map(|(id, child)| self.0.info_of(id, child)).collect()
            }
            Listing::Local => self
                .0
                .children
                .local()
                .filter(|(_, child)| child.local.as_ref().is_some_and(Local::is_instance))
                .filter_map(|(id, child)| self.0.info_of(id, child))
                .collect(),
        }
    }

    /// One child; `None` where it is not listed.
    pub fn child(&self, id: &ChildId) -> Option<ChildInfo> {
        self.0.child_info(id)
    }

    /// The number of listed children.
    pub fn count(&self) -> usize {
        self.0.children.iter().filter(|(_, child)| self.0.is_listed(child)).count()
    }

    /// Children that this member may ask for only when others of its moves have ended (R7).
    pub fn moves_held_back(&self) -> usize {
        self.0.moves.held_back()
    }

    /// The member that placement names for a child.
    pub fn owner(&self, id: &ChildId) -> Option<&'a MemberId> {
        let owner = self.0.children.get(id)?.owner?;
        self.0.members.id(owner)
    }

    /// The place of a child's spec record in R2's order, and whether it is a live, uncompleted
    /// spec.
    pub fn record(&self, id: &ChildId) -> Option<(Stamp, bool)> {
        let desired = self.0.children.get(id)?.desired.as_ref()?;
        Some((desired.stamp, desired.spec().is_some()))
    }

    /// The spec of a child as it is known, where that is not a tombstone.
    pub fn spec(&self, id: &ChildId) -> Option<&'a ChildSpec> {
        let desired = self.0.children.get(id)?.desired.as_ref()?;
        desired.value.as_ref().map(|(spec, _)| spec.as_ref())
    }

    /// This member's view (R6).
    pub fn view(&self) -> View {
        let view = self.0.members.view(self.0.session.cordons);
        View { members: view.members, digest: view.digest }
    }

    /// A digest over all spec records, equal on members that agree (L3).
    pub fn specs_digest(&self) -> u64 {
        let mut hasher = Xxh3::new();
        for (id, child) in self.0.children.iter() {
            let Some(desired) = &child.desired else { continue };
            hasher.update(id.as_str().as_bytes());
            let version = desired.stamp.version;
            hasher.update(&version.hlc.to_le_bytes());
            hasher.update(&version.author.bits().to_le_bytes());
            hasher.update(&version.hash.to_le_bytes());
            hasher.update(&[u8::from(desired.spec().is_some())]);
        }
        hasher.digest()
    }
}

impl Node {
    pub(super) fn child_info(&self, id: &ChildId) -> Option<ChildInfo> {
        self.info_of(id, self.children.get(id)?)
    }

    /// A child is listed while it is wanted, and until its last instance has ended.
    fn is_listed(&self, child: &Child) -> bool {
        if child.wanted().is_some() {
            return !self.has_ended(child);
        }
        let local = child.local.as_ref().is_some_and(|it| it.run.is_some());
        let known = child.desired.as_ref().is_some_and(|it| it.value.is_some());
        local || (known && child.reports.iter().any(|seen| has_run(&seen.report)))
    }

    fn info_of(&self, id: &ChildId, child: &Child) -> Option<ChildInfo> {
        if !self.is_listed(child) {
            return None;
        }
        let value = child.desired.as_ref().and_then(|it| it.value.as_ref());
        let spec: &Arc<ChildSpec> =
            value.map(|(spec, _)| spec).or_else(|| child.local.as_ref().map(|it| &it.spec))?;
        let mine = child.local.as_ref().filter(|it| it.is_instance());
        let mine = mine.map(|local| {
            let to = local.moving_to().and_then(|to| self.members.name(to)).cloned();
            (self.session.me.as_ref().map(|me| me.name.clone()), local.to_report(child.claim, to))
        });
        let theirs = || {
            let best = child
                .reports
                .iter()
                .filter(|seen| seen.is_holder())
                .max_by_key(|seen| (seen.is_running(), seen.report.version, seen.by));
            best.map(|seen| (self.members.name(seen.by).cloned(), seen.report.clone()))
        };
        let reported = mine.or_else(theirs);
        let status = match &reported {
            Some((_, report)) => status_of(report),
            None => Status::Pending { why: self.pending_reason(child, spec) },
        };
        let (member, report) = reported.unzip();
        let report = report.as_ref();
        Some(ChildInfo {
            id: id.clone(),
            kind: spec.kind.clone(),
            member: member.flatten(),
            endpoint: report.and_then(|it| it.endpoint.clone()),
            status,
            token: report.and_then(|it| it.token),
            restarts: report.map_or(0, |it| it.restarts),
            generation: value.map(|(_, head)| head.generation).unwrap_or_default(),
            labels: spec.labels.clone(),
        })
    }

    /// What a child that nobody runs waits for.
    fn pending_reason(&self, child: &Child, spec: &ChildSpec) -> PendingReason {
        let scene = self.scene();
        if let Some(gate) = scene.takeover_gate {
            return gate;
        }
        let Some(owner) = child.owner else { return self.unplaceable_reason(spec) };
        if owner == self.boot {
            if let Some(gate) = scene.tenure_gate(spec).or_else(|| scene.quorum_gate(spec)) {
                return gate;
            }
            if let Some(by) = &child.claim_held_by {
                return PendingReason::ClaimHeld { by: by.clone() };
            }
            if let Some(gate) = scene.settling_gate(spec) {
                return gate;
            }
            if let Some(gate) = scene.losses_gate(spec) {
                return gate;
            }
            if child.not_before.is_some_and(|at| at > self.now.mono) {
                return PendingReason::FailoverDelay;
            }
        }
        let owner: Option<MemberName> = self.members.name(owner).cloned();
        owner.map_or(PendingReason::NoMemberAvailable, |owner| PendingReason::OwnerStarting {
            owner,
        })
    }

    fn unplaceable_reason(&self, spec: &ChildSpec) -> PendingReason {
        let offering: Vec<_> = self
            .members
            .iter()
            .filter(|member| member.info.metadata.kinds.contains(&spec.kind))
            .collect();
        if offering.is_empty() {
            return PendingReason::NoMemberOffersKind { kind: spec.kind.clone() };
        }
        let missing = spec.placement.require.iter().find(|(label, value)| {
            offering.iter().all(|member| member.info.metadata.labels.get(*label) != Some(value))
        });
        match missing {
            Some((label, value)) => {
                PendingReason::NoMemberHasLabel { label: label.clone(), value: value.clone() }
            }
            None => PendingReason::NoMemberAvailable,
        }
    }

    /// Tells observers of every child that changed while an input was handled, once each.
    pub(super) fn tell_observers(&mut self) {
        let gates = self.gates();
        if self.told_gates != gates {
            self.told_gates = gates;
            self.children.tell_pending();
        }
        while let Some(id) = self.children.pop_changed() {
            match self.child_info(&id) {
                Some(info) => self.tell(Event::Child(info)),
                None if planted("observers miss an end") => {}
                None => self.tell(Event::ChildGone { id }),
            }
        }
    }
}

const fn has_run(report: &Report) -> bool {
    matches!(
        report.phase,
        ReportPhase::Starting
            | ReportPhase::Running
            | ReportPhase::Stopping
            | ReportPhase::Moving { .. }
            | ReportPhase::Stuck
    )
}

fn status_of(report: &Report) -> Status {
    match &report.phase {
        ReportPhase::Starting => Status::Starting,
        ReportPhase::Running => Status::Running,
        ReportPhase::Stopping | ReportPhase::Released { .. } | ReportPhase::Done => {
            Status::Stopping
        }
        ReportPhase::Moving { to } => Status::Moving { to: to.clone() },
        ReportPhase::Backoff { last } => Status::Backoff { last: last.clone() },
        ReportPhase::Quarantined { last } => Status::Quarantined { last: last.clone() },
        ReportPhase::Stuck => Status::Stuck,
    }
}
