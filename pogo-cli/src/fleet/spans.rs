//! Reads what agents write of the runs of their children, as it grows, into a ledger.
//!
//! Each agent appends to a file of its own. A pass reads what is new in all of them and enters only
//! what happened before the pass began: whatever led to that was written before it, so the ledger
//! never shows a successor whose predecessor's end stands in a file that the pass had read already.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;

use crate::{
    clock::monotonic,
    ledger::{Edge, Entry, Ledger, RunKey},
};

/// Span files that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpansError {
    /// The system refused it.
    #[error("cannot read the spans in {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A line is not what agents write.
    #[error("{path} has a line that is no span: {line:?}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line.
        line: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// The span files of all agents that live.
#[derive(Debug)]
pub(super) struct SpanReader {
    ledger: Ledger,
    files: Vec<SpanFile>,
    /// Read, but too young to be entered.
    held: Vec<Entry>,
    /// A process is being killed since then: nothing younger is entered until its end is.
    dying: Option<Duration>,
}

#[derive(Debug)]
struct SpanFile {
    process: u64,
    member: Arc<str>,
    path: PathBuf,
    file: File,
    /// The begin of a line whose end is not written yet.
    rest: Vec<u8>,
}

#[derive(Deserialize)]
struct Line {
    child: String,
    run: u64,
    event: LineEvent,
    at_ns: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum LineEvent {
    Begin,
    End,
}

impl SpanReader {
    pub(super) const fn new(ledger: Ledger) -> Self {
        Self { ledger, files: Vec::new(), held: Vec::new(), dying: None }
    }

    /// Reads a file from now on; the agent appends to it.
    pub(super) fn add(
        &mut self,
        process: u64,
        member: &str,
        path: &Path,
    ) -> Result<(), SpansError> {
        let file = File::open(path).map_err(|source| read_error(path, source))?;
        let (path, member) = (path.to_owned(), member.into());
        self.files.push(SpanFile { process, member, path, file, rest: Vec::new() });
        Ok(())
    }

    /// Enters what is new.
    pub(super) fn pass(&mut self) -> Result<(), SpansError> {
        let began = monotonic();
        for file in &mut self.files {
            file.read(&mut self.held)?;
        }
        let until = self.dying.unwrap_or(began);
        let ripe: Vec<_> = self.held.extract_if(.., |entry| entry.at <= until).collect();
        if !ripe.is_empty() {
            self.ledger.enter(ripe);
        }
        Ok(())
    }

    /// A process is about to be killed: what happens from now on is held back.
    pub(super) fn expect_death(&mut self) {
        self.dying.get_or_insert_with(monotonic);
    }

    /// A process ended at `at`: what it still wrote is entered, and its runs end.
    pub(super) fn end_process(&mut self, process: u64, at: Duration) -> Result<(), SpansError> {
        let place = self.files.iter().position(|file| file.process == process);
        if let Some(mut file) = place.map(|place| self.files.swap_remove(place)) {
            file.read(&mut self.held)?;
        }
        let is_last = |entry: &mut Entry| entry.key.process == process;
        let last: Vec<_> = self.held.extract_if(.., is_last).collect();
        self.ledger.enter(last);
        self.ledger.end_process(process, at);
        self.dying = None;
        self.pass()
    }
}

impl SpanFile {
    fn read(&mut self, entries: &mut Vec<Entry>) -> Result<(), SpansError> {
        let read = self.file.read_to_end(&mut self.rest);
        read.map_err(|source| read_error(&self.path, source))?;
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return Ok(()) };
        let (whole, rest) = self.rest.split_at(end + 1);
        let lines = whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        // On an error nothing is taken, so that whoever asks next gets it too.
        let read: Vec<_> = lines.map(|line| self.entry(line)).collect::<Result<_, _>>()?;
        entries.extend(read);
        self.rest = rest.to_vec();
        Ok(())
    }

    fn entry(&self, line: &[u8]) -> Result<Entry, SpansError> {
        let Line { child, run, event, at_ns } =
            serde_json::from_slice(line).map_err(|source| SpansError::Line {
                path: self.path.clone(),
                line: String::from_utf8_lossy(line).into_owned(),
                source,
            })?;
        let edge = match event {
            LineEvent::Begin => Edge::Begin,
            LineEvent::End => Edge::End,
        };
        let key = RunKey { process: self.process, run };
        let at = Duration::from_nanos(at_ns);
        Ok(Entry { child, key, member: Arc::clone(&self.member), edge, at })
    }
}

