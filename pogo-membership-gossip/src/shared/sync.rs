//! Getting replicas into step: a walk down both hash trees to what differs, and a copy in pages.
//!
//! Nothing is remembered between messages. A session cut anywhere leaves both replicas with more
//! than before, and the next round begins at the root.

use std::iter;

use pogo_core::record::{Record, Stamp};

use super::{
    Merged, ScopedKey, SharedStore, SyncMessage,
    limits::{
        ANSWER_BYTES, LISTING_BYTES, MESSAGE_BYTES, PAGE_BYTES, is_legal, listed_bytes,
        record_bytes,
    },
    tree::{Hashes, LEVELS, Place},
};
use crate::peer::PeerId;

/// What a message brought, and what to answer.
#[derive(Debug, Default)]
pub struct Step {
    /// To send to its sender, in this order.
    pub replies: Vec<SyncMessage>,
    /// Records that are new here.
    pub applied: Vec<(ScopedKey, Record)>,
    /// Keys whose records are gone without a tombstone: they were deleted long ago (R19).
    pub gone: Vec<ScopedKey>,
    /// The replicas are found equal; or the round or copy that was begun here has come to its end:
    /// all that the peer had when it began is here.
    pub finished: bool,
}

/// The leaves of a listing, with what the sender has in each.
type Listing = Vec<(u16, Vec<(ScopedKey, Stamp)>)>;

impl SharedStore {
    /// The message that opens a round of comparison with a peer.
    pub fn compare(&self) -> SyncMessage {
        SyncMessage::Root { hash: self.root(), at: self.arrivals }
    }

    /// Takes a message of `from`. Late, repeated and senseless ones do no harm.
    pub fn sync(&mut self, from: PeerId, message: SyncMessage) -> Step {
        match message {
            SyncMessage::Root { hash, at } => self.on_root(from, hash, at),
            SyncMessage::Same { yours, mine } => self.on_same(from, yours, mine),
            SyncMessage::Children { depth, nodes } => self.on_children(from, depth, &nodes),
            SyncMessage::Leaves { seen, leaves, more } => self.on_leaves(from, seen, leaves, more),
            SyncMessage::Want { seen, keys, more } => self.on_want(from, seen, keys, more),
            SyncMessage::Records { records, last } => {
                let mut step = self.take(from, records);
                step.finished = last;
                step
            }
            SyncMessage::Pull(after) => self.on_pull(after.as_ref()),
            SyncMessage::Page { records, more } => self.on_page(from, records, more),
        }
    }

    fn on_root(&mut self, from: PeerId, hash: u64, at: u64) -> Step {
        if hash == self.root() || pogo_core::mutant::planted("comparison finds all equal") {
            self.found_equal(from, self.arrivals, at);
            let same = SyncMessage::Same { yours: at, mine: self.arrivals };
            return Step { finished: true, ..Step::reply(same) };
        }
        let nodes = vec![(0, self.tree().below(0, 0))];
        Step::reply(SyncMessage::Children { depth: 0, nodes })
    }

    fn on_same(&mut self, from: PeerId, yours: u64, mine: u64) -> Step {
        if yours > self.arrivals {
            return Step::ignored(from, "an answer to what was never asked");
        }
        self.found_equal(from, yours, mine);
        Step { finished: true, ..Step::default() }
    }

    /// One level down. Who began hears of depths 0 and 2, so it is the other that lists the leaves.
    fn on_children(&self, from: PeerId, depth: u8, nodes: &[(u16, Hashes)]) -> Step {
        let ascend = nodes.is_sorted_by(|a, b| a.0 < b.0);
        let within = |index: u16| u32::from(index) < 1 << (4 * u32::from(depth));
        if depth >= LEVELS || !ascend || !nodes.iter().all(|(index, _)| within(*index)) {
            return Step::ignored(from, "nodes that no tree has");
        }
        let differing = nodes.iter().flat_map(|(index, theirs)| {
            let (index, mine) = (*index, self.tree().below(depth, *index));
            mine.differing(*theirs).map(move |place| (index << 4) | place)
        });
        if depth + 1 == LEVELS {
            return Step::reply(self.list(from, differing));
        }
        let depth = depth + 1;
        let nodes: Vec<(u16, Hashes)> =
            differing.map(|index| (index, self.tree().below(depth, index))).collect();
        match (nodes.is_empty(), depth % 2) {
            (false, _) => Step::reply(SyncMessage::Children { depth, nodes }),
            // Equal meanwhile: who began is at the end, or is told so by an empty listing.
            (true, 1) => Step { finished: true, ..Step::default() },
            (true, _) => Step::reply(self.list(from, iter::empty())),
        }
    }

    fn list(&self, to: PeerId, differing: impl Iterator<Item = u16>) -> SyncMessage {
        let mut size = 0;
        let mut leaves: Listing = Vec::new();
        for leaf in differing {
            let keys = self.in_leaf(leaf);
            size += keys.iter().map(listed_bytes).sum::<usize>();
            if size > LISTING_BYTES && !leaves.is_empty() {
                return SyncMessage::Leaves {
                    seen: self.common_with(to).theirs,
                    leaves,
                    more: true,
                };
            }
            let listed = keys.iter().filter_map(|key| Some((key.clone(), self.get(key)?.stamp)));
            leaves.push((leaf, listed.collect()));
        }
        SyncMessage::Leaves { seen: self.common_with(to).theirs, leaves, more: false }
    }

