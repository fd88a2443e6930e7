//! A store such as etcd or Redis, and each member's adapter to it, as the seam shows them: a pure
//! state machine in virtual time.
//!
//! [`StoreModel`] is one server and the sessions of its clients. The server has one linearizable
//! key space with a dense revision, leases in its own time, a log that watchers read, and an epoch
//! that counts its losses of data (R18). A client joins by the rules of names (R13), reads a
//! snapshot and then the log, renews its lease every quarter of its time (R16), and tells what did
//! not run (`Unavailable`) from what may have run (`Ambiguous`).
//!
//! What an adapter must do to be such a client, beside what PROTOCOL says:
//! * one request overtakes no other, and none of a broken connection runs later: a late write of an
//!   earlier try would undo a later one;
//! * `Synced` waits until the feed has told every write of one's own that was acknowledged;
//! * whatever may have lost writes (another cluster id, a lower revision) ends the session: claims
//!   may be among them, and the records that it owned in the store may be old ones. The first to
//!   rejoin raises the epoch and takes away what sessions of the store's former life left there;
//! * the epoch names the store's id under which it was written. Under another one data was lost, and
//!   who joins for the first time is granted no claim before somebody who knows has rejoined.
//!
//! Nothing is polled: an idle cluster costs one step for each member and renewal.

mod calls;
mod client;
mod faults;
mod feed;
mod joining;
mod keys;
mod leases;
#[cfg(feature = "kit")]
mod membership;
mod requests;
mod server;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use pogo_core::{
    id::{BootId, MemberId, MemberName, RequestId},
    membership::{Capabilities, Durability, Event, Guarantee, MembershipError},
    node::Answer,
    record::{Key, Record},
    time::Timestamp,
};

#[cfg(feature = "kit")]
pub use self::membership::StoreMembership;
use self::{
    calls::Call,
    client::{Client, Memory, Pace},
    faults::Faults,
    joining::Joiner,
    server::Server,
};
use crate::draw::Draws;

/// The backend's name for people.
const NAME: &str = "store";
/// How long a client waits for an answer at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a store promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// As etcd: what was acknowledged is never lost, unless the data itself is.
    Linearizable,
    /// As Redis: a failover may lose the last writes.
    BestEffort,
}

/// Settings of a [`StoreModel`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// What it promises.
    pub strength: Strength,
    /// How long a lease lasts from its last renewal.
    pub lease_ttl: Duration,
    /// How long an addition to the view settles at most (R6).
    pub view_settle: Duration,
    /// Mean time from a request to its answer; half of it passes before it is applied.
    pub latency: Duration,
    /// Mean time from a commit to its event at a watcher.
    pub delay: Duration,
    /// Requests in 1,000 whose reply is lost.
    pub lost_replies: u32,
    /// The largest value of a record, in bytes.
    pub max_value_bytes: usize,
    /// Where the times are drawn from.
    pub seed: u64,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            strength: Strength::Linearizable,
            lease_ttl: Duration::from_secs(10),
            view_settle: Duration::from_secs(1),
            latency: Duration::ZERO,
            delay: Duration::ZERO,
            lost_replies: 0,
            max_value_bytes: 1024 * 1024 + 64 * 1024,
            seed: 0,
        }
    }
}

impl StoreConfig {
    /// What it promises, as the seam says it.
    pub fn capabilities(&self) -> Capabilities {
        let detection = self.lease_ttl + Duration::from_secs(1);
        let mut it = Capabilities::least(detection, self.view_settle);
        it.max_value_bytes = self.max_value_bytes;
        it.lease_ttl = Some(self.lease_ttl);
        let (strength, durability) = match self.strength {
            Strength::Linearizable => (Guarantee::Linearizable, Durability::Disk),
            Strength::BestEffort => (Guarantee::BestEffort, Durability::Server),
        };
        (it.claims, it.compare_and_set, it.durability) = (strength, strength, durability);
        it
    }
}

