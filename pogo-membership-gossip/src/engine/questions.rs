//! Reading through: what others have, before something is decided on its absence (R3).

use std::collections::{BTreeMap, BTreeSet};

use pogo_core::{id::Scope, membership::MembershipError, node::Answer, record::Key};

use super::{CallId, Engine, LinkId, Output, agenda::Timer, records::parts, sessions::NAME};
use crate::{
    message::Message,
    peer::PeerId,
    shared::{ScopedKey, SyncMessage},
};

#[derive(Debug)]
struct Question {
    call: CallId,
    keys: Vec<ScopedKey>,
    missing: BTreeSet<PeerId>,
}

/// Questions without all answers yet.
#[derive(Debug, Default)]
pub(super) struct Questions {
    open: BTreeMap<u64, Question>,
    last: u64,
}

impl Engine {
    /// Asks every live peer for records; the newest of each is the answer.
    pub(super) fn ask(&mut self, scope: &Scope, keys: Vec<Key>, call: CallId) {
        let scoped = |key| ScopedKey { scope: scope.clone(), key };
        let keys: Vec<ScopedKey> = keys.into_iter().map(scoped).collect();
        let missing = self.askable();
        self.questions.last += 1;
        let id = self.questions.last;
        for peer in &missing {
            if let Some(link) = self.links.told(*peer) {
                self.send(link, Message::Get { question: id, keys: keys.clone() });
            }
        }
        self.questions.open.insert(id, Question { call, keys, missing });
        self.agenda.arm(Timer::Question(id), self.detected_by(self.now.mono));
        self.check_question(id);
    }

    /// Another peer asks.
    pub(super) fn on_get(&mut self, link: LinkId, question: u64, keys: Vec<ScopedKey>) {
        let found = keys.into_iter().filter_map(|key| Some((self.shared.get(&key)?.clone(), key)));
        let found: Vec<_> = found.map(|(record, key)| (key, record)).collect();
        for part in parts(found) {
            self.send(link, Message::Sync(SyncMessage::Records { records: part, last: false }));
        }
        self.send(link, Message::Answered(question));
    }

    pub(super) fn on_answered_question(&mut self, peer: PeerId, id: u64) {
        if let Some(question) = self.questions.open.get_mut(&id) {
            question.missing.remove(&peer);
            self.check_question(id);
        }
    }

    pub(super) fn forget_questions_to(&mut self, peer: PeerId) {
        let waiting = self.questions.open.iter_mut();
        let waiting = waiting.filter_map(|(id, it)| it.missing.remove(&peer).then_some(*id));
        let waiting: Vec<u64> = waiting.collect();
        for id in waiting {
            self.check_question(id);
        }
    }

    fn check_question(&mut self, id: u64) {
        if !self.questions.open.get(&id).is_some_and(|it| it.missing.is_empty()) {
            return;
        }
        self.agenda.disarm(Timer::Question(id));
        let Some(question) = self.questions.open.remove(&id) else { return };
        let records = question.keys.iter().map(|key| self.shared.get(key).cloned()).collect();
        self.emit(Output::Answer { call: question.call, answer: Answer::Got(records) });
    }

    pub(super) fn give_up_question(&mut self, id: u64) {
        let Some(question) = self.questions.open.remove(&id) else { return };
        let reason = format!("{} live members do not answer", question.missing.len());
        self.refuse(question.call, MembershipError::Unavailable { backend: NAME, reason });
    }
}
