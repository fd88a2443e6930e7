//! Several supervisors of one process, on `memory://` or on gossip over loopback, driven through the
//! public API alone.

mod crash;
mod ledger;
mod place;
mod stream;
mod wait;

use std::{
    collections::BTreeSet,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use pogo::{
    Args, Builder, Child, ChildContext, ChildId, ChildInfo, ChildSpec, Exit, Listing, MemberName,
    MemberView, Started, Status, Supervisor,
};
use pogo_core::{
    memory::{HubConfig, MemoryBackend},
    placement::{Candidate, ChildKey, owner},
};
use tokio::{runtime, task::spawn_blocking, time::timeout};

use self::{
    crash::{Line, Through},
    place::Place,
};
pub(crate) use self::{
    ledger::{Ledger, Order},
    place::{On, on_every_backend},
    stream::{listen, next},
    wait::{WITHIN, eventually},
};

/// The scope of every cluster here.
const SCOPE: &str = "tests";

/// A cluster of its own for one test, and the ledger of its children.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    name: String,
    place: Place,
    pub(crate) ledger: Ledger,
}

impl Cluster {
    /// A cluster on `memory://` that nobody has used before.
    pub(crate) fn new(test: &str) -> Self {
        Self::on(On::Memory, test)
    }

    /// A cluster that nobody has used before.
    pub(crate) fn on(on: On, test: &str) -> Self {
        static USED: AtomicUsize = AtomicUsize::new(0);
        let name = format!("{test}-{}", USED.fetch_add(1, Ordering::Relaxed));
        Self { name, place: Place::new(on), ledger: Ledger::default() }
    }

    /// A cluster whose [`mortal`](Self::mortal) members are on a backend of its own, with other
    /// promises than that behind the URL.
    pub(crate) fn with_config(test: &str, config: HubConfig) -> Self {
        Self { place: Place::Memory(MemoryBackend::with_config(config)), ..Self::new(test) }
    }

    /// Points a member at this cluster's backend itself, past the URL.
    pub(crate) fn directly(&self, builder: Builder) -> Builder {
        builder.cluster(&self.name).membership(self.place.membership())
    }

    pub(crate) fn url(&self) -> String {
        format!("memory://{}", self.name)
    }

    /// Ends a member's session against its will.
    pub(crate) fn evict(&self, member: &str) {
        let cluster = self.name.parse().expect("a cluster name");
        let Place::Memory(backend) = &self.place else { panic!("gossip evicts nobody") };
        let faults = backend.faults(&cluster, &SCOPE.parse().expect("a scope"));
        faults.evict(&member.parse().expect("a name"));
    }

    /// A member's settings: it offers [`Steady`].
    pub(crate) fn builder(&self, member: &str) -> Builder {
        let builder =
            Supervisor::builder(SCOPE).name(member).kind(Steady { ledger: self.ledger.clone() });
        match &self.place {
            Place::Memory(_) => builder.backend(self.url()),
            // Seeds that are gone for good are not waited for as long as an operator would.
            Place::Gossip(_) => self.directly(builder).join_timeout(Duration::from_secs(2)),
        }
    }

    /// A member with default settings that takes part.
    pub(crate) async fn member(&self, name: &str) -> Supervisor {
        started(self.builder(name)).await
    }

    /// Members that start at once; returns when each sees them all.
    pub(crate) async fn members<const N: usize>(&self, names: [&str; N]) -> [Supervisor; N] {
        let members = join_all(names.map(|name| self.member(name))).await;
        let members: [Supervisor; N] = members.try_into().expect("one for each name");
        all_meet(&members).await;
        members
    }

    /// A member that can be killed; its children have a runtime of their own.
    pub(crate) async fn mortal(&self, name: &str) -> Mortal {
        self.mortal_of(self.builder(name)).await
    }

    /// Like [`mortal`](Self::mortal), with other settings.
    pub(crate) async fn mortal_of(&self, builder: Builder) -> Mortal {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime for the children");
        let line = Line::new(self.place.membership());
        let builder = builder.cluster(&self.name).membership(Arc::new(Through(Arc::clone(&line))));
        let supervisor = runtime.spawn(started(builder)).await.expect("a start that returns");
        Mortal { supervisor, line, runtime: Some(runtime) }
    }

    /// Mortal members that start at once; returns when each sees them all.
    pub(crate) async fn mortals<const N: usize>(&self, names: [&str; N]) -> [Mortal; N] {
        let members = join_all(names.map(|name| self.mortal(name))).await;
        let members: [Mortal; N] = members.try_into().expect("one for each name");
        all_meet(&members.each_ref().map(|member| Supervisor::clone(member))).await;
        members
    }

    /// Waits until every member lists exactly `ids`, all running, and the children agree: each runs
    /// once, where it is listed.
    pub(crate) async fn settled(&self, members: &[&Supervisor], ids: &[ChildId]) {
        let wanted: BTreeSet<_> = ids.iter().cloned().collect();
        eventually("every child runs once and every member lists that", async || {
            let mut listings = Vec::new();
            for member in members {
                listings.push(member.which_children(Listing::Global).await.expect("a listing"));
            }
            let first = listings.first().cloned().unwrap_or_default();
            let listed: BTreeSet<_> = first.iter().map(|child| child.id.clone()).collect();
            let running = first.iter().all(|child| child.status == Status::Running);
            let places: Vec<_> =
                first.iter().filter_map(|it| Some((it.id.clone(), it.member.clone()?))).collect();
            let equal = listings.iter().all(|listing| *listing == first);
            if listed == wanted && running && equal && places == self.ledger.live() {
                return Ok(());
            }
            let wrong: Vec<_> = first.into_iter().filter(|it| it.status != Status::Running).collect();
            let lacking: Vec<_> = wanted.difference(&listed).cloned().collect();
            let live = self.ledger.live();
            Err(format!(
                "equal: {equal}, listed {}, lacking {lacking:?}, not running {wrong:#?}, live {}: {:?}",
                listed.len(),
                live.len(),
                live.iter().filter(|it| !places.contains(it)).collect::<Vec<_>>()
            ))
        })
        .await;
    }
}

