//! What a daemon with one group costs while nothing happens.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;
use support::hosts::{Host, Segment};
use support::scene::join;

const SPAN: Duration = Duration::from_secs(3);

/// Proportional set size in kB, of all processes of the daemon.
fn pss(host: &Host) -> u64 {
    let one = |pid| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix("Pss:"))
            .expect("a line Pss")
            .trim()
            .to_owned();
        line.trim_end_matches("kB").trim().parse::<u64>().unwrap()
    };
    host.processes().into_iter().map(one).sum()
}

/// How often the threads of the daemon have gone to sleep so far.
fn sleeps(host: &Host) -> u64 {
    let mut sum = 0;
    for pid in host.processes() {
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
            let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            let count = status
                .lines()
                .find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"))
                .unwrap();
            sum += count.trim().parse::<u64>().unwrap();
        }
    }
    sum
}

fn wakes(host: &Host) -> u64 {
    let before = sleeps(host);
    std::thread::sleep(SPAN);
    sleeps(host) - before
}

fn one_group_is_small_and_sleeps() {
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24", "2001:db8::11/64"]);
    let b = Host::on(&segment, "b", 0x0b, &["192.0.2.12/24", "2001:db8::12/64"]);
    for (host, advskew) in [(&a, 0), (&b, 100)] {
        host.daemon();
        join(host, "eth0", advskew);
    }
    a.master("carp1");
    // What a beginning brings is over: second announcements, reports of groups, router solicitations.
    std::thread::sleep(Duration::from_secs(3));
    for host in [&a, &b] {
        assert!(pss(host) < 12 * 1024, "{}: {} kB", host.name, pss(host));
    }
    // Three advertisements in three seconds, in two families: each wakes the MASTER by its timer and the BACKUP by its frame.
    // The rest is for the kernel's own occasional reports.
    assert_eq!(
        (a.state("carp1").as_str(), b.state("carp1").as_str()),
        ("MASTER", "BACKUP")
    );
    std::thread::sleep(Duration::from_millis(200));
    let (master, backup) = std::thread::scope(|scope| {
        let other = scope.spawn(|| wakes(&b));
        (wakes(&a), other.join().unwrap())
    });
    assert!(master <= 24, "the MASTER woke {master} times in {SPAN:?}");
    assert!(backup <= 24, "the BACKUP woke {backup} times in {SPAN:?}");
}

support::planes! {
    one_group_is_small_and_sleeps,
}
