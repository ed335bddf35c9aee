//! An engine that dies has a successor that goes on in its place; a parent that dies takes all with it. `CARP_CRASHES=100` kills
//! more. What a machine makes of it at that moment is printed with `--nocapture`.
#![allow(clippy::unwrap_used)]

mod support;

use carp::lab::asker::{Asker, Asking};
use carp::lab::figures::{self, interval};
use carp::lab::prober::Prober;
use carp::lab::stall::StallMeter;
use carp::linux::clock;
use carp::time::Instant;
use carp::wire::Family;
use nix::sys::signal::{Signal, kill};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use support::frames::{Arp, Frame};
use support::hosts::{Host, SOON, Segment, own_mac, until};
use support::plane;
use support::scene::{SHARED, SHARED6, Scene, join, join_numbered, join_timed};
use support::stream::{Stream, sent_again};
use support::wire::Wire;

/// Between two deaths of one host's engines, so that they are no crash loop.
const SPACING: Duration = Duration::from_millis(1250);
/// More within ten seconds are one.
const LOOP: usize = 9;
/// A busy machine takes its time to run what is ready.
const LATE: Duration = Duration::from_millis(60);

/// So long packets for an unanswered question are kept at one a millisecond, with some reserve.
const KEPT: Duration = Duration::from_millis(80);

/// Ends the engine and waits until another one answers.
#[track_caller]
fn strike(host: &Host, signal: Signal) {
    let victim = host.engine();
    kill(victim, signal).unwrap();
    let next = || {
        kill(victim, None).is_err() && host.finish(&mut host.command(&["ifconfig"])).code == Some(0)
    };
    assert!(until(SOON, next), "no engine goes on: {}", host.said());
}

fn advert(frame: &Frame) -> bool {
    frame.advert().is_some() && frame.ethertype() == 0x0800
}

/// The longest time from one advertisement to the next.
fn longest_gap(adverts: &[Frame]) -> Duration {
    let gaps = adverts.windows(2).map(|two| two[1].at.since(two[0].at));
    gaps.max().unwrap_or_default()
}

fn deaths() -> usize {
    plane::rounds("CARP_CRASHES")
}

/// Engines of a, the MASTER, and of b, the BACKUP, die in turn under probes.
fn dead_engines_cost_no_packet_and_move_nothing() {
    let scene = Scene::new();
    let targets: [IpAddr; 2] = [SHARED.parse().unwrap(), SHARED6.parse().unwrap()];
    let (from_a, from_b) = (scene.a.sends("eth0"), scene.b.sends("eth0"));
    let stalls = StallMeter::start().unwrap();
    let period = Duration::from_millis(1);
    let prober = Prober::start(&scene.c.place, scene.c.index("eth0"), &targets, period).unwrap();
    // Not from c, which forgets again and again whom the address belongs to: what waits for the answer is soon more than a
    // host keeps, and the probes go with it.
    let d = Host::on(&scene.segment, "d", 0x0d, &["192.0.2.14/24"]);
    let stream = Stream::start(&d, &scene.a, SHARED);
    std::thread::sleep(Duration::from_secs(3));
    let begun = clock::now();
    let calm = stream.course(begun - Duration::from_secs(2), begun);
    let sent_before = sent_again(&d);
    for _ in 0..deaths() {
        for host in [&scene.a, &scene.b] {
            kill(host.engine(), Signal::SIGKILL).unwrap();
            std::thread::sleep(SPACING / 2);
        }
    }
    std::thread::sleep(Duration::from_millis(500));
    let end = clock::now();
    let course = stream.course(begun, end);
    let again = sent_again(&d) - sent_before;
    // Until the last replies are in.
    std::thread::sleep(Duration::from_secs(1));
    let adverts = from_a.after(begun, |f| advert(f) && f.at < end);
    let stall = stalls.worst(begun, end);
    let late = longest_gap(&adverts).saturating_sub(interval(1, 0));
    let reaches = [Family::Inet, Family::Inet6]
        .map(|family| figures::reach(&prober.probes(family, begun, end), period));
    let lost: u64 = reaches.iter().map(|reach| reach.lost).sum();
    eprintln!(
        "{}: {} deaths of each: {lost} lost of {}, advertisements at most {late:?} late, longest stall {stall:?}; \
         TCP {:.1} MB/s of {:.1}, still for {:?} at most ({:?} before), {again} segments sent again",
        plane::current(),
        deaths(),
        reaches.iter().map(|reach| reach.sent).sum::<u64>(),
        course.rate / 1e6,
        calm.rate / 1e6,
        course.pause,
        calm.pause,
    );
    stays(
        &scene,
        begun,
        &from_b.after(begun, |f| f.advert().is_some()),
    );
    assert!(late <= LATE + stall, "{late:?} late, stall {stall:?}");
    assert!(
        course.rate > calm.rate / 2.0,
        "TCP {course:?}, {calm:?} before"
    );
    // Nobody answers questions while there is no engine, and c keeps but a hundred packets for whom it asks for.
    let choked = late.max(stall) > KEPT;
    assert!(lost == 0 || choked, "{reaches:?}, stall {stall:?}");
}

