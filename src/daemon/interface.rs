//! One carpN as the daemon holds it: what was configured, what was ordered, what may be shown; must not know sockets.

use crate::carp::config::{Balancing, Config, Lladdr, Unit, Vhid};
use crate::control;
use crate::linux::netlink::Link;
use crate::time::Instant;
use crate::wire::MacAddr;
use ipnetwork::IpNetwork;
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

/// What carpN's link is to look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Its Ethernet address.
    pub mac: MacAddr,
    /// Its MTU.
    pub mtu: u32,
    /// IFF_UP.
    pub up: bool,
}

impl Shape {
    /// A TAP just made.
    #[must_use]
    pub const fn fresh(mac: MacAddr) -> Self {
        Self {
            mac,
            mtu: MTU,
            up: false,
        }
    }
}

/// The MTU without a carpdev.
pub const MTU: u32 = 1500;

/// One carpN.
#[derive(Debug)]
pub struct Interface {
    /// Its index.
    pub index: u32,
    /// The TAP.
    pub tap: OwnedFd,
    /// As committed.
    pub config: Config,
    /// The carpdev it is attached to.
    pub carpdev: Option<u32>,
    /// Confirmed by the far end of the door.
    pub shape: Shape,
    /// Between the order to arm and the order to disarm: addresses may be on it, so it keeps its MAC and stays up.
    pub owning: bool,
    /// Every address that it was ever to have.
    pub ordered: BTreeSet<IpNetwork>,
    /// The vhosts whose gate is not shut: neighbours are answered as far as the engine wants.
    pub answering: BTreeSet<Vhid>,
    /// When the log last told that another program removed addresses.
    pub told_removed: Option<Instant>,
    /// Why the data plane cannot serve it as it is configured.
    pub hindrance: Option<String>,
}

impl Interface {
    /// The virtual MAC of a configuration: that of the first vhid, else of none.
    #[must_use]
    pub fn mac_of(config: &Config, carpdev: Option<&Link>) -> MacAddr {
        let vhid = config.nodes.first().map(|node| node.vhid);
        match (vhid, config.lladdr) {
            (Some(vhid), _) => config.mac(vhid, carpdev.map(|link| link.mac)),
            (None, Lladdr::Chosen(mac)) => mac,
            (None, _) => MacAddr::of_vhid(0),
        }
    }

    /// What the link is to look like under `config` on this carpdev.
    #[must_use]
    pub fn wanted(&self, config: &Config, carpdev: Option<&Link>) -> Shape {
        // A carpN never takes what its carpdev does not carry (T15).
        let most = carpdev.map_or(MTU, |link| link.mtu);
        let mtu = config.mtu.map_or(most, |mtu| mtu.min(most));
        if self.owning {
            return Shape { mtu, ..self.shape };
        }
        Shape {
            mac: Self::mac_of(config, carpdev),
            mtu,
            up: config.up,
        }
    }

    /// The Ethernet address that stands for it on the wire; a TAP has no multicast one.
    fn told_mac(&self) -> MacAddr {
        match self.config.nodes.first() {
            Some(leader) if self.config.balancing == Balancing::Ip => {
                self.config.told_mac(leader.vhid, None)
            }
            _ => self.shape.mac,
        }
    }

    /// For the front ends; the vhosts come from the engine.
    #[must_use]
    pub fn shown(
        &self,
        unit: Unit,
        vhosts: Vec<control::Vhost>,
        (dataplane, traffic): (control::Served, control::Traffic),
    ) -> control::Interface {
        control::Interface {
            unit,
            index: self.index,
            up: self.config.up,
            lladdr: self.told_mac(),
            mtu: self.shape.mtu,
            carpdev: self.config.carpdev.clone(),
            advbase: self.config.advbase,
            vhosts,
            balancing: self.config.balancing,
            hash: self.config.hash,
            drain: self.config.drain,
            groups: self.config.groups.clone(),
            addresses: self.config.addresses.clone(),
            peers: self.config.peers.clone(),
            configured_lladdr: self.config.lladdr,
            description: self.config.description.clone(),
            configured_mtu: self.config.mtu,
            debug: self.config.debug,
            metric: self.config.metric,
            input: self.config.input,
            capture: self.config.capture,
            dataplane,
            traffic,
        }
    }
}
