//! Who answers for which address, and what the host's own applications see of it: T1, T2, T3, T11, T12.

use super::VIRTUAL;
use super::support::frames::{Frame, arp_request, solicitation};
use super::support::hosts::{Host, SOON, own_mac};
use super::support::scene::{SHARED, SHARED6, Scene, join, join_numbered};
use super::support::talk::{Service, datagrams, who};
use carp::linux::clock;
use carp::wire::MacAddr;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Who claims `target` in `frame`, as an answer to a question.
fn answer(frame: &Frame, target: IpAddr) -> Option<MacAddr> {
    match target {
        IpAddr::V4(a) => frame
            .arp()
            .filter(|p| p.op == 2 && p.spa == a)
            .map(|p| p.sha),
        IpAddr::V6(a) => {
            let nd = frame
                .nd()
                .filter(|n| n.kind == 136 && n.target == a && n.flags & 0x40 != 0)?;
            // A unicast question may be answered without the option (RFC 4861 section 4.4).
            Some(nd.lladdr.unwrap_or(frame.src()))
        }
    }
}

/// Fails without arp_ignore on carpdev (the kernel answers with carpdev's MAC too), without arp_ignore on carpN or when the
/// copier hands carpN requests (carpN answers for carpdev's address).
fn t01_each_address_has_one_answer() {
    let scene = Scene::new();
    let heard = scene.c.hears("eth0");
    let out = scene.c.outlet("eth0");
    let (c, own) = (own_mac(0x0c), own_mac(0x0a));
    let (v4, v6) = (
        "192.0.2.13".parse().unwrap(),
        "2001:db8::13".parse().unwrap(),
    );
    let cases = [
        (SHARED, VIRTUAL),
        (SHARED6, VIRTUAL),
        ("192.0.2.11", own),
        ("2001:db8::11", own),
    ];
    for (target, right) in cases {
        let target: IpAddr = target.parse().unwrap();
        for to in [None, Some(right), Some(own)] {
            let mark = clock::now();
            out.send(&match target {
                IpAddr::V4(a) => arp_request((c, v4), a, to.unwrap_or(MacAddr::BROADCAST)),
                IpAddr::V6(a) => solicitation((c, v6), a, to),
            })
            .unwrap();
            heard.expect(mark, SOON, &format!("answer for {target}"), |f| {
                answer(f, target).is_some()
            });
            std::thread::sleep(Duration::from_millis(100));
            let said: Vec<_> = heard
                .after(mark, |_| true)
                .iter()
                .filter_map(|f| Some((f.src(), answer(f, target)?)))
                .collect();
            assert_eq!(
                said,
                [(right, right)],
                "{target} asked of {to:?}: Ethernet source and claimed MAC"
            );
        }
    }
}

/// Fails without arp_announce=2 on carpdev.
fn t02_a_packet_from_the_shared_address_does_not_move_it() {
    let scene = Scene::new();
    let d = Host::on(&scene.segment, "d", 0x0d, &["192.0.2.14/24"]);
    let _service = Service::on(&scene.a);
    assert_eq!(who(&d, SHARED, None).unwrap(), "a");
    assert_eq!(d.neighbour("eth0", SHARED), Some(VIRTUAL));
    // a shall ask for d again.
    scene.a.net(|net| {
        let index = net.link("eth0").unwrap().unwrap().index;
        net.del_neighbour(index, "192.0.2.14".parse().unwrap())
            .unwrap();
    });
    let from_a = scene.a.sends("eth0");
    let mark = clock::now();
    let inbox = datagrams(&d, "192.0.2.14", 9000, None);
    let outbox = datagrams(&scene.a, SHARED, 0, Some("eth0"));
    outbox
        .send_to(b"from the shared address", "192.0.2.14:9000")
        .unwrap();
    let (_, from) = inbox.recv_from(&mut [0; 100]).unwrap();
    assert_eq!(from.ip().to_string(), SHARED);
    let asked = |f: &Frame| {
        f.arp()
            .is_some_and(|p| p.tpa == Ipv4Addr::new(192, 0, 2, 14))
    };
    from_a.expect(mark, SOON, "ARP request for d", asked);
    let shared: Ipv4Addr = SHARED.parse().unwrap();
    let leaked = |f: &Frame| f.arp().is_some_and(|p| p.spa == shared && p.sha != VIRTUAL);
    from_a.silence(
        mark,
        Duration::from_millis(100),
        "the shared address with a physical MAC",
        leaked,
    );
    assert_eq!(d.neighbour("eth0", SHARED), Some(VIRTUAL));
}

