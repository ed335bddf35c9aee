//! ARP and neighbour discovery for the shared addresses.

use crate::rig::{CARPDEV, Host, V4, V6, arp_request, parent, solicitation};
use carp::carp::config::Carpdev;
use carp::carp::{Input, Parent};
use carp::wire::{Frame, MacAddr, arp, frame, nd};
use std::net::{Ipv4Addr, Ipv6Addr};

const CLIENT: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
const VIRTUAL: MacAddr = MacAddr([0, 0, 0x5e, 0, 1, 1]);

fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

#[test]
fn a_master_answers_with_the_virtual_mac_in_both_places() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    assert_eq!(host.frame(at, &arp_request("192.0.2.10")).len(), 1);
    let (carpdev, _, bytes) = &host.frames[0];
    assert_eq!(*carpdev, CARPDEV);
    let Frame::Arp(reply) = frame::parse(bytes).unwrap() else {
        panic!()
    };
    let expected = arp::Packet {
        src_mac: VIRTUAL,
        dst_mac: CLIENT,
        operation: arp::Operation::Reply,
        sender_mac: VIRTUAL,
        sender_ip: v4("192.0.2.10"),
        target_mac: CLIENT,
        target_ip: v4("192.0.2.9"),
    };
    assert_eq!(reply, expected);
}

#[test]
fn nobody_but_the_master_answers_and_only_for_what_is_shared() {
    let mut backup = Host::backup(&[V4, V6], 1, 0);
    assert!(backup.frame(1.0, &arp_request("192.0.2.10")).is_empty());
    assert!(backup.frame(1.0, &solicitation("2001:db8::10")).is_empty());
    let (mut host, at) = Host::master(&[V4, V6], 1, 0);
    assert!(host.frame(at, &arp_request("192.0.2.11")).is_empty());
    assert!(
        host.frame(at, &arp_request("192.0.2.1")).is_empty(),
        "carpdev's own is the kernel's"
    );
    assert!(host.frame(at, &solicitation("2001:db8::11")).is_empty());
    let elsewhere = arp_request("192.0.2.10");
    assert!(
        host.input(
            at,
            Input::Frame {
                carpdev: Carpdev(3),
                bytes: &elsewhere
            }
        )
        .is_empty()
    );
    assert_eq!(host.engine.stats().answers, 0);
}

#[test]
fn noise_gets_no_answer() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    let shared = v4("192.0.2.10");
    // What every FreeBSD BACKUP sends to a gratuitous request, from its physical MAC.
    let freebsd = arp::Packet {
        src_mac: CLIENT,
        dst_mac: VIRTUAL,
        operation: arp::Operation::Reply,
        sender_mac: CLIENT,
        sender_ip: shared,
        target_mac: VIRTUAL,
        target_ip: shared,
    };
    let strangers = arp::Packet {
        dst_mac: MacAddr([2, 0, 0, 0, 0, 7]),
        ..asked(v4("192.0.2.9"), shared)
    };
    let own = arp::Packet {
        src_mac: VIRTUAL,
        sender_mac: VIRTUAL,
        ..asked(v4("192.0.2.9"), shared)
    };
    for packet in [freebsd, strangers, own] {
        assert!(host.frame(at, &packet.emit()).is_empty(), "{packet}");
    }
    assert!(host.frame(at, &arp::gratuitous(CLIENT, shared)).is_empty());
    assert_eq!(host.timeout(), Some(at + 1000.0));
}

fn asked(sender: Ipv4Addr, target: Ipv4Addr) -> arp::Packet {
    arp::Packet {
        src_mac: CLIENT,
        dst_mac: MacAddr::BROADCAST,
        operation: arp::Operation::Request,
        sender_mac: CLIENT,
        sender_ip: sender,
        target_mac: MacAddr::ZERO,
        target_ip: target,
    }
}

#[test]
fn probes_and_unicast_requests_are_answered() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    let shared = v4("192.0.2.10");
    let probe = asked(Ipv4Addr::UNSPECIFIED, shared);
    let answer = "arp 192.0.2.10 is-at 00:00:5e:00:01:01 to 02:00:00:00:00:09";
    assert_eq!(host.frame(at, &probe.emit()), [answer]);
    for dst_mac in [VIRTUAL, parent().mac] {
        let unicast = arp::Packet {
            dst_mac,
            ..asked(v4("192.0.2.9"), shared)
        };
        assert_eq!(host.frame(at, &unicast.emit()), [answer]);
    }
}

#[test]
fn solicitations_are_answered_by_rfc_4861() {
    let (mut host, at) = Host::master(&[V4, V6], 1, 0);
    assert_eq!(
        host.frame(at, &solicitation("2001:db8::10")),
        ["na 2001:db8::10 to fe80::9"]
    );
    let Frame::NeighbourAdvertisement(na) = frame::parse(&host.frames[0].2).unwrap() else {
        panic!()
    };
    assert_eq!(
        (na.src_mac, na.dst_mac, na.src),
        (VIRTUAL, CLIENT, v6("2001:db8::10"))
    );
    assert_eq!(
        (na.solicited, na.overriding, na.router),
        (true, true, false)
    );
    assert_eq!(na.target_link_layer, Some(VIRTUAL));
}

#[test]
fn a_unicast_solicitation_is_answered() {
    let (mut host, at) = Host::master(&[V6], 1, 0);
    let unicast = nd::Solicitation {
        dst_mac: VIRTUAL,
        dst: v6("2001:db8::10"),
        ..nd::Solicitation::multicast(CLIENT, v6("fe80::9"), v6("2001:db8::10"))
    };
    assert_eq!(
        host.frame(at, &unicast.emit()),
        ["na 2001:db8::10 to fe80::9"]
    );
}

#[test]
fn a_probe_for_a_duplicate_is_answered_to_all_nodes() {
    let (mut host, at) = Host::master(&[V6], 1, 0);
    let probe = nd::Solicitation::multicast(CLIENT, Ipv6Addr::UNSPECIFIED, v6("2001:db8::10"));
    assert_eq!(host.frame(at, &probe.emit()), ["na 2001:db8::10"]);
    let Frame::NeighbourAdvertisement(na) = frame::parse(&host.frames[0].2).unwrap() else {
        panic!()
    };
    assert_eq!(
        (na.dst, na.dst_mac),
        (v6("ff02::1"), MacAddr([0x33, 0x33, 0, 0, 0, 1]))
    );
    assert!(!na.solicited && na.overriding);
}

#[test]
fn a_router_says_so() {
    let (mut host, at) = Host::master(&[V6], 1, 0);
    host.parent(
        at,
        Some(Parent {
            router: true,
            ..parent()
        }),
    );
    host.frame(at, &solicitation("2001:db8::10"));
    let Frame::NeighbourAdvertisement(na) = frame::parse(&host.frames[0].2).unwrap() else {
        panic!()
    };
    assert!(na.router);
}
