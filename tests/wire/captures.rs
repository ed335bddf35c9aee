//! Every frame of every capture: what it is, that its digest is the one its hosts were configured for, and that it is
//! built again byte by byte.

use crate::support::pcap::{fixtures, read_fixture};
use crate::{digest, receive};
use carp::wire::carp::{Advertisement, Checksum};
use carp::wire::{Error, Frame, frame, ip};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What a group's hosts were configured with, and how many advertisements that made.
struct Group {
    vhid: u8,
    pass: &'static str,
    addresses: &'static [&'static str],
    count: usize,
}

const fn group(
    vhid: u8,
    pass: &'static str,
    addresses: &'static [&'static str],
    count: usize,
) -> Group {
    Group {
        vhid,
        pass,
        addresses,
        count,
    }
}

/// A capture: its ARP packets, solicitations, neighbour advertisements, other frames, and advertisements by group.
struct Capture(&'static str, [usize; 4], &'static [Group]);

/// The four usual address lists.
const V4: &[&str] = &["192.0.2.10"];
const DUAL: &[&str] = &["192.0.2.10", "2001:db8::10"];
const V6: &[&str] = &["2001:db8::11"];
const UCARP: &[&str] = &["192.0.2.1"];
const FISH: &str = "foobar-fish";

#[rustfmt::skip]
const CAPTURES: &[Capture] = &[
    Capture("freebsd-15port-unicast.pcap", [12, 23, 5, 2], &[group(10, "secret", DUAL, 29)]),
    Capture("freebsd-backup-silence.pcap", [7, 6, 0, 3], &[group(6, "secret", DUAL, 1)]),
    // The second key is what FreeBSD 13 keeps of the first when `ab` is written over it.
    Capture("freebsd-demotion.pcap", [15, 0, 0, 0], &[
        group(21, "secret", &["192.0.2.21"], 44), group(21, "ab\0ret", &["192.0.2.21"], 3)]),
    Capture("freebsd-dual-stack.pcap", [21, 14, 8, 7], &[
        group(2, "secret", DUAL, 44), group(2, "secret", &["192.0.2.10", "2001:db8::10", "2001:db8::11"], 32)]),
    Capture("freebsd-family-loss.pcap", [7, 6, 0, 0], &[group(8, "secret", DUAL, 46)]),
    Capture("freebsd-garp-answers.pcap", [9, 0, 0, 0], &[]),
    Capture("freebsd-netbsd-v6.pcap", [8, 4, 0, 0], &[
        group(4, "secret", V6, 17), group(4, "secret", &["192.0.2.10", "2001:db8::11"], 10)]),
    // vhid 41 was given a passphrase of 25 characters: the first 19 are the key.
    Capture("freebsd-source-address.pcap", [7, 2, 0, 0], &[
        group(40, "secret", &["192.0.2.10", "192.0.2.20"], 5),
        group(40, "secret", &["192.0.2.10", "192.0.2.20", "2001:db8::10"], 6),
        group(40, "secret", DUAL, 6),
        group(41, "1234567890123456789", &["192.0.2.30"], 14)]),
    Capture("freebsd-tie-linklocal-senderr.pcap", [15, 11, 1, 2], &[
        group(7, "secret", V4, 6), group(7, "secret", &["192.0.2.10", "2001:db8::10", "fe80::10"], 46)]),
    Capture("freebsd-timing.pcap", [0, 0, 0, 0], &[
        group(11, "secret", &["192.0.2.11"], 14), group(12, "secret", &["192.0.2.12"], 14),
        group(13, "secret", &["192.0.2.13"], 12), group(14, "secret", &["192.0.2.14"], 10),
        group(15, "secret", &["192.0.2.15"], 7), group(16, "secret", &["192.0.2.16"], 7),
        group(17, "secret", &["192.0.2.17"], 6), group(18, "secret", &["192.0.2.18"], 7)]),
    Capture("freebsd-ucarp-netbsd-mixed.pcap", [18, 0, 0, 0], &[group(3, "secret", V4, 54)]),
    Capture("freebsd-v4-election.pcap", [20, 0, 0, 0], &[group(1, "secret", V4, 48)]),
    Capture("netbsd-arpbalance-hash.pcap", [107, 0, 0, 0], &[
        group(1, "secret", V4, 12), group(2, "secret", V4, 16)]),
    Capture("netbsd-arpbalance-order.pcap", [44, 0, 0, 0], &[group(1, "secret", V4, 7), group(2, "secret", V4, 7)]),
    Capture("netbsd-arpbalance-stock.pcap", [156, 0, 0, 0], &[
        group(1, "secret", V4, 12), group(2, "secret", V4, 16)]),
    Capture("netbsd-demotion.pcap", [5, 0, 0, 0], &[group(21, "secret", V4, 15)]),
    Capture("netbsd-timing.pcap", [17, 0, 0, 5], &[
        group(11, "secret", &["192.0.2.11"], 11), group(12, "secret", &["192.0.2.12"], 10),
        group(13, "secret", &["192.0.2.13"], 9), group(14, "secret", &["192.0.2.14"], 7),
        group(15, "secret", &["192.0.2.15"], 5), group(16, "secret", &["192.0.2.16"], 5),
        group(17, "secret", &["192.0.2.17"], 31), group(18, "secret", &["192.0.2.18"], 4)]),
    Capture("netbsd-ucarp-mixed.pcap", [12, 0, 0, 0], &[group(1, "secret", V4, 46), group(1, "wrong", V4, 2)]),
    Capture("netbsd-v4-election.pcap", [9, 0, 0, 0], &[group(1, "secret", V4, 38)]),
    Capture("netbsd-v4-splitbrain.pcap", [6, 0, 0, 0], &[group(7, "secret", V4, 21), group(7, "other", V4, 3)]),
    Capture("netbsd-v4-with-v6-address.pcap", [8, 9, 6, 4], &[group(3, "secret", DUAL, 12)]),
    Capture("netbsd-v6.pcap", [12, 0, 0, 0], &[
        group(4, "secret", V6, 20), group(4, "secret", &["2001:db8::11", "2001:db8::12"], 19),
        group(5, "secret", DUAL, 14)]),
    Capture("ucarp-bad-password.pcap", [4, 0, 0, 4], &[group(1, FISH, UCARP, 4), group(1, "other-secret", UCARP, 4)]),
    Capture("ucarp-carrier-loss.pcap", [10, 0, 0, 5], &[group(1, FISH, UCARP, 24)]),
    Capture("ucarp-debian-ifupdown-seed-config.pcap", [8, 0, 0, 6], &[group(1, FISH, &["192.0.2.252"], 17)]),
    Capture("ucarp-equal-masters.pcap", [5, 0, 0, 2], &[group(1, FISH, UCARP, 10)]),
    Capture("ucarp-failover-kill9.pcap", [7, 0, 0, 6], &[group(1, FISH, UCARP, 17)]),
    Capture("ucarp-mcast-group.pcap", [2, 0, 0, 2], &[group(255, "0123456789abcdefghi", &["192.0.2.2"], 3)]),
    Capture("ucarp-nomcast.pcap", [4, 0, 0, 0], &[group(1, FISH, UCARP, 5)]),
    Capture("ucarp-preferred-slow-master-preempt.pcap", [5, 0, 0, 4], &[group(1, FISH, UCARP, 9)]),
    Capture("ucarp-sigterm.pcap", [4, 0, 0, 8], &[group(1, FISH, UCARP, 8)]),
    Capture("ucarp-slow-upscript.pcap", [7, 0, 0, 0], &[group(1, "pw", UCARP, 12)]),
    Capture("ucarp-start-master.pcap", [2, 0, 0, 4], &[group(1, FISH, UCARP, 5)]),
    Capture("ucarp-usr2.pcap", [4, 0, 0, 6], &[group(1, FISH, UCARP, 11)]),
    Capture("ucarp-vhid42-advbase2-skew100.pcap", [1, 0, 0, 4], &[group(42, "love", UCARP, 2)]),
];

