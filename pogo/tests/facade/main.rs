//! The facade as applications use it: one import, backends by URL.

#![cfg(test)]

use std::time::Duration;

use pogo::{BackendError, Builder, MemberView, StartError, prelude::*};

const WITHIN: Duration = Duration::from_secs(30);

struct Idle;

impl Child for Idle {
    const KIND: &'static str = "idle";
    type Args = String;
    type State = ();

    async fn run(&self, _name: String, cx: ChildContext) -> Exit {
        cx.ready();
        cx.stopping().await;
        Ok(())
    }
}

fn member(url: &str) -> Builder {
    Supervisor::builder("facade").backend(url).kind(Idle)
}

fn names(members: Vec<MemberView>) -> Vec<String> {
    members.into_iter().map(|member| member.id.name.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn supervisors_with_one_url_form_a_cluster_and_one_name_gets_a_suffix() {
    let url = "memory://facade-one?name=a%20b";
    let first = member(url).start().await.unwrap();
    let second = member(url).start().await.unwrap();
    let apart = member("memory://facade-two?name=c").start().await.unwrap();
    for supervisor in [&first, &second, &apart] {
        supervisor.ready().await.unwrap();
    }
    assert_eq!(names(second.members().await.unwrap()), ["a b", "a b-2"]);
    assert_eq!(names(apart.members().await.unwrap()), ["c"]);

    let spec = ChildSpec::new::<Idle>("x", &"x".to_owned()).unwrap();
    let id = spec.id.clone();
    assert_eq!(id.as_str(), "idle/x");
    first.start_child(spec).await.unwrap();
    second.wait_running(&id, WITHIN).await.unwrap();
    assert_eq!(apart.lookup(&id).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn name_set_in_code_wins_over_that_of_the_url() {
    let supervisor = member("memory://facade-name?name=url").name("code").start().await.unwrap();
    supervisor.ready().await.unwrap();
    assert_eq!(names(supervisor.members().await.unwrap()), ["code"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn url_that_names_no_backend_is_refused_with_what_is_known() {
    let refusal = async |url: &str| match member(url).start().await {
        Err(StartError::Backend(error)) => error,
        other => panic!("{url}: {other:?}"),
    };
    let error = refusal("carrier-pigeon://loft").await;
    assert_eq!(
        error.to_string(),
        "unknown backend \"carrier-pigeon\"; known are: etcd, etcds, gossip, memory"
    );
    let error = refusal("gossip://127.0.0.1:0?sedes=a").await.to_string();
    assert!(error.starts_with("gossip has no parameter \"sedes\"; known are: seeds,"), "{error}");
    assert!(matches!(refusal("gossip://0.0.0.0:7946").await, BackendError::Setting { .. }));
    let error = refusal("memory://x?nmae=a").await;
    assert_eq!(error.to_string(), "memory has no parameter \"nmae\"; known are: name");
    assert!(matches!(refusal("memory").await, BackendError::Malformed { .. }));
    assert!(matches!(refusal("memory://x?name=").await, BackendError::Id(_)));
}
