//! Faults planted one at a time: each must break a law within its number of seeds.
//!
//! A mutant that no law finds shows a weak law. Run with
//! `RUSTFLAGS="--cfg pogo_mutants" cargo test -p pogo-sim --target-dir target/mutants --test main
//! mutants -- --nocapture`; what is printed is kept in `MUTANTS.md`.

mod table;

use std::{
    collections::BTreeSet,
    fs,
    num::NonZeroUsize,
    panic,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use pogo_core::mutant::plant;
use pogo_sim::{
    plan::Plan,
    runner::run_seed,
    scenario::{self, cluster},
    world::{Outcome, run_plan},
};

use self::table::{MUTANTS, Mutant, Over};

/// What a mutant broke, and how many seeds it took.
#[derive(Debug)]
struct Found {
    law: &'static str,
    seeds: u64,
}

fn run(over: Over, seed: u64) -> Outcome {
    match over {
        Over::Scenario(name, backend) => run_seed(scenario::find(name).unwrap(), backend, seed),
        Over::Cluster(shape) => run_plan(&cluster::plan(shape, seed)),
        Over::Plan(plan) => run_plan(&plan(seed)),
    }
}

/// The law that a run breaks; a node that finds itself in an impossible state panics here.
fn broken_law(over: Over, seed: u64) -> Option<&'static str> {
    match panic::catch_unwind(|| run(over, seed)) {
        Ok(outcome) => outcome.violation.map(|(_, violation)| violation.law),
        Err(_) => Some("S12 local consistency"),
    }
}

/// Runs seeds until one breaks a law that it keeps without the mutant.
fn find(mutant: &Mutant) -> Option<Found> {
    (0..mutant.within).find_map(|seed| {
        plant(Some(mutant.name));
        let law = broken_law(mutant.over, seed);
        plant(None);
        let law = law?;
        let is_due_to_it = broken_law(mutant.over, seed).is_none();
        is_due_to_it.then_some(Found { law, seeds: seed + 1 })
    })
}

#[test]
fn each_mutant_breaks_a_law_within_its_seeds() {
    let only = std::env::var("MUTANT").ok();
    let chosen: Vec<&Mutant> = MUTANTS
        .iter()
        .filter(|it| only.as_deref().is_none_or(|only| it.name.contains(only)))
        .collect();
    // What a mutant panics with is not what went wrong with the test.
    panic::set_hook(Box::new(|_| {}));
    let jobs = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(mutant) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let row = find(mutant);
                    eprintln!("{}: {row:?}", mutant.name);
                    found.lock().unwrap().push((mutant.name, row));
                }
            });
        }
    });
    drop(panic::take_hook());
    let found = found.into_inner().unwrap();
    println!("| mutant | what it breaks | runs over | law that found it | seeds | at most |");
    println!("|---|---|---|---|---|---|");
    let mut missed = Vec::new();
    for mutant in chosen {
        let row = found.iter().find(|(name, _)| *name == mutant.name);
        let Mutant { name, breaks, over, within } = mutant;
        match row.and_then(|(_, row)| row.as_ref()) {
            Some(Found { law, seeds }) => {
                println!("| {name} | {breaks} | {over} | {law} | {seeds} | {within} |");
            }
            None => {
                println!("| {name} | {breaks} | {over} | **none** | | {within} |");
                missed.push(name);
            }
        }
    }
    assert!(missed.is_empty(), "no law finds {missed:?}");
}

#[test]
fn each_planted_fault_has_its_row_and_each_row_its_fault() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut planted = BTreeSet::new();
    for dir in ["pogo-core/src/node", "pogo-membership-gossip/src"] {
        collect(&root.join(dir), &mut planted);
    }
    let rows: BTreeSet<String> = MUTANTS.iter().map(|mutant| mutant.name.to_owned()).collect();
    assert_eq!(planted, rows);
    let page = fs::read_to_string(root.join("pogo-sim/MUTANTS.md")).unwrap();
    for name in rows {
        assert!(page.contains(&format!("| {name} |")), "{name} has no row in MUTANTS.md");
    }
}

/// The names of the faults that are planted in the files of a folder.
fn collect(dir: &Path, planted: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, planted);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let names = text.split("planted(\"").skip(1);
            planted.extend(names.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
    }
}

/// A child is terminated while a member is away for longer than tombstones are looked through.
fn long_away(seed: u64) -> Plan {
    let text = "\
set backend=gossip
0 boot m0
0 boot m1
0 boot m2
2000 start m0 c0,c1,c2,c3,c4,c5 start=20ms stop=5ms
6000 cut m2
12000 terminate m0 c0
12000 terminate m1 c1
1250000 heal
";
    format!("seed {seed}\n{text}").parse().unwrap()
}

/// The member that runs a temporary child crashes.
fn temporary_crash(seed: u64) -> Plan {
    let text = "\
0 boot m0
0 boot m1
0 boot m2
2000 start m0 c0,c1,c2 start=20ms then=end:60000ms stop=5ms restart=temporary
4000 crash m0 silent
14000 boot m0
16000 crash m1 noticed
20000 boot m1
22000 crash m2 noticed
24000 boot m2
30000 heal
";
    format!("seed {seed}\n{text}").parse().unwrap()
}
