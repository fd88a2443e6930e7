//! The in-process backend, in virtual time.

use std::{collections::BTreeSet, sync::Mutex, time::Duration};

use async_trait::async_trait;
use pogo_conformance::{Cluster, Harness, HarnessError, Means, Process, Time};
use pogo_core::{
    id::{ClusterName, MemberName, Scope},
    membership::{Capabilities, Membership},
    memory::{Backup, Faults, HubConfig, MemoryBackend},
};
use std::sync::Arc;

/// Clusters in this process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory(HubConfig);

#[derive(Debug)]
pub(crate) struct MemoryCluster {
    backend: MemoryBackend,
    faults: Faults,
    backup: Mutex<Option<Backup>>,
}

#[async_trait]
impl Harness for Memory {
    async fn cluster(
        &self,
        cluster: &ClusterName,
        scope: &Scope,
    ) -> Result<Box<dyn Cluster>, HarnessError> {
        let backend = MemoryBackend::with_config(self.0.clone());
        let faults = backend.faults(cluster, scope);
        Ok(Box::new(MemoryCluster { backend, faults, backup: Mutex::default() }))
    }

    fn means(&self) -> BTreeSet<Means> {
        [Means::CutOff, Means::Outage, Means::Wipe, Means::Restore, Means::LoseFeed].into()
    }

    fn time(&self) -> Time {
        Time::Paused
    }
}

#[async_trait]
impl Cluster for MemoryCluster {
    fn promises(&self) -> Capabilities {
        self.backend.capabilities()
    }

    async fn backend(&self, _: &Process) -> Result<Arc<dyn Membership>, HarnessError> {
        Ok(Arc::new(self.backend.clone()))
    }

    async fn cut_off(&self, member: &MemberName) -> Result<(), HarnessError> {
        self.faults.set_member_outage(member, true);
        Ok(())
    }

    async fn reconnect(&self, member: &MemberName) -> Result<(), HarnessError> {
        self.faults.set_member_outage(member, false);
        Ok(())
    }

    async fn set_outage(&self, outage: bool) -> Result<(), HarnessError> {
        self.faults.set_outage(outage);
        Ok(())
    }

    async fn wipe(&self) -> Result<(), HarnessError> {
        self.faults.wipe();
        Ok(())
    }

    async fn back_up(&self) -> Result<(), HarnessError> {
        *self.backup.lock().unwrap() = Some(self.faults.backup());
        Ok(())
    }

    async fn restore(&self) -> Result<(), HarnessError> {
        let backup = self.backup.lock().unwrap().take().ok_or("there is no backup")?;
        self.faults.roll_back(&backup);
        Ok(())
    }

    async fn lose_feed(&self, member: &MemberName) -> Result<(), HarnessError> {
        self.faults.lose_events(member);
        Ok(())
    }
}

mod with_all_it_has {
    use super::*;

    pogo_conformance::conformance_tests! {
        Memory::default(),
        skips: [
            record_survives_a_restart_of_everything,
            backend_without_claims_says_so,
            wrong_credentials_are_denied,
            works_encrypted_and_plain,
        ],
    }
}

/// As a backend without a store behaves, and with events that overtake each other.
mod with_little_and_slowly {
    use super::*;

    fn little() -> HubConfig {
        HubConfig {
            claims: false,
            compare_and_set: false,
            delay: Duration::from_millis(1)..=Duration::from_millis(200),
            seed: 7,
            ..HubConfig::default()
        }
    }

    pogo_conformance::conformance_tests! {
        Memory(little()),
        skips: [
            compare_and_set_has_one_winner,
            claim_has_one_owner_among_many_racers,
            token_grows_with_every_grant,
            claim_is_freed_by_release_leave_and_crash,
            claim_is_not_freed_before_the_deadline_of_its_holder,
            holder_that_is_cut_off_passes_its_deadline_first,
            refusal_names_the_holder,
            holder_that_asks_again_keeps_its_token,
            lease_deadline_never_goes_back_and_stands_when_cut_off,
            record_survives_a_restart_of_everything,
            wrong_credentials_are_denied,
            works_encrypted_and_plain,
        ],
    }
}
