//! The gossip backend from outside, part by part.

#![cfg(test)]

mod swim;
