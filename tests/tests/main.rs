//! The cross-crate tests of Pogo, one module for each subject.
//!
//! Each module is marked `cfg(test)`, which is always on here: it tells clippy that helpers beside the `#[test]`
//! functions are test code too.

#[cfg(test)]
mod dependency_direction;
#[cfg(test)]
mod documentation;
