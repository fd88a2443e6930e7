//! The members as this one sees them, and whether they see the same (R6).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use xxhash_rust::xxh3::Xxh3;

use super::{
    inspect::{Exclusion, MemberView},
    wire::ViewRecord,
};
use crate::{
    id::{BootId, ChildId, MemberId, MemberName},
    membership::{MemberInfo, MemberStatus},
    mutant::planted,
    spec::ChildSpec,
    time::Timestamp,
};

/// Above this many members, agreement is not waited for, only the time (R6).
const AGREEMENT_MEMBERS: usize = 50;

/// One member as this one sees it.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) info: MemberInfo,
    /// What it last told of its own view.
    pub(super) view: Option<ViewRecord>,
    /// The children that it reports.
    pub(super) reports: BTreeSet<ChildId>,
    /// The children that it wants (R7).
    pub(super) wants: BTreeSet<ChildId>,
}

impl Member {
    fn new(info: MemberInfo) -> Self {
        Self { info, view: None, reports: BTreeSet::new(), wants: BTreeSet::new() }
    }

    pub(super) fn is_cordoned(&self) -> bool {
        self.view.as_ref().is_some_and(ViewRecord::is_cordoned)
    }

    /// How often it was cordoned and uncordoned, as it says.
    pub(super) fn cordons(&self) -> u32 {
        self.view.as_ref().map_or(0, |view| view.cordons)
    }

    /// Whether it may own children at all.
    pub(super) fn is_candidate(&self) -> bool {
        self.info.status == MemberStatus::Active
            && !self.is_cordoned()
            && self.info.metadata.weight > 0
    }

    /// Why it may not own children of `spec`, if so.
    pub(super) fn exclusion(&self, spec: &ChildSpec) -> Option<Exclusion> {
        match self.info.status {
            MemberStatus::Joining => return Some(Exclusion::Joining),
            MemberStatus::Draining => return Some(Exclusion::Draining),
            MemberStatus::Active => {}
        }
        if self.info.metadata.weight == 0 {
            return Some(Exclusion::Observer);
        }
        if self.is_cordoned() {
            return Some(Exclusion::Cordoned);
        }
        self.mismatch(spec)
    }

    /// What of `spec` it can never give, if anything.
    pub(super) fn mismatch(&self, spec: &ChildSpec) -> Option<Exclusion> {
        let metadata = &self.info.metadata;
        if !metadata.kinds.contains(&spec.kind) {
            return Some(Exclusion::KindNotOffered);
        }
        spec.placement
            .require
            .iter()
            .find(|(label, value)| metadata.labels.get(*label) != Some(value))
            .map(|(label, value)| Exclusion::LabelMissing {
                label: label.clone(),
                value: value.clone(),
            })
    }

    pub(super) fn to_view(&self, me: BootId) -> MemberView {
        MemberView {
            id: self.info.id.clone(),
            status: self.info.status,
            cordoned: self.is_cordoned(),
            weight: self.info.metadata.weight,
            labels: self.info.metadata.labels.clone(),
            kinds: self.info.metadata.kinds.clone(),
            version: self.info.metadata.version.clone(),
            is_me: self.info.id.boot == me,
        }
    }
}

/// The members, and how far their views agree.
#[derive(Debug, Clone)]
pub(super) struct Members {
    me: BootId,
    by_boot: BTreeMap<BootId, Member>,
    /// Until when an addition settles at the latest; `None` once settled.
    settling_until: Option<Timestamp>,
    /// Whether the last settling ended because views agreed.
    agreed: bool,
    /// The most active members ever seen at once (R12).
    most_seen: usize,
    /// Counts what bears on placement and starts.
    changes: u64,
}

/// How a change to the members bears on placement and starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Not at all.
    None,
    /// Members may own less than before: needs no agreement.
    Removal,
    /// Members may own more than before: starts wait until views agree (R6).
    Addition,
}

impl Members {
    pub(super) const fn new(me: BootId) -> Self {
        Self {
            me,
            by_boot: BTreeMap::new(),
            settling_until: None,
            agreed: false,
            most_seen: 0,
            changes: 0,
        }
    }

    pub(super) fn get(&self, boot: BootId) -> Option<&Member> {
        self.by_boot.get(&boot)
    }

    pub(super) fn get_mut(&mut self, boot: BootId) -> Option<&mut Member> {
        self.by_boot.get_mut(&boot)
    }

    pub(super) fn is_live(&self, boot: BootId) -> bool {
        self.by_boot.contains_key(&boot)
    }

    pub(super) fn is_active(&self, boot: BootId) -> bool {
        self.by_boot.get(&boot).is_some_and(|it| it.info.status == MemberStatus::Active)
    }

    pub(super) fn name(&self, boot: BootId) -> Option<&MemberName> {
        self.by_boot.get(&boot).map(|member| &member.info.id.name)
    }

    pub(super) fn id(&self, boot: BootId) -> Option<&MemberId> {
        self.by_boot.get(&boot).map(|member| &member.info.id)
    }

