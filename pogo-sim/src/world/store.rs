//! Operations on the store that the members share, and what they mean for the laws.

use pogo_core::{
    id::{BootId, ChildId, MemberName},
    record::Stamp,
};

use super::World;
use crate::{
    fact::Fact,
    invariant::Violation,
    plan::{BackendKind, StoreOp},
};

impl World {
    pub(super) fn operate_store(&mut self, op: StoreOp) {
        let now = self.now;
        let Some(store) = self.backend.store() else { return };
        let is_failover = matches!(op, StoreOp::Failover(_));
        let may_lose = match op {
            StoreOp::Outage(outage) => {
                store.set_outage(now, outage);
                false
            }
            StoreOp::Slow(factor) => {
                store.set_slow(now, factor);
                false
            }
            StoreOp::CutOff(member, cut_off) => {
                store.set_cut_off(now, &member, cut_off);
                false
            }
            StoreOp::Denied(member, denied) => {
                store.set_denied(now, &member, denied);
                false
            }
            StoreOp::Gap(member) => {
                store.lose_events(now, &member);
                false
            }
            StoreOp::Compact => {
                store.compact();
                false
            }
            StoreOp::Stale(member, by) => {
                store.set_stale(now, &member, by);
                false
            }
            StoreOp::Expire(member) => {
                store.expire(now, &member);
                false
            }
            StoreOp::Failover(lost) => {
                store.fail_over(now, lost);
                true
            }
            StoreOp::Wipe => {
                store.wipe(now);
                true
            }
            StoreOp::BackUp => {
                store.back_up();
                false
            }
            StoreOp::Restore => store.restore(now),
        };
        if may_lose && !is_failover {
            let held = self.held_by_all();
            self.see(Fact::DataLost { held });
        }
        self.see(Fact::Disturbed("the store"));
        if may_lose {
            self.on_store_loss();
        }
        self.see_feed_delay();
        self.see_division();
    }

    fn on_store_loss(&mut self) {
        self.has_lost_data = true;
        self.oracle.lost_data(self.now);
        self.lose_changes();
    }

    /// The records of children that members know which are up.
    fn held_by_all(&self) -> Vec<(ChildId, BootId, Stamp)> {
        let ups = self.hosts.iter().filter_map(|(name, host)| Some((name, host.up.as_ref()?)));
        ups.flat_map(|(name, up)| {
            let known = move |child: &ChildId| {
                Some((child.clone(), up.boot, self.record_at(name, child)?.0))
            };
            self.oracle.children().filter_map(known)
        })
        .collect()
    }

    /// Ends what is wrong with the store and the ways to it.
    pub(super) fn heal_store(&mut self) {
        let now = self.now;
        let Some(store) = self.backend.store() else { return };
        store.bump_epoch(now);
        if !store.is_faulty() {
            return;
        }
        store.heal(now);
        self.see(Fact::Disturbed("the store"));
        self.see_feed_delay();
        self.see_division();
    }

    /// Tells how long events take at most from now on, where that is another time.
    pub(super) fn see_feed_delay(&mut self) {
        let usual = self.options.feed_delay(self.delay);
        let delay = match self.backend.store() {
            Some(store) => usual * store.slow() + store.most_stale(),
            None => usual,
        };
        if self.picture.delay != delay {
            self.see(Fact::Delayed(delay));
        }
    }

    /// Members that do not reach the store are on a side of their own, on which nothing is accepted:
    /// what clients were promised stands in one order.
    pub(super) fn see_division(&mut self) {
        let Some(is_divided) = self.backend.store().map(|store| store.is_divided()) else { return };
        match (self.picture.divided, is_divided) {
            (false, true) => self.see(Fact::Cut(Vec::new())),
            (true, false) => self.see(Fact::Healed),
            _ => {}
        }
    }

    /// A member that does not know yet that its session has ended is not at rest.
    pub(super) fn judge_sessions(&mut self) -> Result<(), Violation> {
        // Who is not in the core may stay cut off for ever.
        let core = &self.options.core;
        let counts = |name: &MemberName| core.is_empty() || core.contains(name);
        let Some(name) = self.backend.store().and_then(|store| store.unsettled(counts)) else {
            return Ok(());
        };
        let what = format!("{name} is not in step with the store");
        Err(Violation { law: "L3 agreement", child: None, what })
    }

    /// Whether sides of a division accept changes in no order.
    pub(super) fn has_islands(&self) -> bool {
        self.options.backend != BackendKind::Store
    }
}
