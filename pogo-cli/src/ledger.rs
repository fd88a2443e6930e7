//! Who ran what, and when: written by the children themselves.
//!
//! A listing says what members know of each other, and is late by nature. To say that a child was
//! never lost and never ran twice, each run opens a span as it begins and closes it as the last
//! of it is dropped, all on one monotonic clock. Spans are folded as they come, so a demo may run
//! for days.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// The spans of all runs in this process; a cheap handle.
#[derive(Debug, Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    origin: Instant,
    changed: Notify,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    next_run: u64,
    overlaps: u64,
    children: BTreeMap<String, Child>,
}

#[derive(Debug, Default)]
struct Child {
    open: Vec<Run>,
    ended_at: Option<Duration>,
    last_gap: Duration,
}

#[derive(Debug)]
struct Run {
    number: u64,
    member: String,
    began_at: Duration,
}

/// A run under way; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "the run ends when this is dropped"]
pub struct RunSpan {
    ledger: Ledger,
    child: String,
    number: u64,
}

/// How some children fared, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// How many of them run.
    pub running: usize,
    /// When the last of those that run began.
    pub last_began_at: Duration,
    /// The longest time that one of those that run was away before.
    pub longest_gap: Duration,
}

impl Default for Ledger {
    fn default() -> Self {
        let book = Mutex::default();
        let inner = Inner { origin: Instant::now(), changed: Notify::new(), book };
        Self { inner: Arc::new(inner) }
    }
}

impl Ledger {
    /// Writes down that a run of `child` begins on `member`.
    pub fn begin(&self, child: &str, member: &str) -> RunSpan {
        let mut book = self.book();
        // Read under the lock, so that the order of entries is the order of time.
        let began_at = self.inner.origin.elapsed();
        book.next_run += 1;
        let number = book.next_run;
        let entry = book.children.entry(child.to_owned()).or_default();
        let overlaps = u64::from(!entry.open.is_empty());
        if let Some(ended_at) = entry.ended_at.filter(|_| entry.open.is_empty()) {
            entry.last_gap = began_at.saturating_sub(ended_at);
        }
        entry.open.push(Run { number, member: member.to_owned(), began_at });
        book.overlaps += overlaps;
        drop(book);
        self.inner.changed.notify_waiters();
        RunSpan { ledger: self.clone(), child: child.to_owned(), number }
    }

    fn end(&self, child: &str, number: u64) {
        let mut book = self.book();
        let ended_at = self.inner.origin.elapsed();
        if let Some(entry) = book.children.get_mut(child) {
            entry.open.retain(|run| run.number != number);
            entry.ended_at = Some(ended_at);
        }
        drop(book);
        self.inner.changed.notify_waiters();
    }

    /// The time on the ledger's clock.
    pub fn now(&self) -> Duration {
        self.inner.origin.elapsed()
    }

    /// How often a run began while another run of the same child was under way.
    pub fn overlaps(&self) -> u64 {
        self.book().overlaps
    }

    /// The children that run on each member.
    pub fn by_member(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut members: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (child, entry) in &self.book().children {
            for run in &entry.open {
                members.entry(run.member.clone()).or_default().insert(child.clone());
            }
        }
        members
    }

    /// How `children` fare now.
    pub fn standing<'a>(&self, children: impl IntoIterator<Item = &'a String>) -> Standing {
        let book = self.book();
        let mut standing = Standing::default();
        for child in children {
            let Some(entry) = book.children.get(child) else { continue };
            let Some(began_at) = entry.open.iter().map(|run| run.began_at).min() else { continue };
            standing.running += 1;
            standing.last_began_at = standing.last_began_at.max(began_at);
            standing.longest_gap = standing.longest_gap.max(entry.last_gap);
        }
        standing
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
        self.ledger.end(&self.child, self.number);
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
