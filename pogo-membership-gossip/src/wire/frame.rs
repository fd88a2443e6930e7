//! Frames of a stream: one sealed message each, in their order.

use std::fmt;

use super::{
    MAX_MESSAGE, Nonce, Refusal, codec,
    seal::{Seal, TAG},
};
use crate::message::Message;

/// The length of a frame's header, which says how long the rest is.
pub const FRAME_HEADER: usize = 4;

/// Seals what is sent in one direction of a stream.
pub struct Sealer {
    seal: Seal,
    count: u64,
}

/// Opens what comes from one direction of a stream.
pub struct Opener {
    seal: Seal,
    count: u64,
    /// The longest frame that is taken now.
    most: usize,
}

impl Sealer {
    pub(super) const fn new(seal: Seal) -> Self {
        Self { seal, count: 0 }
    }

    /// Appends the empty frame that proves to the one who accepted that the key is here.
    ///
    /// # Errors
    /// [`Refusal`]; impossible, for nothing here is long.
    pub fn prove(&mut self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let start = out.len();
        out.extend_from_slice(&[0; FRAME_HEADER]);
        self.close(out, start)
    }

    /// Appends the frame of a message.
    ///
    /// # Errors
    /// [`Refusal::Oversized`]; nothing was appended and the stream may go on.
    pub fn seal(&mut self, message: &Message, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let start = out.len();
        out.extend_from_slice(&[0; FRAME_HEADER]);
        let closed = codec::encode(message, out).and_then(|()| self.close(out, start));
        if closed.is_err() {
            out.truncate(start);
        }
        closed
    }

    /// Seals what was appended from `start` on.
    fn close(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), Refusal> {
        let framed = out.get_mut(start..).and_then(|it| it.split_first_chunk_mut::<FRAME_HEADER>());
        let (header, message) = framed.ok_or(Refusal::Truncated)?;
        if message.len() > MAX_MESSAGE {
            return Err(Refusal::Oversized);
        }
        let length = u32::try_from(message.len() + TAG).map_err(|_error| Refusal::Oversized)?;
        *header = length.to_le_bytes();
        let tag = self.seal.seal(&counted(self.count), message)?;
        self.count += 1;
        out.extend_from_slice(&tag);
        Ok(())
    }
}

impl Opener {
    /// Opens what an acceptor sends, who has proved itself by its answer.
    pub(super) const fn proved(seal: Seal) -> Self {
        Self { seal, count: 0, most: MAX_MESSAGE + TAG }
    }

    /// Opens what somebody sends whose first frame must be the proof.
    pub(super) const fn unproved(seal: Seal) -> Self {
        Self { seal, count: 0, most: TAG }
    }

    /// How many bytes follow a header.
    ///
    /// # Errors
    /// [`Refusal`]: too few for a seal, or more than the limit. Before the proof only the proof
    /// itself is short enough.
    pub fn length(&self, header: [u8; FRAME_HEADER]) -> Result<usize, Refusal> {
        match usize::try_from(u32::from_le_bytes(header)) {
            Ok(length) if length < TAG => Err(Refusal::Truncated),
            Ok(length) if length <= self.most => Ok(length),
            Ok(_) | Err(_) => Err(Refusal::Oversized),
        }
    }

    /// Checks the first frame of the one who dialled, without its header.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check_proof(&mut self, frame: &mut [u8]) -> Result<(), Refusal> {
        match self.unseal(frame)? {
            [] => {
                self.most = MAX_MESSAGE + TAG;
                Ok(())
            }
            [..] => Err(Refusal::Malformed),
        }
    }

    /// The message of the next frame, given without its header and decrypted in place.
    ///
    /// # Errors
    /// [`Refusal`]; nothing that follows on this stream will open.
    pub fn open(&mut self, frame: &mut [u8]) -> Result<Message, Refusal> {
        codec::decode(self.unseal(frame)?)
    }

    fn unseal<'a>(&mut self, frame: &'a mut [u8]) -> Result<&'a [u8], Refusal> {
        let (message, tag) = frame.split_last_chunk_mut::<TAG>().ok_or(Refusal::Truncated)?;
        self.seal.open(&counted(self.count), message, tag)?;
        self.count += 1;
        Ok(message)
    }
}

/// The nonce of a frame: no two frames of one seal have the same number.
fn counted(count: u64) -> Nonce {
    let mut nonce = Nonce::default();
    for (place, byte) in nonce.iter_mut().zip(count.to_le_bytes()) {
        *place = byte;
    }
    nonce
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("count", &self.count).finish_non_exhaustive()
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("count", &self.count).finish_non_exhaustive()
    }
}
