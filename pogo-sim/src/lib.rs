//! Placeholder root; replaced as the crate is built.
