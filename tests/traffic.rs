//! What users send: bulk data to and from the shared address, through it as a gateway, and unusual groups.
#![allow(clippy::unwrap_used)]

mod support;

use carp::linux::clock;
use carp::wire::MacAddr;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use support::frames::{Frame, arp_request, router_advertisement};
use support::hosts::{Host, SOON, Segment, own_mac, until};
use support::scene::{SHARED, SHARED6, Scene, join};
use support::talk::{Service, bulk, dial, who};

const VIRTUAL: MacAddr = MacAddr::of_vhid(1);

fn tcp_passes_both_ways_intact_with_offloads_on() {
    let scene = Scene::new();
    let _service = Service::on(&scene.a);
    let (from_a, heard) = (scene.a.sends("eth0"), scene.c.sends("eth0"));
    let mark = clock::now();
    for (shared, megabytes) in [(SHARED, 100), (SHARED6, 20)] {
        assert!(
            bulk(&scene.c, shared, megabytes).unwrap(),
            "{shared}: damaged"
        );
    }
    // The offloads are on: super-packets came and, on the way back, went.
    let large = |f: &Frame| f.bytes.len() > 1514;
    heard.expect(mark, SOON, "super-packet to the shared address", |f| {
        large(f) && f.dst() == VIRTUAL
    });
    from_a.expect(mark, SOON, "super-packet from the shared address", large);
    assert_eq!(
        scene.a.state("carp1"),
        "MASTER",
        "the load did not stop the protocol"
    );
}

/// Without an address on carpdev all data takes the way through carpN, in both directions.
fn tcp_passes_through_carpn_alone() {
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &[]);
    let c = Host::on(&segment, "c", 0x0c, &["192.0.2.13/24", "2001:db8::13/64"]);
    a.daemon();
    let from_a = a.sends("eth0");
    join(&a, "eth0", 0);
    a.master("carp1");
    let _service = Service::on(&a);
    let mark = clock::now();
    for (shared, megabytes) in [(SHARED, 100), (SHARED6, 20)] {
        assert!(bulk(&c, shared, megabytes).unwrap(), "{shared}: damaged");
    }
    let data = |f: &Frame| f.bytes.len() > 1514 && f.src() == VIRTUAL;
    from_a.expect(mark, SOON, "super-packet with the virtual MAC", data);
}

/// The source of our advertisements is the first shared address then, as in OpenBSD 5 and NetBSD 10.
fn a_carpdev_without_an_address_advertises_from_the_shared_one() {
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &[]);
    a.sysctl("net/ipv6/conf/eth0/disable_ipv6", "1");
    a.sysctl("net/ipv6/conf/eth0/disable_ipv6", "0");
    a.net(|net| {
        let index = net.link("eth0").unwrap().unwrap().index;
        for address in net.addresses(Some(index)).unwrap() {
            net.del_address(index, address.net).unwrap();
        }
    });
    a.daemon();
    let from_a = a.sends("eth0");
    let mark = clock::now();
    join(&a, "eth0", 0);
    a.master("carp1");
    for shared in [SHARED, SHARED6] {
        let source: IpAddr = shared.parse().unwrap();
        let ours = |f: &Frame| {
            f.advert()
                .is_some_and(|s| s.source.is_ipv4() == source.is_ipv4())
        };
        let first = from_a.expect(mark, SOON, "advertisement", ours);
        assert_eq!(first.advert().unwrap().source, source);
    }
}

/// Two segments, a and b forward between them, carp1 and carp2 are the gateways of the client and the server.
fn routed() -> (Host, Host, Host, Host) {
    let (near, far) = (Segment::new(), Segment::new());
    let router = |name, number: u8| {
        let own = [
            format!("192.0.2.{number}/24"),
            format!("2001:db8::{number}/64"),
        ];
        let host = Host::on(&near, name, number, &[&own[0], &own[1]]);
        host.plug(&far, "eth1", number + 0x20);
        host.address("eth1", &format!("198.51.100.{number}/24"));
        host.address("eth1", &format!("2001:db8:1::{number}/64"));
        for family in ["ipv4", "ipv6"] {
            host.sysctl(&format!("net/{family}/conf/all/forwarding"), "1");
        }
        host.daemon();
        host.ok("sysctl net.inet.carp.preempt=1");
        host
    };
    let (a, b) = (router("a", 11), router("b", 12));
    for (host, advskew) in [(&a, 0), (&b, 100)] {
        join(host, "eth0", advskew);
        let line = format!(
            "ifconfig carp2 vhid 2 pass secret carpdev eth1 advskew {advskew} 198.51.100.1/24"
        );
        host.ok(&line);
        host.ok("ifconfig carp2 inet6 alias 2001:db8:1::1/64");
        if advskew == 0 {
            host.master("carp1");
            host.master("carp2");
        }
    }
    let c = Host::on(&near, "c", 13, &["192.0.2.13/24", "2001:db8::13/64"]);
    let d = Host::on(&far, "d", 14, &["198.51.100.14/24", "2001:db8:1::14/64"]);
    c.route("198.51.100.0/24", Some(SHARED), "eth0");
    c.route("2001:db8:1::/64", Some(SHARED6), "eth0");
    d.route("192.0.2.0/24", Some("198.51.100.1"), "eth0");
    d.route("2001:db8::/64", Some("2001:db8:1::1"), "eth0");
    (a, b, c, d)
}

