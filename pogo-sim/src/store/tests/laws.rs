//! Random operations against the laws that the model must keep whatever happens.

use pogo_core::membership::DownReason;

use super::*;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const CLAIMS: [&str; 2] = ["x", "y"];

/// One random history.
struct History {
    bed: Bed,
    draws: Draws,
    drawn: u64,
    /// The session of each process, by its place.
    sessions: [Option<SessionId>; 4],
    /// The highest token granted for each claim, and every session's token while its lease lasts.
    highest: BTreeMap<&'static str, u64>,
    /// Records that were acknowledged since data was last lost.
    acknowledged: BTreeMap<String, u64>,
    open: BTreeMap<RequestId, (SessionId, Asked)>,
    hlc: u64,
    /// How often something was acknowledged or granted.
    judged: u64,
}

#[derive(Debug, Clone)]
enum Asked {
    Put(String, u64),
    Claim(&'static str),
    Other,
}

impl History {
    fn new(seed: u64) -> Self {
        let draws = Draws::new(seed);
        let strength =
            if seed.is_multiple_of(2) { Strength::Linearizable } else { Strength::BestEffort };
        let config = StoreConfig {
            strength,
            lease_ttl: TTL,
            latency: Duration::from_millis(draws.below("l", "", 0, 60)),
            delay: Duration::from_millis(draws.below("d", "", 0, 60)),
            lost_replies: 50,
            seed,
            ..StoreConfig::default()
        };
        Self {
            bed: Bed::with(config),
            draws,
            drawn: 0,
            sessions: [None; 4],
            highest: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            open: BTreeMap::new(),
            hlc: 0,
            judged: 0,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.drawn += 1;
        self.draws.below("history", "", self.drawn, bound)
    }

    fn place(&mut self) -> usize {
        usize::try_from(self.below(4)).unwrap()
    }

    fn step(&mut self) {
        let place = self.place();
        let member = name(NAMES[place]);
        let now = self.bed.now;
        let boot = u128::try_from(place).unwrap() + 1;
        match (self.below(24), self.sessions[place]) {
            (0..=4, None) => {
                let choice = NameChoice::Exactly(member);
                self.sessions[place] = Some(self.bed.ask_to_join(choice, boot));
            }
            (0..=2, Some(session)) => self.put(session),
            (3..=6, Some(session)) => {
                let claim = CLAIMS[usize::try_from(self.below(2)).unwrap()];
                let request = MembershipRequest::Acquire(vec![Key::new(claim)]);
                self.ask(session, request, Asked::Claim(claim));
            }
            (7..=8, Some(session)) => {
                let claim = CLAIMS[usize::try_from(self.below(2)).unwrap()];
                let request = MembershipRequest::Release(vec![Key::new(claim)]);
                self.ask(session, request, Asked::Other);
            }
            (9..=10, Some(session)) => self.ask(session, owned("k", "v"), Asked::Other),
            (11, _) => {
                let cut = self.below(2) == 0;
                self.bed.store.set_cut_off(now, &member, cut);
            }
            (12, _) => {
                let out = self.below(3) == 0;
                self.bed.store.set_outage(now, out);
            }
            (13, _) => self.bed.store.lose_events(now, &member),
            (14, _) => self.bed.store.compact(),
            (15, _) => self.bed.store.evict(now, &member),
            (16, _) => {
                let by = self.below(2) * 700;
                self.bed.store.set_stale(now, &member, Duration::from_millis(by));
            }
            (17, _) if self.below(6) == 0 => self.lose(StoreModel::wipe),
            (18, _) if self.below(3) == 0 => self.bed.store.back_up(),
            (19, _) if self.below(6) == 0 => self.lose(|store, now| _ = store.restore(now)),
            (20, _) if self.below(3) == 0 => {
                let lost = self.below(6);
                if self.bed.store.server.strength == Strength::BestEffort {
                    self.acknowledged.clear();
                }
                self.bed.store.fail_over(now, lost);
            }
            (21, _) if self.below(3) == 0 => self.bed.store.heal(now),
            (23, _) => {
                let denied = self.below(2) == 0;
                self.bed.store.set_denied(now, &member, denied);
            }
            (22, Some(session)) => {
                let paused = self.below(2) == 0;
                self.bed.store.set_paused(now, session, paused);
            }
            _ => {}
        }
        let pause = self.below(600);
        self.bed.run(pause);
        self.judge();
    }

    fn lose(&mut self, how: fn(&mut StoreModel, Timestamp)) {
        self.acknowledged.clear();
        let now = self.bed.now;
        how(&mut self.bed.store, now);
    }

    fn put(&mut self, session: SessionId) {
        self.hlc += 1;
        let (hlc, key) = (self.hlc, format!("s{}", self.below(3)));
        let request = MembershipRequest::Put(vec![put(&key, hlc, Expect::Newer)]);
        self.ask(session, request, Asked::Put(key, hlc));
    }

    fn ask(&mut self, session: SessionId, request: MembershipRequest, asked: Asked) {
        let life = self.bed.store.server.life;
        let id = self.bed.send(session, request);
        assert_eq!(life, self.bed.store.server.life);
        self.open.insert(id, (session, asked));
    }

    fn judge(&mut self) {
        for (session, told) in std::mem::take(&mut self.bed.told) {
            for told in told {
                self.hear(session, told);
            }
        }
        for (key, hlc) in &self.acknowledged {
            let there = self.bed.store.record(&Key::new(key.as_str()));
            let there = there.map(|record| record.stamp.version.hlc);
            assert!(there >= Some(*hlc), "{key} is at {there:?}, acknowledged was {hlc}");
        }
        // Whoever holds a claim by its own clock holds it at the server, unless that lost it.
        for place in 0..4 {
            let Some(session) = self.sessions[place] else { continue };
            let renewed = self.bed.store.renewed(self.bed.now, session);
            let lease = self.bed.store.server.lease(session);
            let client = self.bed.store.clients.get(&session);
            let knows = client.is_some_and(|client| client.life == self.bed.store.server.life);
            if let (Some(renewed), Some(lease), true) = (renewed, lease, knows) {
                assert!(renewed + TTL <= lease.until, "its own deadline is the earlier one");
            }
        }
    }

    fn hear(&mut self, session: SessionId, told: Told) {
        match told {
            Told::Refused(_) | Told::Event(Event::Evicted) => {
                for place in &mut self.sessions {
                    place.take_if(|it| *it == session);
                }
            }
            Told::Answer(id, answer) => {
                let (of, asked) = self.open.remove(&id).expect("one answer for each request");
                assert_eq!(of, session);
                match (asked, answer) {
                    (Asked::Put(key, hlc), Answer::Put(outcomes)) => {
                        let applied = outcomes == [PutOutcome::Applied];
                        // One that was applied before a loss may be acknowledged just after it.
                        let there = self.bed.store.record(&Key::new(key.as_str()));
                        if applied && there.is_some_and(|it| it.stamp.version.hlc >= hlc) {
                            self.acknowledged.insert(key, hlc);
                            self.judged += 1;
                        }
                    }
                    (Asked::Claim(claim), Answer::Acquired(outcomes)) => {
                        if let [ClaimOutcome::Held { token }] = outcomes[..] {
                            let highest = self.highest.entry(claim).or_default();
                            let held = self.bed.store.claims();
                            let still = held.contains_key(&Key::new(claim));
                            // A late answer may tell of a grant that has passed on since.
                            assert!(token.get() >= *highest || !still, "{token} after {highest}");
                            *highest = token.get().max(*highest);
                            self.judged += 1;
                        }
                    }
                    _ => {}
                }
            }
            Told::Joined(_) | Told::Event(_) => {}
        }
    }
}

#[test]
fn whatever_happens_nothing_acknowledged_is_lost_and_tokens_grow() {
    let mut judged = 0;
    for seed in 0..300 {
        let mut history = History::new(seed);
        for _ in 0..150 {
            history.step();
        }
        // Once all is well again everybody who still has a session reads, and is answered.
        let now = history.bed.now;
        history.bed.store.heal(now);
        for place in 0..4 {
            if let Some(session) = history.sessions[place] {
                history.bed.store.set_paused(now, session, false);
            }
        }
        history.bed.run(20_000);
        history.judge();
        assert!(history.open.is_empty(), "seed {seed}: {:?}", history.open);
        judged += history.judged;
    }
    assert!(judged > 2_000, "{judged} grants and acknowledgements were judged");
}

#[test]
fn every_reader_ends_with_the_members_and_records_that_the_server_has() {
    for seed in 0..150 {
        let mut history = History::new(seed);
        let watcher = history.bed.ask_to_join(NameChoice::Exactly(name("w")), 77);
        let mut folded = Folded::default();
        let mut session = watcher;
        for _ in 0..120 {
            history.step_for(&mut session, &mut folded);
        }
        let now = history.bed.now;
        history.bed.store.heal(now);
        for _ in 0..60 {
            history.rest_for(&mut session, &mut folded);
        }
        let server: Vec<MemberName> = history.bed.store.members().into_iter().collect();
        let seen: Vec<MemberName> = folded.members.iter().map(|id| id.name.clone()).collect();
        assert_eq!(seen, server, "seed {seed}");
        for (key, hlc) in &folded.shared {
            let there = history.bed.store.record(key).map(|it| it.stamp.version.hlc);
            assert_eq!(there, Some(*hlc), "seed {seed}, {key}");
        }
    }
}

/// The cluster as one feed tells it.
#[derive(Default)]
struct Folded {
    members: BTreeSet<MemberId>,
    shared: BTreeMap<Key, u64>,
}

impl Folded {
    fn take(&mut self, event: Event) {
        match event {
            Event::Reset { .. } => *self = Self::default(),
            Event::MemberUp(info) => {
                self.members.retain(|id| id.name != info.id.name);
                self.members.insert(info.id);
            }
            Event::MemberDown(id, why) => {
                assert!(self.members.remove(&id), "{id:?} was not there");
                assert!(matches!(
                    why,
                    DownReason::Failed | DownReason::Replaced | DownReason::Left
                ));
            }
            Event::Shared(records) => {
                self.shared.extend(records.into_iter().map(|(k, r)| (k, r.stamp.version.hlc)));
            }
            _ => {}
        }
    }
}

impl History {
    fn step_for(&mut self, session: &mut SessionId, folded: &mut Folded) {
        self.fold(session, folded);
        self.step_quietly();
        self.fold(session, folded);
    }