/// a is MASTER and b is BACKUP as before, and neither was anything else meanwhile.
#[track_caller]
fn stays(scene: &Scene, since: Instant, from_b: &[Frame]) {
    assert!(
        from_b.is_empty(),
        "b advertised since {since:?}: {from_b:?}"
    );
    assert_eq!(
        (
            scene.a.state("carp1").as_str(),
            scene.b.state("carp1").as_str()
        ),
        ("MASTER", "BACKUP")
    );
    for host in [&scene.a, &scene.b] {
        let said = host.said();
        let (_, after) = said.split_once("the engine ended").unwrap();
        assert!(!after.contains("state transition"), "{}: {said}", host.name);
        assert!(
            !after.contains("would lose the state"),
            "{}: {said}",
            host.name
        );
    }
}

/// Whatever an engine knew, the next one knows: configuration, demotions, variables, counters.
fn the_next_engine_knows_what_the_last_one_knew() {
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24", "2001:db8::11/64"]);
    a.daemon();
    join(&a, "eth0", 7);
    a.ok("ifconfig carp2 create");
    a.ok("ifconfig carp3 vhid 3 pass other carpdev eth0 advbase 2 192.0.2.3/24 group dmz description hello");
    a.ok("ifconfig carp4 vhid 4 carpdev eth0 192.0.2.4/24");
    a.ok("ifconfig carp4 destroy");
    a.ok("ifconfig -g dmz carpdemote 5");
    a.ok("sysctl -q net.inet.carp.preempt=1");
    a.master("carp1");
    a.master("carp3");
    let shown = || {
        let sent = |text: &str| {
            text.lines()
                .filter(|l| !l.contains("packet"))
                .collect::<Vec<_>>()
                .join("\n")
        };
        [
            a.ok("dump -k"),
            sent(&a.ok("ifconfig -a")),
            a.ok("ifconfig -g dmz"),
            a.ok("sysctl net.inet.carp"),
        ]
    };
    let counted = || {
        let text = a.ok("netstat -s -p carp");
        let mut lines = text.lines();
        let line = lines.find(|l| l.contains("transitions to master"));
        line.unwrap().to_owned()
    };
    let (before, count) = (shown(), counted());
    for signal in [
        Signal::SIGKILL,
        Signal::SIGSEGV,
        Signal::SIGABRT,
        Signal::SIGSYS,
    ] {
        strike(&a, signal);
        assert_eq!(shown(), before, "{signal}: {}", a.said());
        assert_eq!(counted(), count, "{signal}");
    }
    // Of what changes all the time at most a second is lost.
    let sent = || {
        let text = a.ok("netstat -s -p carp");
        let mut lines = text.lines();
        let line = lines.find(|l| l.contains("packets sent (IPv4)"));
        let words = line.and_then(|line| line.split_whitespace().next());
        words.unwrap().parse::<u64>().unwrap()
    };
    let begun = sent();
    assert!(until(SOON, || sent() >= begun + 6), "{}", a.said());
    strike(&a, Signal::SIGKILL);
    assert!(sent() >= begun + 3, "{} of {begun}", sent());
    // And it can do what the first one could.
    a.ok("ifconfig carp3 inet alias 192.0.2.33/24");
    assert!(
        until(SOON, || a.has_address("carp3", "192.0.2.33")),
        "{}",
        a.said()
    );
    a.ok("ifconfig carp3 destroy");
    strike(&a, Signal::SIGKILL);
    assert_eq!(a.carrier("carp3"), None);
    a.terminate();
    assert_eq!(a.carrier("carp1"), None, "{}", a.said());
}

