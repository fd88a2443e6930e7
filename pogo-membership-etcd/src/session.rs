//! What the parts of a session share, and how they ask the store.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use etcd_client::{
    Compare, CompareOp, GetOptions, GetResponse, Txn, TxnOp, TxnOpResponse, TxnResponse,
};
use pogo_core::{
    id::MemberId,
    membership::{MemberInfo, MembershipError},
    time::Clock,
};
use tokio::{sync::Notify, task::AbortHandle};

use crate::{
    codec::{LinkMark, decode, encode},
    config::EtcdConfig,
    connect::{Connection, revision},
    error::{Intent, Meaning, unavailable},
    keys::Keys,
    lease::Renewed,
    life::{Entered, Memory},
};

/// A stay in the cluster, as all its parts see it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: EtcdConfig,
    pub(crate) keys: Keys,
    pub(crate) me: MemberId,
    pub(crate) lease: i64,
    pub(crate) entered: Entered,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) renewed: Renewed,
    pub(crate) info: Mutex<MemberInfo>,
    pub(crate) memory: Arc<Mutex<Memory>>,
    link: Mutex<Link>,
    /// A request found that the connection is broken, or the session over.
    pub(crate) link_failed: Notify,
    /// The highest revision of a write of its own that was acknowledged.
    written: AtomicI64,
}

/// The connection that requests go over.
#[derive(Debug)]
enum Link {
    Up(Arc<Connection>, LinkMark),
    /// For this reason.
    Down(MembershipError),
    Ended,
}

/// Why a connection is given up.
#[derive(Debug, Clone)]
pub(crate) enum Fall {
    /// Another one may do.
    Broken(MembershipError),
    /// The session is over.
    Ended,
}

