//! Recorded advertisements of every kind of sender, played to a host: what is rejected, and that nothing of a live one is.

use crate::rig::{Ad, CARPDEV, Host, UNIT, V4, V6, config, ms, parent, vhid};
use carp::carp::auth::{Auth, Kind};
use carp::carp::config::{Key, Settings, State};
use carp::carp::{Engine, Input, Parent, Protection, Sending};
use carp::wire::carp::Advertisement;
use carp::wire::{Family, MacAddr, frame};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const BOTH: &[&str] = &[V4, V6];
/// 1 January 2027, and a year earlier.
const Y2027: u64 = 1_798_761_600;
const Y2026: u64 = 1_767_225_600;

/// A host of ours, number `n`, whose wall clock shows `unix` at moment 0.
pub fn ours(n: u8, addresses: &[&str], advskew: u8, unix: u64) -> Host {
    ours_from(0.0, n, addresses, advskew, unix)
}

/// The same, configured at the moment `from`.
fn ours_from(from: f64, n: u8, addresses: &[&str], advskew: u8, unix: u64) -> Host {
    let mut host = Host::new(u64::from(n) * 1000 + unix);
    host.engine =
        Engine::new(u64::from(n) * 77 + unix).with_clock(ms(0.0), Duration::from_secs(unix));
    let own = Parent {
        mac: MacAddr([2, 0, 0, 0, 0, n]),
        inet: Some(Ipv4Addr::new(192, 0, 2, n)),
        inet6: Some(format!("fe80::{n}").parse().unwrap()),
        ..parent()
    };
    host.parent(from, Some(own));
    host.configure(from, config(addresses, 1, advskew));
    host
}

/// The advertisements that left with the last call.
pub fn ads(host: &Host) -> Vec<Vec<u8>> {
    let sent = host.frames.iter();
    sent.filter(|(_, what, _)| matches!(what, Sending::Advertisement(_)))
        .map(|(.., bytes)| bytes.clone())
        .collect()
}

/// Lets what is due next happen; the moment and the advertisements.
pub fn step(host: &mut Host) -> (f64, Vec<Vec<u8>>) {
    let at = host.timeout().unwrap();
    host.time(at);
    (at, ads(host))
}

pub fn hear(host: &mut Host, at: f64, frames: &[Vec<u8>]) {
    for bytes in frames {
        host.frame(at, bytes);
    }
}

pub fn replays(host: &Host) -> u64 {
    host.engine.stats().badreplay
}

/// A BACKUP and a MASTER of ours, `rounds` after the first; the MASTER's last moment and all that it sent.
fn group(addresses: &[&str], rounds: usize) -> (Host, f64, Vec<Vec<Vec<u8>>>) {
    let (mut master, mut backup) = (ours(1, addresses, 0, Y2027), ours(2, addresses, 100, Y2027));
    let mut sent = Vec::new();
    let mut at = 0.0;
    for _ in 0..rounds {
        let (now, frames) = step(&mut master);
        hear(&mut backup, now, &frames);
        sent.push(frames);
        at = now;
    }
    assert_eq!((backup.state(), replays(&backup)), (State::Backup, 0));
    (backup, at, sent)
}

/// Plays `frames` in turn four times a second until the host is MASTER; the moment.
fn play(host: &mut Host, from: f64, frames: &[Vec<u8>]) -> f64 {
    for n in 0..40 {
        let at = from + 250.0 * f64::from(n) + 100.0;
        if host.timeout().is_some_and(|due| due <= at) {
            let due = host.timeout().unwrap();
            host.time(due);
            if host.state() == State::Master {
                return due;
            }
        }
        host.frame(at, &frames[n as usize % frames.len()]);
    }
    f64::INFINITY
}

