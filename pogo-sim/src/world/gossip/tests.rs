//! The network, with endpoints that only note what reaches them.

use std::{collections::VecDeque, net::SocketAddr};

use pogo_core::time::Now;
use pogo_membership_gossip::swim::Body;

use super::*;
use crate::plan::Options;

/// Notes its inputs; a test puts outputs into it.
#[derive(Debug)]
struct Notes {
    inputs: Vec<Input>,
    outputs: VecDeque<Output>,
}

impl Endpoint for Notes {
    fn new(_config: Config, _seed: u64, _now: Now) -> Self {
        Self { inputs: Vec::new(), outputs: VecDeque::new() }
    }
    fn handle(&mut self, _now: Now, input: Input) {
        if !matches!(input, Input::Timeout) {
            self.inputs.push(input);
        }
    }
    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
    fn poll_timeout(&self) -> Option<Timestamp> {
        None
    }
}

const A: Place = 0;
const B: Place = 1;

struct World(Net<Notes>);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

fn process(place: Place, start: u64) -> Process {
    Process { host: MemberName::new(["a", "b"][place]).unwrap(), start }
}

impl World {
    fn new(seed: u64, change: impl FnOnce(&mut Options)) -> Self {
        let mut plan = Plan::new(seed, Options::default());
        change(&mut plan.options);
        for place in [A, B] {
            plan.at(0, Op::Boot(process(place, 1).host));
        }
        let mut world = Self(Net::new(&plan));
        world.boot(A, 1);
        world.boot(B, 1);
        world
    }

    fn boot(&mut self, place: Place, start: u64) {
        let (now, clock) = (self.0.now, HostClock { started: self.0.now, ..HostClock::default() });
        self.0.boot(now, &process(place, start), clock);
    }

    fn crash(&mut self, place: Place, silent: bool) {
        self.0.crash(self.0.now, &process(place, 1), silent);
    }

    fn cut(&mut self) {
        self.0.cut(self.0.now, &[[process(A, 1).host].into()]);
    }

    fn heal(&mut self) {
        self.0.cut(self.0.now, &[]);
    }

    fn run_until(&mut self, until: Timestamp) {
        while let Some(at) = self.0.next_step_at().filter(|at| *at <= until) {
            self.0.step(at);
        }
        self.0.now = until;
    }

    fn asks(&mut self, place: Place, output: Output) {
        let running = self.0.machines[place].running.as_mut().unwrap();
        running.engine.outputs.push_back(output);
        self.0.handle(place, Input::Timeout);
    }

    /// What has reached an endpoint since it was asked last.
    fn seen(&mut self, place: Place) -> Vec<Input> {
        let running = self.0.machines[place].running.as_mut();
        running.map(|it| std::mem::take(&mut it.engine.inputs)).unwrap_or_default()
    }

    fn addr(&self, place: Place) -> SocketAddr {
        self.0.machines[place].addr
    }

    fn dials(&mut self) {
        let target = Target::Peer(self.addr(B));
        self.asks(A, Output::Dial(target));
    }

    /// A link from A to B, by the names of both.
    fn linked(&mut self) -> (LinkId, LinkId) {
        self.dials();
        self.run_until(self.0.now + Duration::from_secs(1));
        let ups = [A, B].map(|place| match self.seen(place).as_slice() {
            [Input::LinkUp { link, .. }] => *link,
            other => panic!("{other:?}"),
        });
        (ups[0], ups[1])
    }

    fn sends(&mut self, place: Place, link: LinkId, numbers: std::ops::Range<u64>) {
        for number in numbers {
            self.asks(place, Output::Send { link, message: Message::PutAck(number) });
        }
    }

    /// A datagram from A to B.
    fn probes(&mut self, probe: u64) {
        let to = self.addr(B);
        let packet = Packet {
            from: PeerId::from_random(1),
            body: Body::Nack { probe },
            updates: Vec::new(),
        };
        self.asks(A, Output::Datagram { to, packet });
    }

