//! Runs of real children for a node that is driven by hand, as in a simulated cluster.

use std::{
    fmt,
    future::Future,
    task::{Context, Poll},
};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use tokio::{runtime::Handle, sync::mpsc};

use super::{
    child::{Child, Exit},
    context::ChildContext,
    kind::{Closure, Kinds, Typed},
    run::Notice,
    runs::Runs,
};
use crate::{
    id::{IdError, Kind, MemberName, RunId},
    node::{Input, StartChild, StopReason},
    spec::Shutdown,
    time::Timestamp,
};

/// The kinds of children that a member offers.
#[derive(Clone, Default)]
pub struct ChildKinds(Kinds);

impl ChildKinds {
    /// Offers a kind; the last one of a name counts.
    ///
    /// # Errors
    /// [`IdError`] where the kind's name breaks a limit of R26; nothing was changed.
    pub fn kind<C: Child>(mut self, child: C) -> Result<Self, IdError> {
        self.0.add(Kind::new(C::KIND)?, Typed::erase(child));
        Ok(self)
    }

    /// Offers a kind written as a closure; its children are ready at their first poll (R10).
    ///
    /// # Errors
    /// [`IdError`] where the kind's name breaks a limit of R26; nothing was changed.
    pub fn kind_fn<A, S, F, Fut>(mut self, kind: &str, code: F) -> Result<Self, IdError>
    where
        F: Fn(A, ChildContext<S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Exit> + Send + 'static,
        A: DeserializeOwned + Send + 'static,
        S: 'static,
    {
        self.0.add(Kind::new(kind)?, Closure::erase(code));
        Ok(self)
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &Kind> {
        self.0.names()
    }
}

impl fmt::Debug for ChildKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The runs of one member's children, without the driver that a
/// [`Supervisor`](super::Supervisor) has. Whoever drives the node carries out its outputs here and
/// gives it the inputs that come of them; in this crate that is for tests and simulation.
///
/// Dropping it aborts every run.
#[derive(Debug)]
pub struct ChildRunner {
    runs: Runs,
    notices: mpsc::UnboundedReceiver<Notice>,
    /// One that `poll` has taken.
    next: Option<Notice>,
}

impl ChildRunner {
    /// No runs yet; children will run on this runtime.
    pub fn new(kinds: ChildKinds, runtime: Handle) -> Self {
        let (sender, notices) = mpsc::unbounded_channel();
        Self { runs: Runs::new(kinds.0, runtime, sender), notices, next: None }
    }

    /// Carries out [`Output::StartChild`](crate::node::Output::StartChild).
    pub fn start(&mut self, member: MemberName, start: StartChild) {
        self.runs.start(member, start, None);
    }

    /// Carries out [`Output::StopChild`](crate::node::Output::StopChild).
    pub fn stop(&mut self, now: Timestamp, run: RunId, reason: StopReason, shutdown: Shutdown) {
        self.runs.stop(now, run, reason, shutdown);
    }

    /// Carries out [`Output::Absorb`](crate::node::Output::Absorb).
    pub fn absorb(&self, run: RunId, state: Bytes) {
        self.runs.absorb(run, state);
    }

    /// When [`take_inputs`](Self::take_inputs) has something by the time alone.
    pub fn next_alarm(&self) -> Option<Timestamp> {
        self.runs.next_alarm()
    }

    /// Ready once a run has something to tell.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.next.is_some() {
            return Poll::Ready(());
        }
        match self.notices.poll_recv(context) {
            Poll::Ready(Some(notice)) => {
                self.next = Some(notice);
                Poll::Ready(())
            }
            // Its own sender lives in the runs.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// What the node is to be told now, in order.
    pub fn take_inputs(&mut self, now: Timestamp) -> Vec<Input> {
        let mut inputs = self.runs.ring(now);
        let first = self.next.take();
        let rest = std::iter::from_fn(|| self.notices.try_recv().ok());
        for notice in first.into_iter().chain(rest) {
            inputs.extend(self.runs.notice(now, notice));
        }
        inputs
    }
}
