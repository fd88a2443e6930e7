//! What becomes of a plan that broke a law: it is made smaller, saved, and reported.

use std::{
    env, fs, io, panic,
    path::{Path, PathBuf},
    time::Instant,
};

use pogo_sim::{
    runner::{Failure, PANIC},
    shrink,
};

use super::Build;

/// How failing plans are dealt with.
#[derive(Debug)]
pub(super) struct Failing {
    pub(super) folder: PathBuf,
    pub(super) shrinks: bool,
    /// What is to be added to a command line to have clusters of the same sizes.
    pub(super) sizes: String,
    pub(super) build: Build,
}

/// A violation as it is told.
#[derive(Debug)]
pub(super) struct Report {
    /// The failure of the plan that is shown.
    pub(super) shown: Failure,
    /// Whether it is told in full.
    pub(super) is_full: bool,
    /// Operations before and after it was made smaller.
    pub(super) shrunk: Option<(usize, usize)>,
    /// Where its plan is, or why it is nowhere.
    pub(super) saved: Result<PathBuf, (PathBuf, io::Error)>,
    /// The one command that repeats it.
    pub(super) replay: String,
    /// Which Pogo it is.
    pub(super) build: Build,
}

impl Failing {
    /// Saves the plan and says how to repeat it.
    pub(super) fn keep(&self, failure: &Failure, small: Option<Failure>, is_full: bool) -> Report {
        let shrunk = small.as_ref().map(|small| (failure.plan.ops.len(), small.plan.ops.len()));
        let shown = small.unwrap_or_else(|| failure.clone());
        let saved = save(&self.folder, &shown);
        let by_file = saved.as_ref().ok().filter(|_| shown.is_in_plan());
        let args = match by_file {
            Some(file) => plan_args(file),
            None => format!("{}{}", failure.seed_args(), self.sizes),
        };
        Report { shown, is_full, shrunk, saved, replay: command(&args), build: self.build }
    }

    /// A plan that is in a file.
    pub(super) fn known(&self, shown: Failure, file: PathBuf) -> Report {
        let replay = command(&plan_args(&file));
        Report { shown, is_full: true, shrunk: None, saved: Ok(file), replay, build: self.build }
    }
}

/// A smaller plan with the same fault, found in the time that is allowed for it.
pub(super) fn make_small(failure: &Failure, ends: &mut dyn FnMut() -> bool) -> Option<Failure> {
    let until = Instant::now() + shrink::BUDGET;
    let silence = failure.violation.law == PANIC;
    // Else the same panic is told for each plan that is tried.
    let hook = silence.then(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(|_| {}));
        hook
    });
    let small = failure.shrunk(&mut || ends() || until <= Instant::now());
    if let Some(hook) = hook {
        panic::set_hook(hook);
    }
    small
}

fn plan_args(file: &Path) -> String {
    format!("--plan {}", quoted(file))
}

/// This very program, with other arguments.
fn command(args: &str) -> String {
    let program = env::args().next().unwrap_or_else(|| "pogo".to_owned());
    format!("{} sim {args}", quoted(Path::new(&program)))
}

fn save(folder: &Path, failure: &Failure) -> Result<PathBuf, (PathBuf, io::Error)> {
    let file = folder.join(failure.file_name());
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&file, failure.file_text()));
    match written {
        Ok(()) => Ok(file),
        Err(error) => Err((file, error)),
    }
}

/// As a shell reads it as one word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:=@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_where_a_shell_would_split_them() {
        assert_eq!(quoted(Path::new("target/a-b_1.plan")), "target/a-b_1.plan");
        assert_eq!(quoted(Path::new("my plans/it's")), r"'my plans/it'\''s'");
    }
}
