//! B0: the backend keeps the contract that every other law builds on; its model, or the real
//! engine, says where it does not.

use pogo_core::time::Timestamp;

use super::{Law, Violation};
use crate::{fact::Fact, picture::Picture};

#[derive(Debug)]
pub(super) struct BackendContract;

impl Law for BackendContract {
    fn name(&self) -> &'static str {
        "B0 the backend keeps its contract"
    }

    fn on_fact(&mut self, _: Timestamp, fact: &Fact, _: &Picture) -> Result<(), Violation> {
        match fact {
            Fact::BackendBroke { host, what } => self.broken(None, format_args!("{host}: {what}")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::handmade::*, *};

    #[test]
    fn backend_that_breaks_its_word_breaks_it() {
        let mut world = World::of(BackendContract, &["a"]);
        world.starts("a", 1).unwrap();
        let what = "two answers to one request".to_owned();
        assert!(world.see(&Fact::BackendBroke { host: name("a"), what }).is_err());
    }
}
