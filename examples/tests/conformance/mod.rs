//! The backend over a directory passes the suite that every backend passes.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use pogo::{
    id::{ClusterName, Scope},
    membership::{Capabilities, Membership},
};
use pogo_conformance::{Cluster, Harness, HarnessError, Means, Process, conformance_tests};
use tempfile::TempDir;

use crate::directory::Directory;

#[derive(Debug)]
struct Directories;

struct OneDirectory(TempDir);

#[async_trait]
impl Harness for Directories {
    async fn cluster(&self, _: &ClusterName, _: &Scope) -> Result<Box<dyn Cluster>, HarnessError> {
        Ok(Box::new(OneDirectory(tempfile::tempdir()?)))
    }

    fn means(&self) -> BTreeSet<Means> {
        [Means::Restart].into()
    }
}

#[async_trait]
impl Cluster for OneDirectory {
    fn promises(&self) -> Capabilities {
        Directory::new(self.0.path()).capabilities()
    }

    async fn backend(&self, _: &Process) -> Result<Arc<dyn Membership>, HarnessError> {
        Ok(Arc::new(Directory::new(self.0.path())))
    }

    /// Files stay where they are when every process ends.
    async fn restart(&self) -> Result<(), HarnessError> {
        Ok(())
    }
}

conformance_tests! {
    Directories,
    skips: [
        crash_is_told_as_failed_within_the_promised_time,
        member_that_was_given_up_learns_of_it,
        claim_has_one_owner_among_many_racers,
        token_grows_with_every_grant,
        claim_is_freed_by_release_leave_and_crash,
        claim_is_not_freed_before_the_deadline_of_its_holder,
        holder_that_is_cut_off_passes_its_deadline_first,
        refusal_names_the_holder,
        holder_that_asks_again_keeps_its_token,
        gap_makes_a_new_snapshot_and_no_false_leave,
        short_cut_kills_nobody,
        outage_of_the_store_degrades_and_kills_nobody,
        wiped_store_is_filled_again_from_memory,
        older_backup_is_noticed_and_made_good,
        wrong_credentials_are_denied,
        lease_deadline_never_goes_back_and_stands_when_cut_off,
        works_encrypted_and_plain,
    ],
}
