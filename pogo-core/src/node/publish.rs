//! Publishing owned records: batches in order, one at a time.
//!
//! With one batch open at a time the order of publishing is the order of happening, whatever the
//! backend repeats, and everything that changes meanwhile travels together in the next.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{
    Node,
    local::Phase,
    outbox::Open,
    output::MembershipRequest,
    wire::{OwnedKey, to_packed},
};
use crate::{
    id::ChildId,
    membership::{MemberStatus, OwnedUpdate},
    mutant::planted,
};

/// The most records in one batch.
const BATCH: usize = 1_000;

/// What of this member's own records the backend has yet to take.
#[derive(Debug, Clone, Default)]
pub(super) struct Publisher {
    dirty: BTreeSet<OwnedKey>,
    /// A status to tell once all that came before it is told: others stop counting on this
    /// member only after they know its last start (R6).
    status: Option<MemberStatus>,
    open: bool,
    /// Nothing is sent until the back-off is over.
    waiting: bool,
}

impl Publisher {
    pub(super) fn report_changed(&mut self, id: &ChildId) {
        self.dirty.insert(OwnedKey::Report(id.clone()));
    }

    pub(super) fn want_changed(&mut self, id: &ChildId) {
        self.dirty.insert(OwnedKey::Want(id.clone()));
    }

    pub(super) fn view_changed(&mut self) {
        self.dirty.insert(OwnedKey::View);
    }

    pub(super) const fn set_status(&mut self, status: MemberStatus) {
        self.status = Some(status);
    }

    /// A new session knows nothing yet.
    pub(super) fn begin_session(&mut self) {
        self.dirty.clear();
        self.open = false;
        self.waiting = false;
    }

    /// Everything is told anew.
    pub(super) fn republish<'a>(
        &mut self,
        local: &[ChildId],
        wants: impl Iterator<Item = &'a ChildId>,
    ) {
        self.dirty.extend(local.iter().cloned().map(OwnedKey::Report));
        self.dirty.extend(wants.cloned().map(OwnedKey::Want));
        self.dirty.insert(OwnedKey::View);
    }

    pub(super) const fn resume(&mut self) {
        self.waiting = false;
    }

    /// Whether the others have been told everything.
    pub(super) fn is_idle(&self) -> bool {
        !self.open && self.dirty.is_empty() && self.status.is_none()
    }

    pub(super) fn is_told(&self, id: &ChildId) -> bool {
        !self.dirty.contains(&OwnedKey::Report(id.clone()))
    }
}

impl Node {
    /// Sends the next batch, or the status once there is none.
    pub(super) fn publish(&mut self) {
        if !self.session.is_live() || self.publisher.open || self.publisher.waiting {
            return;
        }
        let mut keys = Vec::new();
        while keys.len() < BATCH
            && let Some(key) = self.publisher.dirty.pop_first()
        {
            keys.push(key);
        }
        if keys.is_empty() {
            if let Some(status) = self.publisher.status.take() {
                self.publisher.open = true;
                self.ask(Open::Status(status), MembershipRequest::SetStatus(status));
            }
            return;
        }
        let batch = keys
            .iter()
            .map(|key| OwnedUpdate { key: key.to_key(), value: self.owned_value(key) })
            .collect();
        self.publisher.open = true;
        self.ask(Open::Publish(keys), MembershipRequest::Publish(batch));
    }

    fn owned_value(&self, key: &OwnedKey) -> Option<Bytes> {
        match key {
            OwnedKey::Report(id) => {
                let child = self.children.get(id)?;
                let local = child.local.as_ref()?;
                let stops = matches!(local.phase, Phase::Stopping { .. });
                if stops && planted("report retracted before the stop ended") {
                    return None;
                }
                let to = local.moving_to().and_then(|to| self.members.name(to)).cloned();
                to_packed(&local.to_report(child.claim, to)).ok()
            }
            OwnedKey::View => to_packed(&self.members.view(self.session.cordons)).ok(),
            OwnedKey::Want(id) => self
                .children
                .get(id)
                .filter(|child| child.wanted_here)
                .map(|_| Bytes::from_static(&[1])),
        }
    }

    pub(super) fn on_published(&mut self, keys: Vec<OwnedKey>) {
        self.publisher.open = false;
        for key in keys {
            if let OwnedKey::Report(id) = key
                && self.publisher.is_told(&id)
            {
                self.on_report_told(&id);
            }
        }
    }

    fn on_report_told(&mut self, id: &ChildId) {
        let Some(child) = self.children.get_mut(id) else { return };
        let Some(local) = &mut child.local else { return };
        if let Phase::Preparing(needs) = &mut local.phase
            && needs.report
        {
            needs.report = false;
            self.children.revisit(id);
        }
    }

    pub(super) const fn on_status_told(&mut self) {
        self.publisher.open = false;
    }

    /// What was not taken is told again with whatever changed since.
    pub(super) fn on_publish_failed(&mut self, keys: Vec<OwnedKey>, status: Option<MemberStatus>) {
        self.publisher.open = false;
        self.publisher.waiting = true;
        self.publisher.dirty.extend(keys);
        if self.publisher.status.is_none() {
            self.publisher.status = status;
        }
    }
}
