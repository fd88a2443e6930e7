//! Two members, the hub between them, and what is on its way.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use pogo_core::{
    id::{BootId, ChildId, FencingToken, Kind, MemberName, RequestId, RunId},
    membership::{Event, MemberMetadata, NameChoice},
    memory::{Crash, Hub, HubConfig, SessionId},
    node::{
        Answer, Config, Contact, ExitReason, Input, Listing, MembershipRequest, Node, Output,
        Request, RunEnd, StartMode, Status,
    },
    placement::{Candidate, ChildKey, owner},
    spec::{Args, ChildSpec, Exclusivity},
    time::{Now, Timestamp, WallTime},
};
use xxhash_rust::xxh3::xxh3_128;

/// A cluster that has not come to rest by then never does.
const REST_WITHIN: Duration = Duration::from_secs(60);

/// What may go wrong, or be asked for, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// This member's process ends.
    Crash(usize),
    /// A user of this member terminates the child.
    Terminate(usize),
}

/// One thing that may happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The hub takes a member's oldest request.
    Request(usize),
    /// A member hears the oldest answer.
    Answer(usize),
    /// A member hears the oldest event.
    Event(usize),
    /// A member's run becomes ready, or ends as it was told to.
    Run(usize),
    /// It happens now.
    Fault(Fault),
}

#[derive(Debug, Clone)]
struct Member {
    name: MemberName,
    node: Node,
    session: SessionId,
    requests: VecDeque<(RequestId, MembershipRequest)>,
    answers: VecDeque<(RequestId, Answer)>,
    events: VecDeque<Event>,
    run: Option<Run>,
}

#[derive(Debug, Clone)]
struct Run {
    id: RunId,
    is_ready: bool,
    stops: bool,
}

/// The whole state.
#[derive(Debug, Clone)]
pub(super) struct Model {
    now: Timestamp,
    hub: Hub,
    members: Vec<Option<Member>>,
    child: ChildId,
    is_strict: bool,
    token: Option<FencingToken>,
    faults: Vec<Fault>,
    is_terminated: bool,
}

type Checked = Result<(), String>;

impl Model {
    /// Member 0 runs the child, and member 1, to which it belongs, begins to join.
    pub(super) fn handing_over(exclusivity: Exclusivity, faults: &[Fault]) -> Self {
        let config = HubConfig { delay: Duration::ZERO..=Duration::ZERO, ..HubConfig::default() };
        let mut model = Self {
            now: Timestamp::ZERO,
            hub: Hub::new(config),
            members: vec![None, None],
            child: child_of_the_second(),
            is_strict: exclusivity == Exclusivity::Strict,
            token: None,
            faults: faults.to_vec(),
            is_terminated: false,
        };
        model.join(0).unwrap();
        model.run_out().unwrap();
        let kind = Kind::new("k").unwrap();
        let args = Args::from_value(&serde_json::Value::Null);
        let spec = ChildSpec::of_kind(model.child.clone(), kind, args).exclusivity(exclusivity);
        let (mode, all_or_nothing) = (StartMode::Start, false);
        model.ask(0, Request::Start { specs: vec![spec], mode, all_or_nothing }).unwrap();
        model.run_out().unwrap();
        model.clone().rest().unwrap();
        model.join(1).unwrap();
        model
    }

    /// One that equals another's only where both go on alike.
    pub(super) fn fingerprint(&self) -> u128 {
        xxh3_128(format!("{self:?}").as_bytes())
    }

    /// All that may happen next.
    pub(super) fn steps(&self) -> Vec<Step> {
        let mut steps = self.deliveries();
        // What nobody is there for any more cannot go wrong either.
        if !steps.is_empty() {
            let possible = self.faults.iter().filter(|fault| match fault {
                Fault::Crash(at) | Fault::Terminate(at) => {
                    self.members.get(*at).is_some_and(Option::is_some)
                }
            });
            steps.extend(possible.map(|fault| Step::Fault(*fault)));
        }
        steps
    }

    fn deliveries(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (at, member) in self.members.iter().enumerate() {
            let Some(member) = member else { continue };
            let waits = [
                (!member.requests.is_empty(), Step::Request(at)),
                (!member.answers.is_empty(), Step::Answer(at)),
                (!member.events.is_empty(), Step::Event(at)),
                (member.run.as_ref().is_some_and(|it| !it.is_ready || it.stops), Step::Run(at)),
            ];
            steps.extend(waits.into_iter().filter(|(waits, _)| *waits).map(|(_, step)| step));
        }
        steps
    }

