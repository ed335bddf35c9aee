//! Demotion by interface group and by FreeBSD's number, and what it makes of the advertisements.

use crate::rig::{CARPDEV, Host, UNIT, V4, config, parent, vhid};
use carp::carp::Input;
use carp::carp::Parent;
use carp::carp::config::{Carpdev, Config, Node, Settings, Unit};

const SECOND: Unit = Unit(2);

fn group(host: &mut Host, at: f64, name: &str, count: u8) -> Vec<String> {
    let group = name.to_owned();
    host.input(at, Input::Demotion { group, count })
}

fn settings(host: &mut Host, at: f64, change: impl Fn(&mut Settings)) -> Vec<String> {
    let mut settings = Settings {
        preempt: true,
        ..Settings::default()
    };
    change(&mut settings);
    host.input(at, Input::Settings(settings))
}

fn ads(lines: &[String]) -> Vec<&str> {
    let ads = lines.iter().map(String::as_str);
    ads.filter(|line| line.contains("ad inet")).collect()
}

/// Both carpN are MASTER, carp2 as vhid 2 on another carpdev and in these groups.
fn two(groups: &[&str]) -> (Host, f64) {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    let other = Carpdev(3);
    let wanted = Config {
        carpdev: Some("eth1".into()),
        nodes: vec![Node {
            vhid: vhid(2),
            advskew: 0,
        }],
        groups: groups.iter().map(|&name| name.into()).collect(),
        ..config(&["198.51.100.10/24"], 1, 0)
    };
    let parent = Some(parent());
    host.input(
        at,
        Input::Parent {
            carpdev: other,
            parent,
        },
    );
    let config = Some((wanted, Some(other)));
    host.input(
        at,
        Input::Configure {
            unit: SECOND,
            config,
        },
    );
    let at = at + 3000.0;
    for step in [0.0, 1.0, 2.0, 3.0] {
        host.time(at - 3000.0 + 1000.0 * step);
    }
    (host, at)
}

#[test]
fn a_count_by_hand_is_told_at_once_and_taken_back() {
    let (mut host, at) = Host::master(&[V4], 1, 100);
    let lines = group(&mut host, at + 1.0, "carp", 3);
    assert_eq!(ads(&lines), ["ad inet 1/240 demote 3"], "{lines:?}");
    assert!(lines.contains(&"log 3: carp: demoted group carp by 3 to 3 (ifconfig)".to_owned()));
    let lines = group(&mut host, at + 2.0, "carp", 5);
    assert_eq!(ads(&lines), ["ad inet 1/240 demote 5"]);
    assert!(ads(&group(&mut host, at + 3.0, "carp", 2)).is_empty());
    // Who was told that this host is demoted must not go on believing it.
    let lines = group(&mut host, at + 3.5, "carp", 0);
    assert_eq!(ads(&lines), ["ad inet 1/100"]);
    assert_eq!(
        host.engine.vhosts(UNIT).next().unwrap().effective_advskew,
        100
    );
    assert!(ads(&group(&mut host, at + 4.0, "nobody", 9)).is_empty());
}

#[test]
fn a_lost_network_demotes_the_groups_that_it_is_in() {
    for (groups, demoted) in [
        (&["carp"][..], true),
        (&["lan"], false),
        (&["lan", "carp"], true),
    ] {
        let (mut host, at) = two(groups);
        let (carpdev, parent) = (Carpdev(3), None);
        let lines = host.input(at, Input::Parent { carpdev, parent });
        let told = lines.iter().any(|line| line == "ad inet 1/240 demote 1");
        assert_eq!(told, demoted, "{groups:?}: {lines:?}");
        for name in groups {
            assert_eq!(host.engine.group_demotion(name), 1, "{name}");
        }
        assert_eq!(host.engine.suppress_preempt(), 1);
        assert_eq!(host.engine.skew_demotion(), 240);
    }
}

#[test]
fn a_lost_network_was_no_other_one_when_it_was_renamed() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    let renamed = Config {
        carpdev: Some("lan0".into()),
        ..config(&[V4], 1, 0)
    };
    let down = Parent {
        up: false,
        ..parent()
    };
    host.parent(at + 1.0, Some(down));
    assert_eq!(host.engine.group_demotion("carp"), 1);
    host.configure(at + 2.0, renamed.clone());
    assert_eq!(host.engine.group_demotion("carp"), 1);
    host.parent(at + 3.0, None);
    let (unit, config) = (UNIT, Some((renamed, None)));
    host.input(at + 4.0, Input::Configure { unit, config });
    assert_eq!(host.engine.group_demotion("carp"), 1);
}

