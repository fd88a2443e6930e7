//! Running cases, and what came of them.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, Runtime};

use crate::{
    case::{Case, Gate, Need, cases},
    failure::{Failure, Outcome},
    harness::{Harness, Time},
    world::World,
};

/// How many cases [`run`] has under way at once; most of their time is waiting.
const AT_ONCE: usize = 4;

/// What came of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The backend has this outcome.
    Passed,
    /// The case does not apply, for want of this.
    Skipped(Need),
    /// The backend has another outcome, or promises one that nothing can show.
    Failed(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Skipped(need) => write!(f, "skipped: it needs {need}"),
            Self::Failed(why) => write!(f, "FAILED: {why}"),
        }
    }
}

/// What came of each case that was run, in the order of their numbers.
#[derive(Debug, Clone)]
pub struct Report {
    rows: Vec<(Case, Verdict, Duration)>,
}

impl Report {
    /// Each case, its verdict, and how long it took on the machine's clock.
    pub fn rows(&self) -> impl Iterator<Item = (&Case, &Verdict, Duration)> {
        self.rows.iter().map(|(case, verdict, took)| (case, verdict, *took))
    }

    /// The names of the cases that failed.
    pub fn failed(&self) -> impl Iterator<Item = &'static str> {
        let failed =
            self.rows.iter().filter(|(_, verdict, _)| matches!(verdict, Verdict::Failed(_)));
        failed.map(|(case, ..)| case.name)
    }

    /// The names of the cases that were skipped.
    pub fn skipped(&self) -> impl Iterator<Item = &'static str> {
        let skipped = |verdict: &Verdict| matches!(verdict, Verdict::Skipped(_));
        self.rows.iter().filter(move |(_, it, _)| skipped(it)).map(|(case, ..)| case.name)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (case, verdict, took) in &self.rows {
            writeln!(f, "{:>2} {:<62} {:>7.2?}  {verdict}", case.number, case.name, took)?;
        }
        Ok(())
    }
}

/// Runs the cases that `filter` keeps, a few at a time, each in a cluster and a runtime of its own.
pub fn run(harness: &dyn Harness, filter: impl Fn(&Case) -> bool) -> Report {
    let waiting: VecDeque<Case> = cases().iter().copied().filter(filter).collect();
    let waiting = Mutex::new(waiting);
    let rows = Mutex::new(Vec::new());
    let work = || {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(case) = next else { return };
            let began = Instant::now();
            let verdict = run_case(harness, &case);
            let row = (case, verdict, began.elapsed());
            rows.lock().unwrap_or_else(PoisonError::into_inner).push(row);
        }
    };
    thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    rows.sort_by_key(|(case, ..)| case.number);
    Report { rows }
}

/// Runs one case in a runtime of its own.
pub fn run_case(harness: &dyn Harness, case: &Case) -> Verdict {
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let (runtime, is_paused) = runtime(harness.time())?;
        runtime.block_on(async {
            let world = World::new(harness, is_paused).await?;
            match case.gate(&world.promises, &world.means) {
                Gate::Closed(need) => return Ok(Verdict::Skipped(need)),
                Gate::Unshown(need) => {
                    return Ok(Verdict::Failed(format!("it is promised; to show it takes {need}")));
                }
                Gate::Open => {}
            }
            (case.run)(&world).await?;
            world.no_breach()?;
            Ok(Verdict::Passed)
        })
    }));
    match ran {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(failure)) => Verdict::Failed(Failure::to_string(&failure)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Verdict::Failed(format!("a panic: {}", text.unwrap_or("without a word")))
        }
    }
}

fn runtime(time: Time) -> Outcome<(Runtime, bool)> {
    let mut builder = Builder::new_current_thread();
    builder.enable_all();
    let is_paused = time == Time::Paused;
    #[cfg(feature = "paused")]
    builder.start_paused(is_paused);
    if is_paused && !cfg!(feature = "paused") {
        return Err(Failure::new("paused time needs the feature `paused` of pogo-conformance"));
    }
    let runtime = builder.build();
    let runtime = runtime.map_err(|error| Failure::new(format!("no runtime: {error}")))?;
    Ok((runtime, is_paused))
}

/// Runs the case of this name as a test of [`conformance_tests!`](crate::conformance_tests): one
/// that does not apply passes.
///
/// # Panics
/// Where the case fails, or there is none of this name.
#[expect(clippy::panic, reason = "a test fails by panicking")]
pub fn check(harness: &dyn Harness, name: &str) {
    let Some(case) = cases().iter().find(|case| case.name == name) else {
        panic!("there is no case {name:?}");
    };
    if let Verdict::Failed(why) = run_case(harness, case) {
        panic!("case {case:?}: {why}");
    }
}

/// Holds that these cases do not apply to the backend, and all others do.
///
/// # Panics
/// Where that is not so.
#[expect(clippy::panic, reason = "a test fails by panicking")]
pub fn check_skips(harness: &dyn Harness, expected: &[&str]) {
    let promises = runtime(harness.time()).and_then(|(runtime, is_paused)| {
        runtime.block_on(async { Ok(World::new(harness, is_paused).await?.promises) })
    });
    let promises = promises.unwrap_or_else(|failure| panic!("{failure}"));
    let is_skipped =
        |case: &&Case| matches!(case.gate(&promises, &harness.means()), Gate::Closed(_));
    let skipped: BTreeSet<&str> = cases().iter().filter(is_skipped).map(|case| case.name).collect();
    let expected: BTreeSet<&str> = expected.iter().copied().collect();
    let silently: Vec<_> = skipped.difference(&expected).collect();
    let wrongly: Vec<_> = expected.difference(&skipped).collect();
    assert!(
        silently.is_empty() && wrongly.is_empty(),
        "skipped and not listed: {silently:?}; listed and not skipped: {wrongly:?}"
    );
}

/// Makes a `#[test]` of each case, and one that holds which of them are skipped.
///
/// The page of this crate has a whole example.
#[macro_export]
macro_rules! conformance_tests {
    ($harness:expr, skips: [$($skip:ident),* $(,)?] $(,)?) => {
        fn conformance_harness() -> impl $crate::Harness {
            $harness
        }

        $crate::for_each_case! { [$crate::case_test] }

        #[test]
        fn skipped_cases_are_these_and_no_others() {
            $crate::check_skips(&conformance_harness(), &[$(stringify!($skip)),*]);
        }
    };
}

/// One test for each row of the list.
#[doc(hidden)]
#[macro_export]
macro_rules! case_test {
    ($($number:literal $file:ident $name:ident [$($needs:tt)*];)*) => {$(
        #[test]
        fn $name() {
            $crate::check(&conformance_harness(), stringify!($name));
        }
    )*};
}
