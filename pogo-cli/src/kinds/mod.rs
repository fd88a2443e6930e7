//! The built-in kinds of children.

pub mod service_monitor;
