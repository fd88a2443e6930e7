//! Which states runs have reached: laws that hold where nothing happens say little.
//!
//! A state is recognised from facts and from what nodes take and ask for; there is no test code in
//! the core. Counts are summed over a batch. A batch that is large enough to reach them all and
//! does not reach one has lost something, be it in the plans or in the product.

mod cells;
mod states;
mod watch;

use std::{collections::BTreeMap, fmt};

use self::states::{By, STATES, State};
pub(crate) use self::{
    states::{REFUTED, RENEWED_LATE},
    watch::Watch,
};
use crate::{plan::BackendKind, runner::Mode};

/// So many seeds reach every state.
pub const ENOUGH: u64 = 2_000;

/// Columns of the matrix are this wide.
const COLUMN: usize = 12;

/// What runs have reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// How many runs reached each state, by its name.
    reached: BTreeMap<&'static str, u64>,
    /// How often a node in which a child was in this phase took this kind of input about it.
    cells: BTreeMap<(&'static str, &'static str), u64>,
    /// How many runs there were, by mode and by what their members shared.
    runs: BTreeMap<(Mode, String), u64>,
}

impl Coverage {
    /// Adds what other runs have reached.
    pub fn add(&mut self, other: &Self) {
        for (name, runs) in &other.reached {
            *self.reached.entry(name).or_default() += runs;
        }
        for (cell, inputs) in &other.cells {
            *self.cells.entry(*cell).or_default() += inputs;
        }
        for (kind, runs) in &other.runs {
            *self.runs.entry(kind.clone()).or_default() += runs;
        }
    }

    /// Each state with the number of runs that reached it, or with what it waits for.
    pub fn states(&self) -> impl Iterator<Item = (&'static str, Result<u64, &'static str>)> {
        STATES.iter().map(|state| match state.by {
            By::Waits(what) => (state.name, Err(what)),
            _ => (state.name, Ok(self.reached.get(state.name).copied().unwrap_or(0))),
        })
    }

    /// The states that should have been reached by now and were not.
    ///
    /// None before there are [`ENOUGH`] runs. A state that only one mode or backend can show counts
    /// where that one ran.
    pub fn missing(&self) -> Vec<&'static str> {
        if self.runs.values().sum::<u64>() < ENOUGH {
            return Vec::new();
        }
        let is_due = |state: &&State| {
            let mut runs = self.runs.keys();
            runs.any(|(mode, backend)| {
                state.mode.is_none_or(|needed| needed == *mode)
                    && state.backend.is_none_or(|needed| needed == backend)
            })
        };
        let missing = STATES.iter().filter(|state| {
            !matches!(state.by, By::Waits(_)) && !self.reached.contains_key(state.name)
        });
        missing.filter(is_due).map(|state| state.name).collect()
    }

    /// How many cells of the matrix were reached.
    pub fn cells(&self) -> usize {
        self.cells.len()
    }

    /// Counts a run.
    pub(crate) fn count_run(&mut self, mode: Mode, backend: BackendKind) {
        *self.runs.entry((mode, backend.to_string())).or_default() += 1;
    }

    fn reach(&mut self, name: &'static str) {
        self.reached.insert(name, 1);
    }

    /// Takes out of `open` what is reached now.
    fn reach_first<F>(
        &mut self,
        open: &mut Vec<(&'static str, F)>,
        is_reached: impl Fn(&F) -> bool,
    ) {
        open.retain(|(name, by)| {
            let reached = is_reached(by);
            if reached {
                self.reach(name);
            }
            !reached
        });
    }
}

/// The states, one a line, then the matrix.
impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>8}  state", "seeds")?;
        for (name, reached) in self.states() {
            match reached {
                Ok(runs) => writeln!(f, "{runs:>8}  {name}")?,
                Err(what) => writeln!(f, "{:>8}  {name} (waits for {what})", "-")?,
            }
        }
        writeln!(f, "\ninputs about a child, by the phase in which the node had it")?;
        write!(f, "{:<16}", "")?;
        for phase in cells::PHASES {
            write!(f, "{phase:>COLUMN$}")?;
        }
        writeln!(f)?;
        for input in cells::INPUTS {
            write!(f, "{input:<16}")?;
            for phase in cells::PHASES {
                match self.cells.get(&(*phase, *input)) {
                    Some(count) => write!(f, "{count:>COLUMN$}")?,
                    None => write!(f, "{:>COLUMN$}", "-")?,
                }
            }
            writeln!(f)?;
        }
        let all = cells::PHASES.len() * cells::INPUTS.len();
        write!(f, "{} of {all} cells reached", self.cells.len())
    }
}

#[cfg(test)]
mod tests;
