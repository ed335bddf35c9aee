//! The same lines under each personality: exact output, error text and status, and what a daemon is asked.
#![allow(clippy::unwrap_used)]

mod fake_daemon;

use carp::carp::config::{Config, Key, Settings, State, Unit};
use carp::control::{Change, Dumped, Interface, Refusal, Reply, Request, Stats, Sysctls};
use fake_daemon::{Directory, Fake, carp as executable, finish, interface, ran, run};
use std::os::unix::process::CommandExt;

fn refusal(text: &str, why: Option<&str>) -> Reply {
    Reply::Refused(Refusal {
        text: text.into(),
        why: why.map(Into::into),
    })
}

const USAGE9: &str = "usage: ifconfig interface address_family [address] [parameters]\n       \
    ifconfig -l [-du] [ether]\n       ifconfig [-L] [-C] [-g groupname]\n";
const USAGE_O: &str = "usage: ifconfig [-v] [-AaCl] [interface] [inet | inet6] [address] [words ...]\n       \
    ifconfig -g group [[-]carpdemote [number] | drain | undrain]\n";
const USAGE_N: &str =
    "usage: ifconfig [-a] [-b] [-C] [-d] [-l] [-u] interface [ af ] [ address ] [ parameters ]\n";

/// Lines that are wrong by themselves: personality, words, standard error.
#[test]
fn wrong_lines_have_the_systems_text() {
    let empty = Directory::new();
    let between = "ifconfig: vhid must be greater than 0 and less than 255\n";
    for (personality, line, err) in [
        ("freebsd9", "carp9", "ifconfig: interface carp9 does not exist\n".to_owned()),
        ("freebsd9", "carp9 vhid 1", "ifconfig: interface carp9 does not exist\n".into()),
        ("freebsd9", "carp9 vhid 0", "ifconfig: vhid must be greater than 0\n".into()),
        ("freebsd9", "carp9 vhid x", "ifconfig: vhid must be greater than 0\n".into()),
        (
            "freebsd9",
            "carp9 vhid 256",
            "ifconfig: SIOCSVH: Invalid argument\nifconfig: vhid 256: too large\n".into(),
        ),
        (
            "freebsd9",
            "carp9 advskew 255",
            "ifconfig: SIOCSVH: Invalid argument\nifconfig: advskew 255: too large\n".into(),
        ),
        ("freebsd9", "carp9 vhid 1 state master", "ifconfig: state: bad value\n".into()),
        ("freebsd9", "carp9 carpnodes 1:0", "ifconfig: carpnodes: bad value\n".into()),
        ("freebsd9", "carp", "ifconfig: interface carp does not exist\n".into()),
        ("freebsd9", "carp9 destroy", "ifconfig: interface carp9 does not exist\n".into()),
        ("freebsd9", "-z", USAGE9.into()),
        ("freebsd", "lo vhid 0", between.into()),
        ("freebsd", "lo vhid 256", between.into()),
        ("freebsd", "lo vhid one", between.into()),
        ("freebsd", "lo pass x vhid 1", "ifconfig: passwd requires vhid\n".into()),
        ("freebsd", "lo advskew 1", "ifconfig: advskew requires vhid\n".into()),
        ("freebsd", "lo advbase 1", "ifconfig: advbase requires vhid\n".into()),
        ("freebsd", "lo state master", "ifconfig: state requires vhid\n".into()),
        (
            "freebsd",
            "lo vhid 1 advskew 255",
            "ifconfig: SIOCSVH: Invalid argument\nifconfig: advskew 255: too large\n".into(),
        ),
        (
            "freebsd",
            "lo vhid 1 192.0.2.1/32 alias",
            "ifconfig: SIOCGVH: Operation not supported\n\
             ifconfig: only an Ethernet interface carries a vhid\n"
                .into(),
        ),
        ("freebsd", "lo vhid 1 state foo", "ifconfig: unknown state\n".into()),
        ("freebsd", "em9", "ifconfig: interface em9 does not exist\n".into()),
        ("freebsd", "em9 vhid 1", "ifconfig: interface em9 does not exist\n".into()),
        ("freebsd", "carp0 create", "ifconfig: SIOCIFCREATE2: Invalid argument\n".into()),
        ("freebsd", "carp0", "ifconfig: interface carp0 does not exist\n".into()),
        ("freebsd", "lo vhid 1 carpdev eth0", "ifconfig: carpdev: bad value\n".into()),
        ("freebsd", "lo ether vhid 1", "ifconfig: af_link doesn't support carp(4)\n".into()),
        ("freebsd", "lo vhid 1 carpver 1", "ifconfig: version must be 2 or 3\n".into()),
        ("freebsd", "lo vhid 1 carpver", "ifconfig: 'carpver' requires argument\n".into()),
        (
            "freebsd",
            "lo vhid 1 carpver 3",
            "ifconfig: SIOCSVH: Operation not supported\n\
             ifconfig: carpver 3: VRRP is not spoken here, carpver 2 is CARP\n"
                .into(),
        ),
        (
            "freebsd",
            "lo vhid 1 vrrpprio 200",
            "ifconfig: SIOCSVH: Operation not supported\n\
             ifconfig: vrrpprio 200: VRRP is not spoken here, carpver 2 is CARP\n"
                .into(),
        ),
        (
            "freebsd",
            "lo vhid 1 vrrpinterval 0",
            "ifconfig: vrrpinterval must be greater than 0 and less than 4095\n".into(),
        ),
        ("freebsd", "lo inet6 vhid 1 fe80::1%eth9/64", "ifconfig: fe80::1%eth9/64: bad value\n".into()),
        ("freebsd9", "carp9 vhid 1 carpver 2", "ifconfig: carpver: bad value\n".into()),
        ("freebsd9", "carp destroy", "ifconfig: interface carp does not exist\nifconfig: carp is not carp0 to carp32767\n".into()),
        ("openbsd", "-k", USAGE_O.into()),
        ("openbsd", "carp9 advbase 255", "ifconfig: advbase 255: too large\n".into()),
        ("openbsd", "-g carp drain 1", USAGE_O.into()),
        ("netbsd", "-k", USAGE_N.into()),
        ("netbsd", "carp9", "ifconfig: SIOCGIFFLAGS carp9: Device not configured\n".into()),
        ("netbsd", "carp9 vhid 300", format!("{USAGE_N}ifconfig: vhid 300: too large\n")),
        ("netbsd", "carp9 nonsense", format!("{USAGE_N}ifconfig: nonsense: bad value\n")),
        ("netbsd", "carp9 carppeer 192.0.2.2", format!("{USAGE_N}ifconfig: carppeer: bad value\n")),
        ("netbsd", "carp9 vhid", format!("{USAGE_N}ifconfig: 'vhid' requires argument\n")),
        ("netbsd", "carp create", "ifconfig: SIOCIFCREATE: Invalid argument\nifconfig: carp is not carp0 to carp32767\n".into()),
        (
            "linux",
            "carp0",
            "ifconfig: linux: unknown personality\nifconfig: there are openbsd, freebsd9, freebsd, netbsd\n".into(),
        ),
    ] {
        let told = run(empty.path(), &format!("ifconfig --as {personality} {line}"));
        assert_eq!(told, ran("", &err, 1), "{personality}: {line}");
    }
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
}

