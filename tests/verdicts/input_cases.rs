//! The hand-made advertisements that were put to FreeBSD 13 and NetBSD 7, one thing odd in each: three verdicts side by
//! side. `below` is what the IP input of a BSD, or its Ethernet input, drops before carp sees it.

use crate::pcap::read_fixture;
use crate::receiver::{Receiver, valid};
use carp::wire::Family;
use std::collections::BTreeSet;

/// Number in FreeBSD's file, number in NetBSD's, what is odd, verdicts of FreeBSD, NetBSD and ours, and why ours
/// differs where it differs from both (from the one, where only one was asked).
type Case = (
    Option<u64>,
    Option<u64>,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

/// A case that has the same number in both files.
const fn both(
    n: u64,
    odd: &'static str,
    freebsd: &'static str,
    netbsd: &'static str,
    ours: &'static str,
    why: &'static str,
) -> Case {
    (Some(n), Some(n), odd, freebsd, netbsd, ours, why)
}

const DEMOTE: &str = "byte 4 is OpenBSD's demotion count, which the two send as 0 and do not read: its sender is demoted \
    and this host is not";
const PSEUDO: &str = "NetBSD sums the pseudo-header from 2020 on, and is to be heard; OpenBSD and FreeBSD are deaf to it";
const VHID0: &str = "there is no vhid 0 and no interface for it; FreeBSD finds an interface first, by the source address";
const TO_VIP: &str = "BSD's IP input is not for an address that a BACKUP does not own; our socket sees the frame, and \
    counts it as not for a carp interface";

#[rustfmt::skip]
const CASES: &[Case] = &[
    both(0, "nothing", "accepted", "accepted", "accepted", ""),
    both(1, "Ethernet source is a physical MAC", "accepted", "accepted", "accepted", ""),
    both(2, "TTL 254", "badttl", "badttl", "badttl", ""),
    both(3, "CARP checksum", "badsum", "badsum", "badsum", ""),
    both(4, "IP header checksum", "below", "below", "malformed", ""),
    both(5, "version 3", "badver", "badver", "badver", ""),
    both(6, "type 2, hashed as 1", "accepted", "accepted", "accepted", ""),
    both(7, "type 2, hashed as 2", "badauth", "badauth", "badauth", ""),
    both(8, "authlen 0", "accepted", "accepted", "accepted", ""),
    both(9, "byte 4 is 1", "accepted", "accepted", "takes over", DEMOTE),
    both(10, "unknown vhid", "badvhid", "badvhid", "badvhid", ""),
    both(11, "password", "badauth", "badauth", "badauth", ""),
    both(12, "hashed without the IPv6 address", "badauth", "badauth", "badauth", ""),
    both(13, "hashed without the IPv4 address", "badauth", "badauth", "badauth", ""),
    both(14, "one byte short", "badlen", "badlen", "badlen", ""),
    both(15, "4 zero bytes more in the IP packet", "accepted", "accepted", "accepted", ""),
    both(16, "4 other bytes more, summed over 36", "accepted", "accepted", "accepted", ""),
    both(17, "10 bytes of Ethernet padding", "accepted", "accepted", "accepted", ""),
    both(18, "IP option router alert", "accepted", "accepted", "accepted", ""),
    both(19, "unicast to carpdev's address and MAC", "accepted", "badif", "badif", ""),
    both(20, "the group, to the physical MAC", "accepted", "below", "accepted", ""),
    both(21, "the group, in a broadcast frame", "accepted", "accepted", "accepted", ""),
    both(22, "group 224.0.0.1", "accepted", "badif", "badif", ""),
    both(23, "to the shared address, multicast frame", "accepted", "badif", "badif", ""),
    both(24, "TOS 0, no DF", "accepted", "accepted", "accepted", ""),
    both(25, "TOS 0xc0", "accepted", "accepted", "accepted", ""),
    both(26, "first fragment", "below", "below", "malformed", ""),
    both(27, "source off the subnet", "accepted", "accepted", "accepted", ""),
    both(28, "source 0.0.0.0", "accepted", "accepted", "accepted", ""),
    both(29, "source is the receiver's own address", "accepted", "accepted", "accepted", ""),
    both(30, "source is the shared address", "accepted", "accepted", "accepted", ""),
    both(31, "the counter of the case before", "accepted", "accepted", "accepted", ""),
    both(32, "counter 5, far lower", "accepted", "accepted", "accepted", ""),
    both(33, "counter 0", "accepted", "accepted", "accepted", ""),
    both(34, "advbase 0 advskew 1", "accepted", "accepted", "accepted", ""),
    both(35, "advbase 255 advskew 0", "takes over", "takes over", "takes over", ""),
    both(36, "nothing", "accepted", "accepted", "accepted", ""),
    both(37, "nothing, IPv6", "accepted", "accepted", "accepted", ""),
    both(38, "hop limit 254", "badttl", "badttl", "badttl", ""),
    both(39, "summed with the pseudo-header", "badsum", "badsum", "accepted", PSEUDO),
    both(40, "CARP checksum, IPv6", "badsum", "badsum", "badsum", ""),
    both(41, "global source address", "accepted", "accepted", "accepted", ""),
    both(42, "hashed without the IPv4 address, IPv6", "badauth", "badauth", "badauth", ""),
    both(43, "one byte short, IPv6", "badlen", "badlen", "badlen", ""),
    both(44, "4 bytes more, summed over 36, IPv6", "accepted", "accepted", "accepted", ""),
    both(45, "group ff02::1", "accepted", "badif", "badif", ""),
    both(46, "unicast to carpdev's IPv6 address", "accepted", "badif", "badif", ""),
    both(47, "hop-by-hop options in front", "accepted", "accepted", "accepted", ""),
    (Some(48), None, "flow label 1", "accepted", "", "accepted", ""),
    (Some(49), None, "source is the receiver's own link-local", "accepted", "", "accepted", ""),
    (Some(50), None, "vhid 0, source the shared address", "badif", "", "badvhid", VHID0),
    (Some(51), None, "unicast to virtual MAC and shared address", "below", "", "badif", TO_VIP),
    (Some(52), Some(48), "destination options in front", "accepted", "accepted", "accepted", ""),
];

/// A frame of a file; its time in seconds is its number.
fn frame(name: &str, n: u64) -> Vec<u8> {
    let records = read_fixture(name).into_iter();
    let mut found = records.filter(|record| record.time.as_secs() == n);
    let frame = found.next().unwrap().bytes;
    assert_eq!(found.next().map(|record| record.time), None, "two of {n}");
    frame
}

/// Ours on a frame; the receiver waits for the frame's family next, so that its timer is seen to move.
fn ours(bytes: &[u8]) -> &'static str {
    let family = match bytes[12..14] {
        [0x86, 0xdd] => Family::Inet6,
        _ => Family::Inet,
    };
    Receiver::backup(family).judge(bytes)
}

