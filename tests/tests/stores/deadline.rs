//! Strict children that block their thread past their deadline (R16): the process ends itself where that was
//! chosen, and otherwise the child is shown as stuck and nothing begins beside it.

use std::{
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use pogo::{
    ChildContext, ChildId, Event, Exclusivity, FencingToken, Health, Listing, MemberName, Status,
    StopReason, Supervisor,
};
use rustix::process::Signal;

use crate::{
    etcd::EtcdServer,
    members::{TTL, WITHIN},
    proxy::Route,
    society::{KIND, Ledger, all_meet, bare, listen, member, next, owned_by, shows, spec, started},
    strict::{Process, token},
    wait::{eventually, throughout},
};

const NAMES: [&str; 2] = ["ash", "birch"];

/// Ash is a process whose strict child blocks its thread, behind a way of its own; birch is here.
struct Pair {
    ash: Process,
    route: Route,
    birch: Supervisor,
    child: ChildId,
    token: u64,
    ledger: Ledger,
}

impl Pair {
    async fn over(server: &EtcdServer, cluster: &str) -> Self {
        let [child] = owned_by("ash", &NAMES);
        let route = server.route().await;
        let [endpoint] = route.endpoints().try_into().expect("one server");
        let url = format!("etcd://{endpoint}/{cluster}?new=yes&ttl={}s", TTL.as_secs());
        let ash = Process::start("blocking_member", &[&url, "ash", child.as_str()]);
        let (_, line) = eventually("its child runs", WITHIN, || async {
            ash.last("runs with token").ok_or_else(|| ash.since(None))
        })
        .await;
        let ledger = Ledger::default();
        let birch = member(&[server.endpoint()], cluster, "birch", &ledger);
        let birch = started(birch.exclusivity(Exclusivity::Strict)).await;
        let runs = |status: &Status| *status == Status::Running;
        shows(&birch, &child, "it runs at ash", |it| runs(&it.status)).await;
        Self { ash, route, birch, child, token: token(&line), ledger }
    }

    /// The process of ash ends, and not because somebody told it to.
    async fn ends_itself(&mut self) {
        let end = until_ended(&mut self.ash).await;
        assert_eq!(end.signal(), Some(Signal::ABORT.as_raw()), "{end}");
    }

    /// The child runs at birch, with a higher token, and began after it had acted last at ash.
    async fn is_taken_over(&self) {
        let run = eventually("it runs at birch", WITHIN, || async {
            self.ledger.of(&self.child).pop().ok_or("it does not")
        })
        .await;
        assert_eq!(run.member.as_str(), "birch");
        let new = run.token.expect("a token").get();
        assert!(new > self.token, "token {new} after {}", self.token);
        let acted = last_act(&self.ash);
        assert!(acted < run.began, "it acted at {acted:?}, and birch ran it from {:?}", run.began);
    }
}

async fn until_ended(process: &mut Process) -> ExitStatus {
    let process = Mutex::new(process);
    eventually("the process ends", WITHIN, || async {
        let mut process = process.lock().expect("no panic under this lock");
        process.end().ok_or_else(|| process.last("acts"))
    })
    .await
}

/// When the child acted last, by the clock of the machine. Its last line may be cut off.
fn last_act(process: &Process) -> Duration {
    let read = |line: &str| line.strip_prefix("acts at ")?.parse().ok();
    let acts = process.since(None).into_iter().rev().filter_map(|(_, line)| read(&line));
    Duration::from_nanos(acts.max().expect("it has acted"))
}

#[tokio::test]
async fn process_that_is_cut_off_ends_itself_before_its_blocked_child_is_taken_over() {
    let server = EtcdServer::start().await;
    let mut pair = Pair::over(&server, "cut-off").await;
    pair.route.cut_off();
    pair.ends_itself().await;
    pair.is_taken_over().await;
}

#[tokio::test]
async fn process_over_a_frozen_store_ends_itself_while_its_child_blocks() {
    let server = EtcdServer::start().await;
    let mut pair = Pair::over(&server, "frozen").await;
    server.pause().await;
    pair.ends_itself().await;
    server.unpause().await;
    pair.is_taken_over().await;
}

/// It was stuck before there was a deadline to be past, and was looked at no more.
#[tokio::test]
async fn process_ends_itself_also_where_its_child_was_stuck_long_before_its_deadline() {
    let server = EtcdServer::start().await;
    let mut pair = Pair::over(&server, "stuck").await;
    let other = spec(&pair.child).label("another", "spec");
    pair.birch.replace_child(other).await.expect("it is accepted");
    let stuck = |status: &Status| *status == Status::Stuck;
    shows(&pair.birch, &pair.child, "it is stuck", |it| stuck(&it.status)).await;
    let alive = Mutex::new(&mut pair.ash);
    throughout("a process whose lease is renewed goes on", TTL + TTL / 2, || {
        alive.lock().expect("no panic under this lock").end().map_or(Ok(()), Err)
    })
    .await;
    assert!(pair.ledger.of(&pair.child).is_empty(), "nothing begins beside it");
    pair.route.cut_off();
    pair.ends_itself().await;
    pair.is_taken_over().await;
}

/// Its supervisor was gone, and with it whoever looked at the deadline.
#[tokio::test]
async fn process_ends_itself_also_where_its_member_was_shut_down_and_its_child_blocks_on() {
    let server = EtcdServer::start().await;
    let mut pair = Pair::over(&server, "shut-down").await;
    pair.ash.signal(Signal::TERM);
    eventually("ash is shut down", WITHIN, || async {
        pair.ash.last("is shut down").ok_or_else(|| pair.ash.since(None))
    })
    .await;
    pair.ends_itself().await;
    pair.is_taken_over().await;
}

/// A member whose strict child blocks its thread until the sender is dropped, at its first run.
fn blocking(route: &Route, cluster: &str, ledger: &Ledger) -> (pogo::Builder, mpsc::Sender<()>) {
    let (let_go, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let ledger = ledger.clone();
    let builder = bare(&route.endpoints(), cluster, "ash").exclusivity(Exclusivity::Strict);
    let builder = builder.kind_fn(KIND, move |(): (), cx: ChildContext| {
        let (held, ledger) = (Arc::clone(&held), ledger.clone());
        async move {
            let span = ledger.open(&cx);
            cx.ready();
            let gone = held.lock().expect("no panic under this lock").recv();
            gone.expect_err("nothing is sent");
            span.told(cx.stopping().await);
            Ok(())
        }
    });
    (builder, let_go)
}

/// Cuts a member off from the store: it says that, tells its child to stop, and shows it as stuck.
async fn is_stuck_once_cut_off(ash: &Supervisor, route: &Route, child: &ChildId) {
    let mut events = listen(ash).await;
    route.cut_off();
    let (mut is_away, mut told) = (false, None);
    let stuck = loop {
        match next(&mut events, "its child is stuck", |event| Some(event.clone())).await {
            Event::Health { health } => is_away = health != Health::Healthy,
            Event::RunStopping { id, reason, .. } if id == *child => told = Some(reason),
            Event::Child(info) if info.status == Status::Stuck => break info,
            _ => {}
        }
    };
    assert!(is_away, "what is known of the store is told");
    assert_eq!(told, Some(StopReason::OwnershipLost));
    assert_eq!(ash.lookup(child).await.expect("an answer"), Some(stuck.clone()));
    let listed = ash.which_children(Listing::Local).await.expect("a list");
    assert_eq!(listed, [stuck]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn blocked_child_is_stuck_past_its_deadline_and_nothing_begins_beside_it_on_its_member() {
    let server = EtcdServer::start().await;
    let cluster = "goes-on";
    let [child] = owned_by("ash", &NAMES);
    let (route, here) = (server.route().await, Ledger::default());
    let (builder, let_go) = blocking(&route, cluster, &here);
    let ash = started(builder).await;
    ash.start_child(spec(&child)).await.expect("it is accepted");
    let first = shows(&ash, &child, "it runs", |it| it.status == Status::Running).await.token;
    let there = Ledger::default();
    let birch = member(&[server.endpoint()], cluster, "birch", &there);
    let birch = started(birch.exclusivity(Exclusivity::Strict)).await;
    all_meet(&[&ash, &birch]).await;

    is_stuck_once_cut_off(&ash, &route, &child).await;

    // Its claim passes on when the lease is over, and the store is told to whom.
    let is_there = |status: &Status, member: Option<&MemberName>| {
        *status == Status::Running && member.is_some_and(|name| name.as_str() == "birch")
    };
    let second =
        shows(&birch, &child, "it runs at birch", |it| is_there(&it.status, it.member.as_ref()));
    let second = second.await.token;
    assert!(second > first, "{second:?} after {first:?}");
    route.reconnect();
    all_meet(&[&ash, &birch]).await;
    let explained = || async {
        let explained = birch.explain(&child).await.expect("an answer").expect("it is there");
        let phase = explained.reports.iter().find(|(name, _)| name.as_str() == "ash");
        phase.map(|(_, phase)| phase.clone()).ok_or(explained)
    };
    let phase = eventually("birch knows of the one that is stuck", WITHIN, explained).await;
    assert!(phase.contains("tuck"), "{phase}");

    // Where birch goes, the one that is stuck stands in the way.
    birch.shutdown().await;
    eventually("ash is alone", WITHIN, || async {
        let members = ash.members().await.expect("the members");
        if members.len() == 1 { Ok(()) } else { Err(members) }
    })
    .await;
    throughout("nothing begins beside it", TTL, || {
        let runs = here.of(&child);
        if runs.len() == 1 { Ok(()) } else { Err(runs) }
    })
    .await;
    assert_eq!(
        ash.lookup(&child).await.expect("an answer").map(|it| it.status),
        Some(Status::Stuck)
    );
    drop(let_go);
    let third = shows(&ash, &child, "it runs again", |it| it.status == Status::Running).await.token;
    assert!(third > second, "{third:?} after {second:?}");
    here.assert_one_after_the_other(&child);
    let tokens: Vec<Option<FencingToken>> = here.of(&child).iter().map(|run| run.token).collect();
    assert_eq!(tokens, [first, third]);
}
