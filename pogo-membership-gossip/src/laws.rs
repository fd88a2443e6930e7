//! What holds of every decoder, whatever bytes it is given: it does not panic, and what
//! it understood it understands again after it was written anew. Each law panics where it is broken.
//!
//! The fuzz targets in `fuzz/` call these, and a test calls them for each file of the corpus.

#![expect(clippy::missing_panics_doc, reason = "a broken law is a panic, for each of them")]

use std::fmt::Debug;

use pogo_core::{id::ClusterName, runtime::BackendUrl};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    address::HostPort,
    key::Key,
    message::Message,
    swim::Packet,
    url,
    wire::{
        ANSWER_BYTES, FRAME_HEADER, HELLO_BYTES, Opener, Realm, Sealer, check_answer_head,
        check_hello_head, codec,
    },
};

/// The salts of streams in the corpus.
const SALTS: ([u8; 24], [u8; 24]) = ([1; 24], [2; 24]);

/// A realm with a key, and one without.
fn realms() -> impl Iterator<Item = Realm> {
    let cluster = ClusterName::new("pogo").into_iter();
    let keys = [Some(Key::from_bytes([7; Key::BYTES])), None];
    cluster.flat_map(move |name| keys.clone().map(|key| Realm::new(&name, key.as_ref())))
}

/// Of a datagram, and of what is sealed in one.
pub fn datagram(bytes: &[u8]) {
    for realm in realms() {
        if let Ok(packet) = realm.open_datagram(&mut bytes.to_vec()) {
            assert_stable(&packet);
        }
    }
    let Ok(packet) = codec::decode::<Packet>(bytes) else { return };
    assert_stable(&packet);
    for realm in realms() {
        // One that is too long is sent by nobody.
        if let Ok(mut sealed) = realm.seal_datagram(&packet, &SALTS.0) {
            assert_eq!(realm.open_datagram(&mut sealed), Ok(packet.clone()));
        }
    }
}

/// Of a hello, and of the answer to one.
pub fn handshake(bytes: &[u8]) {
    for realm in realms() {
        if let Some(head) = bytes.first_chunk() {
            let _ = (check_hello_head(*head), check_answer_head(*head));
        }
        if let Some(hello) = bytes.first_chunk::<HELLO_BYTES>()
            && let Err((_, Some(answer))) = realm.accept(hello, &SALTS.1).map(drop)
        {
            assert!(check_answer_head(answer).is_err(), "a refusal that welcomes");
        }
        if let Some(answer) = bytes.first_chunk::<ANSWER_BYTES>()
            && let Ok((_, dialling)) = realm.dial(SALTS.0)
        {
            drop(dialling.welcomed(answer));
        }
    }
}

/// Of a stream after its handshake, and of what is sealed in a frame.
pub fn frame(bytes: &[u8]) {
    for realm in realms() {
        let Some((_, mut opener)) = stream(&realm) else { continue };
        let mut rest = bytes;
        while let Some((header, tail)) = rest.split_first_chunk::<FRAME_HEADER>() {
            let Ok(length) = opener.length(*header) else { break };
            let Some((frame, tail)) = tail.split_at_checked(length) else { break };
            let Ok(message) = opener.open(&mut frame.to_vec()) else { break };
            assert_stable(&message);
            rest = tail;
        }
    }
    let Ok(message) = codec::decode::<Message>(bytes) else { return };
    assert_stable(&message);
    for realm in realms() {
        let Some((mut sealer, mut opener)) = stream(&realm) else { continue };
        let mut bytes = Vec::new();
        assert_eq!(sealer.seal(&message, &mut bytes), Ok(()), "{message:?}");
        let read = bytes.get_mut(FRAME_HEADER..).map(|frame| opener.open(frame));
        assert_eq!(read, Some(Ok(message.clone())));
    }
}

/// Of a key's text.
pub fn key_file(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(key) = Key::from_text(text) {
        assert!(Key::from_text(&key.to_text()).is_ok_and(|again| again == key), "another key");
    }
}

/// Of a URL. Those that name a key are not opened: its file would be read.
pub fn url(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(name) = text.parse::<HostPort>() {
        let again = name.to_string().parse::<HostPort>();
        assert_eq!(
            again.map(|it| (it.host.clone(), it.port())),
            Ok((name.host.clone(), name.port()))
        );
    }
    let Ok(parsed) = BackendUrl::parse(text) else { return };
    if parsed.clone().take("key").is_none() {
        drop(url::parse(parsed));
    }
}

/// What a stream of the corpus is sealed with, from the one who accepted to the one who dialled.
fn stream(realm: &Realm) -> Option<(Sealer, Opener)> {
    let (hello, dialling) = realm.dial(SALTS.0).ok()?;
    let welcome = realm.accept(&hello, &SALTS.1).ok()?;
    let (_, opener) = dialling.welcomed(&welcome.answer).ok()?;
    Some((welcome.sealer, opener))
}

/// What was understood is understood again.
fn assert_stable<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let mut encoded = Vec::new();
    assert_eq!(codec::encode(value, &mut encoded), Ok(()));
    let again = codec::decode::<T>(&encoded);
    assert!(again.as_ref() == Ok(value), "{value:?} became {again:?}");
}

#[cfg(test)]
mod tests {
    use std::{fs, net::SocketAddr, path::Path};

    use pogo_core::{
        id::{BootId, Scope},
        record::{Key as RecordKey, Record, Stage, Stamp, Version},
        time::WallTime,
    };

