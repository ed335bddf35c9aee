//! One carpN as the daemon holds it: what was configured, what was ordered, what may be shown; must not know sockets.

use crate::carp::config::{Config, Unit};
use crate::control;
use crate::wire::MacAddr;
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
    /// The gate is not shut: neighbours are answered as far as the engine wants.
    pub answering: bool,
    /// Why the data plane cannot serve it as it is configured.
    pub hindrance: Option<String>,
}

impl Interface {
    /// The virtual MAC of a configuration: that of the first vhid, else of none.
    #[must_use]
    pub fn mac_of(config: &Config) -> MacAddr {
        MacAddr::of_vhid(config.nodes.first().map_or(0, |node| node.vhid.get()))
    }

    /// What the link is to look like under `config` on a carpdev with this MTU.
    #[must_use]
    pub fn wanted(&self, config: &Config, mtu: u32) -> Shape {
        if self.owning {
            return Shape { mtu, ..self.shape };
        }
        Shape {
            mac: Self::mac_of(config),
            mtu,
            up: config.up,
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
            lladdr: Self::mac_of(&self.config),
            mtu: self.shape.mtu,
            carpdev: self.config.carpdev.clone(),
            advbase: self.config.advbase,
            vhosts,
            groups: vec!["carp".to_owned()],
            addresses: self.config.addresses.clone(),
            input: self.config.input,
            capture: self.config.capture,
            dataplane,
            traffic,
        }
    }
}
