//! The commands as typed on a host where no daemon runs: output line by line, and errors that change nothing.
#![allow(clippy::unwrap_used)]

mod support;

use carp::carp::config::Dataplane;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use support::hosts::{Done, Host, SOON, Segment, until};
use support::scene::{SHARED, SHARED6};
use support::talk::{Service, who};

/// A host with a carpdev, and a client.
fn host() -> (Host, Host) {
    let segment = Segment::new();
    let a = Host::on(&segment, "a", 0x0a, &["192.0.2.11/24", "2001:db8::11/64"]);
    (
        a,
        Host::on(&segment, "c", 0x0c, &["192.0.2.13/24", "2001:db8::13/64"]),
    )
}

/// The text of `ifconfig carp1` with the kernel's index filled in.
fn shown(a: &Host, state: &str, status: &str, advskew: u8) -> String {
    let index = a.index("carp1");
    format!(
        "carp1: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> mtu 1500\n\
         \tlladdr 00:00:5e:00:01:01\n\
         \tindex {index} priority 15 llprio 3\n\
         \tcarp: {state} carpdev eth0 vhid 1 advbase 1 advskew {advskew}\n\
         \tgroups: carp\n\
         \tstatus: {status}\n\
         \tinet 192.0.2.1 netmask 0xffffff00 broadcast 192.0.2.255\n\
         \tinet6 2001:db8::1 prefixlen 64\n"
    )
}

fn the_tour_of_commands_works_as_typed() {
    let (a, c) = host();
    let _service = Service::on(&a);
    assert!(a.processes().is_empty(), "no daemon yet");
    let before =
        ["arp_ignore", "arp_announce"].map(|s| a.sysctl_value(&format!("net/ipv4/conf/eth0/{s}")));

    a.choose_plane();
    assert_eq!(a.ok("ifconfig carp1 create"), "");
    let fresh = a.ok("ifconfig carp1");
    assert!(
        fresh.starts_with("carp1: flags=8802<BROADCAST,SIMPLEX,MULTICAST> mtu 1500\n"),
        "{fresh}"
    );
    assert!(!fresh.contains("carp:"), "{fresh}");
    assert_eq!(a.carrier("carp1"), Some(false));

    let line = "ifconfig carp1 vhid 1 pass secret carpdev eth0 advskew 100 192.0.2.1 netmask 255.255.255.0";
    assert_eq!(a.ok(line), "");
    assert_eq!(a.ok("ifconfig carp1 inet6 alias 2001:db8::1/64"), "");
    assert_eq!(a.ok("ifconfig carp1"), shown(&a, "BACKUP", "backup", 100));
    assert_eq!(a.ok("ifconfig carp1 advskew 0"), "");
    // Nobody else is there: MASTER after the master-down time, three seconds.
    a.until_state("carp1", "MASTER");
    assert_eq!(a.ok("ifconfig carp1"), shown(&a, "MASTER", "master", 0));
    assert_eq!(a.ok("ifconfig -a"), shown(&a, "MASTER", "master", 0));
    for shared in [SHARED, SHARED6] {
        assert_eq!(who(&c, shared, None).unwrap(), "a", "{shared}");
    }

    assert_eq!(a.ok("ifconfig carp1 down"), "");
    let down = shown(&a, "INIT", "invalid", 0).replace(
        "8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST>",
        "8802<BROADCAST,SIMPLEX,MULTICAST>",
    );
    assert_eq!(a.ok("ifconfig carp1"), down);
    assert_eq!(a.ok("ifconfig carp1 up"), "");
    assert_eq!(a.ok("ifconfig carp1"), shown(&a, "BACKUP", "backup", 0));

    assert_eq!(
        a.ok("sysctl net.inet.carp.preempt"),
        "net.inet.carp.preempt=0\n"
    );
    assert_eq!(
        a.ok("sysctl net.inet.carp.preempt=1"),
        "net.inet.carp.preempt: 0 -> 1\n"
    );
    let all = "net.inet.carp.allow=1\nnet.inet.carp.preempt=1\nnet.inet.carp.log=2\n";
    assert_eq!(a.ok("sysctl net.inet.carp"), all);
    let other = if a.plane == Dataplane::Copy {
        "auto"
    } else {
        "copy"
    };
    assert_eq!(
        a.refused(&format!("sysctl net.inet.carp.dataplane={other}")),
        "sysctl: net.inet.carp.dataplane: Device busy\nsysctl: carp1 is there: destroy all carp interfaces first\n"
    );

    assert_eq!(a.ok("ifconfig carp1 destroy"), "");
    assert_eq!(
        a.carrier("carp1"),
        None,
        "destroy returns when the name is free"
    );
    assert_eq!(
        a.refused("ifconfig carp1"),
        "ifconfig: carp1: no such interface\n"
    );
    // A setting is left that is not the default: the daemon stays for it.
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(
        a.ok("sysctl net.inet.carp.preempt"),
        "net.inet.carp.preempt=1\n"
    );
    a.ok("sysctl net.inet.carp.preempt=0 net.inet.carp.dataplane=auto");
    assert!(
        until(SOON, || a.processes().is_empty()),
        "an autostarted daemon ends when nothing is left"
    );
    let after =
        ["arp_ignore", "arp_announce"].map(|s| a.sysctl_value(&format!("net/ipv4/conf/eth0/{s}")));
    assert_eq!(after, before, "carpdev's settings are put back");
    let links: Vec<_> = a.net(|net| net.links().unwrap().into_iter().map(|l| l.name).collect());
    assert_eq!(links, ["lo", "eth0"], "nothing stays in the kernel");
}

