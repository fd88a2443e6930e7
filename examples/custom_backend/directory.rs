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
use tokio::{task::JoinSet, time::sleep};

use crate::{
    feed,
    files::{ALIVE, Files, MemberFile, unavailable},
};

const BEAT: Duration = Duration::from_millis(100);

/// The backend: where its files are.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

/// One member's stay. When the last part of the session is dropped so is this, the beat ends, and
/// the others see the file grow old: a crash.
#[derive(Debug)]
struct Stay {
    files: Files,
    mine: Arc<Mutex<Option<MemberFile>>>,
    _beat: JoinSet<()>,
}

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
        capabilities.durability = Durability::Disk;
        capabilities.compare_and_set = Guarantee::Linearizable;
        capabilities
    }

    async fn join(&self, join: Join) -> Result<Session, MembershipError> {
        let files = Files::open(self.0.join(join.cluster.as_str()).join(join.scope.as_str()))?;
        let lock = files.lock().await?;
        let name = choose(&files, &join)?;
        let former = files.member(name.as_str()).map_err(unavailable)?;
        let next = former.map(|file| file.info.id.incarnation.next()).unwrap_or_default();
        let now = Incarnation::new(join.clock.now().wall.as_millis());
        let me = MemberId { name, incarnation: now.max(next), boot: join.boot };
        let metadata = Arc::new(join.metadata);
        let info = MemberInfo { id: me.clone(), status: MemberStatus::Joining, metadata };
        let stay = Stay::begin(&files, MemberFile { info, owned: [].into(), left: false })?;
        drop(lock);
        let stay = Arc::new(stay);
        let events = Box::pin(feed::watch(files, me.boot));
        Ok(Session { me, presence: Arc::<Stay>::clone(&stay), records: stay, claims: None, events })
    }
}

/// The name asked for, with the lowest free suffix where that is wanted (R13).
fn choose(files: &Files, join: &Join) -> Result<MemberName, MembershipError> {
    let members = files.members().map_err(unavailable)?;
    let is_free = |name: &MemberName| {
        let taken = members.get(name.as_str()).filter(|file| !file.left);
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
        let mine = Arc::new(Mutex::new(Some(file)));
        let mut beat = JoinSet::new();
        beat.spawn({
            let (files, mine) = (files.clone(), Arc::clone(&mine));
            async move {
                loop {
                    sleep(BEAT).await;
                    if let Some(file) = &*lock(&mine) {
                        // A beat that fails makes the file older, which is what the others go by.
                        drop(files.write_member(file));
                    }
                }
            }
        });
        Ok(Self { files: files.clone(), mine, _beat: beat })
    }

    fn change(&self, change: impl FnOnce(&mut MemberFile)) -> Result<(), MembershipError> {
        let mut mine = lock(&self.mine);
        let file = mine.as_mut().ok_or(MembershipError::SessionEnded)?;
        change(file);
        self.files.write_member(file).map_err(unavailable)
    }
}

#[async_trait]
impl Presence for Stay {
    async fn set_status(&self, status: MemberStatus) -> Result<(), MembershipError> {
        self.change(|file| file.info.status = status)
    }

    async fn publish(&self, batch: Vec<OwnedUpdate>) -> Result<(), MembershipError> {
        self.change(|file| {
            for OwnedUpdate { key, value } in batch {
                match value {
                    Some(value) => drop(file.owned.insert(key, value)),
                    None => drop(file.owned.remove(&key)),
                }
            }
        })
    }

    async fn owned(
        &self,
        member: &MemberId,
        keys: &[Key],
    ) -> Result<Vec<Option<Bytes>>, MembershipError> {
        let file = self.files.member(member.name.as_str()).map_err(unavailable)?;
        let owned = file.filter(|file| file.info.id == *member).map(|file| file.owned);
        let owned = owned.unwrap_or_default();
        Ok(keys.iter().map(|key| owned.get(key).cloned()).collect())
    }

    fn lease_deadline(&self) -> Option<Timestamp> {
        None
    }

    async fn leave(&self) -> Result<(), MembershipError> {
        self.change(|file| file.left = true)?;
        // The beat stops here, and the file with its last word grows old.
        *lock(&self.mine) = None;
        Ok(())
    }
}

#[async_trait]
impl SharedRecords for Stay {
    async fn put(&self, batch: Vec<Put>) -> Result<Vec<PutOutcome>, MembershipError> {
        let _lock = self.files.lock().await?;
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

fn lock(mine: &Mutex<Option<MemberFile>>) -> MutexGuard<'_, Option<MemberFile>> {
    mine.lock().unwrap_or_else(PoisonError::into_inner)
}
