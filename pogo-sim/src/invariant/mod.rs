//! The laws: what must hold at every moment (S..) and once a healed cluster is at rest (L..).
//!
//! One file each, with tests on hand-made worlds in which it holds and in which it fires: a law
//! that cannot fail is no law. [`Laws`] runs them all, after every fact and again in full whenever
//! a division ends or the cluster is at rest.

mod l1_desired_is_running;
mod l2_duplicates_end;
mod l3_agreement;
mod s01_at_most_one;
mod s04_no_lost_change;
mod s05_no_resurrection;
mod s07_overlap;
mod s08_bounded_movement;
mod s13_legal_effects;
mod s17_time_advances;
mod s19_purity;

#[cfg(test)]
mod handmade;

use std::{fmt, fmt::Debug, time::Duration};

use pogo_core::{id::ChildId, time::Timestamp};

pub use self::s19_purity::{TraceHash, same_run};
use crate::{fact::Fact, picture::Picture, plan::Options, rest::Rest};

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
        let alarm = options.detection + slack;
        Self(vec![
            Box::new(s13_legal_effects::LegalEffects),
            Box::new(s01_at_most_one::AtMostOne),
            Box::new(s04_no_lost_change::NoLostChange),
            Box::new(s05_no_resurrection::NoResurrection::default()),
            Box::new(s07_overlap::Overlap::new(options.view_settle, alarm, slack)),
            Box::new(s08_bounded_movement::BoundedMovement::new(slack + Duration::from_secs(2))),
            Box::new(s17_time_advances::TimeAdvances::default()),
            Box::new(l1_desired_is_running::DesiredIsRunning),
            Box::new(l2_duplicates_end::DuplicatesEnd::new(alarm + Duration::from_secs(1))),
            Box::new(l3_agreement::Agreement),
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

    /// Judges the cluster at rest.
    ///
    /// # Errors
    /// The first law that it breaks.
    pub fn at_rest(&mut self, now: Timestamp, rest: &Rest<'_>) -> Result<(), Violation> {
        self.0.iter_mut().try_for_each(|law| law.at_rest(now, rest))
    }
}
