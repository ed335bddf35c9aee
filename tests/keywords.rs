//! Every word of ifconfig in every personality: taken, or refused with which text (ifconfig-carp.md 1).
#![allow(clippy::unwrap_used)]

mod fake_daemon;

use carp::carp::config::State;
use carp::control::{Interface, Reply};
use fake_daemon::{Fake, interface, run};

/// It becomes a request.
const TAKEN: &str = "";
/// OpenBSD and FreeBSD read what is no word of theirs as an address; NetBSD's grammar says the same with its usage.
const NO_WORD: &str = "{}: bad value";
const SVH: &str = "SIOCSVH: Invalid argument";
const VHID9: &str = "vhid must be greater than 0";
const VHID: &str = "vhid must be greater than 0 and less than 255";
const VRRP: &str = "SIOCSVH: Operation not supported";

/// The words; then what openbsd, freebsd9, freebsd and netbsd say. `{}` stands for the first word.
type Row = (&'static str, [&'static str; 4]);

/// Of CARP: section 1's table.
const CARPS: &[Row] = &[
    ("vhid 1", [TAKEN; 4]),
    (
        "vhid 0",
        ["vhid 0: too small", VHID9, VHID, "vhid 0: too small"],
    ),
    (
        "vhid 256",
        ["vhid 256: too large", SVH, VHID, "vhid 256: too large"],
    ),
    (
        "vhid x",
        ["vhid x: invalid", VHID9, VHID, "vhid x: invalid"],
    ),
    ("advbase 0", [TAKEN; 4]),
    ("advbase 254", [TAKEN; 4]),
    (
        "advbase 255",
        ["advbase 255: too large", TAKEN, TAKEN, TAKEN],
    ),
    (
        "advbase 256",
        ["advbase 256: too large", SVH, SVH, "advbase 256: too large"],
    ),
    ("advskew 254", [TAKEN; 4]),
    (
        "advskew 255",
        ["advskew 255: too large", SVH, SVH, "advskew 255: too large"],
    ),
    (
        "advskew -1",
        ["advskew -1: too small", SVH, SVH, "advskew -1: too small"],
    ),
    ("pass secret", [TAKEN; 4]),
    (
        "state master",
        [TAKEN, NO_WORD, TAKEN, "state master: invalid"],
    ),
    ("state MASTER", [TAKEN, NO_WORD, TAKEN, TAKEN]),
    (
        "state foo",
        [TAKEN, NO_WORD, "unknown state", "state foo: invalid"],
    ),
    // FreeBSD 9's came with pfSense.
    ("carpdev em0", [TAKEN, TAKEN, NO_WORD, TAKEN]),
    ("-carpdev", [TAKEN, NO_WORD, NO_WORD, TAKEN]),
    ("carpnodes 1:0,2:100", [TAKEN, NO_WORD, NO_WORD, NO_WORD]),
    (
        "carpnodes 1-0",
        ["non parsable arg: 1-0", NO_WORD, NO_WORD, NO_WORD],
    ),
    (
        "carpnodes 300:0",
        ["vhid 300: value too large", NO_WORD, NO_WORD, NO_WORD],
    ),
    ("balancing ip-stealth", [TAKEN, NO_WORD, NO_WORD, NO_WORD]),
    (
        "balancing foo",
        ["balancing foo: unknown mode", NO_WORD, NO_WORD, NO_WORD],
    ),
    ("carppeer 192.0.2.2", [TAKEN, NO_WORD, NO_WORD, NO_WORD]),
    (
        "carppeer ::1",
        [
            "only IPv4 addresses supported for the carppeer",
            NO_WORD,
            NO_WORD,
            NO_WORD,
        ],
    ),
    ("-carppeer", [TAKEN, NO_WORD, NO_WORD, NO_WORD]),
    ("peer 192.0.2.2", [TAKEN, NO_WORD, TAKEN, NO_WORD]),
    ("peer6 fe80::2", [TAKEN, NO_WORD, TAKEN, NO_WORD]),
    ("mcast", [TAKEN, NO_WORD, TAKEN, NO_WORD]),
    ("mcast6", [TAKEN, NO_WORD, TAKEN, NO_WORD]),
    ("carpver 2", [NO_WORD, NO_WORD, TAKEN, NO_WORD]),
    (
        "carpver 1",
        [NO_WORD, NO_WORD, "version must be 2 or 3", NO_WORD],
    ),
    ("carpver 3", [NO_WORD, NO_WORD, VRRP, NO_WORD]),
    ("vrrpprio 100", [NO_WORD, NO_WORD, VRRP, NO_WORD]),
    ("vrrpinterval 100", [NO_WORD, NO_WORD, VRRP, NO_WORD]),
];

