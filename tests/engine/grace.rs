//! Address lists that change on one host after the other: the present list, those of late, and a MASTER of ours with another.

use crate::rig::{Ad, Host, UNIT, V4, config, parent};
use carp::carp::config::{Settings, State};
use carp::carp::{Engine, Input};
use carp::time::Instant;
use std::time::Duration;

const MORE: &str = "192.0.2.11/24";
const MOST: &str = "192.0.2.12/24";

/// A host with a wall clock, so that its counters are those of ours.
fn clocked(seed: u64, advskew: u8) -> Host {
    let mut host = Host::new(seed);
    let unix = Duration::from_secs(1_790_000_000);
    host.engine = Engine::new(seed).with_clock(Instant::ZERO, unix);
    host.parent(0.0, Some(parent()));
    host.configure(0.0, config(&[V4], 1, advskew));
    host
}

/// What `from` sends at this moment, as `to` hears it.
fn tick(at: f64, from: &mut Host, to: &mut Host) -> Vec<String> {
    from.time(at);
    let frames = from.frames.clone();
    let mut lines = to.time(at);
    for (.., frame) in frames {
        lines.extend(to.frame(at, &frame));
    }
    lines
}

/// a is MASTER, b BACKUP and heard it.
fn pair() -> (Host, Host, f64) {
    let (mut a, mut b) = (clocked(1, 0), clocked(2, 100));
    for second in 3..=6 {
        tick(1000.0 * f64::from(second), &mut a, &mut b);
    }
    assert_eq!((a.state(), b.state()), (State::Master, State::Backup));
    (a, b, 6000.0)
}

fn run(a: &mut Host, b: &mut Host, from: f64, seconds: u32) {
    for second in 1..=seconds {
        tick(from + 1000.0 * f64::from(second), a, b);
    }
}

#[test]
fn the_backup_first_and_the_master_a_minute_later() {
    let (mut a, mut b, at) = pair();
    b.configure(at + 1.0, config(&[V4, MORE], 1, 100));
    b.configure(at + 2.0, config(&[V4, MORE, MOST], 1, 100));
    run(&mut a, &mut b, at, 60);
    assert_eq!(b.state(), State::Backup);
    assert_eq!(
        b.engine.stats().badauth,
        0,
        "the list of late is right, too"
    );
    a.configure(at + 60_001.0, config(&[V4, MORE], 1, 0));
    a.configure(at + 60_002.0, config(&[V4, MORE, MOST], 1, 0));
    run(&mut a, &mut b, at + 60_000.0, 10);
    assert_eq!((a.state(), b.state()), (State::Master, State::Backup));
}

#[test]
fn the_master_first_and_the_backup_a_minute_later() {
    let (mut a, mut b, at) = pair();
    a.configure(at + 1.0, config(&[V4, MORE], 1, 0));
    run(&mut a, &mut b, at, 60);
    assert_eq!((a.state(), b.state()), (State::Master, State::Backup));
    b.configure(at + 60_001.0, config(&[V4, MORE], 1, 100));
    run(&mut a, &mut b, at + 60_000.0, 10);
    assert_eq!((a.state(), b.state()), (State::Master, State::Backup));
}

#[test]
fn it_is_borne_with_for_the_grace_and_no_longer() {
    let (mut a, mut b, at) = pair();
    let short = Settings {
        grace: 20,
        ..Settings::default()
    };
    b.input(at, Input::Settings(short));
    a.configure(at + 1.0, config(&[V4, MORE], 1, 0));
    run(&mut a, &mut b, at, 20);
    assert_eq!(b.state(), State::Backup);
    run(&mut a, &mut b, at + 20_000.0, 5);
    assert_eq!(b.state(), State::Master, "as in every BSD");

    let (mut a, mut b, at) = pair();
    b.input(at, Input::Settings(short));
    b.configure(at + 1.0, config(&[V4, MORE], 1, 100));
    run(&mut a, &mut b, at, 20);
    assert_eq!(b.state(), State::Backup);
    run(&mut a, &mut b, at + 20_000.0, 5);
    assert_eq!(b.state(), State::Master);
}

#[test]
fn without_grace_it_is_as_in_the_bsds() {
    let off = Settings {
        grace: 0,
        ..Settings::default()
    };
    for changes_first in [0, 1] {
        let (mut a, mut b, at) = pair();
        b.input(at, Input::Settings(off));
        let changed = [&mut a, &mut b].into_iter().nth(changes_first).unwrap();
        let advskew = [0, 100][changes_first];
        changed.configure(at + 1.0, config(&[V4, MORE], 1, advskew));
        run(&mut a, &mut b, at, 5);
        assert_eq!(b.state(), State::Master, "{changes_first}");
    }
}

#[test]
fn a_dead_master_is_replaced_in_grace_as_ever() {
    let (mut a, mut b, at) = pair();
    a.configure(at + 1.0, config(&[V4, MORE], 1, 0));
    run(&mut a, &mut b, at, 10);
    b.time(at + 10_000.0 + 3391.0);
    assert_eq!(b.state(), State::Master);
}

#[test]
fn a_goodbye_under_another_list_is_none() {
    let (mut a, mut b, at) = pair();
    a.configure(at + 1.0, config(&[V4, MORE], 1, 0));
    run(&mut a, &mut b, at, 2);
    a.destroy(at + 2500.0);
    for (.., frame) in a.frames.clone() {
        b.frame(at + 2500.0, &frame);
    }
    assert_eq!(b.state(), State::Backup);
    b.time(at + 2000.0 + 3391.0);
    assert_eq!(b.state(), State::Master);
}

#[test]
fn nobody_else_is_borne_with() {
    let (mut a, mut b, at) = pair();
    let due = b.timeout();
    // Another system with another list, and ours with a right counter used twice.
    b.frame(at + 100.0, &Ad::new(&[V4, MORE], 1, 0).bytes());
    assert_eq!(b.timeout(), due);
    a.configure(at + 1.0, config(&[V4, MORE], 1, 0));
    let frames = a.frames.clone();
    let (.., frame) = frames
        .iter()
        .find(|(_, what, _)| matches!(what, carp::carp::Sending::Advertisement(_)))
        .unwrap();
    b.frame(at + 200.0, frame);
    let due = b.timeout();
    b.frame(at + 900.0, frame);
    assert_eq!(b.timeout(), due, "a recording is of no use");
    // Who was never heard with the right list has none to change.
    let mut fresh = clocked(3, 100);
    fresh.frame(1000.0, frame);
    assert_eq!(fresh.timeout(), Some(3390.625));
    assert_eq!(fresh.engine.vhosts(UNIT).count(), 1);
}
