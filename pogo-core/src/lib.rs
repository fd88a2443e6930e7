//! Pogo core.
