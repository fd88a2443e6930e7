//! The store model passes the suite that every backend passes, in virtual time.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use pogo_conformance::{Cluster, Harness, HarnessError, Means, Process, Time};
use pogo_core::{
    id::{ClusterName, MemberName, Scope},
    membership::{Capabilities, Membership},
    time::Timestamp,
};
use pogo_sim::store::{StoreConfig, StoreMembership, StoreModel, Strength};

#[derive(Debug)]
struct Stores(StoreConfig);

/// One store, and what is done to one of its scopes.
struct Store {
    backend: StoreMembership,
    cluster: ClusterName,
    scope: Scope,
}

impl Store {
    fn act<T>(&self, act: impl FnOnce(&mut StoreModel, Timestamp) -> T) -> T {
        self.backend.act(&self.cluster, &self.scope, act)
    }
}

#[async_trait]
impl Harness for Stores {
    async fn cluster(
        &self,
        cluster: &ClusterName,
        scope: &Scope,
    ) -> Result<Box<dyn Cluster>, HarnessError> {
        let backend = StoreMembership::new(self.0.clone());
        Ok(Box::new(Store { backend, cluster: cluster.clone(), scope: scope.clone() }))
    }

    fn means(&self) -> BTreeSet<Means> {
        [
            Means::CutOff,
            Means::Outage,
            Means::Restart,
            Means::Wipe,
            Means::Restore,
            Means::LoseFeed,
            Means::Intruder,
        ]
        .into()
    }

    fn time(&self) -> Time {
        Time::Paused
    }
}

#[async_trait]
impl Cluster for Store {
    fn promises(&self) -> Capabilities {
        self.backend.capabilities()
    }

    async fn backend(&self, _: &Process) -> Result<Arc<dyn Membership>, HarnessError> {
        Ok(Arc::new(self.backend.clone()))
    }

    async fn cut_off(&self, member: &MemberName) -> Result<(), HarnessError> {
        self.act(|store, now| store.set_cut_off(now, member, true));
        Ok(())
    }

    async fn reconnect(&self, member: &MemberName) -> Result<(), HarnessError> {
        self.act(|store, now| store.set_cut_off(now, member, false));
        Ok(())
    }

    async fn set_outage(&self, outage: bool) -> Result<(), HarnessError> {
        self.act(|store, now| store.set_outage(now, outage));
        Ok(())
    }

    /// Another server with the same data, and nothing lost on the way.
    async fn restart(&self) -> Result<(), HarnessError> {
        self.act(|store, now| store.fail_over(now, 0));
        Ok(())
    }

    async fn wipe(&self) -> Result<(), HarnessError> {
        self.act(StoreModel::wipe);
        Ok(())
    }

    async fn back_up(&self) -> Result<(), HarnessError> {
        self.act(|store, _| store.back_up());
        Ok(())
    }

    async fn restore(&self) -> Result<(), HarnessError> {
        if self.act(StoreModel::restore) { Ok(()) } else { Err("there is no backup".into()) }
    }

    async fn lose_feed(&self, member: &MemberName) -> Result<(), HarnessError> {
        self.act(|store, now| store.lose_events(now, member));
        Ok(())
    }

    async fn intruder(&self) -> Result<Arc<dyn Membership>, HarnessError> {
        let intruder = MemberName::new("intruder")?;
        self.act(|store, now| store.set_denied(now, &intruder, true));
        Ok(Arc::new(self.backend.clone()))
    }
}

/// As etcd, at once.
mod linearizable {
    use super::*;

    pogo_conformance::conformance_tests! {
        Stores(StoreConfig::default()),
        skips: [backend_without_claims_says_so, works_encrypted_and_plain],
    }
}

/// As Redis, over a network.
mod best_effort_and_slow {
    use super::*;

    fn slow() -> StoreConfig {
        StoreConfig {
            strength: Strength::BestEffort,
            lease_ttl: Duration::from_secs(5),
            latency: Duration::from_millis(2),
            delay: Duration::from_millis(20),
            seed: 7,
            ..StoreConfig::default()
        }
    }

    pogo_conformance::conformance_tests! {
        Stores(slow()),
        skips: [
            record_survives_a_restart_of_everything,
            backend_without_claims_says_so,
            works_encrypted_and_plain,
        ],
    }
}
