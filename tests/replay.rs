//! A dead MASTER's advertisements, recorded from the wire and sent again four times a second, delay the takeover by
//! nothing: real daemons and Debian's ucarp.
#![allow(clippy::unwrap_used)]

mod support;

use carp::linux::clock;
use carp::time::Instant;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::frames::Frame;
use support::hosts::{Host, SOON, Segment, until};
use support::peer::{Options, Ucarp, installed};
use support::scene::{SHARED, Scene};
use support::wire::Wire;

/// 3 + 100/256 s.
const RULE: Duration = Duration::from_micros(3_390_625);
/// Three times the 20 ms of the design.
const EXCESS: Duration = Duration::from_millis(60);

fn advert(frame: &Frame) -> bool {
    frame.advert().is_some_and(|s| s.vhid == 1 && !s.goodbye())
}

/// How many replays this host has counted.
fn replays(host: &Host) -> u64 {
    let text = host.ok("netstat -s -v -p carp");
    let line = text
        .lines()
        .find(|line| line.contains("discarded as replay"));
    line.map_or(0, |line| {
        line.trim().split(' ').next().unwrap().parse().unwrap()
    })
}

/// What this host says protects it against replays of a peer's IPv4 advertisements.
fn protection(host: &Host, peer: &str) -> Option<String> {
    let text = host.ok("netstat peers");
    let shown = text.lines().find_map(|line| line.split_once(peer));
    shown.map(|(_, protection)| protection.trim().to_owned())
}

/// Sends `frames` in turn from `host`, one each quarter of a second, while `act` runs.
fn playing<R>(host: &Host, frames: &[Frame], act: impl FnOnce() -> R) -> R {
    let (outlet, over) = (host.outlet("eth0"), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for frame in frames.iter().cycle() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                outlet.send(&frame.bytes).unwrap();
                std::thread::sleep(Duration::from_millis(250));
            }
        });
        let result = act();
        over.store(true, Ordering::Relaxed);
        result
    })
}

/// The adverts heard since `start`, at least `count` of them.
fn adverts(wire: &Wire, start: Instant, count: usize) -> Vec<Frame> {
    assert!(until(SOON, || wire.after(start, advert).len() >= count));
    wire.after(start, advert)
}

#[track_caller]
fn taken_over_by_the_rule(taken: &Frame, last: &Frame) {
    let gap = taken.at.since(last.at);
    assert!(gap >= RULE && gap <= RULE + EXCESS, "{gap:?}");
}

#[test]
fn a_dead_master_of_ours_is_replaced_in_time_whatever_is_replayed() {
    support::privileged!();
    let Scene { a, b, c, .. } = &Scene::new();
    let (from_a, from_b) = (a.sends("eth0"), b.sends("eth0"));
    adverts(&from_a, clock::now(), 6);
    a.kill();
    let sent = from_a
        .frames()
        .into_iter()
        .filter(advert)
        .collect::<Vec<_>>();
    let last = sent.last().unwrap();
    let taken = playing(c, &sent[sent.len() - 2..], || {
        from_b.expect(last.at, SOON, "advertisement of b", advert)
    });
    taken_over_by_the_rule(&taken, last);
    assert!(replays(b) >= 10, "{}", replays(b));
    assert_eq!(
        protection(b, " 192.0.2.11 ").as_deref(),
        Some("growing values")
    );
    // And b stays MASTER: the recordings are better than it is.
    playing(c, &sent, || std::thread::sleep(Duration::from_secs(2)));
    assert_eq!(b.state("carp1"), "MASTER");
}

/// What the protection is worth: the same without it.
#[test]
fn with_the_sysctl_off_a_replay_keeps_the_backup_down() {
    support::privileged!();
    let Scene { a, b, c, .. } = &Scene::new();
    b.ok("sysctl net.inet.carp.replay=0");
    let (from_a, from_b) = (a.sends("eth0"), b.sends("eth0"));
    adverts(&from_a, clock::now(), 4);
    a.kill();
    let sent = from_a
        .frames()
        .into_iter()
        .filter(advert)
        .collect::<Vec<_>>();
    let (mark, pair) = (clock::now(), &sent[sent.len() - 2..]);
    let bound = 2 * RULE;
    let kept = playing(c, pair, || from_b.seek(mark, bound, advert).is_none());
    assert!(kept, "b took over although it believes everything");
    from_b.expect(mark, SOON, "advertisement of b at last", advert);
    assert_eq!(replays(b), 0);
}

#[test]
fn exact_repeats_of_ucarp_are_known_and_its_own_all_believed() {
    support::privileged!();
    if !installed() {
        return;
    }
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24"]);
    let b = Host::on(&segment, "b", 0x0b, &["192.0.2.12/24"]);
    let c = Host::on(&segment, "c", 0x0c, &["192.0.2.13/24"]);
    a.daemon();
    let (from_a, from_b) = (a.sends("eth0"), b.sends("eth0"));
    let start = clock::now();
    a.ok(&format!(
        "ifconfig carp1 vhid 1 pass secret carpdev eth0 advskew 100 {SHARED}/24"
    ));
    let mut ucarp = Ucarp::start(
        &b,
        &Options {
            source: "192.0.2.12",
            shared: SHARED,
            pass: "secret",
            advskew: 0,
            preempt: false,
        },
    );
    let heard = adverts(&from_b, start, 6);
    assert_eq!(replays(&a), 0, "a live one's");
    assert_eq!(
        protection(&a, " 192.0.2.12 ").as_deref(),
        Some("exact repeats")
    );
    // While it lives, repeats are counted and its own still hold us down.
    playing(&c, &heard[heard.len() - 1..], || {
        std::thread::sleep(Duration::from_secs(5));
    });
    assert!((15..=25).contains(&replays(&a)), "{}", replays(&a));
    from_a.silence(start, Duration::ZERO, "advertisement of a", advert);
    ucarp.kill();
    let sent = from_b.after(start, advert);
    let last = sent.last().unwrap();
    let taken = playing(&c, &sent[sent.len() - 1..], || {
        from_a.expect(last.at, SOON, "advertisement of a", advert)
    });
    taken_over_by_the_rule(&taken, last);
}
