//! What the author of a backend gives to the suite: clusters, and the faults that can be caused in
//! them.

use std::{collections::BTreeSet, error::Error, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use pogo_core::{
    id::{BootId, ClusterName, MemberName, Scope},
    membership::{Capabilities, Membership},
};

/// Why a harness could not do what it was asked: a fault of the test bed, not of the backend.
pub type HarnessError = Box<dyn Error + Send + Sync>;

/// Makes clusters of one backend for the suite.
#[async_trait]
pub trait Harness: fmt::Debug + Send + Sync {
    /// An empty cluster that shares nothing with those made before. Its members will join as
    /// `cluster` and, but for one case, in `scope`.
    ///
    /// # Errors
    /// [`HarnessError`] where the test bed does not work, as without its server.
    async fn cluster(
        &self,
        cluster: &ClusterName,
        scope: &Scope,
    ) -> Result<Box<dyn Cluster>, HarnessError>;

    /// What its clusters can do besides making members. A case that needs more is skipped.
    fn means(&self) -> BTreeSet<Means> {
        BTreeSet::new()
    }

    /// Whose time the backend lives in.
    fn time(&self) -> Time {
        Time::Real
    }

    /// By how much a busy machine may overstep a promised time.
    fn slack(&self) -> Duration {
        match self.time() {
            Time::Real => Duration::from_secs(2),
            Time::Paused => Duration::from_millis(100),
        }
    }

    /// How many members join at once where many do.
    fn crowd(&self) -> usize {
        50
    }
}

/// One cluster: where its members come from, and what can be done to them.
///
/// Each method but the first two belongs to one of [`Means`] and is called only where
/// [`Harness::means`] names it.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// What the backend promises here, to every member alike.
    fn promises(&self) -> Capabilities;

    /// The backend as this process has it. A store gives the same to all; where each process has an
    /// address of its own, this makes it, or finds it when the process joins again.
    ///
    /// # Errors
    /// [`HarnessError`].
    async fn backend(&self, process: &Process) -> Result<Arc<dyn Membership>, HarnessError>;

    /// [`Means::CutOff`]: nothing passes any more between the member and the others, or the store,
    /// in either direction; nothing is closed.
    ///
    /// # Errors
    /// [`HarnessError`].
    async fn cut_off(&self, _member: &MemberName) -> Result<(), HarnessError> {
        Err(not_offered(Means::CutOff))
    }

    /// [`Means::CutOff`]: ends that.
    ///
    /// # Errors
    /// [`HarnessError`].
    async fn reconnect(&self, _member: &MemberName) -> Result<(), HarnessError> {
        Err(not_offered(Means::CutOff))
    }

    /// [`Means::Outage`]: from now on the store answers nobody; `false` ends that.
    ///
    /// # Errors
    /// [`HarnessError`].
    async fn set_outage(&self, _outage: bool) -> Result<(), HarnessError> {
        Err(not_offered(Means::Outage))
    }

    /// [`Means::Restart`]: everything ends and starts again with what it kept on disk. No member
    /// is joined meanwhile.
    ///
    /// # Errors
    /// [`HarnessError`].
    async fn restart(&self) -> Result<(), HarnessError> {
        Err(not_offered(Means::Restart))
    }

    /// [`Means::Wipe`]: the store loses all it has.
    ///
    /// # Errors
    /// [`HarnessError`].
    async fn wipe(&self) -> Result<(), HarnessError> {
        Err(not_offered(Means::Wipe))
    }

    /// [`Means::Restore`]: takes a copy of what the store has.
    ///
    /// # Errors
    /// [`HarnessError`].
    async fn back_up(&self) -> Result<(), HarnessError> {
        Err(not_offered(Means::Restore))
    }

    /// [`Means::Restore`]: puts that copy in the place of what the store has now.
    ///
    /// # Errors
    /// [`HarnessError`].
    async fn restore(&self) -> Result<(), HarnessError> {
        Err(not_offered(Means::Restore))
    }

    /// [`Means::LoseFeed`]: the member can no longer be told what it has not been told yet, as
    /// after a compaction.
    ///
    /// # Errors
    /// [`HarnessError`].
    async fn lose_feed(&self, _member: &MemberName) -> Result<(), HarnessError> {
        Err(not_offered(Means::LoseFeed))
    }

    /// [`Means::Intruder`]: the backend with credentials that the cluster does not accept.
    ///
    /// # Errors
    /// [`HarnessError`].
    async fn intruder(&self) -> Result<Arc<dyn Membership>, HarnessError> {
        Err(not_offered(Means::Intruder))
    }

    /// [`Means::OtherWire`]: another empty cluster of this name, encrypted where this one is not,
    /// plain where it is.
    ///
    /// # Errors
    /// [`HarnessError`].
    async fn other_wire(&self) -> Result<Box<dyn Cluster>, HarnessError> {
        Err(not_offered(Means::OtherWire))
    }

    /// [`Means::Measure`]: how many bytes of owned records the store keeps for this cluster.
    ///
    /// # Errors
    /// [`HarnessError`].
    async fn stored_bytes(&self) -> Result<u64, HarnessError> {
        Err(not_offered(Means::Measure))
    }
}

/// A process that is about to join.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// The cluster's name, or in one case that of a neighbour on the same server.
    pub cluster: ClusterName,
    /// The member that it will be.
    pub member: MemberName,
    /// Its start; the same when it joins again.
    pub boot: BootId,
}

/// What a [`Cluster`] may be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Means {
    /// Cut a member off from all others and from the store, and reconnect it.
    CutOff,
    /// Stop the store for all members at once.
    Outage,
    /// End and start everything again.
    Restart,
    /// Empty the store.
    Wipe,
    /// Put an older copy in the place of the store's data.
    Restore,
    /// Lose what is on its way to a member.
    LoseFeed,
    /// Try with wrong credentials.
    Intruder,
    /// Switch encryption.
    OtherWire,
    /// Tell how much is stored.
    Measure,
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CutOff => "cut a member off",
            Self::Outage => "stop the store",
            Self::Restart => "restart everything",
            Self::Wipe => "empty the store",
            Self::Restore => "restore a backup",
            Self::LoseFeed => "lose a feed",
            Self::Intruder => "come with wrong credentials",
            Self::OtherWire => "switch encryption",
            Self::Measure => "measure what is stored",
        })
    }
}

/// Whose time a backend lives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// The machine's.
    Real,
    /// The tokio clock of the thread that uses it. The suite pauses it, so waiting costs nothing;
    /// this needs the feature `paused`.
    Paused,
}

fn not_offered(means: Means) -> HarnessError {
    format!("the harness cannot {means}").into()
}
