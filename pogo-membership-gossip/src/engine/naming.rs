//! The last steps of a join: a name (R13), and the others' knowledge of it.
//!
//! A session publishes itself under the name that it wishes for and waits until the others know.
//! Of two that do so at once the later one stays, by incarnation and boot id, on every side; the
//! other takes the next suffix, or is refused.

use pogo_core::{
    id::{Incarnation, MemberId, MemberName},
    membership::{MemberInfo, MemberStatus, MembershipError, NameChoice},
    time::Timestamp,
};

use super::{
    Engine, Output, SessionId, Target,
    agenda::Timer,
    sessions::{State, wished},
    writes::Waiter,
};

/// A session on its way to a name.
#[derive(Debug)]
pub(super) struct Attempt {
    choice: NameChoice,
    /// The number after the wished name; 1 is none. It never comes twice, so it names the try.
    suffix: u64,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It waits for the cluster.
    Waiting,
    /// The name belongs to a member of which it is not known whether it lives.
    Doubting { until: Timestamp },
    /// It has published itself and waits until the others know.
    Published,
    /// It was published, and another start has the name.
    Lost,
}

impl Attempt {
    pub(super) const fn new(choice: NameChoice) -> Self {
        Self { choice, suffix: 1, step: Step::Waiting }
    }

    /// Another start has the name.
    pub(super) const fn lose(&mut self) {
        self.step = Step::Lost;
    }

    fn name(&self) -> Result<MemberName, MembershipError> {
        let name = wished(&self.choice);
        if self.suffix == 1 {
            return Ok(name.clone());
        }
        Ok(MemberName::new(format!("{name}-{}", self.suffix))?)
    }
}

/// Whether a name is free.
enum Holder {
    Nobody,
    Alive,
    /// Its peer has not been heard of for as long as this one looks.
    Doubtful,
}

impl Engine {
    /// Brings joining sessions as far as they can go; answers whether anything changed.
    pub(super) fn advance_joins(&mut self) -> bool {
        let joining = self.sessions.joining();
        if joining.is_empty() || !self.forming.is_done() || !self.has_gathered() {
            return false;
        }
        let mut changed = false;
        for session in joining {
            changed |= self.try_name(session);
        }
        changed
    }

    fn try_name(&mut self, id: SessionId) -> bool {
        let Some((step, name)) = self.attempt(id).map(|it| (it.step, it.name())) else {
            return false;
        };
        if step == Step::Published {
            return false;
        }
        let name = match name {
            Ok(name) => name,
            Err(error) => return self.fail_join(id, error),
        };
        if step == Step::Lost {
            return self.next_name(id, name);
        }
        match self.holder(id, &name) {
            Holder::Alive => self.next_name(id, name),
            Holder::Doubtful => match step {
                Step::Doubting { until } if until <= self.now.mono => self.take_name(id, name),
                Step::Doubting { .. } => false,
                Step::Waiting | Step::Published | Step::Lost => {
                    let until = self.detected_by(self.now.mono);
                    self.set_step(id, Step::Doubting { until });
                    self.dial_holder(id, &name);
                    self.agenda.arm(Timer::Naming(id), until);
                    true
                }
            },
            Holder::Nobody => self.take_name(id, name),
        }
    }

    fn attempt(&self, id: SessionId) -> Option<&Attempt> {
        match &self.sessions.get(id)?.state {
            State::Joining(attempt) => Some(attempt),
            State::Live(_) | State::Ended => None,
        }
    }

    fn set_step(&mut self, id: SessionId, step: Step) {
        if let Some(session) = self.sessions.get_mut(id)
            && let State::Joining(attempt) = &mut session.state
        {
            attempt.step = step;
        }
    }

    fn holder(&self, id: SessionId, name: &MemberName) -> Holder {
        let Some(session) = self.sessions.get(id) else { return Holder::Nobody };
        match self.shown.holder(&session.scope, name) {
            Some(holder) if holder.info.id.boot == session.boot => Holder::Nobody,
            Some(holder) if holder.peer == self.config.me => Holder::Alive,
            Some(holder) if self.links.is_in_step_with(holder.peer) => Holder::Alive,
            Some(_) => Holder::Doubtful,
            None => Holder::Nobody,
        }
    }

    /// Looks whether the peer with a name answers.
    fn dial_holder(&mut self, id: SessionId, name: &MemberName) {
        let holder = self.sessions.get(id).and_then(|it| self.shown.holder(&it.scope, name));
        let holder = holder.and_then(|it| self.swim.peer(it.peer));
        if let Some(addr) = holder.map(|it| it.addr) {
            self.dial(Target::Peer(addr));
        }
    }

    /// The name is taken: the next one is tried where that is allowed.
    fn next_name(&mut self, id: SessionId, taken: MemberName) -> bool {
        let retry = match self.sessions.get_mut(id).map(|it| &mut it.state) {
            Some(State::Joining(attempt)) => {
                attempt.suffix = attempt.suffix.saturating_add(1);
                attempt.step = Step::Waiting;
                matches!(attempt.choice, NameChoice::Suffixed(_))
            }
            Some(State::Live(_) | State::Ended) | None => return false,
        };
        if retry {
            return true;
        }
        self.fail_join(id, MembershipError::NameTaken { name: taken })
    }

    pub(super) fn fail_join(&mut self, id: SessionId, error: MembershipError) -> bool {
        if let Some(session) = self.sessions.remove(id) {
            self.agenda.disarm(Timer::Naming(id));
            let (scope, boot) = (session.scope, session.boot);
            // Another session of the same start may have published itself under the key.
            if self.sessions.of(&scope, boot).is_none() {
                self.publish_gone(&scope, boot, None, Waiter::Nobody);
            }
            self.emit(Output::JoinFailed { session: id, error });
        }
        true
    }

    fn take_name(&mut self, id: SessionId, name: MemberName) -> bool {
        let Some(session) = self.sessions.get(id) else { return false };
        let (scope, boot) = (session.scope.clone(), session.boot);
        let metadata = std::sync::Arc::clone(&session.metadata);
        let seen = self.shown.incarnation(&scope, &name).next();
        let incarnation = Incarnation::new(self.now.wall.as_millis()).max(seen);
        let member = MemberId { name, incarnation, boot };
        let info = MemberInfo { id: member, status: MemberStatus::Joining, metadata };
        let Some(suffix) = self.attempt(id).map(|it| it.suffix) else { return false };
        self.set_step(id, Step::Published);
        self.publish_joined(id, &scope, info, Waiter::Name(id, suffix));
        true
    }

    /// The others know of a session that has published itself.
    pub(super) fn name_is_known(&mut self, id: SessionId, suffix: u64) {
        let attempt = self.attempt(id).filter(|it| it.suffix == suffix);
        let is_published = attempt.is_some_and(|it| it.step == Step::Published);
        let Some(session) = self.sessions.get_mut(id).filter(|_| is_published) else { return };
        let Some(announced) = self.shown.member(&session.scope, session.boot) else { return };
        let info = announced.info.clone();
        let me = info.id.clone();
        session.state = State::Live(info);
        self.emit(Output::Joined { session: id, me });
        self.send_snapshot(id);
    }
}
