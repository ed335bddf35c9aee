//! What is done about MASTERs that are slower, demoted, of one family only, or just worse.

use crate::rig::{Ad, CARPDEV, Host, UNIT, V4, V6, config, parent, vhid};
use carp::carp::config::{Carpdev, Config, Node, State, Unit};
use carp::carp::{Input, Parent, Reason};
use carp::wire::Family;

#[test]
fn a_worse_master_is_answered_at_once_and_once_per_interval() {
    let (mut host, at) = Host::master(&[V4, V6], 1, 0);
    let worse = Ad::new(&[V4, V6], 1, 100);
    let lines = host.frame(at + 100.0, &worse.bytes());
    let expected = [
        "ad inet 1/0",
        "ad inet6 1/0",
        "garp 192.0.2.10",
        "na 2001:db8::10",
    ];
    assert_eq!(lines[..4], expected);
    assert!(host.frame(at + 101.0, &worse.bytes()).is_empty());
    assert!(host.frame(at + 1099.0, &worse.bytes()).is_empty());
    assert_eq!(
        host.timeout(),
        Some(at + 1100.0),
        "the next periodic one counts from the extra one"
    );
    host.time(at + 1100.0);
    assert_eq!(host.frame(at + 1100.0, &worse.bytes())[..4], expected);
}

#[test]
fn a_slow_master_is_replaced_even_without_preempt() {
    let mut host = Host::backup(&[V4], 1, 100);
    assert!(host.frame(1.0, &Ad::new(&[V4], 3, 100).bytes()).is_empty());
    let lines = host.frame(2.0, &Ad::new(&[V4], 3, 101).bytes());
    assert!(
        lines.contains(&"BACKUP -> MASTER (master-will-time-out)".into()),
        "{lines:?}"
    );
}

#[test]
fn with_advbase_0_a_slow_peer_is_only_warned_about_and_once() {
    let mut host = Host::backup(&[V4], 0, 20);
    assert!(host.frame(1.0, &Ad::new(&[V4], 0, 59).bytes()).is_empty());
    let lines = host.frame(2.0, &Ad::new(&[V4], 0, 60).bytes());
    assert!(
        lines.len() == 1 && lines[0].starts_with("log 4: carp1: 192.0.2.2 advertises"),
        "{lines:?}"
    );
    assert!(host.frame(3.0, &Ad::new(&[V4], 1, 0).bytes()).is_empty());
    assert_eq!(host.state(), State::Backup);
}

#[test]
fn advbase_0_has_its_own_timers() {
    let mut host = Host::backup(&[V4], 0, 1);
    assert_eq!(host.timeout(), Some(11.718));
    let lines = host.time(11.718);
    assert_eq!(lines[3], "ad inet 0/1");
    assert_eq!(
        lines.last().unwrap(),
        "lease 21.483",
        "2.5/256 s after sending"
    );
    assert_eq!(host.timeout(), Some(11.718 + 3.906));
}

/// FreeBSD flaps in the same rhythm: MASTER for the rest of the peer's interval.
#[test]
fn the_loss_of_one_family_makes_a_backup_flap_and_is_named() {
    let mut host = Host::backup(&[V4, V6], 1, 100);
    let ad = Ad::new(&[V4, V6], 1, 0);
    let mut warned = Vec::new();
    let mut promoted = Vec::new();
    for second in 1..=12 {
        let at = f64::from(second) * 1000.0;
        while let Some(due) = host.timeout().filter(|due| *due < at) {
            let lines = host.time(due);
            warned.extend(lines.iter().filter(|l| l.starts_with("log 4")).cloned());
            promoted.extend(
                lines
                    .iter()
                    .filter(|l| l.contains("-> MASTER"))
                    .map(|_| due),
            );
        }
        host.frame(at, &ad.bytes());
        assert_eq!(host.state(), State::Backup, "{second}");
    }
    assert_eq!(
        promoted,
        [3390.625, 7390.625, 11_390.625],
        "a period of 4 s"
    );
    let warning = "log 4: carp1: the MASTER is heard over inet, but no longer over inet6";
    assert_eq!(warned, [warning; 3]);
    assert_eq!(host.reason(), Reason::BetterMaster);
}

