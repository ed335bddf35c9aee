//! Unicast peers: where advertisements go, what is heard, the TTL; and Ethernet addresses of the admin's choice.

use crate::rig::{Ad, CARPDEV, Host, UNIT, V4, V6, config, ms, parent, routed, vhid};
use carp::carp::auth::{Auth, Kind};
use carp::carp::config::{Carpdev, Config, Key, Lladdr, State};
use carp::carp::{Input, Sending};
use carp::wire::{Family, MacAddr, frame, ip};
use std::net::IpAddr;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn with(addresses: &[&str], peers: &[&str]) -> Config {
    Config {
        peers: peers.iter().map(|peer| ip(peer)).collect(),
        ..config(addresses, 1, 0)
    }
}

/// This host's own addresses, one of them beyond the carpdev.
fn local() -> Input<'static> {
    let own = [
        (CARPDEV, "192.0.2.1"),
        (CARPDEV, "fe80::1"),
        (CARPDEV, "2001:db8::1"),
        (Carpdev(1), "198.51.100.1"),
    ];
    Input::Local(own.map(|(at, own)| (at, ip(own))).into())
}

fn host(addresses: &[&str], peers: &[&str]) -> Host {
    let mut host = Host::new(7);
    host.parent(0.0, Some(parent()));
    host.input(0.0, local());
    host.configure(0.0, with(addresses, peers));
    host
}

