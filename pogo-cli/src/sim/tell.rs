//! What is printed, for people or for programs.

use std::{
    io::{self, IsTerminal, Write},
    ops::Range,
    time::{Duration, Instant},
};

use pogo_sim::{
    coverage::Coverage,
    runner::{Batch, Failure, Tally},
    world::Outcome,
};
use serde_json::{Map, Value, json};

use super::{Build, failing::Report};

/// How often the line of progress is written anew.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Marks of a bar that is full.
const BAR: u64 = 24;

/// Prints what comes out, and on a terminal how far it is.
#[derive(Debug)]
pub(super) struct Teller {
    json: bool,
    /// Whether there is a line of progress, on standard error.
    shows_progress: bool,
    began: Instant,
    told_at: Option<Instant>,
}

impl Teller {
    pub(super) fn new(json: bool) -> Self {
        let shows_progress = !json && io::stderr().is_terminal();
        Self { json, shows_progress, began: Instant::now(), told_at: None }
    }

    /// Writes the line of progress, at most twice a second.
    pub(super) fn progress(&mut self, sum: &Batch, seeds: &Range<u64>) -> io::Result<()> {
        let is_due = self.told_at.is_none_or(|at| at.elapsed() >= AGAIN_AFTER);
        if !self.shows_progress || !is_due {
            return Ok(());
        }
        self.told_at = Some(Instant::now());
        let all = seeds.end - seeds.start;
        let how_far = if all == u64::MAX {
            format!("{} seeds", sum.seeds)
        } else {
            let marks = usize::try_from(sum.seeds * BAR / all.max(1)).unwrap_or(0);
            format!("[{:<24}] {} of {all} seeds", "#".repeat(marks), sum.seeds)
        };
        let (seconds, took) = (sum.virtual_time.as_secs(), self.began.elapsed().as_secs());
        let violations = sum.violations;
        self.line(&format!(
            "{how_far}, {seconds} cluster-seconds in {took} s, {violations} violations"
        ))
    }

    /// Says that something takes a while.
    pub(super) fn shrinking(&self, failure: &Failure) -> io::Result<()> {
        let Failure { plan, violation, .. } = failure;
        self.line(&format!("seed {} breaks {}: making its plan smaller", plan.seed, violation.law))
    }

    /// Takes the line of progress away.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.told_at = None;
        self.line("")
    }

    fn line(&self, text: &str) -> io::Result<()> {
        if !self.shows_progress {
            return Ok(());
        }
        let mut terminal = io::stderr().lock();
        write!(terminal, "\r\x1b[K{text}")?;
        terminal.flush()
    }

    pub(super) fn violation(&self, report: &Report) -> io::Result<()> {
        let text = if self.json { violation_json(report) } else { violation_text(report) };
        writeln!(io::stdout().lock(), "{text}")
    }

    /// What one plan was like.
    pub(super) fn single(&self, outcome: &Outcome) -> io::Result<()> {
        let (hash, stats) = (outcome.trace_hash, outcome.stats);
        let text = if self.json {
            json!({
                "event": "ran",
                "trace_hash": format!("{hash:016x}"),
                "cluster_seconds": stats.virtual_time.as_secs_f64(),
                "inputs": stats.inputs,
                "starts": stats.starts,
                "moves": stats.moves,
            })
            .to_string()
        } else {
            format!(
                "trace hash {hash:016x}, {:.1} cluster-seconds, {} inputs, {} starts, {} moves",
                stats.virtual_time.as_secs_f64(),
                stats.inputs,
                stats.starts,
                stats.moves
            )
        };
        writeln!(io::stdout().lock(), "{text}")
    }

    pub(super) fn coverage(&self, coverage: &Coverage, missing: &[&str]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if !self.json {
            writeln!(out, "{coverage}\n")?;
            return match missing {
                [] => Ok(()),
                missing => writeln!(out, "never reached: {}\n", missing.join("; ")),
            };
        }
        let reached: Map<String, Value> = coverage
            .states()
            .filter_map(|(name, runs)| Some((name.to_owned(), runs.ok()?.into())))
            .collect();
        let waiting: Map<String, Value> = coverage
            .states()
            .filter_map(|(name, runs)| Some((name.to_owned(), runs.err()?.into())))
            .collect();
        let cells = coverage.cells();
        let line = json!({
            "event": "coverage",
            "seeds": reached,
            "waiting": waiting,
            "never_reached": missing,
            "cells": cells,
        });
        writeln!(out, "{line}")
    }

    pub(super) fn summary(&self, sum: &Batch, is_whole: bool, build: Build) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            return writeln!(out, "{}", summary_json(sum, is_whole, build));
        }
        let heads = ["mode", "backend", "seeds", "cluster-seconds", "violations", "per CPU-second"];
        row(&mut out, heads.map(str::to_owned))?;
        for ((mode, backend), tally) in &sum.tallies {
            row(&mut out, cells(mode.name(), backend, tally))?;
        }
        row(&mut out, cells("all", "", &sum.whole()))?;
        let (cpu, took) = (sum.cpu.as_secs_f64(), self.began.elapsed().as_secs_f64());
        writeln!(
            out,
            "{} starts, {} inputs in {took:.1} s, CPU {cpu:.1} s",
            sum.starts, sum.inputs
        )?;
        for (law, seeds) in &sum.laws {
            writeln!(out, "{law}: broken by {seeds}")?;
        }
        if !is_whole {
            writeln!(out, "ended before the last seed")?;
        }
        Ok(())
    }
}

