//! The end of all faults, for everybody or for a core of the members.
//!
//! A plan may name a core. The others are left as they are or worse: dead, cut off, or standing
//! still for ever. From then on nobody expects anything of them, so nothing that they do is seen,
//! and the laws of a cluster at rest hold for the core.

use std::{collections::BTreeSet, time::Duration};

use pogo_core::{id::MemberName, spec::Exclusivity};

use super::World;
use crate::{
    fact::Fact,
    plan::{Op, Plan},
};

/// Longer than any run.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3_600);

impl World {
    pub(super) fn heal_all(&mut self) {
        self.see(Fact::Phase("heal"));
        self.end_twins();
        self.heal();
        self.heal_store();
        self.backend.calm();
        self.delay(self.options.delay);
        self.abandon_others();
        self.unstall_all();
        self.unblock_all();
        self.set_clocks_right();
        self.boot_enough(true);
    }

    /// Whoever's wall clock is far off is refused until somebody sets it right.
    fn set_clocks_right(&mut self) {
        for name in self.expected_hosts().cloned().collect::<Vec<_>>() {
            let now = self.hosts.get(&name).map_or(0, |host| host.clock.skew_millis);
            let off = self.clock_of(&name).skew_millis.saturating_sub(now);
            if off != 0 {
                self.step(&name, off);
            }
        }
    }

    /// Leaves everybody behind who is not in the core, if there is one.
    fn abandon_others(&mut self) {
        let core = self.options.core.clone();
        let others = self.hosts.keys().filter(|name| !core.is_empty() && !core.contains(*name));
        let others: Vec<MemberName> = others.cloned().collect();
        let mut cut = BTreeSet::new();
        for name in &others {
            let is_paused = self.process(name).map(|(_, up)| up.stall.is_paused());
            let how = match (is_paused, self.draws.below("abandon", name.as_str(), 0, 3)) {
                (None, _) => "down",
                (_, 0) => {
                    self.crash(name, true);
                    "dead"
                }
                (Some(true), _) | (_, 1) => {
                    self.pause(name, FOR_EVER);
                    "paused"
                }
                _ => {
                    cut.insert(name.clone());
                    "cut off"
                }
            };
            self.see(Fact::Abandoned { host: name.clone(), how });
            if let Some(host) = self.hosts.get_mut(name) {
                host.is_abandoned = true;
            }
            self.lose_calls(name);
        }
        if !others.is_empty() {
            self.backend.cut_off(self.true_clock(), &cut);
            self.lose_changes();
            // The core is at rest only once it has noticed.
            self.rests_from = self.now + self.options.detection + self.options.lease_ttl;
        }
    }

    /// Boots members until as many run as their settings and children ask for. A child that took
    /// the last one down would do so for ever, as nobody is left to see it (R11).
    pub(super) fn boot_enough(&mut self, even_alone: bool) {
        let names: Vec<MemberName> = self.expected_hosts().cloned().collect();
        let down = names.iter().filter(|name| self.process(name).is_none());
        let down: Vec<MemberName> = down.cloned().collect();
        let live = names.len() - down.len();
        if live == 0 && !even_alone {
            return;
        }
        for name in down.iter().take(self.needed.saturating_sub(live)) {
            self.boot(name);
        }
    }

    /// The members of which something is expected.
    pub(super) fn expected_hosts(&self) -> impl Iterator<Item = &MemberName> {
        self.hosts.iter().filter(|(_, host)| !host.is_abandoned).map(|(name, _)| name)
    }
}

/// How many members have to run for every child to be allowed to (R12, R17).
pub(super) fn needed(plan: &Plan) -> usize {
    let plans = plan.ops.iter().filter_map(|(_, op)| match op {
        Op::Start { plan, .. } | Op::Replace { plan, .. } => plan.exclusivity,
        _ => None,
    });
    let sizes = plans.chain([plan.options.mode]).map(|exclusivity| match exclusivity {
        Exclusivity::Quorum { size } => size.get(),
        _ => 1,
    });
    let needed = sizes.chain([plan.options.min_members.get()]).max().unwrap_or(1);
    usize::try_from(needed).unwrap_or(usize::MAX)
}
