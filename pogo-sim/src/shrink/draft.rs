//! The text of a plan, in pieces that can be left out.

use std::collections::BTreeSet;

use crate::plan::{Options, Plan};

/// A plan in pieces. What it says may not be a plan any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Draft {
    seed: u64,
    /// What belongs to the harness: with less time to come to rest, any plan breaks a law.
    kept: Vec<String>,
    /// `key=value`, those alone that are not the default ones.
    pub(super) options: Vec<String>,
    pub(super) lines: Vec<Line>,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// When, in milliseconds since the start.
    pub(super) at: u64,
    pub(super) words: Vec<String>,
}

impl Draft {
    pub(super) fn new(plan: &Plan) -> Self {
        let default = Options::default().to_string();
        let default: BTreeSet<&str> = default.lines().collect();
        let text = plan.options.to_string();
        let options = text
            .lines()
            .filter(|line| !default.contains(line))
            .filter_map(|line| line.strip_prefix("set ").map(str::to_owned));
        let is_kept =
            |option: &String| ["settle=", "quiet="].iter().any(|it| option.starts_with(it));
        let (kept, options) = options.partition(is_kept);
        let lines = plan.ops.iter().map(|(at, op)| Line {
            at: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            words: op.to_string().split_whitespace().map(str::to_owned).collect(),
        });
        let mut draft = Self { seed: plan.seed, kept, options, lines: lines.collect() };
        draft.lines.sort_by_key(|line| line.at);
        draft
    }

    /// The plan that it says, if it says one.
    pub(super) fn plan(&self) -> Option<Plan> {
        let seed = format!("seed {}", self.seed);
        let options = self.kept.iter().chain(&self.options);
        let options = options.map(|option| format!("set {option}"));
        let lines = self.lines.iter().map(|line| format!("{} {}", line.at, line.words.join(" ")));
        let all: Vec<String> = std::iter::once(seed).chain(options).chain(lines).collect();
        all.join("\n").parse().ok()
    }

    /// What the operations are about: every word, or part of a list, that ends in a number as the
    /// names of members and children do.
    pub(super) fn names(&self) -> BTreeSet<String> {
        let words = self.lines.iter().flat_map(|line| &line.words);
        words
            .flat_map(|word| word.split([',', '|']))
            .filter(|it| is_name(it))
            .map(str::to_owned)
            .collect()
    }

    /// Without these names: they leave the lists in which they stand, and an operation that is
    /// about one of them alone goes.
    pub(super) fn without(&self, gone: &BTreeSet<&str>) -> Self {
        let lines = self.lines.iter().filter_map(|line| {
            let words = line.words.iter().map(|word| drop_from_list(word, gone));
            Some(Line { at: line.at, words: words.collect::<Option<_>>()? })
        });
        Self { lines: lines.collect(), ..self.clone() }
    }

    /// With `other` wherever `name` is.
    pub(super) fn renamed(&self, name: &str, other: &str) -> Self {
        let mut draft = self.clone();
        for word in draft.lines.iter_mut().flat_map(|line| &mut line.words) {
            if word == name {
                other.clone_into(word);
            }
        }
        draft
    }

    pub(super) fn with_line(&self, at: usize, line: Line) -> Self {
        let mut draft = self.clone();
        if let Some(old) = draft.lines.get_mut(at) {
            *old = line;
        }
        draft
    }

    /// Everything in half the time.
    pub(super) fn halved(&self) -> Self {
        let mut draft = self.clone();
        for line in &mut draft.lines {
            line.at /= 2;
        }
        draft
    }

    /// The operation and all that follow come after half the pause before it.
    pub(super) fn sooner(&self, at: usize) -> Self {
        let mut draft = self.clone();
        let before = at.checked_sub(1).and_then(|at| self.lines.get(at)).map_or(0, |it| it.at);
        let pause = self.lines.get(at).map_or(0, |line| line.at.saturating_sub(before));
        for line in draft.lines.iter_mut().skip(at) {
            line.at -= pause.div_ceil(2);
        }
        draft
    }

    /// With half of an option that is a number or a time; none where it cannot be halved.
    pub(super) fn with_half_option(&self, at: usize) -> Option<Self> {
        let option = self.options.get(at)?;
        let (key, value) = option.split_once('=')?;
        let halved = halve(value)?;
        let mut draft = self.clone();
        *draft.options.get_mut(at)? = format!("{key}={halved}");
        Some(draft)
    }
}

impl Line {
    pub(super) fn without_word(&self, at: usize) -> Self {
        let mut line = self.clone();
        line.words.remove(at);
        line
    }

    /// With half of the number or time in a word; none where it cannot be halved.
    pub(super) fn halved(&self, at: usize) -> Option<Self> {
        let word = self.words.get(at)?;
        // `start=fail:20ms`, `20ms`.
        let from = word.rfind(['=', ':']).map_or(0, |at| at + 1);
        let (head, value) = word.split_at_checked(from)?;
        let halved = halve(value)?;
        let mut line = self.clone();
        *line.words.get_mut(at)? = format!("{head}{halved}");
        Some(line)
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.ends_with(|c: char| c.is_ascii_digit())
        && !word.contains(['=', ':'])
}

/// A name without its number: the same for all members, and for all children.
pub(super) fn stem(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit())
}

/// The word without these names; nothing where no name is left of it, or on one side of a link.
fn drop_from_list(word: &str, gone: &BTreeSet<&str>) -> Option<String> {
    let sides = word.split('>').map(|side| drop_from_groups(side, gone));
    Some(sides.collect::<Option<Vec<_>>>()?.join(">"))
}

fn drop_from_groups(word: &str, gone: &BTreeSet<&str>) -> Option<String> {
    let groups = word.split('|').map(|group| {
        let names: Vec<&str> = group.split(',').filter(|name| !gone.contains(name)).collect();
        names.join(",")
    });
    let left: Vec<String> = groups.filter(|group| !group.is_empty()).collect();
    if left.is_empty() { None } else { Some(left.join("|")) }
}

/// Half of a number, with its sign and with or without `ms`; none where nothing is left to halve.
fn halve(value: &str) -> Option<String> {
    let digits = value.find(|c: char| c.is_ascii_digit())?;
    let (sign, rest) = value.split_at_checked(digits)?;
    let (number, unit) = rest.strip_suffix("ms").map_or((rest, ""), |number| (number, "ms"));
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    Some(format!("{sign}{}{unit}", number / 2))
}
