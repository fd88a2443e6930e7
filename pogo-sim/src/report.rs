//! What is said of a plan that broke a law.

use std::fmt;

use pogo_core::time::Timestamp;

use crate::{
    fact::Fact,
    invariant::Violation,
    plan::Plan,
    runner::{CLUSTER, Mode},
};

/// Facts in a report.
const HISTORY: usize = 50;

/// A plan that broke a law.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The scenario that made the plan.
    pub scenario: &'static str,
    /// The mode of its children.
    pub mode: Mode,
    /// The plan.
    pub plan: Plan,
    /// When, in virtual time.
    pub at: Timestamp,
    /// What was broken.
    pub violation: Violation,
    /// What was seen.
    pub trace: Vec<(Timestamp, Fact)>,
}

impl Failure {
    /// The name of a file for its plan: the law and the seed.
    pub fn file_name(&self) -> String {
        let id = self.violation.law.split_whitespace().next().unwrap_or_default();
        let id: String = id.chars().filter(char::is_ascii_alphanumeric).collect();
        format!("{}-{}-{}.plan", id.to_lowercase(), self.plan.options.backend, self.plan.seed)
    }

    /// The plan as a file holds it: first what it shows, for people.
    pub fn file_text(&self) -> String {
        let Self { scenario, plan, violation, .. } = self;
        format!("# {}\n# {scenario}, seed {}\n{plan}", one_line(&violation.to_string()), plan.seed)
    }

    /// The last of what was seen of the child that the law was broken for, and of the members.
    pub fn history(&self) -> Vec<&(Timestamp, Fact)> {
        let Self { violation, trace, .. } = self;
        let told: Vec<_> = trace
            .iter()
            .filter(|(_, fact)| match (&violation.child, fact.child()) {
                (Some(subject), Some(child)) => subject == child,
                (None, Some(_)) => true,
                (_, None) => fact.is_about_members() || mentions(fact, violation),
            })
            .collect();
        let from = told.len().saturating_sub(HISTORY);
        told.into_iter().skip(from).collect()
    }

    /// What makes the plan again, on the command line of `pogo sim`: with the next draw that is added
    /// to its scenario it is another one.
    pub fn seed_args(&self) -> String {
        let Self { scenario, mode, plan, .. } = self;
        let (seed, backend) = (plan.seed, plan.options.backend);
        let kind = match *scenario {
            CLUSTER => format!("--mode {mode}"),
            name => format!("--scenario {name}"),
        };
        format!("{kind} --backend {backend} --seeds {seed}..{}", seed + 1)
    }

    /// What was broken, for whom, when, and in which plan.
    pub fn headline(&self) -> String {
        let Self { scenario, mode, plan, at, violation, .. } = self;
        let child = violation.child.as_ref().map(|child| format!("child {child}, "));
        let (child, seed, backend) = (child.unwrap_or_default(), plan.seed, plan.options.backend);
        format!("{violation}\n{child}at {at:?}\n{scenario}, seed {seed}, {mode} on {backend}")
    }
}

/// The report of a test: with the plan as it was, and the command that makes it again.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = &self.plan;
        writeln!(f, "{}\n", self.headline())?;
        for (at, fact) in self.history() {
            writeln!(f, "{at:?} {fact:?}")?;
        }
        writeln!(f, "\n{plan}")?;
        write!(f, "repeat: cargo run --release --bin pogo -- sim {}", self.seed_args())
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a client's request is about the child that a law was broken for.
fn mentions(fact: &Fact, violation: &Violation) -> bool {
    match (fact, &violation.child) {
        (Fact::Asked { what, .. }, Some(child)) => what.contains(&format!("\"{child}\"")),
        (Fact::Asked { .. } | Fact::Replied { .. }, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use pogo_core::id::{ChildId, MemberName, RunId};

    use super::*;

    fn failure() -> Failure {
        let (host, run) = (MemberName::new("m0").unwrap(), RunId::new(1));
        let ready = |name: &str| {
            let child = ChildId::new(name).unwrap();
            (Timestamp::ZERO, Fact::Ready { host: host.clone(), child, run })
        };
        let mut trace = vec![(Timestamp::ZERO, Fact::Healed)];
        trace.extend((0..60).flat_map(|_| [ready("mine"), ready("other")]));
        Failure {
            scenario: "swarm",
            mode: Mode::Available,
            plan: "seed 7\n0 boot m0\n".parse().unwrap(),
            at: Timestamp::from_nanos(1_000_000),
            violation: Violation {
                law: "S5 no resurrection",
                child: Some(ChildId::new("mine").unwrap()),
                what: "it runs\non m0".to_owned(),
            },
            trace,
        }
    }

    #[test]
    fn report_has_the_law_the_childs_last_facts_the_plan_and_one_command() {
        let text = failure().to_string();
        assert!(text.starts_with("S5 no resurrection: it runs"), "{text}");
        assert_eq!(text.matches("\"mine\"").count(), HISTORY, "{text}");
        assert!(!text.contains("\"other\""), "{text}");
        assert!(
            text.contains("seed 7\nset backend=hub\n") && text.contains("\n0 boot m0\n"),
            "{text}"
        );
        assert!(text.ends_with("sim --scenario swarm --backend hub --seeds 7..8"), "{text}");
    }

    #[test]
    fn file_begins_with_what_it_shows_and_reads_as_the_plan() {
        let failure = failure();
        assert_eq!(failure.file_name(), "s5-hub-7.plan");
        let text = failure.file_text();
        assert!(text.starts_with("# S5 no resurrection: it runs on m0\n"), "{text}");
        assert_eq!(text.parse::<Plan>().unwrap(), failure.plan);
    }
}