/// Fails without rp_filter=2 on carpN.
fn t03_strict_reverse_path_filtering_elsewhere_does_no_harm() {
    let scene = Scene::bare();
    for interface in ["all", "default", "eth0"] {
        scene
            .a
            .sysctl(&format!("net/ipv4/conf/{interface}/rp_filter"), "1");
    }
    join_numbered(&scene.a, "eth0", 1, 0);
    scene
        .a
        .ok("ifconfig carp2 vhid 2 pass secret carpdev eth0 192.0.2.2/32");
    let _service = Service::on(&scene.a);
    for (interface, shared) in [("carp1", SHARED), ("carp2", "192.0.2.2")] {
        scene.a.master(interface);
        assert_eq!(who(&scene.c, shared, None).unwrap(), "a", "{shared}");
    }
}

/// Fails when addresses stay on carpN in BACKUP: packets of the MASTER from the shared address are martians then.
fn t11_a_backup_hears_what_the_master_says_as_the_shared_address() {
    let scene = Scene::new();
    let _service = Service::on(&scene.b);
    for (shared, to) in [(SHARED, "192.0.2.12"), (SHARED6, "2001:db8::12")] {
        assert_eq!(
            who(&scene.a, to, Some(shared)).unwrap(),
            "b",
            "{shared} to {to}"
        );
        let inbox = datagrams(&scene.b, to, 9000, None);
        let outbox = datagrams(&scene.a, shared, 0, None);
        outbox
            .send_to(b"hello", (to.parse::<IpAddr>().unwrap(), 9000))
            .unwrap();
        let (_, from) = inbox.recv_from(&mut [0; 100]).unwrap();
        assert_eq!(from.ip().to_string(), shared);
    }
}

/// Fails when addresses stay on carpN in BACKUP (b reaches itself), or when the MASTER's copier takes what it sends itself.
fn t12_both_hosts_reach_the_shared_address_and_find_the_master() {
    let scene = Scene::new();
    let (_a, _b) = (Service::on(&scene.a), Service::on(&scene.b));
    let (from_a, from_b) = (scene.a.sends("eth0"), scene.b.sends("eth0"));
    for shared in [SHARED, SHARED6] {
        let ip: IpAddr = shared.parse().unwrap();
        let mark = clock::now();
        assert_eq!(who(&scene.a, shared, None).unwrap(), "a");
        from_a.silence(
            mark,
            Duration::from_millis(50),
            "the MASTER asked the wire",
            |f| f.ip_destination() == Some(ip),
        );
        assert_eq!(who(&scene.b, shared, None).unwrap(), "a");
        from_b.expect(mark, SOON, "packet to the shared address", |f| {
            f.ip_destination() == Some(ip)
        });
        assert_eq!(scene.b.neighbour("eth0", shared), Some(VIRTUAL));
    }
}

/// Also T11: a host that has just left MASTER owns as little as one that never was.
fn t11_a_former_master_reaches_its_successor() {
    let scene = Scene::bare();
    join(&scene.a, "eth0", 0);
    join(&scene.b, "eth0", 100);
    scene.a.master("carp1");
    let _services = (Service::on(&scene.a), Service::on(&scene.b));
    assert_eq!(who(&scene.a, SHARED, None).unwrap(), "a");
    scene.a.ok("ifconfig carp1 down");
    scene.b.until_state("carp1", "MASTER");
    for shared in [SHARED, SHARED6] {
        // A connection made during the linger may still meet the old owner; one made after it must not.
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(who(&scene.a, shared, None).unwrap(), "b", "{shared}");
    }
}

super::support::planes! {
    t01_each_address_has_one_answer,
    t02_a_packet_from_the_shared_address_does_not_move_it,
    t03_strict_reverse_path_filtering_elsewhere_does_no_harm,
    t11_a_backup_hears_what_the_master_says_as_the_shared_address,
    t12_both_hosts_reach_the_shared_address_and_find_the_master,
    t11_a_former_master_reaches_its_successor,
}
