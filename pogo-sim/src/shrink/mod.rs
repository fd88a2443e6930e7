//! Makes a failing plan smaller while it fails in the same way.
//!
//! First operations go, then children, then members, then times, options and words of behaviour
//! become plain or short. It works on the text of the plan, so an operation that is new needs
//! nothing here. What it keeps is the law *and* the kind of subject: a plan that breaks the same
//! law for another reason is another fault.

mod draft;
mod sameness;

use std::{collections::BTreeSet, time::Duration};

use self::{draft::Draft, sameness::Sameness};
use crate::{invariant::Violation, plan::Plan};

/// How long making a plan smaller takes at most, where nobody says otherwise.
pub const BUDGET: Duration = Duration::from_secs(5);

/// Makes `plan`, which broke a law like `violation`, smaller until nothing more can go.
///
/// `run` runs a plan and answers what it breaks; `is_over` ends the work early, for time is the
/// caller's.
pub fn shrink(
    plan: &Plan,
    violation: &Violation,
    run: &mut dyn FnMut(&Plan) -> Option<Violation>,
    is_over: &mut dyn FnMut() -> bool,
) -> Plan {
    let sameness = Sameness::new(plan, violation);
    let draft = Draft::new(plan);
    let mut shrinker = Shrinker { draft, sameness, run, is_over };
    loop {
        let before = shrinker.draft.clone();
        shrinker.drop_lines();
        shrinker.drop_names();
        shrinker.merge_names();
        shrinker.make_plain();
        shrinker.make_short();
        if shrinker.draft == before || (shrinker.is_over)() {
            break;
        }
    }
    // What cannot be read was never accepted.
    shrinker.draft.plan().unwrap_or_else(|| plan.clone())
}

struct Shrinker<'a> {
    draft: Draft,
    sameness: Sameness,
    run: &'a mut dyn FnMut(&Plan) -> Option<Violation>,
    is_over: &'a mut dyn FnMut() -> bool,
}

impl Shrinker<'_> {
    /// Goes on with `draft` if it is another one and fails in the same way.
    fn accept(&mut self, draft: Draft) -> bool {
        if draft == self.draft || (self.is_over)() {
            return false;
        }
        let Some(plan) = draft.plan() else { return false };
        if !self.sameness.holds(&plan, || (self.run)(&plan)) {
            return false;
        }
        self.draft = draft;
        true
    }

    /// Operations, many at once at first and then fewer (ddmin).
    fn drop_lines(&mut self) {
        let mut size = self.draft.lines.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < self.draft.lines.len() {
                let mut draft = self.draft.clone();
                let to = (from + size).min(draft.lines.len());
                draft.lines.drain(from..to);
                if !self.accept(draft) {
                    from += size;
                }
            }
            size /= 2;
        }
    }

    /// Members and children, with all that is said of them; many at once at first.
    fn drop_names(&mut self) {
        let mut size = self.draft.names().len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            loop {
                let names: Vec<String> = self.draft.names().into_iter().collect();
                let Some(rest) = names.get(from..).filter(|rest| !rest.is_empty()) else { break };
                let gone: BTreeSet<&str> = rest.iter().take(size).map(String::as_str).collect();
                if !self.accept(self.draft.without(&gone)) {
                    from += size;
                }
            }
            size /= 2;
        }
    }

    /// One member says what another said, and the same with children.
    fn merge_names(&mut self) {
        for name in self.draft.names().into_iter().rev() {
            for other in self.draft.names() {
                let alike = draft::stem(&other) == draft::stem(&name) && other < name;
                if alike && self.accept(self.draft.renamed(&name, &other)) {
                    break;
                }
            }
        }
    }

    /// Options and words that are not needed.
    fn make_plain(&mut self) {
        let mut at = 0;
        while at < self.draft.options.len() {
            let mut draft = self.draft.clone();
            draft.options.remove(at);
            if !self.accept(draft) {
                at += 1;
            }
        }
        for at in 0..self.draft.lines.len() {
            let mut word = 0;
            while let Some(line) = self.draft.lines.get(at).filter(|it| word < it.words.len()) {
                // The other words are what the operation is about.
                let is_behaviour = line.words.get(word).is_some_and(|word| word.contains('='));
                let plainer = line.without_word(word);
                if !is_behaviour || !self.accept(self.draft.with_line(at, plainer)) {
                    word += 1;
                }
            }
        }
    }

    /// Half the time between operations, half of each duration and probability.
    fn make_short(&mut self) {
        while self.accept(self.draft.halved()) {}
        for at in 0..self.draft.lines.len() {
            while self.accept(self.draft.sooner(at)) {}
            let words = self.draft.lines.get(at).map_or(0, |line| line.words.len());
            for word in 0..words {
                while let Some(halved) = self.draft.lines.get(at).and_then(|it| it.halved(word)) {
                    if !self.accept(self.draft.with_line(at, halved)) {
                        break;
                    }
                }
            }
        }
        for at in 0..self.draft.options.len() {
            while let Some(halved) = self.draft.with_half_option(at) {
                if !self.accept(halved) {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
