//! What the kernel said of links and addresses, and what that makes of a carpdev; must not know carp interfaces.

use crate::carp::Parent;
use crate::carp::config::Carpdev;
use crate::dataplane::Own;
use crate::linux::Error;
use crate::linux::monitor::{Event, Monitor};
use crate::linux::netlink::{Address, Link};
use ipnetwork::IpNetwork;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The links and addresses of this namespace.
#[derive(Debug, Default)]
pub struct Kernel {
    links: BTreeMap<u32, Link>,
    /// In the kernel's order, which decides the first address.
    addresses: Vec<Address>,
}

impl Kernel {
    /// Asks for everything anew.
    ///
    /// # Errors
    /// The socket failed.
    pub fn dump(&mut self, monitor: &Monitor) -> Result<(), Error> {
        self.links = monitor
            .links()?
            .into_iter()
            .map(|link| (link.index, link))
            .collect();
        self.addresses = monitor.addresses(None)?;
        Ok(())
    }

    /// Takes one event in. False: the queue overflowed, [`Kernel::dump`] is due.
    pub fn take(&mut self, event: Event) -> bool {
        match event {
            Event::Link(link) => {
                self.links.insert(link.index, link);
            }
            Event::LinkGone { index, .. } => {
                self.links.remove(&index);
                self.addresses.retain(|address| address.index != index);
            }
            Event::Address {
                address,
                added: true,
            } => {
                match self
                    .addresses
                    .iter_mut()
                    .find(|held| held.index == address.index && held.net == address.net)
                {
                    Some(held) => *held = address,
                    None => self.addresses.push(address),
                }
            }
            Event::Address {
                address,
                added: false,
            } => {
                self.addresses
                    .retain(|held| held.index != address.index || held.net != address.net);
            }
            Event::Overflow => return false,
        }
        true
    }

    /// The link of this index.
    #[must_use]
    pub fn link(&self, index: u32) -> Option<&Link> {
        self.links.get(&index)
    }

    /// The link of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|link| link.name == name)
    }

    /// All usable addresses, in the kernel's order, without those on the interfaces in `but`.
    #[must_use]
    pub fn own_addresses(&self, but: &BTreeSet<u32>) -> Vec<(Carpdev, IpAddr)> {
        let usable = |address: &&Address| !address.tentative() && !but.contains(&address.index);
        let usable = self.addresses.iter().filter(usable);
        usable
            .map(|address| (Carpdev(address.index), address.net.ip()))
            .collect()
    }

    /// The bridge that a link is a port of.
    #[must_use]
    pub fn bridge_of(&self, index: u32) -> Option<u32> {
        let master = self.links.get(&index)?.master?;
        let bridges = self.links.get(&master)?.kind.as_deref() == Some("bridge");
        bridges.then_some(master)
    }

    /// The link as a data plane has to know it. A port of a bridge speaks with the bridge's address.
    #[must_use]
    pub fn own(&self, index: u32) -> Own {
        let bridge = self.bridge_of(index);
        let speaker = bridge.unwrap_or(index);
        Own {
            mac: self
                .links
                .get(&index)
                .map(|link| link.mac)
                .unwrap_or_default(),
            inet: self.inet(speaker),
            bridged: bridge.is_some(),
        }
    }

    fn inet(&self, index: u32) -> Option<Ipv4Addr> {
        let usable = |address: &&Address| address.index == index && !address.tentative();
        self.addresses
            .iter()
            .filter(usable)
            .find_map(|address| match address.net {
                IpNetwork::V4(net) => Some(net.ip()),
                IpNetwork::V6(_) => None,
            })
    }

    /// The link as a carpdev; `router` says whether the host forwards IPv6 there.
    #[must_use]
    pub fn parent(&self, index: u32, router: bool) -> Option<Parent> {
        let link = self.links.get(&index)?;
        let usable = |address: &&Address| address.index == index && !address.tentative();
        let six: Vec<Ipv6Addr> = self
            .addresses
            .iter()
            .filter(usable)
            .filter_map(|address| match address.net.ip() {
                IpAddr::V6(ip) => Some(ip),
                IpAddr::V4(_) => None,
            })
            .collect();
        let inet6 = six
            .iter()
            .find(|ip| ip.is_unicast_link_local())
            .or(six.first())
            .copied();
        Some(Parent {
            up: link.up && link.running,
            mac: link.mac,
            inet: self.inet(index),
            inet6,
            router,
        })
    }
}

/// Why a link cannot carry carp; `None` when it can.
#[must_use]
pub fn unfit(link: &Link) -> Option<&'static str> {
    match link.kind.as_deref() {
        // T17: unicast to a second MAC never reaches these.
        Some("macvlan" | "macvtap") => {
            Some("is a macvlan: frames for a virtual MAC do not reach it; use its lower interface")
        }
        Some("ipvlan" | "ipvtap") => {
            Some("is an ipvlan: it has no MAC of its own; use its lower interface")
        }
        _ if link.loopback => Some("is a loopback interface"),
        _ if !link.ethernet => Some("is not an Ethernet interface"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_mac_for_others_is_no_carpdev() {
        let link = |kind: &str| Link {
            index: 2,
            name: "eth0".to_owned(),
            mac: crate::wire::MacAddr([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
            flags: 0,
            up: true,
            running: true,
            lower_up: true,
            kind: Some(kind.to_owned()),
            group: 0,
            loopback: false,
            ethernet: true,
            master: None,
            table: None,
            lower: None,
        };
        for kind in ["macvlan", "macvtap", "ipvlan", "ipvtap"] {
            let why = unfit(&link(kind)).unwrap_or_default();
            let named = why.contains(&kind[..3]) && why.contains("use its lower interface");
            assert!(named, "{kind}: {why}");
        }
        for kind in ["veth", "bridge", "bond", "vlan", "dummy"] {
            assert_eq!(unfit(&link(kind)), None);
        }
        let loopback = Link {
            loopback: true,
            ..link("")
        };
        assert_eq!(unfit(&loopback), Some("is a loopback interface"));
    }
}
