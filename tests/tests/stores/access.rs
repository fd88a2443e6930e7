//! Who gets in, and what those are told who do not: each message says what to do, and none holds a password.

use std::{net::TcpListener, sync::Arc};

use pogo_core::membership::MembershipError;
use pogo_membership_etcd::{EtcdConfig, EtcdMembership, Tls};

use crate::{
    etcd::{Authority, EtcdServer, PASSWORD, STRANGER, Settings, USER},
    members::{Member, TTL, all_recover, config, nobody_is_lost, refusal},
};

async fn with_login() -> Arc<EtcdServer> {
    let server = EtcdServer::start().await;
    server.enable_login().await;
    server
}

fn process(config: EtcdConfig) -> Arc<EtcdMembership> {
    Arc::new(EtcdMembership::new(config))
}

/// Why this does not get in.
async fn refused(config: EtcdConfig) -> MembershipError {
    refusal(&EtcdMembership::new(config)).await
}

/// The reason of a denial.
fn denial(error: MembershipError) -> String {
    match error {
        MembershipError::Denied { reason, .. } => reason,
        other => panic!("not a denial: {other:?}"),
    }
}

/// The reason why it may work later, as when a server is set right.
fn absence(error: MembershipError) -> String {
    match error {
        MembershipError::Unavailable { reason, .. } => reason,
        other => panic!("not an absence: {other:?}"),
    }
}

#[tokio::test]
async fn wrong_password_is_denied_by_the_name_of_its_user() {
    let server = with_login().await;
    let config = config(&[server.endpoint()]).credentials(USER, "incorrect-donkey");
    let error = refused(config).await;
    assert!(!format!("{error} {error:?}").contains("donkey"), "it holds the password: {error:?}");
    let reason = denial(error);
    assert!(reason.contains(USER) && reason.contains("password"), "{reason}");
}

#[tokio::test]
async fn unknown_user_is_denied_by_name() {
    let server = with_login().await;
    let reason =
        denial(refused(config(&[server.endpoint()]).credentials("nobody", PASSWORD)).await);
    assert!(reason.contains("nobody") && !reason.contains(PASSWORD), "{reason}");
}

#[tokio::test]
async fn user_without_rights_is_told_how_to_get_them() {
    let server = with_login().await;
    let reason =
        denial(refused(config(&[server.endpoint()]).credentials(STRANGER, PASSWORD)).await);
    assert!(reason.contains(STRANGER) && reason.contains("grant-permission"), "{reason}");
}

#[tokio::test]
async fn member_without_a_user_is_told_to_name_one() {
    let server = with_login().await;
    let reason = denial(refused(config(&[server.endpoint()])).await);
    assert!(reason.contains("`user`"), "{reason}");
}

#[tokio::test]
async fn user_where_the_server_has_none_is_told_so() {
    let server = EtcdServer::start().await;
    let reason = denial(refused(config(&[server.endpoint()]).credentials(USER, PASSWORD)).await);
    assert!(reason.contains("`user`") && !reason.contains(PASSWORD), "{reason}");
}

#[tokio::test]
async fn login_that_a_restart_made_invalid_is_renewed() {
    let server = with_login().await;
    let config = |endpoints: &[String]| config(endpoints).credentials(USER, PASSWORD);
    let (one, two) = (server.route().await, server.route().await);
    let one = process(config(&one.endpoints()));
    let two = process(config(&two.endpoints()));
    let members =
        [Member::join(&one, "login", "one").await, Member::join(&two, "login", "two").await];
    // Simple tokens are in the server's memory alone.
    server.kill().await;
    server.start_again().await;
    all_recover(&members).await;
}

#[tokio::test]
async fn rights_that_were_taken_away_are_missed_until_they_come_back() {
    let server = with_login().await;
    let store = process(config(&[server.endpoint()]).credentials(USER, PASSWORD));
    let members = [Member::join(&store, "rights", "one").await];
    server.set_rights(false).await;
    let refused = members[0].records.put(vec![members[0].record("spec/a", "1")]).await;
    let error = refused.expect_err("it has no right to write");
    let is_denied = matches!(error, MembershipError::Denied { .. });
    assert!(is_denied && error.to_string().contains(USER), "{error:?}");
    server.set_rights(true).await;
    all_recover(&members).await;
}

