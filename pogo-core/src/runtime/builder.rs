//! From settings to a running supervisor: everything is checked before anything runs.

use std::{
    fmt, future::Future, io, marker::PhantomData, num::NonZeroU32, sync::Arc, time::Duration,
};

use serde::de::DeserializeOwned;
use tokio::runtime::Handle;

use super::{
    backend::{Backend, Backends, Naming},
    child::{Child, Exit},
    clock::SystemClock,
    context::ChildContext,
    error::StartError,
    kind::{Closure, Kinds, Runnable, Typed},
    launch::{Plan, launch},
    session::Joining,
    supervisor::Supervisor,
};
use crate::{
    id::{BootId, ClusterName, Kind, MemberName, Scope, check_text},
    membership::{Guarantee, Join, Membership, NameChoice},
    node::{Config, is_long_enough_a_lease},
    spec::{ChildSpec, Exclusivity, check_labels},
};

/// The longest application version, in bytes.
const VERSION_BYTES: usize = 128;

/// The settings of a supervisor; only a scope and a backend are required.
#[must_use]
pub struct Builder<B> {
    scope: String,
    cluster: Option<String>,
    name: Option<String>,
    source: Option<Source>,
    kinds: Vec<(String, Arc<dyn Runnable>)>,
    children: Vec<ChildSpec>,
    config: Config,
    min_members: u32,
    max_moves: u32,
    join_timeout: Duration,
    abort_past_deadline: bool,
    backends: PhantomData<fn() -> B>,
}

enum Source {
    Url(String),
    Membership(Arc<dyn Membership>),
}

impl<B: Backends> Builder<B> {
    pub(super) fn new(scope: String) -> Self {
        let config = Config::default();
        Self {
            scope,
            cluster: None,
            name: None,
            source: None,
            kinds: Vec::new(),
            children: Vec::new(),
            min_members: config.min_members.get(),
            max_moves: config.max_moves.get(),
            config,
            join_timeout: Duration::from_secs(15),
            abort_past_deadline: false,
            backends: PhantomData,
        }
    }

    /// The member's stable name; it survives restarts. Defaults to the host's name (R13).
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The cluster, all that share the backend and its prefix. Defaults to the URL's, else `pogo`.
    pub fn cluster(mut self, cluster: impl Into<String>) -> Self {
        self.cluster = Some(cluster.into());
        self
    }

    /// The backend by URL, in place of [`membership`](Self::membership).
    pub fn backend(mut self, url: impl Into<String>) -> Self {
        self.source = Some(Source::Url(url.into()));
        self
    }

    /// The backend itself, in place of [`backend`](Self::backend).
    pub fn membership(mut self, membership: Arc<dyn Membership>) -> Self {
        self.source = Some(Source::Membership(membership));
        self
    }

    /// Adds a label of this member, for children that require it.
    pub fn label(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.metadata.labels.insert(label.into(), value.into());
        self
    }

    /// This member's share of children relative to others (1); 0 makes it an observer.
    pub const fn weight(mut self, weight: u16) -> Self {
        self.config.metadata.weight = weight;
        self
    }

