//! The HTTP interface of an agent.
//!
//! It listens before the member has joined, and answers 503 until then. Every error is a JSON body
//! with `error`, for people, and `code`, for programs. Ids in paths are one percent-encoded segment
//! (R26). Who may ask is decided in `guard`, before anything is looked at.

mod children;
mod error;
mod events;
mod guard;
mod members;
mod metrics;
mod path;
mod server;
mod token;

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    middleware,
    routing::{get, post},
};
use futures_util::FutureExt;
use pogo::{MemberStatus, Supervisor};
use tokio::{net::TcpListener, sync::watch};

pub use self::token::TokenError;
use self::{error::ApiError, guard::Guard, metrics::Tally};
pub(crate) use self::{server::Server, token::Token};

/// Where an agent listens and a client asks where nothing is said.
pub(crate) const DEFAULT_ADDRESS: &str = "127.0.0.1:7900";

/// What requests are answered from; a cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    supervisor: OnceLock<Supervisor>,
    tally: Tally,
    drain: Duration,
    /// Becomes true when no new request is taken.
    closing: watch::Sender<bool>,
}

impl Api {
    /// An interface without a member yet; drains that name no time get `drain`.
    pub(crate) fn new(drain: Duration) -> Self {
        let (supervisor, tally) = (OnceLock::new(), Tally::default());
        let closing = watch::Sender::new(false);
        Self { inner: Arc::new(Inner { supervisor, tally, drain, closing }) }
    }

    /// Answers from `supervisor` from now on.
    pub(crate) fn open(&self, supervisor: Supervisor) {
        tokio::spawn(self.inner.tally.clone().keep(supervisor.events()));
        // An agent has one supervisor in its life.
        drop(self.inner.supervisor.set(supervisor));
    }

    /// Serves on `listener`, which is bound to `address`, until the server is stopped.
    pub(crate) fn serve(
        &self,
        listener: TcpListener,
        address: SocketAddr,
        token: Option<Token>,
    ) -> Server {
        let guard = Arc::new(Guard::new(address, token));
        Server::start(listener, self.router(guard), self.inner.closing.clone())
    }

    fn router(&self, guard: Arc<Guard>) -> Router {
        Router::new()
            .route("/", get(index))
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics::show))
            .route("/v1/members", get(members::list))
            .route("/v1/members/{name}/cordon", post(members::cordon))
            .route("/v1/members/{name}/uncordon", post(members::uncordon))
            .route("/v1/members/{name}/drain", post(members::drain))
            .route("/v1/members/{name}/plan-leave", get(members::plan_leave))
            .route("/v1/children", get(children::list).post(children::start))
            .route(
                "/v1/children/{id}",
                get(children::one).put(children::put).delete(children::terminate),
            )
            .route("/v1/children/{id}/explain", get(children::explain))
            .route("/v1/children/{id}/restart", post(children::restart))
            .route("/v1/count", get(children::count))
            .route("/v1/events", get(events::stream))
            .fallback(|| async { ApiError::not_found("there is no such path: / lists them") })
            .method_not_allowed_fallback(|| async { ApiError::method() })
            .layer(middleware::from_fn_with_state(guard, guard::admit))
            .with_state(self.clone())
    }

    fn supervisor(&self) -> Result<&Supervisor, ApiError> {
        self.inner.supervisor.get().ok_or_else(ApiError::joining)
    }
}

/// What the interface offers, for people who look with a browser.
const INDEX: &str = "\
pogo agent

GET    /v1/members                            members of the cluster
POST   /v1/members/{name}/cordon              no new children there
POST   /v1/members/{name}/uncordon            undoes it
POST   /v1/members/{name}/drain?within=10s    moves its children away and lets it leave
GET    /v1/members/{name}/plan-leave          what its departure would do
GET    /v1/children?listing=global|local      children, of the cluster or of this member
POST   /v1/children?all_or_nothing=true       starts children: a JSON array of specs
GET    /v1/children/{id}                      one child
PUT    /v1/children/{id}?replace=true         starts it, or replaces it: a spec without id
DELETE /v1/children/{id}                      terminates it for good
GET    /v1/children/{id}/explain              why it is where it is
POST   /v1/children/{id}/restart              stops and starts it where it is
GET    /v1/count                              number of children, and how long it took to list them
GET    /v1/events                             server-sent events, a snapshot first
GET    /metrics                               for Prometheus
GET    /healthz, /readyz                      whether the agent lives, whether it takes part

Ids and names are one percent-encoded segment of the path.
";

async fn index() -> &'static str {
    INDEX
}

/// Whether the member takes part: it has joined, views have settled, and it is not leaving.
async fn readyz(State(api): State<Api>) -> Result<&'static str, ApiError> {
    let supervisor = api.supervisor()?;
    match supervisor.ready().now_or_never() {
        Some(Ok(())) => {}
        Some(Err(stopped)) => return Err(stopped.into()),
        None => return Err(ApiError::joining()),
    }
    let members = supervisor.members().await?;
    let takes_part = |status: MemberStatus| status == MemberStatus::Active;
    if members.iter().any(|member| member.is_me && takes_part(member.status)) {
        Ok("ready\n")
    } else {
        Err(ApiError::not_ready("the member is leaving, or joins again"))
    }
}
