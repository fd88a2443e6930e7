//! Runs plans under many seeds on several threads, and adds up what came out.

mod cases;

use std::{
    collections::BTreeMap,
    num::{NonZeroU64, NonZeroUsize},
    ops::Range,
    panic::{self, AssertUnwindSafe},
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError, SyncSender},
    },
    thread,
    time::Duration,
};

use pogo_core::time::Timestamp;

pub use self::cases::{CLUSTER, Cases, FILE, Mode, Source};
pub use crate::report::Failure;
use crate::{
    coverage::Coverage,
    draw::{Draws, first_difference},
    invariant::{PURITY, Violation, same_run},
    plan::{BackendKind, Plan},
    scenario::{Check, Scenario},
    shrink::shrink,
    world::{Outcome, Stats, run_plan},
};

/// One seed in so many is run twice and compared (S19), where nobody says otherwise.
pub const REPEAT_EVERY: NonZeroU64 = NonZeroU64::MIN.saturating_add(99);
/// The law that a panic breaks.
pub const PANIC: &str = "S0 nothing panics";
/// How long a batch is silent at most towards whoever waits for it.
const TICK: Duration = Duration::from_millis(250);

/// What a seed stands for in a batch.
#[derive(Debug, Clone)]
pub struct Case {
    /// What happens.
    pub plan: Plan,
    /// Who made the plan: a scenario, or whatever a command line says in its place.
    pub scenario: &'static str,
    /// The mode that its children are in.
    pub mode: Mode,
    /// What must have come out beside the laws.
    pub check: Option<Check>,
}

impl Case {
    /// A seed of a scenario.
    pub fn of_scenario(scenario: &Scenario, backend: BackendKind, seed: u64) -> Self {
        let plan = scenario.plan_on(backend, seed);
        Self { plan, scenario: scenario.name, mode: Mode::Available, check: scenario.check }
    }

    /// Runs the plan, the check included.
    pub fn run(&self) -> Outcome {
        let mut outcome = run_plan(&self.plan);
        if outcome.violation.is_none()
            && let Some(check) = self.check
            && let Err(what) = check(&self.plan, &outcome)
        {
            let violation = Violation { law: self.scenario, child: None, what };
            outcome.violation = Some((Timestamp::ZERO + outcome.stats.virtual_time, violation));
        }
        outcome
    }

    /// The same, where a node may panic: that breaks a law, too.
    ///
    /// # Errors
    /// The breach, where nothing else is known of the run.
    pub fn run_caught(&self, twice: bool) -> Result<Outcome, Violation> {
        let run = || if twice { self.run_twice() } else { self.run() };
        panic::catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
            let what = text.unwrap_or("without a text").to_owned();
            Violation { law: PANIC, child: None, what }
        })
    }

    /// Runs it twice, and says where the second run differs, if it does (S19).
    fn run_twice(&self) -> Outcome {
        let mut outcome = self.run();
        let again = self.run();
        let one = (outcome.trace_hash, outcome.trace.as_slice());
        if let Err(mut violation) = same_run(one, (again.trace_hash, &again.trace)) {
            let draw = first_difference(|| drop(self.run()));
            let draw = draw.unwrap_or_else(|| "no draw differs in two more runs".to_owned());
            violation.what = format!("{}; {draw}", violation.what);
            outcome.violation = Some((Timestamp::ZERO, violation));
        }
        outcome
    }
}

/// How a batch is run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which seeds.
    pub seeds: Range<u64>,
    /// Threads.
    pub jobs: NonZeroUsize,
    /// One seed in so many is run twice and compared (S19).
    pub repeat_every: NonZeroU64,
    /// How long the present thread was on a processor so far.
    pub cpu: fn() -> Duration,
}

/// One seed that was run.
#[derive(Debug)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// The mode of its children.
    pub mode: Mode,
    /// What its members shared.
    pub backend: BackendKind,
    /// The run in numbers.
    pub stats: Stats,
    /// The states that it reached.
    pub coverage: Coverage,
    /// Processor time.
    pub cpu: Duration,
    /// What it broke.
    pub failure: Option<Failure>,
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
    /// Processor time over all of them.
    pub cpu: Duration,
    /// Seeds that broke a law.
    pub violations: u64,
    /// The states that they reached.
    pub coverage: Coverage,
    /// The same by mode and by what the members shared.
    pub tallies: BTreeMap<(Mode, String), Tally>,
    /// How many seeds broke each law.
    pub laws: BTreeMap<&'static str, u64>,
    /// What failed, by seed, where it was kept.
    pub failures: Vec<Failure>,
}

/// A part of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Seeds that were run.
    pub seeds: u64,
    /// Virtual time over all of them.
    pub virtual_time: Duration,
    /// Processor time over all of them.
    pub cpu: Duration,
    /// Seeds that broke a law.
    pub violations: u64,
}

impl Batch {
    /// Adds a run.
    pub fn add(&mut self, run: &Run) {
        let violations = u64::from(run.failure.is_some());
        self.seeds += 1;
        self.virtual_time += run.stats.virtual_time;
        self.inputs += run.stats.inputs;
        self.starts += run.stats.starts;
        self.cpu += run.cpu;
        self.violations += violations;
        if let Some(failure) = &run.failure {
            *self.laws.entry(failure.violation.law).or_default() += 1;
        }
        self.coverage.add(&run.coverage);
        self.coverage.count_run(run.mode, run.backend);
        let tally = self.tallies.entry((run.mode, run.backend.to_string())).or_default();
        tally.seeds += 1;
        tally.virtual_time += run.stats.virtual_time;
        tally.cpu += run.cpu;
        tally.violations += violations;
    }

