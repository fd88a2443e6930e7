//! How a simulated child behaves, carried in its arguments so that every member knows it.

use std::{fmt, str::FromStr, time::Duration};

use pogo_core::{
    id::{ChildId, Kind},
    spec::{Args, ChildSpec, Exclusivity, Restart, Shutdown},
};
use serde_json::Value;

use super::{PlanError, millis, parse_millis, parse_word};

/// The kind that every simulated member offers.
pub const KIND: &str = "sim";

/// What happens to a run before it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Start {
    /// It becomes ready after about this time.
    Ready(Duration),
    /// It never becomes ready.
    Hangs,
    /// It fails after about this time.
    Fails(Duration),
    /// It takes its whole member down after about this time.
    Kills(Duration),
}

/// What happens to a run that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Then {
    /// It runs until it is stopped.
    Runs,
    /// It ends normally after about this time.
    Ends(Duration),
    /// It fails after about this time.
    Fails(Duration),
}

/// How a run takes being told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stop {
    /// It ends after about this time and hands its state over.
    After(Duration),
    /// It goes on until it is aborted.
    Ignored,
}

/// A child as a plan writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChildPlan {
    /// Before it is ready.
    pub start: Start,
    /// Once it is ready.
    pub then: Then,
    /// When it is told to stop.
    pub stop: Stop,
    /// When it is started again.
    pub restart: Restart,
    /// How long it may take to stop.
    pub grace: Duration,
    /// Whether it is strict.
    pub exclusivity: Exclusivity,
    /// Sets specs apart that behave the same.
    pub value: u32,
}

impl Default for ChildPlan {
    fn default() -> Self {
        Self {
            start: Start::Ready(Duration::from_millis(20)),
            then: Then::Runs,
            stop: Stop::After(Duration::from_millis(5)),
            restart: Restart::Permanent,
            grace: Duration::from_secs(1),
            exclusivity: Exclusivity::Available,
            value: 0,
        }
    }
}

impl ChildPlan {
    /// The spec of child `id` that behaves like this.
    pub fn spec(&self, id: ChildId, kind: Kind) -> ChildSpec {
        let args = Args::from_value(&Value::String(self.to_string()));
        let spec = ChildSpec::of_kind(id, kind, args)
            .restart(self.restart)
            .shutdown(Shutdown::Grace(self.grace.max(Duration::from_millis(1))));
        if self.exclusivity == Exclusivity::Strict {
            spec.exclusivity(Exclusivity::Strict)
        } else {
            spec
        }
    }

    /// Reads the behaviour out of a spec's arguments; a default child where they hold none.
    pub fn of_spec(spec: &ChildSpec) -> Self {
        spec.args.decode::<String>().ok().and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// Whether it can be expected to run and stay running.
    pub const fn is_healthy(&self) -> bool {
        matches!((self.start, self.then), (Start::Ready(_), Then::Runs))
    }

    /// Whether its normal end completes it for the whole cluster.
    pub const fn may_complete(&self) -> bool {
        match self.restart {
            Restart::Permanent => false,
            Restart::Transient => matches!(self.then, Then::Ends(_)),
            Restart::Temporary => true,
        }
    }
}

impl fmt::Display for ChildPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.start {
            Start::Ready(mean) => write!(f, "start={}", millis(mean))?,
            Start::Hangs => f.write_str("start=hang")?,
            Start::Fails(mean) => write!(f, "start=fail:{}", millis(mean))?,
            Start::Kills(mean) => write!(f, "start=kill:{}", millis(mean))?,
        }
        match self.then {
            Then::Runs => {}
            Then::Ends(mean) => write!(f, " then=end:{}", millis(mean))?,
            Then::Fails(mean) => write!(f, " then=fail:{}", millis(mean))?,
        }
        match self.stop {
            Stop::After(mean) => write!(f, " stop={}", millis(mean))?,
            Stop::Ignored => f.write_str(" stop=ignore")?,
        }
        match self.restart {
            Restart::Permanent => {}
            Restart::Transient => f.write_str(" restart=transient")?,
            Restart::Temporary => f.write_str(" restart=temporary")?,
        }
        if self.grace != Self::default().grace {
            write!(f, " grace={}", millis(self.grace))?;
        }
        if self.exclusivity == Exclusivity::Strict {
            f.write_str(" exclusivity=strict")?;
        }
        if self.value != 0 {
            write!(f, " value={}", self.value)?;
        }
        Ok(())
    }
}

impl FromStr for ChildPlan {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let mut plan = Self::default();
        for word in text.split_whitespace() {
            let (key, value) = word.split_once('=').ok_or_else(|| PlanError::word(word))?;
            match key {
                "start" => plan.start = parse_start(value)?,
                "then" => plan.then = parse_then(value)?,
                "stop" if value == "ignore" => plan.stop = Stop::Ignored,
                "stop" => plan.stop = Stop::After(parse_millis(value)?),
                "restart" => plan.restart = parse_restart(value)?,
                "grace" => plan.grace = parse_millis(value)?,
                "exclusivity" if value == "strict" => plan.exclusivity = Exclusivity::Strict,
                "value" => plan.value = parse_word(value)?,
                _ => return Err(PlanError::word(word)),
            }
        }
        Ok(plan)
    }
}

fn parse_start(value: &str) -> Result<Start, PlanError> {
    match value.split_once(':') {
        None if value == "hang" => Ok(Start::Hangs),
        None => parse_millis(value).map(Start::Ready),
        Some(("fail", mean)) => parse_millis(mean).map(Start::Fails),
        Some(("kill", mean)) => parse_millis(mean).map(Start::Kills),
        Some(_) => Err(PlanError::word(value)),
    }
}

fn parse_then(value: &str) -> Result<Then, PlanError> {
    match value.split_once(':') {
        Some(("end", mean)) => parse_millis(mean).map(Then::Ends),
        Some(("fail", mean)) => parse_millis(mean).map(Then::Fails),
        _ => Err(PlanError::word(value)),
    }
}

fn parse_restart(value: &str) -> Result<Restart, PlanError> {
    match value {
        "permanent" => Ok(Restart::Permanent),
        "transient" => Ok(Restart::Transient),
        "temporary" => Ok(Restart::Temporary),
        _ => Err(PlanError::word(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaviour_survives_its_text_and_a_spec() {
        let plan = ChildPlan {
            start: Start::Kills(Duration::from_millis(7)),
            then: Then::Ends(Duration::from_secs(2)),
            stop: Stop::Ignored,
            restart: Restart::Temporary,
            grace: Duration::from_millis(300),
            exclusivity: Exclusivity::Strict,
            value: 4,
        };
        assert_eq!(plan.to_string().parse::<ChildPlan>().unwrap(), plan);
        let spec = plan.spec(ChildId::new("c").unwrap(), Kind::new(KIND).unwrap());
        assert_eq!(ChildPlan::of_spec(&spec), plan);
        assert_eq!(spec.validate(), Ok(()));
        assert!("start=soon".parse::<ChildPlan>().is_err());
        assert!("colour=red".parse::<ChildPlan>().is_err());
    }
}
