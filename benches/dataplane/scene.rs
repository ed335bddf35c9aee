//! A client, a host with the shared addresses and a server behind it, for one data plane; must not know what is measured.

use crate::bare::Bare;
use crate::floor::Floor;
use crate::support::hosts::{Host, Segment, until};
use carp::linux::netlink::{MacvlanMode, Netlink};
use carp::wire::MacAddr;
use clap::ValueEnum;
use serde::Serialize;
use std::time::Duration;

/// The shared address of the client's segment, and its gateway.
pub const SHARED: &str = "192.0.2.1";
/// The client's own.
pub const CLIENT: &str = "192.0.2.13";
/// The server's own, on the other segment.
pub const SERVER: &str = "203.0.113.14";
/// The shared address there.
const FAR: &str = "203.0.113.1";
/// carpN and macvlan on the server's segment; the numbers up to 255 are the client's.
const FAR_NUMBER: u32 = 1001;

/// Many groups take their time to become MASTER.
const START: Duration = Duration::from_secs(60);

/// What carries the shared address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Plane {
    /// A further address of carpdev.
    Alias,
    /// A private macvlan with the virtual MAC.
    Macvlan,
    /// A TAP and two programs that only redirect: ours without what ours is for.
    Floor,
    /// A TAP and two threads that only read and write: ours without what ours is for.
    Bare,
    /// Ours: eBPF, attached by tcx links.
    Tcx,
    /// The same, frames staying on carpdev: `input accept`.
    Accept,
    /// Ours: eBPF, attached as clsact filters.
    Clsact,
    /// Ours: a thread that copies.
    Copy,
}

impl Plane {
    /// All of them, those that ours are compared with first.
    pub const ALL: [Self; 8] = [
        Self::Alias,
        Self::Macvlan,
        Self::Floor,
        Self::Bare,
        Self::Tcx,
        Self::Accept,
        Self::Clsact,
        Self::Copy,
    ];

    /// The least that a plane of its kind can cost.
    pub const fn floor(self) -> Self {
        match self {
            Self::Copy => Self::Bare,
            _ => Self::Floor,
        }
    }

    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alias => "alias",
            Self::Macvlan => "macvlan",
            Self::Floor => "floor",
            Self::Bare => "bare",
            Self::Tcx => "tcx",
            Self::Accept => "accept",
            Self::Clsact => "clsact",
            Self::Copy => "copy",
        }
    }
}

/// All of it ends when this is dropped.
pub struct Scene {
    pub plane: Plane,
    pub client: Host,
    pub host: Host,
    pub server: Host,
    floors: Vec<Floor>,
    bares: Vec<Bare>,
}

impl Scene {
    /// The hosts, and so many shared addresses on the client's segment. `None`, with a word to the user, when this machine
    /// does not offer the plane.
    pub fn build(plane: Plane, groups: u8) -> Option<Self> {
        let (near, far) = (Segment::new(), Segment::new());
        let host = Host::on(&near, "host", 0x0a, &[]);
        host.plug(&far, "eth1", 0x0b);
        host.sysctl("net/ipv4/ip_forward", "1");
        let client = Host::on(&near, "client", 0x0c, &["192.0.2.13/24"]);
        client.route("203.0.113.0/24", Some(SHARED), "eth0");
        let server = Host::on(&far, "server", 0x0d, &["203.0.113.14/24"]);
        server.route("192.0.2.0/24", Some(FAR), "eth0");
        let mut scene = Self {
            plane,
            client,
            host,
            server,
            floors: Vec::new(),
            bares: Vec::new(),
        };
        let there = match plane {
            Plane::Alias => scene.alias(groups),
            Plane::Macvlan => scene.macvlan(groups),
            Plane::Floor | Plane::Bare => scene.least(groups),
            Plane::Tcx => scene.carp(groups, "tcx", ""),
            Plane::Accept => scene.carp(groups, "tcx", " input accept"),
            Plane::Clsact => scene.carp(groups, "clsact", ""),
            Plane::Copy => scene.carp(groups, "copy", ""),
        };
        there.then_some(scene)
    }

    fn alias(&self, groups: u8) -> bool {
        for (interface, _, _, address) in addresses(groups) {
            self.host.address(interface, &address);
        }
        true
    }

    /// One for each group, as keepalived makes them.
    fn macvlan(&self, groups: u8) -> bool {
        for (carpdev, number, vhid, address) in addresses(groups) {
            let name = format!("vrrp{number}");
            self.host.net(|net: &Netlink| {
                let lower = net.link(carpdev).unwrap().unwrap().index;
                let index = net
                    .create_macvlan(&name, lower, MacvlanMode::Private)
                    .unwrap();
                net.set_mac(index, MacAddr::of_vhid(vhid)).unwrap();
                net.set_up(index, true).unwrap();
            });
            self.host.address(&name, &address);
        }
        true
    }

    /// One on each segment: what looks at nothing cannot tell two groups of one carpdev apart.
    fn least(&mut self, groups: u8) -> bool {
        for (carpdev, _, vhid, address) in addresses(groups) {
            let name = format!("least-{carpdev}");
            let (host, mac) = (&self.host, MacAddr::of_vhid(vhid));
            if vhid == 1 && self.plane == Plane::Bare {
                self.bares.push(Bare::lay(host, carpdev, &name, mac));
            } else if vhid == 1 {
                self.floors.push(Floor::lay(host, carpdev, &name, mac));
            }
            self.host.address(&name, &address);
        }
        true
    }

    /// The executable, driven as its users do, with a data plane forced.
    fn carp(&self, groups: u8, plane: &str, words: &str) -> bool {
        self.host.daemon();
        let force = format!("sysctl net.inet.carp.dataplane={plane}");
        let forced: Vec<&str> = force.split(' ').collect();
        let forced = self.host.finish(&mut self.host.command(&forced));
        if forced.code != Some(0) {
            eprintln!("dataplane: no {}: {}", self.plane.name(), forced.err.trim());
            return false;
        }
        for (carpdev, number, vhid, address) in addresses(groups) {
            let group = format!("carp{number} vhid {vhid} pass secret carpdev {carpdev}");
            self.host.ok(&format!("ifconfig {group}{words} {address}"));
        }
        let masters = usize::from(groups) + 1;
        let all = || self.host.ok("ifconfig -a").matches("carp: MASTER").count() == masters;
        assert!(until(START, all), "not MASTER: {}", self.host.said());
        true
    }
}

/// Carpdev, number of the interface, vhid and address with its prefix length of each group.
fn addresses(groups: u8) -> Vec<(&'static str, u32, u8, String)> {
    let others = (2..=groups).map(|vhid| {
        let address = format!("198.51.100.{}/32", vhid - 1);
        ("eth0", u32::from(vhid), vhid, address)
    });
    let measured = [
        ("eth0", 1, 1, format!("{SHARED}/24")),
        ("eth1", FAR_NUMBER, 1, format!("{FAR}/24")),
    ];
    measured.into_iter().chain(others).collect()
}
