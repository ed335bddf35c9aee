//! The copying data plane while interfaces come, go down and vanish under it: it goes on, and it does not spin.
#![allow(clippy::unwrap_used)]

mod site;

use carp::dataplane::{Gate, Port};
use carp::linux::packet::{PacketSocket, Vnet};
use carp::wire::MacAddr;
use site::{C, LAST, Site, T, numbered, numbers, settle};
use std::time::{Duration, Instant};

const V1: MacAddr = MacAddr::of_vhid(1);
const V2: MacAddr = MacAddr::of_vhid(2);

/// How often the thread woke in a while in which nothing happened.
fn idle_wakeups(site: &Site) -> u64 {
    settle();
    let before = site.copier.wakeups();
    std::thread::sleep(Duration::from_millis(200));
    site.copier.wakeups() - before
}

fn passes(site: &Site, name: &str, mac: MacAddr) {
    let (client, carp) = (
        site.socket("c", "eth0", &[]),
        site.socket("a", name, &[mac]),
    );
    let third = site.socket("t", "eth0", &[T]);
    client.send(&numbered(mac, C, LAST)).unwrap();
    assert_eq!(numbers(&carp), [0; 0]);
    carp.send(&numbered(T, mac, LAST)).unwrap();
    assert_eq!(numbers(&third), [0; 0]);
}

#[test]
fn a_removed_port_frees_its_tap_and_leaves_the_others_alone() {
    let site = Site::new();
    let (one, two) = (site.port("carp1", 1, &[]), site.port("carp2", 2, &[]));
    site.gate(&one, Gate::Open);
    site.gate(&two, Gate::Open);
    passes(&site, "carp1", V1);
    site.copier.remove_port(one.id);
    assert_eq!(site.copier.counters(one.id), None);
    let until = Instant::now() + Duration::from_secs(1);
    while site.netlink("a", |netlink| netlink.link("carp1").unwrap().is_some()) {
        assert!(Instant::now() < until, "carp1 stays");
    }
    passes(&site, "carp2", V2);
    // Orders for what is gone do nothing.
    site.gate(&one, Gate::Open);
    site.copier.change_port(one.clone());
    site.copier.remove_port(one.id);
    assert_eq!(idle_wakeups(&site), 0);
    let again = site.port("carp1", 1, &[]);
    site.gate(&again, Gate::Open);
    passes(&site, "carp1", V1);
}

#[test]
fn the_end_of_the_copier_closes_all() {
    let site = Site::new();
    let port = site.port("carp1", 1, &[]);
    site.gate(&port, Gate::Open);
    passes(&site, "carp1", V1);
    let Site { lab, copier, .. } = site;
    drop(copier);
    lab.host("a").run(|| {
        let netlink = carp::linux::netlink::Netlink::open().unwrap();
        assert_eq!(netlink.link("carp1").unwrap(), None);
    });
}

#[test]
fn a_carpdev_may_go_down_and_come_back() {
    let site = Site::new();
    let port = site.port("carp1", 1, &[]);
    site.gate(&port, Gate::Open);
    let carp = site.socket("a", "carp1", &[]);
    for _ in 0..3 {
        passes(&site, "carp1", V1);
        site.netlink("a", |netlink| netlink.set_up(site.carpdev, false).unwrap());
        let before = site.copier.counters(port.id).unwrap().out_drops;
        carp.send(&numbered(T, V1, 1)).unwrap();
        assert_eq!(idle_wakeups(&site), 0);
        assert_eq!(site.copier.counters(port.id).unwrap().out_drops, before + 1);
        site.netlink("a", |netlink| netlink.set_up(site.carpdev, true).unwrap());
        site::wake_links(&site.lab);
    }
    passes(&site, "carp1", V1);
}

#[test]
fn a_deleted_carpdev_is_no_work_and_a_port_may_move_to_another() {
    let mut site = Site::new();
    let port = site.port("carp1", 1, &[]);
    site.gate(&port, Gate::Open);
    passes(&site, "carp1", V1);
    let carp = site.socket("a", "carp1", &[]);
    site.netlink("a", |netlink| netlink.delete(site.carpdev).unwrap());
    assert_eq!(idle_wakeups(&site), 0);
    let drops = || site.copier.counters(port.id).unwrap().out_drops;
    let before = drops();
    carp.send(&numbered(T, V1, 1)).unwrap();
    settle();
    assert_eq!(drops(), before + 1);
    site.copier.remove_carpdev(site.carpdev);
    carp.send(&numbered(T, V1, 1)).unwrap();
    settle();
    assert_eq!(drops(), before + 2);

    let other = MacAddr([2, 0, 0, 0, 1, 1]);
    let index = site::second_cable(&mut site, other);
    let (member, data) = site.lab.host("a").run(|| {
        let open = |vnet| PacketSocket::open(index, vnet).unwrap();
        (open(Vnet::No), open(Vnet::Yes))
    });
    member.accept_unicast(V1).unwrap();
    site.copier.add_carpdev(index, other, data);
    site.copier.change_port(Port {
        carpdev: index,
        ..port
    });
    passes(&site, "carp1", V1);
}