#[test]
fn a_dead_masters_advertisements_delay_nothing() {
    let cases: [(&str, &[&str]); 3] = [("IPv4", &[V4]), ("IPv6", &[V6]), ("both", BOTH)];
    for (name, addresses) in cases {
        let (backup, died, sent) = group(addresses, 6);
        let flat = |rounds: &[Vec<Vec<u8>>]| rounds.concat();
        for (what, frames) in [
            ("the last ones", flat(&sent[5..])),
            ("one that is older", flat(&sent[2..3])),
            ("all in order", flat(&sent)),
            ("all backwards", flat(&sent).into_iter().rev().collect()),
            ("the first ones", flat(&sent[..1])),
        ] {
            let mut backup = Host {
                engine: backup.engine.clone(),
                ..Host::new(0)
            };
            let taken = play(&mut backup, died, &frames);
            assert_eq!(taken, died + 3390.625, "{name}, {what}");
            assert!(replays(&backup) >= 10, "{name}, {what}");
            // And when it is MASTER.
            hear(&mut backup, taken + 1.0, &frames);
            assert_eq!(backup.state(), State::Master, "{name}, {what}");
        }
    }
}

/// The digest does not cover the family: an IPv6 advertisement fits behind an IPv4 header.
#[test]
fn the_other_family_is_no_way_around() {
    let (mut backup, died, sent) = group(BOTH, 3);
    let [v4, v6] = &sent[2][..] else { panic!() };
    let mut moved = v4[..34].to_vec();
    moved.extend(&v6[54..]);
    assert!(matches!(
        frame::parse(&moved),
        Ok(frame::Frame::Advertisement {
            family: Family::Inet,
            ..
        })
    ));
    assert_eq!(play(&mut backup, died, &[moved]), died + 3390.625);
    assert!(replays(&backup) > 10);
}

#[test]
fn a_recorded_goodbye_moves_nobody() {
    let mut master = ours(1, &[V4], 0, Y2027);
    let mut backup = ours(2, &[V4], 100, Y2027);
    let (at, frames) = step(&mut master);
    hear(&mut backup, at, &frames);
    let mut down = config(&[V4], 1, 0);
    down.up = false;
    master.configure(at + 100.0, down);
    let goodbye = ads(&master);
    hear(&mut backup, at + 100.0, &goodbye);
    assert_eq!(backup.state(), State::Master);
    // Back again, better than the backup, which yields; then the recording.
    master.configure(at + 200.0, config(&[V4], 1, 0));
    let (at, frames) = step(&mut master);
    hear(&mut backup, at, &frames);
    assert_eq!(backup.state(), State::Backup);
    hear(&mut backup, at + 10.0, &goodbye);
    assert_eq!((backup.state(), replays(&backup)), (State::Backup, 1));
}

/// Without the protection the same replay keeps the BACKUP down.
#[test]
fn the_sysctl_turns_it_off() {
    let (mut backup, died, sent) = group(&[V4], 4);
    let off = Settings {
        replay: false,
        ..Settings::default()
    };
    backup.input(died, Input::Settings(off));
    assert_eq!(play(&mut backup, died, &sent[3]), f64::INFINITY);
    assert_eq!(replays(&backup), 0);
}

#[test]
fn a_sender_of_another_boot_is_believed_if_it_is_later_and_a_recording_is_not() {
    let (mut backup, died, _) = group(&[V4], 4);
    // Recorded a year ago: another identity, and an earlier value.
    let mut old = ours(3, &[V4], 0, Y2026);
    let recorded: Vec<_> = (0..20).map(|_| step(&mut old).1.remove(0)).collect();
    assert_eq!(play(&mut backup, died, &recorded), died + 3390.625);
    // Rebooted: another identity, and a later value than any before.
    let mut rebooted = ours(1, &[V4], 0, Y2027 + 60);
    let (_, frames) = step(&mut rebooted);
    hear(&mut backup, died + 4000.0, &frames);
    assert_eq!(backup.state(), State::Backup);
}

