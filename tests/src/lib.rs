//! Tests that need more than one crate of the workspace.
//!
//! They are one binary, `tests/main.rs`, with one module for each subject: one binary links once, and a new subject is
//! a new file and one `mod` line. Beside it stands `tests/stores`, which needs real servers. This library holds nothing
//! but what several modules share.

pub mod cluster;