    fn received(&mut self, place: Place) -> Vec<u64> {
        let seen = self.seen(place).into_iter().filter_map(|input| match input {
            Input::Received { message: Message::PutAck(number), .. } => Some(number),
            _ => None,
        });
        seen.collect()
    }

    fn is_down(&mut self, place: Place) -> bool {
        self.seen(place).iter().any(|input| matches!(input, Input::LinkDown(_)))
    }

    fn dial_error(&mut self) -> Option<DialError> {
        self.seen(A).into_iter().find_map(|input| match input {
            Input::DialFailed { error, .. } => Some(error),
            _ => None,
        })
    }
}

#[test]
fn stream_keeps_order_whatever_happens_to_its_parts() {
    let mut world = World::new(1, |options| {
        options.loss = 200;
        options.delay = Duration::from_millis(20);
    });
    let (a, b) = world.linked();
    world.sends(A, a, 0..100);
    world.sends(B, b, 0..100);
    world.run_until(at(5));
    assert_eq!(world.received(A), (0..100).collect::<Vec<_>>());
    assert_eq!(world.received(B), (0..100).collect::<Vec<_>>());
}

#[test]
fn datagrams_are_lost_repeated_and_overtaken_as_the_options_say() {
    let mut world = World::new(1, |options| {
        options.loss = 100;
        options.copies = 100;
        options.delay = Duration::from_millis(5);
    });
    (0..1_000).for_each(|probe| world.probes(probe));
    world.run_until(at(1));
    let probes: Vec<u64> = world
        .seen(B)
        .into_iter()
        .map(|input| match input {
            Input::Datagram { packet: Packet { body: Body::Nack { probe }, .. }, .. } => probe,
            other => panic!("{other:?}"),
        })
        .collect();
    let different: BTreeSet<u64> = probes.iter().copied().collect();
    assert!((850..950).contains(&different.len()), "{} of 1,000 came", different.len());
    assert!(probes.len() > different.len() + 50, "some came twice");
    assert!(!probes.is_sorted(), "some were overtaken");
}

#[test]
fn no_more_datagrams_are_under_way_than_there_is_room_for() {
    let mut world = World::new(1, |options| options.in_flight = 3);
    for _ in 0..2 {
        for probe in 0..10 {
            world.probes(probe);
        }
        world.run_until(world.0.now + Duration::from_secs(1));
        assert_eq!(world.seen(B).len(), 3);
    }
}

#[test]
fn paused_process_is_given_what_came_meanwhile_in_order() {
    let mut world = World::new(1, |_| {});
    let (a, _) = world.linked();
    world.0.pause(world.0.now, &process(B, 1));
    world.sends(A, a, 0..5);
    (0..1_000).for_each(|probe| world.probes(probe));
    world.run_until(at(20));
    assert!(world.seen(B).is_empty() && !world.is_down(A), "its system keeps the stream");
    world.0.resume(world.0.now, &process(B, 1));
    let seen = world.seen(B);
    let datagrams = seen.iter().filter(|input| matches!(input, Input::Datagram { .. })).count();
    assert_eq!((seen.len(), datagrams), (5 + 256, 256), "as many as there is room for");
}

#[test]
fn cut_or_clogged_way_is_so_in_one_direction() {
    let mut world = World::new(1, |_| {});
    let (a, b) = world.linked();
    let [one, other] = [A, B].map(|place| BTreeSet::from([process(place, 1).host]));
    world.0.clog(&one, &other, Duration::from_secs(2));
    world.sends(A, a, 0..3);
    world.sends(B, b, 0..3);
    world.run_until(at(2));
    assert_eq!(world.received(A), [0, 1, 2]);
    assert!(world.received(B).is_empty());
    world.run_until(at(4));
    assert_eq!(world.received(B), [0, 1, 2], "late and in order");
    world.0.clog(&one, &other, Duration::ZERO);
    world.0.set_cut(world.0.now, &one, &other, true);
    world.probes(1);
    world.sends(B, b, 3..5);
    world.run_until(at(6));
    assert!(world.seen(B).is_empty());
    assert_eq!(world.received(A), [3, 4]);
    assert!(world.0.lines.heal(), "something was wrong");
    world.probes(2);
    world.run_until(at(7));
    assert_eq!(world.seen(B).len(), 1);
}

