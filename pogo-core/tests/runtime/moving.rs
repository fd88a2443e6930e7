//! Children move between the members of one process, with their state.

use std::time::Duration;

use pogo_core::{
    id::MemberName,
    node::{ChildInfo, Listing, Status},
    runtime::{Child, ChildContext, DrainOutcome, Exit},
    spec::ChildSpec,
};

use crate::cluster::{Builder, Cluster, Supervisor, WITHIN, eventually, ready};

/// Counts the instances that it has been.
struct Counter;

impl Child for Counter {
    const KIND: &'static str = "counter";
    type Args = u32;
    type State = u32;

    async fn run(&self, _number: u32, cx: ChildContext<u32>) -> Exit {
        let instances = cx.inherited()?.unwrap_or(0) + 1;
        cx.ready_at(instances.to_string());
        cx.stopping().await;
        Ok(cx.hand_over(&instances)?)
    }
}

fn counting(builder: Builder) -> Builder {
    builder.kind(Counter)
}

/// Waits until all of `number` children run, and returns them.
async fn all_running(supervisor: &Supervisor, number: usize) -> Vec<ChildInfo> {
    eventually("all running", || all_are(supervisor, number, |_| true)).await
}

/// Waits until all of `number` children run on one member, and returns them.
async fn all_running_on(supervisor: &Supervisor, number: usize, on: &str) -> Vec<ChildInfo> {
    eventually("all running there", || all_are(supervisor, number, |member| member == on)).await
}

async fn all_are(
    supervisor: &Supervisor,
    number: usize,
    accepted: impl Fn(&str) -> bool,
) -> Result<Vec<ChildInfo>, Vec<ChildInfo>> {
    let children = supervisor.which_children(Listing::Global).await.unwrap();
    let running = children.iter().filter(|child| {
        child.status == Status::Running
            && child.member.as_ref().is_some_and(|on| accepted(on.as_str()))
    });
    if running.count() == number { Ok(children) } else { Err(children) }
}

/// Waits until all of `number` children run where placement wants them, and returns them.
async fn all_at_home(supervisor: &Supervisor, number: usize) -> Vec<ChildInfo> {
    eventually("all at home", || async {
        let children = all_running(supervisor, number).await;
        for child in &children {
            let explained = supervisor.explain(&child.id).await.unwrap();
            if explained.is_none_or(|explained| explained.owner != child.member) {
                return Err(children);
            }
        }
        Ok(children)
    })
    .await
}

async fn start(supervisor: &Supervisor, number: u32) {
    for n in 0..number {
        let spec = ChildSpec::new::<Counter>(n, &n).unwrap();
        supervisor.start_child(spec).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn child_moves_with_its_state_when_its_member_shuts_down() {
    let cluster = Cluster::new();
    let a = ready(counting(cluster.member("a"))).await;
    let b = ready(counting(cluster.member("b"))).await;
    start(&a, 20).await;
    let before = all_at_home(&b, 20).await;
    let on_a = before.iter().filter(|child| child.member.as_ref().unwrap().as_str() == "a").count();
    assert!(on_a > 0 && on_a < 20, "{on_a} of 20 on one of two members");
    a.shutdown().await;
    let after = all_running_on(&b, 20, "b").await;
    for (before, after) in before.iter().zip(&after) {
        let moves = u32::from(before.member != after.member);
        assert_eq!(instances(after), instances(before) + moves, "{before:?} became {after:?}");
    }
}

fn instances(child: &ChildInfo) -> u32 {
    child.endpoint.as_ref().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_moves_every_child_and_says_which() {
    let cluster = Cluster::new();
    let a = ready(counting(cluster.member("a"))).await;
    start(&a, 10).await;
    all_running(&a, 10).await;
    let b = ready(counting(cluster.member("b"))).await;
    let before = all_at_home(&b, 10).await;
    let name = MemberName::new("a").unwrap();
    let plan = b.plan_leave(&name).await.unwrap().expect("it is a member");
    let drained = a.drain(&name, Duration::from_secs(20)).await.unwrap();
    let DrainOutcome::Drained(drained) = drained else { panic!("{drained:?}") };
    let of_a = before.iter().filter(|child| child.member.as_ref() == Some(&name));
    assert!(drained.moved.iter().eq(of_a.map(|child| &child.id)), "{drained:?}");
    assert_eq!(plan.moves.len(), drained.moved.len());
    assert!(drained.stopped.is_empty() && drained.left_behind.is_empty(), "{drained:?}");
    all_running_on(&b, 10, "b").await;
    eventually("alone", || async {
        let members = b.members().await.unwrap();
        if members.len() == 1 { Ok(()) } else { Err(members) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_member_drains_when_it_is_asked_to() {
    let cluster = Cluster::new();
    let a = ready(counting(cluster.member("a"))).await;
    let b = ready(counting(cluster.member("b"))).await;
    start(&a, 5).await;
    all_running(&b, 5).await;
    let name = MemberName::new("a").unwrap();
    let asked = b.drain(&name, Duration::from_secs(20)).await.unwrap();
    assert_eq!(asked, DrainOutcome::Asked);
    eventually("drained", || async {
        let children = b.which_children(Listing::Local).await.unwrap();
        let members = b.members().await.unwrap();
        if members.len() == 1 && children.len() == 5 { Ok(()) } else { Err((members, children)) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cordoned_member_keeps_its_children_and_gets_no_new_ones() {
    let cluster = Cluster::new();
    let a = ready(counting(cluster.member("a"))).await;
    let name = MemberName::new("a").unwrap();
    start(&a, 5).await;
    all_running(&a, 5).await;
    a.cordon(&name).await.unwrap();
    eventually("cordoned", || async {
        let members = a.members().await.unwrap();
        if members.iter().any(|member| member.cordoned) { Ok(()) } else { Err(members) }
    })
    .await;
    let late = ChildSpec::new::<Counter>("late", &9).unwrap();
    let id = late.id.clone();
    a.start_child(late).await.unwrap();
    all_running(&a, 5).await;
    let explained = a.explain(&id).await.unwrap().expect("it is listed");
    assert_eq!(explained.owner, None);
    a.uncordon(&name).await.unwrap();
    a.wait_running(&id, WITHIN).await.unwrap();
}
