//! What sessions ask of the server; each request is one transaction.

use std::collections::BTreeMap;

use pogo_core::{
    id::MemberId,
    membership::{
        ClaimOutcome, DownReason, Expect, MemberInfo, MemberStatus, MembershipError, OwnedUpdate,
        Put, PutOutcome,
    },
    node::{Answer, MembershipRequest},
    record::{Key, Record},
    time::Timestamp,
};

use super::{
    NAME, SessionId,
    keys::{Entry, Path, Value},
    server::Server,
    unavailable,
};

impl Server {
    /// Does what a session asks, whole and at once.
    pub(super) fn apply(
        &mut self,
        at: Timestamp,
        session: SessionId,
        id: &MemberId,
        request: &MembershipRequest,
    ) -> Answer {
        if !self.is_open(id, session) {
            return Answer::Failed(MembershipError::SessionEnded);
        }
        match request {
            MembershipRequest::SetStatus(status) => self.set_status(at, session, id, *status),
            MembershipRequest::Publish(batch) => self.publish(at, session, id, batch),
            MembershipRequest::Put(puts) => self.put(at, puts),
            MembershipRequest::Get(keys) => {
                Answer::Got(keys.iter().map(|key| self.record(key).cloned()).collect())
            }
            MembershipRequest::Acquire(keys) => self.acquire(at, session, id, keys),
            MembershipRequest::Release(keys) => self.release(at, session, keys),
            MembershipRequest::Leave => {
                self.revoke(at, session, DownReason::Left);
                Answer::Done
            }
            _ => {
                let what = "this request";
                Answer::Failed(MembershipError::Unsupported { backend: NAME, what })
            }
        }
    }

    fn set_status(
        &mut self,
        at: Timestamp,
        session: SessionId,
        id: &MemberId,
        status: MemberStatus,
    ) -> Answer {
        let Some((info, _)) = self.member(&id.name) else {
            return Answer::Failed(MembershipError::SessionEnded);
        };
        if info.status != status {
            let info = MemberInfo { status, ..info.clone() };
            let entry = Entry { value: Value::Member(info), lease: Some(session) };
            let writes = vec![(Path::Member(id.name.clone()), Some(entry))];
            self.commit(at, None, DownReason::Failed, writes);
        }
        Answer::Done
    }

    fn publish(
        &mut self,
        at: Timestamp,
        session: SessionId,
        id: &MemberId,
        batch: &[OwnedUpdate],
    ) -> Answer {
        let write = |OwnedUpdate { key, value }: &OwnedUpdate| {
            let value = value.clone().map(Value::Owned);
            let entry = value.map(|value| Entry { value, lease: Some(session) });
            (Path::Owned(id.name.clone(), key.clone()), entry)
        };
        let writes = batch.iter().map(write).collect();
        self.commit(at, Some(id.clone()), DownReason::Failed, writes);
        Answer::Done
    }

    fn put(&mut self, at: Timestamp, puts: &[Put]) -> Answer {
        let mut written: BTreeMap<&Key, &Record> = BTreeMap::new();
        let mut outcomes = Vec::with_capacity(puts.len());
        for put in puts {
            let current = written.get(&put.key).copied().or_else(|| self.record(&put.key));
            let outcome = judge(put, current);
            let is_new = current.is_none_or(|current| current.stamp != put.record.stamp);
            if outcome == PutOutcome::Applied && is_new {
                written.insert(&put.key, &put.record);
            }
            outcomes.push(outcome);
        }
        let write = |(key, record): (&Key, &Record)| {
            let entry = Entry { value: Value::Shared(record.clone()), lease: None };
            (Path::Shared(key.clone()), Some(entry))
        };
        let writes = written.into_iter().map(write).collect();
        self.commit(at, None, DownReason::Failed, writes);
        Answer::Put(outcomes)
    }

    fn acquire(
        &mut self,
        at: Timestamp,
        session: SessionId,
        id: &MemberId,
        keys: &[Key],
    ) -> Answer {
        if !self.is_epoch_sure() {
            return Answer::Failed(unavailable("the store's epoch is unknown"));
        }
        if self.get(&Path::Settling).is_some() {
            return Answer::Failed(unavailable("claims wait for one TTL, as data was lost"));
        }
        let token = self.next_token(at);
        let mut writes = BTreeMap::new();
        let mut outcomes = Vec::with_capacity(keys.len());
        for key in keys {
            let path = Path::Claim(key.clone());
            outcomes.push(match self.get(&path).map(|entry| (&entry.value, entry.lease)) {
                Some((Value::Claim(_, token), Some(holder))) if holder == session => {
                    ClaimOutcome::Held { token: *token }
                }
                Some((Value::Claim(owner, token), _)) => {
                    ClaimOutcome::HeldBy { owner: owner.clone(), token: *token }
                }
                _ => {
                    let value = Value::Claim(id.clone(), token);
                    writes.insert(path, Some(Entry { value, lease: Some(session) }));
                    ClaimOutcome::Held { token }
                }
            });
        }
        self.commit(at, None, DownReason::Failed, writes.into_iter().collect());
        Answer::Acquired(outcomes)
    }

    fn release(&mut self, at: Timestamp, session: SessionId, keys: &[Key]) -> Answer {
        let paths = keys.iter().map(|key| Path::Claim(key.clone()));
        let mine =
            paths.filter(|path| self.get(path).is_some_and(|entry| entry.lease == Some(session)));
        let writes = mine.map(|path| (path, None)).collect::<BTreeMap<_, _>>();
        self.commit(at, None, DownReason::Failed, writes.into_iter().collect());
        Answer::Done
    }
}

/// What becomes of a write where `current` stands.
fn judge(put: &Put, current: Option<&Record>) -> PutOutcome {
    if current.is_some_and(|current| current.stamp == put.record.stamp) {
        return PutOutcome::Applied;
    }
    let expected = match put.expect {
        Expect::Absent => current.is_none(),
        Expect::Exactly(stamp) => current.is_some_and(|current| current.stamp == stamp),
        _ => true,
    };
    if expected && current.is_none_or(|current| put.record.supersedes(current)) {
        PutOutcome::Applied
    } else {
        PutOutcome::Stale { current: current.cloned() }
    }
}