fn row(
    out: &mut impl Write,
    [mode, backend, seeds, time, violations, rate]: [String; 6],
) -> io::Result<()> {
    writeln!(out, "{mode:<10} {backend:<8} {seeds:>9} {time:>16} {violations:>11} {rate:>15}")
}

fn cells(mode: &str, backend: &str, tally: &Tally) -> [String; 6] {
    [
        mode.to_owned(),
        backend.to_owned(),
        tally.seeds.to_string(),
        tally.virtual_time.as_secs().to_string(),
        tally.violations.to_string(),
        tally.cluster_seconds_per_cpu_second().to_string(),
    ]
}

fn violation_text(report: &Report) -> String {
    let Report { shown, replay, build, .. } = report;
    if !report.is_full {
        let child = shown.violation.child.as_ref().map(|child| format!(" for {child}"));
        let (seed, law) = (shown.plan.seed, shown.violation.law);
        return format!("seed {seed} breaks {law}{}; repeat: {replay}", child.unwrap_or_default());
    }
    let commit = build.commit.map(|commit| format!(", commit {commit}")).unwrap_or_default();
    let history: Vec<String> =
        shown.history().iter().map(|(at, fact)| format!("{at:?} {fact:?}")).collect();
    let size = match report.shrunk {
        Some((before, after)) => format!("made smaller: {after} of {before} operations are left"),
        None => format!("{} operations", shown.plan.ops.len()),
    };
    let saved = match &report.saved {
        Ok(file) => format!("the plan is in {}", file.display()),
        Err((file, error)) => {
            format!("the plan could not be written to {}: {error}", file.display())
        }
    };
    let (headline, plan) = (shown.headline(), &shown.plan);
    let (version, history) = (build.version, history.join("\n"));
    format!(
        "{headline}\npogo {version}{commit}\n\n{history}\n\n# {size}\n{plan}\n{saved}\nrepeat: {replay}\n"
    )
}

fn violation_json(report: &Report) -> String {
    let Report { shown, replay, build, .. } = report;
    let Failure { scenario, mode, plan, at, violation, .. } = shown;
    json!({
        "event": "violation",
        "seed": plan.seed,
        "law": violation.law,
        "what": violation.what,
        "child": violation.child.as_ref().map(ToString::to_string),
        "at_ms": at.since(pogo::time::Timestamp::ZERO).as_millis(),
        "scenario": scenario,
        "mode": mode.name(),
        "backend": plan.options.backend.to_string(),
        "plan": plan.to_string(),
        "file": report.saved.as_ref().ok(),
        "replay": replay,
        "version": build.version,
        "commit": build.commit,
    })
    .to_string()
}

fn summary_json(sum: &Batch, is_whole: bool, build: Build) -> Value {
    let kinds: Vec<Value> = sum
        .tallies
        .iter()
        .map(|((mode, backend), tally)| {
            json!({
                "mode": mode.name(),
                "backend": backend,
                "seeds": tally.seeds,
                "violations": tally.violations,
                "cluster_seconds": tally.virtual_time.as_secs(),
                "cluster_seconds_per_cpu_second": tally.cluster_seconds_per_cpu_second(),
            })
        })
        .collect();
    json!({
        "event": "summary",
        "seeds": sum.seeds,
        "violations": sum.violations,
        "cluster_seconds": sum.virtual_time.as_secs(),
        "cpu_seconds": sum.cpu.as_millis().div_ceil(1_000),
        "cluster_seconds_per_cpu_second": sum.whole().cluster_seconds_per_cpu_second(),
        "starts": sum.starts,
        "inputs": sum.inputs,
        "ended_early": !is_whole,
        "kinds": kinds,
        "laws": sum.laws,
        "version": build.version,
        "commit": build.commit,
    })
}