#[test]
fn a_passphrase_need_not_stand_in_the_list_of_processes() {
    support::privileged!();
    let segment = Segment::new();
    let hosts = ["a", "b", "c"].map(|name| Host::on(&segment, name, name.as_bytes()[0], &[]));
    let [a, b, c] = &hosts;
    let rest = "carpdev eth0 192.0.2.1/24";
    a.ok(&format!(
        "ifconfig carp1 vhid 1 pass secret advskew 0 {rest}"
    ));
    a.master("carp1");
    let words = "ifconfig carp1 vhid 1 pass - advskew 100 carpdev eth0 192.0.2.1/24";
    let mut command = b.command(&words.split(' ').collect::<Vec<_>>());
    command.stdin(Stdio::piped());
    let mut child = b.place.run(|| command.spawn().unwrap());
    child.stdin.take().unwrap().write_all(b"secret\n").unwrap();
    assert!(child.wait().unwrap().success());
    let path = c.run.join("phrase");
    std::fs::write(&path, "secret\n").unwrap();
    c.ok(&format!(
        "ifconfig carp1 vhid 1 passfile {} advskew 100 {rest}",
        path.display()
    ));
    // With another key they would not believe a and become MASTER after 3.4 s.
    std::thread::sleep(std::time::Duration::from_millis(4500));
    for host in [b, c] {
        assert_eq!(host.state("carp1"), "BACKUP", "{}", host.name);
    }
}

/// Wrong lines and what is said of them.
const WRONG: &[(&str, &str)] = &[
    ("vhid 0", "ifconfig: vhid 0: too small"),
    ("vhid 256", "ifconfig: vhid 256: too large"),
    ("vhid x", "ifconfig: vhid x: invalid"),
    ("vhid", "ifconfig: 'vhid' requires argument"),
    ("advskew 255", "ifconfig: advskew 255: too large"),
    ("advskew -1", "ifconfig: advskew -1: too small"),
    ("advbase 255", "ifconfig: advbase 255: too large"),
    ("create", "ifconfig: SIOCIFCREATE: File exists"),
    ("carpdev nosuch0", "ifconfig: SIOCSVH: Invalid argument"),
    ("carpdev carp1", "ifconfig: SIOCSVH: Invalid argument"),
    ("carpdev lo", "ifconfig: SIOCSVH: "),
    ("advskew 50 vhid 300", "ifconfig: vhid 300: too large"),
    (
        "advskew 50 carpdev nosuch0",
        "ifconfig: SIOCSVH: Invalid argument",
    ),
    ("192.0.2.300", "ifconfig: 192.0.2.300: bad value"),
    (
        "192.0.2.1 255.255.255.0 192.0.2.9",
        "ifconfig: 192.0.2.9: bad value",
    ),
];

