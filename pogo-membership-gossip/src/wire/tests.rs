use std::net::SocketAddr;

use pogo_core::{
    id::{BootId, ClusterName, Scope},
    record::{Key as RecordKey, Record, Stage, Stamp, Version},
    time::WallTime,
};

use super::*;
use crate::{
    key::Key,
    message::{Hello, Message},
    peer::{Life, PeerId, Update},
    shared::ScopedKey,
    swim::{Body, Packet},
};

fn realm(cluster: &str, key: Option<u8>) -> Realm {
    let key = key.map(|byte| Key::from_bytes([byte; Key::BYTES]));
    Realm::new(&ClusterName::new(cluster).unwrap(), key.as_ref())
}

/// With a key and without.
fn realms() -> [Realm; 2] {
    [realm("pogo", Some(7)), realm("pogo", None)]
}

fn update(number: u16) -> Update {
    Update {
        peer: PeerId::from_random(u128::from(number) << 96),
        addr: SocketAddr::from(([10, 0, 0, 1], number)),
        refutation: 1,
        owned: 300,
        life: Life::Suspect,
    }
}

fn packet() -> Packet {
    let (from, to) = (PeerId::from_random(1), PeerId::from_random(u128::MAX));
    Packet { from, body: Body::Ping { to, probe: 9 }, updates: (0..10).map(update).collect() }
}

fn put(len: usize) -> Message {
    let value = vec![5; len];
    let version = Version::of(9, BootId::from_random(3), Some(&value));
    let record = Record { stamp: Stamp { version, stage: Stage::Live }, value: Some(value.into()) };
    let key = ScopedKey { scope: Scope::new("monitors").unwrap(), key: RecordKey::new("spec/a") };
    Message::Put { batch: 1, records: vec![(key, record)], more: false }
}

fn hello() -> Message {
    Message::Hello(Hello {
        peer: PeerId::from_random(1),
        addr: SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 7946)),
        wall: WallTime::from_millis(1_700_000_000_000),
        peers: (0..100).map(update).collect(),
    })
}

/// Both ends of a stream between two realms.
struct Stream {
    dialler: (Sealer, Opener),
    acceptor: (Sealer, Opener),
}

fn stream(dialler: &Realm, acceptor: &Realm, salt: u8) -> Result<Stream, (Refusal, Reject)> {
    let (hello, dialling) = dialler.dial([salt; 24]).unwrap();
    let welcome = acceptor
        .accept(&hello, &[salt + 1; 24])
        .map_err(|(refusal, answer)| (refusal, check_answer_head(answer.unwrap()).unwrap_err()))?;
    let (mut sealer, opener) = dialling.welcomed(&welcome.answer).unwrap();
    let mut proof = Vec::new();
    sealer.prove(&mut proof).unwrap();
    let mut acceptor = (welcome.sealer, welcome.opener);
    let mut frames = frames(&acceptor.1, &proof);
    acceptor.1.check_proof(&mut frames[0]).unwrap();
    Ok(Stream { dialler: (sealer, opener), acceptor })
}

/// Cuts a stream into frames.
fn frames(opener: &Opener, mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk() {
        let (frame, rest) = rest.split_at(opener.length(*header).unwrap());
        frames.push(frame.to_vec());
        bytes = rest;
    }
    frames
}

#[test]
fn datagram_brings_its_packet_within_the_realm() {
    for realm in realms() {
        let mut datagram = realm.seal_datagram(&packet(), &[1; 24]).unwrap();
        assert_eq!(realm.open_datagram(&mut datagram), Ok(packet()));
    }
}

#[test]
fn datagram_shows_nothing_where_there_is_a_key() {
    let [keyed, plain] = realms();
    let seen = |realm: &Realm| {
        let datagram = realm.seal_datagram(&packet(), &[1; 24]).unwrap();
        datagram.windows(16).any(|window| window == [255; 16])
    };
    assert!(!seen(&keyed));
    // The target's id is varint-encoded, so all but its last byte are ones in plain text.
    assert!(seen(&plain));
}

