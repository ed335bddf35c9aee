//! Interfaces, addresses, routes, neighbours: what was asked for is what the kernel shows afterwards.

use crate::{as_root, net};
use carp::linux::netlink::{AddressFlags, MacvlanMode, NeighbourState, Netlink};
use carp::linux::netns::Namespace;
use carp::wire::MacAddr;
use std::net::IpAddr;
use std::os::fd::AsFd;

/// Two ends of a cable in one new namespace, both up.
fn cable(netlink: &Netlink) -> (u32, u32) {
    let a = netlink.create_veth("a", "b").unwrap();
    let b = netlink.link("b").unwrap().unwrap().index;
    for index in [a, b] {
        netlink.set_up(index, true).unwrap();
    }
    // Asking settles the carrier (T33), and with it the routes.
    for index in [a, b] {
        assert!(netlink.link_by_index(index).unwrap().unwrap().running);
    }
    (a, b)
}

#[test]
fn interfaces_are_made_changed_and_removed() {
    as_root!();
    Namespace::new().unwrap().run(|| {
        let netlink = Netlink::open().unwrap();
        let eth = netlink.create_veth("eth0.7", "peer").unwrap();
        let bridge = netlink.create_bridge("br").unwrap();
        let macvlan = netlink
            .create_macvlan("mv", eth, MacvlanMode::Private)
            .unwrap();
        netlink.set_mac(eth, MacAddr([2, 0, 0, 0, 0, 7])).unwrap();
        netlink.set_mtu(eth, 1400).unwrap();
        netlink.set_group(eth, 77).unwrap();
        netlink.set_up(eth, true).unwrap();
        let peer = netlink.link("peer").unwrap().unwrap();
        netlink.set_master(peer.index, Some(bridge)).unwrap();

        let link = netlink.link_by_index(eth).unwrap().unwrap();
        assert_eq!(link.name, "eth0.7");
        assert_eq!(
            (link.mac, link.mtu, link.group),
            (MacAddr([2, 0, 0, 0, 0, 7]), 1400, 77)
        );
        assert_eq!(link.kind.as_deref(), Some("veth"));
        assert!(link.up && !link.running && link.ethernet && !link.loopback);
        netlink.set_up(peer.index, true).unwrap();
        let link = netlink.link_by_index(eth).unwrap().unwrap();
        assert!(link.running && link.lower_up);
        assert_eq!(netlink.link("peer").unwrap().unwrap().master, Some(bridge));
        assert_eq!(netlink.link("mv").unwrap().unwrap().lower, Some(eth));
        let lo = netlink.link("lo").unwrap().unwrap();
        assert!(lo.loopback && lo.up && !lo.ethernet);

        let mut names: Vec<String> = netlink
            .links()
            .unwrap()
            .into_iter()
            .map(|link| link.name)
            .collect();
        names.sort();
        assert_eq!(names, ["br", "eth0.7", "lo", "mv", "peer"]);
        netlink.delete(macvlan).unwrap();
        assert_eq!(netlink.link("mv").unwrap(), None);
        assert_eq!(netlink.link_by_index(macvlan).unwrap(), None);
        assert_eq!(netlink.delete(macvlan).unwrap_err().errno(), libc::ENODEV);
        let error = netlink.create_bridge("br").unwrap_err();
        assert_eq!(error.to_string(), "create br: File exists");
        netlink.set_master(peer.index, None).unwrap();
        netlink.set_up(eth, false).unwrap();
        netlink.rename(eth, "wan").unwrap();
        assert_eq!(netlink.link("wan").unwrap().unwrap().index, eth);
        assert_eq!(netlink.link("peer").unwrap().unwrap().master, None);
    });
}

#[test]
fn odd_names_are_refused_before_the_kernel_makes_something_of_them() {
    as_root!();
    Namespace::new().unwrap().run(|| {
        let netlink = Netlink::open().unwrap();
        for name in ["", ".", "..", "a/b", "a b", "br%d", "a:b", "a\0b"] {
            assert_eq!(
                netlink.create_bridge(name).unwrap_err().errno(),
                libc::EINVAL,
                "{name:?}"
            );
        }
        let long = "sixteen-letters-";
        assert_eq!(
            netlink.create_bridge(long).unwrap_err().errno(),
            libc::ENAMETOOLONG
        );
        assert_eq!(netlink.link(long).unwrap(), None);
        netlink.create_bridge(&long[..15]).unwrap();
        assert_eq!(netlink.links().unwrap().len(), 2);
    });
}

