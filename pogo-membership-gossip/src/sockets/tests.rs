use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use pogo_core::{
    id::{BootId, ClusterName, Scope},
    membership::MembershipError,
    record::{Key as RecordKey, Record, Stage, Stamp, Version},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    time::timeout,
};

use super::{
    accept::MAX_STRANGERS,
    bind::{Bound, advertised, bind},
    link::OUTBOUND_BYTES,
    network::{Network, Patience},
    traffic::{Counters, Traffic},
};
use crate::{
    address::HostPort,
    engine::{DialError, Input, LinkId, Target},
    key::Key,
    message::Message,
    peer::PeerId,
    shared::ScopedKey,
    swim::{Body, Packet},
    wire::{MAX_DATAGRAM, Realm},
};

const LONG: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_millis(300);

/// A network, where it listens, and what it counts.
struct Peer {
    network: Network,
    addr: SocketAddr,
    counters: Arc<Counters>,
    realm: Realm,
}

fn realm(cluster: &str, key: Option<u8>) -> Realm {
    let key = key.map(|byte| Key::from_bytes([byte; Key::BYTES]));
    Realm::new(&ClusterName::new(cluster).unwrap(), key.as_ref())
}

async fn peer_of(realm: Realm, patience: Duration, seeds: Vec<HostPort>) -> Peer {
    let Bound { udp, tcp, addr } = bind(loopback(0)).await.unwrap();
    udp.writable().await.unwrap();
    let bound = Bound { udp, tcp, addr };
    let counters = Arc::new(Counters::default());
    let patience = Patience { connect: patience, handshake: patience };
    let network = Network::open(bound, realm.clone(), seeds, patience, Arc::clone(&counters));
    Peer { network, addr, counters, realm }
}

