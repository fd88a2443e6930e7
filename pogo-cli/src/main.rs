//! The program `pogo`.

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};
use pogo_cli::demo::{self, DemoArgs, DemoError, Verdict};

/// Keeps a set of uniquely named children alive across the members of a cluster.
#[derive(Debug, Parser)]
#[command(name = "pogo", version)]
struct Pogo {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(DemoArgs),
}

fn main() -> ExitCode {
    let Command::Demo(args) = Pogo::parse().command;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&error.into()),
    };
    let outcome = runtime.block_on(demo::run(args));
    // A name look-up that hangs must not hold the end.
    runtime.shutdown_background();
    match outcome {
        Ok(Verdict::Kept) => ExitCode::SUCCESS,
        Ok(Verdict::Broken) => ExitCode::FAILURE,
        Err(error) => refuse(&error),
    }
}

/// Says what went wrong: 2 where the command is at fault, else 1.
fn refuse(error: &DemoError) -> ExitCode {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    // Where standard error is gone the exit code has to do.
    drop(writeln!(std::io::stderr(), "pogo: {text}"));
    if error.is_usage() { ExitCode::from(2) } else { ExitCode::FAILURE }
}