    /// The application's version, for people.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.config.metadata.version = version.into();
        self
    }

    /// Offers a kind, with what its children need on this member.
    pub fn kind<C: Child>(mut self, child: C) -> Self {
        self.kinds.push((C::KIND.to_owned(), Typed::erase(child)));
        self
    }

    /// Offers a kind written as a closure; its children are ready at their first poll (R10).
    pub fn kind_fn<A, S, F, Fut>(mut self, kind: impl Into<String>, code: F) -> Self
    where
        F: Fn(A, ChildContext<S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Exit> + Send + 'static,
        A: DeserializeOwned + Send + 'static,
        S: 'static,
    {
        self.kinds.push((kind.into(), Closure::erase(code)));
        self
    }

    /// Adds children that are started where the cluster has never heard of them; those that were
    /// terminated or are complete stay so (R20).
    pub fn children(mut self, specs: impl IntoIterator<Item = ChildSpec>) -> Self {
        self.children.extend(specs);
        self
    }

    /// The exclusivity of children that do not say themselves (`Available`).
    pub const fn exclusivity(mut self, exclusivity: Exclusivity) -> Self {
        self.config.exclusivity = exclusivity;
        self
    }

    /// Lets strict children rest on claims that hold only while the store loses no acknowledged
    /// write.
    pub const fn accept_best_effort_claims(mut self) -> Self {
        self.config.accept_best_effort_claims = true;
        self
    }

    /// Ends the whole process (`SIGABRT` on Unix) where a strict child still runs past its deadline,
    /// because it blocks its thread: as a crash, which others can tell from a member that is slow
    /// (R16). Until its deadline, and without this, such a child is `Stuck`.
    pub const fn abort_past_deadline(mut self) -> Self {
        self.abort_past_deadline = true;
        self
    }

    /// Members that must be seen at once, once, before children start (1; R12).
    pub const fn min_members(mut self, members: u32) -> Self {
        self.min_members = members;
        self
    }

    /// Restarts of one child allowed within `window` before it is quarantined (5 in 60 s; R11).
    pub const fn restart_intensity(mut self, restarts: u32, window: Duration) -> Self {
        self.config.restart.intensity = restarts;
        self.config.restart.window = window;
        self
    }

    /// Planned moves towards this member that may be under way at once (256; R7).
    pub const fn max_moves(mut self, moves: u32) -> Self {
        self.max_moves = moves;
        self
    }

    /// How long a crashed member is waited for (0; R14).
    pub const fn failover_delay(mut self, delay: Duration) -> Self {
        self.config.failover_delay = delay;
        self
    }

    /// Time between slow full passes, the safety net under everything that happens at once (5 s).
    pub const fn sync_interval(mut self, interval: Duration) -> Self {
        self.config.sync_interval = interval;
        self
    }

    /// How long a child may take until it is ready (30 s; R10).
    pub const fn start_timeout(mut self, timeout: Duration) -> Self {
        self.config.start_timeout = timeout;
        self
    }

    /// How long a child that one member released waits for the next (10 s; R7).
    pub const fn handover_timeout(mut self, timeout: Duration) -> Self {
        self.config.handover_timeout = timeout;
        self
    }

    /// How long [`start`](Self::start) tries to join (15 s).
    pub const fn join_timeout(mut self, timeout: Duration) -> Self {
        self.join_timeout = timeout;
        self
    }

    /// Overrides the backend's bound on how long views settle after an addition (R6).
    pub const fn view_settle(mut self, bound: Duration) -> Self {
        self.config.view_settle = Some(bound);
        self
    }

    /// Checks the settings, joins the cluster, and runs; children run on the tokio runtime that
    /// this is called on. [`Supervisor::ready`] then tells when the member takes part.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    ///
    /// # Cancel safety
    /// Dropping the future stops what was started.
    pub async fn start(self) -> Result<Supervisor<B>, StartError> {
        let plan = self.plan()?;
        launch(plan).await.map(|inner| Supervisor::new(Arc::new(inner)))
    }

    fn plan(mut self) -> Result<Plan, StartError> {
        let runtime = Handle::try_current().map_err(|_missing| StartError::NoRuntime)?;
        self.check_settings()?;
        let kinds = self.checked_kinds()?;
        let scope = Scope::new(self.scope.as_str())?;
        let backend = self.open()?;
        self.check_exclusivity(&*backend.membership)?;
        let cluster = match (&self.cluster, backend.cluster) {
            (Some(cluster), _) => ClusterName::new(cluster.as_str())?,
            (None, Some(cluster)) => cluster,
            (None, None) => ClusterName::new("pogo")?,
        };
        let name = match (&self.name, backend.name) {
            (Some(name), _) => MemberName::new(name.as_str())?,
            (None, Some(name)) => name,
            (None, None) => MemberName::new(host_name())?,
        };
        let name = match backend.naming {
            Naming::Exact => NameChoice::Exactly(name),
            Naming::Suffixed => NameChoice::Suffixed(name),
        };
        let clock = Arc::new(SystemClock::start_now());
        let boot = BootId::from_random(u128::from_le_bytes(random()?));
        let seed = u64::from_le_bytes(random()?);
        let join = Join {
            cluster,
            scope,
            name,
            boot,
            metadata: self.config.metadata.clone(),
            within: self.join_timeout,
            clock: Arc::<SystemClock>::clone(&clock),
        };
        let joining = Joining { membership: backend.membership, join, seed };
        Ok(Plan {
            joining,
            config: self.config,
            kinds,
            children: self.children,
            clock,
            runtime,
            abort_past_deadline: self.abort_past_deadline,
        })
    }

    fn check_settings(&mut self) -> Result<(), StartError> {
        check_labels("labels", &self.config.metadata.labels).map_err(StartError::Labels)?;
        if !self.config.metadata.version.is_empty() {
            check_text("version", &self.config.metadata.version, VERSION_BYTES)?;
        }
        for (setting, value) in [
            ("sync_interval", self.config.sync_interval),
            ("start_timeout", self.config.start_timeout),
            ("handover_timeout", self.config.handover_timeout),
            ("join_timeout", self.join_timeout),
            ("restart_intensity", self.config.restart.window),
        ] {
            if value.is_zero() {
                return Err(StartError::Setting { setting, reason: "must not be zero" });
            }
        }
        self.config.min_members = positive("min_members", self.min_members)?;
        self.config.max_moves = positive("max_moves", self.max_moves)?;
        Ok(())
    }

    /// Makes the registry, and checks the initial children against it.
    fn checked_kinds(&mut self) -> Result<Kinds, StartError> {
        let mut kinds = Kinds::default();
        for (kind, code) in std::mem::take(&mut self.kinds) {
            let kind = Kind::new(kind)?;
            if !kinds.add(kind.clone(), code) {
                return Err(StartError::DuplicateKind { kind });
            }
        }
        for child in &self.children {
            kinds
                .check(child)
                .and_then(|()| Ok(child.fits(self.config.exclusivity)?))
                .map_err(|source| StartError::Child { id: child.id.clone(), source })?;
        }
        self.config.metadata.kinds = kinds.names().cloned().collect();
        Ok(kinds)
    }

    fn open(&mut self) -> Result<Backend, StartError> {
        match self.source.take() {
            None => Err(StartError::NoBackend),
            Some(Source::Url(url)) => Ok(B::open(&url)?),
            Some(Source::Membership(membership)) => {
                Ok(Backend { membership, cluster: None, name: None, naming: Naming::Exact })
            }
        }
    }

    /// The backend gives what the scope and each initial child ask for.
    fn check_exclusivity(&self, membership: &dyn Membership) -> Result<(), StartError> {
        let claims = membership.capabilities().claims;
        let enough = match claims {
            Guarantee::Linearizable => true,
            Guarantee::BestEffort => self.config.accept_best_effort_claims,
            Guarantee::None => false,
        };
        let (backend, told) = (membership.name(), membership.capabilities());
        let wanted = std::iter::once(self.config.exclusivity)
            .chain(self.children.iter().filter_map(|child| child.exclusivity));
        for exclusivity in wanted {
            match (exclusivity, told.lease_ttl) {
                (Exclusivity::Quorum { .. }, ttl) if ttl.is_none() && !told.contacts => {
                    return Err(StartError::QuorumNotOffered { backend });
                }
                (Exclusivity::Strict, _) if !enough => {
                    return Err(StartError::ClaimsTooWeak { backend, claims });
                }
                (Exclusivity::Strict, Some(ttl)) if !is_long_enough_a_lease(ttl) => {
                    return Err(StartError::LeaseTooShort { backend, ttl });
                }
                (Exclusivity::Available | Exclusivity::Quorum { .. } | Exclusivity::Strict, _) => {}
            }
        }
        Ok(())
    }
}

fn positive(setting: &'static str, value: u32) -> Result<NonZeroU32, StartError> {
    NonZeroU32::new(value).ok_or(StartError::Setting { setting, reason: "must not be zero" })
}

/// Random bytes of the operating system; the driver is where randomness comes from.
fn random<const N: usize>() -> Result<[u8; N], StartError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| StartError::System {
        what: "random bytes",
        source: io::Error::other(error.to_string()),
    })?;
    Ok(bytes)
}

#[cfg(unix)]
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

impl<B> fmt::Debug for Builder<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("scope", &self.scope)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