#[test]
fn a_demoted_master_gives_way_whatever_preempt_says() {
    let mut host = Host::backup(&[V4], 1, 100);
    assert!(host.frame(1.0, &Ad::new(&[V4], 1, 0).bytes()).is_empty());
    let lines = host.frame(2.0, &Ad::new(&[V4], 1, 0).demoted(1).bytes());
    assert!(
        lines.contains(&"BACKUP -> MASTER (master-demoted)".into()),
        "{lines:?}"
    );
    let again = host.frame(3.0, &Ad::new(&[V4], 1, 0).demoted(1).bytes());
    assert_eq!(again[0], "ad inet 1/100", "a demoted one is not better");
    let healed = host.frame(4.0, &Ad::new(&[V4], 1, 0).bytes());
    assert_eq!(healed[0], "gate yielded", "its 0 is known to mean healthy");
}

#[test]
fn of_those_that_never_tell_the_skew_alone_counts() {
    let mut host = Host::backup(&[V4], 1, 100);
    assert!(
        host.frame(1.0, &Ad::new(&[V4], 1, 240).bytes()).is_empty(),
        "no preempt"
    );
    host.preempt(1.0);
    assert!(!host.frame(2.0, &Ad::new(&[V4], 1, 240).bytes()).is_empty());
}

/// carp1 on carpdev 2 and carp2 on carpdev 3, both MASTER.
fn two_networks() -> (Host, f64) {
    let mut host = Host::backup(&[V4], 1, 0);
    host.input(
        0.0,
        Input::Parent {
            carpdev: Carpdev(3),
            parent: Some(parent()),
        },
    );
    host.input(
        0.0,
        Input::Configure {
            unit: Unit(2),
            config: Some((other(), Some(Carpdev(3)))),
        },
    );
    host.time(3000.0);
    (host, 3000.0)
}

fn other() -> Config {
    Config {
        carpdev: Some("eth1".into()),
        ..config(&["198.51.100.10/24"], 1, 0)
    }
}

#[test]
fn a_lost_carpdev_demotes_the_others_at_once() {
    let (mut host, at) = two_networks();
    let down = Parent {
        up: false,
        ..parent()
    };
    let lines = host.input(
        at + 500.0,
        Input::Parent {
            carpdev: Carpdev(3),
            parent: Some(down),
        },
    );
    let expected = [
        "carp2/1: gate shut",
        "carp2: disarm",
        "carp2/1: MASTER -> INIT (carpdev-down)",
        "log 3: carp: demoted group carp by 1 to 1 (carpdev)",
        "ad inet 1/240 demote 1",
    ];
    assert_eq!(lines[..5], expected);
    assert_eq!(host.timeout(), Some(at + 500.0 + 1937.5));
    assert_eq!(
        host.engine.vhosts(UNIT).next().unwrap().effective_advskew,
        240
    );
    host.frame(at + 501.0, &Ad::new(&[V4], 1, 100).bytes());
    assert_eq!(host.state(), State::Backup, "a healthy host takes over");
    let lines = host.input(
        at + 600.0,
        Input::Parent {
            carpdev: Carpdev(3),
            parent: Some(parent()),
        },
    );
    assert!(lines.contains(&"log 3: carp: undemoted group carp by 1 to 0 (carpdev)".into()));
    assert_eq!(host.engine.demotion(), 0);
}

