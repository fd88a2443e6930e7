//! Shared records: merging what others wrote, and writing one's own (R2, R15).

use bytes::Bytes;

use super::{
    Event, Node, Output,
    child::Desired,
    local::Phase,
    outbox::Purpose,
    strikes::Strikes,
    wire::{
        Garbage, MemberRecord, SharedKey, SpecRecord, StateRecord, StrikesRecord, from_json,
        from_packed, member_key, spec_key, state_key, to_json,
    },
};
use crate::{
    id::{ChildId, MemberName},
    membership::{Expect, Put},
    mutant::planted,
    record::{Key, Record, Stage, Stamp, Version},
};

impl Node {
    /// Takes a record if it is newer than the one known; the order of arrival does not matter.
    pub(super) fn merge_shared(&mut self, key: &Key, record: Record) {
        if !planted("clock does not learn") {
            self.hlc.observe(record.stamp.version.hlc);
        }
        let merged = match SharedKey::parse(key) {
            Ok(SharedKey::Spec(id)) => self.merge_spec(&id, record),
            Ok(SharedKey::State(id)) => self.merge_state(&id, &record),
            Ok(SharedKey::Strikes(id)) => self.merge_strikes(&id, &record),
            Ok(SharedKey::Member(name)) => self.merge_member(&name, &record),
            Err(garbage) => Err(garbage),
        };
        if let Err(garbage) = merged {
            self.drop_garbage(key, &garbage);
        }
    }

    pub(super) fn drop_garbage(&mut self, key: &Key, garbage: &Garbage) {
        self.tell(Event::GarbageDropped {
            key: key.as_str().to_owned(),
            reason: garbage.to_string(),
        });
    }

    fn merge_spec(&mut self, id: &ChildId, record: Record) -> Result<(), Garbage> {
        let known = self.children.get(id).and_then(|child| child.desired.as_ref());
        if known.is_some_and(|known| known.stamp >= record.stamp) {
            return Ok(());
        }
        if let Some(known) = known
            && known.stamp.version == record.stamp.version
            && known.value.is_some()
        {
            if planted("later stage is not taken") {
                return Ok(());
            }
            // The same write at a later stage: no need to read it again.
            let desired = Desired { stamp: record.stamp, ..known.clone() };
            self.set_desired(id, desired);
            return Ok(());
        }
        let value: Option<SpecRecord> = match &record.value {
            Some(bytes) => Some(from_json(bytes)?),
            None => None,
        };
        if value.as_ref().is_some_and(|value| value.spec.id != *id) {
            return Err(Garbage::Json("the spec is another child's".to_owned()));
        }
        let desired = Desired::new(record.stamp, value, record.value);
        self.tell_overwritten(id, &desired);
        self.set_desired(id, desired);
        Ok(())
    }

    /// Takes a newer spec record. The end of a child is the end of its state: a later start under
    /// its id must not find it (R9).
    fn set_desired(&mut self, id: &ChildId, desired: Desired) {
        let ended = desired.spec().is_none();
        if let Some(spec) = desired.spec() {
            self.note_quorum(spec);
        }
        let was_owner = self.children.get(id).is_some_and(|child| child.owner == Some(self.boot));
        self.children.set_desired(id, Some(desired), &self.members);
        if !ended {
            return;
        }
        let state = self.children.get_mut(id).and_then(|child| child.state.take());
        if state.is_some() && was_owner {
            self.put_fact(state_key(id), None);
        }
    }

    /// A winner that had not seen the loser overwrote it (R3).
    fn tell_overwritten(&mut self, id: &ChildId, winner: &Desired) {
        let loser = self.children.get(id).and_then(|child| child.desired.as_ref());
        let Some(loser) = loser.map(|it| it.stamp.version) else { return };
        let Some((_, head)) = &winner.value else { return };
        let unseen = head.over.is_none_or(|over| over < loser);
        let by = winner.stamp.version.author;
        if loser.author == self.boot && by != self.boot && unseen {
            self.tell(Event::Overwritten { id: id.clone(), by: by.to_string() });
        }
    }

    fn merge_state(&mut self, id: &ChildId, record: &Record) -> Result<(), Garbage> {
        let value: Option<StateRecord> =
            record.value.as_ref().map(|bytes| from_packed(bytes)).transpose()?;
        let child = self.children.entry(id);
        if let Some(known) = child.state_stamp.filter(|known| *known >= record.stamp) {
            let tombstone = Version::of(known.version.hlc, known.version.author, None);
            if known > record.stamp && known.version == tombstone {
                // A store that was put back to an older copy shows state that has been used (R9).
                let record = Record { stamp: known, value: None };
                let put = Put { key: state_key(id), record, expect: Expect::Newer };
                self.outbox.put(put, Purpose::Fact);
            }
            return Ok(());
        }
        child.state_stamp = Some(record.stamp);
        child.state = None;
        let Some(value) = value else { return Ok(()) };
        child.last_lineage = child.last_lineage.max(value.lineage);
        let Some(by) = value.absorb_by else {
            child.state = Some(value.lineage);
            return Ok(());
        };
        let running = child.local.as_ref().and_then(|local| {
            matches!(local.phase, Phase::Running { .. }).then_some(local.run).flatten()
        });
        if let (true, Some(run)) = (by == self.boot, running) {
            self.emit(Output::Absorb { child: id.clone(), run, state: value.state });
        }
        Ok(())
    }

