//! The feeds of a hub: when each is read, and when the hub's own deadline comes.

use pogo_core::id::MemberName;

use super::{
    World,
    agenda::{Happening, Process},
    backend::{Backend, HubBackend},
};

impl World {
    /// Gives a node its events that are due. Whatever else has fallen due in the backend happens
    /// with that.
    pub(super) fn deliver(&mut self, process: &Process) {
        let now = self.now;
        if let Some(up) = self.current(process) {
            up.delivers_at = None;
        }
        while let Some(session) = self.current(process).and_then(|up| up.session) {
            let Some(event) = self.hub().and_then(|hub| hub.poll_event(now, session)) else {
                break;
            };
            self.take_event(&process.host, event);
        }
        self.watch_feed(&process.host);
    }

    /// Schedules the delivery of what the backend has for each member, and its own deadline, where
    /// something has happened to it.
    ///
    /// Nobody in the cluster means nobody to tell: the deadline waits until somebody joins.
    pub(super) fn watch_feeds(&mut self) {
        if !self.hub().is_some_and(HubBackend::take_changed) {
            return;
        }
        let names: Vec<MemberName> = self.hosts.keys().cloned().collect();
        let mut has_reader = false;
        for name in &names {
            has_reader |= self.watch_feed(name);
        }
        let now = self.now;
        if has_reader && let Some(due) = self.hub().and_then(|hub| hub.new_deadline(now)) {
            self.agenda.add(due, Happening::HubTimeout);
        }
    }

    /// Schedules the delivery of what the backend has for a member; answers whether it reads.
    fn watch_feed(&mut self, name: &MemberName) -> bool {
        let Backend::Hub(hub) = &self.backend else { return false };
        let Some(host) = self.hosts.get_mut(name) else { return false };
        let start = host.starts;
        let Some(up) = &mut host.up else { return false };
        let Some(session) = up.session else { return false };
        let due = hub.next_event_at(session).map(|due| due.max(self.now));
        if let Some(due) = due.filter(|due| up.delivers_at.is_none_or(|at| *due < at)) {
            up.delivers_at = Some(due);
            let process = Process { host: name.clone(), start };
            self.agenda.add(due, Happening::Deliver(process));
        }
        true
    }

    /// The hub does what has fallen due whenever a member reads its feed.
    pub(super) fn hub_timeout(&mut self) {
        if let Some(hub) = self.hub() {
            hub.woke();
        }
        let reads = |paused: bool| {
            let mut readers = self.hosts.iter();
            let reader = readers.find(|(_, host)| {
                let up = host.up.as_ref().filter(|up| up.session.is_some());
                up.is_some_and(|up| up.stall.is_paused() == paused)
            });
            reader.map(|(name, host)| host.process(name))
        };
        // One that stands still reads when it goes on.
        if let Some(process) = reads(false).or_else(|| reads(true)) {
            self.deliver(&process);
        }
    }

    fn hub(&mut self) -> Option<&mut HubBackend> {
        match &mut self.backend {
            Backend::Hub(hub) => Some(hub),
            Backend::Gossip(_) | Backend::Store(_) => None,
        }
    }
}
