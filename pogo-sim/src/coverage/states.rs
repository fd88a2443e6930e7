//! The states that plans are to reach, and how each is recognised.

use std::time::Duration;

use pogo_core::{
    membership::{ClaimOutcome, MembershipError},
    node::{Answer, Event, Input, Output, Status},
    spec::Exclusivity,
};

use super::watch::{Seen, Taken};
use crate::{fact::Fact, picture::Instance, runner::Mode};

/// A member that lives was suspected, and said so.
pub(crate) const REFUTED: &str = "false suspicion refuted";
/// A store held a lease for less than a tenth of its time when the renewal came.
pub(crate) const RENEWED_LATE: &str = "lease renewed in the last tenth";

/// Nothing has gone wrong for so long: the cluster is calm.
const CALM: Duration = Duration::from_secs(6);

/// A state.
pub(super) struct State {
    pub(super) name: &'static str,
    pub(super) by: By,
    /// The one mode that can show it, where it is one.
    pub(super) mode: Option<Mode>,
    /// The one backend that can show it, where it is one.
    pub(super) backend: Option<&'static str>,
}

/// How a state is recognised.
#[derive(Clone, Copy)]
pub(super) enum By {
    /// By a fact, and the picture before it.
    Fact(ByFact),
    /// By what a node is given.
    Input(ByInput),
    /// By what a node asks for or tells.
    Output(ByOutput),
    /// By what the backend shows at the end of a run.
    Backend,
    /// It cannot be reached yet.
    Waits(&'static str),
}

pub(super) type ByFact = fn(&Seen<'_>) -> bool;
pub(super) type ByInput = fn(&Taken<'_>) -> bool;
pub(super) type ByOutput = fn(&Output) -> bool;

const fn state(name: &'static str, by: By) -> State {
    State { name, by, mode: None, backend: None }
}

/// A state that only strict children get into.
const fn strict(name: &'static str, by: By) -> State {
    State { mode: Some(Mode::Strict), ..state(name, by) }
}

/// A state that only a store shows.
const fn store(name: &'static str, by: By) -> State {
    State { backend: Some("store"), ..state(name, by) }
}

/// A state that waits for something else to be built; it is switched on there.
const fn waits(name: &'static str, what: &'static str) -> State {
    state(name, By::Waits(what))
}

pub(super) const STATES: &[State] = &[
    State { backend: Some("gossip"), ..state(REFUTED, By::Backend) },
    state("two owners at once", By::Fact(two_owners)),
    state("both sides of a division start the same child", By::Fact(started_on_both_sides)),
    state("stop overtaken by a new start", By::Fact(stop_overtaken)),
    strict("claim denied while its holder lives", By::Input(claim_denied)),
    strict("claim granted after the owner changed", By::Input(claim_too_late)),
    strict("release lost", By::Input(release_lost)),
    state("child quarantined", By::Output(quarantined)),
    state("instance superseded", By::Output(superseded)),
    state("accepted change overwritten", By::Output(overwritten)),
    state("handover completed", By::Output(handover_completed)),
    state("resync of a returning member", By::Fact(resync)),
    state("restart before detection", By::Fact(restart_before_detection)),
    state("same name twice", By::Fact(same_name_twice)),
    state("drain interrupted by a crash", By::Fact(drain_crashed)),
    state("drain in a division", By::Fact(drain_divided)),
    state("planned join in a calm cluster", By::Fact(calm_join)),
    state("view changed while a child starts or stops", By::Fact(view_changed_midway)),
    state("client's answer unknown", By::Fact(answer_unknown)),
    state("handover lost", By::Fact(handover_lost)),
    strict("self-fence fired", By::Fact(self_fence)),
    strict("token rejected by the resource", By::Fact(token_rejected)),
    State { mode: Some(Mode::Quorum), ..state("minority stopped", By::Fact(minority_stopped)) },
    store("watch gap", By::Fact(watch_gap)),
    store("backend lost data", By::Fact(data_lost)),
    store(RENEWED_LATE, By::Backend),
    state("moves held back", By::Input(moves_held_back)),
    waits("tombstone collected while a member was away", "plans of days (R19)"),
    waits("queue full", "links with a bound in bytes"),
];

fn two_owners(seen: &Seen<'_>) -> bool {
    let Fact::Started(started) = seen.fact else { return false };
    let others = seen.picture.of(&started.child).iter();
    let mut others = others.filter(|one| one.boot != started.boot);
    started.owned
        && others.any(|one| seen.memory.owned.contains(&(started.child.clone(), one.boot)))
}

fn started_on_both_sides(seen: &Seen<'_>) -> bool {
    let Fact::Started(started) = seen.fact else { return false };
    let side = seen.memory.side(&started.host);
    seen.picture.divided
        && seen
            .memory
            .started_on
            .get(&started.child)
            .is_some_and(|on| on.iter().any(|it| *it != side))
}

fn stop_overtaken(seen: &Seen<'_>) -> bool {
    let Fact::Started(started) = seen.fact else { return false };
    seen.picture.of(&started.child).iter().any(|one| one.stopping.is_some())
}

fn claim_denied(taken: &Taken<'_>) -> bool {
    let Input::Answer(_, Answer::Acquired(outcomes)) = taken.input else { return false };
    outcomes.iter().any(|outcome| match outcome {
        ClaimOutcome::HeldBy { owner, .. } => {
            taken.picture.hosts.values().any(|host| host.boot == owner.boot && host.joined)
        }
        _ => false,
    })
}

fn claim_too_late(taken: &Taken<'_>) -> bool {
    let Input::Answer(id, Answer::Acquired(outcomes)) = taken.input else { return false };
    let children = taken.memory.claimed(taken.host, *id);
    let me = taken.inspect.me().map(|me| me.boot);
    children.iter().zip(outcomes).any(|(child, outcome)| {
        matches!(outcome, ClaimOutcome::Held { .. })
            && taken.inspect.owner(child).map(|owner| owner.boot) != me
    })
}

fn release_lost(taken: &Taken<'_>) -> bool {
    let Input::Answer(id, Answer::Failed(MembershipError::Ambiguous { .. })) = taken.input else {
        return false;
    };
    taken.memory.releases.contains(&(taken.host.clone(), *id))
}

fn quarantined(output: &Output) -> bool {
    match output {
        Output::Event(Event::Child(info)) => matches!(info.status, Status::Quarantined { .. }),
        _ => false,
    }
}

fn superseded(output: &Output) -> bool {
    matches!(output, Output::Event(Event::Superseded { .. }))
}

fn overwritten(output: &Output) -> bool {
    matches!(output, Output::Event(Event::Overwritten { .. }))
}

fn handover_completed(output: &Output) -> bool {
    matches!(output, Output::StartChild(start) if start.inherited.is_some())
}

/// A member reads a snapshot though it has read one before.
fn resync(seen: &Seen<'_>) -> bool {
    let Fact::SnapshotBegan { host } = seen.fact else { return false };
    seen.picture.hosts.get(host).is_some_and(|host| host.synced)
}

/// A name is back while somebody still holds its former process to take part.
fn restart_before_detection(seen: &Seen<'_>) -> bool {
    let Fact::Booted { host, .. } = seen.fact else { return false };
    let Some(former) = seen.memory.boots.get(host) else { return false };
    seen.picture.hosts.values().any(|other| other.sees_member(*former))
}

fn same_name_twice(seen: &Seen<'_>) -> bool {
    matches!(seen.fact, Fact::Refused { why, .. } if why.contains("a live member is called"))
}

fn drain_crashed(seen: &Seen<'_>) -> bool {
    let Fact::Crashed { host, .. } = seen.fact else { return false };
    seen.picture.hosts.get(host).is_some_and(|host| host.leaving)
}

fn drain_divided(seen: &Seen<'_>) -> bool {
    match seen.fact {
        Fact::Leaving { .. } => seen.picture.divided,
        Fact::Cut(_) => seen.picture.hosts.values().any(|host| host.leaving),
        _ => false,
    }
}

/// A newcomer has read its first snapshot of a cluster that runs children, and nothing is wrong.
fn calm_join(seen: &Seen<'_>) -> bool {
    let Fact::Synced { host } = seen.fact else { return false };
    let picture = seen.picture;
    let is_new = picture.hosts.get(host).is_some_and(|host| !host.synced);
    is_new
        && !picture.divided
        && picture.instances.len() > 1
        && picture.disturbed + CALM < seen.now
        && picture.instances.values().flatten().all(Instance::is_running)
}

fn view_changed_midway(seen: &Seen<'_>) -> bool {
    let Fact::Views { host, .. } = seen.fact else { return false };
    let mut here = seen.picture.instances.values().flatten().filter(|one| one.host == *host);
    here.any(|one| !one.is_running())
}

fn answer_unknown(seen: &Seen<'_>) -> bool {
    // A start is told with its error's text, all others with its name.
    let says_so = |what: &str| what.contains("no answer within") || what.contains("Unknown {");
    matches!(seen.fact, Fact::Replied { what, .. } if says_so(what))
}

fn handover_lost(seen: &Seen<'_>) -> bool {
    matches!(seen.fact, Fact::HandoverLost { .. })
}

/// An instance is stopped for what it rests on is gone.
fn ends_for_lack(seen: &Seen<'_>, is_it: impl Fn(Exclusivity) -> bool) -> bool {
    let Fact::StopAsked { host, child, run, reason: "ownership lost" } = seen.fact else {
        return false;
    };
    let mut instances = seen.picture.of(child).iter();
    instances.any(|one| one.host == *host && one.run == *run && is_it(one.exclusivity))
}

/// A strict instance is stopped while its member's session still stands, by its own deadline.
fn self_fence(seen: &Seen<'_>) -> bool {
    ends_for_lack(seen, |exclusivity| exclusivity == Exclusivity::Strict)
        && seen
            .fact
            .host()
            .and_then(|host| seen.picture.hosts.get(host))
            .is_some_and(|it| it.joined)
}

fn minority_stopped(seen: &Seen<'_>) -> bool {
    ends_for_lack(seen, |exclusivity| matches!(exclusivity, Exclusivity::Quorum { .. }))
}

fn token_rejected(seen: &Seen<'_>) -> bool {
    let Fact::Wrote { child, token } = seen.fact else { return false };
    seen.memory.tokens.get(child).is_some_and(|highest| token < highest)
}

/// The feed of a session that stands begins anew.
fn watch_gap(seen: &Seen<'_>) -> bool {
    let Fact::SnapshotBegan { host } = seen.fact else { return false };
    seen.picture.hosts.get(host).is_some_and(|it| it.synced && it.joined)
        && !seen.memory.joined.contains(host)
}

fn data_lost(seen: &Seen<'_>) -> bool {
    matches!(seen.fact, Fact::DataLost { .. })
}

fn moves_held_back(taken: &Taken<'_>) -> bool {
    taken.inspect.moves_held_back() > 0
}
