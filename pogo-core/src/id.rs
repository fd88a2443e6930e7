//! Names and numbers of the cluster: who and what is meant, never what it does.
//!
//! Every id is a newtype so that a child id can never be passed for a member name. Text ids are
//! checked once, where they enter (R26), and are cheap to clone afterwards.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// A text id that breaks a limit of R26. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// The text is empty.
    #[error("{what} is empty")]
    Empty {
        /// Which id it was meant for.
        what: &'static str,
    },
    /// The text has more bytes than the limit.
    #[error("{what} has {len} bytes, at most {max} are allowed")]
    TooLong {
        /// Which id it was meant for.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// The text has a control character.
    #[error("{what} has a control character at byte {at}")]
    ControlCharacter {
        /// Which id it was meant for.
        what: &'static str,
        /// Byte position of the first one.
        at: usize,
    },
}

/// Checks `text` against the rules that all text ids share (R26).
pub(crate) fn check_text(what: &'static str, text: &str, max: usize) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { what });
    }
    if text.len() > max {
        return Err(IdError::TooLong { what, len: text.len(), max });
    }
    match text.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, _)) => Err(IdError::ControlCharacter { what, at }),
        None => Ok(()),
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The longest accepted text, in bytes.
            pub const MAX_BYTES: usize = $max;

            /// Checks `text` and makes the id.
            ///
            /// # Errors
            /// [`IdError`] where the text is empty, too long or has a control character.
            pub fn new(text: impl Into<Arc<str>>) -> Result<Self, IdError> {
                let text = text.into();
                check_text($what, &text, Self::MAX_BYTES)?;
                Ok(Self(text))
            }

            /// The text of the id.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = IdError;
            fn try_from(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }
    };
}

text_id!(
    /// The unique name of a child in its scope.
    ChildId, "child id", 256
);
text_id!(
    /// The name of the code that runs a child.
    Kind, "kind", 64
);
text_id!(
    /// The stable name of a member; it survives restarts (R13) and is what placement hashes.
    MemberName, "member name", 128
);
text_id!(
    /// All members that share a backend and its prefix.
    ClusterName, "cluster name", 64
);
text_id!(
    /// An independent namespace of children in a cluster.
    Scope, "scope", 64
);

/// One process start: random 128 bits (R13).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootId(u128);

impl BootId {
    /// Makes a boot id from random bits given by the caller.
    pub const fn from_random(bits: u128) -> Self {
        Self(bits)
    }

    /// The bits.
    pub const fn bits(self) -> u128 {
        self.0
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "boot:{:08x}", self.0 >> 96)
    }
}

/// Boot ids are strings in human-readable formats: few readers of JSON have numbers of 128 bits.
impl Serialize for BootId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u128(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for BootId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            u128::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
        } else {
            u128::deserialize(deserializer).map(Self)
        }
    }
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Makes it from its number.
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// Its number.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The next one; it stays at the largest number.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number_id!(
    /// The order of process starts and rejoins under one member name, fixed at join (R13).
    Incarnation
);
number_id!(
    /// One execution of a child on one member; local to that member's process.
    RunId
);
number_id!(
    /// One request to the node or from it; each gets exactly one answer.
    RequestId
);
number_id!(
    /// Orders the handovers of one child's state: a higher one is newer (R9).
    Lineage
);
number_id!(
    /// Counter of a spec's changes, for people; never compared (R2).
    Generation
);

/// The growing number that comes with a claim (R18); what a strict child writes to must check it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(u64);

impl FencingToken {
    /// Makes a token from its number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The token of what a store created at a revision in an epoch: a higher epoch is above every
    /// revision of a lower one. Revisions stay below 2^48.
    pub const fn of(epoch: u64, revision: u64) -> Self {
        Self(epoch << 48 | revision)
    }

    /// Its number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Tokens are strings in human-readable formats: JSON numbers lose bits above 2^53.
impl Serialize for FencingToken {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&self.0)
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for FencingToken {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map(Self).map_err(serde::de::Error::custom)
        } else {
            u64::deserialize(deserializer).map(Self)
        }
    }
}

/// A member's full identity: its stable name, its process start, and that start's order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MemberId {
    /// Stable name.
    pub name: MemberName,
    /// Order among the starts under this name.
    pub incarnation: Incarnation,
    /// The process start.
    pub boot: BootId,
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.name, f)
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}@{:?}", self.name, self.incarnation, self.boot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_ids_refuse_what_r26_forbids() {
        assert_eq!(ChildId::new(""), Err(IdError::Empty { what: "child id" }));
        assert_eq!(
            ChildId::new("x".repeat(257)),
            Err(IdError::TooLong { what: "child id", len: 257, max: 256 })
        );
        assert_eq!(
            ChildId::new("a\nb"),
            Err(IdError::ControlCharacter { what: "child id", at: 1 })
        );
        assert!(ChildId::new("x".repeat(256)).is_ok());
        assert!(Kind::new("k".repeat(65)).is_err());
    }

    #[test]
    fn deserialising_a_text_id_checks_it() {
        assert!(serde_json::from_str::<ChildId>("\"\"").is_err());
        assert_eq!(serde_json::from_str::<ChildId>("\"a\"").unwrap().as_str(), "a");
    }

    #[test]
    fn tokens_are_strings_in_json_and_numbers_on_the_wire() {
        let token = FencingToken::new(u64::MAX);
        assert_eq!(serde_json::to_string(&token).unwrap(), "\"18446744073709551615\"");
        let wire = postcard::to_allocvec(&token).unwrap();
        assert_eq!(postcard::from_bytes::<FencingToken>(&wire).unwrap(), token);
    }

    #[test]
    fn boot_ids_are_strings_in_json_and_numbers_on_the_wire() {
        let boot = BootId::from_random(0x0123_4567_89ab_cdef);
        let text = serde_json::to_string(&boot).unwrap();
        assert_eq!(text, "\"00000000000000000123456789abcdef\"");
        assert_eq!(serde_json::from_str::<BootId>(&text).unwrap(), boot);
        assert!(serde_json::from_str::<BootId>("\"boot\"").is_err());
        let wire = postcard::to_allocvec(&boot).unwrap();
        assert_eq!(postcard::from_bytes::<BootId>(&wire).unwrap(), boot);
    }
}
