//! A clock and a lease that the test sets.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    id::MemberId,
    membership::{MemberStatus, MembershipError, OwnedUpdate, Presence},
    record::Key,
    time::{Clock, Now, Timestamp},
};

/// What a strict run looks at: the time, and the end of its lease, both in nanoseconds.
#[derive(Debug, Default)]
pub(in crate::runtime) struct Hands {
    pub(in crate::runtime) now: AtomicU64,
    pub(in crate::runtime) lease: AtomicU64,
}

impl Clock for Hands {
    fn now(&self) -> Now {
        Now { mono: Timestamp::from_nanos(self.now.load(Ordering::SeqCst)), ..Now::default() }
    }
}

#[async_trait]
impl Presence for Hands {
    async fn set_status(&self, _status: MemberStatus) -> Result<(), MembershipError> {
        Ok(())
    }

    async fn publish(&self, _batch: Vec<OwnedUpdate>) -> Result<(), MembershipError> {
        Ok(())
    }

    async fn owned(
        &self,
        _member: &MemberId,
        _keys: &[Key],
    ) -> Result<Vec<Option<Bytes>>, MembershipError> {
        Ok(Vec::new())
    }

    fn lease_deadline(&self) -> Option<Timestamp> {
        let lease = self.lease.load(Ordering::SeqCst);
        (lease > 0).then_some(Timestamp::from_nanos(lease))
    }

    async fn leave(&self) -> Result<(), MembershipError> {
        Ok(())
    }
}