#[test]
fn a_daemons_refusal_is_told_in_the_systems_words() {
    let there = || Reply::Interfaces(vec![interface(0, State::Backup)]);
    let in_use = refusal(
        "SIOCSVH: Invalid argument",
        Some("vhid 1 is in use by carp1 on eth0"),
    );
    let invalid = "SIOCSVH: Invalid argument\nifconfig: vhid 1 is in use by carp1 on eth0";
    for (personality, line, replies, text) in [
        (
            "freebsd9",
            "carp0 vhid 1",
            vec![there(), in_use.clone()],
            "SIOCSVH: File exists\nifconfig: vhid 1 is in use by carp1 on eth0",
        ),
        (
            "netbsd",
            "carp0 vhid 1",
            vec![there(), in_use.clone()],
            invalid,
        ),
        ("openbsd", "carp0 vhid 1", vec![in_use], invalid),
        (
            "freebsd9",
            "carp0 create",
            vec![refusal("SIOCIFCREATE: File exists", None)],
            "interface carp0 already exists",
        ),
        (
            "netbsd",
            "carp0 create",
            vec![refusal("SIOCIFCREATE: File exists", None)],
            "SIOCIFCREATE: File exists",
        ),
        (
            "freebsd9",
            "carp0 192.0.2.1/24",
            vec![
                there(),
                refusal("SIOCAIFADDR: Operation not permitted", None),
            ],
            "ioctl (SIOCAIFADDR): permission denied",
        ),
    ] {
        let fake = Fake::answering(replies);
        let told = run(
            fake.directory.path(),
            &format!("ifconfig --as {personality} {line}"),
        );
        assert_eq!(
            told,
            ran("", &format!("ifconfig: {text}\n"), 1),
            "{personality}: {line}"
        );
    }
}

