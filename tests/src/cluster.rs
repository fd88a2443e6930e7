//! Real nodes over the pure hub in virtual time, with a count of what they do.
//!
//! No tokio and no clock but the one that counts: a change costs what the nodes spend on it, however busy the
//! machine is otherwise. Children are ready and ended the moment that they are told to be.

use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroU32,
    time::Duration,
};

use pogo_core::{
    id::{BootId, ChildId, IdError, Kind, MemberName, RequestId, RunId},
    membership::{Event, MemberMetadata, MembershipError, NameChoice},
    memory::{Crash, Hub, HubConfig, SessionId},
    node::{Config, ExitReason, Input, Node, Output, Reply, Request, RunEnd, StartMode},
    spec::{Args, ChildSpec},
    time::{Now, Timestamp, WallTime},
};

/// What the nodes did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Inputs given to nodes.
    pub inputs: u64,
    /// Outputs taken from nodes.
    pub outputs: u64,
    /// Processor time spent in nodes.
    pub busy: Duration,
}

impl Work {
    /// What was done since `earlier`.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            inputs: self.inputs - earlier.inputs,
            outputs: self.outputs - earlier.outputs,
            busy: self.busy.saturating_sub(earlier.busy),
        }
    }
}

/// A whole cluster on one thread.
#[derive(Debug)]
pub struct Cluster {
    hub: Hub,
    now: Now,
    members: Vec<Member>,
    work: Work,
    boots: u128,
    last: RequestId,
}

/// One member: its node, and what is on the way to it.
#[derive(Debug)]
struct Member {
    name: MemberName,
    node: Node,
    session: SessionId,
    inputs: VecDeque<Input>,
    runs: BTreeMap<ChildId, RunId>,
    replies: Vec<Reply>,
}

/// The kind of every child here.
pub const KIND: &str = "worker";

/// The `n`th child.
///
/// # Errors
/// None: such ids are always accepted.
pub fn child(n: usize) -> Result<ChildId, IdError> {
    ChildId::new(format!("{KIND}/{n:06}"))
}

/// The spec of the `n`th child: arguments of a common size.
///
/// # Errors
/// None: such ids are always accepted.
pub fn spec(n: usize) -> Result<ChildSpec, IdError> {
    let args =
        serde_json::json!({ "host": format!("10.0.{}.{}", n / 256 % 256, n % 256), "port": 80 });
    Ok(ChildSpec::of_kind(child(n)?, Kind::new(KIND)?, Args::from_value(&args)))
}

impl Cluster {
    /// A cluster of `members` members that have agreed on their views.
    ///
    /// # Errors
    /// What the hub says to a join.
    pub fn new(members: u32) -> Result<Self, MembershipError> {
        let mut cluster = Self {
            hub: Hub::new(HubConfig::default()),
            now: Now { mono: Timestamp::ZERO, wall: WallTime::from_millis(1_000_000) },
            members: Vec::new(),
            work: Work::default(),
            boots: 0,
            last: RequestId::default(),
        };
        for at in 0..members {
            cluster.join(&format!("m{at}"), members)?;
        }
        cluster.advance(Duration::from_secs(1));
        Ok(cluster)
    }

    /// Adds a member, which takes no part before `min_members` are seen.
    ///
    /// # Errors
    /// What the hub says.
    pub fn join(&mut self, name: &str, min_members: u32) -> Result<(), MembershipError> {
        self.boots += 1;
        let boot = BootId::from_random(self.boots << 64 | self.boots);
        let mut config = Config::default();
        config.metadata =
            MemberMetadata { kinds: [Kind::new(KIND)?].into(), ..MemberMetadata::default() };
        config.min_members = NonZeroU32::new(min_members).unwrap_or(NonZeroU32::MIN);
        let name = MemberName::new(name)?;
        let choice = NameChoice::Exactly(name.clone());
        let (session, me) = self.hub.join(self.now, &choice, boot, config.metadata.clone())?;
        let capabilities = self.hub.capabilities();
        self.members.push(Member {
            name,
            node: Node::new(config, boot, 1, self.now),
            session,
            inputs: VecDeque::from([Input::Joined { me, capabilities }]),
            runs: BTreeMap::new(),
            replies: Vec::new(),
        });
        self.settle();
        Ok(())
    }

    /// What all nodes have done so far.
    pub const fn work(&self) -> Work {
        self.work
    }

    /// What the nodes do for one change.
    pub fn measure(&mut self, change: impl FnOnce(&mut Self)) -> Work {
        let began = self.work;
        change(self);
        self.work.since(began)
    }

