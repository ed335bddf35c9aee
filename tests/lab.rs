//! The lab that other tests and the demo stand on: asserted from the hosts, by what arrives.
#![allow(clippy::unwrap_used)]

use carp::lab::net::{LAN, Lab};
use carp::linux::netlink::Netlink;
use carp::wire::MacAddr;
use ipnetwork::IpNetwork;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

#[path = "support/privilege.rs"]
mod privilege;

const A: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const B: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

fn nets(addresses: &[&str]) -> Vec<IpNetwork> {
    addresses.iter().map(|text| text.parse().unwrap()).collect()
}

fn two_hosts() -> Lab {
    let mut lab = Lab::new().unwrap();
    lab.add_host("a", A, &nets(&["192.0.2.11/24", "2001:db8::11/64"]))
        .unwrap();
    lab.add_host("b", B, &nets(&["192.0.2.12/24", "2001:db8::12/64"]))
        .unwrap();
    lab
}

/// A socket on a host, which stays there when the thread that opened it is gone.
fn socket(lab: &Lab, host: &str, address: &str) -> UdpSocket {
    let address: IpAddr = address.parse().unwrap();
    let socket = lab
        .host(host)
        .run(|| UdpSocket::bind(SocketAddr::new(address, 7)).unwrap());
    socket
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    socket
}

#[test]
fn addresses_are_usable_at_once_in_both_families() {
    if !privilege::privileged(&test_name!()) {
        return;
    }
    let lab = two_hosts();
    for (at_a, at_b) in [
        ("192.0.2.11", "192.0.2.12"),
        ("2001:db8::11", "2001:db8::12"),
    ] {
        let (a, b) = (socket(&lab, "a", at_a), socket(&lab, "b", at_b));
        a.send_to(b"x", b.local_addr().unwrap()).unwrap();
        let (_, from) = b.recv_from(&mut [0; 8]).unwrap();
        assert_eq!(from, a.local_addr().unwrap());
    }
    let (index, neighbours) = lab.host("b").run(|| {
        let netlink = Netlink::open().unwrap();
        let index = netlink.link("eth0").unwrap().unwrap().index;
        (index, netlink.neighbours(index).unwrap())
    });
    assert_eq!(index, lab.host("b").ports()[0].index);
    for ip in ["192.0.2.11", "2001:db8::11"] {
        let known = neighbours
            .iter()
            .find(|neighbour| neighbour.ip == ip.parse::<IpAddr>().unwrap());
        assert_eq!(known.unwrap().mac, Some(A), "{ip}");
    }
}

#[test]
fn a_port_taken_down_is_a_lost_carrier_at_the_host_only() {
    if !privilege::privileged(&test_name!()) {
        return;
    }
    let lab = two_hosts();
    let state = |host: &str| {
        lab.host(host).run(|| {
            let link = Netlink::open().unwrap().link("eth0").unwrap().unwrap();
            (link.up, link.running)
        })
    };
    lab.link("a", false).unwrap();
    assert_eq!(state("a"), (true, false));
    assert_eq!(state("b"), (true, true));
    lab.link("a", true).unwrap();
    assert_eq!(state("a"), (true, true));
    let (a, b) = (
        socket(&lab, "a", "192.0.2.11"),
        socket(&lab, "b", "192.0.2.12"),
    );
    b.send_to(b"x", a.local_addr().unwrap()).unwrap();
    a.recv_from(&mut [0; 8]).unwrap();
}

#[test]
fn a_host_may_stand_on_two_segments_that_do_not_mix() {
    if !privilege::privileged(&test_name!()) {
        return;
    }
    let mut lab = two_hosts();
    lab.add_segment("wan").unwrap();
    let wan = lab
        .connect(
            "a",
            "wan",
            MacAddr([2, 0, 0, 0, 1, 1]),
            &nets(&["198.51.100.1/24"]),
        )
        .unwrap();
    assert_eq!((wan.interface.as_str(), wan.port.as_str()), ("eth1", "a-1"));
    lab.add_bare_host("c").unwrap();
    lab.connect(
        "c",
        "wan",
        MacAddr([2, 0, 0, 0, 1, 3]),
        &nets(&["198.51.100.3/24", "192.0.2.11/32"]),
    )
    .unwrap();

    let (a, c) = (
        socket(&lab, "a", "198.51.100.1"),
        socket(&lab, "c", "198.51.100.3"),
    );
    a.send_to(b"x", c.local_addr().unwrap()).unwrap();
    c.recv_from(&mut [0; 8]).unwrap();
    // c has a's address of the other segment: b still reaches a.
    let (a, b) = (
        socket(&lab, "a", "192.0.2.11"),
        socket(&lab, "b", "192.0.2.12"),
    );
    b.send_to(b"y", a.local_addr().unwrap()).unwrap();
    a.recv_from(&mut [0; 8]).unwrap();

    assert!(lab.add_host("a", A, &[]).is_err());
    assert!(lab.connect("a", "nowhere", A, &[]).is_err());
    assert!(lab.link(LAN, true).is_ok());
}

#[test]
fn nothing_is_left_behind() {
    if !privilege::privileged(&test_name!()) {
        return;
    }
    // The switch's ports go when the hosts' namespaces do; the kernel clears those in its own time.
    let switch = carp::linux::netns::Namespace::new().unwrap();
    let port = switch.run(|| {
        let host = carp::linux::netns::Namespace::new().unwrap();
        let netlink = Netlink::open().unwrap();
        netlink
            .create_veth_into("p", "eth0", std::os::fd::AsFd::as_fd(&host))
            .unwrap()
    });
    let vanished = switch.run(|| {
        let netlink = Netlink::open().unwrap();
        (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            netlink.link_by_index(port).unwrap().is_none()
        })
    });
    assert!(vanished);
}