#[test]
fn datagram_of_another_realm_is_refused() {
    let ours = realm("pogo", Some(7));
    for (theirs, refusal) in [
        (realm("pogo", Some(8)), Refusal::Key),
        (realm("pogo", None), Refusal::Key),
        (realm("other", Some(7)), Refusal::Seal),
    ] {
        let mut datagram = theirs.seal_datagram(&packet(), &[1; 24]).unwrap();
        assert_eq!(ours.open_datagram(&mut datagram), Err(refusal));
    }
    let mut datagram = realm("other", None).seal_datagram(&packet(), &[1; 24]).unwrap();
    assert_eq!(realm("pogo", None).open_datagram(&mut datagram), Err(Refusal::Seal));
}

#[test]
fn no_altered_or_cut_datagram_opens() {
    for realm in realms() {
        let whole = realm.seal_datagram(&packet(), &[1; 24]).unwrap();
        for at in 0..whole.len() {
            let mut altered = whole.clone();
            altered[at] ^= 1;
            assert!(realm.open_datagram(&mut altered).is_err(), "byte {at}");
            assert!(realm.open_datagram(&mut whole[..at].to_vec()).is_err(), "cut at {at}");
        }
        assert_eq!(realm.open_datagram(&mut [VERSION; 2000]), Err(Refusal::Oversized));
        assert_eq!(realm.open_datagram(&mut [9; 60]), Err(Refusal::Version(9)));
    }
}

#[test]
fn packet_that_fits_no_datagram_is_not_sealed() {
    let packet = Packet { updates: (0..100).map(update).collect(), ..packet() };
    assert_eq!(realms()[0].seal_datagram(&packet, &[1; 24]), Err(Refusal::Oversized));
}

#[test]
fn stream_brings_messages_in_order_both_ways() {
    for realm in realms() {
        let mut stream = stream(&realm, &realm, 1).unwrap();
        let sent = [hello(), put(10), Message::InStep, put(1024 * 1024)];
        for (from, to) in [
            (&mut stream.dialler.0, &mut stream.acceptor.1),
            (&mut stream.acceptor.0, &mut stream.dialler.1),
        ] {
            let mut bytes = Vec::new();
            for message in &sent {
                from.seal(message, &mut bytes).unwrap();
            }
            let received: Vec<_> =
                frames(to, &bytes).iter_mut().map(|frame| to.open(frame).unwrap()).collect();
            assert_eq!(received, sent);
        }
    }
}

#[test]
fn repeated_reordered_reflected_and_spliced_frames_do_not_open() {
    for realm in realms() {
        let mut bytes = Vec::new();
        let mut one = stream(&realm, &realm, 1).unwrap();
        one.dialler.0.seal(&put(1), &mut bytes).unwrap();
        one.dialler.0.seal(&put(2), &mut bytes).unwrap();
        let sent = frames(&one.acceptor.1, &bytes);

        let mut later = stream(&realm, &realm, 1).unwrap();
        assert_eq!(later.acceptor.1.open(&mut sent[1].clone()), Err(Refusal::Seal), "left out");
        assert_eq!(later.dialler.1.open(&mut sent[0].clone()), Err(Refusal::Seal), "reflected");
        let mut other = stream(&realm, &realm, 2).unwrap();
        assert_eq!(other.acceptor.1.open(&mut sent[0].clone()), Err(Refusal::Seal), "spliced");

        assert_eq!(one.acceptor.1.open(&mut sent[0].clone()), Ok(put(1)));
        assert_eq!(one.acceptor.1.open(&mut sent[0].clone()), Err(Refusal::Seal), "repeated");
    }
}

