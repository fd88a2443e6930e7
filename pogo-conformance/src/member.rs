//! One member of a case: its session, and a reader of its feed.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use pogo_core::{
    id::MemberId,
    membership::{
        ClaimOutcome, Claims, DownReason, Expect, MemberStatus, MembershipError, OwnedUpdate,
        Presence, Put, PutOutcome, Session, SharedRecords,
    },
    record::{Key, Record},
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{error::Elapsed, timeout},
};

use crate::{
    failure::{Failure, Outcome, ensure},
    model::Model,
    truth::{Fate, Truth},
    world::World,
};

/// A session whose feed is read all the time. Dropping it is a crash.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) me: MemberId,
    pub(crate) presence: Arc<dyn Presence>,
    pub(crate) records: Arc<dyn SharedRecords>,
    pub(crate) claims: Option<Arc<dyn Claims>>,
    model: watch::Receiver<Model>,
    reader: JoinHandle<()>,
    truth: Arc<Truth>,
    patience: Duration,
}

impl Member {
    pub(crate) fn new(world: &World, session: Session) -> Self {
        let Session { me, presence, records, claims, mut events } = session;
        let (sender, model) = watch::channel(Model::new(me.clone()));
        let truth = Arc::clone(&world.truth);
        let reader = tokio::spawn({
            let truth = Arc::clone(&truth);
            async move {
                while let Some(event) = events.next().await {
                    sender.send_modify(|model| model.take(event, &truth));
                }
                sender.send_modify(|model| model.ended = true);
            }
        });
        Self { me, presence, records, claims, model, reader, truth, patience: world.patience() }
    }

    // --- what it is told ---

    /// Waits until it was told so.
    pub(crate) async fn sees(&self, what: &str, is_so: impl FnMut(&Model) -> bool) -> Outcome {
        self.sees_within(self.patience, what, is_so).await
    }

    pub(crate) async fn sees_within(
        &self,
        within: Duration,
        what: &str,
        mut is_so: impl FnMut(&Model) -> bool,
    ) -> Outcome {
        let mut model = self.model.clone();
        let truth = &self.truth;
        let is_over = |model: &Model| truth.first_breach().is_some() || is_so(model) || model.ended;
        // `Ok(Err)` is a reader that has ended: the model stays as it is.
        let in_time: Result<_, Elapsed> =
            timeout(within, async { model.wait_for(is_over).await.map(drop) }).await;
        if let Some(breach) = truth.first_breach() {
            return Err(Failure::new(breach));
        }
        let model = self.model.borrow();
        ensure!(
            in_time.is_ok() && is_so(&model),
            "{} does not see {what} within {within:?}: {}",
            self.me.name,
            model.describe()
        );
        Ok(())
    }

    pub(crate) async fn sees_up(&self, other: &Self) -> Outcome {
        let what = format!("{} up and active", other.me.name);
        let is_active = |model: &Model| {
            let info = model.members.get(&other.me.boot).filter(|info| info.id == other.me);
            info.is_some_and(|info| info.status == MemberStatus::Active)
        };
        self.sees(&what, is_active).await
    }

    /// Waits until it was told that this stay of a member is over, for this reason.
    pub(crate) async fn sees_down(&self, id: &MemberId, reason: DownReason) -> Outcome {
        let what = format!("{} {reason:?}", id.name);
        self.sees(&what, |model| model.downs_of(id) == [reason] && !model.is_up(id)).await
    }

    pub(crate) async fn sees_record(&self, key: &str, record: &Record) -> Outcome {
        let key_ = Key::new(key);
        self.sees(&format!("{key:?} as {record:?}"), |model| {
            model.shared.get(&key_) == Some(record)
        })
        .await
    }

    pub(crate) async fn sees_owned(
        &self,
        id: &MemberId,
        key: &str,
        value: Option<&[u8]>,
    ) -> Outcome {
        let key_ = Key::new(key);
        let what = format!("{}'s {key:?} with {:?}", id.name, value.map(bstr));
        self.sees(&what, |model| {
            model.is_up(id) && model.owned_value(id, &key_).map(AsRef::as_ref) == value
        })
        .await
    }

    /// Looks at what it was told so far.
    pub(crate) fn told<T>(&self, look: impl FnOnce(&Model) -> T) -> T {
        look(&self.model.borrow())
    }

    // --- what it asks ---

    pub(crate) async fn set_status(&self, status: MemberStatus) -> Outcome {
        Ok(self.bounded("set_status", self.presence.set_status(status)).await??)
    }

    pub(crate) async fn put(&self, key: &str, record: &Record) -> Outcome<PutOutcome> {
        self.put_expecting(key, record, Expect::Newer).await
    }

