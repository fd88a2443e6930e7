//! Who ran what, and when: written by the children themselves.
//!
//! A listing says what members know of each other, and is late by nature. To say that a child was
//! never lost and never ran twice, each run opens a span as it begins and closes it as the last
//! of it is dropped, all on one monotonic clock. Children of this process write here; those of
//! other processes write files, which are read into a ledger. Spans are folded as they grow old,
//! so a demo may run for days.

mod book;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use self::book::Book;
pub use self::book::{Changes, RunKey, Standing};
use crate::clock::monotonic;

/// The spans of all runs; a cheap handle.
#[derive(Debug, Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    origin: Duration,
    next_run: AtomicU64,
    changed: Notify,
    book: Mutex<Book>,
}

/// A run under way; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "the run ends when this is dropped"]
pub struct RunSpan {
    ledger: Ledger,
    child: String,
    key: RunKey,
}

/// Something that another process told of one of its runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The child.
    pub child: String,
    /// The run.
    pub key: RunKey,
    /// Where it runs.
    pub member: Arc<str>,
    /// What happened.
    pub edge: Edge,
    /// When, on the machine's monotonic clock.
    pub at: Duration,
}

/// One end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// It began.
    Begin,
    /// It ended.
    End,
}

/// Of this process, in its own ledger.
const HERE: u64 = 0;

impl Default for Ledger {
    fn default() -> Self {
        let inner = Inner {
            origin: monotonic(),
            next_run: AtomicU64::new(0),
            changed: Notify::new(),
            book: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }
}

impl Ledger {
    /// Writes down that a run of `child` begins on `member`.
    pub fn begin(&self, child: &str, member: &str) -> RunSpan {
        let run = self.inner.next_run.fetch_add(1, Ordering::Relaxed);
        let key = RunKey { process: HERE, run };
        let mut book = self.book();
        book.begin(child, key, &member.into(), self.now());
        drop(book);
        self.inner.changed.notify_waiters();
        RunSpan { ledger: self.clone(), child: child.to_owned(), key }
    }

    fn end(&self, child: &str, key: RunKey) {
        // Read before the lock: the run is over now, whoever holds the book.
        let at = self.now();
        self.book().end(child, key, at);
        self.inner.changed.notify_waiters();
    }

    /// Writes down what other processes told, in whatever order.
    pub fn enter(&self, entries: impl IntoIterator<Item = Entry>) {
        let mut book = self.book();
        for Entry { child, key, member, edge, at } in entries {
            let at = self.at(at);
            match edge {
                Edge::Begin => book.begin(&child, key, &member, at),
                Edge::End => book.end(&child, key, at),
            }
        }
        drop(book);
        self.inner.changed.notify_waiters();
    }

    /// Writes down that a process was gone at `at` on the machine's monotonic clock, and every run
    /// with it.
    pub fn end_process(&self, process: u64, at: Duration) {
        self.book().end_process(process, self.at(at));
        self.inner.changed.notify_waiters();
    }

    /// The time on the ledger's clock.
    pub fn now(&self) -> Duration {
        self.at(monotonic())
    }

    /// The time on the ledger's clock that is `at` on the machine's.
    pub fn at(&self, at: Duration) -> Duration {
        at.saturating_sub(self.inner.origin)
    }

    /// How often a run began while another run of the same child was under way.
    pub fn overlaps(&self) -> u64 {
        self.book().overlaps()
    }

    /// The children that run on each member.
    pub fn by_member(&self) -> BTreeMap<String, BTreeSet<String>> {
        self.book().by_member()
    }

    /// How `children` fare now.
    pub fn standing<'a>(&self, children: impl IntoIterator<Item = &'a String>) -> Standing {
        self.book().standing(children)
    }

    /// What happened to all children since a moment on the ledger's clock.
    pub fn changes_since(&self, since: Duration) -> Changes {
        self.book().changes_since(since)
    }

    /// Waits until all of `children` run.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn all_running(&self, children: &BTreeSet<String>) -> Standing {
        loop {
            // Made before looking, or a span that opens in between would be missed.
            let mut changed = std::pin::pin!(self.inner.changed.notified());
            changed.as_mut().enable();
            let standing = self.standing(children);
            if standing.running == children.len() {
                return standing;
            }
            changed.await;
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.inner.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RunSpan {
    fn drop(&mut self) {
        self.ledger.end(&self.child, self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn second_run_of_one_child_counts_as_a_duplicate() {
        let ledger = Ledger::default();
        let first = ledger.begin("a", "m1");
        let _other = ledger.begin("b", "m1");
        assert_eq!(ledger.overlaps(), 0);
        let second = ledger.begin("a", "m2");
        assert_eq!(ledger.overlaps(), 1);
        drop(first);
        drop(second);
        let _third = ledger.begin("a", "m2");
        assert_eq!(ledger.overlaps(), 1, "runs one after the other do not overlap");
    }

    #[test]
    fn child_that_ended_or_never_began_counts_as_lost() {
        let ledger = Ledger::default();
        let all = ids(&["a", "b", "c"]);
        let a = ledger.begin("a", "m1");
        let b = ledger.begin("b", "m2");
        assert_eq!(ledger.standing(&all).running, 2, "c never began");
        drop(b);
        assert_eq!(ledger.standing(&all).running, 1, "b ended");
        assert_eq!(ledger.by_member(), BTreeMap::from([("m1".to_owned(), ids(&["a"]))]));
        drop(a);
        assert_eq!(ledger.standing(&all), Standing::default());
    }

    #[test]
    fn gap_is_the_time_without_any_run() {
        let ledger = Ledger::default();
        let all = ids(&["a"]);
        let first = ledger.begin("a", "m1");
        assert_eq!(ledger.standing(&all).longest_gap, Duration::ZERO, "no run went before");
        drop(first);
        let ended = ledger.now();
        while ledger.now() < ended + Duration::from_millis(5) {}
        let _second = ledger.begin("a", "m2");
        let standing = ledger.standing(&all);
        assert!(standing.longest_gap >= Duration::from_millis(5), "{standing:?}");
        assert!(standing.last_began_at >= ended + Duration::from_millis(5), "{standing:?}");
    }

    #[tokio::test]
    async fn waiting_ends_with_the_last_child_that_begins() {
        let ledger = Ledger::default();
        let all = ids(&["a", "b"]);
        let _a = ledger.begin("a", "m1");
        let waiting = tokio::spawn({
            let (ledger, all) = (ledger.clone(), all.clone());
            async move { ledger.all_running(&all).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "b does not run yet");
        let _b = ledger.begin("b", "m1");
        assert_eq!(waiting.await.unwrap(), ledger.standing(&all));
    }
}