#[test]
fn frame_above_the_limit_is_neither_sent_nor_expected() {
    let [realm, _] = realms();
    let mut stream = stream(&realm, &realm, 1).unwrap();
    let mut bytes = vec![1, 2, 3];
    assert_eq!(stream.dialler.0.seal(&put(MAX_MESSAGE), &mut bytes), Err(Refusal::Oversized));
    assert_eq!(bytes, [1, 2, 3]);
    // The stream goes on.
    bytes.clear();
    stream.dialler.0.seal(&put(1), &mut bytes).unwrap();
    let opener = &mut stream.acceptor.1;
    assert_eq!(opener.open(&mut frames(opener, &bytes)[0]), Ok(put(1)));

    assert_eq!(opener.length(u32::MAX.to_le_bytes()), Err(Refusal::Oversized));
    assert_eq!(opener.length(15_u32.to_le_bytes()), Err(Refusal::Truncated));
}

#[test]
fn nothing_longer_than_the_proof_is_expected_before_it() {
    let [realm, _] = realms();
    let (hello, _) = realm.dial([1; 24]).unwrap();
    let mut welcome = realm.accept(&hello, &[2; 24]).unwrap();
    assert_eq!(welcome.opener.length(17_u32.to_le_bytes()), Err(Refusal::Oversized));
    // Who repeats another's hello cannot prove that it has the key.
    assert_eq!(welcome.opener.check_proof(&mut [0; 16]), Err(Refusal::Seal));
}

#[test]
fn dial_into_another_realm_is_rejected_with_the_reason() {
    for (dialler, acceptor, reject) in [
        (realm("pogo", Some(1)), realm("pogo", Some(2)), Reject::Key),
        (realm("pogo", None), realm("pogo", Some(2)), Reject::KeyMissing),
        (realm("pogo", Some(1)), realm("pogo", None), Reject::KeyUnwanted),
        (realm("pogo", Some(1)), realm("other", Some(1)), Reject::Cluster),
        (realm("pogo", None), realm("other", None), Reject::Cluster),
    ] {
        let rejected = stream(&dialler, &acceptor, 1).map(drop).unwrap_err().1;
        assert_eq!(rejected, reject);
    }
}

#[test]
fn hello_of_another_version_is_answered_and_of_another_protocol_is_not() {
    let [realm, _] = realms();
    let (mut hello, _) = realm.dial([1; 24]).unwrap();
    hello[4] = 2;
    let (refusal, answer) = realm.accept(&hello, &[2; 24]).unwrap_err();
    assert_eq!(refusal, Refusal::Version(2));
    assert_eq!(answer, Some(*b"pogo\x01\x01"));
    assert_eq!(check_answer_head(*b"pogo\x02\x01"), Err(Reject::Version(2)));
    let (refusal, answer) = check_hello_head(*b"GET / ").unwrap_err();
    assert_eq!((refusal, answer), (Refusal::Foreign, None));
    assert_eq!(check_answer_head(*b"HTTP/1"), Err(Reject::Foreign));
}

#[test]
fn answer_without_the_key_is_not_believed() {
    let [realm, _] = realms();
    let (hello, dialling) = realm.dial([1; 24]).unwrap();
    let mut answer = realm.accept(&hello, &[2; 24]).unwrap().answer;
    answer[20] ^= 1;
    assert_eq!(dialling.welcomed(&answer).map(drop), Err(Reject::Foreign));
    // Nor one to another hello.
    let (_, dialling) = realm.dial([3; 24]).unwrap();
    let answer = realm.accept(&hello, &[2; 24]).unwrap().answer;
    assert_eq!(dialling.welcomed(&answer).map(drop), Err(Reject::Foreign));
}

#[test]
fn lengths_that_lie_inside_a_message_allocate_nothing() {
    // `Put` with 2^63 records, of which none is there.
    let mut bytes = vec![6, 1];
    bytes.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    assert_eq!(codec::decode::<Message>(&bytes), Err(Refusal::Malformed));
    // A kind of message that is not known, and bytes behind one that is.
    assert_eq!(codec::decode::<Message>(&[99]), Err(Refusal::Malformed));
    assert_eq!(codec::decode::<Message>(&[4, 0]), Err(Refusal::Malformed));
    assert_eq!(codec::decode::<Message>(&[4]), Ok(Message::InStep));
}
