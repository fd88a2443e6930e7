//! The files: whole or not at all, and one writer at a time.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use pogo::{
    id::{Incarnation, MemberId, MemberName},
    membership::{Backoff, MemberInfo, MembershipError},
    record::{Key, Record},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::time::sleep;
use xxhash_rust::xxh3::xxh3_128;

/// A member is alive while its file is younger than this: many beats, for a machine may be busy.
pub(crate) const ALIVE: Duration = Duration::from_secs(2);

/// What a member tells the others. Each stay has a file of its own, so that a former one which lives on
/// overwrites nothing; of one name the latest counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MemberFile {
    pub(crate) info: MemberInfo,
    pub(crate) owned: BTreeMap<Key, Bytes>,
    /// Its last word: it has gone on purpose.
    pub(crate) left: bool,
}

/// The files of one scope.
#[derive(Debug, Clone)]
pub(crate) struct Files(PathBuf);

impl Files {
    pub(crate) fn open(path: PathBuf) -> Result<Self, MembershipError> {
        for part in ["members", "records"] {
            fs::create_dir_all(path.join(part)).map_err(unavailable)?;
        }
        Ok(Self(path))
    }

    /// Members whose files are young, by name, those that left too.
    pub(crate) fn members(&self) -> io::Result<BTreeMap<MemberName, MemberFile>> {
        self.latest(|path| age(path).is_some_and(|age| age < ALIVE))
    }

    /// The order of the last start under a name, whether or not it lives.
    pub(crate) fn last_incarnation(&self, name: &MemberName) -> io::Result<Option<Incarnation>> {
        let all = self.latest(|_| true)?;
        Ok(all.get(name).map(|file| file.info.id.incarnation))
    }

    fn latest(
        &self,
        counts: impl Fn(&Path) -> bool,
    ) -> io::Result<BTreeMap<MemberName, MemberFile>> {
        let mut latest: BTreeMap<MemberName, MemberFile> = BTreeMap::new();
        for (path, file) in read_all::<MemberFile>(&self.0.join("members"))? {
            let known = latest.get(&file.info.id.name);
            let is_later = |it: &MemberFile| it.info.id.incarnation < file.info.id.incarnation;
            if counts(&path) && known.is_none_or(is_later) {
                latest.insert(file.info.id.name.clone(), file);
            }
        }
        Ok(latest)
    }

    pub(crate) fn write_member(&self, file: &MemberFile) -> io::Result<()> {
        let MemberId { name, incarnation, .. } = &file.info.id;
        write(&self.path("members", &format!("{incarnation} {name}")), file)
    }

    pub(crate) fn records(&self) -> io::Result<BTreeMap<Key, Record>> {
        Ok(read_all(&self.0.join("records"))?.into_iter().map(|(_, record)| record).collect())
    }

    pub(crate) fn record(&self, key: &Key) -> io::Result<Option<Record>> {
        let entry: Option<(Key, Record)> = read(&self.path("records", key.as_str()))?;
        Ok(entry.map(|(_, record)| record))
    }

    pub(crate) fn write_record(&self, key: &Key, record: &Record) -> io::Result<()> {
        write(&self.path("records", key.as_str()), &(key, record))
    }

    /// Waits for the lock. Members that wait do not ask in step.
    pub(crate) async fn lock(&self) -> Result<Lock, MembershipError> {
        let path = self.0.join("lock");
        let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(50));
        loop {
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(_) => return Ok(Lock(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    // A process id is random enough to keep two processes apart.
                    sleep(backoff.next_delay(u64::from(std::process::id()) << 16)).await;
                }
                Err(error) => return Err(unavailable(error)),
            }
        }
    }

    /// Ids may hold what a file name must not, and be longer.
    fn path(&self, part: &str, name: &str) -> PathBuf {
        self.0.join(part).join(format!("{:032x}", xxh3_128(name.as_bytes())))
    }
}

/// Held while a record is compared and written.
#[derive(Debug)]
pub(crate) struct Lock(PathBuf);

impl Drop for Lock {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

/// Nothing was written.
pub(crate) fn unavailable(error: impl std::fmt::Display) -> MembershipError {
    MembershipError::Unavailable { backend: "directory", reason: error.to_string() }
}

fn age(path: &Path) -> Option<Duration> {
    // A file that is younger than now by another clock is young.
    Some(fs::metadata(path).ok()?.modified().ok()?.elapsed().unwrap_or_default())
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_all<T: DeserializeOwned>(folder: &Path) -> io::Result<Vec<(PathBuf, T)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none() {
            all.extend(read(&path)?.map(|content| (path, content)));
        }
    }
    Ok(all)
}

/// A reader sees the old file or the new one, never a part.
fn write<T: Serialize>(path: &Path, content: &T) -> io::Result<()> {
    let next = path.with_extension("next");
    fs::write(&next, serde_json::to_vec(content)?)?;
    fs::rename(next, path)
}
