//! A plan is what happens to a cluster, made before the run: data that can be printed, written by
//! hand, made smaller, and kept as a regression.
//!
//! A plan holds faults and work only. Healing, settling and the last requests belong to the
//! harness, else "never healed" would be the smallest failing plan.

mod child;
mod op;
mod options;
mod store_op;

use std::{fmt, str::FromStr, time::Duration};

pub(crate) use self::options::{RESEND, TAIL};
pub use self::{
    child::{ChildPlan, KIND, Start, Stop, Then},
    op::Op,
    options::{BackendKind, Options, parse_mode},
    store_op::StoreOp,
};

/// A text that is not a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: cannot read {word:?}")]
pub struct PlanError {
    line: usize,
    word: String,
}

impl PlanError {
    fn word(word: &str) -> Self {
        Self { line: 0, word: word.to_owned() }
    }

    fn at(self, line: usize) -> Self {
        Self { line, ..self }
    }
}

/// What happens to a cluster, and how that cluster is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What the run's own draws depend on: delays, clocks, boot ids.
    pub seed: u64,
    /// How the cluster is set up.
    pub options: Options,
    /// What happens, each at a time since the start; in this order where times are equal.
    pub ops: Vec<(Duration, Op)>,
}

impl Plan {
    /// A plan in which nothing happens.
    pub fn new(seed: u64, options: Options) -> Self {
        Self { seed, options, ops: Vec::new() }
    }

    /// Adds what happens at `millis` milliseconds after the start.
    pub fn at(&mut self, millis: u64, op: Op) {
        self.ops.push((Duration::from_millis(millis), op));
    }
}

/// The text form: `seed`, `set` lines for the options, then `<milliseconds> <operation>` lines.
/// Empty lines and lines that begin with `#` are for people.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        write!(f, "{}", self.options)?;
        for (at, op) in &self.ops {
            writeln!(f, "{} {op}", at.as_millis())?;
        }
        Ok(())
    }
}

impl FromStr for Plan {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let mut plan = Self::new(0, Options::default());
        for (at, line) in text.lines().enumerate() {
            plan.read_line(line.trim()).map_err(|error| error.at(at + 1))?;
        }
        Ok(plan)
    }
}

impl Plan {
    fn read_line(&mut self, line: &str) -> Result<(), PlanError> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let (head, rest) = line.split_once(' ').ok_or_else(|| PlanError::word(line))?;
        match head {
            "seed" => self.seed = parse_word(rest)?,
            "set" => self.options.set(rest)?,
            _ => {
                let millis = parse_word(head)?;
                self.at(millis, rest.parse()?);
            }
        }
        Ok(())
    }
}

fn millis(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

fn parse_word<T: FromStr>(word: &str) -> Result<T, PlanError> {
    word.parse().ok().ok_or_else(|| PlanError::word(word))
}

fn parse_millis(text: &str) -> Result<Duration, PlanError> {
    text.strip_suffix("ms")
        .and_then(|number| number.parse().ok())
        .map(Duration::from_millis)
        .ok_or_else(|| PlanError::word(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
seed 12
set backend=gossip
set latency=3ms
set encoded=true
set drift=1000
set mode=quorum:2
set core=m0,m1
set min-members=3
0 boot m0
5 start m0 a,b start=20ms stop=5ms
6 replace m1 a start=fail:20ms stop=ignore value=2
7 terminate m0 b
8 restart m0 a
9 cut m0,m1|m2
10 heal
11 delay 40ms
12 crash m0 silent
13 crash m1 noticed
14 drain m2 10000ms
15 shutdown m3
16 evict m4
17 cordon m1 m2
18 uncordon m1 m2
19 fail a
20 pause m0 1500ms
21 slow m1 20ms
22 twin twin0 m1
23 jump m2 60000ms
24 step m2 -500ms
25 step m2 +500ms
26 cut-link m0,m1>m2
27 heal-link m0>m2
28 clog m1>m0,m2 700ms
";

    #[test]
    fn plan_survives_its_text() {
        let plan: Plan = TEXT.parse().unwrap();
        assert_eq!(plan.ops.len(), 25);
        assert_eq!(plan.options.latency, Duration::from_millis(3));
        let again: Plan = plan.to_string().parse().unwrap();
        assert_eq!(again, plan);
        for line in TEXT.lines() {
            assert!(plan.to_string().contains(line), "{line}");
        }
    }

    #[test]
    fn errors_name_the_line() {
        let error = "seed 1\n\n# people\n5 boot".parse::<Plan>().unwrap_err();
        assert_eq!(error.to_string(), "line 4: cannot read \"boot\"");
        assert!("5 fly m0".parse::<Plan>().is_err());
        assert!("5 heal now".parse::<Plan>().is_err());
        assert!("5 clog m0 10ms".parse::<Plan>().is_err());
        assert!("5 step m0 1s".parse::<Plan>().is_err());
        assert!("set mode=quorum".parse::<Plan>().is_err());
        assert!("set backend=carrier-pigeon".parse::<Plan>().is_err());
        assert!("set colour=red".parse::<Plan>().is_err());
    }
}
