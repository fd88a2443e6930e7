//! Whole clusters under seeds, in virtual time.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod exhaustive;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod kit;
#[cfg(all(test, pogo_mutants))]
mod mutants;
#[cfg(test)]
mod regressions;
#[cfg(test)]
mod scenarios;
