//! Kinds of carpdev: T8 and T17.

use super::VIRTUAL;
use super::support::frames::{Advert, Frame, arp_request, echo_request, solicitation};
use super::support::hosts::{Host, SOON, Segment, own_mac, until};
use super::support::scene::{SHARED, SHARED6, Scene, join, join_numbered};
use super::support::talk::{Service, who};
use carp::linux::clock;
use carp::wire::MacAddr;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// a with eth0 in a bridge br0 of its own that carries its address, and a client.
fn bridged() -> (Host, Host) {
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &[]);
    a.net(|net| {
        net.create_bridge("br0").unwrap();
        let (bridge, port) = (
            net.link("br0").unwrap().unwrap().index,
            net.link("eth0").unwrap().unwrap().index,
        );
        net.set_mac(bridge, own_mac(0x0a)).unwrap();
        net.set_master(port, Some(bridge)).unwrap();
        net.set_up(bridge, true).unwrap();
    });
    a.address("br0", "192.0.2.11/24");
    a.address("br0", "2001:db8::11/64");
    a.daemon();
    (
        a,
        Host::on(&segment, "c", 0x0c, &["192.0.2.13/24", "2001:db8::13/64"]),
    )
}

/// Fails without the unicast membership for the virtual MAC on carpdev.
fn t08_a_bridge_can_be_carpdev() {
    let (a, c) = bridged();
    let _service = Service::on(&a);
    join(&a, "br0", 0);
    a.master("carp1");
    for shared in [SHARED, SHARED6] {
        let reached = until(SOON, || who(&c, shared, None).is_ok_and(|name| name == "a"));
        assert!(reached, "{shared} is not served");
    }
    assert_eq!(c.neighbour("eth0", SHARED), Some(VIRTUAL));
}

/// Fails when the bridge keeps its arp_ignore: it hears what its port hears, and answers for the shared address too.
fn t17_a_bridge_port_can_be_carpdev() {
    let (a, c) = bridged();
    let _service = Service::on(&a);
    let from_a = a.sends("eth0");
    let mark = clock::now();
    join(&a, "eth0", 0);
    a.master("carp1");
    for shared in [SHARED, SHARED6] {
        let reached = until(SOON, || who(&c, shared, None).is_ok_and(|name| name == "a"));
        assert!(reached, "{shared} is not served");
    }
    let shared: IpAddr = SHARED.parse().unwrap();
    let wrong = |f: &Frame| {
        f.arp()
            .is_some_and(|p| IpAddr::V4(p.spa) == shared && p.sha != VIRTUAL)
    };
    from_a.silence(
        mark,
        Duration::from_millis(100),
        "the bridge answered",
        wrong,
    );
    assert_eq!(c.neighbour("eth0", SHARED), Some(VIRTUAL));
    a.ok("ifconfig carp1 destroy");
    let restored = || a.sysctl_value("net/ipv4/conf/br0/arp_ignore") == "0";
    assert!(until(SOON, restored), "the bridge is not as it was");
}