/// Engines that die again and again: the peers hear a goodbye, and the host comes back as a worse one.
#[test]
fn a_crash_loop_says_goodbye_and_demotes() {
    if !plane::begin(carp::carp::config::Dataplane::Auto) {
        return;
    }
    let scene = Scene::bare();
    join_timed(&scene.b, "eth0", 1, 100);
    join_timed(&scene.a, "eth0", 1, 0);
    scene.a.master("carp1");
    scene.b.until_state("carp1", "BACKUP");
    let from_a = scene.a.sends("eth0");
    for _ in 0..LOOP {
        let victim = scene.a.engine();
        kill(victim, Signal::SIGKILL).unwrap();
        assert!(until(SOON, || kill(victim, None).is_err()));
        assert!(until(SOON, || scene.a.processes().len() > 1));
    }
    let goodbye = |f: &Frame| f.advert().is_some_and(|seen| seen.goodbye());
    assert!(
        until(SOON, || from_a.frames().iter().any(goodbye)),
        "no goodbye: {}",
        scene.a.said()
    );
    scene.b.until_state("carp1", "MASTER");
    scene.a.until_state("carp1", "BACKUP");
    assert_eq!(
        scene.a.ok("ifconfig -g carp").trim(),
        "carp: carp demote count 1"
    );
}

/// What is asked meanwhile waits for the next engine, whichever of many groups it is about; all but what the dead one had in its
/// hands.
#[test]
fn questions_wait_for_the_next_engine() {
    if !plane::begin(carp::carp::config::Dataplane::Auto) {
        return;
    }
    const GROUPS: u8 = 120;
    const DEATHS: usize = 3;
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.211/24"]);
    let c = Host::on(&segment, "c", 0x0c, &["192.0.2.213/24"]);
    a.daemon();
    for number in 1..=GROUPS {
        join_numbered(&a, "eth0", number, 0);
    }
    let last = Ipv4Addr::new(192, 0, 2, GROUPS);
    a.master(&format!("carp{GROUPS}"));
    let (questions, answers) = (c.sends("eth0"), a.sends("eth0"));
    let asking = Asking {
        interface: c.index("eth0"),
        mac: own_mac(0x0c),
        inet: "192.0.2.213".parse().unwrap(),
        inet6: Ipv6Addr::UNSPECIFIED,
    };
    let period = Duration::from_millis(1);
    let asker = Asker::start(&c.place, asking, &[last.into()], period).unwrap();
    for _ in 0..DEATHS {
        // The next one waits by then.
        std::thread::sleep(SPACING);
        strike(&a, Signal::SIGKILL);
    }
    std::thread::sleep(SPACING);
    drop(asker);
    std::thread::sleep(Duration::from_millis(300));
    let about = |wire: &Wire, op: u16| {
        let suits = |arp: &Arp| arp.op == op && [arp.spa, arp.tpa][usize::from(op == 1)] == last;
        let frames = wire.frames();
        frames
            .iter()
            .filter(|f| f.arp().as_ref().is_some_and(suits))
            .count()
    };
    // Announcements are requests as well, but not of c.
    let (asked, answered) = (about(&questions, 1), about(&answers, 2));
    assert!(asked > 1000, "{asked} questions");
    assert!(
        asked <= answered + 4 * DEATHS,
        "{answered} answers to {asked} questions: {}",
        a.said()
    );
}

/// Without its parent an engine can remove nothing, but it can tell the peers; then all is gone with it.
fn a_dead_parent_ends_with_a_goodbye() {
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24", "2001:db8::11/64"]);
    a.daemon();
    join_timed(&a, "eth0", 0, 20);
    a.master("carp1");
    // The next engine waits by then.
    std::thread::sleep(Duration::from_millis(1500));
    let wire = a.sends("eth0");
    a.signal(Signal::SIGKILL);
    assert!(until(SOON, || a.ended()));
    assert!(
        until(SOON, || a.processes().is_empty()),
        "{:?}",
        a.processes()
    );
    assert_eq!(a.carrier("carp1"), None);
    let goodbye = |f: &Frame| f.advert().is_some_and(|seen| seen.goodbye());
    assert!(
        until(SOON, || wire.frames().iter().any(goodbye)),
        "{}",
        a.said()
    );
}

support::planes! {
    dead_engines_cost_no_packet_and_move_nothing,
    the_next_engine_knows_what_the_last_one_knew,
    a_dead_parent_ends_with_a_goodbye,
}
