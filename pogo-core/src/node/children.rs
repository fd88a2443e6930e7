//! All children that a node knows, and the indexes that keep work proportional to what changed.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    child::{Child, Desired},
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
    by_id: BTreeMap<ChildId, Child>,
    pub(super) pools: Pools,
    /// Wanted children by the member that placement names.
    owned: BTreeMap<BootId, BTreeSet<ChildId>>,
    /// Children with something of them here.
    local: BTreeSet<ChildId>,
    /// To be reconciled.
    dirty: BTreeSet<ChildId>,
    /// Held up by a closed gate.
    blocked: BTreeSet<ChildId>,
    /// To be told to observers.
    changed: BTreeSet<ChildId>,
    /// Where the slow full pass stands.
    sweep_from: Option<ChildId>,
}

impl Children {
    pub(super) fn get(&self, id: &ChildId) -> Option<&Child> {
        self.by_id.get(id)
    }

    /// For changes that bear on nothing but the child; it is reconciled and told to observers.
    pub(super) fn edit(&mut self, id: &ChildId) -> Option<&mut Child> {
        let child = self.by_id.get_mut(id)?;
        self.dirty.insert(id.clone());
        self.changed.insert(id.clone());
        Some(child)
    }

    /// As [`Children::edit`], but without any consequence.
    pub(super) fn get_mut(&mut self, id: &ChildId) -> Option<&mut Child> {
        self.by_id.get_mut(id)
    }

    /// As [`Children::edit`], the child being made where it is not known.
    pub(super) fn entry(&mut self, id: &ChildId) -> &mut Child {
        self.dirty.insert(id.clone());
        self.changed.insert(id.clone());
        self.by_id.entry(id.clone()).or_insert_with(|| Child::new(id))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ChildId, &Child)> {
        self.by_id.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn ids(&self) -> Vec<ChildId> {
        self.by_id.keys().cloned().collect()
    }

    /// Children with something of them here.
    pub(super) fn local(&self) -> impl Iterator<Item = (&ChildId, &Child)> {
        self.local.iter().filter_map(|id| Some((id, self.by_id.get(id)?)))
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
        let Some(child) = self.by_id.get_mut(id) else { return };
        if let Some(former) = child.owner
            && let Some(set) = self.owned.get_mut(&former)
        {
            set.remove(id);
            if set.is_empty() {
                self.owned.remove(&former);
            }
        }
        child.owner = owner;
        if let Some(owner) = owner {
            self.owned.entry(owner).or_default().insert(id.clone());
        }
        self.touch(id);
    }

    /// To be reconciled and told to observers.
    pub(super) fn touch(&mut self, id: &ChildId) {
        self.dirty.insert(id.clone());
        self.changed.insert(id.clone());
    }

    /// To be reconciled.
    pub(super) fn revisit(&mut self, id: &ChildId) {
        self.dirty.insert(id.clone());
    }

    pub(super) fn block(&mut self, id: &ChildId) {
        self.blocked.insert(id.clone());
    }

    /// A gate may have opened: what it held up is looked at again.
    pub(super) fn unblock(&mut self) {
        self.dirty.append(&mut self.blocked);
    }

    pub(super) fn pop_dirty(&mut self) -> Option<ChildId> {
        self.dirty.pop_first()
    }

    pub(super) fn pop_changed(&mut self) -> Option<ChildId> {
        self.changed.pop_first()
    }

    /// Marks the next `count` children of the slow full pass as dirty.
    pub(super) fn sweep(&mut self, count: usize) {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = self.sweep_from.take().map_or(Unbounded, Excluded);
        let ids: Vec<_> =
            self.by_id.range((from, Unbounded)).take(count).map(|(id, _)| id.clone()).collect();
        if ids.len() == count {
            self.sweep_from = ids.last().cloned();
        }
        self.dirty.extend(ids);
    }

    /// Drops a child of which nothing is known any more.
    pub(super) fn forget_blank(&mut self, id: &ChildId) {
        if self.by_id.get(id).is_some_and(Child::is_blank) {
            self.by_id.remove(id);
            self.local.remove(id);
            self.blocked.remove(id);
        }
    }
}
