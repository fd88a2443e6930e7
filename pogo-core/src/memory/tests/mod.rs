//! The hub and its async side, held to what the node relies on.

#[cfg(feature = "runtime")]
mod sessions;
