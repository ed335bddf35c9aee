//! Births and deaths: T21, T24, T26.

use super::VIRTUAL;
use super::support::frames::{Frame, arp_request, echo_request};
use super::support::hosts::{Host, SOON, Segment, own_mac, until};
use super::support::scene::{SHARED, Scene, join, join_numbered};
use super::support::talk::{Service, who};
use carp::linux::clock;
use carp::linux::monitor::{Event, Monitor};
use carp::linux::tap::Tap;
use carp::time::Instant;
use carp::wire::MacAddr;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Fails when a taken name is an answer instead of tried again: the line of words is refused and nobody serves.
fn t21_a_name_that_somebody_just_gives_up_is_waited_for() {
    let scene = Scene::bare();
    let _service = Service::on(&scene.a);
    for _ in 0..5 {
        let dying = scene.a.place.run(|| Tap::create("carp1").unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(40));
                drop(dying);
            });
            join_numbered(&scene.a, "eth0", 1, 0);
        });
        scene.a.master("carp1");
        assert_eq!(who(&scene.c, SHARED, None).unwrap(), "a");
        scene.a.ok("ifconfig carp1 destroy");
    }
}

/// What the admin sees of T21: mostly the kernel's own lock makes a new daemon wait for the dying one, so that the patience is
/// tested above.
fn t21_a_successor_need_not_wait_for_a_dying_daemon() {
    let scene = Scene::bare();
    let _service = Service::on(&scene.a);
    // The last interface of a dead process goes last: its name is asked for first.
    const MANY: u8 = 8;
    for _ in 0..3 {
        for number in (1..=MANY).rev() {
            join_numbered(&scene.a, "eth0", number, 0);
        }
        scene.a.master("carp1");
        assert_eq!(who(&scene.c, SHARED, None).unwrap(), "a");
        // The next round leaves them in the order in which they were made.
        scene.a.kill_and_leave();
        scene.a.daemon();
    }
}

/// Fails when the kernel is not asked for carpN right after "carrier on", or when the data plane drops what carpN sends while
/// arming: then the ARP request for the asker is lost, and the next one follows a second later.
fn t24_what_is_asked_after_the_first_advertisement_is_answered() {
    let segment = Segment::new();
    // Without an address on carpdev all answers leave by carpN.
    let a = Host::on(&segment, "a", 0x0a, &[]);
    let c = Host::on(&segment, "c", 0x0c, &["192.0.2.13/24"]);
    a.daemon();
    join(&a, "eth0", 0);
    a.master("carp1");
    let (from_a, heard) = (a.sends("eth0"), c.hears("eth0"));
    let out = c.outlet("eth0");
    for round in 0..6u16 {
        // An asker that a has never heard of.
        let own = format!("192.0.2.{}", 20 + round);
        c.address("eth0", &format!("{own}/24"));
        let from: (MacAddr, IpAddr) = (own_mac(0x0c), own.parse().unwrap());
        a.ok("ifconfig carp1 state backup");
        a.until_state("carp1", "BACKUP");
        if round % 2 == 0 {
            // The linger is over, a has forgotten c; else it is promoted again within it.
            std::thread::sleep(Duration::from_millis(300));
        }
        let mark = clock::now();
        // Asked twice a millisecond, from before the change until after it. Answers that wait for an ARP reply fill the kernel's
        // ICMP socket, which has room for some 200.
        let sent = std::thread::scope(|scope| {
            let asker = scope.spawn(|| {
                let mut sent = Vec::new();
                for seq in 0..500u16 {
                    let frame = echo_request(from, (VIRTUAL, SHARED.parse().unwrap()), round, seq);
                    let now = clock::now();
                    sent.push(now);
                    out.send(&frame).unwrap();
                    let used = clock::now().since(now);
                    std::thread::sleep(Duration::from_micros(500).saturating_sub(used));
                }
                sent
            });
            std::thread::sleep(Duration::from_millis(50));
            a.ok("ifconfig carp1 state master");
            asker.join().unwrap()
        });
        let advert = from_a.expect(mark, SOON, "advertisement", |f| f.advert().is_some());
        std::thread::sleep(Duration::from_millis(100));
        let replies = heard.after(mark, |f| {
            f.echo().is_some_and(|e| !e.request && e.ident == round)
        });
        let answered: Vec<_> = replies.iter().map(|f| f.echo().unwrap().seq).collect();
        let asked = (0u16..)
            .zip(&sent)
            .filter(|(_, at)| **at > advert.at)
            .map(|(seq, _)| seq);
        let lost: Vec<_> = asked.filter(|seq| !answered.contains(seq)).collect();
        assert!(
            lost.is_empty(),
            "round {round}: asked after the advertisement and lost: {lost:?}"
        );
    }
}

