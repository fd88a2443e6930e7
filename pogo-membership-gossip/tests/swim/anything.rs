//! Any input in any state: no panic, no endless loop, no flood of answers, no datagram too large.

use std::time::Duration;

use pogo_core::time::Timestamp;
use pogo_membership_gossip::{
    peer::{Life, PeerId, Update},
    swim::{Body, Packet, Swim, SwimOutput, Via},
    timing::Timing,
};
use proptest::{collection::vec, prelude::*};

/// Few enough peers that they meet again; number 0 is the one under test.
fn peer() -> impl Strategy<Value = PeerId> {
    (0..6_u128).prop_map(PeerId::from_random)
}

fn update() -> impl Strategy<Value = Update> {
    let counter = prop_oneof![0..4_u64, Just(u64::MAX - 1), Just(u64::MAX)];
    let life = prop_oneof![
        3 => Just(Life::Alive),
        3 => Just(Life::Suspect),
        2 => Just(Life::Dead),
        1 => Just(Life::Left),
    ];
    (peer(), 1..5_u8, counter, life).prop_map(|(peer, host, refutation, life)| Update {
        peer,
        addr: ([10, 0, 0, host], 1).into(),
        refutation,
        owned: refutation,
        life,
    })
}

fn body() -> impl Strategy<Value = Body> {
    let probe = 0..200_u64;
    prop_oneof![
        (peer(), probe.clone()).prop_map(|(to, probe)| Body::Ping { to, probe }),
        (peer(), probe.clone()).prop_map(|(of, probe)| Body::Ack { of, probe }),
        (peer(), probe.clone()).prop_map(|(target, probe)| Body::PingReq { target, probe }),
        probe.prop_map(|probe| Body::Nack { probe }),
        Just(Body::Gossip),
    ]
}

#[derive(Debug, Clone)]
enum Input {
    Packet(bool, Packet),
    Learn(Vec<Update>),
    Proof(PeerId),
    Forget(PeerId),
    Timeout,
    Leave,
}

fn input() -> impl Strategy<Value = Input> {
    let packet = (any::<bool>(), peer(), body(), vec(update(), 0..4)).prop_map(
        |(link, from, body, updates)| Input::Packet(link, Packet { from, body, updates }),
    );
    prop_oneof![
        20 => packet,
        5 => vec(update(), 0..50).prop_map(Input::Learn),
        1 => peer().prop_map(Input::Proof),
        1 => peer().prop_map(Input::Forget),
        10 => Just(Input::Timeout),
        1 => Just(Input::Leave),
    ]
}

fn me(number: u128) -> Swim {
    let addr = ([10, 0, 0, 9], 1).into();
    Swim::new(Timing::LOCAL, PeerId::from_random(number), addr, 1, Timestamp::ZERO)
}

proptest! {
    #[test]
    fn any_input_is_legal_in_any_state(inputs in vec((input(), 0..400_u64), 0..80)) {
        let mut swim = me(0);
        let mut now = Timestamp::ZERO;
        for (input, wait) in inputs {
            now = now + Duration::from_millis(wait);
            match input {
                Input::Packet(true, packet) => swim.packet(now, Via::Link, packet),
                Input::Packet(false, packet) => {
                    swim.packet(now, Via::Datagram(([10, 0, 0, 7], 1).into()), packet);
                }
                Input::Learn(updates) => swim.learn(now, &updates),
                Input::Proof(peer) => swim.proof_of_death(now, peer),
                Input::Forget(peer) => swim.forget(peer),
                Input::Timeout => swim.timeout(now),
                Input::Leave => swim.leave(now),
            }
            let mut outputs = 0;
            while let Some(output) = swim.poll_output() {
                outputs += 1;
                if let SwimOutput::Changed { update, .. } = output {
                    prop_assert_ne!(update.peer, PeerId::from_random(0));
                }
            }
            prop_assert!(outputs <= 100, "{} outputs", outputs);
            // Time moves on after a few timeouts at one moment.
            let mut rounds = 0;
            while swim.poll_timeout().is_some_and(|due| due <= now) && rounds < 5 {
                swim.timeout(now);
                rounds += 1;
            }
            prop_assert!(rounds < 5, "waits for {:?} at {:?}", swim.poll_timeout(), now);
            while swim.poll_output().is_some() {}
        }
    }

    /// Whatever two peers were told of each other, they fall silent soon.
    #[test]
    fn two_peers_do_not_answer_each_other_for_ever(
        told in vec((any::<bool>(), vec(update(), 0..6)), 1..6),
        body in body(),
    ) {
        let mut swims = [me(0), me(1)];
        for (which, updates) in told {
            swims[usize::from(which)].learn(Timestamp::ZERO, &updates);
        }
        for swim in &mut swims {
            while swim.poll_output().is_some() {}
        }
        let from = PeerId::from_random(1);
        swims[0].packet(Timestamp::ZERO, Via::Link, Packet { from, body, updates: vec![] });
        let mut packets = 0;
        let mut quiet = false;
        while !quiet && packets < 100 {
            quiet = true;
            for (at, other) in [(0, 1), (1, 0)] {
                while let Some(output) = swims[at].poll_output() {
                    let packet = match output {
                        SwimOutput::Link { to, packet } if to == PeerId::from_random(other as u128) => packet,
                        SwimOutput::Datagram { packet, .. } => packet,
                        SwimOutput::Link { .. } | SwimOutput::Changed { .. } => continue,
                    };
                    quiet = false;
                    packets += 1;
                    swims[other].packet(Timestamp::ZERO, Via::Link, packet);
                }
            }
        }
        prop_assert!(packets < 100);
    }
}
