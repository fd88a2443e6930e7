//! Writes that wait until others have them (R3).
//!
//! A write is answered once every live peer has acknowledged it, or after 100 ms at least one has
//! that bears a member; at once where there is nobody else. Where nobody answers for as long as it
//! takes to find them dead, and they are not, it may or may not stand. A shared write that was
//! answered is followed up for as long, so that a member does not leave before it is known.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    time::Duration,
};

use bytes::Bytes;
use pogo_core::{
    id::{BootId, Scope},
    membership::{Event, MembershipError, Put, PutOutcome},
    node::Answer,
    record::{Key, Record},
    time::Timestamp,
};

use super::{
    CallId, Engine, LinkId, SessionId,
    agenda::Timer,
    records::parts,
    sessions::{NAME, too_large},
    shown::Shown,
};
use crate::{
    message::Message,
    owned::OwnedKey,
    peer::PeerId,
    shared::{Merged, ScopedKey},
};

/// After this long one acknowledgement is enough.
const FOR_ALL: Duration = Duration::from_millis(100);
/// So long a leave waits for what was written before it to be known everywhere.
const BEFORE_LEAVE: Duration = Duration::from_secs(4);

/// Who waits for a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiter {
    /// A session's request.
    Call(CallId),
    /// A joining session that has published itself, at this try.
    Name(SessionId, u64),
    /// Nobody.
    Nobody,
}

#[derive(Debug)]
struct Write {
    waiter: Waiter,
    what: What,
    began: Timestamp,
    /// Live peers that have not acknowledged it.
    missing: BTreeSet<PeerId>,
    /// Live peers that have.
    acked: BTreeSet<PeerId>,
}

#[derive(Debug)]
enum What {
    /// Own records up to this number.
    Owned(u64),
    /// Shared records, and what to answer.
    Shared { records: Vec<(ScopedKey, Record)>, outcomes: Vec<PutOutcome> },
}

impl Write {
    const fn is_shared(&self) -> bool {
        matches!(self.what, What::Shared { .. })
    }

    /// Whether it outlives its writer. A peer that has not joined yet may be refused (its name is
    /// taken) and end with what it has, also after it has published itself.
    fn is_kept(&self, shown: &Shown) -> bool {
        self.acked.iter().any(|peer| match self.what {
            What::Owned(_) => shown.bears_member(*peer),
            What::Shared { .. } => shown.bears_settled_member(*peer),
        })
    }
}

impl What {
    /// The answer, once.
    fn answer(&mut self) -> Answer {
        match self {
            Self::Owned(_) => Answer::Done,
            Self::Shared { outcomes, .. } => Answer::Put(mem::take(outcomes)),
        }
    }
}

/// A session that is to leave once the writes up to one are known.
#[derive(Debug)]
struct Leaving {
    session: SessionId,
    call: CallId,
    after: u64,
}

/// Writes that some peer has not acknowledged yet.
#[derive(Debug, Default)]
pub(super) struct Writes {
    open: BTreeMap<u64, Write>,
    last: u64,
    /// Up to which number each peer has acknowledged this one's own records.
    acked: BTreeMap<PeerId, u64>,
    leaving: Vec<Leaving>,
}

impl Engine {
    /// Publishes own records.
    pub(super) fn publish(&mut self, updates: Vec<(OwnedKey, Option<Bytes>)>, waiter: Waiter) {
        let before = self.owned.at(self.config.me);
        let at = self.owned.publish(updates.clone());
        if at != before {
            self.swim.set_owned(at);
            self.announce(self.config.me, updates);
            let deltas = self.owned.delta_since(self.config.me, before);
            for (_, link) in self.links.all_told() {
                for delta in &deltas {
                    self.send(link, Message::Owned(delta.clone()));
                }
            }
        }
        self.await_acks(waiter, What::Owned(at));
    }

    pub(super) fn on_put(&mut self, scope: &Scope, author: BootId, puts: Vec<Put>, call: CallId) {
        let size = too_large(puts.iter().map(|put| (&put.key, &put.record.value)));
        if let Some(error) = size.or_else(|| self.skew.check_jump(self.now).err()) {
            return self.refuse(call, error);
        }
        let mut written = Vec::new();
        let mut outcomes = Vec::with_capacity(puts.len());
        for Put { key, record, .. } in puts {
            let scoped = ScopedKey { scope: scope.clone(), key };
            let outcome = self.put_one(&scoped, &record);
            if outcome == PutOutcome::Applied {
                written.push((scoped, record));
            }
            outcomes.push(outcome);
        }
        self.tell_shared(&written, Some(author));
        let what = What::Shared { records: written.clone(), outcomes };
        let write = self.await_acks(Waiter::Call(call), what);
        if let Some(write) = write {
            for (_, link) in self.links.all_told() {
                self.send_batch(link, write, written.clone());
            }
        }
    }

