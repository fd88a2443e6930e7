//! What a new snapshot no longer names.
//!
//! Compaction, a trimmed stream, a flush, a restore from backup and a healed partition all reach
//! the supervisor as `Reset`, a snapshot, `Synced`. Applying the snapshot's entries as ordinary
//! changes and sweeping what was not named makes no false joins or leaves, and needs no second
//! copy of the world.

use std::collections::BTreeSet;

use super::Event;
use crate::{id::BootId, record::Key};

/// Marks what a running snapshot names.
#[derive(Debug, Clone, Default)]
pub struct ViewDiff {
    marks: Option<Marks>,
}

#[derive(Debug, Clone, Default)]
struct Marks {
    rolled_back: bool,
    members: BTreeSet<BootId>,
    shared: BTreeSet<Key>,
    owned: BTreeSet<(BootId, Key)>,
}

/// The end of a snapshot: answers what it did not name.
#[derive(Debug, Clone)]
pub struct Gone {
    marks: Marks,
}

impl ViewDiff {
    /// Takes note of `event`; returns the finished snapshot at its `Synced`.
    pub fn observe(&mut self, event: &Event) -> Option<Gone> {
        match event {
            Event::Reset { rolled_back } => {
                // A snapshot that restarts before its end keeps the graver cause.
                let rolled_back =
                    *rolled_back || self.marks.as_ref().is_some_and(|marks| marks.rolled_back);
                self.marks = Some(Marks { rolled_back, ..Marks::default() });
            }
            Event::Synced => return self.marks.take().map(|marks| Gone { marks }),
            Event::MemberUp(member) => {
                if let Some(marks) = &mut self.marks {
                    marks.members.insert(member.id.boot);
                }
            }
            Event::MemberDown(member, _) => {
                if let Some(marks) = &mut self.marks {
                    marks.members.remove(&member.boot);
                }
            }
            Event::Shared(records) => {
                if let Some(marks) = &mut self.marks {
                    marks.shared.extend(records.iter().map(|(key, _)| key.clone()));
                }
            }
            Event::Owned(member, updates) => {
                if let Some(marks) = &mut self.marks {
                    for update in updates {
                        let entry = (member.boot, update.key.clone());
                        if update.value.is_some() {
                            marks.owned.insert(entry);
                        } else {
                            marks.owned.remove(&entry);
                        }
                    }
                }
            }
            Event::SharedGone(_) | Event::ClaimFree(_) | Event::Evicted | Event::Health(_) => {}
        }
        None
    }
}

impl Gone {
    /// Whether the store came back empty or older (R15).
    pub const fn rolled_back(&self) -> bool {
        self.marks.rolled_back
    }

    /// Whether the snapshot did not name this member.
    pub fn member(&self, boot: BootId) -> bool {
        !self.marks.members.contains(&boot)
    }

    /// Whether the snapshot did not name this shared record.
    pub fn shared(&self, key: &Key) -> bool {
        !self.marks.shared.contains(key)
    }

    /// Whether the snapshot did not name this owned record.
    pub fn owned(&self, owner: BootId, key: &Key) -> bool {
        !self.marks.owned.contains(&(owner, key.clone()))
    }
}
