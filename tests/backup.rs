//! A BACKUP owns nothing of the shared address.
#![allow(clippy::unwrap_used)]

mod support;

use carp::linux::clock;
use carp::linux::netlink::NeighbourState;
use carp::wire::MacAddr;
use std::net::IpAddr;
use std::time::Duration;
use support::frames::{Frame, arp_request, echo_request, solicitation};
use support::hosts::{SOON, own_mac};
use support::scene::{SHARED, SHARED6, Scene};
use support::talk::{Service, who};

const VIRTUAL: MacAddr = MacAddr::of_vhid(1);

/// Every question about the shared addresses that a host can be asked, as frames from a stranger at its own port.
fn questions(own: MacAddr) -> Vec<(&'static str, Vec<u8>)> {
    let (stranger, v4, v6) = (
        own_mac(0x77),
        "192.0.2.77".parse().unwrap(),
        "2001:db8::77".parse().unwrap(),
    );
    let (shared, shared6) = (SHARED.parse().unwrap(), SHARED6.parse().unwrap());
    let echo = |to, ip: &str, seq| {
        let ip: IpAddr = ip.parse().unwrap();
        let from = if ip.is_ipv4() {
            IpAddr::V4(v4)
        } else {
            IpAddr::V6(v6)
        };
        echo_request((stranger, from), (to, ip), 0x77, seq)
    };
    vec![
        (
            "ARP request, broadcast",
            arp_request((stranger, v4), shared, MacAddr::BROADCAST),
        ),
        (
            "ARP request to the virtual MAC",
            arp_request((stranger, v4), shared, VIRTUAL),
        ),
        (
            "ARP request to the own MAC",
            arp_request((stranger, v4), shared, own),
        ),
        ("solicitation", solicitation((stranger, v6), shared6, None)),
        (
            "solicitation to the virtual MAC",
            solicitation((stranger, v6), shared6, Some(VIRTUAL)),
        ),
        (
            "solicitation to the own MAC",
            solicitation((stranger, v6), shared6, Some(own)),
        ),
        ("echo request to the virtual MAC", echo(VIRTUAL, SHARED, 1)),
        (
            "echo request to the virtual MAC, IPv6",
            echo(VIRTUAL, SHARED6, 2),
        ),
        (
            "echo request to the own address and the virtual MAC",
            echo(VIRTUAL, "192.0.2.12", 3),
        ),
        (
            "echo request to the own address and the virtual MAC, IPv6",
            echo(VIRTUAL, "2001:db8::12", 4),
        ),
    ]
}

/// What an owner sends.
fn owns(frame: &Frame) -> bool {
    frame.claims(SHARED.parse().unwrap())
        || frame.claims(SHARED6.parse().unwrap())
        || frame.src() == VIRTUAL
        || frame.echo().is_some_and(|e| !e.request)
}

fn it_answers_nothing_that_a_master_answers() {
    let scene = Scene::new();
    let (from_a, from_b) = (scene.a.sends("eth0"), scene.b.sends("eth0"));
    let (to_a, to_b) = (scene.a.inlet("eth0"), scene.b.inlet("eth0"));
    // Both kernels know the stranger, so that nothing but ownership decides whether it is answered.
    for host in [&scene.a, &scene.b] {
        host.net(|net| {
            let eth0 = net.link("eth0").unwrap().unwrap().index;
            for ip in ["192.0.2.77", "2001:db8::77"] {
                net.replace_neighbour(
                    eth0,
                    ip.parse().unwrap(),
                    own_mac(0x77),
                    NeighbourState::Permanent,
                )
                .unwrap();
            }
        });
    }
    // The same questions at the MASTER's port show that they can be answered.
    for (what, frame) in questions(own_mac(0x0a))
        .iter()
        .filter(|(what, _)| !what.contains("own"))
    {
        let mark = clock::now();
        to_a.send(frame).unwrap();
        let answer = |f: &Frame| owns(f) && f.dst() == own_mac(0x77);
        from_a.expect(
            mark,
            SOON,
            &format!("answer of the MASTER to: {what}"),
            answer,
        );
    }
    let mark = clock::now();
    for (what, frame) in questions(own_mac(0x0b)) {
        let asked = clock::now();
        to_b.send(&frame).unwrap();
        from_b.silence(
            asked,
            Duration::from_millis(200),
            &format!("the BACKUP answered: {what}"),
            owns,
        );
    }
    assert_eq!(scene.b.state("carp1"), "BACKUP");
    from_b.silence(mark, Duration::ZERO, "the BACKUP sent as an owner", owns);
}

fn it_has_no_shared_address_and_no_carrier() {
    let scene = Scene::new();
    for shared in [SHARED, SHARED6] {
        assert!(
            scene.a.has_address("carp1", shared),
            "the MASTER has {shared}"
        );
        assert!(
            !scene.b.has_address("carp1", shared),
            "the BACKUP has {shared}"
        );
        assert!(!scene.b.has_address("eth0", shared));
    }
    assert_eq!(scene.a.carrier("carp1"), Some(true));
    assert_eq!(scene.b.carrier("carp1"), Some(false), "NO-CARRIER");
    assert!(
        scene.b.net(|net| net.link("carp1").unwrap().unwrap().up),
        "and UP"
    );
    // The daemon prints what the kernel does not have.
    let shown = scene.b.ok("ifconfig carp1");
    assert!(
        shown.contains("\tinet 192.0.2.1 netmask 0xffffff00 broadcast 192.0.2.255\n"),
        "{shown}"
    );
    assert!(
        shown.contains("\tinet6 2001:db8::1 prefixlen 64\n"),
        "{shown}"
    );
}

fn it_reaches_the_shared_address_over_the_wire() {
    let scene = Scene::new();
    let (_a, _b) = (Service::on(&scene.a), Service::on(&scene.b));
    let from_b = scene.b.sends("eth0");
    for shared in [SHARED, SHARED6] {
        let mark = clock::now();
        assert_eq!(who(&scene.b, shared, None).unwrap(), "a", "{shared}");
        let over =
            |f: &Frame| f.dst() == VIRTUAL && f.ip_destination() == Some(shared.parse().unwrap());
        let frame = from_b.expect(
            mark,
            SOON,
            "packet of the BACKUP to the shared address",
            over,
        );
        assert_eq!(frame.src(), own_mac(0x0b));
    }
}

support::planes! {
    it_answers_nothing_that_a_master_answers,
    it_has_no_shared_address_and_no_carrier,
    it_reaches_the_shared_address_over_the_wire,
}