/// An advertisement of another host, sent to one address of this one.
fn sent_to(ad: &Ad, to: &str) -> Vec<u8> {
    let bytes = ad.bytes();
    let frame::Frame::Advertisement { src, payload, .. } = frame::parse(&bytes).unwrap() else {
        panic!("an advertisement");
    };
    let payload = payload.try_into().unwrap();
    let mut packet = match (src, ip(to)) {
        (IpAddr::V4(src), IpAddr::V4(to)) => ip::packet_v4(src, to, 0xe0, payload),
        (IpAddr::V6(src), IpAddr::V6(to)) => ip::packet_v6(src, to, 0, payload),
        _ => panic!("two families"),
    };
    let (ttl, checksum) = if ad.family == Family::Inet {
        (8, Some(10))
    } else {
        (7, None)
    };
    packet[ttl] = ad.ttl;
    if let Some(at) = checksum {
        packet[at..at + 2].fill(0);
        let words = packet[..20]
            .chunks(2)
            .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
        let sum: u32 = words.sum();
        let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
        packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    routed(&packet)
}

#[test]
fn a_master_sends_to_each_peer_and_to_nobody_else() {
    let peers = ["192.0.2.2", "198.51.100.7", "fe80::2", "2001:db8:9::2"];
    let mut host = host(&[V4, V6], &peers);
    let lines = host.time(3000.0);
    let ads: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("ad "))
        .collect();
    assert_eq!(
        ads,
        [
            "ad inet 1/0 to 192.0.2.2,198.51.100.7",
            "ad inet6 1/0 to fe80::2,2001:db8:9::2"
        ]
    );
    let ads = host
        .frames
        .iter()
        .filter(|(_, what, _)| matches!(what, Sending::Advertisement(_)));
    let sources: Vec<_> = ads
        .map(|(.., bytes)| match frame::parse(bytes).unwrap() {
            frame::Frame::Advertisement { src, dst, ttl, .. } => {
                (src.to_string(), dst.to_string(), ttl)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        ("192.0.2.1", "192.0.2.2"),
        ("192.0.2.1", "198.51.100.7"),
        ("fe80::1", "fe80::2"),
        // Whoever is routers away does not answer to a link-local address.
        ("2001:db8::1", "2001:db8:9::2"),
    ];
    let expected: Vec<_> = expected
        .map(|(a, b)| (a.to_owned(), b.to_owned(), 255))
        .into();
    assert_eq!(sources, expected);
    let lines = host.destroy(3500.0);
    assert_eq!(
        lines[..2],
        [
            "goodbye inet to 192.0.2.2,198.51.100.7",
            "goodbye inet6 to fe80::2,2001:db8:9::2"
        ]
    );
}

#[test]
fn a_family_without_peers_is_multicast() {
    let mut host = host(&[V4, V6], &["192.0.2.2"]);
    let lines = host.time(3000.0);
    let ads: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("ad "))
        .collect();
    assert_eq!(ads, ["ad inet 1/0 to 192.0.2.2", "ad inet6 1/0"]);
}

#[test]
fn who_is_listed_does_not_send_to_itself() {
    let mut host = host(&[V4], &["192.0.2.1", "192.0.2.2"]);
    let lines = host.time(3000.0);
    assert!(
        lines.contains(&"ad inet 1/0 to 192.0.2.2".to_owned()),
        "{lines:?}"
    );
}

#[test]
fn a_dead_peer_is_no_send_error_as_long_as_one_is_reached() {
    let mut host = host(&[V4], &["192.0.2.2", "192.0.2.3"]);
    host.time(3000.0);
    host.sends = false;
    for n in 1..=2 {
        host.time(3000.0 + 1000.0 * f64::from(n));
    }
    // One report for all of them, so an error means that nobody was reached; it costs the lease as ever.
    host.time(6000.0);
    assert_eq!(host.state(), State::Backup);
}

#[test]
fn unicast_is_heard_where_it_is_expected() {
    let ad = || Ad::new(&[V4], 1, 0);
    for (peers, dst, heard, error) in [
        (&["192.0.2.2"][..], Some("192.0.2.1"), true, ""),
        // Any address of this host will do, if it comes by the carpdev.
        (&["192.0.2.2"], Some("198.51.100.1"), true, ""),
        (&["192.0.2.2"], Some("192.0.2.77"), false, "badif"),
        (&["192.0.2.2"], None, false, "badvhid"),
        (&[], Some("192.0.2.1"), false, "badvhid"),
        (&[], None, true, ""),
    ] {
        let mut host = host(&[V4], peers);
        let bytes = dst.map_or_else(|| ad().bytes(), |dst| sent_to(&ad(), dst));
        host.frame(2000.0, &bytes);
        let restarted = host.timeout() == Some(5000.0);
        assert_eq!(restarted, heard, "{peers:?} {dst:?}");
        let stats = host.engine.stats();
        let counted = [
            ("badif", stats.badif),
            ("badvhid", stats.badvhid),
            ("badttl", stats.badttl),
        ];
        let counted: Vec<_> = counted
            .into_iter()
            .filter(|(_, n)| *n > 0)
            .map(|(n, _)| n)
            .collect();
        assert_eq!(
            counted.first().copied().unwrap_or(""),
            error,
            "{peers:?} {dst:?}"
        );
    }
}

#[test]
fn a_frame_to_another_station_is_not_ours() {
    let mut host = host(&[V4], &["192.0.2.2"]);
    let mut bytes = sent_to(&Ad::new(&[V4], 1, 0), "192.0.2.1");
    bytes[5] = 0x77;
    host.frame(2000.0, &bytes);
    assert_eq!(
        (host.timeout(), host.engine.stats().badif),
        (Some(3000.0), 1)
    );
}

#[test]
fn a_peer_may_be_routers_away_and_nobody_else() {
    let far = |ttl| Ad {
        ttl,
        ..Ad::new(&[V4], 1, 0)
    };
    let mut unicast = host(&[V4], &["192.0.2.2"]);
    unicast.frame(2000.0, &sent_to(&far(57), "192.0.2.1"));
    assert_eq!(unicast.timeout(), Some(5000.0));
    let mut six = host(&[V6], &["2001:db8::2"]);
    let ad = Ad {
        ttl: 60,
        ..Ad::new(&[V6], 1, 0)
    };
    six.frame(2000.0, &sent_to(&ad, "2001:db8::1"));
    assert_eq!(six.timeout(), Some(5000.0));
    let mut multicast = host(&[V4], &[]);
    multicast.frame(2000.0, &far(254).bytes());
    multicast.frame(2000.0, &sent_to(&far(254), "192.0.2.1"));
    assert_eq!(
        (multicast.timeout(), multicast.engine.stats().badttl),
        (Some(3000.0), 2)
    );
}

#[test]
fn new_peers_are_told_at_once() {
    let mut host = host(&[V4], &["192.0.2.2"]);
    host.time(3000.0);
    let lines = host.configure(3100.0, with(&[V4], &["192.0.2.3"]));
    assert!(
        lines.contains(&"ad inet 1/0 to 192.0.2.3".to_owned()),
        "{lines:?}"
    );
    assert_eq!(host.state(), State::Master);
    let lines = host.configure(3200.0, with(&[V4], &[]));
    assert!(lines.contains(&"ad inet 1/0".to_owned()), "{lines:?}");
}

fn sources(host: &Host) -> Vec<MacAddr> {
    let of = |bytes: &Vec<u8>| MacAddr(bytes[6..12].try_into().unwrap());
    host.frames.iter().map(|(.., bytes)| of(bytes)).collect()
}

#[test]
fn with_the_carpdevs_own_address_all_comes_from_it_and_the_digest_stays() {
    let mut host = Host::new(7);
    host.parent(0.0, Some(parent()));
    let own = Config {
        lladdr: Lladdr::Carpdev,
        ..config(&[V4, V6], 1, 0)
    };
    host.configure(0.0, own);
    let lines = host.time(3000.0);
    let announced = ["garp 192.0.2.10", "na 2001:db8::10"];
    assert!(
        announced.iter().all(|a| lines.contains(&(*a).to_owned())),
        "{lines:?}"
    );
    assert!(
        sources(&host).iter().all(|mac| *mac == parent().mac),
        "{:?}",
        sources(&host)
    );
    // Another host that uses the virtual address understands it.
    let mut other = Host::backup(&[V4, V6], 1, 100);
    for (.., bytes) in host.frames.clone() {
        other.frame(1000.0, &bytes);
    }
    assert_eq!(other.engine.stats().badauth, 0);
    assert_eq!(other.engine.timeout(), Some(ms(1000.0 + 3000.0 + 390.625)));
    let lines = host.frame(3001.0, &crate::rig::arp_request("192.0.2.10"));
    assert!(
        lines[0].starts_with("arp 192.0.2.10 is-at 02:00:00:00:00:01"),
        "{lines:?}"
    );
    let lines = host.frame(3002.0, &crate::rig::solicitation("2001:db8::10"));
    assert_eq!((lines.len(), sources(&host)), (1, vec![parent().mac]));
}

#[test]
fn an_address_of_the_admins_choice_is_hashed() {
    let mac = MacAddr([2, 0, 0, 0xaa, 0xbb, 0xcc]);
    let chosen = Config {
        lladdr: Lladdr::Chosen(mac),
        key: Key::from_pass(b"mekmitasdigoat"),
        ..config(&["192.0.2.100/24"], 1, 0)
    };
    // The vector `v4-openbsd-custom-lladdr`.
    let auth = Auth::with_mac(&chosen.key, vhid(1), Some(mac), [ip("192.0.2.100")]);
    let digest = auth.digest(Kind::Orig, 0x0001_0203_0405_0607);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "35065acacd44405c6f251c8ed7bc1cb801211588");

    let mut host = Host::new(7);
    host.parent(0.0, Some(parent()));
    host.configure(0.0, chosen.clone());
    host.time(3000.0);
    assert!(sources(&host).iter().all(|from| *from == mac));
    let mut same = Host::new(8);
    same.parent(0.0, Some(parent()));
    same.configure(0.0, chosen.clone());
    same.frame(1000.0, &host.frames[0].2.clone());
    assert_eq!(
        (same.engine.stats().badauth, same.timeout()),
        (0, Some(4000.0))
    );
    let mut other = Host::new(9);
    other.parent(0.0, Some(parent()));
    let plain = Config {
        lladdr: Lladdr::Virtual,
        ..chosen
    };
    other.configure(0.0, plain);
    other.frame(1000.0, &host.frames[0].2.clone());
    assert_eq!(other.engine.stats().badauth, 1);
}

#[test]
fn another_ethernet_address_makes_a_new_beginning() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    let own = Config {
        lladdr: Lladdr::Carpdev,
        ..config(&[V4], 1, 0)
    };
    let lines = host.configure(at + 1.0, own);
    assert_eq!(lines[0], "goodbye inet");
    assert_eq!(
        host.engine.vhosts(UNIT).next().unwrap().state,
        State::Backup
    );
}
