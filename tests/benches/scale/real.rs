//! Three supervisors in this process on `memory://`, with a tokio task for each child.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use pogo::{Batch, ChildContext, Listing, MemberName, Status, Supervisor};
use pogo_core::{
    id::{ClusterName, Scope},
    memory::MemoryBackend,
};
use pogo_tests::cluster::{KIND, spec};
use tokio::time::{interval, timeout};

use crate::{
    Fault,
    figures::Figures,
    pure::{count, per, resident},
};

const SCOPE: &str = "bench";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long the idle cluster is watched.
const IDLE: Duration = Duration::from_secs(10);

/// A supervisor and the number of its children that run.
struct Member {
    supervisor: Supervisor,
    running: Arc<AtomicUsize>,
}

/// Counts a child as long as its run is there.
struct Run(Arc<AtomicUsize>);

impl Run {
    fn begin(running: &Arc<AtomicUsize>) -> Self {
        running.fetch_add(1, SeqCst);
        Self(Arc::clone(running))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// Measures a cluster of `children` children.
pub(crate) async fn run(children: usize, figures: &mut Figures) -> Result<(), Fault> {
    let before = resident();
    let backend = MemoryBackend::isolated();
    let faults = backend.faults(&ClusterName::new("pogo")?, &Scope::new(SCOPE)?);
    let mut members = Vec::new();
    for name in ["a", "b", "c"] {
        members.push(start_member(name, &backend).await?);
    }

    let specs = (0..children).map(spec).collect::<Result<Vec<_>, _>>()?;
    let first = members.first().ok_or("no members")?.supervisor.clone();
    let began = Instant::now();
    let outcomes = first.start_children(specs, Batch::EachAlone).await;
    figures.add(children, "start_children returned", "ms", millis(began));
    if let Some(error) = outcomes.into_iter().find_map(Result::err) {
        return Err(error.into());
    }
    all_run(&members, children).await?;
    figures.add(children, "all running", "ms", millis(began));
    all_visible(&members, children).await?;
    figures.add(children, "visible on every member", "ms", millis(began));

    let mut lists = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        let list = first.which_children(Listing::Global).await?;
        lists.push(millis(began));
        drop(list);
    }
    figures.add(children, "list", "ms", lists.into_iter().fold(f64::INFINITY, f64::min));
    let kib = (resident() - before) / count(children) / 1024.0;
    figures.add(children, "memory, all of the process", "KiB/child", kib);

    let used = processor_time();
    drop(timeout(IDLE, pending::<()>()).await);
    let used = processor_time().saturating_sub(used);
    let share = per(used, 1) / per(IDLE, 1) * 100.0 / 3.0;
    figures.add(children, "idle", "% of a core/member", share);

    // To the others an eviction is a crash; what is left of the member then ends.
    let Some(lost) = members.pop() else { return Ok(()) };
    let began = Instant::now();
    faults.evict(&MemberName::new("c")?);
    let end = tokio::spawn(async move { lost.supervisor.shutdown().await });
    all_run(&members, children).await?;
    figures.add(children, "failover: all running again", "ms", millis(began));
    all_visible(&members, children).await?;
    figures.add(children, "failover: visible on every member", "ms", millis(began));
    timeout(PATIENCE, end).await??;

    let began = Instant::now();
    for member in members {
        timeout(PATIENCE, member.supervisor.shutdown()).await?;
    }
    figures.add(children, "shutdown of two, one by one", "ms", millis(began));
    Ok(())
}

async fn start_member(name: &str, backend: &MemoryBackend) -> Result<Member, Fault> {
    let running = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&running);
    let work = move |_: serde_json::Value, context: ChildContext| {
        let run = Run::begin(&counted);
        async move {
            context.stopping().await;
            drop(run);
            Ok(())
        }
    };
    let supervisor = Supervisor::builder(SCOPE)
        .name(name)
        .membership(Arc::new(backend.clone()))
        .kind_fn(KIND, work)
        .start()
        .await?;
    supervisor.ready().await?;
    Ok(Member { supervisor, running })
}

async fn all_run(members: &[Member], children: usize) -> Result<(), Fault> {
    let running = || members.iter().map(|it| it.running.load(SeqCst)).sum::<usize>();
    let mut look = interval(Duration::from_millis(1));
    let wait = async {
        while running() != children {
            look.tick().await;
        }
    };
    let late = timeout(PATIENCE, wait).await;
    late.map_err(|_late| format!("{} of {children} children run", running()).into())
}

async fn all_visible(members: &[Member], children: usize) -> Result<(), Fault> {
    let names: Vec<_> = ["a", "b", "c"].into_iter().take(members.len()).collect();
    let mut look = interval(Duration::from_millis(5));
    for member in members {
        let wait = async {
            loop {
                let list = member.supervisor.which_children(Listing::Global).await?;
                let here = |it: &MemberName| names.contains(&it.as_str());
                let runs = list.iter().filter(|it| {
                    it.status == Status::Running && it.member.as_ref().is_some_and(here)
                });
                if runs.count() == children {
                    return Ok::<_, Fault>(());
                }
                look.tick().await;
            }
        };
        timeout(PATIENCE, wait).await??;
    }
    Ok(())
}

fn millis(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

/// The processor time that this process has had; none where the system does not say.
#[cfg(unix)]
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(not(unix))]
const fn processor_time() -> Duration {
    Duration::ZERO
}