    fn on_leaves(&mut self, from: PeerId, seen: u64, leaves: Listing, more: bool) -> Step {
        let legal = leaves.iter().all(|(leaf, listed)| is_listing(*leaf, listed));
        if !legal || !leaves.is_sorted_by(|a, b| a.0 < b.0) || seen > self.arrivals {
            return Step::ignored(from, "a listing of what is not in these leaves");
        }
        let mut step = Step::default();
        let mut parcel = Parcel::default();
        let mut keys = Vec::new();
        for (leaf, listed) in leaves {
            for key in self.in_leaf(leaf).to_vec() {
                let theirs = listed.binary_search_by(|(it, _)| it.cmp(&key)).ok();
                let theirs = theirs.and_then(|at| listed.get(at)).map(|(_, stamp)| *stamp);
                self.offer(key, theirs, seen, &mut parcel, &mut step.gone);
            }
            for (key, theirs) in listed {
                let mine = self.get(&key).map(|it| it.stamp);
                if mine.is_none_or(|mine| mine < theirs) {
                    keys.push((key, mine));
                }
            }
        }
        step.replies = parcel.into_messages(false);
        if keys.is_empty() {
            step.finished = !more;
        } else {
            let seen = self.common_with(from).theirs;
            step.replies.push(SyncMessage::Want { seen, keys, more });
        }
        step
    }

    fn on_want(
        &mut self,
        from: PeerId,
        seen: u64,
        keys: Vec<(ScopedKey, Option<Stamp>)>,
        more: bool,
    ) -> Step {
        if seen > self.arrivals {
            return Step::ignored(from, "a wish that knows of records to come");
        }
        let mut step = Step::default();
        let mut parcel = Parcel::default();
        for (key, theirs) in keys {
            self.offer(key, theirs, seen, &mut parcel, &mut step.gone);
        }
        let last = !more && !parcel.full;
        step.replies = parcel.into_messages(last);
        step
    }

    /// Parcels a record up where it is newer than what the peer has, or drops it where the peer
    /// once had it and has it no more (R19).
    fn offer(
        &mut self,
        key: ScopedKey,
        theirs: Option<Stamp>,
        seen: u64,
        parcel: &mut Parcel,
        gone: &mut Vec<ScopedKey>,
    ) {
        let Some(entry) = self.entry(&key) else { return };
        match theirs {
            None if entry.arrival <= seen => {
                self.erase(&key);
                gone.push(key);
            }
            Some(theirs) if theirs >= entry.record.stamp => {}
            None | Some(_) => parcel.add(key, &entry.record),
        }
    }

    fn on_pull(&self, after: Option<&ScopedKey>) -> Step {
        let mut size = 0;
        let mut records = Vec::new();
        for (key, record) in self.after(after) {
            size += record_bytes(&key, record);
            if size > PAGE_BYTES && !records.is_empty() {
                return Step::reply(SyncMessage::Page { records, more: true });
            }
            records.push((key, record.clone()));
        }
        Step::reply(SyncMessage::Page { records, more: false })
    }

    fn on_page(&mut self, from: PeerId, records: Vec<(ScopedKey, Record)>, more: bool) -> Step {
        let next = match records.last() {
            Some((key, _)) if more => Some(SyncMessage::Pull(Some(key.clone()))),
            None if more => return Step::ignored(from, "an empty page before others"),
            Some(_) | None => None,
        };
        let mut step = self.take(from, records);
        step.replies.extend(next);
        step.finished = !more;
        step
    }

    fn take(&mut self, from: PeerId, records: Vec<(ScopedKey, Record)>) -> Step {
        let mut step = Step::default();
        for (key, record) in records {
            if !is_legal(&key, &record) {
                tracing::debug!(?from, key = %key.key, "ignored a record that is too large");
            } else if self.merge(key.clone(), record.clone()) == Merged::Applied {
                step.applied.push((key, record));
            }
        }
        step
    }
}

impl Step {
    fn reply(message: SyncMessage) -> Self {
        Self { replies: vec![message], ..Self::default() }
    }

    fn ignored(from: PeerId, what: &'static str) -> Self {
        tracing::debug!(?from, what, "ignored a message");
        Self::default()
    }
}

/// Whether these are keys of that leaf, in their order.
fn is_listing(leaf: u16, listed: &[(ScopedKey, Stamp)]) -> bool {
    listed.is_sorted_by(|a, b| a.0 < b.0)
        && listed.iter().all(|(key, _)| Place::of(key).leaf() == leaf)
}

/// The records of one answer, cut into messages.
#[derive(Debug, Default)]
struct Parcel {
    messages: Vec<Vec<(ScopedKey, Record)>>,
    in_last: usize,
    in_all: usize,
    /// Some did not fit.
    full: bool,
}

impl Parcel {
    fn add(&mut self, key: ScopedKey, record: &Record) {
        let size = record_bytes(&key, record);
        if self.in_all > 0 && self.in_all + size > ANSWER_BYTES {
            self.full = true;
            return;
        }
        self.in_all += size;
        match self.messages.last_mut() {
            Some(message) if self.in_last + size <= MESSAGE_BYTES => {
                message.push((key, record.clone()));
                self.in_last += size;
            }
            Some(_) | None => {
                self.messages.push(vec![(key, record.clone())]);
                self.in_last = size;
            }
        }
    }

    /// `last`: whether the receiver has all that it asked for with these.
    fn into_messages(mut self, last: bool) -> Vec<SyncMessage> {
        if last && self.messages.is_empty() {
            self.messages.push(Vec::new());
        }
        let before = self.messages.len().saturating_sub(1);
        let marked = self.messages.into_iter().enumerate();
        marked
            .map(|(at, records)| SyncMessage::Records { records, last: last && at == before })
            .collect()
    }
}
