//! Deaths of members while a child started (R11): three of them quarantine it.

use std::collections::BTreeSet;

use super::wire::StrikesRecord;
use crate::{
    id::BootId,
    record::{Stamp, Version},
};

/// Processes that died while a child started (R11).
#[derive(Debug, Clone, Default)]
pub(super) struct Strikes {
    /// The write that they died of: a new one starts afresh.
    version: Option<Version>,
    /// Those that this member saw die.
    seen: BTreeSet<BootId>,
    /// Those in the shared record.
    recorded: BTreeSet<BootId>,
    stamp: Option<Stamp>,
}

impl Strikes {
    /// Counts a death that this member saw.
    pub(super) fn add(&mut self, version: Version, boot: BootId) {
        self.begin(version);
        self.seen.insert(boot);
    }

    /// Takes the shared record, unless a newer one was taken.
    pub(super) fn merge(&mut self, stamp: Stamp, record: Option<StrikesRecord>) {
        if self.stamp >= Some(stamp) {
            return;
        }
        self.stamp = Some(stamp);
        match record {
            Some(record) => {
                self.begin(record.version);
                self.recorded = record.boots;
            }
            None => self.clear(),
        }
    }

    fn begin(&mut self, version: Version) {
        if self.version != Some(version) {
            self.version = Some(version);
            self.clear();
        }
    }

    /// What the shared record should say.
    pub(super) fn to_record(&self) -> Option<StrikesRecord> {
        let boots: BTreeSet<_> = self.seen.union(&self.recorded).copied().collect();
        let version = self.version.filter(|_| !boots.is_empty())?;
        Some(StrikesRecord { version, boots })
    }

    /// A process that is seen again did not die; answers whether the record says that it did.
    pub(super) fn absolve(&mut self, boot: BootId) -> bool {
        self.seen.remove(&boot);
        self.recorded.remove(&boot)
    }

    /// As [`Strikes::absolve`], for every process of which `is_there` holds.
    pub(super) fn absolve_all(&mut self, is_there: impl Fn(BootId) -> bool) -> bool {
        let before = self.recorded.len();
        self.seen.retain(|boot| !is_there(*boot));
        self.recorded.retain(|boot| !is_there(*boot));
        self.recorded.len() < before
    }

    pub(super) fn clear(&mut self) {
        self.seen.clear();
        self.recorded.clear();
    }

    /// How many bear on this write.
    pub(super) fn against(&self, version: Version) -> usize {
        if self.version == Some(version) { self.seen.union(&self.recorded).count() } else { 0 }
    }

    pub(super) fn is_recorded(&self) -> bool {
        self.seen.is_subset(&self.recorded)
    }

    pub(super) fn names(&self, boot: BootId) -> bool {
        self.seen.contains(&boot) || self.recorded.contains(&boot)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seen.is_empty() && self.recorded.is_empty()
    }
}
