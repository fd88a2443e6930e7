//! The program `pogo` as its users meet it: real processes, real services.

#[cfg(test)]
mod agent;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod probes;