/// Disk wiped, clock in 1970.
#[test]
fn a_host_without_a_clock_is_heard_as_soon_as_it_has_heard_us() {
    let (mut backup, died, sent) = group(&[V4], 4);
    // It hears the MASTER before it speaks, and goes on above it.
    let mut wiped = ours(3, &[V4], 0, 0);
    hear(&mut wiped, 1.0, &sent[2]);
    hear(&mut wiped, 1001.0, &sent[3]);
    let (_, frames) = step(&mut wiped);
    hear(&mut backup, died + 1000.0, &frames);
    assert_eq!(backup.timeout(), Some(died + 4390.625));
    assert_eq!(replays(&backup), 0);
    // Cut off while it became MASTER: not believed, until it hears us, at the latest after our dead time.
    let mut deaf = ours(4, &[V4], 0, 0);
    let (first, frames) = step(&mut deaf);
    hear(&mut backup, died + 1100.0, &frames);
    assert_eq!(
        (backup.timeout(), replays(&backup)),
        (Some(died + 4390.625), 1)
    );
    let (taken, frames) = step(&mut backup);
    assert_eq!(backup.state(), State::Master);
    hear(&mut deaf, first + 10.0, &frames);
    let answer = ads(&deaf);
    hear(&mut backup, taken + 1.0, &answer);
    assert_eq!((backup.state(), replays(&backup)), (State::Master, 2));
    let (second, frames) = step(&mut backup);
    hear(&mut deaf, first + 1500.0, &frames);
    let answer = ads(&deaf);
    hear(&mut backup, second + 1.0, &answer);
    assert_eq!(backup.state(), State::Backup, "believed, and better");
}

/// A host that has heard nobody has nothing to compare with: the bound that the manual tells.
#[test]
fn before_anybody_was_heard_a_recording_counts_once() {
    let mut old = ours(3, &[V4], 0, Y2026);
    let recorded: Vec<_> = (0..3).map(|_| step(&mut old).1.remove(0)).collect();
    let mut fresh = ours(2, &[V4], 100, Y2027);
    for (n, bytes) in recorded.iter().enumerate() {
        let at = 1000.0 * (n + 1) as f64;
        fresh.frame(at, bytes);
        fresh.frame(at + 10.0, bytes);
        assert_eq!(fresh.timeout(), Some(at + 3390.625), "once, and not twice");
    }
    assert_eq!(replays(&fresh), 3);
    let mut live = ours(1, &[V4], 0, Y2027);
    let (_, frames) = step(&mut live);
    hear(&mut fresh, 3500.0, &frames);
    assert_eq!(fresh.timeout(), Some(6890.625));
    let next = step(&mut old).1;
    hear(&mut fresh, 3600.0, &next);
    hear(&mut fresh, 3700.0, &step(&mut live).1);
    hear(&mut fresh, 3800.0, &step(&mut old).1);
    assert_eq!(
        fresh.timeout(),
        Some(7090.625),
        "the group has its value again"
    );
}

/// One that leaps far ahead, as one random counter of a BSD in a million seems to, is heard and moves nothing.
/// One family, so one advertisement and not a pair: the preempting host has heard a single value of the MASTER's, of this
/// very second, and has to be above it. A host whose clock is far behind is believed only from the second one on, and
/// preempts no sooner.
#[test]
fn a_host_that_preempts_is_believed_by_the_master_at_once() {
    for (addresses, clock, early) in [
        (&[V4][..], Y2027, true),
        (&[V6], Y2027, true),
        (&[V4], 0, false),
    ] {
        let mut master = ours(2, addresses, 100, Y2027);
        step(&mut master);
        let (at, first) = step(&mut master);
        let mut better = ours_from(at - 10.0, 1, addresses, 0, clock);
        better.preempt(at - 10.0);
        hear(&mut better, at, &first);
        let after_one = better.state();
        assert_eq!(after_one == State::Master, early, "{addresses:?} {clock}");
        let at = if early {
            at
        } else {
            let (at, second) = step(&mut master);
            hear(&mut better, at, &second);
            at
        };
        assert_eq!(better.state(), State::Master);
        let taken = ads(&better);
        hear(&mut master, at + 1.0, &taken);
        assert_eq!(
            (master.state(), replays(&master)),
            (State::Backup, 0),
            "{addresses:?} {clock}"
        );
    }
}

