use proptest::prelude::*;

use super::*;
use crate::memory::Crash;

/// A step of a random history. Members are numbers; each has one name for all its stays.
#[derive(Debug, Clone)]
enum Step {
    Join(usize),
    Leave(usize),
    Crash(usize, bool),
    Put { by: usize, key: u8, hlc: u64, value: Option<u8> },
    Publish { by: usize, key: u8, value: Option<u8> },
    Partition(u8),
    Heal,
    CutOff(usize, bool),
    Evict(usize),
    Outage(bool),
    LoseEvents(usize),
    Pass(u64),
}

const MEMBERS: usize = 4;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = || 0..MEMBERS;
    let value = || proptest::option::weighted(0.8, any::<u8>());
    let step = prop_oneof![
        4 => who().prop_map(Step::Join),
        1 => who().prop_map(Step::Leave),
        2 => (who(), any::<bool>()).prop_map(|(by, silent)| Step::Crash(by, silent)),
        8 => (who(), 0..6_u8, 0..20_u64, value())
            .prop_map(|(by, key, hlc, value)| Step::Put { by, key, hlc, value }),
        8 => (who(), 0..4_u8, value())
            .prop_map(|(by, key, value)| Step::Publish { by, key, value }),
        2 => any::<u8>().prop_map(Step::Partition),
        2 => Just(Step::Heal),
        1 => (who(), any::<bool>()).prop_map(|(by, cut)| Step::CutOff(by, cut)),
        1 => who().prop_map(Step::Evict),
        1 => any::<bool>().prop_map(Step::Outage),
        1 => who().prop_map(Step::LoseEvents),
        8 => (0..700_u64).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 1..80)
}

/// Members that replay their feeds, and all that was acknowledged.
struct World {
    bench: Bench,
    stays: [Option<(SessionId, Replay)>; MEMBERS],
    boots: u128,
    acknowledged: BTreeMap<Key, Record>,
}

fn member(number: usize) -> MemberName {
    name(&format!("m{number}"))
}

impl World {
    fn new(seed: u64) -> Self {
        let bench = Bench::with_delay(seed, 80);
        Self { bench, stays: Default::default(), boots: 0, acknowledged: BTreeMap::new() }
    }

    fn take(&mut self, step: &Step) {
        let now = self.bench.now;
        match *step {
            Step::Join(by) => self.join(by),
            Step::Leave(by) => {
                let session = self.stays[by].as_ref().map(|(session, _)| *session);
                let answer = session.map(|s| self.bench.ask(s, &MembershipRequest::Leave));
                if matches!(answer, Some(Answer::Done)) {
                    self.stays[by] = None;
                }
            }
            Step::Crash(by, silent) => {
                if let Some((session, _)) = self.stays[by].take() {
                    let how = if silent { Crash::Silent } else { Crash::Noticed };
                    self.bench.hub.crash(now, session, how);
                }
            }
            Step::Put { by, key, hlc, value } => self.put(by, key, hlc, value),
            Step::Publish { by, key, value } => {
                if let Some((session, _)) = &self.stays[by] {
                    let value = value.map(|value| Bytes::copy_from_slice(&[value]));
                    let update = OwnedUpdate { key: Key::new(format!("k{key}")), value };
                    self.bench.ask(*session, &MembershipRequest::Publish(vec![update]));
                }
            }
            Step::Partition(sides) => {
                let side = |bit| {
                    (0..MEMBERS).filter(|n| (sides >> n & 1 == 1) == bit).map(member).collect()
                };
                self.bench.hub.partition(now, &[side(true), side(false)]);
            }
            Step::Heal => self.bench.hub.heal(now),
            Step::CutOff(by, cut) => self.bench.hub.set_member_outage(now, &member(by), cut),
            Step::Evict(by) => self.bench.hub.evict(now, &member(by)),
            Step::Outage(outage) => self.bench.hub.set_outage(now, outage),
            Step::LoseEvents(by) => self.bench.hub.lose_events(now, &member(by)),
            Step::Pass(millis) => self.bench.pass_millis(millis),
        }
        self.read();
    }

    fn join(&mut self, by: usize) {
        if self.stays[by].is_none() {
            self.boots += 1;
            let choice = NameChoice::Exactly(member(by));
            let joined = self.bench.try_join(&choice, self.boots);
            self.stays[by] = joined.ok().map(|(session, _)| (session, Replay::default()));
        }
    }

    fn put(&mut self, by: usize, at: u8, hlc: u64, value: Option<u8>) {
        let Some((session, replay)) = &mut self.stays[by] else { return };
        let value = value.map(|value| value.to_string());
        let record = record(hlc, self.boots, value.as_deref());
        let at = Key::new(format!("k{at}"));
        let put = Put { key: at.clone(), record: record.clone(), expect: Expect::Newer };
        let answer = self.bench.ask(*session, &MembershipRequest::Put(vec![put]));
        if matches!(&answer, Answer::Put(outcomes) if outcomes == &[PutOutcome::Applied]) {
            replay.wrote(&at, &record);
            let known = self.acknowledged.get(&at);
            if known.is_none_or(|known| record.supersedes(known)) {
                self.acknowledged.insert(at, record);
            }
        }
    }

    fn read(&mut self) {
        for stay in &mut self.stays {
            let ended = stay.as_mut().is_some_and(|(session, replay)| {
                replay.read(&mut self.bench, *session);
                replay.picture.evicted
            });
            if ended {
                *stay = None;
            }
        }
    }

    fn end_all_faults(&mut self) {
        self.take(&Step::Outage(false));
        for by in 0..MEMBERS {
            self.take(&Step::CutOff(by, false));
        }
        self.take(&Step::Heal);
        (0..40).for_each(|_| self.take(&Step::Pass(300)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn all_who_replay_their_feeds_agree_after_the_heal(seed: u64, steps in steps()) {
        let mut world = World::new(seed);
        for step in steps {
            world.take(&step);
        }
        world.end_all_faults();
        let open: Vec<_> = world.stays.iter().flatten().collect();
        let up: BTreeSet<_> = (0..MEMBERS)
            .filter(|by| world.stays[*by].is_some())
            .map(member)
            .collect();
        let mut owned = BTreeMap::new();
        for (_, replay) in &open {
            owned.extend(replay.picture.owned.clone());
        }
        for (_, replay) in &open {
            let Picture { members, shared, owned: seen, .. } = &replay.picture;
            let named: BTreeSet<_> = members.keys().map(|id| id.name.clone()).collect();
            prop_assert_eq!(&named, &up);
            prop_assert_eq!(shared, &world.acknowledged);
            let me = members.keys().find(|id| seen.keys().all(|(owner, _)| owner != *id));
            prop_assert!(me.is_some(), "one's own records never come back");
        }
        let now = world.bench.now.mono;
        for ((id, at), value) in &owned {
            let (session, _) = open[0];
            let read = world.bench.hub.owned(now, *session, id, std::slice::from_ref(at));
            prop_assert_eq!(read.unwrap(), vec![Some(value.clone())], "a read equals the feed");
        }
        prop_assert_eq!(world.bench.hub.poll_timeout().filter(|at| *at <= now), None);
    }
}
