//! What this member reports, as a log of segments under its lease.
//!
//! Each batch is appended as one segment, or a few that belong together. Once what was appended
//! outweighs what it comes to, all of it is repeated at the end and everything before goes: so a
//! member has a bounded number of keys, each batch costs one write, and the end of a lease takes few keys
//! along, however many children there are.

use std::collections::BTreeMap;

use bytes::Bytes;
use etcd_client::{DeleteOptions, PutOptions, TxnOp};
use pogo_core::{
    membership::{MembershipError, OwnedUpdate},
    record::Key,
};

use crate::{
    codec::segments,
    error::unavailable,
    records::fitting,
    session::{Changed, Shared},
};

/// Bytes of one segment at most, but for a single record above that.
const SEGMENT: usize = 256 * 1024;
/// So many bytes are appended at least before everything is repeated.
const LEAST_GROWTH: usize = 64 * 1024;
/// And so many segments at most, whatever their size.
const MOST_SEGMENTS: u64 = 256;

/// A member's log.
#[derive(Debug, Default)]
pub(crate) struct Log {
    records: BTreeMap<Key, Bytes>,
    /// The bytes of that.
    size: usize,
    /// The first segment that there is, and the next to be written.
    first: u64,
    next: u64,
    /// Bytes appended since everything was last repeated.
    grown: usize,
}

impl Log {
    /// Appends a batch. After an error it may be appended again.
    pub(crate) async fn append(
        &mut self,
        shared: &Shared,
        batch: Vec<OwnedUpdate>,
    ) -> Result<(), MembershipError> {
        // What is repeated later is what the member wants to have said, come through or not.
        for update in &batch {
            self.note(update);
        }
        let parts = segments(batch, SEGMENT, false);
        self.grown += parts.iter().map(Vec::len).sum::<usize>();
        self.write(shared, parts, None).await?;
        if self.grown > LEAST_GROWTH.max(self.size) || self.next - self.first > MOST_SEGMENTS {
            self.repeat(shared).await?;
        }
        Ok(())
    }

    fn note(&mut self, update: &OwnedUpdate) {
        let key_size = update.key.as_str().len() + 16;
        let former = match &update.value {
            Some(value) => {
                self.size += value.len() + key_size;
                self.records.insert(update.key.clone(), value.clone())
            }
            None => self.records.remove(&update.key),
        };
        if let Some(former) = former {
            self.size = self.size.saturating_sub(former.len() + key_size);
        }
    }

    /// Repeats everything at the end of the log, and drops what stood before.
    async fn repeat(&mut self, shared: &Shared) -> Result<(), MembershipError> {
        let all = self.records.iter();
        let all =
            all.map(|(key, value)| OwnedUpdate { key: key.clone(), value: Some(value.clone()) });
        let parts = segments(all.collect(), SEGMENT, true);
        let first = self.next;
        self.write(shared, parts, Some(first)).await?;
        (self.first, self.grown) = (first, 0);
        Ok(())
    }

    /// Writes segments at the end; with the last of them those before `keep_from` go.
    async fn write(
        &mut self,
        shared: &Shared,
        mut parts: Vec<Vec<u8>>,
        keep_from: Option<u64>,
    ) -> Result<(), MembershipError> {
        let me = &shared.me;
        while !parts.is_empty() {
            let (count, size) = fitting(parts.iter().map(Vec::len));
            let rest = parts.split_off(count);
            let mut operations = Vec::with_capacity(count + 1);
            for part in std::mem::replace(&mut parts, rest) {
                let key = shared.keys.segment(&me.name, me.incarnation, self.next);
                // Never used again, written or not.
                self.next += 1;
                let leased = PutOptions::new().with_lease(shared.lease);
                operations.push(TxnOp::put(key, part, Some(leased)));
            }
            if let Some(keep_from) = keep_from.filter(|_| parts.is_empty()) {
                let from = shared.keys.segments(&me.name, me.incarnation);
                let until = shared.keys.segment(&me.name, me.incarnation, keep_from);
                operations.push(TxnOp::delete(from, Some(DeleteOptions::new().with_range(until))));
            }
            match shared.change(Vec::new(), operations, size).await? {
                Changed::Done { .. } => {}
                Changed::Refused => return Err(unavailable("the store refused a report")),
            }
        }
        Ok(())
    }
}
