//! Probes of real servers: what a monitor finds is what is there.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use hyper::StatusCode;
use pogo_cli::kinds::service_monitor::{Probe, Service, Tally, Target, Trouble, probe};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A server that reads a request and answers with exactly these bytes.
async fn answering(answer: &'static str) -> (JoinHandle<String>, SocketAddr) {
    let (listener, address) = listen().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap()
    });
    (server, address)
}

fn service(target: Target) -> Service {
    Service::new("it", target).unwrap().timeout(Duration::from_secs(20))
}

fn tcp(address: SocketAddr) -> Service {
    service(Target::tcp(&address.to_string()).unwrap())
}

fn http(address: SocketAddr, path: &str, expect_status: Option<u16>) -> Service {
    let status = expect_status.map(|code| StatusCode::from_u16(code).unwrap());
    service(Target::http(&format!("http://{address}{path}"), status).unwrap())
}

async fn outcome(service: &Service) -> Result<(), Trouble> {
    probe(service).await.outcome
}

#[tokio::test]
async fn listening_port_is_well() {
    let (_listener, address) = listen().await;
    assert_eq!(outcome(&tcp(address)).await, Ok(()));
}

#[tokio::test]
async fn closed_port_refuses() {
    let (listener, address) = listen().await;
    drop(listener);
    assert_eq!(outcome(&tcp(address)).await, Err(Trouble::Refused));
    assert_eq!(outcome(&http(address, "/", None)).await, Err(Trouble::Refused));
}

#[tokio::test]
async fn good_status_is_well_and_the_request_is_as_servers_expect_it() {
    let (server, address) = answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(outcome(&http(address, "/health?deep=1", None)).await, Ok(()));
    let request = server.await.unwrap().to_lowercase();
    assert!(request.starts_with("get /health?deep=1 http/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("\r\nhost: {address}\r\n")), "{request}");
}

#[tokio::test]
async fn answer_counts_whether_or_not_the_server_keeps_the_connection() {
    let answers = [
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nthat was it",
        "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nmore to come",
        "HTTP/1.0 200 OK\r\n\r\n",
    ];
    for answer in answers {
        let (_server, address) = answering(answer).await;
        assert_eq!(outcome(&http(address, "/", None)).await, Ok(()), "{answer}");
    }
}

#[tokio::test]
async fn other_status_than_expected_is_trouble() {
    let (_server, address) = answering("HTTP/1.1 503 Service Unavailable\r\n\r\n").await;
    assert_eq!(outcome(&http(address, "/", None)).await, Err(Trouble::Status(503)));
    let (_server, address) = answering("HTTP/1.1 200 OK\r\n\r\n").await;
    assert_eq!(outcome(&http(address, "/", Some(418))).await, Err(Trouble::Status(200)));
    let (_server, address) = answering("HTTP/1.1 418 I'm a teapot\r\n\r\n").await;
    assert_eq!(outcome(&http(address, "/", Some(418))).await, Ok(()));
}

#[tokio::test]
async fn answer_that_is_no_http_is_trouble() {
    for answer in ["", "220 mail.example ESMTP\r\n"] {
        let (_server, address) = answering(answer).await;
        let found = outcome(&http(address, "/", None)).await;
        assert!(matches!(found, Err(Trouble::Broken(_))), "{answer:?}: {found:?}");
    }
}

#[tokio::test]
async fn server_that_never_answers_times_out_in_time() {
    // The system takes the connection; nobody reads from it.
    let (_listener, address) = listen().await;
    let service = http(address, "/", None).timeout(Duration::from_millis(50));
    let Probe { latency, outcome } = probe(&service).await;
    assert_eq!(outcome, Err(Trouble::TimedOut));
    assert!((50..5_000).contains(&latency.as_millis()), "{latency:?}");
}

#[tokio::test]
async fn failures_in_a_row_are_counted_until_the_service_is_back() {
    let mut tally = Tally::default();
    let (listener, address) = listen().await;
    let service = tcp(address);
    tally.count(&probe(&service).await);
    drop(listener);
    for _ in 0..3 {
        tally.count(&probe(&service).await);
    }
    assert_eq!(tally, Tally { probes: 4, failures: 3, consecutive_failures: 3 });
    let _back = TcpListener::bind(address).await.unwrap();
    tally.count(&probe(&service).await);
    assert_eq!(tally, Tally { probes: 5, failures: 3, consecutive_failures: 0 });
}