    fn send_batch(&mut self, link: LinkId, batch: u64, records: Vec<(ScopedKey, Record)>) {
        let mut parts = parts(records).into_iter().peekable();
        while let Some(records) = parts.next() {
            let more = parts.peek().is_some();
            self.send(link, Message::Put { batch, records, more });
        }
    }

    /// A record that stands here already is written again: the others may not have it yet. What
    /// the writer expects beyond that needs compare-and-set, which gossip has not.
    fn put_one(&mut self, key: &ScopedKey, record: &Record) -> PutOutcome {
        match self.shared.merge(key.clone(), record.clone()) {
            Merged::Applied | Merged::Known => PutOutcome::Applied,
            Merged::Stale => PutOutcome::Stale { current: self.shared.get(key).cloned() },
        }
    }

    /// Tells the sessions of shared records that are new here.
    pub(super) fn tell_shared(&mut self, records: &[(ScopedKey, Record)], author: Option<BootId>) {
        let mut by_scope: BTreeMap<&Scope, Vec<(Key, Record)>> = BTreeMap::new();
        for (key, record) in records {
            by_scope.entry(&key.scope).or_default().push((key.key.clone(), record.clone()));
        }
        for (scope, records) in by_scope {
            self.tell(scope, author, &Event::Shared(records));
        }
    }

    /// Answers at once where nobody has to acknowledge; else names the write that waits.
    fn await_acks(&mut self, waiter: Waiter, what: What) -> Option<u64> {
        let mut missing = self.askable();
        if pogo_core::mutant::planted("write accepted in one's own hands") {
            missing.clear();
        }
        match &what {
            What::Shared { records, .. } if records.is_empty() => missing.clear(),
            What::Shared { .. } => {}
            // What changes nothing is not sent again, so nobody would acknowledge it again.
            What::Owned(at) => {
                let acked = &self.writes.acked;
                missing.retain(|peer| acked.get(peer).copied().unwrap_or_default() < *at);
            }
        }
        let write = Write { waiter, what, began: self.now.mono, missing, acked: BTreeSet::new() };
        if write.missing.is_empty() {
            self.finish(write);
            return None;
        }
        self.writes.last += 1;
        let id = self.writes.last;
        self.writes.open.insert(id, write);
        self.agenda.arm(Timer::Write(id), self.now.mono + FOR_ALL);
        Some(id)
    }

    /// The live peers that can be expected to answer: all in a mesh, else those with a link.
    pub(super) fn askable(&self) -> BTreeSet<PeerId> {
        let is_mesh = self.is_mesh();
        let askable = |peer: &PeerId| {
            self.links.told(*peer).is_some() || (is_mesh && self.shown.has_peer(*peer))
        };
        self.alive().filter(askable).collect()
    }

    fn finish(&mut self, mut write: Write) {
        let answer = write.what.answer();
        self.answer(write.waiter, answer);
    }

    /// A peer has merged a batch of shared records.
    pub(super) fn on_put_ack(&mut self, peer: PeerId, batch: u64) {
        self.ack(batch, peer);
    }

    /// A peer has this one's own records up to a number.
    pub(super) fn on_owned_ack(&mut self, peer: PeerId, at: u64) {
        let at = at.min(self.owned.at(self.config.me));
        let acked = self.writes.acked.entry(peer).or_default();
        *acked = at.max(*acked);
        let is_known = |it: &Write| matches!(it.what, What::Owned(number) if number <= at);
        let known = self.writes.open.iter().filter(|(_, it)| is_known(it));
        let known: Vec<u64> = known.map(|(id, _)| *id).collect();
        for id in known {
            self.ack(id, peer);
        }
    }

    fn ack(&mut self, id: u64, peer: PeerId) {
        if let Some(write) = self.writes.open.get_mut(&id)
            && write.missing.remove(&peer)
        {
            write.acked.insert(peer);
            self.check_write(id);
        }
    }

    /// A peer is dead or has left: nothing waits for it.
    pub(super) fn forget_writes_of(&mut self, peer: PeerId) {
        self.writes.acked.remove(&peer);
        let waiting = self.writes.open.iter_mut();
        let waiting = waiting.filter_map(|(id, it)| {
            it.acked.remove(&peer);
            it.missing.remove(&peer).then_some(*id)
        });
        let waiting: Vec<u64> = waiting.collect();
        for id in waiting {
            self.check_write(id);
        }
    }

    /// Where all who were asked are gone without having it, those who came meanwhile are asked.
    fn ask_newcomers(&mut self, id: u64) {
        let is_lost = |it: &Write| it.missing.is_empty() && !it.is_kept(&self.shown);
        if !self.writes.open.get(&id).is_some_and(is_lost) {
            return;
        }
        let newcomers = self.askable();
        let acked = &self.writes.acked;
        let Some(write) = self.writes.open.get_mut(&id) else { return };
        let (known, missing): (BTreeSet<PeerId>, BTreeSet<PeerId>) =
            newcomers.into_iter().partition(|peer| match write.what {
                What::Owned(at) => acked.get(peer).is_some_and(|acked| *acked >= at),
                What::Shared { .. } => write.acked.contains(peer),
            });
        write.acked.extend(known);
        write.missing.clone_from(&missing);
        for peer in missing {
            self.repeat_for(peer);
        }
    }

