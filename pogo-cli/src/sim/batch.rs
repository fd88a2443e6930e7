//! Many seeds.

use std::{
    collections::BTreeSet,
    num::{NonZeroU64, NonZeroUsize},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use pogo_sim::runner::{self, Cases, Failure, Run, Settings, Source, run_cases};

use super::{Failing, SimError, Teller, failing::make_small};
use crate::{clock::thread_cpu, verdict::Verdict};

/// What is run, and what is done with what comes out.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) cases: Cases,
    pub(super) seeds: Range<u64>,
    pub(super) jobs: NonZeroUsize,
    pub(super) repeat_every: NonZeroU64,
    pub(super) until: Option<Instant>,
    /// Set from outside: somebody wants an end.
    pub(super) ends: Arc<AtomicBool>,
    pub(super) coverage: bool,
    pub(super) failing: Failing,
    pub(super) teller: Teller,
}

/// What came out so far.
#[derive(Debug, Default)]
struct Outcome {
    sum: runner::Batch,
    /// The laws of which one breach was told in full.
    told: BTreeSet<String>,
}

impl Batch {
    pub(super) fn run(mut self) -> Result<Verdict, SimError> {
        let settings = Settings {
            seeds: self.seeds.clone(),
            jobs: self.jobs,
            repeat_every: self.repeat_every,
            cpu: thread_cpu,
        };
        let cases = self.cases.clone();
        let mut outcome = Outcome::default();
        let mut trouble = None;
        run_cases(&settings, &|seed| cases.case(seed), &mut |run| {
            let taken = match run {
                Some(run) => self.take(&mut outcome, run),
                None => Ok(()),
            };
            let shown = taken.and_then(|()| Ok(self.teller.progress(&outcome.sum, &self.seeds)?));
            // Whoever reads this is gone: nobody needs the rest.
            if let Err(error) = shown {
                trouble.get_or_insert(error);
            }
            trouble.is_none() && !self.is_over()
        });
        match trouble {
            Some(error) => Err(error),
            None => self.conclude(&outcome.sum),
        }
    }

    fn is_over(&self) -> bool {
        self.ends.load(Ordering::Relaxed) || self.until.is_some_and(|until| until <= Instant::now())
    }

    fn take(&mut self, outcome: &mut Outcome, mut run: Run) -> Result<(), SimError> {
        outcome.sum.add(&run);
        let Some(failure) = run.failure.take() else { return Ok(()) };
        self.teller.clear()?;
        let is_new = outcome.told.insert(failure.violation.law.to_owned());
        let small = self.make_small(&failure, is_new)?;
        let report = self.failing.keep(&failure, small, is_new);
        Ok(self.teller.violation(&report)?)
    }

    /// The first failing plan of each law is made smaller.
    fn make_small(&mut self, failure: &Failure, is_new: bool) -> Result<Option<Failure>, SimError> {
        if !is_new || !self.failing.shrinks {
            return Ok(None);
        }
        self.teller.shrinking(failure)?;
        let ends = &self.ends;
        let small = make_small(failure, &mut || ends.load(Ordering::Relaxed));
        self.teller.clear()?;
        Ok(small)
    }

    fn conclude(&mut self, sum: &runner::Batch) -> Result<Verdict, SimError> {
        self.teller.clear()?;
        let is_random = matches!(self.cases.source, Source::Cluster);
        let missing = if self.coverage && is_random { sum.coverage.missing() } else { Vec::new() };
        if self.coverage {
            self.teller.coverage(&sum.coverage, &missing)?;
        }
        let is_whole = sum.seeds == self.seeds.end - self.seeds.start;
        self.teller.summary(sum, is_whole, self.failing.build)?;
        let is_kept = sum.violations == 0 && missing.is_empty();
        Ok(if is_kept { Verdict::Kept } else { Verdict::Broken })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use pogo_sim::{
        plan::{BackendKind, Plan},
        scenario::Scenario,
    };

    use super::{
        super::{Build, Span},
        *,
    };

    /// Its plans cannot come to rest in the time that they give themselves.
    static RESTLESS: Scenario = Scenario { name: "restless", plan: restless, check: None };

    fn restless(seed: u64) -> Plan {
        let boots = "set settle=1ms\n0 boot m0\n1000 boot m1\n";
        let start = "3000 start m1 c0,c1,c2 start=4000ms stop=5ms\n";
        format!("seed {seed}\n{boots}{start}").parse().unwrap()
    }

    #[test]
    fn first_failing_plan_of_a_law_is_made_smaller_and_each_is_saved() {
        let folder = tempfile::tempdir().unwrap();
        let nodes = Span { first: 2, last: 3 };
        let batch = Batch {
            cases: Cases {
                source: Source::Scenario(&RESTLESS),
                kinds: Cases::kinds(Some(runner::Mode::Available), Some(BackendKind::Hub)),
                nodes: nodes.range(),
                children: nodes.range(),
                seconds: 1,
            },
            seeds: 4..7,
            jobs: NonZeroUsize::MIN,
            repeat_every: NonZeroU64::MAX,
            until: None,
            ends: Arc::default(),
            coverage: false,
            failing: Failing {
                folder: folder.path().to_owned(),
                shrinks: true,
                sizes: String::new(),
                build: Build { version: "0", commit: None },
            },
            teller: Teller::new(true),
        };
        assert_eq!(batch.run().unwrap(), Verdict::Broken);
        let mut sizes: Vec<(String, usize)> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let plan: Plan = fs::read_to_string(entry.path()).unwrap().parse().unwrap();
                (entry.file_name().into_string().unwrap(), plan.ops.len())
            })
            .collect();
        sizes.sort();
        let sizes: Vec<usize> = sizes.into_iter().map(|(_, operations)| operations).collect();
        assert_eq!(sizes.len(), 3);
        assert!(sizes[0] < 3 && sizes[1..] == [3, 3], "{sizes:?}");
    }
}
