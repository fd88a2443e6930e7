//! How a simulated child behaves, carried in its arguments so that every member knows it.

use std::{fmt, str::FromStr, time::Duration};

use pogo_core::{
    id::{ChildId, Kind},
    spec::{Args, ChildSpec, Exclusivity, Restart, Shutdown},
};
use serde_json::Value;

use super::{
    PlanError, millis,
    options::{mode_text, parse_mode},
    parse_millis, parse_word,
};

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
    /// It panics after about this time.
    Panics(Duration),
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
    /// It panics after about this time.
    Panics(Duration),
}

/// How a run takes being told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stop {
    /// It ends after about this time and hands its state over.
    After(Duration),
    /// It fails after about this time, its state lost.
    Fails(Duration),
    /// It goes on until it is aborted.
    Ignored,
    /// It blocks its thread: once aborted it ends about this time later, or when everything heals.
    Blocks(Option<Duration>),
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
    /// How many instances there may be; `None` leaves that to the scope's mode.
    pub exclusivity: Option<Exclusivity>,
    /// Whether its state is too large to be handed over.
    pub huge: bool,
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
            exclusivity: None,
            huge: false,
            value: 0,
        }
    }
}

impl ChildPlan {
    /// The spec of child `id` that behaves like this.
    pub fn spec(&self, id: ChildId, kind: Kind) -> ChildSpec {
        let args = Args::from_value(&Value::String(self.to_string()));
        let mut spec = ChildSpec::of_kind(id, kind, args)
            .restart(self.restart)
            .shutdown(Shutdown::Grace(self.grace.max(Duration::from_millis(1))));
        spec.exclusivity = self.exclusivity;
        spec
    }

    /// Reads the behaviour out of a spec's arguments. Of a user's child nothing is known but what
    /// the spec says, and that it should run.
    pub fn of_spec(spec: &ChildSpec) -> Self {
        let modelled = spec.args.decode::<String>().ok().filter(|_| spec.kind.as_str() == KIND);
        modelled.and_then(|text| text.parse().ok()).unwrap_or_else(|| Self {
            restart: spec.restart,
            grace: match spec.shutdown {
                Shutdown::Grace(grace) => grace,
                _ => Duration::ZERO,
            },
            exclusivity: spec.exclusivity,
            ..Self::default()
        })
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
            Start::Panics(mean) => write!(f, "start=panic:{}", millis(mean))?,
            Start::Kills(mean) => write!(f, "start=kill:{}", millis(mean))?,
        }
        match self.then {
            Then::Runs => {}
            Then::Ends(mean) => write!(f, " then=end:{}", millis(mean))?,
            Then::Fails(mean) => write!(f, " then=fail:{}", millis(mean))?,
            Then::Panics(mean) => write!(f, " then=panic:{}", millis(mean))?,
        }
        match self.stop {
            Stop::After(mean) => write!(f, " stop={}", millis(mean))?,
            Stop::Fails(mean) => write!(f, " stop=fail:{}", millis(mean))?,
            Stop::Ignored => f.write_str(" stop=ignore")?,
            Stop::Blocks(Some(mean)) => write!(f, " stop=block:{}", millis(mean))?,
            Stop::Blocks(None) => f.write_str(" stop=block")?,
        }
        match self.restart {
            Restart::Permanent => {}
            Restart::Transient => f.write_str(" restart=transient")?,
            Restart::Temporary => f.write_str(" restart=temporary")?,
        }
        if self.grace != Self::default().grace {
            write!(f, " grace={}", millis(self.grace))?;
        }
        if let Some(exclusivity) = self.exclusivity {
            write!(f, " exclusivity={}", mode_text(exclusivity))?;
        }
        if self.huge {
            f.write_str(" state=huge")?;
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
                "stop" => plan.stop = parse_stop(value)?,
                "restart" => plan.restart = parse_restart(value)?,
                "grace" => plan.grace = parse_millis(value)?,
                "exclusivity" => plan.exclusivity = Some(parse_mode(value)?),
                "state" if value == "huge" => plan.huge = true,
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
        Some(("panic", mean)) => parse_millis(mean).map(Start::Panics),
        Some(("kill", mean)) => parse_millis(mean).map(Start::Kills),
        Some(_) => Err(PlanError::word(value)),
    }
}

fn parse_then(value: &str) -> Result<Then, PlanError> {
    match value.split_once(':') {
        Some(("end", mean)) => parse_millis(mean).map(Then::Ends),
        Some(("fail", mean)) => parse_millis(mean).map(Then::Fails),
        Some(("panic", mean)) => parse_millis(mean).map(Then::Panics),
        _ => Err(PlanError::word(value)),
    }
}

fn parse_stop(value: &str) -> Result<Stop, PlanError> {
    match value.split_once(':') {
        None if value == "ignore" => Ok(Stop::Ignored),
        None if value == "block" => Ok(Stop::Blocks(None)),
        None => parse_millis(value).map(Stop::After),
        Some(("fail", mean)) => parse_millis(mean).map(Stop::Fails),
        Some(("block", mean)) => parse_millis(mean).map(Some).map(Stop::Blocks),
        Some(_) => Err(PlanError::word(value)),
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
            exclusivity: Some(Exclusivity::Strict),
            huge: true,
            value: 4,
        };
        assert_eq!(plan.to_string().parse::<ChildPlan>().unwrap(), plan);
        let spec = plan.spec(ChildId::new("c").unwrap(), Kind::new(KIND).unwrap());
        assert_eq!(ChildPlan::of_spec(&spec), plan);
        assert_eq!(spec.validate(), Ok(()));
        assert!("start=soon".parse::<ChildPlan>().is_err());
        assert!("colour=red".parse::<ChildPlan>().is_err());
    }

    #[test]
    fn every_behaviour_has_a_text() {
        for text in [
            "start=panic:7ms then=panic:8ms stop=fail:9ms",
            "start=hang stop=block",
            "start=fail:1ms then=fail:2ms stop=block:3000ms exclusivity=available",
            "start=20ms stop=5ms exclusivity=quorum:3 state=huge",
        ] {
            assert_eq!(text.parse::<ChildPlan>().unwrap().to_string(), text);
        }
        assert!("exclusivity=quorum:0".parse::<ChildPlan>().is_err());
        assert!("stop=block:soon".parse::<ChildPlan>().is_err());
    }
}
