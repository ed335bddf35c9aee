//! Packet sockets and their filters on real interfaces, asserted by the frames they hand over.
#![allow(clippy::unwrap_used)]

use carp::linux::filter::{Filter, Vantage};
use carp::linux::groups::Groups;
use carp::linux::netlink::{MacvlanMode, Netlink};
use carp::linux::netns::Namespace;
use carp::linux::packet::{Heard, PacketSocket, Vnet};
use carp::linux::sysctl;
use carp::wire::MacAddr;
use carp::wire::nd::solicited_node;
use std::net::Ipv6Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

const OWN: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const PEER: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const VIRTUAL: MacAddr = MacAddr::of_vhid(1);

/// A namespace with `own`, and one with `peer` at the other end of the cable.
struct Cable {
    here: Namespace,
    there: Namespace,
    own: u32,
    peer: u32,
}

impl Cable {
    fn new() -> Self {
        let (here, there) = (Namespace::new().unwrap(), Namespace::new().unwrap());
        for namespace in [&here, &there] {
            namespace.run(|| sysctl::write("net/ipv6/conf/default/disable_ipv6", "1").unwrap());
        }
        let own = here.run(|| {
            Netlink::open()
                .unwrap()
                .create_veth_into("own", "peer", there.as_fd())
                .unwrap()
        });
        let up = |name: &str, mac| {
            let netlink = Netlink::open().unwrap();
            let index = netlink.link(name).unwrap().unwrap().index;
            netlink.set_mac(index, mac).unwrap();
            netlink.set_up(index, true).unwrap();
            index
        };
        here.run(|| up("own", OWN));
        let peer = there.run(|| up("peer", PEER));
        // T33 holds for every interface: without a look, frames sent soon after the carrier came vanish.
        for (namespace, index) in [(&here, own), (&there, peer)] {
            let link = namespace.run(|| Netlink::open().unwrap().link_by_index(index).unwrap());
            assert!(link.unwrap().running);
        }
        Self {
            here,
            there,
            own,
            peer,
        }
    }

    fn sender(&self) -> PacketSocket {
        self.there
            .run(|| PacketSocket::open(self.peer, Vnet::No).unwrap())
    }
}

/// A frame whose last byte tells it from others.
fn numbered(to: MacAddr, number: u8) -> Vec<u8> {
    [&to.0[..], &PEER.0, &[0x88, 0xb5], &[0; 45], &[number]].concat()
}

fn tagged(frame: &[u8], protocol: u16, tag: u16) -> Vec<u8> {
    let tag = [protocol.to_be_bytes(), tag.to_be_bytes()].concat();
    [&frame[..12], &tag, &frame[12..]].concat()
}

fn solicitation(group: MacAddr, target: Ipv6Addr) -> Vec<u8> {
    let mut ip = [0; 40];
    (ip[0], ip[5], ip[6], ip[7]) = (0x60, 24, 58, 255);
    let body = [&[135, 0, 0, 0, 0, 0, 0, 0], &target.octets()[..]].concat();
    [&group.0[..], &PEER.0, &[0x86, 0xdd], &ip, &body].concat()
}

/// The next frame, if it comes within a time that a busy machine may need.
fn next(socket: &PacketSocket) -> Option<Vec<u8>> {
    let (until, mut buffer) = (Instant::now() + Duration::from_secs(3), [0; 2048]);
    while Instant::now() < until {
        if let Ok(length) = socket.recv(&mut buffer) {
            return Some(buffer[..length].to_vec());
        }
        std::thread::sleep(Duration::from_micros(300));
    }
    None
}

/// The numbers of all frames up to the one with 0xff.
fn numbers(socket: &PacketSocket) -> Vec<u8> {
    let last = std::iter::from_fn(|| next(socket).map(|frame| *frame.last().unwrap()));
    last.take_while(|number| *number != 0xff).collect()
}

fn settle() {
    std::thread::sleep(Duration::from_millis(50));
}

