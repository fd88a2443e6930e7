//! The tokio supervisor over `memory://`: what users see when children and members come, fail and go.

#![cfg(test)]

mod cluster;
mod ending;
mod failures;
mod moving;
mod observing;
mod public_api;
mod rejoining;
mod scale;
mod starting;
