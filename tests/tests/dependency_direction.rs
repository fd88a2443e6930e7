//! The shape of the workspace: which crate may use which, and what the pure core must never pull in.
//!
//! An arrow may only point down, and only along the rows of [`LAYERS`]. The table names the crates of later backends
//! too, so that adding one needs no change here, while a crate that nobody thought about fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

const CORE: &[&str] = &["pogo-core"];
const BACKENDS: &[&str] = &[
    "pogo-membership-gossip",
    "pogo-membership-etcd",
    "pogo-membership-redis",
    "pogo-membership-libp2p",
];

/// Every crate that the workspace may have, with the groups of crates that it may use. Highest first.
const LAYERS: &[(&str, &[&[&str]])] = &[
    ("pogo-tests", &[&["pogo-cli", "pogo", "pogo-sim", "pogo-conformance"], BACKENDS, CORE]),
    ("pogo-examples", &[&["pogo", "pogo-sim", "pogo-conformance"], BACKENDS, CORE]),
    ("pogo-cli", &[&["pogo", "pogo-sim"], BACKENDS, CORE]),
    ("pogo", &[BACKENDS, CORE]),
    ("pogo-sim", &[&["pogo-membership-gossip"], CORE]),
    ("pogo-conformance", &[CORE]),
    ("pogo-membership-gossip", &[CORE]),
    ("pogo-membership-etcd", &[CORE]),
    ("pogo-membership-redis", &[CORE]),
    ("pogo-membership-libp2p", &[CORE]),
    ("pogo-core", &[]),
];

/// Test code of a lower crate may also use the suites made for it; nothing that ships does.
const TEST_ONLY: &[&str] = &["pogo-sim", "pogo-conformance"];

/// What the core without `runtime` must not reach: async runtimes, clocks, sources of randomness.
const IMPURE: &[&str] = &[
    "tokio",
    "async-std",
    "smol",
    "mio",
    "socket2",
    "getrandom",
    "rand",
    "rand_core",
    "fastrand",
    "chrono",
    "jiff",
    "time",
    "instant",
    "web-time",
    "quanta",
    "coarsetime",
];

fn workspace() -> Metadata {
    MetadataCommand::new().no_deps().exec().expect("cargo metadata of the workspace")
}

fn allowed(package: &Package) -> BTreeSet<&'static str> {
    let (_, groups) = LAYERS
        .iter()
        .find(|(name, _)| *name == package.name.as_str())
        .unwrap_or_else(|| panic!("{} stands on no layer: give it a row in LAYERS", package.name));
    groups.iter().flat_map(|group| group.iter().copied()).collect()
}

#[test]
fn every_arrow_between_crates_points_down() {
    let metadata = workspace();
    let members: BTreeMap<&str, &Package> = metadata
        .workspace_packages()
        .into_iter()
        .map(|package| (package.name.as_str(), package))
        .collect();
    assert!(members.contains_key("pogo-core"), "no pogo-core among {:?}", members.keys());

    let mut wrong = Vec::new();
    for (name, package) in &members {
        let allowed = allowed(package);
        for dependency in
            package.dependencies.iter().filter(|it| members.contains_key(it.name.as_str()))
        {
            let target = dependency.name.as_str();
            let for_tests =
                dependency.kind == DependencyKind::Development && TEST_ONLY.contains(&target);
            // A crate may name itself to switch on its own features for its tests.
            if !allowed.contains(target) && !for_tests && target != *name {
                wrong.push(format!("{name} -> {target}"));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that do not point down: {wrong:?}");
}

#[test]
fn the_layer_table_itself_has_no_upward_arrow() {
    let rank = |name: &str| LAYERS.iter().position(|(layer, _)| *layer == name).expect("a layer");
    for (name, groups) in LAYERS {
        for target in groups.iter().flat_map(|group| group.iter()) {
            assert!(rank(name) < rank(target), "{name} -> {target} points up in LAYERS");
        }
    }
}

#[test]
fn core_without_runtime_reaches_no_runtime_clock_or_randomness() {
    // `cargo metadata` resolves the features of all members together; only `cargo tree -p` shows this build alone.
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "-p", "pogo-core", "--no-default-features"])
        .args(["-e", "normal", "--target", "all", "--prefix", "none", "--format", "{p}"])
        .current_dir(workspace().workspace_root)
        .output()
        .expect("cargo tree");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));

    let text = String::from_utf8(tree.stdout).expect("cargo tree prints UTF-8");
    let reached: BTreeSet<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(reached.contains("serde"), "cargo tree shows no dependency at all:\n{text}");
    let impure: Vec<_> = IMPURE.iter().filter(|name| reached.contains(*name)).collect();
    assert!(impure.is_empty(), "pogo-core without `runtime` reaches {impure:?}:\n{text}");
}

#[test]
fn every_crate_keeps_the_workspace_lints() {
    for package in workspace().workspace_packages() {
        let manifest =
            std::fs::read_to_string(&package.manifest_path).expect("a readable manifest");
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{} has its own lints",
            package.name
        );
    }
}