#[test]
fn freebsd9_chooses_a_unit_and_tells_it() {
    // Two questions and two tries: somebody else is faster with carp1.
    let there = || Reply::Interfaces(vec![interface(0, State::Backup)]);
    let taken = refusal("SIOCIFCREATE: File exists", None);
    let fake = Fake::answering(vec![there(), taken, there(), Reply::Done]);
    assert_eq!(
        run(
            fake.directory.path(),
            "ifconfig --as freebsd9 carp create vhid 7"
        ),
        ran("carp2\n", "", 0)
    );
    let apply = |unit| Request::Apply {
        unit: Unit(unit),
        changes: vec![Change::Create, Change::Vhid(7)],
    };
    let asked = fake.asked();
    assert_eq!(
        asked,
        [Request::Show(None), apply(1), Request::Show(None), apply(2)]
    );
}

/// A group whose parent is lo, which every namespace has.
fn on_lo() -> Reply {
    Reply::Interfaces(vec![Interface {
        carpdev: Some("lo".into()),
        ..interface(0, State::Master)
    }])
}

#[test]
fn freebsds_line_changes_the_group_of_its_parent() {
    let fe80 = |alias| Change::Address {
        address: "fe80::1/64".parse().unwrap(),
        alias,
    };
    for (line, changes) in [
        ("vhid 1 advbase 0 advskew 7", vec![Change::Advskew(7)]),
        ("vhid 1 carpver 2 advskew 7", vec![Change::Advskew(7)]),
        ("inet6 vhid 1 fe80::1%lo/64 alias", vec![fe80(true)]),
        ("inet6 vhid 1 fe80::1", vec![fe80(false)]),
    ] {
        let fake = Fake::answering(vec![on_lo(), Reply::Done]);
        let told = run(
            fake.directory.path(),
            &format!("ifconfig --as freebsd lo {line}"),
        );
        assert_eq!(told, ran("", "", 0), "{line}");
        let unit = Unit(0);
        let asked = [Request::Show(None), Request::Apply { unit, changes }];
        assert_eq!(fake.asked(), asked, "{line}");
    }
}

#[test]
fn freebsd_shows_passphrases_to_who_gets_them() {
    let dumped = |key: &[u8]| {
        let config = Config {
            key: Key::from_pass(key),
            ..Config::default()
        };
        Reply::Dumped(vec![Dumped {
            unit: Unit(0),
            config,
            keyed: true,
        }])
    };
    let carp = "\tcarp: MASTER vhid 1 advbase 1 advskew 100";
    let peer = "\n\t      peer 224.0.0.18 peer6 ff02::12\n";
    for (line, replies, key) in [
        ("-k lo", vec![on_lo(), dumped(b"secret")], " key \"secret\""),
        ("-ak", vec![on_lo(), dumped(b"secret")], " key \"secret\""),
        // To others than root a daemon tells none.
        ("-k lo", vec![on_lo(), dumped(b"")], ""),
        ("-v lo", vec![on_lo()], ""),
    ] {
        let fake = Fake::answering(replies);
        let told = run(
            fake.directory.path(),
            &format!("ifconfig --as freebsd {line}"),
        );
        assert!(told.out.contains(&format!("{carp}{key}{peer}")), "{told:?}");
        let unit = None;
        let keys = true;
        let secrets = fake.asked().contains(&Request::Dump { unit, keys });
        assert_eq!(secrets, line.contains('k'), "{line}");
    }
}

#[test]
fn no_other_system_makes_an_interface_by_the_way() {
    for personality in ["freebsd9", "netbsd"] {
        let fake = Fake::answering(vec![Reply::Interfaces(Vec::new())]);
        let line = format!("ifconfig --as {personality} carp0 vhid 1");
        assert_eq!(run(fake.directory.path(), &line).code, 1);
        assert_eq!(fake.asked(), [Request::Show(Some(Unit(0)))]);
    }
}

#[test]
fn the_second_field_of_the_carp_line_is_the_state() {
    let awk = |personality: &str, state| {
        let fake = Fake::answering(vec![Reply::Interfaces(vec![interface(0, state)])]);
        let mut shell = std::process::Command::new("/bin/sh");
        let carp = env!("CARGO_BIN_EXE_carp");
        shell.args([
            "-c",
            &format!("{carp} ifconfig carp0 | awk '/carp:/ {{print $2}}'"),
        ]);
        shell.env("CARP_RUN", fake.directory.path());
        shell.env("CARP_PERSONALITY", personality);
        finish(shell, b"").out
    };
    for personality in ["openbsd", "freebsd9", "netbsd"] {
        for state in [State::Init, State::Backup, State::Master] {
            assert_eq!(
                awk(personality, state),
                format!("{state}\n"),
                "{personality}"
            );
        }
    }
}

