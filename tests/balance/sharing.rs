//! Each asker has one answer from the host that the rule names, whatever happens to the hosts.

use crate::segment::{Asker, DEAD, SHARED4, SHARED6, Segment, told};
use carp::carp::balance;
use carp::carp::config::{Balancing, Key, Selector, Settings, Unit};
use carp::carp::{Input, Sending};
use carp::wire::{Frame, MacAddr, arp, frame, nd};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const MAC: Selector = Selector::Mac {
    big_endian: false,
    order: false,
};

fn settled(hosts: usize, hash: Option<Selector>) -> Segment {
    let mut segment = Segment::new(hosts, hash, |_, _| {});
    segment.run(3.0 * DEAD);
    segment
}

/// Where the rule puts an asker.
fn named(asker: Asker, selector: Selector, hosts: usize) -> usize {
    let key = Key::from_pass(b"secret");
    let (ip, mac) = (asker.0, asker.mac());
    balance::select(selector, &key, balance::Asker { ip, mac }, hosts).unwrap()
}

#[test]
fn one_host_answers_each_asker_and_it_is_the_one_that_the_rule_names() {
    for hosts in [2, 3, 4] {
        for hash in [None, Some(MAC)] {
            let mut segment = settled(hosts, hash);
            let mut counts = vec![[0; 2]; hosts];
            for (asker, (host, mac)) in segment.shares() {
                let place = named(asker, hash.unwrap_or_default(), hosts);
                assert_eq!((host, mac), (place, MacAddr::of_vhid(place as u8 + 1)));
                counts[host][usize::from(asker.0.is_ipv6())] += 1;
            }
            for family in [0, 1] {
                let counts: Vec<usize> = counts.iter().map(|count| count[family]).collect();
                let spread = counts.iter().max().unwrap() - counts.iter().min().unwrap();
                assert!(hash.is_some() || spread <= 1, "{counts:?}");
            }
        }
    }
}

#[test]
fn the_order_of_configuration_changes_nothing_unless_it_is_asked_for() {
    let mut first = settled(3, None);
    let expected = first.shares();
    for turn in 0..3 {
        let mut segment = Segment::new(3, None, |host, units| units.rotate_left((host + turn) % 3));
        segment.run(3.0 * DEAD);
        assert_eq!(segment.shares(), expected);
    }
    let order = Some(Selector::Mac {
        big_endian: false,
        order: true,
    });
    // NetBSD's way: the interface that got the address last is the first.
    let mut segment = settled(3, order);
    for (asker, (host, _)) in segment.shares() {
        assert_eq!(host, 2 - named(asker, MAC, 3), "{asker:?}");
    }
    let mut differs = Segment::new(2, order, |host, units| units.rotate_left(host));
    differs.run(3.0 * DEAD);
    let (none, several) = differs.wrong();
    assert!(
        !none.is_empty() && !several.is_empty(),
        "as it says in the manual"
    );
}

#[test]
fn a_probe_is_answered_by_the_host_of_the_asker_and_by_no_other() {
    let mut segment = settled(2, None);
    for (asker, (host, mac)) in segment.shares() {
        let right = segment.asked(&asker.question(Some(mac)));
        assert_eq!(right, [(host, mac)], "{asker:?}");
        // A repainted asker probes the wrong MAC. Here everybody hears it, and its own host tells it better.
        let other = MacAddr::of_vhid(3 - mac.0[5]);
        assert_eq!(segment.asked(&asker.question(Some(other))), [(host, mac)]);
        let stranger = MacAddr([2, 9, 9, 9, 9, 9]);
        assert_eq!(segment.asked(&asker.question(Some(stranger))), []);
    }
}

#[test]
fn who_looks_whether_the_address_is_taken_hears_one_host_and_repaints_nobody() {
    let mut segment = settled(4, None);
    let prober = MacAddr([2, 7, 0, 0, 0, 7]);
    let four = arp::request(prober, Ipv4Addr::UNSPECIFIED, SHARED4);
    assert_eq!(segment.asked(&four), [(0, MacAddr::of_vhid(1))]);
    let six = nd::Solicitation::multicast(prober, Ipv6Addr::UNSPECIFIED, SHARED6).emit();
    let mut answers = Vec::new();
    for host in 0..4 {
        segment.hosts[host].frame(segment.now, &six);
        answers.append(&mut segment.hosts[host].frames);
    }
    let [(_, Sending::Answer, answer)] = answers.as_slice() else {
        panic!("{answers:?}")
    };
    assert_eq!(told(answer), MacAddr::of_vhid(1));
    let Frame::NeighbourAdvertisement(na) = frame::parse(answer).unwrap() else {
        panic!()
    };
    assert_eq!(na.dst_mac, prober, "nobody else hears it");
    assert!(!na.overriding && !na.solicited);
}

