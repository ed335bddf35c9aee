//! The way to MASTER through arming, and everything that turns it back.

use crate::rig::{Ad, Host, V4, V6, arp_request, config, parent};
use carp::carp::config::State;
use carp::carp::{Parent, Reason};
use carp::wire::Family;

/// A host whose master-down timer fired at 3000 ms and whose kernel has not answered.
fn arming() -> Host {
    let mut host = Host::backup(&[V4], 1, 0);
    host.arms = false;
    assert_eq!(host.time(3000.0), ["gate inward", "lease 5900", "arm 1"]);
    assert_eq!(host.state(), State::Backup, "as everybody else sees it");
    assert_eq!(host.timeout(), Some(3010.0));
    host
}

const PROMOTION: [&str; 4] = [
    "ad inet 1/0",
    "gate open",
    "garp 192.0.2.10",
    "BACKUP -> MASTER (master-timed-out inet)",
];

#[test]
fn nothing_leaves_before_the_kernel_is_ready() {
    let mut host = arming();
    assert!(host.frame(3001.0, &arp_request("192.0.2.10")).is_empty());
    let lines = host.armed(3000.2, 1, true);
    assert_eq!(lines[..4], PROMOTION);
    assert_eq!(lines[4..], ["lease 5900.2"]);
}

#[test]
fn ten_milliseconds_without_an_answer_count_as_ready_and_the_late_answer_as_nothing() {
    let mut host = arming();
    assert!(host.time(3009.9).is_empty());
    assert_eq!(host.time(3010.0)[..4], PROMOTION);
    assert!(host.armed(3050.0, 1, true).is_empty());
    assert_eq!(host.state(), State::Master);
}

/// As long as somebody else serves, a slow kernel costs nothing; taking over unprepared would.
#[test]
fn a_slow_kernel_is_waited_for_while_another_host_serves() {
    let mut host = Host::backup(&[V4], 1, 0);
    host.preempt(0.0);
    host.arms = false;
    let worse = Ad::new(&[V4], 1, 100).bytes();
    assert_eq!(
        host.frame(1000.0, &worse),
        ["gate inward", "lease 3900", "arm 1"]
    );
    assert_eq!(host.timeout(), Some(2000.0));
    assert!(host.time(1999.9).is_empty());
    assert_eq!(host.time(2000.0)[0], "ad inet 1/0");

    let mut host = Host::backup(&[V4], 1, 100);
    host.arms = false;
    host.frame(1000.0, &Ad::goodbye(&[V4]).bytes());
    assert_eq!(
        host.timeout(),
        Some(1080.0),
        "while who said goodbye lingers"
    );
}

#[test]
fn an_answer_that_comes_with_the_timer_comes_after_it() {
    let mut host = arming();
    assert_eq!(host.armed(3010.0, 1, true)[..4], PROMOTION);
    assert_eq!(host.state(), State::Master);
}

#[test]
fn a_refusal_returns_to_backup_without_a_frame() {
    let mut host = arming();
    let lines = host.armed(3001.0, 1, false);
    let log = "log 3: carp1: the kernel refused what a MASTER needs, back to BACKUP";
    assert_eq!(lines, [log, "gate shut", "disarm"]);
    assert_eq!(
        (host.state(), host.reason()),
        (State::Backup, Reason::ArmFailed)
    );
    assert_eq!(host.timeout(), Some(6001.0));
    assert!(
        host.armed(3002.0, 1, true).is_empty(),
        "what was refused cannot succeed later"
    );
}

#[test]
fn a_refusal_that_comes_late_ends_the_mastership_with_a_goodbye() {
    let mut host = arming();
    host.time(3010.0);
    let lines = host.armed(3020.0, 1, false);
    assert_eq!(
        lines[1..],
        ["goodbye inet", "MASTER -> BACKUP (arm-failed)"]
    );
    assert_eq!(host.time(3120.0), ["gate shut", "disarm"]);
}

#[test]
fn an_answer_to_an_older_attempt_is_ignored() {
    let mut host = arming();
    assert_eq!(host.armed(3001.0, 1, false).len(), 3);
    assert_eq!(host.time(6001.0), ["gate inward", "lease 8901", "arm 2"]);
    assert!(host.armed(6002.0, 1, true).is_empty());
    assert!(host.armed(6002.0, 1, false).is_empty());
    assert_eq!(host.armed(6003.0, 2, true)[0], "ad inet 1/0");
}

#[test]
fn a_better_or_equal_advertisement_while_arming_turns_back_without_a_frame() {
    for (advbase, advskew) in [(1, 0), (0, 200)] {
        let mut host = arming();
        let lines = host.frame(3001.0, &Ad::new(&[V4], advbase, advskew).bytes());
        assert_eq!(lines, ["gate shut", "disarm"]);
        assert_eq!(
            (host.state(), host.reason()),
            (State::Backup, Reason::BetterMaster)
        );
        assert_eq!(host.timeout(), Some(6001.0));
    }
}

