//! A local network of machines that a test can divide.
//!
//! Each machine is a namespace; one more holds the switch. A division puts the ports of the switch on different
//! bridges: packets between them vanish without a word, as behind a cable that was pulled, and at once.

use std::net::Ipv4Addr;

use crate::namespace::Namespace;

/// Some machines on one network.
#[derive(Debug)]
pub(crate) struct Lan {
    switch: Namespace,
    machines: Vec<Namespace>,
}

impl Lan {
    /// `count` machines that all reach each other.
    pub(crate) fn new(count: usize) -> Self {
        let lan = Self {
            switch: Namespace::new(),
            machines: (0..count).map(|_| Namespace::new()).collect(),
        };
        // As many bridges as there can be sides.
        lan.switch.ip((0..count).flat_map(|at| {
            [format!("link add side{at} type bridge"), format!("link set side{at} up")]
        }));
        for (at, machine) in lan.machines.iter().enumerate() {
            let pid = machine.pid();
            lan.switch.ip([
                format!("link add port{at} type veth peer name eth0 netns {pid}"),
                format!("link set port{at} master side0 up"),
            ]);
            machine.ip([
                format!("address add {}/24 dev eth0", Self::address(at)),
                "link set eth0 up".to_owned(),
            ]);
        }
        lan
    }

    /// The address of a machine; the same in every network, as they do not touch.
    pub(crate) fn address(machine: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, u8::try_from(machine + 1).expect("a small network"))
    }

    /// A machine.
    pub(crate) fn machine(&self, at: usize) -> &Namespace {
        &self.machines[at]
    }

    /// Divides the network: machines reach only those of their own side.
    pub(crate) fn divide(&self, sides: &[&[usize]]) {
        let port = |side, at: &usize| format!("link set port{at} master side{side}");
        let side =
            |(side, machines)| Iterator::map(<[usize]>::iter(machines), move |at| port(side, at));
        self.switch.ip(sides.iter().copied().enumerate().flat_map(side));
    }

    /// All machines reach each other again.
    pub(crate) fn heal(&self) {
        let all: Vec<_> = (0..self.machines.len()).collect();
        self.divide(&[&all]);
    }
}

#[cfg(test)]
mod tests;