#[test]
fn an_interface_moves_to_another_namespace() {
    as_root!();
    let (here, there) = (Namespace::new().unwrap(), Namespace::new().unwrap());
    assert_ne!(here.inode(), there.inode());
    assert_eq!(
        here.run(|| Namespace::current().unwrap().inode()),
        here.inode()
    );
    here.run(|| {
        let netlink = Netlink::open().unwrap();
        let veth = netlink.create_veth("v0", "v1").unwrap();
        netlink.set_netns(veth, there.as_fd()).unwrap();
        assert_eq!(netlink.link("v0").unwrap(), None);
        netlink.create_veth_into("w0", "w1", there.as_fd()).unwrap();
        assert_eq!(netlink.link("w1").unwrap(), None);
    });
    there.run(|| {
        let netlink = Netlink::open().unwrap();
        assert!(netlink.link("v0").unwrap().is_some() && netlink.link("w1").unwrap().is_some());
    });
}

#[test]
fn addresses_keep_their_flags_metric_and_broadcast() {
    as_root!();
    Namespace::new().unwrap().run(|| {
        let netlink = Netlink::open().unwrap();
        let (a, _) = cable(&netlink);
        let shared = AddressFlags {
            nodad: true,
            metric: Some(40_000),
        };
        netlink.add_address(a, net("192.0.2.1/24"), shared).unwrap();
        netlink
            .add_address(a, net("192.0.2.129/31"), AddressFlags::default())
            .unwrap();
        netlink
            .add_address(a, net("2001:db8::1/64"), shared)
            .unwrap();
        // An effect may be repeated.
        netlink.add_address(a, net("192.0.2.1/24"), shared).unwrap();
        netlink
            .add_address(a, net("2001:db8::1/64"), shared)
            .unwrap();

        let find = |text: &str| {
            let all = netlink.addresses(Some(a)).unwrap();
            all.into_iter().find(|address| address.net == net(text))
        };
        let inet = find("192.0.2.1/24").unwrap();
        assert_eq!((inet.index, inet.metric, inet.scope), (a, Some(40_000), 0));
        assert_eq!(inet.broadcast, Some("192.0.2.255".parse().unwrap()));
        assert_eq!(find("192.0.2.129/31").unwrap().broadcast, None);
        let inet6 = find("2001:db8::1/64").unwrap();
        assert!(inet6.nodad() && !inet6.tentative());
        assert_eq!(inet6.metric, Some(40_000));
        let routes = netlink.routes().unwrap();
        for text in ["192.0.2.0/24", "2001:db8::/64"] {
            let route = routes.iter().find(|route| route.dst == net(text)).unwrap();
            assert_eq!(
                (route.index, route.metric, route.table),
                (Some(a), 40_000, 254),
                "{text}"
            );
        }
        assert!(
            netlink
                .addresses(None)
                .unwrap()
                .iter()
                .any(|address| address.net == net("127.0.0.1/8"))
        );

        netlink.del_address(a, net("192.0.2.1/24")).unwrap();
        netlink.del_address(a, net("2001:db8::1/64")).unwrap();
        assert_eq!((find("192.0.2.1/24"), find("2001:db8::1/64")), (None, None));
        let error = netlink.del_address(a, net("192.0.2.1/24")).unwrap_err();
        assert_eq!(error.errno(), libc::EADDRNOTAVAIL);
    });
}

#[test]
fn without_nodad_an_address_is_tentative_first() {
    as_root!();
    Namespace::new().unwrap().run(|| {
        let netlink = Netlink::open().unwrap();
        let (a, _) = cable(&netlink);
        netlink
            .add_address(a, net("2001:db8::1/64"), AddressFlags::default())
            .unwrap();
        let all = netlink.addresses(Some(a)).unwrap();
        let address = all
            .iter()
            .find(|address| address.net == net("2001:db8::1/64"))
            .unwrap();
        assert!(address.tentative() && !address.nodad());
    });
}