    pub(crate) async fn put_expecting(
        &self,
        key: &str,
        record: &Record,
        expect: Expect,
    ) -> Outcome<PutOutcome> {
        let put = Put { key: Key::new(key), record: record.clone(), expect };
        let outcomes = self.put_all(vec![put]).await??;
        let [outcome] = outcomes.as_slice() else {
            return Err(Failure::new(format!("one record was put and the answer is {outcomes:?}")));
        };
        Ok(outcome.clone())
    }

    /// Puts a record, which must stand then.
    pub(crate) async fn writes(&self, key: &str, record: &Record) -> Outcome {
        let outcome = self.put(key, record).await?;
        ensure!(outcome == PutOutcome::Applied, "{key:?} is newer and the answer is {outcome:?}");
        Ok(())
    }

    /// The inner error is the backend's refusal.
    pub(crate) async fn put_all(
        &self,
        batch: Vec<Put>,
    ) -> Outcome<Result<Vec<PutOutcome>, MembershipError>> {
        self.bounded("put", self.records.put(batch)).await
    }

    pub(crate) async fn read(&self, key: &str) -> Outcome<Option<Record>> {
        let keys = [Key::new(key)];
        let got = self.bounded("get", self.records.get(&keys)).await??;
        let [record] = got.as_slice() else {
            return Err(Failure::new(format!("one record was asked for and {got:?} came")));
        };
        Ok(record.clone())
    }

    pub(crate) async fn publish(&self, key: &str, value: Option<&[u8]>) -> Outcome {
        let value = value.map(Bytes::copy_from_slice);
        Ok(self.publish_all(vec![OwnedUpdate { key: Key::new(key), value }]).await??)
    }

    /// The inner error is the backend's refusal.
    pub(crate) async fn publish_all(
        &self,
        batch: Vec<OwnedUpdate>,
    ) -> Outcome<Result<(), MembershipError>> {
        self.bounded("publish", self.presence.publish(batch)).await
    }

    /// The inner error is the backend's refusal.
    pub(crate) async fn read_owned(
        &self,
        member: &MemberId,
        keys: &[Key],
    ) -> Outcome<Result<Vec<Option<Bytes>>, MembershipError>> {
        self.bounded("owned", self.presence.owned(member, keys)).await
    }

    /// Asks for a claim. The inner error is the backend's refusal.
    pub(crate) async fn try_acquire(
        &self,
        key: &str,
    ) -> Outcome<Result<ClaimOutcome, MembershipError>> {
        let claims = self.claims()?;
        let keys = [Key::new(key)];
        let outcomes = match self.bounded("acquire", claims.acquire(&keys)).await? {
            Ok(outcomes) => outcomes,
            Err(error) => return Ok(Err(error)),
        };
        let [outcome] = outcomes.as_slice() else {
            return Err(Failure::new(format!("one claim was asked for and {outcomes:?} came")));
        };
        if let ClaimOutcome::Held { token } = outcome {
            let [key] = &keys;
            self.truth.granted(&self.me, key, *token);
        }
        Ok(Ok(outcome.clone()))
    }

    pub(crate) async fn acquire(&self, key: &str) -> Outcome<ClaimOutcome> {
        Ok(self.try_acquire(key).await??)
    }

    pub(crate) async fn release(&self, key: &str) -> Outcome {
        let keys = [Key::new(key)];
        Ok(self.bounded("release", self.claims()?.release(&keys)).await??)
    }

    fn claims(&self) -> Outcome<&Arc<dyn Claims>> {
        self.claims.as_ref().ok_or_else(|| Failure::new("the session has no claims"))
    }

    async fn bounded<T>(&self, what: &str, asked: impl Future<Output = T>) -> Outcome<T> {
        let answer = timeout(self.patience, asked).await;
        answer.map_err(|_late| Failure::new(format!("{what} of {} never answers", self.me.name)))
    }

    // --- how it ends ---

    pub(crate) async fn leave(&self) -> Outcome {
        self.truth.set_fate(&self.me, Fate::Left);
        Ok(self.bounded("leave", self.presence.leave()).await??)
    }

    /// Drops every part of the session.
    pub(crate) async fn crash(mut self) -> MemberId {
        if self.truth.fate(&self.me) == Fate::Unharmed {
            self.truth.set_fate(&self.me, Fate::Harmed);
        }
        self.reader.abort();
        // It was aborted, or has ended before.
        drop((&mut self.reader).await);
        self.me.clone()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // A case that ends drops its members one after the other.
        if self.truth.fate(&self.me) == Fate::Unharmed {
            self.truth.set_fate(&self.me, Fate::Harmed);
        }
        self.reader.abort();
    }
}

/// Bytes as people read them.
pub(crate) fn bstr(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
