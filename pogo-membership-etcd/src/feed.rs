//! What happens in the scope: a snapshot, and the watch that goes on from it.

use std::collections::{BTreeMap, BTreeSet};

use etcd_client::{Event as Change, EventType, KeyValue, WatchOptions, WatchResponse};
use pogo_core::{
    id::{MemberId, MemberName},
    membership::{DownReason, Event, Health, OwnedUpdate},
    record::{Key, Record},
};

use crate::{
    codec::{Presence, Segment, decode},
    connect::{Connection, revision},
    error::{Intent, Meaning, unavailable},
    keys::Place,
    session::{Fall, Shared},
    snapshot::Snapshot,
    stream::{Sender, Told},
};

/// The watch over the scope, and that over the store's life.
const SCOPE: i64 = 1;
const LIFE: i64 = 2;
/// A response of the watch may hold all that one transaction changed.
const LARGEST_RESPONSE: usize = 512 * 1024 * 1024;
/// Snapshots that a compaction overtook, before the connection is held to be of no use.
const OVERTAKEN: u32 = 5;

/// Where a member's feed is.
#[derive(Debug)]
pub(crate) struct Feed {
    sender: Sender,
    /// The last revision that was told; 0 where a snapshot comes first.
    told: i64,
    members: BTreeMap<MemberName, MemberId>,
    heirs: BTreeSet<MemberName>,
    unfinished: BTreeMap<MemberName, Vec<OwnedUpdate>>,
}

/// Why a watch ended.
enum Ended {
    /// What comes next has been compacted away.
    Compacted,
    Fell(Fall),
}

impl From<Fall> for Ended {
    fn from(fall: Fall) -> Self {
        Self::Fell(fall)
    }
}

impl Feed {
    pub(crate) const fn new(sender: Sender) -> Self {
        Self {
            sender,
            told: 0,
            members: BTreeMap::new(),
            heirs: BTreeSet::new(),
            unfinished: BTreeMap::new(),
        }
    }

    /// Tells a snapshot that was read; what it does not name is gone.
    pub(crate) fn tell_snapshot(&mut self, snapshot: Snapshot, rolled_back: bool) {
        let Snapshot { revision, events, members, heirs, unfinished } = snapshot;
        (self.members, self.heirs, self.unfinished) = (members, heirs, unfinished);
        self.tell(Event::Reset { rolled_back });
        for event in events {
            self.tell(event);
        }
        self.up_to(revision);
        self.tell(Event::Synced);
    }

    pub(crate) fn tell_health(&self, health: Health) {
        self.tell(Event::Health(health));
    }

    pub(crate) fn tell_end(&self) {
        self.tell(Event::Evicted);
    }

    /// Follows what happens until the connection is of no use any more, and says why.
    pub(crate) async fn follow(&mut self, shared: &Shared, connection: &Connection) -> Fall {
        let mut overtaken = 0;
        loop {
            if self.told == 0 {
                match Snapshot::read(connection, &shared.keys, &shared.me).await {
                    Ok(snapshot) if snapshot.members.get(&shared.me.name) == Some(&shared.me) => {
                        self.tell_snapshot(snapshot, false);
                    }
                    Ok(_without_me) => return Fall::Ended,
                    Err(Meaning::Compacted) if overtaken < OVERTAKEN => {
                        overtaken += 1;
                        continue;
                    }
                    Err(meaning) => return fall(meaning),
                }
            }
            match self.watch(shared, connection).await {
                Ended::Compacted => self.told = 0,
                Ended::Fell(fall) => return fall,
            }
        }
    }

