//! S17: time advances: no node is woken for ever at one moment, and no input has effects without
//! bound.

use std::collections::BTreeMap;

use pogo_core::{id::MemberName, time::Timestamp};

use super::{Law, Violation};
use crate::{fact::Fact, picture::Picture};

/// Time-outs of one node at one moment.
const WAKE_UPS: u32 = 32;
/// Inputs of any kind of one node at one moment; where the way to the backend takes no time, all
/// of a burst may fall on one.
const INPUTS: u32 = 4_096;
/// Effects of one input, beside some for each child in the cluster.
const OUTPUTS: usize = 2_048;
const OUTPUTS_PER_CHILD: usize = 16;

/// What one node took at one moment.
#[derive(Debug, Default)]
struct Moment {
    at: Timestamp,
    inputs: u32,
    wake_ups: u32,
}

#[derive(Debug, Default)]
pub(super) struct TimeAdvances {
    moments: BTreeMap<MemberName, Moment>,
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
        if !self.moments.contains_key(host) {
            self.moments.insert(host.clone(), Moment::default());
        }
        let Some(moment) = self.moments.get_mut(host) else { return Ok(()) };
        if moment.at != now {
            *moment = Moment { at: now, ..Moment::default() };
        }
        moment.inputs += 1;
        moment.wake_ups += u32::from(*input == "timeout");
        if moment.wake_ups > WAKE_UPS || moment.inputs > INPUTS {
            return self.broken(None, format_args!("{host} takes {input} again and again"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::handmade::*, *};

    fn took(input: &'static str, outputs: usize) -> Fact {
        Fact::Handled { host: name("a"), input, outputs, next: None }
    }

    #[test]
    fn node_that_spins_breaks_it() {
        let mut world = World::of(TimeAdvances::default(), &["a"]);
        for second in 0..100 {
            world.at(second);
            world.see(&took("timeout", 0)).unwrap();
        }
        assert!((0..WAKE_UPS).any(|_| world.see(&took("timeout", 0)).is_err()));
        world.at(200);
        assert!((0..=INPUTS).any(|_| world.see(&took("answer", 0)).is_err()));
    }

    #[test]
    fn effects_without_bound_break_it() {
        let mut world = World::of(TimeAdvances::default(), &["a"]);
        world.see(&took("timeout", OUTPUTS)).unwrap();
        assert!(world.see(&took("timeout", OUTPUTS + 1)).is_err());
        world.starts("a", 1).unwrap();
        world.see(&took("timeout", OUTPUTS + 1)).unwrap();
    }
}
