//! How fast the simulator is, and what a change costs in small and in large clusters.
//!
//! `cargo bench -p pogo-sim`, with `-- --json` for one object a line. Times are those of the thread on
//! its processor. The first table is of random clusters with all their faults, every law checked. The
//! second is of calm ones: the same hour with changes and without, so that what is left is what the
//! changes cost, the simulator's own checks included.
#![expect(clippy::print_stdout, reason = "a table is what it is for")]

use std::{num::NonZeroUsize, time::Duration};

use pogo_sim::{
    plan::{BackendKind, Plan, PlanError},
    runner::{Batch, Cases, Mode, REPEAT_EVERY, Settings, Source, Tally, run_cases},
    world::{Stats, run_plan},
};
use serde_json::json;

/// Seeds of each row of the first table.
const SEEDS: u64 = 30;
/// Members and children of the second: 1, 10 and 100 times as many pairs.
const SIZES: [(u64, u64); 3] = [(3, 100), (10, 300), (30, 1_000)];
/// Changes in each of its runs.
const CHANGES: u64 = 1_000;
/// Runs of which the middle one counts.
const SAMPLES: usize = 5;

fn main() -> Result<(), PlanError> {
    let json = std::env::args().any(|it| it == "--json");
    if !json {
        println!("10 members x 100 children, random faults: cluster-seconds per CPU-second");
    }
    for backend in Cases::BACKENDS {
        let tally = speed(backend);
        let (rate, violations) = (tally.cluster_seconds_per_cpu_second(), tally.violations);
        if json {
            println!(
                "{}",
                json!({
                    "backend": backend.to_string(),
                    "cluster_seconds_per_cpu_second": rate,
                    "violations": violations,
                })
            );
        } else {
            println!(
                "{:<8} {rate:>8}  ({violations} of {SEEDS} seeds break a law)",
                backend.to_string()
            );
        }
    }
    if !json {
        println!("\none change of a child, everything else calm");
        println!(
            "{:<8} {:<20} {:>16} {:>16}",
            "backend", "members x children", "inputs / member", "ns / member"
        );
    }
    for backend in Cases::BACKENDS {
        for (members, children) in SIZES {
            let (inputs, nanos) = change(backend, members, children)?;
            if json {
                println!(
                    "{}",
                    json!({
                        "backend": backend.to_string(),
                        "members": members,
                        "children": children,
                        "inputs_per_change_and_member": inputs,
                        "ns_per_change_and_member": nanos,
                    })
                );
            } else {
                let size = format!("{members} x {children}");
                println!("{:<8} {size:<20} {inputs:>16.2} {nanos:>16.0}", backend.to_string());
            }
        }
    }
    Ok(())
}

/// Random clusters of one size on one backend.
fn speed(backend: BackendKind) -> Tally {
    let cases = Cases {
        source: Source::Cluster,
        kinds: Cases::kinds(Some(Mode::Available), Some(backend)),
        nodes: 10..=10,
        children: 100..=100,
        seconds: 60,
    };
    let settings =
        Settings { seeds: 0..SEEDS, jobs: NonZeroUsize::MIN, repeat_every: REPEAT_EVERY, cpu };
    let mut batch = Batch::default();
    run_cases(&settings, &|seed| cases.case(seed), &mut |run| {
        if let Some(run) = run {
            batch.add(&run);
        }
        true
    });
    batch.whole()
}

/// What one change costs each member: inputs, and nanoseconds.
fn change(backend: BackendKind, members: u64, children: u64) -> Result<(f64, f64), PlanError> {
    let (busy, busy_time) = middle(&plan(backend, members, children, CHANGES)?);
    let (calm, calm_time) = middle(&plan(backend, members, children, 0)?);
    let each = |count: u64| float(count) / float(CHANGES * members);
    let nanos = busy_time.saturating_sub(calm_time).as_nanos();
    let inputs = busy.inputs.saturating_sub(calm.inputs);
    Ok((each(inputs), each(u64::try_from(nanos).unwrap_or(u64::MAX))))
}

/// A cluster that starts its children, and then one change after the other, through members in turn.
fn plan(
    backend: BackendKind,
    members: u64,
    children: u64,
    changes: u64,
) -> Result<Plan, PlanError> {
    let mut lines = vec!["seed 1".to_owned(), format!("set backend={backend}")];
    lines.extend((0..members).map(|member| format!("0 boot m{member}")));
    lines.extend((0..children).map(|child| {
        format!("{} start m{} c{child} start=20ms stop=5ms", 5_000 + child, child % members)
    }));
    let from = 60_000;
    lines.extend((0..changes).map(|change| {
        let (at, via, child) = (from + change * 100, change % members, change * 7 % children);
        let value = 1 + change / children;
        format!("{at} replace m{via} c{child} start=20ms stop=5ms value={value}")
    }));
    lines.push(format!("{} heal", from + CHANGES * 100));
    lines.join("\n").parse()
}

fn middle(plan: &Plan) -> (Stats, Duration) {
    let mut runs: Vec<(Duration, Stats)> = (0..SAMPLES)
        .map(|_| {
            let began = cpu();
            let outcome = run_plan(plan);
            assert_eq!(outcome.violation, None, "a calm cluster keeps every law");
            (cpu().saturating_sub(began), outcome.stats)
        })
        .collect();
    runs.sort_unstable_by_key(|(took, _)| *took);
    let (took, stats) = runs.swap_remove(SAMPLES / 2);
    (stats, took)
}

fn float(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// How long this thread was on a processor so far.
#[cfg(unix)]
fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(now.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos)
}

/// The time that passes, where the system does not tell the other.
#[cfg(not(unix))]
fn cpu() -> Duration {
    static BEGAN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    BEGAN.get_or_init(std::time::Instant::now).elapsed()
}
