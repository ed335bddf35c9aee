//! The digest and the timers against the recorded vectors of real systems.

use crate::rig::vhid;
use carp::carp::auth::{Auth, Kind, Verified, hashed};
use carp::carp::config::Key;
use carp::carp::{dead_time, interval};
use serde_json::Value;
use std::net::IpAddr;
use std::time::Duration;

fn vectors() -> Value {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/carp-vectors.json"
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect()
}

fn addresses(input: &Value) -> Vec<IpAddr> {
    let list = input["addresses"].as_array().unwrap();
    list.iter()
        .map(|a| a.as_str().unwrap().parse().unwrap())
        .collect()
}

fn number(value: &Value) -> u8 {
    u8::try_from(value.as_u64().unwrap()).unwrap()
}

#[test]
fn every_vector_has_our_digest() {
    let mut checked = 0;
    for vector in vectors()["vectors"].as_array().unwrap() {
        let (name, input) = (vector["name"].as_str().unwrap(), &vector["input"]);
        if !input["custom_lladdr"].is_null() {
            continue; // Hashes the MAC as well: for a host with an `lladdr` of its own, which none has yet.
        }
        let mut key: Vec<u8> = bytes(vector["key"].as_str().unwrap());
        // A key with bytes behind a NUL is no phrase (section 3.1, the residue of a longer one).
        let phrase_length = key.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
        key.truncate(phrase_length);
        let key = Key::from_pass(&key);
        assert_eq!(
            key.as_bytes()[..],
            bytes(vector["key"].as_str().unwrap())[..],
            "{name}"
        );
        let auth = Auth::new(&key, vhid(number(&input["vhid"])), addresses(input));
        let kind = match vector["digest_kind"].as_str().unwrap() {
            "ORIG" => Kind::Orig,
            "NOV6LL" => Kind::NoV6Ll,
            other => panic!("{other}"),
        };
        let counter: [u8; 8] = bytes(input["counter"].as_str().unwrap())
            .try_into()
            .unwrap();
        let counter = u64::from_be_bytes(counter);
        let digest: [u8; 20] = bytes(vector["hmac"].as_str().unwrap()).try_into().unwrap();
        assert_eq!(auth.digest(kind, counter), digest, "{name}");
        let has_link_local = addresses(input)
            .iter()
            .any(|a| matches!(a, IpAddr::V6(v6) if v6.is_unicast_link_local()));
        let verified = if has_link_local {
            Verified::Only(kind)
        } else {
            Verified::Either
        };
        assert_eq!(auth.verify(counter, &digest), Some(verified), "{name}");
        assert_eq!(auth.verify(counter ^ 1, &digest), None, "{name}");
        for bit in 0..160 {
            let mut wrong = digest;
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(auth.verify(counter, &wrong), None, "{name}, bit {bit}");
        }
        checked += 1;
    }
    assert_eq!(checked, 25);
}

#[test]
fn passphrases_become_the_recorded_keys() {
    for vector in vectors()["vectors"].as_array().unwrap() {
        let name = vector["name"].as_str().unwrap();
        let Some(pass) = vector["input"]["password"].as_str() else {
            continue; // A real peer's oddity that no phrase gives.
        };
        assert_eq!(
            Key::from_pass(pass.as_bytes()).as_bytes()[..],
            bytes(vector["key"].as_str().unwrap())[..],
            "{name}"
        );
    }
}

#[test]
fn every_timer_vector_is_ours() {
    let vectors = vectors();
    let timers = vectors["timers"].as_array().unwrap();
    for timer in timers {
        let (advbase, advskew) = (number(&timer["advbase"]), number(&timer["advskew"]));
        let us = |name: &str| Duration::from_micros(timer[name].as_u64().unwrap());
        assert_eq!(interval(advbase, advskew), us("advertise_us"), "{timer}");
        assert_eq!(dead_time(advbase, advskew), us("master_down_us"), "{timer}");
    }
    assert_eq!(timers.len(), 9);
}

#[test]
fn what_is_hashed_is_sorted_once_and_somebodys() {
    let list = [
        "2001:db8::2",
        "fe80::1",
        "203.0.113.1",
        "::",
        "10.0.0.1",
        "255.255.255.255",
        "10.0.0.1",
        "0.0.0.0",
    ];
    let all_ones: IpAddr = std::net::Ipv6Addr::from_bits(u128::MAX).into();
    let list = list.iter().map(|a| a.parse().unwrap()).chain([all_ones]);
    let expected = ["10.0.0.1", "203.0.113.1", "2001:db8::2", "fe80::1"];
    assert_eq!(hashed(list), expected.map(|a| a.parse::<IpAddr>().unwrap()));
}
