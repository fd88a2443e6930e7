//! `pogo agent`: one member of a cluster as a process.
//!
//! It listens before it joins, so that an address in use is told at once, and says that it serves
//! when it takes part. However its end begins (a signal, a drain by an operator, the loss of its
//! supervisor), it leaves by the same way.

mod life;
mod options;
mod settings;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use pogo::{Stopped, Supervisor};
use serde::Serialize;
use tracing_subscriber::EnvFilter;

pub use self::options::AgentArgs;
use self::{
    life::{Calls, End, Life},
    settings::Settings,
};
pub use crate::http::TokenError;
use crate::{
    http::{Api, Token},
    kinds::{command::Command, idle::Idle, service_monitor::ServiceMonitor},
    spans::{Recorded, SpanLog},
};

/// Why an agent does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The settings file cannot be used. Nothing was started.
    #[error("{}{reason}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// The place in it, and what is wrong there.
        reason: String,
    },
    /// The token cannot be used. Nothing was started.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The HTTP interface would be open to everybody. Nothing was started.
    #[error(
        "the HTTP interface is not on loopback ({address}), which needs a token: set \
         POGO_HTTP_TOKEN or --http-token-file, or use --http 127.0.0.1:7900"
    )]
    NoToken {
        /// Where it would have listened.
        address: std::net::SocketAddr,
    },
    /// The HTTP interface cannot listen. Nothing was started.
    #[error("the HTTP interface cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file of spans cannot be written. Nothing was started.
    #[error("{}: {source}", path.display())]
    Spans {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The member did not start.
    #[error(transparent)]
    Start(#[from] pogo::StartError),
    /// The member stopped by itself.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The system refused something.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl AgentError {
    /// Whether the command or its files are at fault.
    pub const fn is_usage(&self) -> bool {
        match self {
            Self::Settings { .. } | Self::Token(_) | Self::NoToken { .. } | Self::Spans { .. } => {
                true
            }
            Self::Start(error) => matches!(
                error,
                pogo::StartError::Id(_)
                    | pogo::StartError::Labels(_)
                    | pogo::StartError::Setting { .. }
                    | pogo::StartError::Backend(_)
            ),
            Self::Listen { .. } | Self::Stopped(_) | Self::System(_) => false,
        }
    }
}

/// How an agent came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Departure {
    /// It left, and its children were taken up or could run nowhere else.
    Left,
    /// It left, and children were stopped that nobody had taken up in time.
    LeftChildrenBehind,
    /// It was told twice to end.
    Cut,
}

/// What is printed once the member takes part.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "ready")]
struct Ready<'a> {
    name: &'a str,
    http: String,
    backend: String,
}

/// Runs an agent to its end.
///
/// # Errors
/// [`AgentError`]; nothing is left running.
pub async fn run(args: AgentArgs) -> Result<Departure, AgentError> {
    log_to_stderr();
    let mut calls = Calls::listen(args.until_stdin_closes)?;
    let settings = Settings::of(&args)?;
    let token = Token::find(args.http_token_file.as_deref())?;
    let spans = open_spans(&args)?;

    let listen = |source| AgentError::Listen { address: settings.http.clone(), source };
    let listener = tokio::net::TcpListener::bind(&settings.http).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    if !address.ip().is_loopback() && token.is_none() {
        return Err(AgentError::NoToken { address });
    }
    let api = Api::new(args.drain);
    let server = api.serve(listener, address, token);

    let outcome = tokio::select! {
        started = builder(&args, &settings, spans).start() => started,
        () = calls.next() => return Ok(Departure::Left),
    };
    let supervisor = outcome?;
    api.open(supervisor.clone());
    let mut life = Life::new(supervisor.clone(), calls, args.drain);
    let end = if let Some(end) = life.until_ready().await {
        end
    } else {
        announce(&args, &settings, &supervisor, address).await?;
        life.until_end().await
    };
    let departure = finish(end);
    if departure != Departure::Cut {
        server.stop().await;
    }
    Ok(departure)
}

