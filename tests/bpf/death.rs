//! What is left of a daemon that was killed or stopped: no answer, no frame past the lease, no filter that does anything.

use super::support::frames::{Frame, Nd, arp_request, echo_request, solicitation};
use super::support::hosts::{Host, SOON, Segment, own_mac, until};
use super::support::scene::{SHARED, Scene, join_numbered, join_timed};
use super::support::talk::datagrams;
use carp::linux::bpf::Hook;
use carp::linux::clock;
use carp::wire::MacAddr;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// As many as fit; carp1 to carp64.
const MANY: u8 = 64;

fn asker() -> (MacAddr, Ipv4Addr) {
    (own_mac(0x0c), Ipv4Addr::new(192, 0, 2, 213))
}

fn inet6(number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into())
}

/// Asks for 192.0.2.1 to .`most` and 2001:db8::1 to `most` again and again until `over`.
fn ask_on(c: &Host, most: u8, over: &AtomicBool) {
    let out = c.outlet("eth0");
    while !over.load(Ordering::Relaxed) {
        for number in 1..=most {
            let target = Ipv4Addr::new(192, 0, 2, number);
            let _ = out.send(&arp_request(asker(), target, MacAddr::BROADCAST));
            let asker6 = (own_mac(0x0c), inet6(213));
            let _ = out.send(&solicitation(asker6, inet6(number), None));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn claims(frame: &Frame, most: u8) -> bool {
    frame
        .arp()
        .is_some_and(|p| p.op == 2 && (1..=most).contains(&p.spa.octets()[3]))
}

fn claims6(frame: &Frame, most: u8) -> bool {
    let ours = |n: &Nd| (1..=most).any(|number| n.target == inet6(number));
    frame.nd().is_some_and(|n| n.kind == 136 && ours(&n))
}

fn filters(host: &Host, interface: &str) -> usize {
    host.net(|net| {
        let index = net.link(interface).unwrap().unwrap().index;
        let of = |hook| net.filters(index, hook).unwrap_or_default().len();
        of(Hook::Ingress) + of(Hook::Egress)
    })
}

fn has_qdisc(host: &Host, interface: &str) -> bool {
    host.net(|net| {
        let index = net.link(interface).unwrap().unwrap().index;
        let found = net.classifying().unwrap();
        found.iter().any(|(at, _)| *at == index)
    })
}

/// T30. Fails when the programs go before the last address: then the kernel answers for what is left, with carpdev's MAC.
fn killed_with_many(words: &[&str]) {
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.211/24", "2001:db8::d3/64"]);
    let c = Host::on(&segment, "c", 0x0c, &["192.0.2.213/24", "2001:db8::d5/64"]);
    a.daemon_with(words);
    for number in 1..=MANY {
        join_numbered(&a, "eth0", number, 0);
        let shared = inet6(number);
        a.ok(&format!("ifconfig carp{number} inet6 alias {shared}/64"));
    }
    for number in 1..=MANY {
        a.master(&format!("carp{number}"));
    }
    let from_a = a.sends("eth0");
    let over = AtomicBool::new(false);
    let gone = || (1..=MANY).all(|number| a.carrier(&format!("carp{number}")).is_none());
    let killed = std::thread::scope(|scope| {
        scope.spawn(|| ask_on(&c, MANY, &over));
        let mark = clock::now();
        from_a.expect(mark, SOON, "answer", |f| claims(f, MANY));
        from_a.expect(mark, SOON, "answer", |f| claims6(f, MANY));
        let killed = a.kill();
        assert!(until(SOON, gone), "interfaces stay behind");
        over.store(true, Ordering::Relaxed);
        killed
    });
    // What was on its way when the signal was sent.
    let dead = killed + Duration::from_millis(30);
    from_a.silence(dead, Duration::from_millis(100), "an answer", |f| {
        claims(f, MANY) || claims6(f, MANY)
    });
}

/// The process that attached the programs dies first, and the one that was killed a moment later has the TAPs, too.
#[test]
fn t30_a_killed_host_with_64_groups_answers_nothing() {
    if super::begin() {
        killed_with_many(&[]);
    }
}

/// T30. Fails when an address that several carpN have is kept from the kernel only as long as the one with the lowest vhid is
/// there: here it is the first to go, and another one is MASTER.
#[test]
fn t30_a_killed_host_answers_for_no_address_that_it_shared() {
    if !super::begin() {
        return;
    }
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.211/24"]);
    let c = Host::on(&segment, "c", 0x0c, &["192.0.2.213/24"]);
    a.daemon();
    a.ok("sysctl net.inet.carp.arpbalance=1");
    for (number, timers) in [(2, "0 advskew 20"), (3, "30"), (4, "30"), (1, "30")] {
        let group = format!("ifconfig carp{number} vhid {number} pass secret carpdev eth0");
        a.ok(&format!("{group} advbase {timers} {SHARED}/24"));
    }
    a.master("carp2");
    let from_a = a.sends("eth0");
    let over = AtomicBool::new(false);
    let mark = clock::now();
    std::thread::scope(|scope| {
        scope.spawn(|| ask_on(&c, 1, &over));
        from_a.expect(mark, SOON, "answer", |f| claims(f, 1));
        a.kill();
        let gone = || (1..=4).all(|number| a.carrier(&format!("carp{number}")).is_none());
        assert!(until(SOON, gone), "interfaces stay behind");
        std::thread::sleep(Duration::from_millis(100));
        over.store(true, Ordering::Relaxed);
    });
    // An engine answers as a virtual host.
    let by_kernel = |f: &Frame| claims(f, 1) && f.src() == own_mac(0x0a);
    let answers = from_a.after(mark, by_kernel);
    assert!(answers.is_empty(), "{answers:#?}");
}

/// Filters outlive the last address, links have to.
#[test]
fn t30_a_killed_host_with_64_groups_on_clsact_answers_nothing() {
    if super::begin() {
        killed_with_many(&["--dataplane", "clsact"]);
    }
}

/// Fails when a filter that outlives its daemon does more than to be there, or stays after the next start, or when that start
/// removes what others have there.
#[test]
fn a_filter_left_behind_is_inert_and_cleaned_at_the_next_start() {
    if !super::begin() {
        return;
    }
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.211/24"]);
    let c = Host::on(&segment, "c", 0x0c, &["192.0.2.213/24"]);
    a.daemon_with(&["--dataplane", "clsact"]);
    join_numbered(&a, "eth0", 1, 0);
    a.master("carp1");
    assert_eq!(filters(&a, "eth0"), 2);
    a.kill();
    assert!(until(SOON, || a.carrier("carp1").is_none()));
    assert_eq!(filters(&a, "eth0"), 2, "filters outlive their daemon");
    // An admin who gives the address to carpdev is served.
    a.address("eth0", "192.0.2.1/24");
    let (from_a, out) = (a.sends("eth0"), c.outlet("eth0"));
    let mark = clock::now();
    let shared: Ipv4Addr = SHARED.parse().unwrap();
    let inert = || {
        out.send(&arp_request(asker(), shared, MacAddr::BROADCAST))
            .unwrap();
        let bound = Duration::from_millis(100);
        from_a.seek(mark, bound, |f| claims(f, 1)).is_some()
    };
    // What is left of the lease, and the grace of 20 s.
    assert!(
        until(Duration::from_secs(40), inert),
        "no answer of the kernel"
    );
    // The next daemon need not use that carpdev.
    a.daemon_with(&["--dataplane", "tcx"]);
    assert!(until(SOON, || filters(&a, "eth0") == 0));
    assert!(until(SOON, || !has_qdisc(&a, "eth0")), "the qdisc was ours");
    a.terminate();
    // One that somebody else made stays.
    a.net(|net| {
        net.add_clsact(net.link("eth0").unwrap().unwrap().index)
            .unwrap()
    });
    a.daemon_with(&["--dataplane", "clsact"]);
    join_numbered(&a, "eth0", 2, 0);
    a.master("carp2");
    assert_eq!(filters(&a, "eth0"), 2);
    a.kill();
    a.daemon_with(&["--dataplane", "clsact"]);
    assert!(until(SOON, || filters(&a, "eth0") == 0));
    assert!(has_qdisc(&a, "eth0"), "the qdisc was not ours");
}

/// Fails when a stop leaves anything, or any setting of the host is not as it was.
#[test]
fn a_polite_end_leaves_nothing() {
    if !super::begin() {
        return;
    }
    for plane in ["tcx", "clsact"] {
        let segment = Segment::new();
        let a = Host::on(&segment, "a", 0x0a, &["192.0.2.211/24"]);
        let settings = || {
            ["all", "default", "eth0"].map(|interface| {
                ["arp_ignore", "arp_announce", "rp_filter", "accept_local"]
                    .map(|key| a.sysctl_value(&format!("net/ipv4/conf/{interface}/{key}")))
            })
        };
        let before = settings();
        a.daemon_with(&["--dataplane", plane]);
        join_numbered(&a, "eth0", 1, 0);
        a.master("carp1");
        assert_eq!(settings(), before, "{plane}: while it serves");
        a.terminate();
        assert_eq!(settings(), before, "{plane}");
        assert_eq!((filters(&a, "eth0"), has_qdisc(&a, "eth0")), (0, false));
        let left = std::fs::read_dir(&a.run).unwrap().flatten();
        let left: Vec<_> = left.filter(|e| e.path().is_dir()).collect();
        assert!(left.is_empty(), "{plane}: {left:?}");
    }
}

/// Fails when the programs serve without a lease: the peer has taken over, and two hosts answer. `advbase` and `advskew` of
/// the stopped host; the lease is what its peer waits for, less a margin.
fn stopped((advbase, advskew): (u8, u8), lease: Duration) {
    for plane in ["tcx", "clsact"] {
        let scene = Scene::unborn();
        for host in [&scene.a, &scene.b] {
            host.daemon_with(&["--dataplane", plane]);
        }
        join_timed(&scene.b, "eth0", advbase, advskew.saturating_add(100));
        join_timed(&scene.a, "eth0", advbase, advskew);
        scene.a.master("carp1");
        scene.b.until_state("carp1", "BACKUP");
        let from_a = scene.a.sends("eth0");
        // c's kernel learns where the shared address is.
        let resolver = datagrams(&scene.c, "192.0.2.13", 0, None);
        resolver.send_to(b"x", (SHARED, 9)).unwrap();
        let over = AtomicBool::new(false);
        let (frozen, thawed) = std::thread::scope(|scope| {
            scope.spawn(|| ping_on(&scene.c, &over));
            std::thread::sleep(Duration::from_millis(300));
            let frozen = scene.a.freeze(true);
            std::thread::sleep(Duration::from_secs(5));
            // With small timers not for long: b is too slow for a.
            scene.b.until_state("carp1", "MASTER");
            let thawed = scene.a.freeze(false);
            scene.a.until_state("carp1", "BACKUP");
            over.store(true, Ordering::Relaxed);
            (frozen, thawed)
        });
        let served = |f: &Frame| f.echo().is_some_and(|e| !e.request && e.ident == 77);
        let shared = SHARED.parse().unwrap();
        let spoke = |f: &Frame| served(f) || f.claims(shared);
        // It served while the lease ran ...
        assert!(
            !from_a
                .after(frozen + Duration::from_millis(20), served)
                .is_empty()
                || advbase == 0
        );
        // ... and neither answered nor forwarded after it, not even when it woke up.
        let end = frozen + lease + Duration::from_millis(30);
        let wrong = from_a.after(end, |f| spoke(f) && f.at < thawed);
        assert!(
            wrong.is_empty(),
            "{plane}: {:?} after the stop: {:?}",
            wrong[0].at.since(frozen),
            wrong[0]
        );
        let woken = from_a.after(thawed, spoke);
        assert!(woken.is_empty(), "{plane}: after waking up: {:?}", woken[0]);
        assert_eq!(scene.c.neighbour("eth0", SHARED), Some(MacAddr::of_vhid(1)));
    }
}

#[test]
fn a_stopped_master_is_silent_after_its_lease_at_advbase_1() {
    if !super::begin() {
        return;
    }
    stopped((1, 0), Duration::from_millis(2900));
}

#[test]
fn a_stopped_master_is_silent_after_its_lease_at_small_timers() {
    if !super::begin() {
        return;
    }
    stopped((0, 20), Duration::from_millis(196));
}

/// Sends echo requests for the shared address and asks for it, until `over`.
fn ping_on(c: &Host, over: &AtomicBool) {
    let out = c.outlet("eth0");
    let shared: Ipv4Addr = SHARED.parse().unwrap();
    let from = (own_mac(0x0c), "192.0.2.13".parse().unwrap());
    let mut seq = 0;
    while !over.load(Ordering::Relaxed) {
        let ping = echo_request(from, (MacAddr::of_vhid(1), shared.into()), 77, seq);
        let _ = out.send(&ping);
        let asker = (own_mac(0x0c), Ipv4Addr::new(192, 0, 2, 13));
        let _ = out.send(&arp_request(asker, shared, MacAddr::BROADCAST));
        seq = seq.wrapping_add(1);
        std::thread::sleep(Duration::from_millis(10));
    }
}
