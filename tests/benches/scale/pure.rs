//! Three nodes over the pure hub: what each kind of change costs all of them together.

use std::time::Duration;

use pogo_core::node::{Listing, Request};
use pogo_tests::cluster::{Cluster, Work, child, processor_time, spec};

use crate::{Fault, figures::Figures};

/// Children of one request.
const BATCH: usize = 1_000;
/// Changes of which the middle one is shown.
const SAMPLES: usize = 201;

/// Measures a cluster of `children` children.
pub(crate) fn run(children: usize, figures: &mut Figures) -> Result<(), Fault> {
    let before = resident();
    let mut cluster = Cluster::new(3)?;

    let began = cluster.work();
    for from in (0..children).step_by(BATCH) {
        let specs = (from..children.min(from + BATCH)).map(spec).collect::<Result<_, _>>()?;
        cluster.start(specs);
    }
    running(&cluster, children)?;
    let bulk = cluster.work().since(began).busy;
    figures.add(children, "start in bulk", "ns each", per(bulk, children));
    figures.add(
        children,
        "memory, 3 members and store",
        "B/child",
        (resident() - before) / count(children),
    );

    let after_start = cluster.measure(|it| it.advance(Duration::from_secs(120))).busy;
    figures.add(children, "first 120 s after", "ns/child", per(after_start, children));
    let idle = cluster.measure(|it| it.advance(Duration::from_secs(100))).busy;
    figures.add(children, "idle", "us/s", per(idle, 100) / 1e3);

    singles(&mut cluster, children, figures)?;
    lists(&cluster, children, figures)?;
    members(&mut cluster, children, figures)
}

fn singles(cluster: &mut Cluster, children: usize, figures: &mut Figures) -> Result<(), Fault> {
    let mut work = Vec::new();
    for n in children..children + SAMPLES {
        let spec = spec(n)?;
        work.push(cluster.measure(|it| drop(it.start(vec![spec]))));
    }
    running(cluster, children + SAMPLES)?;
    figures.add(children, "start of one", "ns", middle(&mut work));

    let mut work = Vec::new();
    for n in 0..SAMPLES {
        let id = child(n * (children / SAMPLES))?;
        work.push(cluster.measure(|it| it.fail(&id)));
    }
    running(cluster, children + SAMPLES)?;
    figures.add(children, "failure and restart of one", "ns", middle(&mut work));

    let mut work = Vec::new();
    for n in children..children + SAMPLES {
        let request = Request::Terminate(child(n)?);
        work.push(cluster.measure(|it| drop(it.ask(request))));
    }
    running(cluster, children)?;
    figures.add(children, "terminate of one", "ns", middle(&mut work));
    Ok(())
}

fn lists(cluster: &Cluster, children: usize, figures: &mut Figures) -> Result<(), Fault> {
    let node = cluster.nodes().next().ok_or("no members")?;
    let best = (0..5).map(|_| {
        let began = processor_time();
        let listed = node.inspect().children(Listing::Global);
        let took = processor_time().saturating_sub(began);
        (listed.len() == children).then_some(took)
    });
    let best = best.collect::<Option<Vec<_>>>().ok_or("a child is not listed")?;
    let best = best.into_iter().min().unwrap_or_default();
    figures.add(children, "list", "ns/child", per(best, children));
    Ok(())
}

fn members(cluster: &mut Cluster, children: usize, figures: &mut Figures) -> Result<(), Fault> {
    let name = cluster.last_name().map(ToString::to_string).ok_or("no members")?;
    let lost = cluster.runs_of_last();
    let failover = cluster.measure(Cluster::crash_last);
    running(cluster, children)?;
    figures.add(children, "failover", "ns/moved", per(failover.busy, lost));

    let mut joined = Ok(());
    let join = cluster.measure(|it| {
        joined = it.join(&name, 1);
        it.advance(Duration::from_secs(1));
    });
    joined?;
    running(cluster, children)?;
    figures.add(children, "join and moves", "ns/child", per(join.busy, children));
    Ok(())
}

/// The middle one in nanoseconds: another program's turn in between spoils few of them.
fn middle(work: &mut [Work]) -> f64 {
    work.sort_unstable_by_key(|it| it.busy);
    work.get(work.len() / 2).map_or(0.0, |it| per(it.busy, 1))
}

fn running(cluster: &Cluster, children: usize) -> Result<(), Fault> {
    if cluster.runs() == children {
        return Ok(());
    }
    Err(format!("{} of {children} children run", cluster.runs()).into())
}

pub(crate) fn per(time: Duration, changes: usize) -> f64 {
    time.as_secs_f64() * 1e9 / count(changes)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(crate) fn count(changes: usize) -> f64 {
    changes as f64
}

/// Memory of this process in bytes; 0 where the system does not say.
pub(crate) fn resident() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: Option<f64> = pages.split_whitespace().nth(1).and_then(|it| it.parse().ok());
    pages.unwrap_or_default() * 4096.0
}
