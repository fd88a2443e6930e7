//! S11: nobody goes back: a feed never tells of a member under a lower incarnation than before, and a
//! node never knows an older record of a child than it has known.

use std::collections::BTreeMap;

use pogo_core::{
    id::{BootId, ChildId, Incarnation},
    record::Stamp,
    time::Timestamp,
};

use super::{Law, Violation};
use crate::{fact::Fact, picture::Picture, rest::Rest};

#[derive(Debug, Default)]
pub(super) struct Monotone {
    /// What each process was told of each.
    told: BTreeMap<(BootId, BootId), Incarnation>,
    /// What each process knew when the cluster was last at rest.
    known: BTreeMap<(BootId, ChildId), Stamp>,
}

impl Law for Monotone {
    fn name(&self) -> &'static str {
        "S11 monotone"
    }

    fn on_fact(&mut self, _: Timestamp, fact: &Fact, picture: &Picture) -> Result<(), Violation> {
        let Fact::Sees { host, boot, incarnation, status: Some(_) } = fact else { return Ok(()) };
        let Some(reader) = picture.hosts.get(host) else { return Ok(()) };
        let before = self.told.insert((reader.boot, *boot), *incarnation);
        match before {
            Some(before) if *incarnation < before => self.broken(
                None,
                format_args!("{host} is told of {boot:?} as {incarnation}, it was {before}"),
            ),
            _ => Ok(()),
        }
    }

    fn at_rest(&mut self, _: Timestamp, rest: &Rest<'_>) -> Result<(), Violation> {
        for (host, node) in &rest.nodes {
            let Some(boot) = rest.picture.hosts.get(host).map(|host| host.boot) else { continue };
            for (child, known) in &node.known {
                let Some((stamp, _)) = known.record else { continue };
                let before = self.known.insert((boot, child.clone()), stamp);
                if before > Some(stamp) {
                    return self.broken(
                        Some(child),
                        format_args!("{host} knows {stamp:?}, it knew {before:?}"),
                    );
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use pogo_core::membership::MemberStatus;

    use super::{super::handmade::*, *};

    #[test]
    fn older_incarnation_after_a_newer_one_breaks_it() {
        let mut world = World::of(Monotone::default(), &["a", "b"]);
        let told = |number| Fact::Sees {
            host: name("a"),
            boot: boot("b"),
            incarnation: Incarnation::new(number),
            status: Some(MemberStatus::Active),
        };
        world.see(&told(3)).unwrap();
        world.see(&told(3)).unwrap();
        assert!(world.see(&told(2)).is_err());
    }

    #[test]
    fn older_record_after_a_newer_one_breaks_it() {
        let mut world = World::of(Monotone::default(), &["a", "b"]);
        world.all_know(Some((stamp(5), true)), "a");
        world.rests().unwrap();
        world.all_know(Some((stamp(4), true)), "a");
        assert!(world.rests().is_err());
        world.all_know(Some((stamp(6), false)), "a");
        world.rests().unwrap();
    }
}
