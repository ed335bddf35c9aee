//! A host `a` whose carpN hang on a copier, a client `c` and a third host `t` on one segment; must not know what is asserted.
#![allow(dead_code, clippy::unwrap_used)]

use carp::dataplane::copy::Copier;
use carp::dataplane::{Balancing, Gate, Port, Vhost};
use carp::lab::net::{LAN, Lab};
use carp::linux::clock;
use carp::linux::filter::Filter;
use carp::linux::netlink::{AddressFlags, NeighbourState, Netlink};
use carp::linux::packet::{PacketSocket, Vnet};
use carp::linux::sysctl;
use carp::linux::tap::Tap;
use carp::wire::MacAddr;
use ipnetwork::IpNetwork;
use std::net::IpAddr;
use std::time::{Duration, Instant};

pub const A: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
pub const C: MacAddr = MacAddr([2, 0, 0, 0, 0, 3]);
pub const T: MacAddr = MacAddr([2, 0, 0, 0, 0, 4]);

/// The end of a run of numbered frames.
pub const LAST: u8 = 0xff;

pub struct Site {
    pub lab: Lab,
    pub copier: Copier,
    /// Index of a's `eth0`.
    pub carpdev: u32,
    member: PacketSocket,
}

impl Site {
    pub fn new() -> Self {
        let mut lab = Lab::new().unwrap();
        // No address on the carpdev: all that `a` says as 192.0.2.1 leaves by carpN.
        lab.add_host("a", A, &[]).unwrap();
        lab.add_host(
            "c",
            C,
            &[
                "192.0.2.13/24".parse().unwrap(),
                "2001:db8::13/64".parse().unwrap(),
            ],
        )
        .unwrap();
        lab.add_host("t", T, &[]).unwrap();
        wake_links(&lab);
        let carpdev = lab.host("a").ports()[0].index;
        let (member, data) = lab.host("a").run(|| {
            sysctl::write("net/ipv4/conf/eth0/arp_ignore", "1").unwrap();
            let member = PacketSocket::open(carpdev, Vnet::No).unwrap();
            (member, PacketSocket::open(carpdev, Vnet::Yes).unwrap())
        });
        let copier = Copier::start().unwrap();
        copier.add_carpdev(carpdev, A, data);
        Self {
            lab,
            copier,
            carpdev,
            member,
        }
    }

    /// A port on `eth0` with these addresses; without any its kernel side says nothing. Shut, with an hour's lease.
    pub fn port(&self, name: &str, vhid: u8, addresses: &[&str]) -> Port {
        let addresses: Vec<IpNetwork> =
            addresses.iter().map(|text| text.parse().unwrap()).collect();
        let mac = MacAddr::of_vhid(vhid);
        let tap = self.lab.host("a").run(|| tap(name, mac, &addresses));
        let shared = addresses.iter().map(IpNetwork::ip).collect();
        let port = Port {
            id: tap.index(),
            carpdev: self.carpdev,
            mac,
            vhosts: vec![Vhost { vhid, mac }],
            balancing: Balancing::Mac,
            probes: false,
            shared,
            accept: false,
            capture: false,
        };
        self.member.accept_unicast(mac).unwrap();
        self.copier.add_port(port.clone(), tap.into());
        self.copier
            .set_lease(port.id, vhid, clock::now() + Duration::from_secs(3600));
        port
    }

    /// Entries that never ask, so that no question and answer is needed.
    pub fn introduce(&self, host: &str, ip: IpAddr, mac: MacAddr) {
        self.lab.host(host).run(|| {
            let netlink = Netlink::open().unwrap();
            let index = netlink.link("eth0").unwrap().unwrap().index;
            netlink
                .replace_neighbour(index, ip, mac, NeighbourState::Permanent)
                .unwrap();
        });
    }

    /// A socket on an interface of a host that hears these MACs.
    pub fn socket(&self, host: &str, interface: &str, macs: &[MacAddr]) -> PacketSocket {
        let socket = self.lab.host(host).run(|| {
            let link = Netlink::open().unwrap().link(interface).unwrap().unwrap();
            PacketSocket::open(link.index, Vnet::No).unwrap()
        });
        socket.set_filter(&Filter::unicast_to(macs)).unwrap();
        socket
    }

    pub fn netlink<R: Send>(&self, host: &str, work: impl FnOnce(&Netlink) -> R + Send) -> R {
        self.lab.host(host).run(|| work(&Netlink::open().unwrap()))
    }

    pub fn gate(&self, port: &Port, gate: Gate) {
        self.copier.set_gate(port.id, port.vhosts[0].vhid, gate);
    }
}

