//! Which virtual host an asker belongs to: the vectors, and the answers of NetBSD's own kernel.

use crate::support::pcap::{self, fixture};
use carp::carp::balance::{Asker, MacHash, select, source};
use carp::carp::config::{Key, Selector};
use carp::wire::arp::Operation;
use carp::wire::{Frame, MacAddr, frame};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

fn vectors(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(fixture("carp-vectors.json")).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(file["balancing"][name].take()).unwrap()
}

fn text<'a>(vector: &'a Value, name: &str) -> &'a str {
    vector[name].as_str().unwrap()
}

fn number(vector: &Value, name: &str) -> u64 {
    vector[name].as_u64().unwrap()
}

fn mac(text: &str) -> MacAddr {
    let octets = text.split(':').map(|o| u8::from_str_radix(o, 16).unwrap());
    MacAddr(octets.collect::<Vec<_>>().try_into().unwrap())
}

const MAC: Selector = Selector::Mac {
    big_endian: false,
    order: false,
};

fn places(selector: Selector, key: &Key, asker: Asker) -> [u64; 3] {
    [2, 3, 4].map(|count| select(selector, key, asker, count).unwrap() as u64)
}

fn expected(vector: &Value) -> [u64; 3] {
    ["mod2", "mod3", "mod4"].map(|name| number(vector, name))
}

#[test]
fn an_ipv4_asker_is_a_number() {
    let vectors = vectors("source_ip_modulo");
    assert_eq!(vectors.len(), 6);
    for vector in vectors {
        let ip: IpAddr = text(&vector, "asker").parse().unwrap();
        assert_eq!(source(ip), u128::from(number(&vector, "value")), "{ip}");
        let mac = MacAddr::ZERO;
        let placed = places(Selector::Source, &Key::default(), Asker { ip, mac });
        assert_eq!(placed, expected(&vector), "{ip}");
    }
}

/// Computed apart from the code, with another program's integers of any length.
#[test]
fn an_ipv6_asker_is_a_number_of_128_bits() {
    for (ip, expected) in [
        ("2001:db8::1", [1, 0, 1]),
        ("2001:db8::2", [0, 1, 2]),
        ("2001:db8::ff", [1, 2, 3]),
        ("2001:db8:1:2:3:4:5:6", [0, 2, 2]),
        ("fe80::5054:ff:fe12:3456", [0, 2, 2]),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", [1, 0, 3]),
        ("::", [0, 0, 0]),
    ] {
        let asker = Asker {
            ip: ip.parse().unwrap(),
            mac: MacAddr::ZERO,
        };
        let placed = places(Selector::Source, &Key::default(), asker);
        assert_eq!(placed, expected, "{ip}");
    }
}

#[test]
fn shares_of_consecutive_askers_differ_by_one_at_most() {
    let first4 = u32::from(Ipv4Addr::new(192, 0, 2, 3));
    let first6 = u128::from("2001:db8:0:7::fffe".parse::<Ipv6Addr>().unwrap());
    for (count, askers) in [2, 3, 4, 5, 32]
        .into_iter()
        .flat_map(|c| [(c, 64), (c, 61)])
    {
        let four = (0..askers).map(|n| IpAddr::from(Ipv4Addr::from(first4 + n)));
        let six = (0..askers).map(|n| IpAddr::from(Ipv6Addr::from(first6 + u128::from(n))));
        for askers in [four.collect::<Vec<_>>(), six.collect()] {
            let mut shares = vec![0; count];
            for ip in askers {
                let mac = MacAddr::ZERO;
                let place = select(Selector::Source, &Key::default(), Asker { ip, mac }, count);
                shares[place.unwrap()] += 1;
            }
            let spread = shares.iter().max().unwrap() - shares.iter().min().unwrap();
            assert!(spread <= 1, "{shares:?}");
        }
    }
}

#[test]
fn an_ethernet_address_is_hashed_as_netbsd_does_on_either_kind_of_machine() {
    let vectors = vectors("source_mac_hash");
    assert_eq!(vectors.len(), 12);
    for vector in vectors {
        let key = Key::from_pass(text(&vector, "password").as_bytes());
        let asked = mac(text(&vector, "mac"));
        let little = MacHash::new(&key, false);
        let words = little.keys().map(|word| format!("{word:08x}"));
        assert_eq!(Value::from(words.to_vec()), vector["hashkey_le"], "{asked}");
        assert_eq!(u64::from(little.of(asked)), number(&vector, "hash_le"));
        let big = MacHash::new(&key, true);
        assert_eq!(u64::from(big.of(asked)), number(&vector, "hash_be"));
        let asker = Asker {
            ip: Ipv4Addr::UNSPECIFIED.into(),
            mac: asked,
        };
        assert_eq!(places(MAC, &key, asker), expected(&vector), "{asked}");
    }
}

#[test]
fn nobody_belongs_to_nobody() {
    let asker = Asker {
        ip: Ipv4Addr::LOCALHOST.into(),
        mac: MacAddr::ZERO,
    };
    for selector in Selector::ALL {
        assert_eq!(select(selector, &Key::default(), asker, 0), None);
        assert_eq!(select(selector, &Key::default(), asker, 1), Some(0));
    }
}

/// Requests and answers of a capture: who asked, and the virtual MAC in each answer.
fn exchanges(name: &str) -> Vec<(MacAddr, Vec<MacAddr>)> {
    let mut found: Vec<(MacAddr, Vec<MacAddr>)> = Vec::new();
    for record in pcap::read(&fixture(name)) {
        let Ok(Frame::Arp(packet)) = frame::parse(&record.bytes) else {
            continue;
        };
        match packet.operation {
            Operation::Request if !packet.is_gratuitous() => {
                found.push((packet.sender_mac, Vec::new()));
            }
            Operation::Reply if packet.sender_ip == Ipv4Addr::new(192, 0, 2, 10) => {
                let asked = found
                    .iter_mut()
                    .rev()
                    .find(|(mac, _)| *mac == packet.target_mac);
                asked.unwrap().1.push(packet.sender_mac);
            }
            _ => {}
        }
    }
    found
}

/// Ranks as NetBSD counts: the interface that was configured last is the first. On these hosts that was vhid 2.
#[test]
fn every_answer_of_netbsd_is_foretold() {
    let key = Key::from_pass(b"secret");
    let exchanges = exchanges("netbsd-arpbalance-hash.pcap");
    let mut answered: BTreeMap<MacAddr, usize> = BTreeMap::new();
    let mut total = 0;
    for (mac, answers) in &exchanges {
        let asker = Asker {
            ip: Ipv4Addr::new(192, 0, 2, 103).into(),
            mac: *mac,
        };
        let place = select(MAC, &key, asker, 2).unwrap();
        let foretold = MacAddr::of_vhid([2, 1][place]);
        if let [answer] = answers.as_slice() {
            assert_eq!(*answer, foretold, "{mac}");
            *answered.entry(*mac).or_default() += 1;
            total += 1;
        } else {
            assert!(answers.is_empty(), "{mac}: {answers:?}");
        }
    }
    let hand_made = (0..16).map(|n| MacAddr([2, 0, 0, 0, 0, n]));
    assert!(hand_made.into_iter().all(|mac| answered.contains_key(&mac)));
    // The capture ends within the second round.
    assert!(total >= exchanges.len() - 2 && total >= 48, "{total}");
}
