//! A MASTER dies, and somebody repeats what it had advertised: when do the others take over?

use crate::divergent::{OURS, V4, V6, fault, pair};
use crate::peers::System;
use crate::scenario::{Attack, Kind, MS, SECOND, Scenario, Whose};
use crate::world::World;

const DIES: u64 = 14 * SECOND;
const ENDS: u64 = 36 * SECOND;

/// h0 is the best and dies; four times a second something of the tape is repeated to all.
fn scene(system: Option<System>, addresses: &[&str], seed: u64, whose: Option<Whose>) -> Scenario {
    let what = if system.is_some() {
        Kind::PeerCrash
    } else {
        Kind::Crash
    };
    let deaths = [fault(what, DIES / SECOND, ENDS / SECOND, 0)];
    let hosts = [(system, 1, 0), (OURS, 1, 60), (OURS, 1, 120)];
    let mut scenario = pair(hosts, addresses, &deaths);
    scenario.seed = seed;
    scenario.attack = whose.map(|whose| Attack {
        from: DIES + 10 * MS,
        every: 250 * MS,
        whose,
        forges: seed.is_multiple_of(2),
        open: true,
    });
    scenario
}

/// The changes from the death on, as long as h0 is dead.
fn changes(scenario: Scenario) -> Vec<(u64, usize, bool)> {
    let mut world = World::new(scenario, false);
    // What becomes of it afterwards is another matter.
    let _ = world.run();
    let during = |(at, ..): &&(u64, usize, bool)| (DIES + 1..ENDS).contains(at);
    world.changes.iter().filter(during).copied().collect()
}

const ALL: [Whose; 3] = [Whose::Latest(0), Whose::Any, Whose::All];

#[test]
fn a_dead_master_of_ours_repeated_delays_nothing() {
    for seed in 1..=20 {
        for addresses in [&[V4][..], &[V6], &[V4, V6]] {
            let quiet = changes(scene(OURS, addresses, seed, None));
            assert_eq!((quiet.len(), quiet[0].1), (1, 1), "{quiet:?}");
            for whose in ALL {
                let attacked = changes(scene(OURS, addresses, seed, Some(whose)));
                assert_eq!(attacked, quiet, "seed {seed}, {addresses:?}, {whose:?}");
            }
        }
    }
}

/// As long as nobody else has spoken the counters are random and repeats are recognised. One that has heard others counts up,
/// may be set back at any time, and so is believed when it is dead.
#[test]
fn a_dead_master_with_random_counters_repeated_delays_nothing() {
    for system in [System::O42, System::F9, System::F13, System::N, System::U] {
        let mut seen = [0; 2];
        for seed in 1..40 {
            let mut world = World::new(scene(Some(system), &[V4], seed, None), false);
            let _ = world.run();
            let alone = world
                .changes
                .iter()
                .all(|(at, _, master)| *at > DIES || !master);
            seen[usize::from(alone)] += 1;
            let quiet = changes(scene(Some(system), &[V4], seed, None));
            assert_eq!(quiet.len(), 1, "{system:?}, seed {seed}");
            for whose in ALL {
                let attacked = changes(scene(Some(system), &[V4], seed, Some(whose)));
                if alone {
                    assert_eq!(attacked, quiet, "{system:?}, seed {seed}, {whose:?}");
                } else if whose == Whose::Latest(0) && !seed.is_multiple_of(2) {
                    // As it was; those of even seeds are forged.
                    assert_eq!(attacked, [], "{system:?}, seed {seed}");
                }
            }
        }
        assert!(seen[0] > 0 && seen[1] > 0, "{system:?}: {seen:?}");
    }
}

/// Nothing tells a live OpenBSD from a recording of it.
#[test]
fn a_dead_openbsd_repeated_keeps_everybody_down() {
    for system in [System::O6, System::O7] {
        assert_eq!(changes(scene(Some(system), &[V4], 1, None)).len(), 1);
        let attacked = changes(scene(Some(system), &[V4], 1, Some(Whose::Latest(0))));
        assert_eq!(attacked, []);
    }
}
