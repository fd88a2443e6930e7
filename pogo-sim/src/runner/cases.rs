//! Which plan each seed of a batch stands for.

use std::{fmt, num::NonZeroU32, ops::RangeInclusive};

use pogo_core::spec::Exclusivity;

use super::Case;
use crate::{
    draw::Draws,
    plan::BackendKind,
    scenario::{
        Scenario,
        cluster::{self, Shape},
    },
};

/// The mode of a cluster's children.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Rather twice than not at all.
    Available,
    /// Where enough members see each other.
    Quorum,
    /// At most once.
    Strict,
}

/// What random clusters are called where scenarios have their names.
pub const CLUSTER: &str = "cluster";

/// What a plan from a file is called.
pub const FILE: &str = "file";

/// Plans for seeds: modes and backends take turns, sizes are drawn.
#[derive(Debug, Clone)]
pub struct Cases {
    /// Who makes the plans.
    pub source: Source,
    /// The modes and backends that take turns, seed by seed.
    pub kinds: Vec<(Mode, BackendKind)>,
    /// How many members (not of scenarios, which have their own numbers).
    pub nodes: RangeInclusive<u64>,
    /// How many children (not of scenarios).
    pub children: RangeInclusive<u64>,
    /// How long faults and work go on, in seconds (not of scenarios).
    pub seconds: u64,
}

/// Who makes the plans.
#[derive(Debug, Clone, Copy)]
pub enum Source {
    /// Random clusters.
    Cluster,
    /// A scenario by its name.
    Scenario(&'static Scenario),
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Available, Self::Quorum, Self::Strict];

    /// The mode that a plan sets.
    pub const fn of(exclusivity: Exclusivity) -> Self {
        match exclusivity {
            Exclusivity::Quorum { .. } => Self::Quorum,
            Exclusivity::Strict => Self::Strict,
            _ => Self::Available,
        }
    }

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Quorum => "quorum",
            Self::Strict => "strict",
        }
    }

    /// Whether this backend offers it. Gossip has no claims, which strict children rest on.
    pub fn is_on(self, backend: BackendKind) -> bool {
        self != Self::Strict || backend != BackendKind::Gossip
    }

    /// The same for a cluster of this many members.
    fn exclusivity(self, nodes: u64) -> Exclusivity {
        match self {
            Self::Available => Exclusivity::Available,
            Self::Strict => Exclusivity::Strict,
            Self::Quorum => {
                let size = u32::try_from(nodes / 2 + 1).ok().and_then(NonZeroU32::new);
                Exclusivity::Quorum { size: size.unwrap_or(NonZeroU32::MIN) }
            }
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Cases {
    /// The backends that there are.
    pub const BACKENDS: [BackendKind; 3] =
        [BackendKind::Hub, BackendKind::Store, BackendKind::Gossip];

    /// Every mode on every backend that offers it, less what is not asked for.
    pub fn kinds(mode: Option<Mode>, backend: Option<BackendKind>) -> Vec<(Mode, BackendKind)> {
        let modes = Mode::ALL.into_iter().filter(|it| mode.is_none_or(|only| only == *it));
        let kinds = modes.flat_map(|mode| Self::BACKENDS.map(|backend| (mode, backend)));
        kinds
            .filter(|(mode, kind)| mode.is_on(*kind) && backend.is_none_or(|only| only == *kind))
            .collect()
    }

    /// What a seed stands for.
    pub fn case(&self, seed: u64) -> Case {
        let turn = usize::try_from(seed % self.kinds.len().max(1) as u64).unwrap_or(0);
        let first = (Mode::Available, BackendKind::Hub);
        let (mode, backend) = self.kinds.get(turn).copied().unwrap_or(first);
        match self.source {
            Source::Scenario(scenario) => Case::of_scenario(scenario, backend, seed),
            Source::Cluster => {
                let plan = cluster::plan(self.shape(mode, backend, seed), seed);
                Case { plan, scenario: CLUSTER, mode, check: None }
            }
        }
    }

    fn shape(&self, mode: Mode, backend: BackendKind, seed: u64) -> Shape {
        let drawn = |what: &str, sizes: &RangeInclusive<u64>| {
            let count = sizes.end().saturating_sub(*sizes.start()).saturating_add(1);
            sizes.start() + Draws::new(seed).below(what, "", 0, count)
        };
        let nodes = drawn("nodes", &self.nodes);
        let whole = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
        Shape {
            nodes: whole(nodes),
            children: whole(drawn("children", &self.children)),
            mode: mode.exclusivity(nodes),
            backend,
            seconds: self.seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    fn cases(source: Source, mode: Option<Mode>, backend: Option<BackendKind>) -> Cases {
        let kinds = Cases::kinds(mode, backend);
        Cases { source, kinds, nodes: 2..=7, children: 5..=40, seconds: 60 }
    }

    #[test]
    fn modes_and_backends_take_turns() {
        let all = cases(Source::Cluster, None, None);
        let mut seen: Vec<_> = (0..all.kinds.len() as u64)
            .map(|seed| (all.case(seed).mode, all.case(seed).plan.options.backend.to_string()))
            .collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), all.kinds.len(), "{seen:?}");
        assert!(!seen.contains(&(Mode::Strict, "gossip".to_owned())), "gossip has no claims");
        assert_eq!(Cases::kinds(Some(Mode::Strict), Some(BackendKind::Gossip)), []);
    }

    #[test]
    fn sizes_are_drawn_from_what_is_asked_for_and_stay_with_the_seed() {
        let all = cases(Source::Cluster, Some(Mode::Quorum), None);
        let mut nodes: Vec<usize> = (0..200)
            .map(|seed| {
                let shape = all.shape(Mode::Quorum, BackendKind::Hub, seed);
                assert_eq!(shape, all.shape(Mode::Quorum, BackendKind::Hub, seed));
                assert!((5..=40).contains(&shape.children));
                shape.nodes
            })
            .collect();
        nodes.sort_unstable();
        nodes.dedup();
        assert_eq!(nodes, [2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn scenario_keeps_its_own_sizes() {
        let swarm = scenario::find("swarm").unwrap();
        let case = cases(Source::Scenario(swarm), None, Some(BackendKind::Hub)).case(3);
        assert_eq!((case.plan, case.scenario), ((swarm.plan)(3), "swarm"));
    }
}