#[test]
fn a_leap_is_believed_and_confirmed() {
    let (mut backup, died, _) = group(&[V4], 4);
    let mut ahead = ours(3, &[V4], 0, Y2027 + 40 * 365 * 86400);
    hear(&mut backup, died + 500.0, &step(&mut ahead).1);
    assert_eq!(backup.timeout(), Some(died + 3890.625));
    // The others are still heard.
    let mut late = ours(4, &[V4], 0, Y2027 + 60);
    hear(&mut backup, died + 600.0, &step(&mut late).1);
    assert_eq!(
        (backup.timeout(), replays(&backup)),
        (Some(died + 3990.625), 0)
    );
    hear(&mut backup, died + 700.0, &step(&mut ahead).1);
    assert_eq!(backup.timeout(), Some(died + 4090.625));
    let mut later = ours(5, &[V4], 0, Y2027 + 120);
    hear(&mut backup, died + 800.0, &step(&mut later).1);
    assert_eq!(replays(&backup), 1, "the group's clock has moved");
}

#[test]
fn two_hosts_that_draw_the_same_identity_do_not_stay_masters() {
    // Equal identities, equal priorities, and nothing heard: equal counters.
    let host = |n| ours(n, &[V4], 50, Y2027);
    let first = |n| counter(&step(&mut host(n)).1[0]);
    let other = (2..=250).find(|n| first(*n) == first(1));
    let (one, other) = match other {
        Some(other) => (1, other),
        None => (3, (4..=250).find(|n| first(*n) == first(3)).unwrap()),
    };
    // Without addresses of their own both send from the shared one.
    for own in [true, false] {
        let (mut a, mut b) = (host(one), host(other));
        for (host, last) in [(&mut a, 1), (&mut b, 2)] {
            let own = Parent {
                inet: own.then_some(Ipv4Addr::new(192, 0, 2, last)),
                ..parent()
            };
            host.parent(0.0, Some(own));
        }
        for _ in 0..4 {
            let (at, of_a) = step(&mut a);
            let (_, of_b) = step(&mut b);
            hear(&mut a, at + 1.0, &of_b);
            hear(&mut b, at + 1.0, &of_a);
        }
        let masters = [&a, &b].into_iter().filter(|h| h.state() == State::Master);
        assert!(masters.count() < 2, "{own}");
    }
}

/// The counter that a host of ours put into a frame.
pub fn counter(bytes: &[u8]) -> u64 {
    match frame::parse(bytes) {
        Ok(frame::Frame::Advertisement { payload, .. }) => {
            u64::from_be_bytes(Advertisement::parse(payload).unwrap().counter)
        }
        other => panic!("{other:?}"),
    }
}

pub fn stranger(addresses: &[&str], counter: u64) -> Ad {
    Ad {
        counter,
        src: Some("192.0.2.7".parse().unwrap()),
        ..Ad::new(addresses, 1, 0)
    }
}

fn protection(host: &Host, src: &str) -> Option<Protection> {
    let src: IpAddr = src.parse().unwrap();
    let mut peers = host.engine.peers(UNIT, vhid(1));
    peers.find(|(peer, _)| *peer == src).map(|(_, p)| p)
}

/// FreeBSD, NetBSD and UCARP go on from what they heard.
#[test]
fn a_follower_is_never_taken_for_ours() {
    let (mut backup, died, sent) = group(BOTH, 4);
    let [v4, v6] = [&sent[3][0], &sent[3][1]].map(|bytes| counter(bytes));
    assert_eq!(protection(&backup, "192.0.2.1"), Some(Protection::Growth));
    let mut at = died;
    // From either of the last ones; the second walks into the number that is the next one's stamp.
    for counter in (1..500)
        .map(|n| v6 + n)
        .chain(v6 - 40..v6 + 40)
        .chain((1..500).map(|n| v4 + n))
    {
        at += 10.0;
        backup.frame(at, &stranger(BOTH, counter).bytes());
        assert_eq!(replays(&backup), 0, "{counter:x}");
    }
    assert_ne!(protection(&backup, "192.0.2.7"), Some(Protection::Growth));
}

