//! What the node writes into records, and the keys that it writes under.
//!
//! Specs, strikes and member records are JSON, so that an operator can read them in a store;
//! owned records and state are
//! postcard behind a version byte, because there are many and they are large. Garbage is an error
//! that the caller counts and drops.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    id::{BootId, ChildId, FencingToken, Generation, IdError, Kind, Lineage, MemberName},
    record::{Key, Version},
    spec::ChildSpec,
};

/// The first byte of every packed record.
const PACKED_VERSION: u8 = 1;

/// A record that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Garbage {
    #[error("not the expected JSON: {0}")]
    Json(String),
    #[error("not the expected bytes: {0}")]
    Bytes(String),
    #[error("format {0} is not known here")]
    Format(u8),
    #[error(transparent)]
    Id(#[from] IdError),
    #[error("key is not one of this version's")]
    Key,
}

/// A shared record's subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SharedKey {
    /// `spec/<id>`: what is desired.
    Spec(ChildId),
    /// `state/<id>`: state being handed over.
    State(ChildId),
    /// `strikes/<id>`: members that died while the child started (R11).
    Strikes(ChildId),
    /// `member/<name>`: cordon and drain asked for from elsewhere.
    Member(MemberName),
}

impl SharedKey {
    pub(super) fn parse(key: &Key) -> Result<Self, Garbage> {
        let (family, rest) = key.as_str().split_once('/').ok_or(Garbage::Key)?;
        Ok(match family {
            "spec" => Self::Spec(ChildId::new(rest)?),
            "state" => Self::State(ChildId::new(rest)?),
            "strikes" => Self::Strikes(ChildId::new(rest)?),
            "member" => Self::Member(MemberName::new(rest)?),
            _ => return Err(Garbage::Key),
        })
    }
}

pub(super) fn spec_key(id: &ChildId) -> Key {
    Key::new(format!("spec/{id}"))
}

pub(super) fn state_key(id: &ChildId) -> Key {
    Key::new(format!("state/{id}"))
}

pub(super) fn strikes_key(id: &ChildId) -> Key {
    Key::new(format!("strikes/{id}"))
}

pub(super) fn member_key(name: &MemberName) -> Key {
    Key::new(format!("member/{name}"))
}

pub(super) fn claim_key(id: &ChildId) -> Key {
    Key::new(id.as_str())
}

/// An owned record's subject. In key order reports come before the view (R6): what a member
/// started before it knew another is told no later than that it knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum OwnedKey {
    /// `r/<id>`: a report.
    Report(ChildId),
    /// `v`: the view.
    View,
    /// `w/<id>`: a want (R7).
    Want(ChildId),
}

impl OwnedKey {
    pub(super) fn parse(key: &Key) -> Result<Self, Garbage> {
        if key.as_str() == "v" {
            return Ok(Self::View);
        }
        match key.as_str().split_once('/') {
            Some(("r", id)) => Ok(Self::Report(ChildId::new(id)?)),
            Some(("w", id)) => Ok(Self::Want(ChildId::new(id)?)),
            _ => Err(Garbage::Key),
        }
    }

    pub(super) fn to_key(&self) -> Key {
        match self {
            Self::Report(id) => Key::new(format!("r/{id}")),
            Self::View => Key::new("v"),
            Self::Want(id) => Key::new(format!("w/{id}")),
        }
    }
}

/// The value of `spec/<id>`; a tombstone has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct SpecRecord {
    /// Counts changes, for people.
    pub(super) generation: Generation,
    /// Counts the restarts asked for: a change of nothing else restarts the child in place.
    pub(super) restarts_asked: u64,
    /// The write that this one replaced: a winner that had not seen the loser overwrote it (R3).
    pub(super) over: Option<Version>,
    /// What to run.
    pub(super) spec: ChildSpec,
}

/// The value of `state/<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StateRecord {
    /// Whose state it is: a child of another kind has no use for it.
    pub(super) kind: Kind,
    pub(super) lineage: Lineage,
    /// Given to a running instance of this process (R8), not to the next start.
    pub(super) absorb_by: Option<BootId>,
    pub(super) state: Bytes,
}

/// The value of `strikes/<id>`: the processes that died while the child started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StrikesRecord {
    /// The write that they died of.
    pub(super) version: Version,
    pub(super) boots: BTreeSet<BootId>,
}

/// The value of `member/<name>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct MemberRecord {
    pub(super) cordoned: bool,
    /// A drain asked of one process, so that its successor under the name is not drained too.
    pub(super) drain: Option<DrainOrder>,
}

