//! A configuration that changes under a running vhost.

use crate::rig::{Ad, Host, UNIT, V4, V6, config, parent};
use carp::carp::config::{Key, State};
use carp::carp::{Input, Parent, Reason};

#[test]
fn the_same_configuration_again_changes_nothing() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    assert!(host.configure(at + 1.0, config(&[V4], 1, 0)).is_empty());
    assert!(host.parent(at + 1.0, Some(parent())).is_empty());
    let mut host = Host::backup(&[V4], 1, 0);
    assert!(host.configure(1.0, config(&[V4], 1, 0)).is_empty());
    assert!(host.parent(1.0, Some(parent())).is_empty());
    assert_eq!(host.timeout(), Some(3000.0));
}

#[test]
fn a_master_with_new_addresses_stays_master_and_tells_at_once() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    let lines = host.configure(at + 1.0, config(&[V4, "192.0.2.11/24", V6], 1, 0));
    let lease = format!("lease {}", at + 2901.0);
    let expected = [
        "arm 2",
        "ad inet 1/0",
        "ad inet6 1/0",
        "garp 192.0.2.11",
        "na 2001:db8::10",
        &lease,
    ];
    assert_eq!(lines, expected);
    assert_eq!(host.state(), State::Master);
    let digest_of_new = host.frames[0].2.clone();
    let mut peer = Host::backup(&[V4, "192.0.2.11/24", V6], 1, 100);
    peer.frame(1.0, &digest_of_new);
    assert_eq!(peer.engine.stats().badauth, 0);
}

#[test]
fn a_master_that_loses_an_address_arms_and_advertises_without_a_word_about_it() {
    let (mut host, at) = Host::master(&[V4, "192.0.2.11/24"], 1, 0);
    let lines = host.configure(at + 1.0, config(&[V4], 1, 0));
    assert_eq!(
        lines,
        [
            "arm 2".into(),
            "ad inet 1/0".into(),
            format!("lease {}", at + 2901.0)
        ]
    );
    assert!(
        host.frame(at + 2.0, &crate::rig::arp_request("192.0.2.11"))
            .is_empty()
    );
}

#[test]
fn a_kernel_that_refuses_the_new_addresses_ends_it() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    host.arms = false;
    host.configure(at + 1.0, config(&[V4, V6], 1, 0));
    let lines = host.armed(at + 2.0, 2, false);
    assert_eq!(
        lines[1..],
        [
            "goodbye inet",
            "goodbye inet6",
            "MASTER -> BACKUP (arm-failed)"
        ]
    );
}

#[test]
fn a_backup_with_new_addresses_or_key_listens_for_a_whole_dead_time() {
    let mut host = Host::backup(&[V4], 1, 0);
    assert!(host.configure(1000.0, config(&[V4, V6], 1, 0)).is_empty());
    assert_eq!(host.timeout(), Some(4000.0));
    let mut rekeyed = config(&[V4, V6], 1, 0);
    rekeyed.key = Key::from_pass(b"new");
    assert!(host.configure(2000.0, rekeyed).is_empty());
    assert_eq!(host.timeout(), Some(5000.0));
}

#[test]
fn a_family_without_addresses_has_no_timer() {
    let mut host = Host::backup(&[V4, V6], 1, 0);
    host.frame(1000.0, &Ad::new(&[V4, V6], 1, 0).bytes());
    assert_eq!(host.timeout(), Some(3000.0), "IPv6 has not been heard");
    host.configure(2000.0, config(&[V4], 1, 0));
    assert_eq!(host.timeout(), Some(5000.0));
    let lines = host.time(5000.0);
    assert_eq!(lines.iter().filter(|l| l.starts_with("ad ")).count(), 1);
}