/// A member that can be killed.
#[derive(Debug)]
pub(crate) struct Mortal {
    supervisor: Supervisor,
    line: Arc<Line>,
    runtime: Option<runtime::Runtime>,
}

impl Mortal {
    /// Ends it, by its death or by its shutdown.
    pub(crate) async fn goes(self, dies: bool) {
        if dies {
            self.kill().await;
        } else {
            self.shutdown().await;
        }
    }

    /// Ends it as `kill -9` would: its children are gone, nobody is told, nothing is released.
    pub(crate) async fn kill(mut self) {
        let session = self.line.freeze();
        if let Some(runtime) = self.runtime.take() {
            // Waiting for threads to end would block this one.
            spawn_blocking(move || runtime.shutdown_timeout(WITHIN)).await.expect("its end");
        }
        drop(session);
        self.line.cut();
        timeout(WITHIN, self.supervisor.shutdown()).await.expect("its driver ends");
    }
}

impl Deref for Mortal {
    type Target = Supervisor;

    fn deref(&self) -> &Supervisor {
        &self.supervisor
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The child of most tests: runs until it is told otherwise, by its supervisor or by the test.
#[derive(Debug)]
pub(crate) struct Steady {
    ledger: Ledger,
}

impl Child for Steady {
    const KIND: &'static str = "steady";
    type Args = u32;
    type State = ();

    async fn run(&self, args: u32, cx: ChildContext) -> Exit {
        let mut span = self.ledger.open(&cx, args);
        cx.ready_at(span.address());
        tokio::select! {
            reason = cx.stopping() => {
                span.told(reason);
                Ok(())
            }
            order = span.order() => match order {
                Order::Finish => Ok(()),
                Order::Fail => Err("ordered to fail".into()),
                Order::Panic => panic!("ordered to panic"),
            },
        }
    }
}

/// A child of kind [`Steady`]; its id is `steady/<name>`.
pub(crate) fn steady(name: &str) -> ChildSpec {
    steady_with(name, 0)
}

pub(crate) fn steady_with(name: &str, args: u32) -> ChildSpec {
    ChildSpec::new::<Steady>(name, &args).expect("a spec")
}

/// `count` children of kind [`Steady`], and their ids.
pub(crate) fn steadies(prefix: &str, count: usize) -> (Vec<ChildSpec>, Vec<ChildId>) {
    let specs: Vec<_> = (0..count).map(|n| steady(&format!("{prefix}{n}"))).collect();
    let ids = specs.iter().map(|spec| spec.id.clone()).collect();
    (specs, ids)
}

/// The member of `members` that placement gives a child to.
pub(crate) fn owner_among<'a>(id: &ChildId, members: &[&'a str]) -> &'a str {
    let names: Vec<MemberName> = members.iter().map(|name| name.parse().expect("name")).collect();
    let candidates: Vec<_> = names.iter().map(|name| Candidate::new(name, 1)).collect();
    let owner = owner(ChildKey::new(id.as_str()), &candidates).expect("an owner").name();
    members.iter().find(|name| **name == owner.as_str()).expect("one of them")
}

/// Steady children that `member` owns among `members`.
pub(crate) fn owned_by(member: &str, members: &[&str], count: usize) -> Vec<ChildSpec> {
    let all = (0..).map(|n| steady(&format!("c{n}")));
    all.filter(|spec| owner_among(&spec.id, members) == member).take(count).collect()
}

/// Starts a member and waits until it takes part.
pub(crate) async fn started(builder: Builder) -> Supervisor {
    let supervisor = builder.start().await.expect("a start");
    timeout(WITHIN, supervisor.ready()).await.expect("ready in time").expect("ready");
    supervisor
}

/// Waits until each of `members` sees as many as there are.
pub(crate) async fn all_meet(members: &[Supervisor]) {
    for member in members {
        eventually("the members see each other", async || {
            let seen = members_of(member).await;
            if seen.len() == members.len() { Ok(()) } else { Err(seen) }
        })
        .await;
    }
}

pub(crate) async fn members_of(member: &Supervisor) -> Vec<MemberView> {
    member.members().await.expect("the members")
}

/// Asks for children that were never asked for before.
pub(crate) async fn accepted(member: &Supervisor, specs: impl IntoIterator<Item = ChildSpec>) {
    for started in member.start_children(specs, pogo::Batch::EachAlone).await {
        assert_eq!(started.expect("a start"), Started::Accepted);
    }
}

/// Waits until a child runs.
pub(crate) async fn running(member: &Supervisor, id: &ChildId) -> ChildInfo {
    member.wait_running(id, WITHIN).await.expect("it runs")
}

/// The member that runs a child by now.
pub(crate) async fn holder(member: &Supervisor, id: &ChildId) -> MemberName {
    running(member, id).await.member.expect("a running child has a member")
}

/// A child of another kind, without arguments.
pub(crate) fn of_kind(kind: &str, id: &str) -> ChildSpec {
    let args = Args::new(&()).expect("args");
    ChildSpec::of_kind(id.parse().expect("an id"), kind.parse().expect("a kind"), args)
}

/// A child as a member sees it by now.
pub(crate) async fn seen(member: &Supervisor, id: &ChildId) -> Option<ChildInfo> {
    member.lookup(id).await.expect("an answer")
}