/// Shapes of what stands in monitoring and failover scripts; `$C` is the program.
#[test]
fn scripts_from_the_field_find_their_fields() {
    let mut there = interface(0, State::Master);
    there.carpdev = Some("lo".into());
    for (personality, script, out) in [
        // Statistics and supervision on OpenBSD.
        (
            "openbsd",
            r#"$C ifconfig carp | awk '$1 ~ /^carp[0-9]+:/ {n = $1} $1 == "carp:" {print n, $4, $6, $8, $10} $1 == "status:" {print $2}'"#,
            "carp0: lo 1 1 100\nmaster\n",
        ),
        (
            "openbsd",
            "$C ifconfig carp0 | grep -q MASTER && echo yes",
            "yes\n",
        ),
        (
            "openbsd",
            "$C ifconfig carp | grep -c 'carp: MASTER'",
            "1\n",
        ),
        (
            "openbsd",
            "for i in $($C ifconfig -l carp); do echo $i; done",
            "carp0\n",
        ),
        (
            "freebsd9",
            "$C ifconfig carp0 | awk '/carp:/{print $2, $4, $6, $8}'",
            "MASTER 1 1 100\n",
        ),
        (
            "netbsd",
            "$C ifconfig carp0 | sed -n 's/.*carp: \\([A-Z]*\\).*/\\1/p'",
            "MASTER\n",
        ),
        // Checks of FreeBSD 10 and pfSense: all vhids of all interfaces, by the words metric and carp.
        (
            "freebsd",
            r"$C ifconfig -a | sed -n '/metric/{s/:.*//;h;};/carp:/{H;x;s/\n.*carp: \([A-Z]*\) vhid \([0-9]*\).*/ \1 \2/p;}'",
            "lo MASTER 1\n",
        ),
        (
            "freebsd",
            "$C ifconfig lo | grep carp | cut -d' ' -f2",
            "MASTER\n",
        ),
        (
            "freebsd",
            "$C ifconfig lo | awk '/vhid 1$/ && $1 == \"inet\" {print $2}'",
            "192.0.2.1\n",
        ),
    ] {
        let fake = Fake::answering(vec![Reply::Interfaces(vec![there.clone()])]);
        let mut shell = std::process::Command::new("/bin/sh");
        shell.args(["-c", script]);
        shell.env("C", env!("CARGO_BIN_EXE_carp"));
        shell.env("CARP_RUN", fake.directory.path());
        shell.env("CARP_PERSONALITY", personality);
        assert_eq!(finish(shell, b""), ran(out, "", 0), "{script}");
    }
}

#[test]
fn names_are_listed_where_the_system_lists_them() {
    let there = || Reply::Interfaces(vec![interface(0, State::Backup)]);
    for (line, out) in [
        ("--as freebsd9 -g carp", "carp0\n"),
        ("--as freebsd9 -g ha", ""),
        ("--as freebsd -g carp", ""),
        ("--as freebsd9 -C", "carp\n"),
        ("--as netbsd -C", "carp\n"),
        ("--as freebsd -C", "\n"),
        ("-l", "carp0\n"),
        ("-l carp", "carp0\n"),
        ("--as freebsd9 -l carp", "carp0\n"),
        ("--as netbsd -l carp", "carp0\n"),
    ] {
        let fake = Fake::answering(vec![there()]);
        let told = run(fake.directory.path(), &format!("ifconfig {line}"));
        assert_eq!(told, ran(out, "", 0), "{line}");
    }
    let fake = Fake::answering(vec![there()]);
    let told = run(fake.directory.path(), "ifconfig --as netbsd -l");
    assert!(
        told.out.starts_with("lo ") || told.out.contains(" lo "),
        "{told:?}"
    );
    assert!(
        told.out.split_whitespace().any(|name| name == "carp0"),
        "{told:?}"
    );
    for (line, usage) in [
        ("-l ha", USAGE_O),
        ("-l -x", USAGE_O),
        ("--as netbsd -l ha", USAGE_N),
        ("--as freebsd -l carp", USAGE9),
    ] {
        let fake = Fake::answering(vec![there()]);
        let told = run(fake.directory.path(), &format!("ifconfig {line}"));
        assert_eq!(told, ran("", usage, 1), "{line}");
    }
    let fake = Fake::answering(vec![there()]);
    let ether = run(fake.directory.path(), "ifconfig --as netbsd -l ether").out;
    assert!(
        !ether.split_whitespace().any(|name| name == "lo"),
        "{ether}"
    );
}

