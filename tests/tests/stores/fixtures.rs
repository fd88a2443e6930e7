//! The servers that the other tests stand on do what these tests rest on.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{
    etcd::{Authority, EtcdCluster, EtcdServer, Settings},
    proxy::{Proxy, Route, Target},
};

/// An answer that does not come within this does not come.
const SILENCE: Duration = Duration::from_millis(200);
const WITHIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn server_keeps_its_port_and_its_data_when_it_is_killed() {
    let server = EtcdServer::start().await;
    let endpoint = server.endpoint();
    server.put("a", "1").await;
    server.kill().await;
    server.start_again().await;
    assert_eq!(server.endpoint(), endpoint);
    assert_eq!(server.get("a").await, "1");
    let connected = TcpStream::connect(&endpoint).await;
    connected.expect("the proxy leads to where the server is now");
}

#[tokio::test]
async fn wiped_server_has_nothing_and_a_restored_one_has_what_was_backed_up() {
    let server = EtcdServer::start().await;
    server.put("a", "old").await;
    server.back_up().await;
    server.put("a", "new").await;
    let revision = server.revision().await;
    server.restore().await;
    assert_eq!(server.get("a").await, "old");
    assert!(server.revision().await < revision, "an older revision");
    server.wipe().await;
    assert_eq!(server.get("a").await, "");
}

#[tokio::test]
async fn compacted_server_still_has_what_is_newest() {
    let server = EtcdServer::start().await;
    server.put("a", "1").await;
    server.put("a", "2").await;
    server.compact().await;
    assert_eq!(server.get("a").await, "2");
}

#[tokio::test]
async fn stored_bytes_are_those_of_keys_and_values_that_count() {
    let server = EtcdServer::start().await;
    for (key, value) in [("x/1", "four"), ("x/22", "9 letters"), ("x/no", "none"), ("y", "none")] {
        server.put(key, value).await;
    }
    assert_eq!(server.stored_bytes("x/", |key| key != "x/no").await, 3 + 4 + 4 + 9);
}

#[tokio::test]
async fn server_counts_what_its_clients_send() {
    let server = EtcdServer::start().await;
    let before = server.messages().await.expect("metrics");
    server.put("a", "1").await;
    let after = server.messages().await.expect("metrics");
    assert_eq!((after.renewals, after.others), (0, before.others + 1));
}

#[tokio::test]
async fn server_that_asks_for_a_login_and_for_certificates_serves_its_operator() {
    let authority = Authority::new("the right one");
    let tls = Some(authority.server(true));
    let server = EtcdServer::start_with(Settings { tls, ..Settings::default() }).await;
    server.enable_login().await;
    server.put("/pogo/a", "1").await;
    server.kill().await;
    server.start_again().await;
    assert_eq!(server.get("/pogo/a").await, "1");
}

#[tokio::test]
async fn another_server_leads_when_the_leader_is_killed() {
    let cluster = EtcdCluster::start().await;
    let leader = cluster.leader().await;
    leader.put("a", "1").await;
    let leads = leader.endpoint();
    leader.kill().await;
    let next = cluster.leader().await;
    assert_ne!(next.endpoint(), leads);
    assert_eq!(next.get("a").await, "1");
    leader.start_again().await;
    assert_eq!(leader.get("a").await, "1", "it is a member again");
}

#[tokio::test]
async fn paused_server_is_silent_and_then_goes_on() {
    let server = EtcdServer::start().await;
    server.pause().await;
    assert!(!server.answers().await);
    server.unpause().await;
    server.ready().await;
}

/// A server that sends back what it gets.
async fn echo() -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let target = Target::default();
    target.set(listener.local_addr().ok());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    target
}

#[tokio::test]
async fn proxy_holds_bytes_and_closes_nothing_until_it_breaks() {
    let target = echo().await;
    let proxy = Proxy::before(&target).await;
    let mut stream = TcpStream::connect(proxy.address()).await.expect("it listens");
    let mut answer = [0; 1];
    stream.write_all(b"a").await.expect("it takes bytes");
    stream.read_exact(&mut answer).await.expect("they come back");

    proxy.set_held(true);
    stream.write_all(b"b").await.expect("nothing is closed");
    assert!(timeout(SILENCE, stream.read_exact(&mut answer)).await.is_err(), "nothing passes");
    let mut later = TcpStream::connect(proxy.address()).await.expect("it still listens");
    later.write_all(b"c").await.expect("it takes bytes");
    assert!(timeout(SILENCE, later.read_exact(&mut answer)).await.is_err(), "nothing passes");

    proxy.set_held(false);
    timeout(WITHIN, stream.read_exact(&mut answer)).await.expect("in time").expect("it goes on");
    assert_eq!(&answer, b"b");
    timeout(WITHIN, later.read_exact(&mut answer)).await.expect("in time").expect("it goes on");
    assert_eq!(&answer, b"c");

    proxy.break_connections();
    let read = timeout(WITHIN, stream.read(&mut answer)).await.expect("in time");
    assert!(matches!(read, Ok(0) | Err(_)), "it is closed: {read:?}");
}

#[tokio::test]
async fn bytes_that_were_held_when_the_connection_broke_never_pass() {
    let target = echo().await;
    for _ in 0..20 {
        let route = Route::to([&target]).await;
        let address = route.endpoints().pop().expect("one");
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let mut answer = [0; 1];
        stream.write_all(b"a").await.expect("it takes bytes");
        stream.read_exact(&mut answer).await.expect("they come back");
        route.cut_off();
        stream.write_all(b"b").await.expect("nothing is closed");
        route.break_connections();
        route.reconnect();
        let read = timeout(WITHIN, stream.read(&mut answer)).await.expect("in time");
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}, {answer:?}");
    }
}
