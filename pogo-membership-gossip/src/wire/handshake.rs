//! The beginning of a stream: who dials proves to have the key, who accepts proves it too, and both
//! get the seals of this one stream. What is wrong is said in the clear, so that the one who
//! dialled can tell its operator.

use super::{
    Nonce, Opener, Realm, Refusal, Sealer, VERSION,
    seal::{KEY_ID, KeyId, NONCE, Seal, Seals, TAG, Tag},
};

const MAGIC: &[u8; 4] = b"pogo";

/// What every version of a hello, and of its answer, begins with: magic, version, and the first
/// byte of the rest.
pub const HEAD_BYTES: usize = 6;
/// The length of a hello.
pub const HELLO_BYTES: usize = MAGIC.len() + 1 + KEY_ID + NONCE + TAG;
/// The length of the answer that welcomes; one that rejects is [`HEAD_BYTES`] long.
pub const ANSWER_BYTES: usize = HEAD_BYTES + NONCE + TAG;

const WELCOME: u8 = 0;

/// Why a dial is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Reject {
    /// The other side has another version of the format.
    #[error(
        "the peer there speaks version {0} of the protocol and this one {VERSION}: run the same \
         version of pogo on both"
    )]
    Version(u8),
    /// The other side has another key.
    #[error("the peer there uses another key: give every member the same `key` file")]
    Key,
    /// The other side has a key, this one none.
    #[error("the peer there uses a key and this one none: set `key` to the same file here")]
    KeyMissing,
    /// The other side has no key, this one does.
    #[error(
        "the peer there uses no key and this one does: set `key` to the same file there, or \
         `plaintext=yes` in place of `key` here"
    )]
    KeyUnwanted,
    /// The other side is of another cluster.
    #[error("the peer there is of another cluster: use the same `cluster` everywhere")]
    Cluster,
    /// What answers does not speak this protocol, or does not prove that it has the key.
    #[error("what listens there is no peer of this cluster: check address and port")]
    Foreign,
}

impl Reject {
    /// The code in the answer.
    const fn code(self) -> u8 {
        match self {
            Self::Version(_) => 1,
            Self::Key => 2,
            Self::KeyUnwanted => 3,
            Self::KeyMissing => 4,
            Self::Cluster => 5,
            Self::Foreign => 6,
        }
    }

    /// The answer that turns a dial away.
    fn answer(self) -> [u8; HEAD_BYTES] {
        let [m, a, g, i] = *MAGIC;
        [m, a, g, i, VERSION, self.code()]
    }
}

/// Why a hello is refused, and the answer to send, if any.
pub type Refused = (Refusal, Option<[u8; HEAD_BYTES]>);

/// A dial that waits for its answer.
#[derive(Debug)]
pub struct Dialling {
    seals: Seals,
    salt: Nonce,
}

/// A hello that is accepted.
#[derive(Debug)]
pub struct Welcome {
    /// The answer to send.
    pub answer: [u8; ANSWER_BYTES],
    /// Seals what is sent over the stream.
    pub sealer: Sealer,
    /// Opens what comes over it; its first frame must be the dialler's proof.
    pub opener: Opener,
}

impl Realm {
    /// Begins a stream: the hello to send, and what reads the answer. `salt` is random.
    ///
    /// # Errors
    /// [`Refusal`]; impossible, for nothing here is long.
    pub fn dial(&self, salt: Nonce) -> Result<([u8; HELLO_BYTES], Dialling), Refusal> {
        let seals = self.current().clone();
        let tag = seals.streams.seal(&salt, &mut [])?;
        let mut hello = [0; HELLO_BYTES];
        put(&mut hello, &[MAGIC, &[VERSION], &seals.id, &salt, &tag]);
        Ok((hello, Dialling { seals, salt }))
    }

