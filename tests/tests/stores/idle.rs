//! A calm cluster asks nothing of its store but that its leases go on, however many children it runs.
//!
//! What the store was asked is what it counted itself: messages, and no times.

use std::time::Duration;

use futures_util::future::join_all;
use pogo::{
    Args, Batch, ChildContext, ChildId, ChildSpec, Kind, Listing, MemberStatus, Status, Supervisor,
};
use tokio::time::Instant;

use crate::{
    etcd::EtcdServer,
    members::{TTL, WITHIN, process},
    wait::eventually,
};

const MEMBERS: u32 = 3;
const CHILDREN: usize = 2_000;
/// So many renewals make a look: each member renews several times.
const LOOK: u64 = 24;
/// Several slow passes over all children are made during one look.
const SLOW_PASS: Duration = Duration::from_millis(500);
/// 2,000 children start in a build without optimisation, beside other tests.
const STARTED_WITHIN: Duration = Duration::from_secs(60);
const CALM_WITHIN: Duration = Duration::from_secs(60);

async fn cluster(server: &EtcdServer) -> Vec<Supervisor> {
    let start = |number: u32| {
        let store = process(&[server.endpoint()]);
        let idle = |(): (), cx: ChildContext| async move {
            cx.stopping().await;
            Ok(())
        };
        Supervisor::builder("idle")
            .membership(store)
            .name(format!("member-{number}"))
            .kind_fn("idle", idle)
            .sync_interval(SLOW_PASS)
            .start()
    };
    let members: Vec<_> = join_all((0..MEMBERS).map(start)).await;
    members.into_iter().map(|member| member.expect("it joins")).collect()
}

fn specs() -> Vec<ChildSpec> {
    let kind = Kind::new("idle").expect("a kind");
    let args = Args::new(&()).expect("arguments");
    let id = |number| ChildId::new(format!("idle/{number}")).expect("an id");
    (0..CHILDREN).map(|it| ChildSpec::of_kind(id(it), kind.clone(), args.clone())).collect()
}

/// Waits until every member sees all others take part, and lists so many children, all running.
async fn settles(members: &[Supervisor], children: usize) {
    for member in members {
        eventually("every member sees everything", STARTED_WITHIN, || async {
            let seen = member.members().await.expect("it runs");
            let active = seen.iter().filter(|it| it.status == MemberStatus::Active).count();
            let listed = member.which_children(Listing::Global).await.expect("it runs");
            let running = listed.iter().filter(|it| it.status == Status::Running).count();
            let is_so = active == members.len() && (listed.len(), running) == (children, children);
            if is_so { Ok(()) } else { Err((active, listed.len(), running)) }
        })
        .await;
    }
}

/// Waits for a look in which the store is asked for nothing but renewals, and for those no more often
/// than members renew.
async fn is_calm(server: &EtcdServer, children: usize) {
    let deadline = Instant::now() + CALM_WITHIN;
    loop {
        let begun = Instant::now();
        let before = server.messages().await.expect("etcd's metrics");
        let after = eventually("members renew, or ask for more", WITHIN, || async {
            let now = server.messages().await?;
            let is_over = now.renewals >= before.renewals + LOOK || now.others > before.others;
            if is_over { Ok(now) } else { Err(format!("{now:?} after {before:?}")) }
        })
        .await;
        if after.others == before.others {
            // One more at each end of the look.
            let due = begun.elapsed().as_secs_f64() / (TTL / 4).as_secs_f64() + 2.0;
            let renewed = u32::try_from(after.renewals - before.renewals).expect("few");
            let renewed = f64::from(renewed) / f64::from(MEMBERS);
            assert!(renewed <= due, "{children} children: {renewed} renewals, {due} were due");
            return;
        }
        // What follows a start may still be under way; it has an end.
        assert!(
            Instant::now() < deadline,
            "{children} children: the store is asked for more than renewals again and again: {after:?} after {before:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calm_members_ask_for_nothing_but_renewals_however_many_children_there_are() {
    let server = EtcdServer::start().await;
    let members = cluster(&server).await;
    settles(&members, 0).await;
    is_calm(&server, 0).await;

    let first = members.first().expect("a member");
    let started = first.start_children(specs(), Batch::EachAlone).await;
    assert!(started.iter().all(Result::is_ok), "{:?}", started.iter().find(|it| it.is_err()));
    settles(&members, CHILDREN).await;
    is_calm(&server, CHILDREN).await;

    join_all(members.iter().map(Supervisor::shutdown)).await;
}
