//! The gossip backend from outside, part by part.

#![cfg(test)]

#[cfg(feature = "sockets")]
mod sockets;
mod swim;
