//! Which of two instances of one child survives (R8).
//!
//! Read from the two reports, never from the view: both sides of a healed division judge the same
//! two reports and so name the same survivor. A running best never stops, so one always stays.

use std::cmp::Ordering;

use super::{
    child::{Child, Seen},
    local::{Local, Phase},
    members::{Member, Members},
    plan::Scene,
    wire::ReportPhase,
};
use crate::{
    id::BootId,
    membership::MemberStatus,
    mutant::planted,
    placement::{Candidate, ChildKey, precedes},
    record::Version,
    spec::{Handover, Restart},
};

/// What R8 compares, the lowest member of the order last.
#[derive(Debug, Clone, Copy)]
struct Rank {
    version: Version,
    claim: bool,
    by: BootId,
}

/// The report that this member's instance gives way to, if there is one.
pub(super) fn yields_to<'a>(
    child: &'a Child,
    local: &Local,
    scene: &Scene<'_>,
) -> Option<&'a Seen> {
    let mine = Rank { version: local.version, claim: child.claim.is_some(), by: scene.me };
    child.reports.iter().find(|seen| {
        let theirs =
            Rank { version: seen.report.version, claim: seen.report.token.is_some(), by: seen.by };
        let better = compare(child.key, theirs, mine, local, scene) == Ordering::Greater;
        let owns = child.owner == Some(seen.by);
        let better = if planted("survivor by one's own view") { owns } else { better };
        gives_way(child, local, seen, better, scene)
    })
}

fn gives_way(child: &Child, local: &Local, theirs: &Seen, better: bool, scene: &Scene<'_>) -> bool {
    if local.attempt == 0
        && matches!(local.phase, Phase::Preparing(_))
        && stands_in_the_way(local, theirs)
    {
        return true;
    }
    if theirs.report.version < local.version || !theirs.is_holder() {
        return false;
    }
    // In a start-first move two instances are meant to be: until this one runs it yields to
    // nothing that runs, or a drained holder that placement prefers would never be relieved.
    let moving_here = local.spec.handover == Handover::StartFirst && child.owner == Some(scene.me);
    match &local.phase {
        Phase::Running { .. } if planted("gives way to what only starts") => better,
        Phase::Running { .. } => theirs.is_running() && better,
        Phase::Starting { .. } => theirs.is_running() && !moving_here,
        // Where no run is at stake the better report is enough, whatever it says.
        Phase::Preparing(_) | Phase::Backoff { .. } | Phase::Quarantined { .. } => {
            let alive = matches!(
                theirs.report.phase,
                ReportPhase::Starting
                    | ReportPhase::Running
                    | ReportPhase::Backoff { .. }
                    | ReportPhase::Quarantined { .. }
            );
            if theirs.is_running() { !moving_here } else { alive && better }
        }
        Phase::Stopping { .. }
        | Phase::Exporting { .. }
        | Phase::Unclaiming { .. }
        | Phase::Released { .. }
        | Phase::Done { .. }
        | Phase::Stuck { .. } => false,
    }
}

/// Beside an instance that does not end nothing begins, whatever its version, as where it was seen
/// before the decision. The one start of a temporary child is taken by then, so that waits (R5).
fn stands_in_the_way(local: &Local, theirs: &Seen) -> bool {
    theirs.is_stuck()
        && (local.spec.restart != Restart::Temporary || theirs.report.version >= local.version)
}

fn compare(key: ChildKey, a: Rank, b: Rank, local: &Local, scene: &Scene<'_>) -> Ordering {
    let start_first = local.spec.handover == Handover::StartFirst;
    let stays = |boot| !start_first || !is_draining(boot, scene.members);
    a.version
        .cmp(&b.version)
        .then(a.claim.cmp(&b.claim))
        .then_with(|| stays(a.by).cmp(&stays(b.by)))
        .then_with(|| by_placement(key, a.by, b.by, scene.members))
        .then(a.by.cmp(&b.by))
}

/// Whether it leaves: its start-first children give way to their successors wherever placement
/// would rather have them (R7). A member's status reaches the others ahead of its later reports.
fn is_draining(boot: BootId, members: &Members) -> bool {
    members.get(boot).is_some_and(|it| it.info.status == MemberStatus::Draining)
}

/// The holders' own names and weights decide, whether or not they may own anything just now.
fn by_placement(key: ChildKey, a: BootId, b: BootId, members: &Members) -> Ordering {
    let (Some(a), Some(b)) = (members.get(a), members.get(b)) else { return Ordering::Equal };
    let (a, b) = (candidate(a), candidate(b));
    if precedes(key, &a, &b) {
        Ordering::Greater
    } else if precedes(key, &b, &a) {
        Ordering::Less
    } else {
        Ordering::Equal
    }
}

fn candidate(member: &Member) -> Candidate<'_> {
    Candidate::new(&member.info.id.name, member.info.metadata.weight)
}
