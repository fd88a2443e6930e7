//! Requests of a session: the way to the server and back, and what goes wrong on it.

use bytes::Bytes;
use pogo_core::{
    id::{MemberId, RequestId},
    membership::{ClaimOutcome, MembershipError},
    node::{Answer, MembershipRequest},
    time::Timestamp,
};

use super::{SessionId, Step, StoreModel, Told, ambiguous, client::Open, denied, unavailable};

/// A request on its way.
#[derive(Debug, Clone)]
pub(super) struct Call {
    session: SessionId,
    link: u64,
    life: u64,
    member: MemberId,
    id: RequestId,
    request: MembershipRequest,
}

impl StoreModel {
    /// Sends what a session asks; the answer comes in time.
    pub fn request(
        &mut self,
        now: Timestamp,
        session: SessionId,
        id: RequestId,
        request: MembershipRequest,
    ) {
        let (pace, patience) = (self.pace, self.patience());
        let refused = self.check_size(&request);
        let Some(client) = self.clients.get_mut(&session) else {
            self.answer(session, id, MembershipError::SessionEnded);
            return;
        };
        if let Some(error) = refused {
            self.answer(session, id, error);
            return;
        }
        if !client.is_up {
            let error = if self.faults.is_denied(&client.id.name) {
                denied()
            } else {
                unavailable("the store does not answer")
            };
            self.answer(session, id, error);
            return;
        }
        let is_leave = matches!(request, MembershipRequest::Leave);
        client.open.insert(id, Open { sent: now, is_leave });
        let arrival = (now + client.line.way(&pace)).max(client.last_arrival);
        client.last_arrival = arrival;
        let (link, life, member) = (client.link, client.life, client.id.clone());
        let call = Call { session, link, life, member, id, request };
        self.add(arrival, Step::Arrive(Box::new(call)));
        if arrival >= now + patience {
            self.add(now + patience, Step::NoReply(session, id));
        }
    }

    fn check_size(&self, request: &MembershipRequest) -> Option<MembershipError> {
        let largest = match request {
            MembershipRequest::Publish(batch) => {
                batch.iter().filter_map(|it| it.value.as_ref()).map(Bytes::len).max()
            }
            MembershipRequest::Put(puts) => {
                puts.iter().filter_map(|it| it.record.value.as_ref()).map(Bytes::len).max()
            }
            _ => None,
        };
        let (len, max) = (largest.unwrap_or_default(), self.config.max_value_bytes);
        (len > max).then_some(MembershipError::TooLarge { len, max })
    }

    /// A request reaches the server, whether or not its sender still runs.
    pub(super) fn arrive(&mut self, at: Timestamp, call: &Call) {
        let Call { session, link, life, member, id, request } = call;
        let (session, id) = (*session, *id);
        let (pace, patience) = (self.pace, self.patience());
        let is_whole = self.clients.get(&session).is_none_or(|client| client.link == *link);
        // A server that came back with other data knows none of the connections from before.
        let arrives = is_whole && self.server.life == *life;
        if !arrives || !self.faults.is_reachable(&member.name) {
            self.lose_reply(at, session, id);
            return;
        }
        let answer = if self.faults.is_denied(&member.name) {
            Answer::Failed(denied())
        } else {
            let answer = self.server.apply(at, session, member, request);
            self.note_applied(session, request, &answer);
            self.wake_feeds(at);
            answer
        };
        let revision = self.server.revision;
        let Some(client) = self.clients.get_mut(&session) else { return };
        let Some(open) = client.open.get(&id) else { return };
        let sent = open.sent;
        let back = (at + client.line.way(&pace)).max(client.last_reply);
        client.last_reply = back;
        let lost_replies = self.config.lost_replies;
        let is_lost = client.line.chance("store reply", &pace, lost_replies);
        let answer = if is_lost { Answer::Failed(ambiguous("the reply was lost")) } else { answer };
        self.add(back, Step::Reply(session, id, answer, revision));
        if back >= sent + patience {
            self.add((sent + patience).max(at), Step::NoReply(session, id));
        }
    }

    /// Nothing more will be heard of a request.
    fn lose_reply(&mut self, at: Timestamp, session: SessionId, id: RequestId) {
        let sent = self.clients.get(&session).and_then(|client| client.open.get(&id));
        if let Some(sent) = sent.map(|open| open.sent) {
            self.add((sent + self.patience()).max(at), Step::NoReply(session, id));
        }
    }

    pub(super) fn reply(
        &mut self,
        at: Timestamp,
        session: SessionId,
        id: RequestId,
        answer: Answer,
        revision: u64,
    ) {
        let Some(client) = self.clients.get_mut(&session) else { return };
        if !client.open.contains_key(&id) {
            return;
        }
        if !self.faults.is_reachable(&client.id.name) {
            self.lose_reply(at, session, id);
            return;
        }
        client.known = client.known.max(revision);
        let has_left = client.open.remove(&id).is_some_and(|open| open.is_leave);
        if let Answer::Failed(MembershipError::Denied { .. }) = &answer {
            self.break_link(session, "access is denied");
        }
        self.tell(session, Told::Answer(id, answer));
        if has_left {
            self.clients.remove(&session);
        }
    }

    /// Takes note of claims that others hold, of which the feed tells when they are free; and of the
    /// session's end, of which its feed tells no more.
    fn note_applied(&mut self, session: SessionId, request: &MembershipRequest, answer: &Answer) {
        let Some(client) = self.clients.get_mut(&session) else { return };
        match (request, answer) {
            (MembershipRequest::Leave, Answer::Done) => client.has_left = true,
            (MembershipRequest::Acquire(keys), Answer::Acquired(outcomes)) => {
                for (key, outcome) in keys.iter().zip(outcomes) {
                    if matches!(outcome, ClaimOutcome::HeldBy { .. }) {
                        client.waiting.insert(key.clone());
                    } else {
                        client.waiting.remove(key);
                    }
                }
            }
            _ => {}
        }
    }

    /// A request has had no answer for too long: it may have run, and the connection is in doubt.
    pub(super) fn no_reply(&mut self, session: SessionId, id: RequestId) {
        let Some(client) = self.clients.get_mut(&session) else { return };
        let Some(open) = client.open.remove(&id) else { return };
        self.answer(session, id, ambiguous("no answer came in time"));
        if open.is_leave {
            self.clients.remove(&session);
        } else {
            self.notice(session);
        }
    }

    pub(super) fn answer(&mut self, session: SessionId, id: RequestId, error: MembershipError) {
        self.tell(session, Told::Answer(id, Answer::Failed(error)));
    }
}