/// A host that was frozen wakes with its timer due and the MASTER's advertisements in its queue.
#[test]
fn without_preempt_a_worse_master_that_lives_is_respected_at_the_last_moment() {
    let mut host = arming();
    assert_eq!(
        host.frame(3001.0, &Ad::new(&[V4], 1, 200).bytes()),
        ["gate shut", "disarm"]
    );
    let mut host = arming();
    host.preempt(3001.0);
    assert!(
        host.frame(3002.0, &Ad::new(&[V4], 1, 200).bytes())
            .is_empty(),
        "with preempt it goes on"
    );
    let mut host = arming();
    assert!(
        host.frame(3002.0, &Ad::goodbye(&[V4]).bytes()).is_empty(),
        "a goodbye is no reason to wait"
    );
}

#[test]
fn what_is_asked_for_is_not_stopped_by_a_worse_master() {
    let mut host = Host::backup(&[V4], 1, 50);
    host.arms = false;
    assert_eq!(
        host.ask(10.0, State::Master),
        ["gate inward", "lease 2910", "arm 1"]
    );
    assert!(host.frame(11.0, &Ad::new(&[V4], 1, 100).bytes()).is_empty());
    assert_eq!(host.armed(12.0, 1, true)[3], "BACKUP -> MASTER (requested)");
}

#[test]
fn down_and_a_lost_carpdev_while_arming_send_nothing() {
    let mut host = arming();
    let mut down = config(&[V4], 1, 0);
    down.up = false;
    let lines = host.configure(3001.0, down);
    assert_eq!(lines, ["gate shut", "disarm", "BACKUP -> INIT (down)"]);
    assert_eq!(host.timeout(), None);
    let mut host = arming();
    let lines = host.parent(
        3001.0,
        Some(Parent {
            up: false,
            ..parent()
        }),
    );
    assert_eq!(
        lines[..3],
        ["gate shut", "disarm", "BACKUP -> INIT (carpdev-down)"]
    );
    let mut host = arming();
    assert_eq!(
        host.destroy(3001.0),
        [
            "gate shut",
            "disarm",
            "BACKUP -> INIT (destroyed)",
            "retired"
        ]
    );
}

#[test]
fn state_backup_while_arming_turns_back() {
    let mut host = arming();
    assert_eq!(host.ask(3001.0, State::Backup), ["gate shut", "disarm"]);
    assert_eq!(host.timeout(), Some(6001.0));
}

#[test]
fn new_addresses_while_arming_arm_again_and_only_the_new_attempt_counts() {
    let mut host = arming();
    assert_eq!(
        host.configure(3005.0, config(&[V4, "192.0.2.11/24"], 1, 0)),
        ["arm 2"]
    );
    assert_eq!(host.timeout(), Some(3015.0));
    assert!(host.armed(3006.0, 1, true).is_empty());
    let lines = host.armed(3007.0, 2, true);
    assert_eq!(
        lines[..4],
        [
            "ad inet 1/0",
            "gate open",
            "garp 192.0.2.10",
            "garp 192.0.2.11"
        ]
    );
}

#[test]
fn a_host_frozen_while_arming_starts_over() {
    let mut host = arming();
    assert_eq!(host.time(9000.0), ["gate shut", "disarm"]);
    assert_eq!(
        (host.state(), host.reason()),
        (State::Backup, Reason::Stalled)
    );
}

/// Its lease would be shorter than the ten milliseconds.
#[test]
fn at_advbase_0_a_silent_kernel_does_not_stop_it() {
    let mut host = Host::backup(&[V4], 0, 0);
    host.arms = false;
    host.time(11.718);
    assert_eq!(host.time(21.718)[0], "ad inet 0/0");
    assert_eq!(host.state(), State::Master);
}

#[test]
fn both_families_are_advertised_and_announced() {
    let mut host = Host::backup(&[V6, V4], 1, 0);
    let lines = host.time(3000.0);
    let expected = [
        "ad inet 1/0",
        "ad inet6 1/0",
        "gate open",
        "na 2001:db8::10",
        "garp 192.0.2.10",
    ];
    assert_eq!(
        lines[3..8],
        expected,
        "advertisements IPv4 first, announcements as configured"
    );
    assert_eq!(host.reason(), Reason::MasterTimedOut(Family::Inet));
}

#[test]
fn promoted_again_while_it_lingers_the_old_end_is_forgotten() {
    let (mut host, at) = Host::master(&[V4], 0, 1);
    let lines = host.frame(at + 1.0, &Ad::new(&[V4], 0, 1).bytes());
    assert_eq!(lines[0], "gate yielded");
    let lines = host.frame(at + 2.0, &Ad::goodbye(&[V4]).bytes());
    assert_eq!(lines[0], "gate inward");
    assert!(lines.contains(&"BACKUP -> MASTER (goodbye)".into()));
    for tick in 1..40 {
        let lines = host.time(at + 2.0 + f64::from(tick));
        assert!(
            !lines.iter().any(|l| l == "disarm" || l == "gate shut"),
            "{lines:?}"
        );
    }
    assert_eq!(host.state(), State::Master);
}
