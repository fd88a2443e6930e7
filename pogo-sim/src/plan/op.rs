//! The operations of a plan, one line of text each.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use pogo_core::id::{ChildId, MemberName};

use super::{ChildPlan, PlanError, millis, parse_millis, parse_word};

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
            "drain" => Self::Drain { member: words.id()?, deadline: parse_millis(words.next()?)? },
            "shutdown" => Self::Shutdown(words.id()?),
            "evict" => Self::Evict(words.id()?),
            "cut" => Self::Cut(words.groups()?),
            "heal" => Self::Heal,
            "delay" => Self::Delay(parse_millis(words.next()?)?),
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
            other => return Err(PlanError::word(other)),
        };
        if words.rest.trim().is_empty() { Ok(op) } else { Err(PlanError::word(words.rest)) }
    }
}

/// The words of a line, taken one by one.
struct Words<'a> {
    line: &'a str,
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Result<&'a str, PlanError> {
        let text = self.rest.trim_start();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        self.rest = rest;
        if word.is_empty() { Err(PlanError::word(self.line)) } else { Ok(word) }
    }

    fn id<T: FromStr>(&mut self) -> Result<T, PlanError> {
        parse_word(self.next()?)
    }

    fn ids<C: FromIterator<T>, T: FromStr>(&mut self) -> Result<C, PlanError> {
        parse_ids(self.next()?)
    }

    fn groups(&mut self) -> Result<Vec<BTreeSet<MemberName>>, PlanError> {
        self.next()?.split('|').map(parse_ids).collect()
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
