//! What etcd's errors mean for a member.
//!
//! A request that got no answer may have run, whatever the error says: etcd answers
//! `Unavailable` also where a change was proposed and its outcome is not known. So writes end as
//! `Ambiguous` and reads as `Unavailable`, but for what is known not to have run.

use std::error::Error as _;

use etcd_client::Error;
use pogo_core::membership::MembershipError;

use crate::NAME;

/// Whether a request would have changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    Read,
    Write,
}

/// What an error of the client means.
#[derive(Debug, Clone)]
pub(crate) enum Meaning {
    /// The connection is of no use any more, for this reason.
    Broken(String),
    /// The server does not know the lease.
    LeaseGone,
    /// The member has no access.
    Denied(String),
    /// The request is above the server's limit.
    TooLarge,
    /// What stood at the revision that was asked for has been compacted away.
    Compacted,
    /// The server refuses changes for now, or the request as such.
    Refused(String),
}

impl Meaning {
    pub(crate) fn of(error: &Error, user: Option<&str>) -> Self {
        if let Error::GRpcStatus(status) = error {
            return Self::of_status(status.code() as i32, status.message(), error, user);
        }
        let is_gone = |text: &str| text.contains("not found");
        if matches!(error, Error::LeaseKeepAliveError(text) if is_gone(text)) {
            return Self::LeaseGone;
        }
        Self::Broken(whole(error))
    }

    /// By number, as the client does not re-export the names of gRPC's codes.
    fn of_status(code: i32, message: &str, error: &Error, user: Option<&str>) -> Self {
        const INVALID_ARGUMENT: i32 = 3;
        const NOT_FOUND: i32 = 5;
        const PERMISSION_DENIED: i32 = 7;
        const RESOURCE_EXHAUSTED: i32 = 8;
        const FAILED_PRECONDITION: i32 = 9;
        const OUT_OF_RANGE: i32 = 11;
        const UNAUTHENTICATED: i32 = 16;
        let said = |part: &str| message.contains(part);
        let who = user.map_or_else(|| "this member".to_owned(), |user| format!("user {user:?}"));
        if said("requested lease not found") {
            return Self::LeaseGone;
        }
        if said("request is too large") || said("message larger than max") {
            return Self::TooLarge;
        }
        match code {
            PERMISSION_DENIED => Self::Denied(format!(
                "{who} may not read and write the keys under /pogo/: grant a role with `etcdctl role \
                 grant-permission ROLE --prefix=true readwrite /pogo/CLUSTER/`"
            )),
            UNAUTHENTICATED => {
                Self::Denied(format!("the login of {who} is not valid any more ({message})"))
            }
            INVALID_ARGUMENT if said("authentication failed") => Self::Denied(format!(
                "the name or the password of {who} is wrong: see `user` and `password_file`, or the \
                 variable POGO_ETCD_PASSWORD"
            )),
            INVALID_ARGUMENT if said("user name is empty") => Self::Denied(
                "the server asks for a user: give `user` and `password_file`".to_owned(),
            ),
            FAILED_PRECONDITION if said("authentication is not enabled") => Self::Denied(
                "the server has no users, and a user is given: leave `user` out, or enable \
                 authentication there"
                    .to_owned(),
            ),
            INVALID_ARGUMENT if said("auth store is old") => Self::Broken(message.to_owned()),
            RESOURCE_EXHAUSTED if said("space exceeded") => Self::Refused(
                "the store is full (NOSPACE): compact, defragment and disarm the alarm, and set \
                 --auto-compaction-retention"
                    .to_owned(),
            ),
            // The client also has this code, for an answer that it holds to be too large.
            OUT_OF_RANGE if said("has been compacted") => Self::Compacted,
            NOT_FOUND | INVALID_ARGUMENT | FAILED_PRECONDITION | RESOURCE_EXHAUSTED => {
                Self::Refused(message.to_owned())
            }
            _ => Self::Broken(whole(error)),
        }
    }