fn tap(name: &str, mac: MacAddr, addresses: &[IpNetwork]) -> Tap {
    let netlink = Netlink::open().unwrap();
    let tap = Tap::create(name).unwrap();
    let set = |key: &str, value| {
        sysctl::write(&format!("net/{}", key.replace("IF", name)), value).unwrap()
    };
    set("ipv6/conf/IF/addr_gen_mode", "1");
    set("ipv6/conf/IF/accept_dad", "0");
    set("ipv6/conf/IF/accept_ra", "0");
    set("ipv4/conf/IF/rp_filter", "2");
    set(
        "ipv6/conf/IF/disable_ipv6",
        if addresses.iter().any(IpNetwork::is_ipv6) {
            "0"
        } else {
            "1"
        },
    );
    netlink.set_mac(tap.index(), mac).unwrap();
    netlink.set_up(tap.index(), true).unwrap();
    for address in addresses {
        netlink
            .add_address(
                tap.index(),
                *address,
                AddressFlags {
                    nodad: address.is_ipv6(),
                    metric: None,
                },
            )
            .unwrap();
    }
    tap.set_carrier(true).unwrap();
    assert!(netlink.link_by_index(tap.index()).unwrap().unwrap().running);
    tap
}

/// T33 holds for every interface: without a look, frames sent soon after the carrier came vanish.
pub fn wake_links(lab: &Lab) {
    let look = |index| drop(Netlink::open().unwrap().link_by_index(index).unwrap());
    for port in lab.hosts().iter().flat_map(|host| host.ports()) {
        lab.switch().run(|| look(port.port_index));
    }
    for host in lab.hosts() {
        host.run(|| host.ports().iter().for_each(|port| look(port.index)));
    }
}

/// A second cable for `a`: the index of its new interface.
pub fn second_cable(site: &mut Site, mac: MacAddr) -> u32 {
    let index = site.lab.connect("a", LAN, mac, &[]).unwrap().index;
    wake_links(&site.lab);
    index
}

pub fn frame(to: MacAddr, from: MacAddr, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to.0[..], &from.0, &kind.to_be_bytes(), payload].concat()
}

/// Correct enough for a bridge, which cuts a packet to its length and drops one with a wrong header checksum.
pub fn ipv6(to: MacAddr, from: MacAddr, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = [0; 40];
    (header[0], header[6], header[7]) = (0x60, next, 255);
    header[4..6].copy_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
    frame(to, from, 0x86dd, &[&header, payload].concat())
}

/// As [`ipv6`], with 26 bytes of payload.
pub fn ipv4(to: MacAddr, from: MacAddr, protocol: u8) -> Vec<u8> {
    let mut packet = [0; 46];
    (packet[0], packet[3], packet[8], packet[9]) = (0x45, 46, 255, protocol);
    let words = packet[..20]
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let sum = words.sum::<u32>();
    let folded = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    packet[10..12].copy_from_slice(&(!folded).to_be_bytes());
    frame(to, from, 0x0800, &packet)
}

/// An experimental frame whose last byte tells it from others.
pub fn numbered(to: MacAddr, from: MacAddr, number: u8) -> Vec<u8> {
    frame(to, from, 0x88b5, &[&[0; 45][..], &[number]].concat())
}

pub fn tagged(frame: &[u8], protocol: u16, tag: u16) -> Vec<u8> {
    let tag = [protocol.to_be_bytes(), tag.to_be_bytes()].concat();
    [&frame[..12], &tag, &frame[12..]].concat()
}

/// The next frame, if it comes within a time that a busy machine may need.
pub fn next(socket: &PacketSocket) -> Option<Vec<u8>> {
    let (until, mut buffer) = (Instant::now() + Duration::from_secs(3), [0; 2048]);
    while Instant::now() < until {
        if let Ok(length) = socket.recv(&mut buffer) {
            return Some(buffer[..length].to_vec());
        }
        std::thread::sleep(Duration::from_micros(300));
    }
    None
}

/// All frames up to the one that ends in [`LAST`], which must come.
pub fn until_last(socket: &PacketSocket) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    loop {
        let frame = next(socket).expect("the last frame arrives");
        if frame.last() == Some(&LAST) {
            return frames;
        }
        frames.push(frame);
    }
}

/// The numbers of those frames.
pub fn numbers(socket: &PacketSocket) -> Vec<u8> {
    until_last(socket)
        .iter()
        .map(|frame| *frame.last().unwrap())
        .collect()
}

/// Long enough for what was sent to have been carried or dropped.
pub fn settle() {
    std::thread::sleep(Duration::from_millis(50));
}
