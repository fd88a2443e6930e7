//! Everything in the scope as it stood at one revision.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use etcd_client::{GetOptions, KeyValue};
use pogo_core::{
    id::{MemberId, MemberName},
    membership::{Event, OwnedUpdate},
    record::{Key, Record},
};

use crate::{
    codec::{Presence, Segment, decode},
    connect::{Connection, revision},
    error::Meaning,
    keys::{Keys, Place},
};

/// Keys in one answer.
const PAGE: i64 = 256;
/// Records in one event.
const CHUNK: usize = 256;

/// What stood in the scope.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) revision: i64,
    /// Between `Reset` and `Synced`.
    pub(crate) events: Vec<Event>,
    pub(crate) members: BTreeMap<MemberName, MemberId>,
    pub(crate) heirs: BTreeSet<MemberName>,
    /// Batches of which the last part was not there yet.
    pub(crate) unfinished: BTreeMap<MemberName, Vec<OwnedUpdate>>,
}

impl Snapshot {
    /// Reads it page by page, all at the revision of the first.
    pub(crate) async fn read(
        connection: &Connection,
        keys: &Keys,
        me: &MemberId,
    ) -> Result<Self, Meaning> {
        let mut it = Self::default();
        it.read_range(connection, keys, "m/", &mut |it, kv| it.take_member(kv)).await?;
        it.read_range(connection, keys, "h/", &mut |it, kv| {
            if let Some(Place::Heir(name)) = keys.place(kv.key()) {
                it.heirs.insert(name);
            }
        })
        .await?;
        let mut shared = Vec::new();
        it.read_range(connection, keys, "s/", &mut |_, kv| {
            if let Some(Place::Shared(key)) = keys.place(kv.key())
                && let Some(record) = decode::<Record>(kv.key(), kv.value())
            {
                shared.push((key, record));
            }
        })
        .await?;
        it.events.extend(shared.chunks(CHUNK).map(|chunk| Event::Shared(chunk.to_vec())));
        let mut owned: BTreeMap<MemberName, BTreeMap<Key, Bytes>> = BTreeMap::new();
        it.read_range(connection, keys, "o/", &mut |it, kv| {
            it.take_segment(keys, me, &mut owned, kv);
        })
        .await?;
        for (name, records) in owned {
            let Some(id) = it.members.get(&name) else { continue };
            let updates: Vec<OwnedUpdate> = records
                .into_iter()
                .map(|(key, value)| OwnedUpdate { key, value: Some(value) })
                .collect();
            let chunks =
                updates.chunks(CHUNK).map(|chunk| Event::Owned(id.clone(), chunk.to_vec()));
            it.events.extend(chunks);
        }
        Ok(it)
    }

    async fn read_range(
        &mut self,
        connection: &Connection,
        keys: &Keys,
        kind: &str,
        take: &mut impl FnMut(&mut Self, &KeyValue),
    ) -> Result<(), Meaning> {
        let prefix = format!("{}{kind}", keys.scope());
        let end = end_of(prefix.as_bytes());
        let mut from = prefix.into_bytes();
        loop {
            let mut options = GetOptions::new().with_range(end.clone()).with_limit(PAGE);
            if self.revision > 0 {
                options = options.with_revision(self.revision);
            }
            let answer = connection.get(from, Some(options)).await?;
            if self.revision == 0 {
                self.revision = revision(answer.header());
            }
            for kv in answer.kvs() {
                take(self, kv);
            }
            match answer.kvs().last() {
                Some(last) if answer.more() => {
                    from = last.key().to_vec();
                    from.push(0);
                }
                _ => return Ok(()),
            }
        }
    }

    fn take_member(&mut self, kv: &KeyValue) {
        if let Some(Presence::Here(info)) = decode(kv.key(), kv.value()) {
            self.members.insert(info.id.name.clone(), info.id.clone());
            self.events.push(Event::MemberUp(info));
        }
    }

    fn take_segment(
        &mut self,
        keys: &Keys,
        me: &MemberId,
        owned: &mut BTreeMap<MemberName, BTreeMap<Key, Bytes>>,
        kv: &KeyValue,
    ) {
        let Some(Place::Segment(name, incarnation)) = keys.place(kv.key()) else { return };
        let is_current = self.members.get(&name).is_some_and(|id| id.incarnation == incarnation);
        if !is_current || name == me.name {
            return;
        }
        let Some(segment) = decode::<Segment>(kv.key(), kv.value()) else { return };
        let mut updates = self.unfinished.remove(&name).unwrap_or_default();
        updates.extend(segment.updates);
        if segment.has_more {
            self.unfinished.insert(name, updates);
            return;
        }
        let records = owned.entry(name).or_default();
        for OwnedUpdate { key, value } in updates {
            match value {
                Some(value) => records.insert(key, value),
                None => records.remove(&key),
            };
        }
    }
}

/// The first key after all that begin with `prefix`, which ends with no byte of all ones.
pub(crate) fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    end
}
