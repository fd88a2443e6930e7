//! Agents as processes, each on a machine of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    http::Interface,
    lan::Lan,
    namespace::mortal,
    spans::{Run, Spans},
    wait::eventually,
};

/// How long anything may take on a busy machine; what works needs a small part of it.
pub(crate) const WITHIN: Duration = Duration::from_secs(20);

const PORT: u16 = 7946;

/// A cluster of agents, one on each machine of a network.
#[derive(Debug)]
pub(crate) struct Cluster {
    agents: Vec<Agent>,
    pub(crate) lan: Lan,
    pub(crate) spans: Spans,
    /// Children that were asked for.
    pub(crate) children: BTreeSet<String>,
    /// Goes last: it has the key, the spans and the logs.
    _folder: TempDir,
}

#[derive(Debug)]
struct Agent {
    process: Child,
    log: PathBuf,
}

impl Cluster {
    /// `count` agents that see each other, with this many idle children, each of which runs.
    pub(crate) fn new(count: usize, children: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let key = folder.path().join("pogo.key");
        fs::write(&key, "5e".repeat(32)).expect("a key");
        let lan = Lan::new(count);
        let file = |at| folder.path().join(format!("{at}.spans"));
        let spans = Spans::of((0..count).map(file));
        let agents = (0..count).map(|at| Agent::start(&lan, at, &key, &file(at))).collect();
        let children = (0..children).map(|at| format!("idle/{at:03}")).collect();
        let mut cluster = Self { agents, lan, spans, children, _folder: folder };
        cluster.all_meet();
        cluster.start_children();
        cluster
    }

    pub(crate) fn all(&self) -> Vec<usize> {
        (0..self.agents.len()).collect()
    }

    /// Waits until every member sees every other.
    pub(crate) fn all_meet(&self) {
        let all = self.all();
        eventually("the members see each other", WITHIN, || self.each_sees(&all));
    }

    fn start_children(&mut self) {
        let children = self.children.clone();
        self.at(0, move |agent| agent.start(&children));
        self.settled();
    }

    /// Waits until one instance of each child runs in the whole cluster, and every member lists it there. Returns it.
    pub(crate) fn settled(&mut self) -> BTreeMap<String, Run> {
        let all = self.all();
        eventually("each child runs once and every member lists that", WITHIN, || {
            self.spans.read();
            let runs = self.spans.one_of_each(&self.children, &all)?;
            all.iter().try_for_each(|at| self.lists(*at, &runs))?;
            Ok::<_, String>(runs)
        })
    }

    /// Waits until one instance of each child runs on these members.
    pub(crate) fn runs_all_on(&mut self, members: &[usize]) {
        eventually("each child runs once on these members", WITHIN, || {
            self.spans.read();
            self.spans.one_of_each(&self.children, members).map(drop)
        });
    }

    /// That each of `members` sees exactly these members.
    pub(crate) fn each_sees(&self, members: &[usize]) -> Result<(), String> {
        let wanted: BTreeSet<_> = members.iter().map(|at| name(*at)).collect();
        for at in members {
            let seen = self.at(*at, |agent| agent.members());
            let seen = seen.map_err(|error| format!("{}: {error}", name(*at)))?;
            if seen != wanted {
                return Err(format!("{} sees {seen:?}", name(*at)));
            }
        }
        Ok(())
    }

    /// That a member lists exactly these runs, all of them ready.
    fn lists(&self, at: usize, runs: &BTreeMap<String, Run>) -> Result<(), String> {
        let places = self.at(at, |agent| agent.places());
        let places = places.map_err(|error| format!("{}: {error}", name(at)))?;
        let wanted = runs.iter().map(|(child, (member, _))| (child.clone(), name(*member)));
        if places == wanted.collect() {
            Ok(())
        } else {
            Err(format!("{} lists {places:?}", name(at)))
        }
    }

    /// Asks the agent at a machine.
    fn at<T: Send + 'static>(
        &self,
        at: usize,
        ask: impl FnOnce(Interface) -> T + Send + 'static,
    ) -> T {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 7900));
        self.lan.machine(at).inside(move || ask(Interface { address, token: None }))
    }
}

fn name(at: usize) -> String {
    format!("m{at}")
}

impl Agent {
    fn start(lan: &Lan, at: usize, key: &Path, spans: &Path) -> Self {
        let seeds: Vec<_> = (0..3).map(|at| format!("{}:{PORT}", Lan::address(at))).collect();
        let backend = format!(
            "gossip://{}:{PORT}?seeds={}&key={}&preset=local",
            Lan::address(at),
            seeds.join(","),
            key.display()
        );
        let log = spans.with_extension("log");
        let mut program = mortal(env!("CARGO_BIN_EXE_pogo"));
        program.args(["agent", "--name", &name(at), "--backend", &backend, "--spans"]).arg(spans);
        program.stdin(Stdio::null()).stdout(Stdio::null());
        program.stderr(fs::File::create(&log).expect("a log"));
        Self { process: lan.machine(at).start(program), log }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
        if thread::panicking() {
            let said = fs::read_to_string(&self.log).unwrap_or_default();
            println!("{}:\n{said}", self.log.display());
        }
    }
}
