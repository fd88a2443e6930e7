//! The server: one linearizable key space with a dense revision, leases, and a log of changes.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use pogo_core::{
    id::{FencingToken, MemberId, MemberName},
    membership::{DownReason, MemberInfo},
    record::{Key, Record},
    time::Timestamp,
};

use super::{
    SessionId, Strength,
    keys::{Change, Commit, Entry, Path, Value},
};

/// Commits that the log keeps at most.
const LOG: usize = 4_096;
/// How often expired leases are looked for.
const SWEEP: Duration = Duration::from_millis(500);
/// The server's wall clock at the start of a run.
const EPOCH_MILLIS: u64 = 1_700_000_000_000;

/// A session's lease.
#[derive(Debug, Clone)]
pub(super) struct Lease {
    pub(super) until: Timestamp,
    /// How often it was renewed.
    pub(super) renewals: u64,
    /// The server's life in which it was granted.
    life: u64,
    paths: BTreeSet<Path>,
}

/// The server.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) strength: Strength,
    ttl: Duration,
    /// Another number after each loss of data, as a cluster id or a replication id is.
    pub(super) life: u64,
    pub(super) revision: u64,
    /// The last fence of a best-effort store.
    fence: u64,
    keys: BTreeMap<Path, Entry>,
    leases: BTreeMap<SessionId, Lease>,
    /// Whether a lease was renewed in the last tenth of its time.
    pub(super) renewed_late: bool,
    /// The last commits; the last one has the present revision.
    log: VecDeque<Commit>,
}

/// All that a server kept at one moment.
#[derive(Debug, Clone)]
pub(super) struct Backup {
    revision: u64,
    keys: BTreeMap<Path, Entry>,
}

/// What a watcher finds at a revision.
#[derive(Debug)]
pub(super) enum Watch<'a> {
    /// Nothing yet.
    Nothing,
    /// A commit.
    Commit(&'a Commit),
    /// It is no longer in the log, or the log never came so far.
    Compacted,
}

impl Server {
    pub(super) const fn new(strength: Strength, ttl: Duration) -> Self {
        Self {
            strength,
            ttl,
            life: 0,
            revision: 0,
            fence: 0,
            keys: BTreeMap::new(),
            leases: BTreeMap::new(),
            renewed_late: false,
            log: VecDeque::new(),
        }
    }

    pub(super) fn get(&self, path: &Path) -> Option<&Entry> {
        self.keys.get(path)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&Path, &Entry)> {
        self.keys.iter()
    }

    pub(super) fn record(&self, key: &Key) -> Option<&Record> {
        match self.keys.get(&Path::Shared(key.clone())).map(|entry| &entry.value) {
            Some(Value::Shared(record)) => Some(record),
            _ => None,
        }
    }

    /// The member of this name, and its lease.
    pub(super) fn member(&self, name: &MemberName) -> Option<(&MemberInfo, Option<SessionId>)> {
        let entry = self.keys.get(&Path::Member(name.clone()))?;
        match &entry.value {
            Value::Member(info) => Some((info, entry.lease)),
            _ => None,
        }
    }

    pub(super) fn owned(&self, member: &MemberId, key: &Key) -> Option<Bytes> {
        let is_there = self.member(&member.name).is_some_and(|(info, _)| info.id == *member);
        let path = Path::Owned(member.name.clone(), key.clone());
        match self.keys.get(&path).filter(|_| is_there).map(|entry| &entry.value) {
            Some(Value::Owned(value)) => Some(value.clone()),
            _ => None,
        }
    }

    pub(super) fn epoch(&self) -> Option<u64> {
        match self.keys.get(&Path::Epoch).map(|entry| &entry.value) {
            Some(Value::Epoch(epoch, _)) => Some(*epoch),
            _ => None,
        }
    }

    /// Whether the epoch began after the last loss of data. Tokens of one that did not could be
    /// lower than tokens that were granted and lost (R18).
    pub(super) fn is_epoch_sure(&self) -> bool {
        let entry = self.keys.get(&Path::Epoch).map(|entry| &entry.value);
        matches!(entry, Some(Value::Epoch(_, life)) if *life == self.life)
    }