fn builder(args: &AgentArgs, settings: &Settings, spans: SpanLog) -> pogo::Builder {
    let mut builder = Supervisor::builder(args.scope.as_str())
        .backend(settings.backend.as_str())
        .weight(settings.weight)
        .version(env!("CARGO_PKG_VERSION"))
        .kind(Recorded::new(ServiceMonitor::default(), spans.clone()))
        .kind(Recorded::new(Idle, spans.clone()));
    if let Some(command) = Command::new(settings.programs.clone()) {
        builder = builder.kind(Recorded::new(command, spans));
    }
    if let Some(name) = &settings.name {
        builder = builder.name(name.as_str());
    }
    for (label, value) in &settings.labels {
        builder = builder.label(label, value);
    }
    builder
}

fn open_spans(args: &AgentArgs) -> Result<SpanLog, AgentError> {
    let Some(path) = &args.spans else { return Ok(SpanLog::default()) };
    SpanLog::append_to(path).map_err(|source| AgentError::Spans { path: path.clone(), source })
}

/// Tells whoever started the agent that it serves.
async fn announce(
    args: &AgentArgs,
    settings: &Settings,
    supervisor: &Supervisor,
    address: std::net::SocketAddr,
) -> Result<(), AgentError> {
    let members = supervisor.members().await?;
    let me = members.iter().find(|member| member.is_me);
    let name = me.map_or("", |member| member.id.name.as_str());
    let backend = with_port(&without_login(&settings.backend));
    let ready = Ready { name, http: address.to_string(), backend };
    let line = if args.json {
        serde_json::to_string(&ready).map_err(io::Error::from)?
    } else {
        format!("{name} takes part by {}, HTTP on http://{address}", ready.backend)
    };
    // Where standard output is gone there is nobody to tell, and that is no reason to end.
    let mut out = io::stdout();
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
    Ok(())
}

/// `url` with the port that the system chose, where it was asked to: others need it as their seed.
fn with_port(url: &str) -> String {
    let query = url.find('?').unwrap_or(url.len());
    let (bind, query) = url.split_at_checked(query).unwrap_or((url, ""));
    match pogo::gossip::endpoints().first() {
        Some(endpoint) if bind.starts_with("gossip://") && bind.ends_with(":0") => {
            format!("gossip://{}{query}", endpoint.addr)
        }
        _ => url.to_owned(),
    }
}

/// `url` without user and password, where it has them.
fn without_login(url: &str) -> String {
    let Some((scheme, tail)) = url.split_once("://") else { return String::new() };
    let (rest, query) =
        tail.split_once('?').map_or((tail, None), |(rest, query)| (rest, Some(query)));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{scheme}://{rest}{query}")
}

fn finish(end: End) -> Departure {
    match end {
        End::Cut => Departure::Cut,
        End::Stopped => Departure::Left,
        End::Drained(drained) if drained.left_behind.is_empty() => Departure::Left,
        End::Drained(drained) => {
            let count = drained.left_behind.len();
            let text =
                format!("pogo: {count} children were left behind: nobody took them up in time");
            drop(writeln!(io::stderr(), "{text}"));
            for child in &drained.left_behind {
                tracing::warn!(%child, "left behind");
            }
            Departure::LeftChildrenBehind
        }
    }
}

/// Logs to standard error what `POGO_LOG` or `RUST_LOG` asks for, warnings otherwise.
fn log_to_stderr() {
    let wanted = std::env::var("POGO_LOG").or_else(|_| std::env::var("RUST_LOG"));
    let filter = wanted.map_or_else(|_| EnvFilter::new("warn"), EnvFilter::new);
    // Whoever set another logger in this process keeps it.
    drop(tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).try_init());
}

/// Reads `key=value`.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as in `disk=ssd`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_in_a_url_is_not_shown() {
        for (url, shown) in [
            ("etcd://me:pw@h:2379/c?ttl=5s", "etcd://h:2379/c?ttl=5s"),
            ("memory://x", "memory://x"),
            ("gossip://127.0.0.1:0?seeds=a:1,b:2", "gossip://127.0.0.1:0?seeds=a:1,b:2"),
        ] {
            assert_eq!(without_login(url), shown);
        }
    }

    #[test]
    fn label_is_read_up_to_its_first_equals_sign() {
        assert_eq!(label("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(label("a="), Ok(("a".to_owned(), String::new())));
        assert!(label("a").is_err() && label("=b").is_err());
    }
}
