//! Takes connections and serves requests on them, within bounds of number and time.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

/// Connections open at once; more wait.
const MAX_CONNECTIONS: usize = 1024;
/// How long the head of a request may take, and how long a connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long requests under way may take when the server stops.
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// A server under way; it ends at once when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    task: JoinHandle<()>,
    closing: watch::Sender<bool>,
}

impl Server {
    /// Begins to serve.
    pub(super) fn start(
        listener: TcpListener,
        router: Router,
        closing: watch::Sender<bool>,
    ) -> Self {
        let task = tokio::spawn(serve(listener, router, closing.subscribe()));
        Self { task, closing }
    }

    /// Takes no more requests and waits a moment for those under way.
    pub(crate) async fn stop(mut self) {
        self.closing.send_replace(true);
        // What has not ended by then is dropped with this.
        drop(timeout(STOP_WITHIN, &mut self.task).await);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, router: Router, mut closing: watch::Receiver<bool>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if open.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    open.spawn(converse(stream, router.clone(), closing.clone()));
                }
                // Out of file handles, most likely: some are freed as connections end.
                Err(error) => {
                    tracing::warn!(%error, "a connection was not taken");
                    sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = open.join_next() => {}
            () = closed(&mut closing) => break,
        }
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

async fn converse(stream: TcpStream, router: Router, mut closing: watch::Receiver<bool>) {
    // Answers are small, and somebody waits for each; without it they are only later.
    drop(stream.set_nodelay(true));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    // A client that goes away mid-answer is its own affair.
    tokio::select! {
        ended = connection.as_mut() => return drop(ended),
        () = closed(&mut closing) => {}
    }
    connection.as_mut().graceful_shutdown();
    drop(connection.await);
}

/// Resolves when the server closes.
async fn closed(closing: &mut watch::Receiver<bool>) {
    // A server that is gone has closed, too.
    drop(closing.wait_for(|closing| *closing).await);
}
