//! The laws: what must hold at every moment (S..) and once a healed cluster is at rest (L..), and
//! what the backend must keep for that (B0).
//!
//! One file each, with tests on hand-made worlds in which it holds and in which it fires: a law
//! that cannot fail is no law. [`Laws`] runs them all, after every fact and again in full whenever
//! a division ends or the cluster is at rest.

mod b0_backend_contract;
mod l1_desired_is_running;
mod l2_duplicates_end;
mod l3_agreement;
mod l4_data_loss;
mod l5_quiet;
mod l6_answers;
mod l7_service;
mod l8_events;
mod s01_at_most_one;
mod s02_fencing;
mod s03_self_fence;
mod s04_no_lost_change;
mod s05_no_resurrection;
mod s06_no_phantom;
mod s07_overlap;
mod s08_bounded_movement;
mod s09_restart_intensity;
mod s10_bounded_work;
mod s11_monotone;
mod s12_local_consistency;
mod s13_legal_effects;
mod s14_drain;
mod s15_quorum;
mod s16_handover;
mod s17_time_advances;
mod s18_no_harm;
mod s19_purity;

#[cfg(test)]
mod handmade;

use std::{fmt, fmt::Debug, time::Duration};

use pogo_core::{id::ChildId, node::RestartPolicy, time::Timestamp};

pub use self::{
    l8_events::Observer,
    s19_purity::{PURITY, TraceHash, same_run},
};
use crate::{
    fact::Fact,
    oracle::Oracle,
    picture::Picture,
    plan::{BackendKind, Options},
    rest::Rest,
};

/// How long a process that went on after a pause may take to end what it may not run any more.
const KILL: Duration = Duration::from_millis(100);

/// A law that was broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{law}: {what}")]
pub struct Violation {
    /// The law's id.
    pub law: &'static str,
    /// The child that it was broken for, if it was one.
    pub child: Option<ChildId>,
    /// What was found.
    pub what: String,
}

/// One law.
pub trait Law: Debug {
    /// Its id and name.
    fn name(&self) -> &'static str;

    /// Judges a fact; `picture` is the cluster just before it.
    ///
    /// # Errors
    /// What is broken.
    fn on_fact(
        &mut self,
        _now: Timestamp,
        _fact: &Fact,
        _picture: &Picture,
    ) -> Result<(), Violation> {
        Ok(())
    }

    /// Judges the whole picture, whatever was seen on the way to it.
    ///
    /// # Errors
    /// What is broken.
    fn on_picture(&mut self, _now: Timestamp, _picture: &Picture) -> Result<(), Violation> {
        Ok(())
    }

    /// Judges whether the cluster can be at rest, without asking any node: a look that costs
    /// little, ahead of [`Law::at_rest`].
    ///
    /// # Errors
    /// What is not at rest.
    fn may_rest(
        &mut self,
        _now: Timestamp,
        _picture: &Picture,
        _oracle: &Oracle,
    ) -> Result<(), Violation> {
        Ok(())
    }

    /// Judges the cluster at rest, everything healed.
    ///
    /// # Errors
    /// What is broken.
    fn at_rest(&mut self, _now: Timestamp, _rest: &Rest<'_>) -> Result<(), Violation> {
        Ok(())
    }

    /// The violation of this law that `what` is.
    ///
    /// # Errors
    /// Always; so that a law can end with it.
    fn broken(&self, child: Option<&ChildId>, what: fmt::Arguments<'_>) -> Result<(), Violation> {
        Err(Violation { law: self.name(), child: child.cloned(), what: what.to_string() })
    }
}

/// All laws of a run.
#[derive(Debug)]
pub struct Laws(Vec<Box<dyn Law>>);

