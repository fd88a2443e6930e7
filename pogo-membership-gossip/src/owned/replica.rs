//! The records of one peer at one number, with the numbers that lead other replicas there.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::OwnedKey;

/// Removals remembered beyond the number of records there are.
const REMOVALS: usize = 4096;

/// A record or its removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    /// The number of its last change.
    pub(super) number: u64,
    pub(super) value: Option<Bytes>,
}

/// The records of one peer.
#[derive(Debug, Default)]
pub(super) struct Replica {
    at: u64,
    /// Replicas below this cannot be led by changes: removals since then are forgotten.
    floor: u64,
    slots: BTreeMap<OwnedKey, Slot>,
    /// Records by their number, and removals by theirs.
    present: BTreeSet<(u64, OwnedKey)>,
    removed: BTreeSet<(u64, OwnedKey)>,
}

impl Replica {
    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn get(&self, key: &OwnedKey) -> Option<&Bytes> {
        self.slots.get(key)?.value.as_ref()
    }

    /// The records, in the order of their keys.
    pub(super) fn records(&self) -> impl Iterator<Item = (&OwnedKey, &Bytes)> {
        self.slots.iter().filter_map(|(key, slot)| Some((key, slot.value.as_ref()?)))
    }

    /// The number from which a replica at `theirs` can be led: 0 is by replacing all.
    pub(super) const fn lead_from(&self, theirs: u64) -> u64 {
        if theirs < self.floor { 0 } else { theirs }
    }

    /// What changed after `from`, in the order of keys; from 0 all records and no removals.
    pub(super) fn since(&self, from: u64) -> Vec<(&OwnedKey, &Slot)> {
        if from == 0 {
            return self.slots.iter().filter(|(_, slot)| slot.value.is_some()).collect();
        }
        let mut keys: Vec<&OwnedKey> = later(&self.present, from)
            .chain(later(&self.removed, from))
            .map(|(_, key)| key)
            .collect();
        keys.sort_unstable();
        keys.into_iter().filter_map(|key| self.slots.get_key_value(key)).collect()
    }

    /// The owner's own change: everything that is new gets the next number.
    pub(super) fn publish(&mut self, updates: Vec<(OwnedKey, Option<Bytes>)>) -> u64 {
        let number = self.at.saturating_add(1);
        for (key, value) in updates {
            if self.get(&key) != value.as_ref() {
                self.at = number;
                self.put(key, Slot { number, value });
            }
        }
        self.forget_removals();
        self.at
    }

    /// Leads the replica to `to`; answers what is different afterwards.
    pub(super) fn lead(
        &mut self,
        from: u64,
        to: u64,
        slots: Vec<(OwnedKey, Slot)>,
    ) -> Vec<(OwnedKey, Option<Bytes>)> {
        let mut updates = if from == 0 { self.replace(&slots, to) } else { Vec::new() };
        for (key, slot) in slots {
            if self.slots.get(&key).is_some_and(|it| it.number >= slot.number) {
                continue;
            }
            if self.get(&key) != slot.value.as_ref() {
                updates.push((key.clone(), slot.value.clone()));
            }
            self.put(key, slot);
        }
        self.at = to;
        self.forget_removals();
        updates
    }

    /// Drops everything that is not named; answers what was dropped. Removals before `to` are
    /// unknown from now on.
    fn replace(&mut self, named: &[(OwnedKey, Slot)], to: u64) -> Vec<(OwnedKey, Option<Bytes>)> {
        let named: BTreeSet<&OwnedKey> = named.iter().map(|(key, _)| key).collect();
        let gone: Vec<OwnedKey> = self
            .records()
            .map(|(key, _)| key)
            .filter(|key| !named.contains(key))
            .cloned()
            .collect();
        for key in &gone {
            if let Some(slot) = self.slots.remove(key) {
                self.present.remove(&(slot.number, key.clone()));
            }
        }
        while let Some((_, key)) = self.removed.pop_first() {
            self.slots.remove(&key);
        }
        self.floor = to;
        gone.into_iter().map(|key| (key, None)).collect()
    }

    fn put(&mut self, key: OwnedKey, slot: Slot) {
        if let Some(old) = self.slots.get(&key) {
            let log = if old.value.is_some() { &mut self.present } else { &mut self.removed };
            log.remove(&(old.number, key.clone()));
        }
        let log = if slot.value.is_some() { &mut self.present } else { &mut self.removed };
        log.insert((slot.number, key.clone()));
        self.slots.insert(key, slot);
    }

    /// Forgets the oldest removals where there are too many, at the price of full deltas for who is
    /// still before them.
    fn forget_removals(&mut self) {
        while self.removed.len() > REMOVALS + self.present.len() {
            let Some((number, key)) = self.removed.pop_first() else { return };
            self.slots.remove(&key);
            self.floor = self.floor.max(number);
        }
    }
}

fn later(log: &BTreeSet<(u64, OwnedKey)>, from: u64) -> impl Iterator<Item = &(u64, OwnedKey)> {
    log.iter().rev().take_while(move |(number, _)| *number > from)
}