/// Whether its 0 means "none" or "I never tell" cannot be seen; a host that took it for unknown stayed MASTER beside it.
#[test]
fn a_demoted_master_yields_to_one_that_tells_no_demotion() {
    let (mut host, at) = two_networks();
    host.input(
        at + 2.0,
        Input::Parent {
            carpdev: Carpdev(3),
            parent: None,
        },
    );
    assert_eq!(host.engine.demotion(), 1);
    host.frame(at + 3.0, &Ad::new(&[V4], 1, 254).bytes());
    assert_eq!(
        host.state(),
        State::Backup,
        "240 is better than 254, but 1 is worse than 0"
    );
}

#[test]
fn an_interface_that_is_down_or_destroyed_demotes_nobody() {
    let (mut host, at) = two_networks();
    host.input(
        at,
        Input::Parent {
            carpdev: Carpdev(3),
            parent: None,
        },
    );
    assert_eq!(host.engine.demotion(), 1);
    let down = Config {
        up: false,
        ..other()
    };
    host.input(
        at,
        Input::Configure {
            unit: Unit(2),
            config: Some((down, Some(Carpdev(3)))),
        },
    );
    assert_eq!(host.engine.demotion(), 0);
    host.input(
        at,
        Input::Configure {
            unit: Unit(2),
            config: Some((other(), None)),
        },
    );
    assert_eq!(host.engine.demotion(), 0);
    host.time(at + 500.0);
    assert_eq!(host.engine.demotion(), 1);
    host.input(
        at,
        Input::Configure {
            unit: Unit(2),
            config: None,
        },
    );
    assert_eq!(host.engine.demotion(), 0);
}

/// Attaching to a carpdev takes a moment; the peers must not take over from all other groups meanwhile.
#[test]
fn a_new_interface_has_half_a_second_to_find_its_carpdev() {
    for found in [true, false] {
        let (mut host, at) = Host::master(&[V4], 1, 0);
        let down = Parent {
            up: false,
            ..parent()
        };
        let carpdev = Carpdev(3);
        host.input(
            at,
            Input::Parent {
                carpdev,
                parent: Some(down),
            },
        );
        let lines = host.input(
            at,
            Input::Configure {
                unit: Unit(2),
                config: Some((other(), Some(carpdev))),
            },
        );
        assert!(lines.is_empty(), "{lines:?}");
        assert_eq!(host.timeout(), Some(at + 500.0));
        if found {
            host.input(
                at + 400.0,
                Input::Parent {
                    carpdev,
                    parent: Some(parent()),
                },
            );
            assert_eq!(host.timeout(), Some(at + 1000.0));
        }
        let lines = host.time(at + 500.0);
        let log = "log 3: carp: demoted group carp by 1 to 1 (carpdev)";
        assert_eq!(lines.first().map(String::as_str), (!found).then_some(log));
    }
}

#[test]
fn a_demoted_backup_does_not_preempt_a_healthy_master() {
    let (mut host, at) = two_networks();
    host.frame(at + 1.0, &Ad::new(&[V4], 1, 0).bytes());
    host.time(at + 21.0);
    host.preempt(at + 22.0);
    host.input(
        at + 23.0,
        Input::Parent {
            carpdev: Carpdev(3),
            parent: None,
        },
    );
    let ad = Ad {
        counter: 2000,
        ..Ad::new(&[V4], 1, 100)
    };
    assert!(host.frame(at + 24.0, &ad.bytes()).is_empty());
    let dead = host.timeout().unwrap();
    assert_eq!(dead, at + 3024.0, "the dead time has the undemoted skew");
}

