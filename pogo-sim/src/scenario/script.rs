//! Writes plans: names, draws, and time that goes on from line to line.

use std::{collections::BTreeSet, time::Duration};

use pogo_core::{
    id::{ChildId, MemberName},
    time::Timestamp,
};

use crate::{
    draw::Draws,
    fact::Fact,
    picture::Picture,
    plan::{ChildPlan, Op, Options, Plan},
    world::Outcome,
};

/// A plan in the making.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) plan: Plan,
    /// Milliseconds since the start at which the next line happens.
    pub(super) now: u64,
    draws: Draws,
    drawn: u64,
}

impl Script {
    /// An empty plan whose cluster is set up as the seed says.
    pub(super) fn new(seed: u64) -> Self {
        let mut script = Self {
            plan: Plan::new(seed, Options::default()),
            now: 0,
            draws: Draws::new(seed),
            drawn: 0,
        };
        let options = &mut script.plan.options;
        let draws = script.draws;
        let pick = |what: &str, choices: &[u64]| {
            let at = draws.below("option", what, 0, choices.len() as u64);
            let at = usize::try_from(at).unwrap_or(0);
            Duration::from_millis(choices.get(at).copied().unwrap_or(0))
        };
        options.latency = pick("latency", &[0, 2, 2, 10, 40]);
        options.delay = pick("delay", &[0, 1, 5, 20]);
        options.detection = pick("detection", &[1000, 5000]);
        options.clock_skew = pick("skew", &[0, 500, 20_000]);
        if draws.chance("option", "lost replies", 0, 250) {
            options.lost_replies = 20;
        }
        script
    }

    /// A number below `bound`, drawn anew each time.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.drawn += 1;
        self.draws.below("script", "", self.drawn, bound)
    }

    pub(super) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// One of `choices`.
    pub(super) fn pick<T: Clone>(&mut self, choices: &[T]) -> Option<T> {
        let at = self.below(choices.len() as u64);
        choices.get(usize::try_from(at).ok()?).cloned()
    }

    /// Takes `count` of `from` out, at random.
    pub(super) fn take<T>(&mut self, from: &mut Vec<T>, count: usize) -> Vec<T> {
        let mut taken = Vec::new();
        while taken.len() < count && !from.is_empty() {
            let at = self.below(from.len() as u64);
            taken.push(from.swap_remove(usize::try_from(at).unwrap_or(0)));
        }
        taken
    }

    /// A time between these milliseconds, short ones as likely as long ones.
    pub(super) fn duration(&mut self, least: u64, most: u64) -> Duration {
        let least = least.max(1);
        let doublings = u64::from((most / least).max(1).ilog2()) + 1;
        let from = least << self.below(doublings);
        Duration::from_millis((from + self.below(from)).min(most.max(1)))
    }

    pub(super) fn op(&mut self, op: Op) {
        self.plan.at(self.now, op);
    }

    /// Lets time pass: at least `least` and less than `most` milliseconds.
    pub(super) fn wait(&mut self, least: u64, most: u64) {
        self.now += least + self.below(most.saturating_sub(least).max(1));
    }

    /// Members boot within the first `within` milliseconds of now, then time to see each other.
    pub(super) fn boot(&mut self, members: &[MemberName], within: u64) {
        let from = self.now;
        for member in members {
            self.now = from + self.below(within.max(1));
            self.op(Op::Boot(member.clone()));
        }
        self.now = from + within;
        self.wait(1_000, 2_000);
    }

    /// Children are started, in requests of different sizes through different members.
    pub(super) fn start(&mut self, members: &[MemberName], children: &[ChildId], plan: ChildPlan) {
        let mut rest = children;
        while !rest.is_empty() {
            let size = usize::try_from(1 + self.below(20)).unwrap_or(1).min(rest.len());
            let (batch, others) = rest.split_at(size);
            rest = others;
            if let Some(via) = self.pick(members) {
                self.op(Op::Start { via, children: batch.to_vec(), plan });
            }
            self.wait(0, 50);
        }
    }

    pub(super) fn terminate(&mut self, members: &[MemberName], children: &[ChildId]) {
        for child in children {
            if let Some(via) = self.pick(members) {
                self.op(Op::Terminate { via, child: child.clone() });
            }
            self.wait(0, 20);
        }
    }

    /// One member goes, in one of the ways in which members go.
    pub(super) fn lose(&mut self, member: MemberName) {
        let op = match self.below(4) {
            0 => Op::Crash { member, silent: true },
            1 => Op::Crash { member, silent: false },
            2 => Op::Drain { member, deadline: Duration::from_secs(20) },
            _ => Op::Shutdown(member),
        };
        self.op(op);
    }

    /// How long a failover takes at most, in milliseconds.
    pub(super) fn failover(&self) -> u64 {
        let options = &self.plan.options;
        let slack = options.latency * 20 + options.delay * 8;
        u64::try_from((options.detection + slack).as_millis()).unwrap_or(u64::MAX) + 1_000
    }

    /// The plan, with time for what was last in it.
    pub(super) fn end(mut self) -> Plan {
        self.op(Op::Heal);
        self.plan
    }
}

/// Members `m0`, `m1`, ... from `first` on.
pub(super) fn members(first: usize, count: usize) -> Vec<MemberName> {
    (first..first + count).filter_map(|n| MemberName::new(format!("m{n}")).ok()).collect()
}

/// Children `c0`, `c1`, ... from `first` on.
pub(super) fn children(first: usize, count: usize) -> Vec<ChildId> {
    (first..first + count).filter_map(|n| ChildId::new(format!("c{n}")).ok()).collect()
}

/// The children that a plan leaves wanted, where no two changes of one overlap.
pub(super) fn wanted(plan: &Plan) -> BTreeSet<ChildId> {
    let mut ops: Vec<_> = plan.ops.iter().collect();
    ops.sort_by_key(|(at, _)| *at);
    let mut wanted = BTreeSet::new();
    for (_, op) in ops {
        match op {
            Op::Start { children, .. } => wanted.extend(children.iter().cloned()),
            Op::Terminate { child, .. } => {
                wanted.remove(child);
            }
            _ => {}
        }
    }
    wanted
}

/// What runs is what the plan wants, and it is so many.
pub(super) fn runs_exactly(plan: &Plan, outcome: &Outcome, count: usize) -> Result<(), String> {
    let running: BTreeSet<ChildId> = outcome.running.keys().cloned().collect();
    let wanted = wanted(plan);
    if running == wanted && running.len() == count {
        return Ok(());
    }
    Err(format!("{} run, {} are wanted, {count} expected", running.len(), wanted.len()))
}

/// The cluster just before the first fact that `is_it`.
pub(super) fn picture_before(outcome: &Outcome, is_it: impl Fn(&Fact) -> bool) -> Picture {
    let mut picture = Picture::default();
    for (at, fact) in outcome.trace.iter().take_while(|(_, fact)| !is_it(fact)) {
        picture.apply(*at, fact);
    }
    picture
}

/// The cluster at a moment.
pub(super) fn picture_at(outcome: &Outcome, moment: Timestamp) -> Picture {
    let mut picture = Picture::default();
    for (at, fact) in outcome.trace.iter().take_while(|(at, _)| *at <= moment) {
        picture.apply(*at, fact);
    }
    picture
}
