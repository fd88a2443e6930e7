//! Members that are gone without having left: how long others wait before they start quorum
//! children that those may still run (R17).

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    time::Duration,
};

use super::{Node, inspect::PendingReason, members::Members, tenure::grace, wire::ViewRecord};
use crate::{
    id::{BootId, MemberId, MemberName},
    membership::DownReason,
    mutant::planted,
    spec::Shutdown,
    time::Timestamp,
};

/// A lost member is counted no longer than its tombstones are kept (R19).
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The members that were lost, and what the others' views say of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Losses {
    lost: BTreeMap<BootId, Loss>,
    /// Since when the views of so many members name nobody whom this one does not see.
    known: Vec<Timestamp>,
}

#[derive(Debug, Clone)]
struct Loss {
    name: MemberName,
    at: Timestamp,
    /// Since when the views of so many members lack it.
    lacked: Vec<Timestamp>,
}

/// What an orphan that needs a quorum waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wait {
    /// Nothing.
    None,
    /// Those that were lost have stopped it by then.
    Until(Timestamp),
    /// Too few members hold this one to be lost, or there are too many members.
    Blocked(PendingReason),
}

impl Losses {
    /// Views count afresh, as nobody knows whom this member has missed.
    pub(super) fn meet_strangers(&mut self) {
        self.known.clear();
    }

    /// How long a child with this shutdown waits for those who may still run it.
    pub(super) fn wait(
        &self,
        size: NonZeroU32,
        shutdown: Shutdown,
        window: Duration,
        all_are_here: bool,
    ) -> Wait {
        if planted("lost members are not waited for") {
            return Wait::None;
        }
        let stopped_within = (window + grace(shutdown)).mul_f64(1.01);
        let enough = size.get() as usize - 1;
        let mut until = Timestamp::ZERO;
        for loss in self.lost.values() {
            let Some(since) = loss.lacked.get(enough) else {
                let member = loss.name.clone();
                return Wait::Blocked(PendingReason::HolderMayRun { member });
            };
            until = until.max(*since + stopped_within);
        }
        // Where everybody there can be is here, nobody is a stranger.
        if !all_are_here {
            let Some(since) = self.known.get(enough) else {
                return Wait::Blocked(PendingReason::NoQuorum { size });
            };
            until = until.max(*since + stopped_within);
        }
        if until == Timestamp::ZERO { Wait::None } else { Wait::Until(until) }
    }

    /// Whether more members exist than `size` is a majority of.
    pub(super) fn are_too_many(&self, size: NonZeroU32, members: &Members) -> Option<u32> {
        let missing: BTreeSet<_> = self
            .lost
            .values()
            .map(|loss| &loss.name)
            .filter(|name| members.by_name(name).is_none())
            .collect();
        let all = u32::try_from(members.len() + missing.len()).unwrap_or(u32::MAX);
        (u64::from(all) > 2 * u64::from(size.get()) - 1).then_some(all)
    }
}

/// The time since when each number of members has agreed: grows and shrinks with how many do.
fn count(since: &mut Vec<Timestamp>, agree: usize, now: Timestamp) {
    since.resize(agree, now);
}

impl Node {
    /// A member is gone.
    pub(super) fn note_lost(&mut self, member: &MemberId, reason: DownReason) {
        if reason == DownReason::Left {
            self.losses.lost.remove(&member.boot);
        } else {
            let (name, at) = (member.name.clone(), self.now.mono);
            let loss = Loss { name, at, lacked: Vec::new() };
            self.losses.lost.insert(member.boot, loss);
        }
        self.recount_losses();
    }

    /// A member is there, and what it runs is known.
    pub(super) fn note_found(&mut self, boot: BootId) {
        self.losses.lost.remove(&boot);
    }

    /// What views say of those who are lost has changed.
    pub(super) fn recount_losses(&mut self) {
        if !self.tenure.is_about_quorum() {
            return;
        }
        let now = self.now.mono;
        let (me, members) = (self.boot, &self.members);
        let views =
            || members.iter().filter(|it| it.info.id.boot != me).filter_map(|it| it.view.as_ref());
        let kept = |loss: &Loss| now.since(loss.at) < KEPT;
        self.losses.lost.retain(|_, loss| kept(loss));
        let before = self.losses.clone_counts();
        for (boot, loss) in &mut self.losses.lost {
            let lacking = views().filter(|view| !view.names(*boot)).count();
            count(&mut loss.lacked, lacking + 1, now);
        }
        let knowing = |view: &&ViewRecord| view.all().all(|boot| members.is_live(boot));
        count(&mut self.losses.known, views().filter(knowing).count() + 1, now);
        if before != self.losses.clone_counts() {
            self.children.unblock();
        }
    }
}

impl Losses {
    fn clone_counts(&self) -> (usize, Vec<usize>) {
        (self.known.len(), self.lost.values().map(|loss| loss.lacked.len()).collect())
    }
}
