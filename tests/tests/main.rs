//! The cross-crate tests of Pogo, one module for each subject.
//!
//! Each module is marked `cfg(test)`, which is always on here: it tells clippy that helpers beside the `#[test]`
//! functions are test code too.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test names what it looks for; whatever else there is fails it or is passed over"
)]

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod defects;
#[cfg(test)]
mod dependency_direction;
#[cfg(test)]
mod documentation;
#[cfg(test)]
mod failing_children;
#[cfg(test)]
mod parity;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod strict;
