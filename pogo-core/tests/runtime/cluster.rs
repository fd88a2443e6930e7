//! Supervisors of one test, and waiting for what they show.

use std::{
    fmt::Debug,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use pogo_core::{
    id::{ChildId, Kind},
    memory::MemoryBackend,
    runtime::MemoryOnly,
    spec::{Args, ChildSpec},
};
use serde::Serialize;
use tokio::time::{Instant, interval, timeout};

pub(crate) type Supervisor = pogo_core::runtime::Supervisor<MemoryOnly>;
pub(crate) type Builder = pogo_core::runtime::Builder<MemoryOnly>;

/// Longer than anything here takes on a busy machine.
pub(crate) const WITHIN: Duration = Duration::from_secs(30);

/// A cluster of its own, whose members are made here.
#[derive(Clone)]
pub(crate) struct Cluster(Arc<MemoryBackend>);

impl Cluster {
    pub(crate) fn new() -> Self {
        Self(Arc::new(MemoryBackend::isolated()))
    }

    pub(crate) fn member(&self, name: &str) -> Builder {
        let settle = Duration::from_millis(50);
        let backend = Arc::<MemoryBackend>::clone(&self.0);
        Supervisor::builder("test").membership(backend).name(name).view_settle(settle)
    }
}

/// A member on its own.
pub(crate) fn alone() -> Builder {
    Cluster::new().member("a")
}

pub(crate) async fn ready(builder: Builder) -> Supervisor {
    let supervisor = builder.start().await.expect("did not start");
    timeout(WITHIN, supervisor.ready()).await.expect("not ready").expect("stopped");
    supervisor
}

pub(crate) fn id(text: &str) -> ChildId {
    ChildId::new(text).unwrap()
}

pub(crate) fn child(kind: &str, name: &str, args: &impl Serialize) -> ChildSpec {
    ChildSpec::of_kind(id(name), Kind::new(kind).unwrap(), Args::new(args).unwrap())
}

/// Looks until `look` finds what it looks for; tells what it saw last where it never does.
pub(crate) async fn eventually<T, S: Debug, Fut>(what: &str, mut look: impl FnMut() -> Fut) -> T
where
    Fut: Future<Output = Result<T, S>>,
{
    let start = Instant::now();
    let mut again = interval(Duration::from_millis(5));
    loop {
        again.tick().await;
        match look().await {
            Ok(found) => return found,
            Err(seen) => assert!(start.elapsed() < WITHIN, "never {what}; last seen: {seen:?}"),
        }
    }
}

/// A number that children change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Count(Arc<AtomicU32>);

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    /// One more once what holds this is dropped.
    pub(crate) fn on_drop(&self) -> OnDrop {
        OnDrop(self.clone())
    }

    pub(crate) async fn reaches(&self, number: u32) {
        eventually("counted so far", || async {
            if self.now() >= number { Ok(()) } else { Err(self.now()) }
        })
        .await;
    }
}

pub(crate) struct OnDrop(Count);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.add();
    }
}
