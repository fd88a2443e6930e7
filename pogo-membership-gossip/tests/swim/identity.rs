//! Who is who: last words, contradictions, addresses with a new peer.

use pogo_core::time::Timestamp;
use pogo_membership_gossip::{
    peer::{Life, PeerId, Update},
    swim::{Body, Packet, Swim, SwimOutput, Via},
    timing::Timing,
};

use super::{Network, millis, secs};

fn peer(number: u128) -> PeerId {
    PeerId::from_random(number)
}

fn update(number: u128, refutation: u64, life: Life) -> Update {
    let addr = ([10, 0, 0, u8::try_from(number).unwrap()], 7946).into();
    Update { peer: peer(number), addr, refutation, owned: 0, life }
}

/// Peer 1, which knows peers 2 and 3.
fn alone() -> Swim {
    let me = update(1, 0, Life::Alive);
    let mut swim = Swim::new(Timing::LAN, me.peer, me.addr, 1, Timestamp::ZERO);
    swim.learn(Timestamp::ZERO, &[update(2, 0, Life::Alive), update(3, 0, Life::Alive)]);
    outputs(&mut swim);
    swim
}

fn outputs(swim: &mut Swim) -> Vec<SwimOutput> {
    std::iter::from_fn(|| swim.poll_output()).collect()
}

fn hear(swim: &mut Swim, from: u128, body: Body, updates: &[Update]) -> Vec<SwimOutput> {
    let via = Via::Datagram(update(from, 0, Life::Alive).addr);
    let packet = Packet { from: peer(from), body, updates: updates.to_vec() };
    swim.packet(Timestamp::ZERO, via, packet);
    outputs(swim)
}

#[test]
fn leaving_is_known_at_once_and_final() {
    let mut network = Network::cluster(Timing::LAN, 10, 1);
    let id = network.processes[4].id;
    network.input(4, Swim::leave);
    network.run(millis(10));
    network.kill(4);
    network.run(secs(20));
    for other in network.running() {
        let held = *network.swim(other).peer(id).unwrap();
        assert_eq!(held.life, Life::Left);
        let again = Update { refutation: held.refutation + 5, life: Life::Alive, ..held };
        network.input(other, |swim, now| swim.learn(now, &[again]));
        assert_eq!(network.swim(other).peer(id).unwrap().life, Life::Left);
    }
    assert_eq!(network.deaths().count(), 0);
}

#[test]
fn peer_that_left_says_so_again_when_probed() {
    let mut swim = alone();
    swim.leave(Timestamp::ZERO);
    outputs(&mut swim);
    let said = hear(&mut swim, 2, Body::Ping { to: peer(1), probe: 4 }, &[]);
    let [SwimOutput::Datagram { packet, .. }] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!((packet.body, packet.updates[0].life), (Body::Gossip, Life::Left));
}

#[test]
fn suspected_peer_contradicts_at_once_with_its_last_number() {
    for life in [Life::Suspect, Life::Dead] {
        let mut swim = alone();
        swim.set_owned(17);
        let said = hear(&mut swim, 2, Body::Gossip, &[update(1, 4, life)]);
        let alive = Update { owned: 17, ..update(1, 5, Life::Alive) };
        assert_eq!(swim.me(), alive);
        let told = |to: u128| {
            said.iter().any(|output| {
                matches!(output, SwimOutput::Link { to: at, packet } if *at == peer(to) && packet.updates.contains(&alive))
            })
        };
        assert!(told(2) && told(3), "{said:?}");
        assert!(said.iter().any(|output| {
            matches!(output, SwimOutput::Datagram { packet, .. } if packet.updates.contains(&alive))
        }));
    }
}

#[test]
fn peers_that_hold_each_other_dead_are_alive_again_though_their_hellos_cross() {
    let mut swims = [(1, 2), (2, 1)].map(|(me, other)| {
        let me = update(me, 0, Life::Alive);
        let mut swim = Swim::new(Timing::LAN, me.peer, me.addr, 1, Timestamp::ZERO);
        swim.learn(Timestamp::ZERO, &[update(other, 0, Life::Dead)]);
        outputs(&mut swim);
        swim
    });
    let hellos = swims.each_ref().map(Swim::all);
    let mut packets = std::collections::VecDeque::new();
    for (at, hello) in [(0, &hellos[1]), (1, &hellos[0])] {
        swims[at].learn(Timestamp::ZERO, hello);
        packets.extend(outputs(&mut swims[at]).into_iter().map(|output| (1 - at, output)));
    }
    let mut left = 20;
    while let Some((to, output)) = packets.pop_front() {
        left -= 1;
        assert!(left > 0, "they talk for ever");
        let (SwimOutput::Link { packet, .. } | SwimOutput::Datagram { packet, .. }) = output else {
            continue;
        };
        swims[to].packet(Timestamp::ZERO, Via::Link, packet);
        packets.extend(outputs(&mut swims[to]).into_iter().map(|output| (1 - to, output)));
    }
    assert_eq!(swims[0].peer(peer(2)).unwrap().life, Life::Alive);
    assert_eq!(swims[1].peer(peer(1)).unwrap().life, Life::Alive);
}