    /// The error that a request with this intent ends with; `len` is its size in bytes.
    pub(crate) fn into_error(self, intent: Intent, len: usize) -> MembershipError {
        match (self, intent) {
            (Self::Broken(reason), Intent::Write) => ambiguous(reason),
            (Self::Broken(reason), Intent::Read) | (Self::Refused(reason), _) => {
                unavailable(reason)
            }
            (Self::Compacted, _) => unavailable("what was asked for has been compacted away"),
            (Self::LeaseGone, _) => MembershipError::SessionEnded,
            (Self::Denied(reason), _) => denied(reason),
            (Self::TooLarge, _) => MembershipError::TooLarge { len, max: len.saturating_sub(1) },
        }
    }
}

/// An error with all its causes: the outer ones alone say no more than `transport error`.
fn whole(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = None;
    if let Error::GRpcStatus(status) = error {
        cause = status.source();
    } else if let Error::TransportError(error) = error {
        cause = error.source();
    }
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    match hint(&text) {
        Some(hint) => format!("{text}; {hint}"),
        None => text,
    }
}

/// What to do about a connection that does not come about.
fn hint(text: &str) -> Option<&'static str> {
    let has = |part: &str| text.contains(part);
    if has("UnknownIssuer") || has("BadSignature") {
        Some("the server's certificate is not signed by the CA in `ca`: give the right file")
    } else if has("NotValidForName") {
        Some("the server's certificate is for another name: use that name as the host")
    } else if has("Expired") {
        Some("the server's certificate has expired")
    } else if has("CertificateRequired") || has("certificate required") || has("HandshakeFailure") {
        Some("the server asks for a certificate: give `cert` and `key`")
    } else if has("BadCertificate") || has("UnknownCA") || has("UnknownCa") {
        // Go says this also where no certificate came.
        Some(
            "the server does not take this member's certificate: give `cert` and `key`, signed by the CA that the \
             server trusts",
        )
    } else if has("stream closed because of a broken pipe") {
        // A server with TLS says why it closes, but what it says may come after the end of the stream.
        Some(
            "the server closed the connection at once: if it has TLS, use `etcds://`, and if it asks for a \
             certificate, give `cert` and `key`",
        )
    } else if has("tls handshake eof") {
        Some("the server does not speak TLS: use `etcd://`, or `etcds://` with servers that do")
    } else if has("InvalidContentType") || has("frame with invalid size") {
        Some(
            "one side encrypts and the other does not: use `etcds://` with servers that have TLS, else `etcd://`",
        )
    } else if has("Connection refused") || has("dns error") || has("No route to host") {
        Some("is etcd running there, and is the address right?")
    } else {
        None
    }
}

/// The request did not run.
pub(crate) fn unavailable(reason: impl Into<String>) -> MembershipError {
    MembershipError::Unavailable { backend: NAME, reason: reason.into() }
}

/// The request may have run.
pub(crate) fn ambiguous(reason: impl Into<String>) -> MembershipError {
    MembershipError::Ambiguous { backend: NAME, reason: reason.into() }
}

pub(crate) fn denied(reason: impl Into<String>) -> MembershipError {
    MembershipError::Denied { backend: NAME, reason: reason.into() }
}

pub(crate) fn misconfigured(reason: impl Into<String>) -> MembershipError {
    MembershipError::Misconfigured { backend: NAME, reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revision_that_was_compacted_away_is_told_from_a_broken_connection() {
        const OUT_OF_RANGE: i32 = 11;
        let of = |message: &str| {
            let error = Error::WatchError(message.to_owned());
            Meaning::of_status(OUT_OF_RANGE, message, &error, None)
        };
        let compacted = of("etcdserver: mvcc: required revision has been compacted");
        assert!(matches!(compacted, Meaning::Compacted), "{compacted:?}");
        let too_large =
            of("Error, decoded message length too large: found 9 bytes, the limit is 8");
        assert!(matches!(too_large, Meaning::Broken(_)), "{too_large:?}");
    }
}
