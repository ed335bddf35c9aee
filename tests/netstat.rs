//! `carp netstat` as typed, against a daemon that answers what it was told to.
#![allow(clippy::unwrap_used)]

mod fake_daemon;

use carp::carp::config::Unit;
use carp::control::{Peer, Protection, Refusal, Reply, Request, Stats};
use fake_daemon::{Directory, Fake, ran, run};

#[test]
fn counters_are_asked_for_and_printed() {
    let stats = Stats {
        ipackets: 12,
        badauth: 3,
        fullsock: 7,
        preempt: 1,
        ..Stats::default()
    };
    let bsd = "carp:\n\t12 packets received (IPv4)\n\t\t3 discarded for bad authentication\n\t1 transition to master\n";
    let all = "carp:\n\t12 packets received (IPv4)\n\t\t3 discarded for bad authentication\n\
        \t\t7 dropped due to full socket buffers\n\t1 transition to master\n";
    for (line, out) in [
        ("-ss -p carp", bsd),
        ("-s -s", bsd),
        ("-ssp carp", bsd),
        ("-ssv", all),
    ] {
        let fake = Fake::answering(vec![Reply::Stats(stats)]);
        assert_eq!(
            run(fake.directory.path(), &format!("netstat {line}")),
            ran(out, "", 0),
            "{line}"
        );
        assert_eq!(fake.asked(), [Request::Stats], "{line}");
    }
}

#[test]
fn peers_are_shown_with_what_protects_them() {
    let peer = |unit, vhid, address: &str, protection| Peer {
        unit: Unit(unit),
        vhid,
        address: address.parse().unwrap(),
        protection,
    };
    let peers = vec![
        peer(1, 1, "192.0.2.2", Protection::Growth),
        peer(1, 1, "fe80::5054:ff:fe12:3456", Protection::Repeats),
        peer(12, 254, "192.0.2.3", Protection::Nothing),
        peer(12, 254, "192.0.2.4", Protection::Learning),
    ];
    let out = "Interface  Vhid Peer                    Protection against replays\n\
        carp1      1    192.0.2.2               growing values\n\
        carp1      1    fe80::5054:ff:fe12:3456 exact repeats\n\
        carp12     254  192.0.2.3               none, live ones repeat their counters\n\
        carp12     254  192.0.2.4               learning\n";
    let fake = Fake::answering(vec![Reply::Peers(peers)]);
    let shown = run(fake.directory.path(), "netstat peers");
    assert_eq!(shown, ran(out, "", 0));
    assert_eq!(fake.asked(), [Request::Peers]);
    let directory = Directory::new();
    let none = "Interface  Vhid Peer Protection against replays\n";
    assert_eq!(run(directory.path(), "netstat peers"), ran(none, "", 0));
}

#[test]
fn without_a_daemon_nothing_was_counted() {
    let directory = Directory::new();
    let ran = run(directory.path(), "netstat -s -p carp");
    assert_eq!((ran.err.as_str(), ran.code), ("", 0));
    let zeros = ran.out.lines().filter(|line| line.trim().starts_with("0 "));
    assert_eq!((zeros.count(), ran.out.lines().count()), (15, 16));
    assert!(!directory.place().socket().exists(), "looking starts none");
}

#[test]
fn other_things_are_refused() {
    let refusal = Refusal {
        text: "no".to_owned(),
        why: None,
    };
    let fake = Fake::answering(vec![Reply::Refused(refusal)]);
    let no = run(fake.directory.path(), "netstat -s");
    assert_eq!(no, ran("", "netstat: no\n", 1));
    // As 4.4BSD has it.
    let counters = |line| {
        let fake = Fake::answering(vec![Reply::Stats(Stats::default())]);
        run(fake.directory.path(), &format!("netstat {line}"))
    };
    assert_eq!(counters("-p carp"), counters("-s -p carp"));
    for (line, err) in [
        (
            "-s -p tcp",
            "netstat: tcp: unknown or uninstrumented protocol\nnetstat: only carp is here\n",
        ),
        (
            "-v",
            "netstat: only counters are here: netstat -s -p carp, or netstat -i\n",
        ),
    ] {
        let fake = Fake::answering(vec![]);
        let done = run(fake.directory.path(), &format!("netstat {line}"));
        assert_eq!(done, ran("", err, 1), "{line}");
        assert_eq!(fake.asked(), []);
    }
}
