//! How long a MASTER may go on without being heard, and what a frozen one does when it wakes.

use crate::rig::{Ad, Host, UNIT, V4, V6, arp_request, vhid};
use carp::carp::config::State;
use carp::carp::{Input, Reason};
use carp::wire::Family;

fn sent(host: &mut Host, at: f64, family: Family, ok: bool) -> Vec<String> {
    host.input(
        at,
        Input::Sent {
            unit: UNIT,
            vhid: vhid(1),
            family,
            ok,
        },
    )
}

#[test]
fn a_frozen_master_wakes_as_backup_before_it_reads_its_queue() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    let lines = host.time(at + 2900.0);
    assert_eq!(
        lines,
        [
            "log 3: carp1: nothing was sent until the lease ran out, back to BACKUP",
            "gate shut",
            "disarm",
            "MASTER -> BACKUP (stalled)",
        ]
    );
    assert_eq!(host.timeout(), Some(at + 5900.0));
    assert!(
        host.frame(at + 2900.0, &arp_request("192.0.2.10"))
            .is_empty()
    );
}

#[test]
fn any_input_after_the_freeze_meets_the_lease_first() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    let lines = host.frame(at + 5000.0, &arp_request("192.0.2.10"));
    assert!(
        lines.contains(&"MASTER -> BACKUP (stalled)".into()),
        "{lines:?}"
    );
    assert_eq!(host.engine.stats().answers, 0);
}

#[test]
fn a_freeze_within_the_lease_costs_an_advertisement_only() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    let lines = host.time(at + 2899.0);
    assert_eq!(
        lines,
        ["ad inet 1/0".to_string(), format!("lease {}", at + 5799.0)]
    );
    assert_eq!(host.state(), State::Master);
}

#[test]
fn the_lease_moves_when_all_families_have_left() {
    let (mut host, at) = Host::master(&[V4, V6], 1, 0);
    host.reports = false;
    assert_eq!(host.time(at + 1000.0), ["ad inet 1/0", "ad inet6 1/0"]);
    assert!(sent(&mut host, at + 1000.1, Family::Inet, true).is_empty());
    let lease = format!("lease {}", at + 3900.0);
    assert_eq!(sent(&mut host, at + 1000.2, Family::Inet6, true), [lease]);
}

#[test]
fn a_family_that_does_not_leave_earns_nothing() {
    let (mut host, at) = Host::master(&[V4, V6], 1, 0);
    host.reports = false;
    for round in 1..=2 {
        host.time(at + 1000.0 * f64::from(round));
        assert!(sent(&mut host, at, Family::Inet, true).is_empty());
        let lines = sent(&mut host, at, Family::Inet6, false);
        let failed = "log 4: carp1: an advertisement did not leave";
        assert!(lines.iter().all(|l| l.starts_with(failed)));
    }
    assert_eq!(host.engine.stats().senderrors, 2);
    assert!(
        host.time(at + 2900.0)
            .contains(&"MASTER -> BACKUP (stalled)".into())
    );
}

#[test]
fn a_report_for_an_older_round_does_not_count_for_the_present_one() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    host.reports = false;
    host.time(at + 1000.0);
    host.time(at + 2000.0);
    assert!(
        sent(&mut host, at + 2001.0, Family::Inet, true).is_empty(),
        "the first one's"
    );
    assert_eq!(
        sent(&mut host, at + 2002.0, Family::Inet, true),
        [format!("lease {}", at + 4900.0)]
    );
    assert!(
        sent(&mut host, at + 2003.0, Family::Inet, true).is_empty(),
        "nobody asked"
    );
}

#[test]
fn the_briefest_interval_heard_shortens_the_lease() {
    let mut host = Host::backup(&[V4], 2, 0);
    host.frame(1.0, &Ad::new(&[V4], 1, 50).bytes());
    let lines = host.frame(2.0, &Ad::goodbye(&[V4]).bytes());
    assert_eq!(lines[1], "lease 2902", "3 x 1 s - 100 ms");
    let mut host = Host::backup(&[V4], 1, 0);
    host.frame(1.0, &Ad::new(&[V4], 2, 0).bytes());
    let lines = host.frame(2.0, &Ad::goodbye(&[V4]).bytes());
    assert_eq!(lines[1], "lease 2902", "its own is the briefest");
}

#[test]
fn every_skew_renews_its_lease_in_time() {
    for (advbase, advskew) in [
        (1, 0),
        (1, 254),
        (254, 254),
        (0, 0),
        (0, 1),
        (0, 2),
        (0, 254),
    ] {
        let (mut host, _) = Host::master(&[V4], advbase, advskew);
        for _ in 0..50 {
            let at = host.timeout().unwrap();
            let lines = host.time(at);
            assert!(
                lines[0].starts_with("ad inet"),
                "{advbase}/{advskew}: {lines:?}"
            );
        }
    }
}

#[test]
fn a_stalled_host_is_elected_again() {
    let (mut host, at) = Host::master(&[V4], 1, 0);
    host.time(at + 10_000.0);
    assert_eq!(host.reason(), Reason::Stalled);
    let lines = host.time(at + 13_000.0);
    assert!(lines.contains(&"BACKUP -> MASTER (master-timed-out inet)".into()));
}
