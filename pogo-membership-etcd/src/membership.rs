//! The backend.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use pogo_core::{
    id::{BootId, ClusterName, Scope},
    membership::{
        Capabilities, Durability, Guarantee, Join, Membership, MembershipError, NameChoice, Session,
    },
};

use crate::{NAME, config::EtcdConfig, joining::Attempt, life::Memory, session::lock};

/// The largest value of a record: a state with what goes around it, and below the server's limit.
pub(crate) const MAX_VALUE_BYTES: usize = 1024 * 1024 + 64 * 1024;
/// The server looks for leases that have run out twice a second, and tells who watches.
const SWEEP: Duration = Duration::from_secs(1);
/// How long an addition to the view settles at most: a commit reaches all watchers well before.
const VIEW_SETTLE: Duration = Duration::from_secs(1);

/// Where a process remembers its sessions, by who it was in which scope.
type Memories = BTreeMap<(ClusterName, Scope, BootId), Arc<Mutex<Memory>>>;

/// Membership over etcd.
#[derive(Debug)]
pub struct EtcdMembership {
    config: EtcdConfig,
    memories: Mutex<Memories>,
}

impl EtcdMembership {
    /// The backend with these settings; nothing is opened before the first join.
    pub const fn new(config: EtcdConfig) -> Self {
        Self { config, memories: Mutex::new(BTreeMap::new()) }
    }

    fn memory(&self, join: &Join) -> Arc<Mutex<Memory>> {
        let key = (join.cluster.clone(), join.scope.clone(), join.boot);
        Arc::clone(lock(&self.memories).entry(key).or_default())
    }
}

#[async_trait]
impl Membership for EtcdMembership {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        let ttl = self.config.ttl;
        let mut it = Capabilities::least(ttl + SWEEP, VIEW_SETTLE);
        it.durability = Durability::Disk;
        it.compare_and_set = Guarantee::Linearizable;
        it.claims = Guarantee::Linearizable;
        it.max_value_bytes = MAX_VALUE_BYTES;
        it.lease_ttl = Some(ttl);
        it
    }

    async fn join(&self, join: Join) -> Result<Session, MembershipError> {
        let (NameChoice::Exactly(name) | NameChoice::Suffixed(name)) = &join.name;
        tracing::debug!(%name, endpoints = ?self.config.endpoints, "joining");
        let attempt = Attempt::begin(&self.config, &join, self.memory(&join)).await?;
        Box::pin(attempt.join()).await
    }
}
