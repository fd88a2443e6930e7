//! The lives of a store, and the epoch of its tokens (R18).
//!
//! A store that comes back empty or from an old copy begins a new life. Its key `epoch` says which
//! one this is: a random number that the first member to notice the loss writes anew, the id of
//! the etcd cluster in which it was written, and the epoch. A member notices by the number, by
//! the id, or by a revision below one that it has seen: etcd keeps its id where it is restored with
//! the same token and addresses, and a restored copy has the old number.
//!
//! The next epoch is above every one that is known. While nobody who knows one has joined, no claim
//! is granted; after it rose, none for one lease time, in which whoever held one finds out.

use std::collections::BTreeSet;

use etcd_client::{
    Compare, CompareOp, GetOptions, GetResponse, KeyValue, PutOptions, ResponseHeader, Txn, TxnOp,
};
use pogo_core::{
    id::{ClusterName, FencingToken, Incarnation, Scope},
    membership::MembershipError,
};
use serde::{Deserialize, Serialize};

use crate::{
    codec::{decode, encode},
    config::EtcdConfig,
    connect::{Connection, revision},
    error::{Intent, Meaning, unavailable},
    keys::Keys,
};

/// What a process remembers between its sessions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    /// The life in which it was last joined, and the id of its etcd cluster.
    pub(crate) life: Option<(Life, u64)>,
    /// The highest epoch that it ever saw.
    pub(crate) epoch: Option<u64>,
    /// The highest revision that it saw in that life.
    pub(crate) revision: i64,
    pub(crate) incarnation: Incarnation,
}

/// A life of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Life {
    number: u64,
    /// The id of the etcd cluster in which this was written.
    cluster: u64,
    epoch: Option<u64>,
    /// The number of the life that its writer knew to be lost.
    after: Option<u64>,
}

/// The life that a store is in, and whether this process has missed a loss.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entered {
    pub(crate) life: Life,
    /// The id of the etcd cluster.
    pub(crate) cluster: u64,
    /// Where it is known: that of a copy in another etcd cluster may have been passed since.
    pub(crate) epoch: Option<u64>,
    pub(crate) rolled_back: bool,
}

impl Life {
    fn read(answer: &GetResponse) -> Option<(Self, i64)> {
        let kv = answer.kvs().first()?;
        Some((decode(kv.key(), kv.value())?, kv.mod_revision()))
    }

    /// What stands at the key `epoch` in this life.
    pub(crate) fn value(self) -> Vec<u8> {
        encode(&self)
    }
}

impl Entered {
    /// Whether the store that answered is in this life, in which a revision was seen already.
    pub(crate) fn goes_on(&self, answer: &GetResponse, seen: i64) -> bool {
        let there = Life::read(answer).map(|(life, _)| life);
        there == Some(self.life) && !is_older(self.cluster, answer, seen)
    }

    /// The token of what was created at a revision; `None` while the epoch is not known.
    pub(crate) fn token(&self, revision: i64) -> Option<FencingToken> {
        Some(FencingToken::of(self.epoch?, u64::try_from(revision).ok()?))
    }
}

/// Whether the store is another one, or has fewer changes than were seen.
fn is_older(cluster: u64, answer: &GetResponse, seen: i64) -> bool {
    let there = answer.header().map(ResponseHeader::cluster_id);
    there != Some(cluster) || revision(answer.header()) < seen
}

/// What to write where a process comes to a store.
fn next(there: Option<Life>, is_older: bool, memory: &Memory, is_new_store: bool) -> Option<Next> {
    let has_lost = memory.life.is_some_and(|(known, _)| {
        is_older || there.is_none_or(|there| there.number != known.number)
    });
    let epoch = there.and_then(|there| there.epoch);
    let raised = match (epoch, memory.epoch) {
        (Some(there), Some(known)) if known > there || (known == there && has_lost) => {
            Some(known + 1)
        }
        (None, Some(known)) => Some(known + 1),
        (None, None) if is_new_store && !has_lost => Some(1),
        _ => None,
    };
    // One that others wrote after the same loss stands, however few changes there were since.
    let is_next = memory
        .life
        .is_some_and(|(known, _)| there.is_some_and(|there| there.after == Some(known.number)));
    let is_stale = has_lost && is_older && !is_next;
    if raised.is_none() && there.is_some() && !is_stale {
        return None;
    }
    let epoch = raised.or_else(|| epoch.map(|epoch| epoch + u64::from(is_stale)));
    Some(Next { epoch, settles: has_lost || memory.epoch.is_some() })
}

/// A new life, or a new epoch of the one that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Next {
    epoch: Option<u64>,
    /// Whether somebody may hold a claim from before.
    settles: bool,
}

