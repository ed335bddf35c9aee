//! Every advertisement in the captures of real systems, put to a host that is configured as that file's hosts were.

use crate::groups::{CAPTURES, Capture, Group};
use crate::pcap::{Record, read_fixture};
use crate::receiver;
use crate::rig::{self, Host};
use carp::carp::stats::Stats;
use carp::wire::{Frame, frame};
use std::collections::BTreeMap;

/// Sent to somewhere else than the groups, because the hosts were told to: how many of a file, and where to. Ours has no
/// words for that (`carppeer`, `ucarp -m`, `ucarp -M`), so they are counted as not for a carp interface.
const ELSEWHERE: [(&str, u64, &str); 2] = [
    ("freebsd-15port-unicast.pcap", 29, "unicast peers"),
    ("ucarp-mcast-group.pcap", 3, "a group of the admin's choice"),
];

fn host(group: &Group) -> Host {
    let mut host = Host::new(7);
    host.parent(0.0, Some(rig::parent()));
    let addresses: Vec<_> = group.addresses.iter().map(|a| format!("{a}/24")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    // The worst skew, so that it listens for most of the time.
    let config = receiver::config(group.vhid, group.pass.as_bytes(), &addresses, 254);
    host.configure(0.0, config);
    host
}

fn is_advertisement(record: &Record) -> bool {
    matches!(frame::parse(&record.bytes), Ok(Frame::Advertisement { .. }))
}

/// What is left of the counters when those of the verdict `accepted` are taken away, with `badif` and `badauth` apart.
fn rest(stats: &Stats) -> Stats {
    Stats {
        ipackets: 0,
        ipackets6: 0,
        opackets: 0,
        opackets6: 0,
        preempt: 0,
        badif: 0,
        badauth: 0,
        badvhid: 0,
        ..*stats
    }
}

#[test]
fn every_advertisement_of_a_real_system_is_believed() {
    let mut elsewhere = BTreeMap::new();
    let mut believed = 0;
    for Capture(name, _, groups) in CAPTURES {
        let records: Vec<_> = read_fixture(name)
            .into_iter()
            .filter(is_advertisement)
            .collect();
        let mut foreign = 0;
        for group in *groups {
            let mut host = host(group);
            for record in &records {
                host.frame(1000.0 + record.time.as_secs_f64() * 1e3, &record.bytes);
            }
            let stats = *host.engine.stats();
            assert_eq!(rest(&stats), Stats::default(), "{name}");
            let accepted =
                stats.ipackets + stats.ipackets6 - stats.badif - stats.badauth - stats.badvhid;
            let of_others =
                |other: &&Group| other.vhid == group.vhid && !std::ptr::eq(*other, group);
            let others: usize = groups
                .iter()
                .filter(of_others)
                .map(|other| other.count)
                .sum();
            foreign = stats.badif;
            if foreign == 0 {
                assert_eq!(
                    accepted, group.count as u64,
                    "{name}: {} {:?}",
                    group.vhid, group.addresses
                );
                assert_eq!(
                    stats.badauth, others as u64,
                    "{name}: another password or list"
                );
            } else {
                assert_eq!(accepted + stats.badif, group.count as u64, "{name}");
            }
            believed += accepted;
        }
        if foreign > 0 {
            elsewhere.insert(*name, foreign);
        }
    }
    assert_eq!(
        elsewhere.into_iter().collect::<Vec<_>>(),
        ELSEWHERE.map(|(name, count, _)| (name, count))
    );
    let sent: usize = CAPTURES
        .iter()
        .flat_map(|capture| capture.2)
        .map(|group| group.count)
        .sum();
    assert_eq!(
        believed + ELSEWHERE.map(|e| e.1).iter().sum::<u64>(),
        sent as u64
    );
}
