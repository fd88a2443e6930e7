//! What a child is: the plain data that any member can start it from.

use std::{collections::BTreeMap, fmt, num::NonZeroU32, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::id::{ChildId, IdError, Kind, check_text};

/// Limits of R26 that are not limits of an id.
pub mod limits {
    /// Arguments of a child, canonical JSON, in bytes.
    pub const ARGS_BYTES: usize = 64 * 1024;
    /// Labels of a child or member.
    pub const LABELS: usize = 16;
    /// A label's key or value, in bytes.
    pub const LABEL_BYTES: usize = 128;
    /// State handed over, in bytes.
    pub const STATE_BYTES: usize = 1024 * 1024;
    /// Where a child can be reached, in bytes: it travels in reports.
    pub const ENDPOINT_BYTES: usize = 2 * 1024;
}

/// Labels of a child or a member.
pub type Labels = BTreeMap<String, String>;

/// A spec that breaks a limit of R26. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// An id, kind, or label text is not acceptable.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The arguments are too long as canonical JSON.
    #[error("args have {len} bytes as JSON, at most {max} are allowed")]
    ArgsTooLong {
        /// Their length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// The arguments cannot be written as JSON.
    #[error("args cannot be written as JSON: {reason}")]
    ArgsNotJson {
        /// What the serialiser said.
        reason: String,
    },
    /// More labels than allowed.
    #[error("{count} {what}, at most {max} are allowed")]
    TooManyLabels {
        /// Which set of labels.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// Handing over start-first would run two instances, which this exclusivity forbids (R7).
    #[error("start-first handover runs two instances for a moment, which {exclusivity} forbids")]
    StartFirstNotAllowed {
        /// The mode that forbids it.
        exclusivity: Exclusivity,
    },
    /// Others wait for its end before they start it elsewhere, so it needs a bound (R17).
    #[error("an unbounded shutdown has no end that {exclusivity} could wait for; give it a grace")]
    UnboundedNotAllowed {
        /// The mode that forbids it.
        exclusivity: Exclusivity,
    },
    /// A grace period of zero: `Shutdown::Immediate` says that.
    #[error("a grace of zero is `Immediate`; use that")]
    ZeroGrace,
}

/// When a child that ended is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Whatever the reason of its end.
    #[default]
    Permanent,
    /// Only after a failure; a normal end is final for the whole cluster.
    Transient,
    /// Never: any end is final for the whole cluster (R5).
    Temporary,
}

/// How long a child may take to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Shutdown {
    /// It is told, and aborted after this time.
    Grace(Duration),
    /// It is aborted at once.
    Immediate,
    /// It is told and waited for as long as it takes.
    Unbounded,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::Grace(Duration::from_secs(5))
    }
}

/// The order of stop and start in a planned move.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Handover {
    /// The old instance ends before the new one starts.
    #[default]
    StopFirst,
    /// The new instance runs before the old one is told to stop.
    StartFirst,
}

/// How many instances of one child there may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Exclusivity {
    /// One in the cluster; one on each side while the cluster is divided.
    #[default]
    Available,
    /// One among members of which `size` see each other; elsewhere none (R17).
    Quorum {
        /// How many members, the holder among them; more than half of all that there are.
        size: NonZeroU32,
    },
    /// At most one, by a claim that carries a fencing token.
    Strict,
}

impl fmt::Display for Exclusivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Available => f.write_str("available"),
            Self::Quorum { size } => write!(f, "quorum of {size}"),
            Self::Strict => f.write_str("strict"),
        }
    }
}

/// Where a child may run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct PlacementRules {
    /// Labels that a member must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub require: Labels,
}

/// A child's arguments, as canonical JSON: sorted keys, no white space.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Args(Arc<str>);

impl Args {
    /// Writes `args` as canonical JSON.
    ///
    /// # Errors
    /// [`SpecError::ArgsNotJson`] where they have no JSON form.
    pub fn new<A: Serialize + ?Sized>(args: &A) -> Result<Self, SpecError> {
        serde_json::to_value(args)
            .map(|value| Self::from_value(&value))
            .map_err(|e| SpecError::ArgsNotJson { reason: e.to_string() })
    }

    /// Takes `value` as the arguments.
    pub fn from_value(value: &Value) -> Self {
        Self(canonical_json(value).into())
    }

    /// The canonical JSON text.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// Reads the arguments as an `A`.
    ///
    /// # Errors
    /// What the deserialiser says; nothing is changed.
    pub fn decode<A: DeserializeOwned>(&self) -> Result<A, serde_json::Error> {
        serde_json::from_str(&self.0)
    }
}

impl fmt::Debug for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Args {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value: Value = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        value.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Args {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| Self::from_value(&value))
    }
}

/// Everything a member needs to run a child.
///
/// Build one with [`ChildSpec::of_kind`] (or `ChildSpec::new` for a typed child) and the setters; it is checked against the
/// limits of R26 when it is handed to a supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct ChildSpec {
    /// Unique in the scope.
    pub id: ChildId,
    /// The code that runs it.
    pub kind: Kind,
    /// What that code is given.
    pub args: Args,
    /// When it is started again.
    #[serde(default)]
    pub restart: Restart,
    /// How long it may take to stop.
    #[serde(default)]
    pub shutdown: Shutdown,
    /// Order of stop and start in a planned move.
    #[serde(default)]
    pub handover: Handover,
    /// Where it may run.
    #[serde(default)]
    pub placement: PlacementRules,
    /// Overrides the scope's exclusivity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclusivity: Option<Exclusivity>,
    /// For people and filters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
}

