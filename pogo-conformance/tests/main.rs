//! The suite itself: `memory://` passes it, and what is broken does not.

#![cfg(test)]

mod broken;
mod memory;
