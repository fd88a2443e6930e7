//! Membership by a directory: a file for each member, kept young, and a file for each record.
//!
//! What a member reports stands in its own file, so that readers see its reports and views whole
//! and in order (R6). Records are compared and written under a lock (R2). The files are small and
//! local: reading them blocks for microseconds. A network file system would need threads for it.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use pogo::{
    id::{Incarnation, MemberId, MemberName},
    membership::{
        Capabilities, Durability, Expect, Guarantee, Join, MemberInfo, MemberStatus, Membership,
        MembershipError, NameChoice, OwnedUpdate, Presence, Put, PutOutcome, Session,
        SharedRecords,
    },
    record::{Key, Record},
    time::Timestamp,
};
use tokio::{
    task::{JoinSet, yield_now},
    time::sleep,
};

use crate::{
    feed,
    files::{ALIVE, Files, MemberFile, unavailable},
};

const BEAT: Duration = Duration::from_millis(100);

/// The largest value, in bytes.
const MAX: usize = 2 * 1024 * 1024;

/// The backend: where its files are.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

/// One member's stay. When the last part of the session is dropped so is this, the beat ends, and
/// the others see the file grow old: a crash.
#[derive(Debug)]
struct Stay {
    files: Files,
    mine: Mine,
    _beat: JoinSet<()>,
}

/// A stay's own file, until the stay is over.
#[derive(Debug, Clone)]
pub(crate) struct Mine(Arc<Mutex<Option<MemberFile>>>);

impl Directory {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

#[async_trait]
impl Membership for Directory {
    fn name(&self) -> &'static str {
        "directory"
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::least(ALIVE + feed::LOOK, 3 * feed::LOOK);
        capabilities.max_value_bytes = MAX;
        capabilities.durability = Durability::Disk;
        capabilities.compare_and_set = Guarantee::Linearizable;
        capabilities
    }

    async fn join(&self, join: Join) -> Result<Session, MembershipError> {
        let files = Files::open(self.0.join(join.cluster.as_str()).join(join.scope.as_str()))?;
        let lock = files.lock().await?;
        let name = choose(&files, &join)?;
        let next = files.last_incarnation(&name).map_err(unavailable)?;
        let next = next.map(Incarnation::next).unwrap_or_default();
        let now = Incarnation::new(join.clock.now().wall.as_millis());
        let me = MemberId { name, incarnation: now.max(next), boot: join.boot };
        let metadata = Arc::new(join.metadata);
        let info = MemberInfo { id: me.clone(), status: MemberStatus::Joining, metadata };
        let stay = Stay::begin(&files, MemberFile { info, owned: [].into(), left: false })?;
        drop(lock);
        let stay = Arc::new(stay);
        let events = Box::pin(feed::watch(files, me.clone(), stay.mine.clone()));
        Ok(Session { me, presence: Arc::<Stay>::clone(&stay), records: stay, claims: None, events })
    }
}

/// The name asked for, with the lowest free suffix where that is wanted (R13).
fn choose(files: &Files, join: &Join) -> Result<MemberName, MembershipError> {
    let members = files.members().map_err(unavailable)?;
    let is_free = |name: &MemberName| {
        let taken = members.get(name).filter(|file| !file.left);
        taken.is_none_or(|file| file.info.id.boot == join.boot)
    };
    match &join.name {
        NameChoice::Exactly(name) if is_free(name) => Ok(name.clone()),
        NameChoice::Exactly(name) => Err(MembershipError::NameTaken { name: name.clone() }),
        NameChoice::Suffixed(name) => {
            let mut chosen = name.clone();
            let mut suffix = 1;
            while !is_free(&chosen) {
                suffix += 1;
                chosen = MemberName::new(format!("{name}-{suffix}"))?;
            }
            Ok(chosen)
        }
    }
}

impl Stay {
    fn begin(files: &Files, file: MemberFile) -> Result<Self, MembershipError> {
        files.write_member(&file).map_err(unavailable)?;
        let mine = Mine(Arc::new(Mutex::new(Some(file))));
        let mut beat = JoinSet::new();
        beat.spawn({
            let (files, mine) = (files.clone(), mine.clone());
            async move {
                loop {
                    sleep(BEAT).await;
                    if let Some(file) = &*mine.lock() {
                        // A beat that fails makes the file older, which is what the others go by.
                        drop(files.write_member(file));
                    }
                }
            }
        });
        Ok(Self { files: files.clone(), mine, _beat: beat })
    }

