//! A replica of all shared records.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use pogo_core::{
    id::Scope,
    record::{Key, Record, Stamp},
};

use super::{
    ScopedKey,
    collect::Common,
    tree::{Place, Tree},
};
use crate::peer::PeerId;

/// What became of a record that was to be merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merged {
    /// It is now the record of its key.
    Applied,
    /// It was there already.
    Known,
    /// A newer one is there.
    Stale,
}

/// A record and when it came.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: Record,
    /// Its arrival number here (R19).
    pub(super) arrival: u64,
}

/// A replica of all shared records of the cluster.
#[derive(Debug, Default)]
pub struct SharedStore {
    scopes: BTreeMap<Scope, BTreeMap<Key, Entry>>,
    len: usize,
    tree: Tree,
    /// The keys in each leaf of the tree, ascending.
    pub(super) leaves: BTreeMap<u16, Vec<ScopedKey>>,
    /// The arrival number given last.
    pub(super) arrivals: u64,
    /// Tombstones by their age.
    pub(super) tombstones: BTreeSet<(u64, ScopedKey)>,
    /// What was in step, once, with each peer.
    pub(super) common: BTreeMap<PeerId, Common>,
}

impl SharedStore {
    /// Takes `record` in where it is newer than what is there (R2).
    pub fn merge(&mut self, key: ScopedKey, record: Record) -> Merged {
        let records = self.scopes.get_mut(&key.scope);
        let Some(entry) = records.and_then(|it| it.get_mut(&key.key)) else {
            self.insert(key, record);
            return Merged::Applied;
        };
        match record.stamp.cmp(&entry.record.stamp) {
            Ordering::Less => return Merged::Stale,
            Ordering::Equal => return Merged::Known,
            Ordering::Greater => {}
        }
        self.arrivals += 1;
        let (new, arrival) = (record.stamp, self.arrivals);
        let old = std::mem::replace(entry, Entry { record, arrival }).record;
        let buried = entry.record.value.is_none();
        let place = Place::of(&key);
        let difference = place.hash(&new).wrapping_sub(place.hash(&old.stamp));
        self.tree.add(place.leaf(), difference);
        if old.value.is_none() {
            self.tombstones.remove(&(old.stamp.version.hlc, key.clone()));
        }
        if buried {
            self.tombstones.insert((new.version.hlc, key));
        }
        Merged::Applied
    }

    /// Takes in a record of a key that is new here.
    fn insert(&mut self, key: ScopedKey, record: Record) {
        // A million records share the text of their scope.
        let known = self.scopes.get_key_value(&key.scope).map(|(scope, _)| scope.clone());
        let key = ScopedKey { scope: known.unwrap_or(key.scope), key: key.key };
        let place = Place::of(&key);
        self.tree.add(place.leaf(), place.hash(&record.stamp));
        let listed = self.leaves.entry(place.leaf()).or_default();
        if let Err(at) = listed.binary_search(&key) {
            listed.insert(at, key.clone());
        }
        if record.value.is_none() {
            self.tombstones.insert((record.stamp.version.hlc, key.clone()));
        }
        self.arrivals += 1;
        self.len += 1;
        let entry = Entry { record, arrival: self.arrivals };
        self.scopes.entry(key.scope).or_default().insert(key.key, entry);
    }

    /// The record of `key`.
    pub fn get(&self, key: &ScopedKey) -> Option<&Record> {
        self.entry(key).map(|it| &it.record)
    }

    /// All records of `scope`, tombstones included, in the order of their keys.
    pub fn in_scope(&self, scope: &Scope) -> impl Iterator<Item = (&Key, &Record)> + use<'_> {
        self.scopes.get(scope).into_iter().flatten().map(|(key, entry)| (key, &entry.record))
    }

    /// How many records there are, tombstones included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The hash of everything: replicas with the same one are equal.
    pub fn root(&self) -> u64 {
        self.tree.root()
    }

    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    pub(super) fn entry(&self, key: &ScopedKey) -> Option<&Entry> {
        self.scopes.get(&key.scope)?.get(&key.key)
    }

    /// The keys in one leaf of the tree, ascending.
    pub(super) fn in_leaf(&self, leaf: u16) -> &[ScopedKey] {
        self.leaves.get(&leaf).map_or(&[], Vec::as_slice)
    }

    /// All records in the order of keys, from after `key`.
    pub(super) fn after<'a>(
        &'a self,
        key: Option<&'a ScopedKey>,
    ) -> impl Iterator<Item = (ScopedKey, &'a Record)> {
        let first = key.map_or(Bound::Unbounded, |it| Bound::Included(&it.scope));
        self.scopes.range::<Scope, _>((first, Bound::Unbounded)).flat_map(
            move |(scope, records)| {
                let from = match key {
                    Some(key) if key.scope == *scope => Bound::Excluded(&key.key),
                    Some(_) | None => Bound::Unbounded,
                };
                records.range((from, Bound::Unbounded)).map(|(key, entry)| {
                    (ScopedKey { scope: scope.clone(), key: key.clone() }, &entry.record)
                })
            },
        )
    }

    /// Removes a record without a trace; only R19 may ask for that.
    pub(super) fn erase(&mut self, key: &ScopedKey) {
        let Some(records) = self.scopes.get_mut(&key.scope) else { return };
        let Some(entry) = records.remove(&key.key) else { return };
        if records.is_empty() {
            self.scopes.remove(&key.scope);
        }
        self.len -= 1;
        let stamp: Stamp = entry.record.stamp;
        let place = Place::of(key);
        self.tree.add(place.leaf(), place.hash(&stamp).wrapping_neg());
        self.tombstones.remove(&(stamp.version.hlc, key.clone()));
        if let Some(keys) = self.leaves.get_mut(&place.leaf()) {
            keys.retain(|it| it != key);
            if keys.is_empty() {
                self.leaves.remove(&place.leaf());
            }
        }
    }
}