    /// The nodes of the members that live.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.members.iter().map(|member| &member.node)
    }

    /// Runs of all members.
    pub fn runs(&self) -> usize {
        self.members.iter().map(|member| member.runs.len()).sum()
    }

    /// Runs of the last member.
    pub fn runs_of_last(&self) -> usize {
        self.members.last().map_or(0, |member| member.runs.len())
    }

    /// Asks the first member, and goes on until nothing is left to do.
    pub fn ask(&mut self, request: Request) -> Option<Reply> {
        self.last = self.last.next();
        let input = Input::Client(self.last, request);
        self.members.first_mut()?.inputs.push_back(input);
        self.settle();
        self.members.first_mut()?.replies.pop()
    }

    /// Starts children in one request.
    pub fn start(&mut self, specs: Vec<ChildSpec>) -> Option<Reply> {
        self.ask(Request::Start { specs, mode: StartMode::Start, all_or_nothing: false })
    }

    /// Lets the run of a child fail where it runs, and waits until it runs again.
    pub fn fail(&mut self, child: &ChildId) {
        for member in &mut self.members {
            let Some(run) = member.runs.remove(child) else { continue };
            let reason = ExitReason::Failed("it broke".to_owned());
            let end = RunEnd { reason, finished: false, state: None };
            member.inputs.push_back(Input::ChildExited { child: child.clone(), run, end });
        }
        self.settle();
        self.advance(Duration::from_millis(200));
    }

    /// Kills the last member; the others know at once.
    pub fn crash_last(&mut self) {
        if let Some(member) = self.members.pop() {
            self.hub.crash(self.now, member.session, Crash::Noticed);
        }
        self.settle();
    }

    /// Lets the last member stop its children and leave.
    pub fn shut_down_last(&mut self) {
        if let Some(member) = self.members.last_mut() {
            member.inputs.push_back(Input::Shutdown);
        }
        self.settle();
        self.advance(Duration::from_secs(1));
        self.members.pop();
    }

    /// The name of the last member.
    pub fn last_name(&self) -> Option<&MemberName> {
        self.members.last().map(|member| &member.name)
    }

    /// Lets time pass, deadline by deadline.
    pub fn advance(&mut self, by: Duration) {
        let until = self.now.mono + by;
        loop {
            self.settle();
            let deadlines = self.members.iter().filter_map(|member| member.node.poll_timeout());
            let next = deadlines.chain(self.hub.poll_timeout()).min();
            let Some(next) = next.filter(|at| *at <= until) else { break };
            self.set_time(next);
            let due =
                |member: &&mut Member| member.node.poll_timeout().is_some_and(|at| at <= next);
            for member in self.members.iter_mut().filter(due) {
                member.inputs.push_back(Input::Timeout);
            }
        }
        self.set_time(until);
    }

    fn set_time(&mut self, at: Timestamp) {
        let passed = at.since(self.now.mono);
        let wall = self.now.wall.as_millis() + u64::try_from(passed.as_millis()).unwrap_or(0);
        self.now = Now { mono: self.now.mono.max(at), wall: WallTime::from_millis(wall) };
    }

    /// Goes on until nothing is left to do at this time.
    fn settle(&mut self) {
        let mut quiet = false;
        while !quiet {
            quiet = true;
            for member in &mut self.members {
                while let Some(event) = self.hub.poll_event(self.now.mono, member.session) {
                    debug_assert!(event != Event::Evicted, "nobody evicts here");
                    member.inputs.push_back(Input::Membership(event));
                }
                while let Some(input) = member.inputs.pop_front() {
                    quiet = false;
                    member.handle(&mut self.hub, self.now, input, &mut self.work);
                }
            }
        }
    }
}

impl Member {
    fn handle(&mut self, hub: &mut Hub, now: Now, input: Input, work: &mut Work) {
        let began = processor_time();
        self.node.handle(now, input);
        let outputs: Vec<_> = std::iter::from_fn(|| self.node.poll_output()).collect();
        work.busy += processor_time().saturating_sub(began);
        work.inputs += 1;
        for output in outputs {
            work.outputs += 1;
            self.execute(hub, now, output);
        }
    }

    fn execute(&mut self, hub: &mut Hub, now: Now, output: Output) {
        match output {
            Output::Membership(id, request) => {
                let answer = hub.request(now, self.session, &request);
                self.inputs.push_back(Input::Answer(id, answer));
            }
            Output::StartChild(start) => {
                self.runs.insert(start.child.clone(), start.run);
                let (child, run) = (start.child, start.run);
                self.inputs.push_back(Input::ChildReady { child, run, endpoint: None });
            }
            Output::StopChild { child, run, .. } => {
                self.runs.remove(&child);
                let end = RunEnd { reason: ExitReason::Normal, finished: false, state: None };
                self.inputs.push_back(Input::ChildExited { child, run, end });
            }
            Output::Reply(_, reply) => self.replies.push(reply),
            Output::Rejoin | Output::Absorb { .. } | Output::Event(_) | Output::Stopped | _ => {}
        }
    }
}

/// The processor time that this thread has had: another program's turn in between does not count.
#[cfg(unix)]
pub fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Time since the first call, where the system does not count a thread's own.
#[cfg(not(unix))]
pub fn processor_time() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}
