//! The arithmetic of runs: who ran when, and what follows from that.
//!
//! Runs may be written down in any order, for what different processes tell arrives late and
//! mixed; only the times in them count.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// Names a run: which process, and which run of a child there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RunKey {
    /// A number per process start.
    pub process: u64,
    /// A number that the process gives to no other run of the same child.
    pub run: u64,
}

/// All runs, folded as they grow old.
#[derive(Debug, Default)]
pub(super) struct Book {
    children: BTreeMap<String, Track>,
    /// Overlaps among the runs that were folded away.
    folded: u64,
}

/// The runs of one child, by when they began.
#[derive(Debug, Default)]
struct Track {
    runs: Vec<Run>,
    /// The latest end among the runs that were folded away.
    folded_until: Option<Duration>,
}

#[derive(Debug)]
struct Run {
    key: RunKey,
    member: Arc<str>,
    began_at: Duration,
    ended_at: Option<Duration>,
}

/// How some children fared, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// How many of them run.
    pub running: usize,
    /// When the first of those that run began.
    pub first_began_at: Duration,
    /// When the last of those that run began.
    pub last_began_at: Duration,
    /// The longest time that one of those that run was away before.
    pub longest_gap: Duration,
}

/// What happened to all children since some moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The children that began a run.
    pub began: BTreeSet<String>,
    /// When the first run began.
    pub first_began_at: Duration,
    /// When the last run began.
    pub last_began_at: Duration,
    /// The longest time that one of these children did not run before it ran again.
    pub longest_gap: Duration,
}

/// More runs of a child than this are folded, once they are old.
const KEPT: usize = 4;
/// What is told later than this after it happened comes too late to be counted.
const OLD: Duration = Duration::from_secs(30);

impl Book {
    pub(super) fn begin(&mut self, child: &str, key: RunKey, member: &Arc<str>, at: Duration) {
        if !self.children.contains_key(child) {
            self.children.insert(child.to_owned(), Track::default());
        }
        let Some(track) = self.children.get_mut(child) else { return };
        let run = Run { key, member: Arc::clone(member), began_at: at, ended_at: None };
        let place = track.runs.partition_point(|other| other.began_at <= at);
        track.runs.insert(place, run);
        self.folded += track.fold(at);
    }

    pub(super) fn end(&mut self, child: &str, key: RunKey, at: Duration) {
        let runs = self.children.get_mut(child).map(|track| track.runs.iter_mut());
        if let Some(run) = runs.and_then(|mut runs| runs.find(|run| run.key == key)) {
            run.ended_at.get_or_insert(at);
        }
    }

    /// Ends every run of a process that is no more.
    pub(super) fn end_process(&mut self, process: u64, at: Duration) {
        let runs = self.children.values_mut().flat_map(|track| &mut track.runs);
        for run in runs.filter(|run| run.key.process == process) {
            // A run that began as the process ended cannot have ended before.
            let at = at.max(run.began_at);
            run.ended_at.get_or_insert(at);
        }
    }

    pub(super) fn overlaps(&self) -> u64 {
        self.folded + self.children.values().map(Track::overlaps).sum::<u64>()
    }

    pub(super) fn by_member(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut members: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (child, track) in &self.children {
            for run in track.open() {
                members.entry(run.member.to_string()).or_default().insert(child.clone());
            }
        }
        members
    }

    pub(super) fn standing<'a>(&self, children: impl IntoIterator<Item = &'a String>) -> Standing {
        let mut standing = Standing::default();
        for child in children {
            let Some(track) = self.children.get(child) else { continue };
            let Some(began_at) = track.open().map(|run| run.began_at).min() else { continue };
            let first = if standing.running == 0 { began_at } else { standing.first_began_at };
            standing.running += 1;
            standing.first_began_at = first.min(began_at);
            standing.last_began_at = standing.last_began_at.max(began_at);
            standing.longest_gap = standing.longest_gap.max(track.gap_before(began_at));
        }
        standing
    }

    pub(super) fn changes_since(&self, since: Duration) -> Changes {
        let mut changes = Changes::default();
        for (child, track) in &self.children {
            for run in track.runs.iter().filter(|run| run.began_at >= since) {
                let first =
                    if changes.began.is_empty() { run.began_at } else { changes.first_began_at };
                changes.first_began_at = first.min(run.began_at);
                changes.began.insert(child.clone());
                changes.last_began_at = changes.last_began_at.max(run.began_at);
                changes.longest_gap = changes.longest_gap.max(track.gap_before(run.began_at));
            }
        }
        changes
    }
}

