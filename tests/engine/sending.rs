//! Advertisements that do not leave, and the form of those that do.

use crate::rig::{Ad, Host, UNIT, V4, V6, config, vhid};
use carp::carp::Input;
use carp::carp::config::{Settings, State};
use carp::wire::carp::{Checksum, checksum_form};
use carp::wire::{Family, frame, ip};

const DEMOTED: &str = "log 3: carp: demoted group carp by 1 to 1 (> snderrors)";
const UNDEMOTED: &str = "log 3: carp: undemoted group carp by 1 to 0 (< snderrors)";

/// A MASTER whose daemon reports nothing by itself.
fn silent(addresses: &[&str]) -> (Host, f64) {
    let (mut host, at) = Host::master(addresses, 1, 0);
    host.reports = false;
    (host, at)
}

/// Reports for one family: whether it left, and the demotion afterwards.
fn reports(host: &mut Host, at: f64, family: Family, reports: &[(bool, u8)]) -> Vec<String> {
    let mut lines = Vec::new();
    for (n, (ok, demotion)) in reports.iter().enumerate() {
        let (unit, vhid, ok) = (UNIT, vhid(1), *ok);
        lines.extend(host.input(
            at,
            Input::Sent {
                unit,
                vhid,
                family,
                ok,
            },
        ));
        assert_eq!(host.engine.demotion(), *demotion, "report {n}");
    }
    lines
}

#[test]
fn three_failures_demote_and_three_successes_end_it() {
    let (mut host, at) = silent(&[V4]);
    let lines = reports(
        &mut host,
        at,
        Family::Inet,
        &[(false, 0), (false, 0), (false, 1)],
    );
    assert!(lines.contains(&DEMOTED.to_owned()), "{lines:?}");
    // At the edge the MASTERs of this machine tell it at once.
    assert!(
        lines.contains(&"ad inet 1/240 demote 1".to_owned()),
        "{lines:?}"
    );
    let errors = |host: &Host| host.engine.vhosts(UNIT).next().unwrap().send_errors;
    assert_eq!(errors(&host), 3);
    let lines = reports(
        &mut host,
        at,
        Family::Inet,
        &[(true, 1), (true, 1), (true, 0)],
    );
    assert!(lines.contains(&UNDEMOTED.to_owned()), "{lines:?}");
    assert_eq!(lines.last().unwrap(), "ad inet 1/0");
    assert_eq!(errors(&host), 0);
}

#[test]
fn a_success_in_between_forgets_nothing_and_three_forget_all() {
    for told in [
        &[
            (false, 0),
            (true, 0),
            (false, 0),
            (true, 0),
            (true, 0),
            (false, 1),
        ][..],
        &[
            (false, 0),
            (false, 0),
            (true, 0),
            (true, 0),
            (true, 0),
            (false, 0),
            (false, 0),
        ],
        &[
            (false, 0),
            (false, 0),
            (false, 1),
            (true, 1),
            (true, 1),
            (false, 1),
            (true, 1),
            (true, 1),
            (true, 0),
        ],
    ] {
        let (mut host, at) = silent(&[V4]);
        reports(&mut host, at, Family::Inet, told);
    }
}

/// A family that never leaves demotes too: the peers' timer of that family runs.
#[test]
fn both_families_share_the_counters() {
    let (mut host, at) = silent(&[V4, V6]);
    for demotion in [0, 0, 1] {
        let before = host.engine.demotion();
        reports(&mut host, at, Family::Inet, &[(true, before)]);
        reports(&mut host, at, Family::Inet6, &[(false, demotion)]);
    }
}

#[test]
fn a_backup_stays_demoted_and_init_forgets() {
    let (mut host, at) = silent(&[V4]);
    reports(
        &mut host,
        at,
        Family::Inet,
        &[(false, 0), (false, 0), (false, 1)],
    );
    host.frame(at + 1.0, &Ad::new(&[V4], 1, 100).bytes());
    assert_eq!((host.state(), host.engine.demotion()), (State::Backup, 1));
    let mut down = config(&[V4], 1, 0);
    down.up = false;
    host.configure(at + 2.0, down);
    assert_eq!(host.engine.demotion(), 0);
    // The report of a goodbye comes when nothing is left to be demoted for.
    reports(
        &mut host,
        at + 3.0,
        Family::Inet,
        &[(false, 0), (false, 0), (false, 0)],
    );
}

