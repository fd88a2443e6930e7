//! What one member was told, folded into a picture, and the laws that every feed keeps.
//!
//! The fold is what the supervisor does with a feed, in short. The laws are checked at each event,
//! whatever the case is about.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use pogo_core::{
    id::{BootId, MemberId},
    membership::{
        DownReason, Event, Gone, Health, MemberInfo, MemberStatus, OwnedUpdate, ViewDiff,
    },
    record::{Key, Record},
};

use crate::truth::{Fate, Truth};

/// A member's picture of its cluster.
#[derive(Debug)]
pub(crate) struct Model {
    me: MemberId,
    pub(crate) members: BTreeMap<BootId, MemberInfo>,
    pub(crate) shared: BTreeMap<Key, Record>,
    pub(crate) owned: BTreeMap<BootId, BTreeMap<Key, Bytes>>,
    /// Each status that was told, repetitions left out.
    pub(crate) statuses: BTreeMap<BootId, Vec<MemberStatus>>,
    pub(crate) downs: Vec<(MemberId, DownReason)>,
    pub(crate) freed: Vec<Key>,
    pub(crate) health: Vec<Health>,
    /// Each `Reset` so far: whether the store was rolled back.
    pub(crate) resets: Vec<bool>,
    /// How many snapshots were complete.
    pub(crate) snapshots: usize,
    /// Entries of all snapshots so far.
    pub(crate) snapshot_entries: usize,
    /// Each value that owned records took, in the order in which it was told.
    pub(crate) history: BTreeMap<(BootId, Key), Vec<Bytes>>,
    pub(crate) evicted: bool,
    /// The feed has no more events.
    pub(crate) ended: bool,
    diff: ViewDiff,
    in_snapshot: bool,
    gone: BTreeMap<MemberId, DownReason>,
}

impl Model {
    pub(crate) fn new(me: MemberId) -> Self {
        Self {
            me,
            members: BTreeMap::new(),
            shared: BTreeMap::new(),
            owned: BTreeMap::new(),
            statuses: BTreeMap::new(),
            downs: Vec::new(),
            freed: Vec::new(),
            health: Vec::new(),
            resets: Vec::new(),
            snapshots: 0,
            snapshot_entries: 0,
            history: BTreeMap::new(),
            evicted: false,
            ended: false,
            diff: ViewDiff::default(),
            in_snapshot: false,
            gone: BTreeMap::new(),
        }
    }

    /// Whether a snapshot is complete and no other has begun.
    pub(crate) const fn is_synced(&self) -> bool {
        self.snapshots > 0 && !self.in_snapshot
    }

    /// Whether exactly this stay of the member is told to be up.
    pub(crate) fn is_up(&self, id: &MemberId) -> bool {
        self.members.get(&id.boot).is_some_and(|info| info.id == *id)
    }

    /// Why the member was told to be down, each time.
    pub(crate) fn downs_of(&self, id: &MemberId) -> Vec<DownReason> {
        self.downs.iter().filter(|(down, _)| down == id).map(|(_, reason)| *reason).collect()
    }

    pub(crate) fn owned_value(&self, id: &MemberId, key: &Key) -> Option<&Bytes> {
        self.owned.get(&id.boot)?.get(key)
    }

    pub(crate) fn is_degraded(&self) -> bool {
        matches!(self.health.last(), Some(Health::Degraded { .. }))
    }

    /// Takes in an event, and tells the truth which laws it breaks.
    pub(crate) fn take(&mut self, event: Event, truth: &Truth) {
        if self.evicted {
            truth.breach(&self.me, &format!("{event:?} follows Evicted"));
        }
        if self.resets.is_empty() && !matches!(event, Event::Reset { .. } | Event::Health(_)) {
            truth.breach(&self.me, &format!("the feed starts with {event:?}, not with Reset"));
        }
        if self.in_snapshot {
            self.snapshot_entries += entries(&event);
        }
        let gone = self.diff.observe(&event);
        match event {
            Event::Reset { rolled_back } => {
                self.in_snapshot = true;
                self.resets.push(rolled_back);
            }
            Event::Synced => match gone {
                Some(gone) => self.on_synced(&gone, truth),
                None => truth.breach(&self.me, "Synced without Reset"),
            },
            Event::MemberUp(info) => self.on_up(info, truth),
            Event::MemberDown(id, reason) => self.on_down(id, reason, truth),
            Event::Shared(records) => {
                for (key, record) in records {
                    self.on_shared(key, record, truth);
                }
            }
            Event::SharedGone(keys) => keys.iter().for_each(|key| drop(self.shared.remove(key))),
            Event::Owned(id, updates) => self.on_owned(&id, updates, truth),
            Event::ClaimFree(keys) => self.freed.extend(keys),
            Event::Evicted => self.evicted = true,
            Event::Health(health) => self.health.push(health),
            other => {
                truth
                    .breach(&self.me, &format!("an event that the suite does not know: {other:?}"));
            }
        }
    }

