//! What is heard and what is not: T23 and T27.

use super::VIRTUAL;
use super::support::frames::{Advert, Frame, arp_request, echo_request, solicitation, tagged};
use super::support::hosts::{Host, SOON, Segment, own_mac};
use super::support::scene::{SHARED, SHARED6, Scene, join};
use carp::linux::clock;
use carp::wire::MacAddr;
use std::net::IpAddr;
use std::time::Duration;

const ALL_GROUPS: [&str; 3] = ["224.0.0.18", "ff02::12", "ff02::1:ff00:1"];

/// A better MASTER's advertisement for group 1.
fn better(source: &str, counter: u64) -> Vec<u8> {
    let mut advert = Advert::new(1, "secret", &[SHARED, SHARED6], source);
    advert.advbase = 1;
    advert.counter = counter;
    advert.frame()
}

/// Questions that a MASTER answers.
fn questions() -> Vec<(&'static str, Vec<u8>)> {
    let (c, v4, v6) = (
        own_mac(0x0c),
        "192.0.2.13".parse().unwrap(),
        "2001:db8::13".parse().unwrap(),
    );
    let echo =
        |from: IpAddr, to: &str| echo_request((c, from), (VIRTUAL, to.parse().unwrap()), 0x23, 1);
    vec![
        (
            "ARP request",
            arp_request((c, v4), SHARED.parse().unwrap(), MacAddr::BROADCAST),
        ),
        (
            "solicitation",
            solicitation((c, v6), SHARED6.parse().unwrap(), None),
        ),
        ("echo request", echo(v4.into(), SHARED)),
        ("echo request, IPv6", echo(v6.into(), SHARED6)),
    ]
}

fn answers(frame: &Frame) -> bool {
    let claim = frame.claims(SHARED.parse().unwrap()) || frame.claims(SHARED6.parse().unwrap());
    claim || frame.echo().is_some_and(|e| !e.request)
}

/// Fails without the tag tests in the socket filters: the tag is not in the frame but beside it.
fn t23_another_vlans_frames_change_nothing() {
    let scene = Scene::bare();
    join(&scene.a, "eth0", 100);
    scene.a.master("carp1");
    let (from_a, to_a) = (scene.a.sends("eth0"), scene.a.inlet("eth0"));
    for (kind, vid) in [
        (0x8100, 10),
        (0x88a8, 10),
        (0x88a8, 0),
        (0x8100, 0x6000 | 4094),
    ] {
        for (what, frame) in questions() {
            let mark = clock::now();
            to_a.send(&tagged(&frame, kind, vid)).unwrap();
            let what = format!("answer to {what} in {kind:04x} {vid}");
            from_a.silence(mark, Duration::from_millis(60), &what, answers);
        }
        to_a.send(&tagged(&better("192.0.2.99", 1), kind, vid))
            .unwrap();
        to_a.send(&tagged(&better("fe80::99", 2), kind, vid))
            .unwrap();
    }
    // No better MASTER was heard: the next advertisements come in their own time.
    let mark = clock::now();
    for source in ["192.0.2.11", "fe80::"] {
        let family = source.contains('.');
        let next = |f: &Frame| f.advert().is_some_and(|s| s.source.is_ipv4() == family);
        from_a.expect(
            mark,
            Duration::from_millis(1900),
            "next advertisement",
            next,
        );
    }
    assert_eq!(scene.a.state("carp1"), "MASTER");
    // A priority tag is no VLAN.
    for (what, frame) in questions() {
        let mark = clock::now();
        to_a.send(&tagged(&frame, 0x8100, 0xe000)).unwrap();
        from_a.expect(
            mark,
            SOON,
            &format!("answer to {what} with a priority tag"),
            answers,
        );
    }
    // And untagged, the same advertisement is obeyed.
    to_a.send(&better("192.0.2.99", 3)).unwrap();
    scene.a.until_state("carp1", "BACKUP");
}

/// Fails when the groups are joined as filters only (PACKET_MR_MULTICAST): snooping switches see no report.
fn t27_group_membership_is_reported() {
    for addresses in [&["192.0.2.11/24", "2001:db8::11/64"][..], &[]] {
        let segment = Segment::new();
        let a = Host::on(&segment, "a", 0x0a, addresses);
        a.daemon();
        let from_a = a.sends("eth0");
        let mark = clock::now();
        join(&a, "eth0", 0);
        for group in ALL_GROUPS {
            let ip: IpAddr = group.parse().unwrap();
            let octets = match ip {
                IpAddr::V4(g) => g.octets().to_vec(),
                IpAddr::V6(g) => g.octets().to_vec(),
            };
            // IGMPv3 to 224.0.0.22 or MLDv2 to ff02::16, from carpdev itself, naming the group in its records.
            let report = |f: &Frame| {
                let reports = ["224.0.0.22", "ff02::16"].map(|r| r.parse::<IpAddr>().unwrap());
                let payload = &f.bytes[34.min(f.bytes.len())..];
                let named = payload.windows(octets.len()).any(|w| w == octets);
                f.src() == own_mac(0x0a)
                    && f.ip_destination().is_some_and(|d| reports.contains(&d))
                    && named
            };
            from_a.expect(
                mark,
                SOON,
                &format!("report of {group}, carpdev has {addresses:?}"),
                report,
            );
        }
    }
}

super::support::planes! {
    t23_another_vlans_frames_change_nothing,
    t27_group_membership_is_reported,
}
