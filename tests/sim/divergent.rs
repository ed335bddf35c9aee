//! The pairs that by their own rules never settle, or not in the time of all others, each with what happens instead. All that
//! is not in this table must keep every promise.

use crate::packet::parse;
use crate::peers::System;
use crate::scenario::{Fault, GroupPlan, HostPlan, Kind, MS, MemberPlan, SECOND, Scenario};
use crate::world::{Failure, World};
use std::net::IpAddr;

pub const V4: &str = "192.0.2.200";
pub const V6: &str = "2001:db8::200";

/// Hosts in one group on one segment: system, advbase, advskew of each.
pub fn pair<const N: usize>(
    hosts: [(Option<System>, u8, u8); N],
    addresses: &[&str],
    faults: &[Fault],
) -> Scenario {
    let plan = |(system, ..): &(Option<System>, u8, u8)| HostPlan {
        system: *system,
        drift: 0,
        preempt: true,
        has_v4: true,
        has_v6: true,
        demotion: 0,
        replay: true,
        wall: Some(0),
    };
    let members = hosts.iter().enumerate();
    let members = members.map(|(host, (_, base, skew))| MemberPlan {
        host,
        base: *base,
        skew: *skew,
    });
    Scenario {
        seed: 1,
        segments: 1,
        hosts: hosts.iter().map(plan).collect(),
        groups: vec![GroupPlan {
            vhid: 1,
            segment: 0,
            addresses: addresses
                .iter()
                .map(|a| a.parse::<IpAddr>().unwrap())
                .collect(),
            members: members.collect(),
        }],
        faults: faults.to_vec(),
        shares: false,
        calm_at: 40 * SECOND,
        attack: None,
        repeats: Vec::new(),
        deaths: Vec::new(),
    }
}

pub fn fault(what: Kind, from: u64, until: u64, number: u64) -> Fault {
    Fault {
        at: from * SECOND,
        until: until * SECOND,
        what,
        segment: 0,
        host: 0,
        place: 0,
        number,
    }
}

fn run(scenario: Scenario) -> (World, Result<(), Failure>) {
    let mut world = World::new(scenario, false);
    let result = world.run();
    (world, result)
}

fn two_masters(result: &Result<(), Failure>) {
    let what = &result.as_ref().unwrap_err().what;
    assert!(what.contains("both MASTER of group 0 and hear"), "{what}");
}

pub const OURS: Option<System> = None;

/// The BACKUP is MASTER from its dead time to the next advertisement of the other family, again and again; healed at once.
#[test]
fn one_family_lost_flaps_until_it_is_back() {
    // Between h0 and h1, IPv6.
    let lost = fault(Kind::FamilyLost, 6, 38, 0b11);
    let hosts = [(OURS, 1, 0), (OURS, 1, 100)];
    let (world, result) = run(pair(hosts, &[V4, V6], &[lost]));
    assert!(result.is_ok(), "{result:?}");
    let turns = world.tally.count("reason: MasterTimedOut inet6");
    assert!((7..=9).contains(&turns), "a period of 4 s in 32 s: {turns}");
    assert_eq!(world.tally.count("reason: BetterMaster"), turns);
}

/// NetBSD from about 2020 sums the pseudo-header, OpenBSD does not: neither hears the other over IPv6.
#[test]
fn new_netbsd_and_openbsd_do_not_hear_each_other_over_ipv6() {
    for open in [System::O42, System::O6, System::O7] {
        let hosts = [(Some(open), 1, 0), (Some(System::N), 1, 100)];
        two_masters(&run(pair(hosts, &[V6], &[])).1);
        let (_, over_v4) = run(pair(hosts, &[V4], &[]));
        assert!(over_v4.is_ok(), "{over_v4:?}");
    }
}

/// Ours hears new NetBSD and answers in its form, so that it hears ours from the second advertisement on.
#[test]
fn new_netbsd_hears_us_over_ipv6_once_we_have_heard_it() {
    let (_, result) = run(pair([(OURS, 1, 0), (Some(System::N), 1, 100)], &[V6], &[]));
    assert!(result.is_ok(), "{result:?}");
    let (_, result) = run(pair([(OURS, 1, 100), (Some(System::N), 1, 0)], &[V6], &[]));
    assert!(result.is_ok(), "{result:?}");
}

