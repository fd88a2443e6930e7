//! Where things stand in the store.
//!
//! | key under `/pogo/CLUSTER/v1/` | leased | what |
//! |---|---|---|
//! | `epoch` | no | which life of the store this is, and the epoch of its tokens (R18) |
//! | `settling` | for one lease time | no claim is granted while it stands |
//! | `SCOPE/m/NAME` | yes | the member's presence |
//! | `SCOPE/l/NAME` | yes | the member's current connection: what an earlier one sent late is refused |
//! | `SCOPE/h/NAME` | yes | who waits to replace the member of this name |
//! | `SCOPE/n/NAME` | no | the last incarnation under this name (R13) |
//! | `SCOPE/s/KEY` | no | a shared record |
//! | `SCOPE/o/NAME/INCARNATION/SEQ` | yes | a segment of what the member reports |
//! | `SCOPE/c/KEY` | yes | a claim; its create revision makes the token |

use pogo_core::{
    id::{ClusterName, Incarnation, MemberName, Scope},
    record::Key,
};

/// The keys of one scope in one cluster.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    cluster: String,
    scope: String,
}

/// What a key of the scope stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Member(MemberName),
    Heir(MemberName),
    Shared(Key),
    Segment(MemberName, Incarnation),
    Claim(Key),
}

impl Keys {
    pub(crate) fn new(cluster: &ClusterName, scope: &Scope) -> Self {
        let cluster = format!("/pogo/{}/v1/", escape(cluster.as_str()));
        let scope = format!("{cluster}{}/", escape(scope.as_str()));
        Self { cluster, scope }
    }

    /// What all keys of the cluster begin with.
    pub(crate) fn cluster(&self) -> &str {
        &self.cluster
    }

    /// What all keys of the scope begin with.
    pub(crate) fn scope(&self) -> &str {
        &self.scope
    }

    pub(crate) fn epoch(&self) -> String {
        format!("{}epoch", self.cluster)
    }

    pub(crate) fn settling(&self) -> String {
        format!("{}settling", self.cluster)
    }

    pub(crate) fn member(&self, name: &MemberName) -> String {
        format!("{}m/{}", self.scope, escape(name.as_str()))
    }

    pub(crate) fn link(&self, name: &MemberName) -> String {
        format!("{}l/{}", self.scope, escape(name.as_str()))
    }

    pub(crate) fn heir(&self, name: &MemberName) -> String {
        format!("{}h/{}", self.scope, escape(name.as_str()))
    }

    pub(crate) fn last_incarnation(&self, name: &MemberName) -> String {
        format!("{}n/{}", self.scope, escape(name.as_str()))
    }

    pub(crate) fn shared(&self, key: &Key) -> String {
        format!("{}s/{key}", self.scope)
    }

    pub(crate) fn claim(&self, key: &Key) -> String {
        format!("{}c/{key}", self.scope)
    }

    /// A segment; those of a member are in the order in which it wrote them.
    pub(crate) fn segment(&self, name: &MemberName, incarnation: Incarnation, seq: u64) -> String {
        let incarnation = incarnation.get();
        format!("{}o/{}/{incarnation:016x}/{seq:016x}", self.scope, escape(name.as_str()))
    }

    /// What all segments of one stay of a member begin with.
    pub(crate) fn segments(&self, name: &MemberName, incarnation: Incarnation) -> String {
        format!("{}o/{}/{:016x}/", self.scope, escape(name.as_str()), incarnation.get())
    }

    /// What a key of this scope stands for; `None` for those that only their writer reads.
    pub(crate) fn place(&self, key: &[u8]) -> Option<Place> {
        let text = std::str::from_utf8(key).ok()?.strip_prefix(&self.scope)?;
        let (kind, rest) = text.split_once('/')?;
        let name = |text: &str| MemberName::new(unescape(text)?).ok();
        match kind {
            "m" => Some(Place::Member(name(rest)?)),
            "h" => Some(Place::Heir(name(rest)?)),
            "s" => Some(Place::Shared(Key::new(rest))),
            "c" => Some(Place::Claim(Key::new(rest))),
            "o" => {
                let mut parts = rest.split('/');
                let name = name(parts.next()?)?;
                let incarnation = u64::from_str_radix(parts.next()?, 16).ok()?;
                Some(Place::Segment(name, Incarnation::new(incarnation)))
            }
            _ => None,
        }
    }
}

/// `text` as one segment of a key: `%` and `/` as `%25` and `%2F`.
fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('/', "%2F")
}

fn unescape(text: &str) -> Option<String> {
    let decoded = text.replace("%2F", "/").replace("%25", "%");
    (escape(&decoded) == text).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(cluster: &str, scope: &str) -> Keys {
        Keys::new(&ClusterName::new(cluster).unwrap(), &Scope::new(scope).unwrap())
    }

    proptest! {
        #[test]
        fn every_key_is_read_as_what_it_was_written_for(
            name in "[ -~]{1,20}", scope in "[ -~]{1,20}", key in "[ -~]{0,20}", inc: u64, seq: u64,
        ) {
            let keys = keys("pogo", &scope);
            let name = MemberName::new(name).unwrap();
            let key = Key::new(key);
            let read = |text: String| keys.place(text.as_bytes());
            prop_assert_eq!(read(keys.member(&name)), Some(Place::Member(name.clone())));
            prop_assert_eq!(read(keys.heir(&name)), Some(Place::Heir(name.clone())));
            prop_assert_eq!(read(keys.shared(&key)), Some(Place::Shared(key.clone())));
            prop_assert_eq!(read(keys.claim(&key)), Some(Place::Claim(key.clone())));
            let incarnation = Incarnation::new(inc);
            let segment = read(keys.segment(&name, incarnation, seq));
            prop_assert_eq!(segment, Some(Place::Segment(name.clone(), incarnation)));
            prop_assert_eq!(read(keys.link(&name)), None);
            prop_assert_eq!(read(keys.epoch()), None);
        }
    }

    #[test]
    fn no_scope_or_cluster_lies_within_another() {
        let plain = keys("a", "b");
        for other in [keys("a/v1", "b"), keys("a", "b/c"), keys("a", "b%2Fc"), keys("a%2F", "b")] {
            assert!(!other.scope().starts_with(plain.scope()), "{other:?}");
            assert!(!plain.scope().starts_with(other.scope()), "{other:?}");
        }
    }

    #[test]
    fn segments_are_in_the_order_of_their_numbers() {
        let keys = keys("a", "b");
        let name = MemberName::new("m").unwrap();
        let at = |seq| keys.segment(&name, Incarnation::new(7), seq);
        assert!(at(9) < at(10) && at(255) < at(256));
        assert!(at(1).starts_with(&keys.segments(&name, Incarnation::new(7))));
    }
}