#[test]
fn two_vhids_on_one_carpdev_live_side_by_side() {
    let mut host = Host::backup(&[V4], 1, 0);
    let second = Config {
        nodes: vec![Node {
            vhid: vhid(2),
            advskew: 100,
        }],
        ..config(&["192.0.2.20/24"], 1, 100)
    };
    host.input(
        0.0,
        Input::Configure {
            unit: Unit(2),
            config: Some((second, Some(CARPDEV))),
        },
    );
    host.time(3000.0);
    assert_eq!(host.state(), State::Master);
    let ad = Ad {
        vhid: 2,
        ..Ad::new(&["192.0.2.20/24"], 1, 0)
    };
    assert!(host.frame(3100.0, &ad.bytes()).is_empty());
    let statuses: Vec<State> = [1, 2]
        .iter()
        .flat_map(|u| host.engine.vhosts(Unit(*u)).map(|v| v.state))
        .collect();
    assert_eq!(statuses, [State::Master, State::Backup]);
    assert_eq!(
        host.frame(3200.0, &crate::rig::arp_request("192.0.2.20"))
            .len(),
        0
    );
    let goodbye = Ad {
        vhid: 2,
        ..Ad::goodbye(&["192.0.2.20/24"])
    };
    assert!(
        host.frame(3300.0, &goodbye.bytes())
            .contains(&"carp2/2: BACKUP -> MASTER (goodbye)".into())
    );
    let answer = host.frame(3400.0, &crate::rig::arp_request("192.0.2.20"));
    assert_eq!(
        answer,
        ["carp2/2: arp 192.0.2.20 is-at 00:00:5e:00:01:02 to 02:00:00:00:00:09"]
    );
}

#[test]
fn the_same_vhid_on_two_carpdevs_is_two_groups() {
    let (mut host, at) = two_networks();
    let better = Ad::new(&["198.51.100.10/24"], 0, 1).bytes();
    host.frame(at + 1.0, &better);
    assert_eq!(host.engine.stats().badauth, 1, "the wrong network");
    host.input(
        at + 1.0,
        Input::Frame {
            carpdev: Carpdev(3),
            bytes: &better,
        },
    );
    assert_eq!(host.state(), State::Master);
    assert_eq!(
        host.engine.vhosts(Unit(2)).next().unwrap().state,
        State::Backup
    );
}

#[test]
fn a_dual_stack_backup_needs_both_families_to_stay_calm() {
    let mut host = Host::backup(&[V4, V6], 1, 0);
    let ad = Ad::new(&[V4, V6], 1, 0);
    host.frame(1000.0, &ad.bytes());
    host.frame(1001.0, &ad.clone().over(Family::Inet6).bytes());
    assert_eq!(host.timeout(), Some(4000.0));
}

/// Simulator, seed 1306: the healthy one is never told a demotion, so it never gives way; and the demoted one must.
#[test]
fn a_demoted_master_gives_way_to_a_healthy_one_of_worse_skew() {
    let (mut host, at) = two_networks();
    let lost = Input::Parent {
        carpdev: Carpdev(3),
        parent: None,
    };
    host.input(at + 23.0, lost);
    assert_eq!(host.state(), State::Master);
    host.frame(at + 24.0, &Ad::new(&[V4], 1, 250).bytes());
    assert_eq!(host.state(), State::Backup);
    host.preempt(at + 25.0);
    let ad = Ad {
        counter: 2000,
        ..Ad::new(&[V4], 1, 250)
    };
    assert!(host.frame(at + 26.0, &ad.bytes()).is_empty());
}

/// With advbase 0 a BACKUP waits 3 x 20/256 s: a demoted MASTER that sent every 240/256 s would be timed out each time.
#[test]
fn with_advbase_0_a_demoted_master_keeps_its_pace_and_its_lease() {
    let (mut host, at) = two_networks();
    host.configure(at + 1.0, config(&[V4], 0, 20));
    let lost = Input::Parent {
        carpdev: Carpdev(3),
        parent: None,
    };
    let lines = host.input(at + 2.0, lost);
    let own = 20_000_000 / 256;
    let lease = at + 2.0 + f64::from(own * 5 / 2) / 1000.0;
    assert_eq!(
        lines[lines.len() - 2..],
        [
            "ad inet 0/240 demote 1".to_string(),
            format!("lease {lease}")
        ]
    );
    assert_eq!(host.timeout(), Some(at + 2.0 + f64::from(own) / 1000.0));
}
