//! `pogo sim` as a process.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

use crate::agent::process::pogo;

/// A plan that cannot come to rest in the time that it gives itself.
const BROKEN: &str = "\
# what it once was
seed 3
set settle=1ms
0 boot m0
0 boot m1
2000 terminate m0 c7
3000 start m1 c0,c1,c2 start=4000ms stop=5ms
";

fn sim(args: &[&str]) -> Output {
    pogo(&["sim"]).args(args).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn events(output: &Output) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    text(output).lines().map(parse).collect()
}

fn in_folder(name: &str, content: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    fs::write(&file, content).unwrap();
    (folder, file)
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn seeds_take_turns_over_modes_and_backends_and_the_summary_comes_last() {
    let folder = tempfile::tempdir().unwrap();
    let save = path(folder.path());
    let args =
        ["--seeds", "0..16", "--nodes", "3", "--children", "4", "--seconds", "5", "--no-shrink"];
    let output = sim(&[&args[..], &["--jobs", "2", "--json", "--save", save]].concat());
    let events = events(&output);
    let summary = events.last().unwrap();
    assert_eq!((&summary["event"], &summary["seeds"]), (&"summary".into(), &16.into()));
    let violations = events.iter().filter(|event| event["event"] == "violation").count();
    assert_eq!(summary["violations"], violations, "{summary}");
    assert_eq!(output.status.code(), Some(i32::from(violations > 0)), "{output:?}");
    assert_eq!(events.len(), violations + 1);
    assert!(summary["cluster_seconds_per_cpu_second"].as_u64().unwrap() > 0, "{summary}");
    let kinds = summary["kinds"].as_array().unwrap();
    let all: Vec<String> =
        kinds.iter().map(|it| format!("{} {}", it["mode"], it["backend"])).collect();
    assert!(all.len() == 8 && all.contains(&r#""available" "gossip""#.to_owned()), "{all:?}");
    assert!(!all.contains(&r#""strict" "gossip""#.to_owned()), "{all:?}");
}

#[test]
fn scenario_by_name_ends_with_a_table() {
    let args = ["--scenario", "join", "--backend", "hub", "--seeds", "0..6"];
    let output = sim(&[&args[..], &["--check-determinism"]].concat());
    assert!(output.status.success(), "{output:?}");
    let text = text(&output);
    let heads: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(heads[..3], ["mode", "available", "all"], "{text}");
    assert!(output.stderr.is_empty(), "no progress where there is no terminal: {output:?}");
}

#[test]
fn plan_that_was_printed_runs_the_same_and_tells_of_its_child() {
    let printed = sim(&["--scenario", "chaos", "--backend", "hub", "--seeds", "7", "--print"]);
    assert!(printed.status.success() && text(&printed).starts_with("seed 7\n"), "{printed:?}");
    let (_folder, file) = in_folder("a.plan", &text(&printed));
    let one = sim(&["--plan", path(&file), "--json"]);
    let two = sim(&["--plan", path(&file), "--json"]);
    assert_eq!(events(&one), events(&two));
    assert_eq!(events(&one)[0]["event"], "ran");
    let traced = text(&sim(&["--plan", path(&file), "--trace", "c1"]));
    assert!(traced.contains("Started") && traced.contains("Booted"), "{traced}");
    assert!(!traced.contains("ChildId(\"c2\")"), "{traced}");
    let all = text(&sim(&["--plan", path(&file), "--trace"]));
    assert!(all.len() > traced.len());
}

#[test]
fn plan_that_breaks_a_law_is_told_with_the_command_that_repeats_it() {
    let (_folder, file) = in_folder("broken.plan", BROKEN);
    let output = sim(&["--plan", path(&file)]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = text(&output);
    for words in ["seed 3", "set settle=1ms", "3000 start m1 c0,c1,c2", "Started", "pogo 0."] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let replay = told.lines().find_map(|line| line.strip_prefix("repeat: ")).unwrap();
    let again = Command::new("sh").args(["-c", replay]).output().unwrap();
    assert_eq!(again.status.code(), Some(1), "{replay}");
    assert_eq!(text(&again), told);
}

#[test]
fn plan_is_made_smaller_and_saved_where_asked() {
    let (folder, file) = in_folder("broken.plan", BROKEN);
    let save = folder.path().join("small plans");
    let output = sim(&["--plan", path(&file), "--shrink", "--save", path(&save), "--json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let events = events(&output);
    let violation = events.last().unwrap();
    assert_eq!((&violation["event"], &violation["seed"]), (&"violation".into(), &3.into()));
    assert!(violation["law"].as_str().unwrap().starts_with(['L', 'S']), "{violation}");
    assert!(violation["at_ms"].as_u64().is_some(), "{violation}");
    let saved = fs::read_to_string(violation["file"].as_str().unwrap()).unwrap();
    let first = saved.lines().next().unwrap();
    assert!(first.starts_with("# ") && first.contains(violation["law"].as_str().unwrap()));
    assert!(saved.ends_with(violation["plan"].as_str().unwrap()), "{saved}");
    assert!(!saved.contains("terminate") && saved.contains("start m"), "{saved}");
    let replay = violation["replay"].as_str().unwrap();
    let again = Command::new("sh").args(["-c", replay]).output().unwrap();
    assert_eq!(again.status.code(), Some(1), "{replay}: {again:?}");
}

#[test]
fn coverage_tells_states_and_the_matrix() {
    let args = ["--scenario", "chaos", "--backend", "hub", "--seeds", "0..2", "--coverage"];
    let output = sim(&args);
    assert!(output.status.success(), "{output:?}");
    let table = text(&output);
    assert!(table.contains("  two owners at once\n") && table.contains("cells reached"), "{table}");
    let events = events(&sim(&[&args[..], &["--json"]].concat()));
    assert_eq!(events[0]["event"], "coverage");
    assert!(events[0]["seeds"]["handover completed"].is_u64(), "{events:?}");
}

#[test]
fn time_ends_a_batch_that_has_no_end() {
    let output = sim(&["--scenario", "join", "--backend", "hub", "--minutes", "0.01", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let events = events(&output);
    let summary = events.last().unwrap();
    assert_eq!(summary["ended_early"], true);
    assert!(summary["seeds"].as_u64().unwrap() > 0, "{summary}");
}

/// Once it listens for Ctrl-C, as Linux tells.
#[cfg(target_os = "linux")]
#[test]
fn interrupt_ends_it_with_the_summary_so_far() {
    use std::process::Stdio;

    use crate::agent::process::wait_for;

    const SIGINT: u64 = 1 << 1;
    let process = pogo(&["sim", "--scenario", "join", "--minutes", "10", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", process.id());
    wait_for("a handler of interrupts", || {
        let status = fs::read_to_string(&status).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
        (caught & SIGINT != 0).then_some(())
    });
    let id = process.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let events = events(&output);
    assert_eq!(events.last().unwrap()["event"], "summary");
    assert_eq!(events.last().unwrap()["ended_early"], true);
}

#[test]
fn bad_input_is_refused_with_what_is_wrong() {
    let (_folder, file) = in_folder("no.plan", "seed 1\n5 fly m0\n");
    for (args, words) in [
        (&["--seeds", "5..5"][..], "it is empty"),
        (&["--seeds", "many"], "A..B (without B)"),
        (&["--nodes", "1"], "--nodes must be within 2 and 200"),
        (&["--children", "0..=4"], "--children must be within 1"),
        (&["--seconds", "0"], "--seconds"),
        (&["--minutes", "-1"], "--minutes"),
        (&["--mode", "loose"], "available, quorum, strict"),
        (&["--mode", "strict", "--backend", "gossip"], "no strict children on gossip"),
        (&["--backend", "pigeon"], "hub, store, gossip"),
        (&["--scenario", "doom"], "there are chaos,"),
        (&["--scenario", "chaos", "--nodes", "3"], "cannot be used with"),
        (&["--plan", "not-there.plan"], "cannot read not-there.plan"),
        (&["--plan", path(&file)], "line 2: cannot read \"fly\""),
        (&["--plan", path(&file), "--seeds", "1"], "cannot be used with"),
        (&["--trace", "c1"], "--plan"),
        (&["--jobs", "0"], "--jobs"),
    ] {
        let output = sim(args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(words) && output.stdout.is_empty(), "{args:?}: {said}");
    }
}
