//! How the core scales with the number of children: what a change costs at 1,000, 10,000 and 100,000.
//!
//! `cargo bench -p pogo-tests --bench scale`, with `-- --json` for one object a line, with `--pure` or `--real` for one
//! of the two tables, and with other numbers of children where some are given. The first table is of nodes
//! alone in virtual time, the second of supervisors with real tasks on `memory://`.
#![expect(clippy::print_stdout, reason = "a table is what it is for")]

mod figures;
mod pure;
mod real;

use self::figures::Figures;

/// What is wrong with a run of the benchmark.
type Fault = Box<dyn std::error::Error>;

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

fn main() -> Result<(), Fault> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|it| it == flag);
    let json = has("--json");
    let only: Vec<usize> = arguments.iter().filter_map(|it| it.parse().ok()).collect();
    let sizes: Vec<usize> = if only.is_empty() { SIZES.to_vec() } else { only };

    let mut pure = Figures::new("pure", json);
    for &children in sizes.iter().filter(|_| !has("--real")) {
        pure::run(children, &mut pure)?;
    }
    pure.show();

    let mut real = Figures::new("real", json);
    let runtime = tokio::runtime::Runtime::new()?;
    for &children in sizes.iter().filter(|_| !has("--pure")) {
        runtime.block_on(real::run(children, &mut real))?;
    }
    real.show();
    Ok(())
}
