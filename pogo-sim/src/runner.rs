//! Runs scenarios under many seeds on several threads, and says how to repeat what failed.

use std::{
    fmt,
    num::NonZeroUsize,
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use pogo_core::time::Timestamp;

use crate::{
    fact::Fact,
    invariant::{Violation, same_run},
    plan::{BackendKind, Plan},
    scenario::Scenario,
    world::{Outcome, run_plan},
};

/// One seed in so many is run twice and compared (S19).
const REPEAT_EVERY: u64 = 100;
/// Facts in a failure report.
const HISTORY: usize = 50;

/// A plan that broke a law.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The scenario that made the plan.
    pub scenario: &'static str,
    /// The plan.
    pub plan: Plan,
    /// When, in virtual time.
    pub at: Timestamp,
    /// What was broken.
    pub violation: Violation,
    /// What was seen.
    pub trace: Vec<(Timestamp, Fact)>,
}

/// What came out of a batch of seeds.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Seeds that were run.
    pub seeds: u64,
    /// Virtual time over all of them.
    pub virtual_time: Duration,
    /// Inputs of nodes over all of them.
    pub inputs: u64,
    /// Instances that began over all of them.
    pub starts: u64,
    /// What failed, by seed.
    pub failures: Vec<Failure>,
}

/// Runs one seed of a scenario, its own check included.
pub fn run_seed(scenario: &Scenario, backend: BackendKind, seed: u64) -> Outcome {
    run_checked(scenario, &scenario.plan_on(backend, seed))
}

fn run_checked(scenario: &Scenario, plan: &Plan) -> Outcome {
    let mut outcome = run_plan(plan);
    if outcome.violation.is_none()
        && let Some(check) = scenario.check
        && let Err(what) = check(plan, &outcome)
    {
        let violation = Violation { law: scenario.name, child: None, what };
        outcome.violation = Some((Timestamp::ZERO + outcome.stats.virtual_time, violation));
    }
    outcome
}

/// Runs seeds of a scenario on `jobs` threads; stops early once something has failed.
pub fn run_seeds(
    scenario: &Scenario,
    backend: BackendKind,
    seeds: Range<u64>,
    jobs: NonZeroUsize,
) -> Batch {
    let next = AtomicU64::new(seeds.start);
    let batch = Mutex::new(Batch::default());
    thread::scope(|scope| {
        for _ in 0..jobs.get() {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let failed = !note(&batch, scenario, &scenario.plan_on(backend, seed));
                    if failed {
                        next.store(seeds.end, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let mut batch = batch.into_inner().unwrap_or_else(PoisonError::into_inner);
    batch.failures.sort_by_key(|failure| failure.plan.seed);
    batch
}

/// Runs a plan and adds what came out to the batch; returns whether it kept every law.
fn note(batch: &Mutex<Batch>, scenario: &Scenario, plan: &Plan) -> bool {
    let mut outcome = run_checked(scenario, plan);
    if outcome.violation.is_none() && plan.seed.is_multiple_of(REPEAT_EVERY) {
        let again = run_checked(scenario, plan);
        let one = (outcome.trace_hash, outcome.trace.as_slice());
        if let Err(violation) = same_run(one, (again.trace_hash, &again.trace)) {
            outcome.violation = Some((Timestamp::ZERO, violation));
        }
    }
    let mut batch = batch.lock().unwrap_or_else(PoisonError::into_inner);
    batch.seeds += 1;
    batch.virtual_time += outcome.stats.virtual_time;
    batch.inputs += outcome.stats.inputs;
    batch.starts += outcome.stats.starts;
    let Some((at, violation)) = outcome.violation else { return true };
    let (plan, trace) = (plan.clone(), outcome.trace);
    batch.failures.push(Failure { scenario: scenario.name, plan, at, violation, trace });
    false
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, plan, at, violation, trace } = self;
        writeln!(f, "{violation}")?;
        if let Some(child) = &violation.child {
            writeln!(f, "child {child}")?;
        }
        writeln!(f, "scenario {scenario}, seed {}, at {at:?}\n", plan.seed)?;
        let told: Vec<_> = trace
            .iter()
            .filter(|(_, fact)| match (&violation.child, fact.child()) {
                (Some(subject), Some(child)) => subject == child,
                (None, Some(_)) => true,
                (_, None) => fact.is_about_members() || mentions(fact, violation),
            })
            .collect();
        for (at, fact) in told.iter().skip(told.len().saturating_sub(HISTORY)) {
            writeln!(f, "{at:?} {fact:?}")?;
        }
        writeln!(f, "\n{plan}")?;
        write!(
            f,
            "repeat: cargo run --release -p pogo-sim --example seeds -- --scenario {scenario} --backend {} --seeds {}..{}",
            plan.options.backend,
            plan.seed,
            plan.seed + 1
        )
    }
}

/// Whether a client's request is about the child that a law was broken for.
fn mentions(fact: &Fact, violation: &Violation) -> bool {
    match (fact, &violation.child) {
        (Fact::Asked { what, .. }, Some(child)) => what.contains(&format!("\"{child}\"")),
        (Fact::Asked { .. } | Fact::Replied { .. }, None) => true,
        _ => false,
    }
}