/// Not advertisements of a group, and tested elsewhere.
const OTHERS: [&str; 3] = [
    "freebsd-15port-vrrp3.pcap",
    "freebsd-input-cases.pcap",
    "netbsd-input-cases.pcap",
];

#[test]
fn every_capture_is_in_the_table() {
    let mut listed: Vec<_> = CAPTURES
        .iter()
        .map(|capture| capture.0)
        .chain(OTHERS)
        .collect();
    listed.sort_unstable();
    assert_eq!(fixtures(), listed);
}

#[test]
fn every_frame_is_what_it_was_meant_to_be() {
    for Capture(name, expected, groups) in CAPTURES {
        let (mut counts, mut advertisements) = ([0; 4], 0);
        for record in read_fixture(name) {
            match frame::parse(&record.bytes) {
                Ok(Frame::Advertisement { .. }) => advertisements += 1,
                Ok(Frame::Arp(_)) => counts[0] += 1,
                Ok(Frame::Solicitation(_)) => counts[1] += 1,
                Ok(Frame::NeighbourAdvertisement(_)) => counts[2] += 1,
                Ok(Frame::Other) => counts[3] += 1,
                Err(error) => panic!("{name} {:?}: {error}", record.time),
            }
        }
        assert_eq!(counts, *expected, "{name}");
        assert_eq!(
            advertisements,
            groups.iter().map(|group| group.count).sum::<usize>(),
            "{name}"
        );
    }
}

