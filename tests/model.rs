//! The real engine, not a copy, in every state that a small segment can reach; explored with stateright.
//!
//! A state is a few [`carp::carp::Engine`]s with what a data plane would see of each, and the advertisements on their way
//! ([`net::Net`]). From each state everything that may happen next happens: a packet arrives at once, at its latest moment
//! (4 ms) or when anything else happens, overtakes others, is lost, doubled or sent back to its sender; a host serves its
//! timers, in any order with what is due at the same moment, or with sends that fail; the kernel answers `Arm` at once,
//! later, not at all or with a refusal; a process is killed, stopped with a goodbye, started; a host stalls for 50 ms or
//! 4 s; a carrier goes and returns; `state` is typed. How often is the scope's [`scope::Budget`]. Two states are one when
//! nothing that can still happen tells them apart ([`same`]), so a space without further faults is finite and is explored
//! to its end.
//!
//! What holds in every state:
//!
//! * Safety. Two hosts own the address (gate open, lease valid) together no longer than one interval, two delays and the
//!   last frames of a former MASTER, counted from the last fault. Nobody begins to arm while it hears a MASTER, but for
//!   preempt, demotion, a slow one and orders, and one that hears a better one meanwhile turns back; once all is at rest
//!   the owner stays. Who is MASTER no more and has heard another does not answer, and serves what is on its way for 20 ms
//!   more; who sleeps past its lease wakes as BACKUP; who has no carrier serves nobody; whom the kernel has refused is no
//!   MASTER, and an answer to an attempt that was given up changes nothing.
//! * Liveness, as a bound: one dead time, arming and that overlap after the last fault there is exactly one owner, and
//!   with preempt it is the best one that is there. A recording sent again is no fault: it does not move the bound.
//! * Somebody always waits for something: no deadlock.
//! * A planned end, alone and with packets in order, leaves no moment without an owner.
//! * With replay protection and packets in order nobody takes a live host's advertisement for an old one.
//!
//! Hosts that are equally good are held to the first only: carp(4) lets both yield, and the search shows that they can do so
//! for ever if each round the two advertise within one delay. A goodbye that overtakes an advertisement is undone by it: the
//! search shows that as well, and only counters that a receiver insists on can end it.
//!
//! Replay protection compares counters, so where it is on they keep their identity and their distance from the wall clock,
//! and what is left of the second is part of the state; only what is below everything that can still be heard or sent is
//! equally low ([`same`]). That is exact but for one thing: one value in 8,192 is skipped, as its check is too near another's.
//! Where recordings are sent again nothing is forgotten: those scopes end after a time instead, and two states at different
//! times are two. An earlier boot's recording, which a host believes that has not heard any of ours yet, is the simulator's.
//! What a former MASTER does when it hears its successor is judged without replay protection, with which it may go on waiting
//! for one that is later than its own goodbye.
//!
//! The normal run explores 37 scopes to their end; the test prints the size of each.
//! `MODEL=large cargo test --release --test model -- --nocapture` has larger budgets: more than 4 million different states,
//! 1.8 million of them of three hosts with preempt, two losses, a crash and a restart; it takes 2 GB.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

#[allow(dead_code)]
#[path = "engine/rig.rs"]
mod rig;

#[path = "model/net.rs"]
mod net;
#[path = "model/same.rs"]
mod same;
#[path = "model/scope.rs"]
mod scope;
#[path = "model/steps.rs"]
mod steps;

use scope::{Budget, Scope};
use std::time::Duration;

/// Nothing goes wrong.
const NONE: Budget = Budget {
    losses: 0,
    replays: 0,
    doubles: 0,
    reflections: 0,
    crashes: 0,
    stops: 0,
    starts: 0,
    pauses: 0,
    failures: 0,
    refusals: 0,
    late: 0,
    flaps: 0,
    asks: 0,
};

/// The larger budget where the variable asks for it.
fn large(small: Budget, large: Budget) -> Budget {
    if is_large() { large } else { small }
}

fn is_large() -> bool {
    std::env::var("MODEL").is_ok_and(|value| value == "large")
}

/// Both settings of net.inet.carp.preempt.
fn explore(name: &str, advskews: &[u8], budget: Budget) {
    for preempt in [false, true] {
        let mut scope = Scope::new(advskews, preempt, budget);
        // Shorter than the dead time, and longer than the lease.
        scope.pauses = vec![Duration::from_millis(50), Duration::from_secs(4)];
        let preempt = if preempt { ", preempt" } else { "" };
        scope.explore(&format!("{name}{preempt}"));
    }
}