fn read_error(path: &Path, source: io::Error) -> SpansError {
    SpansError::Read { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, io::Write};

    use super::*;

    struct Agent {
        file: tempfile::NamedTempFile,
    }

    impl Agent {
        fn join(reader: &mut SpanReader, process: u64) -> Self {
            let file = tempfile::NamedTempFile::new().unwrap();
            reader.add(process, &format!("m{process}"), file.path()).unwrap();
            Self { file }
        }

        fn write(&mut self, event: &str, at: Duration) {
            let at_ns = at.as_nanos();
            writeln!(self.file, r#"{{"child":"a","run":1,"event":"{event}","at_ns":{at_ns}}}"#)
                .unwrap();
        }
    }

    fn running(ledger: &Ledger) -> usize {
        ledger.standing(&BTreeSet::from(["a".to_owned()])).running
    }

    #[test]
    fn spans_of_several_agents_become_one_ledger() {
        let ledger = Ledger::default();
        let mut reader = SpanReader::new(ledger.clone());
        let mut agents = [1, 2].map(|process| Agent::join(&mut reader, process));
        agents[0].write("begin", monotonic());
        reader.pass().unwrap();
        assert_eq!(ledger.by_member().keys().collect::<Vec<_>>(), ["m1"]);
        agents[0].write("end", monotonic());
        agents[1].write("begin", monotonic());
        reader.pass().unwrap();
        assert_eq!(ledger.by_member().keys().collect::<Vec<_>>(), ["m2"]);
        assert_eq!((running(&ledger), ledger.overlaps()), (1, 0));
    }

    #[test]
    fn half_a_line_waits_for_its_end() {
        let ledger = Ledger::default();
        let mut reader = SpanReader::new(ledger.clone());
        let mut agent = Agent::join(&mut reader, 1);
        let line = format!(
            "{{\"child\":\"a\",\"run\":1,\"event\":\"begin\",\"at_ns\":{}}}\n",
            monotonic().as_nanos()
        );
        let (head, tail) = line.split_at(20);
        agent.file.write_all(head.as_bytes()).unwrap();
        reader.pass().unwrap();
        assert_eq!(running(&ledger), 0);
        agent.file.write_all(tail.as_bytes()).unwrap();
        reader.pass().unwrap();
        assert_eq!(running(&ledger), 1);
    }

    #[test]
    fn what_happens_while_a_process_dies_counts_after_its_end() {
        let ledger = Ledger::default();
        let mut reader = SpanReader::new(ledger.clone());
        let [mut victim, mut heir] = [1, 2].map(|process| Agent::join(&mut reader, process));
        victim.write("begin", monotonic());
        reader.pass().unwrap();
        reader.expect_death();
        let over = monotonic();
        heir.write("begin", monotonic());
        reader.pass().unwrap();
        assert_eq!((running(&ledger), ledger.overlaps()), (1, 0), "not known to be dead yet");
        reader.end_process(1, over).unwrap();
        assert_eq!((running(&ledger), ledger.overlaps()), (1, 0));
        assert_eq!(ledger.by_member().keys().collect::<Vec<_>>(), ["m2"]);
    }

    #[test]
    fn last_words_of_a_dead_process_are_read() {
        let ledger = Ledger::default();
        let mut reader = SpanReader::new(ledger.clone());
        let [mut victim, mut heir] = [1, 2].map(|process| Agent::join(&mut reader, process));
        reader.expect_death();
        victim.write("begin", monotonic());
        heir.write("begin", monotonic());
        reader.end_process(1, monotonic()).unwrap();
        assert_eq!(ledger.overlaps(), 1, "both ran before the first was gone");
        assert_eq!(ledger.by_member().keys().collect::<Vec<_>>(), ["m2"]);
    }

    #[test]
    fn line_that_is_no_span_is_an_error_that_shows_it() {
        let mut reader = SpanReader::new(Ledger::default());
        let mut agent = Agent::join(&mut reader, 1);
        agent.file.write_all(b"panicked at\n").unwrap();
        for _ in ["once", "again"] {
            let error = reader.pass().unwrap_err();
            assert!(error.to_string().contains("panicked at"), "{error}");
        }
    }
}