    async fn watch(&mut self, shared: &Shared, connection: &Connection) -> Ended {
        let mut client =
            connection.client.watch_client().max_decoding_message_size(LARGEST_RESPONSE);
        // Of the last revision a part may be missing, if it came in several; what is told again
        // changes nothing.
        let start = self.told;
        let options = || WatchOptions::new().with_start_revision(start).with_progress_notify();
        let scope = options().with_prefix().with_fragment().with_watch_id(SCOPE);
        let life = options().with_watch_id(LIFE);
        let opened = connection.answer(client.watch(shared.keys.scope(), Some(scope))).await;
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(meaning) => return fall(meaning).into(),
        };
        if let Err(error) = stream.watch(shared.keys.epoch(), Some(life)).await {
            return fall(connection.meaning(&error)).into();
        }
        loop {
            self.sender.has_room().await;
            let response = match stream.message().await {
                Ok(Some(response)) => response,
                Ok(None) => return broken("the server ended the watch"),
                Err(error) => return fall(connection.meaning(&error)).into(),
            };
            if let Err(ended) = self.take(shared, &response, start) {
                return ended;
            }
        }
    }

    fn take(&mut self, shared: &Shared, response: &WatchResponse, start: i64) -> Result<(), Ended> {
        if response.compact_revision() > 0 {
            return Err(Ended::Compacted);
        }
        let reason = response.cancel_reason();
        if response.canceled() {
            if reason.contains("permission denied") {
                let error = crate::error::denied("the member may not watch the keys under /pogo/");
                return Err(Fall::Broken(error).into());
            }
            return Err(broken(&format!("the server cancelled the watch: {reason}")));
        }
        let newest = revision(response.header());
        if response.created() {
            // From a server that is behind the revision asked for nothing would come for long, or
            // for ever, if it was restored from an old copy.
            // What the first watch tells may come before the word that the second one is there.
            if newest + 1 < start {
                return Err(broken("the server is behind what was seen already"));
            }
            return Ok(());
        }
        if response.watch_id() == LIFE {
            let is_another = |change: &Change| {
                change.event_type() == EventType::Delete
                    || change.kv().is_none_or(|kv| kv.value() != shared.entered.life.value())
            };
            let is_over = response.events().iter().any(is_another);
            return if is_over { Err(Fall::Ended.into()) } else { Ok(()) };
        }
        let mut shared_records = Vec::new();
        for change in response.events() {
            self.apply(shared, change, &mut shared_records)?;
        }
        self.flush(&mut shared_records);
        shared.note_seen(newest);
        let last = response.events().last().and_then(Change::kv).map(KeyValue::mod_revision);
        self.up_to(told_by(last, newest));
        Ok(())
    }

    fn apply(
        &mut self,
        shared: &Shared,
        change: &Change,
        records: &mut Vec<(Key, Record)>,
    ) -> Result<(), Fall> {
        let Some(kv) = change.kv() else { return Ok(()) };
        let Some(place) = shared.keys.place(kv.key()) else { return Ok(()) };
        let is_put = change.event_type() == EventType::Put;
        if let Place::Shared(key) = &place
            && is_put
        {
            if let Some(record) = decode::<Record>(kv.key(), kv.value()) {
                records.push((key.clone(), record));
            }
            return Ok(());
        }
        self.flush(records);
        match place {
            Place::Member(name) if is_put => {
                if let Some(presence) = decode::<Presence>(kv.key(), kv.value()) {
                    self.present(shared, name, presence)?;
                }
            }
            Place::Member(name) => {
                let why = if self.heirs.contains(&name) {
                    DownReason::Replaced
                } else {
                    DownReason::Failed
                };
                self.absent(shared, &name, why)?;
            }
            Place::Heir(name) if is_put => {
                self.heirs.insert(name);
            }
            Place::Heir(name) => {
                self.heirs.remove(&name);
            }
            Place::Shared(key) => self.tell(Event::SharedGone(vec![key])),
            Place::Segment(name, incarnation) if is_put && name != shared.me.name => {
                let owner = self.members.get(&name).filter(|id| id.incarnation == incarnation);
                if let Some(owner) = owner.cloned()
                    && let Some(segment) = decode::<Segment>(kv.key(), kv.value())
                {
                    self.segment(owner, segment);
                }
            }
            Place::Claim(key) if !is_put => self.tell(Event::ClaimFree(vec![key])),
            // Segments that others repeat, or that went with their owner; claims that are taken.
            Place::Segment(..) | Place::Claim(_) => {}
        }
        Ok(())
    }

    fn present(
        &mut self,
        shared: &Shared,
        name: MemberName,
        presence: Presence,
    ) -> Result<(), Fall> {
        match presence {
            Presence::Here(info) => {
                if self.members.get(&name).is_some_and(|known| *known != info.id) {
                    self.absent(shared, &name, DownReason::Replaced)?;
                }
                self.members.insert(name, info.id.clone());
                self.tell(Event::MemberUp(info));
            }
            Presence::Left(id) => {
                if self.members.get(&name) == Some(&id) {
                    self.absent(shared, &name, DownReason::Left)?;
                }
            }
        }
        Ok(())
    }

    fn absent(&mut self, shared: &Shared, name: &MemberName, why: DownReason) -> Result<(), Fall> {
        let Some(id) = self.members.remove(name) else { return Ok(()) };
        self.unfinished.remove(name);
        if id == shared.me {
            return Err(Fall::Ended);
        }
        self.tell(Event::MemberDown(id, why));
        Ok(())
    }

    fn segment(&mut self, owner: MemberId, segment: Segment) {
        if segment.is_repeat {
            return;
        }
        let mut updates = self.unfinished.remove(&owner.name).unwrap_or_default();
        updates.extend(segment.updates);
        if segment.has_more {
            self.unfinished.insert(owner.name, updates);
        } else if !updates.is_empty() {
            self.tell(Event::Owned(owner, updates));
        }
    }

    fn flush(&self, records: &mut Vec<(Key, Record)>) {
        if !records.is_empty() {
            self.tell(Event::Shared(std::mem::take(records)));
        }
    }

    fn up_to(&mut self, revision: i64) {
        self.told = self.told.max(revision);
        self.sender.send(Told::UpTo(revision));
    }

    fn tell(&self, event: Event) {
        self.sender.send(Told::Event(event));
    }
}

/// Up to where a response of the watch tells. The revision in its header is the store's newest: a
/// watcher that catches up gets no more than some 1,000 revisions at a time, and there are more to
/// come. It counts only where there are no events, for the server says so to none that lags behind.
fn told_by(last: Option<i64>, newest: i64) -> i64 {
    last.unwrap_or(newest)
}

fn broken(reason: &str) -> Ended {
    Fall::Broken(unavailable(reason)).into()
}

/// What becomes of a connection after an error of its own requests.
pub(crate) fn fall(meaning: Meaning) -> Fall {
    if matches!(meaning, Meaning::LeaseGone) {
        return Fall::Ended;
    }
    Fall::Broken(meaning.into_error(Intent::Read, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_tells_up_to_its_last_event_however_far_the_store_is() {
        assert_eq!(told_by(Some(1_007), 3_050), 1_007);
        assert_eq!(told_by(None, 3_050), 3_050);
    }
}
