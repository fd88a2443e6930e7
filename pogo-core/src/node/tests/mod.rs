//! One node alone: the test plays its session, its runs and its clock.

mod claims;
mod eviction;
mod lifecycle;
mod moving;
mod requests;
mod starting;
mod stranded;
mod tenure;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::json;

use super::*;
use crate::{
    id::{ChildId, Incarnation, Kind, MemberId, MemberName, RequestId, RunId},
    membership::{
        self, Capabilities, ClaimOutcome, DownReason, Guarantee, MemberInfo, MemberMetadata,
        MemberStatus, OwnedUpdate, PutOutcome,
    },
    node::wire::{OwnedKey, Report, ReportPhase, ViewRecord, to_packed},
    record::{Key, Record},
    spec::{Args, ChildSpec, Shutdown},
    time::{Timestamp, WallTime},
};

/// A node whose session takes everything at once, unless told otherwise.
#[expect(clippy::struct_excessive_bools, reason = "each switches one thing")]
struct Solo {
    node: Node,
    now: Now,
    store: BTreeMap<Key, Record>,
    published: BTreeMap<Key, Option<bytes::Bytes>>,
    /// Whether publishes are answered.
    answers_publish: bool,
    /// Whether puts are answered.
    answers_put: bool,
    /// Whether what is asked about claims is answered: releases never are, acquires fail.
    answers_claims: bool,
    /// Why reads fail, if they do.
    get_error: Option<membership::MembershipError>,
    /// What stands in the way of the next put.
    overtaken: Option<Record>,
    /// Whether puts that expect something else than what stands are refused.
    judges: bool,
    unanswered: Option<RequestId>,
    claims: Option<ClaimOutcome>,
    /// The claims that it gave back.
    released: Vec<Key>,
    contact: Contact,
    /// How often lease and contacts were read.
    looks: usize,
    started: Vec<StartChild>,
    stopped: Vec<(ChildId, RunId, StopReason)>,
    /// How the last one was told to stop.
    shutdown: Option<Shutdown>,
    replies: Vec<(RequestId, Reply)>,
    events: Vec<Event>,
    puts: Vec<membership::Put>,
    next_request: u64,
    /// How often it asked to leave.
    leaves: usize,
    /// How often it said that it has stopped.
    stops: usize,
}

fn boot(name: &str) -> BootId {
    BootId::from_random(u128::from(xxhash_rust::xxh3::xxh3_64(name.as_bytes())) << 64 | 7)
}

fn member_id(name: &str) -> MemberId {
    MemberId {
        name: MemberName::new(name).unwrap(),
        incarnation: Incarnation::new(1),
        boot: boot(name),
    }
}

fn metadata() -> MemberMetadata {
    MemberMetadata { kinds: [Kind::new("k").unwrap()].into(), ..MemberMetadata::default() }
}

fn info(name: &str, status: MemberStatus) -> MemberInfo {
    MemberInfo { id: member_id(name), status, metadata: Arc::new(metadata()) }
}

fn id(text: &str) -> ChildId {
    ChildId::new(text).unwrap()
}

fn spec(child: &str) -> ChildSpec {
    ChildSpec::of_kind(id(child), Kind::new("k").unwrap(), Args::from_value(&json!(child)))
}

fn capabilities() -> Capabilities {
    let mut capabilities = Capabilities::least(Duration::from_secs(1), Duration::from_millis(50));
    capabilities.compare_and_set = Guarantee::Linearizable;
    capabilities.claims = Guarantee::Linearizable;
    capabilities
}

impl Solo {
    /// A node called `a` that has not read its snapshot.
    fn joining(config: &Config) -> Self {
        let now = Now { mono: Timestamp::ZERO, wall: WallTime::from_millis(1_000_000) };
        let config = Config { metadata: metadata(), ..config.clone() };
        let mut solo = Self {
            node: Node::new(config, boot("a"), 1, now),
            now,
            store: BTreeMap::new(),
            published: BTreeMap::new(),
            answers_publish: true,
            answers_put: true,
            answers_claims: true,
            get_error: None,
            overtaken: None,
            judges: false,
            unanswered: None,
            claims: None,
            released: Vec::new(),
            contact: Contact::default(),
            looks: 0,
            started: Vec::new(),
            stopped: Vec::new(),
            shutdown: None,
            replies: Vec::new(),
            events: Vec::new(),
            puts: Vec::new(),
            next_request: 0,
            leaves: 0,
            stops: 0,
        };
        solo.input(Input::Joined { me: member_id("a"), capabilities: capabilities() });
        solo
    }

