//! carpN as the kernel sees it: its IPv6 defaults, its queue, its MTU, its carrier: T10, T14, T15, T16.

use super::VIRTUAL;
use super::support::frames::{Frame, router_advertisement, router_advertisement_to};
use super::support::hosts::{SOON, own_mac, until};
use super::support::scene::{SHARED, SHARED6, Scene, join, join_timed};
use super::support::talk::{Service, datagrams, who};
use carp::linux::clock;
use carp::wire::MacAddr;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// What the kernel would send by itself with the virtual MAC: duplicate detection, router solicitations, anything from a
/// link-local or autoconfigured address.
fn uncalled(frame: &Frame) -> bool {
    let Some(IpAddr::V6(source)) = frame.ip_source() else {
        return false;
    };
    let own = source == SHARED6.parse::<Ipv6Addr>().unwrap() || source.is_unspecified();
    let probing = frame
        .nd()
        .is_some_and(|n| n.kind == 135 && n.source.is_unspecified());
    // The advertisements of group 1 carry eth0's addresses, all others would be the kernel's choice.
    frame.src() == VIRTUAL && frame.advert().is_none() && (probing || !own)
}

/// Fails without addr_gen_mode=1 on carpN: a link-local address derived from the virtual MAC, the same on all hosts. The other
/// settings are second locks: without its ff00::/8 route carpN hears no router, and its addresses come with nodad.
fn t10_the_kernel_adds_nothing_to_carpn() {
    let scene = Scene::bare();
    let from_a = scene.a.sends("eth0");
    let heard_c = scene.c.hears("eth0");
    let (_a, _b) = (Service::on(&scene.a), Service::on(&scene.b));
    let mark = clock::now();
    join(&scene.a, "eth0", 0);
    scene.a.master("carp1");
    join(&scene.b, "eth0", 100);
    // A router's offer reaches carpN (to the virtual MAC) and must not become a default route there.
    scene.a.sysctl("net/ipv6/conf/eth0/accept_ra", "0");
    let router = (own_mac(0x77), "fe80::77".parse().unwrap());
    let mut offer = router_advertisement(router, "2001:db8:bad::".parse().unwrap());
    offer[..6].copy_from_slice(&VIRTUAL.0);
    scene.a.inlet("eth0").send(&offer).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let outbox = datagrams(&scene.a, "::", 0, None);
    let sent = outbox.send_to(b"by a foreign router", "[2001:db8:ffff::1]:9");
    assert!(sent.is_err(), "carpN took a default route");
    // Both hosts own the same address in turn; with the kernel's defaults the second one finds a duplicate.
    scene.a.ok("ifconfig carp1 down");
    let claims = |f: &Frame| f.src() == VIRTUAL && f.advert().is_some_and(|a| a.advskew == 100);
    heard_c.expect(mark, SOON, "advertisement of b", claims);
    let reached = until(SOON, || {
        who(&scene.c, SHARED6, None).is_ok_and(|name| name == "b")
    });
    assert!(reached, "b does not serve {SHARED6}");
    from_a.silence(
        mark,
        Duration::from_secs(1),
        "the kernel spoke with the virtual MAC",
        uncalled,
    );
    heard_c.silence(
        mark,
        Duration::ZERO,
        "the kernel spoke with the virtual MAC",
        uncalled,
    );
}

/// Fails without accept_ra=0 on carpN: it would have a route for the offered prefix, and ask for what is there.
fn t10_a_routers_offer_makes_no_route_through_carpn() {
    let scene = Scene::bare();
    join(&scene.a, "eth0", 0);
    scene.a.master("carp1");
    let from_a = scene.a.sends("eth0");
    let outbox = datagrams(&scene.a, "::", 0, None);
    let router = (own_mac(0x77), "fe80::77".parse().unwrap());
    let asked = |f: &Frame, by: MacAddr| {
        f.src() == by && f.nd().is_some_and(|n| n.kind == 135) && f.advert().is_none()
    };
    // As a MASTER's carpN gets frames, and would get an answer to a router solicitation: to its own address.
    let offer = router_advertisement_to(
        router,
        (VIRTUAL, SHARED6.parse().unwrap()),
        "2001:db8:bad::".parse().unwrap(),
    );
    let mark = clock::now();
    scene.a.inlet("eth0").send(&offer).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    // Without a route it is refused, which is as it should be.
    let _ = outbox.send_to(b"x", "[2001:db8:bad::99]:9");
    from_a.silence(
        mark,
        Duration::from_millis(200),
        "carpN took the router's offer",
        |f| asked(f, VIRTUAL),
    );
    // The same offer to carpdev is taken.
    let offer = router_advertisement(router, "2001:db8:900d::".parse().unwrap());
    scene.a.inlet("eth0").send(&offer).unwrap();
    let taken = until(SOON, || {
        let _ = outbox.send_to(b"x", "[2001:db8:900d::99]:9");
        from_a
            .seek(mark, Duration::from_millis(100), |f| {
                asked(f, own_mac(0x0a))
            })
            .is_some()
    });
    assert!(taken, "nobody takes such an offer");
}