#[test]
fn a_wrong_line_gets_openbsds_text_and_changes_nothing() {
    support::privileged!();
    let (a, _c) = host();
    a.daemon();
    a.ok("ifconfig carp1 vhid 1 pass secret carpdev eth0 advskew 100 192.0.2.1 netmask 255.255.255.0");
    a.ok("ifconfig carp1 inet6 alias 2001:db8::1/64");
    a.until_state("carp1", "MASTER");
    let links = || {
        a.net(|net| {
            net.links()
                .unwrap()
                .into_iter()
                .map(|l| (l.name, l.index))
                .collect::<Vec<_>>()
        })
    };
    let before = (a.ok("ifconfig -a"), links());
    for (words, text) in WRONG {
        let said = a.refused(&format!("ifconfig carp1 {words}"));
        assert!(said.starts_with(text), "carp1 {words}: {said}");
        assert!(said.lines().count() <= 2, "carp1 {words}: {said}");
        assert_eq!(
            (a.ok("ifconfig -a"), links()),
            before,
            "after carp1 {words}"
        );
    }
    let others = [
        ("carp7", "ifconfig: carp7: no such interface"),
        (
            "carp7 destroy",
            "ifconfig: SIOCIFDESTROY: Device not configured",
        ),
        ("carp create", "ifconfig: SIOCIFCREATE: Invalid argument"),
        (
            "carp2 vhid 1 carpdev eth0",
            "ifconfig: SIOCSVH: Invalid argument",
        ),
        (
            "carp2 192.0.2.2/24",
            "ifconfig: SIOCAIFADDR: Invalid argument",
        ),
        (
            "carp2 192.0.2.2/24 vhid 2",
            "ifconfig: SIOCAIFADDR: Invalid argument",
        ),
    ];
    for (words, text) in others {
        let said = a.refused(&format!("ifconfig {words}"));
        assert!(said.starts_with(text), "{words}: {said}");
        assert_eq!((a.ok("ifconfig -a"), links()), before, "after {words}");
    }
    let said = a.refused("ifconfig carp01234567890123 create");
    assert!(
        said.contains("interface name 'carp01234567890123' too long"),
        "{said}"
    );
    assert_eq!((a.ok("ifconfig -a"), links()), before);
    assert_eq!(a.state("carp1"), "MASTER");
}

#[test]
fn a_foreign_interface_of_the_name_is_left_alone() {
    support::privileged!();
    let (a, _c) = host();
    a.net(|net| net.create_veth("carp5", "peer5").unwrap());
    let before = a.net(|net| net.link("carp5").unwrap().unwrap());
    for words in ["carp5 create", "carp5 vhid 5 carpdev eth0 192.0.2.5/24"] {
        let said = a.refused(&format!("ifconfig {words}"));
        assert!(
            said.starts_with("ifconfig: SIOCIFCREATE: File exists\n"),
            "{said}"
        );
        assert!(said.contains("carp5"), "the second line tells why: {said}");
    }
    a.refused("ifconfig carp5 destroy");
    assert_eq!(a.net(|net| net.link("carp5").unwrap()), Some(before));
    assert!(
        until(SOON, || a.processes().is_empty()),
        "a daemon stays that was started in vain"
    );
}

/// A command run by a user who is nobody.
fn as_nobody(a: &Host, line: &str) -> Done {
    // The executable may lie where nobody else may go.
    let copy = a.run.join("carp");
    if !copy.exists() {
        std::fs::copy(env!("CARGO_BIN_EXE_carp"), &copy).unwrap();
    }
    let mut command = std::process::Command::new(copy);
    command
        .args(line.split(' '))
        .env_clear()
        .env("CARP_RUN", &a.run)
        .uid(65534)
        .gid(65534);
    a.finish(&mut command)
}

#[test]
fn nobody_may_look_and_change_nothing() {
    support::privileged!();
    if !support::may_become_nobody() {
        return;
    }
    let (a, _c) = host();
    let done = as_nobody(&a, "ifconfig carp1 create");
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(
        done.err
            .starts_with("ifconfig: SIOCIFCREATE: Operation not permitted\n"),
        "{done:?}"
    );
    assert!(a.processes().is_empty(), "no daemon was started");
    a.ok("ifconfig carp1 vhid 1 pass secret carpdev eth0 192.0.2.1/24");
    let before = a.ok("ifconfig carp1");
    let done = as_nobody(&a, "ifconfig carp1");
    assert_eq!(
        (done.code, done.out.as_str()),
        (Some(0), before.as_str()),
        "{done:?}"
    );
    for (line, text) in [
        (
            "ifconfig carp1 advskew 7",
            "ifconfig: SIOCSVH: Operation not permitted\n",
        ),
        (
            "ifconfig carp1 destroy",
            "ifconfig: SIOCIFDESTROY: Operation not permitted\n",
        ),
        (
            "sysctl net.inet.carp.preempt=1",
            "sysctl: net.inet.carp.preempt: Operation not permitted\n",
        ),
    ] {
        let done = as_nobody(&a, line);
        assert_eq!(done.code, Some(1), "{line}: {done:?}");
        // A second line may tell what BSD's text hides.
        assert!(done.err.starts_with(text), "{line}: {done:?}");
    }
    assert_eq!(a.ok("ifconfig carp1"), before);
    assert_eq!(
        a.ok("sysctl net.inet.carp.preempt"),
        "net.inet.carp.preempt=0\n"
    );
}

support::planes! {
    the_tour_of_commands_works_as_typed,
}
