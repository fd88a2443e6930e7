//! Strict mode from end to end: real processes over a real etcd, and a real resource that checks tokens.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{bed::program, etcd::EtcdServer, wait::eventually};

const TTL: Duration = Duration::from_secs(2);
const WITHIN: Duration = Duration::from_secs(30);
/// How far apart a line is written and read, on a machine that is busy with dozens of processes.
const SLACK: Duration = Duration::from_millis(100);
/// For how long one writes before it is frozen: what started before the other joined may move first.
const SETTLED: Duration = Duration::from_millis(1_500);
const CLUSTERS: usize = 25;
const BATCHES: usize = 2;

/// A line that a process printed, and when it was read.
pub(crate) type Line = (Instant, String);

/// A process of an example, and what it printed.
pub(crate) struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<Line>>>,
}

impl Process {
    pub(crate) fn start(example: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(program(&format!("examples/{example}")))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let out = child.stdout.take().expect("its output is piped");
        let lines = Arc::<Mutex<Vec<Line>>>::default();
        let read = Arc::clone(&lines);
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                read.lock().expect("no panic under this lock").push((Instant::now(), line));
            }
        });
        Self { child, lines }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process is there");
    }

    /// What it printed after that, oldest first.
    pub(crate) fn since(&self, then: Option<Instant>) -> Vec<Line> {
        let lines = self.lines.lock().expect("no panic under this lock");
        let is_after = |at: Instant| then.is_none_or(|then| at > then);
        lines.iter().filter(|(at, _)| is_after(*at)).cloned().collect()
    }

    pub(crate) fn last(&self, part: &str) -> Option<Line> {
        self.since(None).into_iter().rfind(|(_, line)| line.contains(part))
    }

    /// How it ended, if it has.
    pub(crate) fn end(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it can be asked")
    }

    /// Since when it has written with the token of its last entry, and when it wrote that.
    fn writes(&self) -> Option<(Instant, Instant)> {
        let (last, line) = self.last("wrote entry")?;
        let same = |it: &str| it.contains("wrote entry") && token(it) == token(&line);
        let first = self.since(None).into_iter().find(|(_, line)| same(line))?.0;
        Some((last, first))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn token(line: &str) -> u64 {
    let mut words = line.split([' ', ',']).skip_while(|word| *word != "token").skip(1);
    words.next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no token: {line}"))
}

fn valid_for(line: &str) -> Duration {
    let mut words = line.split(' ').skip_while(|word| *word != "for").skip(1);
    let millis = words.next().and_then(|word| word.parse().ok());
    Duration::from_millis(millis.unwrap_or_else(|| panic!("no time: {line}")))
}

/// Two members of a cluster, one of which has written for a while: that one first.
async fn writer_and_other(url: &str, database: &str) -> (Process, Process) {
    let [ash, birch] =
        ["ash", "birch"].map(|name| Process::start("strict_singleton", &[url, name, database]));
    for member in [&ash, &birch] {
        eventually("both take part", WITHIN, || async {
            member.last("takes part").ok_or_else(|| member.since(None))
        })
        .await;
    }
    let is_ash = eventually("one writes, and has for a while", WITHIN, || async {
        let (ash, birch) = (ash.writes(), birch.writes());
        let (last, first) = ash.max(birch).ok_or("nobody has written")?;
        if last.duration_since(first) > SETTLED { Ok(ash > birch) } else { Err("it has begun") }
    })
    .await;
    if is_ash { (ash, birch) } else { (birch, ash) }
}

/// Freezes the member that writes for three lease times, and lets it go on. Returns how much later
/// than its deadline another ran.
async fn freeze(endpoint: String, cluster: String) -> Duration {
    let folder = TempDir::new().expect("a folder");
    let database = folder.path().join("ledger.db").display().to_string();
    let url = format!("etcd://{endpoint}/{cluster}?new=yes&ttl={}s", TTL.as_secs());
    let (old, new) = writer_and_other(&url, &database).await;

    old.signal(Signal::STOP);
    let stopped = Instant::now();
    let (polled, line) = old.last("polled").expect("it was polled");
    let (stale, deadline) = (token(&line), polled + valid_for(&line));
    let (taken, line) = eventually("another takes over", WITHIN, || async {
        let lines = new.since(Some(stopped));
        lines.into_iter().find(|(_, line)| line.contains("polled")).ok_or("nobody takes over")
    })
    .await;
    assert!(token(&line) > stale, "token {} after {stale}", token(&line));
    eventually("three lease times are over", WITHIN, || async {
        if stopped.elapsed() > TTL * 3 { Ok(()) } else { Err("not yet") }
    })
    .await;

    // One that was frozen in the middle of a write holds the table until then.
    let has_written = new.since(Some(stopped)).iter().any(|(_, it)| it.contains("wrote entry"));
    let woken = Instant::now();
    old.signal(Signal::CONT);
    eventually("the old thread is refused", WITHIN, || async {
        let lines = old.since(Some(woken));
        let refused = |line: &str| line.contains("was refused") && token(line) == stale;
        if lines.iter().any(|(_, line)| refused(line)) { Ok(()) } else { Err(lines) }
    })
    .await;
    let acted = old.since(Some(woken)).into_iter().find(|(_, line)| {
        let acts = line.contains("polled") || (has_written && line.contains("wrote entry"));
        acts && token(line) == stale
    });
    assert_eq!(acted, None, "it goes on with its old token");
    let late = (taken + SLACK).checked_duration_since(deadline);
    late.unwrap_or_else(|| panic!("another ran {:?} before the deadline", deadline - taken))
}

/// Fifty times, in batches side by side (R16, R18).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_writer_is_refused_and_dropped_when_it_wakes() {
    let server = EtcdServer::start().await;
    let mut late = Vec::new();
    for batch in 0..BATCHES {
        let runs = (0..CLUSTERS)
            .map(|run| tokio::spawn(freeze(server.endpoint(), format!("strict-{batch}-{run}"))));
        for run in runs.collect::<Vec<_>>() {
            late.push(run.await.expect("a frozen writer"));
        }
    }
    assert_eq!(late.len(), BATCHES * CLUSTERS);
    println!(
        "{} writers frozen; others ran {:?} to {:?} after the deadline",
        late.len(),
        late.iter().min().map(|it| it.saturating_sub(SLACK)),
        late.iter().max().map(|it| it.saturating_sub(SLACK)),
    );
}

/// One program, and nothing but its URL says what its members know each other by.
#[tokio::test]
async fn service_monitor_runs_over_gossip_and_over_etcd() {
    let server = EtcdServer::start().await;
    let ports = [0; 3].map(|_port| {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        socket.local_addr().expect("an address").port()
    });
    let gossip =
        ports.map(|port| format!("gossip://127.0.0.1:{port}?seeds=127.0.0.1:{}", ports[0]));
    let etcd = [format!("etcd://{}/monitors", server.endpoint())];
    for urls in [&gossip[..], &etcd] {
        let arguments: Vec<&str> = urls.iter().map(String::as_str).collect();
        let process = Process::start("service_monitor", &arguments);
        eventually("it shows what it says", WITHIN, || async {
            process.last("gone on all of them").ok_or_else(|| process.since(None))
        })
        .await;
        let lines = process.since(None);
        assert!(lines.iter().any(|(_, line)| line.contains("of 6")), "{urls:?}: {lines:?}");
    }
}