#[test]
fn a_deleted_or_downed_carpn_is_a_drop() {
    let site = Site::new();
    let (one, two) = (site.port("carp1", 1, &[]), site.port("carp2", 2, &[]));
    site.gate(&one, Gate::Open);
    site.gate(&two, Gate::Open);
    let client = site.socket("c", "eth0", &[]);
    let drops = |port: &Port| site.copier.counters(port.id).unwrap().in_drops;
    site.netlink("a", |netlink| netlink.set_up(one.id, false).unwrap());
    client.send(&numbered(V1, C, 1)).unwrap();
    assert_eq!(idle_wakeups(&site), 0);
    assert_eq!(drops(&one), 1);
    site.netlink("a", |netlink| netlink.set_up(one.id, true).unwrap());
    passes(&site, "carp1", V1);
    site.netlink("a", |netlink| netlink.delete(one.id).unwrap());
    assert_eq!(idle_wakeups(&site), 0);
    client.send(&numbered(V1, C, 1)).unwrap();
    settle();
    assert_eq!(drops(&one), 2);
    passes(&site, "carp2", V2);
}

/// T14: what a shut port sends is taken from the TAP, or the thousandth frame would block those after it.
#[test]
fn a_tap_that_may_not_send_does_not_fill() {
    let site = Site::new();
    let port = site.port("carp1", 1, &[]);
    let (carp, third) = (
        site.socket("a", "carp1", &[]),
        site.socket("t", "eth0", &[T]),
    );
    site.gate(&port, Gate::Shut);
    for round in 1..=30 {
        for _ in 0..100 {
            carp.send(&numbered(T, V1, 1)).unwrap();
        }
        let until = Instant::now() + Duration::from_secs(2);
        while site.copier.counters(port.id).unwrap().out_drops < round * 100 {
            assert!(
                Instant::now() < until,
                "{:?}",
                site.copier.counters(port.id)
            );
        }
    }
    site.gate(&port, Gate::Open);
    carp.send(&numbered(T, V1, LAST)).unwrap();
    assert_eq!(numbers(&third), [0; 0]);
}

/// T14: fails when the gate leaves in the TAP what the copier had no time to drop before.
#[test]
fn what_waits_in_the_tap_when_a_gate_opens_inward_never_leaves() {
    let site = Site::new();
    let port = site.port("carp1", 1, &[]);
    let (carp, third) = (
        site.socket("a", "carp1", &[]),
        site.socket("t", "eth0", &[T]),
    );
    for _ in 0..40 {
        site.gate(&port, Gate::Shut);
        (0..300).for_each(|_| drop(carp.send(&numbered(T, V1, 1))));
        site.gate(&port, Gate::Inward);
        // A frame that the copier was about to drop is dropped.
        std::thread::sleep(Duration::from_millis(10));
        site.gate(&port, Gate::Open);
        carp.send(&numbered(T, V1, LAST)).unwrap();
        assert_eq!(numbers(&third), [0; 0]);
    }
}

/// The same vhid, hence the same MAC, on two carpdevs.
#[test]
fn one_mac_on_two_carpdevs_is_two_ports() {
    let mut site = Site::new();
    let one = site.port("carp1", 1, &[]);
    site.gate(&one, Gate::Open);
    site.lab.add_segment("wan").unwrap();
    let wan = site
        .lab
        .connect("a", "wan", MacAddr([2, 0, 0, 0, 1, 1]), &[])
        .unwrap();
    site.lab
        .connect("c", "wan", MacAddr([2, 0, 0, 0, 1, 3]), &[])
        .unwrap();
    site::wake_links(&site.lab);
    let data = site
        .lab
        .host("a")
        .run(|| PacketSocket::open(wan.index, Vnet::Yes).unwrap());
    site.copier.add_carpdev(wan.index, wan.mac, data);
    let two = site.port("carp2", 1, &[]);
    site.copier.change_port(Port {
        carpdev: wan.index,
        ..two.clone()
    });
    site.gate(&two, Gate::Open);
    let (carp1, carp2) = (
        site.socket("a", "carp1", &[V1]),
        site.socket("a", "carp2", &[V1]),
    );
    for (interface, number) in [("eth0", 1), ("eth1", 2), ("eth0", LAST), ("eth1", LAST)] {
        site.socket("c", interface, &[])
            .send(&numbered(V1, C, number))
            .unwrap();
    }
    assert_eq!(numbers(&carp1), [1]);
    assert_eq!(numbers(&carp2), [2]);
}