/// A drain asked for from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct DrainOrder {
    pub(super) boot: BootId,
    pub(super) deadline_ms: u64,
}

/// A member's report of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) version: Version,
    pub(super) phase: ReportPhase,
    /// Restarts of this spec after failures.
    pub(super) restarts: u32,
    /// Failures that still count (R11).
    pub(super) failures: u32,
    pub(super) token: Option<FencingToken>,
    pub(super) endpoint: Option<String>,
}

impl Report {
    /// Whom the child is released to.
    pub(super) const fn released_to(&self) -> Option<BootId> {
        let ReportPhase::Released { to, .. } = self.phase else { return None };
        Some(to)
    }
}

/// What a reported instance does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ReportPhase {
    Starting,
    Running,
    Stopping,
    Moving {
        to: MemberName,
    },
    Backoff {
        last: String,
    },
    Quarantined {
        last: String,
    },
    Stuck,
    /// Given up for this process to take, its state under this lineage (R7).
    Released {
        to: BootId,
        lineage: Option<Lineage>,
    },
    /// Complete; the mark is on its way (R4).
    Done,
}

/// The value of `v`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ViewRecord {
    pub(super) members: Vec<BootId>,
    pub(super) digest: u64,
    /// How often this member has begun to refuse new children, or ceased to: odd while it does. Its
    /// own word, not the record that asked for it: only so do others learn of its last start before
    /// they stop counting on it. A count, so that a view from before a cordon that was taken back is
    /// not taken for one from after it (R6).
    pub(super) cordons: u32,
    /// Who else is seen, and is not active (R17).
    pub(super) inactive: Vec<BootId>,
}

impl ViewRecord {
    /// Whether this member refuses new children.
    pub(super) const fn is_cordoned(&self) -> bool {
        self.cordons % 2 == 1
    }

    /// All that are seen.
    pub(super) fn all(&self) -> impl Iterator<Item = BootId> {
        self.members.iter().chain(&self.inactive).copied()
    }

    /// Whether this member is seen.
    pub(super) fn names(&self, boot: BootId) -> bool {
        self.members.binary_search(&boot).is_ok() || self.inactive.contains(&boot)
    }
}

pub(super) fn to_json<T: Serialize>(value: &T) -> Result<Bytes, Garbage> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|e| Garbage::Json(e.to_string()))
}

pub(super) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Garbage> {
    serde_json::from_slice(bytes).map_err(|e| Garbage::Json(e.to_string()))
}

pub(super) fn to_packed<T: Serialize>(value: &T) -> Result<Bytes, Garbage> {
    postcard::to_extend(value, vec![PACKED_VERSION])
        .map(Bytes::from)
        .map_err(|e| Garbage::Bytes(e.to_string()))
}

pub(super) fn from_packed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Garbage> {
    match bytes.split_first() {
        Some((&PACKED_VERSION, rest)) => {
            postcard::from_bytes(rest).map_err(|e| Garbage::Bytes(e.to_string()))
        }
        Some((format, _)) => Err(Garbage::Format(*format)),
        None => Err(Garbage::Bytes("empty".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_survive_the_wire_and_garbage_does_not_pass() {
        let report = Report {
            version: Version::of(7, BootId::from_random(1), Some(b"x")),
            phase: ReportPhase::Released {
                to: BootId::from_random(2),
                lineage: Some(Lineage::new(3)),
            },
            restarts: 4,
            failures: 1,
            token: Some(FencingToken::new(9)),
            endpoint: Some("http://a".to_owned()),
        };
        let bytes = to_packed(&report).unwrap();
        assert_eq!(from_packed::<Report>(&bytes), Ok(report));
        assert_eq!(from_packed::<Report>(&[9, 9]), Err(Garbage::Format(9)));
        assert!(from_packed::<Report>(&bytes[..bytes.len() / 2]).is_err());
        assert!(from_packed::<Report>(&[]).is_err());
    }

    #[test]
    fn keys_parse_back_and_reports_sort_before_the_view() {
        let id = ChildId::new("a/b").unwrap();
        assert_eq!(SharedKey::parse(&spec_key(&id)), Ok(SharedKey::Spec(id.clone())));
        assert_eq!(SharedKey::parse(&Key::new("other/x")), Err(Garbage::Key));
        for key in [OwnedKey::Report(id.clone()), OwnedKey::View, OwnedKey::Want(id.clone())] {
            assert_eq!(OwnedKey::parse(&key.to_key()), Ok(key));
        }
        assert!(OwnedKey::Report(id) < OwnedKey::View);
    }
}
