//! One child misbehaves among a hundred that do not, on three members: its siblings and the members
//! are unharmed, and whoever looks sees what is wrong with it.

use std::{
    future::pending,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use futures_util::future::join_all;
use pogo::{
    Args, Child, ChildContext, ChildId, ChildInfo, ChildSpec, Event, Events, Exit, ExitReason,
    MemberId, Shutdown, Status, StopReason, Supervisor, Terminated,
};

use crate::cluster::{
    Cluster, Ledger, WITHIN, accepted, all_meet, eventually, listen, members_of, next, owner_among,
    running, seen, started, steadies, steady,
};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// A child that does what its arguments say.
struct Rogue {
    ledger: Ledger,
    gate: Gate,
}

impl Child for Rogue {
    const KIND: &'static str = "rogue";
    type Args = String;
    type State = ();

    async fn run(&self, args: String, cx: ChildContext) -> Exit {
        let _span = self.ledger.open(&cx, 0);
        match args.as_str() {
            "fails" => Err("no luck".into()),
            "panics" => panic!("lost my head"),
            "hangs" => pending().await,
            "blocks in start" => {
                self.gate.wait();
                pending().await
            }
            "ignores" => {
                cx.ready();
                pending().await
            }
            "blocks" => {
                cx.ready();
                self.gate.wait();
                pending().await
            }
            other => panic!("unknown: {other}"),
        }
    }
}

/// Holds threads, and lets them go at the latest when the test ends.
#[derive(Debug, Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn wait(&self) {
        let (open, opened) = &*self.0;
        let guard = open.lock().expect("no panic under it");
        drop(opened.wait_while(guard, |open| !*open).expect("no panic under it"));
    }

    fn open(&self) {
        let (open, opened) = &*self.0;
        *open.lock().expect("no panic under it") = true;
        opened.notify_all();
    }
}

/// Three members, a hundred healthy children, and room for one more.
struct Society {
    cluster: Cluster,
    gate: Gate,
    members: [Supervisor; 3],
    streams: [Events; 3],
    ids: Vec<ChildId>,
    identities: Vec<MemberId>,
}

impl Drop for Society {
    fn drop(&mut self) {
        self.gate.open();
    }
}

impl Society {
    async fn new(test: &str) -> Self {
        let cluster = Cluster::new(test);
        let gate = Gate::default();
        let members = join_all(NAMES.map(|name| {
            let rogue = Rogue { ledger: cluster.ledger.clone(), gate: gate.clone() };
            let builder = cluster.builder(name).kind(rogue);
            let builder = builder.restart_intensity(2, Duration::from_secs(60));
            started(builder.start_timeout(Duration::from_millis(500)))
        }));
        let members: [Supervisor; 3] = members.await.try_into().expect("three");
        all_meet(&members).await;
        let (specs, ids) = steadies("c", 100);
        accepted(&members[0], specs).await;
        let [a, b, c] = &members;
        cluster.settled(&[a, b, c], &ids).await;
        let streams = [listen(a).await, listen(b).await, listen(c).await];
        let identities = members_of(a).await.into_iter().map(|it| it.id).collect();
        Self { cluster, gate, members, streams, ids, identities }
    }

    /// Asks for the rogue; also says which member owns it.
    async fn add(&self, does: &str) -> (ChildSpec, usize) {
        let spec = ChildSpec::new::<Rogue>("r", &does.to_owned()).expect("a spec");
        let spec = spec.shutdown(Shutdown::Grace(Duration::from_millis(300)));
        let owner = owner_among(&spec.id, &NAMES);
        accepted(&self.members[0], [spec.clone()]).await;
        (spec, NAMES.iter().position(|name| *name == owner).expect("a member"))
    }

    /// Waits until every member shows the rogue like this.
    async fn all_show(&self, id: &ChildId, what: &str, is: impl Fn(&Status) -> bool) {
        for member in &self.members {
            eventually(what, async || {
                let child = seen(member, id).await;
                if child.as_ref().is_some_and(|it| is(&it.status)) { Ok(()) } else { Err(child) }
            })
            .await;
        }
    }

