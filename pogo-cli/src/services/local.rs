//! Real services on loopback, for a demo with nothing at hand: three that are well, a slow one,
//! and one that fails for a while every now and then, so that trouble can be seen.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::kinds::service_monitor::{Service, ServiceError, Target};

/// Local services; they end when this is dropped.
#[derive(Debug)]
pub struct LocalServices {
    services: Vec<Service>,
    servers: JoinSet<()>,
}

/// How an HTTP server of ours behaves.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// Answers at once.
    Well,
    /// Answers after a while.
    Slow(Duration),
    /// Answers 503 at the end of each period.
    Flaky { since: Instant, period: Duration, well: Duration },
}

impl LocalServices {
    /// Opens the services, to be probed every `interval`.
    ///
    /// # Errors
    /// What the system says where no port can be opened.
    pub async fn open(interval: Duration) -> io::Result<Self> {
        let mut local = Self { services: Vec::new(), servers: JoinSet::new() };
        for name in ["echo-1", "echo-2"] {
            let (listener, address) = listen().await?;
            local.servers.spawn(serve_tcp(listener));
            local.add(name, Target::tcp(&address.to_string()), interval)?;
        }
        let flaky = Manner::Flaky {
            since: Instant::now(),
            period: Duration::from_secs(9),
            well: Duration::from_secs(6),
        };
        let manners = [
            ("web", Manner::Well),
            ("web-slow", Manner::Slow(Duration::from_millis(120))),
            ("web-flaky", flaky),
        ];
        for (name, manner) in manners {
            let (listener, address) = listen().await?;
            local.servers.spawn(serve_http(listener, manner));
            local.add(name, Target::http(&format!("http://{address}/"), None), interval)?;
        }
        Ok(local)
    }

    /// The services, as a monitor is told of them.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    fn add(
        &mut self,
        name: &str,
        target: Result<Target, ServiceError>,
        interval: Duration,
    ) -> io::Result<()> {
        let service =
            target.and_then(|target| Service::new(name, target)).map_err(io::Error::other)?;
        self.services.push(service.interval(interval));
        Ok(())
    }
}

async fn listen() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Takes connections, and gives back what is sent over them.
async fn serve_tcp(listener: TcpListener) {
    let mut open = JoinSet::new();
    loop {
        let stream = next(&listener, &mut open).await;
        open.spawn(async move {
            let (mut from, mut to) = stream.into_split();
            // A client that goes away is what ends every echo.
            drop(tokio::io::copy(&mut from, &mut to).await);
        });
    }
}

async fn serve_http(listener: TcpListener, manner: Manner) {
    let mut open = JoinSet::new();
    loop {
        let stream = next(&listener, &mut open).await;
        open.spawn(async move {
            let answer = service_fn(move |_: Request<_>| answer(manner));
            let server = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), answer);
            // A client that goes away mid-answer is its own affair.
            drop(server.await);
        });
    }
}

/// The next connection; those that have ended are cleared away meanwhile.
async fn next(listener: &TcpListener, open: &mut JoinSet<()>) -> TcpStream {
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => return stream,
                // Out of file handles, most likely: some are freed as connections end.
                Err(_) => sleep(Duration::from_millis(50)).await,
            },
            Some(_) = open.join_next() => {}
        }
    }
}

async fn answer(manner: Manner) -> Result<Response<Full<Bytes>>, Infallible> {
    if let Manner::Slow(delay) = manner {
        sleep(delay).await;
    }
    let mut response = Response::new(Full::new(Bytes::from_static(b"hello from pogo\n")));
    *response.status_mut() = status(manner, Instant::now());
    Ok(response)
}

fn status(manner: Manner, now: Instant) -> StatusCode {
    match manner {
        Manner::Well | Manner::Slow(_) => StatusCode::OK,
        Manner::Flaky { since, period, well } => {
            let into_period = now.duration_since(since).as_millis() % period.as_millis().max(1);
            if into_period < well.as_millis() {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::service_monitor::probe;

    #[tokio::test]
    async fn every_local_service_answers_a_real_probe() {
        let local = LocalServices::open(Duration::from_secs(1)).await.unwrap();
        assert_eq!(local.services().len(), 5);
        for service in local.services() {
            let probe = probe(service).await;
            assert_eq!(probe.outcome, Ok(()), "{}", service.name());
            if service.name() == "web-slow" {
                assert!(probe.latency >= Duration::from_millis(120), "{probe:?}");
            }
        }
    }

    #[test]
    fn flaky_service_fails_at_the_end_of_each_period() {
        let since = Instant::now();
        let flaky =
            Manner::Flaky { since, period: Duration::from_secs(9), well: Duration::from_secs(6) };
        let at = |s| status(flaky, since + Duration::from_secs(s)).as_u16();
        assert_eq!([0, 5, 6, 8, 9, 14, 15].map(at), [200, 200, 503, 503, 200, 200, 503]);
    }
}
