//! A member's adapter to the store: what it knows of its session.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use pogo_core::{
    id::{BootId, Incarnation, MemberId, MemberName, RequestId},
    membership::{Event, OwnedUpdate},
    record::Key,
    time::Timestamp,
};

use super::{
    SessionId,
    keys::{Commit, Path, Value},
    server::Server,
};
use crate::draw::Draws;

/// How fast the store is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) draws: Draws,
    pub(super) latency: Duration,
    pub(super) delay: Duration,
    /// By how much everything takes longer.
    pub(super) slow: u32,
}

/// Who draws times: a process, and how often it did.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) name: MemberName,
    pub(super) boot: BootId,
    drawn: u64,
}

impl Line {
    /// The line of a process' join of this number: no two joins draw the same.
    pub(super) const fn new(name: MemberName, boot: BootId, join: u64) -> Self {
        Self { name, boot, drawn: join << 32 }
    }

    fn next(&mut self) -> u64 {
        self.drawn += 1;
        u64::try_from(self.boot.bits() >> 64).unwrap_or_default().wrapping_add(self.drawn)
    }

    /// The time of one way between client and server.
    pub(super) fn way(&mut self, pace: &Pace) -> Duration {
        let counter = self.next();
        let mean = pace.latency / 2 * pace.slow;
        pace.draws.exponential("store way", self.name.as_str(), counter, mean)
    }

    /// The time from a commit to its event.
    pub(super) fn feed_delay(&mut self, pace: &Pace) -> Duration {
        self.below("store feed", pace, pace.delay * 2 * pace.slow)
    }

    pub(super) fn below(&mut self, purpose: &str, pace: &Pace, bound: Duration) -> Duration {
        if bound.is_zero() {
            return bound;
        }
        let counter = self.next();
        let bound = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(pace.draws.below(purpose, self.name.as_str(), counter, bound))
    }

    pub(super) fn chance(&mut self, purpose: &str, pace: &Pace, per_mille: u32) -> bool {
        let counter = self.next();
        per_mille > 0 && pace.draws.chance(purpose, self.name.as_str(), counter, per_mille)
    }
}

/// What a process remembers between its sessions.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    /// How often it tried to join.
    pub(super) joins: u64,
    /// The highest epoch that it ever saw.
    pub(super) epoch: Option<u64>,
    /// The life of the server of which it last read a whole snapshot.
    pub(super) life: Option<u64>,
    pub(super) incarnation: Incarnation,
    /// Its last lease: what stands under it goes when it joins again.
    pub(super) lease: Option<SessionId>,
    /// Whether its member was last told that the store is out of reach.
    pub(super) is_degraded: bool,
}

/// A request without its answer yet.
#[derive(Debug, Clone)]
pub(super) struct Open {
    pub(super) sent: Timestamp,
    pub(super) is_leave: bool,
}

/// One session's client.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) session: SessionId,
    pub(super) id: MemberId,
    pub(super) line: Line,
    /// The life of the server that it joined.
    pub(super) life: u64,
    /// Whether it holds the connection to be whole.
    pub(super) is_up: bool,
    /// Counts connections: what a broken one carried is lost.
    pub(super) link: u64,
    /// It has left, and only waits to be told so.
    pub(super) has_left: bool,
    /// Its process does not run for a while.
    pub(super) is_paused: bool,
    /// Counts the chains of renewals, of which one goes on.
    pub(super) chain: u64,
    acknowledged: Timestamp,
    /// Renewals under way: when each is acknowledged, and when it was sent.
    acks: VecDeque<(Timestamp, Timestamp)>,
    pub(super) open: BTreeMap<RequestId, Open>,
    /// No request overtakes another.
    pub(super) last_arrival: Timestamp,
    pub(super) last_reply: Timestamp,
    /// The highest revision that an answer told of.
    pub(super) known: u64,
    /// The revision that its feed tells next.
    pub(super) next: u64,
    /// No event overtakes another.
    pub(super) last_due: Timestamp,
    /// When its next commit is due, and which that is.
    pub(super) due: Option<(Timestamp, u64)>,
    /// Counts snapshots.
    pub(super) reads: u64,
    /// The snapshot that it waits for.
    pub(super) reading: Option<u64>,
    /// `Synced` is told once the feed has told this revision.
    pub(super) syncs_at: Option<u64>,
    /// Claims that it was told others hold.
    pub(super) waiting: BTreeSet<Key>,
}