    async fn change(
        &self,
        change: impl FnOnce(&mut MemberFile) + Send,
    ) -> Result<(), MembershipError> {
        // Who changes it again and again lets others on this thread have their turn, the beat too.
        yield_now().await;
        let mut mine = self.mine.lock();
        let file = mine.as_mut().ok_or(MembershipError::SessionEnded)?;
        change(file);
        self.files.write_member(file).map_err(unavailable)
    }
}

impl Mine {
    fn lock(&self) -> MutexGuard<'_, Option<MemberFile>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is written any more, and the file grows old.
    pub(crate) fn end(&self) {
        *self.lock() = None;
    }

    fn is_over(&self) -> bool {
        self.lock().is_none()
    }
}

#[async_trait]
impl Presence for Stay {
    async fn set_status(&self, status: MemberStatus) -> Result<(), MembershipError> {
        self.change(|file| file.info.status = status).await
    }

    async fn publish(&self, batch: Vec<OwnedUpdate>) -> Result<(), MembershipError> {
        check_sizes(batch.iter().map(|update| &update.value))?;
        self.change(|file| {
            for OwnedUpdate { key, value } in batch {
                match value {
                    Some(value) => drop(file.owned.insert(key, value)),
                    None => drop(file.owned.remove(&key)),
                }
            }
        })
        .await
    }

    async fn owned(
        &self,
        member: &MemberId,
        keys: &[Key],
    ) -> Result<Vec<Option<Bytes>>, MembershipError> {
        let mut members = self.files.members().map_err(unavailable)?;
        let file = members.remove(&member.name);
        let file = file.filter(|file| file.info.id == *member && !file.left);
        let owned = file.map(|file| file.owned).unwrap_or_default();
        Ok(keys.iter().map(|key| owned.get(key).cloned()).collect())
    }

    fn lease_deadline(&self) -> Option<Timestamp> {
        None
    }

    async fn leave(&self) -> Result<(), MembershipError> {
        self.change(|file| file.left = true).await?;
        // The beat stops here, and the file with its last word grows old.
        self.mine.end();
        Ok(())
    }
}

#[async_trait]
impl SharedRecords for Stay {
    async fn put(&self, batch: Vec<Put>) -> Result<Vec<PutOutcome>, MembershipError> {
        check_sizes(batch.iter().map(|put| &put.record.value))?;
        let _lock = self.files.lock().await?;
        if self.mine.is_over() {
            return Err(MembershipError::SessionEnded);
        }
        batch.iter().map(|put| put_one(&self.files, put)).collect()
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, MembershipError> {
        keys.iter().map(|key| self.files.record(key).map_err(unavailable)).collect()
    }
}

fn put_one(files: &Files, put: &Put) -> Result<PutOutcome, MembershipError> {
    let current = files.record(&put.key).map_err(unavailable)?;
    let stamp = current.as_ref().map(|record| record.stamp);
    if stamp == Some(put.record.stamp) {
        return Ok(PutOutcome::Applied);
    }
    let is_expected = match put.expect {
        Expect::Absent => stamp.is_none(),
        Expect::Exactly(expected) => stamp == Some(expected),
        Expect::Newer | _ => true,
    };
    if !is_expected || current.as_ref().is_some_and(|it| !put.record.supersedes(it)) {
        return Ok(PutOutcome::Stale { current });
    }
    files.write_record(&put.key, &put.record).map_err(unavailable)?;
    Ok(PutOutcome::Applied)
}

/// A batch is refused whole.
fn check_sizes<'a>(values: impl Iterator<Item = &'a Option<Bytes>>) -> Result<(), MembershipError> {
    let longest = values.flatten().map(Bytes::len).max().unwrap_or_default();
    if longest > MAX { Err(MembershipError::TooLarge { len: longest, max: MAX }) } else { Ok(()) }
}
