//! What the daemon sees of the data plane: one type, whoever moves the frames of a carpdev; must not know why a gate is set.

use super::bpf::ports::Ports;
use super::copy::Copier;
use super::{Counters, Gate, Own, Port};
use crate::linux::Error;
use crate::linux::packet::PacketSocket;
use crate::time::Instant;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

/// All carpdevs and ports. Those of a carpdev that came with a map are served by its programs; the copier carries what waited
/// in their TAPs while the gate was [`Gate::Inward`], and everything of the others.
#[derive(Debug)]
pub struct Plane {
    copier: Copier,
    /// The maps, by carpdev.
    kernel: BTreeMap<u32, Ports>,
    /// Every port, by id.
    ports: BTreeMap<u32, Held>,
}

/// A port as it was last set.
#[derive(Debug)]
struct Held {
    port: Port,
    gate: Gate,
    lease: Instant,
}

impl Plane {
    /// Nothing to move yet.
    ///
    /// # Errors
    /// Those of [`Copier::start`].
    pub fn start() -> io::Result<Self> {
        Ok(Self {
            copier: Copier::start()?,
            kernel: BTreeMap::new(),
            ports: BTreeMap::new(),
        })
    }

    /// Adds a carpdev with its data socket (opened with virtio headers, filter still shut) and, where programs serve it, the
    /// map of their ports; or replaces the one of this index.
    ///
    /// # Errors
    /// The map is none.
    pub fn add_carpdev(
        &mut self,
        index: u32,
        own: Own,
        data: PacketSocket,
        map: Option<OwnedFd>,
    ) -> Result<(), Error> {
        match map.map(Ports::new).transpose()? {
            Some(ports) => {
                ports.set_own(index, own);
                self.copier.add_deaf_carpdev(index, own.mac, data);
                self.kernel.insert(index, ports);
            }
            None => {
                self.copier.add_carpdev(index, own.mac, data);
                self.kernel.remove(&index);
            }
        }
        for held in self.ports.values() {
            if held.port.carpdev == index {
                self.publish(held);
            }
        }
        Ok(())
    }

    /// A carpdev's own MAC, address or place has changed.
    pub fn change_carpdev(&self, index: u32, own: Own) {
        self.copier.carpdev_mac(index, own.mac);
        if let Some(ports) = self.kernel.get(&index) {
            ports.set_own(index, own);
        }
    }

    /// Forgets a carpdev; its ports stay and drop what they are given.
    pub fn remove_carpdev(&mut self, index: u32) {
        self.copier.remove_carpdev(index);
        self.kernel.remove(&index);
    }

    /// Whether programs in the kernel serve any carpdev.
    #[must_use]
    pub fn in_kernel(&self) -> bool {
        !self.kernel.is_empty()
    }

    /// Adds a port, shut and without a lease, or replaces the one of this id. `tap` carries virtio headers.
    pub fn add_port(&mut self, port: Port, tap: OwnedFd) {
        self.withdraw(port.id);
        self.copier.add_port(port.clone(), tap);
        let held = Held {
            port,
            gate: Gate::Shut,
            lease: Instant::ZERO,
        };
        self.publish(&held);
        self.ports.insert(held.port.id, held);
    }

    /// The same for a port whose programs go on as they are until its gate is set: who served it is gone, and frames pass.
    pub fn inherit_port(&mut self, port: Port, tap: OwnedFd) {
        self.copier.add_port(port.clone(), tap);
        let held = Held {
            port,
            gate: Gate::Shut,
            lease: Instant::ZERO,
        };
        self.ports.insert(held.port.id, held);
    }

    /// Changes a port; its gate, lease, counters and TAP stay.
    pub fn change_port(&mut self, port: Port) {
        let Some(mut held) = self.ports.remove(&port.id) else {
            return;
        };
        if (held.port.mac, held.port.carpdev) != (port.mac, port.carpdev)
            && let Some(ports) = self.kernel.get(&held.port.carpdev)
        {
            ports.clear(held.port.mac);
        }
        self.copier.change_port(port.clone());
        held.port = port;
        self.publish(&held);
        self.ports.insert(held.port.id, held);
    }

    /// Shuts and forgets a port.
    pub fn remove_port(&mut self, id: u32) {
        self.withdraw(id);
        self.copier.remove_port(id);
    }

    /// What may pass from now on.
    pub fn set_gate(&mut self, id: u32, gate: Gate) {
        // First the copier: opened, it has what waited in the TAP before newer frames overtake it; shut, it drops what still
        // gets there.
        self.copier.set_gate(id, gate);
        if let Some(held) = self.ports.get_mut(&id) {
            held.gate = gate;
        }
        if let Some(held) = self.ports.get(&id) {
            self.publish(held);
        }
    }

    /// The port is served until that moment of CLOCK_BOOTTIME and not after.
    pub fn set_lease(&mut self, id: u32, until: Instant) {
        self.copier.set_lease(id, until);
        let Some(held) = self.ports.get_mut(&id) else {
            return;
        };
        held.lease = until;
        if let Some(ports) = self.kernel.get(&held.port.carpdev) {
            ports.set_lease(&held.port, until);
        }
    }

    /// What the copier carried for a port; what its programs carried, the door counts.
    #[must_use]
    pub fn counters(&self, id: u32) -> Option<Counters> {
        self.copier.counters(id)
    }

    fn withdraw(&mut self, id: u32) {
        if let Some(held) = self.ports.remove(&id)
            && let Some(ports) = self.kernel.get(&held.port.carpdev)
        {
            ports.clear(held.port.mac);
        }
    }

    /// Tells the programs, if there are any. The lease comes first: a gate must not open on an old one.
    fn publish(&self, held: &Held) {
        let Some(ports) = self.kernel.get(&held.port.carpdev) else {
            return;
        };
        let sends = matches!(held.gate, Gate::Open | Gate::Yielded);
        let capture = held.port.capture && sends;
        // The TAP keeps what the programs let through while the gate is inward, and nothing of what a capture shows it.
        if capture || held.gate == Gate::Inward {
            self.copier.deafen(held.port.id, capture);
        }
        ports.set_lease(&held.port, held.lease);
        ports.set(&held.port, held.gate, capture);
    }
}
