//! Hosts, bridges and the cables between them, each host a network namespace; must not know what runs on the hosts.
//!
//! The bridges live in a namespace of their own, the switch, where each port is named after its host. Nothing has a name
//! outside: all of it vanishes when the [`Lab`] is dropped and the last process in it is gone.

use crate::linux::netlink::{AddressFlags, Link, Netlink};
use crate::linux::netns::Namespace;
use crate::linux::{Error, Result, sysctl};
use crate::wire::MacAddr;
use ipnetwork::IpNetwork;
use nix::errno::Errno;

/// The segment that every lab has, and to which [`Lab::add_host`] connects.
pub const LAN: &str = "lan";

/// A switch and the hosts connected to it.
#[derive(Debug)]
pub struct Lab {
    switch: Namespace,
    hosts: Vec<Host>,
}

/// A host: a namespace with interfaces `eth0`, `eth1` ... in the order of connection.
#[derive(Debug)]
pub struct Host {
    name: String,
    namespace: Namespace,
    ports: Vec<Port>,
}

/// One cable: an interface of a host and the switch's port for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// At the host: `eth0`, `eth1` ...
    pub interface: String,
    /// Its index there.
    pub index: u32,
    /// At the switch: the host's name for the first, then `NAME-1` ...
    pub port: String,
    /// Its index there.
    pub port_index: u32,
    /// The host's Ethernet address.
    pub mac: MacAddr,
}

impl Lab {
    /// A switch with the one segment [`LAN`] and no host. Its bridges flood multicast to every port.
    pub fn new() -> Result<Self> {
        let switch = Namespace::new()?;
        let lab = Self {
            switch,
            hosts: Vec::new(),
        };
        lab.switch.try_run(|| {
            // The switch itself says nothing.
            sysctl::write("net/ipv6/conf/all/disable_ipv6", "1")?;
            sysctl::write("net/ipv6/conf/default/disable_ipv6", "1")
        })??;
        lab.add_segment(LAN)?;
        Ok(lab)
    }

    /// A further bridge.
    pub fn add_segment(&self, name: &str) -> Result<()> {
        self.switch.try_run(|| {
            let netlink = Netlink::open()?;
            let bridge = netlink.create_bridge(name)?;
            netlink.set_multicast_snooping(bridge, false)?;
            netlink.set_up(bridge, true)
        })?
    }

    /// Whether the bridge sends multicast only where IGMP and MLD reports asked for it.
    pub fn set_snooping(&self, segment: &str, yes: bool) -> Result<()> {
        self.switch.try_run(|| {
            let netlink = Netlink::open()?;
            netlink.set_multicast_snooping(found(&netlink, segment)?.index, yes)
        })?
    }

    /// A new host, its `eth0` on [`LAN`], up and with these addresses, which are usable at once (no duplicate address detection).
    pub fn add_host(&mut self, name: &str, mac: MacAddr, addresses: &[IpNetwork]) -> Result<&Host> {
        self.add_bare_host(name)?;
        self.connect(name, LAN, mac, addresses)?;
        self.find(name)
    }

    /// A new host without an interface.
    pub fn add_bare_host(&mut self, name: &str) -> Result<()> {
        if self.find(name).is_ok() {
            return Err(Error::new("add host", name, Errno::EEXIST));
        }
        self.hosts.push(Host {
            name: name.to_owned(),
            namespace: Namespace::new()?,
            ports: Vec::new(),
        });
        Ok(())
    }

