//! The suite that every backend passes, over loopback sockets: each process has an endpoint.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use pogo_conformance::{Cluster, Harness, HarnessError, Means, Process, conformance_tests};
use pogo_core::{
    id::{ClusterName, MemberName, Scope},
    membership::{Capabilities, Membership},
};
use pogo_membership_gossip::{GossipConfig, GossipMembership, engine::Form, key::Key};

use super::{
    key, loopback,
    relay::{Relays, free_address},
};

#[derive(Debug)]
struct Gossip;

/// Processes that find each other by the first of them.
struct Processes {
    key: Option<Key>,
    relays: Relays,
    members: Mutex<BTreeMap<Process, GossipMembership>>,
    /// Where each cluster may be found, the oldest first.
    seeds: Mutex<BTreeMap<ClusterName, Vec<SocketAddr>>>,
}

impl Processes {
    fn new(key: Option<Key>) -> Self {
        Self { key, relays: Relays::new(), members: Mutex::default(), seeds: Mutex::default() }
    }
}

#[async_trait]
impl Harness for Gossip {
    async fn cluster(&self, _: &ClusterName, _: &Scope) -> Result<Box<dyn Cluster>, HarnessError> {
        Ok(Box::new(Processes::new(None)))
    }

    fn means(&self) -> BTreeSet<Means> {
        [Means::CutOff, Means::Intruder, Means::OtherWire].into()
    }

    /// Each is a thread, and one more has the relays of all: more would measure the machine. The
    /// tests of the engine join many, in virtual time.
    fn crowd(&self) -> usize {
        16
    }

    /// The thread of a peer may have to wait for a processor among many.
    fn slack(&self) -> Duration {
        Duration::from_secs(3)
    }
}

#[async_trait]
impl Cluster for Processes {
    fn promises(&self) -> Capabilities {
        GossipMembership::isolated(loopback()).unwrap().capabilities()
    }

    async fn backend(&self, process: &Process) -> Result<Arc<dyn Membership>, HarnessError> {
        let known = self.members.lock().unwrap().get(process).cloned();
        if let Some(member) = known {
            return Ok(Arc::new(member));
        }
        let (config, addr) = match &self.key {
            None => {
                let (bound, advertised) = self.relays.add(&process.member).await?;
                (GossipConfig::new(bound).advertise(&advertised.to_string())?, advertised)
            }
            // A relay cannot read what is sealed.
            Some(key) => {
                let addr = free_address();
                (GossipConfig::new(addr).key(key.clone()), addr)
            }
        };
        let before = {
            let mut seeds = self.seeds.lock().unwrap();
            let seeds = seeds.entry(process.cluster.clone()).or_default();
            seeds.push(addr);
            seeds[..seeds.len() - 1].to_vec()
        };
        // Whoever comes later does not form a cluster of its own.
        let form = if before.is_empty() { Form::Alone } else { Form::Never };
        let config = config.seeds(before.iter().map(ToString::to_string))?.form(form);
        let member = GossipMembership::isolated(config)?;
        self.members.lock().unwrap().insert(process.clone(), member.clone());
        Ok(Arc::new(member))
    }

    async fn cut_off(&self, member: &MemberName) -> Result<(), HarnessError> {
        self.relays.set_cut(member, true);
        Ok(())
    }

    async fn reconnect(&self, member: &MemberName) -> Result<(), HarnessError> {
        self.relays.set_cut(member, false);
        Ok(())
    }

    async fn intruder(&self) -> Result<Arc<dyn Membership>, HarnessError> {
        let seeds: Vec<_> = self.seeds.lock().unwrap().values().flatten().copied().collect();
        let config = loopback().key(key(8)).seeds(seeds.iter().map(ToString::to_string))?;
        Ok(Arc::new(GossipMembership::isolated(config.form(Form::Never))?))
    }

    async fn other_wire(&self) -> Result<Box<dyn Cluster>, HarnessError> {
        Ok(Box::new(Self::new(Some(key(7)))))
    }
}

conformance_tests! {
    Gossip,
    skips: [
        record_survives_all_members,
        record_survives_a_restart_of_everything,
        compare_and_set_has_one_winner,
        claim_has_one_owner_among_many_racers,
        token_grows_with_every_grant,
        claim_is_freed_by_release_leave_and_crash,
        claim_is_not_freed_before_the_deadline_of_its_holder,
        holder_that_is_cut_off_passes_its_deadline_first,
        refusal_names_the_holder,
        holder_that_asks_again_keeps_its_token,
        gap_makes_a_new_snapshot_and_no_false_leave,
        outage_of_the_store_degrades_and_kills_nobody,
        wiped_store_is_filled_again_from_memory,
        older_backup_is_noticed_and_made_good,
        lease_deadline_never_goes_back_and_stands_when_cut_off,
    ],
}
