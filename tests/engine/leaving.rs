//! The ways out of MASTER: what is still served, until when, and what is told.

use crate::rig::{
    Ad, CARPDEV, Host, UNIT, V4, V6, arp_request, config, parent, solicitation, vhid,
};
use carp::carp::config::{Carpdev, Config, Key, Node, State, Unit};
use carp::carp::{Input, Parent, Reason};

#[test]
fn the_goodbye_has_a_real_counter_and_digest() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    host.destroy(at + 1.0);
    let goodbye = host.frames[0].2.clone();
    let mut peer = Host::backup(&[V4], 1, 100);
    let lines = peer.frame(10.0, &goodbye);
    assert!(
        lines.contains(&"BACKUP -> MASTER (goodbye)".into()),
        "{lines:?}"
    );
    let mut stranger = Host::backup(&["192.0.2.11/24"], 1, 100);
    assert!(stranger.frame(10.0, &goodbye).is_empty());
    assert_eq!(stranger.engine.stats().badauth, 1);
}

#[test]
fn a_successor_heard_late_is_given_its_twenty_milliseconds() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    host.destroy(at);
    assert_eq!(
        host.frame(at + 99.0, &Ad::new(&[V4], 1, 100).bytes()),
        ["gate yielded"]
    );
    assert!(host.time(at + 118.9).is_empty());
    assert!(
        host.frame(at + 118.9, &Ad::new(&[V4], 1, 100).bytes())
            .is_empty(),
        "only the first counts"
    );
    assert_eq!(host.time(at + 119.0), ["gate shut", "disarm", "retired"]);
}

#[test]
fn only_a_valid_advertisement_is_a_successor() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    host.time(at + 1000.0);
    let own = host.frames[0].2.clone();
    host.destroy(at + 1001.0);
    let not_successors = [
        Ad::new(&[V4], 1, 9).pass("other").bytes(),
        Ad::new(&["192.0.2.11/24"], 1, 9).bytes(),
        Ad {
            vhid: 2,
            ..Ad::new(&[V4], 1, 9)
        }
        .bytes(),
        Ad {
            ttl: 254,
            ..Ad::new(&[V4], 1, 9)
        }
        .bytes(),
        Ad::goodbye(&[V4]).bytes(),
        own,
    ];
    for bytes in not_successors {
        assert!(host.frame(at + 1002.0, &bytes).is_empty());
    }
    let elsewhere = Ad::new(&[V4], 1, 9).bytes();
    assert!(
        host.input(
            at + 1002.0,
            Input::Frame {
                carpdev: Carpdev(3),
                bytes: &elsewhere
            }
        )
        .is_empty()
    );
    assert_eq!(host.time(at + 1101.0), ["gate shut", "disarm", "retired"]);
}

#[test]
fn state_backup_tells_nobody_and_answers_nothing_more() {
    let (mut host, at) = Host::master(&[V4, V6], 1, 0);
    let lines = host.ask(at + 1.0, State::Backup);
    assert_eq!(lines, ["gate yielded", "MASTER -> BACKUP (requested)"]);
    assert!(host.frame(at + 2.0, &arp_request("192.0.2.10")).is_empty());
    assert!(
        host.frame(at + 2.0, &solicitation("2001:db8::10"))
            .is_empty()
    );
    assert_eq!(host.time(at + 101.0), ["gate shut", "disarm"]);
    assert_eq!(host.timeout(), Some(at + 3001.0));
    let (mut host, at) = Host::master(&[V4], 1, 0);
    host.ask(at + 1.0, State::Backup);
    assert!(
        host.frame(at + 50.0, &Ad::new(&[V4], 1, 100).bytes())
            .is_empty()
    );
    assert_eq!(
        host.time(at + 70.0),
        ["gate shut", "disarm"],
        "20 ms after a successor"
    );
}