/// A server with TLS; `mutual` if it asks for certificates.
async fn encrypted(authority: &Authority, mutual: bool) -> Arc<EtcdServer> {
    let tls = Some(authority.server(mutual));
    EtcdServer::start_with(Settings { tls, ..Settings::default() }).await
}

#[tokio::test]
async fn members_meet_over_tls_with_a_login() {
    let authority = Authority::new("the right one");
    let server = encrypted(&authority, false).await;
    server.enable_login().await;
    let config = || {
        let tls = Tls::new().ca_pem(authority.pem.clone());
        config(&[server.endpoint()]).credentials(USER, PASSWORD).tls(tls)
    };
    let (one, two) = (process(config()), process(config()));
    let members = [Member::join(&one, "tls", "one").await, Member::join(&two, "tls", "two").await];
    all_recover(&members).await;
}

#[tokio::test]
async fn certificate_of_another_authority_is_refused_by_the_name_of_the_setting() {
    let server = encrypted(&Authority::new("the right one"), false).await;
    let wrong = Authority::new("another one");
    let tls = Tls::new().ca_pem(wrong.pem.clone());
    let reason = absence(refused(config(&[server.endpoint()]).tls(tls)).await);
    assert!(reason.contains("`ca`"), "{reason}");
}

#[tokio::test]
async fn certificate_for_another_name_is_refused() {
    let authority = Authority::new("the right one");
    let server = encrypted(&authority, false).await;
    let tls = Tls::new().ca_pem(authority.pem.clone()).domain("elsewhere.example");
    let reason = absence(refused(config(&[server.endpoint()]).tls(tls)).await);
    assert!(reason.contains("certificate is for another name"), "{reason}");
}

#[tokio::test]
async fn member_without_a_certificate_is_told_to_bring_one() {
    let authority = Authority::new("the right one");
    let server = encrypted(&authority, true).await;
    let tls = Tls::new().ca_pem(authority.pem.clone());
    let reason = absence(refused(config(&[server.endpoint()]).tls(tls)).await);
    assert!(reason.contains("`cert`") && reason.contains("`key`"), "{reason}");
}

#[tokio::test]
async fn member_with_a_strangers_certificate_is_refused() {
    let authority = Authority::new("the right one");
    let server = encrypted(&authority, true).await;
    let stranger = Authority::new("another one").issue("stranger");
    let tls = Tls::new().ca_pem(authority.pem.clone()).identity_pem(stranger.cert, stranger.key);
    let reason = absence(refused(config(&[server.endpoint()]).tls(tls)).await);
    assert!(reason.contains("`cert`"), "{reason}");
}

#[tokio::test]
async fn encryption_on_one_side_alone_is_named() {
    let authority = Authority::new("the right one");
    let encrypted = encrypted(&authority, false).await;
    let plain = EtcdServer::start().await;
    let tls = Tls::new().ca_pem(authority.pem.clone());
    for config in [config(&[encrypted.endpoint()]), config(&[plain.endpoint()]).tls(tls)] {
        let reason = absence(refused(config).await);
        assert!(reason.contains("etcds://"), "{reason}");
    }
}

#[tokio::test]
async fn host_that_nobody_answers_at_is_named() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let reason = absence(refused(config(&[nobody.to_string()])).await);
    assert!(reason.contains(&nobody.to_string()) && reason.contains("etcd running"), "{reason}");
}

#[tokio::test]
async fn record_above_the_limit_of_the_server_is_too_large_and_harms_nothing() {
    let settings = Settings { max_request_bytes: Some(64 * 1024), ..Settings::default() };
    let server = EtcdServer::start_with(settings).await;
    let store = process(config(&[server.endpoint()]));
    let members = [Member::join(&store, "large", "one").await];
    let [member] = &members;
    let large = "x".repeat(200 * 1024);
    let refused = member.records.put(vec![member.record("spec/large", &large)]).await;
    let Err(MembershipError::TooLarge { len, max }) = refused else { panic!("{refused:?}") };
    assert!(len > max && len >= large.len(), "{len} is above {max}");
    nobody_is_lost(&members, TTL / 2).await;
    assert!(member.told().reasons.is_empty(), "the store is well: {member:?}");
    all_recover(&members).await;
}
