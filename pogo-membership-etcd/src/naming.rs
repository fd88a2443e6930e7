//! Member names (R13): whether whoever has one still lives.

use std::time::Duration;

use etcd_client::{LeaseTimeToLiveResponse, ResponseHeader};
use pogo_core::{
    id::MemberName,
    membership::{MemberInfo, MembershipError},
};
use tokio::time::{Instant, sleep};

use crate::{
    codec::{Presence, decode},
    connect::Connection,
    error::{Intent, Meaning},
    keys::Keys,
};

/// How often the old lease is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// What stands at a member's key.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) info: Option<MemberInfo>,
    pub(crate) lease: i64,
    pub(crate) mod_revision: i64,
}

/// Who has a name, if anybody does.
pub(crate) async fn holder(
    connection: &Connection,
    keys: &Keys,
    name: &MemberName,
) -> Result<Option<Holder>, MembershipError> {
    let answer = connection.get(keys.member(name), None).await.map_err(read_error)?;
    Ok(answer.kvs().first().map(|kv| {
        let info = match decode(kv.key(), kv.value()) {
            Some(Presence::Here(info)) => Some(info),
            Some(Presence::Left(_)) | None => None,
        };
        Holder { info, lease: kv.lease(), mod_revision: kv.mod_revision() }
    }))
}

/// What was seen of a lease.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    /// Whole seconds that it had left at least.
    left: i64,
    /// After an election every lease has its whole time again.
    term: u64,
}

impl Look {
    fn of(answer: &LeaseTimeToLiveResponse) -> Self {
        let term = answer.header().map_or(0, ResponseHeader::raft_term);
        Self { at: Instant::now(), left: answer.ttl(), term }
    }

    /// Whether it has more left than it can have without a renewal since `first`.
    fn is_renewed_since(&self, first: &Self) -> bool {
        let passed = self.at.duration_since(first.at).as_secs_f64();
        let most = Duration::from_secs(u64::try_from(first.left + 1).unwrap_or_default());
        let left = Duration::from_secs(u64::try_from(self.left).unwrap_or_default());
        left.as_secs_f64() > most.as_secs_f64() - passed
    }
}

/// Waits until a lease has run out; `false` where it is renewed meanwhile.
pub(crate) async fn runs_out(connection: &Connection, lease: i64) -> Result<bool, MembershipError> {
    let mut client = connection.client.lease_client();
    let mut first: Option<Look> = None;
    loop {
        let answer = match connection.answer(client.time_to_live(lease, None)).await {
            Ok(answer) if answer.ttl() < 0 => return Ok(true),
            Ok(answer) => answer,
            Err(Meaning::LeaseGone) => return Ok(true),
            Err(meaning) => return Err(read_error(meaning)),
        };
        let look = Look::of(&answer);
        match &first {
            Some(first) if first.term == look.term => {
                if look.is_renewed_since(first) {
                    return Ok(false);
                }
            }
            _ => first = Some(look),
        }
        sleep(LOOK).await;
    }
}

fn read_error(meaning: Meaning) -> MembershipError {
    meaning.into_error(Intent::Read, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lease_counts_as_renewed_only_where_it_must_have_been() {
        let start = Instant::now();
        let at = |millis: u64, left: i64| Look {
            at: start + Duration::from_millis(millis),
            left,
            term: 1,
        };
        let first = at(0, 4);
        assert!(!at(900, 4).is_renewed_since(&first), "4.9 s less 0.9 s are 4 s");
        assert!(at(1_100, 4).is_renewed_since(&first), "no more than 3.9 s can be left");
        assert!(!at(3_000, 1).is_renewed_since(&first));
        assert!(!at(5_000, 0).is_renewed_since(&first));
    }
}
