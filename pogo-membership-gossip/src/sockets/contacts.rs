//! A session's last round trips, read by its supervisor while the thread writes them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use pogo_core::{
    id::BootId,
    time::{Clock, Timestamp},
};

/// When each member was asked that answered, in the session's clock.
#[derive(Debug)]
pub(crate) struct ContactBoard {
    clock: Arc<dyn Clock>,
    asked: Mutex<BTreeMap<BootId, Timestamp>>,
}

impl ContactBoard {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, asked: Mutex::default() }
    }

    /// A member has answered what it was asked this long ago.
    pub(crate) fn note(&self, member: BootId, ago: Duration) {
        let asked = self.clock.now().mono.earlier_by(ago);
        let mut all = self.all();
        let last = all.entry(member).or_insert(asked);
        *last = asked.max(*last);
    }

    /// A member is gone.
    pub(crate) fn forget(&self, member: BootId) {
        self.all().remove(&member);
    }

    pub(crate) fn read(&self) -> Vec<(BootId, Timestamp)> {
        self.all().iter().map(|(member, asked)| (*member, *asked)).collect()
    }

    /// What a panic left behind is still whole: all is changed in single steps.
    fn all(&self) -> MutexGuard<'_, BTreeMap<BootId, Timestamp>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