fn the_master_forwards_as_the_gateway_and_its_successor_goes_on() {
    let (a, b, c, d) = routed();
    let _service = Service::on(&d);
    let from_c = c.sends("eth0");
    let mark = clock::now();
    for server in ["198.51.100.14", "2001:db8:1::14"] {
        assert_eq!(who(&c, server, None).unwrap(), "d", "{server}");
        assert!(bulk(&c, server, 10).unwrap(), "{server}: damaged");
        let target: IpAddr = server.parse().unwrap();
        from_c.expect(mark, SOON, "packet through the gateway", |f| {
            f.ip_destination() == Some(target) && f.dst() == VIRTUAL
        });
    }
    // The better host goes; the connection outlives it, as the routers keep no state of it.
    let mut alive = dial(&c, "198.51.100.14", None).unwrap();
    let from_b = b.sends("eth1");
    let mark = a.terminate();
    for carp in ["carp1", "carp2"] {
        b.until_state(carp, "MASTER");
    }
    use std::io::{Read, Write};
    alive.write_all(b"n").unwrap();
    let mut name = String::new();
    alive.read_to_string(&mut name).unwrap();
    assert_eq!(name, "d");
    for server in ["198.51.100.14", "2001:db8:1::14"] {
        assert_eq!(who(&c, server, None).unwrap(), "d", "{server} through b");
        let target: IpAddr = server.parse().unwrap();
        from_b.expect(mark, SOON, "packet that b forwards", |f| {
            f.ip_destination() == Some(target)
        });
    }
}

/// A host learns fe80::1 as its default router by an advertisement, and keeps it through a failover.
fn a_shared_link_local_address_is_a_default_router() {
    let (a, b, _c, d) = routed();
    for host in [&a, &b] {
        host.ok("ifconfig carp1 inet6 alias fe80::1/64");
    }
    let _service = Service::on(&d);
    let segment_host = host_beside(&a);
    let settled = || {
        let states = (a.state("carp1"), b.state("carp1"));
        states == ("MASTER".to_owned(), "BACKUP".to_owned())
    };
    assert!(
        until(SOON, settled),
        "after the change of addresses: {} {}",
        a.state("carp1"),
        b.state("carp1")
    );
    let router = (VIRTUAL, "fe80::1".parse::<Ipv6Addr>().unwrap());
    segment_host
        .inlet("eth0")
        .send(&router_advertisement(router, "2001:db8::".parse().unwrap()))
        .unwrap();
    let reached = || who(&segment_host, "2001:db8:1::14", None).is_ok_and(|name| name == "d");
    assert!(until(SOON, reached), "the default router does not forward");
    let learned = segment_host.neighbour("eth0", "fe80::1");
    assert_eq!(learned, Some(VIRTUAL));
    a.terminate();
    b.until_state("carp1", "MASTER");
    b.until_state("carp2", "MASTER");
    assert!(until(SOON, reached), "after the failover");
    // Asked afresh, the successor answers with the same MAC.
    segment_host.net(|net| {
        let index = net.link("eth0").unwrap().unwrap().index;
        net.del_neighbour(index, "fe80::1".parse().unwrap())
            .unwrap();
    });
    assert!(until(SOON, reached), "after the failover, asked afresh");
    assert_eq!(segment_host.neighbour("eth0", "fe80::1"), Some(VIRTUAL));
}

/// Another host on the segment of `a`'s eth0, with no route but those it learns.
fn host_beside(a: &Host) -> Host {
    let host = Host::on(&a.segment("eth0"), "e", 0x0e, &["2001:db8::e/64"]);
    host.sysctl("net/ipv6/conf/eth0/accept_ra", "2");
    host
}

fn the_same_vhid_on_two_carpdevs_is_two_groups() {
    let (near, far) = (Segment::new(), Segment::new());
    let a = Host::on(&near, "a", 0x0a, &["192.0.2.11/24"]);
    a.plug(&far, "eth1", 0x1a);
    a.address("eth1", "198.51.100.11/24");
    a.daemon();
    let c = Host::on(&near, "c", 0x0c, &["192.0.2.13/24"]);
    let d = Host::on(&far, "d", 0x0d, &["198.51.100.14/24"]);
    a.ok("ifconfig carp1 vhid 1 pass secret carpdev eth0 192.0.2.1/24");
    a.ok("ifconfig carp2 vhid 1 pass other carpdev eth1 198.51.100.1/24");
    let _service = Service::on(&a);
    a.master("carp1");
    assert_eq!(a.state("carp2"), "BACKUP", "the other one is on its own");
    assert_eq!(who(&c, SHARED, None).unwrap(), "a");
    let out = d.outlet("eth0");
    let from_far = a.sends("eth1");
    let mark = clock::now();
    for target in ["198.51.100.1", SHARED] {
        let asker = (own_mac(0x0d), "198.51.100.14".parse().unwrap());
        out.send(&arp_request(
            asker,
            target.parse().unwrap(),
            MacAddr::BROADCAST,
        ))
        .unwrap();
    }
    from_far.silence(
        mark,
        Duration::from_millis(300),
        "the BACKUP on eth1 spoke as owner",
        |f| f.src() == VIRTUAL,
    );
    a.master("carp2");
    assert_eq!(who(&d, "198.51.100.1", None).unwrap(), "a");
    assert_eq!(who(&c, SHARED, None).unwrap(), "a");
    a.ok("ifconfig carp1 down");
    assert_eq!(
        who(&d, "198.51.100.1", None).unwrap(),
        "a",
        "one goes, the other stays"
    );
    let mark = clock::now();
    from_far.expect(mark, SOON, "advertisement on eth1", |f| {
        f.advert().is_some_and(|s| s.vhid == 1)
    });
}

support::planes! {
    tcp_passes_both_ways_intact_with_offloads_on,
    tcp_passes_through_carpn_alone,
    a_carpdev_without_an_address_advertises_from_the_shared_one,
    the_master_forwards_as_the_gateway_and_its_successor_goes_on,
    a_shared_link_local_address_is_a_default_router,
    the_same_vhid_on_two_carpdevs_is_two_groups,
}