#[test]
fn a_socket_is_deaf_until_its_first_filter() {
    let cable = Cable::new();
    let socket = cable
        .here
        .run(|| PacketSocket::open(cable.own, Vnet::No).unwrap());
    assert_eq!(socket.index().unwrap(), Some(cable.own));
    let sender = cable.sender();
    sender.send(&numbered(VIRTUAL, 1)).unwrap();
    settle();
    socket.set_filter(&Filter::unicast_to(&[VIRTUAL])).unwrap();
    sender.send(&numbered(VIRTUAL, 2)).unwrap();
    sender.send(&numbered(OWN, 3)).unwrap();
    sender.send(&numbered(MacAddr::BROADCAST, 4)).unwrap();
    sender.send(&numbered(VIRTUAL, 0xff)).unwrap();
    assert_eq!(numbers(&socket), [2]);
    socket.set_filter(&Filter::none()).unwrap();
    sender.send(&numbered(VIRTUAL, 5)).unwrap();
    settle();
    assert_eq!(
        socket.recv(&mut [0; 64]).unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
}

#[test]
fn own_frames_are_not_heard() {
    let cable = Cable::new();
    let (socket, other) = cable.here.run(|| {
        let open = || PacketSocket::open(cable.own, Vnet::No).unwrap();
        (open(), open())
    });
    socket.set_filter(&Filter::unicast_to(&[VIRTUAL])).unwrap();
    other.send(&numbered(VIRTUAL, 1)).unwrap();
    cable.sender().send(&numbered(VIRTUAL, 0xff)).unwrap();
    assert_eq!(numbers(&socket), [0; 0]);
}

/// T23: the kernel hands tagged frames to the untagged parent's sockets as if they were plain.
#[test]
fn tagged_frames_are_not_heard_but_priority_tags_are() {
    let cable = Cable::new();
    let socket = cable
        .here
        .run(|| PacketSocket::open(cable.own, Vnet::No).unwrap());
    socket.set_filter(&Filter::unicast_to(&[VIRTUAL])).unwrap();
    let sender = cable.sender();
    let frame = |number| numbered(VIRTUAL, number);
    for sent in [
        frame(1),
        tagged(&frame(2), 0x8100, 10),
        tagged(&frame(3), 0x8100, 0),
        tagged(&frame(4), 0x8100, 0x6000),
        tagged(&frame(5), 0x88a8, 10),
        tagged(&frame(6), 0x88a8, 0),
        tagged(&tagged(&frame(7), 0x8100, 10), 0x8100, 0),
        frame(0xff),
    ] {
        sender.send(&sent).unwrap();
    }
    assert_eq!(numbers(&socket), [1, 3, 4]);
}

#[test]
fn a_link_that_goes_down_is_one_error_and_the_socket_lives_on() {
    let cable = Cable::new();
    let socket = cable
        .here
        .run(|| PacketSocket::open(cable.own, Vnet::Yes).unwrap());
    socket.set_filter(&Filter::unicast_to(&[VIRTUAL])).unwrap();
    let up = |up| {
        cable
            .here
            .run(|| Netlink::open().unwrap().set_up(cable.own, up).unwrap())
    };
    let mut buffer = [0; 2048];
    let mut errno = || socket.recv(&mut buffer).unwrap_err().raw_os_error();
    up(false);
    assert_eq!(
        (errno(), errno()),
        (Some(libc::ENETDOWN), Some(libc::EAGAIN))
    );
    assert_eq!(
        socket.send(&[0; 80]).unwrap_err().raw_os_error(),
        Some(libc::ENETDOWN)
    );
    up(true);
    let sender = cable.sender();
    sender.send(&numbered(VIRTUAL, 0xff)).unwrap();
    assert_eq!(numbers(&socket), [0; 0]);
    cable
        .here
        .run(|| Netlink::open().unwrap().delete(cable.own).unwrap());
    assert_eq!(
        (errno(), errno()),
        (Some(libc::ENETDOWN), Some(libc::EAGAIN))
    );
    assert_eq!(socket.index().unwrap(), None);
    let late = socket.accept_unicast(VIRTUAL).unwrap_err().raw_os_error();
    assert_eq!(late, Some(libc::ENODEV));
}

#[test]
fn a_socket_on_a_link_that_is_down_hears_once_it_is_up() {
    let cable = Cable::new();
    let netlink = || Netlink::open().unwrap();
    let socket = cable.here.run(|| {
        netlink().set_up(cable.own, false).unwrap();
        PacketSocket::open(cable.own, Vnet::No).unwrap()
    });
    socket.set_filter(&Filter::unicast_to(&[VIRTUAL])).unwrap();
    cable
        .here
        .run(|| netlink().set_up(cable.own, true).unwrap());
    cable.sender().send(&numbered(VIRTUAL, 0xff)).unwrap();
    assert!(next(&socket).is_some());
}

#[test]
fn an_interface_that_is_not_there_is_an_error() {
    Namespace::new().unwrap().run(|| {
        for index in [0, 77, u32::MAX] {
            assert_eq!(
                PacketSocket::open(index, Vnet::No).unwrap_err().errno(),
                libc::ENODEV,
                "{index}"
            );
        }
    });
}

/// Fails when one that only sends or has memberships runs its filter for every frame of the interface.
#[test]
fn a_mute_socket_sends_and_hears_nothing_until_it_is_told() {
    let cable = Cable::new();
    let open = || PacketSocket::mute(cable.own, Vnet::No).unwrap();
    let socket = cable.here.run(open);
    socket.set_filter(&Filter::everything()).unwrap();
    socket.accept_unicast(VIRTUAL).unwrap();
    let sender = cable.sender();
    sender.send(&numbered(VIRTUAL, 1)).unwrap();
    settle();
    socket.hear(Heard::All).unwrap();
    sender.send(&numbered(VIRTUAL, 2)).unwrap();
    sender.send(&numbered(VIRTUAL, 0xff)).unwrap();
    assert_eq!(numbers(&socket), [2]);
    // Mute again, and hearing again what the other programs have left.
    socket.hear(Heard::Nothing).unwrap();
    sender.send(&numbered(VIRTUAL, 3)).unwrap();
    settle();
    socket.hear(Heard::Ipv6).unwrap();
    sender.send(&numbered(VIRTUAL, 4)).unwrap();
    settle();
    socket.hear(Heard::All).unwrap();
    sender.send(&numbered(VIRTUAL, 0xff)).unwrap();
    assert_eq!(numbers(&socket), [0; 0]);
    let mute = cable.here.run(open);
    sender.set_filter(&Filter::unicast_to(&[PEER])).unwrap();
    let frame = numbered(PEER, 0xff);
    mute.send(&frame).unwrap();
    assert_eq!(numbers(&sender), [0; 0]);
}

#[test]
fn a_socket_passes_through_a_bare_descriptor() {
    let cable = Cable::new();
    let socket = cable
        .here
        .run(|| PacketSocket::open(cable.own, Vnet::No).unwrap());
    let socket = PacketSocket::from(OwnedFd::from(socket));
    socket.accept_unicast(VIRTUAL).unwrap();
    socket.set_filter(&Filter::unicast_to(&[VIRTUAL])).unwrap();
    cable.sender().send(&numbered(VIRTUAL, 0xff)).unwrap();
    assert_eq!(numbers(&socket), [0; 0]);
    socket.refuse_unicast(VIRTUAL).unwrap();
}

/// T8: a bridge as carpdev hands up unicast frames to its own addresses only.
#[test]
fn a_bridge_hears_the_virtual_mac_only_as_a_member() {
    let cable = Cable::new();
    let socket = cable.here.run(|| {
        let netlink = Netlink::open().unwrap();
        let bridge = netlink.create_bridge("br0").unwrap();
        netlink.set_master(cable.own, Some(bridge)).unwrap();
        netlink.set_up(bridge, true).unwrap();
        PacketSocket::open(bridge, Vnet::No).unwrap()
    });
    socket.set_filter(&Filter::unicast_to(&[VIRTUAL])).unwrap();
    let sender = cable.sender();
    // A fresh bridge port learns before it forwards, but hands frames up at once or after a moment.
    settle();
    sender.send(&numbered(VIRTUAL, 1)).unwrap();
    settle();
    socket.accept_unicast(VIRTUAL).unwrap();
    sender.send(&numbered(VIRTUAL, 2)).unwrap();
    settle();
    socket.refuse_unicast(VIRTUAL).unwrap();
    sender.send(&numbered(VIRTUAL, 3)).unwrap();
    settle();
    socket.accept_unicast(VIRTUAL).unwrap();
    sender.send(&numbered(VIRTUAL, 0xff)).unwrap();
    assert_eq!(numbers(&socket), [2]);
}

/// What is asked for last.
const LAST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xff);

