//! Every frame of every capture: what it is, that its digest is the one its hosts were configured for, and that it is
//! built again byte by byte.

use crate::groups::{CAPTURES, Capture, Group};
use crate::support::pcap::{fixtures, read_fixture};
use crate::{digest, receive};
use carp::wire::carp::{Advertisement, Checksum};
use carp::wire::{Error, Frame, frame, ip};
use std::collections::BTreeMap;
use std::net::IpAddr;

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
