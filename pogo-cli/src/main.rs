//! The program `pogo`.

use std::{error::Error, future::Future, io::Write, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use pogo_cli::{
    agent::{self, AgentArgs, Departure},
    bench::{self, BenchArgs},
    client::{self, Answered, ClientCommand},
    demo::{self, DemoArgs},
    epoch::{self, EpochArgs},
    keygen::{self, KeygenArgs},
    kinds::command::{GuardArgs, become_program},
    sim::{self, Build, SimArgs},
    verdict::Verdict,
};

/// Keeps a set of uniquely named children alive across the members of a cluster.
#[derive(Debug, Parser)]
#[command(name = "pogo", version)]
struct Pogo {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Agent(AgentArgs),
    Demo(DemoArgs),
    Bench(BenchArgs),
    Sim(SimArgs),
    #[command(flatten)]
    Client(ClientCommand),
    Keygen(KeygenArgs),
    Epoch(EpochArgs),
    /// Becomes a program that ends with the agent; for the agent's own use
    #[command(hide = true)]
    BecomeProgram(GuardArgs),
}

/// The script that builds releases says which commit this is.
const BUILD: Build =
    Build { version: env!("CARGO_PKG_VERSION"), commit: option_env!("POGO_COMMIT") };

/// The command is at fault.
const USAGE: u8 = 2;
/// A drain left children behind.
const LEFT_BEHIND: u8 = 3;
/// What shells say of a program that cannot be run.
const NOT_RUN: u8 = 127;

fn main() -> ExitCode {
    match Pogo::parse().command {
        Command::Agent(args) => match run(agent::run(args)) {
            Ok(Departure::Left) => ExitCode::SUCCESS,
            Ok(Departure::LeftChildrenBehind) => ExitCode::from(LEFT_BEHIND),
            Ok(_) => ExitCode::FAILURE,
            Err(error) => refuse(&error, error.is_usage()),
        },
        Command::Demo(args) => match run(demo::run(args)) {
            Ok(verdict) => judge(verdict),
            Err(error) => refuse(&error, error.is_usage()),
        },
        Command::Bench(args) => match run(bench::run(args)) {
            Ok(verdict) => judge(verdict),
            Err(error) => refuse(&error, error.is_usage()),
        },
        Command::Sim(args) => match run(sim::run(args, BUILD)) {
            Ok(verdict) => judge(verdict),
            Err(error) => refuse(&error, error.is_usage()),
        },
        Command::Client(command) => match run(client::run(command)) {
            Ok(Answered::Done) => ExitCode::SUCCESS,
            Ok(Answered::LeftChildrenBehind) => ExitCode::from(LEFT_BEHIND),
            Ok(_) => ExitCode::FAILURE,
            Err(error) => refuse(&error, error.is_usage()),
        },
        Command::Keygen(args) => match keygen::run(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refuse(&error, error.is_usage()),
        },
        Command::Epoch(args) => match run(epoch::run(args)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refuse(&error, error.is_usage()),
        },
        Command::BecomeProgram(guard) => {
            let error = become_program(&guard);
            say(&format!("cannot run {}: {error}", guard.program.display()));
            ExitCode::from(NOT_RUN)
        }
    }
}

const fn judge(verdict: Verdict) -> ExitCode {
    match verdict {
        Verdict::Kept => ExitCode::SUCCESS,
        Verdict::Broken => ExitCode::FAILURE,
    }
}

/// Runs a command to its end.
fn run<T, E: From<std::io::Error>>(command: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(command);
    // Children that are left end now. A name look-up that hangs must not hold the end.
    runtime.shutdown_timeout(Duration::from_millis(500));
    outcome
}

/// Says what went wrong: 2 where the command is at fault, else 1.
fn refuse(error: &dyn Error, is_usage: bool) -> ExitCode {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Some texts have their cause in them already.
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    say(&text);
    if is_usage { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
}

fn say(text: &str) {
    // Where standard error is gone the exit code has to do.
    drop(writeln!(std::io::stderr(), "pogo: {text}"));
}
