//! Taking part, taking over, stepping down.

use crate::rig::{Ad, Host, UNIT, V4, V6, arp_request, config, parent};
use carp::carp::config::State;
use carp::carp::config::Unit;
use carp::carp::{Input, Reason};
use carp::wire::Family;

#[test]
fn alone_it_listens_for_a_dead_time_and_becomes_master() {
    let mut host = Host::backup(&[V4], 1, 100);
    assert_eq!(host.timeout(), Some(3390.625));
    assert!(host.time(3390.0).is_empty());
    let expected = [
        "gate inward",
        "lease 6290.625",
        "arm 1",
        "ad inet 1/100",
        "gate open",
        "garp 192.0.2.10",
        "BACKUP -> MASTER (master-timed-out inet)",
        "lease 6290.625",
    ];
    assert_eq!(host.time(3390.625), expected);
    assert_eq!(
        host.time(3390.625 + 1390.625),
        ["ad inet 1/100", "lease 7681.25"]
    );
    let again = ["ad inet 1/100", "garp 192.0.2.10", "lease 9071.875"];
    assert_eq!(
        host.time(3390.625 + 2.0 * 1390.625),
        again,
        "the second burst"
    );
    assert_eq!(
        host.time(3390.625 + 3.0 * 1390.625),
        ["ad inet 1/100", "lease 10462.5"]
    );
}

#[test]
fn nothing_runs_before_all_is_there() {
    let mut host = Host::new(1);
    let mut wanted = config(&[V4], 1, 0);
    wanted.up = false;
    assert!(host.configure(0.0, wanted.clone()).is_empty());
    assert_eq!(host.reason(), Reason::Down);
    wanted.up = true;
    assert!(host.configure(1.0, wanted.clone()).is_empty());
    assert_eq!(host.reason(), Reason::CarpdevDown);
    let mut down = parent();
    down.up = false;
    assert!(host.parent(2.0, Some(down)).is_empty());
    wanted.addresses.clear();
    assert!(host.configure(3.0, wanted.clone()).is_empty());
    assert_eq!(
        (host.state(), host.reason()),
        (State::Init, Reason::Incomplete)
    );
    host.parent(4.0, Some(parent()));
    wanted.addresses = config(&[V4], 1, 0).addresses;
    assert_eq!(host.timeout(), None);
    assert_eq!(host.configure(5.0, wanted), ["INIT -> BACKUP (ready)"]);
    assert_eq!(host.timeout(), Some(3005.0));
}

#[test]
fn an_advertisement_keeps_a_backup_for_another_dead_time() {
    let mut host = Host::backup(&[V4], 1, 100);
    assert!(host.frame(3000.0, &Ad::new(&[V4], 1, 0).bytes()).is_empty());
    assert_eq!(host.timeout(), Some(6390.625));
    let worse = Ad::new(&[V4], 1, 200).bytes();
    assert!(
        host.frame(4000.0, &worse).is_empty(),
        "without preempt any MASTER is respected"
    );
    assert_eq!(host.timeout(), Some(7390.625));
}

#[test]
fn with_preempt_a_better_host_takes_over() {
    let mut host = Host::backup(&[V4], 1, 0);
    host.preempt(0.0);
    let lines = host.frame(1000.0, &Ad::new(&[V4], 1, 100).bytes());
    assert_eq!(lines[..3], ["gate inward", "lease 3900", "arm 1"]);
    assert!(
        lines.contains(&"BACKUP -> MASTER (preempting)".into()),
        "{lines:?}"
    );
}

#[test]
fn a_master_yields_to_a_better_or_equal_one_and_not_to_a_worse() {
    for (advskew, state) in [
        (99, State::Backup),
        (100, State::Backup),
        (101, State::Master),
    ] {
        let (mut host, at) = Host::master(&[V4], 1, 100);
        host.frame(at + 1.0, &Ad::new(&[V4], 1, advskew).bytes());
        assert_eq!(host.state(), state, "{advskew}");
    }
}

#[test]
fn yielding_stops_the_egress_first_and_disarms_when_frames_on_their_way_have_arrived() {
    let (mut host, at) = Host::master(&[V4], 1, 100);
    let lines = host.frame(at + 1.0, &Ad::new(&[V4], 1, 0).bytes());
    assert_eq!(lines, ["gate yielded", "MASTER -> BACKUP (better-master)"]);
    assert!(host.frame(at + 2.0, &arp_request("192.0.2.10")).is_empty());
    assert_eq!(host.timeout(), Some(at + 21.0));
    assert_eq!(host.time(at + 21.0), ["gate shut", "disarm"]);
    assert_eq!(host.timeout(), Some(at + 1.0 + 3390.625));
}

#[test]
fn a_goodbye_makes_a_backup_master_at_once() {
    for advbase in [0, 1, 100] {
        let mut host = Host::backup(&[V4], advbase, 1);
        let lines = host.frame(1.0, &Ad::goodbye(&[V4]).bytes());
        assert!(
            lines.contains(&"BACKUP -> MASTER (goodbye)".into()),
            "{advbase}: {lines:?}"
        );
    }
}

