//! Interoperation with Debian's ucarp, live, in both directions. It reads packets up to a second late.
#![allow(clippy::unwrap_used)]

mod support;

use carp::linux::clock;
use carp::time::Instant;
use carp::wire::MacAddr;
use std::time::Duration;
use support::frames::Frame;
use support::hosts::{Host, SOON, Segment};
use support::peer::{Options, Ucarp, installed};
use support::scene::SHARED;

const UCARP: Options<'static> = Options {
    source: "192.0.2.12",
    shared: SHARED,
    pass: "secret",
    advskew: 0,
    preempt: false,
};
/// ucarp's own source MAC.
const UCARP_MAC: MacAddr = MacAddr([0, 0, 0x5e, 0, 0, 1]);

/// a, which will run ours, and b, which will run ucarp.
fn hosts() -> (Host, Host) {
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24"]);
    a.daemon();
    (a, Host::on(&segment, "b", 0x0b, &["192.0.2.12/24"]))
}

fn join(a: &Host, pass: &str, advskew: u8) {
    a.ok(&format!(
        "ifconfig carp1 vhid 1 pass {pass} carpdev eth0 advskew {advskew} {SHARED}/24"
    ));
}

fn advert(frame: &Frame) -> bool {
    frame.advert().is_some_and(|s| s.vhid == 1 && !s.goodbye())
}

/// Nothing from `place` but silence, for longer than any dead time at skew 0.
#[track_caller]
fn stays_quiet(wire: &support::wire::Wire, mark: Instant, who: &str) {
    wire.silence(
        mark,
        Duration::from_millis(4800),
        &format!("advertisement of {who}"),
        advert,
    );
}

fn we_are_backup_to_it_and_take_over_when_it_dies() {
    if !installed() {
        return;
    }
    let (a, b) = hosts();
    let (from_a, from_b) = (a.sends("eth0"), b.sends("eth0"));
    let start = clock::now();
    let mut ucarp = Ucarp::start(&b, &UCARP);
    let first = from_b.expect(start, SOON, "advertisement of ucarp", advert);
    assert_eq!(first.src(), UCARP_MAC);
    join(&a, "secret", 100);
    stays_quiet(&from_a, first.at, "a while ucarp is MASTER");
    assert_eq!(a.state("carp1"), "BACKUP");
    ucarp.kill();
    let last = from_b.after(start, advert).pop().unwrap();
    let ours = from_a.expect(last.at, SOON, "advertisement of a after ucarp died", advert);
    // 3 + 100/256 s; three times the 20 ms that we promise.
    let (gap, rule) = (ours.at.since(last.at), Duration::from_micros(3_390_625));
    assert!(
        gap >= rule && gap <= rule + Duration::from_millis(60),
        "{gap:?} after ucarp's last"
    );
    a.until_state("carp1", "MASTER");
}

fn it_is_backup_to_us_and_obeys_our_goodbye() {
    if !installed() {
        return;
    }
    let (a, b) = hosts();
    let (from_a, from_b) = (a.sends("eth0"), b.sends("eth0"));
    join(&a, "secret", 0);
    a.master("carp1");
    let start = clock::now();
    let ucarp = Ucarp::start(
        &b,
        &Options {
            advskew: 50,
            ..UCARP
        },
    );
    from_a.expect(start, SOON, "our advertisement", advert);
    stays_quiet(&from_b, start, "ucarp while a is MASTER");
    assert!(!ucarp.said().contains("Bad"), "{}", ucarp.said());
    let mark = clock::now();
    a.ok("ifconfig carp1 down");
    let goodbye = from_a.expect(mark, SOON, "goodbye", |f| {
        f.advert().is_some_and(|s| s.goodbye())
    });
    let taken = from_b.expect(goodbye.at, SOON, "advertisement of ucarp", advert);
    assert!(
        taken.at.since(goodbye.at) <= Duration::from_millis(1100),
        "{:?}",
        taken.at.since(goodbye.at)
    );
}

fn it_yields_to_us_and_we_to_it_by_priority() {
    if !installed() {
        return;
    }
    let (a, b) = hosts();
    let (from_a, from_b) = (a.sends("eth0"), b.sends("eth0"));
    let start = clock::now();
    let ucarp = Ucarp::start(
        &b,
        &Options {
            advskew: 100,
            preempt: true,
            ..UCARP
        },
    );
    from_b.expect(start, SOON, "advertisement of ucarp", advert);
    a.ok("sysctl net.inet.carp.preempt=1");
    join(&a, "secret", 0);
    from_a.expect(start, SOON, "advertisement of a, which preempts", advert);
    a.until_state("carp1", "MASTER");
    // It hears us up to a second late, and says one more.
    std::thread::sleep(Duration::from_millis(2500));
    let mark = clock::now();
    from_b.silence(
        mark,
        Duration::from_millis(1500),
        "ucarp did not yield",
        advert,
    );
    assert!(
        ucarp.said().contains("Preferred master advertised"),
        "{}",
        ucarp.said()
    );
    // Now it is the better one.
    a.ok("ifconfig carp1 advskew 200");
    let back = from_b.expect(mark, SOON, "advertisement of ucarp, which preempts", advert);
    a.until_state("carp1", "BACKUP");
    from_a.silence(
        back.at + Duration::from_millis(50),
        Duration::from_millis(2500),
        "a did not yield",
        advert,
    );
}

fn a_wrong_password_changes_nothing() {
    if !installed() {
        return;
    }
    let (a, b) = hosts();
    let (from_a, from_b) = (a.sends("eth0"), b.sends("eth0"));
    join(&a, "secret", 100);
    a.master("carp1");
    let start = clock::now();
    // Better than ours, if it were believed.
    let ucarp = Ucarp::start(
        &b,
        &Options {
            pass: "wrong",
            ..UCARP
        },
    );
    // It does not believe us and becomes MASTER; we do not believe it and stay.
    let theirs = from_b.expect(start, SOON, "advertisement of ucarp", advert);
    let next = from_a.expect(
        theirs.at,
        Duration::from_millis(1900),
        "next advertisement of a",
        advert,
    );
    from_a.expect(
        next.at,
        Duration::from_millis(1900),
        "and the one after it",
        advert,
    );
    assert_eq!(a.state("carp1"), "MASTER");
    assert!(ucarp.said().contains("Bad digest"), "{}", ucarp.said());
}

support::planes! {
    we_are_backup_to_it_and_take_over_when_it_dies,
    it_is_backup_to_us_and_obeys_our_goodbye,
    it_yields_to_us_and_we_to_it_by_priority,
    a_wrong_password_changes_nothing,
}
