//! Shared records: each a plain key, changed where it is as it was read.

use std::collections::BTreeMap;

use etcd_client::{Compare, CompareOp, KeyValue, Txn, TxnOp, TxnOpResponse};
use pogo_core::{
    membership::{Expect, MembershipError, Put, PutOutcome},
    record::{Key, Record},
};

use crate::{
    codec::{decode, encode},
    error::unavailable,
    session::{Changed, Shared},
};

/// Nested transactions in one request: the server takes 128 operations.
pub(crate) const AT_ONCE: usize = 100;
/// Bytes in one request: the server takes 1.5 MiB.
pub(crate) const LARGEST_REQUEST: usize = 1_200 * 1024;
/// A record that others write all the time is given up after so many tries.
const TRIES: u32 = 16;

/// What stands at a key.
#[derive(Debug, Clone)]
struct Standing {
    record: Option<Record>,
    /// 0 where nothing does.
    revision: i64,
}

/// One write on its way.
#[derive(Debug)]
struct Write<'a> {
    index: usize,
    put: &'a Put,
    value: Vec<u8>,
    standing: Option<Standing>,
}

impl Standing {
    fn of(kv: Option<&KeyValue>) -> Self {
        match kv {
            // What cannot be read is replaced by whoever writes there.
            Some(kv) => Self { record: decode(kv.key(), kv.value()), revision: kv.mod_revision() },
            None => Self { record: None, revision: 0 },
        }
    }

    /// What becomes of a write here; `None` where it is to be made.
    fn judge(&self, put: &Put) -> Option<PutOutcome> {
        let current = self.record.as_ref();
        if current.is_some_and(|current| current.stamp == put.record.stamp) {
            return Some(PutOutcome::Applied);
        }
        let is_expected = match put.expect {
            Expect::Absent => current.is_none(),
            Expect::Exactly(stamp) => current.is_some_and(|current| current.stamp == stamp),
            Expect::Newer | _ => true,
        };
        let is_newer = current.is_none_or(|current| put.record.supersedes(current));
        let stale = || PutOutcome::Stale { current: current.cloned() };
        (!(is_expected && is_newer)).then(stale)
    }
}

/// Writes each record where its expectation holds.
pub(crate) async fn put(
    shared: &Shared,
    batch: &[Put],
) -> Result<Vec<PutOutcome>, MembershipError> {
    let mut outcomes: Vec<Option<PutOutcome>> = vec![None; batch.len()];
    // Of several writes to one key each must find what the one before it left.
    let mut rounds: Vec<Vec<(usize, &Put)>> = Vec::new();
    let mut seen: BTreeMap<&Key, usize> = BTreeMap::new();
    for (index, put) in batch.iter().enumerate() {
        let round = seen.entry(&put.key).and_modify(|it| *it += 1).or_insert(0);
        if rounds.len() <= *round {
            rounds.push(Vec::new());
        }
        if let Some(round) = rounds.get_mut(*round) {
            round.push((index, put));
        }
    }
    for round in rounds {
        put_distinct(shared, round, &mut outcomes).await?;
    }
    Ok(outcomes.into_iter().map(|it| it.unwrap_or(PutOutcome::Ambiguous)).collect())
}

/// Writes to keys that all differ.
async fn put_distinct(
    shared: &Shared,
    puts: Vec<(usize, &Put)>,
    outcomes: &mut [Option<PutOutcome>],
) -> Result<(), MembershipError> {
    let mut writes: Vec<Write<'_>> = puts
        .into_iter()
        .map(|(index, put)| {
            let value = encode(&put.record);
            // A new record is written at once; where one stands already, the refusal tells of it.
            let is_new = put.expect == Expect::Absent;
            let standing = is_new.then_some(Standing { record: None, revision: 0 });
            Write { index, put, value, standing }
        })
        .collect();
    let mut has_begun = false;
    for _ in 0..TRIES {
        if writes.is_empty() {
            return Ok(());
        }
        let tried = try_all(shared, &mut writes, outcomes).await;
        match tried {
            Ok(()) => has_begun = true,
            // Earlier parts may have been written: the batch as a whole has no one answer.
            Err(error) if has_begun || outcomes.iter().any(Option::is_some) => {
                tracing::debug!(%error, "a batch of records was written in part");
                return if matches!(error, MembershipError::TooLarge { .. }) {
                    Err(error)
                } else {
                    Ok(())
                };
            }
            Err(error) => return Err(error),
        }
        writes.retain(|write| outcomes.get(write.index).is_some_and(Option::is_none));
    }
    Err(unavailable("others change the same records all the time"))
}