#[test]
fn a_masters_new_key_counts_at_once_and_needs_no_arming() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    let mut rekeyed = config(&[V4], 1, 0);
    rekeyed.key = Key::from_pass(b"new");
    let lines = host.configure(at + 1.0, rekeyed);
    assert_eq!(
        lines,
        ["ad inet 1/0".into(), format!("lease {}", at + 2901.0)]
    );
    host.frame(at + 2.0, &Ad::new(&[V4], 1, 0).bytes());
    assert_eq!(host.engine.stats().badauth, 1);
    host.frame(at + 2.0, &Ad::new(&[V4], 1, 0).pass("new").bytes());
    assert_eq!(host.state(), State::Backup);
}

#[test]
fn a_masters_new_skew_is_told_at_once() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    let lines = host.configure(at + 500.0, config(&[V4], 1, 128));
    assert_eq!(lines[0], "ad inet 1/128");
    assert_eq!(host.timeout(), Some(at + 2000.0));
}

#[test]
fn a_backups_shorter_dead_time_counts_at_once_a_longer_one_later() {
    let mut host = Host::backup(&[V4], 10, 0);
    assert!(host.configure(1000.0, config(&[V4], 1, 0)).is_empty());
    assert_eq!(host.timeout(), Some(4000.0));
    assert!(host.configure(2000.0, config(&[V4], 10, 0)).is_empty());
    assert_eq!(host.timeout(), Some(4000.0));
    host.frame(3000.0, &Ad::new(&[V4], 10, 0).bytes());
    assert_eq!(host.timeout(), Some(33_000.0));
}

#[test]
fn carpdev_may_change_its_addresses_under_a_master() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    let moved = Parent {
        inet: Some("192.0.2.77".parse().unwrap()),
        ..parent()
    };
    assert!(host.parent(at + 1.0, Some(moved)).is_empty());
    host.time(at + 1000.0);
    assert_eq!(host.frames[0].2[26..30], [192, 0, 2, 77]);
}

#[test]
fn addresses_that_name_nobody_do_not_make_a_group() {
    let mut host = Host::new(1);
    host.parent(0.0, Some(parent()));
    assert!(
        host.configure(0.0, config(&["0.0.0.0/0", "::/0"], 1, 0))
            .is_empty()
    );
    assert_eq!(host.reason(), Reason::Incomplete);
}

#[test]
fn no_more_addresses_than_the_bound_are_looked_at() {
    let many: Vec<String> = (0..600)
        .map(|i| format!("198.51.{}.{}/16", i / 250, i % 250 + 1))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut host = Host::backup(&many, 1, 0);
    let lines = host.time(3000.0);
    let announced = lines.iter().filter(|l| l.starts_with("garp")).count();
    assert_eq!(announced, carp::carp::ADDRESSES_MAX);
}

#[test]
fn what_is_not_there_is_retired_at_once() {
    let mut host = Host::new(1);
    assert_eq!(host.destroy(0.0), ["retired"]);
    assert!(host.armed(0.0, 1, false).is_empty());
    assert!(host.ask(0.0, State::Master).is_empty());
}

#[test]
fn what_the_data_plane_cannot_serve_stays_in_init_and_demotes() {
    let mut host = Host::backup(&[V4], 1, 0);
    let served = |host: &mut Host, at, ok| host.input(at, Input::Served { unit: UNIT, ok });
    let lines = served(&mut host, 600.0, false);
    assert_eq!(
        lines,
        [
            "BACKUP -> INIT (unserved)",
            "log 3: carp: demoted group carp by 1 to 1 (carpdev)"
        ]
    );
    assert_eq!(host.timeout(), None);
    assert!(served(&mut host, 601.0, false).is_empty());
    assert!(host.configure(602.0, config(&[V4], 1, 0)).is_empty());
    assert!(host.parent(603.0, Some(parent())).is_empty());
    let lines = served(&mut host, 604.0, true);
    assert_eq!(lines[0], "INIT -> BACKUP (ready)");
    assert_eq!(host.timeout(), Some(3604.0));

    let (mut host, at) = Host::master(&[V4], 1, 0);
    let lines = served(&mut host, at + 1.0, false);
    assert_eq!(lines[0], "goodbye inet");
    assert_eq!(host.state(), State::Init);
}
