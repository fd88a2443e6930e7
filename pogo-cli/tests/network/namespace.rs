//! A network namespace of the test's own: a machine as far as the network goes.
//!
//! It has no name. The process that holds it open ends when its standard input closes, so nothing is left behind by
//! a test that panics or is killed.

use std::{
    ffi::OsStr,
    fs::File,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr},
    os::fd::AsFd,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace, and a thread in it that works for the test.
#[derive(Debug)]
pub(crate) struct Namespace {
    holder: Child,
    jobs: mpsc::Sender<Job>,
}

impl Namespace {
    /// One with nothing but its loopback, which is up.
    pub(crate) fn new() -> Self {
        // `cat` gives back what it is sent, which shows that the namespace is there, and ends with its input.
        let mut holder = Command::new("unshare")
            .args(["--net", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare, of util-linux");
        let sent = holder.stdin.as_mut().expect("a pipe").write_all(b"!");
        let echoed = holder.stdout.as_mut().expect("a pipe").read_exact(&mut [0]);
        assert!(
            sent.is_ok() && echoed.is_ok(),
            "no network namespace could be made: `scripts/test.sh network` says what it takes"
        );
        let jobs = work_inside(&holder);
        let namespace = Self { holder, jobs };
        namespace.ip(["link set lo up"]);
        namespace
    }

    /// The process that holds it: what other programs know it by.
    pub(crate) fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// Runs `work` in it, always on the same thread: sockets that it opens and programs that it starts belong to this
    /// namespace.
    pub(crate) fn inside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, answered) = mpsc::sync_channel(1);
        let job = move || drop(answer.send(work()));
        self.jobs.send(Box::new(job)).expect("the thread inside lives");
        answered.recv().expect("the work inside did not panic")
    }

    /// Carries out commands of `ip`, all at once.
    pub(crate) fn ip<S: AsRef<str>>(&self, commands: impl IntoIterator<Item = S>) {
        let commands: Vec<_> = commands.into_iter().map(|it| it.as_ref().to_owned()).collect();
        let text = commands.join("\n") + "\n";
        let output = self.inside(move || {
            let mut ip = command("ip", ["-batch", "-"]).spawn().expect("ip, of iproute2");
            let sent = ip.stdin.take().expect("a pipe").write_all(text.as_bytes());
            sent.and_then(|()| ip.wait_with_output()).expect("the outcome of ip")
        });
        succeeded(&output, &commands.join("; "));
    }

    /// Starts a program in it. One that is [`mortal`] dies at the latest when this is dropped.
    pub(crate) fn start(&self, mut program: Command) -> Child {
        self.inside(move || program.spawn().expect("the program starts"))
    }

    /// Loses whatever comes in from `peer` (only of `protocol`, if one is named), until the guard is dropped. The
    /// sender notices nothing.
    pub(crate) fn lose_from(&self, peer: Ipv4Addr, protocol: Option<&str>) -> Loss {
        let peer = IpAddr::V4(peer).to_string();
        let mut rule = vec!["INPUT".to_owned(), "-s".to_owned(), peer];
        if let Some(protocol) = protocol {
            rule.extend(["-p".to_owned(), protocol.to_owned()]);
        }
        rule.extend(["-j".to_owned(), "DROP".to_owned()]);
        let loss = Loss { jobs: self.jobs.clone(), rule };
        loss.iptables("-A");
        loss
    }
}

/// Runs `work` on the thread that takes these jobs.
fn run<T: Send + 'static>(
    jobs: &mpsc::Sender<Job>,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (answer, answered) = mpsc::sync_channel(1);
    let job = move || drop(answer.send(work()));
    jobs.send(Box::new(job)).expect("the thread inside lives");
    answered.recv().expect("the work inside did not panic")
}

/// A program that is killed when the thread that starts it ends, so also when this process is killed.
pub(crate) fn mortal(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Gives the thread that lives in the namespace of `holder` its work, until the sender is dropped.
fn work_inside(holder: &Child) -> mpsc::Sender<Job> {
    let path = format!("/proc/{}/ns/net", holder.id());
    let namespace = File::open(&path).expect("the holder has a network namespace");
    let (jobs, received) = mpsc::channel::<Job>();
    thread::spawn(move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("a thread may move into a namespace that its process made");
        drop(namespace);
        for job in received {
            job();
        }
    });
    jobs
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        drop(self.holder.wait());
    }
}

/// Packets that get lost; they come through again when this is dropped.
#[derive(Debug)]
#[must_use = "nothing is lost any more when this is dropped"]
pub(crate) struct Loss {
    jobs: mpsc::Sender<Job>,
    rule: Vec<String>,
}

impl Loss {
    fn iptables(&self, action: &str) {
        let mut args = vec!["--wait".to_owned(), action.to_owned()];
        args.extend(self.rule.iter().cloned());
        let shown = args.join(" ");
        let output = run(&self.jobs, move || command("iptables", args).output().expect("iptables"));
        succeeded(&output, &shown);
    }
}

impl Drop for Loss {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.iptables("-D");
        }
    }
}

fn command(program: &str, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn succeeded(output: &Output, what: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {said}");
}
