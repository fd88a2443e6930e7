//! Whoever sends what it should not, or does not belong here: a clear error or a counted drop, and
//! the cluster works on.

use std::net::SocketAddr;

use pogo_core::membership::{Event, Membership, MembershipError};
use pogo_membership_gossip::{GossipConfig, GossipMembership};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};

use super::{
    Member, assert_works, eventually, joining, key, keyed, loopback, pair, proxy::Proxy, seeded,
};

#[tokio::test]
async fn port_in_use_is_an_error_that_names_it() {
    let member = Member::join(keyed(), "one").await;
    let second = GossipConfig::new(member.addr());
    let error = Member::try_join(second, "two").await.map(drop).unwrap_err();
    assert!(matches!(error, MembershipError::Misconfigured { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&format!("{} is in use", member.addr())), "{text}");
    assert!(text.contains("another port"), "{text}");
}

#[tokio::test]
async fn member_of_another_realm_is_told_what_is_wrong() {
    let (one, two) = pair(keyed()).await;
    let plain = loopback();
    for (config, advice) in [
        (keyed().key(key(8)), "give every member the same `key` file"),
        (plain, "set `key` to the same file here"),
    ] {
        let joined = Member::try_join(seeded(config, one.addr()), "stranger").await;
        let error = joined.map(drop).unwrap_err();
        assert!(matches!(error, MembershipError::Denied { .. }), "{error:?}");
        assert!(error.to_string().contains(advice), "{error}");
    }
    let backend = GossipMembership::isolated(seeded(keyed(), one.addr())).unwrap();
    let error = backend.join(joining("other", "stranger")).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("use the same `cluster` everywhere"), "{error}");
    let refused = one.traffic().refused_streams;
    assert!(refused.key >= 2 && refused.seal >= 1, "{refused:?}");
    assert_works(&one, &two).await;
}

#[tokio::test]
async fn key_where_the_others_have_none_is_told() {
    let (one, two) = pair(loopback()).await;
    let joined = Member::try_join(seeded(keyed(), two.addr()), "stranger").await;
    let error = joined.map(drop).unwrap_err().to_string();
    assert!(error.contains("the peer there uses no key"), "{error}");
    assert_works(&one, &two).await;
}

#[tokio::test]
async fn garbage_is_counted_and_the_cluster_works_on() {
    let (one, two) = pair(keyed()).await;
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for length in [0, 1, 44, 45, 46, 1000, 1400, 1401, 9000] {
        for first in [0, 1, 255] {
            let mut bytes = vec![0x5a; length];
            if let Some(byte) = bytes.first_mut() {
                *byte = first;
            }
            udp.send_to(&bytes, one.addr()).await.unwrap();
            let mut tcp = TcpStream::connect(one.addr()).await.unwrap();
            // It closes as soon as it knows.
            drop(tcp.write_all(&bytes).await);
            drop(tcp.shutdown().await);
            drop(tcp.read_to_end(&mut Vec::new()).await);
        }
    }
    eventually("all is counted", || {
        let traffic = one.traffic();
        traffic.refused_datagrams.total() >= 27 && traffic.refused_streams.total() >= 24
    })
    .await;
    assert_works(&one, &two).await;
}

#[tokio::test]
async fn repeated_datagrams_do_no_harm_and_repeated_streams_do_not_open() {
    let mut one = Member::join(keyed(), "one").await;
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = tcp.local_addr().unwrap();
    let udp = UdpSocket::bind(addr).await.unwrap();
    // The others reach it through the proxy alone.
    let bound = free_port().await;
    let config = GossipConfig::new(bound).key(key(7)).advertise(&addr.to_string()).unwrap();
    let proxy = Proxy::to(bound, tcp, udp);
    let mut two = Member::join(seeded(config, one.addr()), "member-two").await;
    one.sees_up(&two).await;
    two.sees_up(&one).await;
    let three = Member::join(seeded(keyed(), proxy.addr), "member-three").await;
    two.sees_up(&three).await;
    assert_works(&three, &two).await;
    eventually("the proxy hears both", || {
        let (datagrams, streams) = proxy.heard();
        datagrams > 10 && streams > 0
    })
    .await;

    one.forgets();
    two.forgets();
    let before = two.traffic();
    for _ in 0..5 {
        proxy.repeat_datagrams().await;
        proxy.repeat_streams().await;
    }
    eventually("repeated streams are refused", || {
        two.traffic().refused_streams.seal > before.refused_streams.seal
    })
    .await;
    assert_works(&one, &two).await;
    assert_works(&three, &two).await;
    for member in [&mut one, &mut two] {
        member.catches_up();
        let is_change = |it: &&Event| matches!(it, Event::MemberUp(_) | Event::MemberDown(..));
        assert_eq!(member.seen.iter().find(is_change), None, "nobody goes or comes");
    }
}

/// A port of loopback that nobody listens on now.
async fn free_port() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    free.local_addr().unwrap()
}
