//! An agent from its start to its end.

use std::{io, thread, time::Duration};

use pogo::{DrainOutcome, Drained, Event, EventItem, MemberStatus, MemberView, Supervisor};
use tokio::sync::oneshot;

use crate::interrupts::Interrupts;

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The member drained and left.
    Drained(Drained),
    /// The member stopped without a drain.
    Stopped,
    /// Somebody asked twice.
    Cut,
}

/// Who calls for the end: a signal, or whoever started the agent by going away.
#[derive(Debug)]
pub(super) struct Calls {
    interrupts: Interrupts,
    /// Resolves when standard input closes; `None` where that is no call, or was one.
    stdin: Option<oneshot::Receiver<()>>,
}

impl Calls {
    /// Begins to listen.
    pub(super) fn listen(until_stdin_closes: bool) -> io::Result<Self> {
        let interrupts = Interrupts::listen()?;
        Ok(Self { interrupts, stdin: until_stdin_closes.then(stdin_closes) })
    }

    /// Resolves at the next call.
    pub(super) async fn next(&mut self) {
        let Some(stdin) = &mut self.stdin else { return self.interrupts.next().await };
        tokio::select! {
            () = self.interrupts.next() => {}
            _ = stdin => self.stdin = None,
        }
    }
}

/// A thread of its own reads, for nothing can end a read that waits.
fn stdin_closes() -> oneshot::Receiver<()> {
    let (open, closed) = oneshot::channel::<()>();
    thread::spawn(move || {
        // However it ends, there is nobody left; and that is told as this is dropped.
        drop(io::copy(&mut io::stdin(), &mut io::sink()));
        drop(open);
    });
    closed
}

/// What may end an agent, and how it then goes.
#[derive(Debug)]
pub(super) struct Life {
    supervisor: Supervisor,
    calls: Calls,
    drain: Duration,
}

impl Life {
    pub(super) const fn new(supervisor: Supervisor, calls: Calls, drain: Duration) -> Self {
        Self { supervisor, calls, drain }
    }

    /// Waits until the member takes part, or for an earlier end.
    pub(super) async fn until_ready(&mut self) -> Option<End> {
        let ready = tokio::select! {
            ready = self.supervisor.ready() => ready,
            () = self.calls.next() => return Some(self.leave().await),
        };
        ready.is_err().then_some(End::Stopped)
    }

    /// Waits for the end.
    pub(super) async fn until_end(&mut self) -> End {
        tokio::select! {
            () = self.calls.next() => {}
            () = drain_begins(&self.supervisor) => {}
        }
        self.leave().await
    }

    /// Drains, or waits for the end of a drain that goes on already; a further call cuts it.
    async fn leave(&mut self) -> End {
        let supervisor = self.supervisor.clone();
        tokio::select! {
            end = drain(&supervisor, self.drain) => end,
            () = self.calls.next() => End::Cut,
        }
    }
}

async fn drain(supervisor: &Supervisor, within: Duration) -> End {
    let members = supervisor.members().await.unwrap_or_default();
    let me = members.into_iter().find(|member| member.is_me);
    let drained = match me {
        Some(me) => supervisor.drain(&me.id.name, within).await.ok(),
        // Evicted just now: there is nobody to take the children from this member.
        None => None,
    };
    supervisor.shutdown().await;
    match drained {
        Some(DrainOutcome::Drained(drained)) => End::Drained(drained),
        _ => End::Stopped,
    }
}

/// Resolves when this member drains by an operator's order, or has stopped.
async fn drain_begins(supervisor: &Supervisor) {
    let mut events = supervisor.events();
    let drains = |member: &MemberView| member.is_me && member.status == MemberStatus::Draining;
    while let Some(item) = events.next().await {
        if let EventItem::Snapshot(snapshot) = &item
            && snapshot.members.iter().any(drains)
        {
            return;
        }
        if let EventItem::Event(Event::Member(member)) = &item
            && drains(member)
        {
            return;
        }
    }
}