impl ChildSpec {
    /// A permanent child of `kind` with default settings.
    pub fn of_kind(id: ChildId, kind: Kind, args: Args) -> Self {
        Self {
            id,
            kind,
            args,
            restart: Restart::default(),
            shutdown: Shutdown::default(),
            handover: Handover::default(),
            placement: PlacementRules::default(),
            exclusivity: None,
            labels: Labels::new(),
        }
    }

    /// Sets when the child is started again.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// Sets how long the child may take to stop.
    #[must_use]
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// Sets the order of stop and start in a planned move.
    #[must_use]
    pub fn handover(mut self, handover: Handover) -> Self {
        self.handover = handover;
        self
    }

    /// Demands a label of the member that runs the child.
    #[must_use]
    pub fn require(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.placement.require.insert(label.into(), value.into());
        self
    }

    /// Overrides the scope's exclusivity for this child.
    #[must_use]
    pub fn exclusivity(mut self, exclusivity: Exclusivity) -> Self {
        self.exclusivity = Some(exclusivity);
        self
    }

    /// Adds a label for people and filters.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(label.into(), value.into());
        self
    }

    /// Checks the spec against the limits of R26.
    ///
    /// # Errors
    /// The first limit that it breaks.
    pub fn validate(&self) -> Result<(), SpecError> {
        let len = self.args.as_json().len();
        if len > limits::ARGS_BYTES {
            return Err(SpecError::ArgsTooLong { len, max: limits::ARGS_BYTES });
        }
        check_labels("labels", &self.labels)?;
        check_labels("required labels", &self.placement.require)?;
        if self.shutdown == Shutdown::Grace(Duration::ZERO) {
            return Err(SpecError::ZeroGrace);
        }
        self.exclusivity.map_or(Ok(()), |exclusivity| self.fits(exclusivity))
    }

    /// Checks what only some modes forbid, `exclusivity` being the child's own or its scope's.
    ///
    /// # Errors
    /// What the mode forbids.
    pub fn fits(&self, exclusivity: Exclusivity) -> Result<(), SpecError> {
        if exclusivity == Exclusivity::Available {
            return Ok(());
        }
        if self.handover == Handover::StartFirst {
            return Err(SpecError::StartFirstNotAllowed { exclusivity });
        }
        // Others count on its end within its grace (R17); of a strict one the lease is the bound.
        if self.shutdown == Shutdown::Unbounded && exclusivity != Exclusivity::Strict {
            return Err(SpecError::UnboundedNotAllowed { exclusivity });
        }
        Ok(())
    }
}

/// Checks labels of a child or member against R26.
///
/// # Errors
/// The first limit that they break.
pub fn check_labels(what: &'static str, labels: &Labels) -> Result<(), SpecError> {
    if labels.len() > limits::LABELS {
        return Err(SpecError::TooManyLabels { what, count: labels.len(), max: limits::LABELS });
    }
    for (label, value) in labels {
        check_text("label", label, limits::LABEL_BYTES)?;
        if !value.is_empty() {
            check_text("label value", value, limits::LABEL_BYTES)?;
        }
    }
    Ok(())
}

/// `value` with sorted keys and no white space, whatever map type `serde_json` was built with.
fn canonical_json(value: &Value) -> String {
    let mut out = String::new();
    write_canonical(value, &mut out);
    out
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            out.push('{');
            for (at, (key, value)) in sorted.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec() -> ChildSpec {
        ChildSpec::of_kind(
            ChildId::new("a").unwrap(),
            Kind::new("k").unwrap(),
            Args::from_value(&json!({"b": 1, "a": [true, null]})),
        )
    }

    #[test]
    fn equal_args_are_equal_whatever_the_order_of_keys() {
        let mut other = spec();
        other.args = Args::from_value(&serde_json::from_str(r#"{"a":[true,null],"b":1}"#).unwrap());
        assert_eq!(spec(), other);
        other.args = Args::from_value(&json!({"b": 2}));
        assert_ne!(spec(), other);
    }

    #[test]
    fn spec_survives_its_json_form() {
        let spec = spec().label("team", "net").require("disk", "v7").restart(Restart::Temporary);
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<ChildSpec>(&text).unwrap(), spec);
    }

    #[test]
    fn numbers_in_args_come_back_to_the_last_digit() {
        for number in [0.1 + 0.2, 1.7e-310, 122.416_294_033_786_58, 1e23] {
            let mut spec = spec();
            spec.args = Args::from_value(&json!(number));
            let text = serde_json::to_string(&spec).unwrap();
            assert_eq!(serde_json::from_str::<ChildSpec>(&text).unwrap(), spec);
        }
    }

    #[test]
    fn limits_of_r26_are_checked() {
        let mut long = spec();
        long.args = Args::from_value(&json!("x".repeat(limits::ARGS_BYTES)));
        assert!(matches!(long.validate(), Err(SpecError::ArgsTooLong { .. })));
        let mut many = spec();
        for n in 0..17 {
            many = many.label(format!("l{n}"), "v");
        }
        assert!(matches!(many.validate(), Err(SpecError::TooManyLabels { .. })));
        assert!(spec().label("l", "v".repeat(129)).validate().is_err());
        let both = spec().handover(Handover::StartFirst).exclusivity(Exclusivity::Strict);
        assert!(matches!(both.validate(), Err(SpecError::StartFirstNotAllowed { .. })));
        assert_eq!(spec().validate(), Ok(()));
    }
}