    fn rest_for(&mut self, session: &mut SessionId, folded: &mut Folded) {
        self.bed.run(500);
        self.fold(session, folded);
        self.judge();
    }

    /// As `step`, and nothing is taken from the watcher.
    fn step_quietly(&mut self) {
        let place = self.place();
        let now = self.bed.now;
        match self.below(10) {
            0 | 1 if self.sessions[place].is_none() => {
                let boot = u128::try_from(place).unwrap() + 1;
                let choice = NameChoice::Exactly(name(NAMES[place]));
                self.sessions[place] = Some(self.bed.ask_to_join(choice, boot));
            }
            2..=4 => {
                if let Some(session) = self.sessions[place] {
                    self.put(session);
                }
            }
            5 => self.bed.store.lose_events(now, &name("w")),
            6 => self.bed.store.compact(),
            7 => {
                let cut = self.below(2) == 0;
                self.bed.store.set_cut_off(now, &name("w"), cut);
            }
            8 if self.below(4) == 0 => self.lose(StoreModel::wipe),
            9 => self.bed.store.evict(now, &name(NAMES[place])),
            _ => {}
        }
        let pause = self.below(400);
        self.bed.run(pause);
    }

    fn fold(&mut self, session: &mut SessionId, folded: &mut Folded) {
        for told in self.bed.told.remove(session).unwrap_or_default() {
            match told {
                Told::Event(Event::Evicted) | Told::Refused(_) => {
                    *session = self.bed.ask_to_join(NameChoice::Exactly(name("w")), 77);
                }
                Told::Event(event) => folded.take(event),
                Told::Joined(_) | Told::Answer(..) => {}
            }
        }
        self.judge();
    }
}
