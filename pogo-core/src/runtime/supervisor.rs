//! The handle that applications hold.

use std::{fmt, future::Future, marker::PhantomData, sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    backend::Backends, builder::Builder, driver::Command, error::Stopped, events::Events,
    kind::Kinds,
};
use crate::{
    id::{ChildId, MemberName},
    node::{
        Drained, Reply, Request, RequestError, StartChildError, StartMode, Started, Terminated,
    },
    spec::ChildSpec,
};

/// Whether the children of one request stand or fall together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Batch {
    /// Each is accepted or refused by itself.
    #[default]
    EachAlone,
    /// One refusal refuses all; on a store that fails midway, what was written is terminated again.
    AllOrNothing,
}

/// What a drain came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DrainOutcome {
    /// This member has drained and left.
    Drained(Drained),
    /// Another member was asked to drain; it goes on there.
    Asked,
}

/// A member of a cluster that keeps children running; a cheap clone of one handle.
///
/// The last handle dropped shuts the supervisor down in the background, as
/// [`shutdown`](Self::shutdown) does while somebody waits.
///
/// No method blocks. A future that is dropped before its end has perhaps handed its request over
/// already; the request then still takes effect, and nobody hears the answer.
pub struct Supervisor<B> {
    pub(super) inner: Arc<Inner>,
    backends: PhantomData<fn() -> B>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) commands: mpsc::UnboundedSender<Command>,
    /// Whether the node is ready; closed when the driver's thread is at its end.
    pub(super) ready: watch::Receiver<bool>,
    pub(super) kinds: Kinds,
}

impl<B: Backends> Supervisor<B> {
    /// A supervisor of `scope`, to be configured and started.
    pub fn builder(scope: impl Into<String>) -> Builder<B> {
        Builder::new(scope.into())
    }
}

impl<B> Supervisor<B> {
    pub(super) const fn new(inner: Arc<Inner>) -> Self {
        Self { inner, backends: PhantomData }
    }

    /// Waits until this member takes part: it has read the cluster's records, has seen
    /// `min_members`, and views have settled once.
    ///
    /// # Errors
    /// [`Stopped`].
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn ready(&self) -> Result<(), Stopped> {
        let mut ready = self.inner.ready.clone();
        ready.wait_for(|ready| *ready).await.map(drop).map_err(|_closed| Stopped)
    }

    /// Starts a child somewhere in the cluster; resolves when the cluster has the spec (R3), not
    /// when the child runs: [`wait_running`](Self::wait_running) waits for that.
    ///
    /// # Errors
    /// [`StartChildError`]; each variant says whether state changed. The same id with another spec
    /// is a `Conflict`.
    ///
    /// # Cancel safety
    /// Dropping the future does not withdraw the request.
    pub async fn start_child(&self, spec: ChildSpec) -> Result<Started, StartChildError> {
        self.start_one(spec, StartMode::Start).await
    }

    /// Starts many children in one request; one result per spec, in order.
    ///
    /// # Errors
    /// [`StartChildError`] for each spec; an id that stands twice is refused the second time.
    ///
    /// # Cancel safety
    /// Dropping the future does not withdraw the request.
    pub async fn start_children(
        &self,
        specs: impl IntoIterator<Item = ChildSpec>,
        batch: Batch,
    ) -> Vec<Result<Started, StartChildError>> {
        super::batch::start(&self.inner, specs.into_iter().collect(), batch).await
    }

    /// Starts a child, or replaces its spec where another is present: for deploys.
    ///
    /// # Errors
    /// [`StartChildError`]; each variant says whether state changed.
    ///
    /// # Cancel safety
    /// Dropping the future does not withdraw the request.
    pub async fn start_or_replace(&self, spec: ChildSpec) -> Result<Started, StartChildError> {
        self.start_one(spec, StartMode::StartOrReplace).await
    }

    /// Replaces the spec of a child that is present. Its state is handed over where the kind stays
    /// the same (R9).
    ///
    /// # Errors
    /// [`StartChildError`]; `NotFound` where there is no such child.
    ///
    /// # Cancel safety
    /// Dropping the future does not withdraw the request.
    pub async fn replace_child(&self, spec: ChildSpec) -> Result<Started, StartChildError> {
        self.start_one(spec, StartMode::Replace).await
    }

    /// Terminates a child for good, wherever it runs; resolves when the cluster knows (R3), not
    /// when the child has ended: [`wait_gone`](Self::wait_gone) waits for that.
    ///
    /// # Errors
    /// [`RequestError`]; each variant says whether state changed.
    ///
    /// # Cancel safety
    /// Dropping the future does not withdraw the request.
    pub async fn terminate_child(&self, id: &ChildId) -> Result<Terminated, RequestError> {
        let reply = self.inner.request(Request::Terminate(id.clone())).await?;
        let Reply::Terminated(result) = reply else { return Err(unexpected(&reply)) };
        result
    }

