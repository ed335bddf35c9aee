//! The hand-made advertisements that were put to FreeBSD 13 and NetBSD 7, one thing odd in each: our verdicts.
//!
//! The time of a frame, in seconds, is its number. Where the two systems disagree (where it was sent to) the verdict is
//! the engine's; here it counts that the destination is handed out as it is.

use crate::support::pcap::read_fixture;
use crate::{Received, digest, receive};
use carp::wire::Error;
use carp::wire::carp::Checksum;
use std::collections::BTreeMap;

/// The receiver's group, vhid 9.
const PASS: &str = "secret";
const ADDRESSES: &[&str] = &["192.0.2.10", "2001:db8::10"];

/// What `wire` refuses in both files.
const REFUSED: [(u64, Error); 9] = [
    (2, Error::BadTtl),
    (3, Error::BadSum),
    (4, Error::IpHeader),
    (5, Error::BadVer),
    (14, Error::BadLen),
    (26, Error::Fragment),
    (38, Error::BadTtl),
    (40, Error::BadSum),
    (43, Error::BadLen),
];

/// Whose digest is wrong in both files: type 2 hashed, wrong password, one family left out.
const BAD_DIGEST: [u64; 5] = [7, 11, 12, 13, 42];

/// Sent to somewhere else than the group in both files.
const DESTINATIONS: [(u64, &str); 5] = [
    (19, "192.0.2.2"),
    (22, "224.0.0.1"),
    (23, "192.0.2.10"),
    (45, "ff02::1"),
    (46, "2001:db8::2"),
];

fn cases(name: &str, count: u64) -> BTreeMap<u64, Result<Received, Error>> {
    let records = read_fixture(name);
    let cases: BTreeMap<_, _> = records
        .iter()
        .map(|record| (record.time.as_secs(), receive(&record.bytes)))
        .collect();
    assert_eq!(
        cases.keys().copied().collect::<Vec<_>>(),
        (0..count).collect::<Vec<_>>()
    );
    assert_eq!(records.len(), cases.len());
    cases
}

fn judge(name: &str, count: u64, further_destinations: &[(u64, &str)]) -> BTreeMap<u64, Received> {
    let cases = cases(name, count);
    let refused: Vec<_> = cases
        .iter()
        .filter_map(|(&n, case)| Some((n, *case.as_ref().err()?)))
        .collect();
    assert_eq!(refused, REFUSED, "{name}");
    let accepted: BTreeMap<_, _> = cases
        .into_iter()
        .filter_map(|(n, case)| Some((n, case.ok()?)))
        .collect();

    let bad_digest = |received: &Received| {
        let Received { advertisement, .. } = received;
        !digest::matches(advertisement, PASS, ADDRESSES)
    };
    let bad: Vec<_> = accepted
        .iter()
        .filter(|(_, case)| bad_digest(case))
        .map(|(&n, _)| n)
        .collect();
    assert_eq!(bad, BAD_DIGEST, "{name}");

    let groups = ["224.0.0.18", "ff02::12"];
    let elsewhere = accepted.iter().map(|(&n, case)| (n, case.dst.to_string()));
    let elsewhere: Vec<_> = elsewhere
        .filter(|(_, dst)| !groups.contains(&dst.as_str()))
        .collect();
    let expected = DESTINATIONS.iter().chain(further_destinations);
    let expected: Vec<_> = expected.map(|&(n, dst)| (n, dst.to_owned())).collect();
    assert_eq!(elsewhere, expected, "{name}");

    let pseudo = accepted
        .iter()
        .filter(|(_, case)| case.checksum != Checksum::Plain)
        .map(|(&n, _)| n);
    assert_eq!(
        pseudo.collect::<Vec<_>>(),
        [39],
        "{name}: NetBSD 10 sends this form, so it is accepted"
    );
    odd_but_accepted(&accepted);
    accepted
}

/// The odd thing is really in the frame that was accepted.
fn odd_but_accepted(accepted: &BTreeMap<u64, Received>) {
    let header = |n: u64| accepted[&n].bytes;
    assert_eq!(header(6)[0], 0x22, "type 2");
    assert_eq!(header(8)[3], 0, "authlen 0");
    assert_eq!(accepted[&9].advertisement.demote, 1);
    assert_ne!(accepted[&10].advertisement.vhid, 9);
    let source = |n: u64| accepted[&n].src.to_string();
    assert_eq!(
        (source(28), source(29), source(30)),
        ("0.0.0.0".into(), "192.0.2.2".into(), "192.0.2.10".into())
    );
    assert_eq!(u64::from_be_bytes(accepted[&33].advertisement.counter), 0);
    let timing = |n: u64| {
        (
            accepted[&n].advertisement.advbase,
            accepted[&n].advertisement.advskew,
        )
    };
    assert_eq!((timing(34), timing(35)), ((0, 1), (255, 0)));
}

#[test]
fn the_cases_of_freebsd() {
    let accepted = judge("freebsd-input-cases.pcap", 53, &[(51, "192.0.2.10")]);
    assert_eq!(accepted[&50].advertisement.vhid, 0);
    assert_eq!(
        accepted[&52].src, accepted[&37].src,
        "behind destination options"
    );
}

#[test]
fn the_cases_of_netbsd() {
    let accepted = judge("netbsd-input-cases.pcap", 49, &[]);
    assert_eq!(
        accepted[&47].src, accepted[&37].src,
        "behind hop-by-hop options"
    );
    assert_eq!(
        accepted[&48].src, accepted[&37].src,
        "behind destination options"
    );
}
