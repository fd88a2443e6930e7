//! What goes over the wire: versioned, sealed, and bounded before anything is allocated.
//!
//! ```text
//! datagram   version  key id  nonce                            sealed packet     tag
//! hello      "pogo"   version key id  salt                                       tag
//! answer     "pogo"   version code    salt                                       tag
//! frame      length                                            sealed message    tag
//! ```
//!
//! A [`Realm`] is who may take part: a cluster's name and its key. With a key, seals are
//! XChaCha20-Poly1305: datagrams under random nonces; each direction of a stream under a key of
//! its own, made from both sides' salts, with the frame's number as its nonce. So whatever is
//! altered, repeated, left out, reordered or brought from another stream does not open. Without a
//! key the seal is a checksum over the same bytes, which tells mistakes from messages and keeps
//! nobody out.
//!
//! Nothing here does I/O or draws randomness: nonces and salts are arguments.

pub(crate) mod codec;
mod datagram;
mod frame;
mod handshake;
mod seal;
#[cfg(test)]
mod tests;

pub use self::{
    frame::{FRAME_HEADER, Opener, Sealer},
    handshake::{
        ANSWER_BYTES, Dialling, HEAD_BYTES, HELLO_BYTES, Refused, Reject, Welcome,
        check_answer_head, check_hello_head,
    },
    seal::{Nonce, Realm},
};

/// The version of the format; peers of different ones do not understand each other.
pub const VERSION: u8 = 1;

/// The longest datagram, seal included: below every usual MTU but jumbo-frame and loopback ones.
pub const MAX_DATAGRAM: usize = 1400;

/// The longest encoded message, without its seal.
pub const MAX_MESSAGE: usize = 4 * 1024 * 1024;

/// Why bytes were not taken for a message. Nothing of them had an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Refusal {
    /// It ends before it is complete.
    #[error("it is cut short")]
    Truncated,
    /// It is longer than the limit.
    #[error("it is too long")]
    Oversized,
    /// It does not begin as a stream between peers does.
    #[error("it does not speak this protocol")]
    Foreign,
    /// It is of another version of the format.
    #[error("it has version {0} of the format")]
    Version(u8),
    /// It was sealed with a key that is not here.
    #[error("it is sealed with another key")]
    Key,
    /// The seal is broken: another cluster's, altered, or out of its place in a stream.
    #[error("its seal is broken")]
    Seal,
    /// It is sealed rightly and is no message that this version knows.
    #[error("it is no message that is known here")]
    Malformed,
}
