//! Every example runs to its end and finds what it says it shows.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod conformance;
#[path = "../custom_backend/directory.rs"]
mod directory;
#[path = "../custom_backend/feed.rs"]
mod feed;
#[path = "../custom_backend/files.rs"]
mod files;

use std::{
    env,
    path::PathBuf,
    process::{Command, Output},
};

/// Where cargo has put the example: beside the folder of this test.
fn program(example: &str) -> PathBuf {
    let mut path = env::current_exe().expect("the test has a path");
    path.pop();
    path.pop();
    path.push("examples");
    path.push(format!("{example}{}", env::consts::EXE_SUFFIX));
    path
}

fn run(example: &str) -> String {
    let Output { status, stdout, stderr } =
        Command::new(program(example)).output().expect("`cargo test` has built the example");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{example}: {status}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

#[test]
fn hello_greets_and_says_goodbye() {
    let said = run("hello");
    assert!(said.contains("greeter/world: hello, world, from member here"), "{said}");
    assert!(said.contains("greeter/world: goodbye, world (Terminated)"), "{said}");
}

#[test]
fn service_monitor_runs_each_monitor_once() {
    let said = run("service_monitor");
    assert!(said.contains("127.0.0.1 is up"), "{said}");
    assert!(said.contains("of 6"), "{said}");
    assert!(said.contains("gone on all of them"), "{said}");
}

#[test]
fn custom_backend_keeps_children_when_a_member_leaves() {
    let said = run("custom_backend");
    let on = |member: &str| said.lines().filter(|line| line.ends_with(member)).count();
    assert_eq!(on("runs on right"), 6, "at first or after the other has left: {said}");
    assert!(on("runs on left") > 0, "{said}");
}

#[test]
fn strict_singleton_moves_and_its_old_token_is_refused() {
    let said = run("strict_singleton");
    assert!(said.contains("a write with the old token is refused"), "{said}");
    assert!(said.contains("ash wrote entry") && said.contains("birch wrote entry"), "{said}");
}
