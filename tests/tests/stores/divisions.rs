//! Servers that are cut off from each other, and not from their clients. This takes containers.

use pogo_core::membership::DownReason;

use crate::{
    etcd::EtcdCluster,
    members::{Member, Told, WITHIN, process},
    wait::eventually,
};

#[tokio::test]
async fn server_that_is_cut_off_from_the_others_serves_nobody() {
    let cluster = EtcdCluster::start().await;
    let alone = cluster.followers().await.pop().expect("two follow");
    alone.set_divided(true).await;
    eventually("it has no leader", WITHIN, || async {
        if alone.answers().await { Err("it answers") } else { Ok(()) }
    })
    .await;
    cluster.leader().await.put("a", "1").await;
    alone.set_divided(false).await;
    alone.ready().await;
    assert_eq!(alone.get("a").await, "1");
}

#[tokio::test]
async fn minority_is_degraded_and_the_majority_goes_on_without_it() {
    let cluster = EtcdCluster::start().await;
    let alone = cluster.followers().await.pop().expect("two follow");
    let routes = [cluster.route().await, cluster.route().await, alone.route().await];
    let members = Member::several("minority", routes).await;
    let [one, two, three] = &members;
    alone.set_divided(true).await;
    three.sees("that its server has no leader", Told::is_degraded).await;
    for member in [one, two] {
        let gone = [(three.me.name.clone(), DownReason::Failed)];
        member.sees("that the third one is gone", |told| told.down == gone).await;
        member.writes(&format!("during/{}", member.me.name), "it works").await;
    }
    assert!(three.told().down.is_empty(), "it cannot know of anybody's end: {three:?}");
    alone.set_divided(false).await;
    three.sees("that it was given up", |told| told.evicted || told.ended).await;
    let way = alone.route().await;
    let back = process(&way.endpoints());
    let back = Member::join(&back, "minority", "back").await;
    one.sees("the newcomer", |told| told.up.contains_key(&back.me.name)).await;
    assert_eq!(one.told().down.len(), 1, "nobody else was lost");
}
