//! The flags of `pogo sim`.

use std::{
    fmt, num::NonZeroUsize, ops::RangeInclusive, path::PathBuf, str::FromStr, time::Duration,
};

use clap::{Args, ValueEnum, value_parser};
use pogo_sim::{plan::BackendKind, runner};

/// Runs whole clusters in virtual time, under seeds, and judges them by laws.
///
/// A seed makes a plan: what happens to a cluster of real nodes, which faults and which work. The
/// plan is run in one thread of virtual time, the faults are healed, and the cluster has to come to
/// rest as its clients were promised. The same seed always gives the same run.
///
/// Without --mode and --backend the seeds take turns over all modes and backends; without --nodes and
/// --children each draws its own sizes. A plan that breaks a law is made smaller, printed with what was
/// seen of its child, and saved, with the one command that repeats it. Of the next plans that break the
/// same law only a line is told; they are saved as they are.
///
/// Some commands:
///   pogo sim                                    1,000 seeds of everything
///   pogo sim --minutes 60 --nodes 3..=50        an hour over sizes from 3 to 50
///   pogo sim --scenario chaos --seeds 0..1000   one scenario; an unknown NAME lists them
///   pogo sim --plan FILE --trace c7             one plan, and what happened to the child c7
///   pogo sim --seeds 7 --print                  the plan of a seed
///
/// The exit code is 1 where a law was broken or, with --coverage, a state was never reached; 2 where
/// the command itself is at fault. Ctrl-C ends it with the summary so far.
#[derive(Debug, Clone, Args)]
#[command(verbatim_doc_comment)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags, each on its own")]
pub struct SimArgs {
    /// Which seeds: A..B without B, A..=B, or one [default: 0..1000, with --minutes all]
    #[arg(long, value_name = "A..B")]
    pub seeds: Option<Span>,
    /// Stop after so many minutes
    #[arg(long, value_name = "M", value_parser = minutes, allow_hyphen_values = true)]
    pub minutes: Option<Duration>,
    /// Members of a cluster: a number, or a span from which each seed draws [default: 2..=7]
    #[arg(long, value_name = "N|A..B")]
    pub nodes: Option<Span>,
    /// Children of a cluster: a number, or a span from which each seed draws [default: 5..=40]
    #[arg(long, value_name = "N|A..B")]
    pub children: Option<Span>,
    /// How long faults and work go on in virtual time; healing and coming to rest take more
    #[arg(long, value_name = "S", default_value_t = super::SECONDS, value_parser = value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// What the children promise; all modes take turns if absent
    #[arg(long, value_enum)]
    pub mode: Option<Mode>,
    /// What the members share; all take turns if absent
    #[arg(long, value_name = "BACKEND", value_parser = backend)]
    pub backend: Option<BackendKind>,
    /// Run a scenario in place of random clusters
    #[arg(long, value_name = "NAME", conflicts_with_all = ["nodes", "children", "mode"])]
    pub scenario: Option<String>,
    /// Threads [default: one for each processor]
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// Run each seed twice and compare; otherwise one in a hundred
    #[arg(long)]
    pub check_determinism: bool,
    /// Tell which states were reached; of 2,000 seeds or more, each state has to be
    #[arg(long)]
    pub coverage: bool,
    /// Leave failing plans as they are
    #[arg(long)]
    pub no_shrink: bool,
    /// Make failing plans smaller, the default
    #[arg(long, overrides_with = "no_shrink")]
    pub shrink: bool,
    /// Where failing plans are written; made when there is one
    #[arg(long, value_name = "DIR", default_value = "failing-plans")]
    pub save: PathBuf,
    /// Print the plan of the first seed and run nothing
    #[arg(long, conflicts_with_all = ["minutes", "json", "coverage"])]
    pub print: bool,
    /// Run the plan in a file
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["seeds", "minutes", "nodes", "children", "mode", "backend", "scenario", "jobs", "print", "coverage"]
    )]
    pub plan: Option<PathBuf>,
    /// With --plan: print what happened, to one child or to all
    #[arg(long, value_name = "CHILD", num_args = 0..=1, requires = "plan", conflicts_with = "json")]
    pub trace: Option<Option<String>>,
    /// Print one JSON object for each violation and one at the end
    #[arg(long)]
    pub json: bool,
}

/// What the children promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Rather twice than not at all
    Available,
    /// Where enough members see each other
    Quorum,
    /// At most once
    Strict,
}

impl From<Mode> for runner::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Available => Self::Available,
            Mode::Quorum => Self::Quorum,
            Mode::Strict => Self::Strict,
        }
    }
}

/// A number, or a span of numbers that is not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub first: u64,
    /// The last, which is in it.
    pub last: u64,
}

/// A text that is no span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// It is something else.
    #[error("a number, A..B (without B) or A..=B is needed")]
    Form,
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
}

impl Span {
    /// The same as a range.
    pub const fn range(self) -> RangeInclusive<u64> {
        self.first..=self.last
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let number = |text: &str| text.parse::<u64>().ok().ok_or(SpanError::Form);
        let (first, last) = if let Some((first, last)) = text.split_once("..=") {
            (number(first)?, Some(number(last)?))
        } else if let Some((first, end)) = text.split_once("..") {
            (number(first)?, number(end)?.checked_sub(1))
        } else {
            (number(text)?, Some(number(text)?))
        };
        match last {
            Some(last) if first <= last => Ok(Self { first, last }),
            _ => Err(SpanError::Empty),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}..={}", self.first, self.last)
        }
    }
}

fn backend(text: &str) -> Result<BackendKind, String> {
    let names = runner::Cases::BACKENDS.map(|backend| backend.to_string());
    text.parse().ok().ok_or_else(|| format!("there are {}", names.join(", ")))
}

fn minutes(text: &str) -> Result<Duration, &'static str> {
    let minutes: f64 = text.parse().ok().ok_or("a number of minutes is needed")?;
    let seconds = Duration::try_from_secs_f64(minutes * 60.0);
    seconds.ok().filter(|it| !it.is_zero()).ok_or("it must be above 0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_rust_writes_them() {
        let span = |text: &str| text.parse::<Span>().map(Span::range);
        assert_eq!(span("3"), Ok(3..=3));
        assert_eq!(span("0..10"), Ok(0..=9));
        assert_eq!(span("3..=50"), Ok(3..=50));
        for text in ["", "..", "3..", "a..b", "-1", "1...2"] {
            assert_eq!(span(text), Err(SpanError::Form), "{text}");
        }
        for text in ["5..5", "5..=4", "0..0"] {
            assert_eq!(span(text), Err(SpanError::Empty), "{text}");
        }
        for text in ["3", "3..=50"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn minutes_may_be_broken() {
        assert_eq!(minutes("0.5"), Ok(Duration::from_secs(30)));
        for text in ["0", "-1", "inf", "NaN", "soon"] {
            assert!(minutes(text).is_err(), "{text}");
        }
    }
}
