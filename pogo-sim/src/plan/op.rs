//! The operations of a plan, one line of text each.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use pogo_core::id::{ChildId, MemberName};

use super::{ChildPlan, PlanError, StoreOp, millis, parse_millis, parse_word};

/// One thing that happens to the cluster.
///
/// A request names the member that it goes through; where that one is down, the next live one by
/// name takes it, so that removing an operation from a plan keeps the others meaningful.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Op {
    /// A member's process starts; nothing where it runs already.
    Boot(MemberName),
    /// A member's process ends at once; the others are told so by its closed connections, or have
    /// to find out.
    Crash {
        /// Which.
        member: MemberName,
        /// Whether they have to find out.
        silent: bool,
    },
    /// A member drains and leaves.
    Drain {
        /// Which.
        member: MemberName,
        /// How long it may take.
        deadline: Duration,
    },
    /// A member stops its children and leaves.
    Shutdown(MemberName),
    /// The backend ends a member's session.
    Evict(MemberName),
    /// Only members of the same group reach each other; those not named form one more group.
    Cut(Vec<BTreeSet<MemberName>>),
    /// The division ends.
    Heal,
    /// Feeds are delayed by this much from now on.
    Delay(Duration),
    /// Children are started in one request.
    Start {
        /// Through which member.
        via: MemberName,
        /// Which.
        children: Vec<ChildId>,
        /// How they behave.
        plan: ChildPlan,
    },
    /// A child is started, or replaced where it is present.
    Replace {
        /// Through which member.
        via: MemberName,
        /// Which.
        child: ChildId,
        /// How it behaves from now on.
        plan: ChildPlan,
    },
    /// A child is terminated.
    Terminate {
        /// Through which member.
        via: MemberName,
        /// Which.
        child: ChildId,
    },
    /// A child is stopped and started where it is.
    Restart {
        /// Through which member.
        via: MemberName,
        /// Which.
        child: ChildId,
    },
    /// A member gets no new children.
    Cordon {
        /// Through which member.
        via: MemberName,
        /// Which.
        member: MemberName,
    },
    /// A member gets children again.
    Uncordon {
        /// Through which member.
        via: MemberName,
        /// Which.
        member: MemberName,
    },
    /// Every instance of a child fails.
    Fail(ChildId),
    /// A member's process stands still: it handles nothing, its children and its part of the
    /// backend do nothing. Its clock goes on, and what has fallen due is handled late.
    Pause {
        /// Which.
        member: MemberName,
        /// For how long.
        lasts: Duration,
    },
    /// A member handles everything so much later, until it is told otherwise.
    Slow {
        /// Which.
        member: MemberName,
        /// How much later.
        by: Duration,
    },
    /// A second process starts under a name that may live, on a machine of its own. Once it gets
    /// the name its operator sees the mistake and ends it.
    Twin {
        /// The machine; no member's name.
        host: MemberName,
        /// The name.
        name: MemberName,
    },
    /// A member's monotonic clock jumps forward.
    Jump {
        /// Whose.
        member: MemberName,
        /// How far.
        by: Duration,
    },
    /// A member's wall clock is set.
    Step {
        /// Whose.
        member: MemberName,
        /// How much later it shows then, in milliseconds.
        millis: i64,
    },
    /// Nothing reaches any of `to` from any of `from`, until a heal (gossip; elsewhere members do
    /// not talk to each other, and it has no effect).
    CutLinks {
        /// From whom.
        from: BTreeSet<MemberName>,
        /// To whom.
        to: BTreeSet<MemberName>,
    },
    /// The end of that, for these.
    HealLinks {
        /// From whom.
        from: BTreeSet<MemberName>,
        /// To whom.
        to: BTreeSet<MemberName>,
    },
    /// Everything takes so much longer from any of `from` to any of `to`, until a heal or until it
    /// is told otherwise (gossip).
    Clog {
        /// From whom.
        from: BTreeSet<MemberName>,
        /// To whom.
        to: BTreeSet<MemberName>,
        /// How much longer.
        by: Duration,
    },
    /// Something happens to the store that the members share (store).
    Store(StoreOp),
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boot(member) => write!(f, "boot {member}"),
            Self::Crash { member, silent: false } => write!(f, "crash {member} noticed"),
            Self::Crash { member, silent: true } => write!(f, "crash {member} silent"),
            Self::Drain { member, deadline } => write!(f, "drain {member} {}", millis(*deadline)),
            Self::Shutdown(member) => write!(f, "shutdown {member}"),
            Self::Evict(member) => write!(f, "evict {member}"),
            Self::Cut(groups) => {
                let groups: Vec<String> = groups.iter().map(join).collect();
                write!(f, "cut {}", groups.join("|"))
            }
            Self::Heal => f.write_str("heal"),
            Self::Delay(delay) => write!(f, "delay {}", millis(*delay)),
            Self::Start { via, children, plan } => {
                write!(f, "start {via} {} {plan}", join(children))
            }
            Self::Replace { via, child, plan } => write!(f, "replace {via} {child} {plan}"),
            Self::Terminate { via, child } => write!(f, "terminate {via} {child}"),
            Self::Restart { via, child } => write!(f, "restart {via} {child}"),
            Self::Cordon { via, member } => write!(f, "cordon {via} {member}"),
            Self::Uncordon { via, member } => write!(f, "uncordon {via} {member}"),
            Self::Fail(child) => write!(f, "fail {child}"),
            Self::Pause { member, lasts } => write!(f, "pause {member} {}", millis(*lasts)),
            Self::Slow { member, by } => write!(f, "slow {member} {}", millis(*by)),
            Self::Twin { host, name } => write!(f, "twin {host} {name}"),
            Self::Jump { member, by } => write!(f, "jump {member} {}", millis(*by)),
            Self::Step { member, millis } => write!(f, "step {member} {millis:+}ms"),
            Self::CutLinks { from, to } => write!(f, "cut-link {}>{}", join(from), join(to)),
            Self::HealLinks { from, to } => write!(f, "heal-link {}>{}", join(from), join(to)),
            Self::Clog { from, to, by } => {
                write!(f, "clog {}>{} {}", join(from), join(to), millis(*by))
            }
            Self::Store(op) => write!(f, "store {op}"),
        }
    }
}

