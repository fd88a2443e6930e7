//! Claims: keys that are created once, under the session's lease; the create revision is the token.

use std::sync::Arc;

use async_trait::async_trait;
use etcd_client::{Compare, CompareOp, KeyValue, PutOptions, Txn, TxnOp, TxnOpResponse};
use pogo_core::{
    id::MemberId,
    membership::{ClaimOutcome, Claims, MembershipError},
    record::Key,
};

use crate::{
    codec::{decode, encode},
    error::unavailable,
    records::AT_ONCE,
    session::{Changed, Parts, Shared},
};

/// A session's claims.
#[derive(Debug)]
pub(crate) struct EtcdClaims {
    pub(crate) shared: Arc<Shared>,
    pub(crate) _parts: Arc<Parts>,
}

#[async_trait]
impl Claims for EtcdClaims {
    async fn acquire(&self, keys: &[Key]) -> Result<Vec<ClaimOutcome>, MembershipError> {
        let mut outcomes = Vec::with_capacity(keys.len());
        for keys in keys.chunks(AT_ONCE) {
            outcomes.extend(self.acquire_some(keys).await?);
        }
        Ok(outcomes)
    }

    async fn release(&self, keys: &[Key]) -> Result<(), MembershipError> {
        for keys in keys.chunks(AT_ONCE) {
            let release = |key: &Key| {
                let key = self.shared.keys.claim(key);
                let is_mine = Compare::lease(key.clone(), CompareOp::Equal, self.shared.lease);
                let delete = TxnOp::delete(key, None);
                TxnOp::txn(Txn::new().when([is_mine]).and_then([delete]))
            };
            let releases = keys.iter().map(release).collect();
            self.shared.change(Vec::new(), releases, 0).await?;
        }
        Ok(())
    }
}

impl EtcdClaims {
    async fn acquire_some(&self, keys: &[Key]) -> Result<Vec<ClaimOutcome>, MembershipError> {
        let shared = &self.shared;
        if shared.entered.epoch.is_none() {
            return Err(unavailable(
                "the epoch of this store's tokens is not known, so no claim can be granted: say that \
                 the store is new with `new=yes` in the URL, or set the epoch with `pogo epoch`",
            ));
        }
        let owner = encode(&shared.me);
        let acquire = |key: &Key| {
            let key = shared.keys.claim(key);
            let is_free = Compare::create_revision(key.clone(), CompareOp::Equal, 0);
            let leased = PutOptions::new().with_lease(shared.lease);
            let txn = Txn::new()
                .when([is_free])
                .and_then([TxnOp::put(key.clone(), owner.clone(), Some(leased))])
                .or_else([TxnOp::get(key, None)]);
            TxnOp::txn(txn)
        };
        let same_life =
            Compare::value(shared.keys.epoch(), CompareOp::Equal, shared.entered.life.value());
        let has_settled = Compare::create_revision(shared.keys.settling(), CompareOp::Equal, 0);
        let changed = shared
            .change(vec![same_life, has_settled], keys.iter().map(acquire).collect(), 0)
            .await?;
        let Changed::Done { revision, answers } = changed else {
            return Err(unavailable("claims wait for one lease time, as the store has lost data"));
        };
        keys.iter().zip(answers).map(|(key, answer)| self.outcome(key, revision, answer)).collect()
    }

    fn outcome(
        &self,
        key: &Key,
        revision: i64,
        answer: TxnOpResponse,
    ) -> Result<ClaimOutcome, MembershipError> {
        let lying = || unavailable("the store gave an answer to another question");
        let token = |revision: i64| self.shared.entered.token(revision).ok_or_else(lying);
        let TxnOpResponse::Txn(answer) = answer else { return Err(lying()) };
        if answer.succeeded() {
            return Ok(ClaimOutcome::Held { token: token(revision)? });
        }
        let answers = answer.op_responses();
        let Some(TxnOpResponse::Get(there)) = answers.first() else { return Err(lying()) };
        let kv = there.kvs().first().ok_or_else(lying)?;
        let token = token(kv.create_revision())?;
        if kv.lease() == self.shared.lease {
            return Ok(ClaimOutcome::Held { token });
        }
        Ok(ClaimOutcome::HeldBy { owner: self.owner(key, kv)?, token })
    }

    fn owner(&self, key: &Key, kv: &KeyValue) -> Result<MemberId, MembershipError> {
        decode(kv.key(), kv.value()).ok_or_else(|| {
            let place = self.shared.keys.claim(key);
            unavailable(format!("what stands at {place} was not written by pogo: delete it"))
        })
    }
}
