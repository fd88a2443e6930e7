//! Datagrams: one sealed packet each.
//!
//! One that is repeated by others opens again: what packets say is harmless when said twice.

use super::{
    MAX_DATAGRAM, Nonce, Realm, Refusal, VERSION, codec,
    seal::{KEY_ID, KeyId, NONCE, TAG, Tag},
};
use crate::swim::Packet;

const HEADER: usize = 1 + KEY_ID + NONCE;

impl Realm {
    /// The datagram that holds `packet`; `nonce` is random and never used again.
    ///
    /// # Errors
    /// [`Refusal::Oversized`].
    pub fn seal_datagram(&self, packet: &Packet, nonce: &Nonce) -> Result<Vec<u8>, Refusal> {
        let seals = self.current();
        let mut datagram = Vec::with_capacity(256);
        datagram.push(VERSION);
        datagram.extend_from_slice(&seals.id);
        datagram.extend_from_slice(nonce);
        codec::encode(packet, &mut datagram)?;
        if datagram.len() + TAG > MAX_DATAGRAM {
            return Err(Refusal::Oversized);
        }
        let (_, body) = datagram.split_at_mut(HEADER);
        let tag = seals.datagrams.seal(nonce, body)?;
        datagram.extend_from_slice(&tag);
        Ok(datagram)
    }

    /// The packet that a datagram holds; the datagram is decrypted in place.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn open_datagram(&self, datagram: &mut [u8]) -> Result<Packet, Refusal> {
        if datagram.len() > MAX_DATAGRAM {
            return Err(Refusal::Oversized);
        }
        let (&mut version, rest) = datagram.split_first_mut().ok_or(Refusal::Truncated)?;
        if version != VERSION {
            return Err(Refusal::Version(version));
        }
        let (id, rest) = rest.split_first_chunk_mut::<KEY_ID>().ok_or(Refusal::Truncated)?;
        let (nonce, rest) = rest.split_first_chunk_mut::<NONCE>().ok_or(Refusal::Truncated)?;
        let (body, tag) = rest.split_last_chunk_mut::<TAG>().ok_or(Refusal::Truncated)?;
        let (id, tag): (KeyId, Tag) = (*id, *tag);
        self.find(id)?.datagrams.open(nonce, body, &tag)?;
        codec::decode(body)
    }
}