    /// Lets it happen.
    pub(super) fn take(&mut self, step: Step) -> Checked {
        match step {
            Step::Request(at) => {
                let now = self.clock();
                let Some(Some(member)) = self.members.get_mut(at) else { return Ok(()) };
                let Some((id, request)) = member.requests.pop_front() else { return Ok(()) };
                let answer = self.hub.request(now, member.session, &request);
                member.answers.push_back((id, answer));
                self.read_feeds();
                self.check()
            }
            Step::Answer(at) => {
                let Some(Some(member)) = self.members.get_mut(at) else { return Ok(()) };
                let Some((id, answer)) = member.answers.pop_front() else { return Ok(()) };
                self.handle(at, Input::Answer(id, answer))
            }
            Step::Event(at) => {
                let Some(Some(member)) = self.members.get_mut(at) else { return Ok(()) };
                let Some(event) = member.events.pop_front() else { return Ok(()) };
                self.handle(at, Input::Membership(event))
            }
            Step::Run(at) => self.step_run(at),
            Step::Fault(fault) => {
                self.faults.clear();
                match fault {
                    Fault::Crash(at) => self.crash(at),
                    Fault::Terminate(at) => {
                        self.is_terminated = true;
                        self.ask(at, Request::Terminate(self.child.clone()))
                    }
                }
            }
        }
    }

    /// Lets time pass until the child is where it belongs, and says why where it never is.
    pub(super) fn rest(&mut self) -> Checked {
        let until = self.now + REST_WITHIN;
        loop {
            let Err(why) = self.is_at_rest() else { return Ok(()) };
            let nodes = self.members.iter().flatten().filter_map(|it| it.node.poll_timeout());
            let Some(next) = nodes.chain(self.hub.poll_timeout()).min().filter(|at| *at <= until)
            else {
                return Err(why);
            };
            self.now = self.now.max(next);
            self.read_feeds();
            for at in 0..self.members.len() {
                self.handle(at, Input::Timeout)?;
            }
            self.run_out()?;
        }
    }

    fn is_at_rest(&self) -> Checked {
        let live: Vec<&Member> = self.members.iter().flatten().collect();
        let names: Vec<_> = live.iter().map(|it| Candidate::new(&it.name, 1)).collect();
        let key = ChildKey::new(self.child.as_str());
        let place = owner(key, &names).map(|it| it.name().clone());
        for member in &live {
            let runs = member.run.is_some();
            let should = !self.is_terminated && Some(&member.name) == place.as_ref();
            if runs != should {
                return Err(format!("{} runs it: {runs}; it should: {should}", member.name));
            }
            let listed = member.node.inspect().children(Listing::Global);
            let right = match listed.as_slice() {
                [] => self.is_terminated,
                [one] => {
                    !self.is_terminated && one.status == Status::Running && one.member == place
                }
                _ => false,
            };
            if !right {
                return Err(format!("{} lists {listed:?}", member.name));
            }
        }
        Ok(())
    }

    /// At every step: at most one instance, whatever it does, and tokens that grow.
    fn check(&self) -> Checked {
        let runs = self.members.iter().flatten().filter(|it| it.run.is_some()).count();
        for member in self.members.iter().flatten() {
            member.node.check_invariants().map_err(|it| it.to_string())?;
        }
        if runs > 1 { Err(format!("{runs} instances")) } else { Ok(()) }
    }

    /// Lets all that is on its way arrive, in one order.
    fn run_out(&mut self) -> Checked {
        while let Some(step) = self.deliveries().first().copied() {
            self.take(step)?;
        }
        Ok(())
    }