#[test]
fn counts_of_all_groups_of_an_interface_add_up_and_stay_within_a_byte() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    let mut wanted = config(&[V4], 1, 0);
    wanted.groups = vec!["carp".into(), "wan".into()];
    host.configure(at + 1.0, wanted.clone());
    group(&mut host, at + 2.0, "carp", 2);
    let lines = group(&mut host, at + 3.0, "wan", 3);
    assert_eq!(ads(&lines), ["ad inet 1/240 demote 5"]);
    let lines = group(&mut host, at + 4.0, "wan", 255);
    assert_eq!(ads(&lines), ["ad inet 1/240 demote 255"]);
    // In no group it has only its own.
    wanted.groups.clear();
    host.configure(at + 5.0, wanted);
    assert_eq!(
        host.engine.vhosts(UNIT).next().unwrap().effective_advskew,
        0
    );
    let lines = host.parent(at + 6.0, None);
    assert!(
        !lines.iter().any(|line| line.contains("demoted group")),
        "{lines:?}"
    );
    assert_eq!(
        host.engine.vhosts(UNIT).next().unwrap().effective_advskew,
        240
    );
}

#[test]
fn freebsds_number_is_added_to_the_skew_and_never_wraps() {
    for (demotion, advskew, sent) in [
        (50, 100, "ad inet 1/150"),
        (240, 100, "ad inet 1/240"),
        (100_000, 100, "ad inet 1/240"),
        (-50, 100, "ad inet 1/50"),
        (-1024, 100, "ad inet 1/0"),
        (i32::MIN, 100, "ad inet 1/0"),
        (10, 250, "ad inet 1/250"),
    ] {
        let (mut host, at) = Host::master(&[V4], 1, advskew);
        let lines = settings(&mut host, at + 1.0, |s| s.demotion = demotion);
        if i32::from(advskew) + demotion != i32::from(advskew) {
            assert_eq!(ads(&lines), [sent], "{demotion} {advskew}");
        }
        assert_eq!(host.engine.skew_demotion(), demotion);
    }
}

#[test]
fn factors_below_240_only_add_to_the_skew() {
    for (factor, sent) in [
        (0, None),
        (20, Some("ad inet 1/20")),
        (240, Some("ad inet 1/240 demote 1")),
    ] {
        let (mut host, at) = two(&["carp"]);
        settings(&mut host, at, |s| s.ifdown_demotion_factor = factor);
        let (carpdev, parent) = (Carpdev(3), None);
        let lines = host.input(at + 1.0, Input::Parent { carpdev, parent });
        let ads: Vec<_> = ads(&lines)
            .into_iter()
            .filter(|l| !l.starts_with("carp2"))
            .collect();
        assert_eq!(
            ads,
            sent.into_iter().collect::<Vec<_>>(),
            "{factor}: {lines:?}"
        );
        assert_eq!(host.engine.skew_demotion(), factor);
    }
}

#[test]
fn what_an_admin_takes_back_by_a_negative_number_does_not_count() {
    let (mut host, at) = two(&["carp"]);
    let (carpdev, parent) = (Carpdev(3), None);
    host.input(at + 1.0, Input::Parent { carpdev, parent });
    assert_eq!(
        host.engine.vhosts(UNIT).next().unwrap().effective_advskew,
        240
    );
    settings(&mut host, at + 2.0, |s| s.demotion = -240);
    let status = host.engine.vhosts(UNIT).next().unwrap();
    assert_eq!(
        (status.effective_advskew, host.engine.skew_demotion()),
        (0, 0)
    );
    assert_eq!(host.engine.demotion(), 0);
    assert_eq!(CARPDEV, Carpdev(2));
}

#[test]
fn the_code_point_is_openbsds_unless_set() {
    for (dscp, tos, class) in [(4, 0x10, 0), (56, 0xe0, 0xe0), (0, 0, 0), (63, 0xfc, 0xfc)] {
        let (mut host, at) = Host::master(&[V4, "2001:db8::10/64"], 1, 0);
        settings(&mut host, at, |s| s.dscp = dscp);
        host.time(at + 1000.0);
        let sent: Vec<_> = host.frames.iter().map(|(.., frame)| frame).collect();
        assert_eq!(sent[0][15], tos, "{dscp}");
        let six = u16::from_be_bytes([sent[1][14], sent[1][15]]) >> 4 & 0xff;
        assert_eq!(six, class, "{dscp}");
    }
}