/// Random counters until somebody is heard, as a lone FreeBSD or UCARP sends them.
pub fn random(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def0
}

#[test]
fn repeats_of_a_varying_sender_are_rejected() {
    let mut backup = Host::backup(&[V4], 1, 100);
    let sent: Vec<_> = (1..=6)
        .map(|n| stranger(&[V4], random(n)).bytes())
        .collect();
    for (n, bytes) in sent.iter().enumerate() {
        backup.frame(1000.0 * n as f64, bytes);
    }
    assert_eq!(protection(&backup, "192.0.2.7"), Some(Protection::Repeats));
    for (what, frames) in [
        ("the last", &sent[5..]),
        ("all", &sent[..]),
        ("the first", &sent[..1]),
    ] {
        let mut backup = Host {
            engine: backup.engine.clone(),
            ..Host::new(0)
        };
        assert_eq!(
            play(&mut backup, 5000.0, frames),
            5000.0 + 3390.625,
            "{what}"
        );
    }
    // With another source, and with another skew, which the digest does not cover; soon it could be another host's.
    let altered = Ad {
        advskew: 1,
        src: Some("192.0.2.99".parse().unwrap()),
        ..stranger(&[V4], random(6))
    };
    for (at, until, rejected) in [(6400.0, 9790.625, 0), (6500.0, 9790.625, 1)] {
        backup.frame(at, &altered.bytes());
        assert_eq!(
            (backup.timeout(), replays(&backup)),
            (Some(until), rejected)
        );
    }
    // It lives on.
    backup.frame(7000.0, &stranger(&[V4], random(7)).bytes());
    assert_eq!(backup.timeout(), Some(10_390.625));
}

#[test]
fn of_a_sender_heard_too_little_nothing_is_rejected() {
    let mut backup = Host::backup(&[V4], 1, 100);
    for n in 1..=3 {
        backup.frame(1000.0 * n as f64, &stranger(&[V4], random(n)).bytes());
    }
    assert_eq!(protection(&backup, "192.0.2.7"), Some(Protection::Learning));
    backup.frame(3100.0, &stranger(&[V4], random(3)).bytes());
    assert_eq!(backup.timeout(), Some(6490.625));
}

/// OpenBSD: eight random bytes, the same for ever, others after a reboot.
#[test]
fn a_constant_sender_is_never_rejected() {
    let mut backup = Host::backup(&[V4], 1, 100);
    let mut at = 0.0;
    for boot in 1..=6 {
        for _ in 0..2 + boot {
            at += 1000.0;
            backup.frame(at, &stranger(&[V4], random(boot)).bytes());
            assert_eq!(backup.timeout(), Some(at + 3390.625), "{boot}");
        }
    }
    assert_eq!(replays(&backup), 0);
    assert_eq!(protection(&backup, "192.0.2.7"), Some(Protection::Nothing));
}

/// Hosts without an address on their carpdev have the shared one as their source, OpenBSD's and FreeBSD's alike.
#[test]
fn who_cannot_be_told_apart_is_not_judged() {
    for src in ["192.0.2.10", "0.0.0.0"] {
        let mut backup = Host::backup(&[V4], 1, 100);
        let ad = |counter| Ad {
            src: Some(src.parse().unwrap()),
            ..stranger(&[V4], counter)
        };
        for n in 1..=8 {
            backup.frame(1000.0 * n as f64, &ad(random(n)).bytes());
        }
        for n in 9..=12 {
            backup.frame(1000.0 * f64::from(n), &ad(random(8)).bytes());
        }
        assert_eq!(replays(&backup), 0, "{src}");
    }
}