    /// The numbers over all modes and backends.
    pub fn whole(&self) -> Tally {
        Tally {
            seeds: self.seeds,
            virtual_time: self.virtual_time,
            cpu: self.cpu,
            violations: self.violations,
        }
    }
}

impl Tally {
    /// Seconds of a simulated cluster in one second of a processor.
    pub fn cluster_seconds_per_cpu_second(&self) -> u64 {
        let rate = self.virtual_time.as_micros().checked_div(self.cpu.as_micros());
        u64::try_from(rate.unwrap_or(0)).unwrap_or(u64::MAX)
    }
}

/// Runs one seed of a scenario, its own check included.
pub fn run_seed(scenario: &Scenario, backend: BackendKind, seed: u64) -> Outcome {
    Case::of_scenario(scenario, backend, seed).run()
}

/// Runs seeds of a scenario on `jobs` threads; stops early once something has failed.
pub fn run_seeds(
    scenario: &Scenario,
    backend: BackendKind,
    seeds: Range<u64>,
    jobs: NonZeroUsize,
) -> Batch {
    let settings = Settings { seeds, jobs, repeat_every: REPEAT_EVERY, cpu: || Duration::ZERO };
    let mut batch = Batch::default();
    run_cases(&settings, &|seed| Case::of_scenario(scenario, backend, seed), &mut |run| {
        let Some(mut run) = run else { return true };
        batch.add(&run);
        batch.failures.extend(run.failure.take());
        batch.failures.is_empty()
    });
    batch.failures.sort_by_key(|failure| failure.plan.seed);
    batch
}

/// Runs the case of each seed and tells of each run as it ends.
///
/// `on_run` is called on this thread, with nothing about four times a second while nothing ends. Where
/// it answers `false`, no other seed is begun: time and interrupts are the caller's. A thread that is
/// ahead of it waits.
pub fn run_cases(
    settings: &Settings,
    case: &(dyn Fn(u64) -> Case + Sync),
    on_run: &mut dyn FnMut(Option<Run>) -> bool,
) {
    let next = AtomicU64::new(settings.seeds.start);
    thread::scope(|scope| {
        let (sender, runs) = mpsc::sync_channel(settings.jobs.get());
        for _ in 0..settings.jobs.get() {
            let sender = sender.clone();
            scope.spawn(|| {
                // Owned, so that the last thread to end closes the channel.
                let sender = sender;
                work(settings, case, &next, &sender);
            });
        }
        drop(sender);
        loop {
            let goes_on = match runs.recv_timeout(TICK) {
                Ok(run) => on_run(Some(run)),
                Err(RecvTimeoutError::Timeout) => on_run(None),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if !goes_on {
                next.store(u64::MAX, Ordering::Relaxed);
            }
        }
    });
}

fn work(
    settings: &Settings,
    case: &(dyn Fn(u64) -> Case + Sync),
    next: &AtomicU64,
    runs: &SyncSender<Run>,
) {
    loop {
        let take = |seed: u64| (seed < settings.seeds.end).then(|| seed + 1);
        let Ok(seed) = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) else {
            return;
        };
        let began = (settings.cpu)();
        let case = case(seed);
        let ran = case.run_caught(is_repeated(settings, seed));
        let mut run = Run {
            seed,
            mode: case.mode,
            backend: case.plan.options.backend,
            stats: Stats::default(),
            coverage: Coverage::default(),
            cpu: Duration::ZERO,
            failure: None,
        };
        if let Ok(outcome) = &ran {
            run.stats = outcome.stats;
            run.coverage = outcome.coverage.clone();
        }
        run.failure = Failure::of(case, ran);
        run.cpu = (settings.cpu)().saturating_sub(began);
        if runs.send(run).is_err() {
            return;
        }
    }
}

impl Failure {
    /// What broke a law in a run, if something did.
    pub fn of(case: Case, ran: Result<Outcome, Violation>) -> Option<Self> {
        let (at, violation, trace) = match ran {
            Ok(outcome) => {
                let (at, violation) = outcome.violation?;
                (at, violation, outcome.trace)
            }
            Err(violation) => (Timestamp::ZERO, violation, Vec::new()),
        };
        let Case { plan, scenario, mode, .. } = case;
        Some(Self { scenario, mode, plan, at, violation, trace })
    }

    /// Whether the plan alone shows it. A scenario's own check counts on the whole plan of the seed,
    /// and S19 is broken by something that is in no plan.
    pub fn is_in_plan(&self) -> bool {
        self.violation.law != self.scenario && self.violation.law != PURITY
    }

    /// The failure of a smaller plan that breaks the same law for the same kind of subject.
    ///
    /// None where the plan alone does not show it.
    pub fn shrunk(&self, is_over: &mut dyn FnMut() -> bool) -> Option<Self> {
        if !self.is_in_plan() {
            return None;
        }
        let case = |plan: &Plan| Case {
            plan: plan.clone(),
            scenario: self.scenario,
            mode: self.mode,
            check: None,
        };
        let mut breaks = |plan: &Plan| match case(plan).run_caught(false) {
            Ok(outcome) => outcome.violation.map(|(_, violation)| violation),
            Err(violation) => Some(violation),
        };
        let plan = shrink(&self.plan, &self.violation, &mut breaks, is_over);
        Self::of(case(&plan), case(&plan).run_caught(false))
    }
}

/// One in so many, wherever the seeds begin; and the first, so that no batch is without one.
fn is_repeated(settings: &Settings, seed: u64) -> bool {
    let drawn = Draws::new(seed).below("repeat", "", 0, settings.repeat_every.get());
    seed == settings.seeds.start || drawn == 0
}

#[cfg(test)]
mod tests;
