//! Clients: they ask members, keep asking until they have a clear answer, and tell the oracle.

use std::{collections::BTreeMap, time::Duration};

use pogo_core::{
    id::{ChildId, Kind, MemberName, RequestId},
    node::{Reply, Request, RequestError, StartChildError, StartMode, Started, Terminated},
    spec::ChildSpec,
};

use super::{World, agenda::Happening};
use crate::{
    fact::Fact,
    oracle::{ChangeIndex, Outcome},
    plan::{ChildPlan, KIND},
};

/// How often a client asks before it gives up.
const TRIES: u32 = 40;
/// How long it waits between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// What a client wants, with the number of the try.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) want: Want,
    pub(super) tries: u32,
}

#[derive(Debug, Clone)]
pub(crate) enum Want {
    /// A child of a user, as it is.
    Spec(Box<ChildSpec>, StartMode),
    Start {
        children: Vec<ChildId>,
        plan: ChildPlan,
        mode: StartMode,
    },
    Terminate(ChildId),
    Restart(ChildId),
    Cordon(MemberName),
    Uncordon(MemberName),
    /// Asked of the member itself; never of another one.
    Drain(Duration),
}

/// An open request.
#[derive(Debug)]
struct Call {
    ask: Ask,
    host: MemberName,
    changes: Vec<(ChildId, ChangeIndex)>,
}

/// The open requests.
#[derive(Debug, Default)]
pub(super) struct Clients {
    calls: BTreeMap<RequestId, Call>,
    asked: u64,
    waiting: usize,
    /// Why the last start was refused.
    refusal: Option<String>,
}

impl Clients {
    /// Why the last start was refused, if it was.
    pub(super) fn take_refusal(&mut self) -> Option<String> {
        self.refusal.take()
    }

    /// Whether a request is open.
    pub(super) fn is_open(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Whether some client will ask again.
    pub(super) const fn is_retrying(&self) -> bool {
        self.waiting > 0
    }
}

impl Want {
    fn request(&self, host: &MemberName, kind: &Kind) -> Request {
        match self {
            Self::Spec(spec, mode) => {
                Request::Start { specs: vec![(**spec).clone()], mode: *mode, all_or_nothing: false }
            }
            Self::Start { children, plan, mode } => Request::Start {
                specs: children.iter().map(|id| plan.spec(id.clone(), kind.clone())).collect(),
                mode: *mode,
                all_or_nothing: false,
            },
            Self::Terminate(child) => Request::Terminate(child.clone()),
            Self::Restart(child) => Request::Restart(child.clone()),
            Self::Cordon(member) => Request::Cordon(member.clone()),
            Self::Uncordon(member) => Request::Uncordon(member.clone()),
            Self::Drain(deadline) => Request::Drain { member: host.clone(), deadline: *deadline },
        }
    }

    fn changes(&self) -> (&[ChildId], Option<ChildPlan>) {
        match self {
            Self::Spec(spec, _) => (std::slice::from_ref(&spec.id), Some(ChildPlan::of_spec(spec))),
            Self::Start { children, plan, .. } => (children, Some(*plan)),
            Self::Terminate(child) => (std::slice::from_ref(child), None),
            Self::Restart(_) | Self::Cordon(_) | Self::Uncordon(_) | Self::Drain(_) => (&[], None),
        }
    }

    /// The member whose cordon it changes.
    const fn cordons(&self) -> Option<&MemberName> {
        match self {
            Self::Cordon(member) | Self::Uncordon(member) => Some(member),
            _ => None,
        }
    }

    fn only(self, open: Vec<ChildId>) -> Self {
        match self {
            Self::Start { plan, mode, .. } => Self::Start { children: open, plan, mode },
            other => other,
        }
    }
}

impl World {
    /// Asks `via`, or the next live member; later again where there is none.
    pub(super) fn ask(&mut self, via: MemberName, ask: Ask) {
        let Some(host) = self.live_from(&via) else {
            self.ask_later(via, ask);
            return;
        };
        self.ask_of(&host, ask);
    }

    fn ask_of(&mut self, host: &MemberName, ask: Ask) {
        let Some((process, _)) = self.process(host) else { return };
        if let Some((id, request)) = self.open_call(host, ask) {
            self.give(Happening::Request(process, id, request));
        }
    }

    /// Notes that a member is asked, and of what.
    pub(super) fn open_call(
        &mut self,
        host: &MemberName,
        ask: Ask,
    ) -> Option<(RequestId, Request)> {
        let boot = self.process(host)?.1.boot;
        let kind = Kind::new(KIND).ok()?;
        let request = ask.want.request(host, &kind);
        self.clients.asked += 1;
        let id = RequestId::new(self.clients.asked);
        let (children, wanted) = match &ask.want {
            // A restart is a new write of the spec that is there.
            Want::Restart(child) => match self.oracle.restarted(child) {
                Some(plan) => (std::slice::from_ref(child), Some(plan)),
                None => (&[][..], None),
            },
            other => other.changes(),
        };
        let now = self.now;
        let what = format!("{:?}", ask.want);
        let told = children.iter().map(|child| (child.clone(), wanted)).collect();
        let changes = children
            .iter()
            .map(|child| (child.clone(), self.oracle.asked(now, child, boot, wanted)))
            .collect();
        self.see(Fact::Asked { host: host.clone(), request: id, what, changes: told });
        if let Some(member) = ask.want.cordons() {
            self.see(Fact::Cordon(member.clone()));
        }
        self.clients.calls.insert(id, Call { ask, host: host.clone(), changes });
        Some((id, request))
    }

