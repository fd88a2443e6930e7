//! Random clusters: what the members share, how they are set up, which faults and which work there
//! are, and how much of each, all of it drawn from the seed and printed with the plan.
//!
//! Each family of faults is on with one half, since all of them at once would hide what only some
//! of them show. Settings are drawn from what is legal, its extremes included.

mod faults;
mod options;
mod store;
mod work;

use pogo_core::{
    id::{ChildId, MemberName},
    spec::Exclusivity,
};

use super::script::{Script, children, members};
use crate::{
    draw::Draws,
    plan::{BackendKind, ChildPlan, Op, Plan},
};

/// How large a cluster is, how long it runs, and what it promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Members, at least two.
    pub nodes: usize,
    /// Children.
    pub children: usize,
    /// The scope's mode. Over gossip there are no claims, so a strict one becomes quorum there.
    pub mode: Exclusivity,
    /// What the members share.
    pub backend: BackendKind,
    /// How long faults and work go on, in seconds.
    pub seconds: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            nodes: 5,
            children: 20,
            mode: Exclusivity::Available,
            backend: BackendKind::Hub,
            seconds: 60,
        }
    }
}

/// The plan of a seed for a cluster of this shape.
pub fn plan(shape: Shape, seed: u64) -> Plan {
    let mut script = Script::new(seed);
    script.plan.options = options::draw(Draws::new(seed), shape);
    let mut cluster = Cluster {
        script,
        shape,
        hosts: members(0, shape.nodes.max(2)),
        ids: children(0, shape.children),
        twins: 0,
    };
    cluster.form();
    let from = cluster.script.now;
    cluster.happen(from);
    cluster.choose_core();
    let mut plan = cluster.script.plan;
    store::spare_claims(&mut plan);
    plan.ops.sort_by_key(|(at, _)| *at);
    plan
}

/// A plan in the making.
struct Cluster {
    script: Script,
    shape: Shape,
    hosts: Vec<MemberName>,
    ids: Vec<ChildId>,
    twins: usize,
}

impl Cluster {
    /// Members boot, most of them at once, and are asked for the children.
    fn form(&mut self) {
        let early =
            if self.script.chance(250) { self.hosts.len().div_ceil(2) } else { self.hosts.len() };
        let (first, later) = self.hosts.split_at(early);
        let (first, later) = (first.to_vec(), later.to_vec());
        let within = [0, 500, 5_000];
        let within = self.script.pick(&within).unwrap_or(500);
        self.script.boot(&first, within);
        let from = self.script.now;
        for member in later {
            self.script.now = from + self.script.below(self.shape.seconds * 500 + 1);
            self.script.op(Op::Boot(member));
        }
        self.script.now = from;
        let all_well = self.script.chance(500);
        for child in self.ids.clone() {
            let mut plan = self.child_plan(&child);
            if all_well {
                plan = ChildPlan { exclusivity: plan.exclusivity, ..ChildPlan::default() };
            }
            if let Some(via) = self.script.pick(&first) {
                self.script.op(Op::Start { via, children: vec![child], plan });
            }
            self.script.wait(0, 30);
        }
    }

    /// What happens after that: families of faults and of work, each on or off, each with its own
    /// number of events.
    fn happen(&mut self, from: u64) {
        let seconds = self.shape.seconds;
        for family in faults::FAMILIES.iter().chain(store::FAMILIES) {
            if (family.fits)(self.shape.backend) && self.script.chance(500) {
                self.spread(from, 1 + seconds / 20, family.events);
            }
        }
        for family in work::FAMILIES {
            if self.script.chance(500) {
                self.spread(from, 1 + seconds / 6, *family);
            }
        }
        self.script.now = from + seconds * 1_000;
        self.script.op(Op::Heal);
    }

    /// Up to `most` events, at any time.
    fn spread(&mut self, from: u64, most: u64, happens: fn(&mut Self)) {
        for _ in 0..=self.script.below(most) {
            self.script.now = from + self.script.below(self.shape.seconds * 1_000 + 1);
            happens(self);
        }
    }

    /// On half of the seeds only a majority is healed.
    fn choose_core(&mut self) {
        if self.script.chance(500) {
            let mut others = self.hosts.clone();
            let core = self.script.take(&mut others, self.hosts.len() / 2 + 1);
            self.script.plan.options.core = core.into_iter().collect();
        }
    }

    fn any_member(&mut self) -> Option<MemberName> {
        self.script.pick(&self.hosts)
    }

    fn any_child(&mut self) -> Option<ChildId> {
        self.script.pick(&self.ids)
    }

    /// Some members, not all of them.
    fn some_members(&mut self) -> Vec<MemberName> {
        let most = self.hosts.len().saturating_sub(1).max(1) as u64;
        let count = usize::try_from(1 + self.script.below(most)).unwrap_or(1);
        let mut all = self.hosts.clone();
        self.script.take(&mut all, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(backend: BackendKind, nodes: usize) -> Shape {
        Shape { nodes, backend, ..Shape::default() }
    }

    #[test]
    fn plan_of_a_seed_survives_its_text_and_is_the_same_again() {
        for backend in [BackendKind::Hub, BackendKind::Gossip, BackendKind::Store] {
            for seed in 0..20 {
                let shape = shape(backend, 3 + usize::try_from(seed).unwrap() * 2);
                let made = plan(shape, seed);
                assert_eq!(made.to_string().parse::<Plan>().unwrap(), made);
                assert_eq!(plan(shape, seed), made);
                assert!(made.ops.is_sorted_by_key(|(at, _)| *at));
            }
        }
    }

    #[test]
    fn each_family_is_drawn_and_none_always() {
        let plans: Vec<String> =
            (0..60).map(|seed| plan(shape(BackendKind::Gossip, 5), seed).to_string()).collect();
        let stores: Vec<String> =
            (0..60).map(|seed| plan(shape(BackendKind::Store, 5), seed).to_string()).collect();
        for word in [
            " pause ",
            " slow ",
            " twin ",
            " jump ",
            " step ",
            " cut ",
            " cut-link ",
            " heal-link ",
            " clog ",
            " crash ",
            " drain ",
            " shutdown ",
            " cordon ",
            " fail ",
            " delay ",
            " replace ",
            " terminate ",
            " restart ",
            "stop=block",
            "state=huge",
            "=panic",
            "core=m",
            "exclusivity=",
        ] {
            let with = plans.iter().filter(|plan| plan.contains(word)).count();
            assert!((1..60).contains(&with), "{word} is in {with} of 60 plans");
        }
        for word in
            ["outage", "cut-off", "deny", "gap", "compact", "stale", "failover", "wipe", "restore"]
        {
            let word = format!(" store {word}");
            let with = stores.iter().filter(|plan| plan.contains(&word)).count();
            assert!((1..60).contains(&with), "{word} is in {with} of 60 plans");
        }
    }

    #[test]
    fn strict_mode_is_for_backends_with_claims() {
        let strict = |backend| Shape { mode: Exclusivity::Strict, ..shape(backend, 5) };
        assert_eq!(plan(strict(BackendKind::Hub), 1).options.mode, Exclusivity::Strict);
        for seed in 0..20 {
            let text = plan(strict(BackendKind::Gossip), seed).to_string();
            assert!(!text.contains("strict"), "seed {seed}");
        }
    }
}
