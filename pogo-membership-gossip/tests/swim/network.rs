//! The network: datagrams with latency and loss, links that keep order and lose nothing, cuts in
//! one direction or both, processes that pause, and others whose packets are late.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use pogo_core::{random::Rng, time::Timestamp};
use pogo_membership_gossip::{
    peer::{Life, PeerId, Update},
    swim::{FULL_MESH, Packet, Swim, SwimOutput, Via},
    timing::Timing,
};

use super::{millis, secs};

/// What sealing adds to a datagram: version, key id, nonce, tag.
const SEAL: usize = 41;
/// What a process that stands still keeps in its socket buffer.
const BACKLOG: usize = 500;

#[derive(Debug, Clone)]
enum Arrival {
    Datagram(SocketAddr, Packet),
    Link(Packet),
    Hello { from: usize, updates: Vec<Update>, answer: bool },
}

#[derive(Debug)]
enum Event {
    Arrive(usize, Arrival),
    Wake(usize, Timestamp),
    Resume(usize),
    Redial(usize),
}

/// A change that one peer noticed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noticed {
    pub(super) at: Timestamp,
    pub(super) by: usize,
    pub(super) update: Update,
    pub(super) before: Option<Life>,
}

#[derive(Debug)]
pub(super) struct Process {
    /// `None` once it was killed.
    pub(super) swim: Option<Swim>,
    pub(super) id: PeerId,
    pub(super) addr: SocketAddr,
    /// Its datagrams so far: how many, and bytes with the seal.
    pub(super) sent: (u64, u64),
    paused: bool,
    backlog: Vec<Arrival>,
    wake: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct Network {
    pub(super) timing: Timing,
    pub(super) now: Timestamp,
    pub(super) processes: Vec<Process>,
    pub(super) noticed: Vec<Noticed>,
    /// Of 1,000 datagrams so many are lost.
    pub(super) loss: usize,
    /// From whom to whom nothing arrives.
    pub(super) cut: BTreeSet<(usize, usize)>,
    /// Whose packets take 5 to 10 s.
    pub(super) late: BTreeSet<usize>,
    /// Whether pairs of peers have links (while they are few enough for it).
    pub(super) links: bool,
    pub(super) rng: Rng,
    /// All that was sent, folded into a number.
    pub(super) trace: u64,
    largest: usize,
    queue: BTreeMap<(Timestamp, u64), Event>,
    queued: u64,
    in_order: BTreeMap<(usize, usize), Timestamp>,
}

impl Network {
    /// An empty network.
    pub(super) fn new(timing: Timing, seed: u64) -> Self {
        Self {
            timing,
            now: Timestamp::ZERO,
            processes: Vec::new(),
            noticed: Vec::new(),
            loss: 0,
            cut: BTreeSet::new(),
            late: BTreeSet::new(),
            links: true,
            rng: Rng::new(seed),
            trace: 0,
            largest: 0,
            queue: BTreeMap::new(),
            queued: 0,
            in_order: BTreeMap::new(),
        }
    }

    /// A cluster of `count` that know each other, at rest.
    pub(super) fn cluster(timing: Timing, count: usize, seed: u64) -> Self {
        let mut network = Self::new(timing, seed);
        for _ in 0..count {
            network.start();
        }
        let all: Vec<Update> = network
            .processes
            .iter()
            .filter_map(|process| process.swim.as_ref())
            .map(Swim::me)
            .collect();
        for process in 0..count {
            network.input(process, |swim, now| swim.learn(now, &all));
        }
        // Until nobody has news any more.
        network.run(network.timing.gossip_interval * 100);
        network.noticed.clear();
        network
    }

    /// Starts a process at an address of its own.
    pub(super) fn start(&mut self) -> usize {
        let host = u16::try_from(self.processes.len()).unwrap().to_be_bytes();
        self.start_at(SocketAddr::from((Ipv4Addr::new(10, 0, host[0], host[1]), 7946)))
    }

    pub(super) fn start_at(&mut self, addr: SocketAddr) -> usize {
        let process = self.processes.len();
        let bits = (u128::from(self.rng.next_u64()) << 64) | u128::from(self.rng.next_u64());
        let id = PeerId::from_random(bits);
        let swim = Swim::new(self.timing.clone(), id, addr, self.rng.next_u64(), self.now);
        self.processes.push(Process {
            swim: Some(swim),
            id,
            addr,
            sent: (0, 0),
            paused: false,
            backlog: Vec::new(),
            wake: None,
        });
        self.push(self.timing.redial, Event::Redial(process));
        process
    }