/// Names a stay in a store; given by the caller, and never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// What a client has for its member.
#[derive(Debug, Clone)]
pub enum Told {
    /// The session began.
    Joined(MemberId),
    /// The session did not come to be.
    Refused(MembershipError),
    /// The answer to a request; each gets one while its session is there.
    Answer(RequestId, Answer),
    /// The session's feed.
    Event(Event),
}

/// Something that will happen.
#[derive(Debug, Clone)]
enum Step {
    /// A join reaches the server.
    Join(SessionId),
    /// A joiner looks whether the old lease of its name was renewed.
    LookAgain(SessionId),
    /// The server's answer to a join reaches the client.
    Joined(Box<Client>, Vec<Event>),
    /// A join has had no answer for too long.
    JoinLost(SessionId, MembershipError),
    /// A request reaches the server.
    Arrive(Box<Call>),
    /// Its answer reaches the client; with the server's revision then.
    Reply(SessionId, RequestId, Answer, u64),
    /// A request has had no answer for too long.
    NoReply(SessionId, RequestId),
    /// A renewal, sent then, reaches the server.
    Renew(SessionId, u64, Timestamp),
    /// The answer of a server that does not know the lease reaches the client.
    LeaseGone(SessionId),
    /// Something else has had no answer for too long.
    Notice(SessionId),
    /// A client connects anew.
    Reconnect(SessionId, u64),
    /// The next commit is due at a watcher.
    Deliver(SessionId),
    /// The read of a snapshot reaches the server.
    Read(SessionId, u64),
    /// A snapshot reaches the client.
    Snapshot(SessionId, u64, Vec<Event>, u64),
    /// The server looks for expired leases.
    Sweep,
    /// The server has a leader again.
    Elected(u64),
}

/// A store and the clients of its sessions.
#[derive(Debug, Clone)]
pub struct StoreModel {
    config: StoreConfig,
    pace: Pace,
    server: Server,
    faults: Faults,
    joiners: BTreeMap<SessionId, Joiner>,
    clients: BTreeMap<SessionId, Client>,
    /// What processes remember between their sessions.
    memories: BTreeMap<BootId, Memory>,
    steps: BTreeMap<(Timestamp, u64), Step>,
    decided: u64,
    told: VecDeque<(SessionId, Told)>,
    sweeps_at: Option<Timestamp>,
    /// The highest epoch that there ever was: an operator looks it up where no member can.
    last_epoch: u64,
}

impl StoreModel {
    /// An empty store, to which its operator says that it is new (R18).
    pub fn new(config: StoreConfig) -> Self {
        let pace = Pace {
            draws: Draws::new(config.seed),
            latency: config.latency,
            delay: config.delay,
            slow: 1,
        };
        Self {
            server: Server::new(config.strength, config.lease_ttl),
            config,
            pace,
            faults: Faults::default(),
            joiners: BTreeMap::new(),
            clients: BTreeMap::new(),
            memories: BTreeMap::new(),
            steps: BTreeMap::new(),
            decided: 0,
            told: VecDeque::new(),
            sweeps_at: None,
            last_epoch: 0,
        }
    }

    /// What it promises.
    pub fn capabilities(&self) -> Capabilities {
        self.config.capabilities()
    }

    /// When the next thing happens in it that nobody asks for.
    pub fn next_step_at(&self) -> Option<Timestamp> {
        self.steps.first_key_value().map(|((at, _), _)| *at)
    }

