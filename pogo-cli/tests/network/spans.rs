//! Which runs of which children there were, and when: as the children themselves wrote it down, on the one monotonic
//! clock of this machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;

/// The time on the clock of the spans.
pub(crate) fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    let part = |number: i64| u64::try_from(number).expect("a time after the start of this machine");
    Duration::from_secs(part(now.tv_sec)) + Duration::from_nanos(part(now.tv_nsec))
}

/// A run of a child: the member, and its number there.
pub(crate) type Run = (usize, u64);

/// What the members of a cluster wrote down.
#[derive(Debug)]
pub(crate) struct Spans {
    files: Vec<(PathBuf, u64)>,
    runs: BTreeMap<String, BTreeMap<Run, Span>>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    began: Duration,
    ended: Option<Duration>,
}

#[derive(Debug, Deserialize)]
struct Line {
    child: String,
    run: u64,
    event: Edge,
    at_ns: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Edge {
    Begin,
    End,
}

impl Spans {
    /// Those that the members write to `files`, one each.
    pub(crate) fn of(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let files = files.into_iter().map(|path| (path, 0)).collect();
        Self { files, runs: BTreeMap::new() }
    }

    /// Takes in what was written since the last time.
    pub(crate) fn read(&mut self) {
        for (member, (path, read)) in self.files.iter_mut().enumerate() {
            let Ok(mut file) = File::open(path) else { continue };
            file.seek(SeekFrom::Start(*read)).expect("a place in the file");
            let mut text = String::new();
            file.read_to_string(&mut text).expect("spans are text");
            // What follows the last line end is a line under way.
            let (lines, _) = text.rsplit_once('\n').unwrap_or_default();
            *read += if lines.is_empty() { 0 } else { lines.len() as u64 + 1 };
            for line in lines.lines() {
                let line: Line = serde_json::from_str(line).expect("a span");
                let at = Duration::from_nanos(line.at_ns);
                let runs = self.runs.entry(line.child).or_default();
                match line.event {
                    Edge::Begin => {
                        let span = Span { began: at, ended: None };
                        assert!(runs.insert((member, line.run), span).is_none(), "one begin");
                    }
                    Edge::End => {
                        let span = runs.get_mut(&(member, line.run)).expect("it began");
                        assert!(span.ended.replace(at).is_none(), "one end");
                    }
                }
            }
        }
    }

    /// The runs under way on these members, by child.
    pub(crate) fn open(&self, members: &[usize]) -> BTreeMap<&str, Vec<Run>> {
        let open = |runs: &BTreeMap<Run, Span>| -> Vec<Run> {
            let open = runs.iter().filter(|(_, span)| span.ended.is_none()).map(|(run, _)| *run);
            open.filter(|(member, _)| members.contains(member)).collect()
        };
        self.runs.iter().map(|(child, runs)| (child.as_str(), open(runs))).collect()
    }

    /// The one run of each of `children` on these members; an error says where there is another number of them.
    pub(crate) fn one_of_each(
        &self,
        children: &BTreeSet<String>,
        members: &[usize],
    ) -> Result<BTreeMap<String, Run>, String> {
        let open = self.open(members);
        let mut wrong = Vec::new();
        let mut found = BTreeMap::new();
        for child in children {
            match open.get(child.as_str()).map_or(&[][..], Vec::as_slice) {
                [run] => drop(found.insert(child.clone(), *run)),
                other => wrong.push(format!("{child}: {other:?}")),
            }
        }
        if wrong.is_empty() {
            Ok(found)
        } else {
            Err(format!("not one run each on {members:?}: {}", wrong.join(", ")))
        }
    }

    /// When a run began or ended last.
    pub(crate) fn last_change(&self) -> Duration {
        let spans = self.runs.values().flat_map(BTreeMap::values);
        spans.map(|span| span.ended.unwrap_or(span.began)).max().unwrap_or_default()
    }

    /// What happened since, in the order of time.
    pub(crate) fn since(&self, since: Duration) -> Vec<String> {
        let edges = |(child, (member, _), span): (&String, Run, &Span)| {
            let edge = |at: Duration, what| (at, format!("{child} {what} on {member}"));
            [Some(edge(span.began, "begins")), span.ended.map(|at| edge(at, "ends"))]
        };
        let runs = self
            .runs
            .iter()
            .flat_map(|(child, runs)| runs.iter().map(move |(run, span)| (child, *run, span)));
        let mut edges: Vec<_> = runs.flat_map(edges).flatten().filter(|it| it.0 >= since).collect();
        edges.sort();
        let ms = |at: Duration| at.saturating_sub(since).as_millis();
        edges.into_iter().map(|(at, what)| format!("+{} ms {what}", ms(at))).collect()
    }