    /// Lets one dial another: both say all that they know.
    pub(super) fn dial(&mut self, from: usize, to: usize) {
        let updates = self.swim(from).all();
        self.send(from, to, true, Arrival::Hello { from, updates, answer: true });
    }

    pub(super) fn kill(&mut self, process: usize) {
        self.processes[process].swim = None;
    }

    /// Stops a process for a while, as SIGSTOP does.
    pub(super) fn pause(&mut self, process: usize, span: Duration) {
        self.processes[process].paused = true;
        self.push(span, Event::Resume(process));
    }

    /// Cuts or mends both directions between two groups.
    pub(super) fn split(&mut self, left: &[usize], right: &[usize], cut: bool) {
        for &a in left {
            for &b in right {
                for pair in [(a, b), (b, a)] {
                    if cut {
                        self.cut.insert(pair)
                    } else {
                        self.cut.remove(&pair)
                    };
                }
            }
        }
    }

    pub(super) fn swim(&self, process: usize) -> &Swim {
        self.processes[process].swim.as_ref().unwrap()
    }

    /// Calls a failure detector and carries out what comes of it.
    pub(super) fn input(&mut self, process: usize, input: impl FnOnce(&mut Swim, Timestamp)) {
        let now = self.now;
        let Some(swim) = self.processes[process].swim.as_mut() else { return };
        input(swim, now);
        while let Some(output) = self.processes[process].swim.as_mut().and_then(Swim::poll_output) {
            self.carry_out(process, output);
        }
        let state = &mut self.processes[process];
        let wake = state.swim.as_ref().and_then(Swim::poll_timeout);
        if wake != state.wake {
            state.wake = wake;
            if let Some(wake) = wake {
                // Timers of real loops fire late, too.
                let late = Duration::from_micros(self.rng.below(2_000) as u64);
                self.push(wake.since(now) + late, Event::Wake(process, wake));
            }
        }
    }

    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.step(event);
        }
        self.now = end;
    }

    /// Runs until it is so and says how long that took; panics where it takes longer than `within`.
    pub(super) fn run_until(
        &mut self,
        within: Duration,
        is_so: impl Fn(&Self) -> bool,
    ) -> Duration {
        let start = self.now;
        while !is_so(self) {
            assert!(self.now.since(start) < within, "not within {within:?}: {}", self.views());
            self.run(millis(10));
        }
        self.now.since(start)
    }

    /// Whether every running process holds all running ones to be alive, and all others gone.
    pub(super) fn is_whole(&self) -> bool {
        let running = self.running();
        let ids: BTreeSet<PeerId> = running.iter().map(|each| self.processes[*each].id).collect();
        running.iter().all(|&process| {
            let living = self.swim(process).peers().filter(|held| held.life < Life::Dead);
            let mut count = 1;
            let right = living
                .inspect(|_| count += 1)
                .all(|held| held.life == Life::Alive && ids.contains(&held.peer));
            right && count == running.len()
        })
    }

    pub(super) fn running(&self) -> Vec<usize> {
        let all = self.processes.iter().enumerate();
        all.filter(|(_, process)| process.swim.is_some()).map(|(index, _)| index).collect()
    }

    /// The deaths noticed, of whom and when and by whom.
    pub(super) fn deaths(&self) -> impl Iterator<Item = &Noticed> {
        self.noticed.iter().filter(|noticed| noticed.update.life == Life::Dead)
    }

    /// Runs until all others hold this process to be dead; the time that the last one took.
    pub(super) fn time_of_death(&mut self, process: usize, within: Duration) -> Duration {
        let id = self.processes[process].id;
        self.run_until(within, |network| {
            network.running().iter().filter(|other| **other != process).all(|&other| {
                network.swim(other).peer(id).is_some_and(|held| held.life == Life::Dead)
            })
        })
    }

    /// The index of a peer.
    pub(super) fn index(&self, id: PeerId) -> usize {
        self.processes.iter().position(|process| process.id == id).unwrap()
    }

    /// The largest datagram so far, sealed.
    pub(super) const fn largest(&self) -> usize {
        self.largest
    }

    fn views(&self) -> String {
        let view = |&process: &usize| {
            let count = |life| self.swim(process).peers().filter(|held| held.life == life).count();
            let (alive, suspect) = (count(Life::Alive), count(Life::Suspect));
            format!("{process}: {alive} alive, {suspect} suspect, {} dead", count(Life::Dead))
        };
        self.running().iter().take(10).map(view).collect::<Vec<_>>().join("; ")
    }

    fn push(&mut self, wait: Duration, event: Event) {
        self.queued += 1;
        self.queue.insert((self.now + wait, self.queued), event);
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Arrive(to, arrival) => {
                let process = &mut self.processes[to];
                if !process.paused {
                    self.arrive(to, arrival);
                } else if process.backlog.len() < BACKLOG
                    || !matches!(arrival, Arrival::Datagram(..))
                {
                    process.backlog.push(arrival);
                }
            }
            Event::Wake(process, wake) => {
                let state = &mut self.processes[process];
                if state.wake == Some(wake) && !state.paused {
                    state.wake = None;
                    self.input(process, Swim::timeout);
                }
            }
            Event::Resume(process) => {
                self.processes[process].paused = false;
                for arrival in std::mem::take(&mut self.processes[process].backlog) {
                    self.arrive(process, arrival);
                }
                self.input(process, Swim::timeout);
            }
            Event::Redial(process) => self.redial(process),
        }
    }

    fn arrive(&mut self, to: usize, arrival: Arrival) {
        match arrival {
            Arrival::Datagram(from, packet) => {
                self.input(to, |swim, now| swim.packet(now, Via::Datagram(from), packet));
            }
            Arrival::Link(packet) => {
                self.input(to, |swim, now| swim.packet(now, Via::Link, packet));
            }
            Arrival::Hello { from, updates, answer } => {
                self.input(to, |swim, now| swim.learn(now, &updates));
                if answer && self.processes[to].swim.is_some() {
                    let updates = self.swim(to).all();
                    self.send(to, from, true, Arrival::Hello { from: to, updates, answer: false });
                }
            }
        }
    }

    fn carry_out(&mut self, by: usize, output: SwimOutput) {
        match output {
            SwimOutput::Datagram { to, packet } => {
                let size = postcard::to_stdvec(&packet).unwrap().len() + SEAL;
                assert!(size <= 1200, "a datagram of {size} bytes: {packet:?}");
                self.largest = self.largest.max(size);
                let sent = &mut self.processes[by].sent;
                *sent = (sent.0 + 1, sent.1 + size as u64);
                let receiver = self
                    .processes
                    .iter()
                    .rposition(|process| process.addr == to && process.swim.is_some());
                let Some(receiver) = receiver else { return };
                if self.rng.below(1000) >= self.loss {
                    let from = self.processes[by].addr;
                    self.send(by, receiver, false, Arrival::Datagram(from, packet));
                }
            }
            SwimOutput::Link { to, packet } => {
                if self.links && self.running().len() <= FULL_MESH {
                    let receiver = self.index(to);
                    self.send(by, receiver, true, Arrival::Link(packet));
                }
            }
            SwimOutput::Changed { update, before } => {
                assert_eq!(
                    self.swim(by).peer(update.peer).map(|held| held.peer),
                    Some(update.peer)
                );
                self.noticed.push(Noticed { at: self.now, by, update, before });
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, in_order: bool, arrival: Arrival) {
        if self.cut.contains(&(from, to)) || self.processes[to].swim.is_none() {
            return;
        }
        let micros = if self.late.contains(&from) || self.late.contains(&to) {
            5_000_000 + self.rng.below(5_000_000)
        } else {
            200 + self.rng.below(1_800)
        };
        let mut at = self.now + Duration::from_micros(micros as u64);
        if in_order {
            let last = self.in_order.entry((from, to)).or_default();
            at = at.max(*last);
            *last = at;
        }
        self.trace = (self.trace ^ at.as_nanos() ^ to as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.push(at.since(self.now), Event::Arrive(to, arrival));
    }

    /// What the engine does about peers that are down: it dials them again.
    fn redial(&mut self, process: usize) {
        if self.processes[process].swim.is_none() {
            return;
        }
        let dead = self.swim(process).peers().filter(|held| held.life == Life::Dead);
        let mut dead: Vec<usize> = dead.map(|held| self.index(held.peer)).collect();
        let large = self.running().len() > FULL_MESH;
        if large && !dead.is_empty() {
            dead = vec![dead[self.rng.below(dead.len())]];
        }
        for other in dead {
            let cut = self.cut.contains(&(process, other)) || self.cut.contains(&(other, process));
            if !cut && !self.processes[process].paused && self.processes[other].swim.is_some() {
                self.dial(process, other);
            }
        }
        let pause = if large { secs(1) } else { self.timing.redial };
        self.push(pause, Event::Redial(process));
    }
}