/// Finds out in which life the store is, and begins a new one where this process is the first to
/// notice that the last one is over.
pub(crate) async fn enter(
    connection: &Connection,
    keys: &Keys,
    config: &EtcdConfig,
    memory: &Memory,
    mut answer: GetResponse,
) -> Result<Entered, MembershipError> {
    let mut rolled_back = false;
    loop {
        let there = Life::read(&answer);
        let stands = there.map(|(life, _)| life);
        let cluster = answer.header().map_or(0, ResponseHeader::cluster_id);
        let known = memory.life;
        let is_older = known.is_some_and(|(_, id)| is_older(id, &answer, memory.revision));
        rolled_back |= known.is_some_and(|(known, _)| {
            is_older || stands.is_none_or(|there| there.number != known.number)
        });
        let Some(next) = next(stands, is_older, memory, config.is_new_store) else {
            let life = stands.unwrap_or(Life { number: 0, cluster, epoch: None, after: None });
            let epoch = life.epoch.filter(|_| life.cluster == cluster);
            return Ok(Entered { life, cluster, epoch, rolled_back });
        };
        let after = known.map(|(known, _)| known.number);
        let life = Life { number: random()?, cluster, epoch: next.epoch, after };
        let former = if next.settles { leases(connection, keys).await? } else { BTreeSet::new() };
        if begin(connection, keys, config, there.map(|(_, at)| at), life, next.settles).await? {
            for lease in former {
                // One that has ended meanwhile is as good.
                let mut client = connection.client.lease_client();
                if let Err(Meaning::Broken(why)) = connection.answer(client.revoke(lease)).await {
                    return Err(unavailable(why));
                }
            }
            return Ok(Entered { life, cluster, epoch: life.epoch, rolled_back });
        }
        answer = connection.get(keys.epoch(), None).await.map_err(read_error)?;
    }
}

/// Writes a new life if nobody was faster.
async fn begin(
    connection: &Connection,
    keys: &Keys,
    config: &EtcdConfig,
    stands_since: Option<i64>,
    life: Life,
    settles: bool,
) -> Result<bool, MembershipError> {
    let is_unchanged = match stands_since {
        Some(at) => Compare::mod_revision(keys.epoch(), CompareOp::Equal, at),
        None => Compare::create_revision(keys.epoch(), CompareOp::Equal, 0),
    };
    let mut writes = vec![TxnOp::put(keys.epoch(), life.value(), None)];
    if settles {
        let ttl = i64::try_from(config.ttl.as_secs()).unwrap_or(i64::MAX);
        let mut client = connection.client.lease_client();
        let lease = connection.answer(client.grant(ttl, None)).await;
        let lease = lease.map_err(|it| it.into_error(Intent::Write, 0))?.id();
        let leased = PutOptions::new().with_lease(lease);
        writes.push(TxnOp::put(keys.settling(), "", Some(leased)));
    }
    let mut kv = connection.kv.clone();
    let txn = Txn::new().when([is_unchanged]).and_then(writes);
    let answer = connection.answer(kv.txn(txn)).await;
    Ok(answer.map_err(|it| it.into_error(Intent::Write, 0))?.succeeded())
}

/// The leases under which anything of the cluster stands.
async fn leases(connection: &Connection, keys: &Keys) -> Result<BTreeSet<i64>, MembershipError> {
    let options = GetOptions::new().with_prefix().with_keys_only();
    let answer = connection.get(keys.cluster(), Some(options)).await.map_err(read_error)?;
    Ok(answer.kvs().iter().map(KeyValue::lease).filter(|lease| *lease != 0).collect())
}

fn read_error(meaning: Meaning) -> MembershipError {
    meaning.into_error(Intent::Read, 0)
}

pub(crate) fn random() -> Result<u64, MembershipError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| unavailable(format!("no randomness: {error}")))?;
    Ok(u64::from_le_bytes(bytes))
}

/// The epoch of a cluster's tokens, for operators: `pogo epoch`.
#[derive(Debug)]
pub struct Epoch;

/// Why an epoch was not raised. Nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EpochError {
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] MembershipError),
    /// The store has none, and none was given.
    #[error(
        "the store has no epoch, so which one is the next is for you to say: give one above that of \
         every token ever handed out (token >> 48), or 1 where there was none"
    )]
    Unknown,
    /// The one that was given does not come after the one that there is.
    #[error("epoch {there} stands in the store: give a higher one than that, at most 65535")]
    NotHigher {
        /// The one in the store.
        there: u64,
    },
    /// Somebody else was faster.
    #[error("somebody else has changed the epoch meanwhile: look again")]
    Raced,
}

impl Epoch {
    /// The largest epoch that a token has room for.
    const LARGEST: u64 = 0xffff;

    /// The epoch in the store, if it is known.
    ///
    /// # Errors
    /// [`MembershipError`]; nothing was changed.
    pub async fn read(
        config: &EtcdConfig,
        cluster: &ClusterName,
    ) -> Result<Option<u64>, MembershipError> {
        let (_, answer) = Connection::open(config, 0, &Self::keys(cluster)?.epoch()).await?;
        Ok(Life::read(&answer).and_then(|(life, _)| life.epoch))
    }

