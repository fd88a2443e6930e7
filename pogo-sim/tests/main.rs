//! Whole clusters under seeds, in virtual time.

#[cfg(test)]
mod regressions;
#[cfg(test)]
mod scenarios;
