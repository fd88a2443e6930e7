//! A whole Pogo cluster in one thread of virtual time, under a seed.
//!
//! [`plan::Plan`] says what happens, [`world`] lets it happen to real nodes over the in-process
//! backend, [`invariant`] holds the laws that must hold meanwhile and at the end, and [`runner`]
//! does that for thousands of seeds. [`scenario`] has plans by name.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a reader of facts, operations or effects names those that it reads"
)]

pub mod draw;
pub mod fact;
pub mod invariant;
pub mod oracle;
pub mod picture;
pub mod plan;
pub mod rest;
pub mod runner;
pub mod scenario;
pub mod world;
