//! A whole Pogo cluster in one thread of virtual time, under a seed.
//!
//! [`plan::Plan`] says what happens, [`world`] lets it happen to real nodes over the in-process
//! backend, [`invariant`] holds the laws that must hold meanwhile and at the end, and [`runner`]
//! does that for thousands of seeds. [`scenario`] has plans by name. [`coverage`] counts the states
//! that they reached, and [`shrink`] makes a plan that broke a law small.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a reader of facts, operations or effects names those that it reads"
)]

pub mod coverage;
pub mod draw;
pub mod fact;
pub mod invariant;
#[cfg(feature = "kit")]
pub mod kit;
pub mod oracle;
pub mod picture;
pub mod plan;
pub mod report;
pub mod rest;
pub mod runner;
pub mod scenario;
pub mod shrink;
pub mod store;
#[cfg_attr(
    not(feature = "kit"),
    expect(dead_code, unused_imports, reason = "the test kit alone has real children")
)]
pub mod world;