impl Track {
    fn open(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|run| run.ended_at.is_none())
    }

    /// Runs that began while an earlier one was under way.
    fn overlaps(&self) -> u64 {
        let mut until = self.folded_until.unwrap_or_default();
        let mut overlaps = 0;
        for run in &self.runs {
            overlaps += u64::from(run.began_at < until);
            until = until.max(run.ended_at.unwrap_or(Duration::MAX));
        }
        overlaps
    }

    /// How long nothing ran before `at`; no time where nothing had run at all.
    fn gap_before(&self, at: Duration) -> Duration {
        let earlier = self.runs.iter().filter(|run| run.began_at < at);
        let ends = earlier.map(|run| run.ended_at.unwrap_or(Duration::MAX));
        let last = ends.chain(self.folded_until).max();
        last.map_or(Duration::ZERO, |last| at.saturating_sub(last))
    }

    /// Forgets what is old, and returns the overlaps in it.
    fn fold(&mut self, now: Duration) -> u64 {
        let mut overlaps = 0;
        while self.runs.len() > KEPT {
            let Some(Run { began_at, ended_at: Some(ended_at), .. }) = self.runs.first() else {
                break;
            };
            if *ended_at + OLD > now {
                break;
            }
            let until = self.folded_until.unwrap_or_default();
            overlaps += u64::from(*began_at < until);
            self.folded_until = Some(until.max(*ended_at));
            self.runs.remove(0);
        }
        overlaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// (process, run, began, ended), in the order in which they are told.
    fn book(runs: &[(u64, u64, u64, Option<u64>)]) -> Book {
        let mut book = Book::default();
        for (process, run, began, ended) in runs {
            let key = RunKey { process: *process, run: *run };
            book.begin("a", key, &format!("m{process}").into(), ms(*began));
            if let Some(ended) = ended {
                book.end("a", key, ms(*ended));
            }
        }
        book
    }

    fn ids() -> BTreeSet<String> {
        BTreeSet::from(["a".to_owned()])
    }

    #[test]
    fn order_of_telling_does_not_matter() {
        let told = [(1, 1, 100, Some(200)), (2, 1, 205, Some(300)), (1, 2, 290, None)];
        let mut backwards = told;
        backwards.reverse();
        for runs in [told, backwards] {
            let book = book(&runs);
            assert_eq!(book.overlaps(), 1, "290 lies before 300, 205 after 200: {book:?}");
            let standing = book.standing(&ids());
            assert_eq!((standing.running, standing.last_began_at), (1, ms(290)));
            assert_eq!(standing.longest_gap, ms(0));
            assert_eq!(book.changes_since(ms(150)).longest_gap, ms(5));
        }
    }

    #[test]
    fn killed_run_ends_with_its_process() {
        let mut book = book(&[(1, 1, 100, None), (2, 1, 250, None)]);
        assert_eq!(book.overlaps(), 1, "nobody has said yet that process 1 is dead");
        book.end_process(1, ms(240));
        assert_eq!(book.overlaps(), 0);
        let standing = book.standing(&ids());
        assert_eq!((standing.running, standing.longest_gap), (1, ms(10)));
        assert_eq!(book.by_member(), BTreeMap::from([("m2".to_owned(), ids())]));
    }

    #[test]
    fn successor_that_began_before_its_predecessor_was_over_is_a_duplicate() {
        let mut book = book(&[(1, 1, 100, None), (2, 1, 230, None)]);
        book.end_process(1, ms(240));
        assert_eq!(book.overlaps(), 1);
    }

    #[test]
    fn restarted_process_is_another_one() {
        let mut book = book(&[(1, 1, 100, None)]);
        book.end_process(1, ms(200));
        book.begin("a", RunKey { process: 2, run: 1 }, &"m1".into(), ms(300));
        book.end("a", RunKey { process: 1, run: 1 }, ms(350));
        let standing = book.standing(&ids());
        assert_eq!((standing.running, standing.longest_gap), (1, ms(100)));
        assert_eq!(book.overlaps(), 0);
    }

    #[test]
    fn changes_name_only_children_that_began_since() {
        let mut book = book(&[(1, 1, 100, Some(500)), (3, 1, 520, None)]);
        book.begin("b", RunKey { process: 1, run: 1 }, &"m1".into(), ms(100));
        let changes = book.changes_since(ms(400));
        assert_eq!(changes.began, ids());
        assert_eq!((changes.last_began_at, changes.longest_gap), (ms(520), ms(20)));
        assert_eq!(book.changes_since(ms(600)), Changes::default());
    }

    #[test]
    fn old_runs_are_folded_and_stay_counted() {
        let mut book = Book::default();
        for run in 0..100_u64 {
            let key = RunKey { process: 1, run };
            // Each begins 1 s before the former ends.
            book.begin("a", key, &"m".into(), ms(run * 10_000));
            book.end("a", key, ms(run * 10_000 + 11_000));
        }
        assert_eq!(book.overlaps(), 99);
        assert!(book.children["a"].runs.len() <= KEPT + 2, "{book:?}");
        assert_eq!(book.standing(&ids()).running, 0);
    }
}