#[test]
fn two_hosts_on_a_bad_network() {
    let small = Budget {
        losses: 2,
        doubles: 1,
        reflections: 1,
        ..NONE
    };
    let more = Budget {
        losses: 4,
        doubles: 2,
        reflections: 2,
        ..NONE
    };
    explore("two hosts, bad network", &[0, 100], large(small, more));
}

#[test]
fn two_hosts_that_die_and_return() {
    let small = Budget {
        losses: 1,
        crashes: 1,
        starts: 1,
        ..NONE
    };
    let more = Budget {
        losses: 2,
        crashes: 2,
        starts: 2,
        ..NONE
    };
    explore("two hosts, crashes", &[0, 100], large(small, more));
}

#[test]
fn two_hosts_that_stop_and_return() {
    let small = Budget {
        losses: 1,
        stops: 1,
        starts: 1,
        ..NONE
    };
    let more = Budget {
        losses: 2,
        stops: 2,
        starts: 2,
        ..NONE
    };
    explore("two hosts, planned ends", &[0, 100], large(small, more));
}

#[test]
fn a_planned_end_and_nothing_else() {
    let stop = Budget { stops: 1, ..NONE };
    Scope::new(&[0, 100], false, stop).explore("two hosts, a planned end");
    let mut scope = Scope::new(&[0, 100], false, stop);
    scope.ordered = true;
    scope.explore("two hosts, a planned end, packets in order");
    if is_large() {
        let mut scope = Scope::new(&[0, 100, 200], false, stop);
        scope.ordered = true;
        scope.explore("three hosts, a planned end, packets in order");
    }
}

#[test]
fn two_hosts_that_stall() {
    let small = Budget { pauses: 1, ..NONE };
    let more = Budget {
        losses: 1,
        pauses: 2,
        ..NONE
    };
    explore("two hosts, pauses", &[0, 100], large(small, more));
}

#[test]
fn two_hosts_with_stubborn_kernels() {
    let small = Budget {
        failures: 1,
        refusals: 1,
        ..NONE
    };
    let more = Budget {
        losses: 1,
        failures: 3,
        refusals: 2,
        ..NONE
    };
    explore("two hosts, kernels", &[0, 100], large(small, more));
}

/// The carrier ends an attempt, or the MASTER that it made, before the kernel has answered; preempt begins another.
#[test]
fn two_hosts_with_kernels_that_answer_too_late() {
    let small = Budget {
        refusals: 1,
        late: 1,
        flaps: 1,
        ..NONE
    };
    let more = Budget {
        losses: 1,
        refusals: 2,
        late: 2,
        flaps: 1,
        ..NONE
    };
    Scope::new(&[0, 100], true, large(small, more)).explore("two hosts, late kernels, preempt");
}

#[test]
fn two_hosts_whose_carriers_come_and_go() {
    let small = Budget {
        losses: 1,
        flaps: 1,
        ..NONE
    };
    let more = Budget {
        losses: 1,
        flaps: 2,
        ..NONE
    };
    explore("two hosts, carriers", &[0, 100], large(small, more));
}

#[test]
fn two_hosts_under_orders() {
    let small = Budget {
        losses: 1,
        asks: 1,
        ..NONE
    };
    let more = Budget {
        losses: 1,
        asks: 2,
        ..NONE
    };
    explore("two hosts, orders", &[0, 100], large(small, more));
}

#[test]
fn two_equal_hosts() {
    let small = Budget { losses: 1, ..NONE };
    let more = Budget {
        losses: 1,
        crashes: 1,
        starts: 1,
        ..NONE
    };
    Scope::new(&[100, 100], false, large(small, more)).explore("two equal hosts");
}

#[test]
fn three_hosts() {
    let small = Budget { losses: 1, ..NONE };
    let more = Budget {
        losses: 2,
        crashes: 1,
        starts: 1,
        ..NONE
    };
    explore("three hosts", &[0, 100, 200], large(small, more));
}

#[test]
fn three_hosts_and_a_death() {
    let small = Budget { crashes: 1, ..NONE };
    let more = Budget {
        crashes: 2,
        starts: 1,
        ..NONE
    };
    explore("three hosts, a crash", &[0, 100, 200], large(small, more));
}

