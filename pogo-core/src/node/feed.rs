//! The session's feed: members coming and going, snapshots, evictions.

use std::collections::BTreeMap;

use super::{
    Event, Node, Output,
    local::{Phase, StopCause},
    members::{Change, Member},
    wire::{MemberRecord, ViewRecord, spec_key, state_key, strikes_key},
};
use crate::{
    id::{BootId, ChildId, MemberId, MemberName},
    membership::{
        self, Capabilities, DownReason, Gone, Health, MemberInfo, MemberStatus, ViewDiff,
    },
    mutant::planted,
    record::Stamp,
    spec::Exclusivity,
    time::Timestamp,
};

/// This member's stay in the cluster.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) me: Option<MemberId>,
    pub(super) capabilities: Option<Capabilities>,
    state: State,
    diff: ViewDiff,
    pub(super) health: Health,
    /// When the last degraded spell ended (R22).
    pub(super) degraded_at: Option<Timestamp>,
    /// Members known when it began.
    pub(super) members_when_degraded: usize,
    pub(super) mass_loss: bool,
    /// Whether the last session was ended by its store, and there is no next one yet.
    pub(super) is_evicted_by_store: bool,
    /// How often this member was cordoned and uncordoned: odd while it is cordoned.
    pub(super) cordons: u32,
    /// Whether views have agreed once since the first join.
    pub(super) settled_once: bool,
    /// What was asked of members by name; the stamps order the answers.
    pub(super) member_records: BTreeMap<MemberName, (Stamp, MemberRecord)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first session.
    Apart,
    /// Joined, its snapshot not yet read.
    Reading,
    Live,
    /// Evicted; strict runs must end before the next join (R15).
    Evicted,
    /// The driver joins again.
    Rejoining,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            me: None,
            capabilities: None,
            state: State::Apart,
            diff: ViewDiff::default(),
            health: Health::Healthy,
            degraded_at: None,
            members_when_degraded: 0,
            mass_loss: false,
            is_evicted_by_store: false,
            cordons: 0,
            settled_once: false,
            member_records: BTreeMap::new(),
        }
    }
}

impl Session {
    /// Whether a snapshot was read and the session has not ended.
    pub(super) fn is_live(&self) -> bool {
        self.state == State::Live
    }

    /// Whether requests to it make sense.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Reading | State::Live)
    }

    pub(super) const fn is_cordoned(&self) -> bool {
        self.cordons % 2 == 1
    }

    pub(super) fn has_compare_and_set(&self) -> bool {
        self.capabilities
            .as_ref()
            .is_some_and(|it| it.compare_and_set > membership::Guarantee::None)
    }
}

impl Node {
    pub(super) fn on_joined(&mut self, me: MemberId, capabilities: Capabilities) {
        self.session.me = Some(me);
        self.begin_tenure(&capabilities);
        self.session.capabilities = Some(capabilities);
        self.session.state = State::Reading;
        self.end_eviction();
        self.session.diff = ViewDiff::default();
        self.publisher.begin_session();
        self.outbox.begin_session();
        if self.is_leaving() {
            self.set_my_status(MemberStatus::Draining);
        } else {
            self.set_my_status(MemberStatus::Joining);
        }
    }

    pub(super) fn on_membership(&mut self, event: membership::Event) {
        if !self.session.is_open() {
            return;
        }
        let gone = self.session.diff.observe(&event);
        match event {
            membership::Event::Reset { .. } => {}
            membership::Event::Synced => {
                if let Some(gone) = gone {
                    self.on_synced(&gone);
                }
            }
            membership::Event::MemberUp(info) if info.id.boot == self.boot => {}
            membership::Event::MemberUp(info) => self.on_member_info(info),
            membership::Event::MemberDown(member, reason) => self.on_member_down(&member, reason),
            membership::Event::Shared(records) => {
                for (key, record) in records {
                    self.merge_shared(&key, record);
                }
            }
            membership::Event::SharedGone(keys) => {
                for key in keys {
                    self.drop_shared(&key);
                }
            }
            membership::Event::Owned(member, updates) => self.on_owned(&member, updates),
            membership::Event::ClaimFree(keys) => self.on_claims_free(&keys),
            membership::Event::Evicted => self.on_evicted(),
            membership::Event::Health(health) => self.on_health(health),
        }
    }

    pub(super) fn on_member_info(&mut self, info: MemberInfo) {
        let boot = info.id.boot;
        // A snapshot names who took a name over before its end tells that the former one is gone:
        // two of one name would own the same children (R13).
        let former = self.members.by_name(&info.id.name).map(|member| member.info.id.clone());
        if let Some(former) = former
            && former.boot != boot
            && former.incarnation < info.id.incarnation
        {
            self.on_member_down(&former, DownReason::Replaced);
        }
        if !self.members.is_live(boot) {
            self.absolve(boot);
        }
        let is_new = !self.members.is_live(boot);
        let change = self.members.upsert(info);
        self.after_member_change(boot, change);
        if is_new && self.tenure.is_about_quorum() {
            self.publisher.view_changed();
        }
    }

    pub(super) fn on_member_view(&mut self, boot: BootId, view: Option<ViewRecord>) {
        let told = view.is_some();
        let cordons = |node: &Self| node.members.get(boot).map(Member::cordons);
        let before = cordons(self);
        let change = self.members.set_view(boot, view);
        if change == Change::None {
            // It was cordoned and uncordoned before this member heard of either.
            if cordons(self) != before {
                self.publisher.view_changed();
            }
            self.try_settle();
        } else {
            self.after_member_change(boot, change);
        }
        if told {
            // Its view comes after its reports: what it runs is known from now on.
            self.note_found(boot);
        }
        self.recount_losses();
    }

