//! The end of a session is not the end of the children (R15).

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use pogo_core::{
    id::{ClusterName, Incarnation, MemberName, Scope},
    membership::{Capabilities, Join, Membership, MembershipError, Session},
    memory::MemoryBackend,
    node::Status,
    runtime::ChildContext,
};
use tokio::sync::Notify;

use crate::cluster::{Count, Supervisor, WITHIN, child, eventually, id, ready};

/// Sessions that end without a word when told to.
#[derive(Debug)]
struct Cutting {
    backend: MemoryBackend,
    cut: Arc<Notify>,
}

#[async_trait]
impl Membership for Cutting {
    fn name(&self) -> &'static str {
        self.backend.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.backend.capabilities()
    }

    async fn join(&self, join: Join) -> Result<Session, MembershipError> {
        let session = self.backend.join(join).await?;
        let cut = Arc::clone(&self.cut).notified_owned();
        let events = session.events.take_until(Box::pin(cut)).boxed();
        Ok(Session { events, ..session })
    }
}

async fn incarnation(supervisor: &Supervisor) -> Option<Incarnation> {
    let members = supervisor.members().await.unwrap();
    members.into_iter().find(|member| member.is_me).map(|member| member.id.incarnation)
}

/// Runs a child, ends the session, and sees the child through to the next one.
async fn run_through(backend: Arc<dyn Membership>, end_session: impl FnOnce()) {
    let runs = Count::default();
    let starts = runs.clone();
    let builder = Supervisor::builder("test").name("a").membership(backend).kind_fn(
        "idle",
        move |(): (), cx: ChildContext| {
            starts.add();
            async move {
                cx.stopping().await;
                Ok(())
            }
        },
    );
    let supervisor = ready(builder).await;
    supervisor.start_child(child("idle", "old", &())).await.unwrap();
    supervisor.wait_running(&id("old"), WITHIN).await.unwrap();
    let before = incarnation(&supervisor).await;
    end_session();
    eventually("joined again", || async {
        let now = incarnation(&supervisor).await;
        if now > before { Ok(()) } else { Err(now) }
    })
    .await;
    supervisor.start_child(child("idle", "new", &())).await.unwrap();
    supervisor.wait_running(&id("new"), WITHIN).await.unwrap();
    let old = supervisor.lookup(&id("old")).await.unwrap().expect("it is gone");
    assert_eq!((old.status, old.restarts, runs.now()), (Status::Running, 0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn children_run_on_while_their_evicted_member_joins_again() {
    let backend = MemoryBackend::isolated();
    let cluster = ClusterName::new("pogo").unwrap();
    let faults = backend.faults(&cluster, &Scope::new("test").unwrap());
    let name = MemberName::new("a").unwrap();
    run_through(Arc::new(backend), || faults.evict(&name)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn feed_that_ends_without_a_word_is_an_eviction() {
    let cut = Arc::new(Notify::new());
    let backend = Cutting { backend: MemoryBackend::isolated(), cut: Arc::clone(&cut) };
    run_through(Arc::new(backend), || cut.notify_waiters()).await;
}