    fn merge_strikes(&mut self, id: &ChildId, record: &Record) -> Result<(), Garbage> {
        let value: Option<StrikesRecord> =
            record.value.as_ref().map(|bytes| from_json(bytes)).transpose()?;
        let child = self.children.entry(id);
        child.strikes.merge(record.stamp, value);
        // Written before its author knew that one of them is there again.
        let members = &self.members;
        let stale = child.strikes.absolve_all(|boot| members.is_live(boot));
        if stale && child.owner == Some(self.boot) {
            self.put_strikes(id);
        }
        Ok(())
    }

    fn merge_member(&mut self, name: &MemberName, record: &Record) -> Result<(), Garbage> {
        let value: MemberRecord = match &record.value {
            Some(bytes) => from_json(bytes)?,
            None => MemberRecord::default(),
        };
        let known = self.session.member_records.get(name);
        if known.is_some_and(|(stamp, _)| *stamp >= record.stamp) {
            return Ok(());
        }
        self.session.member_records.insert(name.clone(), (record.stamp, value.clone()));
        if self.session.me.as_ref().is_some_and(|me| me.name == *name) {
            self.set_cordoned(value.cordoned);
            if let Some(order) = value.drain.filter(|order| order.boot == self.boot) {
                self.begin_drain(None, std::time::Duration::from_millis(order.deadline_ms));
            }
        }
        Ok(())
    }

    /// A record was collected for good (R19), or a snapshot did not name it.
    pub(super) fn drop_shared(&mut self, key: &Key) {
        match SharedKey::parse(key) {
            Ok(SharedKey::Spec(id)) => {
                if self.children.get(&id).is_some_and(|child| child.desired.is_some()) {
                    self.children.set_desired(&id, None, &self.members);
                }
            }
            Ok(SharedKey::State(id)) => {
                if let Some(child) = self.children.get_mut(&id) {
                    child.state = None;
                    child.state_stamp = None;
                }
            }
            Ok(SharedKey::Strikes(id)) => {
                if let Some(child) = self.children.get_mut(&id) {
                    child.strikes = Strikes::default();
                }
            }
            Ok(SharedKey::Member(name)) => {
                self.session.member_records.remove(&name);
            }
            Err(_) => {}
        }
    }

    /// Puts a spec record back where the store lost it (R15).
    pub(super) fn restore_spec(&mut self, id: &ChildId) {
        if planted("lost record is not restored") {
            return;
        }
        let Some(desired) = self.children.get(id).and_then(|child| child.desired.as_ref()) else {
            return;
        };
        let record = Record { stamp: desired.stamp, value: desired.bytes.clone() };
        let put = Put { key: spec_key(id), record, expect: Expect::Newer };
        self.outbox.put(put, Purpose::Fact);
    }

    /// Puts back what was asked of members, where the store lost it (R15): a cordon holds until it is
    /// taken back.
    pub(super) fn restore_members(&mut self) {
        for (name, (stamp, record)) in &self.session.member_records {
            let Ok(value) = to_json(record) else { continue };
            let record = Record { stamp: *stamp, value: Some(value) };
            let put = Put { key: member_key(name), record, expect: Expect::Newer };
            self.outbox.put(put, Purpose::Fact);
        }
    }

    /// A new write of `value`, above all that was seen.
    pub(super) fn new_record(&mut self, value: Option<Bytes>) -> Record {
        let hlc = self.hlc.tick(self.now.wall);
        let version = Version::of(hlc, self.boot, value.as_deref());
        Record { stamp: Stamp { version, stage: Stage::Live }, value }
    }

    /// A later stage of the write that is known.
    pub(super) fn staged_record(&self, id: &ChildId, stage: Stage) -> Option<Record> {
        let desired = self.children.get(id)?.desired.as_ref()?;
        let stamp = Stamp { version: desired.stamp.version, stage };
        Some(Record { stamp, value: desired.bytes.clone() })
    }

    /// Writes `value` whatever stands there, unless that is newer.
    pub(super) fn put_fact(&mut self, key: Key, value: Option<Bytes>) {
        let record = self.new_record(value);
        self.outbox.put(Put { key, record, expect: Expect::Newer }, Purpose::Fact);
    }

    /// Writes the strikes known here (R11).
    pub(super) fn put_strikes(&mut self, id: &ChildId) {
        let Some(child) = self.children.get(id) else { return };
        let bytes = child.strikes.to_record().and_then(|value| to_json(&value).ok());
        let record = self.new_record(bytes);
        let put = Put { key: super::wire::strikes_key(id), record, expect: Expect::Newer };
        self.outbox.put(put, Purpose::Strikes(id.clone()));
    }
}