#[test]
fn slow_process_handles_everything_later_and_in_order() {
    let mut world = World::new(1, |_| {});
    let (a, _) = world.linked();
    world.0.slow(&process(B, 1), Duration::from_secs(3));
    world.sends(A, a, 0..3);
    world.run_until(at(3));
    assert!(world.received(B).is_empty());
    world.0.slow(&process(B, 1), Duration::ZERO);
    world.sends(A, a, 3..5);
    world.run_until(at(6));
    assert_eq!(world.received(B), [0, 1, 2, 3, 4]);
}

#[test]
fn dial_tells_who_refuses_from_who_is_silent() {
    let mut world = World::new(1, |_| {});
    world.crash(B, false);
    world.dials();
    world.run_until(at(1));
    assert_eq!(world.dial_error(), Some(DialError::Refused));

    let mut world = World::new(1, |_| {});
    world.crash(B, true);
    world.dials();
    world.run_until(Timestamp::from_nanos(900_000_000));
    assert_eq!(world.dial_error(), None, "nothing can be known yet");
    world.run_until(at(5));
    assert!(matches!(world.dial_error(), Some(DialError::Unreachable(_))));
    world.boot(B, 2);
    world.linked();

    world.cut();
    world.dials();
    world.run_until(at(20));
    assert!(matches!(world.dial_error(), Some(DialError::Unreachable(_))));
}

#[test]
fn killed_process_is_noticed_at_once_and_a_machine_that_goes_off_only_when_asked() {
    let mut world = World::new(1, |_| {});
    let (a, _) = world.linked();
    world.crash(B, false);
    world.run_until(at(2));
    assert!(world.is_down(A));

    let mut world = World::new(1, |_| {});
    let (second, _) = world.linked();
    assert_eq!(a, second);
    world.crash(B, true);
    world.run_until(at(100));
    assert!(!world.is_down(A), "nothing was sent");
    world.boot(B, 2);
    world.sends(A, second, 0..1);
    world.run_until(at(102));
    assert!(world.is_down(A), "the new process does not know the stream");
    assert!(world.seen(B).is_empty());
}

#[test]
fn stream_survives_a_cut_or_breaks_as_it_is_drawn() {
    let mut ends = BTreeSet::new();
    for seed in 0..30 {
        let mut world = World::new(seed, |_| {});
        let (a, b) = world.linked();
        world.cut();
        world.sends(A, a, 0..3);
        world.run_until(at(20));
        assert!(world.received(B).is_empty(), "a cut is silence");
        let broke = world.is_down(A);
        world.heal();
        world.sends(A, a, 3..5);
        world.run_until(at(25));
        if broke {
            assert!(world.seen(B).is_empty(), "the other end does not know");
            world.sends(B, b, 0..1);
            world.run_until(at(30));
            assert!(world.is_down(B), "now it does");
        } else {
            assert_eq!(world.received(B), [0, 1, 2, 3, 4], "all comes, in order");
        }
        ends.insert(broke);
    }
    assert_eq!(ends.len(), 2, "both were drawn");
}

#[test]
fn closed_link_delivers_what_was_sent_before() {
    let mut world = World::new(1, |_| {});
    let (a, b) = world.linked();
    world.sends(A, a, 0..3);
    world.asks(A, Output::Close(a));
    world.sends(A, a, 3..4);
    world.run_until(at(5));
    let seen = world.seen(B);
    assert_eq!(seen.len(), 4, "{seen:?}");
    assert!(matches!(seen.last(), Some(Input::LinkDown(link)) if *link == b));
    assert!(world.seen(A).is_empty(), "who closes is told nothing more");
    assert!(world.0.ends.is_empty());
}

#[test]
fn messages_come_unchanged_out_of_their_binary_form() {
    let mut world = World::new(1, |options| options.encoded = true);
    let (a, _) = world.linked();
    world.sends(A, a, 0..3);
    world.run_until(at(2));
    assert_eq!(world.received(B), [0, 1, 2]);
    assert!(world.0.news.is_empty());
}