    fn join(&mut self, at: usize) -> Checked {
        let now = self.clock();
        let name = name_of(at);
        let boot = BootId::from_random(at as u128 + 1);
        let kinds = [Kind::new("k").unwrap()].into();
        let metadata = MemberMetadata { kinds, ..MemberMetadata::default() };
        let choice = NameChoice::Exactly(name.clone());
        let joined = self.hub.join(now, &choice, boot, metadata.clone());
        let (session, me) = joined.map_err(|it| it.to_string())?;
        let mut config = Config::default();
        config.metadata = metadata;
        let member = Member {
            name,
            node: Node::new(config, boot, at as u64, now),
            session,
            requests: VecDeque::new(),
            answers: VecDeque::new(),
            events: VecDeque::new(),
            run: None,
        };
        *self.members.get_mut(at).ok_or("no such place")? = Some(member);
        self.read_feeds();
        let capabilities = self.hub.capabilities();
        self.handle(at, Input::Joined { me, capabilities })
    }

    fn ask(&mut self, at: usize, request: Request) -> Checked {
        self.handle(at, Input::Client(RequestId::new(1), request))
    }

    fn crash(&mut self, at: usize) -> Checked {
        let now = self.clock();
        let Some(member) = self.members.get_mut(at).and_then(Option::take) else { return Ok(()) };
        // What it has sent is on its way.
        for (_, request) in &member.requests {
            self.hub.request(now, member.session, request);
        }
        self.hub.crash(now, member.session, Crash::Noticed);
        self.read_feeds();
        self.check()
    }

    fn step_run(&mut self, at: usize) -> Checked {
        let child = self.child.clone();
        let Some(Some(member)) = self.members.get_mut(at) else { return Ok(()) };
        let Some(run) = &mut member.run else { return Ok(()) };
        let id = run.id;
        if run.stops {
            member.run = None;
            let state = Some(bytes::Bytes::from_static(b"state"));
            let end = RunEnd { reason: ExitReason::Normal, finished: false, state };
            return self.handle(at, Input::ChildExited { child, run: id, end });
        }
        run.is_ready = true;
        self.handle(at, Input::ChildReady { child, run: id, endpoint: None })
    }

    fn handle(&mut self, at: usize, input: Input) -> Checked {
        let now = self.clock();
        let Some(Some(member)) = self.members.get_mut(at) else { return Ok(()) };
        member.node.handle(now, input);
        while let Some(output) = member.node.poll_output() {
            match output {
                Output::Membership(id, request) => member.requests.push_back((id, request)),
                Output::ReadContact => {
                    let lease = self.hub.lease_deadline(now.mono, member.session);
                    let contact = Contact { lease, answered: Vec::new() };
                    member.node.handle(now, Input::Contact(contact));
                }
                Output::StartChild(start) => {
                    let is_higher = self.token.is_none_or(|token| start.token > Some(token));
                    if self.is_strict && !is_higher {
                        return Err(format!("{:?} after {:?}", start.token, self.token));
                    }
                    self.token = start.token;
                    member.run = Some(Run { id: start.run, is_ready: false, stops: false });
                }
                Output::StopChild { .. } => {
                    if let Some(run) = &mut member.run {
                        run.stops = true;
                    }
                }
                Output::Rejoin | Output::Stopped => return Err(format!("{output:?}")),
                Output::ProbeAll(_)
                | Output::Absorb { .. }
                | Output::Reply(..)
                | Output::Event(_)
                | _ => {}
            }
        }
        self.check()
    }

    /// What the hub has for members is on its way to them.
    fn read_feeds(&mut self) {
        for member in self.members.iter_mut().flatten() {
            while let Some(event) = self.hub.poll_event(self.now, member.session) {
                member.events.push_back(event);
            }
        }
    }

    fn clock(&self) -> Now {
        let wall = WallTime::from_millis(1_700_000_000_000 + self.now.as_nanos() / 1_000_000);
        Now { mono: self.now, wall }
    }
}

fn name_of(at: usize) -> MemberName {
    MemberName::new(format!("m{at}")).unwrap()
}

/// A child that placement gives to the second of both.
fn child_of_the_second() -> ChildId {
    let names: BTreeMap<usize, MemberName> = (0..2).map(|at| (at, name_of(at))).collect();
    let candidates: Vec<_> = names.values().map(|name| Candidate::new(name, 1)).collect();
    let is_of_the_second = |id: &String| {
        owner(ChildKey::new(id), &candidates).is_some_and(|it| it.name() == &name_of(1))
    };
    let id = (0..1_000).map(|n| format!("c{n}")).find(is_of_the_second).unwrap();
    ChildId::new(id).unwrap()
}
