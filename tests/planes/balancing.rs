//! Two hosts share the addresses of one carpN, by the asker or by the packet.

use super::support::frames::{Frame, echo_request};
use super::support::hosts::{Host, SOON, Segment, own_mac, until};
use super::support::scene::{SHARED, SHARED6, Scene};
use super::support::talk::{Service, who};
use carp::dataplane::share;
use carp::linux::clock;
use carp::wire::MacAddr;
use std::net::IpAddr;
use std::time::Duration;

/// What is told of the shared addresses with balancing ip.
const GROUP: MacAddr = MacAddr([1, 0, 0x5e, 0, 1, 1]);

/// carp1 with vhids 1 and 2, each host MASTER of its own.
fn shared(balancing: &str) -> (Scene, [Service; 2]) {
    let scene = Scene::bare();
    let services = [&scene.a, &scene.b].map(Service::on);
    divide(&scene.a, &scene.b, balancing);
    (scene, services)
}

fn divide(a: &Host, b: &Host, balancing: &str) {
    for (host, nodes) in [(a, "1:0,2:100"), (b, "1:100,2:0")] {
        host.ok("sysctl net.inet.carp.preempt=1");
        host.ok(&format!(
            "ifconfig carp1 carpnodes {nodes} balancing {balancing} pass secret carpdev eth0 {SHARED}/24"
        ));
        host.ok(&format!("ifconfig carp1 inet6 alias {SHARED6}/64"));
    }
    until_states(a, ["MASTER", "BACKUP"]);
    until_states(b, ["BACKUP", "MASTER"]);
}

#[track_caller]
fn until_states(host: &Host, states: [&str; 2]) {
    let shown = || host.ok("ifconfig carp1");
    let has = |text: &str| {
        (1..)
            .zip(states)
            .all(|(vhid, state)| text.contains(&format!("state {state} vhid {vhid} ")))
    };
    assert!(until(SOON, || has(&shown())), "{}: {}", host.name, shown());
}

/// Addresses that c has besides its own, eight of each family.
fn askers(c: &Host) -> Vec<(IpAddr, IpAddr)> {
    let mut pairs = Vec::new();
    for number in 100..108 {
        for (asker, length, shared) in [
            (format!("192.0.2.{number}"), 24, SHARED),
            (format!("2001:db8::{number}"), 64, SHARED6),
        ] {
            c.address("eth0", &format!("{asker}/{length}"));
            pairs.push((asker.parse().unwrap(), shared.parse().unwrap()));
        }
    }
    pairs
}

/// Who serves this asker.
fn served(c: &Host, (asker, shared): (IpAddr, IpAddr)) -> Option<String> {
    who(c, &shared.to_string(), Some(&asker.to_string())).ok()
}

/// Fails when a packet is served by another host than its addresses select, by both, or by none; or when the packets of a dead
/// host are not served by the other one.
fn packets_are_divided_and_the_survivor_has_all(balancing: &str, told: MacAddr) {
    let (scene, _services) = shared(balancing);
    let (a, b, c) = (&scene.a, &scene.b, &scene.c);
    let askers = askers(c);
    let mut shares = [0; 2];
    for (asker, shared) in &askers {
        let place = share(*asker, *shared, 2).unwrap();
        let name = ["a", "b"][place];
        let reached = || served(c, (*asker, *shared)).is_some_and(|served| served == name);
        assert!(
            until(SOON, reached),
            "{balancing}: {asker} is not served by {name}"
        );
        shares[place] += 1;
    }
    assert_eq!(shares, [8, 8]);
    for shared in [SHARED, SHARED6] {
        assert_eq!(c.neighbour("eth0", shared), Some(told), "{balancing}");
    }
    b.kill();
    until_states(a, ["MASTER", "MASTER"]);
    for pair in &askers {
        let reached = || served(c, *pair).is_some_and(|served| served == "a");
        assert!(
            until(SOON, reached),
            "{balancing}: {pair:?} is served by nobody"
        );
    }
}

fn by_a_multicast_mac_each_host_takes_its_packets() {
    packets_are_divided_and_the_survivor_has_all("ip", GROUP);
}

