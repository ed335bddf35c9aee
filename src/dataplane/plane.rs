//! What the daemon sees of the data plane: one type, whoever moves the frames of a carpdev; must not know why a gate is set.

use super::bpf::ports::{Ports, Seat};
use super::copy::Copier;
use super::{Counters, Gate, Own, Port};
use crate::linux::Error;
use crate::linux::packet::PacketSocket;
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
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
    /// Those of which the programs are not to be told yet.
    inherited: BTreeSet<u32>,
}

/// A port as it was last set.
#[derive(Debug)]
struct Held {
    port: Port,
    /// By vhid; one that is not there was never set.
    seats: BTreeMap<u8, Seat>,
}

impl Held {
    fn seat(&self, vhid: u8) -> Seat {
        self.seats.get(&vhid).copied().unwrap_or_default()
    }

    fn seats(&self) -> Vec<Seat> {
        let vhosts = self.port.vhosts.iter();
        vhosts.map(|vhost| self.seat(vhost.vhid)).collect()
    }
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
            inherited: BTreeSet::new(),
        })
    }

    /// Adds a carpdev with its data socket (opened with virtio headers, filter still shut, mute only with a map) and, where programs serve it, the
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
            Some(mut ports) => {
                ports.set_own(index, own);
                self.copier.add_deaf_carpdev(index, own.mac, data);
                self.kernel.insert(index, ports);
            }
            None => {
                self.copier.add_carpdev(index, own.mac, data);
                self.kernel.remove(&index);
            }
        }
        let here = self
            .ports
            .values()
            .filter(|held| held.port.carpdev == index);
        let ids: Vec<u32> = here.map(|held| held.port.id).collect();
        for id in ids {
            self.publish(id);
        }
        Ok(())
    }

    /// A carpdev's own MAC, address or place has changed.
    pub fn change_carpdev(&mut self, index: u32, own: Own) {
        self.copier.carpdev_mac(index, own.mac);
        if let Some(ports) = self.kernel.get_mut(&index) {
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
        let id = port.id;
        self.withdraw(id);
        self.copier.add_port(port.clone(), tap);
        let seats = BTreeMap::new();
        self.ports.insert(id, Held { port, seats });
        self.publish(id);
    }

    /// From now on carpdevs and ports come that somebody served who is gone: frames wait for the copier until
    /// [`Plane::tell_inherited`].
    pub fn inherit(&self) {
        self.copier.hold();
    }

    /// As [`Plane::add_port`], but frames pass: the port's programs go on as they are until [`Plane::tell_inherited`].
    pub fn inherit_port(&mut self, port: Port, tap: OwnedFd) {
        let id = port.id;
        self.copier.add_port(port.clone(), tap);
        let seats = BTreeMap::new();
        self.ports.insert(id, Held { port, seats });
        self.inherited.insert(id);
    }

    /// Every gate and lease of the inherited ports is set.
    pub fn tell_inherited(&mut self) {
        for id in std::mem::take(&mut self.inherited) {
            self.publish(id);
        }
        self.copier.release();
    }

    /// Moves nothing any more: somebody else goes on with the same carpdevs and ports.
    pub fn stop(&mut self) {
        self.copier.stop();
    }

    /// Changes a port; its counters and TAP stay, and gate and lease of each vhost that stays.
    pub fn change_port(&mut self, port: Port) {
        let Some(held) = self.ports.get_mut(&port.id) else {
            return;
        };
        let stays = |vhid| port.vhosts.iter().any(|vhost| vhost.vhid == vhid);
        let moved = held.port.carpdev != port.carpdev;
        if let Some(ports) = self.kernel.get_mut(&held.port.carpdev) {
            let gone = held.port.vhosts.iter().map(|vhost| vhost.vhid);
            gone.filter(|vhid| moved || !stays(*vhid))
                .for_each(|vhid| ports.clear(vhid));
        }
        held.seats.retain(|vhid, _| stays(*vhid));
        held.port = port.clone();
        let id = port.id;
        self.copier.change_port(port);
        self.publish(id);
    }

    /// Shuts and forgets a port.
    pub fn remove_port(&mut self, id: u32) {
        self.withdraw(id);
        self.copier.remove_port(id);
    }

    /// What may pass for a vhost from now on.
    pub fn set_gate(&mut self, id: u32, vhid: u8, gate: Gate) {
        // First the copier: opened, it has what waited in the TAP before newer frames overtake it; shut, it drops what still
        // gets there.
        self.copier.set_gate(id, vhid, gate);
        if let Some(held) = self.ports.get_mut(&id) {
            held.seats.entry(vhid).or_default().gate = gate;
        }
        self.publish(id);
    }

    /// The vhost is served until that moment of CLOCK_BOOTTIME and not after.
    pub fn set_lease(&mut self, id: u32, vhid: u8, until: Instant) {
        self.copier.set_lease(id, vhid, until);
        let Some(held) = self.ports.get_mut(&id) else {
            return;
        };
        held.seats.entry(vhid).or_default().lease = until;
        if !self.inherited.contains(&id)
            && let Some(ports) = self.kernel.get(&held.port.carpdev)
        {
            ports.set_lease(&held.port, vhid, &held.seats());
        }
    }

    /// What the copier carried for a port; what its programs carried, the door counts.
    #[must_use]
    pub fn counters(&self, id: u32) -> Option<Counters> {
        self.copier.counters(id)
    }

    fn withdraw(&mut self, id: u32) {
        if let Some(held) = self.ports.remove(&id)
            && let Some(ports) = self.kernel.get_mut(&held.port.carpdev)
        {
            held.port
                .vhosts
                .iter()
                .for_each(|vhost| ports.clear(vhost.vhid));
        }
    }

    /// Tells the programs, if there are any.
    fn publish(&mut self, id: u32) {
        let Some(held) = self
            .ports
            .get(&id)
            .filter(|_| !self.inherited.contains(&id))
        else {
            return;
        };
        let Some(ports) = self.kernel.get_mut(&held.port.carpdev) else {
            return;
        };
        let seats = held.seats();
        let widest = seats.iter().map(|seat| seat.gate).max().unwrap_or_default();
        let capture = held.port.capture && matches!(widest, Gate::Open | Gate::Yielded);
        // The TAP keeps what the programs let through while the gate is inward, and nothing of what a capture shows it.
        if capture || widest == Gate::Inward {
            self.copier.deafen(id, capture);
        }
        ports.set(&held.port, &seats, capture);
    }
}
