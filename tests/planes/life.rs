//! A carpdev's life: renamed, moved away and back, and what its programs do elsewhere.

use super::VIRTUAL;
use super::support::frames::{Frame, echo_request};
use super::support::hosts::{Host, SOON, own_mac, until};
use super::support::plane::in_kernel;
use super::support::scene::{SHARED, Scene, join_numbered};
use super::support::talk::{Service, who};
use carp::linux::clock;
use carp::linux::netns::Namespace;
use std::os::fd::AsFd;
use std::time::Duration;

pub(super) fn rename(host: &Host, from: &str, to: &str) {
    host.net(|net| {
        let index = net.link(from).unwrap().unwrap().index;
        // Older kernels rename only what is down.
        net.set_up(index, false).unwrap();
        net.rename(index, to).unwrap();
        net.set_up(index, true).unwrap();
    });
}

/// Fails when the daemon keeps to the name: any word for carp1 would detach it, and a MASTER could not be made.
fn a_renamed_carpdev_is_followed() {
    let scene = Scene::bare();
    let a = &scene.a;
    let _service = Service::on(a);
    join_numbered(a, "eth0", 1, 0);
    a.master("carp1");
    assert_eq!(who(&scene.c, SHARED, None).unwrap(), "a");
    rename(a, "eth0", "lan0");
    let told = || a.ok("ifconfig carp1").contains(" carpdev lan0 vhid 1 ");
    assert!(until(SOON, told), "{}", a.ok("ifconfig carp1"));
    a.master("carp1");
    assert_eq!(who(&scene.c, SHARED, None).unwrap(), "a");
    a.ok("ifconfig carp1 advskew 10");
    assert_eq!(a.state("carp1"), "MASTER");
    assert!(
        a.said().contains("carpdev eth0 is called lan0 now\n"),
        "{}",
        a.said()
    );
    a.ok("ifconfig carp1 state backup");
    a.master("carp1");
    assert_eq!(who(&scene.c, SHARED, None).unwrap(), "a");
    // One that is lost under a new name is not taken for another one that is yet to come up.
    rename(a, "lan0", "wan0");
    let counts = |n: &str| until(SOON, || a.ok("ifconfig -g carp").ends_with(n));
    a.until_state("carp1", "BACKUP");
    assert!(counts(" 0\n"), "{}", a.said());
    let undemoted = || a.said().matches("undemoted group carp").count();
    let before = undemoted();
    a.net(|net| {
        net.delete(net.link("wan0").unwrap().unwrap().index)
            .unwrap()
    });
    a.until_state("carp1", "INIT");
    assert!(counts(" 1\n"), "{}", a.said());
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(undemoted(), before, "{}", a.said());
}

/// Fails when programs that went along hand frames to whatever has carp1's index there, or when it is not taken back.
fn a_carpdev_in_another_namespace_serves_nobody_until_it_returns() {
    let scene = Scene::bare();
    let a = &scene.a;
    let _service = Service::on(a);
    join_numbered(a, "eth0", 1, 0);
    a.master("carp1");
    assert_eq!(who(&scene.c, SHARED, None).unwrap(), "a");
    let from_a = a.sends("eth0");
    let elsewhere = Namespace::new().unwrap();
    let index = a.index("eth0");
    a.net(|net| net.set_netns(index, elsewhere.as_fd()).unwrap());
    a.until_state("carp1", "INIT");
    // Past the linger.
    std::thread::sleep(Duration::from_millis(300));
    let moved = elsewhere.run(|| {
        let net = carp::linux::netlink::Netlink::open().unwrap();
        let index = net.link("eth0").unwrap().unwrap().index;
        net.set_up(index, true).unwrap();
        index
    });
    let mark = clock::now();
    let client = (own_mac(0x0c), "192.0.2.13".parse().unwrap());
    let echo = echo_request(client, (VIRTUAL, SHARED.parse().unwrap()), 7, 1);
    for _ in 0..10 {
        a.inlet("eth0").send(&echo).unwrap();
    }
    let owns = |f: &Frame| f.src() == VIRTUAL || f.echo().is_some_and(|e| !e.request);
    from_a.silence(
        mark,
        Duration::from_millis(300),
        "it serves from elsewhere",
        owns,
    );
    let back = a.place.as_fd();
    elsewhere.run(|| {
        let net = carp::linux::netlink::Netlink::open().unwrap();
        net.set_netns(moved, back).unwrap();
    });
    a.net(|net| {
        net.set_up(net.link("eth0").unwrap().unwrap().index, true)
            .unwrap()
    });
    a.address("eth0", "192.0.2.11/24");
    a.until_state("carp1", "BACKUP");
    a.master("carp1");
    assert!(until(SOON, || who(&scene.c, SHARED, None)
        .is_ok_and(|name| name == "a")));
}

/// Fails when a group adds a socket whose filter runs for frames of its carpdev, or when one hears frames that the programs take
/// away.
fn a_frame_of_the_carpdev_costs_the_same_however_many_groups() {
    let scene = Scene::bare();
    let a = &scene.a;
    let listeners = |of: &str| {
        let carpdev = a.index("eth0").to_string();
        let read = || std::fs::read_to_string("/proc/thread-self/net/packet").unwrap();
        let sockets = a.place.run(read);
        let lines = sockets.lines().map(|line| line.split_whitespace());
        // Protocol and interface are the fourth and the fifth word.
        let here = lines.filter(|line| line.clone().nth(4) == Some(&carpdev));
        here.filter(|line| line.clone().nth(3) == Some(of)).count()
    };
    // As linux/if_ether.h has them: advertisements, ARP and solicitations; the copier hears all of it on the wire, and its data.
    let (every, four, arp, six) = ("0003", "0800", "0806", "86dd");
    let expected = if in_kernel() {
        [0, 1, 1, 2]
    } else {
        [3, 0, 0, 0]
    };
    for number in 1..=5 {
        join_numbered(a, "eth0", number, 0);
        a.master(&format!("carp{number}"));
        let found = [every, four, arp, six].map(listeners);
        assert_eq!(found, expected, "with {number} groups");
    }
}

super::support::planes! {
    a_frame_of_the_carpdev_costs_the_same_however_many_groups,
    a_renamed_carpdev_is_followed,
    a_carpdev_in_another_namespace_serves_nobody_until_it_returns,
}