    /// Lets the next thing happen, at its time.
    pub fn step(&mut self) {
        let Some(((at, _), step)) = self.steps.pop_first() else { return };
        match step {
            Step::Join(session) => self.join_arrives(at, session),
            Step::LookAgain(session) => self.look_again(at, session),
            Step::Joined(client, events) => self.joined(at, *client, events),
            Step::JoinLost(session, error) => self.refuse(session, error),
            Step::Arrive(call) => self.arrive(at, &call),
            Step::Reply(session, id, answer, revision) => {
                self.reply(at, session, id, answer, revision);
            }
            Step::NoReply(session, id) => self.no_reply(session, id),
            Step::Renew(session, chain, sent) => self.renew(at, session, chain, sent),
            Step::LeaseGone(session) => self.end(session),
            Step::Notice(session) => self.notice(session),
            Step::Reconnect(session, link) => self.reconnect(at, session, link),
            Step::Deliver(session) => self.deliver(at, session),
            Step::Read(session, read) => self.read(at, session, read),
            Step::Snapshot(session, read, events, revision) => {
                self.take_snapshot(at, session, read, events, revision);
            }
            Step::Sweep => self.sweep(at),
            Step::Elected(election) => self.elected(at, election),
        }
    }

    /// What clients have for their members, in order.
    pub fn poll_told(&mut self) -> Option<(SessionId, Told)> {
        self.told.pop_front()
    }

    /// Whether a lease was renewed in the last tenth of its time.
    pub(crate) const fn has_renewed_late(&self) -> bool {
        self.server.renewed_late
    }

    /// Whether the session may have more for its member.
    pub fn is_open(&self, session: SessionId) -> bool {
        self.joiners.contains_key(&session) || self.clients.contains_key(&session)
    }

    /// When the last renewal was sent that was acknowledged by now; the lease lasts for its time
    /// from then (R16).
    pub fn renewed(&self, now: Timestamp, session: SessionId) -> Option<Timestamp> {
        self.clients.get(&session).map(|client| client.renewed(now))
    }

    /// The first member of those that count which has not found out how its session stands, or has
    /// not read what it missed.
    pub fn unsettled(&self, counts: impl Fn(&MemberName) -> bool) -> Option<MemberName> {
        let mut clients = self.clients.values().filter(|client| counts(&client.id.name));
        let first = clients.find(|client| !client.is_settled(&self.server));
        first.map(|client| client.id.name.clone())
    }

    /// The shared record that the server has.
    pub fn record(&self, key: &Key) -> Option<&Record> {
        self.server.record(key)
    }

    /// Owned records of a live member, read from the server.
    ///
    /// # Errors
    /// `Unavailable` where the server cannot be asked, `SessionEnded` where the session has.
    pub fn owned(
        &self,
        session: SessionId,
        member: &MemberId,
        keys: &[Key],
    ) -> Result<Vec<Option<Bytes>>, MembershipError> {
        let client = self.clients.get(&session).ok_or(MembershipError::SessionEnded)?;
        if !client.can_read(&self.server) || !self.faults.is_reachable(&client.id.name) {
            return Err(unavailable("the store does not answer"));
        }
        Ok(keys.iter().map(|key| self.server.owned(member, key)).collect())
    }

    /// The members that the server has.
    pub fn members(&self) -> BTreeSet<MemberName> {
        self.server.members()
    }

    /// The claims that the server has, and who holds them.
    pub fn claims(&self) -> BTreeMap<Key, MemberId> {
        self.server.claims()
    }

    fn add(&mut self, at: Timestamp, step: Step) {
        self.steps.insert((at, self.decided), step);
        self.decided += 1;
    }

    fn tell(&mut self, session: SessionId, told: Told) {
        self.told.push_back((session, told));
    }

    fn tell_event(&mut self, session: SessionId, event: Event) {
        self.tell(session, Told::Event(event));
    }

    /// How long a client waits for an answer before it holds the connection to be broken.
    fn patience(&self) -> Duration {
        PATIENCE.min(self.config.lease_ttl / 2)
    }
}

/// The request did not run.
fn unavailable(reason: &str) -> MembershipError {
    MembershipError::Unavailable { backend: NAME, reason: reason.to_owned() }
}

/// The request may have run.
fn ambiguous(reason: &str) -> MembershipError {
    MembershipError::Ambiguous { backend: NAME, reason: reason.to_owned() }
}

/// The member has no access.
fn denied() -> MembershipError {
    MembershipError::Denied { backend: NAME, reason: "the credentials are refused".to_owned() }
}
