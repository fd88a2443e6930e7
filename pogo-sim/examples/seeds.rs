//! Runs seeds of a scenario, or one plan from a file, and says what broke and how to repeat it.
//!
//! `cargo run --release -p pogo-sim --example seeds -- --scenario chaos --seeds 0..1000
//! [--backend hub|gossip] [--jobs N]`
//! `cargo run --release -p pogo-sim --example seeds -- --scenario chaos --print SEED
//! [--backend hub|gossip]`
//! `cargo run --release -p pogo-sim --example seeds -- --plan FILE [--trace CHILD]`

#![expect(clippy::print_stdout, clippy::exit, reason = "its output is what it is for")]

use std::{
    env, error::Error, fs, num::NonZeroUsize, ops::Range, process::ExitCode, thread, time::Instant,
};

use pogo_sim::{
    plan::{BackendKind, Plan},
    runner::{Failure, run_seeds},
    scenario::{self, Scenario},
    world::run_plan,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const HELP: &str =
    "Runs seeds of a scenario, or one plan, and says what broke and how to repeat it.

  --scenario NAME [--backend hub|gossip] [--seeds A..B] [--jobs N]
  --scenario NAME --print SEED [--backend hub|gossip]     print the plan of a seed
  --plan FILE [--trace CHILD]                             run a plan

B is excluded. An unknown NAME lists the scenarios.";

struct Args {
    scenarios: Vec<&'static Scenario>,
    backend: BackendKind,
    seeds: Range<u64>,
    jobs: NonZeroUsize,
    plan: Option<String>,
    trace: Option<String>,
    print: Option<u64>,
}

fn main() -> Result<ExitCode> {
    let args = read_args()?;
    if let (Some(seed), Some(scenario)) = (args.print, args.scenarios.first()) {
        print!("{}", scenario.plan_on(args.backend, seed));
        return Ok(ExitCode::SUCCESS);
    }
    let failures = match &args.plan {
        Some(file) => run_file(file, args.trace.as_deref())?,
        None => run_scenarios(&args),
    };
    for failure in &failures {
        println!("{failure}");
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read_args() -> Result<Args> {
    let jobs = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let mut args = Args {
        scenarios: Vec::new(),
        backend: BackendKind::Hub,
        seeds: 0..100,
        jobs,
        plan: None,
        trace: None,
        print: None,
    };
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--help" {
            println!("{HELP}");
            std::process::exit(0);
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--scenario" => args.scenarios.push(find(&value)?),
            "--seeds" => {
                let (from, to) = value.split_once("..").ok_or("--seeds takes A..B")?;
                args.seeds = from.parse()?..to.parse()?;
            }
            "--backend" => {
                args.backend = value.parse().ok().ok_or("--backend takes hub or gossip")?;
            }
            "--jobs" => args.jobs = value.parse()?,
            "--plan" => args.plan = Some(value),
            "--print" => args.print = Some(value.parse()?),
            "--trace" => args.trace = Some(value),
            _ => return Err(format!("{word} is not known").into()),
        }
    }
    if args.scenarios.is_empty() {
        args.scenarios = scenario::ALL.iter().collect();
    }
    Ok(args)
}

fn find(name: &str) -> Result<&'static Scenario> {
    let names: Vec<&str> = scenario::ALL.iter().map(|scenario| scenario.name).collect();
    let unknown = || format!("no scenario {name:?}; there are {}", names.join(", "));
    Ok(scenario::find(name).ok_or_else(unknown)?)
}

fn run_scenarios(args: &Args) -> Vec<Failure> {
    let mut failures = Vec::new();
    for scenario in &args.scenarios {
        let start = Instant::now();
        let batch = run_seeds(scenario, args.backend, args.seeds.clone(), args.jobs);
        let took = start.elapsed();
        println!(
            "{}: {} seeds, {} cluster-seconds, {} starts, {} inputs in {took:.2?}: {:.0} cluster-seconds per second",
            scenario.name,
            batch.seeds,
            batch.virtual_time.as_secs(),
            batch.starts,
            batch.inputs,
            batch.virtual_time.as_secs_f64() / took.as_secs_f64(),
        );
        failures.extend(batch.failures);
    }
    failures
}

fn run_file(file: &str, traced: Option<&str>) -> Result<Vec<Failure>> {
    let plan: Plan = fs::read_to_string(file)?.parse()?;
    let outcome = run_plan(&plan);
    for (at, fact) in &outcome.trace {
        let is_about = |child: &str| fact.child().is_none_or(|other| other.as_str() == child);
        if traced.is_some_and(is_about) {
            println!("{at:?} {fact:?}");
        }
    }
    println!("trace hash {:016x}, {:?}", outcome.trace_hash, outcome.stats);
    let failure = outcome.violation.map(|(at, violation)| {
        let trace = outcome.trace;
        Failure { scenario: "file", plan, at, violation, trace }
    });
    Ok(failure.into_iter().collect())
}