#[test]
fn asking_for_a_state_does_nothing_where_it_has_no_meaning() {
    let mut host = Host::backup(&[V4], 1, 0);
    assert!(host.ask(1.0, State::Backup).is_empty());
    host.parent(2.0, None);
    assert!(
        host.ask(3.0, State::Master).is_empty(),
        "INIT cannot be left by asking"
    );
    assert_eq!(host.state(), State::Init);
    let (mut host, at) = Host::master(&[V4], 1, 0);
    assert!(host.ask(at, State::Master).is_empty());
}

#[test]
fn who_is_asked_for_init_stays_there_until_another_state_is_asked_for() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    let lines = host.ask(at, State::Init);
    assert_eq!(lines[0], "goodbye inet");
    assert!(
        lines.contains(&"MASTER -> INIT (requested)".to_owned()),
        "{lines:?}"
    );
    host.time(at + 10_000.0);
    host.configure(at + 10_000.0, config(&[V4], 1, 7));
    assert_eq!(
        (host.state(), host.reason()),
        (State::Init, Reason::Requested)
    );
    let lines = host.ask(at + 10_001.0, State::Backup);
    assert_eq!(lines, ["INIT -> BACKUP (ready)"]);

    let mut host = Host::backup(&[V4], 1, 0);
    assert_eq!(host.ask(1.0, State::Init), ["BACKUP -> INIT (requested)"]);
    let lines = host.ask(2.0, State::Master);
    assert_eq!(lines[0], "INIT -> BACKUP (ready)");
    assert_eq!(host.state(), State::Master);

    host.ask(3.0, State::Init);
    let down = Config {
        up: false,
        ..config(&[V4], 1, 0)
    };
    host.configure(4.0, down);
    host.configure(5.0, config(&[V4], 1, 0));
    assert_eq!(host.state(), State::Backup, "down and up begin anew");
}

#[test]
fn a_carpdev_that_goes_ends_the_linger() {
    for gone in [
        None,
        Some(Parent {
            up: false,
            ..parent()
        }),
    ] {
        let (mut host, at) = Host::master(&[V4], 1, 0);
        host.destroy(at + 1.0);
        assert_eq!(
            host.parent(at + 5.0, gone),
            ["gate shut", "disarm", "retired"]
        );
    }
}

#[test]
fn the_lease_lasts_as_long_as_the_linger() {
    let (mut host, at) = Host::master(&[V4], 0, 1);
    let lines = host.destroy(at + 1.0);
    let lease = format!("lease {}", at + 101.0);
    assert_eq!(
        lines,
        [
            "goodbye inet".into(),
            lease,
            "MASTER -> INIT (destroyed)".to_string()
        ]
    );
    let lines = host.frame(at + 95.0, &Ad::new(&[V4], 0, 1).bytes());
    assert_eq!(
        lines,
        [format!("lease {}", at + 115.0), "gate yielded".into()]
    );
}

#[test]
fn a_new_vhid_says_goodbye_under_the_old_one() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    let mut other = config(&[V4], 1, 0);
    other.nodes = vec![Node {
        vhid: vhid(5),
        advskew: 0,
    }];
    let lines = host.configure(at + 10.0, other);
    let expected = [
        "goodbye inet",
        "MASTER -> INIT (reconfigured)",
        "carp1/5: INIT -> BACKUP (ready)",
    ];
    assert_eq!(lines, expected);
    assert_eq!(
        host.frame(at + 20.0, &Ad::new(&[V4], 1, 100).bytes()),
        ["gate yielded"]
    );
    assert_eq!(host.time(at + 40.0), ["gate shut", "disarm"]);
    assert_eq!(host.timeout(), Some(at + 3010.0));
}

#[test]
fn the_new_vhid_may_be_master_before_the_old_one_is_done() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    let mut other = config(&[V4], 1, 0);
    other.nodes = vec![Node {
        vhid: vhid(5),
        advskew: 0,
    }];
    host.configure(at + 10.0, other);
    let lines = host.ask(at + 20.0, State::Master);
    assert_eq!(lines[..2], ["gate shut", "carp1/5: gate inward"]);
    let lines = host.time(at + 200.0);
    assert!(lines.is_empty(), "{lines:?}");
}