/// Those of any interface that matter here, and ours.
const GENERIC: &[Row] = &[
    ("up", [TAKEN; 4]),
    ("down", [TAKEN; 4]),
    ("192.0.2.1/24", [TAKEN; 4]),
    ("192.0.2.1 netmask 255.255.255.0", [TAKEN; 4]),
    ("192.0.2.1/24 alias", [TAKEN; 4]),
    ("alias 192.0.2.1 netmask 0xffffff00", [TAKEN; 4]),
    ("add 192.0.2.2/24", [NO_WORD, TAKEN, TAKEN, NO_WORD]),
    ("192.0.2.1 -alias", [TAKEN; 4]),
    ("192.0.2.1 delete", [TAKEN; 4]),
    ("2001:db8::1", ["{}: bad value"; 4]),
    ("-inet6", [TAKEN; 4]),
    ("lladdr 02:00:00:00:00:07", [TAKEN, TAKEN, TAKEN, NO_WORD]),
    ("mtu 1400", [TAKEN; 4]),
    ("mtu x", ["mtu x: invalid"; 4]),
    ("description x", [TAKEN, TAKEN, TAKEN, NO_WORD]),
    ("-descr", [TAKEN, TAKEN, TAKEN, NO_WORD]),
    ("group ha", [TAKEN, TAKEN, TAKEN, NO_WORD]),
    (
        "group ha1",
        [
            "setifgroup: group names may not end in a digit",
            "setifgroup: group names may not end in a digit",
            "setifgroup: group names may not end in a digit",
            "group: bad value",
        ],
    ),
    ("-group ha", [TAKEN, TAKEN, TAKEN, NO_WORD]),
    ("link0", [NO_WORD; 4]),
    ("-link0", [TAKEN; 4]),
    ("debug", [TAKEN; 4]),
    ("metric 1", [TAKEN; 4]),
    ("rdomain 0", [TAKEN, NO_WORD, NO_WORD, NO_WORD]),
    ("drain", [TAKEN; 4]),
    ("undrain", [TAKEN; 4]),
    ("hash mac", [TAKEN; 4]),
    ("input accept", [TAKEN; 4]),
    ("capture", [TAKEN; 4]),
    ("arp", ["arp: not supported yet"; 4]),
    ("nonsense", [NO_WORD; 4]),
    ("mtu", ["'mtu' requires argument"; 4]),
];

/// Standard error's first line behind the usage, or nothing when the line was taken.
fn told(personality: &str, words: &str) -> String {
    let on_parent = personality == "freebsd";
    let there = Interface {
        carpdev: Some("lo".into()),
        ..interface(0, State::Backup)
    };
    let mut replies = vec![Reply::Done];
    if personality != "openbsd" {
        replies.insert(0, Reply::Interfaces(vec![there]));
    }
    let fake = Fake::answering(replies);
    let name = match words.split(' ').next() {
        Some("vhid") if on_parent => "lo",
        _ if on_parent => "lo vhid 1",
        _ => "carp0",
    };
    let line = format!("ifconfig --as {personality} {name} {words}");
    let ran = run(fake.directory.path(), &line);
    assert_eq!(ran.out, "", "{line}");
    if ran.code == 0 {
        assert_eq!(ran.err, "", "{line}");
        assert!(!fake.asked().is_empty(), "{line}");
        return String::new();
    }
    assert_eq!(ran.code, 1, "{line}");
    let changes = |request: &carp::control::Request| request.changes_anything();
    assert!(!fake.asked().iter().any(changes), "{line}");
    let mut lines = ran.err.lines();
    assert_eq!(ran.err.starts_with("usage: "), personality == "netbsd");
    let own = lines.find_map(|line| line.strip_prefix("ifconfig: "));
    own.unwrap_or_default().to_owned()
}

#[test]
fn each_word_is_taken_or_refused_as_its_system_does() {
    let mut unlike = Vec::new();
    for (words, expected) in CARPS.iter().chain(GENERIC) {
        let first = words.split(' ').next().unwrap();
        for (personality, expected) in ["openbsd", "freebsd9", "freebsd", "netbsd"]
            .into_iter()
            .zip(expected)
        {
            let (told, expected) = (told(personality, words), expected.replace("{}", first));
            if told != expected {
                unlike.push(format!(
                    "{personality}: {words}: {told:?}, not {expected:?}"
                ));
            }
        }
    }
    assert!(unlike.is_empty(), "{}", unlike.join("\n"));
}
