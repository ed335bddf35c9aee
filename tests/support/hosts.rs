//! Segments and hosts, each host with a carp of its own, driven by the executable as a user would; must not know the
//! daemon's inside.

pub use super::driver::Done;
use super::wire::{Wire, tap};
use carp::carp::config::Dataplane;
use carp::linux::clock;
use carp::linux::netlink::{AddressFlags, Netlink};
use carp::linux::netns::Namespace;
use carp::linux::packet::PacketSocket;
use carp::linux::sysctl;
use carp::wire::MacAddr;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Generous: a bound for what takes milliseconds on an idle machine.
pub const SOON: Duration = Duration::from_secs(10);

/// An Ethernet segment: a bridge in a namespace of its own.
pub struct Segment {
    pub place: Namespace,
    bridge: u32,
}

impl Segment {
    pub fn new() -> Arc<Self> {
        let place = Namespace::new().unwrap();
        let bridge = place.run(|| {
            // The switch itself says nothing, and floods multicast.
            sysctl::write("net/ipv6/conf/all/disable_ipv6", "1").unwrap();
            sysctl::write("net/ipv6/conf/default/disable_ipv6", "1").unwrap();
            let net = Netlink::open().unwrap();
            let bridge = net.create_bridge("br0").unwrap();
            net.set_multicast_snooping(bridge, false).unwrap();
            net.set_up(bridge, true).unwrap();
            bridge
        });
        Arc::new(Self { place, bridge })
    }

    /// The same that learns nothing: what somebody sends reaches all others.
    pub fn hub() -> Arc<Self> {
        let segment = Self::new();
        let make = || Netlink::open().unwrap().make_hub(segment.bridge).unwrap();
        segment.place.run(make);
        segment
    }

    /// Plugs a cable from `host` in: `interface` there, `port` here.
    fn plug(&self, host: &Namespace, port: &str, interface: &str, mac: MacAddr) {
        self.place.run(|| {
            let net = Netlink::open().unwrap();
            let near = net.create_veth_into(port, interface, host.as_fd()).unwrap();
            net.set_master(near, Some(self.bridge)).unwrap();
            net.set_up(near, true).unwrap();
        });
        host.run(|| {
            let net = Netlink::open().unwrap();
            let index = net.link(interface).unwrap().unwrap().index;
            net.set_mac(index, mac).unwrap();
            net.set_up(index, true).unwrap();
        });
    }
}

/// One interface of a host and the bridge port at its other end.
struct Cable {
    interface: String,
    port: String,
    segment: Arc<Segment>,
}

