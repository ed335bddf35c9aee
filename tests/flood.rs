//! Floods of bad packets: every one is counted under its reason, the MASTER goes on, the log stays short. Costs are measured
//! by `cargo bench --bench floods`; here only counts are held.
#![allow(clippy::unwrap_used)]

mod support;

use carp::linux::clock;
use std::collections::BTreeMap;
use std::time::Duration;
use support::frames::Advert;
use support::hosts::{Host, SOON, Segment, until};
use support::scene::{SHARED, SHARED6, join};

/// Of each of the five kinds.
const EACH: u64 = 4_000;
/// Packets between two pauses of the flooder: about 30,000 a second.
const BURST: u64 = 30;
const PAUSE: Duration = Duration::from_millis(1);
/// The IP header's length, and what lies before it.
const BEFORE: usize = 14 + 20;

/// What is wrong with the five kinds.
const REASONS: [&str; 5] = [
    "discarded for bad authentication",
    "discarded packets with a bad version",
    "packets discarded for wrong TTL",
    "discarded because packet too short",
    "discarded for bad checksums",
];
/// Never looked at.
const LOST: &str = "dropped due to full socket buffers";

/// The counters by their words, as `netstat` prints them.
fn counters(host: &Host) -> BTreeMap<String, u64> {
    let text = host.ok("netstat -s -v -p carp");
    let lines = text.lines().skip(1).map(str::trim);
    lines
        .map(|line| line.split_once(' ').unwrap())
        .map(|(count, words)| (words.to_owned(), count.parse().unwrap()))
        .collect()
}

/// The Internet checksum, put in at `at`.
fn repair(bytes: &mut [u8], at: usize) {
    bytes[at..at + 2].fill(0);
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    bytes[at..at + 2].copy_from_slice(&u16::try_from(!sum & 0xffff).unwrap().to_be_bytes());
}

/// A good advertisement, better than the MASTER's, with one thing wrong; and the words under which it is counted.
fn garbage(kind: u64, number: u64, source: &str) -> Vec<u8> {
    let better = Advert {
        counter: number,
        ..Advert::new(1, "secret", &[SHARED, SHARED6], source)
    };
    let mut frame = better.frame();
    let header = frame.len() - 36;
    match kind {
        0 => {
            let other = Advert {
                pass: "wrong",
                ..better
            };
            frame = other.frame();
        }
        1 => {
            frame[header] = 0x31;
            repair(&mut frame[header..], 6);
        }
        2 if header == BEFORE => {
            frame[22] = 254;
            repair(&mut frame[14..BEFORE], 10);
        }
        2 => frame[21] = 254,
        3 if header == BEFORE => {
            frame.truncate(frame.len() - 1);
            frame[17] -= 1;
            repair(&mut frame[14..BEFORE], 10);
        }
        3 => {
            frame.truncate(frame.len() - 1);
            frame[19] -= 1;
        }
        // Random enough: the checksum fails.
        _ => frame[header + 8] ^= 0x55,
    }
    frame
}

fn every_bad_packet_is_counted_and_none_does_harm() {
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24", "2001:db8::11/64"]);
    let flooder = Host::on(&segment, "f", 0x0f, &[]);
    a.daemon();
    a.ok("sysctl net.inet.carp.log=7");
    join(&a, "eth0", 10);
    a.master("carp1");
    let (from_a, outlet) = (a.sends("eth0"), flooder.outlet("eth0"));
    let (before, said) = (counters(&a), a.said().lines().count());

    let begin = clock::now();
    let mut sent = 0;
    for number in 0..EACH {
        for kind in 0..5 {
            let source = ["192.0.2.99", "fe80::99"][usize::from(number % 2 == 1)];
            outlet.send(&garbage(kind, number, source)).unwrap();
            sent += 1;
            if sent % BURST == 0 {
                std::thread::sleep(PAUSE);
            }
        }
    }
    let flooded = clock::now().since(begin);

    let moved = || {
        let after = counters(&a).into_iter();
        let grown =
            after.map(|(words, count)| (words.clone(), count - before.get(&words).unwrap_or(&0)));
        grown.collect::<BTreeMap<_, _>>()
    };
    // Whoever may not have a large queue, as in a user namespace, may lose some; then that is counted.
    let all_counted = || {
        let moved = moved();
        let under: u64 = REASONS.iter().map(|words| moved[*words]).sum();
        under + moved[LOST] == 5 * EACH
    };
    assert!(until(SOON, all_counted), "{:#?}", moved());
    let moved = moved();
    for words in REASONS {
        assert!(moved[words] <= EACH, "{words}: {moved:#?}");
    }
    let received = moved["packets received (IPv4)"] + moved["packets received (IPv6)"];
    assert_eq!(received + moved[LOST], 5 * EACH, "{moved:#?}");
    let elsewhere = [
        "interface",
        "shorter",
        "unknown vhid",
        "came back",
        "not even",
    ];
    for (words, more) in &moved {
        assert!(
            *more == 0 || !elsewhere.iter().any(|e| words.contains(e)),
            "{words}: {more}"
        );
    }

    // It stayed MASTER and said so every second, in both families.
    assert_eq!(a.state("carp1"), "MASTER");
    assert_eq!(counters(&a).get("transition to master"), Some(&1));
    let adverts = from_a.after(begin, |f| f.advert().is_some_and(|s| !s.goodbye()));
    let due = 2 * usize::try_from(flooded.as_secs()).unwrap();
    assert!(adverts.len() >= due, "{} of {due}", adverts.len());
    assert!(adverts.iter().all(|f| f.advert().unwrap().advskew == 10));

    // One line for each reason that is told at all in ten seconds.
    let rounds = 1 + usize::try_from(flooded.as_secs() / 10).unwrap();
    let lines = a.said().lines().count() - said;
    assert!(lines <= 5 * rounds, "{lines} lines:\n{}", a.said());
    assert!(
        a.said().contains("bad checksum from") || lines > 0,
        "{}",
        a.said()
    );
}

support::planes! {
    every_bad_packet_is_counted_and_none_does_harm,
}
