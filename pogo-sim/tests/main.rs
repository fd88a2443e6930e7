//! Whole clusters under seeds, in virtual time.

#[cfg(test)]
mod scenarios;
