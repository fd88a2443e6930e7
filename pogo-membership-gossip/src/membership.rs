//! The seam: sessions of supervisors over the transport that they share.

use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use pogo_core::{
    id::{BootId, ClusterName, MemberId},
    membership::{
        Capabilities, Join, MemberStatus, Membership, MembershipError, OwnedUpdate, Presence, Put,
        PutOutcome, Session, SharedRecords,
    },
    node::{Answer, MembershipRequest},
    record::{Key, Record},
    time::Timestamp,
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    config::{ConfigError, GossipConfig, NAME},
    engine::{Form, SessionId},
    registry::Registry,
    sockets::{Command, ContactBoard, Joining, Settings, Traffic, Transport},
};

/// Native gossip. Supervisors of one process that use the same settings and cluster share one
/// endpoint, whose sockets close when the last of their sessions is dropped.
#[derive(Debug, Clone)]
pub struct GossipMembership {
    config: GossipConfig,
    registry: Arc<Registry>,
}

/// An endpoint of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Endpoint {
    /// The cluster that it takes part in.
    pub cluster: ClusterName,
    /// The address that it gives to the others.
    pub addr: SocketAddr,
    /// What went over its sockets.
    pub traffic: Traffic,
}

impl GossipMembership {
    /// A backend that shares its endpoint with all of the process that have the same settings.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(config: GossipConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self { config, registry: Registry::shared() })
    }

    /// A backend whose endpoint is shared by its clones only, as for several members of a cluster
    /// in one process.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn isolated(config: GossipConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self { config, registry: Arc::default() })
    }

    /// The endpoints that stand now and may serve this backend's sessions.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let running = self.registry.running().into_iter();
        let ours = running.filter(|(settings, _)| settings.config == self.config);
        ours.map(Endpoint::of).collect()
    }
}

impl Endpoint {
    fn of((settings, transport): (Settings, Arc<Transport>)) -> Self {
        Self { cluster: settings.cluster, addr: transport.addr(), traffic: transport.traffic() }
    }
}

/// The endpoints of this process, isolated ones left out.
pub fn endpoints() -> Vec<Endpoint> {
    Registry::shared().running().into_iter().map(Endpoint::of).collect()
}

#[async_trait]
impl Membership for GossipMembership {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        let timing = &self.config.timing;
        let mut capabilities = Capabilities::least(timing.detection, timing.view_settle);
        capabilities.contacts = true;
        capabilities
    }

    fn waits_for_others(&self) -> bool {
        self.config.form == Form::Never
    }

    async fn join(&self, join: Join) -> Result<Session, MembershipError> {
        match self.join_running(join.clone()).await {
            // The last session before this one ended meanwhile, and its transport with it.
            Err(MembershipError::SessionEnded) => self.join_running(join).await,
            result => result,
        }
    }
}

impl GossipMembership {
    /// Joins over the transport that runs, or a new one.
    async fn join_running(&self, join: Join) -> Result<Session, MembershipError> {
        let settings = Settings { config: self.config.clone(), cluster: join.cluster };
        let transport = self.registry.transport(settings).await?;
        // From here on, giving up ends the session.
        let alive = Arc::new(Alive { session: transport.new_session(), transport });
        let (sender, events) = mpsc::unbounded_channel();
        let (reply, joined) = oneshot::channel();
        let joining = Joining {
            session: alive.session,
            scope: join.scope,
            name: join.name,
            boot: join.boot,
            metadata: join.metadata,
            within: join.within,
        };
        let contacts = Arc::new(ContactBoard::new(join.clock));
        alive.transport.tell(Command::Join {
            join: Box::new(joining),
            events: sender,
            contacts: Arc::clone(&contacts),
            reply,
        })?;
        let me = joined.await.unwrap_or(Err(MembershipError::SessionEnded))?;

        let parts = Arc::new(Parts { alive: Arc::clone(&alive), contacts });
        let events = stream::unfold((events, alive), |(mut events, alive)| async move {
            let event = events.recv().await?;
            Some((event, (events, alive)))
        });
        let presence: Arc<dyn Presence> = Arc::<Parts>::clone(&parts);
        Ok(Session { me, presence, records: parts, claims: None, events: events.boxed() })
    }
}

/// A session; its end without a leave is a crash.
#[derive(Debug)]
struct Alive {
    session: SessionId,
    transport: Arc<Transport>,
}

impl Drop for Alive {
    fn drop(&mut self) {
        // Where the thread has ended, so has the session.
        drop(self.transport.tell(Command::Drop(self.session)));
    }
}

/// The parts of a session that answer requests.
#[derive(Debug)]
struct Parts {
    alive: Arc<Alive>,
    contacts: Arc<ContactBoard>,
}

impl Parts {
    async fn ask(&self, request: MembershipRequest) -> Result<Answer, MembershipError> {
        let (reply, answer) = oneshot::channel();
        let session = self.alive.session;
        self.alive.transport.tell(Command::Ask { session, request, reply })?;
        match answer.await {
            Ok(Answer::Failed(error)) => Err(error),
            Ok(answer) => Ok(answer),
            Err(_gone) => Err(MembershipError::SessionEnded),
        }
    }
}

/// The engine answers each request in its own form.
const fn other_form() -> MembershipError {
    MembershipError::Unsupported { backend: NAME, what: "this request" }
}

#[async_trait]
impl Presence for Parts {
    async fn set_status(&self, status: MemberStatus) -> Result<(), MembershipError> {
        self.ask(MembershipRequest::SetStatus(status)).await.map(drop)
    }

    async fn publish(&self, batch: Vec<OwnedUpdate>) -> Result<(), MembershipError> {
        self.ask(MembershipRequest::Publish(batch)).await.map(drop)
    }

    async fn owned(
        &self,
        member: &MemberId,
        keys: &[Key],
    ) -> Result<Vec<Option<Bytes>>, MembershipError> {
        let (reply, answer) = oneshot::channel();
        let (session, member, keys) = (self.alive.session, member.clone(), keys.to_vec());
        self.alive.transport.tell(Command::Owned { session, member, keys, reply })?;
        answer.await.unwrap_or(Err(MembershipError::SessionEnded))
    }

    fn lease_deadline(&self) -> Option<Timestamp> {
        None
    }

    fn contacts(&self) -> Vec<(BootId, Timestamp)> {
        self.contacts.read()
    }

    fn probe_all(&self, on: bool) {
        // Where the thread has ended, so has the session.
        drop(self.alive.transport.tell(Command::ProbeAll { session: self.alive.session, on }));
    }

    async fn leave(&self) -> Result<(), MembershipError> {
        self.ask(MembershipRequest::Leave).await.map(drop)
    }
}

#[async_trait]
impl SharedRecords for Parts {
    async fn put(&self, batch: Vec<Put>) -> Result<Vec<PutOutcome>, MembershipError> {
        let answer = self.ask(MembershipRequest::Put(batch)).await?;
        if let Answer::Put(outcomes) = answer { Ok(outcomes) } else { Err(other_form()) }
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, MembershipError> {
        let answer = self.ask(MembershipRequest::Get(keys.to_vec())).await?;
        if let Answer::Got(records) = answer { Ok(records) } else { Err(other_form()) }
    }
}