    /// Answers a hello. `salt` is random.
    ///
    /// # Errors
    /// Why it is refused, and the answer to send, if any.
    pub fn accept(&self, hello: &[u8; HELLO_BYTES], salt: &Nonce) -> Result<Welcome, Refused> {
        let silently = |refusal| (refusal, None);
        let (head, _) = hello.split_first_chunk().ok_or((Refusal::Truncated, None))?;
        check_hello_head(*head)?;
        let (id, dialler, tag) = parts(hello).ok_or((Refusal::Truncated, None))?;
        let seals = self.find(id).map_err(|refusal| {
            let reject = match (id == KeyId::default(), self.is_keyed()) {
                (true, true) => Reject::KeyMissing,
                (false, false) => Reject::KeyUnwanted,
                (true, false) | (false, true) => Reject::Key,
            };
            (refusal, Some(reject.answer()))
        })?;
        let opened = seals.streams.open(&dialler, &mut [], &tag);
        opened.map_err(|refusal| (refusal, Some(Reject::Cluster.answer())))?;

        let joint = seals.streams.derive(&dialler);
        let tag = joint.seal(salt, &mut []).map_err(silently)?;
        let mut answer = [0; ANSWER_BYTES];
        put(&mut answer, &[MAGIC, &[VERSION, WELCOME], salt, &tag]);
        let (forth, back) = directions(&joint, salt);
        Ok(Welcome { answer, sealer: Sealer::new(back), opener: Opener::unproved(forth) })
    }
}

/// Looks at the beginning of a hello, which may be of another version and length.
///
/// # Errors
/// Why it is refused, and the answer to send, if any.
pub fn check_hello_head(head: [u8; HEAD_BYTES]) -> Result<(), Refused> {
    match version_of(head) {
        None => Err((Refusal::Foreign, None)),
        Some(VERSION) => Ok(()),
        Some(version) => Err((Refusal::Version(version), Some(Reject::Version(version).answer()))),
    }
}

/// Looks at the beginning of an answer: whether the rest of a welcome follows.
///
/// # Errors
/// [`Reject`].
pub fn check_answer_head(head: [u8; HEAD_BYTES]) -> Result<(), Reject> {
    let version = version_of(head).ok_or(Reject::Foreign)?;
    let [.., code] = head;
    match code {
        _ if version != VERSION => Err(Reject::Version(version)),
        WELCOME => Ok(()),
        2 => Err(Reject::Key),
        3 => Err(Reject::KeyUnwanted),
        4 => Err(Reject::KeyMissing),
        5 => Err(Reject::Cluster),
        _ => Err(Reject::Foreign),
    }
}

impl Dialling {
    /// Reads the answer. The sealer's first frame must be [`Sealer::prove`].
    ///
    /// # Errors
    /// [`Reject`].
    pub fn welcomed(self, answer: &[u8; ANSWER_BYTES]) -> Result<(Sealer, Opener), Reject> {
        let (head, rest) = answer.split_first_chunk().ok_or(Reject::Foreign)?;
        check_answer_head(*head)?;
        let (salt, rest) = rest.split_first_chunk::<NONCE>().ok_or(Reject::Foreign)?;
        let tag = rest.first_chunk::<TAG>().ok_or(Reject::Foreign)?;
        let joint = self.seals.streams.derive(&self.salt);
        joint.open(salt, &mut [], tag).map_err(|_refusal| Reject::Foreign)?;
        let (forth, back) = directions(&joint, salt);
        Ok((Sealer::new(forth), Opener::proved(back)))
    }
}

/// The seals of a stream: what the one who dialled sends, and what it receives.
fn directions(joint: &Seal, acceptor: &Nonce) -> (Seal, Seal) {
    let stream = joint.derive(acceptor);
    (stream.derive(b"pogo dialler to acceptor"), stream.derive(b"pogo acceptor to dialler"))
}

fn version_of(head: [u8; HEAD_BYTES]) -> Option<u8> {
    let (magic, rest) = head.split_first_chunk()?;
    if magic == MAGIC { rest.first().copied() } else { None }
}

fn parts(hello: &[u8; HELLO_BYTES]) -> Option<(KeyId, Nonce, Tag)> {
    let rest = hello.get(MAGIC.len() + 1..)?;
    let (id, rest) = rest.split_first_chunk()?;
    let (salt, rest) = rest.split_first_chunk()?;
    Some((*id, *salt, *rest.first_chunk()?))
}

/// Fills `bytes` with the parts, which have its length.
fn put(bytes: &mut [u8], parts: &[&[u8]]) {
    for (place, byte) in bytes.iter_mut().zip(parts.iter().copied().flatten()) {
        *place = *byte;
    }
}
