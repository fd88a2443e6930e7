//! Values as bytes.
//!
//! Whatever stands in the store may have been written by anybody: what cannot be read is told once
//! in the log and then treated as not there.

use bytes::Bytes;
use pogo_core::{
    id::{BootId, Incarnation, MemberId},
    membership::{MemberInfo, OwnedUpdate},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A member's presence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Presence {
    Here(MemberInfo),
    /// It has said that it leaves; the key goes with its lease.
    Left(MemberId),
}

/// A part of what a member reports, in the order in which it wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segment {
    /// Repeats what stood in segments before it, so that they can go: no news to who read them.
    pub(crate) is_repeat: bool,
    /// The batch goes on in the next segment.
    pub(crate) has_more: bool,
    pub(crate) updates: Vec<OwnedUpdate>,
}

/// A member's current connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LinkMark {
    pub(crate) boot: BootId,
    pub(crate) incarnation: Incarnation,
    pub(crate) number: u64,
}

pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    // Nothing here is of a kind that the format does not have.
    postcard::to_stdvec(value).unwrap_or_default()
}

pub(crate) fn decode<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Option<T> {
    if let Ok((value, [])) = postcard::take_from_bytes(value) {
        return Some(value);
    }
    let key = String::from_utf8_lossy(key);
    tracing::warn!(%key, "what stands there was not written by pogo, or is damaged");
    None
}

/// Splits updates into segments of at most `most` bytes each, but for single ones above that.
pub(crate) fn segments(updates: Vec<OwnedUpdate>, most: usize, is_repeat: bool) -> Vec<Vec<u8>> {
    let mut parts: Vec<Vec<OwnedUpdate>> = vec![Vec::new()];
    let mut size = 0;
    for update in updates {
        let len = update.key.as_str().len() + update.value.as_ref().map_or(0, Bytes::len) + 16;
        if size > 0 && size + len > most {
            parts.push(Vec::new());
            size = 0;
        }
        size += len;
        if let Some(part) = parts.last_mut() {
            part.push(update);
        }
    }
    let last = parts.len() - 1;
    let parts = parts.into_iter().enumerate();
    parts
        .map(|(index, updates)| encode(&Segment { is_repeat, has_more: index < last, updates }))
        .collect()
}

#[cfg(test)]
mod tests {
    use pogo_core::record::Key;

    use super::*;

    fn update(key: &str, len: usize) -> OwnedUpdate {
        OwnedUpdate { key: Key::new(key), value: Some(vec![7; len].into()) }
    }

    #[test]
    fn batch_is_split_by_size_and_only_its_last_part_ends_it() {
        let updates: Vec<_> = (0..10).map(|n| update(&format!("k{n}"), 100)).collect();
        let parts = segments(updates.clone(), 300, false);
        let parts: Vec<Segment> = parts.iter().map(|part| decode(b"k", part).unwrap()).collect();
        assert!(parts.len() > 3);
        assert!(parts.iter().rev().skip(1).all(|part| part.has_more));
        assert!(!parts.last().unwrap().has_more);
        let joined: Vec<_> = parts.into_iter().flat_map(|part| part.updates).collect();
        assert_eq!(joined, updates);
    }

    #[test]
    fn one_large_update_has_a_segment_of_its_own() {
        let parts =
            segments(vec![update("a", 10), update("b", 5_000), update("c", 10)], 300, false);
        assert_eq!(parts.len(), 3);
    }

    #[test]
    fn what_pogo_did_not_write_is_not_there() {
        for value in [&b""[..], b"\xff\xff\xff\xff", b"hello, I am another program"] {
            assert_eq!(decode::<Presence>(b"k", value), None);
        }
        let mut value = encode(&Segment { is_repeat: false, has_more: false, updates: vec![] });
        assert!(decode::<Segment>(b"k", &value).is_some());
        value.push(0);
        assert_eq!(decode::<Segment>(b"k", &value), None);
    }
}