    fn on_synced(&mut self, gone: &Gone, truth: &Truth) {
        self.in_snapshot = false;
        self.snapshots += 1;
        let left_out: Vec<MemberId> = self
            .members
            .values()
            .filter(|info| gone.member(info.id.boot))
            .map(|info| info.id.clone())
            .collect();
        for id in left_out {
            if id.boot != self.me.boot && truth.fate(&id) == Fate::Unharmed && self.may_judge(truth)
            {
                truth.breach(&self.me, &format!("a snapshot leaves out {id:?}, which is alive"));
            }
            self.remove(&id);
        }
        for (owner, records) in &mut self.owned {
            records.retain(|key, _| !gone.owned(*owner, key));
        }
        self.shared.retain(|key, _| !gone.shared(key));
    }

    fn on_up(&mut self, info: MemberInfo, truth: &Truth) {
        let id = &info.id;
        if let Some(reason @ (DownReason::Left | DownReason::Replaced)) = self.gone.get(id) {
            truth.breach(&self.me, &format!("{id:?} is up again after it was {reason:?}"));
        }
        self.gone.remove(id);
        let known = self.members.get(&id.boot);
        if known.is_some_and(|known| known.id.incarnation > id.incarnation) {
            truth.breach(&self.me, &format!("{id:?} is up, an earlier incarnation than before"));
        }
        if known.is_some_and(|known| known.id != *id) {
            // A rejoin: what the former stay owned is no longer there.
            self.owned.remove(&id.boot);
        }
        let statuses = self.statuses.entry(id.boot).or_default();
        if statuses.last() != Some(&info.status) {
            statuses.push(info.status);
        }
        self.members.insert(id.boot, info);
    }

    fn on_down(&mut self, id: MemberId, reason: DownReason, truth: &Truth) {
        if self.gone.contains_key(&id) {
            truth.breach(&self.me, &format!("{id:?} is told to be down twice"));
        }
        let fate = truth.fate(&id);
        let is_true = match reason {
            DownReason::Left => fate == Fate::Left,
            DownReason::Failed => fate == Fate::Harmed || !self.may_judge(truth),
            DownReason::Replaced => fate == Fate::Harmed || fate == Fate::Replaced,
            _ => false,
        };
        if !is_true {
            truth.breach(&self.me, &format!("{id:?} is told to be {reason:?}, and is {fate:?}"));
        }
        self.remove(&id);
        self.gone.insert(id.clone(), reason);
        self.downs.push((id, reason));
    }

    /// Who was cut off itself may hold anybody to be dead.
    fn may_judge(&self, truth: &Truth) -> bool {
        truth.fate(&self.me) == Fate::Unharmed
    }

    fn remove(&mut self, id: &MemberId) {
        // A former stay of a member that has joined again takes nothing with it.
        if self.is_up(id) {
            self.members.remove(&id.boot);
            self.owned.remove(&id.boot);
        }
    }

    fn on_shared(&mut self, key: Key, record: Record, truth: &Truth) {
        let known = self.shared.get(&key);
        if !self.in_snapshot && known.is_some_and(|known| known.stamp == record.stamp) {
            truth.breach(&self.me, &format!("the write of {key:?} is told twice"));
        }
        // A snapshot says what there is, also where that is older than what was.
        if self.in_snapshot || known.is_none_or(|known| record.supersedes(known)) {
            self.shared.insert(key, record);
        }
    }

    fn on_owned(&mut self, id: &MemberId, updates: Vec<OwnedUpdate>, truth: &Truth) {
        if id.boot == self.me.boot {
            truth.breach(&self.me, "a member is told its own records");
            return;
        }
        if !self.is_up(id) {
            truth.breach(&self.me, &format!("records of {id:?}, which is not told to be up"));
            return;
        }
        let records = self.owned.entry(id.boot).or_default();
        for OwnedUpdate { key, value } in updates {
            match value {
                Some(value) => {
                    let history = self.history.entry((id.boot, key.clone())).or_default();
                    history.push(value.clone());
                    records.insert(key, value);
                }
                None => drop(records.remove(&key)),
            }
        }
    }

    /// What it knows, for people.
    pub(crate) fn describe(&self) -> String {
        let up: BTreeSet<String> = self
            .members
            .values()
            .map(|info| format!("{}#{} {}", info.id.name, info.id.incarnation, info.status))
            .collect();
        let owned: usize = self.owned.values().map(BTreeMap::len).sum();
        format!(
            "{} knows: up {up:?}, down {:?}, {} shared, {owned} owned, resets {:?}, {} snapshots, \
             freed {:?}, health {:?}, evicted {}, ended {}",
            self.me.name,
            self.downs,
            self.shared.len(),
            self.resets,
            self.snapshots,
            self.freed,
            self.health.last(),
            self.evicted,
            self.ended,
        )
    }
}

fn entries(event: &Event) -> usize {
    if let Event::Shared(records) = event {
        records.len()
    } else if let Event::Owned(_, updates) = event {
        updates.len()
    } else {
        0
    }
}