    /// Gives a host a further interface, on this segment.
    pub fn connect(
        &mut self,
        host: &str,
        segment: &str,
        mac: MacAddr,
        addresses: &[IpNetwork],
    ) -> Result<Port> {
        let Self { switch, hosts } = self;
        let host = hosts
            .iter_mut()
            .find(|known| known.name == host)
            .ok_or_else(|| Error::new("find host", host, Errno::ENOENT))?;
        let number = host.ports.len();
        let interface = format!("eth{number}");
        let port = if number == 0 {
            host.name.clone()
        } else {
            format!("{}-{number}", host.name)
        };
        let port_index = switch.try_run(|| {
            let netlink = Netlink::open()?;
            let bridge = found(&netlink, segment)?.index;
            let end = netlink.create_veth_into(
                &port,
                &interface,
                std::os::fd::AsFd::as_fd(&host.namespace),
            )?;
            netlink.set_master(end, Some(bridge))?;
            netlink.set_up(end, true)?;
            Ok::<u32, Error>(end)
        })??;
        let index = host
            .namespace
            .try_run(|| configure(&interface, mac, addresses))??;
        switch.try_run(|| settle(&Netlink::open()?, port_index))??;
        let port = Port {
            interface,
            index,
            port,
            port_index,
            mac,
        };
        host.ports.push(port.clone());
        Ok(port)
    }

    /// The host of this name.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn host(&self, name: &str) -> &Host {
        self.find(name)
            .expect("a lab is asked only for hosts that were added")
    }

    /// All hosts, in the order in which they were added.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The namespace of the bridges.
    #[must_use]
    pub fn switch(&self) -> &Namespace {
        &self.switch
    }

    /// Takes the switch's port out of service, or puts it back: the host's interface loses its carrier. Of a loss the host
    /// learns in the kernel's own time, up to a second, as with a real cable; after the return frames pass at once.
    pub fn link(&self, port: &str, up: bool) -> Result<()> {
        self.switch.try_run(|| {
            let netlink = Netlink::open()?;
            let index = found(&netlink, port)?.index;
            netlink.set_up(index, up)?;
            settle(&netlink, index)
        })??;
        match self.cable(port) {
            Some((host, cable)) if up => host
                .namespace
                .try_run(|| settle(&Netlink::open()?, cable.index))?,
            _ => Ok(()),
        }
    }

    fn cable(&self, port: &str) -> Option<(&Host, &Port)> {
        self.hosts.iter().find_map(|host| {
            let cable = host.ports.iter().find(|cable| cable.port == port)?;
            Some((host, cable))
        })
    }

    fn find(&self, name: &str) -> Result<&Host> {
        self.hosts
            .iter()
            .find(|host| host.name == name)
            .ok_or_else(|| Error::new("find host", name, Errno::ENOENT))
    }
}

impl Host {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Its interfaces; the first is `eth0`.
    #[must_use]
    pub fn ports(&self) -> &[Port] {
        &self.ports
    }

    /// Does something on this host, as [`Namespace::run`]; children started there live there.
    ///
    /// # Panics
    /// As [`Namespace::run`].
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.namespace.run(work)
    }
}

/// Brings a host's end of a cable up, in the host's namespace.
fn configure(interface: &str, mac: MacAddr, addresses: &[IpNetwork]) -> Result<u32> {
    let netlink = Netlink::open()?;
    let index = found(&netlink, interface)?.index;
    netlink.set_mac(index, mac)?;
    // Before "up", or the link-local address is tentative for two seconds.
    sysctl::write(&format!("net/ipv6/conf/{interface}/accept_dad"), "0")?;
    netlink.set_up(index, true)?;
    settle(&netlink, index)?;
    for address in addresses {
        netlink.add_address(
            index,
            *address,
            AddressFlags {
                nodad: address.is_ipv6(),
                metric: None,
            },
        )?;
    }
    Ok(index)
}

/// Has the kernel act on a carrier that changed just now; until it has, frames vanish (T24, T33).
fn settle(netlink: &Netlink, index: u32) -> Result<()> {
    netlink.link_by_index(index).map(drop)
}

fn found(netlink: &Netlink, name: &str) -> Result<Link> {
    netlink
        .link(name)?
        .ok_or_else(|| Error::new("find interface", name, Errno::ENODEV))
}