    fn after_member_change(&mut self, boot: BootId, change: Change) {
        if let Some(view) = self.members.get(boot).map(|member| member.to_view(self.boot)) {
            self.tell(Event::Member(view));
        }
        if change == Change::None {
            // One that joined may have become one that leaves.
            return self.try_settle();
        }
        self.children.replace_member(boot, &self.members);
        self.publisher.view_changed();
        if change == Change::Addition {
            self.begin_settling();
            self.children.unblock();
        }
        self.try_settle();
    }

    pub(super) fn on_member_down(&mut self, id: &MemberId, reason: DownReason) {
        let boot = id.boot;
        let stale = self.members.id(boot).is_none_or(|known| known.incarnation > id.incarnation);
        if boot == self.boot || stale {
            return;
        }
        let Some(member) = self.members.remove(boot) else { return };
        self.note_loss();
        for child in &member.reports {
            self.on_reporter_down(child, &member.info.id, reason);
        }
        for child in &member.wants {
            self.children.revisit(child);
        }
        self.children.replace_member(boot, &self.members);
        self.publisher.view_changed();
        self.judge_lost_quorums();
        self.note_lost(&member.info.id, reason);
        if planted("observers miss a departure") {
            return;
        }
        self.tell(Event::MemberGone { member: member.info.id, reason });
        self.try_settle();
    }

    fn on_synced(&mut self, gone: &Gone) {
        for boot in self.members.boots() {
            if boot != self.boot && gone.member(boot) {
                if let Some(id) = self.members.id(boot).cloned() {
                    self.on_member_down(&id, DownReason::Failed);
                }
            } else if boot != self.boot {
                self.sweep_owned(boot, gone);
            }
        }
        self.note_loss();
        self.outbox.resume();
        self.sweep_shared(gone);
        // What the feed would have told of claims may be lost with the rest.
        self.doubt_claims();
        self.session.state = State::Live;
        if self.is_leaving() {
            self.set_my_status(MemberStatus::Draining);
        } else {
            self.set_my_status(MemberStatus::Active);
        }
        let local = self.children.local_ids();
        self.publisher.republish(&local, self.moves.wanted());
        self.begin_settling();
        self.try_settle();
        self.losses.meet_strangers();
        self.recount_losses();
        for id in self.children.ids() {
            self.children.revisit(&id);
        }
        self.clients_resume();
    }

    /// What the snapshot did not name is gone, or was lost by the store and is put back (R15).
    fn sweep_shared(&mut self, gone: &Gone) {
        // What a session before this one was to put back, and could not, is on its way.
        let restored = self.outbox.facts();
        for id in self.children.ids() {
            let spec = spec_key(&id);
            if gone.shared(&spec) {
                if gone.rolled_back() {
                    self.restore_spec(&id);
                } else if !restored.contains(&spec) {
                    self.drop_shared(&spec);
                }
            } else if gone.rolled_back() {
                // An older backup names it, perhaps at an older version.
                self.restore_spec(&id);
            }
            for key in [state_key(&id), strikes_key(&id)] {
                if gone.shared(&key) {
                    self.drop_shared(&key);
                }
            }
        }
        if gone.rolled_back() {
            self.restore_members();
        }
    }

    fn on_evicted(&mut self) {
        self.session.state = State::Evicted;
        self.begin_eviction();
        let strict: Vec<ChildId> = self
            .children
            .local()
            .filter(|(_, child)| child.local.as_ref().is_some_and(|it| self.is_strict(&it.spec)))
            .map(|(id, _)| id.clone())
            .collect();
        for id in strict {
            self.lose_ownership(&id);
        }
        self.rejoin_when_clear();
    }

    /// The claim, lease or quorum under an instance is gone.
    pub(super) fn lose_ownership(&mut self, id: &ChildId) {
        let Some(child) = self.children.edit(id) else { return };
        child.claim = None;
        let Some(local) = &child.local else { return };
        match (&local.phase, local.run) {
            (Phase::Starting { .. } | Phase::Running { .. }, _) => {
                self.stop(id, StopCause::OwnershipLost);
            }
            (_, None) => self.drop_local(id, "ownership lost"),
            (_, Some(_)) => {}
        }
    }

    /// Joins again once no strict run is left (R15).
    pub(super) fn rejoin_when_clear(&mut self) {
        if self.session.state != State::Evicted {
            return;
        }
        let strict_run = self.children.local().any(|(_, child)| {
            child.local.as_ref().is_some_and(|it| {
                it.run.is_some()
                    && !matches!(it.phase, Phase::Stuck { .. })
                    && self.is_strict(&it.spec)
            })
        });
        if !strict_run {
            self.session.state = State::Rejoining;
            self.emit(Output::Rejoin);
        }
    }

    fn on_claims_free(&mut self, keys: &[crate::record::Key]) {
        for key in keys {
            let Ok(id) = ChildId::new(key.as_str()) else { continue };
            let Some(child) = self.children.edit(&id) else { continue };
            child.claim_held_by = None;
            // Late news, or the truth: only asking again tells.
            if child.claim.is_some() && !child.claim_releasing {
                self.outbox.acquire(id);
            }
        }
    }

    pub(super) fn is_strict(&self, spec: &crate::spec::ChildSpec) -> bool {
        self.exclusivity_of(spec) == Exclusivity::Strict
    }
}
