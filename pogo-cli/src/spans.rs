//! When each run of each child began and ended, on disk at once, for those who measure.
//!
//! Each line is written with one call, so that a process killed with -9 loses nothing that
//! happened before. The clock is the machine's monotonic one: spans of several processes on one
//! machine can be put beside each other.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use pogo::{Child, ChildContext, ChildId, Exit};
use serde::Serialize;

use crate::clock::monotonic;

/// A file of spans; a cheap handle. The one without a file writes nothing.
#[derive(Debug, Clone, Default)]
pub struct SpanLog(Option<Arc<Log>>);

#[derive(Debug)]
struct Log {
    file: File,
    runs: AtomicU64,
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    child: &'a str,
    /// Counts the runs of this process, from 1.
    run: u64,
    event: &'static str,
    at_ns: u64,
}

impl SpanLog {
    /// Appends to the file at `path`, which is made where it is missing.
    ///
    /// # Errors
    /// What the system says.
    pub fn append_to(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Self(Some(Arc::new(Log { file, runs: AtomicU64::new(0) }))))
    }

    fn begin(&self, child: &ChildId) -> Option<Span> {
        let log = Arc::clone(self.0.as_ref()?);
        let run = log.runs.fetch_add(1, Ordering::Relaxed) + 1;
        log.write(child, run, "begin");
        Some(Span { log, child: child.clone(), run })
    }
}

impl Log {
    fn write(&self, child: &ChildId, run: u64, event: &'static str) {
        let at_ns = u64::try_from(monotonic().as_nanos()).unwrap_or(u64::MAX);
        let line = Line { child: child.as_str(), run, event, at_ns };
        let written = serde_json::to_vec(&line).map_err(io::Error::from).and_then(|mut bytes| {
            bytes.push(b'\n');
            (&self.file).write_all(&bytes)
        });
        if let Err(error) = written {
            tracing::error!(%child, run, event, %error, "a span was not written");
        }
    }
}

/// A run under way; its end is written when this is dropped.
#[derive(Debug)]
struct Span {
    log: Arc<Log>,
    child: ChildId,
    run: u64,
}

impl Drop for Span {
    fn drop(&mut self) {
        self.log.write(&self.child, self.run, "end");
    }
}

/// A kind whose runs are written down; it is the kind `C` in all else.
#[derive(Debug, Clone)]
pub struct Recorded<C> {
    child: C,
    spans: SpanLog,
}

impl<C> Recorded<C> {
    /// Writes the runs of `child` to `spans`.
    pub const fn new(child: C, spans: SpanLog) -> Self {
        Self { child, spans }
    }
}

impl<C: Child> Child for Recorded<C> {
    const KIND: &'static str = C::KIND;
    type Args = C::Args;
    type State = C::State;

    async fn run(&self, args: C::Args, cx: ChildContext<C::State>) -> Exit {
        // Dropped after the child's own future, so that nothing of the run is left at its end.
        let _span = self.spans.begin(cx.id());
        self.child.run(args, cx).await
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Value;

    use super::*;

    #[test]
    fn begin_and_end_of_each_run_are_in_the_file_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spans");
        let lines = || -> Vec<Value> {
            let text = fs::read_to_string(&path).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let log = SpanLog::append_to(&path).unwrap();
        let child = ChildId::new("a \"b\"").unwrap();
        let first = log.begin(&child);
        assert_eq!(lines().len(), 1);
        let second = log.begin(&child);
        drop((first, second));
        let told: Vec<_> = lines()
            .iter()
            .map(|line| {
                assert_eq!(line["child"], "a \"b\"");
                (line["run"].as_u64().unwrap(), line["event"].as_str().unwrap().to_owned())
            })
            .collect();
        let told: Vec<_> = told.iter().map(|(run, event)| (*run, event.as_str())).collect();
        assert_eq!(told, [(1, "begin"), (2, "begin"), (1, "end"), (2, "end")]);
        let times: Vec<_> = lines().iter().map(|line| line["at_ns"].as_u64().unwrap()).collect();
        assert!(times.is_sorted() && times[0] > 0, "{times:?}");
    }

    #[test]
    fn nothing_is_written_without_a_file() {
        assert!(SpanLog::default().begin(&ChildId::new("a").unwrap()).is_none());
    }
}