/// What a commit means for a member.
#[derive(Debug)]
pub(super) enum Heard {
    /// These events.
    Events(Vec<Event>),
    /// Its own presence is gone.
    Evicted,
}

impl Client {
    pub(super) fn new(session: SessionId, id: MemberId, line: Line, sent: Timestamp) -> Self {
        Self {
            session,
            id,
            line,
            life: 0,
            is_up: true,
            link: 0,
            has_left: false,
            is_paused: false,
            chain: 0,
            acknowledged: sent,
            acks: VecDeque::new(),
            open: BTreeMap::new(),
            last_arrival: Timestamp::ZERO,
            last_reply: Timestamp::ZERO,
            known: 0,
            next: 0,
            last_due: Timestamp::ZERO,
            due: None,
            reads: 0,
            reading: None,
            syncs_at: None,
            waiting: BTreeSet::new(),
        }
    }

    /// Whether its feed goes on: its connection is whole, and to the server that it joined.
    pub(super) const fn can_read(&self, server: &Server) -> bool {
        self.is_up && !self.has_left && !self.is_paused && self.life == server.life
    }

    /// Whether it is connected, its session is there, and its feed is at the end of the log.
    pub(super) fn is_settled(&self, server: &Server) -> bool {
        self.can_read(server)
            && self.reading.is_none()
            && self.syncs_at.is_none()
            && self.next > server.revision
            && server.is_open(&self.id, self.session)
    }

    /// When the last renewal was sent that was acknowledged by now.
    pub(super) fn renewed(&self, now: Timestamp) -> Timestamp {
        let acked = self.acks.iter().filter(|(at, _)| *at <= now).map(|(_, sent)| *sent);
        acked.max().map_or(self.acknowledged, |sent| sent.max(self.acknowledged))
    }

    /// A renewal was applied; its answer comes at `at`.
    pub(super) fn await_ack(&mut self, now: Timestamp, at: Timestamp, sent: Timestamp) {
        self.acknowledged = self.renewed(now);
        self.acks.retain(|(at, _)| *at > now);
        self.acks.push_back((at, sent));
    }

    /// What a commit means for this member.
    pub(super) fn hear(&mut self, commit: &Commit) -> Heard {
        let mut events = Vec::new();
        let (mut shared, mut owned, mut freed) = (Vec::new(), Vec::new(), Vec::new());
        for change in &commit.changes {
            let after = change.after.as_ref().map(|entry| &entry.value);
            let before = change.before.as_ref().map(|entry| &entry.value);
            match (&change.path, after, before) {
                (Path::Member(_), Some(Value::Member(info)), _) => {
                    events.push(Event::MemberUp(info.clone()));
                }
                (Path::Member(_), None, Some(Value::Member(info))) if info.id == self.id => {
                    return Heard::Evicted;
                }
                (Path::Member(_), None, Some(Value::Member(info))) => {
                    events.push(Event::MemberDown(info.id.clone(), commit.why));
                }
                (Path::Shared(key), Some(Value::Shared(record)), _) => {
                    shared.push((key.clone(), record.clone()));
                }
                (Path::Owned(name, key), value, _) if *name != self.id.name => {
                    let value = match value {
                        Some(Value::Owned(value)) => Some(value.clone()),
                        _ => None,
                    };
                    owned.push(OwnedUpdate { key: key.clone(), value });
                }
                (Path::Claim(key), None, _) if self.waiting.remove(key) => freed.push(key.clone()),
                _ => {}
            }
        }
        if !shared.is_empty() {
            events.push(Event::Shared(shared));
        }
        // Without an author they went with their owner, whose end tells that.
        if let Some(author) = commit.author.as_ref().filter(|_| !owned.is_empty()) {
            events.push(Event::Owned(author.clone(), owned));
        }
        if !freed.is_empty() {
            events.push(Event::ClaimFree(freed));
        }
        Heard::Events(events)
    }
}