    /// How the next run of the rogue ends.
    async fn exit(&mut self, owner: usize) -> ExitReason {
        next(&mut self.streams[owner], |event| match event {
            Event::RunExited { reason, completed, .. } => {
                assert!(!completed);
                Some(reason)
            }
            _ => None,
        })
        .await
    }

    /// Nobody but the rogue has noticed anything.
    async fn unharmed(&mut self) {
        for member in &self.members {
            let now: Vec<_> = members_of(member).await.into_iter().map(|it| it.id).collect();
            assert_eq!(now, self.identities);
        }
        for id in &self.ids {
            let child = running(&self.members[0], id).await;
            assert_eq!(child.restarts, 0, "{child:?}");
            assert_eq!(self.cluster.ledger.of(id).len(), 1, "{id} was touched");
        }
        // Each member still does its work, the one with the rogue too.
        let mut late = Vec::new();
        for name in NAMES {
            let mut names = (0..).map(|n| steady(&format!("late{n}")));
            late.push(names.find(|it| owner_among(&it.id, &NAMES) == name).expect("endless"));
        }
        let ids: Vec<_> = late.iter().map(|spec| spec.id.clone()).collect();
        accepted(&self.members[1], late).await;
        for id in &ids {
            let child = running(&self.members[2], id).await;
            assert_eq!(child.member.expect("it runs").as_str(), owner_among(id, &NAMES));
        }
    }

    /// The rogue is ended from a member that does not run it.
    async fn terminate(&self, id: &ChildId, owner: usize) {
        let ended = self.members[(owner + 1) % 3].terminate_child(id).await.expect("taken");
        assert_eq!(ended, Terminated::Accepted);
    }

    async fn gone(&self, id: &ChildId) {
        for member in &self.members {
            member.wait_gone(id, WITHIN).await.expect("gone");
        }
    }
}