#[test]
fn routes_come_and_go() {
    as_root!();
    Namespace::new().unwrap().run(|| {
        let netlink = Netlink::open().unwrap();
        let (a, _) = cable(&netlink);
        for (own, dst, gateway) in [
            ("192.0.2.1/24", "0.0.0.0/0", "192.0.2.254"),
            ("192.0.2.1/24", "198.51.100.0/24", "192.0.2.253"),
            ("2001:db8::1/64", "::/0", "2001:db8::fe"),
        ] {
            let gateway: IpAddr = gateway.parse().unwrap();
            netlink
                .add_address(
                    a,
                    net(own),
                    AddressFlags {
                        nodad: true,
                        metric: None,
                    },
                )
                .unwrap();
            netlink.add_route(net(dst), Some(gateway), a).unwrap();
            let there = || {
                netlink
                    .routes()
                    .unwrap()
                    .iter()
                    .any(|r| r.dst == net(dst) && r.gateway == Some(gateway))
            };
            assert!(there(), "{dst}");
            netlink.del_route(net(dst), Some(gateway), a).unwrap();
            assert!(!there(), "{dst}");
        }
        netlink.add_route(net("203.0.113.0/24"), None, a).unwrap();
        assert_eq!(
            netlink
                .add_route(net("203.0.113.0/24"), None, a)
                .unwrap_err()
                .errno(),
            libc::EEXIST
        );
    });
}

#[test]
fn the_route_for_all_multicast_goes_and_returns_with_the_interface() {
    as_root!();
    Namespace::new().unwrap().run(|| {
        let netlink = Netlink::open().unwrap();
        let (a, b) = cable(&netlink);
        let there = |index: u32| {
            netlink
                .routes()
                .unwrap()
                .iter()
                .any(|route| route.all_multicast() && route.index == Some(index))
        };
        assert!(there(a) && there(b));
        assert!(netlink.del_multicast_route(a, 255).unwrap());
        assert!(!there(a) && there(b));
        assert!(!netlink.del_multicast_route(a, 255).unwrap());
        // The trap itself: were it gone for good, once would be enough (T31).
        for up in [false, true] {
            netlink.set_up(a, up).unwrap();
            assert_eq!(netlink.link_by_index(a).unwrap().unwrap().running, up);
        }
        assert!(there(a));
    });
}

#[test]
fn neighbours_are_put_changed_and_forgotten() {
    as_root!();
    Namespace::new().unwrap().run(|| {
        let netlink = Netlink::open().unwrap();
        let (a, b) = cable(&netlink);
        let (old, new) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
        for ip in ["192.0.2.9", "2001:db8::9"] {
            let ip: IpAddr = ip.parse().unwrap();
            netlink
                .add_neighbour(a, ip, old, NeighbourState::Permanent)
                .unwrap();
            let error = netlink
                .add_neighbour(a, ip, old, NeighbourState::Permanent)
                .unwrap_err();
            assert_eq!(error.errno(), libc::EEXIST);
            netlink
                .replace_neighbour(a, ip, new, NeighbourState::Reachable)
                .unwrap();
            let known = netlink.neighbours(a).unwrap();
            let known = known.iter().find(|neighbour| neighbour.ip == ip).unwrap();
            assert_eq!(
                (known.mac, known.state),
                (Some(new), NeighbourState::Reachable)
            );
            assert!(
                netlink
                    .neighbours(b)
                    .unwrap()
                    .iter()
                    .all(|neighbour| neighbour.ip != ip)
            );
            netlink.del_neighbour(a, ip).unwrap();
            let known = netlink.neighbours(a).unwrap();
            assert!(
                known
                    .iter()
                    .all(|neighbour| neighbour.ip != ip || neighbour.mac.is_none())
            );
        }
    });
}

#[test]
fn a_group_is_deleted_in_one_request_or_not_at_all() {
    as_root!();
    const GROUP: u32 = 0xC0FF_EE01;
    Namespace::new().unwrap().run(|| {
        let netlink = Netlink::open().unwrap();
        for number in 0..20 {
            let index = netlink.create_bridge(&format!("br{number}")).unwrap();
            netlink.set_group(index, GROUP).unwrap();
        }
        let other = netlink.create_bridge("other").unwrap();
        let members = || {
            netlink
                .links()
                .unwrap()
                .iter()
                .filter(|link| link.group == GROUP)
                .count()
        };
        // lo cannot be deleted.
        let lo = netlink.link("lo").unwrap().unwrap().index;
        netlink.set_group(lo, GROUP).unwrap();
        assert_eq!(members(), 21);
        assert_eq!(
            netlink.delete_group(GROUP).unwrap_err().errno(),
            libc::EOPNOTSUPP
        );
        assert_eq!(members(), 21);
        netlink.set_group(lo, 0).unwrap();
        netlink.delete_group(GROUP).unwrap();
        assert_eq!(members(), 0);
        assert!(netlink.link_by_index(other).unwrap().is_some());
        assert_eq!(
            netlink.delete_group(GROUP).unwrap_err().errno(),
            libc::ENODEV
        );
    });
}
