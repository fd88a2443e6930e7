//! Giving a child up: its state first, then its claim, then the word that it is free (R7).

use bytes::Bytes;

use super::{
    Event, Node,
    local::{AfterExport, Phase},
    outbox::Purpose,
    wire::{StateRecord, from_packed, state_key, to_packed},
};
use crate::{
    id::{BootId, ChildId, Lineage},
    membership::{Expect, Put},
    spec::limits::STATE_BYTES,
};

impl Node {
    /// Writes the state, if there is one, then goes on as `then` says.
    pub(super) fn export(&mut self, id: &ChildId, state: Option<Bytes>, then: AfterExport) {
        let cap = self.session.capabilities.as_ref().map_or(STATE_BYTES, |it| it.max_value_bytes);
        let state = match state {
            Some(state) if state.len() > cap.min(STATE_BYTES) => {
                let reason = format!("it has {} bytes, too many for the backend", state.len());
                self.tell(Event::HandoverLost { id: id.clone(), reason });
                None
            }
            state => state,
        };
        let Some(child) = self.children.get_mut(id) else { return };
        // A child that was terminated meanwhile has no next start.
        let state = state.filter(|_| child.wanted().is_some());
        let Some(state) = state else {
            // State that no attempt has used yet is still where it was.
            let unused = child.state;
            return self.after_export(id, then, unused);
        };
        let lineage = child.last_lineage.next();
        child.last_lineage = lineage;
        let absorb_by = match then {
            AfterExport::Absorb { by } => Some(by),
            AfterExport::Release { .. } | AfterExport::Drop | AfterExport::Restart => None,
        };
        let Some(kind) = child.local.as_ref().map(|local| local.spec.kind.clone()) else { return };
        let value = StateRecord { kind, lineage, absorb_by, state };
        match to_packed(&value) {
            Ok(bytes) => {
                self.set_phase(id, Phase::Exporting { then, lineage }, "stopped, handing over");
                let record = self.new_record(Some(bytes));
                let put = Put { key: state_key(id), record, expect: Expect::Newer };
                self.outbox.put(put, Purpose::Export(id.clone()));
            }
            Err(garbage) => {
                let reason = garbage.to_string();
                self.tell(Event::HandoverLost { id: id.clone(), reason });
                self.after_export(id, then, None);
            }
        }
    }

    pub(super) fn on_exported(&mut self, id: &ChildId) {
        if let Some((then, lineage)) = self.exporting(id) {
            self.after_export(id, then, Some(lineage));
        }
    }

    pub(super) fn on_export_lost(&mut self, id: &ChildId, reason: &str) {
        if let Some((then, _)) = self.exporting(id) {
            self.tell(Event::HandoverLost { id: id.clone(), reason: reason.to_owned() });
            self.after_export(id, then, None);
        }
    }

    /// Another handover's state was there: writes above it, with a newer lineage.
    pub(super) fn export_again(&mut self, id: &ChildId, put: Put) {
        let Some((then, _)) = self.exporting(id) else { return };
        let state = put
            .record
            .value
            .and_then(|bytes| from_packed::<StateRecord>(&bytes).ok())
            .map(|value| value.state);
        self.export(id, state, then);
    }

    fn exporting(&self, id: &ChildId) -> Option<(AfterExport, Lineage)> {
        match &self.children.get(id)?.local.as_ref()?.phase {
            Phase::Exporting { then, lineage } => Some((*then, *lineage)),
            Phase::Preparing(_)
            | Phase::Starting { .. }
            | Phase::Running { .. }
            | Phase::Stopping { .. }
            | Phase::Unclaiming { .. }
            | Phase::Backoff { .. }
            | Phase::Quarantined { .. }
            | Phase::Released { .. }
            | Phase::Done { .. }
            | Phase::Stuck { .. } => None,
        }
    }

    fn after_export(&mut self, id: &ChildId, then: AfterExport, lineage: Option<Lineage>) {
        match then {
            AfterExport::Release { to } => self.begin_release(id, to, lineage),
            AfterExport::Absorb { .. } => {
                self.departure.note_moved(id);
                self.drop_local(id, "gave way to another instance");
            }
            AfterExport::Drop => self.drop_handed_over(id, lineage),
            AfterExport::Restart if self.is_leaving() => self.drop_handed_over(id, lineage),
            AfterExport::Restart => {
                if let Some(child) = self.children.get_mut(id) {
                    // It is in the records, whether or not their feed has come as far.
                    child.state = child.state.max(lineage);
                }
                self.restart_here(id);
            }
        }
    }

    /// Drops a child whose state was handed over to whoever starts it next. Who is known by now to
    /// be that is told what to read: the report may be gone before the state has arrived (R9).
    fn drop_handed_over(&mut self, id: &ChildId, lineage: Option<Lineage>) {
        let owner = self.children.get(id).and_then(|child| child.owner);
        match owner.filter(|owner| *owner != self.boot && lineage.is_some() && self.is_leaving()) {
            Some(to) => self.begin_release(id, to, lineage),
            None => self.drop_local(id, "stopped"),
        }
    }

    /// Gives back the claim, if there is one, then the child.
    pub(super) fn begin_release(&mut self, id: &ChildId, to: BootId, lineage: Option<Lineage>) {
        let Some(child) = self.children.get_mut(id) else { return };
        if child.claim.is_none() {
            return self.release(id, to, lineage);
        }
        child.claim_releasing = true;
        self.outbox.release(id.clone());
        self.set_phase(id, Phase::Unclaiming { to, lineage }, "giving back its claim");
    }

    /// Says that `to` may take the child.
    pub(super) fn release(&mut self, id: &ChildId, to: BootId, lineage: Option<Lineage>) {
        let until = self.now.mono + self.config.handover_timeout;
        self.set_phase(id, Phase::Released { to, lineage, until }, "released");
    }
}
