//! One plan: printed, or run from a file.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use pogo::time::Timestamp;
use pogo_sim::{
    fact::Fact,
    plan::Plan,
    runner::{Case, FILE, Failure, Mode},
};

use super::{Failing, SimArgs, SimError, Teller, failing::make_small};
use crate::verdict::Verdict;

pub(super) fn print(plan: &Plan) -> io::Result<()> {
    io::stdout().lock().write_all(plan.to_string().as_bytes())
}

/// Runs the plan in a file.
pub(super) fn run(path: &Path, args: &SimArgs, failing: &Failing) -> Result<Verdict, SimError> {
    let text = fs::read_to_string(path)
        .map_err(|source| SimError::Read { path: path.to_owned(), source })?;
    let plan: Plan =
        text.parse().map_err(|source| SimError::Plan { path: path.to_owned(), source })?;
    let mode = Mode::of(plan.options.mode);
    let case = Case { plan, scenario: FILE, mode, check: None };
    let ran = case.run_caught(args.check_determinism);
    let teller = Teller::new(args.json);
    if let Ok(outcome) = &ran {
        if let Some(child) = &args.trace {
            trace(&outcome.trace, child.as_deref())?;
        }
        teller.single(outcome)?;
    }
    let Some(failure) = Failure::of(case, ran) else { return Ok(Verdict::Kept) };
    // It is in a file already, and nobody waits for a smaller one who does not say so.
    let report = if args.shrink {
        let small = make_small(&failure, &mut || false);
        failing.keep(&failure, small, true)
    } else {
        failing.known(failure, PathBuf::from(path))
    };
    teller.violation(&report)?;
    Ok(Verdict::Broken)
}

/// What was seen, of all children or of one and the members.
fn trace(facts: &[(Timestamp, Fact)], child: Option<&str>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let is_about =
        |fact: &&Fact| child.is_none_or(|child| fact.child().is_none_or(|it| it.as_str() == child));
    for (at, fact) in facts.iter().filter(|(_, fact)| is_about(&fact)) {
        writeln!(out, "{at:?} {fact:?}")?;
    }
    Ok(())
}
