//! L4: where the backend lost its data, the specs that a live member holds come back: that member
//! writes them back (R15), unless it ends before. One that never comes back to the backend, as it may
//! be outside of the core for ever, writes nothing back.

use std::collections::BTreeMap;

use pogo_core::{
    id::{BootId, ChildId},
    record::Stamp,
    time::Timestamp,
};

use super::{Law, Violation};
use crate::{fact::Fact, picture::Picture, rest::Rest};

#[derive(Debug, Default)]
pub(super) struct DataLoss {
    /// What each process held when the backend lost it.
    held: BTreeMap<(ChildId, BootId), Stamp>,
}

impl DataLoss {
    fn ended(&mut self, boot: Option<BootId>) {
        self.held.retain(|(_, holder), _| Some(*holder) != boot);
    }
}

impl Law for DataLoss {
    fn name(&self) -> &'static str {
        "L4 data loss"
    }

    fn on_fact(&mut self, _: Timestamp, fact: &Fact, picture: &Picture) -> Result<(), Violation> {
        match fact {
            Fact::DataLost { held } => {
                for (child, boot, stamp) in held {
                    self.held.insert((child.clone(), *boot), *stamp);
                }
            }
            Fact::Crashed { host, .. } | Fact::Stopped { host } if !self.held.is_empty() => {
                self.ended(picture.hosts.get(host).map(|host| host.boot));
            }
            _ => {}
        }
        Ok(())
    }

    fn at_rest(&mut self, _: Timestamp, rest: &Rest<'_>) -> Result<(), Violation> {
        let is_back = |holder: &BootId| {
            let hosts = rest.nodes.keys().filter_map(|host| rest.picture.hosts.get(host));
            hosts.into_iter().any(|host| host.boot == *holder)
        };
        for ((child, holder), stamp) in self.held.iter().filter(|((_, by), _)| is_back(by)) {
            for (host, node) in &rest.nodes {
                let record = node.known.get(child).and_then(|known| known.record);
                if record.map(|(known, _)| known) < Some(*stamp) {
                    return self.broken(
                        Some(child),
                        format_args!("{host} knows {record:?}, {holder:?} had {stamp:?}"),
                    );
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::handmade::*, *};

    fn lost() -> World<DataLoss> {
        let mut world = World::of(DataLoss::default(), &["a", "b"]);
        world.see(&Fact::DataLost { held: vec![(child(), boot("a"), stamp(5))] }).unwrap();
        world
    }

    #[test]
    fn spec_that_a_live_member_held_and_nobody_knows_breaks_it() {
        let mut world = lost();
        world.all_know(Some((stamp(5), true)), "a");
        world.rests().unwrap();
        world.all_know(None, "a");
        assert!(world.rests().is_err());
        world.all_know(Some((stamp(4), true)), "a");
        assert!(world.rests().is_err());
    }

    #[test]
    fn spec_whose_holders_all_ended_may_be_lost() {
        let mut world = lost();
        world.all_know(None, "a");
        world.crashes("a");
        world.rests().unwrap();
    }
}
