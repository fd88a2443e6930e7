//! Joining: the store's life (R18), the name (R13), the lease, and the first snapshot.

use std::sync::{Arc, Mutex as SyncMutex};

use etcd_client::{Compare, CompareOp, DeleteOptions, PutOptions, Txn, TxnOp};
use pogo_core::{
    id::{Incarnation, MemberId, MemberName},
    membership::{Join, MemberInfo, MemberStatus, MembershipError, NameChoice, Session},
    time::Clock,
};
use tokio::sync::Mutex;

use crate::{
    claims::EtcdClaims,
    codec::{LinkMark, Presence, decode, encode},
    config::EtcdConfig,
    connect::{Connection, revision},
    error::{Intent, Meaning, misconfigured, unavailable},
    feed::Feed,
    keys::Keys,
    lease::Renewed,
    life::{self, Entered, Memory},
    link,
    naming::{Holder, holder, runs_out},
    owned::Log,
    presence::{EtcdPresence, EtcdRecords},
    session::{Parts, Shared, lock},
    snapshot::Snapshot,
    stream::{Events, channel},
};

/// One attempt to join.
pub(crate) struct Attempt<'a> {
    config: &'a EtcdConfig,
    join: &'a Join,
    keys: Keys,
    memory: Arc<SyncMutex<Memory>>,
    connection: Arc<Connection>,
    entered: Entered,
}

/// A lease, and when it was asked for.
struct Granted {
    lease: i64,
    renewed: Renewed,
}

impl<'a> Attempt<'a> {
    pub(crate) async fn begin(
        config: &'a EtcdConfig,
        join: &'a Join,
        memory: Arc<SyncMutex<Memory>>,
    ) -> Result<Self, MembershipError> {
        let keys = Keys::new(&join.cluster, &join.scope);
        let from = usize::try_from(life::random()? >> 32).unwrap_or_default();
        let (connection, answer) = Connection::open(config, from, &keys.epoch()).await?;
        let known = lock(&memory).clone();
        let entered = life::enter(&connection, &keys, config, &known, answer).await?;
        let connection = Arc::new(connection);
        Ok(Self { config, join, keys, memory, connection, entered })
    }

    /// Joins; nothing stays behind where that fails.
    pub(crate) async fn join(self) -> Result<Session, MembershipError> {
        loop {
            let (name, there) = self.choose_name().await?;
            let granted = self.grant().await?;
            let lease = granted.lease;
            match self.join_as(&name, there, granted).await {
                Ok(Some(session)) => return Ok(session),
                // Somebody else was faster: all is looked at again.
                Ok(None) => self.revoke(lease).await,
                Err(error) => {
                    self.revoke(lease).await;
                    return Err(error);
                }
            }
        }
    }

    async fn choose_name(&self) -> Result<(MemberName, Option<Holder>), MembershipError> {
        let is_other = |holder: &Holder| {
            holder.info.as_ref().is_some_and(|info| info.id.boot != self.join.boot)
        };
        match &self.join.name {
            NameChoice::Exactly(name) => {
                let there = holder(&self.connection, &self.keys, name).await?;
                Ok((name.clone(), there))
            }
            NameChoice::Suffixed(base) => {
                let mut name = base.clone();
                let mut suffix = 2_u64;
                loop {
                    let there = holder(&self.connection, &self.keys, &name).await?;
                    if !there.as_ref().is_some_and(is_other) {
                        return Ok((name, there));
                    }
                    name = MemberName::new(format!("{base}-{suffix}"))?;
                    suffix += 1;
                }
            }
        }
    }

    async fn grant(&self) -> Result<Granted, MembershipError> {
        let wanted = i64::try_from(self.config.ttl.as_secs()).unwrap_or(i64::MAX);
        let mut client = self.connection.client.lease_client();
        let renewed = Renewed::new(self.join.clock.now().mono);
        let answer =
            self.connection.answer(client.grant(wanted, None)).await.map_err(write_error)?;
        if answer.ttl() > wanted {
            self.revoke(answer.id()).await;
            let least = answer.ttl();
            return Err(misconfigured(format!(
                "the server grants no lease under {least} s: set `ttl={least}s` or longer"
            )));
        }
        Ok(Granted { lease: answer.id(), renewed })
    }

    /// Ends a lease of its own; one that is gone, or that cannot be reached, ends by itself.
    async fn revoke(&self, lease: i64) {
        let mut client = self.connection.client.lease_client();
        if let Err(why) = self.connection.answer(client.revoke(lease)).await {
            tracing::debug!(?why, "a lease will run out by itself");
        }
    }