/// T2. The question named the vhid whose MAC the answer goes to; only its MASTER puts that right, and only where it is wrong.
#[test]
fn a_neighbour_that_was_asked_as_the_shared_address_is_told_where_it_belongs() {
    let mut segment = settled(3, None);
    let place = |asker: Asker| named(asker, Selector::Source, 3);
    for asker in Asker::all() {
        let IpAddr::V6(ip) = asker.0 else { continue };
        let answer = nd::Advertisement {
            src_mac: asker.mac(),
            dst_mac: MacAddr::of_vhid(1),
            src: ip,
            dst: SHARED6,
            target: ip,
            router: false,
            solicited: true,
            overriding: true,
            target_link_layer: Some(asker.mac()),
        };
        let unasked = nd::Advertisement {
            solicited: false,
            ..answer
        };
        for (host, heard, right) in [(0, answer, place(asker)), (0, unasked, 0), (1, answer, 0)] {
            segment.hosts[host].frame(segment.now, &heard.emit());
            let said = std::mem::take(&mut segment.hosts[host].frames);
            if right == 0 {
                assert!(said.is_empty(), "{asker:?}: {said:?}");
                continue;
            }
            let [(_, Sending::Answer, bytes)] = said.as_slice() else {
                panic!("{asker:?}: {said:?}")
            };
            let expected = nd::Advertisement {
                src_mac: MacAddr([2, 0, 0, 0, 0, 1]),
                dst_mac: asker.mac(),
                dst: ip,
                ..nd::Advertisement::unsolicited(MacAddr::of_vhid(right as u8 + 1), SHARED6, false)
            };
            assert_eq!(*bytes, expected.emit());
        }
    }
}

#[test]
fn nothing_is_announced_that_would_repaint_an_asker() {
    let mut segment = settled(3, None);
    segment.kill(0);
    segment.run(2.0 * DEAD);
    segment.revive(0);
    segment.run(2.0 * DEAD);
    assert_eq!(segment.announced, 0);
    let mut nodes = Segment::of_nodes(2, Balancing::Arp, None);
    nodes.run(3.0 * DEAD);
    assert_eq!(nodes.announced, 0);
    // An address that one vhid has alone is announced as ever.
    let mut alone = Segment::new(1, None, |_, _| {});
    alone.run(DEAD);
    assert!(alone.announced >= 2);
}

#[test]
fn a_dead_hosts_askers_are_served_by_the_others_in_time_and_the_rest_lose_nothing() {
    for hosts in [2, 3, 4] {
        let mut segment = settled(hosts, None);
        let before = segment.shares();
        segment.kill(1);
        let theirs: BTreeSet<Asker> = before
            .iter()
            .filter(|(_, (host, _))| *host == 1)
            .map(|(asker, _)| *asker)
            .collect();
        let mut last = 0.0;
        for step in 0..250 {
            segment.run(20.0);
            let (none, several) = segment.wrong();
            assert!(several.is_empty(), "{several:?}");
            assert!(none.is_subset(&theirs), "{none:?}");
            if !none.is_empty() {
                last = f64::from(step + 1) * 20.0;
            }
        }
        assert!((2000.0..DEAD + 40.0).contains(&last), "{last} ms");
        let meanwhile = segment.shares();
        for (asker, answer) in &before {
            // The virtual MAC that an asker knows stays right.
            assert_eq!(meanwhile[asker].1, answer.1);
        }
        segment.revive(1);
        for _ in 0..375 {
            segment.run(20.0);
            let (none, _) = segment.wrong();
            assert!(none.is_empty(), "{none:?}");
        }
        assert_eq!(segment.shares(), before);
    }
}

#[test]
fn a_split_leaves_nobody_without_an_answer_and_ends_with_the_heal() {
    for one_way in [false, true] {
        let mut segment = settled(3, None);
        let before = segment.shares();
        segment.cut.extend([(0, 1), (0, 2)]);
        if !one_way {
            segment.cut.extend([(1, 0), (2, 0)]);
        }
        let mut without: BTreeMap<Asker, f64> = BTreeMap::new();
        for _ in 0..800 {
            segment.run(10.0);
            let (none, _) = segment.wrong();
            for asker in Asker::all() {
                let time = without.entry(asker).or_default();
                *time = if none.contains(&asker) {
                    *time + 10.0
                } else {
                    0.0
                };
                assert!(*time <= DEAD, "{asker:?} one way: {one_way}");
            }
        }
        let (_, several) = segment.wrong();
        assert!(one_way || !several.is_empty(), "two are MASTER of a vhid");
        segment.cut.clear();
        // The next advertisement of every one of them.
        segment.run(2000.0);
        assert_eq!(segment.shares(), before, "one way: {one_way}");
    }
}

