//! A member's own presence.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use etcd_client::{GetOptions, PutOptions, TxnOp};
use pogo_core::{
    id::MemberId,
    membership::{
        MemberStatus, MembershipError, OwnedUpdate, Presence as Seam, Put, PutOutcome,
        SharedRecords,
    },
    record::{Key, Record},
    time::Timestamp,
};
use tokio::sync::Mutex;

use crate::{
    codec::{Presence, Segment, decode, encode},
    membership::MAX_VALUE_BYTES,
    owned::Log,
    records,
    session::{Fall, Parts, Shared, lock},
};

/// A session's presence.
#[derive(Debug)]
pub(crate) struct EtcdPresence {
    pub(crate) shared: Arc<Shared>,
    pub(crate) log: Mutex<Log>,
    pub(crate) _parts: Arc<Parts>,
}

#[async_trait]
impl Seam for EtcdPresence {
    async fn set_status(&self, status: MemberStatus) -> Result<(), MembershipError> {
        let shared = &self.shared;
        let mut info = lock(&shared.info).clone();
        if info.status == status {
            return Ok(());
        }
        info.status = status;
        let key = shared.keys.member(&shared.me.name);
        let value = encode(&Presence::Here(info.clone()));
        let leased = PutOptions::new().with_lease(shared.lease);
        let write = TxnOp::put(key, value, Some(leased));
        shared.change(Vec::new(), vec![write], 0).await?;
        *lock(&shared.info) = info;
        Ok(())
    }

    async fn publish(&self, batch: Vec<OwnedUpdate>) -> Result<(), MembershipError> {
        if batch.is_empty() {
            return Ok(());
        }
        check_size(batch.iter().filter_map(|update| update.value.as_ref()))?;
        self.log.lock().await.append(&self.shared, batch).await
    }

    async fn owned(
        &self,
        member: &MemberId,
        keys: &[Key],
    ) -> Result<Vec<Option<Bytes>>, MembershipError> {
        let prefix = self.shared.keys.segments(&member.name, member.incarnation);
        let answer = self.shared.get(prefix, Some(GetOptions::new().with_prefix())).await?;
        let mut found: Vec<Option<Bytes>> = vec![None; keys.len()];
        let segments = answer.kvs().iter();
        for segment in segments.filter_map(|kv| decode::<Segment>(kv.key(), kv.value())) {
            for update in segment.updates {
                let wanted = keys.iter().zip(&mut found).filter(|(key, _)| **key == update.key);
                wanted.for_each(|(_, slot)| slot.clone_from(&update.value));
            }
        }
        Ok(found)
    }

    fn lease_deadline(&self) -> Option<Timestamp> {
        Some(self.shared.renewed.sent() + self.shared.config.ttl)
    }

    async fn leave(&self) -> Result<(), MembershipError> {
        let shared = &self.shared;
        let leased = PutOptions::new().with_lease(shared.lease);
        let word = encode(&Presence::Left(shared.me.clone()));
        let write = TxnOp::put(shared.keys.member(&shared.me.name), word, Some(leased));
        shared.change(Vec::new(), vec![write], 0).await?;
        // All has been said; what stands under the lease goes at once, or when it runs out.
        if let Ok((connection, _)) = shared.connection() {
            let mut client = connection.client.lease_client();
            if let Err(why) = connection.answer(client.revoke(shared.lease)).await {
                tracing::debug!(?why, "the lease of a member that left will run out by itself");
            }
        }
        shared.set_down(&Fall::Ended);
        shared.link_failed.notify_one();
        Ok(())
    }
}

/// A session's shared records.
#[derive(Debug)]
pub(crate) struct EtcdRecords {
    pub(crate) shared: Arc<Shared>,
    pub(crate) _parts: Arc<Parts>,
}

#[async_trait]
impl SharedRecords for EtcdRecords {
    async fn put(&self, batch: Vec<Put>) -> Result<Vec<PutOutcome>, MembershipError> {
        check_size(batch.iter().filter_map(|put| put.record.value.as_ref()))?;
        records::put(&self.shared, &batch).await
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, MembershipError> {
        records::get(&self.shared, keys).await
    }
}

/// Refuses a batch with a value above the limit before anything of it is sent.
fn check_size<'a>(values: impl Iterator<Item = &'a Bytes>) -> Result<(), MembershipError> {
    let len = values.map(Bytes::len).max().unwrap_or_default();
    if len > MAX_VALUE_BYTES {
        return Err(MembershipError::TooLarge { len, max: MAX_VALUE_BYTES });
    }
    Ok(())
}
