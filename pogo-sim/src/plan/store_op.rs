//! What goes wrong with a store, one line of text each, after the word `store`.

use std::{fmt, time::Duration};

use pogo_core::id::MemberName;

use super::{PlanError, millis, op::Words, parse_millis};

/// One thing that happens to the store that members share, or to a member's way to it. Over other
/// backends nothing happens.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreOp {
    /// The store answers nobody, or does again.
    Outage(bool),
    /// Everything that it does takes so many times longer.
    Slow(u32),
    /// A member does not reach it, or does again.
    CutOff(MemberName, bool),
    /// It refuses a member's credentials, or accepts them again.
    Denied(MemberName, bool),
    /// What is on its way to a member is lost, and a snapshot follows.
    Gap(MemberName),
    /// Its log is forgotten.
    Compact,
    /// A member's feed is held back by this much from now on.
    Stale(MemberName, Duration),
    /// It ends a member's lease before its time, its claims with it. No strict child withstands
    /// that but by its token.
    Expire(MemberName),
    /// Its leader goes, and for 2 to 4 s there is none; a best-effort store loses the last so many
    /// writes.
    Failover(u64),
    /// It comes back empty.
    Wipe,
    /// A copy of all data is made.
    BackUp,
    /// It comes back with the last copy; nothing where there is none.
    Restore,
}

impl fmt::Display for StoreOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outage(true) => f.write_str("outage"),
            Self::Outage(false) => f.write_str("back"),
            Self::Slow(factor) => write!(f, "slow {factor}"),
            Self::CutOff(member, true) => write!(f, "cut-off {member}"),
            Self::CutOff(member, false) => write!(f, "let-back {member}"),
            Self::Denied(member, true) => write!(f, "deny {member}"),
            Self::Denied(member, false) => write!(f, "allow {member}"),
            Self::Gap(member) => write!(f, "gap {member}"),
            Self::Compact => f.write_str("compact"),
            Self::Stale(member, by) => write!(f, "stale {member} {}", millis(*by)),
            Self::Expire(member) => write!(f, "expire {member}"),
            Self::Failover(lost) => write!(f, "failover {lost}"),
            Self::Wipe => f.write_str("wipe"),
            Self::BackUp => f.write_str("back-up"),
            Self::Restore => f.write_str("restore"),
        }
    }
}

impl StoreOp {
    /// Reads the words after `store`.
    pub(super) fn read(words: &mut Words<'_>) -> Result<Self, PlanError> {
        Ok(match words.next()? {
            "outage" => Self::Outage(true),
            "back" => Self::Outage(false),
            "slow" => Self::Slow(words.id()?),
            "cut-off" => Self::CutOff(words.id()?, true),
            "let-back" => Self::CutOff(words.id()?, false),
            "deny" => Self::Denied(words.id()?, true),
            "allow" => Self::Denied(words.id()?, false),
            "gap" => Self::Gap(words.id()?),
            "compact" => Self::Compact,
            "stale" => Self::Stale(words.id()?, parse_millis(words.next()?)?),
            "expire" => Self::Expire(words.id()?),
            "failover" => Self::Failover(words.id()?),
            "wipe" => Self::Wipe,
            "back-up" => Self::BackUp,
            "restore" => Self::Restore,
            other => return Err(PlanError::word(other)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Op, *};

    #[test]
    fn every_operation_survives_its_text() {
        let m = || MemberName::new("m0").unwrap();
        let all = [
            StoreOp::Outage(true),
            StoreOp::Outage(false),
            StoreOp::Slow(20),
            StoreOp::CutOff(m(), true),
            StoreOp::CutOff(m(), false),
            StoreOp::Denied(m(), true),
            StoreOp::Denied(m(), false),
            StoreOp::Gap(m()),
            StoreOp::Compact,
            StoreOp::Stale(m(), Duration::from_millis(300)),
            StoreOp::Expire(m()),
            StoreOp::Failover(3),
            StoreOp::Wipe,
            StoreOp::BackUp,
            StoreOp::Restore,
        ];
        for op in all.map(Op::Store) {
            assert_eq!(op.to_string().parse::<Op>().unwrap(), op);
        }
        assert!("store".parse::<Op>().is_err());
        assert!("store gap".parse::<Op>().is_err());
        assert!("store explode".parse::<Op>().is_err());
    }
}
