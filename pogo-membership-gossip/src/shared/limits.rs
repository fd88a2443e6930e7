//! How large things are that replicas take from each other and hand out at once.

use pogo_core::record::Record;

use super::ScopedKey;

/// The longest key of a record, in bytes: an id (R26) and what it is put under.
pub const KEY_MAX: usize = 512;

/// The largest value of a record, in bytes: a state (R26) and what it is wrapped in.
pub const VALUE_MAX: usize = (1 << 20) + (64 << 10);

/// The most records in one `Records` message, in bytes, unless one alone is larger.
pub(super) const MESSAGE_BYTES: usize = 64 << 10;

/// The most records in one `Page`, in bytes, unless one alone is larger.
pub(super) const PAGE_BYTES: usize = 256 << 10;

/// The most records in one answer, in bytes, unless one alone is larger: what differs beyond that
/// is for the next round.
pub(super) const ANSWER_BYTES: usize = 1 << 20;

/// The most that one listing of leaves names, in bytes, unless one leaf alone is larger. With the
/// hashes above it, the walk of a round stays near 1 MB.
pub(super) const LISTING_BYTES: usize = 512 << 10;

/// What a stamp takes on the wire, about.
const STAMP_BYTES: usize = 40;

/// What a key and its stamp take on the wire, about.
pub(super) fn listed_bytes(key: &ScopedKey) -> usize {
    key.scope.as_str().len() + key.key.as_str().len() + STAMP_BYTES
}

/// What a record takes on the wire, about.
pub(crate) fn record_bytes(key: &ScopedKey, record: &Record) -> usize {
    listed_bytes(key) + record.value.as_ref().map_or(0, bytes::Bytes::len)
}

/// Whether a record from elsewhere is one that this project could have written.
pub(crate) fn is_legal(key: &ScopedKey, record: &Record) -> bool {
    key.key.as_str().len() <= KEY_MAX
        && record.value.as_ref().is_none_or(|value| value.len() <= VALUE_MAX)
}
