//! Messages of other peers, and keeping records in step with them.

use std::time::Duration;

use pogo_core::{membership::Event, record::Record};

use super::{Engine, LinkId, agenda::Timer};
use crate::{
    message::Message,
    owned::{Applied, Delta, Progress},
    peer::{Life, PeerId},
    shared::{Merged, ScopedKey, Step, SyncMessage, is_legal, record_bytes},
    swim::Via,
};

/// Pause between looks for tombstones that nobody needs any more.
pub(super) const COLLECT_INTERVAL: Duration = Duration::from_secs(600);

/// The size of a part of many records, in bytes.
const PART: usize = 256 * 1024;

impl Engine {
    pub(super) fn on_message(&mut self, link: LinkId, message: Message) {
        match (message, self.links.peer(link)) {
            (Message::Hello(hello), _) => self.on_hello(link, &hello),
            // Only a faulty peer speaks before it has said who it is.
            (_, None) => self.close(link),
            (message, Some(peer)) => self.on_message_of(peer, link, message),
        }
    }

    fn on_message_of(&mut self, peer: PeerId, link: LinkId, message: Message) {
        match message {
            Message::Hello(_) => self.close(link),
            Message::Swim(packet) => self.swim.packet(self.now.mono, Via::Link, packet),
            Message::Progress { of, others } => self.on_progress(peer, link, &of, others),
            Message::Owned(delta) => self.on_delta(peer, link, delta),
            Message::InStep => self.on_in_step(link),
            Message::OwnedAck(at) => self.on_owned_ack(peer, at),
            Message::Put { batch, records, more } => {
                self.merge_and_forward(link, records);
                if !more {
                    self.send(link, Message::PutAck(batch));
                }
            }
            Message::PutAck(batch) => self.on_put_ack(peer, batch),
            Message::Sync(message) => self.on_sync(peer, link, message),
            Message::Get { question, keys } => self.on_get(link, question, keys),
            Message::Answered(question) => self.on_answered_question(peer, question),
            Message::Ask(round) => self.on_ask(peer, link, round),
            Message::Counted(round) => self.on_counted(peer, round),
        }
    }

    fn on_progress(&mut self, peer: PeerId, link: LinkId, of: &[Progress], others: bool) {
        // What it has already it is not sent, so it does not acknowledge that.
        if let Some(mine) = of.iter().find(|it| it.owner == self.config.me) {
            self.on_owned_ack(peer, mine.at);
        }
        let deltas = if others {
            self.owned.deltas(of)
        } else {
            of.iter().flat_map(|it| self.owned.delta_since(it.owner, it.at)).collect()
        };
        let me = self.config.me;
        for delta in deltas {
            if delta.owner == me || self.is_alive(delta.owner) {
                self.send(link, Message::Owned(delta));
            }
        }
        self.send(link, Message::InStep);
        self.mark_told(link);
    }

    fn on_delta(&mut self, from: PeerId, link: LinkId, delta: Delta) {
        let (owner, before) = (delta.owner, self.owned.at(delta.owner));
        if self.swim.peer(owner).is_none() {
            return;
        }
        match self.owned.apply(link, delta) {
            Applied::Changes { updates } => {
                if self.shown.has_peer(owner) {
                    self.announce(owner, updates);
                } else {
                    self.show_if_known(owner);
                }
                self.forward_delta(link, owner, before);
            }
            Applied::Gap { at } => {
                let of = vec![Progress { owner, at }];
                return self.send(link, Message::Progress { of, others: false });
            }
            Applied::Known | Applied::Mine => {}
            Applied::Part => return,
        }
        if from == owner {
            let at = self.owned.at(owner);
            self.send(link, Message::OwnedAck(at));
        }
    }

    /// Where not everybody has a link to everybody, news goes on, once.
    fn forward_delta(&mut self, came_over: LinkId, owner: PeerId, before: u64) {
        if self.is_mesh() {
            return;
        }
        let deltas = self.owned.delta_since(owner, before);
        for (peer, link) in self.links.all_told() {
            if link != came_over && peer != owner {
                for delta in &deltas {
                    self.send(link, Message::Owned(delta.clone()));
                }
            }
        }
    }

    /// Merges records, tells the sessions of those that are new, and passes them on, once, where
    /// not everybody has a link to everybody.
    fn merge_and_forward(&mut self, came_over: LinkId, records: Vec<(ScopedKey, Record)>) {
        let mut applied = Vec::new();
        for (key, record) in records {
            if is_legal(&key, &record)
                && self.shared.merge(key.clone(), record.clone()) == Merged::Applied
            {
                applied.push((key, record));
            }
        }
        self.tell_shared(&applied, None);
        self.forward(came_over, &applied);
    }

    fn forward(&mut self, came_over: LinkId, records: &[(ScopedKey, Record)]) {
        if records.is_empty() || self.is_mesh() {
            return;
        }
        for (_, link) in self.links.all_told() {
            if link != came_over {
                self.send(
                    link,
                    Message::Sync(SyncMessage::Records { records: records.to_vec(), last: false }),
                );
            }
        }
    }

    fn on_sync(&mut self, peer: PeerId, link: LinkId, message: SyncMessage) {
        let is_page = matches!(message, SyncMessage::Page { .. });
        let Step { replies, applied, gone, finished } = self.shared.sync(peer, message);
        for reply in replies {
            self.send(link, Message::Sync(reply));
        }
        self.tell_shared(&applied, None);
        self.tell_gone(gone);
        self.forward(link, &applied);
        if is_page && finished {
            self.on_copied(link);
        } else if finished && self.forming.is_done() {
            self.links.mark_copied(link);
        }
    }

    fn tell_gone(&mut self, gone: Vec<ScopedKey>) {
        for ScopedKey { scope, key } in gone {
            self.tell(&scope, None, &Event::SharedGone(vec![key]));
        }
    }

    /// Compares all records with one other peer, so that whatever was lost is found.
    pub(super) fn compare(&mut self) {
        self.agenda.arm(Timer::Compare, self.now.mono + self.config.timing.compare_interval);
        if self.forming.is_done() {
            self.keep_neighbours();
        }
        let told = self.links.all_told();
        let pick = self.rng.below(told.len().max(1));
        if let Some((_, link)) = told.get(pick).copied()
            && self.forming.is_done()
        {
            let progress = self.owned.progress();
            self.send(link, Message::Progress { of: progress, others: true });
            let root = self.shared.compare();
            self.send(link, Message::Sync(root));
        }
    }

    /// Drops tombstones that nobody needs any more (R19).
    pub(super) fn collect(&mut self) {
        self.agenda.arm(Timer::Collect, self.now.mono + COLLECT_INTERVAL);
        // Who has left never returns under its id.
        let known = self.swim.peers().filter(|it| it.life != Life::Left);
        let known: Vec<PeerId> = known.map(|it| it.peer).collect();
        let gone = self.shared.collect(self.now.wall, &known);
        self.tell_gone(gone);
    }
}

/// Records in parts of which each fits well into a frame.
pub(super) fn parts(records: Vec<(ScopedKey, Record)>) -> Vec<Vec<(ScopedKey, Record)>> {
    let mut parts: Vec<Vec<_>> = vec![Vec::new()];
    let mut size = 0;
    for (key, record) in records {
        let len = record_bytes(&key, &record);
        if size > 0 && size + len > PART {
            parts.push(Vec::new());
            size = 0;
        }
        size += len;
        if let Some(part) = parts.last_mut() {
            part.push((key, record));
        }
    }
    parts
}
