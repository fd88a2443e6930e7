//! The members of a demo, all in this process, and how one of them is killed.
//!
//! Each member's children run on a tokio runtime of their own, as they would in a process of their
//! own, so that killing the member ends exactly its children.

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use pogo::{Backend, Batch, ChildSpec, Supervisor};
use tokio::{runtime, task::spawn_blocking, time::timeout};

use super::{
    DemoError,
    cast::Cast,
    crash::{Crash, Crashable},
    event::Seat,
};
use crate::kinds::service_monitor::ServiceMonitor;

/// The members of the demo that live.
#[derive(Debug)]
pub(crate) struct Cluster {
    backend: Backend,
    monitor: ServiceMonitor,
    members: BTreeMap<String, Member>,
}

#[derive(Debug)]
struct Member {
    supervisor: Supervisor,
    crash: Crash,
    runtime: ChildRuntime,
}

/// How long children that block their thread are waited for.
const STOP_WITHIN: Duration = Duration::from_secs(10);

impl Cluster {
    /// A cluster without members.
    pub(crate) const fn new(backend: Backend, monitor: ServiceMonitor) -> Self {
        Self { backend, monitor, members: BTreeMap::new() }
    }
}

impl Cast for Cluster {
    async fn start_all(&mut self, names: &[String]) -> Result<(), DemoError> {
        for name in names {
            self.start(name).await?;
        }
        Ok(())
    }

    async fn start(&mut self, name: &str) -> Result<Duration, DemoError> {
        let begun = Instant::now();
        let runtime = ChildRuntime::new()?;
        let (membership, crash) = Crashable::new(Arc::clone(&self.backend.membership));
        let mut builder = Supervisor::builder("demo")
            .name(name)
            .membership(Arc::new(membership))
            .kind(self.monitor.clone());
        if let Some(cluster) = &self.backend.cluster {
            builder = builder.cluster(cluster.as_str());
        }
        let supervisor = runtime.run(builder.start()).await??;
        supervisor.ready().await?;
        self.members.insert(name.to_owned(), Member { supervisor, crash, runtime });
        Ok(begun.elapsed())
    }

    fn seat(&self, _: &str) -> Option<Seat> {
        None
    }

    async fn start_children(&mut self, specs: Vec<ChildSpec>) -> Result<(), DemoError> {
        let member = self.members.values().next().ok_or(DemoError::NoMember)?;
        for started in member.supervisor.start_children(specs, Batch::AllOrNothing).await {
            started?;
        }
        Ok(())
    }

    /// Its children are gone first, then its session, without a leave.
    async fn kill(&mut self, name: &str) -> Result<Duration, DemoError> {
        let at = self.monitor.ledger.now();
        if let Some(Member { supervisor, crash, runtime }) = self.members.remove(name) {
            crash.freeze();
            runtime.stop().await;
            crash.drop_session();
            // What is left is a driver without children or cluster; it ends by itself.
            drop(supervisor);
        }
        Ok(at)
    }

    async fn shutdown(&mut self) {
        let members = std::mem::take(&mut self.members).into_values();
        join_all(members.map(|member| async move {
            drop(timeout(STOP_WITHIN, member.supervisor.shutdown()).await);
            member.runtime.stop().await;
        }))
        .await;
    }
}

/// Where the children of one member run.
#[derive(Debug)]
struct ChildRuntime(Option<runtime::Runtime>);

impl ChildRuntime {
    fn new() -> Result<Self, DemoError> {
        runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("pogo-children")
            .enable_all()
            .build()
            .map(|runtime| Self(Some(runtime)))
            .map_err(DemoError::System)
    }

    /// Runs `task` there.
    async fn run<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, DemoError> {
        match &self.0 {
            Some(runtime) => {
                runtime.spawn(task).await.map_err(io::Error::other).map_err(DemoError::System)
            }
            None => Err(DemoError::System(io::Error::other("its runtime has stopped"))),
        }
    }

    /// Ends every child at once and waits until they are gone.
    async fn stop(mut self) {
        if let Some(runtime) = self.0.take() {
            // Waiting for threads to end would block this one.
            drop(spawn_blocking(move || runtime.shutdown_timeout(STOP_WITHIN)).await);
        }
    }
}

impl Drop for ChildRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use pogo::{AllBackends, Backends, Event, EventItem, membership::DownReason};

    use super::*;

    #[tokio::test]
    async fn killed_member_is_gone_without_a_leave_and_may_come_back() {
        let backend = AllBackends::open("memory://killed-member").unwrap();
        let mut cluster = Cluster::new(backend, ServiceMonitor::default());
        cluster.start_all(&["pogo-1", "pogo-2"].map(str::to_owned)).await.unwrap();
        let other = cluster.members["pogo-2"].supervisor.clone();
        let mut eyes = other.events();
        // The snapshot that comes first tells that the rest is on its way.
        eyes.next().await;
        cluster.kill("pogo-1").await.unwrap();
        let reason = loop {
            let item = eyes.next().await;
            if let Some(EventItem::Event(Event::MemberGone { member, reason })) = item {
                assert_eq!(member.name.as_str(), "pogo-1");
                break reason;
            }
        };
        assert_eq!(reason, DownReason::Failed, "a leave would be `Left`");
        cluster.start("pogo-1").await.unwrap();
        assert_eq!(other.members().await.unwrap().len(), 2);
        cluster.shutdown().await;
    }
}