fn by_a_mac_that_no_switch_learns_each_host_takes_its_packets() {
    packets_are_divided_and_the_survivor_has_all("ip-stealth", MacAddr::of_vhid(1));
}

/// Fails when a packet that is another host's part is taken by the stack on the carpdev, or by the bridge that the carpdev is a
/// port of.
fn no_packet_is_answered_twice() {
    for (balancing, told) in [("ip", GROUP), ("ip-stealth", MacAddr::of_vhid(1))] {
        let segment = Segment::new();
        let a = Host::on(&segment, "a", 0x0a, &[]);
        bridge(&a);
        let b = Host::on(&segment, "b", 0x0b, &["192.0.2.12/24", "2001:db8::12/64"]);
        let c = Host::on(&segment, "c", 0x0c, &["192.0.2.13/24", "2001:db8::13/64"]);
        a.daemon();
        b.daemon();
        divide(&a, &b, balancing);
        let askers = askers(&c);
        let (wires, out) = ([a.sends("eth0"), b.sends("eth0")], c.outlet("eth0"));
        for (number, (asker, shared)) in (1..).zip(&askers) {
            let echo = echo_request((own_mac(0x0c), *asker), (told, *shared), 9, number);
            let mark = clock::now();
            out.send(&echo).unwrap();
            let reply = |f: &Frame| f.echo().is_some_and(|e| !e.request && e.seq == number);
            let place = share(*asker, *shared, 2).unwrap();
            wires[place].expect(mark, SOON, "reply", reply);
            let quiet = Duration::from_millis(20);
            wires[1 - place].silence(mark, quiet, &format!("{balancing}: a second reply"), reply);
        }
    }
}

/// eth0 becomes a port of br0, which has the addresses.
fn bridge(a: &Host) {
    a.net(|net| {
        let bridge = net.create_bridge("br0").unwrap();
        let port = net.link("eth0").unwrap().unwrap().index;
        net.set_mac(bridge, own_mac(0x0a)).unwrap();
        net.set_master(port, Some(bridge)).unwrap();
        net.set_up(bridge, true).unwrap();
    });
    a.address("br0", "192.0.2.11/24");
    a.address("br0", "2001:db8::11/64");
}

/// Fails when what is sent to the MAC of a vhost that is not the first does not reach carpN's own stack, or not by the host that
/// is MASTER of it.
fn askers_are_divided_and_the_survivor_has_all() {
    let (scene, _services) = shared("arp hash source");
    let (a, b, c) = (&scene.a, &scene.b, &scene.c);
    let askers: Vec<_> = askers(c)
        .into_iter()
        .filter(|(asker, _)| asker.is_ipv4())
        .collect();
    let told = |shared: IpAddr| c.neighbour("eth0", &shared.to_string());
    let forget = |shared: IpAddr| {
        c.net(|net| {
            let eth0 = net.link("eth0").unwrap().unwrap().index;
            let _ = net.del_neighbour(eth0, shared);
        });
    };
    for (place, pair) in askers.iter().enumerate() {
        forget(pair.1);
        let (name, vhid) = [("a", 1), ("b", 2)][place % 2];
        assert_eq!(served(c, *pair).as_deref(), Some(name), "{pair:?}");
        assert_eq!(told(pair.1), Some(MacAddr::of_vhid(vhid)), "{pair:?}");
    }
    // c goes on with the MAC of the dead host's vhid.
    b.kill();
    until_states(a, ["MASTER", "MASTER"]);
    let last = *askers.last().unwrap();
    assert_eq!(told(last.1), Some(MacAddr::of_vhid(2)));
    let reached = || served(c, last).is_some_and(|served| served == "a");
    assert!(until(SOON, reached));
    assert_eq!(told(last.1), Some(MacAddr::of_vhid(2)));
}

super::support::planes! {
    no_packet_is_answered_twice,
    by_a_multicast_mac_each_host_takes_its_packets,
    by_a_mac_that_no_switch_learns_each_host_takes_its_packets,
    askers_are_divided_and_the_survivor_has_all,
}