/// A host with a network stack and a run directory of its own. Nothing of it outlives the value.
pub struct Host {
    pub name: &'static str,
    pub place: Namespace,
    pub run: PathBuf,
    /// What its daemons are told to use.
    pub plane: Dataplane,
    cables: Mutex<Vec<Cable>>,
    pub(super) daemon: Mutex<Option<Child>>,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Host {
    /// A host that is connected to nothing.
    pub fn alone(name: &'static str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let run = std::env::temp_dir().join(format!("carp-test-{}-{number}", std::process::id()));
        std::fs::create_dir(&run).unwrap();
        Self {
            name,
            place: Namespace::new().unwrap(),
            run,
            plane: super::plane::current(),
            cables: Mutex::default(),
            daemon: Mutex::default(),
        }
    }

    /// Makes interfaces that come later use their IPv6 addresses at once, or after the kernel's usual duplicate detection.
    fn hasty(&self, yes: bool) {
        self.sysctl(
            "net/ipv6/conf/default/accept_dad",
            if yes { "0" } else { "1" },
        );
    }

    /// A host with `eth0` on `segment`, MAC 02:00:00:00:00:`number`, and these addresses.
    pub fn on(segment: &Arc<Segment>, name: &'static str, number: u8, addresses: &[&str]) -> Self {
        let host = Self::alone(name);
        host.plug(segment, "eth0", number);
        for address in addresses {
            host.address("eth0", address);
        }
        host
    }

    /// Adds `interface` on `segment`, MAC 02:00:00:00:00:`number`.
    pub fn plug(&self, segment: &Arc<Segment>, interface: &str, number: u8) {
        let port = format!("{}-{interface}", self.name);
        self.hasty(true);
        segment.plug(&self.place, &port, interface, own_mac(number));
        self.hasty(false);
        let cable = Cable {
            interface: interface.to_owned(),
            port,
            segment: Arc::clone(segment),
        };
        self.cables.lock().unwrap().push(cable);
    }

    /// Pulls the cable of `interface` out for good: both ends are gone.
    pub fn unplug(&self, interface: &str) {
        self.net(|net| {
            net.delete(net.link(interface).unwrap().unwrap().index)
                .unwrap()
        });
        self.cables
            .lock()
            .unwrap()
            .retain(|c| c.interface != interface);
    }

    fn cable<R>(&self, interface: &str, then: impl FnOnce(&Cable) -> R) -> R {
        then(
            self.cables
                .lock()
                .unwrap()
                .iter()
                .find(|c| c.interface == interface)
                .expect("there is such a cable"),
        )
    }

    /// The segment behind `interface`.
    pub fn segment(&self, interface: &str) -> Arc<Segment> {
        self.cable(interface, |c| Arc::clone(&c.segment))
    }

    /// Index and name of the bridge port behind `interface`.
    pub fn port(&self, interface: &str) -> (u32, String) {
        self.cable(interface, |c| {
            let ask = || {
                Netlink::open()
                    .unwrap()
                    .link(&c.port)
                    .unwrap()
                    .unwrap()
                    .index
            };
            (c.segment.place.run(ask), c.port.clone())
        })
    }

    /// The index of `interface` on this host.
    pub fn index(&self, interface: &str) -> u32 {
        self.net(|net| {
            net.link(interface)
                .unwrap()
                .expect("the interface is there")
                .index
        })
    }

    /// Records what this host sends by `interface`, at the bridge port.
    pub fn sends(&self, interface: &str) -> Wire {
        self.cable(interface, |c| Wire::at(&c.segment.place, &c.port))
    }

    /// Records what reaches this host at `interface`.
    pub fn hears(&self, interface: &str) -> Wire {
        Wire::at(&self.place, interface)
    }

    /// A socket whose frames reach this host's `interface` and nobody else.
    pub fn inlet(&self, interface: &str) -> PacketSocket {
        self.cable(interface, |c| tap(&c.segment.place, &c.port))
    }

    /// A socket whose frames leave by this host's `interface`.
    pub fn outlet(&self, interface: &str) -> PacketSocket {
        tap(&self.place, interface)
    }

    /// The far end of the cable goes up or down: this host's link comes or is lost.
    pub fn link(&self, interface: &str, up: bool) {
        self.cable(interface, |c| {
            c.segment.place.run(|| {
                let net = Netlink::open().unwrap();
                let port = net.link(&c.port).unwrap().unwrap().index;
                net.set_up(port, up).unwrap();
            });
        });
    }

    /// Takes the far end of the cable out of the segment, or back: this host is cut off, and its link does not tell.
    pub fn attached(&self, interface: &str, yes: bool) {
        self.cable(interface, |c| {
            c.segment.place.run(|| {
                let net = Netlink::open().unwrap();
                let port = net.link(&c.port).unwrap().unwrap().index;
                net.set_master(port, yes.then_some(c.segment.bridge))
                    .unwrap();
            });
        });
    }

    /// Asks or tells this host's kernel.
    pub fn net<R: Send>(&self, ask: impl FnOnce(&Netlink) -> R + Send) -> R {
        self.place.run(|| ask(&Netlink::open().unwrap()))
    }

    /// Adds `address` with its prefix length, at once usable.
    pub fn address(&self, interface: &str, address: &str) {
        self.net(|net| {
            let index = net.link(interface).unwrap().unwrap().index;
            let flags = AddressFlags {
                nodad: true,
                ..AddressFlags::default()
            };
            net.add_address(index, address.parse().unwrap(), flags)
                .unwrap();
        });
    }

    /// Sends what is for `destination` to `gateway`, or straight out of `interface`.
    pub fn route(&self, destination: &str, gateway: Option<&str>, interface: &str) {
        self.net(|net| {
            let index = net.link(interface).unwrap().unwrap().index;
            net.add_route(
                destination.parse().unwrap(),
                gateway.map(|g| g.parse().unwrap()),
                index,
            )
            .unwrap();
        });
    }

    /// Writes a sysctl of this host.
    pub fn sysctl(&self, name: &str, value: &str) {
        self.place.run(|| sysctl::write(name, value).unwrap());
    }

    /// Reads one.
    pub fn sysctl_value(&self, name: &str) -> String {
        self.place.run(|| sysctl::read(name).unwrap())
    }

    /// The MAC in this host's neighbour table.
    pub fn neighbour(&self, interface: &str, ip: &str) -> Option<MacAddr> {
        let ip: IpAddr = ip.parse().unwrap();
        self.net(|net| {
            let index = net.link(interface).unwrap().unwrap().index;
            net.neighbours(index)
                .unwrap()
                .into_iter()
                .find(|n| n.ip == ip)
                .and_then(|n| n.mac)
        })
    }

    /// Whether the kernel has this address on `interface`.
    pub fn has_address(&self, interface: &str, ip: &str) -> bool {
        let ip: IpAddr = ip.parse().unwrap();
        self.net(|net| {
            let Some(link) = net.link(interface).unwrap() else {
                return false;
            };
            net.addresses(Some(link.index))
                .unwrap()
                .iter()
                .any(|a| a.net.ip() == ip)
        })
    }

    /// Whether there is such an interface, and whether its carrier is on.
    pub fn carrier(&self, interface: &str) -> Option<bool> {
        self.net(|net| net.link(interface).unwrap().map(|l| l.running))
    }
}

impl Drop for Host {
    /// Also when the test panics: no process and no file stays.
    fn drop(&mut self) {
        for pid in self.processes() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        self.reap();
        if std::thread::panicking() {
            eprintln!("daemon of {}:\n{}", self.name, self.said());
        }
        let _ = std::fs::remove_dir_all(&self.run);
    }
}

/// 02:00:00:00:00:`number`.
pub fn own_mac(number: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, number])
}

/// Asks again and again until it is so, or `bound` is over.
pub fn until(bound: Duration, mut so: impl FnMut() -> bool) -> bool {
    let end = clock::now() + bound;
    loop {
        if so() {
            return true;
        }
        if clock::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
