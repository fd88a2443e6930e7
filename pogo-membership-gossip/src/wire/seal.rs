//! Seals: who may take part, and how that is proved.

use std::{fmt, hash::Hasher};

use chacha20poly1305::{AeadInPlace, KeyInit, XChaCha20Poly1305, XNonce};
use pogo_core::id::ClusterName;
use xxhash_rust::xxh3::Xxh3;

use super::{Refusal, VERSION};
use crate::key::Key;

/// What makes two seals under one key differ; never used twice.
pub type Nonce = [u8; NONCE];
/// What proves a seal.
pub(super) type Tag = [u8; TAG];
/// Names a key without telling it; all zero where there is none.
pub(super) type KeyId = [u8; KEY_ID];

pub(super) const NONCE: usize = 24;
pub(super) const TAG: usize = 16;
pub(super) const KEY_ID: usize = 4;

/// Who may take part: a cluster's name, and its key where it has one.
#[derive(Debug, Clone)]
pub struct Realm {
    current: Seals,
}

/// The seals under one key.
#[derive(Debug, Clone)]
pub(super) struct Seals {
    pub(super) id: KeyId,
    pub(super) datagrams: Seal,
    pub(super) streams: Seal,
}

/// Seals messages in one context, so that a message of one never opens in another.
#[derive(Clone)]
pub(super) struct Seal {
    cipher: Cipher,
    context: Vec<u8>,
}

#[derive(Clone)]
enum Cipher {
    Keyed(XChaCha20Poly1305),
    /// A checksum.
    Plain {
        seed: u64,
    },
}

impl Realm {
    /// The cluster of this name, with its key or in plain text.
    pub fn new(cluster: &ClusterName, key: Option<&Key>) -> Self {
        Self { current: Seals::new(cluster, key) }
    }

    /// What new messages are sealed with.
    pub(super) const fn current(&self) -> &Seals {
        &self.current
    }

    /// What a message was sealed with that names its key so.
    pub(super) fn find(&self, id: KeyId) -> Result<&Seals, Refusal> {
        if self.current.id == id { Ok(&self.current) } else { Err(Refusal::Key) }
    }

    /// Whether it has a key.
    pub(super) fn is_keyed(&self) -> bool {
        self.current.id != KeyId::default()
    }
}

impl Seals {
    fn new(cluster: &ClusterName, key: Option<&Key>) -> Self {
        let root = key.map_or(Cipher::Plain { seed: 0 }, |key| {
            Cipher::Keyed(XChaCha20Poly1305::new(key.bytes().into()))
        });
        let seal = |label: &Nonce| Seal {
            cipher: root.derive(label),
            context: [&[VERSION], cluster.as_str().as_bytes()].concat(),
        };
        let mut id = KeyId::default();
        if let Cipher::Keyed(cipher) = &root {
            id.copy_from_slice(&keystream(cipher, b"pogo: the id of this key")[..KEY_ID]);
            // All zero means that there is no key.
            id[0] |= 1;
        }
        Self {
            id,
            datagrams: seal(b"pogo: sealing datagrams."),
            streams: seal(b"pogo: sealing streams..."),
        }
    }
}

impl Seal {
    /// A seal for one purpose, which no other purpose's messages open.
    pub(super) fn derive(&self, purpose: &Nonce) -> Self {
        Self { cipher: self.cipher.derive(purpose), context: self.context.clone() }
    }

    /// Seals `message` in place; `nonce` must never be used again with this seal.
    pub(super) fn seal(&self, nonce: &Nonce, message: &mut [u8]) -> Result<Tag, Refusal> {
        match &self.cipher {
            Cipher::Keyed(cipher) => cipher
                .encrypt_in_place_detached(XNonce::from_slice(nonce), &self.context, message)
                .map(Into::into)
                .map_err(|_error| Refusal::Oversized),
            Cipher::Plain { seed } => Ok(checksum(*seed, &[nonce, &self.context, message])),
        }
    }

    /// Opens `message` in place; where that fails it is not to be looked at.
    pub(super) fn open(&self, nonce: &Nonce, message: &mut [u8], tag: &Tag) -> Result<(), Refusal> {
        let opened = match &self.cipher {
            Cipher::Keyed(cipher) => {
                let nonce = XNonce::from_slice(nonce);
                cipher.decrypt_in_place_detached(nonce, &self.context, message, tag.into()).is_ok()
            }
            Cipher::Plain { seed } => checksum(*seed, &[nonce, &self.context, message]) == *tag,
        };
        if opened { Ok(()) } else { Err(Refusal::Seal) }
    }
}

impl Cipher {
    /// A cipher that tells nothing of this one, and of which nothing tells.
    fn derive(&self, label: &Nonce) -> Self {
        match self {
            Self::Keyed(cipher) => {
                Self::Keyed(XChaCha20Poly1305::new(&keystream(cipher, label).into()))
            }
            Self::Plain { seed } => {
                let mut hash = Xxh3::with_seed(*seed);
                hash.write(label);
                Self::Plain { seed: hash.finish() }
            }
        }
    }
}

/// Bytes that follow from the key and the label, and from which neither follows.
fn keystream(cipher: &XChaCha20Poly1305, label: &Nonce) -> [u8; Key::BYTES] {
    let mut bytes = [0; Key::BYTES];
    // Fails for messages of gigabytes only.
    let sealed = cipher.encrypt_in_place_detached(XNonce::from_slice(label), &[], &mut bytes);
    debug_assert!(sealed.is_ok(), "32 bytes can be sealed");
    bytes
}

fn checksum(seed: u64, parts: &[&[u8]]) -> Tag {
    let mut hash = Xxh3::with_seed(seed);
    for part in parts {
        hash.write(part);
    }
    hash.digest128().to_le_bytes()
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(..)")
    }
}