    pub(super) fn check_write(&mut self, id: u64) {
        self.ask_newcomers(id);
        let Some(write) = self.writes.open.get(&id) else { return };
        let (began, is_shared) = (write.began, write.is_shared());
        let waited = self.now.mono.since(began);
        let patience = self.config.timing.detection * 2;
        let is_everywhere = write.missing.is_empty();
        let is_accepted = is_everywhere || (waited >= FOR_ALL && write.is_kept(&self.shown));
        if is_accepted {
            self.accept(id);
        }
        // Links may be slow to bring what an accepted write was not yet acknowledged for.
        let patience = match is_accepted {
            true if is_shared => patience.max(BEFORE_LEAVE),
            true => Duration::ZERO,
            false => patience,
        };
        if !is_everywhere && waited < patience {
            if !self.agenda.is_armed(Timer::Write(id)) {
                self.agenda.arm(Timer::Write(id), began + patience);
            }
            return;
        }
        self.agenda.disarm(Timer::Write(id));
        let Some(write) = self.writes.open.remove(&id) else { return };
        match write.waiter {
            Waiter::Call(call) => {
                self.tell_writer(&write.what);
                let reason = "no other member has acknowledged it".to_owned();
                self.refuse(call, MembershipError::Ambiguous { backend: NAME, reason });
            }
            Waiter::Name(..) | Waiter::Nobody => self.finish(write),
        }
        self.leave_if_known();
    }

    /// A writer learns from the answer that its records stand. Where that leaves it open, they may
    /// stand all the same, and all others hear of them.
    fn tell_writer(&mut self, what: &What) {
        if let What::Shared { records, .. } = what {
            let stands = |it: &&(ScopedKey, Record)| self.shared.get(&it.0) == Some(&it.1);
            let standing: Vec<_> = records.iter().filter(stands).cloned().collect();
            self.tell_shared(&standing, None);
        }
    }

    /// Answers who waits for a write; a shared one may be on its way to some still.
    fn accept(&mut self, id: u64) {
        let Some(write) = self.writes.open.get_mut(&id) else { return };
        let waiter = mem::replace(&mut write.waiter, Waiter::Nobody);
        let answer = write.what.answer();
        self.answer(waiter, answer);
    }

    /// A session leaves once all have what was written here: its children's next owners start them
    /// as soon as it has left, and look for their states (R9).
    pub(super) fn on_leave(&mut self, session: SessionId, call: CallId) {
        self.writes.leaving.push(Leaving { session, call, after: self.writes.last });
        self.agenda.arm(Timer::Leave, self.now.mono + BEFORE_LEAVE);
        self.leave_if_known();
    }

    fn leave_if_known(&mut self) {
        if self.writes.leaving.is_empty() {
            return;
        }
        let shared = self.writes.open.iter().find(|(_, it)| it.is_shared()).map(|(id, _)| *id);
        let is_known = |it: &Leaving| shared.is_none_or(|first| first > it.after);
        let (known, waiting) = mem::take(&mut self.writes.leaving).into_iter().partition(is_known);
        self.writes.leaving = waiting;
        self.leave_all(known);
    }

    /// A leave has waited long enough.
    pub(super) fn leave_at_last(&mut self) {
        let all = mem::take(&mut self.writes.leaving);
        self.leave_all(all);
    }

    fn leave_all(&mut self, all: Vec<Leaving>) {
        for Leaving { session, call, .. } in all {
            self.leave(session, call);
        }
    }

    /// One of several links to a peer broke: what it carried goes over another.
    pub(super) fn repeat_all_for(&mut self, peer: PeerId) {
        let Some(link) = self.links.told(peer) else { return };
        let acked = self.writes.acked.get(&peer).copied().unwrap_or_default();
        for delta in self.owned.delta_since(self.config.me, acked) {
            self.send(link, Message::Owned(delta));
        }
        self.repeat_for(peer);
    }

    /// A link to a peer stands: what it has not acknowledged is sent again.
    pub(super) fn repeat_for(&mut self, peer: PeerId) {
        let Some(link) = self.links.told(peer) else { return };
        let batches: Vec<_> = self
            .writes
            .open
            .iter()
            .filter_map(|(id, it)| match &it.what {
                What::Shared { records, .. } if it.missing.contains(&peer) => {
                    Some((*id, records.clone()))
                }
                What::Shared { .. } | What::Owned(_) => None,
            })
            .collect();
        for (batch, records) in batches {
            self.send_batch(link, batch, records);
        }
    }
}