/// Two equal BACKUPs of a MASTER that dies.
#[test]
fn three_hosts_two_of_them_equal() {
    let small = Budget { crashes: 1, ..NONE };
    let more = Budget {
        losses: 1,
        crashes: 1,
        ..NONE
    };
    Scope::new(&[0, 100, 100], false, large(small, more)).explore("three hosts, two equal");
}

#[test]
fn both_families() {
    let small = Budget { losses: 2, ..NONE };
    let more = Budget {
        losses: 2,
        crashes: 1,
        starts: 1,
        ..NONE
    };
    let mut scope = Scope::new(&[0, 100], false, large(small, more));
    scope.addresses = &["192.0.2.10/24", "2001:db8::10/64"];
    scope.explore("two hosts, both families");
}

#[test]
fn a_slow_network() {
    let small = Budget {
        losses: 1,
        doubles: 1,
        crashes: 1,
        ..NONE
    };
    let more = Budget {
        losses: 2,
        doubles: 1,
        crashes: 1,
        starts: 1,
        ..NONE
    };
    let mut scope = Scope::new(&[0, 100], true, large(small, more));
    scope.delay = Duration::from_millis(300);
    scope.explore("two hosts, 300 ms apart");
}

#[test]
fn a_fast_group() {
    let small = Budget { losses: 2, ..NONE };
    let more = Budget {
        losses: 2,
        crashes: 1,
        starts: 1,
        ..NONE
    };
    let mut scope = Scope::new(&[0, 0], false, large(small, more));
    scope.hosts = vec![(0, 1), (0, 2)];
    scope.delay = Duration::from_millis(1);
    scope.explore("two hosts, advbase 0");
}

/// Counters that are compared. The skews are such that few fractions of a second exist.
#[test]
fn two_hosts_that_protect_against_replays() {
    let bad = Budget {
        losses: 1,
        reflections: 1,
        ..NONE
    };
    let dies = Budget {
        losses: 1,
        crashes: 1,
        starts: 1,
        ..NONE
    };
    let stops = Budget {
        stops: 1,
        starts: 1,
        ..NONE
    };
    let more = Budget {
        losses: 1,
        doubles: 1,
        crashes: 1,
        stops: 1,
        starts: 1,
        ..NONE
    };
    let all = [
        ("bad network", bad),
        ("crashes", dies),
        ("planned ends", stops),
    ];
    for (name, budget) in all {
        for preempt in [false, true] {
            // With preempt a lost advertisement makes many more states and, so far, no other story.
            let losses = u8::from(is_large() || !preempt) * budget.losses;
            let mut scope = Scope::new(&[0, 128], preempt, Budget { losses, ..budget });
            (scope.replay, scope.ordered) = (true, true);
            let preempt = if preempt { ", preempt" } else { "" };
            let name = format!("two hosts, counters, {name}{preempt}");
            scope.clone().explore(&format!("{name}, in order"));
            if is_large() || budget.reflections > 0 {
                scope.ordered = false;
                scope.explore(&name);
            }
        }
    }
    if is_large() {
        let mut scope = Scope::new(&[0, 128], false, more);
        scope.replay = true;
        scope.explore("two hosts, counters, all of it");
    }
}

/// A recording of the MASTER is repeated at any moment, and of the BACKUP. Time is bounded, and every state counts as
/// another one at another time: this leans on nothing that is said about names of counters.
#[test]
fn recordings_are_repeated() {
    let small = Budget {
        replays: 2,
        crashes: 1,
        ..NONE
    };
    let more = Budget {
        losses: 1,
        replays: 2,
        crashes: 1,
        ..NONE
    };
    for preempt in [false, true] {
        let mut scope = Scope::new(&[0, 128], preempt, large(small, more));
        (scope.replay, scope.until) = (true, Some(Duration::from_secs(14)));
        scope.explore("two hosts, replays, 14 s");
    }
}

#[test]
fn a_slow_host_and_a_quick_one() {
    let small = Budget { losses: 2, ..NONE };
    let more = Budget {
        losses: 2,
        crashes: 1,
        starts: 1,
        ..NONE
    };
    let mut scope = Scope::new(&[0, 0], false, large(small, more));
    scope.hosts = vec![(1, 0), (4, 0)];
    scope.explore("two hosts, advbase 1 and 4");
}
