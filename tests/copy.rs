//! The copying data plane: what passes, asserted by the frames at carpN and at another host.
#![allow(clippy::unwrap_used)]

mod site;

use carp::dataplane::{Gate, Port, Vhost};
use carp::linux::clock;
use carp::linux::filter::{Filter, Vantage};
use carp::wire::MacAddr;
use site::{A, C, LAST, Site, T, frame, ipv4, ipv6, numbered, numbers, settle, tagged, until_last};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

const V1: MacAddr = MacAddr::of_vhid(1);
const V2: MacAddr = MacAddr::of_vhid(2);

#[test]
fn each_gate_lets_pass_what_it_says() {
    let site = Site::new();
    let port = site.port("carp1", 1, &[]);
    let (client, carp) = (
        site.socket("c", "eth0", &[]),
        site.socket("a", "carp1", &[V1]),
    );
    let third = site.socket("t", "eth0", &[T]);
    for (number, gate) in [
        (1, Gate::Shut),
        (2, Gate::Inward),
        (3, Gate::Open),
        (4, Gate::Yielded),
        (5, Gate::Shut),
    ] {
        site.gate(&port, gate);
        client.send(&numbered(V1, C, number)).unwrap();
        carp.send(&numbered(T, V1, number)).unwrap();
        settle();
    }
    site.gate(&port, Gate::Open);
    client.send(&numbered(V1, C, LAST)).unwrap();
    carp.send(&numbered(T, V1, LAST)).unwrap();
    assert_eq!(numbers(&carp), [2, 3, 4]);
    let left: Vec<(u8, Vec<u8>)> = until_last(&third)
        .into_iter()
        .map(|frame| (*frame.last().unwrap(), frame[6..12].to_vec()))
        .collect();
    // What was sent while the gate was open inwards has waited.
    assert_eq!(
        left,
        [(2, V1.0.to_vec()), (3, V1.0.to_vec()), (4, A.0.to_vec())]
    );
    let counters = site.copier.counters(port.id).unwrap();
    assert_eq!(
        (counters.in_frames, counters.in_bytes, counters.in_drops),
        (4, 240, 0)
    );
    assert_eq!(
        (counters.out_frames, counters.out_bytes, counters.out_drops),
        (4, 240, 2)
    );
}

#[test]
fn a_yielded_port_sends_nothing_about_the_link_and_carpdevs_mac() {
    let site = Site::new();
    let port = site.port("carp1", 1, &[]);
    let (carp, third) = (
        site.socket("a", "carp1", &[]),
        site.socket("t", "eth0", &[T]),
    );
    let mut link = vec![frame(T, V1, 0x0806, &[0; 28]), ipv4(T, V1, 2)];
    for kind in [130u8, 131, 132, 133, 134, 135, 136, 137, 143] {
        link.push(ipv6(T, V1, 58, &[&[kind][..], &[0; 23]].concat()));
        link.push(ipv6(
            T,
            V1,
            0,
            &[&[58, 0, 5, 2, 0, 0, 1, 0, kind][..], &[0; 23]].concat(),
        ));
    }
    let data = [
        ipv6(T, V1, 58, &[128; 24]),
        ipv6(T, V1, 17, &[0; 24]),
        ipv4(T, V1, 17),
    ];
    let send_all = |end: u8| {
        link.iter()
            .chain(&data)
            .for_each(|frame| carp.send(frame).unwrap());
        carp.send(&numbered(T, V1, end)).unwrap();
    };

    site.gate(&port, Gate::Open);
    send_all(LAST);
    let open = until_last(&third);
    assert_eq!(open.len(), link.len() + data.len());
    assert!(open.iter().all(|frame| frame[6..12] == V1.0));

    site.gate(&port, Gate::Yielded);
    let moved = MacAddr([2, 0, 0, 0, 9, 9]);
    for mac in [A, moved] {
        site.copier.carpdev_mac(site.carpdev, mac);
        send_all(LAST);
        let expected: Vec<Vec<u8>> = data
            .iter()
            .map(|frame| [&frame[..6], &mac.0, &frame[12..]].concat())
            .collect();
        assert_eq!(until_last(&third), expected);
    }
}

