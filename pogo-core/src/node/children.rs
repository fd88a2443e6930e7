//! All children that a node knows, and the indexes that keep work proportional to what changed.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound,
};

use super::{
    child::{Child, Desired, Seen},
    local::Local,
    members::Members,
    pools::Pools,
    wire::Report,
};
use crate::{
    id::{BootId, ChildId},
    time::Timestamp,
};

/// Children by id, with what must be looked at again.
#[derive(Debug, Clone, Default)]
pub(super) struct Children {
    /// Boxed: the tree keeps room to grow in every leaf, and moves what it holds.
    by_id: BTreeMap<ChildId, Box<Child>>,
    pub(super) pools: Pools,
    /// Wanted children by the member that placement names.
    owned: BTreeMap<BootId, BTreeSet<ChildId>>,
    /// Children with something of them here.
    local: BTreeSet<ChildId>,
    /// To be reconciled; each is marked, so that it stands here once.
    dirty: VecDeque<ChildId>,
    /// Held up by a closed gate.
    blocked: BTreeSet<ChildId>,
    /// To be told to observers; marked likewise.
    changed: VecDeque<ChildId>,
    /// Where the slow full pass stands.
    sweep_from: Option<ChildId>,
}

impl Children {
    pub(super) fn get(&self, id: &ChildId) -> Option<&Child> {
        self.by_id.get(id).map(Box::as_ref)
    }

    /// For changes that bear on nothing but the child; it is reconciled and told to observers.
    pub(super) fn edit(&mut self, id: &ChildId) -> Option<&mut Child> {
        let child = self.by_id.get_mut(id)?;
        mark(&mut child.queued.dirty, &mut self.dirty, id);
        mark(&mut child.queued.changed, &mut self.changed, id);
        Some(child)
    }

    /// As [`Children::edit`], but without any consequence.
    pub(super) fn get_mut(&mut self, id: &ChildId) -> Option<&mut Child> {
        self.by_id.get_mut(id).map(Box::as_mut)
    }

