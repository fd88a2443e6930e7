//! The node's own laws (S12), checked in simulation after every step.

use super::{Node, Violation, local::Phase, timers::Timer};

impl Node {
    /// Checks the node's own laws (S12).
    ///
    /// # Errors
    /// The first that is broken.
    pub fn check_invariants(&self) -> Result<(), Violation> {
        let violation = |what: String| Err(Violation { law: "S12", what });
        for (id, child) in self.children.iter() {
            if let Some(local) = &child.local {
                let runs = matches!(
                    local.phase,
                    Phase::Starting { .. }
                        | Phase::Running { .. }
                        | Phase::Stopping { .. }
                        | Phase::Stuck { .. }
                );
                if runs != local.run.is_some() {
                    return violation(format!("{id}: a run and its phase disagree"));
                }
                let held = !self.is_strict(&local.spec)
                    || child.claim.is_some()
                    || matches!(local.phase, Phase::Stopping { .. } | Phase::Stuck { .. });
                if runs && !held {
                    return violation(format!("{id}: a strict run without a claim"));
                }
            }
            if child.claim.is_some() && !child.claim_releasing && !self.rests_on_its_claim(child) {
                return violation(format!("{id}: a claim without an instance that rests on it"));
            }
            if child.wanted_here != self.moves.wants(id) {
                return violation(format!("{id}: whether it is wanted here is told in two ways"));
            }
            if child.wanted_here && child.local.as_ref().is_some_and(|it| it.run.is_some()) {
                return violation(format!("{id}: it runs here and is asked for"));
            }
            if let Some(due) = child.due
                && !self.timers.has(&Timer::Child(id.clone()), due)
            {
                return violation(format!("{id}: its deadline is not in the table"));
            }
            if child.wanted().is_some() != child.pool.is_some() {
                return violation(format!("{id}: wanted and placed disagree"));
            }
            if let (Some(owner), Some(pool)) = (child.owner, child.pool)
                && !self.children.pools.is_eligible(pool, owner)
            {
                return violation(format!("{id}: its owner is not eligible"));
            }
            let best = child.pool.and_then(|pool| self.children.pools.owner(pool, child.key));
            if child.pool.is_some() && best != child.owner {
                return violation(format!("{id}: its owner is not the first in its order"));
            }
        }
        let due = self.children.iter().filter(|(_, child)| child.due.is_some()).count();
        if due != self.timers.of_children() {
            return violation("a deadline without its child".to_owned());
        }
        Ok(())
    }
}