    /// A node called `a`, live and alone.
    fn new() -> Self {
        Self::with(&Config::default())
    }

    fn with(config: &Config) -> Self {
        let mut solo = Self::joining(config);
        solo.event(membership::Event::Reset { rolled_back: false });
        solo.event(membership::Event::MemberUp(info("a", MemberStatus::Joining)));
        solo.event(membership::Event::Synced);
        solo
    }

    fn input(&mut self, input: Input) {
        self.node.handle(self.now, input);
        self.node.check_invariants().unwrap();
        self.drain();
    }

    fn event(&mut self, event: membership::Event) {
        self.input(Input::Membership(event));
    }

    fn advance(&mut self, by: Duration) {
        let until = self.now.mono + by;
        while let Some(at) = self.node.poll_timeout().filter(|at| *at <= until) {
            self.now.mono = self.now.mono.max(at);
            self.input(Input::Timeout);
        }
        self.now.mono = until;
        let wall = self.now.wall.as_millis() + u64::try_from(by.as_millis()).unwrap();
        self.now.wall = WallTime::from_millis(wall);
    }

    fn drain(&mut self) {
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Membership(request, asked) => {
                    if let Some(answer) = self.answer(asked) {
                        self.node.handle(self.now, Input::Answer(request, answer));
                    } else {
                        self.unanswered = Some(request);
                    }
                }
                Output::StartChild(start) => self.started.push(start),
                Output::StopChild { child, run, reason, shutdown } => {
                    self.stopped.push((child, run, reason));
                    self.shutdown = Some(shutdown);
                }
                Output::Reply(request, reply) => self.replies.push((request, reply)),
                Output::Event(event) => self.events.push(event),
                Output::Stopped => self.stops += 1,
                Output::ReadContact => {
                    self.looks += 1;
                    self.node.handle(self.now, Input::Contact(self.contact.clone()));
                }
                Output::Rejoin | Output::ProbeAll(_) | Output::Absorb { .. } => {}
            }
        }
    }

    fn answer(&mut self, asked: MembershipRequest) -> Option<Answer> {
        Some(match asked {
            MembershipRequest::Publish(batch) => {
                for OwnedUpdate { key, value } in batch {
                    self.published.insert(key, value);
                }
                if !self.answers_publish {
                    return None;
                }
                Answer::Done
            }
            MembershipRequest::Put(batch) => {
                if !self.answers_put {
                    return None;
                }
                let mut outcomes = Vec::new();
                for put in batch {
                    if let Some(current) = self.overtaken.take() {
                        outcomes.push(PutOutcome::Stale { current: Some(current) });
                        continue;
                    }
                    let current = self.store.get(&put.key).cloned();
                    let found = current.as_ref().map(|current| current.stamp);
                    let is_expected = match put.expect {
                        membership::Expect::Exactly(stamp) => found == Some(stamp),
                        membership::Expect::Absent => found.is_none(),
                        membership::Expect::Newer => true,
                    };
                    if self.judges && !is_expected {
                        outcomes.push(PutOutcome::Stale { current });
                        continue;
                    }
                    self.store.insert(put.key.clone(), put.record.clone());
                    self.puts.push(put);
                    outcomes.push(PutOutcome::Applied);
                }
                Answer::Put(outcomes)
            }
            MembershipRequest::Get(keys) => match self.get_error.clone() {
                Some(error) => Answer::Failed(error),
                None => Answer::Got(keys.iter().map(|key| self.store.get(key).cloned()).collect()),
            },
            MembershipRequest::Release(_) if !self.answers_claims => return None,
            MembershipRequest::Acquire(_) if !self.answers_claims => {
                let reason = "no answer".to_owned();
                Answer::Failed(membership::MembershipError::Unavailable { backend: "solo", reason })
            }
            MembershipRequest::Acquire(keys) => {
                let outcome = self.claims.clone().unwrap();
                Answer::Acquired(keys.iter().map(|_| outcome.clone()).collect())
            }
            MembershipRequest::Leave => {
                self.leaves += 1;
                Answer::Done
            }
            MembershipRequest::Release(keys) => {
                self.released.extend(keys);
                Answer::Done
            }
            MembershipRequest::SetStatus(_) => Answer::Done,
        })
    }

    fn request(&mut self, request: Request) -> RequestId {
        self.next_request += 1;
        let number = RequestId::new(self.next_request);
        self.input(Input::Client(number, request));
        number
    }

    fn start(&mut self, spec: ChildSpec) -> Result<Started, StartChildError> {
        let mode = StartMode::Start;
        self.request(Request::Start { specs: vec![spec], mode, all_or_nothing: false });
        match self.replies.pop() {
            Some((_, Reply::Started(mut results))) => results.pop().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn terminate(&mut self, child: &str) -> Terminated {
        self.request(Request::Terminate(id(child)));
        match self.replies.pop() {
            Some((_, Reply::Terminated(result))) => result.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn run_of(&self, child: &str) -> RunId {
        self.started.iter().rev().find(|start| start.child == id(child)).unwrap().run
    }

    fn ready(&mut self, child: &str) {
        let run = self.run_of(child);
        self.input(Input::ChildReady { child: id(child), run, endpoint: None });
    }

    fn exit(&mut self, child: &str, reason: ExitReason) {
        let run = self.run_of(child);
        let end = RunEnd { reason, finished: false, state: None };
        self.input(Input::ChildExited { child: id(child), run, end });
    }

    fn running(&mut self, child: &str) {
        self.start(spec(child)).unwrap();
        self.ready(child);
        assert_eq!(self.status(child), Some(Status::Running));
    }

    fn status(&self, child: &str) -> Option<Status> {
        self.node.inspect().child(&id(child)).map(|info| info.status)
    }

    /// Another member joins, its view naming both.
    fn join(&mut self, name: &str) {
        self.event(membership::Event::MemberUp(info(name, MemberStatus::Active)));
        self.agree(name);
    }

    fn agree(&mut self, name: &str) {
        let view = self.node.inspect().view();
        let record = ViewRecord {
            members: view.members,
            digest: view.digest,
            cordons: 0,
            inactive: Vec::new(),
        };
        self.owned(name, &OwnedKey::View, Some(to_packed(&record).unwrap()));
    }

    fn owned(&mut self, name: &str, key: &OwnedKey, value: Option<bytes::Bytes>) {
        let updates = vec![OwnedUpdate { key: key.to_key(), value }];
        self.event(membership::Event::Owned(member_id(name), updates));
    }

    fn report(&mut self, name: &str, child: &str, phase: ReportPhase) {
        let version = self.node.inspect().record(&id(child)).unwrap().0.version;
        let report =
            Report { version, phase, restarts: 0, failures: 0, token: None, endpoint: None };
        let value = to_packed(&report).unwrap();
        self.owned(name, &OwnedKey::Report(id(child)), Some(value));
    }

    fn want(&mut self, name: &str, child: &str) {
        let value = Some(bytes::Bytes::from_static(&[1]));
        self.owned(name, &OwnedKey::Want(id(child)), value);
    }

    fn down(&mut self, name: &str, reason: DownReason) {
        self.event(membership::Event::MemberDown(member_id(name), reason));
    }

    fn published(&self, child: &str) -> Option<ReportPhase> {
        let value = self.published.get(&OwnedKey::Report(id(child)).to_key())?.as_ref()?;
        Some(wire::from_packed::<Report>(value).unwrap().phase)
    }

    fn wants(&self, child: &str) -> bool {
        matches!(self.published.get(&OwnedKey::Want(id(child)).to_key()), Some(Some(_)))
    }

    /// The first `c<n>` that placement gives to `name`, `a` and `name` being the members.
    fn child_of(name: &str) -> String {
        use crate::placement::{Candidate, ChildKey, owner};
        let names = [MemberName::new("a").unwrap(), MemberName::new("b").unwrap()];
        let candidates: Vec<_> = names.iter().map(|name| Candidate::new(name, 1)).collect();
        (0..1_000)
            .map(|n| format!("c{n}"))
            .find(|id| owner(ChildKey::new(id), &candidates).unwrap().name().as_str() == name)
            .unwrap()
    }
}
