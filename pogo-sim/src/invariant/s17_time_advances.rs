//! S17: time advances: no node is woken for ever at one moment, and no input has effects without
//! bound.

use std::collections::BTreeMap;

use pogo_core::{id::MemberName, time::Timestamp};

use super::{Law, Violation};
use crate::{fact::Fact, picture::Picture};

/// Time-outs of one node at one moment.
const WAKE_UPS: u32 = 32;
/// Effects of one input, beside some for each child in the cluster.
const OUTPUTS: usize = 2_048;
const OUTPUTS_PER_CHILD: usize = 16;

#[derive(Debug, Default)]
pub(super) struct TimeAdvances {
    wake_ups: BTreeMap<MemberName, (Timestamp, u32)>,
    children: usize,
}

impl Law for TimeAdvances {
    fn name(&self) -> &'static str {
        "S17 time advances"
    }

    fn on_fact(&mut self, now: Timestamp, fact: &Fact, picture: &Picture) -> Result<(), Violation> {
        let Fact::Handled { host, input, outputs, .. } = fact else { return Ok(()) };
        self.children = self.children.max(picture.instances.len() + picture.last.len());
        if *outputs > OUTPUTS + OUTPUTS_PER_CHILD * self.children {
            return self.broken(None, format_args!("{host}: {input} had {outputs} effects"));
        }
        if *input != "timeout" {
            return Ok(());
        }
        let (at, count) = self.wake_ups.entry(host.clone()).or_insert((now, 0));
        if *at == now {
            *count += 1;
        } else {
            (*at, *count) = (now, 1);
        }
        if *count > WAKE_UPS {
            return self.broken(None, format_args!("{host} is woken again and again"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::handmade::*, *};

    fn handled(outputs: usize) -> Fact {
        Fact::Handled { host: name("a"), input: "timeout", outputs, next: None }
    }

    #[test]
    fn node_that_spins_breaks_it() {
        let mut world = World::of(TimeAdvances::default(), &["a"]);
        for second in 0..100 {
            world.at(second);
            world.see(&handled(0)).unwrap();
        }
        assert!((0..WAKE_UPS).any(|_| world.see(&handled(0)).is_err()));
    }

    #[test]
    fn effects_without_bound_break_it() {
        let mut world = World::of(TimeAdvances::default(), &["a"]);
        world.see(&handled(OUTPUTS)).unwrap();
        assert!(world.see(&handled(OUTPUTS + 1)).is_err());
        world.starts("a", 1).unwrap();
        world.see(&handled(OUTPUTS + 1)).unwrap();
    }
}
