//! A daemon that stands still for five seconds: its data plane serves until the lease is over and not after.

use super::VIRTUAL;
use super::support::frames::{Frame, arp_request, echo_request, solicitation};
use super::support::hosts::{Host, SOON, own_mac, until};
use super::support::plane::in_kernel;
use super::support::scene::{SHARED, SHARED6, Scene, join_timed};
use super::support::talk::{Service, who};
use carp::linux::clock;
use carp::linux::netlink::NeighbourState;
use carp::time::Instant;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

const STOP: Duration = Duration::from_secs(5);
/// A frame that the kernel had in hand when the lease ran out, and a busy machine.
const IN_HAND: Duration = Duration::from_millis(30);
const CLIENT: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(192, 0, 2, 13),
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x13),
);
/// Behind a, which forwards to it.
const INNER: &str = "198.51.100.13";

/// The client's questions to a host's port, every 10 ms until `end`: for both shared addresses by ARP, ND and echo, and for what
/// lies behind the host.
fn ask(inlet: &carp::linux::packet::PacketSocket, end: Instant) {
    let mac = own_mac(0x0c);
    let (four, six): (Ipv4Addr, Ipv6Addr) = (SHARED.parse().unwrap(), SHARED6.parse().unwrap());
    let mut seq = 0;
    while clock::now() < end {
        seq += 1;
        let echo = |from: IpAddr, to: IpAddr| echo_request((mac, from), (VIRTUAL, to), 0x57, seq);
        for frame in [
            echo(CLIENT.0.into(), four.into()),
            echo(CLIENT.1.into(), six.into()),
            echo(CLIENT.0.into(), INNER.parse().unwrap()),
            arp_request((mac, CLIENT.0), four, VIRTUAL),
            solicitation((mac, CLIENT.1), six, None),
        ] {
            inlet.send(&frame).unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// An answer, as an owner gives it.
fn answers(frame: &Frame) -> bool {
    let claims = frame.claims(SHARED.parse().unwrap()) || frame.claims(SHARED6.parse().unwrap());
    claims || frame.src() == VIRTUAL || frame.echo().is_some_and(|e| !e.request && e.ident == 0x57)
}

fn forwarded(frame: &Frame) -> bool {
    frame.echo().is_some_and(|e| e.request && e.ident == 0x57)
}

/// Three hosts, a with a second segment behind it, to which it forwards.
fn scene(advbase: u8, skews: (u8, u8)) -> (Scene, [Service; 2]) {
    let scene = Scene::bare();
    let services = [Service::on(&scene.a), Service::on(&scene.b)];
    let inner = super::support::hosts::Segment::new();
    scene.a.plug(&inner, "eth1", 0x1a);
    scene.a.address("eth1", "198.51.100.1/24");
    scene.a.sysctl("net/ipv4/ip_forward", "1");
    let know = |interface: &str, ip: IpAddr, mac: u8| {
        scene.a.net(|net| {
            let index = net.link(interface).unwrap().unwrap().index;
            let permanent = NeighbourState::Permanent;
            net.replace_neighbour(index, ip, own_mac(mac), permanent)
                .unwrap();
        });
    };
    know("eth1", INNER.parse().unwrap(), 0x77);
    know("eth0", CLIENT.0.into(), 0x0c);
    know("eth0", CLIENT.1.into(), 0x0c);
    join_timed(&scene.b, "eth0", advbase, skews.1);
    join_timed(&scene.a, "eth0", advbase, skews.0);
    scene.a.master("carp1");
    scene.b.until_state("carp1", "BACKUP");
    assert_eq!(who_of(&scene.c), Some("a".to_owned()));
    (scene, services)
}

fn who_of(c: &Host) -> Option<String> {
    let a = who(c, SHARED, None).ok()?;
    (who(c, SHARED6, None).ok()? == a).then_some(a)
}

/// Stops a for five seconds and looks at what it sends; `lease` is that of its timers.
fn stopped(advbase: u8, skews: (u8, u8), lease: Duration) {
    let (scene, _services) = scene(advbase, skews);
    let (a, b, c) = (&scene.a, &scene.b, &scene.c);
    let (from_a, from_b, inner) = (a.sends("eth0"), b.sends("eth0"), a.sends("eth1"));
    let inlet = a.inlet("eth0");
    // A whole interval, so that the last advertisement before the stop is on record.
    std::thread::sleep(Duration::from_millis(1200 + 1000 * u64::from(advbase)));
    let frozen = a.freeze(true);
    let end = frozen + STOP;
    std::thread::scope(|scope| {
        scope.spawn(|| ask(&inlet, end));
    });
    let thawed = a.freeze(false);
    let adverts = from_a
        .frames()
        .into_iter()
        .filter(|f| f.advert().is_some() && f.at < frozen + IN_HAND);
    let last = adverts.map(|f| f.at).max().expect("a has advertised");
    let over = last + lease + IN_HAND;
    if over > thawed {
        // The lease outlived the stop: nobody noticed.
        assert_eq!(
            (a.state("carp1"), b.state("carp1")),
            ("MASTER".to_owned(), "BACKUP".to_owned())
        );
        assert_eq!(who_of(c), Some("a".to_owned()));
        return;
    }
    let early = from_a.after(frozen + IN_HAND, |f| f.at < last + lease && answers(f));
    assert_eq!(
        !early.is_empty(),
        in_kernel(),
        "programs in the kernel go on until the lease is over"
    );
    let early = inner.after(frozen + IN_HAND, |f| f.at < last + lease && forwarded(f));
    assert_eq!(!early.is_empty(), in_kernel(), "and forward");
    let late = |f: &Frame| f.at < thawed;
    let said = from_a.after(over, |f| late(f) && answers(f));
    assert!(
        said.is_empty(),
        "past its lease ({lease:?} after {last:?}): {:?}",
        said.first()
    );
    let passed = inner.after(over, |f| late(f) && forwarded(f));
    assert!(
        passed.is_empty(),
        "forwarded past its lease: {:?}",
        passed.first()
    );
    // The successor, and what the stopped one says when it wakes.
    from_b.expect(frozen, SOON, "advertisement of b", |f| f.advert().is_some());
    a.until_state("carp1", "BACKUP");
    assert!(
        a.said()
            .contains("MASTER -> BACKUP (stalled past its lease)"),
        "{}",
        a.said()
    );
    assert!(!a.has_address("carp1", SHARED));
    std::thread::sleep(Duration::from_millis(300));
    let woke = from_a.after(thawed, |f| answers(f) || f.advert().is_some());
    assert!(
        woke.is_empty(),
        "it woke and spoke as an owner: {:?}",
        woke.first()
    );
    let wrong = |f: &Frame| {
        f.arp()
            .is_some_and(|p| p.spa.to_string() == SHARED && p.sha != VIRTUAL)
    };
    assert_eq!(
        from_a.after(frozen, wrong).len() + from_b.after(frozen, wrong).len(),
        0
    );
    assert_eq!(
        c.neighbour("eth0", SHARED),
        Some(VIRTUAL),
        "the client was repainted"
    );
    assert!(until(SOON, || who_of(c).as_deref() == Some("b")));
    assert_eq!(
        (a.state("carp1"), b.state("carp1")),
        ("BACKUP".to_owned(), "MASTER".to_owned())
    );
}

fn five_seconds_at_advbase_one() {
    stopped(1, (0, 100), Duration::from_millis(2900));
}

fn five_seconds_at_advbase_zero() {
    stopped(
        0,
        (20, 40),
        Duration::from_micros(20 * 1_000_000 / 256 * 5 / 2),
    );
}

fn five_seconds_within_the_lease_of_advbase_two() {
    stopped(2, (0, 100), Duration::from_millis(5900));
}

super::support::planes! {
    five_seconds_at_advbase_one,
    five_seconds_at_advbase_zero,
    five_seconds_within_the_lease_of_advbase_two,
}