/// A rogue that ends by itself each time: back-off, then quarantine, with the reason.
async fn keeps_ending(does: &str, reason: ExitReason) {
    let mut society = Society::new(does).await;
    let (rogue, owner) = society.add(does).await;
    let why = reason.to_string();
    let mut backed_off = false;
    let observer = (owner + 1) % 3;
    let last = next(&mut society.streams[observer], |event| match event {
        Event::Child(ChildInfo { id, status, .. }) if id == rogue.id => match status {
            Status::Backoff { last } => {
                assert_eq!(last, why);
                backed_off = true;
                None
            }
            Status::Quarantined { last } => Some(last),
            _ => None,
        },
        _ => None,
    })
    .await;
    assert!(backed_off, "it was first tried again");
    assert_eq!(last, why);
    for _ in 0..3 {
        assert_eq!(society.exit(owner).await, reason);
    }
    society.all_show(&rogue.id, "quarantine", |it| matches!(it, Status::Quarantined { .. })).await;
    assert_eq!(society.cluster.ledger.of(&rogue.id).len(), 3, "one start and two restarts");
    society.unharmed().await;
    society.terminate(&rogue.id, owner).await;
    society.gone(&rogue.id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_child_backs_off_into_quarantine_and_harms_no_sibling() {
    keeps_ending("fails", ExitReason::Failed("no luck".to_owned())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn panicking_child_backs_off_into_quarantine_and_harms_no_sibling() {
    keeps_ending("panics", ExitReason::Panicked("lost my head".to_owned())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_hangs_in_its_start_is_aborted_and_quarantined_and_harms_no_sibling() {
    let mut society = Society::new("hangs").await;
    let (rogue, owner) = society.add("hangs").await;
    society.all_show(&rogue.id, "its start", |it| *it == Status::Starting).await;
    for _ in 0..3 {
        let told = next(&mut society.streams[owner], |event| match event {
            Event::RunStopping { reason, .. } => Some(reason),
            _ => None,
        })
        .await;
        assert_eq!(told, StopReason::Restarted);
        assert_eq!(society.exit(owner).await, ExitReason::Aborted);
    }
    let last = ExitReason::StartTimeout.to_string();
    let quarantined = Status::Quarantined { last };
    society.all_show(&rogue.id, "quarantine", |it| *it == quarantined).await;
    society.unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_ignores_its_stop_is_aborted_after_its_grace_and_harms_no_sibling() {
    let mut society = Society::new("ignores").await;
    let (rogue, owner) = society.add("ignores").await;
    society.all_show(&rogue.id, "it runs", |it| *it == Status::Running).await;
    society.terminate(&rogue.id, owner).await;
    let told = next(&mut society.streams[owner], |event| match event {
        Event::RunStopping { reason, .. } => Some(reason),
        _ => None,
    })
    .await;
    assert_eq!(told, StopReason::Terminated);
    assert_eq!(society.exit(owner).await, ExitReason::Aborted);
    society.gone(&rogue.id).await;
    let run = society.cluster.ledger.of(&rogue.id).remove(0);
    assert!(run.ended.is_some(), "its code is gone too");
    society.unharmed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn child_that_blocks_its_thread_is_shown_as_stuck_and_harms_no_sibling() {
    let mut society = Society::new("blocks").await;
    let (rogue, owner) = society.add("blocks").await;
    society.all_show(&rogue.id, "it runs", |it| *it == Status::Running).await;
    assert!(society.members[owner].restart_child(&rogue.id).await.expect("taken"));
    society.all_show(&rogue.id, "it is stuck", |it| *it == Status::Stuck).await;
    society.unharmed().await;
    assert_eq!(society.cluster.ledger.of(&rogue.id).len(), 1, "no second one beside it");

    society.terminate(&rogue.id, owner).await;
    society.gate.open();
    assert_eq!(society.exit(owner).await, ExitReason::Aborted);
    society.gone(&rogue.id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn child_that_blocks_its_thread_in_its_start_is_shown_as_stuck_and_harms_no_sibling() {
    let mut society = Society::new("blocks-in-start").await;
    let (rogue, owner) = society.add("blocks in start").await;
    society.all_show(&rogue.id, "it is stuck", |it| *it == Status::Stuck).await;
    society.unharmed().await;
    society.gate.open();
    assert_eq!(society.exit(owner).await, ExitReason::Aborted);
    let last = ExitReason::StartTimeout.to_string();
    society.all_show(&rogue.id, "it is tried again", |it| *it != Status::Stuck).await;
    let quarantined = Status::Quarantined { last };
    society.all_show(&rogue.id, "quarantine", |it| *it == quarantined).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn args_that_a_member_cannot_decode_fail_the_child_there_and_harm_no_sibling() {
    // The asker does not offer the kind, so nobody can tell before it is started.
    let cluster = Cluster::new("undecodable");
    let asker = cluster.member("asker").await;
    let rogue = Rogue { ledger: cluster.ledger.clone(), gate: Gate::default() };
    let builder = cluster.builder("host").kind(rogue);
    let host = started(builder.restart_intensity(1, Duration::from_secs(60))).await;
    all_meet(&[asker.clone(), host.clone()]).await;
    let spec = ChildSpec::of_kind(
        "odd".parse().expect("an id"),
        "rogue".parse().expect("a kind"),
        Args::new(&7).expect("args"),
    );
    let sibling = steady("sibling");
    accepted(&asker, [sibling.clone(), spec.clone()]).await;
    for member in [&asker, &host] {
        eventually("quarantine that says why", async || {
            let child = seen(member, &spec.id).await;
            match child.as_ref().map(|it| &it.status) {
                Some(Status::Quarantined { last }) if last.contains("expected a string") => Ok(()),
                _ => Err(child),
            }
        })
        .await;
    }
    assert_eq!(running(&asker, &sibling.id).await.restarts, 0);
    assert_eq!(cluster.ledger.of(&sibling.id).len(), 1);
}
