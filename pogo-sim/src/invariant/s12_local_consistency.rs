//! S12: each node's own books agree, by its own check of itself.

use pogo_core::time::Timestamp;

use super::{Law, Violation};
use crate::{fact::Fact, picture::Picture};

#[derive(Debug)]
pub(super) struct LocalConsistency;

impl Law for LocalConsistency {
    fn name(&self) -> &'static str {
        "S12 local consistency"
    }

    fn on_fact(&mut self, _: Timestamp, fact: &Fact, _: &Picture) -> Result<(), Violation> {
        match fact {
            Fact::NodeBroke { host, what } => self.broken(None, format_args!("{host}: {what}")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::handmade::*, *};

    #[test]
    fn node_that_finds_its_books_wrong_breaks_it() {
        let mut world = World::of(LocalConsistency, &["a"]);
        world.starts("a", 1).unwrap();
        let what = "a run and its phase disagree".to_owned();
        assert!(world.see(&Fact::NodeBroke { host: name("a"), what }).is_err());
    }
}
