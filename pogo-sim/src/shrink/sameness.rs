//! What two failures have in common that are one fault.

use pogo_core::{id::ChildId, spec::Exclusivity};

use crate::{
    invariant::Violation,
    plan::{ChildPlan, Op, Plan},
};

/// Words of a violation that tell one breach of a law from another.
const WORDS: usize = 2;

/// What the smaller plan has to keep.
#[derive(Debug)]
pub(super) struct Sameness {
    law: &'static str,
    breach: Vec<String>,
    subject: Option<Subject>,
}

/// The child that a law was broken for.
#[derive(Debug, PartialEq, Eq)]
struct Subject {
    /// Whether the plan ever asks for it. The harness has children of its own.
    is_asked_for: bool,
    is_strict: bool,
    /// Whether it is to run and stay running, whenever it is asked for.
    is_healthy: bool,
}

impl Sameness {
    pub(super) fn new(plan: &Plan, violation: &Violation) -> Self {
        let subject = violation.child.as_ref().map(|child| Subject::new(plan, child));
        Self { law: violation.law, breach: breach(violation), subject }
    }

    /// Whether what `run` finds for `plan` is the same fault.
    pub(super) fn holds(&self, plan: &Plan, run: impl FnOnce() -> Option<Violation>) -> bool {
        let Some(violation) = run() else { return false };
        let same = Self::new(plan, &violation);
        self.law == same.law && self.breach == same.breach && self.subject == same.subject
    }
}

impl Subject {
    fn new(plan: &Plan, child: &ChildId) -> Self {
        let asked: Vec<&ChildPlan> = plan
            .ops
            .iter()
            .filter_map(|(_, op)| match op {
                Op::Start { children, plan, .. } if children.contains(child) => Some(plan),
                Op::Replace { child: other, plan, .. } if other == child => Some(plan),
                _ => None,
            })
            .collect();
        Self {
            is_asked_for: !asked.is_empty(),
            is_strict: asked
                .iter()
                .any(|it| it.exclusivity.unwrap_or(plan.options.mode) == Exclusivity::Strict),
            is_healthy: asked.iter().all(|plan| plan.is_healthy()),
        }
    }
}

/// The first plain words of what was found: names, numbers and how many there are do not matter.
fn breach(violation: &Violation) -> Vec<String> {
    let words = violation.what.split_whitespace();
    let plain = words.map(|word| word.trim_end_matches([',', ':', ';', '.']));
    let plain = plain.filter(|word| word.chars().all(char::is_alphabetic) && *word != "and");
    plain.take(WORDS).map(str::to_owned).collect()
}