#[test]
fn questions_about_shared_addresses_and_broadcasts_never_reach_carpn() {
    let site = Site::new();
    let port = site.port("carp1", 1, &[]);
    let (shared4, other4) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
    let (shared6, other6): (Ipv6Addr, Ipv6Addr) = (
        "2001:db8::1".parse().unwrap(),
        "2001:db8::2".parse().unwrap(),
    );
    site.copier.change_port(Port {
        shared: vec![IpAddr::V4(shared4), IpAddr::V6(shared6)],
        ..port.clone()
    });
    site.gate(&port, Gate::Open);
    let (client, carp) = (
        site.socket("c", "eth0", &[]),
        site.socket("a", "carp1", &[V1]),
    );
    let group = site.socket("a", "carp1", &[]);
    group
        .set_filter(&Filter::neighbours(Vantage::Wire, &[other4], &[other6]))
        .unwrap();
    let arp = |to, operation: u8, target: Ipv4Addr| {
        let body = [
            &[0, 1, 8, 0, 6, 4, 0, operation],
            &[0; 16][..],
            &target.octets(),
            &[0; 17],
            &[operation],
        ]
        .concat();
        frame(to, C, 0x0806, &body)
    };
    let icmp = |to, kind: u8, target: Ipv6Addr| {
        let body = [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &target.octets(), &[kind]].concat();
        ipv6(to, C, 58, &body)
    };
    for sent in [
        arp(V1, 1, shared4),
        icmp(V1, 135, shared6),
        arp(MacAddr::BROADCAST, 1, shared4),
        arp(MacAddr::BROADCAST, 1, other4),
        icmp(MacAddr([0x33, 0x33, 0xff, 0, 0, 2]), 135, other6),
        numbered(MacAddr::BROADCAST, C, 9),
        numbered(A, C, 9),
        numbered(T, C, 9),
        arp(V1, 2, shared4),
        icmp(V1, 136, shared6),
        icmp(V1, 135, other6),
        numbered(V1, C, LAST),
    ] {
        client.send(&sent).unwrap();
    }
    assert_eq!(numbers(&carp), [2, 136, 135]);
    // What has come to carpN as broadcast or multicast would be in this queue; the unicast solicitation is.
    assert_eq!(site::next(&group).unwrap()[..6], V1.0);
    assert!(group.recv(&mut [0; 128]).is_err());
}

#[test]
fn tagged_frames_pass_in_neither_direction_priority_tags_come_in() {
    let site = Site::new();
    let port = site.port("carp1", 1, &[]);
    site.gate(&port, Gate::Open);
    let (client, carp) = (
        site.socket("c", "eth0", &[]),
        site.socket("a", "carp1", &[V1]),
    );
    let third = site.socket("t", "eth0", &[T]);
    for (number, protocol, tag) in [
        (1, 0x8100, 10),
        (2, 0x8100, 0),
        (3, 0x8100, 0xa000),
        (4, 0x88a8, 10),
        (5, 0x88a8, 0),
    ] {
        client
            .send(&tagged(&numbered(V1, C, number), protocol, tag))
            .unwrap();
        carp.send(&tagged(&numbered(T, V1, number), protocol, tag))
            .unwrap();
    }
    client.send(&numbered(V1, C, LAST)).unwrap();
    carp.send(&numbered(T, V1, LAST)).unwrap();
    assert_eq!(numbers(&carp), [2, 3]);
    assert_eq!(numbers(&third), [0; 0]);
}

#[test]
fn a_lease_ends_the_service_by_itself_and_a_new_one_begins_it_again() {
    let site = Site::new();
    let port = site.port("carp1", 1, &[]);
    let (client, carp) = (
        site.socket("c", "eth0", &[]),
        site.socket("a", "carp1", &[V1]),
    );
    let third = site.socket("t", "eth0", &[T]);
    let send = |number| {
        client.send(&numbered(V1, C, number)).unwrap();
        carp.send(&numbered(T, V1, number)).unwrap();
        settle();
    };
    site.gate(&port, Gate::Open);
    site.copier
        .set_lease(port.id, 1, clock::now() + Duration::from_millis(400));
    send(1);
    std::thread::sleep(Duration::from_millis(400));
    send(2);
    site.copier
        .set_lease(port.id, 1, clock::now() + Duration::from_secs(60));
    send(3);
    send(LAST);
    assert_eq!(numbers(&carp), [1, 3]);
    assert_eq!(numbers(&third), [1, 3]);
}