    /// Joins under this name; `None` where somebody else took it meanwhile.
    async fn join_as(
        &self,
        name: &MemberName,
        there: Option<Holder>,
        granted: Granted,
    ) -> Result<Option<Session>, MembershipError> {
        let lease = granted.lease;
        let there = match there {
            Some(holder) if holder.info.is_some() => {
                self.inherit(name, &holder, lease).await?;
                None
            }
            other => other,
        };
        let info = self.info(name).await?;
        let mark = LinkMark { boot: info.id.boot, incarnation: info.id.incarnation, number: 1 };
        let leased = || Some(PutOptions::new().with_lease(lease));
        let unchanged = match &there {
            Some(left) => {
                Compare::mod_revision(self.keys.member(name), CompareOp::Equal, left.mod_revision)
            }
            None => Compare::create_revision(self.keys.member(name), CompareOp::Equal, 0),
        };
        let same_life =
            Compare::value(self.keys.epoch(), CompareOp::Equal, self.entered.life.value());
        let incarnation = encode(&info.id.incarnation);
        let txn = Txn::new().when([unchanged, same_life]).and_then([
            TxnOp::put(self.keys.member(name), encode(&Presence::Here(info.clone())), leased()),
            TxnOp::put(self.keys.link(name), encode(&mark), leased()),
            TxnOp::put(self.keys.last_incarnation(name), incarnation, None),
            TxnOp::delete(self.keys.heir(name), Some(DeleteOptions::new())),
        ]);
        let mut kv = self.connection.kv.clone();
        let answer = self.connection.answer(kv.txn(txn)).await.map_err(write_error)?;
        if !answer.succeeded() {
            let epoch = self.connection.get(self.keys.epoch(), None).await.map_err(read_error)?;
            if self.entered.goes_on(&epoch, 0) {
                return Ok(None);
            }
            return Err(unavailable("the store began another life during the join"));
        }
        let snapshot = Snapshot::read(&self.connection, &self.keys, &info.id).await;
        let snapshot = snapshot.map_err(read_error)?;
        self.remember(&info.id, revision(answer.header()).max(snapshot.revision));
        Ok(Some(self.session(info, mark, granted, snapshot)))
    }

    /// Waits until nobody has the name any more, or finds that somebody does.
    async fn inherit(
        &self,
        name: &MemberName,
        holder: &Holder,
        lease: i64,
    ) -> Result<(), MembershipError> {
        // Others are told that it is replaced, not that it failed.
        let leased = PutOptions::new().with_lease(lease);
        let mut kv = self.connection.kv.clone();
        let heir = kv.put(self.keys.heir(name), "", Some(leased));
        self.connection.answer(heir).await.map_err(write_error)?;
        let is_own = holder.info.as_ref().is_some_and(|info| info.id.boot == self.join.boot);
        if is_own {
            self.revoke(holder.lease).await;
        } else if !runs_out_beside(&self.connection, holder.lease, lease).await? {
            return Err(MembershipError::NameTaken { name: name.clone() });
        }
        // What stands under a lease that has run out goes shortly after.
        loop {
            let there = crate::naming::holder(&self.connection, &self.keys, name).await?;
            if there.is_none_or(|there| there.lease != holder.lease) {
                return Ok(());
            }
            tokio::time::sleep(self.config.ttl / 40).await;
        }
    }

    async fn info(&self, name: &MemberName) -> Result<MemberInfo, MembershipError> {
        let seen = self.connection.get(self.keys.last_incarnation(name), None).await;
        let seen = seen.map_err(read_error)?;
        let seen = seen.kvs().first().and_then(|kv| decode::<Incarnation>(kv.key(), kv.value()));
        let wall = Incarnation::new(self.join.clock.now().wall.as_millis());
        let known = lock(&self.memory).incarnation;
        let incarnation = wall.max(seen.unwrap_or_default().next()).max(known.next());
        let id = MemberId { name: name.clone(), incarnation, boot: self.join.boot };
        let metadata = Arc::new(self.join.metadata.clone());
        Ok(MemberInfo { id, status: MemberStatus::Joining, metadata })
    }

    fn remember(&self, me: &MemberId, revision: i64) {
        let mut memory = lock(&self.memory);
        memory.life = Some((self.entered.life, self.entered.cluster));
        memory.epoch = memory.epoch.max(self.entered.epoch);
        memory.revision = revision;
        memory.incarnation = me.incarnation;
    }

    fn session(
        &self,
        info: MemberInfo,
        mark: LinkMark,
        granted: Granted,
        snapshot: Snapshot,
    ) -> Session {
        let me = info.id.clone();
        let shared = Arc::new(Shared::new(
            self.config.clone(),
            self.keys.clone(),
            info,
            granted.lease,
            self.entered,
            Arc::<dyn Clock>::clone(&self.join.clock),
            granted.renewed,
            Arc::clone(&self.memory),
            (Arc::clone(&self.connection), mark),
        ));
        let (sender, receiver) = channel();
        let mut feed = Feed::new(sender);
        feed.tell_snapshot(snapshot, self.entered.rolled_back);
        let task = link::run(Arc::clone(&shared), feed, Arc::clone(&self.connection), mark);
        let parts = Arc::new(Parts(tokio::spawn(task).abort_handle()));
        let presence = EtcdPresence {
            shared: Arc::clone(&shared),
            log: Mutex::new(Log::default()),
            _parts: Arc::clone(&parts),
        };
        let records = EtcdRecords { shared: Arc::clone(&shared), _parts: Arc::clone(&parts) };
        let claims = EtcdClaims { shared: Arc::clone(&shared), _parts: Arc::clone(&parts) };
        Session {
            me,
            presence: Arc::new(presence),
            records: Arc::new(records),
            claims: Some(Arc::new(claims)),
            events: Box::pin(Events::new(receiver, shared, parts)),
        }
    }
}

/// Waits for another lease to run out, and keeps one's own meanwhile.
async fn runs_out_beside(
    connection: &Connection,
    other: i64,
    own: i64,
) -> Result<bool, MembershipError> {
    let renewing = async {
        let mut client = connection.client.lease_client();
        loop {
            if let Err(meaning) = connection.answer(client.keep_alive(own)).await {
                return read_error(meaning);
            }
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
    };
    tokio::select! {
        outcome = runs_out(connection, other) => outcome,
        error = renewing => Err(error),
    }
}

fn read_error(meaning: Meaning) -> MembershipError {
    meaning.into_error(Intent::Read, 0)
}

fn write_error(meaning: Meaning) -> MembershipError {
    meaning.into_error(Intent::Write, 0)
}
