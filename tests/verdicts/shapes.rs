//! Lengths, TTLs, destinations, and what else is sent as protocol 112.

use crate::mutations::{folded, repair};
use crate::pcap::read_fixture;
use crate::receiver::{self, Receiver, VHID, valid};
use crate::rig::{self, Host};
use carp::wire::Family;

const FAMILIES: [Family; 2] = [Family::Inet, Family::Inet6];

/// Bytes in front of CARP.
fn headers(family: Family) -> usize {
    match family {
        Family::Inet => 34,
        Family::Inet6 => 54,
    }
}

/// A frame whose IP packet carries these bytes as protocol 112; the IPv4 header's checksum is right.
fn carrying(family: Family, payload: &[u8]) -> Vec<u8> {
    let mut frame = valid(family).bytes();
    frame.truncate(headers(family));
    frame.extend(payload);
    let length = u16::try_from(payload.len()).unwrap();
    match family {
        Family::Inet => frame[16..18].copy_from_slice(&(20 + length).to_be_bytes()),
        Family::Inet6 => frame[18..20].copy_from_slice(&length.to_be_bytes()),
    }
    heal_ip(&mut frame);
    frame
}

/// The IPv4 header's checksum alone.
fn heal_ip(frame: &mut [u8]) {
    if frame[12..14] == [8, 0] {
        let mut whole = frame[..34].to_vec();
        whole.resize(70, 0);
        repair(&mut whole);
        frame[24..26].copy_from_slice(&whole[24..26]);
    }
}

/// Runs of equal verdicts with the last number of each.
fn runs(verdicts: impl IntoIterator<Item = &'static str>) -> Vec<(usize, &'static str)> {
    let mut runs: Vec<(usize, &str)> = Vec::new();
    for (n, verdict) in verdicts.into_iter().enumerate() {
        match runs.last_mut() {
            Some(last) if last.1 == verdict => last.0 = n,
            _ => runs.push((n, verdict)),
        }
    }
    runs
}

#[test]
fn every_length_of_the_advertisement() {
    for family in FAMILIES {
        let receiver = Receiver::backup(family);
        let mut bytes = valid(family).bytes().split_off(headers(family));
        bytes.resize(80, 0xa5);
        let verdicts = (0..=80).map(|n| receiver.judge(&carrying(family, &bytes[..n])));
        assert_eq!(
            runs(verdicts),
            [(35, "badlen"), (80, "accepted")],
            "{family}"
        );
    }
}

#[test]
fn every_length_of_the_frame() {
    for family in FAMILIES {
        let receiver = Receiver::backup(family);
        let mut frame = valid(family).bytes();
        let whole = frame.len();
        frame.resize(whole + 46, 0);
        let verdicts = (0..=frame.len()).map(|n| receiver.judge(&frame[..n]));
        let expected = [
            // Not even an IP header: below carp.
            (headers(family) - 1, "malformed"),
            (whole - 1, "hdrops"),
            // Ethernet pads.
            (whole + 46, "accepted"),
        ];
        assert_eq!(runs(verdicts), expected, "{family}");
    }
}

#[test]
fn every_ttl() {
    for (family, at) in [(Family::Inet, 22), (Family::Inet6, 21)] {
        let receiver = Receiver::backup(family);
        let with = |ttl: u8| {
            let mut frame = valid(family).bytes();
            frame[at] = ttl;
            heal_ip(&mut frame);
            frame
        };
        let verdicts = (0..=255).map(|ttl| receiver.judge(&with(ttl)));
        assert_eq!(
            runs(verdicts),
            [(254, "badttl"), (255, "accepted")],
            "{family}"
        );
    }
}

#[test]
fn every_other_destination() {
    for (family, to) in [
        (Family::Inet, "224.0.0.1"),
        (Family::Inet, "224.0.0.2"),
        (Family::Inet, "224.0.0.17"),
        (Family::Inet, "224.0.1.18"),
        (Family::Inet, "239.0.0.18"),
        (Family::Inet, "192.0.2.1"),
        (Family::Inet, "192.0.2.10"),
        (Family::Inet, "192.0.2.255"),
        (Family::Inet, "255.255.255.255"),
        (Family::Inet, "0.0.0.0"),
        (Family::Inet, "127.0.0.1"),
        (Family::Inet6, "ff02::1"),
        (Family::Inet6, "ff02::2"),
        (Family::Inet6, "ff01::12"),
        (Family::Inet6, "ff05::12"),
        (Family::Inet6, "ff12::12"),
        (Family::Inet6, "fe80::1"),
        (Family::Inet6, "2001:db8::10"),
        (Family::Inet6, "::1"),
        (Family::Inet6, "::"),
    ] {
        let mut frame = valid(family).bytes();
        match to.parse().unwrap() {
            std::net::IpAddr::V4(to) => frame[30..34].copy_from_slice(&to.octets()),
            std::net::IpAddr::V6(to) => frame[38..54].copy_from_slice(&to.octets()),
        }
        heal_ip(&mut frame);
        assert_eq!(Receiver::backup(family).judge(&frame), "badif", "{to}");
    }
}