/// Not one frame more after `set_gate` has returned, under a stream of frames in both directions.
#[test]
fn a_gate_is_shut_when_the_call_returns() {
    let site = Site::new();
    let port = site.port("carp1", 1, &[]);
    let (client, carp) = (
        site.socket("c", "eth0", &[]),
        site.socket("a", "carp1", &[]),
    );
    let until = Instant::now() + Duration::from_secs(1);
    let mut late = Vec::new();
    std::thread::scope(|scope| {
        for (socket, bytes) in [(&client, numbered(V1, C, 1)), (&carp, numbered(T, V1, 1))] {
            scope.spawn(move || {
                while Instant::now() < until {
                    (0..20).for_each(|_| drop(socket.send(&bytes)));
                    std::thread::sleep(Duration::from_micros(50));
                }
            });
        }
        while Instant::now() < until {
            site.gate(&port, Gate::Open);
            std::thread::sleep(Duration::from_millis(2));
            let since = Instant::now();
            site.gate(&port, Gate::Shut);
            let took = since.elapsed();
            let then = site.copier.counters(port.id).unwrap();
            std::thread::sleep(Duration::from_millis(2));
            let later = site.copier.counters(port.id).unwrap();
            // A machine that lets the copier wait in the middle of a write for so long makes the call give up.
            if took < Duration::from_millis(5)
                && (then.in_frames, then.out_frames) != (later.in_frames, later.out_frames)
            {
                late.push((took, then, later));
            }
        }
    });
    assert!(late.is_empty(), "{late:#?}");
    let carried = site.copier.counters(port.id).unwrap();
    assert!(
        carried.in_frames.min(carried.out_frames) > 100,
        "{carried:?}"
    );
}

#[test]
fn a_backup_is_not_woken_by_data() {
    let site = Site::new();
    let (backup, master) = (site.port("carp1", 1, &[]), site.port("carp2", 2, &[]));
    let client = site.socket("c", "eth0", &[]);
    let woken = |mac| {
        settle();
        let before = site.copier.wakeups();
        for _ in 0..200 {
            client.send(&numbered(mac, C, 1)).unwrap();
        }
        settle();
        site.copier.wakeups() - before
    };
    assert_eq!(woken(V1), 0);
    site.gate(&backup, Gate::Open);
    assert!(woken(V1) > 0);
    site.gate(&backup, Gate::Shut);
    site.gate(&master, Gate::Open);
    assert_eq!(woken(V1), 0);
    assert!(woken(V2) > 0);
    assert_eq!(woken(T) + woken(A) + woken(MacAddr::BROADCAST), 0);
    assert_eq!(site.copier.counters(backup.id).unwrap().in_drops, 0);
}

#[test]
fn two_ports_on_one_carpdev_keep_apart() {
    let site = Site::new();
    let (one, two) = (site.port("carp1", 1, &[]), site.port("carp2", 2, &[]));
    let client = site.socket("c", "eth0", &[]);
    let (carp1, carp2) = (
        site.socket("a", "carp1", &[V1, V2]),
        site.socket("a", "carp2", &[V1, V2]),
    );
    site.gate(&one, Gate::Open);
    site.gate(&two, Gate::Open);
    for number in [1, 2] {
        client
            .send(&numbered(MacAddr::of_vhid(number), C, number))
            .unwrap();
    }
    settle();
    site.gate(&one, Gate::Shut);
    for number in [3, 4] {
        client
            .send(&numbered(MacAddr::of_vhid(number - 2), C, number))
            .unwrap();
    }
    settle();
    site.gate(&one, Gate::Open);
    client.send(&numbered(V1, C, LAST)).unwrap();
    client.send(&numbered(V2, C, LAST)).unwrap();
    assert_eq!(numbers(&carp1), [1]);
    assert_eq!(numbers(&carp2), [2, 4]);
    site.copier.change_port(Port {
        vhosts: vec![Vhost {
            vhid: 2,
            mac: MacAddr::of_vhid(9),
        }],
        ..two.clone()
    });
    client.send(&numbered(V2, C, 5)).unwrap();
    settle();
    site.copier.change_port(two);
    client.send(&numbered(V2, C, LAST)).unwrap();
    assert_eq!(numbers(&carp2), [0; 0]);
}