#[test]
fn down_says_goodbye_in_both_families_and_serves_until_the_successor_is_heard() {
    let (mut host, at) = Host::master(&[V4, V6], 1, 0);
    let mut down = config(&[V4, V6], 1, 0);
    down.up = false;
    let lines = host.configure(at + 500.0, down);
    assert_eq!(
        lines,
        ["goodbye inet", "goodbye inet6", "MASTER -> INIT (down)"]
    );
    assert!(
        host.frame(at + 501.0, &arp_request("192.0.2.10"))
            .is_empty(),
        "no answers after a goodbye"
    );
    assert!(
        host.frame(at + 502.0, &Ad::new(&[V4, V6], 1, 9).pass("other").bytes())
            .is_empty()
    );
    assert_eq!(
        host.frame(at + 503.0, &Ad::new(&[V4, V6], 1, 100).bytes()),
        ["gate yielded"]
    );
    assert!(
        host.frame(
            at + 510.0,
            &Ad::new(&[V4, V6], 1, 100).over(Family::Inet6).bytes()
        )
        .is_empty()
    );
    assert_eq!(host.time(at + 523.0), ["gate shut", "disarm"]);
}

#[test]
fn without_a_successor_it_serves_a_tenth_of_a_second() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    assert_eq!(
        host.destroy(at + 1.0),
        ["goodbye inet", "MASTER -> INIT (destroyed)"]
    );
    assert_eq!(host.time(at + 101.0), ["gate shut", "disarm", "retired"]);
    assert_eq!(host.timeout(), None);
}

#[test]
fn a_backup_is_destroyed_at_once() {
    let mut host = Host::backup(&[V4], 1, 0);
    assert_eq!(host.destroy(1.0), ["BACKUP -> INIT (destroyed)", "retired"]);
    assert_eq!(host.engine.vhosts(UNIT).count(), 0);
}

#[test]
fn a_lost_carpdev_ends_all_at_once() {
    for gone in [
        None,
        Some(carp::carp::Parent {
            up: false,
            ..parent()
        }),
    ] {
        let (mut host, at) = Host::master(&[V4], 1, 0);
        let lines = host.parent(at + 1.0, gone);
        assert_eq!(
            lines[..3],
            ["gate shut", "disarm", "MASTER -> INIT (carpdev-down)"]
        );
        let back = host.parent(at + 50.0, Some(parent()));
        assert_eq!(back[0], "INIT -> BACKUP (ready)");
    }
}

#[test]
fn shutdown_retires_every_interface() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    assert_eq!(
        host.input(at + 1.0, Input::Shutdown),
        ["goodbye inet", "MASTER -> INIT (destroyed)"]
    );
    assert_eq!(host.time(at + 101.0), ["gate shut", "disarm", "retired"]);
}

/// Both heard the MASTER's counter, and time out together. Were both to go on from that number, each would see its own
/// advertisement come back, and both would stay MASTER for ever.
#[test]
fn two_equal_hosts_are_not_each_others_echo() {
    let [mut one, mut other] = [1, 2].map(|seed| {
        let mut host = Host::new(seed);
        host.parent(0.0, Some(parent()));
        host.configure(0.0, config(&[V4], 1, 100));
        host.frame(100.0, &Ad::new(&[V4], 1, 0).bytes());
        let at = host.timeout().unwrap();
        host.time(at);
        assert_eq!(host.state(), State::Master);
        (host, at)
    });
    assert_eq!(one.1, other.1);
    let first = |host: &Host| host.frames[0].2.clone();
    let (from_one, from_other) = (first(&one.0), first(&other.0));
    for ((host, at), heard) in [(&mut one, from_other), (&mut other, from_one)] {
        host.frame(*at + 1.0, &heard);
        assert_eq!(host.engine.stats().echoes, 0);
        assert_eq!(host.state(), State::Backup, "equality yields");
    }
}

/// advbase 1 and 4. By OpenBSD's rule it would take over, be preempted for its demotion, and take over again.
#[test]
fn a_demoted_host_bears_with_a_slow_master_that_is_healthy() {
    let mut host = Host::backup(&[V4], 1, 0);
    let elsewhere = Input::Configure {
        unit: Unit(2),
        config: Some((config(&["198.51.100.10/24"], 1, 0), None)),
    };
    host.input(1.0, elsewhere);
    host.time(600.0);
    assert_eq!(host.engine.demotion(), 1);
    let slow = Ad::new(&[V4], 4, 64);
    host.frame(1000.0, &slow.bytes());
    assert_eq!(host.state(), State::Backup);
    assert_eq!(host.timeout(), Some(13_250.0), "three of its intervals");
    // One that is as bad is taken over from, and so is this one when nothing is missing any more.
    let mut other = Host {
        engine: host.engine.clone(),
        ..Host::new(0)
    };
    let as_bad = Ad::new(&[V4], 4, 64).demoted(1);
    other.frame(1500.0, &as_bad.bytes());
    assert_eq!(other.state(), State::Master);
    let gone = Input::Configure {
        unit: Unit(2),
        config: None,
    };
    host.input(2000.0, gone);
    host.frame(5250.0, &Ad::new(&[V4], 4, 64).bytes());
    assert_eq!(host.state(), State::Master);
}

/// Its digest is right, and it is no successor.
#[test]
fn a_goodbye_heard_after_ones_own_counts_as_nothing() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    let mut down = config(&[V4], 1, 0);
    down.up = false;
    host.configure(at + 1.0, down);
    assert!(
        host.frame(at + 10.0, &Ad::goodbye(&[V4]).bytes())
            .is_empty()
    );
    assert_eq!(host.engine.stats().badauth, 0);
    let wrong = Ad::goodbye(&[V4]).pass("other");
    host.frame(at + 20.0, &wrong.bytes());
    assert_eq!(host.engine.stats().badauth, 1);
    assert_eq!(
        host.frame(at + 30.0, &Ad::new(&[V4], 1, 100).bytes()),
        ["gate yielded"]
    );
}
