//! L8: whoever folds a node's stream of events has what the node shows (R27), so that a dashboard
//! built on events does not lie.

use std::collections::BTreeMap;

use pogo_core::{
    id::{BootId, ChildId},
    node::{ChildInfo, Event, MemberView},
    time::Timestamp,
};

use super::{Law, Violation};
use crate::rest::Rest;

/// Somebody who reads a node's stream of events from its beginning.
#[derive(Debug, Default)]
pub struct Observer {
    children: BTreeMap<ChildId, ChildInfo>,
    members: BTreeMap<BootId, MemberView>,
}

impl Observer {
    /// Takes an event in.
    pub fn take(&mut self, event: Event) {
        match event {
            Event::Child(info) => drop(self.children.insert(info.id.clone(), info)),
            Event::ChildGone { id } => drop(self.children.remove(&id)),
            Event::Member(view) => drop(self.members.insert(view.id.boot, view)),
            Event::MemberGone { member, .. } => drop(self.members.remove(&member.boot)),
            _ => {}
        }
    }

    /// How what was told differs from what is shown, if it does.
    pub fn difference(&self, children: &[ChildInfo], members: &[MemberView]) -> Option<String> {
        if let Some(child) = children.iter().find(|it| self.children.get(&it.id) != Some(*it)) {
            return Some(format!("shows {child:?}, told {:?}", self.children.get(&child.id)));
        }
        if let Some(member) = members.iter().find(|it| self.members.get(&it.id.boot) != Some(*it)) {
            return Some(format!("shows {member:?}, told {:?}", self.members.get(&member.id.boot)));
        }
        let counts = [children.len(), members.len(), self.children.len(), self.members.len()];
        let [children, members, told, others] = counts;
        (children != told || members != others).then(|| {
            format!("shows {children} children, {members} members, told of {told} and {others}")
        })
    }
}

#[derive(Debug)]
pub(super) struct Events;

impl Law for Events {
    fn name(&self) -> &'static str {
        "L8 events"
    }

    fn at_rest(&mut self, _: Timestamp, rest: &Rest<'_>) -> Result<(), Violation> {
        let lie = rest.nodes.iter().find_map(|(host, node)| Some((host, node.told_else.as_ref()?)));
        match lie {
            Some((host, how)) => self.broken(None, format_args!("{host} {how}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::handmade::*, *};

    #[test]
    fn node_that_shows_what_it_did_not_tell_breaks_it() {
        let mut world = World::of(Events, &["a", "b"]);
        world.rests().unwrap();
        world.nodes.get_mut(&name("b")).unwrap().told_else = Some("shows more".to_owned());
        assert!(world.rests().is_err());
    }

    #[test]
    fn observer_who_was_told_of_a_child_that_is_not_shown_sees_the_difference() {
        let mut observer = Observer::default();
        assert_eq!(observer.difference(&[], &[]), None);
        let info: ChildInfo = serde_json::from_value(serde_json::json!({
            "id": child(), "kind": "sim", "member": null, "endpoint": null,
            "status": { "state": "running" }, "token": null, "restarts": 0, "generation": 1,
            "labels": {},
        }))
        .unwrap();
        assert!(observer.difference(std::slice::from_ref(&info), &[]).is_some());
        observer.take(Event::Child(info.clone()));
        assert_eq!(observer.difference(&[info], &[]), None);
        assert!(observer.difference(&[], &[]).is_some());
        observer.take(Event::ChildGone { id: child() });
        assert_eq!(observer.difference(&[], &[]), None);
    }
}