/// Over a family in which no address is shared nothing is heard, as on FreeBSD: by the digest its sender shares the same
/// ones, and so does not send there.
#[test]
fn the_family_without_an_address() {
    for (family, addresses) in [
        (Family::Inet6, ["192.0.2.10/24"]),
        (Family::Inet, ["2001:db8::10/64"]),
    ] {
        let mut host = Host::new(7);
        host.parent(0.0, Some(rig::parent()));
        host.configure(0.0, receiver::config(VHID, b"secret", &addresses, 100));
        let receiver = Receiver::of(host, 1000.0);
        let ad = rig::Ad {
            vhid: VHID,
            ..rig::Ad::new(&addresses, 1, 50)
        };
        assert_eq!(receiver.judge(&ad.clone().bytes()), "accepted");
        assert_eq!(
            receiver.judge(&ad.over(family).bytes()),
            "badvhid",
            "{family}"
        );
        // And one that is over both, by its digest, is of another group.
        assert_eq!(
            receiver.judge(&valid(family).bytes()),
            "badauth",
            "{family}"
        );
    }
}

#[test]
fn nowhere_to_be_heard() {
    let frame = valid(Family::Inet).bytes();
    let mut host = Host::new(7);
    assert!(host.frame(0.0, &frame).is_empty());
    assert_eq!(host.engine.stats().badif, 1, "no such carpdev");
    host.parent(0.0, Some(rig::parent()));
    assert!(host.frame(0.0, &frame).is_empty());
    assert_eq!(host.engine.stats().badvhid, 1, "no carp interface");
    let mut down = receiver::config(VHID, b"secret", receiver::DUAL, 100);
    down.up = false;
    host.configure(0.0, down);
    assert!(host.frame(0.0, &frame).is_empty());
    assert_eq!(host.engine.stats().badvhid, 2, "INIT does not listen");
}

/// VRRP version 2 (RFC 3768): shares the protocol, the group, the version's number and the TTL.
fn vrrp2(vrid: u8, addresses: u8) -> Vec<u8> {
    let mut packet = vec![0x21, vrid, 100, addresses, 0, 1, 0, 0];
    for n in 0..addresses {
        packet.extend([192, 0, 2, n]);
    }
    packet.extend([0; 8]);
    whole_sum(&mut packet);
    packet
}

/// VRRP version 3 (RFC 5798) as some send it over IPv4: without the pseudo-header.
fn vrrp3(vrid: u8, addresses: u8) -> Vec<u8> {
    let mut packet = vec![0x31, vrid, 100, addresses, 0, 100, 0, 0];
    for n in 0..addresses {
        packet.extend([192, 0, 2, n]);
    }
    whole_sum(&mut packet);
    packet
}

/// VRRP's checksum, over all of it.
fn whole_sum(packet: &mut [u8]) {
    let sum = folded(packet);
    packet[6..8].copy_from_slice(&sum);
}

#[test]
fn vrrp_is_refused_by_length_or_sum_or_digest_or_version() {
    let receiver = Receiver::backup(Family::Inet);
    let verdict = |packet: &[u8]| receiver.judge(&carrying(Family::Inet, packet));
    let verdicts = (0..16).map(|addresses| verdict(&vrrp2(VHID, addresses)));
    // 36 bytes with five addresses; behind them are 8 of authentication, zeros, and carp sums 36 bytes only.
    let expected = [(4, "badlen"), (7, "badauth"), (15, "badsum")];
    assert_eq!(runs(verdicts), expected);
    assert_eq!(verdict(&vrrp2(VHID + 1, 5)), "badvhid");
    let verdicts = (0..16).map(|addresses| verdict(&vrrp3(VHID, addresses)));
    assert_eq!(
        runs(verdicts),
        [(6, "badlen"), (7, "badver"), (15, "badsum")]
    );
    assert_eq!(verdict(&vrrp3(VHID + 1, 7)), "badvhid");
}

#[test]
fn the_vrrp_of_freebsd_15() {
    let records = read_fixture("freebsd-15port-vrrp3.pcap");
    let verdicts = records.iter().filter_map(|record| {
        let family = match record.bytes[12..14] {
            [0x08, 0x00] => Family::Inet,
            [0x86, 0xdd] => Family::Inet6,
            _ => return None,
        };
        // Neighbour discovery is not looked at here.
        let protocol = record.bytes[if family == Family::Inet { 23 } else { 20 }];
        (protocol == 112).then(|| Receiver::backup(family).judge(&record.bytes))
    });
    assert_eq!(runs(verdicts), [(27, "badlen")]);
}