    pub(super) fn members(&self) -> BTreeSet<MemberName> {
        let named = self.keys.keys().filter_map(|path| match path {
            Path::Member(name) => Some(name.clone()),
            _ => None,
        });
        named.collect()
    }

    pub(super) fn claims(&self) -> BTreeMap<Key, MemberId> {
        let claim = |(path, entry): (&Path, &Entry)| match (path, &entry.value) {
            (Path::Claim(key), Value::Claim(owner, _)) => Some((key.clone(), owner.clone())),
            _ => None,
        };
        self.keys.iter().filter_map(claim).collect()
    }

    /// Writes all of `writes` at once; a path without a value is deleted.
    pub(super) fn commit(
        &mut self,
        at: Timestamp,
        author: Option<MemberId>,
        why: DownReason,
        writes: Vec<(Path, Option<Entry>)>,
    ) {
        if writes.is_empty() {
            return;
        }
        let mut changes = Vec::with_capacity(writes.len());
        for (path, after) in writes {
            let before = self.set(&path, after.clone());
            changes.push(Change { path, before, after });
        }
        self.revision += 1;
        self.log.push_back(Commit { at, author, why, changes });
        if self.log.len() > LOG {
            self.log.pop_front();
        }
    }

    /// What stands at the path from now on; what stood there is returned.
    fn set(&mut self, path: &Path, after: Option<Entry>) -> Option<Entry> {
        let lease = after.as_ref().and_then(|entry| entry.lease);
        let before = match after {
            Some(entry) => self.keys.insert(path.clone(), entry),
            None => self.keys.remove(path),
        };
        let former = before.as_ref().and_then(|entry| entry.lease);
        if former != lease {
            if let Some(former) = former.and_then(|former| self.leases.get_mut(&former)) {
                former.paths.remove(path);
            }
            if let Some(lease) = lease.and_then(|lease| self.leases.get_mut(&lease)) {
                lease.paths.insert(path.clone());
            }
        }
        before
    }

