//! Group joins, as another host's port and a snooping bridge see them (T27).

use crate::{as_root, net};
use carp::lab::net::{LAN, Lab};
use carp::linux::filter::Filter;
use carp::linux::groups::Groups;
use carp::linux::netlink::Netlink;
use carp::linux::packet::{PacketSocket, Vnet};
use carp::wire::MacAddr;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// All IGMPv3 and all MLDv2 routers.
const REPORTS: [MacAddr; 2] = [
    MacAddr([1, 0, 0x5e, 0, 0, 0x16]),
    MacAddr([0x33, 0x33, 0, 0, 0, 0x16]),
];

/// Host a has no address at all, b listens at its own port.
fn scene() -> (Lab, PacketSocket) {
    let mut lab = Lab::new().unwrap();
    lab.add_host("a", MacAddr([2, 0, 0, 0, 0, 1]), &[]).unwrap();
    lab.add_host("b", MacAddr([2, 0, 0, 0, 0, 2]), &[net("192.0.2.2/24")])
        .unwrap();
    let ear = lab.host("b").run(|| {
        let socket = PacketSocket::open(lab.host("b").ports()[0].index, Vnet::No).unwrap();
        for group in REPORTS {
            socket.accept_multicast(group).unwrap();
        }
        socket.set_filter(&Filter::unicast_to(&REPORTS)).unwrap();
        socket
    });
    (lab, ear)
}

/// Waits for a frame of host a that contains these bytes.
fn heard(ear: &PacketSocket, wanted: &[u8], patience: Duration) -> bool {
    let end = Instant::now() + patience;
    let mut buffer = [0; 2048];
    while Instant::now() < end {
        let mut asked = [PollFd::new(ear.as_fd(), PollFlags::POLLIN)];
        poll(&mut asked, PollTimeout::from(100_u8)).unwrap();
        while let Ok(length) = ear.recv(&mut buffer) {
            let frame = &buffer[..length];
            let from_a = frame[6..12] == [2, 0, 0, 0, 0, 1];
            if from_a && frame.windows(wanted.len()).any(|part| part == wanted) {
                return true;
            }
        }
    }
    false
}

fn solicited(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff42, last)
}

#[test]
fn a_join_without_an_address_is_reported_on_the_wire() {
    as_root!();
    let (lab, ear) = scene();
    let index = lab.host("a").ports()[0].index;
    let all_carp6: Ipv6Addr = "ff02::12".parse().unwrap();
    let carp: IpAddr = "224.0.0.18".parse().unwrap();
    let patience = Duration::from_secs(10);
    // Record type 4, change to exclude, no sources (RFC 3376 section 4.2.12).
    let igmp = [4, 0, 0, 0, 224, 0, 0, 18];
    let mld = |group: Ipv6Addr| [&[4, 0, 0, 0][..], &group.octets()].concat();
    let left_igmp = [3, 0, 0, 0, 224, 0, 0, 18];
    lab.host("a").run(|| {
        assert_eq!(
            Netlink::open()
                .unwrap()
                .addresses(Some(index))
                .unwrap()
                .iter()
                .filter(|a| a.net.is_ipv4())
                .count(),
            0
        );
        let mut groups = Groups::open(index).unwrap();
        assert!(
            !heard(&ear, &igmp, Duration::from_millis(300)),
            "nobody has joined yet"
        );
        groups.join(carp).unwrap();
        assert!(heard(&ear, &igmp, patience), "IGMP report");
        groups.join(all_carp6.into()).unwrap();
        assert!(heard(&ear, &mld(all_carp6), patience), "MLD report");
        groups.join(solicited(1).into()).unwrap();
        assert!(
            heard(&ear, &mld(solicited(1)), patience),
            "MLD report of a solicited-node group"
        );
        assert_eq!(groups.joined().count(), 3);
        groups.leave(carp).unwrap();
        assert!(heard(&ear, &left_igmp, patience), "IGMP leave");
    });
}

#[test]
fn three_hundred_groups_can_be_joined_and_left() {
    as_root!();
    let (lab, _ear) = scene();
    let index = lab.host("a").ports()[0].index;
    lab.host("a").run(|| {
        let mut groups = Groups::open(index).unwrap();
        let six = |n: u16| IpAddr::from(solicited(n));
        let four = |n: u8| IpAddr::from([239, 1, 1, n]);
        for n in 0..300 {
            groups.join(six(n)).unwrap();
            groups.join(six(n)).unwrap();
        }
        for n in 0..50 {
            groups.join(four(n)).unwrap();
        }
        assert_eq!(groups.joined().count(), 350);
        // As the kernel sees it, in the thread's own namespace. A line may come twice when the list changes while it is read.
        let listed = || {
            let text = std::fs::read_to_string("/proc/thread-self/net/igmp6").unwrap();
            let groups = text
                .split_whitespace()
                .filter(|word| word.starts_with("ff0200000000000000000001ff42"));
            groups.collect::<BTreeSet<&str>>().len()
        };
        assert_eq!(listed(), 300);
        for n in 0..150 {
            groups.leave(six(n)).unwrap();
            groups.leave(six(n)).unwrap();
        }
        assert_eq!(listed(), 150);
        for n in 0..50 {
            groups.leave(four(n)).unwrap();
        }
        assert_eq!(groups.joined().count(), 150);
        drop(groups);
        assert_eq!(listed(), 0);
        let error = Groups::open(index)
            .unwrap()
            .join("192.0.2.1".parse().unwrap())
            .unwrap_err();
        assert_eq!(error.to_string(), "join group 192.0.2.1: Invalid argument");
        assert!(Groups::open(0).is_err());
    });
}

#[test]
fn a_snooping_bridge_forwards_only_what_was_asked_for() {
    as_root!();
    let (lab, _ear) = scene();
    let joined = MacAddr([1, 0, 0x5e, 1, 2, 3]);
    let other = MacAddr([1, 0, 0x5e, 1, 2, 4]);
    let index = lab.host("a").ports()[0].index;
    let (ear, groups) = lab.host("a").run(|| {
        // The membership of a packet socket opens the filter only.
        let ear = PacketSocket::open(index, Vnet::No).unwrap();
        for group in [joined, other] {
            ear.accept_multicast(group).unwrap();
        }
        ear.set_filter(&Filter::unicast_to(&[joined, other]))
            .unwrap();
        let mut groups = Groups::open(index).unwrap();
        groups.join("239.1.2.3".parse().unwrap()).unwrap();
        (ear, groups)
    });
    let voice = lab
        .host("b")
        .run(|| UdpSocket::bind("192.0.2.2:5000").unwrap());
    // What arrives at a, of one datagram to each group.
    let arrived = || {
        let mut arrived = (false, false);
        for group in ["239.1.2.4:5000", "239.1.2.3:5000"] {
            voice.send_to(b"x", group).unwrap();
        }
        std::thread::sleep(Duration::from_millis(50));
        let mut buffer = [0; 128];
        while ear.recv(&mut buffer).is_ok() {
            arrived.0 |= buffer[..6] == joined.0;
            arrived.1 |= buffer[..6] == other.0;
        }
        arrived
    };
    assert_eq!(
        arrived(),
        (true, true),
        "a bridge that does not snoop floods"
    );
    lab.set_snooping(LAN, true).unwrap();
    assert!((0..200).any(|_| arrived() == (true, false)));
    drop(groups);
    assert!(
        (0..200).any(|_| arrived() == (false, false)),
        "nobody has asked for it any more"
    );
}
