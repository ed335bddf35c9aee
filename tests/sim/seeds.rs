//! Many seeds, what they covered, and the transcript of one that fails.

use crate::scenario::{Kind, SECOND, Scenario};
use crate::transcript::Tally;
use crate::world::{Failure, World};
use std::sync::atomic::{AtomicU64, Ordering};

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What one seed gave.
struct Run {
    tally: Tally,
    hash: u64,
    failure: Option<Failure>,
    simulated: u64,
    hosts: usize,
    faults: usize,
}

fn run(seed: u64) -> Run {
    let scenario = Scenario::draw(seed);
    let (hosts, faults) = (scenario.hosts.len(), scenario.faults.len());
    let mut world = World::new(scenario, false);
    let failure = world.run().err();
    let mut tally = std::mem::take(&mut world.tally);
    tally.0.insert(
        "seen: leases of the timed out".into(),
        world.society.successions,
    );
    tally.0.insert(
        "seen: two MASTERs for a moment".into(),
        world.society.overlaps,
    );
    let [one, several, none] = world.askers.asked;
    for (what, count) in [
        ("answered by one MASTER", one),
        ("answered by several, in a split", several),
        ("answered by none, for want of a MASTER", none),
        (
            "without an answer for more than a second",
            world.askers.waited,
        ),
    ] {
        tally.0.insert(format!("askers: {what}"), count);
    }
    Run {
        tally,
        hash: world.transcript.hash(),
        failure,
        simulated: world.now,
        hosts,
        faults,
    }
}

/// The same seed once more, told line by line.
fn tell(seed: u64, last: usize) -> String {
    let scenario = Scenario::draw(seed);
    let mut text = format!("seed {seed}\n");
    for (at, host) in scenario.hosts.iter().enumerate() {
        text += &format!("  h{at}: {host:?}\n");
    }
    for group in &scenario.groups {
        text += &format!("  {group:?}\n");
    }
    let mut world = World::new(scenario, true);
    let failure = world.run().err();
    text += &world.transcript.text(last);
    if let Some(Failure { at, what }) = failure {
        text += &format!("at {:.6} s: {what}\n", at as f64 / 1e9);
    }
    text
}

#[test]
fn seeds_keep_every_promise() {
    if let Some(seed) = variable("SIM_SEED") {
        println!("{}", tell(seed, usize::MAX));
        let failure = run(seed).failure;
        assert!(failure.is_none(), "{failure:?}");
        return;
    }
    let first = variable("SIM_FIRST").unwrap_or(1);
    let count = variable("SIM_SEEDS").unwrap_or(2000);
    let next = AtomicU64::new(first);
    let worker = || {
        let mut runs = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                return runs;
            }
            let run = run(seed);
            if let Some(failure) = &run.failure {
                next.store(u64::MAX / 2, Ordering::Relaxed);
                eprintln!(
                    "seed {seed} at {:.3} s: {}",
                    failure.at as f64 / 1e9,
                    failure.what
                );
            }
            runs.push((seed, run));
        }
    };
    let mut runs: Vec<(u64, Run)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(worker)).collect();
        let done = workers.into_iter().map(|worker| worker.join().unwrap());
        done.flatten().collect()
    });
    runs.sort_by_key(|(seed, _)| *seed);
    if let Some((seed, _)) = runs.iter().find(|(_, run)| run.failure.is_some()) {
        println!("{}", tell(*seed, 120));
        panic!("replay with SIM_SEED={seed} cargo test --test sim -- --nocapture seeds_keep");
    }
    report(runs.into_iter().map(|(_, run)| run).collect(), count);
}

fn report(runs: Vec<Run>, count: u64) {
    let mut tally = Tally::default();
    let (mut hosts, mut faults) = (Vec::new(), Vec::new());
    let mut least = u64::MAX;
    // Equal for equal traces: what a change of the engine that changes nothing outside it is measured by.
    let mut digest = 0u64;
    for run in runs {
        digest = digest.rotate_left(1) ^ run.hash;
        hosts.push(run.hosts);
        faults.push(run.faults);
        least = least.min(run.simulated);
        tally.join(run.tally);
    }
    hosts.sort_unstable();
    faults.sort_unstable();
    let middle = hosts.len() / 2;
    println!(
        "{count} seeds: hosts {}..{} median {}, faults {}..{} median {}, at least {} s each, traces {digest:016x}",
        hosts[0],
        hosts[hosts.len() - 1],
        hosts[middle],
        faults[0],
        faults[faults.len() - 1],
        faults[middle],
        least / SECOND
    );
    for (what, count) in &tally.0 {
        println!("{count:10} {what}");
    }
    assert!(least >= 60 * SECOND);
    if count >= 2000 {
        assert_eq!(
            (hosts[middle], hosts[0], hosts[hosts.len() - 1]),
            (5, 2, 16)
        );
        assert!((9..=11).contains(&faults[middle]), "{}", faults[middle]);
        covered(&tally);
    }
}

/// Everything that can happen did.
fn covered(tally: &Tally) {
    let faults = Kind::ALL.iter().map(|kind| format!("fault: {kind:?}"));
    let reasons = [
        "Ready",
        "MasterTimedOut inet",
        "MasterTimedOut inet6",
        "Preempting",
        "MasterWillTimeOut",
        "Goodbye",
        "MasterDemoted",
        "BetterMaster",
        "Requested",
        "CarpdevDown",
        "Down",
        "Stalled",
        "ArmFailed",
        "Destroyed",
    ];
    let reasons = reasons.iter().map(|reason| format!("reason: {reason}"));
    let rules = [
        "own echo",
        "successor",
        "gave way",
        "reasserted",
        "demotion told at once",
        "end of demotion told at once",
        "bore with a slower one",
        "replay of ours rejected",
        "replay of another system rejected",
        "replay of another system believed",
        "stranger to the group rejected",
    ];
    let rules = rules.iter().map(|rule| format!("rule: {rule}"));
    let attacks = ["arrivals", "old successors"].map(|what| format!("attack: {what}"));
    let deaths = [
        "all was kept",
        "nothing was kept of a change",
        "a part was kept of a change",
        "all was kept of a change",
        "of a MASTER",
        "while arming",
        "of a former MASTER",
        "of a demoted host",
    ];
    let deaths = deaths.iter().map(|what| format!("death: {what}"));
    let askers = [
        "answered by one MASTER",
        "answered by several, in a split",
        "without an answer for more than a second",
    ];
    let askers = askers.iter().map(|what| format!("askers: {what}"));
    let missing: Vec<String> = faults
        .chain(reasons)
        .chain(rules)
        .chain(attacks)
        .chain(deaths)
        .chain(askers)
        .filter(|what| tally.count(what) == 0)
        .collect();
    assert!(missing.is_empty(), "never seen: {missing:?}");
}

#[test]
fn equal_seeds_give_equal_traces() {
    let hashes: Vec<u64> = (1..40).map(|seed| run(seed).hash).collect();
    let again: Vec<u64> = (1..40).map(|seed| run(seed).hash).collect();
    assert_eq!(hashes, again);
    let mut different = hashes.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), hashes.len());
}