/// FreeBSD 13 sends a negative skew cut to a byte and compares the negative one.
#[test]
fn freebsd_13_demoted_below_zero_stays_master_beside_its_successor() {
    let mut scenario = pair([(OURS, 1, 100), (Some(System::F13), 1, 0)], &[V4], &[]);
    scenario.hosts[1].demotion = -50;
    two_masters(&run(scenario.clone()).1);
    scenario.hosts[1].demotion = 50;
    let (world, result) = run(scenario);
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(
        world.tally.count("reason: Preempting"),
        0,
        "50 is better than 100"
    );
}

/// Equal intervals: ours yields to UCARP's first advertisement; UCARP with the higher address reads ours late, sends a last one
/// and gives up as well, and for a dead time nobody is MASTER. With the lower address it stays.
#[test]
fn an_equal_ucarp_leaves_a_gap_after_a_partition() {
    let split = |offset: u64| Fault {
        until: 20 * SECOND + offset * 90 * MS,
        ..fault(Kind::Partition, 5, 20, 0b01)
    };
    let mut gaps = Vec::new();
    for offset in 0..12 {
        let hosts = [(OURS, 1, 0), (Some(System::U), 1, 0)];
        let (world, result) = run(pair(hosts, &[V4], &[split(offset)]));
        assert!(result.is_ok(), "{result:?}");
        let gap = world.society.vacancy(0);
        if world.tally.count("peer: U tie") > 0 {
            assert!((2 * SECOND..5 * SECOND).contains(&gap), "{} ms", gap / MS);
            gaps.push(gap);
        } else {
            assert!(gap < SECOND, "{} ms", gap / MS);
        }
        let hosts = [(Some(System::U), 1, 0), (OURS, 1, 0)];
        let (world, result) = run(pair(hosts, &[V4], &[split(offset)]));
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(world.tally.count("peer: U tie"), 0);
        assert!(world.society.vacancy(0) < SECOND);
    }
    assert!(!gaps.is_empty(), "it depends on who is heard first");
}

/// Two equal ones that preempt the same worse MASTER do it on the same advertisement, give way to each other's first one, and
/// wait for the worse one to come back: as long as their advertisements cross. Ours take some time to arm, each another.
#[test]
fn two_equal_ones_that_preempt_together_collide_each_time() {
    let divergent = |equal: Option<System>| {
        let runs = (1..40).filter(|seed| {
            let mut scenario = pair(
                [(OURS, 1, 126), (equal, 1, 100), (equal, 1, 100)],
                &[V4],
                &[],
            );
            scenario.seed = *seed;
            run(scenario).1.is_err()
        });
        runs.count()
    };
    // Where the way of a frame varies less than it takes.
    assert!(divergent(Some(System::O7)) > 0);
    assert_eq!(divergent(OURS), 0);
}

/// advbase 1 against advbase 4: by OpenBSD's rules the slow healthy host does not yield to a demoted MASTER, the fast demoted
/// one does not wait 4 s for it, and they take turns. Ours waits.
#[test]
fn a_demoted_fast_host_waits_for_a_healthy_slow_one() {
    let mut scenario = pair([(OURS, 1, 0), (OURS, 4, 0)], &[V4], &[]);
    scenario.segments = 2;
    let mut second = scenario.groups[0].clone();
    (second.vhid, second.segment) = (2, 1);
    second.addresses = vec!["198.51.100.200".parse().unwrap()];
    scenario.groups.push(second);
    scenario.faults = vec![Fault {
        segment: 1,
        ..fault(Kind::CarpdevFlap, 10, 38, 0)
    }];
    let (world, result) = run(scenario);
    assert!(result.is_ok(), "{result:?}");
    let turns = world
        .changes
        .iter()
        .filter(|(at, ..)| (12 * SECOND..38 * SECOND).contains(at));
    assert_eq!(turns.count(), 1, "h1 takes over the second group");
    assert!(world.tally.count("rule: bore with a slower one") > 4);
}

#[test]
fn the_simulators_own_reader_is_strict() {
    assert_eq!(parse(&[0; 70]), None);
    assert_eq!(parse(&[0; 3]), None);
}
