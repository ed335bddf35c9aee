//! Events as another thread of the same namespace causes them.

use crate::{as_root, net};
use carp::linux::monitor::{Event, Monitor};
use carp::linux::netlink::{AddressFlags, Netlink};
use carp::linux::netns::Namespace;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

/// All that has arrived by now. A change of an interface is announced before the request that made it is answered.
fn drain(monitor: &Monitor) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        match monitor.read() {
            Ok(more) => events.extend(more),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return events,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Waits for an event: those of IPv6 addresses come from a kernel worker, some time after the answer.
fn until(monitor: &Monitor, wanted: impl Fn(&Event) -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        if drain(monitor).iter().any(&wanted) {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("the event never came");
}

#[test]
fn interfaces_carriers_and_addresses_are_heard_of() {
    as_root!();
    Namespace::new().unwrap().run(|| {
        let (monitor, netlink) = (Monitor::open().unwrap(), Netlink::open().unwrap());
        assert!(drain(&monitor).is_empty());
        let a = netlink.create_veth("a", "b").unwrap();
        let b = netlink.link("b").unwrap().unwrap().index;
        netlink.set_up(a, true).unwrap();
        netlink.set_up(b, true).unwrap();
        netlink.link_by_index(a).unwrap();
        let events = drain(&monitor);
        let running = |events: &[Event]| {
            events.iter().rev().find_map(|event| match event {
                Event::Link(link) if link.index == a => Some((link.up, link.running)),
                _ => None,
            })
        };
        assert_eq!(running(&events), Some((true, true)));
        netlink.set_up(b, false).unwrap();
        netlink.link_by_index(a).unwrap();
        assert_eq!(
            running(&drain(&monitor)),
            Some((true, false)),
            "a lost its carrier"
        );

        let flags = AddressFlags {
            nodad: true,
            metric: None,
        };
        for text in ["192.0.2.1/24", "2001:db8::1/64"] {
            let told = |wanted: bool| {
                until(&monitor, |event| {
                    matches!(event, Event::Address { address, added }
                        if address.net == net(text) && address.index == a && *added == wanted)
                });
            };
            netlink.add_address(a, net(text), flags).unwrap();
            told(true);
            netlink.del_address(a, net(text)).unwrap();
            told(false);
        }
        netlink.delete(a).unwrap();
        let gone = Event::LinkGone {
            index: a,
            name: "a".to_owned(),
        };
        assert!(drain(&monitor).contains(&gone));
    });
}

#[test]
fn a_port_that_leaves_its_bridge_is_not_gone() {
    as_root!();
    Namespace::new().unwrap().run(|| {
        let netlink = Netlink::open().unwrap();
        let bridge = netlink.create_bridge("br").unwrap();
        let port = netlink.create_veth("a", "b").unwrap();
        netlink.set_master(port, Some(bridge)).unwrap();
        let monitor = Monitor::open().unwrap();
        netlink.set_master(port, None).unwrap();
        let events = drain(&monitor);
        assert!(!events.is_empty());
        assert!(
            events.iter().all(|event| matches!(event, Event::Link(_))),
            "{events:?}"
        );
    });
}

#[test]
fn lost_events_are_told_once_and_a_list_sets_it_right() {
    as_root!();
    Namespace::new().unwrap().run(|| {
        let (monitor, netlink) = (Monitor::open().unwrap(), Netlink::open().unwrap());
        let bridge = netlink.create_bridge("br").unwrap();
        // Each change is some 1.5 kB in a buffer of 1 MiB at most.
        for mtu in 0..4000 {
            netlink.set_mtu(bridge, 1000 + mtu % 2 * 100 + 1).unwrap();
        }
        netlink.set_mtu(bridge, 1234).unwrap();
        assert!(drain(&monitor).contains(&Event::Overflow));
        let links = monitor.links().unwrap();
        assert_eq!(
            links.iter().find(|link| link.index == bridge).unwrap().mtu,
            1234
        );
        netlink.set_mtu(bridge, 1300).unwrap();
        let events = drain(&monitor);
        assert!(!events.contains(&Event::Overflow), "{events:?}");
        assert!(
            events
                .iter()
                .any(|event| matches!(event, Event::Link(link) if link.mtu == 1300))
        );
    });
}

#[test]
fn events_that_arrive_before_a_list_are_not_swallowed_by_it() {
    as_root!();
    Namespace::new().unwrap().run(|| {
        let (monitor, netlink) = (Monitor::open().unwrap(), Netlink::open().unwrap());
        let bridge = netlink.create_bridge("br").unwrap();
        netlink
            .add_address(bridge, net("192.0.2.1/24"), AddressFlags::default())
            .unwrap();
        // The list takes all that is queued before its answers off the socket.
        let listed = monitor.links().unwrap();
        assert!(listed.iter().any(|link| link.index == bridge));
        let addresses = monitor.addresses(Some(bridge)).unwrap();
        assert_eq!(addresses[0].net, net("192.0.2.1/24"));

        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .unwrap();
        let events = runtime.block_on(async {
            let readiness = carp::linux::readiness::Readiness::new(monitor).unwrap();
            let patience = Duration::from_secs(5);
            tokio::time::timeout(patience, readiness.read(Monitor::read)).await
        });
        let events = events.expect("the list left the socket readable").unwrap();
        assert!(
            events
                .iter()
                .any(|event| matches!(event, Event::Link(link) if link.index == bridge))
        );
        assert!(
            events
                .iter()
                .any(|event| matches!(event, Event::Address { added: true, .. }))
        );
    });
}