    /// The children that at some time since `since` did not run on any of these members, though they had before.
    pub(crate) fn lost(&self, since: Duration) -> BTreeSet<&str> {
        let lost = |runs: &BTreeMap<Run, Span>| {
            let mut spans: Vec<_> = runs.values().collect();
            spans.sort_by_key(|span| span.began);
            let mut until = Duration::ZERO;
            let mut gap = false;
            for span in spans {
                gap |= until > Duration::ZERO && span.began > until && span.began > since;
                until = until.max(span.ended.unwrap_or(Duration::MAX));
            }
            gap || until < Duration::MAX
        };
        let all = self.runs.iter().filter(|(_, runs)| lost(runs));
        all.map(|(child, _)| child.as_str()).collect()
    }

    /// The children of which two runs were under way at once on these members between two times.
    pub(crate) fn doubled(
        &self,
        members: &[usize],
        since: Duration,
        until: Duration,
    ) -> BTreeSet<&str> {
        let doubled = |runs: &BTreeMap<Run, Span>| {
            let here = runs.iter().filter(|((member, _), _)| members.contains(member));
            let cut = |span: &Span| {
                (span.began.max(since), span.ended.unwrap_or(Duration::MAX).min(until))
            };
            let mut spans: Vec<_> =
                here.map(|(_, span)| cut(span)).filter(|(from, to)| from < to).collect();
            spans.sort_unstable();
            spans.windows(2).any(|pair| pair[1].0 < pair[0].1)
        };
        let all = self.runs.iter().filter(|(_, runs)| doubled(runs));
        all.map(|(child, _)| child.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Spans of the child `a`: (member, begin, end).
    fn spans(runs: &[(usize, u64, Option<u64>)]) -> Spans {
        let mut spans = Spans::of([]);
        for (number, (member, began, ended)) in (0..).zip(runs) {
            let span = Span { began: ms(*began), ended: ended.map(ms) };
            spans.runs.entry("a".to_owned()).or_default().insert((*member, number), span);
        }
        spans
    }

    #[test]
    fn child_is_lost_where_nothing_runs_for_a_moment() {
        let a = BTreeSet::from(["a"]);
        assert_eq!(spans(&[(0, 1, Some(5)), (1, 6, None)]).lost(ms(2)), a);
        assert_eq!(spans(&[(0, 1, Some(5))]).lost(ms(2)), a, "it runs no more");
        assert!(spans(&[(0, 1, Some(5)), (1, 6, None)]).lost(ms(7)).is_empty(), "that was before");
        assert!(spans(&[(0, 1, Some(5)), (1, 4, None)]).lost(ms(2)).is_empty());
        assert!(spans(&[(0, 1, None), (1, 4, Some(5))]).lost(ms(2)).is_empty());
    }

    #[test]
    fn child_is_doubled_where_two_run_on_the_same_side() {
        let two = spans(&[(0, 1, None), (1, 10, Some(20))]);
        assert_eq!(two.doubled(&[0, 1], ms(0), ms(100)), BTreeSet::from(["a"]));
        assert!(two.doubled(&[0, 1], ms(20), ms(100)).is_empty(), "no more then");
        assert!(two.doubled(&[0, 1], ms(0), ms(10)).is_empty(), "not yet then");
        assert!(two.doubled(&[0, 2], ms(0), ms(100)).is_empty(), "the other is on the other side");
    }

    #[test]
    fn one_of_each_tells_none_from_many() {
        let children = BTreeSet::from(["a".to_owned()]);
        let two = spans(&[(0, 1, None), (1, 10, None), (2, 1, Some(2))]);
        assert_eq!(two.one_of_each(&children, &[1, 2]).expect("one")["a"], (1, 1));
        assert!(two.one_of_each(&children, &[0, 1]).is_err());
        assert!(two.one_of_each(&children, &[2]).is_err());
        assert_eq!(two.last_change(), ms(10));
    }
}
