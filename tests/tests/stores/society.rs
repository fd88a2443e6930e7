//! Supervisors over etcd in the test's own process, and what their children did.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex},
    time::Duration,
};

use pogo::{
    Args, Builder, ChildContext, ChildId, ChildInfo, ChildSpec, Event, EventItem, Events,
    FencingToken, Health, Kind, MemberName, Snapshot, StopReason, Supervisor,
    placement::{Candidate, ChildKey, owner},
};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::timeout;

use crate::{
    members::{WITHIN, process},
    wait::eventually,
};

/// The scope of all of them.
pub(crate) const SCOPE: &str = "test";
/// The kind of all their children.
pub(crate) const KIND: &str = "blocker";

/// One run of a child, in the words of the child; times are those of [`monotonic`].
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) id: ChildId,
    pub(crate) member: MemberName,
    pub(crate) token: Option<FencingToken>,
    pub(crate) began: Duration,
    pub(crate) ended: Option<Duration>,
    /// Why it was told to stop, where it was.
    pub(crate) told: Option<StopReason>,
}

/// Every run, in the order of their begin; a cheap clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Vec<Run>>>);

/// An open entry; dropping it ends the run.
pub(crate) struct Span(Ledger, usize);

impl Ledger {
    pub(crate) fn open(&self, cx: &ChildContext) -> Span {
        let mut runs = self.0.lock().expect("no panic under this lock");
        runs.push(Run {
            id: cx.id().clone(),
            member: cx.member().clone(),
            token: cx.token(),
            began: monotonic(),
            ended: None,
            told: None,
        });
        Span(self.clone(), runs.len() - 1)
    }

    pub(crate) fn runs(&self) -> Vec<Run> {
        self.0.lock().expect("no panic under this lock").clone()
    }

    pub(crate) fn of(&self, id: &ChildId) -> Vec<Run> {
        self.runs().into_iter().filter(|run| run.id == *id).collect()
    }

    /// Whether each child has exactly one run that has not ended; if not, those that have not.
    pub(crate) fn runs_each_once(&self, ids: &[ChildId]) -> Result<(), Vec<Run>> {
        let live: Vec<Run> = self.runs().into_iter().filter(|run| run.ended.is_none()).collect();
        let once = |id: &ChildId| live.iter().filter(|run| run.id == *id).count() == 1;
        if ids.iter().all(once) { Ok(()) } else { Err(live) }
    }

    /// No run of the child began before the one before it had ended.
    pub(crate) fn assert_one_after_the_other(&self, id: &ChildId) {
        let runs = self.of(id);
        for pair in runs.windows(2) {
            let [former, latter] = pair else { continue };
            assert!(former.ended.is_some_and(|ended| ended <= latter.began), "{runs:#?}");
        }
    }
}

impl Span {
    pub(crate) fn told(&self, reason: StopReason) {
        let mut runs = self.0.0.lock().expect("no panic under this lock");
        runs[self.1].told = Some(reason);
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let mut runs = self.0.0.lock().expect("no panic under this lock");
        runs[self.1].ended = Some(monotonic());
    }
}

/// The machine's clock, which a process shares with those that it starts.
pub(crate) fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    let [seconds, nanos] = [now.tv_sec, now.tv_nsec].map(|it| u64::try_from(it).expect("a time"));
    Duration::from_secs(seconds) + Duration::from_nanos(nanos)
}

/// A member over these servers; its children run until they are told to stop.
pub(crate) fn member(endpoints: &[String], cluster: &str, name: &str, ledger: &Ledger) -> Builder {
    let ledger = ledger.clone();
    bare(endpoints, cluster, name).kind_fn(KIND, move |(): (), cx: ChildContext| {
        let ledger = ledger.clone();
        async move {
            let span = ledger.open(&cx);
            span.told(cx.stopping().await);
            Ok(())
        }
    })
}

/// A member over these servers that has no kind yet.
pub(crate) fn bare(endpoints: &[String], cluster: &str, name: &str) -> Builder {
    Supervisor::builder(SCOPE).cluster(cluster).name(name).membership(process(endpoints))
}

/// Starts a member and waits until it takes part.
pub(crate) async fn started(builder: Builder) -> Supervisor {
    let member = builder.start().await.expect("a start");
    timeout(WITHIN, member.ready()).await.expect("ready in time").expect("ready");
    member
}

/// Waits until each sees all.
pub(crate) async fn all_meet(members: &[&Supervisor]) {
    for member in members {
        eventually("the members see each other", WITHIN, || async {
            let seen = member.members().await.expect("the members");
            if seen.len() == members.len() { Ok(()) } else { Err(seen) }
        })
        .await;
    }
}

pub(crate) fn spec(id: &ChildId) -> ChildSpec {
    let kind = Kind::new(KIND).expect("a kind");
    ChildSpec::of_kind(id.clone(), kind, Args::new(&()).expect("JSON"))
}

/// The first children that placement gives to one of `members`.
pub(crate) fn owned_by<const N: usize>(member: &str, members: &[&str]) -> [ChildId; N] {
    let names: Vec<_> =
        members.iter().map(|name| MemberName::new(*name).expect("a name")).collect();
    let candidates: Vec<_> = names.iter().map(|name| Candidate::new(name, 1)).collect();
    let owns = |id: &String| {
        owner(ChildKey::new(id), &candidates).is_some_and(|it| it.name().as_str() == member)
    };
    let mut ids = (0..).map(|n| format!("child-{n}")).filter(owns);
    [(); N].map(|()| ChildId::new(ids.next().expect("endless")).expect("an id"))
}

/// Waits until a member shows the child so.
pub(crate) async fn shows(
    member: &Supervisor,
    id: &ChildId,
    what: &str,
    is_so: impl Fn(&ChildInfo) -> bool,
) -> ChildInfo {
    eventually(what, WITHIN, || async {
        let shown = member.lookup(id).await.expect("an answer");
        shown.clone().filter(|child| is_so(child)).ok_or(shown)
    })
    .await
}

/// The events of a member from now on.
pub(crate) async fn listen(member: &Supervisor) -> Events {
    snapshot(member).await.1
}

/// How the store serves a member, as that says.
pub(crate) async fn health(member: &Supervisor) -> Health {
    snapshot(member).await.0.health
}

async fn snapshot(member: &Supervisor) -> (Snapshot, Events) {
    let mut events = member.events();
    let first = timeout(WITHIN, events.next()).await.expect("a snapshot in time");
    let Some(EventItem::Snapshot(snapshot)) = first else { panic!("no snapshot: {first:?}") };
    (snapshot, events)
}

/// The next event that is looked for; fails where none comes in time.
pub(crate) async fn next<T: Debug>(
    events: &mut Events,
    what: &str,
    look: impl Fn(&Event) -> Option<T>,
) -> T {
    let found = timeout(WITHIN, async {
        loop {
            let item = events.next().await.expect("the supervisor runs");
            if let EventItem::Event(event) = item
                && let Some(found) = look(&event)
            {
                return found;
            }
        }
    });
    found.await.unwrap_or_else(|_late| panic!("no event within {WITHIN:?}: {what}"))
}
