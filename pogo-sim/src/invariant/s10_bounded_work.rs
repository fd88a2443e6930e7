//! S10: what a node does in a second is bounded by what it was told and by the children there are;
//! at rest it is bounded by a number that does not depend on them.

use std::{collections::BTreeMap, time::Duration};

use pogo_core::{id::MemberName, time::Timestamp};

use super::{Law, Violation};
use crate::{fact::Fact, picture::Picture};

/// Effects of a node in a second, beside some for each input and each child.
const EFFECTS: u64 = 2_048;
const EACH_INPUT: u64 = 16;
const EACH_CHILD: u64 = 32;
/// Inputs of a node in a second of rest, beside its own regular looks.
const AT_REST: u64 = 48;

/// What a node did in a second.
#[derive(Debug, Default)]
struct Second {
    at: u64,
    inputs: u64,
    effects: u64,
}

#[derive(Debug)]
pub(super) struct BoundedWork {
    looks: u64,
    rests: bool,
    children: u64,
    seconds: BTreeMap<MemberName, Second>,
}

impl BoundedWork {
    /// A node looks at a slice of its children each `sync`, and at its lease several times in `window`.
    pub(super) fn new(sync: Duration, window: Duration) -> Self {
        let each_second =
            |every: Duration| 1_000 / u64::try_from(every.as_millis().max(1)).unwrap_or(1);
        let looks = 2 * each_second(sync) + 2 * each_second(window / 8);
        Self { looks, rests: false, children: 0, seconds: BTreeMap::new() }
    }
}

impl Law for BoundedWork {
    fn name(&self) -> &'static str {
        "S10 bounded work"
    }

    fn on_fact(&mut self, now: Timestamp, fact: &Fact, picture: &Picture) -> Result<(), Violation> {
        if let Fact::Phase(phase) = fact {
            self.rests = *phase == "quiet" && picture.failures.is_empty();
            self.seconds.clear();
        }
        let Fact::Handled { host, outputs, .. } = fact else { return Ok(()) };
        let at = now.as_nanos() / 1_000_000_000;
        self.children =
            self.children.max(picture.last.len() as u64 + picture.instances.len() as u64);
        if !self.seconds.contains_key(host) {
            self.seconds.insert(host.clone(), Second::default());
        }
        let Some(second) = self.seconds.get_mut(host) else { return Ok(()) };
        if second.at != at {
            *second = Second { at, ..Second::default() };
        }
        second.inputs += 1;
        second.effects += *outputs as u64;
        let (inputs, effects) = (second.inputs, second.effects);
        if effects > EFFECTS + EACH_INPUT * inputs + EACH_CHILD * self.children {
            let what = format_args!("{host} had {effects} effects of {inputs} inputs in a second");
            return self.broken(None, what);
        }
        if self.rests && inputs > AT_REST + self.looks {
            return self
                .broken(None, format_args!("{host} took {inputs} inputs in a second of rest"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::handmade::*, *};

    fn world() -> World<BoundedWork> {
        let second = Duration::from_secs(1);
        World::of(BoundedWork::new(second, second * 8), &["a"])
    }

    fn took(outputs: usize) -> Fact {
        Fact::Handled { host: name("a"), input: "answer", outputs, next: None }
    }

    #[test]
    fn effects_without_bound_break_it() {
        let mut world = world();
        assert!((0..1_000).any(|_| world.see(&took(100)).is_err()));
        let mut world = self::world();
        for second in 0..1_000 {
            world.at(second);
            world.see(&took(100)).unwrap();
        }
    }

    #[test]
    fn busy_node_at_rest_breaks_it() {
        let mut world = world();
        let busy = |world: &mut World<BoundedWork>| (0..100).all(|_| world.see(&took(0)).is_ok());
        assert!(busy(&mut world));
        world.see(&Fact::Phase("quiet")).unwrap();
        assert!(!busy(&mut world));
    }
}