    fn ask_later(&mut self, via: MemberName, mut ask: Ask) {
        ask.tries += 1;
        if ask.tries < TRIES {
            self.clients.waiting += 1;
            self.agenda.add(self.now + PAUSE, Happening::Ask(via, ask));
        }
    }

    pub(super) fn ask_again(&mut self, via: MemberName, ask: Ask) {
        self.clients.waiting = self.clients.waiting.saturating_sub(1);
        self.ask(via, ask);
    }

    /// The requests that `host` will never answer: what became of them is unknown.
    pub(super) fn lose_calls(&mut self, host: &MemberName) {
        let lost: Vec<RequestId> = self
            .clients
            .calls
            .iter()
            .filter(|(_, call)| call.host == *host)
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            let Some(call) = self.clients.calls.remove(&id) else { continue };
            if !matches!(call.ask.want, Want::Drain(_)) {
                self.ask_later(call.host, call.ask);
            }
        }
    }

    /// What a reply says of each change: less, where a store has lost data, of what was not written.
    fn verdicts(
        &self,
        host: &MemberName,
        reply: &Reply,
        changes: &[(ChildId, ChangeIndex)],
    ) -> Vec<Verdict> {
        let mut verdicts = verdicts(reply, changes.len());
        if matches!(reply, Reply::Terminated(Ok(Terminated::NotFound))) {
            let overtaken = |(child, index): &(ChildId, ChangeIndex)| {
                self.oracle.is_overtaken(child, *index) || self.is_to_be_restored(child)
            };
            if changes.iter().any(|(child, _)| self.has_terminated(host, child)) {
                verdicts.fill(Verdict::Unknown);
            } else if self.may_not_know() || changes.iter().any(overtaken) {
                verdicts.fill(Verdict::Refused);
            }
        }
        // 'Already present' writes nothing: it tells what the store has.
        if let Reply::Started(results) = reply {
            let told = results.iter().zip(changes).zip(&mut verdicts);
            for ((result, (child, _)), verdict) in told {
                let is_told = matches!(result, Ok(Started::AlreadyPresent(_)));
                if is_told && self.is_to_be_replaced(host, child) {
                    *verdict = Verdict::Refused;
                }
            }
        }
        verdicts
    }

    pub(super) fn replied(&mut self, host: &MemberName, id: RequestId, reply: &Reply) {
        self.see(Fact::Replied { host: host.clone(), request: id, what: brief(reply) });
        let Some(call) = self.clients.calls.remove(&id) else { return };
        if let Reply::Drained(drained) = reply {
            let (moved, stopped) = (drained.moved.clone(), drained.stopped.clone());
            let left_behind = drained.left_behind.clone();
            self.see(Fact::Drained { host: host.clone(), moved, stopped, left_behind });
        }
        if let Some(member) = call.ask.want.cordons() {
            self.see(Fact::Cordon(member.clone()));
        }
        if let Reply::Started(results) = reply {
            let refused = results.iter().find_map(|result| result.as_ref().err());
            self.clients.refusal = refused.map(ToString::to_string);
        }
        let verdicts = self.verdicts(host, reply, &call.changes);
        let mut open = Vec::new();
        for ((child, change), verdict) in call.changes.into_iter().zip(&verdicts) {
            match verdict {
                Verdict::Accepted => {
                    let stamp = self.record_at(host, &child).map(|(stamp, _)| stamp);
                    let outcome = Outcome::Accepted { at: self.now, stamp };
                    self.oracle.answered(&child, change, outcome);
                    if let (Want::Restart(_), Some(plan)) =
                        (&call.ask.want, self.plan_at(host, &child))
                    {
                        self.oracle.rewrote(&child, change, plan);
                    }
                    if let Some(stamp) = stamp {
                        self.judge_acceptance(host, &child, stamp);
                    }
                }
                Verdict::Refused => self.oracle.answered(&child, change, Outcome::Refused),
                Verdict::Unknown => self.oracle.answered(&child, change, Outcome::Unknown),
                Verdict::Open => open.push(child),
            }
        }
        if verdicts.contains(&Verdict::Open) {
            let want = call.ask.want.only(open);
            self.ask_later(call.host, Ask { want, tries: call.ask.tries });
        }
    }
}

/// What a reply says of one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Refused,
    /// It may or may not have been done, and nobody asks again.
    Unknown,
    /// It may or may not have been done, or may be done if asked again.
    Open,
}

fn verdicts(reply: &Reply, changes: usize) -> Vec<Verdict> {
    match reply {
        Reply::Started(results) => results
            .iter()
            .map(|result| match result {
                Ok(_) => Verdict::Accepted,
                Err(StartChildError::Request(error)) => refusal(error),
                Err(_) => Verdict::Refused,
            })
            .collect(),
        Reply::Terminated(result) => {
            vec![result.as_ref().map_or_else(refusal, |_| Verdict::Accepted)]
        }
        Reply::Restarted(Ok(false)) => vec![Verdict::Refused],
        Reply::Restarted(Err(error)) | Reply::Member(Err(error)) => vec![refusal(error)],
        _ => vec![Verdict::Accepted; changes],
    }
}

fn refusal(error: &RequestError) -> Verdict {
    match error {
        RequestError::Unavailable { .. }
        | RequestError::Unknown { .. }
        | RequestError::Stopping => Verdict::Open,
        _ => Verdict::Refused,
    }
}

fn brief(reply: &Reply) -> String {
    match reply {
        Reply::Started(results) => {
            let refused: Vec<String> = results
                .iter()
                .filter_map(|result| result.as_ref().err().map(ToString::to_string))
                .collect();
            format!("started {}, refused {refused:?}", results.len() - refused.len())
        }
        other => format!("{other:?}"),
    }
}
