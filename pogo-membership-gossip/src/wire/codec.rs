//! Messages as bytes: postcard.
//!
//! Lengths inside a message are not trusted: postcard allocates ahead at most what the bytes that
//! are there could fill, and ids are checked by their own types.

use serde::{Serialize, de::DeserializeOwned};

use super::Refusal;

/// Appends the encoding of `value`; where that fails, nothing.
pub(crate) fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let start = out.len();
    let encoded = postcard::to_io(value, &mut *out).map(drop);
    encoded.map_err(|_error| {
        out.truncate(start);
        Refusal::Malformed
    })
}

/// Decodes all of `bytes`.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok(_) | Err(_) => Err(Refusal::Malformed),
    }
}