/// Reads what stands where that is not known, and writes where it is as it was read.
async fn try_all(
    shared: &Shared,
    writes: &mut [Write<'_>],
    outcomes: &mut [Option<PutOutcome>],
) -> Result<(), MembershipError> {
    let unknown: Vec<Key> = writes
        .iter()
        .filter(|write| write.standing.is_none())
        .map(|write| write.put.key.clone())
        .collect();
    let mut found = standings(shared, &unknown).await?.into_iter();
    for write in writes.iter_mut().filter(|write| write.standing.is_none()) {
        write.standing = found.next();
    }
    for write in writes.iter() {
        let judged = write.standing.as_ref().and_then(|standing| standing.judge(write.put));
        if let (Some(slot), Some(judged)) = (outcomes.get_mut(write.index), judged) {
            *slot = Some(judged);
        }
    }
    let mut due: Vec<&mut Write<'_>> = writes
        .iter_mut()
        .filter(|write| outcomes.get(write.index).is_some_and(Option::is_none))
        .collect();
    while !due.is_empty() {
        let (count, size) = fitting(due.iter().map(|write| write.value.len()));
        let rest = due.split_off(count);
        write_some(shared, &mut due, size, outcomes).await?;
        due = rest;
    }
    Ok(())
}

/// How many of these fit in one request, at least one, and their size.
pub(crate) fn fitting(sizes: impl Iterator<Item = usize>) -> (usize, usize) {
    let (mut count, mut size) = (0, 0);
    for one in sizes {
        let one = one + 512;
        if count > 0 && (count == AT_ONCE || size + one > LARGEST_REQUEST) {
            break;
        }
        count += 1;
        size += one;
    }
    (count, size)
}

async fn write_some(
    shared: &Shared,
    writes: &mut [&mut Write<'_>],
    size: usize,
    outcomes: &mut [Option<PutOutcome>],
) -> Result<(), MembershipError> {
    let operation = |write: &&mut Write<'_>| {
        let key = shared.keys.shared(&write.put.key);
        let revision = write.standing.as_ref().map_or(0, |standing| standing.revision);
        let is_unchanged = Compare::mod_revision(key.clone(), CompareOp::Equal, revision);
        let txn = Txn::new()
            .when([is_unchanged])
            .and_then([TxnOp::put(key.clone(), write.value.clone(), None)])
            .or_else([TxnOp::get(key, None)]);
        TxnOp::txn(txn)
    };
    let operations = writes.iter().map(operation).collect();
    let changed = shared.change(Vec::new(), operations, size).await?;
    let Changed::Done { answers, .. } = changed else {
        return Err(unavailable("the store gave an answer to another question"));
    };
    for (write, answer) in writes.iter_mut().zip(answers) {
        let TxnOpResponse::Txn(answer) = answer else { continue };
        if answer.succeeded() {
            if let Some(slot) = outcomes.get_mut(write.index) {
                *slot = Some(PutOutcome::Applied);
            }
        } else if let Some(TxnOpResponse::Get(there)) = answer.op_responses().first() {
            write.standing = Some(Standing::of(there.kvs().first()));
        }
    }
    Ok(())
}

async fn standings(shared: &Shared, keys: &[Key]) -> Result<Vec<Standing>, MembershipError> {
    let mut standings = Vec::with_capacity(keys.len());
    for keys in keys.chunks(AT_ONCE) {
        let reads = keys.iter().map(|key| TxnOp::get(shared.keys.shared(key), None)).collect();
        for answer in shared.read(reads).await? {
            if let TxnOpResponse::Get(there) = answer {
                standings.push(Standing::of(there.kvs().first()));
            }
        }
    }
    Ok(standings)
}

/// Reads records; `None` for what is not there.
pub(crate) async fn get(
    shared: &Shared,
    keys: &[Key],
) -> Result<Vec<Option<Record>>, MembershipError> {
    Ok(standings(shared, keys).await?.into_iter().map(|standing| standing.record).collect())
}

#[cfg(test)]
mod tests {
    use pogo_core::{
        id::BootId,
        record::{Stage, Stamp, Version},
    };

    use super::*;

    fn record(hlc: u64) -> Record {
        let version = Version::of(hlc, BootId::from_random(1), Some(b"v"));
        let stamp = Stamp { version, stage: Stage::Live };
        Record { stamp, value: Some(b"v".to_vec().into()) }
    }

    fn judged(standing: Option<u64>, put: u64, expect: Expect) -> Option<PutOutcome> {
        let standing = Standing { record: standing.map(record), revision: 5 };
        standing.judge(&Put { key: Key::new("k"), record: record(put), expect })
    }

    #[test]
    fn write_is_judged_by_what_stands_there() {
        let stale = |hlc: u64| Some(PutOutcome::Stale { current: Some(record(hlc)) });
        assert_eq!(judged(None, 3, Expect::Newer), None);
        assert_eq!(judged(Some(2), 3, Expect::Newer), None);
        assert_eq!(judged(Some(4), 3, Expect::Newer), stale(4));
        assert_eq!(judged(Some(3), 3, Expect::Absent), Some(PutOutcome::Applied));
        assert_eq!(judged(Some(2), 3, Expect::Absent), stale(2));
        assert_eq!(judged(Some(2), 3, Expect::Exactly(record(2).stamp)), None);
        assert_eq!(judged(Some(1), 3, Expect::Exactly(record(2).stamp)), stale(1));
        let nothing = Some(PutOutcome::Stale { current: None });
        assert_eq!(judged(None, 3, Expect::Exactly(record(2).stamp)), nothing);
    }

    #[test]
    fn request_holds_what_the_server_takes_and_at_least_one_write() {
        assert_eq!(fitting(std::iter::repeat_n(10, 250)).0, AT_ONCE);
        assert_eq!(fitting([5_000_000, 10].into_iter()).0, 1);
        assert_eq!(fitting(std::iter::repeat_n(500_000, 9)).0, 2);
        assert_eq!(fitting(std::iter::empty()).0, 0);
    }
}
