//! Second processes under a name that may live: an operator's error.
//!
//! Such a process asks for the name again and again. As long as the name lives it is refused; once
//! it gets the name, its operator sees the mistake and ends it, so it never runs a node.

use pogo_core::{
    id::{BootId, MemberName},
    time::Now,
};

use super::{
    World,
    agenda::{Happening, Process},
    backend::{Joiner, Session, Tidings},
    boot_id,
    driver::JOIN_PAUSE,
    host::HostClock,
};
use crate::fact::Fact;

/// It gives up after so many refusals.
const TRIES: u32 = 40;

/// A second process.
#[derive(Debug)]
pub(super) struct Twin {
    name: MemberName,
    process: Process,
    boot: BootId,
    clock: HostClock,
    tries: u32,
}

impl World {
    pub(super) fn twin(&mut self, host: &MemberName, name: &MemberName) {
        if self.hosts.contains_key(host) || self.twins.contains_key(host) {
            return;
        }
        self.twins_started += 1;
        let process = Process { host: host.clone(), start: self.twins_started };
        let boot = boot_id(self.draws, host, process.start);
        let clock = self.clock_of(host).starting(self.now);
        self.backend.boot(self.now, &process, clock);
        let twin = Twin { name: name.clone(), process: process.clone(), boot, clock, tries: 0 };
        self.twins.insert(host.clone(), twin);
        self.see(Fact::Twin { host: host.clone(), name: name.clone() });
        self.twin_joins(&process);
    }

    pub(super) fn twin_joins(&mut self, process: &Process) {
        let Some(twin) = self.twins.get_mut(&process.host).filter(|it| it.process == *process)
        else {
            return;
        };
        twin.tries += 1;
        if twin.tries > TRIES {
            return self.end_twin(&process.host, None);
        }
        let clock = Now { mono: self.now, ..twin.clock.read(self.now) };
        self.sessions += 1;
        let joiner = Joiner {
            process: process.clone(),
            name: twin.name.clone(),
            session: Session(self.sessions),
            boot: twin.boot,
        };
        let metadata = self.metadata();
        self.backend.join(clock, joiner, metadata);
    }

    /// Takes what the backend has for a second process; false where it is none.
    pub(super) fn tell_twin(&mut self, process: &Process, what: &Tidings) -> bool {
        if self.twins.get(&process.host).is_none_or(|twin| twin.process != *process) {
            return false;
        }
        match what {
            Tidings::Joined(session, ..) => self.end_twin(&process.host, Some(*session)),
            Tidings::Refused(error) => {
                let (host, why) = (process.host.clone(), error.to_string());
                self.see(Fact::Refused { host, why });
                self.agenda.add(self.now + JOIN_PAUSE, Happening::TwinJoins(process.clone()));
            }
            _ => {}
        }
        true
    }

    /// Ends every second process.
    pub(super) fn end_twins(&mut self) {
        for host in self.twins.keys().cloned().collect::<Vec<_>>() {
            self.end_twin(&host, None);
        }
    }

    /// Ends the second process on a machine, if there is one.
    pub(super) fn end_twin(&mut self, host: &MemberName, session: Option<Session>) {
        if let Some(twin) = self.twins.remove(host) {
            self.backend.crash(self.true_clock(), &twin.process, session, false);
            self.see(Fact::Disturbed("the second process under a name has ended"));
        }
    }
}
