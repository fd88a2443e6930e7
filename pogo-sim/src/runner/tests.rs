use std::sync::atomic::AtomicBool;

use super::*;

fn calm(seed: u64) -> Case {
    let plan = format!("seed {seed}\n0 boot m0\n3000 start m0 c0 start=20ms stop=5ms\n");
    Case { plan: plan.parse().unwrap(), scenario: "test", mode: Mode::Available, check: None }
}

fn settings(seeds: Range<u64>, jobs: usize) -> Settings {
    Settings {
        seeds,
        jobs: NonZeroUsize::new(jobs).unwrap(),
        repeat_every: REPEAT_EVERY,
        cpu: || Duration::ZERO,
    }
}

fn batch(settings: &Settings, case: &(dyn Fn(u64) -> Case + Sync)) -> Batch {
    let mut batch = Batch::default();
    run_cases(settings, case, &mut |run| {
        if let Some(mut run) = run {
            batch.add(&run);
            batch.failures.extend(run.failure.take());
        }
        true
    });
    batch
}

#[test]
fn every_seed_runs_once_whatever_the_threads() {
    let one = batch(&settings(5..25, 1), &calm);
    let four = batch(&settings(5..25, 4), &calm);
    assert_eq!((one.seeds, one.violations), (20, 0));
    assert_eq!((one.virtual_time, one.inputs), (four.virtual_time, four.inputs));
    assert_eq!(one.coverage, four.coverage);
    let tally = one.tallies[&(Mode::Available, "hub".to_owned())];
    assert_eq!((tally.seeds, tally.virtual_time), (20, one.virtual_time));
}

#[test]
fn check_that_fails_is_a_violation_with_its_plan() {
    let case =
        |seed| Case { check: Some(|plan, _| Err(format!("seed {}", plan.seed))), ..calm(seed) };
    let batch = batch(&settings(0..3, 2), &case);
    assert_eq!((batch.violations, batch.failures.len()), (3, 3));
    let failure = &batch.failures[0];
    assert_eq!(failure.violation.law, "test");
    assert_eq!(failure.violation.what, format!("seed {}", failure.plan.seed));
}

#[test]
fn answer_no_ends_a_batch_that_has_no_end() {
    let mut runs = 0;
    run_cases(&settings(0..u64::MAX, 2), &calm, &mut |run| {
        runs += usize::from(run.is_some());
        runs < 5
    });
    assert!((5..12).contains(&runs), "{runs}");
}

/// A run that breaks S19 is decided by something that is not its plan; here the plan changes.
#[test]
fn run_that_differs_from_its_repetition_breaks_s19() {
    static SECOND: AtomicBool = AtomicBool::new(false);
    let outcome = run_plan(&calm(1).plan);
    let other = run_plan(&calm(2).plan);
    let one = (outcome.trace_hash, outcome.trace.as_slice());
    assert!(same_run(one, (other.trace_hash, &other.trace)).is_err());
    let differs = first_difference(|| {
        let seed = if SECOND.fetch_xor(true, Ordering::Relaxed) { 1 } else { 2 };
        run_plan(&calm(seed).plan);
    });
    assert!(differs.is_some_and(|draw| draw.starts_with("draw 0: ")));
}

#[test]
fn one_seed_in_a_hundred_is_repeated_and_all_where_asked() {
    let sparse = settings(0..10_000, 1);
    let repeated = (0..10_000).filter(|seed| is_repeated(&sparse, *seed)).count();
    assert!((60..140).contains(&repeated), "{repeated}");
    let all = Settings { repeat_every: NonZeroU64::MIN, ..sparse };
    assert!((0..100).all(|seed| is_repeated(&all, seed)));
}