/// Over the lease: two failures, the lease runs out, and the third comes when it is MASTER again.
#[test]
fn a_host_that_cannot_send_gives_up_and_returns_demoted() {
    let (mut host, _) = Host::master(&[V4], 1, 0);
    host.sends = false;
    let mut demotions = Vec::new();
    for _ in 0..5 {
        let due = host.timeout().unwrap();
        host.time(due);
        demotions.push((host.state(), host.engine.demotion()));
    }
    let (master, backup) = (State::Master, State::Backup);
    let expected = [
        (master, 0),
        (master, 0),
        (backup, 0),
        (master, 1),
        (master, 1),
    ];
    assert_eq!(demotions, expected);
}

/// The form of the checksum of each IPv6 advertisement that left last.
fn forms(host: &Host) -> Vec<bool> {
    let parsed = host.frames.iter().map(|(.., bytes)| frame::parse(bytes));
    let forms = parsed.filter_map(|frame| match frame {
        Ok(frame::Frame::Advertisement {
            src: std::net::IpAddr::V6(src),
            payload,
            ..
        }) => {
            let form = checksum_form(payload, Some((src, ip::GROUP_V6))).unwrap();
            Some(form != Checksum::Plain)
        }
        _ => None,
    });
    forms.collect()
}

/// NetBSD from 2020 on and all others do not hear each other's IPv6 advertisements; both are to hear ours.
#[test]
fn the_checksum_over_ipv6_is_the_peers() {
    let (mut host, at) = Host::master(&[V4, V6], 1, 0);
    assert_eq!(forms(&host), [false]);
    let netbsd = Ad {
        pseudo_header: true,
        counter: 5,
        ..Ad::new(&[V4, V6], 1, 100)
    }
    .over(Family::Inet6);
    host.frame(at + 10.0, &netbsd.bytes());
    assert_eq!(forms(&host), [true], "answered in its own form, at once");
    let same_over_inet = Ad {
        counter: 6,
        ..netbsd.clone().over(Family::Inet)
    };
    host.frame(
        at + 1500.0,
        &Ad {
            pseudo_header: false,
            ..same_over_inet
        }
        .bytes(),
    );
    let due = host.timeout().unwrap();
    host.time(due);
    assert_eq!(forms(&host), [true], "IPv4 tells nothing");
    let openbsd = Ad {
        pseudo_header: false,
        counter: 7,
        ..netbsd.clone()
    };
    host.frame(due + 10.0, &openbsd.bytes());
    let due = host.timeout().unwrap();
    host.time(due);
    assert_eq!(forms(&host), [false]);
    // What is rejected teaches nothing.
    let forged = Ad {
        pass: "other",
        counter: 8,
        ..netbsd
    };
    host.frame(due + 10.0, &forged.bytes());
    let due = host.timeout().unwrap();
    host.time(due);
    assert_eq!(forms(&host), [false]);
}

/// A peer that must be heard in its own form does not reject ours.
#[test]
fn our_own_echo_is_known_in_either_form() {
    let (mut host, at) = Host::master(&[V6], 1, 0);
    let netbsd = Ad {
        pseudo_header: true,
        ..Ad::new(&[V6], 1, 100)
    };
    host.frame(at + 1500.0, &netbsd.bytes());
    let sent: Vec<_> = host
        .frames
        .iter()
        .map(|(.., bytes)| bytes.clone())
        .collect();
    host.frame(at + 1501.0, &sent[0]);
    assert_eq!(host.engine.stats().echoes, 1);
}

/// What is wrong with this host is told whatever `net.inet.carp.log` says; what is wrong with a packet is not.
#[test]
fn lines_about_this_host_are_always_told() {
    let (mut host, at) = silent(&[V4]);
    let quiet = Settings {
        log: 0,
        ..Settings::default()
    };
    host.input(at, Input::Settings(quiet));
    let bad = Ad::new(&[V4], 1, 100).pass("wrong");
    assert!(host.frame(at, &bad.bytes()).is_empty());
    let lines = reports(
        &mut host,
        at,
        Family::Inet,
        &[(false, 0), (false, 0), (false, 1)],
    );
    assert!(lines.contains(&DEMOTED.to_owned()));
    let failed = "log 4: carp1: an advertisement did not leave";
    assert!(lines.iter().any(|l| l.starts_with(failed)));
}