async fn peer() -> Peer {
    peer_of(realm("pogo", Some(7)), LONG, Vec::new()).await
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn packet(probe: u64) -> Packet {
    let body = Body::Nack { probe };
    Packet { from: PeerId::from_random(1), body, updates: Vec::new() }
}

fn put(len: usize) -> Message {
    let value = vec![5; len];
    let version = Version::of(9, BootId::from_random(3), Some(&value));
    let record = Record { stamp: Stamp { version, stage: Stage::Live }, value: Some(value.into()) };
    let key = ScopedKey { scope: Scope::new("monitors").unwrap(), key: RecordKey::new("spec/a") };
    Message::Put { batch: 1, records: vec![(key, record)], more: false }
}

impl Peer {
    async fn next(&mut self) -> Input {
        let next = async {
            loop {
                if let Some(input) = self.network.poll() {
                    return input;
                }
                self.network.ready().await;
            }
        };
        timeout(LONG, next).await.expect("something happens")
    }

    async fn link(&mut self) -> LinkId {
        let input = self.next().await;
        let Input::LinkUp { link, .. } = input else { panic!("no link: {input:?}") };
        link
    }

    async fn dial_error(&mut self, to: SocketAddr) -> DialError {
        self.network.dial(Target::Peer(to));
        let input = self.next().await;
        let Input::DialFailed { target, error } = input else { panic!("no error: {input:?}") };
        assert_eq!(target, Target::Peer(to));
        error
    }

    /// Waits until the counts are as they should be.
    async fn counts(&mut self, wanted: impl Fn(&Traffic) -> bool) {
        let waiting = async {
            while !wanted(&self.counters.read()) {
                assert!(self.network.poll().is_none(), "nothing of this has an effect");
                // Not `ready`: what is counted by tasks wakes nobody.
                tokio::task::yield_now().await;
            }
        };
        let counted = timeout(LONG, waiting).await;
        assert!(counted.is_ok(), "{:?}", self.counters.read());
    }
}

async fn linked() -> (Peer, LinkId, Peer, LinkId) {
    let (mut one, mut other) = (peer().await, peer().await);
    one.network.dial(Target::Peer(other.addr));
    let there = other.link().await;
    let here = one.link().await;
    (one, here, other, there)
}

/// Two peers still talk to each other.
async fn assert_works(peer: &mut Peer) {
    let mut fresh = peer_of(peer.realm.clone(), LONG, Vec::new()).await;
    fresh.network.dial(Target::Peer(peer.addr));
    let there = peer.link().await;
    let here = fresh.link().await;
    fresh.network.send(here, &put(3));
    assert!(matches!(peer.next().await, Input::Received { message, .. } if message == put(3)));
    peer.network.close(there);
    fresh.network.send_datagram(peer.addr, &packet(77));
    assert!(matches!(peer.next().await, Input::Datagram { packet: it, .. } if it == packet(77)));
}

#[tokio::test]
async fn datagram_comes_with_its_sender() {
    let (one, mut other) = (peer().await, peer().await);
    one.network.send_datagram(other.addr, &packet(5));
    let input = other.next().await;
    let Input::Datagram { from, packet: it } = input else { panic!("{input:?}") };
    assert_eq!((from, it), (one.addr, packet(5)));
}

#[tokio::test]
async fn link_brings_messages_both_ways_in_order() {
    let (mut one, here, mut other, there) = linked().await;
    let sent = [put(1), put(1024 * 1024), Message::InStep, put(2)];
    for message in &sent {
        one.network.send(here, message);
        other.network.send(there, message);
    }
    for (peer, link) in [(&mut one, here), (&mut other, there)] {
        for message in &sent {
            let input = peer.next().await;
            let Input::Received { link: over, message: it } = input else { panic!("{input:?}") };
            assert_eq!((over, &it), (link, message));
        }
    }
}

#[tokio::test]
async fn seed_is_looked_up_by_its_name() {
    let mut other = peer().await;
    let seed = HostPort { host: "localhost".to_owned(), port: Some(other.addr.port()) };
    let mut one = peer_of(realm("pogo", Some(7)), LONG, vec![seed]).await;
    one.network.dial(Target::Seed(0));
    other.link().await;
    assert!(matches!(one.next().await, Input::LinkUp { dialled: Some(Target::Seed(0)), .. }));
}

#[tokio::test]
async fn end_of_a_peer_is_one_link_down_and_a_refused_dial() {
    let (mut one, here, other, there) = linked().await;
    let Peer { mut network, addr, .. } = other;
    network.send(there, &put(4));
    // What was sent before the end arrives before the end does.
    network.shut_down(LONG).await;
    assert!(matches!(one.next().await, Input::Received { message, .. } if message == put(4)));
    assert!(matches!(one.next().await, Input::LinkDown(link) if link == here));
    assert_eq!(one.dial_error(addr).await, DialError::Refused);
    one.network.send(here, &put(1));
    assert!(one.network.poll().is_none(), "a link goes down once");
}

#[tokio::test]
async fn link_closed_here_is_reported_there_alone_and_after_what_was_sent() {
    let (mut one, here, mut other, there) = linked().await;
    one.network.send(here, &put(1024 * 1024));
    one.network.close(here);
    other.network.send(there, &put(1));
    assert!(matches!(other.next().await, Input::Received { .. }));
    assert!(matches!(other.next().await, Input::LinkDown(link) if link == there));
    one.counts(|it| it.links == 0).await;
}

#[tokio::test]
async fn link_that_does_not_keep_up_is_closed() {
    let (mut one, here, other, _) = linked().await;
    // Nobody takes in what `other` reads, so its room fills up, then the system's, then ours.
    let mut sent = 0;
    let down = loop {
        one.network.send(here, &put(1024 * 1024));
        sent += 1024 * 1024;
        tokio::task::yield_now().await;
        match one.network.poll() {
            Some(input) => break input,
            None => assert!(sent < 20 * OUTBOUND_BYTES, "no end of it"),
        }
    };
    assert!(matches!(down, Input::LinkDown(link) if link == here), "{down:?}");
    assert_eq!(one.counters.read().overflows, 1);
    drop(other);
}

#[tokio::test]
async fn dial_where_nobody_answers_gives_up_in_time() {
    let silent = TcpListener::bind(loopback(0)).await.unwrap();
    let addr = silent.local_addr().unwrap();
    let mut one = peer_of(realm("pogo", Some(7)), PATIENCE, Vec::new()).await;
    let error = one.dial_error(addr).await;
    assert_eq!(
        error,
        DialError::Unreachable(format!("{addr}: the handshake broke off: no answer within 300 ms"))
    );
}

#[tokio::test]
async fn dial_into_another_realm_says_what_to_do() {
    for (ours, theirs, advice) in [
        (realm("pogo", Some(1)), realm("pogo", Some(2)), "the same `key` file"),
        (realm("pogo", None), realm("pogo", Some(2)), "set `key` to the same file here"),
        (realm("pogo", Some(1)), realm("pogo", None), "set `key` to the same file there"),
        (realm("pogo", Some(1)), realm("other", Some(1)), "use the same `cluster` everywhere"),
    ] {
        let mut other = peer_of(theirs, LONG, Vec::new()).await;
        let mut one = peer_of(ours, LONG, Vec::new()).await;
        let error = one.dial_error(other.addr).await;
        let DialError::Rejected(why) = error else { panic!("{error:?}") };
        assert!(why.contains(advice), "{why}");
        other.counts(|it| it.refused_streams.total() == 1).await;
        one.network.send_datagram(other.addr, &packet(1));
        other.counts(|it| it.refused_datagrams.total() == 1).await;
        assert_works(&mut other).await;
    }
}

#[tokio::test]
async fn bad_datagrams_are_counted_and_dropped() {
    let mut peer = peer().await;
    let stranger = UdpSocket::bind(loopback(0)).await.unwrap();
    let whole = peer.realm.seal_datagram(&packet(1), &[9; 24]).unwrap();
    let mut altered = whole.clone();
    altered[40] ^= 1;
    let oversized = [1; MAX_DATAGRAM + 100];
    for bad in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[], &whole[..30], &altered, &oversized] {
        stranger.send_to(bad, peer.addr).await.unwrap();
    }
    peer.counts(|it| it.refused_datagrams.total() == 5).await;
    let counted = peer.counters.read().refused_datagrams;
    assert_eq!((counted.version, counted.truncated), (1, 2), "{counted:?}");
    assert_eq!((counted.seal, counted.oversized), (1, 1), "{counted:?}");
    assert_works(&mut peer).await;
}