/// One host with 16 groups, MASTER of all.
fn many() -> (Host, Host) {
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.111/24"]);
    let c = Host::on(&segment, "c", 0x0c, &["192.0.2.113/24"]);
    a.daemon();
    for number in 1..=16 {
        join_numbered(&a, "eth0", number, 0);
    }
    for number in 1..=16 {
        a.master(&format!("carp{number}"));
    }
    (a, c)
}

fn ask_for_all(c: &Host) {
    let out = c.outlet("eth0");
    for number in 1..=16 {
        let asker = (own_mac(0x0c), Ipv4Addr::new(192, 0, 2, 113));
        out.send(&arp_request(
            asker,
            Ipv4Addr::new(192, 0, 2, number),
            MacAddr::BROADCAST,
        ))
        .unwrap();
    }
}

fn claims_any(frame: &Frame) -> bool {
    frame
        .arp()
        .is_some_and(|p| (1..=16).contains(&p.spa.octets()[3]))
}

/// When each carpN of `host` disappeared, until `over`.
fn departures(host: &Host, over: &AtomicBool) -> Vec<Instant> {
    let monitor = host.place.run(|| Monitor::open().unwrap());
    let mut gone = Vec::new();
    loop {
        let last = over.load(Ordering::Relaxed);
        let events = monitor.read().unwrap_or_default();
        let ours =
            |e: &&Event| matches!(e, Event::LinkGone { name, .. } if name.starts_with("carp"));
        gone.extend(events.iter().filter(ours).map(|_| clock::now()));
        if last {
            return gone;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Fails when the interfaces are deleted one by one, or when answers go on while they are.
fn t26_a_polite_end_removes_all_interfaces_at_once() {
    let (a, c) = many();
    let from_a = a.sends("eth0");
    let mark = clock::now();
    ask_for_all(&c);
    for number in 1..=16 {
        let shared = Ipv4Addr::new(192, 0, 2, number);
        from_a.expect(mark, SOON, "answer", |f| f.claims(shared.into()));
    }
    let over = AtomicBool::new(false);
    let gone = std::thread::scope(|scope| {
        let watch = scope.spawn(|| departures(&a, &over));
        // The monitor has to listen first.
        std::thread::sleep(Duration::from_millis(100));
        a.terminate();
        over.store(true, Ordering::Relaxed);
        watch.join().unwrap()
    });
    let end = clock::now();
    for number in 1..=16 {
        assert_eq!(
            a.carrier(&format!("carp{number}")),
            None,
            "carp{number} is still there"
        );
    }
    assert_eq!(gone.len(), 16);
    // One by one each takes the kernel 20 ms, on an idle machine.
    let span = gone[15].since(gone[0]);
    assert!(
        span < Duration::from_millis(200),
        "the first and the last are {span:?} apart"
    );
    ask_for_all(&c);
    from_a.silence(
        end,
        Duration::from_millis(300),
        "an answer after the end",
        claims_any,
    );
}

/// Fails when the kernel can answer for addresses that are still there (arp_ignore on carpdev).
fn t26_a_killed_host_answers_nothing_while_its_interfaces_die() {
    let (a, c) = many();
    let from_a = a.sends("eth0");
    let mark = clock::now();
    ask_for_all(&c);
    from_a.expect(mark, SOON, "answer", claims_any);
    std::thread::sleep(Duration::from_millis(200));
    let out = c.outlet("eth0");
    let killed = std::thread::scope(|scope| {
        let killer = scope.spawn(|| a.kill());
        for _ in 0..60 {
            for number in 1..=16 {
                let asker = (own_mac(0x0c), Ipv4Addr::new(192, 0, 2, 113));
                let _ = out.send(&arp_request(
                    asker,
                    Ipv4Addr::new(192, 0, 2, number),
                    MacAddr::BROADCAST,
                ));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        killer.join().unwrap()
    });
    // What was on its way when the signal was sent.
    let dead = killed + Duration::from_millis(30);
    from_a.silence(
        dead,
        Duration::from_millis(100),
        "a dead host answered",
        claims_any,
    );
    let gone = || (1..=16).all(|number| a.carrier(&format!("carp{number}")).is_none());
    assert!(until(SOON, gone), "interfaces stay behind");
}

super::support::planes! {
    t21_a_name_that_somebody_just_gives_up_is_waited_for,
    t21_a_successor_need_not_wait_for_a_dying_daemon,
    t24_what_is_asked_after_the_first_advertisement_is_answered,
    t26_a_polite_end_removes_all_interfaces_at_once,
    t26_a_killed_host_answers_nothing_while_its_interfaces_die,
}