impl Laws {
    /// The laws of a cluster that is set up like this.
    pub fn new(options: &Options) -> Self {
        let slack = options.slack();
        let alarm = options.detection + options.failover_delay + slack;
        let timely = options.request_timeout + slack + Duration::from_secs(1);
        let start = options.start_timeout;
        // Over gossip a start may wait for state from peers that do not answer, until they are held
        // to be dead; what they run is not heard of any sooner (random clusters, seeds 770, 1138).
        let in_flight = match options.backend {
            BackendKind::Gossip => slack + options.detection,
            BackendKind::Hub | BackendKind::Store => slack,
        };
        Self(vec![
            Box::new(b0_backend_contract::BackendContract),
            Box::new(s12_local_consistency::LocalConsistency),
            Box::new(s13_legal_effects::LegalEffects::default()),
            Box::new(s01_at_most_one::AtMostOne::new(KILL)),
            Box::new(s02_fencing::Fencing::new(KILL)),
            Box::new(s03_self_fence::SelfFence::new(options.lease_ttl)),
            Box::new(s04_no_lost_change::NoLostChange),
            Box::new(s05_no_resurrection::NoResurrection::new(alarm)),
            Box::new(s06_no_phantom::NoPhantom::default()),
            Box::new(s07_overlap::Overlap::new(options.view_settle, alarm, in_flight)),
            Box::new(s08_bounded_movement::BoundedMovement::new(
                slack + Duration::from_secs(2),
                options.detection * 2,
            )),
            Box::new(s09_restart_intensity::RestartIntensity::new(
                RestartPolicy::default(),
                start + slack,
            )),
            Box::new(s10_bounded_work::BoundedWork::new(options.sync_interval, options.detection)),
            Box::new(s11_monotone::Monotone::default()),
            Box::new(s15_quorum::Quorum::new(options.detection, slack)),
            Box::new(s14_drain::Drain::new(options.handover_timeout, slack)),
            Box::new(s16_handover::HandedOver::new(alarm)),
            Box::new(s17_time_advances::TimeAdvances::default()),
            Box::new(s18_no_harm::NoHarm::new(start, slack + Duration::from_secs(2), alarm)),
            Box::new(l6_answers::Answers::new(timely)),
            Box::new(l7_service::Service::default()),
            Box::new(l1_desired_is_running::DesiredIsRunning),
            Box::new(l2_duplicates_end::DuplicatesEnd::new(alarm + Duration::from_secs(1))),
            Box::new(l3_agreement::Agreement),
            Box::new(l4_data_loss::DataLoss::default()),
            Box::new(l8_events::Events),
            Box::new(l5_quiet::Quiet::new(options.spread() + Duration::from_millis(250), alarm)),
        ])
    }

    /// Judges a fact; `picture` is the cluster just before it.
    ///
    /// # Errors
    /// The first law that it breaks.
    pub fn on_fact(
        &mut self,
        now: Timestamp,
        fact: &Fact,
        picture: &Picture,
    ) -> Result<(), Violation> {
        self.0.iter_mut().try_for_each(|law| law.on_fact(now, fact, picture))
    }

    /// Judges the whole picture.
    ///
    /// # Errors
    /// The first law that it breaks.
    pub fn on_picture(&mut self, now: Timestamp, picture: &Picture) -> Result<(), Violation> {
        self.0.iter_mut().try_for_each(|law| law.on_picture(now, picture))
    }

    /// Judges whether the cluster can be at rest, without asking any node.
    ///
    /// # Errors
    /// What is not at rest.
    pub fn may_rest(
        &mut self,
        now: Timestamp,
        picture: &Picture,
        oracle: &Oracle,
    ) -> Result<(), Violation> {
        self.0.iter_mut().try_for_each(|law| law.may_rest(now, picture, oracle))
    }

    /// Judges the cluster at rest.
    ///
    /// # Errors
    /// The first law that it breaks.
    pub fn at_rest(&mut self, now: Timestamp, rest: &Rest<'_>) -> Result<(), Violation> {
        self.0.iter_mut().try_for_each(|law| law.at_rest(now, rest))
    }
}