impl Shared {
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a part of the session, made at its join"
    )]
    pub(crate) fn new(
        config: EtcdConfig,
        keys: Keys,
        info: MemberInfo,
        lease: i64,
        entered: Entered,
        clock: Arc<dyn Clock>,
        renewed: Renewed,
        memory: Arc<Mutex<Memory>>,
        link: (Arc<Connection>, LinkMark),
    ) -> Self {
        Self {
            config,
            keys,
            me: info.id.clone(),
            lease,
            entered,
            clock,
            renewed,
            info: Mutex::new(info),
            memory,
            link: Mutex::new(Link::Up(link.0, link.1)),
            link_failed: Notify::new(),
            written: AtomicI64::new(0),
        }
    }

    /// The connection, if it is whole.
    pub(crate) fn connection(&self) -> Result<(Arc<Connection>, LinkMark), MembershipError> {
        match &*lock(&self.link) {
            Link::Up(connection, mark) => Ok((Arc::clone(connection), *mark)),
            Link::Down(reason) => Err(reason.clone()),
            Link::Ended => Err(MembershipError::SessionEnded),
        }
    }

    pub(crate) fn set_up(&self, connection: Arc<Connection>, mark: LinkMark) {
        let mut link = lock(&self.link);
        if !matches!(*link, Link::Ended) {
            *link = Link::Up(connection, mark);
        }
    }

    /// Takes the connection down; requests fail for this reason until there is another.
    pub(crate) fn set_down(&self, fall: &Fall) {
        let mut link = lock(&self.link);
        match fall {
            _ if matches!(*link, Link::Ended) => {}
            Fall::Broken(reason) => *link = Link::Down(reason.clone()),
            Fall::Ended => *link = Link::Ended,
        }
    }

    /// Why the connection that was up with this mark is not any more.
    pub(crate) fn fall_of(&self, mark: LinkMark) -> Option<Fall> {
        match &*lock(&self.link) {
            Link::Up(_, up) if *up == mark => None,
            Link::Up(..) => Some(Fall::Broken(unavailable("the connection was replaced"))),
            Link::Down(reason) => Some(Fall::Broken(reason.clone())),
            Link::Ended => Some(Fall::Ended),
        }
    }

    /// A request over the connection with this mark failed.
    fn fail(&self, mark: LinkMark, meaning: &Meaning) {
        let fall = match meaning {
            Meaning::Broken(reason) => Fall::Broken(unavailable(reason.clone())),
            Meaning::Denied(_) => Fall::Broken(meaning.clone().into_error(Intent::Read, 0)),
            Meaning::LeaseGone => Fall::Ended,
            Meaning::TooLarge | Meaning::Compacted | Meaning::Refused(_) => return,
        };
        if self.fall_of(mark).is_none() {
            self.set_down(&fall);
            self.link_failed.notify_one();
        }
    }

    /// Changes keys at once, if this session and this connection of it are still the current ones
    /// and the `conditions` hold. `size` is that of the request in bytes.
    pub(crate) async fn change(
        &self,
        conditions: Vec<Compare>,
        writes: Vec<TxnOp>,
        size: usize,
    ) -> Result<Changed, MembershipError> {
        let (connection, mark) = self.connection()?;
        let mut when = vec![self.is_current(mark)];
        when.extend(conditions);
        let link = TxnOp::get(self.keys.link(&self.me.name), None);
        let txn = Txn::new().when(when).and_then(writes).or_else([link]);
        let mut kv = connection.kv.clone();
        let answer = match connection.answer(kv.txn(txn)).await {
            Ok(answer) => answer,
            Err(meaning) => {
                self.fail(mark, &meaning);
                return Err(meaning.into_error(Intent::Write, size));
            }
        };
        let revision = revision(answer.header());
        self.note_seen(revision);
        let answers = answer.op_responses();
        if answer.succeeded() {
            if answers.iter().any(has_written) {
                self.written.fetch_max(revision, Ordering::AcqRel);
            }
            return Ok(Changed::Done { revision, answers });
        }
        let Some(TxnOpResponse::Get(there)) = answers.first() else {
            return Err(unavailable("the store gave an answer to another question"));
        };
        let there = there.kvs().first();
        match there.and_then(|kv| decode::<LinkMark>(kv.key(), kv.value())) {
            Some(there) if there == mark => Ok(Changed::Refused),
            Some(there) if there.boot == mark.boot && there.incarnation == mark.incarnation => {
                let why = "an earlier connection has come late";
                self.fail(mark, &Meaning::Broken(why.to_owned()));
                Err(unavailable(why))
            }
            Some(_) | None => {
                self.fail(mark, &Meaning::LeaseGone);
                Err(MembershipError::SessionEnded)
            }
        }
    }

    /// That nobody else has this member's name, and that this is its last connection.
    fn is_current(&self, mark: LinkMark) -> Compare {
        Compare::value(self.keys.link(&self.me.name), CompareOp::Equal, encode(&mark))
    }

    pub(crate) async fn get(
        &self,
        key: impl Into<Vec<u8>>,
        options: Option<GetOptions>,
    ) -> Result<GetResponse, MembershipError> {
        let (connection, mark) = self.connection()?;
        connection.get(key, options).await.map_err(|meaning| {
            self.fail(mark, &meaning);
            meaning.into_error(Intent::Read, 0)
        })
    }

    /// Reads many keys at once.
    pub(crate) async fn read(
        &self,
        reads: Vec<TxnOp>,
    ) -> Result<Vec<TxnOpResponse>, MembershipError> {
        let (connection, mark) = self.connection()?;
        let mut kv = connection.kv.clone();
        let answer: Result<TxnResponse, Meaning> =
            connection.answer(kv.txn(Txn::new().and_then(reads))).await;
        let answer = answer.map_err(|meaning| {
            self.fail(mark, &meaning);
            meaning.into_error(Intent::Read, 0)
        })?;
        Ok(answer.op_responses())
    }

    /// The highest revision of a write of its own that was acknowledged.
    pub(crate) fn written(&self) -> i64 {
        self.written.load(Ordering::Acquire)
    }

    /// A revision that this process has seen: a store that shows a lower one has lost data.
    pub(crate) fn note_seen(&self, revision: i64) {
        let mut memory = lock(&self.memory);
        memory.revision = memory.revision.max(revision);
    }
}

/// Whether an operation has changed a key. The answer to one that has not names the store's newest
/// revision, which may be that of anybody's write, and no event of the scope need ever have it.
fn has_written(answer: &TxnOpResponse) -> bool {
    match answer {
        TxnOpResponse::Put(_) => true,
        TxnOpResponse::Delete(answer) => answer.deleted() > 0,
        TxnOpResponse::Txn(answer) => answer.op_responses().iter().any(has_written),
        TxnOpResponse::Get(_) => false,
    }
}

/// What became of a change.
#[derive(Debug)]
pub(crate) enum Changed {
    Done {
        revision: i64,
        answers: Vec<TxnOpResponse>,
    },
    /// A condition did not hold.
    Refused,
}

/// Ends the session's task once nobody has a part of the session any more: a crash, as others see it.
#[derive(Debug)]
pub(crate) struct Parts(pub(crate) AbortHandle);

impl Drop for Parts {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A panic elsewhere leaves nothing half done here.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