    pub(super) fn by_name(&self, name: &MemberName) -> Option<&Member> {
        self.by_boot.values().find(|member| member.info.id.name == *name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.by_boot.values()
    }

    pub(super) fn boots(&self) -> Vec<BootId> {
        self.by_boot.keys().copied().collect()
    }

    /// Whether `boot` wants `child` (R7).
    pub(super) fn wants(&self, boot: BootId, child: &ChildId) -> bool {
        self.by_boot.get(&boot).is_some_and(|member| member.wants.contains(child))
    }

    /// Takes what the feed says of a member; what it reported before stays.
    pub(super) fn upsert(&mut self, info: MemberInfo) -> Change {
        let boot = info.id.boot;
        let before = self.by_boot.get(&boot).map(Self::standing);
        match self.by_boot.get_mut(&boot) {
            Some(member) => member.info = info,
            None => {
                self.by_boot.insert(boot, Member::new(info));
            }
        }
        self.most_seen = self.most_seen.max(self.active().count());
        self.count(before, boot)
    }

    /// Takes a member's own word about its view.
    pub(super) fn set_view(&mut self, boot: BootId, view: Option<ViewRecord>) -> Change {
        let before = self.by_boot.get(&boot).map(Self::standing);
        if let Some(member) = self.by_boot.get_mut(&boot) {
            member.view = view;
        }
        self.count(before, boot)
    }

    pub(super) fn remove(&mut self, boot: BootId) -> Option<Member> {
        self.changes += 1;
        self.by_boot.remove(&boot)
    }

    fn count(&mut self, before: Option<(bool, bool, MemberInfo)>, boot: BootId) -> Change {
        let change = self.change(before, boot);
        self.changes += u64::from(change != Change::None);
        change
    }

    /// Grows with every change that bears on placement and starts.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// What R6 compares: being active, and everything that placement reads.
    fn standing(member: &Member) -> (bool, bool, MemberInfo) {
        (member.info.status == MemberStatus::Active, member.is_candidate(), member.info.clone())
    }

    fn change(&self, before: Option<(bool, bool, MemberInfo)>, boot: BootId) -> Change {
        let Some(member) = self.by_boot.get(&boot) else { return Change::None };
        let after = Self::standing(member);
        let (was_active, was_candidate, old) = match before {
            None if after.0 => return Change::Addition,
            None => return Change::None,
            Some(before) => before,
        };
        // Placement hashes the name, which a member that rejoins may have to change.
        let placed_anew = *old.metadata != *after.2.metadata || old.id.name != after.2.id.name;
        let gained = (after.0 && !was_active) || (after.1 && !was_candidate);
        if gained || (after.0 && placed_anew) {
            Change::Addition
        } else if (was_active && !after.0) || (was_candidate && !after.1) {
            Change::Removal
        } else {
            Change::None
        }
    }

    pub(super) fn active(&self) -> impl Iterator<Item = &Member> {
        self.by_boot.values().filter(|member| member.info.status == MemberStatus::Active)
    }

    pub(super) const fn most_seen(&self) -> usize {
        self.most_seen
    }

    pub(super) fn len(&self) -> usize {
        self.by_boot.len()
    }

    /// This member's view, to be published.
    pub(super) fn view(&self, cordons: u32) -> ViewRecord {
        let mut hasher = Xxh3::new();
        let mut members = Vec::new();
        for member in self.active() {
            let boot = member.info.id.boot;
            members.push(boot);
            hasher.update(&boot.bits().to_le_bytes());
            hasher.update(&member.cordons().to_le_bytes());
            let metadata = &member.info.metadata;
            hasher.update(&metadata.weight.to_le_bytes());
            for (label, value) in &metadata.labels {
                hash_text(&mut hasher, label);
                hash_text(&mut hasher, value);
            }
            hasher.update(b"|");
            for kind in &metadata.kinds {
                hash_text(&mut hasher, kind.as_str());
            }
        }
        let inactive = self.iter().filter(|it| it.info.status != MemberStatus::Active);
        let inactive = inactive.map(|member| member.info.id.boot).collect();
        ViewRecord { members, digest: hasher.digest(), cordons, inactive }
    }

    /// Starts of unreported children wait from now on (R6).
    pub(super) fn begin_settling(&mut self, now: Timestamp, view_settle: Duration) -> Timestamp {
        let until = now + view_settle;
        let until = if planted("additions settle at once") { now } else { until };
        self.settling_until = Some(until);
        self.agreed = false;
        until
    }

    pub(super) const fn is_settling(&self) -> bool {
        self.settling_until.is_some()
    }

    /// Ends settling where the time is over or every active member's view is this one's; answers
    /// whether it ended now, or views agree only now.
    pub(super) fn try_settle(&mut self, now: Timestamp) -> bool {
        let Some(until) = self.settling_until else {
            // The time ran out; quorum children wait for the agreement still (R17).
            let is_new = !self.agreed && self.views_agree();
            self.agreed |= is_new;
            return is_new;
        };
        self.agreed = self.views_agree();
        if until <= now || self.agreed {
            self.settling_until = None;
            return true;
        }
        false
    }

    /// Whether all views were equal when the last addition had settled.
    pub(super) const fn have_agreed(&self) -> bool {
        self.agreed && self.settling_until.is_none()
    }

    /// Whether there are more members than agree in good time.
    pub(super) fn are_many(&self) -> bool {
        self.active().count() > AGREEMENT_MEMBERS
    }

    fn views_agree(&self) -> bool {
        if self.are_many() {
            return false;
        }
        // Who has read its snapshot before this one came does not know it yet, and may start what
        // this one does.
        let joins = |member: &Member| {
            member.info.id.boot != self.me && member.info.status == MemberStatus::Joining
        };
        if self.by_boot.values().any(joins) {
            return false;
        }
        let mine = self.view(0);
        self.active().filter(|member| member.info.id.boot != self.me).all(|member| {
            member
                .view
                .as_ref()
                .is_some_and(|view| view.digest == mine.digest && view.members == mine.members)
        })
    }
}

/// Lengths keep neighbouring texts apart.
fn hash_text(hasher: &mut Xxh3, text: &str) {
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text.as_bytes());
}