/// Fails when the daemon's sockets stay behind the programs, where a bridge leaves nothing, or on the wire, where they cost
/// every frame something and questions are answered twice.
fn t17_a_carpdev_that_becomes_a_bridge_port_and_leaves_hears_on() {
    let scene = Scene::bare();
    let (a, from_a) = (&scene.a, scene.a.sends("eth0"));
    join(a, "eth0", 100);
    a.master("carp1");
    let bridge = a.net(|net| {
        let bridge = net.create_bridge("br0").unwrap();
        net.set_mac(bridge, own_mac(0x0a)).unwrap();
        net.set_up(bridge, true).unwrap();
        bridge
    });
    let out = scene.a.inlet("eth0");
    let (v4, v6) = (SHARED.parse().unwrap(), SHARED6.parse().unwrap());
    let c = own_mac(0x0c);
    let questions = [
        arp_request((c, "192.0.2.13".parse().unwrap()), v4, MacAddr::BROADCAST),
        solicitation((c, "2001:db8::13".parse().unwrap()), v6, None),
    ];
    for (round, master) in (0..).zip([None, Some(bridge), None]) {
        a.net(|net| {
            let port = net.link("eth0").unwrap().unwrap().index;
            net.set_master(port, master).unwrap();
        });
        for (question, shared) in questions.iter().zip([IpAddr::V4(v4), IpAddr::V6(v6)]) {
            let answers = |f: &Frame| f.dst() == c && f.claims(shared);
            let mark = clock::now();
            let answered = until(SOON, || {
                out.send(question).unwrap();
                let pause = Duration::from_millis(100);
                from_a.seek(mark, pause, answers).is_some()
            });
            assert!(answered, "round {round}: no answer for {shared}");
            std::thread::sleep(Duration::from_millis(200));
            let mark = clock::now();
            out.send(question).unwrap();
            std::thread::sleep(Duration::from_millis(200));
            let answers = from_a.after(mark, answers);
            assert_eq!(answers.len(), 1, "round {round}: {answers:?}");
            assert_eq!(answers[0].src(), VIRTUAL);
        }
        for (source, counter) in [("192.0.2.99", 1), ("fe80::99", 2)] {
            a.master("carp1");
            let mut better = Advert::new(1, "secret", &[SHARED, SHARED6], source);
            better.advbase = 1;
            better.counter = 10 * round + counter;
            out.send(&better.frame()).unwrap();
            a.until_state("carp1", "BACKUP");
            a.ok("ifconfig carp1 state master");
        }
    }
}

/// Fails when one group's end closes what the other one needs: sockets, groups, memberships, settings of carpdev.
fn t17_two_vhids_on_one_carpdev_live_and_die_apart() {
    let scene = Scene::bare();
    let _services = (Service::on(&scene.a), Service::on(&scene.b));
    join_numbered(&scene.a, "eth0", 1, 0);
    join_numbered(&scene.a, "eth0", 2, 0);
    scene.a.master("carp1");
    scene.a.master("carp2");
    let (from_a, to_a) = (scene.a.sends("eth0"), scene.a.inlet("eth0"));
    let answers = |number: u8| {
        let shared = Ipv4Addr::new(192, 0, 2, number);
        let asker = (own_mac(0x0c), Ipv4Addr::new(192, 0, 2, 13));
        let mark = clock::now();
        to_a.send(&arp_request(asker, shared, MacAddr::BROADCAST))
            .unwrap();
        // To the asker: no announcement.
        let answer = |f: &Frame| f.dst() == asker.0 && f.claims(shared.into());
        let frame = from_a.expect(mark, SOON, &format!("answer for {shared}"), answer);
        assert_eq!(frame.src(), MacAddr::of_vhid(number));
    };
    for number in [1, 2] {
        answers(number);
        let shared = format!("192.0.2.{number}");
        assert_eq!(who(&scene.c, &shared, None).unwrap(), "a", "{shared}");
    }
    scene.a.ok("ifconfig carp1 destroy");
    answers(2);
    let mark = clock::now();
    assert_eq!(who(&scene.c, "192.0.2.2", None).unwrap(), "a");
    from_a.expect(mark, SOON, "advertisement of vhid 2", |f| {
        f.advert().is_some_and(|s| s.vhid == 2)
    });
    let dead = |f: &Frame| f.src() == VIRTUAL || f.claims(SHARED.parse().unwrap());
    from_a.silence(mark, Duration::ZERO, "the destroyed group spoke", dead);
    assert!(who(&scene.c, SHARED, None).is_err(), "nobody owns {SHARED}");
}

