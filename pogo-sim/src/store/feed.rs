//! Feeds: a snapshot at a revision, then the log from the next one on.

use std::collections::BTreeMap;

use pogo_core::{
    id::{MemberId, MemberName},
    membership::{Event, OwnedUpdate},
    record::Key,
    time::Timestamp,
};

use super::{
    SessionId, Step, StoreModel,
    client::Heard,
    keys::{Path, Value},
    server::{Server, Watch},
};

/// Records in one event of a snapshot.
const CHUNK: usize = 1_000;

impl StoreModel {
    /// Lets watchers know that there may be something for them.
    pub(super) fn wake_feeds(&mut self, at: Timestamp) {
        for session in self.clients.keys().copied().collect::<Vec<_>>() {
            self.wake_feed(at, session);
        }
    }

    /// Draws when a watcher's next commit is due, where that was not drawn yet.
    pub(super) fn wake_feed(&mut self, now: Timestamp, session: SessionId) {
        let pace = self.pace;
        let Some(client) = self.clients.get_mut(&session) else { return };
        let reads = client.can_read(&self.server) && client.reading.is_none();
        if !reads || client.due.is_some() || !self.faults.is_reachable(&client.id.name) {
            return;
        }
        match self.server.watch(client.next) {
            Watch::Nothing => {}
            Watch::Compacted => self.begin_snapshot(now, session),
            Watch::Commit(commit) => {
                let delay = client.line.feed_delay(&pace) + self.faults.stale(&client.id.name);
                let due = (commit.at + delay).max(client.last_due).max(now);
                client.last_due = due;
                client.due = Some((due, client.next));
                self.add(due, Step::Deliver(session));
            }
        }
    }

    /// Tells a member of the commit that is due at it.
    pub(super) fn deliver(&mut self, at: Timestamp, session: SessionId) {
        let Some(client) = self.clients.get_mut(&session) else { return };
        let Some((_, revision)) = client.due.filter(|(due, _)| *due <= at) else { return };
        client.due = None;
        let can_read = client.can_read(&self.server) && revision == client.next;
        if !can_read || !self.faults.is_reachable(&client.id.name) {
            return;
        }
        if let Watch::Commit(commit) = self.server.watch(revision) {
            client.next += 1;
            let memory = self.memories.entry(client.id.boot).or_default();
            memory.epoch = memory.epoch.max(commit.epoch());
            let Heard::Events(events) = client.hear(commit) else {
                self.end(session);
                return;
            };
            for event in events {
                self.tell_event(session, event);
            }
            self.sync(session);
        }
        self.wake_feed(at, session);
    }

    /// Reads a snapshot, as the log does not go on from where this feed is.
    pub(super) fn begin_snapshot(&mut self, now: Timestamp, session: SessionId) {
        let pace = self.pace;
        let Some(client) = self.clients.get_mut(&session) else { return };
        client.reads += 1;
        client.reading = Some(client.reads);
        client.due = None;
        let (at, reads) = (now + client.line.way(&pace), client.reads);
        self.add(at, Step::Read(session, reads));
    }

    /// The read of a snapshot reaches the server.
    pub(super) fn read(&mut self, at: Timestamp, session: SessionId, reads: u64) {
        let pace = self.pace;
        let Some(client) = self.clients.get_mut(&session) else { return };
        let is_whole = client.reading == Some(reads) && client.can_read(&self.server);
        if !is_whole || !self.faults.is_reachable(&client.id.name) {
            return;
        }
        let mut events = snapshot(&self.server, &client.id, false);
        let is_free = |key: &&Key| self.server.get(&Path::Claim(Key::clone(key))).is_none();
        let freed: Vec<Key> = client.waiting.iter().filter(is_free).cloned().collect();
        if !freed.is_empty() {
            client.waiting.retain(|key| !freed.contains(key));
            events.push(Event::ClaimFree(freed));
        }
        let (back, revision) = (at + client.line.way(&pace), self.server.revision);
        self.add(back, Step::Snapshot(session, reads, events, revision));
    }

    /// A snapshot reaches the client.
    pub(super) fn take_snapshot(
        &mut self,
        at: Timestamp,
        session: SessionId,
        reads: u64,
        events: Vec<Event>,
        revision: u64,
    ) {
        let Some(client) = self.clients.get_mut(&session) else { return };
        let is_whole = client.reading == Some(reads) && client.can_read(&self.server);
        if !is_whole || !self.faults.is_reachable(&client.id.name) {
            return;
        }
        client.reading = None;
        client.next = revision + 1;
        client.last_due = at;
        client.syncs_at = Some(client.known.max(revision));
        for event in events {
            self.tell_event(session, event);
        }
        self.sync(session);
        self.wake_feed(at, session);
    }

    /// Tells that the snapshot is complete, once the feed is as far as the member's own writes.
    pub(super) fn sync(&mut self, session: SessionId) {
        let Some(client) = self.clients.get_mut(&session) else { return };
        if client.syncs_at.is_none_or(|revision| client.next <= revision) {
            return;
        }
        client.syncs_at = None;
        let memory = self.memories.entry(client.id.boot).or_default();
        memory.life = Some(client.life);
        self.tell_event(session, Event::Synced);
        self.recover(session);
    }

    /// A feed goes on after its connection was broken.
    pub(super) fn resume_feed(&mut self, now: Timestamp, session: SessionId) {
        let Some(client) = self.clients.get_mut(&session) else { return };
        client.due = None;
        if client.reading.is_some() {
            self.begin_snapshot(now, session);
        } else {
            self.wake_feed(now, session);
        }
    }
}

/// All that there is, from `Reset` up to where `Synced` comes.
pub(super) fn snapshot(server: &Server, reader: &MemberId, rolled_back: bool) -> Vec<Event> {
    let mut events = vec![Event::Reset { rolled_back }];
    let mut shared = Vec::new();
    let mut owned: BTreeMap<&MemberName, Vec<OwnedUpdate>> = BTreeMap::new();
    for (path, entry) in server.entries() {
        match (path, &entry.value) {
            (Path::Member(_), Value::Member(info)) => events.push(Event::MemberUp(info.clone())),
            (Path::Shared(key), Value::Shared(record)) => {
                shared.push((key.clone(), record.clone()));
            }
            (Path::Owned(name, key), Value::Owned(value)) if *name != reader.name => {
                let update = OwnedUpdate { key: key.clone(), value: Some(value.clone()) };
                owned.entry(name).or_default().push(update);
            }
            _ => {}
        }
    }
    events.extend(shared.chunks(CHUNK).map(|chunk| Event::Shared(chunk.to_vec())));
    for (name, updates) in owned {
        let Some((info, _)) = server.member(name) else { continue };
        let chunk = |part: &[OwnedUpdate]| Event::Owned(info.id.clone(), part.to_vec());
        events.extend(updates.chunks(CHUNK).map(chunk));
    }
    events
}
