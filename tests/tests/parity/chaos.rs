//! T8 at full size: members and children come and go, and in the end all is exactly right.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use pogo::{Batch, ChildId, ChildSpec, Started, Supervisor, Terminated};

use crate::cluster::{
    Cluster, Mortal, On, WITHIN, eventually, members_of, running, steady, steady_with,
};

/// What the cluster is to look like, and whom to ask.
struct Chaos {
    cluster: Cluster,
    members: BTreeMap<usize, Mortal>,
    wanted: BTreeSet<ChildId>,
}

impl Chaos {
    async fn join(&mut self, numbers: std::ops::Range<usize>) {
        let cluster = &self.cluster;
        let join = |n| async move { (n, cluster.mortal(&format!("m{n}")).await) };
        let joined = join_all(numbers.map(join)).await;
        self.members.extend(joined);
    }

    /// Asks for children, each through another member.
    async fn start(&mut self, numbers: std::ops::Range<usize>) {
        let specs: Vec<ChildSpec> =
            numbers.map(|n| steady_with(&format!("c{n:03}"), u32::try_from(n).unwrap())).collect();
        let askers = self.members.values().cycle();
        let started = join_all(specs.iter().zip(askers).map(|(spec, member)| async {
            member.start_children([spec.clone()], Batch::EachAlone).await.remove(0)
        }));
        for outcome in started.await {
            assert_eq!(outcome.expect("a start"), Started::Accepted);
        }
        self.wanted.extend(specs.into_iter().map(|spec| spec.id));
    }

    /// Terminates every `nth` of the wanted children, `count` in all, each through another member.
    async fn terminate(&mut self, count: usize) {
        // From both ends inwards, so that old and new ones go.
        let (old, new) = (self.wanted.iter().step_by(2), self.wanted.iter().skip(1).step_by(2));
        let ids: Vec<_> = old.chain(new.rev()).take(count).cloned().collect();
        let askers = self.members.values().cycle();
        let ended = join_all(ids.iter().zip(askers).map(|(id, member)| member.terminate_child(id)));
        for outcome in ended.await {
            assert_eq!(outcome.expect("taken"), Terminated::Accepted);
        }
        for id in ids {
            assert!(self.wanted.remove(&id));
        }
    }

    /// Takes members out: every other one crashes, the rest shut down.
    fn take(&mut self, numbers: std::ops::Range<usize>) -> Vec<Mortal> {
        numbers.map(|n| self.members.remove(&n).expect("a member")).collect()
    }
}

async fn stop(members: Vec<Mortal>) {
    join_all(members.into_iter().enumerate().map(|(n, member)| async move {
        member.goes(n % 2 == 1).await;
    }))
    .await;
}

pub(super) async fn t08_chaos_ends_with_every_wanted_child_running_once_and_nothing_left_over(
    on: On,
) {
    let cluster = Cluster::on(on, "t08");
    let mut chaos = Chaos { cluster, members: BTreeMap::new(), wanted: BTreeSet::new() };
    chaos.join(0..10).await;
    chaos.start(0..60).await;
    // The next changes come while the five are going.
    let stopping = tokio::spawn(stop(chaos.take(0..5)));
    chaos.terminate(45).await;
    chaos.start(60..120).await;
    chaos.join(10..20).await;
    chaos.terminate(30).await;
    chaos.start(120..150).await;
    stopping.await.expect("they stop");

    assert_eq!((chaos.wanted.len(), chaos.members.len()), (75, 15));
    let members: Vec<&Supervisor> = chaos.members.values().map(|member| &**member).collect();
    let wanted: Vec<_> = chaos.wanted.iter().cloned().collect();
    chaos.cluster.settled(&members, &wanted).await;
    let names: BTreeSet<_> = chaos.members.keys().map(|n| format!("m{n}")).collect();
    for member in &members {
        eventually("all fifteen are members, and nobody else", async || {
            let seen = members_of(member).await;
            let seen: BTreeSet<_> = seen.iter().map(|it| it.id.name.as_str().to_owned()).collect();
            if seen == names { Ok(()) } else { Err(seen) }
        })
        .await;
    }
    for (id, _) in chaos.cluster.ledger.live() {
        let run = chaos.cluster.ledger.only(&id).expect("one run");
        assert_eq!(id.as_str(), format!("steady/c{:03}", run.args), "with its own arguments");
    }

    // Nothing is left over that would still start or stop something: by the time that a child asked
    // for now runs, whatever was queued before it has been done.
    chaos.cluster.settled(&members, &wanted).await;
    let runs = chaos.cluster.ledger.all().len();
    let last = steady("last");
    members[0].start_child(last.clone()).await.expect("a start");
    for member in &members {
        running(member, &last.id).await;
    }
    assert_eq!(chaos.cluster.ledger.all().len(), runs + 1, "only what was asked for started");
    members[1].terminate_child(&last.id).await.expect("taken");
    for member in &members {
        member.wait_gone(&last.id, WITHIN).await.expect("gone");
    }
    chaos.cluster.settled(&members, &wanted).await;
}