/// Fails without the comparison with the lease before each frame: a copier that woke up would send what queued up meanwhile.
fn t14_what_queued_up_in_a_stopped_host_never_leaves() {
    let scene = Scene::bare();
    join_timed(&scene.a, "eth0", 0, 20);
    scene.a.master("carp1");
    join_timed(&scene.b, "eth0", 0, 40);
    let outbox = datagrams(&scene.a, SHARED, 0, Some("carp1"));
    let inbox = datagrams(&scene.c, "192.0.2.13", 9000, None);
    outbox.send_to(b"fresh", "192.0.2.13:9000").unwrap();
    let (length, _) = inbox.recv_from(&mut [0; 100]).unwrap();
    assert_eq!(length, 5, "carpN's egress works");
    let from_a = scene.a.sends("eth0");
    scene.a.freeze(true);
    // A signal takes a moment to stop every thread.
    std::thread::sleep(Duration::from_millis(50));
    outbox.set_nonblocking(true).unwrap();
    for _ in 0..3000 {
        // Refused or dropped is as good as queued.
        let _ = outbox.send_to(b"stale stale stale", "192.0.2.13:9000");
    }
    scene.b.until_state("carp1", "MASTER");
    let thawed = scene.a.freeze(false);
    // Back as MASTER at once, while the queue may still be full.
    scene.a.master("carp1");
    let stale = |f: &Frame| f.bytes.windows(11).any(|w| w == b"stale stale");
    from_a.silence(
        thawed,
        Duration::from_millis(300),
        "a stale frame left",
        stale,
    );
    // And the queue is not clogged. What a data plane in the kernel sent within the lease is no matter.
    inbox.set_nonblocking(true).unwrap();
    while inbox.recv_from(&mut [0; 100]).is_ok() {}
    inbox.set_nonblocking(false).unwrap();
    outbox.send_to(b"again", "192.0.2.13:9000").unwrap();
    let (length, _) = inbox.recv_from(&mut [0; 100]).unwrap();
    assert_eq!(length, 5);
}

/// Fails when carpN keeps its MTU: what is longer than carpdev's is refused by carpdev, silently for the sender.
fn t15_carpn_follows_the_mtu_of_carpdev() {
    let scene = Scene::new();
    let from_a = scene.a.sends("eth0");
    let outbox = datagrams(&scene.a, SHARED, 0, Some("carp1"));
    let inbox = datagrams(&scene.c, "192.0.2.13", 9000, None);
    inbox
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let mtu = |value: u32| {
        scene.a.net(|net| {
            net.set_mtu(net.link("eth0").unwrap().unwrap().index, value)
                .unwrap()
        });
        let arrives = || {
            let _ = outbox.send_to(&[7; 1450], "192.0.2.13:9000");
            inbox
                .recv(&mut [0; 2000])
                .is_ok_and(|length| length == 1450)
        };
        assert!(
            until(SOON, arrives),
            "datagrams longer than an MTU of {value} are lost"
        );
        // The kernel does not look at carpdev's when it moves a frame there.
        let follows = || {
            scene
                .a
                .net(|net| net.link("carp1").unwrap().unwrap().mtu == value)
        };
        assert!(until(SOON, follows), "carp1 does not follow to {value}");
    };
    mtu(1400);
    let mark = clock::now();
    mtu(1400);
    let long = |f: &Frame| f.src() == VIRTUAL && f.bytes.len() > 1414;
    from_a.silence(
        mark,
        Duration::from_millis(50),
        "a frame longer than the MTU",
        long,
    );
    mtu(1500);
    let whole = || {
        let _ = outbox.send_to(&[7; 1450], "192.0.2.13:9000");
        from_a.seek(mark, Duration::from_millis(50), long).is_some()
    };
    assert!(
        until(SOON, whole),
        "datagrams are still cut after the MTU went up again"
    );
}

