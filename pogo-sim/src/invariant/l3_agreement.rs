//! L3: at rest members agree: on who takes part, on the specs, on every owner; and no child that can
//! be expected to run is between two states.

use std::collections::BTreeSet;

use pogo_core::{id::BootId, time::Timestamp};

use super::{Law, Violation};
use crate::{
    oracle::Oracle,
    picture::Picture,
    rest::{Rest, is_healthy},
};

#[derive(Debug, Default)]
pub(super) struct Agreement;

impl Law for Agreement {
    fn name(&self) -> &'static str {
        "L3 agreement"
    }

    fn may_rest(
        &mut self,
        _now: Timestamp,
        picture: &Picture,
        oracle: &Oracle,
    ) -> Result<(), Violation> {
        let moving = picture.instances.iter().find(|(child, all)| {
            all.iter().any(|one| !one.is_running()) && is_healthy(child, picture, oracle)
        });
        match moving {
            Some((child, all)) => {
                let hosts: Vec<&str> = all.iter().map(|one| one.host.as_str()).collect();
                let hosts = hosts.join(" and ");
                self.broken(Some(child), format_args!("on {hosts} it does not come to rest"))
            }
            None => Ok(()),
        }
    }

    fn at_rest(&mut self, _now: Timestamp, rest: &Rest<'_>) -> Result<(), Violation> {
        let live: BTreeSet<BootId> = rest.picture.hosts.values().map(|host| host.boot).collect();
        let Some((first, example)) = rest.nodes.first_key_value() else { return Ok(()) };
        for (host, node) in &rest.nodes {
            if node.members != live {
                let seen = &node.members;
                return self.broken(None, format_args!("{host} lists {seen:?}, live are {live:?}"));
            }
            if node.view != example.view {
                return self.broken(None, format_args!("views of {host} and {first} differ"));
            }
            if node.cordoned != example.cordoned {
                return self.broken(None, format_args!("cordons by {host} and {first} differ"));
            }
            if node.specs != example.specs {
                return self.broken(None, format_args!("specs of {host} and {first} differ"));
            }
            for (child, known) in &node.known {
                if example.known.get(child) != Some(known) {
                    return self.broken(
                        Some(child),
                        format_args!("{host} and {first} differ in its record or owner"),
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
    use crate::rest::NodeView;

    fn broken_by(change: impl FnOnce(&mut NodeView)) -> bool {
        let mut world = World::of(Agreement, &["a", "b"]);
        world.all_know(Some((stamp(5), true)), "a");
        world.rests().unwrap();
        change(world.nodes.get_mut(&name("b")).unwrap());
        world.rests().is_err()
    }

    #[test]
    fn each_difference_breaks_it() {
        assert!(broken_by(|node| node.members.clear()));
        assert!(broken_by(|node| node.view = 7));
        assert!(broken_by(|node| node.specs = 7));
        assert!(broken_by(|node| node.cordoned = [boot("a")].into()));
        assert!(broken_by(|node| {
            node.known.get_mut(&child()).unwrap().owner = Some(name("b"));
        }));
        assert!(broken_by(|node| node.known.get_mut(&child()).unwrap().record = None));
    }

    #[test]
    fn child_that_starts_or_stops_breaks_it() {
        let mut world = World::of(Agreement, &["a"]);
        world.starts("a", 1).unwrap();
        assert!(world.rests().is_err());
        world.readies("a", 1).unwrap();
        world.all_know(None, "a");
        world.rests().unwrap();
        world.stops("a", 1).unwrap();
        assert!(world.rests().is_err());
    }

    #[test]
    fn dead_member_that_all_still_list_breaks_it() {
        let mut world = World::of(Agreement, &["a", "b"]);
        world.all_know(None, "a");
        world.crashes("b");
        assert!(world.rests().is_err());
    }
}