/// Fails when the daemon keeps to the index of a carpdev that is gone.
fn t17_a_carpdev_that_returns_serves_again() {
    let scene = Scene::bare();
    let _service = Service::on(&scene.a);
    join_numbered(&scene.a, "eth0", 1, 0);
    scene.a.master("carp1");
    assert_eq!(who(&scene.c, SHARED, None).unwrap(), "a");
    scene.a.unplug("eth0");
    scene.a.until_state("carp1", "INIT");
    assert!(who(&scene.c, SHARED, None).is_err(), "nobody owns {SHARED}");
    scene.a.plug(&scene.segment, "eth0", 0x1a);
    scene.a.address("eth0", "192.0.2.11/24");
    scene.a.master("carp1");
    assert_eq!(who(&scene.c, SHARED, None).unwrap(), "a");
}

/// A macvlan never gets unicast frames for a foreign MAC: it is refused in one line, or it serves.
#[test]
fn t17_a_macvlan_is_refused_or_serves() {
    super::support::privileged!();
    let scene = Scene::bare();
    let _service = Service::on(&scene.a);
    scene.a.net(|net| {
        let lower = net.link("eth0").unwrap().unwrap().index;
        net.create_macvlan("mv0", lower, carp::linux::netlink::MacvlanMode::Bridge)
            .unwrap();
        net.set_up(net.link("mv0").unwrap().unwrap().index, true)
            .unwrap();
    });
    let line = [
        "ifconfig",
        "carp1",
        "vhid",
        "1",
        "pass",
        "secret",
        "carpdev",
        "mv0",
        "192.0.2.1/24",
    ];
    let done = scene.a.finish(&mut scene.a.command(&line));
    if done.code == Some(0) {
        scene.a.master("carp1");
        assert_eq!(
            who(&scene.c, SHARED, None).unwrap(),
            "a",
            "accepted, so it must serve"
        );
        // By the virtual MAC, not by the lower interface's own answer.
        let from_a = scene.a.sends("eth0");
        let client = (own_mac(0x0c), "192.0.2.13".parse().unwrap());
        let echo = echo_request(client, (VIRTUAL, SHARED.parse().unwrap()), 0x17, 1);
        let mark = clock::now();
        scene.a.inlet("eth0").send(&echo).unwrap();
        from_a.expect(
            mark,
            SOON,
            "reply to an echo request to the virtual MAC",
            |f| f.echo().is_some_and(|e| !e.request && e.ident == 0x17),
        );
    } else {
        assert_eq!(done.code, Some(1));
        assert!(
            done.err.contains("mv0") || done.err.contains("macvlan"),
            "the reason: {done:?}"
        );
        assert_eq!(scene.a.carrier("carp1"), None, "nothing was made");
    }
}

/// An ipvlan has its lower interface's MAC, and no second one reaches it. Fails when it is taken, or refused without the reason.
#[test]
fn t17_an_ipvlan_is_refused() {
    super::support::privileged!();
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24"]);
    let lower = a.index("eth0");
    if let Err(e) = a.net(|net| net.create_ipvlan("iv0", lower)) {
        assert_eq!(e.errno(), libc::EOPNOTSUPP, "{e}");
        super::support::privilege::skip_here("this kernel has no ipvlan");
        return;
    }
    a.daemon();
    let refused = a.refused("ifconfig carp1 vhid 1 carpdev iv0 192.0.2.1/24");
    assert_eq!(
        refused,
        "ifconfig: SIOCSVH: Invalid argument\n\
         ifconfig: carpdev iv0 is an ipvlan: it has no MAC of its own; use its lower interface\n"
    );
    assert_eq!(a.carrier("carp1"), None, "nothing was made");
}

super::support::planes! {
    t08_a_bridge_can_be_carpdev,
    t17_a_bridge_port_can_be_carpdev,
    t17_a_carpdev_that_becomes_a_bridge_port_and_leaves_hears_on,
    t17_two_vhids_on_one_carpdev_live_and_die_apart,
    t17_a_carpdev_that_returns_serves_again,
}
