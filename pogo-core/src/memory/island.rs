//! Shared records, one table for each island of connected members.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    id::MemberName,
    membership::{Event, Expect, Put, PutOutcome},
    record::{Key, Record, Stage},
    time::Timestamp,
};

/// How long tombstones and completions are kept (R19).
pub(super) const KEEP_ENDED: Duration = Duration::from_secs(24 * 60 * 60);

/// Records in one event of a snapshot.
pub(super) const CHUNK: usize = 1_000;

/// One island's shared records.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    records: BTreeMap<Key, Entry>,
    /// When each ended record may be collected.
    ended: BTreeSet<(Timestamp, Key)>,
}

#[derive(Debug, Clone)]
struct Entry {
    record: Record,
    collect_at: Option<Timestamp>,
}

impl Table {
    pub(super) fn get(&self, key: &Key) -> Option<&Record> {
        self.records.get(key).map(|entry| &entry.record)
    }

    /// Writes where the expectation holds; returns whether anything changed.
    pub(super) fn put(&mut self, at: Timestamp, put: &Put, cas: bool) -> (PutOutcome, bool) {
        let current = self.get(&put.key);
        if current.is_some_and(|current| current.stamp == put.record.stamp) {
            return (PutOutcome::Applied, false);
        }
        let expected = match put.expect {
            Expect::Absent if cas => current.is_none(),
            Expect::Exactly(stamp) if cas => current.is_some_and(|c| c.stamp == stamp),
            Expect::Newer | Expect::Absent | Expect::Exactly(_) => true,
        };
        if !expected || current.is_some_and(|current| !put.record.supersedes(current)) {
            return (PutOutcome::Stale { current: current.cloned() }, false);
        }
        self.insert(at, put.key.clone(), put.record.clone());
        (PutOutcome::Applied, true)
    }

    /// Takes the higher of each two records (R2).
    pub(super) fn merge(&mut self, at: Timestamp, other: &Self) {
        for (key, entry) in &other.records {
            if self.get(key).is_none_or(|mine| entry.record.supersedes(mine)) {
                self.insert(at, key.clone(), entry.record.clone());
            }
        }
    }

    /// What `older` lacks of this table.
    pub(super) fn since(&self, older: &Self) -> Vec<(Key, Record)> {
        let newer = |(key, entry): &(&Key, &Entry)| {
            older.get(key).is_none_or(|record| entry.record.supersedes(record))
        };
        self.records.iter().filter(newer).map(|(k, e)| (k.clone(), e.record.clone())).collect()
    }

    /// Drops the ended records that are old enough (R19).
    pub(super) fn collect(&mut self, at: Timestamp) -> Vec<Key> {
        let mut gone = Vec::new();
        while self.next_collection().is_some_and(|due| due <= at) {
            if let Some((_, key)) = self.ended.pop_first() {
                self.records.remove(&key);
                gone.push(key);
            }
        }
        gone
    }

    /// When the next ended record is old enough.
    pub(super) fn next_collection(&self) -> Option<Timestamp> {
        self.ended.first().map(|(due, _)| *due)
    }

    fn insert(&mut self, at: Timestamp, key: Key, record: Record) {
        let ended = record.value.is_none() || record.stamp.stage == Stage::Done;
        let collect_at = ended.then(|| at + KEEP_ENDED);
        if let Some(due) = collect_at {
            self.ended.insert((due, key.clone()));
        }
        let old = self.records.insert(key.clone(), Entry { record, collect_at });
        if let Some(due) = old.and_then(|old| old.collect_at).filter(|d| Some(*d) != collect_at) {
            self.ended.remove(&(due, key));
        }
    }
}

/// Which members can reach each other, and what each island has.
#[derive(Debug, Clone, Default)]
pub(super) struct Islands {
    /// Names in none of them share one more island, the last.
    groups: Vec<BTreeSet<MemberName>>,
    tables: BTreeMap<usize, Table>,
    /// The island that has the claims.
    pub(super) authority: usize,
}

impl Islands {
    /// The island of a member of this name.
    pub(super) fn of(&self, name: &MemberName) -> usize {
        island_of(&self.groups, name)
    }

    pub(super) const fn is_divided(&self) -> bool {
        !self.groups.is_empty()
    }

    pub(super) fn table(&mut self, island: usize) -> &mut Table {
        self.tables.entry(island).or_default()
    }

    /// All records of an island.
    pub(super) fn snapshot(&self, island: usize) -> Vec<(Key, Record)> {
        self.tables.get(&island).map_or_else(Vec::new, |table| table.since(&Table::default()))
    }

    /// When the next record of any island may be collected.
    pub(super) fn next_collection(&self) -> Option<Timestamp> {
        self.tables.values().filter_map(Table::next_collection).min()
    }

    /// Puts `table` in the place of every island's.
    pub(super) fn replace_all(&mut self, table: &Table) {
        self.tables.values_mut().for_each(|t| t.clone_from(table));
    }

    /// Divides or joins islands; returns by (old, new) island what the members who went that way
    /// have not seen.
    pub(super) fn regroup(
        &mut self,
        at: Timestamp,
        groups: Vec<BTreeSet<MemberName>>,
        live: &[MemberName],
    ) -> BTreeMap<(usize, usize), Vec<(Key, Record)>> {
        let rest = groups.len();
        let mut sources = BTreeSet::from([(self.groups.len(), rest)]);
        for name in groups.iter().chain(&self.groups).flatten().chain(live) {
            sources.insert((self.of(name), island_of(&groups, name)));
        }
        let mut tables: BTreeMap<usize, Table> = BTreeMap::new();
        for (old, new) in &sources {
            let table = self.tables.get(old).cloned().unwrap_or_default();
            match tables.get_mut(new) {
                Some(merged) => merged.merge(at, &table),
                None => drop(tables.insert(*new, table)),
            }
        }
        let unseen = |(old, new): (usize, usize)| {
            let (old_table, merged) = (self.tables.get(&old), tables.get(&new)?);
            let news = old_table.map_or_else(Vec::new, |table| merged.since(table));
            Some(((old, new), news))
        };
        let news = sources.into_iter().filter_map(unseen).collect();
        self.tables = tables;
        self.authority = largest(&groups, live);
        self.groups = groups;
        news
    }
}

/// `records` as events of bounded size.
pub(super) fn shared_events(records: &[(Key, Record)]) -> impl Iterator<Item = Event> {
    records.chunks(CHUNK).map(|chunk| Event::Shared(chunk.to_vec()))
}

fn island_of(groups: &[BTreeSet<MemberName>], name: &MemberName) -> usize {
    groups.iter().position(|group| group.contains(name)).unwrap_or(groups.len())
}

/// The island of most members; of two, that of the lowest name.
fn largest(groups: &[BTreeSet<MemberName>], live: &[MemberName]) -> usize {
    let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
    for name in live {
        *sizes.entry(island_of(groups, name)).or_default() += 1;
    }
    let most = sizes.values().max().copied().unwrap_or_default();
    let mut names: Vec<_> = live.iter().collect();
    names.sort_unstable();
    names
        .into_iter()
        .map(|name| island_of(groups, name))
        .find(|island| sizes.get(island) == Some(&most))
        .unwrap_or_default()
}