    /// As [`Children::edit`], the child being made where it is not known.
    pub(super) fn entry(&mut self, id: &ChildId) -> &mut Child {
        let child = self.by_id.entry(id.clone()).or_insert_with(|| Box::new(Child::new(id)));
        mark(&mut child.queued.dirty, &mut self.dirty, id);
        mark(&mut child.queued.changed, &mut self.changed, id);
        child
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ChildId, &Child)> {
        self.by_id.iter().map(|(id, child)| (id, child.as_ref()))
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn ids(&self) -> Vec<ChildId> {
        self.by_id.keys().cloned().collect()
    }

    /// Children with something of them here.
    pub(super) fn local(&self) -> impl Iterator<Item = (&ChildId, &Child)> {
        self.local.iter().filter_map(|id| Some((id, self.get(id)?)))
    }

    /// Those of them from `from` on, in order of ids.
    pub(super) fn local_from(
        &self,
        from: Option<ChildId>,
    ) -> impl Iterator<Item = (&ChildId, &Child)> {
        let from = from.map_or(Bound::Unbounded, Bound::Included);
        self.local.range((from, Bound::Unbounded)).filter_map(|id| Some((id, self.get(id)?)))
    }

    pub(super) fn local_ids(&self) -> Vec<ChildId> {
        self.local.iter().cloned().collect()
    }

    pub(super) fn owned_by(&self, owner: BootId) -> impl Iterator<Item = &ChildId> {
        self.owned.get(&owner).into_iter().flatten()
    }

    /// Sets the spec record and places the child anew.
    pub(super) fn set_desired(
        &mut self,
        id: &ChildId,
        desired: Option<Desired>,
        members: &Members,
    ) {
        let child = self.entry(id);
        child.desired = desired;
        // A new spec is a new start: who died or held on under the old one bears on it no more.
        child.claim_held_by = None;
        let spec = child.wanted().map(|(spec, _)| std::sync::Arc::clone(spec));
        let pool = spec.map(|spec| self.pools.intern(&spec, members));
        let key = match self.by_id.get_mut(id) {
            Some(child) => {
                child.pool = pool;
                child.key
            }
            None => return,
        };
        let owner = pool.and_then(|pool| self.pools.owner(pool, key));
        self.set_owner(id, owner);
    }

    /// Takes the local instance's coming and going.
    pub(super) fn index_local(&mut self, id: &ChildId) {
        if self.by_id.get(id).is_some_and(|child| child.local.is_some()) {
            self.local.insert(id.clone());
        } else {
            self.local.remove(id);
        }
    }

    /// Sets or removes a member's report; answers whether the child is known at all.
    pub(super) fn set_report(
        &mut self,
        id: &ChildId,
        by: BootId,
        report: Option<Report>,
        now: Timestamp,
    ) {
        if report.is_none() && !self.by_id.contains_key(id) {
            return;
        }
        self.entry(id).set_report(by, report, now);
    }

    /// Places anew what a changed member lost or gained.
    pub(super) fn replace_member(&mut self, boot: BootId, members: &Members) {
        let shift = self.pools.update(boot, members);
        if shift.lost {
            let ids: Vec<_> = self.owned_by(boot).cloned().collect();
            for id in ids {
                self.place(&id);
            }
        }
        if shift.gained {
            self.offer(boot);
        }
    }

    /// One pass over all children with the newcomer alone.
    fn offer(&mut self, boot: BootId) {
        let taken: Vec<_> = self
            .by_id
            .iter()
            .filter(|(_, child)| {
                child.owner != Some(boot)
                    && child
                        .pool
                        .is_some_and(|pool| self.pools.takes(pool, child.key, boot, child.owner))
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in taken {
            self.set_owner(&id, Some(boot));
        }
    }

    fn place(&mut self, id: &ChildId) {
        let Some(child) = self.by_id.get(id) else { return };
        let owner = child.pool.and_then(|pool| self.pools.owner(pool, child.key));
        self.set_owner(id, owner);
    }

    fn set_owner(&mut self, id: &ChildId, owner: Option<BootId>) {
        let Some(child) = self.edit(id).filter(|child| child.owner != owner) else { return };
        let former = std::mem::replace(&mut child.owner, owner);
        if let Some(former) = former
            && let Some(set) = self.owned.get_mut(&former)
        {
            set.remove(id);
            if set.is_empty() {
                self.owned.remove(&former);
            }
        }
        if let Some(owner) = owner {
            self.owned.entry(owner).or_default().insert(id.clone());
        }
    }

    /// To be reconciled.
    pub(super) fn revisit(&mut self, id: &ChildId) {
        if let Some(child) = self.by_id.get_mut(id) {
            mark(&mut child.queued.dirty, &mut self.dirty, id);
        }
    }

    pub(super) fn block(&mut self, id: &ChildId) {
        self.blocked.insert(id.clone());
    }

    /// A gate may have opened: what it held up is looked at again.
    pub(super) fn unblock(&mut self) {
        for id in std::mem::take(&mut self.blocked) {
            self.revisit(&id);
        }
    }

    pub(super) fn pop_dirty(&mut self) -> Option<ChildId> {
        let id = self.dirty.pop_front()?;
        if let Some(child) = self.by_id.get_mut(&id) {
            child.queued.dirty = false;
        }
        Some(id)
    }

    /// What children that nobody holds wait for has changed: they are told to observers.
    pub(super) fn tell_pending(&mut self) {
        for (id, child) in &mut self.by_id {
            let here = child.local.as_ref().is_some_and(Local::is_instance);
            let held = here || child.reports.iter().any(Seen::is_holder);
            if !held && child.wanted().is_some() {
                mark(&mut child.queued.changed, &mut self.changed, id);
            }
        }
    }

    pub(super) fn pop_changed(&mut self) -> Option<ChildId> {
        let id = self.changed.pop_front()?;
        if let Some(child) = self.by_id.get_mut(&id) {
            child.queued.changed = false;
        }
        Some(id)
    }

    /// The next `count` children of the slow full pass, and where the slice after them begins.
    pub(super) fn slice(
        &self,
        count: usize,
    ) -> (impl Iterator<Item = (&ChildId, &Child)>, Option<ChildId>) {
        let from = self.sweep_from.clone().map_or(Bound::Unbounded, Bound::Included);
        let rest = || self.by_id.range((from.clone(), Bound::Unbounded));
        let slice = rest().take(count).map(|(id, child)| (id, child.as_ref()));
        (slice, rest().nth(count).map(|(id, _)| id.clone()))
    }

    pub(super) fn sweep_next(&mut self, from: Option<ChildId>) {
        self.sweep_from = from;
    }

    /// Drops a child of which nothing is known any more.
    pub(super) fn forget_blank(&mut self, id: &ChildId) {
        if self.get(id).is_some_and(Child::is_blank) {
            self.by_id.remove(id);
            self.local.remove(id);
            self.blocked.remove(id);
        }
    }
}

/// Puts a child into a queue unless it stands there.
fn mark(is_marked: &mut bool, queue: &mut VecDeque<ChildId>, id: &ChildId) {
    if !std::mem::replace(is_marked, true) {
        queue.push_back(id.clone());
    }
}
