//! Host a with a carpdev whose frames the kernel moves, with one port and no daemon, and its neighbour c.

use super::support::frames::echo_request;
use super::support::hosts::{Host, Segment, own_mac};
use super::support::wire::{Wire, tap};
use carp::dataplane::bpf::{Carpdev, Loaded, Means, Service};
use carp::dataplane::{Balancing, Gate, Own, Plane, Port, Vhost};
use carp::linux::clock;
use carp::linux::netlink::{AddressFlags, Netlink};
use carp::linux::packet::{PacketSocket, Vnet};
use carp::linux::tap::Tap;
use carp::time::Instant;
use carp::wire::MacAddr;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

pub const V: MacAddr = MacAddr::of_vhid(7);
pub const SHARED: &str = "192.0.2.1";
pub const SHARED6: &str = "2001:db8::1";
pub const A: MacAddr = own_mac_of(0x0a);
pub const C: MacAddr = own_mac_of(0x0c);
/// Long after the end of every test.
pub const FOREVER: Duration = Duration::from_secs(3600);

const fn own_mac_of(number: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, number])
}

/// Both ways to attach, one after the other.
pub const BOTH: [Means; 2] = [Means::Tcx, Means::Clsact];

pub struct Site {
    pub a: Host,
    pub c: Host,
    pub plane: Plane,
    /// The programs; without them the copier serves.
    pub kernel: Option<Carpdev>,
    pub port: Port,
    pub own: Own,
}

impl Site {
    /// carp1 has the shared addresses and a carrier, its gate is shut, and there is no lease.
    pub fn new(means: Means) -> Self {
        Self::with(Some(means), &[(7, V)], Balancing::Mac)
    }

    /// The same with these vhosts.
    pub fn with(means: Option<Means>, vhosts: &[(u8, MacAddr)], balancing: Balancing) -> Self {
        let segment = Segment::new();
        let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24", "2001:db8::11/64"]);
        let c = Host::on(&segment, "c", 0x0c, &["192.0.2.13/24", "2001:db8::13/64"]);
        if means.is_none() {
            a.sysctl("net/ipv4/conf/eth0/arp_ignore", "1");
        }
        let carpdev = a.index("eth0");
        let mut mac = vhosts[0].1;
        mac.0[0] &= 0xfe;
        let macs: Vec<_> = vhosts.iter().map(|(vhid, mac)| (*mac, *vhid)).collect();
        let (tap, data, kernel) = a.place.run(move || {
            let net = Netlink::open().unwrap();
            let tap = carp1(&net, mac);
            let data = PacketSocket::open(carpdev, Vnet::Yes).unwrap();
            let kernel = means.map(|means| {
                let loaded = Loaded::new().unwrap();
                let mut kernel = Carpdev::open(&net, carpdev, means, loaded).unwrap();
                serve(&mut kernel, &net, &macs, &[tap.index()]);
                kernel
            });
            (tap, data, kernel)
        });
        let vhost = |(vhid, mac): &(u8, MacAddr)| Vhost {
            vhid: *vhid,
            mac: *mac,
        };
        let port = Port {
            id: tap.index(),
            carpdev,
            mac,
            vhosts: vhosts.iter().map(vhost).collect(),
            balancing,
            probes: false,
            shared: vec![SHARED.parse().unwrap(), SHARED6.parse().unwrap()],
            accept: false,
            capture: false,
        };
        let own = Own {
            mac: A,
            inet: Some("192.0.2.11".parse().unwrap()),
            bridged: false,
        };
        let mut plane = Plane::start().unwrap();
        let map = kernel
            .as_ref()
            .map(|kernel| kernel.ports().try_clone_to_owned().unwrap());
        plane.add_carpdev(carpdev, own, data, map).unwrap();
        plane.add_port(port.clone(), OwnedFd::from(tap));
        Self {
            a,
            c,
            plane,
            kernel,
            port,
            own,
        }
    }

    /// The gate of a vhost, with a lease until long after.
    pub fn gate_of(&mut self, vhid: u8, gate: Gate) {
        let forever = clock::now() + FOREVER;
        self.plane.set_lease(self.port.id, vhid, forever);
        self.plane.set_gate(self.port.id, vhid, gate);
    }

    /// The gate, with a lease until long after.
    pub fn gate(&mut self, gate: Gate) {
        self.lease(clock::now() + FOREVER);
        self.plane.set_gate(self.port.id, 7, gate);
    }

    pub fn lease(&mut self, until: Instant) {
        self.plane.set_lease(self.port.id, 7, until);
    }

    /// What arrives on carp1.
    pub fn carp1(&self) -> Wire {
        Wire::at(&self.a.place, "carp1")
    }

    /// A socket that sends by carp1.
    pub fn by_carp1(&self) -> PacketSocket {
        tap(&self.a.place, "carp1")
    }

    /// The counters of the vhid.
    pub fn counted(&self) -> carp::dataplane::Counters {
        let all = self.kernel.as_ref().unwrap().counters().unwrap();
        all.into_iter().find(|(vhid, _)| *vhid == 7).unwrap().1
    }
}

fn carp1(net: &Netlink, mac: MacAddr) -> Tap {
    let tap = Tap::create("carp1").unwrap();
    let index = tap.index();
    net.set_mac(index, mac).unwrap();
    net.set_up(index, true).unwrap();
    tap.set_carrier(true).unwrap();
    net.link_by_index(index).unwrap();
    for address in ["192.0.2.1/24", "2001:db8::1/64"] {
        let flags = AddressFlags {
            nodad: true,
            metric: Some(40_000),
        };
        net.add_address(index, address.parse().unwrap(), flags)
            .unwrap();
    }
    tap
}

/// These vhosts, and both shared addresses of vhid 7.
pub fn serve(kernel: &mut Carpdev, net: &Netlink, macs: &[(MacAddr, u8)], units: &[u32]) {
    let shared: [(IpAddr, u8); 2] = [(SHARED.parse().unwrap(), 7), (SHARED6.parse().unwrap(), 7)];
    let service = Service {
        shared: &shared,
        macs,
        units,
        bridge: None,
    };
    kernel.serve(net, service).unwrap();
}

/// An echo request from c to the shared address, under its virtual MAC.
pub fn ping(seq: u16) -> Vec<u8> {
    let from = (C, "192.0.2.13".parse().unwrap());
    echo_request(from, (V, SHARED.parse().unwrap()), 1, seq)
}

/// What carp1 could send to c.
pub fn pong(seq: u16) -> Vec<u8> {
    let from = (V, SHARED.parse().unwrap());
    echo_request(from, (own_mac(0x0c), "192.0.2.13".parse().unwrap()), 2, seq)
}

/// The numbers of the echo requests with this mark, in order of arrival, once there is nothing more to come.
pub fn numbers(wire: &Wire, ident: u16) -> Vec<u16> {
    std::thread::sleep(Duration::from_millis(100));
    let frames = wire.frames();
    let echoes = frames.iter().filter_map(|f| f.echo());
    echoes
        .filter(|e| e.request && e.ident == ident)
        .map(|e| e.seq)
        .collect()
}