/// What FreeBSD 13 does: a host that takes over between the two advertisements of a pair uses the second one's number.
#[test]
fn a_number_reused_in_the_other_family_counts() {
    let mut backup = Host::backup(BOTH, 1, 100);
    let pair = |counter, src4: &str, src6: &str| {
        let v4 = Ad {
            src: Some(src4.parse().unwrap()),
            ..stranger(BOTH, counter)
        };
        let v6 = Ad {
            counter: counter + 1,
            src: Some(src6.parse().unwrap()),
            ..v4.clone().over(Family::Inet6)
        };
        [v4.bytes(), v6.bytes()]
    };
    for n in 0..6 {
        let at = 1000.0 * f64::from(n);
        hear(
            &mut backup,
            at,
            &pair(500 + 2 * n as u64, "192.0.2.7", "fe80::7"),
        );
    }
    for n in 0..4 {
        let at = 5000.0 + 1000.0 * f64::from(n);
        let frames = pair(511 + 2 * n as u64, "192.0.2.8", "fe80::8");
        hear(&mut backup, at, &frames);
    }
    assert_eq!((backup.timeout(), replays(&backup)), (Some(11390.625), 0));
}

/// A live MASTER goes on from what it hears. After a partition that is the slower count of the other side, and it sends
/// its own numbers again, byte for byte.
#[test]
fn a_live_host_that_is_set_back_is_not_rejected() {
    let mut backup = Host::backup(&[V4], 1, 100);
    let of = |src: &str, advskew, counter| Ad {
        advskew,
        src: Some(src.parse().unwrap()),
        ..stranger(&[V4], counter)
    };
    let mut at = 0.0;
    for n in 0..40 {
        at += 1000.0;
        backup.frame(at, &of("192.0.2.7", 0, 100 + n).bytes());
    }
    // The other side's counter is at 110 when it is heard again.
    backup.frame(at + 300.0, &of("192.0.2.8", 200, 110).bytes());
    for n in 0..60 {
        at += 1000.0;
        backup.frame(at, &of("192.0.2.7", 0, 111 + n).bytes());
        assert_eq!(backup.timeout(), Some(at + 3390.625), "{n}");
    }
    assert_eq!(replays(&backup), 0);
    // This host did not hear what set it back, again and again.
    for _ in 0..5 {
        for n in 0..20 {
            at += 1000.0;
            backup.frame(at, &of("192.0.2.7", 0, 140 + n).bytes());
        }
    }
    assert_eq!(replays(&backup), 0);
    assert_eq!(protection(&backup, "192.0.2.7"), Some(Protection::Nothing));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut backup = Host::backup(&[V4], 1, 100);
    let auth = Auth::new(&Key::from_pass(b"secret"), vhid(1), []);
    assert_ne!(auth.seal(1), auth.seal(2));
    let mut sizes = Vec::new();
    for n in 0..3000_u64 {
        let src = Ipv4Addr::from(0xc633_6400 + (n % 200) as u32);
        let ad = Ad {
            src: Some(src.into()),
            kind: Kind::Orig,
            ..stranger(&[V4], random(n))
        };
        backup.frame(n as f64, &ad.bytes());
        if n % 1000 == 999 {
            sizes.push(format!("{:?}", backup.engine.world()).len());
        }
    }
    assert!(sizes[2] < sizes[0] + sizes[0] / 10, "{sizes:?}");
    assert!(backup.engine.peers(UNIT, vhid(1)).count() <= 16);
}

#[test]
fn no_timer_is_touched_by_a_replay() {
    let (mut backup, died, sent) = group(BOTH, 5);
    let before = backup.engine.timeout();
    let input = Input::Frame {
        carpdev: CARPDEV,
        bytes: &sent[4][0],
    };
    assert!(backup.input(died + 700.0, input).is_empty());
    assert_eq!((backup.engine.timeout(), replays(&backup)), (before, 1));
}