    /// Begins the next epoch, or that one: every member joins again, and strict children wait for
    /// one lease time. Returns the epoch that stands now.
    ///
    /// # Errors
    /// [`EpochError`].
    pub async fn bump(
        config: &EtcdConfig,
        cluster: &ClusterName,
        to: Option<u64>,
    ) -> Result<u64, EpochError> {
        let keys = Self::keys(cluster)?;
        let (connection, answer) = Connection::open(config, 0, &keys.epoch()).await?;
        let there = Life::read(&answer);
        let known = there.and_then(|(life, _)| life.epoch);
        let epoch = match (known, to) {
            (None, None) => return Err(EpochError::Unknown),
            (Some(known), None) => known + 1,
            (_, Some(to)) => to,
        };
        if epoch <= known.unwrap_or(0) || epoch > Self::LARGEST {
            return Err(EpochError::NotHigher { there: known.unwrap_or(0) });
        }
        let id = answer.header().map_or(0, ResponseHeader::cluster_id);
        let after = there.map(|(life, _)| life.number);
        let life = Life { number: random()?, cluster: id, epoch: Some(epoch), after };
        let stands_since = there.map(|(_, at)| at);
        if begin(&connection, &keys, config, stands_since, life, true).await? {
            Ok(epoch)
        } else {
            Err(EpochError::Raced)
        }
    }

    fn keys(cluster: &ClusterName) -> Result<Keys, MembershipError> {
        Ok(Keys::new(cluster, &Scope::new("any")?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(number: u64, epoch: impl Into<Option<u64>>) -> Life {
        Life { number, cluster: 7, epoch: epoch.into(), after: None }
    }

    fn knows(number: u64, epoch: impl Into<Option<u64>>) -> Memory {
        let life = life(number, epoch);
        Memory { life: Some((life, 7)), epoch: life.epoch, revision: 10, ..Memory::default() }
    }

    fn raises(epoch: u64) -> Next {
        Next { epoch: Some(epoch), settles: true }
    }

    #[test]
    fn new_store_begins_with_epoch_1_where_its_operator_says_that_it_is_new() {
        let stranger = Memory::default();
        let first = next(None, false, &stranger, true);
        assert_eq!(first, Some(Next { epoch: Some(1), settles: false }));
        let unknown = next(None, false, &stranger, false);
        assert_eq!(unknown, Some(Next { epoch: None, settles: false }));
        // Later it is told so after all.
        assert_eq!(next(Some(life(1, None)), false, &stranger, true), first);
        assert_eq!(next(Some(life(1, None)), false, &stranger, false), None);
    }

    #[test]
    fn who_finds_everything_as_it_was_changes_nothing() {
        assert_eq!(next(Some(life(1, 3)), false, &knows(1, 3), false), None);
        assert_eq!(next(Some(life(1, 3)), false, &Memory::default(), true), None);
    }

    #[test]
    fn first_to_return_to_a_wiped_store_raises_the_highest_epoch_that_it_knows() {
        assert_eq!(next(None, true, &knows(1, 3), false), Some(raises(4)));
        assert_eq!(next(None, false, &knows(1, 3), true), Some(raises(4)));
    }

    #[test]
    fn old_copy_gets_an_epoch_above_all_that_is_known() {
        assert_eq!(next(Some(life(1, 3)), true, &knows(1, 3), false), Some(raises(4)));
        assert_eq!(next(Some(life(1, 2)), true, &knows(2, 5), false), Some(raises(6)));
        // Its own epoch may be above what the first to return knows.
        assert_eq!(next(Some(life(1, 3)), true, &knows(0, 2), false), Some(raises(4)));
    }

    #[test]
    fn epoch_that_another_raised_after_the_loss_stands() {
        assert_eq!(next(Some(life(2, 4)), false, &knows(1, 3), false), None);
        // But for one who knows that it was given before.
        assert_eq!(next(Some(life(2, 4)), false, &knows(1, 4), false), Some(raises(5)));
    }

    #[test]
    fn life_that_another_began_after_the_same_loss_stands_however_young_it_is() {
        let next_life = Life { after: Some(1), ..life(2, 4) };
        assert_eq!(next(Some(next_life), true, &knows(1, 3), false), None);
        // A copy of it that was put back is another loss, for those who knew it.
        assert_eq!(next(Some(next_life), true, &knows(2, 4), false), Some(raises(5)));
    }

    #[test]
    fn wiped_store_of_which_nobody_knew_the_epoch_stays_without() {
        let next = next(None, true, &knows(1, None), true);
        assert_eq!(next, Some(Next { epoch: None, settles: true }));
    }
}