#[test]
fn each_case_gets_the_verdict_of_the_table() {
    for &(freebsd, netbsd, odd, _, _, expected, _) in CASES {
        for (name, n) in [
            ("freebsd-input-cases.pcap", freebsd),
            ("netbsd-input-cases.pcap", netbsd),
        ] {
            let Some(n) = n else { continue };
            assert_eq!(ours(&frame(name, n)), expected, "{name} {n}: {odd}");
        }
    }
}

#[test]
fn the_table_has_every_frame_of_both_files() {
    let of = |pick: fn(&Case) -> Option<u64>| CASES.iter().filter_map(pick).collect::<Vec<_>>();
    for (name, listed, count) in [
        ("freebsd-input-cases.pcap", of(|case| case.0), 53),
        ("netbsd-input-cases.pcap", of(|case| case.1), 49),
    ] {
        let there: Vec<_> = read_fixture(name)
            .iter()
            .map(|record| record.time.as_secs())
            .collect();
        assert_eq!((&there, there.len()), (&listed, count), "{name}");
    }
}

#[test]
fn where_we_differ_from_both_there_is_a_reason_and_nowhere_else() {
    for (.., odd, freebsd, netbsd, ours, why) in CASES {
        let same = |theirs: &str| theirs == *ours || (theirs == "below" && *ours == "malformed");
        let alone = !same(freebsd) && (netbsd.is_empty() || !same(netbsd));
        assert_eq!(alone, !why.is_empty(), "{odd}");
    }
    let reasons: BTreeSet<_> = CASES.iter().map(|case| case.6).collect();
    assert_eq!(reasons.len(), 5, "four reasons, and none");
}

#[test]
fn the_receiver_would_hear_a_plain_one() {
    for family in [Family::Inet, Family::Inet6] {
        assert_eq!(
            Receiver::backup(family).judge(&valid(family).bytes()),
            "accepted"
        );
    }
}
