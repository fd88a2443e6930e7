//! Faults planted on purpose, so that the laws of the simulator are seen to find them.
//!
//! They exist where everything is compiled with `--cfg pogo_mutants`, and nowhere else: elsewhere
//! [`planted`] is `false` for the compiler too, which drops what it guards. It is no cargo feature, as
//! any dependent crate could switch that on for all.

/// Whether the fault of this name is planted.
#[cfg(not(pogo_mutants))]
#[inline]
pub const fn planted(_name: &str) -> bool {
    false
}

#[cfg(pogo_mutants)]
mod plant {
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<&'static str>> = const { Cell::new(None) };
    }

    /// Plants the fault of this name in everything that this thread runs, in the place of another.
    pub fn plant(name: Option<&'static str>) {
        PLANTED.set(name);
    }

    /// Whether the fault of this name is planted.
    pub fn planted(name: &str) -> bool {
        PLANTED.get() == Some(name)
    }
}

#[cfg(pogo_mutants)]
pub use plant::{plant, planted};
