//! The prose keeps up with the code: what it names is there, and every rule that the code cites is explained.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const PAGES: &[&str] =
    &["README.md", "ARCHITECTURE.md", "ALGORITHM.md", "CONTRIBUTING.md", "CHANGELOG.md"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The texts between `open` and `close`, within one line.
fn between<'a>(text: &'a str, open: &'a str, close: char) -> impl Iterator<Item = &'a str> {
    text.lines().flat_map(move |line| {
        line.split(open).skip(1).filter_map(move |rest| rest.split(close).next())
    })
}

fn source_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            source_files(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
}

/// `R` and `S` with a number, as in `R6` or `S13`, where they stand as words of their own.
fn cited(text: &str, letter: char) -> BTreeSet<u32> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter_map(|word| word.strip_prefix(letter)?.parse().ok())
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    for name in PAGES {
        let text = page(name);
        let headings: BTreeSet<String> = text
            .lines()
            .filter(|line| line.starts_with('#'))
            .map(|line| {
                let title = line.trim_start_matches('#').trim().to_lowercase();
                title
                    .chars()
                    .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                    .collect::<String>()
            })
            .map(|title| title.replace(' ', "-"))
            .collect();
        for target in between(&text, "](", ')').filter(|it| !it.starts_with("http")) {
            let found = match target.strip_prefix('#') {
                Some(heading) => headings.contains(heading),
                None => root().join(target).exists(),
            };
            assert!(found, "{name} links to {target}, which is not there");
        }
    }
}

#[test]
fn every_file_that_the_pages_name_exists() {
    let mut checked = 0;
    for name in PAGES {
        let text = page(name);
        let mut inline: Vec<&str> =
            text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect();
        inline.retain(|it| it.contains('/') && !it.contains([' ', '<', '*', ':', '(']));
        inline.retain(|it| root().join(it.split('/').next().unwrap_or_default()).is_dir());
        for path in inline {
            assert!(root().join(path).exists(), "{name} names {path}, which is not there");
            checked += 1;
        }
    }
    assert!(
        checked > 20,
        "only {checked} paths found: is the table of files still in ARCHITECTURE.md?"
    );
}

#[test]
fn every_rule_that_the_code_cites_is_explained() {
    let algorithm = page("ALGORITHM.md");
    let explained: BTreeSet<u32> =
        between(&algorithm, "**R", ' ').filter_map(|it| it.parse().ok()).collect();
    assert_eq!(explained, (1..=27).collect(), "rules that ALGORITHM.md explains");

    let mut files = Vec::new();
    for folder in ["pogo-core", "pogo", "pogo-sim", "pogo-cli", "examples", "tests"] {
        source_files(&root().join(folder), &mut files);
    }
    assert!(files.len() > 20, "only {} source files found", files.len());
    for file in files {
        let text = std::fs::read_to_string(&file).expect("UTF-8 source");
        let unknown: Vec<_> = cited(&text, 'R').difference(&explained).copied().collect();
        assert!(unknown.is_empty(), "{} cites {unknown:?}, which are no rules", file.display());
    }
}