#[test]
fn a_new_carpdev_hears_the_goodbye_on_the_old_one() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    host.input(
        at,
        Input::Parent {
            carpdev: Carpdev(3),
            parent: Some(parent()),
        },
    );
    let moved = Some((config(&[V4], 1, 0), Some(Carpdev(3))));
    let lines = host.input(
        at + 10.0,
        Input::Configure {
            unit: UNIT,
            config: moved,
        },
    );
    assert_eq!(
        lines,
        [
            "goodbye inet",
            "MASTER -> INIT (reconfigured)",
            "INIT -> BACKUP (ready)"
        ]
    );
    assert_eq!(host.frames[0].0, CARPDEV);
    assert_eq!(host.time(at + 110.0), ["gate shut", "disarm"]);
}

#[test]
fn a_carpdev_that_is_left_is_not_down() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    let moved = Config {
        carpdev: Some("eth1".into()),
        ..config(&[V4], 1, 0)
    };
    // As the daemon does until the new one can be heard.
    let (unit, config) = (UNIT, Some((moved, None)));
    assert_eq!(
        host.input(at + 10.0, Input::Configure { unit, config }),
        ["goodbye inet", "MASTER -> INIT (reconfigured)"]
    );
}

#[test]
fn the_last_address_taken_away_says_goodbye_for_it() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    let lines = host.configure(at + 1.0, config(&[], 1, 0));
    assert_eq!(lines, ["goodbye inet", "MASTER -> INIT (incomplete)"]);
    assert_eq!(
        host.frame(at + 2.0, &Ad::new(&[V4], 1, 100).bytes()),
        ["gate yielded"]
    );
}

#[test]
fn a_goodbye_is_said_under_the_old_key() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    let mut changed = config(&[V4], 1, 0);
    changed.up = false;
    changed.key = Key::from_pass(b"new");
    host.configure(at + 1.0, changed);
    let mut peer = Host::backup(&[V4], 1, 100);
    assert!(!peer.frame(1.0, &host.frames[0].2).is_empty());
    assert_eq!(
        host.frame(at + 2.0, &Ad::new(&[V4], 1, 100).bytes()),
        ["gate yielded"]
    );
}

#[test]
fn the_same_name_again_waits_for_nothing() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    host.destroy(at + 1.0);
    let lines = host.configure(at + 2.0, config(&[V4], 1, 0));
    assert_eq!(
        lines,
        ["gate shut", "disarm", "retired", "INIT -> BACKUP (ready)"]
    );
}

#[test]
fn shutdown_takes_everything_and_nothing_new() {
    let (mut host, at) = Host::master(&[V4, V6], 1, 0);
    host.input(
        at,
        Input::Parent {
            carpdev: Carpdev(3),
            parent: Some(parent()),
        },
    );
    let second = Some((config(&["192.0.2.20/24"], 1, 0), Some(Carpdev(3))));
    host.input(
        at,
        Input::Configure {
            unit: Unit(2),
            config: second,
        },
    );
    let lines = host.input(at + 1.0, Input::Shutdown);
    let goodbyes: Vec<&String> = lines.iter().filter(|l| l.starts_with("goodbye")).collect();
    assert_eq!(goodbyes, ["goodbye inet", "goodbye inet6"]);
    assert!(lines.contains(&"carp2: retired".into()), "{lines:?}");
    assert!(host.configure(at + 2.0, config(&[V4], 1, 0)).is_empty());
    assert_eq!(host.time(at + 101.0), ["gate shut", "disarm", "retired"]);
    assert_eq!(host.timeout(), None);
}

#[test]
fn yielding_answers_the_next_goodbye_and_asks_for_carp_n_again() {
    let (mut host, at) = Host::master(&[V4], 1, 100);
    host.frame(at + 1.0, &Ad::new(&[V4], 1, 0).bytes());
    host.time(at + 21.0);
    let lines = host.frame(at + 1000.0, &Ad::goodbye(&[V4]).bytes());
    assert_eq!(lines[2], "arm 2");
    assert_eq!(host.reason(), Reason::Goodbye);
}