    /// Stops and starts a child where it is, and ends its back-off or quarantine; whether there is
    /// such a child.
    ///
    /// # Errors
    /// [`RequestError`]; each variant says whether state changed.
    ///
    /// # Cancel safety
    /// Dropping the future does not withdraw the request.
    pub async fn restart_child(&self, id: &ChildId) -> Result<bool, RequestError> {
        let reply = self.inner.request(Request::Restart(id.clone())).await?;
        let Reply::Restarted(result) = reply else { return Err(unexpected(&reply)) };
        result
    }

    /// The stream of events, a snapshot first.
    pub fn events(&self) -> Events {
        Events::new(self.inner.commands.downgrade())
    }

    /// Makes a member refuse new children; those that it has stay.
    ///
    /// # Errors
    /// [`RequestError`]; each variant says whether state changed.
    ///
    /// # Cancel safety
    /// Dropping the future does not withdraw the request.
    pub async fn cordon(&self, member: &MemberName) -> Result<(), RequestError> {
        of_member(self.inner.request(Request::Cordon(member.clone())).await?)
    }

    /// Undoes [`cordon`](Self::cordon).
    ///
    /// # Errors
    /// [`RequestError`]; each variant says whether state changed.
    ///
    /// # Cancel safety
    /// Dropping the future does not withdraw the request.
    pub async fn uncordon(&self, member: &MemberName) -> Result<(), RequestError> {
        of_member(self.inner.request(Request::Uncordon(member.clone())).await?)
    }

    /// Moves a member's children away within the time given and lets it leave (R23). The drain of
    /// this member resolves at its end, that of another once it was asked.
    ///
    /// # Errors
    /// [`RequestError`]; each variant says whether state changed.
    ///
    /// # Cancel safety
    /// Dropping the future does not withdraw the request.
    pub async fn drain(
        &self,
        member: &MemberName,
        within: Duration,
    ) -> Result<DrainOutcome, RequestError> {
        let request = Request::Drain { member: member.clone(), deadline: within };
        let reply = self.inner.request(request).await?;
        if let Reply::Drained(drained) = reply {
            return Ok(DrainOutcome::Drained(drained));
        }
        of_member(reply).map(|()| DrainOutcome::Asked)
    }

    /// Stops every child, leaves the cluster, and waits until nothing of the supervisor is left.
    /// The others take the children up. Calling it again waits for the same end.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the shutdown.
    pub async fn shutdown(&self) {
        // Where nobody takes the command the supervisor is at its end already.
        drop(self.inner.commands.send(Command::Shutdown));
        let mut ready = self.inner.ready.clone();
        while ready.changed().await.is_ok() {}
    }

    async fn start_one(
        &self,
        spec: ChildSpec,
        mode: StartMode,
    ) -> Result<Started, StartChildError> {
        self.inner.kinds.check(&spec)?;
        let request = Request::Start { specs: vec![spec], mode, all_or_nothing: false };
        let reply = self.inner.request(request).await?;
        let Reply::Started(results) = reply else { return Err(unexpected(&reply).into()) };
        results.into_iter().next().unwrap_or_else(|| Err(RequestError::Stopping.into()))
    }
}

impl Inner {
    /// Gives the node a request and waits for its reply.
    pub(super) async fn request(&self, request: Request) -> Result<Reply, RequestError> {
        self.ask(|reply| Command::Client(request, reply))
            .await
            .map_err(|Stopped| RequestError::Stopping)
    }

    /// Gives the driver a command and waits for what it sends back.
    pub(super) fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> impl Future<Output = Result<T, Stopped>> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(command(reply));
        async move {
            sent.map_err(|_closed| Stopped)?;
            answer.await.map_err(|_closed| Stopped)
        }
    }
}

fn of_member(reply: Reply) -> Result<(), RequestError> {
    let Reply::Member(result) = reply else { return Err(unexpected(&reply)) };
    result
}

/// A reply of another kind than the request has: the node never gives one.
fn unexpected(reply: &Reply) -> RequestError {
    debug_assert!(false, "a reply of another kind: {reply:?}");
    tracing::error!(?reply, "a reply of another kind than its request");
    RequestError::Stopping
}

impl<B> Clone for Supervisor<B> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.inner))
    }
}

impl<B> fmt::Debug for Supervisor<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor").field("kinds", &self.inner.kinds).finish_non_exhaustive()
    }
}