#[test]
fn every_digest_and_checksum_is_right() {
    let mut totals = BTreeMap::new();
    for Capture(name, _, groups) in CAPTURES {
        let mut counts = vec![0; groups.len()];
        for record in read_fixture(name) {
            let Ok(Frame::Advertisement { .. }) = frame::parse(&record.bytes) else {
                continue;
            };
            let received = receive(&record.bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(received.checksum, Checksum::Plain, "{name}");
            let advertisement = received.advertisement;
            let fits = |group: &Group| {
                group.vhid == advertisement.vhid
                    && digest::matches(&advertisement, group.pass, group.addresses)
            };
            let Some(found) = groups.iter().position(fits) else {
                panic!("{name}: {advertisement}")
            };
            counts[found] += 1;
        }
        let expected: Vec<_> = groups.iter().map(|group| group.count).collect();
        assert_eq!(counts, expected, "{name}");
        let sender = name.split('-').next().unwrap();
        *totals.entry(sender).or_insert(0) += counts.iter().sum::<usize>();
    }
    assert_eq!(
        totals,
        BTreeMap::from([("freebsd", 488), ("netbsd", 342), ("ucarp", 131)])
    );
}

/// Builds the frame of a captured advertisement from its values.
fn rebuilt(bytes: &[u8]) -> Vec<u8> {
    let Ok(Frame::Advertisement {
        src_mac,
        dst_mac,
        src,
        dst,
        payload,
        ..
    }) = frame::parse(bytes)
    else {
        panic!("not an advertisement");
    };
    let carp = Advertisement::parse(payload).unwrap().emit();
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let id = u16::from_be_bytes([bytes[18], bytes[19]]);
            ip::advertisement_v4(src_mac, dst_mac, src, dst, bytes[15], id, &carp)
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let class = bytes[14] << 4 | bytes[15] >> 4;
            ip::advertisement_v6(src_mac, dst_mac, src, dst, class, &carp)
        }
        mixed => panic!("{mixed:?}"),
    }
}

#[test]
fn every_frame_is_built_again_byte_by_byte() {
    let mut built = [0; 4];
    let mut with_nonce = 0;
    for Capture(name, ..) in CAPTURES {
        for record in read_fixture(name) {
            let (kind, again) = match frame::parse(&record.bytes).unwrap() {
                Frame::Advertisement { .. } => (0, rebuilt(&record.bytes)),
                Frame::Arp(packet) => (1, packet.emit()),
                Frame::Solicitation(asked) => (2, asked.emit()),
                Frame::NeighbourAdvertisement(answer) => (3, answer.emit()),
                Frame::Other => continue,
            };
            // Probes of these systems carry a nonce option (RFC 7527), which we neither keep nor send.
            if record.bytes.get(78) == Some(&14) && kind == 2 {
                with_nonce += 1;
                continue;
            }
            assert_eq!(again, record.bytes, "{name} {:?}", record.time);
            built[kind] += 1;
        }
    }
    assert_eq!((built, with_nonce), ([961, 578, 36, 20], 39));
}

#[test]
fn vrrp_shares_the_protocol_number_and_is_told_apart() {
    let records = read_fixture("freebsd-15port-vrrp3.pcap");
    let mut counts = BTreeMap::new();
    for record in &records {
        let Frame::Advertisement {
            family,
            ttl,
            payload,
            ..
        } = frame::parse(&record.bytes).unwrap()
        else {
            continue;
        };
        assert_eq!((carp::wire::carp::version(payload), ttl), (Some(3), 255));
        // Shorter than CARP's 36 bytes, and that is looked at before the version.
        assert_eq!(receive(&record.bytes).err(), Some(Error::BadLen));
        *counts.entry(family).or_insert(0) += 1;
    }
    assert_eq!(counts.values().copied().collect::<Vec<_>>(), [14, 14]);
}