/// A macvlan on `own`, the one kind of interface here that filters groups.
struct Picky {
    socket: PacketSocket,
    index: u32,
    /// Four shared addresses, as it were, and the MAC of each one's solicited-node group.
    targets: Vec<(Ipv6Addr, MacAddr)>,
    sender: PacketSocket,
}

impl Picky {
    fn on(cable: &Cable) -> Self {
        let targets: Vec<(Ipv6Addr, MacAddr)> = (1..=4u16)
            .map(|n| {
                let target = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 7 * n, n);
                let [.., a, b, c, d] = solicited_node(target).octets();
                (target, MacAddr([0x33, 0x33, a, b, c, d]))
            })
            .collect();
        let (socket, index) = cable.here.run(|| {
            let netlink = Netlink::open().unwrap();
            let macvlan = netlink
                .create_macvlan("m0", cable.own, MacvlanMode::Bridge)
                .unwrap();
            netlink.set_up(macvlan, true).unwrap();
            (PacketSocket::open(macvlan, Vnet::No).unwrap(), macvlan)
        });
        let asked: Vec<Ipv6Addr> = targets
            .iter()
            .map(|(target, _)| *target)
            .chain([LAST])
            .collect();
        socket
            .set_filter(&Filter::neighbours(Vantage::Wire, &[], &asked))
            .unwrap();
        Self {
            socket,
            index,
            targets,
            sender: cable.sender(),
        }
    }

    /// How many arrive of a solicitation to each group. A macvlan hands group frames on by a queue of its own, in order and
    /// whenever the kernel has time: a broadcast, which no filter stops, tells that they are through.
    fn heard(&self) -> usize {
        for (target, group) in &self.targets {
            self.sender.send(&solicitation(*group, *target)).unwrap();
        }
        self.sender
            .send(&solicitation(MacAddr::BROADCAST, LAST))
            .unwrap();
        let since = Instant::now();
        let (mut count, mut buffer) = (0, [0; 128]);
        while since.elapsed() < Duration::from_secs(10) {
            match self.socket.recv(&mut buffer) {
                Ok(length) if buffer[62..length].starts_with(&LAST.octets()) => return count,
                Ok(_) => count += 1,
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        panic!("the broadcast did not arrive");
    }
}

/// T9. Fails when a join does not reach the interface: the solicitations end at its filter.
#[test]
fn a_macvlan_hears_solicitations_once_their_groups_are_joined() {
    let cable = Cable::new();
    let picky = Picky::on(&cable);
    // The filter is a hash of 256 buckets: by chance a group may share one with a group that is joined.
    let before = picky.heard();
    assert!(before <= 2, "{before}");
    let joined = cable.here.run(|| {
        let mut groups = Groups::open(picky.index).unwrap();
        for (target, _) in &picky.targets {
            groups.join(solicited_node(*target).into()).unwrap();
        }
        groups
    });
    assert_eq!(picky.heard(), 4);
    drop(joined);
    assert!(picky.heard() <= before + 1);
}

/// T9, for a socket's own membership.
#[test]
fn a_macvlan_hears_a_group_only_as_a_member() {
    let cable = Cable::new();
    let picky = Picky::on(&cable);
    let before = picky.heard();
    assert!(before <= 2, "{before}");
    for (_, group) in &picky.targets {
        picky.socket.accept_multicast(*group).unwrap();
    }
    assert_eq!(picky.heard(), 4);
    for (_, group) in &picky.targets {
        picky.socket.refuse_multicast(*group).unwrap();
    }
    // The kernel computes a macvlan's filter before it takes the last address off the list (seen on 6.18).
    assert!(picky.heard() <= before + 1);
}