    use super::*;
    use crate::{
        message::Hello,
        peer::{Life, PeerId, Update},
        shared::{ScopedKey, SyncMessage},
        swim::Body,
    };

    type Law = fn(&[u8]);
    const LAWS: [(&str, Law); 5] = [
        ("datagram", datagram),
        ("handshake", handshake),
        ("frame", frame),
        ("key_file", key_file),
        ("url", url),
    ];

    fn packet(body: Body) -> Packet {
        let update = |number: u8| Update {
            peer: PeerId::from_random(u128::from(number) << 120),
            addr: SocketAddr::from(([10, 0, 0, number], 7946)),
            refutation: 3,
            owned: 1 << 40,
            life: Life::Suspect,
        };
        Packet { from: PeerId::from_random(5), body, updates: (1..4).map(update).collect() }
    }

    fn messages() -> Vec<Message> {
        let scope = Scope::new("monitors").unwrap();
        let key = ScopedKey { scope, key: RecordKey::new("spec/service_monitor/10.0.0.1") };
        let value = b"{\"kind\":\"idle\"}".to_vec();
        let version = Version::of(1_700_000_000_000, BootId::from_random(9), Some(&value));
        let stamp = Stamp { version, stage: Stage::Spent(BootId::from_random(1 << 99)) };
        let record = Record { stamp, value: Some(value.into()) };
        let records = vec![(key.clone(), record)];
        let swim = packet(Body::Gossip);
        vec![
            Message::Hello(Hello {
                peer: swim.from,
                addr: SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 7946)),
                wall: WallTime::from_millis(1_700_000_000_000),
                peers: swim.updates.clone(),
            }),
            Message::Swim(swim),
            Message::InStep,
            Message::OwnedAck(300),
            Message::Put { batch: 7, records, more: true },
            Message::PutAck(u64::MAX),
            Message::Sync(SyncMessage::Pull(Some(key.clone()))),
            Message::Get { question: 1, keys: vec![key] },
            Message::Answered(1),
        ]
    }

    /// Real messages, as they are sent and as they are sealed, whole and cut.
    fn seeds() -> Vec<(&'static str, Vec<u8>)> {
        let mut seeds = Vec::new();
        let probe = 1 << 20;
        let (to, of) = (PeerId::from_random(6), PeerId::from_random(u128::MAX));
        for body in [Body::Ping { to, probe }, Body::Ack { of, probe }, Body::Nack { probe }] {
            seeds.push(("datagram", postcard::to_allocvec(&packet(body)).unwrap()));
        }
        for message in messages() {
            seeds.push(("frame", postcard::to_allocvec(&message).unwrap()));
        }
        for realm in realms() {
            let whole = realm.seal_datagram(&packet(Body::Gossip), &SALTS.0).unwrap();
            seeds.push(("datagram", whole));
            let (hello, _) = realm.dial(SALTS.0).unwrap();
            seeds.push(("handshake", hello.to_vec()));
            let answer = realm.accept(&hello, &SALTS.1).unwrap().answer;
            seeds.push(("handshake", answer.to_vec()));
            let (mut sealer, mut frames) = (stream(&realm).unwrap().0, Vec::new());
            for message in messages() {
                sealer.seal(&message, &mut frames).unwrap();
            }
            seeds.push(("frame", frames));
        }
        let key = Key::from_bytes(std::array::from_fn(|at| u8::try_from(at).unwrap()));
        seeds.push(("key_file", key.to_text().into_bytes()));
        seeds.push(("key_file", b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n".to_vec()));
        for url in [
            "gossip://127.0.0.1:7946?seeds=a,b:1,[::1]:2&name=auto&preset=wan&cluster=blue",
            "gossip://[::]:0?advertise=host%2e:7&form=never&plaintext=yes",
            "[fe80::1]:7946",
        ] {
            seeds.push(("url", url.as_bytes().to_vec()));
        }
        let cut = |(target, seed): &(&'static str, Vec<u8>)| {
            (*target, seed[..seed.len() * 2 / 3].to_vec())
        };
        let cuts: Vec<_> = seeds.iter().map(cut).collect();
        seeds.extend(cuts);
        seeds
    }

    fn law(target: &str) -> Law {
        LAWS.iter().find(|(name, _)| *name == target).unwrap().1
    }

    #[test]
    fn laws_hold_for_real_messages_and_whatever_is_one_bit_away() {
        for (target, mut seed) in seeds() {
            law(target)(&seed);
            for bit in 0..seed.len() * 8 {
                seed[bit / 8] ^= 1 << (bit % 8);
                law(target)(&seed);
                seed[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    /// With `POGO_WRITE_CORPUS=1` it first writes the seeds, for when the format has changed.
    #[test]
    fn laws_hold_for_the_corpus() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        if std::env::var_os("POGO_WRITE_CORPUS").is_some() {
            for (number, (target, seed)) in seeds().into_iter().enumerate() {
                fs::create_dir_all(corpus.join(target)).unwrap();
                fs::write(corpus.join(target).join(format!("seed-{number:02}")), seed).unwrap();
            }
        }
        for (target, law) in LAWS {
            let mut replayed = 0;
            for entry in fs::read_dir(corpus.join(target)).expect(target) {
                law(&fs::read(entry.unwrap().path()).unwrap());
                replayed += 1;
            }
            assert!(replayed >= 4, "{replayed} files for {target}");
        }
    }
}