#[test]
fn old_suspicion_of_me_is_corrected_without_a_new_counter() {
    let mut swim = alone();
    hear(&mut swim, 2, Body::Gossip, &[update(1, 4, Life::Suspect)]);
    let said = hear(&mut swim, 3, Body::Gossip, &[update(1, 2, Life::Dead)]);
    assert_eq!(swim.me().refutation, 5);
    assert!(
        matches!(&said[..], [SwimOutput::Datagram { packet, .. }] if packet.updates.contains(&swim.me()))
    );
}

#[test]
fn worse_news_wins_at_one_counter_and_a_higher_counter_always() {
    use Life::{Alive, Dead, Left, Suspect};
    let cases = [
        ((0, Alive), (0, Suspect), true),
        ((0, Suspect), (0, Alive), false),
        ((0, Suspect), (1, Alive), true),
        ((0, Dead), (0, Suspect), false),
        ((0, Dead), (1, Alive), true),
        ((3, Dead), (2, Alive), false),
        ((3, Alive), (2, Dead), false),
        ((3, Alive), (3, Left), true),
        ((3, Left), (4, Alive), false),
        ((3, Left), (4, Dead), false),
    ];
    for (held, new, wins) in cases {
        let mut swim = alone();
        swim.learn(Timestamp::ZERO, &[update(9, held.0, held.1)]);
        outputs(&mut swim);
        let said = hear(&mut swim, 2, Body::Gossip, &[update(9, new.0, new.1)]);
        let now = swim.peer(peer(9)).unwrap();
        assert_eq!((now.refutation, now.life), if wins { new } else { held });
        let changed = said.iter().any(|output| matches!(output, SwimOutput::Changed { .. }));
        assert_eq!(changed, wins, "{held:?} then {new:?}");
    }
}

#[test]
fn dead_peer_is_told_so_when_it_probes() {
    let mut swim = alone();
    swim.proof_of_death(Timestamp::ZERO, peer(2));
    outputs(&mut swim);
    // However long ago it was news.
    for probe in 0..100 {
        hear(&mut swim, 3, Body::Ping { to: peer(1), probe }, &[]);
    }
    let said = hear(&mut swim, 2, Body::Ping { to: peer(1), probe: 8 }, &[]);
    let [SwimOutput::Datagram { packet, .. }] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!(packet.body, Body::Ack { of: peer(1), probe: 8 });
    assert_eq!(packet.updates[0], update(2, 0, Life::Dead));
    // News from it alone is no sign of life, but it is told, too.
    let said = hear(&mut swim, 2, Body::Gossip, &[]);
    assert!(
        matches!(&said[..], [SwimOutput::Datagram { packet, .. }] if packet.updates[0].life == Life::Dead)
    );
    assert_eq!(swim.peer(peer(2)).unwrap().life, Life::Dead);
}

#[test]
fn probe_for_another_peer_at_this_address_gets_no_answer() {
    let mut swim = alone();
    assert_eq!(hear(&mut swim, 2, Body::Ping { to: peer(9), probe: 8 }, &[]), []);
}

#[test]
fn unknown_dead_peer_is_remembered_and_not_spread() {
    let mut swim = alone();
    let dead = update(9, 3, Life::Dead);
    let said = hear(&mut swim, 2, Body::Gossip, &[dead]);
    assert_eq!(said, [SwimOutput::Changed { update: dead, before: None }]);
    assert!(hear(&mut swim, 2, Body::Gossip, &[update(9, 3, Life::Alive)]).is_empty());
    swim.forget(peer(9));
    assert_eq!(swim.peer(peer(9)), None);
    swim.forget(peer(2));
    assert!(swim.peer(peer(2)).is_some(), "a living peer is kept");
}

#[test]
fn stranger_that_probes_is_asked_who_it_is() {
    let mut network = Network::cluster(Timing::LAN, 2, 1);
    let id = network.processes[1].id;
    network.input(0, |swim, now| swim.proof_of_death(now, id));
    network.input(0, |swim, _| swim.forget(id));
    assert_eq!(network.swim(0).peer(id), None);
    network.run_until(secs(2), Network::is_whole);
}

#[test]
fn restart_at_the_same_address_is_a_new_peer_and_the_old_one_dies() {
    let mut network = Network::cluster(Timing::LAN, 5, 1);
    let (old, addr) = (network.processes[2].id, network.processes[2].addr);
    network.kill(2);
    network.run(millis(500));
    let new = network.start_at(addr);
    network.dial(new, 0);
    let took = network.run_until(secs(6), Network::is_whole);
    println!("restarted at its address: only the new one is alive after {took:?}");
    assert_eq!(network.swim(new).me().refutation, 0);
    assert!(network.deaths().all(|death| death.update.peer == old));
}