    /// What a watcher that wants this revision next is told.
    pub(super) fn watch(&self, next: u64) -> Watch<'_> {
        if next > self.revision {
            // One ahead is the next to come; more than that never comes (a restored store).
            return if next == self.revision + 1 { Watch::Nothing } else { Watch::Compacted };
        }
        let back = usize::try_from(self.revision - next).unwrap_or(usize::MAX);
        let index = self.log.len().checked_sub(back.saturating_add(1));
        index.and_then(|index| self.log.get(index)).map_or(Watch::Compacted, Watch::Commit)
    }

    /// Forgets the log.
    pub(super) fn compact(&mut self) {
        self.log.clear();
    }

    pub(super) fn lease(&self, session: SessionId) -> Option<&Lease> {
        self.leases.get(&session)
    }

    pub(super) fn grant(&mut self, at: Timestamp, session: SessionId) {
        let (until, life) = (at + self.ttl, self.life);
        self.leases.insert(session, Lease { until, renewals: 0, life, paths: BTreeSet::new() });
    }

    /// Whether the session is there; its lease then has its full time again.
    pub(super) fn renew(&mut self, at: Timestamp, id: &MemberId, session: SessionId) -> bool {
        if !self.is_open(id, session) {
            return false;
        }
        let Some(lease) = self.leases.get_mut(&session) else { return false };
        self.renewed_late |= lease.until.since(at) <= self.ttl / 10;
        lease.until = lease.until.max(at + self.ttl);
        lease.renewals += 1;
        true
    }

    /// Whether this stay of the member is the present one.
    pub(super) fn is_open(&self, id: &MemberId, session: SessionId) -> bool {
        self.member(&id.name).is_some_and(|(info, lease)| info.id == *id && lease == Some(session))
    }

    /// Ends a lease, and with it all that stands under it.
    pub(super) fn revoke(&mut self, at: Timestamp, session: SessionId, why: DownReason) {
        let Some(lease) = self.leases.get(&session) else { return };
        let writes = lease.paths.iter().map(|path| (path.clone(), None)).collect();
        self.commit(at, None, why, writes);
        self.leases.remove(&session);
    }

    /// Ends the leases of former lives, whose sessions all end with the loss of data.
    pub(super) fn revoke_former(&mut self, at: Timestamp) {
        let former = self.leases.iter().filter(|(_, lease)| lease.life != self.life);
        for session in former.map(|(session, _)| *session).collect::<Vec<_>>() {
            self.revoke(at, session, DownReason::Failed);
        }
    }

    /// Takes a member's presence away and leaves it its lease, under which its claims stay.
    pub(super) fn evict(&mut self, at: Timestamp, name: &MemberName) {
        let Some((_, Some(session))) = self.member(name) else { return };
        let Some(lease) = self.leases.get(&session) else { return };
        let is_presence = |path: &&Path| !matches!(path, Path::Claim(_));
        let writes = lease.paths.iter().filter(is_presence).map(|path| (path.clone(), None));
        let writes = writes.collect();
        self.commit(at, None, DownReason::Failed, writes);
    }

    /// When the next lease will be found to have expired.
    pub(super) fn next_sweep(&self) -> Option<Timestamp> {
        let first = self.leases.values().map(|lease| lease.until).min()?;
        let sweep = u64::try_from(SWEEP.as_nanos()).unwrap_or(u64::MAX);
        Some(Timestamp::from_nanos(first.as_nanos().div_ceil(sweep).saturating_mul(sweep)))
    }

    /// Ends the leases that have expired; `why` says it by the name of their members.
    pub(super) fn sweep(&mut self, at: Timestamp, why: impl Fn(&MemberName) -> DownReason) {
        let expired = self.leases.iter().filter(|(_, lease)| lease.until <= at);
        for session in expired.map(|(session, _)| *session).collect::<Vec<_>>() {
            let name = self.leases.get(&session).and_then(|lease| {
                lease.paths.iter().find_map(|path| match path {
                    Path::Member(name) => Some(name.clone()),
                    _ => None,
                })
            });
            self.revoke(at, session, name.as_ref().map_or(DownReason::Failed, &why));
        }
    }

    /// Gives every lease its full time again, as the server could hear nobody.
    pub(super) fn rearm(&mut self, at: Timestamp) {
        let until = at + self.ttl;
        self.leases.values_mut().for_each(|lease| lease.until = until);
    }

    /// The token of a claim that is granted with the next commit (R18).
    pub(super) fn next_token(&mut self, at: Timestamp) -> FencingToken {
        let fence = match self.strength {
            Strength::Linearizable => self.revision + 1,
            Strength::BestEffort => {
                let millis = EPOCH_MILLIS + at.as_nanos() / 1_000_000;
                self.fence = millis.max(self.fence + 1);
                self.fence
            }
        };
        FencingToken::of(self.epoch().unwrap_or(0), fence)
    }

    /// All data is lost.
    pub(super) fn wipe(&mut self, at: Timestamp) {
        self.restore(at, &Backup { revision: 0, keys: BTreeMap::new() });
    }

    pub(super) fn backup(&self) -> Backup {
        Backup { revision: self.revision, keys: self.keys.clone() }
    }

    /// Puts a backup in the place of all data. What it has of leases gets its full time again.
    pub(super) fn restore(&mut self, at: Timestamp, backup: &Backup) {
        self.revision = backup.revision;
        self.keys.clone_from(&backup.keys);
        self.log.clear();
        self.begin_life(at);
    }

    /// Loses the last commits, as a replica that takes over does which never had them.
    pub(super) fn lose(&mut self, at: Timestamp, commits: u64) {
        for _ in 0..commits {
            let Some(commit) = self.log.pop_back() else { break };
            self.revision -= 1;
            for Change { path, before, .. } in commit.changes.into_iter().rev() {
                self.set(&path, before);
            }
        }
        self.begin_life(at);
    }

    /// The leases of a new life are those under which something stands.
    fn begin_life(&mut self, at: Timestamp) {
        self.fence = 0;
        let former = self.life;
        self.life += 1;
        let until = at + self.ttl;
        self.leases.clear();
        for (path, entry) in &self.keys {
            let Some(session) = entry.lease else { continue };
            let lease = self.leases.entry(session).or_insert_with(|| Lease {
                until,
                renewals: 0,
                life: former,
                paths: BTreeSet::new(),
            });
            lease.paths.insert(path.clone());
        }
    }
}
