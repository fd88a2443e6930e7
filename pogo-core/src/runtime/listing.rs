//! What a handle reads: lists, single children, explanations, and waiting for a child.
//!
//! The node is looked at on the driver's thread, between two inputs; what is filtered or waited
//! for is so on the caller's.

use std::time::Duration;

use tokio::{sync::oneshot, time::timeout};

use super::{
    driver::Command,
    error::{Stopped, WaitError},
    events::ChildWatch,
    supervisor::Supervisor,
};
use crate::{
    id::{ChildId, Kind, MemberName},
    node::{ChildInfo, Explanation, Inspect, LeavePlan, Listing, MemberView, Status},
    spec::Labels,
};

impl<B> Supervisor<B> {
    /// The children that this member runs, or those of the whole cluster as it sees them, by id.
    ///
    /// # Errors
    /// [`Stopped`]. Reading changes nothing.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn which_children(&self, listing: Listing) -> Result<Vec<ChildInfo>, Stopped> {
        self.read(move |node| node.children(listing)).await
    }

    /// The children of the whole cluster that are of `kind`, where one is given, and have all of
    /// `labels`.
    ///
    /// # Errors
    /// [`Stopped`]. Reading changes nothing.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn children_where(
        &self,
        kind: Option<&Kind>,
        labels: &Labels,
    ) -> Result<Vec<ChildInfo>, Stopped> {
        let mut children = self.which_children(Listing::Global).await?;
        children.retain(|child| {
            kind.is_none_or(|kind| child.kind == *kind)
                && labels.iter().all(|(label, value)| child.labels.get(label) == Some(value))
        });
        Ok(children)
    }

    /// The number of children in the cluster, as this member sees it.
    ///
    /// # Errors
    /// [`Stopped`]. Reading changes nothing.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn count_children(&self) -> Result<usize, Stopped> {
        self.read(|node| node.count()).await
    }

    /// One child; `None` where it is not listed.
    ///
    /// # Errors
    /// [`Stopped`]. Reading changes nothing.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn lookup(&self, id: &ChildId) -> Result<Option<ChildInfo>, Stopped> {
        let id = id.clone();
        self.read(move |node| node.child(&id)).await
    }

    /// The latest value of one child from now on, present or not.
    ///
    /// # Errors
    /// [`Stopped`]. Nothing is changed.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn watch(&self, id: &ChildId) -> Result<ChildWatch, Stopped> {
        let id = id.clone();
        self.inner.ask(|reply| Command::Watch(id, reply)).await.map(ChildWatch::new)
    }

    /// Waits until a child runs, and returns it as it then is.
    ///
    /// # Errors
    /// [`WaitError`]. Nothing is changed.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn wait_running(
        &self,
        id: &ChildId,
        within: Duration,
    ) -> Result<ChildInfo, WaitError> {
        self.wait_until(id, within, |child| child.filter(|child| child.status == Status::Running))
            .await
    }

    /// Waits until a child is listed no more.
    ///
    /// # Errors
    /// [`WaitError`]. Nothing is changed.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn wait_gone(&self, id: &ChildId, within: Duration) -> Result<(), WaitError> {
        self.wait_until(id, within, |child| child.is_none().then_some(())).await
    }

    /// Why a child is where it is; `None` where it is not listed.
    ///
    /// # Errors
    /// [`Stopped`]. Reading changes nothing.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn explain(&self, id: &ChildId) -> Result<Option<Explanation>, Stopped> {
        let id = id.clone();
        self.read(move |node| node.explain(&id)).await
    }

    /// What the departure of a member would do; `None` where no live member has the name.
    ///
    /// # Errors
    /// [`Stopped`]. Reading changes nothing.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn plan_leave(&self, member: &MemberName) -> Result<Option<LeavePlan>, Stopped> {
        let member = member.clone();
        self.read(move |node| node.plan_leave(&member)).await
    }

    /// The members as this one sees them, by name.
    ///
    /// # Errors
    /// [`Stopped`]. Reading changes nothing.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn members(&self) -> Result<Vec<MemberView>, Stopped> {
        self.read(|node| node.members()).await
    }

    async fn wait_until<T>(
        &self,
        id: &ChildId,
        within: Duration,
        found: impl Fn(Option<ChildInfo>) -> Option<T>,
    ) -> Result<T, WaitError> {
        let mut child = self.watch(id).await?;
        let seen = timeout(within, async {
            while child.changed().await {
                if let Some(found) = found(child.latest()) {
                    return Some(found);
                }
            }
            None
        });
        match seen.await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(Stopped.into()),
            Err(_) => {
                let last = child.latest().map(Box::new);
                Err(WaitError::Timeout { id: id.clone(), within, last })
            }
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(Inspect<'_>) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let command = |reply: oneshot::Sender<T>| {
            Command::Read(Box::new(move |node| drop(reply.send(look(node)))))
        };
        self.inner.ask(command).await
    }
}