#[test]
fn sysctls_look_as_the_system_prints_them() {
    let empty = Directory::new();
    let name = "net.inet.carp";
    for (personality, line, out) in [
        (
            "openbsd",
            "",
            format!("{name}.allow=1\n{name}.preempt=0\n{name}.log=2\n"),
        ),
        (
            "freebsd9",
            "",
            format!(
                "{name}.allow: 1\n{name}.preempt: 0\n{name}.log: 2\n{name}.arpbalance: 0\n{name}.suppress_preempt: 0\n"
            ),
        ),
        (
            "freebsd",
            "",
            format!(
                "{name}.ifdown_demotion_factor: 240\n{name}.senderr_demotion_factor: 240\n{name}.demotion: 0\n\
                 {name}.log: 2\n{name}.preempt: 0\n{name}.dscp: {}\n{name}.allow: 1\n",
                Settings::default().dscp
            ),
        ),
        (
            "netbsd",
            "",
            format!(
                "{name}.preempt = 0\n{name}.arpbalance = 0\n{name}.allow = 1\n{name}.log = 2\n"
            ),
        ),
        ("freebsd", ".replay", format!("{name}.replay: 1\n")),
    ] {
        assert_eq!(
            run(
                empty.path(),
                &format!("sysctl --as {personality} {name}{line}")
            ),
            ran(&out, "", 0),
            "{personality}"
        );
    }
    for (line, out) in [
        ("-e net.inet.carp.preempt", "net.inet.carp.preempt=0\n"),
        ("-N net.inet.carp.preempt", "net.inet.carp.preempt\n"),
        ("-in net.inet.carp.nosuch", ""),
        (
            "-i net.inet.card.allow net.inet.carp.allow",
            "net.inet.carp.allow: 1\n",
        ),
    ] {
        let told = run(empty.path(), &format!("sysctl --as freebsd {line}"));
        assert_eq!(told, ran(out, "", 0), "{line}");
    }
    let suggestion = "sysctl: did you mean net.inet.carp.allow?\n";
    for (personality, text) in [
        (
            "openbsd",
            "third level name card in net.inet.card.allow is invalid",
        ),
        ("freebsd9", "unknown oid 'net.inet.card.allow'"),
        ("freebsd", "unknown oid 'net.inet.card.allow'"),
        (
            "netbsd",
            "third level name 'card' in 'net.inet.card.allow' is invalid",
        ),
    ] {
        assert_eq!(
            run(
                empty.path(),
                &format!("sysctl --as {personality} net.inet.card.allow")
            ),
            ran("", &format!("sysctl: {text}\n{suggestion}"), 1)
        );
        let fake = Fake::answering(vec![Reply::Settings(Sysctls::default())]);
        assert_eq!(
            run(
                fake.directory.path(),
                &format!("sysctl --as {personality} {name}.preempt=1")
            ),
            ran(&format!("{name}.preempt: 0 -> 1\n"), "", 0),
            "{personality}"
        );
    }
}

#[test]
fn option_name_and_variable_choose() {
    let fake = Fake::answering(vec![
        Reply::Stats(Stats::default()),
        Reply::Stats(Stats::default()),
        Reply::Stats(Stats::default()),
    ]);
    let mut by_name = executable(fake.directory.path());
    by_name
        .arg0("/usr/bin/netbsd-netstat")
        .args(["-s", "-p", "carp"]);
    let by_name = finish(by_name, b"");
    assert!(by_name.out.contains("packet was too short"), "{by_name:?}");
    let mut by_variable = executable(fake.directory.path());
    by_variable
        .env("CARP_PERSONALITY", "netbsd")
        .args(["netstat", "-s", "-p", "carp"]);
    assert_eq!(finish(by_variable, b""), by_name);
    assert_eq!(
        run(fake.directory.path(), "netstat --as netbsd -s -p carp"),
        by_name
    );
    let empty = Directory::new();
    let mut sysctl = executable(empty.path());
    sysctl
        .arg0("freebsd-sysctl")
        .args(["-n", "net.inet.carp.demotion"]);
    assert_eq!(finish(sysctl, b""), ran("0\n", "", 0));
    let mut ifconfig = executable(empty.path());
    ifconfig.arg0("freebsd9-ifconfig").arg("carp9");
    assert_eq!(
        finish(ifconfig, b""),
        ran("", "ifconfig: interface carp9 does not exist\n", 1)
    );
}