impl FromStr for Op {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let mut words = Words { line: text, rest: text };
        let op = match words.next()? {
            "boot" => Self::Boot(words.id()?),
            "crash" => Self::Crash { member: words.id()?, silent: words.silent()? },
            "drain" => Self::Drain { member: words.id()?, deadline: words.millis()? },
            "shutdown" => Self::Shutdown(words.id()?),
            "evict" => Self::Evict(words.id()?),
            "cut" => Self::Cut(words.groups()?),
            "heal" => Self::Heal,
            "delay" => Self::Delay(words.millis()?),
            "start" => {
                Self::Start { via: words.id()?, children: words.ids()?, plan: words.plan()? }
            }
            "replace" => {
                Self::Replace { via: words.id()?, child: words.id()?, plan: words.plan()? }
            }
            "terminate" => Self::Terminate { via: words.id()?, child: words.id()? },
            "restart" => Self::Restart { via: words.id()?, child: words.id()? },
            "cordon" => Self::Cordon { via: words.id()?, member: words.id()? },
            "uncordon" => Self::Uncordon { via: words.id()?, member: words.id()? },
            "fail" => Self::Fail(words.id()?),
            "pause" => Self::Pause { member: words.id()?, lasts: words.millis()? },
            "slow" => Self::Slow { member: words.id()?, by: words.millis()? },
            "twin" => Self::Twin { host: words.id()?, name: words.id()? },
            "jump" => Self::Jump { member: words.id()?, by: words.millis()? },
            "step" => Self::Step { member: words.id()?, millis: words.signed_millis()? },
            "cut-link" => {
                let (from, to) = words.links()?;
                Self::CutLinks { from, to }
            }
            "heal-link" => {
                let (from, to) = words.links()?;
                Self::HealLinks { from, to }
            }
            "clog" => {
                let (from, to) = words.links()?;
                Self::Clog { from, to, by: words.millis()? }
            }
            "store" => Self::Store(StoreOp::read(&mut words)?),
            other => return Err(PlanError::word(other)),
        };
        if words.rest.trim().is_empty() { Ok(op) } else { Err(PlanError::word(words.rest)) }
    }
}

/// The words of a line, taken one by one.
pub(super) struct Words<'a> {
    line: &'a str,
    rest: &'a str,
}

impl<'a> Words<'a> {
    pub(super) fn next(&mut self) -> Result<&'a str, PlanError> {
        let text = self.rest.trim_start();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        self.rest = rest;
        if word.is_empty() { Err(PlanError::word(self.line)) } else { Ok(word) }
    }

    pub(super) fn id<T: FromStr>(&mut self) -> Result<T, PlanError> {
        parse_word(self.next()?)
    }

    fn ids<C: FromIterator<T>, T: FromStr>(&mut self) -> Result<C, PlanError> {
        parse_ids(self.next()?)
    }

    fn groups(&mut self) -> Result<Vec<BTreeSet<MemberName>>, PlanError> {
        self.next()?.split('|').map(parse_ids).collect()
    }

    fn links(&mut self) -> Result<(BTreeSet<MemberName>, BTreeSet<MemberName>), PlanError> {
        let word = self.next()?;
        let (from, to) = word.split_once('>').ok_or_else(|| PlanError::word(word))?;
        Ok((parse_ids(from)?, parse_ids(to)?))
    }

    fn millis(&mut self) -> Result<Duration, PlanError> {
        parse_millis(self.next()?)
    }

    fn signed_millis(&mut self) -> Result<i64, PlanError> {
        let word = self.next()?;
        let number = word.strip_suffix("ms").ok_or_else(|| PlanError::word(word))?;
        parse_word(number)
    }

    fn silent(&mut self) -> Result<bool, PlanError> {
        match self.next()? {
            "silent" => Ok(true),
            "noticed" => Ok(false),
            other => Err(PlanError::word(other)),
        }
    }

    fn plan(&mut self) -> Result<ChildPlan, PlanError> {
        std::mem::take(&mut self.rest).parse()
    }
}

fn parse_ids<C: FromIterator<T>, T: FromStr>(word: &str) -> Result<C, PlanError> {
    word.split(',').map(parse_word).collect()
}

fn join<'a, T: fmt::Display + 'a>(ids: impl IntoIterator<Item = &'a T>) -> String {
    let ids: Vec<String> = ids.into_iter().map(ToString::to_string).collect();
    ids.join(",")
}
