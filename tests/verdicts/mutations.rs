//! Every byte of a valid advertisement set to each of its 255 other values, as it is and with all checksums repaired.
//!
//! The digest covers version, type, vhid, addresses and counter, and no more. So whoever can send on the link, and has
//! heard one advertisement, can say in its name whatever he likes in advskew, authlen, demote and advbase (bytes 2 to 5
//! of the header), and in the half of the first byte that is the type, which is hashed as 1 whatever is sent. A BACKUP
//! can be told by that that the MASTER is slower or demoted, and takes over; a MASTER that a better one is there, and
//! yields. Only what makes counters fresh can close this.

use crate::receiver::{Receiver, valid};
use carp::wire::Family;
use std::collections::BTreeMap;
use std::fmt::Write;

/// How often each verdict comes of 255 values.
type Verdicts = &'static str;

/// First and last byte, what they are, the verdicts as they are and after repair.
type Row = (usize, usize, &'static str, Verdicts, Verdicts);

const ALL: Verdicts = "255 accepted";
const NONE: Verdicts = "255 unseen";
const BELOW: Verdicts = "255 malformed";
const SUM: Verdicts = "255 badsum";

#[rustfmt::skip]
const INET: &[Row] = &[
    (0, 5, "Ethernet destination", ALL, ALL),
    (6, 11, "Ethernet source", ALL, ALL),
    (12, 13, "Ethernet type", NONE, NONE),
    // With a header of 56 bytes, so that all of CARP is its options, IP's sum is right and nothing is left.
    (14, 14, "version, header length", BELOW, "1 badlen, 254 malformed"),
    (15, 15, "TOS", BELOW, ALL),
    (16, 16, "total length, high", "255 hdrops", "255 hdrops"),
    (17, 17, "total length, low", "199 hdrops, 56 malformed", "36 badlen, 199 hdrops, 20 malformed"),
    (18, 19, "identification", BELOW, ALL),
    // Don't fragment and the reserved bit may be either.
    (20, 20, "flags", BELOW, "3 accepted, 252 malformed"),
    (21, 21, "fragment offset", BELOW, BELOW),
    (22, 22, "TTL", BELOW, "255 badttl"),
    (23, 23, "protocol", NONE, NONE),
    (24, 25, "IP header checksum", BELOW, ALL),
    (26, 29, "source", BELOW, ALL),
    (30, 33, "destination", BELOW, "255 badif"),
    (34, 34, "version, type", SUM, "15 accepted, 240 badver"),
    (35, 35, "vhid", SUM, "255 badvhid"),
    (36, 36, "advskew", SUM, ALL),
    (37, 37, "authlen", SUM, ALL),
    (38, 38, "demote", SUM, "255 takes over"),
    // From 4 on the MASTER's interval is more than three of ours.
    (39, 39, "advbase", SUM, "3 accepted, 252 takes over"),
    (40, 41, "checksum", SUM, ALL),
    (42, 49, "counter", SUM, "255 badauth"),
    (50, 69, "digest", SUM, "255 badauth"),
];

#[rustfmt::skip]
const INET6: &[Row] = &[
    (0, 5, "Ethernet destination", ALL, ALL),
    (6, 11, "Ethernet source", ALL, ALL),
    (12, 13, "Ethernet type", NONE, NONE),
    (14, 14, "version, traffic class", "15 accepted, 240 malformed", "15 accepted, 240 malformed"),
    (15, 17, "traffic class, flow label", ALL, ALL),
    (18, 18, "payload length, high", "255 hdrops", "255 hdrops"),
    (19, 19, "payload length, low", "36 badlen, 219 hdrops", "36 badlen, 219 hdrops"),
    // Two kinds of extension headers that do not fit.
    (20, 20, "next header", "2 malformed, 253 unseen", "2 malformed, 253 unseen"),
    (21, 21, "hop limit", "255 badttl", "255 badttl"),
    (22, 37, "source", ALL, ALL),
    (38, 53, "destination", "255 badif", "255 badif"),
    (54, 54, "version, type", SUM, "15 accepted, 240 badver"),
    (55, 55, "vhid", SUM, "255 badvhid"),
    (56, 56, "advskew", SUM, ALL),
    (57, 57, "authlen", SUM, ALL),
    (58, 58, "demote", SUM, "255 takes over"),
    (59, 59, "advbase", SUM, "3 accepted, 252 takes over"),
    (60, 61, "checksum", SUM, ALL),
    (62, 69, "counter", SUM, "255 badauth"),
    (70, 89, "digest", SUM, "255 badauth"),
];

/// The CARP header of [`INET`] again, at a MASTER that the valid advertisement makes yield.
#[rustfmt::skip]
const AT_MASTER: &[Row] = &[
    (34, 34, "version, type", SUM, "240 badver, 15 yields"),
    (35, 35, "vhid", SUM, "255 badvhid"),
    (36, 36, "advskew: from 101 on worse than ours", SUM, "155 accepted, 100 yields"),
    (37, 37, "authlen", SUM, "255 yields"),
    (38, 38, "demote: a demoted one is not better", SUM, ALL),
    (39, 39, "advbase: 0 is better still", SUM, "254 accepted, 1 yields"),
    (40, 41, "checksum", SUM, "255 yields"),
    (42, 49, "counter", SUM, "255 badauth"),
    (50, 69, "digest", SUM, "255 badauth"),
];

fn family(frame: &[u8]) -> Family {
    match frame[12..14] {
        [0x86, 0xdd] => Family::Inet6,
        _ => Family::Inet,
    }
}

/// The Internet checksum (RFC 1071) of bytes whose own one is zero.
pub fn folded(bytes: &[u8]) -> [u8; 2] {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum();
    while sum >> 16 != 0 {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    (!(sum as u16)).to_be_bytes()
}

/// Makes the checksums of a frame of 70 or 90 bytes right again, the IPv4 header's and CARP's, where a plain one has them.
pub fn repair(frame: &mut [u8]) {
    let carp = frame.len() - 36;
    if frame.len() == 70 {
        frame[24..26].fill(0);
        let sum = folded(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum);
    }
    frame[carp + 6..carp + 8].fill(0);
    let sum = folded(&frame[carp..]);
    frame[carp + 6..carp + 8].copy_from_slice(&sum);
}

/// The verdicts on all values of one byte but the right one.
fn verdicts(receiver: &Receiver, frame: &[u8], at: usize, repaired: bool) -> String {
    let mut counts = BTreeMap::new();
    for value in (0..=255).filter(|value| *value != frame[at]) {
        let mut changed = frame.to_vec();
        changed[at] = value;
        if repaired {
            repair(&mut changed);
        }
        *counts.entry(receiver.judge(&changed)).or_insert(0) += 1;
    }
    let counts = counts
        .iter()
        .map(|(verdict, count)| format!("{count} {verdict}"));
    counts.collect::<Vec<_>>().join(", ")
}

/// Holds a table against the receiver, and says all that is different at once, in the words of the table.
fn hold(receiver: &Receiver, frame: &[u8], rows: &[Row], first: usize) {
    let mut wrong = String::new();
    for at in first..frame.len() {
        let found = (
            verdicts(receiver, frame, at, false),
            verdicts(receiver, frame, at, true),
        );
        let row = rows
            .iter()
            .find(|(from, to, ..)| (*from..=*to).contains(&at));
        let expected = row.map_or(("", ""), |(.., plain, repaired)| (plain, repaired));
        if (found.0.as_str(), found.1.as_str()) != expected {
            writeln!(
                wrong,
                "({at}, {at}, {:?}, {:?}, {:?}),",
                row.map_or("", |r| r.2),
                found.0,
                found.1
            )
            .unwrap();
        }
    }
    assert!(wrong.is_empty(), "{:?}:\n{wrong}", family(frame));
}

#[test]
fn every_byte_over_ipv4() {
    let frame = valid(Family::Inet).bytes();
    hold(&Receiver::backup(Family::Inet), &frame, INET, 0);
}

#[test]
fn every_byte_over_ipv6() {
    let frame = valid(Family::Inet6).bytes();
    hold(&Receiver::backup(Family::Inet6), &frame, INET6, 0);
}

#[test]
fn every_byte_of_the_header_at_a_master() {
    let frame = valid(Family::Inet).bytes();
    let master = Receiver::master();
    assert_eq!(master.judge(&frame), "yields");
    hold(&master, &frame, AT_MASTER, 34);
}
