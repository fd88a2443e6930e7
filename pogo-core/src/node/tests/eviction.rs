//! A member whose store has ended its stay, perhaps with that of all others (R15, R22).

use super::*;

/// The detection window of the test's backend.
const WINDOW: Duration = Duration::from_secs(1);

/// A node over a store, with two others that it agrees with; a child that `b` runs.
fn three_over_a_store() -> (Solo, String) {
    let mut solo = Solo::joining(&Config::default());
    solo.input(Input::Joined { me: member_id("a"), capabilities: store() });
    solo.event(membership::Event::Reset { rolled_back: false });
    solo.event(membership::Event::MemberUp(info("a", MemberStatus::Joining)));
    solo.event(membership::Event::Synced);
    for name in ["b", "c"] {
        solo.event(membership::Event::MemberUp(info(name, MemberStatus::Active)));
    }
    for name in ["b", "c"] {
        solo.agree(name);
    }
    let child = of_another(&mut solo);
    solo.report("b", &child, ReportPhase::Running);
    (solo, child)
}

fn store() -> Capabilities {
    let mut store = capabilities();
    store.lease_ttl = Some(Duration::from_secs(10));
    assert_eq!(store.detection, WINDOW);
    store
}

/// A child that is not this member's.
fn of_another(solo: &mut Solo) -> String {
    (0..100)
        .map(|n| format!("p{n}"))
        .find(|child| {
            solo.start(spec(child)).unwrap();
            solo.node.inspect().owner(&id(child)).unwrap().name.as_str() != "a"
        })
        .unwrap()
}

fn degraded() -> membership::Health {
    membership::Health::Degraded { reason: "away".to_owned() }
}

impl Solo {
    /// Joins again, and sees these besides itself.
    fn rejoin(&mut self, others: &[&str]) {
        let me = MemberId { incarnation: Incarnation::new(2), ..member_id("a") };
        self.input(Input::Joined { me: me.clone(), capabilities: store() });
        self.event(membership::Event::Reset { rolled_back: false });
        let mine = MemberInfo { id: me, ..info("a", MemberStatus::Joining) };
        self.event(membership::Event::MemberUp(mine));
        for name in others {
            self.event(membership::Event::MemberUp(info(name, MemberStatus::Active)));
        }
        let records: Vec<_> = self.store.clone().into_iter().collect();
        self.event(membership::Event::Shared(records));
        self.event(membership::Event::Synced);
    }

    fn has_started(&self, child: &str) -> bool {
        self.started.iter().any(|start| start.child == id(child))
    }

    fn waits_for_the_many(&self, child: &str) -> bool {
        self.status(child) == Some(Status::Pending { why: PendingReason::MassLoss })
    }
}

#[test]
fn evicted_member_that_sees_nobody_waits_a_window_before_it_takes_what_others_ran() {
    for is_degraded_before in [true, false] {
        let (mut solo, child) = three_over_a_store();
        if is_degraded_before {
            solo.event(membership::Event::Health(degraded()));
            solo.advance(WINDOW * 20);
        }
        solo.event(membership::Event::Evicted);
        // However long it takes to join again.
        solo.advance(WINDOW * 20);
        solo.rejoin(&[]);
        solo.advance(WINDOW.mul_f64(0.99));
        assert!(!solo.has_started(&child));
        assert!(solo.waits_for_the_many(&child), "{:?}", solo.status(&child));
        solo.advance(WINDOW.mul_f64(0.01));
        assert!(solo.has_started(&child));
    }
}

#[test]
fn members_that_went_before_the_eviction_count_as_gone_in_it() {
    let (mut solo, child) = three_over_a_store();
    solo.event(membership::Event::Health(degraded()));
    solo.down("b", DownReason::Failed);
    solo.down("c", DownReason::Failed);
    solo.event(membership::Event::Evicted);
    solo.advance(WINDOW * 20);
    solo.rejoin(&[]);
    solo.advance(WINDOW / 2);
    assert!(solo.waits_for_the_many(&child), "{:?}", solo.status(&child));
}

#[test]
fn member_that_was_evicted_alone_waits_for_nobody() {
    let (mut solo, child) = three_over_a_store();
    solo.event(membership::Event::Evicted);
    solo.rejoin(&["b", "c"]);
    for name in ["b", "c"] {
        solo.agree(name);
    }
    assert!(!solo.waits_for_the_many(&child));
    assert!(!solo.node.session.mass_loss);
}

#[test]
fn spell_that_soon_follows_another_forgets_nobody() {
    let (mut solo, child) = three_over_a_store();
    solo.event(membership::Event::Health(degraded()));
    solo.event(membership::Event::Health(membership::Health::Healthy));
    solo.down("c", DownReason::Failed);
    assert!(!solo.node.session.mass_loss);
    solo.event(membership::Event::Health(degraded()));
    solo.down("b", DownReason::Failed);
    solo.advance(WINDOW / 2);
    assert!(solo.waits_for_the_many(&child), "{:?}", solo.status(&child));
}

#[test]
fn member_is_healthy_again_when_it_has_joined_again() {
    let (mut solo, _) = three_over_a_store();
    solo.event(membership::Event::Health(degraded()));
    solo.event(membership::Event::Evicted);
    assert_eq!(*solo.node.inspect().health(), degraded());
    solo.rejoin(&["b", "c"]);
    assert_eq!(*solo.node.inspect().health(), membership::Health::Healthy);
    let healthy = Event::Health { health: membership::Health::Healthy };
    assert!(solo.events.contains(&healthy));
}
