//! The epoch of tokens where nobody knows it (R18).

use std::sync::Arc;

use pogo_core::{id::ClusterName, membership::ClaimOutcome, record::Key};
use pogo_membership_etcd::{Epoch, EpochError, EtcdConfig, EtcdMembership};

use crate::{
    etcd::EtcdServer,
    members::{Member, TTL, WITHIN},
    wait::eventually,
};

#[tokio::test]
async fn tokens_wait_in_a_store_of_unknown_epoch_until_an_operator_says_which() {
    let server = EtcdServer::start().await;
    let config = EtcdConfig::new([server.endpoint()]).expect("endpoints");
    let config = config.ttl(TTL).expect("a lease time");
    let cluster = ClusterName::new("unknown").expect("a name");
    let store = Arc::new(EtcdMembership::new(config.clone()));
    let member = Member::join(&store, "unknown", "ash").await;
    let claims = member.claims.as_ref().expect("etcd has claims");
    let key = Key::new("claim");
    let refused = claims.acquire(std::slice::from_ref(&key)).await.expect_err("no epoch");
    assert!(refused.is_retryable() && refused.to_string().contains("pogo epoch"), "{refused}");

    assert_eq!(Epoch::read(&config, &cluster).await.expect("an answer"), None);
    let unsaid = Epoch::bump(&config, &cluster, None).await.expect_err("which one?");
    assert!(matches!(unsaid, EpochError::Unknown), "{unsaid}");
    assert_eq!(Epoch::bump(&config, &cluster, Some(7)).await.expect("an epoch"), 7);

    let member = member.back().await;
    let claims = member.claims.as_ref().expect("etcd has claims");
    let token = eventually("a claim is held, one lease time later", WITHIN, || async {
        match claims.acquire(std::slice::from_ref(&key)).await.as_deref() {
            Ok([ClaimOutcome::Held { token }]) => Ok(*token),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(token.get() >> 48, 7);
    let lower = Epoch::bump(&config, &cluster, Some(3)).await.expect_err("a lower one");
    assert!(matches!(lower, EpochError::NotHigher { there: 7 }), "{lower}");
    assert_eq!(Epoch::bump(&config, &cluster, None).await.expect("the next"), 8);
    assert_eq!(Epoch::read(&config, &cluster).await.expect("an answer"), Some(8));
}
