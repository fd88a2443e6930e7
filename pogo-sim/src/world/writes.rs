//! What strict instances write to: a resource that checks fencing tokens (S2).
//!
//! Writes take their time on the way, so those of an instance may arrive after its end, after a pause
//! of its process, or after the first ones of its successor.

use std::time::Duration;

use pogo_core::id::{ChildId, RunId};

use super::{
    World,
    agenda::{ChildStep, Happening, Process},
};
use crate::fact::Fact;

/// Mean time between two writes of an instance.
const EVERY: Duration = Duration::from_secs(3);
/// Mean time that a write is on its way.
const WAY: Duration = Duration::from_millis(300);

impl World {
    /// An instance that holds a token writes at random times.
    pub(super) fn write_later(&mut self, process: Process, child: &ChildId, run: RunId) {
        let Some(up) = self.current(&process) else { return };
        let Some(found) = up.runs.get_mut(&(child.clone(), run)) else { return };
        if found.token.is_none() {
            return;
        }
        found.writes += 1;
        let purpose = format!("write {}", found.writes);
        let after = self.run_draw(&purpose, &process, child, run, EVERY);
        let writes = Happening::Child(process, child.clone(), run, ChildStep::Writes);
        self.agenda.add(self.now + after, writes);
    }

    pub(super) fn write(&mut self, process: &Process, child: &ChildId, run: RunId) {
        let Some(up) = self.current(process) else { return };
        let Some(found) = up.runs.get(&(child.clone(), run)) else { return };
        let Some(token) = found.token else { return };
        let purpose = format!("way of write {}", found.writes);
        let way = self.run_draw(&purpose, process, child, run, WAY);
        self.see(Fact::Writes { host: process.host.clone(), child: child.clone(), run });
        self.agenda.add(self.now + way, Happening::Write(child.clone(), token));
        self.write_later(process.clone(), child, run);
    }
}
