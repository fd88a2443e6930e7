//! `pogo bench` as a process, which starts agents as processes.

use std::process::Output;

use serde_json::Value;

use crate::{agent::process::pogo, one_cluster};

fn bench(args: &[&str]) -> Output {
    pogo(&["bench"]).args(args).output().unwrap()
}

/// The trials of a bench that must keep every promise.
fn trials(args: &[&str]) -> Vec<Value> {
    let _alone = one_cluster();
    let output = bench(&[args, &["--json"]].concat());
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    let trials: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!trials.is_empty());
    for trial in &trials {
        assert_eq!((&trial["lost"], &trial["duplicates"]), (&0.into(), &0.into()), "{trial}");
        assert_eq!(trial["backend"], "gossip");
    }
    trials
}

fn figure(trial: &Value, name: &str) -> f64 {
    trial[name].as_f64().unwrap_or_else(|| panic!("{name} in {trial}"))
}

#[test]
fn start_tells_when_all_ran_and_when_all_saw_it() {
    let trials = trials(&["--scenario", "start", "--children", "60", "--trials", "2"]);
    assert_eq!(trials.len(), 2);
    for (trial, number) in trials.iter().zip(1..) {
        assert_eq!(trial["trial"], number);
        assert_eq!((&trial["nodes"], &trial["children"]), (&3.into(), &60.into()));
        assert!(figure(trial, "all_running_ms") > 0.0, "{trial}");
        assert!(figure(trial, "all_visible_ms") > 0.0, "{trial}");
        assert!(figure(trial, "list_ms") > 0.0, "{trial}");
        assert_eq!(trial.get("moved"), None, "it does not apply");
    }
}

#[test]
fn idle_tells_what_an_agent_uses() {
    let trials =
        trials(&["--scenario", "idle", "--children", "60", "--trials", "1", "--for", "2s"]);
    let [trial] = &trials[..] else { panic!("{trials:?}") };
    assert!((0.0..100.0).contains(&figure(trial, "cpu_percent_per_node")), "{trial}");
    assert!((1.0..500.0).contains(&figure(trial, "rss_mb_per_node")), "{trial}");
    assert!((1.0..1e6).contains(&figure(trial, "bytes_per_s_per_node")), "{trial}");
    assert!((1.0..1e6).contains(&figure(trial, "received_bytes_per_s_per_node")), "{trial}");
    assert_eq!(trial.get("messages_per_s_per_node"), None, "only stores count them");
}

#[test]
fn idle_needs_no_children() {
    let trials = trials(&["--scenario", "idle", "--children", "0", "--trials", "1", "--for", "1s"]);
    assert!((1.0..1e6).contains(&figure(&trials[0], "bytes_per_s_per_node")), "{trials:?}");
}

// The next three are shares of what the README names in full.

#[test]
fn no_child_is_lost_or_doubled_when_one_of_three_processes_is_killed() {
    for trial in trials(&["--scenario", "failover", "--children", "1000", "--trials", "3"]) {
        let (detected, all_running) =
            (figure(&trial, "detected_ms"), figure(&trial, "all_running_ms"));
        assert!(0.0 < detected && detected <= all_running, "{trial}");
        assert!(figure(&trial, "max_gap_ms") <= all_running, "{trial}");
        assert!(figure(&trial, "restarting_ms") <= all_running - detected + 0.01, "{trial}");
    }
}

#[test]
fn acknowledged_starts_outlive_the_process_that_took_them() {
    for trial in trials(&["--scenario", "acknowledged", "--children", "1000", "--trials", "3"]) {
        assert!(figure(&trial, "all_running_ms") > 0.0, "{trial}");
    }
}

#[test]
fn only_the_newcomer_gains_by_a_join() {
    for trial in trials(&["--scenario", "join", "--children", "1000", "--trials", "5"]) {
        assert_eq!(trial["moved"], trial["moved_minimum"], "{trial}");
        assert!(figure(&trial, "moved") > 200.0, "{trial}");
    }
}

#[test]
fn table_for_people_ends_with_medians() {
    let _alone = one_cluster();
    let output =
        bench(&["--scenario", "start", "--nodes", "1", "--children", "9", "--trials", "1"]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(text.starts_with("start on gossip: 1 agents, 9 children\n"), "{text}");
    let heads: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(heads, ["start", "trial", "1", "median", "worst"], "{text}");
    assert!(text.contains("all_running_ms"), "{text}");
}

#[test]
fn bench_that_cannot_be_is_refused() {
    for (args, words) in [
        (&["--scenario", "heal"][..], "heal is not there yet"),
        (&["--scenario", "rest"], "invalid value 'rest' for '--scenario"),
        (&["--scenario", "join", "--nodes", "1"], "needs --nodes 2 at least"),
        (&["--scenario", "idle", "--for", "10ms"], "--for must be 1s at least"),
        (&["--scenario", "start", "--children", "0"], "needs --children 1 at least"),
        (&["--scenario", "start", "--backend", "memory://x"], "all in one process"),
        (&["--scenario", "start", "--backend", "gossip://127.0.0.1:7946"], "port 0"),
        (&["--scenario", "start", "--backend", "carrier://pigeon"], "\"carrier\""),
        (&["--scenario", "start", "--backend", "gossip://127.0.0.1:0?colour=blue"], "\"colour\""),
    ] {
        let output = bench(args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(words) && output.stdout.is_empty(), "{args:?}: {said}");
    }
}