#[tokio::test]
async fn bad_beginnings_of_streams_are_counted_and_closed() {
    let mut peer = peer().await;
    let (mut hello, _) = peer.realm.dial([3; 24]).unwrap();
    let whole = hello;
    hello[4] = 9;
    let unproved = [&whole[..], &[16, 0, 0, 0], &[0; 16]].concat();
    let lying = [&whole[..], &[0, 0, 0, 64]].concat();
    for bad in [&b"GET / HTTP/1.1\r\n\r\n"[..], &whole[..20], &hello, &unproved, &lying] {
        let mut stranger = TcpStream::connect(peer.addr).await.unwrap();
        stranger.write_all(bad).await.unwrap();
        stranger.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // Closing may be a reset, for not all that was sent was read.
        drop(timeout(LONG, stranger.read_to_end(&mut answer)).await.expect("it is closed"));
    }
    peer.counts(|it| it.refused_streams.total() == 5).await;
    let counted = peer.counters.read().refused_streams;
    assert_eq!((counted.foreign, counted.truncated), (1, 1), "{counted:?}");
    assert_eq!((counted.version, counted.seal), (1, 1), "{counted:?}");
    assert_eq!(counted.oversized, 1, "{counted:?}");
    assert_works(&mut peer).await;
}

#[tokio::test]
async fn bad_frames_close_their_link_alone() {
    let mut peer = peer_of(realm("pogo", None), LONG, Vec::new()).await;
    for (bad, reason) in [
        (&[0xff, 0xff, 0xff, 0xff][..], "oversized"),
        (&[3, 0, 0, 0], "truncated"),
        (&[20, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "seal"),
        (&[20, 0, 0, 0, 1], "cut short"),
    ] {
        let mut stranger = TcpStream::connect(peer.addr).await.unwrap();
        let (hello, dialling) = peer.realm.dial([3; 24]).unwrap();
        stranger.write_all(&hello).await.unwrap();
        let mut answer = [0; crate::wire::ANSWER_BYTES];
        stranger.read_exact(&mut answer).await.unwrap();
        let (mut sealer, _) = dialling.welcomed(&answer).unwrap();
        let mut sent = Vec::new();
        sealer.prove(&mut sent).unwrap();
        sealer.seal(&put(1), &mut sent).unwrap();
        // A good frame, then a bad one.
        sent.extend_from_slice(bad);
        stranger.write_all(&sent).await.unwrap();
        stranger.shutdown().await.unwrap();

        let link = peer.link().await;
        assert!(matches!(peer.next().await, Input::Received { .. }), "{reason}");
        assert!(matches!(peer.next().await, Input::LinkDown(it) if it == link), "{reason}");
    }
    let counted = peer.counters.read().refused_streams;
    assert_eq!((counted.oversized, counted.truncated, counted.seal), (1, 2, 1), "{counted:?}");
    assert_works(&mut peer).await;
}

#[tokio::test]
async fn who_does_not_speak_is_closed_in_time() {
    let mut peer = peer_of(realm("pogo", Some(7)), PATIENCE, Vec::new()).await;
    let mut silent = TcpStream::connect(peer.addr).await.unwrap();
    // One byte now and then is no handshake either.
    silent.write_all(b"p").await.unwrap();
    peer.counts(|it| it.late_handshakes == 1).await;
    assert_eq!(silent.read(&mut [0; 8]).await.unwrap(), 0);
    assert_works(&mut peer).await;
}

#[tokio::test]
async fn a_crowd_of_strangers_keeps_no_peer_out() {
    let mut peer = peer().await;
    let mut crowd = Vec::new();
    for _ in 0..MAX_STRANGERS + 20 {
        crowd.push(TcpStream::connect(peer.addr).await.unwrap());
    }
    peer.counts(|it| it.crowded_out >= 20).await;
    assert_works(&mut peer).await;
}

#[tokio::test]
async fn port_in_use_is_named_with_what_to_do() {
    let peer = peer().await;
    for addr in [peer.addr, loopback(0)] {
        let Err(MembershipError::Misconfigured { reason, .. }) = bind(addr).await else {
            assert_eq!(addr.port(), 0, "opened twice");
            continue;
        };
        let start = format!("{} is in use by another program", peer.addr);
        assert!(reason.starts_with(&start) && reason.contains("another port"), "{reason}");
    }
}

#[tokio::test]
async fn address_of_another_machine_is_refused_with_what_to_do() {
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 0));
    let error = bind(elsewhere).await.unwrap_err().to_string();
    assert!(error.contains("192.0.2.1 is no address of this machine"), "{error}");
    assert!(error.contains("`advertise`"), "{error}");
}

#[tokio::test]
async fn advertised_address_is_the_one_set_or_bound_or_routed() {
    let any = SocketAddr::from(([0, 0, 0, 0], 7000));
    let name = |text: &str| text.parse::<HostPort>().unwrap();
    let seeds = [name("no-such-host.invalid:1"), name("127.0.0.1:7001")];

    let set = advertised(any, Some(&name("127.0.0.2")), &[]).await.unwrap();
    assert_eq!(set, SocketAddr::from(([127, 0, 0, 2], 7000)));
    let set = advertised(any, Some(&name("127.0.0.2:9")), &[]).await.unwrap();
    assert_eq!(set, SocketAddr::from(([127, 0, 0, 2], 9)));
    assert_eq!(advertised(loopback(7), None, &[]).await.unwrap(), loopback(7));
    assert_eq!(advertised(any, None, &seeds).await.unwrap(), loopback(7000));

    let error = advertised(any, None, &[]).await.unwrap_err();
    assert!(matches!(error, MembershipError::Misconfigured { .. }), "{error}");
    assert!(error.to_string().contains("set `advertise`"), "{error}");
    let error = advertised(any, None, &seeds[..1]).await.unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("set `advertise`"), "{error}");
}