/// Fails when carpN is made with its carrier on: its routes are in use without a MASTER, and what follows them is lost.
fn t16_routes_through_carpn_count_only_while_it_is_master() {
    let scene = Scene::bare();
    let from_b = scene.b.sends("eth0");
    scene
        .b
        .sysctl("net/ipv4/conf/all/ignore_routes_with_linkdown", "1");
    scene
        .b
        .sysctl("net/ipv4/conf/default/ignore_routes_with_linkdown", "1");
    join(&scene.b, "eth0", 100);
    scene.b.until_state("carp1", "BACKUP");
    scene.b.route("203.0.113.0/24", Some("192.0.2.13"), "eth0");
    scene.b.route("203.0.113.0/25", None, "carp1");
    let outbox = datagrams(&scene.b, "0.0.0.0", 0, None);
    let mark = clock::now();
    outbox.send_to(b"x", "203.0.113.9:9").unwrap();
    let target: IpAddr = "203.0.113.9".parse().unwrap();
    let frame = from_b.expect(mark, SOON, "packet by carpdev", |f| {
        f.ip_destination() == Some(target)
    });
    assert_eq!(
        (frame.src(), frame.dst()),
        (own_mac(0x0b), own_mac(0x0c)),
        "in BACKUP the route through carp1 is unused"
    );
    scene.b.master("carp1");
    let mark = clock::now();
    outbox.send_to(b"x", "203.0.113.9:9").unwrap();
    let asked =
        |f: &Frame| f.arp().is_some_and(|p| IpAddr::V4(p.tpa) == target) && f.src() == VIRTUAL;
    from_b.expect(mark, SOON, "question for the target by carp1", asked);
    // BACKUP again: the carrier, not the UP flag, makes the difference.
    scene.b.ok("ifconfig carp1 state backup");
    let away = || {
        let mark = clock::now();
        let _ = outbox.send_to(b"x", "203.0.113.9:9");
        from_b
            .seek(mark, Duration::from_millis(100), |f| {
                f.ip_destination() == Some(target)
            })
            .is_some()
    };
    assert!(
        until(SOON, away),
        "in BACKUP packets for the target go by carpdev again"
    );
}

/// Fails when carpN keeps its carrier after MASTER: addresses go, and with them IPv4 routes; IPv6 routes stay and are used.
fn t16_routes_through_carpn_rest_when_it_was_master() {
    let scene = Scene::bare();
    let from_b = scene.b.sends("eth0");
    for conf in ["all", "default"] {
        let setting = format!("net/ipv6/conf/{conf}/ignore_routes_with_linkdown");
        scene.b.sysctl(&setting, "1");
    }
    join(&scene.b, "eth0", 100);
    scene.b.master("carp1");
    scene
        .b
        .route("2001:db8:7::/48", Some("2001:db8::13"), "eth0");
    scene.b.route("2001:db8:7::/64", None, "carp1");
    let outbox = datagrams(&scene.b, "::", 0, None);
    let target: IpAddr = "2001:db8:7::9".parse().unwrap();
    let mark = clock::now();
    let _ = outbox.send_to(b"x", "[2001:db8:7::9]:9");
    let asked = |f: &Frame| {
        f.src() == VIRTUAL
            && f.nd()
                .is_some_and(|n| n.kind == 135 && IpAddr::V6(n.target) == target)
    };
    from_b.expect(mark, SOON, "question for the target by carp1", asked);
    scene.b.ok("ifconfig carp1 state backup");
    let away = || {
        let mark = clock::now();
        let _ = outbox.send_to(b"x", "[2001:db8:7::9]:9");
        from_b
            .seek(mark, Duration::from_millis(100), |f| {
                f.ip_destination() == Some(target) && f.dst() == own_mac(0x0c)
            })
            .is_some()
    };
    assert!(
        until(Duration::from_secs(2), away),
        "in BACKUP packets for the target do not go by carpdev"
    );
}

super::support::planes! {
    t10_the_kernel_adds_nothing_to_carpn,
    t10_a_routers_offer_makes_no_route_through_carpn,
    t14_what_queued_up_in_a_stopped_host_never_leaves,
    t15_carpn_follows_the_mtu_of_carpdev,
    t16_routes_through_carpn_count_only_while_it_is_master,
    t16_routes_through_carpn_rest_when_it_was_master,
}
