//! That a cut is a cut: without this, a test of a division that did not happen would pass.

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    process::Stdio,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::*;
use crate::{namespace::mortal, wait::eventually};

/// Long beside the time that a packet takes here, which is some microseconds.
const SILENCE: Duration = Duration::from_millis(200);

/// A socket on each machine, all with one port.
fn sockets(lan: &Lan) -> Vec<UdpSocket> {
    let open = |at| {
        lan.machine(at).inside(move || {
            let socket = UdpSocket::bind((Lan::address(at), 7946)).expect("a free port");
            socket.set_read_timeout(Some(SILENCE)).expect("a timeout");
            socket
        })
    };
    (0..lan.machines.len()).map(open).collect()
}

/// Whether a datagram gets from one machine to another.
fn arrives(sockets: &[UdpSocket], from: usize, to: usize) -> bool {
    static SENT: AtomicU64 = AtomicU64::new(0);
    let number = SENT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    sockets[from].send_to(&number, (Lan::address(to), 7946)).expect("sending notices nothing");
    let mut got = [0; 8];
    loop {
        match sockets[to].recv_from(&mut got) {
            Ok(_) if got == number => return true,
            // A datagram of an earlier look that was late.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => panic!("receiving: {error}"),
        }
    }
}

/// Fails unless datagrams get these ways, from one machine to another, and no other ways.
fn check(sockets: &[UdpSocket], ways: &[(usize, usize)]) {
    for (from, to) in ways {
        // A switch takes a moment until it sees that something was plugged in.
        eventually("a datagram arrives", Duration::from_secs(10), || {
            if arrives(sockets, *from, *to) { Ok(()) } else { Err((from, to)) }
        });
    }
    let all = (0..sockets.len()).flat_map(|from| (0..sockets.len()).map(move |to| (from, to)));
    for (from, to) in all.filter(|way| way.0 != way.1 && !ways.contains(way)) {
        assert!(!arrives(sockets, from, to), "from {from} to {to}");
    }
}

#[test]
fn division_is_silent_both_ways_and_heals() {
    let lan = Lan::new(3);
    let sockets = sockets(&lan);
    let whole = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)];
    check(&sockets, &whole);

    let listener =
        lan.machine(2).inside(|| TcpListener::bind((Lan::address(2), 7946)).expect("free"));
    let stream =
        lan.machine(0).inside(|| TcpStream::connect((Lan::address(2), 7946)).expect("it listens"));
    let (mut accepted, _) = listener.accept().expect("a connection");

    lan.divide(&[&[0, 1], &[2]]);
    check(&sockets, &[(0, 1), (1, 0)]);
    (&stream).write_all(b"late").expect("the sender notices nothing");
    lan.divide(&[&[1], &[0], &[2]]);
    check(&sockets, &[]);

    lan.heal();
    check(&sockets, &whole);
    let mut got = [0; 4];
    accepted.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    accepted.read_exact(&mut got).expect("streams go on after a cut");
    assert_eq!(&got, b"late");
}

#[test]
fn loss_takes_one_way_and_one_protocol_only() {
    let lan = Lan::new(2);
    let sockets = sockets(&lan);
    check(&sockets, &[(0, 1), (1, 0)]);

    let loss = lan.machine(0).lose_from(Lan::address(1), None);
    check(&sockets, &[(0, 1)]);
    drop(loss);
    check(&sockets, &[(0, 1), (1, 0)]);

    let _loss = lan.machine(0).lose_from(Lan::address(1), Some("udp"));
    check(&sockets, &[(0, 1)]);
    let _listener =
        lan.machine(1).inside(|| TcpListener::bind((Lan::address(1), 80)).expect("free"));
    lan.machine(0).inside(|| TcpStream::connect((Lan::address(1), 80)).expect("TCP comes through"));
}

#[test]
fn programs_and_namespaces_end_with_the_test() {
    let machine = Namespace::new();
    let holder = machine.pid();
    let mut program = mortal("cat");
    program.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = machine.start(program);
    program.stdin.as_mut().expect("a pipe").write_all(b"!").expect("it reads");
    program.stdout.as_mut().expect("a pipe").read_exact(&mut [0]).expect("it is up");
    let inode = |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/net")).expect("a process");
    assert_eq!(inode(program.id()), inode(holder), "it runs inside");
    assert_ne!(inode(program.id()), inode(std::process::id()));

    drop(machine);
    assert!(!std::path::Path::new(&format!("/proc/{holder}")).exists());
    eventually("the program is killed", Duration::from_secs(10), || {
        program.try_wait().expect("its status").ok_or("it runs")
    });
}
