//! The 26 packet vectors, in both directions.

use crate::support::pcap::fixture;
use crate::{digest, receive};
use carp::wire::carp::{Advertisement, Checksum};
use carp::wire::{Frame, MacAddr, frame, ip};
use serde_json::Value;
use std::net::IpAddr;

fn vectors() -> Vec<Value> {
    let text = std::fs::read_to_string(fixture("carp-vectors.json")).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(file["vectors"].take()).unwrap()
}

fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn number(value: &Value) -> u8 {
    value.as_u64().unwrap().try_into().unwrap()
}

fn mac(value: &Value) -> MacAddr {
    let octets = value
        .as_str()
        .unwrap()
        .split(':')
        .map(|octet| u8::from_str_radix(octet, 16).unwrap());
    MacAddr(octets.collect::<Vec<_>>().try_into().unwrap())
}

fn address(value: &Value) -> IpAddr {
    value.as_str().unwrap().parse().unwrap()
}

/// The advertisement that the vector's inputs describe.
fn advertisement(vector: &Value) -> Advertisement {
    let input = &vector["input"];
    Advertisement {
        vhid: number(&input["vhid"]),
        advskew: number(&input["advskew"]),
        demote: number(&input["demote"]),
        advbase: number(&input["advbase"]),
        counter: hex(&input["counter"]).try_into().unwrap(),
        digest: digest::hmac(&hex(&vector["key"]), &hex(&vector["hmac_input"])),
    }
}

fn form(vector: &Value) -> Checksum {
    let input = &vector["input"];
    match (
        input["checksum_has_pseudo_header"].as_bool().unwrap(),
        address(&input["ip_src"]),
        address(&input["ip_dst"]),
    ) {
        (true, IpAddr::V6(src), IpAddr::V6(dst)) => Checksum::PseudoHeader(src, dst),
        _ => Checksum::Plain,
    }
}

#[test]
fn every_vector_is_built_byte_by_byte() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 26);
    for vector in &vectors {
        let (name, input) = (&vector["name"], &vector["input"]);
        let carp = advertisement(vector).emit_with(form(vector));
        assert_eq!(carp[..], hex(&vector["carp"]), "{name}");
        if form(vector) == Checksum::Plain {
            assert_eq!(advertisement(vector).emit(), carp, "{name}");
        }
        let (src_mac, dst_mac) = (mac(&input["eth_src"]), mac(&input["eth_dst"]));
        let tos = number(&input["tos_or_tclass"]);
        let built = match (address(&input["ip_src"]), address(&input["ip_dst"])) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let id = u16::try_from(input["ip_id"].as_u64().unwrap()).unwrap();
                ip::advertisement_v4(src_mac, dst_mac, src, dst, tos, id, &carp)
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                ip::advertisement_v6(src_mac, dst_mac, src, dst, tos, &carp)
            }
            mixed => panic!("{name}: {mixed:?}"),
        };
        assert_eq!(built, hex(&vector["frame"]), "{name}");
        assert_eq!(built[14..], hex(&vector["ip_packet"]), "{name}");
    }
}

#[test]
fn every_vector_is_read_back() {
    for vector in &vectors() {
        let (name, input, bytes) = (&vector["name"], &vector["input"], hex(&vector["frame"]));
        let received = receive(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(received.advertisement, advertisement(vector), "{name}");
        assert_eq!(
            received.advertisement.digest[..],
            hex(&vector["hmac"]),
            "{name}"
        );
        assert_eq!(received.checksum, form(vector), "{name}");
        assert_eq!(
            (received.src, received.dst),
            (address(&input["ip_src"]), address(&input["ip_dst"])),
            "{name}"
        );
        let Ok(Frame::Advertisement {
            src_mac,
            dst_mac,
            ttl: 255,
            payload,
            ..
        }) = frame::parse(&bytes)
        else {
            panic!("{name}");
        };
        assert_eq!(
            (src_mac, dst_mac),
            (mac(&input["eth_src"]), mac(&input["eth_dst"])),
            "{name}"
        );
        assert_eq!(payload, hex(&vector["carp"]), "{name}");
    }
}

#[test]
fn the_groups_are_those_of_the_vectors() {
    let mut seen = [0, 0];
    for vector in &vectors() {
        let input = &vector["input"];
        match address(&input["ip_dst"]) {
            group if group == ip::group(carp::wire::Family::Inet) => {
                seen[0] += 1;
                assert_eq!(mac(&input["eth_dst"]), ip::GROUP_V4_MAC);
            }
            group if group == ip::group(carp::wire::Family::Inet6) => {
                seen[1] += 1;
                assert_eq!(mac(&input["eth_dst"]), ip::GROUP_V6_MAC);
            }
            peer => assert_eq!(peer.to_string(), "192.0.2.2"),
        }
    }
    assert_eq!(seen, [19, 6]);
}