#[test]
fn an_interface_that_is_down_here_counts_as_long_as_another_host_has_its_vhid() {
    let mut segment = settled(2, None);
    let before = segment.shares();
    let mut down = segment.config(0, 2);
    down.up = false;
    segment.configure(0, Unit(2), Some(down));
    for _ in 0..200 {
        segment.run(50.0);
        assert_eq!(segment.shares(), before);
    }
    // On all hosts it is out of the count when it is not heard any more.
    let mut down = segment.config(1, 2);
    down.up = false;
    segment.configure(1, Unit(2), Some(down));
    segment.run(DEAD);
    let shares = segment.shares();
    assert!(
        shares
            .values()
            .all(|answer| *answer == (0, MacAddr::of_vhid(1)))
    );
}

#[test]
fn without_arpbalance_every_interface_answers_for_itself() {
    let mut segment = settled(2, None);
    for host in 0..2 {
        let settings = Settings {
            arpbalance: false,
            ..segment.hosts[host].engine.current_settings()
        };
        segment.input(host, Input::Settings(settings));
    }
    let (_, several) = segment.wrong();
    assert_eq!(several.len(), 64);
}

#[test]
fn nodes_of_one_interface_share_as_openbsd_does() {
    for (hash, selector) in [(None, MAC), (Some(Selector::Source), Selector::Source)] {
        let mut segment = Segment::of_nodes(3, Balancing::Arp, hash);
        segment.run(3.0 * DEAD);
        for (asker, (host, mac)) in segment.shares() {
            let place = named(asker, selector, 3);
            assert_eq!((host, mac), (place, MacAddr::of_vhid(place as u8 + 1)));
        }
        assert_eq!(segment.masters(1, 2), [1]);
    }
}

#[test]
fn where_packets_are_divided_the_leader_answers_for_all() {
    for (mode, mac) in [
        (Balancing::Ip, MacAddr([1, 0, 0x5e, 0, 1, 1])),
        (Balancing::IpStealth, MacAddr::of_vhid(1)),
        (Balancing::IpUnicast, MacAddr::of_vhid(1)),
    ] {
        let mut segment = Segment::of_nodes(2, mode, None);
        segment.run(3.0 * DEAD);
        let physical = MacAddr([2, 0, 0, 0, 0, 1]);
        let expected = if mode == Balancing::IpUnicast {
            mac
        } else {
            physical
        };
        for asker in Asker::all() {
            let mut answers = Vec::new();
            for host in 0..2 {
                segment.hosts[host].frame(segment.now, &asker.question(None));
                answers.append(&mut segment.hosts[host].frames);
            }
            let [(.., answer)] = answers.as_slice() else {
                panic!("{answers:?}")
            };
            let (source, told) = match frame::parse(answer).unwrap() {
                Frame::Arp(reply) => (reply.src_mac, reply.sender_mac),
                Frame::NeighbourAdvertisement(na) => (na.src_mac, na.target_link_layer.unwrap()),
                other => panic!("{other:?}"),
            };
            assert_eq!((source, told), (expected, mac), "{mode}");
        }
        assert_eq!(segment.announced, 0);
    }
}

#[test]
fn an_unspecified_asker_of_either_family_is_the_firsts() {
    for ip in [
        IpAddr::from(Ipv4Addr::UNSPECIFIED),
        Ipv6Addr::UNSPECIFIED.into(),
    ] {
        assert_eq!(balance::source(ip), 0);
    }
}

/// Each interface comes 100 ms after the one before, and the MASTERs are heard in between.
#[test]
fn a_host_that_has_not_all_its_interfaces_yet_answers_nobody() {
    let mut segment = settled(3, None);
    let before = segment.shares();
    segment.kill(1);
    segment.run(DEAD);
    segment.revive_slowly(1, &[2], 1);
    for number in [3, 1] {
        for _ in 0..10 {
            segment.run(90.0);
            segment.shares();
        }
        segment.revive_slowly(1, &[number], 0);
    }
    segment.run(DEAD);
    assert_eq!(segment.shares(), before);
}
